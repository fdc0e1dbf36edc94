"""What the first call takes of the processor's time: with nothing compiled yet, and with all of it.

    python benchmarks/first_call.py

Each line is a fresh process with a cache of its own, and the time starts after NumPy and Numba are
imported. A call that adds to another one, as a gradient does, counts without it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

COLD, WARM = 2.0, 0.5
"""Seconds that most first calls may take."""

MEASURE = """
import json, sys, time
import numba, numpy as np

def timed(code):
    start = time.process_time()
    exec(code, names)
    return time.process_time() - start

names = {"np": np}
times = [timed(code) for code in sys.argv[1:]]
json.dump(times, sys.stdout)
"""

STRICT = """
from portnorm.exact import mindspore_cpu, torch_cpu
from portnorm.reference import TorchReference
def array(dtype, *shape):
    return np.ones(shape, np.uint16 if dtype == "bfloat16" else dtype)
x = array({dtype!r}, 4, 40)
"""
SEMANTIC = """
from portnorm.exact.accurate import Definition, divide, divide_vjp
x, definition = np.ones((4, 40), np.float32), Definition(({dim},), 1e-12, False)
"""
FORWARD, GRADIENT = "torch_cpu.normalize(x)", "torch_cpu.normalize_vjp(x, x)"


def strict(dtype: str, *calls: str) -> list[str]:
    """Return calls, of which the first one also imports and makes an array."""
    first, *others = calls
    return [STRICT.format(dtype=dtype) + first, *others]


Case = tuple[str, list[str], float]
"""What it is, what is called, and how long the last one of that may take."""

CASES: list[Case] = [
    *(
        (f"strict normalize, {dtype}", strict(dtype, FORWARD), COLD)
        for dtype in ("float32", "float64", "float16", "bfloat16")
    ),
    *(
        (f"  its gradient, {dtype}", strict(dtype, FORWARD, GRADIENT), COLD)
        for dtype in ("float32", "float64", "float16", "bfloat16")
    ),
    *(
        (f"strict l2_normalize, {dtype}", strict(dtype, "mindspore_cpu.l2_normalize(x, 1)"), COLD)
        for dtype in ("float32", "float16")
    ),
    (
        "  its gradient, float32",
        strict(
            "float32",
            "y = mindspore_cpu.l2_normalize(x, 1)",
            "mindspore_cpu.l2_normalize_vjp(x, y, x, 1)",
        ),
        COLD,
    ),
    *(
        (f"  then {what}", strict("float32", FORWARD, GRADIENT, call), 3.0)
        for what, call in {
            "p=1": "torch_cpu.normalize(x, 1.0)",
            "p=3": "torch_cpu.normalize(x, 3.0)",
            "p=inf with gradient": "torch_cpu.normalize_vjp(x, x, np.inf)",
            "dim 0": "torch_cpu.normalize(x, 2.0, 0)",
            "dim 0 with gradient": "torch_cpu.normalize_vjp(x, x, 2.0, 0)",
            "a transposed array": "torch_cpu.normalize(x.T)",
            "torch 2.7.1": "torch_cpu.normalize(x, reference=TorchReference('2.7.1'))",
            "three dims": "x = array('float32', 3, 4, 5); torch_cpu.normalize(x, 2.0, (0, 2))",
        }.items()
    ),
    ("semantic forward", [SEMANTIC.format(dim=1) + "divide(x, definition)"], 1.0),
    ("semantic forward, dim 0", [SEMANTIC.format(dim=0) + "divide(x, definition)"], 1.0),
    (
        "semantic forward and gradient",
        [SEMANTIC.format(dim=1) + "divide(x, definition); divide_vjp(x, x, definition)"],
        2.0,
    ),
]


def measure(calls: list[str], cache: str) -> float:
    """Return the processor's time of the last call in a fresh process."""
    root = str(Path(__file__).parents[1])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    variables = {**os.environ, "NUMBA_CACHE_DIR": cache, "PYTHONPATH": path}
    command = [sys.executable, "-c", MEASURE, *calls]
    run = subprocess.run(command, env=variables, check=True, capture_output=True, text=True)
    return float(json.loads(run.stdout)[-1])


def main() -> int:
    """Print a table; the status says whether a goal was missed."""
    missed = False
    print(f"{'first call':<36} {'cold s':>7} {'goal':>5} {'warm s':>7} {'goal':>5}")
    for what, calls, goal in CASES:
        with tempfile.TemporaryDirectory() as cache:
            cold, warm = measure(calls, cache), measure(calls, cache)
        verdict = "" if cold <= goal and warm <= WARM else "  missed"
        missed |= bool(verdict)
        print(f"{what:<36} {cold:7.2f} {goal:5.1f} {warm:7.2f} {WARM:5.1f}{verdict}", flush=True)
    return missed


if __name__ == "__main__":
    sys.exit(main())
