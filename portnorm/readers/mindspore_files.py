"""Parameters that MindSpore has saved: .ckpt.

Such a file is a message of Protocol Buffers whose fields are public. It is read here, without
MindSpore: 2.10 reads all of a file at once, and may end the process where one is damaged.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import IO, NamedTuple

import numpy as np

from portnorm.readers.source import (
    FileArray,
    Opened,
    Piece,
    Source,
    State,
    UnreadableError,
    bfloat16,
    check_array,
    label_of,
    state_of,
)

_VALUE = 1
_TAG, _TENSOR = 1, 2
_DIMS, _TYPE, _CONTENT = 1, 2, 3
"""The numbers of the fields: of a checkpoint, of one of its values, and of a tensor."""

_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
"""How a field is stored, in the terms of Protocol Buffers."""

_CHECKSUM = b"crc_num"
_CHECKSUM_BYTES = 10
"""A checksum may stand behind the message."""

_LONGEST_TEXT = 2**16

_DTYPES = {
    "Bool": "bool",
    **{f"Float{bits}": f"float{bits}" for bits in (16, 32, 64)},
    **{f"Int{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"UInt{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
}


class _DamagedError(Exception):
    """The file is no such message."""


class _Field(NamedTuple):
    """A field of a message: bytes of the file, or a number."""

    number: int
    begin: int
    end: int
    value: int


class _Tensor(NamedTuple):
    """One tensor, or a slice of a large one: slices of one name follow each other."""

    name: str
    dims: tuple[int, ...]
    kind: str
    content: Piece


def open_mindspore(path: str) -> Opened:
    """Open a file of parameters."""
    tensors: dict[str, list[_Tensor]] = {}
    try:
        with open(path, "rb") as stream:
            state = state_of(stream)
            for tensor in _tensors(stream, _end_of_message(stream, state.size)):
                tensors.setdefault(tensor.name, []).append(tensor)
    except (_DamagedError, UnicodeDecodeError) as error:
        raise UnreadableError(
            f"{path}: expected a checkpoint of MindSpore that is not encrypted: {error}"
        ) from error
    return Opened(
        path,
        {name: functools.partial(_array, path, name, of, state) for name, of in tensors.items()},
    )


def _array(path: str, name: str, slices: list[_Tensor], state: State) -> Source:
    label = label_of(path, name)
    *_, last = slices
    shape = () if last.dims == (0,) else last.dims  # so MindSpore stores a single number
    if last.kind != "BFloat16" and last.kind not in _DTYPES:
        raise UnreadableError(f"{label}: expected an array of numbers, found {last.kind!r}")
    stored = bfloat16(label) if last.kind == "BFloat16" else np.dtype(_DTYPES[last.kind])
    check_array(label, shape, stored)
    content = tuple(one.content for one in slices)
    expected, present = math.prod(shape) * stored.itemsize, sum(one.size for one in content)
    if expected != present:
        raise UnreadableError(
            f"{label}: expected {expected} bytes of data for {stored.name} {shape}, found {present}"
        )
    return FileArray(label, path, shape, stored.name, stored, "C", content, state)


# --- the message ----------------------------------------------------------------------------------


def _end_of_message(stream: IO[bytes], size: int) -> int:
    behind = len(_CHECKSUM) + _CHECKSUM_BYTES
    if size >= behind:
        stream.seek(size - behind)
        if stream.read(len(_CHECKSUM)) == _CHECKSUM:
            return size - behind
    return size


def _tensors(stream: IO[bytes], end: int) -> Iterator[_Tensor]:
    for field in _fields(stream, 0, end):
        if field.number != _VALUE:
            continue
        value = {one.number: one for one in _fields(stream, field.begin, field.end)}
        if _TAG in value and _TENSOR in value:
            yield _tensor(stream, _text(stream, value[_TAG]), value[_TENSOR])


def _tensor(stream: IO[bytes], name: str, message: _Field) -> _Tensor:
    dims: list[int] = []
    kind, content = "", Piece(0, 0)
    for field in _fields(stream, message.begin, message.end):
        if field.number == _DIMS:
            dims += _numbers(stream, field)
        elif field.number == _TYPE:
            kind = _text(stream, field)
        elif field.number == _CONTENT:
            content = Piece(field.begin, field.end - field.begin)
    return _Tensor(name, tuple(dims), kind, content)


def _fields(stream: IO[bytes], begin: int, end: int) -> Iterator[_Field]:
    """Yield the fields of the message that lies between two places."""
    while begin < end:
        stream.seek(begin)
        number, stored = divmod(_varint(stream), 8)
        size = value = 0
        if stored == _VARINT:
            value = _varint(stream)
        elif stored == _BYTES:
            size = _varint(stream)
        elif stored in (_FOUR_BYTES, _EIGHT_BYTES):
            size = 4 if stored == _FOUR_BYTES else 8
        else:
            raise _DamagedError(f"there is no field of kind {stored}")
        begin = stream.tell()
        if begin + size > end:
            raise _DamagedError("it is cut short")
        yield _Field(number, begin, begin + size, value)
        begin += size


def _numbers(stream: IO[bytes], field: _Field) -> Iterator[int]:
    """Yield the number of a field, or those that are packed in it."""
    if field.begin == field.end:
        yield field.value
        return
    stream.seek(field.begin)
    while stream.tell() < field.end:
        yield _varint(stream)


def _text(stream: IO[bytes], field: _Field) -> str:
    if field.end - field.begin > _LONGEST_TEXT:
        raise _DamagedError("a name is too long")
    stream.seek(field.begin)
    return stream.read(field.end - field.begin).decode()


def _varint(stream: IO[bytes]) -> int:
    """Read a number of which each byte has seven bits, the low ones first."""
    found = 0
    for shift in range(0, 64, 7):
        byte = stream.read(1)
        if not byte:
            raise _DamagedError("it is cut short")
        found |= (byte[0] & 127) << shift
        if byte[0] < 128:
            return found
    raise _DamagedError("a number is too long")
