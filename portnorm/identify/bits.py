"""Which builds of the frameworks give the very bits of an output."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from portnorm.errors import PortnormError
from portnorm.identify.candidates import Candidate
from portnorm.identify.layouts import DROPPED, as_bfloat16, grain
from portnorm.reference import CUDA_DEVICES, MindSporeReference, TorchReference, certified
from portnorm.reference.rules import CudaRules, TorchRules

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
    except (
        PortnormError,
        TypeError,
        ValueError,
        RuntimeError,
    ):  # what the function of that build refuses
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
    for label, reference in _cpu_builds():
        for threads in _THREADS if _has_several(x.size) else (1,):
            more = f" with {threads} threads" if threads > 1 else ""
            of_threads = replace(reference, threads=threads)
            call = functools.partial(torch_cpu.normalize, x, *given, of_threads)
            yield f"torch {label}{more}", call


@functools.cache
def _cpu_builds() -> tuple[tuple[str, TorchReference], ...]:
    """Return the builds of torch for CPUs whose bits are known, one for each set of rules.

    That of the default comes first, and then the newest.
    """
    groups: dict[TorchRules | CudaRules, list[TorchReference]] = {}
    for row in certified():
        if row.framework == "torch" and row.capability != "cuda":
            for version in row.versions:
                reference = TorchReference(version, row.capability)
                groups.setdefault(reference.rules, []).append(reference)
    first = TorchReference().rules
    newest_first = list(groups.values())[::-1]
    ordered = sorted(newest_first, key=lambda group: group[0].rules is not first)
    return tuple((_label(group), group[0]) for group in ordered)


def _label(group: list[TorchReference]) -> str:
    """Return the releases of a group, and their capabilities."""
    versions: dict[str, list[str]] = {}
    for reference in group:
        versions.setdefault(reference.capability, []).append(reference.version)
    spans: dict[str, list[str]] = {}
    for capability, (oldest, *newer) in versions.items():
        span = f"{oldest} to {newer[-1]}" if newer else oldest
        spans.setdefault(span, []).append(capability)
    return " or ".join(f"{span} on a CPU ({', '.join(of)})" for span, of in spans.items())


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


def _of_mindspore(x: Array, candidate: Candidate) -> Iterator[tuple[str, Callable[[], Array]]]:
    if candidate.form.counterpart != "l2_normalize" or len(candidate.layout.axes) != 1:
        return
    from portnorm.exact import mindspore_cpu

    (axis,), reference = candidate.layout.axes, MindSporeReference()
    call = functools.partial(mindspore_cpu.l2_normalize, x, axis, candidate.e, reference)
    yield f"MindSpore {reference.version} on a CPU", call
