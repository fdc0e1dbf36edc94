"""Lines of text: plain, and the same in colour on a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple, Protocol

from portnorm.terminal import console
from portnorm.text import printable

if TYPE_CHECKING:
    from rich.text import Text

_LABEL = 14
_WIDEST = 100


class Line(NamedTuple):
    """One line of output: a label, a text, and the style of the text in rich's words."""

    label: str
    text: str
    style: str = ""


class Shown(Protocol):
    """What has an outcome, and shows it in lines."""

    @property
    def agrees(self) -> bool:
        """Whether there is nothing to worry about."""

    def lines(self, width: int) -> Iterator[Line]:
        """Yield the lines, of at most width characters."""


def plain(shown: Shown, width: int) -> str:
    """Return the lines without colour."""
    return "\n".join(f"{line.label:<{_LABEL}}{line.text}".rstrip() for line in shown.lines(width))


def wrap(label: str, text: str, width: int, style: str = "") -> Iterator[Line]:
    """Yield a text in lines, the first of them with a label."""
    wrapped = textwrap.wrap(text, max(width - _LABEL, 20), break_on_hyphens=False)
    for line in wrapped or [""]:
        yield Line(label, line, style)
        label = ""


def show(found: Iterable[Shown], note: str = "") -> bool:
    """Print what was found as it comes; in colour on a terminal that wants it.

    Returns:
        Whether all agrees.

    Raises:
        ImportError: rich is not installed.
    """
    from rich.text import Text

    terminal = console()
    agree = True
    if note:
        terminal.print(f"{printable(note)}\n", markup=False, soft_wrap=True)
    for rank, one in enumerate(found):
        if rank:
            terminal.print()
        for line in one.lines(min(terminal.width, _WIDEST)):
            terminal.print(_styled(line, Text), soft_wrap=True)
        agree &= one.agrees
    return agree


def _styled(line: Line, text: type[Text]) -> Text:
    label = f"{line.label:<{_LABEL}}" if line.text else line.label
    return text.assemble((label, "dim" if line.text else "bold"), (line.text, line.style))
