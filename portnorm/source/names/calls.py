"""The arguments of a call: in their order, by the names of parameters, and where they stand."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from portnorm.source.names.syntax import Syntax

_COMMENT_OR_SIGN = re.compile(r"#[^\r\n]*|[(),]")
_SPACES_AND_COMMENTS = re.compile(r"(?:[^\S#]|\\|#[^\r\n]*)*")


class Argument(NamedTuple):
    """One argument as it is written.

    Attributes:
        node: all of it, with its keyword or star.
        value: its value.
        keyword: the keyword it is given by; None by position, or where `**` hides it.
        star: "*" or "**" in front of it; "" if there is none.
    """

    node: ast.expr | ast.keyword
    value: ast.expr
    keyword: str | None = None
    star: str = ""


class Bound(NamedTuple):
    """The arguments of a call by the names of the parameters.

    Attributes:
        arguments: those that were given.
        problem: why they are not all known, in a few words; "" where they are.
        unknown: whether `*` or `**` hides some; otherwise a problem is an error of the call.
    """

    arguments: Mapping[str, Argument]
    problem: str = ""
    unknown: bool = False


def arguments(call: ast.Call) -> list[Argument]:
    """Return the arguments of a call in the order in which they are written.

    >>> call = ast.parse("f(x, 2, *a, dim=1, **k)", mode="eval").body
    >>> [(argument.keyword, argument.star) for argument in arguments(call)]
    [(None, ''), (None, ''), (None, '*'), ('dim', ''), (None, '**')]
    """
    listed = [
        Argument(arg, arg.value, star="*") if isinstance(arg, ast.Starred) else Argument(arg, arg)
        for arg in call.args
    ]
    for keyword in call.keywords:
        star = "" if keyword.arg else "**"
        listed.append(Argument(keyword, keyword.value, keyword.arg, star))
    return sorted(listed, key=lambda one: (one.node.lineno, one.node.col_offset))


def bind(call: ast.Call, parameters: Sequence[str]) -> Bound:
    """Give the arguments of a call the names of parameters.

    >>> call = ast.parse("f(x, 2, dim=1)", mode="eval").body
    >>> list(bind(call, ("input", "p", "dim")).arguments)
    ['input', 'p', 'dim']
    """
    bound: dict[str, Argument] = {}
    for position, argument in enumerate(arguments(call)):
        if argument.star:
            return Bound(bound, f"{argument.star} hides arguments", True)
        if argument.keyword is None and position >= len(parameters):
            return Bound(bound, f"{position + 1} positional arguments")
        name = argument.keyword or parameters[position]
        if name not in parameters:
            return Bound(bound, f"no parameter is called {name!r}")
        if name in bound:
            return Bound(bound, f"{name!r} is given twice")
        bound[name] = argument
    return Bound(bound)


def argument_span(syntax: Syntax, call: ast.Call, position: int) -> tuple[int, int]:
    """Return where an argument begins and ends, with the parentheses around it.

    The parser keeps no parentheses. Between two arguments there is nothing but them, a comma,
    spaces and comments, so that they are easily found.

    Args:
        syntax: of the module.
        call: the call.
        position: which of its arguments, in the order of the text.

    >>> syntax = Syntax("f((x), (y) )")
    >>> (call,) = syntax.all_of(ast.Call)
    >>> argument_span(syntax, call, 0), argument_span(syntax, call, 1)
    ((2, 5), (7, 10))
    """
    listed = arguments(call)
    node = listed[position].node
    start, end = syntax.start(node), syntax.end(node)
    if isinstance(node, (ast.keyword, ast.Starred)):
        return start, end
    before = syntax.end(listed[position - 1].node) if position else syntax.end(call.func)
    sign = "," if position else "("
    for match in _COMMENT_OR_SIGN.finditer(syntax.text, before, start):
        if match[0] == sign:
            spaces = _SPACES_AND_COMMENTS.match(syntax.text, match.end())
            start = spaces.end() if spaces else start
            break
    is_last = position + 1 == len(listed)
    after = syntax.end(call) - 1 if is_last else syntax.start(listed[position + 1].node)
    for match in _COMMENT_OR_SIGN.finditer(syntax.text, end, max(end, after)):
        if match[0] == ",":
            break
        if match[0] == ")":
            end = match.end()
    return start, end
