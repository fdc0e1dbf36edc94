"""One kernel on several cores: threads of this process share out its units of work.

Kernels hold no lock of the interpreter, so Python's own threads do. They are safe after a fork and
from concurrent callers, which Numba's threading layers are not. A call waits for units of work and
not for threads: one that comes late finds nothing to do.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import threading
import time
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any, TypeAlias

import numba
import numpy as np
from numba import types

from portnorm.exact.machine.compilation import kernel, part, subroutine
from portnorm.exact.machine.pointers import smaller
from portnorm.exact.machine.target import instruction

SMALLEST_WORK = 1 << 20
"""Elements below which another thread costs more than it saves."""

_Tasks: TypeAlias = "SimpleQueue[list[Any] | None]"

_TAKEN, _DONE, _UNITS, _SHARES = range(4)
"""What a queue holds: units taken, units done, all units, and shares into which they fall."""
_NEW_QUEUE = np.array((0, 0, 0, 1), np.int64)


def run(
    kernel: Callable[..., None],
    units: int,
    elements: int,
    scratch: tuple[int, Any],
    *arguments: Any,
) -> None:
    """Call ``kernel(queue, buffer, *arguments)`` in this thread, and in others if it is worth it.

    Each call takes units from the queue, with `take` and `take_next`, until none is left. An
    exception such as KeyboardInterrupt may come while other threads still work: they finish the
    unit that they have and take no other one, and the arguments, which have to own their memory,
    live until then.

    Args:
        kernel: what is called.
        units: how many units of work there are.
        elements: how many elements they have together.
        scratch: length and dtype of the buffer, of which each call has its own.
        arguments: what all calls have in common.
    """
    queue = _NEW_QUEUE.copy()
    if _thread.rehearses:
        kernel(queue, np.empty(*scratch), *arguments)
        _all_done(queue)
        return
    queue[_UNITS] = units
    if elements < SMALLEST_WORK:
        kernel(queue, np.empty(*scratch), *arguments)
        return
    workers = queue[_SHARES] = min(cores(), units)
    task = [kernel, queue, scratch, arguments]
    try:
        for _ in range(workers - 1):
            _submit(task)
        kernel(queue, np.empty(*scratch), *arguments)
        while workers > 1 and not _all_done(queue):
            time.sleep(0)  # Another thread may need this core.
    except BaseException:
        queue[_TAKEN] = units
        raise
    finally:
        task.clear()  # A thread that comes late would keep the memory from the next call.


class _Thread(threading.local):
    rehearses = False


_thread = _Thread()


@contextlib.contextmanager
def rehearsal() -> Iterator[None]:
    """Compile what is called in this thread, and compute nothing: results hold anything."""
    _thread.rehearses = True
    try:
        yield
    finally:
        _thread.rehearses = False


@subroutine
def take(queue: Any) -> Any:
    """Return a unit that no other thread gets, or -1 where none is left.

    Units that are taken one after the other lie far apart, for two threads that write to one page
    of memory for the first time hold each other up.
    """
    taken = _add(queue, _TAKEN, 1)
    units, shares = queue[_UNITS], queue[_SHARES]
    if taken >= units:
        return -1
    share, place = taken % shares, taken // shares
    return share * (units // shares) + smaller(share, units % shares) + place


@part
def take_next(queue: Any) -> Any:
    """Say that one unit is done, and take another."""
    _add(queue, _DONE, 1)
    return take(queue)


def _add(queue: Any, index: int, added: int) -> Any:
    """Add to an entry, which no other thread can come between; return what it was."""
    previous = queue[index]
    queue[index] += added
    return previous


@instruction(_add)
def _atomic_add(queue: Any, index: Any, added: Any) -> Any:
    def generate(context: Any, builder: Any, arguments: Any) -> Any:
        first = arguments[0]
        if isinstance(queue, types.Array):
            first = context.make_array(queue)(context, builder, first).data
        entry = builder.gep(first, [arguments[1]])
        return builder.atomic_rmw("add", entry, arguments[2], "seq_cst")

    return types.int64(queue, types.int64, types.int64), generate


@kernel
def _all_done(queue: Any) -> bool:
    """Wait a little for the units that other threads work on; return whether all are done."""
    done = _add(queue, _DONE, 0)
    for _ in range(100):
        if done < queue[_UNITS]:
            done = _add(queue, _DONE, 0)
    return bool(done == queue[_UNITS])


def _submit(task: list[Any]) -> None:
    tasks = _tasks(os.getpid())
    if tasks is not None:
        tasks.put(task)


@functools.cache
def cores() -> int:
    """Return how many cores this process may use; in plain Python units cannot be shared out."""
    if numba.config.DISABLE_JIT:
        return 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_pools: dict[int, _Tasks | None] = {}


def _tasks(process: int) -> _Tasks | None:
    """Return what threads take kernels from, or None where no thread can be started.

    A child process does not inherit the threads of its parent: it gets its own.
    """
    if process not in _pools:
        tasks: _Tasks = SimpleQueue()
        if _pools.setdefault(process, tasks) is tasks:  # No other thread was here first.
            try:
                atexit.register(_end_workers)
                for _ in range(max(1, cores() - 1)):
                    _Worker(tasks).start()
            except RuntimeError:  # The interpreter shuts down, or a limit is reached.
                _pools[process] = None
            except BaseException:  # an interrupt: nobody may be there to serve these tasks
                _pools.pop(process, None)
                raise
    return _pools.get(process)


class _Worker(threading.Thread):
    def __init__(self, tasks: _Tasks) -> None:
        super().__init__(name="portnorm", daemon=True)
        self.tasks = tasks

    def run(self) -> None:
        while (shared := self.tasks.get()) is not None:
            task = tuple(shared)
            if task:
                kernel, queue, scratch, arguments = task
                # What raises it takes no unit, so the caller does without this thread.
                with contextlib.suppress(MemoryError):
                    kernel(queue, np.empty(*scratch), *arguments)
                del task, kernel, queue, arguments  # Their memory is not to wait for the next task.


def _end_workers() -> None:
    """Wait for the threads of this process, before the interpreter shuts down.

    It would end a thread at its next step in Python. Where that thread is just freeing a tensor,
    which only it still refers to, C++ ends the whole process.
    """
    _pools[os.getpid()] = None
    workers = [thread for thread in threading.enumerate() if isinstance(thread, _Worker)]
    for worker in workers:
        worker.tasks.put(None)
    for worker in workers:
        worker.join()
