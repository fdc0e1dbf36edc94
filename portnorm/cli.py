"""The command `portnorm`.

Exit codes of `portnorm compare`: 0 the two functions agree, 1 they differ, 2 bad usage or input.
Those of `portnorm reference`: 0 at least one framework was found, 2 none, or bad usage.
Those of `portnorm certify`: 0 bit-identical, 1 not, 2 nothing to compare with, or bad usage.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import secrets
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from portnorm import __version__
from portnorm.errors import PortnormError, StrictParityError
from portnorm.reference import (
    REFERENCES,
    Certified,
    Reference,
    certified,
    format_references,
    write_references,
)
from portnorm.semantics import L2NORMALIZE, NORMALIZE

if TYPE_CHECKING:
    from portnorm.compare import Comparison
    from portnorm.compare.certify import Report
    from portnorm.compare.measure import Progress
    from portnorm.compare.readers import Source

AGREE, DIFFER, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
DONE = 0

_REFUSALS = (IndexError, RuntimeError, TypeError, ValueError)
"""What the two functions raise for arguments that they do not take."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say it in one line; `--help` has the usage."""
        self.exit(BAD_INPUT, f"{self.prog}: {_one_line(message)}\n")


class _BadInputError(Exception):
    """What to say of it, in one line."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    Args:
        argv: the arguments; None takes those of the process.

    Raises:
        SystemExit: after --help and --version, and for arguments that cannot be parsed.
    """
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except (_BadInputError, PortnormError, OSError, MemoryError) as error:
        if isinstance(error, BrokenPipeError):
            return _reader_has_gone()
        _say(str(error) or type(error).__name__)
        return BAD_INPUT
    except KeyboardInterrupt:
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="portnorm",
        description="torch's normalize and MindSpore's L2Normalize, each on either framework.",
    )
    parser.add_argument("--version", action="version", version=f"portnorm {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_compare(commands)
    _add_reference(commands)
    _add_certify(commands)
    return parser


def _add_compare(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = commands.add_parser(
        "compare",
        help="show how the two functions differ on your data",
        description="Show how the values and gradients of torch.nn.functional.normalize and "
        "mindspore.ops.L2Normalize differ on arrays in files, or on samples without a FILE.",
        epilog="Exit codes: 0 the functions agree, 1 they differ, 2 bad usage or input.",
    )
    parser.add_argument("files", nargs="*", metavar="FILE", help=".npy, .npz or .safetensors")
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
    parser.set_defaults(run=_compare)


def _add_reference(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = commands.add_parser(
        "reference",
        help="name the builds of torch and MindSpore that are installed",
        description="Print, as JSON, the builds of torch and MindSpore that are installed here. "
        "Record them where a model runs; with the environment variable PORTNORM_REFERENCE=FILE, "
        "parity='strict' then gives their bits on any other machine.",
        epilog="The number of threads is the one that torch starts with here. Exit codes: 0 at "
        "least one framework was found, 2 none, or bad usage.",
    )
    parser.add_argument("--host", choices=REFERENCES, help="of this framework only")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--save", metavar="FILE", help="write to FILE instead")
    instead.add_argument(
        "--certified", action="store_true", help="show the builds whose bits are promised instead"
    )
    parser.set_defaults(run=_reference)


def _add_certify(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = commands.add_parser(
        "certify",
        help="prove that parity='strict' has the bits of the installed frameworks",
        description="Run random cases on the frameworks that are installed, with everything that "
        "torch can use of this CPU, and compare the bits of results and gradients with those of "
        "parity='strict'.",
        epilog="The first mismatch is shown with all that reproduces it. Exit codes: 0 there were "
        "results to compare and all are bit-identical, 1 one is not, 2 nothing to compare with, "
        "or bad usage.",
    )
    parser.add_argument("--cases", type=_positive(int), metavar="N", help="stop after N cases")
    parser.add_argument(
        "--seconds",
        type=_positive(float),
        metavar="S",
        help=f"stop after S seconds (default {_SECONDS} without --cases)",
    )
    parser.add_argument("--seed", type=_seed, metavar="N", help="repeat the cases of another run")
    parser.add_argument("--host", choices=REFERENCES, help="this framework only")
    parser.add_argument(
        "--golden",
        metavar="DIR",
        help="compare with outputs of torch that are stored in DIR instead",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_certify)


# --- portnorm compare -----------------------------------------------------------------------------


def _compare(arguments: argparse.Namespace) -> int:
    with _needs_tools("compare"), contextlib.ExitStack() as stack:
        from portnorm.compare import render

        sources = list(_sources(arguments, stack))
        _check(sources, arguments)
        comparisons = _comparisons(sources, arguments)
        agree = _print_json(comparisons) if arguments.json else render.show(comparisons)
        return AGREE if agree else DIFFER


@contextlib.contextmanager
def _needs_tools(command: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in ("numpy", "rich"):
            raise
        raise _BadInputError(
            f"`portnorm {command}` needs {error.name}: pip install 'portnorm[tools]'"
        ) from error


def _sources(
    arguments: argparse.Namespace, stack: contextlib.ExitStack
) -> Iterator[tuple[Source, int | None]]:
    """Yield the arrays, each with the dim to take."""
    from portnorm.compare.readers import open_array
    from portnorm.compare.samples import samples

    defaults = (NORMALIZE.axis, L2NORMALIZE.axis)
    for path in arguments.files:
        yield stack.enter_context(open_array(path, arguments.key)), arguments.dim
    if not arguments.files:
        if arguments.key is not None:
            raise _BadInputError("--key needs a FILE")
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
            raise _BadInputError(f"{source.name}: {error}") from error
        if 0 in source.shape:
            raise _BadInputError(f"{source.name}: expected data, found an array of {source.shape}")


def _comparisons(
    sources: list[tuple[Source, int | None]], arguments: argparse.Namespace
) -> Iterator[Comparison]:
    from portnorm.compare import compare, render

    for source, dim in sources:
        with render.progress_bar() as progress:  # gone before anything is printed
            comparison = compare(source, dim=dim, progress=progress, **_settings(arguments))
        yield comparison


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(arguments, name) for name in ("p", "eps", "epsilon", "dtype")}


def _print_json(comparisons: Iterator[Comparison]) -> bool:
    found = [comparison.to_dict() for comparison in comparisons]
    print(json.dumps({"portnorm": __version__, "comparisons": found}, allow_nan=False, indent=2))
    return all(comparison["agrees"] for comparison in found)


# --- portnorm reference ---------------------------------------------------------------------------


def _reference(arguments: argparse.Namespace) -> int:
    hosts = [arguments.host] if arguments.host else list(REFERENCES)
    if arguments.certified:
        _print_table([row for row in certified() if row.framework in hosts])
        return DONE
    references = [reference for host in hosts if (reference := _installed(host))]
    if not references:
        return BAD_INPUT
    if arguments.save is None:
        print(format_references(references))
    else:
        write_references(arguments.save, references)
    return DONE


def _installed(host: str) -> Reference | None:
    """Return the reference of a framework that is installed; say what there is to know of it."""
    reference: Reference | None = None
    try:
        reference = REFERENCES[host].current()
        _ = reference.rules
    except (ImportError, OSError) as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == host
        _say(f"{host} {'is not installed' if missing else f'cannot be imported: {error}'}")
    except StrictParityError as error:
        _say(str(error))
    return reference


def _print_table(rows: Sequence[Certified]) -> None:
    print(f"{'framework':<10} {'machine':<8} {'capability':<10} versions")
    for row in rows:
        build = f"{row.framework:<10} {row.machine:<8} {row.capability:<10} "
        versions = " ".join(row.versions)
        print(textwrap.fill(build + versions, 80, subsequent_indent=" " * len(build)))


# --- portnorm certify -----------------------------------------------------------------------------

_SECONDS = 60


def _certify(arguments: argparse.Namespace) -> int:
    if arguments.golden is not None:
        _check_golden(arguments)
    with _needs_tools("certify"):
        from portnorm.compare import render

        with render.progress_bar() as progress:  # gone before anything is printed
            run = _certify_installed if arguments.golden is None else _certify_golden
            report = run(arguments, progress)
    if not any(tally.counts for tally in report.tallies.values()):
        raise _BadInputError("; ".join([*report.notes, "there is nothing to compare with"]))
    if arguments.json:
        print(json.dumps(report.to_dict(), allow_nan=False, indent=2))
    else:
        print(*report.lines(), sep="\n")
    return AGREE if report.identical else DIFFER


def _check_golden(arguments: argparse.Namespace) -> None:
    for name in ("cases", "seconds", "seed"):
        if getattr(arguments, name) is not None:
            raise _BadInputError(f"--{name} is for random cases, and --golden has stored ones")
    if arguments.host == "mindspore":
        raise _BadInputError("--golden has outputs of torch only")


def _certify_golden(arguments: argparse.Namespace, progress: Progress | None) -> Report:
    from portnorm.compare.certify import certify_golden

    return certify_golden(Path(arguments.golden), progress)


def _certify_installed(arguments: argparse.Namespace, progress: Progress | None) -> Report:
    from portnorm.compare import certify

    seconds = arguments.seconds
    if seconds is None and arguments.cases is None:
        seconds = _SECONDS
    seed = secrets.randbits(32) if arguments.seed is None else arguments.seed
    hosts = [arguments.host] if arguments.host else list(REFERENCES)
    with certify.installed_builds(hosts) as (builds, notes):
        report = certify.certify(
            builds, seed, cases=arguments.cases, seconds=seconds, progress=progress
        )
    report.notes[:0] = notes
    return report


def _positive(kind: type[float]) -> Callable[[str], float]:
    """Return what reads a number above zero."""

    def read(text: str) -> float:
        number = kind(text)
        if not 0 < number < math.inf:
            raise ValueError
        return number

    read.__name__ = "positive number"
    return read


def _seed(text: str) -> int:
    seed = int(text)
    if seed < 0:
        raise ValueError
    return seed


_seed.__name__ = "seed"


# --- one line on stderr ---------------------------------------------------------------------------


def _say(text: str) -> None:
    print(f"portnorm: {_one_line(text)}", file=sys.stderr)


def _one_line(text: str) -> str:
    """Names in messages come from files: keep them from steering the terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(text.split()))


def _reader_has_gone() -> int:
    """Stop quietly, as in `portnorm compare | head`; Python flushes stdout once more at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return DIFFER
