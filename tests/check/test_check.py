"""Files checked by all rules: fixes, comments, what cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from portnorm.check import Checked, check
from portnorm.check.rules import RULES, Problem, Rule
from portnorm.check.view import View
from portnorm.source.codes import CODES
from portnorm.source.edits import Edit, Fix
from portnorm.source.files import SourceFile
from portnorm.source.names import NotPythonError
from tests.check.rules.cases import MINDSPORE, checked, marked
from tests.conftest import needs_mindspore, needs_torch
from tests.source.test_notebooks import code, dumped, markdown


def test_a_case_without_its_mark_would_fail() -> None:
    text, places = marked("a\n b«c")
    assert (text, places) == ("a\n bc", [(2, 3)])
    assert marked("a\n b")[1] == []


def test_every_code_of_a_check_has_a_rule_and_a_test_file() -> None:
    codes = [rule.code for rule in RULES]
    assert codes == [code for code in CODES if code.startswith("PN1")] == sorted(codes)
    tests = sorted(Path(__file__).parent.glob("rules/test_*.py"))
    assert sorted(path.read_text(encoding="utf-8")[3:8] for path in tests) == codes


def test_rules_say_what_they_are() -> None:
    for rule in RULES:
        assert rule.title == CODES[rule.code].title
        assert rule.why.endswith(".")


# --- fixes ----------------------------------------------------------------------------------------

FIXED = [
    ("n = ops.L2Normalize(dim=1)", "n = ops.L2Normalize(axis=1)"),
    (
        "n = ops.L2Normalize( dim = -1 , epsilon=1e-6)  # d",
        "n = ops.L2Normalize( axis = -1 , epsilon=1e-6)  # d",
    ),
    ("y = pm.normalize(x, axis=1)", "y = pm.normalize(x, dim=1)"),
    ("y = pm.normalize(x, axis=1, eps=1e-6)", "y = pm.normalize(x, dim=1, eps=1e-6)"),
    ("y = ops.L2Normalize(x, axis=1)", "y = ops.L2Normalize(axis=1)(x)"),
    (
        "y = ops.L2Normalize(x + 1, axis=1, epsilon=1e-6)",
        "y = ops.L2Normalize(axis=1, epsilon=1e-6)(x + 1)",
    ),
    (
        "y = ops.L2Normalize(\n    x,\n    axis=1,  # rows\n)",
        "y = ops.L2Normalize(\n    axis=1,  # rows\n)(x)",
    ),
    (
        "y = ops.L2Normalize(ops.L2Normalize(x, axis=1), axis=0)",
        "y = ops.L2Normalize(axis=0)(ops.L2Normalize(axis=1)(x))",
    ),
]
NOT_FIXED = [
    "y = ops.L2Normalize(x, p=2, dim=1)",
    "n = ops.L2Normalize(axis=1, eps=1e-12)",
    "n = ops.L2Normalize(dim=1, eps=1e-12)",
    "n = ops.L2Normalize(1, dim=1)",
    "n = ops.L2Normalize(axis=1, dim=1)",
    "y = pm.normalize(x, axis=1, epsilon=1e-4)",
    "y = pm.normalize(x, 2, 1, axis=1)",
    "y = pm.normalize(x, axis=1, **options)",
    "n = ops.L2Normalize(1)\ny = n(x, dim=-1)",
    "class A(nn.Cell):\n    def construct(self, x):\n        return ops.L2Normalize(x)",
    "y = ops.L2Normalize(x, 1e-4, axis=1)",
    "y = ops.L2Normalize(  # which\n    x, axis=1 + 0 * len('#'), dim=1)",
    "y = ops.L2Normalize((\n    x  # the input\n), axis=1)",
    "y = ops.L2Normalize(\n    x,  # the input\n    axis=1,\n)",
    "n = ops.L2Normalize(1)",
    "n = ops.L2Normalize(1, 1e-12)",
]


@pytest.mark.parametrize(("before", "after"), FIXED)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_can_mean_one_thing_only_is_mended(before: str, after: str, end: str) -> None:
    head = f"# é \t\n\x0c{MINDSPORE}".replace("\n", end)
    text = head + before.replace("\n", end)
    mended = checked(text, "PN112", "PN113", fix=True)
    assert mended.content is not None
    assert mended.content.decode() == head + after.replace("\n", end)
    assert (mended.findings, mended.fixed) == ((), before.count("L2N") if "ops.L2N" in after else 1)
    again = checked(mended.content.decode(), "PN112", "PN113", fix=True)
    assert (again.content, again.fixed) == (None, 0)


@needs_mindspore
@needs_torch
@pytest.mark.parametrize(("before", "after"), FIXED)
def test_what_is_mended_raised_an_error_and_runs_now(before: str, after: str) -> None:
    names: dict[str, object] = {}
    exec(f"{MINDSPORE}x = Tensor([[3.0, 4.0]])\n", names)
    with pytest.raises(TypeError):
        exec(before, names)
    exec(after, names)


@pytest.mark.parametrize("case", NOT_FIXED)
def test_what_may_mean_something_else_is_reported_only(case: str) -> None:
    text = f"{MINDSPORE}{case}\n"
    found = checked(text, fix=True)
    assert (found.content, found.fixed) == (None, 0)
    assert found.findings
    assert all(one.fix is None for one in found.findings)


def test_without_fix_nothing_is_mended() -> None:
    found = checked(f"{MINDSPORE}n = ops.L2Normalize(dim=1)\n", "PN113")
    assert found.content is None
    assert found.findings[0].fix is not None


def test_there_are_as_many_cases_to_leave_alone_as_to_mend() -> None:
    assert len(NOT_FIXED) >= len(FIXED)
    assert {rule.code for rule in RULES if rule.has_fix} == {"PN112", "PN113"}


# --- one file -------------------------------------------------------------------------------------


def test_a_comment_silences_a_finding_and_its_fix() -> None:
    line = "n = ops.L2Normalize(dim=1)  # portnorm: ignore[PN113]\n"
    assert checked(MINDSPORE + line, fix=True) == Checked((), calls=1)
    assert checked(MINDSPORE + line.replace("PN113", "PN101"), fix=True).fixed == 1


def test_a_comment_on_any_line_of_a_call_silences_it() -> None:
    call = "n = ops.L2Normalize(\n    axis=1,\n)  # portnorm: ignore\n"
    assert checked(MINDSPORE + call).findings == ()
    assert (
        len(checked(MINDSPORE + "# portnorm: ignore\n" + call.replace("#", "# no")).findings) == 1
    )


def test_code_that_is_no_python_is_reported_where_it_breaks() -> None:
    (found,) = checked(f"{MINDSPORE}ops.L2Normalize()\nprint 'x'\n").findings
    assert (found.code, found.line) == ("PN001", 8)
    assert checked(f"{MINDSPORE}ops.L2Normalize()\nprint 'x'\n", "PN101").findings == ()


def test_the_last_line_of_a_finding_counts_in_its_cell() -> None:
    call = "n = ops.L2Normalize(\n    dim=1,\n    epsilon=1e-4,\n)"
    cells = [code("from mindspore import ops\n\n"), markdown("# two"), code(f"z = 1\n{call}")]
    (found,) = check(SourceFile.parse("n.ipynb", dumped(*cells)), frozenset({"PN113"})).findings
    assert (found.cell, found.line, found.column, found.end_line) == (3, 2, 5, 5)
    assert found.fix is not None
    assert [(edit.start, edit.end) for edit in found.fix.edits] == [((3, 5), (3, 8))]
    (found,) = checked(f"{MINDSPORE}{call}\n", "PN113").findings
    assert (found.cell, found.line, found.column, found.end_line) == (0, 7, 5, 10)


def test_names_that_cannot_be_told_are_counted_and_shown_on_demand() -> None:
    text = "from mindspore.ops import *\nn = L2Normalize()\n"
    found = checked(text)
    assert (found.findings, found.calls, found.unresolved) == ((), 0, 1)
    unresolved = [code for code in CODES if code.startswith("PN2")]
    if unresolved:
        assert len(checked(text, *unresolved).findings) == 1


def test_a_fix_that_never_ends_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import portnorm.check.file as module

    def find(view: View) -> Iterator[Problem]:
        yield Problem(
            view.constructors[0].call, "planted", Fix("grow", (Edit((1, 1), (1, 1), "#\n"),))
        )

    monkeypatch.setattr(module, "RULES", (Rule("PN101", "Planted.", True, find),))
    with pytest.raises(RuntimeError, match="do not come to an end"):
        checked(MINDSPORE + "ops.L2Normalize()", "PN101", fix=True)


def test_a_fix_that_breaks_the_code_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import portnorm.check.file as module

    def find(view: View) -> Iterator[Problem]:
        yield Problem(
            view.constructors[0].call, "planted", Fix("break", (Edit((1, 1), (1, 1), "("),))
        )

    monkeypatch.setattr(module, "RULES", (Rule("PN101", "Planted.", True, find),))
    with pytest.raises(NotPythonError):
        checked(MINDSPORE + "ops.L2Normalize()", "PN101", fix=True)
