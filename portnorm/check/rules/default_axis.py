"""PN111: L2Normalize with the default axis."""

from __future__ import annotations

from collections.abc import Iterator

from portnorm.check.rule import Problem, Rule
from portnorm.check.view import View
from portnorm.semantics import L2NORMALIZE, NORMALIZE


def _find(view: View) -> Iterator[Problem]:
    for site in view.working_constructors:
        if site.leaves_out("axis"):
            yield Problem(
                site.call,
                f"axis is left at {L2NORMALIZE.axis}, the batch of most tensors; torch's normalize "
                f"has dim={NORMALIZE.axis}: write the axis that is meant",
            )


RULE = Rule(
    code="PN111",
    why="In a batch of vectors each column is normalized over the batch, and not each vector.",
    has_fix=False,
    find=_find,
)
