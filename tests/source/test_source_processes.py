"""A function over many files."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import threading
from pathlib import Path

import pytest

from portnorm.source.files import SourceFile
from portnorm.source.processes import FEW, run


def length(source: SourceFile) -> tuple[int, int]:
    if "crash" in source.text:
        os._exit(1)
    if "raise" in source.text:
        raise ValueError(f"planted in {Path(source.path).name}")
    return len(source.text), os.getpid()


def has_x(raw: bytes) -> bool:
    return b"x" in raw


def many(tmp_path: Path, count: int) -> list[str]:
    paths = [str(tmp_path / f"{number:03}.py") for number in range(count)]
    for number, path in enumerate(paths):
        Path(path).write_text("x" * number if number % 3 else "y")
    return paths


@pytest.mark.parametrize("jobs", [1, 2])
def test_outcomes_keep_the_order_of_the_files(tmp_path: Path, jobs: int) -> None:
    paths = many(tmp_path, 100)
    seen: list[tuple[str, int, int]] = []
    outcomes = list(run(paths, length, has_x, jobs, lambda *progress: seen.append(progress)))
    assert [outcome.path for outcome in outcomes] == paths
    sizes = [outcome.result and outcome.result[0] for outcome in outcomes]
    assert sizes == [number if number % 3 else None for number in range(100)]
    others = {outcome.result[1] for outcome in outcomes if outcome.result} - {os.getpid()}
    assert (len(others) > 0) == (jobs > 1)
    assert seen == [("files", done, 66) for done in range(1, 67)]


def test_on_one_core_no_process_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cores(process: int) -> set[int]:
        return {0} if process == 0 else {0, 1}

    monkeypatch.setattr(os, "sched_getaffinity", cores, raising=False)
    outcomes = run(many(tmp_path, 100), length, has_x)
    assert {one.result[1] for one in outcomes if one.result} == {os.getpid()}


@pytest.mark.parametrize("taken", [100, 3])
def test_nothing_of_the_processes_is_left(tmp_path: Path, taken: int) -> None:
    """A pool that ends with the process writes "Bad file descriptor" to stderr now and then."""
    before = {*threading.enumerate(), *multiprocessing.active_children()}
    outcomes = run(many(tmp_path, 100), length, has_x, 2)
    list(itertools.islice(outcomes, taken - 1))
    assert {*threading.enumerate(), *multiprocessing.active_children()} - before
    next(outcomes)
    outcomes.close()
    assert {*threading.enumerate(), *multiprocessing.active_children()} == before


def test_few_files_stay_in_this_process(tmp_path: Path) -> None:
    outcomes = list(run(many(tmp_path, FEW), length, has_x, 2))
    assert {outcome.result[1] for outcome in outcomes if outcome.result} == {os.getpid()}


def test_a_file_that_was_ruled_out_is_not_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_bytes(b"\xff")
    (outcome,) = run([str(path)], length, has_x)
    assert (outcome.result, outcome.unreadable, outcome.failure) == (None, None, None)


def test_a_file_that_fails_does_not_keep_others_from_being_read(tmp_path: Path) -> None:
    contents = {"a.py": b"x", "b.py": b"x\xff", "c.py": b"x raise", "d.py": b"xx"}
    for name, raw in contents.items():
        (tmp_path / name).write_bytes(raw)
    paths = [*(str(tmp_path / name) for name in contents), str(tmp_path / "gone.py")]
    a, b, c, d, gone = run(paths, length, has_x)
    assert (a.result[0], d.result[0]) == (1, 2)
    assert "cannot be decoded" in b.unreadable
    assert c.failure == "ValueError: planted in c.py"
    assert gone.unreadable == "No such file or directory"


def test_files_that_a_dying_process_left_are_named(tmp_path: Path) -> None:
    paths = [path for number, path in enumerate(many(tmp_path, 70)) if number % 3]
    Path(paths[20]).write_text("x crash")
    outcomes = list(run(paths, length, has_x, 2))
    assert [outcome.path for outcome in outcomes] == paths
    failed = [outcome for outcome in outcomes if outcome.failure]
    assert paths[20] in {outcome.path for outcome in failed}
    assert {outcome.failure for outcome in failed} == {"not read: a process that reads files died"}
    assert sum(outcome.result is not None for outcome in outcomes) == len(paths) - len(failed)
