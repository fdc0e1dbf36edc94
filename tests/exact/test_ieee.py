"""Fused multiply-add, half types and the floating-point environment."""

from __future__ import annotations

import ctypes
import math
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from portnorm.exact import cuda_plans, mindspore_cpu, torch_cpu, torch_cuda, torch_plans
from portnorm.exact.machine.compilation import whole
from portnorm.exact.machine.ieee import fused_multiply_add, narrow, widen
from tests.exact.random_cases import converted, random_values
from tests.exact.rational import round_to
from tests.exact.same_encoding import Array, check_bits, mismatch

# --- fused multiply-add --------------------------------------------------------------------------


@whole
def multiply_add_all(out: Any, a: Any, b: Any, c: Any) -> None:
    for i in range(len(out)):
        out[i] = fused_multiply_add(a[i], b[i], c[i])


def compiled(a: Array, b: Array, c: Array) -> Array:
    out = np.empty_like(a)
    multiply_add_all(out, a, b, c)
    return out


def plain(a: Array, b: Array, c: Array) -> Array:
    with np.errstate(all="ignore"):
        return np.array([fused_multiply_add(*three) for three in zip(a, b, c, strict=True)])


def unfused(a: Array, b: Array, c: Array) -> Array:
    with np.errstate(all="ignore"):
        return np.asarray(a * b + c)


def by_definition(a: float, b: float, c: float, dtype: str) -> float:
    """Return a * b + c, rounded once."""
    if math.isinf(c) and math.isfinite(a) and math.isfinite(b):
        return c
    if not (math.isfinite(a) and math.isfinite(b) and math.isfinite(c)):
        return a * b + c
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    if exact == 0:
        negative = math.copysign(1, a) * math.copysign(1, b) < 0
        product_is_zero = a == 0 or b == 0
        return -0.0 if product_is_zero and negative and math.copysign(1, c) < 0 else 0.0
    nearest = round_to(exact, dtype)
    if abs(nearest) > Fraction(float(np.finfo(dtype).max)):
        return math.copysign(math.inf, float(exact.numerator > 0) - 0.5)
    return float(nearest) if nearest else math.copysign(0.0, float(exact > 0) - 0.5)


def triples(rng: np.random.Generator, dtype: str) -> list[Array]:
    """Return factors and summands: special, random, tiny, large, and with sums near a tie."""
    info = np.finfo(dtype)
    values = [0.0, 1.0, 3.0, float(info.max), float(info.tiny), float(info.smallest_subnormal)]
    values += [1 + float(info.eps), math.inf, math.nan, float(info.tiny) * 0.75]
    special = np.array(values + [-value for value in values], dtype)
    grid = [part.reshape(-1) for part in np.meshgrid(special, special, special)]
    drawn = [[random_values(rng, 100, dtype) for _ in range(3)] for _ in range(12)]
    a, b = (rng.uniform(-2, 2, 600).astype(dtype) for _ in range(2))
    with np.errstate(all="ignore"):
        cancelling = [a, b, -(a * b)]
        halves = [a, np.full_like(a, info.eps / 2), np.round(b * 4)]
        tiny = [a * info.tiny, b * info.eps, b * info.smallest_subnormal]
        exact = [np.round(a * 8), np.round(b * 8), -np.round(a * 8) * np.round(b * 8)]
        parts = [grid, cancelling, halves, tiny, exact, *drawn]
    return [np.concatenate([part[position] for part in parts]) for position in range(3)]


