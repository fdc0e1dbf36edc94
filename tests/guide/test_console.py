"""Shell sessions on pages show what the commands print."""

from __future__ import annotations

from pathlib import Path

import console
import pytest

from tests.conftest import needs_mindspore, needs_torch

PAGES = [
    page
    for page in sorted((console.ROOT / "migration_guide").rglob("*.md"))
    if "```console\n" in page.read_text(encoding="utf-8") and not page.name.endswith(".zh.md")
]
"""Pages in Chinese have the same sessions, which test_chinese.py holds."""


@needs_torch
@needs_mindspore
@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_commands_print_what_the_page_shows(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert console.filled(text) == text


def test_another_output_is_found() -> None:
    page = "```console\n$ echo a\nb\n$ cat <<E\n> c\n> E\nc\n```\n"
    assert console.filled(page) == page.replace("a\nb\n", "a\na\n")


def test_an_ellipsis_stands_for_anything() -> None:
    page = "```console\n$ echo one two three\none ... three\n```\n"
    assert console.filled(page) == page


def test_the_sessions_of_a_page_share_a_folder() -> None:
    page = "```console\n$ echo a > file\n```\nand\n```console\n$ cat file\na\n```\n"
    assert console.filled(page) == page
