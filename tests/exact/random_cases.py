"""Random arguments of the two functions: layouts, values, dims, orders and lower bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from tests.exact.same_encoding import Array

STORAGE = {"float16": "e", "bfloat16": "H", "float32": "f", "float64": "d"}
"""The NumPy dtype that holds each dtype."""

EXACT_ORDERS = (0.0, 1.0, 2.0, math.inf, -math.inf)

_SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 24, 31, 32, 33, 40, 63, 64, 65, 100, 129, 257)
_EXPONENTS = {"float16": (-24, 15), "bfloat16": (-133, 127), "float32": (-149, 127)}
_EXPONENTS |= {"float64": (-1074, 1023)}
_ODD = (0.0, -0.0, math.inf, -math.inf, math.nan, 1.0, -1.0)


@dataclass(frozen=True)
class Layout:
    """Where the elements of an array lie; strides and offset are counted in elements."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0

    @property
    def buffer_size(self) -> int:
        steps = (max(n - 1, 0) * s for n, s in zip(self.shape, self.strides, strict=True))
        return self.offset + 1 + sum(steps)

    def view(self, buffer: Array) -> Array:
        strides = [stride * buffer.itemsize for stride in self.strides]
        return as_strided(buffer[self.offset :], self.shape, strides)


@dataclass(frozen=True)
class Case:
    """One call: `x` and `g` are views of flat buffers."""

    dtype: str
    layout: Layout
    g_layout: Layout
    buffer: Array
    g_buffer: Array
    p: float
    dim: Any
    eps: float

    @property
    def x(self) -> Array:
        return self.layout.view(self.buffer)

    @property
    def g(self) -> Array:
        return self.g_layout.view(self.g_buffer)

    @property
    def arguments(self) -> tuple[float, Any, float]:
        return self.p, self.dim, self.eps

    def __repr__(self) -> str:
        values = f"p={self.p}, dim={self.dim}, eps={self.eps!r}"
        return f"{self.dtype} x {self.layout}, g {self.g_layout}, {values}"


def random_case(
    rng: np.random.Generator,
    dtype: str,
    *,
    orders: tuple[float, ...] = EXACT_ORDERS,
    elements: int = 2000,
) -> Case:
    """Return a case of at most about `elements` elements."""
    shape = random_shape(rng, elements)
    layout = random_layout(rng, shape)
    g_layout = Layout(shape, layout.strides) if rng.random() < 0.4 else random_layout(rng, shape)
    p = 2.0 if 2.0 in orders and rng.random() < 0.4 else float(rng.choice(orders))
    buffer = random_values(rng, layout.buffer_size, dtype)
    g_buffer = random_values(rng, g_layout.buffer_size, dtype)
    dim = random_dim(rng, len(shape))
    return Case(dtype, layout, g_layout, buffer, g_buffer, p, dim, random_eps(rng, dtype))


def random_shape(rng: np.random.Generator, elements: int) -> tuple[int, ...]:
    """Return a shape of 0 to 5 dims; the largest ones take all of `elements`."""
    shape = [int(rng.choice(_SIZES)) for _ in range(rng.integers(0, 6))]
    while math.prod(shape) > elements:
        largest = shape.index(max(shape))
        shape[largest] = 1 + shape[largest] // int(rng.integers(2, 5))
    if shape and elements > math.prod(shape) and rng.random() < 0.3:
        shape[int(rng.integers(len(shape)))] *= max(1, elements // math.prod(shape))
    if shape and rng.random() < 0.03:
        shape[int(rng.integers(len(shape)))] = 0
    return tuple(shape)


def random_layout(rng: np.random.Generator, shape: tuple[int, ...]) -> Layout:
    """Return a layout: contiguous, permuted, channels last, with gaps, or expanded."""
    kind = rng.random()
    order = list(range(len(shape)))[::-1]
    if kind > 0.3:
        rng.shuffle(order)
    if kind > 0.85 and len(shape) >= 3:  # channels last
        order = [1, *range(2, len(shape))[::-1], 0]
    gaps = 0.4 if kind > 0.5 else 0.0
    strides, step = [0] * len(shape), 1
    for d in order:
        step *= int(rng.integers(2, 4)) if rng.random() < gaps / 4 else 1
        strides[d] = step
        step = step * max(shape[d], 1) + (int(rng.integers(1, 9)) if rng.random() < gaps else 0)
    if 0.4 < kind < 0.5:  # expanded
        strides = [0 if rng.random() < 0.4 else stride for stride in strides]
    if kind > 0.7:  # what the stride of a single element is does not matter
        odd = rng.integers(0, 50, len(shape))
        strides = [int(odd[d]) if shape[d] == 1 else s for d, s in enumerate(strides)]
    return Layout(shape, tuple(strides), int(rng.integers(0, 9)) if kind > 0.6 else 0)


def random_values(rng: np.random.Generator, count: int, dtype: str) -> Array:
    """Return elements of one class, drawn at random too."""
    storage, kind = STORAGE[dtype], rng.integers(0, 10)
    if kind == 0:  # any bits
        return np.frombuffer(rng.bytes(count * np.dtype(storage).itemsize), storage).copy()
    values = rng.uniform(-1, 1, count)
    low, high = _EXPONENTS[dtype]
    if kind == 1:  # all magnitudes
        values = np.ldexp(values, rng.integers(low, high + 1, count))
    elif kind == 2:  # squares that overflow, or underflow, or neither
        values = np.ldexp(values, int(rng.integers(low // 2 - 3, high // 2 + 3)))
    elif kind == 3:  # mixed
        values = np.ldexp(values, rng.integers(-6, 7, count))
    elif kind == 4:  # ties
        values = rng.integers(-3, 4, count).astype(float)
    elif kind == 5:  # zeros
        values = np.where(rng.random(count) < 0.9, np.copysign(0.0, values), values)
    elif kind == 6:
        odd = rng.choice(_ODD, count)
        values = np.where(rng.random(count) < rng.choice([0.01, 0.3]), odd, values)
    return converted(values, dtype)


def converted(values: Array, dtype: str) -> Array:
    """Return values rounded to a dtype."""
    with np.errstate(all="ignore"):
        if dtype != "bfloat16":
            return values.astype(STORAGE[dtype])
        bits = values.astype(np.float32).view(np.uint32)
        half = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
        return np.where(np.isnan(values), 0x7FC0, half).astype(np.uint16)


def random_dim(rng: np.random.Generator, ndim: int) -> Any:
    """Return an int, a tuple, a list or None, in range."""
    if rng.random() < 0.1:
        return [None, (), []][rng.integers(3)]
    if ndim == 0 or rng.random() < 0.6:
        return int(rng.integers(-max(ndim, 1), max(ndim, 1)))
    dims = rng.permutation(ndim)[: rng.integers(1, ndim + 1)]
    signed = [int(d) - (ndim if rng.random() < 0.3 else 0) for d in dims]
    return tuple(signed) if rng.random() < 0.7 else signed


def random_eps(rng: np.random.Generator, dtype: str) -> float:
    """Return a lower bound, often the default one; 0, 1 and 2 are norms of some vectors of ints."""
    unusual = [0.0, 1e-3, 0.3, 1.0, 2.0, 1e-45, -1.0, 1e-320, math.inf, math.nan, 6e4]
    return 1e-12 if rng.random() < 0.5 else float(rng.choice(unusual))
