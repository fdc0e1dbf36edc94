"""Differences of values and of gradients, and how much of them rounding may explain."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from portnorm.compare.settings import Settings
from portnorm.vectors import Array, classes_of, vector_norms


def values_tolerance(n: int) -> int:
    """Return by how many ULP the values of a vector of n elements may differ unchanged.

    It is ``sqrt(n) + 8``: what rounding does at random. With u half the dtype's epsilon, each of
    the n additions of a sum of squares is off by up to u of the sum so far, and n such errors of
    either sign add up to the order of sqrt(n) u; the root halves that, and there are two sums.
    The squares, the root and the division add 2.5 u in each function, and u of a value is at
    most one ULP of it. The bound on the worst case, n + 4, would hide that float16 sums of
    thousands of squares stop growing.
    """
    return math.isqrt(n) + 8


def gradient_tolerance(n: int, dtype: str) -> float:
    """Return by how much elements of gradients may differ unchanged, relative to ``||g|| / d``.

    g is the cotangent and d torch's divisor, ``max(norm, eps)``. It is
    ``(2 sqrt(n) + 32) u``: each of the two gradients takes a sum of n squares, one of n products
    and a dozen other operations.
    """
    return (2 * math.sqrt(n) + 32) * float(np.finfo(dtype).eps) / 2


def epsilon_of(dtype: str) -> float:
    """Return the distance from 1 to the next number of a dtype; also of "bfloat16"."""
    return 2.0**-7 if dtype == "bfloat16" else float(np.finfo(dtype).eps)


def tiny_of(dtype: str) -> float:
    """Return the smallest number above 0 of a dtype; also of "bfloat16"."""
    return 2.0**-133 if dtype == "bfloat16" else float(np.finfo(dtype).smallest_subnormal)


def unit_tolerance(n: int, dtype: str) -> float:
    """Return how far rounding takes the norm of a normalized vector of n elements from 1."""
    return values_tolerance(n) * epsilon_of(dtype)


def classify(x: Array, settings: Settings) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """Return the class, as an index of `CLASSES`, and the 2-norm of each vector of a block.

    torch's floor is held against the p-norm, MindSpore's against the 2-norm. A norm that equals
    a floor is not below it.
    """
    norms = vector_norms(x, 2.0)
    orders = norms if settings.p == 2 else vector_norms(x, settings.p)
    return classes_of(norms, orders, settings.floors, np.isfinite(x).all(axis=1)), norms


def relative_differences(a: Array, b: Array) -> NDArray[np.float64]:
    """Return ``|a - b| / max(|a|, |b|)``, at most 2; 0 for two NaNs, infinite for one."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(all="ignore"):
        relative = np.abs(a - b) / np.maximum(np.abs(a), np.abs(b))
    return _settle_nan(relative, a, b)


def gradient_differences(a: Array, b: Array, unit: Array) -> NDArray[np.float64]:
    """Return ``|a - b| / unit`` of two gradients, as `relative_differences` does."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(all="ignore"):
        relative = np.abs(a - b) / unit
    return _settle_nan(relative, a, b)


def _settle_nan(relative: Array, a: Array, b: Array) -> NDArray[np.float64]:
    """NaN in the result: both values are the same, or both NaN, or they are worlds apart."""
    if not np.isnan(relative.max()):
        return relative
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    return np.where(same, 0.0, np.where(np.isnan(relative), math.inf, relative))


def gradient_unit(x: Array, cotangent: Array, settings: Settings) -> NDArray[np.float64]:
    """Return ``||g|| / d`` of each vector, with d torch's divisor ``max(norm, eps)``."""
    divisor = np.maximum(vector_norms(x, settings.p), settings.floors[0])
    with np.errstate(all="ignore"):
        return np.asarray((vector_norms(cotangent, 2.0) / divisor)[:, None, :])
