"""What it costs to be watched, against the same run unwatched; the goal is 1.1.

pytest benchmarks/test_watch.py
"""

from __future__ import annotations

import math
import resource
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import portnorm
from portnorm.bench import Pair
from portnorm.compare import watch

torch = pytest.importorskip("torch")

EXAMPLES = Path(__file__).parents[1] / "examples"
TRAINING = [str(EXAMPLES / "training.py"), "arcface", "--host", "torch"]
ROUNDS = 7


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The model of the example, and its training loop."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import arcface
    import on_torch

    yield arcface, on_torch
    del sys.modules["arcface"], sys.modules["on_torch"]


def test_the_example_as_a_command(benchmark: Any) -> None:
    """Time of the processor, of all threads, which other programs disturb less."""

    def seconds(*command: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *command], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    watched = ["-m", "portnorm", "watch", "--host", "torch", *TRAINING]
    seconds(*watched)
    pairs = [(seconds(*watched), seconds(*TRAINING)) for _ in range(ROUNDS)]
    ours, theirs = (statistics.median(taken) for taken in zip(*pairs, strict=True))
    benchmark.extra_info.update(
        work="watch arcface, the whole command", bar=1.1, portnorm=ours, framework=theirs
    )
    benchmark.pedantic(lambda: None)


@pytest.mark.parametrize("parity", ["semantic", "strict"])
def test_fifty_steps_of_the_example(against: Any, example: Any, parity: Any) -> None:
    """Steps of about a millisecond, which hold some 45 calls of torch."""
    model, host = example
    groups = model.arrays(np.random.default_rng(0))
    weights, data = ([np.asarray(a, np.float32) for a in group] for group in groups)

    def train() -> None:
        with portnorm.set_options(parity=parity):
            host.train(model.loss, weights, data, 50, 0.01)

    def watched() -> None:
        with watch(["torch"]):
            train()

    against(f"watch arcface, 50 steps, {parity}", 1.1, Pair(watched, train))


def test_steps_of_a_head_of_common_size(against: Any, example: Any) -> None:
    """The same loss for 256 images, 512 features and 10,000 classes."""
    model, host = example
    rng = np.random.default_rng(0)
    weights = [rng.normal(0, 0.1, shape).astype("f4") for shape in ((512, 512), (512, 10000))]
    images = rng.standard_normal((256, 512)).astype("f4")
    labels = np.eye(10000, dtype="f4")[rng.integers(10000, size=256)]

    def train() -> None:
        host.train(model.loss, weights, (images, labels), 2, 0.01)

    def watched() -> None:
        with watch(["torch"]):
            train()

    pair = Pair(watched, train)
    against("watch arcface, (256, 512) and (512, 10000)", 1.1, pair, limit=math.inf)
