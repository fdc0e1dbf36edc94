"""Summation orders: left to right, in lanes, by cascade, by halving.

Floating-point sums depend on their order, so each order is a function of its own. All of them are
compiled, and read from arrays without a shape: an element is found at ``start + index * stride``.
Arrays hold float32, float64, or the bits of a half type (see `ieee`); sums are held in float32 for
the half types and in the type itself otherwise.

Columns are sums that run side by side: neighbours of one another in memory, but independent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba.extending import overload

from portnorm.exact.compilation import inlined
from portnorm.exact.ieee import flushed, fused_multiply_add, rounded, widen
from portnorm.exact.lanes import lane, load_lanes, zero_lanes

SQUARES, FUSED_SQUARES, FLUSHED_SQUARES, MAGNITUDES, NONZERO, LARGEST, SMALLEST, POWERS = range(8)
"""What is added up: x*x rounded; x*x not rounded; the same with subnormals taken for 0; |x|; 1 for
x != 0; max |x|; min |x|; |x|**p."""


# --- reading -------------------------------------------------------------------------------------


def row(array: Any, start: int, stride: int, count: int, buffer: Any) -> Any:
    """Return `count` elements, widened, as a contiguous array: a part of `array` where it can be.

    Otherwise they are copied to `buffer`.
    """
    return widen(array[start + stride * np.arange(count)])


@overload(row, strict=False)  # type: ignore[untyped-decorator]
def _compile_row(
    array: Any, start: Any, stride: Any, count: Any, buffer: Any
) -> Callable[..., Any]:
    def copy(array: Any, start: int, stride: int, count: int, buffer: Any) -> Any:
        if stride == 1:
            part = array[start : start + count]
            for j in range(count):
                buffer[j] = widen(part[j])
        elif stride == 0:
            buffer[:count] = widen(array[start])
        else:
            for j in range(count):
                buffer[j] = widen(array[start + j * stride])
        return buffer[:count]

    def part_or_copy(array: Any, start: int, stride: int, count: int, buffer: Any) -> Any:
        if stride == 1:
            return array[start : start + count]
        if stride == 0:
            buffer[:count] = array[start]
        else:
            for j in range(count):
                buffer[j] = array[start + j * stride]
        return buffer[:count]

    return part_or_copy if array.dtype == buffer.dtype else copy


@inlined
def offset(index: int, table: Any, first: int, operand: int) -> int:
    """Return where the index-th element of the dims from `first` on lies for one operand."""
    at = 0
    for d in range(first, table.shape[0]):
        size = table[d, 0]
        at += index % size * table[d, operand]
        index //= size
    return at


@inlined
def count(table: Any, first: int) -> int:
    """Return how many elements the dims from `first` on have."""
    elements = 1
    for d in range(first, table.shape[0]):
        elements *= table[d, 0]
    return elements


# --- left to right -------------------------------------------------------------------------------


@inlined
def accumulate(total: Any, value: Any, kind: int, p: Any, in_steps: bool, stored: Any) -> Any:
    """Return the running sum after one more value.

    Args:
        total: the running sum before it.
        value: an element, widened.
        kind: what is added up.
        p: the order, for POWERS.
        in_steps: whether each term and each sum is rounded to what `stored` holds.
        stored: the array of the elements.
    """
    if kind == LARGEST or kind == SMALLEST:
        size = abs(value)
        further = size > total if kind == LARGEST else size < total
        return size if further or size != size else total
    if kind == FUSED_SQUARES:
        return fused_multiply_add(value, value, total)
    if kind == FLUSHED_SQUARES:
        value = flushed(value, stored)
        return flushed(fused_multiply_add(value, value, total), stored)
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


@inlined
def add_four_rows(
    totals: Any, a: Any, b: Any, c: Any, d: Any, kind: int, p: Any, in_steps: bool, stored: Any
) -> None:
    """Add four rows to a row of running sums, one after the other."""
    if kind == SQUARES and not in_steps:
        for j in range(len(totals)):
            total = totals[j] + a[j] * a[j]
            total = total + b[j] * b[j]
            total = total + c[j] * c[j]
            totals[j] = total + d[j] * d[j]
        return
    for j in range(len(totals)):
        total = accumulate(totals[j], a[j], kind, p, in_steps, stored)
        total = accumulate(total, b[j], kind, p, in_steps, stored)
        total = accumulate(total, c[j], kind, p, in_steps, stored)
        totals[j] = accumulate(total, d[j], kind, p, in_steps, stored)


@inlined
def add_row(totals: Any, a: Any, kind: int, p: Any, in_steps: bool, stored: Any) -> None:
    """Add one row to a row of running sums."""
    for j in range(len(totals)):
        totals[j] = accumulate(totals[j], a[j], kind, p, in_steps, stored)


@inlined
def add_rows_left_to_right(
    totals: Any,
    x: Any,
    start: int,
    size: int,
    stride: int,
    kind: int,
    p: Any,
    in_steps: bool,
    rows: Any,
) -> None:
    """Add `size` rows of contiguous columns to the running sums."""
    columns = len(totals)
    whole = size - size % 4
    for i in range(0, whole, 4):
        at = start + i * stride
        add_four_rows(
            totals,
            row(x, at, 1, columns, rows[0]),
            row(x, at + stride, 1, columns, rows[1]),
            row(x, at + 2 * stride, 1, columns, rows[2]),
            row(x, at + 3 * stride, 1, columns, rows[3]),
            kind,
            p,
            in_steps,
            x,
        )
    for i in range(whole, size):
        added = row(x, start + i * stride, 1, columns, rows[0])
        add_row(totals, added, kind, p, in_steps, x)


@inlined
def add_columns_left_to_right(
    totals: Any,
    x: Any,
    start: int,
    size: int,
    stride: int,
    column_stride: int,
    kind: int,
    p: Any,
    in_steps: bool,
    rows: Any,
) -> None:
    """Add `size` elements to each running sum, some columns at a time to hide the latency."""
    columns, chunk = len(totals), rows.shape[1]
    for first in range(0, columns, CHAINS):
        side_by_side = min(CHAINS, columns - first)
        for begin in range(0, size, chunk):
            taken = min(chunk, size - begin)
            at = start + first * column_stride + begin * stride
            sums = totals[first : first + side_by_side]
            if side_by_side == CHAINS and kind == SQUARES and not in_steps and stride == 1:
                add_squares_of_columns(sums, x, at, taken, column_stride, rows)
                continue
            for j in range(side_by_side):
                added = row(x, at + j * column_stride, stride, taken, rows[0])
                total = sums[j]
                for i in range(taken):
                    total = accumulate(total, added[i], kind, p, in_steps, x)
                sums[j] = total


CHAINS = 8
"""Columns whose sums are kept in registers."""


@inlined
def add_squares_of_columns(
    totals: Any, x: Any, start: int, size: int, column_stride: int, rows: Any
) -> None:
    """Add squares to eight running sums side by side, each from left to right."""
    a = row(x, start, 1, size, rows[0])
    b = row(x, start + column_stride, 1, size, rows[1])
    c = row(x, start + 2 * column_stride, 1, size, rows[2])
    d = row(x, start + 3 * column_stride, 1, size, rows[3])
    e = row(x, start + 4 * column_stride, 1, size, rows[4])
    f = row(x, start + 5 * column_stride, 1, size, rows[5])
    g = row(x, start + 6 * column_stride, 1, size, rows[6])
    h = row(x, start + 7 * column_stride, 1, size, rows[7])
    s, t, u, v = totals[0], totals[1], totals[2], totals[3]
    w, y, z, q = totals[4], totals[5], totals[6], totals[7]
    for i in range(size):
        s = s + a[i] * a[i]
        t = t + b[i] * b[i]
        u = u + c[i] * c[i]
        v = v + d[i] * d[i]
        w = w + e[i] * e[i]
        y = y + f[i] * f[i]
        z = z + g[i] * g[i]
        q = q + h[i] * h[i]
    totals[0], totals[1], totals[2], totals[3] = s, t, u, v
    totals[4], totals[5], totals[6], totals[7] = w, y, z, q


@inlined
def sum_range(
    x: Any,
    start: int,
    reduced: Any,
    first: int,
    last: int,
    kind: int,
    p: Any,
    in_steps: bool,
    rows: Any,
) -> Any:
    """Return the sum of the elements from `first` to `last`, counted along the reduced dims."""
    total = rows[8, :1]
    total[0] = 0
    size, stride = reduced[0, 0], reduced[0, 1]
    while first < last:
        inner = first % size
        taken = min(size - inner, last - first)
        at = start + offset(first // size, reduced, 1, 1) + inner * stride
        add_columns_left_to_right(total, x, at, taken, stride, 0, kind, p, in_steps, rows)
        first += taken
    return total[0]


@inlined
def sum_by_threads(
    x: Any,
    start: int,
    reduced: Any,
    chunk: int,
    kind: int,
    p: Any,
    in_steps: bool,
    rows: Any,
) -> Any:
    """Return a sum as threads share it out: each takes a chunk, the first one adds them up."""
    elements = count(reduced, 0)
    total = sum_range(x, start, reduced, 0, min(chunk, elements), kind, p, in_steps, rows)
    for first in range(chunk, elements, chunk):
        last = min(first + chunk, elements)
        total = total + sum_range(x, start, reduced, first, last, kind, p, in_steps, rows)
        if in_steps:
            total = rounded(total, x)
    return total


@inlined
def sum_left_to_right(
    totals: Any,
    x: Any,
    start: int,
    reduced: Any,
    column_stride: int,
    kind: int,
    p: Any,
    in_steps: bool,
    rows: Any,
) -> None:
    """Fill `totals` with the sums of neighbouring columns over the dims in `reduced`."""
    for j in range(len(totals)):
        totals[j] = np.inf if kind == SMALLEST else 0
    size, stride = reduced[0, 0], reduced[0, 1]
    for outer in range(count(reduced, 1)):
        at = start + offset(outer, reduced, 1, 1)
        if column_stride == 1:
            add_rows_left_to_right(totals, x, at, size, stride, kind, p, in_steps, rows)
        else:
            add_columns_left_to_right(
                totals, x, at, size, stride, column_stride, kind, p, in_steps, rows
            )


# --- lanes ---------------------------------------------------------------------------------------


@inlined
def add_square(lanes: Any, value: Any, fused: bool) -> Any:
    """Return the lanes after one more step."""
    return fused_multiply_add(value, value, lanes) if fused else lanes + value * value


@inlined
def finish_lanes(
    lanes: Any, width: tuple[int, ...], x: Any, start: int, stop: int, fused_from: int
) -> Any:
    """Add the lanes up, first to last, and then the elements that did not fill a step."""
    total = lane(lanes, 0)
    for j in range(1, len(width)):
        total = total + lane(lanes, j)
    for i in range(start, fused_from):
        value = widen(x[i])
        total = total + value * value
    for i in range(fused_from, stop):
        value = widen(x[i])
        total = fused_multiply_add(value, value, total)
    return total


@inlined
def sum_squares_in_lanes(
    totals: Any,
    x: Any,
    start: int,
    size: int,
    column_stride: int,
    width: tuple[int, ...],
    step: int,
    fused: bool,
    plain_tail: int,
) -> None:
    """Fill `totals` with the sums of squares of columns that are contiguous in themselves.

    Args:
        width: a tuple of as many entries as there are lanes.
        step: elements that are taken in one step; what is left over is the tail.
        fused: whether the lanes use a fused multiply-add.
        plain_tail: how many elements of the tail, from its start, do not.
    """
    columns, lanes = len(totals), len(width)
    whole = size - size % step
    for first in range(0, columns - columns % 4, 4):
        at = start + first * column_stride
        a = b = c = d = zero_lanes(x, width)
        for i in range(at, at + whole, lanes):
            a = add_square(a, load_lanes(x, i, a), fused)
            b = add_square(b, load_lanes(x, i + column_stride, a), fused)
            c = add_square(c, load_lanes(x, i + 2 * column_stride, a), fused)
            d = add_square(d, load_lanes(x, i + 3 * column_stride, a), fused)
        j = first
        for sums in (a, b, c, d):
            tail = start + j * column_stride + whole
            stop = start + j * column_stride + size
            totals[j] = finish_lanes(sums, width, x, tail, stop, tail + plain_tail)
            j += 1
    for j in range(columns - columns % 4, columns):
        at = start + j * column_stride
        a = zero_lanes(x, width)
        for i in range(at, at + whole, lanes):
            a = add_square(a, load_lanes(x, i, a), fused)
        totals[j] = finish_lanes(a, width, x, at + whole, at + size, at + whole + plain_tail)


# --- cascade -------------------------------------------------------------------------------------
# torch.sum keeps four levels of running sums, so that few additions lie between an element and the
# result. Which elements meet depends on how the array lies in memory.


@inlined
def cascade_step_power(size: int) -> int:
    """Return the binary logarithm of how many rows the lowest level takes."""
    if size <= 2:
        return 4
    digits, rest = 0, size - 1
    while rest > 0:
        digits += 1
        rest >>= 1
    return max(4, digits // 4)


@inlined
def add_to(totals: Any, added: Any) -> None:
    """Add one row to another."""
    for j in range(len(totals)):
        totals[j] = totals[j] + added[j]


@inlined
def add_four_to(totals: Any, a: Any, b: Any, c: Any, d: Any) -> None:
    """Add four rows to another, one after the other."""
    for j in range(len(totals)):
        totals[j] = (((totals[j] + a[j]) + b[j]) + c[j]) + d[j]


@inlined
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


@inlined
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


@inlined
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
    for part in range(1, 4):
        at = start + part * stride
        cascade_rows(partial, x, at, 4 * stride, column_stride, quarter, levels, rows)
        add_to(totals, partial)


@inlined
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


@inlined
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


@inlined
def sum_contiguous(x: Any, start: int, size: int, width: tuple[int, ...], paired: bool) -> Any:
    """Return the sum of contiguous elements: four cascades in lanes, then the tail first."""
    lanes = len(width)
    step = 2 * lanes if paired else lanes
    vectors = size // step
    quarter = vectors // 4
    sums = cascade_lanes(x, start, 4 * step, quarter, width, paired)
    left_over = start + 4 * quarter * step
    sums = add_vectors(sums, x, left_over, step, vectors - 4 * quarter, width, paired)
    for part in range(1, 4):
        sums = sums + cascade_lanes(x, start + part * step, 4 * step, quarter, width, paired)
    total = lane(zero_lanes(x, width), 0)
    for i in range(start + vectors * step, start + size):
        total = total + widen(x[i])
    for j in range(lanes):
        total = total + lane(sums, j)
    return total


@inlined
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


# --- halving -------------------------------------------------------------------------------------


@inlined
def halve(terms: Any, stored: Any) -> None:
    """Sum the rows of `terms` into the first one: the upper half is added to the lower one.

    A row that is left over where a count is odd is added to the first one, so that a single row
    is added to itself. Each sum is rounded to what `stored` holds.
    """
    size = len(terms)
    if size % 2:
        add_rounded(terms[0], terms[size - 1], stored)
    half = size // 2
    while half > 0:
        for i in range(half):
            add_rounded(terms[i], terms[half + i], stored)
        if half > 2 and half % 2:
            add_rounded(terms[0], terms[half - 1], stored)
        half //= 2


@inlined
def add_rounded(totals: Any, added: Any, stored: Any) -> None:
    """Add one row to another, rounding each sum."""
    for j in range(len(totals)):
        totals[j] = rounded(totals[j] + added[j], stored)
