"""The two functions as data: names, defaults, domains, the place of epsilon, error texts.

Both hosts, the comparison and the guide read from here, so that each fact is stated once.
Tensors do not occur: a shape is a tuple of ints and a dtype is its name ("float32").
Standard library only.

Sources: torch 2.13.0 and MindSpore 2.10.0, observed on CPU builds; the tests compare every
error below with the live function's.
"""

from __future__ import annotations

import functools
import math
import numbers
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, NoReturn, SupportsIndex, cast

from portnorm.errors import StrictParityError

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Function:
    """What tells one of the two functions from the other.

    Attributes:
        name: its public name.
        signature: as its documentation gives it.
        axis: the default of ``dim`` or ``axis``.
        eps: the default of ``eps`` or ``epsilon``.
        eps_on: what epsilon is a lower bound of: "norm" or "sum of squares".
        dtypes: names of the dtypes it takes.
    """

    name: str
    signature: str
    axis: int
    eps: float
    eps_on: str
    dtypes: frozenset[str]

    def floor(self, eps: float | None = None) -> float:
        """Return the norm below which vectors are divided by a constant."""
        eps = self.eps if eps is None else eps
        return math.sqrt(eps) if self.eps_on == "sum of squares" else eps


NORMALIZE = Function(
    name="torch.nn.functional.normalize",
    signature="normalize(input, p=2.0, dim=1, eps=1e-12, out=None)",
    axis=1,
    eps=1e-12,
    eps_on="norm",
    dtypes=frozenset({"float16", "bfloat16", "float32", "float64", "complex64", "complex128"}),
)
L2NORMALIZE = Function(
    name="mindspore.ops.L2Normalize",
    signature="L2Normalize(axis=0, epsilon=1e-4)(x)",
    axis=0,
    eps=1e-4,
    eps_on="sum of squares",
    dtypes=frozenset({"float16", "float32", "float64"}),
)

WIDENED_INPUT = {"complex64": "float32", "complex128": "float64"}
"""The dtype in which norms and eps of a complex tensor are held."""


# --- torch.nn.functional.normalize ------------------------------------------------------------

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
_SCALAR_LIMIT = {
    "float16": ("c10::Half", 65504.0),
    "bfloat16": ("c10::BFloat16", float.fromhex("0x1.fep127")),
    "float32": ("float", float.fromhex("0x1.fffffep127")),
    "float64": ("double", math.inf),
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
    shape: Shape, dtype: str, p: object, dim: object, eps: object, namespace: str = "c10"
) -> NormalizeArguments:
    """Check the arguments of torch's normalize, in the order in which torch does.

    Args:
        shape: of the input.
        dtype: its name.
        p: as it was given.
        dim: likewise.
        eps: likewise.
        namespace: of torch's half types in the texts of errors; "at" up to torch 2.9.

    Raises:
        IndexError, RuntimeError, TypeError, NotImplementedError, OverflowError: as torch does.
    """
    order = normalize_order(p, len(shape), dim)
    if dtype not in NORMALIZE.dtypes:
        _refuse_dtype(dtype)
    if order < 0 or order == math.inf:
        _refuse_empty(order, dim, shape)
    dims = normalize_dims(dim, len(shape))
    return NormalizeArguments(order, dims, normalize_eps(eps, dtype, namespace))


def normalize_order(p: object, ndim: int, dim: object) -> float:
    """Return p as a float; None, True and "fro" are taken as torch takes them."""
    if p is None:
        return 2.0
    if isinstance(p, str):
        return _order_by_name(p, ndim, dim)
    if isinstance(p, numbers.Complex):
        if isinstance(p, numbers.Real):
            return float(p)
        raise RuntimeError(
            "linalg.vector_norm: Expected a non-complex scalar as the order of norm."
        )
    raise TypeError(
        f"linalg_vector_norm(): argument 'ord' (position 2) must be Number, not {_type_name(p)}"
    )


def _order_by_name(p: str, ndim: int, dim: object) -> float:
    if p == "fro":
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


