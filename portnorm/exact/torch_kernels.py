"""The kernels of `torch_cpu`: what is done with the elements, in compiled code.

Tables, columns and units of work are those of `blocks`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from portnorm.exact.blocks import (
    ROW,
    count,
    divide_block,
    divide_columns,
    divide_row,
    offset,
    place,
    row,
    store,
)
from portnorm.exact.machine.compilation import kernel, part
from portnorm.exact.machine.ieee import (
    accumulators,
    after_entering,
    enter_default_environment,
    leave_default_environment,
    narrow,
    rounded,
    widen,
)
from portnorm.exact.machine.threads import take, take_next
from portnorm.exact.reduction import (
    FUSED_SQUARES,
    LARGEST,
    MAGNITUDES,
    NONZERO,
    POWERS,
    SMALLEST,
    SQUARES,
    sum_by_threads,
    sum_left_to_right,
    sum_squares_in_lanes,
)
from portnorm.exact.torch_cascade import sum_columns

SUM_BLOCK = 256
"""Columns whose sums are taken side by side; a multiple of four times the lanes."""


class NormRule(NamedTuple):
    """How a norm is computed.

    Attributes:
        kind: what is summed; see `reduction`.
        p: the order, for POWERS.
        in_steps: each term and each sum is rounded to the dtype.
        width: a tuple of as many entries as the fast path has lanes.
        step: elements of one step of the fast path; 0 where it does not apply.
        lanes_fused: the lanes use a fused multiply-add.
        plain_tail: elements of the tail, from its start, that do not.
        chunk: elements that each of torch's threads sums; 0 where it does not split the sum.
    """

    kind: int
    p: float
    in_steps: bool
    width: tuple[int, ...]
    step: int
    lanes_fused: bool
    plain_tail: int
    chunk: int


# --- forward -------------------------------------------------------------------------------------


@part
def norms_of_block(
    norms: Any, x: Any, start: int, column_stride: int, reduced: Any, rule: NormRule, rows: Any
) -> None:
    """Fill `norms` with the norms of neighbouring columns, rounded to the dtype of x."""
    p = rows.dtype.type(rule.p)
    if rule.step:
        sum_squares_in_lanes(
            norms,
            x,
            start,
            reduced[0, 0],
            column_stride,
            rule.width,
            rule.step,
            rule.lanes_fused,
            rule.plain_tail,
        )
    elif rule.chunk:
        norms[0] = sum_by_threads(x, start, reduced, rule.chunk, rule.kind, p, rule.in_steps, rows)
    else:
        sum_left_to_right(
            norms, x, start, reduced, column_stride, rule.kind, p, rule.in_steps, rows
        )
    for j in range(len(norms)):
        norm = norms[j]
        if rule.kind == SQUARES or rule.kind == FUSED_SQUARES:
            norm = np.sqrt(norm)
        elif rule.kind == POWERS:
            norm = norm ** (rows.dtype.type(1) / p)
        norms[j] = rounded(norm, x)


@part
def at_least(norm: Any, floor: Any) -> Any:
    """Return what to divide by: a NaN norm stays NaN, and a NaN floor takes the place of any."""
    return floor if norm < floor or floor != floor else norm


@kernel
def fill_norms(
    queue: Any,
    block: int,
    norms: Any,
    x: Any,
    reduced: Any,
    kept: Any,
    rule: NormRule,
) -> None:
    """Write the norms of blocks of columns. Operands: x, norms."""
    previous = enter_default_environment()
    rows = accumulators(x, 10, max(block, ROW))
    blocks = (kept[0, 0] + block - 1) // block
    unit = take(queue)
    while unit >= 0:
        index, column = unit // blocks, unit % blocks * block
        norms_here = rows[9, : min(block, kept[0, 0] - column)]
        start = place(index, column, kept, 1)
        norms_of_block(norms_here, x, start, kept[0, 1], reduced, rule, rows)
        at = place(index, column, kept, 2)
        for j in range(len(norms_here)):
            norms[at + j * kept[0, 2]] = norms_here[j]
        unit = take_next(queue)
    leave_default_environment(previous)


@kernel
def divide_by_norms(
    queue: Any,
    block: int,
    y: Any,
    x: Any,
    reduced: Any,
    kept: Any,
    eps: float,
    rule: NormRule,
) -> None:
    """Normalize blocks of columns, each while it is in the cache. Operands: x, norms, y."""
    previous = enter_default_environment()
    rows = accumulators(x, 10, max(block, ROW))
    floor = rows.dtype.type(after_entering(eps))
    blocks = (kept[0, 0] + block - 1) // block
    unit = take(queue)
    while unit >= 0:
        index, column = unit // blocks, unit % blocks * block
        divisors = rows[9, : min(block, kept[0, 0] - column)]
        start = place(index, column, kept, 1)
        norms_of_block(divisors, x, start, kept[0, 1], reduced, rule, rows)
        for j in range(len(divisors)):
            divisors[j] = at_least(divisors[j], floor)
        divide_block(y, place(index, column, kept, 3), x, start, divisors, reduced, kept)
        unit = take_next(queue)
    leave_default_environment(previous)


@kernel
def divide_elements(
    queue: Any, block: int, y: Any, x: Any, norms: Any, table: Any, eps: float
) -> None:
    """Divide by norms that are known. Operands: x, norms, y."""
    previous = enter_default_environment()
    rows = accumulators(x, 1, block)
    floor = rows.dtype.type(after_entering(eps))
    size, stride, norm_stride, y_stride = table[0, 0], table[0, 1], table[0, 2], table[0, 3]
    blocks = (size + block - 1) // block
    unit = take(queue)
    while unit >= 0:
        index, column = unit // blocks, unit % blocks * block
        columns = min(block, size - column)
        at, to = place(index, column, table, 1), place(index, column, table, 3)
        ns = row(norms, place(index, column, table, 2), norm_stride, columns, rows[0])
        if stride != 1 or y_stride != 1:
            for j in range(columns):
                quotient = widen(x[at + j * stride]) / at_least(ns[j], floor)
                y[to + j * y_stride] = narrow(quotient, y)
        elif norm_stride == 0:
            divide_row(y[to : to + columns], x[at : at + columns], at_least(ns[0], floor))
        else:
            divisors = floored(ns, floor, rows[0])
            divide_columns(y[to : to + columns], x[at : at + columns], divisors)
        unit = take_next(queue)
    leave_default_environment(previous)


@part
def floored(norms: Any, floor: Any, divisors: Any) -> Any:
    """Return what to divide by for each norm."""
    for j in range(len(norms)):
        divisors[j] = at_least(norms[j], floor)
    return divisors[: len(norms)]


# --- gradient ------------------------------------------------------------------------------------
# Each step rounds to the dtype, as the operators of torch do that make up the gradient.


@part
def weigh(weighted: Any, x: Any, g: Any, divisors: Any, stored: Any) -> None:
    """Compute the cotangent of the divisor, before it is summed: -g * ((x / d) / d)."""
    for j in range(len(x)):
        slope = rounded(rounded(x[j] / divisors[j], stored) / divisors[j], stored)
        weighted[j] = rounded(-g[j] * slope, stored)


@kernel
def fill_weighted(
    queue: Any,
    block: int,
    weighted: Any,
    x: Any,
    g: Any,
    norms: Any,
    table: Any,
    eps: float,
) -> None:
    """Write the summands of the divisor's cotangent. Operands: x, g, norms, weighted."""
    previous = enter_default_environment()
    rows = accumulators(x, 5, block)
    floor = rows.dtype.type(after_entering(eps))
    blocks = (table[0, 0] + block - 1) // block
    unit = take(queue)
    while unit >= 0:
        index, column = unit // blocks, unit % blocks * block
        columns = min(block, table[0, 0] - column)
        xs = row(x, place(index, column, table, 1), table[0, 1], columns, rows[0])
        gs = row(g, place(index, column, table, 2), table[0, 2], columns, rows[1])
        ns = row(norms, place(index, column, table, 3), table[0, 3], columns, rows[2])
        weigh(rows[4], xs, gs, floored(ns, floor, rows[3]), x)
        store(weighted, place(index, column, table, 4), table[0, 4], rows[4, :columns])
        unit = take_next(queue)
    leave_default_environment(previous)


