"""`portnorm bench`."""

from __future__ import annotations

import argparse
import json
import time
from typing import TYPE_CHECKING

from portnorm import files
from portnorm.cli.common import DONE, needs_tools
from portnorm.cli.interrupts import so_far
from portnorm.reference import REFERENCES

if TYPE_CHECKING:
    from portnorm.bench import Report
    from portnorm.cli.common import Commands


def add_parser(commands: Commands) -> None:
    """Add the parser of the command."""
    parser = commands.add_parser(
        "bench",
        help="time portnorm against the installed frameworks",
        description="Time portnorm against torch and MindSpore, whichever is installed: each pair "
        "of calls in turns, medians of several rounds. Takes less than a minute, and "
        "names what that leaves no time for; the first run also compiles kernels, for a minute or "
        "two.",
        epilog="A ratio below 1 means that portnorm is faster. Exit codes: 0 there are results, "
        "2 no framework, or bad usage.",
    )
    parser.add_argument(
        "--host", choices=REFERENCES, help="against this framework only, with more time for it"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--png", metavar="FILE", help="draw the ratios to FILE, too")
    parser.set_defaults(run=_bench)


def _bench(arguments: argparse.Namespace) -> int:
    started = time.perf_counter()
    with needs_tools("bench"):
        import rich  # noqa: F401

        if arguments.png is not None:
            _check_picture(arguments.png)
        report, interrupted = so_far(lambda: _timed(arguments, started))
        if interrupted and not report.results:
            raise KeyboardInterrupt
        if arguments.png is not None:
            _write(arguments.png, report)
        _print(report, as_json=arguments.json)
    if interrupted:
        raise KeyboardInterrupt
    return DONE


def _check_picture(path: str) -> None:
    """Find what is missing for the picture before work starts."""
    import matplotlib.figure  # noqa: F401

    files.check_target(path, ".png")


def _write(path: str, report: Report) -> None:
    from portnorm.bench.chart import png

    files.write(path, png(report))


def _timed(arguments: argparse.Namespace, started: float) -> Report:
    from portnorm.terminal import progress_bar

    hosts = [arguments.host] if arguments.host else list(REFERENCES)
    with progress_bar("starting the frameworks") as progress:  # gone before anything is printed
        from portnorm.bench import SECONDS, bench

        left = SECONDS - (time.perf_counter() - started)  # the imports above take seconds, too
        return bench(hosts, seconds=left, progress=progress)


def _print(report: Report, *, as_json: bool) -> None:
    from portnorm.bench.report import show

    if as_json:
        print(json.dumps(report.to_dict(), allow_nan=False, indent=2))
    else:
        show(report)
