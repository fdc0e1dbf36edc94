"""The wheel, alone in an empty environment, and what it asks for on each release of Python."""

from __future__ import annotations

import re
import subprocess
import sys
import venv
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree, which hatchling builds without a network."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (found,) = folder.glob("portnorm-*.whl")
    return found


def test_the_wheel_alone_can_be_imported_in_an_empty_environment(
    wheel: Path, tmp_path: Path
) -> None:
    venv.create(tmp_path / "empty", with_pip=False)
    python = tmp_path / "empty" / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps"]
    subprocess.run([*install, "--no-index", "-q", str(wheel)], check=True, capture_output=True)
    code = (
        "import portnorm, sys; print(portnorm.__version__, portnorm.TorchReference().rules.lanes)"
    )
    shown = subprocess.run(
        [python, "-I", "-W", "error", "-c", code], check=True, capture_output=True, text=True
    )
    version = wheel.name.split("-")[1]
    assert shown.stdout == f"{version} 8\n"
    explained = subprocess.run(
        [tmp_path / "empty" / "bin" / "portnorm", "explain", "PN101"],
        capture_output=True,
        text=True,
    )
    assert (explained.returncode, explained.stderr) == (0, "")
    assert explained.stdout.startswith("# PN101")


def test_the_wheel_has_the_package_and_the_guide_and_no_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = message_from_bytes(
            next(archive.read(name) for name in names if name.endswith("/METADATA"))
        )
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"portnorm"}
    assert "portnorm/py.typed" in names
    assert "portnorm/migration_guide/start.md" in names
    for minor in range(10, 14):
        assert f"Programming Language :: Python :: 3.{minor}" in metadata.get_all("Classifier", [])


def wanted(lines: list[str], python: str, extra: str = "") -> set[str]:
    environment = {"python_version": python, "python_full_version": f"{python}.0", "extra": extra}
    found = map(Requirement, lines)
    return {
        f"{one.name}{one.specifier}"
        for one in found
        if one.marker is None or one.marker.evaluate(environment)
    }


@pytest.mark.parametrize(("python", "numpy"), [("3.12", {"numpy<2"}), ("3.13", set())])
def test_python_3_13_asks_for_mindspore_and_so_fails_at_once_and_for_no_old_numpy(
    python: str, numpy: set[str]
) -> None:
    if sys.version_info < (3, 11):
        import tomli as tomllib
    else:
        import tomllib
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = wanted(project["optional-dependencies"]["mindspore"], python)
    assert extra == {"mindspore>=2.7", *numpy}
    constraints = [
        line
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    # Where a pin cannot be met, pip 24 names the pin, and not that there is no such MindSpore.
    pinned = {re.split("[<=>]", one)[0] for one in wanted(constraints, python)}
    assert pinned & {"numpy", "mindspore"} == ({"numpy", "mindspore"} if numpy else set())
