"""The operators: what torch.compile, torch.export, torch.func and subclasses of Tensor see.

An operator is opaque: nobody looks into it, so nobody changes its bits. Its gradient is another
one. The gradient of the gradient is that of parity="semantic".

torch.func takes rules from a `torch.autograd.Function`, but not from the one that torch makes of an
operator. So each operator has another one, which is called inside of torch.func.

A reference travels as its JSON, which graphs hold as a constant: the gradient has the reference of
its forward.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from portnorm import semantics
from portnorm.reference import MindSporeReference, TorchReference
from portnorm.torch import _arrays, _semantic
from portnorm.torch._arguments import dtype_name


@functools.lru_cache(maxsize=64)
def text_of(reference: TorchReference | MindSporeReference) -> str:
    """Return a reference as a graph holds it."""
    return reference.to_json()


@functools.lru_cache(maxsize=64)
def _torch_reference(text: str) -> TorchReference:
    return TorchReference.from_json(text)


@functools.lru_cache(maxsize=64)
def _mindspore_reference(text: str) -> MindSporeReference:
    return MindSporeReference.from_json(text)


# --- the operators --------------------------------------------------------------------------------


def _operator(name: str, arguments: str) -> Callable[[Callable[..., Tensor]], Any]:
    """Return a decorator that registers an operator of the namespace `portnorm`."""
    return torch.library.custom_op(
        f"portnorm::{name}", mutates_args=(), schema=f"({arguments}) -> Tensor"
    )


@_operator("normalize", "Tensor input, float p, int[] dim, float eps, str reference")
def _normalize(x: Tensor, p: float, dim: list[int], eps: float, reference: str) -> Tensor:
    build = _torch_reference(reference)
    if is_live(build, x):
        return F.normalize(x.detach(), p, _dim(dim), eps)
    found = _arrays.normalize(_arrays.on_host(x, build), p, _dim(dim), eps, build, x.is_cuda)
    return found.to(x.device)


@_operator(
    "normalize_backward",
    "Tensor grad, Tensor input, float p, int[] dim, float eps, str reference",
)
def _normalize_backward(
    g: Tensor, x: Tensor, p: float, dim: list[int], eps: float, reference: str
) -> Tensor:
    build = _torch_reference(reference)
    if is_live(build, x):
        return _live_gradient(g, x, p, _dim(dim), eps)
    tensors = _arrays.on_host(g, build), _arrays.on_host(x, build)
    found = _arrays.normalize_vjp(*tensors, p, _dim(dim), eps, build, x.is_cuda)
    return found.to(x.device)


@_operator("l2_normalize", "Tensor x, int axis, float epsilon, str reference")
def _l2_normalize(x: Tensor, axis: int, epsilon: float, reference: str) -> Tensor:
    build = _mindspore_reference(reference)
    found = _arrays.l2_normalize(_arrays.on_host(x), axis, epsilon, build, x.is_cuda)
    return found.to(x.device)


@_operator(
    "l2_normalize_backward",
    "Tensor grad, Tensor x, Tensor y, int axis, float epsilon, str reference",
)
def _l2_normalize_backward(
    dy: Tensor, x: Tensor, y: Tensor, axis: int, epsilon: float, reference: str
) -> Tensor:
    build = _mindspore_reference(reference)
    tensors = _arrays.on_host(dy), _arrays.on_host(x), _arrays.on_host(y)
    found = _arrays.l2_normalize_vjp(*tensors, axis, epsilon, build, x.is_cuda)
    return found.to(x.device)


def is_live(reference: TorchReference, x: Tensor) -> bool:
    """Return whether a tensor lies on the device that a reference names, in this very torch.

    Raises:
        StrictParityError: the reference is not certified.
    """
    _ = reference.rules
    return x.is_cuda and reference.is_cuda and reference.is_same_build(_reference_of(x.device))


@functools.cache
def _reference_of(device: torch.device) -> TorchReference:
    return TorchReference.current(str(device))


def _live_gradient(g: Tensor, x: Tensor, p: float, dim: Any, eps: float) -> Tensor:
    """Return the gradient that torch itself computes."""
    with torch.inference_mode(False), torch.enable_grad():
        leaf = x.detach().requires_grad_()
        return torch.autograd.grad(F.normalize(leaf, p, dim, eps), leaf, g.detach())[0]


def _dim(dims: Sequence[int]) -> Any:
    """Return the dims as `portnorm.exact` takes them fastest."""
    return dims[0] if len(dims) == 1 else tuple(dims)


# --- layouts of the results -----------------------------------------------------------------------


def _normalize_layout(x: Tensor, p: float, dim: list[int], eps: float, reference: str) -> Tensor:
    return _arrays.like_quotient(x, dim)


def _normalize_backward_layout(
    g: Tensor, x: Tensor, p: float, dim: list[int], eps: float, reference: str
) -> Tensor:
    return _arrays.like_quotient(x, dim)


def _l2_normalize_layout(x: Tensor, axis: int, epsilon: float, reference: str) -> Tensor:
    return _arrays.like_quotient(x, [axis])


def _l2_normalize_backward_layout(
    dy: Tensor, x: Tensor, y: Tensor, axis: int, epsilon: float, reference: str
) -> Tensor:
    return _arrays.like_quotient(x, [axis])


_normalize.register_fake(_normalize_layout)
_normalize_backward.register_fake(_normalize_backward_layout)
_l2_normalize.register_fake(_l2_normalize_layout)
_l2_normalize_backward.register_fake(_l2_normalize_backward_layout)


# --- gradients ------------------------------------------------------------------------------------


def _save_normalize(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, *ctx.arguments = inputs
    ctx.save_for_backward(x)


def _differentiate_normalize(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    (x,) = ctx.saved_tensors
    return normalize_backward(g, x, *ctx.arguments), None, None, None, None


def _save_normalize_backward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    g, x, *ctx.arguments = inputs
    ctx.save_for_backward(g, x)


def _differentiate_normalize_backward(ctx: Any, v: Tensor) -> tuple[Tensor | None, ...]:
    g, x = ctx.saved_tensors
    p, dim, eps, _ = ctx.arguments

    def semantic(x: Tensor) -> Tensor:
        return F.normalize(x, p, dim, eps)

    return *_second_derivative(semantic, g, x, v), None, None, None, None


def _save_l2_normalize(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, *ctx.arguments = inputs
    ctx.save_for_backward(x)


def _differentiate_l2_normalize(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    (x,) = ctx.saved_tensors
    y = l2_normalize(x.detach(), *ctx.arguments)  # the result itself may be changed in place
    return l2_normalize_backward(dy, x, y, *ctx.arguments), None, None, None


def _save_l2_normalize_backward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    dy, x, _, *ctx.arguments = inputs
    ctx.save_for_backward(dy, x)


def _differentiate_l2_normalize_backward(ctx: Any, v: Tensor) -> tuple[Tensor | None, ...]:
    dy, x = ctx.saved_tensors
    axis, epsilon, _ = ctx.arguments

    def semantic(x: Tensor) -> Tensor:
        floor = semantics.round_epsilon(epsilon, dtype_name(x.dtype))
        return _semantic.l2_normalize(x, axis % x.ndim, floor)

    # The derivative with respect to x covers y, which is a function of x.
    return *_second_derivative(semantic, dy, x, v), None, None, None, None


def _second_derivative(
    function: Callable[[Tensor], Tensor], g: Tensor, x: Tensor, v: Tensor
) -> tuple[Tensor, ...]:
    """Return the derivatives of ``v`` times the gradient of a function, with respect to g and x."""

    def gradient(g: Tensor, x: Tensor) -> Tensor:
        pull = torch.func.vjp(function, x)[1]
        (found,) = pull(g)
        return found  # type: ignore[no-any-return]

    pull = torch.func.vjp(gradient, g, x)[1]
    return pull(v)  # type: ignore[no-any-return]


# --- vmap -----------------------------------------------------------------------------------------
# One call on the whole batch: to the bit what torch's own vmap gives, and for L2Normalize, whose
# vectors do not know of each other, what a loop gives.


def _batched(x: Tensor, batch: int | None, size: int) -> Tensor:
    """Return a tensor whose dim 0 is that of the batch."""
    return x.expand(size, *x.shape) if batch is None else x.movedim(batch, 0)


def _batched_dims(dims: Sequence[int], ndim: int) -> list[int]:
    """Return the dims of a batch that the dims of its elements are; none are all."""
    return [d % ndim + 1 for d in dims] or list(range(1, ndim + 1))


def _normalize_batch(
    info: Any, in_dims: Any, x: Tensor, p: float, dim: list[int], eps: float, reference: str
) -> tuple[Tensor, int]:
    x = _batched(x, in_dims[0], info.batch_size)
    if x.ndim == 1:
        return normalize(x[:, None], p, [1], eps, reference)[:, 0], 0
    return normalize(x, p, _batched_dims(dim, x.ndim - 1), eps, reference), 0


def _normalize_backward_batch(
    info: Any,
    in_dims: Any,
    g: Tensor,
    x: Tensor,
    p: float,
    dim: list[int],
    eps: float,
    reference: str,
) -> tuple[Tensor, int]:
    g, x = (_batched(t, d, info.batch_size) for t, d in zip((g, x), in_dims, strict=False))
    if x.ndim == 1:
        return normalize_backward(g[:, None], x[:, None], p, [1], eps, reference)[:, 0], 0
    return normalize_backward(g, x, p, _batched_dims(dim, x.ndim - 1), eps, reference), 0


def _l2_normalize_batch(
    info: Any, in_dims: Any, x: Tensor, axis: int, epsilon: float, reference: str
) -> tuple[Tensor, int]:
    x = _batched(x, in_dims[0], info.batch_size)
    return l2_normalize(x, axis % (x.ndim - 1) + 1, epsilon, reference), 0


def _l2_normalize_backward_batch(
    info: Any,
    in_dims: Any,
    dy: Tensor,
    x: Tensor,
    y: Tensor,
    axis: int,
    epsilon: float,
    reference: str,
) -> tuple[Tensor, int]:
    tensors = [_batched(t, d, info.batch_size) for t, d in zip((dy, x, y), in_dims, strict=False)]
    axis = axis % (tensors[0].ndim - 1) + 1
    return l2_normalize_backward(*tensors, axis, epsilon, reference), 0


# --- what is called -------------------------------------------------------------------------------

_inside_torch_func = torch._C._are_functorch_transforms_active


def _refuse_forward_mode(ctx: Any, *tangents: Any) -> Any:
    raise semantics.forward_mode_is_not_promised()


def _complete(
    name: str,
    save: Callable[..., None],
    differentiate: Callable[..., Any],
    batch: Callable[..., Any],
) -> Callable[..., Tensor]:
    """Register an operator's gradient and batching rule; return the function that calls it."""
    operator = globals()[f"_{name}"]
    operator.register_autograd(differentiate, setup_context=save)
    operator.register_vmap(batch)
    overload = getattr(torch.ops.portnorm, name).default

    def call(*arguments: Any) -> Tensor:
        found: Tensor = overload(*arguments)
        return found

    rules = {
        "forward": call,
        "setup_context": save,
        "backward": differentiate,
        "vmap": batch,
        "jvp": _refuse_forward_mode,
    }
    methods = {rule: staticmethod(cast(Any, function)) for rule, function in rules.items()}
    function: Any = type(name, (torch.autograd.Function,), methods)

    def choose(*arguments: Any) -> Tensor:
        if torch.compiler.is_compiling() or not _inside_torch_func():
            return call(*arguments)
        found: Tensor = function.apply(*arguments)
        return found

    return choose


normalize = _complete("normalize", _save_normalize, _differentiate_normalize, _normalize_batch)
normalize_backward = _complete(
    "normalize_backward",
    _save_normalize_backward,
    _differentiate_normalize_backward,
    _normalize_backward_batch,
)
l2_normalize = _complete(
    "l2_normalize", _save_l2_normalize, _differentiate_l2_normalize, _l2_normalize_batch
)
l2_normalize_backward = _complete(
    "l2_normalize_backward",
    _save_l2_normalize_backward,
    _differentiate_l2_normalize_backward,
    _l2_normalize_backward_batch,
)
