"""The pages of the migration guide, as they are installed."""

from __future__ import annotations

import difflib
import importlib.resources
from collections.abc import Sequence
from pathlib import Path

from portnorm.errors import PortnormError
from portnorm.source.codes import CODES

FUNCTIONS = {"normalize": "normalize.md", "L2Normalize": "l2normalize.md"}
"""The mapping pages, by the names of the functions."""

WORDS = {
    "bits": "explanation/bits.md",
    "cuda": "how-to/cuda.md",
    "defects": "explanation/defects.md",
    "epsilon": "explanation/where-epsilon-sits.md",
    "float16": "how-to/float16.md",
    "gradient": "explanation/gradient.md",
    "graph": "how-to/graph.md",
    "precision": "how-to/mixed-precision.md",
    "sharded": "how-to/sharded.md",
    "strict": "explanation/promises.md",
}
"""Pages about one thing, by a word for it."""

_PAGES = {**{code: CODES[code].page for code in CODES}, **FUNCTIONS, **WORDS}
NAMES = tuple(_PAGES)
"""Everything that has a page."""


class UnknownPageError(PortnormError):
    """There is no page of that name."""


def page(name: str) -> str:
    """Return the page for a code, a function or a word, in Markdown.

    Args:
        name: one of `NAMES`, functions also with the names of their modules; upper and lower case
            are the same.

    Raises:
        UnknownPageError: it is none of these.

    >>> page("pn001").splitlines()[0]
    '# PN001: file that cannot be read as Python'
    """
    files = {known.lower(): page for known, page in _PAGES.items()}
    wanted = name.rpartition(".")[2].lower()
    if wanted not in files:
        hint = _hint(wanted, NAMES)
        raise UnknownPageError(
            f"expected a code, the name of a function or one of {', '.join(WORDS)}, "
            f"found {name}; {hint}"
        )
    return _read(files[wanted])


def title(name: str) -> str:
    """Return the first line of a page.

    >>> title("bits")
    'What the last bits depend on'
    """
    return page(name).partition("\n")[0].lstrip("# ")


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
