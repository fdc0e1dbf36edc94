"""On torch tensors L2Normalize's formula holds, to the accuracy that parity="semantic" promises.

The promise is an error of at most 4 ULP, or twice that of `mindspore.ops.L2Normalize` on the same
input, whichever is larger. Where the sum of squares stays in range the tests hold the first half
alone, which needs no MindSpore.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("torch", reason="tests the torch host")

import numpy as np
import torch
import torch.nn.functional as F

import portnorm.torch as adapted
from tests.conftest import needs_mindspore
from tests.hosts import exact_formula
from tests.hosts.exact_formula import error_in_ulp
from tests.hosts.torch_host import (
    DTYPES,
    Case,
    in_layout,
    live_l2_normalize,
    random_case,
    same_bits,
)

PROMISED_ULP = 4

each_dtype = pytest.mark.parametrize("dtype", DTYPES)


def worst_error(got: Any, case: Case) -> float:
    errors = error_in_ulp(np.asarray(got.detach()), case.exact, case.dtype)
    return float(errors.max(initial=0))


def l2_normalize(case: Case, **level: Any) -> torch.Tensor:
    return adapted.l2_normalize(case.x, case.axis, case.epsilon, **level)


# --- accuracy -------------------------------------------------------------------------------------


@each_dtype
def test_the_error_is_at_most_4_ulp(rng: Any, dtype: str) -> None:
    for _ in range(200):
        case = random_case(rng, dtype)
        assert worst_error(l2_normalize(case), case) <= PROMISED_ULP, case


@needs_mindspore
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_where_the_dtype_cannot_hold_the_squares_the_error_is_at_most_twice_mindspores(
    rng: Any, dtype: str
) -> None:
    for _ in range(100):
        case = random_case(rng, dtype, wide=True)
        live = torch.from_numpy(live_l2_normalize(case.values, case.dim, case.epsilon))
        allowed = max(PROMISED_ULP, 2 * worst_error(live, case))
        assert worst_error(l2_normalize(case), case) <= allowed, case


@pytest.mark.parametrize("n", [1, 2, 3, 10, 1000])
def test_squares_near_the_largest_number_are_added(n: int) -> None:
    most = torch.finfo(torch.float64).max
    factors = torch.tensor([[k * n + more] for k in (1, 2, 4, 8) for more in (0.1, 0.5, 1, 2)])
    x = (most / factors.double()).sqrt().expand(-1, n)
    got = adapted.l2_normalize(x, 1)
    errors = error_in_ulp(got.numpy(), exact_formula.forward(x.numpy(), 2, 1, 0), "float64")
    assert errors.max() <= PROMISED_ULP


FAULTS: dict[str, tuple[Callable[..., Any], str]] = {
    "epsilon bounds the norm": (lambda x, d, e: F.normalize(x, 2, d, e), "float32"),
    "epsilon is not rounded to float32": (
        lambda x, d, e: F.normalize(x, 2, d, math.sqrt(max(e, 0))),
        "float64",
    ),
    "epsilon is added": (lambda x, d, e: x / ((x * x).sum(d, True) + e).sqrt(), "float32"),
    "float16 squares overflow": (
        lambda x, d, e: x / (x * x).sum(d, True).clamp_min(e).sqrt(),
        "float16",
    ),
    "another dim": (lambda x, d, e: adapted.l2_normalize(x, d - 1, e), "float32"),
}


@pytest.mark.parametrize(("fault", "dtype"), FAULTS.values(), ids=FAULTS)
def test_a_wrong_formula_exceeds_4_ulp(rng: Any, fault: Any, dtype: str) -> None:
    cases = (random_case(rng, dtype) for _ in range(200))
    assert any(worst_error(fault(c.x, c.dim, c.epsilon), c) > PROMISED_ULP for c in cases)


def error_on_equal_elements(function: Callable[..., Any], x: torch.Tensor, dtype: str) -> float:
    """Equal elements, whose roundings may all go one way, give 1 / sqrt(n) each."""
    exact = exact_formula.forward(np.ones((1, x.shape[1])), 2, 1, 0)[0, 0]
    return float(error_in_ulp(function(x)[:, 0].numpy(), exact, dtype).max())


@each_dtype
@pytest.mark.parametrize("layout", ["contiguous", "transposed"])
def test_long_sums_do_not_lose_accuracy(rng: Any, dtype: str, layout: str) -> None:
    for n in (2, 18, *rng.integers(270, 340, 5), 1000):
        values = np.repeat(rng.uniform(1, 2, (2000, 1)), n, 1)
        x = in_layout(values.T, layout, dtype).T
        assert error_on_equal_elements(lambda x: adapted.l2_normalize(x, 1), x, dtype) <= 4, n


def test_adding_from_left_to_right_loses_accuracy(rng: Any) -> None:
    x = torch.tensor(np.repeat(rng.uniform(1, 2, (9, 1)), 5000, 1), dtype=torch.float32)

    def left_to_right(x: torch.Tensor) -> torch.Tensor:
        squares = np.add.accumulate((x * x).numpy(), 1, dtype=np.float32)[:, -1:]
        return x / torch.from_numpy(np.sqrt(squares))

    assert error_on_equal_elements(left_to_right, x, "float32") > PROMISED_ULP


@each_dtype
@pytest.mark.parametrize("dim", [0, 1])
def test_vectors_of_100_000_elements(rng: Any, dtype: str, dim: int) -> None:
    shape = [2, 2]
    shape[dim] = 100_000
    x = torch.tensor(rng.normal(size=shape)).to(getattr(torch, dtype))
    got = adapted.l2_normalize(x, dim).movedim(dim, 1)[:, :20]
    norm = exact_formula.norm(x.numpy(), 2, dim).reshape(2, 1)
    exact = exact_formula.exact(x.movedim(dim, 1)[:, :20]) / norm
    assert error_in_ulp(got.numpy(), exact, dtype).max() <= PROMISED_ULP


@each_dtype
def test_values_are_the_same_where_a_gradient_is_recorded(rng: Any, dtype: str) -> None:
    """Also where float32 does not hold the squares, as in some of these cases."""
    for _ in range(200):
        case = random_case(rng, dtype)
        recorded = case.x.clone().requires_grad_()
        arguments = case.axis, case.epsilon
        value = adapted.l2_normalize(case.x, *arguments)
        assert same_bits(adapted.l2_normalize(recorded, *arguments).detach(), value), case


@each_dtype
@pytest.mark.parametrize("layout", ["contiguous", "transposed"])
def test_a_large_tensor_has_the_values_of_its_parts(rng: Any, dtype: str, layout: str) -> None:
    """A CPU takes it in blocks."""
    x = in_layout(rng.normal(size=(90, 70, 50)), layout, dtype)
    for dim, other in itertools.permutations(range(3), 2):
        parts = [adapted.l2_normalize(part, dim) for part in x.split(13, other)]
        torch.testing.assert_close(
            adapted.l2_normalize(x, dim), torch.cat(parts, other), rtol=2e-7, atol=0.0
        )


@each_dtype
def test_the_floor_is_the_root_of_epsilon(dtype: str) -> None:
    x = torch.tensor([[3.0, 4.0]]).to(getattr(torch, dtype))
    root = 2.0**-5
    for scale, divisor in [(2.0**-9, root), (2.0**-8, root), (root, 5 * root), (1.0, 5.0)]:
        got = adapted.l2_normalize(x * scale, 1, root * root)
        assert torch.equal(got, (x.double() * scale / divisor).to(x.dtype))


def test_the_documented_pair() -> None:
    expected = torch.tensor([0.2673, 0.5345, 0.8018])
    torch.testing.assert_close(
        adapted.L2Normalize()(torch.tensor([1.0, 2, 3])), expected, atol=1e-4, rtol=0
    )
    small = torch.tensor([1e-10, 2e-10, 3e-10])
    torch.testing.assert_close(adapted.L2Normalize()(small), 100 * small)


# --- special values -------------------------------------------------------------------------------

SPECIAL = [math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -2.0]
EPSILONS = [1e-4, 1.5, -1.0, math.inf, -math.inf, math.nan, 1e300]


def differs(got: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Where NaN, infinity or sign (of zeros, too) differ, or values by more than rounding."""
    both = ~np.isnan(got) & ~np.isnan(expected)
    with np.errstate(invalid="ignore"):
        far = ~np.isclose(got, expected, rtol=4 * np.finfo(got.dtype).eps, atol=0)
    return np.where(
        both, far | (np.signbit(got) != np.signbit(expected)), np.isnan(got) != np.isnan(expected)
    )


