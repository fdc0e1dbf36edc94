"""What commands show on a terminal: text in colour, and the progress of what takes a while."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal

from portnorm.notice import say, while_it_lasts

if TYPE_CHECKING:
    from rich.console import Console

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is in all."""


def no_progress(what: str, done: int, total: int) -> None:
    """Show nothing."""


_PATIENCE = 1.0
_BETWEEN_LINES = 5.0


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
def progress_bar(first: str) -> Iterator[Progress]:
    """Yield a function that shows progress on stderr: a bar, or lines where that is no terminal.

    The bar appears after a second, whether or not anything has been done by then, and goes when all
    is done. A line says every few seconds how far the work is.

    Args:
        first: what is being done until the function is called.

    Raises:
        ImportError: rich is not installed.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        state = first, 0, 0

        def keep(what: str, done: int, total: int) -> None:
            nonlocal state
            state = what, done, total

        with while_it_lasts(lambda: say(_as_line(*state)), _BETWEEN_LINES, _BETWEEN_LINES):
            yield keep
        return
    from rich.progress import Progress as Bar

    bar = Bar(console=console(stderr=True), transient=True)
    task = bar.add_task(first, total=None)

    def update(what: str, done: int, total: int) -> None:
        bar.update(task, description=what, completed=done, total=total or None)

    try:
        with while_it_lasts(bar.start, _PATIENCE):
            yield update
    finally:
        bar.stop()


def _as_line(what: str, done: int, total: int) -> str:
    return f"{what}: {done / total:.0%}" if total else what
