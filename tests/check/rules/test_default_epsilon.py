"""PN101: L2Normalize with the default epsilon. « marks where a finding begins."""

from __future__ import annotations

import pytest

from tests.check.rules.cases import MINDSPORE, assert_marked, message

HITS = [
    "y = «ops.L2Normalize(axis=1)(x)",
    "y = «ops.L2Normalize()(x)",
    "y = «P.L2Normalize(-1)(x)",
    "y = «ms.ops.L2Normalize(axis=(1,))(x)",
    "from mindspore.ops import L2Normalize as N\nn = «N(axis)",
    "from mindspore.ops._primitive_cache import _get_cache_prim\n"
    "y = «_get_cache_prim(ops.L2Normalize)(1)(x)",
    "class A(nn.Cell):\n    def __init__(self, axis):\n        self.n = «ops.L2Normalize(axis)",
    "n = «ops.L2Normalize(axis=1).shard(((1, 1),))",
    "def f(x):\n    from mindspore.ops import L2Normalize\n    return «L2Normalize(axis=1)(x)",
    "n = «(ops.L2Normalize)(\n    axis=1,\n)",
]
MISSES = [
    "y = ops.L2Normalize(axis=1, epsilon=1e-4)(x)",
    "y = ops.L2Normalize(1, epsilon)(x)",
    "y = pm.L2Normalize(axis=1)(x)",
    "y = pt.L2Normalize()(x)",
    "y = pm.l2_normalize(x)",
    "n = ops.L2Normalize(*arguments)",
    "n = ops.L2Normalize(**options)",
    "n = other.L2Normalize(axis=1)",
    "class L2Normalize:\n    pass\nn = L2Normalize()",
    "n = nn.L2Normalize()",
    "# ops.L2Normalize()\ns = 'ops.L2Normalize()'",
    "from mindspore.ops import L2Normalize",
]


@pytest.mark.parametrize("case", [*HITS, *MISSES])
def test_it_reports_what_is_wrong_and_nothing_else(case: str) -> None:
    assert_marked("PN101", MINDSPORE, case)


def test_there_are_as_many_cases_to_leave_alone_as_to_report() -> None:
    assert len(MISSES) >= len(HITS)


def test_the_message_has_the_numbers() -> None:
    assert "norm below 0.01 are divided by 0.01" in message(
        "PN101", MINDSPORE, "n = ops.L2Normalize(1)"
    )
