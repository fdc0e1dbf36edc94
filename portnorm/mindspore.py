"""Both functions on MindSpore tensors: PyNative, `@mindspore.jit` and GRAPH_MODE.

`import portnorm.mindspore as F` stands in for `import torch.nn.functional as F` wherever
`F.normalize` is used.

How a call runs: a plan function checks the arguments and picks the parity level in Python. In
a compiled graph it runs while the graph is compiled, and what it returns are constants there.
All else is MindSpore operators, written so that the graph compiler can read the source. Arithmetic
on arrays, which is parity="strict" and on a CPU most of "semantic", is called in
`portnorm._mindspore_strict`.

Three habits of MindSpore 2.10 on CPU shape the operators below. A Python float that meets a
tensor, or another one in a graph, is rounded to float32 first, so constants are tensors and what
is computed from p is computed in the plan. Threads of its pool flush float64
subnormals to zero, so float64 is scaled before it is squared. Long sums are taken from left to
right, so sums are held in a wider type than the input, or split.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NoReturn, cast

import mindspore
from mindspore import Tensor, context, nn, ops
from mindspore.ops._primitive_cache import _get_cache_prim

from portnorm import _mindspore_graphs as graphs
from portnorm import _mindspore_strict as strict
from portnorm import observe, semantics
from portnorm.errors import (
    NativeParityError,
    PortnormError,
    PortnormWarning,
    UnsupportedPError,
    UnsupportedPWarning,
    warn_at_user_line,
)
from portnorm.options import Parity, get_options, resolve_parity

try:
    from mindspore.graph.api import _pynative_executor
except ImportError:  # before MindSpore 2.9
    from mindspore.common.api import _pynative_executor

__all__ = ["L2Normalize", "Normalize", "l2_normalize", "normalize"]

_sum = ops.ReduceSum(keep_dims=True)
_maximum = ops.ReduceMax(keep_dims=True)
_minimum = ops.ReduceMin(keep_dims=True)
_complex = ops.Complex()

Plan = tuple[Any, ...]
"""(method, dims, floor, accumulator, nan_takes_floor, norm), all constants.

For parity="strict" it is ("strict", what `strict.apply` takes) in PyNative and ("operator", what
`strict.operate` takes) in a graph. For p = 2 on a CPU it is ("definition", what
`strict.apply_contiguous` takes) in PyNative; in a graph that takes a large tensor and stays in this
process it is the same as for parity="strict". Otherwise:

method: "empty", "nan", "native", "squares" (p = 2, in a type that holds every square),
    "norm" or "complex".
floor: lower bound of the sum of squares for "squares" and of the norm otherwise, a tensor in
    the accumulator type; for "native" the epsilon of L2Normalize, a float.
nan_takes_floor: whether a NaN norm selects the floor, as in L2Normalize.
norm: a NormPlan.
"""

NormPlan = tuple[Any, ...]
"""(order, dims, power, root, scaled, split), all constants.

order: "count" (p = 0), "absolute" (1), "euclidean" (2), "largest" (inf), "smallest" (-inf), or
    for any other p "positive" or "negative".
