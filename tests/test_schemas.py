"""What the commands print as JSON is what the guide's schemas describe, no more and no less."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from portnorm import cli
from tests.conftest import needs_mindspore, needs_torch
from tests.imports.blocked import ROOT

SCHEMAS = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / "migration_guide" / "reference" / "schemas").glob("*.json"))
}
DUMPS = ROOT / "examples" / "msprobe"
PROGRAM = """import torch
import torch.nn.functional as F
from portnorm.torch import l2_normalize
x = torch.tensor([[3.0, 4.0], [0.0, float("nan")], [0.0, 1e-3]])
F.normalize(x)
F.normalize(x.double(), p=float("inf"), dim=-1, eps=1e-6)
F.normalize(x, dim=(0, 1))
l2_normalize(x)
"""
WRONG = "import torch.nn.functional as F\nfrom mindspore import ops\ny = F.normalize(x, dim=d)\n"
WRONG += "z = ops.L2Normalize(epsilon=1e-12)(x)\nw = ops.L2Normalize(axis=1, epsilon=1e-12)\n"


def validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(SCHEMAS[name])


def files(folder: Path) -> dict[str, str]:
    """Write arrays of all kinds; return their paths by name."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((24, 6)).astype(np.float32)
    x[:3], x[3], x[4, 1], x[5, 2] = 0, 1e-10, np.nan, np.inf
    plain = rng.standard_normal((24, 6)).astype(np.float32)
    with np.errstate(invalid="ignore"):
        unit = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), np.float32(1e-12))
        floored = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), np.float32(1e-2))
    g = rng.standard_normal(plain.shape)
    y = plain / np.linalg.norm(plain, axis=1, keepdims=True)
    gradient = (g - y * (g * y).sum(1, keepdims=True)) / np.linalg.norm(
        plain, axis=1, keepdims=True
    )
    arrays = {
        "x": x,
        "plain": plain,
        "unit": unit,
        "floored": floored,
        "other": np.tanh(plain),
        "infinite": (plain / np.abs(plain).max(axis=1, keepdims=True)).astype(np.float32),
        "g": g.astype(np.float32),
        "gradient": gradient.astype(np.float32),
        "half": plain.astype(np.float16)[:, :, None],
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    np.savez(folder / "several.npz", a=plain, b=x, c=np.ones(3))
    (folder / "program.py").write_text(PROGRAM)
    (folder / "wrong.py").write_text(WRONG)
    (folder / "broken.py").write_text("x = (\n")
    return {path.stem: str(path) for path in folder.iterdir()}


CASES: dict[str, tuple[str, str]] = {
    "differing": ("compare", "compare {x} --json"),
    "agreeing": ("compare", "compare {plain} --json"),
    "several": ("compare", "compare {several} {half} --json"),
    "p": ("compare", "compare {x} --p inf --eps 1e-3 --epsilon 1 --dtype float64 --json"),
    "one dim": ("compare", "compare {several} --key c --json"),
    "samples": ("compare", "compare --json"),
    "a dump's tensor": (
        "compare",
        "compare {dumps}/torch --key Functional.normalize.0.forward.input.0 --json",
    ),
    "two results": ("compare-against", "compare {unit} --against {floored} --json"),
    "the same": ("compare-against", "compare {plain} --against {plain} --json"),
    "rounding": ("compare-against", "compare {half} --against {half} --json"),
    "another direction": ("compare-against", "compare {plain} --against {other} --json"),
    "NaN in one": ("compare-against", "compare {x} --against {plain} --json"),
    "several results": ("compare-against", "compare {several} --against {several} --json"),
    "identified": ("identify", "identify {x} {unit} --json"),
    "not identified": ("identify", "identify {plain} {other} --json"),
    "NaN for numbers": ("identify", "identify {plain} {x} --json"),
    "of another order": ("identify", "identify {plain} {infinite} --json"),
    "a gradient": ("identify", "identify {plain} {gradient} --cotangent {g} --json"),
    "a dump of torch": ("identify", "identify {dumps}/torch --json"),
    "a dump of MindSpore": ("identify", "identify {dumps}/mindspore --json"),
    "watched": ("watch", "watch --host torch --json {out} {program}"),
    "watched in torch's dump": ("watch", "watch --from {dumps}/torch --json {out}"),
    "watched in MindSpore's dump": ("watch", "watch --from {dumps}/mindspore --json {out}"),
    "checked": ("check", "check --select PN {wrong} {broken} --format json"),
    "nothing found": ("check", "check {program} --format json"),
    "to MindSpore": ("port", "port --to mindspore {wrong} {broken} --format json"),
    "to torch": ("port", "port --to torch {wrong} --format json"),
}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """Return a function that runs a case, once, and returns its JSON."""
    folder = tmp_path_factory.mktemp("files")
    names = files(folder) | {"dumps": str(DUMPS), "out": str(folder / "watched.json")}
    found: dict[str, Any] = {}

    def output(case: str, capsys: pytest.CaptureFixture[str]) -> Any:
        if case not in found:
            arguments = CASES[case][1].format_map(names).split()
            assert cli.main(arguments) in (0, 1)
            printed = capsys.readouterr().out
            text = Path(names["out"]).read_text() if arguments[0] == "watch" else printed
            found[case] = json.loads(text)
        return copy.deepcopy(found[case])

    return output


def refusals(schema: Any) -> Iterator[str]:
    """Yield the places of a schema that would let something pass that is not described."""
    if isinstance(schema, dict):
        if "properties" in schema and schema.get("additionalProperties") is not False:
            yield f"{list(schema['properties'])} may have others"
        for part in schema.values():
            yield from refusals(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from refusals(part)


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_are_valid_and_let_nothing_else_pass(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])
    assert "2020-12" in SCHEMAS[name]["$schema"]
    assert list(refusals(SCHEMAS[name])) == []
    assert {case for case, _ in CASES.values()} == set(SCHEMAS)


@needs_torch
@needs_mindspore
@pytest.mark.parametrize("case", CASES)
def test_outputs_are_as_their_schema_says(
    case: str, outputs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    errors = validator(CASES[case][0]).iter_errors(outputs(case, capsys))
    assert [f"{error.json_path}: {error.message}" for error in errors] == []


def faults(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield a value with one fault: a member that is missing or added, or of another type."""
    if isinstance(value, dict):
        for name in value:
            yield f"{path}.{name} is missing", {k: v for k, v in value.items() if k != name}
            for where, other in faults(value[name], f"{path}.{name}"):
                yield where, value | {name: other}
        yield f"{path} has more", value | {"added": 1}
    elif isinstance(value, list):
        for rank, item in enumerate(value[: 1 if len(value) > 3 else 3]):
            for where, other in faults(item, f"{path}[{rank}]"):
                yield where, [*value[:rank], other, *value[rank + 1 :]]
    yield f"{path} is of another type", {"of": "another type"}


OPTIONAL = {
    "differing": [
        ".comparisons[0].versions.torch is missing",
        ".comparisons[0].versions.mindspore is missing",
        ".comparisons[0].norms[0][2].between is missing",
    ]
}


@needs_torch
@needs_mindspore
@pytest.mark.parametrize(
    "case", ["differing", "NaN in one", "identified", "watched", "checked", "to MindSpore"]
)
def test_faults_are_found(case: str, outputs: Any, capsys: pytest.CaptureFixture[str]) -> None:
    one = validator(CASES[case][0])
    planted = list(faults(outputs(case, capsys)))
    passing = [where for where, other in planted if one.is_valid(other)]
    assert len(planted) > 30
    assert passing == OPTIONAL.get(case, [])


@needs_torch
@needs_mindspore
def test_the_outputs_have_what_is_rare(outputs: Any, capsys: pytest.CaptureFixture[str]) -> None:
    (differing,) = outputs("differing", capsys)["comparisons"]
    assert "inf" in str(differing)
    assert "nan" in str(differing)
    differences = outputs("another direction", capsys)["differences"]
    assert not differences[0]["agrees"]
    assert outputs("a gradient", capsys)["identifications"][0]["of_gradient"]
