"""torch's `normalize`: its arguments checked in the order in which torch does, and its errors."""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Iterator
from typing import NamedTuple, NoReturn, SupportsIndex, cast

from portnorm.errors import StrictParityError
from portnorm.semantics.functions import NORMALIZE, WIDENED_INPUT, Shape
from portnorm.semantics.rounding import LARGEST, round_to
from portnorm.semantics.tensors import other_kind

_TORCH_DTYPE = {
    "bool": "Bool",
    "uint8": "Byte",
    "uint16": "UInt16",
    "uint32": "UInt32",
    "uint64": "UInt64",
    "int8": "Char",
    "int16": "Short",
    "int32": "Int",
    "int64": "Long",
    "float16": "Half",
    "bfloat16": "BFloat16",
    "float32": "Float",
    "float64": "Double",
    "complex64": "ComplexFloat",
    "complex128": "ComplexDouble",
}
_SCALAR = {
    "float16": "c10::Half",
    "bfloat16": "c10::BFloat16",
    "float32": "float",
    "float64": "double",
}


class NormalizeArguments(NamedTuple):
    """Checked arguments of torch's normalize.

    Attributes:
        p: the order of the norm.
        dims: the reduced dimensions, counted from 0, ascending; () for a 0-d tensor.
        eps: rounded to the dtype of the norm.
    """

    p: float
    dims: tuple[int, ...]
    eps: float


def normalize_arguments(
    shape: Shape,
    dtype: str,
    p: object,
    dim: object,
    eps: object,
    namespace: str = "c10",
    on_cuda: bool = False,
) -> NormalizeArguments:
    """Check the arguments of torch's normalize, in the order in which torch does.

    Args:
        shape: of the input.
        dtype: its name.
        p: as it was given.
        dim: likewise.
        eps: likewise.
        namespace: of torch's half types in the texts of errors; "at" up to torch 2.9.
        on_cuda: whether torch runs on a CUDA device, and not on a CPU.

    Raises:
        IndexError, RuntimeError, TypeError, NotImplementedError, OverflowError: as torch does.
    """
    order = normalize_order(p, len(shape), dim)
    if dtype not in NORMALIZE.dtypes:
        _refuse_dtype(dtype)
    if order < 0 or order == math.inf:
        _refuse_empty(order, dim, shape)
    dims = normalize_dims(dim, len(shape))
    return NormalizeArguments(order, dims, normalize_eps(eps, dtype, namespace, on_cuda))


def normalize_order(p: object, ndim: int, dim: object) -> float:
    """Return p as a float; None, True and "fro" are taken as torch takes them."""
    if p is None:
        return 2.0
    if isinstance(p, str):
        return _order_by_name(p, ndim, dim)
    if isinstance(p, numbers.Complex):
        if isinstance(p, numbers.Real):
            _check_64_bits(p)
            return float(p)
        raise RuntimeError(
            "linalg.vector_norm: Expected a non-complex scalar as the order of norm."
        )
    raise TypeError(
        f"linalg_vector_norm(): argument 'ord' (position 2) must be Number, not {_type_name(p)}"
    )


def _check_64_bits(value: object) -> None:
    """Refuse an int that torch cannot hold.

    Raises:
        OverflowError: as torch does.
    """
    if isinstance(value, int):
        if value >= 2**64:
            raise OverflowError("int too big to convert")
        if value < -(2**63):
            raise OverflowError("can't convert negative int to unsigned")


def _order_by_name(p: str, ndim: int, dim: object) -> float:
    if p == "fro":
        if not isinstance(dim, int) and _is_index(dim):
            raise TypeError(f"object of type '{_type_name(dim)}' has no len()")
        if dim is None or not isinstance(dim, (tuple, list)) or len(dim) <= 2:
            return 2.0
        got = " ".join(map(str, dim))
        raise RuntimeError(f"linalg.matrix_norm: dim must be a 2-tuple. Got {got}")
    if p == "nuc":
        raise NotImplementedError("portnorm has no nuclear norm: normalize() with p='nuc'")
    raise RuntimeError(f"linalg.matrix_norm: Order {p} not supported.")


def normalize_dims(dim: object, ndim: int) -> tuple[int, ...]:
    """Return the dims to reduce, counted from 0; all of them for None, () and []."""
    wrapped: list[int] = []
    for element in tuple(_dim_elements(dim)):
        d = _wrap_dim(element, ndim)
        if d in wrapped:
            raise RuntimeError(f"dim {d} appears multiple times in the list of dims")
        wrapped.append(d)
    if ndim == 0:
        return ()
    return tuple(sorted(wrapped)) or tuple(range(ndim))


def _dim_elements(dim: object) -> Iterator[int]:
    expected = "linalg_vector_norm(): argument 'dim' (position 3) must be tuple of ints, "
    if dim is None:
        return
    elements = dim if isinstance(dim, (tuple, list)) else (dim,)
    for position, element in enumerate(elements):
        name = _type_name(element)
        if position == 0 and isinstance(element, bool):  # torch lets it pass further on
            raise TypeError(f"{expected}but found element of type {name} at pos 0")
        if not _is_index(element):
            if elements is not dim:
                raise TypeError(f"{expected}not {name}")
            if position == 0:
                raise TypeError(f"{expected}but found element of type {name} at pos 0")
            raise TypeError(
                "linalg_vector_norm(): argument 'dim' failed to unpack the object at pos "
                f'{position + 1} with error "type must be tuple of ints,but got {name}"'
            )
        yield cast(SupportsIndex, element).__index__()


