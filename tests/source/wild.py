"""Port and check the files of installed packages without running or changing them, and count.

    python -m tests.source.wild FOLDER...

Every file is ported to both frameworks and in all styles, what is written by hand included, and
checked. `port_file` itself checks that what comes out parses, that its imports exist, and that a
second run changes nothing; here, that whatever lies outside of the edits is the same: a line that
names no function, no norm and no import is never lost. And every call that a search of the tokens
finds has to be told of: as rewritten, reported, or untouched with a reason.
"""

from __future__ import annotations

import contextlib
import difflib
import io
import re
import sys
import time
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from portnorm.check import DEFAULT, check, selected
from portnorm.port import PortedFile, port_file
from portnorm.source.files import SourceFile, UnreadableError, read
from portnorm.source.project import Project

_EDITED = re.compile(r"ormalize|^\s*(import|from) |^\s*$|\b(p|dim|eps)=")
_HELPER = re.compile(r"square|unknown|above|norm = |2-norm")
_BY_HAND = re.compile(r"norm|sqrt|square|sum|pow|/|\*")
_WAYS = (
    ("mindspore", "adapter", True),
    ("mindspore", "inline", False),
    ("mindspore", "mint", False),
    ("torch", "adapter", True),
    ("torch", "inline", True),
)


def lost(old: str, new: str, hand_written: bool) -> list[str]:
    """Return the changed lines that have no business to change."""
    lines = difflib.ndiff(old.splitlines(), new.splitlines()) if old != new else ()
    changed = [line for line in lines if line[:1] in "+-"]
    return [
        line
        for line in changed
        if not _EDITED.search(line[2:])
        and not (line[0] == "+" and _HELPER.search(line))
        and not (hand_written and _BY_HAND.search(line[2:]))
    ]


def calls(text: str) -> list[int]:
    """Return the lines of calls of these names, found without a syntax tree."""
    found, before, name = [], "", None
    with contextlib.suppress(tokenize.TokenError, SyntaxError):
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type in (tokenize.NL, tokenize.COMMENT):
                continue
            if name is not None and token.string == "(":
                found.append(name)
            is_one = token.string in ("normalize", "L2Normalize") and token.type == tokenize.NAME
            name = token.start[0] if is_one and before not in ("def", "class") else None
            before = token.string
    return found


def told_of(result: PortedFile) -> Counter[int]:
    """Return the lines of what a port tells of."""
    lines: Counter[int] = Counter()
    for place in result.places:
        lines[place.line] += place.reason != "normalization by hand"
    for finding in result.findings:
        for line in range(finding.line, max(finding.line, finding.end_line) + 1):
            lines[line] += finding.code != "PN210"
    return lines


class Figures:
    """What was counted, and the processor's time."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.counts: Counter[str] = Counter()
        self.seconds: Counter[str] = Counter()

    @contextlib.contextmanager
    def timed(self, what: str) -> Iterator[None]:
        start = time.process_time()
        yield
        self.seconds[what] += time.process_time() - start

    def readable(self, path: Path) -> SourceFile | None:
        """Search a file for words, and read it if they are there."""
        with self.timed("search"):
            raw = path.read_bytes()
            found = self.project.might_contain(raw, by_hand=True)
        self.counts["left by the search"] += found
        if not found:
            return None
        try:
            return read(str(path))
        except UnreadableError:
            self.counts["unreadable"] += 1
            return None

    def port(self, source: SourceFile) -> None:
        for to, style, hand_written in _WAYS:
            with self.timed(f"port to {to}"):
                result = port_file(
                    source,
                    to=to,
                    style=style,
                    unsafe=False,
                    project=self.project,
                    hand_written=hand_written,
                )
            way = f"{style}, to {to}"
            for place in result.places:
                what = "by hand " if place.reason == "normalization by hand" else ""
                self.counts[f"{what}{place.outcome}, {way}"] += 1
            self.counts.update(f"reported, {way}, {one.code}" for one in result.findings)
            for line in lost(result.old, result.new, hand_written):
                self.counts["lost lines"] += 1
                print(f"{source.path}: {line}")
            if style == "adapter":
                self.missed(source, result, to)

    def missed(self, source: SourceFile, result: PortedFile, to: str) -> None:
        """Count the calls that a search finds, and those of which nothing is told."""
        told = told_of(result)
        for line in calls(source.text):
            self.counts[f"calls by tokens, to {to}"] += 1
            near = next((one for one in range(line, line - 12, -1) if told[one] > 0), None)
            if near is None:
                self.counts["missed calls"] += 1
                print(f"{source.path}:{line}: a call of which nothing is told")
            else:
                told[near] -= 1

    def check(self, source: SourceFile) -> None:
        with self.timed("check"):
            found = check(source, selected((*DEFAULT, "PN13"), ()), project=self.project)
        self.counts["calls looked at"] += found.calls
        for finding in found.findings:
            self.counts[f"found, {finding.code}"] += 1
            if finding.code not in ("PN131", "PN132"):
                print(f"{source.path}:{finding.line}: {finding.code} {finding.message}")


def main(folders: list[str]) -> int:
    """Print the figures; return 1 if a file lost something, failed a check or had a call missed."""
    files = [p for f in folders for p in sorted(Path(f).rglob("*.py"))]
    figures = Figures(Project.of(list(map(str, files))))
    for source in filter(None, map(figures.readable, files)):
        figures.port(source)
        figures.check(source)
    left = figures.counts["left by the search"]
    for name, number in [("files", len(files)), *sorted(figures.counts.items())]:
        print(f"{name:<44}{number:>8}")
    print(f"search: {len(files) / figures.seconds['search']:.0f} files a second of one core")
    runs = Counter(to for to, _, _ in _WAYS)
    for what, rounds in [*((f"port to {to}", runs[to]) for to in runs), ("check", 1)]:
        rate = rounds * left / figures.seconds[what]
        print(f"{what}, of what is left: {rate:.1f} files a second of one core")
    bad = ("lost lines", "missed calls", *(key for key in figures.counts if "PN209" in key))
    return int(any(figures.counts[key] for key in bad))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
