"""Summation orders: left to right, in lanes, by halving.

Floating-point sums depend on their order, so each order is a function of its own. All of them are
compiled, and read from arrays without a shape: an element is found at ``start + index * stride``.
Arrays hold float32, float64, or the bits of a half type (see `ieee`); sums are held in float32 for
the half types and in the type itself otherwise.

Columns are sums that run side by side: neighbours of one another in memory, but independent.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from portnorm.exact.blocks import count, offset, row
from portnorm.exact.machine.compilation import part
from portnorm.exact.machine.ieee import flushed, fused_multiply_add, rounded, widen
from portnorm.exact.machine.lanes import lane, load_lanes, zero_lanes

SQUARES, FUSED_SQUARES, FLUSHED_SQUARES, MAGNITUDES, NONZERO, LARGEST, SMALLEST, POWERS = range(8)
"""What is added up: x*x rounded; x*x not rounded; the same with subnormals taken for 0; |x|; 1 for
x != 0; max |x|; min |x|; |x|**p."""


# --- left to right -------------------------------------------------------------------------------


@part
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


@part
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


@part
def add_row(totals: Any, a: Any, kind: int, p: Any, in_steps: bool, stored: Any) -> None:
    """Add one row to a row of running sums."""
    for j in range(len(totals)):
        totals[j] = accumulate(totals[j], a[j], kind, p, in_steps, stored)


@part
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


@part
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


@part
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


@part
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


@part
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


@part
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


@part
def add_square(lanes: Any, value: Any, fused: bool) -> Any:
    """Return the lanes after one more step."""
    return fused_multiply_add(value, value, lanes) if fused else lanes + value * value


@part
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


@part
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


# --- halving -------------------------------------------------------------------------------------


@part
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


@part
def add_rounded(totals: Any, added: Any, stored: Any) -> None:
    """Add one row to another, rounding each sum."""
    for j in range(len(totals)):
        totals[j] = rounded(totals[j] + added[j], stored)
