"""Gradients at parity="semantic" are those of the exact formula, at the floor and at zero, too."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest

from tests.hosts import exact_formula

pytest.importorskip("mindspore", reason="tests the MindSpore host")

import mindspore
from mindspore import Tensor, ops

import portnorm.mindspore as adapted
from tests.hosts.mindspore_host import (
    ORDERS,
    Call,
    Gradient,
    array,
    random_case,
    rounded,
    tensor,
    torch_array,
    torch_tensor,
)

pytestmark = pytest.mark.usefixtures("synchronous", "allow_every_p")

DTYPES = ["float16", "bfloat16", "float32", "float64", "complex64", "complex128"]
L2_DTYPES = ["float16", "float32", "float64"]


def gradient(function, x, cotangent, *arguments):
    return array(Gradient(Call(function, *arguments))(x, cotangent))


def random_cotangent(rng, shape, dtype):
    values = rng.normal(size=shape)
    if dtype.startswith("complex"):
        values = values + 1j * rng.normal(size=shape)
    return rounded(np.asarray(values), dtype)


def torch_gradient(torch, values, cotangent, dtype, *arguments):
    x = torch_tensor(values, dtype).requires_grad_()
    torch.nn.functional.normalize(x, *arguments).backward(torch_tensor(cotangent, dtype))
    return torch_array(x.grad)


# --- against the exact derivative -----------------------------------------------------------------


def floors_within_rounding(floor, dtype):
    """A norm that rounds to the floor may lie on either side: its gradient jumps there.

    The modulus of a complex number, or the root of a power, is rarely exact.
    """
    step = floor * 2 * float(np.finfo("float32" if dtype == "bfloat16" else dtype).eps)
    return floor, floor - step, floor + step


def normalize_gradient_error(got, case, g, floor, dtype):
    arguments = case.values, g, case.p, case.dim, floor
    true = exact_formula.vjp(*arguments, passes_at_floor=True)
    scale = exact_formula.gradient_scale(*arguments)
    return exact_formula.relative_error(got, true, scale, dtype)


@pytest.mark.parametrize("p", ORDERS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_normalize_has_the_exact_gradient(rng, dtype, p):
    for _ in range(6):
        case = random_case(rng, dtype, p)
        g = random_cotangent(rng, case.values.shape, dtype)
        got = gradient(adapted.normalize, case.tensor, tensor(g, dtype), case.p, case.dim, case.eps)
        floor = exact_formula.normalize_floor(case.eps, dtype)
        errors = [
            normalize_gradient_error(got, case, g, near, dtype)
            for near in floors_within_rounding(floor, dtype)
        ]
        assert np.min(errors, axis=0).max(initial=0) <= 8, case


@pytest.mark.parametrize("epsilon", [1e-4, 1.0, 1e-6])
@pytest.mark.parametrize("dtype", L2_DTYPES)
def test_l2_normalize_has_the_exact_gradient(rng, dtype, epsilon):
    for _ in range(8):
        x = random_case(rng, dtype, 2).values
        x = x.reshape(x.shape or 1)
        g = random_cotangent(rng, x.shape, dtype)
        axis = int(rng.integers(-x.ndim, x.ndim))
        got = gradient(adapted.l2_normalize, Tensor(x), Tensor(g), axis, epsilon)
        arguments = x, g, 2, axis, exact_formula.l2_normalize_floor(epsilon, dtype)
        true = exact_formula.vjp(*arguments, passes_at_floor=False)
        scale = exact_formula.gradient_scale(*arguments)
        assert exact_formula.relative_error(got, true, scale, dtype).max(initial=0) <= 8, (x, axis)


# --- against torch's own gradient -----------------------------------------------------------------


@pytest.mark.parametrize("p", ORDERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("eps", [1e-12, 1.0, 100.0])
def test_normalize_has_torchs_gradient(rng, torch, dtype, p, eps):
    x, g = rng.normal(size=(2, 6, 5)).astype(dtype)
    got = gradient(adapted.normalize, Tensor(x), Tensor(g), p, 1, eps)
    expected = torch_gradient(torch, x, g, dtype, p, 1, eps)
    scale = exact_formula.gradient_scale(x, g, p, 1, exact_formula.normalize_floor(eps, dtype))
    error = exact_formula.relative_error(got, exact_formula.exact(expected), scale, dtype)
    # torch's accuracy for powers is what limits the agreement.
    assert error.max() <= (16 if p in (0, 1, 2, math.inf, -math.inf) else 200)


@pytest.mark.parametrize("p", ORDERS)
def test_ties_and_zeros_have_torchs_gradient(torch, p):
    x = np.array([[2.0, -2.0, 1.0], [0.0, 0.0, 0.0], [0.0, 3.0, -3.0], [1.0, 1.0, 1.0]])
    g = np.array([[1.0, 2.0, 3.0]] * 4)
    got = gradient(adapted.normalize, Tensor(x), Tensor(g), p, 1, 1e-3)
    expected = torch_gradient(torch, x, g, "float64", p, 1, 1e-3)
    assert got == pytest.approx(expected, rel=1e-14, abs=1e-14)


# --- the floor ------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", ORDERS)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_normalize_has_gradient_one_over_eps_at_zero(dtype, p):
    got = gradient(
        adapted.normalize,
        tensor(np.zeros((2, 3)), dtype),
        tensor(np.ones((2, 3)), dtype),
        p,
        1,
        0.25,
    )
    assert (got == 4).all()


@pytest.mark.parametrize("size", [3, 20000], ids=["small", "large"])
@pytest.mark.parametrize("compiled", [False, True], ids=["pynative", "graph"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("axis", [0, 1])
def test_without_a_floor_normalize_has_torchs_gradient_at_zero(torch, dtype, compiled, size, axis):
    x, g = np.zeros((2, size)), np.array([[1.0] + [0.0] * (size - 1)] * 2)
    x[1] = 2
    if axis == 0:
        x, g = np.ascontiguousarray(x.T), np.ascontiguousarray(g.T)
    cotangent = tensor(g, dtype)

    def summed(t):
        return (adapted.normalize(t, 2.0, axis, 0.0) * cotangent).sum()

    function = mindspore.jit(summed) if compiled else summed
    got = mindspore.grad(function)(tensor(x, dtype)).asnumpy()
    expected = torch_gradient(torch, x, g, dtype, 2.0, axis, 0.0)
    assert np.isnan(expected[x == 0]).all()
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))


@pytest.mark.parametrize("dtype", L2_DTYPES)
def test_l2_normalize_has_gradient_one_over_root_epsilon_at_zero(dtype):
    x, g = tensor(np.zeros((2, 3)), dtype), tensor(np.ones((2, 3)), dtype)
    assert (gradient(adapted.l2_normalize, x, g, 1, 0.25) == 2).all()


NORM_IS_8 = {
    1: [1.0, -2.0, 5.0],
    2: [8.0, 0.0, 0.0],
    math.inf: [8.0, -8.0, 1.0],
    -math.inf: [8.0, -9.0, 8.0],
}


@pytest.mark.parametrize("p", NORM_IS_8)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("eps", [7.9375, 8.0, 8.0625])
def test_gradient_passes_where_the_norm_equals_eps(torch, dtype, p, eps):
    x, g = np.array(NORM_IS_8[p]), np.array([1.0, 2.0, 4.0])
    got = gradient(adapted.normalize, tensor(x, dtype), tensor(g, dtype), p, 0, eps)
    floor = exact_formula.normalize_floor(eps, dtype)
    true = exact_formula.vjp(x, g, p, 0, floor, passes_at_floor=True)
    scale = exact_formula.gradient_scale(x, g, p, 0, floor)
    own = torch_gradient(torch, x, g, dtype, p, 0, eps)
    for result in (got, own):
        assert exact_formula.relative_error(result, true, scale, dtype).max() <= 4
    assert (true[0] == g[0] / floor) == (eps > 8)


PYTHAGOREAN = [(3, 4, 0, 5), (1, 2, 2, 3), (2, 3, 6, 7), (4, 4, 7, 9), (2, 10, 11, 15)]


@pytest.mark.parametrize(("a", "b", "c", "norm"), PYTHAGOREAN)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_norm_that_is_exactly_the_floor_is_found_equal(a, b, c, norm, dtype):
    x, g = tensor([a, b, c], dtype), tensor([1, 0, 0], dtype)
    passing = gradient(adapted.normalize, x, g, 2.0, 0, float(norm))
    blocked = gradient(adapted.l2_normalize, x, g, 0, float(norm * norm))
    assert passing[1] == pytest.approx(-a * b / norm**3)
    assert blocked[1] == 0


# --- shapes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [p for p in ORDERS if p != 0])
def test_a_vector_of_one_element_has_no_gradient(rng, p):
    x, g = rng.normal(size=(2, 4, 1)).astype(np.float32)
    scale = np.abs(g / x)
    assert (np.abs(gradient(adapted.normalize, Tensor(x), Tensor(g), p, 1)) <= scale * 2e-7).all()
    if p == 2:
        got = gradient(adapted.l2_normalize, Tensor(x), Tensor(g), 1, 1e-12)
        assert (np.abs(got) <= scale * 2e-7).all()


@pytest.mark.parametrize("function", [adapted.normalize, adapted.l2_normalize])
def test_an_empty_tensor_has_an_empty_gradient(function):
    arguments = (2.0, 0) if function is adapted.normalize else (0,)
    x = tensor(np.zeros((0, 3)))
    assert gradient(function, x, x, *arguments).shape == (0, 3)


# --- against finite differences -------------------------------------------------------------------


def assert_gradient_is_the_slope(rng, function, *arguments):
    x, g, step = rng.normal(size=(3, 2, 4))
    step = step * 1e-6 * np.abs(x)

    def loss(values):
        return np.sum(array(function(Tensor(values), *arguments)) * g)

    slope = loss(x + step) - loss(x - step)
    got = gradient(function, Tensor(x), Tensor(g), *arguments)
    assert 2 * np.sum(got * step) == pytest.approx(slope, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("p", ORDERS)
@pytest.mark.parametrize("eps", [1e-12, 100.0])
def test_gradient_is_the_slope_of_the_forward(rng, p, eps):
    assert_gradient_is_the_slope(rng, adapted.normalize, p, 1, eps)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("epsilon", [1e-12, 100.0])
def test_gradient_of_l2_normalize_is_the_slope_of_the_forward(rng, axis, epsilon):
    assert_gradient_is_the_slope(rng, adapted.l2_normalize, axis, epsilon)


def test_a_gradient_that_is_not_the_slope_is_found(rng):
    """MindSpore's own, below the floor."""
    operator = ops.L2Normalize(1, 100.0)
    with pytest.raises(AssertionError):
        assert_gradient_is_the_slope(rng, lambda x, parity=None: operator(x))