power, root: p and 1/p, tensors in the accumulator type.
scaled: whether to divide by the largest (p < 0: smallest) magnitude before taking powers.
split: where to cut terms in [0, 4] so that the upper parts add up without rounding, or 0.
"""


# --- the public functions and layers ------------------------------------------------------------


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
        _raise_no_tensor(input)
    if isinstance(p, Tensor):
        p = _item(p, "p", _compiling())
    if isinstance(eps, Tensor):
        eps = _item(eps, "eps", _compiling())
    if _observed():
        _tell("portnorm.mindspore.normalize", input, p, dim, eps)
    plan = _plan_normalize(input.dtype, input.shape, p, dim, eps, parity, _compiling())
    if out is not None:
        _check_out(input, out, _compiling())
    result = _divide(input, plan)
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
        _raise_no_l2_tensor(x)
    if _observed():
        _tell("portnorm.mindspore.l2_normalize", x, 2.0, axis, epsilon)
    return _divide(x, _plan_l2_normalize(x.dtype, x.shape, axis, epsilon, parity, _compiling()))


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


# --- plans: Python, run once per call or once per compilation -----------------------------------


class _Constant(ops.PrimitiveWithInfer):  # type: ignore[misc]
    """Inferred by the graph compiler it is a constant; what it is when called, a subclass says."""

    in_graphs: bool

    def __init__(self) -> None:
        super().__init__(f"portnorm{type(self).__name__.lower()}")
        self.set_const_prim(True)
        self.add_prim_attr("constexpr_prim", True)

    def __infer__(self) -> dict[str, Any]:
        return {"dtype": None, "shape": None, "value": self.in_graphs}


class _Compiling(_Constant):
    in_graphs = True

    def __call__(self) -> bool:
        return False


class _Observed(_Constant):
    """Whether anybody is to be told of calls; of those in graphs nobody is."""

    in_graphs = False

    def __call__(self) -> bool:
        return bool(observe.observers)


_compiling = _Compiling()
_observed = _Observed()


def _plan(function: Callable[..., Plan]) -> Any:
    """Make a plan of a function whose last argument says whether a graph is being compiled.

    If one is, it runs under the options of the thread that compiles it.
    """

    @functools.wraps(function)
    def planned(*arguments: Any) -> Plan:
        if not arguments[-1]:
            return function(*arguments)
        with graphs.compilation():
            return function(*arguments)

    return ops.constexpr(reuse_result=False)(planned)


@_plan
def _plan_normalize(
    dtype: Any,
    shape: semantics.Shape,
    p: Any,
    dim: Any,
    eps: Any,
    parity: Parity | None,
    compiling: bool,
) -> Plan:
    level = resolve_parity(parity)
    if level == "strict":
        strict.check_shape(shape)
    _check_rank(shape)
    name = _name(dtype)
    arguments = semantics.normalize_arguments(shape, name, p, dim, eps)
    if arguments.p != 2:
        _flag_p(arguments.p, level)
    if level == "strict":
        bits = strict.normalize_bits(shape, name, dim, arguments, get_options().torch_reference)
        return _strict_plan(bits, shape, name, compiling)
    if level == "native":
        axis, epsilon = _native_arguments(shape, name, arguments)
        return _native_plan(axis, epsilon)
    given = semantics.NORMALIZE, dtype, shape, *arguments, _target()
    return _semantic_or_definition_plan(given, compiling)


@_plan
def _plan_l2_normalize(
    dtype: Any,
    shape: semantics.Shape,
    axis: Any,
    epsilon: Any,
    parity: Parity | None,
    compiling: bool,
) -> Plan:
    level = resolve_parity(parity)
    if level == "strict":
        strict.check_shape(shape)
    _check_rank(shape)
    axis = semantics.l2_normalize_axis(axis)
    epsilon = semantics.l2_normalize_epsilon(epsilon)
    name = _name(dtype)
    axis = semantics.check_l2_normalize_input(shape, name, axis)
    rounded = semantics.round_epsilon(epsilon, name)
    if level == "strict":
        bits = strict.l2_normalize_bits(axis, epsilon, get_options().mindspore_reference)
        return _strict_plan(bits, shape, name, compiling)
    if level == "native":
        return _native_plan(axis, epsilon)
    given = semantics.L2NORMALIZE, dtype, shape, 2.0, (axis,), rounded, _target()
    return _semantic_or_definition_plan(given, compiling)


def _check_rank(shape: semantics.Shape | None) -> None:
    if shape is None:
        raise PortnormError(
            "the number of dims has to be known when a graph is compiled: sizes may be None in "
            "set_inputs, as in Tensor(shape=[None, None], dtype=...), but shape=None is too "
            "little. Give the number of dims, or run it in PyNative."
        )


def _strict_plan(bits: strict.Bits, shape: semantics.Shape, dtype: str, compiling: bool) -> Plan:
    if compiling:
        strict.refuse_export()
        return "operator", *strict.operation(bits, shape, dtype == "bfloat16")
    return "strict", bits


@functools.lru_cache(maxsize=256)
def _semantic_plan(
    function: semantics.Function,
    dtype: Any,
    shape: semantics.Shape,
    p: float,
    dims: tuple[int, ...],
    eps: float,
    target: str,
) -> Plan:
    name = _name(dtype)
    accumulator = _accumulator(name, target)
    holds_squares = (name, accumulator) in _HOLDS_SQUARES
    if 0 in shape:
        method = "empty"
    elif math.isnan(eps):
        method = "nan"
    elif name in semantics.WIDENED_INPUT:
        method = "complex"
    elif p == 2 and holds_squares and eps > 0:
        method = "squares"
    else:
        method = "norm"
    floor = Tensor(_floor(function, eps, method, accumulator), accumulator)
    nan_takes_floor = function is semantics.L2NORMALIZE and eps > 0
    scaled = p != 0 and not (holds_squares and p in (1, 2))
    split = _split(shape, dims) if name in ("float64", "complex128") else 0.0
    power, root = Tensor(p, accumulator), Tensor(1 / p if p else math.inf, accumulator)
    norm = _order(p), dims, power, root, scaled, split
    if name in semantics.WIDENED_INPUT and method in ("empty", "nan"):
        accumulator = dtype
    return method, dims, floor, accumulator, nan_takes_floor, norm


def _semantic_or_definition_plan(given: tuple[Any, ...], compiling: bool) -> Plan:
    bits = _definition_bits(*given)
    if bits is None:
        return _semantic_plan(*given)
    if not compiling:
        return "definition", bits
    shape = given[2]
    if math.prod(shape) < _LARGE or graphs.is_exported() or _graph_leaves_the_process():
        return _semantic_plan(*given)
    return "operator", *strict.operation(bits, shape, False)


@functools.lru_cache(maxsize=256)
def _definition_bits(
    function: semantics.Function,
    dtype: Any,
    shape: tuple[int, ...],
    p: float,
    dims: tuple[int, ...],
    eps: float,
    target: str,
) -> strict.Bits | None:
    """Return arithmetic on the array of a tensor on a CPU, or None for what that cannot do.

    One call of it is many times as fast as a dozen operators.
    """
    known = None not in shape and 0 not in shape
    held = _name(dtype) in semantics.L2NORMALIZE.dtypes
    if not (known and held) or target != "CPU" or p != 2 or math.isnan(eps):
        return None
    plan = _semantic_plan(function, dtype, shape, p, dims, eps, target)

    def formula(x: Tensor) -> Tensor:
        return _divide(x, plan)

    floor, takes_ties = eps, False
    if function is semantics.L2NORMALIZE:
        floor, takes_ties = (math.sqrt(eps), True) if eps > 0 else (-math.inf, False)
    return strict.definition_bits(dims, floor, takes_ties, formula)


def _graph_leaves_the_process() -> bool:
    """A graph that is kept on disk, or cut up among devices, has to hold operators of MindSpore."""
    return bool(mindspore.get_context("enable_compile_cache")) or (
        mindspore.get_auto_parallel_context("parallel_mode") not in _WHOLE_GRAPHS
    )


_WHOLE_GRAPHS = ("stand_alone", "data_parallel")

_LARGE = 1 << 15
"""Elements from which on graphs, too, are faster with arithmetic on the array."""


def _order(p: float) -> str:
    named = {0: "count", 1: "absolute", 2: "euclidean", math.inf: "largest", -math.inf: "smallest"}
    return named.get(p, "positive" if p > 0 else "negative")


def _floor(function: semantics.Function, eps: float, method: str, accumulator: Any) -> float:
    """Return the lower bound of the norm, or of the sum of squares, that eps means."""
    if eps <= 0:
        return eps if function is semantics.NORMALIZE else -math.inf
    if function is semantics.NORMALIZE:
        floor = eps * eps if method == "squares" else eps
    else:
        floor = eps if method == "squares" else math.sqrt(eps)
    # A subnormal is flushed where it is compared, and then a zero vector divided by 0.
    return max(floor, _SMALLEST_NORMAL[accumulator])


_SMALLEST_NORMAL = {mindspore.float32: 2.0**-126, mindspore.float64: 2.0**-1022}


_HOLDS_SQUARES = {
    ("float16", mindspore.float32),
    ("float16", mindspore.float64),
    ("bfloat16", mindspore.float64),
    ("float32", mindspore.float64),
    ("complex64", mindspore.float64),
}
"""Pairs of dtype and accumulator in which no square of a value over- or underflows."""


def _accumulator(name: str, target: str) -> Any:
    """float64 where it is at hand; accelerators have it for float64 input at most."""
    if target == "CPU" or name in ("float64", "complex128"):
        return mindspore.float64
    return mindspore.float32


def _split(shape: semantics.Shape, dims: tuple[int, ...]) -> float:
    """Return 2**k so that as many multiples of 2**-k in [0, 4] add up exactly in float64."""
    sizes = [shape[d] for d in dims]
    if None in sizes:
        return 0.0
    terms = math.prod(cast("list[int]", sizes))
    return math.ldexp(1.0, 50 - (terms - 1).bit_length())


def _native_plan(axis: int, epsilon: float) -> Plan:
    if epsilon <= semantics.LARGEST_CONFUSED_EPSILON:
        _refuse_native(
            f"epsilon {epsilon:g} is one of those that MindSpore confuses with one another: it "
            f"may run with the epsilon of another L2Normalize. Pass an epsilon above "
            f"{semantics.LARGEST_CONFUSED_EPSILON:.3g} (eps above "
            f"{math.sqrt(semantics.LARGEST_CONFUSED_EPSILON):.3g} in torch's terms)"
        )
    return "native", (axis,), epsilon, None, True, None


def _native_arguments(
    shape: semantics.Shape, dtype: str, arguments: semantics.NormalizeArguments
) -> tuple[int, float]:
    """Translate torch's arguments to those of L2Normalize: (axis, epsilon)."""
    if len(arguments.dims) != 1:
        _refuse_native(f"it takes exactly one axis, not {len(arguments.dims)}")
    if arguments.eps < 0:
        _refuse_native(f"it has no equivalent of the negative eps {arguments.eps:g}")
    epsilon = arguments.eps * arguments.eps
    try:
        semantics.check_l2_normalize_input(shape, dtype, arguments.dims[0])
        semantics.round_epsilon(epsilon, dtype)
    except (RuntimeError, TypeError) as error:
        _refuse_native(str(error).removesuffix("."))
    return arguments.dims[0], epsilon


