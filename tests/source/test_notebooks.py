"""Notebooks: their code is one text, and only the lines that change are written."""

from __future__ import annotations

import codecs
import copy
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portnorm.source.files import SourceFile, UnreadableError


def code(source: object, **more: object) -> dict[str, Any]:
    more = {"execution_count": None, "metadata": {}, "outputs": [], **more}
    return {"cell_type": "code", **more, "source": source}


def markdown(source: object) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def notebook(*cells: dict[str, Any]) -> dict[str, Any]:
    return {
        "cells": list(cells),
        "metadata": {"language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 4,
    }


def dumped(*cells: dict[str, Any], indent: int | None = 1, ensure_ascii: bool = False) -> bytes:
    text = json.dumps(notebook(*cells), indent=indent, ensure_ascii=ensure_ascii)
    return f"{text}\n".encode()


def parse(raw: bytes) -> SourceFile:
    return SourceFile.parse("n.ipynb", raw)


def rewritten(raw: bytes, old: str, new: str) -> bytes:
    source = parse(raw)
    assert old in source.text
    return source.encode(source.text.replace(old, new))


def test_the_code_cells_are_one_text() -> None:
    source = parse(dumped(markdown("# no"), code(["a = 1\n", "b = 2"]), code("c = 3\n")))
    first, border, last = source.text.partition("\n# portnorm_cell_0 1 of the borders")
    assert (first, border != "") == ("a = 1\nb = 2", True)
    assert last.endswith("\nc = 3\n")
    assert source.place(2) == (2, 2)
    assert source.place(4) == (3, 1)
    assert source.skipped == ()


def test_only_the_lines_that_change_are_written_anew() -> None:
    raw = dumped(
        markdown("é"),
        code(["a = 'é'\n", "b = 2\n", "b = 3"], outputs=[{"text": "a\u00e9 </b>"}]),
        code("c = 3"),
    )
    assert rewritten(raw, "b = 2", "b = 'ü'\nz = 1") == raw.replace(
        b'    "b = 2\\n",', '    "b = \'ü\'\\n",\n    "z = 1\\n",'.encode()
    )
    assert rewritten(raw, "b = 3", "") == raw.replace(b'\\n",\n    "b = 3"', b'\\n"')
    assert rewritten(raw, "c = 3", 'c = "\\n"') == raw.replace(b'"c = 3"', rb'"c = \"\\n\""')


def test_escapes_are_used_where_the_notebook_uses_them() -> None:
    raw = dumped(code(["a = 1\n", "# é"]), ensure_ascii=True)
    assert rewritten(raw, "a = 1", "a = 'ü😀'") == raw.replace(
        b"a = 1", rb"a = '\u00fc\ud83d\ude00'"
    )
    assert rewritten(dumped(code("a")), "a", "'ü'") == dumped(code("'ü'"))


@pytest.mark.parametrize("source", ["", [], [""], ["a"], "a", ["a\n", "b"], "a\nb\n", "a\\\nb"])
@pytest.mark.parametrize("indent", [None, 1, 4])
def test_a_notebook_that_does_not_change_comes_back(source: object, indent: int | None) -> None:
    raw = dumped(code("x = 1"), code(source), code([]), indent=indent)
    for variant in (
        raw,
        codecs.BOM_UTF8 + raw,
        raw.replace(b"\n", b"\r\n"),
        raw.replace(b'": ', b'":'),
        raw.replace(b", ", b","),
        raw.rstrip(),
        raw + b" \n",
    ):
        notebook = parse(variant)
        assert notebook.encode(notebook.text) == variant
        assert notebook.encode(notebook.text.replace("x = 1", "y")) == variant.replace(
            b"x = 1", b"y"
        )


def test_an_empty_cell_is_filled_and_a_full_one_is_emptied() -> None:
    raw = dumped(code([]), code("a"), code(["b"]))
    source = parse(raw)
    _, a, b = (c["source"] for c in json.loads(source.encode("x = 1\n" + source.text))["cells"])
    filled = json.loads(source.encode("x = 1" + source.text))["cells"]
    assert filled[0]["source"] == ["x = 1"]
    assert (a, b) == ("a", ["b"])
    emptied = json.loads(rewritten(rewritten(raw, "\na", "\n"), "\nb", "\n"))["cells"]
    assert [c["source"] for c in emptied] == [[], "", []]


def test_lists_whose_items_are_no_lines_keep_them_where_the_cell_stays() -> None:
    raw = dumped(code(["a = ", "1\nb", " = 2"]), code("c"))
    assert rewritten(raw, "\nc", "\nd") == raw.replace(b'"c"', b'"d"')
    assert json.loads(rewritten(raw, "b = 2", "b = 3"))["cells"][0]["source"] == [
        "a = 1\n",
        "b = 3",
    ]


# --- magics ---------------------------------------------------------------------------------------


def test_lines_for_ipython_are_hidden_and_come_back() -> None:
    cell = ["%matplotlib inline\n", "import a\n", "if a:\n", "    !ls '{a}'\n", "?a\n", "b = 1"]
    raw = dumped(code(cell))
    source = parse(raw)
    assert source.skipped == ()
    assert "%matplotlib" not in source.text
    assert source.encode(source.text) == raw
    assert rewritten(raw, "b = 1", "b = 2") == raw.replace(b"b = 1", b"b = 2")
    assert source.place(6) == (1, 6)


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("%%time\na = b", "pass{}\na = b"),
        ("%%capture out --no-stderr\na = b", "pass{}\na = b"),
        ("%%timeit -n 10 a = 1\nb", "a = 1{}\nb"),
        ("%time a = b", "a = b{}"),
        ("if a:\n    %timeit -n10 -r 3 f(b)", "if a:\n    f(b){}"),
        ("t = %timeit -o f(b)", "f(b){}"),
        ("%prun -l 5 f(b)", "f(b){}"),
        ("%timeit f(b", "pass{}"),
        ("%timeit f(b)  # why", "pass{}"),
        ("b?", "pass{}"),
        ("b.c??", "pass{}"),
        ("?b", "pass{}"),
        ("a = !ls", "a = None{}"),
        ("a, b = %who_ls int", "a, b = None{}"),
        ("!ls\nc = 1\n!ls", "pass{}\nc = 1\npass{}"),
    ],
)
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_what_ipython_runs_is_read_and_the_rest_comes_back(cell: str, shown: str, end: str) -> None:
    cell, shown = cell.replace("\n", end or "\n") + end, shown.replace("\n", end or "\n") + end
    raw = dumped(code("import os"), code(cell))
    source = parse(raw)
    assert source.skipped == ()
    text = re.sub(r"  # portnorm_cell_\d+ \d+ of the lines for IPython", "{}", source.text)
    assert text.endswith("borders between cells\n" + shown)
    assert source.encode(source.text) == raw
    if "f(b){}" in shown:
        assert rewritten(raw, "f(b)", "other.f(b)") == raw.replace(b"f(b)", b"other.f(b)")


