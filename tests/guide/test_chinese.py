"""The pages in Chinese have the parts of the English: the code is run there, the words are read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from chinese_pages import code, with_code_of

GUIDE = Path(__file__).parents[2] / "migration_guide"
ENGLISH = [
    page
    for page in sorted(GUIDE.rglob("*.md"))
    if page.relative_to(GUIDE).parts[0] not in ("checks", "reference")
    and not page.name.endswith(".zh.md")
    and page != GUIDE / "index.md"  # README is what it shows
]
_BLOCK = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)
_WRONG_WORDS = ("标准化", "正规化", "规范化", "规格化")
"""Words for normalization that MindSpore's documents do not use for it."""

pages = pytest.mark.parametrize("page", ENGLISH, ids=[str(p.relative_to(GUIDE)) for p in ENGLISH])


def chinese(page: Path) -> str:
    return page.with_suffix(".zh.md").read_text(encoding="utf-8")


def parts(text: str) -> dict[str, object]:
    """Return what a translation keeps."""
    prose = _BLOCK.sub("", text)
    links = re.findall(r"\]\((?!https:)([\w./-]+)", prose)
    return {
        "headings": [len(marks) for marks in re.findall(r"^(#+) ", prose, re.MULTILINE)],
        "items": len(re.findall(r"^(?:- |\d\. )", prose, re.MULTILINE)),
        "rows": len(re.findall(r"^\|", prose, re.MULTILINE)),
        "tables": re.findall(r"<!-- table: (\w+?)(?:_zh)? -->", text),
        "links": {link.replace(".zh.", ".") for link in links},
        "code": code(text),
    }


@pages
def test_a_page_has_the_parts_of_the_english_one(page: Path) -> None:
    found, expected = parts(chinese(page)), parts(page.read_text(encoding="utf-8"))
    itself = {page.name}  # each links to the other
    for one in (found, expected):
        one["links"] = set(one["links"]) - itself  # type: ignore[call-overload]
    if page.name == "README.md":  # whose reference is in English
        for one in ("headings", "items", "links"):
            del found[one], expected[one]
    assert found == expected


@pages
def test_a_page_links_to_pages_in_its_own_language(page: Path) -> None:
    english = re.findall(r"\[([^]]+)\]\(([\w./-]+\.md)", chinese(page))
    for text, link in english:
        other = (page.parent / link).resolve()
        assert link.endswith(".zh.md") or text == "English" or other not in ENGLISH, link


@pages
def test_the_words_are_those_of_mindspores_documents(page: Path) -> None:
    assert [word for word in _WRONG_WORDS if word in chinese(page)] == []


def test_code_that_differs_is_brought_over_and_comments_are_kept() -> None:
    old = "甲\n\n```python\n>>> f(1)  # 一\n```\n\n乙\n\n   ```sh\n   ls  # 二\n   ```\n"
    english = old.translate(str.maketrans("甲乙一二", "ABCD"))
    assert with_code_of(english, old) == old
    assert with_code_of(english.replace("ls", "dir"), old) == old.replace("ls  # 二", "dir  # D")
    assert with_code_of(english + "```\n1\n```\n", old) == old


def test_a_block_that_differs_is_found_and_a_comment_is_not() -> None:
    page = "# A\n\n```python\n>>> f(1)  # good\n2\n\n```\n"
    assert parts(page) == parts(page.replace("good", "正确").replace("# A", "# 一"))
    assert parts(page) != parts(page.replace("f(1)", "f(2)"))
    assert parts(page) != parts(page.replace("# A", "## A"))


def test_the_contents_are_those_of_the_english_guide() -> None:
    english = (GUIDE / "README.md").read_text(encoding="utf-8").partition("## Reference")[0]
    listed = [
        re.findall(r"^- .*\((.+)\)$", text, re.M)
        for text in (english, chinese(GUIDE / "README.md"))
    ]
    assert listed[0] == [link.replace(".zh.", ".") for link in listed[1]]
