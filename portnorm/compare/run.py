"""One comparison: arguments checked, computations chosen, blocks measured."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from portnorm import __version__, frameworks
from portnorm.compare import computations
from portnorm.compare.blocks import BLOCK_BYTES
from portnorm.compare.comparison import Comparison
from portnorm.compare.measure import GRADIENT_STEPS, Functions, measure_array
from portnorm.compare.settings import CONVERTIBLE, Settings, array_of, plan
from portnorm.readers import Source
from portnorm.semantics import L2NORMALIZE, LARGEST_CONFUSED_EPSILON, NORMALIZE
from portnorm.terminal import Progress, no_progress

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


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
            `portnorm.readers.Source`, which is read block by block, in C order.
        dim: along which both functions run. None: 1, torch's default, or 0 for a single vector.
        p: the order of torch's norm; L2Normalize always has 2.
        eps: torch's.
        epsilon: L2Normalize's.
        dtype: "float16", "float32" or "float64", to convert to before anything else.
        seed: of the cotangent, where that is random.
        cotangent: of the same shape; None for one that is random normal.
        block_bytes: about how much of the array to hold at one time.
        progress: called with what is being done, the number of vectors done, and of how many.

    Raises:
        IndexError, RuntimeError, TypeError, ValueError: what the two functions raise for these
            arguments; also for data of another dtype.
        portnorm.frameworks.NoFrameworkError: neither framework is installed.

    >>> found = compare(np.float32([1e-10, 2e-10, 3e-10]))
    >>> found.agrees, found.measurement.counts["between"]
    (False, 1)
    """
    source = array_of(array)
    settings = plan(source, dim=dim, p=p, eps=eps, epsilon=epsilon, dtype=dtype, seed=seed)
    given = None
    if cotangent is not None:
        given = array_of(cotangent)
        _check_cotangent(given, source)
        settings = replace(settings, seed=None)
    job = _Job(source, settings, given, block_bytes, progress or no_progress)
    found = frameworks.frameworks()
    confused = settings.epsilon <= LARGEST_CONFUSED_EPSILON
    return _run(job, found, "its own might use the epsilon of another call" * confused)


class _Job(NamedTuple):
    """What `compare` was asked to do."""

    source: Source
    settings: Settings
    cotangent: Source | None
    block_bytes: int
    progress: Progress


def _check_cotangent(cotangent: Source, source: Source) -> None:
    if cotangent.shape != source.shape:
        raise ValueError(
            f"expected a cotangent of shape {source.shape}, found one of {cotangent.shape}"
        )
    if cotangent.dtype not in CONVERTIBLE:
        raise TypeError(f"expected a cotangent of numbers, found {cotangent.dtype}")


def _run(job: _Job, found: frameworks.Frameworks, why_not_own: str) -> Comparison:
    source, settings = job.source, job.settings
    normalize = computations.normalize(found, settings.p, settings.eps)
    l2_normalize = computations.l2_normalize(found, settings.epsilon, why_not_own)
    gradient = l2_normalize
    n = source.shape[settings.dim]
    if computations.gradient_steps(l2_normalize, n) > GRADIENT_STEPS:
        gradient = computations.l2_normalize(found, settings.epsilon, computations.QUADRATIC)
    measurement = measure_array(
        source,
        settings,
        Functions(normalize, l2_normalize, gradient),
        cotangent=job.cotangent,
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
    )
