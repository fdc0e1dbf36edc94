"""`portnorm reference`: what it prints and records, and its exit codes."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from portnorm import CudaDevice, MindSporeReference, StrictParityError, TorchReference, cli
from portnorm.reference import Reference, certified, parse_references, read_references
from tests.conftest import needs_mindspore, needs_torch
from tests.imports.blocked import run_python, start_python

ARM = TorchReference("2.9.1+cpu", "neon", threads=4)
MINDSPORE = MindSporeReference("2.9.0", "aarch64")

Result = Reference | BaseException


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[[Result, Result], None]:
    """Let the frameworks that are installed be others; an exception is what an import raises."""

    def install(torch: Result, mindspore: Result) -> None:
        for kind, result in ((TorchReference, torch), (MindSporeReference, mindspore)):
            monkeypatch.setattr(
                kind, "current", lambda *device, result=result: raised_or_returned(result)
            )

    return install


def raised_or_returned(result: Result) -> Reference:
    if isinstance(result, BaseException):
        raise result
    return result


def missing(name: str) -> ModuleNotFoundError:
    return ModuleNotFoundError(f"No module named {name!r}", name=name)


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, list[str]]:
    """Return the exit code, what is printed, and the lines on stderr."""
    try:
        code: Any = cli.main(["reference", *argv])
    except SystemExit as error:
        code = error.code
    out, err = capsys.readouterr()
    return code, out, err.splitlines()


# --- printing -------------------------------------------------------------------------------------


def test_both_references_are_printed_as_json(installed: Any, capsys: Any) -> None:
    installed(ARM, MINDSPORE)
    code, out, err = run(capsys)
    assert (code, err) == (0, [])
    assert parse_references(out) == (ARM, MINDSPORE)
    assert json.loads(out) == [json.loads(ARM.to_json()), json.loads(MINDSPORE.to_json())]


def test_a_cuda_device_is_one_of_torch_alone(installed: Any, capsys: Any, tmp_path: Path) -> None:
    gpu = TorchReference("2.11.0+cu130", "cuda", device=CudaDevice(7, 1024, "seven"))
    installed(gpu, MINDSPORE)
    code, out, err = run(capsys, "--device", "cuda")
    assert (code, err) == (0, [])
    assert parse_references(out) == (gpu,)
    file = tmp_path / "gpu.json"
    assert run(capsys, "--device", "cuda", "--save", str(file))[0] == 0
    (found,) = read_references(file)
    assert found == gpu
    assert found.device.name == "seven"


def test_without_a_cuda_device_the_reason_is_told(installed: Any, capsys: Any) -> None:
    installed(StrictParityError("torch sees no CUDA device 'cuda': none"), MINDSPORE)
    code, out, err = run(capsys, "--device", "cuda")
    assert (code, out) == (2, "")
    assert err == ["portnorm: torch sees no CUDA device 'cuda': none"]


@pytest.mark.parametrize(("host", "expected"), [("torch", ARM), ("mindspore", MINDSPORE)])
def test_host_restricts_it_to_one_framework(
    host: str, expected: Reference, installed: Any, capsys: Any
) -> None:
    other_is_missing = (
        (ARM, missing("mindspore")) if host == "torch" else (missing("torch"), MINDSPORE)
    )
    installed(*other_is_missing)
    code, out, err = run(capsys, "--host", host)
    assert (code, err) == (0, [])
    assert parse_references(out) == (expected,)


def test_a_framework_that_is_missing_is_named_and_the_other_printed(
    installed: Any, capsys: Any
) -> None:
    installed(missing("torch"), MINDSPORE)
    code, out, err = run(capsys)
    assert (code, err) == (0, ["portnorm: torch is not installed"])
    assert parse_references(out) == (MINDSPORE,)


@pytest.mark.parametrize("arguments", [[], ["--save", "reference.json"]])
def test_without_any_framework_there_is_nothing_to_print_or_save(
    arguments: list[str], installed: Any, capsys: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    installed(missing("torch"), missing("mindspore"))
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err == ["portnorm: torch is not installed", "portnorm: mindspore is not installed"]
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "error", [missing("filelock"), ImportError("libc10.so: cannot open"), OSError("libc10.so")]
)
def test_a_framework_that_cannot_be_imported_is_not_called_missing(
    error: Exception, installed: Any, capsys: Any
) -> None:
    installed(error, MINDSPORE)
    code, out, err = run(capsys)
    assert (code, err) == (0, [f"portnorm: torch cannot be imported: {error}"])
    assert parse_references(out) == (MINDSPORE,)


def test_a_build_that_is_not_certified_is_printed_with_a_note(installed: Any, capsys: Any) -> None:
    installed(TorchReference("1.13.1"), MINDSPORE)
    code, out, (note,) = run(capsys)
    assert code == 0
    assert parse_references(out) == (TorchReference("1.13.1"), MINDSPORE)
    assert note.startswith("portnorm: the bits of torch 1.13.1 with capability 'avx2' are not ")


def test_a_machine_for_which_nothing_is_certified_has_no_reference(
    installed: Any, capsys: Any
) -> None:
    refusal = StrictParityError("no build of torch for win32")
    installed(refusal, refusal)
    code, out, err = run(capsys, "--host", "torch")
    assert (code, out, err) == (2, "", ["portnorm: no build of torch for win32"])


# --- recording ------------------------------------------------------------------------------------


def test_save_records_them_and_prints_nothing(installed: Any, capsys: Any, tmp_path: Path) -> None:
    installed(ARM, MINDSPORE)
    path = tmp_path / "reference.json"
    path.write_text("an older file")
    assert run(capsys, "--save", str(path)) == (0, "", [])
    assert read_references(path) == (ARM, MINDSPORE)
    assert os.listdir(tmp_path) == ["reference.json"]


def test_what_is_recorded_is_used_by_a_process_that_is_told_the_file(
    installed: Any, capsys: Any, tmp_path: Path
) -> None:
    installed(ARM, MINDSPORE)
    path = tmp_path / "reference.json"
    run(capsys, "--save", str(path))
    code = """
