"""Arrays in files, read block by block; nothing that could run code is ever read.

A source gives a shape and a dtype without reading data, and then parts of the data as they are
asked for. What is held in memory at one time stays small, however the parts lie in the file.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import math
import os
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

from portnorm import files
from portnorm.errors import PortnormError
from portnorm.text import without_repeats

Index = tuple[slice, ...]
"""One slice with a start and a stop, and step 1, for each axis."""

SUFFIXES = (".npy", ".npz", ".safetensors")

_READ_BYTES = 2**21
_GAP_BYTES = 2**16
"""So many bytes take about as long to read as it takes to begin to read somewhere else."""
_NPY_LENGTH_BYTES = {(1, 0): 2, (2, 0): 4}
_NPY_HEADER_BYTES = 10_000
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
        # What overflows is counted as not finite, and so is a NaN of either kind.
        with np.errstate(over="ignore", invalid="ignore"):
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
        if found := files.other_than_file(path):
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
    if len({*names}) == 1:
        return names[0]
    if not names:
        raise UnreadableError(f"{path}: expected an array, found none in it")
    raise UnreadableError(f"{path}: holds {len(names)} arrays; give --key, one of {_list(names)}")


def _list(names: list[str]) -> str:
    shown = ", ".join(map(repr, names[:_NAMES_SHOWN]))
    more = len(names) - _NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown or "none"


# --- .npy and .npz --------------------------------------------------------------------------------


def _open_npy(path: str, name: str) -> Source:
    try:
        with open(path, "rb") as stream:
            state = _state(stream)
            shape, order, dtype = _read_npy_header(stream, name)
            offset = stream.tell()
    except UnreadableError:
        raise
    except Exception as error:  # NumPy raises many types for a damaged header
        raise UnreadableError(f"{name}: expected a .npy header: {error}") from error
    expected, present = math.prod(shape) * dtype.itemsize, state.size - offset
    if present < expected:
        raise UnreadableError(
            f"{name}: expected {expected} bytes of data for {dtype.name} {shape}, "
            f"found {present}: the file is cut short"
        )
    return _FileArray(name, path, shape, dtype.name, dtype, order, offset, state)


def _read_npy_header(
    stream: IO[bytes], name: str
) -> tuple[tuple[int, ...], Literal["C", "F"], np.dtype[Any]]:
    npy: Any = np.lib.format  # not annotated
    version = npy.read_magic(stream)
    if version not in _NPY_LENGTH_BYTES:
        raise ValueError(f"version {version} of the format is for arrays of records")
    begin = stream.tell()
    length = int.from_bytes(stream.read(_NPY_LENGTH_BYTES[version]), "little")
    if length > _NPY_HEADER_BYTES:  # NumPy says so too, once it has read all of it
        raise ValueError(f"it is {length} bytes long, and {_NPY_HEADER_BYTES} is the most")
    stream.seek(begin)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy reads headers of Python 2, and says so
        shape, fortran_order, dtype = read(stream)
    if dtype.hasobject:
        raise UnreadableError(
            f"{name}: expected an array of numbers, found objects; pickled data is not read"
        )
    _check_shape(shape, dtype)
    return shape, "F" if fortran_order else "C", dtype


def _check_shape(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Refuse the shape of an array that NumPy cannot make; no memory is taken."""
    if bool in map(type, shape):
        raise ValueError(f"shape {shape}")
    try:
        np.broadcast_to(np.empty((), dtype), shape)
    except ValueError as error:
        raise ValueError(f"shape {shape}: {error}") from error


@contextlib.contextmanager
def _open_npz(path: str, key: str | None) -> Iterator[Source]:
    with tempfile.TemporaryDirectory(prefix="portnorm-") as folder:
        unpacked = str(Path(folder, "array.npy"))
        try:
            name = _unpack(path, key, unpacked)
        except UnreadableError:
            raise
        except Exception as error:  # zipfile raises many types for a damaged file
            full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
            what = f"room for an array of it in {tempfile.gettempdir()}" if full else "a .npz file"
            raise UnreadableError(f"{path}: expected {what}: {error}") from error
        yield _open_npy(unpacked, f"{path}[{name}]")


def _unpack(path: str, key: str | None, target: str) -> str:
    with zipfile.ZipFile(path) as archive:
        names = [one.removesuffix(".npy") for one in archive.namelist() if one.endswith(".npy")]
        name = _pick(path, names, key)
        if names.count(name) > 1:
            raise UnreadableError(f"{path}: expected one array named {name!r}, found several")
        with archive.open(f"{name}.npy") as member, open(target, "wb") as stream:
            shutil.copyfileobj(member, stream, _READ_BYTES)
    return name


# --- .safetensors ---------------------------------------------------------------------------------


def _open_safetensors(path: str, key: str | None) -> Source:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise UnreadableError(
            f"{path}: reading it needs safetensors: pip install 'portnorm[tools]'"
        ) from error
    try:
        with open(path, "rb") as stream:
            state = _state(stream)
            with safe_open(path, framework="numpy") as file:
                name = _pick(path, list(file.keys()), key)
            shape, code, offset = _read_safetensors_entry(stream, name)
            stored = _stored(f"{path}[{name}]", code)
            _check_shape(shape, stored)
    except UnreadableError:
        raise
    except (SafetensorError, OSError, ValueError, LookupError, TypeError) as error:
        raise UnreadableError(f"{path}: expected a .safetensors file: {error}") from error
    return _FileArray(f"{path}[{name}]", path, shape, stored.name, stored, "C", offset, state)


