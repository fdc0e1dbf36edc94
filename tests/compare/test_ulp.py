"""ULP distances, over raw bit patterns."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portnorm.compare.ulp import INFINITE, ulp_distance

DTYPES = ("float16", "float32", "float64")


@st.composite
def numbers(draw: st.DrawFn, count: int) -> np.ndarray:
    """Draw one-element arrays of one dtype from bit patterns, often with the same bits."""
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    bits = 8 * dtype.itemsize
    pattern = st.one_of(
        st.integers(0, 2**bits - 1),
        st.sampled_from([0, 1, 2**bits - 1, 2 ** (bits - 1), 2 ** (bits - 1) + 1]),
        st.sampled_from([_bits(dtype, value) for value in (math.inf, -math.inf, math.nan, 1.0)]),
    )
    patterns = draw(st.lists(pattern, min_size=count, max_size=count))
    return np.array(patterns, f"u{dtype.itemsize}").view(dtype).reshape(count, 1)


def _bits(dtype: np.dtype, value: float) -> int:
    return int(np.array([value], dtype).view(f"u{dtype.itemsize}")[0])


def distance(a: np.ndarray, b: np.ndarray) -> int:
    return int(ulp_distance(a, b)[0])


def rank(x: np.ndarray) -> int:
    """Return the place of a number among all of its dtype, by plain integers."""
    bits = int(x.view(f"u{x.dtype.itemsize}")[0])
    sign = 1 << (8 * x.dtype.itemsize - 1)
    return -(bits - sign) if bits >= sign else bits


@given(numbers(2))
def test_distance_is_the_difference_of_ranks(pair: np.ndarray) -> None:
    a, b = pair
    if np.isnan(pair).any():
        assert distance(a, b) == (0 if np.isnan(pair).all() else INFINITE)
    else:
        assert distance(a, b) == abs(rank(a) - rank(b)) < INFINITE


@given(numbers(2))
def test_distance_is_symmetric_and_zero_for_itself(pair: np.ndarray) -> None:
    a, b = pair
    assert distance(a, b) == distance(b, a)
    assert distance(a, a) == distance(b, b) == 0


@given(numbers(1))
def test_neighbours_are_one_apart(one: np.ndarray) -> None:
    a = one[0]
    with np.errstate(all="ignore"):
        above = np.nextafter(a, a.dtype.type(math.inf))
    if np.isfinite(a).all():
        assert distance(a, above) == 1


@given(numbers(3))
def test_distances_add_up_in_ascending_order(three: np.ndarray) -> None:
    if not np.isnan(three).any():
        a, b, c = np.sort(three, axis=0)
        assert distance(a, c) == distance(a, b) + distance(b, c)


@pytest.mark.parametrize("dtype", DTYPES)
def test_zeros_are_equal_and_nan_is_far_from_numbers(dtype: str) -> None:
    a = np.array([0.0, -0.0, math.nan, math.nan, 1.0, math.inf], dtype)
    b = np.array([-0.0, 0.0, -math.nan, 1.0, math.nan, math.nan], dtype)
    assert ulp_distance(a, b).tolist() == [0, 0, 0, INFINITE, INFINITE, INFINITE]


def test_the_longest_distance_of_numbers_fits() -> None:
    a, b = np.array([-math.inf]), np.array([math.inf])
    assert distance(a, b) == 2 * 0x7FF0_0000_0000_0000


def test_strided_arrays_are_taken() -> None:
    a = np.arange(12, dtype=np.float32).reshape(3, 4).T
    assert not ulp_distance(a, a.copy()).any()


def test_two_dtypes_are_refused() -> None:
    with pytest.raises(TypeError, match="float32 and float64"):
        ulp_distance(np.ones(1, np.float32), np.ones(1))
