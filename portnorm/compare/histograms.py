"""Histograms that are filled block by block, with bins fixed beforehand."""

from __future__ import annotations

import math
import sys
from typing import NamedTuple

import numpy as np

from portnorm.compare.ulp import INFINITE
from portnorm.vectors import CLASSES, NOT_FINITE, ZERO, Array

BINS_PER_DECADE = 8


class NormBin(NamedTuple):
    """Vectors whose norm lies in [lower, upper).

    Attributes:
        lower: a power of ten to an eighth, or a floor.
        upper: likewise; infinite in the last bin there is.
        counts: number of vectors of each class that occurs in the bin.
    """

    lower: float
    upper: float
    counts: dict[str, int]


class Bin(NamedTuple):
    """Vectors whose largest difference lies between two limits.

    Attributes:
        lower: of differences in ULP 0 or a power of two, which is included; of relative ones 0, a
            power of ten or the tolerance, which is excluded. Infinite for NaN in one of the two
            only, and for what else is infinitely far apart.
        upper: included; 0 for no difference, and infinite where lower is.
        vectors: their number.
    """

    lower: float
    upper: float
    vectors: int


class NormHistogram:
    """Counts vectors by norm and class; those of norm 0 and those that are not finite have none.

    Args:
        floors: edges of bins besides the powers of ten.
    """

    def __init__(self, floors: tuple[float, float]) -> None:
        powers = np.arange(-324 * BINS_PER_DECADE, 308 * BINS_PER_DECADE) / BINS_PER_DECADE
        inner = [floor for floor in floors if 0 < floor < math.inf]
        edges = np.concatenate([[0.0], 10.0**powers, inner, [math.inf]])
        self._edges = np.unique(edges)
        self._counts = np.zeros((len(CLASSES), self._edges.size), np.int64)

    def add(self, norms: Array, classes: Array) -> None:
        """Take in vectors."""
        shown = (classes != ZERO) & (classes != NOT_FINITE)
        places = np.searchsorted(self._edges, norms[shown], side="right") - 1
        np.add.at(self._counts, (classes[shown], places), 1)

    def bins(self) -> tuple[NormBin, ...]:
        """Return the bins that are not empty, in ascending order."""
        upper = np.append(self._edges[1:], math.inf)
        return tuple(
            NormBin(float(self._edges[i]), float(upper[i]), self._of_bin(i))
            for i in np.flatnonzero(self._counts.sum(axis=0))
        )

    def _of_bin(self, i: int) -> dict[str, int]:
        return {name: int(n) for name, n in zip(CLASSES, self._counts[:, i], strict=True) if n}


class Histogram:
    """Counts vectors by their largest difference.

    Args:
        upper: of each bin, ascending; the first is 0, the last what stands for infinite.
        step: from the upper limit of a bin to the lower one of the next.
    """

    def __init__(self, upper: Array, step: int = 0) -> None:
        self._upper = upper
        self._step = step
        self._counts = np.zeros(upper.size, np.int64)

    def add(self, differences: Array) -> None:
        """Take in vectors."""
        places = np.searchsorted(self._upper, differences)
        self._counts += np.bincount(places, minlength=self._upper.size)

    def bins(self) -> tuple[Bin, ...]:
        """Return the bins that are not empty, in ascending order."""
        upper = [*self._upper[:-1].tolist(), math.inf]
        lower = [0, *(limit + self._step for limit in upper[:-2]), math.inf]
        counts = self._counts.tolist()
        return tuple(Bin(*one) for one in zip(lower, upper, counts, strict=True) if one[2])


def ulp_histogram() -> Histogram:
    """Return one of differences in ULP: 0, 1, 2 to 3, 4 to 7, and so on."""
    last = 2 ** np.arange(64, dtype=np.uint64) - np.uint64(1)
    # No two numbers are 2**64 - 2 apart.
    return Histogram(np.append(last, np.array([INFINITE - 1, INFINITE], np.uint64)), 1)


def relative_histogram(tolerance: float) -> Histogram:
    """Return one of relative differences: up to each power of ten, and up to the tolerance."""
    powers = [float(f"1e{exponent}") for exponent in range(-323, 309)]
    return Histogram(np.unique([0.0, tolerance, *powers, sys.float_info.max, math.inf]))
