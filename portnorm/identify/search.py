"""Find the normalizations that turn one array into another, or a cotangent into a gradient."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from portnorm.compare.ulp import ulp_distance
from portnorm.conventions import FORMS
from portnorm.identify.bits import builds_with_these_bits
from portnorm.identify.candidates import (
    EPSILONS,
    TRIED,
    Candidate,
    candidates,
    in_float16,
    told_apart,
)
from portnorm.identify.layouts import Layout, grain, layouts, vectors
from portnorm.identify.result import Explanation, Identification
from portnorm.semantics import NORMALIZE

Array = NDArray[Any]

_SCREENED = 1024
"""Rows that are looked at before all are."""

_TRIED = 12
"""Candidates that are compared on all rows."""

_FAR = 1e6
"""Errors beyond it are all alike: a NaN, say, on one side."""

_ALIKE = 0.3
"""The difference of mean errors, in ULP, that does not tell two explanations apart."""

_NONE = 0.0, 0.0
"""The epsilon of a form that has none, and its limit."""

_DTYPES = ("float16", "float32", "float64")


def identify(x: ArrayLike, y: ArrayLike, *, cotangent: ArrayLike | None = None) -> Identification:
    """Find the normalization that turns x into y, or whose gradient y is.

    All forms of `portnorm.conventions` are tried along each axis, each pair of axes and all of
    them, with several orders of the norm, with the epsilons that are found in practice and those
    that the data imply. The best explanation comes first, with all that cannot be told apart from
    it on these data.

    Args:
        x: the input, of float16, float32 or float64. float32 that holds numbers of bfloat16 alone
            counts as bfloat16.
        y: the output: of the shape of x, or of x with its last two axes exchanged. With a
            cotangent, the gradient with respect to x.
        cotangent: what arrived as gradient of the output, of the shape of x.

    Raises:
        TypeError: an array is not of a floating-point dtype.
        ValueError: the shapes do not fit, or there is no vector of finite numbers.

    >>> x = np.random.default_rng(0).standard_normal((4, 8))
    >>> print(identify(x, x / np.linalg.norm(x, axis=1, keepdims=True)).explanations[0])
    F.normalize(x, dim=1)
    """
    x, y = _array("x", x), _array("y", y)
    g = None if cotangent is None else _array("cotangent", cotangent)
    if g is not None and not x.shape == y.shape == g.shape:
        raise ValueError(
            f"expected three arrays of one shape, found {x.shape}, {g.shape} and {y.shape}"
        )
    check(x.shape, y.shape, x.dtype.name, y.dtype.name)
    found = [one for one in layouts(x.shape, y.shape) if g is None or not one.transposed]
    if not found:
        raise ValueError(f"expected a gradient of shape {x.shape}, found {y.shape}")
    tried = [one for layout in found for one in _screened(x, y, g, layout)]
    if not tried:
        raise ValueError("expected a vector of finite numbers that are not all zero, found none")
    tried.sort(key=lambda one: one[0])
    chosen = [candidate for _, candidate in tried[:_TRIED]]
    measured: dict[Candidate, Explanation] = {}
    for layout in dict.fromkeys(candidate.layout for candidate in chosen):
        rows = _rows(x, y, g, layout)
        for candidate in chosen:
            if candidate.layout == layout:
                measured[candidate] = _measured(candidate, *rows, y.shape)
    return _ranked(x, y, g, [measured[candidate] for candidate in chosen])


def check(x: tuple[int, ...], y: tuple[int, ...], *dtypes: str) -> None:
    """Find out whether an array can come of another, by their shapes and dtypes.

    Raises:
        TypeError, ValueError: see `identify`.
    """
    for dtype in dtypes:
        if dtype not in (*_DTYPES, "bfloat16"):
            raise TypeError(f"expected {', '.join(_DTYPES)}, found {dtype}")
    if not any(True for _ in layouts(x, y)) or 0 in x:
        raise ValueError(
            f"expected two arrays of one shape, or with the last two axes exchanged, of one "
            f"element or more, found {x} and {y}"
        )


def _array(name: str, value: ArrayLike) -> Array:
    array = np.asarray(value)
    if array.dtype.name not in _DTYPES:
        raise TypeError(f"{name}: expected {', '.join(_DTYPES)}, found {array.dtype.name}")
    return array if array.ndim else array.reshape(1)


# --- the rows -------------------------------------------------------------------------------------


def _rows(x: Array, y: Array, g: Array | None, layout: Layout) -> tuple[Array, Array, Array | None]:
    rows = vectors(x, layout, is_input=True).astype(np.float64)
    return rows, vectors(y, layout), None if g is None else vectors(g, layout).astype(np.float64)


def _screened(
    x: Array, y: Array, g: Array | None, layout: Layout
) -> Iterator[tuple[tuple[float, ...], Candidate]]:
    """Yield candidates with their errors on some rows: the shortest ones, and others evenly."""
    rows, results, cotangents = _rows(x, y, g, layout)
    with np.errstate(all="ignore"):
        sizes = np.abs(rows).max(axis=1)
    usable = np.flatnonzero(np.isfinite(sizes) & (sizes > 0))
    if not usable.size:
        return
    order = usable[np.argsort(sizes[usable], kind="stable")]
    evenly = order[:: max(1, order.size // _SCREENED)]
    chosen = np.unique(np.concatenate([order[: _SCREENED // 4], evenly]))
    a, b = rows[chosen], results[chosen]
    c = None if cotangents is None else cotangents[chosen]
    noise = float(np.finfo(y.dtype).eps) * grain(y)
    for rank, candidate in enumerate(_candidates(layout, a, b, c, noise)):
        apart = _distances(candidate, a, b, c).max(axis=1)
        key = float((apart > _limit(rows)).mean()), candidate.scales_all(a), float(np.median(apart))
        yield (*key, rank), candidate


def _candidates(
    layout: Layout, x: Array, y: Array, g: Array | None, noise: float
) -> Iterable[Candidate]:
    wide = y.astype(np.float64)
    if g is None:
        with np.errstate(all="ignore"):
            divisors = (x * x).sum(axis=1) / (x * wide).sum(axis=1)
        found = candidates(layout, x, divisors, noise)
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


def _distances(candidate: Candidate, x: Array, y: Array, g: Array | None) -> Array:
    """Return how far results are from what is predicted, in ULP of the largest of each row.

    Small elements of a vector have the rounding errors of the sum, and of a gradient those of the
    large ones.
    """
    predicted = _predicted(candidate, x, g, y.dtype)
    with np.errstate(all="ignore"):
        largest = np.abs(predicted).max(axis=1, keepdims=True)
        spacing = grain(y) * np.spacing(largest).astype(np.float64)
        apart = np.abs(predicted.astype(np.float64) - y.astype(np.float64)) / spacing
    same = ulp_distance(predicted, np.ascontiguousarray(y)) == 0
    return np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))


# --- what fits ------------------------------------------------------------------------------------


def _measured(
    candidate: Candidate, rows: Array, results: Array, g: Array | None, shape: tuple[int, ...]
) -> Explanation:
    distances = _distances(candidate, rows, results, g)
    apart = distances.max(axis=1)
    return Explanation(
        candidate,
        error=float(apart.max()),
        mean_error=float(np.sqrt(np.mean(np.minimum(distances, _FAR) ** 2))),
        vectors=len(apart),
        differing=int((apart > _limit(rows)).sum()),
        worst=int(apart.argmax()),
        shape=shape,
        scales_all=candidate.scales_all(rows),
    )


def _limit(rows: Array) -> float:
    """Return how many ULP rounding explains: a sum that is added up in order has many roundings."""
    return 4 + 2 * math.sqrt(rows.shape[1])


def _ranked(x: Array, y: Array, g: Array | None, measured: list[Explanation]) -> Identification:
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
    if g is None and alike[0].fits:  # farther away no build can have the bits
        alike = [replace(one, builds=builds_with_these_bits(x, y, one.candidate)) for one in alike]
    # Of two that are as near, the one whose very bits a build has is the likelier.
    alike.sort(key=lambda one: (not one.builds, one.rank))
    best, *same = alike
    near = {one.candidate for one in alike}
    return Identification(
        best=best,
        same=tuple(_without_repeats(best, same)),
        others=tuple(one for one in measured if one.candidate not in near),
        notes=tuple(_notes(x, y, best)) if g is None else (),
        of_gradient=g is not None,
    )


def _twice(x: Array, y: Array) -> str:
    """Return what to say where y is x, normalized along one axis and then along another."""
    if x.shape != y.shape:
        return ""
    form = FORMS["max_norm"]
    for first, then in itertools.permutations(range(x.ndim), 2):
        once = Candidate(form, Layout((first,)), e=NORMALIZE.eps)
        rows = vectors(x, once.layout).astype(np.float64)
        order = [axis for axis in range(x.ndim) if axis != first]
        shape = [x.shape[axis] for axis in (*order, first)]
        between = np.moveaxis(once.values(rows).reshape(shape), -1, first)
        again = Candidate(form, Layout((then,)), e=NORMALIZE.eps)
        apart = _distances(again, *_rows(between, y, None, again.layout))
        if apart.max() <= 2 * _limit(rows):
            return f"The output is F.normalize(F.normalize(x, dim={first}), dim={then})."
    return ""


def _without_repeats(best: Explanation, found: list[Explanation]) -> Iterator[Explanation]:
    """Yield the first of each form and layout: another epsilon of the same form says no more."""
    seen = {best.kind}
    for one in found:
        if one.kind not in seen:
            seen.add(one.kind)
            yield one


def _notes(x: Array, y: Array, best: Explanation) -> Iterator[str]:
    """Yield what else is plain from the arrays."""
    if not best.fits and (twice := _twice(x, y)):
        yield twice
        return
    if x.shape == y.shape and x.dtype == y.dtype and bool((ulp_distance(*_flat(x, y)) == 0).all()):
        yield "The output is the input."
    rows, results, _ = _rows(x, y, None, best.candidate.layout)
    with np.errstate(all="ignore"):
        norms = np.sqrt((rows * rows).sum(axis=1))
        scales = (rows * results).sum(axis=1) / (rows * rows).sum(axis=1)
    known = norms[np.isfinite(norms) & (norms > 0)]
    tolerance = 64 * grain(x) * float(np.finfo(x.dtype).eps) * math.sqrt(rows.shape[1])
    if known.size and np.abs(known - 1).max() <= tolerance:
        yield (
            "The input is of unit norm already: it may be the output of a normalization itself, "
            "and then nothing follows from it."
        )
    if (best.differing or best.scales_all) and x.shape == y.shape:
        scales = scales[np.isfinite(scales)]
        if scales.size and np.ptp(scales) <= tolerance * abs(scales[0]):
            yield f"The output is the input times {scales[0]:.6g}: no norm is in it."
    elif best.error <= _limit(rows) and not _is_told(best):
        yield "Normalized twice, or once more later, the numbers would be the same to rounding."


def _is_told(best: Explanation) -> bool:
    """Return whether the epsilon makes a second pass visible."""
    return best.candidate.form.epsilon == "added" or best.candidate.e == best.candidate.limit


def _flat(*arrays: Array) -> list[Array]:
    return [np.ascontiguousarray(array) for array in arrays]
