"""Who is told of the calls of the adapters. Standard library only.

The adapters ask `observers` whether anybody is there, which costs some 30 ns, and tell each of
them before they do their work. Calls in compiled graphs are not told of.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

Observer = Callable[..., None]
"""Called with what `tell` is called with. It must not raise."""

observers: tuple[Observer, ...] = ()
"""Those that are told, in all threads of the process."""

_changing = threading.Lock()


class PassiveMode:
    """Base of modes of torch that see each call and change none: strict keeps its fast way."""


def add(observer: Observer) -> None:
    """Tell an observer of the calls from now on."""
    global observers
    with _changing:
        observers = (*observers, observer)


def remove(observer: Observer) -> None:
    """Undo `add` once."""
    global observers
    with _changing:
        left = list(observers)
        left.remove(observer)
        observers = tuple(left)


def tell(function: str, x: Any, p: Any, dim: Any, eps: Any) -> None:
    """Tell the observers of a call.

    Args:
        function: the public name of the adapter, such as "portnorm.torch.normalize".
        x: the tensor.
        p: as it was given; 2.0 for L2Normalize.
        dim: dim or axis, as it was given.
        eps: eps or epsilon, as it was given.
    """
    for observer in observers:
        observer(function, x, p, dim, eps)
