"""Port one file, and check what came out before anybody sees it."""

from __future__ import annotations

import ast
import functools
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from portnorm.port.diff import unified_diff
from portnorm.port.module import Noted, Ported, Told, port_source
from portnorm.port.rewrite import Style, Target
from portnorm.source.files import SourceFile, UnreadableError
from portnorm.source.findings import (
    Finding,
    PerFile,
    chosen,
    ignored_in,
    not_python,
    skipped,
)
from portnorm.source.names import NotPythonError, parse
from portnorm.source.project import ALONE, Project


@dataclass(frozen=True)
class PortedFile(Told):
    """What became of a file.

    Attributes:
        old: its text.
        new: its text after the port; the old one if nothing is to be done.
        places: what was rewritten, and what is another function, for each where it stood.
        ignored: the number of places that comments silenced.
        findings: what is left to people.
        diff: the change of the file as a unified diff, empty where there is none.
    """

    old: str
    new: str
    places: tuple[Noted, ...] = ()
    ignored: int = 0
    findings: tuple[Finding, ...] = ()
    diff: bytes = b""


def port_file(
    source: SourceFile,
    *,
    to: Target,
    style: Style,
    unsafe: bool,
    project: Project = ALONE,
    per_file: Sequence[PerFile] = (),
    hand_written: bool,
) -> PortedFile:
    """Port a file; if it is not Python or a check of the result fails, leave it and say so."""
    port = functools.partial(
        port_source,
        to=to,
        style=style,
        unsafe=unsafe,
        path=source.path,
        project=project,
        hand_written=hand_written,
    )
    try:
        ported = port(source.text)
    except NotPythonError as error:
        return PortedFile(source.text, source.text, findings=(not_python(source, error),))
    findings = [
        Finding.at(source, ((one.line, one.column), one.end), one.code, one.message)
        for one in ported.reported
    ]
    wrong = _what_is_wrong(source, ported, port)
    if wrong:
        failed = Finding(source.path, 1, 1, "PN209", f"the file is left as it is: {wrong}")
        findings, ported = [failed, *findings], replace(ported, text=source.text, places=())
    places = [_in_its_cell(source, place) for place in ported.places]
    findings += skipped(source)
    ignored = ignored_in(source.path, per_file)
    found = tuple(one for one in findings if not chosen(one.code, ignored))
    diff = unified_diff(source.path, source.raw, source.encode(ported.text))
    silenced = ported.ignored + len(findings) - len(found)
    return PortedFile(source.text, ported.text, tuple(places), silenced, found, diff)


def _in_its_cell(source: SourceFile, place: Noted) -> Noted:
    cell, line = source.place(place.line)
    return place._replace(cell=cell, line=line)


def _what_is_wrong(source: SourceFile, ported: Ported, port: Callable[[str], Ported]) -> str:
    """Return what a check says against the result; "" if nothing."""
    if ported.text == source.text:
        return ""
    try:
        tree = parse(ported.text)
        source.encode(ported.text)
    except NotPythonError as error:
        return f"what came out is not Python: {error}"
    except UnreadableError as error:
        return str(error)
    if port(ported.text).text != ported.text:
        return "a second run would change it again"
    return _missing_import(tree)


def _missing_import(tree: ast.Module) -> str:
    """Look for the modules of portnorm that are imported, without running any code of the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in (alias.name for alias in node.names):
                if name.startswith("portnorm.") and importlib.util.find_spec(name) is None:
                    return f"it would import {name}, which does not exist"
    return ""
