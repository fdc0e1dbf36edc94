"""Ctrl-C: every command ends with 130 and one line, and shows what it has found."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from portnorm import cli
from portnorm.errors import InterruptedRunError
from tests.conftest import needs_mindspore
from tests.imports.blocked import start_python

pytestmark = pytest.mark.skipif(os.name != "posix", reason="this system has other signals")

TAKEN_OVER = """
import ctypes, os, signal, sys, time
from portnorm.cli import interrupts

libc = ctypes.CDLL(None)
try:
    with interrupts.kept():
        libc.signal(signal.SIGINT, None)  # as a framework may, below Python
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_a_handler_that_is_set_below_python_is_taken_back() -> None:
    result = start_python(TAKEN_OVER)
    assert (result.returncode, result.stdout) == (0, "interrupted\n"), result.stderr


def test_a_handler_that_a_script_sets_stays() -> None:
    own = "signal.signal(signal.SIGINT, lambda *_: (print('own'), os._exit(3)))"
    result = start_python(TAKEN_OVER.replace("libc.signal(signal.SIGINT, None)", own))
    assert result.returncode == 3


def test_a_library_leaves_handlers_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    result = start_python(
        "import signal, portnorm, portnorm.cli\n"
        "print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    )
    assert result.stdout == "True\n"
    assert signal.getsignal(signal.SIGINT) is before


SCRIPT = """
import os, signal, time
import numpy as np, mindspore
import portnorm.mindspore as F

x = mindspore.Tensor(np.float32([[3, 4]]))
y = (x + F.normalize(x)).asnumpy()
time.sleep(0.5)
os.kill(os.getpid(), signal.SIGINT)
time.sleep(20)
"""


@needs_mindspore
def test_a_watched_script_on_mindspore_that_is_interrupted(tmp_path: Path) -> None:
    script, records = tmp_path / "script.py", tmp_path / "records.json"
    script.write_text(SCRIPT)
    result = start_python(
        "import sys; from portnorm.cli import main; sys.exit(main(sys.argv[1:]))",
        *("watch", "--host", "mindspore", "--json", str(records), str(script)),
    )
    assert result.returncode == 130, result.stderr
    assert len(json.loads(records.read_text())["records"]) == 1
    assert "script.py" in result.stderr


Captured = pytest.CaptureFixture[str]


def interrupted_after(count: int, call: Callable[..., Any]) -> Callable[..., Any]:
    left = count

    def wrapped(*arguments: Any, **keywords: Any) -> Any:
        nonlocal left
        if not left:
            raise KeyboardInterrupt
        left -= 1
        return call(*arguments, **keywords)

    return wrapped


@pytest.mark.parametrize("as_json", [False, True])
def test_compare_shows_what_it_has_compared(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured, as_json: bool
) -> None:
    pytest.importorskip("rich")
    from portnorm import compare

    monkeypatch.setattr(compare, "compare", interrupted_after(1, compare.compare))
    code = cli.main(["compare", *(["--json"] if as_json else [])])
    out, err = capsys.readouterr()
    assert (code, err) == (130, "portnorm: interrupted\n")
    if as_json:
        assert len(json.loads(out)["comparisons"]) == 1
    else:
        assert out.count("verdict") == 1


@pytest.mark.parametrize("command", [["check"], ["port", "--to", "mindspore", "--write"]])
def test_commands_on_source_code_show_what_they_have_found(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured, tmp_path: Path, command: list[str]
) -> None:
    pytest.importorskip("rich")
    from portnorm.source import processes

    text = "import torch.nn.functional as F\nF.normalize(x, epsilon=1)\n"
    for name in "ab":
        (tmp_path / f"{name}.py").write_text(text)
    run = processes.run

    def interrupted(*arguments: Any) -> Iterator[Any]:
        yield next(run(*arguments))
        raise KeyboardInterrupt

    monkeypatch.setattr(processes, "run", interrupted)
    code = cli.main([*command, str(tmp_path)])
    out, err = capsys.readouterr()
    assert (code, err.splitlines()[-1]) == (130, "portnorm: interrupted")
    assert "a.py" in out + err
    assert "b.py" not in out + err
    assert [path.read_text() for path in tmp_path.iterdir()] == [text, text]


def test_certify_shows_its_cases_so_far(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    from portnorm import certify
    from portnorm.certify.check import Count, Tally

    def run(builds: Any, seed: int, **_: Any) -> Any:
        report = certify.Report(seed)
        report.tallies["torch"] = Tally(cases=3, counts={("forward", "float32", ""): Count(3, 9)})
        raise InterruptedRunError(report)

    monkeypatch.setattr(certify, "certify", run)
    code = cli.main(["certify", "--host", "torch", "--cases", "5", "--json"])
    out, err = capsys.readouterr()
    assert (code, err.splitlines()[-1]) == (130, "portnorm: interrupted")
    assert '"interrupted: ' in out


def test_bench_shows_the_cases_so_far(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    pytest.importorskip("torch")
    from portnorm import bench

    measured = bench._measured
    times = interrupted_after(1, lambda case, *_: measured(case, 0.01, __import__("time").time))
    monkeypatch.setattr(bench, "_measured", times)
    code = cli.main(["bench", "--host", "torch", "--json"])
    out, err = capsys.readouterr()
    assert (code, err.splitlines()[-1]) == (130, "portnorm: interrupted")
    assert json.loads(out)
