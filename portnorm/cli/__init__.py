"""The command `portnorm`: one module for each of its commands."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from portnorm import __version__
from portnorm.cli import bench, certify, check, compare, explain, interrupts, port, reference, watch
from portnorm.cli.common import BAD_INPUT, DIFFER, INTERRUPTED, BadInputError, Parser
from portnorm.errors import PortnormError
from portnorm.notice import say

_COMMANDS = (compare, watch, port, check, explain, reference, certify, bench)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    Args:
        argv: the arguments; None takes those of the process.

    Raises:
        SystemExit: after --help and --version, and for arguments that cannot be parsed.
    """
    arguments = parser().parse_args(argv)
    try:
        with interrupts.kept():
            return int(arguments.run(arguments))
    except (BadInputError, PortnormError, OSError, MemoryError) as error:
        if isinstance(error, BrokenPipeError):
            return _reader_has_gone()
        say(str(error) or type(error).__name__)
        return BAD_INPUT
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED


def parser() -> Parser:
    """Return the parser of the whole command line."""
    top = Parser(
        prog="portnorm",
        description="torch's normalize and MindSpore's L2Normalize, each on either framework.",
    )
    top.add_argument("--version", action="version", version=f"portnorm {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add_parser(commands)
    return top


def _reader_has_gone() -> int:
    """Stop quietly, as in `portnorm compare | head`; Python flushes stdout once more at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return DIFFER
