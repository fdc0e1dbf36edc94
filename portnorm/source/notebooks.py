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
from portnorm.source.names.functions import NAMES

_LINE_END = re.compile(r"\r\n|\r|\n")
_INDENT = re.compile(r"\{\r?\n([ \t]*)")
_LINE = re.compile(r"^([ \t]*)([^\r\n]+)", re.M)
_FOR_IPYTHON = re.compile(r"[%!?]|[\w.\[\]'\"*]+\?\??[ \t]*$")
"""How a line for IPython begins; one that asks for help ends with a question mark."""

_ASSIGNED = re.compile(r"([\w., \t]+=)[ \t]*[!%]")
_RUN = re.compile(
    r"(?:\w+[ \t]*=[ \t]*)?%%?(?:time|timeit|prun|memit)\b"
    r"(?:[ \t]+-(?:[nrplsTD][ \t]*\S+|[a-zA-Z]+))*[ \t]+(?=[^\s-])"
)
"""What stands before Python that a line for IPython runs."""

_PYTHON_CELLS = frozenset({"%%capture", "%%memit", "%%prun", "%%time", "%%timeit"})
"""Cell magics that run what follows as Python, in the notebook."""


class UnreadableError(PortnormError):
    """A file is not what its name promises."""


class Skipped(NamedTuple):
    """A cell that is not part of the text.

    Attributes:
        cell: its number from 1.
        reason: why it is not.
        matters: whether it has the name of one of the two functions.
    """

    cell: int
    reason: str
    matters: bool


class Hidden(NamedTuple):
    """What Python is not shown of a line: all of it, or what stands before the Python in it."""

    text: str
    is_all: bool


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
        magics: for each of them, what its lines for IPython have a comment for in the text.
        skipped: other code cells.
        tag: a word that occurs in no code cell.
    """

    content: dict[str, Any]
    form: Form
    cells: tuple[int, ...]
    magics: tuple[tuple[Hidden, ...], ...]
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
                mark = re.escape(_mark(self.tag, rank))
                pattern = re.compile(rf"^([ \t]*)([^\r\n]*){mark}(?=[\r\n]|\Z)", re.M)
                piece, count = pattern.subn(functools.partial(_restored, magic), piece)
                if count != 1:
                    raise UnreadableError("a line for IPython was lost")
            shown.append(piece)
        return shown


def _restored(magic: Hidden, line: re.Match[str]) -> str:
    return line[1] + magic.text + ("" if magic.is_all else line[2])


def _source(number: int, source: object) -> str:
    """Return the source of a cell, which the format has as a text or as a list of its lines."""
    if not isinstance(source, (str, list)):
        raise ValueError(f"the source of cell {number} is neither text nor a list")
    return "".join(source)


def _assemble(content: dict[str, Any], form: Form, sources: dict[int, str]) -> tuple[Notebook, str]:
    """Return the notebook and its text, without the cells that are not Python."""
    tag = _unused_word("".join(sources.values()))
    texts: dict[int, str] = {}
    magics: list[tuple[Hidden, ...]] = []
    skipped: list[Skipped] = []
    for number, source in sources.items():
        try:
            texts[number], hidden = _python(source, tag)
            magics.append(hidden)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            matters = any(name in source for name in NAMES)
            skipped.append(Skipped(number, _why(source, error), matters))
    joined = "".join(
        _border(tag, rank) + text if rank else text for rank, text in enumerate(texts.values())
    )
    notebook = Notebook(content, form, tuple(texts), tuple(magics), tuple(skipped), tag)
    return notebook, joined


def _border(tag: str, rank: int) -> str:
    return f"\n# {tag} {rank} of the borders between cells\n"


def _mark(tag: str, rank: int) -> str:
    return f"  # {tag} {rank} of the lines for IPython"


def _unused_word(text: str) -> str:
    number = 0
    while (word := f"portnorm_cell_{number}") in text:
        number += 1
    return word


def _python(text: str, tag: str) -> tuple[str, tuple[Hidden, ...]]:
    """Return the cell with what is for IPython hidden, and what that is.

    Raises:
        SyntaxError: what is left is not Python either.
    """
    first = text.split(maxsplit=1)[:1]
    if first and first[0].startswith("%%") and first[0] not in _PYTHON_CELLS:
        raise SyntaxError("a cell magic")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of escapes in strings, say
        try:
            ast.parse(text)
        except SyntaxError:
            hidden: list[Hidden] = []

            def hide(match: re.Match[str]) -> str:
                shown = _hidden(match[2])
                if shown is None:
                    return match[0]
                stub, magic = shown
                hidden.append(magic)
                return match[1] + stub + _mark(tag, len(hidden) - 1)

            ast.parse(text := _LINE.sub(hide, text))
            return text, tuple(hidden)
    return text, ()


def _hidden(line: str) -> tuple[str, Hidden] | None:
    """Return what Python is shown of a line for IPython, and what not; None of another line."""
    if run := _RUN.match(line):
        code = line[run.end() :]
        if _is_python(code):
            return code, Hidden(run[0], False)
    if _FOR_IPYTHON.match(line):
        return "pass", Hidden(line, True)
    if assigned := _ASSIGNED.match(line):
        return f"{assigned[1]} None", Hidden(line, True)
    return None


def _is_python(line: str) -> bool:
    try:
        ast.parse(line)
    except SyntaxError:
        return False
    return "#" not in line


def _why(text: str, error: Exception) -> str:
    first = text.lstrip().partition("\n")[0].strip()
    if first.startswith("%%"):
        return f"begins with {first.split()[0]}"
    return f"is not Python: {getattr(error, 'msg', None) or error}"
