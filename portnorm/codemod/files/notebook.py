"""The code cells of a Jupyter notebook as one text, and back.

Cells are joined, so that a name imported in one is known in the next. Comments mark the borders,
and are what the text is cut at again. Everything in the file but the changed lines of changed cells
stays as it is, byte for byte: the JSON is never written anew.
"""

from __future__ import annotations

import ast
import codecs
import difflib
import json
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any, NamedTuple

from portnorm.errors import PortnormError

_LINE_END = re.compile(r"\r\n|\r|\n")
_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder(strict=False)
_RAW_LINE = re.compile(r"(?:[^\\]|\\[^n])*?\\n|(?:[^\\]|\\[^n])+")
"""A line in a JSON string, as it is written."""
_MAGIC = re.compile(r"^([ \t]*)([%!?][^\r\n]*)", re.M)
"""A line for IPython rather than for Python."""


class UnreadableError(PortnormError):
    """A file is not what its name promises."""


class Skipped(NamedTuple):
    """A cell that is not part of the text, its number from 1, and why."""

    cell: int
    reason: str


class Line(NamedTuple):
    """A piece of a cell: as JSON, without quotes, and what that means."""

    raw: str
    text: str


@dataclass(frozen=True)
class Cell:
    """A code cell.

    Attributes:
        number: among all cells of the notebook, from 1.
        start: where its source stands in the JSON.
        raw: the source as it stands there.
        lines: the pieces of the source.
        opening, separator, closing: what stands around the pieces, quotes included.
    """

    number: int
    start: int
    raw: str
    lines: tuple[Line, ...]
    opening: str
    separator: str
    closing: str

    @property
    def text(self) -> str:
        """The source."""
        return "".join(line.text for line in self.lines)

    def with_text(self, text: str, ascii_only: bool) -> str:
        """Return the JSON of another source; lines that stay are written as they were."""
        if text == self.text:
            return self.raw
        new = list(self._lines_of(text, ascii_only))
        if not new and self.separator:
            return "[]"
        return self.opening + self.separator.join(new) + self.closing

    def _lines_of(self, text: str, ascii_only: bool) -> Iterator[str]:
        new = re.findall(r"[^\n]*\n|[^\n]+", text)
        matcher = difflib.SequenceMatcher(None, [line.text for line in self.lines], new, False)
        for tag, old_from, old_to, new_from, new_to in matcher.get_opcodes():
            if tag == "equal":
                yield from (line.raw for line in self.lines[old_from:old_to])
            else:
                for line in new[new_from:new_to]:
                    yield json.dumps(line, ensure_ascii=ascii_only)[1:-1]


