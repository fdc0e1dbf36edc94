"""The two formulas and their derivatives, evaluated to 60 digits; what errors are measured against.

How the formula is evaluated: every input value is taken as the exact number that it is, and

    y = x / max(||x||_p, floor)

is computed in arithmetic of 60 digits without a bound on the exponent, so nothing overflows,
nothing is flushed, and no rounding is visible at the precision of a dtype. The one thing that is
rounded is epsilon, as both functions round it before anything else: torch to the dtype of the norm
(`normalize_floor`), MindSpore to float32 and then to the dtype, and then it bounds the sum of
squares, so that the floor of the norm is its square root (`l2_normalize_floor`).

The derivative is the one that this forward implies, with these conventions where it has none:
an element that is 0 contributes no derivative of the norm, elements that tie for p = +-inf share it
equally, and at ||x||_p == floor the caller says which side counts.

Arrays hold mpmath numbers (dtype object). Input must be finite and without NaN, and the divisor
not 0: special values are tested by comparison with the live functions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import mpmath
import numpy as np

_mp = mpmath.MPContext()
_mp.dps = 60
_CLOSE = _mp.mpf(10) ** -50


class Format(NamedTuple):
    """A binary floating-point format: bits of the significand, exponents of normal numbers."""

    precision: int
    smallest: int
    largest: int


FORMATS = {
    "float16": Format(11, -14, 15),
    "bfloat16": Format(8, -126, 127),
    "float32": Format(24, -126, 127),
    "float64": Format(53, -1022, 1023),
}
FORMATS["complex64"] = FORMATS["float32"]
FORMATS["complex128"] = FORMATS["float64"]


def _each(function):
    """Apply a function to every element of an array; the result has dtype object."""
    ufunc = np.frompyfunc(function, 1, 1)
    return lambda array: np.asarray(ufunc(array), dtype=object)


_exact_real = _each(lambda value: _mp.mpf(float(value)))
_exact_complex = _each(lambda value: _mp.mpc(complex(value)))
_absolute = _each(abs)
_conjugate = _each(_mp.conj)
_real_part = _each(_mp.re)
_imaginary_part = _each(_mp.im)
_sign = _each(_mp.sign)


def exact(array) -> np.ndarray:
    """Return the values of an array or a nested list as they are, without rounding."""
    array = np.asarray(array)
    if array.dtype == object:
        return array
    return _exact_complex(array) if array.dtype.kind == "c" else _exact_real(array)


# --- the formula ----------------------------------------------------------------------------------


def normalize_floor(eps: float, dtype: str):
    """Return torch's eps, rounded to the dtype of the norm."""
    return _mp.mpf(_rounded(eps, dtype))


def l2_normalize_floor(epsilon: float, dtype: str):
    """Return the root of MindSpore's epsilon, which is rounded to float32 and then to the dtype."""
    return _mp.sqrt(_rounded(_rounded(epsilon, "float32"), dtype))


def norm(x, p: float, dims) -> np.ndarray:
    """Return ||x||_p over dims, which stay as dims of size 1."""
    a = _absolute(exact(x))
    axes = _axes(dims, a.ndim)
    if p == 0:
        return _exact_real(np.sum(a != 0, axis=axes, keepdims=True))
    if math.isinf(p):
        return _kept(np.max if p > 0 else np.min, a, axes)
    return _each(lambda total: total ** (1 / _mp.mpf(p)))(_kept(np.sum, _power(a, p), axes))


def forward(x, p: float, dims, floor) -> np.ndarray:
    """Return x / max(||x||_p, floor)."""
    return np.asarray(exact(x) / _divisor(norm(x, p, dims), floor), dtype=object)


def vjp(x, g, p: float, dims, floor, *, passes_at_floor: bool) -> np.ndarray:
    """Return the product of the cotangent g with the Jacobian of `forward`.

    Complex tensors count as pairs of reals: the result is the gradient of ``Re(sum(conj(g) * y))``
    with respect to the real part, plus i times that with respect to the imaginary part.

    Args:
        x, g: input and cotangent, of the same shape.
        p, dims, floor: as for `forward`.
        passes_at_floor: whether a norm equal to the floor is differentiated (torch: where
            ``norm >= eps``) or counts as the constant (MindSpore: unless ``sum > epsilon``).
    """
    x, g = exact(x), exact(g)
    n = norm(x, p, dims)
    divisor = _divisor(n, floor)
    projection = _kept(np.sum, _real_part(g * _conjugate(x)), _axes(dims, x.ndim))
    # Two norms that are equal may differ in the last of the 60 digits.
    passes = n >= floor * (1 - _CLOSE) if passes_at_floor else n > floor * (1 + _CLOSE)
    through_norm = projection / (divisor * divisor) * norm_derivative(x, p, dims)
    return np.asarray(g / divisor - np.where(passes, through_norm, _mp.mpf(0)), dtype=object)


def norm_derivative(x, p: float, dims) -> np.ndarray:
    """Return the derivative of ||x||_p with respect to each element of x."""
    x = exact(x)
    a, sign = _absolute(x), _sign(x)
    n = norm(x, p, dims)
    if p == 0:
        return sign * 0
    if math.isinf(p):
        ties = _exact_real(a == n)
        return sign * (ties / _kept(np.sum, ties, _axes(dims, x.ndim)))
    share = a / np.where(n == 0, _mp.mpf(1), n)
    return sign * np.where(a == 0, _mp.mpf(0), _power(np.where(a == 0, _mp.mpf(1), share), p - 1))


