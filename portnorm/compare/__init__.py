"""Measure how the two functions differ on given data.

`compare` runs torch's `normalize` and MindSpore's `L2Normalize` on one array, whichever of the
two frameworks is installed, and says how far their values and gradients are apart. The command
`portnorm compare` does so for files. `watch` records the calls that a program makes, as
`portnorm watch` does for scripts.
"""

from __future__ import annotations

import json
import math
import operator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

import numpy as np

from portnorm import __version__, semantics
from portnorm.compare import functions, render
from portnorm.compare.findings import Head, Measurement, Row, Settings, Worst
from portnorm.compare.measure import (
    BLOCK_BYTES,
    GRADIENT_STEPS,
    Functions,
    measure_array,
)
from portnorm.compare.pairs import Difference, Pair, Pairs
from portnorm.compare.readers import ArraySource, Source, UnreadableError, open_array
from portnorm.compare.rules import gradient_tolerance, values_tolerance
from portnorm.watch import Watch, watch
from portnorm.errors import NativeParityError
from portnorm.progress import Progress
from portnorm.semantics import L2NORMALIZE, NORMALIZE
from portnorm.text import literal

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = [
    "Comparison",
    "Difference",
    "Measurement",
    "Pair",
    "Row",
    "Settings",
    "UnreadableError",
    "Watch",
    "compare",
    "open_array",
    "plan",
    "watch",
]

DTYPES = tuple(sorted(L2NORMALIZE.dtypes))
"""The dtypes that both functions take."""

