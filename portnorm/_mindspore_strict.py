"""parity="strict" on MindSpore tensors: values go to `portnorm.exact`, and bits come back.

parity="semantic" comes here on a CPU, for p = 2.

In PyNative a tensor is handed over as a NumPy array that shares its memory, and so is the result;
where a gradient is recorded, a `_Function` of MindSpore does it. In graphs an operator `ops.Custom`
does it, which MindSpore calls back, and differentiates by its `bprop`. `ops.Custom` would do in
PyNative, too, but at three times the cost of a small native operator.

torch's bits depend on how a tensor lies in memory. Tensors of MindSpore count as contiguous, except
for views in PyNative, whose strides can be seen; the compiler of a graph shows none. Results,
gradients and cotangents are contiguous.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import mindspore
import numpy as np
from mindspore import Tensor, ops
from mindspore.common._grad_function import _Function

from portnorm import _mindspore_graphs as graphs
from portnorm.errors import StrictParityError
from portnorm.reference import MindSporeReference, TorchReference
from portnorm.semantics import NormalizeArguments, Shape

try:
    from mindspore.graph.api import _pynative_executor
except ImportError:  # before MindSpore 2.9
    from mindspore.common.api import _pynative_executor

Array = np.ndarray[Any, Any]

_tensor_from = getattr(mindspore, "from_numpy", None) or Tensor.from_numpy


class Bits(NamedTuple):
    """What gives the bits of one function with its arguments.

    Attributes:
        forward: called with x and the arguments.
        backward: called with x, the result where it takes that, the cotangent and the arguments.
        takes_result: whether it does.
        arguments: of the function, and the reference.
        formula: computes the same with operators of MindSpore, to be differentiated twice; None
            where no second gradient is promised.
    """

    forward: Callable[..., Array]
    backward: Callable[..., Array]
    takes_result: bool
    arguments: tuple[Any, ...]
    formula: Callable[[Tensor], Tensor] | None = None


class Outfit(NamedTuple):
    """How an operator holds its tensors.

    Attributes:
        scalar: one element in one dim stands for none, because MindSpore would pass a number.
        halves: float32 holds bfloat16, which `ops.Custom` does not take.
        strides: of the input, in elements; None for a contiguous one.
    """

    scalar: bool
    halves: bool
    strides: tuple[int, ...] | None


# --- plans ---------------------------------------------------------------------------------------


def normalize_bits(
    shape: Shape,
    dtype: str,
    dim: Any,
    arguments: NormalizeArguments,
    reference: TorchReference,
) -> Bits:
    """Return what gives torch's bits.

    Raises:
        StrictParityError: they cannot be promised.
    """
    if dtype.startswith("complex"):
        raise StrictParityError(
            f"parity='strict' cannot promise the bits of {dtype}: only those of float16, "
            "bfloat16, float32 and float64 are known. Use parity='semantic'."
        )
    _ = reference.rules
    from portnorm.exact import torch_cpu

    dims: Any = arguments.dims
    if not shape:
        # torch squares the element of a tensor of no dim only where dim is a number.
        dims = None if dim is None or (isinstance(dim, (tuple, list)) and not dim) else 0
    elif len(dims) == 1:
        dims = dims[0]
    given = arguments.p, dims, _one_nan(arguments.eps), reference
    return Bits(torch_cpu.normalize, torch_cpu.normalize_vjp, False, given)


def l2_normalize_bits(axis: int, epsilon: float, reference: MindSporeReference) -> Bits:
    """Return what gives MindSpore's bits.

    Raises:
        StrictParityError: they cannot be promised.
    """
    _ = reference.rules
    from portnorm.exact import mindspore_cpu

    given = axis, _one_nan(epsilon), reference
    return Bits(mindspore_cpu.l2_normalize, mindspore_cpu.l2_normalize_vjp, True, given)


def definition_bits(
    dims: tuple[int, ...],
    floor: float,
    floor_takes_ties: bool,
    formula: Callable[[Tensor], Tensor],
) -> Bits:
    """Return what computes by the definition at p = 2, see `Definition`.

    `formula` does the same with operators of MindSpore.
    """
    from portnorm.exact.accurate import Definition, divide, divide_vjp

    definition = Definition(dims, floor, floor_takes_ties)
    return Bits(divide, divide_vjp, False, (definition,), formula)


def check_shape(shape: Shape | None) -> None:
    """Refuse a shape of which the compiler does not know all; None where it knows nothing.

    Raises:
        StrictParityError: there is no promise for it.
    """
    if shape is None or None in shape:
        raise StrictParityError(
            "parity='strict' cannot promise bits in a graph whose shapes are not known when it "
            "is compiled. Compile it for each shape (without dynamic=1, set_inputs and "
            "mindspore.mutable), run it in PyNative, or use parity='semantic'."
        )


def refuse_export() -> None:
    """Refuse to be written to a file: what is called back lives in this process alone."""
    if graphs.is_exported():
        raise StrictParityError(
            "parity='strict' cannot be exported: its arithmetic is not in the graph. Export "
            "with parity='semantic'."
        )


def _one_nan(value: float) -> float:
    """Keys of a cache find the same NaN only."""
    return value if value == value else np.nan


# --- in PyNative ---------------------------------------------------------------------------------


def apply(x: Tensor, bits: Bits) -> Tensor:
    """Return the result for a tensor in PyNative."""
    return _apply(x, bits, None if x.is_contiguous() else tuple(x.stride()))


def apply_contiguous(x: Tensor, bits: Bits) -> Tensor:
    """Return the result for a tensor in PyNative, as if it were contiguous."""
    return _apply(x, bits, None)


def _apply(x: Tensor, bits: Bits, strides: tuple[int, ...] | None) -> Tensor:
    outfit = Outfit(False, x.dtype == mindspore.bfloat16, strides)
    if x.size and records_gradient():
        return _Recorded.apply(x, bits, outfit)
    return _tensor(bits.forward(_array(x, outfit), *bits.arguments), outfit)


class _Recorded(_Function):  # type: ignore[misc]
    """A call in PyNative whose gradient is recorded."""

    @staticmethod
    def forward(context: Any, x: Tensor, bits: Bits, outfit: Outfit) -> Tensor:
        y = bits.forward(_array(x, outfit), *bits.arguments)
        context.save_for_backward(x)
        # The result as an array: as a tensor it would hold the context, which would hold it.
        context.call = bits, outfit, (y,) if bits.takes_result else ()
        return _tensor(y, outfit)

    @staticmethod
    def backward(context: Any, dy: Tensor) -> tuple[Tensor, None, None]:
        (x,) = context.saved_tensors
        formula = context.call[0].formula
        if not records_gradient():
            dx = _gradient(x, dy, *context.call)
        elif formula is not None:
            dx = _gradient_of(formula)(x, dy)
        else:
            dx = _RecordedGradient.apply(x, dy, *context.call)
        return dx, None, None


class _RecordedGradient(_Function):  # type: ignore[misc]
    """A gradient that is itself to be differentiated."""

    @staticmethod
    def forward(context: Any, x: Tensor, dy: Tensor, *call: Any) -> Tensor:
        return _gradient(x, dy, *call)

    @staticmethod
    def backward(context: Any, second: Tensor) -> NoReturn:
        raise _no_second_gradient()


def _gradient(
    x: Tensor, dy: Tensor, bits: Bits, outfit: Outfit, results: tuple[Array, ...]
) -> Tensor:
    contiguous = outfit._replace(strides=None)
    arrays = _array(x, outfit), *results, _array(dy, contiguous)
    return _tensor(bits.backward(*arrays, *bits.arguments), contiguous)


def _array(x: Tensor, outfit: Outfit) -> Array:
    held = x.astype(mindspore.float32) if outfit.halves else x
    return _undressed(held.asnumpy(), outfit)


def _tensor(array: Array, outfit: Outfit) -> Tensor:
    tensor = _tensor_from(_dressed(array, outfit))
    return tensor.astype(mindspore.bfloat16) if outfit.halves else tensor


def records_gradient() -> bool:
    """Return whether what is computed now may be differentiated."""
    return bool(_pynative_executor.requires_grad())


# --- as an operator ------------------------------------------------------------------------------


def operation(bits: Bits, shape: Shape, halves: bool) -> tuple[Any, tuple[int, ...] | None, Any]:
    """Return an operator, and the shape and dtype that its input has to have, or None."""
    if 0 in shape:
        return None, None, None
    outfit = Outfit(not shape, halves, None)
    return (
        _operator(bits, outfit),
        None if shape else (1,),
        mindspore.float32 if halves else None,
    )


def operate(x: Tensor, operator: Any, shape: Any, dtype: Any) -> Tensor:
    """Apply an operator. Read by the graph compiler, which cannot reshape bfloat16."""
    if operator is None:
        return x
    held = x
    if dtype is not None:
        held = held.astype(dtype)
    if shape is not None:
        return operator(held.reshape(shape)).reshape(()).astype(x.dtype)
    return operator(held).astype(x.dtype)


@functools.lru_cache(maxsize=1024)
def _operator(bits: Bits, outfit: Outfit) -> ops.Custom:
    """MindSpore reads the signatures of callbacks: they have one parameter for each tensor."""

    def forward(x: Array) -> Array:
        return _dressed(bits.forward(_undressed(x, outfit), *bits.arguments), outfit)

    bprop = _bprop_of_three(bits) if bits.takes_result else _bprop_of_two(bits, outfit)
    return ops.Custom(forward, _first, _first, "pyfunc", bprop=bprop)


def _bprop_of_two(bits: Bits, outfit: Outfit) -> Callable[..., tuple[Tensor]]:
    def backward(x: Array, dy: Array) -> Array:
        x, dy = _undressed(x, outfit), _undressed(dy, outfit)
        return _dressed(bits.backward(x, dy, *bits.arguments), outfit)

    def bprop(x: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor]:
        return (gradient(x, dout),)

    second = _no_second_gradient_of_two if bits.formula is None else _second_of(bits.formula)
    gradient = ops.Custom(backward, _first, _first, "pyfunc", bprop=second)
    return bprop


def _bprop_of_three(bits: Bits) -> Callable[..., tuple[Tensor]]:
    def backward(x: Array, y: Array, dy: Array) -> Array:
        return bits.backward(x, y, dy, *bits.arguments)

    def bprop(x: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor]:
        return (gradient(x, out, dout),)

    gradient = ops.Custom(backward, _first, _first, "pyfunc", bprop=_no_second_gradient_of_three)
    return bprop


def _first(x: Any, *others: Any) -> Any:
    return x


def _undressed(array: Array, outfit: Outfit) -> Array:
    """Return what `portnorm.exact` takes for the array of a tensor."""
    if outfit.halves:
        array = np.asarray(array.view(np.uint32) >> np.uint32(16), np.uint16)
    if outfit.scalar:
        array = array.reshape(())
    if outfit.strides is not None:
        array = _laid_out(array, outfit.strides)
    return array


def _dressed(array: Array, outfit: Outfit) -> Array:
    """Return the array that a tensor takes for what `portnorm.exact` returns."""
    if outfit.halves:
        array = np.asarray(array.astype(np.uint32) << np.uint32(16)).view(np.float32)
    if outfit.scalar:
        array = array.reshape(1)
    return np.asarray(array, order="C")


def _laid_out(array: Array, strides: tuple[int, ...]) -> Array:
    """Return a copy whose elements lie as those of a view do."""
    extent = 1 + sum((size - 1) * stride for size, stride in zip(array.shape, strides, strict=True))
    buffer = np.empty(extent if array.size else 0, array.dtype)
    laid_out: Array = np.ndarray(
        array.shape, array.dtype, buffer, strides=[s * array.itemsize for s in strides]
    )
    laid_out[...] = array
    return laid_out


# --- second gradients ----------------------------------------------------------------------------


def _no_second_gradient() -> StrictParityError:
    return StrictParityError(
        "parity='strict' cannot promise the bits of a second gradient. Use parity='semantic' "
        "where gradients are differentiated."
    )


@ops.constexpr(reuse_result=False, check=False)  # type: ignore[untyped-decorator]
def _refuse_second_gradient() -> NoReturn:
    raise _no_second_gradient()


def _no_second_gradient_of_two(x: Tensor, dy: Tensor, out: Tensor, dout: Tensor) -> Any:
    _refuse_second_gradient()
    return x, dy


def _no_second_gradient_of_three(
    x: Tensor, y: Tensor, dy: Tensor, out: Tensor, dout: Tensor
) -> Any:
    _refuse_second_gradient()
    return x, y, dy


_gradient_of = ops.GradOperation(sens_param=True)
_gradients_of = ops.GradOperation(get_all=True, sens_param=True)


def _second_of(formula: Callable[[Tensor], Tensor]) -> Callable[..., Any]:
    def first(x: Tensor, dy: Tensor) -> Tensor:
        return _gradient_of(formula)(x, dy)

    def second(x: Tensor, dy: Tensor, out: Tensor, dout: Tensor) -> Any:
        return _gradients_of(first)(x, dy, dout)

    return second
