"""What the tests of parity="strict" on MindSpore share: random calls, and results as bits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from mindspore import Tensor

from tests.hosts.mindspore_host import array, random_dim, rounded, tensor

ORDERS = (0, 1, 2, math.inf, -math.inf)
DTYPES = ("float16", "bfloat16", "float32", "float64")


def bits(values: np.ndarray) -> np.ndarray:
    """Return the words of floats; all NaN have the same."""
    values = np.where(np.isnan(values), np.array(np.nan, values.dtype), values)
    return np.ascontiguousarray(values).view(f"u{values.itemsize}")


def same_bits(got: Tensor, expected: np.ndarray) -> bool:
    """Return whether a tensor has these values, and the sign of each zero."""
    values = array(got)
    return values.dtype == expected.dtype and np.array_equal(bits(values), bits(expected))


@dataclass(frozen=True)
class StrictCase:
    """One random call. Values are exact in ``dtype``; those of bfloat16 are stored as float32."""

    values: np.ndarray
    cotangent: np.ndarray
    dtype: str
    p: float
    dim: Any
    eps: float
    layout: str

    @property
    def arguments(self) -> tuple[Any, ...]:
        return self.p, self.dim, self.eps

    def __repr__(self) -> str:
        shape, layout = self.values.shape, self.layout
        return f"{self.dtype}{shape} {layout} p={self.p} dim={self.dim} eps={self.eps!r}"


def laid_out(make: Any, values: np.ndarray, layout: str) -> Any:
    """Return a tensor of these values in a layout; ``make`` makes one from an array."""
    if layout == "transposed" and values.ndim > 1:
        order = (*range(1, values.ndim), 0)
        back = tuple(int(axis) for axis in np.argsort(order))
        base = make(np.ascontiguousarray(values.transpose(order)))
        return base.permute(*back)
    if layout == "sliced" and values.ndim > 0:
        return make(np.repeat(values, 2, axis=-1))[..., ::2]
    return make(np.ascontiguousarray(values).reshape(values.shape))


def of_torch(torch: Any, values: np.ndarray, dtype: str, layout: str = "contiguous") -> Any:
    return laid_out(lambda array: torch.from_numpy(array).to(getattr(torch, dtype)), values, layout)


def of_mindspore(values: np.ndarray, dtype: str, layout: str = "contiguous") -> Tensor:
    return laid_out(lambda array: tensor(array, dtype), values, layout)


def torchs_own(torch: Any, case: StrictCase, layout: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the result and the gradient of the live torch."""
    x = of_torch(torch, case.values, case.dtype, layout).detach().requires_grad_()
    y = torch.nn.functional.normalize(x, *case.arguments)
    (gradient,) = torch.autograd.grad(y, x, of_torch(torch, case.cotangent, case.dtype))
    wide = [t.detach().float() if case.dtype == "bfloat16" else t.detach() for t in (y, gradient)]
    return wide[0].numpy(), wide[1].numpy()


def strict_case(rng: np.random.Generator, dtype: str, p: float | None = None) -> StrictCase:
    """Draw a call of torch's normalize: values of one scale, or any bits at all."""
    ndim = int(rng.integers(0, 5))
    sizes = [1, 2, 3, 5] if ndim > 2 else [1, 2, 7, 16, 37]
    shape = tuple(int(size) for size in rng.choice(sizes, ndim))
    draw = any_bits if rng.random() < 0.3 else of_one_scale
    return StrictCase(
        values=draw(rng, shape, dtype),
        cotangent=of_one_scale(rng, shape, dtype),
        dtype=dtype,
        p=float(rng.choice(ORDERS)) if p is None else p,
        dim=random_dim(rng, ndim),
        eps=float(rng.choice([1e-12, 0.0, -1.0, 1e-3, 1.0, 10.0])),
        layout=str(rng.choice(["contiguous", "transposed", "sliced"])),
    )


def of_one_scale(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    values = rng.normal(size=shape) * 10.0 ** rng.uniform(-3, 3)
    return rounded(np.asarray(np.where(rng.random(shape) < 0.1, 0.0, values)), dtype)


def any_bits(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Subnormals, infinities and NaN included."""
    held = "float32" if dtype == "bfloat16" else dtype
    width = np.dtype(held).itemsize
    words = rng.integers(0, 256, (*shape, width), np.uint8).view(f"u{width}").reshape(shape)
    if dtype == "bfloat16":
        words = words & np.uint32(0xFFFF0000)
    return np.asarray(words, f"u{width}").view(held).reshape(shape)
