"""The command: what it prints, its exit codes, and what it does not import."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Collection
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from console import PROGRESS
from safetensors.numpy import save_file

import portnorm
from portnorm import cli
from portnorm.compare import measure
from portnorm.readers import Source
from tests.conftest import needs_mindspore, needs_torch
from tests.imports.blocked import ROOT, start_python


@pytest.fixture(autouse=True)
def _plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)


def saved(path: Path, array: object) -> str:
    np.save(path, np.asarray(array))
    return str(path)


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """Return the one line with which the command refuses."""
    try:
        code = cli.main(["compare", *argv])
    except SystemExit as error:
        code = error.code
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    return err.strip()


def run(*arguments: str, blocked: Collection[str], folder: Path) -> tuple[int, str, str]:
    """Run `python -m portnorm` in a process of its own, with some modules not to be found."""
    code = "import runpy; runpy.run_module('portnorm', run_name='__main__', alter_sys=True)"
    done = start_python(code, *arguments, blocked=blocked, folder=folder)
    return done.returncode, done.stdout, PROGRESS.sub("", done.stderr)


# --- results --------------------------------------------------------------------------------------


@needs_torch
@needs_mindspore
def test_without_a_file_the_samples_are_compared(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(measure, "GRADIENT_STEPS", 10**6)  # the default takes seconds
    assert cli.main(["compare"]) == 1
    out, err = capsys.readouterr()
    assert err == ""
    sections = out.split("\n\n")
    assert [section.splitlines()[0] for section in sections] == [
        "[1, 2, 3]",
        "[1e-10, 2e-10, 3e-10]",
        "sentence_embeddings.npy",
        "sentence_embeddings.npy",
    ]
    assert "[1e-08 2e-08 3e-08]" in sections[1]
    assert "On this data the two functions agree to 0 ULP." in sections[0]
    assert "On this data the two functions agree to" in sections[2]
    assert "3 of 384 vectors change; worst vector 223" in " ".join(sections[3].split())
    assert max(map(len, out.splitlines())) <= 80
    assert "\x1b" not in out


@needs_torch
@needs_mindspore
def test_exit_codes_tell_agreement(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = saved(tmp_path / "good.npy", np.float32([[1, 2], [3, 4]]))
    bad = saved(tmp_path / "bad.npy", np.float32([[1, 2], [0, 4e-9]]))
    assert cli.main(["compare", good]) == 0
    assert "agree to" in capsys.readouterr().out
    assert cli.main(["compare", bad]) == 1
    out = capsys.readouterr().out
    assert "1 of 2 vectors change; worst vector 1 (norm 4e-09)." in out
    assert "\non MindSpore  portnorm.mindspore.normalize(x, dim=1)\n" in out
    assert "\non torch      portnorm.torch.L2Normalize(axis=1)(x)\n" in out
    assert cli.main(["compare", bad, good]) == 1
    assert cli.main(["compare", bad, "--epsilon", "1e-18"]) == 0


FILES = {
    "a.npy": lambda path, array: np.save(path, array),
    "a.npz": lambda path, array: np.savez(path, only=array),
    "a.safetensors": lambda path, array: save_file({"only": array}, path),
}


@needs_torch
@needs_mindspore
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_file_is_compared_in_every_dtype(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, dtype: str
) -> None:
    FILES[name](tmp_path / name, np.float32([[1, 2], [0, 1e-3]]))
    path = str(tmp_path / name)
    assert cli.main(["compare", path, "--dtype", dtype, "--json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)["comparisons"]
    assert found["name"].startswith(path)
    assert found["settings"]["dtype"] == dtype
    assert (found["vectors"], found["changed"], found["worst"]["index"]) == (2, 1, [1])
    assert found["counts"]["between"] == found["counts"]["above_both"] == 1
    assert cli.main(["compare", path, "--dtype", dtype, "--epsilon", "1e-6", "--dim", "0"]) == 0


@needs_torch
@needs_mindspore
def test_options_reach_the_comparison(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "a.npz", x=np.eye(3), y=np.arange(1, 7).reshape(2, 3))
    path = str(tmp_path / "a.npz")
    options = "--key y --axis -2 --p 3 --eps 1e-6 --epsilon 0.25 --dtype float64 --json"
    assert cli.main(["compare", path, *options.split()]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["portnorm"] == portnorm.__version__
    (found,) = report["comparisons"]
    assert found["name"] == f"{path}[y]"
    assert found["settings"] == {
        "dim": 0,
        "p": 3.0,
        "eps": 1e-6,
        "epsilon": 0.25,
        "dtype": "float64",
        "seed": 0,
    }
    assert "p=3.0, dim=0, eps=1e-06" in found["verdict"]


@needs_torch
@needs_mindspore
def test_json_has_no_literals_that_json_has_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(tmp_path / "a.npy", np.float32([[np.nan, np.inf], [0, 0]]))
    assert cli.main(["compare", path, path, "--p", "inf", "--json"]) == 1
    report = json.loads(capsys.readouterr().out, parse_constant=lambda name: 1 / 0)
    assert len(report["comparisons"]) == 2


@needs_torch
@needs_mindspore
def test_no_color_writes_no_escape_codes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = saved(tmp_path / "a.npy", np.float32([1, 2]))
    monkeypatch.setenv("FORCE_COLOR", "1")  # what a terminal would get
    monkeypatch.setenv("TERM", "xterm")
    cli.main(["compare", path])
    assert "\x1b[" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    cli.main(["compare", path])
    assert "\x1b" not in capsys.readouterr().out


@needs_torch
@needs_mindspore
def test_bfloat16_is_compared_once_converted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"x": np.ones((2, 3), ml_dtypes.bfloat16)}, path)
    assert "found bfloat16; convert with --dtype float32" in refused(capsys, str(path))
    assert cli.main(["compare", str(path), "--dtype", "float32"]) == 0


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@needs_torch
@needs_mindspore
def test_progress_is_shown_and_gone_before_the_result(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    screen = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr("portnorm.terminal._PATIENCE", 0.0)
    path = saved(tmp_path / "a.npy", np.float32([[1, 2]]))
    cli.main(["compare", path])
    erased = "\x1b[2K"
    shown, result = screen.getvalue().rsplit(erased, 1)
    assert "gradients" in shown
    assert path not in shown
    assert path in result
    assert "verdict" in result


@needs_torch
@needs_mindspore
def test_reports_are_written_beside_the_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(tmp_path / "a.npy", np.float32([[1, 2], [0, 4e-9]]))
    assert cli.main(["compare", path]) == 1
    plain = capsys.readouterr()
    html, png = tmp_path / "report.html", tmp_path / "CHARTS.PNG"
    html.write_text("an old one")
    assert cli.main(["compare", path, "--html", str(html), "--png", str(png)]) == 1
    assert capsys.readouterr() == plain
    page = html.read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert "1 of 2 vectors change; worst vector 1" in page
    assert "portnorm.mindspore.normalize(x, dim=1)" in page
    assert png.read_bytes().startswith(b"\x89PNG")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [
        "CHARTS.PNG",
        "a.npy",
        "report.html",
    ]


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("array", "options", "message"),
    [
        (np.arange(6).reshape(2, 3), "", "found int64; convert with --dtype float32"),
        (np.ones(3, np.complex64), "--dtype float32", "found complex64"),
        (np.array(["a", "b"]), "", "found str"),
        (np.array(["2020-01-01"], "M8[D]"), "--dtype float32", "found datetime64"),
        (np.zeros(2, [("a", "f4")]), "", "found void"),
        (np.array([{}, []], object), "", "pickled data is not read"),
        (np.float32(3), "", "one dim or more"),
        (np.ones((0, 3), np.float32), "", "expected data, found an array of (0, 3)"),
        (np.ones((3, 0), np.float32), "--p inf", "cannot compute the inf norm"),
        (
            np.ones((2, 3), np.float32),
            "--dim 2",
            "Dimension out of range (expected to be in range of [-2, 1], but got 2)",
        ),
        (np.ones(3, np.float32), "--axis 1", "(expected to be in range of [-1, 0], but got 1)"),
        (np.ones(3, np.float32), "--epsilon 0", "'epsilon' can not be zero"),
        (np.ones(3, np.float16), "--eps 1e9", "without overflow"),
        (np.ones(3, np.float32), "--key x", "drop --key"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    array: np.ndarray,
    options: str,
    message: str,
) -> None:
    path = saved(tmp_path / "a.npy", array)
    line = refused(capsys, path, *options.split())
    assert line.startswith(f"portnorm: {path}: ")
    assert message in line


@needs_torch
@needs_mindspore
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_data_without_a_finite_vector_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], value: float, options: list[str]
) -> None:
    path = saved(tmp_path / "a.npy", np.full((3, 2), value, np.float32))
    line = refused(capsys, path, *options)
    assert line == (
        f"portnorm: {path}: expected a vector of finite numbers, found a NaN or an infinity in "
        "each of the 3"
    )


def write_nothing_finite(path: Path) -> None:
    np.save(path, np.full((3, 2), np.nan, np.float32))


BAD_FILES: dict[str, Callable[[Path], object]] = {
    "nan.npy": write_nothing_finite,
    "empty.npy": lambda path: np.save(path, np.ones((0, 3), np.float32)),
    "no_bytes.npy": lambda path: path.write_bytes(b""),
    "objects.npy": lambda path: np.save(path, np.array([{}], object)),
    "truncated.npy": lambda path: (np.save(path, np.ones(9)), os.truncate(path, 150)),
    "wrong.txt": lambda path: path.write_text("1 2 3"),
    "text.npy": lambda path: path.write_text("1 2 3"),
    "huge_header.npy": lambda path: path.write_bytes(b"\x93NUMPY\x02\x00\xff\xff\xff\x7f{" * 99),
    "pickled.npy": lambda path: path.write_bytes(pickle.dumps([1.0, 2.0])),
    "folder.npy": Path.mkdir,
    "absent.npy": lambda path: None,
}


@needs_torch
@pytest.mark.parametrize("name", BAD_FILES)
def test_nothing_is_written_for_a_bad_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    BAD_FILES[name](tmp_path / name)
    good, path = saved(tmp_path / "good.npy", np.ones((2, 3))), str(tmp_path / name)
    html, png = tmp_path / "report.html", tmp_path / "report.png"
    html.write_text("an old one")
    before = sorted(tmp_path.iterdir())
    line = refused(capsys, good, path, "--html", str(html), "--png", str(png))
    assert line.startswith(f"portnorm: {path}: ")
    assert "expected" in line
    assert html.read_text() == "an old one"
    assert sorted(tmp_path.iterdir()) == before


@needs_torch
@pytest.mark.parametrize(
    ("change", "how"),
    [
        (lambda path: path.open("ab").write(b"more"), "has grown"),
        (Path.unlink, "has vanished"),
        (lambda path: os.truncate(path, 140), "has been cut short"),
    ],
)
def test_nothing_is_written_for_a_file_that_changes(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], object],
    how: str,
) -> None:
    path = saved(tmp_path / "a.npy", np.ones((20, 3), np.float32))
    original = portnorm.compare.compare

    def changing(source: Source, **options: object) -> object:
        monkeypatch.setattr(portnorm.compare, "compare", original)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            change(Path(path))
        return original(source, **options)

    monkeypatch.setattr(portnorm.compare, "compare", changing)
    html = tmp_path / "report.html"
    line = refused(capsys, path, "--html", str(html))
    assert line == (
        f"portnorm: {path}: expected a file that stays as it is while it is read; it {how}"
    )
    assert not html.exists()


@pytest.mark.parametrize(
    ("option", "name", "message"),
    [
        ("--html", "report.htm", "expected a name that ends in .html"),
        ("--html", "a.npy", "expected a name that ends in .html"),
        ("--png", "report.html", "expected a name that ends in .png"),
        ("--html", "absent/report.html", "expected a folder to write to"),
        ("--html", "folder.html", "expected a file or a new name"),
    ],
)
def test_a_report_that_cannot_be_written_stops_the_command_before_it_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, name: str, message: str
) -> None:
    (tmp_path / "folder.html").mkdir()
    target = str(tmp_path / name)
    line = refused(capsys, str(tmp_path / "absent.npy"), option, target)
    assert line.startswith(f"portnorm: {target}: {message}")


def test_a_report_that_fails_late_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from portnorm import files

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "report.html"
    path.write_text("an old one")
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match=r"report.html: expected a file .*: No space left"):
        files.write(str(path), b"new")
    assert path.read_text() == "an old one"
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    "options",
    ["--dim x", "--dim 1.5", "--p two", "--dtype int8", "--dtype bfloat16", "--nothing", "--key a"],
)
def test_bad_usage_is_refused_in_one_line(capsys: pytest.CaptureFixture[str], options: str) -> None:
    assert refused(capsys, *options.split()).startswith("portnorm")


def test_a_bad_file_stops_the_command_before_it_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = saved(tmp_path / "good.npy", np.ones(3))
    for bad in (saved(tmp_path / "bad.npy", np.arange(3)), str(tmp_path / "none.npy")):
        assert bad in refused(capsys, good, bad)


def test_names_in_refusals_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, "odd\x1b[31m\nname.npy")
    assert r"odd\x1b[31m name.npy" in line


def test_without_a_command_the_help_lists_commands_by_task(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main([]) == 0
    alone = capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli.main(["-h"])
    assert capsys.readouterr().out == alone
    tasks = re.findall(r"^commands to .*:\n((?:  .*\n)+)", alone, re.MULTILINE)
    listed = [re.findall(r"^  (\w+)", task, re.MULTILINE) for task in tasks]
    assert listed == [
        ["compare", "identify", "watch"],
        ["port", "check"],
        ["reference", "certify"],
        ["explain", "bench"],
    ]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "tcsh"])
def test_a_script_for_a_shell_knows_commands_and_options(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("shtab")
    with pytest.raises(SystemExit) as caught:
        cli.main(["--completion", shell])
    script = capsys.readouterr().out
    assert caught.value.code in (0, None)
    assert "identify" in script
    assert "PN101" in script


COMPLETED = """
eval "$(python -m portnorm --completion bash)"
COMP_WORDS=(portnorm {words}) COMP_CWORD={last}
{function}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("id", {"identify"}),
        ("compare --ht", {"--html"}),
        ("port --to m", {"mindspore"}),
        ("explain PN10", {"PN101", "PN102", "PN103", "PN104", "PN105"}),
        ("compare a", {"a.npy"}),
    ],
)
def test_bash_completes(words: str, expected: set[str], tmp_path: Path) -> None:
    pytest.importorskip("shtab")
    (tmp_path / "a.npy").touch()
    script = COMPLETED.format(
        words=words, last=len(words.split()), function="_shtab_portnorm"
    ).replace("python", sys.executable)
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert set(done.stdout.split()) == expected, done.stderr


