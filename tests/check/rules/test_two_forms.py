"""PN132: two forms of normalization in one place. « marks where a finding begins."""

from __future__ import annotations

import pytest

from portnorm.check import check, normalizations
from portnorm.source.files import SourceFile
from tests.check.rules.cases import MINDSPORE, TORCH, assert_marked, marked, message

HITS = [
    (TORCH, "y = F.normalize(x)\nz = «x / x.norm(dim=1, keepdim=True)"),
    (TORCH, "y = x / x.norm(dim=1, keepdim=True)\nz = «F.normalize(x)\nw = F.normalize(z)"),
    (TORCH, "y = F.normalize(x)\nz = «F.normalize(x, eps=1e-6)"),
    (TORCH, "y = x / (x.norm() + 1e-8)\nz = «x / (x.norm() + 1e-6)"),
    (TORCH, "y = x / (x.norm() + eps)\nz = «x / x.norm().clamp(min=eps)"),
    (TORCH, "y = x / (x.norm() + eps)\nz = «F.normalize(x, eps=eps)"),
    (
        TORCH,
        "r = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)\n"
        "y = F.normalize(x)\nz = «x / x.norm(dim=1, keepdim=True)",
    ),
    (MINDSPORE, "y = ops.L2Normalize(1)(x)\nz = «ops.L2Normalize(1, 1e-12)(x)"),
    (MINDSPORE, "y = ops.L2Normalize(1)(x)\nz = «x / ops.norm(x, dim=1, keepdim=True)"),
]
MISSES = [
    (TORCH, "y = F.normalize(x)\nz = F.normalize(x, dim=0)"),
    (TORCH, "y = F.normalize(x)\nz = x / x.norm(dim=1, keepdim=True).clamp(min=1e-12)"),
    (TORCH, "y = F.normalize(x)\nz = F.normalize(x, p=1, eps=1e-3)"),
    (TORCH, "y = F.normalize(x, eps=0.0)\nz = x / x.norm(dim=1, keepdim=True)"),
    (
        TORCH,
        "y = F.normalize(x, eps=1e-6)\n"
        "z = x / (x * x).sum(1, keepdim=True).clamp(min=1e-12).sqrt()",
    ),
    (TORCH, "y = F.normalize(x, eps=a)\nz = F.normalize(x, eps=b)"),
    (TORCH, "y = F.normalize(x, eps=a)\nz = F.normalize(x, **more)"),
    (TORCH, "y = F.normalize(x)\nr = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)"),
    (TORCH, "y = x / (x.norm() + 1e-8)\nz = w / (w.norm(dim=1, keepdim=True) + 1e-8)"),
    (TORCH, "y = F.normalize(x)\nz = x / y.norm(dim=1, keepdim=True)"),
    (MINDSPORE, "y = ops.L2Normalize(1)(x)\nz = pm.normalize(x, eps=1e-2)"),
]


@pytest.mark.parametrize(("head", "case"), [*HITS, *MISSES])
def test_it_reports_what_differs_and_nothing_else(head: str, case: str) -> None:
    assert_marked("PN132", head, case)


def test_there_are_as_many_cases_to_leave_alone_as_to_report() -> None:
    assert len(MISSES) >= len(HITS)


def test_the_message_says_where_the_numbers_differ() -> None:
    case = "y = ops.L2Normalize(1)(x)\nz = x / ops.norm(x, dim=1, keepdim=True)"
    assert message("PN132", MINDSPORE, case) == (
        "x / norm here and x / sqrt(max(sum, 0.0001)) in line 7: the numbers differ where the norm "
        "is below 0.01; a vector of zeros gives NaN here and 0 there"
    )


ORIGINAL = f"{TORCH}y = F.normalize(x)\nz = x / (x.norm(dim=1, keepdim=True) + 1e-8)\n"
PORTS = [
    "y = «ops.L2Normalize(1)(x)\nz = ops.L2Normalize(1)(x)",
    "y = pm.normalize(x)\nz = «x / ops.norm(x, dim=1, keepdim=True)",
    "y = pm.normalize(x)\nz = «x / (x.norm(dim=1, keepdim=True) + 1e-6)",
    "y = pm.normalize(x)\nz = x / (x.norm(dim=1, keepdim=True) + 1e-8)",
    "y = pm.normalize(x)\nz = x * ops.rsqrt(ops.ReduceMean(True)(x * x, -1) + 1e-6)",
    "y = ops.L2Normalize(1, epsilon)(x)",
    "y = «pm.L2Normalize(1)(x)",
    "y = «pm.l2_normalize(x, 1, 1e-12)",
    "y = pm.l2_normalize(x, 1, 1e-24)",
]


@pytest.mark.parametrize("case", PORTS)
def test_a_port_has_the_forms_of_its_original(case: str) -> None:
    text, places = marked(f"{MINDSPORE}{case}\n")
    original = normalizations(SourceFile.parse("old.py", ORIGINAL.encode()))
    found = check(
        SourceFile.parse("new.py", text.encode()), frozenset({"PN132"}), original=original
    )
    assert [(one.line, one.column) for one in found.findings] == places
    assert all(" of the original: the numbers differ " in one.message for one in found.findings)
