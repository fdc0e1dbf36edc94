"""The kernels of `mindspore_cpu`: what is done with the elements, in compiled code.

Tables, columns and units of work are those of `blocks`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from portnorm.exact.blocks import ROW, Columns, division, place, row, store
from portnorm.exact.machine.compilation import kernel, part
from portnorm.exact.machine.ieee import (
    after_entering,
    computed,
    enter_default_environment,
    flushed,
    fused_multiply_add,
    leave_default_environment,
    rounded,
    square_root,
)
from portnorm.exact.machine.pointers import elements, shifted, smaller
from portnorm.exact.machine.threads import take, take_next
from portnorm.exact.reduction import BUFFERS, halve, sum_left_to_right

ROOT_ROWS, GRADIENT_ROWS = BUFFERS + 2, 5
"""Rows of the buffers of `divide_by_roots`, and of `fill_gradient` beside those for the terms."""


@functools.cache
def divide_by_roots(kind: int, in_steps: bool, neighbours: bool, order: int) -> Callable[..., None]:
    """Return what normalizes blocks of columns. Operands: x, nothing, y.

    Args:
        kind, in_steps, neighbours: see `sum_left_to_right`.
        order: see `division`.
    """
    add_up, divide = sum_left_to_right(kind, in_steps, neighbours), division(order)

    def divide_by_roots(queue, buffer, length, block, y, x, reduced, kept, epsilon):
        previous = enter_default_environment()
        y, x, rows = elements(y), elements(x), elements(buffer)
        reduced, kept = elements(reduced), elements(kept)
        floor = computed(after_entering(epsilon), x)
        roots, columns = shifted(rows, (ROOT_ROWS - 1) * length), kept[0]
        blocks = (columns + block - 1) // block
        unit = take(queue)
        while unit >= 0:
            index, column = unit // blocks, unit % blocks * block
            taken = smaller(block, columns - column)
            start = place(index, column, kept, 1)
            where = Columns(start, reduced[1], kept[1], reduced[0], taken)
            add_up(roots, x, where, reduced, floor, rows, length)
            for j in range(taken):
                roots[j] = rounded(square_root(roots[j] if roots[j] > floor else floor), x)
            divide(y, place(index, column, kept, 3), x, start, roots, taken, reduced, kept)
            unit = take_next(queue)
        leave_default_environment(previous)

    return kernel(divide_by_roots, kind, in_steps, neighbours, order)


@kernel
def flush(y, x):
    """Take quotients, and the quotients of numerators, that are subnormal for 0."""
    previous = enter_default_environment()
    for i in range(len(y)):
        y[i] = flushed(y[i], y) if flushed(x[i], x) != 0 else y[i] * np.float32(0)
    leave_default_environment(previous)


@part
def walk(size, stride, columns, further):
    """Return in which rows columns are read: elements in all, of a row, and steps of both.

    One column is read along, so that its rows are vectors of a processor where it is contiguous.
    Several are read across, one element of each column at a time.
    """
    if columns == 1:
        return size, ROW, ROW * stride, stride
    return size * columns, columns, stride, further


@part
def multiply(terms, a, b, start, steps, rows, second, stored):
    """Multiply columns of two arrays."""
    total, length, step, further = steps
    for i in range(0, total, length):
        taken = smaller(length, total - i)
        a_row = row(a, start, further, taken, rows)
        b_row = row(b, start, further, taken, second)
        products = shifted(terms, i)
        for j in range(taken):
            products[j] = rounded(a_row[j] * b_row[j], stored)
        start += step


@functools.cache
def fill_gradient(fused: bool) -> Callable[..., None]:
    """Return what writes the gradient of blocks of columns.

    Args:
        fused: whether dy - y * S uses a fused multiply-add.
    """

    def across(y, dy, total, stored):
        if fused:
            return fused_multiply_add(-y, total, dy)
        return rounded(dy - rounded(y * total, stored), stored)

    across = part(across, fused)

    def write(gradient, y, dy, start, steps, sums, divisors, rows, second, result):
        total, length, step, further = steps
        for i in range(0, total, length):
            taken = smaller(length, total - i)
            ys = row(y, start, further, taken, rows)
            dys = row(dy, start, further, taken, second)
            for j in range(taken):
                result[j] = rounded(
                    across(ys[j], dys[j], sums[j], gradient) / divisors[j], gradient
                )
            store(gradient, start, further, result, taken)
            start += step

    write = part(write, fused)

    def fill_gradient(queue, buffer, length, block, gradient, x, y, dy, reduced, kept, epsilon):
        previous = enter_default_environment()
        gradient, x, y, dy = elements(gradient), elements(x), elements(y), elements(dy)
        reduced, kept, rows = elements(reduced), elements(kept), elements(buffer)
        floor = computed(after_entering(epsilon), x)
        size = reduced[0]
        second, sums, divisors, result, terms = (
            shifted(rows, length),
            shifted(rows, 2 * length),
            shifted(rows, 3 * length),
            shifted(rows, 4 * length),
            shifted(rows, GRADIENT_ROWS * length),
        )
        blocks = (kept[0] + block - 1) // block
        unit = take(queue)
        while unit >= 0:
            index, column = unit // blocks, unit % blocks * block
            columns = smaller(block, kept[0] - column)
            start = place(index, column, kept, 1)
            steps = walk(size, reduced[1], columns, kept[1])
            multiply(terms, y, dy, start, steps, rows, second, x)
            halve(terms, size, columns, x)
            for j in range(smaller(steps[0], steps[1])):
                sums[j] = terms[smaller(j, columns - 1)]
            multiply(terms, x, x, start, steps, rows, second, x)
            halve(terms, size, columns, x)
            for j in range(smaller(steps[0], steps[1])):
                norm = rounded(square_root(terms[smaller(j, columns - 1)]), x)
                divisors[j] = norm if norm >= floor else floor
            write(gradient, y, dy, start, steps, sums, divisors, rows, second, result)
            unit = take_next(queue)
        leave_default_environment(previous)

    return kernel(fill_gradient, fused)
