"""Comments that silence findings, edits, and the formats of reports."""

from __future__ import annotations

import json
import re
import urllib.parse

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portnorm.cli.sources import FORMATS
from portnorm.source.edits import (
    Edit,
    Fix,
    OverlappingEditsError,
    apply,
    combine,
)
from portnorm.source.files import SourceFile
from portnorm.source.findings import Finding, Ignores, comments, not_python
from portnorm.source.names import NotPythonError
from portnorm.source.report import report

# --- comments -------------------------------------------------------------------------------------

SILENCED = [
    "x = 1  # portnorm: ignore",
    "x = 1  # portnorm: ignore[PN101]",
    "x = 1  #portnorm:ignore[PN102,PN101]",
    "x = 1  # portnorm: ignore[PN102, PN101]",
    "x = 1  # portnorm: ignore[PN10]",
    "x = 1  # noqa: E501  # portnorm: ignore[PN101]  # type: ignore",
    "x = 1  # portnorm: ignore because of this",
    "x = 1  # portnorm: ignore[PN102] portnorm: ignore  # portnorm: ignore[PN1]",
    "x = '''\\n'''  # portnorm: ignore",
]
NOT_SILENCED = [
    "x = 1",
    "x = 1  # portnorm: ignore[PN102]",
    "x = 1  # portnorm: ignore[]",
    "x = 1  # portnorm: ignore[PN101",
    "x = 1  # portnorm: ignored",
    "x = 1  # portnorm: ignore-next",
    "x = 1  # Portnorm: Ignore",
    "x = 1  # portnorm ignore",
    "x = '# portnorm: ignore'",
    'x = """# portnorm: ignore"""',
    "x = f'# portnorm: ignore'",
    "# portnorm: ignore\n",
]


@pytest.mark.parametrize("line", SILENCED)
def test_a_comment_silences_its_line(line: str) -> None:
    ignores = Ignores(f"\n{line}\nx = 2\n")
    assert ignores.silence("PN101", 2)
    assert not ignores.silence("PN101", 1)
    assert not ignores.silence("PN101", 3)


@pytest.mark.parametrize("line", NOT_SILENCED)
def test_other_text_silences_nothing(line: str) -> None:
    lines = line.count("\n") + 2
    assert not Ignores(f"\n{line}\nx = 2\n").silence("PN101", lines)


def test_a_call_over_several_lines_is_silenced_on_any_of_them() -> None:
    ignores = Ignores("f(\n  x,  # portnorm: ignore\n)\ny\n")
    assert ignores.silence("PN101", 1, 3)
    assert not ignores.silence("PN101", 3, 4)


def test_lines_are_those_of_python() -> None:
    text = "a = '\x0c\x85\u2028'\rb = 1\r\n\x0cc = 2  # portnorm: ignore\r\nd\n"
    ignores = Ignores(text)
    assert [line for line in range(1, 6) if ignores.silence("PN101", line)] == [3]


def test_what_cannot_be_read_to_its_end_keeps_the_comments_before() -> None:
    ignores = Ignores("x = 1  # portnorm: ignore\ny = '''\n# portnorm: ignore\n")
    assert [line for line in range(1, 4) if ignores.silence("PN101", line)] == [1]


NO_COMMENT = "'# portnorm: ignore'"
STATEMENTS = [
    "x = 1",
    "",
    f"x = {NO_COMMENT}",
    'x = """\n# portnorm: ignore\n"""',
    "x = '''\\\n# portnorm: ignore[PN101]'''",
    f"x = f({NO_COMMENT},\n  {NO_COMMENT})",
    f'x = f"{{a[{NO_COMMENT}]}}"',
    "if x: \\\n  x = '\x0c\x85'",
]
COMMENTS = {
    "": False,
    "  # portnorm: ignore": True,
    "# noqa # portnorm: ignore[PN102,PN101]": True,
    "  # portnorm: ignore[PN102]": False,
    "  # '# portnorm'": False,
}


