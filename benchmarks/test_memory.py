"""What a call of the exact arithmetic takes of memory, beside its output."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import pytest

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
