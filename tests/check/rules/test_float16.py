"""PN105: an epsilon that float16 rounds to 0. « marks where a finding begins."""

from __future__ import annotations

import pytest

from portnorm.semantics import round_to
from tests.check.rules.cases import MINDSPORE, assert_marked, message

HITS = [
    "y = «pm.normalize(x.half(), dim=1)",
    "y = «pm.normalize(x.astype(ms.float16))",
    "y = «pm.normalize(x.astype('float16'), eps=1e-8)",
    "y = «pm.normalize(ops.cast(x, ms.float16))",
    "y = «pm.normalize(Tensor([0.0], dtype=ms.float16))",
    "y = «pm.normalize(Tensor(a, ms.float16), 2.0, 1, 1e-12)",
    "y = «ops.L2Normalize(1, 1e-12)(x.half())",
    "n = ops.L2Normalize(1, 1e-8)\ny = «n(x.astype(ms.float16))\nz = n(w)",
    "x = x.half()\ny = «pm.normalize(x)",
    "def f(x):\n    h = x.to(ms.float16)\n    z = 1\n    return «pm.normalize(h)",
    "y = «pt.L2Normalize(1, 1e-12)(x.half())",
    "y = «pm.normalize(ops.zeros((2, 3), dtype=ms.float16))",
]
MISSES = [
    "y = pm.normalize(x)",
    "y = pm.normalize(x.half(), eps=1e-7)",
    "y = pm.normalize(x.half(), eps=eps)",
    "y = pm.normalize(x.astype(ms.float32))",
    "y = pm.normalize(x.astype(dtype))",
    "y = pm.normalize(half(x))",
    "y = pm.normalize(x.half().float())",
    "y = pm.normalize(x.half(), **options)",
    "x = x.half()\nx = x.float()\ny = pm.normalize(x)",
    "x = x.half()\nif a:\n    x = x.float()\ny = pm.normalize(x)",
    "n = ops.L2Normalize(1, 1e-12)\ny = n(x)",
    "n = ops.L2Normalize(1)\ny = n(x.half())",
    "y = pm.normalize(x.half(n))",
    "n = ops.L2Normalize(1, 0.0)\ny = n(x.half())",
]


@pytest.mark.parametrize("case", [*HITS, *MISSES])
def test_it_reports_what_is_wrong_and_nothing_else(case: str) -> None:
    assert_marked("PN105", MINDSPORE, case)


def test_there_are_as_many_cases_to_leave_alone_as_to_report() -> None:
    assert len(MISSES) >= len(HITS)


def test_the_message_has_the_numbers() -> None:
    assert "float16 rounds eps=1e-12 to 0" in message("PN105", MINDSPORE, "pm.normalize(x.half())")


def test_eps_that_float16_holds_is_not_reported() -> None:
    edge = 2.0**-25
    assert round_to(edge, "float16") == 0 < round_to(edge * 1.001, "float16")
    for eps, mark in [(edge, "«"), (edge * 1.001, "")]:
        assert_marked("PN105", MINDSPORE, f"y = {mark}pm.normalize(x.half(), eps={eps!r})")
