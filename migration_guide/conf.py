"""The guide as a site: `sphinx-build -W -b html migration_guide site`.

The trees of contents are the lists of links in README.md and README.zh.md, so that they are written
once; each heading there is a caption. Pages in Chinese end in `.zh.md`, and lie beside the English.
"""

from __future__ import annotations

import gettext
import re
from pathlib import Path
from typing import Any

import jieba
import sphinx.locale
from bs4 import BeautifulSoup
from sphinx.search.zh import SearchChinese

import portnorm

project = "portnorm"
author = "The portnorm developers"
copyright = author
version = release = portnorm.__version__

extensions = ["myst_parser", "sphinx_copybutton"]
myst_heading_anchors = 3
copybutton_prompt_text = r">>> |\.\.\. ?|\$ |> ?"
copybutton_prompt_is_regexp = True
html_theme = "furo"
html_title = f"portnorm {version}"
html_show_copyright = False
html_static_path = ["_site/static"]
html_css_files = ["guide.css"]
templates_path = ["_site/templates"]
html_search_language = "zh"  # which also takes words in Latin letters, as English
jieba.setLogLevel("WARNING")
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "language.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}
exclude_patterns = ["_site", "data", "README.md", "README.zh.md"]

GUIDE = Path(__file__).parent
_LINK = re.compile(r"\[([^]]+)\]\(([\w./-]+)\.md\)")
_SECTION = re.compile(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_CHINESE = ".zh"


def _trees(readme: str) -> str:
    """Return a tree of contents for each section of a README, with its heading as the caption."""
    return "".join(
        _tree(
            [f"{text.replace('`', '')} <{page}>" for text, page in _LINK.findall(links)],
            f":caption: {heading}\n",
        )
        for heading, links in _SECTION.findall((GUIDE / readme).read_text(encoding="utf-8"))
    )


def _tree(entries: list[str], options: str = "") -> str:
    lines = "\n".join(entries)
    return f"\n```{{toctree}}\n:hidden:\n{options}\n{lines}\n```\n"


def _complete(app: Any, docname: str, source: list[str]) -> None:
    """Make the first pages of the READMEs, and put the page of each code below the table of all."""
    if docname in ("index", f"index{_CHINESE}"):
        readme = (GUIDE / f"{docname.replace('index', 'README')}.md").read_text(encoding="utf-8")
        source[0] += readme.replace("(README.", "(index.")
    if docname == "index":
        source[0] += _trees("README.md") + _trees("README.zh.md")
    elif docname == "reference/codes":
        source[0] += _tree([page for _, page in _LINK.findall(source[0]) if "/checks/" in page])


def _set_language(app: Any, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Keep the languages apart: the tree, the neighbours, the theme's words; fill the switch."""
    chinese = page.endswith(_CHINESE)
    context["language"] = "zh" if chinese else "en"
    other = page.removesuffix(_CHINESE) if chinese else page + _CHINESE
    other = other if other in app.env.all_docs else "index" + ("" if chinese else _CHINESE)
    context["other_language"] = context["pathto"](other)
    for neighbour in ("prev", "next"):
        link = (context.get(neighbour) or {}).get("link", "")
        if (f"{_CHINESE}." in link) != chinese:
            context[neighbour] = None
    if chinese:
        for name in ("_", "gettext"):
            context[name] = _translated
    whole = context.get("toctree")
    if whole is not None:
        context["toctree"] = lambda **options: _in_language(whole(**options), chinese)


def _in_language(tree: str, chinese: bool) -> str:
    """Leave the parts of the tree whose captions are in a language."""
    soup = BeautifulSoup(tree, "html.parser")
    for caption in soup.find_all("p", class_="caption"):
        if caption.get_text().isascii() == chinese:
            caption.find_next_sibling("ul").decompose()
            caption.decompose()
    return str(soup)


_WORDS_OF_THE_THEME = {"Back to top": "返回顶部", "On this page": "本页内容", "Home": "首页"}


_OF_SPHINX = gettext.translation(
    "sphinx", str(Path(sphinx.locale.__file__).parent), ["zh_CN"], fallback=True
)


def _translated(text: str) -> str:
    return _WORDS_OF_THE_THEME.get(text) or _OF_SPHINX.gettext(text)


class Search(SearchChinese):
    """Words of both languages; the stemmer, in the browser too, is for those in Latin letters."""

    language_name = "English"  # Sphinx 9.0 asks the browser for a stemmer of this language


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.add_search_language(Search)
    app.connect("source-read", _complete)
    app.connect("html-page-context", _set_language, priority=400)  # before the theme
