"""How two calls are timed: in one process, in turns, after a warm-up; medians of several rounds."""

from __future__ import annotations

import contextlib
import math
import statistics
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from numba.core.event import Listener, install_listener

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


# --- compilation ----------------------------------------------------------------------------------


class Compilation(Listener):  # type: ignore[misc]
    """What Numba compiled.

    Attributes:
        seconds: that it took.
    """

    def __init__(self, clock: Clock, started: Callable[[], None]) -> None:
        self.seconds = 0.0
        self._clock, self._started = clock, started
        self._depth, self._since, self._told = 0, 0.0, False

    def on_start(self, event: Any) -> None:
        """Start the clock; not for the functions that a kernel calls, compiled as part of it."""
        self._depth += 1
        if self._depth > 1:
            return
        self._since = self._clock()
        if not self._told:
            self._told = True
            self._started()

    def on_end(self, event: Any) -> None:
        """Stop the clock."""
        self._depth -= 1
        if self._depth == 0:
            self.seconds += self._clock() - self._since


@contextlib.contextmanager
def compilation_watched(clock: Clock, started: Callable[[], None]) -> Iterator[Compilation]:
    """Watch what Numba compiles; what it finds in its cache is not compiled.

    Args:
        clock: tells the time in seconds.
        started: called once, when the first compilation starts.
    """
    compilation = Compilation(clock, started)
    with install_listener("numba:compile", compilation):
        yield compilation
