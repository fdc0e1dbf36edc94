"""The arrays that are identified, read in blocks of whole vectors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from portnorm.compare.blocks import blocks
from portnorm.identify.layouts import DROPPED, Layout, grain, vectors
from portnorm.readers import Index, Source, held_dtype, whole
from portnorm.terminal import Progress

Array = NDArray[Any]

WHOLE = 2**24
"""Arrays of more elements are never in memory as a whole."""

LONGEST = 2**23
"""Longer vectors are not tried, for they have to be in memory as a whole."""

_SCATTERED = 4
"""Blocks of scattered vectors that are read of a large file, for each needs many short reads."""


class Rows(NamedTuple):
    """Vectors of a layout, one in each row.

    Attributes:
        first: the number of the first.
        x: the input, in float64.
        y: the output, or the gradient.
        g: the cotangent, in float64; None where the output is no gradient.
    """

    first: int
    x: Array
    y: Array
    g: Array | None

    def at(self, chosen: Array) -> Rows:
        """Return some of the rows."""
        return Rows(
            self.first, self.x[chosen], self.y[chosen], None if self.g is None else self.g[chosen]
        )


class Data:
    """What is identified.

    Args:
        x: the input.
        y: the output, or with a cotangent the gradient.
        g: the cotangent.
        progress: called with what is being read, how many vectors of it, and of how many.
        block_bytes: about how much of each array is in memory at one time, as float64.
    """

    def __init__(
        self, x: Source, y: Source, g: Source | None, progress: Progress, block_bytes: int
    ) -> None:
        self.x, self.y, self.g = x, y, g
        self.dtype = np.dtype(held_dtype(y.dtype))
        self._progress, self._block_bytes = progress, block_bytes
        self._size = max(1, block_bytes // 8)
        self.grain = self._grain(y)

    def of(self, x: Source, y: Source) -> Data:
        """Return the same with another input and output."""
        return Data(x, y, self.g, self._progress, self._block_bytes)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the output."""
        return self.y.shape

    @property
    def fits(self) -> bool:
        """Whether the arrays may be in memory as a whole."""
        return math.prod(self.shape) <= WHOLE

    def holds(self, layout: Layout) -> bool:
        """Return whether a vector of a layout may be in memory."""
        return self._length(layout) <= LONGEST

    def most_rows(self, layout: Layout, most: int) -> int:
        """Return how many vectors of a layout may be in memory at one time."""
        return max(2, min(most, self._size // self._length(layout)))

    def whole(self) -> tuple[Array, Array]:
        """Return input and output."""
        return self.x.read(whole(self.x), held_dtype(self.x.dtype)), self.y.read(
            whole(self.y), self.dtype
        )

    def rows(self, layout: Layout) -> Iterator[Rows]:
        """Yield all vectors of a layout, in C order."""
        total = math.prod(self.shape) // self._length(layout)
        for first, index in self._blocks_of(layout):
            yield self._read(layout, first, index)
            self._progress("vectors", first, total)

    def some_rows(self, layout: Layout) -> Iterator[Rows]:
        """Yield all vectors of a layout, or a few where they lie scattered in a large file."""
        scattered = layout.axes != tuple(range(len(self.shape)))[-len(layout.axes) :]
        if self.fits or not (scattered or layout.transposed):
            yield from self.rows(layout)
            return
        places = list(self._blocks_of(layout))
        for first, index in places[:: -(-len(places) // _SCATTERED)]:
            yield self._read(layout, first, index)

    def _blocks_of(self, layout: Layout) -> Iterator[tuple[int, Index]]:
        return blocks(self.shape, layout.axes, self._size // self._length(layout))

    def _read(self, layout: Layout, first: int, index: Index) -> Rows:
        before = (*index[:-2], index[-1], index[-2]) if layout.transposed else index
        x = vectors(self.x.read(before, np.float64), layout, is_input=True)
        y = vectors(self.y.read(index, self.dtype), layout)
        g = None if self.g is None else vectors(self.g.read(index, np.float64), layout)
        return Rows(first, x, y, g)

    def is_repeated(self) -> bool:
        """Return whether the output is the input, bit for bit."""
        if self.x.shape != self.y.shape or self.x.dtype != self.y.dtype:
            return False
        kind = f"u{self.dtype.itemsize}"
        for index in self._blocks():
            x, y = (one.read(index, self.dtype).view(kind) for one in (self.x, self.y))
            if not np.array_equal(x, y):
                return False
        return True

    def is_of_float16(self) -> bool:
        """Return whether the output has no numbers but those of float16."""
        for index in self._blocks():
            y = self.y.read(index, self.dtype)
            with np.errstate(all="ignore"):
                rounded = y.astype(np.float16).astype(self.dtype)
            if not np.array_equal(rounded, y, equal_nan=True):
                return False
        return True

    def _length(self, layout: Layout) -> int:
        return math.prod(self.shape[axis] for axis in layout.axes)

    def _blocks(self) -> Iterator[Index]:
        for _, index in blocks(self.shape, (len(self.shape) - 1,), self._size // self.shape[-1]):
            yield index

    def _grain(self, source: Source) -> int:
        """Return the grain of an array; see `portnorm.identify.layouts.grain`."""
        if self.dtype != np.float32:
            return 1
        coarse = all(grain(source.read(index, self.dtype)) > 1 for index in self._blocks())
        return 2**DROPPED if coarse else 1
