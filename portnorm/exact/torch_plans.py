"""Plans of `torch_cpu`: what depends on layout, arguments and reference, and not on the values.

Arguments are checked and turned into a plan once for each layout. The plan says in which order
elements are visited and what the rules of the build make of them.
"""

from __future__ import annotations

import functools
import itertools
import math
import platform
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from portnorm import semantics
from portnorm.errors import StrictParityError
from portnorm.exact.blocks import ROW as WIDENED
from portnorm.exact.blocks import entries, visit
from portnorm.exact.machine.arrays import Array, Ints, element_strides
from portnorm.exact.reduction import (
    FUSED_SQUARES,
    LARGEST,
    MAGNITUDES,
    NONZERO,
    POWERS,
    SMALLEST,
    SQUARES,
)
from portnorm.exact.torch_cascade import (
    NEIGHBOURS,
    REGISTERS,
    SINGLE,
    SUM_BLOCK,
    order_of_columns,
)
from portnorm.exact.torch_kernels import NORM_ROWS, NormWay, divide_by_norms
from portnorm.exact.torch_walks import (
    Walk,
    broadcast_strides,
    contiguous_strides,
    elementwise_strides,
    elementwise_walk,
    keepdim_shape,
    reduction_strides,
    reduction_walk,
)
from portnorm.reference import TorchRules

WIDTH = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}
"""Bytes of an element."""

_GRAIN = 32768
"""Elements from which torch shares a sum out among its threads."""


@dataclass(frozen=True, eq=False)
class Plan:
    """What depends on layout, arguments and reference, and not on the values.

    Attributes:
        dims: the dims that are summed over.
        eps: rounded to the dtype.
        p: the order that was given.
        way, number: how the norms are summed, and what `norms_of_block` calls so.
        reduced, kept: tables of the dims that are summed, and of those that are kept. Operands: x,
            the norms, y.
        elements: the table of all dims, as kernels read it.
        rows: how many rows of at most `LONG_ROW` elements that comes to.
        kernel: what normalizes.
        scratch: length and dtype of its buffer.
        sizes: the length of the rows of that, and columns in a unit of work.
        rest: what the kernel takes after the arrays.
        units: how many there are.
        norms: how many vectors there are.
        y_strides: the layout of the result, None for a C-contiguous one.
        copy_strides: where it differs, the layout that torch gives the result.
    """

    dims: Ints
    eps: float
    p: float
    way: NormWay
    number: int
    reduced: Array
    kept: Array
    elements: Array
    rows: int
    kernel: Callable[..., None]
    scratch: tuple[int, type[Any]]
    sizes: tuple[int, int]
    rest: tuple[Any, ...]
    units: int
    norms: int
    y_strides: Ints | None
    copy_strides: Ints | None


KINDS = {
    0.0: NONZERO,
    1.0: MAGNITUDES,
    2.0: SQUARES,
    math.inf: LARGEST,
    -math.inf: SMALLEST,
}
_CACHE_BYTES = 32768
"""What a block of columns may take in the cache that is next to a core."""


