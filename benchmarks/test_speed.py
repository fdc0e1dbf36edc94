"""How fast portnorm is, against the functions of the frameworks.

    pytest benchmarks/test_speed.py

What is timed against what stands in `portnorm.bench.cases`. The bits of a CUDA device are timed
against those of a CPU, both computed here.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from portnorm.bench import CASES, Case, prepare
from portnorm.bench.cases import EXACT, Pair
from portnorm.exact import torch_cpu, torch_cuda


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_speed(against: Any, case: Case) -> None:
    pytest.importorskip(case.host)
    prepare(case.host)
    against(case.name, case.goal, case.pair(), least=least(case))


def least(case: Case) -> Callable[[], Any] | None:
    """Return what takes as long as the memory that a case moves, where that is what holds it up."""
    if case.host != "mindspore" or case.gradient or math.prod(case.shape) < 1 << 20:
        return None
    x = np.ones(case.shape, case.dtype)
    if case.function == EXACT:
        return x.copy
    if not case.jit:
        return None
    import mindspore

    returned = mindspore.ops.Custom(_returned, _returned, _returned, "pyfunc")

    @mindspore.jit
    def graph(x: Any) -> Any:
        return returned(x)

    tensor = mindspore.Tensor(x)
    return lambda: graph(tensor).asnumpy()


def _returned(x: Any) -> Any:
    return x


def test_strict_rows_take_little_more_than_those_of_torch(against: Any) -> None:
    torch = pytest.importorskip("torch")
    adapted = pytest.importorskip("portnorm.torch")
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((1024, 1024), np.float32))
    pair = Pair(
        lambda: adapted.l2_normalize(x, 1, parity="strict"),
        lambda: torch.nn.functional.normalize(x, dim=1),
    )
    against("torch l2_normalize strict float32 (1024, 1024) dim 1", 1.2, pair)


def test_a_large_strict_gradient_takes_twice_that_of_normalize_at_most(against: Any) -> None:
    torch = pytest.importorskip("torch")
    adapted = pytest.importorskip("portnorm.torch")
    x, g = torch.randn(2, 65536, 1024)
    x.requires_grad_()
    functions = (adapted.l2_normalize, adapted.normalize)
    l2, normalize = (functools.partial(f, x, parity="strict") for f in functions)
    against(
        "torch l2_normalize strict grad float32 (65536, 1024) dim 1, of normalize's",
        2.0,
        Pair(
            lambda: torch.autograd.grad(l2(axis=1), x, g),
            lambda: torch.autograd.grad(normalize(dim=1), x, g),
        ),
    )


@pytest.mark.parametrize(
    ("shape", "dim"), [((8192, 1024), 1), ((1024, 1024), 1), ((1024, 1024), 0)]
)
def test_the_bits_of_a_cuda_device_take_twice_as_long_at_most(
    against: Any, shape: tuple[int, int], dim: int
) -> None:
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    device, cpu = (lambda f=f: f(x, 2.0, dim) for f in (torch_cuda.normalize, torch_cpu.normalize))
    against(f"CUDA device, exact forward float32 {shape} dim {dim}", 2.0, Pair(device, cpu))
