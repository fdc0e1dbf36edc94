"""Time portnorm against the frameworks that are installed, and give the ratios.

The command `portnorm bench` does so in under a minute, and `benchmarks/` with all its rounds.

cases      the work, as data
timing     two calls in turns, medians
report     the results with the machine and the versions; table and JSON
chart      the same as PNG
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from portnorm import frameworks
from portnorm.bench.cases import CASES, Case, Pair, prepare
from portnorm.bench.report import Report, Result, machine, versions
from portnorm.bench.timing import Clock, Times, time_in_turns
from portnorm.errors import StrictParityError, interrupted_with
from portnorm.exact.machine.compile_time import seconds_compiling
from portnorm.terminal import Progress

__all__ = [
    "CASES",
    "Case",
    "Pair",
    "Report",
    "Result",
    "Times",
    "bench",
    "prepare",
    "time_in_turns",
]

SECONDS = 43.0
"""A minute, less the case that runs when the time is up, and the picture."""

TIME_IS_UP = "the time was up"
"""Why a case is left out that others left no time for."""

_ROUNDS = 11
_SECONDS_OF_A_ROUND = 0.02


def bench(
    hosts: Sequence[str],
    *,
    cases: Sequence[Case] = CASES,
    seconds: float = SECONDS,
    progress: Progress | None = None,
    clock: Clock = time.perf_counter,
) -> Report:
    """Time the cases of these hosts, as far as they are installed.

    Every case gets the same share of the time that is left, and as many rounds as fit in it, one
    at least. Time in which kernels are compiled does not count. MindSpore stays synchronous
    afterwards.

    Args:
        hosts: "torch", "mindspore".
        cases: to choose from.
        seconds: after which no case begins; importing the frameworks counts.
        progress: called with what is being done, the number of cases done, and of how many.
        clock: tells the time in seconds.

    Raises:
        portnorm.frameworks.NoFrameworkError: none of these hosts is installed.
        portnorm.errors.InterruptedRunError: a KeyboardInterrupt, with the report so far.
    """
    start, compiled = clock(), seconds_compiling()
    found = frameworks.frameworks(hosts)
    chosen = [case for case in cases if case.host in found.versions]
    for host in found.versions:
        prepare(host)
    report = Report(machine(found.versions), versions(found.versions))
    with interrupted_with(report):

        def counted() -> float:
            return clock() - (seconds_compiling() - compiled)

        for done, case in enumerate(chosen):
            if progress is not None:
                progress(case.name, done, len(chosen))
            left = seconds - (counted() - start)
            if left <= 0:
                report.left_out[case] = TIME_IS_UP
                continue
            share = left / (len(chosen) - done)
            try:
                report.results.append(Result(case, _measured(case, share, counted)))
            except StrictParityError as error:
                report.left_out[case] = str(error)
    return report


def _measured(case: Case, seconds: float, clock: Clock) -> Times:
    return time_in_turns(
        case.pair(), rounds=_ROUNDS, seconds=_SECONDS_OF_A_ROUND, limit=seconds, clock=clock
    )
