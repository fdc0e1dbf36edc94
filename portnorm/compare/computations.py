"""The two functions on whichever framework is installed: NumPy arrays in, NumPy arrays out.

Arrays have three axes, (outer, n, inner), and vectors lie along the middle one. That is the
layout of a C-contiguous array with the dim of its vectors in the middle, so a framework walks
it as it would walk the array itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from portnorm.frameworks import NAMES, Frameworks
from portnorm.options import Parity, set_options

Array = NDArray[Any]

QUADRATIC = "its own takes n * n steps for a vector of n elements"

_VECTORS = 1


@dataclass(frozen=True)
class Computation:
    """One of the two functions, as one framework computes it.

    Attributes:
        by: what computes it, with versions.
        values: x -> y.
        vjp: (x, cotangent of y) -> gradient of x.
        own: whether it is the function itself, and not portnorm's.
    """

    by: str
    values: Callable[[Array], Array]
    vjp: Callable[[Array, Array], Array]
    own: bool


def normalize(found: Frameworks, p: float, eps: float) -> Computation:
    """Return torch's normalize: torch's own, or portnorm's on MindSpore."""
    if "torch" in found.versions:
        return _on_torch(_name(found, "torch"), _torch_normalize(p, eps), own=True)
    by = f"portnorm on {_name(found, 'mindspore')} ({found.why_not['torch']})"
    return _as_rows(_on_mindspore(by, _mindspore_normalize(p, eps, "semantic"), own=False))


def l2_normalize(found: Frameworks, epsilon: float, why_not_own: str = "") -> Computation:
    """Return MindSpore's L2Normalize: MindSpore's own, or portnorm's.

    The two have the same formula. portnorm's gradient is the derivative of the formula; that of
    MindSpore's own is a kernel of another formula below the floor.

    Args:
        found: the frameworks.
        epsilon: as L2Normalize takes it.
        why_not_own: why MindSpore's own is not to be used; "" to use it where it is installed.
    """
    if "mindspore" not in found.versions:
        by = f"portnorm on {_name(found, 'torch')} ({found.why_not['mindspore']})"
        return _as_rows(_on_torch(by, _torch_l2_normalize(epsilon, "semantic"), own=False))
    if why_not_own:
        by = f"portnorm on {_name(found, 'mindspore')} ({why_not_own})"
        return _as_rows(_on_mindspore(by, _mindspore_l2_normalize(epsilon, "semantic"), own=False))
    by = _name(found, "mindspore")
    return _on_mindspore(by, _mindspore_l2_normalize(epsilon, "native"), own=True)


def gradient_steps(gradient_of_l2_normalize: Computation, n: int) -> int:
    """Return the steps that a gradient takes for one vector of n elements.

    MindSpore's kernel goes over the whole vector again for each element.
    """
    return n * n if gradient_of_l2_normalize.own else n


def vjp_of_rows(computation: Computation, x: Array, cotangent: Array) -> Array:
    """Return the gradients of vectors that are given as rows, of the shape (vectors, n, 1)."""
    if len(x) > 1:
        return computation.vjp(x, cotangent)
    # Given one vector alone, torch may split its sum among threads.
    return computation.vjp(np.repeat(x, 2, 0), np.repeat(cotangent, 2, 0))[:1]


def _name(found: Frameworks, module: str) -> str:
    return f"{NAMES[module]} {found.versions[module]}"


# --- torch ----------------------------------------------------------------------------------------


def _on_torch(by: str, function: Callable[[Any], Any], *, own: bool) -> Computation:
    import torch

    def values(x: Array) -> Array:
        with torch.no_grad():
            result: Array = function(torch.from_numpy(x)).numpy()
        return result

    def vjp(x: Array, cotangent: Array) -> Array:
        with torch.enable_grad():
            leaf = torch.from_numpy(x).requires_grad_()
            (gradient,) = torch.autograd.grad(function(leaf), leaf, torch.from_numpy(cotangent))
        result: Array = gradient.numpy()
        return result

    return Computation(by, values, vjp, own)


def _torch_normalize(p: float, eps: float, parity: Parity | None = None) -> Callable[[Any], Any]:
    if parity is None:
        import torch.nn.functional as F

        return lambda x: F.normalize(x, p, _VECTORS, eps)
    import portnorm.torch

    return lambda x: portnorm.torch.normalize(x, p, _VECTORS, eps, parity=parity)


def _torch_l2_normalize(epsilon: float, parity: Parity) -> Callable[[Any], Any]:
    import portnorm.torch

    return lambda x: portnorm.torch.l2_normalize(x, _VECTORS, epsilon, parity=parity)


# --- MindSpore ------------------------------------------------------------------------------------


def _on_mindspore(by: str, function: Callable[[Any], Any], *, own: bool) -> Computation:
    from mindspore import Tensor, ops

    gradient = ops.GradOperation(sens_param=True)(function)

    def values(x: Array) -> Array:
        result: Array = function(Tensor.from_numpy(x)).asnumpy()
        return result

    def vjp(x: Array, cotangent: Array) -> Array:
        result: Array = gradient(Tensor.from_numpy(x), Tensor.from_numpy(cotangent)).asnumpy()
        return result

    return Computation(by, values, vjp, own)


def _mindspore_normalize(p: float, eps: float, parity: Parity) -> Callable[[Any], Any]:
    import portnorm.mindspore

    def function(x: Any) -> Any:
        # The comparison itself says what L2Normalize makes of another p.
        with set_options(unsupported_p="allow"):
            return portnorm.mindspore.normalize(x, p, _VECTORS, eps, parity=parity)

    return function


def _mindspore_l2_normalize(epsilon: float, parity: Parity) -> Callable[[Any], Any]:
    import portnorm.mindspore

    return lambda x: portnorm.mindspore.l2_normalize(x, _VECTORS, epsilon, parity=parity)


# --- both -----------------------------------------------------------------------------------------


def _as_rows(computation: Computation) -> Computation:
    """Hand the vectors over as rows.

    How a framework sums columns may depend on how many there are side by side; then the result
    would depend on the size of the blocks in which the array is read.
    """

    def values(x: Array) -> Array:
        return _from_rows(computation.values(_to_rows(x)), x.shape)

    def vjp(x: Array, cotangent: Array) -> Array:
        return _from_rows(computation.vjp(_to_rows(x), _to_rows(cotangent)), x.shape)

    return Computation(computation.by, values, vjp, computation.own)


def _to_rows(x: Array) -> Array:
    outer, n, inner = x.shape
    return np.ascontiguousarray(x.swapaxes(1, 2)).reshape(outer * inner, n, 1)


def _from_rows(rows: Array, shape: tuple[int, ...]) -> Array:
    outer, n, inner = shape
    return rows.reshape(outer, inner, n).swapaxes(1, 2)
