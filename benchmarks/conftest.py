"""Times pairs of calls, and prints after a run how portnorm compares with the frameworks."""

from __future__ import annotations

from typing import Any

import pytest

from portnorm.bench import Pair, time_in_turns

SECONDS = 6.0
"""Work of which 15 rounds take longer gets fewer."""


@pytest.fixture
def against(benchmark: Any) -> Any:
    """Time two calls in turns, and record the ratio of their medians."""

    def measure(work: str, bar: float, pair: Pair, limit: float = SECONDS) -> None:
        pair.ours()  # kernels are compiled before the time counts
        times = time_in_turns(pair, limit=limit)
        benchmark.extra_info.update(
            work=work, bar=bar, portnorm=times.portnorm, framework=times.framework
        )
        benchmark.pedantic(pair.ours, rounds=5, iterations=1, warmup_rounds=1)

    return measure


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    session = getattr(config, "_benchmarksession", None)
    rows = [bench.extra_info for bench in session.benchmarks] if session else []
    rows = [row for row in rows if "bar" in row]
    if not rows:
        return
    write = terminalreporter.write_line
    terminalreporter.section("portnorm's time as a share of the framework's, medians")
    write(f"{'work':<62} {'portnorm ms':>12} {'framework ms':>13} {'ratio':>8} {'bar':>7}")
    for row in rows:
        ratio = row["portnorm"] / row["framework"]
        verdict = "" if ratio <= row["bar"] else "  missed"
        write(
            f"{row['work']:<62} {row['portnorm'] * 1e3:12.4f} {row['framework'] * 1e3:13.4f} "
            f"{ratio:8.4f} {row['bar']:7g}{verdict}"
        )