@given(
    st.lists(st.tuples(st.sampled_from(STATEMENTS), st.sampled_from([*COMMENTS])), max_size=12),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_comments_silence_and_nothing_else_does(lines: list[tuple[str, str]], end: str) -> None:
    text, expected = "", []
    for statement, comment in lines:
        text += f"{statement}{comment}\n"
        if COMMENTS[comment]:
            expected.append(text.count("\n"))
    ignores = Ignores(text.replace("\n", end))
    silenced = [n for n in range(1, text.count("\n") + 2) if ignores.silence("PN101", n)]
    assert silenced == expected


@given(st.text(st.sampled_from("ab#'\"\n\r\x0c[](){} \\"), max_size=60))
def test_any_text_can_be_looked_at(text: str) -> None:
    lines = re.split(r"\r\n|\r|\n", text)
    for line, comment in comments(text):
        assert comment.startswith("#")
        assert comment in lines[line - 1]


# --- edits ----------------------------------------------------------------------------------------


def test_edits_change_their_text_only() -> None:
    text = "\x0ca = 1\r\nb = 2\rc = 3"
    edits = [Edit((3, 5), (3, 6), "5"), Edit((1, 2), (1, 3), "z"), Edit((2, 1), (2, 1), "# ")]
    assert apply(text, edits) == "\x0cz = 1\r\n# b = 2\rc = 5"
    assert apply(text, []) == text


def test_an_insertion_comes_before_the_text_that_another_edit_wants() -> None:
    edits = [Edit((1, 3), (1, 5), "C"), Edit((1, 3), (1, 3), "+")]
    assert apply("abcdef", edits) == apply("abcdef", edits[::-1]) == "ab+Cef"


@pytest.mark.parametrize(
    "edits",
    [
        [Edit((1, 1), (1, 3), "a"), Edit((1, 2), (1, 4), "b")],
        [Edit((1, 1), (1, 1), "a"), Edit((1, 1), (1, 1), "b")],
        [Edit((1, 1), (1, 4), "a"), Edit((1, 2), (1, 3), "b")],
    ],
)
def test_edits_that_overlap_are_refused_and_made_one_after_the_other(edits: list[Edit]) -> None:
    with pytest.raises(OverlappingEditsError):
        apply("abcdef", edits)
    first, second = (Fix("fix", (edit,)) for edit in edits)
    assert combine([first, second]) == [first]
    assert combine([second, first]) == [second]


def test_a_fix_is_made_as_a_whole_or_not_at_all() -> None:
    first = Fix("a", (Edit((1, 1), (1, 3), "x"),))
    second = Fix("b", (Edit((1, 2), (1, 4), "y"), Edit((1, 6), (1, 7), "z")))
    assert combine([first, second]) == [first]


def test_edits_that_touch_are_made_together() -> None:
    edits = [Edit((1, 1), (1, 3), "x"), Edit((1, 3), (1, 4), "y")]
    assert apply("abcd", edits) == "xyd"
    assert len(combine([Fix("a", (edits[0],)), Fix("b", (edits[1],))])) == 2


# --- formats --------------------------------------------------------------------------------------

FIX = Fix("rename", (Edit((3, 7), (3, 10), "axis"),))
FINDINGS = [
    Finding("a b/ä,c.py", 3, 5, "PN113", "dim=: 100% wrong\r\nhere, too", FIX, 4),
    Finding("n.ipynb", 2, 1, "PN101", "epsilon is left", Fix("x", ()), cell=7),
]


def test_text_has_one_line_for_each_finding() -> None:
    odd = Finding("odd\x1b[31m\n.py", 1, 1, "PN001", "bad\x1b\nline")
    assert report("concise", [*FINDINGS, odd], "3 findings").splitlines() == [
        "a b/ä,c.py:3:5: PN113 dim=: 100% wrong here, too",
        "n.ipynb:cell 7:2:1: PN101 epsilon is left",
        r"odd\x1b[31m\n.py:1:1: PN001 bad\x1b line",
        "3 findings",
    ]


def test_excerpts_mark_each_line_without_what_it_is_indented_by() -> None:
    lines = ("y = f(", "\t  x,", ")", "", "z")
    shown = report("text", [Finding("a.py", 9, 5, "PN101", "m", None, 13, 0, 2, lines)], "1")
    assert shown.splitlines()[1:] == [
        "   |",
        " 9 | y = f(",
        "   |     ^^",
        "10 |       x,",
        "   |       ^^",
        "11 | )",
        "   | ^",
        "12 |",
        "   | ^",
        "   | ...",
        "",
        "1",
    ]


def test_excerpts_mark_a_last_line_up_to_its_end() -> None:
    found = Finding("a.py", 9, 5, "PN101", "m", None, 10, 0, 5, ("y = f(", "  x) + 1"))
    assert report("text", [found], "1").splitlines()[4:6] == ["10 |   x) + 1", "   |   ^^"]


def test_excerpts_are_as_wide_as_the_numbers_that_they_show() -> None:
    shown = report("text", [Finding("a.py", 6, 1, "PN101", "m", None, 10, 0, 2, ("z",) * 5)], "1")
    rows = [row for number in "6789" for row in (f"{number} | z", "  | ^")]
    assert shown.splitlines()[1:] == ["  |", *rows, "  | ...", "", "1"]


def test_annotations_of_github_are_escaped() -> None:
    first, second, summary = report("github", FINDINGS, "2 findings").split("\n")
    assert first == (
        "::warning file=a b/ä%2Cc.py,line=3,endLine=4,col=5,title=portnorm PN113"
        "::dim=: 100%25 wrong%0D%0Ahere, too"
    )
    assert second == (
        "::warning file=n.ipynb,title=portnorm PN101::cell 7, line 2: epsilon is left"
    )
    assert summary == "2 findings"


def test_annotations_of_github_steer_neither_the_runner_nor_a_terminal() -> None:
    odd = "a,b:c%\r\n::error::\x1b[31m\x00\u202e\u2028\x85\udcff.py"
    shown = report("github", [Finding(odd, 1, 1, "PN001", odd)], "1 finding")
    annotation, summary = shown.splitlines()
    assert summary == "1 finding"
    escapes = r"\x1b[31m\x00\u202e\u2028\x85\udcff.py"
    error = "%0D%0A%3A%3Aerror%3A%3A"
    assert annotation == (
        f"::warning file=a%2Cb%3Ac%25{error}{escapes},line=1,endLine=1,col=1,title=portnorm PN001"
        f"::a,b:c%25%0D%0A::error::{escapes}"
    )
    assert all(map(str.isprintable, [annotation, summary]))


def test_json_has_all_of_a_finding() -> None:
    shown = report("json", FINDINGS, "", {"files": 3})
    assert shown.startswith('{\n  "portnorm": "')
    found = json.loads(shown)
    assert found["files"] == 3
    assert found["findings"][0] == {
        "path": "a b/ä,c.py",
        "cell": None,
        "line": 3,
        "column": 5,
        "end_line": 4,
        "end_column": None,
        "code": "PN113",
        "message": "dim=: 100% wrong\r\nhere, too",
        "fix": {"title": "rename", "edits": [{"start": [3, 7], "end": [3, 10], "text": "axis"}]},
    }
    assert found["findings"][1]["cell"] == 7


TEXT = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}}
ARTIFACT = {"type": "object", "properties": {"uri": {"type": "string", "format": "uri-reference"}}}
REGION = {
    "type": "object",
    "additionalProperties": False,
    "required": ["startLine"],
    "properties": {
        name: {"type": "integer", "minimum": 1}
        for name in ("startLine", "startColumn", "endLine", "endColumn")
    },
}
SARIF = {
    "type": "object",
    "additionalProperties": False,
    "required": ["version", "runs"],
    "properties": {
        "$schema": {"type": "string", "format": "uri"},
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["tool", "results"],
                "properties": {
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "tool": {
                        "type": "object",
                        "required": ["driver"],
                        "properties": {
                            "driver": {
                                "type": "object",
                                "required": ["name"],
                                "properties": {
                                    "rules": {
                                        "type": "array",
                                        "uniqueItems": True,
                                        "items": {
                                            "type": "object",
                                            "required": ["id"],
                                            "properties": {"shortDescription": TEXT, "help": TEXT},
                                        },
                                    }
                                },
                            }
                        },
                    },
                    "results": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["message"],
                            "properties": {
                                "level": {"enum": ["none", "note", "warning", "error"]},
                                "message": TEXT,
                                "locations": {
                                    "type": "array",
                                    "items": {
                                        "type": "object",
                                        "properties": {
                                            "physicalLocation": {
                                                "type": "object",
                                                "required": ["artifactLocation"],
                                                "additionalProperties": False,
                                                "properties": {
                                                    "artifactLocation": ARTIFACT,
                                                    "region": REGION,
                                                },
                                            }
                                        },
                                    },
                                },
                                "fixes": {
                                    "type": "array",
                                    "items": {
                                        "type": "object",
                                        "required": ["artifactChanges"],
                                        "properties": {
                                            "artifactChanges": {
                                                "type": "array",
                                                "minItems": 1,
                                                "items": {
                                                    "type": "object",
                                                    "required": [
                                                        "artifactLocation",
                                                        "replacements",
                                                    ],
                                                    "properties": {
                                                        "replacements": {
                                                            "type": "array",
                                                            "minItems": 1,
                                                            "items": {
                                                                "type": "object",
                                                                "required": ["deletedRegion"],
                                                                "properties": {
                                                                    "deletedRegion": REGION,
                                                                    "insertedContent": TEXT,
                                                                },
                                                            },
                                                        }
                                                    },
                                                },
                                            }
                                        },
                                    },
                                },
                            },
                        },
                    },
                },
            },
        },
    },
}
"""The parts of the schema of SARIF 2.1.0 (OASIS, section 3) that a report of portnorm has."""


