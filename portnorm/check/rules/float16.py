"""PN105: an epsilon that float16 rounds to 0."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from portnorm.check.rule import Problem, Rule
from portnorm.check.view import Site, View
from portnorm.semantics import NORMALIZE, round_to
from portnorm.source.names import arguments


def _find(view: View) -> Iterator[Problem]:
    for site in view.normalizes:
        if view.values.is_float16(site.given("input")):
            eps = NORMALIZE.eps if site.leaves_out("eps") else view.values.number(site.given("eps"))
            if _vanishes(eps):
                yield Problem(
                    site.call,
                    f"float16 rounds eps={eps:g} to 0: a vector of zeros gives NaN; "
                    "pass 1e-7 or more",
                )
    for site in view.constructors:
        epsilon = view.values.number(site.given("epsilon"))
        if _vanishes(epsilon):
            for call in _on_float16(view, site):
                yield Problem(
                    call, f"float16 rounds epsilon={epsilon:g} to 0, and L2Normalize refuses 0"
                )


def _on_float16(view: View, site: Site) -> Iterator[ast.Call]:
    for call in view.module.applications(site.use):
        given = arguments(call)
        if given and view.values.is_float16(given[0].value):
            yield call


def _vanishes(eps: float | None) -> bool:
    return eps is not None and eps > 0 and round_to(float(eps), "float16") == 0


RULE = Rule(
    code="PN105",
    why="Vectors of zeros, such as padding, become NaN; L2Normalize raises an error.",
    has_fix=False,
    find=_find,
)
