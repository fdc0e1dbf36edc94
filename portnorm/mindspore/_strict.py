"""parity="strict": what gives the bits of the reference, or why nobody can."""

from __future__ import annotations

from typing import Any

import numpy as np

from portnorm import semantics
from portnorm.errors import StrictParityError
from portnorm.mindspore import _arrays, _graphs
from portnorm.mindspore._arrays import Arithmetic
from portnorm.reference import MindSporeReference, TorchReference
from portnorm.semantics import NormalizeArguments, Shape


def normalize_bits(
    shape: Shape,
    dtype: str,
    dim: Any,
    arguments: NormalizeArguments,
    reference: TorchReference,
) -> Arithmetic:
    """Return what gives torch's bits.

    Raises:
        StrictParityError: they cannot be promised.
    """
    if dtype.startswith("complex"):
        raise semantics.dtype_is_not_promised(dtype)
    _ = reference.rules
    from portnorm.exact import torch_cpu, torch_cuda

    dims: Any = arguments.dims
    if not shape:
        dims = semantics.dim_of_scalar(dim)
    elif len(dims) == 1:
        dims = dims[0]
    given = arguments.p, dims, _one_nan(arguments.eps), reference
    if reference.is_cuda:
        functions = torch_cuda.normalize, torch_cuda.normalize_vjp
        return Arithmetic(*functions, False, given, offset_counts=True)
    return Arithmetic(torch_cpu.normalize, torch_cpu.normalize_vjp, False, given)


def l2_normalize_bits(axis: int, epsilon: float, reference: MindSporeReference) -> Arithmetic:
    """Return what gives MindSpore's bits.

    Raises:
        StrictParityError: they cannot be promised.
    """
    _ = reference.rules
    from portnorm.exact import mindspore_cpu

    given = axis, _one_nan(epsilon), reference
    return Arithmetic(mindspore_cpu.l2_normalize, mindspore_cpu.l2_normalize_vjp, True, given)


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
    if _graphs.is_exported():
        raise StrictParityError(
            "parity='strict' cannot be exported: its arithmetic is not in the graph. Export "
            "with parity='semantic'."
        )


def _one_nan(value: float) -> float:
    """Return np.nan for any NaN, so that caches find it.

    NaN != NaN, so a cache would miss; np.nan is one object and matches itself by identity.
    """
    return value if value == value else np.nan


def plan(bits: Arithmetic, shape: Shape, dtype: str, compiling: bool) -> tuple[str, Any]:
    """Return the kind of what is to be done, and its plan."""
    if compiling:
        refuse_export()
        return "operator", _arrays.operation(bits, shape, dtype)
    return "arrays", (bits, True)
