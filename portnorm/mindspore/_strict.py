"""parity="strict": what gives the bits of the reference, or why nobody can."""

from __future__ import annotations

from typing import Any

import numpy as np

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
    """Keys of a cache find the same NaN only."""
    return value if value == value else np.nan


def plan(bits: Arithmetic, shape: Shape, dtype: str, compiling: bool) -> tuple[str, Any]:
    """Return the kind of what is to be done, and its plan."""
    if compiling:
        refuse_export()
        return "operator", _arrays.operation(bits, shape, dtype == "bfloat16")
    return "arrays", (bits, True)
