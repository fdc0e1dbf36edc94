"""Ports of files that import from one another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from portnorm import cli
from portnorm.source.names import Module
from portnorm.source.project import Project

F = "import torch.nn.functional as F\n"
NORMALIZE = "from torch.nn.functional import normalize\n"
L2NORM = "from torch.nn.functional import normalize as l2norm\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def port(*argv: str) -> int:
    return cli.main(["port", "--to", "mindspore", "--format", "json", *argv])


# The files, the one that calls the function, and what becomes of the call.
FOLLOWED = {
    "renamed": (
        {"p/__init__.py": "", "p/a.py": L2NORM, "p/b.py": "from .a import l2norm\ny = l2norm(x)\n"},
        "p/b.py",
    ),
    "absolute": (
        {"p/__init__.py": "", "p/a.py": L2NORM, "c.py": "from p.a import l2norm\ny = l2norm(x)\n"},
        "c.py",
    ),
    "renamed twice": (
        {"p/__init__.py": "", "p/a.py": L2NORM, "p/b.py": "from .a import l2norm as n\ny = n(x)\n"},
        "p/b.py",
    ),
    "by way of the package": (
        {
            "p/__init__.py": "from .a import l2norm\n",
            "p/a.py": L2NORM,
            "p/q/__init__.py": "",
            "p/q/b.py": "from .. import l2norm\ny = l2norm(x)\n",
        },
        "p/q/b.py",
    ),
    "attribute of a module": (
        {"p/__init__.py": "", "p/a.py": NORMALIZE, "c.py": "import p.a\ny = p.a.normalize(x)\n"},
        "c.py",
    ),
    "attribute of a renamed module": (
        {"p/__init__.py": "", "p/a.py": L2NORM, "c.py": "from p import a as k\ny = k.l2norm(x)\n"},
        "c.py",
    ),
    "module": (
        {"common.py": F, "c.py": "from common import F\ny = F.normalize(x)\n"},
        "c.py",
    ),
    "module by way of a module": (
        {"common.py": F, "c.py": "import common\ny = common.F.normalize(x)\n"},
        "c.py",
    ),
    "in src": (
        {
            "src/p/__init__.py": "",
            "src/p/a.py": L2NORM,
            "tests/test_a.py": "from p.a import l2norm\ny = l2norm(x)\n",
        },
        "tests/test_a.py",
    ),
    "star of a star": (
        {
            "p/__init__.py": "",
            "p/a.py": "from torch.nn.functional import *\n",
            "p/b.py": "from .a import normalize\ny = normalize(x)\n",
        },
        "p/b.py",
    ),
    "function of the name of its module": (
        {
            "p/__init__.py": "from .normalize import normalize\n",
            "p/normalize.py": NORMALIZE,
            "c.py": "from p import normalize\ny = normalize(x)\n",
        },
        "c.py",
    ),
    "folder without __init__": (
        {"p/q/a.py": L2NORM, "c.py": "from p.q.a import l2norm\ny = l2norm(x)\n"},
        "c.py",
    ),
    "base class": (
        {
            "base.py": F + "class Base:\n    f = F\n",
            "c.py": "from base import Base\nclass C(Base):\n    def g(self, x):\n"
            "        return self.f.normalize(x)\n",
        },
        "c.py",
    ),
    "function": (
        {
            "base.py": F + "def module():\n    return F\n",
            "c.py": "from base import module\ny = module().normalize(x)\n",
        },
        "c.py",
    ),
    "one of two": (
        {
            "a.py": "try:\n    from torch.nn.functional import normalize as n\n"
            "except ImportError:\n    n = None\n",
            "c.py": "from a import n\ny = n(x)\n",
        },
        "c.py",
    ),
    "star": ({"a.py": L2NORM, "c.py": "from a import *\ny = l2norm(x)\n"}, "c.py"),
    "star of the module": ({"a.py": F, "c.py": "from a import *\ny = F.normalize(x)\n"}, "c.py"),
}
LEFT_TO_PEOPLE = {
    "base class": "PN203",
    "function": "PN203",
    "one of two": "PN203",
    "star": "PN202",
    "star of the module": "PN202",
}


@pytest.mark.parametrize("name", FOLLOWED)
def test_the_function_is_followed_through_the_files_of_a_project(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files, caller = FOLLOWED[name]
    make(folder, files)
    status = port("--write", ".")
    found = json.loads(capsys.readouterr().out)
    text = (folder / caller).read_text()
    if name in LEFT_TO_PEOPLE:
        assert (status, text) == (1, files[caller])
        assert [one["code"] for one in found["findings"]] == [LEFT_TO_PEOPLE[name]]
        assert found["findings"][0]["path"] == f"./{caller}"
    else:
        assert (status, found["findings"]) == (0, [])
        assert "y = portnorm.mindspore.normalize(x)\n" in text
    others = {path: (folder / path).read_text() for path in files if path != caller}
    assert others == {path: text for path, text in files.items() if path != caller}


def test_files_that_are_not_given_are_looked_up(folder: Path) -> None:
    make(folder, {"a.py": L2NORM, "b.py": "from a import l2norm\ny = l2norm(x)\n"})
    assert port("--write", "b.py") == 0
    assert "y = portnorm.mindspore.normalize(x)" in (folder / "b.py").read_text()
    assert (folder / "a.py").read_text() == L2NORM


def test_a_file_that_has_changed_is_read_again(folder: Path) -> None:
    text = "from a import l2norm\ny = l2norm(x)\n"
    make(folder, {"a.py": "def l2norm(x):\n    return x\n", "b.py": text})
    assert port("--write", ".") == 0
    assert (folder / "b.py").read_text() == text
    make(folder, {"a.py": L2NORM})
    assert port("--write", ".") == 0
    assert "y = portnorm.mindspore.normalize(x)" in (folder / "b.py").read_text()


NOT_FOLLOWED = {
    "another function": {
        "a.py": "import torch\nfrom jax.nn import normalize\n",
        "c.py": "import torch\nfrom a import normalize\ny = normalize(x)\n",
    },
    "own function of this name": {
        "p/__init__.py": "",
        "p/a.py": "def normalize(x):\n    return x\n",
        "p/b.py": "import torch\nfrom .a import normalize\ny = normalize(x)\n",
    },
    "the name of another module": {
        "a.py": L2NORM,
        "q/a.py": "def l2norm(x):\n    return x\n",
        "q/c.py": "import torch\nfrom a import l2norm\ny = l2norm(x).normalize()\n",
    },
    "not there": {"c.py": "import torch\nfrom .gone import normalize\ny = normalize(x)\n"},
    "a circle": {
        "a.py": "from b import n, normalize\n",
        "b.py": "from a import n, normalize\nimport torch\ny = normalize(x)\n",
    },
    "not Python": {
        "a.py": "normalize = = 1\n",
        "c.py": "import torch\nfrom a import normalize\ny = normalize(x)\n",
    },
}


@pytest.mark.parametrize("name", NOT_FOLLOWED)
def test_other_functions_of_a_project_are_listed_with_the_reason(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(folder, NOT_FOLLOWED[name])
    port(
        "--write", *(path for path in NOT_FOLLOWED[name] if path != "a.py" or name != "not Python")
    )
    found = json.loads(capsys.readouterr().out)
    assert (found["findings"], found["counts"]["rewritten"]) == ([], 0)
    places = [place for file in found["files"] for place in file["places"]]
    assert [place["outcome"] for place in places] == ["untouched"]
    assert places[0]["reason"].startswith("it is ")
    assert {path: (folder / path).read_text() for path in NOT_FOLLOWED[name]} == NOT_FOLLOWED[name]


@pytest.mark.parametrize(
    ("there", "here", "reason"),
    [
        ("from torch import *\n", "from a import normalize as f\ny = f(x).normalize()\n", "f(x)"),
        ("from torch import *\n", "from a import normalize\ny = normalize(x)\n", "a.normalize"),
        ("from b import *\n", "from a import normalize\ny = normalize(x)\n", "a.normalize"),
        ("def f():\n    return jax.nn\n", "from a import f\ny = f().normalize(x)\n", "f()"),
        ("class A:\n    pass\n", "from a import A\ny = A().normalize(x)\n", "A()"),
    ],
)
def test_why_a_function_of_a_project_is_another_one_is_told(
    there: str, here: str, reason: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(folder, {"a.py": there, "c.py": "import torch\n" + here})
    port("c.py")
    (file,) = json.loads(capsys.readouterr().out)["files"]
    of = "it is " if reason == "a.normalize" else "it is a method of "
    assert file["places"][-1]["reason"].startswith(of + reason)


@pytest.mark.parametrize(
    "other",
    [
        {"b.py": "from a import F\ny = F.relu(x)\n"},
        {"b.py": "from a import (\n    other,\n    F,\n)\n"},
        {"b.py": "from a import *\ny = F.relu(x)\n"},
        {"b.py": "import a\ny = a.F.relu(x)\n"},
        {"b.py": "import a as m\ny = m.F.relu(x)\n"},
        {"tests/test_a.py": "from unittest import mock\nmock.patch('a.F.relu')\n"},
        {"tests/test_a.py": "def test(monkeypatch):\n    monkeypatch.setattr('a.F', None)\n"},
    ],
)
@pytest.mark.parametrize("alone", [False, True])
def test_an_import_that_other_files_take_stays(
    other: dict[str, str], alone: bool, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(folder, {"a.py": F + "y = F.normalize(x)\n", **other, "pyproject.toml": ""})
    port("--write", "a.py" if alone else ".")
    text = (folder / "a.py").read_text()
    assert text == "import portnorm.mindspore\n" + F + "y = portnorm.mindspore.normalize(x)\n"


@pytest.mark.parametrize(
    "other",
    [
        {"b.py": "from c import F\n"},
        {"b.py": "from a import other\n"},
        {"b.py": "import torch.nn.functional as F\ny = F.relu(x)\n"},
        {},
    ],
)
def test_an_import_that_no_other_file_takes_goes(
    other: dict[str, str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(folder, {"a.py": F + "y = F.normalize(x)\n", **other})
    port("--write", ".")
    text = (folder / "a.py").read_text()
    assert text == "import portnorm.mindspore\ny = portnorm.mindspore.normalize(x)\n"


@pytest.mark.parametrize(
    "other",
    ["import my_a as b_\ny = b_.F.relu(x)\n", "import my_a\ny = my_a.F.relu(x)\n"],
)
def test_an_import_that_a_file_takes_by_a_name_with_underlines_stays(
    other: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(folder, {"my_a.py": F + "y = F.normalize(x)\n", "b.py": other})
    port("--write", ".")
    assert F in (folder / "my_a.py").read_text()


def test_what_a_package_imports_is_there_for_others(folder: Path) -> None:
    make(folder, {"p/__init__.py": NORMALIZE + "y = normalize(x)\n"})
    port("--write", "p")
    assert NORMALIZE in (folder / "p" / "__init__.py").read_text()


def test_check_follows_imports_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(
        folder,
        {
            "a.py": "from mindspore.ops import L2Normalize as Unit\n",
            "b.py": "from a import Unit\nn = Unit(dim=1)\n",
        },
    )
    assert cli.main(["check", ".", "--format", "concise", "--select", "PN113"]) == 1
    assert capsys.readouterr().out.startswith("./b.py:2:5: PN113 ")


def test_a_string_that_names_the_function_under_another_name_is_reported(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(
        folder,
        {
            "a.py": "from torch.nn.functional import normalize as my_normalize\n",
            "b.py": "from unittest import mock\nmock.patch('a.my_normalize')  # normalize\n",
        },
    )
    assert port("b.py") == 1
    (found,) = json.loads(capsys.readouterr().out)["findings"]
    assert (found["code"], found["line"]) == ("PN201", 2)
    assert found["message"] == "a string names torch.nn.functional.normalize"


def test_stubs_are_read(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(folder, {"a.pyi": NORMALIZE + "f = normalize\n"})
    assert port("--write", ".") == 0
    assert "f = portnorm.mindspore.normalize" in (folder / "a.pyi").read_text()


def test_files_are_looked_into_without_end(folder: Path) -> None:
    chain = {f"m{n}.py": f"from m{n + 1} import normalize\n" for n in range(40)}
    make(folder, chain)
    elsewhere = Project().elsewhere(str(folder / "m0.py"))
    module = Module("from m1 import normalize\ny = normalize(x)\n", elsewhere)
    assert (module.uses, len(module.others)) == ([], 1)