def test_lines_that_look_like_it_in_strings_and_sums_stay() -> None:
    cell = "a = '''\n%d\n!x\n'''\nb = (1\n% 2)"
    assert parse(dumped(code(cell))).text == cell


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("%%bash\nls normalize", "begins with %%bash"),
        ("\n %%writefile a.py\nnormalize = 1", "begins with %%writefile"),
        ("normalize = = 1", "is not Python: invalid syntax"),
        ("print 1", "is not Python: Missing parentheses"),
        ("x = 1 \\", "is not Python: unexpected EOF"),
        ("x = '''", "is not Python: unterminated triple-quoted"),
        ("if x:\n", "is not Python: expected an indented block"),
        ("a\0", "is not Python: source code string cannot contain null"),
        ("(" * 300 + ")" * 300, "is not Python: too many nested"),
    ],
)
def test_cells_that_are_no_python_are_skipped_and_named(cell: str, reason: str) -> None:
    raw = dumped(markdown("x"), code("a = 1"), code(cell), code("b = 2"))
    source = parse(raw)
    ((number, why, matters),) = source.skipped
    assert (number, why[: len(reason)]) == (3, reason)
    assert matters is ("normalize" in cell)
    assert cell not in source.text
    assert source.place(3) == (4, 1)
    assert rewritten(raw, "b = 2", "b = 3") == raw.replace(b"b = 2", b"b = 3")


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "is no notebook"),
        (b"[]", "is no notebook"),
        (b"{}", "is no notebook"),
        (b'{"cells": [], "nbformat": 3}', "nbformat is 3"),
        (b'{"cells": {}, "nbformat": 4}', "is no notebook"),
        (b'{"cells": [{"cell_type": "code"}], "nbformat": 4}', "is no notebook"),
        (b'{"cells": [{"cell_type": "code", "source": 1}], "nbformat": 4}', "neither text nor"),
        (b'{"cells": [{"cell_type": "code", "source": [1]}], "nbformat": 4}', "is no notebook"),
        (b'{"cells": [}', "is no notebook"),
        ("{}".encode("utf-16"), "is no notebook"),
        (b"[" * 100_000, "is no notebook"),
    ],
)
def test_what_is_no_notebook_is_refused(raw: bytes, message: str) -> None:
    with pytest.raises(UnreadableError, match=message):
        parse(raw)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"a"', rb'"\u0061"'),
        (b'"metadata": {}', b'"metadata": {"x": 1.50}'),
        (b'"metadata": {}', b'"metadata": {"x": 1, "x": 1}'),
        (b"[]", b"[ ]"),
        (b'": ', b'" : '),
        (b'{\n "cells"', b'\n{\n "cells"'),
        (b'\n "metadata"', b'\n  "metadata"'),
    ],
)
def test_json_that_would_not_come_back_is_refused(old: bytes, new: bytes) -> None:
    raw = dumped(code("a"))
    assert old in raw
    with pytest.raises(UnreadableError, match="would not come back byte for byte"):
        parse(raw.replace(old, new, 1))


