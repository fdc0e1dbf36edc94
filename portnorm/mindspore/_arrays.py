"""`portnorm.exact` on the arrays of MindSpore tensors, in PyNative and in graphs.

All of parity="strict" comes here, and parity="semantic" on a CPU for p = 2.

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
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, NoReturn, cast

import mindspore
import numpy as np
from mindspore import Tensor, ops
from mindspore.common._grad_function import _Function

from portnorm.errors import StrictParityError
from portnorm.mindspore._arguments import dtype_name, records_gradient
from portnorm.mindspore._precision import shielded
from portnorm.semantics import Shape

Array = np.ndarray[Any, Any]

_tensor_from = getattr(mindspore, "from_numpy", None) or Tensor.from_numpy


class Arithmetic(NamedTuple):
    """One function of `portnorm.exact` with its arguments.

    Attributes:
        forward: called with x and the arguments.
        backward: called with x, the result where it takes that, the cotangent and the arguments.
        takes_result: whether it does.
        arguments: of the function, and the reference.
        formula: computes the same with operators of MindSpore, to be differentiated twice; None
            where no second gradient is promised.
        offset_counts: whether it matters how far into its memory a tensor begins.
    """

    forward: Callable[..., Array]
    backward: Callable[..., Array]
    takes_result: bool
    arguments: tuple[Any, ...]
    formula: Callable[[Tensor], Tensor] | None = None
    offset_counts: bool = False


class Encoding(NamedTuple):
    """How an operator holds its tensors.

    Attributes:
        scalar: one element in one dim stands for none, because MindSpore would pass a number.
        bfloat16: float32 holds the values of a bfloat16 tensor, because `ops.Custom` does not take
            bfloat16.
        strides: of the input, in elements; None for a contiguous one.
        offset: elements that lie before the first one of the input, as far as that counts.
    """

    scalar: bool
    bfloat16: bool
    strides: tuple[int, ...] | None
    offset: int = 0


# --- in PyNative ---------------------------------------------------------------------------------


def apply(x: Tensor, arithmetic: Arithmetic, strides_count: bool) -> Tensor:
    """Return the result for a tensor in PyNative."""
    strides = tuple(x.stride()) if strides_count and not x.is_contiguous() else None
    # Vectors have 8 elements at most.
    offset = x.storage_offset() % 8 if strides_count and arithmetic.offset_counts else 0
    encoding = Encoding(False, x.dtype == mindspore.bfloat16, strides, offset)
    if x.size and records_gradient():
        return _Recorded.apply(x, arithmetic, encoding)
    return _tensor(arithmetic.forward(_array(x, encoding), *arithmetic.arguments), encoding)


class _Recorded(_Function):  # type: ignore[misc]
    """A call in PyNative whose gradient is recorded."""

    @staticmethod
    def forward(context: Any, x: Tensor, arithmetic: Arithmetic, encoding: Encoding) -> Tensor:
        y = arithmetic.forward(_array(x, encoding), *arithmetic.arguments)
        context.save_for_backward(x)
        # The result as an array: as a tensor it would hold the context, which would hold it.
        context.call = arithmetic, encoding, (y,) if arithmetic.takes_result else ()
        return _tensor(y, encoding)

    @staticmethod
    def backward(context: Any, dy: Tensor) -> tuple[Tensor, None, None]:
        (x,) = context.saved_tensors
        formula = context.call[0].formula
        if not records_gradient():
            dx = _gradient(x, dy, *context.call)
        elif formula is not None:
            dx = shielded(_gradient_of(formula), x, dy)
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
    x: Tensor, dy: Tensor, arithmetic: Arithmetic, encoding: Encoding, results: tuple[Array, ...]
) -> Tensor:
    contiguous = encoding._replace(strides=None, offset=0)
    arrays = _array(x, encoding), *results, _array(dy, contiguous)
    return _tensor(arithmetic.backward(*arrays, *arithmetic.arguments), contiguous)


def _array(x: Tensor, encoding: Encoding) -> Array:
    values = x.astype(mindspore.float32) if encoding.bfloat16 else x
    return _decoded(values.asnumpy(), encoding)


def _tensor(array: Array, encoding: Encoding) -> Tensor:
    tensor = _tensor_from(_encoded(array, encoding))
    return tensor.astype(mindspore.bfloat16) if encoding.bfloat16 else tensor


# --- as an operator ------------------------------------------------------------------------------


def operation(
    arithmetic: Arithmetic, shape: Shape, dtype: str
) -> tuple[Any, tuple[int, ...] | None, Any]:
    """Return an operator, and the shape and dtype that its input has to have, or None."""
    if 0 in shape:
        return None, None, None
    bfloat16 = dtype == "bfloat16"
    forward, operator = _operator(arithmetic, Encoding(not shape, bfloat16, None))
    _rehearse(forward, 1, shape or (1,), "float32" if bfloat16 else dtype)
    return operator, None if shape else (1,), mindspore.float32 if bfloat16 else None


def operate(x: Tensor, operator: Any, shape: Any, dtype: Any) -> Tensor:
    """Apply an operator. Read by the graph compiler, which cannot reshape bfloat16."""
    if operator is None:
        return x
    values = x
    if dtype is not None:
        values = values.astype(dtype)
    if shape is not None:
        return operator(values.reshape(shape)).reshape(()).astype(x.dtype)
    return operator(values).astype(x.dtype)


@functools.lru_cache(maxsize=1024)
def _rehearse(callback: Callable[..., Array], tensors: int, shape: Shape, dtype: str) -> None:
    """Import and compile what a callback needs, while a graph that needs it is compiled.

    Once the graph waits for the callback nothing that takes long should happen in it, and least of
    all what has Python collect garbage.
    """
    from portnorm.exact.machine.threads import rehearsal

    with rehearsal():
        callback(*(np.zeros(cast("tuple[int, ...]", shape), dtype) for _ in range(tensors)))


@functools.lru_cache(maxsize=1024)
def _operator(arithmetic: Arithmetic, encoding: Encoding) -> tuple[Callable[..., Array], Any]:
    """Return a callback, and the operator that calls it.

    MindSpore reads the signatures of callbacks: they have one parameter for each tensor.
    """

    def forward(x: Array) -> Array:
        with _called_back():
            y = arithmetic.forward(_decoded(x, encoding), *arithmetic.arguments)
            return _encoded(y, encoding)

    bprop = (
        _bprop_of_three(arithmetic)
        if arithmetic.takes_result
        else _bprop_of_two(arithmetic, encoding)
    )
    return forward, ops.Custom(forward, _first, _first, "pyfunc", bprop=bprop)


def _bprop_of_two(arithmetic: Arithmetic, encoding: Encoding) -> Callable[..., tuple[Tensor]]:
    def backward(x: Array, dy: Array) -> Array:
        with _called_back():
            x, dy = _decoded(x, encoding), _decoded(dy, encoding)
            return _encoded(arithmetic.backward(x, dy, *arithmetic.arguments), encoding)

    def bprop(x: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor]:
        rehearse(x.shape, x.dtype)
        return (gradient(x, dout),)

    second = (
        _no_second_gradient_of_two if arithmetic.formula is None else _second_of(arithmetic.formula)
    )
    gradient = ops.Custom(backward, _first, _first, "pyfunc", bprop=second)
    rehearse = _rehearsal_of(backward, 2)
    return bprop


def _bprop_of_three(arithmetic: Arithmetic) -> Callable[..., tuple[Tensor]]:
    def backward(x: Array, y: Array, dy: Array) -> Array:
        with _called_back():
            return arithmetic.backward(x, y, dy, *arithmetic.arguments)

    def bprop(x: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor]:
        rehearse(x.shape, x.dtype)
        return (gradient(x, out, dout),)

    gradient = ops.Custom(backward, _first, _first, "pyfunc", bprop=_no_second_gradient_of_three)
    rehearse = _rehearsal_of(backward, 3)
    return bprop


def _rehearsal_of(callback: Callable[..., Array], tensors: int) -> Any:
    """Return what a graph runs when it is compiled."""

    @ops.constexpr(reuse_result=False)  # type: ignore[untyped-decorator]
    def rehearse(shape: Shape, dtype: Any) -> None:
        _rehearse(callback, tensors, shape, dtype_name(dtype))

    return rehearse


def _called_back() -> AbstractContextManager[None]:
    """Return what to be in while a graph waits: a finalizer of MindSpore would wait for it."""
    from portnorm.exact.machine.garbage import no_garbage_collection

    return no_garbage_collection()


def _first(x: Any, *others: Any) -> Any:
    return x


def _decoded(array: Array, encoding: Encoding) -> Array:
    """Return what `portnorm.exact` takes for the array of a tensor."""
    if encoding.bfloat16:
        array = np.asarray(array.view(np.uint32) >> np.uint32(16), np.uint16)
    if encoding.scalar:
        array = array.reshape(())
    if encoding.strides is not None:
        from portnorm.exact.machine.arrays import laid_out

        array = laid_out(array, encoding.strides)
    if encoding.offset:
        from portnorm.exact.machine.arrays import moved

        array = moved(array, encoding.offset)
    return array


def _encoded(array: Array, encoding: Encoding) -> Array:
    """Return the array that a tensor takes for what `portnorm.exact` returns."""
    if encoding.bfloat16:
        array = np.asarray(array.astype(np.uint32) << np.uint32(16)).view(np.float32)
    if encoding.scalar:
        array = array.reshape(1)
    return np.asarray(array, order="C")


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
