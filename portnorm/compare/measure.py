"""Classes of vectors and differences of values and gradients, block by block.

The values of every vector are compared, and the gradients of as many vectors as a budget of
steps allows. The result does not depend on the size of the blocks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from portnorm.compare.blocks import blocks, fold
from portnorm.compare.functions import Computation, gradient_steps
from portnorm.compare.readers import Source
from portnorm.compare.ulp import INFINITE, ulp_distance
from portnorm.progress import Progress

Array = NDArray[Any]

BLOCK_BYTES = 2**25

GRADIENT_STEPS = 3 * 10**7
"""Steps that the gradients of one array may take; MindSpore's kernel takes some 10**7 a second."""

CLASSES = ("zero", "below_both", "between", "above_both", "not_finite")
"""Classes of vectors, by their norm.

zero: the norm is 0. Both functions return 0, but their gradients differ.
below_both, between, above_both: the norm is below the floors of both functions, of one of them,
of neither.
not_finite: the vector holds an infinity or a NaN.
"""
_ZERO, _BELOW, _BETWEEN, _ABOVE, _NOT_FINITE = range(len(CLASSES))

_MOST_GRADIENTS = 2**20
_CHUNK = 2**18
_SHOWN = 4


@dataclass(frozen=True)
class Settings:
    """What is compared.

    Attributes:
        dtype: "float16", "float32" or "float64".
        dim: counted from 0.
        p: the order of torch's norm; L2Normalize has 2 only.
        eps: torch's.
        epsilon: L2Normalize's.
        floors: the norms below which torch's and MindSpore's function divide by a constant,
            with eps and epsilon rounded as the functions round them.
        seed: of the cotangent, which is random normal.
    """

    dtype: str
    dim: int
    p: float
    eps: float
    epsilon: float
    floors: tuple[float, float]
    seed: int


@dataclass(frozen=True)
class Head:
    """The first values that the two functions return for one vector.

    Attributes:
        vector: its number, counted in C order.
        gradient: whether these are values of the gradient.
        changed: whether they belong to what changed.
        normalize: from torch's function.
        l2_normalize: from MindSpore's.
        length: of the vector.
    """

    vector: int
    gradient: bool
    changed: bool
    normalize: tuple[float, ...]
    l2_normalize: tuple[float, ...]
    length: int


@dataclass(frozen=True)
class Worst:
    """The changed vector with the largest difference: of values, or if none, of gradients.

    Attributes:
        vector: its number, counted in C order.
        norm: its 2-norm.
        difference: of its values in ULP, or of its gradients as in `Measurement`.
        head: what the functions return for it.
    """

    vector: int
    norm: float
    difference: float
    head: Head


@dataclass(frozen=True)
class Measurement:
    """What was found in one array.

    Attributes:
        counts: number of vectors in each of `CLASSES`.
        ulp: largest difference of values, in ULP; infinite for NaN in one of the two only.
        relative: largest difference of values, relative to the larger of the two.
        gradient_relative: largest difference of elements of gradients, relative to ``||g|| / d``.
        values_changed: number of vectors whose values changed.
        gradients_changed: number of vectors whose gradients changed.
        gradients_measured: number of vectors whose gradients were compared.
        changed: number of vectors of which either changed.
        first: the first vector; None where there is none.
        worst: None where nothing changed.
    """

    counts: dict[str, int]
    ulp: float = 0
    relative: float = 0.0
    gradient_relative: float = 0.0
    values_changed: int = 0
    gradients_changed: int = 0
    gradients_measured: int = 0
    changed: int = 0
    first: Head | None = None
    worst: Worst | None = None


