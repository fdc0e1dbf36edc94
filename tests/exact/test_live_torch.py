"""The live torch, on random layouts, values and arguments; fresh ones in every run."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from portnorm.errors import StrictParityError
from portnorm.exact import torch_cpu
from portnorm.reference import TorchReference
from tests.exact.live_torch import forward_differs, gradient_differs, to_array, to_tensor
from tests.exact.random_cases import STORAGE, Case, Layout, random_case, random_values

DTYPES = pytest.mark.parametrize("dtype", STORAGE)
SMALL, LARGE = 500, 25
"""Cases per dtype and number of threads: of few elements, and of more than threads share out."""


def mismatches(
    torch: Any, rng: np.random.Generator, dtype: str, reference: TorchReference
) -> list[str]:
    found = []
    for number in range(SMALL + LARGE):
        case = random_case(rng, dtype, elements=2000 if number < SMALL else 150_000)
        for kind, differs in (("forward", forward_differs), ("gradient", gradient_differs)):
            if what := differs(torch, case, reference):
                found.append(f"case {number} {kind}: {case}: {what}")
    return found


@DTYPES
@pytest.mark.usefixtures("threads")
def test_random_cases(torch: Any, rng: np.random.Generator, dtype: str) -> None:
    assert mismatches(torch, rng, dtype, TorchReference.current()) == []


PLANTED = {
    "another rule for the tail": (TorchReference("2.6.0"), "float32"),
    "lanes that fuse": (TorchReference("2.7.1"), "float64"),
    "half as many lanes": (TorchReference("2.10.0", "neon"), "float32"),
    "another slow sum": (TorchReference("2.9.1", "sve256"), "float64"),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_found(torch: Any, rng: np.random.Generator, fault: str) -> None:
    reference, dtype = PLANTED[fault]
    live = TorchReference.current()
    rules = (live.capability, live.rules.lanes_fused, live.rules.tail[dtype])
    if rules == (reference.capability, reference.rules.lanes_fused, reference.rules.tail[dtype]):
        pytest.skip("in this torch it is no fault")
    reference = replace(reference, threads=torch.get_num_threads())
    found = mismatches(torch, rng, dtype, reference)
    assert any("elements of" in text for text in found)


def test_another_rule_at_the_floor_is_found_in_gradients(torch: Any) -> None:
    x, g = np.array([3.0, 4.0], np.float32), np.array([1.0, 2.0], np.float32)
    row = Layout((2,), (1,))
    case = Case("float32", row, row, x, g, 2.0, 0, 5.0)
    reference = TorchReference.current()
    for other, differs in ((reference, False), (replace(reference, version="2.14.1"), True)):
        assert forward_differs(torch, case, other) == ""
        assert bool(gradient_differs(torch, case, other)) is differs


@pytest.mark.usefixtures("threads")
def test_another_number_of_threads_is_found(torch: Any, rng: np.random.Generator) -> None:
    reference = TorchReference.current()
    other = replace(reference, threads=reference.threads + 1)
    row = Layout((100_000,), (1,))
    found = []
    for _ in range(10):
        x = rng.uniform(-1, 1, 100_000).astype(np.float32)
        case = Case("float32", row, row, x, x, 1.0, 0, 1e-12)
        assert forward_differs(torch, case, reference) == ""
        found.append(forward_differs(torch, case, other))
    assert any(found)


# --- other orders ---------------------------------------------------------------------------------


OTHER_ORDERS = (3.0, 0.5, 2.2, -1.0, -2.0, 1e-3, 7.0, 4.0, 2 + 1e-9, 1e4, math.nan)


@DTYPES
@pytest.mark.parametrize("p", OTHER_ORDERS)
def test_the_forward_at_another_order(
    torch: Any, rng: np.random.Generator, dtype: str, p: float
) -> None:
    reference = TorchReference.current()
    for number in range(60):
        case = random_case(rng, dtype, orders=(p,), elements=2000 if number else 100_000)
        assert forward_differs(torch, case, reference) == "", case


@pytest.mark.parametrize("p", OTHER_ORDERS)
def test_the_gradient_at_another_order_is_refused(p: float) -> None:
    with pytest.raises(StrictParityError, match="p = 0, 1, 2, inf and -inf"):
        torch_cpu.normalize_vjp(np.ones((2, 2)), np.ones((2, 2)), p)


# --- the cases are what they are meant to be ------------------------------------------------------


def test_random_cases_have_every_kind_of_layout(rng: np.random.Generator) -> None:
    layouts = [random_case(rng, "float32").layout for _ in range(2000)]
    assert {len(layout.shape) for layout in layouts} == set(range(6))
    assert any(0 in layout.shape for layout in layouts)
    expanded = [
        any(s == 0 and n > 1 for n, s in zip(layout.shape, layout.strides, strict=True))
        for layout in layouts
    ]
    permuted = [list(layout.strides) != sorted(layout.strides)[::-1] for layout in layouts]
    gaps = [layout.buffer_size > layout.offset + math.prod(layout.shape) for layout in layouts]
    assert min(sum(expanded), sum(permuted), sum(gaps)) > 50


@DTYPES
def test_a_tensor_has_the_elements_of_the_array(
    torch: Any, rng: np.random.Generator, dtype: str
) -> None:
    layout = Layout((3, 4), (2, 7), 5)
    buffer = random_values(rng, layout.buffer_size, dtype)
    tensor = to_tensor(torch, buffer, layout)
    assert str(tensor.dtype) == f"torch.{dtype}"
    array = to_array(torch, tensor)
    assert array.tobytes() == layout.view(buffer).tobytes()
    assert array.strides == layout.view(buffer).strides
