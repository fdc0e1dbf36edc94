"""The code cells of a Jupyter notebook as one text, and back.

Cells are joined, so that a name imported in one is known in the next. Comments mark the borders,
and are what the text is cut at again. The JSON is written as it was: a notebook whose JSON would
not come back byte for byte is refused.
"""

from __future__ import annotations

import ast
import codecs
import functools
import itertools
import json
import re
import warnings
from bisect import bisect_right
from dataclasses import dataclass
from typing import Any, NamedTuple

from portnorm.errors import PortnormError

_LINE_END = re.compile(r"\r\n|\r|\n")
_INDENT = re.compile(r"\{\r?\n([ \t]*)")
_MAGIC = re.compile(r"^([ \t]*)([%!?][^\r\n]*)", re.M)
"""A line for IPython rather than for Python."""


class UnreadableError(PortnormError):
    """A file is not what its name promises."""


class Skipped(NamedTuple):
    """A cell that is not part of the text, its number from 1, and why."""

    cell: int
    reason: str


@dataclass(frozen=True)
class Form:
    """How the JSON of a notebook is written.

    Attributes:
        indent: what each level is indented by; None if all of it stands on one line.
        separators: what stands between items, and between a key and its value.
        ascii_only: whether other characters are escaped.
        line_end: of each line.
        tail: what follows, mostly a line end.
        bom: whether a byte order mark precedes it.
    """

    indent: str | None
    separators: tuple[str, str]
    ascii_only: bool
    line_end: str
    tail: str
    bom: bool

    @classmethod
    def of(cls, raw: bytes, content: object) -> Form:
        """Return the form in which JSON is written.

        Args:
            raw: the JSON.
            content: what it means.

        Raises:
            UnreadableError: it is written in no form that would give the same bytes again.
        """
        bom = raw.startswith(codecs.BOM_UTF8)
        text = raw.decode("utf-8-sig")
        indented = _INDENT.match(text)
        tail = text[len(text.rstrip()) :]
        line_end = "\r\n" if "\r\n" in text else "\n"
        items = [","] if indented else [", ", ","]
        for ascii_only, item, colon in itertools.product((False, True), items, (": ", ":")):
            indent = indented[1] if indented else None
            form = cls(indent, (item, colon), ascii_only, line_end, tail, bom)
            if form.dump(content) == raw:
                return form
        raise UnreadableError(
            "its JSON is not written as Jupyter writes it, and would not come back byte for byte"
        )

    def dump(self, content: object) -> bytes:
        """Return the JSON of a notebook."""
        text = json.dumps(
            content,
            ensure_ascii=self.ascii_only,
            indent=self.indent,
            separators=self.separators,
        )
        encoded = (text.replace("\n", self.line_end) + self.tail).encode("utf-8", "surrogatepass")
        return codecs.BOM_UTF8 + encoded if self.bom else encoded


