"""Arrays that NumPy has saved: .npy and .npz. Pickled data is not read."""

from __future__ import annotations

import contextlib
import errno
import math
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from portnorm.readers.source import (
    READ_BYTES,
    Described,
    Description,
    FileArray,
    Opened,
    Piece,
    Source,
    UnreadableError,
    check_shape,
    label_of,
    state_of,
)

_LENGTH_BYTES = {(1, 0): 2, (2, 0): 4}
_HEADER_BYTES = 10_000


def open_npy(path: str) -> Opened:
    """Open a .npy file, which holds one array without a name."""
    source = _open(path, path)
    return Opened(path, {"": lambda: source})


def _open(path: str, name: str) -> Source:
    with _header_errors(name), open(path, "rb") as stream:
        state = state_of(stream)
        shape, order, dtype = _read_header(stream, name)
        offset = stream.tell()
    expected, present = math.prod(shape) * dtype.itemsize, state.size - offset
    if present < expected:
        raise UnreadableError(
            f"{name}: expected {expected} bytes of data for {dtype.name} {shape}, "
            f"found {present}: the file is cut short"
        )
    return FileArray(name, path, shape, dtype.name, dtype, order, (Piece(offset, present),), state)


@contextlib.contextmanager
def _header_errors(name: str) -> Iterator[None]:
    try:
        yield
    except UnreadableError:
        raise
    except Exception as error:  # NumPy raises many types for a damaged header
        raise UnreadableError(f"{name}: expected a .npy header: {error}") from error


def _read_header(
    stream: IO[bytes], name: str
) -> tuple[tuple[int, ...], Literal["C", "F"], np.dtype[Any]]:
    npy: Any = np.lib.format  # not annotated
    version = npy.read_magic(stream)
    if version not in _LENGTH_BYTES:
        raise ValueError(f"version {version} of the format is for arrays of records")
    begin = stream.tell()
    length = int.from_bytes(stream.read(_LENGTH_BYTES[version]), "little")
    if length > _HEADER_BYTES:  # NumPy says so too, once it has read all of it
        raise ValueError(f"it is {length} bytes long, and {_HEADER_BYTES} is the most")
    stream.seek(begin)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy reads headers of Python 2, and says so
        shape, fortran_order, dtype = read(stream)
    if dtype.hasobject:
        raise UnreadableError(
            f"{name}: expected an array of numbers, found objects; pickled data is not read"
        )
    check_shape(shape, dtype)
    return shape, "F" if fortran_order else "C", dtype


class NpzArrays:
    """The arrays of a .npz file, each of which is unpacked to a temporary file while it is open."""

    def __init__(self, path: str) -> None:
        self.path = path
        with self._errors(), zipfile.ZipFile(path) as archive:
            self.names = tuple(
                one.removesuffix(".npy") for one in archive.namelist() if one.endswith(".npy")
            )

    def describe(self, name: str) -> Described:
        """Return what the header of an array says."""
        label = self._label(name)
        with self._member(name) as member, _header_errors(label):
            shape, _, dtype = _read_header(member, label)
        return Description(label, shape, dtype.name)

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[Source]:
        """Unpack an array, and delete it at the end."""
        with tempfile.TemporaryDirectory(prefix="portnorm-") as folder:
            unpacked = str(Path(folder, "array.npy"))
            with self._member(name) as member, open(unpacked, "wb") as stream:
                shutil.copyfileobj(member, stream, READ_BYTES)
            yield _open(unpacked, self._label(name))

    def _label(self, name: str) -> str:
        return label_of(self.path, name)

    @contextlib.contextmanager
    def _member(self, name: str) -> Iterator[IO[bytes]]:
        with (
            self._errors(),
            zipfile.ZipFile(self.path) as archive,
            archive.open(f"{name}.npy") as member,
        ):
            yield member

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except UnreadableError:
            raise
        except Exception as error:  # zipfile raises many types for a damaged file
            full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
            what = f"room for an array of it in {tempfile.gettempdir()}" if full else "a .npz file"
            raise UnreadableError(f"{self.path}: expected {what}: {error}") from error