def _is_index(value: object) -> bool:
    try:
        operator.index(cast(SupportsIndex, value))
    except TypeError:
        return False
    return True


def _wrap_dim(dim: int, ndim: int) -> int:
    size = max(ndim, 1)
    if not -size <= dim < size:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-size}, {size - 1}], "
            f"but got {dim})"
        )
    return dim % size


def _refuse_dtype(dtype: str) -> NoReturn:
    got = _TORCH_DTYPE.get(dtype, dtype)
    raise RuntimeError(
        f"linalg.vector_norm: Expected a floating point or complex tensor as input. Got {got}"
    )


def _refuse_empty(order: float, dim: object, shape: Shape) -> None:
    """An empty maximum or minimum has no value."""
    if 0 not in shape:
        return
    refused = f"linalg.vector_norm cannot compute the {order:g} norm on "
    reason = "is empty and the operation does not have an identity"
    dims = tuple(_dim_elements(dim))
    if not dims:
        raise RuntimeError(
            f"{refused}an empty tensor because the operation does not have an identity"
        )
    for d in dims:
        if shape[_wrap_dim(d, len(shape))] == 0:
            # torch leaves out the space before "because".
            raise RuntimeError(f"{refused}the dimension {d}because this dimension {reason}")


def normalize_eps(eps: object, dtype: str, namespace: str = "c10", on_cuda: bool = False) -> float:
    """Return eps rounded to the dtype in which the norm is held, as torch does.

    float16 rounds the default 1e-12 to 0, so that a zero vector gives NaN. A CPU refuses what
    float16 cannot hold. A CUDA device takes it in float32 and rounds it to infinity.
    """
    if isinstance(eps, complex):
        raise NotImplementedError("clamp is not supported for complex types")
    if not isinstance(eps, numbers.Real):
        got = _type_name(eps)
        raise TypeError(f"clamp_min() received an invalid combination of arguments - got ({got})")
    _check_64_bits(eps)
    value = float(eps)
    held_in = WIDENED_INPUT.get(dtype, dtype)
    taken_in = "float32" if on_cuda and held_in != "float64" else held_in
    scalar, limit = _SCALAR[taken_in], LARGEST[taken_in]
    if math.isfinite(value) and abs(value) > limit:
        scalar = scalar.replace("c10", namespace)
        raise RuntimeError(f"value cannot be converted to type {scalar} without overflow")
    return round_to(round_to(value, taken_in), held_in)


def check_out_dtype(result: str, out: str) -> None:
    """Refuse an ``out`` that cannot hold the result."""
    kinds = ["float16 bfloat16 float32 float64", "complex64 complex128"]
    result_kind = next(rank for rank, names in enumerate(kinds) if result in names.split())
    out_kind = next((rank for rank, names in enumerate(kinds) if out in names.split()), -1)
    if out_kind < result_kind:
        raise RuntimeError(
            f"result type {_TORCH_DTYPE[result]} can't be cast to the desired output type "
            f"{_TORCH_DTYPE.get(out, out)}"
        )


def dim_of_scalar(dim: object) -> int | None:
    """Return None where all dims of a 0-d tensor are meant, otherwise 0.

    torch takes the magnitude of its element in the one case, and the root of its square in the
    other, which may have other bits.
    """
    return None if dim is None or (isinstance(dim, (tuple, list)) and not dim) else 0


def dtype_is_not_promised(dtype: object) -> StrictParityError:
    """Return the error for an input of another dtype, a complex one, under parity="strict"."""
    return StrictParityError(
        f"parity='strict' cannot promise the bits of {dtype}: only those of float16, "
        "bfloat16, float32 and float64 are known. Use parity='semantic'."
    )


GRADIENT_ORDERS = (0.0, 1.0, 2.0, math.inf, -math.inf)
"""Orders at which the bits of the gradient are known."""


def gradient_is_not_promised(p: float) -> StrictParityError:
    """Return the error for the gradient at another order under parity="strict"."""
    return StrictParityError(
        f"parity='strict' cannot promise the bits of the gradient at p={p:g}: only those "
        "at p = 0, 1, 2, inf and -inf are known. Use parity='semantic' for this p."
    )


def forward_mode_is_not_promised() -> StrictParityError:
    """Return the error for a gradient in forward mode under parity="strict"."""
    return StrictParityError(
        "parity='strict' cannot promise the bits of a gradient in forward mode: only those in "
        "reverse mode are known. Use torch.func.vjp, or parity='semantic'."
    )


OUT_WITH_GRADIENT = (
    "div(): functions with out=... arguments don't support automatic differentiation, "
    "but one of the arguments requires grad."
)


def out_is_no_tensor(out: object) -> TypeError:
    """Return torch's error for an ``out`` that is not a tensor."""
    return TypeError(
        "div() received an invalid combination of arguments - got "
        f"(Tensor, Tensor, out={_type_name(out)})"
    )


def input_is_no_tensor(value: object, host: str = "") -> AttributeError:
    """Return torch's error for an input that is not a tensor of the host, and what to do."""
    what_to_do = other_kind(value, host)
    more = f"; {what_to_do}" if what_to_do else ""
    return AttributeError(f"'{_type_name(value)}' object has no attribute 'norm'{more}")


def _type_name(value: object) -> str:
    kind = type(value)
    module = kind.__module__.partition(".")[0]
    return f"{module}.{kind.__qualname__}" if module == "numpy" else kind.__name__
