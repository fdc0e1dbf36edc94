"""The imports of a module whose calls are rewritten: what is added, what has become unused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import libcst as cst

from portnorm.codemod.edits import Edit
from portnorm.codemod.port.rewrite import Rewrite
from portnorm.codemod.resolve import Module, dotted

Removal = tuple[cst.SimpleStatementLine, tuple[Edit, ...]]


def imports_to_add(
    module: Module, rewrites: Sequence[Rewrite], removed: Sequence[Edit]
) -> Iterator[Edit]:
    """Yield the removals, and the new imports and helpers, each once, among the first imports.

    They stand where the first import of the module's top level does, so that they are there before
    any of its code runs.
    """
    wanted = dict.fromkeys(name for rewrite in rewrites for name in rewrite.imports)
    present = {name for statement in _top_level(module) for name in _plain_imports(statement)}
    lines = [f"import {name}" for name in wanted if name not in present]
    helpers = dict.fromkeys(r.helper for r in rewrites if r.helper)
    newline = module.tree.default_newline
    added = {_place(module): "".join(f"{line}{newline}" for line in lines)}
    for helper in helpers:
        if helper.strip() not in module.text.replace("\r\n", "\n"):
            after = _after_imports(module)
            definition = f"\n\n{helper}".replace("\n", newline)
            added[after] = added.get(after, "") + definition
    for edit in removed:
        yield replace(edit, text=added.pop(edit.start, "") + edit.text)
    for place, text in added.items():
        if text:
            yield Edit(place, place, text)


def imports_to_remove(module: Module, rewrites: Sequence[Rewrite]) -> Iterator[Edit]:
    """Yield the edits that remove imports which only rewritten names used."""
    gone = {id(_first(node)) for rewrite in rewrites for node in rewrite.gone}
    unused: dict[int, tuple[cst.Import | cst.ImportFrom, set[str]]] = {}
    syntax = module.syntax
    for assignment in module.imports():
        statement = assignment.node
        if not isinstance(statement, (cst.Import, cst.ImportFrom)):
            continue
        references = {id(_first(access.node)) for access in assignment.references}
        if not references or not references <= gone:
            continue
        # The tree lacks what does not matter here, unless it is whole; that may use it, too.
        first = assignment.name.partition(".")[0]
        if syntax.tree is None or syntax.count_of_name(first) == len(references):
            unused.setdefault(id(statement), (statement, set()))[1].add(assignment.name)
    for statement, names in unused.values():
        yield from _without(module, statement, names)


def _without(
    module: Module, statement: cst.Import | cst.ImportFrom, names: set[str]
) -> Iterator[Edit]:
    line = module.parent(statement)
    if not isinstance(line, cst.SimpleStatementLine) or len(line.body) > 1:
        return
    if isinstance(statement.names, cst.ImportStar) or not _may_go(module, line):
        return
    if _is_exported(module, names):
        return
    aliases = list(statement.names)
    stay = [alias for alias in aliases if _bound(alias) not in names]
    if not stay:
        yield _whole_line(module, line)
        return
    for position, alias in enumerate(aliases):
        if alias in stay:
            continue
        (start, end) = module.span(alias)
        if position + 1 < len(aliases):
            end = module.span(aliases[position + 1])[0]
        else:
            start = module.span(aliases[position - 1])[1]
        if start[0] == end[0]:
            yield Edit(start, end, "")


def _may_go(module: Module, line: cst.SimpleStatementLine) -> bool:
    """Whether the block around an import stays a block without it, and tests nothing with it."""
    block = module.parent(line)
    if isinstance(block, cst.Module):
        return True
    return (
        isinstance(block, cst.IndentedBlock)
        and isinstance(module.parent(block), cst.FunctionDef)
        and len(block.body) > 1
    )


def _whole_line(module: Module, line: cst.SimpleStatementLine) -> Edit:
    start, end = module.span(line)
    margin = start[0], 1
    comment = line.trailing_whitespace.comment
    if comment is not None:
        spaces = len(line.trailing_whitespace.whitespace.value)
        return Edit(start, (end[0], end[1] + spaces), "")
    if len(module.text.splitlines()) <= end[0] and not module.tree.has_trailing_newline:
        return Edit(margin, end, "")
    return Edit(margin, (end[0] + 1, 1), "")


def _bound(alias: cst.ImportAlias) -> str:
    if alias.asname is not None:
        return dotted(alias.asname.name) if isinstance(alias.asname.name, cst.Name) else ""
    return dotted(alias.name)


def _is_exported(module: Module, names: set[str]) -> bool:
    """A name in `__all__` is used elsewhere."""
    strings: set[str] = set()
    for statement in _top_level(module):
        for small in statement.body:
            if isinstance(small, cst.Assign) and any(
                dotted(target.target) == "__all__" for target in small.targets
            ):
                strings |= _strings(small.value)
    return bool(strings & names)


def _strings(node: cst.CSTNode) -> set[str]:
    found = {str(node.evaluated_value)} if isinstance(node, cst.SimpleString) else set()
    for child in node.children:
        found |= _strings(child)
    return found


def _top_level(module: Module) -> Iterator[cst.SimpleStatementLine]:
    for statement in module.tree.body:
        if isinstance(statement, cst.SimpleStatementLine):
            yield statement


def _plain_imports(statement: cst.SimpleStatementLine) -> Iterator[str]:
    for small in statement.body:
        if isinstance(small, cst.Import):
            yield from (dotted(alias.name) for alias in small.names if alias.asname is None)


def _is_import(statement: cst.BaseStatement | cst.BaseSmallStatement) -> bool:
    return isinstance(statement, cst.SimpleStatementLine) and any(
        isinstance(small, (cst.Import, cst.ImportFrom)) for small in statement.body
    )


def _is_future(statement: cst.BaseStatement) -> bool:
    return isinstance(statement, cst.SimpleStatementLine) and any(
        isinstance(small, cst.ImportFrom) and dotted(small.module) == "__future__"
        for small in statement.body
    )


def _place(module: Module) -> tuple[int, int]:
    """Return where new imports go: before the first import that is not from `__future__`."""
    body = list(module.tree.body)
    for statement in body:
        if _is_import(statement) and not _is_future(statement):
            return module.span(statement)[0]
    after = 0
    for position, statement in enumerate(body):
        if _is_future(statement) or (position == 0 and module.tree.get_docstring() is not None):
            after = position + 1
    if after:
        return module.span(body[after - 1])[1][0] + 1, 1
    return (module.span(body[0])[0][0], 1) if body else (1, 1)


def _after_imports(module: Module) -> tuple[int, int]:
    """Return the line after the first block of imports."""
    last = None
    for statement in module.tree.body:
        if _is_import(statement):
            last = statement
        elif last is not None:
            break
    if last is None:
        return _place(module)
    return module.span(last)[1][0] + 1, 1


def _first(node: cst.CSTNode) -> cst.CSTNode:
    while isinstance(node, (cst.Attribute, cst.Call)):
        node = node.value if isinstance(node, cst.Attribute) else node.func
    return node
