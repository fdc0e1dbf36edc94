"""Summation orders that both functions have: left to right, in lanes, by halving.

Floating-point sums depend on their order, so each order is a function of its own. Arrays are
pointers: an element is found at ``start + index * stride``. They hold float32, float64, or the bits
of a half type (see `ieee`); sums are held in float32 for the half types and in the type itself
otherwise.

What is added up and how columns lie is known before a kernel is compiled, and a kernel has code for
nothing else: functions that depend on it are made by a factory.

Columns are sums that run side by side: neighbours of one another in memory, but independent.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from portnorm.exact.blocks import DIM, Columns, count, offset, row
from portnorm.exact.machine.compilation import part
from portnorm.exact.machine.ieee import flushed, fused_multiply_add, rounded, widen
from portnorm.exact.machine.lanes import lane, load_lanes, transposed, zero_lanes
from portnorm.exact.machine.pointers import shifted, smaller

SQUARES, FUSED_SQUARES, FLUSHED_SQUARES, MAGNITUDES, NONZERO, LARGEST, SMALLEST = range(7)
POWERS, VALUES = 7, 8
"""What is added up: x*x rounded; x*x not rounded; the same with subnormals taken for 0; |x|; 1 for
x != 0; max |x|; min |x|; |x|**p; x."""

CHAINS = 8
"""Columns whose sums are kept in a register."""
EIGHT = (0,) * CHAINS
BUFFERS = 4
"""Rows of a buffer that sums from left to right take."""


# --- left to right -------------------------------------------------------------------------------


@functools.cache
def accumulator(kind: int, in_steps: bool) -> Callable[..., Any]:
    """Return what adds one more value to a running sum.

    Args:
        kind: what is added up.
        in_steps: whether each term and each sum is rounded to the type that is stored.
    """

    def accumulate(total, value, p, stored):
        if kind == LARGEST:
            size = abs(value)
            return size if size > total or size != size else total
        if kind == SMALLEST:
            size = abs(value)
            return size if size < total or size != size else total
        if kind == FUSED_SQUARES:
            return fused_multiply_add(value, value, total)
        if kind == FLUSHED_SQUARES:
            value = flushed(value, stored)
            return flushed(fused_multiply_add(value, value, total), stored)
        if kind == VALUES:
            return total + value
        if kind == SQUARES:
            term = value * value
        elif kind == MAGNITUDES:
            term = abs(value)
        elif kind == NONZERO:
            term = np.float32(0) if value == 0 else np.float32(1)
        else:
            term = abs(value) ** p
        if in_steps:
            return rounded(total + rounded(term, stored), stored)
        return total + term

    return part(accumulate, kind, in_steps)


@functools.cache
def row_adder(kind: int, in_steps: bool) -> Callable[..., None]:
    """Return what adds rows of contiguous columns to the running sums."""
    accumulate = accumulator(kind, in_steps)

    def add_rows(totals, x, block, p, rows, length):
        start, stride, _, size, columns = block
        whole = size - size % 4
        for i in range(0, whole, 4):
            at = start + i * stride
            a = row(x, at, 1, columns, rows)
            b = row(x, at + stride, 1, columns, shifted(rows, length))
            c = row(x, at + 2 * stride, 1, columns, shifted(rows, 2 * length))
            d = row(x, at + 3 * stride, 1, columns, shifted(rows, 3 * length))
            for j in range(columns):
                total = accumulate(totals[j], a[j], p, x)
                total = accumulate(total, b[j], p, x)
                total = accumulate(total, c[j], p, x)
                totals[j] = accumulate(total, d[j], p, x)
        for i in range(whole, size):
            a = row(x, start + i * stride, 1, columns, rows)
            for j in range(columns):
                totals[j] = accumulate(totals[j], a[j], p, x)

    return part(add_rows, kind, in_steps)


@functools.cache
def column_adder(kind: int, in_steps: bool) -> Callable[..., None]:
    """Return what adds elements of columns to the running sums, a chunk of a column at a time."""
    accumulate = accumulator(kind, in_steps)
    only_squares = kind == SQUARES and not in_steps

    def add_columns(totals, x, block, p, rows, length):
        start, stride, column_stride, size, columns = block
        done = 0
        # Numba leaves out what stands behind a condition that is known to be false.
        if only_squares:  # noqa: SIM102
            if stride == 1:
                done = columns - columns % CHAINS
                for first in range(0, done, CHAINS):
                    at = start + first * column_stride
                    add_squares(shifted(totals, first), x, at, column_stride, size)
        for j in range(done, columns):
            total = totals[j]
            for begin in range(0, size, length):
                taken = smaller(length, size - begin)
                at = start + j * column_stride + begin * stride
                added = row(x, at, stride, taken, rows)
                for i in range(taken):
                    total = accumulate(total, added[i], p, x)
            totals[j] = total

    return part(add_columns, kind, in_steps)


@part
def add_squares(totals, x, start, step, size):
    """Add squares to eight running sums side by side, to hide how long an addition takes.

    The columns are contiguous and `step` elements apart.
    """
    sums = load_lanes(totals, 0, zero_lanes(totals, EIGHT))
    whole = size - size % CHAINS
    for at in range(start, start + whole, CHAINS):
        a = load_lanes(x, at, sums)
        b = load_lanes(x, at + step, sums)
        c = load_lanes(x, at + 2 * step, sums)
        d = load_lanes(x, at + 3 * step, sums)
        e = load_lanes(x, at + 4 * step, sums)
        f = load_lanes(x, at + 5 * step, sums)
        g = load_lanes(x, at + 6 * step, sums)
        h = load_lanes(x, at + 7 * step, sums)
        a, b, c, d, e, f, g, h = transposed((a, b, c, d, e, f, g, h))
        sums = sums + a * a
        sums = sums + b * b
        sums = sums + c * c
        sums = sums + d * d
        sums = sums + e * e
        sums = sums + f * f
        sums = sums + g * g
        sums = sums + h * h
    for j in range(CHAINS):
        total = lane(sums, j)
        for i in range(whole, size):
            value = widen(x[start + j * step + i])
            total = total + value * value
        totals[j] = total


@functools.cache
def sum_left_to_right(kind: int, in_steps: bool, neighbours: bool) -> Callable[..., None]:
    """Return what fills `totals` with the sums of columns over all reduced dims.

    Args:
        kind, in_steps: see `accumulator`.
        neighbours: whether the columns lie side by side.
    """
    add = (row_adder if neighbours else column_adder)(kind, in_steps)

    def sum_all(totals, x, block, reduced, p, rows, length):
        for j in range(block.columns):
            totals[j] = np.inf if kind == SMALLEST else 0
        outside = shifted(reduced, DIM)
        for outer in range(count(outside)):
            at = block.start + offset(outer, outside, 1)
            here = Columns(at, block.stride, block.column_stride, block.size, block.columns)
            add(totals, x, here, p, rows, length)

    return part(sum_all, kind, in_steps, neighbours)


@functools.cache
def sum_by_threads(kind: int, in_steps: bool) -> Callable[..., Any]:
    """Return what sums as threads share it out: each takes a chunk, the first one adds them up."""
    add = column_adder(kind, in_steps)

    def add_chunks(x, start, reduced, chunk, p, rows, length):
        size, stride, outside = reduced[0], reduced[1], shifted(reduced, DIM)
        elements, partial = count(reduced), shifted(rows, BUFFERS * length)
        total = partial[0]
        for begin in range(0, elements, chunk):
            partial[0] = 0
            first, last = begin, smaller(begin + chunk, elements)
            while first < last:
                inner = first % size
                taken = smaller(size - inner, last - first)
                at = start + offset(first // size, outside, 1) + inner * stride
                add(partial, x, Columns(at, stride, 0, taken, 1), p, rows, length)
                first += taken
            if begin == 0:
                total = partial[0]
            else:
                total = total + partial[0]
                if in_steps:
                    total = rounded(total, x)
        return total

    return part(add_chunks, kind, in_steps)


# --- lanes ---------------------------------------------------------------------------------------


@functools.cache
def sum_squares_in_lanes(lanes: int, step: int, fused: bool) -> Callable[..., None]:
    """Return what fills `totals` with the sums of squares of columns that are contiguous.

    Args:
        lanes: how many there are.
        step: elements that are taken in one step; what is left over is the tail, of whose elements
            the first `plain_tail` are not added by a fused multiply-add, and the others are.
        fused: whether the lanes use a fused multiply-add.
    """
    width = (0,) * lanes

    def add(sums, value):
        return fused_multiply_add(value, value, sums) if fused else sums + value * value

    def finish(sums, x, start, stop, fused_from):
        total = lane(sums, 0)
        for j in range(1, lanes):
            total = total + lane(sums, j)
        for i in range(start, fused_from):
            value = widen(x[i])
            total = total + value * value
        for i in range(fused_from, stop):
            value = widen(x[i])
            total = fused_multiply_add(value, value, total)
        return total

    add = part(add, lanes, fused)
    finish = part(finish, lanes)

    def sum_all(totals, x, block, plain_tail):
        start, _, further, size, columns = block
        whole = size - size % step
        # Four columns at a time hide how long an addition takes.
        by_four = columns - columns % 4
        for first in range(0, by_four, 4):
            at = start + first * further
            a = b = c = d = zero_lanes(x, width)
            for i in range(at, at + whole, lanes):
                a = add(a, load_lanes(x, i, a))
                b = add(b, load_lanes(x, i + further, a))
                c = add(c, load_lanes(x, i + 2 * further, a))
                d = add(d, load_lanes(x, i + 3 * further, a))
            j, tail, left = first, at + whole, size - whole
            for sums in (a, b, c, d):
                totals[j] = finish(sums, x, tail, tail + left, tail + plain_tail)
                j += 1
                tail += further
        for j in range(by_four, columns):
            at = start + j * further
            a = zero_lanes(x, width)
            for i in range(at, at + whole, lanes):
                a = add(a, load_lanes(x, i, a))
            totals[j] = finish(a, x, at + whole, at + size, at + whole + plain_tail)

    return part(sum_all, lanes, step, fused)


# --- halving -------------------------------------------------------------------------------------


@part
def halve(terms, size, columns, stored):
    """Sum rows into the first one: the upper half is added to the lower one.

    A row that is left over where a count is odd is added to the first one, so that a single row
    is added to itself. Each sum is rounded to what `stored` holds.

    Args:
        terms: the rows, one after the other, so that half of them is one long row.
        size: how many rows there are.
        columns: how many numbers a row has.
        stored: of the type that is stored.
    """
    if size % 2:
        add_rounded(terms, shifted(terms, (size - 1) * columns), columns, stored)
    half = size // 2
    while half > 0:
        add_rounded(terms, shifted(terms, half * columns), half * columns, stored)
        if half > 2 and half % 2:
            add_rounded(terms, shifted(terms, (half - 1) * columns), columns, stored)
        half //= 2


@part
def add_rounded(totals, added, length, stored):
    """Add one row to another, rounding each sum."""
    for j in range(length):
        totals[j] = rounded(totals[j] + added[j], stored)
