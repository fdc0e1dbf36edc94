"""`portnorm bench`: how times are taken, what is left out, what is printed and drawn."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest

from portnorm import bench as benching
from portnorm import cli
from portnorm.bench import CASES, Case, Pair, Times, bench, chart, report, timing
from portnorm.bench.report import Report, Result
from portnorm.errors import StrictParityError
from portnorm.exact import torch_cpu
from portnorm.frameworks import Frameworks
from tests.conftest import needs_mindspore, needs_torch
from tests.imports.blocked import start_python


class Clock:
    """A clock that goes on when work is done, and not by itself."""

    def __init__(self) -> None:
        self.now = 0.0
        self.log: list[str] = []

    def __call__(self) -> float:
        return self.now

    def work(self, name: str, *seconds: float) -> Callable[[], None]:
        """Return a call that takes these seconds; the last of them from then on."""
        steps = list(seconds)

        def call() -> None:
            self.log.append(name)
            self.now += steps.pop(0) if len(steps) > 1 else steps[0]

        return call


# --- timing ---------------------------------------------------------------------------------------


def test_a_warm_up_does_not_count() -> None:
    clock = Clock()
    pair = Pair(clock.work("ours", 1000.0, 2.0), clock.work("theirs", 500.0, 8.0))
    assert timing.time_in_turns(pair, rounds=5, clock=clock) == pytest.approx((2.0, 8.0, 5))
    assert timing.time_in_turns(pair, rounds=5, clock=clock).ratio == pytest.approx(0.25)


def test_both_sides_run_in_every_round() -> None:
    clock = Clock()
    pair = Pair(clock.work("ours", 1.0), clock.work("theirs", 3.0))
    timing.time_in_turns(pair, rounds=4, clock=clock)
    assert clock.log == ["ours", "theirs"] * 5  # one warm-up, four rounds


def test_a_round_that_is_disturbed_does_not_move_the_median() -> None:
    clock = Clock()
    pair = Pair(clock.work("ours", 1.0, 1.0, 99.0, 1.0), clock.work("theirs", 2.0))
    assert timing.time_in_turns(pair, rounds=5, clock=clock)[:2] == pytest.approx((1.0, 2.0))


def test_short_calls_are_made_often_enough_to_be_timed() -> None:
    clock = Clock()
    pair = Pair(clock.work("ours", 1e-6), clock.work("theirs", 1e-3))
    times = timing.time_in_turns(pair, rounds=2, seconds=0.1, clock=clock)
    assert times[:2] == pytest.approx((1e-6, 1e-3))
    assert clock.log.count("ours") > 1e5
    assert clock.log.count("theirs") < 250


def test_the_limit_takes_rounds_away_and_leaves_one() -> None:
    clock = Clock()

    def rounds(limit: float) -> int:
        pair = Pair(clock.work("ours", 1.0), clock.work("theirs", 1.0))
        return timing.time_in_turns(pair, rounds=15, limit=limit, clock=clock).rounds

    assert [rounds(1e9), rounds(9.0), rounds(0.0)] == [15, 4, 1]


@needs_torch
def test_a_kernel_that_is_slowed_down_has_a_larger_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case("torch", "exact", (256, 256), 1, "float32", 1.0)

    def ratio() -> float:
        (result,) = bench(["torch"], cases=[case], seconds=60).results
        return result.ratio

    sound, kernel = ratio(), torch_cpu.normalize

    def slow(*arguments: Any) -> Any:
        for _ in range(19):
            kernel(*arguments)
        return kernel(*arguments)

    monkeypatch.setattr(torch_cpu, "normalize", slow)
    assert ratio() > 4 * sound


# --- the budget -----------------------------------------------------------------------------------


class Fake:
    """A case that takes what it is told to."""

    host, goal, what, dtype, shape, dim = "torch", 1.0, "work", "float32", (2, 3), 1

    def __init__(self, name: str, make: Callable[[], Pair]) -> None:
        self.name, self.pair = name, make


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setattr(
        benching.frameworks, "frameworks", lambda hosts: Frameworks({"torch": "9.9"}, {})
    )
    return Clock()


def run(clock: Clock, cases: Any, seconds: float, **options: Any) -> Report:
    return bench(["torch", "mindspore"], cases=cases, seconds=seconds, clock=clock, **options)


def test_slow_cases_get_fewer_rounds_and_all_of_them_the_budget(clock: Clock) -> None:
    def cases(seconds: float) -> list[Fake]:
        work = clock.work("", seconds)
        return [Fake(f"{n}", lambda: Pair(work, work)) for n in range(10)]

    fast = run(clock, cases(0.1), 40)
    assert {result.times.rounds for result in fast.results} == {11}
    clock.now = 0
    slow = run(clock, cases(0.5), 40)
    assert len(slow.results) == 10
    assert all(2 <= result.times.rounds < 11 for result in slow.results)
    assert clock.now <= 40 + 1  # a round


def test_what_the_time_does_not_reach_is_left_out_and_named(clock: Clock) -> None:
    work = clock.work("", 9.0)
    cases = [Fake(f"case {n}", lambda: Pair(work, work)) for n in range(5)]
    found = run(clock, cases, 40)
    assert [result.case.name for result in found.results] == ["case 0", "case 1"]
    (note,) = [note for note in found.notes() if "left out" in note]
    assert note.startswith("left out 3 (the first is case 2): the time was up")


def test_compilation_does_not_count_in_the_budget(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    spent = [7.0]  # by others before
    monkeypatch.setattr(benching, "seconds_compiling", lambda: spent[0])

    def compiled() -> Pair:
        clock.now += 1000
        spent[0] += 1000
        return Pair(clock.work("", 0.1), clock.work("", 0.1))

    found = run(clock, [Fake("first", compiled), Fake("second", compiled)], 40)
    assert [result.times.rounds for result in found.results] == [11, 11]


def test_a_build_without_certified_bits_leaves_strict_cases_out(clock: Clock) -> None:
    def refused() -> Pair:
        raise StrictParityError("not promised")

    work = clock.work("", 0.1)
    found = run(clock, [Fake("a", refused), Fake("b", lambda: Pair(work, work))], 40)
    assert [result.case.name for result in found.results] == ["b"]
    assert "left out 1 (the first is a): not promised" in found.notes()


# --- the cases ------------------------------------------------------------------------------------


def test_names_tell_the_cases_apart() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


SMALL = [case for case in CASES if np.prod(case.shape) < 5000 and not case.jit]


@pytest.mark.parametrize(
    "host",
    [pytest.param("torch", marks=needs_torch), pytest.param("mindspore", marks=needs_mindspore)],
)
def test_both_sides_of_a_case_compute_the_same(host: str) -> None:
    for case in (case for case in SMALL if case.host == host):
        ours, theirs = (as_array(call()) for call in case.pair())
        # Nothing in the data is near a floor, where the two functions differ.
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6, err_msg=case.name)


@needs_mindspore
@pytest.mark.filterwarnings("ignore")
def test_both_graphs_compute_the_same() -> None:
    case = Case("mindspore", "l2_normalize", (4, 8), 1, "float32", 1.0, "semantic", jit=True)
    ours, theirs = (call() for call in case.pair())
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def as_array(value: Any) -> np.ndarray:
    if isinstance(value, tuple):
        (value,) = value
    for method in ("detach", "asnumpy"):
        value = getattr(value, method, lambda value=value: value)()
    return np.asarray(value)


# --- what is printed and drawn --------------------------------------------------------------------


@pytest.fixture
def found() -> Report:
    """A report in which one case is faster and one slower on each host."""
    chosen = [case for host in ("torch", "mindspore") for case in CASES if case.host == host]
    chosen = [chosen[0], chosen[1], chosen[-2], chosen[-1]]
    times = [Times(1e-6, 2e-6, 11), Times(3e-3, 2e-3, 5), Times(1.0, 5000.0, 1), Times(2, 1, 3)]
    about = {"cpu": "A CPU", "cores": 2, "threads": {"portnorm": "2"}, "load": 0.1}
    results = [Result(*each) for each in zip(chosen, times, strict=True)]
    return Report(about, {"portnorm": "1", "numpy": "2"}, results)


@pytest.fixture
def canned(monkeypatch: pytest.MonkeyPatch, found: Report) -> Report:
    def fake(*arguments: Any, **options: Any) -> Report:
        return found

    monkeypatch.setattr(benching, "bench", fake)
    return found


def test_the_table_says_what_a_ratio_means_and_on_which_machine(
    canned: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["bench"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "below 1, portnorm is faster" in out
    assert "A CPU, 2 cores" in out
    assert "portnorm 1, numpy 2" in out
    assert re.search(r"exact forward +float32 +8 +0 +0\.0010 +0\.0020 +0\.50\n", out)
    assert re.search(r"exact forward +float32 +32x128 +1 +3\.00 +2\.00 +1\.50\n", out)
    assert "0.00020" in out
    assert max(map(len, out.splitlines())) <= 80
    assert "\x1b" not in out


def test_every_row_fits_on_a_line_of_eighty(
    canned: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    canned.results[:] = [Result(case, Times(9.8765, 9.8765e4, 1)) for case in CASES]
    cli.main(["bench"])
    rows = [line for line in capsys.readouterr().out.splitlines() if "0.00010" in line]
    assert len(rows) == len(CASES)


def test_colour_is_for_terminals_that_want_it(
    canned: Report, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    cli.main(["bench"])
    assert re.search(r"\x1b\[32m *0\.50\x1b", capsys.readouterr().out)
    monkeypatch.setenv("NO_COLOR", "1")
    cli.main(["bench"])
    assert "\x1b" not in capsys.readouterr().out


def test_a_busy_machine_is_named(found: Report) -> None:
    assert list(found.notes()) == []
    found.machine["load"] = 3.0
    assert list(found.notes()) == [
        "the machine was busy (load 3.0 on 2 cores): the ratios are rough"
    ]


def test_json_has_what_the_table_has(canned: Report, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "--json"]) == 0
    read = json.loads(capsys.readouterr().out, parse_constant=lambda name: 1 / 0)
    assert read["machine"]["cpu"] == "A CPU"
    assert [row["ratio"] for row in read["results"]] == [0.5, 1.5, 0.0002, 2.0]
    first = read["results"][0]
    assert (first["host"], first["shape"], first["goal"], first["rounds"]) == ("torch", [8], 1, 11)


def test_the_picture_has_a_panel_for_each_framework_and_nothing_overlaps(found: Report) -> None:
    found.results[:] = [
        Result(case, Times(10.0 ** (n % 7 - 4), 1.0, 1)) for n, case in enumerate(CASES)
    ]
    figure = chart.draw(found)
    figure.draw_without_rendering()
    assert [axes.get_title("left") for axes in figure.axes] == [
        "against torch",
        "against MindSpore",
    ]
    for axes in figure.axes:
        labels = [label.get_window_extent() for label in axes.get_yticklabels()]
        numbers = [text.get_window_extent() for text in axes.texts]
        assert len(labels) == len(numbers) == len(found.by_host()[host_of(axes)])
        for boxes in (labels, numbers):
            assert not any(a.overlaps(b) for a, b in itertools.pairwise(boxes))
        assert all(box.x0 >= max(a.x1 for a in labels) for box in numbers)
        assert all(box.x1 <= figure.bbox.x1 and box.x0 >= 0 for box in [*labels, *numbers])


def host_of(axes: Any) -> str:
    return axes.get_title("left").removeprefix("against ").lower()


def test_the_picture_is_written_and_carries_its_numbers_as_text(
    canned: Report, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ratios.png"
    assert cli.main(["bench", "--png", str(path)]) == 0
    assert matplotlib.image.imread(path).shape[1] > 1000
    assert b"float32 (32, 128) dim 1: 1.50" in path.read_bytes()
    assert [entry.name for entry in tmp_path.iterdir()] == ["ratios.png"]
    assert "below 1" in capsys.readouterr().out


def test_text_from_outside_is_drawn_as_it_is_written(canned: Report) -> None:
    canned.machine["cpu"] = "A $\\frac{$ CPU\n数\u202e"
    canned.left_out[CASES[0]] = "it costs $1 or $2"
    figure = chart.draw(canned)
    figure.draw_without_rendering()  # which would raise, or warn of a glyph that is missing
    assert "A $\\frac{$ CPU\\n\\u6570\\u202e" in figure.get_supxlabel()
    assert [text.get_parse_math() for text in figure.texts if "$" in text.get_text()] == [False]


# --- refusals -------------------------------------------------------------------------------------


@pytest.fixture
def _never(monkeypatch: pytest.MonkeyPatch) -> None:
    def worked(*arguments: Any, **options: Any) -> None:
        raise AssertionError("work has begun")

    monkeypatch.setattr(benching, "bench", worked)


@pytest.mark.usefixtures("_never")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none/a.png", "expected a folder to write to"),
        ("a.jpg", "expected a name that ends in .png"),
        ("folder.png", "expected a file or a new name, found a directory"),
        ("file/a.png", "expected a folder to write to"),
    ],
)
def test_a_picture_that_cannot_be_written_is_refused_before_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, message: str
) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").touch()
    before = sorted(tmp_path.iterdir())
    assert cli.main(["bench", "--png", str(tmp_path / name)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert message in err
    assert name in err
    assert sorted(tmp_path.iterdir()) == before


def test_an_old_picture_stays_when_a_new_one_cannot_be_written(
    canned: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    assert cli.main(["bench", "--png", str(path)]) == 2
    assert "No space left" in capsys.readouterr().err
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    ("blocked", "options", "line"),
    [
        (
            ["torch", "mindspore"],
            [],
            "torch is not installed and MindSpore is not installed; one of them is needed: "
            "pip install 'portnorm[torch]' or pip install 'portnorm[mindspore]'",
        ),
        (["torch"], ["--host", "torch"], "torch is not installed: pip install 'portnorm[torch]'"),
        (
            ["matplotlib"],
            ["--png", "a.png"],
            "`portnorm bench` needs matplotlib: pip install 'portnorm[tools]'",
        ),
        (["rich"], [], "`portnorm bench` needs rich: pip install 'portnorm[tools]'"),
    ],
)
def test_what_is_missing_is_named(
    tmp_path: Path, blocked: list[str], options: list[str], line: str
) -> None:
    code = "import runpy; runpy.run_module('portnorm', run_name='__main__', alter_sys=True)"
    done = start_python(code, "bench", *options, blocked=blocked, folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"portnorm: {line}\n")
    assert list(tmp_path.iterdir()) == []


def test_the_name_of_the_processor_is_that_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text("processor : 0\nmodel name\t: Some CPU @ 2 GHz\n")
    monkeypatch.setattr(report, "_CPUINFO", tmp_path / "cpuinfo")
    assert report.machine({})["cpu"] == "Some CPU @ 2 GHz"
    monkeypatch.setattr(report, "_CPUINFO", tmp_path / "none")
    assert report.machine({})["cpu"]
