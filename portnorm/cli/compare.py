"""`portnorm compare`."""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, NamedTuple

from portnorm import __version__, files
from portnorm.cli.arrays import KINDS_OF_FILES, REFUSALS, Array, add_key, arrays_in, pairs
from portnorm.cli.common import AGREE, DIFFER, BadInputError, needs_tools
from portnorm.cli.interrupts import Interruptible
from portnorm.semantics import L2NORMALIZE, NORMALIZE

if TYPE_CHECKING:
    from portnorm.cli.common import Commands
    from portnorm.compare import Comparison, Difference
    from portnorm.readers import Arrays, Described, Source

_OF_FUNCTIONS = ("p", "eps", "epsilon")
"""Options that are arguments of the two functions."""


def add_parser(commands: Commands) -> None:
    """Add the parser of the command."""
    parser = commands.add_parser(
        "compare",
        help="show how the two functions differ on your data",
        description="Show how the values and gradients of torch.nn.functional.normalize and "
        "mindspore.ops.L2Normalize differ on arrays in files, or on samples without a FILE. With "
        "--against, show how two results differ instead, and whether a normalization makes such a "
        "difference.",
        epilog="Exit codes: 0 the functions, or the results, agree, 1 they differ, 2 bad usage or "
        "input.",
    )
    parser.add_argument("files", nargs="*", metavar="FILE", help=KINDS_OF_FILES)
    add_key(parser)
    parser.add_argument(
        "--against", metavar="FILE", help="the other result; arrays of the same name are compared"
    )
    parser.add_argument(
        "--against-key", metavar="NAME", help="the array of it, where its name is another one"
    )
    parser.add_argument(
        "--dim",
        "--axis",
        type=int,
        metavar="N",
        help=f"along which the vectors lie (default {NORMALIZE.axis}, 0 for a single vector)",
    )
    for option, default, function in (
        ("--p", 2.0, "normalize"),
        ("--eps", NORMALIZE.eps, "normalize"),
        ("--epsilon", L2NORMALIZE.eps, "L2Normalize"),
    ):
        parser.add_argument(option, type=float, help=f"of {function} (default {default})")
    parser.add_argument("--dtype", choices=sorted(L2NORMALIZE.dtypes), help="convert to it first")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--html", metavar="FILE", help="write a report to FILE, too")
    parser.add_argument("--png", metavar="FILE", help="write its charts to FILE, too")
    parser.set_defaults(run=_compare)


def _compare(arguments: argparse.Namespace) -> int:
    with needs_tools("compare"):
        from portnorm.compare import lines

        found: Interruptible[Any]
        note = ""
        if arguments.against is None:
            if arguments.against_key is not None:
                raise BadInputError("--against-key needs --against")
            _check_targets(arguments)
            inputs = list(_inputs(arguments))
            note = _note(inputs)
            found = Interruptible(_comparisons(inputs, arguments))
            shown: Iterable[Any] = found
            if arguments.html or arguments.png:
                shown = list(found)
                if shown:
                    _write(shown, arguments)
        else:
            _check_for_against(arguments)
            found = shown = Interruptible(_differences(list(_pairs(arguments)), arguments))
        agree = _print_json(shown, note, arguments) if arguments.json else lines.show(shown, note)
        found.finish()
        return AGREE if agree else DIFFER


def _check_targets(arguments: argparse.Namespace) -> None:
    """Find what is missing for the reports before work starts."""
    if not (arguments.html or arguments.png):
        return
    import matplotlib.figure  # noqa: F401

    if arguments.html:
        import jinja2  # noqa: F401

        files.check_target(arguments.html, ".html")
    if arguments.png:
        files.check_target(arguments.png, ".png")


def _write(comparisons: list[Comparison], arguments: argparse.Namespace) -> None:
    from portnorm.compare import charts, report

    reports: dict[str, bytes] = {}
    if arguments.html:
        reports[arguments.html] = report.page(comparisons).encode()
    if arguments.png:
        reports[arguments.png] = charts.png(comparisons)
    for path, data in reports.items():
        files.write(path, data)


# --- the functions on each array ------------------------------------------------------------------


class _Input(NamedTuple):
    """What the functions are compared on, and the dim to take."""

    described: Described
    open: Callable[[], AbstractContextManager[Source]]
    dim: int | None


