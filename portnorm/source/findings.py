"""What is reported of a line of source, and the comments that silence it."""

from __future__ import annotations

import io
import itertools
import re
import tokenize
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from portnorm.source.discovery import Rules, is_within
from portnorm.source.edits import Edit, Fix, Place, line_starts
from portnorm.source.files import SourceFile
from portnorm.source.names import NotPythonError

__all__ = ["Edit", "Finding", "Fix", "Ignores", "chosen", "not_python", "skipped"]

_COMMENT = re.compile(r"#\s*portnorm:\s*ignore(?:\[([\w\s,]*)\]|(?![\w\[-]))")


@dataclass(frozen=True)
class Finding:
    """What is reported of one place.

    Attributes:
        path: of the file, as it was given.
        line: where it begins, from 1.
        column: likewise.
        code: from the registry in `portnorm.source.codes`.
        message: one sentence.
        fix: the edits that mend it, where that is safe.
        end_line: the last line of what it is about; 0 if that is the first.
        cell: the cell of a notebook in which lines are counted, from 1; 0 elsewhere.
        end_column: the column after its end; 0 where it has no end.
        lines: the lines of source that it is about.
    """

    path: str
    line: int
    column: int
    code: str
    message: str
    fix: Fix | None = None
    end_line: int = 0
    cell: int = 0
    end_column: int = 0
    lines: tuple[str, ...] = ()

    @classmethod
    def at(cls, source: SourceFile, span: tuple[Place, Place], code: str, message: str) -> Finding:
        """Return a finding about a part of the text of a file."""
        (line, column), (end_line, end_column) = span
        cell, first = source.place(line)
        starts = [*line_starts(source.text), len(source.text)]
        bounds = itertools.pairwise(starts[line - 1 : end_line + 1])
        lines = tuple(source.text[a:b].rstrip("\r\n") for a, b in bounds)
        last = end_line - line + first
        return cls(source.path, first, column, code, message, None, last, cell, end_column, lines)


def not_python(source: SourceFile, error: NotPythonError) -> Finding:
    """Report where the parser stops in a file."""
    place = error.line, error.column
    end = error.line, error.column + 1
    return Finding.at(source, (place, end), "PN001", f"no Python: {error.message}")


def skipped(source: SourceFile) -> Iterator[Finding]:
    """Report the cells of a notebook that are not looked at, and may call one of the two."""
    for cell, reason, matters in source.skipped:
        if not matters:
            continue
        message = f"this cell was not looked at: it {reason}"
        yield Finding(source.path, 1, 1, "PN002", message, cell=cell)


def chosen(code: str, prefixes: Iterable[str]) -> bool:
    """Return whether a code is one of those that are named, whole or by how they begin.

    >>> chosen("PN101", ["PN2", "PN10"])
    True
    """
    return any(code.startswith(prefix) for prefix in prefixes)


class PerFile(NamedTuple):
    """Codes that are not reported in files that patterns name."""

    files: Rules
    codes: Sequence[str]


def ignored_in(path: str, per_file: Iterable[PerFile]) -> tuple[str, ...]:
    """Return the codes, or how they begin, that are not reported in a file."""
    return tuple(code for item in per_file if is_within(path, [item.files]) for code in item.codes)


class Ignores:
    r"""The comments `# portnorm: ignore` and `# portnorm: ignore[CODE, ...]` of a text.

    A comment silences what is reported of the line it is on; of a call over several lines, it may
    be on any of them. Text in strings is no comment.

    >>> ignores = Ignores("a = 1  # portnorm: ignore[PN101]\nb = '# portnorm: ignore'\n")
    >>> ignores.silence("PN101", 1), ignores.silence("PN102", 1), ignores.silence("PN101", 2)
    (True, False, False)
    """

    def __init__(self, text: str) -> None:
        self._codes: dict[int, list[str]] = {}
        if "portnorm:" in text:
            for line, codes in _ignored(text):
                self._codes.setdefault(line, []).extend(codes)

    def silence(self, code: str, line: int, end_line: int = 0) -> bool:
        """Return whether a comment on one of the lines speaks of the code."""
        lines = range(line, max(line, end_line) + 1)
        return any(chosen(code, self._codes.get(one, ())) for one in lines)


def _ignored(text: str) -> Iterator[tuple[int, Sequence[str]]]:
    for line, comment in comments(text):
        for match in _COMMENT.finditer(comment):
            if match[1] is None:
                yield line, ("",)
            else:
                yield line, [code for code in re.split(r"[\s,]+", match[1]) if code]


def comments(text: str) -> Iterator[tuple[int, str]]:
    """Yield the comments of Python source and their lines, as far as it can be read."""
    starts = [*line_starts(text), len(text)]
    lines = [text[a:b].rstrip("\r\n") + "\n" for a, b in itertools.pairwise(starts)]
    try:
        for token in tokenize.generate_tokens(io.StringIO("".join(lines)).readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string
    except (tokenize.TokenError, SyntaxError):
        return  # what comes after cannot be told from strings