def test_sarif_keeps_to_its_schema() -> None:
    log = json.loads(report("sarif", FINDINGS, ""))
    jsonschema.validate(log, SARIF)
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rules[result["ruleIndex"]]["id"] for result in run["results"]] == ["PN113", "PN101"]
    first, second = (result["locations"][0]["physicalLocation"] for result in run["results"])
    assert urllib.parse.unquote(first["artifactLocation"]["uri"]) == "a b/ä,c.py"
    assert first["artifactLocation"]["uri"].isascii()
    assert first["region"] == {"startLine": 3, "startColumn": 5, "endLine": 4}
    assert "region" not in second
    (fix,) = run["results"][0]["fixes"]
    (replacement,) = fix["artifactChanges"][0]["replacements"]
    assert replacement["deletedRegion"]["endColumn"] == 10
    assert replacement["insertedContent"] == {"text": "axis"}
    assert "fixes" not in run["results"][1]


@pytest.mark.parametrize(
    "planted",
    [
        {"version": "2.0.0"},
        {"runs": [{"results": []}]},
        {"runs": [{"tool": {"driver": {"name": "a"}}, "results": [{"level": "warning"}]}]},
    ],
)
def test_a_log_that_is_no_sarif_is_found(planted: dict[str, object]) -> None:
    log = {**json.loads(report("sarif", FINDINGS, "")), **planted}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(log, SARIF)


