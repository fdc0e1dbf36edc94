"""What a first call takes of the processor's time: with nothing compiled yet, and with all of it.

    pytest benchmarks/test_first_call.py

Each figure is from a fresh process, each cold one with a cache of its own. The time starts when the
framework is imported and has the tensor, so that portnorm, Numba and kernels count. A call that
adds to others, as a gradient does, counts without them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

WARM = 0.5
"""Seconds that a call may take once its code is on the disk."""

TORCH = """
import torch
x = torch.ones(4, 40, dtype=torch.{dtype}, requires_grad=True)
torch.autograd.grad(x * 1, x, x)
"""
MINDSPORE = """
import mindspore
from mindspore import ops
x = mindspore.Tensor([[1.0] * 40] * 4, mindspore.{dtype})
mindspore.grad(lambda x: x.sum())(x).asnumpy()
"""
PREPARE = {"torch": TORCH, "mindspore": MINDSPORE}

MEASURE = """
import json, sys, time
prepare, *calls = sys.argv[1:]
names = {"__name__": "__main__"}
exec(prepare, names)
for call in calls:
    start = time.process_time()
    exec(call, names)
    taken = time.process_time() - start
json.dump(taken, sys.stdout)
"""

IMPORT = "from portnorm.{host} import l2_normalize, normalize; import portnorm"
STRICT = "portnorm.set_options(parity='strict'{reference})"
BACKWARD = "torch.autograd.grad(normalize(x), x, x)"


class FirstCall(NamedTuple):
    """A call, and how many seconds it may take when nothing is compiled.

    Attributes:
        work: what it is.
        goal: in seconds.
        host: whose tensors it takes.
        calls: what is called before, and last what counts. The first one also imports portnorm.
        dtype: of the tensor.
        options: what is set.
    """

    work: str
    goal: float
    host: str
    calls: tuple[str, ...]
    dtype: str = "float32"
    options: str = STRICT.format(reference="")

    def code(self) -> list[str]:
        """Return what is run: what does not count, and the calls."""
        first, *others = self.calls
        prepare = PREPARE[self.host].format(dtype=self.dtype)
        return [prepare, "\n".join((IMPORT.format(host=self.host), self.options, first)), *others]


FORWARD = "normalize(x.detach())"
SEMANTIC: dict[str, Any] = {"host": "mindspore", "options": ""}
FIRST_CALLS = (
    FirstCall("semantic forward", 1.0, calls=("normalize(x).asnumpy()",), **SEMANTIC),
    FirstCall("semantic forward, dim 0", 1.0, calls=("normalize(x, dim=0).asnumpy()",), **SEMANTIC),
    FirstCall(
        "semantic with gradient",
        2.0,
        calls=("mindspore.grad(lambda x: normalize(x).sum())(x).asnumpy()",),
        **SEMANTIC,
    ),
    *(
        FirstCall(f"strict {what}", 2.0, "torch", calls, dtype)
        for dtype in ("float32", "float64", "float16", "bfloat16")
        for what, calls in {
            "forward": (FORWARD,),
            "gradient, after the forward": (FORWARD, BACKWARD),
        }.items()
    ),
    *(
        FirstCall(f"strict l2_normalize {what}", 2.0, "torch", calls, dtype)
        for dtype in ("float32", "float16")
        for what, calls in {
            "forward": ("l2_normalize(x.detach(), 1)",),
            "gradient, after the forward": (
                "l2_normalize(x.detach(), 1)",
                "torch.autograd.grad(l2_normalize(x, 1), x, x)",
            ),
        }.items()
    ),
    *(
        FirstCall(f"strict {what}, after gradients", 3.0, "torch", (BACKWARD, call))
        for what, call in {
            "p=1": "normalize(x.detach(), 1.0)",
            "p=3": "normalize(x.detach(), 3.0)",
            "p=inf with gradient": "torch.autograd.grad(normalize(x, float('inf')), x, x)",
            "dim 0 with gradient": "torch.autograd.grad(normalize(x, dim=0), x, x)",
            "transposed": "normalize(x.detach().T)",
            "three dims": "normalize(torch.ones(3, 4, 5), 2.0, (0, 2))",
            "build of torch 2.7.1": STRICT.format(
                reference=", reference=portnorm.TorchReference('2.7.1')"
            )
            + f"; {FORWARD}",
        }.items()
    ),
)


@pytest.mark.parametrize("first", FIRST_CALLS, ids=lambda first: f"{first.work} {first.dtype}")
def test_first_call(first_calls: list[dict[str, Any]], first: FirstCall, tmp_path: Path) -> None:
    pytest.importorskip(first.host)
    cold, warm = (_seconds(first, tmp_path) for _ in ("cold", "warm"))
    work = f"{first.host} {first.work} {first.dtype}"
    first_calls.append({"work": work, "cold": cold, "goal": first.goal, "warm": warm, "most": WARM})


def _seconds(first: FirstCall, cache: Path) -> float:
    """Return the processor's time of the last call in a fresh process."""
    root = str(Path(__file__).parents[1])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    variables = {**os.environ, "NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": path}
    command = [sys.executable, "-c", MEASURE, *first.code()]
    run = subprocess.run(command, env=variables, check=True, capture_output=True, text=True)
    return float(json.loads(run.stdout.splitlines()[-1]))
