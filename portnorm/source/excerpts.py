"""Findings with the lines of source that they are about, the place underlined."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.text import Text

from portnorm.source.findings import Finding
from portnorm.text import one_line, printable

_MOST = 4
"""Lines of a call that are shown."""


def excerpts(findings: Sequence[Finding], summary: str) -> Text:
    """Return the findings, and a last line for people.

    >>> found = Finding("a.py", 3, 5, "PN101", "epsilon is 1e-4", None, 3, 0, 9, ("y = f(x)",))
    >>> print(excerpts([found], "1 finding").plain)
    a.py:3:5: PN101 epsilon is 1e-4
      |
    3 | y = f(x)
      |     ^^^^
    <BLANKLINE>
    1 finding
    """
    return Text("\n").join([*map(_excerpt, findings), Text(summary)])


def _excerpt(finding: Finding) -> Text:
    fixable = ("[*] ", "cyan") if finding.fix is not None else ("", "")
    head = Text.assemble(
        (place(finding), "bold"),
        ": ",
        (finding.code, "bold red"),
        " ",
        fixable,
        one_line(finding.message),
        "\n",
    )
    if finding.lines:
        head.append_text(Text("").join(_source(finding)))
    if finding.fix is not None:
        head.append_text(Text.assemble(("help", "cyan"), f": {finding.fix.title} (--fix)\n"))
    return head


def place(finding: Finding) -> str:
    """Return where a finding is, as compilers show it."""
    cell = f"cell {finding.cell}:" if finding.cell else ""
    return f"{printable(finding.path)}:{cell}{finding.line}:{finding.column}"


def _source(finding: Finding) -> Iterator[Text]:
    """Yield the lines of source; of a long call the first ones."""
    last = finding.line + len(finding.lines) - 1
    width = len(str(min(last, finding.line + _MOST - 1)))
    yield _row("", width, Text(""))
    for number, line in enumerate(finding.lines[:_MOST], finding.line):
        yield _row(str(number), width, Text(_shown(line)))
        start = finding.column - 1 if number == finding.line else len(line) - len(line.lstrip())
        end = finding.end_column - 1 if number == finding.end_line else len(line.rstrip())
        before, within = _shown(line[:start]), _shown(line[start:end])
        marks = " " * cell_len(before) + "^" * max(1, cell_len(within))
        yield _row("", width, Text(marks, "bold red"))
    if len(finding.lines) > _MOST:
        yield _row("", width, Text("..."))


def _row(number: str, width: int, text: Text) -> Text:
    row = Text.assemble((f"{number:>{width}} |", "blue"))
    if text.plain:
        row.append(" ").append_text(text)
    return row.append("\n")


def _shown(line: str) -> str:
    return printable(line.rstrip("\r\n").replace("\t", "    "))