@kernel
def fill_sums(
    queue: Any,
    sums: Any,
    weighted: Any,
    reduced: Any,
    kept: Any,
    blocks: Any,
    width: tuple[int, ...],
    paired: bool,
) -> None:
    """Sum over one dim, in the order of torch.sum.

    Args:
        blocks: rows (first column, last column, first and last column of the section that
            torch gives to one thread).
    """
    previous = enter_default_environment()
    levels = accumulators(weighted, 4, SUM_BLOCK)
    rows = accumulators(weighted, 6, SUM_BLOCK)
    unit = take(queue)
    while unit >= 0:
        index, block = unit // len(blocks), unit % len(blocks)
        begin, end, section, section_end = blocks[block]
        totals = rows[5, : end - begin]
        sum_columns(
            totals,
            weighted,
            place(index, section, kept, 1),
            reduced[0, 1],
            kept[0, 1],
            reduced[0, 0],
            begin - section,
            section_end - section,
            width,
            paired,
            levels,
            rows,
        )
        at = place(index, begin, kept, 2)
        for j in range(len(totals)):
            sums[at + j * kept[0, 2]] = rounded(0 + totals[j], weighted)
        unit = take_next(queue)
    leave_default_environment(previous)


@part
def sum_of_range(
    weighted: Any,
    start: int,
    reduced: Any,
    first: int,
    last: int,
    width: tuple[int, ...],
    paired: bool,
    in_steps: bool,
    levels: Any,
    rows: Any,
) -> Any:
    """Return the sum of the elements from `first` to `last`, counted along the reduced dims.

    Args:
        in_steps: whether each sum over the innermost dim is rounded, and each total.
    """
    total = rows.dtype.type(0)
    size, columns = reduced[0, 0], 1
    column_stride = 0
    if len(reduced) > 1:
        columns, column_stride = reduced[1, 0], reduced[1, 1]
    while first < last:
        inner, index = first % size, first // size
        taken, side_by_side = min(size - inner, last - first), 1
        if taken == size and len(reduced) > 1:
            side_by_side = min(columns - index % columns, (last - first) // size)
        at = start + offset(index, reduced, 1, 1) + inner * reduced[0, 1]
        for begin in range(0, side_by_side, SUM_BLOCK):
            totals = rows[5, : min(SUM_BLOCK, side_by_side - begin)]
            sum_columns(
                totals,
                weighted,
                at,
                reduced[0, 1],
                column_stride,
                taken,
                begin,
                side_by_side,
                width,
                paired,
                levels,
                rows,
            )
            for j in range(len(totals)):
                if in_steps:
                    total = rounded(total + rounded(totals[j], weighted), weighted)
                else:
                    total = total + totals[j]
        first += taken * side_by_side
    return total


@kernel
def fill_sums_of_several_dims(
    queue: Any,
    sums: Any,
    weighted: Any,
    reduced: Any,
    kept: Any,
    chunk: int,
    threads: int,
    width: tuple[int, ...],
    paired: bool,
    in_steps: bool,
) -> None:
    """Sum over dims that do not merge, or, in chunks, over one that torch's threads share."""
    previous = enter_default_environment()
    levels = accumulators(weighted, 4, SUM_BLOCK)
    rows = accumulators(weighted, 6, SUM_BLOCK)
    partial = accumulators(weighted, 1, threads)[0]
    elements = count(reduced, 0)
    unit = take(queue)
    while unit >= 0:
        start = offset(unit, kept, 0, 1)
        partial[:] = 0
        thread = 0
        for begin in range(0, elements, chunk):
            end = min(elements, begin + chunk)
            total = sum_of_range(
                weighted, start, reduced, begin, end, width, paired, in_steps, levels, rows
            )
            partial[thread] = rounded(total, weighted) if paired else total
            thread += 1
        total = partial[0]
        if thread > 1:
            totals = rows[5, :1]
            sum_columns(totals, partial, 0, 1, 0, threads, 0, 1, width, paired, levels, rows)
            total = 0 + totals[0]
        sums[offset(unit, kept, 0, 2)] = rounded(total, weighted)
        unit = take_next(queue)
    leave_default_environment(previous)


@kernel
def copy_to_sums(sums: Any, weighted: Any, table: Any, from_zero: bool) -> None:
    """Take each summand for a sum, where nothing is summed. Operands: weighted, sums."""
    previous = enter_default_environment()
    for index in range(count(table, 0)):
        value = widen(weighted[offset(index, table, 0, 1)])
        sums[offset(index, table, 0, 2)] = 0 + value if from_zero else value
    leave_default_environment(previous)


@kernel
def count_ties(ties: Any, x: Any, norms: Any, table: Any) -> None:
    """Count the elements that are as large as the norm. Operands: x, norms."""
    previous = enter_default_environment()
    for index in range(count(table, 0)):
        size = abs(widen(x[offset(index, table, 0, 1)]))
        at = offset(index, table, 0, 2)
        if size == norms[at] or size != size:
            ties[at] += 1
    leave_default_environment(previous)


@kernel
def finish_sums(
    sums: Any, norms: Any, ties: Any, stored: Any, eps: float, passes_at_floor: bool
) -> None:
    """Let no gradient through below the floor; share it among ties where there are counts."""
    previous = enter_default_environment()
    floor = norms.dtype.type(after_entering(eps))
    for k in range(len(sums)):
        above = norms[k] >= floor if passes_at_floor else norms[k] > floor
        if not above:
            sums[k] = 0
        if len(ties):
            shared = norms.dtype.type(ties[k])
            if len(sums) > 1:
                shared = rounded(shared, stored)
            sums[k] = rounded(sums[k] / shared, stored)
    leave_default_environment(previous)


@part
def sign(value: Any) -> Any:
    """Return -1, 0 or 1."""
    return np.float32(value > 0) - np.float32(value < 0)


@part
def combine(
    grad: Any, x: Any, g: Any, norms: Any, divisors: Any, sums: Any, kind: int, stored: Any
) -> None:
    """Add what reaches x through the quotient and what reaches it through the norm."""
    for j in range(len(x)):
        direct = rounded(g[j] / divisors[j], stored)
        if kind == NONZERO:
            grad[j] = direct
            continue
        if kind == MAGNITUDES:
            through = rounded(sign(x[j]) * sums[j], stored)
        elif kind == LARGEST or kind == SMALLEST:
            size = abs(x[j])
            tie = np.float32(size == norms[j] or size != size)
            through = rounded(sign(x[j]) * rounded(sums[j] * tie, stored), stored)
        else:
            unit = rounded(x[j] / norms[j], stored)
            if norms[j] == 0:
                unit = norms[j]
            through = rounded(sums[j] * unit, stored)
        grad[j] = rounded(direct + through, stored)


@kernel
def fill_gradient(
    queue: Any,
    block: int,
    gradient: Any,
    x: Any,
    g: Any,
    norms: Any,
    sums: Any,
    table: Any,
    eps: float,
    kind: int,
) -> None:
    """Write the gradient. Operands: x, g, norms and sums, gradient."""
    previous = enter_default_environment()
    rows = accumulators(x, 6, block)
    floor = rows.dtype.type(after_entering(eps))
    blocks = (table[0, 0] + block - 1) // block
    unit = take(queue)
    while unit >= 0:
        index, column = unit // blocks, unit % blocks * block
        columns = min(block, table[0, 0] - column)
        xs = row(x, place(index, column, table, 1), table[0, 1], columns, rows[0])
        gs = row(g, place(index, column, table, 2), table[0, 2], columns, rows[1])
        at = place(index, column, table, 3)
        ns = row(norms, at, table[0, 3], columns, rows[2])
        ss = row(sums, at, table[0, 3], columns, rows[3])
        combine(rows[5], xs, gs, ns, floored(ns, floor, rows[4]), ss, kind, x)
        store(gradient, place(index, column, table, 4), table[0, 4], rows[5, :columns])
        unit = take_next(queue)
    leave_default_environment(previous)
