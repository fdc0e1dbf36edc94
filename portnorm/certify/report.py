"""What certify found, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from portnorm import __version__
from portnorm.certify.check import Class, Count, Tally
from portnorm.reference import Reference, TorchReference


@dataclass
class Report:
    """What certify found.

    Attributes:
        seed: of the cases, None for stored ones.
        tallies: what was found, by the name of the build.
        notes: what else there is to know.
    """

    seed: int | None
    tallies: dict[str, Tally] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def rows(self) -> list[tuple[str, Class, Count]]:
        """Builds, classes and their counts."""
        return [
            (build, found, count)
            for build, tally in self.tallies.items()
            for found, count in sorted(tally.counts.items())
        ]

    @property
    def total(self) -> Count:
        """The sum of all counts, but with the number of cases that were drawn."""
        total = Count()
        for _, _, count in self.rows:
            total.add(count)
        total.cases = sum(tally.cases for tally in self.tallies.values())
        return total

    @property
    def seconds(self) -> float:
        """The time that it took."""
        return sum(tally.seconds for tally in self.tallies.values())

    @property
    def compiling(self) -> float:
        """The time that compiling took in the processes of the builds, which is not counted."""
        return sum(tally.compiling for tally in self.tallies.values())

    @property
    def refused(self) -> int:
        """Results that were not compared because portnorm does not promise their bits."""
        return sum(tally.refused for tally in self.tallies.values())

    @property
    def first(self) -> dict[str, Any] | None:
        """All that reproduces the first mismatch."""
        for build, tally in self.tallies.items():
            if tally.first is not None:
                return {"build": build, **tally.first}
        return None

    @property
    def identical(self) -> bool:
        """Whether there were results to compare, and none differs."""
        return any(count.cases for _, _, count in self.rows) and self.total.mismatches == 0

    def to_dict(self) -> dict[str, Any]:
        """Return everything as what JSON has."""
        return {
            "portnorm": __version__,
            "seed": self.seed,
            "classes": [
                {"build": build, "function": function, "dtype": dtype, "p": p, **asdict(count)}
                for build, (function, dtype, p), count in self.rows
            ],
            "total": asdict(self.total),
            "refused": self.refused,
            "seconds": self.seconds,
            "seconds_compiling": self.compiling,
            "notes": self.notes,
            "first_mismatch": self.first,
            "identical": self.identical,
        }

    def lines(self) -> Iterator[str]:
        """Yield the lines of the report."""
        yield from self.notes
        yield from self._table()
        total = self.total
        rate = total.elements / self.seconds / 1e6 if self.seconds else 0.0
        seed = "" if self.seed is None else f"seed {self.seed}, "
        yield f"{seed}{self.seconds:.1f} s, {rate:.1f} million elements a second"
        if self.compiling:
            yield f"compiling kernels took {self.compiling:.1f} s more, which are not counted"
        if self.refused:
            yield f"{self.refused:,} results not compared, as their bits are not promised"
        if self.first is not None:
            yield from ("", "first mismatch", *_reproducer(self.first))
        yield "Bit-identical." if self.identical else "Not bit-identical."

    def _table(self) -> Iterator[str]:
        total = self.total
        name = max([len(build) for build in self.tallies] + [len("total")])
        yield f"{'build':<{name}} {'class':<25} {'cases':>9} {'elements':>14} {'mismatches':>10}"
        for build, found, count in self._short_rows():
            yield _row(f"{build:<{name}} {found:<25}", count)
        yield _row(f"{'total':<{name}} {'':25}", total)

    def _short_rows(self) -> Iterator[tuple[str, str, Count]]:
        """Yield the rows to print: one for each class, or where builds are many, for each build."""
        if len(self.tallies) <= _FEW_BUILDS:
            for build, (function, dtype, p), count in self.rows:
                yield build, f"{function:<8} {dtype:<8} {p}", count
            return
        for build, tally in self.tallies.items():
            total = Count()
            for count in tally.counts.values():
                total.add(count)
            yield build, "all", total


_FEW_BUILDS = 8


def _row(label: str, count: Count) -> str:
    return f"{label} {count.cases:>9,} {count.elements:>14,} {count.mismatches:>10,}"


def _reproducer(first: dict[str, Any]) -> Iterator[str]:
    """Yield one line for each thing that reproduces a mismatch."""
    for name, value in first.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {item}" for key, item in value.items())
        elif name in ("expected", "found") and f"{name}_word" in first:
            value = f"{value} = {first[f'{name}_word']}"
        elif name.endswith("_word"):
            continue
        yield f"  {name:<10} {value}"


def name_of(reference: Reference) -> str:
    """Return a build's name: framework, version and, for torch, capability and device.

    >>> name_of(TorchReference("2.13.0+cpu"))
    'torch 2.13.0 avx2'
    >>> name_of(TorchReference("2.11.0", "cuda"))
    'torch 2.11.0 cuda H100 SXM'
    """
    version = reference.version.partition("+")[0]
    parts = [reference.framework, version]
    if isinstance(reference, TorchReference):
        parts.append(reference.capability)
        if device := reference.device:
            numbers = f"{device.multiprocessors}x{device.threads_per_multiprocessor}"
            parts.append(device.name or numbers)
    return " ".join(parts)
