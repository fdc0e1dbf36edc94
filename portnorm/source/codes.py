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
    PN101="epsilon left at 1e-4",
    PN102="torch's eps, not squared",
    PN103="tiny epsilons that MindSpore confuses",
    PN104="gradient below the floor",
    PN105="epsilon that float16 rounds to 0",
    PN111="axis left at 0",
    PN112="tensor given to the constructor",
    PN113="keywords of the other function",
    PN121="arguments that L2Normalize has no counterpart of",
    PN122="torchvision's normalize taken for torch's",
    PN131="normalization written by hand",
    PN132="two forms of normalization in one place",
    PN201="function that is named by a string",
    PN202="function that may come from a star import",
    PN203="name with more than one meaning",
    PN204="arguments that are not known",
    PN205="result that is written to out=",
    PN206="call that the function does not take",
    PN207="call without an inline form that is right",
    PN208="operator that is asked for more than its call",
    PN209="file whose port failed a check",
    PN210="normalization by hand that no call repeats",
)
"""All codes by their names, in order."""
