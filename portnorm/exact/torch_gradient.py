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

from portnorm.exact import torch_kernels as kernels
from portnorm.exact.blocks import entries
from portnorm.exact.machine import threads
from portnorm.exact.machine.arrays import Array, Ints, element_strides
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
    scratch, given = (kernels.WEIGH_ROWS * ROW, norms.dtype), (ROW, gradient, x, g, norms)
    weigh = layout.weigh_units, x.size, scratch, *given, layout.weigh
    threads.run(kernels.fill_weighted, *weigh, eps)
    sum_up(sums, gradient)
    if layout.ties is not None:
        ties = np.zeros(len(norms), np.int64)
        kernels.count_ties(ties, x, norms, layout.ties)
        rounds = rounds_single_count or len(norms) > 1
        kernels.share_among_ties(sums, ties, len(norms), rounds, x)
    scratch = kernels.GRADIENT_ROWS * ROW, norms.dtype
    combine = layout.combine_units, x.size, scratch, *given, sums, layout.combine
    threads.run(kernels.fill_gradient(KINDS[p]), *combine, eps, passes_at_floor)
