"""The command `portnorm port`: what it prints, writes and returns."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
from pathlib import Path

import pytest

from portnorm import cli
from portnorm.port.diff import unified_diff
from portnorm.source import files

SOURCE = (
    b"# coding: latin-1\r\nimport torch.nn.functional as F\r\n"
    b"y = F.normalize(x)  # \xe9\r\nname.normalize()\r\nz = F.normalize(x, out=y)\r\n"
)
NOTEBOOK = json.dumps(
    {
        "cells": [
            {
                "cell_type": "code",
                "source": ["import torch.nn.functional as F\n", "y = F.normalize(x)"],
            }
        ],
        "nbformat": 4,
    },
    indent=1,
).encode()
PORTED = SOURCE.replace(b"F.normalize(x)", b"portnorm.mindspore.normalize(x)").replace(
    b"import torch", b"import portnorm.mindspore\r\nimport torch"
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.py"
    path.write_bytes(SOURCE)
    return path


def port(*argv: object) -> int:
    return cli.main(["port", "--to", "mindspore", *map(str, argv)])


def test_nothing_is_written_without_being_asked(
    file: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert port(file) == 1
    out, err = capsysbinary.readouterr()
    assert b"+y = portnorm.mindspore.normalize(x)  # \xe9\r\n" in out  # as the file has it
    assert err.decode().splitlines() == [
        f"{file}:5:5: PN205 out= works in PyNative mode only (rewritten with --unsafe)",
        "  |",
        "5 | z = F.normalize(x, out=y)",
        "  |     ^^^^^^^^^^^^^^^^^^^^^",
        "",
        "1 place to rewrite in 1 file, 1 left to people, 0 ignored, 1 other call untouched",
    ]
    assert file.read_bytes() == SOURCE


@pytest.mark.parametrize("path", [".", "./model.py", "model.py", "{}/model.py", "../{name}"])
@pytest.mark.parametrize("command", [["git", "apply"], ["patch", "-p1", "--binary"]])
def test_the_diff_can_be_applied(
    file: Path,
    path: str,
    command: list[str],
    capsysbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    notebook = file.parent / "n.ipynb"
    notebook.write_bytes(NOTEBOOK)
    file.with_name("sub").mkdir()
    monkeypatch.chdir(file.parent)
    assert port(path.format(file.parent, name=f"{file.parent.name}/model.py")) == 1
    diff = capsysbinary.readouterr().out
    subprocess.run(command, input=diff, check=True, capture_output=True)
    assert file.read_bytes() == PORTED
    assert (b"portnorm" in notebook.read_bytes()) is (path == ".")


def test_a_diff_of_files_above_names_them_from_the_top_of_the_repository(
    file: Path, capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["git", "init", "-q", str(file.parent)], check=True)
    (file.parent / "sub").mkdir()
    monkeypatch.chdir(file.parent / "sub")
    assert port("..") == 1
    diff = capsysbinary.readouterr().out
    subprocess.run(["git", "apply"], input=diff, check=True, cwd=file.parent)
    assert file.read_bytes() == PORTED


def test_write_keeps_line_endings_and_encoding(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert port("--write", file) == 1
    assert file.read_bytes() == PORTED
    assert "1 place rewritten in 1 file" in capsys.readouterr().out
    assert list(file.parent.iterdir()) == [file]
    assert port("--write", file) == 1  # out= is still left to people
    assert file.read_bytes() == PORTED


def test_normalization_by_hand_is_rewritten_if_an_option_or_a_setting_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_hand, call = tmp_path / "a.py", tmp_path / "b.py"
    by_hand.write_text("import torch\ny = x / x.norm(dim=1, keepdim=True)\n")
    call.write_text("import torch.nn.functional as F\ny = F.normalize(x)\n")
    new = "+y = portnorm.mindspore.normalize(x, dim=1, eps=0.0)"
    for arguments in ([], ["--hand-written"]):
        assert port(*arguments, by_hand, call) == 0
        assert (new in capsys.readouterr().out) == bool(arguments)
    (tmp_path / "pyproject.toml").write_text("[tool.portnorm.port]\nhand-written = true\n")
    assert port(by_hand) == 0
    assert new in capsys.readouterr().out
    assert port("--style", "inline", by_hand) == 0
    assert port("--style", "inline", "--hand-written", by_hand) == 1
    assert "PN210" in capsys.readouterr().err


def test_check_prints_no_diff_and_returns_0_when_all_is_done(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert port("--check", file) == 1
    assert "+++" not in capsys.readouterr().out
    assert port("--write", "--unsafe", file) == 0
    capsys.readouterr()
    assert port("--check", file) == 0
    assert (
        capsys.readouterr().out == "0 places to rewrite in 0 files, 0 left to people, 0 ignored, "
        "3 other calls untouched\n"
    )


def test_standard_input_takes_the_name_that_is_given(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stdin:
        buffer = io.BytesIO(SOURCE)

    Stdin.buffer = io.BytesIO(SOURCE.replace(b"\xe9", b"e"))
    monkeypatch.setattr("sys.stdin", Stdin)
    assert port("-", "--stdin-filename", "named.py") == 1
    out, err = capsys.readouterr()
    assert out.startswith("--- a/named.py\n+++ b/named.py\n")
    assert err.startswith("named.py:5:5: PN205 ")


def test_a_file_that_cannot_be_written_is_named_last_and_the_others_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["a.py", "b.py", "c.py", "d.py"]
    for name in names:
        (tmp_path / name).write_bytes(SOURCE)
    reasons = {"a.py": errno.EACCES, "c.py": errno.ENOSPC}
    replace = os.replace

    def fail(source: str, target: str) -> None:
        if code := reasons.get(Path(target).name):
            raise OSError(code, os.strerror(code))
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail)
    assert port("--write", *(tmp_path / name for name in names)) == 2
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == (
        "2 places rewritten in 2 files, 4 left to people, 0 ignored, 4 other calls untouched; "
        "2 files could not be written"
    )
    assert err.splitlines() == [
        f"portnorm: {tmp_path / name}: expected a file that can be written: {os.strerror(code)}"
        for name, code in reasons.items()
    ]
    written = {name: (tmp_path / name).read_bytes() for name in names}
    assert written == {"a.py": SOURCE, "b.py": PORTED, "c.py": SOURCE, "d.py": PORTED}
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_a_file_that_has_changed_meanwhile_is_left_and_the_others_are_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.py", "b.py", "gone.py"):
        (tmp_path / name).write_bytes(SOURCE)
    read = files.read

    def changing(path: str) -> files.SourceFile:
        (tmp_path / "a.py").write_bytes(b"new = 1\n")
        (tmp_path / "gone.py").unlink(missing_ok=True)
        return read(path)

    monkeypatch.setattr(files, "read", changing)
    assert port("--write", tmp_path) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"portnorm: {tmp_path}/a.py: expected the file that was read, it has changed",
        f"portnorm: {tmp_path}/gone.py: No such file or directory",
    ]
    assert (tmp_path / "a.py").read_bytes() == b"new = 1\n"
    assert (tmp_path / "b.py").read_bytes() == PORTED


def test_hard_links_are_reported_and_symbolic_links_followed(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backup, link = file.parent / "backup", file.parent / "link.py"
    os.link(file, backup)
    link.symlink_to(file)
    assert port("--write", link) == 1
    assert (file.read_bytes(), backup.read_bytes()) == (PORTED, SOURCE)
    assert link.is_symlink()
    assert capsys.readouterr().err == (
        f"portnorm: {link}: written under this name only; 1 hard link to the file kept the old "
        "text\n"
    )


@pytest.mark.parametrize("name", ["odd\n+++ b.py", 'a"b.py', "tab\t\\.py", "\udcff\u202eé.py"])
def test_a_diff_quotes_names_as_git_does(
    tmp_path: Path,
    name: str,
    capsysbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(SOURCE.replace(b"\r\n", b"\n").replace(b"\xe9", b"e"))
    assert port(name) == 1
    diff = capsysbinary.readouterr().out
    assert diff.count(b"\n+++ ") == 1
    subprocess.run(["git", "apply"], input=diff, check=True, capture_output=True)
    assert b"portnorm.mindspore.normalize" in Path(name).read_bytes()


def test_a_diff_escapes_what_is_no_letter_and_nothing_else(tmp_path: Path) -> None:
    header = unified_diff(str(tmp_path / 'a"b ~\x7f!.py'), b"a\n", b"b\n").splitlines()[0]
    assert header.endswith(b'/a\\042b ~\\177!.py"')


def test_a_diff_of_files_above_in_no_repository_names_them_from_the_folder_of_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    first, second, *_ = unified_diff("../../c/d.py", b"a\n", b"b\n").splitlines()
    assert (first, second) == (b"--- a/c/d.py", b"+++ b/c/d.py")


@pytest.mark.parametrize("form", ["json", "sarif"])
def test_reports_for_programs_are_json(
    file: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert port(file, "--format", form) == 1
    found = json.loads(capsys.readouterr().out)
    if form == "json":
        assert found["counts"] == {
            "rewritten": 1,
            "files": 1,
            "left": 1,
            "ignored": 0,
            "untouched": 1,
            "failures": 0,
        }
        assert [finding["code"] for finding in found["findings"]] == ["PN205"]
    else:
        assert [result["ruleId"] for result in found["runs"][0]["results"]] == ["PN205"]


def test_a_notebook_keeps_all_but_the_lines_that_change(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": ["F.normalize(x)"]},
        {
            "cell_type": "code",
            "execution_count": 3,
            "metadata": {},
            "outputs": [],
            "source": ["import torch.nn.functional as F\n", "y = F.normalize(x)\n", "%timeit f(y)"],
        },
    ]
    book = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    file = tmp_path / "book.ipynb"
    file.write_text(json.dumps(book, indent=1))
    assert port("--write", file) == 0
    new = json.loads(file.read_text())
    assert new["cells"][0] == cells[0]
    assert new["cells"][1].pop("source") == [
        "import portnorm.mindspore\n",
        "y = portnorm.mindspore.normalize(x)\n",
        "%timeit f(y)",
    ]
    cells[1].pop("source")
    assert new["cells"][1] == cells[1]


@pytest.mark.parametrize(
    "argv",
    [["missing.py"], ["-", "--write"], ["--stdin-filename", "a.py", "."], []],
    ids=["missing", "stdin", "no stdin", "no path"],
)
def test_bad_usage_is_one_line(
    argv: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Stdin:
        buffer = io.BytesIO(SOURCE)

    monkeypatch.setattr("sys.stdin", Stdin)
    monkeypatch.chdir(tmp_path)
    try:
        code = port(*argv)
    except SystemExit as error:
        code = int(error.code or 0)
    out, err = capsys.readouterr()
    assert (code, out, err.count("\n")) == (2, "", 1)


def test_a_file_that_is_not_python_is_reported_and_the_others_are_ported(
    tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "old.py").write_text("import torch\nprint 'torch.nn.functional.normalize'\n")
    assert port("--write", tmp_path) == 1
    assert file.read_bytes() == PORTED
    assert "old.py:2:1: PN001 no Python: " in capsys.readouterr().out
