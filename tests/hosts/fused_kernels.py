"""Checks of the Triton kernels on a CPU, which `test_torch_fused` runs in a process of their own.

There TRITON_INTERPRET=1 lets NumPy carry the kernels out. `python fused_kernels.py SEED` prints, as
JSON, what each check raised.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import exact_formula
import numpy as np
import torch
from torch import Tensor
from wide_formula import errors_in_ulp, exact

from portnorm import semantics
from portnorm.torch import _fused, _semantic

DTYPES = (torch.float16, torch.float32, torch.float64)
SHAPES: list[tuple[tuple[int, ...], int]] = [
    ((1,), 0),
    ((5, 1), 1),
    ((7, 3), 1),
    ((9, 65), 1),
    ((3, 128), 0),
    ((2, 1030), 1),
    ((5, 3, 2), 1),
    ((2, 70, 9), 1),
    ((300, 3), 0),
]
SPLIT: list[tuple[tuple[int, ...], int]] = [((2, 16390), 1), ((4100, 2), 0), ((1, 2100, 17), 1)]
PROMISED_ULP = 4

Run = Callable[[Tensor, Tensor | None, int, float], Tensor]


def run(x: Tensor, g: Tensor | None, dim: int, epsilon: float) -> Tensor:
    """Call the kernel for the value, or with a cotangent the one for the gradient."""
    launch = _fused.launch_of(x.shape, x.stride(), dim, x.itemsize, g is not None)
    assert launch is not None
    return _fused.run(x, g, launch, epsilon)


def formula(x: Tensor, g: Tensor | None, dim: int, epsilon: float) -> Tensor:
    """Do the same by operators of torch."""
    x = x.detach().requires_grad_()
    y = _semantic.l2_normalize(x, dim, epsilon)
    return y.detach() if g is None else torch.autograd.grad(y, x, g)[0]


def floor_of(epsilon: float, dtype: torch.dtype) -> float:
    return float(semantics.round_epsilon(epsilon, str(dtype).removeprefix("torch.")))


# --- accuracy -------------------------------------------------------------------------------------


def worst_errors(run: Run, shape: tuple[int, ...], dim: int, dtype: torch.dtype) -> Any:
    x, g = torch.randn(shape).to(dtype), torch.randn(shape).to(dtype)
    lanes = [1 if d == dim else size for d, size in enumerate(shape)]
    x *= torch.tensor([1e-3, 0.5, 1, 20])[torch.randint(4, lanes)].to(dtype)
    epsilon = floor_of(1e-4, dtype)
    y, d, norm = exact(x, g, dim, epsilon)
    scale = torch.maximum(d.abs(), g.double().abs() / norm)
    fits = scale < torch.finfo(dtype).max
    value = errors_in_ulp(run(x, None, dim, epsilon), y, y)
    got = torch.where(fits, run(x, g, dim, epsilon), 0.0)
    return value, errors_in_ulp(got, torch.where(fits, d, 0.0), torch.where(fits, scale, 1.0))


def accuracy() -> None:
    for (shape, dim), dtype in itertools.product(SHAPES + SPLIT, DTYPES[:2]):
        for way, most in ((run, 1), (formula, PROMISED_ULP)):
            errors = worst_errors(way, shape, dim, dtype)
            assert max(errors) <= most, (shape, dim, dtype, errors)


def accuracy_of_float64() -> None:
    for shape, dim in SHAPES[:-2]:
        x, g = torch.randn(shape).double(), torch.randn(shape).double()
        floor = exact_formula.l2_normalize_floor(1e-4, "float64")
        arguments = x.numpy(), g.numpy(), 2, dim, floor
        true = exact_formula.forward(x.numpy(), 2, dim, floor)
        epsilon = floor_of(1e-4, x.dtype)
        value = exact_formula.error_in_ulp(run(x, None, dim, epsilon).numpy(), true, "float64")
        # Half a rounding from the sum, one of the root, one of the division.
        assert value.max() <= 2.5, (shape, dim)
        derivative = exact_formula.vjp(*arguments, passes_at_floor=False)
        divisor = np.maximum(exact_formula.norm(x.numpy(), 2, dim), floor)
        scale = np.maximum(abs(derivative), abs(exact_formula.exact(g.numpy())) / divisor)
        # An error in units of the scale, not of the derivative, which may cancel.
        off = abs(exact_formula.exact(run(x, g, dim, epsilon).numpy()) - derivative)
        unit = np.ldexp(1.0, np.frexp(scale.astype(float))[1] - 53)
        assert (off / unit).astype(float).max() <= PROMISED_ULP, (shape, dim)


def faults_are_found() -> None:
    def rounded_products(x: Tensor, g: Tensor | None, dim: int, epsilon: float) -> Tensor:
        if g is None:
            return run(x, g, dim, epsilon)
        norm = (x * x).sum(dim, keepdim=True).clamp_min(epsilon).sqrt()
        y = x / norm
        return (g - y * (y * g).sum(dim, keepdim=True)) / norm

    def float32_sum(x: Tensor, g: Tensor | None, dim: int, epsilon: float) -> Tensor:
        squares = np.add.accumulate((x * x).numpy(), dim).take([-1], dim)
        return x / torch.from_numpy(squares).clamp_min(epsilon).sqrt()

    assert worst_errors(rounded_products, (65, 1000), 1, torch.float32)[1] > PROMISED_ULP
    assert worst_errors(float32_sum, (65, 5000), 1, torch.float32)[0] > PROMISED_ULP


# --- special values -------------------------------------------------------------------------------


def special_rows(dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
    base = torch.randn(40, dtype=torch.float64)
    big, small = (1e3, 1e-6) if dtype == torch.float16 else (1e37, 1e-30)
    for name, row in {
        "large": base * big,
        "small": base * small,
        "subnormal": base * torch.finfo(dtype).smallest_normal / 8,
        "zero": base * 0,
        "both signs of zero": torch.tensor([0.0, -0.0] * 20),
        "mixed": torch.where(base > 0, base * big, base * small),
    }.items():
        yield name, row
    for name, values in {
        "NaN": [math.nan],
        "inf": [math.inf],
        "-inf": [-math.inf],
        "NaN and inf": [math.nan, math.inf],
        "inf and 0": [math.inf, 0.0, -0.0],
        "NaN and almost too large": [math.nan, 0.0095 * torch.finfo(dtype).max],
    }.items():
        row = base.clone()
        row[5 : 5 + len(values)] = torch.tensor(values, dtype=torch.float64)
        yield name, row
    half = torch.zeros(40, dtype=torch.float64)
    half[3] = 0.5
    yield "the floor itself", half
    for name, step in {"a step above": 1, "a step below": -1}.items():
        row = half.clone()
        row[3] += step * torch.finfo(dtype).eps / 2
        yield name, row


EPSILONS = (0.25, 1e-4, 1e-7, -1.0, math.inf, -math.inf, math.nan)


def special() -> None:
    for dtype, epsilon, order in itertools.product(DTYPES, EPSILONS, ("rows", "columns")):
        names, rows = zip(*special_rows(dtype), strict=True)
        x = torch.stack(rows).to(dtype)
        g = torch.randn(x.shape).to(dtype)
        floor, dim = floor_of(epsilon, dtype), 1
        if order == "columns":
            x, g, dim = x.t().contiguous(), g.t().contiguous(), 0
        for cotangent in (None, g):
            got, true = run(x, cotangent, dim, floor), accurate_formula(x, cotangent, dim, floor)
            for name, one, other in zip(
                names, got.unbind(1 - dim), true.unbind(1 - dim), strict=True
            ):
                context = dtype, epsilon, order, name, cotangent is not None, one, other
                assert torch.allclose(one, other, 1e-2, 0.0, equal_nan=True) or close(
                    one, other, g, cotangent is not None
                ), context
                if cotangent is None:
                    signs = ~one.isnan()
                    assert torch.equal(one.signbit()[signs], other.signbit()[signs]), context


def accurate_formula(x: Tensor, g: Tensor | None, dim: int, epsilon: float) -> Tensor:
    """Return the formula's result in float64, whose squares do not overflow or underflow.

    At the floor a NaN of x is not in the gradient, where autograd has 0 * NaN for that element.
    """
    if g is None:
        return formula(x.double(), None, dim, epsilon).to(x.dtype)
    return exact(x, g, dim, epsilon)[1].to(x.dtype)


def close(one: Tensor, other: Tensor, g: Tensor, gradient: bool) -> bool:
    """Compare gradients on the scale of their vector, in which terms cancel."""
    finite = other.isfinite()
    if not gradient or not torch.equal(one.isfinite(), finite):
        return False
    one, other = one.double()[finite], other.double()[finite]
    return bool(((one - other).abs() <= 4e-3 * other.abs().max()).all())


def bit_patterns() -> None:
    """Any bits: results are NaN, infinite or close where the formula's are."""
    for dtype, integer in ((torch.float16, torch.int16), (torch.float32, torch.int32)):
        bits = torch.randint(torch.iinfo(integer).min, torch.iinfo(integer).max, (400, 7))
        x = bits.to(integer).view(dtype)
        for epsilon in (1e-4, -1.0):
            floor = floor_of(epsilon, dtype)
            got, true = run(x, None, 1, floor), accurate_formula(x, None, 1, floor)
            least = torch.finfo(dtype).smallest_normal * torch.finfo(dtype).eps
            tolerance = 2 * torch.finfo(dtype).eps
            assert torch.allclose(got, true, tolerance, 2 * least, equal_nan=True), dtype


