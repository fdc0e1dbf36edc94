"""The findings of a comparison as lines of text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from portnorm.compare.lines import Line, wrap
from portnorm.compare.measurement import Head
from portnorm.compare.result import Result
from portnorm.compare.tolerances import gradient_tolerance, values_tolerance
from portnorm.semantics import L2NORMALIZE, NORMALIZE
from portnorm.text import counted, printable

_DIGITS = {"float16": 5, "float32": 9, "float64": 17}

LEGEND = (
    "A ULP is the step from a floating-point number to the next. A cotangent is the gradient that "
    "arrives at the output. Differences of gradients are relative to its length over the norm: no "
    "element can be larger."
)
"""What the words mean that results are told in."""

_OWN_GRADIENT = (
    "MindSpore's own gradient is not that: below the floor it divides by epsilon, not by its root."
)


def lines(comparison: Result, width: int) -> Iterator[Line]:
    """Yield the lines of one comparison, what follows from it first."""
    yield Line(f"{printable(comparison.name)}", "")
    style = "green" if comparison.agrees else "bold red"
    yield from wrap("verdict", comparison.headline, width, style)
    if not comparison.agrees:
        for host, label in (("mindspore", "on MindSpore"), ("torch", "on torch")):
            yield Line(label, comparison.calls[host], "bold")
            yield from wrap("", comparison.covered[host], width)
    for part in (_what, heads, _differences):
        for label, text in part(comparison):
            yield from wrap(label, text, width)
    yield from wrap("", LEGEND, width)


def _what(comparison: Result) -> Iterator[tuple[str, str]]:
    given = comparison.settings
    by = comparison.computed_by
    yield (
        "array",
        f"{given.dtype} {comparison.shape}: {counted(comparison.vectors, 'vector')} of "
        f"{counted(comparison.length, 'value')} along dim {given.dim} "
        f"(normalize's default is dim {NORMALIZE.axis}, L2Normalize's axis {L2NORMALIZE.axis})",
    )
    yield "normalize", f"p={given.p}, eps={given.eps}; computed by {by['normalize']}"
    yield "L2Normalize", f"epsilon={given.epsilon}; computed by {by['l2_normalize']}"


def heads(comparison: Result) -> Iterator[tuple[str, str]]:
    """Yield labels and the first values of the first vector and of the worst one."""
    found = comparison.measurement
    heads = [found.first] if found.first else []
    if found.worst and (found.worst.head.gradient or found.worst.vector != 0):
        heads.append(found.worst.head)
    for head in heads:
        a, b = _values(head, comparison.settings.dtype)
        position = f"vector {comparison.position(head.vector)}"
        yield (f"gradient of {position}" if head.gradient else position), ""
        yield "  normalize", a
        yield "  L2Normalize", b


def _values(head: Head, dtype: str) -> tuple[str, str]:
    """Return both values with as few digits as show the difference, if there is one to show."""
    both = head.normalize, head.l2_normalize
    most = _DIGITS[dtype] if head.changed else 4
    for digits in range(4, most + 1):
        a, b = (_format(values, digits, head.length) for values in both)
        if a != b:
            return a, b
    a, b = (_format(values, 4, head.length) for values in both)
    return a, b


def _format(values: Sequence[float], digits: int, length: int) -> str:
    shown = " ".join(f"{value:.{digits}g}" for value in values)
    return f"[{shown} ...]" if length > len(values) else f"[{shown}]"


def _differences(comparison: Result) -> Iterator[tuple[str, str]]:
    found, given = comparison.measurement, comparison.settings
    counts = found.counts
    lower, upper = sorted(given.floors)
    yield (
        "norms",
        f"{counts['zero']} zero, {counts['below_both']} below both floors, {counts['between']} "
        f"between the floors {lower:.4g} and {upper:.4g}, {counts['above_both']} above both, "
        f"{counts['not_finite']} not finite",
    )
    yield (
        "values",
        f"up to {_ulp(found.ulp)} apart, {found.relative:.2g} relative; "
        f"{_changes(found.values_changed, comparison.vectors)} "
        f"by more than {values_tolerance(comparison.length)} ULP",
    )
    tolerance = gradient_tolerance(comparison.length, given.dtype)
    cotangent = "given cotangent" if given.seed is None else f"cotangent of seed {given.seed}"
    yield (
        "gradients",
        f"up to {found.gradient_relative:.2g} relative apart; "
        f"{_changes(found.gradients_changed, found.gradients_measured)} by more than "
        f"{tolerance:.2g}; gradient on {found.gradients_measured} of "
        f"{counted(comparison.vectors, 'vector')}, {cotangent}",
    )
    if not comparison.own_gradient:
        by = comparison.computed_by["l2_normalize_gradient"]
        yield "", f"L2Normalize's by {by}: the derivative of its formula. {_OWN_GRADIENT}"


def _changes(changed: int, of: int) -> str:
    return f"{changed} of {of} {'changes' if changed == 1 else 'change'}"


def _ulp(ulp: float) -> str:
    return "infinitely many ULP (NaN in one only)" if math.isinf(ulp) else f"{ulp} ULP"
