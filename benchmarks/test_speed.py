"""How fast portnorm is, against the functions of the frameworks.

    pytest benchmarks/test_speed.py

What is timed against what stands in `portnorm.bench.cases`.
"""

from __future__ import annotations

from typing import Any

import pytest

from portnorm.bench import CASES, Case, prepare


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_speed(against: Any, case: Case) -> None:
    pytest.importorskip(case.host)
    prepare(case.host)
    against(case.name, case.goal, case.pair())
