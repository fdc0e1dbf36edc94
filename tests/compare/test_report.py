"""The report: what it holds, and what a browser makes of it."""

from __future__ import annotations

import hashlib
import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from portnorm.compare import charts, render, report
from portnorm.compare.charts import norm_bars
from portnorm.compare.histograms import NormBin
from tests.compare.browser import chromium, complaints, edges, emulate, luminance, requested
from tests.compare.made import comparison, mixed
from tests.imports.blocked import run_python

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")

from matplotlib.mathtext import MathTextParser

CHARTS = "Differences of values and gradients"
HOSTILE = "</script><img src=x onerror=alert(1)>\x1b.npy"


@pytest.fixture(scope="module")
def html() -> str:
    rng = np.random.default_rng(5)
    some = comparison(mixed(rng), HOSTILE)
    others = np.full((2, 3), 2, np.float32), np.zeros((4, 2)), rng.standard_normal((2, 3, 4))
    return report.page([some, *map(comparison, others)])


# --- without a browser ----------------------------------------------------------------------------


def test_the_page_needs_nothing_else(html: str) -> None:
    assert not re.search(r"""(src|href)=["'](?!#|data:)""", html)
    assert "url(http" not in html
    assert "@import" not in html


def test_names_are_shown_and_not_obeyed(html: str) -> None:
    assert HOSTILE.replace("\x1b", "") not in html
    assert "&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;\\x1b.npy" in html


def test_ids_are_unique_and_references_lead_to_them(html: str) -> None:
    ids = re.findall(r'\bid="([^"]*)"', html)
    assert len(ids) == len(set(ids))
    used = re.findall(r'(?:href="|url\()#([\w-]+)', html)
    labels = " ".join(re.findall(r'aria-(?:labelled|described)by="([^"]*)"', html)).split()
    assert used
    assert labels
    assert {*used, *labels} <= set(ids)


def test_no_colour_that_stands_for_another_is_left(html: str) -> None:
    assert "#0102" not in html
    assert html.count("var(--above-both)") > 4


def test_the_same_data_give_the_same_report(html: str) -> None:
    x = mixed(np.random.default_rng(5))
    assert report.page([comparison(x)]) == report.page([comparison(x)])


def test_words_are_explained_and_calls_say_what_they_cover() -> None:
    some = comparison(mixed(np.random.default_rng(5)))
    covered = "covers values; for gradients too, parity=&#39;strict&#39;"
    for shown in (report.page([some]), some._repr_html_()):
        assert render.LEGEND in shown
        assert shown.index("covers values and gradients") < shown.index(covered)
    assert " ".join(render.LEGEND.split()) in " ".join(some.summary().split())


def test_gradients_have_no_differences_in_ulp(html: str) -> None:
    headings = re.findall(r'<th scope="col"[^>]*>([^<]*)</th>', html.partition('"sortable"')[2])[:8]
    assert headings[5:] == ["values, ULP", "values, relative", "gradients, relative"]
    rows = re.findall(r"<tr><td>gradients</td><td[^>]*>([^<]*)</td>", html)
    assert rows
    assert not [row for row in rows if "ULP" in row]


def test_what_changes_leads() -> None:
    some = [comparison(mixed(np.random.default_rng(seed))) for seed in (5, 6)]
    shown = report.page(some)
    for one in some:
        finding = re.escape(f"{one.measurement.changed} of 300 vectors change; worst")
        assert (
            len(re.findall(finding, shown.partition("<nav")[2])) >= 2
        )  # and in the list of arrays


def test_an_array_without_vectors_has_a_report() -> None:
    assert "<svg" in report.page([comparison(np.ones((0, 3)))])


def test_a_png_shows_every_comparison() -> None:
    one = comparison(mixed(np.random.default_rng(5)))
    heights = []
    for count in (1, 2):
        data = charts.png([one] * count)
        assert data[:8] == b"\x89PNG\r\n\x1a\n"
        heights.append(int.from_bytes(data[20:24], "big"))
    assert heights[1] == 2 * heights[0]


