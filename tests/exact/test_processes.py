"""Threads, forks and fresh processes: the same bits, and code that is compiled but once."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import portnorm
from portnorm.exact import mindspore_cpu, torch_cpu
from portnorm.exact.machine import threads
from tests.exact.compiled import from_python
from tests.exact.random_cases import random_values
from tests.exact.same_encoding import Array, check_bits, mismatch
from tests.imports.blocked import start_python

# --- cores and threads ---------------------------------------------------------------------------

LARGE_CASES = {
    "rows": ((1200, 1024), "float32", 1),
    "columns": ((1200, 1024), "float32", 0),
    "one vector": ((1 << 21,), "float32", 0),
    "all dims": ((1024, 1100), "float64", None),
    "middle": ((24, 220, 220), "bfloat16", 1),
    "half": ((1100, 1000), "float16", 1),
}


def large_results(rng: np.random.Generator, name: str) -> list[Array]:
    shape, dtype, dim = LARGE_CASES[name]
    count = int(np.prod(shape))
    x, g = (random_values(rng, count, dtype).reshape(shape) for _ in range(2))
    found = [torch_cpu.normalize(x, 2.0, dim), torch_cpu.normalize_vjp(x, g, 2.0, dim)]
    if dtype != "bfloat16" and dim is not None:
        y = mindspore_cpu.l2_normalize(x, dim)
        found.append(y)
        if dim == 1:
            found.append(mindspore_cpu.l2_normalize_vjp(x, y, g, dim))
    return found


def with_cores(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(threads, "cores", lambda: count)
    threads._pools.clear()


@pytest.mark.parametrize("name", LARGE_CASES)
def test_several_cores_give_the_bits_of_one(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator, name: str
) -> None:
    seed = int(rng.integers(2**32))
    submitted: list[object] = []
    submit = threads._submit
    monkeypatch.setattr(threads, "_submit", lambda *a: (submitted.append(a), submit(*a))[1])
    with_cores(monkeypatch, 1)
    expected = large_results(np.random.default_rng(seed), name)
    assert submitted == []
    with_cores(monkeypatch, 4)
    found = large_results(np.random.default_rng(seed), name)
    assert submitted
    for one, other in zip(found, expected, strict=True):
        check_bits(one, other)
    threads._pools.clear()


@pytest.mark.parametrize("shares", [1, 2, 3, 7])
@pytest.mark.parametrize("units", [1, 2, 7, 24])
def test_each_unit_is_taken_once_and_neighbours_far_apart(units: int, shares: int) -> None:
    queue = np.array((0, 0, units, min(shares, units)))
    take, take_next = from_python(threads.take), from_python(threads.take_next)
    taken = [take(queue)]
    while taken[-1] >= 0:
        taken.append(take_next(queue))
    assert sorted(taken) == [-1, *range(units)]
    assert queue[1] == units
    if units >= 3 * shares > 3:
        assert abs(taken[1] - taken[0]) >= units // shares


def test_a_thread_that_comes_late_keeps_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the next result cannot have that memory, and is written to new pages."""
    with_cores(monkeypatch, 2)
    busy, late = threading.Event(), threading.Event()

    def keep_busy(queue: None, buffer: Array) -> None:
        busy.set()
        late.wait(10)

    threads._submit([keep_busy, None, (1, np.float32), ()])
    assert busy.wait(10)
    y = torch_cpu.normalize(np.ones((1024, 1024), np.float32))
    kept = weakref.ref(y)
    del y
    assert kept() is None
    late.set()
    threads._pools.clear()


def test_the_caller_does_without_a_thread_that_has_no_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caller = threading.current_thread()
    refused = threading.Event()
    done: list[int] = []

    def kernel(queue: Array, buffer: Array, units: int) -> None:
        if threading.current_thread() is not caller:
            refused.set()
            raise MemoryError
        assert refused.wait(10)
        unit = from_python(threads.take)(queue)
        while unit >= 0:
            done.append(unit)
            unit = from_python(threads.take_next)(queue)

    with_cores(monkeypatch, 2)
    for _ in range(2):  # the thread is still there
        refused.clear()
        threads.run(kernel, 5, threads.SMALLEST_WORK, (0, np.float32), 5)
        assert refused.is_set()
    assert sorted(done) == sorted([*range(5), *range(5)])
    threads._pools.clear()


