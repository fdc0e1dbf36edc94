"""The kernels for CUDA tensors, run on a CPU by Triton's interpreter, give what the formula gives.

On a GPU `tests/gpu` runs them as they are.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="tests the torch host")

import torch

from portnorm.torch import _arrays, _pinned
from tests.sampling import seed_of_test

SCRIPT = Path(__file__).with_name("fused_kernels.py")


@pytest.fixture(scope="session")
def failures() -> dict[str, str | None]:
    """What each check raised; Triton chooses its interpreter when it is imported."""
    pytest.importorskip("triton", reason="runs kernels in Triton's interpreter")
    path = os.pathsep.join([str(SCRIPT.parents[2]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", SCRIPT, str(seed_of_test())],
        env=os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, str | None] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    "check",
    [
        "accuracy",
        "accuracy_of_float64",
        "faults_are_found",
        "special",
        "bit_patterns",
        "launches",
        "one_part",
        "autograd",
        "gradient_of_the_gradient",
        "batched_cotangents",
    ],
)
def test_the_kernels_pass_the_check(failures: dict[str, str | None], check: str) -> None:
    assert failures.pop(check) is None


def test_no_check_is_left_out(failures: dict[str, str | None]) -> None:
    assert not failures


def test_a_cpu_tensor_loads_no_triton() -> None:
    code = (
        "import sys, torch, portnorm.torch as t\n"
        "t.l2_normalize(torch.ones(3)); t.l2_normalize(torch.ones(3).half())\n"
        "assert 'triton' not in sys.modules and 'portnorm.torch._fused' not in sys.modules"
    )
    path = os.pathsep.join([str(SCRIPT.parents[2]), os.environ.get("PYTHONPATH", "")])
    subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": path}, check=True)


# --- pinned memory, without a GPU -----------------------------------------------------------------


@pytest.fixture
def pinned(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the blocks that were asked for; the memory is plain."""
    blocks: list[int] = []

    def pin(size: int) -> torch.Tensor:
        blocks.append(size)
        return torch.empty(size, dtype=torch.uint8, device="cpu")

    monkeypatch.setattr(_pinned, "_pin", pin)
    monkeypatch.setattr(_pinned, "_in_use", type(_pinned._in_use)())
    monkeypatch.setattr(_pinned, "_kept", type(_pinned._kept)())
    return blocks


def test_a_dense_tensor_keeps_its_layout_and_values(pinned: list[int]) -> None:
    x = torch.randn(700, 800).t()
    got = _pinned.to_host(x)
    assert (got.stride(), pinned) == (x.stride(), [2**22])
    assert torch.equal(got, x)
    sliced = torch.randn(700, 1600)[:, ::2]
    assert torch.equal(_pinned.to_host(sliced), sliced)
    assert torch.equal(_pinned.to_host(x[:2]), x[:2])
    assert pinned == [2**22]


def test_results_lie_in_pinned_memory_where_they_are_to(pinned: list[int]) -> None:
    x = torch.randn(600, 1000)
    expected = torch.nn.functional.normalize(x)
    from portnorm.reference import TorchReference

    reference = TorchReference.current()
    got = _arrays.normalize(x, 2.0, 1, 1e-12, reference, pinned=True)
    assert pinned == [2**22]
    assert torch.equal(got, expected)
    _arrays.normalize(x, 2.0, 1, 1e-12, reference)
    assert pinned == [2**22]


def test_memory_is_counted_until_the_last_view_is_gone(
    pinned: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_pinned, "MOST_KEPT", 2**22)
    monkeypatch.setattr(_pinned, "_release", lambda: None)
    result = _pinned.empty_strided(torch.empty(2**20), (1,))
    view = result[5:]
    del result
    assert _pinned._pinned(2**21) is None  # beyond the bound
    assert _pinned.empty_strided(torch.empty(2**19), (1,)).shape == (2**19,)
    del view
    assert _pinned._in_use[2**22] == 0
    assert _pinned._pinned(2**22) is not None  # that block again
    assert pinned == [2**22, 2**22]


def test_where_nothing_can_be_pinned_pageable_memory_serves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def pin(size: int) -> torch.Tensor:
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr(_pinned, "_pin", pin)
    monkeypatch.setattr(_pinned, "_release", lambda: None)
    x = torch.randn(2000, 1000)
    assert torch.equal(_pinned.to_host(x), x)
