"""What is compared: the arguments of both functions, checked against an array."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeGuard

import numpy as np

from portnorm import semantics
from portnorm.readers import ArraySource, Described, Source
from portnorm.semantics import L2NORMALIZE, NORMALIZE

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

DTYPES = tuple(sorted(L2NORMALIZE.dtypes))
"""The dtypes that both functions take."""

CONVERTIBLE = frozenset(
    ["bool", "float16", "bfloat16", "float32", "float64", np.dtype(np.longdouble).name]
    + [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
)


@dataclass(frozen=True)
class Settings:
    """What is compared.

    Attributes:
        dtype: "float16", "float32" or "float64".
        dim: counted from 0.
        p: the order of torch's norm; L2Normalize has 2 only.
        eps: torch's.
        epsilon: L2Normalize's.
        floors: the norms below which torch's and MindSpore's function divide by a constant,
            with eps and epsilon rounded as the functions round them.
        seed: of the cotangent, which is random normal; None where the cotangent was given.
    """

    dtype: str
    dim: int
    p: float
    eps: float
    epsilon: float
    floors: tuple[float, float]
    seed: int | None


def plan(
    source: Described,
    *,
    dim: int | None = None,
    p: float = 2.0,
    eps: float = NORMALIZE.eps,
    epsilon: float = L2NORMALIZE.eps,
    dtype: str | None = None,
    seed: int = 0,
) -> Settings:
    """Check the arguments of `compare` against an array, without reading data.

    Raises:
        IndexError, RuntimeError, TypeError, ValueError: as `compare` does.
    """
    if not source.shape:
        raise ValueError("expected an array of one dim or more, found a single number")
    name = dtype_of(source.dtype, dtype)
    dim = default_dim(source.shape) if dim is None else operator.index(dim)
    arguments = semantics.normalize_arguments(source.shape, name, p, dim, eps)
    rounded = semantics.round_epsilon(semantics.l2_normalize_epsilon(epsilon), name)
    # A negative epsilon never takes effect.
    floors = NORMALIZE.floor(arguments.eps), L2NORMALIZE.floor(max(rounded, 0.0))
    return Settings(name, arguments.dims[0], arguments.p, float(eps), epsilon, floors, seed)


def default_dim(shape: tuple[int, ...]) -> int:
    """Return torch's default dim, or that of a single vector."""
    return NORMALIZE.axis if len(shape) > 1 else 0


def dim_of(shape: tuple[int, ...], dim: int | None) -> int:
    """Return a dim counted from 0; the default one for None.

    Raises:
        IndexError: an array of this shape has no such dim.
    """
    found = default_dim(shape) if dim is None else operator.index(dim)
    return semantics.normalize_dims(found, len(shape))[0]


def dtype_of(stored: str, wanted: str | None, *, own: tuple[str, ...] = DTYPES) -> str:
    """Return the dtype to compare in.

    Args:
        stored: that of the data.
        wanted: what to convert to; None to leave them as they are.
        own: the dtypes that need no conversion.

    Raises:
        TypeError: data of such a dtype cannot be compared.
        ValueError: there is no such dtype to convert to.
    """
    choices = f"{', '.join(own[:-1])} or {own[-1]}"
    if stored not in CONVERTIBLE:
        raise TypeError(f"expected {choices}, found {stored}")
    if wanted is None:
        if stored not in own:
            raise TypeError(f"expected {choices}, found {stored}; convert with --dtype float32")
        return stored
    if wanted not in DTYPES:
        raise ValueError(f"dtype must be {', '.join(DTYPES)}, not {wanted!r}")
    return wanted


def array_of(array: ArrayLike | Source) -> Source:
    """Return an array as a source, which it may be already."""
    return array if _is_source(array) else ArraySource(np.asarray(array))


def _is_source(array: ArrayLike | Source) -> TypeGuard[Source]:
    return hasattr(array, "read")