def measure_array(
    source: Source,
    settings: Settings,
    normalize: Computation,
    l2_normalize: Computation,
    l2_gradient: Computation,
    *,
    block_bytes: int = BLOCK_BYTES,
    progress: Progress = lambda what, done, total: None,
) -> Measurement:
    """Compare the two functions on an array.

    Args:
        source: the array.
        settings: what to compare.
        normalize: torch's function.
        l2_normalize: MindSpore's function, for its values.
        l2_gradient: the same for its gradient.
        block_bytes: about how much of the array to hold at one time.
        progress: called after each block.
    """
    n = source.shape[settings.dim]
    vectors = math.prod(source.shape) // n if n else math.prod(_without(source.shape, settings.dim))
    if 0 in source.shape:
        return Measurement({**dict.fromkeys(CLASSES, 0), CLASSES[_ZERO]: vectors})
    steps = gradient_steps(l2_gradient, n)
    values = _Values(_Candidates(vectors, gradient_quota(vectors, steps)))
    for first, x in _read_blocks(source, settings, block_bytes):
        values.add(first, x, normalize.values(x), l2_normalize.values(x), settings)
        progress("values", first + x.size // n, vectors)
    gradients = _Gradients(np.random.default_rng(settings.seed))
    chosen = values.candidates.choose()
    for numbers, changed, rows in _read_rows(source, settings, chosen, block_bytes, steps):
        gradients.add(numbers, changed, rows, settings, normalize, l2_gradient)
        progress("gradients", gradients.measured, chosen.numbers.size)
    return _result(values, gradients)


def _without(shape: tuple[int, ...], dim: int) -> tuple[int, ...]:
    return shape[:dim] + shape[dim + 1 :]


# --- rules ----------------------------------------------------------------------------------------


def values_tolerance(n: int) -> int:
    """Return by how many ULP the values of a vector of n elements may differ unchanged.

    It is ``sqrt(n) + 8``: what rounding does at random. With u half the dtype's epsilon, each of
    the n additions of a sum of squares is off by up to u of the sum so far, and n such errors of
    either sign add up to the order of sqrt(n) u; the root halves that, and there are two sums.
    The squares, the root and the division add 2.5 u in each function, and u of a value is at
    most one ULP of it. The bound on the worst case, n + 4, would hide that float16 sums of
    thousands of squares stop growing.
    """
    return math.isqrt(n) + 8


def gradient_tolerance(n: int, dtype: str) -> float:
    """Return by how much elements of gradients may differ unchanged, relative to ``||g|| / d``.

    g is the cotangent and d torch's divisor, ``max(norm, eps)``. It is
    ``(2 sqrt(n) + 32) u``: each of the two gradients takes a sum of n squares, one of n products
    and a dozen other operations.
    """
    return (2 * math.sqrt(n) + 32) * float(np.finfo(dtype).eps) / 2


def gradient_quota(vectors: int, steps: int) -> int:
    """Return how many vectors' gradients to measure, given the steps that one takes."""
    return min(vectors, max(1, GRADIENT_STEPS // steps), _MOST_GRADIENTS)


def vector_norms(x: Array, p: float) -> NDArray[np.float64]:
    """Return the p-norms of (outer, n, inner) along n, in float64.

    Vectors are scaled by their largest element, so that no power over- or underflows.
    """
    magnitude = np.abs(x.astype(np.float64))
    largest = magnitude.max(axis=1, keepdims=True)
    scale = np.where((largest > 0) & np.isfinite(largest), largest, 1.0)
    with np.errstate(all="ignore"):
        magnitude /= scale
        norms = _norms_of_scaled(magnitude, p)
        return np.asarray(norms if p == 0 else norms * scale[:, 0], np.float64)


def _norms_of_scaled(magnitude: NDArray[np.float64], p: float) -> Array:
    if p == 0:
        return np.asarray(np.count_nonzero(magnitude, axis=1))
    if math.isinf(p):
        return np.asarray(magnitude.max(axis=1) if p > 0 else magnitude.min(axis=1))
    if p == 2:
        return np.asarray(np.sqrt(np.einsum("onk,onk->ok", magnitude, magnitude)))
    return np.asarray((magnitude**p).sum(axis=1) ** (1 / p))


def classify(x: Array, settings: Settings) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """Return the class, as an index of `CLASSES`, and the 2-norm of each vector of a block.

    torch's floor is held against the p-norm, MindSpore's against the 2-norm. A norm that equals
    a floor is not below it.
    """
    norms = vector_norms(x, 2.0)
    orders = norms if settings.p == 2 else vector_norms(x, settings.p)
    eps, epsilon = settings.floors
    below = (orders < eps).astype(np.int8) + (norms < epsilon)
    classes = np.array([_ABOVE, _BETWEEN, _BELOW], np.int8)[below]
    classes[norms == 0] = _ZERO
    classes[~np.isfinite(x).all(axis=1)] = _NOT_FINITE
    return classes, norms


def relative_differences(a: Array, b: Array) -> NDArray[np.float64]:
    """Return ``|a - b| / max(|a|, |b|)``, at most 2; 0 for two NaNs, infinite for one."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(all="ignore"):
        relative = np.abs(a - b) / np.maximum(np.abs(a), np.abs(b))
    return _settle_nan(relative, a, b)


def gradient_differences(a: Array, b: Array, unit: Array) -> NDArray[np.float64]:
    """Return ``|a - b| / unit`` of two gradients, as `relative_differences` does."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(all="ignore"):
        relative = np.abs(a - b) / unit
    return _settle_nan(relative, a, b)


def _settle_nan(relative: Array, a: Array, b: Array) -> NDArray[np.float64]:
    """NaN in the result: both values are the same, or both NaN, or they are worlds apart."""
    if not np.isnan(relative.max()):
        return relative
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    return np.where(same, 0.0, np.where(np.isnan(relative), math.inf, relative))


# --- which gradients to measure -------------------------------------------------------------------


class _Chosen(NamedTuple):
    """Numbers of vectors, ascending, and whether their values changed."""

    numbers: NDArray[np.int64]
    changed: NDArray[np.bool_]


class _Candidates:
    """Remembers the vectors whose gradients may be measured, while the values pass by.

    Vectors of the classes other than "above_both" go first, the classes taking turns, and what
    is left of the quota is spread evenly over the array.
    """

    def __init__(self, vectors: int, quota: int) -> None:
        self._quota = quota
        self._even = np.linspace(0, vectors - 1, quota).astype(np.int64)
        self._even_changed = np.zeros(quota, np.bool_)
        self._special: dict[int, list[_Chosen]] = {
            code: [] for code in range(len(CLASSES)) if code != _ABOVE
        }

    def add(self, first: int, classes: NDArray[np.int8], changed: NDArray[np.bool_]) -> None:
        here = slice(*np.searchsorted(self._even, [first, first + classes.size]))
        self._even_changed[here] = changed[self._even[here] - first]
        for code, found in self._special.items():
            room = self._quota - sum(chosen.numbers.size for chosen in found)
            local = np.flatnonzero(classes == code)[:room] if room else np.empty(0, np.int64)
            if local.size:
                found.append(_Chosen(first + local, changed[local]))

    def choose(self) -> _Chosen:
        special = self._take_turns()
        others = np.flatnonzero(~np.isin(self._even, special.numbers))
        rest = min(self._quota - special.numbers.size, others.size)
        spread = others[np.linspace(0, others.size - 1, rest).astype(np.int64)]
        numbers = np.concatenate([special.numbers, self._even[spread]])
        changed = np.concatenate([special.changed, self._even_changed[spread]])
        order = np.argsort(numbers)
        return _Chosen(numbers[order], changed[order])

    def _take_turns(self) -> _Chosen:
        found = [chosen for special in self._special.values() for chosen in _joined(special)]
        if not found:
            return _Chosen(np.empty(0, np.int64), np.empty(0, np.bool_))
        numbers = np.concatenate([chosen.numbers for chosen in found])
        changed = np.concatenate([chosen.changed for chosen in found])
        turn = np.concatenate([np.arange(chosen.numbers.size) for chosen in found])
        order = np.argsort(turn, kind="stable")[: self._quota]
        return _Chosen(numbers[order], changed[order])


def _joined(parts: list[_Chosen]) -> list[_Chosen]:
    if not parts:
        return []
    numbers = np.concatenate([part.numbers for part in parts])
    return [_Chosen(numbers, np.concatenate([part.changed for part in parts]))]


# --- values ---------------------------------------------------------------------------------------


def _read_blocks(source: Source, settings: Settings, size: int) -> Iterator[tuple[int, Array]]:
    vector_bytes = source.shape[settings.dim] * np.dtype(settings.dtype).itemsize
    for first, index in blocks(source.shape, settings.dim, size // vector_bytes):
        yield first, fold(source.read(index, settings.dtype), settings.dim)


class _Values:
    """What the pass over the values has found so far."""

    def __init__(self, candidates: _Candidates) -> None:
        self.candidates = candidates
        self.counts = np.zeros(len(CLASSES), np.int64)
        self.ulp = 0
        self.relative = 0.0
        self.changed = 0
        self.first: Head | None = None
        self.worst: Worst | None = None
        self._worst_ulp = 0

    def add(self, first: int, x: Array, y: Array, z: Array, settings: Settings) -> None:
        """Take in a block x and its values: y from normalize, z from L2Normalize."""
        classes, norms, ulp = self._reduce(x, y, z, settings)
        changed = ulp > values_tolerance(x.shape[1])
        self.counts += np.bincount(classes, minlength=len(CLASSES))
        self.ulp = max(self.ulp, int(ulp.max()))
        self.changed += int(changed.sum())
        self.candidates.add(first, classes, changed)
        if self.first is None:
            self.first = _head(y, z, first, 0, changed=bool(changed[0]))
        worst = int(ulp.argmax())
        if changed[worst] and int(ulp[worst]) > self._worst_ulp:
            self._worst_ulp = int(ulp[worst])
            head = _head(y, z, first, worst, changed=True)
            self.worst = Worst(head.vector, float(norms[worst]), _finite(ulp[worst]), head)

    def _reduce(self, x: Array, y: Array, z: Array, settings: Settings) -> tuple[Array, ...]:
        """Return the class, the norm and the largest ULP difference of each vector."""
        found = []
        for _, chunk in blocks(x.shape, 1, _CHUNK // x.shape[1]):
            ulp = ulp_distance(y[chunk], z[chunk]).max(axis=1)
            classes, norms = classify(x[chunk], settings)
            found.append((classes.ravel(), norms.ravel(), ulp.ravel()))
            if ulp.any():
                relative = relative_differences(y[chunk], z[chunk])
                self.relative = max(self.relative, float(relative.max()))
        return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))


def _finite(ulp: int) -> float:
    """Keep a count of ULP an int, and make the mark for NaN an infinity."""
    return math.inf if int(ulp) == INFINITE else int(ulp)


def _head(
    y: Array, z: Array, first: int, local: int, *, changed: bool, gradient: bool = False
) -> Head:
    outer, inner = divmod(local, y.shape[2])
    normalize, l2_normalize = (
        tuple(float(value) for value in values[outer, :_SHOWN, inner]) for values in (y, z)
    )
    return Head(first + local, gradient, changed, normalize, l2_normalize, y.shape[1])


# --- gradients ------------------------------------------------------------------------------------


def _read_rows(
    source: Source, settings: Settings, chosen: _Chosen, size: int, steps: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.bool_], Array]]:
    """Read the chosen vectors again, as rows of the shape (vectors, n, 1)."""
    n = source.shape[settings.dim]
    together = max(2, min(_CHUNK * 4 // n, GRADIENT_STEPS // 10 // steps))
    vector_bytes = n * np.dtype(settings.dtype).itemsize
    for first, index in blocks(source.shape, settings.dim, size // vector_bytes):
        count = math.prod(part.stop - part.start for part in index) // n
        start, stop = np.searchsorted(chosen.numbers, [first, first + count])
        if start == stop:
            continue
        x = fold(source.read(index, settings.dtype), settings.dim)
        for begin in range(start, stop, together):
            here = slice(begin, min(begin + together, stop))
            outer, inner = np.divmod(chosen.numbers[here] - first, x.shape[2])
            rows = np.ascontiguousarray(x[outer, :, inner])[:, :, None]
            yield chosen.numbers[here], chosen.changed[here], rows


class _Gradients:
    """What the pass over the gradients has found so far."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self.measured = 0
        self.relative = 0.0
        self.changed = 0
        self.changed_alone = 0
        self.worst: Worst | None = None

    def add(
        self,
        numbers: NDArray[np.int64],
        values_changed: NDArray[np.bool_],
        rows: Array,
        settings: Settings,
        normalize: Computation,
        l2_normalize: Computation,
    ) -> None:
        """Take in rows of vectors, given their numbers and whether their values changed."""
        cotangent = self._rng.standard_normal(rows.shape).astype(settings.dtype)
        a = _vjp_of_rows(normalize, rows, cotangent)
        b = _vjp_of_rows(l2_normalize, rows, cotangent)
        relative = gradient_differences(a, b, gradient_unit(rows, cotangent, settings))
        relative = relative.max(axis=(1, 2))
        changed = relative > gradient_tolerance(rows.shape[1], settings.dtype)
        self.measured += len(rows)
        self.changed += int(changed.sum())
        self.changed_alone += int((changed & ~values_changed).sum())
        worst = int(relative.argmax())
        if changed[worst] and relative[worst] > self.relative:
            head = _head(a, b, int(numbers[worst]) - worst, worst, changed=True, gradient=True)
            norm = float(vector_norms(rows[worst : worst + 1], 2.0)[0, 0])
            self.worst = Worst(int(numbers[worst]), norm, float(relative[worst]), head)
        self.relative = max(self.relative, float(relative[worst]))


def gradient_unit(x: Array, cotangent: Array, settings: Settings) -> NDArray[np.float64]:
    """Return ``||g|| / d`` of each vector, with d torch's divisor ``max(norm, eps)``."""
    divisor = np.maximum(vector_norms(x, settings.p), settings.floors[0])
    with np.errstate(all="ignore"):
        return np.asarray((vector_norms(cotangent, 2.0) / divisor)[:, None, :])


def _vjp_of_rows(computation: Computation, rows: Array, cotangent: Array) -> Array:
    if len(rows) > 1:
        return computation.vjp(rows, cotangent)
    # Given one vector alone, torch may split its sum among threads.
    return computation.vjp(np.repeat(rows, 2, 0), np.repeat(cotangent, 2, 0))[:1]


def _result(values: _Values, gradients: _Gradients) -> Measurement:
    return Measurement(
        counts=dict(zip(CLASSES, values.counts.tolist(), strict=True)),
        ulp=_finite(values.ulp),
        relative=values.relative,
        gradient_relative=gradients.relative,
        values_changed=values.changed,
        gradients_changed=gradients.changed,
        gradients_measured=gradients.measured,
        changed=values.changed + gradients.changed_alone,
        first=values.first,
        worst=values.worst or gradients.worst,
    )
