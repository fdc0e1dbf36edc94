"""The command `portnorm`: one module for each of its commands."""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import sys
from collections.abc import Iterator, Sequence

from portnorm import __version__
from portnorm.cli import (
    bench,
    certify,
    check,
    compare,
    explain,
    identify,
    interrupts,
    port,
    reference,
    watch,
)
from portnorm.cli.common import (
    BAD_INPUT,
    DIFFER,
    DONE,
    INTERRUPTED,
    BadInputError,
    Parser,
    drop,
    say,
)
from portnorm.cli.completion import SHELLS, Completion
from portnorm.errors import PortnormError

_TASKS = {
    "see whether it matters": (compare, identify, watch),
    "port code": (port, check),
    "hold the bits": (reference, certify),
    "look up, and measure speed": (explain, bench),
}
"""The commands, by what they are for."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    Args:
        argv: the arguments; None takes those of the process.

    Raises:
        SystemExit: after --help, --version and --completion, and for arguments that cannot be
            parsed.
    """
    _open_streams()
    try:
        with interrupts.kept(), _flushed_output():
            arguments = parser().parse_all(argv)
            return int(arguments.run(arguments))
    except (BadInputError, PortnormError, OSError, MemoryError) as error:
        if isinstance(error, BrokenPipeError):
            drop(sys.stdout)
            return DIFFER
        say(_why(error))
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
    top.add_argument(
        "--completion",
        action=Completion,
        choices=SHELLS,
        metavar="SHELL",
        help=f"print what makes a shell ({', '.join(SHELLS)}) complete commands, and exit",
    )
    top.set_defaults(run=_show_help, parser=top)
    commands = top.add_subparsers(metavar="COMMAND", help="portnorm COMMAND --help says more")
    lines = commands._choices_actions  # of the help, one for each command
    for task, modules in _TASKS.items():
        for command in modules:
            command.add_parser(commands)
        top.add_argument_group(f"commands to {task}")._group_actions.extend(lines)
        lines.clear()
    for one in commands.choices.values():
        one.set_defaults(parser=one)
    return top


def _show_help(arguments: argparse.Namespace) -> int:
    arguments.parser.print_help()
    return DONE


def _open_streams() -> None:
    """Give what is printed a place where a stream was closed before the command began.

    Otherwise the first file that is opened would take the number of the stream.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r+", encoding="utf-8"))  # noqa: SIM115


@contextlib.contextmanager
def _flushed_output() -> Iterator[None]:
    """Flush standard output at the end; when Python does, it is too late to say what is wrong."""
    try:
        yield
    finally:
        with contextlib.suppress(ValueError, AttributeError):  # closed by a script under `watch`
            sys.stdout.flush()


_OUTPUT = {errno.EBADF, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOSPC}


def _why(error: Exception) -> str:
    """Return what to say of an error; one without a name, of a file that is full, is of output."""
    if isinstance(error, OSError) and error.errno in _OUTPUT and error.filename is None:
        drop(sys.stdout)
        return f"standard output: {error.strerror}"
    return str(error) or type(error).__name__
