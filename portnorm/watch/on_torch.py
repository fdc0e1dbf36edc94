"""Calls on torch tensors: a mode that sees `F.normalize`, and the norms of tensors."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from portnorm.observe import PassiveMode
from portnorm.semantics import NORMALIZE, normalize_order
from portnorm.torch._arrays import array
from portnorm.vectors import ABOVE, CLASSES, NOT_FINITE, ZERO
from portnorm.watch.log import Log, caller, describe, is_of_portnorm
from portnorm.watch.records import Call, Counts, Norms, Record

_NAMES = {
    getattr(torch, name): name
    for name in ("float16", "bfloat16", "float32", "float64", "complex64", "complex128")
}
_SAFE = {
    dtype: (1e-140, 1e140) if dtype in (torch.float64, torch.complex128) else (1e-15, 1e15)
    for dtype in _NAMES
}
"""Between these, the squares that make up a norm are held with all digits that matter."""

_SMALLER_THAN_DOUBLE = frozenset({torch.float16, torch.bfloat16, torch.float32})
_LARGE = 1 << 13

_normalize = F.normalize
_without_modes: Any = torch._C.DisableTorchFunction
_transforms = torch._C._are_functorch_transforms_active


SEES_OPERATORS = True


class Mode(TorchFunctionMode, PassiveMode):
    """Counts the calls of `F.normalize` in the thread that enters it, and lets all calls pass."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is _normalize and not torch.compiler.is_compiling():
            frame = caller(sys._getframe().f_back, of_adapter=False)
            if not is_of_portnorm(frame):
                _add(self._log, frame, NORMALIZE.name, *_arguments(*args, **(kwargs or {})))
        return func(*args, **kwargs) if kwargs else func(*args)


def add_adapter_call(log: Log, function: str, x: Any, p: Any, dim: Any, eps: Any) -> None:
    """Count a call of one of the adapters."""
    _add(log, caller(sys._getframe(), of_adapter=True), function, x, p, dim, eps)


def _arguments(
    input: Any, p: Any = 2.0, dim: Any = 1, eps: Any = None, out: Any = None
) -> tuple[Any, Any, Any, Any]:
    if eps is None and isinstance(input, Tensor):
        eps = NORMALIZE.default_eps(torch.__version__, _NAMES.get(input.dtype, ""))
    return input, p, dim, eps


def _add(log: Log, frame: Any, function: str, x: Any, p: Any, dim: Any, eps: Any) -> None:
    if not isinstance(x, Tensor):
        return
    try:
        with _without_modes(), _untraced():
            dtype = _NAMES.get(x.dtype, "")
            log.add(describe(frame, function, dtype, x.ndim, p, dim, eps), x, norms)
    except Exception:  # of a kind that is not foreseen; the call itself goes on
        log.dropped += 1


@contextlib.contextmanager
def _untraced() -> Iterator[None]:
    """Leave no trace in what torch.jit.trace records, in which sizes would be tensors."""
    set_state: Any = vars(torch._C)["_set_tracing_state"]
    state = torch._C._get_tracing_state()
    if state is None:
        yield
        return
    set_state(None)
    try:
        yield
    finally:
        set_state(state)


# --- norms ----------------------------------------------------------------------------------------


def norms(x: Tensor, call: Call) -> Norms | OnDevice | None:
    """Return the norms of the vectors of a tensor.

    None where a computation would leave a trace, as in a graph that is being recorded, or where
    there are no values.
    """
    try:
        local = _readable(x, call)
        if local is None:
            return None
        order = normalize_order(call.p, call.ndim, call.dim)
        if local.device.type != "cpu":
            return _on_device(local, order, call.dim)
        two = _two_norms(local, call.dim)
        return Norms(two, two if order == 2 else _array(_scaled(local, order, call.dim)))
    except Exception:  # a tensor of a kind that is not foreseen; the call itself goes on
        return None


def _readable(x: Tensor, call: Call) -> Tensor | None:
    """Return a tensor on which operators leave no trace; None if there is none."""
    if torch._C._len_torch_dispatch_stack() or torch._C._get_tracing_state():
        return None
    if x.layout != torch.strided or x.is_nested or x.is_meta or x.is_quantized:
        return None
    if x.is_cuda and torch.cuda.is_current_stream_capturing():
        return None
    if hasattr(x, "placements"):
        return _own_part(x, call)
    if type(x).__torch_dispatch__ is not Tensor.__torch_dispatch__:
        return None
    return x.detach()


def _own_part(x: Any, call: Call) -> Tensor | None:
    """Return the part of a DTensor that this process holds, if it cuts no vector."""
    dims = call.dim if isinstance(call.dim, tuple) else (call.dim,)
    reduced = range(x.ndim) if dims in ((), (None,)) else [d % x.ndim for d in dims]
    whole = all(p.is_replicate() or (p.is_shard() and p.dim not in reduced) for p in x.placements)
    part: Tensor = x.to_local().detach()
    return part if whole else None


