"""Text from files and frameworks, made fit for a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""Return the text without what would steer the terminal.

    >>> print(printable("odd\x1b[31m\nname"))
    odd\x1b[31m\nname
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def one_line(text: str) -> str:
    r"""Return the text on one line, any white space as one space.

    >>> one_line("two\n  lines")
    'two lines'
    """
    return printable(" ".join(text.split()))
