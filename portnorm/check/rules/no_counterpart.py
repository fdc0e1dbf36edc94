"""PN121: calls of torch's normalize that L2Normalize cannot stand in for."""

from __future__ import annotations

from collections.abc import Iterator

from portnorm.check.rule import Problem, Rule
from portnorm.check.view import Site, View
from portnorm.source.values import UNKNOWN


def _find(view: View) -> Iterator[Problem]:
    for site in view.normalizes:
        is_of_torch = site.native and site.use.framework == "torch"
        if is_of_torch and (reasons := list(_reasons(view, site))):
            yield Problem(site.call, f"L2Normalize has no counterpart of {', '.join(reasons)}")


def _reasons(view: View, site: Site) -> Iterator[str]:
    p = view.values.number(site.given("p"))
    if p is not None and p != 2:
        yield f"p={p:g}: it has p=2 only"
    dim = site.given("dim")
    value = UNKNOWN if dim is None else view.values.constant(dim)
    if value is None or value == ():
        yield "all dims at once: it takes one axis"
    elif isinstance(value, tuple) and len(value) > 1:
        yield f"{len(value)} dims at once: it takes one axis"
    out = site.given("out")
    if out is not None and view.values.constant(out) is not None:
        yield "out="


RULE = Rule(
    code="PN121",
    why="A port to L2Normalize computes something else, or is no port; portnorm.mindspore has all.",
    has_fix=False,
    find=_find,
)
