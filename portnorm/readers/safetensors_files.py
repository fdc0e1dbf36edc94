"""Arrays in .safetensors files, bfloat16 as it is stored."""

from __future__ import annotations

import functools
import json
from typing import Any

import numpy as np

from portnorm.readers.source import (
    FileArray,
    Opened,
    Piece,
    Source,
    State,
    UnreadableError,
    bfloat16,
    check_shape,
    label_of,
    state_of,
)
from portnorm.text import without_repeats

_DTYPES = {
    "BOOL": "bool",
    "BF16": "bfloat16",
    "F16": "float16",
    "F32": "float32",
    "F64": "float64",
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
}


def open_safetensors(path: str) -> Opened:
    """Open a .safetensors file."""
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise UnreadableError(
            f"{path}: reading it needs safetensors: pip install 'portnorm[tools]'"
        ) from error
    try:
        with open(path, "rb") as stream:
            state = state_of(stream)
            with safe_open(path, framework="numpy") as file:
                names = list(file.keys())
            # The library has checked the header by now. It does not say where data lie, and reads
            # by a mapping, which kills the process where the file is cut short meanwhile.
            length = int.from_bytes(stream.read(8), "little")
            entries = json.loads(stream.read(length), object_pairs_hook=without_repeats)
    except (SafetensorError, OSError, ValueError, LookupError, TypeError) as error:
        raise UnreadableError(f"{path}: expected a .safetensors file: {error}") from error
    first = 8 + length
    return Opened(
        path, {name: functools.partial(_array, path, name, entries, first, state) for name in names}
    )


def _array(path: str, name: str, entries: dict[str, Any], first: int, state: State) -> Source:
    label = label_of(path, name)
    try:
        entry = entries[name]
        shape, (begin, end) = tuple(entry["shape"]), entry["data_offsets"]
        stored = _stored(label, entry["dtype"])
        check_shape(shape, stored)
    except (ValueError, LookupError, TypeError) as error:
        raise UnreadableError(f"{path}: expected a .safetensors file: {error}") from error
    piece = Piece(first + begin, end - begin)
    return FileArray(label, path, shape, stored.name, stored, "C", (piece,), state)


def _stored(label: str, code: str) -> np.dtype[Any]:
    """Return the dtype in the file."""
    if code not in _DTYPES:
        raise UnreadableError(f"{label}: expected one of {', '.join(_DTYPES)}, found {code}")
    if code == "BF16":
        return bfloat16(label)
    return np.dtype(_DTYPES[code]).newbyteorder("<")
