"""Dumps of msprobe: two real ones are watched, identified and compared; damaged ones refused."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
from pathlib import Path

import pytest

from portnorm import cli
from portnorm.readers import UnreadableError, open_array, open_arrays, open_dump
from tests.conftest import needs_torch
from tests.sampling import seed_of_test

pytestmark = needs_torch
"""One of the two dumps has tensors of torch."""

EXAMPLES = Path(__file__).parents[2] / "examples" / "msprobe"
TORCH, MINDSPORE = EXAMPLES / "torch", EXAMPLES / "mindspore"


def run(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, str, str]:
    code = cli.main([*map(str, argv)])
    out, err = capsys.readouterr()
    return code, " ".join(out.split()), err


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    return shutil.copytree(TORCH, tmp_path / "dump")


# --- reading --------------------------------------------------------------------------------------


def test_calls_have_arguments_places_and_tensors() -> None:
    found = {call.name: call for call in open_dump(str(TORCH)).calls}
    assert list(found) == [
        "Functional.normalize.0.forward",
        "Functional.normalize.1.forward",
        "Functional.normalize.0.backward",
    ]
    first = found["Functional.normalize.0.forward"]
    assert first.keywords == {"dim": 1}
    assert first.arguments[0].shape == first.outputs[0].shape == (6, 4)
    assert first.arguments[0].dtype == "float32"
    assert (Path(first.file).name, first.line) == ("model_torch.py", 23)
    assert open_arrays(str(TORCH)).names[0] == first.arguments[0].key


def test_a_tensor_is_opened_by_name() -> None:
    for folder, key in (
        (TORCH, "Functional.normalize.0.forward.input.0"),
        (
            MINDSPORE,
            "Primitive.norm.L2Normalize.0.forward.input.0",
        ),
    ):
        with open_array(str(folder), key) as source:
            assert (source.shape, source.dtype) == ((6, 4), "float32")


def test_stacks_of_older_dumps_are_read(dump: Path) -> None:
    stacks = json.loads((dump / "stack.json").read_text())
    older = {name: frames for names, frames in stacks.values() for name in names}
    (dump / "stack.json").write_text(json.dumps(older))
    places = [(call.file, call.line) for call in open_dump(str(dump)).calls]
    assert places == [(call.file, call.line) for call in open_dump(str(TORCH)).calls]
    (dump / "stack.json").unlink()
    assert {call.file for call in open_dump(str(dump)).calls} == {""}


def test_one_dump_below_a_folder_is_found_and_several_are_listed(
    dump: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    top = dump.parent
    assert len(open_dump(str(top)).calls) == 3
    shutil.copytree(dump, top / "step1" / "rank0")
    with pytest.raises(UnreadableError, match=r"holds 2 dumps; give one of them: .*rank0"):
        open_dump(str(top))
    with pytest.raises(UnreadableError, match=r"found no dump\.json"):
        open_dump(str(dump / "dump_tensor_data"))


# --- commands -------------------------------------------------------------------------------------


def test_a_dump_is_watched(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    target = tmp_path / "calls.json"
    code, _, err = run(capsys, "watch", "--from", TORCH, "--json", target)
    assert code == 0
    assert "2 calls from 2 lines; 1 at risk when ported." in err
    first, second = json.loads(target.read_text())["records"]
    assert first["function"] == "torch.nn.functional.normalize"
    assert (first["counts"]["zero"], first["counts"]["between"]) == (1, 1)
    assert first["when_ported"]["use"] == "portnorm.mindspore.normalize(x, dim=1)"
    assert (second["when_ported"]["status"], second["vectors"]) == ("agrees", 6)


def test_the_axis_that_msprobe_does_not_keep_is_found(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    target = tmp_path / "calls.json"
    assert run(capsys, "watch", "--from", MINDSPORE, "--json", target)[0] == 0
    found = json.loads(target.read_text())
    operator, adapter = found["records"]
    assert (operator["dim"], operator["eps"]) == ([1], 1e-4)
    assert operator["when_ported"]["use"] == "portnorm.torch.L2Normalize(axis=1)(x)"
    assert (adapter["function"], adapter["dim"]) == ("portnorm.mindspore.normalize", -1)
    copy = shutil.copytree(MINDSPORE, tmp_path / "copy")
    (copy / "dump_tensor_data" / "Primitive.norm.L2Normalize.0.forward.output.0.npy").unlink()
    _, _, err = run(capsys, "watch", "--from", copy)
    assert "Primitive.norm.L2Normalize.0.forward: msprobe keeps no axis of it" in " ".join(
        err.split()
    )


def test_calls_without_tensors_are_watched(capsys: pytest.CaptureFixture[str], dump: Path) -> None:
    content = json.loads((dump / "dump.json").read_text())
    for call in content["data"].values():
        for one in [*call.get("input_args", []), *call.get("output", []), *call.get("input", [])]:
            del one["data_name"]
    content["data"]["Functional.normalize.0.forward"]["input_kwargs"] = {
        "p": {"type": "float", "value": float("inf")},
        "dim": [{"type": "int", "value": 0}, {"type": "int", "value": 1}],
    }
    (dump / "dump.json").write_text(json.dumps(content))
    code, _, err = run(capsys, "watch", "--from", dump)
    shown = " ".join(err.replace("│", " ").split())
    assert code == 0
    assert "L2Normalize has p=2 only, not inf" in shown
    assert "values of 1 call not seen" in shown
    code, out, err = run(capsys, "identify", dump)
    assert (code, out) == (2, "")
    assert 'let msprobe dump with "task": "tensor"' in err


def test_the_calls_of_a_dump_are_identified(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "identify", TORCH)
    assert (code, err) == (0, "")
    assert out.count("The output is F.normalize(x, dim=1), bit for bit as torch") == 2
    code, out, _ = run(capsys, "identify", MINDSPORE, "--json")
    first, second = json.loads(out)["identifications"]
    assert first["best"]["explanation"] == "L2Normalize(axis=1)(x)"
    assert first["best"]["builds"] == ["MindSpore 2.10.0 on a CPU"]
    assert second["best"]["explanation"] == "F.normalize(x, dim=1)"  # of the adapter, strict


def test_a_gradient_of_a_dump_is_identified(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "identify", MINDSPORE, "--key", "*L2Normalize.0.backward")
    assert code == 0
    assert "L2Normalize(axis=1)(x), as MindSpore's operator computes it" in out
    code, out, err = run(capsys, "identify", TORCH, "--key", "*.backward")
    assert (code, out) == (2, "")
    assert "expected one gradient, found 2" in err


def test_what_is_normalized_in_a_dump_is_compared(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "compare", TORCH, "--json")
    assert code == 1
    names = {Path(one["name"]).stem for one in json.loads(out)["comparisons"]}
    assert names == {f"Functional.normalize.{n}.forward.input.0" for n in (0, 1)}


def test_two_dumps_are_compared(capsys: pytest.CaptureFixture[str]) -> None:
    by = "--key", "Functional.normalize.0.forward.output.0", "--against", MINDSPORE, "--against-key"
    code, out, _ = run(
        capsys, "compare", TORCH, *by, "Primitive.norm.L2Normalize.0.forward.output.0"
    )
    assert code == 1
    assert "1 of 6 vectors differs by more than rounding. 1 differs in length alone" in out
    by = "--key", "Functional.normalize.1.forward.output.0", "--against", MINDSPORE, "--against-key"
    name = "portnorm.mindspore.normalize.0.forward.output.0"
    code, out, _ = run(capsys, "compare", TORCH, *by, name)
    assert code == 0
    assert "All 6 vectors are the same, bit for bit." in out


# --- bad input ------------------------------------------------------------------------------------


BAD = {
    "not json": lambda text: text[:-20],
    "no object": lambda text: "[1]",
    "no data": lambda text: "{}",
    "data of another kind": lambda text: '{"framework": "pytorch", "data": [1]}',
    "a repeated key": lambda text: '{"data": {}, "data": {}, "framework": "x"}',
    "deep": lambda text: "[" * 100_000,
    "a shape of text": lambda text: text.replace("[6, 4]", '["a"]').replace("6,\n", '"a",\n'),
    "a way out": lambda text: text.replace("Functional.normalize.0.forward.input.0.pt", "../x.pt"),
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("command", [["watch", "--from"], ["identify"], ["compare"]])
def test_a_damaged_dump_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], dump: Path, kind: str, command: list[str]
) -> None:
    file = dump / "dump.json"
    file.write_text(BAD[kind](file.read_text()))
    code, out, err = run(capsys, *command, dump)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"{file}: expected a dump of msprobe" in err


@pytest.mark.parametrize("damage", ["cut", "gone", "shape", "text"])
def test_damaged_tensors_of_a_dump_are_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], dump: Path, damage: str
) -> None:
    file = dump / "dump_tensor_data" / "Functional.normalize.0.forward.input.0.pt"
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:900])
    elif damage == "gone":
        file.unlink()
    elif damage == "text":
        file.write_text("hello")
    else:
        text = (dump / "dump.json").read_text()
        content = json.loads(text)
        content["data"]["Functional.normalize.0.forward"]["input_args"][0]["shape"] = [4, 6]
        (dump / "dump.json").write_text(json.dumps(content))
        code, _, err = run(capsys, "watch", "--from", dump)
        assert (code, err.count("\n")) == (2, 1)
        assert "expected shape (4, 6), found (6, 4)" in err
        return
    for command in (["watch", "--from", dump], ["identify", dump]):
        code, out, err = run(capsys, *command)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert f"{file}: expected" in err


USAGE = {
    "watch": "expected a SCRIPT, -m MODULE or --from DUMP",
    "watch --from {} script.py": "expected --from DUMP or a SCRIPT, found both",
    "watch --host torch --from {}": "--host is of a script",
    "watch --from {}/none": "expected a dump of msprobe",
    "identify {} --key none": "expected a call of that name in the dump, found none",
    "identify {}/dump.json": "expected an OUTPUT beside it, or a folder with a dump of msprobe",
    "identify {} --cotangent x.npy": "--cotangent needs an OUTPUT",
    "compare {} --key none": "expected an array named 'none'",
}


@pytest.mark.parametrize("line", USAGE)
def test_bad_usage_is_refused_in_one_line(capsys: pytest.CaptureFixture[str], line: str) -> None:
    code, out, err = run(capsys, *line.format(TORCH).split())
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert USAGE[line] in err


def test_many_damaged_dumps_are_read_or_refused(dump: Path) -> None:
    rng, file = random.Random(seed_of_test()), dump / "dump.json"
    text = file.read_text()
    for _ in range(300):
        changed = [*text]
        for _ in range(rng.randint(1, 4)):
            changed[rng.randrange(len(changed))] = rng.choice('{}[]",:0a\\.n')
        file.write_text("".join(changed))
        with contextlib.suppress(UnreadableError):
            open_dump(str(dump))
