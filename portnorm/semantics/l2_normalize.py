"""The arguments and errors of MindSpore's `L2Normalize`, checked in the order in which it does."""

from __future__ import annotations

import numbers
from collections.abc import Sequence

from portnorm.semantics.functions import L2NORMALIZE, Shape
from portnorm.semantics.rounding import round_to
from portnorm.semantics.tensors import other_kind

_MINDSPORE_DTYPE = {"bool": "Bool", "bfloat16": "BFloat16"}


def l2_normalize_axis(axis: object) -> int:
    """Check the type of axis, as the constructor of L2Normalize does, and return the int.

    Raises:
        TypeError: axis is neither an int nor a list or tuple of one.
    """
    axes: Sequence[object]
    if isinstance(axis, int):
        axes = (axis,)
    elif isinstance(axis, (list, tuple)):
        axes = axis
    else:
        raise TypeError(
            "For 'L2Normalize', the type of 'axis' should be one of '['list', 'tuple']', "
            f"but got type '{type(axis).__name__}'."
        )
    if len(axes) != 1:
        raise TypeError(
            f"For 'L2Normalize', the length of 'axis' must be 1, but got {len(axes)}, "
            "later will support multiple axis!"
        )
    if isinstance(axes[0], bool) or not isinstance(axes[0], numbers.Integral):
        shown = str(axes[0]).lower() if isinstance(axes[0], bool) else f"{axes[0]}"
        shown = f"[{shown}]" if isinstance(axis, (int, list)) else f"({shown})"
        raise TypeError(
            "For primitive[L2Normalize], the attribute[axis] must be one of "
            f"['int', 'tuple', 'list'] with all Int elements, but got {shown}"
        )
    return int(axes[0])


def l2_normalize_epsilon(epsilon: object) -> float | int:
    """Check the type of epsilon, as the constructor of L2Normalize does.

    Raises:
        TypeError: epsilon is neither a float nor an int.
    """
    if isinstance(epsilon, bool) or not isinstance(epsilon, (int, float)):
        raise TypeError(
            "For 'L2Normalize', the type of 'epsilon' should be one of '['int', 'float']', "
            f"but got type '{type(epsilon).__name__}'."
        )
    return epsilon


def check_l2_normalize_input(shape: Shape, dtype: str, axis: int) -> int:
    """Check the input of L2Normalize and return axis counted from 0.

    Raises:
        TypeError: a dtype or a rank that L2Normalize does not take.
        ValueError: axis is out of range.
    """
    if dtype not in L2NORMALIZE.dtypes:
        got = _MINDSPORE_DTYPE.get(dtype, dtype.replace("uint", "UInt").title())
        got = got.replace("Uint", "UInt")
        raise TypeError(
            "For primitive[L2Normalize], the input argument[input_x] must be a type of "
            "{Tensor[Float16], Tensor[Float32], Tensor[Float64]}, but got "
            f"Tensor[{got}]."
        )
    ndim = len(shape)
    if ndim == 0:
        raise TypeError("For 'L2Normalize', input shape size must be > 0.")
    if not -ndim <= axis < ndim:
        raise ValueError(
            "For primitive[L2Normalize], the axis value must be in "
            f"[{-ndim},{ndim}), but got {axis}."
        )
    return axis % ndim


def round_epsilon(epsilon: float | int, dtype: str) -> float:
    """Return epsilon as the kernel of L2Normalize has it: float32 first, then the dtype.

    Raises:
        RuntimeError: epsilon is an int, is 0, or rounds to 0.
    """
    if isinstance(epsilon, int):
        raise RuntimeError(f"Cast failed, original value: {epsilon}, type: Int64Imm")
    rounded = round_to(round_to(epsilon, "float32"), dtype)
    if rounded == 0:
        raise RuntimeError("For 'L2Normalize', the parameter of 'epsilon' can not be zero.")
    return rounded


def l2_normalize_arguments(
    ndim: int, dtype: str, axis: object, epsilon: object
) -> tuple[int, float]:
    """Check all of a call of L2Normalize; return axis counted from 0, and epsilon as it is used.

    Raises:
        RuntimeError, TypeError, ValueError: what L2Normalize raises, in its order.
    """
    of_one, lower_bound = l2_normalize_axis(axis), l2_normalize_epsilon(epsilon)
    dim = check_l2_normalize_input((None,) * ndim, dtype, of_one)
    return dim, round_epsilon(lower_bound, dtype)


def l2_normalize_input_is_no_tensor(value: object, host: str = "") -> TypeError:
    """Return MindSpore's error for an input that is not a tensor of the host, and what to do."""
    names = {type(None): "None", bool: "Bool", int: "Int64", float: "Float32", str: "String"}
    got = names.get(type(value), "External")
    what_to_do = other_kind(value, host)
    more = f" I{what_to_do[1:]}." if what_to_do else ""
    return TypeError(f"For 'L2Normalize', input must be a Tensor, but got: {got}.{more}")


EPSILONS_MERGED_WITHIN = 2.0**-52
"""MindSpore takes two L2Normalize operators for one if their epsilons differ by less than this: one
graph runs both with the epsilon of the first, and PyNative finds kernels by epsilon to 17 decimals.
Measured on MindSpore 2.10.0: 962 graphs, 7000 PyNative pairs."""

LARGEST_CONFUSED_EPSILON = EPSILONS_MERGED_WITHIN * 2.0**23
"""Above this value two float32 numbers are further apart than that."""
