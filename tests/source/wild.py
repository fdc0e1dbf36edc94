"""Port and check the files of installed packages without running or changing them, and count.

    python -m tests.source.wild FOLDER...

Every file is ported to both frameworks and in both styles, and checked. `port_file` itself checks
that what comes out parses, that its imports exist, and that a second run changes nothing; here,
that whatever lies outside of the edits is the same: a line that names no function and no import is
never lost.
"""

from __future__ import annotations

import contextlib
import difflib
import itertools
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from portnorm.check import DEFAULT, check, selected
from portnorm.port import port_file
from portnorm.source.files import SourceFile, UnreadableError, read
from portnorm.source.names import might_contain

_EDITED = re.compile(r"ormalize|^\s*(import|from) |^\s*$|\b(p|dim|eps)=")
_HELPER = re.compile(r"square|unknown|above|norm = |2-norm")


def lost(old: str, new: str) -> list[str]:
    """Return the changed lines that have no business to change."""
    lines = difflib.ndiff(old.splitlines(), new.splitlines()) if old != new else ()
    changed = [line for line in lines if line[:1] in "+-"]
    return [
        line
        for line in changed
        if not _EDITED.search(line[2:]) and not (line[0] == "+" and _HELPER.search(line))
    ]


class Figures:
    """What was counted, and the processor's time."""

    def __init__(self) -> None:
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
            found = might_contain(path.read_bytes())
        self.counts["left by the search"] += found
        if not found:
            return None
        try:
            return read(str(path))
        except UnreadableError:
            self.counts["unreadable"] += 1
            return None

    def port(self, source: SourceFile) -> None:
        for to, style in itertools.product(("mindspore", "torch"), ("adapter", "inline")):
            with self.timed(f"port to {to}"):
                result = port_file(source, to=to, style=style, unsafe=False)
            self.counts[f"rewritten, {style}, to {to}"] += result.rewritten
            if style == "adapter":
                self.counts[f"untouched, to {to}"] += result.untouched
            codes = (f"reported, {style}, {finding.code}" for finding in result.findings)
            self.counts.update(codes)
            for line in lost(result.old, result.new):
                self.counts["lost lines"] += 1
                print(f"{source.path}: {line}")

    def check(self, source: SourceFile) -> None:
        with self.timed("check"):
            found = check(source, selected(DEFAULT, ()))
        self.counts["calls looked at"] += found.calls
        for finding in found.findings:
            self.counts[f"found, {finding.code}"] += 1
            print(f"{source.path}:{finding.line}: {finding.code} {finding.message}")


def main(folders: list[str]) -> int:
    """Print the figures; return 1 if a file lost something or failed a check."""
    figures, files = Figures(), [p for f in folders for p in sorted(Path(f).rglob("*.py"))]
    for source in filter(None, map(figures.readable, files)):
        figures.port(source)
        figures.check(source)
    left = figures.counts["left by the search"]
    for name, number in [("files", len(files)), *sorted(figures.counts.items())]:
        print(f"{name:<32}{number:>8}")
    print(f"search: {len(files) / figures.seconds['search']:.0f} files a second of one core")
    for what, runs in (("port to mindspore", 2), ("port to torch", 2), ("check", 1)):
        rate = runs * left / figures.seconds[what]
        print(f"{what}, of what is left: {rate:.1f} files a second of one core")
    return int(bool(figures.counts["lost lines"] or figures.counts["reported, adapter, PN209"]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
