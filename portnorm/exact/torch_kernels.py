"""The kernels of `torch_cpu`: what is done with the elements, in compiled code.

Tables, columns and units of work are those of `blocks`. A factory makes a kernel for each way to
sum, so that a call compiles what it runs and nothing else.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from portnorm.exact.blocks import DIM, Columns, count, division, offset, place, row
from portnorm.exact.machine.compilation import kernel, part
from portnorm.exact.machine.ieee import (
    after_entering,
    computed,
    enter_default_environment,
    leave_default_environment,
    narrow,
    rounded,
    square_root,
    widen,
)
from portnorm.exact.machine.pointers import elements, shifted, smaller
from portnorm.exact.machine.threads import take, take_next
from portnorm.exact.reduction import (
    BUFFERS,
    FUSED_SQUARES,
    POWERS,
    SQUARES,
    sum_by_threads,
    sum_left_to_right,
    sum_squares_in_lanes,
)
from portnorm.exact.torch_cascade import BUFFERS as CASCADE_BUFFERS
from portnorm.exact.torch_cascade import IN_EITHER, LEVELS, SUM_BLOCK, sum_columns

NORM_ROWS = BUFFERS + 2
"""Rows of the buffer of `divide_by_norms`: for sums, a partial sum, and norms."""
SUM_ROWS = LEVELS + CASCADE_BUFFERS + 1
"""Rows of the buffer of `fill_sums`; `fill_sums_of_several_dims` takes a number a thread more."""
DIVIDE_ROWS = 1
"""Rows of the buffer of `divide_elements`."""


class NormWay(NamedTuple):
    """What of a norm has code of its own.

    Attributes:
        kind: what is summed; see `reduction`.
        in_steps: whether each term and each sum is rounded to the dtype.
        lanes, step, lanes_fused: of the fast path, see `sum_squares_in_lanes`; 0 elsewhere.
        chunked: whether torch's threads share a sum out.
        neighbours: whether columns lie side by side.
    """

    kind: int
    in_steps: bool
    lanes: int
    step: int
    lanes_fused: bool
    chunked: bool
    neighbours: bool


# --- forward -------------------------------------------------------------------------------------


@functools.cache
def norms_of_block(way: NormWay) -> Callable[..., None]:
    """Return what fills `norms` with the norms of columns, rounded to the dtype of x.

    The `number` that it takes is that of elements: in the tail of the fast path, from its start,
    those whose squares are rounded; or in the chunk of a thread.
    """
    if way.step:
        in_lanes = sum_squares_in_lanes(way.lanes, way.step, way.lanes_fused)
    elif way.chunked:
        by_threads = sum_by_threads(way.kind, way.in_steps)
    else:
        left_to_right = sum_left_to_right(way.kind, way.in_steps, way.neighbours)
    is_root, is_power = way.kind in (SQUARES, FUSED_SQUARES), way.kind == POWERS

    def sum_in_lanes(norms, x, block, reduced, number, p, rows, length):
        in_lanes(norms, x, block, number)

    def sum_chunks(norms, x, block, reduced, number, p, rows, length):
        norms[0] = by_threads(x, block.start, reduced, number, p, rows, length)

    def sum_in_order(norms, x, block, reduced, number, p, rows, length):
        left_to_right(norms, x, block, reduced, p, rows, length)

    add_up = part(sum_in_lanes if way.step else sum_chunks if way.chunked else sum_in_order, *way)

    def fill(norms, x, block, reduced, number, p, rows, length):
        add_up(norms, x, block, reduced, number, p, rows, length)
        for j in range(block.columns):
            norm = norms[j]
            if is_root:
                norm = square_root(norm)
            if is_power:
                norm = norm ** (computed(1.0, x) / p)
            norms[j] = rounded(norm, x)

    return part(fill, *way)


@part
def at_least(norm, floor):
    """Return what to divide by: a NaN norm stays NaN, and a NaN floor takes the place of any."""
    return floor if norm < floor or floor != floor else norm


@functools.cache
def divide_by_norms(way: NormWay, order: int) -> Callable[..., None]:
    """Return what normalizes blocks of columns, each while it is in the cache.

    The gradient wants the norms and no quotients, and takes the same kernel, which the forward has
    compiled. Operands: x, norms, y. The order is that of `division`.
    """
    norms_of, divide = norms_of_block(way), division(order)

    def divide_by_norms(
        queue, buffer, length, block, y, norms, divides, x, reduced, kept, eps, number, p
    ):
        previous = enter_default_environment()
        y, norms, x, rows = elements(y), elements(norms), elements(x), elements(buffer)
        reduced, kept = elements(reduced), elements(kept)
        floor, p = computed(after_entering(eps), x), computed(after_entering(p), x)
        divisors, columns = shifted(rows, (NORM_ROWS - 1) * length), kept[0]
        blocks = (columns + block - 1) // block
        unit = take(queue)
        while unit >= 0:
            index, column = unit // blocks, unit % blocks * block
            taken = smaller(block, columns - column)
            start = place(index, column, kept, 1)
            where = Columns(start, reduced[1], kept[1], reduced[0], taken)
            norms_of(divisors, x, where, reduced, number, p, rows, length)
            if divides:
                for j in range(taken):
                    divisors[j] = at_least(divisors[j], floor)
                divide(y, place(index, column, kept, 3), x, start, divisors, taken, reduced, kept)
            else:
                to = place(index, column, kept, 2)
                for j in range(taken):
                    norms[to + j * kept[2]] = divisors[j]
            unit = take_next(queue)
        leave_default_environment(previous)

    return kernel(divide_by_norms, *way, order)


@kernel
def divide_elements(queue, buffer, block, y, x, norms, table, eps):
    """Divide by norms that are known. Operands: x, norms, y."""
    previous = enter_default_environment()
    y, x, norms, table = elements(y), elements(x), elements(norms), elements(table)
    divisors, floor = elements(buffer), computed(after_entering(eps), x)
    size, stride, norm_stride, y_stride = table[0], table[1], table[2], table[3]
    blocks = (size + block - 1) // block
    unit = take(queue)
    while unit >= 0:
        index, column = unit // blocks, unit % blocks * block
        columns = smaller(block, size - column)
        xs, ys = (
            shifted(x, place(index, column, table, 1)),
            shifted(y, place(index, column, table, 3)),
        )
        ns = row(norms, place(index, column, table, 2), norm_stride, columns, divisors)
        if stride != 1 or y_stride != 1:
            for j in range(columns):
                ys[j * y_stride] = narrow(widen(xs[j * stride]) / at_least(ns[j], floor), y)
        elif norm_stride == 0:
            divisor = at_least(ns[0], floor)
            for j in range(columns):
                ys[j] = narrow(widen(xs[j]) / divisor, y)
        else:
            for j in range(columns):
                ys[j] = narrow(widen(xs[j]) / at_least(ns[j], floor), y)
        unit = take_next(queue)
    leave_default_environment(previous)


# --- the sum of the gradient ---------------------------------------------------------------------


@functools.cache
def fill_sums(order: int, lanes: int, paired: int) -> Callable[..., None]:
    """Return what sums over one dim, in the order of torch.sum; see `sum_columns`.

    `blocks` has for each unit of work the first and the last column, and the first and the last
    column of the section that torch gives to one thread.
    """
    sum_some = sum_columns(order, lanes, paired)

    def fill_sums(queue, buffer, sums, weighted, reduced, kept, blocks, number):
        previous = enter_default_environment()
        sums, weighted, levels = elements(sums), elements(weighted), elements(buffer)
        reduced, kept, blocks = elements(reduced), elements(kept), elements(blocks)
        rows = shifted(levels, LEVELS * SUM_BLOCK)
        totals = shifted(rows, CASCADE_BUFFERS * SUM_BLOCK)
        unit = take(queue)
        while unit >= 0:
            index, block = unit // number, shifted(blocks, unit % number * 4)
            begin, end, section, section_end = block[0], block[1], block[2], block[3]
            start = place(index, section, kept, 1)
            where = Columns(start, reduced[1], kept[1], reduced[0], section_end - section)
            sum_some(totals, weighted, where, begin - section, end - begin, levels, rows)
            to = place(index, begin, kept, 2)
            for j in range(end - begin):
                sums[to + j * kept[2]] = rounded(0 + totals[j], weighted)
            unit = take_next(queue)
        leave_default_environment(previous)

    return kernel(fill_sums, order, lanes, paired)


@functools.cache
def sum_of_range(lanes: int, paired: int, in_steps: bool) -> Callable[..., Any]:
    """Return what sums the elements from one to another, counted along the reduced dims.

    Args:
        lanes, paired: see `sum_columns`.
        in_steps: whether each sum over the innermost dim is rounded, and each total.
    """
    sum_some = sum_columns(IN_EITHER, lanes, paired)

    def add_up(weighted, start, reduced, first, last, levels, rows):
        totals = shifted(rows, CASCADE_BUFFERS * SUM_BLOCK)
        total, outside = computed(0.0, weighted), shifted(reduced, DIM)
        size, columns = reduced[0], outside[0]
        while first < last:
            inner, index = first % size, first // size
            taken, side_by_side = smaller(size - inner, last - first), 1
            if taken == size and columns > 0:
                side_by_side = smaller(columns - index % columns, (last - first) // size)
            at = start + offset(index, outside, 1) + inner * reduced[1]
            where = Columns(at, reduced[1], outside[1], taken, side_by_side)
            for begin in range(0, side_by_side, SUM_BLOCK):
                summed = smaller(SUM_BLOCK, side_by_side - begin)
                sum_some(totals, weighted, where, begin, summed, levels, rows)
                for j in range(summed):
                    if in_steps:
                        total = rounded(total + rounded(totals[j], weighted), weighted)
                    else:
                        total = total + totals[j]
            first += taken * side_by_side
        return total

    return part(add_up, lanes, paired, in_steps)


@functools.cache
def fill_sums_of_several_dims(lanes: int, paired: int, in_steps: bool) -> Callable[..., None]:
    """Return what sums over dims that do not merge, or one that torch's threads share in chunks."""
    add_up = sum_of_range(lanes, paired, in_steps)
    sum_partial = sum_columns(IN_EITHER, lanes, paired)

    def fill_sums_of_several_dims(queue, buffer, sums, weighted, reduced, kept, chunk, threads):
        previous = enter_default_environment()
        sums, weighted, levels = elements(sums), elements(weighted), elements(buffer)
        reduced, kept = elements(reduced), elements(kept)
        rows, partial = shifted(levels, LEVELS * SUM_BLOCK), shifted(levels, SUM_ROWS * SUM_BLOCK)
        totals, all_elements = shifted(rows, CASCADE_BUFFERS * SUM_BLOCK), count(reduced)
        unit = take(queue)
        while unit >= 0:
            start = offset(unit, kept, 1)
            for thread in range(threads):
                partial[thread] = 0
            thread = 0
            for begin in range(0, all_elements, chunk):
                end = smaller(all_elements, begin + chunk)
                total = add_up(weighted, start, reduced, begin, end, levels, rows)
                partial[thread] = rounded(total, weighted) if paired else total
                thread += 1
            total = partial[0]
            if thread > 1:
                sum_partial(totals, partial, Columns(0, 1, 0, threads, 1), 0, 1, levels, rows)
                total = 0 + totals[0]
            sums[offset(unit, kept, 2)] = rounded(total, weighted)
            unit = take_next(queue)
        leave_default_environment(previous)

    return kernel(fill_sums_of_several_dims, lanes, paired, in_steps)


@kernel
def copy_to_sums(sums, weighted, table, from_zero):
    """Take each summand for a sum, where nothing is summed. Operands: weighted, sums."""
    previous = enter_default_environment()
    sums, weighted, table = elements(sums), elements(weighted), elements(table)
    for index in range(count(table)):
        value = widen(weighted[offset(index, table, 1)])
        sums[offset(index, table, 2)] = 0 + value if from_zero else value
    leave_default_environment(previous)
