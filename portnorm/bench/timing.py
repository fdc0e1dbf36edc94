"""How two calls are timed: in one process, in turns, after a warm-up; medians of several rounds."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from portnorm.bench.cases import Pair

Clock = Callable[[], float]


class Times(NamedTuple):
    """What a call of each takes.

    Attributes:
        portnorm: median, in seconds.
        framework: median, in seconds.
        rounds: how many there were.
    """

    portnorm: float
    framework: float
    rounds: int

    @property
    def ratio(self) -> float:
        """The time of portnorm as a share of the framework's."""
        return self.portnorm / self.framework


def time_in_turns(
    pair: Pair,
    *,
    rounds: int = 15,
    seconds: float = 0.1,
    limit: float = math.inf,
    clock: Clock = time.perf_counter,
) -> Times:
    """Time two calls, each in every round.

    Args:
        pair: what to call.
        rounds: how many there are, unless the limit comes first.
        seconds: what one side of a round takes; a call that takes longer is made once.
        limit: no round but the first begins when this time has passed, with the warm-up.
        clock: tells the time in seconds.
    """
    start = clock()
    for function in pair:
        function()
    counted = [_counted(function, seconds, clock) for function in pair]
    calls = [number for number, _ in counted]
    times = [[first] for _, first in counted]
    while len(times[0]) < rounds and clock() - start < limit:
        for function, number, taken in zip(pair, calls, times, strict=True):
            taken.append(_time(function, number, clock))
    ours, theirs = map(statistics.median, times)
    return Times(ours, theirs, len(times[0]))


def _counted(function: Callable[[], Any], seconds: float, clock: Clock) -> tuple[int, float]:
    """Return how many calls take these seconds, and what one of them took in finding out."""
    calls = 1
    while (taken := _time(function, calls, clock)) * calls < seconds / 10:
        calls *= 10
    return max(1, int(seconds / taken)), taken


def _time(function: Callable[[], Any], calls: int, clock: Clock) -> float:
    start = clock()
    for _ in range(calls):
        function()
    return (clock() - start) / calls