def special_vectors(size: int, dtype: str) -> np.ndarray:
    return np.array(list(itertools.product(SPECIAL, repeat=size)), dtype)


@needs_mindspore
@each_dtype
@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("epsilon", EPSILONS)
def test_special_values_are_treated_as_mindspore_does(
    dtype: str, size: int, epsilon: float
) -> None:
    x = special_vectors(size, dtype)
    if epsilon < 0:  # MindSpore gives NaN for every vector that follows a zero vector
        x = x[(x != 0).any(1)]
    got = adapted.l2_normalize(torch.from_numpy(x), 1, epsilon).numpy()
    wrong = differs(got, live_l2_normalize(x, 1, epsilon)).any(1)
    assert x[wrong].tolist() == []


@needs_mindspore
def test_torchs_rule_for_nan_would_be_seen() -> None:
    x = special_vectors(2, "float32")
    wrong = differs(F.normalize(torch.from_numpy(x), 2, 1, 1e-2).numpy(), live_l2_normalize(x, 1))
    assert wrong.any(1).tolist() == [
        bool(np.isnan(row).any() and not np.isnan(row).all()) for row in x
    ]


def test_a_nan_sum_selects_epsilon() -> None:
    x = torch.tensor([[math.nan, 1.0, -2.0], [0.0, 3.0, 4.0]])
    expected = torch.tensor([[math.nan, 2.0, -4.0], [0.0, 0.6, 0.8]])
    torch.testing.assert_close(adapted.l2_normalize(x, 1, 0.25), expected, equal_nan=True)


