"""The formula of L2Normalize, in operators of torch: parity="semantic" on torch tensors."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from portnorm.torch._arguments import is_plain, is_plain_call, needs_gradient


def l2_normalize(x: Tensor, dim: int, epsilon: float) -> Tensor:
    """Divide vectors by their norm; the derivative is that of the formula, at the floor, too.

    Args:
        x: tensor of one dim or more; float16, float32 or float64.
        dim: the dim of the vectors.
        epsilon: as `semantics.round_epsilon` returns it.
    """
    if (
        x.dtype == torch.float64  # no type is wider
        or x.is_mps  # Apple's GPUs have no float64
        or not epsilon > 0
        or not (is_plain_call() or _is_compiling())
        or not is_plain(x)
    ):
        return formula(x, dim, epsilon)
    if needs_gradient(x):
        found: Tensor = recorded(x, dim, epsilon, value_and_divisor, gradient)
        return found
    return value_and_divisor(x, dim, epsilon)[0]


def _is_compiling() -> bool:
    return torch.compiler.is_compiling() and not _is_exporting()


_is_exporting = getattr(torch.compiler, "is_exporting", lambda: True)
"""Exported graphs hold operators alone. Releases before 2.12 say so of all graphs."""


# --- operator by operator -------------------------------------------------------------------------


def formula(x: Tensor, dim: int, epsilon: float) -> Tensor:
    """Return the same by operators that graphs, transforms and all of torch's tensors have."""
    if _is_shared(x):
        x = _added_up(x)
    # float32 holds the squares of every float16 number; L2Normalize's own overflow is a defect
    # that parity="semantic" leaves out.
    v = x.float() if x.dtype == torch.float16 else x
    return (v / _divisor(dim, epsilon, v).to(v.dtype)).to(x.dtype)


def _divisor(dim: int, epsilon: float, x: Tensor) -> Tensor:
    """Return the norms, or the root of epsilon; derivatives can be taken."""
    squares = _sum_of_shared(x, dim) if _is_shared(x) else _sum_of_squares(x, dim)
    # Not clamp_min: a NaN sum selects epsilon, and where both are equal the gradient is
    # epsilon's.
    return torch.where(squares > epsilon, squares, epsilon).sqrt()


def _is_shared(x: Tensor) -> bool:
    """Return whether it is a DTensor."""
    return type(x) is not Tensor and hasattr(x, "placements")


def _sum_of_squares(x: Tensor, dim: int) -> Tensor:
    """Add squares, to an error of about one rounding.

    torch's plain sum of float32 is more than 4 ULP off where L2Normalize, by luck, is not. A sum
    in float64 is not, but float64 has no wider type, and Apple's GPUs have no float64. There the
    terms are split: the upper parts are multiples of one unit so large that they add up exactly,
    the lower parts so small that the rounding of their sum does not matter.
    """
    if x.dtype != torch.float64 and not x.is_mps:
        wide = x.double()
        return (wide * wide).sum(dim, keepdim=True)
    terms = x * x
    count = terms.shape[dim]
    if count == 0:
        return terms.sum(dim, keepdim=True)
    unit = 4 * count * terms.detach().amax(dim, keepdim=True)
    # Not `unit < inf`: then terms + unit may still overflow, and inf - inf is NaN.
    upper = torch.where(2 * unit < math.inf, (terms.detach() + unit) - unit, 0.0)
    return upper.sum(dim, keepdim=True) + (terms - upper).sum(dim, keepdim=True)


def _sum_of_shared(v: Any, dim: int) -> Any:
    """Return the sums of squares of a DTensor: processes that share a vector send theirs once.

    DTensor by itself sends them once for each operator that takes them.
    """
    from torch.distributed.tensor import DTensor, Partial

    part = v.to_local()
    shape = (*v.shape[:dim], 1, *v.shape[dim + 1 :])
    squares = DTensor.from_local(
        _sum_of_squares(part, dim),
        v.device_mesh,
        [Partial() if getattr(p, "dim", None) == dim else p for p in v.placements],
        shape=torch.Size(shape),
        stride=torch.empty(shape, device="meta").stride(),
    )
    return _added_up(squares)


def _added_up(x: Any) -> Any:
    """Return the DTensor of which no process holds a mere summand."""
    from torch.distributed.tensor import Replicate

    return x.redistribute(placements=[Replicate() if p.is_partial() else p for p in x.placements])


# --- in one piece ---------------------------------------------------------------------------------
# The derivative of the formula adds up the products of x and the cotangent in float32, and loses
# all digits of an element whose cotangent is small. In exported graphs and transforms, and of
# DTensors, it still does; what follows does not.


def _block(x: Tensor) -> int:
    """Return of how many elements copies in float64 stay in a cache, or take little memory."""
    return 1 << 18 if x.is_cpu else 1 << 26


def value_and_divisor(x: Tensor, dim: int, epsilon: float) -> tuple[Tensor, Tensor]:
    """Return the values, and what `gradient` takes beside a cotangent."""
    divisor = divisor_of(x, dim, epsilon)
    y = x / divisor.float()
    return (y if y.dtype == x.dtype else y.to(x.dtype)), divisor


