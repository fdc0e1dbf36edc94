"""Blocks of columns: where they lie, how they are read, divided and written.

Kernels read and write memory without a shape; tables say where things lie. A table has one row per
dim, innermost first: the size, then the stride of each operand. Columns are the vectors that are
normalized. A kernel takes units of work from a queue, most often blocks of neighbouring columns;
which thread takes which has no influence on the bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba.extending import overload

from portnorm.exact.machine.compilation import part
from portnorm.exact.machine.ieee import narrow, widen

ROW = 256
"""Elements of a vector that are widened at once."""


def row(array: Any, start: int, stride: int, count: int, buffer: Any) -> Any:
    """Return `count` elements, widened, as a contiguous array: a part of `array` where it can be.

    Otherwise they are copied to `buffer`.
    """
    return widen(array[start + stride * np.arange(count)])


@overload(row, strict=False)
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


@part
def offset(index: int, table: Any, first: int, operand: int) -> int:
    """Return where the index-th element of the dims from `first` on lies for one operand."""
    at = 0
    for d in range(first, table.shape[0]):
        size = table[d, 0]
        at += index % size * table[d, operand]
        index //= size
    return at


@part
def count(table: Any, first: int) -> int:
    """Return how many elements the dims from `first` on have."""
    elements = 1
    for d in range(first, table.shape[0]):
        elements *= table[d, 0]
    return elements


@part
def place(index: int, column: int, table: Any, operand: int) -> Any:
    """Return where a column lies for one operand: index counts the dims outside the innermost."""
    return offset(index, table, 1, operand) + column * table[0, operand]


@part
def divide_row(y: Any, x: Any, divisor: Any) -> None:
    """Divide contiguous elements by one number."""
    for j in range(len(y)):
        y[j] = narrow(widen(x[j]) / divisor, y)


@part
def divide_columns(y: Any, x: Any, divisors: Any) -> None:
    """Divide contiguous elements, each by a number of its own."""
    for j in range(len(y)):
        y[j] = narrow(widen(x[j]) / divisors[j], y)


@part
def divide_block(
    y: Any, target: int, x: Any, start: int, divisors: Any, reduced: Any, kept: Any
) -> None:
    """Divide neighbouring columns by their divisors."""
    columns = len(divisors)
    size, stride, y_stride = reduced[0, 0], reduced[0, 1], reduced[0, 3]
    column, y_column = kept[0, 1], kept[0, 3]
    for outer in range(count(reduced, 1)):
        at = start + offset(outer, reduced, 1, 1)
        to = target + offset(outer, reduced, 1, 3)
        if column == 1 and y_column == 1:
            for _ in range(size):
                divide_columns(y[to : to + columns], x[at : at + columns], divisors)
                at += stride
                to += y_stride
        elif stride == 1 and y_stride == 1:
            for j in range(columns):
                divide_row(y[to : to + size], x[at : at + size], divisors[j])
                at += column
                to += y_column
        else:
            for j in range(columns):
                for i in range(size):
                    value = widen(x[at + i * stride]) / divisors[j]
                    y[to + i * y_stride] = narrow(value, y)
                at += column
                to += y_column


@part
def store(array: Any, start: int, stride: int, values: Any) -> None:
    """Write a row of numbers."""
    if stride == 1:
        part = array[start : start + len(values)]
        for j in range(len(values)):
            part[j] = narrow(values[j], array)
    else:
        for j in range(len(values)):
            array[start + j * stride] = narrow(values[j], array)
