"""The histograms as pictures: SVG that takes its colours from the page around it, and PNG.

Figures are drawn without pyplot, which would keep them in the process.
"""

from __future__ import annotations

import io
import math
import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from portnorm.compare.histograms import BINS_PER_DECADE, NormBin, UlpBin
from portnorm.compare.result import Result
from portnorm.compare.tolerances import values_tolerance
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

NAN_IN_ONE = "NaN in one only"

AS_WRITTEN: dict[str, Any] = {"parse_math": False, "usetex": False}
"""Arguments of matplotlib's texts that keep it from reading a dollar sign as TeX."""

_MOST_BARS = 64
_SMALLEST, _LARGEST = math.log10(5e-324), math.log10(sys.float_info.max)
_SIZE = 4.5  # inches wide: with 9 points, text is legible where a phone shows it
_POINTS = 9
_SVG_NAMESPACE = re.compile(r"\{[^}]*\}")
_REFERENCE = re.compile(r"#([\w-]+)")


class Palette(NamedTuple):
    """Colours: of text and lines, of what is less important, and of the classes."""

    ink: str
    muted: str
    classes: dict[str, str]
    bar: str


_COLOURS = ["#6e7781", "#c4480a", "#d99000", "#0068a8", "#a8508a"]
LIGHT = Palette("#1f2328", "#6e7781", dict(zip(CLASSES, _COLOURS, strict=True)), "#0068a8")
"""Colours on white paper; the classes differ in brightness, too."""

_VARIABLES = {f"#0102{place:02x}": name for place, name in enumerate(["ink", "muted", *CLASSES])}
"""Colours that stand for the custom properties of the style sheet."""

_BY_NAME = {name: colour for colour, name in _VARIABLES.items()}
THEMED = Palette(
    _BY_NAME["ink"],
    _BY_NAME["muted"],
    {name: _BY_NAME[name] for name in CLASSES},
    _BY_NAME["above_both"],
)


# --- bars -----------------------------------------------------------------------------------------


class Bar(NamedTuple):
    """One bar of the histogram of norms: vectors whose norm lies in [lower, upper)."""

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


def _exponent(norm: float) -> float:
    return min(max(math.log10(norm), _SMALLEST), _LARGEST) if norm > 0 else _SMALLEST


# --- drawing --------------------------------------------------------------------------------------


def draw_norms(axes: Axes, comparison: Result, colours: Palette) -> None:
    """Draw the histogram of the norms, with both floors."""
    found, floors = comparison.measurement, comparison.settings.floors
    bars = norm_bars(found.norms, floors)
    edges = [_exponent(edge) for bar in bars for edge in bar[:2]]
    edges += [_exponent(floor) for floor in floors if 0 < floor < math.inf]
    low, high = (math.floor(min(edges)), math.ceil(max(edges))) if edges else (-1, 1)
    low, high = (low, high) if high - low > 1 else (low - 1, high + 1)
    slot = (high - low) / 14
    beside = {"zero": (low - 2 * slot, "0"), "not_finite": (high + slot, "NaN\nor inf")}
    shown: dict[float, str] = {}
    for bar in bars:
        _stack(axes, _exponent(bar.lower), _exponent(bar.upper), bar.counts, colours)
    for name, (left, label) in beside.items():
        if found.counts[name]:
            _stack(axes, left, left + slot, {name: found.counts[name]}, colours)
            shown[left + slot / 2] = label
    _draw_floors(axes, floors, colours)
    step = max(1, math.ceil((high - low) / 6))
    shown |= {place: f"$10^{{{place}}}$" for place in range(low, high + 1, step)}
    axes.set_xticks(list(shown), labels=list(shown.values()))
    axes.set_xlim(*_limits([*shown, low, high], slot))
    _finish(axes, "2-norm of the vector", [sum(bar.counts.values()) for bar in bars], colours)


