"""What is reported of a line of source, and the comments that silence it."""

from __future__ import annotations

from dataclasses import dataclass


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


@dataclass(frozen=True)
class Finding:
    """What is reported of one place.

    Attributes:
        path: of the file, as it was given.
        line, column: where it begins, both from 1.
        code: from the registry in `portnorm.codemod.codes`.
        message: one sentence.
        fix: the edits that mend it, where that is safe.
        end_line: the last line of what it is about; 0 for the first.
        cell: the cell of a notebook, from 1, in which lines are counted; 0 elsewhere.
    """

    path: str
    line: int
    column: int
    code: str
    message: str
    fix: Fix | None = None
    end_line: int = 0
    cell: int = 0
