"""Blocks of columns: where they lie, how they are read, divided and written.

Columns are the vectors that are normalized. A kernel takes units of work from a queue, most often
blocks of neighbouring columns; which thread takes which has no influence on the bits.

Kernels read and write memory without a shape; tables say where things lie. A table has one row per
dim, innermost first: the size, then the stride of each operand. To kernels it is a pointer.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from portnorm.exact.machine.arrays import Array
from portnorm.exact.machine.compilation import part, subroutine
from portnorm.exact.machine.ieee import narrow, widen
from portnorm.exact.machine.pointers import as_wide, is_wide, shifted

ROW = 256
"""Elements of a vector that are widened at once."""

DIM = 5
"""Numbers that a table has for a dim: the size, and the strides of at most four operands."""


class Columns(NamedTuple):
    """Columns in memory.

    Attributes:
        start: where the first element of the first column lies.
        stride: how far the elements of a column are from each other.
        column_stride: how far the columns are from each other.
        size: how many elements a column has along the innermost reduced dim.
        columns: how many there are.
    """

    start: int
    stride: int
    column_stride: int
    size: int
    columns: int


def entries(table: Array) -> Array:
    """Return a table as kernels read it, with a row of zeros at its end."""
    numbers = np.zeros((len(table) + 1, DIM), np.int64)
    numbers[:-1, : table.shape[1]] = table
    return numbers.reshape(-1)


@subroutine
def offset(index, table, operand):
    """Return where the index-th element of the dims of a table lies for one operand."""
    at = dim = 0
    while table[dim] > 0:
        at += index % table[dim] * table[dim + operand]
        index //= table[dim]
        dim += DIM
    return at


@part
def count(table):
    """Return how many elements the dims of a table have."""
    product, dim = 1, 0
    while table[dim] > 0:
        product *= table[dim]
        dim += DIM
    return product


@part
def place(index, column, table, operand):
    """Return where a column lies for one operand: index counts the dims outside the innermost."""
    return offset(index, shifted(table, DIM), operand) + column * table[operand]


@subroutine
def row(array, start, stride, length, buffer):
    """Return elements, widened, side by side: a part of `array` where it can be.

    Otherwise they are copied to `buffer`.
    """
    if stride == 1:
        part_of_array = shifted(array, start)
        if is_wide(array):
            return as_wide(part_of_array, buffer)
        for j in range(length):
            buffer[j] = widen(part_of_array[j])
    else:
        for j in range(length):
            buffer[j] = widen(array[start + j * stride])
    return buffer


@part
def store(array, start, stride, values, length):
    """Write a row of numbers."""
    if stride == 1:
        part_of_array = shifted(array, start)
        for j in range(length):
            part_of_array[j] = narrow(values[j], array)
    else:
        for j in range(length):
            array[start + j * stride] = narrow(values[j], array)


ACROSS, ALONG, SCATTERED = range(3)
"""How a block is visited: across columns that are neighbours in memory, along columns whose
elements are, or column by column where x and y allow for neither."""


def visit(table: Array, kept: Array, y: int) -> int:
    """Return how to visit a block: the tables have x as operand 1, and y as operand `y`."""
    if kept[0, 1] == kept[0, y] == 1:
        return ACROSS
    return ALONG if table[0, 1] == table[0, y] == 1 else SCATTERED


@functools.cache
def division(order: int) -> Callable[..., None]:
    """Return what divides the columns of a block, each by a divisor of its own."""

    def divide(y, target, x, start, divisors, columns, reduced, kept):
        size, stride, y_stride, outside = reduced[0], reduced[1], reduced[3], shifted(reduced, DIM)
        for outer in range(count(outside)):
            at, to = start + offset(outer, outside, 1), target + offset(outer, outside, 3)
            if order == ACROSS:
                for i in range(size):
                    xs, ys = shifted(x, at + i * stride), shifted(y, to + i * y_stride)
                    for j in range(columns):
                        ys[j] = narrow(widen(xs[j]) / divisors[j], y)
            elif order == ALONG:
                for j in range(columns):
                    xs, ys = shifted(x, at + j * kept[1]), shifted(y, to + j * kept[3])
                    divisor = divisors[j]
                    for i in range(size):
                        ys[i] = narrow(widen(xs[i]) / divisor, y)
            else:
                for j in range(columns):
                    xs, ys = shifted(x, at + j * kept[1]), shifted(y, to + j * kept[3])
                    for i in range(size):
                        ys[i * y_stride] = narrow(widen(xs[i * stride]) / divisors[j], y)

    return part(divide, order)
