"""The definition on large arrays, against decimal numbers of many digits."""

from __future__ import annotations

import decimal
import math
from collections.abc import Iterator
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portnorm.exact import accurate as kernels
from portnorm.exact.accurate import Definition, divide, divide_vjp
from tests.exact.random_cases import random_values
from tests.exact.same_encoding import Array, check_bits

DTYPES = pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
TIES = pytest.mark.parametrize("takes_ties", [False, True], ids=["normalize", "L2Normalize"])
FLOORS = (-1.0, 0.0, 1e-320, 1e-12, 0.5, 1e30, 1e300, math.inf)

STEPS = {"float16": 0.51, "float32": 0.51, "float64": 4.0}
"""How far a quotient may be from the exact one, in units of its last place."""


@pytest.fixture(autouse=True)
def _many_digits() -> Iterator[None]:
    """Compute the expected values with many digits, and without words about special ones."""
    digits = decimal.Context(prec=60, Emax=10**6, Emin=-(10**6))
    with decimal.localcontext(digits), np.errstate(all="ignore"):
        yield


def exact_divisor(x: Array, floor: float, takes_ties: bool) -> tuple[Decimal, bool]:
    """Return the divisor of finite numbers, and whether it is their norm."""
    norm = sum((Decimal(float(v)) ** 2 for v in x), Decimal(0)).sqrt()
    least = Decimal(floor)
    above = norm > least if takes_ties else norm >= least
    return (norm, True) if above else (least, False)


def expected_quotients(x: Array, floor: float, takes_ties: bool) -> list[Decimal | float]:
    """Return the quotients, exact or special."""
    wide = x.astype(np.float64)
    if np.isnan(wide).any():
        divisor = Decimal(floor if takes_ties else math.nan)
    elif np.isinf(wide).any():
        divisor = Decimal(math.inf)
    else:
        divisor, _ = exact_divisor(x, floor, takes_ties)
    if divisor.is_finite() and divisor != 0:
        exact = [math.isfinite(v) and v != 0 for v in wide]
    else:
        exact = [False] * len(wide)
    special = wide / np.float64(divisor)
    return [
        Decimal(float(v)) / divisor if is_exact else float(q)
        for v, q, is_exact in zip(wide, special, exact, strict=True)
    ]


def check_near(got: Array, expected: list[Decimal | float], steps: float) -> None:
    """Compare one by one; `steps` counts units in the last place."""
    for found, wanted in zip(got, expected, strict=True):
        if isinstance(wanted, float):
            check_bits(np.array([found]), np.array([wanted], got.dtype))
            continue
        rounded = got.dtype.type(float(wanted))
        if np.isinf(rounded) or np.isinf(found):
            assert np.isinf(found) == np.isinf(rounded)
            continue
        step = Decimal(float(np.spacing(np.abs(rounded))))
        assert abs(Decimal(float(found)) - wanted) <= Decimal(steps) * step, (found, wanted)


@st.composite
def vectors(draw: st.DrawFn, dtype: str, count: int = 1) -> list[Array]:
    """Draw vectors of one length, as raw bits; large, tiny and ordinary ones."""
    kind = np.dtype(dtype)
    length = draw(st.integers(1, 12))
    words = st.integers(0, 2 ** (8 * kind.itemsize) - 1)
    drawn = []
    for _ in range(count):
        bits = draw(st.lists(words, min_size=length, max_size=length))
        raw = np.array(bits, f"u{kind.itemsize}").view(kind)
        if draw(st.booleans()):  # most raw bits are huge or tiny
            raw = np.where(np.isfinite(raw), np.sin(raw.astype(np.float64)), raw).astype(kind)
        drawn.append(raw)
    return drawn


@DTYPES
@TIES
@given(data=st.data(), floor=st.sampled_from(FLOORS))
def test_quotients_of_any_bits(
    dtype: str, takes_ties: bool, data: st.DataObject, floor: float
) -> None:
    (x,) = data.draw(vectors(dtype))
    got = divide(x, Definition((0,), floor, takes_ties))
    check_near(got, expected_quotients(x, floor, takes_ties), STEPS[dtype])


@DTYPES
@TIES
@given(data=st.data(), floor=st.sampled_from([1e-320, 1e-12, 0.5, 1e30]))
def test_gradients_of_any_finite_bits(
    dtype: str, takes_ties: bool, data: st.DataObject, floor: float
) -> None:
    x, dy = (np.where(np.isfinite(v), v, v.dtype.type(1)) for v in data.draw(vectors(dtype, 2)))
    # Sums of huge cotangents overflow in the frameworks, too.
    dy = np.clip(dy, -1e150, 1e150) if dtype == "float64" else dy
    divisor, is_norm = exact_divisor(x, floor, takes_ties)
    got = divide_vjp(x, dy, Definition((0,), floor, takes_ties))
    ys = [Decimal(float(v)) / divisor for v in x]
    gs = [Decimal(float(g)) for g in dy]
    along = sum((y * g for y, g in zip(ys, gs, strict=True)), Decimal(0)) if is_norm else Decimal(0)
    length = sum((g * g for g in gs), Decimal(0)).sqrt()
    finfo = np.finfo(dtype)
    for found, y, g in zip(got, ys, gs, strict=True):
        true = (g - y * along) / divisor
        size = (abs(g) + abs(y) * length) / divisor
        if size >= Decimal(float(finfo.max)) / 2:
            continue
        bound = 8 * Decimal(float(finfo.eps)) * size + 2 * Decimal(float(finfo.smallest_subnormal))
        # What is below the smallest float64 may be lost before it is divided by a tiny norm.
        bound += 8 * (1 + abs(y) + abs(along)) * len(x) * Decimal("5e-324") / divisor
        assert abs(Decimal(float(found)) - true) <= bound


