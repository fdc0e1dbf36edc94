"""What the files of a project mean to each other: what one imports from another.

A file may take torch's function from another file, under any name; and what looks like an unused
import may be what other files take from it.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from portnorm.source.by_hand import might_contain as may_be_by_hand
from portnorm.source.discovery import discover
from portnorm.source.files import Content, UnreadableError, path_of, read, read_bytes
from portnorm.source.names import (
    UNKNOWN,
    Elsewhere,
    Meaning,
    Meanings,
    NotPythonError,
    Syntax,
    member,
    might_contain,
)
from portnorm.source.names.functions import HOLDERS, NAMES

_RENAMED = re.compile(rb"\b(?:normalize|L2Normalize)[ \t]+as[ \t]+(\w+)")
_FROM = re.compile(rb"\bfrom[ \t]+([.\w]+)[ \t]+import[ \t]*(\([^)]*\)|[^\n]*)")
_AS = re.compile(rb"[ \t]as[ \t]+(\w+)")
_USUAL = frozenset({"F", *NAMES, *(part for holder in HOLDERS for part in holder.split("."))})
"""What the functions and their modules are called where an import does not rename them."""

_RENAMED_SO = re.compile(rb"\b(?:" + "|".join(sorted(_USUAL)).encode() + rb")[ \t]+as[ \t]+(\w+)")
_UNDERLINE = ord("_")
_ROOT = (".git", "pyproject.toml", "setup.py", "setup.cfg")
"""What the top folder of a project has."""

FEW = 32
"""Files that are imported are looked for as long as no more are given."""

_DEEPEST = 12
"""How many files an import is followed through, and how many folders up it is looked for."""


@dataclass(frozen=True)
class Project:
    """The files that are looked at together.

    Attributes:
        words: what files call one of the two functions that they import.
        taken: what is imported from files that name one of the two: the name of the file without
            suffix, of the folder for `__init__.py`, and the name that is imported, "*" for all.
    """

    words: frozenset[str] = frozenset()
    taken: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def of(cls, inputs: Iterable[str | Content]) -> Project:
        """Look through files: quickly, for no syntax is read.

        Those that few files import are looked through, too.
        """
        files = list(inputs)
        imported = {path for one in files for path in _imported(one)} if len(files) < FEW else ()
        return cls(frozenset(_words([*files, *imported])))

    def with_importers(self, inputs: Iterable[str | Content]) -> Project:
        """Add what other files import; those of the whole project count, with its tests."""
        files = list(inputs)
        callers = {
            _stem(path_of(one)): source for one in files if might_contain(source := _bytes(one))
        }
        if not callers:
            return self
        renamed = (_RENAMED_SO.findall(source) for source in callers.values())
        names = _USUAL | self.words | {name.decode() for found in renamed for name in found}
        named = {os.path.realpath(path_of(one)) for one in files}
        attributes = re.compile(rb"\.(" + "|".join(sorted(names)).encode() + rb")\b")
        around = [path for path in _around(files) if os.path.realpath(path) not in named]
        taken = {
            pair
            for one in [*files, *around]
            for pair in _taken(one, attributes)
            if pair[0] in callers and (pair[1] == "*" or pair[1] in names)
        }
        return Project(self.words, frozenset(taken))

    def might_contain(self, source: bytes, by_hand: bool = False) -> bool:
        """Return whether a file may name one of the two, also by what other files call them.

        Args:
            source: the bytes of the file.
            by_hand: whether normalization that is written by hand counts, too.
        """
        if might_contain(source) or (by_hand and may_be_by_hand(source)):
            return True
        return b"import" in source and any(word.encode() in source for word in self.words)

    def elsewhere(self, path: str) -> Elsewhere:
        """Return what tells the meaning of what a file imports."""
        return functools.partial(_elsewhere, os.path.abspath(path))

    def is_taken(self, path: str, name: str) -> bool:
        """Return whether other files may import a name from a file.

        What `__init__.py` imports is there for others.
        """
        if os.path.basename(path) in ("__init__.py", "__init__.pyi"):
            return True
        stem = _stem(path)
        return (stem, name) in self.taken or (stem, "*") in self.taken


ALONE = Project()
"""A file by itself: what it imports is looked up, and nobody imports from it."""


def _bytes(one: str | Content) -> bytes:
    with contextlib.suppress(OSError):
        return read_bytes(one)
    return b""


def _words(inputs: Iterable[str | Content]) -> Iterator[str]:
    for one in inputs:
        yield from (found.decode() for found in _RENAMED.findall(_bytes(one)))


def _imported(one: str | Content) -> Iterator[str]:
    """Yield the files that a file imports names from."""
    path = os.path.abspath(path_of(one))
    for module, names in _FROM.findall(_bytes(one)):
        origin = module.decode()
        for name in re.findall(r"\w+", names.decode(errors="replace")):
            file, _ = _find(path, member(origin, name))
            if file is not None:
                yield file


# --- who imports what -----------------------------------------------------------------------------


def _stem(path: str) -> str:
    name = Path(path).stem
    return name if name != "__init__" else Path(path).absolute().parent.name


def _around(inputs: Iterable[str | Content]) -> list[str]:
    """Return the files of the projects that files belong to."""
    folders = {os.path.dirname(os.path.abspath(one)) for one in inputs if isinstance(one, str)}
    roots = {root for folder in folders for root in _root(Path(folder))}
    try:
        return discover(sorted(roots))
    except OSError:
        return []


def _root(folder: Path) -> Iterator[str]:
    for one in [folder, *folder.parents][:_DEEPEST]:
        if any((one / name).exists() for name in _ROOT):
            yield str(one)
            return


def _taken(one: str | Content, attributes: re.Pattern[bytes]) -> Iterator[tuple[str, str]]:
    """Yield what a file seems to import from others, as the last part of a module and a name.

    Args:
        one: the file.
        attributes: finds names behind a dot, as its group 1.
    """
    source, own = _bytes(one), Path(path_of(one)).absolute().parent.name
    for module, listed in _FROM.findall(source):
        stem = module.rpartition(b".")[2].decode() or own
        yield from ((stem, name) for name in re.findall(r"\w+|\*", listed.decode(errors="replace")))
    renamed = {match[1]: _word_before(source, match.start()) for match in _AS.finditer(source)}
    for match in attributes.finditer(source):
        owner = _word_before(source, match.start())
        yield renamed.get(owner, owner).decode(errors="replace"), match[1].decode()


def _word_before(source: bytes, end: int) -> bytes:
    """Return the word that ends at an index; a pattern that begins with a word would take long."""
    start = end
    while start and (source[start - 1 : start].isalnum() or source[start - 1] == _UNDERLINE):
        start -= 1
    return source[start:end]


# --- what an import means -------------------------------------------------------------------------


def _elsewhere(path: str, origin: str) -> Meaning:
    """Return what a name in full means, in the file that it is imported from."""
    file, rest = _find(path, origin)
    if file is None or os.path.realpath(file) == os.path.realpath(path):
        return UNKNOWN
    if not rest:
        return Meaning(frozenset({origin}))
    depth = _depth.get()
    if depth >= _DEEPEST:
        return UNKNOWN
    token = _depth.set(depth + 1)
    try:
        meanings = _meanings(file)
        return meanings.of_global(rest) if meanings is not None else UNKNOWN
    finally:
        _depth.reset(token)


_depth: ContextVar[int] = ContextVar("depth", default=0)
"""How many files are being looked into, each for the sake of the one before."""


def _meanings(file: str) -> Meanings | None:
    """Return what the names of a file mean; None where it cannot be read."""
    try:
        status = os.stat(file)
    except OSError:
        return None
    return _parsed(file, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=256)
def _parsed(file: str, _time: int, _size: int) -> Meanings | None:
    """Return what the names of a file mean, as it was at a time."""
    try:
        return Meanings(Syntax(read(file).text), elsewhere=functools.partial(_elsewhere, file))
    except (OSError, UnreadableError, NotPythonError):
        return None


def _find(path: str, origin: str) -> tuple[str | None, str]:
    """Return the file that a name in full leads to, and the rest of the name."""
    dots = len(origin) - len(origin.lstrip("."))
    parts = tuple(origin[dots:].split("."))
    folders = list(Path(path).parents)
    if dots:
        return _descend(folders[dots - 1], parts, path) if dots <= len(folders) else (None, "")
    for folder in folders[:_DEEPEST]:
        for top in (folder, folder / "src"):
            found = _descend(top, parts, path, 1)
            if found[0] is not None:
                return found
    return None, ""


def _descend(
    folder: Path, parts: tuple[str, ...], asking: str, at_least: int = 0
) -> tuple[str | None, str]:
    """Go down from a folder: by what a package binds, then by its folders and files.

    Args:
        folder: where to begin.
        parts: of the name in full.
        asking: the file whose import it is.
        at_least: how many parts must be folders or files; what is above is no package of it.
    """
    for position, part in enumerate(parts):
        initial, rest = folder / "__init__.py", ".".join(parts[position:])
        is_package = position >= at_least and initial.is_file()
        if is_package and str(initial) != asking:
            meanings = _meanings(str(initial))
            if meanings is not None and meanings.binds(part.removesuffix("()")):
                return str(initial), rest
        if (folder / f"{part}.py").is_file():
            return str(folder / f"{part}.py"), ".".join(parts[position + 1 :])
        if not (folder / part).is_dir():
            return (str(initial), rest) if is_package else (None, "")
        folder /= part
    initial = folder / "__init__.py"
    return (str(initial) if initial.is_file() else None), ""
