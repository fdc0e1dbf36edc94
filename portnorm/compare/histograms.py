"""Histograms that are filled block by block, with bins fixed beforehand."""

from __future__ import annotations

import math
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


class UlpBin(NamedTuple):
    """Vectors whose largest difference lies between lower and upper, both included, in ULP.

    Attributes:
        lower: 0, a power of two, or infinite for NaN in one of the two only.
        upper: 0, one less than a power of two, or infinite.
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


class UlpHistogram:
    """Counts vectors by their difference in ULP: 0, 1, 2 to 3, 4 to 7, and so on."""

    _POWERS = 2 ** np.arange(64, dtype=np.uint64)

    def __init__(self) -> None:
        self._counts = np.zeros(66, np.int64)

    def add(self, ulp: Array) -> None:
        """Take in vectors."""
        places = np.searchsorted(self._POWERS, ulp, side="right")
        places[ulp == INFINITE] = 65
        self._counts += np.bincount(places, minlength=66)

    def bins(self) -> tuple[UlpBin, ...]:
        """Return the bins that are not empty, in ascending order."""
        return tuple(
            UlpBin(*_limits(int(i)), int(self._counts[i])) for i in np.flatnonzero(self._counts)
        )


def _limits(place: int) -> tuple[float, float]:
    if place == 65:
        return math.inf, math.inf
    return (2 ** (place - 1), 2**place - 1) if place else (0, 0)
