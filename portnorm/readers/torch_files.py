"""Tensors that torch has saved: .pt, .pth, .bin, and .ckpt of PyTorch Lightning.

They are loaded with weights_only, which runs no code of the file, and without their data, which
are read where torch says that they lie. The names of tensors in dicts and lists are joined by dots.
"""

from __future__ import annotations

import functools
import sys
import zipfile
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np

from portnorm.readers.source import (
    ArraySource,
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
from portnorm.text import one_line

_BYTE_ORDER = "/byteorder"
_DEEPEST = 100
"""How many dicts and lists may lie in each other; a list may even lie in itself."""


def open_torch(path: str) -> Opened:
    """Open a file of tensors."""
    with open(path, "rb") as stream:
        state = state_of(stream)
    return Opened(path, dict(_sources(path, state)))


def _sources(path: str, state: State) -> Iterator[tuple[str, Callable[[], Source]]]:
    lies_plain = _lies_plain(path)
    found = list(_tensors(path, _load(path, data=not lies_plain)))
    if len(dict(found)) < len(found):
        raise UnreadableError(f"{path}: expected tensors of different names, found two of one name")

    @functools.cache
    def with_data() -> dict[str, Any]:
        """Load the file whole: once for all of its tensors that cannot be read in parts."""
        return dict(_tensors(path, _load(path, data=True)) if lies_plain else found)

    for name, tensor in found:
        label = label_of(path, name)
        if lies_plain and _order(tensor):
            yield name, functools.partial(_in_file, path, label, tensor, state)
        else:
            yield name, functools.partial(_in_memory, name, label, tensor, with_data)


def _lies_plain(path: str) -> bool:
    """Return whether the data lie in the file as they are in memory."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            order = [one for one in members if one.filename.endswith(_BYTE_ORDER)]
            little = all(archive.read(one) == sys.byteorder.encode() for one in order)
            return little and all(one.compress_type == zipfile.ZIP_STORED for one in members)
    except Exception:  # zipfile raises many types; torch says what is wrong
        return False


def _load(path: str, *, data: bool) -> Any:
    """Return what was saved; without data, tensors are there in shape only."""
    try:
        import torch
    except ImportError as error:
        raise UnreadableError(
            f"{path}: reading it needs torch: pip install 'portnorm[torch]'"
        ) from error
    try:
        return torch.load(path, map_location="cpu" if data else "meta", weights_only=True)
    except Exception as error:  # torch raises many types for a damaged file
        if "Unsupported" in str(error):  # by weights_only
            raise UnreadableError(
                f"{path}: expected a file of tensors alone, found what needs code to be run; save "
                "them by torch.save(model.state_dict(), ...)"
            ) from error
        reason = one_line(str(error).partition("\n")[0])
        raise UnreadableError(f"{path}: expected a file of torch.save: {reason}") from error


def _tensors(path: str, saved: Any, name: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    import torch

    if isinstance(saved, torch.Tensor):
        yield name, saved
    elif isinstance(saved, (dict, list, tuple)):
        if depth == _DEEPEST:
            raise UnreadableError(f"{path}: expected at most {_DEEPEST} levels of dicts and lists")
        items = saved.items() if isinstance(saved, dict) else enumerate(saved)
        for key, value in items:
            yield from _tensors(path, value, f"{name}.{key}" if name else str(key), depth + 1)


def _in_file(path: str, label: str, tensor: Any, state: State) -> Source:
    """Return a tensor whose data torch has not read."""
    stored = _stored(label, tensor)
    begin = tensor.untyped_storage()._checkpoint_offset + tensor.storage_offset() * stored.itemsize
    piece = Piece(begin, tensor.numel() * stored.itemsize)
    if piece.begin + piece.size > state.size:
        raise UnreadableError(f"{label}: expected all of its data: the file is cut short")
    shape, order = tuple(tensor.shape), _order(tensor) or "C"
    check_array(label, shape, stored)
    return FileArray(label, path, shape, stored.name, stored, order, (piece,), state)


def _in_memory(
    name: str, label: str, tensor: Any, with_data: Callable[[], dict[str, Any]]
) -> Source:
    """Return a tensor whose data do not lie in the file in an order that could be read."""
    stored = _stored(label, tensor)
    import torch

    codes = (
        with_data()[name].detach().resolve_neg().view(getattr(torch, f"int{8 * stored.itemsize}"))
    )
    return ArraySource(codes.numpy().view(stored), label)


def _stored(label: str, tensor: Any) -> np.dtype[Any]:
    """Return the dtype of a tensor as NumPy has it."""
    name = str(tensor.dtype).removeprefix("torch.")
    if name == "bfloat16":
        return bfloat16(label)
    try:
        if str(tensor.layout) == "torch.strided" and not tensor.dtype.is_complex:
            return np.dtype(name)
    except TypeError:  # NumPy has no such dtype
        pass
    raise UnreadableError(
        f"{label}: expected a dense tensor of real numbers, found {name}, {tensor.layout}"
    )


def _order(tensor: Any) -> Literal["C", "F"] | None:
    """Return how the elements lie in memory; None where they do not lie side by side."""
    if str(tensor.layout) != "torch.strided" or tensor.is_neg() or not _has_offset(tensor):
        return None
    if tensor.is_contiguous():
        return "C"
    return "F" if tensor.permute(*reversed(range(tensor.ndim))).is_contiguous() else None


def _has_offset(tensor: Any) -> bool:
    """Return whether torch says where the data begin; not all releases do."""
    return getattr(tensor.untyped_storage(), "_checkpoint_offset", None) is not None