def test_one_thread_does_all_where_no_other_can_be_started(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    x = random_values(rng, 1 << 20, "float32").reshape(1024, 1024)
    expected = torch_cpu.normalize(x)
    with_cores(monkeypatch, 2)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    check_bits(torch_cpu.normalize(x), expected)
    assert threads._pools == {os.getpid(): None}
    threads._pools.clear()


def small_calls(rng: np.random.Generator) -> list[tuple[Any, ...]]:
    """Return calls of all functions, of which some are large enough for several cores."""
    calls: list[tuple[Any, ...]] = []
    for dtype in ("float16", "bfloat16", "float32", "float64"):
        for shape in ((7, 33), (64, 20), (1100, 1000)):
            x, g = (random_values(rng, int(np.prod(shape)), dtype).reshape(shape) for _ in "xg")
            calls += [(torch_cpu.normalize, x, 2.0, dim) for dim in (0, 1)]
            if x.size < 1 << 20 or dtype == "float32":
                calls.append((torch_cpu.normalize_vjp, x, g, 1.0, 1))
            if dtype != "bfloat16":
                calls.append((mindspore_cpu.l2_normalize, x, 1))
    return calls


def test_concurrent_calls_give_the_bits_that_single_ones_do(rng: np.random.Generator) -> None:
    calls = small_calls(rng)
    expected = [function(*arguments) for function, *arguments in calls]

    def wrong_ones(worker: int) -> int:
        order = np.random.default_rng(worker).permutation(len(calls))
        return sum(
            mismatch(calls[k][0](*calls[k][1:]), expected[k]) != "" for k in [*order, *order]
        )

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(wrong_ones, range(8))) == [0] * 8


def names_of_threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_after_a_fork_gives_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    with_cores(monkeypatch, 2)
    x = random_values(rng, 1 << 21, "float32").reshape(2048, 1024)
    expected = torch_cpu.normalize(x)
    tasks = threads._tasks(os.getpid())
    assert "portnorm" in names_of_threads()  # which a child does not inherit
    child = os.fork()
    if child == 0:
        status = 1
        try:
            inherited = "portnorm" in names_of_threads()
            wrong = mismatch(torch_cpu.normalize(x), expected)
            own = threads._tasks(os.getpid()) is not tasks and "portnorm" in names_of_threads()
            status = 0 if own and not wrong and not inherited else 2
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    check_bits(torch_cpu.normalize(x), expected)
    threads._pools.clear()


AT_EXIT = """
import atexit, os, threading, time
import numpy as np
from portnorm.exact import torch_cpu
from portnorm.exact.machine import threads

threads.cores = lambda: 2
caller = threading.current_thread()
late = threading.Event()
x = np.ones((1024, 1024), np.float32)

def last():
    torch_cpu.normalize(x)
    print(*sorted(thread.name for thread in threading.enumerate()), flush=True)

def kernel(queue, buffer):
    if threading.current_thread() is caller:
        late.wait()
        queue[threads._DONE] = queue[threads._UNITS]
    else:
        late.set()
        time.sleep(0.3)
        os.write(1, b"came to its end\\n")

atexit.register(last)  # is called after those that are registered later
threads.run(kernel, 2, threads.SMALLEST_WORK, (0, np.float32))
"""


def test_a_process_ends_after_its_threads_and_computes_without_them_then() -> None:
    """A thread that Python ends while it frees a tensor of torch ends the process with it."""
    result = start_python(AT_EXIT)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == ["came to its end", "MainThread"]


# --- the cache of compiled code ------------------------------------------------------------------

