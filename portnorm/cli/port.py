"""`portnorm port`."""

from __future__ import annotations

import argparse
import difflib
import functools
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from portnorm.cli import sources
from portnorm.cli.common import BAD_INPUT, DIFFER, DONE, BadInputError, needs_tools, say
from portnorm.cli.interrupts import Interruptible
from portnorm.text import counted

if TYPE_CHECKING:
    from portnorm.cli.common import Commands
    from portnorm.port import PortedFile
    from portnorm.source.files import Content
    from portnorm.source.findings import Finding
    from portnorm.source.processes import Outcome

    _Change = tuple[Outcome[PortedFile], PortedFile]


def add_parser(commands: Commands) -> None:
    """Add the parser of the command."""
    parser = commands.add_parser(
        "port",
        help="rewrite calls of one framework's function for the other framework",
        description="Rewrite calls of torch.nn.functional.normalize for MindSpore, or of "
        "mindspore.ops.L2Normalize for torch, and print what changes as a unified diff. What is "
        "not known to be right is left alone and reported.",
        epilog="A comment `# portnorm: ignore[CODE]` on the line of a call leaves it alone. Exit "
        "codes: 0 nothing to do, 1 there are changes or calls left to people, 2 bad usage or an "
        "error.",
    )
    sources.add_options(parser)
    parser.add_argument("--to", choices=("mindspore", "torch"), required=True, help="move to it")
    parser.add_argument(
        "--style",
        choices=("adapter", "inline"),
        default="adapter",
        help="call portnorm, or operators of the framework where they are right "
        "(default %(default)s)",
    )
    parser.add_argument(
        "--unsafe", action="store_true", help="make edits, too, that rest on a guess"
    )
    parser.add_argument(
        "--hand-written",
        action="store_true",
        help="rewrite x / norm(x) and the like, too, where a call has the same numbers, and report "
        "the others; so does hand_written = true in [tool.portnorm.port] of pyproject.toml, "
        "except for --style inline",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--write", action="store_true", help="change the files")
    what.add_argument(
        "--check", action="store_true", help="print no diff, only what is to be done; for CI"
    )
    parser.set_defaults(run=_port)


def _port(arguments: argparse.Namespace) -> int:
    with needs_tools("port"):
        found = Interruptible(_outcomes(arguments))
        outcomes = list(found)
    if found.interrupted:
        arguments.write = False  # half a folder is not to be changed
    findings = list(_findings(outcomes))
    ported = [(o, o.result) for o in outcomes if o.result is not None]
    changed = [(o, result) for o, result in ported if result.new != result.old]
    told = sys.stdout
    failed: list[str] = []
    if arguments.write:
        changed = _written(changed, failed)
    elif not arguments.check and arguments.format == "text":
        for outcome, result in changed:
            sys.stdout.writelines(_diff(outcome.path, result))
        sys.stdout.flush()
        told = sys.stderr  # what is on stdout can be applied
    shown = _report(arguments, findings, [result for _, result in ported], changed, len(failed))
    print(shown, file=told, flush=True)
    for message in failed:  # last, so that they are seen
        say(message)
    found.finish()
    if failed or any(outcome.failure for outcome in outcomes):
        return BAD_INPUT
    return DIFFER if changed or findings else DONE


def _outcomes(arguments: argparse.Namespace) -> Iterator[Outcome[PortedFile]]:
    from portnorm.port import port_file
    from portnorm.source import by_hand
    from portnorm.source.config import settings
    from portnorm.source.names import might_contain
    from portnorm.source.processes import run
    from portnorm.terminal import progress_bar

    found = settings(arguments.paths, "port", {"exclude": list, "hand_written": bool})
    inputs = sources.inputs(arguments, found.values.get("exclude", ()), found.folder)
    _check_stdin(arguments, inputs)
    configured = arguments.style == "adapter" and found.values.get("hand_written", False)
    process = functools.partial(
        port_file,
        to=arguments.to,
        style=arguments.style,
        unsafe=arguments.unsafe,
        hand_written=arguments.hand_written or configured,
    )

    def might_matter(content: bytes) -> bool:
        by_hand_counts = process.keywords["hand_written"] and by_hand.might_contain(content)
        return by_hand_counts or might_contain(content)

    with progress_bar("files") as progress:
        yield from run(inputs, process, might_matter, arguments.jobs, progress)


def _check_stdin(arguments: argparse.Namespace, inputs: list[str | Content]) -> None:
    if arguments.write and any(not isinstance(one, str) for one in inputs):
        raise BadInputError("--write needs files; standard input cannot be written")


def _findings(outcomes: list[Outcome[PortedFile]]) -> Iterator[Finding]:
    from portnorm.source.findings import Finding

    for outcome in outcomes:
        if outcome.failure is not None:
            say(f"{outcome.path}: {outcome.failure}")
        elif outcome.unreadable is not None:
            yield Finding(outcome.path, 1, 1, "PN001", outcome.unreadable)
        elif outcome.result is not None:
            yield from outcome.result.findings


def _written(changed: list[_Change], failed: list[str]) -> list[_Change]:
    """Write files, and return what was written; why others were not is added to a list."""
    from portnorm.source.files import UnreadableError, read, write

    written = []
    for outcome, result in changed:
        path = outcome.path
        try:
            source = read(path)
            if source.text != result.old:
                raise UnreadableError("expected the file that was read, it has changed")
            sources.say_other_names(path, write(source, result.new))
            written.append((outcome, result))
        except UnreadableError as error:
            failed.append(f"{path}: {error}")
        except OSError as error:
            failed.append(f"{path}: {error.strerror}" if error.strerror else str(error))
    return written


def _diff(path: str, result: PortedFile) -> Iterator[str]:
    old, new = (text.splitlines(keepends=True) for text in (result.old, result.new))
    for line in difflib.unified_diff(old, new, _quoted(f"a/{path}"), _quoted(f"b/{path}")):
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _quoted(name: str) -> str:
    """Return a name as `git` and `patch` read it: in quotes where it would end or steer a line."""
    if name.isprintable() and '"' not in name and "\\" not in name:
        return name
    shown = (
        chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\{b:03o}" for b in os.fsencode(name)
    )
    return f'"{"".join(shown)}"'


def _report(
    arguments: argparse.Namespace,
    findings: list[Finding],
    results: list[PortedFile],
    changed: list[_Change],
    failures: int,
) -> str:
    from portnorm.source.report import report

    rewritten = sum(result.rewritten for _, result in changed)
    files = len(changed)
    counts = {
        "rewritten": rewritten,
        "files": files,
        "left": len(findings),
        "ignored": sum(result.ignored for result in results),
        "untouched": sum(result.untouched for result in results),
        "failures": failures,
    }
    done = "rewritten" if arguments.write else "to rewrite"
    summary = (
        f"{counted(rewritten, 'place')} {done} in {counted(files, 'file')}, "
        f"{len(findings)} left to people, {counts['ignored']} ignored, "
        f"{counted(counts['untouched'], 'other call')} untouched"
    )
    if failures:
        summary += f"; {counted(failures, 'file')} could not be written"
    return report(arguments.format, findings, summary, {"counts": counts})
