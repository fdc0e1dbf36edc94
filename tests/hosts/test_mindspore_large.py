"""Large tensors in PyNative take a faster road at parity="semantic", under the same promise."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("mindspore", reason="tests the MindSpore host")

import mindspore
from mindspore import Tensor
from mindspore_host import Call, Gradient, array

import portnorm.mindspore as adapted
from portnorm import _mindspore_strict
from portnorm.exact import mindspore_cpu, torch_cpu

pytestmark = pytest.mark.usefixtures("synchronous")

SHAPES = [((1024, 300), 1), ((1024, 300), 0), ((300_001,), 0), ((3, 64, 40, 40), 1)]
DTYPES = ["float16", "float32", "float64"]


@pytest.fixture
def fast_calls(monkeypatch):
    """Count the calls that take the faster road."""
    calls = []
    road = _mindspore_strict.apply_contiguous
    monkeypatch.setattr(
        _mindspore_strict, "apply_contiguous", lambda *given: calls.append(given) or road(*given)
    )
    return calls


def true_quotients(values, axis, floor, *, on_squares):
    """Return them in a wider type than the values have."""
    wide = values.astype(np.longdouble)
    squares = (wide * wide).sum(axis=axis, keepdims=True)
    if on_squares:
        return wide / np.sqrt(np.maximum(squares, floor))
    return wide / np.maximum(np.sqrt(squares), floor)


def error_in_ulp(got, true):
    step = np.spacing(np.maximum(np.abs(true).astype(got.dtype), np.finfo(got.dtype).tiny))
    return (np.abs(got - true) / step.astype(np.longdouble)).max()


def random_values(rng, shape, dtype):
    values = rng.normal(size=shape) * 10.0 ** rng.uniform(-2, 1)
    values[rng.random(shape) < 0.01] = 0
    return values.astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "dim"), SHAPES)
def test_normalize_of_a_large_tensor_is_as_near_as_promised(rng, fast_calls, dtype, shape, dim):
    values = random_values(rng, shape, dtype)
    eps = float(rng.choice([1e-12, 1.0]))
    got = array(adapted.normalize(Tensor(values), 2.0, dim, eps))
    assert len(fast_calls) == 1
    true = true_quotients(values, dim, np.dtype(dtype).type(eps), on_squares=False)
    own = error_in_ulp(torch_cpu.normalize(values, 2.0, dim, eps), true)
    assert error_in_ulp(got, true) <= max(4, 2 * own)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "axis"), SHAPES)
def test_l2_normalize_of_a_large_tensor_is_as_near_as_promised(rng, fast_calls, dtype, shape, axis):
    values = random_values(rng, shape, dtype)
    epsilon = float(rng.choice([1e-4, 1.0]))
    got = array(adapted.l2_normalize(Tensor(values), axis, epsilon))
    # In float16 L2Normalize rounds each sum, so that errors of its own promise nothing.
    assert len(fast_calls) == (dtype != "float16" or shape[axis] <= 8192)
    floor = np.dtype(dtype).type(np.float32(epsilon))
    true = true_quotients(values, axis, floor, on_squares=True)
    own = 0.0
    if dtype != "float16":
        own = error_in_ulp(mindspore_cpu.l2_normalize(values, axis, epsilon), true)
    assert error_in_ulp(got, true) <= max(4, 2 * own)


def test_a_view_has_the_values_of_a_contiguous_tensor(rng, fast_calls):
    values = random_values(rng, (1024, 300), "float32")
    view = Tensor(np.ascontiguousarray(values.T)).T
    for function, arguments in ((adapted.normalize, (2.0, 1)), (adapted.l2_normalize, (1,))):
        expected = array(function(Tensor(values), *arguments))
        assert (array(function(view, *arguments)) == expected).all()
    assert len(fast_calls) == 4


CALLS = [(adapted.normalize, 2.0, 1), (adapted.l2_normalize, 1)]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("dtype", "special"),
    [
        ("float16", 60_000.0),
        ("float32", 1e25),
        ("float64", 1e200),
        *((dtype, value) for dtype in DTYPES for value in (math.inf, math.nan)),
    ],
)
def test_what_would_overflow_there_does_not_take_it(rng, fast_calls, call, dtype, special):
    values = random_values(rng, (1024, 300), dtype)
    values[3] = special
    got = array(call[0](Tensor(values), *call[1:]))
    assert not fast_calls
    expected = array(call[0](Tensor(values[:4]), *call[1:]))
    assert np.array_equal(got[:4], expected, equal_nan=True)
    if math.isfinite(special):
        assert got[3] == pytest.approx(300**-0.5, rel=1e-3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_would_underflow_there_does_not_take_it(fast_calls, dtype):
    tiny = float(np.finfo(dtype).tiny)
    x = Tensor(np.full((1024, 300), tiny, dtype))
    assert array(adapted.normalize(x, eps=0.0)) == pytest.approx(300**-0.5, rel=1e-6)
    assert not fast_calls


@pytest.mark.parametrize("eps", [math.nan, math.inf])
def test_extreme_floors_do_not_take_it(fast_calls, eps):
    got = array(adapted.normalize(Tensor(np.ones((1024, 300), np.float32)), eps=eps))
    assert np.isnan(got).all() if math.isnan(eps) else (got == 0).all()
    assert not fast_calls


@pytest.mark.parametrize("call", CALLS)
def test_a_gradient_does_not_take_it(rng, fast_calls, call):
    """It is that of the formula, not of the emulated kernel."""
    values = random_values(rng, (1024, 300), "float32")
    cotangent = random_values(rng, (1024, 300), "float32")
    cell = Gradient(Call(*call))
    got = array(cell(Tensor(values), Tensor(cotangent)))
    assert not fast_calls
    few = array(cell(Tensor(values[:9]), Tensor(cotangent[:9])))
    assert (got[:9] == few).all()


def test_smaller_tensors_do_not_take_it(rng, fast_calls):
    """They have the same bits in every mode."""
    values = random_values(rng, (300, 300), "float32")
    compiled = array(mindspore.jit(Call(adapted.normalize))(Tensor(values)))
    assert (array(adapted.normalize(Tensor(values))) == compiled).all()
    assert not fast_calls
