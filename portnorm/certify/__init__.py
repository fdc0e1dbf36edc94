"""Prove on this machine that `portnorm.exact` has the bits of the frameworks.

Random cases are run by a framework and by `portnorm.exact`, and the results compared bit by bit.
The command `portnorm certify` does so for every framework that is installed and everything that
torch can use of the CPU.

cases, words       random cases; encodings, drawn and compared
implementations    the functions as the frameworks have them, and as `portnorm.exact` has them
check, report      running, comparing and counting; the table and the reproducer
builds, worker     a framework in a process of its own
adoption           a build that is not certified, taken by known rules
golden             outputs that are stored in files
cuda_golden        and those of CUDA devices, of which digests are stored
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from portnorm.certify.adoption import Trial, adopt, smallest_differing
from portnorm.certify.builds import Build, Share, installed_builds, nearest_certified
from portnorm.certify.cases import Case, mindspore_case, torch_case
from portnorm.certify.check import Tally
from portnorm.certify.golden import certify_golden
from portnorm.certify.report import Report, name_of
from portnorm.errors import interrupted_with
from portnorm.reference import is_certified
from portnorm.terminal import Progress

__all__ = [
    "Case",
    "Report",
    "Trial",
    "adopt",
    "certify",
    "certify_golden",
    "installed_builds",
    "mindspore_case",
    "smallest_differing",
    "torch_case",
]


def certify(
    builds: Sequence[Build],
    seed: int,
    *,
    cases: int | None = None,
    seconds: float | None = None,
    progress: Progress | None = None,
) -> Report:
    """Compare the bits of these builds with those of `portnorm.exact` on random cases.

    Args:
        builds: each gets its share of the cases and of the time.
        seed: of the cases, 0 or more.
        cases: how many at most.
        seconds: after which to stop, besides those that compiling takes; each build gets one case
            at least.
        progress: called with what is being done, how much of it is done, and of how much.

    Raises:
        portnorm.errors.InterruptedRunError: a KeyboardInterrupt, with the report so far.
        portnorm.PortnormError: a process that ran a framework ended too early.
    """
    report, started = Report(seed), time.monotonic()
    for rank, build in enumerate(builds):
        left = None
        if seconds is not None:
            left = seconds - (time.monotonic() - started - report.compiling)
        share = _share(seed, rank, len(builds), cases, left)
        if share.cases == 0:
            continue
        name = name_of(build.reference)
        stand_in = nearest_certified(build.reference)
        if stand_in != build.reference:
            report.notes.append(f"{name} is not certified: compared with {stand_in.version}")
        elif not is_certified(build.reference):
            report.notes.append(f"{name} is not certified: compared with what its headers say")
        if progress is not None:
            progress(name, 0, 1000)
        with interrupted_with(report):
            report.tallies[name] = build.run(share, _as_tally(report, progress, name, share))
    return report


def _share(seed: int, rank: int, builds: int, cases: int | None, seconds: float | None) -> Share:
    """Give each build every so many numbers, so that no two get the same case.

    Each gets its share of the time that those before it have left.
    """
    return Share(
        seed=seed,
        first=rank,
        step=builds,
        cases=None if cases is None else len(range(rank, cases, builds)),
        seconds=None if seconds is None else seconds / (builds - rank),
    )


def _as_tally(
    report: Report, progress: Progress | None, name: str, share: Share
) -> Callable[[Tally], None]:
    """Keep what is counted, and turn it into how much of a share is done, in thousandths."""

    def show(tally: Tally) -> None:
        report.tallies[name] = tally
        if progress is None:
            return
        done = 0.0
        if share.cases is not None:
            done = tally.cases / share.cases
        if share.seconds is not None:
            done = max(done, tally.seconds / share.seconds)
        compiled = f", {tally.compiling:.0f} s of compiling" if tally.compiling >= 1 else ""
        progress(f"{name}{compiled}", int(1000 * min(done, 1.0)), 1000)

    return show
