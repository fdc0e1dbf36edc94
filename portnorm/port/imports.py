"""The imports of a module whose calls are rewritten: what is added, what has become unused."""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from portnorm.port.rewrite import Rewrite
from portnorm.source.edits import Edit, Place
from portnorm.source.names import Module, Syntax, last_name

Import = ast.Import | ast.ImportFrom

Kept = Callable[[str], bool]
"""Says whether other files may import a name from this one."""

_KEEP = re.compile(r"#.*\b(?:noqa|F401|unused-import|isort:\s*skip|keep)\b", re.IGNORECASE)
"""Comments by which people say that an import stays though nothing here uses it."""

_TAKES_TYPES = frozenset({"cast", "TypeVar", "NewType"})
"""Functions of `typing` that take types as strings."""


def imports_to_add(
    module: Module, rewrites: Sequence[Rewrite], removed: Sequence[Edit]
) -> Iterator[Edit]:
    """Yield the removals, and the new imports and helpers, each once, among the first imports.

    They stand where the first import of the module's top level does, or before, so that they are
    there before any code that needs them runs.
    """
    syntax = module.syntax
    end = re.search(r"\r\n|\r|\n", module.text)
    newline = end[0] if end else "\n"
    wanted = dict.fromkeys(name for rewrite in rewrites for name in rewrite.imports)
    changed = _first_that_runs(syntax, rewrites)
    present = {
        name
        for statement in syntax.tree.body
        if syntax.span(statement)[1] <= changed
        for name in _plain_names(statement)
    }
    names = [name for name in wanted if name not in present]
    helpers = dict.fromkeys(rewrite.helper for rewrite in rewrites if rewrite.helper)
    text = module.text.replace("\r\n", "\n")
    new = "".join(f"\n\n{helper}" for helper in helpers if helper.strip() not in text)
    for_imports, for_helpers = _places(syntax, changed)
    if new and any(_start(syntax, one)[0] == for_helpers[0] for one in syntax.tree.body):
        new += "\n\n"
    added: dict[Place, str] = {}
    last = _shares_its_line(syntax)
    if last is None:
        added[for_imports] = "".join(f"import {name}{newline}" for name in names)
    else:
        for_imports = syntax.span(last)[1]
        added[for_imports] = "".join(f"; import {name}" for name in names)
    if new and last is not None and for_helpers[0] == for_imports[0]:
        # A definition cannot stand behind a semicolon: what follows moves to a line of its own.
        new = f"{added.pop(for_imports)}\n{new}".replace("\n", newline)
        yield Edit(for_imports, for_helpers, new)
    elif new:
        added[for_helpers] = added.get(for_helpers, "") + new.replace("\n", newline)
    for edit in removed:
        yield replace(edit, text=added.pop(edit.start, "") + edit.text)
    for place, text in added.items():
        if text:
            yield Edit(place, place, text)


def imports_to_remove(
    module: Module, rewrites: Sequence[Rewrite], kept: Kept | None = None
) -> Iterator[Edit]:
    """Yield the edits that remove imports which only rewritten names used.

    An import stays that other files, or people's comments, may want.
    """
    nodes = [node for rewrite in rewrites for node in rewrite.gone]
    gone = {part for node in nodes for part in ast.walk(node) if isinstance(part, ast.Name)}
    counts = _count_of_names(module.syntax)
    unused: dict[Import, set[ast.alias]] = {}
    for binding in module.scopes.imports:
        reads = module.scopes.reads_of_import(binding)
        if binding.statement is None or not reads or not gone.issuperset(reads):
            continue
        alias, name = binding.node, binding.variable.name
        if not isinstance(alias, ast.alias) or alias.asname == alias.name:
            continue  # `import x as x` hands x on, by the rules for types
        if binding.variable.scope.kind != "function" and kept is not None and kept(name):
            continue
        # The same name elsewhere may mean the import, too: in a string, or in a way not followed.
        if counts[name] == len(reads):
            unused.setdefault(binding.statement, set()).add(alias)
    for statement, aliases in unused.items():
        yield from _without(module.syntax, statement, aliases)


def _count_of_names(syntax: Syntax) -> Counter[str]:
    """Count where names are read, also in types that are strings."""
    names = Counter(n.id for n in syntax.all_of(ast.Name) if isinstance(n.ctx, ast.Load))
    kinds = (ast.arg, ast.AnnAssign, ast.FunctionDef, ast.AsyncFunctionDef)
    typed = [node for kind in kinds for node in syntax.all_of(kind)]
    types = [getattr(node, "annotation", None) or getattr(node, "returns", None) for node in typed]
    types += [call for call in syntax.all_of(ast.Call) if last_name(call.func) in _TAKES_TYPES]
    for node in types:
        for part in ast.walk(node) if node is not None else ():
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                names.update(re.findall(r"\w+", part.value))
    return names


# --- removal --------------------------------------------------------------------------------------


