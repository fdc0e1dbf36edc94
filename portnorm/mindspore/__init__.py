"""Both functions on MindSpore tensors: PyNative, `@mindspore.jit` and GRAPH_MODE.

`import portnorm.mindspore as F` stands in for `import torch.nn.functional as F` wherever
`F.normalize` is used.

A call is checked, and its level of parity picked, in Python; in a compiled graph that happens while
the graph is compiled, and the result, a plan, is a constant there. Then the plan is carried out.

_arguments   what a call is given
_plans       from arguments to a plan of one of four kinds, and from a plan to the result
_native      parity="native": the host's own operator
_semantic    parity="semantic": which formula, in which type, with which floor
_formula     the definition in operators of MindSpore
_strict      parity="strict": what gives the bits of the reference
_arrays      `portnorm.exact` on the arrays of tensors, for both "semantic" and "strict"
_graphs      compiled graphs that follow the options
_precision   mixed precision: the input is cast once, and nothing after that
"""

from __future__ import annotations

from typing import Any

from portnorm.frameworks import why_no_mindspore

try:
    from mindspore import Tensor, nn, ops
except ModuleNotFoundError as error:
    if error.name == "mindspore" and (reason := why_no_mindspore()):
        raise ModuleNotFoundError(reason, name="mindspore") from error
    raise

from portnorm import semantics
from portnorm.errors import PortnormWarning, warn_at_user_line
from portnorm.mindspore import _plans, _precision
from portnorm.mindspore._arguments import (
    check_out,
    compiling,
    item,
    observed,
    raise_no_l2_tensor,
    raise_no_tensor,
    tell,
)
from portnorm.options import Parity, resolve_parity

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
    """Divide vectors by their p-norm, as `torch.nn.functional.normalize` does.

    ``x / max(norm(x, p, dim), eps)``, and NaN where the norm is NaN.

    Args:
        input: tensor of any shape; float16, bfloat16, float32, float64, complex64, complex128.
        p: order of the norm: any real number, infinities included. Orders other than 2 are
            flagged as the option ``unsupported_p`` says, for L2Normalize has p = 2 only.
        dim: an int, a tuple or list of ints, or None or () for all dims.
        eps: lower bound of the norm, rounded to the dtype first. In float16 the default
            rounds to 0, so that a zero vector gives NaN, as it does in torch.
        out: tensor to fill in place and return; not in a compiled graph, and not while a
            gradient of ``input`` or ``out`` is recorded.
        parity: "native", "semantic", or "strict", which gives the bits of the build of torch
            that the option ``torch_reference`` names, forward and gradient; None for the option.
            torch's bits depend on strides: those of a view count in PyNative, and all other
            tensors, results and cotangents count as contiguous.

    Returns:
        Tensor of the shape and dtype of ``input``; ``out`` itself where it is given.

    Raises:
        AttributeError, IndexError, NotImplementedError, RuntimeError, TypeError: what torch
            raises for the same arguments.
        PortnormError: a graph is compiled for tensors of any number of dims, or with a tensor for
            p or eps, or with ``out``.
        UnsupportedPError: p is not 2, and ``unsupported_p`` is "raise" or parity is "native".
        NativeParityError: parity is "native", and L2Normalize cannot do this.
        StrictParityError: parity is "strict", and the bits cannot be promised: of a complex
            tensor, of a gradient at another p than 0, 1, 2, inf and -inf, of a second gradient, in
            a graph that is exported or whose shapes are unknown, or of a build that was never
            compared.

    >>> from mindspore import Tensor
    >>> print(normalize(Tensor([[3.0, 4.0]])))
    [[0.6 0.8]]
    """
    if not isinstance(input, Tensor):
        raise_no_tensor(input)
    dtype = _precision.type_of_cell()
    if dtype:
        input = _precision.cast(input, dtype)
    if isinstance(p, Tensor):
        p = item(p, "p", compiling())
    if isinstance(eps, Tensor):
        eps = item(eps, "eps", compiling())
    if observed():
        tell("portnorm.mindspore.normalize", input, p, dim, eps)
    plan = _plans.plan_normalize(input.dtype, input.shape, p, dim, eps, parity, compiling())
    if out is not None:
        check_out(input, out, compiling())
    result = _plans.carry_out(input, plan)
    if out is not None:
        return _fill(out, result)
    return result