@functools.lru_cache(maxsize=1024)
def plan_for(
    shape: Ints,
    byte_strides: Ints,
    dtype: str,
    p: Any,
    dim: Any,
    eps: Any,
    rules: TorchRules,
    threads: int,
) -> Plan:
    """Check the arguments of a forward, and plan it.

    Args:
        shape, byte_strides, dtype: of the array.
        p, dim, eps: as for `torch_cpu.normalize`.
        rules, threads: of the build of torch.
    """
    strides = element_strides(byte_strides, WIDTH[dtype])
    arguments = check_arguments(shape, dtype, p, dim, eps, rules)
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
    single = is_single_element(shape, dims, dim)
    order = semantics.round_to(arguments.p, "float32" if rules.order_in_float32 else "float64")
    way, number = _norm_way(walk, dtype, order, single, rules, threads)
    block = _block(walk, dtype)
    length = max(block, WIDENED)
    runs, columns = math.prod(kept[1:, 0].tolist()), int(kept[0, 0])
    reduced = walk.table(0, walk.reduced)
    elements = elementwise_walk(shape, (strides, norm_strides, y_strides)).table(0, len(shape))
    return Plan(
        dims=dims,
        eps=arguments.eps,
        p=arguments.p,
        way=way,
        number=number,
        reduced=reduced,
        kept=kept,
        elements=entries(elements),
        rows=units_of(elements, LONG_ROW),
        kernel=divide_by_norms(way, visit(reduced, kept, 3)),
        scratch=(NORM_ROWS * length, np.float64 if dtype == "float64" else np.float32),
        sizes=(length, block),
        rest=(entries(reduced), entries(kept), arguments.eps, number, order),
        units=runs * -(-columns // block),
        norms=runs * columns,
        y_strides=None if y_strides == contiguous_strides(shape) else y_strides,
        copy_strides=copy_strides,
    )


def check_arguments(
    shape: Ints, dtype: str, p: Any, dim: Any, eps: Any, rules: TorchRules
) -> semantics.NormalizeArguments:
    """Check the arguments as this build does."""
    if dtype == "float16" and not rules.float16:
        arguments = semantics.normalize_arguments(shape, dtype, p, dim, 0.0)
        if isinstance(eps, float) and math.isnan(eps):  # torch fills the norms with it
            return arguments._replace(eps=eps)
        raise RuntimeError("\"clamp_min_scalar_cpu\" not implemented for 'Half'")
    namespace = rules.half_name.partition("::")[0]
    return semantics.normalize_arguments(shape, dtype, p, dim, eps, namespace)


def _norm_way(
    walk: Walk, dtype: str, p: float, single: bool, rules: TorchRules, threads: int
) -> tuple[NormWay, int]:
    kind = KINDS.get(p, POWERS)
    if single and not rules.single_element_squared:
        kind = NONZERO if p == 0 else MAGNITUDES
    in_steps = dtype == "bfloat16" and rules.bfloat16_sum_in_bfloat16
    if kind == POWERS:
        _check_power(p, in_steps)
    if kind == SQUARES and dtype != "float16" and walk.reduced == 1 and walk.strides[0][0] == 1:
        lanes = rules.lanes // 2 if dtype == "float64" else rules.lanes
        step = 2 * lanes if dtype == "bfloat16" else lanes
        tail = walk.sizes[0] % step
        plain = {"plain": tail, "mod4": tail - tail % 4, "fused": 0}
        way = NormWay(kind, False, lanes, step, rules.lanes_fused, False, False)
        return way, plain[rules.tail[dtype]]
    if kind == SQUARES and rules.slow_fused and not in_steps:
        kind = FUSED_SQUARES
    chunk = 0 if kind in (LARGEST, SMALLEST) else _chunk(walk, threads)
    columns = walk.strides[0][walk.reduced :]
    neighbours = not chunk and bool(columns) and columns[0] == 1
    return NormWay(kind, in_steps, 0, 0, False, chunk > 0, neighbours), chunk


def is_single_element(shape: Ints, dims: Ints, dim: Any) -> bool:
    """Return whether each norm is that of one element; a 0-d tensor tells dim=0 from None."""
    if not shape:
        return semantics.dim_of_scalar(dim) is None
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


ROW = 1024
"""Elements that elementwise kernels take at once where they copy them to buffers."""
LONG_ROW = 16384
"""And where they do not."""


def units_of(table: Array, row: int) -> int:
    """Return how many units of work a table comes to."""
    return int(math.prod(table[1:, 0].tolist())) * -(-int(table[0, 0]) // row)


def _block(walk: Walk, dtype: str) -> int:
    """Return how many columns to take at once, so that they stay in the cache."""
    kept = walk.sizes[walk.reduced :]
    columns = max(1, kept[0]) if kept else 1
    width = WIDTH[dtype]
    if kept and walk.strides[0][walk.reduced] == 1:
        return min(columns, _CACHE_BYTES // 4 // width)
    size = max(1, math.prod(walk.sizes[: walk.reduced]))
    return min(columns, max(4, _CACHE_BYTES // (size * width)))


# --- the sum of the gradient ---------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class SumPlan:
    """How torch sums the summands.

    Attributes:
        reduced, kept: tables of the dims that are summed and that are kept. Operands: the
            summands, the sums. No rows in `reduced` where nothing is summed.
        tables: both as kernels read them.
        blocks: where one dim is summed, the columns of each unit of work; see `fill_sums`.
        order: and how they are summed, see `torch_cascade`.
        chunk: otherwise, elements that a thread of torch sums.
        threads: and how many threads there are.
        lanes, paired: how torch uses its registers; see `torch_cascade.sum_columns`.
        in_steps: whether each sum over the innermost dim is rounded.
        from_zero: whether a sum of one element starts from 0, which turns -0 into 0.
    """

    reduced: Array
    kept: Array
    tables: tuple[Array, Array]
    blocks: Array | None
    order: int
    chunk: int
    threads: int
    lanes: int
    paired: int
    in_steps: bool
    from_zero: bool


@functools.lru_cache(maxsize=1024)
def sum_plan(
    shape: Ints, strides: Ints, dims: Ints, dtype: str, rules: TorchRules, threads: int
) -> SumPlan:
    """Plan the sum of the summands, whose strides are counted in elements."""
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
    reduced = walk.table(0, walk.reduced)[: walk.reduced]
    kept = walk.table(walk.reduced, len(walk.sizes))
    paired = SINGLE
    if in_half and (in_steps or not several):
        is_old = dtype == "float16" and rules.float16_adds_neighbours
        paired = NEIGHBOURS if is_old else REGISTERS
    order = 0
    if blocks is not None:
        size, stride = reduced[0].tolist()[:2]
        order = order_of_columns(size, stride, lanes, paired)
    return SumPlan(
        reduced=reduced,
        kept=kept,
        tables=(entries(reduced), entries(kept)),
        blocks=blocks,
        order=order,
        chunk=chunk or math.prod(walk.sizes[: walk.reduced]),
        threads=threads if chunk else 1,
        lanes=lanes,
        paired=paired,
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
        unit = _SECTION_BYTES // WIDTH[dtype]
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
