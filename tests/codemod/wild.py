"""Port the files of installed packages without running or changing them, and count.

    python -m tests.codemod.wild FOLDER...

Every file is ported to both frameworks and in both styles. `port_file` itself checks that what
comes out parses, that its imports exist, and that a second run changes nothing; here, that whatever
lies outside of the edits is the same: a line that names no function and no import is never lost.
"""

from __future__ import annotations

import difflib
import re
import sys
import time
from collections import Counter
from pathlib import Path

from portnorm.codemod.files import UnreadableError, read
from portnorm.codemod.port.file import port_file
from portnorm.codemod.screen import might_contain, might_use

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


def main(folders: list[str]) -> int:
    """Print the figures; return 1 if a file lost something or failed a check."""
    files = [path for folder in folders for path in sorted(Path(folder).rglob("*.py"))]
    counts: Counter[str] = Counter(files=len(files))
    codes: Counter[str] = Counter()
    start = time.process_time()
    worth = [path for path in files if might_contain(path.read_bytes())]
    searched = time.process_time() - start
    start = time.process_time()
    for path in worth:
        try:
            source = read(str(path))
        except UnreadableError:
            counts["unreadable"] += 1
            continue
        counts["named"] += might_use(source.text)
        for to in ("mindspore", "torch"):
            for style in ("adapter", "inline"):
                result = port_file(source, to=to, style=style, unsafe=False)
                counts[f"rewritten, {style}, to {to}"] += result.rewritten
                if style == "adapter":
                    codes.update(finding.code for finding in result.findings)
                for line in lost(result.old, result.new):
                    counts["lost lines"] += 1
                    print(f"{path}: {line}")
    ported = time.process_time() - start
    counts["text search leaves"] = len(worth)
    for name, number in counts.items():
        print(f"{name:<32}{number:>8}")
    for code, number in sorted(codes.items()):
        print(f"reported, adapter, {code:<13}{number:>8}")
    print(f"text search: {len(files) / searched:.0f} files a second of one core")
    print(f"the rest, four times: {4 * len(worth) / ported:.1f} files a second of one core")
    return int(bool(counts["lost lines"] or codes["PN209"]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
