"""`portnorm identify`."""

from __future__ import annotations

import argparse
import contextlib
import json
from typing import TYPE_CHECKING, Any

from portnorm import __version__
from portnorm.cli.common import AGREE, DIFFER, BadInputError, needs_tools

if TYPE_CHECKING:
    from portnorm.cli.common import Commands


def add_parser(commands: Commands) -> None:
    """Add the parser of the command."""
    parser = commands.add_parser(
        "identify",
        help="name the normalization that turns one array into another",
        description="Find which normalization turns INPUT into OUTPUT: its form, axis, order and "
        "epsilon, and the builds of frameworks that give the same bits. Files are .npy, .npz or "
        ".safetensors.",
        epilog="Exit codes: 0 a normalization explains the output, 1 none does, 2 bad usage or "
        "input.",
    )
    parser.add_argument("input", metavar="INPUT", help="what was normalized")
    parser.add_argument("output", metavar="OUTPUT", help="what came out")
    parser.add_argument(
        "--cotangent",
        metavar="FILE",
        help="the gradient that arrived at the output; OUTPUT is then the gradient of INPUT",
    )
    parser.add_argument("--key", metavar="NAME", help="the array in files that hold several")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_identify)


def _identify(arguments: argparse.Namespace) -> int:
    with needs_tools("identify"):
        from portnorm.identify import identify

        x, y = (_read(path, arguments.key) for path in (arguments.input, arguments.output))
        g = None if arguments.cotangent is None else _read(arguments.cotangent, arguments.key)
        try:
            found = identify(x, y, cotangent=g)
        except (TypeError, ValueError) as error:
            raise BadInputError(f"{arguments.input}, {arguments.output}: {error}") from error
    if arguments.json:
        print(json.dumps({"portnorm": __version__, **found.to_dict()}, allow_nan=False, indent=2))
    else:
        print(found)
    return AGREE if found.fits else DIFFER


def _read(path: str, key: str | None) -> Any:
    """Return all of the array in a file; bfloat16 comes as float32, which holds it exactly."""
    from portnorm.readers import open_array

    with contextlib.ExitStack() as stack:
        source = stack.enter_context(open_array(path, key))
        dtype = "float32" if source.dtype == "bfloat16" else source.dtype
        whole = tuple(slice(0, size, 1) for size in source.shape)
        return source.read(whole, dtype)
