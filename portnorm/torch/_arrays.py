"""The four functions on dense tensors of the CPU, which `portnorm.exact` sees as arrays.

An array shares the memory of its tensor and has its strides, because bits depend on strides.
NumPy, Numba and `portnorm.exact` are loaded at the first call.
"""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from portnorm import semantics
from portnorm.errors import StrictParityError
from portnorm.reference import MindSporeReference, TorchReference
from portnorm.torch import _pinned
from portnorm.torch._arguments import dtype_name, is_dense


class _Exact(NamedTuple):
    ndarray: Any
    dtypes: dict[torch.dtype, Any]
    torch_cpu: Any
    mindspore_cpu: Any


@functools.cache
def _exact() -> _Exact:
    # Two threads may both come here; Python's lock on imports lets one of them wait.
    import numpy as np

    from portnorm.exact import mindspore_cpu, torch_cpu

    dtypes = {of_torch: np.dtype(name) for of_torch, name in _NUMPY_DTYPES.items()}
    return _Exact(np.ndarray, dtypes, torch_cpu, mindspore_cpu)


def _function_of_torch(name: str, x: Tensor, reference: TorchReference) -> Callable[..., Any]:
    """Return what has the bits of the reference; on a CUDA device those depend on the offset."""
    if not reference.is_cuda:
        function: Callable[..., Any] = getattr(_exact().torch_cpu, name)
        return function
    from portnorm.exact import torch_cuda

    return functools.partial(getattr(torch_cuda, name), offset=x.storage_offset())


# --- tensors and arrays ---------------------------------------------------------------------------


_NUMPY_DTYPES = {
    torch.float16: "f2",
    torch.bfloat16: "u2",
    torch.float32: "f4",
    torch.float64: "f8",
}
FLOATS = frozenset(_NUMPY_DTYPES)
"""The dtypes of torch's function."""

_Memory = ctypes.c_char * (1 << 46)


def array(x: Tensor) -> Any:
    """Return an array on the memory of a tensor; bfloat16 as its bits in uint16.

    The array keeps the tensor alive, for other threads may still read it when an exception has
    ended the call. Not `Tensor.numpy`, after which a tensor cannot be resized any more, as
    fully_shard does with parameters.
    """
    exact = _exact()
    dtype, strides = exact.dtypes.get(x.dtype), None
    if dtype is None:
        return x.numpy()  # which `portnorm.exact` refuses
    if not x.is_contiguous():
        strides = tuple(stride * x.itemsize for stride in x.stride())
    memory: Any = _Memory.from_address(x.data_ptr())
    memory.owner = x
    return exact.ndarray(x.shape, dtype, memory, 0, strides)


def refuse_layout(x: Tensor) -> None:
    """Refuse a sparse or another special layout."""
    if x.layout != torch.strided or x.is_nested:
        layout = "nested" if x.is_nested else str(x.layout).removeprefix("torch.")
        raise StrictParityError(
            f"parity='strict' cannot promise the bits of a tensor whose layout is {layout}: only "
            "those of dense tensors are known. Use x.to_dense(), or parity='semantic'."
        )


def on_host(x: Tensor, reference: TorchReference | None = None) -> Tensor:
    """Return the tensor that an array can share memory with, in the same layout.

    Args:
        x: the tensor, on any device.
        reference: whose bits are wanted. On a CUDA device they depend on gaps and on the offset.

    Raises:
        StrictParityError: a sparse or another special layout.
    """
    refuse_layout(x)
    x = x.detach()
    if x.is_cuda and reference is not None and reference.is_cuda:
        offset = x.data_ptr() // x.itemsize % _MOST_IN_VECTOR
        if offset or not is_dense(x.shape, x.stride()):
            return _with_its_gaps(x, offset)
    x = (_pinned.to_host(x) if x.is_cuda else x.cpu()).resolve_conj().resolve_neg()
    if x._is_zerotensor():
        x = x.clone()
    return x if x.data_ptr() % x.itemsize == 0 else _aligned(x)


