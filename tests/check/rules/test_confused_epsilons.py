"""PN103: epsilons of L2Normalize that MindSpore takes for one. « marks where a finding begins."""

from __future__ import annotations

import pytest

from tests.check.rules.cases import MINDSPORE, assert_marked, message

HITS = [
    "a = ops.L2Normalize(1, 1e-24)\nb = «ops.L2Normalize(1, 1e-20)",
    "a = ops.L2Normalize(1, 1e-16)\nb = «ops.L2Normalize(0, 2e-16)",
    "a = ops.L2Normalize(1, 1e-24)\nb = «ops.L2Normalize(1, 1e-20)\nc = «ops.L2Normalize(1, 3e-18)",
    "a = ops.L2Normalize(1, e)\nb = ops.L2Normalize(1, 1e-24)\nc = «ops.L2Normalize(1, 1e-20)",
    "E = 1e-12\na = ops.L2Normalize(1, E ** 2)\nb = «ops.L2Normalize(1, E ** 2 * 4)",
    "class A:\n    def __init__(self):\n        self.n = ops.L2Normalize(1, 1e-24)\n"
    "class B:\n    def __init__(self):\n        self.n = «P.L2Normalize(1, 1e-30)",
]
MISSES = [
    "a = ops.L2Normalize(1, 1e-24)\nb = ops.L2Normalize(0, 1e-24)",
    "a = ops.L2Normalize(1, 1e-12)\nb = ops.L2Normalize(1, 2e-12)",
    "a = ops.L2Normalize(1, 1e-4)\nb = ops.L2Normalize(1, 1e-24)",
    "a = ops.L2Normalize(1)\nb = ops.L2Normalize(1)",
    "a = pm.L2Normalize(1, 1e-24)\nb = ops.L2Normalize(1, 1e-20)",
    "a = pm.L2Normalize(1, 1e-24)\nb = pm.L2Normalize(1, 1e-20)",
    "a = ops.L2Normalize(1, e)\nb = ops.L2Normalize(1, f)",
    "a = ops.L2Normalize(1, 2 * e)\nb = ops.L2Normalize(1, 1e-24)",
    "a = ops.L2Normalize(1, e * 2)\nb = ops.L2Normalize(1, 1e-24)",
    "a = ops.L2Normalize(1, 1 / 0)\nb = ops.L2Normalize(1, -e)",
]


@pytest.mark.parametrize("case", [*HITS, *MISSES])
def test_it_reports_what_is_wrong_and_nothing_else(case: str) -> None:
    assert_marked("PN103", MINDSPORE, case)


def test_there_are_as_many_cases_to_leave_alone_as_to_report() -> None:
    assert len(MISSES) >= len(HITS)


def test_the_message_has_the_numbers() -> None:
    assert "epsilon=1e-24 from line 7" in message("PN103", MINDSPORE, HITS[0].replace("«", ""))