def normalize_eps(eps: object, dtype: str, namespace: str = "c10") -> float:
    """Return eps rounded to the dtype in which the norm is held, as torch does.

    float16 rounds the default 1e-12 to 0, so that a zero vector gives NaN.
    """
    if isinstance(eps, complex):
        raise NotImplementedError("clamp is not supported for complex types")
    if not isinstance(eps, numbers.Real):
        got = _type_name(eps)
        raise TypeError(f"clamp_min() received an invalid combination of arguments - got ({got})")
    value = float(eps)
    held_in = WIDENED_INPUT.get(dtype, dtype)
    scalar, limit = _SCALAR_LIMIT[held_in]
    if math.isfinite(value) and abs(value) > limit:
        scalar = scalar.replace("c10", namespace)
        raise RuntimeError(f"value cannot be converted to type {scalar} without overflow")
    return round_to(value, held_in)


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


GRADIENT_ORDERS = (0.0, 1.0, 2.0, math.inf, -math.inf)
"""Orders at which the bits of the gradient are known."""


def gradient_is_not_promised(p: float) -> StrictParityError:
    """Return the error for the gradient at another order under parity="strict"."""
    return StrictParityError(
        f"parity='strict' cannot promise the bits of the gradient at p={p:g}: only those "
        "at p = 0, 1, 2, inf and -inf are known. Use parity='semantic' for this p."
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


def input_is_no_tensor(value: object) -> AttributeError:
    """Return torch's error for an input that is not a tensor."""
    return AttributeError(f"'{_type_name(value)}' object has no attribute 'norm'")


# --- mindspore.ops.L2Normalize ----------------------------------------------------------------

_MINDSPORE_DTYPE = {"bool": "Bool", "bfloat16": "BFloat16"}


def l2_normalize_axis(axis: object) -> int:
    """Check the type of axis, as the constructor of L2Normalize does, and return the int.

    Raises:
        TypeError: axis is neither an int nor a list or tuple of one.
    """
    axes: Sequence[object]
    if isinstance(axis, int):
        axes = (axis,)
    elif isinstance(axis, (list, tuple)):
        axes = axis
    else:
        raise TypeError(
            "For 'L2Normalize', the type of 'axis' should be one of '['list', 'tuple']', "
            f"but got type '{type(axis).__name__}'."
        )
    if len(axes) != 1:
        raise TypeError(
            f"For 'L2Normalize', the length of 'axis' must be 1, but got {len(axes)}, "
            "later will support multiple axis!"
        )
    if isinstance(axes[0], bool) or not isinstance(axes[0], numbers.Integral):
        shown = str(axes[0]).lower() if isinstance(axes[0], bool) else f"{axes[0]}"
        shown = f"[{shown}]" if isinstance(axis, (int, list)) else f"({shown})"
        raise TypeError(
            "For primitive[L2Normalize], the attribute[axis] must be one of "
            f"['int', 'tuple', 'list'] with all Int elements, but got {shown}"
        )
    return int(axes[0])


def l2_normalize_epsilon(epsilon: object) -> float | int:
    """Check the type of epsilon, as the constructor of L2Normalize does.

    Raises:
        TypeError: epsilon is neither a float nor an int.
    """
    if isinstance(epsilon, bool) or not isinstance(epsilon, (int, float)):
        raise TypeError(
            "For 'L2Normalize', the type of 'epsilon' should be one of '['int', 'float']', "
            f"but got type '{type(epsilon).__name__}'."
        )
    return epsilon


def check_l2_normalize_input(shape: Shape, dtype: str, axis: int) -> int:
    """Check the input of L2Normalize and return axis counted from 0.

    Raises:
        TypeError: a dtype or a rank that L2Normalize does not take.
        ValueError: axis is out of range.
    """
    if dtype not in L2NORMALIZE.dtypes:
        got = _MINDSPORE_DTYPE.get(dtype, dtype.replace("uint", "UInt").title())
        got = got.replace("Uint", "UInt")
        raise TypeError(
            "For primitive[L2Normalize], the input argument[input_x] must be a type of "
            "{Tensor[Float16], Tensor[Float32], Tensor[Float64]}, but got "
            f"Tensor[{got}]."
        )
    ndim = len(shape)
    if ndim == 0:
        raise TypeError("For 'L2Normalize', input shape size must be > 0.")
    if not -ndim <= axis < ndim:
        raise ValueError(
            "For primitive[L2Normalize], the axis value must be in "
            f"[{-ndim},{ndim}), but got {axis}."
        )
    return axis % ndim


def round_epsilon(epsilon: float | int, dtype: str) -> float:
    """Return epsilon as the kernel of L2Normalize has it: float32 first, then the dtype.

    Raises:
        RuntimeError: epsilon is an int, is 0, or rounds to 0.
    """
    if isinstance(epsilon, int):
        raise RuntimeError(f"Cast failed, original value: {epsilon}, type: Int64Imm")
    rounded = round_to(round_to(epsilon, "float32"), dtype)
    if rounded == 0:
        raise RuntimeError("For 'L2Normalize', the parameter of 'epsilon' can not be zero.")
    return rounded


def l2_normalize_arguments(
    ndim: int, dtype: str, axis: object, epsilon: object
) -> tuple[int, float]:
    """Check all of a call of L2Normalize; return axis counted from 0, and epsilon as it is used.

    Raises:
        RuntimeError, TypeError, ValueError: what L2Normalize raises, in its order.
    """
    of_one, lower_bound = l2_normalize_axis(axis), l2_normalize_epsilon(epsilon)
    dim = check_l2_normalize_input((None,) * ndim, dtype, of_one)
    return dim, round_epsilon(lower_bound, dtype)


def l2_normalize_input_is_no_tensor(value: object) -> TypeError:
    """Return MindSpore's error for an input that is not a tensor."""
    names = {type(None): "None", bool: "Bool", int: "Int64", float: "Float32", str: "String"}
    got = names.get(type(value), "External")
    return TypeError(f"For 'L2Normalize', input must be a Tensor, but got: {got}.")


EPSILONS_MERGED_WITHIN = 2.0**-52
"""MindSpore takes two L2Normalize operators for one if their epsilons differ by less than this: one
graph runs both with the epsilon of the first, and PyNative finds kernels by epsilon to 17 decimals.
Measured on MindSpore 2.10.0: 962 graphs, 7000 PyNative pairs."""

LARGEST_CONFUSED_EPSILON = EPSILONS_MERGED_WITHIN * 2.0**23
"""Above this value two float32 numbers are further apart than that."""


# --- both ---------------------------------------------------------------------------------------


def round_to(value: float, dtype: str) -> float:
    """Round to float32 and on to the dtype, ties to even; overflow gives an infinity.

    Both frameworks round a Python float to the 16-bit types by way of float32.

    >>> round_to(1e-12, "float16"), round_to(0.1, "bfloat16")
    (0.0, 0.10009765625)
    """
    if dtype == "float64" or not math.isfinite(value):
        return value
    value = _round_to_format(value, "float32")
    return value if dtype == "float32" else _round_to_format(value, dtype)


_DIGITS = {"float16": (11, -24), "bfloat16": (8, -133), "float32": (24, -149)}
"""Binary digits of the significand, and the exponent of the smallest subnormal."""


def _round_to_format(value: float, dtype: str) -> float:
    # The cache, which takes -0.0 for 0.0, is of magnitudes.
    return math.copysign(_round_magnitude(abs(value), dtype), value)


@functools.lru_cache(maxsize=256)
def _round_magnitude(value: float, dtype: str) -> float:
    """Round by arithmetic of whole numbers.

    How a processor rounds depends on the thread: those of MindSpore's pool flush subnormals to 0.
    """
    if not math.isfinite(value):
        return value
    digits, lowest = _DIGITS[dtype]
    exponent = max(math.frexp(value)[1] - digits, lowest)
    numerator, denominator = value.as_integer_ratio()
    numerator <<= max(-exponent, 0)
    denominator <<= max(exponent, 0)
    steps, rest = divmod(numerator, denominator)
    steps += 2 * rest > denominator or (2 * rest == denominator and steps % 2)
    rounded = math.ldexp(steps, exponent)
    return math.inf if rounded > _SCALAR_LIMIT[dtype][1] else rounded


def layer_repr(*, parity: str | None, **arguments: object) -> str:
    """Return what the repr of a layer shows between its parentheses."""
    if parity is not None:
        arguments["parity"] = parity
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items())


def _type_name(value: object) -> str:
    kind = type(value)
    module = kind.__module__.partition(".")[0]
    return f"{module}.{kind.__qualname__}" if module == "numpy" else kind.__name__
