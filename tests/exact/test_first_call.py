"""How much is compiled for the commonest calls: what they run, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from portnorm.exact.machine.compilation import kernel
from tests.imports.blocked import run_python, start_python

COUNT = """
import json, sys
from numba.core import event

class Compiled(event.Listener):
    names = []
    def on_start(self, event):
        self.names.append(event.data["dispatcher"].py_func.__qualname__)
    def on_end(self, event):
        pass

event.register("numba:compile", Compiled())
import numpy as np
from portnorm.exact import accurate, mindspore_cpu, torch_cpu
x = np.ones((4, 40), np.float32)
definition = accurate.Definition((1,), 1e-12, False)
counts = []
for call in sys.argv[1:]:
    before = len(Compiled.names)
    exec(call)
    counts.append(Compiled.names[before:])
json.dump(counts, sys.stdout)
"""

COMMONEST = {
    "torch_cpu.normalize(x)": 13,
    "torch_cpu.normalize_vjp(x, x)": 14,
    "mindspore_cpu.l2_normalize(x, 1)": 14,
    "accurate.divide(x, definition)": 14,
}
"""Functions that a call compiles, at most, in this order and one process."""


def compiled(cache: Path, *calls: str) -> list[list[str]]:
    """Return the names of the functions that each of the calls compiles in a fresh process."""
    result = start_python(COUNT, *calls, environment={"NUMBA_CACHE_DIR": str(cache)})
    assert result.returncode == 0, result.stderr
    names: list[list[str]] = json.loads(result.stdout)
    return names


def test_the_commonest_calls_compile_few_functions(tmp_path: Path) -> None:
    names = compiled(tmp_path, *COMMONEST)
    counts = {call: len(found) for call, found in zip(COMMONEST, names, strict=True)}
    assert all(counts[call] <= most for call, most in COMMONEST.items()), names
    assert counts["torch_cpu.normalize(x)"] > 5  # what is compiled is noticed


def test_a_second_process_compiles_none(tmp_path: Path) -> None:
    compiled(tmp_path, *COMMONEST)
    assert compiled(tmp_path, *COMMONEST) == [[]] * len(COMMONEST)


def test_a_call_with_another_sum_adds_its_own_kernel_and_no_more(tmp_path: Path) -> None:
    first, again, other = compiled(
        tmp_path, *["torch_cpu.normalize(x)"] * 2, "torch_cpu.normalize(x, 1.0)"
    )
    assert first
    assert again == []
    assert any("divide_by_norms" in name for name in other)
    assert not any("sum_squares" in name for name in other)


REHEARSED = (
    "torch_cpu.normalize(x)",
    "torch_cpu.normalize(x, 1.0, (0, 2))",
    "torch_cpu.normalize_vjp(x, x, dim=0)",
    "torch_cpu.normalize_vjp(x, x, 1.0, (0, 2))",
    "torch_cpu.normalize_vjp(large, large)",
    "torch_cuda.normalize(x, reference=device)",
    "torch_cuda.normalize_vjp(x, x, reference=device)",
    "mindspore_cpu.l2_normalize(x, 1)",
    "mindspore_cpu.l2_normalize_vjp(large, large, large, 0)",
    "accurate.divide(x, definition)",
    "accurate.divide_vjp(x, x, definition)",
)
READY = """
from portnorm import TorchReference
from portnorm.exact import torch_cuda
from portnorm.exact.machine.threads import rehearsal
x = np.ones((4, 40, 3), np.float32)
large = np.ones((4, 1 << 18, 3), np.float32)
device = TorchReference("2.11.0", "cuda")
"""


def test_nothing_is_left_to_compile_after_a_rehearsal(tmp_path: Path) -> None:
    twice = [call for called in REHEARSED for call in (f"with rehearsal(): {called}", called)]
    _, *names = compiled(tmp_path, READY, *twice)
    assert dict(zip(REHEARSED, names[1::2], strict=True)) == {call: [] for call in REHEARSED}
    assert sum(map(bool, names[::2])) > 5


LARGE = """
import resource
import numpy as np
from portnorm.exact import torch_cpu
from portnorm.exact.machine.threads import rehearsal

def megabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

torch_cpu.normalize(np.ones((2, 2), np.float32))
torch_cpu.normalize_vjp(np.ones((2, 2), np.float32), np.ones((2, 2), np.float32))
before = megabytes()
x = np.zeros((1 << 15, 1 << 13), np.float32)
with rehearsal():
    torch_cpu.normalize(x)
    torch_cpu.normalize_vjp(x, x)
assert megabytes() - before < 200
y = torch_cpu.normalize(np.ones((1 << 11, 1 << 10), np.float32))
assert (y == 1 / 32).all()
"""


def test_a_rehearsal_touches_no_memory_and_ends() -> None:
    run_python(LARGE)


def test_kernels_that_a_factory_makes_are_told_apart_on_the_disk(tmp_path: Path) -> None:
    """They have one source, so that only their names differ."""
    program = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
import numpy as np
import factory
result = factory.adder(int(sys.argv[1]))(np.float64(1))
print(result, sum(factory.adder(1).stats.cache_hits.values()))
"""
    (tmp_path / "factory.py").write_text(FACTORY)
    environment = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    printed = [
        start_python(program, added, environment=environment).stdout.split()
        for added in ("1", "2", "1", "2")
    ]
    assert [value for value, _ in printed] == ["2.0", "3.0", "2.0", "3.0"]
    assert printed[2][1] == "1"
    indexes = {path.name.partition("-")[0] for path in tmp_path.rglob("*.nbi")}
    assert indexes == {"factory.adder_add_1", "factory.adder_add_2"}


FACTORY = """
import functools
from portnorm.exact.machine.compilation import kernel

@functools.cache
def adder(added):
    def add(value):
        return value + added
    return kernel(add, added)
"""


@pytest.mark.parametrize("of", [(), (1, True), (2.5,)])
def test_the_name_of_a_kernel_says_what_it_was_made_of(of: tuple[Any, ...]) -> None:
    def double(value: Any) -> Any:
        return value + value

    assert kernel(double, *of)(np.float32(2)) == 4
    assert all(str(value).replace(".", "_") in double.__qualname__ for value in of)
    assert double.__qualname__.endswith("double" if not of else str(of[-1]).replace(".", "_"))