def _limits(places: Sequence[float], margin: float) -> tuple[float, float]:
    return min(places) - margin, max(places) + margin


def _stack(axes: Axes, left: float, right: float, counts: dict[str, int], colours: Palette) -> None:
    bottom = 0
    for name, count in counts.items():
        axes.bar(
            left,
            count,
            right - left,
            bottom,
            align="edge",
            color=colours.classes[name],
            edgecolor="none",
            label=CLASS_NAMES[name],
        )
        bottom += count


def _draw_floors(axes: Axes, floors: tuple[float, float], colours: Palette) -> None:
    rows = zip(("normalize", "L2Normalize"), floors, ("--", "-"), (1.02, 1.1), strict=True)
    for name, floor, line, height in rows:
        if not 0 < floor < math.inf:
            continue
        place = _exponent(floor)
        axes.axvline(place, color=colours.ink, linestyle=line, linewidth=1)
        axes.annotate(
            f"floor of {name}: {floor:.4g}",
            (place, height),
            xycoords=("data", "axes fraction"),
            color=colours.ink,
            fontsize=_POINTS - 1,
            ha="left" if name == "normalize" else "right",
            annotation_clip=False,
        )


def draw_ulps(
    axes: Axes, bins: Sequence[UlpBin], most: int, tolerance: int | None, colours: Palette
) -> None:
    """Draw a histogram of differences in ULP.

    Args:
        axes: to draw on.
        bins: the histogram.
        most: the last place on the axis, as `place` returns it.
        tolerance: what rounding explains, to be marked.
        colours: of the bars and the text.
    """
    beside = most + 2
    for one in bins:
        left = beside if math.isinf(one.lower) else place(one)
        axes.bar(left, one.vectors, 0.9, color=colours.bar, edgecolor="none")
    step = max(1, math.ceil(most / 7))
    ticks: dict[float, str] = {0: "0"}
    ticks |= {k: _power(k - 1) for k in range(1, most + 1, step)}
    if bins and math.isinf(bins[-1].lower):
        ticks[beside] = "NaN in\none only"
    if tolerance is not None:
        at = math.log2(tolerance) + 0.5
        axes.axvline(at, color=colours.ink, linestyle="--", linewidth=1)
        axes.annotate(
            f"rounding explains {tolerance}",
            (at, 1.02),
            xycoords=("data", "axes fraction"),
            color=colours.ink,
            fontsize=_POINTS - 1,
            annotation_clip=False,
        )
    axes.set_xticks(list(ticks), labels=list(ticks.values()))
    axes.set_xlim(-0.7, max([*ticks, most]) + 0.7)
    _finish(axes, "largest difference of the vector, in ULP", [b.vectors for b in bins], colours)


def place(one: UlpBin) -> int:
    """Return the place of a bin on the axis: 0 for no difference, 1 for 1 ULP, 2 for 2 or 3."""
    return int(one.lower).bit_length()


def _power(exponent: int) -> str:
    return str(2**exponent) if exponent < 10 else f"$2^{{{exponent}}}$"


def _finish(axes: Axes, label: str, counts: Sequence[int], colours: Palette) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel(label, color=colours.ink, fontsize=_POINTS)
    axes.set_ylabel("vectors", color=colours.ink, fontsize=_POINTS)
    axes.tick_params(colors=colours.ink, labelsize=_POINTS, which="both", width=0.6)
    if counts and max(counts) > 20 * min(counts):
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


def ulps_figure(comparison: Result, colours: Palette) -> Figure:
    """Return the histograms of the differences of values and of gradients."""
    from matplotlib.figure import Figure

    figure = Figure((_SIZE, 4.4), layout="constrained")
    upper, lower = figure.subplots(2)
    _draw_both_ulps(upper, lower, comparison, colours)
    return figure


