"""`portnorm check` and `portnorm explain`: what they print, write, and leave alone."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from portnorm import cli
from portnorm.source import guide
from portnorm.source.codes import CODES
from portnorm.source.processes import FEW
from tests.imports.blocked import ROOT, start_python
from tests.source.test_findings import SARIF
from tests.source.test_notebooks import code, dumped

WRONG = b"from mindspore import ops\r\nn = ops.L2Normalize(dim=1, epsilon=1e-4)  # \xe9\r\n"
WRONG = b"# coding: latin-1\r\n" + WRONG
MENDED = WRONG.replace(b"dim", b"axis")
CLEAN = b"from mindspore import ops\nn = ops.L2Normalize(axis=1, epsilon=1e-4)\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


class Run:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *argv: str) -> tuple[int, str, str]:
        if argv[0] == "check" and "--format" not in argv:
            argv = [*argv, "--format", "concise"]
        try:
            status = cli.main(argv)
        except SystemExit as error:
            status = int(str(error.code))
        out, err = self.capsys.readouterr()
        return status, out, err


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(capsys)


# --- what is found --------------------------------------------------------------------------------


def test_findings_are_printed_and_counted(folder: Path, run: Run) -> None:
    (folder / "a.py").write_bytes(WRONG)
    (folder / "b.py").write_bytes(CLEAN)
    (folder / "c.py").write_bytes(b"'normalize'\n\xff")  # ruled out: it names no framework
    assert run("check", ".") == (
        1,
        "./a.py:3:5: PN113 dim=: L2Normalize takes axis and epsilon\n"
        "1 finding in 1 file; 1 of them can be mended with --fix; 2 calls looked at in 3 files\n",
        "",
    )
    assert (folder / "a.py").read_bytes() == WRONG


def test_findings_are_shown_with_their_source(folder: Path, run: Run) -> None:
    source = "# 归一化\nfrom mindspore import ops\nn = '归', ops.L2Normalize(dim=1, epsilon=1e-4)\n"
    (folder / "a.py").write_text(source, encoding="utf-8")
    _, out, _ = run("check", "a.py", "--format", "text")
    assert out.splitlines() == [
        "a.py:3:10: PN113 [*] dim=: L2Normalize takes axis and epsilon",
        "  |",
        "3 | n = '归', ops.L2Normalize(dim=1, epsilon=1e-4)",
        "  |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^",
        "help: dim= is called axis= here (--fix)",
        "",
        "1 finding in 1 file; 1 of them can be mended with --fix; 1 call looked at in 1 file",
    ]


def test_colour_is_for_terminals_that_want_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a.py").write_bytes(WRONG)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    assert cli.main(["check", "a.py"]) == 1
    assert "\x1b[1;31mPN113\x1b[0m" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    assert cli.main(["check", "a.py"]) == 1
    assert "\x1b" not in capsys.readouterr().out


def test_codes_are_ignored_in_the_files_that_settings_name(folder: Path, run: Run) -> None:
    (folder / "tests").mkdir()
    for name in ("a.py", "tests/b.py"):
        (folder / name).write_bytes(WRONG)
    settings = "[tool.portnorm.check]\nper-file-ignores = {'tests/*' = ['PN1']}\n"
    (folder / "pyproject.toml").write_text(settings)
    status, out, _ = run("check", ".")
    assert (status, out.count("PN113"), out[:6]) == (1, 1, "./a.py")
    assert run("check", "tests/b.py")[0] == 0
    (folder / "pyproject.toml").write_text(settings.replace("PN1", "PN9"))
    status, _, err = run("check", ".")
    assert (status, "per-file-ignores: no code is PN9" in err) == (2, True)


def test_files_that_settings_leave_out_are_left_out_when_they_are_named(
    folder: Path, run: Run
) -> None:
    (folder / "old").mkdir()
    (folder / "old" / "a.py").write_bytes(WRONG)
    (folder / "pyproject.toml").write_text("[tool.portnorm.check]\nexclude = ['old/']\n")
    assert run("check", "old/a.py") == (0, "no findings; 0 calls looked at in 0 files\n", "")


@pytest.mark.parametrize(
    ("argv", "question"),
    [
        (["chekc", "."], "did you mean check?"),
        (["check", ".", "--selct", "PN1"], "did you mean --select?"),
        (["check", ".", "--format", "jsn"], "did you mean json?"),
        (["port", ".", "--to", "mindspor"], "did you mean mindspore?"),
        (["port", ".", "--writ3"], "did you mean --write?"),
        (["port", ".", "--to", "torch", "--nothing-like-it"], "arguments: --nothing-like-it"),
    ],
)
def test_who_mistypes_is_asked_what_they_mean(argv: list[str], question: str, run: Run) -> None:
    status, out, err = run(*argv)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert question in err


def test_nothing_found_is_no_failure(folder: Path, run: Run) -> None:
    (folder / "a.py").write_bytes(CLEAN)
    assert run("check", "a.py") == (0, "no findings; 1 call looked at in 1 file\n", "")
    (folder / "empty").mkdir()
    assert run("check", "empty") == (0, "no findings; 0 calls looked at in 0 files\n", "")


def test_names_that_could_not_be_resolved_are_counted(folder: Path, run: Run) -> None:
    (folder / "a.py").write_text("from mindspore.ops import *\nn = L2Normalize()\n")
    status, out, _ = run("check", "a.py")
    assert (status, out) == (
        0,
        "no findings; 0 calls looked at in 1 file; 1 name not resolved, shown with --select PN2\n",
    )


def test_files_that_cannot_be_read_are_findings(folder: Path, run: Run) -> None:
    (folder / "a.py").write_bytes(b"import torch\nnormalize = '\xff'\n")
    (folder / "b.py").write_bytes(b"import torch\nprint torch.nn.functional.normalize(x)\n")
    (folder / "c.py").write_bytes(CLEAN)
    status, out, _ = run("check", ".")
    assert status == 1
    assert [line[:8] for line in out.splitlines()] == ["./a.py:1", "./b.py:2", "2 findin"]
    assert out.count("PN001") == 2
    assert run("check", ".", "--ignore", "PN0")[0] == 0


def test_notebooks_are_read_and_mended(folder: Path, run: Run) -> None:
    cells = [
        code("%matplotlib inline\nfrom mindspore import ops"),
        code("%%bash\nls normalize"),
        code(["# two\n", "n = ops.L2Normalize(dim=1, epsilon=1e-4)\n", "!ls"]),
    ]
    raw = dumped(*cells)
    (folder / "n.ipynb").write_bytes(raw)
    status, out, _ = run("check", "n.ipynb")
    assert status == 1
    assert out.splitlines()[:2] == [
        "n.ipynb:cell 2:1:1: PN002 this cell was not looked at: it begins with %%bash",
        "n.ipynb:cell 3:2:5: PN113 dim=: L2Normalize takes axis and epsilon",
    ]
    found = json.loads(run("check", "n.ipynb", "--format", "json")[1])["findings"]
    assert found[1]["fix"]["edits"] == [{"start": [2, 21], "end": [2, 24], "text": "axis"}]
    assert run("check", "--fix", "--ignore", "PN002", "n.ipynb")[0] == 0
    assert (folder / "n.ipynb").read_bytes() == raw.replace(b"dim", b"axis")


# --- fixes ----------------------------------------------------------------------------------------


def test_fix_writes_what_is_safe_and_reports_the_rest(folder: Path, run: Run) -> None:
    (folder / "a.py").write_bytes(WRONG)
    (folder / "b.py").write_bytes(WRONG.replace(b", epsilon=1e-4", b""))
    status, out, _ = run("check", "--fix", ".")
    assert status == 1
    assert out.splitlines()[-1] == "1 finding in 1 file; 2 mended; 2 calls looked at in 2 files"
    assert "b.py:3:5: PN101" in out
    assert (folder / "a.py").read_bytes() == MENDED
    assert run("check", "--fix", "a.py")[1] == "no findings; 1 call looked at in 1 file\n"


def test_a_file_that_cannot_be_written_is_named_and_the_others_are(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace

    def fail(source: str, target: Path) -> None:
        if Path(target).name == "a.py":
            raise OSError("the disk is full")
        replace(source, target)

    for name in ("a.py", "b.py"):
        (folder / name).write_bytes(WRONG)
    monkeypatch.setattr(os, "replace", fail)
    status, out, err = run("check", "--fix", ".")
    assert status == 2
    assert err == "portnorm: ./a.py: expected a file that can be written: the disk is full\n"
    assert out == "no findings; 1 mended; 2 calls looked at in 2 files; 1 file failed\n"
    assert [(folder / name).read_bytes() for name in ("a.py", "b.py")] == [WRONG, MENDED]


def test_an_error_in_portnorm_is_no_result(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from portnorm.check import file as check

    def broken(*_: object) -> None:
        raise KeyError("planted")

    (folder / "a.py").write_bytes(WRONG)
    monkeypatch.setattr(check, "View", broken)
    status, out, err = run("check", "a.py")
    assert (status, err) == (2, "portnorm: a.py: KeyError: 'planted'\n")
    assert out == "no findings; 0 calls looked at in 1 file; 1 file failed\n"


# --- standard input -------------------------------------------------------------------------------


class Bytes(io.StringIO):
    def __init__(self, raw: bytes) -> None:
        super().__init__()
        self.buffer = io.BytesIO(raw)


@pytest.mark.parametrize("name", [None, "p/a.py"])
def test_standard_input_is_read(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch, name: str | None
) -> None:
    monkeypatch.setattr(sys, "stdin", Bytes(WRONG))
    options = [] if name is None else ["--stdin-filename", name]
    status, out, _ = run("check", "-", *options)
    assert status == 1
    assert out.startswith(f"{name or '<stdin>'}:3:5: PN113")


@pytest.mark.parametrize(
    ("given", "printed"), [(WRONG, MENDED), (CLEAN, CLEAN), (b"'\xff'", b"'\xff'"), (b"", b"")]
)
def test_standard_input_comes_out_mended(folder: Path, given: bytes, printed: bytes) -> None:
    command = [sys.executable, "-m", "portnorm", "check", "--fix", "-"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, input=given, capture_output=True, env=environment, check=False)
    assert (done.returncode, done.stdout) == (0, printed)
    assert b"looked at in 1 file\n" in done.stderr


def test_a_notebook_is_read_from_standard_input(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = dumped(code("from mindspore import ops\nops.L2Normalize(1)"))
    monkeypatch.setattr(sys, "stdin", Bytes(raw))
    out = run("check", "-", "--stdin-filename", "n.ipynb")[1]
    assert out.startswith("n.ipynb:cell 1:2:1: PN101")


# --- formats --------------------------------------------------------------------------------------


def test_formats(folder: Path, run: Run) -> None:
    (folder / "a.py").write_bytes(WRONG)
    status, out, _ = run("check", "a.py", "--format", "json")
    found = json.loads(out)
    assert (status, found["files"], found["calls"], len(found["findings"])) == (1, 1, 1, 1)
    status, out, _ = run("check", "a.py", "--format", "sarif")
    jsonschema.validate(json.loads(out), SARIF)
    assert (status, json.loads(out)["runs"][0]["results"][0]["ruleId"]) == (1, "PN113")
    status, out, _ = run("check", "a.py", "--format", "github")
    assert (status, out.startswith("::warning file=a.py,line=3")) == (1, True)


# --- codes and settings ---------------------------------------------------------------------------


def codes_of(out: str) -> set[str]:
    return {line.split()[1] for line in out.splitlines()[:-1]}


def test_codes_are_selected_and_ignored(folder: Path, run: Run) -> None:
    (folder / "a.py").write_text("from mindspore import ops\nn = ops.L2Normalize()\n")
    assert codes_of(run("check", "a.py")[1]) == {"PN101", "PN111"}
    assert codes_of(run("check", "a.py", "--select", "pn11")[1]) == {"PN111"}
    assert codes_of(run("check", "a.py", "--select", "PN10", "--select", "PN11")[1]) == {
        "PN101",
        "PN111",
    }
    assert codes_of(run("check", "a.py", "--ignore", "PN101, PN102")[1]) == {"PN111"}
    assert run("check", "a.py", "--ignore", "PN1")[0] == 0


def test_settings_count_and_options_come_first(folder: Path, run: Run) -> None:
    (folder / "p").mkdir()
    text = "from mindspore import ops\nn = ops.L2Normalize()\n"
    (folder / "p" / "a.py").write_text(text)
    (folder / "p" / "b.py").write_text(text)
    (folder / "pyproject.toml").write_text(
        "[tool.portnorm.check]\nselect = ['PN11']\nignore = []\nexclude = ['/p/b.py']\n"
    )
    out = run("check", "p")[1]
    assert (codes_of(out), "in 1 file" in out) == ({"PN111"}, True)
    assert codes_of(run("check", "p", "--select", "PN101")[1]) == {"PN101"}
    assert "in 0 files" in run("check", "p", "--exclude", "a.py")[1]


def test_a_port_is_compared_with_its_original(folder: Path, run: Run) -> None:
    (folder / "old.py").write_text("import torch\ny = x / x.norm(dim=1, keepdim=True)\n")
    (folder / "new.py").write_text(
        "import mindspore\ny = x / (x.norm(dim=1, keepdim=True) + 1e-8)\n"
    )
    status, out, _ = run("check", "new.py", "--against", "old.py")
    assert (status, codes_of(out)) == (1, {"PN132"})
    assert "x / (norm + 1e-08) here and x / norm in line 2 of the original" in out
    assert run("check", "old.py", "--against", "old.py")[0] == 0
    assert run("check", "new.py", "--against", "old.py", "--select", "PN10")[0] == 1
    assert run("check", "new.py", "--against", "old.py", "--ignore", "PN132")[0] == 0


def test_normalization_by_hand_is_found_on_demand(folder: Path, run: Run) -> None:
    (folder / "a.py").write_text("import torch\ny = x / x.norm(dim=1, keepdim=True)\n")
    assert run("check", "a.py")[0] == 0
    assert codes_of(run("check", "a.py", "--select", "PN131")[1]) == {"PN131"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.py", "--against", "nothing.py"], "No such file or directory: 'nothing.py'"),
        (["a.py", "--against", "no_python"], "--against: no_python: line 1, column 1: Python 3"),
        (["nothing.py"], "nothing.py: expected a file or a folder, found nothing"),
        (["a.py", "--select", "PN9"], "select: no code is PN9, or begins so"),
        (["a.py", "--ignore", "E501"], "ignore: no code is E501, or begins so"),
        (["a.py", "-"], "expected - alone, or other paths without it"),
        (["a.py", "--stdin-filename", "b.py"], "--stdin-filename needs the path -"),
        (["a.py", "--jobs", "0"], "argument --jobs: invalid number of processes value: '0'"),
        (["a.py", "--format", "xml"], "argument --format: invalid choice: 'xml'"),
        ([], "the following arguments are required: PATH"),
        (["bad"], "found slect; did you mean select?"),
        (["worse"], "select: no code is PN9, or begins so"),
    ],
)
def test_bad_usage_is_refused_in_one_line_before_any_work(
    folder: Path, run: Run, arguments: list[str], message: str
) -> None:
    (folder / "a.py").write_bytes(WRONG)
    (folder / "no_python").write_text("=")
    for name, text in {"bad": "slect = []", "worse": "select = ['PN9']"}.items():
        (folder / name).mkdir()
        (folder / name / "pyproject.toml").write_text(f"[tool.portnorm.check]\n{text}\n")
    status, out, err = run("check", "--fix", *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert (folder / "a.py").read_bytes() == WRONG


@pytest.mark.parametrize("missing", ["pathspec"])
def test_missing_tools_are_named(folder: Path, missing: str) -> None:
    (folder / "a.py").write_bytes(WRONG)
    program = "import runpy; runpy.run_module('portnorm', run_name='__main__', alter_sys=True)"
    done = start_python(program, "check", "a.py", blocked=[missing], folder=folder)
    line = f"portnorm: `portnorm check` needs {missing}: pip install 'portnorm[tools]'\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", line)


# --- many files -----------------------------------------------------------------------------------


def test_many_files_are_read_by_several_processes_in_order(folder: Path, run: Run) -> None:
    for number in range(FEW + 8):
        (folder / f"{number:03}.py").write_bytes(WRONG)
    one, two = (run("check", ".", "--jobs", jobs) for jobs in ("1", "2"))
    assert one == two
    assert one[1].splitlines()[-1].startswith(f"{FEW + 8} findings in {FEW + 8} files")
    assert one[1].splitlines()[:-1] == sorted(one[1].splitlines()[:-1])


# --- explain --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CODES)
def test_every_code_has_a_page_that_is_printed(run: Run, name: str) -> None:
    status, out, err = run("explain", name)
    assert (status, err) == (0, "")
    assert out == (ROOT / "migration_guide" / CODES[name].page).read_text()
    assert out.startswith(f"# {name}: {CODES[name].title}\n")
    if name.startswith("PN1"):
        for part in ("**Finds**", "**Why it matters.**", "**How to mend it.**", "**When to ignore"):
            assert part in out


def test_every_page_has_a_code() -> None:
    pages = {path.stem for path in (ROOT / "migration_guide" / "checks").iterdir()}
    assert pages == set(CODES)


@pytest.mark.parametrize("name", ["normalize", "F.normalize", "torch.nn.functional.normalize"])
def test_the_mapping_page_is_printed(run: Run, name: str) -> None:
    assert run("explain", name)[1] == (ROOT / "migration_guide" / "normalize.md").read_text()
    assert run("explain", "mindspore.ops.L2Normalize")[1] == run("explain", "l2normalize")[1]


@pytest.mark.parametrize("word", ["strict", "epsilon", "gradient", "float16", "bits", "Strict"])
def test_the_page_for_a_word_is_printed(run: Run, word: str) -> None:
    status, out, err = run("explain", word)
    assert (status, err) == (0, "")
    assert out == (ROOT / "migration_guide" / guide.WORDS[word.lower()]).read_text()
    assert word.lower() in out.lower()


def test_without_a_name_all_names_are_listed(run: Run) -> None:
    status, out, _ = run("explain")
    assert status == 0
    assert out.splitlines()[: len(CODES)] == [f"{c.name} {c.title}" for c in CODES.values()]
    assert [line.split()[0] for line in out.splitlines()] == list(guide.NAMES)
    assert "epsilon Where epsilon sits" in out.splitlines()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("PN110", "close is PN111 or PN112"),
        ("PN12", "close is PN121 or PN122"),
        ("normalise", "close is normalize"),
        ("epsilons", "close is epsilon"),
        ("E501", "`portnorm explain` lists them"),
    ],
)
def test_an_unknown_name_is_refused_with_what_is_close(run: Run, name: str, hint: str) -> None:
    status, out, err = run("explain", name)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert name in err
    for word in hint.split(" or "):
        assert word in err


def test_on_a_terminal_the_page_is_rendered(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", terminal)
    assert cli.main(["explain", "PN111"]) == 0
    shown = terminal.getvalue()
    assert "PN111: axis left at 0" in shown
    assert "\x1b[" in shown
    assert "**Finds**" not in shown


def test_pages_are_found_where_they_are_installed(tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "portnorm", tmp_path / "portnorm", ignore=ignored)
    pages = tmp_path / "portnorm" / "migration_guide"
    shutil.copytree(ROOT / "migration_guide", pages)
    (pages / "checks" / "PN101.md").write_text("installed\n")
    command = [sys.executable, "-m", "portnorm", "explain", "PN101"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, b"installed\n")


def test_the_wheel_takes_the_pages_along() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert '[tool.hatch.build.targets.wheel.force-include]\nmigration_guide = "portnorm/mi' in text
    assert guide._read("normalize.md") == (ROOT / "migration_guide" / "normalize.md").read_text()


# --- pre-commit -----------------------------------------------------------------------------------


def test_hooks_run_commands_that_there_are(run: Run) -> None:
    hooks = [*hooks_of((ROOT / ".pre-commit-hooks.yaml").read_text())]
    assert [hook["id"] for hook in hooks] == ["portnorm-check", "portnorm-port"]
    tools = (ROOT / "pyproject.toml").read_text().partition("\ntools = [")[2].partition("\n]")[0]
    for hook in hooks:
        program, command, *options = hook["entry"].split()
        assert (program, command) == ("portnorm", hook["id"].removeprefix("portnorm-"))
        assert all(f"    {needed}," in tools for needed in items(hook["additional_dependencies"]))
        assert items(hook["types_or"]) == ["python", "jupyter"]
        status, out, _ = run(command, "--help")
        assert status == 0
        assert all(option in out for option in [*options, *items(hook.get("args", "[]"))])


def hooks_of(text: str) -> Iterator[dict[str, str]]:
    """Read the few forms of YAML that the file has."""
    for hook in re.split(r"(?m)^(?=- )", text)[1:]:
        yield dict(re.findall(r"^[- ] (\w+): (.*)$", hook, re.M))


def items(text: str) -> list[str]:
    assert (text[0], text[-1]) == ("[", "]")
    return [item for item in text[1:-1].split(", ") if item]
