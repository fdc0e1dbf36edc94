"""Fixtures and settings shared by all tests."""

from __future__ import annotations

import gc
import importlib.util
import os
import random
from collections.abc import Iterator

import hypothesis
import numpy as np
import pytest

import portnorm
from portnorm import terminal

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


def pytest_collection_finish() -> None:
    """Keep half a million objects of tests and frameworks out of MindSpore's garbage collections.

    It makes one for each graph, and each would take a second.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with a fresh seed in every run; PORTNORM_TEST_SEED repeats one."""
    seed = int(os.environ.get("PORTNORM_TEST_SEED") or random.SystemRandom().getrandbits(32))
    print(f"PORTNORM_TEST_SEED={seed}")
    return np.random.default_rng(seed)


@pytest.fixture(autouse=True)
def _same_options_after() -> Iterator[None]:
    """Fail a test that leaves changed options behind."""
    before = portnorm.get_options()
    yield
    assert portnorm.get_options() == before
