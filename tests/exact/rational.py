"""Floating-point numbers as fractions, rounded by definition: to the nearest, ties to even."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from portnorm.exact.machine.arrays import memory
from tests.exact.same_encoding import Array

_DIGITS = {"float16": (11, -24), "bfloat16": (8, -133), "float32": (24, -149)}
_DIGITS |= {"float64": (53, -1074)}
"""Binary digits of the significand, and the exponent of the smallest subnormal."""

_STORED = {"e": "float16", "f": "float32", "d": "float64", "H": "bfloat16"}

COMPUTED_IN = {"float16": "float32", "bfloat16": "float32", "float32": "float32"}
COMPUTED_IN |= {"float64": "float64"}


def round_to(value: Fraction, dtype: str) -> Fraction:
    """Return the number of the dtype that is nearest, as if exponents had no upper bound."""
    digits, lowest = _DIGITS[dtype]
    exponent = abs(value.numerator).bit_length() - value.denominator.bit_length()
    if abs(value) < Fraction(2) ** exponent:
        exponent -= 1
    unit = Fraction(2) ** max(exponent - digits + 1, lowest)
    return round(value / unit) * unit  # Python rounds a fraction that is half an integer to even


def fractions(array: Array) -> list[Fraction]:
    """Return the finite elements of an array; uint16 holds bfloat16."""
    if array.dtype.char == "H":
        array = (array.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return [Fraction(float(value)) for value in array.reshape(-1)]


def kernel_array(array: Array) -> tuple[Array, str]:
    """Return an array as kernels take it, and the type in which it is summed."""
    return memory(array), COMPUTED_IN[_STORED[array.dtype.char]]


def floats(values: list[Fraction], dtype: str) -> Array:
    """Return fractions that are numbers of float32 or float64."""
    array: Array = np.array([float(value) for value in values], dtype)
    assert fractions(array) == values
    return array


def buffer(rows: int, columns: int, dtype: str) -> Any:
    """Return memory for a kernel, full of numbers that no sum should see."""
    return np.full((rows, columns), np.nan, dtype)
