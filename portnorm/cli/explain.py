"""`portnorm explain`."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from portnorm.cli.common import DONE, needs_tools

if TYPE_CHECKING:
    from portnorm.cli.common import Commands


def add_parser(commands: Commands) -> None:
    """Add the parser of the command."""
    parser = commands.add_parser(
        "explain",
        help="show the guide's page for a code, a function or a word",
        description="Show the guide's page for a code that check or port reports, for one of the "
        "functions, normalize and L2Normalize, or for a word such as strict, epsilon, gradient, "
        "float16 or bits. Without NAME, list all of them.",
        epilog="Exit codes: 0 it was shown, 2 there is no such page, or bad usage.",
    )
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="such as PN101, normalize or epsilon"
    )
    parser.set_defaults(run=_explain)


def _explain(arguments: argparse.Namespace) -> int:
    if arguments.name is None:
        _list_names()
        return DONE
    from portnorm.source.guide import page

    text = page(arguments.name)
    if sys.stdout.isatty():
        _show(text)
    else:
        print(text, end="")
    return DONE


def _list_names() -> None:
    from portnorm.source.codes import CODES
    from portnorm.source.guide import FUNCTIONS, WORDS, title

    for code in CODES.values():
        print(f"{code.name} {code.title}")
    for name in (*FUNCTIONS, *WORDS):
        print(f"{name} {title(name)}")


def _show(text: str) -> None:
    with needs_tools("explain"):
        from rich.console import Console
        from rich.markdown import Markdown

    Console().print(Markdown(text))
