"""parity="native": `mindspore.ops.L2Normalize` itself, with translated arguments.

MindSpore takes small epsilons for one another. The function is homogeneous, so that the operator on
``x * 2**k`` with ``epsilon * 4**k``, an epsilon that is not confused, has the same result, and a
power of two rounds nothing. What is lost is the top of the range: a norm from 2**64 / 2**k on in
float32 (2.7e11 for torch's default eps, k = 26) has an infinite sum of squares, and gives zeros, as
the operator alone does from 2**64 on; an element that overflows itself gives NaN.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

from mindspore import Tensor, ops
from mindspore.ops._primitive_cache import _get_cache_prim

from portnorm import semantics
from portnorm.errors import NativeParityError


class Operator(NamedTuple):
    """L2Normalize(axis, epsilon), of the input times `scale`, a tensor, where that is not None."""

    axis: int
    epsilon: float
    scale: Tensor | None


_LARGEST_EXPONENT = {"float32": 54, "float64": 502}
"""The largest k for each dtype: with it the squares of norms from 2**10 on overflow."""


def of_l2_normalize(dtype: Any, name: str, axis: int, epsilon: float) -> Operator:
    """Return the operator for arguments of L2Normalize, epsilon rounded as it rounds it.

    Raises:
        NativeParityError: the operator cannot compute this.
    """
    if epsilon < 0:
        _refuse(f"negative epsilons, such as {epsilon:g}, are confused with one another")
    return _operator(dtype, name, axis, lambda k: math.ldexp(epsilon, 2 * k))


def of_normalize(
    dtype: Any, name: str, shape: semantics.Shape, arguments: semantics.NormalizeArguments
) -> Operator:
    """Return the operator for torch's arguments.

    Raises:
        NativeParityError: the operator cannot compute this.
    """
    dims, eps = arguments.dims, arguments.eps
    if len(dims) != 1:
        _refuse(f"it takes exactly one axis, not {len(dims)}")
    if eps < 0:
        _refuse(f"it has no equivalent of the negative eps {eps:g}")
    try:
        semantics.check_l2_normalize_input(shape, name, dims[0])
        operator = _operator(dtype, name, dims[0], lambda k: math.ldexp(eps, k) ** 2)
        semantics.round_epsilon(operator.epsilon, name)
    except (RuntimeError, TypeError) as error:
        _refuse(str(error).removesuffix("."))
    return operator


def _operator(dtype: Any, name: str, axis: int, epsilon: Callable[[int], float]) -> Operator:
    """Return the operator of the smallest k whose epsilon, a function of k, is not confused."""
    k, largest = 0, _LARGEST_EXPONENT.get(name, 0)
    while epsilon(k) <= semantics.LARGEST_CONFUSED_EPSILON and k < largest:
        k += 1
    if largest and 0 < epsilon(k) <= semantics.LARGEST_CONFUSED_EPSILON:
        _refuse(
            f"MindSpore confuses epsilon {epsilon(0):.3g} with others, and can compute with one "
            f"above {math.ldexp(semantics.LARGEST_CONFUSED_EPSILON, -2 * largest):.3g} at least"
        )
    return Operator(axis, epsilon(k), _scale(dtype, k))


@functools.lru_cache(maxsize=64)
def _scale(dtype: Any, k: int) -> Tensor | None:
    # A tensor, for MindSpore makes a float32 of a number in Python, which ends at 2**127.
    return Tensor(math.ldexp(1.0, k), dtype) if k else None


def _refuse(reason: str) -> NoReturn:
    raise NativeParityError(
        f"parity='native' cannot use mindspore.ops.L2Normalize here: {reason}; "
        "use parity='semantic'."
    )


def normalize(x: Tensor, operator: Operator) -> Tensor:
    """Read by the graph compiler."""
    axis, epsilon, scale = operator
    if scale is not None:
        x = x * scale
    return _get_cache_prim(ops.L2Normalize)(axis, epsilon)(x)
