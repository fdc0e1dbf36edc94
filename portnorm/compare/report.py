"""A comparison as a page of HTML that needs nothing else: no network, no other file."""

from __future__ import annotations

import base64
import functools
import hashlib
import math
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from portnorm.compare import charts, render, svg
from portnorm.compare.charts import CLASS_NAMES
from portnorm.compare.result import Result
from portnorm.compare.tolerances import gradient_tolerance, values_tolerance
from portnorm.semantics import L2NORMALIZE, NORMALIZE

if TYPE_CHECKING:
    from jinja2 import Environment

    from portnorm.compare.histograms import Bin

_ROWS = 25
_NO_LIMIT = 10**6


class Chart(NamedTuple):
    """A picture, and the same as a table."""

    svg: str
    caption: str
    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def page(comparisons: Sequence[Result]) -> str:
    """Return a page of HTML with a section for each comparison.

    Raises:
        ImportError: jinja2 or matplotlib is not installed.
    """
    from markupsafe import Markup

    environment = _environment()
    script, style = (_source(environment, name) for name in ("report.js", "report.css"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("page.html").render(
        sections=[_section(one, f"s{rank}") for rank, one in enumerate(comparisons, 1)],
        agree=all(one.agrees for one in comparisons),
        script=Markup(script),
        script_digest=digest,
        style=Markup(style),
    )


def fragment(comparison: Result) -> str:
    """Return one comparison as HTML for a notebook, which runs no scripts of ours.

    Without jinja2 it is a table of what `Result.summary` says, and without matplotlib it has
    no pictures.
    """
    try:
        from markupsafe import Markup

        environment = _environment()
    except ImportError:
        return _light_table(comparison)
    digest = hashlib.sha256(comparison.to_json().encode()).hexdigest()[:12]
    return environment.get_template("fragment.html").render(
        one=_section(comparison, f"portnorm-{digest}"),
        style=Markup(_source(environment, "report.css")),
    )


def _light_table(comparison: Result) -> str:
    table = ET.Element("table")
    for line in render.lines(comparison, _NO_LIMIT):
        row = ET.SubElement(table, "tr")
        ET.SubElement(row, "th", style="text-align: left").text = line.label
        ET.SubElement(row, "td", style="text-align: left").text = line.text
    return ET.tostring(table, encoding="unicode", method="html")


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("portnorm.compare"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["legend"] = render.LEGEND
    environment.filters |= {"count": _count, "ulp": _ulp, "short": _short, "sort_value": _value}
    environment.filters["breakable"] = lambda name: Markup("<wbr>(").join(name.split("("))
    return environment


def _source(environment: Environment, name: str) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


# --- what a section shows -------------------------------------------------------------------------


def _section(comparison: Result, prefix: str) -> dict[str, Any]:
    found = comparison.measurement
    return {
        "id": prefix,
        "name": charts.title(comparison),
        "agrees": comparison.agrees,
        "verdict": comparison.headline,
        "calls": {} if comparison.agrees else comparison.calls,
        "covered": comparison.covered,
        "classes": [(CLASS_NAMES[name], n) for name, n in found.counts.items()],
        "examples": [
            {"label": label.strip(), "text": text} for label, text in render.heads(comparison)
        ],
        "charts": _charts(comparison, prefix),
        "rows": [
            {"rank": rank, "position": comparison.position(row.vector), "row": row}
            for rank, row in enumerate(comparison.worst(_ROWS), 1)
        ],
        "class_names": CLASS_NAMES,
        "vectors": comparison.vectors,
        "changed": found.changed,
        "settings": _settings(comparison),
    }


def _settings(comparison: Result) -> list[tuple[str, str]]:
    given, by = comparison.settings, comparison.computed_by
    n, found = comparison.length, comparison.measurement
    cotangent = "given" if given.seed is None else f"random normal, seed {given.seed}"
    return [
        ("array", f"{given.dtype} {comparison.shape}"),
        ("vectors", f"{comparison.vectors} of {n} values, along dim {given.dim}"),
        (
            "defaults",
            f"normalize runs along dim {NORMALIZE.axis}, L2Normalize along axis "
            f"{L2NORMALIZE.axis}, unless told otherwise",
        ),
        ("normalize", f"p={given.p}, eps={given.eps}; computed by {by['normalize']}"),
        ("L2Normalize", f"epsilon={given.epsilon}; computed by {by['l2_normalize']}"),
        ("gradient of L2Normalize", f"computed by {by['l2_normalize_gradient']}"),
        ("floors of the norm", " and ".join(f"{floor:.6g}" for floor in given.floors)),
        ("cotangent", cotangent),
        ("gradients", f"measured on {found.gradients_measured} of {comparison.vectors} vectors"),
        ("rounding explains, of values", f"{values_tolerance(n)} ULP"),
        ("rounding explains, of gradients", f"{gradient_tolerance(n, given.dtype):.3g} relative"),
        *((f"version of {name}", version) for name, version in comparison.versions.items()),
    ]


def _charts(comparison: Result, prefix: str) -> list[Chart]:
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        return []
    return [_norms_chart(comparison, prefix), _differences_chart(comparison, prefix)]


def _norms_chart(comparison: Result, prefix: str) -> Chart:
    found, given = comparison.measurement, comparison.settings
    counts = {name: n for name, n in found.counts.items() if n}
    caption = "Norms of the vectors, and the floors below which the functions divide by a constant."
    if given.p != 2:
        caption += f" The floor of normalize holds for the {given.p:g}-norm."
    if not given.floors[0] > 0:
        caption += f" normalize has no floor here: its eps is {given.floors[0]:g}."
    description = (
        f"Histogram of the norms of {comparison.vectors} vectors on a logarithmic axis. The floor "
        f"of normalize is {given.floors[0]:.4g}, that of L2Normalize {given.floors[1]:.4g}. "
        + "; ".join(f"{n} {CLASS_NAMES[name]}" for name, n in counts.items())
        + ". The table below has the numbers."
    )
    bars = charts.norm_bars(found.norms, given.floors)
    rows = [(f"{bar.lower:.3g} to {bar.upper:.3g}", *_classes(bar.counts)) for bar in bars]
    for name in ("zero", "not_finite"):
        if name in counts:
            rows.append((CLASS_NAMES[name], CLASS_NAMES[name], _count(counts[name])))
    figure = charts.norms_figure(comparison, svg.THEMED)
    picture = svg.element(figure, f"{prefix}-norms", "Norms of the vectors", description)
    return Chart(picture, caption, ("norm", "class", "vectors"), rows)


def _classes(counts: dict[str, int]) -> tuple[str, str]:
    names = " / ".join(CLASS_NAMES[name] for name in counts)
    return names, " / ".join(_count(n) for n in counts.values())


def _differences_chart(comparison: Result, prefix: str) -> Chart:
    found = comparison.measurement
    values, gradients = both = charts.differences(comparison)
    name = "Differences of values and gradients"
    caption = "Largest difference of each vector: of values in ULP, of gradients relative."
    description = (
        f"Two histograms. {found.values_changed} of {comparison.vectors} vectors change their "
        f"values by more than the {values.tolerance} ULP that rounding explains; the largest "
        f"difference is {_ulp(found.ulp)}. {found.gradients_changed} of "
        f"{found.gradients_measured} change their gradients by more than "
        f"{gradients.tolerance:.3g} relative; the largest difference is "
        f"{_short(found.gradient_relative)}. The table below has the numbers."
    )
    rows = [(one.of, _range(bin, one), _count(bin.vectors)) for one in both for bin in one.bins]
    figure = charts.differences_figure(comparison, svg.THEMED)
    picture = svg.element(figure, f"{prefix}-differences", name, description)
    return Chart(picture, caption, ("of", "difference", "vectors"), rows)


def _range(one: Bin, differences: charts.Differences) -> str:
    lower, upper, _ = one
    if math.isinf(upper):
        return differences.infinite
    if differences.unit != "ULP":
        return f"{lower:.3g} to {upper:.3g}" if upper else "0"
    return f"{lower:,} to {upper:,} ULP" if lower != upper else f"{lower:,} ULP"


def _count(number: float) -> str:
    return f"{number:,}"


def _ulp(number: float | None) -> str:
    if number is None:
        return "not measured"
    return "NaN in one only" if math.isinf(number) else _count(number)


def _short(number: float | None) -> str:
    return "not measured" if number is None else f"{number:.4g}"


def _value(number: float | None) -> str:
    """Return a number as the script of the page reads it; "" is sorted last."""
    if number is None or math.isnan(number):
        return ""
    return "Infinity" if number == math.inf else str(number)
