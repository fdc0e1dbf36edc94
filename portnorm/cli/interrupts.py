"""Ctrl-C ends a command by KeyboardInterrupt, whatever a framework does to the signal.

MindSpore takes SIGINT over, below Python, when it runs its first operator, and answers it by
SIGTERM: nothing is cleaned up or shown. The moment is not known, and a script under `watch` has to
run that operator itself, so a thread looks for it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from portnorm.errors import InterruptedRunError

_T = TypeVar("_T")
_SECONDS = 0.05
_BYTES = 512
"""More than any system's `struct sigaction` has."""


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Keep Python's handler of SIGINT in place, unless Python code sets another one."""
    try:
        sigaction: Any = ctypes.CDLL(None).sigaction
    except (OSError, TypeError, AttributeError):  # Windows
        yield
        return
    handler = signal.getsignal(signal.SIGINT)
    if os.name != "posix" or handler is not signal.default_int_handler:
        yield
        return
    ours, found = (ctypes.create_string_buffer(_BYTES) for _ in range(2))
    sigaction(signal.SIGINT, None, ours)
    over = threading.Event()

    def keep() -> None:
        while not over.wait(_SECONDS):
            sigaction(signal.SIGINT, None, found)
            if found.raw != ours.raw and signal.getsignal(signal.SIGINT) is handler:
                sigaction(signal.SIGINT, ours, None)

    keeper = threading.Thread(target=keep, name="portnorm interrupts", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        over.set()


def so_far(run: Callable[[], Any]) -> tuple[Any, bool]:
    """Return the report of a run, or what it had when an interrupt came, and whether one came."""
    try:
        return run(), False
    except InterruptedRunError as stopped:
        return stopped.report, True


class Interruptible(Iterable[_T]):
    """What an iterable yields until an interrupt; `interrupted` tells whether one came."""

    def __init__(self, items: Iterable[_T]) -> None:
        self._items = items
        self.interrupted = False

    def __iter__(self) -> Iterator[_T]:
        try:
            yield from self._items
        except KeyboardInterrupt:
            self.interrupted = True

    def finish(self) -> None:
        """End the command, after what was found is shown.

        Raises:
            KeyboardInterrupt: one came before.
        """
        if self.interrupted:
            raise KeyboardInterrupt
