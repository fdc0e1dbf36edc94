"""Run code in a new interpreter, in which chosen modules are as if not installed."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run_python(
    code: str, *, blocked: Collection[str] = (), environment: Mapping[str, str] | None = None
) -> str:
    """Run code and return what it prints; what it writes to stderr is the text of a failure.

    Raises:
        AssertionError: the interpreter ends with an error.
    """
    result = start_python(code, blocked=blocked, environment=environment)
    assert result.returncode == 0, result.stderr
    return result.stdout


def start_python(
    code: str,
    *arguments: str,
    blocked: Collection[str] = (),
    environment: Mapping[str, str] | None = None,
    folder: Path = ROOT,
) -> subprocess.CompletedProcess[str]:
    """Run code to its end, whatever that is.

    Args:
        code: Python source.
        arguments: what it finds in ``sys.argv[1:]``.
        blocked: top-level names of modules that cannot be found.
        environment: variables to add. The PORTNORM_ variables of the tests do not reach the code,
            and nothing is said of kernels that are compiled.
        folder: where it runs.
    """
    if blocked:
        code = f"{inspect.getsource(hide)}\n\nhide({set(blocked)!r})\n{code}"
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("PORTNORM_")}
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={
            **inherited,
            "PYTHONPATH": path,
            "PORTNORM_COMPILE_NOTICE": "off",
            **(environment or {}),
        },
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def hide(names):
    """Make every finder of this interpreter miss the names, so that they look not installed."""
    import sys

    class Finder:
        def __init__(self, finder):
            self.finder = finder

        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in names:
                return None
            return self.finder.find_spec(name, path, target)

        def __getattr__(self, name):
            return getattr(self.finder, name)

    sys.meta_path[:] = [Finder(finder) for finder in sys.meta_path]
