"""Dumps of msprobe, the tool that compares precision between PyTorch and MindSpore on Ascend.

A dump is a folder: dump.json has the calls with shapes and arguments, stack.json the lines of
Python they came from, and dump_tensor_data the tensors, where the dump was told to keep them.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

from portnorm.readers.source import Arrays, Described, Source, UnreadableError
from portnorm.text import without_repeats

_JSON, _STACKS, _TENSORS = "dump.json", "stack.json", "dump_tensor_data"
_MOST_BYTES = 2**30
_MOST_DUMPS = 8
_FRAME = re.compile(r"File (.+), line (\d+), in ")
_CALL = re.compile(r"(.+)\.(\d+)\.(forward|backward)")
_LIBRARY = re.compile(r"[/\\](?:torch|mindspore|msprobe|portnorm)[/\\]")


class DumpedTensor(NamedTuple):
    """A tensor of a call.

    Attributes:
        shape: its shape.
        dtype: the name of its dtype, as NumPy has it.
        key: the name of its array in the dump; "" where the values were not kept.
    """

    shape: tuple[int, ...]
    dtype: str
    key: str


class DumpedCall(NamedTuple):
    """A call, forward or backward.

    Attributes:
        name: as the dump has it, such as "Functional.normalize.0.forward".
        function: the same without the number and the direction.
        is_forward: whether it is the forward call.
        file: where it was called outside the frameworks; "" where no line is known.
        line: its number.
        arguments: tensors, and numbers and lists of them.
        keywords: the same by name.
        outputs: the tensors that came out; of a backward call, the gradients.
    """

    name: str
    function: str
    is_forward: bool
    file: str
    line: int
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    outputs: tuple[Any, ...]


class Dump:
    """The calls of one dump, and their tensors as arrays.

    Args:
        folder: that of dump.json, or one that has it in a folder below.
        open_arrays: opens the files of the tensors.

    Raises:
        UnreadableError: there is no dump, or several, or it is damaged.
    """

    def __init__(self, folder: str, open_arrays: Callable[[str], Arrays]) -> None:
        self.path = folder
        self._open_arrays = open_arrays
        self._folder = _folder_of_dump(folder)
        content = _read_json(self._folder / _JSON)
        self._stacks = _places(self._folder / _STACKS)
        self._files: dict[str, str] = {}
        try:
            self.framework = str(content["framework"])
            calls = (self._call(str(name), entry) for name, entry in content["data"].items())
            self.calls = tuple(call for call in calls if call is not None)
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise UnreadableError(
                f"{self._folder / _JSON}: expected a dump of msprobe: {error!r}"
            ) from error
        self.names = tuple(self._files)

    def describe(self, name: str) -> Described:
        """Return the shape and the dtype of a tensor."""
        with self.open(name) as source:
            return source

    def open(self, name: str) -> AbstractContextManager[Source]:
        """Open a tensor."""
        arrays = self._open_arrays(str(self._folder / _TENSORS / self._files[name]))
        if arrays.names != ("",):
            raise UnreadableError(f"{arrays.path}: expected one tensor")
        return arrays.open("")

    def _call(self, name: str, entry: dict[str, Any]) -> DumpedCall | None:
        parts = _CALL.fullmatch(name)
        # Of modules and parameters the operators inside tell more.
        if parts is None or not isinstance(entry, dict):
            return None
        is_forward = parts[3] == "forward"
        file, line = self._stacks.get(name, ("", 0))
        given = entry.get("input_args" if is_forward else "input") or ()
        return DumpedCall(
            name,
            parts[1],
            is_forward,
            file,
            line,
            tuple(map(self._value, given)),
            {str(key): self._value(one) for key, one in entry.get("input_kwargs", {}).items()},
            tuple(map(self._value, entry.get("output") or ())),
        )

    def _value(self, entry: Any) -> Any:
        """Return a tensor, a number, or a list of such; None for what is none of them."""
        if isinstance(entry, list):
            return [self._value(one) for one in entry]
        if not isinstance(entry, dict):
            return None
        if "shape" not in entry:
            return entry.get("value")
        dtype = str(entry["dtype"]).lower().removeprefix("torch.").removeprefix("mindspore.")
        return DumpedTensor(tuple(map(int, entry["shape"])), dtype, self._key(entry))

    def _key(self, entry: dict[str, Any]) -> str:
        file = entry.get("data_name")
        if file is None:
            return ""
        if Path(str(file)).name != file:  # no name leads out of the folder
            raise ValueError(f"{file!r} is not the name of a file")
        key = Path(file).stem
        self._files[key] = file
        return key


def is_dump(path: str) -> bool:
    """Return whether there is a folder of this name, which may be a dump."""
    with contextlib.suppress(OSError, ValueError):
        return Path(path).is_dir()
    return False


def _folder_of_dump(folder: str) -> Path:
    if Path(folder, _JSON).is_file():
        return Path(folder)
    found = sorted(one.parent for one in Path(folder).rglob(_JSON))
    if not found:
        raise UnreadableError(f"{folder}: expected a dump of msprobe, found no {_JSON} in it")
    if len(found) > 1:
        shown = ", ".join(map(str, found[:_MOST_DUMPS]))
        raise UnreadableError(f"{folder}: holds {len(found)} dumps; give one of them: {shown}")
    return found[0]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("it is too large")
        content = json.loads(path.read_text("utf-8"), object_pairs_hook=without_repeats)
        if not isinstance(content, dict):
            raise ValueError("it is no object")
    except (OSError, ValueError, RecursionError) as error:
        raise UnreadableError(f"{path}: expected a dump of msprobe: {error}") from error
    return content


def _places(path: Path) -> dict[str, tuple[str, int]]:
    """Return the file and line of each call, as far as they are known.

    Newer dumps list the calls of one stack together, older ones have a stack for each.
    """
    if not path.is_file():
        return {}
    found: dict[str, tuple[str, int]] = {}
    for key, entry in _read_json(path).items():
        newer = isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], list)
        names, frames = entry if newer else ([key], entry)
        if isinstance(frames, list):
            place = _first_outside(frames)
            found.update({str(name): place for name in names})
    return found


def _first_outside(frames: list[Any]) -> tuple[str, int]:
    """Return the innermost line that belongs to no framework."""
    for frame in frames:
        place = _FRAME.match(str(frame))
        if place and not _LIBRARY.search(place[1]):
            return place[1], int(place[2])
    return "", 0
