"""parity="native": `mindspore.ops.L2Normalize` itself, with translated arguments."""

from __future__ import annotations

import math
from typing import NoReturn

from mindspore import Tensor, ops
from mindspore.ops._primitive_cache import _get_cache_prim

from portnorm import semantics
from portnorm.errors import NativeParityError


def plan(axis: int, epsilon: float) -> tuple[int, float]:
    """Refuse an epsilon with which MindSpore may run another operator."""
    if epsilon <= semantics.LARGEST_CONFUSED_EPSILON:
        _refuse_native(
            f"epsilon {epsilon:g} is one of those that MindSpore confuses with one another: it "
            f"may run with the epsilon of another L2Normalize. Pass an epsilon above "
            f"{semantics.LARGEST_CONFUSED_EPSILON:.3g} (eps above "
            f"{math.sqrt(semantics.LARGEST_CONFUSED_EPSILON):.3g} in torch's terms)"
        )
    return axis, epsilon


def arguments_of(
    shape: semantics.Shape, dtype: str, arguments: semantics.NormalizeArguments
) -> tuple[int, float]:
    """Translate torch's arguments to those of L2Normalize: (axis, epsilon)."""
    if len(arguments.dims) != 1:
        _refuse_native(f"it takes exactly one axis, not {len(arguments.dims)}")
    if arguments.eps < 0:
        _refuse_native(f"it has no equivalent of the negative eps {arguments.eps:g}")
    epsilon = arguments.eps * arguments.eps
    try:
        semantics.check_l2_normalize_input(shape, dtype, arguments.dims[0])
        semantics.round_epsilon(epsilon, dtype)
    except (RuntimeError, TypeError) as error:
        _refuse_native(str(error).removesuffix("."))
    return arguments.dims[0], epsilon


def _refuse_native(reason: str) -> NoReturn:
    raise NativeParityError(
        f"parity='native' cannot use mindspore.ops.L2Normalize here: {reason}, "
        "or use parity='semantic'."
    )


def normalize(x: Tensor, plan: tuple[int, float]) -> Tensor:
    """Read by the graph compiler."""
    return _get_cache_prim(ops.L2Normalize)(plan[0], plan[1])(x)
