"""The charts: no text lies on another or leaves the picture, whatever the data."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pytest

from portnorm.compare import Comparison, charts
from portnorm.compare.histograms import Bin, NormBin
from tests.compare.made import comparison, mixed

pytest.importorskip("matplotlib")

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

if TYPE_CHECKING:
    from matplotlib.transforms import Bbox

FIGURES = {
    "norms": lambda found: charts.norms_figure(found, charts.LIGHT),
    "differences": lambda found: charts.differences_figure(found, charts.LIGHT),
    "overview": lambda found: charts.overview([found]),
}


def boxes(figure: Figure) -> list[tuple[str, Bbox]]:
    """Return the texts that are drawn, and where."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    hidden = set()  # labels of ticks beyond the ends of an axis
    for axes in figure.get_axes():
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not low <= tick.get_loc() <= high:
                    hidden |= {tick.label1, tick.label2}
    return [
        (text.get_text(), text.get_window_extent(canvas.get_renderer()))
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text().strip() and text not in hidden
    ]


def collisions(figure: Figure) -> list[tuple[str, str]]:
    """Return the pairs of texts that overlap, and the texts that the picture cuts."""
    drawn = boxes(figure)
    (left, bottom), (right, top) = figure.bbox.get_points()
    return [(one, other) for (one, a), (other, b) in combinations(drawn, 2) if a.overlaps(b)] + [
        (text, "the edge")
        for text, box in drawn
        if box.x0 < left or box.x1 > right or box.y0 < bottom or box.y1 > top
    ]


def spread(powers: int) -> Comparison:
    """Return a comparison with differences up to a power of two, and everything beside them."""
    found = comparison(mixed(np.random.default_rng(5)))
    zero, apart = Bin(0, 0, 900), Bin(math.inf, math.inf, 3)
    ulps = [Bin(2 ** (k - 1), 2**k - 1, k) for k in range(1, powers + 1)]
    decades = [(float(f"1e{k - 1}"), float(f"1e{k}")) for k in range(-12, powers - 12)]
    measurement = replace(
        found.measurement,
        ulps=(zero, *ulps, apart),
        gradients=(zero, *(Bin(*decade, 1) for decade in decades), apart),
        norms=tuple(NormBin(*decade, {"between": 3}) for decade in decades),
    )
    return replace(found, measurement=measurement)


@pytest.mark.parametrize("powers", [1, 7, 24, 25, 31, 61])
@pytest.mark.parametrize("name", FIGURES)
def test_no_text_lies_on_another(powers: int, name: str) -> None:
    assert collisions(FIGURES[name](spread(powers))) == []


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("value", [0.0, 1.0, 1e-300, 1.7e308, math.nan])
def test_no_text_lies_on_another_where_all_vectors_are_alike(value: float, name: str) -> None:
    assert collisions(FIGURES[name](comparison(np.full((4, 3), value)))) == []


def test_a_long_name_is_drawn_whole() -> None:
    found = replace(spread(7), name="folder_of_many_models/" * 15)
    figure = charts.overview([found, found])
    assert collisions(figure) == []
    shown = "".join(text for text, _ in boxes(figure)).replace("\n", "")
    assert shown.count(found.name) == 2


def test_texts_that_lie_on_each_other_are_found() -> None:
    figure = Figure((2, 2))
    axes = figure.add_subplot()
    axes.set_xticks([0, 0.1, 1], labels=["2^24", "NaN in one only", "far away and cut off"])
    assert ("2^24", "NaN in one only") in collisions(figure)
    assert ("far away and cut off", "the edge") in collisions(figure)


def test_what_rounding_explains_and_what_is_infinitely_far_apart_are_marked() -> None:
    figure = charts.differences_figure(spread(25), charts.LIGHT)
    values, gradients = figure.axes
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["values", "gradients"]
    assert values.lines[0].get_xdata()[0] == pytest.approx(math.log2(10))
    assert gradients.lines[0].get_xdata()[0] == pytest.approx(math.log10(2.24e-6), abs=1e-3)
    ends = [axes.get_xticklabels()[-1].get_text().split() for axes in figure.axes]
    assert ends == [["NaN", "in", "one", "only"], ["not", "finite", "in", "one", "only"]]
    assert "ULP" in values.get_xlabel()
    assert "relative" in gradients.get_xlabel()


def test_each_bar_stands_between_the_limits_of_its_bin() -> None:
    found = spread(5)
    values, gradients = charts.differences_figure(found, charts.LIGHT).axes
    inner = [bar for bar in values.patches if bar.get_x() >= 0][:-1]
    assert [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in inner] == [
        (k, k + 1) for k in range(5)
    ]
    inner = gradients.patches[:-2]  # without those of 0 and of what is infinite
    assert [round(bar.get_x()) for bar in inner] == [-13, -12, -11, -10, -9]
    assert [bar.get_height() for bar in gradients.patches[-2:]] == [900, 3]