def test_what_completion_needs_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert cli.main(["--completion", "bash"]) == 2
    assert "`portnorm --completion` needs shtab" in capsys.readouterr().err


def test_an_interrupt_is_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(portnorm.compare, "compare", interrupted)
    assert cli.main(["compare", saved(tmp_path / "a.npy", np.ones(3))]) == 130
    assert capsys.readouterr() == ("", "portnorm: interrupted\n")


# --- processes ------------------------------------------------------------------------------------


@needs_torch
@needs_mindspore
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_reader_that_goes_away_is_no_failure(tmp_path: Path, options: list[str]) -> None:
    path = saved(tmp_path / "a.npy", np.float32([[0, 4e-9]]))
    gone, pipe = os.pipe()
    os.close(gone)
    command = [sys.executable, "-m", "portnorm", "compare", path, *options]
    done = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    os.close(pipe)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "BrokenPipeError" not in done.stderr


def test_help_and_version_import_neither_frameworks_nor_tools(tmp_path: Path) -> None:
    heavy = ["torch", "mindspore", "rich", "numpy", "safetensors", "pathspec"]
    for option, expected in [("--version", f"portnorm {portnorm.__version__}"), ("-h", "compare")]:
        code, out, err = run(option, blocked=heavy, folder=tmp_path)
        assert (code, err) == (0, "")
        assert expected in out
    code, out, _ = run("compare", "--help", blocked=heavy, folder=tmp_path)
    assert code == 0
    assert "usage: portnorm compare" in out


