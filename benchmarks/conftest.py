"""Prints, after a run, how the exact arithmetic compares with the framework that it replaces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from portnorm.compare.bench import in_turns

ROUNDS, SECONDS = 15, 3.0
SEED = 20261125


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(SEED)


@pytest.fixture
def against(request: pytest.FixtureRequest, benchmark: Any) -> Iterator[Any]:
    """Measure portnorm and a framework in turns, and record the ratio of their medians."""

    def measure(work: str, bar: float, ours: Any, theirs: Any) -> None:
        portnorm, framework = in_turns((ours, theirs), ROUNDS, SECONDS)
        benchmark.extra_info.update(work=work, bar=bar, portnorm=portnorm, framework=framework)
        benchmark.pedantic(ours, rounds=5, iterations=1, warmup_rounds=1)

    return measure


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
