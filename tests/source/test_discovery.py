"""Which files the paths on a command line name."""

from __future__ import annotations

from pathlib import Path

import pytest

from portnorm.source.discovery import Exclude, discover


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(tree: Path, *files: str) -> None:
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
    assert found("script", "a.py") == ["script", "a.py"]


@pytest.mark.parametrize("exclude", ["a.py", "p/", "p", "*.py", "/p/*.py"])
def test_a_file_that_is_named_is_left_out_where_patterns_say_so(tree: Path, exclude: str) -> None:
    make(tree, "p/a.py", "q/b.txt", "q/p.txt")
    assert found("p/a.py", "q/b.txt", "q/p.txt", exclude=(exclude,)) == ["q/b.txt", "q/p.txt"]


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
