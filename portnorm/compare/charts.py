"""The histograms as pictures.

Figures are drawn without pyplot, which would keep them in the process.
"""

from __future__ import annotations

import io
import math
import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from portnorm.compare.histograms import BINS_PER_DECADE, Bin, NormBin
from portnorm.compare.result import Result
from portnorm.compare.tolerances import gradient_tolerance, values_tolerance
from portnorm.text import printable
from portnorm.vectors import CLASSES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


CLASS_NAMES = {
    "zero": "zero",
    "below_both": "below both floors",
    "between": "between the floors",
    "above_both": "above both floors",
    "not_finite": "not finite",
}
"""The classes of vectors, in words."""

AS_WRITTEN: dict[str, Any] = {"parse_math": False, "usetex": False}
"""Arguments of matplotlib's texts that keep it from reading a dollar sign as TeX."""

_MOST_BARS = 64
_SMALLEST, _LARGEST = math.log10(5e-324), math.log10(sys.float_info.max)
_SIZE = 4.5  # inches wide: with 9 points, text is legible where a phone shows it
_POINTS = 9
_TITLE = 110  # so many characters of the larger title fit into a PNG


class Palette(NamedTuple):
    """Colours: of text and lines, of what is less important, and of the classes."""

    ink: str
    muted: str
    classes: dict[str, str]
    bar: str


_COLOURS = ["#6e7781", "#c4480a", "#c88500", "#0068a8", "#a8508a"]
LIGHT = Palette("#1f2328", "#6e7781", dict(zip(CLASSES, _COLOURS, strict=True)), "#0068a8")
"""Colours on white paper; the classes differ in brightness, too."""


# --- bars -----------------------------------------------------------------------------------------


class Bar(NamedTuple):
    """One bar of a histogram: how many vectors of each class lie between lower and upper."""

    lower: float
    upper: float
    counts: dict[str, int]


def norm_bars(bins: Sequence[NormBin], floors: tuple[float, float]) -> list[Bar]:
    """Merge bins so that there are few enough bars to be seen; none of them spans a floor."""
    if not bins:
        return []
    decades = _exponent(bins[-1].lower) - _exponent(bins[0].lower) + 1
    width = 1
    while decades * BINS_PER_DECADE / width > _MOST_BARS:
        width *= 2
    bars: dict[tuple[int, int], Bar] = {}
    for lower, upper, counts in bins:
        place = math.floor(_exponent(lower) * BINS_PER_DECADE + 1e-6) // width
        key = place, sum(lower >= floor for floor in floors)
        bar = bars.get(key, Bar(lower, upper, {}))
        sums = {name: bar.counts.get(name, 0) + n for name, n in counts.items()}
        bars[key] = Bar(bar.lower, upper, {**bar.counts, **sums})
    return list(bars.values())


def _exponent(number: float, base: int = 10) -> float:
    if base == 2:
        return math.log2(number)
    return min(max(math.log10(number), _SMALLEST), _LARGEST) if number > 0 else _SMALLEST


class Differences(NamedTuple):
    """The differences of the values or of the gradients.

    Attributes:
        of: "values" or "gradients".
        unit: "ULP" or "relative".
        bins: their histogram.
        tolerance: what rounding explains.
        infinite: what to call a difference that is infinite.
    """

    of: str
    unit: str
    bins: Sequence[Bin]
    tolerance: float
    infinite: str


def differences(comparison: Result) -> tuple[Differences, Differences]:
    """Return those of the values and those of the gradients."""
    found, n = comparison.measurement, comparison.length
    tolerance = gradient_tolerance(n, comparison.settings.dtype)
    return (
        Differences("values", "ULP", found.ulps, values_tolerance(n), "NaN in one only"),
        Differences("gradients", "relative", found.gradients, tolerance, "not finite in one only"),
    )


# --- drawing --------------------------------------------------------------------------------------


