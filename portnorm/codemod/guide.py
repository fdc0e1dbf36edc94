"""The pages of the migration guide, as they are installed."""

from __future__ import annotations

import difflib
import importlib.resources
from pathlib import Path

from portnorm.codemod.codes import CODES
from portnorm.errors import PortnormError

PAGES = {"normalize": "normalize.md", "l2normalize": "l2normalize.md"}
"""The mapping pages, by the names of the functions."""


class UnknownPageError(PortnormError):
    """There is no page of that name."""


def page(name: str) -> str:
    """Return the page for a code or a function, in Markdown.

    Args:
        name: a code, or "normalize" or "L2Normalize", with the names of their modules or without;
            upper and lower case are the same.

    Raises:
        UnknownPageError: it is neither.

    >>> page("pn001").splitlines()[0]
    '# PN001: file that cannot be read as Python'
    """
    files = {code.lower(): CODES[code].page for code in CODES} | PAGES
    wanted = name.rpartition(".")[2].lower()
    if wanted not in files:
        names = [*CODES, "normalize", "L2Normalize"]
        close = difflib.get_close_matches(wanted, [known.lower() for known in names], cutoff=0.5)
        listed = " or ".join(known for known in names if known.lower() in close)
        hint = f"close is {listed}" if listed else "`portnorm explain` lists them"
        raise UnknownPageError(f"expected a code or the name of a function, found {name}; {hint}")
    return _read(files[wanted])


def _read(file: str) -> str:
    installed = importlib.resources.files("portnorm") / "migration_guide"
    source = Path(__file__).parents[2] / "migration_guide"
    folder = installed if installed.is_dir() else source
    return folder.joinpath(*file.split("/")).read_text(encoding="utf-8")
