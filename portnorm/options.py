"""Which parity level the adapters use, and what they say about p.

One context variable holds the options, so a change is seen by the code that runs in the same
thread or asyncio task, and by no other. Standard library only.
"""

from __future__ import annotations

import functools
import os
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace
from types import TracebackType
from typing import Any, Literal

Parity = Literal["native", "semantic", "strict"]
UnsupportedP = Literal["warn", "raise", "allow"]

_ALLOWED: dict[str, tuple[str, ...]] = {
    "parity": ("native", "semantic", "strict"),
    "unsupported_p": ("warn", "raise", "allow"),
}


@dataclass(frozen=True)
class Options:
    """The options in force.

    Attributes:
        parity: ``"native"``, ``"semantic"`` or ``"strict"``: what an adapter guarantees when its
            own ``parity`` argument is None.
        unsupported_p: ``"warn"``, ``"raise"`` or ``"allow"``: what happens on MindSpore when p
            is one that L2Normalize does not have.
    """

    parity: Parity = "semantic"
    unsupported_p: UnsupportedP = "warn"

    def __post_init__(self) -> None:
        for field in fields(self):
            _check(field.name, getattr(self, field.name), field.name)


_current: ContextVar[Options | None] = ContextVar("portnorm_options", default=None)


def get_options() -> Options:
    """Return the options in force in this thread or task.

    They come from the nearest `set_options`, otherwise from the environment variables
    ``PORTNORM_PARITY`` and ``PORTNORM_UNSUPPORTED_P``, which are read once.

    Raises:
        ValueError: an environment variable holds an unknown value.

    >>> import portnorm
    >>> portnorm.get_options()
    Options(parity='semantic', unsupported_p='warn')
    """
    return _current.get() or _options_of_environment()


class set_options:
    """Set options; used in a ``with`` statement, put the old ones back at its end.

    The setting belongs to the thread or asyncio task that makes it. A new thread starts from
    the environment; ``contextvars.copy_context().run`` carries the options of one thread into
    another. Compiled graphs keep the options that were in force when they were compiled.

    Args:
        parity: ``"native"``, ``"semantic"`` or ``"strict"``.
        unsupported_p: ``"warn"``, ``"raise"`` or ``"allow"``.

    Raises:
        ValueError: an unknown value; nothing is changed then.
        TypeError: an unknown option.

    >>> import portnorm
    >>> with portnorm.set_options(parity="native"):
    ...     portnorm.get_options().parity
    'native'
    >>> portnorm.get_options().parity
    'semantic'
    """

    def __init__(
        self, *, parity: Parity | None = None, unsupported_p: UnsupportedP | None = None
    ) -> None:
        given = {"parity": parity, "unsupported_p": unsupported_p}
        changes: dict[str, Any] = {
            name: value for name, value in given.items() if value is not None
        }
        self._previous = _current.get()
        _current.set(replace(get_options(), **changes))

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _current.set(self._previous)


def resolve_parity(parity: Parity | None) -> Parity:
    """Return the given level, or the option's where it is None.

    Raises:
        ValueError: an unknown level.
    """
    if parity is None:
        return get_options().parity
    _check("parity", parity, "parity")
    return parity


@functools.cache
def _options_of_environment() -> Options:
    values: dict[str, Any] = {}
    for name in _ALLOWED:
        variable = f"PORTNORM_{name.upper()}"
        value = os.environ.get(variable)
        if value:
            _check(name, value, variable)
            values[name] = value
    return Options(**values)


def _check(option: str, value: object, shown_as: str) -> None:
    allowed = _ALLOWED[option]
    if value not in allowed:
        choices = ", ".join(map(repr, allowed))
        raise ValueError(f"{shown_as} must be one of {choices}, not {value!r}")
