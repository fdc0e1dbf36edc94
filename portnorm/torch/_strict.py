"""A call of either function under parity="strict".

A plain tensor in a plain call takes a short cut around torch's dispatcher, which would cost more
than the work on a small tensor. Everything else goes to an operator. Both end in `host`.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd import forward_ad

from portnorm import semantics
from portnorm.errors import StrictParityError
from portnorm.options import get_options
from portnorm.reference import MindSporeReference, TorchReference
from portnorm.torch import _arrays, _dtensor, _operators
from portnorm.torch._arguments import (
    checked_in_graphs,
    constant_in_graphs,
    dtype_name,
    fixed,
    is_plain,
    is_plain_call,
    l2_normalize_arguments,
    needs_gradient,
)
from portnorm.torch._operators import text_of

# --- the short cut --------------------------------------------------------------------------------

_MINDSPORE_FLOATS = _arrays.FLOATS - {torch.bfloat16}
_NUMBERS = frozenset({float, int})


def _is_plain(x: Any, dtypes: frozenset[torch.dtype]) -> bool:
    """Return whether an array can share the memory of a tensor as it is."""
    try:
        return (
            is_plain(x)
            and x.is_cpu
            and x.dtype in dtypes
            and not (x.is_neg() or x.data_ptr() % x.itemsize)
        )
    except RuntimeError:  # a batch of torch.autograd.grad has no memory to ask for
        return False


def _is_plain_dim(dim: Any) -> bool:
    return type(dim) is int or (type(dim) is tuple and all(type(one) is int for one in dim))


def _refuse_forward_mode(x: Tensor) -> None:
    """Refuse what torch would take for a constant: its operators have no forward-mode gradient."""
    if torch.compiler.is_compiling() or forward_ad._current_level < 0:
        return
    unpack: Any = forward_ad.unpack_dual
    if unpack(x).tangent is not None:
        raise semantics.forward_mode_is_not_promised()


def _refuse_kind(x: Tensor) -> None:
    """Refuse tensors of which torch's dispatcher would say no more than that it fails."""
    if torch.compiler.is_compiling():
        return
    if x.dtype == torch.complex32:
        raise semantics.dtype_is_not_promised("complex32")
    kind, instead = "", ""
    if x.is_nested:
        kind, instead = "a nested tensor", "each of x.unbind()"
    elif x.is_quantized:
        kind, instead = "a quantized tensor", "x.dequantize()"
    elif x.dtype.itemsize == 1 and x.dtype.is_floating_point:
        kind, instead = str(x.dtype).removeprefix("torch."), "x.float()"
    if kind:
        raise StrictParityError(
            f"parity='strict' cannot promise the bits of {kind}: only those of dense tensors of "
            f"float16, bfloat16, float32 and float64 are known. Normalize {instead}."
        )
    _arrays.refuse_layout(x)


# --- torch's normalize ----------------------------------------------------------------------------


def normalize(input: Tensor, p: Any, dim: Any, eps: Any) -> Tensor:
    """Return the bits that `torch.nn.functional.normalize` has in the build of the options."""
    if (
        is_plain_call()
        and _is_plain(input, _arrays.FLOATS)
        and _is_plain_dim(dim)
        and type(p) in _NUMBERS
        and type(eps) in _NUMBERS
    ):
        reference = get_options().torch_reference_on("torch")
        if not needs_gradient(input):
            return _arrays.normalize(input, p, dim, eps, reference)
        _check_gradient(p)
        found: Tensor = _apply_normalize(input, p, dim, eps, reference)
        return found
    return _normalize_by_operator(input, p, dim, eps)


@constant_in_graphs
def _torch_reference() -> tuple[str, bool]:
    """Return the reference as the operators take it, and whether it is a CUDA device."""
    reference = get_options().torch_reference_on("torch")
    return text_of(reference), reference.is_cuda


def _normalize_by_operator(input: Tensor, p: Any, dim: Any, eps: Any) -> Tensor:
    """Call the operator on any kind of tensor, also while a graph is made."""
    if not isinstance(input, Tensor):
        raise semantics.input_is_no_tensor(input)
    _refuse_kind(input)
    _refuse_forward_mode(input)
    _dtensor.prepare()
    input = _cast_by_autocast(input)
    p, eps = _number_of_tensor(p), _eps_of_tensor(eps, input)
    dtype = dtype_name(input.dtype)
    gradient = needs_gradient(input)
    reference, on_cuda = _torch_reference()
    if torch.compiler.is_compiling():
        arguments = fixed(p), _fixed_dim(dim), fixed(eps), gradient, on_cuda
        checked = _arguments_in_graphs((None,) * input.ndim, dtype, *arguments)
    else:
        checked = _arguments(tuple(input.shape), dtype, p, dim, eps, gradient, on_cuda)
    return _operators.normalize(input, *checked, reference)


def _cast_by_autocast(x: Tensor) -> Tensor:
    """Cast as autocast casts the input of torch's own function on this device.

    On CUDA that is to float32, and on a CPU it is not at all. The function itself is asked, on no
    elements, because the rule is that of each kind of device.
    """
    kind = x.device.type
    if kind in _WITHOUT_AUTOCAST or not torch.is_autocast_enabled(kind):
        return x
    return x.to(torch.nn.functional.normalize(x.new_empty(0), dim=0).dtype)


# Asked here, for torch 2.5 does not compile the question.
_WITHOUT_AUTOCAST = frozenset(
    kind
    for kind in ("lazy", "maia", "meta", "mtia", "vulkan")
    if not torch.amp.is_autocast_available(kind)
)


