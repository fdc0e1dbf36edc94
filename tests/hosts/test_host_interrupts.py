"""Interrupts at random moments, while other threads compute: no crash, and right results after it.

The arrays are so large that the system takes their memory back at once when they are freed, so
that a thread which still reads or writes it ends the process.
"""

from __future__ import annotations

from tests.conftest import needs_mindspore, needs_torch
from tests.imports.blocked import start_python
from tests.sampling import seed_of_test

INTERRUPTS = 70
"""For each of forward and gradient, of either function."""

COMMON = """
import random, signal, sys
import numpy as np
from portnorm.exact.machine import threads

threads.cores = lambda: 3  # also where there is but one
seed, interrupts = map(int, sys.argv[1:])
rng = random.Random(seed)

def interrupt(*_):
    raise KeyboardInterrupt

signal.signal(signal.SIGALRM, interrupt)

def interrupt_at_random(call):
    came = 0
    for _ in range(interrupts):
        try:
            signal.setitimer(signal.ITIMER_REAL, rng.uniform(0.0003, 0.04))
            call()
            signal.setitimer(signal.ITIMER_REAL, 0)
        except KeyboardInterrupt:
            came += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    return came

def check(call):
    expected = call()
    came = interrupt_at_random(call)
    assert came > interrupts // 20, came
    assert all(np.array_equal(call(), expected) for _ in range(3))

values = np.random.default_rng(seed).normal(size=(2048, 8192)).astype("float32")
"""

TORCH = """
import torch
import portnorm.torch as F

def normalize(x): return F.normalize(x, parity="strict")
def l2_normalize(x): return F.l2_normalize(x, 1, parity="strict")

x = torch.from_numpy(values)
for function in (normalize, l2_normalize):
    def forward(): return function(x.clone()).numpy()
    def gradient():
        leaf = x.clone().requires_grad_()
        y = function(leaf)
        (found,) = torch.autograd.grad(y, leaf, x.clone())
        return found.numpy()
    check(forward)
    check(gradient)
print("done")
"""

MINDSPORE = """
import mindspore
from mindspore import Tensor, ops
import portnorm.mindspore as F

values = values[:1024]

def forward(): return F.normalize(Tensor(values.copy()), parity="strict").asnumpy()

gradient_of = mindspore.grad(lambda x: F.normalize(x, parity="strict"))
def gradient(): return gradient_of(Tensor(values.copy())).asnumpy()

check(forward)
check(gradient)
print("done")
"""


def run_interrupted(program: str, interrupts: int) -> None:
    result = start_python(COMMON + program, str(seed_of_test()), str(interrupts))
    assert (result.returncode, result.stdout.split()) == (0, ["done"]), result.stderr


@needs_torch
def test_interrupts_leave_the_memory_of_torch_tensors_to_those_who_work_on_it(
    share: float,
) -> None:
    run_interrupted(TORCH, int(INTERRUPTS * share))


@needs_mindspore
def test_interrupts_leave_the_memory_of_mindspore_tensors_to_those_who_work_on_it(
    share: float,
) -> None:
    run_interrupted(MINDSPORE, int(INTERRUPTS * share))
