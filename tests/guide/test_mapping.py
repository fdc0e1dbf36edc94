"""The cells of the mapping tables are what both frameworks and portnorm give now."""

from __future__ import annotations

import dataclasses
import inspect
import json
import subprocess
import sys
from pathlib import Path

import mapping_tables
import pytest

from tests.conftest import needs_mindspore, needs_torch

SCRIPT = Path(mapping_tables.__file__).with_name("measure_mapping.py")


def check(data: Path) -> tuple[int, str]:
    """Measure all in a process of its own."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--check", "--data", str(data)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, done.stdout


@needs_torch
@needs_mindspore
def test_every_cell_is_as_stored_and_a_planted_fault_is_found(tmp_path: Path) -> None:
    stored = json.loads(mapping_tables.DATA.read_text(encoding="utf-8"))
    stored["rows"]["small"]["ops.L2Normalize"] = "[1e-08 2e-08 4e-08]"
    planted = tmp_path / "mapping.json"
    planted.write_text(json.dumps(stored))
    status, output = check(planted)
    assert status == 1
    (line,) = output.splitlines()
    assert line.startswith("rows, small: stored ")


@pytest.mark.parametrize("language", ["", "_zh"])
def test_a_question_without_a_label_is_found(
    language: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = json.loads(mapping_tables.DATA.read_text(encoding="utf-8"))
    stored["rows"]["sparse"] = stored["rows"]["nan"]
    planted = tmp_path / "mapping.json"
    planted.write_text(json.dumps(stored))
    monkeypatch.setattr(mapping_tables, "DATA", planted)
    with pytest.raises(KeyError, match="sparse"):
        mapping_tables.TABLES[f"normalize_rows{language}"]()


def test_both_languages_have_the_same_tables() -> None:
    folder = SCRIPT.parent.parent / "migration_guide"
    for page in mapping_tables.PAGES:
        english, chinese = ((folder / f"{page}{end}.md").read_text() for end in ("", ".zh"))
        for part in ("signatures", "arguments", "rows", "errors"):
            assert f"<!-- table: {page}_{part} -->" in english
            assert f"<!-- table: {page}_{part}_zh -->" in chinese


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("input", ["name", "place", "types"]),
        ("p", ["missing"]),
        ("dim", ["name", "place", "default", "types"]),
        ("eps", ["name", "place", "default", "meaning"]),
        ("out", ["missing"]),
    ],
)
def test_categories_are_those_of_the_signatures(argument: str, expected: list[str]) -> None:
    assert mapping_tables.categories(argument) == expected


def test_a_default_that_is_the_same_makes_no_category(monkeypatch: pytest.MonkeyPatch) -> None:
    other = dataclasses.replace(
        mapping_tables.L2NORMALIZE, signature="L2Normalize(axis=1, epsilon=1e-12)(x)"
    )
    monkeypatch.setattr(mapping_tables, "L2NORMALIZE", other)
    assert "default" not in mapping_tables.categories("dim") + mapping_tables.categories("eps")


def test_an_argument_that_is_not_in_the_table_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    other = dataclasses.replace(
        mapping_tables.NORMALIZE, signature="normalize(input, p=2.0, dim=1, eps=1e-12, keep=False)"
    )
    monkeypatch.setattr(mapping_tables, "NORMALIZE", other)
    with pytest.raises(KeyError, match="signatures"):
        mapping_tables.TABLES["normalize_arguments"]()


@needs_torch
@needs_mindspore
def test_the_signatures_are_those_of_the_frameworks() -> None:
    import mindspore
    import torch

    live = inspect.signature(torch.nn.functional.normalize)
    plain = [p.replace(annotation=p.empty) for p in live.parameters.values()]
    assert f"normalize{inspect.Signature(plain)}" == mapping_tables.NORMALIZE.signature
    made = mindspore.ops.L2Normalize()
    assert (made.axis, made.epsilon) == ([0], 1e-4)
