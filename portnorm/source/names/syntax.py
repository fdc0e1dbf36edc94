"""The syntax tree of a module, and where its nodes stand in the text.

The tree is that of Python's own parser. Its columns count bytes of UTF-8; here all places are
characters of the text, or lines and columns that count characters from 1.
"""

from __future__ import annotations

import ast
import re
import sys
import warnings
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any, TypeVar

from portnorm.source.edits import Place, line_starts

Node = TypeVar("Node", bound=ast.AST)
NEWER_SYNTAX: tuple[tuple[tuple[int, int], re.Pattern[str]], ...] = (
    ((3, 11), re.compile(r"\bexcept\s*\*")),
    ((3, 12), re.compile(r"^\s*type\s+\w+.*=|\b(?:def|class)\s+\w+\s*\[|^f-string:", re.M)),
    ((3, 14), re.compile(r"\b(?:[tT][rR]?|[rR][tT])['\"]")),
)
"""How the message of the parser, or the line that it stops in, looks if a later Python than 3.10 is
needed, the oldest that portnorm runs on."""


class NotPythonError(ValueError):
    """A text that the running Python cannot parse.

    Attributes:
        line: where the parser stops, from 1.
        column: likewise.
        message: why, in a few words.
    """

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(f"line {line}, column {column}: {message}")
        self.line, self.column, self.message = line, column, message