import portnorm
options = portnorm.get_options()
print(options.torch_reference.to_json(), options.mindspore_reference.to_json(), sep="\\n")
"""
    printed = run_python(
        code, blocked=["torch", "mindspore"], environment={"PORTNORM_REFERENCE": str(path)}
    )
    assert printed == f"{ARM.to_json()}\n{MINDSPORE.to_json()}\n"


def test_a_file_that_cannot_be_written_is_named(
    installed: Any, capsys: Any, tmp_path: Path
) -> None:
    installed(ARM, MINDSPORE)
    path = tmp_path / "none" / "reference.json"
    code, out, (message,) = run(capsys, "--save", str(path))
    assert (code, out) == (2, "")
    assert (
        message
        == f"portnorm: {path}: expected a file that can be written: No such file or directory"
    )


# --- the certified builds -------------------------------------------------------------------------


def test_certified_shows_every_build_whose_bits_are_promised(installed: Any, capsys: Any) -> None:
    installed(AssertionError("not needed"), AssertionError("not needed"))
    code, out, err = run(capsys, "--certified")
    assert (code, err) == (0, [])
    expected = [
        word
        for row in certified()
        for word in (row.framework, row.machine, row.capability, *row.versions)
        if word
    ]
    assert out.split() == ["framework", "machine", "capability", "versions", *expected]
    assert max(map(len, out.splitlines())) <= 80


def test_certified_can_be_restricted_to_one_framework(capsys: Any) -> None:
    _, out, _ = run(capsys, "--certified", "--host", "mindspore")
    rows = [line.split()[0] for line in out.splitlines() if not line.startswith(" ")]
    assert rows == ["framework", "mindspore", "mindspore"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--certified", "--save", "x"], "--save: not allowed with argument --certified"),
        (["--host", "jax"], "--host: invalid choice: 'jax'"),
        (["--device", "tpu"], "--device: invalid choice: 'tpu'"),
        (["--device", "cuda", "--host", "mindspore"], "--device is of torch"),
        (["reference.json"], "unrecognized arguments: reference.json"),
        (["--save"], "--save: expected one argument"),
    ],
)
def test_bad_usage_is_one_line(arguments: list[str], message: str, capsys: Any) -> None:
    code, out, (line,) = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert message in line


# --- the real thing -------------------------------------------------------------------------------

COMMAND = "import runpy; runpy.run_module('portnorm', run_name='__main__', alter_sys=True)"


@needs_torch
@needs_mindspore
def test_the_command_names_the_frameworks_of_this_environment() -> None:
    import mindspore
    import torch

    done = start_python(COMMAND, "reference")
    assert (done.returncode, done.stderr) == (0, "")
    of_torch, of_mindspore = parse_references(done.stdout)
    assert of_torch.version == torch.__version__
    assert of_mindspore == MindSporeReference(mindspore.__version__, platform.machine())


def test_the_command_needs_no_other_package() -> None:
    others = ["torch", "mindspore", "numpy", "numba", "rich"]
    done = start_python(COMMAND, "reference", "--certified", blocked=others)
    assert (done.returncode, done.stderr) == (0, "")
    done = start_python(COMMAND, "reference", blocked=others)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("is not installed") == 2
