"""Fixtures and settings shared by all tests."""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import os
from collections import Counter
from collections.abc import Iterator

import hypothesis
import numpy as np
import pytest

import portnorm
from portnorm import terminal
from tests.sampling import SEED_OF_SAMPLES, drawn_seed, sampled, seed_of_test

if "PYTEST_XDIST_WORKER" in os.environ:
    # The OpenMP threads of one worker must not spin on the cores of another.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# What a test reads from stderr must not depend on which kernels are kept, or on how busy the
# machine is. Tests of the notice, and of progress, switch them on.
os.environ.setdefault("PORTNORM_COMPILE_NOTICE", "off")
terminal._BETWEEN_LINES = 1e6

hypothesis.settings.register_profile("portnorm", deadline=None, print_blob=True)
hypothesis.settings.load_profile("portnorm")

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="torch is not installed"
)
needs_mindspore = pytest.mark.skipif(
    importlib.util.find_spec("mindspore") is None, reason="MindSpore is not installed"
)


_LONG = 60
"""Seconds of tests from which on it is worth to show where they go."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run long tests, and matrices, whole")


def pytest_configure(config: pytest.Config) -> None:
    """Draw the seed before the workers of xdist start, which are to choose the same tests."""
    os.environ.setdefault(SEED_OF_SAMPLES, str(drawn_seed()))


def pytest_report_header(config: pytest.Config) -> str:
    if config.getoption("--full"):
        return "matrices: whole"
    seed = os.environ[SEED_OF_SAMPLES]
    return f"matrices: samples, {SEED_OF_SAMPLES}={seed}"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is not in the samples, unless tests are named one by one."""
    if config.getoption("--full") or any("[" in argument for argument in config.args):
        return
    kept = sampled(items, os.environ[SEED_OF_SAMPLES])
    left_out = set(items).difference(kept)
    if left_out:
        config.hook.pytest_deselected(items=[item for item in items if item in left_out])
        items[:] = kept


def pytest_collection_finish() -> None:
    """Keep half a million objects of tests and frameworks out of MindSpore's garbage collections.

    It makes one for each graph, and each would take a second.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture
def share(request: pytest.FixtureRequest) -> float:
    """Of the calls of a long test those that this run makes; all with `--full`."""
    return 1.0 if request.config.getoption("--full") else 0.2


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with a fresh seed in every run; PORTNORM_TEST_SEED repeats one."""
    return np.random.default_rng(seed_of_test())


@pytest.fixture(autouse=True)
def _subnormal_numbers() -> Iterator[None]:
    """Let no test leave a thread that takes subnormal numbers for zero to the next one.

    An operator of MindSpore, LpNorm, does so now and then. That portnorm leaves the environment as
    it was has tests of its own.
    """
    yield
    if not (np.full(1, 2.0**-149, np.float32) * np.float32(1)).any():
        default = ctypes.c_void_p(-1)  # FE_DFL_ENV
        ctypes.CDLL(None).fesetenv(default)


@pytest.fixture(autouse=True)
def _same_options_after() -> Iterator[None]:
    """Fail a test that leaves changed options behind."""
    before = portnorm.get_options()
    yield
    assert portnorm.get_options() == before


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show which files take longest: that is where to save time."""
    seconds: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[report.nodeid.partition("::")[0]] += report.duration
    if sum(seconds.values()) > _LONG:
        terminalreporter.section(f"slowest files of {sum(seconds.values()):.0f} s in all")
        for file, duration in seconds.most_common(10):
            terminalreporter.line(f"{duration:6.0f} s {file}")
