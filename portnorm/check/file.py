"""Check one file by all rules, and mend what is safe to mend."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from portnorm.check.rule import Problem
from portnorm.check.rules import RULES
from portnorm.check.view import Normalization, View
from portnorm.source.codes import CODES
from portnorm.source.edits import Fix, Place, apply, combine
from portnorm.source.files import SourceFile
from portnorm.source.findings import (
    Finding,
    Ignores,
    PerFile,
    chosen,
    ignored_in,
    not_python,
    skipped,
)
from portnorm.source.names import Module, NotPythonError, Unresolved
from portnorm.source.project import ALONE, Project

DEFAULT = ("PN0", "PN10", "PN11", "PN12")
"""Codes that are looked for unless others are named: PN13 says what is there, right or wrong."""

_ROUNDS = 20

Span = tuple[Place, Place]


@dataclass(frozen=True)
class Checked:
    """What was found in one file.

    Attributes:
        findings: in the order of lines; after the fixes, if there were any.
        calls: how many calls of the two functions, or of portnorm's, were looked at.
        unresolved: how many names may mean one of the functions, and cannot be told.
        fixed: how many findings were mended.
        content: the bytes of the file with the fixes made; None where there are none.
    """

    findings: tuple[Finding, ...]
    calls: int = 0
    unresolved: int = 0
    fixed: int = 0
    content: bytes | None = None


def selected(select: tuple[str, ...], ignore: tuple[str, ...]) -> frozenset[str]:
    """Return the codes to look for, from their names or how these begin.

    >>> sorted(selected(("PN10",), ("PN101", "PN102")))
    ['PN103', 'PN104', 'PN105']
    """
    return frozenset(code for code in CODES if chosen(code, select) and not chosen(code, ignore))


def normalizations(source: SourceFile) -> tuple[Normalization, ...]:
    """Return where a file divides vectors by their norms, for `check` of what it was ported to.

    Raises:
        NotPythonError: the running Python does not take it.
    """
    return tuple(found for _, found in View(Module(source.text)).normalizations)


def check(
    source: SourceFile,
    codes: frozenset[str],
    fix: bool = False,
    project: Project = ALONE,
    per_file: Sequence[PerFile] = (),
    original: Sequence[Normalization] = (),
) -> Checked:
    """Find what is wrong in a file, and mend what is safe to mend if asked to.

    A mended text parses, a second run finds nothing to mend in it, and all but the edits is as it
    was.

    Args:
        source: the file; it is not written.
        codes: those to look for.
        fix: whether to mend.
        project: the files that it belongs to, where it imports the functions from them.
        per_file: what is not reported in some files.
        original: of the file that this one was ported from.

    Raises:
        OverlappingEditsError, RuntimeError, UnreadableError, NotPythonError: a mended
            text is not as promised.

    >>> source = SourceFile.parse("a.py", b"import mindspore as ms; ms.ops.L2Normalize(dim=1)")
    >>> checked = check(source, frozenset({"PN113"}), fix=True)
    >>> checked.content, checked.fixed
    (b'import mindspore as ms; ms.ops.L2Normalize(axis=1)', 1)
    """
    ignored = ignored_in(source.path, per_file)
    codes = frozenset(code for code in codes if not chosen(code, ignored))
    look = functools.partial(
        _look,
        codes=codes,
        path=source.path,
        project=project,
        original=original,
    )
    try:
        looked = look(source.text)
    except NotPythonError as error:
        return Checked(tuple(_with(codes, [not_python(source, error)])))
    if not fix or not looked.fixes:
        return _report(source, looked, codes)
    text, fixed, looked = _mend(source.text, looked, look)
    content = source.encode(text)
    mended = SourceFile.parse(source.path, content)
    if mended.text != text:
        raise RuntimeError("the mended text does not come back from its file")
    return replace(_report(mended, looked, codes), fixed=fixed, content=content)


@dataclass(frozen=True)
class _Looked:
    """What the rules report of a text; lines are those of the text."""

    problems: tuple[tuple[str, Problem, Span], ...]
    unresolved: tuple[Unresolved, ...]
    calls: int

    @property
    def fixes(self) -> list[Fix]:
        return [one.fix for _, one, _ in self.problems if one.fix is not None]


def _look(
    text: str,
    codes: frozenset[str],
    path: str,
    project: Project,
    original: Sequence[Normalization],
) -> _Looked:
    """Run the rules; what a comment silences is not found."""
    module = Module(text, project.elsewhere(path), project.words)
    view, ignores = View(module, original), Ignores(text)
    problems = [
        (rule.code, one, module.syntax.span(one.node))
        for rule in RULES
        if rule.code in codes
        for one in rule.find(view)
    ]
    kept = [
        (code, one, span)
        for code, one, span in problems
        if not ignores.silence(code, span[0][0], span[1][0])
    ]
    kept.sort(key=lambda item: (item[2][0], item[0]))
    unresolved = [one for one in module.unresolved if not ignores.silence(one.code, one.line)]
    return _Looked(tuple(kept), tuple(unresolved), len(view.constructors) + len(view.normalizes))


def _mend(text: str, looked: _Looked, look: Callable[[str], _Looked]) -> tuple[str, int, _Looked]:
    """Make fixes until none is left, and return the text, how many there were, and what is left."""
    fixed = 0
    for _ in range(_ROUNDS):
        fixes = combine(looked.fixes)
        if not fixes:
            return text, fixed, looked
        text = apply(text, [edit for fix in fixes for edit in fix.edits])
        looked, fixed = look(text), fixed + len(fixes)
    raise RuntimeError("the fixes do not come to an end")


def _report(source: SourceFile, looked: _Looked, codes: frozenset[str]) -> Checked:
    findings = [*_with(codes, skipped(source)), *_findings(source, looked, codes)]
    findings.sort(key=lambda finding: (finding.cell, finding.line, finding.column))
    return Checked(tuple(findings), looked.calls, len(looked.unresolved))


def _findings(source: SourceFile, looked: _Looked, codes: frozenset[str]) -> Iterator[Finding]:
    for code, problem, span in looked.problems:
        found = Finding.at(source, span, code, problem.message)
        fix = problem.fix and _moved(problem.fix, found.line - span[0][0])
        yield replace(found, fix=fix)
    for one in looked.unresolved:
        if one.code in codes:
            yield Finding.at(source, one.span, one.code, one.message)


def _moved(fix: Fix, lines: int) -> Fix:
    """Count the lines of a fix as those of the finding are counted, in a cell or in the file."""
    edits = [
        replace(
            edit,
            start=(edit.start[0] + lines, edit.start[1]),
            end=(edit.end[0] + lines, edit.end[1]),
        )
        for edit in fix.edits
    ]
    return replace(fix, edits=tuple(edits))


def _with(codes: frozenset[str], findings: Iterable[Finding]) -> Iterator[Finding]:
    return (finding for finding in findings if finding.code in codes)
