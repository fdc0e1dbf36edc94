"""Speed of `portnorm.mindspore` against `mindspore.ops.L2Normalize`, on tensors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

mindspore = pytest.importorskip("mindspore")

from mindspore import Tensor, ops  # noqa: E402

import portnorm.mindspore as adapted  # noqa: E402

MILLION = [((1024, 1024), 1), ((1024, 1024), 0), ((131072, 8), 1)]
DTYPES = ["float16", "float32", "float64"]


@pytest.fixture(autouse=True)
def _synchronous() -> Iterator[None]:
    mindspore.set_context(pynative_synchronize=True)
    yield
    mindspore.set_context(pynative_synchronize=False)


def functions(axis: int, parity: str) -> tuple[Any, Any]:
    native = ops.L2Normalize(axis, 1e-4)

    def theirs(x: Any) -> Any:
        return native(x)

    def ours(x: Any) -> Any:
        return adapted.l2_normalize(x, axis, parity=parity)

    return ours, theirs


def summed(function: Any) -> Any:
    return mindspore.grad(lambda x: function(x).sum())


def tensor(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Any:
    return Tensor(rng.standard_normal(shape).astype(dtype))


@pytest.mark.parametrize(("shape", "axis"), [((8,), 0), ((32, 128), 1)])
def test_small_strict_call(against: Any, rng: np.random.Generator, shape: Any, axis: int) -> None:
    x = tensor(rng, shape, "float32")
    _, theirs = functions(axis, "strict")
    against(
        f"strict normalize {shape}",
        1.5,
        lambda: adapted.normalize(x, 2.0, axis, parity="strict"),
        lambda: theirs(x),
    )


@pytest.mark.parametrize("shape", [(8,)])
def test_small_strict_gradient(against: Any, rng: np.random.Generator, shape: Any) -> None:
    x = tensor(rng, shape, "float32")
    ours, theirs = map(summed, functions(0, "strict"))
    against(f"strict gradient {shape}", 1.5, lambda: ours(x), lambda: theirs(x))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", ["pynative", "jit"])
@pytest.mark.parametrize(("shape", "axis"), MILLION)
def test_large_semantic_call(
    against: Any, rng: np.random.Generator, shape: Any, axis: int, mode: str, dtype: str
) -> None:
    x = tensor(rng, shape, dtype)
    ours, theirs = functions(axis, "semantic")
    if mode == "jit":
        ours, theirs = mindspore.jit(ours), mindspore.jit(theirs)
    work = f"semantic {mode} {dtype} {shape} axis {axis}"
    against(work, 0.2, lambda: ours(x).asnumpy(), lambda: theirs(x).asnumpy())


@pytest.mark.parametrize("dtype", DTYPES)
def test_large_semantic_gradient(against: Any, rng: np.random.Generator, dtype: str) -> None:
    """Vectors are short, because MindSpore's own time grows with the square of their length."""
    x = tensor(rng, (131072, 8), dtype)
    ours, theirs = map(summed, functions(1, "semantic"))
    work = f"semantic gradient {dtype} (131072, 8)"
    against(work, 0.2, lambda: ours(x), lambda: theirs(x))
