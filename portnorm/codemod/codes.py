"""The codes of everything that `portnorm check` and `portnorm port` report.

PN0 is about files, PN1 about ports that went wrong, PN2 about calls that `portnorm port` leaves to
people.
"""

from __future__ import annotations

from typing import NamedTuple


class Code(NamedTuple):
    """A code.

    Attributes:
        name: "PN" and three digits.
        title: a few words.
        page: the page that explains it, in the folder migration_guide.
    """

    name: str
    title: str
    page: str


def _codes(**titles: str) -> dict[str, Code]:
    return {name: Code(name, title, f"checks/{name}.md") for name, title in titles.items()}


CODES: dict[str, Code] = _codes(
    PN001="file that cannot be read as Python",
    PN002="cell of a notebook that is not Python",
)
"""All codes by their names, in order."""
