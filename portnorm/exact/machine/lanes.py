"""Lanes: a fixed number of numbers that a processor keeps side by side in one register.

How many there are is part of the type, so that compiled code holds them in a vector register. In
plain Python lanes are a NumPy array. What is called an array here is a pointer to its elements.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import models, register_model

from portnorm.exact.machine.ieee import narrow, narrow_value, widen, widen_value
from portnorm.exact.machine.target import instruction


class Lanes(types.Type):
    """The compiled type: `lanes` numbers of the type `dtype`."""

    def __init__(self, dtype: Any, lanes: int) -> None:
        self.dtype = dtype
        self.lanes = lanes
        super().__init__(name=f"Lanes({dtype}, {lanes})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Lanes) -> None:
        element = ir.FloatType() if kind.dtype == types.float32 else ir.DoubleType()
        super().__init__(manager, kind, ir.VectorType(element, kind.lanes))


def zero_lanes(array: Any, width: tuple[int, ...]) -> Any:
    """Return as many zeros as `width` has entries, of the type in which `array` is added up."""
    return np.zeros(len(width), widen(array[:1]).dtype)


def load_lanes(array: Any, start: int, like: Any) -> Any:
    """Return the elements of `array` from `start` on, widened, as many as `like` has lanes."""
    return widen(array[start : start + len(like)]).copy()


def load_neighbours(array: Any, start: int, like: Any) -> Any:
    """Return as many sums of two neighbours as `like` has lanes, widened."""
    pairs = widen(array[start : start + 2 * len(like)])
    return pairs[::2] + pairs[1::2]


def lane(lanes: Any, index: int) -> Any:
    """Return one of the lanes."""
    return lanes[index]


def transposed(rows: Any) -> Any:
    """Return the first lanes of rows, then the second ones, and so on: as many as rows."""
    return tuple(np.stack(rows, 1))


def spread(value: float, width: tuple[int, ...]) -> Any:
    """Return as many float64 lanes as `width` has entries, each of this value."""
    return np.full(len(width), value)


def load_part(array: Any, start: int, count: int, like: Any) -> Any:
    """Return `count` elements of `array`, or as many as there are lanes, as float64; then 0."""
    loaded = np.zeros(len(like))
    available = array[start : start + min(count, len(like))]
    loaded[: len(available)] = widen(available)
    return loaded


def store_part(array: Any, start: int, count: int, lanes: Any) -> None:
    """Write `count` float64 lanes, or all, to `array`; to float16 by way of float32."""
    for i in range(min(count, len(lanes))):
        array[start + i] = narrow(lanes[i], array)


def divide_for(stored: Any, a: Any, b: Any, inverse: Any) -> Any:
    """Return a / b, or, to be stored in less than float64, a * inverse, which is faster."""
    return a / b if stored.dtype == np.float64 else a * inverse


def sum_of_lanes(lanes: Any) -> Any:
    """Return the sum of a power of two of lanes: the upper half is added to the lower one."""
    while len(lanes) > 1:
        half = len(lanes) // 2
        lanes = lanes[:half] + lanes[half:]
    return lanes[0]


_I32 = ir.IntType(32)


def _accumulator(stored: Any) -> Any:
    return types.float64 if stored == types.float64 else types.float32


@instruction(zero_lanes)
def _zero(array: Any, width: Any) -> Any:
    kind = Lanes(_accumulator(array.dtype), len(width))

    def generate(context: Any, builder: Any, arguments: Any) -> Any:
        return ir.Constant(context.get_value_type(kind), [0.0] * kind.lanes)

    return kind(array, width), generate


@instruction(load_lanes)
def _load(array: Any, start: Any, like: Any) -> Any:
    def generate(context: Any, builder: Any, arguments: Any) -> Any:
        return _loaded(context, builder, array, like.lanes, arguments)

    return like(array, types.intp, like), generate


@instruction(load_neighbours)
def _load_neighbours(array: Any, start: Any, like: Any) -> Any:
    def generate(context: Any, builder: Any, arguments: Any) -> Any:
        pairs = _loaded(context, builder, array, 2 * like.lanes, arguments)
        even, odd = (
            builder.shuffle_vector(
                pairs,
                pairs,
                ir.Constant(ir.VectorType(_I32, like.lanes), list(range(at, 2 * like.lanes, 2))),
            )
            for at in (0, 1)
        )
        return builder.fadd(even, odd)

    return like(array, types.intp, like), generate


def _loaded(context: Any, builder: Any, array: Any, count: int, arguments: Any) -> Any:
    """Load elements of an array, widened; the arguments are the array and where they start."""
    first = builder.gep(arguments[0], [arguments[1]])
    vector = ir.VectorType(context.get_data_type(array.dtype), count)
    value = builder.load(builder.bitcast(first, vector.as_pointer()))
    value.align = array.dtype.bitwidth // 8
    if array.dtype in (types.uint16, types.int16):
        return widen_value(builder, value, array.dtype)
    return value


@instruction(lane)
def _extract(lanes: Any, index: Any) -> Any:
    def generate(context: Any, builder: Any, arguments: Any) -> Any:
        index = builder.trunc(arguments[1], _I32)
        return builder.extract_element(arguments[0], index)

    return lanes.dtype(lanes, types.intp), generate


@instruction(transposed)
def _transposed(rows: Any) -> Any:
    def generate(context: Any, builder: Any, arguments: Any) -> Any:
        values, count = cgutils.unpack_tuple(builder, arguments[0]), rows.count
        distance = count // 2
        while distance:
            # The matrix consists of squares of four squares, of which two change places.
            stays = [j & distance == 0 for j in range(count)]
            upper = [j if stays[j] else count + j - distance for j in range(count)]
            lower = [j + distance if stays[j] else count + j for j in range(count)]
            for i in filter(stays.__getitem__, range(count)):
                pair = values[i], values[i + distance]
                for at, order in ((i, upper), (i + distance, lower)):
                    mask = ir.Constant(ir.VectorType(_I32, count), order)
                    values[at] = builder.shuffle_vector(*pair, mask)
            distance //= 2
        return context.make_tuple(builder, rows, values)

    return rows(rows), generate


@instruction(spread)
def _spread(value: Any, width: Any) -> Any:
    kind = Lanes(types.float64, len(width))

    def generate(context: Any, builder: Any, arguments: Any) -> Any:
        return _repeated(builder, arguments[0], kind.lanes)

    return kind(types.float64, width), generate


def _repeated(builder: Any, value: Any, count: int) -> Any:
    kind = ir.VectorType(value.type, count)
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), value, _I32(0))
    return builder.shuffle_vector(
        first, first, ir.Constant(ir.VectorType(_I32, count), [0] * count)
    )


def _part(
    context: Any, builder: Any, array: Any, lanes: int, arguments: Any
) -> tuple[Any, Any, Any, Any]:
    """Return pointer, alignment and mask of a part of an array, and how LLVM's names for it end.

    Args:
        context, builder: Numba's.
        array: the type of the pointer.
        lanes: how many there are.
        arguments: what that is, where the part starts, and the number of elements.
    """
    kind = ir.VectorType(context.get_data_type(array.dtype), lanes)
    first = builder.gep(arguments[0], [arguments[1]])
    pointer = builder.bitcast(first, kind.as_pointer())
    count = _repeated(builder, arguments[2], lanes)
    mask = builder.icmp_signed("<", ir.Constant(count.type, list(range(lanes))), count)
    name = f"v{lanes}{kind.element.intrinsic_name}"
    return pointer, _I32(array.dtype.bitwidth // 8), mask, f"{name}.p0{name}"


@instruction(load_part)
def _load_part(array: Any, start: Any, count: Any, like: Any) -> Any:
    def generate(context: Any, builder: Any, arguments: Any) -> Any:
        pointer, align, mask, name = _part(context, builder, array, like.lanes, arguments)
        kind = ir.VectorType(context.get_data_type(array.dtype), like.lanes)
        instruction = ir.FunctionType(kind, [pointer.type, _I32, mask.type, kind])
        load = cgutils.get_or_insert_function(
            builder.module, instruction, f"llvm.masked.load.{name}"
        )
        value = builder.call(load, [pointer, align, mask, ir.Constant(kind, None)])
        if array.dtype == types.uint16:
            value = widen_value(builder, value, array.dtype)
        if array.dtype != types.float64:
            value = builder.fpext(value, ir.VectorType(ir.DoubleType(), like.lanes))
        return value

    return like(array, types.intp, types.intp, like), generate


@instruction(store_part)
def _store_part(array: Any, start: Any, count: Any, lanes: Any) -> Any:
    def generate(context: Any, builder: Any, arguments: Any) -> Any:
        pointer, align, mask, name = _part(context, builder, array, lanes.lanes, arguments)
        value = arguments[3]
        if array.dtype != types.float64:
            value = builder.fptrunc(value, ir.VectorType(ir.FloatType(), lanes.lanes))
        if array.dtype == types.uint16:
            value = narrow_value(builder, value)
        instruction = ir.FunctionType(ir.VoidType(), [value.type, pointer.type, _I32, mask.type])
        store = cgutils.get_or_insert_function(
            builder.module, instruction, f"llvm.masked.store.{name}"
        )
        builder.call(store, [value, pointer, align, mask])
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, lanes), generate


@instruction(sum_of_lanes)
def _sum(lanes: Any) -> Any:
    def generate(context: Any, builder: Any, arguments: Any) -> Any:
        (value,) = arguments
        while value.type.count > 1:
            half = value.type.count // 2
            lower, upper = (
                builder.shuffle_vector(
                    value,
                    value,
                    ir.Constant(ir.VectorType(_I32, half), list(range(first, first + half))),
                )
                for first in (0, half)
            )
            value = builder.fadd(lower, upper)
        return builder.extract_element(value, _I32(0))

    return lanes.dtype(lanes), generate


@instruction(divide_for)
def _divide_for(stored: Any, a: Any, b: Any, inverse: Any) -> Any:
    def generate(context: Any, builder: Any, arguments: Any) -> Any:
        _, dividend, divisor, reciprocal = arguments
        if stored.dtype == types.float64:
            return builder.fdiv(dividend, divisor)
        return builder.fmul(dividend, reciprocal)

    return a(stored, a, b, inverse), generate


def _compile_operator(operation: Callable[..., Any], name: str) -> None:
    @instruction(operation)
    def describe(a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, arguments: Any) -> Any:
            return getattr(builder, name)(*arguments)

        return (a(a, b), generate) if isinstance(a, Lanes) else None


_compile_operator(operator.add, "fadd")
_compile_operator(operator.sub, "fsub")
_compile_operator(operator.mul, "fmul")
_compile_operator(operator.truediv, "fdiv")