def _refuse_native(reason: str) -> NoReturn:
    raise NativeParityError(
        f"parity='native' cannot use mindspore.ops.L2Normalize here: {reason}, "
        "or use parity='semantic'."
    )


def _flag_p(p: float, level: Parity) -> None:
    """Warn of, refuse or let pass an order that L2Normalize does not have."""
    action = "raise" if level == "native" else get_options().unsupported_p
    if action == "allow":
        return
    message = (
        f"p={p:g} is not supported by mindspore.ops.L2Normalize, which has p=2 only; "
        "portnorm.mindspore.normalize computes it with other operators"
    )
    if action == "raise":
        raise UnsupportedPError(
            f"{message} under parity='semantic' and set_options(unsupported_p='warn' or 'allow')"
        )
    warn_at_user_line(
        f"{message} (silence this with portnorm.set_options(unsupported_p='allow'))",
        UnsupportedPWarning,
    )


def _target() -> str:
    """As `mindspore.get_context`, which takes longer than all else that is checked."""
    return str(context._context().get_param(context.ms_ctx_param.device_target))


@functools.lru_cache(maxsize=64)
def _name(dtype: Any) -> str:
    return str(dtype).lower()


# --- operators: read by the graph compiler ------------------------------------------------------


def _divide(x: Tensor, plan: Plan) -> Tensor:
    if plan[0] == "strict":
        return strict.apply(x, plan[1])
    if plan[0] == "operator":
        return strict.operate(x, plan[1], plan[2], plan[3])
    if plan[0] == "definition":
        return strict.apply_contiguous(x, plan[1])
    method, dims, floor, accumulator, nan_takes_floor, norm = plan
    if method == "empty":
        return (x.astype(accumulator) * 1).astype(x.dtype)
    if method == "nan":
        # Not a product: compiled graphs take `x * NaN` for x.
        return (x.astype(accumulator) / floor.astype(accumulator)).astype(x.dtype)
    if method == "native":
        return _get_cache_prim(ops.L2Normalize)(dims[0], floor)(x)
    if method == "complex":
        real, imag = ops.real(x).astype(accumulator), ops.imag(x).astype(accumulator)
        divisor = _at_least(_norm(_modulus(real, imag), norm), floor, nan_takes_floor)
        return _complex(real / divisor, imag / divisor).astype(x.dtype)
    v = x.astype(accumulator)
    if method == "squares":
        squares = _sum(ops.square(v), dims)
        divisor = ops.sqrt(_at_least(squares, floor, nan_takes_floor))
    else:
        divisor = _at_least(_norm(ops.abs(v), norm), floor, nan_takes_floor)
    return (v / divisor).astype(x.dtype)


