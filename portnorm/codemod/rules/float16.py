"""PN105: an epsilon that float16 rounds to 0."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from portnorm.codemod.rules.rule import Found, Rule
from portnorm.codemod.rules.view import Site, View
from portnorm.semantics import NORMALIZE, round_to


def _find(view: View) -> Iterator[Found]:
    for site in view.normalizes:
        if view.values.is_float16(site.given("input")):
            eps = NORMALIZE.eps if site.leaves_out("eps") else view.values.number(site.given("eps"))
            if _vanishes(eps):
                yield Found(
                    site.call,
                    f"float16 rounds eps={eps:g} to 0: a vector of zeros gives NaN; "
                    "pass 1e-7 or more",
                )
    for site in view.constructors:
        epsilon = view.values.number(site.given("epsilon"))
        if _vanishes(epsilon):
            for call in _on_float16(view, site):
                yield Found(
                    call, f"float16 rounds epsilon={epsilon:g} to 0, and L2Normalize refuses 0"
                )


def _on_float16(view: View, site: Site) -> Iterator[cst.Call]:
    for call in view.module.applications(site.use):
        if call.args and view.values.is_float16(call.args[0].value):
            yield call


def _vanishes(eps: float | None) -> bool:
    return eps is not None and eps > 0 and round_to(float(eps), "float16") == 0


RULE = Rule(
    code="PN105",
    why="Vectors of zeros, such as padding, become NaN; L2Normalize raises an error.",
    has_fix=False,
    find=_find,
)
