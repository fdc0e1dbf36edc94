"""One kernel on several cores: its units are shared out among threads of this process.

Kernels hold no lock of the interpreter, so Python's own threads do. They are safe after a fork and
from concurrent callers, which Numba's threading layers are not.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

SMALLEST_SHARE = 1 << 19
"""Elements below which another thread costs more than it saves."""


def run(kernel: Callable[..., None], units: int, elements: int, *arguments: Any) -> None:
    """Call ``kernel(first, last, *arguments)`` for ranges that cover ``units``, each once."""
    workers = (
        1 if elements < 2 * SMALLEST_SHARE else min(cores(), units, elements // SMALLEST_SHARE)
    )
    if workers == 1:
        kernel(0, units, *arguments)
        return
    bounds = [units * worker // workers for worker in range(workers + 1)]
    try:
        others = [
            _pool(os.getpid()).submit(kernel, first, last, *arguments)
            for first, last in itertools.pairwise(bounds[1:])
        ]
    except RuntimeError:  # the interpreter shuts down and takes no more work
        kernel(0, units, *arguments)
        return
    kernel(0, bounds[1], *arguments)
    for other in others:
        other.result()


@functools.cache
def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.lru_cache(maxsize=1)
def _pool(process: int) -> ThreadPoolExecutor:
    # A child process does not inherit the threads of its parent: it gets a pool of its own.
    return ThreadPoolExecutor(max(1, cores() - 1), thread_name_prefix="portnorm")