def multiply_add_mismatch(
    rng: np.random.Generator, dtype: str, function: Callable[..., Array]
) -> str:
    a, b, c = triples(rng, dtype)
    values = zip(a.tolist(), b.tolist(), c.tolist(), strict=True)
    expected = np.array([by_definition(*three, dtype) for three in values], dtype)
    return mismatch(function(a, b, c), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("function", [compiled, plain])
def test_fused_multiply_add_rounds_once(
    rng: np.random.Generator, dtype: str, function: Callable[..., Array]
) -> None:
    assert multiply_add_mismatch(rng, dtype, function) == ""


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_product_that_is_rounded_first_is_found(rng: np.random.Generator, dtype: str) -> None:
    assert "differ" in multiply_add_mismatch(rng, dtype, unfused)


# --- half types ----------------------------------------------------------------------------------


@whole
def widen_all(out: Any, stored: Any) -> None:
    for i in range(len(out)):
        out[i] = widen(stored[i])


@whole
def narrow_all(out: Any, values: Any) -> None:
    for i in range(len(out)):
        out[i] = narrow(values[i], out)


def narrowed(values: Array, stored: Any, function: Callable[..., Any]) -> Array:
    out = np.empty(len(values), stored)
    function(out, values)
    return out


def narrow_one_by_one(out: Array, values: Array) -> None:
    for i in range(len(out)):
        out[i] = narrow(values[i], out)


EVERY = np.arange(1 << 16).astype(np.uint16)
INFINITY = {np.uint16: 0x7C00, np.int16: 0x7F80}
"""The bits of infinity in float16 and in bfloat16, by how kernels hold them."""

STORED = pytest.mark.parametrize("stored", INFINITY, ids=["float16", "bfloat16"])
NARROW = pytest.mark.parametrize(
    "function", [narrow_all, narrow_one_by_one], ids=["compiled", "plain"]
)


def widened_by_definition(stored: Any) -> Array:
    if stored is np.uint16:
        return EVERY.view(np.float16).astype(np.float32)
    return (EVERY.astype(np.uint32) << np.uint32(16)).view(np.float32)


def numbers(stored: Any) -> Array:
    """Return the bits of every number that is not negative, infinity last."""
    return np.arange(INFINITY[stored] + 1).astype(np.uint16)


@STORED
def test_every_half_is_widened_to_the_same_number(stored: Any) -> None:
    expected = widened_by_definition(stored)
    found = np.empty(1 << 16, np.float32)
    widen_all(found, EVERY.view(stored))
    check_bits(found, expected)
    check_bits(np.asarray(widen(EVERY.view(stored))), expected)


@STORED
@NARROW
def test_every_half_is_narrowed_to_itself(stored: Any, function: Callable[..., None]) -> None:
    values = widened_by_definition(stored)
    found = narrowed(values, stored, function).view(np.uint16)
    number = ~np.isnan(values)
    assert (found[number] == EVERY[number]).all()
    assert (found[~number] & 0x7FFF > INFINITY[stored]).all()


@STORED
@NARROW
@pytest.mark.parametrize("sign", [1, -1])
def test_every_tie_between_halves_goes_to_the_even_one(
    stored: Any, function: Callable[..., None], sign: int
) -> None:
    lower = numbers(stored)[:-1]
    values = widened_by_definition(stored)[lower].astype(np.float64)
    step = np.diff(values)
    ties = (values + np.append(step, step[-1]) / 2).astype(np.float32)
    assert (ties.astype(np.float64) == values + np.append(step, step[-1]) / 2).all()
    cases = {"even": (ties, lower + lower % 2)}
    cases["above"] = (np.nextafter(ties, np.float32(np.inf)), lower + 1)
    cases["below"] = (np.nextafter(ties, np.float32(0)), lower)
    for name, (inputs, expected) in cases.items():
        found = narrowed(sign * inputs, stored, function).view(np.uint16)
        signed = expected | (0x8000 if sign < 0 else 0)
        assert (found == signed).all(), name


# --- the floating-point environment --------------------------------------------------------------


FLUSH_TO_ZERO, ROUND_DOWN, ROUND_UP, ROUND_TO_ZERO = 0x8040, 0x2000, 0x4000, 0x6000
CONTROL_BITS = 0xFFC0
needs_mxcsr = pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64") or platform.system() != "Linux",
    reason="sets the MXCSR register by the layout of glibc's fenv_t",
)


def environment() -> Any:
    state = (ctypes.c_uint32 * 8)()
    ctypes.CDLL(None).fegetenv(state)
    return state


