"""Which dims a strided reduction walks, and in which order: the geometry of torch's TensorIterator.

Pure Python on shapes and strides (counted in elements). The order decides which elements meet
which, and so the bits; `reduction` has the sums themselves. Source: arithmetic measured on torch
2.0 to 2.15; the tests compare it with the live one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from portnorm.exact.machine.arrays import Ints


class Walk(NamedTuple):
    """Merged dims, innermost first, with the stride of each operand in each.

    Attributes:
        sizes: the sizes of the dims.
        strides: for each operand a tuple of its strides.
        reduced: how many of the dims, counted from the innermost, are summed over.
    """

    sizes: Ints
    strides: tuple[Ints, ...]
    reduced: int

    def table(self, first: int, last: int) -> np.ndarray[Any, Any]:
        """Return one row (size, stride of each operand) per dim in [first, last), at least one."""
        rows = list(zip(self.sizes, *self.strides, strict=True))[first:last]
        return np.array(rows or [(1,) + (0,) * len(self.strides)], np.int64)


def contiguous_strides(shape: Sequence[int]) -> Ints:
    """Return the strides of a C-contiguous array, as torch gives them to empty ones too."""
    strides = [1] * len(shape)
    for d in range(len(shape) - 2, -1, -1):
        strides[d] = strides[d + 1] * max(shape[d + 1], 1)
    return tuple(strides)


def keepdim_shape(shape: Sequence[int], dims: Sequence[int]) -> Ints:
    """Return the shape of a reduction that keeps the reduced dims, with size 1."""
    return tuple(1 if d in dims else size for d, size in enumerate(shape))


def broadcast_strides(shape: Sequence[int], kept: Sequence[int]) -> Ints:
    """Return the strides with which a contiguous array of shape `kept` is read as `shape`."""
    strides = contiguous_strides(kept)
    return tuple(0 if kept[d] == 1 and shape[d] != 1 else strides[d] for d in range(len(shape)))


def elementwise_strides(shape: Sequence[int], operands: Sequence[Ints]) -> Ints:
    """Return the strides of the fresh result of an operator on operands with these strides."""
    dense = contiguous_strides(shape)
    if len(shape) <= 1 or all(strides == dense for strides in operands):
        return dense
    first = operands[0]
    if all(strides == first for strides in operands) and _is_permuted(shape, first):
        return first
    return _dense_strides(shape, _order(shape, operands, reduces=False))


def _is_permuted(shape: Sequence[int], strides: Ints) -> bool:
    """Return whether an array fills its memory, but not in the order of its dims."""
    dims = [d for d in range(len(shape)) if shape[d] != 1]
    step = 1
    for d in sorted(dims, key=lambda d: strides[d]):
        if strides[d] != step:
            return False
        step *= shape[d]
    return sorted(dims, key=lambda d: -strides[d]) != dims


def reduction_strides(shape: Sequence[int], strides: Ints, dims: Sequence[int]) -> Ints:
    """Return the strides of a dense array that lies in memory as `reduction_walk` visits it."""
    result = broadcast_strides(shape, keepdim_shape(shape, dims))
    return _dense_strides(shape, _order(shape, (result, strides), reduces=True))


def _dense_strides(shape: Sequence[int], order: Sequence[int]) -> Ints:
    strides, step = [0] * len(shape), 1
    for d in order:
        strides[d] = step
        step *= shape[d]
    return tuple(strides)


def reduction_walk(
    shape: Sequence[int], strides: Ints, dims: Sequence[int], others: Sequence[Ints] = ()
) -> Walk | None:
    """Return the walk of a reduction of one array over `dims`.

    Its operands are the array, the contiguous result, and `others`: arrays that are visited
    along, and have no say in the order.

    Returns:
        None if two dims merge that cannot be merged in one of the others.
    """
    result = broadcast_strides(shape, keepdim_shape(shape, dims))
    order = _order(shape, (result, strides), reduces=True)
    walk = _merge(shape, order, (strides, result), others)
    if walk is None:
        return None
    reduced = [result == 0 and size > 1 for size, result in zip(walk[0], walk[1][1], strict=True)]
    return Walk(*walk, sum(reduced))


def elementwise_walk(shape: Sequence[int], operands: Sequence[Ints]) -> Walk:
    """Return a walk that visits every element once; in which order does not matter to the bits.

    The last operand is visited in the order of memory, unless its rows are very short.
    """
    order = sorted(range(len(shape)), key=lambda d: operands[-1][d])
    walk = _merge(shape, order, operands)
    assert walk is not None
    sizes, strides = walk
    if sizes and sizes[0] < _SHORT_ROW:
        longest = max(range(len(sizes)), key=sizes.__getitem__)
        turned = [longest, *(d for d in range(len(sizes)) if d != longest)]
        sizes = tuple(sizes[d] for d in turned)
        strides = tuple(tuple(operand[d] for d in turned) for operand in strides)
    return Walk(sizes, strides, 0)


_SHORT_ROW = 16


def _order(shape: Sequence[int], operands: Sequence[Ints], *, reduces: bool) -> list[int]:
    """Sort the dims, innermost first: a stable insertion sort that leaves ties as they are."""
    order = list(range(len(shape)))[::-1]
    for start in range(1, len(order)):
        moving = start
        for other in range(start - 1, -1, -1):
            comparison = _compare(order[other], order[moving], shape, operands, reduces)
            if comparison > 0:
                order[other], order[moving] = order[moving], order[other]
                moving = other
            elif comparison < 0:
                break
    return order


def _compare(a: int, b: int, shape: Sequence[int], operands: Sequence[Ints], reduces: bool) -> int:
    """Return 1 if dim a belongs outside of dim b, -1 if inside, 0 if the strides do not tell."""
    for position, strides in enumerate(operands):
        if reduces and position == 0 and (strides[a] == 0) != (strides[b] == 0):
            return 1 if strides[b] == 0 else -1
        if strides[a] == 0 or strides[b] == 0:
            continue
        if strides[a] != strides[b]:
            return -1 if strides[a] < strides[b] else 1
        if shape[a] > shape[b]:
            return 1
    return 0


def _merge(
    shape: Sequence[int],
    order: Sequence[int],
    operands: Sequence[Ints],
    others: Sequence[Ints] = (),
) -> tuple[Ints, tuple[Ints, ...]] | None:
    """Merge neighbours that lie next to each other in memory for every operand."""
    every = (*operands, *others)
    sizes: list[int] = []
    merged: list[list[int]] = []
    for d in order:
        here = [strides[d] for strides in every]
        if sizes:
            last, before = sizes[-1], merged[-1]
            fits = [last * inner == outer for inner, outer in zip(before, here, strict=True)]
            if last == 1 or shape[d] == 1 or all(fits[: len(operands)]):
                if last == 1:
                    merged[-1] = here
                elif shape[d] != 1 and not all(fits):
                    return None
                sizes[-1] *= shape[d]
                continue
        sizes.append(shape[d])
        merged.append(here)
    return tuple(sizes), tuple(zip(*merged, strict=True)) or ((),) * len(every)