@each_dtype
def test_a_zero_vector_is_divided_by_zero_where_a_negative_epsilon_lets_it(dtype: str) -> None:
    x = torch.tensor([[0.0, -0.0], [1.0, 0.0]]).to(getattr(torch, dtype))
    assert adapted.l2_normalize(x, 1, -1.0).isnan().tolist() == [[True, True], [False, False]]


# --- tensors in, tensors out ----------------------------------------------------------------------


@each_dtype
@pytest.mark.parametrize("level", ["native", "semantic"])
@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 3), (2, 0, 3)])
def test_an_empty_tensor_gives_an_empty_tensor(shape: Any, dtype: str, level: Any) -> None:
    for axis in range(len(shape)):
        x = torch.ones(shape, dtype=getattr(torch, dtype), requires_grad=True)
        y = adapted.l2_normalize(x, axis, parity=level)
        y.sum().backward()
        assert (y.shape, y.dtype) == (x.shape, x.dtype)
        assert x.grad is not None
        assert x.grad.shape == x.shape


@each_dtype
@pytest.mark.parametrize("layout", ["contiguous", "transposed", "channels_last"])
def test_the_layout_is_kept_and_the_input_is_left_alone(rng: Any, dtype: str, layout: str) -> None:
    x = in_layout(rng.normal(size=(2, 3, 4, 5)), layout, dtype)
    before = x.clone()
    for axis in range(4):
        y = adapted.l2_normalize(x, axis)
        assert (y.dtype, y.shape, y.stride()) == (x.dtype, x.shape, x.stride())
    assert same_bits(x, before)


# --- levels ---------------------------------------------------------------------------------------


@each_dtype
def test_native_is_normalize_with_the_root_of_epsilon(rng: Any, dtype: str) -> None:
    for _ in range(100):
        case = random_case(rng, dtype)
        root = math.sqrt(np.float32(case.epsilon).astype(dtype)) if case.epsilon > 0 else -1
        expected = F.normalize(case.x, 2, case.dim, root)
        assert same_bits(l2_normalize(case, parity="native"), expected), case
