"""Write down which numbers each summation order adds, and when, as JSON.

    python tools/trace_sums.py

The functions of `portnorm.exact.reduction` run here as plain Python, on numbers that only know
their names. Nothing about an order is stated in this file but the arguments of the call.
"""

from __future__ import annotations

import os

os.environ["NUMBA_DISABLE_JIT"] = "1"  # before Numba is imported

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from portnorm.exact import cuda_kernels, cuda_launch, reduction, torch_cascade
from portnorm.exact.blocks import Columns, entries

SQUARES = reduction.SQUARES
OBJECT = np.dtype(object)


@dataclass
class Sum:
    """The additions of one sum, in the order in which they were done.

    Attributes:
        elements: how many numbers are added up.
        squares: whether these are squares of the elements, or the elements.
        additions: ``(left, right, fused)``. The operands are elements, counted from 0, or results
            of earlier additions, counted from `elements`. A fused addition takes an element that
            is not squared yet, and rounds its square and the sum at once.
    """

    elements: int
    squares: bool
    additions: list[tuple[int, int, bool]] = field(default_factory=list)

    def add(self, left: int, right: int, fused: bool = False) -> int:
        """Note an addition; return the number of its result."""
        self.additions.append((left, right, fused))
        return self.elements + len(self.additions) - 1


class Term:
    """A number that takes part in a sum. It can be squared, and added to another one or to 0."""

    dtype = OBJECT

    def __init__(self, log: Sum, number: int) -> None:
        self.log = log
        self.number = number

    def __mul__(self, other: object) -> Term:
        if other is not self or self.number >= self.log.elements or not self.log.squares:
            raise TypeError("only elements of a sum of squares are multiplied, by themselves")
        return self

    def __add__(self, other: Term | int) -> Term:
        if isinstance(other, Term):
            return Term(self.log, self.log.add(self.number, other.number))
        return self.__radd__(other)

    def __radd__(self, zero: int) -> Term:
        if zero != 0:
            raise TypeError("a sum starts from 0")
        return self


def fused_multiply_add(a: Term, b: Term, c: Term) -> Term:
    """Stand in for the function of that name, which computes with numbers."""
    return Term(a.log, a.log.add(c.number, (a * b).number, fused=True))


reduction.fused_multiply_add = fused_multiply_add


def traced(elements: int, squares: bool, add_up: Callable[[Any], Any]) -> Sum:
    """Return the log of a function that adds up an array."""
    log = Sum(elements, squares)
    x = np.array([Term(log, number) for number in range(elements)], object)
    result = add_up(x)
    if result.number != elements + len(log.additions) - 1:
        raise AssertionError("the last addition is not the result")
    return log


def _memory(count: int) -> Any:
    return np.zeros(count, object)


def _columns(x: Any) -> Columns:
    """Return the place of one column that is all of an array."""
    return Columns(0, 1, len(x), len(x), 1)


def _dim(size: int) -> Any:
    return entries(np.array([(size, 1)], np.int64))


def left_to_right(x: Any) -> Any:
    """The slow path of torch, and the forward pass of MindSpore."""
    total, rows = _memory(1), _memory((reduction.BUFFERS + 1) * len(x))
    add_up = reduction.sum_left_to_right(SQUARES, False, False)
    add_up(total, x, _columns(x), _dim(len(x)), 2, rows, len(x))
    return total[0]


def thread_chunks(x: Any) -> Any:
    """The slow path of torch for one sum of many elements, in chunks of seven."""
    add_up = reduction.sum_by_threads(SQUARES, False)
    return add_up(x, 0, _dim(len(x)), 7, 2, _memory((reduction.BUFFERS + 1) * len(x)), len(x))


def lanes(x: Any) -> Any:
    """The fast path of torch: eight lanes; of a tail of t, 4 * (t // 4) squares are rounded."""
    total = _memory(1)
    plain_tail = len(x) % 8 // 4 * 4
    reduction.sum_squares_in_lanes(8, 8, False)(total, x, _columns(x), plain_tail)
    return total[0]


def _memory_of_cascade() -> tuple[Any, Any]:
    rows = torch_cascade.LEVELS, torch_cascade.BUFFERS
    levels, buffers = (_memory(count * torch_cascade.SUM_BLOCK) for count in rows)
    return levels, buffers


def cascade(x: Any) -> Any:
    """The sum in torch's gradient, of a column whose neighbours are summed beside it."""
    total = _memory(1)
    torch_cascade.cascade_rows(total, x, _columns(x), *_memory_of_cascade())
    return total[0]


def four_cascades(x: Any) -> Any:
    """The sum in torch's gradient, of a column that is summed alone."""
    total = _memory(1)
    torch_cascade.sum_interleaved(total, x, _columns(x), *_memory_of_cascade())
    return total[0]


def registers(x: Any) -> Any:
    """The sum in torch's gradient, of float32 elements that are neighbours in memory."""
    return torch_cascade.sum_contiguous(8, False)(x, 0, len(x))


def halving(x: Any) -> Any:
    """The sums in the gradient of MindSpore."""
    reduction.halve(x, len(x), 1, x)
    return x[0]


def block(x: Any) -> Any:
    """The sums of a CUDA device, of a row: eight threads, where there are 32 or more."""
    total, threads = _memory(1), cuda_launch.Launch(True, 8, 1, 1, 0)
    length, rows = cuda_kernels.buffer_of_rows(threads)
    add_up = cuda_kernels.sum_rows(cuda_kernels.SumWay(reduction.VALUES, True, 0, False))
    where = x, 0, 0, 1, _dim(len(x)), 0, threads, (True, True)
    add_up(total, *where, _memory(rows * length), length)
    return total[0]


SUMS: dict[Callable[[Any], Any], tuple[int, bool]] = {
    left_to_right: (21, True),
    lanes: (21, True),
    thread_chunks: (21, True),
    cascade: (37, False),
    four_cascades: (21, False),
    registers: (43, False),
    halving: (21, False),
    block: (43, False),
}
"""For each sum the number of its elements, and whether it squares them."""


def main() -> int:
    """Write all sums to the standard output."""
    sums = {add_up.__name__: asdict(traced(*what, add_up)) for add_up, what in SUMS.items()}
    json.dump(sums, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