# --- calls ----------------------------------------------------------------------------------------


def launches() -> None:
    """Every way to cut a tensor up gives what the formula gives, also in other orders of dims."""
    seen = set()
    cases = [((3, 5, 4), (2, 0, 1)), ((2, 3, 4, 5), (0, 2, 3, 1)), ((6, 7), (1, 0))]
    for (shape, order), dtype in itertools.product(cases, DTYPES):
        x = torch.randn(shape).to(dtype).permute(order)
        for dim in range(x.ndim):
            y = run(x, None, dim, 1e-4)
            assert y.stride() == x.stride()
            torch.testing.assert_close(y, formula(x, None, dim, 1e-4))
    for (shape, dim), itemsize, gradient in itertools.product(
        SHAPES + SPLIT, (2, 4, 8), (False, True)
    ):
        strides = torch.empty(shape, device="meta").stride()
        launch = _fused.launch_of(shape, strides, dim, itemsize, gradient)
        seen.add(None if launch is None else (launch.inner > 1, launch.parts > 0))
    assert seen == {None, *itertools.product((False, True), (False, True))}
    many = _fused.launch_of((4, 20000, 20000), (400000000, 20000, 1), 1, 4, False)
    assert many is not None
    assert many.parts * many.length >= many.n
    one = _fused.launch_of((4000, 20000), (20000, 1), 1, 4, False)
    assert one is not None
    assert one.parts == 1
    for shape, strides in [((4, 4), (8, 1)), ((4, 4), (0, 1)), ((0, 4), (4, 1)), ((2, 2), (1, 1))]:
        assert _fused.launch_of(shape, strides, 1, 4, False) is None


