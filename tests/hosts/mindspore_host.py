"""What the tests of the MindSpore host share: conversions and random cases."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import mindspore
import numpy as np
from mindspore import Tensor, nn, ops

from tests.hosts.exact_formula import FORMATS

ORDERS = (0, 0.5, 1, 2, 3, math.inf, -math.inf, -1, 2.2)

_REAL = {"complex64": "float32", "complex128": "float64"}


def tensor(values: Any, dtype: str = "float32") -> Tensor:
    """Return a MindSpore tensor; bfloat16 values are given as what they are in float32."""
    if dtype == "bfloat16":
        return Tensor(np.asarray(values, np.float32)).astype(mindspore.bfloat16)
    return Tensor(np.asarray(values, dtype))


def array(result: Tensor) -> np.ndarray:
    """Return the values; those of bfloat16 as float32."""
    if result.dtype == mindspore.bfloat16:
        result = result.astype(mindspore.float32)
    return result.asnumpy()


def torch_tensor(values: Any, dtype: str = "float32") -> Any:
    import torch

    values = torch.from_numpy(np.array(values, "float32" if dtype == "bfloat16" else dtype))
    return values.to(getattr(torch, dtype))


def torch_array(result: Any) -> np.ndarray:
    import torch

    result = result.detach().resolve_conj()
    return (result.float() if result.dtype == torch.bfloat16 else result).numpy()


def refusal(function: Any, *arguments: Any, **options: Any) -> tuple[type, str] | None:
    """Return the type of the error that a call raises and the first line of its text, or None."""
    try:
        function(*arguments, **options)
    except Exception as error:
        return type(error), str(error).strip().partition("\n")[0]
    return None


@dataclass(frozen=True)
class Case:
    """One random call. ``values`` are exact in ``dtype``; bfloat16 is stored as float32."""

    values: np.ndarray
    dtype: str
    p: float
    dim: Any
    eps: float
    layout: str

    @property
    def tensor(self) -> Tensor:
        """The values as a MindSpore tensor in the layout of the case."""
        if self.layout == "transposed" and self.values.ndim > 1:
            order = (*range(1, self.values.ndim), 0)
            back = tuple(int(axis) for axis in np.argsort(order))
            return tensor(self.values.transpose(order), self.dtype).transpose(back)
        if self.layout == "sliced" and self.values.ndim > 0:
            wide = np.repeat(self.values, 2, axis=-1)
            return tensor(wide, self.dtype)[..., ::2]
        return tensor(self.values, self.dtype)

    def __repr__(self) -> str:
        shape, layout = self.values.shape, self.layout
        return f"{self.dtype}{shape} {layout} p={self.p} dim={self.dim} eps={self.eps!r}"


def random_case(rng: np.random.Generator, dtype: str, p: float | None = None) -> Case:
    """Draw a call of torch's normalize that has a finite result."""
    ndim = int(rng.integers(0, 6))
    shape = tuple(int(size) for size in rng.choice([1, 2, 3] if ndim > 3 else [1, 2, 5, 8], ndim))
    p = float(rng.choice(ORDERS)) if p is None else p
    dim = random_dim(rng, ndim)
    eps = random_eps(rng, dtype)
    values = random_values(rng, shape, dtype, zeros=eps > 0 and not rounds_to_zero(eps, dtype))
    if eps > 1e-8:
        values = near_floor(rng, values, p, dim, eps)
    layout = str(rng.choice(["contiguous", "transposed", "sliced"]))
    return Case(rounded(values, dtype), dtype, p, dim, eps, layout)


def random_dim(rng: np.random.Generator, ndim: int) -> Any:
    """An int, a negative int, a tuple, a list, None or ()."""
    some = [int(d) for d in rng.permutation(ndim)[: rng.integers(1, ndim + 1)]] if ndim else []
    one = int(rng.integers(0, max(ndim, 1)))
    choices = [one, one - max(ndim, 1), tuple(some), [d - ndim for d in some], None, ()]
    return choices[int(rng.integers(len(choices)))]


def random_eps(rng: np.random.Generator, dtype: str) -> float:
    """The default, 0, a negative number, sizes that matter, and one of the smallest there are.

    Where the accumulator is float64 it is a normal number: subnormals of float64 are flushed in
    MindSpore's threads.
    """
    form = FORMATS[dtype]
    wide = dtype in ("float64", "complex128")
    tiny = math.ldexp(1.0, form.smallest if wide else form.smallest - form.precision + 3)
    return float(rng.choice([1e-12, 0.0, -1.0, 1e-3, 10.0, tiny]))


def random_values(
    rng: np.random.Generator, shape: tuple[int, ...], dtype: str, *, zeros: bool
) -> np.ndarray:
    """Values of one scale, or spread over all scales, of the dtype."""
    limit = 3.0 if dtype == "float16" else 30.0
    spread = rng.random() < 0.3
    exponents = rng.uniform(-limit, limit, shape if spread else ())
    values = rng.normal(size=shape) * 10.0**exponents
    if dtype.startswith("complex"):
        values = values + 1j * rng.normal(size=shape) * 10.0**exponents
    values = np.where(rounded(values, dtype) == 0, 1.0, values)
    if zeros and rng.random() < 0.5:
        values = np.where(rng.random(shape) < 0.3, 0.0, values)
    return np.asarray(values)


def near_floor(
    rng: np.random.Generator, values: np.ndarray, p: float, dim: Any, eps: float
) -> np.ndarray:
    """Scale the values so that norms lie below, about at, or above eps."""
    with np.errstate(all="ignore"):
        size = np.max(np.abs(values), initial=0.0)
    if not size or rng.random() < 0.3:
        return values
    return values / size * eps * rng.choice([1e-2, 0.5, 1.0, 2.0])


def rounded(values: np.ndarray, dtype: str) -> np.ndarray:
    """Round values to the dtype; those of bfloat16 stay float32."""
    with np.errstate(over="ignore"):
        if dtype != "bfloat16":
            return np.asarray(values, dtype)
        bits = np.atleast_1d(np.asarray(values, np.float32)).view(np.uint32)
        bits = (bits + 0x7FFF + (bits >> 16 & 1)) & np.uint32(0xFFFF0000)
    return bits.astype(np.uint32).view(np.float32).reshape(np.shape(values))


def rounds_to_zero(eps: float, dtype: str) -> bool:
    return not rounded(np.asarray(eps), _REAL.get(dtype, dtype)).any()


class Call(nn.Cell):
    """A function with fixed arguments as a Cell, to be run in any mode."""

    def __init__(self, function: Any, *arguments: Any, parity: str | None = None) -> None:
        super().__init__()
        self.function = function
        self.arguments = arguments
        self.parity = parity

    def construct(self, x: Tensor) -> Tensor:
        return self.function(x, *self.arguments, parity=self.parity)


class Gradient(nn.Cell):
    """The product of a cotangent with the Jacobian of a Cell."""

    def __init__(self, cell: nn.Cell) -> None:
        super().__init__()
        self.cell = cell
        self.gradient = ops.GradOperation(sens_param=True)

    def construct(self, x: Tensor, cotangent: Tensor) -> Tensor:
        return self.gradient(self.cell)(x, cotangent)


class SecondGradient(nn.Cell):
    """The product of two cotangents with the second derivative of a Cell."""

    def __init__(self, cell: nn.Cell) -> None:
        super().__init__()
        self.first = Gradient(cell)
        self.gradient = ops.GradOperation(sens_param=True)

    def construct(self, x: Tensor, cotangent: Tensor, second: Tensor) -> Tensor:
        return self.gradient(self.first)(x, cotangent, second)
