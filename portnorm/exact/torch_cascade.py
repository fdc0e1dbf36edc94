"""The order of torch.sum: cascades of four levels, in rows and in lanes.

torch.sum keeps four levels of running sums, so that few additions lie between an element and the
result. Which elements meet depends on how the array lies in memory. Sums over columns take memory
for `LEVELS` rows of running sums, and buffers for `BUFFERS` rows.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from portnorm.exact.blocks import Columns, row
from portnorm.exact.machine.compilation import part, subroutine
from portnorm.exact.machine.ieee import widen
from portnorm.exact.machine.lanes import lane, load_lanes, load_neighbours, zero_lanes
from portnorm.exact.machine.pointers import shifted, smaller

SUM_BLOCK = 256
"""Columns whose sums are taken side by side, and the length of rows; a multiple of 4 * lanes."""

LEVELS, BUFFERS = 4, 5

SINGLE, REGISTERS, NEIGHBOURS = range(3)
"""Which two elements of a contiguous vector are added up first: none, those that lie in the same
lane of two registers, or each with the next one."""


@part
def cascade_step_power(size):
    """Return the binary logarithm of how many rows the lowest level takes."""
    if size <= 2:
        return 4
    digits, rest = 0, size - 1
    while rest > 0:
        digits += 1
        rest >>= 1
    return 4 if digits < 16 else digits // 4


@part
def add_to(totals, added, columns):
    """Add one row to another."""
    for j in range(columns):
        totals[j] = totals[j] + added[j]


@subroutine
def add_rows(totals, x, block, rows):
    """Add rows to the running sums, from top to bottom."""
    start, stride, further, size, columns = block
    whole = size - size % 4
    for i in range(0, whole, 4):
        at = start + i * stride
        a = row(x, at, further, columns, rows)
        b = row(x, at + stride, further, columns, shifted(rows, SUM_BLOCK))
        c = row(x, at + 2 * stride, further, columns, shifted(rows, 2 * SUM_BLOCK))
        d = row(x, at + 3 * stride, further, columns, shifted(rows, 3 * SUM_BLOCK))
        for j in range(columns):
            totals[j] = (((totals[j] + a[j]) + b[j]) + c[j]) + d[j]
    for i in range(whole, size):
        add_to(totals, row(x, start + i * stride, further, columns, rows), columns)


@subroutine
def cascade_rows(totals, x, block, levels, rows):
    """Fill `totals` with the sums of columns, each column a cascade of its own."""
    start, stride, further, size, columns = block
    power = cascade_step_power(size)
    step = 1 << power
    for j in range(columns):
        totals[j] = 0
        for level in range(1, LEVELS):
            levels[level * SUM_BLOCK + j] = 0
    done = 0
    while done + step <= size:
        add_rows(totals, x, Columns(start + done * stride, stride, further, step, columns), rows)
        done += step
        lower = totals
        for level in range(1, LEVELS):
            upper = shifted(levels, level * SUM_BLOCK)
            add_to(upper, lower, columns)
            for j in range(columns):
                lower[j] = 0
            if done & ((step - 1) << (level * power)):
                break
            lower = upper
    rest = Columns(start + done * stride, stride, further, size - done, columns)
    add_rows(totals, x, rest, rows)
    for level in range(1, LEVELS):
        add_to(totals, shifted(levels, level * SUM_BLOCK), columns)


@part
def sum_interleaved(totals, x, block, levels, rows):
    """Fill `totals` with the sums of columns: four cascades, of every fourth row each."""
    start, stride, further, size, columns = block
    quarter = size // 4
    cascade_rows(totals, x, Columns(start, 4 * stride, further, quarter, columns), levels, rows)
    left_over = start + 4 * quarter * stride
    rest = Columns(left_over, stride, further, size - 4 * quarter, columns)
    add_rows(totals, x, rest, rows)
    partial = shifted(rows, 4 * SUM_BLOCK)
    for nth in range(1, 4):
        every_fourth = Columns(start + nth * stride, 4 * stride, further, quarter, columns)
        cascade_rows(partial, x, every_fourth, levels, rows)
        add_to(totals, partial, columns)


@functools.cache
def cascade_lanes(lanes: int, paired: int) -> Callable[..., Any]:
    """Return what sums vectors, each lane a cascade of its own."""
    width = (0,) * lanes
    add_vectors = vector_adder(lanes, paired)

    def sum_all(x, start, stride, size):
        zero = zero_lanes(x, width)
        total = first = second = third = zero
        power = cascade_step_power(size)
        step = 1 << power
        for done in range(step, size + 1, step):
            first = first + add_vectors(total, x, start + (done - step) * stride, stride, step)
            if done & ((step - 1) << power):
                continue
            second, first = second + first, zero
            if done & ((step - 1) << (2 * power)):
                continue
            third, second = third + second, zero
        rest = size % step
        total = add_vectors(total, x, start + (size - rest) * stride, stride, rest)
        return ((total + first) + second) + third

    return subroutine(sum_all, lanes, paired)


@functools.cache
def vector_adder(lanes: int, paired: int) -> Callable[..., Any]:
    """Return what adds vectors to lanes.

    Args:
        lanes: how many there are.
        paired: which two elements torch adds up first, as it does for half types.
    """

    def add_vectors(sums, x, start, stride, size):
        for at in range(start, start + size * stride, stride):
            if paired == NEIGHBOURS:
                vector = load_neighbours(x, at, sums)
            elif paired == REGISTERS:
                vector = load_lanes(x, at, sums) + load_lanes(x, at + lanes, sums)
            else:
                vector = load_lanes(x, at, sums)
            sums = sums + vector
        return sums

    return part(add_vectors, lanes, paired)


@functools.cache
def sum_contiguous(lanes: int, paired: int) -> Callable[..., Any]:
    """Return what sums contiguous elements: four cascades in lanes, then the tail first."""
    width, step = (0,) * lanes, 2 * lanes if paired else lanes
    cascade, add_vectors = cascade_lanes(lanes, paired), vector_adder(lanes, paired)

    def sum_all(x, start, size):
        vectors = size // step
        quarter = vectors // 4
        sums = cascade(x, start, 4 * step, quarter)
        left_over = start + 4 * quarter * step
        sums = add_vectors(sums, x, left_over, step, vectors - 4 * quarter)
        for nth in range(1, 4):
            sums = sums + cascade(x, start + nth * step, 4 * step, quarter)
        total = lane(zero_lanes(x, width), 0)
        for i in range(start + vectors * step, start + size):
            total = total + widen(x[i])
        for j in range(lanes):
            total = total + lane(sums, j)
        return total

    return part(sum_all, lanes, paired)


IN_REGISTERS, IN_ROWS, IN_EITHER = range(3)
"""How columns are summed: each by `sum_contiguous`, or side by side; or it depends on the size."""


def order_of_columns(size: int, stride: int, lanes: int, paired: int) -> int:
    """Return how columns with this size and stride are summed."""
    return IN_REGISTERS if stride == 1 and size >= (2 * lanes if paired else lanes) else IN_ROWS


@functools.cache
def sum_columns(order: int, lanes: int, paired: int) -> Callable[..., None]:
    """Return what fills `totals` with the sums of some of the columns of a block.

    It takes the block, and the first column and the number of those that are summed. The order
    depends on how many columns the block has: some are taken in groups, and the last ones singly.

    Args:
        order: how they are summed.
        lanes: how many numbers torch keeps in a register.
        paired: which two elements it adds up first.
    """
    sum_one = sum_contiguous(lanes, paired)
    vector = 2 * lanes if paired else lanes

    def in_registers(totals, x, block, first, taken):
        at = block.start + first * block.column_stride
        for j in range(taken):
            totals[j] = sum_one(x, at + j * block.column_stride, block.size)

    def in_rows(totals, x, block, first, taken, levels, rows):
        start, stride, further, size, columns = block
        at = start + first * further
        if further == 1 and columns >= vector:
            grouped = columns - columns % (4 * lanes)
        elif stride < further:
            grouped = 0
        else:
            grouped = columns - columns % 4
        cascades = smaller(grouped - first, taken)
        if cascades > 0:
            cascade_rows(totals, x, Columns(at, stride, further, size, cascades), levels, rows)
        else:
            cascades = 0
        if cascades < taken:
            left = Columns(at + cascades * further, stride, further, size, taken - cascades)
            sum_interleaved(shifted(totals, cascades), x, left, levels, rows)

    in_registers, in_rows = part(in_registers, lanes, paired), part(in_rows, lanes, paired)

    def sum_all(totals, x, block, first, taken, levels, rows):
        if order == IN_REGISTERS:
            in_registers(totals, x, block, first, taken)
        elif order == IN_ROWS:
            in_rows(totals, x, block, first, taken, levels, rows)
        elif block.stride == 1 and block.size >= vector:
            in_registers(totals, x, block, first, taken)
        else:
            in_rows(totals, x, block, first, taken, levels, rows)

    return part(sum_all, order, lanes, paired)
