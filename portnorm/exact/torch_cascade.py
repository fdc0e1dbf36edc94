"""The order of torch.sum: cascades of four levels, in rows and in lanes.

torch.sum keeps four levels of running sums, so that few additions lie between an element and the
result. Which elements meet depends on how the array lies in memory.
"""

from __future__ import annotations

from typing import Any

from portnorm.exact.blocks import row
from portnorm.exact.machine.compilation import part
from portnorm.exact.machine.ieee import widen
from portnorm.exact.machine.lanes import lane, load_lanes, zero_lanes


@part
def cascade_step_power(size: int) -> int:
    """Return the binary logarithm of how many rows the lowest level takes."""
    if size <= 2:
        return 4
    digits, rest = 0, size - 1
    while rest > 0:
        digits += 1
        rest >>= 1
    return max(4, digits // 4)


@part
def add_to(totals: Any, added: Any) -> None:
    """Add one row to another."""
    for j in range(len(totals)):
        totals[j] = totals[j] + added[j]


@part
def add_four_to(totals: Any, a: Any, b: Any, c: Any, d: Any) -> None:
    """Add four rows to another, one after the other."""
    for j in range(len(totals)):
        totals[j] = (((totals[j] + a[j]) + b[j]) + c[j]) + d[j]


@part
def add_rows(
    totals: Any,
    x: Any,
    start: int,
    stride: int,
    column_stride: int,
    size: int,
    rows: Any,
) -> None:
    """Add `size` rows to the running sums, from top to bottom."""
    columns = len(totals)
    whole = size - size % 4
    for i in range(0, whole, 4):
        at = start + i * stride
        add_four_to(
            totals,
            row(x, at, column_stride, columns, rows[0]),
            row(x, at + stride, column_stride, columns, rows[1]),
            row(x, at + 2 * stride, column_stride, columns, rows[2]),
            row(x, at + 3 * stride, column_stride, columns, rows[3]),
        )
    for i in range(whole, size):
        at = start + i * stride
        add_to(totals, row(x, at, column_stride, columns, rows[0]))


@part
def cascade_rows(
    totals: Any,
    x: Any,
    start: int,
    stride: int,
    column_stride: int,
    size: int,
    levels: Any,
    rows: Any,
) -> None:
    """Fill `totals` with the sums of columns of `size` rows, each column a cascade of its own."""
    columns = len(totals)
    power = cascade_step_power(size)
    step = 1 << power
    for j in range(columns):
        totals[j] = 0
        for level in range(1, 4):
            levels[level, j] = 0
    done = 0
    while done + step <= size:
        at = start + done * stride
        add_rows(totals, x, at, stride, column_stride, step, rows)
        done += step
        lower = totals
        for level in range(1, 4):
            upper = levels[level, :columns]
            add_to(upper, lower)
            for j in range(columns):
                lower[j] = 0
            if done & ((step - 1) << (level * power)):
                break
            lower = upper
    at = start + done * stride
    add_rows(totals, x, at, stride, column_stride, size - done, rows)
    for level in range(1, 4):
        add_to(totals, levels[level, :columns])


@part
def sum_interleaved(
    totals: Any,
    x: Any,
    start: int,
    stride: int,
    column_stride: int,
    size: int,
    levels: Any,
    rows: Any,
) -> None:
    """Fill `totals` with the sums of columns: four cascades, of every fourth row each."""
    columns = len(totals)
    quarter = size // 4
    cascade_rows(totals, x, start, 4 * stride, column_stride, quarter, levels, rows)
    left_over = start + 4 * quarter * stride
    add_rows(totals, x, left_over, stride, column_stride, size - 4 * quarter, rows)
    partial = rows[4, :columns]
    for nth in range(1, 4):
        at = start + nth * stride
        cascade_rows(partial, x, at, 4 * stride, column_stride, quarter, levels, rows)
        add_to(totals, partial)


@part
def add_vectors(
    lanes: Any, x: Any, start: int, stride: int, size: int, width: tuple[int, ...], paired: bool
) -> Any:
    """Add `size` vectors to the lanes; a pair of vectors is added up first."""
    for at in range(start, start + size * stride, stride):
        vector = load_lanes(x, at, lanes)
        if paired:
            vector = vector + load_lanes(x, at + len(width), lanes)
        lanes = lanes + vector
    return lanes


@part
def cascade_lanes(
    x: Any, start: int, stride: int, size: int, width: tuple[int, ...], paired: bool
) -> Any:
    """Return the sums of `size` vectors, each lane a cascade of its own."""
    zero = zero_lanes(x, width)
    total = first = second = third = zero
    power = cascade_step_power(size)
    step = 1 << power
    for done in range(step, size + 1, step):
        at = start + (done - step) * stride
        first = first + add_vectors(total, x, at, stride, step, width, paired)
        if done & ((step - 1) << power):
            continue
        second, first = second + first, zero
        if done & ((step - 1) << (2 * power)):
            continue
        third, second = third + second, zero
    rest = size % step
    total = add_vectors(total, x, start + (size - rest) * stride, stride, rest, width, paired)
    return ((total + first) + second) + third


@part
def sum_contiguous(x: Any, start: int, size: int, width: tuple[int, ...], paired: bool) -> Any:
    """Return the sum of contiguous elements: four cascades in lanes, then the tail first."""
    lanes = len(width)
    step = 2 * lanes if paired else lanes
    vectors = size // step
    quarter = vectors // 4
    sums = cascade_lanes(x, start, 4 * step, quarter, width, paired)
    left_over = start + 4 * quarter * step
    sums = add_vectors(sums, x, left_over, step, vectors - 4 * quarter, width, paired)
    for nth in range(1, 4):
        sums = sums + cascade_lanes(x, start + nth * step, 4 * step, quarter, width, paired)
    total = lane(zero_lanes(x, width), 0)
    for i in range(start + vectors * step, start + size):
        total = total + widen(x[i])
    for j in range(lanes):
        total = total + lane(sums, j)
    return total


@part
def sum_columns(
    totals: Any,
    x: Any,
    start: int,
    stride: int,
    column_stride: int,
    size: int,
    first: int,
    columns: int,
    width: tuple[int, ...],
    paired: bool,
    levels: Any,
    rows: Any,
) -> None:
    """Fill `totals` with the sums of `size` rows of some of the columns of a block.

    Args:
        start: where the first element of the block lies.
        first: the column of the block that belongs to ``totals[0]``.
        columns: how many columns the block has. The order depends on it, for some columns are
            taken in groups, and the last ones singly.
        width: a tuple of as many entries as torch keeps numbers in a register.
        paired: whether it loads two registers at once, as it does for half types.
    """
    lanes = len(width)
    vector = 2 * lanes if paired else lanes
    at = start + first * column_stride
    if stride == 1 and size >= vector:
        for j in range(len(totals)):
            totals[j] = sum_contiguous(x, at + j * column_stride, size, width, paired)
        return
    if column_stride == 1 and columns >= vector:
        grouped = columns - columns % (4 * lanes)
    elif stride < column_stride:
        grouped = 0
    else:
        grouped = columns - columns % 4
    cascades = min(max(grouped - first, 0), len(totals))
    if cascades > 0:
        cascade_rows(totals[:cascades], x, at, stride, column_stride, size, levels, rows)
    if cascades < len(totals):
        at += cascades * column_stride
        sum_interleaved(totals[cascades:], x, at, stride, column_stride, size, levels, rows)
