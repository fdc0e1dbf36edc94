"""`portnorm reference`."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from portnorm.cli.common import BAD_INPUT, DONE, add_host_and_device, hosts_of, say
from portnorm.errors import StrictParityError
from portnorm.reference import (
    Certified,
    Reference,
    certified,
    current,
    format_references,
    write_references,
)

if TYPE_CHECKING:
    from portnorm.cli.common import Commands


def add_parser(commands: Commands) -> None:
    """Add the parser of the command."""
    parser = commands.add_parser(
        "reference",
        help="name the builds of torch and MindSpore that are installed",
        description="Print, as JSON, the builds of torch and MindSpore that are installed here. "
        "Record them where a model runs; with the environment variable PORTNORM_REFERENCE=FILE, "
        "parity='strict' then gives their bits on any other machine.",
        epilog="The number of threads is the one that torch starts with here. Exit codes: 0 at "
        "least one framework was found, 2 none, or bad usage.",
    )
    add_host_and_device(parser, "of this framework only")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--save", metavar="FILE", help="write to FILE instead")
    instead.add_argument(
        "--certified", action="store_true", help="show the builds whose bits are promised instead"
    )
    parser.set_defaults(run=_reference)


def _reference(arguments: argparse.Namespace) -> int:
    hosts = hosts_of(arguments)
    if arguments.certified:
        _print_table([row for row in certified() if row.framework in hosts])
        return DONE
    references = [reference for host in hosts if (reference := _installed(host, arguments.device))]
    if not references:
        return BAD_INPUT
    if arguments.save is None:
        print(format_references(references))
    else:
        write_references(arguments.save, references)
    return DONE


def _installed(host: str, device: str) -> Reference | None:
    """Return the reference of a framework that is installed; say what there is to know of it."""
    reference: Reference | None = None
    try:
        reference = current(host, device)
        _ = reference.rules
    except (ImportError, OSError) as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == host
        say(f"{host} {'is not installed' if missing else f'cannot be imported: {error}'}")
    except StrictParityError as error:
        say(str(error))
    return reference


def _print_table(rows: Sequence[Certified]) -> None:
    print(f"{'framework':<10} {'machine':<8} {'capability':<10} versions")
    for row in rows:
        build = f"{row.framework:<10} {row.machine:<8} {row.capability:<10} "
        versions = " ".join(row.versions)
        print(textwrap.fill(build + versions, 80, subsequent_indent=" " * len(build)))
