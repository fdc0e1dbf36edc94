"""PN121: calls of torch's normalize that L2Normalize cannot stand in for.

« marks where a finding begins.
"""

from __future__ import annotations

import pytest

from tests.check.rules.cases import TORCH, assert_marked, message

HITS = [
    "y = «F.normalize(x, p=1, dim=1)",
    "y = «F.normalize(x, 1)",
    "y = «F.normalize(x, p=float('inf'))",
    "y = «F.normalize(x, p=-math.inf)",
    "y = «torch.nn.functional.normalize(x, p=0.5)",
    "y = «F.normalize(x, dim=(1, 2))",
    "y = «nn.functional.normalize(x, dim=[-2, -1])",
    "y = «F.normalize(x, dim=None)",
    "y = «F.normalize(x, 2, ())",
    "«F.normalize(x, dim=1, out=x)",
    "P = 3\ny = «F.normalize(x, P)",
]
MISSES = [
    "y = F.normalize(x)",
    "y = F.normalize(x, p=2, dim=1)",
    "y = F.normalize(x, p=2.0, dim=-1, eps=1e-6)",
    "y = F.normalize(x, p=p)",
    "y = F.normalize(x, dim=dims)",
    "y = F.normalize(x, dim=(1,))",
    "y = F.normalize(x, dim=1, out=None)",
    "y = pm.normalize(x, p=1, dim=(1, 2))",
    "y = TF.normalize(x, 1, 2)",
    "y = torch.norm(x, p=1)",
    "from mindspore import mint\ny = mint.nn.functional.normalize(x, p=1, dim=(1, 2))",
    "y = F.normalize(x, **options)",
    "def f(p=1):\n    return F.normalize(x, p)",
]


@pytest.mark.parametrize("case", [*HITS, *MISSES])
def test_it_reports_what_is_wrong_and_nothing_else(case: str) -> None:
    assert_marked("PN121", TORCH, case)


def test_there_are_as_many_cases_to_leave_alone_as_to_report() -> None:
    assert len(MISSES) >= len(HITS)


def test_the_message_has_the_numbers() -> None:
    assert "p=1: it" in message("PN121", TORCH, "F.normalize(x, 1, (0, 1), out=x)")
