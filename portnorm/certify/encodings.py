"""Encodings of floating-point numbers: drawn at random, compared, and shown.

Two results are the same if their encodings are: +0 is not -0. Any NaN is the same as any NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Format:
    """How a dtype encodes numbers.

    Attributes:
        dtype: its name.
        numpy: the dtype of the arrays that `portnorm.exact` takes for it.
        word: the unsigned integers of its width.
        mantissa: bits that are stored of the mantissa.
    """

    dtype: str
    numpy: np.dtype[Any]
    word: np.dtype[Any]
    mantissa: int

    @property
    def sign(self) -> int:
        """The encoding of -0."""
        return 1 << (8 * self.word.itemsize - 1)

    @property
    def infinity(self) -> int:
        """The encoding of inf; what is above it, up to the sign bit, are NaNs."""
        return self.sign - (1 << self.mantissa)

    @property
    def nan(self) -> int:
        """The encoding of a NaN, the quiet one without a payload."""
        return self.infinity | 1 << (self.mantissa - 1)

    @property
    def largest_exponent(self) -> int:
        """The exponent field of inf and NaN. That of 1 is half of it."""
        return self.infinity >> self.mantissa

    def power_of_two(self, exponent: int) -> int:
        """Return the encoding of ``2**exponent``, a normal number."""
        return (self.largest_exponent // 2 + exponent) << self.mantissa

    def hex(self, word: int) -> str:
        """Return the number that a word encodes as hexadecimal text."""
        array = np.array([word], self.word)
        if self.dtype == "bfloat16":
            array = array.astype(np.uint32) << np.uint32(16)
            return float(array.view(np.float32)[0]).hex()
        return float(array.view(self.numpy)[0]).hex()


def _format(dtype: str, width: int, mantissa: int) -> Format:
    word = np.dtype(f"u{width}")
    return Format(dtype, word if dtype == "bfloat16" else np.dtype(f"f{width}"), word, mantissa)


FORMATS = {
    found.dtype: found
    for found in (
        _format("float16", 2, 10),
        _format("bfloat16", 2, 7),
        _format("float32", 4, 23),
        _format("float64", 8, 52),
    )
}


# --- comparing ------------------------------------------------------------------------------------


def differing(a: Array, b: Array, form: Format) -> Array | None:
    """Return where two arrays of words differ, None if nowhere."""
    unequal = np.asarray(a != b)
    if not unequal.any():
        return None
    unequal = np.asarray(unequal & ~(is_nan(a, form) & is_nan(b, form)))
    return unequal if unequal.any() else None


def is_nan(words: Array, form: Format) -> Array:
    """Return which words encode a NaN."""
    result: Array = (words & form.word.type(form.sign - 1)) > form.word.type(form.infinity)
    return result


# --- drawing --------------------------------------------------------------------------------------


def draw_words(rng: np.random.Generator, count: int, form: Format, kind: str) -> Array:
    """Return the encodings of random numbers.

    Args:
        rng: the source.
        count: how many.
        form: the format.
        kind: one of `KINDS`.
    """
    words = rng.integers(0, 2 * form.sign - 1, count, form.word, endpoint=True)
    return KINDS[kind](words, form)


_Kind = Callable[[Array, Format], Array]
"""What makes numbers of a kind from words whose bits are random."""


def _binades(low: Callable[[Format], int], bits: int) -> _Kind:
    """Return the kind with ``2**bits`` values of the exponent field, from `low` on."""

    def limited(words: Array, form: Format) -> Array:
        word = form.word.type
        exponents = words >> word(form.mantissa)
        exponents &= word((1 << bits) - 1)
        exponents += word(low(form))
        exponents <<= word(form.mantissa)
        words &= word(2 * form.sign - 1 - form.infinity)
        words |= exponents
        return words

    return limited


def _around_one(exponent: int) -> Callable[[Format], int]:
    return lambda form: form.largest_exponent // 2 + exponent


def _few(words: Array, form: Format) -> Array:
    """Few magnitudes, so that many are equal to each other and to eps."""
    one, two = form.power_of_two(0), form.power_of_two(1)
    half, three = form.power_of_two(-1), two + (1 << (form.mantissa - 1))
    magnitudes = np.array([0, 0, half, one, one, one, two, three], form.word)
    return _signed(magnitudes[words & form.word.type(7)], words, form)


def _zeros(words: Array, form: Format) -> Array:
    """Zeros of both signs, and a one here and there."""
    magnitudes = np.zeros(16, form.word)
    magnitudes[0] = form.power_of_two(0)
    return _signed(magnitudes[words & form.word.type(15)], words, form)


def _signed(magnitudes: Array, words: Array, form: Format) -> Array:
    """Return the magnitudes with the signs of the words."""
    result: Array = magnitudes | (words & form.word.type(form.sign))
    return result


def _special(words: Array, form: Format) -> Array:
    """Ordinary numbers with every special one among them."""
    smallest_normal = 1 << form.mantissa
    close_to_subnormal = [1, smallest_normal - 1, smallest_normal]
    return _sprinkled(words, form, _not_subnormal(form) + close_to_subnormal)


def _special_but_subnormal(words: Array, form: Format) -> Array:
    """The same without those that are close to the subnormals."""
    return _sprinkled(words, form, _not_subnormal(form))


def _not_subnormal(form: Format) -> list[int]:
    infinity = form.infinity
    return [0, 0, infinity, infinity - 1, form.nan, form.nan | 1]


def _sprinkled(words: Array, form: Format, magnitudes: list[int]) -> Array:
    chosen = np.array(magnitudes, form.word)
    # The bits that choose are the lowest of the mantissa, which `_binades` leaves as they are.
    at = np.flatnonzero((words & form.word.type(31)) == 0)
    signs = words[at] & form.word.type(form.sign)
    words = _binades(_around_one(-4), 2)(words, form)
    words[at] = chosen[np.arange(len(at)) % len(chosen)] | signs
    return words


KINDS: dict[str, _Kind] = {
    "unit": _binades(_around_one(-4), 2),
    "wide": _binades(_around_one(-8), 4),
    "tiny": _binades(lambda form: 0, 3),
    "huge": _binades(lambda form: form.largest_exponent - 8, 3),
    "any": lambda words, form: words,
    "few": _few,
    "zeros": _zeros,
    "special": _special,
    "special_but_subnormal": _special_but_subnormal,
    "small": _binades(lambda form: form.largest_exponent // 2 * 3 // 4, 3),
    "large": _binades(lambda form: form.largest_exponent // 2 * 5 // 4, 3),
}
"""The kinds of numbers.

"tiny" has subnormals, "huge" overflows when squared and summed, "any" has every encoding.
"""
