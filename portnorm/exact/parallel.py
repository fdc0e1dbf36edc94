"""One kernel on several cores: threads of this process share out its units of work.

Kernels hold no lock of the interpreter, so Python's own threads do. They are safe after a fork and
from concurrent callers, which Numba's threading layers are not.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

SMALLEST_WORK = 1 << 20
"""Elements below which another thread costs more than it saves."""


def run(kernel: Callable[..., None], units: int, elements: int, *arguments: Any) -> None:
    """Call ``kernel(queue, units, *arguments)`` in this thread, and in others if it is worth it.

    Each call takes units from the queue (see `take`) until none is left. A thread calls but once,
    for to get back to the interpreter takes longer than many units do.
    """
    queue = np.zeros(1, np.int64)
    workers = 1 if elements < SMALLEST_WORK else min(cores(), units)
    others = [_submit(kernel, queue, units, *arguments) for _ in range(workers - 1)]
    kernel(queue, units, *arguments)
    for other in others:
        if other is not None and not other.cancel():
            other.result()


def take(queue: Any) -> Any:
    """Return the next unit; no other thread gets the same one."""
    unit = queue[0]
    queue[0] += 1
    return unit


@intrinsic  # type: ignore[untyped-decorator]
def _take(typing_context: Any, queue: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(queue)(context, builder, arguments[0]).data
        return builder.atomic_rmw("add", data, ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(queue), generate


@overload(take, strict=False)  # type: ignore[untyped-decorator]
def _compile_take(queue: Any) -> Callable[..., Any]:
    return lambda queue: _take(queue)


def _submit(function: Callable[..., None], *arguments: Any) -> Future[None] | None:
    try:
        return _pool(os.getpid()).submit(function, *arguments)
    except RuntimeError:  # the interpreter shuts down and takes no more work
        return None


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
