"""The ratios of `portnorm.compare.bench` as a table, as JSON, and as a picture."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from portnorm.compare.bench import Timing

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

_FASTER, _SLOWER = "#2a6f97", "#c1121f"
_HEADING = "portnorm's time as a share of the framework's: below 1, portnorm is faster"


def table(timings: Sequence[Timing]) -> Table:
    """Return a table for a terminal."""
    from rich.table import Table

    shown = Table(title=_HEADING, title_justify="left", box=None, pad_edge=False)
    shown.add_column("work", overflow="fold")
    for heading in ("portnorm, ms", "framework, ms", "ratio", "goal"):
        shown.add_column(heading, justify="right")
    for timing in timings:
        style = "green" if timing.ratio <= 1 else "red"
        shown.add_row(
            timing.case.name,
            f"{timing.portnorm * 1e3:.3g}",
            f"{timing.framework * 1e3:.3g}",
            f"[{style}]{timing.ratio:.2g}[/{style}]",
            f"{timing.case.goal:g}",
        )
    return shown


def to_dict(timings: Sequence[Timing], machine: Mapping[str, str]) -> dict[str, Any]:
    """Return everything as what JSON has; times are in seconds."""
    rows = [
        {
            "framework": timing.case.framework,
            "work": timing.case.work,
            "shape": timing.case.shape,
            "dim": timing.case.dim,
            "dtype": timing.case.dtype,
            "portnorm": timing.portnorm,
            "of_framework": timing.framework,
            "ratio": timing.ratio,
            "goal": timing.case.goal,
        }
        for timing in timings
    ]
    return {"machine": dict(machine), "timings": rows}


def picture(timings: Sequence[Timing], machine: Mapping[str, str]) -> Figure:
    """Return a figure with a bar for each case, on a log axis around 1."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.6 + 0.3 * len(timings)), layout="constrained")
    axes = figure.subplots()
    ratios = [timing.ratio for timing in timings]
    places = range(len(timings))
    colours = [_FASTER if ratio <= 1 else _SLOWER for ratio in ratios]
    axes.barh(places, [ratio - 1 for ratio in ratios], left=1, color=colours, height=0.7)
    axes.set_xscale("log")
    low, high = min([*ratios, 0.5]) / 1.6, max([*ratios, 2]) * 1.6
    axes.set_xlim(low, high)
    axes.set_yticks(places, [timing.case.name for timing in timings], fontsize=9)
    axes.invert_yaxis()
    axes.axvline(1, color="black", linewidth=1)
    for place, ratio in zip(places, ratios, strict=True):
        side = "right" if ratio <= 1 else "left"
        text = f" {ratio:.2g} "
        axes.text(ratio, place, text, ha=side, va="center", fontsize=8)
    ticks = [t for t in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10) if low <= t <= high]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_title(_HEADING.replace(": ", "\n"), fontsize=11, loc="left")
    axes.margins(y=0.01)
    where = ", ".join(f"{name} {value}" for name, value in machine.items())
    figure.supxlabel(textwrap.fill(where, 110), fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def png(timings: Sequence[Timing], machine: Mapping[str, str]) -> bytes:
    """Return the picture as PNG."""
    stream = io.BytesIO()
    picture(timings, machine).savefig(stream, format="png", dpi=144)
    return stream.getvalue()
