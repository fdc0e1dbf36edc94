"""The rows with the largest differences, in memory that does not grow with the array."""

from __future__ import annotations

import numpy as np

from portnorm.vectors import Array

KEPT = 100
"""So many of the vectors with the largest differences are kept."""

ROW = np.dtype(
    [
        ("vector", np.int64),
        ("norm", np.float64),
        ("class", np.int8),
        ("ulp", np.uint64),
        ("relative", np.float64),
        ("measured", np.bool_),
        ("gradient_relative", np.float64),
    ]
)
"""What is kept of a vector; "measured" says whether its gradient was."""


class Largest:
    """Keeps the rows whose key is largest; of equal ones those with the lowest numbers.

    Args:
        key: the field of `ROW` that is the key. Rows in which it is 0 are not kept.
        limit: how many to keep.
    """

    def __init__(self, key: str, limit: int = KEPT) -> None:
        self.rows = np.empty(0, ROW)
        self._key = key
        self._limit = limit

    def add(self, key: Array, **fields: Array) -> None:
        """Take in vectors with ascending numbers: their keys and the other fields."""
        places = _largest(key, self._limit)
        new = np.zeros(places.size, ROW)
        for name, values in {self._key: key, **fields}.items():
            new[name] = values[places]
        rows = np.concatenate([self.rows, new])
        self.rows = rows[_largest(rows[self._key], self._limit)]


def _largest(key: Array, limit: int) -> Array:
    """Return the places of the largest keys above 0, largest first, equal ones in order."""
    places = np.flatnonzero(key)
    if places.size > limit:
        threshold = np.partition(key[places], -limit)[-limit]
        above, equal = key[places] > threshold, key[places] == threshold
        places = np.concatenate([places[above], places[equal][: limit - int(above.sum())]])
    order = np.lexsort((places, _descending(key[places])))
    return np.asarray(places[order])


def _descending(key: Array) -> Array:
    # Unsigned integers have no negatives, and 2**64 - x is as good.
    return ~key if key.dtype.kind == "u" else -key
