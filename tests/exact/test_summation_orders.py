"""Compiled sums against exact rational arithmetic that is rounded at each step."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import pytest

from portnorm.exact.blocks import Columns, entries
from portnorm.exact.machine.compilation import part
from portnorm.exact.machine.lanes import lane
from portnorm.exact.reduction import (
    FUSED_SQUARES,
    MAGNITUDES,
    SQUARES,
    halve,
    sum_by_threads,
    sum_left_to_right,
    sum_squares_in_lanes,
)
from portnorm.exact.torch_cascade import (
    BUFFERS,
    IN_EITHER,
    LEVELS,
    SUM_BLOCK,
    cascade_lanes,
    cascade_rows,
    order_of_columns,
    sum_columns,
    sum_contiguous,
    sum_interleaved,
)
from tests.exact import orders
from tests.exact.compiled import from_python
from tests.exact.random_cases import converted
from tests.exact.rational import buffer, floats, fractions, kernel_array, round_to
from tests.exact.same_encoding import Array, check_bits, mismatch

LANES = {"float32": 8, "float64": 4, "bfloat16": 8}
DTYPES = pytest.mark.parametrize("dtype", LANES)
SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 47, 64, 70)


def random_elements(rng: np.random.Generator, count: int, dtype: str) -> Array:
    """Return elements of many magnitudes, so that orders differ; no sum overflows."""
    values = np.ldexp(rng.uniform(0.5, 1, count), rng.integers(-8, 9, count))
    return converted(values * rng.choice([-1, 1], count), dtype)


def rounding(dtype: str) -> orders.Round:
    return partial(round_to, dtype=dtype)


def table(*dims: tuple[int, int]) -> Array:
    return entries(np.array(dims, np.int64))


def left_to_right(
    totals: Array,
    x: Array,
    start: int,
    dims: tuple[tuple[int, int], ...],
    column_stride: int,
    kind: int,
    in_steps: bool = False,
) -> None:
    """Fill in sums as `sum_left_to_right` does."""
    length = max(32, len(totals))
    size, stride = dims[0]
    add_up = from_python(sum_left_to_right(kind, in_steps, column_stride == 1))
    block = Columns(start, stride, column_stride, size, len(totals))
    rows, p = buffer(9, length, totals.dtype.name), totals.dtype.type(2)
    add_up(totals, x, block, table(*dims), p, rows.reshape(-1), length)


# --- left to right -------------------------------------------------------------------------------


def sum_kind(x: list[Fraction], kind: int, dtype: str, stored: str = "") -> Fraction:
    r = rounding(stored or dtype)
    if kind == MAGNITUDES:
        return orders.add_all([abs(value) for value in x], r)
    return orders.squares_left_to_right(x, r, kind == FUSED_SQUARES)


@DTYPES
@pytest.mark.parametrize("column_stride", [1, 100])
@pytest.mark.parametrize("kind", [SQUARES, FUSED_SQUARES, MAGNITUDES])
def test_left_to_right(rng: np.random.Generator, dtype: str, column_stride: int, kind: int) -> None:
    for size, outer, columns in [(1, 1, 1), (5, 3, 4), (7, 2, 9), (4, 1, 17), (13, 2, 8)]:
        stride, outer_stride = (20, 500) if column_stride == 1 else (2, 35)
        array = random_elements(rng, 2000, dtype)
        x, computed = kernel_array(array)
        totals = np.empty(columns, computed)
        left_to_right(totals, x, 3, ((size, stride), (outer, outer_stride)), column_stride, kind)
        exact = fractions(array)
        expected = [
            sum_kind(
                [
                    exact[3 + j * column_stride + k * outer_stride + i * stride]
                    for k in range(outer)
                    for i in range(size)
                ],
                kind,
                computed,
            )
            for j in range(columns)
        ]
        check_bits(totals, floats(expected, computed), (size, outer, columns))


def test_left_to_right_in_steps_of_bfloat16(rng: np.random.Generator) -> None:
    array = random_elements(rng, 200, "bfloat16")
    x, _ = kernel_array(array)
    for column_stride in (1, 12):
        totals = np.empty(5, np.float32)
        stride = 8 if column_stride == 1 else 1
        left_to_right(totals, x, 0, ((11, stride),), column_stride, SQUARES, in_steps=True)
        exact = fractions(array)
        expected = [
            sum_kind(
                [exact[j * column_stride + i * stride] for i in range(11)],
                SQUARES,
                "float32",
                "bfloat16",
            )
            for j in range(5)
        ]
        check_bits(totals, floats(expected, "float32"))


@DTYPES
def test_left_to_right_in_the_chunks_of_threads(rng: np.random.Generator, dtype: str) -> None:
    array = random_elements(rng, 700, dtype)
    x, computed = kernel_array(array)
    rows, r, exact = buffer(9, 16, computed).reshape(-1), rounding(computed), fractions(array)
    add_up = from_python(sum_by_threads(SQUARES, False))
    for size, outer, chunk in [(9, 5, 12), (40, 1, 40), (7, 6, 41), (50, 2, 7)]:
        reduced = table((size, 2), (outer, 120))
        elements = [exact[1 + k * 120 + i * 2] for k in range(outer) for i in range(size)]
        parts = [
            orders.squares_left_to_right(elements[begin : begin + chunk], r, fused=False)
            for begin in range(0, len(elements), chunk)
        ]
        p = np.dtype(computed).type(2)
        total = add_up(x, 1, reduced, chunk, p, rows, 16)
        found = np.array([total], computed)
        check_bits(found, floats([orders.add_all(parts[1:], r, parts[0])], computed))


# --- lanes ---------------------------------------------------------------------------------------


def sum_lanes(
    array: Array, size: int, columns: int, lanes: int, step: int, fused: bool, plain: int
) -> Array:
    x, computed = kernel_array(array)
    totals = np.empty(columns, computed)
    add_up = from_python(sum_squares_in_lanes(lanes, step, fused))
    add_up(totals, x, Columns(2, 1, 71, size, columns), plain)
    return totals


def lanes_cases(dtype: str) -> list[tuple[int, int, int]]:
    """Return lanes, elements of a step, and size."""
    lanes = LANES[dtype]
    step = 2 * lanes if dtype == "bfloat16" else lanes
    return [(lanes, step, size) for size in SIZES]


@DTYPES
@pytest.mark.parametrize("fused", [False, True], ids=["plain", "fused"])
@pytest.mark.parametrize("tail", ["plain", "mod4", "fused"])
def test_lanes(rng: np.random.Generator, dtype: str, fused: bool, tail: str) -> None:
    for lanes, step, size in lanes_cases(dtype):
        array = random_elements(rng, 2 + 6 * 71, dtype)
        left = size % step
        plain = {"plain": left, "mod4": left - left % 4, "fused": 0}[tail]
        r = rounding(kernel_array(array)[1])
        exact = fractions(array)
        for columns in (1, 4, 6):
            found = sum_lanes(array, size, columns, lanes, step, fused, plain)
            expected = [
                orders.squares_in_lanes(
                    exact[2 + j * 71 : 2 + j * 71 + size], r, lanes, step, fused, plain
                )
                for j in range(columns)
            ]
            check_bits(found, floats(expected, found.dtype.name), (size, columns))


@pytest.mark.parametrize(
    "fault",
    [
        {"lanes": 4, "step": 8},
        {"lanes": 16, "step": 16},
        {"fused": True},
        {"plain_tail": 0},
    ],
    ids=str,
)
def test_another_rule_for_lanes_gives_other_bits(
    rng: np.random.Generator, fault: dict[str, Any]
) -> None:
    rule = {"lanes": 8, "step": 8, "fused": False, "plain_tail": 7}
    found = []
    for _ in range(300):
        array = rng.uniform(-1, 1, 2 + 63).astype(np.float32)
        sums = sum_lanes(array, 63, 1, 8, 8, False, 7)
        wrong = orders.squares_in_lanes(
            fractions(array)[2:], rounding("float32"), **{**rule, **fault}
        )
        found.append(mismatch(sums, floats([wrong], "float32")))
    assert any(found)


# --- cascade -------------------------------------------------------------------------------------


def lanes_of_cascade(lanes: int, paired: bool) -> Callable[..., None]:
    cascade = cascade_lanes(lanes, paired)

    def fill(sums: Any, x: Any, start: int, stride: int, size: int) -> None:
        found = cascade(x, start, stride, size)
        for j in range(lanes):
            sums[j] = lane(found, j)

    return from_python(part(fill, lanes, paired))


def scratch(dtype: str) -> tuple[Array, Array]:
    """Return memory for the levels of a cascade, and its buffers."""
    return tuple(buffer(rows, SUM_BLOCK, dtype).reshape(-1) for rows in (LEVELS, BUFFERS))


CASCADE_SIZES = (0, 1, 3, 15, 16, 17, 37, 255, 256, 300, 4100)
"""The levels hold 16, 256 and 4096 elements."""


@DTYPES
@pytest.mark.parametrize("size", CASCADE_SIZES)
def test_a_cascade_in_lanes(rng: np.random.Generator, dtype: str, size: int) -> None:
    lanes, paired = LANES[dtype], dtype == "bfloat16"
    step = 2 * lanes if paired else lanes
    array = random_elements(rng, 1 + max(size, 1) * step, dtype)
    x, computed = kernel_array(array)
    sums = np.empty(lanes, computed)
    lanes_of_cascade(lanes, paired)(sums, x, 1, step, size)
    exact, r = fractions(array)[1:], rounding(computed)
    for j in range(lanes if size < 1000 else 1):
        terms = exact[j : size * step : step]
        if paired:
            others = exact[j + lanes : size * step : step]
            terms = [r(a + b) for a, b in zip(terms, others, strict=True)]
        check_bits(sums[j : j + 1], floats([orders.cascade(terms, r)], computed), j)


@DTYPES
@pytest.mark.parametrize("size", CASCADE_SIZES)
@pytest.mark.parametrize(
    ("compiled", "described"),
    [(cascade_rows, orders.cascade), (sum_interleaved, orders.interleaved)],
    ids=["cascade", "interleaved"],
)
def test_a_cascade_of_rows(
    rng: np.random.Generator,
    dtype: str,
    size: int,
    compiled: Callable[..., None],
    described: Callable[..., Fraction],
) -> None:
    columns = 5 if size < 1000 else 1
    for stride, column_stride in ((columns, 1), (1, max(size, 1))):
        array = random_elements(rng, 2 + max(size, 1) * columns, dtype)
        x, computed = kernel_array(array)
        totals = np.empty(columns, computed)
        block = Columns(2, stride, column_stride, size, columns)
        from_python(compiled)(totals, x, block, *scratch(computed))
        exact, r = fractions(array), rounding(computed)
        expected = [
            described([exact[2 + j * column_stride + i * stride] for i in range(size)], r)
            for j in range(columns)
        ]
        check_bits(totals, floats(expected, computed), (stride, column_stride))


@DTYPES
@pytest.mark.parametrize("size", [1, 7, 8, 16, 33, 100, 255, 600, 1100])
def test_contiguous_elements(rng: np.random.Generator, dtype: str, size: int) -> None:
    lanes, paired = LANES[dtype], dtype == "bfloat16"
    array = random_elements(rng, size + 3, dtype)
    x, computed = kernel_array(array)
    total = from_python(sum_contiguous(lanes, paired))(x, 3, size)
    expected = orders.in_registers(fractions(array)[3:], rounding(computed), lanes, paired)
    check_bits(np.array([total], computed), floats([expected], computed))


LAYOUTS = {"inner": (1, 50), "outer": (80, 1), "near": (2, 100), "far": (160, 2)}
"""The strides of a column and between columns."""


@DTYPES
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("either", [False, True], ids=["planned", "either"])
def test_columns_by_their_layout(
    rng: np.random.Generator, dtype: str, layout: str, either: bool
) -> None:
    lanes, paired = LANES[dtype], dtype == "bfloat16"
    stride, column_stride = LAYOUTS[layout]
    for size in (3, 21, 40):
        for first, columns, last in [(0, 3, 3), (0, 13, 13), (5, 37, 36), (32, 75, 75)]:
            taken = last - first
            reach = 1 + size * stride + columns * column_stride
            array = random_elements(rng, reach, dtype)
            x, computed = kernel_array(array)
            totals = np.empty(taken, computed)
            block = Columns(1, stride, column_stride, size, columns)
            order = IN_EITHER if either else order_of_columns(size, stride, lanes, paired)
            add_up = from_python(sum_columns(order, lanes, paired))
            add_up(totals, x, block, first, taken, *scratch(computed))
            exact, r = fractions(array), rounding(computed)
            expected = [
                orders.column(
                    [exact[1 + j * column_stride + i * stride] for i in range(size)],
                    r,
                    j,
                    columns,
                    layout,
                    lanes,
                    paired,
                )
                for j in range(first, last)
            ]
            check_bits(totals, floats(expected, computed), (size, first, columns, last))


def pairwise(terms: list[Fraction], r: orders.Round) -> Fraction:
    if len(terms) <= 1:
        return sum(terms, Fraction(0))
    half = len(terms) // 2
    return r(pairwise(terms[:half], r) + pairwise(terms[half:], r))


@pytest.mark.parametrize("wrong", [orders.add_all, orders.cascade, pairwise, orders.halved])
def test_another_order_gives_other_bits(
    rng: np.random.Generator, wrong: Callable[..., Fraction]
) -> None:
    found = []
    for _ in range(20):
        array = random_elements(rng, 90, "float32")
        x, _ = kernel_array(array)
        totals = np.empty(1, np.float32)
        block = Columns(0, 1, 90, 90, 1)
        from_python(sum_interleaved)(totals, x, block, *scratch("float32"))
        expected = wrong(fractions(array), rounding("float32"))
        found.append(mismatch(totals, floats([expected], "float32")))
    assert any(found)


# --- halving -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_halving(rng: np.random.Generator, dtype: str) -> None:
    r = rounding(dtype)
    for size in (*range(1, 20), 31, 47, 64, 97):
        array = random_elements(rng, size * 3, dtype)
        stored, computed = kernel_array(array)
        terms = array.astype(computed).reshape(size, 3)
        exact = fractions(array)
        from_python(halve)(terms.reshape(-1), size, 3, stored)
        expected = [orders.halved(exact[j::3], r) for j in range(3)]
        check_bits(terms[0], floats(expected, computed), size)


def test_a_single_element_is_added_to_itself() -> None:
    terms = np.array([3.0])
    from_python(halve)(terms, 1, 1, terms)
    assert terms[0] == 6


# --- the descriptions ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_fractions_round_as_numbers_do(rng: np.random.Generator, dtype: str) -> None:
    values = np.ldexp(rng.uniform(-1, 1, 3000), rng.integers(-30, 15, 3000))
    assert fractions(values.astype(dtype)) == [
        round_to(Fraction(value), dtype) for value in values.tolist()
    ]


def test_ties_round_to_even() -> None:
    ties = [Fraction(2 * k + 1, 2) * Fraction(2) ** -24 for k in range(-5, 5)]
    rounded = [round_to(tie, "float16") * 2**24 for tie in ties]
    assert rounded == [-4, -4, -2, -2, 0, 0, 2, 2, 4, 4]


def test_rounding_to_bfloat16_is_to_the_nearest(rng: np.random.Generator) -> None:
    for value in rng.uniform(-4, 4, 500).tolist():
        nearest = round_to(Fraction(value), "bfloat16")
        digits = 8 - math.frexp(value)[1]
        assert nearest == Fraction(round(Fraction(value) * 2**digits), 2**digits)
