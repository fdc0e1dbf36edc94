"""The formulas in operators of MindSpore, written so that the graph compiler can read them.

Three habits of MindSpore 2.10 on CPU shape them. A Python float that meets a tensor, or another
one in a graph, is rounded to float32 first, so constants are tensors and what is computed from p is
computed in the plan. Threads of its pool flush float64 subnormals to zero, so float64 is scaled
before it is squared. Long sums are taken from left to right, so sums are held in a wider type than
the input, or split.
"""

from __future__ import annotations

import math
from typing import Any

import mindspore
from mindspore import Tensor, ops

from portnorm.mindspore import _precision

_sum = ops.ReduceSum(keep_dims=True)
_maximum = ops.ReduceMax(keep_dims=True)
_minimum = ops.ReduceMin(keep_dims=True)
_complex = ops.Complex()

NormPlan = tuple[Any, ...]
"""(order, dims, power, root, scaled, split), all constants.

order: "count" (p = 0), "absolute" (1), "euclidean" (2), "largest" (inf), "smallest" (-inf), or
    for any other p "positive" or "negative".
power, root: p and 1/p, tensors in the accumulator type.
scaled: whether to divide by the largest (p < 0: smallest) magnitude before taking powers.
split: where to cut terms in [0, 4] so that the upper parts add up without rounding, or 0.
"""


FormulaPlan = tuple[Any, ...]
"""(method, dims, floor, accumulator, nan_takes_floor, norm: a `NormPlan`), all constants."""

SMALLEST_NORMAL = {mindspore.float32: 2.0**-126, mindspore.float64: 2.0**-1022}


def divide(x: Tensor, plan: FormulaPlan) -> Tensor:
    """Divide vectors by their norms or by the floor, whichever is larger."""
    method, dims, floor, accumulator, nan_takes_floor, norm = plan
    if method == "empty":
        return (x.astype(accumulator) * 1).astype(x.dtype)
    if method == "nan":
        # Not a product: compiled graphs take `x * NaN` for x.
        return (x.astype(accumulator) / floor.astype(accumulator)).astype(x.dtype)
    if method == "complex":
        real, imag = ops.real(x).astype(accumulator), ops.imag(x).astype(accumulator)
        divisor = _at_least(_norm(_modulus(real, imag), norm), floor, nan_takes_floor)
        return _complex(real / divisor, imag / divisor).astype(x.dtype)
    v = x.astype(accumulator)
    if method == "squares":
        squares = _sum(ops.square(v), dims)
        divisor = ops.sqrt(_at_least(squares, floor, nan_takes_floor))
    else:
        divisor = _at_least(_norm(ops.abs(v), norm), floor, nan_takes_floor)
        if norm[0] == "euclidean":  # a vector of zeros without a floor: so is torch's gradient
            divisor = ops.where(divisor == 0, _constant(math.nan, divisor.dtype), divisor)
    return (v / divisor).astype(x.dtype)


def _at_least(value: Tensor, floor: Tensor, nan_takes_floor: bool) -> Tensor:
    """`ops.maximum` will not do: it swallows NaN, and splits the gradient where both are equal."""
    if nan_takes_floor:
        return ops.where(value > floor, value, floor)
    return ops.where(value < floor, floor, value)


def _norm(a: Tensor, plan: NormPlan) -> Tensor:
    """Return the norm of a >= 0, with a gradient that is 0 where the norm is 0."""
    order, dims, power, root, scaled, split = plan
    if order == "count":
        return _sum((a != 0).astype(a.dtype), dims)
    if not scaled:
        return _root(_sum(_power(a, order, power), dims), order, root)
    if order in ("smallest", "negative"):
        extreme = ops.stop_gradient(_minimum(a, dims))
    else:
        extreme = ops.stop_gradient(_maximum(a, dims))
    scale = _scale(extreme, order)
    if order in ("smallest", "largest"):
        return scale * _mean_of_ties(a, a / scale, extreme, dims)
    total = _split_sum(_power(a / scale, order, power), dims, split)
    return scale * _root(total, order, root)


def _scale(extreme: Tensor, order: str) -> Tensor:
    """Return what to divide by before powers are taken, or 1 where nothing can be divided by it.

    For p = 1 and 2 it is a power of two: it rounds nothing, so that a norm that equals eps does.
    """
    scale = extreme
    if order in ("absolute", "euclidean"):
        exponent = ops.floor(ops.log2(extreme))
        scale = ops.stop_gradient(ops.pow(_constant(2.0, extreme.dtype), exponent))
    usable = ops.logical_and(scale >= _smallest_normal(extreme.dtype), scale < math.inf)
    return ops.where(usable, scale, ops.ones_like(scale))


def _mean_of_ties(a: Tensor, scaled: Tensor, extreme: Tensor, dims: tuple[int, ...]) -> Tensor:
    """The extreme value, with torch's gradient: ties share it equally."""
    ties = ops.logical_or(a == extreme, a != a).astype(a.dtype)
    chosen = ops.where(ties > 0, scaled, ops.zeros_like(scaled))
    return _sum(chosen, dims) / _sum(ties, dims)


def _power(a: Tensor, order: str, power: Tensor) -> Tensor:
    if order == "absolute":
        return a
    if order == "euclidean":
        return ops.square(a)
    return ops.where(a == 0, _power_of_zero(order, a.dtype), ops.pow(_one_at_zero(a), power))


def _root(total: Tensor, order: str, root: Tensor | None) -> Tensor:
    if order == "absolute":
        return total
    if order == "euclidean":
        rooted = ops.sqrt(_one_at_zero(total))
    else:
        rooted = ops.pow(_one_at_zero(total), root)
    return ops.where(total == 0, _power_of_zero(order, total.dtype), rooted)


def _one_at_zero(a: Tensor) -> Tensor:
    """Keep the infinite derivative at 0 out of the graph, where it would turn 0 into NaN."""
    return ops.where(a == 0, ops.ones_like(a), a)


def _split_sum(terms: Tensor, dims: tuple[int, ...], split: float) -> Tensor:
    """Add terms in [0, 4]: their upper parts without any rounding, then what is left."""
    if split == 0:
        return _sum(terms, dims)
    upper = ops.where(terms < math.inf, ops.floor(terms * split) / split, ops.zeros_like(terms))
    upper = ops.stop_gradient(upper)
    return _sum(upper, dims) + _sum(terms - upper, dims)


def _modulus(real: Tensor, imag: Tensor) -> Tensor:
    """As C's hypot: infinite where one part is, even if the other one is NaN."""
    larger = ops.stop_gradient(ops.maximum(ops.abs(real), ops.abs(imag)))
    infinite = ops.logical_or(ops.abs(real) == math.inf, ops.abs(imag) == math.inf)
    usable = ops.logical_and(larger > 0, larger < math.inf)
    scale = ops.where(usable, larger, ops.ones_like(larger))
    squares = ops.square(real / scale) + ops.square(imag / scale)
    modulus = scale * _root(squares, "euclidean", None)
    return ops.where(infinite, _constant(math.inf, modulus.dtype), modulus)


def _power_of_zero(order: str, dtype: Any) -> Tensor:
    return _constant(math.inf if order == "negative" else 0.0, dtype)


@ops.constexpr  # type: ignore[untyped-decorator]
def _constant(value: float, dtype: Any) -> Tensor:
    return Tensor(value, dtype)


@ops.constexpr  # type: ignore[untyped-decorator]
def _smallest_normal(dtype: Any) -> Tensor:
    return Tensor(SMALLEST_NORMAL[dtype], dtype)


_precision.keep_types(divide)
