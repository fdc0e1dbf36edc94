"""What is kept of the calls: one record for each way in which a line calls a function."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from portnorm import semantics
from portnorm.semantics import L2NORMALIZE, NORMALIZE, Function
from portnorm.vectors import ABOVE, CLASSES, classes_of

MINT = "mindspore.mint.nn.functional.normalize"
"""MindSpore's copy of torch's function, with its arguments."""

FUNCTIONS: dict[str, Function] = {
    MINT: NORMALIZE,
    NORMALIZE.name: NORMALIZE,
    L2NORMALIZE.name: L2NORMALIZE,
    "portnorm.torch.normalize": NORMALIZE,
    "portnorm.mindspore.normalize": NORMALIZE,
    "portnorm.torch.l2_normalize": L2NORMALIZE,
    "portnorm.mindspore.l2_normalize": L2NORMALIZE,
}
"""What is watched, and whose definition each has."""

MOST_SHAPES = 8
_MOST_WAITING, _MOST_WAITING_VECTORS = 64, 4096


class Call(NamedTuple):
    """What calls have in common that are counted together.

    Attributes:
        file: of the first line outside portnorm and the frameworks; "" where there is none.
        line: its number.
        function: one of `FUNCTIONS`.
        dtype: its name, such as "float32".
        ndim: of the tensor.
        p: the order of the norm as it was given; 2.0 for L2Normalize.
        dim: dim or axis as it was given; a list as a tuple.
        eps: eps or epsilon as it was given.
    """

    file: str
    line: int
    function: str
    dtype: str
    ndim: int
    p: Any
    dim: Any
    eps: Any


class Norms(NamedTuple):
    """Norms of the vectors of one call, in one dim.

    Attributes:
        two: their 2-norms; NaN or infinite only where a vector is not finite.
        order: their p-norms; the same array where p is 2.
    """

    two: NDArray[Any]
    order: NDArray[Any]

    def add_to(self, record: Record) -> None:
        """Count the vectors."""
        record.add_norms(self)


class Counts(NamedTuple):
    """Vectors that were counted.

    Attributes:
        classes: how many are in each of `portnorm.vectors.CLASSES`.
        low: the smallest 2-norm that is finite; infinite where there is none.
        high: the largest; minus infinity where there is none.
        least: the smallest norm of the order of the call; infinite where there is none.
    """

    classes: dict[str, int]
    low: float
    high: float
    least: float


class Counter(Protocol):
    """Counts vectors somewhere else, as on an accelerator."""

    def add(self, two: Any, order: Any) -> None:
        """Count vectors by their 2-norms and p-norms."""

    def take(self) -> Counts:
        """Return what was counted, and start anew."""


@dataclass
class Record:
    """What was seen of calls that are counted together.

    Attributes:
        call: what they have in common.
        floors: the norms below which torch's and MindSpore's function divide by a constant, the
            function's own with its eps, the other one with its default; None where eps is no
            number.
        calls: how many.
        shapes: how many calls had each shape; at most `MOST_SHAPES` of them.
        other_shapes: how many calls had a shape that is not among these.
        unread: how many calls were of tensors whose values could not be read.
        vectors: how many vectors were read.
        minimum: their smallest 2-norm that is a number; None where there is none.
        maximum: their largest, likewise.
        least: their smallest norm of the order of the call, likewise.
        counts: how many of them are in each of `portnorm.vectors.CLASSES`.
        waiting: norms that `settle` counts; they wait because counting has a fixed cost.
        waiting_vectors: how many.
        elsewhere: a `Counter` of vectors for each accelerator, whose counts `settle` takes in.
        error: why it could not take them; "" where it could.
    """

    call: Call
    floors: tuple[float, float] | None
    calls: int = 0
    shapes: dict[tuple[int, ...], int] = field(default_factory=dict)
    other_shapes: int = 0
    unread: int = 0
    vectors: int = 0
    minimum: float | None = None
    maximum: float | None = None
    least: float | None = None
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CLASSES, 0))
    waiting: list[Norms] = field(default_factory=list, repr=False)
    waiting_vectors: int = field(default=0, repr=False)
    elsewhere: dict[str, Counter] = field(default_factory=dict, repr=False)
    error: str = ""

    def add_call(self, shape: tuple[int, ...]) -> None:
        """Count a call."""
        self.calls += 1
        if shape in self.shapes or len(self.shapes) < MOST_SHAPES:
            self.shapes[shape] = self.shapes.get(shape, 0) + 1
        else:
            self.other_shapes += 1

    def add_norms(self, norms: Norms) -> None:
        """Count the vectors of a call; those of small calls together with others."""
        self.waiting.append(norms)
        self.waiting_vectors += norms.two.size
        if len(self.waiting) >= _MOST_WAITING or self.waiting_vectors >= _MOST_WAITING_VECTORS:
            self._count_waiting()

    def _count_waiting(self) -> None:
        waiting, self.waiting, self.waiting_vectors = self.waiting, [], 0
        two = np.concatenate([norms.two.ravel() for norms in waiting] or [np.empty(0)])
        if not two.size:
            return
        if all(norms.order is norms.two for norms in waiting):
            norms = Norms(two, two)
        else:
            norms = Norms(two, np.concatenate([norms.order.ravel() for norms in waiting]))
        floors = self.floors or (math.nan, math.nan)
        low, high = float(norms.two.min()), float(norms.two.max())
        if max(floors) <= low and high < math.inf and norms.order is norms.two:
            self.add_counts(Counts({CLASSES[ABOVE]: norms.two.size}, low, high, low))
        else:
            finite, orders = (one[np.isfinite(one)] for one in norms)
            low, high = (finite.min(), finite.max()) if finite.size else (math.inf, -math.inf)
            least = orders.min(initial=math.inf)
            self.add_counts(Counts(classify(norms, floors), float(low), float(high), float(least)))

    def add_counts(self, found: Counts) -> None:
        """Count vectors whose classes are known."""
        for name, count in found.classes.items():
            self.counts[name] += count
            self.vectors += count
        if found.low <= found.high:
            self.minimum = _smaller(self.minimum, found.low)
            self.maximum = found.high if self.maximum is None else max(found.high, self.maximum)
        if found.least < math.inf:
            self.least = _smaller(self.least, found.least)

    @property
    def amplification(self) -> float | None:
        """By how much a difference of the input may grow at most; None where no norm was seen.

        It is one over what the shortest vector is divided by, the larger of its norm and the
        floor, and infinite where both are zero.
        """
        if self.least is None or self.floors is None:
            return None
        floor = self.floors[0 if FUNCTIONS[self.call.function] is NORMALIZE else 1]
        divisor = max(self.least, floor)
        return 1 / divisor if divisor > 0 else math.inf

    def settle(self) -> None:
        """Count what waits, and take in what was counted elsewhere; waits for accelerators."""
        self._count_waiting()
        for device, counter in [*self.elsewhere.items()]:
            try:
                self.add_counts(counter.take())
            except Exception as error:  # of an accelerator that failed
                self.error = f"{device}: {described(error)}"
                del self.elsewhere[device]


def _smaller(known: float | None, new: float) -> float:
    return new if known is None else min(new, known)


def described(error: Exception) -> str:
    """Return the type and the text of an error, of whose text nothing is known."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return type(error).__name__