CALL = """
import json, sys
import numpy as np
from portnorm.exact import mindspore_kernels

x = np.array([1e-40, 4], np.float32)
y = x + 1
mindspore_kernels.flush(y, x)
stats = mindspore_kernels.flush.stats
loaded, compiled = sum(stats.cache_hits.values()), sum(stats.cache_misses.values())
signatures = len(mindspore_kernels.flush.signatures)
json.dump([y.tolist(), loaded, compiled, signatures, mindspore_kernels.__file__], sys.stdout)
"""
"""A kernel that is compiled in a second."""


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package that has been used once."""
    folder = tmp_path_factory.mktemp("installation")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(portnorm.__file__).parent, folder / "portnorm", ignore=ignored)
    first = use(folder)
    assert (first["loaded"], first["compiled"]) == (0, 1)
    return folder


def use(folder: Path, before: str = "", environment: dict[str, str] | None = None) -> Any:
    """Call a kernel in a fresh process, with the package in a folder; return what it did."""
    start = f"import sys; sys.path.insert(0, {str(folder)!r})\n"
    variables = {"PYTHONPATH": str(folder), "NUMBA_CACHE_DIR": "", **(environment or {})}
    result = start_python(start + before + CALL, environment=variables, folder=folder)
    assert result.returncode == 0, result.stderr
    y, loaded, compiled, signatures, file = json.loads(result.stdout)
    assert Path(file).is_relative_to(folder)
    assert y == [0, 5]
    return {
        "loaded": loaded,
        "compiled": compiled,
        "signatures": signatures,
        "stderr": result.stderr,
    }


def test_a_fresh_process_loads_what_another_one_compiled(installation: Path) -> None:
    again = use(installation)
    assert (again["loaded"], again["compiled"]) == (1, 0)


@pytest.mark.parametrize("source", ["reduction.py", "machine/ieee.py"])
def test_compiled_code_is_not_used_after_another_file_has_changed(
    installation: Path, source: str
) -> None:
    assert use(installation)["compiled"] == 0
    with (installation / "portnorm" / "exact" / source).open("a") as file:
        file.write("\n# changed\n")
    assert use(installation)["compiled"] == 1


def test_code_with_another_signature_is_compiled_anew(installation: Path, tmp_path: Path) -> None:
    """Processes that compile at the same time may write two signatures to one file."""
    copy = tmp_path / "swapped"
    shutil.copytree(installation, copy)
    pattern = "mindspore_kernels.flush*.nbc"
    before = set(copy.rglob(pattern))
    assert use(copy)["compiled"] == 0
    other = CALL.replace("np.float32)", "np.float64)")
    program = f"import sys; sys.path.insert(0, {str(copy)!r})\n{other}"
    result = start_python(
        program, environment={"PYTHONPATH": str(copy), "NUMBA_CACHE_DIR": ""}, folder=copy
    )
    assert result.returncode == 0, result.stderr
    (compiled,) = set(copy.rglob(pattern)) - before
    for file in before:
        file.write_bytes(compiled.read_bytes())
    assert use(copy)["compiled"] == 1


EVERY_FUNCTION = """
import numpy as np
import gc
from numba.core.dispatcher import Dispatcher
from portnorm.exact import mindspore_cpu, torch_cpu

x = np.array([[3, 4], [1, 1]], np.float32)
y = torch_cpu.normalize(x)
torch_cpu.normalize_vjp(x, x)
torch_cpu.normalize(x, 1.0)
mindspore_cpu.l2_normalize_vjp(x, mindspore_cpu.l2_normalize(x), x)
kernels = [
    found
    for found in gc.get_objects()
    if isinstance(found, Dispatcher) and found.signatures and found.stats.cache_path
]
print(len(kernels), sum(sum(kernel.stats.cache_misses.values()) for kernel in kernels))
"""


def test_a_fresh_process_compiles_nothing_that_this_one_has_used() -> None:
    x = np.array([[3, 4], [1, 1]], np.float32)
    torch_cpu.normalize_vjp(x, torch_cpu.normalize(x))
    torch_cpu.normalize(x, 1.0)
    mindspore_cpu.l2_normalize_vjp(x, mindspore_cpu.l2_normalize(x), x)
    result = start_python(EVERY_FUNCTION)
    assert result.returncode == 0, result.stderr
    kernels, compiled = map(int, result.stdout.split())
    assert kernels >= 7
    assert compiled == 0


NO_FOLDER = """
from numba.core import caching
for locator in caching.CacheImpl._locator_classes:
    locator.ensure_cache_path = lambda self: (_ for _ in ()).throw(OSError("read-only"))
