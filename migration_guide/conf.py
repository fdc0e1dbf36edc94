"""The guide as a site: `sphinx-build -W -b html migration_guide site`."""

from __future__ import annotations

import re
from typing import Any

import portnorm

project = "portnorm"
author = "The portnorm developers"
copyright = author
version = release = portnorm.__version__

extensions = ["myst_parser"]
myst_heading_anchors = 3
root_doc = "README"
html_theme = "furo"
html_title = f"portnorm {version}"
html_show_copyright = False
exclude_patterns = ["data"]

_LINK = re.compile(r"\]\(([\w./-]+\.md)\)")
_INDEXES = {root_doc: "", "reference/codes": "../checks/"}
"""Pages whose links make the tree, and how the links begin that do."""


def _append_toctree(app: Any, name: str, source: list[str]) -> None:
    """Make the order of README's links that of the site; on a repository page they suffice."""
    if name not in _INDEXES:
        return
    links = dict.fromkeys(_LINK.findall(source[0]))
    pages = "\n".join(link for link in links if link.startswith(_INDEXES[name]))
    source[0] += f"\n```{{toctree}}\n:hidden:\n\n{pages}\n```\n"


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _append_toctree)