@pytest.mark.parametrize("damage", ["the border", "two borders", "the order", "the magic"])
def test_a_text_that_lost_its_borders_is_refused(damage: str) -> None:
    source = parse(dumped(code("a"), code("b\n!ls"), code("c")))
    lines = source.text.split("\n")
    one, two = (n for n, line in enumerate(lines) if "of the borders" in line)
    (magic,) = (n for n, line in enumerate(lines) if "for IPython" in line)
    if damage == "the border":
        del lines[one]
    elif damage == "two borders":
        lines.insert(one, lines[one])
    elif damage == "the order":
        lines[one], lines[two] = lines[two], lines[one]
    else:
        del lines[magic]
    with pytest.raises(UnreadableError, match="lost"):
        source.encode("\n".join(lines))


def test_the_words_that_mark_borders_may_occur_in_a_notebook() -> None:
    raw = dumped(code("a = 'portnorm_cell_0'"), code("# portnorm_cell_1 1 of the borders"))
    source = parse(raw)
    assert "portnorm_cell_2" in source.text
    assert source.encode(source.text) == raw


# --- any notebook ---------------------------------------------------------------------------------

CHARACTERS = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
TEXTS = st.text(CHARACTERS, max_size=20)
LINES = st.sampled_from(["x = 1", "", "# é", "y = '\\\\n\"'", "%magic \\", "if x:\n    pass", "😀"])
SOURCES = st.lists(LINES, max_size=5).map("\n".join)


@st.composite
def notebooks(draw: st.DrawFn) -> tuple[dict[str, Any], bytes]:
    cells = []
    for source in draw(st.lists(SOURCES | TEXTS, max_size=5)):
        as_list = draw(st.booleans())
        written = source.splitlines(keepends=True) if as_list else source
        more = {"outputs": draw(TEXTS), "metadata": {draw(TEXTS): draw(TEXTS)}}
        cells.append(code(written, **more) if draw(st.booleans()) else markdown(written))
    content = notebook(*cells)
    text = json.dumps(
        content,
        indent=draw(st.sampled_from([None, 1, "\t"])),
        ensure_ascii=draw(st.booleans()),
        separators=draw(st.sampled_from([None, (",", ":")])),
    )
    return content, text.encode()


@given(notebooks())
def test_any_notebook_comes_back_and_a_changed_line_is_all_that_changes(
    generated: tuple[dict[str, Any], bytes],
) -> None:
    content, raw = generated
    source = parse(raw)
    assert source.encode(source.text) == raw
    changed = source.encode(source.text.replace("x = 1", "changed = 2"))
    expected = copy.deepcopy(content)
    skipped = {number for number, _, _ in source.skipped}
    for number, cell in enumerate(expected["cells"], 1):
        if cell["cell_type"] == "code" and number not in skipped:
            text = "".join(cell["source"]).replace("x = 1", "changed = 2")
            cell["source"] = text
    found = json.loads(changed)
    for cell in [*found["cells"], *expected["cells"]]:
        cell["source"] = "".join(cell["source"])
    assert found == expected
    assert changed.replace(b"changed = 2", b"x = 1") == raw