def _at_least(value: Tensor, floor: Tensor, nan_takes_floor: bool) -> Tensor:
    """`ops.maximum` will not do: it swallows NaN, and splits the gradient where both are equal."""
    if nan_takes_floor:
        return ops.where(value > floor, value, floor)
    return ops.where(value < floor, floor, value)


def _norm(a: Tensor, plan: NormPlan) -> Tensor:
    """Return the norm of a >= 0, with a gradient that is 0 where the norm is 0."""
    order, dims, power, root, scaled, split = plan
    if order == "count":
        return _sum((a != 0).astype(a.dtype), dims)
    if not scaled:
        return _root(_sum(_power(a, order, power), dims), order, root)
    if order in ("smallest", "negative"):
        extreme = ops.stop_gradient(_minimum(a, dims))
    else:
        extreme = ops.stop_gradient(_maximum(a, dims))
    scale = _scale(extreme, order)
    if order in ("smallest", "largest"):
        return scale * _mean_of_ties(a, a / scale, extreme, dims)
    total = _split_sum(_power(a / scale, order, power), dims, split)
    return scale * _root(total, order, root)


def _scale(extreme: Tensor, order: str) -> Tensor:
    """Return what to divide by before powers are taken, or 1 where nothing can be divided by it.

    For p = 1 and 2 it is a power of two: it rounds nothing, so that a norm that equals eps does.
    """
    scale = extreme
    if order in ("absolute", "euclidean"):
        exponent = ops.floor(ops.log2(extreme))
        scale = ops.stop_gradient(ops.pow(_constant(2.0, extreme.dtype), exponent))
    usable = ops.logical_and(scale >= _smallest_normal(extreme.dtype), scale < math.inf)
    return ops.where(usable, scale, ops.ones_like(scale))


