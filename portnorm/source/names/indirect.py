"""Where one of the two functions is named by a string, or replaced by another one.

`getattr(F, "normalize")` finds the function, `mock.patch("torch.nn.functional.normalize")` and
`F.normalize = safe` put another one in its place: what reads it then means that one.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import NamedTuple

from portnorm.source.names.functions import HOLDERS, MODULES, NAMES, ORIGINS, OWNER_NAMES, called
from portnorm.source.names.meaning import Elsewhere, Meaning
from portnorm.source.names.syntax import Syntax, last_name

_LOOK_UP = frozenset({"attrgetter", "eval", "exec", "get", "getattr", "hasattr", "methodcaller"})
"""Functions, by their last names, that find the function and leave it where it is."""

_REPLACE = frozenset({"multiple", "object", "patch", "setattr", "spy", "stub", "update"})
"""Functions that put another one in its place."""

_RUN_TEXT = frozenset({"compile", "eval", "exec", "repeat", "timeit", "Timer"})
"""Functions that run the text they are given."""


class Place(NamedTuple):
    """A place that names one of the two, other than by name.

    Attributes:
        node: the expression.
        code: from the registry in `portnorm.source.codes`.
        origins: what it may name, in full.
        message: one sentence.
        replaces: whether another function takes its place.
    """

    node: ast.expr
    code: str
    origins: frozenset[str]
    message: str
    replaces: bool = False


class Indirect:
    """Finds these places in a module.

    Args:
        syntax: of the module.
        meaning: what its expressions mean.
        elsewhere: what names mean in other files.
    """

    def __init__(
        self, syntax: Syntax, meaning: Callable[[ast.AST], Meaning], elsewhere: Elsewhere
    ) -> None:
        self._syntax = syntax
        self._meaning = meaning
        self._elsewhere = elsewhere

    def places(self) -> Iterator[Place]:
        """Yield the places, in no particular order."""
        for node in self._syntax.all_of(ast.Attribute):
            if node.attr in NAMES and not isinstance(node.ctx, ast.Load):
                owners = self._meaning(node.value).names & MODULES
                origins = frozenset(f"{one}.{node.attr}" for one in owners) & ORIGINS.keys()
                if origins:
                    why = f"another function is put in the place of {' or '.join(sorted(origins))}"
                    yield Place(node, "PN203", origins, why, True)
        for keyword in self._syntax.all_of(ast.keyword):
            if keyword.arg in NAMES:
                yield from self._of_keyword(keyword, keyword.arg)
        for constant in self._syntax.all_of(ast.Constant):
            if isinstance(constant.value, str) and any(name in constant.value for name in NAMES):
                yield from self._of_text(constant, constant.value)

    def _of_text(self, node: ast.Constant, text: str) -> Iterator[Place]:
        parent = self._syntax.parent(node)
        if isinstance(parent, (ast.Expr, ast.JoinedStr)):
            return  # a docstring, or a part of a message
        if text in NAMES:
            yield from self._of_last_name(node, text)
        elif text.replace(".", "_").isidentifier():
            yield from self._of_path(node, text)
        elif _function(self._syntax, node) in _RUN_TEXT and _calls_one(text):
            origins = frozenset().union(*(called(name, text) for name in NAMES if name in text))
            yield Place(node, "PN201", origins, "the text that is run here may call it")

    def _of_keyword(self, keyword: ast.keyword, name: str) -> Iterator[Place]:
        """`patch.multiple(F, normalize=safe)`."""
        call = self._syntax.parent(keyword)
        if not isinstance(call, ast.Call) or last_name(call.func) not in ("multiple", "update"):
            return
        for part in ast.walk(call):
            text = part.value if isinstance(part, ast.Constant) else None
            owners = frozenset({str(text)}) & MODULES or self._meaning(part).names & MODULES
            for owner in owners:
                if (origin := f"{owner}.{name}") in ORIGINS:
                    why = f"{last_name(call.func)} may replace {origin}"
                    yield Place(call, "PN201", frozenset({origin}), why, True)
                    return

    def _of_last_name(self, node: ast.Constant, name: str) -> Iterator[Place]:
        """A call or an item that has the name as a string, and a module of the function."""
        call = self._call_around(node)
        if call is None:
            return
        parts: list[ast.AST] = [call]
        owners: set[str] = set()
        while parts:
            part = parts.pop()
            if isinstance(part, ast.Attribute) and part.attr == "__dict__":
                part = part.value
            if isinstance(part, (ast.Name, ast.Attribute)):
                owners |= self._meaning(part).names & HOLDERS
            else:
                parts += self._syntax.children(part)
        for owner in sorted(owners):
            origin = f"{owner}.{name}"
            if origin in ORIGINS:
                does, replaces = self._does(node)
                yield Place(call, "PN201", frozenset({origin}), f"{does} {origin}", replaces)

    def _call_around(self, node: ast.AST) -> ast.expr | None:
        """Return the call or item around a string, best one that has a module of the function."""
        found: ast.expr | None = None
        for around in self._syntax.ancestors(node):
            if isinstance(around, (ast.Call, ast.Subscript)):
                found = around
                if any(self._meaning(one).names & MODULES for one in self._syntax.children(around)):
                    break
            elif not isinstance(around, (ast.expr, ast.keyword)):
                break
        return found

    def _does(self, node: ast.AST) -> tuple[str, bool]:
        """Return what is done with a string, and whether that replaces the function."""
        if isinstance(self._syntax.parent(node), ast.Subscript):
            return "a string finds", False
        function = _function(self._syntax, node)
        if function in _LOOK_UP:
            return f"{function} finds", False
        return f"{function or 'a string'} may replace", True

    def _of_path(self, node: ast.Constant, text: str) -> Iterator[Place]:
        owner, _, name = text.rpartition(".")
        origins = frozenset({text, *self._elsewhere(text).names}) & ORIGINS.keys()
        if not origins and owner.rpartition(".")[2] in OWNER_NAMES | {"ops"}:
            origins = called(name, self._syntax.text)
        if origins:
            replaces = _function(self._syntax, node) in _REPLACE
            yield Place(
                node, "PN201", origins, f"a string names {' or '.join(sorted(origins))}", replaces
            )


def _function(syntax: Syntax, node: ast.AST) -> str:
    """Return the last name of the function that something is given to."""
    parent = syntax.parent(node)
    if isinstance(parent, ast.keyword):
        parent = syntax.parent(parent)
    return last_name(parent.func) if isinstance(parent, ast.Call) else ""


def _calls_one(text: str) -> bool:
    """Return whether a text calls something of the name, where it is Python at all."""
    try:
        tree = ast.parse(text.strip())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    functions = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return any(
        isinstance(one, ast.Name) or last_name(getattr(one, "value", None)) in OWNER_NAMES | {"ops"}
        for one in functions
        if last_name(one) in NAMES
    )