"""


def test_an_installation_that_cannot_be_written_works(installation: Path, tmp_path: Path) -> None:
    copy = tmp_path / "read-only"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(installation, copy, ignore=ignored)
    used = use(copy, NO_FOLDER)
    assert used["signatures"] == 1
    assert used["loaded"] == 0
    assert list(copy.rglob("*.nbi")) == []
    assert list(installation.rglob("*.nbi"))
    assert used["stderr"] == ""


# --- a cache that fails ---------------------------------------------------------------------------


def damaged(path: Path, damage: str) -> None:
    """Damage a file of the cache."""
    data = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "emptied":
        path.write_bytes(b"")
    elif damage == "garbage":
        path.write_bytes(b"\x80\x05garbage" * 100)
    elif damage == "a bit flipped":
        middle = len(data) // 2
        path.write_bytes(data[:middle] + bytes([data[middle] ^ 16]) + data[middle + 1 :])
    elif damage == "a byte at its end":
        path.write_bytes(data + b"0")
    elif damage == "unpicklable":
        unknown = b"cno_such_module\nno_such_name\n."
        path.write_bytes(unknown + hashlib.sha256(unknown).digest())
    elif damage == "a folder":
        path.unlink()
        path.mkdir()
    else:
        path.unlink()


DAMAGES = (
    "truncated",
    "emptied",
    "garbage",
    "a bit flipped",
    "a byte at its end",
    "unpicklable",
    "a folder",
    "removed",
)


@pytest.mark.parametrize("kind", ["nbi", "nbc"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_is_compiled_anew_and_replaced(
    installation: Path, tmp_path: Path, damage: str, kind: str
) -> None:
    copy = tmp_path / "damaged"
    shutil.copytree(installation, copy)
    files = list(copy.rglob(f"mindspore_kernels.flush*.{kind}"))
    assert files
    for path in files:
        damaged(path, damage)
    used = use(copy)
    assert (used["loaded"], used["compiled"], used["stderr"]) == (0, 1, "")
    if damage != "a folder":  # which nothing but its owner removes
        assert use(copy)["compiled"] == 0


FAILING_WRITE = """
import builtins, errno
opened = builtins.open

class Full:
    def __init__(self, file): self.file = file
    def __enter__(self): return self
    def __exit__(self, *error): self.file.close()
    def write(self, data):
        self.file.write(data[:7])
        raise OSError(errno.ENOSPC, "No space left on device")

def failing(path, mode="r", *arguments, **keywords):
    file = opened(path, mode, *arguments, **keywords)
    return Full(file) if "w" in mode and {kind!r} in str(path) else file

builtins.open = failing
"""


@pytest.mark.parametrize("kind", [".nbi", ".nbc"])
def test_a_full_disk_costs_no_more_than_the_compilation(
    installation: Path, tmp_path: Path, kind: str
) -> None:
    copy = tmp_path / "full"
    shutil.copytree(installation, copy, ignore=shutil.ignore_patterns("__pycache__"))
    used = use(copy, FAILING_WRITE.format(kind=kind))
    assert (used["loaded"], used["signatures"], used["stderr"]) == (0, 1, "")
    assert list(copy.rglob("*.tmp.*")) == []
    assert use(copy)["compiled"] == 1
    assert use(copy)["compiled"] == 0


FAILING_LOAD = """
from numba.core import caching

def refuse(*arguments, **keywords):
    raise MemoryError

caching.CodeLibraryCacheImpl.rebuild = refuse
caching.CompileResultCacheImpl.rebuild = refuse
"""


def test_a_cache_that_cannot_be_read_is_a_miss(installation: Path, tmp_path: Path) -> None:
    copy = tmp_path / "unreadable"
    shutil.copytree(installation, copy)
    used = use(copy, FAILING_LOAD)
    assert (used["loaded"], used["signatures"], used["stderr"]) == (0, 1, "")
