"""certify on CUDA devices: stored digests, and a live device where there is one."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from portnorm import TorchReference, cli
from portnorm.certify import certify, certify_golden, torch_case
from portnorm.certify.builds import InProcess, installed_builds
from portnorm.certify.check import check
from portnorm.certify.cuda_golden import read_digests
from portnorm.certify.implementations import exact, framework
from portnorm.certify.report import name_of
from tests.conftest import needs_torch

STORED = Path(__file__).parents[1] / "golden" / "cuda" / "other-devices-2.11.0.npz"
FEW = 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the first digests of each device."""
    with np.load(STORED) as file:
        first = {name: file[name][:FEW] for name in file.files}
    np.savez(tmp_path / "few-2.11.0.npz", **first)
    return tmp_path


def flip_a_bit(path: Path) -> None:
    with np.load(path) as file:
        arrays = {name: file[name].copy() for name in file.files}
    arrays["digests_108x2048"][1, 2] ^= np.uint64(1)
    np.savez(path, **arrays)


def test_stored_digests_verify(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["certify", "--golden", str(folder), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["total"]["cases"] == 7 * FEW
    assert {found["build"] for found in report["classes"]} >= {"torch 2.11.0 cuda 108x2048"}
    assert {found["function"] for found in report["classes"]} == {"norm", "forward", "gradient"}


def test_they_may_stand_in_a_folder_of_their_own(folder: Path, tmp_path: Path) -> None:
    below = tmp_path / "cuda"
    below.mkdir()
    (folder / "few-2.11.0.npz").rename(below / "few-2.11.0.npz")
    assert certify_golden(tmp_path).total.cases == 7 * FEW


def test_one_flipped_bit_is_found(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flip_a_bit(folder / "few-2.11.0.npz")
    assert cli.main(["certify", "--golden", str(folder), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["total"]["mismatches"] == 1
    assert report["first_mismatch"]["function"] == "gradient"
    assert report["first_mismatch"]["build"] == "torch 2.11.0 cuda 108x2048"


def test_names_that_are_no_devices_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(folder / "few-2.11.0.npz", seeds_x=np.zeros(1), digests_x=np.zeros((1, 3)))
    assert cli.main(["certify", "--golden", str(folder)]) == 2
    assert "'_x' is not the name of a device" in capsys.readouterr().err


def test_each_device_is_read_with_its_release() -> None:
    stored = list(read_digests(STORED.parent))
    assert {found.reference.version for found in stored} == {"2.11.0"}
    assert name_of(TorchReference("2.11.0", "cuda")) in {name_of(s.reference) for s in stored}


@needs_torch
def test_a_cpu_does_not_pass_for_a_device() -> None:
    """The comparison with a live device finds one that adds in another order."""
    cases = [case for case in map(partial(torch_case, 0), range(40)) if case.dtype == "float32"]
    reference = TorchReference("2.11.0", "cuda")
    found = check(cases, framework("torch", "cpu"), exact(reference))
    assert sum(count.mismatches for count in found.counts.values()) > 0
    assert found.refused > 0  # other p


def test_a_release_that_was_read_is_compared_with_what_was_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("torch")
    read = TorchReference("2.9.1", "cuda")
    monkeypatch.setattr(TorchReference, "current", lambda device: read)
    build = InProcess("torch", device="cuda")
    build._theirs = exact(read)
    report = certify([build], seed=0, cases=6)
    assert report.total.mismatches == 0
    assert report.notes == [f"{name_of(read)} is not certified: compared with what its headers say"]
    build._theirs = exact(TorchReference("2.11.0", "cuda"))
    assert certify([build], seed=0, cases=40).total.mismatches > 0


@needs_torch
def test_a_live_device_is_bit_identical_or_the_reason_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    import torch

    if torch.cuda.is_available():
        with installed_builds(["torch"], "cuda") as (builds, notes):
            assert notes == []
            assert certify(builds, seed=0, cases=200).identical
        return
    assert cli.main(["certify", "--device", "cuda", "--cases", "1"]) == 2
    assert "torch sees no CUDA device 'cuda'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("--device cuda --host mindspore", "--device is of torch, and --host names MindSpore"),
        ("--device cuda --golden x", "--golden has those of any device"),
    ],
)
def test_bad_usage(argv: str, message: str, capsys: Any) -> None:
    assert cli.main(["certify", *argv.split()]) == 2
    assert message in capsys.readouterr().err


@needs_torch
def test_a_package_on_the_path_does_not_hide_the_standard_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """MindSpore leaves the folder of its nn/layer/math.py on the path."""
    (tmp_path / "__init__.py").touch()
    (tmp_path / "math.py").write_text("raise ImportError('the math of a package')")
    monkeypatch.syspath_prepend(tmp_path)
    cli.main(["certify", "--host", "torch", "--cases", "1"])
    assert "the math of a package" not in capsys.readouterr().err
