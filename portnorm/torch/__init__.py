"""Both functions on torch tensors.

`import portnorm.torch as ops` stands in for `from mindspore import ops` wherever
`ops.L2Normalize` is used.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx import Proxy

from portnorm import observe, semantics
from portnorm.options import Parity, resolve_parity
from portnorm.torch import _scripted, _semantic, _strict
from portnorm.torch._arguments import constant_in_graphs, is_plain_call, l2_normalize_arguments

__all__ = ["L2Normalize", "Normalize", "l2_normalize", "normalize"]


def normalize(
    input: Tensor,
    p: Any = 2.0,
    dim: Any = 1,
    eps: Any = 1e-12,
    out: Tensor | None = None,
    *,
    parity: Parity | None = None,
) -> Tensor:
    """Divide vectors by their p-norm: `torch.nn.functional.normalize` itself.

    It is here so that one model file runs on both frameworks. "native" and "semantic" are the
    same thing in this cell; "strict" has the bits of the option's `TorchReference`, also inside a
    compiled graph, and there the gradient of the gradient is that of "semantic". That holds for
    tensors of any device: on a CUDA one the bits are those of a CPU build, unless the reference
    is a CUDA device, too.

    Args:
        input: floating-point or complex tensor of any shape.
        p: order of the norm: any real number, infinities included.
        dim: an int, a tuple or list of ints, or None or () for all dims.
        eps: lower bound of the norm, rounded to the dtype.
        out: tensor to fill in place and return.
        parity: "native", "semantic", "strict", or None for the option.

    Returns:
        Tensor of the shape and dtype of ``input``; ``out`` itself where it is given.

    Raises:
        AttributeError, IndexError, NotImplementedError, RuntimeError, TypeError: as torch does.
        StrictParityError: parity is "strict", and there is no promise of the bits.

    >>> import torch
    >>> normalize(torch.tensor([[3.0, 4.0]]))
    tensor([[0.6000, 0.8000]])
    """
    if isinstance(input, Proxy):
        return _leaf(normalize, input, p, dim, eps, out, parity=parity)
    if not isinstance(input, Tensor) and semantics.other_kind(input, "torch"):
        raise semantics.input_is_no_tensor(input, "torch")
    if observe.observers and not torch.compiler.is_compiling():
        observe.tell("portnorm.torch.normalize", input, p, dim, eps)
    if _level(parity) == "strict":
        y = _strict.normalize(input, p, dim, eps)
        return y if out is None else _fill(out, y, input)
    return F.normalize(input, p, dim, eps, out)


def l2_normalize(
    x: Tensor, axis: Any = 0, epsilon: Any = 1e-4, *, parity: Parity | None = None
) -> Tensor:
    """Divide vectors by their norm, as `mindspore.ops.L2Normalize` does.

    ``x / sqrt(max(sum of x**2, epsilon))``; a NaN sum counts as below epsilon.

    Args:
        x: tensor of one dim or more; float16, float32 or float64.
        axis: an int, or a tuple or list of one int.
        epsilon: a float, the lower bound of the sum of squares; rounded to float32 first.
        parity: "native" is `F.normalize` with ``eps = sqrt(epsilon)``, which keeps torch's
            rule for NaN; "semantic" has L2Normalize's formula, the gradient of that formula,
            and no overflow in float16; "strict" has the bits of the option's
            `MindSporeReference`, forward and gradient, defects included, and there the gradient
            of the gradient is that of "semantic"; or None for the option.

    Returns:
        Tensor of the shape and dtype of ``x``.

    Raises:
        RuntimeError, TypeError, ValueError: what L2Normalize raises for the same arguments.
        StrictParityError: parity is "strict", and there is no promise of the bits.

    >>> import torch
    >>> l2_normalize(torch.tensor([3e-10, 4e-10]))
    tensor([3.0000e-08, 4.0000e-08])
    """
    if isinstance(x, Proxy):
        return _leaf(l2_normalize, x, axis, epsilon, parity=parity)
    if observe.observers and not torch.compiler.is_compiling():
        observe.tell("portnorm.torch.l2_normalize", x, 2.0, axis, epsilon)
    level = _level(parity)
    if level == "strict":
        return _strict.l2_normalize(x, axis, epsilon)
    dim, epsilon = l2_normalize_arguments(x, axis, epsilon)
    if level == "native":
        y = F.normalize(x, 2.0, dim, math.sqrt(epsilon) if epsilon > 0 else epsilon)
        return y.to(x.dtype)  # under autocast on CUDA it is float32
    # What computes the gradients that the kernels do not takes no epsilon of 0 or below.
    if x.is_cuda and epsilon > 0 and is_plain_call():
        fused = _kernels()
        if fused is not None and fused.is_served(x, dim):
            found: Tensor = fused.l2_normalize(x, dim, epsilon)
            return found
    return _semantic.l2_normalize(x, dim, epsilon)


@functools.cache
def _kernels() -> Any:
    """Return the module of the kernels for CUDA tensors, None where Triton is not installed."""
    try:
        from portnorm.torch import _fused
    except ImportError:
        return None
    return _fused


@constant_in_graphs
def _level(parity: Parity | None) -> Parity:
    return resolve_parity(parity)


def _leaf(function: Any, x: Any, *arguments: Any, parity: Parity | None) -> Any:
    """Return a call of a function as a node of the graph that torch.fx makes.

    The node keeps the level that is in force, because a graph keeps the options.
    """
    call = {"parity": _level(parity)}
    return torch.overrides.handle_torch_function(function, (x,), x, *arguments, **call)


def _fill(out: Tensor, y: Tensor, x: Tensor) -> Tensor:
    # A division by 1 has torch's checks, warnings and resizing, but flushes subnormals to zero
    # where torch is told to. It is x that is divided, for x and out must not overlap.
    return torch.div(x, y.new_ones(()), out=out).copy_(y)


def __getattr__(name: str) -> Any:
    places = ("torch.nn.functional", "torch.nn", "torch")
    raise semantics.no_such_name(__name__, name, places)


class Normalize(nn.Module):
    """`normalize` as a layer.

    Args:
        p, dim, eps, parity: as for `normalize`. parity=None takes the option at each call.

    >>> import torch
    >>> layer = Normalize(dim=-1)
    >>> layer
    Normalize(p=2.0, dim=-1, eps=1e-12)
    >>> layer(torch.tensor([3.0, 4.0]))
    tensor([0.6000, 0.8000])
    """

    def __init__(
        self, p: Any = 2.0, dim: Any = 1, eps: Any = 1e-12, *, parity: Parity | None = None
    ) -> None:
        super().__init__()
        resolve_parity(parity)
        self.p = p
        self.dim = dim
        self.eps = eps
        self.parity = parity

    def forward(self, input: Tensor) -> Tensor:
        if torch.jit.is_scripting():  # type: ignore[attr-defined]
            return _scripted.normalize_dims(input, *self._scripted)
        else:  # noqa: RET505  # which torch.jit.script leaves out
            return normalize(input, self.p, self.dim, self.eps, parity=self.parity)

    def __prepare_scriptable__(self) -> nn.Module:
        _scripted.check_parity(_level(self.parity))
        self._scripted = _scripted.arguments(self.p, self.dim, self.eps)
        return self

    def extra_repr(self) -> str:
        return semantics.layer_repr(p=self.p, dim=self.dim, eps=self.eps, parity=self.parity)


class L2Normalize(nn.Module):
    """`mindspore.ops.L2Normalize` for torch tensors: ``L2Normalize(axis, epsilon)(x)``.

    Args:
        axis, epsilon, parity: as for `l2_normalize`. parity=None takes the option at each call.

    Raises:
        TypeError: axis or epsilon has a type that L2Normalize does not take.

    >>> import torch
    >>> L2Normalize()(torch.tensor([3e-10, 4e-10]))
    tensor([3.0000e-08, 4.0000e-08])
    """

    def __init__(self, axis: Any = 0, epsilon: Any = 1e-4, *, parity: Parity | None = None) -> None:
        super().__init__()
        resolve_parity(parity)
        self.axis = semantics.l2_normalize_axis(axis)
        self.epsilon = semantics.l2_normalize_epsilon(epsilon)
        self.parity = parity

    def forward(self, x: Tensor) -> Tensor:
        if torch.jit.is_scripting():  # type: ignore[attr-defined]
            return _scripted.l2_normalize(x, *self._scripted)
        else:  # noqa: RET505  # which torch.jit.script leaves out
            return l2_normalize(x, self.axis, self.epsilon, parity=self.parity)

    def __prepare_scriptable__(self) -> nn.Module:
        level = _scripted.check_parity(_level(self.parity))
        self._scripted = self.axis, float(self.epsilon), level
        return self

    def extra_repr(self) -> str:
        return semantics.layer_repr(axis=self.axis, epsilon=self.epsilon, parity=self.parity)


_scripted.script_as(normalize, _scripted.function_normalize)
_scripted.script_as(l2_normalize, _scripted.function_l2_normalize)
