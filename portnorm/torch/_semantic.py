"""The formula of L2Normalize, in operators of torch: parity="semantic" on torch tensors."""

from __future__ import annotations

import functools
import math
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
    in_graph = torch.compiler.is_compiling() and not _is_exporting()
    if x.dtype == torch.float64 or _is_shared(x) or not (in_graph or is_plain_call()):
        return formula(x, dim, epsilon)
    if not needs_gradient(x):
        is_usual = not in_graph and x.is_cpu and x.dtype == torch.float32 and epsilon > 0
        return (_value if is_usual else formula)(x, dim, epsilon)
    if x.is_mps or not is_plain(x):  # Apple's GPUs have no float64.
        return formula(x, dim, epsilon)
    value = _formula_with_sums if in_graph else value_with_sums
    found: Tensor = recorded(x, dim, epsilon, value, gradient)
    return found


_is_exporting = getattr(torch.compiler, "is_exporting", lambda: True)
"""Exported graphs hold operators alone. Some releases, 2.7 is one, say so of all graphs."""


# --- operator by operator -------------------------------------------------------------------------


def formula(x: Tensor, dim: int, epsilon: float) -> Tensor:
    """Return the same by operators that graphs, transforms and all of torch's tensors have."""
    return _formula_with_sums(x, dim, epsilon)[0]


def _formula_with_sums(
    x: Tensor, dim: int, epsilon: float | Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the values, the sums of squares or epsilon, and their roots, the divisors."""
    is_shared = _is_shared(x)
    if is_shared:
        x = _added_up(x)
    # float32 holds the squares of every float16 number; L2Normalize's own overflow is a defect
    # that parity="semantic" leaves out.
    v = x.float() if x.dtype == torch.float16 else x
    squares = _sum_of_shared(v, dim) if is_shared else _sum(v * v, dim)
    # Not clamp_min: a NaN sum selects epsilon, and where both are equal the gradient is
    # epsilon's.
    squares = torch.where(squares > epsilon, squares, epsilon)
    divisor = squares.sqrt()
    return (v / divisor.to(v.dtype)).to(x.dtype), squares, divisor


def _is_shared(x: Tensor) -> bool:
    """Return whether it is a DTensor."""
    return type(x) is not Tensor and hasattr(x, "placements")


def _sum(terms: Tensor, dim: int) -> Tensor:
    """Add terms >= 0, to an error of about one rounding.

    torch's plain sum of float32 is more than 4 ULP off where L2Normalize, by luck, is not. A sum
    in float64 is not, but float64 has no wider type, and Apple's GPUs have no float64. There the
    terms are split: the upper parts are multiples of one unit so large that they add up exactly,
    the lower parts so small that the rounding of their sum does not matter.
    """
    if terms.dtype == torch.float32 and not terms.is_mps:
        return terms.sum(dim, keepdim=True, dtype=torch.float64)
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
        _sum(part * part, dim),
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

_BLOCK_ON_CPU, _BLOCK = 1 << 17, 1 << 26
"""Elements whose copies in float64 stay in the cache of a CPU, or take little of other memory."""


def _value(x: Tensor, dim: int, epsilon: float) -> Tensor:
    """Return the values alone, twice as fast."""
    norm = torch.linalg.vector_norm(x, 2.0, dim, keepdim=True, dtype=torch.float64)
    return x / torch.fmax(norm, _constant(math.sqrt(epsilon))).float()


def value_with_sums(x: Tensor, dim: int, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the values, and what `gradient` takes beside a cotangent."""
    return _formula_with_sums(x, dim, _constant(epsilon) if x.is_cpu else epsilon)


def gradient(
    x: Tensor, g: Tensor, dim: int, epsilon: float, squares: Tensor, divisor: Tensor
) -> Tensor:
    """Return the gradient for a cotangent of the dtype of x: float16 or float32."""
    block, elements = _BLOCK_ON_CPU if x.is_cpu else _BLOCK, x.numel()
    others = [d for d in range(x.ndim) if d != dim and x.shape[d] > 1]
    if elements <= block or not others:
        return _gradient_in_float64(dim, epsilon, x, g, squares, divisor)
    result = torch.empty_like(x)
    outermost = max(others, key=x.stride)
    count = max(1, block * x.shape[outermost] // elements)
    parts = (torch.split(t, count, outermost) for t in (result, x, g, squares, divisor))
    for found, *given in zip(*parts, strict=True):
        found.copy_(_gradient_in_float64(dim, epsilon, *given))
    return result


def gradient_by_operators(x: Tensor, g: Tensor, dim: int, epsilon: float) -> Tensor:
    """Return the gradient for a cotangent where nothing is known but x."""
    return gradient(x, g, dim, epsilon, *value_with_sums(x, dim, epsilon)[1:])


def _gradient_in_float64(
    dim: int, epsilon: float, x: Tensor, g: Tensor, squares: Tensor, divisor: Tensor
) -> Tensor:
    wide = x.double()
    along = (wide * g).sum(dim, keepdim=True) / squares
    across = g - wide * torch.where(squares > epsilon, along, 0.0)
    return (across / divisor).to(x.dtype)


@functools.lru_cache(maxsize=256)
def _constant(value: float) -> Tensor:
    with torch.inference_mode(False):  # it is there for calls in other modes, too
        return torch.tensor(value, dtype=torch.float64, device="cpu")


class _L2Normalize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dim: int, epsilon: float, *ways: Any) -> Tensor:
        value, ctx.gradient = ways
        y, *sums = value(x, dim, epsilon)
        ctx.save_for_backward(x, *sums)
        ctx.arguments = dim, epsilon
        found: Tensor = y
        return found

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None, None, None]:
        x, *sums = ctx.saved_tensors
        if _is_plain_cotangent(g, x):
            found = ctx.gradient(x, g, *ctx.arguments, *sums)
        else:
            found = _differentiable_gradient(x, g, *ctx.arguments)
        return found, None, None, None, None


recorded = cast(Any, _L2Normalize).apply
"""Of x, dim and epsilon; of what computes value and sums; and of what the gradient, with these."""


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


def _differentiable_gradient(x: Tensor, g: Tensor, dim: int, epsilon: float) -> Tensor:
    return _gradient_in_float64(dim, epsilon, x, g, *_formula_with_sums(x, dim, epsilon)[1:])
