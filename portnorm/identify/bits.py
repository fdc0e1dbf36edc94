"""Which builds of the frameworks give the very bits of an output."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from portnorm.compare.ulp import ulp_distance
from portnorm.identify.candidates import Candidate
from portnorm.reference import MindSporeReference, TorchReference

Array = NDArray[Any]

_THREADS = (1, 2, 4, 8, 16, 32)
_SERIAL = 32768
"""From so many elements on the number of threads counts."""


def builds_with_these_bits(x: Array, y: Array, candidate: Candidate) -> tuple[str, ...]:
    """Return the builds, by name, whose function gives y for x in all bits.

    Only forms that a framework has a function for are tried, and only where x and y have one
    dtype, as the functions do.
    """
    if x.dtype != y.dtype or candidate.own_gradient:
        return ()
    if candidate.layout.transposed:
        x = np.swapaxes(x, -1, -2)
    tried = [*_of_torch(x, candidate), *_of_mindspore(x, candidate)]
    return tuple(name for name, compute in tried if _has_bits(compute, y))


def _has_bits(compute: Callable[[], Array], y: Array) -> bool:
    try:
        found = compute()
    except (TypeError, ValueError, RuntimeError):  # what the function of that build refuses
        return False
    same = ulp_distance(np.ascontiguousarray(found), np.ascontiguousarray(y)) == 0
    return bool((same & (np.signbit(found) == np.signbit(y)) | np.isnan(y)).all())


def _of_torch(x: Array, candidate: Candidate) -> Iterator[tuple[str, Callable[[], Array]]]:
    if candidate.form.counterpart != "normalize":
        return
    from portnorm.exact import torch_cpu

    axes = candidate.layout.axes
    dim = axes[0] if len(axes) == 1 else axes
    for reference in _torch_references(x.size):
        threads = f", {reference.threads} threads" if reference.threads > 1 else ""
        name = f"torch {reference.version} on a CPU ({reference.capability}{threads})"
        call = functools.partial(torch_cpu.normalize, x, candidate.p, dim, candidate.e, reference)
        yield name, call


def _torch_references(size: int) -> Iterator[TorchReference]:
    for capability in ("avx2", "neon"):
        for threads in _THREADS if size >= _SERIAL else (1,):
            yield TorchReference(capability=capability, threads=threads)


def _of_mindspore(x: Array, candidate: Candidate) -> Iterator[tuple[str, Callable[[], Array]]]:
    if candidate.form.counterpart != "l2_normalize" or len(candidate.layout.axes) != 1:
        return
    from portnorm.exact import mindspore_cpu

    (axis,), reference = candidate.layout.axes, MindSporeReference()
    call = functools.partial(mindspore_cpu.l2_normalize, x, axis, candidate.e, reference)
    yield f"MindSpore {reference.version} on a CPU", call
