"""Prints, after a run, how the exact arithmetic compares with the framework that it replaces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

SEED = 20261125


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(SEED)


@pytest.fixture
def against(request: pytest.FixtureRequest, benchmark: Any) -> Iterator[Any]:
    """Measure portnorm and a framework in turns, and record the ratio of their medians."""

    def measure(work: str, bar: float, ours: Any, theirs: Any) -> None:
        pair = {"portnorm": ours, "framework": theirs}
        medians = in_turns(pair)
        benchmark.extra_info.update(work=work, bar=bar, **medians)
        benchmark.pedantic(ours, rounds=5, iterations=1, warmup_rounds=1)

    return measure


def in_turns(functions: dict[str, Any], rounds: int = 15, seconds: float = 0.1) -> dict[str, Any]:
    """Return the median time of a call of each function, in seconds; both run in each round."""
    from time import perf_counter

    def timed(function: Any, calls: int) -> float:
        start = perf_counter()
        for _ in range(calls):
            function()
        return (perf_counter() - start) / calls

    calls = {}
    for name, function in functions.items():
        function()
        calls[name] = max(1, int(seconds / timed(function, 3)))
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            times[name].append(timed(function, calls[name]))
    return {name: float(np.median(values)) for name, values in times.items()}


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    session = getattr(config, "_benchmarksession", None)
    rows = [bench.extra_info for bench in session.benchmarks] if session else []
    rows = [row for row in rows if "bar" in row]
    if not rows:
        return
    write = terminalreporter.write_line
    terminalreporter.section("portnorm's time as a share of the framework's, medians")
    write(f"{'work':<46} {'portnorm ms':>12} {'framework ms':>13} {'ratio':>8} {'bar':>7}")
    for row in rows:
        ratio = row["portnorm"] / row["framework"]
        verdict = "" if ratio <= row["bar"] else "  missed"
        write(
            f"{row['work']:<46} {row['portnorm'] * 1e3:12.4f} {row['framework'] * 1e3:13.4f} "
            f"{ratio:8.4f} {row['bar']:7g}{verdict}"
        )
