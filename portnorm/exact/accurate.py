"""The definition of both functions at p = 2, near to the exact values, on large NumPy arrays.

parity="semantic" comes here: what counts is how near a result is. Numbers are widened to float64,
and those of float64 are scaled by a power of two where squares could over- or underflow. The order
of the sums is fixed, so that results have the same bits on every processor; they are not those of
a framework. Special values are those of the formula.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from portnorm.exact.accurate_kernels import COLUMNS, ROWS, UNIT, fill_gradient, fill_quotients
from portnorm.exact.machine import threads
from portnorm.exact.machine.arrays import Array, memory


class Definition(NamedTuple):
    """One function with its arguments.

    Attributes:
        dims: the reduced dims.
        floor: the lower bound of the norm.
        floor_takes_ties: whether a norm has to exceed the floor, as in L2Normalize, where one that
            equals it, or is NaN, selects it.
    """

    dims: tuple[int, ...]
    floor: float
    floor_takes_ties: bool


def divide(x: Array, definition: Definition) -> Array:
    """Return the vectors of x divided by their norms or by the floor.

    Args:
        x: array of any shape: float16, float32 or float64.
        definition: what is computed.

    Returns:
        C-contiguous array of the shape and dtype of ``x``.

    >>> divide(np.array([3e200, 4e200]), Definition((0,), 1e-12, False))
    array([0.6, 0.8])
    """
    return _run(fill_quotients, definition, x)


def divide_vjp(x: Array, dy: Array, definition: Definition) -> Array:
    """Return the product of a cotangent with the Jacobian of `divide`.

    Args:
        x: as for `divide`.
        dy: the cotangent, of the shape and dtype of ``x``.
        definition: as for `divide`.

    Returns:
        C-contiguous array of the shape and dtype of ``x``.

    >>> divide_vjp(np.array([2.0, 0.0]), np.array([1.0, 1.0]), Definition((0,), 1e-12, False))
    array([0. , 0.5])
    """
    return _run(fill_gradient, definition, x, dy)


def _run(
    kernel: Callable[[bool], Callable[..., None]], definition: Definition, *arrays: Array
) -> Array:
    """Call a kernel with a new array and with these."""
    rank = arrays[0].ndim
    dims = tuple(sorted(definition.dims))
    last = tuple(range(rank - len(dims), rank))
    together = not dims or dims == tuple(range(dims[0], dims[0] + len(dims)))
    if not together:
        arrays = tuple(np.moveaxis(array, dims, last) for array in arrays)
    arrays = tuple(np.asarray(array, order="C") for array in arrays)
    result = np.empty_like(arrays[0])
    size, inner, tiles, unit_tiles = _layout(result.shape, dims if together else last)
    threads.run(
        kernel(inner == 1),
        -(-tiles // unit_tiles),
        result.size,
        (0 if inner == 1 else ROWS * COLUMNS, np.float64),
        tiles,
        unit_tiles,
        memory(result),
        *map(memory, arrays),
        size,
        inner,
        definition.floor,
        definition.floor_takes_ties,
    )
    return result if together else np.asarray(np.moveaxis(result, last, dims), order="C")


@functools.lru_cache(maxsize=1024)
def _layout(shape: tuple[int, ...], dims: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Return size, inner, the number of tiles, and how many are a unit of work."""
    first, last = (dims[0], dims[-1] + 1) if dims else (0, 0)
    size, inner = math.prod(shape[first:last]), math.prod(shape[last:])
    tiles = math.prod(shape[:first]) * -(-inner // COLUMNS)
    return size, inner, tiles, max(1, UNIT // (size * min(inner, COLUMNS)))
