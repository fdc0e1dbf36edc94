"""Pieces of text that replace others; all between them stays as it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True)
class Edit:
    """One piece of text that replaces another.

    Attributes:
        start: line and column of the first character that goes, both from 1.
        end: line and column after the last character that goes; ``start`` for an insertion.
        text: what comes instead.
    """

    start: tuple[int, int]
    end: tuple[int, int]
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
        OverlappingEditsError: two of them want the same text, or insert at the same place.

    >>> apply("a = f(x)\nb\n", [Edit((1, 5), (1, 6), "g"), Edit((2, 1), (2, 1), "c = ")])
    'a = g(x)\nc = b\n'
    """
    starts = line_starts(text)
    pieces, done, last = [], 0, -1
    for start, end, new in sorted(_spans(edits, starts)):
        if start < done or start == last:
            raise OverlappingEditsError(f"two edits want the text at character {start}")
        pieces += [text[done:start], new]
        done, last = end, start
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
    taken: list[Edit] = []
    chosen = []
    for fix in fixes:
        if not any(_overlap(edit, other) for edit in fix.edits for other in taken):
            chosen.append(fix)
            taken += fix.edits
    return chosen


def _overlap(a: Edit, b: Edit) -> bool:
    return a.start == b.start or (a.start < b.end and b.start < a.end)
