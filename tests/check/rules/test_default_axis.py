"""PN111: L2Normalize with the default axis. « marks where a finding begins."""

from __future__ import annotations

import pytest

from tests.check.rules.cases import MINDSPORE, assert_marked

HITS = [
    "y = «ops.L2Normalize()(x)",
    "y = «ops.L2Normalize(epsilon=1e-6)(x)",
    "class A(nn.Cell):\n    def __init__(self):\n        self.n = «P.L2Normalize()",
    "from mindspore.ops._primitive_cache import _get_cache_prim\n"
    "y = «_get_cache_prim(ops.L2Normalize)()(x)",
]
MISSES = [
    "y = ops.L2Normalize(axis=0)(x)",
    "y = ops.L2Normalize(0)(x)",
    "y = ops.L2Normalize(axis)(x)",
    "y = pm.L2Normalize()(x)",
    "y = ops.L2Normalize(**options)(x)",
    "n = ops.L2Normalize",
]


@pytest.mark.parametrize("case", [*HITS, *MISSES])
def test_it_reports_what_is_wrong_and_nothing_else(case: str) -> None:
    assert_marked("PN111", MINDSPORE, case)


def test_there_are_as_many_cases_to_leave_alone_as_to_report() -> None:
    assert len(MISSES) >= len(HITS)
