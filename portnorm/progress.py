"""A progress bar on stderr, for commands that take a while."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is in all."""

_PATIENCE = 1.0


@contextlib.contextmanager
def progress_bar() -> Iterator[Progress | None]:
    """Yield a function that shows progress on stderr, or None where that is no terminal.

    The bar appears after a second of work, and goes when all is done.

    Raises:
        ImportError: rich is not installed.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    bar = Bar(console=Console(stderr=True), transient=True)
    task = bar.add_task("")
    started: float | None = None

    def update(what: str, done: int, total: int) -> None:
        nonlocal started
        started = started or time.monotonic()
        if time.monotonic() - started > _PATIENCE:
            bar.start()
        bar.update(task, description=what, completed=done, total=total)

    try:
        yield update
    finally:
        bar.stop()
