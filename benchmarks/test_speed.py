"""How fast the exact arithmetic is, against the functions whose bits it gives.

    pytest benchmarks

torch runs at its default number of threads, MindSpore with pynative_synchronize. The two run in
turns in one process, and the table at the end has the ratios of their medians.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from portnorm.exact import mindspore_cpu, torch_cpu

FORWARD = [
    ((8,), 0, "float32", 1.0),
    ((32, 128), 1, "float32", 1.0),
    ((1024, 1024), 1, "float32", 1.0),
    ((8192, 1024), 1, "float32", 1.0),
    ((1, 4194304), 1, "float32", 1.0),
    ((1024, 1024), 0, "float32", 0.1),
    ((32, 256, 32, 32), 1, "float32", 0.25),
    *(
        ((1024, 1024), dim, dtype, 1.5)
        for dtype in ("float16", "bfloat16", "float64")
        for dim in (1, 0)
    ),
]
GRADIENT = [((32, 128), 1), ((1024, 1024), 1), ((1024, 1024), 0), ((1000, 5), 1)]
MILLIONS = [
    ((1024, 1024), 1),
    ((1024, 1024), 0),
    ((8192, 1024), 1),
    ((1, 4194304), 1),
    ((32, 256, 32, 32), 1),
]


def tensor(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Any:
    torch = pytest.importorskip("torch")
    return torch.from_numpy(rng.standard_normal(shape)).to(getattr(torch, dtype))


def array(tensor: Any) -> Any:
    import torch

    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


@pytest.mark.parametrize(("shape", "dim", "dtype", "bar"), FORWARD)
def test_forward(
    against: Any,
    rng: np.random.Generator,
    shape: tuple[int, ...],
    dim: int,
    dtype: str,
    bar: float,
) -> None:
    x = tensor(rng, shape, dtype)
    a = array(x)
    from torch.nn.functional import normalize

    against(
        f"torch forward {dtype} {shape} dim {dim}",
        bar,
        lambda: torch_cpu.normalize(a, 2.0, dim),
        lambda: normalize(x, 2.0, dim),
    )


@pytest.mark.parametrize(("shape", "dim"), GRADIENT)
def test_gradient(against: Any, rng: np.random.Generator, shape: tuple[int, ...], dim: int) -> None:
    x, g = tensor(rng, shape, "float32"), tensor(rng, shape, "float32")
    import torch

    a, b = array(x), array(g)
    leaf = x.clone().requires_grad_()
    y = torch.nn.functional.normalize(leaf, 2.0, dim)
    against(
        f"torch gradient float32 {shape} dim {dim}",
        1.0,
        lambda: torch_cpu.normalize_vjp(a, b, 2.0, dim),
        lambda: torch.autograd.grad(y, leaf, g, retain_graph=True),
    )


@pytest.fixture
def mindspore() -> Any:
    mindspore = pytest.importorskip("mindspore")
    mindspore.set_context(pynative_synchronize=True)
    yield mindspore
    mindspore.set_context(pynative_synchronize=False)


@pytest.mark.parametrize(("shape", "axis"), MILLIONS)
def test_l2_normalize(
    against: Any, rng: np.random.Generator, mindspore: Any, shape: tuple[int, ...], axis: int
) -> None:
    x = rng.standard_normal(shape).astype(np.float32)
    native, t = mindspore.ops.L2Normalize(axis, 1e-4), mindspore.Tensor(x)
    against(
        f"MindSpore forward float32 {shape} axis {axis}",
        0.1,
        lambda: mindspore_cpu.l2_normalize(x, axis),
        lambda: native(t),
    )


def test_gradient_of_l2_normalize(benchmark: Any, rng: np.random.Generator, mindspore: Any) -> None:
    x, dy = rng.standard_normal((2, 256, 1024)).astype(np.float32)
    y = mindspore_cpu.l2_normalize(x, 1)
    kernel = mindspore.ops.operations._grad_ops.L2NormalizeGrad(1, 1e-4)
    native = [mindspore.Tensor(a) for a in (x, y, dy)]
    from time import perf_counter

    start = perf_counter()
    kernel(*native).asnumpy()
    once = perf_counter() - start
    benchmark.pedantic(
        lambda: mindspore_cpu.l2_normalize_vjp(x, y, dy, 1), rounds=15, warmup_rounds=1
    )
    benchmark.extra_info.update(
        work="MindSpore gradient float32 (256, 1024) axis 1",
        bar=0.001,
        portnorm=benchmark.stats.stats.median,
        framework=once,
    )


PEAK = """
import resource, sys
import numpy as np
from portnorm.exact import torch_cpu, mindspore_cpu

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

small, shape = np.ones((2048, 1024), np.float32), tuple(map(int, sys.argv[2:]))
call = {
    "forward": lambda x, g: torch_cpu.normalize(x),
    "gradient": lambda x, g: torch_cpu.normalize_vjp(x, g),
    "l2_normalize": lambda x, g: mindspore_cpu.l2_normalize(x, 1),
    "l2_normalize_vjp": lambda x, g: mindspore_cpu.l2_normalize_vjp(x, x, g, 1),
}[sys.argv[1]]
call(small, small)
x, g = np.ones(shape, np.float32), np.ones(shape, np.float32)
before = peak()
result = call(x, g)
print(peak() - before - result.nbytes)
"""


@pytest.mark.parametrize("work", ["forward", "gradient", "l2_normalize", "l2_normalize_vjp"])
def test_memory_beside_the_output_is_a_few_blocks(work: str) -> None:
    shape = (65536, 1024)
    command = [sys.executable, "-c", PEAK, work, *map(str, shape)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ)
    beside = int(printed.stdout)
    per_vector = 2 * 4 * shape[0] if work == "gradient" else 0
    assert beside < per_vector + 8 * 2**20, f"{beside} bytes beside {4 * math.prod(shape)}"
