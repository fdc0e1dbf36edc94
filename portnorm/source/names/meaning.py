"""What an expression may mean: names in full, and whether that is all it can mean."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple


class Meaning(NamedTuple):
    """What an expression may mean.

    Attributes:
        names: in full; empty where nothing is known.
        plain: whether it means just this, and another name can be put in its place.
    """

    names: frozenset[str] = frozenset()
    plain: bool = True


UNKNOWN = Meaning()

Elsewhere = Callable[[str], Meaning]
"""Takes the name in full of something imported, and returns what it means in the file that it is
imported from: `UNKNOWN` where there is no such file."""


def nowhere(_: str) -> Meaning:
    """Know no other file."""
    return UNKNOWN


def either(meanings: Iterable[Meaning]) -> Meaning:
    """Return the meaning of something that has one of several values."""
    listed = list(dict.fromkeys(meanings))
    if len(listed) == 1:
        return listed[0]
    return Meaning(frozenset[str]().union(*(one.names for one in listed)), False)