def _without(syntax: Syntax, statement: Import, unused: set[ast.alias]) -> Iterator[Edit]:
    """Yield the edits that take names out of an import, or all of it."""
    block = syntax.block(statement)
    if not _may_go(syntax, statement, block):
        return
    lines = range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)
    if any(_KEEP.search(syntax.line(line)) for line in lines):
        return
    exported = _exported(syntax)
    unused = {one for one in unused if (one.asname or one.name) not in exported}
    aliases = statement.names
    if len(unused) == len(aliases):
        yield _whole_line(syntax, statement)
        return
    for position, alias in enumerate(aliases):
        if alias not in unused:
            continue
        start, end = syntax.span(alias)
        if any(later not in unused for later in aliases[position + 1 :]):
            end = syntax.span(aliases[position + 1])[0]
        else:
            start = syntax.span(aliases[position - 1])[1]
        if start[0] == end[0]:
            yield Edit(start, end, "")


def _may_go(syntax: Syntax, statement: Import, block: list[ast.stmt]) -> bool:
    """Return whether the block stays a block without an import, and tests nothing with it.

    An import that shares its line with other statements stays.
    """
    (line, column), end = syntax.span(statement)
    if syntax.line(line)[: column - 1].strip() or ";" in _rest_of_line(syntax, end):
        return False
    around = syntax.parent(statement)
    if isinstance(around, ast.Module):
        return True
    in_function = isinstance(around, (ast.FunctionDef, ast.AsyncFunctionDef))
    return in_function and len(_lines(block)) > 1


def _rest_of_line(syntax: Syntax, place: Place) -> str:
    """Return what follows on the line, without the comment."""
    return syntax.line(place[0])[place[1] - 1 :].partition("#")[0]


def _whole_line(syntax: Syntax, statement: Import) -> Edit:
    """Return the edit that removes the lines of a statement; a comment behind it stays."""
    start, end = syntax.span(statement)
    rest = syntax.line(end[0])[end[1] - 1 :]
    if "#" in rest:
        return Edit(start, (end[0], end[1] + rest.index("#")), "")
    if rest.endswith(("\r", "\n")):
        return Edit((start[0], 1), (end[0] + 1, 1), "")
    return Edit((start[0], 1), end, "")


def _exported(syntax: Syntax) -> set[object]:
    """Return what `__all__` has, in whatever way it is put there: it is used elsewhere."""
    statements = [
        syntax.statement(name) for name in syntax.all_of(ast.Name) if name.id == "__all__"
    ]
    parts = [part for one in statements if one is not None for part in ast.walk(one)]
    return {part.value for part in parts if isinstance(part, ast.Constant)}


# --- places ---------------------------------------------------------------------------------------


def _lines(block: Sequence[ast.stmt]) -> list[list[ast.stmt]]:
    """Return the statements of a block by the lines they begin on: `a; b` is one line."""
    lines: list[list[ast.stmt]] = []
    for statement in block:
        if lines and lines[-1][-1].end_lineno == statement.lineno:
            lines[-1].append(statement)
        else:
            lines.append([statement])
    return lines


def _plain_names(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.Import):
        yield from (alias.name for alias in statement.names if alias.asname is None)


def _is_import(line: list[ast.stmt]) -> bool:
    return any(isinstance(statement, (ast.Import, ast.ImportFrom)) for statement in line)


def _leading(syntax: Syntax) -> list[ast.stmt]:
    """Return what no import may stand before: the docstring, and imports from `__future__`."""
    body = syntax.tree.body
    end = int(ast.get_docstring(syntax.tree, clean=False) is not None)
    while end < len(body):
        statement = body[end]
        if not (isinstance(statement, ast.ImportFrom) and statement.module == "__future__"):
            break
        end += 1
    return body[:end]


def _shares_its_line(syntax: Syntax) -> ast.stmt | None:
    """Return the last of what comes first, where another statement follows on its line."""
    leading = _leading(syntax)
    following = syntax.tree.body[len(leading) : len(leading) + 1]
    if leading and following and following[0].lineno == leading[-1].end_lineno:
        return leading[-1]
    return None


def _places(syntax: Syntax, changed: Place) -> tuple[Place, Place]:
    """Return where new imports go, and where what uses them goes.

    That is before the first import which is not from `__future__`, and behind the block of imports
    which begins there; but before the first line that runs changed text.
    """
    leading = _leading(syntax)
    lines = _lines(syntax.tree.body[len(leading) :])
    for_imports = for_helpers = None
    for line in lines:
        end = syntax.span(line[-1])[1]
        if _is_import(line):
            for_imports = for_imports or syntax.span(line[0])[0]
        if _is_import(line) and end <= changed:
            for_helpers = end[0] + 1, 1
        elif for_helpers or changed < end:
            break
    if for_imports is None and leading and not _shares_its_line(syntax):
        for_imports = syntax.span(leading[-1])[1][0] + 1, 1
    for_imports = for_imports or _start(syntax, lines[0][0])
    return for_imports, for_helpers or for_imports


def _first_that_runs(syntax: Syntax, rewrites: Sequence[Rewrite]) -> Place:
    """Return the first changed place that runs as the module is imported, or one behind its end."""
    functions = [
        (syntax.span(node.body[0])[0], syntax.span(node)[1])
        for node in syntax.tree.body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    places = [edit.start for rewrite in rewrites for edit in rewrite.edits]
    run = [one for one in places if not any(start <= one < end for start, end in functions)]
    return min(run, default=(sys.maxsize, 1))


def _start(syntax: Syntax, statement: ast.stmt) -> Place:
    """Return where a statement begins, with its decorators."""
    decorators = getattr(statement, "decorator_list", [])
    return (syntax.span(decorators[0])[0][0], 1) if decorators else syntax.span(statement)[0]
