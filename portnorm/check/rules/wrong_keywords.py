"""PN113: the keywords of one function given to the other."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from portnorm.check.rule import Problem, Rule
from portnorm.check.view import Site, View, keywords
from portnorm.source.edits import Edit, Fix
from portnorm.source.names import arguments

_TORCH = ("input", "p", "dim", "eps", "out")
_MINDSPORE = ("axis", "epsilon")
_SAME = {"dim": "axis", "axis": "dim"}
"""Keywords whose values mean the same in the other function; those of eps and epsilon do not."""


def _find(view: View) -> Iterator[Problem]:
    for site in view.constructors:
        yield from _wrong(view, site, _TORCH, "L2Normalize takes axis and epsilon")
        for call in view.module.applications(site.use):
            yield from _wrong_application(call)
    for site in view.normalizes:
        yield from _wrong(view, site, _MINDSPORE, "normalize takes dim and eps")


def _wrong(view: View, site: Site, names: tuple[str, ...], takes: str) -> Iterator[Problem]:
    wrong = [name for name in names if name in site.keywords]
    if wrong:
        listed = " and ".join(f"{name}=" for name in wrong)
        yield Problem(site.call, f"{listed}: {takes}", _renamed(view, site, wrong))


def _renamed(view: View, site: Site, wrong: list[str]) -> Fix | None:
    """Rename the keyword, if that mends the call, and its value means the same."""
    if len(wrong) != 1 or wrong[0] not in _SAME:
        return None
    (old,), new = wrong, _SAME[wrong[0]]
    known = {*(_TORCH if new == "dim" else _MINDSPORE), *(() if site.native else ("parity",))}
    if new in site.keywords or site.keywords.keys() - known - {old}:
        return None
    if new == "axis" and view.is_given_a_tensor(site):
        return None
    if any(one.star for one in arguments(site.call)) or _by_position(site) > _place(new):
        return None
    syntax = view.module.syntax
    start = syntax.start(site.keywords[old].node)
    name = Edit(syntax.place(start), syntax.place(start + len(old)), new)
    return Fix(f"{old}= is called {new}= here", (name,))


def _by_position(site: Site) -> int:
    return sum(one.keyword is None for one in arguments(site.call))


def _place(name: str) -> int:
    return (_TORCH if name in _TORCH else _MINDSPORE).index(name)


def _wrong_application(call: ast.Call) -> Iterator[Problem]:
    wrong = [name for name in (*_TORCH[1:], *_MINDSPORE) if name in keywords(call)]
    if wrong:
        listed = " and ".join(f"{name}=" for name in wrong)
        yield Problem(
            call, f"{listed}: the object takes the tensor alone, its constructor axis and epsilon"
        )


RULE = Rule(
    code="PN113",
    why="It raises a TypeError as soon as it runs.",
    has_fix=True,
    find=_find,
)
