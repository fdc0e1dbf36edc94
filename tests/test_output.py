"""Commands whose output or files cannot be written: one line that names them, and exit code 2."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from portnorm import cli
from tests.conftest import needs_torch
from tests.imports.blocked import ROOT

WRONG = "import torch.nn.functional as F\ny = F.normalize(x)\n"
COMMANDS = [["reference", "--certified"], ["explain"], ["check", "."], ["--help"], ["--version"]]
COMMANDS += [["port", "--to", "mindspore", "."]]


def run(command: list[str], folder: Path, redirected: str) -> subprocess.CompletedProcess[str]:
    (folder / "a.py").write_text(WRONG)
    return subprocess.run(
        ["bash", "-c", f'exec "$@" {redirected}', "-", sys.executable, "-m", "portnorm", *command],
        env={k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
        | {"PYTHONPATH": str(ROOT)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_full_standard_output_is_named(command: list[str], tmp_path: Path) -> None:
    done = run(command, tmp_path, ">/dev/full")
    last = done.stderr.splitlines()[-1]
    assert (done.returncode, last) == (2, "portnorm: standard output: No space left on device")
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_standard_error_leaves_the_exit_code(tmp_path: Path) -> None:
    assert run(["compare", "none.npy"], tmp_path, "2>/dev/full").returncode == 2


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_closed_streams_leave_the_exit_code(command: list[str], tmp_path: Path) -> None:
    expected = run(command, tmp_path, ">/dev/null").returncode
    done = run(command, tmp_path, ">&- <&-")
    assert done.returncode == expected
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("command", "name"),
    [
        pytest.param(["compare", "a.npy", "--html", "o.html"], "o.html", marks=needs_torch),
        pytest.param(["compare", "a.npy", "--png", "o.png"], "o.png", marks=needs_torch),
        pytest.param(
            ["reference", "--host", "torch", "--save", "o.json"], "o.json", marks=needs_torch
        ),
        (["port", "--to", "mindspore", "--write", "a.py"], "a.py"),
        (["check", "--fix", "b.py"], "b.py"),
    ],
)
def test_a_full_disk_names_the_file_and_leaves_no_other(
    command: list[str],
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.chdir(tmp_path)
    np.save("a.npy", np.float32([[0, 1]]))
    Path("a.py").write_text(WRONG)
    Path("b.py").write_text(
        "from mindspore import ops\nl2 = ops.L2Normalize(epsilon=1e-12)\n"
        "from portnorm.mindspore import normalize\ny = normalize(x, axis=1)\n"
    )
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(os, "fsync", full)
    assert cli.main(command) == 2
    said = f"portnorm: {name}: expected a file that can be written: No space left on device"
    assert said in capsys.readouterr().err.splitlines()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_mended_file_with_other_names_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    text = "from portnorm.mindspore import normalize\ny = normalize(x, axis=1)\n"
    Path("a.py").write_text(text)
    os.link("a.py", "backup")
    cli.main(["check", "--fix", "a.py"])
    assert capsys.readouterr().err == (
        "portnorm: a.py: written under this name only; 1 hard link to the file kept the old text\n"
    )
    assert Path("backup").read_text() == text != Path("a.py").read_text()
