"""What is said on stderr, and while somebody waits. Standard library only."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator

from portnorm.text import one_line


def say(text: str) -> bool:
    """Print one line on stderr, and return whether that could be done."""
    try:
        sys.stderr.write(f"portnorm: {one_line(text)}\n")
        sys.stderr.flush()
    except (AttributeError, OSError, ValueError):  # None, full or closed
        return False
    return True


@contextlib.contextmanager
def while_it_lasts(
    tell: Callable[[], object], first: float, then: float | None = None
) -> Iterator[None]:
    """Call a function from another thread while the body runs, and never after it.

    Args:
        tell: is called.
        first: after so many seconds.
        then: and again after so many more; None for once only.
    """
    over = threading.Event()

    def wait() -> None:
        seconds: float | None = first
        while seconds is not None and not over.wait(seconds):
            tell()
            seconds = then

    thread = threading.Thread(target=wait, name="portnorm progress", daemon=True)
    started = False
    with contextlib.suppress(RuntimeError):  # no thread can be started: nothing is told
        thread.start()
        started = True
    try:
        yield
    finally:
        over.set()
        if started:
            thread.join()