def one_part() -> None:
    """Two kernels do with a vector that is not cut, as where there are many long ones."""
    x, g = torch.randn(2, 5000), torch.randn(2, 5000)
    launch = _fused.Launch(2, 5000, 1, 1, 4096, 4, 1, 8192)
    for cotangent in (None, g):
        torch.testing.assert_close(
            _fused.run(x, cotangent, launch, 1e-4), formula(x, cotangent, 1, 1e-4)
        )


def autograd() -> None:
    for (shape, dim), dtype in itertools.product([((4, 6), 1), ((2, 3, 4), 1)], DTYPES):
        x, g = torch.randn(shape).to(dtype).requires_grad_(), torch.randn(shape).to(dtype)
        y = _fused.l2_normalize(x, dim, 1e-4)
        (found,) = torch.autograd.grad(y, x, g, retain_graph=True)
        torch.testing.assert_close(found, formula(x, g, dim, 1e-4))
        assert torch.equal(y, _fused.l2_normalize(x.detach(), dim, 1e-4))
        (expanded,) = torch.autograd.grad(y.sum(), x)
        torch.testing.assert_close(expanded, formula(x, torch.ones_like(x), dim, 1e-4))


def gradient_of_the_gradient() -> None:
    x, g = torch.randn(3, 4).double().requires_grad_(), torch.randn(3, 4).double()
    second = []
    for function in (_fused.l2_normalize, _semantic.l2_normalize):
        (first,) = torch.autograd.grad(function(x, 1, 1e-4), x, g, create_graph=True)
        second.append(torch.autograd.grad(first.square().sum(), x)[0])
    torch.testing.assert_close(*second, rtol=1e-12, atol=1e-12)


def batched_cotangents() -> None:
    x, g = torch.randn(3, 4).requires_grad_(), torch.randn(5, 3, 4)
    y = _fused.l2_normalize(x, 1, 1e-4)
    (found,) = torch.autograd.grad(y, x, g, is_grads_batched=True)
    torch.testing.assert_close(found, torch.stack([formula(x, one, 1, 1e-4) for one in g]))


CHECKS = (
    accuracy,
    accuracy_of_float64,
    faults_are_found,
    special,
    bit_patterns,
    launches,
    one_part,
    autograd,
    gradient_of_the_gradient,
    batched_cotangents,
)


def failure_of(check: Callable[[], None], seed: int) -> str | None:
    torch.manual_seed(seed)
    try:
        check()
    except Exception:
        return traceback.format_exc()
    return None


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps({check.__name__: failure_of(check, int(sys.argv[1])) for check in CHECKS}))
