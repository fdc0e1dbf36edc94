"""Lanes: a fixed number of running sums that a processor keeps side by side in one register.

How many there are is part of the type, so that compiled code holds them in a vector register. In
plain Python lanes are a NumPy array.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import (
    intrinsic,
    models,
    overload,
    register_model,
)

from portnorm.exact.ieee import widen, widen_value


class Lanes(types.Type):  # type: ignore[misc]
    """The compiled type: `lanes` numbers of the type `dtype`."""

    def __init__(self, dtype: Any, lanes: int) -> None:
        self.dtype = dtype
        self.lanes = lanes
        super().__init__(name=f"Lanes({dtype}, {lanes})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Lanes) -> None:
        element = ir.FloatType() if kind.dtype == types.float32 else ir.DoubleType()
        super().__init__(manager, kind, ir.VectorType(element, kind.lanes))


def zero_lanes(array: Any, width: tuple[int, ...]) -> Any:
    """Return as many zeros as `width` has entries, of the type in which `array` is added up."""
    return np.zeros(len(width), widen(array[:1]).dtype)


def load_lanes(array: Any, start: int, like: Any) -> Any:
    """Return the elements of `array` from `start` on, widened, as many as `like` has lanes."""
    return widen(array[start : start + len(like)]).copy()


def lane(lanes: Any, index: int) -> Any:
    """Return one of the lanes."""
    return lanes[index]


def _accumulator(stored: Any) -> Any:
    return types.float64 if stored == types.float64 else types.float32


@intrinsic  # type: ignore[untyped-decorator]
def _zero(typing_context: Any, array: Any, width: Any) -> Any:
    kind = Lanes(_accumulator(array.dtype), len(width))

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return ir.Constant(context.get_value_type(kind), [0.0] * kind.lanes)

    return kind(array, width), generate


@intrinsic  # type: ignore[untyped-decorator]
def _load(typing_context: Any, array: Any, start: Any, like: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(array)(context, builder, arguments[0]).data
        first = builder.gep(data, [arguments[1]])
        element = context.get_data_type(array.dtype)
        vector = ir.VectorType(element, like.lanes)
        value = builder.load(builder.bitcast(first, vector.as_pointer()))
        value.align = array.dtype.bitwidth // 8
        if array.dtype in (types.uint16, types.int16):
            return widen_value(builder, value, array.dtype)
        return value

    return like(array, types.intp, like), generate


@intrinsic  # type: ignore[untyped-decorator]
def _extract(typing_context: Any, lanes: Any, index: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        index = builder.trunc(arguments[1], ir.IntType(32))
        return builder.extract_element(arguments[0], index)

    return lanes.dtype(lanes, types.intp), generate


@intrinsic  # type: ignore[untyped-decorator]
def _add(typing_context: Any, a: Any, b: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fadd(*arguments)

    return a(a, b), generate


@intrinsic  # type: ignore[untyped-decorator]
def _multiply(typing_context: Any, a: Any, b: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fmul(*arguments)

    return a(a, b), generate


@overload(zero_lanes, strict=False)  # type: ignore[untyped-decorator]
def _compile_zero(array: Any, width: Any) -> Callable[..., Any]:
    return lambda array, width: _zero(array, width)


@overload(load_lanes, strict=False)  # type: ignore[untyped-decorator]
def _compile_load(array: Any, start: Any, like: Any) -> Callable[..., Any]:
    return lambda array, start, like: _load(array, start, like)


@overload(lane, strict=False)  # type: ignore[untyped-decorator]
def _compile_lane(lanes: Any, index: Any) -> Callable[..., Any]:
    return lambda lanes, index: _extract(lanes, index)


@overload(operator.add, strict=False)  # type: ignore[untyped-decorator]
def _compile_add(a: Any, b: Any) -> Callable[..., Any] | None:
    return (lambda a, b: _add(a, b)) if isinstance(a, Lanes) else None


@overload(operator.mul, strict=False)  # type: ignore[untyped-decorator]
def _compile_multiply(a: Any, b: Any) -> Callable[..., Any] | None:
    return (lambda a, b: _multiply(a, b)) if isinstance(a, Lanes) else None
