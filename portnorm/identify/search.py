"""Find the normalizations that turn one array into another, or a cotangent into a gradient."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from portnorm.compare.ulp import ulp_distance
from portnorm.conventions import FORMS
from portnorm.identify.bits import builds_with_these_bits
from portnorm.identify.candidates import (
    EPSILONS,
    ORDERS,
    TRIED,
    Candidate,
    candidates,
    in_float16,
    told_apart,
)
from portnorm.identify.data import Data, Rows
from portnorm.identify.layouts import Layout, layouts, vectors
from portnorm.identify.result import Explanation, Identification
from portnorm.semantics import NORMALIZE

Array = NDArray[Any]

_SCREENED = 1024
"""Rows that are looked at before all are, where they are not long."""

_TRIED = 12
"""Candidates that are compared on all rows."""

_FAR = 1e6
"""Errors beyond it are all alike: a NaN, say, on one side."""

_ALIKE = 0.3
"""The difference of mean errors, in ULP, that does not tell two explanations apart."""

_NONE = 0.0, 0.0
"""The epsilon of a form that has none, and its limit."""


def search(data: Data, orders: Sequence[float] = ORDERS) -> Identification:
    """Return the normalizations that explain the output best, with norms of some orders.

    Raises:
        ValueError: there is no vector of finite numbers that are not all zero.
    """
    found = [
        one
        for one in layouts(data.x.shape, data.shape)
        if data.holds(one) and not (one.transposed and data.g is not None)
    ]
    tried = [one for layout in found for one in _screened(data, layout, orders)]
    if not tried:
        raise ValueError("expected a vector of finite numbers that are not all zero, found none")
    tried.sort(key=lambda one: one[0])
    chosen = [candidate for key, candidate in tried[:_TRIED] if _is_possible(key, tried[0][0])]
    measured: list[Explanation] = []
    for layout in dict.fromkeys(candidate.layout for candidate in chosen):
        of_layout = [candidate for candidate in chosen if candidate.layout == layout]
        measured += _measured(data, layout, of_layout)
    return _ranked(data, measured)


def tolerance_of(data: Data, layout: Layout) -> float:
    """Return the relative error that a norm of the output may have."""
    length = math.prod(data.shape[axis] for axis in layout.axes)
    return 64 * data.grain * float(np.finfo(data.dtype).eps) * math.sqrt(length)


def _is_possible(key: tuple[float, ...], best: tuple[float, ...]) -> bool:
    """Return whether a candidate may yet explain the output, by the shares that differ."""
    return key[0] <= 0.5 or best[0] > 0.5


# --- the rows -------------------------------------------------------------------------------------


def _screened(
    data: Data, layout: Layout, orders: Sequence[float]
) -> Iterator[tuple[tuple[float, ...], Candidate]]:
    """Yield candidates with their errors on some rows: the shortest ones, and others evenly."""
    found = sample(data, layout)
    if found is None:
        return
    _, x, y, g = found
    noise = float(np.finfo(y.dtype).eps) * data.grain
    for rank, candidate in enumerate(_candidates(layout, x, y, g, noise, orders)):
        apart = _distances(candidate, found, data.grain).max(axis=1)
        key = float((apart > _limit(x)).mean()), candidate.scales_all(x), float(np.median(apart))
        yield (*key, rank), candidate


def sample(data: Data, layout: Layout) -> Rows | None:
    """Return rows that are finite and not zero: the shortest of all, and others evenly."""
    most = data.most_rows(layout, _SCREENED)
    kept: list[Rows] = []
    for rows in data.some_rows(layout):
        usable, order = _by_size(rows)
        if not usable.size:
            continue
        evenly = usable[:: max(1, usable.size // most)]
        kept.append(rows.at(np.unique(np.concatenate([order[: most // 4], evenly]))))
        if sum(len(one.x) for one in kept) > 4 * most:
            kept = [_thinned(kept, most)]
    return _thinned(kept, most) if kept else None


def _by_size(rows: Rows) -> tuple[Array, Array]:
    """Return the numbers of the rows that serve, in order, and the shortest first."""
    with np.errstate(all="ignore"):
        sizes = np.abs(rows.x).max(axis=1)
    usable = np.flatnonzero(np.isfinite(sizes) & (sizes > 0))
    return usable, usable[np.argsort(sizes[usable], kind="stable")]


def _thinned(kept: list[Rows], most: int) -> Rows:
    """Return the shortest of all rows, and others evenly by their lengths."""
    x, y = np.concatenate([one.x for one in kept]), np.concatenate([one.y for one in kept])
    cotangents = [one.g for one in kept if one.g is not None]
    rows = Rows(0, x, y, np.concatenate(cotangents) if cotangents else None)
    _, order = _by_size(rows)
    evenly = order[:: max(1, order.size // most)]
    return rows.at(np.unique(np.concatenate([order[: most // 4], evenly])))


def _candidates(
    layout: Layout, x: Array, y: Array, g: Array | None, noise: float, orders: Sequence[float]
) -> Iterable[Candidate]:
    wide = y.astype(np.float64)
    if g is None:
        with np.errstate(all="ignore"):
            divisors = (x * x).sum(axis=1) / (x * wide).sum(axis=1)
        found = candidates(layout, x, divisors, noise, orders)
        return in_float16(list(found), divisors) if y.dtype == np.float16 else found
    with np.errstate(all="ignore"):  # below the floor a gradient is the cotangent, divided by it
        floors = (g * g).sum(axis=1) / (g * wide).sum(axis=1)
    implied = {float(f"{floor:.3g}") for floor in floors[:64] if 0 < floor < math.inf}
    known = {*EPSILONS, *implied, *(floor * floor for floor in implied)}
    smallest = float(np.sqrt((x * x).sum(axis=1)).min())
    return (
        Candidate(form, layout, e=e, limit=limit, own_gradient=own)
        for form in TRIED
        for e, limit in (told_apart(form, known, smallest) if form.epsilon != "none" else [_NONE])
        for own in ((False, True) if form.counterpart == "l2_normalize" else (False,))
    )


def _predicted(candidate: Candidate, x: Array, g: Array | None, dtype: Any) -> Array:
    if g is None:
        return candidate.values(x, dtype)
    with np.errstate(all="ignore"):
        return np.asarray(candidate.gradients(x, g).astype(dtype))


def _distances(candidate: Candidate, rows: Rows, grain: int) -> Array:
    """Return how far results are from what is predicted, in ULP of the largest of each row.

    Small elements of a vector have the rounding errors of the sum, and of a gradient those of the
    large ones.
    """
    _, x, y, g = rows
    predicted = _predicted(candidate, x, g, y.dtype)
    with np.errstate(all="ignore"):
        largest = np.abs(predicted).max(axis=1, keepdims=True)
        spacing = grain * np.spacing(largest).astype(np.float64)
        apart = np.abs(predicted.astype(np.float64) - y.astype(np.float64)) / spacing
    same = ulp_distance(predicted, np.ascontiguousarray(y)) == 0
    return np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))


# --- what fits ------------------------------------------------------------------------------------


class _Errors:
    """The errors of one candidate on the rows seen so far."""

    def __init__(self, candidate: Candidate) -> None:
        self.candidate = candidate
        self.scales_all = True
        self._vectors = self._differing = self._worst = self._elements = 0
        self._error, self._squares = -1.0, 0.0

    def add(self, rows: Rows, grain: int) -> None:
        distances = _distances(self.candidate, rows, grain)
        apart = distances.max(axis=1)
        if apart.max() > self._error:
            self._error, self._worst = float(apart.max()), rows.first + int(apart.argmax())
        self._vectors += len(apart)
        self._elements += distances.size
        self._squares += float((np.minimum(distances, _FAR) ** 2).sum())
        self._differing += int((apart > _limit(rows.x)).sum())
        self.scales_all = self.scales_all and self.candidate.scales_all(rows.x)

    def explanation(self, shape: tuple[int, ...]) -> Explanation:
        return Explanation(
            self.candidate,
            error=self._error,
            mean_error=math.sqrt(self._squares / self._elements),
            vectors=self._vectors,
            differing=self._differing,
            worst=self._worst,
            shape=shape,
            scales_all=self.scales_all,
        )


def _measured(data: Data, layout: Layout, tried: list[Candidate]) -> Iterator[Explanation]:
    """Yield the candidates of one layout with their errors on all rows."""
    found = [_Errors(candidate) for candidate in tried]
    for rows in data.rows(layout):
        for one in found:
            one.add(rows, data.grain)
    for one in found:
        yield one.explanation(data.shape)


def _limit(rows: Array) -> float:
    """Return how many ULP rounding explains: a sum that is added up in order has many roundings."""
    return 4 + 2 * math.sqrt(rows.shape[1])


def _ranked(data: Data, measured: list[Explanation]) -> Identification:
    """Put the best first, then those that are as near, then the rest.

    An epsilon that the data made, and that divides all of them, explains any array that is scaled,
    and counts only where nothing else fits.
    """
    measured.sort(key=lambda one: (one.share, one.scales_all, one.mean_error))
    first = measured[0].share, measured[0].scales_all
    likely = [one for one in measured if (one.share, one.scales_all) == first]
    nearest = min(one.mean_error for one in likely)
    alike = [one for one in likely if one.mean_error <= 1.3 * nearest + _ALIKE]
    if not all(one.candidate.is_fitted for one in alike):
        alike = [one for one in alike if not one.candidate.is_fitted]
    if data.g is None and data.fits and alike[0].fits:  # farther away no build can have the bits
        x, y = data.whole()
        alike = [replace(one, builds=builds_with_these_bits(x, y, one.candidate)) for one in alike]
    # Of two that are as near, the one whose very bits a build has is the likelier.
    alike.sort(key=lambda one: (not one.builds, one.rank))
    best, *same = alike
    near = {one.candidate for one in alike}
    return Identification(
        best=best,
        same=tuple(_without_repeats(best, same)),
        others=tuple(one for one in measured if one.candidate not in near),
        notes=tuple(_notes(data, best)) if data.g is None else (),
        of_gradient=data.g is not None,
    )


def _twice(data: Data) -> str:
    """Return what to say where y is x, normalized along one axis and then along another."""
    if data.x.shape != data.shape or not data.fits:
        return ""
    x, y = data.whole()
    form = FORMS["max_norm"]
    for first, then in itertools.permutations(range(x.ndim), 2):
        once = Candidate(form, Layout((first,)), e=NORMALIZE.eps)
        rows = vectors(x, once.layout).astype(np.float64)
        order = [axis for axis in range(x.ndim) if axis != first]
        shape = [x.shape[axis] for axis in (*order, first)]
        between = np.moveaxis(once.values(rows).reshape(shape), -1, first)
        again = Candidate(form, Layout((then,)), e=NORMALIZE.eps)
        found = Rows(0, vectors(between, again.layout), vectors(y, again.layout), None)
        if _distances(again, found, data.grain).max() <= 2 * _limit(found.x):
            return f"The output is F.normalize(F.normalize(x, dim={first}), dim={then})."
    return ""


def _without_repeats(best: Explanation, found: list[Explanation]) -> Iterator[Explanation]:
    """Yield the first of each form and layout: another epsilon of the same form says no more."""
    seen = {best.kind}
    for one in found:
        if one.kind not in seen:
            seen.add(one.kind)
            yield one


def _notes(data: Data, best: Explanation) -> Iterator[str]:
    """Yield what else is plain from the arrays."""
    if not best.fits and (twice := _twice(data)):
        yield twice
        return
    if data.is_repeated():
        yield "The output is the input."
    if not data.fits:
        yield "Bits were not compared with those of builds: there are too many elements."
    away, low, high = 0.0, math.inf, -math.inf
    for rows in data.rows(best.candidate.layout):
        with np.errstate(all="ignore"):
            squares = (rows.x * rows.x).sum(axis=1)
            norms, scales = np.sqrt(squares), (rows.x * rows.y).sum(axis=1) / squares
        known, scales = norms[np.isfinite(norms) & (norms > 0)], scales[np.isfinite(scales)]
        away = max(away, float(np.abs(known - 1).max(initial=0.0)))
        low, high = min(low, scales.min(initial=low)), max(high, scales.max(initial=high))
    length = math.prod(data.shape[axis] for axis in best.candidate.layout.axes)
    tolerance = tolerance_of(data, best.candidate.layout)
    if away <= tolerance:
        yield (
            "The input is of unit norm already: it may be the output of a normalization itself, "
            "and then nothing follows from it."
        )
    if (best.differing or best.scales_all) and data.x.shape == data.shape:
        if low <= high and high - low <= tolerance * abs(low):
            yield f"The output is the input times {low:.6g}: no norm is in it."
    elif best.error <= 4 + 2 * math.sqrt(length) and not _is_told(best):
        yield "Normalized twice, or once more later, the numbers would be the same to rounding."


def _is_told(best: Explanation) -> bool:
    """Return whether the epsilon makes a second pass visible."""
    return best.candidate.form.epsilon == "added" or best.candidate.e == best.candidate.limit
