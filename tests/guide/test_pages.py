"""The pages for people: their examples run, their tables are fresh, their links lead somewhere."""

from __future__ import annotations

import doctest
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import needs_mindspore, needs_torch

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "migration_guide").rglob("*.md")])
EXAMPLE_OPTIONS = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL

pages = pytest.mark.parametrize("page", PAGES, ids=[str(p.relative_to(ROOT)) for p in PAGES])
ENGLISH = [p for p in PAGES if not p.name.endswith(".zh.md")]
"""Those in Chinese have the same code, which test_chinese.py holds."""


def run_examples(path: Path) -> doctest.TestResults:
    return doctest.testfile(
        str(path), module_relative=False, optionflags=EXAMPLE_OPTIONS, encoding="utf-8"
    )


@needs_torch
@needs_mindspore
@pytest.mark.parametrize("page", ENGLISH, ids=[str(p.relative_to(ROOT)) for p in ENGLISH])
def test_examples_give_the_output_that_the_page_shows(page: Path) -> None:
    assert run_examples(page).failed == 0


def test_an_example_with_another_output_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\n>>> 1 + 1\n3\n\n```\n")
    assert run_examples(page).failed == 1
    assert "Expected:" in capsys.readouterr().out


def test_every_python_block_is_an_example_that_runs() -> None:
    blocks = [
        b for page in PAGES for b in re.findall(r"```python\n(.*?)```", page.read_text(), re.S)
    ]
    assert blocks
    assert all(block.startswith(">>> ") and block.endswith("\n\n") for block in blocks)


@pages
def test_links_lead_to_files_that_exist(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    assert [t for t in targets if not (page.parent / t).exists()] == []


@pytest.fixture(scope="module")
def tables() -> dict[str, object]:
    return runpy.run_path(str(ROOT / "tools" / "generate_tables.py"))


@needs_torch
@needs_mindspore
@pages
def test_tables_are_what_both_frameworks_give_now(page: Path, tables: dict[str, object]) -> None:
    text = page.read_text(encoding="utf-8")
    assert tables["filled"](text) == text  # type: ignore[operator]


@needs_torch
@needs_mindspore
def test_a_number_changed_by_hand_in_a_table_is_found(tables: dict[str, object]) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count("[1e-08 2e-08 3e-08]") == 1
    changed = text.replace("[1e-08 2e-08 3e-08]", "[1e-08 2e-08 4e-08]")
    assert tables["filled"](changed) == text  # type: ignore[operator]


def commands_of_readme() -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), re.S | re.M)


def test_readme_has_exactly_two_commands() -> None:
    commands = commands_of_readme()
    assert len(commands) == 2
    assert "portnorm compare" in commands[0]
    assert "pytest" in commands[1]


def test_the_files_that_readme_names_are_there() -> None:
    text = (ROOT / "README.md").read_text().split("## Where things are", 1)[1].split("```")[1]
    folders = text.strip().splitlines()
    assert len(folders) >= 10
    for line in folders:
        folder, names = re.sub(r"\(.*?\)|,.*|a module for.*", "", line).split(" ", 1)
        for name in names.split():
            path = ROOT / folder / name
            assert path.is_dir() or path.with_suffix(".py").is_file(), path


def test_ci_runs_the_commands_of_readme_word_for_word() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    (function,) = re.findall(r"^command_of\(\) \{\n.*?^\}\n", script, re.S | re.M)
    for number, command in enumerate(commands_of_readme(), 1):
        found = subprocess.run(
            ["bash", "-c", f"{function}command_of README.md {number}"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert found.stdout == command
        assert f"command_of README.md {number} | " in script


def test_versions_agree() -> None:
    import portnorm

    citation = (ROOT / "CITATION.cff").read_text()
    assert f"version: {portnorm.__version__}\n" in citation
    assert sys.version_info >= (3, 10)
