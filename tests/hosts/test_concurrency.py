"""Many threads at once, and processes after a fork: the bits that one thread alone gives.

MindSpore's own operators cannot take part in more than one thread. Without portnorm, ``t * t + t``
in 8 threads of MindSpore 2.10 gave wrong values in 216 to 996 of 4,000 calls, with operators run
one by one, and its gradient ended the process. So one thread calls all of `portnorm.mindspore`, and
the others what needs no operator of MindSpore: results of "strict", and of "semantic" at p = 2.
"""

from __future__ import annotations

import importlib.metadata
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import portnorm
from portnorm.exact.machine import threads
from tests.conftest import needs_mindspore
from tests.imports.blocked import run_python

THREADS = 8
CALLS = 10_000
"""With `--full`; a share of them without."""
LEVELS = ("native", "semantic", "strict")
SMALL = [(8,), (4, 5), (32, 64), (3, 7, 11)]
LARGE = (1024, 1100)


def words(torch: Any, result: Any) -> np.ndarray:
    """Return the bits of a tensor."""
    return result.detach().contiguous().view(torch.uint8).numpy()


def small_calls(torch: Any, rng: np.random.Generator) -> list[Callable[[], np.ndarray]]:
    """Return calls of both functions at every level, without and with a gradient."""
    calls = []
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        for shape in SMALL:
            x, g = (torch.from_numpy(rng.normal(size=shape)).to(dtype) for _ in range(2))
            calls += [forward_of(torch, name, x, level) for name in NAMES for level in LEVELS]
            calls += [gradient_of(torch, name, x, g, level) for name in NAMES for level in LEVELS]
    return [call for call in calls if call is not None]


def large_calls(torch: Any, rng: np.random.Generator) -> list[Callable[[], np.ndarray]]:
    """Return calls that several threads share."""
    x, g = (torch.from_numpy(rng.normal(size=LARGE).astype(np.float32)) for _ in range(2))
    return [forward_of(torch, name, x, "strict") for name in NAMES] + [
        gradient_of(torch, name, x, g, "strict") for name in NAMES
    ]


NAMES = ("normalize", "l2_normalize")


def function_of(name: str, level: str) -> Callable[[Any], Any]:
    import portnorm.torch as host

    return lambda x: getattr(host, name)(x, **{DIM[name]: -1}, parity=level)


DIM = {"normalize": "dim", "l2_normalize": "axis"}


def has_dtype(torch: Any, name: str, x: Any) -> bool:
    return name == "normalize" or x.dtype != torch.bfloat16


def forward_of(torch: Any, name: str, x: Any, level: str) -> Any:
    function = function_of(name, level)
    return (lambda: words(torch, function(x))) if has_dtype(torch, name, x) else None


def gradient_of(torch: Any, name: str, x: Any, g: Any, level: str) -> Any:
    function = function_of(name, level)

    def gradient() -> np.ndarray:
        leaf = x.clone().requires_grad_()
        return words(torch, torch.autograd.grad(function(leaf), leaf, g)[0])

    return gradient if has_dtype(torch, name, x) else None