def _draw_both_ulps(values: Axes, gradients: Axes, comparison: Result, colours: Palette) -> None:
    found = comparison.measurement
    for axes, name, bins, tolerance in [
        (values, "values", found.ulps, values_tolerance(comparison.length)),
        (gradients, "gradients", found.gradient_ulps, None),
    ]:
        places = [place(one) for one in bins if not math.isinf(one.lower)]
        most = max([*places, place(UlpBin(tolerance or 1, 0, 0)) + 1, 6])
        draw_ulps(axes, bins, most, tolerance, colours)
        axes.set_title(name, loc="left", color=colours.ink, fontsize=_POINTS, weight="bold", pad=14)


def png(comparisons: Sequence[Result]) -> bytes:
    """Return all histograms as a PNG: a row for each comparison.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    figure = Figure((13, 3.9 * len(comparisons)), dpi=150, layout="constrained", facecolor="white")
    rows = figure.subfigures(len(comparisons), squeeze=False, hspace=0.08)[:, 0]
    for row, comparison in zip(rows, comparisons, strict=True):
        heading = drawable(title(comparison))
        row.suptitle(heading, fontsize=_POINTS + 2, color=LIGHT.ink, **AS_WRITTEN)
        left, right = row.subfigures(1, 2, width_ratios=[1, 1.6])
        norms = left.subplots()
        draw_norms(norms, comparison, LIGHT)
        _add_legend(left, norms, LIGHT)
        values, gradients = right.subplots(1, 2)
        _draw_both_ulps(values, gradients, comparison, LIGHT)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", facecolor="white")
    return stream.getvalue()


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


# --- SVG ------------------------------------------------------------------------------------------


def svg(figure: Figure, prefix: str, name: str, description: str) -> str:
    """Return a figure that was drawn with `THEMED` as an element for a page of HTML.

    Args:
        figure: the figure.
        prefix: of the ids in it; no two elements of a page may have the same.
        name: the title.
        description: what there is to see, for those who do not see it.
    """
    stream = io.StringIO()
    # Dates and random ids would make no two reports of the same data equal.
    figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    root = ET.fromstring(stream.getvalue())
    _drop_namespaces(root)
    _rename_ids(root, prefix)
    _drop(root, "metadata")
    _drop(root, "defs/style")  # it would hold for the whole page
    size = root.attrib["viewBox"]
    root.attrib.clear()
    root.attrib |= {"viewBox": size, "role": "img"}
    root.attrib["aria-labelledby"] = f"{prefix}-title"
    root.attrib["aria-describedby"] = f"{prefix}-description"
    root.attrib["style"] = "stroke-linejoin: round; stroke-linecap: butt"
    for tag, text in (("desc", description), ("title", name)):
        child = ET.Element(tag, id=f"{prefix}-{'title' if tag == 'title' else 'description'}")
        child.text = text
        root.insert(0, child)
    return ET.tostring(root, encoding="unicode")


def _drop_namespaces(root: ET.Element) -> None:
    """HTML knows SVG by its tags, and has no prefixes."""
    for element in root.iter():
        element.tag = _SVG_NAMESPACE.sub("", element.tag)
        element.attrib = {_SVG_NAMESPACE.sub("", k): v for k, v in element.attrib.items()}


def _drop(root: ET.Element, path: str) -> None:
    for parent in root.findall(f"{path}/.."):
        for child in parent.findall(path.rpartition("/")[2]):
            parent.remove(child)


def _rename_ids(root: ET.Element, prefix: str) -> None:
    old = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
    new: dict[str, str] = {name: f"{prefix}-{rank}" for rank, name in enumerate(dict.fromkeys(old))}

    def renamed(match: re.Match[str]) -> str:
        if match[0] in _VARIABLES:
            return f"var(--{_VARIABLES[match[0]].replace('_', '-')})"
        return f"#{new.get(match[1], match[1])}"

    for element in root.iter():
        attributes: dict[str, Any] = element.attrib
        for key, value in attributes.items():
            attributes[key] = new[value] if key == "id" else _REFERENCE.sub(renamed, value)