def draw_norms(axes: Axes, comparison: Result, colours: Palette) -> None:
    """Draw the histogram of the norms, with both floors."""
    found, floors = comparison.measurement, comparison.settings.floors
    bars = norm_bars(found.norms, floors)
    zero, not_finite = ({name: found.counts[name]} for name in ("zero", "not_finite"))
    marks = [floor for floor in floors if 0 < floor < math.inf]
    _draw_bars(axes, bars, (zero, not_finite), "NaN\nor inf", marks, colours)
    rows = zip(("normalize", "L2Normalize"), floors, ("--", "-"), (1.02, 1.1), strict=True)
    for name, floor, line, height in rows:
        if floor in marks:
            _mark(axes, _exponent(floor), f"floor of {name}: {floor:.4g}", colours, line, height)
    axes.set_xlabel("2-norm of the vector", color=colours.ink, fontsize=_POINTS)


def draw_differences(axes: Axes, found: Differences, colours: Palette) -> None:
    """Draw the histogram of differences, with what rounding explains."""
    unit, base = (1, 2) if found.unit == "ULP" else (0, 10)
    inner, at_zero, infinite = [], 0, 0
    for lower, upper, vectors in found.bins:
        if upper == 0:
            at_zero = vectors
        elif math.isinf(upper):
            infinite = vectors
        else:  # a bin of ULP ends where the next one begins
            inner.append(Bar(lower, upper + unit, {"": vectors}))
    beside = {"": at_zero}, {"": infinite}
    marks = [found.tolerance, *((1.0, 64.0) if unit else ())]
    _draw_bars(axes, inner, beside, textwrap.fill(found.infinite, 6), marks, colours, base)
    text = f"rounding explains {found.tolerance:.3g}"
    _mark(axes, _exponent(found.tolerance, base), text, colours)
    label = f"largest difference of the vector, {found.unit}"
    axes.set_xlabel(label, color=colours.ink, fontsize=_POINTS)
    axes.set_title(found.of, loc="left", color=colours.ink, fontsize=_POINTS, weight="bold", pad=14)


def _draw_bars(
    axes: Axes,
    bars: Sequence[Bar],
    beside: tuple[dict[str, int], dict[str, int]],
    infinite: str,
    marks: Sequence[float],
    colours: Palette,
    base: int = 10,
) -> None:
    """Draw bars on a logarithmic axis, and beside it what no logarithm can show.

    Args:
        axes: to draw on.
        bars: on the axis.
        beside: what is counted at 0, and what is infinite or NaN.
        infinite: what to call the latter.
        marks: numbers that the axis has to reach.
        colours: of the bars and the text.
        base: of the logarithm, 2 or 10.
    """
    exponents = [_exponent(edge, base) for bar in bars for edge in bar[:2]]
    exponents += [_exponent(mark, base) for mark in marks]
    low, high = (math.floor(min(exponents)), math.ceil(max(exponents))) if exponents else (-1, 1)
    low, high = (low, high) if high - low > 1 else (low - 1, high + 1)
    slot = (high - low) / 14
    for bar in bars:
        _stack(axes, _exponent(bar.lower, base), _exponent(bar.upper, base), bar.counts, colours)
    step = max(1, math.ceil((high - low) / 6))
    ticks: dict[float, str] = {k: _power(base, k) for k in range(low, high + 1, step)}
    ends = (low - 2 * slot, "0"), (high + 2 * slot, infinite)
    for (left, label), counts in zip(ends, beside, strict=True):
        if any(counts.values()):
            _stack(axes, left, left + slot, counts, colours)
            ticks[left + slot / 2] = label
    axes.set_xticks(list(ticks), labels=list(ticks.values()))
    places = [*ticks, low, high]
    axes.set_xlim(min(places) - slot, max(places) + slot)
    heights = [sum(counts.values()) for counts in (*(bar.counts for bar in bars), *beside)]
    _finish(axes, [height for height in heights if height], colours)


def _stack(axes: Axes, left: float, right: float, counts: dict[str, int], colours: Palette) -> None:
    bottom = 0
    for name, count in counts.items():
        axes.bar(
            left,
            count,
            right - left,
            bottom,
            align="edge",
            color=colours.classes.get(name, colours.bar),
            edgecolor="none",
            label=CLASS_NAMES.get(name, "_"),  # which no legend shows
        )
        bottom += count


