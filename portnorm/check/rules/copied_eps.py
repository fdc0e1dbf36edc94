"""PN102: torch's default eps given as epsilon of L2Normalize."""

from __future__ import annotations

from collections.abc import Iterator

from portnorm.check.rule import Problem, Rule
from portnorm.check.view import View
from portnorm.semantics import L2NORMALIZE, NORMALIZE


def _find(view: View) -> Iterator[Problem]:
    for site in view.working_constructors:
        given = site.given("epsilon")
        if view.values.usual_number(given) == NORMALIZE.eps:
            floor = L2NORMALIZE.floor(NORMALIZE.eps)
            unless = "" if view.values.number(given) else ", unless another one is given,"
            yield Problem(
                site.call,
                f"epsilon={NORMALIZE.eps:g} is torch's eps, which bounds the norm; epsilon bounds "
                f"the sum of squares, so this is{unless} a floor of {floor:g} on the norm",
            )


RULE = Rule(
    code="PN102",
    why="The floor on the norm is 1e-6, a million times torch's.",
    has_fix=False,
    find=_find,
)
