"""`portnorm watch`: the script runs as it would without, and the table comes at its end."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from portnorm import cli
from tests.conftest import needs_mindspore, needs_torch
from tests.imports.blocked import ROOT, start_python

EXAMPLES = ROOT / "examples"
CALL = """
import sys, torch
import torch.nn.functional as F
def work(n=1):
    for _ in range(n):
        F.normalize(torch.tensor([[3.0, 4.0], [0.0, 1e-3]]))
"""
LINE = 6


def script(folder: Path, source: str, name: str = "script.py") -> str:
    (folder / name).write_text(source)
    return str(folder / name)


def run(
    *arguments: str, folder: Path, blocked: Collection[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Run `python -m portnorm watch` in a process of its own."""
    code = "import runpy; runpy.run_module('portnorm', run_name='__main__', alter_sys=True)"
    return start_python(code, "watch", *arguments, blocked=blocked, folder=folder)


def table(text: str) -> str:
    """Return the words of the table, without its lines."""
    return " ".join(text.replace("│", " ").split())


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    try:
        code = cli.main(["watch", *argv])
    except SystemExit as error:
        code = error.code
    out, err = capsys.readouterr()
    assert (code, out, err.count("\n")) == (2, "", 1)
    return err


class Ran(NamedTuple):
    """What came of a script."""

    code: object
    out: str
    err: str


@pytest.fixture
def ran(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Ran]]:
    """Run the command in this process, which has imported the frameworks already."""
    # torch's process groups, such as those of other tests, leave a hook that writes ranks.
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    modules = set(sys.modules)

    def run(*arguments: str) -> Ran:
        try:
            code: object = cli.main(["watch", "--host", "torch", *arguments])
        except SystemExit as error:
            code = error.code
        return Ran(code, *capsys.readouterr())

    yield run
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(EXAMPLES)):
            del sys.modules[name]


# --- the examples ---------------------------------------------------------------------------------


@needs_torch
@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("arcface", {1: [128, 24], 0: [24, 10]}),
        ("clip", {-1: [64, 24]}),
    ],
)
def test_the_calls_of_an_example_are_recorded(
    tmp_path: Path,
    ran: Callable[..., Ran],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    shapes: dict[int, list[int]],
) -> None:
    file = EXAMPLES / "training.py"
    found = ran("--json", str(tmp_path / "found.json"), str(file), name, "--host", "torch")
    assert found.code == 0, found.err
    monkeypatch.setattr(sys, "argv", [str(file), name, "--host", "torch"])
    monkeypatch.syspath_prepend(str(EXAMPLES))
    runpy.run_path(str(file), run_name="__main__")
    assert capsys.readouterr().out == found.out
    records = json.loads((tmp_path / "found.json").read_text())["records"]
    (line,) = (
        number
        for number, text in enumerate(file.read_text().splitlines(), 1)
        if "self.host.functions.normalize(x, dim=dim)" in text
    )
    calls = 50 if name == "arcface" else 100
    assert {record["dim"]: record["shapes"] for record in records} == {
        dim: [{"shape": shape, "calls": calls}] for dim, shape in shapes.items()
    }
    for record in records:
        assert (record["file"], record["line"]) == (str(file), line)
        assert record["function"] == "portnorm.torch.normalize"
        vectors = calls * shapes[record["dim"]][1 if record["dim"] == 0 else 0]
        assert record["counts"]["above_both"] == record["vectors"] == vectors
        assert record["when_ported"]["status"] == "portable"


@needs_mindspore
def test_calls_on_mindspore_are_recorded(tmp_path: Path) -> None:
    path = script(
        tmp_path,
        "import numpy as np\nfrom mindspore import Tensor, ops\n"
        "x = Tensor(np.float32([[3, 4], [0, 1e-3]]))\nops.L2Normalize(1)(x)\n",
    )
    done = run("--host", "mindspore", path, folder=tmp_path, blocked=["torch"])
    assert done.returncode == 0, done.stderr
    for part in ("script.py:4", "L2Normalize(axis=1,", "values differ", "same floor: eps=0.01"):
        assert part in table(done.stderr)


# --- the script -----------------------------------------------------------------------------------


@needs_torch
@needs_torch
def test_eager_shows_the_calls_in_what_would_be_compiled(tmp_path: Path) -> None:
    source = """
import torch, torch.nn.functional as F
for options in ({}, {"fullgraph": True}):
    torch.compile(lambda x: F.normalize(x), backend="aot_eager", **options)(torch.ones(2, 3))
class M(torch.nn.Module):
    def forward(self, x):
        return F.normalize(x)
torch.jit.script(M())(torch.ones(2, 3))
"""
    path = script(tmp_path, source)
    seen = run("--host", "torch", "--eager", path, folder=tmp_path)
    assert seen.returncode == 0
    assert "3 calls from 2 lines" in seen.stderr
    assert "--eager" in table(run("--host", "torch", path, folder=tmp_path).stderr)


@needs_mindspore
def test_eager_shows_the_calls_in_a_jit_of_mindspore(tmp_path: Path) -> None:
    source = """
import mindspore, numpy as np
@mindspore.jit
def f(x):
    return mindspore.ops.L2Normalize(1)(x)
f(mindspore.Tensor(np.ones((2, 3), np.float32)))
"""
    path = script(tmp_path, source)
    seen = run("--host", "mindspore", "--eager", path, folder=tmp_path)
    assert "1 call from 1 line" in seen.stderr