@dataclass(frozen=True)
class Notebook:
    """A notebook: its content, its code cells, and what a text of them is cut at.

    Attributes:
        content: what its JSON means.
        form: how its JSON is written.
        cells: the numbers, from 1, of the code cells that are part of the text.
        magics: for each of them, the lines for IPython that the text has a placeholder for.
        skipped: the other code cells.
        tag: a word that occurs in no code cell.
    """

    content: dict[str, Any]
    form: Form
    cells: tuple[int, ...]
    magics: tuple[tuple[str, ...], ...]
    skipped: tuple[Skipped, ...]
    tag: str

    @classmethod
    def parse(cls, raw: bytes) -> tuple[Notebook, str]:
        """Return the notebook and the text of its code cells.

        Raises:
            UnreadableError: it is no notebook of format 4, or would not come back byte for byte.
        """
        try:
            content = json.loads(raw.decode("utf-8-sig"))
            if content["nbformat"] != 4:
                raise ValueError(f"nbformat is {content['nbformat']}")
            if not isinstance(content["cells"], list):
                raise ValueError("its cells are no list")
            sources = {
                number: _source(number, cell["source"])
                for number, cell in enumerate(content["cells"], 1)
                if cell["cell_type"] == "code"
            }
            form = Form.of(raw, content)
        except (UnicodeError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise UnreadableError(f"is no notebook of format 4: {error}") from error
        return _assemble(content, form, sources)

    def encode(self, text: str) -> bytes:
        """Cut the text into its cells, put each into its place, and return the JSON."""
        cells = list(self.content["cells"])
        for number, source in zip(self.cells, self._cut(text), strict=True):
            old = cells[number - 1]["source"]
            if source != "".join(old):
                new = re.findall(r"[^\n]*\n|[^\n]+", source) if isinstance(old, list) else source
                cells[number - 1] = {**cells[number - 1], "source": new}
        return self.form.dump({**self.content, "cells": cells})

    def place(self, line: int) -> tuple[int, int]:
        """Return the cell that a line of the text is in, and the line in that cell."""
        if not self.cells:
            return 0, line
        position = bisect_right(self._first_lines, line) - 1
        return self.cells[position], line - self._first_lines[position] + 1

    @functools.cached_property
    def _first_lines(self) -> list[int]:
        """The first line of each cell in the text: after its last line, a cell has a border."""
        first = [1]
        for number in self.cells[:-1]:
            source = "".join(self.content["cells"][number - 1]["source"])
            first.append(first[-1] + len(_LINE_END.findall(source)) + 2)
        return first

    def _cut(self, text: str) -> list[str]:
        if not self.cells:
            return []
        marks = [_border(self.tag, rank) for rank in range(1, len(self.cells))]
        pieces = []
        for mark in marks:
            piece, border, text = text.partition(mark)
            if not border:
                raise UnreadableError("the borders of its cells were lost")
            pieces.append(piece)
        pieces.append(text)
        cells = self._with_magics(pieces)
        if any(self.tag in cell for cell in cells):
            raise UnreadableError("the borders of its cells were lost")
        return cells

    def _with_magics(self, pieces: list[str]) -> list[str]:
        shown = []
        for piece, magics in zip(pieces, self.magics, strict=True):
            for rank, magic in enumerate(magics):
                if piece.count(placeholder := _placeholder(self.tag, rank)) != 1:
                    raise UnreadableError("a line for IPython was lost")
                piece = piece.replace(placeholder, magic)
            shown.append(piece)
        return shown


def _source(number: int, source: object) -> str:
    """Return the source of a cell, which the format has as a text or as a list of its lines."""
    if not isinstance(source, (str, list)):
        raise ValueError(f"the source of cell {number} is neither text nor a list")
    return "".join(source)


def _assemble(content: dict[str, Any], form: Form, sources: dict[int, str]) -> tuple[Notebook, str]:
    """Return the notebook and its text, without the cells that are not Python."""
    tag = _unused_word("".join(sources.values()))
    texts: dict[int, str] = {}
    magics: list[tuple[str, ...]] = []
    skipped: list[Skipped] = []
    for number, source in sources.items():
        try:
            texts[number], hidden = _python(source, tag)
            magics.append(hidden)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            skipped.append(Skipped(number, _why(source, error)))
    joined = "".join(
        _border(tag, rank) + text if rank else text for rank, text in enumerate(texts.values())
    )
    notebook = Notebook(content, form, tuple(texts), tuple(magics), tuple(skipped), tag)
    return notebook, joined


def _border(tag: str, rank: int) -> str:
    return f"\n# {tag} {rank} of the borders between cells\n"


def _placeholder(tag: str, rank: int) -> str:
    return f"pass  # {tag} {rank} of the lines for IPython"


def _unused_word(text: str) -> str:
    number = 0
    while (word := f"portnorm_cell_{number}") in text:
        number += 1
    return word


def _python(text: str, tag: str) -> tuple[str, tuple[str, ...]]:
    """Return the cell with its lines for IPython hidden, and these lines.

    Raises:
        SyntaxError: what is left is not Python either.
    """
    if text.lstrip().startswith("%%"):
        raise SyntaxError("a cell magic")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of escapes in strings, say
        try:
            ast.parse(text)
        except SyntaxError:
            hidden: list[str] = []

            def hide(match: re.Match[str]) -> str:
                hidden.append(match[2])
                return match[1] + _placeholder(tag, len(hidden) - 1)

            ast.parse(text := _MAGIC.sub(hide, text))
            return text, tuple(hidden)
    return text, ()


def _why(text: str, error: Exception) -> str:
    first = text.lstrip().partition("\n")[0].strip()
    if first.startswith("%%"):
        return f"begins with {first.split()[0]}"
    return f"is not Python: {getattr(error, 'msg', None) or error}"
