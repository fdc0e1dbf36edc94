"""`portnorm compare`."""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from portnorm import __version__, files
from portnorm.cli.common import AGREE, DIFFER, BadInputError, needs_tools
from portnorm.cli.interrupts import Interruptible
from portnorm.semantics import L2NORMALIZE, NORMALIZE

if TYPE_CHECKING:
    from portnorm.cli.common import Commands
    from portnorm.compare import Comparison
    from portnorm.readers import Source

_REFUSALS = (IndexError, RuntimeError, TypeError, ValueError)
"""What the two functions raise for arguments that they do not take."""


def add_parser(commands: Commands) -> None:
    """Add the parser of the command."""
    parser = commands.add_parser(
        "compare",
        help="show how the two functions differ on your data",
        description="Show how the values and gradients of torch.nn.functional.normalize and "
        "mindspore.ops.L2Normalize differ on arrays in files, or on samples without a FILE.",
        epilog="Exit codes: 0 the functions agree, 1 they differ, 2 bad usage or input.",
    )
    parser.add_argument("files", nargs="*", metavar="FILE", help="files of arrays, such as .npy, .pt or .safetensors")
    parser.add_argument("--key", metavar="NAME", help="the array to take of a file with several")
    parser.add_argument(
        "--dim",
        "--axis",
        type=int,
        metavar="N",
        help=f"run both functions along it (default {NORMALIZE.axis}, 0 for a single vector)",
    )
    parser.add_argument("--p", type=float, default=2.0, help="of normalize (default %(default)s)")
    parser.add_argument(
        "--eps", type=float, default=NORMALIZE.eps, help="of normalize (default %(default)s)"
    )
    parser.add_argument(
        "--epsilon",
        type=float,
        default=L2NORMALIZE.eps,
        help="of L2Normalize (default %(default)s)",
    )
    parser.add_argument("--dtype", choices=sorted(L2NORMALIZE.dtypes), help="convert to it first")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--html", metavar="FILE", help="write a report to FILE, too")
    parser.add_argument("--png", metavar="FILE", help="write its charts to FILE, too")
    parser.set_defaults(run=_compare)


def _compare(arguments: argparse.Namespace) -> int:
    with needs_tools("compare"), contextlib.ExitStack() as stack:
        from portnorm.compare import render

        _check_targets(arguments)
        sources = list(_sources(arguments, stack))
        _check(sources, arguments)
        found = Interruptible(_comparisons(sources, arguments))
        comparisons: Iterable[Comparison] = found
        if arguments.html or arguments.png:
            comparisons = list(found)
            if comparisons:
                _write(comparisons, arguments)
        agree = _print_json(comparisons) if arguments.json else render.show(comparisons)
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


def _sources(
    arguments: argparse.Namespace, stack: contextlib.ExitStack
) -> Iterator[tuple[Source, int | None]]:
    """Yield the arrays, each with the dim to take."""
    from portnorm.compare.samples import samples
    from portnorm.readers import open_array

    defaults = (NORMALIZE.axis, L2NORMALIZE.axis)
    for path in arguments.files:
        yield stack.enter_context(open_array(path, arguments.key)), arguments.dim
    if not arguments.files:
        if arguments.key is not None:
            raise BadInputError("--key needs a FILE")
        for sample in samples():
            dims = defaults if arguments.dim is None else (arguments.dim,)
            for dim in dims if len(sample.shape) > 1 else (0,):
                yield sample, dim


def _check(sources: list[tuple[Source, int | None]], arguments: argparse.Namespace) -> None:
    """Find what is wrong with any of the arrays before work starts on the first."""
    from portnorm.compare import plan

    for source, dim in sources:
        try:
            plan(source, dim=dim, **_settings(arguments))
        except _REFUSALS as error:
            raise BadInputError(f"{source.name}: {error}") from error
        if 0 in source.shape:
            raise BadInputError(f"{source.name}: expected data, found an array of {source.shape}")


def _comparisons(
    sources: list[tuple[Source, int | None]], arguments: argparse.Namespace
) -> Iterator[Comparison]:
    from portnorm.terminal import progress_bar

    for source, dim in sources:
        with progress_bar("starting the frameworks") as progress:  # gone before anything is printed
            from portnorm.compare import compare

            settings = _settings(arguments)
            comparison = compare(source, dim=dim, progress=progress, **settings)
        if comparison.measurement.counts["not_finite"] == comparison.vectors:
            raise BadInputError(
                f"{source.name}: expected a vector of finite numbers, found a NaN or an infinity "
                f"in each of the {comparison.vectors}"
            )
        yield comparison


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(arguments, name) for name in ("p", "eps", "epsilon", "dtype")}


def _print_json(comparisons: Iterable[Comparison]) -> bool:
    found = [comparison.to_dict() for comparison in comparisons]
    print(json.dumps({"portnorm": __version__, "comparisons": found}, allow_nan=False, indent=2))
    return all(comparison["agrees"] for comparison in found)