def _check_gradient(p: float) -> None:
    """Refuse an order whose gradient is not known."""
    if p not in semantics.GRADIENT_ORDERS:
        raise semantics.gradient_is_not_promised(p)


def _arguments(
    shape: tuple[int | None, ...],
    dtype: str,
    p: Any,
    dim: Any,
    eps: Any,
    gradient: bool = True,
    on_cuda: bool = False,
) -> tuple[float, list[int], float]:
    """Return p, the dims and eps as a graph holds them. No dims are all dims."""
    found = semantics.normalize_arguments(shape, dtype, p, dim, eps, on_cuda=on_cuda)
    if gradient:
        _check_gradient(found.p)
    dims = list(found.dims)
    if not shape and semantics.dim_of_scalar(dim) is not None:
        dims = [0]
    return found.p, dims, found.eps


_arguments_in_graphs = checked_in_graphs(_arguments)


def _fixed_dim(dim: Any) -> Any:
    return type(dim)(map(fixed, dim)) if isinstance(dim, (tuple, list)) else fixed(dim)


def _number_of_tensor(p: Any) -> Any:
    return p.item() if isinstance(p, Tensor) and p.ndim == 0 and not p.requires_grad else p


def _eps_of_tensor(eps: Any, x: Tensor) -> Any:
    if not isinstance(eps, Tensor):
        return eps
    kind = "requires grad" if eps.requires_grad else f"has {eps.ndim} dims" if eps.ndim else ""
    if kind or eps.is_complex():
        raise StrictParityError(
            f"parity='strict' cannot promise the bits where eps is a tensor that "
            f"{kind or 'is complex'}: only those where it is a number are known. Use a number, or "
            "parity='semantic'."
        )
    if torch.result_type(x, eps) != x.dtype:  # both have no dims
        raise StrictParityError(
            f"parity='strict' cannot promise the bits where eps is a tensor of {eps.dtype} and the "
            f"input one of {x.dtype}, without dims either: only those where the result keeps the "
            "dtype of the input are known. Use a number, or parity='semantic'."
        )
    return float(eps.to(x.dtype))


class _Normalize(torch.autograd.Function):
    """The short cut for a tensor that requires grad."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, p: Any, dim: Any, eps: Any, reference: TorchReference
    ) -> Tensor:
        ctx.save_for_backward(x)
        ctx.arguments = p, dim, eps, reference
        return _arrays.normalize(x, p, dim, eps, reference)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        p, dim, eps, reference = ctx.arguments
        if _can_take_short_cut(g, x):
            return _arrays.normalize_vjp(g, x, p, dim, eps, reference), None, None, None, None
        shape, dtype = tuple(x.shape), dtype_name(x.dtype)
        arguments = _arguments(shape, dtype, p, dim, eps, on_cuda=reference.is_cuda)
        found = _operators.normalize_backward(g, x, *arguments, text_of(reference))
        return found, None, None, None, None


_apply_normalize = cast(Any, _Normalize).apply


def _can_take_short_cut(*tensors: Tensor) -> bool:
    """Return whether a gradient need not be differentiable, and is one of plain tensors."""
    return (
        not torch.is_grad_enabled()
        and is_plain_call()
        and all(_is_plain(x, _arrays.FLOATS) for x in tensors)
    )


# --- MindSpore's L2Normalize ----------------------------------------------------------------------


def l2_normalize(x: Tensor, axis: Any, epsilon: Any) -> Tensor:
    """Return the bits that `mindspore.ops.L2Normalize` has in the build of the options."""
    if (
        is_plain_call()
        and _is_plain(x, _MINDSPORE_FLOATS)
        and type(axis) is int
        and type(epsilon) is float
    ):
        reference = get_options().mindspore_reference_on("torch")
        if not needs_gradient(x):
            return _arrays.l2_normalize(x, axis, epsilon, reference)
        found: Tensor = _apply_l2_normalize(x, axis, epsilon, reference)
        return found
    return _l2_normalize_by_operator(x, axis, epsilon)


@constant_in_graphs
def _mindspore_reference() -> str:
    return text_of(get_options().mindspore_reference_on("torch"))


def _l2_normalize_by_operator(x: Tensor, axis: Any, epsilon: Any) -> Tensor:
    """Call the operator on any kind of tensor, also while a graph is made."""
    if isinstance(x, Tensor):
        _refuse_kind(x)
    dim, _ = l2_normalize_arguments(x, axis, epsilon)
    _refuse_forward_mode(x)
    _dtensor.prepare()
    return _operators.l2_normalize(x, dim, float(fixed(epsilon)), _mindspore_reference())


class _L2Normalize(torch.autograd.Function):
    """The short cut for a tensor that requires grad."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, axis: int, epsilon: float, reference: MindSporeReference
    ) -> Tensor:
        y = _arrays.l2_normalize(x, axis, epsilon, reference)
        ctx.save_for_backward(x)  # not y, which may be changed in place
        ctx.arguments = axis, epsilon, reference
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        axis, epsilon, reference = ctx.arguments
        if _can_take_short_cut(dy, x):
            y = _arrays.l2_normalize(x, axis, epsilon, reference)
            return _arrays.l2_normalize_vjp(dy, x, y, axis, epsilon, reference), None, None, None
        y = _operators.l2_normalize(x.detach(), axis, epsilon, text_of(reference))
        found = _operators.l2_normalize_backward(dy, x, y, axis, epsilon, text_of(reference))
        return found, None, None, None


_apply_l2_normalize = cast(Any, _L2Normalize).apply
