"""Under which options MindSpore compiles a graph, and what becomes of it when they change.

MindSpore has no public way to say that a graph depends on an option, and it asks for plans from
threads of its own, where no options are set. So what is being compiled is looked up in the stacks
of Python, and the options are those of the thread in which it is. When they change, a function made
by `jit` gets another name in the key of its graphs, so that MindSpore compiles it again or finds
the graph that it compiled under these options before; a cell in GRAPH_MODE forgets its graphs.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from portnorm.options import Options, followers, get_options, in_force, options_of_thread

_JITTED = "staging_specialize"
_NAME = "__jit_graph_name__"


class _First(NamedTuple):
    """The name that the graphs of a function have, and the options for which they have it."""

    name: str
    options: Options


_functions: WeakKeyDictionary[Any, _First] = WeakKeyDictionary()
_cells: WeakKeyDictionary[Any, dict[str, Options]] = WeakKeyDictionary()
_seen: list[Options] = []
_changing = threading.Lock()


@contextlib.contextmanager
def compilation() -> Iterator[None]:
    """Run under the options of the thread that compiles, and remember what it compiles."""
    for ident, frames in _stacks():
        if any(map(_compiles, frames)):
            here = ident == threading.get_ident()
            options = get_options() if here else options_of_thread(ident)
            _remember(frames, options)
            with in_force(options):
                yield
            return
    yield


def is_exported() -> bool:
    """Return whether the graph that is being compiled goes to a file."""
    return any(
        frame.f_code.co_name == "export" and _is_of_mindspore(frame)
        for _, frames in _stacks()
        for frame in frames
    )


def _stacks() -> Iterator[tuple[int, list[FrameType]]]:
    """Yield the stacks of all threads, this one's first; the compiler has threads of its own."""
    own = threading.get_ident()
    yield own, [*_frames(sys._getframe())]
    for ident, frame in sys._current_frames().items():
        if ident != own:
            yield ident, [*_frames(frame)]


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _compiles(frame: FrameType) -> bool:
    return frame.f_code.co_name in ("compile", _JITTED) and _is_of_mindspore(frame)


def _is_of_mindspore(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] == "mindspore"


def _remember(frames: list[FrameType], options: Options) -> None:
    with _changing:
        for frame in filter(_compiles, frames):
            found = frame.f_locals
            function, cell, phase = (found.get(name) for name in (_JITTED, "obj", "phase"))
            if function is not None:
                _functions.setdefault(function, _First(getattr(function, _NAME, ""), options))
            elif hasattr(cell, "compile_cache") and phase is not None:
                _cells.setdefault(cell, {})[phase] = options


def _follow() -> None:
    """Have MindSpore find no graph that was compiled under other options than these."""
    if not _functions and not _cells:
        return
    options = get_options()
    with _changing:
        for function, first in _functions.items():
            changed = "" if options == first.options else f".portnorm{_number(options)}"
            setattr(function, _NAME, f"{first.name}{changed}")
        for cell, phases in _cells.items():
            for phase, old in phases.items():
                if old != options:
                    cell.compile_cache.discard(phase)


def _number(options: Options) -> int:
    if options not in _seen:
        _seen.append(options)
    return _seen.index(options)


followers.append(_follow)
