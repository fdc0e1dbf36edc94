"""DTensor: what the operators do with tensors that several processes share.

A process normalizes the vectors that it has whole, and nothing is sent. Vectors that are cut to
pieces are gathered, in all of the processes, and each keeps its share of the result.

Bits may depend on what lies beside a vector. So a process hands over its vectors in a frame: as
they are, if that gives the bits of the whole tensor; or with room for one more vector beside them;
or each in its place in a tensor as large as the whole one.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from portnorm.reference import TorchReference
from portnorm.torch import _arrays
from portnorm.torch._arguments import constant_in_graphs, dtype_name

_Ints = tuple[int, ...]

_OPERATORS = ("normalize", "normalize_backward", "l2_normalize", "l2_normalize_backward")


# --- registration ---------------------------------------------------------------------------------

_lock = threading.Lock()
_is_prepared = False


@constant_in_graphs
def prepare() -> None:
    """Tell the operators about DTensor, as soon as the program can have one.

    To import DTensor takes long, and a program that has not done so has none.
    """
    global _is_prepared
    if _is_prepared or "torch.distributed.tensor" not in sys.modules:
        return
    with _lock:
        if not _is_prepared:
            from torch.distributed.tensor import DTensor

            for name in _OPERATORS:
                torch.library.register_torch_dispatch(f"portnorm::{name}", DTensor, _dispatch)
            _is_prepared = True


def _dispatch(
    cls: type, operator: Any, types: Any, args: Sequence[Any], kwargs: dict[str, Any] | None = None
) -> Tensor:
    """Do what the operator does: the rule that torch calls where an argument is a DTensor."""
    names = [argument.name for argument in operator._schema.arguments]
    arguments = [*args, *((kwargs or {})[name] for name in names[len(args) :])]
    tensors = [argument for argument in arguments if isinstance(argument, Tensor)]
    if not all(isinstance(x, cls) for x in tensors):
        raise RuntimeError(
            f"{operator} takes either tensors or DTensors, not both: distribute the others with "
            "torch.distributed.tensor.distribute_tensor"
        )
    vectors = min(1, len(tensors) - 1)  # a gradient comes before what it is the gradient of
    constants = (tuple(a) if isinstance(a, list) else a for a in arguments[len(tensors) :])
    with torch.no_grad():
        return _call(operator, tensors, tensors[vectors], tuple(constants))


def _call(operator: Any, tensors: list[Any], x: Any, constants: tuple[Any, ...]) -> Tensor:
    from torch.distributed.tensor import DTensor, Replicate

    is_torchs = len(constants) == 4
    dims = constants[1] if is_torchs else constants[:1]
    reduced = {d % x.ndim for d in dims} if x.ndim and dims else set(range(x.ndim))
    whole_vectors = _placements(x, reduced)
    # Detached, for torch 2.5 has no DTensor rule for detach_, which sending would call otherwise.
    pieces = [t.detach().redistribute(placements=whole_vectors) for t in tensors]
    parts = [_at_hand(piece.to_local()) for piece in pieces]
    if is_torchs and x.dtype in _arrays.FLOATS and parts[0].numel():
        whole = Layout(tuple(x.shape), tuple(tuple(t.stride()) for t in tensors))
        y = call_in_frame(operator, parts, whole, _place(x, whole_vectors), constants)
    else:
        y = operator(*parts, *constants)  # the bits of L2Normalize depend on the vector alone
    found = DTensor.from_local(
        y, x.device_mesh, whole_vectors, shape=x.shape, stride=_strides_of_result(x, dims)
    )
    return found.redistribute(
        placements=[Replicate() if p.is_partial() else p for p in x.placements]
    )


def _at_hand(part: Any) -> Any:
    """Return the tensor itself where it is a promise of one that is being sent."""
    return part.wait() if hasattr(part, "wait") else part


def _strides_of_result(x: Any, dims: Sequence[int]) -> _Ints:
    layout = torch.empty_strided(tuple(x.shape), x.stride(), dtype=x.dtype, device="meta")
    return tuple(_arrays.like_quotient(layout, dims).stride())


# --- who has what ---------------------------------------------------------------------------------


def _placements(x: Any, reduced: set[int]) -> list[Any]:
    """Return the placements of ``x``, but for those that leave a process without whole vectors."""
    from torch.distributed.tensor import Replicate, Shard

    if not all(type(p) is Shard or p.is_partial() or p.is_replicate() for p in x.placements):
        return [Replicate()] * len(x.placements)  # a placement that is not known
    return [p if type(p) is Shard and p.dim not in reduced else Replicate() for p in x.placements]


def _place(x: Any, placements: list[Any]) -> _Ints:
    """Return the index in the whole tensor of the first element that this process has."""
    sizes, start = list(x.shape), [0] * x.ndim
    for mesh_dim, placement in enumerate(placements):
        if placement.is_shard():
            size = sizes[placement.dim]
            share = -(-size // x.device_mesh.size(mesh_dim))
            before = min(share * x.device_mesh.get_local_rank(mesh_dim), size)
            start[placement.dim] += before
            sizes[placement.dim] = min(share, size - before)
    return tuple(start)


# --- frames ---------------------------------------------------------------------------------------


class Layout(NamedTuple):
    """The layout of tensors of one shape.

    Attributes:
        shape: of each.
        strides: of the cotangent, where there is one, and of the vectors.
    """

    shape: _Ints
    strides: tuple[_Ints, ...]


def call_in_frame(
    operator: Callable[..., Tensor],
    parts: Sequence[Tensor],
    whole: Layout,
    place: _Ints,
    constants: tuple[Any, ...],
) -> Tensor:
    """Return the part of the result that belongs to parts of the tensors.

    Args:
        operator: torch's normalize, or its gradient.
        parts: what this process has of the tensors: whole vectors.
        whole: the layout of the whole tensors.
        place: the index of the first element of the parts.
        constants: what the operator takes besides.
    """
    shape = tuple(parts[0].shape)
    frame, start = _frame(shape, whole, place, dtype_name(parts[0].dtype), constants)
    framed = [_framed(x, frame.shape, s, start) for x, s in zip(parts, frame.strides, strict=True)]
    y = operator(*framed, *constants)
    if frame.shape == shape:
        return y
    window = _window(y, shape, start)
    return torch.empty_like(window, memory_format=torch.preserve_format).copy_(window)


@functools.lru_cache(maxsize=1024)
def _frame(
    shape: _Ints, whole: Layout, place: _Ints, dtype: str, constants: tuple[Any, ...]
) -> tuple[Layout, _Ints]:
    """Return the smallest frame that keeps the bits, and the index in it at which a part lies."""
    # A dim of size 1 disappears, and its neighbours merge, which they do not in the whole.
    roomy = tuple(min(max(n, 2), most) for n, most in zip(shape, whole.shape, strict=True))
    for size in (shape, roomy):
        frame = Layout(size, tuple(_packed(size, strides) for strides in whole.strides))
        if size != whole.shape and _keeps_bits(frame, whole, dtype, constants):
            return frame, (0,) * len(shape)
    return whole, place


def _keeps_bits(frame: Layout, whole: Layout, dtype: str, constants: tuple[Any, ...]) -> bool:
    from portnorm.exact import torch_parts as parts

    p, dims, eps, reference = constants
    part, all_of_it = (parts.Layout(shape, *strides[::-1]) for shape, strides in (frame, whole))
    build = TorchReference.from_json(reference)
    return parts.keeps_bits(part, all_of_it, dtype, p, dims, eps, build)


def _packed(shape: _Ints, like: _Ints) -> _Ints:
    """Return the strides of a dense tensor whose dims lie in the order of other strides.

    A dim that is expanded stays so.
    """
    strides, step = [0] * len(shape), 1
    for d in sorted(range(len(shape)), key=lambda d: (like[d], -d)):
        if like[d]:
            strides[d] = step
            step *= shape[d]
    return tuple(strides)


def _framed(x: Tensor, shape: _Ints, strides: _Ints, start: _Ints) -> Tensor:
    """Return a tensor of this layout in which ``x`` lies at an index, and zeros around it."""
    if (tuple(x.shape), tuple(x.stride())) == (shape, strides):
        return x
    extent = 1 + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    frame = x.new_zeros(extent).as_strided(shape, strides)
    window = _window(frame, tuple(x.shape), start)
    for d, stride in enumerate(strides):
        if stride == 0:  # elements that share memory are written once
            window, x = window.narrow(d, 0, 1), x.narrow(d, 0, 1)
    window.copy_(x)
    return frame


def _window(x: Tensor, shape: _Ints, start: _Ints) -> Tensor:
    for d, (begin, size) in enumerate(zip(start, shape, strict=True)):
        x = x.narrow(d, begin, size)
    return x
