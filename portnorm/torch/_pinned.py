"""Memory of the host that a GPU copies to and from at full speed, kept from call to call.

Such memory is pinned: it cannot be moved or swapped out. Copies go at the speed of the bus, twenty
times as fast as those of new pageable memory, but to pin it takes longer than to copy pageable
memory once. torch keeps what was pinned, by powers of two, and hands it out again when the tensor
that had it is gone, whatever the thread; this module bounds how much that can be. Beyond the bound,
and for small tensors, pageable memory serves.

Copies here wait until they are done, on the stream of the caller, so that no kernel of any stream
still reads memory that is handed out again.
"""

from __future__ import annotations

import threading
import weakref
from collections import Counter

import torch
from torch import Tensor

from portnorm.torch._arguments import is_dense

SMALLEST = 2**20
"""Bytes from which pinned memory is worth its bookkeeping."""

MOST_KEPT = 2**32
"""Bytes that may be pinned, those in use and those that wait for the next call."""

_lock = threading.RLock()  # a finalizer may run while the thread holds it
_in_use: Counter[int] = Counter()
_kept: Counter[int] = Counter()


def to_host(x: Tensor) -> Tensor:
    """Return ``x.cpu()`` of a CUDA tensor, in pinned memory where it is dense and large enough."""
    memory = None
    if is_dense(x.shape, x.stride()) and not x._is_zerotensor():
        memory = _pinned(x.numel() * x.itemsize)
    if memory is None:
        return x.cpu()
    return memory.view(x.dtype).as_strided(x.shape, x.stride()).copy_(x)


def empty_strided(x: Tensor, strides: tuple[int, ...]) -> Tensor:
    """Return a new dense tensor like another one, in pinned memory where it is large enough."""
    memory = _pinned(x.numel() * x.itemsize)
    if memory is None:
        return x.new_empty_strided(x.shape, strides)
    return memory.view(x.dtype).as_strided(x.shape, strides)


def _pinned(size: int) -> Tensor | None:
    """Return pinned bytes, None where there are too few, or too many."""
    if size < SMALLEST:
        return None
    block = 1 << (size - 1).bit_length()
    with _lock:
        if not _has_room(block):
            _release()
            if not _has_room(block):
                return None
        try:
            memory = _pin(block)
        except RuntimeError:  # the system has no more memory to pin
            _release()
            return None
        _in_use[block] += 1
        _kept[block] = max(_kept[block], _in_use[block])
    weakref.finalize(memory.untyped_storage(), _give_back, block).atexit = False
    return memory[:size]


def _pin(size: int) -> Tensor:
    return torch.empty(size, dtype=torch.uint8, device="cpu", pin_memory=True)


def _has_room(block: int) -> bool:
    more = block if _in_use[block] == _kept[block] else 0
    return sum(size * count for size, count in _kept.items()) + more <= MOST_KEPT


def _give_back(block: int) -> None:
    with _lock:
        _in_use[block] -= 1


def _release() -> None:
    """Let torch unpin what no tensor has."""
    for name in ("_accelerator_emptyHostCache", "_host_emptyCache"):  # of torch 2.9, and before
        release = getattr(torch._C, name, None)
        if release is not None:
            release()
            _kept.clear()
            _kept.update(_in_use)
            return
