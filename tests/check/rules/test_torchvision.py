"""PN122: torchvision's normalize taken for torch's. « marks where a finding begins."""

from __future__ import annotations

import pytest

from tests.check.rules.cases import TORCH, assert_marked

HITS = [
    "y = «TF.normalize(x, dim=1)",
    "y = «TF.normalize(x, p=2)",
    "y = «TF.normalize(x, 2, 1)",
    "y = «F.normalize(img, mean=[0.5], std=[0.5])",
    "y = «F.normalize(img, [0.485, 0.456], [0.229, 0.224])",
    "MEAN = (0.5, 0.5)\ny = «F.normalize(img, MEAN, MEAN)",
    "from torchvision.transforms.v2.functional import normalize as n\ny = «n(x, eps=1e-6)",
    "y = «pm.normalize(img, mean=m, std=s)",
    "y = «F.normalize(img, m, s, inplace=True)",
]
MISSES = [
    "y = TF.normalize(img, [0.5], [0.5])",
    "y = TF.normalize(img, mean=m, std=s, inplace=True)",
    "y = TF.normalize(img, m, s)",
    "y = F.normalize(x, 2, 1)",
    "y = F.normalize(x, p, dim=(1, 2))",
    "y = F.normalize(x, dim=[1, 2])",
    "y = other.normalize(img, mean=m, std=s)",
    "t = transforms.Normalize([0.5], [0.5])",
    "y = normalize(x, dim=1)",
]


@pytest.mark.parametrize("case", [*HITS, *MISSES])
def test_it_reports_what_is_wrong_and_nothing_else(case: str) -> None:
    assert_marked("PN122", TORCH, case)


def test_there_are_as_many_cases_to_leave_alone_as_to_report() -> None:
    assert len(MISSES) >= len(HITS)
