"""Numbers rounded to the dtypes of tensors, and the largest that each dtype holds."""

from __future__ import annotations

import functools
import math

LARGEST = {
    "float16": 65504.0,
    "bfloat16": float.fromhex("0x1.fep127"),
    "float32": float.fromhex("0x1.fffffep127"),
    "float64": math.inf,
}
"""The largest finite number of each dtype; every Python float fits in float64."""


def round_to(value: float, dtype: str) -> float:
    """Round to float32 and on to the dtype, ties to even; overflow gives an infinity.

    Both frameworks round a Python float to the 16-bit types by way of float32.

    >>> round_to(1e-12, "float16"), round_to(0.1, "bfloat16")
    (0.0, 0.10009765625)
    """
    if dtype == "float64" or not math.isfinite(value):
        return value
    value = _round_to_format(value, "float32")
    return value if dtype == "float32" else _round_to_format(value, dtype)


_DIGITS = {"float16": (11, -24), "bfloat16": (8, -133), "float32": (24, -149)}
"""Binary digits of the significand, and the exponent of the smallest subnormal."""


def _round_to_format(value: float, dtype: str) -> float:
    # The cache, which takes -0.0 for 0.0, is of magnitudes.
    return math.copysign(_round_magnitude(abs(value), dtype), value)


@functools.lru_cache(maxsize=256)
def _round_magnitude(value: float, dtype: str) -> float:
    """Round by arithmetic of whole numbers.

    How a processor rounds depends on the thread: those of MindSpore's pool flush subnormals to 0.
    """
    if not math.isfinite(value):
        return value
    digits, lowest = _DIGITS[dtype]
    exponent = max(math.frexp(value)[1] - digits, lowest)
    numerator, denominator = value.as_integer_ratio()
    numerator <<= max(-exponent, 0)
    denominator <<= max(exponent, 0)
    steps, rest = divmod(numerator, denominator)
    steps += 2 * rest > denominator or (2 * rest == denominator and steps % 2)
    rounded = math.ldexp(steps, exponent)
    return math.inf if rounded > LARGEST[dtype] else rounded
