"""What torch's gradient does around its sum: the same on every device.

weighted = -g * ((x / d) / d)               rounded at each step
sums     = weighted, summed                 in the order of the device
gradient = g / d + sums through the norm    rounded at each step
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from portnorm.exact.blocks import count, entries, offset, place, row, store
from portnorm.exact.machine import threads
from portnorm.exact.machine.arrays import Array, Ints, element_strides
from portnorm.exact.machine.compilation import kernel, part
from portnorm.exact.machine.ieee import (
    after_entering,
    computed,
    enter_default_environment,
    leave_default_environment,
    rounded,
    widen,
)
from portnorm.exact.machine.pointers import elements, shifted, smaller
from portnorm.exact.machine.threads import take, take_next
from portnorm.exact.reduction import LARGEST, MAGNITUDES, NONZERO, SMALLEST
from portnorm.exact.torch_kernels import at_least
from portnorm.exact.torch_plans import KINDS, ROW, WIDTH, units_of
from portnorm.exact.torch_walks import (
    broadcast_strides,
    contiguous_strides,
    elementwise_strides,
    elementwise_walk,
    keepdim_shape,
)


@dataclass(frozen=True, eq=False)
class GradientLayout:
    """What of a gradient depends on layout and arguments, and not on the values.

    Attributes:
        weigh: table of the elements, as kernels read it. Operands: x, g, norms, weighted.
        combine: the same. Operands: x, g, norms, gradient.
        ties: the same, for p = inf and -inf, otherwise None. Operands: x, norms.
        weigh_units, combine_units: how many rows of at most `ROW` elements they come to.
        weighted: the strides of the summands, in elements.
        strides: those of the gradient, None for a C-contiguous one.
    """

    weigh: Array
    weigh_units: int
    combine: Array
    combine_units: int
    ties: Array | None
    weighted: Ints
    strides: Ints | None


@functools.lru_cache(maxsize=1024)
def gradient_layout(
    shape: Ints, x_byte_strides: Ints, g_byte_strides: Ints, dtype: str, dims: Ints, p: float
) -> GradientLayout:
    """Lay out what a gradient does after the norms.

    Args:
        shape, x_byte_strides, g_byte_strides, dtype: of the two arrays.
        dims, p: of the plan of the forward.
    """
    x_strides = element_strides(x_byte_strides, WIDTH[dtype])
    g_strides = element_strides(g_byte_strides, WIDTH[dtype])
    norms = broadcast_strides(shape, keepdim_shape(shape, dims))
    # Each operator of torch lays its result out as its operands lie.
    quotient = elementwise_strides(shape, (x_strides, norms))
    slope = elementwise_strides(shape, (quotient, norms))
    negated = elementwise_strides(shape, (g_strides,))
    weighted = elementwise_strides(shape, (negated, slope))
    ties = None
    if math.isinf(p):
        ties = entries(elementwise_walk(shape, (x_strides, norms)).table(0, len(shape)))
    weigh = elementwise_walk(shape, (x_strides, g_strides, norms, weighted)).table(0, len(shape))
    direct = elementwise_strides(shape, (g_strides, norms))
    strides = elementwise_strides(shape, (direct, quotient))
    combine = elementwise_walk(shape, (x_strides, g_strides, norms, strides)).table(0, len(shape))
    return GradientLayout(
        weigh=entries(weigh),
        weigh_units=units_of(weigh, ROW),
        combine=entries(combine),
        combine_units=units_of(combine, ROW),
        ties=ties,
        weighted=weighted,
        strides=None if strides == contiguous_strides(shape) else strides,
    )


def fill_gradient(
    gradient: Array,
    x: Array,
    g: Array,
    norms: Array,
    layout: GradientLayout,
    p: float,
    eps: float,
    passes_at_floor: bool,
    rounds_single_count: bool,
    sum_up: Callable[[Array, Array], None],
) -> None:
    """Write the gradient.

    Args:
        gradient, x, g: memory.
        norms: of x, rounded to its dtype.
        layout: of the three.
        p: the order.
        eps: rounded to the dtype.
        passes_at_floor: whether a norm that equals eps has a gradient.
        rounds_single_count: whether the number of ties is rounded to the dtype where there is one
            norm, as it is where there are several.
        sum_up: fills its first argument, as long as the norms, with the sums of the summands that
            its second argument holds.
    """
    sums = np.empty_like(norms)
    # The summands are no longer needed when the gradient is written, and both are dense.
    scratch, given = (_WEIGH_ROWS * ROW, norms.dtype), (ROW, gradient, x, g, norms)
    weigh = layout.weigh_units, x.size, scratch, *given, layout.weigh
    threads.run(fill_weighted, *weigh, eps)
    sum_up(sums, gradient)
    if layout.ties is not None:
        ties = np.zeros(len(norms), np.int64)
        count_ties(ties, x, norms, layout.ties)
        rounds = rounds_single_count or len(norms) > 1
        share_among_ties(sums, ties, len(norms), rounds, x)
    scratch = _GRADIENT_ROWS * ROW, norms.dtype
    combine = layout.combine_units, x.size, scratch, *given, sums, layout.combine
    threads.run(gradient_filler(KINDS[p]), *combine, eps, passes_at_floor)


# --- kernels -------------------------------------------------------------------------------------
# Each step rounds to the dtype, as the operators of torch do that make up the gradient.

_WEIGH_ROWS, _GRADIENT_ROWS = 4, 5
"""Rows of the buffers of `fill_weighted`, and of what `gradient_filler` returns."""


@kernel
def fill_weighted(queue, buffer, block, weighted, x, g, norms, table, eps):
    """Write the cotangent of the divisor, before it is summed: -g * ((x / d) / d).

    Operands: x, g, norms, weighted.
    """
    previous = enter_default_environment()
    weighted, x, g, norms = elements(weighted), elements(x), elements(g), elements(norms)
    table, rows = elements(table), elements(buffer)
    floor, result = computed(after_entering(eps), x), shifted(rows, 3 * block)
    blocks = (table[0] + block - 1) // block
    unit = take(queue)
    while unit >= 0:
        index, column = unit // blocks, unit % blocks * block
        columns = smaller(block, table[0] - column)
        xs = row(x, place(index, column, table, 1), table[1], columns, rows)
        gs = row(g, place(index, column, table, 2), table[2], columns, shifted(rows, block))
        at = place(index, column, table, 3)
        ns = row(norms, at, table[3], columns, shifted(rows, 2 * block))
        for j in range(columns):
            divisor = at_least(ns[j], floor)
            slope = rounded(rounded(xs[j] / divisor, x) / divisor, x)
            result[j] = rounded(-gs[j] * slope, x)
        store(weighted, place(index, column, table, 4), table[4], result, columns)
        unit = take_next(queue)
    leave_default_environment(previous)


@kernel
def count_ties(ties, x, norms, table):
    """Count the elements that are as large as the norm. Operands: x, norms."""
    previous = enter_default_environment()
    ties, x, norms, table = elements(ties), elements(x), elements(norms), elements(table)
    for index in range(count(table)):
        size = abs(widen(x[offset(index, table, 1)]))
        at = offset(index, table, 2)
        if size == norms[at] or size != size:
            ties[at] += 1
    leave_default_environment(previous)


@kernel
def share_among_ties(sums, ties, vectors, rounds, stored):
    """Divide each sum by the number of ties, which may be rounded before."""
    previous = enter_default_environment()
    sums, ties, stored = elements(sums), elements(ties), elements(stored)
    for k in range(vectors):
        shared = computed(1.0 * ties[k], stored)
        if rounds:
            shared = rounded(shared, stored)
        sums[k] = rounded(sums[k] / shared, stored)
    leave_default_environment(previous)


@part
def sign(value):
    """Return -1, 0 or 1."""
    return np.float32(value > 0) - np.float32(value < 0)


@functools.cache
def gradient_filler(kind: int) -> Callable[..., None]:
    """Return what adds what reaches x through the quotient and what reaches it through the norm.

    Operands: x, g, norms and sums, gradient. The kind is what the norm sums. Nothing passes through
    the norm below the floor.
    """
    is_largest = kind in (LARGEST, SMALLEST)

    def through_norm(value, norm, total, stored):
        if kind == MAGNITUDES:
            return rounded(sign(value) * total, stored)
        if is_largest:
            size = abs(value)
            tie = np.float32(size == norm or size != size)
            return rounded(sign(value) * rounded(total * tie, stored), stored)
        unit = rounded(value / norm, stored)
        if norm == 0:
            unit = norm
        return rounded(total * unit, stored)

    through_norm = part(through_norm, kind)

    def fill_gradient(
        queue, buffer, block, gradient, x, g, norms, sums, table, eps, passes_at_floor
    ):
        previous = enter_default_environment()
        gradient, x, g, norms = elements(gradient), elements(x), elements(g), elements(norms)
        sums, table, rows = elements(sums), elements(table), elements(buffer)
        floor, nothing = computed(after_entering(eps), x), computed(0.0, x)
        result = shifted(rows, 4 * block)
        blocks = (table[0] + block - 1) // block
        unit = take(queue)
        while unit >= 0:
            index, column = unit // blocks, unit % blocks * block
            columns = smaller(block, table[0] - column)
            xs = row(x, place(index, column, table, 1), table[1], columns, rows)
            gs = row(g, place(index, column, table, 2), table[2], columns, shifted(rows, block))
            at = place(index, column, table, 3)
            ns = row(norms, at, table[3], columns, shifted(rows, 2 * block))
            ss = row(sums, at, table[3], columns, shifted(rows, 3 * block))
            for j in range(columns):
                direct, norm = rounded(gs[j] / at_least(ns[j], floor), x), ns[j]
                if kind != NONZERO:
                    is_used = norm >= floor if passes_at_floor else norm > floor
                    through = through_norm(xs[j], norm, ss[j] if is_used else nothing, x)
                    direct = rounded(direct + through, x)
                result[j] = direct
            store(gradient, place(index, column, table, 4), table[4], result, columns)
            unit = take_next(queue)
        leave_default_environment(previous)

    return kernel(fill_gradient, kind)
