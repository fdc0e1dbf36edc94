"""Run the shell sessions of pages, and compare or fill in what they print.

    python tools/console.py PAGE...           writes the output into the pages
    python tools/console.py --check PAGE...   exits 1 where a page shows something else

A session is a block marked as console. Lines that begin with "$ " are commands, "> " goes on with
one, and the rest is output, both streams together; a "..." in it stands for anything. The blocks of
a page run in order, in one empty folder, which has the `examples` of the repository beside it.
"""

from __future__ import annotations

import argparse
import doctest
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from portnorm import files

ROOT = Path(__file__).parent.parent
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PROGRESS = re.compile(
    r"^portnorm: (starting the frameworks|reading[\w ]*|identifying|[\w ]+: \d+%)\n", re.MULTILINE
)
"""What commands say that have run for some seconds."""

_COMMAND = re.compile(r"^\$ .*\n(?:>(?: .*)?\n)*", re.MULTILINE)


class Step(NamedTuple):
    """A command as it is shown, and what it is said to print."""

    shown: str
    output: str

    @property
    def command(self) -> str:
        """What the shell gets."""
        return "\n".join(line[2:] for line in self.shown.splitlines())


def steps(block: str) -> Iterator[Step]:
    """Yield the steps of a session."""
    starts = list(_COMMAND.finditer(block))
    ends = [match.start() for match in starts[1:]] + [len(block)]
    for match, end in zip(starts, ends, strict=True):
        yield Step(match[0], block[match.end() : end])


def run(command: str, folder: Path) -> str:
    """Run one command of a session."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PORTNORM_")}
    path = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    environment |= {"PATH": path, "COLUMNS": "100", "NO_COLOR": "1", "PYTHONPATH": str(ROOT)}
    environment["GLOG_v"] = "3"  # MindSpore's own warnings
    environment["PORTNORM_COMPILE_NOTICE"] = "off"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    output = "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())
    return PROGRESS.sub("", output)


def as_shown(shown: str, found: str) -> bool:
    """Whether an output is the one of the page."""
    return doctest.OutputChecker().check_output(shown, found, doctest.ELLIPSIS)


def filled(text: str) -> str:
    """Return a page with the output that its commands have now, where that is not as shown."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder) / "work"
        work.mkdir()
        (Path(folder) / "examples").symlink_to(ROOT / "examples")

        def fill(match: re.Match[str]) -> str:
            parts = []
            for step in steps(match[1]):
                found = run(step.command, work)
                output = step.output if as_shown(step.output, found) else found
                parts.append(step.shown + output)
            return f"```console\n{''.join(parts)}```"

        return _BLOCK.sub(fill, text)


def main() -> int:
    """Write or check pages; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if stale")
    parser.add_argument("pages", nargs="+", type=Path, metavar="PAGE")
    arguments = parser.parse_args()
    stale = False
    for page in arguments.pages:
        old = page.read_text(encoding="utf-8")
        new = filled(old)
        if new != old:
            stale = True
            print(f"{'out of date' if arguments.check else 'written'}: {page}")
            if not arguments.check:
                files.write(page, new.encode())
    return 1 if arguments.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
