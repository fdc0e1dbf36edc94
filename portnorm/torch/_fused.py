"""The formula of L2Normalize on CUDA tensors: one kernel for the value, one for the gradient.

On a GPU a call takes as long as its reads and writes of memory. The operators of `_semantic` read
and write the tensor again and again; these kernels, in Triton, read it once and write once.

In memory a dense tensor is (outer, n, inner): vector v = o * inner + i has its n elements inner
apart, whatever the order of the dims. A program takes B vectors, and N of their elements at once.

- "whole": all elements of its vectors fit into one program, which keeps them in registers.
- "split": long vectors are cut into parts, so that a few of them keep the whole GPU busy: one
  kernel adds up each part, a second one adds the sums of the parts and writes.

This module needs Triton, which comes with torch for CUDA. It is imported for CUDA tensors only.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple, cast

import torch
from torch import Tensor

from portnorm.torch import _semantic
from portnorm.torch._arguments import is_dense, is_plain, needs_gradient
from portnorm.torch._fused_kernels import add_parts, finish_parts, whole

# --- launches -------------------------------------------------------------------------------------

_MOST_ELEMENTS = 2**31 - 2**20
"""Above, indices inside of a tensor would need 64 bits, which are slower."""

_LONGEST_ROW = 16384
"""Elements of 4 bytes that the registers of one program hold."""

_MOST_CUT_ROWS = 64
"""Rows up to which cutting them into parts was measured to be fast."""

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
        N = full if whole else 4096 if vectors >= _FULL_GPU else 2048
        B = max(1, (1024 if n == full else 512) // N)
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
    if inner == 1 and n < full <= 512:
        warps = max(1, 512 // (32 * N))  # rows that begin at odd addresses: few threads read each
    if whole:
        return Launch(vectors, n, inner, B, N, warps, 0, n)
    if itemsize == 8:
        return None  # parts are added in float64 without the care that `_dot` takes
    tiles, groups = -(-n // N), -(-vectors // B)
    if inner == 1 and vectors >= _FULL_GPU:
        parts = 1
    elif inner == 1:
        # Parts of many rows, read side by side, took thirty times as long on an H200.
        if vectors > _MOST_CUT_ROWS or tiles > 2 * _MOST_PARTS:
            return None
        parts = min(tiles, _MOST_PARTS)
    else:
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
        whole[(groups,)](*tensors, out, vectors, n, inner, epsilon, **tile)
    else:
        sums = torch.empty((1 + gradient, parts, vectors), dtype=torch.float64, device=x.device)
        layout = vectors, n, inner, length, parts
        add_parts[groups, parts](*tensors, sums, *layout, **tile)
        finish_parts[groups, parts](
            *tensors, out, sums, *layout, epsilon, P=_power_of_2(parts), **tile
        )
    _launched.add((launch, x.dtype, gradient, device))
    return out


# --- what is called -------------------------------------------------------------------------------

_DTYPES = frozenset({torch.float16, torch.float32, torch.float64})
_OLDEST_CAPABILITY = (7, 0)  # of Triton


def is_served(x: Tensor, dim: int) -> bool:
    """Return whether the kernels take a CUDA tensor, in a call that only autograd looks at."""
    if not is_plain(x) or x.dtype not in _DTYPES or x.is_neg():
        return False
    launch = _launch(x, dim, False)
    if launch is None or (needs_gradient(x) and _launch(x, dim, True) is None):
        return False
    return _is_ready(x, launch, False)


def _launch(x: Tensor, dim: int, gradient: bool) -> Launch | None:
    return launch_of(x.shape, x.stride(), dim, x.itemsize, gradient)


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
    if needs_gradient(x):
        found: Tensor = _semantic.recorded(x, dim, epsilon, _value, _gradient)
        return found
    return _value(x, dim, epsilon)[0]


def _value(x: Tensor, dim: int, epsilon: float) -> tuple[Tensor]:
    return (run(x, None, cast(Launch, _launch(x, dim, False)), epsilon),)


def _gradient(x: Tensor, g: Tensor, dim: int, epsilon: float) -> Tensor:
    launch = _launch(x, dim, True)
    if launch is None or (x.is_cuda and not _is_ready(x, launch, True)):
        return _semantic.gradient(x, g, dim, epsilon, _semantic.divisor_of(x, dim, epsilon))
    if g.stride() != x.stride() or g.is_neg() or g._is_zerotensor():
        g = torch.empty_like(x).copy_(g)
    return run(x, g, launch, epsilon)
