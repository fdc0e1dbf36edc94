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

from portnorm.compare.bench import CASES, Case, calls, wait_for_results
from portnorm.compare.functions import frameworks
from portnorm.exact import mindspore_cpu


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_against_the_framework(against: Any, case: Case) -> None:
    pytest.importorskip(case.framework)
    wait_for_results(frameworks())
    against(case.name, case.goal, *calls(case))


def test_gradient_of_l2_normalize(benchmark: Any, rng: np.random.Generator) -> None:
    mindspore = pytest.importorskip("mindspore")
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
