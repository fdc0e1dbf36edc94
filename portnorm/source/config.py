"""Settings of the commands in pyproject.toml: the tables under [tool.portnorm]."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from portnorm.errors import PortnormError
from portnorm.text import did_you_mean

COMMANDS = ("check", "port")

Expected = type | tuple[str, ...]
"""What a setting takes: a type, or words of which it is one."""

_TYPES = {
    str: "a string",
    bool: "true or false",
    list: "a list of strings",
    dict: "a table of lists of strings",
}


class ConfigurationError(PortnormError):
    """A pyproject.toml has settings that are not understood."""


class Settings(NamedTuple):
    """What a pyproject.toml says of one command, and the folder that it stands in."""

    values: Mapping[str, Any]
    folder: Path


def settings(paths: Sequence[str], command: str, expected: Mapping[str, Expected]) -> Settings:
    """Return the settings of a command for some files.

    The nearest pyproject.toml with a table [tool.portnorm] counts, from the folder that all the
    paths are in upward.

    Args:
        paths: of files and folders.
        command: its table is [tool.portnorm.command].
        expected: the names of all settings, each with what it takes: the words that it may be, or
            a type: str, bool, list for a list of str, dict for such lists by patterns of files.

    Raises:
        ConfigurationError: there is another name, or another value.
    """
    for file, tables in _files(paths):
        _check_names(file, "tool.portnorm", tables, COMMANDS)
        table = tables.get(command, {})
        _check_table(file, f"tool.portnorm.{command}", table)
        _check_names(file, f"tool.portnorm.{command}", table, expected)
        for name, value in table.items():
            _check_value(f"{file}: tool.portnorm.{command}.{name}", value, expected[name])
        return Settings(table, file.parent)
    return Settings({}, Path.cwd())


def _files(paths: Sequence[str]) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Yield each pyproject.toml with tables for portnorm, the nearest first."""
    absolute = [os.path.abspath(path) for path in paths if path != "-"] or [os.getcwd()]
    common = Path(os.path.commonpath(absolute))
    for folder in (common, *common.parents):
        file = folder / "pyproject.toml"
        try:
            text = file.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, UnicodeError) as error:
            raise ConfigurationError(f"{file}: cannot be read: {error}") from error
        if "portnorm" in text:
            tool = _loaded(file, text).get("tool", {})
            if isinstance(tool, Mapping) and "portnorm" in tool:
                _check_table(file, "tool.portnorm", tool["portnorm"])
                yield file, tool["portnorm"]


def _loaded(file: Path, text: str) -> Mapping[str, Any]:
    name = "tomllib" if sys.version_info >= (3, 11) else "tomli"
    try:
        toml = importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"{file}: reading it needs {name}: pip install {name}") from error
    try:
        found: Mapping[str, Any] = toml.loads(text)
    except ValueError as error:
        raise ConfigurationError(f"{file}: expected TOML: {error}") from error
    return found


def _check_table(file: Path, name: str, value: object) -> None:
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{file}: expected {name} to be a table")


def _check_names(
    file: Path, table: str, found: Mapping[str, Any], expected: Sequence[str] | Mapping[str, Any]
) -> None:
    for name in found:
        if name not in expected:
            listed, close = ", ".join(expected), did_you_mean(name, expected)
            raise ConfigurationError(
                f"{file}: expected one of {listed} in {table}, found {name}{close}"
            )


def _check_value(what: str, value: object, expected: Expected) -> None:
    if isinstance(expected, tuple):
        if value not in expected:
            close = did_you_mean(str(value), expected)
            raise ConfigurationError(f"{what}: expected one of {', '.join(expected)}{close}")
    elif not _is_of_type(value, expected):
        raise ConfigurationError(f"{what}: expected {_TYPES[expected]}")


def _is_of_type(value: object, expected: type) -> bool:
    if expected is dict:
        return isinstance(value, Mapping) and all(_is_of_type(v, list) for v in value.values())
    if expected is list:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    return isinstance(value, expected)
