"""Runs the tests of the MindSpore host on each release of MindSpore that portnorm supports.

`nox` runs them all, one after the other; `nox -s "mindspore(2.8.0)"` runs one.
"""

from __future__ import annotations

from pathlib import Path

import nox

VERSIONS = ["2.7.1", "2.8.0", "2.9.0", "2.10.0"]


@nox.session
@nox.parametrize("version", VERSIONS, ids=VERSIONS)
def mindspore(session: nox.Session, version: str) -> None:
    """In an environment of its own, which holds no torch."""
    session.install(f"mindspore=={version}", "numpy<2", ".[tools]")
    session.install("hypothesis", "mpmath", "pytest", "setuptools")
    tests = sorted(map(str, Path("tests/hosts").glob("test_mindspore_*.py")))
    session.run("pytest", "-q", *tests, *session.posargs)