# --- layouts --------------------------------------------------------------------------------------


SHAPES = [
    ((), ()),
    ((5,), (0,)),
    ((3, 8), (1,)),
    ((2, 1100), (1,)),
    ((2, 9, 3), (1,)),
    ((3, 1), (1,)),
    ((4, 1, 3), (1,)),
    ((70, 1030), (0,)),
    ((3, 65, 17), (1,)),
    ((3, 4, 5, 2), (1, 2)),
    ((3, 4, 5, 2), (0, 3)),
    ((3, 4, 5, 2), (0, 1, 2, 3)),
    ((3, 4, 5), (2, 0)),
    ((300, 1100), (0,)),
    ((1100, 1100), (1,)),
]


def by_numpy(x: Array, dims: tuple[int, ...]) -> tuple[Array, Array]:
    """Return the quotients in long double, and the norms."""
    wide = x.astype(np.longdouble)
    norm = np.sqrt((wide * wide).sum(axis=dims, keepdims=True))
    return wide / np.maximum(norm, np.longdouble(1e-12)), norm


@DTYPES
@pytest.mark.parametrize(("shape", "dims"), SHAPES)
def test_layouts(
    rng: np.random.Generator, dtype: str, shape: tuple[int, ...], dims: tuple[int, ...]
) -> None:
    x, dy = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    definition = Definition(dims, 1e-12, False)
    y, norm = by_numpy(x, dims)
    got, gradient = divide(x, definition), divide_vjp(x, dy, definition)
    assert got.flags.c_contiguous
    assert gradient.flags.c_contiguous
    assert got.shape == gradient.shape == x.shape
    eps = float(np.finfo(dtype).eps)
    assert (np.abs(got - y) <= 3 * eps * np.abs(y) + np.finfo(dtype).smallest_subnormal).all()
    along = (y * dy).sum(axis=dims, keepdims=True)
    length = np.sqrt((dy.astype(np.longdouble) ** 2).sum(axis=dims, keepdims=True))
    size = (np.abs(dy) + np.abs(y) * length) / norm
    error = np.abs(gradient - (dy - y * along) / norm)
    assert (error <= 8 * eps * size + np.finfo(dtype).smallest_subnormal).all()


@pytest.mark.parametrize("dims", [(0,), (1,)])
def test_any_strides_and_read_only_arrays(rng: np.random.Generator, dims: tuple[int, ...]) -> None:
    whole = rng.standard_normal((40, 60)).astype(np.float32)
    definition = Definition(dims, 1e-12, False)
    for view in (whole.T, whole[::2, ::3], whole[:, 3:5], np.broadcast_to(whole[:1], (40, 60))):
        expected = divide(view.copy(), definition)
        view.flags.writeable = False
        check_bits(divide(view, definition), expected)


@pytest.mark.parametrize(("shape", "dims"), [((1025, 1030), (1,)), ((1025, 1030), (0,))])
def test_threads_share_the_work_out(
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
    shape: tuple[int, ...],
    dims: tuple[int, ...],
) -> None:
    x, dy = (rng.standard_normal(shape).astype(np.float32) for _ in range(2))
    definition = Definition(dims, 1e-12, False)
    shared = divide(x, definition), divide_vjp(x, dy, definition)
    monkeypatch.setattr(kernels.threads, "SMALLEST_WORK", x.size + 1)
    check_bits(divide(x, definition), shared[0])
    check_bits(divide_vjp(x, dy, definition), shared[1])


@DTYPES
@pytest.mark.parametrize("inner", [1, 3])
def test_neighbours_of_odd_vectors_keep_their_bits(
    rng: np.random.Generator, dtype: str, inner: int
) -> None:
    definition = Definition((1,), 1e-12, False)
    x = rng.standard_normal((9, 11, inner)).astype(dtype)
    dy = rng.standard_normal(x.shape).astype(dtype)
    expected = divide(x, definition), divide_vjp(x, dy, definition)
    odd = x.copy()
    odd[::2] = random_values(rng, odd[::2].size, dtype).reshape(odd[::2].shape)
    check_bits(divide(odd, definition)[1::2], expected[0][1::2])
    check_bits(divide_vjp(odd, dy, definition)[1::2], expected[1][1::2])


@TIES
def test_a_norm_that_equals_the_floor(takes_ties: bool) -> None:
    x, dy = np.array([2.0, 3.0, 6.0]), np.array([1.0, 0.0, 0.0])
    gradient = divide_vjp(x, dy, Definition((0,), 7.0, takes_ties))
    assert (gradient[1] == 0) == takes_ties
