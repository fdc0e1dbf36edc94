"""Findings as text, lines, JSON, SARIF 2.1.0, and annotations of GitHub."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from portnorm import __version__
from portnorm.source.codes import CODES
from portnorm.source.excerpts import excerpts, place
from portnorm.source.findings import Edit, Finding, Fix
from portnorm.text import one_line, printable

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_HOME = "https://pypi.org/project/portnorm/"

Json = dict[str, Any]


def report(
    form: str, findings: Sequence[Finding], summary: str, more: Mapping[str, Any] | None = None
) -> str:
    """Return the findings in one of the formats, without a line end.

    Args:
        form: "text", "concise", "json", "sarif" or "github".
        findings: in the order in which to show them.
        summary: a last line for people.
        more: members to add to the JSON object.

    >>> found = Finding("a.py", 3, 5, "PN001", "cannot be decoded")
    >>> print(report("concise", [found], "1 finding"))
    a.py:3:5: PN001 cannot be decoded
    1 finding
    """
    if form == "json":
        return _dump(
            {"portnorm": __version__, "findings": [*map(to_json, findings)], **(more or {})}
        )
    if form == "sarif":
        return _dump(sarif(findings))
    if form == "text":
        return excerpts(findings, summary).plain
    lines = map(_annotation if form == "github" else _line, findings)
    return "\n".join([*lines, summary])


def _dump(value: Json) -> str:
    return json.dumps(value, allow_nan=False, indent=2)


def _line(finding: Finding) -> str:
    return f"{place(finding)}: {finding.code} {one_line(finding.message)}"


def to_json(finding: Finding) -> Json:
    """Return a finding in terms of JSON."""
    return {
        "path": finding.path,
        "cell": finding.cell or None,
        "line": finding.line,
        "column": finding.column,
        "end_line": finding.end_line or finding.line,
        "end_column": finding.end_column or None,
        "code": finding.code,
        "message": finding.message,
        "fix": _fix_to_json(finding.fix),
    }


def _fix_to_json(fix: Fix | None) -> Json | None:
    if fix is None:
        return None
    return {
        "title": fix.title,
        "edits": [{"start": edit.start, "end": edit.end, "text": edit.text} for edit in fix.edits],
    }


# --- GitHub ---------------------------------------------------------------------------------------


def _annotation(finding: Finding) -> str:
    """Return a workflow command; for a notebook without a line, for its lines are JSON."""
    properties = {"file": finding.path}
    message = finding.message
    if finding.cell:
        message = f"cell {finding.cell}, line {finding.line}: {message}"
    else:
        properties["line"] = str(finding.line)
        properties["endLine"] = str(finding.end_line or finding.line)
        properties["col"] = str(finding.column)
    properties["title"] = f"portnorm {finding.code}"
    shown = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::warning {shown}::{_data(message)}"


def _data(text: str) -> str:
    return printable(text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A"))


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


# --- SARIF ----------------------------------------------------------------------------------------


def sarif(findings: Sequence[Finding]) -> Json:
    """Return a SARIF 2.1.0 log of one run."""
    codes = sorted({finding.code for finding in findings})
    driver = {
        "name": "portnorm",
        "version": __version__,
        "informationUri": _HOME,
        "rules": [
            {
                "id": code,
                "shortDescription": {"text": CODES[code].title},
                "help": {"text": f"`portnorm explain {code}` shows the page."},
            }
            for code in codes
        ],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(finding, codes.index(finding.code)) for finding in findings],
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _result(finding: Finding, rank: int) -> Json:
    artifact = {"uri": _uri(finding.path)}
    location: Json = {"physicalLocation": {"artifactLocation": artifact}}
    message = finding.message
    if finding.cell:
        message = f"cell {finding.cell}, line {finding.line}: {message}"
    else:
        location["physicalLocation"]["region"] = {
            "startLine": finding.line,
            "startColumn": finding.column,
            "endLine": max(finding.end_line, finding.line),
        }
        if finding.end_column:
            location["physicalLocation"]["region"]["endColumn"] = finding.end_column
    result: Json = {
        "ruleId": finding.code,
        "ruleIndex": rank,
        "level": "warning",
        "message": {"text": message},
        "locations": [location],
    }
    if finding.fix is not None and not finding.cell:
        result["fixes"] = [_sarif_fix(finding.fix, artifact)]
    return result


def _uri(path: str) -> str:
    if os.path.isabs(path):
        return Path(path).as_uri()
    return quote(os.fsencode(os.path.normpath(path).replace(os.sep, "/")))


def _sarif_fix(fix: Fix, artifact: Json) -> Json:
    change = {"artifactLocation": artifact, "replacements": [*_replacements(fix.edits)]}
    return {"description": {"text": fix.title}, "artifactChanges": [change]}


def _replacements(edits: Sequence[Edit]) -> Iterator[Json]:
    for edit in edits:
        region = dict(
            zip(
                ("startLine", "startColumn", "endLine", "endColumn"),
                (*edit.start, *edit.end),
                strict=True,
            )
        )
        yield {"deletedRegion": region, "insertedContent": {"text": edit.text}}