def gradient_scale(x, g, p: float, dims, floor) -> np.ndarray:
    """Return the size that the gradient of each vector would have if nothing cancelled.

    That is ``||g||_2 / d`` for p = 1 and 2, where the part through the norm is never larger; for
    other orders it can be, and then it counts.
    """
    x, g = exact(x), exact(g)
    axes = _axes(dims, x.ndim)
    divisor = _divisor(norm(x, p, dims), floor)
    projection = _kept(np.sum, _absolute(g) * _absolute(x), axes) / divisor
    steepest = _kept(np.max, _absolute(norm_derivative(x, p, dims)), axes)
    return np.maximum(norm(g, 2, dims), projection * steepest) / divisor


def _divisor(n: np.ndarray, floor) -> np.ndarray:
    return np.where(n < floor, floor, n)


def _power(a: np.ndarray, p: float) -> np.ndarray:
    exponent = _mp.mpf(p)
    if p >= 0:
        return a**exponent
    return _each(lambda value: value**exponent if value else _mp.inf)(a)


def _kept(reduction, a: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    return np.asarray(reduction(a, axis=axes, keepdims=True), dtype=object)


def _axes(dims, ndim: int) -> tuple[int, ...]:
    """Return dims as both functions take them: None and () are all of them."""
    if ndim == 0:
        return ()
    if dims is None or (isinstance(dims, Sequence) and not dims):
        return tuple(range(ndim))
    return tuple(dims) if isinstance(dims, Sequence) else (dims,)


# --- rounding and errors --------------------------------------------------------------------------


def _rounded(value: float, dtype: str) -> float:
    """Round to a dtype, ties to even; the 16-bit types by way of float32, as both frameworks do."""
    if dtype in ("float64", "complex128"):
        return float(value)
    with np.errstate(over="ignore"):
        single = np.float32(value)
        if dtype == "float16":
            return float(np.float16(single))
    return _rounded_to_bfloat16(single) if dtype == "bfloat16" else float(single)


def _rounded_to_bfloat16(single: np.float32) -> float:
    """A finite bfloat16 is a float32 whose lower 16 bits are 0."""
    bits = int(single.view(np.uint32))
    bits += 0x7FFF + (bits >> 16 & 1)
    return float(np.uint32(bits & 0xFFFF0000).view(np.float32))


def error_in_ulp(got, exact_value, dtype: str) -> np.ndarray:
    """Return |got - exact| in units in the last place of the exact value, as float64.

    The unit is the distance between neighbours in the dtype, so among subnormals it is the smallest
    one. An infinity counts as the first number that is too large for the dtype, for ``got`` and for
    the exact value, so that overflow is right where the exact value overflows. A NaN is infinitely
    wrong. The error of a complex number is the larger one of its parts.
    """
    form = FORMATS[dtype]
    got = np.asarray(got)
    if got.dtype.kind == "c":
        return np.maximum(
            error_in_ulp(got.real, _real_part(exact_value), dtype),
            error_in_ulp(got.imag, _imaginary_part(exact_value), dtype),
        )
    one = np.frompyfunc(lambda value, true: _one_error(value, true, form), 2, 1)
    with np.errstate(over="ignore"):
        return np.asarray(one(got, exact_value), dtype=np.float64)


def violations(got, emulated, exact_value, dtype: str) -> np.ndarray:
    """Return where parity="semantic" breaks its promise.

    The promise: the error is at most 4 ULP, or twice that of the emulated function on the same
    input, whichever is larger.
    """
    own = error_in_ulp(emulated, exact_value, dtype)
    return error_in_ulp(got, exact_value, dtype) > np.maximum(4.0, 2.0 * own)


def _one_error(got, true, form: Format) -> float:
    got, true = float(got), _bounded(true, form)
    if math.isnan(got):
        return math.inf
    exponent = max(_exponent(true), form.smallest) if true else form.smallest
    return float(_mp.ldexp(abs(_bounded(_mp.mpf(got), form) - true), form.precision - 1 - exponent))


def _bounded(value, form: Format):
    overflow = _mp.ldexp(1, form.largest + 1)
    return max(min(value, overflow), -overflow)


def _exponent(value) -> int:
    """Return e with 2**e <= |value| < 2**(e + 1)."""
    return _mp.frexp(abs(value))[1] - 1


def relative_error(got, exact_value, scale, dtype: str) -> np.ndarray:
    """Return |got - exact| / max(scale, |exact|), in units of the dtype's machine epsilon.

    For gradients, in which g/d and the part through the norm may cancel: the scale is
    `gradient_scale`. A unit is at least the smallest subnormal. Infinities and NaN count as in
    `error_in_ulp`.
    """
    got, exact_value = np.asarray(got), np.asarray(exact_value)
    if got.dtype.kind == "c":
        return np.maximum(
            relative_error(got.real, _real_part(exact_value), scale, dtype),
            relative_error(got.imag, _imaginary_part(exact_value), scale, dtype),
        )
    form = FORMATS[dtype]
    one = np.frompyfunc(lambda *values: _one_relative_error(*values, form), 3, 1)
    return np.asarray(one(got, exact_value, scale), dtype=np.float64)


def _one_relative_error(got, true, scale, form: Format) -> float:
    got, true = float(got), _bounded(true, form)
    if math.isnan(got):
        return math.inf
    size = max(_bounded(_mp.mpf(scale), form), abs(true))
    unit = max(
        _mp.ldexp(size, 1 - form.precision), _mp.ldexp(1, form.smallest - form.precision + 1)
    )
    return float(abs(_bounded(_mp.mpf(got), form) - true) / unit)
