"""Norms of the vectors of a call, on NumPy arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from portnorm.semantics import normalize_dims, normalize_order
from portnorm.vectors import vector_norms
from portnorm.watch.records import Call, Norms

_SMALLEST, _LARGEST = 1e-15, 1e15
"""Between these, float32 holds the squares that make up a norm with all digits that matter."""


def norms_of_array(array: Any, call: Call) -> Norms:
    """Return the norms of the vectors of an array, real or complex, as a call takes them."""
    rows = _rows(np.abs(array) if np.iscomplexobj(array) else array, call)
    order = normalize_order(call.p, call.ndim, call.dim)
    two = _two_norms(rows)
    return Norms(two, two if order == 2 else vector_norms(rows, order).ravel())


def _rows(array: Any, call: Call) -> Any:
    """Return the vectors along axis 1 of three."""
    dim = list(call.dim) if isinstance(call.dim, tuple) else call.dim
    dims = normalize_dims(dim, array.ndim)
    kept = [d for d in range(array.ndim) if d not in dims]
    vectors = math.prod(array.shape[d] for d in kept)
    length = math.prod(array.shape[d] for d in dims)
    return array.transpose([*kept, *dims]).reshape(vectors, length, 1)


def _two_norms(rows: Any) -> Any:
    """Return the 2-norms: fast ones, but where squares leave the range of float32."""
    if rows.dtype in (np.float16, np.float32):
        v = rows[..., 0].astype(np.float32, copy=False)
        with np.errstate(all="ignore"):
            found = np.sqrt(np.einsum("vn,vn->v", v, v))
        if not found.size or _SMALLEST < found.min() <= found.max() < _LARGEST:
            return found
    return vector_norms(rows, 2.0).ravel()
