"""PN113: the keywords of one function given to the other. « marks where a finding begins."""

from __future__ import annotations

import pytest

from tests.check.rules.cases import MINDSPORE, assert_marked, message

HITS = [
    "y = «ops.L2Normalize(x, p=2, dim=1)",
    "n = «ops.L2Normalize(axis=1, eps=1e-12)",
    "n = «ops.L2Normalize(dim=1)",
    "n = «P.L2Normalize(1, p=2)",
    "n = ops.L2Normalize(1)\ny = «n(x, dim=-1)",
    "y = «ops.L2Normalize()(x, axis=1)",
    "class A(nn.Cell):\n    def __init__(self):\n        self.n = ops.L2Normalize()\n"
    "    def construct(self, x):\n        return «self.n(x, dim=-1)",
    "y = «pm.normalize(x, axis=1)",
    "y = «pm.normalize(x, epsilon=1e-4)",
    "n = «pt.L2Normalize(dim=1)",
    "y = «ops.L2Normalize(input=x, dim=1)",
]
MISSES = [
    "y = ops.L2Normalize(axis=1, epsilon=1e-4)(x)",
    "y = pm.normalize(x, p=2, dim=1, eps=1e-12, out=None, parity='native')",
    "n = pt.L2Normalize(axis=1, epsilon=1e-4, parity='strict')",
    "n = ops.L2Normalize(**{'dim': 1})",
    "y = other.normalize(x, axis=1)",
    "n = ops.L2Normalize(1)\ny = m(x, dim=1)",
    "n = ops.L2Normalize(1)\nn = other\ny = n(x, dim=1)",
    "y = pm.l2_normalize(x, axis=1, epsilon=1e-4)",
    "y = np.linalg.norm(x, axis=1)",
    "n = nn.Norm(axis=1)\ny = n(x)",
    "y = ops.L2Normalize(1)(ops.mean(x, axis=1))",
]


@pytest.mark.parametrize("case", [*HITS, *MISSES])
def test_it_reports_what_is_wrong_and_nothing_else(case: str) -> None:
    assert_marked("PN113", MINDSPORE, case)


def test_there_are_as_many_cases_to_leave_alone_as_to_report() -> None:
    assert len(MISSES) >= len(HITS)


def test_the_message_has_the_numbers() -> None:
    assert "p= and dim=: L2Normalize takes axis" in message(
        "PN113", MINDSPORE, "ops.L2Normalize(x, p=2, dim=1)"
    )
