"""The examples: both models learn alike on both frameworks, and normalisation has no part in what
differs.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import needs_mindspore, needs_torch
from tests.imports.blocked import start_python

FOLDER = Path(__file__).parents[2] / "examples"
STEPS = 50
TOLERANCE = 1e-5
"""Ten units in the last place of the first loss, about 10.

Of 16 seeds, the curves of the two hosts were at most 2.9e-6 apart, and those of torch alone 1.9e-6
after the last bit of every initial number was changed.
"""

each_example = pytest.mark.parametrize("name", ["arcface", "clip"])


def run_example(
    name: str, *arguments: str, folder: Path = FOLDER
) -> subprocess.CompletedProcess[str]:
    # MindSpore calls what Python deprecates when the process ends.
    warnings = ["-W", "error", "-W", "ignore:getName:DeprecationWarning"]
    return subprocess.run(
        [sys.executable, *warnings, str(folder / "training.py"), name, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def losses(output: str) -> np.ndarray:
    """Return one row for each step."""
    rows = re.findall(r"^ +(\d+) +(\S+)(?: +(\S+) +\S+|)$", output, re.M)
    assert [int(row[0]) for row in rows] == list(range(1, STEPS + 1))
    return np.array([[float(number) for number in row[1:] if number] for row in rows])


def words_that_differ(output: str) -> dict[str, tuple[int, int]]:
    """Return, for each way to normalise, what differs in results and in gradients."""
    rows = re.findall(r"^([a-zF].*?) +([\d,]+) +([\d,]+)$", output, re.M)
    return {way: tuple(int(n.replace(",", "")) for n in numbers) for way, *numbers in rows}


@needs_torch
@needs_mindspore
@each_example
def test_both_frameworks_learn_alike_and_strict_normalisation_adds_no_difference(name: str) -> None:
    result = run_example(name, "--host", "both")
    assert result.returncode == 0, result.stderr
    curves = losses(result.stdout)
    assert (curves[-1] < curves[0] / 4).all()
    assert np.abs(curves[:, 0] - curves[:, 1]).max() < TOLERANCE
    strict, *others = words_that_differ(result.stdout).values()
    assert strict == (0, 0)
    assert len(others) == 2
    # What is counted can differ: these have the same values but for rounding.
    assert all(forward > 10_000 and gradient > 10_000 for forward, gradient in others)


@each_example
@pytest.mark.parametrize(
    ("host", "other"),
    [
        pytest.param("torch", "mindspore", marks=needs_torch),
        pytest.param("mindspore", "torch", marks=needs_mindspore),
    ],
)
def test_one_framework_is_enough(name: str, host: str, other: str) -> None:
    code = f"""
import sys, runpy
sys.path.insert(0, {str(FOLDER)!r})
sys.argv = ["training.py", "{name}", "--host", "{host}"]
runpy.run_path({str(FOLDER / "training.py")!r}, run_name="__main__")
"""
    result = start_python(code, blocked=[other])
    assert result.returncode == 0, result.stderr
    (curve,) = losses(result.stdout).T
    assert curve[-1] < curve[0] / 4


CALL = "host.functions.normalize(x, dim=dim, parity=parity)"
FAULTS = {
    "another eps": CALL.replace(
        "dim=dim", 'dim=dim, eps=10.0 if host.name == "MindSpore" else 1e-12'
    ),
    "another rounding": CALL.replace("=parity", '="semantic"'),
}


@needs_torch
@needs_mindspore
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_difference_under_strict_ends_the_script_with_1(tmp_path: Path, fault: str) -> None:
    folder = tmp_path / "examples"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
    source = (folder / "training.py").read_text()
    for old, new in ((CALL, fault), (f"STEPS = {STEPS}\n", "STEPS = 4\n")):
        assert source.count(old) == 1
        source = source.replace(old, new)
    (folder / "training.py").write_text(source)
    result = run_example("clip", folder=folder)
    assert result.returncode == 1
    assert result.stderr.startswith("Normalisation differs under parity='strict'.")
    assert min(words_that_differ(result.stdout)['normalize, parity="strict"']) > 1000


@needs_torch
@pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not installed"
)
def test_losses_are_drawn(tmp_path: Path) -> None:
    file = tmp_path / "losses.png"
    result = run_example("arcface", "--host", "torch", "--plot", str(file))
    assert result.returncode == 0, result.stderr
    assert file.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("missing", ["torch", "mindspore", "matplotlib"])
def test_a_package_that_is_missing_is_named(missing: str) -> None:
    code = f"""
import sys, runpy
sys.path.insert(0, {str(FOLDER)!r})
sys.argv = ["training.py", "clip", "--host", "both", "--plot", "losses.png"]
runpy.run_path({str(FOLDER / "training.py")!r}, run_name="__main__")
"""
    result = start_python(code, blocked=[missing])
    assert result.returncode == 2
    assert "is not installed" in result.stderr
