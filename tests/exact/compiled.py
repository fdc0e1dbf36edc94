"""Parts of kernels as functions that Python calls."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from numba import types

from portnorm.exact.machine.compilation import whole
from portnorm.exact.machine.target import instruction


def as_in_kernels(value: Any) -> Any:
    """Return what a kernel has of an argument: of an array a pointer."""
    return value


@instruction(as_in_kernels)
def _as_in_kernels(value: Any) -> Any:
    if isinstance(value, types.Array):
        return _elements(value)
    return value(value), lambda context, builder, arguments: arguments[0]


def _elements(array: Any) -> Any:
    def generate(context: Any, builder: Any, arguments: Any) -> Any:
        return context.make_array(array)(context, builder, arguments[0]).data

    return types.CPointer(array.dtype)(array), generate


@functools.cache
def from_python(part: Callable[..., Any]) -> Callable[..., Any]:
    """Return a part of kernels as a function that takes arrays where the part takes pointers."""
    names = list(inspect.signature(part).parameters)
    values = ", ".join(f"as_in_kernels({name})" for name in names)
    scope = {"part": part, "as_in_kernels": as_in_kernels}
    exec(f"def call({', '.join(names)}):\n    return part({values})", scope)
    return whole(scope["call"])