def _inputs(arguments: argparse.Namespace) -> Iterator[_Input]:
    """Yield the arrays; find what is wrong with any of them before work starts on the first."""
    from portnorm.compare.samples import samples
    from portnorm.readers import open_arrays

    def check(described: Described) -> None:
        _check(described, arguments.dim, arguments)

    for path in arguments.files:
        arrays = open_arrays(path)
        keys = arguments.key or _inputs_in_dump(arrays)
        for array in arrays_in(arrays, keys, check):
            yield _Input(array.described, array.open, arguments.dim)
    if not arguments.files:
        if arguments.key is not None:
            raise BadInputError("--key needs a FILE")
        for sample in samples():
            defaults = (NORMALIZE.axis, L2NORMALIZE.axis)
            dims = defaults if arguments.dim is None else (arguments.dim,)
            for dim in dims if len(sample.shape) > 1 else (0,):
                try:
                    _check(sample, dim, arguments)
                except REFUSALS as error:
                    raise BadInputError(f"{sample.name}: {error}") from error
                yield _Input(sample, functools.partial(_opened, sample), dim)


def _inputs_in_dump(arrays: Arrays) -> list[str]:
    """Return the names of what goes into the normalizations in a dump; none for a file."""
    from portnorm.readers import Dump
    from portnorm.watch.dump import function_of

    if not isinstance(arrays, Dump):
        return []
    keys = dict.fromkeys(call.arguments[0].key for call in arrays.calls if function_of(call))
    return [key for key in keys if key]


def _opened(source: Source) -> AbstractContextManager[Source]:
    return contextlib.nullcontext(source)


def _check(described: Described, dim: int | None, arguments: argparse.Namespace) -> None:
    from portnorm.compare import plan

    plan(described, dim=dim, **_settings(arguments))
    if 0 in described.shape:
        raise ValueError(f"expected data, found an array of {described.shape}")


def _note(inputs: list[_Input]) -> str:
    """Return that two arrays are not compared with each other, where that might be meant."""
    described = [one.described for one in inputs]
    if len(described) != 2 or described[0].shape != described[1].shape:
        return ""
    first, second = (one.name for one in described)
    if first == second:
        return ""
    return (
        f"{first} and {second} are looked at one by one; to compare them with each other: "
        "portnorm compare A --against B"
    )


def _comparisons(inputs: list[_Input], arguments: argparse.Namespace) -> Iterator[Comparison]:
    from portnorm.terminal import progress_bar

    for one in inputs:
        # The bar is gone before anything is printed.
        with one.open() as source, progress_bar("starting the frameworks") as progress:
            from portnorm.compare import compare

            settings = _settings(arguments)
            comparison = compare(source, dim=one.dim, progress=progress, **settings)
        if comparison.measurement.counts["not_finite"] == comparison.vectors:
            raise BadInputError(_without_numbers(source.name, comparison.vectors))
        yield comparison


def _without_numbers(name: str, vectors: int) -> str:
    return (
        f"{name}: expected a vector of finite numbers, found a NaN or an infinity in each of the "
        f"{vectors}"
    )


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    given = {name: getattr(arguments, name) for name in _OF_FUNCTIONS}
    return {"dtype": arguments.dtype} | {k: v for k, v in given.items() if v is not None}


# --- two results ----------------------------------------------------------------------------------


def _check_for_against(arguments: argparse.Namespace) -> None:
    if len(arguments.files) != 1:
        raise BadInputError(
            f"--against compares one FILE with another, found {len(arguments.files)} beside it"
        )
    for name in (*_OF_FUNCTIONS, "html", "png"):
        if getattr(arguments, name) is not None:
            raise BadInputError(f"--{name} is of the two functions, and --against has two results")


def _pairs(arguments: argparse.Namespace) -> Iterator[tuple[Array, Array]]:
    from portnorm.compare import plan_results

    def serve(a: Described, b: Described) -> None:
        plan_results(a, b, dim=arguments.dim, dtype=arguments.dtype)

    other_keys = arguments.key if arguments.against_key is None else [arguments.against_key]
    (path,) = arguments.files
    return pairs((path, arguments.key), (arguments.against, other_keys), serve)


def _differences(
    pairs: list[tuple[Array, Array]], arguments: argparse.Namespace
) -> Iterator[Difference]:
    from portnorm.compare import compare_results
    from portnorm.terminal import progress_bar

    for first, second in pairs:
        with first.open() as a, second.open() as b, progress_bar("reading") as progress:
            found = compare_results(
                a, b, dim=arguments.dim, dtype=arguments.dtype, progress=progress
            )
        if found.not_finite_in_both == found.vectors:
            raise BadInputError(_without_numbers(" against ".join(found.names), found.vectors))
        yield found


def _print_json(found: Iterable[Any], note: str, arguments: argparse.Namespace) -> bool:
    what = "comparisons" if arguments.against is None else "differences"
    results = [one.to_dict() for one in found]
    content = {"portnorm": __version__, **({"note": note} if note else {}), what: results}
    print(json.dumps(content, allow_nan=False, indent=2))
    return all(one["agrees"] for one in results)
