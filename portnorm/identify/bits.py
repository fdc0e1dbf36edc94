"""Which builds of the frameworks give the very bits of an output."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from portnorm.identify.candidates import Candidate
from portnorm.identify.layouts import DROPPED, as_bfloat16, grain
from portnorm.reference import CUDA_DEVICES, MindSporeReference, TorchReference

Array = NDArray[Any]

_ON_CUDA = frozenset({0.0, 1.0, 2.0, math.inf, -math.inf})
"""Orders whose bits on a CUDA device are known."""

_THREADS = (1, 2, 4, 8, 16, 32)
_SERIAL, _LARGE = 2**15, 2**22
"""From so many elements on the number of threads counts; above, trying all would take long."""


def builds_with_these_bits(x: Array, y: Array, candidate: Candidate) -> tuple[str, ...]:
    """Return the builds, by name, whose function gives y for x in all bits.

    Only forms that a framework has a function for are tried, and only where x and y have one
    dtype, as the functions do.
    """
    if x.dtype != y.dtype or candidate.own_gradient:
        return ()
    if candidate.layout.transposed:
        x = np.swapaxes(x, -1, -2)
    if grain(x) > 1 and grain(y) > 1:
        x, y = as_bfloat16(x), as_bfloat16(y)
    tried = [*_of_torch(x, candidate), *_of_cuda(x, candidate), *_of_mindspore(x, candidate)]
    return tuple(name for name, compute in tried if _has_bits(compute, y))


def _has_bits(compute: Callable[[], Array], y: Array) -> bool:
    try:
        found = compute()
    except (TypeError, ValueError, RuntimeError):  # what the function of that build refuses
        return False
    if y.dtype == np.uint16:
        found, y = (one.astype(np.uint32) << DROPPED for one in (found, y))
        found, y = found.view(np.float32), y.view(np.float32)
    kind = f"u{y.dtype.itemsize}"
    same = np.ascontiguousarray(found).view(kind) == np.ascontiguousarray(y).view(kind)
    return bool((same | (np.isnan(found) & np.isnan(y))).all())


def _of_torch(x: Array, candidate: Candidate) -> Iterator[tuple[str, Callable[[], Array]]]:
    if candidate.form.counterpart != "normalize":
        return
    from portnorm.exact import torch_cpu

    given = candidate.p, candidate.layout.dim, candidate.e
    for reference in _torch_references(x.size):
        threads = f", {reference.threads} threads" if reference.threads > 1 else ""
        name = f"torch {reference.version} on a CPU ({reference.capability}{threads})"
        call = functools.partial(torch_cpu.normalize, x, *given, reference)
        yield name, call


def _of_cuda(x: Array, candidate: Candidate) -> Iterator[tuple[str, Callable[[], Array]]]:
    """Yield the computations on CUDA devices: on several ones only where blocks may share a sum."""
    if candidate.form.counterpart != "normalize" or candidate.p not in _ON_CUDA:
        return
    from portnorm.exact import torch_cuda

    given = candidate.p, candidate.layout.dim, candidate.e
    for name in CUDA_DEVICES if _has_several(x.size) else list(CUDA_DEVICES)[:1]:
        reference = TorchReference("2.11.0", "cuda", device=CUDA_DEVICES[name])
        call = functools.partial(torch_cuda.normalize, x, *given, reference)
        yield f"torch {reference.version} on a CUDA device ({name})", call


def _has_several(size: int) -> bool:
    """Return whether threads and devices may make several results that are all to be tried."""
    return _SERIAL <= size <= _LARGE


def _torch_references(size: int) -> Iterator[TorchReference]:
    for capability in ("avx2", "neon"):
        for threads in _THREADS if _has_several(size) else (1,):
            yield TorchReference(capability=capability, threads=threads)


def _of_mindspore(x: Array, candidate: Candidate) -> Iterator[tuple[str, Callable[[], Array]]]:
    if candidate.form.counterpart != "l2_normalize" or len(candidate.layout.axes) != 1:
        return
    from portnorm.exact import mindspore_cpu

    (axis,), reference = candidate.layout.axes, MindSporeReference()
    call = functools.partial(mindspore_cpu.l2_normalize, x, axis, candidate.e, reference)
    yield f"MindSpore {reference.version} on a CPU", call
