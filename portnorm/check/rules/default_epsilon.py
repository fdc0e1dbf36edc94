"""PN101: L2Normalize with the default epsilon."""

from __future__ import annotations

from collections.abc import Iterator

from portnorm.check.rule import Problem, Rule
from portnorm.check.view import View
from portnorm.semantics import L2NORMALIZE, NORMALIZE


def _find(view: View) -> Iterator[Problem]:
    floor = L2NORMALIZE.floor()
    for site in view.working_constructors:
        if site.leaves_out("epsilon"):
            yield Problem(
                site.call,
                f"epsilon is left at {L2NORMALIZE.eps:g}: vectors with a norm below {floor:g} are "
                f"divided by {floor:g}; torch does so below {NORMALIZE.floor():g} only",
            )


RULE = Rule(
    code="PN101",
    why="Vectors with a norm below 0.01 do not come out with norm 1, as they do in torch.",
    has_fix=False,
    find=_find,
)
