"""Settings in pyproject.toml."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from portnorm.source.config import ConfigurationError, settings

EXPECTED = {"select": list, "style": str, "all": bool}


def found(*paths: object, command: str = "check") -> tuple[dict[str, object], Path]:
    values, folder = settings([str(path) for path in paths], command, EXPECTED)
    return dict(values), folder


def configure(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(text)
    return folder


def test_the_nearest_file_with_a_table_counts(tmp_path: Path) -> None:
    top = configure(tmp_path, "[tool.portnorm.check]\nselect = ['PN1']\nstyle = 'a'\n")
    configure(tmp_path / "p", "[project]\nname = 'portnorm-user'\n")
    near = configure(tmp_path / "q", "[tool.portnorm.check]\nselect = ['PN2']\n")
    assert found(tmp_path / "p" / "a.py") == ({"select": ["PN1"], "style": "a"}, top)
    assert found(tmp_path / "q") == ({"select": ["PN2"]}, near)
    assert found(tmp_path / "q" / "a.py", tmp_path / "p")[1] == top
    assert found(tmp_path / "q", command="port") == ({}, near)


def test_without_a_file_there_are_no_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert found("a.py") == found("-") == ({}, tmp_path)


def test_standard_input_has_the_settings_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(configure(tmp_path, "[tool.portnorm.check]\nselect = []\n"))
    assert found("-") == ({"select": []}, tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[tool.portnorm.check]\nselct = []",
            "select, style, all in tool.portnorm.check, found selct",
        ),
        ("[tool.portnorm.chek]", "expected one of check, port in tool.portnorm, found chek"),
        ("[tool.portnorm]\nselect = []", "expected one of check, port in tool.portnorm"),
        ("[tool.portnorm.check]\nselect = 'PN1'", "select: expected a list of strings"),
        ("[tool.portnorm.check]\nselect = [1]", "select: expected a list of strings"),
        ("[tool.portnorm.check]\nstyle = ['a']", "style: expected a string"),
        ("[tool.portnorm.check]\nall = 1", "all: expected true or false"),
        ("[tool]\nportnorm = 1", "expected tool.portnorm to be a table"),
        ("[tool.portnorm]\ncheck = 1", "expected tool.portnorm.check to be a table"),
        ("[tool.portnorm", "expected TOML"),
    ],
)
def test_settings_that_are_not_understood_are_refused_in_one_line(
    tmp_path: Path, text: str, message: str
) -> None:
    configure(tmp_path, text)
    with pytest.raises(ConfigurationError) as caught:
        found(tmp_path)
    assert str(caught.value).startswith(str(tmp_path / "pyproject.toml"))
    assert message in str(caught.value)


def test_files_of_others_are_not_judged(tmp_path: Path) -> None:
    configure(tmp_path, "[tool.other\n")
    assert found(tmp_path)[0] == {}


def test_a_file_that_cannot_be_decoded_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        found(tmp_path)


@pytest.mark.parametrize("version", [(3, 10, 0), (3, 11, 0)])
def test_the_reader_that_python_lacks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: tuple[int, ...]
) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name=name)

    configure(tmp_path, "[tool.portnorm.check]\n")
    monkeypatch.setattr(sys, "version_info", version)
    monkeypatch.setattr(importlib, "import_module", missing)
    name = "tomli" if version < (3, 11) else "tomllib"
    with pytest.raises(ConfigurationError, match=f"reading it needs {name}: pip install {name}"):
        found(tmp_path)
    configure(tmp_path, "[tool.other]\n")
    assert found(tmp_path)[0] == {}
