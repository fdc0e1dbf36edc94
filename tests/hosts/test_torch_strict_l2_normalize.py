"""parity="strict" on torch: l2_normalize has MindSpore's bits, forward and gradient."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("torch", reason="tests the torch host")
pytest.importorskip("numba", reason="strict parity needs Numba")

import numpy as np
import torch

import portnorm.torch as adapted
from portnorm import MindSporeReference, set_options
from tests.conftest import needs_mindspore
from tests.hosts.torch_host import (
    DTYPES,
    LAYOUTS,
    in_layout,
    live_l2_normalize,
    mindspore,
    normal,
    same_bits,
)

each_dtype = pytest.mark.parametrize("dtype", DTYPES)
EPSILONS = (1e-4, 1e-2, 0.5, 10.0, -1.0)
"""None is so small that MindSpore confuses it with another one."""


def strict(x: Any, *args: Any) -> Any:
    return adapted.l2_normalize(x, *args, parity="strict")


def random_call(rng: np.random.Generator, dtype: str) -> tuple[torch.Tensor, Any, float]:
    """Draw a call whose result MindSpore defines.

    Its own bits vary where something is subnormal. After a vector of zeros under a negative
    epsilon, what the same thread computes next is NaN.
    """
    shape = tuple(int(n) for n in rng.choice([1, 2, 3, 5, 8, 17], rng.integers(1, 5)))
    values = rng.uniform(0.25, 4, shape) * rng.choice([-1, 1], shape)
    values *= rng.choice([0.25, 1, 4, 300]) * (rng.random(shape) < 0.9)
    if rng.random() < 0.2:
        values = np.where(rng.random(shape) < 0.1, rng.choice([math.nan, math.inf], shape), values)
    axis, epsilon = int(rng.integers(-len(shape), len(shape))), float(rng.choice(EPSILONS))
    if epsilon < 0:
        values = np.where(values == 0, 1, values)
    x = in_layout(values, str(rng.choice(LAYOUTS)), dtype)
    return x, axis if rng.random() < 0.7 else [axis], epsilon


def gradient(function: Callable[..., Any], x: Any, g: Any, *args: Any) -> Any:
    x = x.detach().requires_grad_()
    return torch.autograd.grad(function(x, *args), x, g)[0]


def array(x: torch.Tensor) -> np.ndarray:
    return np.ascontiguousarray(x.detach().numpy())


def laid_out_as(values: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(like).copy_(torch.from_numpy(values))


@needs_mindspore
@each_dtype
def test_the_bits_are_those_of_mindspore(rng: Any, dtype: str) -> None:
    for _ in range(80):
        x, *arguments = random_call(rng, dtype)
        got = strict(x, *arguments)
        expected = laid_out_as(live_l2_normalize(array(x), *arguments), got)
        assert same_bits(got, expected), (x.shape, x.stride(), arguments)


@needs_mindspore
@each_dtype
def test_the_gradient_has_the_bits_of_mindspore(rng: Any, dtype: str) -> None:
    ms = mindspore()
    for _ in range(40):
        x, *arguments = random_call(rng, dtype)
        g = in_layout(rng.uniform(0.5, 2, x.shape), str(rng.choice(LAYOUTS)), dtype)

        def weighted(x: Any, g: Any, arguments: Any = arguments) -> Any:
            return ms.ops.L2Normalize(*arguments)(x) * g

        live = ms.grad(weighted)(ms.Tensor(array(x)), ms.Tensor(array(g))).asnumpy()
        got = gradient(strict, x, g, *arguments)
        assert same_bits(got, laid_out_as(live, got)), (x.shape, x.stride(), arguments)


@each_dtype
@pytest.mark.parametrize("layout", LAYOUTS)
def test_results_lie_as_those_of_a_division_by_the_norms_do(
    rng: Any, dtype: str, layout: str
) -> None:
    x = in_layout(normal(rng, 2, 3, 1, 7), layout, dtype)
    g = in_layout(normal(rng, 2, 3, 1, 7), "contiguous", dtype)
    for axis in range(4):
        plain = strict(x.contiguous(), axis)
        like = x / x.sum(axis, keepdim=True)
        assert same_bits(strict(x, axis), torch.empty_like(like).copy_(plain))
        plain = gradient(strict, x.contiguous(), g, axis)
        assert same_bits(gradient(strict, x, g, axis), torch.empty_like(like).copy_(plain))


def test_defects_are_kept() -> None:
    # float16 overflows; below the floor the gradient is 100 times that of the forward.
    assert strict(torch.full((3,), 300.0, dtype=torch.float16)).tolist() == [0, 0, 0]
    assert gradient(strict, torch.zeros(2), torch.tensor([1.0, 0.0])).tolist() == [10000, 0]
    assert strict(torch.tensor([math.nan, 1.0]))[1] == 100


@each_dtype
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
def test_an_empty_tensor_stays_empty(dtype: str, shape: tuple[int, ...]) -> None:
    x = torch.empty(shape, dtype=getattr(torch, dtype))
    for axis in range(len(shape)):
        assert same_bits(strict(x, axis), x)
        assert gradient(strict, x, x, axis).shape == shape


def test_a_view_with_the_bit_for_negation(rng: Any) -> None:
    x = torch.complex(normal(rng, 4, 5), normal(rng, 4, 5)).conj().imag
    assert x.is_neg()
    assert torch.equal(strict(x), strict(x.clone()))


def test_the_reference_decides_the_build(rng: Any) -> None:
    x, g = normal(rng, 500), normal(rng, 500)
    x = x.requires_grad_()
    here, arm = strict(x), MindSporeReference("2.9.0", "aarch64")
    grads = torch.autograd.grad(here, x, g, retain_graph=True)
    xs = normal(rng, 2000, 20)
    plain = strict(xs, 1)
    with set_options(reference=arm):
        assert not torch.equal(strict(xs, 1), plain)
        assert torch.equal(torch.autograd.grad(here, x, g)[0], grads[0])


def test_the_option_and_the_layer_take_strict(rng: Any) -> None:
    x = torch.full((3,), 300.0, dtype=torch.float16)
    with set_options(parity="strict"):
        assert adapted.l2_normalize(x).tolist() == [0, 0, 0]
        assert adapted.L2Normalize()(x).tolist() == [0, 0, 0]
    assert adapted.L2Normalize(parity="strict")(x).tolist() == [0, 0, 0]
    assert adapted.L2Normalize()(x)[0] > 0
