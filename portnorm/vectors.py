"""Norms of vectors, what they are divided by, and their classes by the floors of both functions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from portnorm.conventions import Form

Array = NDArray[Any]

CLASSES = ("zero", "below_both", "between", "above_both", "not_finite")
"""Classes of vectors, by their norm.

zero: the norm is 0. Both functions return 0, but their gradients differ.
below_both, between, above_both: the norm is below the floors of both functions, of one of them,
of neither.
not_finite: the vector holds an infinity or a NaN.
"""
ZERO, BELOW, BETWEEN, ABOVE, NOT_FINITE = range(len(CLASSES))


def vector_norms(x: Array, p: float) -> NDArray[np.float64]:
    """Return the p-norms of (outer, n, inner) along n, in float64.

    Vectors are scaled by their largest element, so that no power over- or underflows.
    """
    magnitude = np.abs(x.astype(np.float64))
    largest = magnitude.max(axis=1, keepdims=True)
    scale = np.where((largest > 0) & np.isfinite(largest), largest, 1.0)
    with np.errstate(all="ignore"):
        magnitude /= scale
        norms = _norms_of_scaled(magnitude, p)
        return np.asarray(norms if p == 0 else norms * scale[:, 0], np.float64)


def _norms_of_scaled(magnitude: NDArray[np.float64], p: float) -> Array:
    if p == 0:
        return np.asarray(np.count_nonzero(magnitude, axis=1))
    if math.isinf(p):
        return np.asarray(magnitude.max(axis=1) if p > 0 else magnitude.min(axis=1))
    if p == 2:
        return np.asarray(np.sqrt(np.einsum("onk,onk->ok", magnitude, magnitude)))
    return np.asarray((magnitude**p).sum(axis=1) ** (1 / p))


def normalized(x: Array, form: Form, axis: int | tuple[int, ...] | None, e: float = 0.0) -> Array:
    """Return x divided by its norms along an axis, in one of the forms of `portnorm.conventions`.

    Args:
        x: of any shape, float32 or float64, in which it is computed.
        form: which one.
        axis: that of the vectors, or several; None for all of x as one vector.
        e: the epsilon of the form.

    Returns:
        An array of the shape and dtype of x.

    >>> from portnorm.conventions import FORMS
    >>> normalized(np.array([3.0, 4.0]), FORMS["norm_plus"], 0, 5.0)
    array([0.3, 0.4])
    """
    with np.errstate(all="ignore"):
        reduce = np.mean if form.divisor == "root of mean" else np.sum
        divisor = np.asarray(reduce(x * x, axis=axis, keepdims=True))
        if form.divisor == "norm":
            divisor = np.sqrt(divisor)
        if form.epsilon == "threshold":
            divisor = np.where(divisor <= e, 1.0, divisor)
        elif form.epsilon != "none":
            divisor = np.maximum(divisor, e) if form.epsilon == "bound" else divisor + e
        if form.divisor != "norm":
            divisor = np.sqrt(divisor)
        return np.asarray(x / divisor.astype(x.dtype))


def classes_of(
    norms: Array, orders: Array, floors: tuple[float, float], finite: Array
) -> NDArray[np.int8]:
    """Return the classes of vectors by their 2-norms, their p-norms, and whether all is finite."""
    eps, epsilon = floors
    below = (orders < eps).astype(np.int8) + (norms < epsilon)
    classes: NDArray[np.int8] = np.array([ABOVE, BETWEEN, BELOW], np.int8)[below]
    classes[norms == 0] = ZERO
    classes[~finite] = NOT_FINITE
    return classes
