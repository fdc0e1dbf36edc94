"""The gradient of l2_normalize on torch is that of its formula, also at and below the floor."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("torch", reason="tests the torch host")

import torch

from portnorm.torch import _semantic, l2_normalize
from tests.hosts import exact_formula
from tests.hosts.torch_host import DTYPES, Case, random_case
from tests.hosts.wide_formula import gradient_error_in_ulp

MOST_ROUNDINGS = 4
"""In units of the machine epsilon and of ||g|| / divisor, the size of a gradient."""

PROMISED_ULP = 4
"""Of the larger of an element's gradient and its part of the cotangent."""

each_dtype = pytest.mark.parametrize("dtype", DTYPES)


def gradient(function: Callable[..., Any], x: torch.Tensor, g: torch.Tensor, *args: Any) -> Any:
    x = x.detach().requires_grad_()
    (found,) = torch.autograd.grad(function(x, *args), x, g)
    return found


def tensor(values: Any, dtype: str) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64).to(getattr(torch, dtype))


# --- against the exact derivative -----------------------------------------------------------------


def random_cotangent(rng: Any, case: Case) -> torch.Tensor:
    return torch.tensor(rng.normal(size=case.x.shape)).to(case.x.dtype)


def worst_error(got: torch.Tensor, case: Case, g: torch.Tensor) -> float:
    arguments = case.values, g.numpy(), 2, case.dim, case.floor
    exact = exact_formula.vjp(*arguments, passes_at_floor=False)
    scale = exact_formula.gradient_scale(*arguments)
    errors = exact_formula.relative_error(got.numpy(), exact, scale, case.dtype)
    return float(errors.max(initial=0))


def holds_gradient(case: Case, g: torch.Tensor) -> bool:
    """Whether the dtype holds the gradient, which float16 does not above 65504."""
    scale = exact_formula.gradient_scale(case.values, g.numpy(), 2, case.dim, case.floor)
    return bool((scale < float(torch.finfo(case.x.dtype).max)).all())


@each_dtype
def test_the_gradient_is_the_exact_one(rng: Any, dtype: str) -> None:
    checked = 0
    while checked < 100:
        case = random_case(rng, dtype)
        g = random_cotangent(rng, case)
        if holds_gradient(case, g):
            got = gradient(l2_normalize, case.x, g, case.axis, case.epsilon)
            assert worst_error(got, case, g) <= MOST_ROUNDINGS, case
            checked += 1


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize(("order", "dim"), [((0, 1, 2), 1), ((2, 0, 1), 0), ((1, 0, 2), 2)])
def test_an_element_whose_cotangent_is_small_loses_no_digit(
    rng: Any, dtype: str, order: tuple[int, ...], dim: int
) -> None:
    """Also of tensors that a CPU takes in blocks."""
    x, g = (tensor(rng.normal(size=(90, 70, 50)), dtype).permute(order) for _ in "xg")
    assert gradient(l2_normalize, x[None], g[None], dim + 1).equal(
        gradient(l2_normalize, x, g, dim)[None]
    )
    found = gradient(l2_normalize, x, g, dim)
    assert gradient_error_in_ulp(found, x, g, dim) < PROMISED_ULP
    if dtype == "float32":
        found = gradient(_semantic.formula, x, g, dim, 1e-4)
        assert gradient_error_in_ulp(found, x, g, dim) > PROMISED_ULP


def with_constant_norm(x: torch.Tensor, dim: int, epsilon: float) -> torch.Tensor:
    return x / (x * x).sum(dim, keepdim=True).clamp_min(epsilon).sqrt().detach()


def differentiated_below_the_floor(x: torch.Tensor, dim: int, epsilon: float) -> torch.Tensor:
    squares = (x * x).sum(dim, keepdim=True)
    norm = squares.sqrt()
    return x / (norm + (squares.clamp_min(epsilon).sqrt() - norm).detach())


@pytest.mark.parametrize("fault", [with_constant_norm, differentiated_below_the_floor])
def test_a_wrong_gradient_is_found(rng: Any, fault: Any) -> None:
    cases = [random_case(rng, "float64") for _ in range(60)]
    cotangents = [random_cotangent(rng, case) for case in cases]
    errors = [
        worst_error(gradient(fault, c.x, g, c.dim, c.epsilon), c, g)
        for c, g in zip(cases, cotangents, strict=True)
    ]
    assert max(errors) > MOST_ROUNDINGS


