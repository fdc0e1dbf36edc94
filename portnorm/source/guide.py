"""The pages of the migration guide, as they are installed."""

from __future__ import annotations

import difflib
import importlib.resources
from collections.abc import Sequence
from pathlib import Path

from portnorm.errors import PortnormError
from portnorm.source.codes import CODES

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
        hint = _hint(wanted, names)
        raise UnknownPageError(f"expected a code or the name of a function, found {name}; {hint}")
    return _read(files[wanted])


def _hint(wanted: str, names: Sequence[str]) -> str:
    """Name those that begin so, or nearly so, or else those that are spelled alike."""
    lower = [name.lower() for name in names]
    for beginning in (wanted, wanted[:-1]):
        close = [name for name in lower if beginning and name.startswith(beginning)]
        if close:
            break
    close = close or difflib.get_close_matches(wanted, lower)
    listed = " or ".join(name for name in names if name.lower() in close)
    return f"close is {listed}" if listed else "`portnorm explain` lists them"


def _read(file: str) -> str:
    installed = importlib.resources.files("portnorm") / "migration_guide"
    source = Path(__file__).parents[2] / "migration_guide"
    folder = installed if installed.is_dir() else source
    return folder.joinpath(*file.split("/")).read_text(encoding="utf-8")
