"""Forms with an axis, an order and an epsilon, and what each predicts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from portnorm.conventions import FORMS, Form
from portnorm.identify.layouts import Layout
from portnorm.semantics import L2NORMALIZE, NORMALIZE
from portnorm.vectors import vector_norms

Array = NDArray[Any]

ORDERS = (2.0, 1.0, math.inf, 3.0, 0.5, -math.inf)
"""The orders that are tried."""

RARER_ORDERS = (4.0, 0.0, 1.5, 2.5, 5.0, 6.0, 8.0, 10.0, 0.25, 0.1, -1.0, -2.0)
"""Those that are tried where none of the above fits."""

EPSILONS = tuple(
    sorted(
        {factor * 10.0**-n for n in range(1, 17) for factor in (1, 5)}
        | {float(np.finfo(kind).eps) for kind in (np.float16, np.float32, np.float64)}
        | {float(np.finfo(kind).tiny) for kind in (np.float16, np.float32)}
        | {1e-18, 1e-20, 1e-24, 1e-30, 2.0**-7}
    )
)
"""The epsilons that are found in practice."""

TRIED = tuple(form for form in FORMS.values() if form.epsilon != "threshold")
"""The forms that are tried: above its threshold the other one is `x / norm`, and a vector of zeros
stays one, so that it cannot be told from `x / max(norm, e)` with an epsilon below all norms."""

_ROUNDS_TO_ZERO = 2.0**-25
"""The largest number that float16 rounds to 0."""

_NEAR = 0.02
_SAME = 1e-12
"""The relative difference of two ways to compute a norm in float64, and much more."""

Steps = Literal["", "norm", "all"]
_STEPS: tuple[Steps, ...] = ("", "norm", "all")


@dataclass(frozen=True)
class Candidate:
    """One normalization.

    Attributes:
        form: from `portnorm.conventions`.
        layout: where the vectors lie.
        p: the order of the norm.
        e: its epsilon.
        limit: the largest epsilon that the data allow just as well; `e` where they tell it.
        own_gradient: whether the gradient is that of MindSpore's operator, which is not the
            derivative of its values below the floor.
        steps: what is rounded to the dtype of the output before the division: nothing, the
            "norm", or "all" steps that lead to it.
    """

    form: Form
    layout: Layout
    p: float = 2.0
    e: float = 0.0
    limit: float = 0.0
    own_gradient: bool = False
    steps: Steps = ""

    @property
    def is_fitted(self) -> bool:
        """Whether its epsilon is none that is found in practice, so that the data made it."""
        return self.form.epsilon != "none" and self.e == self.limit and self.e not in EPSILONS

    def scales_all(self, x: Array) -> bool:
        """Return whether an epsilon that the data made divides all rows: no norm is in that."""
        if not self.is_fitted:
            return False
        if len(x) == 1:
            return True
        return self.form.epsilon == "bound" and bool(np.ptp(self.divisors(x)) == 0)

    def divisors(self, x: Array) -> Array:
        """Return what each row is divided by; rows are float64, and so is the result."""
        norms = vector_norms(x[:, :, None], self.p).reshape(-1)
        if self.form.divisor == "root of mean":
            norms = norms / math.sqrt(x.shape[1])
        if self.form.epsilon == "none":
            return norms
        if self.form.divisor == "norm":
            return np.maximum(norms, self.e) if self.form.epsilon == "bound" else norms + self.e
        if self.form.epsilon == "bound":
            return np.maximum(norms, math.sqrt(self.e))
        return np.hypot(norms, math.sqrt(self.e))

    def values(self, x: Array, dtype: Any = np.float64) -> Array:
        """Return the normalized rows in a dtype, computed in float64 but for its `steps`."""
        with np.errstate(all="ignore"):
            if self.steps == "all" and self.form.divisor != "norm":
                divisors = self._divisors_in_steps(x.astype(dtype))
            elif self.steps:
                one = replace(self, e=float(np.asarray(self.e, dtype)))
                divisors = one.divisors(x).astype(dtype)
            else:
                divisors = self.divisors(x)
            return np.asarray((x / divisors.astype(np.float64)[:, None]).astype(dtype))

    def _divisors_in_steps(self, x: Array) -> Array:
        """Return what each row is divided by, where each step is rounded to the dtype of x."""
        reduce = np.mean if self.form.divisor == "root of mean" else np.sum
        squares = reduce((x * x).astype(np.float32), axis=1).astype(x.dtype)
        e = np.asarray(self.e, x.dtype)
        if self.form.epsilon == "bound":
            squares = np.maximum(squares, e)
        elif self.form.epsilon == "added":
            squares = squares + e
        return np.asarray(np.sqrt(squares))

    def gradients(self, x: Array, g: Array) -> Array:
        """Return the gradient for rows of a cotangent, in float64; for p = 2 only."""
        with np.errstate(all="ignore"):
            divisors = self.divisors(x)[:, None]
            norms = np.sqrt((x * x).sum(axis=1, keepdims=True))
            along = (x * g).sum(axis=1, keepdims=True)
            if self.own_gradient:  # the floor is e here, and the direction of y goes below it, too
                y = x / divisors
                return np.asarray(
                    (g - y * (y * g).sum(axis=1, keepdims=True)) / np.maximum(norms, self.e)
                )
            if self.form.epsilon == "added" and self.form.divisor == "norm":
                slope = 1 / (norms * divisors**2)
            else:
                slope = divisors**-3.0
            if self.form.divisor == "root of mean":
                slope = slope / x.shape[1]
            if self.form.epsilon == "bound":
                slope = np.where(norms * (1 + _SAME) < divisors, 0.0, slope)
            return np.asarray(g / divisors - np.where(along == 0, 0.0, x * along * slope))


def candidates(
    layout: Layout, x: Array, divisors: Array, noise: float, orders: Iterable[float]
) -> Iterator[Candidate]:
    """Yield the normalizations that rows may have gone through.

    Args:
        layout: of the rows.
        x: rows of float64 that are finite.
        divisors: by what each of them was divided; NaN where that is not known.
        noise: the relative error of the divisors.
        orders: of the norm.
    """
    for p in orders:
        norms = vector_norms(x[:, :, None], p).reshape(-1)
        for form in TRIED:
            if p != 2 and form.divisor != "norm":
                continue
            scaled = norms / math.sqrt(x.shape[1]) if form.divisor == "root of mean" else norms
            for e, limit in epsilons(form, scaled, divisors, noise):
                yield Candidate(form, layout, p, e, limit)


def in_float16(found: list[Candidate], divisors: Array) -> Iterator[Candidate]:
    """Yield candidates for an output of float16, where the norm may be rounded before the division.

    Norms below 6e-5 have few digits then, so that data do not tell an epsilon well: those in use
    are tried besides. The default of F.normalize is 0 there.
    """
    of_normalize = [one for one in found if one.form.counterpart == "normalize"]
    yield from dict.fromkeys(
        replace(one, e=NORMALIZE.eps, limit=_ROUNDS_TO_ZERO, steps="norm") for one in of_normalize
    )
    known = divisors[np.isfinite(divisors)]
    least, most = (float(known.min()) / 2, float(known.max()) * 2) if known.size else (1.0, 0.0)
    for one in found:
        yield from (replace(one, steps=steps) for steps in _STEPS)
    for one in {replace(one, e=0.0, limit=0.0) for one in found if one.form.epsilon != "none"}:
        for e in EPSILONS:
            if least <= one.form.smallest(e) <= min(most, 1e-2):
                yield from (replace(one, e=e, limit=e, steps=steps) for steps in _STEPS[1:])


def epsilons(
    form: Form, norms: Array, divisors: Array, noise: float
) -> Iterable[tuple[float, float]]:
    """Return the epsilons of a form that data imply, each with the largest that they allow.

    A row below the floor tells the epsilon; where there is none, all up to the smallest norm are
    as good, and the default of the function is taken. An epsilon that is added is told best by the
    row of the smallest norm.
    """
    if form.epsilon == "none":
        return [(0.0, 0.0)]
    squared = form.divisor != "norm"
    known = np.isfinite(divisors)
    if not known.any():
        return [(_default(form), math.inf)]
    norms, divisors = norms[known], divisors[known]
    power = 2 if squared else 1
    if form.epsilon == "bound":
        below = divisors > norms * (1 + 16 * noise)
        if below.any():
            return _with_near(float(np.median(divisors[below])) ** power)
        smallest = float(norms.min()) ** power
        allowed = [one for one in (_default(form), *EPSILONS[::-1]) if one <= smallest]
        return [(next(iter(allowed), smallest), smallest)]
    found = divisors**power - norms**power
    told = found > 16 * noise * divisors**power
    if not told.any():
        limit = float(16 * noise * divisors.min() ** power)
        nearly_told = [(e, e) for e in EPSILONS if limit / 256 <= e <= limit]
        return [(1e-12, limit), *nearly_told]
    order = np.argsort(np.where(told, norms, np.inf))[: max(1, int(told.sum()) // 8)]
    return _with_near(float(np.median(found[order])))


def told_apart(
    form: Form, known: Iterable[float], smallest: float
) -> Iterator[tuple[float, float]]:
    """Yield epsilons that make a difference where the smallest norm is given, with their limits.

    Bounds below all norms make none, and one of them stands for all: the default if it is one.
    """
    below = [e for e in known if form.epsilon == "bound" and form.smallest(e) <= smallest]
    if below:
        limit = smallest if form.divisor == "norm" else smallest**2
        yield _default(form) if form.smallest(_default(form)) <= smallest else max(below), limit
    yield from ((e, e) for e in sorted(known) if e not in below)


def _default(form: Form) -> float:
    if form.counterpart == "l2_normalize":
        return L2NORMALIZE.eps
    return NORMALIZE.eps


def _with_near(e: float) -> list[tuple[float, float]]:
    """Return an epsilon that was computed, and the one in use that it is likely to be."""
    near = min(EPSILONS, key=lambda one: abs(one - e))
    found = [near] if abs(near - e) <= _NEAR * e else []
    return [(one, one) for one in [*found, e]]