_CONVERTIBLE = frozenset(
    ["bool", "float16", "bfloat16", "float32", "float64", np.dtype(np.longdouble).name]
    + [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
)


@dataclass(frozen=True)
class Comparison:
    """How the two functions differ on one array.

    Attributes:
        name: of the array.
        shape: of the array.
        settings: what was compared.
        measurement: what was found.
        computed_by: who computed "normalize", "l2_normalize" and "l2_normalize_gradient".
        own_gradient: whether the gradient of L2Normalize is that of MindSpore's own kernel, and
            not the derivative of its formula.
        versions: of portnorm, numpy, and torch and mindspore where they are installed.
        pairs: how implementations differ, two at a time; () unless asked for.

    >>> found = compare(np.float32([[1, 2], [0, 4e-9]]))
    >>> found.vectors, found.measurement.changed
    (2, 1)
    >>> found.verdict[:51]
    '1 of 2 vectors change; worst vector 1 (norm 4e-09);'
    """

    name: str
    shape: tuple[int, ...]
    settings: Settings
    measurement: Measurement
    computed_by: dict[str, str]
    own_gradient: bool
    versions: dict[str, str]
    pairs: tuple[Pair, ...] = ()

    @property
    def vectors(self) -> int:
        """The number of vectors."""
        return math.prod(self._kept_shape)

    @property
    def length(self) -> int:
        """The number of elements of a vector."""
        return self.shape[self.settings.dim]

    @property
    def agrees(self) -> bool:
        """Whether no vector changes."""
        return self.measurement.changed == 0

    @property
    def calls(self) -> dict[str, str]:
        """The call that returns the other framework's numbers, on "mindspore" and on "torch"."""
        given = self.settings
        normalize = [f"dim={given.dim}"]
        if given.p != 2:
            normalize.insert(0, f"p={literal(given.p)}")
        if given.eps != NORMALIZE.eps:
            normalize.append(f"eps={literal(given.eps)}")
        l2_normalize = [f"axis={given.dim}"]
        if given.epsilon != L2NORMALIZE.eps:
            l2_normalize.append(f"epsilon={literal(given.epsilon)}")
        return {
            "mindspore": f"portnorm.mindspore.normalize(x, {', '.join(normalize)})",
            "torch": f"portnorm.torch.L2Normalize({', '.join(l2_normalize)})(x)",
        }

    @property
    def verdict(self) -> str:
        """One sentence."""
        finding = self.finding
        if self.agrees:
            return f"{finding}."
        calls = self.calls
        return f"{finding}; use {calls['mindspore']} on MindSpore or {calls['torch']} on torch."

    @property
    def finding(self) -> str:
        """The verdict without the calls to use."""
        found = self.measurement
        if found.worst is None:
            return f"On this data the two functions agree to {found.ulp} ULP"
        at_least = "at least " if found.gradients_measured < self.vectors else ""
        return (
            f"{at_least}{found.changed} of {self.vectors} vectors change; worst vector "
            f"{self.position(found.worst.vector)} (norm {found.worst.norm:.4g})"
        )

    @property
    def _kept_shape(self) -> tuple[int, ...]:
        return self.shape[: self.settings.dim] + self.shape[self.settings.dim + 1 :]

    def index(self, vector: int) -> tuple[int, ...]:
        """Return the index of a vector in the array, without the dim along which it lies."""
        return tuple(int(i) for i in np.unravel_index(vector, self._kept_shape))

    def position(self, vector: int) -> str:
        """Return the index of a vector as text; its number where one number says it."""
        return str(self.index(vector) if len(self.shape) > 2 else vector)

    def summary(self, width: int = 80) -> str:
        """Return the findings as plain text, in lines of at most width characters."""
        return "\n".join(render.plain(self, width))

    def to_html(self) -> str:
        """Return a page of HTML with charts, complete in itself, as `portnorm compare --html`.

        Raises:
            ImportError: jinja2 or matplotlib is not installed.

        >>> compare(np.float32([1, 2, 3])).to_html().splitlines()[0]
        '<!DOCTYPE html>'
        """
        from portnorm.compare import report

        return report.page([self])

    def _repr_html_(self) -> str:
        from portnorm.compare import report

        return report.fragment(self)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as what JSON has; numbers that are not finite as "inf", "nan"."""
        given, found = self.settings, self.measurement
        plain: dict[str, Any] = _strict(
            {
                "name": self.name,
                "shape": self.shape,
                "vectors": self.vectors,
                "length": self.length,
                "settings": {
                    "dim": given.dim,
                    "p": given.p,
                    "eps": given.eps,
                    "epsilon": given.epsilon,
                    "dtype": given.dtype,
                    "seed": given.seed,
                },
                "versions": self.versions,
                "computed_by": self.computed_by,
                "floors": dict(zip(("normalize", "l2_normalize"), given.floors, strict=True)),
                "counts": found.counts,
                "norms": found.norms,
                "values": {
                    "ulp": found.ulp,
                    "relative": found.relative,
                    "changed": found.values_changed,
                    "tolerance_ulp": values_tolerance(self.length),
                    "histogram": found.ulps,
                },
                "gradients": {
                    "measured": found.gradients_measured,
                    "ulp": found.gradient_ulp,
                    "relative": found.gradient_relative,
                    "changed": found.gradients_changed,
                    "tolerance_relative": gradient_tolerance(self.length, given.dtype),
                    "own_kernel": self.own_gradient,
                    "histogram": found.gradient_ulps,
                },
                "changed": found.changed,
                "first": found.first and self._head_as_dict(found.first),
                "worst": found.worst and self._worst_as_dict(found.worst),
                "rows": [self._row_as_dict(row) for row in found.rows],
                "pairs": [pair.to_dict() for pair in self.pairs],
                "agrees": self.agrees,
                "verdict": self.verdict,
                "use": self.calls,
            }
        )
        return plain

    def to_json(self) -> str:
        """Return `to_dict` as strict JSON."""
        return json.dumps(self.to_dict(), allow_nan=False)

    def worst(self, n: int = 10) -> tuple[Row, ...]:
        """Return the n vectors that differ most, worst first; changed or not.

        Those with changed values come first, by ULP; then those with changed gradients; then
        what rounding explains. At most `portnorm.compare.largest.KEPT`, which is 100, are known.

        >>> found = compare(np.float32([[1, 2], [0, 4e-9], [3e-5, 4e-5]]))
        >>> [(row.vector, row.kind, row.changed) for row in found.worst(2)]
        [(1, 'between', True), (2, 'between', True)]
        """
        return self.measurement.rows[: max(0, operator.index(n))]

    def _row_as_dict(self, row: Row) -> dict[str, Any]:
        return {
            "index": self.index(row.vector),
            "norm": row.norm,
            "class": row.kind,
            "changed": row.changed,
            "values": {"ulp": row.ulp, "relative": row.relative},
            "gradients": {"ulp": row.gradient_ulp, "relative": row.gradient_relative},
        }

    def _head_as_dict(self, head: Head) -> dict[str, Any]:
        return {
            "index": self.index(head.vector),
            "of": "gradients" if head.gradient else "values",
            "normalize": head.normalize,
            "l2_normalize": head.l2_normalize,
        }

    def _worst_as_dict(self, worst: Worst) -> dict[str, Any]:
        return {
            **self._head_as_dict(worst.head),
            "norm": worst.norm,
            "difference": worst.difference,
        }


def compare(
    array: ArrayLike | Source,
    *,
    dim: int | None = None,
    p: float = 2.0,
    eps: float = NORMALIZE.eps,
    epsilon: float = L2NORMALIZE.eps,
    dtype: str | None = None,
    seed: int = 0,
    cotangent: ArrayLike | Source | None = None,
    pairs: bool = False,
    block_bytes: int = BLOCK_BYTES,
    progress: Progress | None = None,
) -> Comparison:
    """Compare torch's normalize with MindSpore's L2Normalize on an array.

    A vector changes when its values differ by more than rounding can explain, or are NaN in one
    only (`measure.values_tolerance`), or when its gradients for a random cotangent do
    (`measure.gradient_tolerance`). All values are compared, and the gradients of as many vectors
    as `measure.GRADIENT_STEPS` allows.

    Args:
        array: of float16, float32 or float64 and one dim or more, or a
            `portnorm.compare.readers.Source`, which is read block by block, in C order.
        dim: along which both functions run. None: 1, torch's default, or 0 for a single vector.
        p: the order of torch's norm; L2Normalize always has 2.
        eps: torch's.
        epsilon: L2Normalize's.
        dtype: "float16", "float32" or "float64", to convert to before anything else.
        seed: of the cotangent, where that is random.
        cotangent: of the same shape; None for one that is random normal.
        pairs: also compare portnorm's levels of parity with the two functions and with each
            other, each on the framework that it is for where that is installed. "strict" then
            compiles its kernels, once per dtype: that takes 10 to 20 seconds.
        block_bytes: about how much of the array to hold at one time.
        progress: called with what is being done, the number of vectors done, and of how many.

    Raises:
        IndexError, RuntimeError, TypeError, ValueError: what the two functions raise for these
            arguments; also for data of another dtype.
        portnorm.compare.functions.NoFrameworkError: neither framework is installed.

    >>> found = compare(np.float32([1e-10, 2e-10, 3e-10]))
    >>> found.agrees, found.measurement.counts["between"]
    (False, 1)
    """
    source = _source(array)
    settings = plan(source, dim=dim, p=p, eps=eps, epsilon=epsilon, dtype=dtype, seed=seed)
    given = None
    if cotangent is not None:
        given = _source(cotangent)
        _check_cotangent(given, source)
        settings = replace(settings, seed=None)
    job = _Job(source, settings, given, pairs, block_bytes, progress or _no_progress)
    found = functions.frameworks()
    try:
        return _run(job, found, "")
    except NativeParityError:
        return _run(job, found, "its own might use the epsilon of another call")


class _Job(NamedTuple):
    """What `compare` was asked to do."""

    source: Source
    settings: Settings
    cotangent: Source | None
    pairs: bool
    block_bytes: int
    progress: Progress


def plan(
    source: Source,
    *,
    dim: int | None = None,
    p: float = 2.0,
    eps: float = NORMALIZE.eps,
    epsilon: float = L2NORMALIZE.eps,
    dtype: str | None = None,
    seed: int = 0,
) -> Settings:
    """Check the arguments of `compare` against an array, without reading data.

    Raises:
        IndexError, RuntimeError, TypeError, ValueError: as `compare` does.
    """
    if not source.shape:
        raise ValueError("expected an array of one dim or more, found a single number")
    name = _check_dtype(source.dtype, dtype)
    if dim is None:
        dim = NORMALIZE.axis if len(source.shape) > 1 else 0
    dim = operator.index(dim)
    arguments = semantics.normalize_arguments(source.shape, name, p, dim, eps)
    rounded = semantics.round_epsilon(semantics.l2_normalize_epsilon(epsilon), name)
    # A negative epsilon never takes effect.
    floors = NORMALIZE.floor(arguments.eps), L2NORMALIZE.floor(max(rounded, 0.0))
    return Settings(name, arguments.dims[0], arguments.p, float(eps), epsilon, floors, seed)


def _source(array: ArrayLike | Source) -> Source:
    return array if _is_source(array) else ArraySource(np.asarray(array))


def _check_cotangent(cotangent: Source, source: Source) -> None:
    if cotangent.shape != source.shape:
        raise ValueError(
            f"expected a cotangent of shape {source.shape}, found one of {cotangent.shape}"
        )
    if cotangent.dtype not in _CONVERTIBLE:
        raise TypeError(f"expected a cotangent of numbers, found {cotangent.dtype}")


def _is_source(array: ArrayLike | Source) -> TypeGuard[Source]:
    return hasattr(array, "read")


def _check_dtype(stored: str, wanted: str | None) -> str:
    """Return the dtype to compare in."""
    choices = f"{', '.join(DTYPES[:-1])} or {DTYPES[-1]}"
    if stored not in _CONVERTIBLE:
        raise TypeError(f"expected {choices}, found {stored}")
    if wanted is None:
        if stored not in DTYPES:
            raise TypeError(f"expected {choices}, found {stored}; convert with --dtype float32")
        return stored
    if wanted not in DTYPES:
        raise ValueError(f"dtype must be {choices}, not {wanted!r}")
    return wanted


def _run(job: _Job, found: functions.Frameworks, why_not_own: str) -> Comparison:
    source, settings = job.source, job.settings
    normalize = functions.normalize(found, settings.p, settings.eps)
    l2_normalize = functions.l2_normalize(found, settings.epsilon, why_not_own)
    gradient = l2_normalize
    n = source.shape[settings.dim]
    if functions.gradient_steps(l2_normalize, n) > GRADIENT_STEPS:
        gradient = functions.l2_normalize(found, settings.epsilon, functions.QUADRATIC)
    pairs = None
    if job.pairs:
        arguments = settings.p, settings.eps, settings.epsilon
        own = normalize, l2_normalize
        groups = functions.implementations(found, *arguments, own, why_not_own)
        pairs = Pairs(groups, settings, n, GRADIENT_STEPS)
    measurement = measure_array(
        source,
        settings,
        Functions(normalize, l2_normalize, gradient),
        cotangent=job.cotangent,
        pairs=pairs,
        block_bytes=job.block_bytes,
        progress=job.progress,
    )
    by = {
        "normalize": normalize.by,
        "l2_normalize": l2_normalize.by,
        "l2_normalize_gradient": gradient.by,
    }
    return Comparison(
        name=source.name,
        shape=source.shape,
        settings=settings,
        measurement=measurement,
        computed_by=by,
        own_gradient=gradient.own,
        versions={"portnorm": __version__, "numpy": np.__version__, **found.versions},
        pairs=pairs.result() if pairs else (),
    )


def _no_progress(what: str, done: int, total: int) -> None:
    pass


def _strict(value: Any) -> Any:
    """Replace what strict JSON does not have: infinities and NaN by their names."""
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