SCALES = {"below the floor": 1e-3, "above the floor": 1.0}


@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 2)])
def test_first_and_second_derivatives_agree_with_finite_differences(
    rng: Any, shape: tuple[int, ...], scale: float
) -> None:
    for axis in range(len(shape)):
        x = tensor(scale * (1 + rng.random(shape)), "float64").requires_grad_()
        step = 1e-6 * scale

        def function(x: torch.Tensor, axis: int = axis) -> torch.Tensor:
            return l2_normalize(x, axis)

        assert torch.autograd.gradcheck(function, [x], eps=step)
        assert torch.autograd.gradgradcheck(function, [x], eps=step)


def test_second_derivatives_in_float32_are_those_in_float64() -> None:
    rows = [[0.0, 0.0, 0.0], [1e-3, 2e-3, 0.0], [1.0, -2.0, 0.5], [0.0, 3.0, 0.0]]
    found = []
    for dtype in (torch.float32, torch.float64):
        x = torch.tensor(rows, dtype=dtype, requires_grad=True)
        (first,) = torch.autograd.grad(l2_normalize(x, 1).pow(3).sum(), x, create_graph=True)
        found.append(torch.autograd.grad((first * torch.arange(3)).sum(), x)[0])
    torch.testing.assert_close(found[0].double(), found[1], rtol=1e-5, atol=1e-5)


# --- where two formulas meet ----------------------------------------------------------------------


@each_dtype
def test_at_zero_the_gradient_is_g_over_the_root_of_epsilon(dtype: str) -> None:
    g = tensor([[1.0, -2.0], [0.0, 3.0]], dtype)
    for axis in (0, 1):
        assert torch.equal(gradient(l2_normalize, torch.zeros_like(g), g, axis, 0.25), 2 * g)


def test_at_zero_the_default_epsilon_gives_100() -> None:
    x = torch.zeros(3)
    torch.testing.assert_close(gradient(l2_normalize, x, torch.ones(3)), 100 * torch.ones(3))


@each_dtype
def test_at_the_floor_the_divisor_is_constant_and_just_above_it_is_not(dtype: str) -> None:
    x, g = tensor([3 / 8, 4 / 8], dtype), tensor([1.0, 0.0], dtype)
    at_floor = gradient(l2_normalize, x, g, 0, 25 / 64)
    torch.testing.assert_close(at_floor, tensor([8 / 5, 0.0], dtype))
    above = gradient(l2_normalize, x, g, 0, 24 / 64)
    torch.testing.assert_close(above, tensor([0.64 * 8 / 5, -0.48 * 8 / 5], dtype))


@each_dtype
def test_an_axis_of_size_1_has_gradient_0_above_the_floor(dtype: str) -> None:
    x, g = tensor([[3.0], [-0.5], [1e-3]], dtype), tensor([[1.0], [2.0], [3.0]], dtype)
    expected = tensor([[0.0], [0.0], [12.0]], dtype)
    assert torch.equal(gradient(l2_normalize, x, g, 1, 2.0**-4), expected)


def test_float16_vectors_whose_squares_overflow_have_a_gradient() -> None:
    x = torch.full((3,), 300.0, dtype=torch.float16)
    case, g = Case(x, 0, 1e-4), tensor([1.0, 0.0, 0.0], "float16")
    got = gradient(l2_normalize, x, g)
    assert got[0] > 0
    assert worst_error(got, case, g) <= MOST_ROUNDINGS


@each_dtype
def test_a_vector_with_nan_or_inf_leaves_the_gradients_of_others_alone(dtype: str) -> None:
    x = tensor([[math.nan, 1.0], [math.inf, 1.0], [3.0, 4.0], [0.0, 0.0]], dtype)
    found = gradient(l2_normalize, x, torch.ones_like(x), 1)
    assert torch.equal(found[2:], gradient(l2_normalize, x[2:], torch.ones_like(x[2:]), 1))


def test_a_nan_divides_the_gradient_of_the_other_elements_by_the_root_of_epsilon() -> None:
    x = tensor([math.nan, 1.0, -2.0], "float64")
    found = gradient(l2_normalize, x, tensor([5.0, 1.0, 3.0], "float64"), 0, 0.25)
    assert found[1:].tolist() == [2.0, 6.0]
