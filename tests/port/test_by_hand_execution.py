"""Normalization that is written by hand, and the call that comes instead, both run."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from portnorm.port import port_source
from tests.conftest import needs_mindspore, needs_torch
from tests.port.test_port_execution import function
from tests.source.hand_written import MINDSPORE, MINDSPORE_HEAD, TORCH, TORCH_HEAD

pytestmark = [needs_torch, needs_mindspore]

RANDOM = np.random.default_rng(7).standard_normal((4, 5)).astype("float32")
WITH_ZERO, WITH_NAN = RANDOM.copy(), RANDOM.copy()
WITH_ZERO[1] = WITH_ZERO[:, 2] = 0
WITH_NAN[1, 2] = np.nan
DATA = {
    "random": RANDOM,
    "tiny": RANDOM * np.float32(1e-10),
    "huge": RANDOM * np.float32(1e11),
    "of very different lengths": RANDOM * np.logspace(-9, 9, 4, dtype="float32")[:, None],
    "with zeros": WITH_ZERO,
    "all zero": np.zeros_like(RANDOM),
    "with NaN": WITH_NAN,
}
COTANGENT = np.random.default_rng(8).standard_normal((4, 5)).astype("float32")
COTANGENT[1, 1] = 0


def on_torch(f: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    import torch

    leaf = torch.tensor(x, requires_grad=True)
    y = f(leaf)
    y.backward(torch.tensor(COTANGENT))
    return y.detach().numpy(), leaf.grad.numpy()


def on_mindspore(f: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    import mindspore

    leaf, cotangent = mindspore.Tensor(x), mindspore.Tensor(COTANGENT)
    gradient = mindspore.grad(lambda t: (f(t) * cotangent).sum())(leaf)
    return f(leaf).asnumpy(), gradient.asnumpy()


RUN = {"torch": on_torch, "mindspore": on_mindspore}


def assert_same(x: np.ndarray, new: tuple[np.ndarray, ...], old: tuple[np.ndarray, ...]) -> None:
    """Values are within 8 ULP of float32; gradients within 1e-5 of what x / constant has."""
    np.testing.assert_allclose(new[0], old[0], rtol=1e-6)
    with np.errstate(all="ignore"):
        by_norm = np.abs(np.nan_to_num(old[0] / x)) * np.abs(COTANGENT).max()
        scale = np.maximum(by_norm, np.abs(old[1]))
        np.testing.assert_allclose(new[1] / scale, old[1] / scale, rtol=0, atol=1e-5)


def rewritten(head: str, body: str) -> tuple[str, str]:
    text = f"{head}def f(x):\n{textwrap.indent(body, '    ')}\n"
    to = "mindspore" if head is TORCH_HEAD else "torch"
    ported = port_source(text, to=to, hand_written=True)
    assert ported.rewritten == 1
    assert ported.reported == ()
    return text, ported.text


def cases() -> list[tuple[str, str]]:
    both = ((TORCH_HEAD, TORCH), (MINDSPORE_HEAD, MINDSPORE))
    return [(head, body) for head, forms in both for body, (_, call) in forms.items() if call]


@pytest.mark.parametrize(("head", "body"), cases(), ids=[body for _, body in cases()])
def test_the_call_gives_the_same_on_both_frameworks(head: str, body: str, tmp_path: Path) -> None:
    here, there = ("torch", "mindspore") if head is TORCH_HEAD else ("mindspore", "torch")
    old, new = rewritten(head, body)
    f, moved = function(old, tmp_path), function(new, tmp_path)
    stayed = function(new.replace(f"portnorm.{there}", f"portnorm.{here}"), tmp_path)
    for x in DATA.values():
        expected = RUN[here](f, x)
        assert_same(x, RUN[there](moved, x), expected)
        assert_same(x, RUN[here](stayed, x), expected)
