"""At p = 2 on a CPU parity="semantic" is arithmetic on arrays, under the same promise."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("mindspore", reason="tests the MindSpore host")

import mindspore
from mindspore import Tensor, nn

import portnorm
import portnorm.mindspore as adapted
from portnorm.exact import accurate
from portnorm.exact.machine import threads
from tests.hosts.mindspore_host import Call, Gradient, SecondGradient, array, tensor

pytestmark = pytest.mark.usefixtures("synchronous")

SHAPES = [((1024, 300), 1), ((1024, 300), 0), ((300_001,), 0), ((3, 64, 40, 40), 1)]
DTYPES = ["float16", "float32", "float64"]


ULP = {"float16": 1, "float32": 1, "float64": 4}
"""The most that a result may be off."""


@pytest.fixture
def calls(monkeypatch):
    """Record the calls of arithmetic on arrays, but those that only make it ready."""
    made, divide = [], accurate.divide

    def recorded(*given):
        if not threads._thread.rehearses:
            made.append(given)
        return divide(*given)

    monkeypatch.setattr(accurate, "divide", recorded)
    adapted._plans._semantic._definition_bits.cache_clear()
    yield made
    adapted._plans._semantic._definition_bits.cache_clear()


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
def test_normalize_is_as_near_as_promised(rng, run, calls, dtype, shape, dim):
    values = random_values(rng, shape, dtype)
    eps = float(rng.choice([1e-12, 1.0]))
    got = array(run(Call(adapted.normalize, 2.0, dim, eps), Tensor(values)))
    assert len(calls) == 1
    true = true_quotients(values, dim, np.dtype(dtype).type(eps), on_squares=False)
    assert error_in_ulp(got, true) <= ULP[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "axis"), SHAPES)
def test_l2_normalize_is_as_near_as_promised(rng, run, calls, dtype, shape, axis):
    values = random_values(rng, shape, dtype)
    epsilon = float(rng.choice([1e-4, 1.0]))
    got = array(run(Call(adapted.l2_normalize, axis, epsilon), Tensor(values)))
    assert len(calls) == 1
    floor = np.dtype(dtype).type(np.float32(epsilon))
    true = true_quotients(values, axis, floor, on_squares=True)
    assert error_in_ulp(got, true) <= ULP[dtype]


@pytest.mark.parametrize("shape", [(5,), (300, 1024)])
def test_a_negative_epsilon_is_no_floor(run, shape):
    values = np.full(shape, 1e-9, np.float32)
    got = array(run(Call(adapted.l2_normalize, 0, -1.0), Tensor(values)))
    np.testing.assert_allclose(got, shape[0] ** -0.5, rtol=1e-6)


def test_a_view_has_the_values_of_a_contiguous_tensor(rng, calls):
    values = random_values(rng, (1024, 300), "float32")
    view = Tensor(np.ascontiguousarray(values.T)).T
    for function, arguments in ((adapted.normalize, (2.0, 1)), (adapted.l2_normalize, (1,))):
        expected = array(function(Tensor(values), *arguments))
        assert (array(function(view, *arguments)) == expected).all()
    assert len(calls) == 4


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
def test_what_would_overflow_there_is_computed_in_a_wider_type(rng, run, call, dtype, special):
    values = random_values(rng, (1024, 300), dtype)
    values[3] = special
    values[4, 7] = special
    x, few = Tensor(values), Tensor(values[:6])
    got, expected = array(run(Call(*call), x)), array(Call(*call)(few))
    assert np.array_equal(np.isnan(got[:6]), np.isnan(expected))
    assert got[:6] == pytest.approx(expected, rel=4 * float(np.finfo(dtype).eps), nan_ok=True)
    if math.isfinite(special):
        assert got[3] == pytest.approx(300**-0.5, rel=1e-3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tiny_vectors_do_not_underflow(run, dtype):
    tiny = float(np.finfo(dtype).tiny)
    x = Tensor(np.full((1024, 300), tiny, dtype))
    got = array(run(Call(adapted.normalize, 2.0, 1, 0.0), x))
    np.testing.assert_allclose(got, 300**-0.5, rtol=1e-6)


def test_subnormals_are_kept_in_threads_of_mindspore_too(run):
    """They are divided by the floor, and the result is a normal number."""
    x = np.full((1024, 300), 1e-40, np.float32)
    expected = (x.astype(float) / 1e-12).astype(np.float32)
    cell = Call(adapted.normalize)
    np.testing.assert_allclose(array(run(cell, Tensor(x))), expected, rtol=1e-6)
    g = np.full((1024, 300), 1e-40, np.float32)
    got = array(run(Gradient(cell), Tensor(x), Tensor(g)))
    np.testing.assert_allclose(got, g.astype(float) / 1e-12, rtol=1e-6)


@pytest.mark.parametrize("eps", [math.nan, math.inf])
def test_extreme_floors(run, eps):
    x = Tensor(np.ones((1024, 300), np.float32))
    got = array(run(Call(adapted.normalize, 2.0, 1, eps), x))
    assert np.isnan(got).all() if math.isnan(eps) else (got == 0).all()


# --- gradients ------------------------------------------------------------------------------------


def true_gradient(values, g, axis, floor, *, ties_pass):
    x, g = values.astype(np.longdouble), g.astype(np.longdouble)
    norm = np.sqrt((x * x).sum(axis=axis, keepdims=True))
    passes = norm >= floor if ties_pass else norm > floor
    divisor = np.where(passes, norm, floor)
    y = x / divisor
    along = np.where(passes, y * (g * y).sum(axis=axis, keepdims=True), 0)
    scale = (np.abs(g) + np.abs(y) * np.sqrt((g * g).sum(axis=axis, keepdims=True))) / divisor
    return (g - along) / divisor, scale


@pytest.mark.parametrize("function", [adapted.normalize, adapted.l2_normalize])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "axis"), [*SHAPES, ((90_000, 3), 1)])
def test_gradients_are_those_of_the_formula(rng, run, function, dtype, shape, axis):
    values, g = random_values(rng, shape, dtype), rng.normal(size=shape).astype(dtype)
    values[:2] = 0
    floor = float(rng.choice([0.25, 16.0]))
    is_torchs = function is adapted.normalize
    arguments = (2.0, axis, floor) if is_torchs else (axis, floor**2)
    got = array(run(Gradient(Call(function, *arguments)), Tensor(values), Tensor(g)))
    true, scale = true_gradient(values, g, axis, floor, ties_pass=is_torchs)
    bound = 4 * float(np.finfo(dtype).eps) * scale + float(np.finfo(dtype).smallest_subnormal)
    assert (np.abs(got - true) <= bound).all()


@pytest.mark.parametrize(("function", "passes"), [("normalize", True), ("l2_normalize", False)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_norm_that_equals_the_floor_passes_as_in_the_formula(run, function, passes, dtype):
    values = np.tile(np.asarray([2, 3, 6], dtype), (90_000, 1))
    g = np.tile(np.asarray([1, 0, 0], dtype), (90_000, 1))
    arguments = (2.0, 1, 7.0) if passes else (1, 49.0)
    cell = Gradient(Call(getattr(adapted, function), *arguments))
    got = array(run(cell, Tensor(values), Tensor(g)))
    assert ((got[:, 1] != 0) == passes).all()


@pytest.mark.parametrize("call", CALLS)
def test_second_gradients_are_those_of_small_tensors(rng, run, call):
    x, g, h = (random_values(rng, (1024, 300), "float32") for _ in range(3))
    cell = SecondGradient(Call(*call))
    got = array(run(cell, *map(Tensor, (x, g, h))))
    expected = array(cell(*(Tensor(part[:9]) for part in (x, g, h))))
    assert got[:9] == pytest.approx(expected, rel=1e-5, abs=1e-6 * np.abs(expected).max())


# --- where it is not taken ------------------------------------------------------------------------


def test_graphs_of_small_tensors_hold_operators_of_mindspore(rng, calls):
    """A call back takes longer there."""
    values = random_values(rng, (30, 300), "float32")
    compiled = array(mindspore.jit(Call(adapted.normalize))(Tensor(values)))
    assert not calls
    assert array(adapted.normalize(Tensor(values))) == pytest.approx(compiled, rel=1e-6)
    assert len(calls) == 1


@pytest.mark.usefixtures("allow_every_p")
@pytest.mark.parametrize(
    ("dtype", "shape", "arguments"),
    [
        ("float32", (3, 4), (3.0,)),
        ("complex64", (3, 4), ()),
        ("float32", (3, 4), (2.0, 1, math.nan)),
        ("float32", (0, 4), ()),
        ("bfloat16", (3, 4), ()),
    ],
)
def test_what_else_is_computed_by_operators(calls, dtype, shape, arguments):
    adapted.normalize(tensor(np.ones(shape), dtype), *arguments)
    assert not calls


@pytest.mark.parametrize("call", CALLS)
def test_a_large_layer_is_exported_as_operators_of_mindspore(rng, calls, call, tmp_path):
    values = random_values(rng, (1024, 300), "float32")
    name = str(tmp_path / "layer")
    mindspore.export(Call(*call), Tensor(values), file_name=name, file_format="MINDIR")
    graph = nn.GraphCell(mindspore.load(f"{name}.mindir"))
    got = array(graph(Tensor(values)))
    assert not calls
    assert got == pytest.approx(array(Call(*call)(Tensor(values))), rel=1e-5)


@pytest.mark.parametrize("mode", ["semi_auto_parallel", "auto_parallel"])
def test_a_graph_that_is_cut_up_holds_operators_of_mindspore(monkeypatch, mode):
    assert not adapted._plans._semantic._graph_leaves_the_process()
    monkeypatch.setattr(mindspore, "get_auto_parallel_context", lambda name: mode)
    assert adapted._plans._semantic._graph_leaves_the_process()


def test_a_second_thread_gets_the_same_bits(rng):
    from concurrent.futures import ThreadPoolExecutor

    values = [random_values(rng, (1024, 300), "float32") for _ in range(4)]
    expected = [array(adapted.normalize(Tensor(v))) for v in values]
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda v: array(adapted.normalize(Tensor(v))), values))
    assert all((a == b).all() for a, b in zip(got, expected, strict=True))


def test_options_of_parity_strict_do_not_change_it(rng):
    values = random_values(rng, (1024, 300), "float32")
    expected = array(adapted.normalize(Tensor(values)))
    with portnorm.set_options(reference=portnorm.TorchReference("2.4.1", "neon")):
        assert (array(adapted.normalize(Tensor(values))) == expected).all()
