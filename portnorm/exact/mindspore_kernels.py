"""The kernels of `mindspore_cpu`: what is done with the elements, in compiled code.

Tables, columns and units of work are those of `blocks`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from portnorm.exact.blocks import ROW, divide_block, place, row, store
from portnorm.exact.machine.compilation import kernel, part
from portnorm.exact.machine.ieee import (
    accumulators,
    after_entering,
    enter_default_environment,
    flushed,
    fused_multiply_add,
    leave_default_environment,
    rounded,
)
from portnorm.exact.machine.threads import take, take_next
from portnorm.exact.reduction import halve, sum_left_to_right


@kernel
def divide_by_roots(
    queue: Any,
    block: int,
    y: Any,
    x: Any,
    reduced: Any,
    kept: Any,
    epsilon: float,
    kind: int,
    in_steps: bool,
) -> None:
    """Normalize blocks of columns. Operands: x, nothing, y."""
    previous = enter_default_environment()
    rows = accumulators(x, 10, max(block, ROW))
    floor = rows.dtype.type(after_entering(epsilon))
    blocks = (kept[0, 0] + block - 1) // block
    unit = take(queue)
    while unit >= 0:
        index, column = unit // blocks, unit % blocks * block
        roots = rows[9, : min(block, kept[0, 0] - column)]
        start = place(index, column, kept, 1)
        sum_left_to_right(roots, x, start, reduced, kept[0, 1], kind, floor, in_steps, rows)
        for j in range(len(roots)):
            roots[j] = rounded(np.sqrt(roots[j] if roots[j] > floor else floor), x)
        target = place(index, column, kept, 3)
        divide_block(y, target, x, start, roots, reduced, kept)
        unit = take_next(queue)
    leave_default_environment(previous)


@kernel
def flush(y: Any, x: Any) -> None:
    """Take quotients, and the quotients of numerators, that are subnormal for 0."""
    previous = enter_default_environment()
    for i in range(len(y)):
        y[i] = flushed(y[i], y) if flushed(x[i], x) != 0 else y[i] * np.float32(0)
    leave_default_environment(previous)


@part
def multiply_rows(products: Any, a: Any, b: Any, stored: Any) -> None:
    """Multiply two rows."""
    for j in range(len(products)):
        products[j] = rounded(a[j] * b[j], stored)


@part
def gradient_row(
    gradient: Any, y: Any, dy: Any, sums: Any, norms: Any, floor: Any, fused: bool, stored: Any
) -> None:
    """Compute one row of the gradient."""
    for j in range(len(gradient)):
        if fused:
            along = fused_multiply_add(-y[j], sums[j], dy[j])
        else:
            along = rounded(dy[j] - rounded(y[j] * sums[j], stored), stored)
        gradient[j] = rounded(along / (norms[j] if norms[j] >= floor else floor), stored)


@kernel
def fill_gradient(
    queue: Any,
    block: int,
    gradient: Any,
    x: Any,
    y: Any,
    dy: Any,
    reduced: Any,
    kept: Any,
    epsilon: float,
    fused: bool,
) -> None:
    """Write the gradient of blocks of columns."""
    previous = enter_default_environment()
    size, stride, column_stride = reduced[0, 0], reduced[0, 1], kept[0, 1]
    rows = accumulators(x, 5, block)
    terms = accumulators(x, size, block)
    floor = rows.dtype.type(after_entering(epsilon))
    blocks = (kept[0, 0] + block - 1) // block
    unit = take(queue)
    while unit >= 0:
        index, column = unit // blocks, unit % blocks * block
        columns = min(block, kept[0, 0] - column)
        start = place(index, column, kept, 1)
        for i in range(size):
            at = start + i * stride
            ys = row(y, at, column_stride, columns, rows[0])
            multiply_rows(terms[i, :columns], ys, row(dy, at, column_stride, columns, rows[1]), x)
        halve(terms[:, :columns], x)
        sums = rows[2, :columns]
        sums[:] = terms[0, :columns]
        for i in range(size):
            xs = row(x, start + i * stride, column_stride, columns, rows[0])
            multiply_rows(terms[i, :columns], xs, xs, x)
        halve(terms[:, :columns], x)
        norms = rows[3, :columns]
        for j in range(columns):
            norms[j] = rounded(np.sqrt(terms[0, j]), x)
        for i in range(size):
            at = start + i * stride
            ys = row(y, at, column_stride, columns, rows[0])
            dys = row(dy, at, column_stride, columns, rows[1])
            gradient_row(rows[4], ys, dys, sums, norms, floor, fused, x)
            store(gradient, at, column_stride, rows[4, :columns])
        unit = take_next(queue)
    leave_default_environment(previous)
