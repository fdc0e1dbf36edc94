"""The kernels of `mindspore_cpu`: what is done with the elements, in compiled code.

Tables, columns and units of work are those of `blocks`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from portnorm.exact.blocks import Columns, division, place, row, store
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
def multiply_rows(products, a, b, columns, stored):
    """Multiply two rows."""
    for j in range(columns):
        products[j] = rounded(a[j] * b[j], stored)


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

    def fill_gradient(queue, buffer, block, gradient, x, y, dy, reduced, kept, epsilon):
        previous = enter_default_environment()
        gradient, x, y, dy = elements(gradient), elements(x), elements(y), elements(dy)
        reduced, kept, rows = elements(reduced), elements(kept), elements(buffer)
        floor = computed(after_entering(epsilon), x)
        size, stride, further = reduced[0], reduced[1], kept[1]
        second, sums, norms = (
            shifted(rows, block),
            shifted(rows, 2 * block),
            shifted(rows, 3 * block),
        )
        result, terms = shifted(rows, 4 * block), shifted(rows, GRADIENT_ROWS * block)
        blocks = (kept[0] + block - 1) // block
        unit = take(queue)
        while unit >= 0:
            index, column = unit // blocks, unit % blocks * block
            columns = smaller(block, kept[0] - column)
            start = place(index, column, kept, 1)
            for i in range(size):
                at = start + i * stride
                ys = row(y, at, further, columns, rows)
                dys = row(dy, at, further, columns, second)
                multiply_rows(shifted(terms, i * block), ys, dys, columns, x)
            halve(terms, size, columns, block, x)
            for j in range(columns):
                sums[j] = terms[j]
            for i in range(size):
                xs = row(x, start + i * stride, further, columns, rows)
                multiply_rows(shifted(terms, i * block), xs, xs, columns, x)
            halve(terms, size, columns, block, x)
            for j in range(columns):
                norms[j] = rounded(square_root(terms[j]), x)
            for i in range(size):
                at = start + i * stride
                ys = row(y, at, further, columns, rows)
                dys = row(dy, at, further, columns, second)
                for j in range(columns):
                    divisor = norms[j] if norms[j] >= floor else floor
                    result[j] = rounded(across(ys[j], dys[j], sums[j], x) / divisor, x)
                store(gradient, at, further, result, columns)
            unit = take_next(queue)
        leave_default_environment(previous)

    return kernel(fill_gradient, fused)