def divisor_of(x: Tensor, dim: int, epsilon: float) -> Tensor:
    """Return the norms, or the root of epsilon, which is above 0, in float64."""
    if torch.compiler.is_compiling():
        return _divisor(dim, epsilon, x)
    if x.numel() <= _block(x):
        return _divisor_at_once(dim, epsilon, x)
    result = x.new_empty((*x.shape[:dim], 1, *x.shape[dim + 1 :]), dtype=torch.float64)
    _fill_in_blocks(result, _divisor_at_once, dim, epsilon, x)
    return result


def gradient(x: Tensor, g: Tensor, dim: int, epsilon: float, divisor: Tensor) -> Tensor:
    """Return the gradient for a cotangent of the dtype of x."""
    if x.numel() <= _block(x):
        return _gradient_at_once(dim, epsilon, x, g, divisor)
    result = torch.empty_like(x)
    _fill_in_blocks(result, _gradient_at_once, dim, epsilon, x, g, divisor)
    return result


def _fill_in_blocks(
    result: Tensor, function: Callable[..., Tensor], dim: int, epsilon: float, *tensors: Tensor
) -> None:
    """Fill in what a function makes of tensors, and give it some of their vectors at a time."""
    x = tensors[0]
    others = [d for d in range(x.ndim) if d != dim and x.shape[d] > 1]
    if not others:
        result.copy_(function(dim, epsilon, *tensors))
        return
    outermost = max(others, key=x.stride)
    count = max(1, _block(x) * x.shape[outermost] // x.numel())
    parts = (torch.split(t, count, outermost) for t in (result, *tensors))
    for part, *given in zip(*parts, strict=True):
        part.copy_(function(dim, epsilon, *given))


def _divisor_at_once(dim: int, epsilon: float, x: Tensor) -> Tensor:
    """Return what `_divisor` does, sooner; no derivatives can be taken."""
    if x.is_cpu and x.stride(dim) != 1:
        # A CPU takes three times as long for the norms of what lies apart.
        squares = x.to(torch.float64, copy=True).square_()
        norm = squares.sum(dim, keepdim=True).sqrt_()
    else:
        norm = torch.linalg.vector_norm(x, 2.0, dim, keepdim=True, dtype=torch.float64)
    root = math.sqrt(epsilon)
    return torch.fmax(norm, _constant(root)) if x.is_cpu else torch.where(norm > root, norm, root)


def _gradient_at_once(dim: int, epsilon: float, x: Tensor, g: Tensor, divisor: Tensor) -> Tensor:
    """Return what `_gradient` does, in less memory; no derivatives can be taken."""
    wide, along = _projected(dim, epsilon, x, g, divisor)
    return torch.sub(g, wide.mul_(along), out=wide).div_(divisor).to(x.dtype)


def _gradient(dim: int, epsilon: float, x: Tensor, g: Tensor, divisor: Tensor) -> Tensor:
    """Return the gradient; derivatives can be taken."""
    wide, along = _projected(dim, epsilon, x, g, divisor)
    return ((g - wide * along) / divisor).to(x.dtype)


def _projected(
    dim: int, epsilon: float, x: Tensor, g: Tensor, divisor: Tensor
) -> tuple[Tensor, Tensor]:
    """Return a copy of x in float64, and by what it is multiplied to be the part of g along x."""
    wide = x.to(torch.float64, copy=True)
    along = (wide * g).sum(dim, keepdim=True) / (divisor * divisor)
    return wide, torch.where(divisor > math.sqrt(epsilon), along, 0.0)


@functools.lru_cache(maxsize=256)
def _constant(value: float) -> Tensor:
    with torch.inference_mode(False):  # it is there for calls in other modes, too
        return torch.tensor(value, dtype=torch.float64, device="cpu")


class _L2Normalize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dim: int, epsilon: float, *ways: Any) -> Tensor:
        value, ctx.gradient = ways
        y, *divisor = value(x, dim, epsilon)
        ctx.save_for_backward(x, *divisor)
        ctx.arguments = dim, epsilon
        found: Tensor = y
        return found

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None, None, None]:
        x, *divisor = ctx.saved_tensors
        dim, epsilon = ctx.arguments
        if _is_plain_cotangent(g, x):
            found = ctx.gradient(x, g, dim, epsilon, *divisor)
        else:
            found = _gradient(dim, epsilon, x, g, _divisor(dim, epsilon, x))
        return found, None, None, None, None


recorded = cast(Any, _L2Normalize).apply
"""Of x, dim and epsilon; of what computes values, with or without divisors; and what gradients."""


def _is_plain_cotangent(g: Tensor, x: Tensor) -> bool:
    """Return whether it is neither to be differentiated again nor a batch of cotangents."""
    return (
        not torch.is_grad_enabled()
        and is_plain_call()
        and type(g) is Tensor
        and is_plain(x)
        and _has_memory(g)
    )


def _has_memory(g: Tensor) -> bool:
    try:
        g.data_ptr()
    except RuntimeError:  # a batch of torch.autograd.grad
        return False
    return True
