"""The definition of both functions at p = 2, near to the exact values, on large NumPy arrays.

parity="semantic" comes here: what counts is how near a result is, and not its bits. Vectors whose
norms `torch_cpu` or `mindspore_cpu` can hold are left to those. For all others, and for gradients,
numbers are widened to float64, and those of float64 are scaled by a power of two, so that nothing
over- or underflows. Special values are those of the formula.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from portnorm.exact.arrays import Array
from portnorm.exact.compilation import kernel
from portnorm.exact.ieee import enter_default_environment, leave_default_environment


class Definition(NamedTuple):
    """One function with its arguments.

    Attributes:
        dims: the reduced dims.
        floor: the lower bound of the norm.
        floor_takes_ties: whether a norm has to exceed the floor, as in L2Normalize, where one that
            equals it, or is NaN, selects it.
        forward: exact arithmetic that is near enough where norms are below `limit`, or None.
        arguments: of `forward`.
        limit: see `forward`.
    """

    dims: tuple[int, ...]
    floor: float
    floor_takes_ties: bool
    forward: Callable[..., Array] | None
    arguments: tuple[Any, ...]
    limit: float


def divide(x: Array, definition: Definition) -> Array:
    """Return the vectors of x divided by their norms or by the floor.

    >>> unit = Definition((0,), 1e-12, False, None, (), 0.0)
    >>> divide(np.array([3e200, 4e200]), unit)
    array([0.6, 0.8])
    """
    size = math.prod(x.shape[d] for d in definition.dims)
    if definition.forward is not None and bound_of_norms(x, size) < definition.limit:
        return definition.forward(x, *definition.arguments)
    return _by_vector(_divide_block, definition, x)


def divide_vjp(x: Array, dy: Array, definition: Definition) -> Array:
    """Return the product of a cotangent with the Jacobian of `divide`.

    >>> unit = Definition((0,), 1e-12, False, None, (), 0.0)
    >>> divide_vjp(np.array([2.0, 0.0]), np.array([1.0, 1.0]), unit)
    array([0. , 0.5])
    """
    return _by_vector(_vjp_of_block, definition, x, dy)


def bound_of_norms(x: Array, size: int) -> float:
    """Return what no norm over `size` elements exceeds; not finite where there is a NaN."""
    elements = x.reshape(-1)
    if x.dtype == np.float16:  # as integers, which NumPy compares faster
        largest = (elements.view(np.int16) & np.int16(0x7FFF)).max().view(np.float16)
        return float(largest) * math.sqrt(size)
    with np.errstate(all="ignore"):
        return math.sqrt(np.dot(elements, elements))


# --- blocks of vectors ---------------------------------------------------------------------------


def _by_vector(function: Callable[..., Array], definition: Definition, *arrays: Array) -> Array:
    """Call a function with a few vectors at a time, which stay in the cache."""
    x = arrays[0]
    last = tuple(range(x.ndim - len(definition.dims), x.ndim))
    moved = [np.moveaxis(array, definition.dims, last) for array in arrays]
    size = math.prod(x.shape[d] for d in definition.dims)
    vectors = [array.reshape(-1, size) for array in moved]
    result = np.empty_like(vectors[0])
    step = max(1, _BLOCK // size)
    environment = _enter()
    try:
        with np.errstate(all="ignore"):
            for start in range(0, len(result), step):
                block = slice(start, start + step)
                result[block] = _of_block(function, definition, [v[block] for v in vectors])
    finally:
        _leave(environment)
    back = np.moveaxis(result.reshape(moved[0].shape), last, definition.dims)
    return np.ascontiguousarray(back)


def _of_block(function: Callable[..., Array], definition: Definition, block: list[Array]) -> Array:
    """NumPy is slow where rows are short: those become columns."""
    short = block[0].shape[1] < _SHORT
    held = [np.array(a.T if short else a, np.float64, order="C") for a in block]
    axis, scaled = 0 if short else 1, block[0].dtype == np.float64
    result = function(definition, axis, scaled, *held)
    return result.T if short else result


def _divide_block(definition: Definition, axis: int, scaled: bool, x: Array) -> Array:
    x, _, divisor, _ = _divisors(definition, axis, scaled, x)
    quotients: Array = x / divisor
    return quotients


def _vjp_of_block(definition: Definition, axis: int, scaled: bool, x: Array, dy: Array) -> Array:
    x, scale, divisor, floored = _divisors(definition, axis, scaled, x)
    y = x / divisor
    along = (dy * y).sum(axis, keepdims=True)
    constant = floored | (divisor == 0)
    dx: Array = (dy - np.where(constant, 0.0, y * along)) / divisor
    return dx / scale if scaled else dx


def _divisors(
    definition: Definition, axis: int, scaled: bool, x: Array
) -> tuple[Array, Array | float, Array, Array]:
    """Return x / scale, scale, divisor / scale, and whether the divisor is the floor."""
    scale = _scales(x, axis) if scaled else 1.0
    if scaled:
        x = x / scale
    norm = np.sqrt((x * x).sum(axis, keepdims=True))
    whole = norm * scale
    floored = (
        ~(whole > definition.floor) if definition.floor_takes_ties else (whole < definition.floor)
    )
    return x, scale, np.where(floored, definition.floor / scale, norm), floored


def _scales(x: Array, axis: int) -> Array:
    """Return a power of two near the largest magnitude of each vector."""
    largest = np.abs(x).max(axis, keepdims=True)
    _, exponent = np.frexp(np.where(np.isfinite(largest), largest, 1.0))
    scales: Array = np.ldexp(1.0, np.maximum(exponent - 1, _LOWEST_EXPONENT))
    return scales


@kernel
def _enter() -> Any:
    return enter_default_environment()


@kernel
def _leave(previous: Any) -> None:
    leave_default_environment(previous)


_BLOCK = 1 << 15
"""Elements of float64 that stay in the cache with what is computed from them."""

_SHORT = 64
_LOWEST_EXPONENT = -1000
"""Vectors that are smaller still are far below any floor; dividing by more would overflow."""
