"""Identify what was done to an array: a normalization, and what else may have been done with it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from portnorm.compare.blocks import BLOCK_BYTES
from portnorm.compare.settings import array_of
from portnorm.identify.candidates import ORDERS, RARER_ORDERS
from portnorm.identify.data import Data
from portnorm.identify.layouts import layouts
from portnorm.identify.result import Identification
from portnorm.identify.search import sample, search, tolerance_of
from portnorm.readers import Described, Index, Source, held_dtype
from portnorm.terminal import Progress, no_progress
from portnorm.vectors import vector_norms

_DTYPES = ("float16", "bfloat16", "float32", "float64")


def identify(
    x: ArrayLike | Source,
    y: ArrayLike | Source,
    *,
    cotangent: ArrayLike | Source | None = None,
    progress: Progress | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> Identification:
    """Find the normalization that turns x into y, or whose gradient y is.

    All forms of `portnorm.conventions` are tried along each axis, each pair of axes and all of
    them, with several orders of the norm, with the epsilons that are found in practice and those
    that the data imply. The best explanation comes first, with all that cannot be told apart from
    it on these data. Where nothing fits, rarer orders are tried, then arrays that were rounded to
    float16 and stored in a wider dtype, and then outputs that were multiplied by a number.

    Args:
        x: the input, of float16, bfloat16, float32 or float64, or a `portnorm.readers.Source`,
            which is read block by block. float32 that holds numbers of bfloat16 alone counts as
            bfloat16.
        y: the output: of the shape of x, or of x with its last two axes exchanged. With a
            cotangent, the gradient with respect to x.
        cotangent: what arrived as gradient of the output, of the shape of x.
        progress: called with what is being read, how much of it, and of how much.
        block_bytes: about how much of each array to hold at one time.

    Raises:
        TypeError: an array is not of a floating-point dtype.
        ValueError: the shapes do not fit, or there is no vector of finite numbers.

    >>> x = np.random.default_rng(0).standard_normal((4, 8))
    >>> print(identify(x, x / np.linalg.norm(x, axis=1, keepdims=True)).explanations[0])
    F.normalize(x, dim=1)
    """
    before, after = array_of(x, "x"), array_of(y, "y")
    g = None if cotangent is None else array_of(cotangent, "cotangent")
    for source in (before, after, *([] if g is None else [g])):
        _check_dtype(source)
    if g is not None and not before.shape == after.shape == g.shape:
        raise ValueError(
            f"expected three arrays of one shape, found {before.shape}, {g.shape} and {after.shape}"
        )
    check(before, after)

    data = Data(before, after, g, progress or no_progress, block_bytes)
    found = search(data)
    if found.fits or g is not None:
        return found
    return next((one for one in _rarer(data) if one.fits), found)


def _rarer(data: Data) -> Iterator[Identification]:
    """Yield what else may have been done, which takes longer to find."""
    yield search(data, RARER_ORDERS)
    if data.x.dtype != "float16" and data.is_of_float16():
        rounded = data.of(_Changed(data.x, "float16"), _Changed(data.y, "float16"))
        yield replace(search(rounded), dtype="float16")
    for factor in _factors(data):
        found = search(data.of(data.x, _Changed(data.y, data.y.dtype, factor)))
        if abs(math.frexp(factor)[0]) != 0.5:  # The division rounded, and bits prove nothing.
            same = tuple(replace(one, builds=()) for one in found.same)
            found = replace(found, best=replace(found.best, builds=()), same=same)
        yield replace(found, factor=factor)


def check(x: Described, y: Described) -> None:
    """Find out whether an array can come of another, by their shapes and dtypes.

    Raises:
        TypeError, ValueError: see `identify`.
    """
    for described in (x, y):
        _check_dtype(described)
    if not any(True for _ in layouts(x.shape, y.shape)) or 0 in x.shape:
        raise ValueError(
            f"expected two arrays of one shape, or with the last two axes exchanged, of one "
            f"element or more, found {x.shape} and {y.shape}"
        )


def _check_dtype(described: Described) -> None:
    if described.dtype not in _DTYPES:
        *others, last = _DTYPES
        raise TypeError(
            f"{described.name}: expected {', '.join(others)} or {last}, found {described.dtype}"
        )


def _factors(data: Data) -> Iterator[float]:
    """Yield by what the output may have been multiplied: most of its vectors have that norm."""
    found: list[tuple[int, float]] = []
    for layout in layouts(data.x.shape, data.shape):
        rows = sample(data, layout) if data.holds(layout) else None
        if rows is None or len(rows.x) < 2:
            continue
        x, y = rows.x, rows.y.astype(np.float64)
        with np.errstate(all="ignore"):
            sign = float(np.median((x * y).sum(axis=1)))
        tolerance = tolerance_of(data, layout)
        for rank, p in enumerate(ORDERS):
            before, after = (vector_norms(one[:, :, None], p).reshape(-1) for one in (x, y))
            if _is_even(after, tolerance) and not _is_even(before, tolerance):
                found.append((rank, math.copysign(float(np.median(after)), sign)))
    seen: list[float] = [1.0]
    for _, factor in sorted(found, key=lambda one: one[0]):  # the commonest order first
        if not any(math.isclose(factor, one, rel_tol=1e-3) for one in seen):
            seen.append(factor)
            yield factor


def _is_even(norms: NDArray[Any], tolerance: float) -> bool:
    """Return whether most norms are one number, and not zero."""
    median = float(np.median(norms))
    return 0 < median < math.inf and bool(
        (np.abs(norms - median) <= tolerance * median).mean() > 0.5
    )


class _Changed(NamedTuple):
    """An array whose numbers are divided, or rounded to another dtype, as they are read."""

    source: Source
    dtype: str
    divisor: float = 1.0

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def shape(self) -> tuple[int, ...]:
        return self.source.shape

    def read(self, index: Index, dtype: DTypeLike) -> NDArray[Any]:
        with np.errstate(all="ignore"):
            x = self.source.read(index, np.float64) / self.divisor
            return x.astype(held_dtype(self.dtype)).astype(dtype)