@pytest.mark.parametrize(
    ("missing", "option"),
    [
        ("rich", ""),
        ("numpy", ""),
        ("jinja2", "html"),
        ("matplotlib", "html"),
        ("matplotlib", "png"),
    ],
)
def test_missing_tools_are_named(tmp_path: Path, missing: str, option: str) -> None:
    path = saved(tmp_path / "a.npy", np.ones(3))
    options = [f"--{option}", f"report.{option}"] if option else []
    code, out, err = run("compare", path, *options, blocked=[missing], folder=tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.npy"]
    line = f"portnorm: `portnorm compare` needs {missing}: pip install 'portnorm[tools]'\n"
    assert (code, out, err) == (2, "", line)


def test_without_a_framework_it_says_what_to_install(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npy", np.ones(3))
    code, out, err = run("compare", path, blocked=["torch", "mindspore"], folder=tmp_path)
    assert (code, out) == (2, "")
    assert err == (
        "portnorm: torch is not installed and MindSpore is not installed; one of them is "
        "needed: pip install 'portnorm[torch]' or pip install 'portnorm[mindspore]'\n"
    )


@needs_torch
def test_torch_alone_computes_both_functions(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npy", np.float32([[3, 4], [6, 8]]))
    code, out, err = run("compare", path, blocked=["mindspore"], folder=tmp_path)
    assert (code, err) == (0, "")
    out = " ".join(out.split())
    assert "computed by torch 2" in out
    assert "computed by portnorm on torch 2" in out
    assert "(MindSpore is not installed)" in out
    assert "the derivative of its formula" in out


@needs_mindspore
def test_mindspore_alone_computes_both_functions(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npy", np.float32([[1e-10, 2e-10, 3e-10]]))
    code, out, _ = run("compare", path, "--p", "3", blocked=["torch"], folder=tmp_path)
    out = " ".join(out.split())
    assert code == 1
    assert "computed by MindSpore 2" in out
    assert "computed by portnorm on MindSpore 2" in out
    assert "(torch is not installed)" in out
    assert "[0.3029 0.6057 0.9086]" in out
    assert "[1e-08 2e-08 3e-08]" in out
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.npy"]
