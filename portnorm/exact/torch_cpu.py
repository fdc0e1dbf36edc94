"""`torch.nn.functional.normalize` and its vector-Jacobian product, bit for bit, on NumPy arrays.

    norm = vector_norm(x, p, dim)               rounded to the dtype
    d    = eps if norm < eps else norm          a NaN norm stays NaN
    y    = x / d

What a call does: arguments are checked and turned into a plan, once for each layout; the plan says
in which order elements are visited and what the rules of the build make of them; the kernels in
`torch_kernels` do the work. Source of the rules: measured on torch 2.0 to 2.15, see
`portnorm.reference`.
"""

from __future__ import annotations

import functools
import itertools
import math
import platform
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from portnorm import semantics
from portnorm.errors import StrictParityError
from portnorm.exact import parallel
from portnorm.exact import torch_kernels as kernels
from portnorm.exact.arrays import NAMES, Array, check, element_strides, empty, memory
from portnorm.exact.iteration import (
    Ints,
    Walk,
    broadcast_strides,
    contiguous_strides,
    elementwise_strides,
    elementwise_walk,
    keepdim_shape,
    reduction_strides,
    reduction_walk,
)
from portnorm.exact.reduction import (
    FUSED_SQUARES,
    LARGEST,
    MAGNITUDES,
    NONZERO,
    POWERS,
    SMALLEST,
    SQUARES,
)
from portnorm.exact.torch_kernels import SUM_BLOCK, NormRule
from portnorm.reference import TorchReference, TorchRules

_WIDTH = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}
"""Bytes of an element."""

_GRAIN = 32768
"""Elements from which torch shares a sum out among its threads."""


# --- plans ---------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Plan:
    """What depends on layout, arguments and reference, and not on the values.

    Attributes:
        dims: the dims that are summed over.
        eps: rounded to the dtype.
        p: the order.
        rule: of the norm.
        reduced, kept, elements: tables of the dims that are summed, that are kept, and of all.
            Operands: x, the norms, y.
        block: columns in a unit of work.
        units: how many there are.
        norms: how many vectors there are.
        y_strides: the layout of the result, None for a C-contiguous one.
        copy_strides: where it differs, the layout that torch gives the result.
    """

    dims: Ints
    eps: float
    p: float
    rule: NormRule
    reduced: Array
    kept: Array
    elements: Array
    block: int
    units: int
    norms: int
    y_strides: Ints | None
    copy_strides: Ints | None


_KINDS = {
    0.0: NONZERO,
    1.0: MAGNITUDES,
    2.0: SQUARES,
    math.inf: LARGEST,
    -math.inf: SMALLEST,
}
_CACHE_BYTES = 32768
"""What a block of columns may take in the cache that is next to a core."""


