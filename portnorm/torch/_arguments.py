"""Calls on torch tensors: who looks at them; arguments checked once, constants in graphs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.autograd import forward_ad

from portnorm import semantics
from portnorm.errors import StrictParityError
from portnorm.observe import PassiveMode

_Function = TypeVar("_Function", bound=Callable[..., Any])

_PLAIN_TYPES = frozenset({Tensor, torch.nn.Parameter})

_dispatch_modes = torch._C._len_torch_dispatch_stack
_function_modes = torch._C._len_torch_function_stack
_transforms = torch._C._are_functorch_transforms_active
_tracing = torch._C._get_tracing_state


def is_plain_call() -> bool:
    """Return whether nothing but autograd looks at the calls of this thread."""
    return not (
        torch.compiler.is_compiling()
        or _transforms()
        or _dispatch_modes()
        or (_function_modes() and not _all_are_passive())
        or _tracing()
        or forward_ad._current_level >= 0
    )


def is_plain(x: Any) -> bool:
    """Return whether a tensor is one block of numbers, and no subclass's."""
    return type(x) in _PLAIN_TYPES and x.layout is torch.strided and not x.is_nested


def needs_gradient(x: Tensor) -> bool:
    """Return whether autograd records what is done to a tensor."""
    return x.requires_grad and torch.is_grad_enabled()


def _all_are_passive() -> bool:
    modes = map(torch._C._get_function_stack_at, range(_function_modes()))
    return all(isinstance(mode, PassiveMode) for mode in modes)


def constant_in_graphs(function: _Function) -> _Function:
    """Mark a function that torch.compile cannot read, so that its result becomes a constant.

    `torch.compiler.assume_constant_result` sets the same mark, but imports the compiler, which
    takes seconds and changes the warning filters.
    """
    function.__dict__["_dynamo_marked_constant"] = True
    return function


_ERRORS = {
    error.__name__: error
    for error in (
        IndexError,
        NotImplementedError,
        OverflowError,
        RuntimeError,
        StrictParityError,
        TypeError,
        ValueError,
    )
}


def checked_in_graphs(check: Callable[..., Any]) -> Callable[..., Any]:
    """Return a check that torch.compile need not read: a constant results, or an error is raised.

    A function that is a constant must not raise: torch takes that for a bug of its own.
    """

    @constant_in_graphs
    def attempt(*arguments: Any) -> tuple[Any, str, str]:
        try:
            return check(*arguments), "", ""
        except tuple(_ERRORS.values()) as error:
            return None, type(error).__name__, str(error)

    def call(*arguments: Any) -> Any:
        result, error, text = attempt(*arguments)
        if error:
            raise _ERRORS[error](text)
        return result

    return call


def fixed(value: Any) -> Any:
    """Return a number as a constant of the graph that is made; another number makes another graph.

    torch.compile may hold a number as a symbol. It takes the key of a dict for a constant.
    """
    if isinstance(value, (int, float)):
        (value,) = {value: None}
    return value


def dtype_name(dtype: torch.dtype) -> str:
    """Return the name of a dtype as `semantics` has it."""
    return str(dtype).removeprefix("torch.")


def is_dense(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Return whether elements fill their memory, each in a place of its own."""
    expected = 1
    for stride, size in sorted(zip(strides, shape, strict=True)):
        if size != 1:
            if stride != expected:
                return False
            expected *= size
    return True


def l2_normalize_arguments(x: Any, axis: Any, epsilon: Any) -> tuple[int, float]:
    """Return the dim that an axis stands for, and the epsilon that is in force.

    Raises:
        RuntimeError, TypeError, ValueError: what L2Normalize raises.
    """
    if not (isinstance(x, Tensor) and type(axis) is int and type(epsilon) is float):
        axis = semantics.l2_normalize_axis(axis)
        epsilon = semantics.l2_normalize_epsilon(epsilon)
        if not isinstance(x, Tensor):
            raise semantics.l2_normalize_input_is_no_tensor(x, "torch")
    if torch.compiler.is_compiling():
        dtype = dtype_name(x.dtype)
        found: tuple[int, float] = _check_in_graphs(x.ndim, dtype, fixed(axis), fixed(epsilon))
        return found
    return _check_once(x.ndim, x.dtype, axis, epsilon)


@functools.lru_cache(maxsize=256, typed=True)
def _check_once(
    ndim: int, dtype: torch.dtype, axis: int, epsilon: float | int
) -> tuple[int, float]:
    return _check(ndim, dtype_name(dtype), axis, epsilon)


def _check(ndim: int, dtype: str, axis: int, epsilon: float | int) -> tuple[int, float]:
    try:
        return semantics.l2_normalize_arguments(ndim, dtype, axis, epsilon)
    except TypeError as error:
        if "Tensor[BFloat16]" not in str(error):
            raise
        raise TypeError(
            f"{error} Give it x.float(), also under torch.autocast, which makes bfloat16 of what "
            "comes before."
        ) from None


_check_in_graphs = checked_in_graphs(_check)
