"""The options of the commands that read source code, and what they mean."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from portnorm.cli.common import BadInputError, say
from portnorm.terminal import console
from portnorm.text import counted

if TYPE_CHECKING:
    from portnorm.cli.common import Parser
    from portnorm.source.config import Expected, Settings
    from portnorm.source.files import Content
    from portnorm.source.findings import Finding, PerFile

STDIN = "-"
SETTINGS: dict[str, Expected] = {"ignore": list, "exclude": list, "per-file-ignores": dict}
"""What both commands take from pyproject.toml."""

FORMATS = ("text", "concise", "json", "sarif", "github")


def add_options(parser: Parser) -> None:
    """Add what the commands have in common."""
    parser.add_argument(
        "paths", nargs="+", metavar="PATH", help="a file, a folder, or - for standard input"
    )
    parser.add_argument("--format", choices=FORMATS, default="text", help="default %(default)s")
    parser.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="GLOB",
        help="leave out what it matches, in the form of .gitignore; may be repeated",
    )
    parser.add_argument(
        "--stdin-filename", metavar="FILE", help="the name to report for standard input"
    )
    parser.add_argument(
        "--jobs", type=_jobs, metavar="N", help="processes for many files (default: all cores)"
    )


def _jobs(text: str) -> int:
    jobs = int(text)
    if jobs < 1:
        raise ValueError
    return jobs


_jobs.__name__ = "number of processes"


def say_other_names(path: str, others: int) -> None:
    """Say that a file which was written had other names, which were not written through."""
    if others:
        names = counted(others, "hard link")
        say(f"{path}: written under this name only; {names} to the file kept the old text")


def inputs(
    arguments: argparse.Namespace, exclude: Sequence[str] = (), folder: Path | None = None
) -> list[str | Content]:
    """Return the files that were asked for.

    Args:
        arguments: with the options above.
        exclude: the patterns of a pyproject.toml.
        folder: the one that it is in.

    Raises:
        BadInputError, FileNotFoundError, PermissionError: something about them is wrong.
    """
    from portnorm.source.discovery import Exclude, discover

    if STDIN in arguments.paths:
        return [_standard_input(arguments)]
    if arguments.stdin_filename is not None:
        raise BadInputError("--stdin-filename needs the path -")
    here = Exclude(arguments.exclude, Path.cwd())
    configured = Exclude(exclude, folder or Path.cwd())
    return [*discover(arguments.paths, [here, configured])]


def known_codes(where: str, codes: Iterable[str]) -> tuple[str, ...]:
    """Return codes, or how some begin.

    Raises:
        BadInputError: there are none of one.
    """
    from portnorm.source.codes import CODES
    from portnorm.source.findings import chosen

    listed = tuple(codes)
    for code in listed:
        if not any(chosen(known, [code]) for known in CODES):
            raise BadInputError(
                f"{where}: no code is {code}, or begins so; `portnorm explain` lists them"
            )
    return listed


def per_file(settings: Settings, everywhere: Sequence[str] = ()) -> tuple[PerFile, ...]:
    """Return which codes the settings ignore in some files, and more that count in all."""
    from portnorm.source.discovery import Exclude, rules_of
    from portnorm.source.findings import PerFile

    named = {"per-file-ignores": settings.values.get("per-file-ignores", {})}
    named["ignore"] = {"*": everywhere} if everywhere else {}
    return tuple(
        PerFile(rules_of(Exclude([pattern], settings.folder)), known_codes(name, codes))
        for name, table in named.items()
        for pattern, codes in table.items()
    )


def show(
    form: str,
    findings: Sequence[Finding],
    summary: str,
    more: Mapping[str, Any],
    stream: TextIO,
) -> None:
    """Print what was found, in colour where a person reads it on a terminal."""
    from portnorm.source.excerpts import excerpts
    from portnorm.source.report import report

    if form == "text" and stream.isatty():
        console(stderr=stream is sys.stderr).print(excerpts(findings, summary), soft_wrap=True)
    else:
        print(report(form, findings, summary, more), file=stream, flush=True)


def _standard_input(arguments: argparse.Namespace) -> Content:
    from portnorm.source.files import Content

    if len(arguments.paths) > 1:
        raise BadInputError("expected - alone, or other paths without it")
    name = arguments.stdin_filename or "<stdin>"
    return Content(name, sys.stdin.buffer.read())