def _read_safetensors_entry(stream: IO[bytes], name: str) -> tuple[tuple[int, ...], str, int]:
    """Return the shape, the code of the dtype, and where the data begin.

    The library has checked the header by now. It does not say where data lie, and reads by a
    mapping, which kills the process where the file is cut short meanwhile.
    """
    length = int.from_bytes(stream.read(8), "little")
    entry = json.loads(stream.read(length), object_pairs_hook=without_repeats)[name]
    return tuple(entry["shape"]), entry["dtype"], 8 + length + entry["data_offsets"][0]


def _stored(name: str, code: str) -> np.dtype[Any]:
    """Return the dtype in the file."""
    if code not in _SAFETENSORS_DTYPES:
        known = ", ".join(_SAFETENSORS_DTYPES)
        raise UnreadableError(f"{name}: expected one of {known}, found {code}")
    if code != "BF16":
        return np.dtype(_SAFETENSORS_DTYPES[code]).newbyteorder("<")
    try:
        import ml_dtypes
    except ImportError as error:
        raise UnreadableError(
            f"{name}: reading bfloat16 needs ml_dtypes: pip install 'portnorm[tools]'"
        ) from error
    return np.dtype(ml_dtypes.bfloat16)


# --- all ------------------------------------------------------------------------------------------


class _State(NamedTuple):
    """What tells whether a file is still the one that was opened."""

    size: int
    changed: int
    inode: tuple[int, int]


def _state(stream: IO[bytes]) -> _State:
    found = os.fstat(stream.fileno())
    return _State(found.st_size, found.st_mtime_ns, (found.st_dev, found.st_ino))


@dataclass(frozen=True)
class _FileArray:
    """An array that lies in a file uncompressed.

    It is read, not mapped: reading a mapping of a file that is cut short meanwhile kills the
    process.
    """

    name: str
    path: str
    shape: tuple[int, ...]
    dtype: str
    stored: np.dtype[Any]
    order: Literal["C", "F"]
    offset: int
    state: _State

    def read(self, index: Index, dtype: DTypeLike) -> NDArray[Any]:
        result = np.empty([part.stop - part.start for part in index], dtype)
        if result.size == 0:
            return result
        try:
            with open(self.path, "rb") as stream:
                self._check_unchanged(stream)
                self._fill(stream, index, result, dtype)
                self._check_unchanged(stream)
        except FileNotFoundError as error:
            raise self._changed("has vanished") from error
        except OSError as error:
            raise UnreadableError(
                f"{self.name}: expected a file that can be read: {error.strerror}"
            ) from error
        return result

    def _fill(
        self, stream: IO[bytes], index: Index, result: NDArray[Any], dtype: DTypeLike
    ) -> None:
        """Read by runs of neighbouring bytes, a bounded number of bytes at a time."""
        axes = tuple(range(len(self.shape)))[:: -1 if self.order == "F" else 1]
        shape = [self.shape[axis] for axis in axes]
        part = [index[axis] for axis in axes]
        target = result.transpose(axes)
        rank, size = _runs(shape, part, self.stored.itemsize)
        along, whole = part[rank], (slice(None), *part[rank + 1 :])
        step = max(1, _READ_BYTES // size)
        for outer in np.ndindex(target.shape[:rank]):
            first = 0
            for begin, moved, count in zip(part, outer, shape, strict=False):
                first = first * count + begin.start + moved
            for start in range(along.start, along.stop, step):
                stop = min(start + step, along.stop)
                stream.seek(self.offset + (first * shape[rank] + start) * size)
                rows = self._read_rows(stream, (stop - start, *shape[rank + 1 :]))
                place = (*outer, slice(start - along.start, stop - along.start))
                # What overflows is counted as not finite, and so is a NaN of either kind.
                with np.errstate(over="ignore", invalid="ignore"):
                    target[place] = rows[whole].astype(dtype, copy=False)

    def _read_rows(self, stream: IO[bytes], shape: tuple[int, ...]) -> NDArray[Any]:
        rows = np.empty(shape, self.stored)
        data = rows.reshape(-1).view(np.uint8)
        if cast(io.BufferedReader, stream).readinto(data.data) < data.size:
            raise self._changed("has been cut short")
        return rows

    def _check_unchanged(self, stream: IO[bytes]) -> None:
        now = _state(stream)
        if now == self.state:
            return
        if now.size == self.state.size or now.inode != self.state.inode:
            raise self._changed("was changed")
        raise self._changed("has grown" if now.size > self.state.size else "has been cut short")

    def _changed(self, how: str) -> UnreadableError:
        return UnreadableError(
            f"{self.name}: expected a file that stays as it is while it is read; it {how}"
        )


def _runs(shape: list[int], part: list[slice], itemsize: int) -> tuple[int, int]:
    """Choose how to read a part of an array, axes slowest first.

    Returns:
        The axis along which to read runs, all axes after it being read whole; and the bytes of
        one step along it.
    """
    rank, size = len(shape) - 1, itemsize
    while rank > 0:
        needless = (shape[rank] - (part[rank].stop - part[rank].start)) * size
        if needless > _GAP_BYTES or shape[rank] * size > _READ_BYTES:
            break
        size *= shape[rank]
        rank -= 1
    return rank, size
