"""The sessions of CI, and the tests of the MindSpore host on each release that portnorm supports.

`nox -s tests lint docs` makes an environment for each; with `--no-venv` they run in the one that is
active, as `.ci/run` does. `nox -s "mindspore(2.8.0)"` tests one release of MindSpore.
"""

from __future__ import annotations

from pathlib import Path

import nox

WITH_NUMPY_2 = [
    "tests/exact/test_older_torch.py",
    "tests/hosts/test_torch_errors.py",
    "tests/hosts/test_torch_normalize.py",
]
VERSIONS = ["2.7.1", "2.8.0", "2.9.0", "2.10.0"]

nox.options.sessions = ["tests", "lint", "docs"]


@nox.session
def tests(session: nox.Session) -> None:
    """All tests, a file in one worker."""
    _install(session)
    session.run("pytest", "-n", "auto", "--dist", "loadfile", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, types, and who may import whom."""
    _install(session)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("lint-imports")


@nox.session
def docs(session: nox.Session) -> None:
    """The guide as a site; that its tables are fresh and its examples run is tested."""
    _install(session)
    site = session.create_tmp()
    session.run("sphinx-build", "-q", "-W", "-b", "html", "migration_guide", site)


@nox.session
def package(session: nox.Session) -> None:
    """Wheel and sdist, as a package index would take them."""
    _install(session)
    folder = session.create_tmp()
    session.run("python", "-m", "build", "--outdir", folder)
    files = sorted(map(str, Path(folder).glob("portnorm-*")))
    session.run("twine", "check", "--strict", *files)


@nox.session
def numpy2(session: nox.Session) -> None:
    """Tests of the torch half with NumPy 2, which MindSpore does not take."""
    _install(session)
    folder = session.create_tmp()
    session.run("python", "-m", "pip", "install", "-q", "--target", folder, "numpy>=2,<3")
    environment = {"PYTHONPATH": folder, "NUMBA_CACHE_DIR": f"{folder}/kernels"}
    session.run("pytest", "-q", *WITH_NUMPY_2, *session.posargs, env=environment)


@nox.session
@nox.parametrize("version", VERSIONS, ids=VERSIONS)
def mindspore(session: nox.Session, version: str) -> None:
    """The MindSpore host on one release, in an environment that holds no torch."""
    session.install(f"mindspore=={version}", "numpy<2", ".[tools]")
    session.install("hypothesis", "mpmath", "pytest", "setuptools")
    tests = sorted(map(str, Path("tests/hosts").glob("test_mindspore_*.py")))
    session.run("pytest", "-q", *tests, *session.posargs)


def _install(session: nox.Session) -> None:
    if session.virtualenv.is_sandboxed:
        session.install("-c", "constraints.txt", "-e", ".[dev]")
