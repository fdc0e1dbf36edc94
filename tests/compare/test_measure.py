"""Classes, differences and the choice of vectors, with functions made for the purpose."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from portnorm.compare import measure as measuring
from portnorm.compare import open_array, plan
from portnorm.compare.computations import Array, Computation
from portnorm.compare.histograms import relative_histogram, ulp_histogram
from portnorm.compare.largest import KEPT
from portnorm.compare.measure import (
    Functions,
    Measurement,
    classify,
    gradient_tolerance,
    measure_array,
    values_tolerance,
)
from portnorm.compare.ulp import INFINITE
from portnorm.readers import ArraySource
from portnorm.vectors import vector_norms

DTYPES = ("float16", "float32", "float64")


def computation(
    values: Callable[[Array], Array] = lambda x: x,
    vjp: Callable[[Array, Array], Array] = lambda x, g: g,
    own: bool = False,
) -> Computation:
    return Computation("a test", values, vjp, own)


def measured(
    x: Array, other: Computation, *, one: Computation | None = None, **arguments: object
) -> Measurement:
    source = ArraySource(x)
    settings = plan(source, **arguments)  # type: ignore[arg-type]
    return measure_array(source, settings, Functions(one or computation(), other, other))


def up(x: Array, steps: int) -> Array:
    """Move each positive number up by as many ULP."""
    return (x.view(f"i{x.dtype.itemsize}") + steps).view(x.dtype)


# --- norms and classes ----------------------------------------------------------------------------


@pytest.mark.parametrize("p", [2.0, 1.0, 3.0, 0.5, 0.0, -1.0, math.inf, -math.inf])
@pytest.mark.parametrize("exponent", [-300, 0, 290])
def test_norms_neither_overflow_nor_underflow(p: float, exponent: int) -> None:
    x = np.array([3.0, -4.0, 12.0])
    size = 10.0**exponent
    expected = np.linalg.norm(x, p) * (1 if p == 0 else size)
    found = vector_norms((x * size).reshape(1, 3, 1), p)
    assert found.shape == (1, 1)
    assert found[0, 0] == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_vectors_are_counted_by_class(dtype: str, dim: int) -> None:
    rows = {
        "zero": [[0, 0], [0, -0.0]],
        "below_both": [[1e-13, 0], [3e-13, 4e-13], [1e-40, 0]],
        "between": [[2e-12, 0], [1e-10, 2e-10], [0.003, 0.004], [0, 0.0099]],
        "above_both": [[0.02, 0], [1, 2], [1e30, 1e30], [0.008, 0.008], [3, 4]],
        "not_finite": [[math.inf, 0], [math.nan, 1e-20], [-math.inf, math.nan]],
    }
    x = np.array([*itertools.chain(*rows.values())], dtype)
    found = measured(x if dim == 1 else x.T, computation(), dim=dim)
    assert found.counts == {name: len(vectors) for name, vectors in rows.items()}


def test_classes_follow_eps_epsilon_and_p() -> None:
    x = np.array([[0.6, 0.6]])
    source = ArraySource(x)

    def name(**arguments: float) -> str:
        code = int(classify(x[:, :, None], plan(source, **arguments))[0][0, 0])  # type: ignore[arg-type]
        return measuring.CLASSES[code]

    assert name() == "above_both"
    assert name(eps=0.84) == "above_both"
    assert name(eps=0.85) == "between"
    assert name(eps=0.65, p=math.inf) == "between"
    assert name(epsilon=0.71) == "above_both"
    assert name(epsilon=0.73) == "between"
    assert name(epsilon=0.73, eps=0.85) == "below_both"


def test_float16_rounds_epsilon_as_the_functions_do() -> None:
    settings = plan(ArraySource(np.ones((1, 2), np.float16)))
    assert settings.floors == (0.0, math.sqrt(float(np.float16(np.float32(1e-4)))))


# --- the rule for values --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 5, 64])
def test_a_planted_difference_counts_only_beyond_the_tolerance(dtype: str, n: int) -> None:
    x = np.ones((6, n), dtype)

    def moved(steps: int) -> Computation:
        def values(block: Array) -> Array:
            result = block.copy()
            result[3, n - 1, 0] = up(result[3, n - 1 :, 0], steps)[0]
            return result

        return computation(values)

    within = measured(x, moved(values_tolerance(n)))
    assert (within.ulp, within.values_changed, within.worst) == (values_tolerance(n), 0, None)
    beyond = measured(x, moved(values_tolerance(n) + 1))
    assert (beyond.ulp, beyond.values_changed, beyond.changed) == (values_tolerance(n) + 1, 1, 1)
    assert beyond.worst is not None
    assert (beyond.worst.vector, beyond.worst.difference) == (3, values_tolerance(n) + 1)
    assert beyond.worst.norm == pytest.approx(math.sqrt(n))
    assert beyond.relative == pytest.approx(
        (values_tolerance(n) + 1) * np.finfo(dtype).eps, rel=0.1
    )


def test_nan_in_one_only_is_a_change_and_nan_in_both_is_none() -> None:
    x = np.array([[1.0, math.nan], [1.0, 2.0]])
    assert measured(x, computation()).changed == 0
    found = measured(x, computation(np.nan_to_num))
    assert (found.ulp, found.relative, found.values_changed) == (math.inf, math.inf, 1)
    assert found.worst is not None
    assert found.worst.vector == 0


def test_zeros_of_either_sign_agree() -> None:
    x = np.array([[0.0, 1.0]])
    assert measured(x, computation(lambda block: -block * (block == 0) + block)).ulp == 0
    assert measured(-x, computation(lambda block: block + 0.0)).ulp == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_rounding_alone_never_changes_a_vector(dtype: str, rng: np.random.Generator) -> None:
    """Left-to-right sums in the dtype on both sides, one of them from the other end."""

    def forward(x: Array) -> Array:
        total = np.zeros_like(x[:, 0])
        for j in range(x.shape[1]):
            total = total + x[:, j] * x[:, j]
        return x / np.sqrt(total)[:, None]

    def backward(x: Array) -> Array:
        return forward(x[:, ::-1])[:, ::-1]

    for n in (1, 2, 30, 200):
        x = rng.uniform(0.1, 2, (50, n)).astype(dtype)
        found = measured(x, computation(backward), one=computation(forward))
        assert found.values_changed == 0
        assert n < 30 or found.ulp > 0


# --- the rule for gradients -----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_planted_gradient_counts_only_beyond_the_tolerance(dtype: str) -> None:
    n, scale = 4, 4.0
    x = np.full((5, n), scale / 2, dtype)  # of norm 4, a power of two

    def off_by(share: float) -> Computation:
        def vjp(block: Array, g: Array) -> Array:
            result = np.zeros(g.shape)
            unit = np.linalg.norm(g[2].astype(np.float64)) / scale
            result[2, 1, 0] = share * gradient_tolerance(n, dtype) * unit
            return result

        return computation(vjp=vjp)

    none = computation(vjp=lambda block, g: np.zeros(g.shape))
    assert measured(x, off_by(0.999), one=none).changed == 0
    found = measured(x, off_by(1.001), one=none)
    assert (found.values_changed, found.gradients_changed, found.changed) == (0, 1, 1)
    assert found.worst is not None
    assert found.worst.head.gradient
    assert (found.worst.vector, found.worst.norm) == (2, scale)


def test_the_unit_of_a_gradient_below_eps_is_that_of_eps() -> None:
    x = np.array([[1e-20, 0.0]])
    one = computation(vjp=lambda block, g: g / 1e-12)
    two = computation(vjp=lambda block, g: g / 1e-2)
    found = measured(x, two, one=one)
    assert found.gradients_changed == 1
    assert 0.5 < found.gradient_relative <= 1


def test_nan_in_one_gradient_only_is_a_change() -> None:
    x = np.ones((3, 2))

    def with_nan(block: Array, g: Array) -> Array:
        result = g.copy()
        result[1, 0, 0] = math.nan
        return result

    found = measured(x, computation(vjp=with_nan))
    assert (found.gradient_relative, found.gradients_changed) == (math.inf, 1)
    both = measured(x, computation(vjp=with_nan), one=computation(vjp=with_nan))
    assert (both.gradient_relative, both.gradients_changed) == (0, 0)


def test_a_vector_with_both_differences_is_counted_once() -> None:
    x = np.ones((3, 2))

    def other(block: Array) -> Array:
        result = block.copy()
        result[1] *= 2
        return result

    def other_vjp(block: Array, g: Array) -> Array:
        result = g.copy()
        result[1:] *= 2
        return result

    found = measured(x, computation(other, other_vjp))
    assert (found.values_changed, found.gradients_changed, found.changed) == (1, 2, 2)
    assert found.worst is not None
    assert not found.worst.head.gradient


def test_the_cotangent_follows_the_seed() -> None:
    seen: list[Array] = []

    def vjp(block: Array, g: Array) -> Array:
        seen.append(g)
        return g

    x = np.ones((2, 3))
    for seed in (1, 1, 2):
        measured(x, computation(), one=computation(vjp=vjp), seed=seed)
    assert np.array_equal(seen[0], seen[1])
    assert not np.array_equal(seen[0], seen[2])


# --- which gradients are measured -----------------------------------------------------------------


def gradients_of(x: Array, quota: int, monkeypatch: pytest.MonkeyPatch, **other: int) -> list[int]:
    """Return the vectors whose gradients are measured, told apart by their last elements."""
    monkeypatch.setattr(measuring, "GRADIENT_STEPS", quota * x.shape[1] ** 2)
    seen: set[float] = set()

    def vjp(block: Array, g: Array) -> Array:
        seen.update(block[:, -1, 0].tolist())
        return g

    source = ArraySource(x)
    one, two = computation(vjp=vjp), computation(own=True)
    found = measure_array(source, plan(source), Functions(one, two, two), **other)
    assert found.gradients_measured == len(seen)
    return [vector for vector in range(len(x)) if x[vector, -1] in seen]


def numbered(vectors: int, classes: dict[int, float]) -> Array:
    x = np.ones((vectors, 2))
    x[:, 1] = np.arange(vectors)
    for vector, value in classes.items():
        x[vector, 0] = value
    return x


def test_all_gradients_are_measured_where_the_budget_allows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert gradients_of(numbered(7, {3: math.inf}), 7, monkeypatch) == list(range(7))


def test_other_gradients_are_spread_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gradients_of(numbered(101, {}), 5, monkeypatch) == [0, 25, 50, 75, 100]


@pytest.mark.parametrize("block_bytes", [1, 2**20])
def test_special_vectors_go_first_and_their_classes_take_turns(
    monkeypatch: pytest.MonkeyPatch, block_bytes: int
) -> None:
    special = dict.fromkeys(range(300, 390), math.inf) | {700: math.nan}
    found = gradients_of(numbered(1000, special), 20, monkeypatch, block_bytes=block_bytes)
    assert found == list(range(300, 320))
    x = numbered(1000, special)
    x[500:510] *= 1e-6  # between the floors
    found = gradients_of(x, 6, monkeypatch, block_bytes=block_bytes)
    assert found == [300, 301, 302, 500, 501, 502]
    found = gradients_of(numbered(1000, {400: math.inf}), 3, monkeypatch, block_bytes=block_bytes)
    assert found == [0, 400, 999]


def test_one_gradient_is_measured_at_the_least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "GRADIENT_STEPS", 1)
    found = measured(np.ones((9, 50)), computation(own=True))
    assert found.gradients_measured == 1


# --- histograms and the worst vectors -------------------------------------------------------------


@pytest.mark.parametrize("block_bytes", [1, 2**10, 2**25])
def test_the_worst_vectors_are_those_of_a_full_sort(
    rng: np.random.Generator, block_bytes: int
) -> None:
    x = rng.uniform(1, 2, (500, 3)).astype(np.float32)
    steps = rng.integers(0, 40, 500)
    one, order = computation(), iter(steps)

    def values(block: Array) -> Array:
        here = np.array([next(order) for _ in range(len(block))], np.int32)
        return up(block, here[:, None, None])

    other = computation(values)
    source = ArraySource(x)
    found = measure_array(source, plan(source), Functions(one, other, one), block_bytes=block_bytes)
    expected = sorted(range(500), key=lambda vector: (-steps[vector], vector))[:KEPT]
    assert [row.vector for row in found.rows] == expected
    assert [row.ulp for row in found.rows] == [steps[vector] for vector in expected]
    assert [row.changed for row in found.rows] == [
        bool(steps[vector] > values_tolerance(3)) for vector in expected
    ]
    assert all(row.gradient_relative == 0 for row in found.rows)
    assert found.rows[0].norm == pytest.approx(np.linalg.norm(x[expected[0]]))


def test_changed_values_go_before_changed_gradients_and_these_before_rounding() -> None:
    x = np.ones((5, 2))

    def values(block: Array) -> Array:
        return up(block, np.array([3, 0, 1000, 0, 50])[:, None, None])

    def vjp(block: Array, g: Array) -> Array:
        return g * np.array([1, 1.5, 1, 2, 1 + 1e-16])[:, None, None]

    found = measured(x, computation(values, vjp))
    assert [row.vector for row in found.rows] == [2, 4, 3, 1, 0]
    assert [row.changed for row in found.rows] == [True, True, True, True, False]
    assert found.rows[2].gradient_relative > found.rows[3].gradient_relative > 0
    assert found.rows[2].ulp == found.rows[2].relative == 0


def test_a_worst_vector_without_a_measured_gradient_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(measuring, "GRADIENT_STEPS", 4)  # one vector of two elements
    found = measured(np.ones((9, 2)), computation(lambda block: block * 2, own=True))
    assert found.gradients_measured == 1
    assert [row.vector for row in found.rows if row.gradient_relative is not None] == [0]
    assert len(found.rows) == 9


def test_the_gradient_of_the_worst_vector_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "GRADIENT_STEPS", 4)
    x = np.ones((9, 2))

    def values(block: Array) -> Array:
        return up(block, np.arange(9)[:, None, None])

    found = measured(x, computation(values, own=True))
    assert found.rows[0].vector == 8
    assert found.rows[0].gradient_relative == 0


def test_histograms_hold_every_vector(rng: np.random.Generator) -> None:
    x = rng.standard_normal((1000, 3)) * 10.0 ** rng.uniform(-20, 5, (1000, 1))
    x[:4], x[5, 0] = 0, math.nan
    found = measured(x, computation(lambda block: up(block, 5)))
    norms = np.linalg.norm(x, axis=1)
    for lower, upper, counts in found.norms:
        inside = (norms >= lower * (1 - 1e-15)) & (norms < upper * (1 + 1e-15))
        assert 0 < sum(counts.values()) <= inside.sum()
        assert len(counts) == 1
    in_all = sum((Counter(one.counts) for one in found.norms), Counter())
    assert in_all == {name: n for name, n in found.counts.items() if name in in_all}
    assert in_all.total() == 995
    assert sum(one.vectors for one in found.ulps) == 1000
    assert sum(one.vectors for one in found.gradients) == found.gradients_measured


def test_bins_of_ulp_begin_at_powers_of_two() -> None:
    steps = [0, 1, 2, 3, 4, 7, 8, 2**31, 2**53 - 1, 2**53, 2**63, 2**64 - 2, INFINITE]
    histogram = ulp_histogram()
    histogram.add(np.array(steps, np.uint64))
    bins = histogram.bins()
    for one in bins[:-1]:
        assert one.vectors == sum(one.lower <= step <= one.upper for step in steps[:-1])
    assert bins[-1] == (math.inf, math.inf, 1)
    assert sum(one.vectors for one in bins) == len(steps)


def test_bins_of_relative_differences_end_at_powers_of_ten_and_at_the_tolerance() -> None:
    differences = [0, 5e-324, 1e-7, 2e-7, 2.5e-7, 3e-7, 1e-6, 1.0, 1.5, 1.7e308, math.inf]
    histogram = relative_histogram(2.5e-7)
    histogram.add(np.array(differences))
    bins = histogram.bins()
    assert (0, 0, 1) in bins
    assert (1e-8, 1e-7, 1) in bins
    assert (1e-7, 2.5e-7, 2) in bins
    assert (2.5e-7, 1e-6, 2) in bins
    assert bins[-1] == (math.inf, math.inf, 1)
    for one in bins[1:-1]:
        assert one.vectors == sum(one.lower < d <= one.upper for d in differences)
    assert sum(one.vectors for one in bins) == len(differences)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_bins_beyond_the_tolerance_hold_the_gradients_that_change(
    rng: np.random.Generator, dtype: type
) -> None:
    x = rng.standard_normal((500, 4)).astype(dtype)

    def vjp(block: Array, g: Array) -> Array:
        return (g * (1 + 10.0 ** rng.uniform(-18, 0, (len(g), 1, 1)))).astype(dtype)

    found = measured(x, computation(vjp=vjp))
    tolerance = gradient_tolerance(4, np.dtype(dtype).name)
    beyond = sum(one.vectors for one in found.gradients if one.lower >= tolerance)
    assert 0 < beyond == found.gradients_changed < 500


# --- a given cotangent ----------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [0, 1, 2])
@pytest.mark.parametrize("block_bytes", [1, 2**20])
def test_the_given_cotangent_goes_with_its_vector(
    rng: np.random.Generator, dim: int, block_bytes: int
) -> None:
    x = rng.standard_normal((4, 5, 6))
    seen: list[Array] = []

    def vjp(block: Array, g: Array) -> Array:
        seen.append(np.array_equal(g, -block))
        return g

    source, one = ArraySource(x), computation(vjp=vjp)
    settings = plan(source, dim=dim)
    functions = Functions(one, one, one)
    given = ArraySource(-x)
    measure_array(source, settings, functions, cotangent=given, block_bytes=block_bytes)
    assert seen
    assert all(seen)


# --- streaming ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0,), (2, 0, 3)])
def test_arrays_without_values_agree(shape: tuple[int, ...]) -> None:
    found = measured(np.ones(shape), computation(), dim=0 if len(shape) == 1 else 1)
    assert (found.changed, found.ulp, found.first, found.worst) == (0, 0, None, None)


@pytest.mark.parametrize("shape", [(1,), (1, 1), (1, 5), (5, 1)])
def test_single_vectors_and_elements_are_measured(shape: tuple[int, ...]) -> None:
    found = measured(np.ones(shape), computation())
    assert found.gradients_measured == math.prod(shape) // shape[-1]


LARGE = np.ones((2048, 2048), np.float32)
LARGE_FILES: dict[str, Callable[[Path], None]] = {
    "c.npy": lambda path: np.save(path, LARGE),
    "fortran.npy": lambda path: np.save(path, np.asfortranarray(LARGE)),
    "a.npz": lambda path: np.savez_compressed(path, only=LARGE),
    "a.safetensors": lambda path: save_file({"only": LARGE}, path),
}


@pytest.mark.parametrize("name", LARGE_FILES)
@pytest.mark.parametrize("dim", [0, 1])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, dim: int, name: str) -> None:
    LARGE_FILES[name](tmp_path / name)
    one = computation()
    with open_array(str(tmp_path / name)) as source:
        settings = replace(plan(source), dim=dim)
        tracemalloc.start()
        try:
            measure_array(source, settings, Functions(one, one, one), block_bytes=2**18)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < LARGE.nbytes / 2


def test_progress_ends_at_the_number_of_vectors() -> None:
    source = ArraySource(np.ones((10, 4)))
    calls: list[tuple[str, int, int]] = []
    one = computation()
    measure_array(
        source,
        plan(source),
        Functions(one, one, one),
        block_bytes=64,
        progress=lambda *call: calls.append(call),
    )
    assert ("values", 10, 10) in calls
    assert calls[-1] == ("gradients", 10, 10)
    assert len(calls) > 6
