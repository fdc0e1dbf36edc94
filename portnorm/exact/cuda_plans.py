"""Plans of `torch_cuda`: what depends on layout, arguments and reference, and not on the values."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from portnorm import semantics
from portnorm.errors import StrictParityError
from portnorm.exact import cuda_kernels
from portnorm.exact.blocks import entries, visit
from portnorm.exact.cuda_launch import (
    LARGEST_PART,
    VECTOR,
    Launch,
    Part,
    launch,
    parts,
    vector_of,
)
from portnorm.exact.machine.arrays import NAMES, Array, Ints, check, element_strides
from portnorm.exact.reduction import FUSED_SQUARES, MAGNITUDES, NONZERO, SQUARES, VALUES
from portnorm.exact.torch_cpu import refuse_dtype
from portnorm.exact.torch_plans import KINDS, LONG_ROW, WIDTH, is_single_element, units_of
from portnorm.exact.torch_walks import (
    Walk,
    broadcast_strides,
    contiguous_strides,
    elementwise_strides,
    elementwise_walk,
    keepdim_shape,
    reduction_walk,
)
from portnorm.reference import CudaDevice, CudaRules, TorchReference


class Step(NamedTuple):
    """A launch, and how its work is divided here.

    Attributes:
        kernel: of `cuda_kernels`.
        units: of work.
        scratch: length of its buffer.
        sizes: columns in a unit of work, and the length of the rows of the buffer.
        start, to: where x and the sums begin.
        tables: of the reduced dims, and of the kept ones.
        rest: what the kernel takes after eps.
    """

    kernel: Callable[..., None]
    units: int
    scratch: int
    sizes: tuple[int, int]
    start: int
    to: int
    tables: tuple[Array, Array]
    rest: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class SumPlan:
    """How sums are taken.

    Attributes:
        kind: what is summed; see `reduction`.
        steps: one after the other; none where nothing is summed.
        kept: table of the dims that are kept. Operands: x, the sums.
        sums: how many there are.
        divides: whether the only step can divide as well.
    """

    kind: int
    steps: tuple[Step, ...]
    kept: Array
    sums: int
    divides: bool


@dataclass(frozen=True, eq=False)
class Plan:
    """What depends on layout, arguments and reference, and not on the values.

    Attributes:
        p: the order.
        dims: the dims that are summed over.
        eps: rounded to the dtype.
        norms: how they are summed.
        accumulator: the type in which that is done.
        elements: the table of all dims, as kernels read it. Operands: x, the norms, y.
        rows: how many rows of at most `LONG_ROW` elements that comes to.
        strides: the layout of the result, None for a C-contiguous one.
        device: on which torch would run.
    """

    p: float
    dims: Ints
    eps: float
    norms: SumPlan
    accumulator: type[Any]
    elements: Array
    rows: int
    strides: Ints | None
    device: CudaDevice


def plan_of(
    x: Array, p: Any, dim: Any, eps: Any, reference: TorchReference, offset: int | None
) -> Plan:
    """Check the arguments of `torch_cuda.normalize`, and plan it."""
    check(x)
    rules = rules_of(reference)
    dtype = NAMES.get(x.dtype.char) or refuse_dtype(x, "RuntimeError")
    if type(dim) is not int or type(p) not in (float, int) or type(eps) not in (float, int):
        # Keys of the cache must not compare equal where they mean different things, as True and 1.
        arguments = _check_arguments(x.shape, dtype, p, dim, eps)
        dim = arguments.dims if x.ndim else semantics.dim_of_scalar(dim)
        p, eps = arguments.p, float(eps)
    address = (_offset_of(x) if offset is None else offset) % VECTOR
    return _plan_for(x.shape, x.strides, dtype, p, dim, eps, address, rules, reference.device)


def rules_of(reference: TorchReference) -> CudaRules:
    """Return the rules of a build on a CUDA device.

    Raises:
        ValueError: it is on a CPU.
        StrictParityError: it is not certified.
    """
    rules = reference.rules
    if isinstance(rules, CudaRules):
        return rules
    raise ValueError("the reference is a CPU, whose bits portnorm.exact.torch_cpu has")


def _offset_of(x: Array) -> int:
    """Return how many elements lie before the first one in the array of which x is a view."""
    owner = x
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    first, start = (a.__array_interface__["data"][0] for a in (owner, x))
    return int(start - first) // x.itemsize


def _check_arguments(
    shape: Ints, dtype: str, p: Any, dim: Any, eps: Any
) -> semantics.NormalizeArguments:
    found = semantics.normalize_arguments(shape, dtype, p, dim, eps, on_cuda=True)
    if found.p not in KINDS:
        raise StrictParityError(
            f"parity='strict' cannot promise the bits at p={found.p:g} on a CUDA device: only "
            "those at p = 0, 1, 2, inf and -inf are known. Use parity='semantic' for this p."
        )
    return found


@functools.lru_cache(maxsize=1024)
def _plan_for(
    shape: Ints,
    byte_strides: Ints,
    dtype: str,
    p: Any,
    dim: Any,
    eps: Any,
    address: int,
    rules: CudaRules,
    device: CudaDevice,
) -> Plan:
    strides = element_strides(byte_strides, WIDTH[dtype])
    arguments = _check_arguments(shape, dtype, p, dim, eps)
    dims = arguments.dims
    kind = KINDS[arguments.p]
    if is_single_element(shape, dims, dim):
        kind = NONZERO if kind == NONZERO else MAGNITUDES
    kind = FUSED_SQUARES if kind == SQUARES else kind
    norm_strides = broadcast_strides(shape, keepdim_shape(shape, dims))
    y_strides = elementwise_strides(shape, (strides, norm_strides))
    elements = elementwise_walk(shape, (strides, norm_strides, y_strides)).table(0, len(shape))
    return Plan(
        p=arguments.p,
        dims=dims,
        eps=arguments.eps,
        norms=_sum_plan(shape, strides, y_strides, dims, dtype, kind, address, rules, device),
        accumulator=np.float64 if dtype == "float64" else np.float32,
        elements=entries(elements),
        rows=units_of(elements, LONG_ROW),
        strides=None if y_strides == contiguous_strides(shape) else y_strides,
        device=device,
    )


def plan_of_gradient(
    x: Array, strides: Ints, dims: Ints, rules: CudaRules, device: CudaDevice
) -> SumPlan:
    """Plan the sum of the summands, which lie in fresh memory, and so in aligned memory."""
    summed = tuple(d for d in dims if x.shape[d] != 1)
    dtype = NAMES[x.dtype.char]
    return _sum_plan(x.shape, strides, None, summed, dtype, VALUES, 0, rules, device)


@functools.lru_cache(maxsize=1024)
def _sum_plan(
    shape: Ints,
    strides: Ints,
    y_strides: Ints | None,
    dims: Ints,
    dtype: str,
    kind: int,
    address: int,
    rules: CudaRules,
    device: CudaDevice,
) -> SumPlan:
    walk = reduction_walk(shape, strides, dims)
    assert walk is not None
    with_y = None if y_strides is None else reduction_walk(shape, strides, dims, (y_strides,))
    kept = walk.table(walk.reduced, len(walk.sizes))
    steps = []
    # A sum of no dims takes each summand as it is; of a 0-d tensor it starts from 0.
    if kind != VALUES or dims or not shape:
        for part in parts(walk, WIDTH[dtype], LARGEST_PART):
            elements, at = math.prod(part.sizes[: walk.reduced]), address + part.start
            vector = vector_of(rules, elements, kind == VALUES and WIDTH[dtype] == 2)
            given = part.sizes, walk.strides[0], walk.reduced, at, vector, device
            steps.append(_step(with_y or walk, part, kind, launch(*given), at, rules))
    return SumPlan(
        kind=kind,
        steps=tuple(steps),
        kept=entries(kept),
        sums=math.prod(kept[:, 0].tolist()),
        divides=with_y is not None and len(steps) == 1,
    )


_UNIT = 16384
"""Elements of rows, or numbers in the buffer for columns, of a unit of work."""


def _step(
    walk: Walk, part: Part, kind: int, launched: Launch, address: int, rules: CudaRules
) -> Step:
    here = walk._replace(sizes=part.sizes)
    reduced, kept = here.table(0, walk.reduced), here.table(walk.reduced, len(walk.sizes))
    columns = max(1, int(kept[0, 0]))
    if launched.along_x:
        block = min(columns, max(1, _UNIT // max(1, math.prod(reduced[:, 0].tolist()))))
        length, rows = cuda_kernels.buffer_of_rows(launched)
    else:
        block = min(columns, max(1, _UNIT // (1 + 2 * launched.height)))
        length, rows = cuda_kernels.buffer_of_columns(launched, block)
    several = launched.along_x and walk.reduced > 1
    way = cuda_kernels.SumWay(kind, launched.along_x, launched.vector, several)
    visited = visit(reduced, kept, 3) if len(walk.strides) > 2 else cuda_kernels.NO_DIVISION
    return Step(
        kernel=cuda_kernels.divide_by_norms(way, visited),
        units=math.prod(kept[1:, 0].tolist()) * -(-columns // block),
        scratch=block + rows * length,
        sizes=(block, length),
        start=part.start,
        to=part.to,
        tables=(entries(reduced), entries(kept)),
        rest=(address, launched, (rules.shuffles_fall, rules.x_before_y), part.adds),
    )
