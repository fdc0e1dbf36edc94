"""How two results differ, for people and for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from portnorm.compare.lines import Line, plain, wrap
from portnorm.compare.tolerances import epsilon_of, values_tolerance
from portnorm.text import counted, printable, strict_json

KINDS = ("same", "rounding", "length", "direction", "not_finite")
"""How the vectors of two results differ.

same: not at all, bit for bit; any NaN is like any other.
rounding: by no more than rounding explains.
length: by a factor. The directions are the same, as normalization leaves them.
direction: otherwise.
not_finite: one of them holds a NaN or an infinity where the other has another value.
"""
SAME, ROUNDING, LENGTH, DIRECTION, NOT_FINITE = range(len(KINDS))

_SHOWN = 5


class Pair(NamedTuple):
    """How one vector differs.

    Attributes:
        vector: its index, without the dim along which it lies.
        kind: one of `KINDS`.
        norms: of both vectors.
        cosine: of the angle between them; NaN where one is zero or not finite.
        ulp: the largest difference of elements, in ULP; infinite for NaN in one only.
        relative: the same relative to the largest element of the two vectors.
    """

    vector: tuple[int, ...]
    kind: str
    norms: tuple[float, float]
    cosine: float
    ulp: float
    relative: float


def result_tolerance(n: int, dtype: str) -> float:
    """Return by how much of its largest element rounding may change a vector of n elements."""
    return values_tolerance(n) * epsilon_of(dtype)


@dataclass(frozen=True)
class Difference:
    """How two results differ.

    Attributes:
        names: of the two.
        shape: of both.
        dtype: of both; "bfloat16" as it is stored.
        dim: along which the vectors lie.
        counts: the number of vectors of each of `KINDS`.
        ulp: the largest difference of elements, in ULP; infinite for NaN in one only.
        relative: the largest difference relative to the largest element of its two vectors, of
            vectors that are finite in both.
        cosine: the smallest cosine of the angle between two vectors; None where there is none.
        factors: the smallest and the largest factor by which vectors of the second are longer,
            among those of kind "length"; None where there are none.
        of_unit_norm: how many vectors of the first, and of the second, have norm 1 to rounding.
        not_finite_in_both: how many vectors hold a NaN or an infinity in both.
        rows: the vectors that differ most, worst first.
        other_dims: dims along which all vectors keep their direction, where along `dim` they do
            not; only looked for in arrays that fit into one block.
    """

    names: tuple[str, str]
    shape: tuple[int, ...]
    dtype: str
    dim: int
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    ulp: float = 0
    relative: float = 0.0
    cosine: float | None = None
    factors: tuple[float, float] | None = None
    of_unit_norm: tuple[int, int] = (0, 0)
    not_finite_in_both: int = 0
    rows: tuple[Pair, ...] = ()
    other_dims: tuple[int, ...] = ()

    @property
    def vectors(self) -> int:
        """The number of vectors."""
        return sum(self.counts.values())

    @property
    def differing(self) -> int:
        """How many vectors differ by more than rounding."""
        return self.vectors - self.counts["same"] - self.counts["rounding"]

    @property
    def agrees(self) -> bool:
        """Whether none differs by more than rounding."""
        return self.differing == 0

    @property
    def verdict(self) -> str:
        """What the differences say, in a few sentences."""
        return " ".join(self._sentences())

    def _sentences(self) -> Iterator[str]:
        of, counts = f"of {counted(self.vectors, 'vector')}", self.counts
        if counts["same"] == self.vectors:
            yield f"All {counted(self.vectors, 'vector')} are the same, bit for bit."
        elif self.agrees:
            yield f"{_differ(counts['rounding'], of)}, by rounding only; the others are the same."
        else:
            yield f"{_differ(self.differing, of)} by more than rounding."
        if counts["length"]:
            low, high = self.factors or (math.nan, math.nan)
            to = "" if math.isclose(low, high, rel_tol=1e-4) else f" to {high:.4g}"
            yield (
                f"{_differ(counts['length'])} in length alone, by factors of {low:.4g}{to}: so "
                "differ normalizations with another epsilon, or one that is left out. "
                "`portnorm identify INPUT OUTPUT` names each of the two."
            )
        if counts["direction"]:
            yield (
                f"{_differ(counts['direction'])} in direction, which no normalization along dim "
                f"{self.dim} changes: look at what was computed before."
            )
            for dim in self.other_dims:
                yield f"Along dim {dim} all vectors keep their direction."
        if counts["not_finite"]:
            yield f"{_differ(counts['not_finite'])} by a NaN or an infinity in one of the two."
        if self.not_finite_in_both:
            yield f"In {counted(self.not_finite_in_both, 'vector')} both hold a NaN or an infinity."
        first, second = self.of_unit_norm
        if first == second == self.vectors:
            yield "All vectors of both are of norm 1."
        elif first or second:
            yield f"{first} and {second} of them are of norm 1."

    def to_dict(self) -> dict[str, Any]:
        """Return everything as what JSON has; numbers that are not finite as "inf", "nan"."""
        rows = [row._asdict() for row in self.rows]
        found: dict[str, Any] = strict_json(
            {
                "names": self.names,
                "shape": self.shape,
                "dtype": self.dtype,
                "dim": self.dim,
                "vectors": self.vectors,
                "counts": self.counts,
                "differing": self.differing,
                "values": {
                    "ulp": self.ulp,
                    "relative": self.relative,
                    "tolerance_relative": result_tolerance(self.shape[self.dim], self.dtype),
                },
                "cosine": self.cosine,
                "factors": self.factors,
                "of_unit_norm": self.of_unit_norm,
                "not_finite_in_both": self.not_finite_in_both,
                "other_dims": self.other_dims,
                "rows": rows,
                "agrees": self.agrees,
                "verdict": self.verdict,
            }
        )
        return found

    def to_json(self) -> str:
        """Return `to_dict` as strict JSON."""
        return json.dumps(self.to_dict(), allow_nan=False)

    def lines(self, width: int) -> Iterator[Line]:
        """Yield the lines of text in which a terminal shows it."""
        first, second = map(printable, self.names)
        yield Line(f"{first} against {second}", "")
        style = "green" if self.agrees else "bold red"
        yield from wrap("verdict", self.verdict, width, style)
        size = counted(self.shape[self.dim], "value")
        yield from wrap(
            "arrays", f"{self.dtype} {self.shape}: vectors of {size} along dim {self.dim}", width
        )
        if self.counts["same"] == self.vectors:
            return
        yield from wrap("differences", self._sizes(), width)
        for row in self.rows[:_SHOWN]:
            place = row.vector[0] if len(row.vector) == 1 else row.vector
            yield from wrap(f"vector {place}", _as_text(row), width)

    def _sizes(self) -> str:
        ulp = f" ({self.ulp} ULP)" if self.agrees else ""
        cosine = "" if self.cosine is None else f"; cosine at least {self.cosine:.9g}"
        return f"up to {self.relative:.2g} of the largest element of a vector{ulp}{cosine}"

    def summary(self, width: int = 80) -> str:
        """Return the findings as plain text, in lines of at most width characters."""
        return plain(self, width)


def _differ(number: int, of: str = "") -> str:
    return f"{number}{of and f' {of}'} {'differs' if number == 1 else 'differ'}"


def _as_text(row: Pair) -> str:
    kind = row.kind.replace("_", " ")
    if row.kind == "not_finite":
        return kind
    return (
        f"{kind}: norms {row.norms[0]:.6g} and {row.norms[1]:.6g}, cosine {row.cosine:.9g}, "
        f"{row.relative:.2g} of the largest element"
    )
