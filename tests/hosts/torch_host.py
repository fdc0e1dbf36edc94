"""What the tests of the torch host share: layouts, random calls, and the live L2Normalize."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.hosts import exact_formula

DTYPES = ("float16", "float32", "float64")
EPSILONS = (1e-4, 1e-12, 1e-24, 10.0, -1.0)
LAYOUTS = ("contiguous", "transposed", "sliced", "expanded", "channels_last")
_WIDE = {"float32": [(-30, -18), (18, 37)], "float64": [(-250, -150), (150, 300)]}
_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def in_layout(values: Any, layout: str, dtype: str) -> Tensor:
    """Return a tensor of these values; an expanded one repeats those at index 0 of dim 0."""
    x = torch.as_tensor(values).to(getattr(torch, dtype))
    if layout == "transposed":
        return x.movedim(0, -1).contiguous().movedim(-1, 0)
    if layout == "sliced":
        return x.repeat_interleave(2, -1)[..., ::2]
    if layout == "expanded":
        return x[:1].expand(x.shape)
    if layout == "channels_last" and x.ndim in _CHANNELS_LAST:
        return x.contiguous(memory_format=_CHANNELS_LAST[x.ndim])
    return x.contiguous()


def normal(rng: np.random.Generator, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return normally distributed values."""
    return torch.from_numpy(np.asarray(rng.normal(size=shape))).to(dtype)


def same_bits(one: Tensor, two: Tensor) -> bool:
    """Whether dtype, shape, strides and every bit are equal; any NaN equals any other."""
    if (one.dtype, _layout(one)) != (two.dtype, _layout(two)):
        return False
    return torch.equal(_bytes(one), _bytes(two))


def _layout(x: Tensor) -> list[tuple[int, int]]:
    """Return sizes and strides; where there is one element at most, strides mean nothing."""
    return [
        (size, stride if size > 1 and x.numel() else 0)
        for size, stride in zip(x.shape, x.stride(), strict=True)
    ]


def _bytes(x: Tensor) -> Tensor:
    x = x.detach().resolve_conj()
    x = torch.where(x.isnan(), torch.full_like(x, math.nan), x)
    return x.contiguous().reshape(-1).view(torch.uint8)


@dataclass(frozen=True)
class Case:
    """One call of l2_normalize that has a finite result."""

    x: Tensor
    axis: Any
    epsilon: float

    def __repr__(self) -> str:
        x = self.x
        return f"{x.dtype}{tuple(x.shape)} {x.stride()} axis={self.axis} epsilon={self.epsilon!r}"

    @property
    def dtype(self) -> str:
        return str(self.x.dtype).removeprefix("torch.")

    @property
    def values(self) -> np.ndarray:
        return self.x.detach().contiguous().numpy()

    @property
    def dim(self) -> int:
        axis = self.axis if isinstance(self.axis, int) else self.axis[0]
        return axis % self.x.ndim

    @functools.cached_property
    def floor(self) -> Any:
        """The smallest divisor."""
        if self.epsilon < 0:
            return 0
        return exact_formula.l2_normalize_floor(self.epsilon, self.dtype)

    @functools.cached_property
    def exact(self) -> np.ndarray:
        return exact_formula.forward(self.values, 2, self.dim, self.floor)


def random_case(rng: np.random.Generator, dtype: str, *, wide: bool = False) -> Case:
    """Draw a call; ``wide`` draws magnitudes whose squares the dtype does not hold."""
    shape = tuple(int(n) for n in rng.choice([1, 2, 3, 5], rng.integers(1, 6)))
    dim = int(rng.integers(len(shape)))
    axis = [dim, dim - len(shape), (dim,), [dim - len(shape)]][rng.integers(4)]
    epsilon = float(rng.choice([e for e in EPSILONS if dtype != "float16" or abs(e) > 1e-7]))
    values = rng.normal(size=shape)
    if epsilon > 0:
        values *= rng.random(shape) < 0.8
    exponents = _WIDE[dtype][rng.integers(2)] if wide else (-3, 3)
    values *= 10.0 ** rng.uniform(*exponents, shape if wide else ())
    # Each vector has a magnitude of its own: far below, about, or far above the floor.
    lanes = tuple(1 if d == dim else n for d, n in enumerate(shape))
    values *= 1 if wide else np.sqrt(abs(epsilon)) * rng.choice([1e-3, 0.5, 1, 2, 1e3], lanes)
    if dtype == "float16":
        values = np.clip(values, -6e4, 6e4)
    x = in_layout(values, str(rng.choice(LAYOUTS)), dtype)
    if epsilon < 0:  # no vector may be 0
        x = torch.where(x == 0, torch.ones((), dtype=x.dtype), x)
    return Case(x, axis, epsilon)


@functools.cache
def mindspore() -> Any:
    """Import MindSpore, with its operators run one by one."""
    live = pytest.importorskip("mindspore", reason="compares with the live L2Normalize")
    live.set_context(pynative_synchronize=True)
    return live


def live_l2_normalize(x: Any, axis: Any = 0, epsilon: Any = 1e-4) -> np.ndarray:
    """Return what mindspore.ops.L2Normalize gives for an array."""
    ms = mindspore()
    result: np.ndarray = ms.ops.L2Normalize(axis, epsilon)(ms.Tensor(x)).asnumpy()
    return result


def without_advice(found: tuple[Any, str] | None) -> tuple[Any, str] | None:
    """Return what `error_of` does without what portnorm adds: what the value is, what to do."""
    if found is None:
        return None
    return found[0], re.split(r"; it is an? | It is an? | Give it ", found[1])[0]


def error_of(function: Callable[[], Any]) -> tuple[type[Exception], str] | None:
    """Return the type and the first line of the error that a call raises, None if it does not."""
    try:
        function()
    except Exception as error:
        text = (str(error).splitlines() or [""])[0]
        refuses_integers = text.startswith("linalg.vector_norm: Expected a floating point or")
        if refuses_integers and isinstance(error, RuntimeError):
            return RuntimeError, text  # in torch 2.15 a NotImplementedError, which is one
        return type(error), text
    return None
