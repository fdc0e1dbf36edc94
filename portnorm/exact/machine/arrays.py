"""NumPy arrays as kernels take them: the memory of an array as one contiguous row.

float16 is handed over as its bits in uint16. bfloat16, which NumPy does not have, comes in and
goes out as its bits in uint16 and is handed over as int16; see `ieee`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Ints = tuple[int, ...]
Array = np.ndarray[Any, Any]

NAMES = {"e": "float16", "f": "float32", "d": "float64", "H": "bfloat16"}
"""The dtype that an array stands for, by the character of its NumPy dtype."""

_TYPESTR = {"e": "u2", "f": "f4", "d": "f8", "H": "i2"}


class _Window:
    """Memory of an array under another shape."""

    def __init__(self, array: Array, elements: int, typestr: str) -> None:
        address, _ = array.__array_interface__["data"]
        self._owner = array
        self.__array_interface__ = {
            "version": 3,
            "data": (address, False),
            "shape": (elements,),
            "typestr": typestr,
        }


def check(array: Array) -> None:
    """Refuse what no tensor is.

    Raises:
        ValueError: the array is not aligned, or its bytes are swapped.
    """
    if not (array.flags.aligned and array.dtype.isnative):
        raise ValueError("expected an aligned array in the byte order of this machine")


def element_strides(strides: Ints, itemsize: int) -> Ints:
    """Return strides counted in elements.

    Raises:
        ValueError: a stride that no tensor has.
    """
    if any(stride % itemsize or stride < 0 for stride in strides):
        raise ValueError(f"expected strides that are non-negative multiples of {itemsize} bytes")
    return tuple(stride // itemsize for stride in strides)


def extent(shape: Sequence[int], strides: Sequence[int]) -> int:
    """Return how many elements lie between the first and the last one of an array, inclusive."""
    if 0 in shape:
        return 0
    return 1 + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))


def memory(array: Array) -> Array:
    """Return all elements between the first and the last one as a kernel reads and writes them."""
    character = array.dtype.char
    flags = array.flags
    elements = array.size
    if not flags.c_contiguous:
        elements = extent(array.shape, element_strides(array.strides, array.itemsize))
    elif flags.writeable and character in "fd":
        return array if array.ndim == 1 else array.reshape(-1)
    return np.asarray(_Window(array, elements, _TYPESTR[character]))


Empty = Callable[[tuple[int, ...], Ints | None, Any], Array]
"""What makes the array that a function returns, as `empty` does: a host has memory of its own."""


def empty(shape: tuple[int, ...], strides: Ints | None, dtype: Any) -> Array:
    """Return a new array; `strides`, in elements, are those of a dense one, None of a C array."""
    if strides is None:
        return np.empty(shape, dtype)
    buffer = np.empty((extent(shape, strides),), dtype)
    size = buffer.itemsize
    return np.ndarray(shape, dtype, buffer, strides=tuple(stride * size for stride in strides))


def laid_out(array: Array, strides: Ints, new: Empty = empty) -> Array:
    """Return a copy whose elements lie at these strides, counted in elements."""
    copy = new(array.shape, strides, array.dtype)
    copy[...] = array
    return copy


def moved(array: Array, offset: int) -> Array:
    """Return a copy with the same strides that begins some elements into its memory."""
    strides = element_strides(array.strides, array.itemsize)
    buffer = np.empty(offset + extent(array.shape, strides), array.dtype)
    start = offset * array.itemsize
    copy: Array = np.ndarray(array.shape, array.dtype, buffer, start, array.strides)
    copy[...] = array
    return copy
