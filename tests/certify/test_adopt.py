"""certify --adopt: an unknown build is taken by the rules that fit, and only whole."""

from __future__ import annotations

import functools
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from portnorm import StrictParityError, TorchReference, cli, set_options
from portnorm.certify import adoption
from portnorm.reference import Adoption, read_references
from portnorm.reference import TorchReference as Reference
from portnorm.reference import adoption as limits
from tests.conftest import needs_torch
from tests.imports.blocked import run_python

LEAST = 3_000_000
FOUND = Adoption("2.13.0", 1234, limits.LEAST, limits.LEAST, 7, "2026-11-27", "0.1.0")
ADOPTED = TorchReference("9.9.0+cpu", "avx2", 2, adopted=FOUND)


@pytest.fixture
def future(monkeypatch: pytest.MonkeyPatch) -> TorchReference:
    """The installed torch as a release that nobody compared, and a shorter comparison.

    Returns what it is without that.
    """
    import torch

    live = TorchReference.current()
    monkeypatch.setattr(torch, "__version__", "9.9.0+cpu")
    monkeypatch.setattr(limits, "LEAST", LEAST)
    short = functools.partial(adoption.adopt, least=LEAST)
    monkeypatch.setattr("portnorm.certify.adopt", short)
    return live


def run(capsys: Any, path: Path, *options: str) -> tuple[int, str, str]:
    code = cli.main(["certify", "--host", "torch", "--adopt", str(path), *options])
    return code, *capsys.readouterr()


# --- the reference --------------------------------------------------------------------------------


def test_an_adopted_build_has_the_rules_of_the_release_that_fitted() -> None:
    assert ADOPTED.rules is TorchReference("2.13.0", "avx2").rules
    with pytest.raises(StrictParityError, match=r"9\.9\.0\+cpu .* --adopt FILE"):
        _ = TorchReference("9.9.0+cpu", "avx2", 2).rules


def test_a_file_of_an_adopted_build_is_read_and_set(tmp_path: Path) -> None:
    path = tmp_path / "adopted.json"
    path.write_text(ADOPTED.to_json())
    assert read_references(path) == (ADOPTED,)
    with set_options(reference=read_references(path)):
        pass
    code = """
import portnorm
print(portnorm.get_options().torch_reference_on("mindspore").adopted.rules)
"""
    assert run_python(code, environment={"PORTNORM_REFERENCE": str(path)}) == "2.13.0\n"


