"""Which files are meant by the paths that were given."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pathspec import GitIgnoreSpec

SUFFIXES = (".py", ".pyi", ".pyw", ".ipynb")

_NEVER = frozenset({".git", ".hg", ".svn", "__pycache__", "node_modules", ".tox", ".nox", ".venv"})
"""Folders that nobody ports, below those that are named."""


class Rules(NamedTuple):
    """What the patterns of one .gitignore say, and of which folder they speak."""

    folder: str
    spec: GitIgnoreSpec


class Exclude(NamedTuple):
    """Patterns in the form of .gitignore, and the folder that they are relative to."""

    patterns: Sequence[str]
    folder: Path


def discover(paths: Iterable[str], exclude: Iterable[Exclude] = ()) -> list[str]:
    """Return the files that the paths name, each once, in a fixed order.

    A file that is named is taken whatever it is called, unless it is to be left out: tools that
    name every changed file, such as pre-commit, do not know the patterns. A folder stands for the
    Python files and notebooks in it, without what .gitignore files name (those of the folders above
    count up to the top of the repository), without virtual environments, and without links to
    folders.

    Args:
        paths: of files and folders.
        exclude: what to leave out.

    Raises:
        FileNotFoundError, PermissionError: of a path that is not there, or a folder that cannot be
            read.
    """
    found: dict[str, str] = {}
    rules = [rules_of(item) for item in exclude]
    for path in paths:
        if not os.path.exists(path):
            raise FileNotFoundError(f"{path}: expected a file or a folder, found nothing")
        if os.path.isdir(path):
            files = _walk(path, rules)
        else:
            files = iter([] if is_within(path, rules) else [path])
        for file in files:
            found.setdefault(os.path.realpath(file), file)
    return list(found.values())


def is_within(file: str, rules: list[Rules]) -> bool:
    """Return whether patterns name a file, or a folder around it that they speak of."""
    path = Path(os.path.abspath(file))
    for one in rules:
        below = [folder for folder in path.parents if Path(one.folder) in folder.parents]
        if _matches(str(path), False, [one]) or any(_matches(str(f), True, [one]) for f in below):
            return True
    return False


def rules_of(item: Exclude) -> Rules:
    """Return patterns as rules."""
    return _rules(item.folder, item.patterns)


def _walk(top: str, exclude: list[Rules]) -> Iterator[str]:
    absolute = os.path.abspath(top)
    above = list(_gitignores_above(absolute))
    if _matches(absolute, True, above):
        above = []  # whoever names a folder wants it
    yield from _files(top, absolute, above, exclude)


def _files(shown: str, folder: str, ignore: list[Rules], exclude: list[Rules]) -> Iterator[str]:
    ignore = [*_gitignore(folder), *ignore]
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        is_folder = entry.is_dir(follow_symlinks=False)
        if not is_folder and not (entry.name.endswith(SUFFIXES) and entry.is_file()):
            continue
        if _matches(entry.path, is_folder, ignore) or _matches(entry.path, is_folder, exclude):
            continue
        path = os.path.join(shown, entry.name)
        if not is_folder:
            yield path
        elif not _is_left_alone(entry):
            yield from _files(path, entry.path, ignore, exclude)


def _is_left_alone(entry: os.DirEntry[str]) -> bool:
    return entry.name in _NEVER or os.path.exists(os.path.join(entry.path, "pyvenv.cfg"))


def _matches(path: str, is_folder: bool, rules: list[Rules]) -> bool:
    """The nearest file with something to say of the path decides."""
    for folder, spec in rules:
        relative = os.path.relpath(path, folder).replace(os.sep, "/")
        if relative.startswith("../"):
            relative = path.replace(os.sep, "/").lstrip("/")
        include = spec.check_file(relative + "/" if is_folder else relative).include
        if include is not None:
            return include
    return False


def _gitignores_above(folder: str) -> Iterator[Rules]:
    """Yield what the folders above say, the nearest first; nothing outside of a repository."""
    above = [folder, *map(str, Path(folder).parents)]
    top = next((n for n, path in enumerate(above) if _is_repository(path)), 0)
    for path in above[1 : top + 1]:
        yield from _gitignore(path)


def _is_repository(folder: str) -> bool:
    return os.path.exists(os.path.join(folder, ".git"))


def _gitignore(folder: str) -> Iterator[Rules]:
    try:
        text = Path(folder, ".gitignore").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, IsADirectoryError):
        return
    yield _rules(Path(folder), text.splitlines())


def _rules(folder: Path, patterns: Sequence[str]) -> Rules:
    return Rules(os.path.abspath(folder), GitIgnoreSpec.from_lines(patterns))
