"""Arrays compared by encoding: +0 and -0 differ, any NaN equals any NaN.

As in `portnorm.exact`, arrays of uint16 hold the bits of bfloat16.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

_INFINITY = {"e": 0x7C00, "f": 0x7F80_0000, "d": 0x7FF0_0000_0000_0000, "H": 0x7F80}
"""The bits of infinity, by the character of the NumPy dtype."""


def words(array: Array) -> Array:
    """Return the encoding of each element, in C order; every NaN gets the same one."""
    infinity = _INFINITY[array.dtype.char]
    bits = np.array(array, order="C").view(f"u{array.itemsize}")
    magnitude = bits & bits.dtype.type((1 << (8 * array.itemsize - 1)) - 1)
    return np.where(magnitude > infinity, bits.dtype.type(infinity + 1), bits)


def mismatch(found: Array, expected: Array) -> str:
    """Return what differs, with the first element that does, or nothing."""
    if (found.dtype, found.shape) != (expected.dtype, expected.shape):
        return f"{found.dtype}{list(found.shape)} for {expected.dtype}{list(expected.shape)}"
    a, b = words(found), words(expected)
    different = np.argwhere(a != b)
    if not len(different):
        return ""
    first = tuple(different[0].tolist())
    return (
        f"{len(different)} of {a.size} elements of {found.dtype} differ, the first at {first}: "
        f"{_shown(found[first])} ({a[first]:#x}) for {_shown(expected[first])} ({b[first]:#x})"
    )


def _shown(value: Any) -> str:
    if value.dtype.char == "H":
        value = (np.uint32(value) << np.uint32(16)).view(np.float32)
    return float(value).hex()


def check_bits(found: Array, expected: Array, case: object = "") -> None:
    """Fail where two arrays differ; `case` says how to get them again."""
    text = mismatch(found, expected)
    assert not text, f"{text}\n{case}"
