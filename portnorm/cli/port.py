"""`portnorm port`."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from portnorm.cli import sources
from portnorm.cli.common import BAD_INPUT, DIFFER, DONE, BadInputError, needs_tools, say
from portnorm.cli.interrupts import Interruptible
from portnorm.text import counted

if TYPE_CHECKING:
    from portnorm.cli.common import Commands
    from portnorm.port import PortedFile
    from portnorm.source.config import Expected
    from portnorm.source.files import Content
    from portnorm.source.findings import Finding
    from portnorm.source.processes import Outcome

    _Change = tuple[Outcome[PortedFile], PortedFile]


_TARGETS = ("mindspore", "torch")
_STYLES = ("adapter", "inline", "mint")
_SETTINGS: dict[str, Expected] = {
    "to": _TARGETS,
    "style": _STYLES,
    "hand-written": bool,
    **sources.SETTINGS,
}


def add_parser(commands: Commands) -> None:
    """Add the parser of the command."""
    parser = commands.add_parser(
        "port",
        help="rewrite calls of one framework's function for the other framework",
        description="Rewrite calls of torch.nn.functional.normalize for MindSpore, or of "
        "mindspore.ops.L2Normalize for torch, and print what changes as a unified diff. What is "
        "not known to be right is left alone and reported.",
        epilog="A comment `# portnorm: ignore[CODE]` on the line of a call leaves it alone; "
        "pyproject.toml may have a table [tool.portnorm.port] with to, style, ignore, exclude and "
        "per-file-ignores. Exit "
        "codes: 0 nothing is left to people, 1 something is, or, with --check, would change, 2 "
        "bad usage or an error.",
    )
    sources.add_options(parser)
    parser.add_argument("--to", choices=_TARGETS, help="move to it")
    parser.add_argument(
        "--style",
        choices=_STYLES,
        help="call portnorm, or operators of the framework where they are right, or MindSpore's "
        f"mint (default {_STYLES[0]})",
    )
    parser.add_argument(
        "--unsafe", action="store_true", help="make edits, too, that rest on a guess"
    )
    parser.add_argument(
        "--hand-written",
        action="store_true",
        help="rewrite x / norm(x) and the like, too, where a call has the same numbers, and report "
        "the others; so does hand-written = true in [tool.portnorm.port] of pyproject.toml, "
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
    elif not arguments.check and arguments.format in ("text", "concise"):
        for _, result in changed:
            _print_diff(result.diff)
        sys.stdout.flush()
        told = sys.stderr  # what is on stdout can be applied
    summary, more = _told(arguments, findings, ported, changed, len(failed))
    sources.show(arguments.format, findings, summary, more, told)
    for message in failed:  # last, so that they are seen
        say(message)
    found.finish()
    if failed or any(outcome.failure for outcome in outcomes):
        return BAD_INPUT
    return DIFFER if findings or (arguments.check and changed) else DONE


def _outcomes(arguments: argparse.Namespace) -> Iterator[Outcome[PortedFile]]:
    from portnorm.port import port_file
    from portnorm.source.config import settings
    from portnorm.source.processes import run
    from portnorm.source.project import Project
    from portnorm.terminal import progress_bar

    found = settings(arguments.paths, "port", _SETTINGS)
    to = arguments.to or found.values.get("to")
    style = arguments.style or found.values.get("style", _STYLES[0])
    if to is None:
        raise BadInputError(
            f"expected --to {' or '.join(_TARGETS)}, or `to` in [tool.portnorm.port]"
        )
    inputs = sources.inputs(arguments, found.values.get("exclude", ()), found.folder)
    _check_stdin(arguments, inputs)
    if style == "mint" and to == "torch":
        raise BadInputError("expected --style adapter or inline with --to torch, found mint")
    configured = style == "adapter" and found.values.get("hand-written", False)
    hand_written = arguments.hand_written or configured
    with progress_bar("files") as progress:
        project = Project.of(inputs).with_importers(inputs)
        process = functools.partial(
            port_file,
            to=to,
            style=style,
            unsafe=arguments.unsafe,
            project=project,
            per_file=sources.per_file(found, found.values.get("ignore", ())),
            hand_written=hand_written,
        )
        might_matter = functools.partial(project.might_contain, by_hand=hand_written)
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


def _print_diff(diff: bytes) -> None:
    """Print bytes, which `git apply` needs in the encoding of the file; people see characters."""
    if sys.stdout.isatty():
        print(diff.decode(errors="replace"), end="")
    else:
        sys.stdout.buffer.write(diff)


def _told(
    arguments: argparse.Namespace,
    findings: list[Finding],
    ported: list[_Change],
    changed: list[_Change],
    failures: int,
) -> tuple[str, dict[str, Any]]:
    """Return the last line for people, and what JSON says besides the findings."""
    rewritten = sum(result.rewritten for _, result in changed)
    counts = {
        "rewritten": rewritten,
        "files": len(changed),
        "left": len(findings),
        "ignored": sum(result.ignored for _, result in ported),
        "untouched": sum(result.untouched for _, result in ported),
        "failures": failures,
    }
    done = "rewritten" if arguments.write else "to rewrite"
    summary = (
        f"{counted(rewritten, 'place')} {done} in {counted(len(changed), 'file')}, "
        f"{len(findings)} left to people, {counts['ignored']} ignored, "
        f"{counted(counts['untouched'], 'other call')} untouched"
    )
    if failures:
        summary += f"; {counted(failures, 'file')} could not be written"
    files = [_file(outcome.path, result) for outcome, result in ported if result.places]
    return summary, {"counts": counts, "files": files}


def _file(path: str, result: PortedFile) -> dict[str, Any]:
    places = [{**place._asdict(), "cell": place.cell or None} for place in result.places]
    return {"path": path, "places": places, "diff": result.diff.decode(errors="replace")}
