"""How fast portnorm is, against the functions of the frameworks.

    pytest benchmarks/test_speed.py

What is timed against what stands in `portnorm.bench.cases`. The bits of a CUDA device are timed
against those of a CPU, both computed here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from portnorm.bench import CASES, Case, prepare
from portnorm.bench.cases import Pair
from portnorm.exact import torch_cpu, torch_cuda


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_speed(against: Any, case: Case) -> None:
    pytest.importorskip(case.host)
    prepare(case.host)
    against(case.name, case.goal, case.pair())


@pytest.mark.parametrize(
    ("shape", "dim"), [((8192, 1024), 1), ((1024, 1024), 1), ((1024, 1024), 0)]
)
def test_the_bits_of_a_cuda_device_take_twice_as_long_at_most(
    against: Any, shape: tuple[int, int], dim: int
) -> None:
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    device, cpu = (lambda f=f: f(x, 2.0, dim) for f in (torch_cuda.normalize, torch_cpu.normalize))
    against(f"CUDA device, exact forward float32 {shape} dim {dim}", 2.0, Pair(device, cpu))
