"""On torch tensors torch's own function comes back, bit for bit, with its errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("torch", reason="tests the torch host")

import torch
import torch.nn.functional as F

import portnorm.torch as adapted
from tests.hosts.torch_host import LAYOUTS, error_of, in_layout, normal, same_bits, without_advice

ORDERS = (2.0, 2, 0, 0.5, 1, 3, math.inf, -math.inf, -1, 2.2, None, "fro")
TYPES = ("float16", "bfloat16", "float32", "float64", "complex64", "complex128")
LEVELS = (None, "native", "semantic")
FORMS: dict[str, Callable[..., Any]] = {
    "function": adapted.normalize,
    "layer": lambda x, *args, parity=None: adapted.Normalize(*args, parity=parity)(x),
}
each_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


def random_call(rng: Any, dtype: str) -> tuple[torch.Tensor, Any, float]:
    shape = tuple(int(n) for n in rng.choice([1, 2, 3, 9], rng.integers(0, 6)))
    values = rng.normal(size=shape) * 10.0 ** rng.uniform(-4, 4) * (rng.random(shape) < 0.9)
    if dtype.startswith("complex"):
        values = values + 1j * rng.normal(size=shape)
    layout = str(rng.choice(LAYOUTS)) if shape else "contiguous"
    some = [int(d) for d in rng.permutation(len(shape))[: rng.integers(1, 3)]]
    one = some[0] if some else 0
    dim = [one, one - max(len(shape), 1), tuple(some), some, None, ()][rng.integers(6)]
    eps = float(rng.choice([1e-12, 0.0, 1e-3, 10.0, -1.0]))
    return in_layout(values, layout, dtype), dim, eps


def result_and_gradient(function: Callable[..., Any], x: Any, *args: Any, **kwargs: Any) -> Any:
    x = x.detach().requires_grad_()
    y = function(x, *args, **kwargs)
    (gradient,) = torch.autograd.grad(y, x, torch.ones_like(y))
    return y, gradient


@each_form
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("p", ORDERS)
@pytest.mark.filterwarnings("ignore:Casting complex values to real:UserWarning")
def test_results_and_gradients_are_torchs_own(rng: Any, dtype: str, p: Any, form: Any) -> None:
    for _ in range(10):
        x, *args = random_call(rng, dtype)
        level = LEVELS[rng.integers(3)]
        expected = result_and_gradient(F.normalize, x, p, *args)
        got = result_and_gradient(form, x, p, *args, parity=level)
        assert all(map(same_bits, got, expected)), (x, args, level)


def test_the_comparison_sees_one_bit_and_another_layout() -> None:
    x = torch.tensor([[0.0, 1.0], [2.0, math.nan]])
    assert same_bits(x, x.clone())
    assert not same_bits(x, x.double())
    assert not same_bits(x, x.T.contiguous().T)
    assert not same_bits(x, torch.tensor([[-0.0, 1.0], [2.0, math.nan]]))
    assert not same_bits(torch.ones(()), torch.nextafter(torch.ones(()), torch.zeros(())))


def test_out_is_filled_and_returned(rng: Any) -> None:
    x = normal(rng, 3, 4)
    for out in (torch.empty(3, 4), torch.empty(3, 4, dtype=torch.float64), torch.empty(0)):
        expected = F.normalize(x, 2, 1, 1e-12, out.clone())
        assert adapted.normalize(x, 2, 1, 1e-12, out) is out
        assert same_bits(out, expected)
    assert adapted.normalize(x, out=x) is x


@pytest.mark.parametrize(
    ("x", "arguments"),
    [
        (torch.ones(3), {}),
        (torch.ones(()), {}),
        (torch.ones(2, 3), {"dim": 2}),
        (torch.ones(2, 3), {"dim": (0, 0)}),
        (torch.ones(2, 3), {"dim": 1.0}),
        (torch.ones(2, 3), {"dim": "1"}),
        (torch.ones(2, 3), {"p": 1j}),
        (torch.ones(2, 3), {"p": "2"}),
        (torch.ones(2, 3), {"eps": "1"}),
        (torch.ones(2, 3).half(), {"eps": 1e5}),
        (torch.ones(2, 3).long(), {}),
        (torch.ones(2, 3).bool(), {}),
        (torch.ones(2, 0), {"p": math.inf}),
        (torch.ones(2, 3), {"out": torch.ones(2, 3).long()}),
        (torch.ones(2, 3), {"out": 1}),
        (torch.ones(2, 3, requires_grad=True), {"out": torch.ones(2, 3)}),
        ([1.0], {}),
        (None, {}),
        (torch.ones(2, 3), {"axis": 1}),
    ],
)
def test_errors_are_torchs_own(x: Any, arguments: dict[str, Any]) -> None:
    expected = error_of(lambda: F.normalize(x, **arguments))
    assert expected is not None
    found = error_of(lambda: adapted.normalize(x, **arguments))
    kind, text = without_advice(found) or (None, "")
    assert (kind, text.removeprefix("portnorm.torch.")) == expected