def _mean_of_ties(a: Tensor, scaled: Tensor, extreme: Tensor, dims: tuple[int, ...]) -> Tensor:
    """The extreme value, with torch's gradient: ties share it equally."""
    ties = ops.logical_or(a == extreme, a != a).astype(a.dtype)
    chosen = ops.where(ties > 0, scaled, ops.zeros_like(scaled))
    return _sum(chosen, dims) / _sum(ties, dims)


def _power(a: Tensor, order: str, power: Tensor) -> Tensor:
    if order == "absolute":
        return a
    if order == "euclidean":
        return ops.square(a)
    return ops.where(a == 0, _power_of_zero(order, a.dtype), ops.pow(_one_at_zero(a), power))


def _root(total: Tensor, order: str, root: Tensor | None) -> Tensor:
    if order == "absolute":
        return total
    if order == "euclidean":
        rooted = ops.sqrt(_one_at_zero(total))
    else:
        rooted = ops.pow(_one_at_zero(total), root)
    return ops.where(total == 0, _power_of_zero(order, total.dtype), rooted)


def _one_at_zero(a: Tensor) -> Tensor:
    """Keep the infinite derivative at 0 out of the graph, where it would turn 0 into NaN."""
    return ops.where(a == 0, ops.ones_like(a), a)