def changed(edit: Callable[[dict[str, Any]], object]) -> str:
    record = json.loads(ADOPTED.to_json())
    edit(record)
    return json.dumps(record)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda record: record.update(version="9.9.1"), "its digest is another one"),
        (lambda record: record.update(capability="avx512"), "its digest is another one"),
        (lambda record: record["adopted"].update(rules="2.15.0"), "its digest is another one"),
        (lambda record: record["adopted"].update(cases=9), "its digest is another one"),
        (lambda record: record["adopted"].pop("digest"), "its digest is another one"),
        (lambda record: record["adopted"].pop("seed"), "not what `portnorm certify --adopt`"),
        (lambda record: record["adopted"].update(values=True), "not what `portnorm certify"),
        (lambda record: record.update(adopted=[1]), "is a JSON object, not list"),
    ],
)
def test_a_changed_file_is_refused_with_the_reason(edit: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Reference.from_json(changed(edit))


@pytest.mark.parametrize(
    ("adopted", "reason"),
    [
        ({"values": limits.LEAST - 1}, "rests on fewer than 100,000,000 elements"),
        ({"gradients": 0}, "rests on fewer than 100,000,000 elements"),
        ({"date": "yesterday"}, "its date is none"),
        ({"rules": "9.8.0"}, "are not promised"),
    ],
)
def test_a_file_with_a_digest_that_promises_too_much_is_refused(
    adopted: dict[str, Any], reason: str
) -> None:
    values = {**FOUND.__dict__, **adopted}
    text = TorchReference("9.9.0+cpu", adopted=Adoption(**values)).to_json()
    with pytest.raises(ValueError, match=reason):
        Reference.from_json(text)


def test_the_threads_may_be_those_of_another_machine() -> None:
    text = changed(lambda record: record.update(threads=64))
    assert Reference.from_json(text).threads == 64


# --- the command ----------------------------------------------------------------------------------


@needs_torch
def test_a_build_is_adopted_with_the_newest_rules_that_fit(
    tmp_path: Path, capsys: Any, future: TorchReference
) -> None:
    if future.rules != replace(future, version="2.13.0").rules:
        pytest.skip("more elements are needed to tell the rules of this torch from newer ones")
    path = tmp_path / "adopted.json"
    code, out, _ = run(capsys, path, "--seed", "5")
    assert code == 0, out
    assert "the rules of 2.13.0: every bit agrees; " in out
    (reference,) = read_references(path)
    assert reference.version == "9.9.0+cpu"
    assert reference.adopted is not None
    assert (reference.adopted.rules, reference.adopted.seed) == ("2.13.0", 5)
    assert min(reference.adopted.values, reference.adopted.gradients) >= LEAST
    assert [p.name for p in tmp_path.iterdir()] == ["adopted.json"]


@needs_torch
@pytest.mark.usefixtures("future")
def test_where_no_rules_fit_the_smallest_cases_that_differ_are_written(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = adoption.framework

    def with_a_fault(name: str) -> Any:
        right = theirs(name)

        def wrong(case: Any) -> Any:
            outcome = right(case)
            if case.dtype == "float32" and isinstance(outcome.forward, np.ndarray):
                outcome.forward.view(np.uint32).reshape(-1)[:1] ^= 1
            return outcome

        return wrong

    monkeypatch.setattr(adoption, "framework", with_a_fault)
    code, out, _ = run(capsys, tmp_path / "adopted.json", "--seed", "5")
    assert code == 1, out
    assert "not bit-identical" in out
    (path,) = tmp_path.iterdir()
    assert path.name == "adopted-torch-differs.npz"
    with np.load(io.BytesIO(path.read_bytes())) as bundle:
        report = json.loads(str(bundle["report"]))
        sizes = [np.prod(case["x"]["shape"]) for case in report["cases"]]
        assert len(sizes) == 5
        assert sizes == sorted(sizes)
        assert report["cases"][0]["dtype"] == "float32"
        different = bundle["0_expected"].view(np.uint32) ^ bundle["0_found"].view(np.uint32)
        assert sorted(different.reshape(-1))[-1] == 1
        assert "0_x" in bundle


@needs_torch
@pytest.mark.usefixtures("future")
def test_nothing_is_written_by_a_run_that_is_interrupted(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(adoption, "check", interrupted)
    assert run(capsys, tmp_path / "adopted.json")[0] == 130
    assert list(tmp_path.iterdir()) == []


@needs_torch
def test_a_certified_build_needs_no_adoption(tmp_path: Path, capsys: Any) -> None:
    code, out, err = run(capsys, tmp_path / "adopted.json")
    assert (code, out) == (2, "")
    assert "is certified; there is nothing to adopt" in err


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--cases", "5"], "--cases is not for --adopt"),
        (["--seconds", "5"], "--seconds is not for --adopt"),
        (["--golden", "."], "--golden is not for --adopt"),
        (["--json"], "--json is not for --adopt"),
        (["--device", "cuda"], "--adopt is for builds on a CPU"),
    ],
)
def test_what_does_not_go_with_adopt_is_refused(
    options: list[str], reason: str, tmp_path: Path, capsys: Any
) -> None:
    code, _, err = run(capsys, tmp_path / "adopted.json", *options)
    assert code == 2
    assert reason in err
    assert err.count("\n") == 1


def test_a_name_that_cannot_be_written_is_refused_at_once(tmp_path: Path, capsys: Any) -> None:
    assert run(capsys, tmp_path / "none" / "adopted.json")[0] == 2
    assert run(capsys, tmp_path / "adopted.txt")[0] == 2
