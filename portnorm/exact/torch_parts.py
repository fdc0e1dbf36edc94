"""Parts of an array: whether one has the bits that it has in the whole.

A part here has whole vectors, but not all of them. Vectors do not know of each other's values, and
still their bits may depend on how many lie side by side: with them change the strides, which
columns torch sums in groups, and what it gives to its threads. All of that stands in the plans of
`torch_cpu`, so the plan of the part is compared with that of the whole.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from portnorm.exact.machine.arrays import Array, Ints
from portnorm.exact.torch_gradient import gradient_layout
from portnorm.exact.torch_plans import WIDTH, Plan, SumPlan, plan_for, sum_plan
from portnorm.reference import TorchReference


class Layout(NamedTuple):
    """How the operands of a call lie in memory.

    Attributes:
        shape: their shape.
        x: the strides of the vectors, in elements.
        g: those of the cotangent; None for the forward.
    """

    shape: Ints
    x: Ints
    g: Ints | None = None


def keeps_bits(
    part: Layout,
    whole: Layout,
    dtype: str,
    p: float,
    dim: Any,
    eps: float,
    reference: TorchReference,
) -> bool:
    """Return whether the vectors of a part have the bits that they have in the whole array.

    Args:
        part: as large as ``whole`` in the reduced dims. If it has dims of other sizes, it does
            not matter which vectors of the whole it has.
        whole: with as many operands.
        dtype: ``"float16"``, ``"bfloat16"``, ``"float32"`` or ``"float64"``.
        p, dim, eps: as for `torch_cpu.normalize`; dim is an int or a tuple.
        reference: the build of torch.

    Returns:
        False also in some cases in which the bits are the same, and always on a CUDA device, where
        the launch depends on how many vectors there are.

    >>> row, rows = Layout((1, 99), (99, 1)), Layout((5, 99), (99, 1))
    >>> keeps_bits(row, rows, "float32", 2.0, 1, 1e-12, TorchReference())
    True
    >>> column, columns = Layout((99, 1), (1, 1)), Layout((99, 5), (5, 1))
    >>> keeps_bits(column, columns, "float32", 2.0, 0, 1e-12, TorchReference())
    False
    """
    if reference.is_cuda:
        return False
    one, other = (_norm_plan(layout, dtype, p, dim, eps, reference) for layout in (part, whole))
    if _rule(one) != _rule(other) or not _same(one.reduced[:, 0], other.reduced[:, 0]):
        return False
    if part.g is None:
        return True
    # The count of ties is rounded unless there is one vector.
    if (one.norms > 1) != (other.norms > 1):
        return False
    return _same_sums(*(_sums(layout, dtype, one, reference) for layout in (part, whole)))


def _norm_plan(
    layout: Layout, dtype: str, p: float, dim: Any, eps: float, reference: TorchReference
) -> Plan:
    strides = _in_bytes(layout.x, dtype)
    return plan_for(layout.shape, strides, dtype, p, dim, eps, reference.rules, reference.threads)


def _sums(layout: Layout, dtype: str, plan: Plan, reference: TorchReference) -> SumPlan:
    assert layout.g is not None
    strides = _in_bytes(layout.x, dtype), _in_bytes(layout.g, dtype)
    weighted = gradient_layout(layout.shape, *strides, dtype, plan.dims, plan.p).weighted
    rules, threads = reference.rules, reference.threads
    return sum_plan(layout.shape, weighted, plan.dims, dtype, rules, threads)


def _in_bytes(strides: Ints, dtype: str) -> Ints:
    return tuple(stride * WIDTH[dtype] for stride in strides)


def _rule(plan: Plan) -> tuple[Any, ...]:
    """Return what decides on the order in which a norm is summed."""
    return plan.way._replace(neighbours=False), plan.number


def _same(one: Array, other: Array) -> bool:
    return bool(np.array_equal(one, other))


def _same_sums(one: SumPlan, other: SumPlan) -> bool:
    """Return whether `reduction.sum_columns` adds in the same order."""
    if not _same(one.reduced[:, :1], other.reduced[:, :1]):
        return False
    if (one.lanes, one.paired, one.in_steps) != (other.lanes, other.paired, other.in_steps):
        return False
    if len(one.reduced) == 0:
        return one.from_zero == other.from_zero
    if one.blocks is None or other.blocks is None:
        return (
            one.blocks is other.blocks
            and (one.chunk, one.threads) == (other.chunk, other.threads)
            and _relation(one) == _relation(other)
        )
    if _relation(one) != _relation(other):
        return False
    if one.reduced[0, 1] < one.kept[0, 1]:  # columns do not form groups
        return True
    return _same(one.blocks, other.blocks) or (_in_groups(one) and _in_groups(other))


def _relation(plan: SumPlan) -> tuple[bool, bool, bool]:
    """Return what of the strides decides on the order."""
    columns = plan.reduced[1:] if len(plan.reduced) > 1 else plan.kept
    stride, column_stride = int(plan.reduced[0, 1]), int(columns[0, 1])
    return stride == 1, column_stride == 1, stride < column_stride


def _in_groups(plan: SumPlan) -> bool:
    """Return whether all columns are in groups, of those of each thread none left over."""
    assert plan.blocks is not None
    group = 4 * plan.lanes
    return not ((plan.blocks[:, 3] - plan.blocks[:, 2]) % group).any()
