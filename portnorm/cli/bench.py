"""`portnorm bench`."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from portnorm.cli.common import DONE, BadInputError, needs_tools
from portnorm.reference import REFERENCES

if TYPE_CHECKING:
    from portnorm.cli.common import Commands


def add_parser(commands: Commands) -> None:
    """Add the parser of the command."""
    parser = commands.add_parser(
        "bench",
        help="show how fast the exact arithmetic is on this machine",
        description="Measure portnorm's exact arithmetic against the functions whose bits it "
        "gives, in turns, and print the ratios of their times. Takes less than a minute; the "
        "first run compiles kernels for a minute or two before.",
        epilog="Exit codes: 0 it was measured, 2 there is nothing to compare with, or bad usage.",
    )
    parser.add_argument("--host", choices=REFERENCES, help="against this framework only")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--png", metavar="FILE", help="draw the ratios into FILE, too")
    parser.set_defaults(run=_bench)


def _bench(arguments: argparse.Namespace) -> int:
    with needs_tools("bench"):
        from rich.console import Console

        from portnorm.compare import bench, bench_report, functions, report
        from portnorm.progress import progress_bar

        if arguments.png is not None:
            import matplotlib.figure  # noqa: F401

            report.check_target(arguments.png, ".png")
        found = functions.frameworks()
        cases = [case for case in bench.CASES if arguments.host in (None, case.framework)]
        if not any(case.framework in found.versions for case in cases):
            raise BadInputError(f"{arguments.host}: expected to find it installed")
        bench.wait_for_results(found)
        with progress_bar() as progress:  # gone before anything is printed
            timings = bench.bench(found, cases, progress=progress)
        machine = bench.machine(found)
        if arguments.png is not None:
            report.write(arguments.png, bench_report.png(timings, machine))
        if arguments.json:
            print(json.dumps(bench_report.to_dict(timings, machine), indent=2))
        else:
            console = Console(highlight=False, width=None if sys.stdout.isatty() else 100)
            console.print(bench_report.table(timings))
            console.print(", ".join(f"{name} {value}" for name, value in machine.items()))
    return DONE
