"""The yardstick itself: right values, right derivatives, and it sees planted faults."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.hosts import exact_formula

ORDERS = [0, 0.5, 1, 2, 3, math.inf, -math.inf, -1, 2.2]


def test_of_a_pythagorean_triple_is_exact():
    assert [float(y * 5) for y in exact_formula.forward([3.0, 4.0], 2, 0, 1e-12)] == [3.0, 4.0]


def test_adds_what_float64_cannot():
    (norm,) = exact_formula.norm([1e16, 1.0, -1e-16], 1, 0)
    assert norm - 10**16 - 1 == exact_formula.exact(1e-16)


@pytest.mark.parametrize(
    ("floor", "value"),
    [
        (exact_formula.normalize_floor(1e-12, "float16"), 0.0),
        (exact_formula.normalize_floor(1e-12, "bfloat16"), 1.0018652574217413e-12),
        (exact_formula.normalize_floor(1e-12, "float32"), float(np.float32(1e-12))),
        (exact_formula.normalize_floor(0.1, "float64"), 0.1),
        (exact_formula.l2_normalize_floor(0.1, "float64") ** 2, float(np.float32(0.1))),
        (exact_formula.l2_normalize_floor(0.1, "float16") ** 2, float(np.float16(0.1))),
    ],
)
def test_rounds_epsilon_as_the_functions_do(floor, value):
    assert float(floor) == value


@pytest.mark.parametrize("p", ORDERS)
@pytest.mark.parametrize("floor", [1e-12, 100.0])
@pytest.mark.parametrize("direction", [1.0, 1j])
def test_derivative_is_the_slope_of_the_forward(rng, p, floor, direction):
    shape, dims = (2, 3), 1
    x = rng.normal(size=shape) + (1j * rng.normal(size=shape) if direction == 1j else 0)
    g = rng.normal(size=shape) + (1j * rng.normal(size=shape) if direction == 1j else 0)
    gradient = exact_formula.vjp(x, g, p, dims, floor, passes_at_floor=True)
    step = exact_formula.exact(rng.normal(size=shape)) * exact_formula.exact(direction * 1e-25)
    up = exact_formula.forward(exact_formula.exact(x) + step, p, dims, floor)
    down = exact_formula.forward(exact_formula.exact(x) - step, p, dims, floor)
    slope = np.sum(np.conjugate(exact_formula.exact(g)) * (up - down)).real
    expected = np.sum(np.conjugate(gradient) * 2 * step).real
    assert abs(slope - expected) < abs(expected) * 1e-20


def test_norm_at_the_floor_goes_either_way():
    x, g = [3.0, 4.0], [1.0, 0.0]
    passing = exact_formula.vjp(x, g, 2, 0, 5.0, passes_at_floor=True)
    blocked = exact_formula.vjp(x, g, 2, 0, 5.0, passes_at_floor=False)
    assert [float(value) for value in blocked] == [0.2, 0.0]
    assert [float(value) for value in passing] == pytest.approx([0.128, -0.096])


@pytest.mark.parametrize(
    ("got", "exact_value", "dtype", "error"),
    [
        (1.0, 1.0, "float32", 0.0),
        (np.nextafter(np.float32(1), np.float32(2)), 1.0, "float32", 1.0),
        (1 + 2.0**-52, 1.0, "float64", 1.0),
        (2.0**-149, 2.0**-150, "float32", 0.5),
        (2.0**-24, 0.0, "float16", 1.0),
        (math.inf, 1e6, "float16", 0.0),
        (math.inf, 65504.0, "float16", 1.0),
        (math.nan, 1.0, "float32", math.inf),
    ],
)
def test_errors_are_counted_in_ulp(got, exact_value, dtype, error):
    assert exact_formula.error_in_ulp(got, exact_formula.exact(exact_value), dtype) == error


def test_gradient_errors_are_counted_against_the_size_of_the_gradient():
    x, g = [3.0, 4.0], [0.6, 0.8]
    gradient = exact_formula.vjp(x, g, 2, 0, 0.0, passes_at_floor=True)
    scale = exact_formula.gradient_scale(x, g, 2, 0, 0.0)
    assert float(scale[0]) == pytest.approx(0.2)
    got = np.float32([0.2 * 2**-23, 0.0])
    errors = exact_formula.relative_error(got, gradient, scale, "float32")
    assert errors == pytest.approx([1.0, 0.0], abs=1e-6)


def right(x, eps):
    return x / np.maximum(np.sqrt(np.sum(x * x)), eps)


FAULTS = {
    "divisor off by 8 ULP": lambda x, eps: right(x, eps) * (1 + 8 * 2.0**-23),
    "epsilon bounds the sum of squares": lambda x, eps: x / np.sqrt(max(np.sum(x * x), eps)),
    "epsilon is added": lambda x, eps: x / (np.sqrt(np.sum(x * x)) + eps),
    "no epsilon": lambda x, eps: right(x, 0.0),
    "NaN": lambda x, eps: right(x, eps) * math.nan,
    "another order": lambda x, eps: x / np.maximum(np.sum(np.abs(x)), eps),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_planted_faults_are_seen(rng, fault):
    eps = 1e-3
    x = np.float32(rng.choice([-1, 1], 8) * rng.uniform(0.25, 0.32, 8) * eps)
    exact_value = exact_formula.forward(x, 2, 0, exact_formula.normalize_floor(eps, "float32"))
    good = right(x.astype(np.float64), np.float32(eps)).astype(np.float32)
    bad = fault(x.astype(np.float64), np.float32(eps)).astype(np.float32)
    assert not exact_formula.violations(good, good, exact_value, "float32").any()
    assert exact_formula.violations(bad, good, exact_value, "float32").any()
