"""How kernels are compiled: to machine code of this processor, cached on disk.

Numba looks at the file of the kernel to tell whether cached code is stale. A kernel here is built
from several files, so the key below covers all of them. Where no folder can be written, code is
compiled anew in each process.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core.caching import FunctionCache
from numba.core.sigutils import normalize_signature

_Function = TypeVar("_Function", bound=Callable[..., Any])


def inlined(function: _Function) -> _Function:
    """Compile a function that kernels call, as part of them: IEEE arithmetic as written."""
    return cast(_Function, numba.njit(nogil=True, error_model="numpy")(function))


def spliced(function: _Function) -> _Function:
    """As `inlined`, but never called: what has many arguments and little to do."""
    compiled = numba.njit(nogil=True, error_model="numpy", forceinline=True)(function)
    return cast(_Function, compiled)


def kernel(function: _Function) -> _Function:
    """Compile a function that Python calls. It holds no lock of the interpreter."""
    compiled = inlined(function)
    if numba.config.DISABLE_JIT:
        return compiled
    try:
        cast(Any, compiled)._cache = _Cache(function)
    except RuntimeError:  # there is no folder to write to
        return compiled
    return compiled


class _Cache(FunctionCache):  # type: ignore[misc]
    def load_overload(self, sig: Any, target_context: Any) -> Any:
        # Processes that compile at the same time may write two signatures to one file.
        found = super().load_overload(sig, target_context)
        wanted, _ = normalize_signature(sig)
        return found if found is None or tuple(found.signature.args) == tuple(wanted) else None

    def _index_key(self, *arguments: Any) -> tuple[Any, ...]:
        return (*super()._index_key(*arguments), _stamp_of_package())


@functools.cache
def _stamp_of_package() -> str:
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