def test_sarif_has_the_end_of_a_place() -> None:
    found = Finding("a.py", 2, 3, "PN101", "m", end_line=4, end_column=9)
    log = json.loads(report("sarif", [found], ""))
    location = log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert location["region"] == {"startLine": 2, "startColumn": 3, "endLine": 4, "endColumn": 9}


def test_what_is_no_python_is_one_character_long() -> None:
    source = SourceFile.parse("a.py", b"x = 1\ny = 3 3\n")
    found = not_python(source, NotPythonError(2, 5, "invalid syntax"))
    assert (found.line, found.column, found.end_line, found.end_column) == (2, 5, 2, 6)
    assert found.lines == ("y = 3 3",)


def test_absolute_paths_are_uris() -> None:
    log = json.loads(report("sarif", [Finding("/a b.py", 1, 1, "PN001", "m")], ""))
    location = log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert location["artifactLocation"]["uri"] == "file:///a%20b.py"


@pytest.mark.parametrize("form", FORMATS)
def test_names_that_are_no_unicode_are_reported_in_every_format(form: str) -> None:
    shown = report(form, [Finding("a\udcff.py", 1, 1, "PN001", "m")], "1 finding")
    assert shown.encode()
    if form == "sarif":
        assert '"uri": "a%FF.py"' in shown


@pytest.mark.parametrize("form", FORMATS)
def test_nothing_found_is_reported_in_every_format(form: str) -> None:
    shown = report(form, [], "no findings")
    if form in ("text", "concise", "github"):
        assert shown == "no findings"
    elif form == "sarif":
        jsonschema.validate(json.loads(shown), SARIF)
    else:
        assert json.loads(shown)["findings"] == []
