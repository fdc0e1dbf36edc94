"""The formula of L2Normalize on CUDA tensors: one kernel for the value, one for the gradient.

On a GPU a call takes as long as its reads and writes of memory. The operators of `_semantic` read
and write the tensor again and again; these kernels, in Triton, read it once and write once.

In memory a dense tensor is (outer, n, inner): vector v = o * inner + i has its n elements inner
apart, whatever the order of the dims. A program takes B vectors, and N of their elements at once.

- "whole": all elements of its vectors fit into one program, which keeps them in registers.
- "split": long vectors are cut into parts, so that a few of them keep the whole GPU busy: one
  kernel adds up each part, a second one adds the sums of the parts and writes.

Sums are in float64, where the products of float32 numbers are exact. With rounded products the
gradient would lose all digits of an element whose cotangent is small.

This module needs Triton, which comes with torch for CUDA. It is imported for CUDA tensors only.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple, cast

import torch
import triton
import triton.language as tl
from torch import Tensor

from portnorm.torch import _semantic
from portnorm.torch._arguments import is_dense, is_plain_call

# --- the arithmetic of a vector -------------------------------------------------------------------
# t are elements of x, h those of the cotangent, in tiles of B vectors by N elements.


@triton.jit
def _dot(t, h, n):
    """Return the sums of t * h in float64, to an error of about one rounding."""
    if t.dtype == tl.float64:
        # No type is wider. As in `_semantic._sum`, the upper parts add up exactly, and the rounding
        # of the lower ones does not matter.
        terms = t * h
        unit = (4.0 * n * tl.max(tl.abs(terms), 1))[:, None]
        upper = tl.where(2.0 * unit < float("inf"), (terms + unit) - unit, 0.0)
        total = tl.sum(upper, 1) + tl.sum(tl.fma(t, h, -upper), 1)
    else:
        wide = t.to(tl.float32).to(tl.float64) * h.to(tl.float32).to(tl.float64)
        total = tl.sum(wide, 1)
    return total


@triton.jit
def _inverse_norm(squares, epsilon, DOUBLE: tl.constexpr):
    """Return r, down, rest and above: 1 / norm is r * down, and down is a power of two.

    ``rest`` is the square of 1 / r. The power keeps r between 2**-64 and 2**64 whatever the norm
    is, so that float32 holds it. ``above`` tells where the sum is what counts.
    """
    above = squares > epsilon  # not where it is NaN or a tie
    floored = tl.where(above, squares, epsilon).to(tl.float64)
    exponent = (floored.to(tl.int64, bitcast=True) >> 52) & 0x7FF
    half = (exponent - 1023) >> 1
    if not DOUBLE:
        half = tl.minimum(tl.maximum(half, -126), 126)
    down = ((1023 - half) << 52).to(tl.float64, bitcast=True)
    rest = floored * down * down
    if DOUBLE:
        r = 1.0 / tl.sqrt(rest)  # float64 has no approximate root
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
        y = t * (r * down)[:, None]
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
def _starts(v, n, inner):
    """Return where vectors begin in memory."""
    return (v // inner).to(tl.int64) * (n * inner) + v % inner


# --- the kernels ----------------------------------------------------------------------------------


@triton.jit
def _whole(
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
    if GRADIENT:
        h = tl.load(g + at, inside, 0.0)
        squares = _dot(t, t, n)
        r, down, rest, above = _inverse_norm(squares, epsilon, DOUBLE)
        if DOUBLE:
            # Scaled by a power of two, elements are at most 2, and their products do not overflow.
            t = t * down[:, None]
            squares = rest
        result = _derivative(t, h, _dot(t, h, n), squares, r * down, above)
    else:
        r, down, rest, above = _inverse_norm(_dot(t, t, n), epsilon, DOUBLE)
        result = _quotient(t, r, down)
    tl.store(out + at, result.to(out.dtype.element_ty), inside)


@triton.jit
def _add_parts(
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
def _finish_parts(
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


# --- launches -------------------------------------------------------------------------------------

_MOST_ELEMENTS = 2**31 - 2**20
"""Above, indices inside of a tensor would need 64 bits, which are slower."""

_LONGEST_ROW = 16384
"""Elements of 4 bytes that the registers of one program hold."""

_SECTOR = 32
"""The bytes that a GPU reads at least, of which columns side by side use all."""

_FULL_GPU = 1024
"""Programs that keep any GPU of today busy."""

_MOST_PARTS = 256
"""Every part reads the sums of all parts."""


class Launch(NamedTuple):
    """How the kernels run on tensors of one layout.

    Attributes:
        vectors, n, inner: the tensor in memory.
        B, N: the vectors of a program, and the elements of each that it takes at once.
        warps: groups of 32 threads in a program.
        parts: into how many a vector is cut, 0 for the kernel that takes it whole.
        length: the elements of a part.
    """

    vectors: int
    n: int
    inner: int
    B: int
    N: int
    warps: int
    parts: int
    length: int


@functools.lru_cache(maxsize=1024)
def launch_of(
    shape: tuple[int, ...], strides: tuple[int, ...], dim: int, itemsize: int, gradient: bool
) -> Launch | None:
    """Return the launch for tensors of a layout, None where the kernels do not take them."""
    n, elements = shape[dim], math.prod(shape)
    if not (is_dense(shape, strides) and 0 < elements <= _MOST_ELEMENTS):
        return None
    inner = strides[dim] if n > 1 else 1
    vectors = elements // n
    full = _power_of_2(n)
    room = _LONGEST_ROW if itemsize < 8 else _LONGEST_ROW // 2
    if inner == 1:
        whole = full <= room
        N = full if whole else 4096
        B = max(1, 1024 // N)
        bytes_of_warp = 1024
    else:
        least = _SECTOR // itemsize
        whole = full * least <= (room if gradient else 2 * room)
        N = full if whole else 256
        B = max(least, min(8192 // N, 64)) if whole else 32
        bytes_of_warp = 2048
    B = min(B, _power_of_2(vectors))
    if not whole and inner > 1:
        N *= 32 // B
    warps = max(1, min(16, B * N * itemsize // bytes_of_warp))
    if whole:
        return Launch(vectors, n, inner, B, N, warps, 0, n)
    if itemsize == 8:
        return None  # parts are added in float64 without the care that `_dot` takes
    tiles, groups = -(-n // N), -(-vectors // B)
    parts = max(1, min(tiles, _MOST_PARTS, _FULL_GPU // groups))
    length = -(-tiles // parts) * N
    return Launch(vectors, n, inner, B, N, warps, -(-n // length), length)


def _power_of_2(n: int) -> int:
    return 1 << (n - 1).bit_length()


_launched: set[tuple[Launch, torch.dtype, bool, int]] = set()
"""What has run, and is compiled and loaded."""


def run(x: Tensor, g: Tensor | None, launch: Launch, epsilon: float) -> Tensor:
    """Return x normalized; with a cotangent, which has the layout of x, the gradient."""
    device = x.get_device()
    if x.is_cuda and device != torch.cuda.current_device():
        with torch.cuda.device(device):
            return run(x, g, launch, epsilon)
    out = torch.empty_like(x)
    gradient = g is not None
    tensors = x, g if gradient else x
    vectors, n, inner, B, N, warps, parts, length = launch
    groups = -(-vectors // B)
    tile = {"B": B, "N": N, "GRADIENT": gradient, "num_warps": warps}
    if not parts:
        _whole[(groups,)](*tensors, out, vectors, n, inner, epsilon, **tile)
    else:
        sums = torch.empty((1 + gradient, parts, vectors), dtype=torch.float64, device=x.device)
        layout = vectors, n, inner, length, parts
        _add_parts[groups, parts](*tensors, sums, *layout, **tile)
        _finish_parts[groups, parts](
            *tensors, out, sums, *layout, epsilon, P=_power_of_2(parts), **tile
        )
    _launched.add((launch, x.dtype, gradient, device))
    return out


# --- what is called -------------------------------------------------------------------------------

_PLAIN_TYPES = frozenset({Tensor, torch.nn.Parameter})
_DTYPES = frozenset({torch.float16, torch.float32, torch.float64})
_OLDEST_CAPABILITY = (7, 0)  # of Triton


def is_served(x: Tensor, dim: int) -> bool:
    """Return whether the kernels take a CUDA tensor, in a call that only autograd looks at."""
    if (
        type(x) not in _PLAIN_TYPES
        or x.dtype not in _DTYPES
        or x.is_nested
        or x.layout is not torch.strided
        or x.is_neg()
    ):
        return False
    launch = _launch(x, dim, False)
    if launch is None or (_needs_gradient(x) and _launch(x, dim, True) is None):
        return False
    return _is_ready(x, launch, False)


def _launch(x: Tensor, dim: int, gradient: bool) -> Launch | None:
    return launch_of(x.shape, x.stride(), dim, x.itemsize, gradient)


def _needs_gradient(x: Tensor) -> bool:
    return x.requires_grad and torch.is_grad_enabled()


def _is_ready(x: Tensor, launch: Launch, gradient: bool) -> bool:
    """Return whether a kernel can run now: while a CUDA graph is captured none can be loaded."""
    if (launch, x.dtype, gradient, x.get_device()) in _launched:
        return True
    return not torch.cuda.is_current_stream_capturing() and _works_on(x.get_device())


@functools.cache
def _works_on(device: int) -> bool:
    """Return whether Triton can compile here, which takes a C compiler and a place to write to."""
    if torch.version.cuda is None or torch.cuda.get_device_capability(device) < _OLDEST_CAPABILITY:
        return False
    try:
        x = torch.zeros((1, 1), device=f"cuda:{device}")
        run(x, None, cast(Launch, _launch(x, 1, False)), 1.0)
    except Exception:  # errors of compilers, linkers, drivers and the file system
        return False
    return True


def l2_normalize(x: Tensor, dim: int, epsilon: float) -> Tensor:
    """Return what `_semantic.l2_normalize` does, for a tensor that `is_served`."""
    if _needs_gradient(x):
        found: Tensor = _apply(x, dim, epsilon)
        return found
    return run(x, None, cast(Launch, _launch(x, dim, False)), epsilon)


class _L2Normalize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dim: int, epsilon: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.arguments = dim, epsilon
        return run(x, None, cast(Launch, _launch(x, dim, False)), epsilon)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        dim, epsilon = ctx.arguments
        launch = _launch(x, dim, True)
        if launch is None or not _is_plain_cotangent(g, x, launch):
            return _by_formula(x, g, dim, epsilon), None, None
        if g.stride() != x.stride() or g.is_neg() or g._is_zerotensor():
            g = torch.empty_like(x).copy_(g)
        return run(x, g, launch, epsilon), None, None


_apply = cast(Any, _L2Normalize).apply


def _is_plain_cotangent(g: Tensor, x: Tensor, launch: Launch) -> bool:
    """Return whether the kernel may run: a gradient of the gradient, or a batch, it cannot have."""
    return (
        not torch.is_grad_enabled()
        and is_plain_call()
        and type(g) is Tensor
        and type(x) in _PLAIN_TYPES
        and _has_memory(g)
        and (not x.is_cuda or _is_ready(x, launch, True))
    )


def _has_memory(g: Tensor) -> bool:
    try:
        g.data_ptr()
    except RuntimeError:  # a batch of torch.autograd.grad
        return False
    return True


def _by_formula(x: Tensor, g: Tensor, dim: int, epsilon: float) -> Tensor:
    """Return the gradient by operators of torch, differentiable where autograd is on."""
    differentiable = torch.is_grad_enabled()
    with torch.enable_grad():
        x = x if differentiable else x.detach().requires_grad_()
        y = _semantic.l2_normalize(x, dim, epsilon)
    (found,) = torch.autograd.grad(y, x, g, create_graph=differentiable)
    return found
