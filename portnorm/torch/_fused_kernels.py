"""The Triton kernels of `_fused`: the arithmetic of a vector, and its three ways over the memory.

Sums are in float64, where the products of float32 numbers are exact. With rounded products the
gradient would lose all digits of an element whose cotangent is small.
"""

from __future__ import annotations

import triton
import triton.language as tl

# --- the arithmetic of a vector -------------------------------------------------------------------
# t are elements of x, h those of the cotangent, in tiles of B vectors by N elements.


@triton.jit
def _dot(t, h, n):
    """Return the sums of t * h in float64, to about one rounding, and what that one took off."""
    if t.dtype == tl.float64:
        # No type is wider. As in `_semantic._sum`, the upper parts add up exactly, and the rounding
        # of the lower ones does not matter.
        terms = t * h
        unit = (4.0 * n * tl.max(tl.abs(terms), 1))[:, None]
        upper = tl.where(2.0 * unit < float("inf"), (terms + unit) - unit, 0.0)
        large = tl.sum(upper, 1)
        small = tl.sum(tl.fma(t, h, -upper), 1)
        total = large + small
        lost = small - (total - large)
    else:
        wide = t.to(tl.float32).to(tl.float64) * h.to(tl.float32).to(tl.float64)
        total = tl.sum(wide, 1)
        lost = tl.zeros_like(total)
    return total, lost


@triton.jit
def _inverse_norm(squares, epsilon, DOUBLE: tl.constexpr):
    """Return r, down, rest and above: 1 / norm is r * down, and down is a power of two.

    ``rest`` is the square of 1 / r. The power keeps r between 2**-64 and 2**64 whatever the norm
    is, so that float32 holds it. ``above`` tells where the sum is what counts. In float64, which
    has no wider type for 1 / norm, r is the root of ``rest``: elements are divided by it.
    """
    above = squares > epsilon  # not where it is NaN or a tie
    floored = tl.where(above, squares, epsilon).to(tl.float64)
    exponent = (floored.to(tl.int64, bitcast=True) >> 52) & 0x7FF
    # At the floor r is 1 at least: beside a NaN there may be elements that are larger than the
    # floor, and they must not overflow before they are multiplied by r.
    half = ((exponent - 1023) >> 1) + tl.where(above, 0, 1)
    if not DOUBLE:
        half = tl.minimum(tl.maximum(half, -126), 126)
    down = ((1023 - half) << 52).to(tl.float64, bitcast=True)
    rest = floored * down * down
    if DOUBLE:
        r = tl.sqrt(rest)
    else:
        # One step of Newton's method, to 44 bits: a square root in float64 for each short vector
        # would take longer than the memory does.
        r = tl.rsqrt(rest.to(tl.float32)).to(tl.float64)
        r = r * (1.5 - 0.5 * rest * r * r)
        r = tl.where(rest == float("inf"), 0.0, r)
    return r, down, rest, above


@triton.jit
def _quotient(t, r, down):
    """Return t / norm, rounded about once."""
    if t.dtype == tl.float64:
        y = t * down[:, None] / r[:, None]
    elif t.dtype == tl.float32:
        # Conversions to float64 are slow. Two float32 numbers have the bits of r that matter; both
        # are positive, or -0 would lose its sign.
        high = (r - r * 1.2e-7).to(tl.float32)
        low = (r - high.to(tl.float64)).to(tl.float32)
        scaled = t * down.to(tl.float32)[:, None]
        y = tl.fma(scaled, high[:, None], scaled * low[:, None])
    else:
        y = t.to(tl.float32) * (r * down).to(tl.float32)[:, None]
    return y


@triton.jit
def _derivative(t, h, dot, squares, inverse, above):
    """Return (h - t * dot / squares) / norm, at the floor h / norm."""
    share = dot / squares
    if t.dtype == tl.float16:
        share = share.to(tl.float32)
        inverse = inverse.to(tl.float32)
        t = t.to(tl.float32)
        h = h.to(tl.float32)
    else:
        t = t.to(tl.float64)
        h = h.to(tl.float64)
    # Not share = 0 at the floor: there a NaN of x is not in the gradient.
    h = tl.where(above[:, None], tl.fma(-t, share[:, None] + tl.zeros_like(t), h), h)
    return h * inverse[:, None]


