"""Pairs of implementations: the frameworks' own functions, and portnorm's levels of parity."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np

from portnorm.compare.blocks import blocks
from portnorm.compare.findings import Settings
from portnorm.compare.functions import QUADRATIC, Computation, Implementation, vjp_of_rows
from portnorm.compare.rules import (
    Array,
    gradient_differences,
    gradient_tolerance,
    relative_differences,
    values_tolerance,
)
from portnorm.compare.ulp import finite, ulp_distance
from portnorm.errors import PortnormError

Known = Sequence[tuple[Computation, Array]]
"""What computations returned for the block at hand."""

_CHUNK = 2**18


@dataclass(frozen=True)
class Difference:
    """How two implementations differ in their values, or in their gradients.

    Attributes:
        ulp: largest difference in ULP; infinite for NaN in one of the two only.
        relative: largest difference, relative to the larger value, or of gradients to
            ``||g|| / d``.
        changed: number of vectors that differ by more than rounding explains.
        measured: number of vectors that were compared.
        why_not: why nothing was measured, with the name of the implementation that cannot be;
            "" where something was.
    """

    ulp: float = 0
    relative: float = 0.0
    changed: int = 0
    measured: int = 0
    why_not: str = ""


class Pair(NamedTuple):
    """Two implementations and how they differ.

    Attributes:
        a: the name of one.
        b: the name of the other.
        by: what computes each of the two.
        values: the difference of their values.
        gradients: the difference of their gradients.
    """

    a: str
    b: str
    by: tuple[str, str]
    values: Difference
    gradients: Difference

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        both = {"values": asdict(self.values), "gradients": asdict(self.gradients)}
        return {"a": self.a, "b": self.b, "computed_by": list(self.by), **both}


def reasons(pairs: Iterable[Pair]) -> list[str]:
    """Return why some of the pairs were not compared, each reason once."""
    both = (found.why_not for pair in pairs for found in (pair.values, pair.gradients))
    return [why_not for why_not in dict.fromkeys(both) if why_not]


@dataclass
class _Member:
    """One implementation, and why it has no values or no gradients, if so."""

    name: str
    computation: Computation | None
    no_values: str
    no_gradients: str

    def values(self, x: Array, known: Known) -> Array | None:
        if self.computation is None or self.no_values:
            return None
        try:
            found = _find(self.computation, known)
            return self.computation.values(x) if found is None else found
        except PortnormError as error:
            self.no_values = self.no_gradients = str(error)
        return None

    def vjp(self, x: Array, cotangent: Array, known: Known) -> Array | None:
        if self.computation is None or self.no_gradients:
            return None
        try:
            found = _find(self.computation, known)
            return vjp_of_rows(self.computation, x, cotangent) if found is None else found
        except PortnormError as error:
            self.no_gradients = str(error)
        return None


def _find(computation: Computation, known: Known) -> Array | None:
    return next((found for one, found in known if one is computation), None)


@dataclass
class _Sum:
    """A `Difference` that grows."""

    ulp: int = 0
    relative: float = 0.0
    changed: int = 0
    measured: int = 0

    def add(self, ulp: Array, relative: Array, changed: Array) -> None:
        self.ulp = max(self.ulp, int(ulp.max()))
        self.relative = max(self.relative, float(relative.max()))
        self.changed += int(changed.sum())
        self.measured += changed.size

    def result(self, reasons: Sequence[str]) -> Difference:
        if reasons:
            return Difference(why_not=reasons[0])
        return Difference(finite(self.ulp), self.relative, self.changed, self.measured)


@dataclass
class _Pair:
    a: _Member
    b: _Member
    values: _Sum = field(default_factory=_Sum)
    gradients: _Sum = field(default_factory=_Sum)

    def result(self) -> Pair:
        both = self.a, self.b
        return Pair(
            self.a.name,
            self.b.name,
            (_by(self.a), _by(self.b)),
            self.values.result([f"{one.name}: {one.no_values}" for one in both if one.no_values]),
            self.gradients.result(
                [f"{one.name}: {one.no_gradients}" for one in both if one.no_gradients]
            ),
        )


class Pairs:
    """Compares implementations, two at a time, on the blocks that it is shown.

    Args:
        groups: the implementations; each pair within a group is compared, once.
        settings: what is compared.
        most_steps: a gradient that takes more steps for one vector is left out.
    """

    def __init__(
        self,
        groups: Sequence[Sequence[Implementation]],
        settings: Settings,
        n: int,
        most_steps: int,
    ) -> None:
        self._settings = settings
        everything = itertools.chain(*groups)
        members = {one.name: _member(one, n, most_steps) for one in everything}
        names = [itertools.combinations([one.name for one in group], 2) for group in groups]
        once = dict.fromkeys(itertools.chain(*names))
        self._members = list(members.values())
        self._pairs = [_Pair(members[a], members[b]) for a, b in once]

    def add_values(self, x: Array, known: Known) -> None:
        """Compare the values of a block, given those that are known already."""
        found = {one.name: one.values(x, known) for one in self._members}
        tolerance = values_tolerance(x.shape[1])
        for pair in self._pairs:
            a, b = found[pair.a.name], found[pair.b.name]
            for _, chunk in blocks(x.shape, 1, _CHUNK // x.shape[1]):
                if a is None or b is None:
                    break
                ulp = ulp_distance(a[chunk], b[chunk]).max(axis=1)
                relative = relative_differences(a[chunk], b[chunk]) if ulp.any() else np.zeros(1)
                pair.values.add(ulp, relative, ulp > tolerance)

    def add_gradients(self, x: Array, cotangent: Array, unit: Array, known: Known) -> None:
        """Compare the gradients of rows, given those that are known already."""
        found = {one.name: one.vjp(x, cotangent, known) for one in self._members}
        tolerance = gradient_tolerance(x.shape[1], self._settings.dtype)
        for pair in self._pairs:
            a, b = found[pair.a.name], found[pair.b.name]
            if a is not None and b is not None:
                ulp = ulp_distance(a, b).max(axis=1)
                relative = gradient_differences(a, b, unit).max(axis=1)
                pair.gradients.add(ulp, relative, relative > tolerance)

    def result(self) -> tuple[Pair, ...]:
        """Return all pairs."""
        return tuple(pair.result() for pair in self._pairs)


def _member(one: Implementation, n: int, most_steps: int) -> _Member:
    no_gradients = one.why_not
    if one.quadratic_gradient and n * n > most_steps:
        no_gradients = no_gradients or QUADRATIC
    return _Member(one.name, one.computation, one.why_not, no_gradients)


def _by(one: _Member) -> str:
    return one.computation.by if one.computation else ""