# --- second derivatives ---------------------------------------------------------------------------


def second_gradient(function, x, g, h):
    """Return the gradient of h . (the gradient of g . function(x))."""

    def first(values):
        return (mindspore.grad(lambda inner: (function(inner) * g).sum())(values) * h).sum()

    return array(mindspore.grad(first)(x))


@pytest.mark.parametrize("p", ORDERS)
@pytest.mark.parametrize("eps", [1e-12, 1.5, 100.0])
def test_normalize_has_torchs_second_gradient(rng, torch, p, eps):
    x, g, h = rng.normal(size=(3, 3, 4))
    got = second_gradient(
        lambda values: adapted.normalize(values, p, 1, eps), Tensor(x), Tensor(g), Tensor(h)
    )
    t = torch.tensor(x, requires_grad=True)
    y = torch.nn.functional.normalize(t, p, 1, eps)
    (first,) = torch.autograd.grad((y * torch.tensor(g)).sum(), t, create_graph=True)
    weighted = (first * torch.tensor(h)).sum()
    (own,) = torch.autograd.grad(weighted, t, allow_unused=True, materialize_grads=True)
    assert got == pytest.approx(own.numpy(), rel=1e-9, abs=1e-9 * np.abs(own.numpy()).max())


@pytest.mark.parametrize("epsilon", [1e-4, 100.0])
def test_l2_normalize_has_a_second_gradient(rng, epsilon):
    x, g, h = rng.normal(size=(3, 4))
    got = second_gradient(
        lambda values: adapted.l2_normalize(values, 0, epsilon), Tensor(x), Tensor(g), Tensor(h)
    )
    floor = exact_formula.l2_normalize_floor(epsilon, "float64")
    step = exact_formula.exact(h) * mpmath.mpf(1e-20)
    first = [
        exact_formula.vjp(exact_formula.exact(x) + side, g, 2, 0, floor, passes_at_floor=False)
        for side in (step, -step)
    ]
    # The Hessian is symmetric, so its product with h is the slope of the gradient along h.
    expected = ((first[0] - first[1]) / mpmath.mpf(2e-20)).astype(float)
    assert got == pytest.approx(expected, rel=1e-12, abs=1e-13)


def test_second_gradients_at_zero_are_finite():
    zero, ones = tensor(np.zeros((2, 3))), tensor(np.ones((2, 3)))
    for function in (adapted.normalize, adapted.l2_normalize):
        assert (second_gradient(function, zero, ones, ones) == 0).all()
