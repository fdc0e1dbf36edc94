"""Any bit patterns, against the rules as they can be said in a few lines of NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portnorm.exact import mindspore_cpu, torch_cpu
from portnorm.reference import TorchReference
from tests.exact.random_cases import EXACT_ORDERS, STORAGE, converted
from tests.exact.same_encoding import Array, check_bits, mismatch

PLAIN = TorchReference("2.13.0", "default")
"""A build in which nothing is fused."""

EPS = (0.0, 1e-12, 1e-3, 1.0, 1e-45, -1.0)
LANES = {"float32": 8, "float64": 4, "bfloat16": 8, "float16": 0}
DTYPES = pytest.mark.parametrize("dtype", STORAGE)


def widened(x: Array) -> Array:
    """Return numbers in the type in which torch computes with them."""
    if x.dtype == np.uint16:
        return (x.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return x.astype(np.float64 if x.dtype == np.float64 else np.float32)


def rounded(x: Any, dtype: str) -> Array:
    return widened(converted(np.atleast_1d(x), dtype))


def norm_of(x: Array, p: float, dtype: str, contiguous: bool) -> Any:
    """Return the norm of one vector, not rounded yet."""
    zero, magnitudes = x.dtype.type(0), np.abs(x)
    if p == 0:
        return x.dtype.type(np.count_nonzero(x != 0))
    if math.isinf(p):
        return magnitudes.max() if p > 0 else magnitudes.min()
    if len(x) == 1:
        return magnitudes[0]
    if p == 1:
        return sum(magnitudes, zero)
    lanes = LANES[dtype] if contiguous else 0
    squares = list(x * x)
    if not lanes:
        return np.sqrt(sum(squares, zero))
    step = 2 * lanes if dtype == "bfloat16" else lanes
    whole = len(x) - len(x) % step
    sums = [sum(squares[j:whole:lanes], zero) for j in range(lanes)]
    return np.sqrt(sum([*sums[1:], *squares[whole:]], sums[0]))


def normalized(x: Array, p: float, eps: float, dtype: str, contiguous: bool) -> Array:
    """Return torch's result for one vector."""
    values = widened(x)
    norm = rounded(norm_of(values, p, dtype, contiguous), dtype)[0]
    floor = rounded(eps, dtype)[0]
    return converted(values / (floor if norm < floor else norm), dtype)


def gradient(x: Array, g: Array, p: float, eps: float, dtype: str) -> Array:
    """Return torch's gradient for one vector of two elements, of which the sum has no order."""

    def r(value: Any) -> Array:
        return rounded(value, dtype)

    values, cotangent = widened(x), widened(g)
    norm, floor = r(norm_of(values, p, dtype, contiguous=True)), r(eps)
    d = floor if norm < floor else norm
    direct = r(cotangent / d)
    if p == 0:
        return converted(direct, dtype)
    weighted = r(-cotangent * r(r(values / d) / d))
    total = r(0 + weighted[0] + weighted[1]) if norm >= floor else r(0.0)
    sign = np.sign(np.where(np.isnan(values), 0, values)).astype(values.dtype)
    if p == 2:
        unit = np.zeros_like(values) if norm == 0 else r(values / norm)
        through = r(total * unit)
    elif p == 1:
        through = r(sign * total)
    else:
        ties = (np.abs(values) == norm) | np.isnan(values)
        count = values.dtype.type(np.count_nonzero(ties))
        through = r(sign * r(r(total / count) * ties))
    return converted(r(direct + through), dtype)


def patterns(dtype: str, size: Any) -> st.SearchStrategy[Array]:
    """Return arrays of any bits; hypothesis shrinks to few elements with few bits."""
    width = np.dtype(STORAGE[dtype]).itemsize
    element = st.integers(0, 2 ** (8 * width) - 1) | st.sampled_from(special_bits(dtype))
    return size.flatmap(
        lambda n: st.lists(element, min_size=n, max_size=n).map(
            lambda bits: np.array(bits, f"u{width}").view(STORAGE[dtype])
        )
    )


def special_bits(dtype: str) -> list[int]:
    values = [0.0, -0.0, 1.0, -1.0, 2.0, 0.5, math.inf, math.nan, 1e-45, 6e-8, 1e-20, 1e19, 300.0]
    array = converted(np.array(values), dtype)
    return [int(bits) for bits in array.view(f"u{array.itemsize}")]


