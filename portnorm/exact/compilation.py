"""How kernels are compiled: to machine code of this processor, cached on disk.

Numba looks at the file of the kernel to tell whether cached code is stale. A kernel here is built
from several files, so the key below covers all of them. The cache saves time and nothing else: what
cannot be read or written there, for whatever reason, is compiled anew.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile

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
    except (RuntimeError, OSError):  # there is no folder to write to
        return compiled
    return compiled


class _Cache(FunctionCache):  # type: ignore[misc]
    """A cache whose failures are misses; a later success replaces the file that failed."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        files: Any = self._cache_file
        self._cache_file: Any = _Files(
            cache_path=self._cache_path,
            filename_base=self._impl.filename_base,
            source_stamp=files._source_stamp,
        )

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        with contextlib.suppress(Exception):
            return super().load_overload(sig, target_context)
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with contextlib.suppress(Exception):  # a full disk, for one
            super().save_overload(sig, data)

    def _index_key(self, *arguments: Any) -> tuple[Any, ...]:
        return (*super()._index_key(*arguments), _stamp_of_package())


class _Files(IndexDataCacheFile):  # type: ignore[misc]
    """The files of one kernel: what is damaged is not there.

    One flipped bit in machine code gives other numbers or ends the process, so each file ends with
    a hash of what it holds. A file of code also says which signature it is for, because processes
    that compile at the same time may write to one file, and a write may fail after that of the
    index.
    """

    def save(self, key: Any, data: Any) -> None:
        super().save(key, (key, data))

    def load(self, key: Any) -> Any:
        found = super().load(key)
        return found[1] if found is not None and found[0] == key else None

    def _load_index(self) -> Any:
        try:
            with open(self._index_path, "rb") as file:
                pickle.load(file)  # Numba's version
                _checked(file.read())
            return super()._load_index()
        except Exception:
            return {}

    def _load_data(self, name: str) -> Any:
        return pickle.loads(_checked(Path(self._data_path(name)).read_bytes()))

    def _dump(self, value: Any) -> bytes:
        data: bytes = super()._dump(value)
        return data + _hash(data)


def _hash(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _checked(data: bytes) -> bytes:
    """Return data without the hash at its end.

    Raises:
        ValueError: it is not the hash of the data.
    """
    size = hashlib.sha256().digest_size
    if _hash(data[:-size]) != data[-size:]:
        raise ValueError("the file is damaged")
    return data[:-size]


@functools.cache
def _stamp_of_package() -> str:
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