def test_the_script_finds_what_python_would_give_it(tmp_path: Path) -> None:
    source = """
import json, sys
import beside
print(json.dumps([__name__, __file__, sys.argv, sys.path[0], sys.modules["__main__"].__file__]))
print(beside.VALUE, open("data.txt").read())
"""
    inner = tmp_path / "inner"
    inner.mkdir()
    script(inner, "VALUE = 7\n", "beside.py")
    script(tmp_path, "here", "data.txt")
    path = script(inner, source)
    arguments = [path, "--host", "mine", "-m", "--json"]
    done = run("--host", "torch", *arguments, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    alone = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout == alone.stdout
    assert "no call was seen" in done.stderr


@needs_torch
def test_a_module_runs_as_python_would_run_it(
    tmp_path: Path, ran: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "watched_package"
    package.mkdir()
    script(package, "", "__init__.py")
    path = script(
        package, f"{CALL}\nwork()\nprint(__name__, __package__, sys.path[0], sys.argv)", "run.py"
    )
    monkeypatch.chdir(tmp_path)
    before = list(sys.path), list(sys.argv)
    done = ran("-m", "watched_package.run", "a", "-b")
    given = f"__main__ watched_package {tmp_path} {[path, 'a', '-b']}\n"
    assert (done.code, done.out) == (0, given)
    assert f"run.py:{LINE}" in table(done.err)
    assert (sys.path, sys.argv) == before
    missing = "portnorm: nowhere: expected a module, found none of this name\n"
    assert ran("-m", "nowhere") == (2, "", missing)


ENDS = {
    "sys.exit(3)": (3, ""),
    "sys.exit('why')": ("why", ""),
    "sys.exit()": (None, ""),
    "1 / 0": (1, "ZeroDivisionError: division by zero\n"),
    "raise KeyboardInterrupt": (130, "KeyboardInterrupt\n"),
    "raise FileNotFoundError('mine')": (1, "FileNotFoundError: mine\n"),
}


@needs_torch
@pytest.mark.parametrize("end", ENDS)
def test_the_exit_code_is_the_scripts_and_the_table_is_printed(
    tmp_path: Path, ran: Callable[..., Ran], end: str
) -> None:
    path = script(tmp_path, f"{CALL}\nprint('out')\nwork(2)\n{end}\n")
    done = ran(path)
    code, said = ENDS[end]
    assert (done.code, done.out) == (code, "out\n")
    assert said in done.err
    assert "2 calls from 1 line; 1 at risk when ported" in table(done.err)
    if said:
        first, *_ = done.err.split("Traceback (most recent call last):\n")[1].splitlines()
        assert first == f'  File "{path}", line 10, in <module>'


@needs_torch
def test_an_error_of_syntax_is_shown_as_python_shows_it(
    tmp_path: Path, ran: Callable[..., Ran]
) -> None:
    path = script(tmp_path, "syntax error\n")
    alone = subprocess.run([sys.executable, path], capture_output=True, text=True, check=False)
    done = ran(path)
    assert done.code == alone.returncode == 1
    assert done.err.startswith(alone.stderr)


@needs_torch
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_prints_no_second_table_and_what_is_left_for_the_end_runs(tmp_path: Path) -> None:
    source = f"""{CALL}
import atexit, os
atexit.register(lambda: (work(), print("last")))
child = os.fork()
if child:
    os.waitpid(child, 0)
work()
"""
    done = run("--host", "torch", script(tmp_path, source), folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, "last\nlast\n"), done.stderr
    assert done.stderr.count("portnorm watch: 1 call from 1 line") == 1
    assert done.stderr.count(f"script.py:{LINE}") == 1
    assert "Traceback" not in done.stderr


# --- refusals -------------------------------------------------------------------------------------


@needs_torch
def test_bad_usage_is_refused_in_one_line_before_the_script_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = script(tmp_path, "raise SystemExit('it ran')\n")
    folder = str(tmp_path)
    assert "expected a Python script, found no such file" in refused(capsys, f"{folder}/no.py")
    assert "found a folder without __main__.py" in refused(capsys, folder)
    assert "expected a name that ends in .json" in refused(capsys, "--json", f"{folder}/a", path)
    assert "expected a folder to write to" in refused(capsys, "--json", f"{folder}/n/a.json", path)
    assert "invalid choice: 'jax'" in refused(capsys, "--host", "jax", path)
    assert "expected a SCRIPT, -m MODULE or --from DUMP" in refused(capsys)
    assert sorted(os.listdir(folder)) == ["script.py"]


@pytest.mark.parametrize(
    ("blocked", "said"),
    [
        (["torch", "mindspore"], "expected torch or mindspore to be installed, found neither"),
        (["rich"], "`portnorm watch` needs rich: pip install 'portnorm[tools]'"),
    ],
)
def test_what_is_not_installed_is_named(tmp_path: Path, blocked: list[str], said: str) -> None:
    done = run(script(tmp_path, "raise SystemExit('it ran')\n"), folder=tmp_path, blocked=blocked)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert said in done.stderr


@needs_torch
def test_a_host_that_is_not_installed_is_refused(tmp_path: Path) -> None:
    path = script(tmp_path, "raise SystemExit('it ran')\n")
    done = run("--host", "mindspore", path, folder=tmp_path, blocked=["mindspore"])
    assert (done.returncode, done.stderr) == (
        2,
        "portnorm: --host mindspore: mindspore is not installed\n",
    )
