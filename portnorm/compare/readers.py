"""Arrays in files, read block by block; nothing that could run code is ever read.

A source gives a shape and a dtype without reading data, and then parts of the data as they are
asked for. What is mapped into memory at one time stays small, however the parts lie in the file.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from portnorm.errors import PortnormError

Index = tuple[slice, ...]
"""One slice with a start and a stop, and step 1, for each axis."""

SUFFIXES = (".npy", ".npz", ".safetensors")

_MAPPED_BYTES = 2**25
_NAMES_SHOWN = 8
_SAFETENSORS_DTYPES = {
    "BOOL": "bool",
    "BF16": "bfloat16",
    "F16": "float16",
    "F32": "float32",
    "F64": "float64",
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
}


class UnreadableError(PortnormError):
    """A file does not hold what was expected; the message names both."""


class Source(Protocol):
    """An array that is read in parts."""

    @property
    def name(self) -> str:
        """What to call it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""

    @property
    def dtype(self) -> str:
        """The name of its dtype, as NumPy has it; also "bfloat16"."""

    def read(self, index: Index, dtype: DTypeLike) -> NDArray[Any]:
        """Return a fresh C-contiguous array of the given part, converted to dtype."""


@dataclass(frozen=True)
class ArraySource:
    """An array in memory."""

    array: NDArray[Any]
    name: str = "array"

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return self.array.shape

    @property
    def dtype(self) -> str:
        """The name of its dtype."""
        return self.array.dtype.name

    def read(self, index: Index, dtype: DTypeLike) -> NDArray[Any]:
        """Return a copy of the given part, converted to dtype."""
        with np.errstate(over="ignore"):  # what overflows is counted as not finite
            return self.array[index].astype(dtype, order="C")


