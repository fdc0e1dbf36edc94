"""The ratios, with what they depend on: a table, and the same as JSON."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numba
import numpy as np

from portnorm import __version__
from portnorm.bench.cases import Case
from portnorm.bench.timing import Times
from portnorm.exact.machine.threads import cores
from portnorm.frameworks import NAMES
from portnorm.terminal import console

if TYPE_CHECKING:
    from rich.table import Table

HEADER = "portnorm's time / framework's time: below 1, portnorm is faster"
"""What the ratio says."""

_BUSY = 0.6
"""The share of the cores from which on other programs disturb; bench itself is not yet counted."""

_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Result:
    """What one case took."""

    case: Case
    times: Times

    @property
    def ratio(self) -> float:
        """The time of portnorm as a share of the framework's."""
        return self.times.ratio


@dataclass
class Report:
    """What was found.

    Attributes:
        machine: "cpu", "cores" that this process may use, "threads" of each library, and "load":
            how many processes wanted a core in the minute before, or None.
        versions: of the libraries.
        results: in the order of the cases.
        left_out: why a case could not run.
    """

    machine: dict[str, Any]
    versions: dict[str, str]
    results: list[Result] = field(default_factory=list)
    left_out: dict[Case, str] = field(default_factory=dict)

    def by_host(self) -> dict[str, list[Result]]:
        """Return the results of each host that has any."""
        found = {
            host: [result for result in self.results if result.case.host == host] for host in NAMES
        }
        return {host: results for host, results in found.items() if results}

    def about(self) -> Iterator[tuple[str, str]]:
        """Yield what the ratios depend on, as labels and texts."""
        threads = ", ".join(f"{name} {n}" for name, n in self.machine["threads"].items())
        yield "machine", f"{self.machine['cpu']}, {self.machine['cores']} cores"
        yield "threads", threads
        yield "versions", ", ".join(f"{name} {text}" for name, text in self.versions.items())
        yield "rounds", f"{self._rounds()}; times are medians"

    def notes(self) -> Iterator[str]:
        """Yield what makes the ratios rough, and why cases were left out, each reason once."""
        load, cores = self.machine["load"], self.machine["cores"]
        if load is not None and load > _BUSY * cores:
            yield f"the machine was busy (load {load:.1f} on {cores} cores): the ratios are rough"
        for reason in dict.fromkeys(self.left_out.values()):
            names = [case.name for case, why in self.left_out.items() if why == reason]
            yield f"left out {len(names)} (the first is {names[0]}): {reason}"

    def to_dict(self) -> dict[str, Any]:
        """Return everything as what JSON has; times are in seconds."""
        return {
            "machine": self.machine,
            "versions": self.versions,
            "results": [
                {
                    **_as_dict(result.case),
                    "portnorm_seconds": result.times.portnorm,
                    "framework_seconds": result.times.framework,
                    "rounds": result.times.rounds,
                    "ratio": result.ratio,
                }
                for result in self.results
            ],
            "left_out": [
                {**_as_dict(case), "reason": reason} for case, reason in self.left_out.items()
            ],
        }

    def _rounds(self) -> str:
        counts = sorted({result.times.rounds for result in self.results})
        return " to ".join(str(n) for n in dict.fromkeys([*counts[:1], *counts[-1:]])) or "none"


def _as_dict(case: Case) -> dict[str, Any]:
    return {"name": case.name, **asdict(case)}


# --- the machine ----------------------------------------------------------------------------------


def machine(frameworks: Mapping[str, str]) -> dict[str, Any]:
    """Return what the times depend on beside the versions."""
    threads: dict[str, Any] = {"portnorm": cores()}
    if "torch" in frameworks:
        import torch

        threads["torch"] = torch.get_num_threads()
    if "mindspore" in frameworks:
        threads["MindSpore"] = "as many as it chooses"
    return {"cpu": _cpu(), "cores": cores(), "threads": threads, "load": _load()}


def _load() -> float | None:
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):  # another system than Unix, or it does not tell
        return None


def _cpu() -> str:
    """Return the name of the processor; Python itself knows it on some systems only."""
    if _CPUINFO.exists():
        for line in _CPUINFO.read_text(errors="replace").splitlines():
            key, _, name = line.partition(":")
            if key.strip() == "model name" and name.strip():
                return name.strip()
    return platform.processor() or platform.machine() or "unknown processor"


def versions(frameworks: Mapping[str, str]) -> dict[str, str]:
    """Return the versions of all that takes part."""
    return {
        "portnorm": __version__,
        **frameworks,
        "numpy": np.__version__,
        "numba": numba.__version__,
    }


# --- table ----------------------------------------------------------------------------------------


def milliseconds(seconds: float) -> str:
    """Return a time with three digits, never as a power of ten.

    >>> milliseconds(0.0000041), milliseconds(0.00452), milliseconds(2.3)
    ('0.0041', '4.52', '2300')
    """
    return _digits(seconds * 1e3, 2 if seconds < 1e-5 else 3)


def ratio_text(ratio: float) -> str:
    """Return a ratio with two digits, or with the third that tells it from 1.

    >>> ratio_text(0.00088), ratio_text(0.638), ratio_text(0.998), ratio_text(1.254)
    ('0.00088', '0.64', '0.998', '1.25')
    """
    return _digits(ratio, 2 if ratio < 0.995 else 3)


def _digits(value: float, digits: int) -> str:
    rounded = float(f"{value:.{digits}g}")
    decimals = max(0, digits - 1 - int(f"{rounded:e}".partition("e")[2]))
    return f"{rounded:.{decimals}f}"


def show(report: Report) -> None:
    """Print the tables; in colour on a terminal that wants it.

    Raises:
        ImportError: rich is not installed.
    """
    from rich.table import Table
    from rich.text import Text

    terminal = console()
    about = Table.grid(padding=(0, 2, 0, 0))
    for label, text in [*report.about(), ("ratio", HEADER)]:
        about.add_row(Text(label, "dim"), Text(text, "bold" if label == "ratio" else ""))
    terminal.print(about)
    for host, results in report.by_host().items():
        terminal.print()
        terminal.print(_table(host, results))
    for note in report.notes():
        terminal.print(Text(note, "yellow"))


def _table(host: str, results: list[Result]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=f"against {NAMES[host]}",
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for heading in ("work", "dtype", "shape"):
        table.add_column(heading)
    for heading in ("dim", "portnorm", NAMES[host], "ratio"):
        table.add_column(heading, justify="right", overflow="fold")
    table.add_row(*[""] * 4, "ms", "ms", "")
    for case, times in ((result.case, result.times) for result in results):
        table.add_row(
            case.what,
            case.dtype,
            "x".join(map(str, case.shape)),
            str(case.dim),
            milliseconds(times.portnorm),
            milliseconds(times.framework),
            Text(ratio_text(times.ratio), "green" if times.ratio < 1 else "yellow"),
        )
    return table
