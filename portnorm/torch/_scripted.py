"""What torch.jit.script compiles of the functions and layers.

TorchScript knows no options, no keyword-only arguments and no values of any type. Here is what is
left of "native" and "semantic" without them; "strict" is arithmetic that TorchScript cannot hold.
Functions and layers are scripted at the level that is in force.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any, List, Optional  # noqa: UP035  # TorchScript of torch 2.5 reads these

import torch
import torch.nn.functional as F
from torch import Tensor

from portnorm.errors import StrictParityError
from portnorm.options import resolve_parity


def check_parity(level: str) -> str:
    """Return the level of a layer that is to be scripted.

    Raises:
        StrictParityError: it is "strict".
    """
    try:
        return _checked(level, level)
    except RuntimeError as error:
        raise StrictParityError(str(error)) from None


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


# --- the functions --------------------------------------------------------------------------------


def _native() -> str:
    return "native"


def _semantic() -> str:
    return "semantic"


def _strict() -> str:
    return "strict"


_LEVELS = {level.__name__.removeprefix("_"): level for level in (_native, _semantic, _strict)}

_in_force = _semantic
"""The level of a call without one. It is replaced where a function is scripted."""


def function_normalize(
    input: Tensor,
    p: float = 2.0,
    dim: int = 1,
    eps: float = 1e-12,
    out: Optional[Tensor] = None,  # noqa: UP045
    parity: Optional[str] = None,  # noqa: UP045
) -> Tensor:
    """Torch's function, with the signature that TorchScript knows of it."""
    _checked(parity, _in_force())
    return F.normalize(input, p, dim, eps, out)


def function_l2_normalize(
    x: Tensor,
    axis: int = 0,
    epsilon: float = 1e-4,
    parity: Optional[str] = None,  # noqa: UP045
) -> Tensor:
    """MindSpore's function."""
    return l2_normalize(x, axis, epsilon, _checked(parity, _in_force()))


def _checked(parity: Optional[str], in_force: str) -> str:  # noqa: UP045
    """Return the level of a call; "strict" is found when the script runs."""
    level = in_force if parity is None else parity
    if level == "strict":
        raise RuntimeError(
            "parity='strict' cannot be scripted: use torch.jit.trace, torch.compile or "
            "torch.export, or parity='semantic'."
        )
    if level != "native" and level != "semantic":
        raise ValueError("parity must be one of 'native', 'semantic', 'strict'")
    return level


def script_as(function: Callable[..., Any], scripted: Any) -> None:
    """Have scripts that call a function compile another one in its place.

    torch.jit.script asks a function that it meets for that, and takes it by its globals, so that
    there is one for each level: torch keeps what it compiled.
    """
    copies = {
        level: types.FunctionType(
            scripted.__code__,
            {**scripted.__globals__, "_in_force": in_force},
            scripted.__name__,
            scripted.__defaults__,
        )
        for level, in_force in _LEVELS.items()
    }
    for copy in copies.values():
        copy.__annotations__ = scripted.__annotations__
    function.__dict__["__prepare_scriptable__"] = lambda: copies[resolve_parity(None)]
