"""Text on a terminal."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.console import Console


def console(*, stderr: bool = False) -> Console:
    """Return what prints in colour on a terminal that wants it.

    Raises:
        ImportError: rich is not installed.
    """
    from rich.console import Console

    # rich keeps bold under NO_COLOR; without a colour system it writes no escape codes at all.
    system: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"
    return Console(stderr=stderr, color_system=system, highlight=False)
