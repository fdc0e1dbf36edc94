"""Calls on MindSpore tensors: a mode that sees `ops.L2Normalize` and mint's `normalize`; norms."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import mindspore
from mindspore import Tensor

from portnorm.semantics import L2NORMALIZE
from portnorm.watch.arrays import norms_of_array
from portnorm.watch.log import Log, caller, describe, is_of_portnorm
from portnorm.watch.records import MINT, Call, Norms

_OPERATOR = L2NORMALIZE.name.rpartition(".")[2]
_NORM = "LinalgVectorNorm"
"""The operator that mint's normalize begins with; it is no operator itself."""

_MINT = getattr(getattr(getattr(mindspore, "mint", None), "nn", None), "functional", None)
_MINT_CODE = getattr(getattr(_MINT, "normalize", None), "__code__", None)
_DispatchMode: Any = getattr(mindspore, "MsDispatchMode", None)

_FRAMES = 12
"""How many calls may lie between mint's normalize and its operator."""

SEES_OPERATORS = _DispatchMode is not None
"""Whether this MindSpore has a public hook for the calls of operators; 2.10 is the first."""


class Mode(_DispatchMode or object):  # type: ignore[misc]
    """Counts the calls of the functions in PyNative, and lets all calls pass."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def __ms_dispatch__(self, func: Any, args: Any, kwargs: Any = None) -> Any:
        if func.name == _OPERATOR:
            frame = caller(sys._getframe().f_back, of_adapter=False)
            if not is_of_portnorm(frame):
                primitive, _, (x, *_) = args
                given = 2.0, tuple(primitive.attrs["axis"]), primitive.attrs["epsilon"]
                _add(self._log, frame, L2NORMALIZE.name, x, *given)
        elif func.name == _NORM and (inner := _call_of_mint(sys._getframe().f_back)) is not None:
            x, p, dim, eps = (inner.f_locals[name] for name in ("input", "p", "dim", "eps"))
            _add(self._log, caller(inner, of_adapter=False), MINT, x, p, dim, eps)
        return func(*args)


def _call_of_mint(frame: FrameType | None) -> FrameType | None:
    """Return the frame of mint's normalize, if an operator is called on its behalf."""
    for _ in range(_FRAMES):
        if frame is None or frame.f_code is _MINT_CODE:
            return frame
        frame = frame.f_back
    return None


def add_adapter_call(log: Log, function: str, x: Any, p: Any, dim: Any, eps: Any) -> None:
    """Count a call of one of the adapters."""
    _add(log, caller(sys._getframe(), of_adapter=True), function, x, p, dim, eps)


def _add(log: Log, frame: Any, function: str, x: Any, p: Any, dim: Any, eps: Any) -> None:
    if not isinstance(x, Tensor):
        return
    try:
        call = describe(frame, function, str(x.dtype).lower(), x.ndim, p, dim, eps)
        log.add(call, x, norms)
    except Exception:  # of a kind that is not foreseen; the call itself goes on
        log.dropped += 1


def norms(x: Tensor, call: Call) -> Norms | None:
    """Return the norms of the vectors of a tensor, whose values are waited for."""
    try:
        return norms_of_array((x.float() if x.dtype == mindspore.bfloat16 else x).asnumpy(), call)
    except Exception:  # a tensor of a kind that is not foreseen; the call itself goes on
        return None
