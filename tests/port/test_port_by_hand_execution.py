"""Normalization that is written by hand, and the call that comes instead, both run."""

from __future__ import annotations

import ast
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from portnorm.port import port_source
from portnorm.source.by_hand import ByHand, by_hand
from portnorm.source.names import Module
from portnorm.source.values import Values
from portnorm.vectors import normalized
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
    "below the smallest epsilon": RANDOM * np.float32(3e-13),
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
    np.testing.assert_array_equal(np.isfinite(new[1]), np.isfinite(old[1]))
    np.testing.assert_array_equal(np.isnan(new[1]), np.isnan(old[1]))
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


ALL = [(TORCH_HEAD, body) for body in TORCH] + [(MINDSPORE_HEAD, body) for body in MINDSPORE]
IDS = [body for _, body in ALL]


def recognized(head: str, body: str) -> tuple[Module, ByHand]:
    module = Module(f"{head}def f(x):\n{textwrap.indent(body, '    ')}\n")
    (found,) = by_hand(Values(module))
    return module, found


@pytest.mark.parametrize(("head", "body"), ALL, ids=IDS)
def test_what_is_written_has_the_numbers_of_its_form(head: str, body: str, tmp_path: Path) -> None:
    module, found = recognized(head, body)
    dim = None if found.dim is None else ast.literal_eval(found.dim)
    e = 1e-6 if found.number is None else found.number  # EPS
    if head is TORCH_HEAD:
        from torch import tensor
    else:
        from mindspore import tensor
    f = function(module.text, tmp_path)
    for x in DATA.values():
        y = f(tensor(x)).numpy() if head is TORCH_HEAD else f(tensor(x)).asnumpy()
        kept = np.isfinite(x).all()  # NaN takes the floor in some operators
        np.testing.assert_allclose(y[kept], normalized(x, found.form, dim, e)[kept], rtol=1e-6)


EXACT_BUT_FOR_ITS_PLACE = ("it changes", "what is divided", "it is the same", "L2Normalize takes")


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (head, body)
        for head, body in ALL
        if (why := recognized(head, body)[1].caveat) and not why.startswith(EXACT_BUT_FOR_ITS_PLACE)
    ],
)
def test_what_is_reported_to_differ_does(head: str, body: str, tmp_path: Path) -> None:
    module, found = recognized(head, body)
    here = "torch" if head is TORCH_HEAD else "mindspore"
    hidden = not hasattr(found.eps, "lineno")
    called = replace(found, caveat="", eps=None if hidden else found.eps).counterpart(module)
    assert called is not None
    given = called[1].replace("eps=0.0", f"eps={found.number}")
    call = f"import portnorm.{here}\ndef f(x):\n    return portnorm.{here}.{called[0]}({given})\n"
    f, other = function(module.text, tmp_path), function(head + call, tmp_path)
    pairs = [(x, RUN[here](other, x), RUN[here](f, x)) for x in DATA.values()]
    with pytest.raises(AssertionError):
        assert_all_same(pairs)


def assert_all_same(pairs: list[Any]) -> None:
    for pair in pairs:
        assert_same(*pair)
