"""Run cases, compare what comes out of them bit by bit, and count."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from portnorm.certify.cases import Case, View
from portnorm.certify.encodings import FORMATS, Array, differing
from portnorm.certify.implementations import Implementation
from portnorm.errors import StrictParityError
from portnorm.exact.machine.compile_time import seconds_compiling

Class = tuple[str, str, str]
"""A class of cases: "forward" or "gradient", a dtype, and "other p" if p is not a usual one."""


@dataclass
class Count:
    """What was found in one class.

    Attributes:
        cases: that were compared.
        elements: the same.
        mismatches: elements that differ; 1 for a result of another shape, dtype or error.
    """

    cases: int = 0
    elements: int = 0
    mismatches: int = 0

    def add(self, other: Count) -> None:
        """Add another count to this one."""
        self.cases += other.cases
        self.elements += other.elements
        self.mismatches += other.mismatches


@dataclass
class Tally:
    """What was found in all classes.

    Attributes:
        counts: by class.
        cases: how many were drawn.
        refused: results whose bits are not promised, so that there was nothing to compare.
        first: all that reproduces the first mismatch, as a JSON object.
        seconds: that it took, but for compiling.
        compiling: seconds that compiling took.
    """

    counts: dict[Class, Count] = field(default_factory=dict)
    cases: int = 0
    refused: int = 0
    first: dict[str, Any] | None = None
    seconds: float = 0.0
    compiling: float = 0.0

    def add(self, function: str, case: Case, count: Count, details: dict[str, Any]) -> None:
        """Count one comparison, and keep what `compare` said of the first mismatch."""
        found = function, case.dtype, "" if case.has_usual_p else "other p"
        self.counts.setdefault(found, Count()).add(count)
        if details and self.first is None:
            self.first = {"function": function, **describe(case), **details}

    def to_dict(self) -> dict[str, Any]:
        """Return everything as what JSON has."""
        counts = [[*found, asdict(count)] for found, count in self.counts.items()]
        return {**asdict(self), "counts": counts}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Tally:
        """Return what `to_dict` was called on."""
        counts = {tuple(found): Count(**count) for *found, count in record["counts"]}
        return cls(**{**record, "counts": counts})


Progress = Callable[[Tally], None]


def check(
    cases: Iterable[Case],
    theirs: Implementation,
    ours: Implementation,
    *,
    seconds: float | None = None,
    progress: Progress | None = None,
) -> Tally:
    """Compare two implementations on cases, as many as there are time for, and one at least.

    Time in which kernels are compiled does not count.
    """
    tally, started, compiled = Tally(), time.monotonic(), seconds_compiling()
    for case in cases:
        _check_case(case, theirs, ours, tally)
        tally.cases += 1
        tally.compiling = seconds_compiling() - compiled
        tally.seconds = time.monotonic() - started - tally.compiling
        if progress is not None:
            progress(tally)
        if seconds is not None and tally.seconds >= seconds:
            break
    return tally


def _check_case(case: Case, theirs: Implementation, ours: Implementation, tally: Tally) -> None:
    expected, found = theirs(case), ours(case)
    for function in ("forward", "gradient"):
        want, got = getattr(expected, function), getattr(found, function)
        if got is StrictParityError:
            tally.refused += 1
        elif want is not None:
            count, details = compare(want, got, case.dtype)
            tally.add(function, case, count, details)


def compare(want: Any, got: Any, dtype: str) -> tuple[Count, dict[str, Any]]:
    """Compare two results.

    Args:
        want: an array, or the type of an error.
        got: the same.
        dtype: of the arrays.

    Returns:
        What to count, and what is to be said of the first element that differs; nothing if none
        does.
    """
    form = FORMATS[dtype]
    kinds = _kind_of(want), _kind_of(got)
    if kinds[0] != kinds[1]:
        return Count(1, 0, 1), {"expected": kinds[0], "found": kinds[1]}
    if isinstance(want, type):
        return Count(1), {}
    a, b = want.view(form.word), got.view(form.word)
    unequal = differing(a, b, form)
    if unequal is None:
        return Count(1, want.size), {}
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(unequal)), want.shape))
    details: dict[str, Any] = {"index": list(index)}
    for name, words in (("expected", a), ("found", b)):
        word = int(words[index])
        details[name] = form.hex(word)
        details[f"{name}_word"] = f"0x{word:0{2 * form.word.itemsize}x}"
    return Count(1, want.size, int(np.count_nonzero(unequal))), details


def _kind_of(result: Array | type[Exception] | None) -> str:
    """Return what two results must have in common before their elements are compared."""
    if isinstance(result, np.ndarray):
        return f"{result.dtype} array of shape {result.shape}"
    return "nothing" if result is None else result.__name__


def describe(case: Case) -> dict[str, Any]:
    """Return what reproduces a case, as a JSON object."""
    return {
        "case": case.name,
        "dtype": case.dtype,
        "values": case.values,
        "x": _layout(case.x),
        "cotangent": None if case.g is None else _layout(case.g),
        "p": str(case.p),
        "dim": list(case.dim) if isinstance(case.dim, tuple) else case.dim,
        "eps": str(case.eps),
        "threads": case.threads,
    }


def _layout(view: View) -> dict[str, Any]:
    return {"shape": list(view.shape), "strides": list(view.strides), "offset": view.offset}
