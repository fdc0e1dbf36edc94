"""Port one file, and check what came out before anybody sees it."""

from __future__ import annotations

import ast
import functools
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace

from portnorm.port.module import Ported, port_source
from portnorm.port.rewrite import Style, Target
from portnorm.source.files import SourceFile, UnreadableError
from portnorm.source.findings import Finding, not_python, skipped
from portnorm.source.names import NotPythonError, parse


@dataclass(frozen=True)
class PortedFile:
    """What became of a file.

    Attributes:
        old: its text.
        new: its text after the port; the old one if nothing is to be done.
        rewritten: the number of places that were rewritten.
        ignored: the number of places that comments silenced.
        untouched: the number of other calls of the same names.
        findings: what is left to people.
    """

    old: str
    new: str
    rewritten: int
    ignored: int
    untouched: int
    findings: tuple[Finding, ...]


def port_file(
    source: SourceFile, *, to: Target, style: Style, unsafe: bool, hand_written: bool = False
) -> PortedFile:
    """Port a file; if it is not Python or a check of the result fails, leave it and say so."""
    port = functools.partial(
        port_source, to=to, style=style, unsafe=unsafe, hand_written=hand_written
    )
    try:
        ported = port(source.text)
    except NotPythonError as error:
        return PortedFile(source.text, source.text, 0, 0, 0, (not_python(source, error),))
    findings = [
        _finding(source, reported.line, reported.column, reported.code, reported.message)
        for reported in ported.reported
    ]
    wrong = _what_is_wrong(source, ported, port)
    if wrong:
        failed = Finding(source.path, 1, 1, "PN209", f"the file is left as it is: {wrong}")
        findings, ported = [failed, *findings], replace(ported, text=source.text, rewritten=0)
    return PortedFile(
        source.text,
        ported.text,
        ported.rewritten,
        ported.ignored,
        ported.untouched,
        (*findings, *skipped(source)),
    )


def _finding(source: SourceFile, line: int, column: int, code: str, message: str) -> Finding:
    place = source.place(line)
    return Finding(source.path, place.line, column, code, message, cell=place.cell)


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
