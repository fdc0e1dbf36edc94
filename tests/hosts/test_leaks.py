"""Thousands of calls leave no memory, file descriptor or thread behind; `--full` makes more.

What C's library has handed out is counted to the byte, and Python takes all of its memory from it,
so that few calls show a leak.
"""

from __future__ import annotations

import ctypes
import json
import sys
from typing import NamedTuple

import pytest

from tests.conftest import needs_mindspore, needs_torch
from tests.imports.blocked import run_python

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_info"),
    reason="reads /proc, and what malloc of glibc says",
)

PROGRAM = """
import ctypes, gc, json, os, threading
from xml.etree import ElementTree

{calls}

libc = ctypes.CDLL(None)
libc.open_memstream.restype = ctypes.c_void_p

def in_use():
    text, size = ctypes.c_char_p(), ctypes.c_size_t()
    stream = ctypes.c_void_p(libc.open_memstream(ctypes.byref(text), ctypes.byref(size)))
    libc.malloc_info(0, stream)
    libc.fclose(stream)
    root = ElementTree.fromstring(text.value)
    libc.free(text)
    def bytes_of(name, kind):
        return int(root.find(f"./{{name}}[@type='{{kind}}']").get("size"))
    free = bytes_of("total", "fast") + bytes_of("total", "rest")
    return bytes_of("system", "current") + bytes_of("total", "mmap") - free

def measure():
    gc.collect()
    tasks = len(os.listdir("/proc/self/task"))
    return in_use(), len(os.listdir("/proc/self/fd")), threading.active_count(), tasks

for _ in range({count} // 5):
    call()
before = measure()
for _ in range({count}):
    call()
print(json.dumps([b - a for a, b in zip(before, measure())]))
"""

BYTES_PER_CALL = 40
"""Less than the smallest object of a round."""


class Growth(NamedTuple):
    """What is there more of after the calls than before."""

    memory: int
    descriptors: int
    threads: int
    tasks: int


def growth(calls: str, count: int) -> Growth:
    """Run code that defines ``call``, a round of two or four calls, and call it after a warm-up."""
    program = PROGRAM.format(calls=calls, count=count)
    return Growth(*json.loads(run_python(program, environment={"PYTHONMALLOC": "malloc"})))


def check(found: Growth, count: int) -> None:
    assert found.memory < BYTES_PER_CALL * count, found
    assert found[1:] == (0, 0, 0), found


ON_ARRAYS = """
import numpy as np
from portnorm.exact import mindspore_cpu, torch_cpu

x = np.linspace(-1, 2, 32, dtype=np.float32).reshape(4, 8)

def call():
    torch_cpu.normalize_vjp(x, torch_cpu.normalize(x, 2.0, 1), 2.0, 1)
    mindspore_cpu.l2_normalize_vjp(x, mindspore_cpu.l2_normalize(x, 1), x, 1)
"""

ON_TORCH = """
import torch
import portnorm.torch as host

x = torch.linspace(-1, 2, 32).reshape(4, 8).requires_grad_()
g = torch.ones(4, 8)

def call():
    torch.autograd.grad(host.normalize(x, parity="strict"), x, g)
    torch.autograd.grad(host.l2_normalize(x, parity="strict"), x, g)
"""

ON_MINDSPORE = """
import mindspore, numpy as np
from mindspore import Tensor, ops
import portnorm.mindspore as host

mindspore.runtime.launch_blocking()
x = Tensor(np.linspace(-1, 2, 32, dtype=np.float32).reshape(4, 8))
"""
FORWARD = """
def call():
    host.normalize(x, parity="strict")
    host.l2_normalize(x, parity="strict")
    host.normalize(x)
    host.l2_normalize(x)
"""
GRADIENTS = """
of_strict, of_semantic = (
    ops.GradOperation(sens_param=True)(lambda t, level=level: host.normalize(t, parity=level))
    for level in ("strict", "semantic")
)

def call():
    of_strict(x, x)
    of_semantic(x, x)
"""
BARE_GRADIENTS = """
from mindspore.common._grad_function import _Function

class Bare(_Function):
    @staticmethod
    def forward(context, x, *others):
        return x * 1

    @staticmethod
    def backward(context, dy):
        return dy, None, None

of_bare = ops.GradOperation(sens_param=True)(lambda t: Bare.apply(t, None, None))

def call():
    of_bare(x, x)
    of_bare(x, x)
"""


def test_the_exact_arithmetic_leaves_nothing_behind(share: float) -> None:
    count = int(10_000 * share)
    check(growth(ON_ARRAYS, count), count)


@needs_torch
def test_strict_calls_and_gradients_on_torch_leave_nothing_behind(share: float) -> None:
    count = int(10_000 * share)
    check(growth(ON_TORCH, count), count)


@needs_mindspore
def test_calls_on_mindspore_leave_nothing_behind(share: float) -> None:
    count = int(10_000 * share)
    check(growth(ON_MINDSPORE + FORWARD, count), count)


@needs_mindspore
def test_gradients_on_mindspore_leave_no_more_behind_than_its_own_function_does(
    share: float,
) -> None:
    """MindSpore 2.7 to 2.10 keeps a tuple for each call of a `_Function`: 64 bytes for three
    arguments.
    """
    count = int(4_000 * share)
    found, bare = (growth(ON_MINDSPORE + calls, count) for calls in (GRADIENTS, BARE_GRADIENTS))
    check(found._replace(memory=found.memory - bare.memory), count)


PLANTED = {
    "memory": "kept.append(bytes(100))",
    "descriptors": "os.dup(0)",
    "threads": "threading.Thread(target=threading.Event().wait, daemon=True).start()",
}


@pytest.mark.parametrize(
    ("leak", "count"), [("memory", 1_000), ("descriptors", 20), ("threads", 20)]
)
def test_a_planted_leak_is_found(leak: str, count: int) -> None:
    found = growth(f"kept = []\ndef call():\n    {PLANTED[leak]}\n", count)
    with pytest.raises(AssertionError, match="Growth"):
        check(found, count)
    assert getattr(found, leak) >= count
