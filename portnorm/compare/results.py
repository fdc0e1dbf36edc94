"""Two results of one shape, as two models gave them: do they differ as normalization makes them?

A normalization changes the lengths of vectors and keeps their directions. Where two results differ
in direction, the cause lies before it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from portnorm.compare.blocks import BLOCK_BYTES, blocks, fold
from portnorm.compare.difference import (
    DIRECTION,
    KINDS,
    LENGTH,
    NOT_FINITE,
    ROUNDING,
    SAME,
    Difference,
    Pair,
    result_tolerance,
)
from portnorm.compare.settings import DTYPES, array_of, dim_of, dtype_of
from portnorm.compare.tolerances import tiny_of, unit_tolerance, values_tolerance
from portnorm.compare.ulp import INFINITE, finite, ulp_distance
from portnorm.readers import Described, Source, held_dtype
from portnorm.vectors import Array, vector_norms

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from portnorm.terminal import Progress

_KEPT = 20


def compare_results(
    a: ArrayLike | Source,
    b: ArrayLike | Source,
    *,
    dim: int | None = None,
    dtype: str | None = None,
    block_bytes: int = BLOCK_BYTES,
    progress: Progress | None = None,
) -> Difference:
    """Compare two results of one shape, vector by vector.

    Args:
        a: an array of float16, bfloat16, float32 or float64, of one dim or more, or a
            `portnorm.readers.Source`, which is read block by block.
        b: the other one, of the same shape and dtype.
        dim: along which the vectors lie. None: 1, torch's default, or 0 for a single vector.
        dtype: "float16", "float32" or "float64", to convert both to before anything else.
        block_bytes: about how much of the arrays to hold at one time.
        progress: called with what is being done, the number of vectors done, and of how many.

    Raises:
        IndexError: there is no such dim.
        TypeError: the dtypes differ, or are of no floating-point numbers.
        ValueError: the shapes differ, or there is no element.

    >>> a = np.float32([[0.6, 0.8], [3e-9, 4e-9]])
    >>> b = np.float32([[0.6, 0.8], [0.6, 0.8]])
    >>> found = compare_results(a, b)
    >>> found.counts["length"], found.rows[0].vector, found.rows[0].kind
    (1, (1,), 'length')
    """
    first, second = array_of(a), array_of(b)
    at, stored = plan_results(first, second, dim=dim, dtype=dtype)
    found = _Found((first.name, second.name), first.shape, stored, at)
    total = math.prod(first.shape) // first.shape[at]
    for start, x, y in _read_pairs(first, second, stored, at, block_bytes // 2):
        found.add(start, x, y)
        if progress is not None:
            progress("vectors", start + x.shape[0] * x.shape[2], total)
    result = found.result()
    if result.counts["direction"] and math.prod(first.shape) * 8 <= block_bytes:
        others = tuple(_dims_of_lengths(first, second, stored, at, block_bytes))
        return replace(result, other_dims=others)
    return result


def plan_results(
    a: Described, b: Described, *, dim: int | None, dtype: str | None
) -> tuple[int, str]:
    """Return the dim, counted from 0, and the dtype in which two results are compared.

    Raises:
        IndexError, TypeError, ValueError: see `compare_results`.
    """
    if a.shape != b.shape:
        raise ValueError(f"expected two arrays of one shape, found {a.shape} and {b.shape}")
    if dtype is None and a.dtype != b.dtype:
        raise TypeError(
            f"expected two arrays of one dtype, found {a.dtype} and {b.dtype}; convert with "
            "--dtype float32"
        )
    stored = dtype_of(a.dtype, dtype, own=("bfloat16", *DTYPES))
    if 0 in a.shape:
        raise ValueError(f"expected vectors, found arrays of shape {a.shape}")
    return dim_of(a.shape, dim), stored


def _read_pairs(
    a: Source, b: Source, dtype: str, dim: int, size: int
) -> Iterator[tuple[int, Array, Array]]:
    wide = held_dtype(dtype)
    count = size // (a.shape[dim] * np.dtype(wide).itemsize)
    for first, index in blocks(a.shape, dim, count):
        x, y = (fold(one.read(index, wide), dim) for one in (a, b))
        yield first, x, y


def _dims_of_lengths(a: Source, b: Source, dtype: str, but: int, size: int) -> Iterator[int]:
    """Yield other dims along which vectors differ in length at most."""
    for dim in range(len(a.shape)):
        if dim == but or a.shape[dim] == 1:
            continue
        found = _Found(("", ""), a.shape, dtype, dim)
        for first, x, y in _read_pairs(a, b, dtype, dim, size):
            found.add(first, x, y)
        if not found.counts[[DIRECTION, NOT_FINITE]].any():
            yield dim


# --- vectors --------------------------------------------------------------------------------------


_ROW = np.dtype(
    [
        ("vector", np.int64),
        ("kind", np.int8),
        ("norms", np.float64, 2),
        ("cosine", np.float64),
        ("ulp", np.uint64),
        ("relative", np.float64),
    ]
)


class _Found:
    """What the pass over both arrays has found so far."""

    def __init__(
        self, names: tuple[str, str], shape: tuple[int, ...], dtype: str, dim: int
    ) -> None:
        self.counts = np.zeros(len(KINDS), np.int64)
        self._names, self._shape, self._dtype, self._dim = names, shape, dtype, dim
        self._rows = np.empty(0, _ROW)
        self._ulp, self._relative, self._cosine = 0, 0.0, math.inf
        self._low, self._high = math.inf, -math.inf
        self._of_unit_norm = np.zeros(2, np.int64)
        self._not_finite = 0

    def add(self, first: int, x: Array, y: Array) -> None:
        """Take in a block of vectors of both arrays."""
        a, b = (np.moveaxis(one, 1, -1).reshape(-1, one.shape[1]) for one in (x, y))
        rows = _compared(a, b, self._dtype)
        rows["vector"] += first
        self.counts += np.bincount(rows["kind"], minlength=len(KINDS))
        finite_ones = rows["relative"][rows["kind"] != NOT_FINITE]
        self._ulp = max(self._ulp, int(rows["ulp"].max()))
        self._relative = max(self._relative, float(finite_ones.max(initial=0.0)))
        known = rows["cosine"][~np.isnan(rows["cosine"])]
        self._cosine = min(self._cosine, float(known.min()) if known.size else math.inf)
        longer = rows[rows["kind"] == LENGTH]["norms"]
        if longer.size:
            factors = longer[:, 1] / longer[:, 0]
            self._low = min(self._low, float(factors.min()))
            self._high = max(self._high, float(factors.max()))
        self._not_finite += int((~np.isfinite(a).all(axis=1) & ~np.isfinite(b).all(axis=1)).sum())
        limit = unit_tolerance(a.shape[1], self._dtype)
        self._of_unit_norm += (np.abs(rows["norms"] - 1) <= limit).sum(axis=0)
        differing = np.concatenate([self._rows, rows[rows["kind"] != SAME]])
        worst = np.lexsort((differing["vector"], -differing["relative"], -differing["kind"]))
        self._rows = differing[worst[:_KEPT]]

    def result(self) -> Difference:
        kept = self._shape[: self._dim] + self._shape[self._dim + 1 :]
        return Difference(
            self._names,
            self._shape,
            self._dtype,
            self._dim,
            counts=dict(zip(KINDS, self.counts.tolist(), strict=True)),
            ulp=finite(self._ulp),
            relative=self._relative,
            cosine=None if math.isinf(self._cosine) else self._cosine,
            factors=None if math.isinf(self._low) else (self._low, self._high),
            of_unit_norm=(int(self._of_unit_norm[0]), int(self._of_unit_norm[1])),
            not_finite_in_both=self._not_finite,
            rows=tuple(_pair(row, kept) for row in self._rows),
        )


def _pair(row: Array, kept: tuple[int, ...]) -> Pair:
    return Pair(
        vector=tuple(int(i) for i in np.unravel_index(row["vector"], kept)),
        kind=KINDS[row["kind"]],
        norms=(float(row["norms"][0]), float(row["norms"][1])),
        cosine=float(row["cosine"]),
        ulp=finite(int(row["ulp"])),
        relative=float(row["relative"]),
    )


def _compared(a: Array, b: Array, dtype: str) -> Array:
    """Return a row of `_ROW` for each pair of rows of a and b."""
    rows = np.zeros(len(a), _ROW)
    rows["vector"] = np.arange(len(a))
    steps = ulp_distance(a, b)
    if dtype == "bfloat16":  # held as float32, in which a step of it is 2**16 steps
        steps = np.where(steps == np.uint64(INFINITE), steps, steps >> np.uint64(16))
    rows["ulp"] = steps.max(axis=1)
    same_bits = ((a == b) & (np.signbit(a) == np.signbit(b))) | (np.isnan(a) & np.isnan(b))
    finite_in_both = np.isfinite(a).all(axis=1) & np.isfinite(b).all(axis=1)
    with np.errstate(all="ignore"):
        x, y = a.astype(np.float64), b.astype(np.float64)
        rows["norms"] = np.stack([vector_norms(v[:, :, None], 2.0)[:, 0] for v in (x, y)], axis=1)
        largest = np.maximum(np.abs(x).max(axis=1), np.abs(y).max(axis=1))
        apart = np.abs(x - y).max(axis=1)
        relative = apart / np.where(largest > 0, largest, 1)
        rows["relative"] = np.where(finite_in_both, relative, math.inf)
        u, v = (one / norms[:, None] for one, norms in zip((x, y), rows["norms"].T, strict=True))
        rows["cosine"] = np.einsum("vn,vn->v", u, v)
        turned = np.abs(u - v).max(axis=1) / np.abs(u).max(axis=1)
    tolerance = result_tolerance(a.shape[1], dtype)
    same = same_bits.all(axis=1)
    # The smallest numbers of a dtype are further apart than its precision says.
    by_rounding = (relative <= tolerance) | (apart <= values_tolerance(a.shape[1]) * tiny_of(dtype))
    rows["relative"][same] = 0.0
    rows["kind"] = np.select(
        [same, ~finite_in_both, by_rounding, turned <= 2 * tolerance],
        [SAME, NOT_FINITE, ROUNDING, LENGTH],
        DIRECTION,
    )
    return rows
