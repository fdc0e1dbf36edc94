"""`portnorm identify`."""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from portnorm import __version__
from portnorm.cli.arrays import KINDS_OF_FILES, REFUSALS, Array, add_key, pairs
from portnorm.cli.common import AGREE, DIFFER, BadInputError, needs_tools
from portnorm.cli.interrupts import Interruptible
from portnorm.text import printable

if TYPE_CHECKING:
    from portnorm.cli.common import Commands
    from portnorm.identify import Identification
    from portnorm.identify.dump import Tensors


def add_parser(commands: Commands) -> None:
    """Add the parser of the command."""
    parser = commands.add_parser(
        "identify",
        help="name the normalization that turns one array into another",
        description="Find which normalization turns INPUT into OUTPUT: its form, axis, order and "
        "epsilon, and the builds of frameworks that give the same bits. Without an OUTPUT, INPUT "
        "is a folder with a dump of msprobe, whose normalizations, or the calls that --key names, "
        "are identified.",
        epilog="Exit codes: 0 a normalization explains the output, 1 none does, 2 bad usage or "
        "input.",
    )
    parser.add_argument("input", metavar="INPUT", help=f"what was normalized: {KINDS_OF_FILES}")
    parser.add_argument("output", metavar="OUTPUT", nargs="?", help="what came out")
    parser.add_argument(
        "--cotangent",
        metavar="FILE",
        help="the gradient that arrived at the output; OUTPUT is then the gradient of INPUT",
    )
    add_key(parser)
    parser.add_argument(
        "--output-key", metavar="NAME", help="the array of OUTPUT, where its name is another one"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_identify)


class _Case(NamedTuple):
    """What is identified."""

    name: str
    open: Callable[[], AbstractContextManager[Tensors]]


def _identify(arguments: argparse.Namespace) -> int:
    with needs_tools("identify"):
        cases = list(_of_dump(arguments) if arguments.output is None else _of_files(arguments))
        found = Interruptible(_identified(cases))
        fits = (_print_json if arguments.json else _print)(found, len(cases))
        found.finish()
        return AGREE if fits else DIFFER


def _identified(cases: list[_Case]) -> Iterator[tuple[str, Identification]]:
    from portnorm.identify import identify
    from portnorm.terminal import progress_bar

    for case in cases:
        with case.open() as (x, y, cotangent), progress_bar("identifying") as progress:
            try:
                found = identify(x, y, cotangent=cotangent, progress=progress)
            except REFUSALS as error:
                raise BadInputError(f"{case.name}: {error}") from error
        yield case.name, found


def _print(found: Iterable[tuple[str, Identification]], cases: int) -> bool:
    fits = True
    for rank, (name, one) in enumerate(found):
        if cases > 1:
            print(f"{'' if rank == 0 else chr(10)}{printable(name)}")
        print(one)
        fits &= one.fits
    return fits


def _print_json(found: Iterable[tuple[str, Identification]], cases: int) -> bool:
    results = [{"name": name, **one.to_dict()} for name, one in found]
    content = {"portnorm": __version__, "identifications": results}
    print(json.dumps(content, allow_nan=False, indent=2))
    return all(one["fits"] for one in results)


# --- what is identified ---------------------------------------------------------------------------


def _of_files(arguments: argparse.Namespace) -> Iterator[_Case]:
    from portnorm.identify.attempts import check

    keys = arguments.key if arguments.output_key is None else [arguments.output_key]
    cotangents: dict[str, Array] = {}
    if arguments.cotangent is not None:
        both = pairs((arguments.output, keys), (arguments.cotangent, keys), check)
        cotangents = {y.key: g for y, g in both}
    for x, y in pairs((arguments.input, arguments.key), (arguments.output, keys), check):
        name = f"{x.described.name}, {y.described.name}"
        yield _Case(name, functools.partial(_open_tensors, x, y, cotangents.get(y.key)))


@contextlib.contextmanager
def _open_tensors(x: Array, y: Array, g: Array | None) -> Iterator[Tensors]:
    from portnorm.identify.dump import Tensors

    with x.open() as before, y.open() as after, contextlib.ExitStack() as stack:
        yield Tensors(before, after, stack.enter_context(g.open()) if g else None)


def _of_dump(arguments: argparse.Namespace) -> Iterator[_Case]:
    from portnorm.identify.dump import open_tensors
    from portnorm.readers import open_dump
    from portnorm.watch.dump import function_of

    for name in ("cotangent", "output_key"):
        if getattr(arguments, name) is not None:
            raise BadInputError(f"--{name.replace('_', '-')} needs an OUTPUT")
    if not os.path.isdir(arguments.input):
        raise BadInputError(
            f"{arguments.input}: expected an OUTPUT beside it, or a folder with a dump of msprobe"
        )
    dump = open_dump(arguments.input)
    calls = [
        call
        for call in dump.calls
        if (
            any(fnmatchcase(call.name, key) for key in arguments.key)
            if arguments.key
            else function_of(call)
        )
    ]
    if not calls:
        what = "a call of that name" if arguments.key else "a normalization"
        raise BadInputError(f"{arguments.input}: expected {what} in the dump, found none")
    for call in calls:
        name = f"{arguments.input}[{call.name}]"
        yield _Case(name, functools.partial(open_tensors, dump, call))