def in_threads(function: Callable[[int], Any]) -> list[Any]:
    """Call a function with the number of a thread, in all threads at the same time."""
    together = threading.Barrier(THREADS)

    def run(number: int) -> Any:
        together.wait(60)
        return function(number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


def count_wrong(
    calls: list[Callable[[], np.ndarray]], chances: np.ndarray, seed: int, number: int = CALLS
) -> int:
    """Return how many of so many calls, drawn with these chances, have a wrong bit."""
    expected = [call() for call in calls]

    def wrong(thread: int) -> int:
        rng = np.random.default_rng((seed, thread))
        drawn = rng.choice(len(calls), number // THREADS, p=chances)
        return sum(not np.array_equal(calls[k](), expected[k]) for k in drawn)

    return sum(in_threads(wrong))


def test_8_threads_on_the_torch_host_get_the_bits_of_one(
    torch: Any, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator, share: float
) -> None:
    monkeypatch.setattr(threads, "cores", lambda: 2)
    small, large = small_calls(torch, rng), large_calls(torch, rng)
    chances = np.repeat([0.99 / len(small), 0.01 / len(large)], [len(small), len(large)])
    number = int(CALLS * share)
    assert count_wrong([*small, *large], chances, int(rng.integers(2**32)), number) == 0


def test_a_result_that_depends_on_other_threads_is_found(rng: np.random.Generator) -> None:
    shared = np.zeros(1)
    switch = threading.Event()

    def call() -> np.ndarray:
        shared[0] += 1
        before = shared.copy()
        switch.wait(1e-6)  # another thread runs
        return shared - before

    assert count_wrong([call], np.ones(1), int(rng.integers(2**32))) > 0


def test_options_of_a_thread_do_not_reach_another(torch: Any) -> None:
    import portnorm.torch as host

    tiny = torch.tensor([float("nan"), 1.0, 2.0])  # native and semantic differ
    several = torch.linspace(0.1, 1, 1000)
    expected = {
        level: [words(torch, host.l2_normalize(x, parity=level)).tobytes() for x in (tiny, several)]
        for level in LEVELS
    }
    assert len({tuple(found) for found in expected.values()}) == len(LEVELS)
    together = threading.Barrier(THREADS)

    def wrong(number: int) -> int:
        level = LEVELS[number % len(LEVELS)]
        portnorm.set_options(parity=level)  # type: ignore[arg-type]
        together.wait(60)
        count = 0
        for _ in range(200):
            found = [words(torch, host.l2_normalize(x)).tobytes() for x in (tiny, several)]
            count += found != expected[level] or portnorm.get_options().parity != level
        return count

    before = portnorm.get_options()
    assert in_threads(wrong) == [0] * THREADS
    assert portnorm.get_options() == before


# --- fork -----------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_workers_that_are_forked_after_use_get_the_same_bits(
    torch: Any, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    monkeypatch.setattr(threads, "cores", lambda: 2)
    calls = [*small_calls(torch, rng)[::7], *large_calls(torch, rng)] * 2
    expected = [call() for call in calls]
    assert "portnorm" in {thread.name for thread in threading.enumerate()}

    class Checks(torch.utils.data.Dataset):  # type: ignore[misc]
        def __len__(self) -> int:
            return len(calls)

        def __getitem__(self, k: int) -> tuple[int, bool]:
            return os.getpid(), np.array_equal(calls[k](), expected[k])

    loader = torch.utils.data.DataLoader(
        Checks(), batch_size=4, num_workers=2, multiprocessing_context="fork", timeout=60
    )
    processes, right = map(torch.cat, zip(*loader, strict=True))
    assert len(right) == len(calls)
    assert right.all()
    assert len(set(processes.tolist()) - {os.getpid()}) == 2


# --- MindSpore ------------------------------------------------------------------------------------

ON_MINDSPORE = """
import sys, threading
import numpy as np
from mindspore import Tensor, ops
import portnorm.mindspore as F

seed, each = map(int, sys.argv[1:])
rng = np.random.default_rng(seed)
arrays = [rng.normal(size=s).astype(np.float32) for s in [(8,), (4, 5), (32, 64), (3, 7, 11)]]
large = rng.normal(size=(1024, 1100)).astype(np.float32)
levels = "native", "semantic", "strict"

def forward(function, x, level):
    return lambda: function(Tensor(x), parity=level).asnumpy()

def gradient(function, x, level):
    call = ops.GradOperation(sens_param=True)(lambda t: function(t, parity=level))
    return lambda: call(Tensor(x), Tensor(x)).asnumpy()

def normalize(t, parity):
    return F.normalize(t, dim=-1, parity=parity)

def l2_normalize(t, parity):
    return F.l2_normalize(t, axis=-1, parity=parity)

without_operators = [forward(f, x, level) for f in (normalize, l2_normalize)
                     for x in [*arrays, large] for level in ("semantic", "strict")]
every = [make(f, x, level) for make in (forward, gradient) for f in (normalize, l2_normalize)
         for x in arrays for level in levels if (f, level) != (normalize, "native")]
results = {id(call): call() for call in without_operators + every}
wrong, done = [], []

def work(calls, number, count):
    rng = np.random.default_rng((seed, number))
    chances = np.array([0.02 if results[id(call)].size > 1 << 20 else 1 for call in calls])
    for k in rng.choice(len(calls), count, p=chances / chances.sum()):
        if calls[k]().tobytes() != results[id(calls[k])].tobytes():
            wrong.append(k)
        done.append(k)

threads = [threading.Thread(target=work, args=(without_operators, k, each)) for k in range(7)]
for thread in threads:
    thread.start()
work(every, 7, each)
for thread in threads:
    thread.join()
print(len(done), len(wrong))
"""


def mindspore_is_older_than(major: int, minor: int) -> bool:
    try:
        found = importlib.metadata.version("mindspore").split(".")
    except importlib.metadata.PackageNotFoundError:
        return False
    return (int(found[0]), int(found[1])) < (major, minor)


@needs_mindspore
@pytest.mark.skipif(
    mindspore_is_older_than(2, 10),
    reason="before MindSpore 2.10 threads share the flag that forbids gradients",
)
def test_7_threads_beside_one_that_runs_mindspores_operators_get_the_right_bits(
    rng: np.random.Generator, share: float
) -> None:
    seed, calls = int(rng.integers(2**32)), int(CALLS * share) // THREADS
    found = run_python(f"import sys; sys.argv[1:] = '{seed}', '{calls}'\n{ON_MINDSPORE}")
    assert found.split() == [str(calls * THREADS), "0"]


GARBAGE = """
import gc
import mindspore
from mindspore import nn
import portnorm.mindspore as F

class Add(nn.Cell):
    def construct(self, x):
        return x + 1

class Strict(nn.Cell):
    def construct(self, x):
        return F.{function}(x, parity="strict")

class Gradient(nn.Cell):
    def construct(self, x):
        return mindspore.grad(strict)(x)

mindspore.set_context(mode=mindspore.GRAPH_MODE)
x = mindspore.Tensor([[3.0, 4.0], [1.0, 1.0]], mindspore.{dtype})
strict = Strict()
old = [Add(), Add()]
for cell in (strict, Gradient()):
    cell.compile(x)
    ring = [old.pop()]
    ring[0](x).asnumpy()
    gc.collect()
    ring.append(ring)
    del ring
    print(cell(x).shape, gc.isenabled())
"""


@needs_mindspore
@pytest.mark.parametrize(
    ("function", "dtype"), [("normalize", "bfloat16"), ("l2_normalize", "float32")]
)
def test_a_cell_that_is_garbage_does_not_stop_a_graph(
    function: str, dtype: str, tmp_path: Path
) -> None:
    """`Cell.__del__` waits for the graph that runs, and must not run in what this calls back."""
    # MindSpore compiles no source that is not in a file.
    (tmp_path / "garbage.py").write_text(GARBAGE.format(function=function, dtype=dtype))
    found = run_python(
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import garbage",
        environment={"NUMBA_CACHE_DIR": str(tmp_path / "kernels")},
    )
    assert found == "(2, 2) True\n" * 2
