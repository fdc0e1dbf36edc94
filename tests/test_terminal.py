"""How progress is shown: a bar on a terminal, lines where there is none, nothing afterwards."""

from __future__ import annotations

import io
import sys
import threading

import pytest

from portnorm import terminal
from portnorm.notice import say, while_it_lasts


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def wait_for(text: str, stream: io.StringIO) -> str:
    for _ in range(500):
        if text in stream.getvalue():
            break
        threading.Event().wait(0.01)
    return stream.getvalue()


def test_a_bar_appears_before_anything_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(terminal, "_PATIENCE", 0.01)
    with terminal.progress_bar("starting") as progress:
        assert "starting" in wait_for("starting", screen)
        progress("values", 1, 4)
        assert "25%" in wait_for("25%", screen)
    assert sys.stderr is screen


def test_lines_say_how_far_the_work_is(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stderr", pipe)
    monkeypatch.setattr(terminal, "_BETWEEN_LINES", 0.01)
    with terminal.progress_bar("starting") as progress:
        wait_for("portnorm: starting\nportnorm: starting\n", pipe)
        progress("values", 1, 4)
        wait_for("portnorm: values: 25%\n", pipe)
    lines = pipe.getvalue().splitlines()
    assert set(lines) == {"portnorm: starting", "portnorm: values: 25%"}
    threading.Event().wait(0.05)
    assert pipe.getvalue().splitlines() == lines


@pytest.mark.parametrize("terminals", [True, False])
def test_short_work_shows_nothing(monkeypatch: pytest.MonkeyPatch, terminals: bool) -> None:
    stream = Terminal() if terminals else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    before = threading.active_count()
    with terminal.progress_bar("starting") as progress:
        progress("values", 1, 4)
    assert "values" not in stream.getvalue()
    assert threading.active_count() == before


def test_progress_needs_no_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "_BETWEEN_LINES", 0.01)
    monkeypatch.setattr(sys, "stderr", None)
    with terminal.progress_bar("starting") as progress:
        progress("values", 1, 4)
        threading.Event().wait(0.05)


def test_what_is_said_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    say("two\nlines")
    assert capsys.readouterr().err == "portnorm: two lines\n"


def test_what_is_told_while_work_lasts_ends_with_it() -> None:
    told: list[int] = []
    with while_it_lasts(lambda: told.append(1), 0.01):
        threading.Event().wait(0.1)
    assert told == [1]
    with while_it_lasts(lambda: told.append(2), 0.0, 0.01):
        threading.Event().wait(0.1)
    count = len(told)
    assert count > 2
    threading.Event().wait(0.05)
    assert len(told) == count
