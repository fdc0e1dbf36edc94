"""PN112: L2Normalize called as if it were a function."""

from __future__ import annotations

from collections.abc import Iterator

from portnorm.codemod.edits import Edit, Fix
from portnorm.codemod.rules.rule import Found, Rule
from portnorm.codemod.rules.view import Site, View


def _find(view: View) -> Iterator[Found]:
    for site in view.constructors:
        if site.keywords.keys() - {"axis", "epsilon", "parity"}:
            continue  # PN113
        if view.is_given_a_tensor(site):
            yield Found(
                site.call,
                "L2Normalize is given a tensor where its axis belongs: it is constructed first, "
                "and the object is called, as in L2Normalize(axis=-1)(x)",
                _fix(view, site),
            )


def _fix(view: View, site: Site) -> Fix | None:
    """Move the tensor behind, if the axis is there, and no comment is in the way."""
    first, *others = site.call.args
    if "axis" not in site.keywords or any(arg.keyword is None for arg in others):
        return None
    if "#" in view.module.source(first):
        return None
    start, _ = view.module.span(first)
    follows, _ = view.module.span(others[0])
    _, end = view.module.span(site.call)
    moved = Edit(end, end, f"({view.module.source(first.value)})")
    return Fix("call the object with the tensor", (Edit(start, follows, ""), moved))


RULE = Rule(
    code="PN112",
    why="It raises a TypeError as soon as it runs.",
    has_fix=True,
    find=_find,
)
