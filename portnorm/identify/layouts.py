"""The axes along which an array may have been normalized, and its vectors along them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


DROPPED = 16
"""Bits of float32 that bfloat16 does not have."""


def grain(x: Array) -> int:
    """Return how many steps of its dtype lie between the numbers that an array can hold.

    It is more than 1 where float32 holds numbers of bfloat16 alone.

    >>> grain(np.array([1.0, 1.0078125], np.float32)), grain(np.array([1.1], np.float32))
    (65536, 1)
    """
    if x.dtype != np.float32:
        return 1
    low = np.ascontiguousarray(x).view(np.uint32) & (2**DROPPED - 1)
    return 1 if low.any() else 2**DROPPED


def as_bfloat16(x: Array) -> Array:
    """Return the encodings of numbers of bfloat16 that float32 holds."""
    return (np.ascontiguousarray(x).view(np.uint32) >> DROPPED).astype(np.uint16)


class Layout(NamedTuple):
    """How vectors lie in an array.

    Attributes:
        axes: those of the vectors, in ascending order.
        transposed: whether the last two axes of the input are exchanged first.
    """

    axes: tuple[int, ...]
    transposed: bool = False

    @property
    def dim(self) -> int | tuple[int, ...]:
        """The axes as the frameworks take them: one is an int."""
        return self.axes[0] if len(self.axes) == 1 else self.axes


def layouts(before: tuple[int, ...], after: tuple[int, ...]) -> Iterator[Layout]:
    """Yield the layouts by which an array of one shape may become one of another.

    >>> [layout.axes for layout in layouts((2, 3), (2, 3))]
    [(0,), (1,), (0, 1)]
    """
    exchanged = (*before[:-2], *before[:-3:-1])
    for transposed, shape in ((False, before), (True, exchanged)):
        if shape != after or (transposed and len(before) < 2):
            continue
        axes = range(len(shape))
        for count in sorted({1, 2, len(shape)} & {*range(1, len(shape) + 1)}):
            for chosen in itertools.combinations(axes, count):
                yield Layout(chosen, transposed)


def vectors(x: Array, layout: Layout, is_input: bool = False) -> Array:
    """Return an array as a matrix with a vector in each row.

    >>> vectors(np.arange(6).reshape(2, 3), Layout((0,))).tolist()
    [[0, 3], [1, 4], [2, 5]]
    """
    if layout.transposed and is_input:
        x = np.swapaxes(x, -1, -2)
    last = range(-len(layout.axes), 0)
    length = int(np.prod([x.shape[axis] for axis in layout.axes], dtype=np.int64))
    return np.moveaxis(x, layout.axes, last).reshape(-1, length)


def index_of(row: int, shape: tuple[int, ...], layout: Layout) -> tuple[int | None, ...]:
    """Return where in an array a vector lies; None for the axes along it."""
    kept = [axis for axis in range(len(shape)) if axis not in layout.axes]
    place = np.unravel_index(row, [shape[axis] for axis in kept]) if kept else ()
    found = dict(zip(kept, map(int, place), strict=True))
    return tuple(found.get(axis) for axis in range(len(shape)))
