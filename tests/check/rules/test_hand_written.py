"""PN131: normalization that is written by hand. « marks where a finding begins."""

from __future__ import annotations

import pytest

from portnorm.check import DEFAULT, selected
from tests.check.rules.cases import MINDSPORE, TORCH, assert_marked, message

HITS = [
    (TORCH, "y = «x / x.norm(dim=1, keepdim=True)"),
    (TORCH, "n = torch.norm(x, dim=1, keepdim=True)\ny = a + «x / n"),
    (TORCH, "«x /= x.norm(dim=1, keepdim=True)"),
    (TORCH, "y = «torch.div(x, torch.linalg.norm(x))"),
    (MINDSPORE, "y = «x * ops.rsqrt(ops.ReduceSum(True)(ops.square(x), 1) + 1e-6)"),
    (MINDSPORE, "class L(nn.Cell):\n    def construct(self, x):\n        return «x / x.norm()"),
]
MISSES = [
    (TORCH, "y = x / y.norm(dim=1, keepdim=True)"),
    (TORCH, "y = x / x.norm(dim=1)"),
    (TORCH, "y = x / x.norm(p=1, dim=1, keepdim=True)"),
    (TORCH, "y = F.normalize(x)"),
    (TORCH, "y = loss / x.norm()"),
    (MINDSPORE, "y = x / np.linalg.norm(x)"),
    (MINDSPORE, "y = ops.L2Normalize(1)(x)"),
]


@pytest.mark.parametrize(("head", "case"), [*HITS, *MISSES])
def test_it_reports_what_is_there_and_nothing_else(head: str, case: str) -> None:
    assert_marked("PN131", head, case)


def test_there_are_as_many_cases_to_leave_alone_as_to_report() -> None:
    assert len(MISSES) >= len(HITS)


def test_it_is_looked_for_on_demand_only() -> None:
    assert not {"PN131", "PN132"} & selected(DEFAULT, ())


@pytest.mark.parametrize(
    ("head", "case", "said"),
    [
        (
            TORCH,
            "y = x / x.norm(dim=1, keepdim=True)",
            "x / norm is written by hand: a vector of zeros gives NaN, and its gradient is NaN; "
            "torch.nn.functional.normalize(x, dim=1, eps=0.0) has the same numbers",
        ),
        (
            MINDSPORE,
            "y = x / ops.norm(x)",
            "x / norm is written by hand: a vector of zeros gives NaN, and its gradient is NaN; "
            "portnorm.mindspore.normalize(x, dim=None, eps=0.0) has the same numbers",
        ),
        (
            TORCH,
            "y = x / (x.norm(dim=1, keepdim=True) + 1e-8)",
            "x / (norm + 1e-08) is written by hand: a vector of zeros gives 0, and its gradient is "
            "1e+08 times what arrives; no call has the same numbers",
        ),
        (
            MINDSPORE,
            "y = x / (x.norm(dim=1, keepdim=True) + eps)",
            "x / (norm + eps) is written by hand: a vector of zeros gives 0, and its gradient is "
            "NaN; no call has the same numbers",
        ),
        (
            TORCH,
            "y = x * torch.rsqrt((x * x).sum(1, keepdim=True) + eps)",
            "x / sqrt(sum + eps) is written by hand: a vector of zeros gives 0, and its gradient "
            "is 1/sqrt(eps) times what arrives; no call has the same numbers",
        ),
        (
            TORCH,
            "y = x * torch.rsqrt((x * x).sum(1, keepdim=True) + 1e-6)",
            "x / sqrt(sum + 1e-06) is written by hand: a vector of zeros gives 0, and its gradient "
            "is 1000 times what arrives; no call has the same numbers",
        ),
        (
            MINDSPORE,
            "y = x / ops.maximum(ops.norm(x), 1e-12)",
            "x / max(norm, 1e-12) is written by hand: a vector of zeros gives 0, and its gradient "
            "is NaN; no call has the same numbers: NaN is the gradient of a zero vector as it is "
            "written, and not of the call",
        ),
        (
            MINDSPORE,
            "y = x / ops.norm(x, 2, 1, True)",
            "x / max(norm, 1e-12) is written by hand: a vector of zeros gives 0, and its gradient "
            "is 1e+12 times what arrives; no call has the same numbers: MindSpore's LpNorm, which "
            "computes this norm, has another gradient below its epsilon",
        ),
    ],
)
def test_the_message_has_the_form_and_the_exact_call(head: str, case: str, said: str) -> None:
    assert message("PN131", head, case) == said
