"""parity="semantic": which formula is computed, how, in which type, and with which floor."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, cast

import mindspore
from mindspore import Tensor

from portnorm import semantics
from portnorm.mindspore import _arrays, _formula, _graphs
from portnorm.mindspore._arguments import dtype_name
from portnorm.mindspore._arrays import Arithmetic


@functools.lru_cache(maxsize=256)
def _semantic_plan(
    function: semantics.Function,
    dtype: Any,
    shape: semantics.Shape,
    p: float,
    dims: tuple[int, ...],
    eps: float,
    target: str,
) -> _formula.FormulaPlan:
    name = dtype_name(dtype)
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


def plan(given: tuple[Any, ...], compiling: bool) -> tuple[str, Any]:
    """Return the kind of what is to be done, and its plan."""
    bits = _definition_bits(*given)
    if bits is None:
        return "formula", _semantic_plan(*given)
    if not compiling:
        return "arrays", (bits, False)
    shape = given[2]
    if math.prod(shape) < _LARGE or _graphs.is_exported() or _graph_leaves_the_process():
        return "formula", _semantic_plan(*given)
    return "operator", _arrays.operation(bits, shape, dtype_name(given[1]))


@functools.lru_cache(maxsize=256)
def _definition_bits(
    function: semantics.Function,
    dtype: Any,
    shape: tuple[int, ...],
    p: float,
    dims: tuple[int, ...],
    eps: float,
    target: str,
) -> Arithmetic | None:
    """Return arithmetic on the array of a tensor on a CPU, or None for what that cannot do.

    One call of it is many times as fast as a dozen operators.
    """
    known = None not in shape and 0 not in shape
    supported = dtype_name(dtype) in semantics.L2NORMALIZE.dtypes
    if not (known and supported) or target != "CPU" or p != 2 or math.isnan(eps):
        return None
    plan = _semantic_plan(function, dtype, shape, p, dims, eps, target)

    def formula(x: Tensor) -> Tensor:
        return _formula.divide(x, plan)

    floor, takes_ties = eps, False
    if function is semantics.L2NORMALIZE:
        floor, takes_ties = (math.sqrt(eps), True) if eps > 0 else (-math.inf, False)
    return definition_bits(dims, floor, takes_ties, formula)


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
    return max(floor, _formula.SMALLEST_NORMAL[accumulator])


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


def definition_bits(
    dims: tuple[int, ...],
    floor: float,
    floor_takes_ties: bool,
    formula: Callable[[Tensor], Tensor],
) -> Arithmetic:
    """Return what computes by the definition at p = 2, see `Definition`.

    `formula` does the same with operators of MindSpore.
    """
    from portnorm.exact.accurate import Definition, divide, divide_vjp

    definition = Definition(dims, floor, floor_takes_ties)
    return Arithmetic(divide, divide_vjp, False, (definition,), formula)
