"""Which vectors' gradients to measure, chosen while the values pass by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from portnorm.vectors import ABOVE, CLASSES, Array

CHOSEN = np.dtype([("vector", np.int64), ("ulp", np.uint64), ("relative", np.float64)])
"""A chosen vector: its number, and the difference of its values."""


class Candidates:
    """Remembers the vectors whose gradients may be measured.

    Those with the largest differences of values and those of the classes other than "above_both"
    go first, taking turns, and what is left of the quota is spread evenly over the array.
    """

    def __init__(self, vectors: int, quota: int) -> None:
        self._quota = quota
        self._even = np.zeros(quota, CHOSEN)
        self._even["vector"] = np.linspace(0, vectors - 1, quota).astype(np.int64)
        self._special: dict[int, list[Array]] = {
            code: [] for code in range(len(CLASSES)) if code != ABOVE
        }

    def add(self, first: int, classes: NDArray[np.int8], ulp: Array, relative: Array) -> None:
        """Take in the vectors of a block, of which ``first`` is the number of the first."""
        here = slice(*np.searchsorted(self._even["vector"], [first, first + classes.size]))
        self._even[here] = _chosen(first, self._even["vector"][here] - first, ulp, relative)
        for code, found in self._special.items():
            left = self._quota - sum(chosen.size for chosen in found)
            local = np.flatnonzero(classes == code)[:left] if left else np.empty(0, np.int64)
            if local.size:
                found.append(_chosen(first, local, ulp, relative))

    def choose(self, worst: Array) -> Array:
        """Return the chosen vectors in ascending order.

        Args:
            worst: the vectors with the largest differences, largest first; records that have
                the fields of `CHOSEN`.
        """
        special = self._take_turns(worst[list(CHOSEN.names or ())].astype(CHOSEN))
        others = self._even[~np.isin(self._even["vector"], special["vector"])]
        rest = min(self._quota - special.size, others.size)
        spread = others[np.linspace(0, others.size - 1, rest).astype(np.int64)]
        return np.sort(np.concatenate([special, spread]), order="vector")

    def _take_turns(self, worst: Array) -> Array:
        lists = [worst, *(np.concatenate(parts) for parts in self._special.values() if parts)]
        turn = np.concatenate([np.arange(chosen.size) for chosen in lists])
        in_turn = np.concatenate(lists)[np.argsort(turn, kind="stable")]
        _, at_first = np.unique(in_turn["vector"], return_index=True)
        return np.asarray(in_turn[np.sort(at_first)[: self._quota]])


def _chosen(first: int, local: NDArray[np.int64], ulp: Array, relative: Array) -> Array:
    chosen = np.empty(local.size, CHOSEN)
    chosen["vector"] = first + local
    chosen["ulp"], chosen["relative"] = ulp[local], relative[local]
    return chosen
