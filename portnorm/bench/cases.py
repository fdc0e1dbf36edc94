"""What is timed against what: the work of `benchmarks/` and of `portnorm bench`, as data.

The exact arithmetic runs on NumPy arrays, against the framework's function whose bits it gives.
The adapters run on tensors, against the framework's own function of this kind.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from portnorm.frameworks import NAMES
from portnorm.options import Parity
from portnorm.semantics import L2NORMALIZE

Rng = np.random.Generator

EXACT = "exact"
"""The function that stands for `portnorm.exact` itself."""

_SEED = 20261125


class Pair(NamedTuple):
    """The two calls to time."""

    ours: Callable[[], Any]
    theirs: Callable[[], Any]


@dataclass(frozen=True)
class Case:
    """One piece of work.

    Attributes:
        host: "torch" or "mindspore".
        function: of the adapter, "normalize" or "l2_normalize", or `EXACT`.
        shape: of the data.
        dim: along which vectors lie.
        dtype: of the data.
        goal: portnorm's time as a share of the framework's is to be no more than this.
        parity: of the adapter; None for `EXACT`.
        gradient: whether a gradient is taken.
        jit: whether both are compiled to a graph; on MindSpore only.
    """

    host: str
    function: str
    shape: tuple[int, ...]
    dim: int
    dtype: str
    goal: float
    parity: Parity | None = None
    gradient: bool = False
    jit: bool = False

    @property
    def what(self) -> str:
        """The work without its host and data."""
        if self.function == EXACT:
            return "exact grad" if self.gradient else "exact forward"
        words = [self.function, self.parity, "jit" * self.jit, "grad" * self.gradient]
        return " ".join(filter(None, words))

    @property
    def name(self) -> str:
        """All that sets the case apart, in one line."""
        axis = "axis" if self.host == "mindspore" else "dim"
        return f"{NAMES[self.host]} {self.what} {self.dtype} {self.shape} {axis} {self.dim}"

    def pair(self) -> Pair:
        """Return the two calls, on data that is the same in every run.

        Raises:
            ImportError: the host is not installed.
        """
        host = "exact" if self.function == EXACT else "adapter"
        return _PAIRS[self.host, host](self, np.random.default_rng(_SEED))


_SQUARE = (1024, 1024)
_SMALL = [((8,), 0), ((32, 128), 1)]
_MILLION = [(_SQUARE, 1), (_SQUARE, 0), ((131072, 8), 1)]
_SIXTEEN_BITS_AND_DOUBLE = ("float16", "bfloat16", "float64")
_COMPUTED: tuple[Parity, ...] = ("semantic", "strict")
_DTYPES = sorted(L2NORMALIZE.dtypes)

TORCH_EXACT = (
    *(
        Case("torch", EXACT, shape, dim, "float32", goal)
        for shape, dim, goal in [
            ((8,), 0, 1.0),
            ((32, 128), 1, 1.0),
            (_SQUARE, 1, 1.0),
            ((8192, 1024), 1, 1.0),
            ((1, 4194304), 1, 1.0),
            (_SQUARE, 0, 0.1),
            ((32, 256, 32, 32), 1, 0.25),
        ]
    ),
    *(
        Case("torch", EXACT, _SQUARE, dim, dtype, 1.5)
        for dtype in _SIXTEEN_BITS_AND_DOUBLE
        for dim in (1, 0)
    ),
    *(
        Case("torch", EXACT, shape, dim, "float32", 1.0, gradient=True)
        for shape, dim in [((32, 128), 1), (_SQUARE, 1), (_SQUARE, 0), ((1000, 5), 1)]
    ),
)

TORCH_ADAPTER = tuple(
    Case("torch", function, shape, dim, "float32", 1.5, parity, gradient)
    for function in ("normalize", "l2_normalize")
    for parity in _COMPUTED
    for gradient in (False, True)
    for shape, dim in _SMALL
)

MINDSPORE_EXACT = tuple(
    Case("mindspore", EXACT, shape, axis, "float32", 0.1)
    for shape, axis in [
        (_SQUARE, 1),
        (_SQUARE, 0),
        ((8192, 1024), 1),
        ((1, 4194304), 1),
        ((32, 256, 32, 32), 1),
    ]
)

MINDSPORE_ADAPTER = (
    *(
        Case("mindspore", "normalize", shape, axis, "float32", 1.5, parity)
        for parity in _COMPUTED
        for shape, axis in _SMALL
    ),
    *(
        Case("mindspore", "normalize", shape, axis, "float32", goal, "native")
        for shape, axis, goal in [((32, 128), 1, 2.5), (_SQUARE, 1, 1.1)]  # one operator more
    ),
    *(
        Case("mindspore", "l2_normalize", (8,), 0, "float32", 1.5, parity, gradient=True)
        for parity in _COMPUTED
    ),
    *(
        Case("mindspore", "l2_normalize", shape, axis, dtype, 0.2, "semantic", jit=jit)
        for jit in (False, True)
        for shape, axis in _MILLION
        for dtype in _DTYPES
    ),
)

MINDSPORE_GRADIENT = (
    # Short vectors or few, because MindSpore's own time grows with the square of their length.
    *(
        Case("mindspore", "l2_normalize", (131072, 8), 1, dtype, 0.2, "semantic", gradient=True)
        for dtype in _DTYPES
    ),
    Case("mindspore", EXACT, (32, 1024), 1, "float32", 0.001, gradient=True),
)

CASES = (
    *TORCH_EXACT,
    *TORCH_ADAPTER,
    *MINDSPORE_EXACT,
    *MINDSPORE_ADAPTER,
    *MINDSPORE_GRADIENT,
)
"""All of them; what may take longer than its share of the time comes last."""


# --- torch ----------------------------------------------------------------------------------------


def _torch_tensor(case: Case, rng: Rng) -> Any:
    import torch

    return torch.from_numpy(rng.standard_normal(case.shape)).to(getattr(torch, case.dtype))


def _encodings(tensor: Any) -> Any:
    """Return what `portnorm.exact` takes: NumPy has no bfloat16."""
    import torch

    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


def _torch_exact(case: Case, rng: Rng) -> Pair:
    import torch

    from portnorm.exact import torch_cpu

    x, dim = _torch_tensor(case, rng), case.dim
    a = _encodings(x)
    normalize = torch.nn.functional.normalize
    if not case.gradient:
        return Pair(lambda: torch_cpu.normalize(a, 2.0, dim), lambda: normalize(x, 2.0, dim))
    g = _torch_tensor(case, rng)
    b, leaf = _encodings(g), x.clone().requires_grad_()
    y = normalize(leaf, 2.0, dim)
    return Pair(
        lambda: torch_cpu.normalize_vjp(a, b, 2.0, dim),
        lambda: torch.autograd.grad(y, leaf, g, retain_graph=True),
    )


def _torch_adapter(case: Case, rng: Rng) -> Pair:
    import torch

    import portnorm.torch as adapted

    x, g = (_torch_tensor(case, rng) for _ in "xg")
    dim, parity = case.dim, case.parity
    normalize = torch.nn.functional.normalize
    functions: dict[str, Callable[[], Any]] = {
        "normalize": lambda: adapted.normalize(x, dim=dim, parity=parity),
        "l2_normalize": lambda: adapted.l2_normalize(x, dim, parity=parity),
    }
    pair = Pair(functions[case.function], lambda: normalize(x, dim=dim))
    if not case.gradient:
        return pair
    x.requires_grad_()
    return Pair(*((lambda f=f: torch.autograd.grad(f(), x, g)) for f in pair))


# --- MindSpore ------------------------------------------------------------------------------------


def _mindspore_exact(case: Case, rng: Rng) -> Pair:
    import mindspore

    from portnorm.exact import mindspore_cpu

    axis = case.dim
    x, dy = (rng.standard_normal(case.shape).astype(case.dtype) for _ in ("x", "dy"))
    if not case.gradient:
        native, tensor = mindspore.ops.L2Normalize(axis, L2NORMALIZE.eps), mindspore.Tensor(x)
        return Pair(lambda: mindspore_cpu.l2_normalize(x, axis), lambda: native(tensor))
    y = mindspore_cpu.l2_normalize(x, axis)
    kernel = mindspore.ops.operations._grad_ops.L2NormalizeGrad(axis, L2NORMALIZE.eps)
    tensors = [mindspore.Tensor(a) for a in (x, y, dy)]
    return Pair(lambda: mindspore_cpu.l2_normalize_vjp(x, y, dy, axis), lambda: kernel(*tensors))


def _mindspore_adapter(case: Case, rng: Rng) -> Pair:
    import mindspore

    import portnorm.mindspore as adapted

    axis, parity = case.dim, case.parity
    tensor = mindspore.Tensor(rng.standard_normal(case.shape).astype(case.dtype))
    if case.jit:  # A graph runs on while Python does: asnumpy waits for it.
        graphs = _graphs(parity)
        return Pair(*((lambda f=f: f(tensor, axis).asnumpy()) for f in graphs))
    native = mindspore.ops.L2Normalize(axis, L2NORMALIZE.eps)
    functions: dict[str, Callable[[Any], Any]] = {
        "normalize": lambda x: adapted.normalize(x, 2.0, axis, parity=parity),
        "l2_normalize": lambda x: adapted.l2_normalize(x, axis, parity=parity),
    }
    pair: Any = functions[case.function], lambda x: native(x)
    if case.gradient:
        pair = map(_gradient_on_mindspore, pair)
    return Pair(*((lambda f=f: f(tensor)) for f in pair))


@functools.cache
def _graphs(parity: Parity | None) -> tuple[Any, Any]:
    """Return both functions as graphs; MindSpore warns of a graph that is made a second time."""
    import mindspore

    import portnorm.mindspore as adapted

    def ours(x: Any, axis: int) -> Any:
        return adapted.l2_normalize(x, axis, parity=parity)

    def theirs(x: Any, axis: int) -> Any:
        return mindspore.ops.L2Normalize(axis, L2NORMALIZE.eps)(x)

    return mindspore.jit(ours), mindspore.jit(theirs)


def _gradient_on_mindspore(function: Callable[[Any], Any]) -> Any:
    import mindspore

    return mindspore.grad(lambda x: function(x).sum())


_PAIRS: dict[tuple[str, str], Callable[[Case, Rng], Pair]] = {
    ("torch", "exact"): _torch_exact,
    ("torch", "adapter"): _torch_adapter,
    ("mindspore", "exact"): _mindspore_exact,
    ("mindspore", "adapter"): _mindspore_adapter,
}


def prepare(host: str) -> None:
    """Make a call return when its work is done; in MindSpore, for good."""
    if host == "mindspore":
        import mindspore

        mindspore.runtime.launch_blocking()