@contextmanager
def control_bits(added: int) -> Iterator[None]:
    """Set bits of MXCSR, and check that they are still set at the end."""
    before, changed = environment(), environment()
    changed[7] |= added
    set_environment = ctypes.CDLL(None).fesetenv
    set_environment(changed)
    try:
        yield
        after = environment()
    finally:
        set_environment(before)
    assert after[7] & CONTROL_BITS == changed[7] & CONTROL_BITS


def all_results(x: Array, g: Array, eps: float) -> list[Array]:
    """Return results of every kernel that works on values, with arguments not seen before."""
    for plan in (
        torch_plans.plan_for,
        torch_plans.sum_plan,
        mindspore_cpu._plan,
        cuda_plans._plan_for,
        cuda_plans._sum_plan,
    ):
        plan.cache_clear()
    orders = (0.0, 1.0, 2.0, math.inf)
    found = [torch_cpu.normalize(x, p, dim, eps) for p in orders for dim in (0, 1, None)]
    found += [torch_cpu.normalize_vjp(x, g, p, dim, eps) for p in orders for dim in (0, 1)]
    found += [torch_cuda.normalize(x, 2.0, dim, eps) for dim in (0, 1)]
    found += [torch_cuda.normalize_vjp(x, g, 2.0, dim, eps) for dim in (0, 1)]
    if x.dtype != np.uint16:
        y = mindspore_cpu.l2_normalize(x, 1, max(eps, 1e-4 if x.dtype == np.float16 else eps))
        found += [y, mindspore_cpu.l2_normalize_vjp(x, y, g, 1, 1e-4)]
    return found


def small_and_large(rng: np.random.Generator, dtype: str) -> Array:
    """Return rows of any magnitude up to 4: squares, products and quotients are subnormal."""
    low = {"float16": -24, "bfloat16": -133, "float32": -149, "float64": -1074}[dtype]
    row = rng.integers(low // 2, 3, (40, 1))
    values = np.ldexp(rng.uniform(-1, 1, (40, 33)), np.minimum(row + rng.integers(low, 3), 2))
    values[::2] = np.ldexp(rng.uniform(-1, 1, (20, 33)), rng.integers(low, 3, (20, 33)))
    values[1::4] = np.ldexp(rng.uniform(-1, 1, (10, 33)), low + 6)  # nothing else in these rows
    return converted(values, dtype)


ENVIRONMENTS = pytest.mark.parametrize(
    "added",
    [FLUSH_TO_ZERO, ROUND_DOWN, ROUND_UP, ROUND_TO_ZERO],
    ids=["flush-to-zero", "down", "up", "to-zero"],
)


@needs_mxcsr
@ENVIRONMENTS
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("eps", [1e-12, 1e-40])
def test_the_environment_has_no_influence_and_stays(
    rng: np.random.Generator, dtype: str, added: int, eps: float
) -> None:
    x, g = small_and_large(rng, dtype), small_and_large(rng, dtype)
    expected = all_results(x, g, eps)
    with control_bits(added):
        found = all_results(x, g, eps)
    for one, other in zip(found, expected, strict=True):
        check_bits(one, other)


@needs_mxcsr
@ENVIRONMENTS
def test_the_environment_of_threads_has_no_influence(rng: np.random.Generator, added: int) -> None:
    with np.errstate(all="ignore"):
        x = random_values(rng, 1 << 20, "float32").reshape(1024, 1024) * np.float32(1e-38)
    expected = torch_cpu.normalize(x, 2.0, 1, 1e-4)
    with control_bits(added):
        found = torch_cpu.normalize(x, 2.0, 1, 1e-4)
    check_bits(found, expected)


@needs_mxcsr
@ENVIRONMENTS
def test_the_environment_would_change_the_bits_of_numpy(added: int) -> None:
    x = np.ldexp(np.arange(1, 20, dtype=np.float32), -140)
    with np.errstate(all="ignore"):
        expected = x / np.float32(3), -x / np.float32(3)
        with control_bits(added):
            found = x / np.float32(3), -x / np.float32(3)
    assert any(mismatch(one, other) for one, other in zip(found, expected, strict=True))
