"""An array that is read in parts, in memory or in a file.

What is held in memory at one time stays small, however the parts lie in the file.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import IO, Any, Literal, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

from portnorm.errors import PortnormError

Index = tuple[slice, ...]
"""One slice with a start and a stop, and step 1, for each axis."""

READ_BYTES = 2**21
"""How much of a file is in memory at one time."""

_GAP_BYTES = 2**16
"""So many bytes take about as long to read as it takes to begin to read somewhere else."""


class UnreadableError(PortnormError):
    """A file does not hold what was expected; the message names both."""


class Described(Protocol):
    """What is known of an array before it is read."""

    @property
    def name(self) -> str:
        """What to call it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""

    @property
    def dtype(self) -> str:
        """The name of its dtype, as NumPy has it; also "bfloat16"."""


class Source(Described, Protocol):
    """An array that is read in parts."""

    def read(self, index: Index, dtype: DTypeLike) -> NDArray[Any]:
        """Return a fresh C-contiguous array of the given part, converted to dtype."""


class Description(NamedTuple):
    """What is known of an array that is not open."""

    name: str
    shape: tuple[int, ...]
    dtype: str


def label_of(path: str, name: str) -> str:
    """Return what to call an array of a file; "" is the name of one without."""
    return f"{path}[{name}]" if name else path


def held_dtype(dtype: str) -> str:
    """Return the dtype in which numbers are held: float32 for those of bfloat16, exactly."""
    return "float32" if dtype == "bfloat16" else dtype


def whole(source: Described) -> Index:
    """Return the index of all of an array."""
    return tuple(slice(0, size) for size in source.shape)


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


def check_shape(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Refuse the shape of an array that NumPy cannot make; no memory is taken."""
    if bool in map(type, shape):
        raise ValueError(f"shape {shape}")
    try:
        np.broadcast_to(np.empty((), dtype), shape)
    except ValueError as error:
        raise ValueError(f"shape {shape}: {error}") from error


def check_array(label: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Refuse an array that NumPy cannot make.

    Raises:
        UnreadableError: it cannot.
    """
    try:
        check_shape(shape, dtype)
    except ValueError as error:
        raise UnreadableError(f"{label}: expected an array: {error}") from error


def bfloat16(label: str) -> np.dtype[Any]:
    """Return the dtype, which NumPy has from a library.

    Raises:
        UnreadableError: the library is not installed.
    """
    try:
        import ml_dtypes
    except ImportError as error:
        raise UnreadableError(
            f"{label}: reading bfloat16 needs ml_dtypes: pip install 'portnorm[tools]'"
        ) from error
    return np.dtype(ml_dtypes.bfloat16)


class State(NamedTuple):
    """What tells whether a file is still the one that was opened."""

    size: int
    changed: int
    inode: tuple[int, int]


def state_of(stream: IO[bytes]) -> State:
    """Return the state of an open file."""
    found = os.fstat(stream.fileno())
    return State(found.st_size, found.st_mtime_ns, (found.st_dev, found.st_ino))


class Piece(NamedTuple):
    """Bytes of a file that follow each other."""

    begin: int
    size: int


@dataclass(frozen=True)
class FileArray:
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
    pieces: tuple[Piece, ...]
    state: State

    def read(self, index: Index, dtype: DTypeLike) -> NDArray[Any]:
        """Return a fresh array of the given part, converted to dtype."""
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
        shape = [self.shape[axis] for axis in axes] or [1]  # one number is read as one of a row
        part = [index[axis] for axis in axes] or [slice(0, 1)]
        target = result.transpose(axes) if axes else result.reshape(1)
        rank, size = _runs(shape, part, self.stored.itemsize)
        along, whole = part[rank], (slice(None), *part[rank + 1 :])
        step = max(1, READ_BYTES // size)
        for outer in np.ndindex(target.shape[:rank]):
            first = 0
            for begin, moved, count in zip(part, outer, shape, strict=False):
                first = first * count + begin.start + moved
            for start in range(along.start, along.stop, step):
                stop = min(start + step, along.stop)
                offset = (first * shape[rank] + start) * size
                rows = self._read_rows(stream, offset, (stop - start, *shape[rank + 1 :]))
                place = (*outer, slice(start - along.start, stop - along.start))
                # What overflows is counted as not finite, and so is a NaN of either kind.
                with np.errstate(over="ignore", invalid="ignore"):
                    target[place] = rows[whole].astype(dtype, copy=False)

    def _read_rows(self, stream: IO[bytes], begin: int, shape: tuple[int, ...]) -> NDArray[Any]:
        rows = np.empty(shape, self.stored)
        data = rows.reshape(-1).view(np.uint8).data
        for piece in self.pieces:
            size = min(piece.size - begin, len(data))
            if size > 0:
                stream.seek(piece.begin + begin)
                if cast(io.BufferedReader, stream).readinto(data[:size]) < size:
                    raise self._changed("has been cut short")
                data, begin = data[size:], begin + size
            begin -= piece.size
        return rows

    def _check_unchanged(self, stream: IO[bytes]) -> None:
        now = state_of(stream)
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
        if needless > _GAP_BYTES or shape[rank] * size > READ_BYTES:
            break
        size *= shape[rank]
        rank -= 1
    return rank, size


# --- files of several arrays ----------------------------------------------------------------------


class Arrays(Protocol):
    """The arrays of one file, or of one folder.

    Attributes:
        path: of the file.
        names: of the arrays; "" for an array without a name; a damaged file may repeat one.
    """

    path: str
    names: tuple[str, ...]

    def describe(self, name: str) -> Described:
        """Return the shape and the dtype of an array, of which nothing more is read.

        Raises:
            UnreadableError: it is damaged.
        """

    def open(self, name: str) -> AbstractContextManager[Source]:
        """Open an array.

        Raises:
            UnreadableError: it is damaged.
        """


class Opened:
    """Arrays that are ready to be read once their file has been looked at.

    Args:
        path: of the file.
        sources: what makes the source of each array, and may find it damaged.
    """

    def __init__(self, path: str, sources: dict[str, Callable[[], Source]]) -> None:
        self.path = path
        self.names = tuple(sources)
        self._sources = sources

    def describe(self, name: str) -> Described:
        """Return the array itself."""
        return self._sources[name]()

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[Source]:
        """Yield the array."""
        yield self._sources[name]()
