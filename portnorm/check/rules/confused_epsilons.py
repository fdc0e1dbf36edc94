"""PN103: epsilons of L2Normalize that MindSpore takes for one."""

from __future__ import annotations

from collections.abc import Iterator

from portnorm.check.rule import Problem, Rule
from portnorm.check.view import View
from portnorm.semantics import EPSILONS_MERGED_WITHIN, L2NORMALIZE, round_to


def _find(view: View) -> Iterator[Problem]:
    earlier: list[tuple[float, int]] = []
    for site in view.working_constructors:
        left_out = L2NORMALIZE.eps if site.leaves_out("epsilon") else None
        epsilon = view.values.number(site.given("epsilon")) or left_out
        if epsilon is None:
            continue
        for other, line in earlier:
            if _are_confused(epsilon, other):
                yield Problem(
                    site.call,
                    f"MindSpore may run this with epsilon={other:g} from line {line}: it takes "
                    f"operators for one whose epsilons are as close as {epsilon:g} and {other:g}",
                )
                break
        earlier.append((float(epsilon), site.use.line))


def _are_confused(a: float, b: float) -> bool:
    a, b = round_to(a, "float32"), round_to(b, "float32")
    return a != b and abs(a - b) < EPSILONS_MERGED_WITHIN


RULE = Rule(
    code="PN103",
    why="The operator that runs first decides the epsilon of both, and nothing says so.",
    has_fix=False,
    find=_find,
)