_MOST_IN_VECTOR = 8
"""Elements that a CUDA device reads at once, at most; torch gives it memory that is aligned."""


def _with_its_gaps(x: Tensor, offset: int) -> Tensor:
    """Copy all that lies between the first element and the last one."""
    x = x.resolve_conj().resolve_neg()
    memory = _memory_of(x)
    copy = torch.empty(offset + len(memory), dtype=x.dtype)
    copy[offset:].copy_(memory)
    return copy.as_strided(x.shape, x.stride(), offset)


def _aligned(x: Tensor) -> Tensor:
    return _memory_of(x).clone().as_strided(x.shape, x.stride(), 0)


def _memory_of(x: Tensor) -> Tensor:
    last = sum((n - 1) * stride for n, stride in zip(x.shape, x.stride(), strict=True))
    return x.as_strided((last + 1,), (1,))


def like_quotient(x: Tensor, dims: Sequence[int]) -> Tensor:
    """Return a tensor with the layout that torch gives to ``x`` divided by its norms.

    Args:
        x: tensor of any kind, also one without values.
        dims: the reduced dims; none are all.
    """
    reduced = [d % x.ndim for d in dims] if x.ndim and dims else range(x.ndim)
    norms = x.new_empty([1 if d in reduced else n for d, n in enumerate(x.shape)])
    # As torch divides: where there are no elements, strides come from the expanded norms, too.
    return x.detach() / norms.expand_as(x)


@functools.lru_cache(maxsize=1024)
def _strides_of_quotient(
    shape: tuple[int, ...], strides: tuple[int, ...], dim: Any
) -> tuple[int, ...]:
    return tuple(torch.nn.functional.normalize(_sample(shape, strides), 2.0, dim).stride())


@functools.lru_cache(maxsize=1024)
def _strides_of_gradient(
    shape: tuple[int, ...], strides: tuple[int, ...], of_cotangent: tuple[int, ...], dim: Any
) -> tuple[int, ...]:
    with torch.inference_mode(False), torch.enable_grad():
        x = _sample(shape, strides).requires_grad_()
        y = torch.nn.functional.normalize(x, 2.0, dim)
        return tuple(torch.autograd.grad(y, x, _sample(shape, of_cotangent))[0].stride())


def _sample(shape: tuple[int, ...], strides: tuple[int, ...]) -> Tensor:
    """Return a tensor for which torch is asked how its results lie.

    On the device "meta" that costs no memory, but torch gives other strides to dims of one element
    there than on a CPU.
    """
    device = "cpu" if math.prod(shape) <= _SMALL else "meta"
    return torch.empty_strided(shape, strides, device=device)


_SMALL = 1 << 16
"""Elements up to which a sample has memory."""


def _computed(
    function: Callable[..., Any],
    tensors: tuple[Tensor, ...],
    arguments: tuple[Any, ...],
    places: Callable[[], tuple[int, ...]],
    pinned: bool,
    order: list[int] | None = None,
) -> Tensor:
    """Call a function of `portnorm.exact` and return a tensor of the result, in memory of torch.

    That memory is aligned, and can be resized.

    Args:
        function: takes arrays, arguments, and what makes the array of the result.
        tensors: of which the arrays are; the first one is the input.
        arguments: of the function.
        places: returns the strides of the result. `portnorm.exact` asks for the same, but knows
            nothing of those of dims of one element.
        pinned: whether the result is to be copied to a GPU.
        order: in which the function has the dims of the result; None is theirs.
    """
    x, made = tensors[0], []

    def new(*_: Any) -> Any:
        strides = places()
        made.append(
            _pinned.empty_strided(x, strides) if pinned else x.new_empty_strided(x.shape, strides)
        )
        return array(made[0] if order is None else made[0].permute(order))

    arrays = map(array, tensors if order is None else (t.permute(order) for t in tensors))
    function(*arrays, *arguments, new)
    return made[0]


def _lies_as_its_result(x: Tensor) -> bool:
    return x.is_contiguous() and 1 not in x.shape


