"""The line that says that kernels are compiled: while somebody waits, once, where it is wanted."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

from portnorm import set_options
from portnorm.exact.machine import compile_time
from portnorm.exact.machine.compilation import kernel
from portnorm.exact.machine.compile_time import compiling, seconds_compiling
from tests.imports.blocked import start_python

MODULE = """
from portnorm.exact.machine import compile_time
from portnorm.exact.machine.compilation import kernel

@kernel
def add(value):
    return value + 1

@kernel
def multiply(value):
    return value * 2
"""
COMPILE = """
import sys
sys.path.insert(0, {folder!r})
import module
module.compile_time._PATIENCE = 0.0
{first}
module.add(1.0), module.multiply(1.0)
print(module.compile_time.seconds_compiling())
"""


def said(folder: Path, first: str = "", **environment: str) -> tuple[str, bool]:
    """Call two kernels in a fresh process: what it writes to stderr, and whether it compiles."""
    module = folder / "module.py"
    if not module.exists():
        module.write_text(MODULE)
    program = COMPILE.format(folder=str(folder), first=first)
    variables = {"NUMBA_CACHE_DIR": str(folder / "cache"), "PORTNORM_COMPILE_NOTICE": "on"}
    result = start_python(program, environment={**variables, **environment})
    assert result.returncode == 0, result.stderr
    return result.stderr, float(result.stdout) > 0


def test_one_line_says_what_is_compiled_and_where_it_is_kept(tmp_path: Path) -> None:
    line, compiles = said(tmp_path)
    (folder,) = {path.parent for path in tmp_path.rglob("*.nbi")}
    assert compiles
    assert line == (
        f"portnorm: compiling kernels such as add; they are kept in {folder}, for later processes "
        "(PORTNORM_COMPILE_NOTICE=off: no such line)\n"
    )
    assert said(tmp_path) == ("", False)


@pytest.mark.parametrize(
    ("first", "environment"),
    [
        ("", {"PORTNORM_COMPILE_NOTICE": "off"}),
        ("import portnorm; portnorm.set_options(compile_notice='off')", {}),
    ],
)
def test_an_option_and_a_variable_silence_it(
    tmp_path: Path, first: str, environment: dict[str, str]
) -> None:
    assert said(tmp_path, first, **environment) == ("", True)


@pytest.mark.parametrize("closed", ["sys.stderr = None", "sys.stderr.close()", "os.close(2)"])
def test_a_process_without_stderr_compiles_all_the_same(tmp_path: Path, closed: str) -> None:
    assert said(tmp_path, f"import os; {closed}") == ("", True)


# --- in this process ------------------------------------------------------------------------------


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process that has said nothing yet, and says it at once."""
    monkeypatch.setattr(compile_time, "_to_say", [True])
    monkeypatch.setattr(compile_time, "_PATIENCE", seconds_compiling())
    with set_options(compile_notice="on"):
        yield


def wait_for_the_line(capfd: pytest.CaptureFixture[str]) -> str:
    """Return what is written while a kernel is being compiled."""
    written = ""
    for _ in range(500):
        written += capfd.readouterr().err
        if written.endswith("\n"):
            break
        threading.Event().wait(0.01)
    return written


@pytest.mark.usefixtures("fresh")
def test_the_line_comes_while_the_kernel_is_compiled_and_no_thread_stays(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    before = threading.active_count()
    with compiling("add", str(tmp_path)):
        assert "such as add; they are kept in" in wait_for_the_line(capfd)
    with compiling("multiply", str(tmp_path)):
        threading.Event().wait(0.05)
    assert capfd.readouterr().err == ""
    assert threading.active_count() == before


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("folder", [None, "a file", "a full disk"])
def test_a_cache_that_cannot_be_written_is_not_called_kept(
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    folder: str | None,
) -> None:
    (tmp_path / "a file").touch()
    if folder == "a full disk":

        class Full:
            def write(self, data: bytes) -> None:
                raise OSError(28, "No space left on device")

            def __enter__(self) -> Full:
                return self

            def __exit__(self, *error: object) -> None:
                pass

        monkeypatch.setattr(compile_time.tempfile, "TemporaryFile", lambda dir: Full())
    with compiling("add", folder and str(tmp_path / folder)):
        line = wait_for_the_line(capfd)
    assert "they cannot be kept" in line
    assert "are kept" not in line


@pytest.mark.usefixtures("fresh")
def test_a_thread_of_a_framework_says_nothing_where_the_main_thread_wants_none(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def compile_something() -> None:
        with compiling("add", None):
            threading.Event().wait(0.05)

    with set_options(compile_notice="off"):
        thread = threading.Thread(target=compile_something)
        thread.start()
        thread.join()
    assert capfd.readouterr().err == ""
    compile_something()
    assert "such as add" in capfd.readouterr().err


@pytest.mark.usefixtures("fresh")
def test_a_kernel_is_compiled_where_no_thread_can_be_started(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with compiling("add", None):
        threading.Event().wait(0.05)
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")
def test_seconds_are_those_of_kernels_and_their_parts_once() -> None:
    def add(value: Any) -> Any:
        return value + 1

    compiled = kernel(add)
    before = seconds_compiling()
    compiled(np.float32(1))
    once = seconds_compiling()
    assert once > before
    compiled(np.float32(2))
    assert seconds_compiling() == once
    started = time.perf_counter()
    with compiling("outer", None), compiling("inner", None):
        threading.Event().wait(0.05)
    took = time.perf_counter() - started
    assert 0.049 <= seconds_compiling() - once <= 1.5 * took  # counted twice it would be 2 * took