def floors_of(call: Call) -> tuple[float, float]:
    """Return the norms below which torch's and MindSpore's function divide by a constant.

    The one has what eps makes of it, the other one what its default does.

    Raises:
        AttributeError, IndexError, NotImplementedError, RuntimeError, TypeError, ValueError: what
            the function raises for such arguments.
    """
    shape, dtype = (None,) * call.ndim, call.dtype
    epsilon = L2NORMALIZE.eps
    if FUNCTIONS[call.function] is NORMALIZE:
        given = semantics.normalize_arguments(shape, dtype, call.p, _list(call.dim), call.eps)
        eps = given.eps
    else:
        axis = semantics.l2_normalize_axis(_list(call.dim))
        semantics.check_l2_normalize_input(shape, dtype, axis)
        epsilon = float(semantics.l2_normalize_epsilon(call.eps))
        eps = semantics.normalize_eps(NORMALIZE.eps, dtype)
    if dtype in L2NORMALIZE.dtypes:
        epsilon = semantics.round_epsilon(epsilon, dtype)
    return max(NORMALIZE.floor(eps), 0.0), L2NORMALIZE.floor(max(epsilon, 0.0))


def _list(dim: Any) -> Any:
    return list(dim) if isinstance(dim, tuple) else dim


def classify(norms: Norms, floors: tuple[float, float]) -> dict[str, int]:
    """Count the vectors in each class, as `portnorm.vectors.classify` has them."""
    classes = classes_of(norms.two, norms.order, floors, np.isfinite(norms.two))
    numbers = np.bincount(classes.ravel(), minlength=len(CLASSES))
    return dict(zip(CLASSES, map(int, numbers), strict=True))
