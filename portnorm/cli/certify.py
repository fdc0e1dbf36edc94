"""`portnorm certify`."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING

from portnorm import files
from portnorm.cli.common import (
    AGREE,
    DIFFER,
    BadInputError,
    add_host_and_device,
    hosts_of,
    needs_tools,
    positive,
)
from portnorm.cli.interrupts import so_far
from portnorm.errors import StrictParityError
from portnorm.reference import current, is_certified, write_references

if TYPE_CHECKING:
    from portnorm.certify import Report
    from portnorm.cli.common import Commands
    from portnorm.terminal import Progress

_SECONDS = 60


def add_parser(commands: Commands) -> None:
    """Add the parser of the command."""
    parser = commands.add_parser(
        "certify",
        help="prove that parity='strict' has the bits of the installed frameworks",
        description="Run random cases on the frameworks that are installed, with everything that "
        "torch can use of this CPU, and compare the bits of results and gradients with those of "
        "parity='strict'.",
        epilog="The first mismatch is shown with all that reproduces it. Exit codes: 0 there were "
        "results to compare and all are bit-identical, 1 one is not, 2 nothing to compare with, "
        "or bad usage.",
    )
    parser.add_argument("--cases", type=positive(int), metavar="N", help="stop after N cases")
    parser.add_argument(
        "--seconds",
        type=positive(float),
        metavar="S",
        help=f"stop after S seconds and what compiling takes (default {_SECONDS} without --cases)",
    )
    parser.add_argument("--seed", type=_seed, metavar="N", help="repeat the cases of another run")
    add_host_and_device(parser, "this framework only")
    parser.add_argument(
        "--golden",
        metavar="DIR",
        help="compare with outputs of torch that are stored in DIR instead",
    )
    parser.add_argument(
        "--adopt",
        metavar="FILE",
        help="find the known rules that give every bit of an installed build that is not "
        "certified, and write FILE, a reference for PORTNORM_REFERENCE",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_certify)


def _certify(arguments: argparse.Namespace) -> int:
    started = time.monotonic()
    if arguments.adopt is not None:
        return _adopt(arguments)
    if arguments.golden is None:
        hosts_of(arguments)  # before anything is started
    else:
        _check_golden(arguments)
    with needs_tools("certify"):
        from portnorm.terminal import progress_bar

        with progress_bar("starting the frameworks") as progress:  # gone before anything is printed
            report, interrupted = so_far(lambda: _report(arguments, started, progress))
    if interrupted:
        report.notes.append("interrupted: these are the cases so far")
    if interrupted and not report.tallies:
        raise KeyboardInterrupt
    if not any(tally.counts for tally in report.tallies.values()):
        raise BadInputError("; ".join([*report.notes, "there is nothing to compare with"]))
    if arguments.json:
        print(json.dumps(report.to_dict(), allow_nan=False, indent=2))
    else:
        print(*report.lines(), sep="\n")
    if interrupted:
        raise KeyboardInterrupt
    return AGREE if report.identical else DIFFER


def _check_golden(arguments: argparse.Namespace) -> None:
    for name in ("cases", "seconds", "seed"):
        if getattr(arguments, name) is not None:
            raise BadInputError(f"--{name} is for random cases, and --golden has stored ones")
    if arguments.device != "cpu":
        raise BadInputError("--device is for random cases, and --golden has those of any device")
    if arguments.host == "mindspore":
        raise BadInputError("--golden has outputs of torch only")


def _adopt(arguments: argparse.Namespace) -> int:
    """Write a reference only where every bit agreed, and otherwise what differs."""
    for name in ("cases", "seconds", "golden", "json"):
        if getattr(arguments, name):
            raise BadInputError(f"--{name} is not for --adopt, whose comparison has one length")
    if arguments.device != "cpu":
        raise BadInputError("--adopt is for builds on a CPU")
    files.check_target(arguments.adopt, ".json")
    seed = secrets.randbits(32) if arguments.seed is None else arguments.seed
    builds = _not_certified(hosts_of(arguments))
    with needs_tools("certify"):
        from portnorm import certify
        from portnorm.terminal import progress_bar

        trials = []
        for framework in builds:
            with progress_bar(f"starting {framework}") as progress:
                trials.append(certify.adopt(framework, seed, progress=progress))
            print(trials[-1].line())
            if not trials[-1].fits:
                path = f"{os.path.splitext(arguments.adopt)[0]}-{framework}-differs.npz"
                files.write(path, certify.smallest_differing(trials[-1]))
                print(f"written: {path}, the smallest cases that differ, to attach to a report")
    if not all(trial.fits for trial in trials):
        return DIFFER
    write_references(arguments.adopt, [trial.build for trial in trials])
    print(f"written: {arguments.adopt}, for PORTNORM_REFERENCE and set_options")
    return AGREE


def _not_certified(hosts: list[str]) -> list[str]:
    """Return the frameworks whose installed build is not certified.

    Raises:
        BadInputError: there are none.
    """
    found, others = [], []
    for host in hosts:
        try:
            reference = current(host)
        except (ImportError, OSError, StrictParityError) as error:
            others.append(f"{host} cannot be used: {error}")
            continue
        if is_certified(reference):
            others.append(f"{host} {reference.version} is certified")
        else:
            found.append(host)
    if not found:
        raise BadInputError("; ".join([*others, "there is nothing to adopt"]))
    return found


def _report(arguments: argparse.Namespace, started: float, progress: Progress) -> Report:
    from portnorm import certify

    if arguments.golden is not None:
        return certify.certify_golden(Path(arguments.golden), progress)
    seconds = arguments.seconds
    if seconds is None and arguments.cases is None:
        seconds = _SECONDS
    seed = secrets.randbits(32) if arguments.seed is None else arguments.seed
    with certify.installed_builds(hosts_of(arguments), arguments.device) as (builds, notes):
        if seconds is not None:  # starting the frameworks took some
            seconds -= time.monotonic() - started
        report = certify.certify(
            builds, seed, cases=arguments.cases, seconds=seconds, progress=progress
        )
    report.notes[:0] = notes
    return report


def _seed(text: str) -> int:
    seed = int(text)
    if seed < 0:
        raise ValueError
    return seed


_seed.__name__ = "seed"
