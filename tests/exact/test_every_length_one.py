"""Every vector of one element of the half types, against the live torch."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from portnorm.exact import torch_cpu
from portnorm.reference import TorchReference
from tests.exact import exhaustive
from tests.exact.live_torch import forward, gradient
from tests.exact.random_cases import EXACT_ORDERS, STORAGE, Case, Layout
from tests.exact.same_encoding import Array, check_bits, mismatch

EVERY = np.arange(1 << 16).astype(np.uint16)
DTYPES = pytest.mark.parametrize("dtype", ["float16", "bfloat16"])


def every_vector(dtype: str, rng: np.random.Generator, p: float, eps: float) -> Case:
    """Return all vectors as the rows of a matrix; each cotangent is any number, too."""
    column = Layout((1 << 16, 1), (1, 1))
    x, g = EVERY.view(STORAGE[dtype]), rng.permutation(EVERY).view(STORAGE[dtype])
    return Case(dtype, column, column, x.copy(), g, p, 1, eps)


@DTYPES
@pytest.mark.parametrize("p", EXACT_ORDERS)
@pytest.mark.parametrize("eps", [1e-12, 1.0])
def test_every_vector_and_its_gradient(
    torch: Any, rng: np.random.Generator, dtype: str, p: float, eps: float
) -> None:
    case, reference = every_vector(dtype, rng, p, eps), TorchReference.current()
    check_bits(torch_cpu.normalize(case.x, *case.arguments, reference), forward(torch, case))
    found = torch_cpu.normalize_vjp(case.x, case.g, *case.arguments, reference)
    check_bits(found, gradient(torch, case))


@DTYPES
def test_a_vector_is_what_a_row_of_all_of_them_is(dtype: str, rng: np.random.Generator) -> None:
    rows = every_vector(dtype, rng, 2.0, 1e-12).x
    expected = torch_cpu.normalize(rows)
    for index in rng.integers(1 << 16, size=500):
        check_bits(torch_cpu.normalize(rows[index], dim=0), expected[index])


def test_another_rule_is_found(torch: Any, rng: np.random.Generator) -> None:
    case = every_vector("bfloat16", rng, 2.0, 1e-12)
    squared = torch_cpu.normalize(case.x, *case.arguments, TorchReference("2.3.1"))
    assert mismatch(squared, forward(torch, case))


def test_every_vector_is_there(rng: np.random.Generator) -> None:
    rows: Array = every_vector("float16", rng, 2.0, 1e-12).x
    assert rows.shape == (1 << 16, 1)
    assert len(np.unique(rows.view(np.uint16))) == 1 << 16


@pytest.mark.parametrize("part", ["float32-torch", "float16-torch"])
@pytest.mark.parametrize("fault", [False, True], ids=["right", "planted fault"])
def test_the_long_comparison_tells_right_from_wrong(
    monkeypatch: pytest.MonkeyPatch, torch: Any, part: str, fault: bool
) -> None:
    monkeypatch.setattr(exhaustive, "BLOCK", 1 << 12)
    if fault:
        monkeypatch.setattr(exhaustive.torch_cpu, "normalize", lambda x, p, *rest: x)
    out, block, before = io.StringIO(), 0x4000_3C00 >> 12, torch.get_num_threads()
    assert exhaustive.compare(part, block, block + 1, out) is not fault
    torch.set_num_threads(before)
    assert ("0 mismatches" in out.getvalue()) is not fault
    assert ("block 262147, forward p=2: " in out.getvalue()) is fault
