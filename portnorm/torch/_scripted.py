"""What torch.jit.script compiles of the layers.

TorchScript knows no options, no keyword-only arguments and no values of any type. Here is what is
left of "native" and "semantic" without them; "strict" is arithmetic that TorchScript cannot hold.
A layer is scripted at the level that is in force.
"""

from __future__ import annotations

from typing import Any, List  # noqa: UP035  # TorchScript of torch 2.5 reads these

import torch
import torch.nn.functional as F
from torch import Tensor

from portnorm.errors import StrictParityError

_STRICT = (
    "parity='strict' cannot be scripted: use torch.jit.trace, torch.compile or torch.export, or "
    "parity='semantic'."
)


def check_parity(level: str) -> str:
    """Return the level of a layer that is to be scripted.

    Raises:
        StrictParityError: it is "strict".
    """
    if level == "strict":
        raise StrictParityError(_STRICT)
    return level


def l2_normalize(
    x: Tensor,
    axis: int = 0,
    epsilon: float = 1e-4,
    parity: str = "semantic",
) -> Tensor:
    """MindSpore's function, checked as it checks; TorchScript keeps the texts of errors only."""
    if x.dtype != torch.float16 and x.dtype != torch.float32 and x.dtype != torch.float64:
        raise TypeError("For 'L2Normalize', the input must be float16, float32 or float64.")
    if x.dim() == 0:
        raise TypeError("For 'L2Normalize', input shape size must be > 0.")
    if axis < -x.dim() or axis >= x.dim():
        raise ValueError("For primitive[L2Normalize], the axis value is out of range.")
    bound = float(torch.tensor(epsilon, dtype=torch.float32).to(x.dtype))
    if bound == 0.0:
        raise RuntimeError("For 'L2Normalize', the parameter of 'epsilon' can not be zero.")
    if parity == "native":
        return F.normalize(x, 2.0, axis, bound**0.5 if bound > 0 else bound).to(x.dtype)
    v = x.float() if x.dtype == torch.float16 else x
    squares = _sum(v * v, axis)
    divisor = torch.where(squares > bound, squares, torch.full_like(squares, bound)).sqrt()
    return (v / divisor.to(v.dtype)).to(x.dtype)


def _sum(terms: Tensor, dim: int) -> Tensor:
    """As in `_semantic`, where the reasons are."""
    if terms.dtype == torch.float32 and terms.device.type != "mps":
        return terms.sum([dim], keepdim=True, dtype=torch.float64)
    count = terms.size(dim)
    if count == 0:
        return terms.sum([dim], keepdim=True)
    constant = terms.detach()
    unit = 4.0 * count * constant.amax([dim], keepdim=True)
    upper = (constant + unit) - unit
    upper = torch.where(2.0 * unit < float("inf"), upper, torch.zeros_like(upper))
    return upper.sum([dim], keepdim=True) + (terms - upper).sum([dim], keepdim=True)


def arguments(p: Any, dim: Any, eps: Any) -> tuple[float, list[int], bool, float]:
    """Return what `normalize_dims` is called with."""
    dims = [] if dim is None else list(dim) if isinstance(dim, (tuple, list)) else [dim]
    # TorchScript does not see what an empty list holds.
    return (2.0 if p in (None, "fro") else float(p)), dims or [0], not dims, float(eps)


def normalize_dims(
    input: Tensor,
    p: float,
    dims: List[int],  # noqa: UP006
    all_dims: bool,
    eps: float,
) -> Tensor:
    """Torch's function, along any dims."""
    if all_dims:
        dims = list(range(input.dim()))
    quotient: Tensor = input / input.norm(p, dims, keepdim=True).clamp_min(eps)
    return quotient