ARGUMENTS = {"p": st.sampled_from(EXACT_ORDERS), "eps": st.sampled_from(EPS)}
SIZES = st.integers(1, 40)


@DTYPES
@pytest.mark.parametrize("contiguous", [True, False], ids=["contiguous", "strided"])
def test_any_vector(dtype: str, contiguous: bool) -> None:
    @settings(max_examples=150)
    @given(x=patterns(dtype, SIZES), **ARGUMENTS)
    def check(x: Array, p: float, eps: float) -> None:
        strided = x if contiguous else np.repeat(x, 2)[::2]
        found = torch_cpu.normalize(strided, p, 0, eps, PLAIN)
        with np.errstate(all="ignore"):
            expected = normalized(x, p, eps, dtype, contiguous)
        check_bits(found, expected, (p, eps))

    check()


@DTYPES
def test_the_gradient_of_any_vector_of_two(dtype: str) -> None:
    @settings(max_examples=200)
    @given(x=patterns(dtype, st.just(2)), g=patterns(dtype, st.just(2)), **ARGUMENTS)
    def check(x: Array, g: Array, p: float, eps: float) -> None:
        found = torch_cpu.normalize_vjp(x, g, p, 0, eps, PLAIN)
        with np.errstate(all="ignore"):
            expected = gradient(x, g, p, eps, dtype)
        check_bits(found, expected, (p, eps))

    check()


# --- MindSpore -----------------------------------------------------------------------------------


def l2_normalized(x: Array, epsilon: float) -> Array:
    total = x[0] * x[0]
    for value in x[1:]:
        total = total + value * value
    floor = x.dtype.type(np.float32(epsilon))
    return np.asarray(x / np.sqrt(total if total > floor else floor))


def l2_gradient(x: Array, y: Array, dy: Array, epsilon: float) -> Array:
    """Return the gradient of a vector of two elements, whose sums have no order."""
    floor = x.dtype.type(np.float32(epsilon))
    along = y[0] * dy[0] + y[1] * dy[1]
    norm = np.sqrt(x[0] * x[0] + x[1] * x[1])
    return np.asarray((dy - y * along) / (norm if norm >= floor else floor))


MINDSPORE_DTYPES = pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
EPSILONS = st.sampled_from([1e-4, 0.5, 2.0])


@MINDSPORE_DTYPES
def test_any_vector_of_mindspore(dtype: str) -> None:
    @settings(max_examples=150)
    @given(x=patterns(dtype, SIZES), epsilon=EPSILONS)
    def check(x: Array, epsilon: float) -> None:
        with np.errstate(all="ignore"):
            expected = l2_normalized(x, epsilon)
        check_bits(mindspore_cpu.l2_normalize(x, 0, epsilon), expected, epsilon)

    check()


@MINDSPORE_DTYPES
def test_the_gradient_of_any_vector_of_two_of_mindspore(dtype: str) -> None:
    @settings(max_examples=200)
    @given(*(patterns(dtype, st.just(2)) for _ in range(3)), EPSILONS)
    def check(x: Array, y: Array, dy: Array, epsilon: float) -> None:
        with np.errstate(all="ignore"):
            expected = l2_gradient(x, y, dy, epsilon)
        check_bits(mindspore_cpu.l2_normalize_vjp(x, y, dy, 0, epsilon), expected, epsilon)

    check()


# --- planted faults ------------------------------------------------------------------------------


def by_reciprocal(x: Array, *arguments: Any) -> Array:
    return np.asarray(x * (1 / norm_of(x, 2.0, "float32", contiguous=True)))


def by_pairs(x: Array, *arguments: Any) -> Array:
    return np.asarray(x / np.sqrt(np.add.reduce(x * x)))


def as_maximum(x: Array, *arguments: Any) -> Array:
    return np.asarray(x / np.fmax(norm_of(x, 2.0, "float32", contiguous=True), np.float32(1e-12)))


@pytest.mark.parametrize("wrong", [by_reciprocal, by_pairs, as_maximum])
def test_another_rule_gives_other_bits(
    rng: np.random.Generator, wrong: Callable[..., Array]
) -> None:
    found = []
    for number in range(100):
        x = rng.uniform(-1, 1, 100).astype(np.float32)
        x[0] = np.nan if number % 10 == 0 else x[0]
        found.append(mismatch(torch_cpu.normalize(x, 2.0, 0, 1e-12, PLAIN), wrong(x)))
    assert any(found)