def parse(text: str) -> ast.Module:
    """Return the syntax tree of a module.

    Raises:
        NotPythonError: the running Python does not take the text.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as those of unknown escapes in strings
            return ast.parse(text)
    except SyntaxError as error:
        line, column = max(1, error.lineno or 1), max(1, error.offset or 1)
        raise NotPythonError(line, column, _why(text, line, error.msg)) from error
    except ValueError as error:
        raise NotPythonError(1, 1, str(error)) from error
    except (RecursionError, MemoryError) as error:
        raise NotPythonError(1, 1, "it is nested too deeply") from error


def _why(text: str, line: int, message: str) -> str:
    """Name the running Python, and the one that the line may have been written for."""
    starts = [*line_starts(text), len(text)]
    seen = message + "\n" + (text[starts[line - 1] : starts[line]] if line < len(starts) else "")
    why = "Python {}.{} stops in this line: {}".format(*sys.version_info[:2], message)
    for version, pattern in NEWER_SYNTAX:
        if sys.version_info < version and pattern.search(seen):
            return "{}; it may need Python {}.{}".format(why, *version)
    return why


class Syntax:
    r"""The syntax tree of a text.

    Attributes:
        text: the source.
        tree: its syntax tree.

    Args:
        text: of a module.

    Raises:
        NotPythonError: the running Python does not take the text.

    >>> syntax = Syntax("é = f(x)\n")
    >>> (call,) = syntax.all_of(ast.Call)
    >>> syntax.source(call), syntax.span(call)
    ('f(x)', ((1, 5), (1, 9)))
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.tree = parse(text)
        self._starts = line_starts(text)
        self._parents: dict[ast.AST, ast.AST] = {}
        self._children: dict[ast.AST, list[ast.AST]] = {}
        self._nodes: dict[type[ast.AST], list[Any]] = {}
        self._sort()

    def _sort(self) -> None:
        stack: list[ast.AST] = [self.tree]
        while stack:
            node = stack.pop()
            self._nodes.setdefault(type(node), []).append(node)
            self._children[node] = inner = _children(node)
            self._parents.update(dict.fromkeys(inner, node))
            stack += inner

    def all_of(self, kind: type[Node]) -> list[Node]:
        """Return all nodes of a type, in no particular order."""
        return self._nodes.get(kind, [])

    # --- relations -------------------------------------------------------------------------------

    def children(self, node: ast.AST) -> list[ast.AST]:
        """Return the nodes directly within a node, without contexts and operators."""
        return self._children.get(node, [])  # `pass` has none, and is left out itself

    def parent(self, node: ast.AST) -> ast.AST | None:
        """Return the node that directly holds another; None for the module."""
        return self._parents.get(node)

    def ancestors(self, node: ast.AST) -> Iterator[ast.AST]:
        """Yield the nodes around a node, the nearest first."""
        around = self._parents.get(node)
        while around is not None:
            yield around
            around = self._parents.get(around)

    def statement(self, node: ast.AST) -> ast.stmt | None:
        """Return the innermost statement that a node is in, or is."""
        if isinstance(node, ast.stmt):
            return node
        return next((one for one in self.ancestors(node) if isinstance(one, ast.stmt)), None)

    def block(self, statement: ast.stmt) -> list[ast.stmt]:
        """Return the statements among which a statement stands."""
        for name in ("body", "orelse", "finalbody"):
            block: list[ast.stmt] = getattr(self._parents[statement], name, [])
            if block and self.start(block[0]) <= self.start(statement) <= self.start(block[-1]):
                return block
        return [statement]

    def called(self, node: ast.AST) -> ast.Call | None:
        """Return the call whose function an expression is."""
        call = self._parents.get(node)
        return call if isinstance(call, ast.Call) and call.func is node else None

    # --- places ----------------------------------------------------------------------------------

    def start(self, node: ast.AST) -> int:
        """Return the index of the first character of a node, its own parentheses left out."""
        return self._index(node.lineno, node.col_offset)  # type: ignore[attr-defined]

    def end(self, node: ast.AST) -> int:
        """Return the index after the last character of a node."""
        return self._index(node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]

    def _index(self, line: int, column: int) -> int:
        start = self._starts[line - 1]
        piece = self.text[start : start + column]  # a character has one byte or more
        if piece.isascii():
            return start + column
        return start + len(piece.encode("utf-8", "surrogatepass")[:column].decode(errors="ignore"))

    def place(self, index: int) -> Place:
        """Return the line and the column of a character, both from 1."""
        line = bisect_right(self._starts, index)
        return line, index - self._starts[line - 1] + 1

    def span(self, node: ast.AST) -> tuple[Place, Place]:
        """Return where a node begins, and the place after its end."""
        return self.place(self.start(node)), self.place(self.end(node))

    def line(self, number: int) -> str:
        """Return the text of a line, which counts from 1, with its line end."""
        start = self._starts[number - 1]
        end = self._starts[number] if number < len(self._starts) else len(self.text)
        return self.text[start:end]

    def source(self, node: ast.AST) -> str:
        """Return the text of a node, its own parentheses left out."""
        return self.text[self.start(node) : self.end(node)]

    def is_where_it_says(self, node: ast.expr) -> bool:
        """Return whether the text at the place of a node is the node.

        Before Python 3.12 the parser puts some nodes within f-strings in the wrong place.
        """
        try:
            there = ast.parse(f"({self.source(node)}\n)", mode="eval").body
        except (SyntaxError, ValueError):
            return False
        return ast.dump(there) == ast.dump(node)


def _children(node: ast.AST) -> list[ast.AST]:
    """Return the nodes directly within a node, without the contexts and operators that all share.

    It takes half the time of `ast.iter_child_nodes`.
    """
    inner: list[ast.AST] = []
    for value in node.__dict__.values():
        if value.__class__ is list:
            inner += [one for one in value if isinstance(one, ast.AST) and one._fields]
        elif isinstance(value, ast.AST) and value._fields:
            inner.append(value)
    return inner


def last_name(node: ast.AST | None) -> str:
    """Return the last part of a dotted name, "" for another expression."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def first_name(node: ast.AST) -> ast.Name | None:
    """Return the first part of a dotted name, None for another expression."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node if isinstance(node, ast.Name) else None


def member(module: str, name: str) -> str:
    """Return the name in full of something in a module, which may be relative.

    >>> member("torch.nn", "functional"), member("..", "layers")
    ('torch.nn.functional', '..layers')
    """
    return f"{module}{name}" if module.endswith(".") else f"{module}.{name}"


def dotted(node: ast.AST) -> str:
    """Return a dotted name as text; "" for anything else.

    >>> dotted(ast.parse("torch.nn . functional", mode="eval").body)
    'torch.nn.functional'
    """
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""
