"""`portnorm check`."""

from __future__ import annotations

import argparse
import functools
import itertools
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from portnorm import files
from portnorm.cli import sources
from portnorm.cli.common import AGREE, BAD_INPUT, DIFFER, BadInputError, needs_tools, say
from portnorm.cli.interrupts import Interruptible
from portnorm.text import counted

if TYPE_CHECKING:
    from portnorm.check import Checked
    from portnorm.check.view import Normalization
    from portnorm.cli.common import Commands
    from portnorm.source.config import Expected, Settings
    from portnorm.source.files import Content
    from portnorm.source.findings import Finding
    from portnorm.source.processes import Outcome

_SETTINGS: dict[str, Expected] = {"select": list, **sources.SETTINGS}


def add_parser(commands: Commands) -> None:
    """Add the parser of the command."""
    parser = commands.add_parser(
        "check",
        help="find ports between the two functions that went wrong",
        description="Find calls of torch's normalize and MindSpore's L2Normalize that came out "
        "wrong of a port, in Python files and notebooks. No code is run.",
        epilog="`portnorm explain CODE` shows what a code is about. `# portnorm: ignore[CODE]` on "
        "a line silences it there; pyproject.toml may have a table [tool.portnorm.check] with "
        "select, ignore, exclude and per-file-ignores. Exit codes: 0 nothing found, 1 something "
        "remains, 2 bad usage, or an error in portnorm.",
    )
    sources.add_options(parser)
    parser.add_argument("--fix", action="store_true", help="mend what is safe to mend")
    parser.add_argument(
        "--select",
        action="append",
        type=_codes,
        metavar="CODES",
        help="look for these only (default PN0,PN10,PN11,PN12); PN10 stands for all that begin so",
    )
    parser.add_argument(
        "--ignore", action="append", type=_codes, metavar="CODES", help="do not look for these"
    )
    parser.add_argument(
        "--against",
        metavar="ORIGINAL",
        help="the file that was ported: report forms that it does not have (PN132)",
    )
    parser.set_defaults(run=_check)


def _codes(text: str) -> list[str]:
    return [code.strip().upper() for code in text.split(",") if code.strip()]


@dataclass
class _Tally:
    """What became of all files."""

    files: int = 0
    findings: list[Finding] = field(default_factory=list)
    calls: int = 0
    unresolved: int = 0
    fixed: int = 0
    failures: int = 0


def _check(arguments: argparse.Namespace) -> int:
    with needs_tools("check"):
        from portnorm import check
        from portnorm.source import config
        from portnorm.source.findings import chosen
        from portnorm.source.processes import run
        from portnorm.source.project import Project
        from portnorm.terminal import progress_bar

        settings = config.settings(arguments.paths, "check", _SETTINGS)
        codes = _selected(arguments, settings)
        inputs = sources.inputs(arguments, settings.values.get("exclude", ()), settings.folder)
        project = Project.of(inputs)
        process = functools.partial(
            check.check,
            codes=codes,
            fix=arguments.fix,
            project=project,
            per_file=sources.per_file(settings),
            original=_original(arguments.against),
        )
        by_hand = any(chosen(code, ["PN13"]) for code in codes)
        might_matter = functools.partial(project.might_contain, by_hand=by_hand)
        tally = _Tally()
        with progress_bar("files") as progress:  # gone before anything is printed
            outcomes = Interruptible(run(inputs, process, might_matter, arguments.jobs, progress))
            for outcome in outcomes:
                _add(tally, outcome, codes)
                _write(tally, outcome, inputs[tally.files - 1], arguments.fix)
    stream = _stream(arguments)
    sources.show(arguments.format, tally.findings, _summary(tally), _counts(tally), stream)
    outcomes.finish()
    if tally.failures:
        return BAD_INPUT
    return DIFFER if tally.findings else AGREE


def _selected(arguments: argparse.Namespace, settings: Settings) -> frozenset[str]:
    """Return the codes to look for: options count before the settings."""
    from portnorm.check import DEFAULT, selected

    named = []
    for name, default in (("select", DEFAULT), ("ignore", ())):
        given = getattr(arguments, name)
        codes = settings.values.get(name, default) if given is None else itertools.chain(*given)
        named.append(sources.known_codes(name, codes))
    if arguments.against is not None:
        named[0] += ("PN132",)
    return selected(*named)


def _original(path: str | None) -> tuple[Normalization, ...]:
    """Return where the file that was ported divides by norms."""
    from portnorm.check import normalizations
    from portnorm.source.files import UnreadableError, read
    from portnorm.source.names import NotPythonError

    try:
        return () if path is None else normalizations(read(path))
    except (UnreadableError, NotPythonError) as error:
        raise BadInputError(f"--against: {path}: {error}") from error


def _add(tally: _Tally, outcome: Outcome[Checked], codes: frozenset[str]) -> None:
    from portnorm.source.findings import Finding

    tally.files += 1
    if outcome.failure is not None:
        _fail(tally, f"{outcome.path}: {outcome.failure}")
    elif outcome.unreadable is not None and "PN001" in codes:
        tally.findings.append(Finding(outcome.path, 1, 1, "PN001", outcome.unreadable))
    elif outcome.result is not None:
        tally.findings += outcome.result.findings
        tally.calls += outcome.result.calls
        tally.unresolved += outcome.result.unresolved


def _write(tally: _Tally, outcome: Outcome[Checked], given: str | Content, fix: bool) -> None:
    """Write what was mended; standard input goes to standard output, mended or not."""
    from portnorm.source.files import Content

    content = outcome.result.content if outcome.result is not None else None
    if isinstance(given, Content):
        if fix:
            sys.stdout.buffer.write(given.raw if content is None else content)
    elif content is not None:
        try:
            sources.say_other_names(given, files.write(given, content))
        except OSError as error:
            _fail(tally, str(error))
            return
    if outcome.result is not None:
        tally.fixed += outcome.result.fixed


def _fail(tally: _Tally, message: str) -> None:
    tally.failures += 1
    say(message)


def _stream(arguments: argparse.Namespace) -> TextIO:
    """Standard output is for the mended text where the text came from standard input."""
    return sys.stderr if arguments.fix and sources.STDIN in arguments.paths else sys.stdout


def _summary(tally: _Tally) -> str:
    """Return one line that claims no more than was done."""
    found, files = len(tally.findings), len({finding.path for finding in tally.findings})
    parts = [f"{counted(found, 'finding')} in {counted(files, 'file')}" if found else "no findings"]
    if fixable := sum(finding.fix is not None for finding in tally.findings):
        parts.append(f"{fixable} of them can be mended with --fix")
    if tally.fixed:
        parts.append(f"{tally.fixed} mended")
    parts.append(f"{counted(tally.calls, 'call')} looked at in {counted(tally.files, 'file')}")
    if tally.unresolved:
        names = counted(tally.unresolved, "name")
        parts.append(f"{names} not resolved, shown with --select PN2")
    if tally.failures:
        parts.append(f"{counted(tally.failures, 'file')} failed")
    return "; ".join(parts)


def _counts(tally: _Tally) -> dict[str, int]:
    names = ("files", "calls", "unresolved", "fixed", "failures")
    return {name: getattr(tally, name) for name in names}
