"""The cells of the mapping tables are what both frameworks and portnorm give now."""

from __future__ import annotations

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
        for part in ("rows", "errors"):
            assert f"<!-- table: {page}_{part} -->" in english
            assert f"<!-- table: {page}_{part}_zh -->" in chinese
