"""PN112: L2Normalize called as if it were a function."""

from __future__ import annotations

from collections.abc import Iterator

from portnorm.check.rule import Problem, Rule
from portnorm.check.view import Site, View
from portnorm.source.edits import Edit, Fix
from portnorm.source.names import argument_span, arguments


def _find(view: View) -> Iterator[Problem]:
    for site in view.constructors:
        if site.keywords.keys() - {"axis", "epsilon", "parity"}:
            continue  # PN113
        if view.is_given_a_tensor(site):
            yield Problem(
                site.call,
                "L2Normalize is given a tensor where its axis belongs: it is constructed first, "
                "and the object is called, as in L2Normalize(axis=-1)(x)",
                _fix(view, site),
            )


def _fix(view: View, site: Site) -> Fix | None:
    """Move the tensor behind, if the axis is there, and no comment is in the way."""
    _, *others = arguments(site.call)
    if "axis" not in site.keywords or any(arg.keyword is None for arg in others):
        return None
    syntax = view.module.syntax
    start, end = argument_span(syntax, site.call, 0)
    follows = syntax.start(others[0].node)
    if "#" in syntax.text[start:follows]:
        return None
    behind = syntax.place(syntax.end(site.call))
    moved = Edit(behind, behind, f"({syntax.text[start:end]})")
    removed = Edit(syntax.place(start), syntax.place(follows), "")
    return Fix("call the object with the tensor", (removed, moved))


RULE = Rule(
    code="PN112",
    why="It raises a TypeError as soon as it runs.",
    has_fix=True,
    find=_find,
)
