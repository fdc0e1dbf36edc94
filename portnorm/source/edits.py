"""Pieces of text that replace others; all between them stays as it is."""

from __future__ import annotations

import re
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

Place = tuple[int, int]
"""A line and a column, both from 1."""

_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True)
class Edit:
    """One piece of text that replaces another.

    Attributes:
        start: line and column of the first character that goes, both from 1.
        end: line and column after the last character that goes; ``start`` for an insertion.
        text: what comes instead.
    """

    start: Place
    end: Place
    text: str


@dataclass(frozen=True)
class Fix:
    """Edits that belong together, and what they do in a few words."""

    title: str
    edits: tuple[Edit, ...]


class OverlappingEditsError(ValueError):
    """Two edits want the same text."""


def apply(text: str, edits: Iterable[Edit]) -> str:
    r"""Return the text with all edits made.

    Raises:
        OverlappingEditsError: two of them want the same text, or insert at the same place. An
            insertion before a text that another one wants comes first.

    >>> apply("a = f(x)\nb\n", [Edit((1, 5), (1, 6), "g"), Edit((2, 1), (2, 1), "c = ")])
    'a = g(x)\nc = b\n'
    """
    starts = [*line_starts(text), len(text)]
    pieces, done, last = [], 0, (-1, -1)
    for start, end, new in sorted(_spans(edits, starts)):
        if start < done or (start, end) == last:
            raise OverlappingEditsError(f"two edits want the text at character {start}")
        pieces += [text[done:start], new]
        done, last = end, (start, end)
    return "".join(pieces) + text[done:]


def _spans(edits: Iterable[Edit], starts: list[int]) -> Iterator[tuple[int, int, str]]:
    for edit in edits:
        start, end = (starts[line - 1] + column - 1 for line, column in (edit.start, edit.end))
        yield start, end, edit.text


def line_starts(text: str) -> list[int]:
    r"""Return where lines begin, as Python counts them: at \n, \r and \r\n, at nothing else.

    >>> line_starts("a\r\nb\x0cc\rd")
    [0, 3, 7]
    """
    return [0, *(match.end() for match in _LINE_END.finditer(text))]


def combine(fixes: Iterable[Fix]) -> list[Fix]:
    """Return the fixes that can be made at once: of those that overlap, the first one."""
    taken: list[tuple[Place, Place]] = []  # in the order of the text, without overlaps
    chosen = []
    for fix in fixes:
        if not any(_overlaps(edit, taken) for edit in fix.edits):
            chosen.append(fix)
            for edit in fix.edits:
                insort(taken, (edit.start, edit.end))
    return chosen


def _overlaps(edit: Edit, taken: list[tuple[Place, Place]]) -> bool:
    """Return whether an edit wants text that is taken; only its neighbours can overlap it."""
    position = bisect_left(taken, (edit.start,))
    before, after = taken[max(0, position - 1) : position], taken[position : position + 1]
    if any(start == edit.start or start < edit.end for start, _ in after):
        return True
    return any(end > edit.start for _, end in before)
