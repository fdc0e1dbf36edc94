"""certify --golden: stored outputs verify, a flipped bit is found, and the files are only data."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from portnorm import cli
from portnorm.certify import golden

GOLDEN = Path(__file__).parents[1] / "golden"
CASES = 60
BUILD = ("2.0.1", "avx512")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the first cases of one build."""
    shutil.copytree(
        GOLDEN, tmp_path / "golden", ignore=shutil.ignore_patterns("*.py", "aarch64", "cuda")
    )
    target = tmp_path / "golden"
    lines = (target / "cases.jsonl").read_text().splitlines(keepends=True)
    (target / "cases.jsonl").write_text("".join(lines[:CASES]))
    version, capability = BUILD
    index = json.loads((target / "index.json").read_text())["outputs"][version][capability]
    write_index(target, index)
    return target


def write_index(folder: Path, entry: dict[str, list[str]]) -> None:
    version, capability = BUILD
    (folder / "index.json").write_text(json.dumps({"outputs": {version: {capability: entry}}}))


def change(folder: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    """Change the arrays of the file of the main part."""
    path = folder / f"main-{'-'.join(BUILD)}.npz"
    with np.load(path) as file:
        arrays = dict(file)
    edit(arrays)
    np.savez(path, **arrays)


def refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert cli.main(["certify", "--golden", str(folder)]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    return err


def test_stored_outputs_verify(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["certify", "--golden", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "torch 2.0.1 avx512 gradient float32" in out
    assert out.endswith("\nBit-identical.\n")


@pytest.mark.parametrize("function", ["forward", "gradient"])
def test_one_flipped_bit_is_found(
    folder: Path, function: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def flip(arrays: dict[str, Any]) -> None:
        arrays[f"main_{function}"][arrays[f"main_{function}_offset"][2] + 4] ^= 1

    change(folder, flip)
    assert cli.main(["certify", "--golden", str(folder), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["total"]["mismatches"] == 1
    first = found["first_mismatch"]
    assert (first["function"], first["case"]) == (function, "2 of group fast_tail")
    assert (first["build"], first["index"]) == ("torch 2.0.1 avx512", [0, 1])
    assert int(first["expected_word"], 16) ^ int(first["found_word"], 16) == 1


def test_a_changed_digest_and_a_missing_error_are_found() -> None:
    case = golden.read_cases(GOLDEN)[0].case
    right = np.zeros(case.x.shape, np.float32)
    digest = golden._compare_stored(golden.DIGEST, bytes(32), right, case)
    error = golden._compare_stored(golden.ERROR, b"", right, case)
    no_error = golden._compare_stored(golden.VALUES, right.tobytes(), RuntimeError, case)
    assert [count.mismatches for count, _ in (digest, error, no_error)] == [1, 1, 1]
    assert golden._compare_stored(golden.ERROR, b"", RuntimeError, case)[0].mismatches == 0
    assert golden._compare_stored(golden.VALUES, right.tobytes(), right, case)[1] == {}


def test_every_certified_build_but_one_has_stored_outputs() -> None:
    from portnorm.reference import certified

    stored = {
        (build.reference.version, build.reference.capability)
        for build in [*golden.read_builds(GOLDEN), *golden.read_digests(GOLDEN / "cuda")]
    }
    promised = {
        (version, row.capability)
        for row in certified()
        if row.framework == "torch"
        for version in row.versions
    }
    assert promised - stored == {("2.5.1", "neon")}
    assert stored <= promised


def test_nothing_in_the_folder_is_run(folder: Path) -> None:
    for name in ("recipe.py", "verify.py", "numpy.py"):
        (folder / name).write_text("raise SystemExit('run')")
    assert golden.certify_golden(folder).identical


def test_pickles_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(folder, lambda arrays: arrays.update(main_forward=np.array([None], object)))
    assert "not a folder of stored outputs" in refused(folder, capsys)


def test_files_outside_of_the_folder_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_index(folder, {"main": ["../main-2.0.1-avx512.npz"], "general_p": []})
    assert "not the name of a file in the folder" in refused(folder, capsys)


def edit_first_case(folder: Path, **changes: Any) -> None:
    path = folder / "cases.jsonl"
    first, *others = path.read_text().splitlines()
    path.write_text("\n".join([json.dumps({**json.loads(first), **changes}), *others]))


def test_other_inputs_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit_first_case(folder, seed=1)
    assert "inputs of case 0 are not those" in refused(folder, capsys)


@pytest.mark.parametrize(
    "changes", [{"strides": [10**6, 1]}, {"offset": -1}, {"dtype": "int8"}, {"id": 10**6}]
)
def test_cases_that_cannot_be_are_refused(
    folder: Path, changes: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    edit_first_case(folder, **changes)
    assert "golden" in refused(folder, capsys)


def test_a_folder_without_outputs_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "cases.jsonl" in refused(tmp_path, capsys)


@pytest.mark.parametrize("option", ["--cases 3", "--seconds 3", "--seed 3", "--host mindspore"])
def test_options_of_random_cases_are_refused(
    folder: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["certify", "--golden", str(folder), *option.split()]) == 2
    assert "--golden" in capsys.readouterr().err
