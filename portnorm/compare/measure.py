"""Differences of values and gradients, block by block.

The values of every vector are compared, and the gradients of as many vectors as a budget of
steps allows. The result does not depend on the size of the blocks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from portnorm.compare.blocks import BLOCK_BYTES, blocks, fold
from portnorm.compare.candidates import CHOSEN, Candidates
from portnorm.compare.computations import Computation, gradient_steps, vjp_of_rows
from portnorm.compare.histograms import NormHistogram, relative_histogram, ulp_histogram
from portnorm.compare.largest import KEPT, Largest
from portnorm.compare.measurement import Head, Measurement, Row, Worst
from portnorm.compare.settings import Settings
from portnorm.compare.tolerances import (
    classify,
    gradient_differences,
    gradient_tolerance,
    gradient_unit,
    relative_differences,
    unit_tolerance,
    values_tolerance,
)
from portnorm.compare.ulp import finite, ulp_distance
from portnorm.readers import Source
from portnorm.terminal import Progress, no_progress
from portnorm.vectors import CLASSES, ZERO, Array

GRADIENT_STEPS = 3 * 10**7
"""Steps that the gradients of one array may take; MindSpore's kernel takes some 10**7 a second."""

_MOST_GRADIENTS = 2**20
_CHUNK = 2**18
_SHOWN = 4


class Functions(NamedTuple):
    """What to compare.

    Attributes:
        normalize: torch's function.
        l2_normalize: MindSpore's function, for its values.
        l2_gradient: the same for its gradient.
    """

    normalize: Computation
    l2_normalize: Computation
    l2_gradient: Computation


