"""Mixed precision: in which type a call is to be computed, and how that is kept from operators.

In a graph MindSpore casts what a cell is given, once. In PyNative it does not: while a cell runs to
which `to_float`, `amp.auto_mixed_precision` (O2, O3) or `amp.custom_mixed_precision` gave a type,
every operator casts what it is given to that type; under "auto" each operator has its own. Both
functions are one operation to whoever calls them. So in PyNative, too, the input is cast once, to
the type of the cell, and the operators of which a result is made run shielded from all casts.

MindSpore has no public way to ask for the type, and it shares the stack of types, and "auto", among
all threads. So the cell is looked up in the stack of Python's frames, which knows what this thread
runs, also after an exception in a cell, which leaves its type on MindSpore's stack.

O1 and white lists rewrite the source of cells, and of the functions that these call, and lose the
names that our source needs. MindSpore has lists of what it leaves as it is, and ours is added.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any
from weakref import WeakSet

import mindspore
from mindspore import Tensor, nn
from mindspore._c_expression import MixedPrecisionType
from mindspore._c_expression import amp as _amp

from portnorm.errors import PortnormError
from portnorm.mindspore._arguments import Constant, pynative_executor, target

_RUNS_CELL = nn.Cell._complex_call.__code__
"""What runs every cell that has a type."""

_TYPES = {
    MixedPrecisionType.FP16: mindspore.float16,
    MixedPrecisionType.BF16: mindspore.bfloat16,
    MixedPrecisionType.FP32: mindspore.float32,
}
_CAST = (mindspore.float16, mindspore.bfloat16, mindspore.float32, mindspore.float64)
"""The dtypes that MindSpore casts; others stay."""


# --- the type of the cell ------------------------------------------------------------------------


class _TypeOfCell(Constant):
    """The dtype to which the innermost cell that has one casts, or None; in a graph, False."""

    in_graphs = False

    def __call__(self) -> Any:
        return _type_in(sys._getframe(1))


type_of_cell = _TypeOfCell()


def _type_in(frame: FrameType | None) -> Any:
    while frame is not None:
        if frame.f_code is _RUNS_CELL:
            kind = frame.f_locals["self"].mixed_precision_type
            if kind is not None:
                return _TYPES.get(kind)
        frame = frame.f_back
    return None


def cast(x: Tensor, dtype: Any) -> Tensor:
    """Cast an input as an operator in a cell of this type casts it."""
    return x.astype(dtype) if x.dtype in _CAST else x


# --- the shield ----------------------------------------------------------------------------------


class _Shields(Constant):
    """Whether operators may cast what they are given: in PyNative, never in a graph."""

    in_graphs = False

    def __call__(self) -> bool:
        return True


_shields = _Shields()


def shielded(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function whose operators compute in the types that they are given.

    Read by the graph compiler. Arguments are checked before: where an operator fails, MindSpore
    may have cleared its stack of types, and 2.10 crashes when there is nothing to take from it.
    """
    if _shields():
        return _shielded_in_pynative(function, *arguments)
    return function(*arguments)


def _shielded_in_pynative(function: Callable[..., Any], *arguments: Any) -> Any:
    others = {one for one in threading.enumerate() if not one.name.startswith("portnorm")}
    others.discard(threading.current_thread())
    if not others:
        return _without_casts(function, *arguments)
    _refuse_other_cells()
    try:
        result = _without_casts(function, *arguments)
        _refuse_other_cells()
        # A cell may come and go meanwhile, and nothing tells of it but another result.
        is_same = target() != "CPU" or _are_same(result, _without_casts(function, *arguments))
    except Exception as error:
        _refuse_other_cells(error)
        if isinstance(error, KeyError):  # of a dtype that is none of the formula's own
            raise _disturbed() from error
        raise
    _refuse_other_cells()
    if not is_same:
        raise _disturbed()
    return result


def _are_same(one: Tensor | None, other: Tensor | None) -> bool:
    if one is None or other is None:
        return one is other
    return bool(one.dtype == other.dtype) and _bytes(one) == _bytes(other)


def _bytes(x: Tensor) -> Any:
    return x.asnumpy().tobytes()


def _disturbed() -> PortnormError:
    # Which thread it was is not known, and threads of a pool, which cast nothing, live for long.
    return PortnormError(
        "MindSpore cast an operator of this call to the type of a cell that another thread ran "
        "meanwhile; make the call again"
    )


def _without_casts(function: Callable[..., Any], *arguments: Any) -> Any:
    automatic = _amp.get_curr_amp_strategy() is not None
    if automatic:
        _amp.push_amp_strategy(_amp.AmpLevel.AmpO0, mindspore.float32, [], [])
    pynative_executor.set_mixed_precision_type(MixedPrecisionType.NOTSET, True)
    result = function(*arguments)
    pynative_executor.set_mixed_precision_type(MixedPrecisionType.NOTSET, False)
    if automatic:
        _amp.pop_amp_strategy()
    return result


_seen_to_cast: WeakSet[threading.Thread] = WeakSet()
"""Threads that ran a cell in mixed precision while another one computed with operators.

They are remembered: such a cell may come and go while a result is computed.
"""


def _refuse_other_cells(cause: Exception | None = None) -> None:
    """Refuse to compute with operators that the cell of another thread may cast.

    Raises:
        PortnormError: there is such a cell.
    """
    frames, own = sys._current_frames(), threading.get_ident()
    for thread in threading.enumerate():
        if thread.ident == own or thread.ident not in frames:
            continue
        if thread not in _seen_to_cast and _type_in(frames[thread.ident]) is None:
            continue
        _seen_to_cast.add(thread)
        raise PortnormError(
            f"the thread {thread.name!r} runs cells in mixed precision, and MindSpore casts the "
            "operators of all threads to their type, so that no result of this call is sure. "
            "Make it in that thread or once that has ended; p=2 on a CPU, and parity='strict', "
            "use no operators and can be had meanwhile."
        ) from cause


# --- what MindSpore leaves as it is --------------------------------------------------------------


def keep_types(function: Any) -> None:
    """Have graphs compute a function in the types that it names, also under "auto"."""
    function.amp_strategy = _amp.create_amp_strategy(_amp.AmpLevel.AmpO0, mindspore.float32, [], [])


def keep_source(*functions_and_layers: Any) -> None:
    """Have O1 and white lists call functions and layers, and not rewrite their source.

    MindSpore's lists are private: on a release that has none O1 fails as it would without this.
    """
    try:
        from mindspore.rewrite.common import namespace
        from mindspore.rewrite.parsers.assign_parser import AssignParser
    except ImportError:
        return
    for kept in functions_and_layers:
        if isinstance(kept, type):
            namespace._subtree_black_list.append(kept)
        else:
            AssignParser._function_parse_black_list.append(kept)
