"""A file of Python source: its bytes, its text, and the way back from another text to bytes."""

from __future__ import annotations

import io
import re
import tokenize
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from portnorm import files
from portnorm.source.notebooks import Notebook, Skipped, UnreadableError

__all__ = ["Content", "Place", "SourceFile", "UnreadableError", "read", "write"]


class Place(NamedTuple):
    """Where a line of the text stands: in which cell (0 outside notebooks), and on which line."""

    cell: int
    line: int


class Content(NamedTuple):
    """Bytes that were read already, such as standard input, and the name to report for them."""

    path: str
    raw: bytes


class Container(Protocol):
    """What holds the text in a file."""

    def encode(self, text: str) -> bytes:
        """Return the bytes of the whole file with another text in it."""

    def place(self, line: int) -> tuple[int, int]:
        """Return the cell and the line in it for a line of the text, counted from 1."""

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """What is no part of the text, for want of being Python."""


@dataclass(frozen=True)
class SourceFile:
    r"""A file of Python source.

    Attributes:
        path: as it was given; for standard input the name to report.
        raw: the bytes of the file.
        text: the source, its line endings as they are. For a notebook: the code cells, one after
            the other, so that a name imported in one is known in the next.
        container: what writes another text back.

    >>> source = SourceFile.parse("a.py", b"# coding: latin-1\r\nname = '\xe9'\r\n")
    >>> source.text
    "# coding: latin-1\r\nname = 'é'\r\n"
    >>> source.encode(source.text.replace("name", "other"))
    b"# coding: latin-1\r\nother = '\xe9'\r\n"
    """

    path: str
    raw: bytes
    text: str
    container: Container

    @classmethod
    def parse(cls, path: str, raw: bytes) -> SourceFile:
        """Decode bytes: of a notebook where the name ends in .ipynb, otherwise of Python.

        Raises:
            UnreadableError: they are not what their name promises.
        """
        container: Container
        if path.endswith(".ipynb"):
            container, text = Notebook.parse(raw)
        else:
            container, text = PythonText.parse(raw)
        source = cls(path, raw, text, container)
        if source.encode(text) != raw:
            raise UnreadableError("its encoding does not give the same bytes back")
        return source

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """The cells of a notebook that are not part of the text."""
        return self.container.skipped

    def encode(self, text: str) -> bytes:
        """Return the bytes of the file with another text in it.

        Raises:
            UnreadableError: the text cannot be held: it has characters that the encoding of the
                file lacks, or has lost the borders of a notebook's cells.
        """
        return self.container.encode(text)

    def place(self, line: int) -> Place:
        """Return where a line of the text stands, for a message."""
        return Place(*self.container.place(line))


@dataclass(frozen=True)
class PythonText:
    """How a Python file is encoded; "utf-8-sig" writes a byte order mark."""

    encoding: str

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """All of the file is text."""
        return ()

    @classmethod
    def parse(cls, raw: bytes) -> tuple[PythonText, str]:
        """Find the encoding as Python does (PEP 263), and decode."""
        try:
            encoding, _ = tokenize.detect_encoding(io.BytesIO(_two_lines(raw)).readline)
            text = raw.decode(encoding)
        except (SyntaxError, UnicodeError, LookupError) as error:
            raise UnreadableError(f"cannot be decoded: {error}") from error
        if "\0" in text:
            raise UnreadableError("cannot be decoded: it has null bytes")
        return cls(encoding), text

    def encode(self, text: str) -> bytes:
        """Encode as the file was."""
        try:
            return text.encode(self.encoding)
        except UnicodeError as error:
            raise UnreadableError(f"cannot be encoded: {error}") from error

    def place(self, line: int) -> tuple[int, int]:
        """The text is the file."""
        return 0, line


def _two_lines(raw: bytes) -> bytes:
    """Return the lines that may name the encoding, cut as Python cuts them."""
    return b"\n".join(re.split(rb"\r\n|\r|\n", raw, maxsplit=2)[:2])


def read(what: str | Content) -> SourceFile:
    """Read and decode a file, or decode what was read.

    Raises:
        OSError, UnreadableError: it cannot be read, or is no Python.
    """
    return SourceFile.parse(path_of(what), read_bytes(what))


def read_bytes(what: str | Content) -> bytes:
    """Return the bytes, from the file if need be."""
    return what.raw if isinstance(what, Content) else Path(what).read_bytes()


def path_of(what: str | Content) -> str:
    """Return the name to report."""
    return what.path if isinstance(what, Content) else what


def write(source: SourceFile, text: str) -> int:
    """Replace the text of a file, whole or not at all, and return what `portnorm.files.write` does.

    Raises:
        OSError, UnreadableError: the file is as it was.
    """
    return files.write(source.path, source.encode(text))