HOSTILE_NAMES = ["$\\frac{$.npy", "a$b$c.npy", "a\nb.npy", "数据.npy", "\udcff.npy", "\u202e.npy"]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_names_are_drawn_as_they_are_written(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    parse = MathTextParser.parse

    def spy(self: Any, text: str, *rest: Any, **more: Any) -> Any:
        read.append(text)
        return parse(self, text, *rest, **more)

    monkeypatch.setattr(MathTextParser, "parse", spy)
    one = comparison(mixed(np.random.default_rng(5), 20), name)
    assert charts.png([one])[:4] == b"\x89PNG"  # and no warning, of a glyph that is missing
    assert report.page([one]).encode()
    assert read
    assert not [text for text in read if ".npy" in text]


# --- bars -----------------------------------------------------------------------------------------


def test_bars_hold_all_vectors_and_span_no_floor(rng: np.random.Generator) -> None:
    found = comparison(mixed(rng, 2000))
    floors = found.settings.floors
    bars = norm_bars(found.measurement.norms, floors)
    assert len(bars) < 80
    totals: dict[str, int] = {}
    for bar in bars:
        assert not any(bar.lower < floor < bar.upper for floor in floors)
        for name, count in bar.counts.items():
            totals[name] = totals.get(name, 0) + count
    counts = found.measurement.counts
    assert totals == {name: n for name, n in counts.items() if name in totals}
    assert sum(totals.values()) == 2000 - counts["zero"] - counts["not_finite"]


def test_bars_of_the_smallest_and_largest_norms() -> None:
    ends = [NormBin(0.0, 1e-323, {"below_both": 1}), NormBin(1e308, math.inf, {"above_both": 2})]
    assert [bar.counts for bar in norm_bars(ends, (1e-12, 0.01))] == [one.counts for one in ends]


@pytest.mark.parametrize("value", [5e-324, 1e-300, 1.0, 1.7e308])
def test_extreme_norms_are_drawn(value: float) -> None:
    assert "<svg" in report.page([comparison(np.array([[value, 0.0], [0.0, value]]))])


# --- notebooks ------------------------------------------------------------------------------------


def test_a_notebook_gets_charts_and_no_script() -> None:
    found = comparison(mixed(np.random.default_rng(5)), HOSTILE)
    shown = found._repr_html_()
    assert "<svg" in shown
    assert "<script" not in shown
    digest = hashlib.sha256(found.to_json().encode()).hexdigest()[:12]
    assert f'id="portnorm-{digest}"' in shown


@pytest.mark.parametrize(("blocked", "pictures"), [([], 2), (["jinja2"], 0), (["matplotlib"], 0)])
def test_a_notebook_without_the_tools_gets_tables(blocked: list[str], pictures: int) -> None:
    code = """
import numpy as np
from tests.compare.made import comparison
print(comparison(np.float32([[1, 2], [0, 4e-9]]), "<name>")._repr_html_())
"""
    shown = run_python(code, blocked=blocked)
    assert shown.count("<svg") == pictures
    assert "2 of 2 vectors change" in shown
    assert "&lt;name&gt;" in shown
    assert "<name>" not in shown


# --- in a browser ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(scope="module")
def address(html: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(html, encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def opened(browser: Chrome, address: str) -> Chrome:
    emulate(browser)
    complaints(browser)
    requested(browser, address)
    browser.get(address)
    return browser


def column(browser: Chrome, place: int) -> list[str]:
    """Return the values by which the first table of rows is sorted, from top to bottom."""
    return browser.execute_script(
        "return [...document.querySelector('table.sortable').tBodies[0].rows]"
        ".map((row) => row.cells[arguments[0]].dataset.value)",
        place,
    )


def headings(browser: Chrome) -> list[Any]:
    return browser.find_elements("css selector", "table.sortable thead th")[:8]


def test_nothing_is_wrong_and_nothing_is_asked_for(opened: Chrome, address: str) -> None:
    assert complaints(opened) == []
    assert [url for url in requested(opened, address) if not url.startswith("data:")] == [address]


def test_a_page_that_asks_for_something_would_be_found_out(
    browser: Chrome, tmp_path: Path, html: str
) -> None:
    for planted, is_found in [
        ('<img src="http://127.0.0.1:9/x.png">', lambda: len(complaints(browser)) > 0),
        ("<script>null.x</script>", lambda: len(complaints(browser)) > 0),
    ]:
        path = tmp_path / "planted.html"
        path.write_text(html.replace("<main", f"{planted}<main"), encoding="utf-8")
        complaints(browser)
        browser.get(path.as_uri())
        assert is_found()
    path.write_text('<img src="http://127.0.0.1:9/x.png">')
    browser.get(path.as_uri())
    assert "http://127.0.0.1:9/x.png" in requested(browser, path.as_uri())


@pytest.mark.parametrize("width", [1000, 400])
def test_charts_have_size_and_a_text_in_their_place(opened: Chrome, width: int) -> None:
    emulate(opened, width=width)
    pictures = opened.find_elements("css selector", "figure svg")
    assert len(pictures) == 8
    for picture in pictures:
        assert picture.rect["width"] > 250
        assert picture.rect["height"] > 150
        assert picture.aria_role in ("img", "image")
        assert picture.accessible_name in ("Norms of the vectors", CHARTS)
    drawn = opened.execute_script(
        "return [...document.querySelectorAll('figure svg')].map("
        "(svg) => [...svg.querySelectorAll('path')].filter("
        "(path) => path.getBoundingClientRect().height > 20).length)"
    )
    assert min(drawn) >= 2
    assert len(opened.find_elements("css selector", "figure details table tbody tr")) > 40


def test_both_floors_are_drawn_and_labelled(html: str) -> None:
    found = comparison(mixed(np.random.default_rng(5)))
    figure = charts.norms_figure(found, charts.LIGHT)
    (axes,) = figure.axes
    lines = [line.get_xdata()[0] for line in axes.lines]
    assert lines == pytest.approx([-12, -2], abs=1e-6)
    labels = [text.get_text() for text in axes.texts]
    assert labels == ["floor of normalize: 1e-12", "floor of L2Normalize: 0.01"]


@pytest.mark.parametrize("way", ["click", "keyboard"])
def test_the_worst_rows_can_be_sorted(opened: Chrome, way: str) -> None:
    from selenium.webdriver.common.keys import Keys

    norms = headings(opened)[2]
    button = norms.find_element("tag name", "button")
    activate: Callable[[], None] = (
        button.click if way == "click" else lambda: button.send_keys(Keys.ENTER)
    )
    before = column(opened, 2)
    activate()
    finite = [float(value) for value in column(opened, 2) if value]
    assert finite == sorted(finite) != [float(value) for value in before if value]
    assert sorted(column(opened, 2)) == sorted(before)
    assert norms.get_attribute("aria-sort") == "ascending"
    assert headings(opened)[0].get_attribute("aria-sort") is None
    activate()
    assert [float(value) for value in column(opened, 2) if value] == finite[::-1]
    assert norms.get_attribute("aria-sort") == "descending"
    assert opened.find_element("id", "status").get_attribute("textContent").startswith("sorted by")
    headings(opened)[0].find_element("tag name", "button").click()
    assert column(opened, 2) == before


def test_infinite_differences_are_sorted_as_the_largest(opened: Chrome) -> None:
    button = headings(opened)[6].find_element("tag name", "button")
    button.click()
    values = [float(value) for value in column(opened, 6)]
    assert values == sorted(values)


def test_copying_is_reached_by_keyboard_and_copies_the_call(opened: Chrome) -> None:
    from selenium.webdriver.common.keys import Keys

    for permission in ("clipboardReadWrite", "clipboardSanitizedWrite"):
        opened.execute_cdp_cmd("Browser.grantPermissions", {"permissions": [permission]})
    body = opened.find_element("tag name", "body")
    for _ in range(40):
        body.send_keys(Keys.TAB)
        focused = opened.switch_to.active_element
        if focused.get_attribute("data-copies"):
            break
    assert focused.text == "Copy"
    focused.send_keys(Keys.SPACE)
    assert focused.text == "Copied"
    selected = opened.execute_script("return getSelection().toString()")
    assert selected == "portnorm.mindspore.normalize(x, dim=1)"


def test_the_page_is_as_wide_as_a_phone(opened: Chrome) -> None:
    emulate(opened, width=400)
    width = opened.execute_script("return document.documentElement.scrollWidth")
    assert width == 400
    wide = opened.find_elements("css selector", ".scroll")
    assert wide
    assert all(one.get_attribute("tabindex") == "0" for one in wide)
    assert all(one.get_attribute("aria-label") for one in wide)


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_colours_follow_the_preference(opened: Chrome, scheme: str, dark: bool) -> None:
    emulate(opened, scheme=scheme)
    main = opened.find_element("tag name", "main")
    paper, ink = (main.value_of_css_property(name) for name in ("background-color", "color"))
    assert (luminance(paper) < luminance(ink)) == dark
    drawn = opened.execute_script(
        "return [...document.querySelectorAll('figure svg path')]"
        ".map((path) => getComputedStyle(path).stroke).filter((s) => s.startsWith('rgb'))"
    )
    assert drawn
    assert any((luminance(one) > 0.5) == dark for one in drawn)


# What people see of texts, also in charts, and of bars: their colour and that of what is behind.
SEEN = """
const paper = (element) => {
  for (; element; element = element.parentElement) {
    const colour = getComputedStyle(element).backgroundColor;
    if (!/, 0\\)$/.test(colour)) return colour;
  }
  return 'rgb(255, 255, 255)';
};
const found = {};
for (const element of document.querySelectorAll('.portnorm *')) {
  const words = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  if (words && !element.closest('svg') && element.checkVisibility()) {
    found[[getComputedStyle(element).color, paper(element), 'text']] = 1;
  }
}
for (const shape of document.querySelectorAll('figure svg :is(path, use):not(defs *)')) {
  const fill = getComputedStyle(shape).fill;
  const kind = shape.tagName === 'use' ? 'text' : 'bar';
  if (fill.startsWith('rgb(')) found[[fill, paper(shape), kind]] = 1;
}
return Object.keys(found).map((key) => [...key.match(/rgb[^)]*\\)/g), key.split(',').pop()]);
"""


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted(map(luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_and_bars_stand_out(opened: Chrome, scheme: str) -> None:
    emulate(opened, scheme=scheme)
    seen = opened.execute_script(SEEN)
    assert {kind for *_, kind in seen} == {"text", "bar"}
    assert len(seen) > 8
    least = {"text": 4.5, "bar": 3}  # WCAG 2.2, 1.4.3 and 1.4.11
    assert [one for one in seen if contrast(*one[:2]) < least[one[2]]] == []


@pytest.fixture(scope="module")
def fragment(tmp_path_factory: pytest.TempPathFactory) -> str:
    shown = comparison(mixed(np.random.default_rng(5)), HOSTILE)._repr_html_()
    path = tmp_path_factory.mktemp("notebook") / "fragment.html"
    head = (
        '<!DOCTYPE html><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    )
    path.write_text(f'{head}<body style="margin: 0">{shown}', encoding="utf-8")
    return path.as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "scrolls"), [(400, True), (1280, False)])
@pytest.mark.parametrize("shown", ["address", "fragment"])
def test_a_table_that_scrolls_shows_that_there_is_more(
    browser: Chrome,
    request: pytest.FixtureRequest,
    shown: str,
    width: int,
    scrolls: bool,
    scheme: str,
) -> None:
    browser.get(request.getfixturevalue(shown))
    emulate(browser, width=width, scheme=scheme)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    region = browser.find_element("css selector", ".scroll")
    paper = browser.find_element("css selector", ".portnorm").value_of_css_property(
        "background-color"
    )
    assert (region.get_property("scrollWidth") > region.get_property("clientWidth")) == scrolls
    shadows = [contrast(edge, paper) > 1.5 for edge in edges(browser, region)]
    assert shadows == [False, scrolls]
    browser.execute_script("arguments[0].scrollLeft = 1e6", region)
    shadows = [contrast(edge, paper) > 1.5 for edge in edges(browser, region)]
    assert shadows == [scrolls, False]


def test_paper_has_no_buttons_and_all_columns(opened: Chrome) -> None:
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    buttons = opened.find_elements("css selector", "button[data-copies]")
    assert buttons
    assert not any(button.is_displayed() for button in buttons)
    region = opened.find_element("css selector", ".scroll")
    assert region.value_of_css_property("overflow-x") == "visible"
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_pictures_are_well_formed(html: str) -> None:
    pictures = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(pictures) == 8
    for picture in pictures:
        assert [child.tag for child in ET.fromstring(picture)][:2] == ["title", "desc"]
