"""`portnorm bench`: ratios are of the calls that are measured, and are shown as they are."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from portnorm import cli
from portnorm.compare import bench, bench_report, functions
from portnorm.compare.bench import CASES, Case, Timing
from tests.conftest import needs_mindspore, needs_torch

SMALL = tuple(
    Case(framework, "forward", (8, 8), 1, "float32", 1.0) for framework in ("torch", "mindspore")
)
GRADIENT = Case("torch", "gradient", (8, 8), 1, "float32", 1.0)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "CASES", SMALL)
    monkeypatch.setattr(bench, "SECONDS", 0.1)
    monkeypatch.setattr(bench.bench, "__defaults__", (SMALL, 0.1, None))
    monkeypatch.setattr(bench, "wait_for_results", lambda found: None)


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert cli.main(["bench", *argv]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    return err


def test_a_slower_call_has_the_larger_share() -> None:
    ours, theirs = bench.in_turns([lambda: time.sleep(3e-3), lambda: time.sleep(1e-3)], 3, 0.1)
    assert 1.5 < Timing(SMALL[0], ours, theirs).ratio < 6


def test_the_median_leaves_out_what_happens_once(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([1.0, 1.0, *[2.0, 4.0], *[50.0, 4.0], *[2.0, 90.0]])
    monkeypatch.setattr(bench, "_timed", lambda function, count: next(times))
    assert bench.in_turns([int, int], 3, 1.0) == [2.0, 4.0]


@needs_torch
@needs_mindspore
def test_both_calls_of_a_case_compute_the_same() -> None:
    for case in (*SMALL, GRADIENT, Case("torch", "forward", (8, 8), 0, "bfloat16", 1.0)):
        ours, theirs = (call() for call in bench.calls(case))
        (theirs,) = theirs if isinstance(theirs, tuple) else (theirs,)
        if case.dtype == "bfloat16":
            import torch

            theirs = theirs.view(torch.uint16)
        theirs = theirs.asnumpy() if case.framework == "mindspore" else theirs.detach().numpy()
        assert ours.tobytes() == theirs.tobytes()


@needs_torch
@needs_mindspore
def test_table_json_and_picture(
    few: None, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    picture = tmp_path / "bench.png"
    assert cli.main(["bench", "--png", str(picture)]) == 0
    out = capsys.readouterr().out
    assert "below 1, portnorm is faster" in out
    assert all(case.name in out for case in SMALL)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert cli.main(["bench", "--json", "--host", "torch"]) == 0
    found = json.loads(capsys.readouterr().out)
    (row,) = found["timings"]
    assert row["ratio"] == pytest.approx(row["portnorm"] / row["of_framework"])
    assert {"processor", "cores", "torch", "numba"} <= found["machine"].keys()


def test_bad_usage_is_one_line_and_nothing_is_written(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any, **options: Any) -> Any:
        raise AssertionError("work was done")

    monkeypatch.setattr(bench, "bench", fail)
    assert ".png" in refused(capsys, "--png", str(tmp_path / "picture.jpg"))
    assert "missing" in refused(capsys, "--png", str(tmp_path / "missing" / "a.png"))
    only_torch = functions.Frameworks({"torch": "2.13.0"}, {"mindspore": "is not installed"})
    monkeypatch.setattr(functions, "frameworks", lambda: only_torch)
    assert "mindspore" in refused(capsys, "--host", "mindspore")
    assert list(tmp_path.iterdir()) == []


def test_the_picture_has_a_bar_for_each_case() -> None:
    timings = [Timing(case, 1.0 + rank, 2.0) for rank, case in enumerate(CASES)]
    (axes,) = bench_report.picture(timings, {"cores": "2"}).axes
    widths = [bar.get_width() for bar in axes.patches]
    assert widths == pytest.approx([timing.ratio - 1 for timing in timings])
