"""PN112: L2Normalize called as if it were a function. « marks where a finding begins."""

from __future__ import annotations

import pytest

from tests.check.rules.cases import MINDSPORE, assert_marked

HITS = [
    "class A(nn.Cell):\n    def construct(self, x):\n        return «ops.L2Normalize(x)",
    "class A(nn.Cell):\n    def construct(self, k, x):\n        return «ops.L2Normalize(x)",
    "y = «ops.L2Normalize(Tensor([1.0]))",
    "y = «ops.L2Normalize(ops.ones((2, 3)))",
    "y = «ops.L2Normalize(x, axis=1)",
    "y = «ops.L2Normalize(x, axis=1, epsilon=1e-6)",
    "y = «ops.L2Normalize(x.reshape(2, 3))",
    "y = «ops.L2Normalize(a @ b)",
    "y = «ops.L2Normalize(x[:, 0])",
    "y = «ops.L2Normalize(x[1:])",
    "y = «ops.L2Normalize(x.abs()[0])",
    "def f(x):\n    y = «ops.L2Normalize(x)\n    return y, x.shape",
    "x = Tensor([1.0])\ny = «ops.L2Normalize(2 * x, epsilon=1e-6)",
    "y = «pt.L2Normalize(x, axis=-1)",
]
MISSES = [
    "n = ops.L2Normalize(axis)",
    "n = ops.L2Normalize(d)",
    "n = ops.L2Normalize(self.axis)",
    "def f(axis):\n    return ops.L2Normalize(axis)",
    "def f(d):\n    return ops.L2Normalize(d)",
    "def f(x):\n    return ops.L2Normalize(x)(y), x.shape",
    "n = ops.L2Normalize(x.ndim - 1)",
    "n = ops.L2Normalize(len(x.shape) - 1)",
    "n = ops.L2Normalize((1,))",
    "n = ops.L2Normalize(axes[0])",
    "class A(nn.Cell):\n    def construct(self, x, axis):\n        n = ops.L2Normalize(axis)",
    "class A(nn.Cell):\n    def construct(self, x):\n        n = ops.L2Normalize(-1)",
    "class A(nn.Cell):\n    def construct(self, x, k):\n        return ops.L2Normalize(k)(x)",
    "y = pm.normalize(x, 2)",
    "y = pm.l2_normalize(x, axis=1)",
]


@pytest.mark.parametrize("case", [*HITS, *MISSES])
def test_it_reports_what_is_wrong_and_nothing_else(case: str) -> None:
    assert_marked("PN112", MINDSPORE, case)


def test_there_are_as_many_cases_to_leave_alone_as_to_report() -> None:
    assert len(MISSES) >= len(HITS)
