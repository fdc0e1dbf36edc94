"""Distances between floating-point values, counted in units in the last place."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

INFINITE = 2**64 - 1
"""The distance between a NaN and a number. No two numbers are so far apart."""


def ulp_distance(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.uint64]:
    """Count the steps between neighbouring values that lead from a to b, element by element.

    The distance is that of the encodings in ascending order, so it goes through zero and through
    the subnormals. +0 and -0 are 0 apart, two NaNs are 0 apart, and an infinity is one step from
    the largest finite value.

    Args:
        a: array of float16, float32 or float64.
        b: array of the same shape and dtype.

    Returns:
        The distances; `INFINITE` where one of the two is NaN and the other is not.

    >>> one = np.float32([1.0])
    >>> int(ulp_distance(one, np.nextafter(one, np.float32(2)))[0])
    1
    """
    if a.dtype != b.dtype:
        raise TypeError(f"ULP distance of {a.dtype} and {b.dtype}: the dtypes must be equal")
    from_encoding, to_encoding = _ascending(a), _ascending(b)
    upper = np.maximum(from_encoding, to_encoding).view(np.uint64)
    lower = np.minimum(from_encoding, to_encoding).view(np.uint64)
    with np.errstate(over="ignore"):  # wrapping round 2**64 gives the right difference
        distance: NDArray[np.uint64] = upper - lower
    a_is_nan, b_is_nan = np.isnan(a), np.isnan(b)
    if a_is_nan.any() or b_is_nan.any():
        distance = np.where(a_is_nan | b_is_nan, np.uint64(INFINITE), distance)
        distance = np.where(a_is_nan & b_is_nan, np.uint64(0), distance)
    return distance


def finite(distance: int | np.uint64) -> float:
    """Return a distance as an int, or infinity where it marks a NaN."""
    return math.inf if int(distance) == INFINITE else int(distance)


def _ascending(x: NDArray[Any]) -> NDArray[np.int64]:
    """Map sign and magnitude to integers that ascend with the values; -0 and +0 both to 0."""
    encoding = np.ascontiguousarray(x).view(f"i{x.dtype.itemsize}")
    magnitude = encoding & np.iinfo(encoding.dtype).max
    return np.where(encoding < 0, -magnitude, magnitude).astype(np.int64, copy=False)
