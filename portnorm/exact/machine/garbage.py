"""No garbage is collected while kernels are compiled, and while a framework calls back.

Python collects in whatever thread makes an object, and finalizers run there. A finalizer of
MindSpore waits for the graph that runs, which never ends if it waits for that thread. Compiling
makes a million objects, all needed, that would be looked through again and again.
"""

from __future__ import annotations

import gc
import os
import threading


class _Pauses:
    """How many there are at this moment, in all threads, and whether to collect after them."""

    lock = threading.Lock()
    count = 0
    collects = False


class no_garbage_collection:
    """Collect none in this process, in which another thread may do the same.

    >>> with no_garbage_collection():
    ...     print(gc.isenabled())
    False
    >>> gc.isenabled()
    True
    """

    # Not a generator: Python would make objects for it, and collect, once collecting is on again.

    def __enter__(self) -> None:
        with _Pauses.lock:
            if not _Pauses.count:
                _Pauses.collects = gc.isenabled()
                gc.disable()
            _Pauses.count += 1

    def __exit__(self, *error: object) -> None:
        with _Pauses.lock:
            _Pauses.count -= 1
            if not _Pauses.count and _Pauses.collects:
                gc.enable()


def _end_all() -> None:
    """End in a child process the pauses of threads that it has not got."""
    if _Pauses.count and _Pauses.collects:
        gc.enable()
    _Pauses.lock = threading.Lock()
    _Pauses.count = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_end_all)
