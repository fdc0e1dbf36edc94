"""Arrays in files, read block by block; nothing that could run code is ever read.

A source gives a shape and a dtype without reading data, and then parts of the data as they are
asked for.
"""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from portnorm import files
from portnorm.readers.dump import Dump, DumpedCall, DumpedTensor, is_dump
from portnorm.readers.mindspore_files import open_mindspore
from portnorm.readers.npy import NpzArrays, open_npy
from portnorm.readers.safetensors_files import open_safetensors
from portnorm.readers.source import (
    Arrays,
    ArraySource,
    Described,
    Index,
    Source,
    UnreadableError,
    held_dtype,
    label_of,
    whole,
)
from portnorm.readers.torch_files import open_torch

__all__ = [
    "ArraySource",
    "Arrays",
    "Described",
    "Dump",
    "DumpedCall",
    "DumpedTensor",
    "Index",
    "Source",
    "UnreadableError",
    "chosen",
    "held_dtype",
    "label_of",
    "open_array",
    "open_arrays",
    "open_dump",
    "whole",
]

_NAMES_SHOWN = 8


def _open_checkpoint(path: str) -> Arrays:
    """Open a .ckpt file, which is MindSpore's or, in the format of torch, PyTorch Lightning's."""
    return open_torch(path) if zipfile.is_zipfile(path) else open_mindspore(path)


_OPEN: dict[str, Callable[[str], Arrays]] = {
    ".npy": open_npy,
    ".npz": NpzArrays,
    ".safetensors": open_safetensors,
    ".pt": open_torch,
    ".pth": open_torch,
    ".bin": open_torch,
    ".ckpt": _open_checkpoint,
}

SUFFIXES = tuple(_OPEN)

_CONVERSIONS = {
    ".csv": "numpy.save('FILE.npy', numpy.loadtxt('FILE.csv', delimiter=','))",
    ".h5": "numpy.savez('FILE.npz', **{k: v[()] for k, v in h5py.File('FILE.h5').items()})",
    ".mat": "numpy.savez('FILE.npz', x=scipy.io.loadmat('FILE.mat')['x'])",
    ".pdparams": "numpy.savez('FILE.npz', **paddle.load('FILE.pdparams', return_numpy=True))",
    ".txt": "numpy.save('FILE.npy', numpy.loadtxt('FILE.txt'))",
}
_ANY_CONVERSION = "numpy.save('FILE.npy', array)"
"""What makes a file that is read of one that is not."""


def open_arrays(path: str) -> Arrays:
    """Open a file of arrays, of which nothing but names, shapes and dtypes is read yet.

    A folder is taken for a dump of msprobe, whose arrays are the tensors that it kept.

    Raises:
        UnreadableError: anything is not as expected.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _OPEN and is_dump(path):
        return _with_names(open_dump(path))
    if suffix not in _OPEN:
        *others, last = SUFFIXES
        conversion = _CONVERSIONS.get(suffix, _ANY_CONVERSION).replace("FILE", Path(path).stem)
        raise UnreadableError(
            f"{path}: expected a file with suffix {', '.join(others)} or {last}; "
            f"convert it, as by {conversion}"
        )
    _check_is_file(path)
    return _with_names(_OPEN[suffix](path))


def open_dump(folder: str) -> Dump:
    """Open a dump of msprobe.

    Raises:
        UnreadableError: there is none in the folder, or several, or it is damaged.
    """
    return Dump(folder, open_arrays)


def _with_names(arrays: Arrays) -> Arrays:
    if not arrays.names:
        raise UnreadableError(f"{arrays.path}: expected an array, found none in it")
    return arrays


@contextlib.contextmanager
def open_array(path: str, key: str | None = None) -> Iterator[Source]:
    """Open one array of a file.

    Args:
        path: the file.
        key: the name of the array, or a pattern that no other name matches; needed where the file
            holds more than one.

    Raises:
        UnreadableError: anything is not as expected.
    """
    arrays = open_arrays(path)
    names = chosen(arrays, [] if key is None else [key])
    if len(names) > 1:
        what = "holds" if key is None else f"{key!r} fits"
        raise UnreadableError(
            f"{path}: {what} {len(names)} arrays; give --key, one of {_list(names)}"
        )
    with arrays.open(names[0]) as source:
        yield source


def chosen(arrays: Arrays, keys: Sequence[str]) -> list[str]:
    """Return the names of the arrays that keys name, each in full or by a pattern as of a shell.

    Args:
        arrays: of a file.
        keys: none for all of them.

    Raises:
        UnreadableError: nothing has such a name.
    """
    found: dict[str, None] = {} if keys else dict.fromkeys(arrays.names)
    if keys and arrays.names == ("",):
        raise UnreadableError(f"{arrays.path}: the file holds one array without a name; drop --key")
    for key in keys:
        fits = [key] if key in arrays.names else [n for n in arrays.names if fnmatchcase(n, key)]
        if not fits:
            raise UnreadableError(
                f"{arrays.path}: expected an array named {key!r}; it has {_list(arrays.names)}"
            )
        found.update(dict.fromkeys(fits))
    for name in found:
        if arrays.names.count(name) > 1:
            raise UnreadableError(
                f"{arrays.path}: expected one array named {name!r}, found several"
            )
    return list(found)


def _check_is_file(path: str) -> None:
    try:
        if found := files.other_than_file(path):
            raise UnreadableError(f"{path}: expected a file, found {found}")
        with open(path, "rb"):
            pass
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UnreadableError(f"{path}: expected a file that can be read: {reason}") from error


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:_NAMES_SHOWN]))
    more = len(names) - _NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
