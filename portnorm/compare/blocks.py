"""An array cut into blocks of whole vectors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from portnorm.readers import Index

BLOCK_BYTES = 2**25
"""About how much of an array is in memory at one time."""


def blocks(
    shape: tuple[int, ...], dim: int | tuple[int, ...], vectors: int
) -> Iterator[tuple[int, Index]]:
    """Cut an array along a kept dim into blocks, in C order of the vectors.

    Args:
        shape: of the array; no size is 0.
        dim: along which the vectors lie; or several.
        vectors: about how many vectors a block is to hold. It holds two at least where the
            array does: given one vector alone, torch may split its sum among threads.

    Yields:
        The number of the block's first vector, and the block's index.

    >>> [(first, index[0]) for first, index in blocks((5, 3), 1, 2)]
    [(0, slice(0, 2, None)), (2, slice(2, 5, None))]
    """
    vectors = max(vectors, 2)
    along = dim if isinstance(dim, tuple) else (dim,)
    kept = [axis for axis in range(len(shape)) if axis not in along]
    inside = [math.prod(shape[axis] for axis in kept[rank + 1 :]) for rank in range(len(kept))]
    index = [slice(0, size) for size in shape]
    cut = next((rank for rank, size in enumerate(inside) if size <= vectors), None)
    if cut is None:  # there is one vector
        yield 0, tuple(index)
        return
    first = 0
    for outer in np.ndindex(*(shape[axis] for axis in kept[:cut])):
        for axis, position in zip(kept, outer, strict=False):
            index[axis] = slice(position, position + 1)
        for part in _steps(shape[kept[cut]], vectors // inside[cut], join_last=inside[cut] == 1):
            index[kept[cut]] = part
            yield first, tuple(index)
            first += (part.stop - part.start) * inside[cut]


def _steps(size: int, step: int, join_last: bool) -> Iterator[slice]:
    """Cut 0 .. size into steps; with join_last a last one of size 1 joins the one before it."""
    start = 0
    while start < size:
        stop = min(start + step, size)
        if join_last and size - stop == 1:
            stop = size
        yield slice(start, stop)
        start = stop


def fold(block: NDArray[Any], dim: int) -> NDArray[Any]:
    """Give a C-contiguous block the shape (outer, n, inner), with its vectors along n."""
    outer, inner = math.prod(block.shape[:dim]), math.prod(block.shape[dim + 1 :])
    return block.reshape(outer, block.shape[dim], inner)