def l2_normalize(
    x: Tensor, axis: Any = 0, epsilon: Any = 1e-4, *, parity: Parity | None = None
) -> Tensor:
    """Divide vectors by their norm, as `mindspore.ops.L2Normalize` does.

    ``x / sqrt(max(sum of x**2, epsilon))``; a NaN sum counts as below epsilon.

    Args:
        x: tensor of one dim or more; float16, float32 or float64.
        axis: an int, or a tuple or list of one int.
        epsilon: a float, the lower bound of the sum of squares; rounded to float32 first.
        parity: "native" is `mindspore.ops.L2Normalize` itself, with the defects of its
            gradient; "semantic" has its formula, the gradient of that formula, and no overflow
            in float16; "strict" has the bits of the build that the option
            ``mindspore_reference`` names, forward and gradient; None for the option. Where
            MindSpore's own bits depend on whether a thread flushes subnormals, they are those of
            one that does not.

    Returns:
        Tensor of the shape and dtype of ``x``.

    Raises:
        RuntimeError, TypeError, ValueError: what L2Normalize raises for the same arguments.
        PortnormError: a graph is compiled for tensors of any number of dims.
        NativeParityError: parity is "native", and the host might use another epsilon.
        StrictParityError: parity is "strict", and the bits cannot be promised: of a second
            gradient, in a graph that is exported or whose shapes are unknown, or of a build that
            was never compared.

    >>> from mindspore import Tensor
    >>> print(l2_normalize(Tensor([3.0, 4.0])))
    [0.6 0.8]
    """
    if not isinstance(x, Tensor):
        raise_no_l2_tensor(x)
    dtype = _precision.type_of_cell()
    if dtype:
        x = _precision.cast(x, dtype)
    if observed():
        tell("portnorm.mindspore.l2_normalize", x, 2.0, axis, epsilon)
    return _plans.carry_out(
        x, _plans.plan_l2_normalize(x.dtype, x.shape, axis, epsilon, parity, compiling())
    )


def __getattr__(name: str) -> Any:
    places = ("mindspore.ops", "mindspore.mint.nn.functional", "mindspore.nn", "mindspore")
    raise semantics.no_such_name(__name__, name, places)


class Normalize(nn.Cell):  # type: ignore[misc]
    """`normalize` as a layer.

    Args:
        p, dim, eps, parity: as for `normalize`. parity=None takes the option at each call, or
            when a graph is compiled.

    >>> from mindspore import Tensor
    >>> layer = Normalize(dim=-1)
    >>> layer
    Normalize(p=2.0, dim=-1, eps=1e-12)
    >>> print(layer(Tensor([3.0, 4.0])))
    [0.6 0.8]
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

    def construct(self, input: Tensor) -> Tensor:
        return normalize(input, self.p, self.dim, self.eps, None, parity=self.parity)

    def extend_repr(self) -> str:
        return semantics.layer_repr(p=self.p, dim=self.dim, eps=self.eps, parity=self.parity)


class L2Normalize(nn.Cell):  # type: ignore[misc]
    """`mindspore.ops.L2Normalize` with a choice of parity: ``L2Normalize(axis, epsilon)(x)``.

    Args:
        axis, epsilon, parity: as for `l2_normalize`. parity=None takes the option at each
            call, or when a graph is compiled.

    Raises:
        TypeError: axis or epsilon has a type that L2Normalize does not take.

    >>> L2Normalize(axis=-1)
    L2Normalize(axis=-1, epsilon=0.0001)
    """

    def __init__(self, axis: Any = 0, epsilon: Any = 1e-4, *, parity: Parity | None = None) -> None:
        super().__init__()
        resolve_parity(parity)
        self.axis = semantics.l2_normalize_axis(axis)
        self.epsilon = semantics.l2_normalize_epsilon(epsilon)
        self.parity = parity

    def construct(self, x: Tensor) -> Tensor:
        return l2_normalize(x, self.axis, self.epsilon, parity=self.parity)

    def extend_repr(self) -> str:
        return semantics.layer_repr(axis=self.axis, epsilon=self.epsilon, parity=self.parity)


@ops.constexpr(reuse_result=False, check=False)  # type: ignore[untyped-decorator]
def _fill(out: Tensor, result: Tensor) -> Tensor:
    if out.shape == result.shape:
        _precision.shielded(_overwrite, out, result)
        return out
    if out.size:
        warn_at_user_line(
            f"out of shape {list(out.shape)} was resized to {list(result.shape)}; "
            "pass an empty tensor or one of the right shape",
            PortnormWarning,
        )
    out.assign_value(result.astype(out.dtype))
    return out


def _overwrite(out: Tensor, result: Tensor) -> None:
    # Not copy_: on a CPU it leaves a view as it is, and says nothing.
    out[...] = result.astype(out.dtype)


_precision.keep_source(normalize, l2_normalize, Normalize, L2Normalize)
