"""Which files are read, what is in them, and that writing changes nothing else."""

from __future__ import annotations

import codecs
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portnorm.codemod.files import SourceFile, UnreadableError, discover, read, run, write
from portnorm.codemod.files import pool as pool_module
from portnorm.codemod.files.pool import FEW
from portnorm.codemod.files.source import Content
from portnorm.codemod.files.walk import Exclude


def parse(raw: bytes) -> SourceFile:
    return SourceFile.parse("a.py", raw)


# --- encodings ------------------------------------------------------------------------------------

ENCODED = {
    "utf-8": ("é = 1\n", "é = 1\n".encode()),
    "byte order mark": ("é = 1\n", codecs.BOM_UTF8 + "é = 1\n".encode()),
    "latin-1 cookie": ("# coding: latin-1\né = 1\n", b"# coding: latin-1\n\xe9 = 1\n"),
    "cookie on line two": (
        "#!/usr/bin/python\n# -*- coding: cp1252 -*-\n'€'\n",
        b"#!/usr/bin/python\n# -*- coding: cp1252 -*-\n'\x80'\n",
    ),
    "cookie after a carriage return": ("\r# coding: latin-1\r'é'", b"\r# coding: latin-1\r'\xe9'"),
    "byte order mark and cookie": (
        "# coding: utf-8\n",
        codecs.BOM_UTF8 + b"# coding: utf-8\n",
    ),
    "CRLF": ("a\r\nb\r\n", b"a\r\nb\r\n"),
    "mixed line ends": ("a\rb\r\nc\n\nd", b"a\rb\r\nc\n\nd"),
    "form feed": ("\x0ca\n\x0c\nb\x0b\n", b"\x0ca\n\x0c\nb\x0b\n"),
    "separators of unicode": ("'\u2028\x85'\n", "'\u2028\x85'\n".encode()),
    "nothing": ("", b""),
    "japanese": ("# coding: euc-jp\n'日本'\n", "# coding: euc-jp\n'日本'\n".encode("euc-jp")),
}


@pytest.mark.parametrize(("text", "raw"), ENCODED.values(), ids=ENCODED)
def test_text_is_what_python_reads_and_comes_back_as_the_same_bytes(text: str, raw: bytes) -> None:
    source = parse(raw)
    assert source.text == text
    assert source.encode(text) == raw
    changed = raw.replace(b"a", b"z")
    assert source.encode(source.text.replace("a", "z")) == changed or b"coding" in raw


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"'\xe9'\n", "cannot be decoded"),
        (b"# coding: nothing-known\n", "unknown encoding"),
        (b"# coding: ascii\n'\xe9'", "cannot be decoded"),
        (codecs.BOM_UTF8 + b"# coding: latin-1\n", "cannot be decoded"),
        (b"a = 1\0\n", "null bytes"),
        ("a = 1\n".encode("utf-16"), "cannot be decoded"),
        (b"# coding: utf-7\n'+AGE-'\n", "does not give the same bytes back"),
    ],
)
def test_what_cannot_be_read_or_given_back_is_refused(raw: bytes, message: str) -> None:
    with pytest.raises(UnreadableError, match=message):
        parse(raw)


def test_a_character_that_the_encoding_lacks_cannot_be_written() -> None:
    source = parse(b"# coding: latin-1\na\n")
    with pytest.raises(UnreadableError, match="cannot be encoded"):
        source.encode("€")


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_any_text_comes_back(text: str) -> None:
    raw = text.encode()
    try:
        source = parse(raw)
    except UnreadableError:
        assert b"coding" in raw or raw.startswith(codecs.BOM_UTF8)
        return
    assert source.encode(source.text) == raw


def test_a_file_is_its_own_place() -> None:
    assert parse(b"a\nb\n").place(2) == (0, 2)


# --- writing --------------------------------------------------------------------------------------


def test_a_file_is_replaced_and_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_bytes(b"a\r\n")
    path.chmod(0o751)
    write(read(str(path)), "b\r\n")
    assert path.read_bytes() == b"b\r\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o751
    assert os.listdir(tmp_path) == ["a.py"]


