"""The arrays that a command is given: which of a file are meant, and what is left out."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, NamedTuple

from portnorm.cli.common import BadInputError, say
from portnorm.text import counted

if TYPE_CHECKING:
    from portnorm.readers import Arrays, Described, Source

REFUSALS = (IndexError, RuntimeError, TypeError, ValueError)
"""What functions raise for arrays and arguments that they do not take."""

KINDS_OF_FILES = ".npy, .npz, .pt, .pth, .bin, .ckpt or .safetensors"


class Array(NamedTuple):
    """An array of a file, which is open while it is read only."""

    arrays: Arrays
    key: str
    described: Described

    def open(self) -> AbstractContextManager[Source]:
        """Open it."""
        return self.arrays.open(self.key)


def add_key(parser: argparse.ArgumentParser) -> None:
    """Add the option that names arrays of a file."""
    parser.add_argument(
        "--key",
        action="append",
        metavar="NAME",
        help="the array to take of a file with several, or a pattern such as 'layer.*' for some; "
        "may be given again (default: all)",
    )


def arrays_in(
    arrays: Arrays, keys: Sequence[str] | None, check: Callable[[Described], object]
) -> Iterator[Array]:
    """Yield the arrays of a file that keys name, or all that serve.

    Args:
        arrays: of the file.
        keys: names and patterns; without them what does not serve is left out of a file of several
            arrays, which a line on stderr tells.
        check: raises one of `REFUSALS` for what does not serve.

    Raises:
        BadInputError: an array that is named does not serve, or none does.
        portnorm.readers.UnreadableError: an array that is named is damaged, or there is none.
    """
    from portnorm.readers import UnreadableError, chosen, label_of

    names = chosen(arrays, keys or [])
    left_out: list[str] = []
    for name in names:
        try:
            described = arrays.describe(name)
            check(described)
        except (*REFUSALS, UnreadableError) as error:
            whose = "" if isinstance(error, UnreadableError) else f"{label_of(arrays.path, name)}: "
            if keys or len(names) == 1:
                raise BadInputError(f"{whose}{error}") from error
            left_out.append(f"{whose}{error}")
        else:
            yield Array(arrays, name, described)
    if len(left_out) == len(names):
        raise BadInputError(left_out[0])
    if left_out:
        number = counted(len(left_out), "array")
        say(f"left out of {arrays.path}: {number}, the first as {left_out[0]}")


def pairs(
    first: tuple[str, list[str] | None],
    second: tuple[str, list[str] | None],
    check: Callable[[Described, Described], object],
) -> Iterator[tuple[Array, Array]]:
    """Yield arrays of two files that belong together: one each, or those of the same name.

    Args:
        first: a file, and the keys of arrays in it.
        second: the other file; its keys do not count where it holds one array without a name.
        check: raises one of `REFUSALS` for two arrays that do not go together, and for one
            array, given twice, that does not serve.

    Raises:
        BadInputError: they do not go together, or nothing does.
        portnorm.readers.UnreadableError: a file is damaged.
    """
    from portnorm.readers import open_arrays

    def serves(described: Described) -> None:
        check(described, described)

    (path, keys), (other, other_keys) = first, second
    arrays, others = open_arrays(path), open_arrays(other)  # before anything is said of either
    other_keys = None if others.names == ("",) else other_keys
    ours = {one.key: one for one in arrays_in(arrays, keys, serves)}
    theirs = {one.key: one for one in arrays_in(others, other_keys, serves)}
    found = [(ours[key], theirs[key]) for key in ours if key in theirs]
    if len(ours) == len(theirs) == 1:
        found = list(zip(ours.values(), theirs.values(), strict=True))
    if not found:
        raise BadInputError(f"expected arrays of the same name in {path} and {other}")
    for a, b in found:
        try:
            check(a.described, b.described)
        except REFUSALS as error:
            raise BadInputError(f"{a.described.name}, {b.described.name}: {error}") from error
    for whose, more in ((path, len(ours) - len(found)), (other, len(theirs) - len(found))):
        if more:
            say(f"left out of {whose}: {counted(more, 'array')} that the other has not")
    yield from found
