"""What portnorm raises and warns of its own accord.

Bad arguments raise the framework's own error types; see `portnorm.semantics`.
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator
from types import FrameType
from typing import Any

LIBRARIES = frozenset({"portnorm", "torch", "mindspore"})
"""Frames of these packages are skipped when a warning looks for the user's line."""


class PortnormError(Exception):
    """Base of the errors that are portnorm's own."""


class StrictParityError(PortnormError):
    """The bits of the emulated function cannot be promised."""


class NativeParityError(PortnormError):
    """The host's own operator cannot do what was asked of it."""


class InterruptedRunError(KeyboardInterrupt):
    """An interrupt of a run that has found something already.

    Attributes:
        report: what was found before.
    """

    def __init__(self, report: Any) -> None:
        super().__init__()
        self.report = report


@contextlib.contextmanager
def interrupted_with(report: Any) -> Iterator[None]:
    """Let a KeyboardInterrupt carry what was found before it came.

    Raises:
        InterruptedRunError: one came.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        raise InterruptedRunError(report) from error


class UnsupportedPError(PortnormError, ValueError):
    """L2Normalize has no such p."""


class PortnormWarning(UserWarning):
    """Base of portnorm's warnings."""


class UnsupportedPWarning(PortnormWarning):
    """p is not one that L2Normalize has; portnorm computes the value itself."""


def warn_at_user_line(message: str, category: type[PortnormWarning]) -> None:
    """Warn at the innermost line that belongs to neither portnorm nor a framework.

    Python's default filter then shows the warning once for each such line.
    """
    level = 1
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _package_of(frame) in LIBRARIES:
        level += 1
        frame = frame.f_back
    warnings.warn(message, category, stacklevel=level + 1)


def _package_of(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]