@dataclass(frozen=True)
class Notebook:
    """A notebook: its JSON, its code cells, and what a text of them is cut at.

    Attributes:
        json: the whole file.
        bom: whether a byte order mark precedes it.
        cells: those that are part of the text.
        magics: for each cell, the lines for IPython that the text has a placeholder for.
        skipped: the other code cells.
        tag: a word that occurs nowhere in the file.
    """

    json: str
    bom: bool
    cells: tuple[Cell, ...]
    magics: tuple[tuple[str, ...], ...]
    skipped: tuple[Skipped, ...]
    tag: str

    @classmethod
    def parse(cls, raw: bytes) -> tuple[Notebook, str]:
        """Return the notebook and the text of its code cells.

        Raises:
            UnreadableError: it is no notebook of format 4.
        """
        bom = raw.startswith(codecs.BOM_UTF8)
        try:
            text = raw.decode("utf-8-sig" if bom else "utf-8")
            cells = tuple(_code_cells(text))
        except (UnicodeError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise UnreadableError(f"is no notebook of format 4: {error}") from error
        return _assemble(text, bom, cells)

    def encode(self, text: str) -> bytes:
        """Cut the text into its cells, and put each into its place in the JSON."""
        pieces = self._cut(text)
        ascii_only = self.json.isascii() and "\\u" in self.json
        out, done = [], 0
        for cell, piece in zip(self.cells, pieces, strict=True):
            out += [self.json[done : cell.start], cell.with_text(piece, ascii_only)]
            done = cell.start + len(cell.raw)
        encoded = ("".join(out) + self.json[done:]).encode()
        return codecs.BOM_UTF8 + encoded if self.bom else encoded

    def place(self, line: int) -> tuple[int, int]:
        """Find the cell that a line of the text is in."""
        first = 1
        for cell in self.cells:
            size = len(_LINE_END.findall(cell.text)) + 2  # its last line, and the mark
            if line < first + size or cell is self.cells[-1]:
                return cell.number, line - first + 1
            first += size
        return 0, line

    def _cut(self, text: str) -> list[str]:
        if not self.cells:
            return []
        marks = [_border(self.tag, rank) for rank in range(1, len(self.cells))]
        pieces = []
        for mark in marks:
            piece, found, text = text.partition(mark)
            if not found:
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


def _assemble(text: str, bom: bool, cells: tuple[Cell, ...]) -> tuple[Notebook, str]:
    tag = _unused_word(text)
    kept: list[Cell] = []
    magics: list[tuple[str, ...]] = []
    pieces: list[str] = []
    skipped: list[Skipped] = []
    for cell in cells:
        try:
            piece, hidden = _python(cell.text, tag)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            skipped.append(Skipped(cell.number, _why(cell.text, error)))
            continue
        kept.append(cell)
        magics.append(hidden)
        pieces.append(piece)
    joined = "".join(
        piece if rank == 0 else _border(tag, rank) + piece for rank, piece in enumerate(pieces)
    )
    return Notebook(text, bom, tuple(kept), tuple(magics), tuple(skipped), tag), joined


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


# --- where things stand in the JSON ---------------------------------------------------------------


def _code_cells(text: str) -> Iterator[Cell]:
    top = {key: start for key, start, _ in _members(text, _skip(text, 0))}
    version = _DECODER.raw_decode(text, top["nbformat"])[0]
    if version != 4:
        raise ValueError(f"nbformat is {version}")
    for number, start in enumerate(_elements(text, top["cells"]), 1):
        places = {key: (start, end) for key, start, end in _members(text, start)}
        kind = _DECODER.raw_decode(text, places["cell_type"][0])[0]
        if kind == "code":
            yield _cell(text, number, *places["source"])


def _cell(text: str, number: int, start: int, end: int) -> Cell:
    raw = text[start:end]
    if raw.startswith('"'):
        lines = [Line(part, _unquoted(part)) for part in _RAW_LINE.findall(raw[1:-1])]
        return Cell(number, start, raw, tuple(lines), '"', "", '"')
    if not raw.startswith("["):
        raise ValueError(f"the source of cell {number} is neither text nor a list")
    spans = []
    for place in _elements(text, start):
        _require(text, place, '"')
        spans.append((place, scanstring(text, place + 1, False)[1]))
    lines = [Line(text[a + 1 : b - 1], scanstring(text, a + 1, False)[0]) for a, b in spans]
    if not spans:
        return Cell(number, start, raw, (), '["', '", "', '"]')
    opening, closing = text[start : spans[0][0] + 1], text[spans[-1][1] - 1 : end]
    separator = f'",{opening[1:]}'
    if len(spans) > 1:
        separator = text[spans[0][1] - 1 : spans[1][0] + 1]
    return Cell(number, start, raw, tuple(lines), opening, separator, closing)


def _unquoted(raw: str) -> str:
    decoded: str = json.loads(f'"{raw}"', strict=False)
    return decoded


def _members(text: str, start: int) -> Iterator[tuple[str, int, int]]:
    """Yield key, start and end of the values of an object."""
    _require(text, start, "{")
    place = _skip(text, start + 1)
    while text[place : place + 1] != "}":
        _require(text, place, '"')
        key, place = scanstring(text, place + 1, False)
        place = _skip(text, place)
        _require(text, place, ":")
        value = _skip(text, place + 1)
        end = _end_of_value(text, value)
        yield key, value, end
        place = _after_comma(text, end, "}")


def _elements(text: str, start: int) -> Iterator[int]:
    """Yield the starts of the elements of an array."""
    _require(text, start, "[")
    place = _skip(text, start + 1)
    while text[place : place + 1] != "]":
        yield place
        place = _after_comma(text, _end_of_value(text, place), "]")


def _end_of_value(text: str, start: int) -> int:
    end: Any = _DECODER.raw_decode(text, start)[1]
    return int(end)


def _after_comma(text: str, place: int, closing: str) -> int:
    place = _skip(text, place)
    if text[place : place + 1] == closing:
        return place
    _require(text, place, ",")
    return _skip(text, place + 1)


def _require(text: str, place: int, character: str) -> None:
    if text[place : place + 1] != character:
        raise ValueError(f"expected {character} at character {place}")


def _skip(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    return match.end() if match else place
