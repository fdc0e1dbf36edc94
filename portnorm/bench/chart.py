"""The ratios as a picture: a dot for each piece of work, on a logarithmic axis.

It is drawn without pyplot, which would keep the figure in the process.
"""

from __future__ import annotations

import io
import math
import textwrap
from typing import TYPE_CHECKING

from portnorm.bench.report import HEADER, Report, Result, ratio_text
from portnorm.compare.charts import AS_WRITTEN, drawable
from portnorm.frameworks import NAMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK, _MUTED = "#1f2328", "#6e7781"
_FASTER, _SLOWER = "#0068a8", "#c4480a"
_INCHES_A_ROW = 0.21
_INCHES_A_PANEL = 8.0
_POINTS = 9
_CHARACTERS = 110
_ROOM = 0.2
"""Of the width between the outermost dots, on both sides."""


def png(report: Report) -> bytes:
    """Return the picture as PNG.

    Raises:
        ImportError: matplotlib is not installed.
    """
    stream = io.BytesIO()
    words = {"Title": HEADER, "Description": _in_words(report)}
    draw(report).savefig(stream, format="png", dpi=120, facecolor="white", metadata=words)
    return stream.getvalue()


def draw(report: Report) -> Figure:
    """Return the picture: one panel for each framework.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    panels = report.by_host()
    rows = max(map(len, panels.values()), default=1)
    size = _INCHES_A_PANEL * max(len(panels), 1), 1.9 + _INCHES_A_ROW * rows
    layout = ConstrainedLayoutEngine(w_pad=0.15, h_pad=0.1)
    figure = Figure(size, layout=layout, facecolor="white")
    figure.suptitle(HEADER, color=_INK, fontsize=_POINTS + 3, weight="bold")
    figure.supxlabel(_about(report), color=_MUTED, fontsize=_POINTS, **AS_WRITTEN)
    for place, (host, results) in enumerate(panels.items()):
        axes = figure.add_subplot(1, len(panels), place + 1)
        axes.set_xscale("log")
        axes.set_xlim(_limits(report))
        axes.set_title(f"against {NAMES[host]}", loc="left", color=_INK, weight="bold")
        _draw(axes, results, rows)
    return figure


def _limits(report: Report) -> tuple[float, float]:
    """Return the same ends for all panels, with room for the numbers beside the last dots."""
    logarithms = [math.log10(result.ratio) for result in report.results]
    low, high = min([*logarithms, -0.5]), max([*logarithms, 0.5])
    room = _ROOM * (high - low)
    return 10 ** (low - room), 10 ** (high + room)


def _in_words(report: Report) -> str:
    return "\n".join(f"{one.case.name}: {ratio_text(one.ratio)}" for one in report.results)


def _about(report: Report) -> str:
    lines = [*(f"{label}: {text}" for label, text in report.about()), *report.notes()]
    return "\n".join(part for line in lines for part in textwrap.wrap(drawable(line), _CHARACTERS))


def _draw(axes: Axes, results: list[Result], rows: int) -> None:
    places = range(len(results))
    ratios = [result.ratio for result in results]
    for place, ratio in zip(places, ratios, strict=True):
        faster = ratio < 1
        colour = _FASTER if faster else _SLOWER
        axes.plot([1, ratio], [place, place], color=colour, linewidth=1.2, alpha=0.5)
        # The shape says it, too, to those who cannot tell the colours apart.
        axes.plot(ratio, place, "o" if faster else "D", color=colour, markersize=5)
        axes.annotate(
            ratio_text(ratio),
            (ratio, place),
            (-6 if faster else 6, 0),
            textcoords="offset points",
            ha="right" if faster else "left",
            va="center",
            color=colour,
            fontsize=_POINTS,
        )
    axes.axvline(1, color=_INK, linewidth=1)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_yticks(places, list(map(_label, results)), fontsize=_POINTS, color=_INK)
    axes.set_xlabel("ratio, logarithmic", color=_MUTED, fontsize=_POINTS)
    axes.grid(axis="x", color=_MUTED, alpha=0.25)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")


def _label(result: Result) -> str:
    case = result.case
    shape = "x".join(map(str, case.shape))
    return f"{case.what} {case.dtype} {shape} dim {case.dim}"
