"""The part of a module that matters, with every line where it was.

LibCST takes about a second for a module of a thousand lines. Few functions of a module name what
we look for, so the others are cut down to `def name(): ...` before it reads the text. What is left
is bound and resolved as in the whole module: a function binds names for itself alone, unless it
says `global` or `nonlocal`, and then it stays. Where only some names matter, all other statements
are cut, too, but for those that bind such a name, or one of an import.
"""

from __future__ import annotations

import ast
import itertools
import re
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from portnorm.codemod.edits import line_starts
from portnorm.codemod.screen import NAMES, Syntax

_ALWAYS = NAMES | {"portnorm", "global", "nonlocal"}
_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
_OPERATOR = "L2Normalize"
_BINDERS: tuple[tuple[type[Any], str], ...] = (
    (ast.FunctionDef, "name"),
    (ast.AsyncFunctionDef, "name"),
    (ast.ClassDef, "name"),
    (ast.ExceptHandler, "name"),
    (ast.MatchAs, "name"),
    (ast.MatchStar, "name"),
    (ast.MatchMapping, "rest"),
)


def skeleton(
    syntax: Syntax, keep: Collection[str] = (), bound: Collection[str] | None = None
) -> str:
    r"""Return the text with those functions and classes cut that do not matter.

    A text that Python's own parser does not take is returned as it is.

    Args:
        syntax: of a module.
        keep: words that matter besides the names of the two functions.
        bound: names that matter where they are bound; None for all names.

    >>> text = "def f(x):\n    y = x\n    return y\ndef g(x):\n    normalize(x)\n"
    >>> skeleton(Syntax(text))
    "def f(): b'''\n\n'''\ndef g(x):\n    normalize(x)\n"
    """
    text, tree = syntax.text, syntax.tree
    if tree is None:
        return text
    starts = line_starts(text)
    lines = [text[a:b] for a, b in zip(starts, [*starts[1:], len(text)], strict=True)]
    outside = None if bound is not None else tree.body
    words = _words(syntax, outside, lines, {*_ALWAYS, *keep})
    matter = _lines_with(words, text, starts)
    if bound is None:
        cuts = _definitions(tree.body, matter)
    else:
        cuts = _runs(_without_docstring(tree), sorted([*matter, *_lines_that_bind(syntax, bound)]))
    for cut in cuts:
        _make(cut, lines)
    return "".join(lines)


def _words(
    syntax: Syntax, outside: list[ast.stmt] | None, lines: list[str], words: set[str]
) -> set[str]:
    """Add what imports call the words, and what L2Normalize operators are assigned to.

    A name that is assigned in a function counts only where `outside`, the module's own statements,
    is None.
    """
    found = set(words)
    for node in syntax.imports:
        for alias in node.names:
            if alias.asname and not words.isdisjoint(alias.name.split(".")):
                found.add(alias.asname)
    operators = found - words | {_OPERATOR}
    if _OPERATOR in syntax.text:
        for assign in syntax.all_of(ast.Assign):
            shared = outside is None or assign in outside
            names = {_name(target, shared) for target in assign.targets} - {""}
            value = "".join(lines[assign.lineno - 1 : assign.end_lineno]) if names else ""
            if any(operator in value for operator in operators):
                found |= names
    return found


def _name(target: ast.expr, shared: bool) -> str:
    """Return what other statements that matter may know a value by."""
    if isinstance(target, ast.Attribute):
        return target.attr
    return target.id if isinstance(target, ast.Name) and shared else ""


def _lines_with(words: set[str], text: str, starts: list[int]) -> list[int]:
    """Return the numbers of the lines, from 1, on which one of the words is."""
    pattern = re.compile(rf"\b(?:{'|'.join(map(re.escape, sorted(words)))})\b")
    return [bisect_right(starts, match.start()) for match in pattern.finditer(text)]


def _lines_that_bind(syntax: Syntax, bound: Collection[str]) -> Iterator[int]:
    """Yield where these names are bound, those of imports, and of what is assigned from one."""
    for node in syntax.imports:
        yield from range(node.lineno, (node.end_lineno or node.lineno) + 1)
    names = {(a.asname or a.name).partition(".")[0] for n in syntax.imports for a in n.names}
    names |= {*bound, *syntax.screen.modules}
    for name in syntax.all_of(ast.Name):
        if name.id in names and not isinstance(name.ctx, ast.Load):
            yield name.lineno
    for kind, attribute in _BINDERS:
        for binder in syntax.all_of(kind):
            if getattr(binder, attribute) in names:
                yield binder.lineno


class _Cut(NamedTuple):
    """Lines to be replaced by a statement after a text; what is in them begins at the column."""

    first: int
    last: int
    column: int
    text: str


def _definitions(statements: list[ast.stmt], matter: list[int]) -> Iterator[_Cut]:
    """Yield the functions and classes without any of the lines that matter, or their bodies."""
    for statement in statements:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            keyword = "class" if isinstance(statement, ast.ClassDef) else "def"
            header = f"{keyword} {statement.name}{'' if keyword == 'class' else '()'}: "
            cuts = _cut([statement], header), _cut(statement.body, "")
            cut = next((cut for cut in cuts if _is_free(cut, matter)), None)
            if cut is not None:
                yield cut
                continue
        for block in _blocks(statement):
            yield from _definitions(block, matter)


def _runs(statements: list[ast.stmt], matter: list[int]) -> Iterator[_Cut]:
    """Yield the runs of statements without any of the lines that matter."""

    def may_go(statement: ast.stmt) -> bool:
        return isinstance(statement, ast.stmt) and _is_free(_cut([statement], ""), matter)

    for free, run in itertools.groupby(statements, may_go):
        if free:
            yield _cut([*run], "")
            continue
        for block in itertools.chain.from_iterable(map(_blocks, run)):
            yield from _runs(block, matter)


def _without_docstring(tree: ast.Module) -> list[ast.stmt]:
    return tree.body[1:] if ast.get_docstring(tree, clean=False) is not None else tree.body


def _blocks(statement: ast.stmt) -> list[list[ast.stmt]]:
    return [getattr(statement, block, []) for block in _BLOCKS]


def _cut(statements: list[ast.stmt], text: str) -> _Cut:
    first = statements[0]
    # The column of a decorator is that of its name; the definition below it begins where it does.
    line = min(node.lineno for node in [*getattr(first, "decorator_list", []), first])
    return _Cut(line, statements[-1].end_lineno or line, first.col_offset, text)


def _is_free(cut: _Cut, matter: list[int]) -> bool:
    return bisect_left(matter, cut.first) == bisect_right(matter, cut.last)


def _make(cut: _Cut, lines: list[str]) -> None:
    """Replace the lines, unless something else stands before what is in them, such as a header."""
    line = lines[cut.first - 1]
    indent = line[: len(line) - len(line.lstrip(" \t\f"))]
    if cut.column != len(indent):
        return
    if cut.first == cut.last:
        lines[cut.first - 1] = f"{indent}{cut.text}pass{_line_end(line)}"
        return
    # One string is one node; of empty lines each would be three.
    lines[cut.first - 1] = f"{indent}{cut.text}b'''{_line_end(line)}"
    for number in range(cut.first, cut.last):
        lines[number] = _line_end(lines[number])
    lines[cut.last - 1] = f"'''{lines[cut.last - 1]}"


def _line_end(line: str) -> str:
    return line[len(line.rstrip("\r\n")) :]
