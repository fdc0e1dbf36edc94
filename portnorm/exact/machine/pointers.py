"""Addresses of elements, which are all that kernels know of an array.

An index into a pointer is neither checked nor counted from the end, and nobody counts references to
the array: it is compiled in half the time of an index into an array. In plain Python a pointer is
the array from some element on.
"""

from __future__ import annotations

from typing import Any

from numba import types

from portnorm.exact.machine.ieee import widen
from portnorm.exact.machine.target import instruction


def elements(array: Any) -> Any:
    """Return the pointer to the first element of a contiguous array.

    It has to be asked for in the kernel, whose caller keeps the array alive.
    """
    return array


def shifted(pointer: Any, count: int) -> Any:
    """Return the pointer to the element that lies `count` elements further on."""
    return pointer[count:]


def is_wide(pointer: Any) -> bool:
    """Return whether elements are stored as they are computed with: float32 and float64."""
    return bool(widen(pointer[:1]).dtype == pointer.dtype)


def as_wide(pointer: Any, buffer: Any) -> Any:
    """Return `pointer` as one of the type of `buffer`, where `is_wide`."""
    return pointer


def smaller(a: int, b: int) -> int:
    """Return the smaller integer. Numba's own `min` is compiled like a function of the user."""
    return min(a, b)


@instruction(elements)
def _elements(array: Any) -> Any:
    def generate(context: Any, builder: Any, arguments: Any) -> Any:
        return context.make_array(array)(context, builder, arguments[0]).data

    return types.CPointer(array.dtype)(array), generate


@instruction(shifted)
def _shifted(pointer: Any, count: Any) -> Any:
    def generate(context: Any, builder: Any, arguments: Any) -> Any:
        return builder.gep(arguments[0], [arguments[1]])

    return pointer(pointer, types.intp), generate


@instruction(is_wide)
def _is_wide(pointer: Any) -> Any:
    def generate(context: Any, builder: Any, arguments: Any) -> Any:
        wide = pointer.dtype in (types.float32, types.float64)
        return context.get_constant(types.boolean, wide)

    return types.boolean(pointer), generate


@instruction(as_wide)
def _as_wide(pointer: Any, buffer: Any) -> Any:
    def generate(context: Any, builder: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(buffer))

    return buffer(pointer, buffer), generate


@instruction(smaller)
def _smaller(a: Any, b: Any) -> Any:
    def generate(context: Any, builder: Any, arguments: Any) -> Any:
        return builder.select(builder.icmp_signed("<", *arguments), *arguments)

    return types.intp(types.intp, types.intp), generate
