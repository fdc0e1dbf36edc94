"""The formula of L2Normalize, in operators of torch: parity="semantic" on torch tensors."""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
from torch import Tensor

from portnorm.torch._arguments import is_plain_call


def l2_normalize(x: Tensor, dim: int, epsilon: float) -> Tensor:
    """Divide vectors by their norm; the derivative is that of the formula, at the floor, too.

    Args:
        x: tensor of one dim or more; float16, float32 or float64.
        dim: the dim of the vectors.
        epsilon: as `semantics.round_epsilon` returns it.
    """
    is_shared = type(x) is not Tensor and hasattr(x, "placements")
    if is_shared:
        x = _added_up(x)
    needs_gradient = x.requires_grad and torch.is_grad_enabled()
    bound: float | Tensor = epsilon
    if x.dtype == torch.float32 and x.is_cpu and not is_shared and is_plain_call():
        # What most calls are, in as few operators as there can be.
        if epsilon > 0 and not needs_gradient:
            return _value(x, dim, epsilon)
        v, squares = x, (x * x).sum(dim, keepdim=True, dtype=torch.float64)
        bound = _constant(epsilon)
    else:
        # float32 holds the squares of every float16 number; L2Normalize's own overflow is a defect
        # that parity="semantic" leaves out.
        v = x.float() if x.dtype == torch.float16 else x
        squares = _sum_of_shared(v, dim) if is_shared else _sum(v * v, dim)
    # Not clamp_min: a NaN sum selects epsilon, and where both are equal the gradient is
    # epsilon's.
    divisor = torch.where(squares > bound, squares, bound).sqrt()
    return (v / divisor.to(v.dtype)).to(x.dtype)


def _value(x: Tensor, dim: int, epsilon: float) -> Tensor:
    """Return the values alone: twice as fast, but its derivative would be another gradient."""
    norm = torch.linalg.vector_norm(x, 2.0, dim, keepdim=True, dtype=torch.float64)
    return x / torch.fmax(norm, _constant(math.sqrt(epsilon))).float()


@functools.lru_cache(maxsize=256)
def _constant(value: float) -> Tensor:
    with torch.inference_mode(False):  # it is there for calls in other modes, too
        return torch.tensor(value, dtype=torch.float64, device="cpu")


def _sum(terms: Tensor, dim: int) -> Tensor:
    """Add terms >= 0, to an error of about one rounding.

    torch's plain sum of float32 is more than 4 ULP off where L2Normalize, by luck, is not. A sum
    in float64 is not, but float64 has no wider type, and Apple's GPUs have no float64. There the
    terms are split: the upper parts are multiples of one unit so large that they add up exactly,
    the lower parts so small that the rounding of their sum does not matter.
    """
    if terms.dtype == torch.float32 and terms.device.type != "mps":
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
