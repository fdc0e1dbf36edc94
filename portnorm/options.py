"""Which parity level the adapters use, what they say about p, and whose bits strict parity gives.

One context variable holds the options, so a change is seen by the code that runs in the same
thread or asyncio task, and by no other. Standard library only.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field, fields, replace
from types import TracebackType
from typing import Any, Literal
from weakref import ReferenceType, ref

from portnorm.reference import (
    MindSporeReference,
    Reference,
    TorchReference,
    by_framework,
    live_mindspore,
    live_torch,
    read_references,
)

Parity = Literal["native", "semantic", "strict"]
UnsupportedP = Literal["warn", "raise", "allow"]
CompileNotice = Literal["on", "off"]

_ALLOWED: dict[str, tuple[str, ...]] = {
    "parity": ("native", "semantic", "strict"),
    "unsupported_p": ("warn", "raise", "allow"),
    "compile_notice": ("on", "off"),
}
_REFERENCES = {
    "torch_reference": TorchReference,
    "mindspore_reference": MindSporeReference,
}


@dataclass(frozen=True, repr=False)
class Options:
    """The options in force.

    Attributes:
        parity: ``"native"``, ``"semantic"`` or ``"strict"``: what an adapter guarantees when its
            own ``parity`` argument is None.
        unsupported_p: ``"warn"``, ``"raise"`` or ``"allow"``: what happens on MindSpore when p
            is one that L2Normalize does not have.
        torch_reference: the build of torch whose bits ``parity="strict"`` gives. Where it is None,
            those are of the torch that is installed on torch, and of ``TorchReference()`` on
            MindSpore.
        mindspore_reference: the build of MindSpore whose bits ``parity="strict"`` gives. Where it
            is None, those are of the MindSpore that is installed on MindSpore, and of
            ``MindSporeReference()`` on torch.
        compile_notice: ``"on"`` or ``"off"``: whether a line on stderr says that kernels are being
            compiled, once in a process, when that takes more than a second. It changes no result,
            so options that differ in nothing else are equal.
    """

    parity: Parity = "semantic"
    unsupported_p: UnsupportedP = "warn"
    torch_reference: TorchReference | None = None
    mindspore_reference: MindSporeReference | None = None
    compile_notice: CompileNotice = field(default="on", compare=False)

    def __post_init__(self) -> None:
        for name in _ALLOWED:
            _check(name, getattr(self, name), name)
        for name, kind in _REFERENCES.items():
            if not isinstance(getattr(self, name), kind | None):
                got = type(getattr(self, name)).__name__
                raise TypeError(f"{name} must be a {kind.__name__}, not {got}")

    def __repr__(self) -> str:
        """Say what a reference that is not set stands for."""
        shown = []
        for option in fields(self):
            value = repr(getattr(self, option.name))
            if value == "None":
                framework = option.name.partition("_")[0]
                value = f"<on {framework} the installed one, else {DEFAULT_REFERENCES[framework]}>"
            shown.append(f"{option.name}={value}")
        return f"Options({', '.join(shown)})"

    def torch_reference_on(self, host: str) -> TorchReference:
        """Return the build of torch whose bits ``parity="strict"`` gives on a framework.

        Raises:
            StrictParityError: none is set, and the bits of the torch that is installed, in which
                this runs, are not promised.

        >>> Options().torch_reference_on("mindspore")
        TorchReference(version='2.13.0', capability='avx2', threads=1)
        """
        if self.torch_reference is not None:
            return self.torch_reference
        return live_torch() if host == "torch" else _TORCH

    def mindspore_reference_on(self, host: str) -> MindSporeReference:
        """Return the build of MindSpore whose bits ``parity="strict"`` gives on a framework.

        Raises:
            StrictParityError: as `torch_reference_on`, of MindSpore.

        >>> Options().mindspore_reference_on("torch")
        MindSporeReference(version='2.10.0', machine='x86_64')
        """
        if self.mindspore_reference is not None:
            return self.mindspore_reference
        return live_mindspore() if host == "mindspore" else _MINDSPORE


_TORCH, _MINDSPORE = TorchReference(), MindSporeReference()
DEFAULT_REFERENCES = {"torch": _TORCH, "mindspore": _MINDSPORE}
"""Whose bits strict parity gives on the other framework where no reference is set."""


_current: ContextVar[Options | None] = ContextVar("portnorm_options", default=None)

_last_set: dict[int, tuple[ReferenceType[threading.Thread], Options | None]] = {}
"""What each thread set last, for compilers, which ask in threads of their own."""

followers: list[Callable[[], None]] = []
"""Called after each change, in the thread that made it."""


def get_options() -> Options:
    """Return the options in force in this thread or task.

    They come from the nearest `set_options`, otherwise from the environment variables
    ``PORTNORM_PARITY``, ``PORTNORM_UNSUPPORTED_P``, ``PORTNORM_COMPILE_NOTICE`` and
    ``PORTNORM_REFERENCE``, which are read once. The last one is the path of a file that
    ``portnorm reference --save`` wrote.

    Raises:
        ValueError: an environment variable holds an unknown value, or the path of a file that
            cannot be read or holds no references.

    >>> import portnorm
    >>> portnorm.get_options().parity
    'semantic'
    >>> portnorm.get_options().torch_reference is None
    True
    >>> portnorm.get_options().torch_reference_on("mindspore")
    TorchReference(version='2.13.0', capability='avx2', threads=1)
    """
    return _current.get() or _options_of_environment()


class set_options:
    """Set options; used in a ``with`` statement, put the old ones back at its end.

    The setting belongs to the thread or asyncio task that makes it. A new thread starts from
    the environment; ``contextvars.copy_context().run`` carries the options of one thread into
    another. On MindSpore, graphs are compiled again after a change; those of torch keep the options
    that were in force when they were compiled.

    Args:
        parity: ``"native"``, ``"semantic"`` or ``"strict"``.
        unsupported_p: ``"warn"``, ``"raise"`` or ``"allow"``.
        reference: a `TorchReference` or a `MindSporeReference`, or one of each; a kind that is
            not given stays as it is.
        compile_notice: ``"on"`` or ``"off"``; of the main thread it holds for the threads that
            frameworks start, too.

    Raises:
        ValueError: an unknown value, or two references of one kind; nothing is changed then.
        TypeError: an unknown option, or a reference that is none.

    >>> import portnorm
    >>> with portnorm.set_options(parity="native"):
    ...     portnorm.get_options().parity
    'native'
    >>> portnorm.get_options().parity
    'semantic'
    >>> with portnorm.set_options(reference=portnorm.TorchReference(capability="neon")):
    ...     portnorm.get_options().torch_reference.capability
    'neon'
    """

    def __init__(
        self,
        *,
        parity: Parity | None = None,
        unsupported_p: UnsupportedP | None = None,
        reference: Reference | Iterable[Reference] | None = None,
        compile_notice: CompileNotice | None = None,
    ) -> None:
        given = {
            "parity": parity,
            "unsupported_p": unsupported_p,
            "compile_notice": compile_notice,
        }
        changes: dict[str, Any] = {
            name: value for name, value in given.items() if value is not None
        }
        if reference is not None:
            changes |= _by_option(reference if isinstance(reference, Iterable) else [reference])
        self._previous = _current.get()
        _set(replace(get_options(), **changes))

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _set(self._previous)


def _set(options: Options | None) -> None:
    _current.set(options)
    _last_set[threading.get_ident()] = ref(threading.current_thread()), options
    for follow in followers:
        follow()


def options_of_thread(ident: int) -> Options:
    """Return what a thread set last, by the number that `threading.get_ident` gives it."""
    options = None
    if ident in _last_set:
        found, options = _last_set[ident]
        thread = found()
        if thread is None or not thread.is_alive():  # its number may have gone to another one
            options = None
    return options or _options_of_environment()


@contextlib.contextmanager
def in_force(options: Options) -> Iterator[None]:
    """Use options for what runs inside, without telling anybody of a change."""
    token = _current.set(options)
    try:
        yield
    finally:
        _current.reset(token)


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
    return Options(**values, **_references_of_environment())


def _references_of_environment() -> dict[str, Any]:
    path = os.environ.get("PORTNORM_REFERENCE")
    if not path:
        return {}
    try:
        return _by_option(read_references(path))
    except (OSError, ValueError) as error:
        raise ValueError(f"PORTNORM_REFERENCE: {error}") from error


def _by_option(references: Iterable[Reference]) -> dict[str, Any]:
    return {
        f"{framework}_reference": reference
        for framework, reference in by_framework(references).items()
    }


def _check(option: str, value: object, shown_as: str) -> None:
    allowed = _ALLOWED[option]
    if value not in allowed:
        choices = ", ".join(map(repr, allowed))
        raise ValueError(f"{shown_as} must be one of {choices}, not {value!r}")