def measure_array(
    source: Source,
    settings: Settings,
    functions: Functions,
    *,
    cotangent: Source | None = None,
    block_bytes: int = BLOCK_BYTES,
    progress: Progress = no_progress,
) -> Measurement:
    """Compare the two functions on an array.

    Args:
        source: the array.
        settings: what to compare.
        functions: the two.
        cotangent: of the same shape; None for a random one.
        block_bytes: about how much of the array to hold at one time.
        progress: called after each block.
    """
    n = source.shape[settings.dim]
    vectors = math.prod(source.shape[: settings.dim] + source.shape[settings.dim + 1 :])
    if 0 in source.shape:
        return Measurement({**dict.fromkeys(CLASSES, 0), CLASSES[ZERO]: vectors})
    steps = gradient_steps(functions.l2_gradient, n)
    values = _Values(Candidates(vectors, gradient_quota(vectors, steps)), settings)
    for first, x in _read_blocks(source, settings, block_bytes):
        y, z = functions.normalize.values(x), functions.l2_normalize.values(x)
        values.add(first, x, y, z)
        progress("values", first + x.size // n, vectors)
    tolerance = gradient_tolerance(n, settings.dtype)
    gradients = _Gradients(settings, functions, values.largest.rows, tolerance)
    chosen = values.candidates.choose(values.largest.rows)
    draw = _Cotangents(cotangent, settings)
    for rows in _read_rows(source, settings, chosen, draw, block_bytes, steps):
        gradients.add(rows)
        progress("gradients", gradients.measured, chosen.size)
    return _result(values, gradients, n, tolerance)


def gradient_quota(vectors: int, steps: int) -> int:
    """Return how many vectors' gradients to measure, given the steps that one takes."""
    return min(vectors, max(1, GRADIENT_STEPS // steps), _MOST_GRADIENTS)


# --- values ---------------------------------------------------------------------------------------


def _read_blocks(source: Source, settings: Settings, size: int) -> Iterator[tuple[int, Array]]:
    vector_bytes = source.shape[settings.dim] * np.dtype(settings.dtype).itemsize
    for first, index in blocks(source.shape, settings.dim, size // vector_bytes):
        yield first, fold(source.read(index, settings.dtype), settings.dim)


class _Values:
    """What the pass over the values has found so far."""

    def __init__(self, candidates: Candidates, settings: Settings) -> None:
        self.candidates = candidates
        self.counts = np.zeros(len(CLASSES), np.int64)
        self.norms = NormHistogram(settings.floors)
        self.ulps = ulp_histogram()
        self.largest = Largest("ulp")
        self.ulp = 0
        self.relative = 0.0
        self.changed = 0
        self.of_unit_norm = 0
        self.first: Head | None = None
        self.worst: Worst | None = None
        self._worst_ulp = 0
        self._settings = settings

    def add(self, first: int, x: Array, y: Array, z: Array) -> None:
        """Take in a block x and its values: y from normalize, z from L2Normalize."""
        classes, norms, ulp, relative = self._reduce(x, y, z)
        changed = ulp > values_tolerance(x.shape[1])
        self.counts += np.bincount(classes, minlength=len(CLASSES))
        self.norms.add(norms, classes)
        tolerance = unit_tolerance(x.shape[1], self._settings.dtype)
        self.of_unit_norm += int((np.abs(norms - 1) <= tolerance).sum())
        self.ulps.add(ulp)
        self.ulp = max(self.ulp, int(ulp.max()))
        self.relative = max(self.relative, float(relative.max()))
        self.changed += int(changed.sum())
        self.candidates.add(first, classes, ulp, relative)
        fields = {"norm": norms, "class": classes, "relative": relative}
        self.largest.add(ulp, vector=first + np.arange(ulp.size), **fields)
        if self.first is None:
            self.first = _head(y, z, first, 0, changed=bool(changed[0]))
        worst = int(ulp.argmax())
        if changed[worst] and int(ulp[worst]) > self._worst_ulp:
            self._worst_ulp = int(ulp[worst])
            head = _head(y, z, first, worst, changed=True)
            self.worst = Worst(head.vector, float(norms[worst]), finite(ulp[worst]), head)

    def _reduce(self, x: Array, y: Array, z: Array) -> tuple[Array, ...]:
        """Return the class, the norm and the largest differences of each vector."""
        found = []
        for _, chunk in blocks(x.shape, 1, _CHUNK // x.shape[1]):
            ulp = ulp_distance(y[chunk], z[chunk]).max(axis=1)
            relative = np.zeros(ulp.shape)
            if ulp.any():
                relative = relative_differences(y[chunk], z[chunk]).max(axis=1)
            classes, norms = classify(x[chunk], self._settings)
            found.append([part.ravel() for part in (classes, norms, ulp, relative)])
        return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))


def _head(
    y: Array, z: Array, first: int, local: int, *, changed: bool, gradient: bool = False
) -> Head:
    outer, inner = divmod(local, y.shape[2])
    normalize, l2_normalize = (
        tuple(float(value) for value in values[outer, :_SHOWN, inner]) for values in (y, z)
    )
    return Head(first + local, gradient, changed, normalize, l2_normalize, y.shape[1])


# --- gradients ------------------------------------------------------------------------------------


class _Rows(NamedTuple):
    """Chosen vectors, and x and cotangent as rows of the shape (vectors, n, 1)."""

    chosen: Array
    x: Array
    cotangent: Array


class _Cotangents:
    """Yields the cotangents of rows, given or drawn at random."""

    def __init__(self, given: Source | None, settings: Settings) -> None:
        self._given = given
        self._settings = settings
        self._rng = np.random.default_rng(settings.seed)

    def block(self, index: tuple[slice, ...]) -> Array | None:
        if self._given is None:
            return None
        return fold(self._given.read(index, self._settings.dtype), self._settings.dim)

    def rows(
        self, block: Array | None, outer: Array, inner: Array, shape: tuple[int, ...]
    ) -> Array:
        if block is None:
            return self._rng.standard_normal(shape).astype(self._settings.dtype)
        return _take(block, outer, inner)


def _read_rows(
    source: Source,
    settings: Settings,
    chosen: Array,
    cotangents: _Cotangents,
    size: int,
    steps: int,
) -> Iterator[_Rows]:
    """Read the chosen vectors again."""
    n = source.shape[settings.dim]
    together = max(2, min(_CHUNK * 4 // n, GRADIENT_STEPS // 10 // steps))
    vector_bytes = n * np.dtype(settings.dtype).itemsize
    for first, index in blocks(source.shape, settings.dim, size // vector_bytes):
        count = math.prod(part.stop - part.start for part in index) // n
        start, stop = np.searchsorted(chosen["vector"], [first, first + count])
        if start == stop:
            continue
        x = fold(source.read(index, settings.dtype), settings.dim)
        g = cotangents.block(index)
        for begin in range(start, stop, together):
            here = chosen[begin : min(begin + together, stop)]
            outer, inner = np.divmod(here["vector"] - first, x.shape[2])
            rows = _take(x, outer, inner)
            yield _Rows(here, rows, cotangents.rows(g, outer, inner, rows.shape))


def _take(block: Array, outer: Array, inner: Array) -> Array:
    return np.ascontiguousarray(block[outer, :, inner])[:, :, None]


class _Gradients:
    """What the pass over the gradients has found so far.

    Args:
        settings: what is compared.
        functions: the two.
        kept: the rows with the largest differences of values.
        tolerance: beyond which gradients change.
    """

    def __init__(
        self, settings: Settings, functions: Functions, kept: Array, tolerance: float
    ) -> None:
        self._settings = settings
        self._functions = functions
        self._kept = np.sort(kept, order="vector")
        self._largest = Largest("gradient_relative")
        self._tolerance = tolerance
        self.histogram = relative_histogram(tolerance)
        self.measured = 0
        self.relative = 0.0
        self.changed = 0
        self.changed_alone = 0
        self.worst: Worst | None = None

    def add(self, rows: _Rows) -> None:
        """Take in rows of vectors."""
        normalize, _, l2_gradient = self._functions
        a = vjp_of_rows(normalize, rows.x, rows.cotangent)
        b = vjp_of_rows(l2_gradient, rows.x, rows.cotangent)
        unit = gradient_unit(rows.x, rows.cotangent, self._settings)
        relative = gradient_differences(a, b, unit).max(axis=(1, 2))
        changed = relative > self._tolerance
        values_agree = rows.chosen["ulp"] <= values_tolerance(rows.x.shape[1])
        self.measured += len(rows.x)
        self.histogram.add(relative)
        self.changed += int(changed.sum())
        self.changed_alone += int((changed & values_agree).sum())
        worst = int(relative.argmax())
        if changed[worst] and relative[worst] > self.relative:
            vector = int(rows.chosen["vector"][worst])
            head = _head(a, b, vector - worst, worst, changed=True, gradient=True)
            _, norm = classify(rows.x[worst : worst + 1], self._settings)
            self.worst = Worst(vector, float(norm[0, 0]), float(relative[worst]), head)
        self.relative = max(self.relative, float(relative[worst]))
        self._keep(rows, relative)

    def _keep(self, rows: _Rows, relative: Array) -> None:
        found: dict[str, Array] = {"measured": np.ones(relative.size, np.bool_)}
        same, ours, theirs = np.intersect1d(
            self._kept["vector"], rows.chosen["vector"], return_indices=True
        )
        if same.size:
            for name, values in {**found, "gradient_relative": relative}.items():
                self._kept[name][ours] = values[theirs]
        classes, norms = classify(rows.x, self._settings)
        found |= {"norm": norms.ravel(), "class": classes.ravel()}
        known = {name: rows.chosen[name] for name in CHOSEN.names or ()}
        self._largest.add(relative, **found, **known)

    def rows(self) -> Array:
        """Return those of the largest differences of values, and others of gradients."""
        known = np.isin(self._largest.rows["vector"], self._kept["vector"])
        return np.concatenate([self._kept, self._largest.rows[~known]])


# --- both -----------------------------------------------------------------------------------------


def _result(values: _Values, gradients: _Gradients, n: int, tolerance: float) -> Measurement:
    return Measurement(
        counts=dict(zip(CLASSES, values.counts.tolist(), strict=True)),
        ulp=finite(values.ulp),
        relative=values.relative,
        gradient_relative=gradients.relative,
        values_changed=values.changed,
        gradients_changed=gradients.changed,
        gradients_measured=gradients.measured,
        changed=values.changed + gradients.changed_alone,
        of_unit_norm=values.of_unit_norm,
        first=values.first,
        worst=values.worst or gradients.worst,
        rows=_worst_first(gradients.rows(), n, tolerance),
        norms=values.norms.bins(),
        ulps=values.ulps.bins(),
        gradients=gradients.histogram.bins(),
    )


def _worst_first(rows: Array, n: int, tolerance: float) -> tuple[Row, ...]:
    values_changed = rows["ulp"] > values_tolerance(n)
    gradients_changed = rows["gradient_relative"] > tolerance
    gradient_first = np.where(gradients_changed, rows["gradient_relative"], 0.0)
    keys = [
        rows["vector"],
        -rows["gradient_relative"],
        ~rows["ulp"],
        -np.where(values_changed, 0.0, gradient_first),
        ~np.where(values_changed, rows["ulp"], np.uint64(0)),
    ]
    order = np.lexsort(keys)[:KEPT]
    return tuple(
        _row(rows[i], bool(values_changed[i] or gradients_changed[i])) for i in order.tolist()
    )


def _row(row: Array, changed: bool) -> Row:
    return Row(
        vector=int(row["vector"]),
        norm=float(row["norm"]),
        kind=CLASSES[row["class"]],
        ulp=finite(int(row["ulp"])),
        relative=float(row["relative"]),
        gradient_relative=float(row["gradient_relative"]) if row["measured"] else None,
        changed=changed,
    )