@triton.jit
def _derivative_of_float64(t, h, n, r, down, rest, lost, above):
    """Return the same for float64, where ``rest`` + ``lost`` are the squares of t * down."""
    # Scaled by a power of two, elements are at most 2, and their products do not overflow.
    t = t * down[:, None]
    dot, more = _dot(t, h, n)
    share = dot / rest
    # The three roundings up to here would be the largest part of the error.
    more = (tl.fma(-share, rest, dot) + tl.fma(-share, lost * down * down, more)) / rest
    more = tl.where(tl.abs(more) < float("inf"), more, 0.0)
    zeros = tl.zeros_like(t)
    through_norm = tl.fma(-t, more[:, None] + zeros, tl.fma(-t, share[:, None] + zeros, h))
    return tl.where(above[:, None], through_norm, h) * down[:, None] / r[:, None]


@triton.jit
def _starts(v, n, inner):
    """Return where vectors begin in memory."""
    return (v // inner).to(tl.int64) * (n * inner) + v % inner


# --- the kernels ----------------------------------------------------------------------------------


@triton.jit
def whole(
    x, g, out, vectors, n, inner, epsilon,
    B: tl.constexpr, N: tl.constexpr, GRADIENT: tl.constexpr,
):  # fmt: skip
    """Normalize whole vectors, or take them back to the gradient."""
    v = tl.program_id(0) * B + tl.arange(0, B)
    j = tl.arange(0, N)[None, :]
    at = _starts(v, n, inner)[:, None] + j * inner
    inside = (v < vectors)[:, None] & (j < n)
    DOUBLE: tl.constexpr = x.dtype.element_ty == tl.float64
    t = tl.load(x + at, inside, 0.0)
    squares, lost = _dot(t, t, n)
    r, down, rest, above = _inverse_norm(squares, epsilon, DOUBLE)
    if GRADIENT:
        h = tl.load(g + at, inside, 0.0)
        if DOUBLE:
            result = _derivative_of_float64(t, h, n, r, down, rest, lost, above)
        else:
            dot, _lost = _dot(t, h, n)
            result = _derivative(t, h, dot, squares, r * down, above)
    else:
        result = _quotient(t, r, down)
    tl.store(out + at, result.to(out.dtype.element_ty), inside)


@triton.jit
def add_parts(
    x, g, sums, vectors, n, inner, length, parts,
    B: tl.constexpr, N: tl.constexpr, GRADIENT: tl.constexpr,
):  # fmt: skip
    """Add up the squares, for the gradient also the products, of one part of some vectors."""
    v = tl.program_id(0) * B + tl.arange(0, B)
    part = tl.program_id(1)
    start = _starts(v, n, inner)[:, None]
    j = tl.arange(0, N)[None, :]
    squares = tl.zeros((B, N), tl.float64)
    products = tl.zeros((B, N), tl.float64)
    for k in range(part * length, tl.minimum(part * length + length, n), N):
        inside = (v < vectors)[:, None] & (k + j < n)
        at = start + (k + j) * inner
        t = tl.load(x + at, inside, 0.0).to(tl.float32).to(tl.float64)
        squares += t * t
        if GRADIENT:
            products += t * tl.load(g + at, inside, 0.0).to(tl.float32).to(tl.float64)
    at = part.to(tl.int64) * vectors + v
    tl.store(sums + at, tl.sum(squares, 1), v < vectors)
    if GRADIENT:
        at = (part + parts).to(tl.int64) * vectors + v
        tl.store(sums + at, tl.sum(products, 1), v < vectors)


@triton.jit
def finish_parts(
    x, g, out, sums, vectors, n, inner, length, parts, epsilon,
    B: tl.constexpr, N: tl.constexpr, P: tl.constexpr, GRADIENT: tl.constexpr,
):  # fmt: skip
    """Normalize one part of some vectors, or take it back to the gradient."""
    v = tl.program_id(0) * B + tl.arange(0, B)
    part = tl.program_id(1)
    start = _starts(v, n, inner)[:, None]
    j = tl.arange(0, N)[None, :]
    p = tl.arange(0, P)[None, :]
    there = (v < vectors)[:, None] & (p < parts)
    at = p.to(tl.int64) * vectors + v[:, None]
    squares = tl.sum(tl.load(sums + at, there, 0.0), 1)
    r, down, _rest, above = _inverse_norm(squares, epsilon, False)
    if GRADIENT:
        at = (p + parts).to(tl.int64) * vectors + v[:, None]
        dot = tl.sum(tl.load(sums + at, there, 0.0), 1)
    for k in range(part * length, tl.minimum(part * length + length, n), N):
        inside = (v < vectors)[:, None] & (k + j < n)
        place = start + (k + j) * inner
        t = tl.load(x + place, inside, 0.0)
        if GRADIENT:
            h = tl.load(g + place, inside, 0.0)
            result = _derivative(t, h, dot, squares, r * down, above)
        else:
            result = _quotient(t, r, down)
        tl.store(out + place, result.to(out.dtype.element_ty), inside)