def _split_sum(terms: Tensor, dims: tuple[int, ...], split: float) -> Tensor:
    """Add terms in [0, 4]: their upper parts without any rounding, then what is left."""
    if split == 0:
        return _sum(terms, dims)
    upper = ops.where(terms < math.inf, ops.floor(terms * split) / split, ops.zeros_like(terms))
    upper = ops.stop_gradient(upper)
    return _sum(upper, dims) + _sum(terms - upper, dims)


def _modulus(real: Tensor, imag: Tensor) -> Tensor:
    """As C's hypot: infinite where one part is, even if the other one is NaN."""
    larger = ops.stop_gradient(ops.maximum(ops.abs(real), ops.abs(imag)))
    infinite = ops.logical_or(ops.abs(real) == math.inf, ops.abs(imag) == math.inf)
    usable = ops.logical_and(larger > 0, larger < math.inf)
    scale = ops.where(usable, larger, ops.ones_like(larger))
    squares = ops.square(real / scale) + ops.square(imag / scale)
    modulus = scale * _root(squares, "euclidean", None)
    return ops.where(infinite, _constant(math.inf, modulus.dtype), modulus)


def _power_of_zero(order: str, dtype: Any) -> Tensor:
    return _constant(math.inf if order == "negative" else 0.0, dtype)


@ops.constexpr  # type: ignore[untyped-decorator]
def _constant(value: float, dtype: Any) -> Tensor:
    return Tensor(value, dtype)


@ops.constexpr  # type: ignore[untyped-decorator]
def _smallest_normal(dtype: Any) -> Tensor:
    return Tensor(_SMALLEST_NORMAL[dtype], dtype)


# --- PyNative only, or refused while compiling --------------------------------------------------


@ops.constexpr(reuse_result=False, check=False)  # type: ignore[untyped-decorator]
def _tell(function: str, x: Any, p: Any, dim: Any, eps: Any) -> None:
    observe.tell(function, x, p, dim, eps)


@ops.constexpr(reuse_result=False, check=False)  # type: ignore[untyped-decorator]
def _raise_no_tensor(value: Any) -> NoReturn:
    raise semantics.input_is_no_tensor(value)


@ops.constexpr(reuse_result=False, check=False)  # type: ignore[untyped-decorator]
def _raise_no_l2_tensor(value: Any) -> NoReturn:
    raise semantics.l2_normalize_input_is_no_tensor(value)


@ops.constexpr(reuse_result=False, check=False)  # type: ignore[untyped-decorator]
def _item(value: Any, name: str, compiling: bool) -> Any:
    if compiling:
        raise PortnormError(
            f"normalize(): {name} must be a Python number in a compiled graph, not a tensor"
        )
    return value.item() if value.ndim == 0 else value


@ops.constexpr(reuse_result=False, check=False)  # type: ignore[untyped-decorator]
def _check_out(input: Any, out: Any, compiling: bool) -> None:
    """Apply torch's rules for out=, and the one that a graph adds."""
    if compiling:
        raise PortnormError(
            "normalize(): out= cannot be filled in place in a compiled graph; "
            "use the returned tensor"
        )
    if not isinstance(out, Tensor):
        raise semantics.out_is_no_tensor(out)
    semantics.check_out_dtype(_name(input.dtype), _name(out.dtype))
    if _pynative_executor.requires_grad() and any(
        getattr(tensor, "_requires_grad", True) for tensor in (input, out)
    ):
        raise RuntimeError(semantics.OUT_WITH_GRADIENT)


@ops.constexpr(reuse_result=False, check=False)  # type: ignore[untyped-decorator]
def _fill(out: Tensor, result: Tensor) -> Tensor:
    if out.shape == result.shape:
        # Not copy_: on a CPU it leaves a view as it is, and says nothing.
        out[...] = result.astype(out.dtype)
        return out
    if out.size:
        warn_at_user_line(
            f"out of shape {list(out.shape)} was resized to {list(result.shape)}; "
            "pass an empty tensor or one of the right shape",
            PortnormWarning,
        )
    out.assign_value(result.astype(out.dtype))
    return out
