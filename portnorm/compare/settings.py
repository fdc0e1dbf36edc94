"""What is compared: the arguments of both functions, checked against an array."""

from __future__ import annotations

import operator
from dataclasses import dataclass

import numpy as np

from portnorm import semantics
from portnorm.readers import Source
from portnorm.semantics import L2NORMALIZE, NORMALIZE

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
    source: Source,
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
    name = _check_dtype(source.dtype, dtype)
    if dim is None:
        dim = NORMALIZE.axis if len(source.shape) > 1 else 0
    dim = operator.index(dim)
    arguments = semantics.normalize_arguments(source.shape, name, p, dim, eps)
    rounded = semantics.round_epsilon(semantics.l2_normalize_epsilon(epsilon), name)
    # A negative epsilon never takes effect.
    floors = NORMALIZE.floor(arguments.eps), L2NORMALIZE.floor(max(rounded, 0.0))
    return Settings(name, arguments.dims[0], arguments.p, float(eps), epsilon, floors, seed)


def _check_dtype(stored: str, wanted: str | None) -> str:
    """Return the dtype to compare in."""
    choices = f"{', '.join(DTYPES[:-1])} or {DTYPES[-1]}"
    if stored not in CONVERTIBLE:
        raise TypeError(f"expected {choices}, found {stored}")
    if wanted is None:
        if stored not in DTYPES:
            raise TypeError(f"expected {choices}, found {stored}; convert with --dtype float32")
        return stored
    if wanted not in DTYPES:
        raise ValueError(f"dtype must be {choices}, not {wanted!r}")
    return wanted
