"""Swapping one import ports a model: it learns through the same losses on the other framework."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="trains a model of each framework")
pytest.importorskip("mindspore", reason="trains a model of each framework")

import mindspore
import torch
from mindspore import nn as ms_nn
from torch import nn as torch_nn

pytestmark = pytest.mark.usefixtures("synchronous")

STEPS = 8
TOLERANCE = {"rel": 1e-4, "abs": 1e-4}
"""For float32 losses of about 1; what is seen differs by 1e-6."""

Normalise = Callable[[Any], Any]


def on_torch(
    normalise: Normalise, weight: np.ndarray, x: np.ndarray, target: np.ndarray
) -> list[float]:
    """Return the losses of a layer that learns, through the function, to turn to the target."""
    layer = torch_nn.Linear(4, 3, bias=False)
    layer.weight.data = torch.from_numpy(weight.copy())
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = -(normalise(layer(torch.from_numpy(x))) * torch.from_numpy(target)).sum()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


class Loss(ms_nn.Cell):
    def __init__(self, normalise: Normalise, weight: np.ndarray) -> None:
        super().__init__()
        self.normalise = normalise
        self.layer = ms_nn.Dense(4, 3, has_bias=False, weight_init=mindspore.Tensor(weight))

    def construct(self, x: Any, target: Any) -> Any:
        return -(self.normalise(self.layer(x)) * target).sum()


def on_mindspore(
    normalise: Normalise, weight: np.ndarray, x: np.ndarray, target: np.ndarray
) -> list[float]:
    """Do the same as `on_torch`."""
    loss = Loss(normalise, weight)
    step = ms_nn.TrainOneStepCell(loss, ms_nn.SGD(loss.trainable_params(), learning_rate=0.1))
    data = mindspore.Tensor(x), mindspore.Tensor(target)
    return [float(step(*data).asnumpy()) for _ in range(STEPS)]


TORCHS = "import torch.nn.functional as F\n\ndef normalise(x):\n    return F.normalize(x)\n"
MINDSPORES = "from mindspore import ops\n\ndef normalise(x):\n    return ops.L2Normalize()(x)\n"

SWAPS = {
    "torch's code on MindSpore": (TORCHS, "import portnorm.mindspore as F", on_torch, on_mindspore),
    "torch's code on torch": (TORCHS, "import portnorm.torch as F", on_torch, on_torch),
    "MindSpore's code on torch": (
        MINDSPORES,
        "import portnorm.torch as ops",
        on_mindspore,
        on_torch,
    ),
    "MindSpore's code on MindSpore": (
        MINDSPORES,
        "import portnorm.mindspore as ops",
        on_mindspore,
        on_mindspore,
    ),
}


def function_in(code: str, folder: Path) -> Normalise:
    path = folder / "model.py"
    path.write_text(code)
    function: Normalise = runpy.run_path(str(path))["normalise"]
    return function


@pytest.fixture
def data(rng: np.random.Generator) -> list[np.ndarray]:
    """A weight, inputs and targets."""
    return [rng.normal(size=shape).astype(np.float32) for shape in [(3, 4), (6, 4), (6, 3)]]


@pytest.mark.parametrize(("code", "imported", "there", "here"), SWAPS.values(), ids=SWAPS)
def test_a_model_learns_the_same_after_one_import_is_swapped(
    tmp_path: Path, data: Any, code: str, imported: str, there: Any, here: Any
) -> None:
    _, rest = code.split("\n", 1)
    expected = there(function_in(code, tmp_path), *data)
    got = here(function_in(f"{imported}\n{rest}", tmp_path), *data)
    assert got == pytest.approx(expected, **TOLERANCE)
    assert got[-1] < got[0]


def test_the_other_frameworks_function_would_not_do(tmp_path: Path, data: Any) -> None:
    weight, x, target = data
    small = weight, x * np.float32(1e-4), target
    expected = on_torch(function_in(TORCHS, tmp_path), *small)
    got = on_mindspore(mindspore.ops.L2Normalize(axis=1), *small)
    assert got != pytest.approx(expected, **TOLERANCE)