@contextlib.contextmanager
def open_array(path: str, key: str | None = None) -> Iterator[Source]:
    """Open one array of a .npy, .npz or .safetensors file.

    A member of a .npz file is unpacked to a temporary file, which is gone at the end.

    Args:
        path: the file.
        key: the name of the array; needed where the file holds more than one.

    Raises:
        UnreadableError: anything is not as expected.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise UnreadableError(f"{path}: expected a file with suffix {' or '.join(SUFFIXES)}")
    _check_is_file(path)
    if suffix == ".npz":
        with _open_npz(path, key) as source:
            yield source
    elif suffix == ".npy":
        if key is not None:
            raise UnreadableError(f"{path}: a .npy file holds one array without a name; drop --key")
        yield _open_npy(path, path)
    else:
        yield _open_safetensors(path, key)


def _check_is_file(path: str) -> None:
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            found = "a directory" if stat.S_ISDIR(mode) else "a device or a pipe"
            raise UnreadableError(f"{path}: expected a file, found {found}")
        with open(path, "rb"):
            pass
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UnreadableError(f"{path}: expected a file that can be read: {reason}") from error


def _pick(path: str, names: list[str], key: str | None) -> str:
    if key is not None:
        if key not in names:
            raise UnreadableError(f"{path}: expected an array named {key!r}; it has {_list(names)}")
        return key
    if len(names) == 1:
        return names[0]
    if not names:
        raise UnreadableError(f"{path}: expected an array, found none in it")
    raise UnreadableError(f"{path}: holds {len(names)} arrays; give --key, one of {_list(names)}")


def _list(names: list[str]) -> str:
    shown = ", ".join(map(repr, names[:_NAMES_SHOWN]))
    more = len(names) - _NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown or "none"


# --- .npy and .npz --------------------------------------------------------------------------------


@dataclass(frozen=True)
class _MappedArray:
    name: str
    path: str
    shape: tuple[int, ...]
    stored: np.dtype[Any]
    order: Literal["C", "F"]
    offset: int

    @property
    def dtype(self) -> str:
        return self.stored.name

    def read(self, index: Index, dtype: DTypeLike) -> NDArray[Any]:
        def mapped(part: Index) -> NDArray[Any]:
            # Mapped afresh for each part: pages that were touched count as used until unmapped.
            array: NDArray[Any] = np.memmap(
                self.path, self.stored, "r", self.offset, self.shape, self.order
            )
            return array[part]

        axes = range(len(self.shape))
        slowest_first = reversed(axes) if self.order == "F" else axes
        return _read_in_parts(mapped, self, index, dtype, list(slowest_first))


def _open_npy(path: str, name: str) -> Source:
    try:
        with open(path, "rb") as stream:
            source = _read_npy_header(stream, path, name)
            held = stream.seek(0, 2) - source.offset
    except UnreadableError:
        raise
    except Exception as error:  # NumPy raises many types for a damaged header
        raise UnreadableError(f"{name}: expected a .npy header: {error}") from error
    expected = math.prod(source.shape) * source.stored.itemsize
    if held < expected:
        raise UnreadableError(
            f"{name}: expected {expected} bytes of data for {source.dtype} {source.shape}, "
            f"found {held}: the file is cut short"
        )
    return source


def _read_npy_header(stream: IO[bytes], path: str, name: str) -> _MappedArray:
    npy: Any = np.lib.format  # not annotated
    version = npy.read_magic(stream)
    if version == (1, 0):
        shape, fortran_order, dtype = npy.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, fortran_order, dtype = npy.read_array_header_2_0(stream)
    else:
        raise ValueError(f"version {version} of the format is for arrays of records")
    if dtype.hasobject:
        raise UnreadableError(
            f"{name}: expected an array of numbers, found objects; pickled data is not read"
        )
    if min(shape, default=0) < 0:
        raise ValueError(f"shape {shape}")
    return _MappedArray(name, path, shape, dtype, "F" if fortran_order else "C", stream.tell())


@contextlib.contextmanager
def _open_npz(path: str, key: str | None) -> Iterator[Source]:
    with tempfile.TemporaryDirectory(prefix="portnorm-") as folder:
        unpacked = str(Path(folder, "array.npy"))
        try:
            name = _unpack(path, key, unpacked)
        except UnreadableError:
            raise
        except Exception as error:  # zipfile raises many types for a damaged file
            raise UnreadableError(f"{path}: expected a .npz file: {error}") from error
        yield _open_npy(unpacked, f"{path}[{name}]")


def _unpack(path: str, key: str | None, target: str) -> str:
    with zipfile.ZipFile(path) as archive:
        members = [name for name in archive.namelist() if name.endswith(".npy")]
        name = _pick(path, [member.removesuffix(".npy") for member in members], key)
        with archive.open(f"{name}.npy") as member, open(target, "wb") as stream:
            shutil.copyfileobj(member, stream, _MAPPED_BYTES)
    return name


# --- .safetensors ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _SafeTensor:
    name: str
    path: str
    key: str
    shape: tuple[int, ...]
    dtype: str

    def read(self, index: Index, dtype: DTypeLike) -> NDArray[Any]:
        from safetensors import safe_open

        def part(part: Index) -> NDArray[Any]:
            with safe_open(self.path, framework="numpy") as file:
                array: NDArray[Any] = file.get_slice(self.key)[part]
                return array

        return _read_in_parts(part, self, index, dtype, list(range(len(self.shape))))


def _open_safetensors(path: str, key: str | None) -> Source:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise UnreadableError(
            f"{path}: reading it needs safetensors: pip install 'portnorm[tools]'"
        ) from error
    try:
        with safe_open(path, framework="numpy") as file:
            name = _pick(path, list(file.keys()), key)
            part = file.get_slice(name)
            shape, dtype = tuple(part.get_shape()), str(part.get_dtype())
    except (SafetensorError, OSError) as error:
        raise UnreadableError(f"{path}: expected a .safetensors file: {error}") from error
    if dtype == "BF16":
        _check_ml_dtypes(path)
    return _SafeTensor(f"{path}[{name}]", path, name, shape, _SAFETENSORS_DTYPES.get(dtype, dtype))


def _check_ml_dtypes(path: str) -> None:
    """The library leaves bfloat16 to NumPy, which knows it once ml_dtypes is imported."""
    try:
        import ml_dtypes  # noqa: F401
    except ImportError as error:
        raise UnreadableError(
            f"{path}: reading bfloat16 needs ml_dtypes: pip install 'portnorm[tools]'"
        ) from error


# --- all ------------------------------------------------------------------------------------------


class _Read(Protocol):
    def __call__(self, part: Index, /) -> NDArray[Any]: ...


def _read_in_parts(
    read: _Read, source: Source, index: Index, dtype: DTypeLike, slowest_first: list[int]
) -> NDArray[Any]:
    """Copy a part of a file, touching about `_MAPPED_BYTES` of the file at a time.

    Columns of a wide matrix touch every page of the file, many times what they hold themselves.
    """
    result = np.empty([part.stop - part.start for part in index], dtype)
    if result.size == 0:
        return result
    axis = next((axis for axis in slowest_first if result.shape[axis] > 1), 0)
    inside = slowest_first[slowest_first.index(axis) + 1 :]
    stride = np.dtype(dtype).itemsize * math.prod(source.shape[axis] for axis in inside)
    step = max(1, _MAPPED_BYTES // stride)
    for start in range(0, result.shape[axis], step):
        here = slice(start, min(start + step, result.shape[axis]))
        begin = index[axis].start
        moved = slice(begin + here.start, begin + here.stop)
        target = result[(slice(None),) * axis + (here,)]
        with np.errstate(over="ignore"):  # what overflows is counted as not finite
            target[...] = read((*index[:axis], moved, *index[axis + 1 :])).astype(dtype, copy=False)
    return result
