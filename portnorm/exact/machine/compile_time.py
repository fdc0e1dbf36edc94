"""What compiling kernels takes in this process, and the line that says so meanwhile."""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from portnorm.exact.machine.garbage import no_garbage_collection
from portnorm.notice import say, while_it_lasts
from portnorm.options import get_options, options_of_thread

_PATIENCE = 1.0
"""Seconds of compiling, in all, after which the line is printed."""

_TRIAL = bytes(1 << 20)
"""More than the code of a kernel takes."""


class _Spent:
    seconds = 0.0
    depth = 0


_to_say = [True]
"""Empty once the line has been printed."""


def seconds_compiling() -> float:
    """Return what compiling kernels has taken so far in this process.

    >>> seconds_compiling() >= 0
    True
    """
    return _Spent.seconds


@contextlib.contextmanager
def compiling(name: str, folder: str | None) -> Iterator[None]:
    """Count the time, collect no garbage, and print the line while it lasts if it lasts.

    Numba's lock must be held.

    Args:
        name: of the kernel.
        folder: where its code will be kept; None if it will not.
    """
    if _Spent.depth:  # as part of another kernel
        yield
        return

    def tell() -> None:
        with contextlib.suppress(IndexError):  # another kernel was first
            _to_say.pop()
            say(_line(name, folder))

    started = time.perf_counter()
    _Spent.depth = 1
    try:
        with no_garbage_collection(), contextlib.ExitStack() as stack:
            if _to_say and _is_wanted():
                patience = max(0.0, _PATIENCE - _Spent.seconds)
                stack.enter_context(while_it_lasts(tell, patience))
            yield
    finally:
        _Spent.depth = 0
        _Spent.seconds += time.perf_counter() - started


def _is_wanted() -> bool:
    """Frameworks call kernels in threads of their own, for which the main thread has decided."""
    try:
        main = options_of_thread(threading.main_thread().ident or 0)
        return "off" not in (get_options().compile_notice, main.compile_notice)
    except ValueError:  # a variable that is wrong is an error of the call that reads it
        return True


def _line(name: str, folder: str | None) -> str:
    kept = "they cannot be kept: NUMBA_CACHE_DIR names a folder that can be written to"
    if folder is not None and _takes_files(folder):
        kept = f"they are kept in {folder}, for later processes"
    return f"compiling kernels such as {name}; {kept} (PORTNORM_COMPILE_NOTICE=off: no such line)"


def _takes_files(folder: str) -> bool:
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(_TRIAL)
    except OSError:
        return False
    return True
