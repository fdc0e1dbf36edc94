"""The live MindSpore: ops.L2Normalize, and the gradient of its kernel.

Where its result depends on whether a thread flushes subnormals, or on which epsilon was used first,
there is nothing to compare with: float32 and float64 keep to moderate magnitudes here, and epsilon
to more than 5e-18.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from portnorm.exact import mindspore_cpu
from portnorm.exact.machine.ieee import flushed
from portnorm.reference import MindSporeReference
from tests.exact.compiled import from_python
from tests.exact.random_cases import random_values
from tests.exact.same_encoding import Array, mismatch

DTYPES = pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
EPSILONS = (1e-4, 1e-4, 0.5, 2.0, 1e-2, 1e-12)
CASES = 60


@pytest.fixture(scope="module", autouse=True)
def _synchronous() -> Iterator[None]:
    mindspore = pytest.importorskip("mindspore", reason="compares with the live MindSpore")
    before = mindspore.get_context("pynative_synchronize")
    mindspore.set_context(pynative_synchronize=True)
    yield
    mindspore.set_context(pynative_synchronize=before)


@functools.cache
def operator(axis: int, epsilon: float) -> Any:
    from mindspore import ops

    return ops.L2Normalize(axis, epsilon)


def native_forward(x: Array, axis: int, epsilon: float) -> Array:
    from mindspore import Tensor

    result: Array = operator(axis, epsilon)(Tensor(x)).asnumpy()
    return result


def native_gradient(x: Array, dy: Array, axis: int, epsilon: float) -> Array:
    from mindspore import Tensor, nn, ops

    class Call(nn.Cell):  # type: ignore[misc]
        def construct(self, x: Tensor) -> Tensor:
            return operator(axis, epsilon)(x)

    gradient = ops.GradOperation(sens_param=True)(Call())
    result: Array = gradient(Tensor(x), Tensor(dy)).asnumpy()
    return result


def values(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
    """Return values whose squares, and products of two quotients, are not subnormal."""
    count = int(np.prod(shape))
    if dtype == "float16":  # its conversions do not flush
        return random_values(rng, count, dtype).reshape(shape)
    spread = int(rng.choice([1, 10]))
    drawn = np.ldexp(rng.uniform(0.5, 1, count), rng.integers(-spread, spread + 1, count))
    drawn *= rng.choice([-1, 1], count)
    odd = rng.choice([0.0, -0.0, np.inf, np.nan], count)
    share = float(rng.choice([0, 0, 0.02, 0.2]))
    return np.where(rng.random(count) < share, odd, drawn).astype(dtype).reshape(shape)


def mismatches(
    rng: np.random.Generator, dtype: str, reference: MindSporeReference, kind: str
) -> list[str]:
    found = []
    for number in range(CASES):
        ndim = int(rng.integers(1, 5))
        longest = 40 if ndim == 1 else 12 if ndim == 2 else 6
        if kind == "forward":
            longest *= 3 if number % 10 else 12
        shape = tuple(int(n) for n in rng.integers(1, longest, ndim))
        x, dy = values(rng, shape, dtype), values(rng, shape, dtype)
        axis = int(rng.integers(-ndim, ndim))
        epsilon = float(rng.choice(EPSILONS[: 5 if dtype == "float16" else 6]))
        case = f"case {number}: {shape}, axis={axis}, epsilon={epsilon}"
        y = mindspore_cpu.l2_normalize(x, axis, epsilon, reference)
        if kind == "forward":
            what = mismatch(y, native_forward(x, axis, epsilon))
        else:
            dx = mindspore_cpu.l2_normalize_vjp(x, y, dy, axis, epsilon, reference)
            what = mismatch(dx, native_gradient(x, dy, axis, epsilon))
        if what:
            found.append(f"{case}: {what}")
    return found


@DTYPES
@pytest.mark.parametrize("kind", ["forward", "gradient"])
def test_random_cases(rng: np.random.Generator, dtype: str, kind: str) -> None:
    assert mismatches(rng, dtype, MindSporeReference.current(), kind) == []


@DTYPES
@pytest.mark.parametrize(
    ("shape", "axis"),
    [((5, 63), 1), ((3, 64), 1), ((2, 2, 257), 2), ((2, 513), -1), ((300, 1), 0), ((130, 9), 0)],
)
def test_gradients_of_long_vectors(
    rng: np.random.Generator, dtype: str, shape: tuple[int, ...], axis: int
) -> None:
    """Vectors by themselves are read along, in several rows, and those beside others across."""
    x, dy = values(rng, shape, dtype), values(rng, shape, dtype)
    y = mindspore_cpu.l2_normalize(x, axis)
    dx = mindspore_cpu.l2_normalize_vjp(x, y, dy, axis, 1e-4, MindSporeReference.current())
    assert mismatch(dx, native_gradient(x, dy, axis, 1e-4)) == ""


@pytest.mark.parametrize("kind", ["forward", "gradient"])
def test_a_planted_fault_is_found(rng: np.random.Generator, kind: str) -> None:
    other = replace(MindSporeReference("2.9.0"), machine="aarch64")
    assert mismatches(rng, "float32", other, kind)


@DTYPES
def test_the_default_epsilon_and_axis_at_zero(dtype: str) -> None:
    x = np.zeros((3, 2), dtype)
    dy = np.array([[1, -1], [2, 0], [3, 4]], dtype)
    y = mindspore_cpu.l2_normalize(x)
    assert mismatch(y, native_forward(x, 0, 1e-4)) == ""
    dx = mindspore_cpu.l2_normalize_vjp(x, y, dy)
    assert mismatch(dx, native_gradient(x, dy, 0, 1e-4)) == ""


def test_the_values_keep_away_from_subnormals(rng: np.random.Generator) -> None:
    x = values(rng, (5000,), "float32")
    product = np.square(x[np.isfinite(x)])
    flush = from_python(flushed)
    assert [flush(value, product) for value in product] == product.tolist()