def test_a_link_keeps_pointing_to_the_file_that_changes(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.py").write_bytes(b"a\n")
    link = tmp_path / "link.py"
    link.symlink_to("real/a.py")
    write(read(str(link)), "b\n")
    assert link.is_symlink()
    assert (tmp_path / "real" / "a.py").read_bytes() == b"b\n"


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError("the disk is full")

    path = tmp_path / "a.py"
    path.write_bytes(b"a\n")
    source = read(str(path))
    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="the disk is full"):
        write(source, "b\n")
    assert path.read_bytes() == b"a\n"
    assert os.listdir(tmp_path) == ["a.py"]


def test_a_text_that_cannot_be_encoded_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_bytes(b"# coding: ascii\n")
    with pytest.raises(UnreadableError):
        write(read(str(path)), "é")
    assert path.read_bytes() == b"# coding: ascii\n"


def test_a_file_that_must_not_be_written_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.py"
    path.write_bytes(b"a\n")
    monkeypatch.setattr(os, "access", lambda *arguments: False)  # root may do anything
    with pytest.raises(PermissionError, match="expected a file that can be written"):
        write(read(str(path)), "b\n")
    assert path.read_bytes() == b"a\n"


# --- walking --------------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(tree: Path, *files: str, **contents: str) -> None:
    for name in files:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("")


def gitignore(tree: Path, folder: str, *lines: str) -> None:
    (tree / folder).mkdir(parents=True, exist_ok=True)
    (tree / folder / ".gitignore").write_text("\n".join(lines))


def found(*paths: str, exclude: tuple[str, ...] = ()) -> list[str]:
    return discover(paths, [Exclude(exclude, Path.cwd())])


def test_a_folder_stands_for_the_python_files_and_notebooks_in_it(tree: Path) -> None:
    make(tree, "p/b.py", "p/a/z.ipynb", "p/a/y.pyw", "p/c.txt", "p/d.pyc", "q.py", "p/.hidden.py")
    assert found("p") == ["p/.hidden.py", "p/a/y.pyw", "p/a/z.ipynb", "p/b.py"]
    assert found("q.py", "p/a") == ["q.py", "p/a/y.pyw", "p/a/z.ipynb"]


def test_a_file_that_is_named_is_taken_whatever_it_is_called(tree: Path) -> None:
    make(tree, "script", "a.py")
    gitignore(tree, ".", "script", "*.py")
    assert found("script", "a.py", exclude=("a.py",)) == ["script", "a.py"]


def test_each_file_is_taken_once(tree: Path) -> None:
    make(tree, "p/a.py")
    (tree / "p" / "b.py").symlink_to("a.py")
    assert found("p", "p/a.py", "./p") == ["p/a.py"]


def test_links_to_folders_are_not_followed(tree: Path) -> None:
    make(tree, "p/a.py")
    (tree / "p" / "loop").symlink_to(tree / "p")
    assert found("p") == ["p/a.py"]


def test_broken_links_and_folders_called_py_are_no_files(tree: Path) -> None:
    make(tree, "p/odd.py/a.py")
    (tree / "p" / "gone.py").symlink_to("nowhere")
    assert found("p") == ["p/odd.py/a.py"]


def test_environments_and_stores_of_version_control_are_left_out(tree: Path) -> None:
    make(tree, "a.py", ".git/a.py", "env/pyvenv.cfg", "env/lib/b.py", "node_modules/c.py")
    make(tree, "__pycache__/d.py", ".venv/e.py")
    assert found(".") == ["./a.py"]
    assert found("env/lib", ".venv") == ["env/lib/b.py", ".venv/e.py"]


def test_gitignore_files_count_and_the_nearest_decides(tree: Path) -> None:
    make(tree, "a.py", "b_pb2.py", "build/c.py", "p/b_pb2.py", "p/d.py", "p/q/d.py", "p/q/e.py")
    gitignore(tree, ".", "*_pb2.py", "/build/", "", "# a comment")
    gitignore(tree, "p", "!b_pb2.py", "/d.py")
    gitignore(tree, "p/q", "e.py")
    assert found(".") == ["./a.py", "./p/b_pb2.py", "./p/q/d.py"]


