"""`mindspore.ops.L2Normalize` and its own gradient, bit for bit, on NumPy arrays.

    s = x[0]**2; s = s + x[j]**2, j = 1, 2, ...     left to right, in the dtype
    d = sqrt(s if s > e else e)                      a NaN sum selects e
    y = x / d

    S = tree(y * dy);  N = sqrt(tree(x**2))          tree: `reduction.halve`
    dx = (dy - y * S) / (N if N >= e else e)

The gradient is that of MindSpore's kernel, defects included: it is not the derivative of the
forward. Where MindSpore's own result depends on whether a thread flushes subnormals to zero, these
functions return the IEEE result. Source: measured on MindSpore 2.0 to 2.10, see
`portnorm.reference`.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from portnorm import semantics
from portnorm.exact import mindspore_kernels as kernels
from portnorm.exact.blocks import ROW, entries, visit
from portnorm.exact.machine import threads
from portnorm.exact.machine.arrays import Array, Empty, Ints, empty, memory
from portnorm.exact.reduction import FLUSHED_SQUARES, SQUARES
from portnorm.reference import MindSporeReference


def l2_normalize(
    x: Array,
    axis: Any = 0,
    epsilon: Any = 1e-4,
    reference: MindSporeReference | None = None,
    new: Empty | None = None,
) -> Array:
    """Return the bits of `mindspore.ops.L2Normalize` on a CPU.

    Args:
        x: array of one dim or more: float16, float32 or float64.
        axis: an int, or a tuple or list of one int.
        epsilon: a float, the lower bound of the sum of squares; rounded to float32 first.
        reference: the build of MindSpore; None is ``MindSporeReference()``.
        new: makes the array that is returned, of a shape, strides (None) and a dtype; None for
            ``numpy.empty``.

    Returns:
        C-contiguous array of the shape and dtype of ``x``.

    Raises:
        RuntimeError, TypeError, ValueError: what L2Normalize raises for the same arguments.
        StrictParityError: the bits cannot be promised.

    >>> import numpy as np
    >>> l2_normalize(np.array([3e-10, 4e-10], np.float32))
    array([3.e-08, 4.e-08], dtype=float32)
    """
    rules = (reference or _DEFAULT_REFERENCE).rules
    dim, floor = _check(x, axis, epsilon)
    x = np.ascontiguousarray(x)
    y = (new or empty)(x.shape, None, x.dtype)
    if x.size == 0:
        return y
    half = x.dtype == np.float16
    plan = _plan(x.shape, dim, x.itemsize, None)
    fused = rules.fused and not half
    source, target = memory(x), memory(y)
    length = max(plan.block, ROW)
    kind = FLUSHED_SQUARES if fused else SQUARES
    kernel = kernels.divide_by_roots(kind, half, plan.neighbours, plan.visits)
    scratch = kernels.ROOT_ROWS * length, _accumulator(x)
    arguments = length, plan.block, target, source, plan.reduced, plan.kept, floor
    threads.run(kernel, plan.units, x.size, scratch, *arguments)
    if rules.flushes_subnormals and not half:
        kernels.flush(target, source)
    return y


def l2_normalize_vjp(
    x: Array,
    y: Array,
    dy: Array,
    axis: Any = 0,
    epsilon: Any = 1e-4,
    reference: MindSporeReference | None = None,
    new: Empty | None = None,
) -> Array:
    """Return the bits of the gradient that MindSpore computes for `l2_normalize` on a CPU.

    Args:
        x: as for `l2_normalize`.
        y: the result of the forward, of the shape and dtype of ``x``.
        dy: the cotangent, likewise.
        axis: as for `l2_normalize`.
        epsilon: as for `l2_normalize`.
        reference: as for `l2_normalize`.
        new: as for `l2_normalize`.

    Returns:
        C-contiguous array of the shape and dtype of ``x``; an empty one for an empty one, where
        MindSpore raises.

    Raises:
        RuntimeError, TypeError, ValueError: what L2Normalize raises for the same arguments;
            ValueError for another shape or dtype of y or dy.
        StrictParityError: the bits cannot be promised.

    >>> import numpy as np
    >>> x = np.zeros(2, np.float32)
    >>> l2_normalize_vjp(x, l2_normalize(x), np.array([1, 0], np.float32))
    array([10000.,     0.], dtype=float32)
    """
    rules = (reference or _DEFAULT_REFERENCE).rules
    dim, floor = _check(x, axis, epsilon)
    for name, array in (("y", y), ("dy", dy)):
        if array.shape != x.shape or array.dtype != x.dtype:
            raise ValueError(
                f"expected {name} of shape {x.shape} and dtype {x.dtype}, "
                f"not {array.shape} and {array.dtype}"
            )
    x, y, dy = (np.ascontiguousarray(array) for array in (x, y, dy))
    gradient = (new or empty)(x.shape, None, x.dtype)
    if x.size == 0:
        return gradient
    plan = _plan(x.shape, dim, x.itemsize, _LARGEST_TERMS)
    kernel = kernels.fill_gradient(rules.gradient_fused and x.dtype != np.float16)
    length = max(plan.block, ROW)
    scratch = kernels.GRADIENT_ROWS * length + x.shape[dim] * plan.block, _accumulator(x)
    arrays = (memory(array) for array in (gradient, x, y, dy))
    arguments = length, plan.block, *arrays, plan.reduced, plan.kept, floor
    threads.run(kernel, plan.units, x.size, scratch, *arguments)
    return gradient


def _accumulator(x: Array) -> type[Any]:
    """Return the type in which elements are computed with."""
    return np.float64 if x.dtype.char == "d" else np.float32


def _check(x: Array, axis: Any, epsilon: Any) -> tuple[int, float]:
    """Return axis counted from 0, and epsilon as the kernel has it."""
    if not x.dtype.isnative:
        _check_arguments(x.ndim, x.dtype, axis, epsilon)
        raise ValueError("expected an array in the byte order of this machine")
    if type(axis) is int and type(epsilon) is float:
        return _check_once(x.ndim, x.dtype, axis, epsilon)
    return _check_arguments(x.ndim, x.dtype, axis, epsilon)


def _check_arguments(ndim: int, dtype: Any, axis: Any, epsilon: Any) -> tuple[int, float]:
    return semantics.l2_normalize_arguments(ndim, dtype.name, axis, epsilon)


_check_once = functools.lru_cache(maxsize=256)(_check_arguments)


class _Plan(NamedTuple):
    """What depends on the layout, and not on the values.

    Attributes:
        reduced, kept: tables of the dims that are summed, and of those that are kept.
        block: columns in a unit of work.
        units: how many there are.
        neighbours: whether columns lie side by side.
        visits: how a block is divided, see `blocks.visit`.
    """

    reduced: Array
    kept: Array
    block: int
    units: int
    neighbours: bool
    visits: int


@functools.lru_cache(maxsize=1024)
def _plan(shape: Ints, dim: int, width: int, elements: int | None) -> _Plan:
    """Plan a call.

    Args:
        shape: of the array.
        dim: the reduced dim.
        width: bytes of an element.
        elements: the most that a block of several columns may have, or None.
    """
    outer, size, inner = math.prod(shape[:dim]), shape[dim], math.prod(shape[dim + 1 :])
    rows = [(outer, size * inner)]
    if inner > 1:
        rows = [(inner, 1), *rows]
    kept = np.array([(count, stride, 0, stride) for count, stride in rows], np.int64)
    reduced = np.array([(size, inner, 0, inner)], np.int64)
    columns, column_stride = rows[0]
    # Rows of neighbours are read together where they lie together, and vectors where they do.
    block = _CACHE_BYTES // 16 // width if inner > 1 else max(8, _CACHE_BYTES // (size * width))
    block = min(columns, block)
    if elements is not None:
        if inner == 1 and size >= _LONG:
            block = 1  # which `mindspore_kernels.walk` reads along
        block = max(1, min(block, elements // size))
    units = -(-columns // block) * math.prod(kept[1:, 0].tolist())
    visits = visit(reduced, kept, 3)
    return _Plan(entries(reduced), entries(kept), block, units, column_stride == 1, visits)


_CACHE_BYTES = 32768
_LARGEST_TERMS = 1 << 17
_LONG = 64
"""Elements of a vector from which on its gradient is faster by itself than beside others."""
_DEFAULT_REFERENCE = MindSporeReference()
