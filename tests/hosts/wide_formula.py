"""L2Normalize and its derivative in float64, for tensors of a smaller type on any device."""

from __future__ import annotations

import torch
from torch import Tensor


def exact(x: Tensor, g: Tensor, dim: int, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the value, the gradient and the norm in float64, for inputs of a smaller type."""
    x, g = x.double(), g.double()
    squares = (x * x).sum(dim, keepdim=True)
    above = squares > epsilon
    norm = torch.where(above, squares, epsilon).sqrt()
    through_norm = x * ((x * g).sum(dim, keepdim=True) / squares)
    return x / norm, torch.where(above, g - through_norm, g) / norm, norm


def errors_in_ulp(got: Tensor, true: Tensor, scale: Tensor) -> float:
    """Return the largest error, in ULP of the scale of each element."""
    form = torch.finfo(got.dtype)
    _, exponent = torch.frexp(scale.abs().clamp(form.smallest_normal))
    unit = torch.ldexp(torch.full_like(scale, form.eps), exponent - 1)
    return float(((got.double() - true).abs() / unit).max())


def gradient_error_in_ulp(got: Tensor, x: Tensor, g: Tensor, dim: int) -> float:
    """Return the largest error of a gradient, where all vectors are above the floor.

    It is in ULP of the larger of an element's gradient and its part of the cotangent.
    """
    _, true, norm = exact(x, g, dim, 0.0)
    return errors_in_ulp(got, true, torch.maximum(true.abs(), g.double().abs() / norm))
