"""What a call comes to: its arguments checked, its level of parity picked, and then carried out.

A plan is a kind and what the kind needs, all constants in a graph:

kind        is carried out by              for parity
"native"    `_native.normalize`            "native"
"formula"   `_formula.divide`              "semantic"
"arrays"    `_arrays.apply`, in PyNative   "strict", and "semantic" at p = 2 on a CPU
"operator"  `_arrays.operate`, in a graph  the same
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from mindspore import Tensor, ops

from portnorm import semantics
from portnorm.errors import PortnormError, UnsupportedPError, UnsupportedPWarning, warn_at_user_line
from portnorm.mindspore import (
    _arrays,
    _formula,
    _graphs,
    _native,
    _precision,
    _semantic,
    _strict,
)
from portnorm.mindspore._arguments import dtype_name, target
from portnorm.options import Parity, get_options, resolve_parity

Plan = tuple[str, Any]


def carry_out(x: Tensor, plan: Plan) -> Tensor:
    """Return the result for a tensor. Read by the graph compiler."""
    kind, given = plan
    if kind == "formula":
        return _precision.shielded(_formula.divide, x, given)
    if kind == "native":
        return _precision.shielded(_native.normalize, x, given)
    if kind == "operator":
        return _arrays.operate(x, given[0], given[1], given[2])
    return _arrays.apply(x, given[0], given[1])


def _plan(function: Callable[..., Plan]) -> Any:
    """Make a plan of a function whose last argument says whether a graph is being compiled.

    If one is, it runs under the options of the thread that compiles it.
    """

    @functools.wraps(function)
    def planned(*arguments: Any) -> Plan:
        if not arguments[-1]:
            return function(*arguments)
        with _graphs.compilation():
            return function(*arguments)

    return ops.constexpr(reuse_result=False)(planned)


@_plan
def plan_normalize(
    dtype: Any,
    shape: semantics.Shape,
    p: Any,
    dim: Any,
    eps: Any,
    parity: Parity | None,
    compiling: bool,
) -> Plan:
    level = resolve_parity(parity)
    if level == "strict":
        _strict.check_shape(shape)
    _check_rank(shape)
    name = dtype_name(dtype)
    reference = get_options().torch_reference_on("mindspore") if level == "strict" else None
    on_cuda = reference is not None and reference.is_cuda
    arguments = semantics.normalize_arguments(shape, name, p, dim, eps, on_cuda=on_cuda)
    if arguments.p != 2:
        _flag_p(arguments.p, level)
    if reference:
        bits = _strict.normalize_bits(shape, name, dim, arguments, reference)
        return _strict.plan(bits, shape, name, compiling)
    if level == "native":
        return "native", _native.of_normalize(dtype, name, shape, arguments)
    given = semantics.NORMALIZE, dtype, shape, *arguments, target()
    return _semantic.plan(given, compiling)


@_plan
def plan_l2_normalize(
    dtype: Any,
    shape: semantics.Shape,
    axis: Any,
    epsilon: Any,
    parity: Parity | None,
    compiling: bool,
) -> Plan:
    level = resolve_parity(parity)
    if level == "strict":
        _strict.check_shape(shape)
    _check_rank(shape)
    axis = semantics.l2_normalize_axis(axis)
    epsilon = semantics.l2_normalize_epsilon(epsilon)
    name = dtype_name(dtype)
    axis = semantics.check_l2_normalize_input(shape, name, axis)
    rounded = semantics.round_epsilon(epsilon, name)
    if level == "strict":
        bits = _strict.l2_normalize_bits(
            axis, epsilon, get_options().mindspore_reference_on("mindspore")
        )
        return _strict.plan(bits, shape, name, compiling)
    if level == "native":
        return "native", _native.of_l2_normalize(dtype, name, axis, rounded)
    given = semantics.L2NORMALIZE, dtype, shape, 2.0, (axis,), rounded, target()
    return _semantic.plan(given, compiling)


def _check_rank(shape: semantics.Shape | None) -> None:
    if shape is None:
        raise PortnormError(
            "the number of dims has to be known when a graph is compiled: sizes may be None in "
            "set_inputs, as in Tensor(shape=[None, None], dtype=...), but shape=None is too "
            "little. Give the number of dims, or run it in PyNative."
        )


def _flag_p(p: float, level: Parity) -> None:
    """Warn of, refuse or let pass an order that L2Normalize does not have."""
    action = "raise" if level == "native" else get_options().unsupported_p
    if action == "allow":
        return
    message = (
        f"p={p:g} is not supported by mindspore.ops.L2Normalize, which has p=2 only; "
        "portnorm.mindspore.normalize computes it with other operators"
    )
    if action == "raise":
        raise UnsupportedPError(
            f"{message} under parity='semantic' and set_options(unsupported_p='warn' or 'allow')"
        )
    warn_at_user_line(
        f"{message} (silence this with portnorm.set_options(unsupported_p='allow'))",
        UnsupportedPWarning,
    )
