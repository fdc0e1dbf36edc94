"""The log of a watch: who called what, with which vectors."""

from __future__ import annotations

import functools
import numbers
import operator
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from portnorm.errors import LIBRARIES
from portnorm.watch.records import Call, Record, floors_of

MOST_RECORDS = 1000

REFUSALS = (AttributeError, IndexError, NotImplementedError, RuntimeError, TypeError, ValueError)
"""What the two functions raise for arguments that they do not take."""

NormsOf = Callable[[Any, Call], Any]
"""Returns what adds the norms of a tensor to a record; None where its values cannot be read."""


class Log:
    """Counts calls, of all threads, in bounded memory.

    Attributes:
        dropped: how many calls were left out, because there were `MOST_RECORDS` records before.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._records: dict[Call, Record | None] = {}
        self._lock = threading.Lock()

    def add(self, call: Call, x: Any, norms_of: NormsOf) -> None:
        """Count a call of a tensor.

        Calls that the function refuses are not counted.
        """
        shape = tuple(map(_size, x.shape))
        record = self._records.get(call) or self._new_record(call)
        if record is None:
            return
        norms = norms_of(x, call) if record.floors else None
        with self._lock:
            record.add_call(shape)
            if norms is None:
                record.unread += 1
            else:
                norms.add_to(record)

    def records(self) -> list[Record]:
        """Return the records in the order of their first calls."""
        with self._lock:
            found = [record for record in self._records.values() if record is not None]
            for record in found:
                record.settle()
            return found

    def _new_record(self, call: Call) -> Record | None:
        with self._lock:
            if call in self._records:
                return self._records[call]
            if len(self._records) >= MOST_RECORDS:
                self.dropped += 1
                return None
            try:
                floors = None if isinstance(call.eps, _NoNumber) else floors_of(call)
            except REFUSALS:
                self._records[call] = None
                return None
            self._records[call] = Record(call, floors)
            return self._records[call]


def _size(size: Any) -> int:
    """Return a size as an int; -1 for one that is not known while a graph is made."""
    if type(size) is int:
        return size
    try:  # a symbol's number, without the condition that int() would put on the graph
        return int(getattr(getattr(size, "node", size), "hint", size))
    except Exception:
        return -1


_HANDLERS = frozenset({"__torch_function__", "__torch_dispatch__", "__ms_dispatch__"})


def caller(frame: FrameType | None, *, of_adapter: bool) -> FrameType | None:
    """Return the innermost frame outside the frameworks, and outside portnorm for an adapter.

    It is portnorm's own where an adapter has called into a framework; `is_of_portnorm` tells.
    """
    while frame is not None:
        if frame.f_code.co_name in _HANDLERS:  # a mode, or a subclass, through which it passes
            frame = frame.f_back
            continue
        package = _package(frame.f_globals.get("__name__"))
        if package not in LIBRARIES or (package == "portnorm" and not of_adapter):
            break
        frame = frame.f_back
    return frame


def is_of_portnorm(frame: FrameType | None) -> bool:
    """Return whether the code of a frame belongs to portnorm."""
    return frame is not None and _package(frame.f_globals.get("__name__")) == "portnorm"


@functools.lru_cache(maxsize=4096)
def _package(module: object) -> str:
    return str(module).partition(".")[0]


def describe(
    frame: FrameType | None, function: str, dtype: str, ndim: int, p: Any, dim: Any, eps: Any
) -> Call:
    """Return what calls from this frame with these arguments have in common."""
    place = (frame.f_code.co_filename, frame.f_lineno) if frame else ("", 0)
    return describe_at(place, function, dtype, ndim, p, dim, eps)


def describe_at(
    place: tuple[str, int], function: str, dtype: str, ndim: int, p: Any, dim: Any, eps: Any
) -> Call:
    """Return the same for a call from a line of a file."""
    dim = tuple(map(_index, dim)) if isinstance(dim, (list, tuple)) else _index(dim)
    return Call(*place, function, dtype, ndim, _plain(p), dim, _plain(eps))


def _index(value: Any) -> Any:
    """Keep a dim; of another object that stands for one, of which nothing is known, its number."""
    if type(value) in (int, bool) or value is None:
        return value
    try:
        return operator.index(value)
    except Exception:
        return _plain(value)


def _plain(value: Any) -> Any:
    """Keep numbers and names; of a tensor, which cannot be a key, its number or its type."""
    if type(value) in (float, int) or value is None or isinstance(value, (numbers.Number, str)):
        return value
    try:
        number = value.item()
    except Exception:  # of several elements, or without values
        return _NoNumber(type(value).__name__)
    return number


class _NoNumber(str):
    """The type of an argument that is a tensor, of which there is no one number."""
