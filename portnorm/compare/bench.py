"""How fast the exact arithmetic is here, against the functions whose bits it gives.

Both run in turns in one process, so that what else the machine does meets both; what counts is the
ratio of their medians.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from portnorm import __version__
from portnorm.compare.functions import Frameworks
from portnorm.progress import Progress

Call = Callable[[], object]

SECONDS = 30.0
"""What measuring takes in all, without the compiling of kernels."""

ROUNDS = 7
_SEED = 20261125


@dataclass(frozen=True)
class Case:
    """One piece of work.

    Attributes:
        framework: "torch" or "mindspore".
        work: "forward" or "gradient".
        shape: of the input.
        dim: along which vectors lie.
        dtype: of the input.
        goal: the ratio that the project aims at.
    """

    framework: str
    work: str
    shape: tuple[int, ...]
    dim: int
    dtype: str
    goal: float

    @property
    def name(self) -> str:
        """A few words."""
        return f"{self.framework} {self.work} {self.dtype} {self.shape} dim {self.dim}"


class Timing(NamedTuple):
    """What a case took.

    Attributes:
        case: the case.
        portnorm: seconds of one call, the median of several rounds.
        framework: likewise.
    """

    case: Case
    portnorm: float
    framework: float

    @property
    def ratio(self) -> float:
        """Portnorm's time as a share of the framework's; below 1, portnorm is faster."""
        return self.portnorm / self.framework


def _cases() -> Iterator[Case]:
    square = (1024, 1024)
    forward: list[tuple[tuple[int, ...], int, float]] = [
        ((8,), 0, 1.0),
        ((32, 128), 1, 1.0),
        (square, 1, 1.0),
        ((8192, 1024), 1, 1.0),
        ((1, 4194304), 1, 1.0),
        (square, 0, 0.1),
        ((32, 256, 32, 32), 1, 0.25),
    ]
    for shape, dim, goal in forward:
        yield Case("torch", "forward", shape, dim, "float32", goal)
    for dtype in ("float16", "bfloat16", "float64"):
        for dim in (1, 0):
            yield Case("torch", "forward", square, dim, dtype, 1.5)
    for shape, dim in [((32, 128), 1), (square, 1), (square, 0), ((1000, 5), 1)]:
        yield Case("torch", "gradient", shape, dim, "float32", 1.0)
    large = [(square, 1), (square, 0), ((8192, 1024), 1), ((1, 4194304), 1), ((32, 256, 32, 32), 1)]
    for shape, dim in large:
        yield Case("mindspore", "forward", shape, dim, "float32", 0.1)


CASES: tuple[Case, ...] = tuple(_cases())
"""What is measured."""


def calls(case: Case) -> tuple[Call, Call]:
    """Return the calls of portnorm's arithmetic and of the framework's function for a case."""
    if case.framework == "mindspore":
        return _mindspore_calls(case)
    return _torch_gradient_calls(case) if case.work == "gradient" else _torch_calls(case)


def _torch_calls(case: Case) -> tuple[Call, Call]:
    from torch.nn.functional import normalize

    from portnorm.exact import torch_cpu

    x, a = _torch_tensor(case)
    return lambda: torch_cpu.normalize(a, 2.0, case.dim), lambda: normalize(x, 2.0, case.dim)


def _torch_gradient_calls(case: Case) -> tuple[Call, Call]:
    import torch

    from portnorm.exact import torch_cpu

    (x, a), (g, b) = _torch_tensor(case), _torch_tensor(case)
    x.requires_grad_()
    y = torch.nn.functional.normalize(x, 2.0, case.dim)
    return (
        lambda: torch_cpu.normalize_vjp(a, b, 2.0, case.dim),
        lambda: torch.autograd.grad(y, x, g, retain_graph=True),
    )


def _torch_tensor(case: Case) -> tuple[Any, Any]:
    """Return a tensor, and the array that shares its memory."""
    import torch

    x = torch.from_numpy(_values(case)).to(getattr(torch, case.dtype))
    return x, (x.view(torch.uint16) if case.dtype == "bfloat16" else x).numpy()


def _mindspore_calls(case: Case) -> tuple[Call, Call]:
    import mindspore

    from portnorm.exact import mindspore_cpu

    x = _values(case).astype(case.dtype)
    native, t = mindspore.ops.L2Normalize(case.dim, 1e-4), mindspore.Tensor(x)
    return lambda: mindspore_cpu.l2_normalize(x, case.dim), lambda: native(t)


def _values(case: Case) -> Any:
    return np.random.default_rng(_SEED).standard_normal(case.shape)


def in_turns(functions: Sequence[Call], rounds: int, seconds: float) -> list[float]:
    """Return the median time of a call of each function; all run in each round.

    Args:
        functions: the calls.
        rounds: how often they take turns.
        seconds: what all of it takes, about; a call that is longer runs once a round.
    """
    share = seconds / (rounds * len(functions))
    for function in functions:
        function()
    counts = [max(1, int(share / max(_timed(function, 3), 1e-9))) for function in functions]
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(rounds):
        for taken, function, count in zip(times, functions, counts, strict=True):
            taken.append(_timed(function, count))
    return [statistics.median(taken) for taken in times]


def _timed(function: Call, count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        function()
    return (time.perf_counter() - start) / count


def bench(
    found: Frameworks,
    cases: Iterable[Case] = CASES,
    seconds: float = SECONDS,
    progress: Progress | None = None,
) -> list[Timing]:
    """Measure the cases of the frameworks that are installed.

    Args:
        found: the frameworks.
        cases: what to measure.
        seconds: what measuring takes in all, about.
        progress: told as kernels are compiled, and as cases are measured.
    """
    chosen = [case for case in cases if case.framework in found.versions]
    timings = []
    for number, case in enumerate(chosen):
        for call in calls(case):
            call()  # compiles the kernels, where no earlier run has left them
        _tell(progress, "compiling kernels", number + 1, len(chosen))
    for number, case in enumerate(chosen):
        ours, theirs = in_turns(calls(case), ROUNDS, seconds / len(chosen))
        timings.append(Timing(case, ours, theirs))
        _tell(progress, "measuring", number + 1, len(chosen))
    return timings


def wait_for_results(found: Frameworks) -> None:
    """Make MindSpore wait for each result as torch does, for the rest of the process.

    Otherwise small calls take milliseconds on a machine of few cores.
    """
    if "mindspore" in found.versions:
        import mindspore

        mindspore.runtime.launch_blocking()


def _tell(progress: Progress | None, what: str, done: int, of: int) -> None:
    if progress is not None:
        progress(what, done, of)


def machine(found: Frameworks) -> dict[str, str]:
    """Return what the ratios depend on: the processor, its cores, threads and versions."""
    import numba

    facts = {"processor": _processor(), "cores": str(len(os.sched_getaffinity(0)))}
    if "torch" in found.versions:
        import torch

        facts["threads of torch"] = str(torch.get_num_threads())
    versions = {"portnorm": __version__, "numpy": np.__version__, "numba": numba.__version__}
    return facts | versions | found.versions


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
