"""Comparisons of made data with stand-ins for the two functions, so that no framework is needed."""

from __future__ import annotations

import numpy as np

from portnorm.compare import Comparison, plan
from portnorm.compare.computations import Array, Computation
from portnorm.compare.measure import Functions, measure_array
from portnorm.readers import ArraySource
from portnorm.vectors import vector_norms


def divided(x: Array, floor: float) -> Array:
    """Divide vectors by their norm, or by the floor where that is larger."""
    norms = vector_norms(x, 2.0)[:, None]
    with np.errstate(all="ignore"):
        return (x / np.maximum(norms, floor)).astype(x.dtype)


def computation(floor: float) -> Computation:
    """Return a function with a floor, and a gradient that is not that of the function."""
    return Computation(
        f"a function with the floor {floor:g}",
        lambda x: divided(x, floor),
        lambda x, g: (g * (1 / max(floor, 1e-3))).astype(x.dtype),
        own=True,
    )


def comparison(array: Array, name: str = "made") -> Comparison:
    """Compare two functions with the floors of normalize and of L2Normalize."""
    source = ArraySource(array, name)
    settings = plan(source)
    one, other = computation(1e-12), computation(1e-2)
    measurement = measure_array(source, settings, Functions(one, other, other))
    return Comparison(
        name=name,
        shape=array.shape,
        settings=settings,
        measurement=measurement,
        computed_by={
            "normalize": one.by,
            "l2_normalize": other.by,
            "l2_normalize_gradient": other.by,
        },
        own_gradient=True,
        versions={"portnorm": "0"},
    )


def mixed(rng: np.random.Generator, vectors: int = 300) -> Array:
    """Return vectors of every class."""
    x = rng.standard_normal((vectors, 8)) * 10.0 ** rng.uniform(-15, 2, (vectors, 1))
    x[3:9] = 0
    x[11, 2], x[12, 3] = np.nan, np.inf
    return x.astype(np.float32)
