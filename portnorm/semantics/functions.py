"""What tells one of the two functions from the other, as data."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

Shape = tuple[int | None, ...]
"""Sizes of the dims; None for one that a compiler does not know."""


@dataclass(frozen=True)
class Function:
    """What tells one of the two functions from the other.

    Attributes:
        name: its public name.
        signature: as its documentation gives it.
        axis: the default of ``dim`` or ``axis``.
        eps: the default of ``eps`` or ``epsilon``, in all releases that are known.
        later_eps: where a later release has another default, that release and the default by
            dtype; a dtype that is missing keeps the one before.
        eps_on: what epsilon is a lower bound of: "norm" or "sum of squares".
        parameters: names of what it takes, in order.
        dtypes: names of the dtypes it takes.
    """

    name: str
    signature: str
    axis: int
    eps: float
    eps_on: str
    parameters: tuple[str, ...]
    dtypes: frozenset[str]
    later_eps: tuple[tuple[str, dict[str, float]], ...] = ()

    def default_eps(self, version: str, dtype: str) -> float:
        """Return the default of ``eps`` or ``epsilon`` in a release, for a dtype.

        >>> NORMALIZE.default_eps("2.13.0+cpu", "float16")
        1e-12
        """
        eps = self.eps
        for since, by_dtype in self.later_eps:
            if _numbers(version) >= _numbers(since):
                eps = by_dtype.get(dtype, eps)
        return eps

    def floor(self, eps: float | None = None) -> float:
        """Return the norm below which vectors are divided by a constant."""
        eps = self.eps if eps is None else eps
        return math.sqrt(eps) if self.eps_on == "sum of squares" else eps


def _numbers(version: str) -> tuple[int, ...]:
    """Return a version as numbers that compare, as far as it has them."""
    return tuple(map(int, re.findall(r"\d+", version.partition("+")[0])))


NORMALIZE = Function(
    name="torch.nn.functional.normalize",
    signature="normalize(input, p=2.0, dim=1, eps=1e-12, out=None)",
    axis=1,
    eps=1e-12,
    eps_on="norm",
    parameters=("input", "p", "dim", "eps", "out"),
    dtypes=frozenset({"float16", "bfloat16", "float32", "float64", "complex64", "complex128"}),
)
L2NORMALIZE = Function(
    name="mindspore.ops.L2Normalize",
    signature="L2Normalize(axis=0, epsilon=1e-4)(x)",
    axis=0,
    eps=1e-4,
    eps_on="sum of squares",
    parameters=("axis", "epsilon"),
    dtypes=frozenset({"float16", "float32", "float64"}),
)

WIDENED_INPUT = {"complex64": "float32", "complex128": "float64"}
"""The dtype in which norms and eps of a complex tensor are held."""


def layer_repr(*, parity: str | None, **arguments: object) -> str:
    """Return what the repr of a layer shows between its parentheses."""
    if parity is not None:
        arguments["parity"] = parity
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items())