def _mark(
    axes: Axes, place: float, text: str, colours: Palette, line: str = "--", height: float = 1.02
) -> None:
    """Draw a vertical line with a text above it, which runs to where there is room."""
    axes.axvline(place, color=colours.ink, linestyle=line, linewidth=1)
    left, right = axes.get_xlim()
    axes.annotate(
        text,
        (place, height),
        xycoords=("data", "axes fraction"),
        color=colours.ink,
        fontsize=_POINTS - 1,
        ha="left" if place < (left + right) / 2 else "right",
        annotation_clip=False,
    )


def _power(base: int, exponent: int) -> str:
    return str(2**exponent) if base == 2 and exponent < 10 else f"${base}^{{{exponent}}}$"


def _finish(axes: Axes, heights: Sequence[int], colours: Palette) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_ylabel("vectors", color=colours.ink, fontsize=_POINTS)
    axes.tick_params(colors=colours.ink, labelsize=_POINTS, which="both", width=0.6)
    if heights and max(heights) > 20 * min(heights):
        axes.set_yscale("log")
        axes.set_ylim(bottom=0.6)
        axes.minorticks_off()
        axes.set_ylabel("vectors (log)", color=colours.ink, fontsize=_POINTS)
    else:
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.set_facecolor("none")
    axes.grid(False)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(colours.muted)


def _add_legend(figure: Figure, axes: Axes, colours: Palette) -> None:
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    if once:
        figure.legend(
            once.values(),
            once.keys(),
            loc="outside lower center",
            ncols=2,
            frameon=False,
            fontsize=_POINTS,
            labelcolor=colours.ink,
        )


# --- figures --------------------------------------------------------------------------------------


def norms_figure(comparison: Result, colours: Palette) -> Figure:
    """Return the histogram of the norms."""
    from matplotlib.figure import Figure

    figure = Figure((_SIZE, 3.2), layout="constrained")
    axes = figure.add_subplot()
    draw_norms(axes, comparison, colours)
    _add_legend(figure, axes, colours)
    return figure


def differences_figure(comparison: Result, colours: Palette) -> Figure:
    """Return the histograms of the differences of values and of gradients."""
    from matplotlib.figure import Figure

    figure = Figure((_SIZE, 4.4), layout="constrained")
    for axes, found in zip(figure.subplots(2), differences(comparison), strict=True):
        draw_differences(axes, found, colours)
    return figure


def png(comparisons: Sequence[Result]) -> bytes:
    """Return all histograms as a PNG: a row for each comparison.

    Raises:
        ImportError: matplotlib is not installed.
    """
    stream = io.BytesIO()
    overview(comparisons).savefig(stream, format="png", facecolor="white")
    return stream.getvalue()


def overview(comparisons: Sequence[Result]) -> Figure:
    """Return all histograms: a row for each comparison."""
    from matplotlib.figure import Figure

    figure = Figure((13, 3.9 * len(comparisons)), dpi=150, layout="constrained", facecolor="white")
    rows = figure.subfigures(len(comparisons), squeeze=False, hspace=0.08)[:, 0]
    for row, comparison in zip(rows, comparisons, strict=True):
        heading = textwrap.fill(drawable(f"{title(comparison)}: {comparison.finding}"), _TITLE)
        row.suptitle(heading, fontsize=_POINTS + 2, color=LIGHT.ink, **AS_WRITTEN)
        left, right = row.subfigures(1, 2, width_ratios=[1, 1.6])
        norms = left.subplots()
        draw_norms(norms, comparison, LIGHT)
        _add_legend(left, norms, LIGHT)
        for axes, found in zip(right.subplots(1, 2), differences(comparison), strict=True):
            draw_differences(axes, found, LIGHT)
    return figure


def title(comparison: Result) -> str:
    """Return what to call a comparison, in characters that show."""
    return f"{printable(comparison.name)}, along dim {comparison.settings.dim}"


def drawable(text: str) -> str:
    r"""Return the text in characters that matplotlib's font has; it warns of all others.

    Raises:
        ImportError: matplotlib is not installed.

    >>> print(drawable("caf\xe9 \u6570.npy"))
    café \u6570.npy
    """
    from matplotlib.font_manager import FontProperties, findfont, get_font

    known = get_font(findfont(FontProperties())).get_charmap()
    shown = printable(text)
    return "".join(c if ord(c) in known else ascii(c)[1:-1] for c in shown)
