"""The part of a module that the rules look at, for the sake of speed.

LibCST takes a second for some thousand lines. Functions, methods and classes that name nothing of
interest become stubs; every other line stays where it is, with all that binds names in the scope of
the module and of its classes.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Collection, Iterable, Iterator

from portnorm.codemod.edits import line_starts

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef

_BINDS_ELSEWHERE = "global"
"""Stands for `global` and `nonlocal` among the names of a definition, which must stay then."""


def excerpt(text: str, names: Collection[str]) -> str:
    r"""Return the text with stubs for what names nothing of interest.

    Args:
        text: of a module.
        names: those of interest. Others that stand for them, by import or assignment, are too.

    >>> text = "def f(x):\n    return x\n\ndef g(x):\n    return norm(x)\n"
    >>> print(excerpt(text, {"norm"}), end="")
    def f(): '''
    '''
    <BLANKLINE>
    def g(x):
        return norm(x)
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in strings, say
            tree = ast.parse(text)
        wanted = _wanted(tree, names)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return text
    starts = [*line_starts(text), len(text)]
    pieces, done = [], 0
    for definition in _of_no_interest(tree.body, wanted):
        first = min([definition, *definition.decorator_list], key=lambda node: node.lineno)
        start, end = starts[first.lineno - 1], starts[definition.end_lineno or 0]
        pieces += [text[done:start], _stub(definition, text[start:end])]
        done = end
    return "".join(pieces) + text[done:]


def _of_no_interest(statements: Iterable[ast.stmt], wanted: set[str]) -> Iterator[Definition]:
    for statement in statements:
        if isinstance(statement, Definition):
            if wanted.isdisjoint(_names(statement)):
                yield statement
            elif isinstance(statement, ast.ClassDef):
                yield from _of_no_interest(statement.body, wanted)


def _wanted(tree: ast.Module, names: Collection[str]) -> set[str]:
    """Return the names of interest, and those that are bound where one of them is named."""
    wanted = {*names, _BINDS_ELSEWHERE}
    for node in ast.walk(tree):
        if isinstance(node, ast.alias) and node.name.rpartition(".")[2] in names:
            wanted.add(node.asname or "")
    bindings = [({*_names(node)}, {*_bound(node, local)}) for node, local in _bindings(tree, False)]
    while True:
        more = {name for named, bound in bindings if named & wanted for name in bound} - wanted
        if not more:
            return wanted
        wanted |= more


def _bindings(tree: ast.AST, local: bool) -> Iterator[tuple[ast.AST, bool]]:
    """Yield what binds names, each with whether it is within a function."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.NamedExpr)):
            yield node, local
        yield from _bindings(
            node, local or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        )


def _names(tree: ast.AST) -> Iterator[str]:
    """Yield all names in a tree, and the strings that may be looked up as names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield node.asname or node.name
            yield node.name.rpartition(".")[2]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            yield _BINDS_ELSEWHERE


def _bound(tree: ast.AST, local: bool) -> Iterator[str]:
    """Yield what is bound for others to see: attributes, and names outside of functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and not local:
            yield node.id


def _stub(definition: Definition, text: str) -> str:
    """Return a definition of the name, on as many lines; a string takes LibCST little time."""
    indent = text[: len(text) - len(text.lstrip(" \t\f"))]
    kind, parameters = ("class", "") if isinstance(definition, ast.ClassDef) else ("def", "()")
    end = "\n" if text.endswith(("\n", "\r")) else ""
    inside = "\n" * (len(line_starts(text)) - 1 - len(end))
    return f"{indent}{kind} {definition.name}{parameters}: '''{inside}'''{end}"