def _two_norms(x: Tensor, dim: Any) -> Any:
    """Return the 2-norms as an array: fast ones, but where squares leave the range of the type."""
    if x.numel() < _LARGE and x.dtype in _SMALLER_THAN_DOUBLE:
        return _array(torch.linalg.vector_norm(x, 2.0, dim, dtype=torch.float64))
    found = _array(_fast(x, dim))
    smallest, largest = _SAFE[x.dtype]
    if not x.numel() or smallest < found.min() <= found.max() < largest:
        return found
    if isinstance(dim, int) and x.ndim and not _transforms():
        doubtful = ~((found > smallest) & (found < largest))
        vectors = x.movedim(dim, -1)[torch.from_numpy(doubtful)]
        found = found.astype("float64")
        found[doubtful] = _array(_scaled(vectors, 2.0, -1))
        return found
    return _array(_scaled(x, 2.0, dim))


def _fast(x: Tensor, dim: Any) -> Any:
    x = x if x.itemsize > 2 else x.float()
    if x.is_complex() or not x.ndim or (isinstance(dim, int) and x.stride(dim) == 1):
        return torch.linalg.vector_norm(x, 2.0, dim)
    return x.square().sum(dim).sqrt()  # several times as fast where vectors lie across


def _scaled(x: Tensor, p: float, dim: Any) -> Any:
    """Return the p-norms, computed so that no power over- or underflows."""
    magnitude = x.abs().double()
    if not x.numel() or p == 0:
        return torch.linalg.vector_norm(magnitude, p, dim)
    largest = magnitude.amax(() if dim is None else dim, keepdim=True)
    scale = torch.where((largest > 0) & (largest < math.inf), largest, 1.0)
    norms = torch.linalg.vector_norm(magnitude / scale, p, dim, keepdim=True) * scale
    return norms.flatten()


def _array(found: Tensor) -> Any:
    if not _transforms():
        return found.numpy()
    values = _unwrapped(found)
    return array(values).copy()  # of the memory: torch.func would transform Tensor.numpy


def _unwrapped(found: Tensor) -> Tensor:
    """Return the values of a tensor inside torch.func's transforms: those of all the batch.

    As `torch.func.debug_unwrap`, which torch 2.6 does not have yet.
    """
    functorch: Any = torch._C._functorch
    while functorch.is_functorch_wrapped_tensor(found):
        found = functorch.get_unwrapped(found)
    return found


# --- accelerators ---------------------------------------------------------------------------------


def _on_device(x: Tensor, order: float, dim: Any) -> OnDevice:
    dtype = torch.float32 if x.device.type == "mps" else torch.float64
    magnitude = x.abs() if x.is_complex() else x

    def norm(p: float) -> Tensor:
        return _unwrapped(torch.linalg.vector_norm(magnitude, p, dim, dtype=dtype)).flatten()

    two = norm(2.0)
    return OnDevice(two, two if order == 2 else norm(order))


class OnDevice(NamedTuple):
    """Norms on an accelerator, which are counted there, so that nothing waits for it."""

    two: Tensor
    order: Tensor

    def add_to(self, record: Record) -> None:
        """Count the vectors."""
        device, floors = str(self.two.device), record.floors or (math.nan, math.nan)
        if device not in record.elsewhere:
            record.elsewhere[device] = DeviceCounter(self.two, floors)
        record.elsewhere[device].add(self.two, self.order)


class DeviceCounter:
    """Counts vectors in tensors of their device."""

    def __init__(self, like: Tensor, floors: tuple[float, float]) -> None:
        self._floors = floors
        self._numbers = torch.arange(len(CLASSES), device=like.device)
        self._start(like)

    def _start(self, like: Tensor) -> None:
        self._counts = torch.zeros_like(self._numbers)
        self._low = like.new_full((), math.inf)
        self._least = like.new_full((), math.inf)
        self._high = like.new_full((), -math.inf)

    def add(self, two: Tensor, order: Tensor) -> None:
        """Count the vectors of a call."""
        if not two.numel():
            return
        finite = two.isfinite()
        below = (order < self._floors[0]).long() + (two < self._floors[1])
        classes = torch.where(two == 0, ZERO, torch.where(finite, ABOVE - below, NOT_FINITE))
        self._counts += (classes[:, None] == self._numbers).sum(0)
        self._low = torch.minimum(self._low, torch.where(finite, two, math.inf).amin())
        self._least = torch.minimum(
            self._least, torch.where(order.isfinite(), order, math.inf).amin()
        )
        self._high = torch.maximum(self._high, torch.where(finite, two, -math.inf).amax())

    def take(self) -> Counts:
        """Return what was counted, and start anew."""
        classes = dict(zip(CLASSES, self._counts.tolist(), strict=True))
        found = Counts(classes, float(self._low), float(self._high), float(self._least))
        self._start(self._low)
        return found