def test_gitignore_files_above_count_up_to_the_top_of_the_repository(tree: Path) -> None:
    make(tree, "repo/.git/config", "repo/p/a.py", "repo/p/b.py")
    gitignore(tree, ".", "a.py", "b.py")
    gitignore(tree, "repo", "/p/b.py")
    assert found("repo/p") == ["repo/p/a.py"]


def test_above_a_folder_that_is_in_no_repository_nothing_counts(tree: Path) -> None:
    make(tree, "p/a.py")
    gitignore(tree, ".", "*.py")
    assert found("p") == ["p/a.py"]


def test_a_folder_that_is_named_is_walked_even_if_it_is_ignored(tree: Path) -> None:
    make(tree, ".git/config", "build/p/a.py", "build/p/b.py")
    gitignore(tree, ".", "/build/")
    gitignore(tree, "build/p", "b.py")
    assert found("build/p") == ["build/p/a.py"]
    assert found(".") == []


def test_nothing_comes_back_from_a_folder_that_is_ignored(tree: Path) -> None:
    make(tree, "build/a.py")
    gitignore(tree, ".", "build/", "!build/a.py")
    assert found(".") == []


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("a.py", ["p/q/b.py"]),
        ("p/q", ["p/a.py"]),
        ("q/", ["p/a.py"]),
        ("/p/*.py", ["p/q/a.py", "p/q/b.py"]),
        ("**/q/*.py", ["p/a.py"]),
        ("/q", ["p/a.py", "p/q/a.py", "p/q/b.py"]),
        ("*.txt", ["p/a.py", "p/q/a.py", "p/q/b.py"]),
    ],
)
def test_excluded_files_are_left_out(tree: Path, pattern: str, left: list[str]) -> None:
    make(tree, "p/a.py", "p/q/a.py", "p/q/b.py")
    assert found("p", exclude=(pattern,)) == left


def test_a_path_that_is_not_there_stops_everything(tree: Path) -> None:
    make(tree, "a.py")
    with pytest.raises(FileNotFoundError, match="expected a file or a folder"):
        found("a.py", "b.py")


# --- many files -----------------------------------------------------------------------------------


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


def test_files_that_end_their_process_are_named_and_the_others_are_read(tmp_path: Path) -> None:
    paths = [path for number, path in enumerate(many(tmp_path, 70)) if number % 3]
    crashing = [paths[20], paths[-1]]
    for path in crashing:
        Path(path).write_text("x crash")
    outcomes = list(run(paths, length, has_x, 2))
    failed = {outcome.path: outcome.failure for outcome in outcomes if outcome.failure}
    assert failed == dict.fromkeys(crashing, "the process that read it died")
    assert [outcome.path for outcome in outcomes] == paths
    assert sum(outcome.result is not None for outcome in outcomes) == len(paths) - 2


def parsed(source: SourceFile) -> int:
    import libcst
    from libcst.metadata import MetadataWrapper, PositionProvider

    wrapper = MetadataWrapper(libcst.parse_module(source.text))
    return len(wrapper.resolve(PositionProvider))


DEEP = {
    "sum": "x = 1" + " + 1" * 1000,
    "string in parts": "x = (\n" + "'a'\n" * 1000 + ")",
    "elif": "if x:\n pass\n" + "elif x:\n pass\n" * 1000,
}


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP)
def test_long_generated_code_is_read(text: str) -> None:
    (outcome,) = run([Content("a.py", text.encode())], parsed, has_x)
    assert outcome.result, outcome


def test_code_that_is_nested_too_deeply_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "_RECURSION", 0)
    (outcome,) = run([Content("a.py", b"x = 1" + b" + 1" * 1000)], parsed, has_x)
    assert (outcome.result, outcome.unreadable) == (None, "is nested too deeply")


def test_the_deep_stack_changes_nothing_in_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    import threading

    before = threading.stack_size(), sys.getrecursionlimit()
    list(run([Content("a.py", b"x")], parsed, has_x))
    assert (threading.stack_size(), sys.getrecursionlimit()) == before
    assert before[1] < pool_module._RECURSION
