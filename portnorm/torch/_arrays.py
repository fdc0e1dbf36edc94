"""The four functions on dense tensors of the CPU, which `portnorm.exact` sees as arrays.

An array shares the memory of its tensor and has its strides, because bits depend on strides.
NumPy, Numba and `portnorm.exact` are loaded at the first call.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from portnorm import semantics
from portnorm.errors import StrictParityError
from portnorm.reference import MindSporeReference, TorchReference
from portnorm.torch._arguments import dtype_name


class _Exact(NamedTuple):
    ndarray: Any
    torch_cpu: Any
    mindspore_cpu: Any


@functools.cache
def _exact() -> _Exact:
    # Two threads may both come here; Python's lock on imports lets one of them wait.
    import numpy as np

    from portnorm.exact import mindspore_cpu, torch_cpu

    return _Exact(np.ndarray, torch_cpu, mindspore_cpu)


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
    dtype, strides = _NUMPY_DTYPES.get(x.dtype), None
    if dtype is None:
        return x.numpy()  # which `portnorm.exact` refuses
    if not x.is_contiguous():
        strides = tuple(stride * x.itemsize for stride in x.stride())
    memory = _Memory.from_address(x.data_ptr())
    memory.owner = x  # type: ignore[attr-defined]
    return _exact().ndarray(x.shape, dtype, memory, 0, strides)


def tensor(array: Any, dtype: torch.dtype) -> Tensor:
    """Return a tensor on the memory of an array."""
    if dtype == torch.bfloat16:
        return torch.from_numpy(array.view("int16")).view(dtype)
    return torch.from_numpy(array)


def on_host(x: Tensor) -> Tensor:
    """Return the tensor that an array can share memory with, in the same layout.

    Raises:
        StrictParityError: a sparse or another special layout.
    """
    if x.layout != torch.strided or x.is_nested:
        layout = "nested" if x.is_nested else str(x.layout).removeprefix("torch.")
        raise StrictParityError(
            f"parity='strict' cannot promise the bits of a tensor whose layout is {layout}: only "
            "those of dense tensors are known. Use x.to_dense(), or parity='semantic'."
        )
    x = x.detach().cpu().resolve_conj().resolve_neg()
    if x._is_zerotensor():
        x = x.clone()
    return x if x.data_ptr() % x.itemsize == 0 else _aligned(x)


def _aligned(x: Tensor) -> Tensor:
    last = sum((n - 1) * stride for n, stride in zip(x.shape, x.stride(), strict=True))
    memory = x.as_strided((last + 1,), (1,)).clone()
    return memory.as_strided(x.shape, x.stride(), 0)


def like_quotient(x: Tensor, dims: Sequence[int]) -> Tensor:
    """Return a tensor with the layout that torch gives to ``x`` divided by its norms.

    Args:
        x: tensor of any kind, also one without values.
        dims: the reduced dims; none are all.
    """
    reduced = [d % x.ndim for d in dims] if x.ndim and dims else range(x.ndim)
    norms = x.new_empty([1 if d in reduced else n for d, n in enumerate(x.shape)])
    return x.detach() / norms


# --- torch's normalize ----------------------------------------------------------------------------


def normalize(x: Tensor, p: Any, dim: Any, eps: Any, reference: TorchReference) -> Tensor:
    """Return the bits of `torch.nn.functional.normalize` on a CPU."""
    if not x.numel():
        return _normalize_nothing(x, p, dim, eps, reference)
    return tensor(_exact().torch_cpu.normalize(array(x), p, dim, eps, reference), x.dtype)


def normalize_vjp(
    g: Tensor, x: Tensor, p: Any, dim: Any, eps: Any, reference: TorchReference
) -> Tensor:
    """Return the bits of the gradient of `torch.nn.functional.normalize` on a CPU."""
    if not x.numel():
        return _normalize_nothing(x, p, dim, eps, reference)
    vjp = _exact().torch_cpu.normalize_vjp
    return tensor(vjp(array(x), array(g), p, dim, eps, reference), x.dtype)


def _normalize_nothing(x: Tensor, p: Any, dim: Any, eps: Any, reference: TorchReference) -> Tensor:
    _ = reference.rules  # raises where there are none
    arguments = semantics.normalize_arguments(tuple(x.shape), dtype_name(x.dtype), p, dim, eps)
    return like_quotient(x, arguments.dims)


# --- MindSpore's L2Normalize ----------------------------------------------------------------------


def l2_normalize(x: Tensor, axis: int, epsilon: float, reference: MindSporeReference) -> Tensor:
    """Return the bits of `mindspore.ops.L2Normalize` on a CPU."""
    function = _exact().mindspore_cpu.l2_normalize
    if x.is_contiguous():
        return torch.from_numpy(function(array(x), axis, epsilon, reference))
    return _in_memory_order(function, (x,), axis, epsilon, reference)


def l2_normalize_vjp(
    dy: Tensor, x: Tensor, y: Tensor, axis: int, epsilon: float, reference: MindSporeReference
) -> Tensor:
    """Return the bits of the gradient of `mindspore.ops.L2Normalize` on a CPU."""
    function = _exact().mindspore_cpu.l2_normalize_vjp
    if x.is_contiguous():
        arrays = array(x), array(y), array(dy)
        return torch.from_numpy(function(*arrays, axis, epsilon, reference))
    return _in_memory_order(function, (x, y, dy), axis, epsilon, reference)


def _in_memory_order(
    function: Callable[..., Any],
    tensors: tuple[Tensor, ...],
    axis: int,
    epsilon: float,
    reference: MindSporeReference,
) -> Tensor:
    """Call a function that takes and returns contiguous arrays.

    The bits of L2Normalize do not depend on the order in which the dims lie.
    """
    x = tensors[0]
    dim = semantics.check_l2_normalize_input((None,) * x.ndim, dtype_name(x.dtype), axis)
    strides = _strides_of_quotient(x.shape, x.stride(), dim)
    order = sorted(range(x.ndim), key=lambda d: (-strides[d], x.shape[d] != 1))
    arrays = [array(t.permute(order)) for t in tensors]
    found = function(*arrays, order.index(dim), epsilon, reference)
    if not x.numel():
        return torch.from_numpy(found).as_strided(x.shape, strides)
    # Not as_strided on a tensor: nobody may change a view that an autograd.Function returns.
    steps = tuple(stride * found.itemsize for stride in strides)
    return torch.from_numpy(_exact().ndarray(tuple(x.shape), found.dtype, found, 0, steps))


@functools.lru_cache(maxsize=1024)
def _strides_of_quotient(
    shape: tuple[int, ...], strides: tuple[int, ...], dim: int
) -> tuple[int, ...]:
    x = torch.empty_strided(shape, strides, device="meta")
    return tuple(like_quotient(x, [dim]).stride())
