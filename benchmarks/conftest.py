"""Times pairs of calls and first calls, and prints after a run how the figures meet their goals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from portnorm.bench import Pair, time_in_turns

SECONDS = 6.0
"""Work of which 15 rounds take longer gets fewer."""

Rows = list[dict[str, Any]]
_FIRST_CALLS = pytest.StashKey[Rows]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_FIRST_CALLS] = []


@pytest.fixture
def first_calls(request: pytest.FixtureRequest) -> Rows:
    """The rows of the table of first calls."""
    return request.config.stash[_FIRST_CALLS]


@pytest.fixture
def against(benchmark: Any) -> Any:
    """Time two calls in turns, and record the ratio of their medians.

    What no implementation can do without, such as a copy of the array, is timed afterwards, in
    turns with the first call.
    """

    def measure(
        work: str,
        bar: float,
        pair: Pair,
        limit: float = SECONDS,
        least: Callable[[], Any] | None = None,
    ) -> None:
        pair.ours()  # kernels are compiled before the time counts
        times = time_in_turns(pair, limit=limit)
        benchmark.extra_info.update(
            work=work, bar=bar, portnorm=times.portnorm, framework=times.framework
        )
        if least is not None:
            of_least = time_in_turns(Pair(pair.ours, least), limit=limit).ratio
            benchmark.extra_info["least"] = times.ratio / of_least
        benchmark.pedantic(pair.ours, rounds=5, iterations=1, warmup_rounds=1)

    return measure


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    session = getattr(config, "_benchmarksession", None)
    rows = [bench.extra_info for bench in session.benchmarks] if session else []
    rows = [row for row in rows if "bar" in row]
    if rows:
        terminalreporter.section("portnorm's time as a share of the framework's, medians")
        _write_ratios(terminalreporter.write_line, rows)
    if config.stash[_FIRST_CALLS]:
        terminalreporter.section("seconds of the processor that a first call takes")
        _write_first_calls(terminalreporter.write_line, config.stash[_FIRST_CALLS])


def _write_ratios(write: Callable[[str], None], rows: Rows) -> None:
    write(
        f"{'work':<62} {'portnorm ms':>12} {'framework ms':>13} {'ratio':>8} {'goal':>7} "
        f"{'limit':>8}"
    )
    for row in rows:
        ratio = row["portnorm"] / row["framework"]
        limit = f"{row['least']:8.4f}" if "least" in row else " " * 8
        write(
            f"{row['work']:<62} {row['portnorm'] * 1e3:12.4f} {row['framework'] * 1e3:13.4f} "
            f"{ratio:8.4f} {row['bar']:7g} {limit}{'' if ratio <= row['bar'] else '  missed'}"
        )
    write("limit: a copy of the array, or in a graph a function that returns its argument")


def _write_first_calls(write: Callable[[str], None], rows: Rows) -> None:
    write(f"{'work':<62} {'cold':>7} {'goal':>6} {'warm':>7} {'goal':>6}")
    for row in rows:
        met = {"cold": row["cold"] <= row["goal"], "warm": row["warm"] <= row["most"]}
        missed = " and ".join(which for which, is_met in met.items() if not is_met)
        write(
            f"{row['work']:<62} {row['cold']:7.2f} {row['goal']:6g} {row['warm']:7.2f} "
            f"{row['most']:6g}{f'  missed: {missed}' if missed else ''}"
        )