def _computed_alike(
    function: Callable[..., Any], tensors: tuple[Tensor, ...], arguments: tuple[Any, ...]
) -> Tensor:
    """Do as `_computed`, in as few steps as there can be, where the result lies as the input."""
    y = torch.empty_like(tensors[0])
    made = array(y)
    function(*map(array, tensors), *arguments, lambda *_: made)
    return y


# --- torch's normalize ----------------------------------------------------------------------------


def normalize(
    x: Tensor, p: Any, dim: Any, eps: Any, reference: TorchReference, pinned: bool = False
) -> Tensor:
    """Return the bits of `torch.nn.functional.normalize`."""
    if not x.numel():
        return _normalize_nothing(x, p, dim, eps, reference)
    function, arguments = _function_of_torch("normalize", x, reference), (p, dim, eps, reference)
    if not pinned and _lies_as_its_result(x):
        return _computed_alike(function, (x,), arguments)
    places = functools.partial(_strides_of_quotient, x.shape, x.stride(), dim)
    return _computed(function, (x,), arguments, places, pinned)


def normalize_vjp(
    g: Tensor,
    x: Tensor,
    p: Any,
    dim: Any,
    eps: Any,
    reference: TorchReference,
    pinned: bool = False,
) -> Tensor:
    """Return the bits of the gradient of `torch.nn.functional.normalize`."""
    if not x.numel():
        return _normalize_nothing(x, p, dim, eps, reference)
    arguments = p, dim, eps, reference
    places = functools.partial(_strides_of_gradient, x.shape, x.stride(), g.stride(), dim)
    function = _function_of_torch("normalize_vjp", x, reference)
    return _computed(function, (x, g), arguments, places, pinned)


def _normalize_nothing(x: Tensor, p: Any, dim: Any, eps: Any, reference: TorchReference) -> Tensor:
    _ = reference.rules  # raises where there are none
    shape, dtype = tuple(x.shape), dtype_name(x.dtype)
    arguments = semantics.normalize_arguments(shape, dtype, p, dim, eps, on_cuda=reference.is_cuda)
    return like_quotient(x, arguments.dims)


# --- MindSpore's L2Normalize ----------------------------------------------------------------------


def l2_normalize(
    x: Tensor, axis: int, epsilon: float, reference: MindSporeReference, pinned: bool = False
) -> Tensor:
    """Return the bits of `mindspore.ops.L2Normalize` on a CPU."""
    function = _exact().mindspore_cpu.l2_normalize
    return _in_memory_order(function, (x,), axis, epsilon, reference, pinned)


def l2_normalize_vjp(
    dy: Tensor,
    x: Tensor,
    y: Tensor,
    axis: int,
    epsilon: float,
    reference: MindSporeReference,
    pinned: bool = False,
) -> Tensor:
    """Return the bits of the gradient of `mindspore.ops.L2Normalize` on a CPU."""
    function = _exact().mindspore_cpu.l2_normalize_vjp
    return _in_memory_order(function, (x, y, dy), axis, epsilon, reference, pinned)


def _in_memory_order(
    function: Callable[..., Any],
    tensors: tuple[Tensor, ...],
    axis: int,
    epsilon: float,
    reference: MindSporeReference,
    pinned: bool,
) -> Tensor:
    """Call a function that takes and returns contiguous arrays.

    The bits of L2Normalize do not depend on the order in which the dims lie.
    """
    x = tensors[0]
    if not pinned and _lies_as_its_result(x):
        return _computed_alike(function, tensors, (axis, epsilon, reference))
    dim = semantics.check_l2_normalize_input((None,) * x.ndim, dtype_name(x.dtype), axis)
    strides = _strides_of_quotient(x.shape, x.stride(), dim)
    order = sorted(range(x.ndim), key=lambda d: (-strides[d], x.shape[d] != 1))
    arguments = order.index(dim), epsilon, reference
    return _computed(function, tensors, arguments, lambda: strides, pinned, order)
