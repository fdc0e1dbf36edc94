"""What the commands share: exit codes, and refusals in one line."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NoReturn, TextIO

from portnorm import notice
from portnorm.reference import REFERENCES
from portnorm.text import did_you_mean, one_line

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction["Parser"]
    """What a command adds its parser to."""

DONE = AGREE = 0
DIFFER, BAD_INPUT, INTERRUPTED = 1, 2, 130

_TOOLS = ("jinja2", "matplotlib", "numpy", "pathspec", "rich", "shtab")
"""What the extra `tools` installs, by the names of its modules."""


_CHOICE = re.compile(r"invalid choice: '(.*?)' \(choose from (.*)\)")


class Parser(argparse.ArgumentParser):
    """Refuses in one line."""

    def error(self, message: str) -> NoReturn:
        """Say it in one line; `--help` has the usage."""
        choice = _CHOICE.search(message)
        if choice is not None:
            message += did_you_mean(choice[1], re.findall(r"[\w.-]+", choice[2]))
        self.exit(BAD_INPUT, f"{self.prog}: {one_line(message)}\n")

    def parse_all(self, argv: Sequence[str] | None) -> argparse.Namespace:
        """Parse arguments; one that no command knows is refused in the name of its command."""
        arguments, unknown = self.parse_known_args(argv)
        if unknown:
            parser = getattr(arguments, "parser", self)
            close = did_you_mean(unknown[0].partition("=")[0], parser._option_string_actions)
            parser.error(f"unrecognized arguments: {' '.join(unknown)}{close}")
        return arguments


class BadInputError(Exception):
    """What to say of it, in one line."""


@contextlib.contextmanager
def needs_tools(command: str) -> Iterator[None]:
    """Say how to install what the command needs and cannot find."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in _TOOLS:
            raise
        raise BadInputError(
            f"`portnorm {command}` needs {error.name}: pip install 'portnorm[tools]'"
        ) from error


def positive(kind: type[float]) -> Callable[[str], float]:
    """Return what reads a number above zero."""

    def read(text: str) -> float:
        number = kind(text)
        if not 0 < number < math.inf:
            raise ValueError
        return number

    read.__name__ = "positive number"
    return read


def add_host_and_device(parser: argparse.ArgumentParser, host: str) -> None:
    """Add the options that say which frameworks are looked at, and where torch runs."""
    parser.add_argument("--host", choices=REFERENCES, help=host)
    parser.add_argument(
        "--device",
        choices=("cpu", "cuda"),
        default="cpu",
        help="where torch runs; on a CUDA device it is the only framework (default cpu)",
    )


def hosts_of(arguments: argparse.Namespace) -> list[str]:
    """Return the frameworks that these options name.

    Raises:
        BadInputError: MindSpore on a CUDA device.
    """
    if arguments.device == "cpu":
        return [arguments.host] if arguments.host else list(REFERENCES)
    if arguments.host == "mindspore":
        raise BadInputError("--device is of torch, and --host names MindSpore")
    return ["torch"]


def say(text: str) -> None:
    """Print one line on stderr; where nothing can be printed, the exit code has to do."""
    if not notice.say(text):
        drop(sys.stderr)


def drop(stream: TextIO) -> None:
    """Let what is printed go nowhere, as after `portnorm compare | head`.

    Python flushes once more at exit, and what fails then would change the exit code.
    """
    with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or not of the system
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
