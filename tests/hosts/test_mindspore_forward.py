"""Values at parity="semantic" keep the promised distance from the exactly evaluated formula."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from tests.hosts import exact_formula

pytest.importorskip("mindspore", reason="tests the MindSpore host")

from mindspore import Tensor, ops

import portnorm.mindspore as adapted
from tests.hosts.mindspore_host import (
    ORDERS,
    array,
    random_case,
    random_values,
    rounded,
    tensor,
    torch_array,
    torch_tensor,
)

pytestmark = pytest.mark.usefixtures("synchronous", "allow_every_p")

DTYPES = ["float16", "bfloat16", "float32", "float64", "complex64", "complex128"]
L2_DTYPES = ["float16", "float32", "float64"]


def torch_normalize(torch, values, dtype, p, dim, eps):
    with warnings.catch_warnings():
        # torch warns of its own cast from complex to real.
        warnings.filterwarnings("ignore", "Casting complex values to real", UserWarning)
        result = torch.nn.functional.normalize(torch_tensor(values, dtype), p, dim, eps)
    return torch_array(result)


# --- the guarantee, on random calls ---------------------------------------------------------------


@pytest.mark.parametrize("p", ORDERS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_normalize_is_as_accurate_as_promised(rng, torch, dtype, p):
    for _ in range(12):
        case = random_case(rng, dtype, p)
        got = array(adapted.normalize(case.tensor, case.p, case.dim, case.eps))
        own = torch_normalize(torch, case.values, dtype, case.p, case.dim, case.eps)
        floor = exact_formula.normalize_floor(case.eps, dtype)
        true = exact_formula.forward(case.values, case.p, case.dim, floor)
        assert not exact_formula.violations(got, own, true, dtype).any(), case


L2_CALLS = [
    (dtype, epsilon)
    for dtype in L2_DTYPES
    for epsilon in (1e-4, 1e-3, 10.0, 1e-12, 1e-40, -1.0)
    if dtype != "float16" or abs(epsilon) > 1e-7  # smaller ones are 0 there, and refused
]


@pytest.mark.parametrize(("dtype", "epsilon"), L2_CALLS)
def test_l2_normalize_is_as_accurate_as_promised(rng, dtype, epsilon):
    for _ in range(12):
        x = random_case(rng, dtype, 2).values
        x = x.reshape(x.shape or 1)
        if epsilon < 0:
            x = np.where(x == 0, x.dtype.type(1), x)
        axis = int(rng.integers(-x.ndim, x.ndim))
        got = array(adapted.l2_normalize(Tensor(x), axis, epsilon))
        floor = 0 if epsilon < 0 else exact_formula.l2_normalize_floor(epsilon, dtype)
        true = exact_formula.forward(x, 2, axis, floor)
        # MindSpore confuses tiny epsilons with one another; 4 ULP must do for those.
        own = array(ops.L2Normalize(axis, epsilon)(Tensor(x))) if epsilon > 1e-8 else true
        assert not exact_formula.violations(got, own, true, dtype).any(), (x, axis)


# --- long vectors, where running sums lose bits ---------------------------------------------------


@pytest.mark.parametrize("p", [2.0, 1.0, 3.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_long_vector_loses_no_bits(rng, dtype, p):
    x = rounded(rng.uniform(0.5, 1.0, 100_000) * 10 ** rng.uniform(-2, 2, 100_000), dtype)
    some = rng.integers(0, x.size, 200)
    true = exact_formula.exact(x[some]) / exact_formula.norm(x, p, 0)
    got = array(adapted.normalize(Tensor(x), p, 0, 0.0))[some]
    assert exact_formula.error_in_ulp(got, true, dtype).max() <= 4
    if p == 2:
        got = array(adapted.l2_normalize(Tensor(x)))[some]
        assert exact_formula.error_in_ulp(got, true, dtype).max() <= 4


def test_a_long_float16_vector_does_not_overflow(rng):
    x = np.full(100_000, 300.0, np.float16)
    got = array(adapted.l2_normalize(Tensor(x)))
    assert (got == np.float16(1e5**-0.5)).all()


# --- around the floor -----------------------------------------------------------------------------


@pytest.mark.parametrize("p", [p for p in ORDERS if p > 0])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("eps", [0.25, 2.0**-9])
def test_normalize_turns_at_the_floor(dtype, p, eps):
    unit = 2.0 ** -{"float16": 9, "bfloat16": 6, "float32": 22, "float64": 50}[dtype]
    factors = np.array([0.5, 1 - unit, 1.0, 1 + unit, 2.0])
    x = rounded(np.stack([factors * eps, np.zeros(5)], axis=1), dtype)
    got = array(adapted.normalize(tensor(x, dtype), p, 1, eps))
    expected = rounded(np.minimum(factors, 1.0), dtype)
    assert (np.abs(got[:, 0] - expected) <= unit).all()
    assert got[2, 0] == 1


@pytest.mark.parametrize("dtype", L2_DTYPES)
@pytest.mark.parametrize("epsilon", [0.25, 2.0**-10])
def test_l2_normalize_turns_at_the_root_of_epsilon(dtype, epsilon):
    unit = 2.0 ** -{"float16": 9, "float32": 22, "float64": 50}[dtype]
    factors = np.array([0.5, 1 - unit, 1.0, 1 + unit, 2.0])
    x = rounded(np.stack([factors * math.sqrt(epsilon), np.zeros(5)], axis=1), dtype)
    got = array(adapted.l2_normalize(Tensor(x), 1, epsilon))
    assert (np.abs(got[:, 0] - np.minimum(factors, 1.0)) <= unit).all()
    assert got[2, 0] == 1


@pytest.mark.parametrize("p", ORDERS)
@pytest.mark.parametrize("shape", [(), (1,), (4, 1), (2, 1, 1)])
def test_vectors_of_one_element_become_signs(rng, p, shape):
    x = random_values(rng, shape, "float32", zeros=False).astype(np.float32)
    dim = tuple(range(1, len(shape))) if len(shape) > 1 else None
    got = array(adapted.normalize(Tensor(x), p, dim, 0.0))
    assert (got == (x if p == 0 else np.sign(x))).all()


@pytest.mark.parametrize("dtype", L2_DTYPES)
def test_zero_vectors_stay_zero(dtype):
    x = np.array([[0.0, -0.0], [3.0, 4.0]], dtype)
    for got in (
        array(adapted.normalize(Tensor(x), eps=1e-3)),
        array(adapted.l2_normalize(Tensor(x), 1)),
    ):
        assert (got[0] == 0).all()
        assert np.signbit(got[0]).tolist() == [False, True]


# --- subnormals -----------------------------------------------------------------------------------


@pytest.mark.parametrize("eps", [0.0, 1e-45, 1e-40, 1e-12])
@pytest.mark.parametrize("p", [2.0, 1.0, math.inf, 3.0])
def test_float32_subnormals_are_normalised(rng, p, eps):
    x = (rng.normal(size=(5, 4)) * 10 ** rng.uniform(-44, -38, (5, 1))).astype(np.float32)
    x = np.where(x == 0, np.float32(1e-45), x)
    got = array(adapted.normalize(Tensor(x), p, 1, eps))
    floor = exact_formula.normalize_floor(eps, "float32")
    true = exact_formula.forward(x, p, 1, floor)
    assert exact_formula.error_in_ulp(got, true, "float32").max() <= 4


def test_a_subnormal_epsilon_in_float64_leaves_zero_vectors_zero():
    assert (array(adapted.normalize(Tensor(np.zeros((2, 3))), eps=5e-324)) == 0).all()


# --- shapes and layouts ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "dim"), [((0,), 0), ((3, 0), 1), ((0, 3), 1), ((0, 3), None)])
def test_an_empty_tensor_keeps_shape_and_dtype(dtype, shape, dim):
    x = tensor(np.zeros(shape), dtype)
    got = adapted.normalize(x, 2.0, dim)
    assert (got.shape, got.dtype) == (x.shape, x.dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("p", [2.0, 3.0, math.inf, 0.0])
def test_shape_and_dtype_are_those_of_the_input(dtype, p):
    x = tensor(np.ones((2, 3)), dtype)
    got = adapted.normalize(x, p)
    assert (got.shape, got.dtype) == (x.shape, x.dtype)


def test_the_input_is_left_alone(rng):
    x = rng.normal(size=(3, 4)).astype(np.float32)
    given = Tensor(x.copy())
    adapted.normalize(given)
    adapted.l2_normalize(given)
    assert (given.asnumpy() == x).all()


# --- the documented examples ----------------------------------------------------------------------

DOCUMENTED = [
    ("L2Normalize()", [1, 2, 3], [0.2673, 0.5345, 0.8018]),
    ("L2Normalize()", [1e-10, 2e-10, 3e-10], [1e-08, 2e-08, 3e-08]),
    ("normalize(p=2, dim=0)", [1, 2, 3], [0.2673, 0.5345, 0.8018]),
    ("normalize(p=2, dim=0)", [1e-10, 2e-10, 3e-10], [0.2673, 0.5345, 0.8018]),
    ("normalize(p=3, dim=0)", [1, 2, 3], [0.3029, 0.6057, 0.9086]),
    ("normalize(p=3, dim=0)", [1e-10, 2e-10, 3e-10], [0.3029, 0.6057, 0.9086]),
]


@pytest.mark.parametrize(("call", "values", "expected"), DOCUMENTED)
def test_documented_examples_hold(call, values, expected):
    x = tensor(values)
    if call.startswith("L2"):
        got = adapted.L2Normalize()(x)
    else:
        got = adapted.normalize(x, p=3 if "p=3" in call else 2, dim=0)
    assert [float(f"{value:.4g}") for value in array(got)] == expected
