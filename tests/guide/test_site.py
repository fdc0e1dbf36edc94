"""The guide as a site: built as README says, and read in a browser."""

from __future__ import annotations

import functools
import http.server
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.compare.browser import chromium, complaints, emulate

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

for needed in ("sphinx", "myst_parser", "furo", "sphinx_copybutton", "jieba"):
    pytest.importorskip(needed)

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "migration_guide"
CHINESE = re.compile("[一-鿿]")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built by the command that README has."""
    (command,) = re.findall(r"`\.venv/bin/(sphinx-build [^`]+)`", (ROOT / "README.md").read_text())
    out = tmp_path_factory.mktemp("site")
    arguments = command.replace(" site", f" {out}").split()[1:]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return out


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A handler that prints nothing."""

    def log_message(self, format: str, *arguments: object) -> None:
        """Print nothing."""


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """The address of the site: a browser loads the index of the search from a server only."""
    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


def pages(site: Path) -> list[Path]:
    return [
        p for p in sorted(site.rglob("*.html")) if p.name not in ("search.html", "genindex.html")
    ]


def test_the_languages_are_apart(site: Path) -> None:
    from bs4 import BeautifulSoup

    assert len(pages(site)) > 50
    for page in pages(site):
        chinese = page.name.endswith(".zh.html")
        soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
        assert soup.html is not None
        assert soup.html["lang"] == ("zh" if chinese else "en")
        captions = [one.get_text() for one in soup.select(".sidebar-tree .caption")]
        assert [bool(CHINESE.search(one)) for one in captions] == [chinese] * len(captions)
        if not chinese:
            assert captions == ["Start", "Mapping", "How to", "Why", "Reference"]
        (switch,) = soup.select(".language-switch a")
        target = page.parent / str(switch["href"])
        assert target.name.endswith(".zh.html") != chinese
        assert target.is_file()
        for neighbour in soup.select(".related-pages a"):
            assert (".zh." in str(neighbour["href"])) == chinese


def test_a_page_leads_to_itself_in_the_other_language(site: Path) -> None:
    for english, chinese in (("index", "index.zh"), ("normalize", "normalize.zh")):
        assert f'<a href="{chinese}.html"' in (site / f"{english}.html").read_text()
        assert f'<a href="{english}.html"' in (site / f"{chinese}.html").read_text()


@pytest.mark.parametrize(("word", "page"), [("归一化", "normalize.zh"), ("normalize", "normalize")])
def test_the_search_finds_words_of_both_languages(
    word: str, page: str, browser: Chrome, address: str
) -> None:
    from selenium.webdriver.support.wait import WebDriverWait

    browser.get(f"{address}search.html?q={quote(word)}")
    WebDriverWait(browser, 30).until(lambda b: "Search finished" in b.page_source)
    found = browser.find_elements("css selector", "#search-results ul.search li > a")
    assert any(f"{address}{page}.html" in str(a.get_attribute("href")) for a in found)
    assert [c for c in complaints(browser) if "favicon" not in c] == []


COPY = """
const copied = [];  // what would go to the clipboard, which a browser without a window lacks
document.execCommand = () => copied.push(document.querySelector("body > textarea").value);
for (const button of document.querySelectorAll("button.copybtn")) button.click();
return copied;
"""


def commands(block: str) -> str:
    """Return what a reader types of a block: all of it where it has no prompts."""
    lines = re.findall(r"^(?:>>>|\.\.\.|\$|>)(?: (.*))?$", block, re.MULTILINE)
    return "\n".join(lines) if block.startswith((">>> ", "$ ")) else block.rstrip("\n")


@pytest.mark.parametrize("page", ["how-to/port", "how-to/float16", "how-to/strict"])
def test_copied_text_has_no_prompts_and_no_output(page: str, browser: Chrome, address: str) -> None:
    browser.get(f"{address}{page}.html")
    copied = [text.rstrip("\n") for text in browser.execute_script(COPY)]
    blocks = re.findall(r"^ *```\w*\n(.*?)^ *```$", (GUIDE / f"{page}.md").read_text(), re.S | re.M)
    assert copied == [commands(block) for block in blocks]


SIDEWAYS = """
const wrapper = [...document.querySelectorAll(".table-wrapper")]
    .sort((a, b) => b.scrollWidth - a.scrollWidth)[0];
wrapper.scrollLeft = 150;
const [first, second] = wrapper.querySelectorAll("tbody tr:first-child > *");
const left = box => box.getBoundingClientRect().left - wrapper.getBoundingClientRect().left;
return [wrapper.scrollLeft, left(first), left(second), first.clientWidth];
"""


@pytest.mark.parametrize("page", ["normalize", "normalize.zh", "reference/peers"])
def test_on_a_phone_the_first_column_stays(page: str, browser: Chrome, address: str) -> None:
    emulate(browser, width=400)
    browser.get(f"{address}{page}.html")
    scrolled, first, second, width = browser.execute_script(SIDEWAYS)
    assert scrolled == 150
    assert abs(first) <= 1
    assert second < width
    assert 80 < width < 180
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 400


PICTURE = """
const style = getComputedStyle(document.querySelector("article img"));
return [style.filter, style.mixBlendMode];
"""


def test_pictures_are_inverted_on_dark_pages_only(browser: Chrome, address: str) -> None:
    for scheme, expected in (
        ("light", ["none", "normal"]),
        ("dark", ["invert(1) hue-rotate(180deg)", "screen"]),
    ):
        emulate(browser, scheme=scheme)
        browser.get(f"{address}explanation/gradient.html")
        assert browser.execute_script(PICTURE) == expected