@functools.lru_cache(maxsize=1024)
def _plan(
    shape: Ints,
    byte_strides: Ints,
    dtype: str,
    p: Any,
    dim: Any,
    eps: Any,
    rules: TorchRules,
    threads: int,
) -> _Plan:
    strides = element_strides(byte_strides, _WIDTH[dtype])
    arguments = _arguments(shape, dtype, p, dim, eps, rules)
    dims = arguments.dims
    norm_strides = broadcast_strides(shape, keepdim_shape(shape, dims))
    y_strides = elementwise_strides(shape, (strides, norm_strides))
    copy_strides = None
    walk = reduction_walk(shape, strides, dims, (y_strides,))
    if walk is None:
        copy_strides, y_strides = y_strides, reduction_strides(shape, strides, dims)
        walk = reduction_walk(shape, strides, dims, (y_strides,))
        assert walk is not None
    kept = walk.table(walk.reduced, len(walk.sizes))
    rule = _norm_rule(walk, shape, dtype, arguments, dim, rules, threads)
    block = _block(walk, dtype)
    runs, columns = math.prod(kept[1:, 0].tolist()), int(kept[0, 0])
    return _Plan(
        dims=dims,
        eps=arguments.eps,
        p=arguments.p,
        rule=rule,
        reduced=walk.table(0, walk.reduced),
        kept=kept,
        elements=elementwise_walk(shape, (strides, norm_strides, y_strides)).table(0, len(shape)),
        block=block,
        units=runs * -(-columns // block),
        norms=runs * columns,
        y_strides=None if y_strides == contiguous_strides(shape) else y_strides,
        copy_strides=copy_strides,
    )


def _arguments(
    shape: Ints, dtype: str, p: Any, dim: Any, eps: Any, rules: TorchRules
) -> semantics.NormalizeArguments:
    """Check the arguments as this build does."""
    if dtype == "float16" and not rules.float16:
        semantics.normalize_arguments(shape, dtype, p, dim, 0.0)
        raise RuntimeError("\"clamp_min_scalar_cpu\" not implemented for 'Half'")
    namespace = rules.half_name.partition("::")[0]
    return semantics.normalize_arguments(shape, dtype, p, dim, eps, namespace)


def _norm_rule(
    walk: Walk,
    shape: Ints,
    dtype: str,
    arguments: semantics.NormalizeArguments,
    dim: Any,
    rules: TorchRules,
    threads: int,
) -> NormRule:
    p = arguments.p
    size = math.prod(walk.sizes[: walk.reduced])
    kind = _KINDS.get(p, POWERS)
    if _is_single_element(shape, arguments.dims, dim) and not rules.single_element_squared:
        kind = NONZERO if p == 0 else MAGNITUDES
    in_steps = dtype == "bfloat16" and rules.bfloat16_sum_in_bfloat16
    if kind == POWERS:
        _check_power(p, in_steps)
    lanes = rules.lanes // 2 if dtype == "float64" else rules.lanes
    fast = kind == SQUARES and dtype != "float16" and walk.reduced == 1 and walk.strides[0][0] == 1
    if kind == SQUARES and not fast and rules.slow_fused and not in_steps:
        kind = FUSED_SQUARES
    step = (2 * lanes if dtype == "bfloat16" else lanes) if fast else 0
    tail = size % step if fast else 0
    plain = {"plain": tail, "mod4": tail - tail % 4, "fused": 0}
    return NormRule(
        kind=kind,
        p=p,
        in_steps=in_steps,
        width=(0,) * lanes,
        step=step,
        lanes_fused=rules.lanes_fused,
        plain_tail=plain[rules.tail[dtype]] if fast else 0,
        chunk=0 if fast or kind in (LARGEST, SMALLEST) else _chunk(walk, threads),
    )


def _is_single_element(shape: Ints, dims: Ints, dim: Any) -> bool:
    """Return whether each norm is that of one element; a 0-d tensor tells dim=0 from None."""
    if not shape:
        return dim is None or (isinstance(dim, (tuple, list)) and not dim)
    return all(shape[d] == 1 for d in dims)


def _chunk(walk: Walk, threads: int) -> int:
    """Return how many elements each thread of torch sums where there is one sum, otherwise 0."""
    elements = math.prod(walk.sizes)
    one_sum = math.prod(walk.sizes[walk.reduced :]) == 1
    if threads == 1 or elements < _GRAIN or not one_sum:
        return 0
    return -(-elements // min(threads, -(-elements // _GRAIN)))


def _check_power(p: float, in_steps: bool) -> None:
    reason = ""
    if in_steps:
        reason = "of bfloat16 in this version of torch, which rounds in ways that are not known"
    elif platform.libc_ver()[0] != "glibc":
        reason = "on this system, for torch takes powers with the C library, and it is not glibc"
    if reason:
        raise StrictParityError(
            f"parity='strict' cannot promise the bits at p={p:g} {reason}: only those at p = 0, "
            "1, 2, inf and -inf. Use parity='semantic' for this p."
        )


_ROW = 1024
"""Elements that elementwise kernels take at once where they copy them to buffers."""
_LONG_ROW = 16384
"""And where they do not."""


def _rows(table: Array, row: int) -> int:
    """Return how many units of work a table comes to."""
    return int(math.prod(table[1:, 0].tolist())) * -(-int(table[0, 0]) // row)


def _block(walk: Walk, dtype: str) -> int:
    """Return how many columns to take at once, so that they stay in the cache."""
    kept = walk.sizes[walk.reduced :]
    columns = max(1, kept[0]) if kept else 1
    width = _WIDTH[dtype]
    if kept and walk.strides[0][walk.reduced] == 1:
        return min(columns, _CACHE_BYTES // 4 // width)
    size = max(1, math.prod(walk.sizes[: walk.reduced]))
    return min(columns, max(4, _CACHE_BYTES // (size * width)))


# --- the public functions ------------------------------------------------------------------------


def normalize(
    x: Array,
    p: Any = 2.0,
    dim: Any = 1,
    eps: Any = 1e-12,
    reference: TorchReference | None = None,
) -> Array:
    """Return the bits of `torch.nn.functional.normalize` on a CPU.

    Args:
        x: array of any shape and of any strides that a tensor can have: float16, float32,
            float64, or uint16 for the bits of bfloat16.
        p: order of the norm. Orders other than 0, 1, 2, inf and -inf need glibc.
        dim: an int, a tuple or list of ints, or None or () for all dims.
        eps: lower bound of the norm, rounded to the dtype.
        reference: the build of torch; None is ``TorchReference()``.

    Returns:
        Array of the shape and dtype of ``x``, in the layout that torch gives the result.

    Raises:
        IndexError, NotImplementedError, RuntimeError, TypeError: what torch raises for the same
            arguments.
        ValueError: strides or a byte order that no tensor has.
        StrictParityError: the bits cannot be promised.

    >>> import numpy as np
    >>> normalize(np.array([[3, 4]], np.float32))
    array([[0.6, 0.8]], dtype=float32)
    """
    reference = reference or _DEFAULT_REFERENCE
    plan = _plan_of(x, p, dim, eps, reference)
    y = empty(x.shape, plan.y_strides, x.dtype)
    if x.size == 0:
        return y
    if plan.units < parallel.cores() and x.size >= parallel.SMALLEST_WORK:
        _divide_in_two_steps(memory(y), memory(x), plan)
    else:
        parallel.run(
            kernels.divide_by_norms,
            plan.units,
            x.size,
            plan.block,
            memory(y),
            memory(x),
            plan.reduced,
            plan.kept,
            plan.eps,
            plan.rule,
        )
    return y if plan.copy_strides is None else _relayout(y, plan.copy_strides)


def _plan_of(x: Array, p: Any, dim: Any, eps: Any, reference: TorchReference) -> _Plan:
    check(x)
    dtype = NAMES.get(x.dtype.char) or _refuse_dtype(x, reference.rules)
    if type(dim) is not int or type(p) not in _NUMBERS or type(eps) not in _NUMBERS:
        # Keys of the cache must not compare equal where they mean different things, as True and 1.
        arguments = _arguments(x.shape, dtype, p, dim, eps, reference.rules)
        dim = arguments.dims if x.ndim else _dim_of_scalar(dim)
        p, eps = arguments.p, float(eps)
    # Rules are compared by identity, which takes less time than comparing references.
    return _plan(x.shape, x.strides, dtype, p, dim, eps, reference.rules, reference.threads)


def _dim_of_scalar(dim: Any) -> int | None:
    return None if _is_single_element((), (), dim) else 0


def _refuse_dtype(x: Array, rules: TorchRules) -> NoReturn:
    if x.dtype.kind == "c":
        raise StrictParityError(
            f"parity='strict' cannot promise the bits of {x.dtype}: only those of float16, "
            "bfloat16, float32 and float64 are known. Use parity='semantic'."
        )
    try:
        semantics.normalize_arguments(x.shape, x.dtype.name, 2.0, None, 1e-12)
    except RuntimeError as error:
        if rules.integer_error == "NotImplementedError":
            raise NotImplementedError(str(error)) from None
        raise
    raise TypeError(f"unsupported dtype {x.dtype}")


def _divide_in_two_steps(y: Array, x: Array, plan: _Plan) -> None:
    """Divide on several cores what only one can sum."""
    norms = np.empty(plan.norms, np.float64 if x.dtype == np.float64 else np.float32)
    parallel.run(
        kernels.fill_norms,
        plan.units,
        len(x),
        plan.block,
        norms,
        x,
        plan.reduced,
        plan.kept,
        plan.rule,
    )
    units = _rows(plan.elements, _LONG_ROW)
    parallel.run(
        kernels.divide_elements, units, len(x), _LONG_ROW, y, x, norms, plan.elements, plan.eps
    )


def _relayout(y: Array, strides: Ints) -> Array:
    result = empty(y.shape, strides, y.dtype)
    result[...] = y
    return result


_DEFAULT_REFERENCE = TorchReference()
_NUMBERS = (float, int)


# --- plans and functions: gradient ---------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _GradientPlan:
    """What of a gradient depends on layout, arguments and reference, and not on the values.

    Attributes:
        weigh: table of the elements. Operands: x, g, norms, weighted.
        combine: the same. Operands: x, g, norms, gradient.
        ties: the same, for p = inf and -inf, otherwise None. Operands: x, norms.
        weigh_units, combine_units: how many rows of at most `_ROW` elements they come to.
        strides: the layout of the gradient, None for a C-contiguous one.
        passes_at_floor: whether a norm that equals eps has a gradient.
        sums: how the summands are summed.
    """

    weigh: Array
    weigh_units: int
    combine: Array
    combine_units: int
    ties: Array | None
    strides: Ints | None
    passes_at_floor: bool
    sums: _SumPlan


@dataclass(frozen=True, eq=False)
class _SumPlan:
    """How torch sums the summands.

    Attributes:
        reduced, kept: tables of the dims that are summed and that are kept. Operands: the
            summands, the sums. No rows in `reduced` where nothing is summed.
        blocks: where one dim is summed, the columns of each unit of work; see `fill_sums`.
        chunk: otherwise, elements that a thread of torch sums.
        threads: and how many threads there are.
        width, paired: how torch uses its registers; see `reduction.sum_columns`.
        in_steps: whether each sum over the innermost dim is rounded.
        from_zero: whether a sum of one element starts from 0, which turns -0 into 0.
    """

    reduced: Array
    kept: Array
    blocks: Array | None
    chunk: int
    threads: int
    width: tuple[int, ...]
    paired: bool
    in_steps: bool
    from_zero: bool


@functools.lru_cache(maxsize=1024)
def _gradient_plan(
    shape: Ints,
    x_byte_strides: Ints,
    g_byte_strides: Ints,
    dtype: str,
    dims: Ints,
    p: float,
    rules: TorchRules,
    threads: int,
) -> _GradientPlan:
    x_strides = element_strides(x_byte_strides, _WIDTH[dtype])
    g_strides = element_strides(g_byte_strides, _WIDTH[dtype])
    norms = broadcast_strides(shape, keepdim_shape(shape, dims))
    # Each operator of torch lays its result out as its operands lie.
    quotient = elementwise_strides(shape, (x_strides, norms))
    slope = elementwise_strides(shape, (quotient, norms))
    negated = elementwise_strides(shape, (g_strides,))
    weighted = elementwise_strides(shape, (negated, slope))
    ties = None
    if math.isinf(p):
        ties = elementwise_walk(shape, (x_strides, norms)).table(0, len(shape))
    weigh = elementwise_walk(shape, (x_strides, g_strides, norms, weighted)).table(0, len(shape))
    direct = elementwise_strides(shape, (g_strides, norms))
    strides = elementwise_strides(shape, (direct, quotient))
    combine = elementwise_walk(shape, (x_strides, g_strides, norms, strides)).table(0, len(shape))
    return _GradientPlan(
        weigh=weigh,
        weigh_units=_rows(weigh, _ROW),
        combine=combine,
        combine_units=_rows(combine, _ROW),
        ties=ties,
        strides=None if strides == contiguous_strides(shape) else strides,
        passes_at_floor=rules.gradient_passes_at_floor,
        sums=_sum_plan(shape, weighted, dims, dtype, rules, threads),
    )


def _sum_plan(
    shape: Ints, strides: Ints, dims: Ints, dtype: str, rules: TorchRules, threads: int
) -> _SumPlan:
    walk = reduction_walk(shape, strides, dims)
    assert walk is not None
    lanes = rules.sum_lanes // 2 if dtype == "float64" else rules.sum_lanes
    in_half = dtype in ("float16", "bfloat16")
    several = walk.reduced > 1
    in_steps = in_half and several and rules.rounds_inner_sums
    chunk = _chunk(walk, threads)
    blocks = None
    if walk.reduced == 1 and not chunk:
        blocks = _blocks(_sections(walk, dtype, threads))
    return _SumPlan(
        reduced=walk.table(0, walk.reduced)[: walk.reduced],
        kept=walk.table(walk.reduced, len(walk.sizes)),
        blocks=blocks,
        chunk=chunk or math.prod(walk.sizes[: walk.reduced]),
        threads=threads if chunk else 1,
        width=(0,) * lanes,
        paired=in_half and (in_steps or not several),
        in_steps=in_steps,
        from_zero=not shape,
    )


def _sections(walk: Walk, dtype: str, threads: int) -> list[tuple[int, int]]:
    """Return the columns that each of torch's threads sums, where it splits them."""
    columns = walk.sizes[1] if len(walk.sizes) > 1 else 1
    if threads == 1 or math.prod(walk.sizes) < _GRAIN or _split_dim(walk, threads) != 1:
        return [(0, columns)]
    unit = 1
    if walk.strides[0][1] == 1:
        unit = _SECTION_BYTES // _WIDTH[dtype]
    share = -(-columns // min(threads, columns))
    bounds = [
        bound if bound >= columns else bound - bound % unit
        for bound in range(0, columns + share, share)
    ]
    pairs = [(begin, min(end, columns)) for begin, end in itertools.pairwise(bounds)]
    return [(begin, end) for begin, end in pairs if begin < end]


_SECTION_BYTES = 128
"""torch's threads split contiguous columns at multiples of this."""


def _split_dim(walk: Walk, threads: int) -> int:
    """Return the kept dim that torch splits among threads, the outermost that is long enough."""
    last = len(walk.sizes) - 1
    for d in range(last, walk.reduced - 1, -1):
        if walk.sizes[d] >= threads:
            return d
    return max(range(last, walk.reduced - 1, -1), key=walk.sizes.__getitem__)


def _blocks(sections: list[tuple[int, int]]) -> Array:
    return np.array(
        [
            (begin, min(begin + SUM_BLOCK, last), first, last)
            for first, last in sections
            for begin in range(first, last, SUM_BLOCK)
        ],
        np.int64,
    )


def normalize_vjp(
    x: Array,
    g: Array,
    p: Any = 2.0,
    dim: Any = 1,
    eps: Any = 1e-12,
    reference: TorchReference | None = None,
) -> Array:
    """Return the bits of the gradient that torch computes for `normalize` on a CPU.

    Args:
        x: as for `normalize`.
        g: the cotangent, of the shape and dtype of ``x``; its strides matter to the bits, too.
        p: 0, 1, 2, inf or -inf.
        dim: as for `normalize`.
        eps: as for `normalize`.
        reference: as for `normalize`.

    Returns:
        Array of the shape and dtype of ``x``, in the layout that torch gives the gradient.

    Raises:
        IndexError, NotImplementedError, RuntimeError, TypeError: what torch raises for the same
            arguments.
        ValueError: strides or a byte order that no tensor has, or another shape or dtype of g.
        StrictParityError: the bits cannot be promised.

    >>> import numpy as np
    >>> x, g = np.array([[3, 4]], np.float32), np.array([[1, 0]], np.float32)
    >>> normalize_vjp(x, g)
    array([[ 0.12799999, -0.09600001]], dtype=float32)
    """
    reference = reference or _DEFAULT_REFERENCE
    if g.shape != x.shape or g.dtype != x.dtype:
        raise ValueError(
            f"expected a cotangent of shape {x.shape} and dtype {x.dtype}, "
            f"not {g.shape} and {g.dtype}"
        )
    plan = _plan_of(x, p, dim, eps, reference)
    check(g)
    if plan.p not in _KINDS:
        raise StrictParityError(
            f"parity='strict' cannot promise the bits of the gradient at p={plan.p:g}: only those "
            "at p = 0, 1, 2, inf and -inf are known. Use parity='semantic' for this p."
        )
    dtype = NAMES[x.dtype.char]
    layout = _gradient_plan(
        x.shape,
        x.strides,
        g.strides,
        dtype,
        plan.dims,
        plan.p,
        reference.rules,
        reference.threads,
    )
    gradient = empty(x.shape, layout.strides, x.dtype)
    if x.size:
        target = memory(gradient)
        _fill_gradient(target, memory(x), memory(g), plan, layout)
    return gradient


def _fill_gradient(gradient: Array, x: Array, g: Array, plan: _Plan, layout: _GradientPlan) -> None:
    accumulator = np.float64 if gradient.dtype == np.float64 else np.float32
    norms, sums = np.empty((2, plan.norms), accumulator)
    parallel.run(
        kernels.fill_norms,
        plan.units,
        x.size,
        plan.block,
        norms,
        x,
        plan.reduced,
        plan.kept,
        plan.rule,
    )
    # The summands are no longer needed when the gradient is written, and both are dense.
    parallel.run(
        kernels.fill_weighted,
        layout.weigh_units,
        x.size,
        _ROW,
        gradient,
        x,
        g,
        norms,
        layout.weigh,
        plan.eps,
    )
    _fill_sums(sums, gradient, layout.sums)
    ties = np.zeros(0, np.int64)
    if layout.ties is not None:
        ties = np.zeros(plan.norms, np.int64)
        kernels.count_ties(ties, x, norms, layout.ties)
    kernels.finish_sums(sums, norms, ties, x, plan.eps, layout.passes_at_floor)
    parallel.run(
        kernels.fill_gradient,
        layout.combine_units,
        x.size,
        _ROW,
        gradient,
        x,
        g,
        norms,
        sums,
        layout.combine,
        plan.eps,
        _KINDS[plan.p],
    )


def _fill_sums(sums: Array, weighted: Array, plan: _SumPlan) -> None:
    runs = math.prod(plan.kept[1:, 0].tolist())
    if len(plan.reduced) == 0:
        kernels.copy_to_sums(sums, weighted, plan.kept, plan.from_zero)
    elif plan.blocks is not None:
        parallel.run(
            kernels.fill_sums,
            runs * len(plan.blocks),
            weighted.size,
            sums,
            weighted,
            plan.reduced,
            plan.kept,
            plan.blocks,
            plan.width,
            plan.paired,
        )
    else:
        parallel.run(
            kernels.fill_sums_of_several_dims,
            len(sums),
            weighted.size,
            sums,
            weighted,
            plan.reduced,
            plan.kept,
            plan.chunk,
            plan.threads,
            plan.width,
            plan.paired,
            plan.in_steps,
        )
