"""What commands show on a terminal: text in colour, and the progress of what takes a while."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.console import Console

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is in all."""

_PATIENCE = 1.0


def console(*, stderr: bool = False) -> Console:
    """Return what prints in colour on a terminal that wants it.

    Raises:
        ImportError: rich is not installed.
    """
    from rich.console import Console

    # rich keeps bold under NO_COLOR; without a colour system it writes no escape codes at all.
    system: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"
    return Console(stderr=stderr, color_system=system, highlight=False)


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
    from rich.progress import Progress as Bar

    bar = Bar(console=console(stderr=True), transient=True)
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
