"""Pieces of text for people: from files and frameworks, made fit to be shown, and numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any


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


def without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON, for the ``object_pairs_hook`` of `json.loads`.

    Raises:
        ValueError: a key occurs twice, and readers of JSON differ in which they take.
    """
    record = dict(pairs)
    if len(record) < len(pairs):
        raise ValueError("a key occurs twice")
    return record


def counted(number: int, noun: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "file"), counted(2, "file")
    ('1 file', '2 files')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a question to add to a message about a word that is not known, or nothing.

    >>> did_you_mean("chekc", ["check", "port"])
    '; did you mean check?'
    """
    import difflib  # few need it, and it takes a while

    close = difflib.get_close_matches(word, list(known), 1)
    return f"; did you mean {close[0]}?" if close else ""


def literal(value: object) -> str:
    """Return a value as source code.

    >>> literal(1e-12), literal(float("inf"))
    ('1e-12', "float('inf')")
    """
    if isinstance(value, float) and not math.isfinite(value):
        return f"float('{value}')"
    return repr(value)


def strict_json(value: Any) -> Any:
    """Return a value in terms of strict JSON, which has no infinities and no NaN.

    They, and what JSON does not have at all, become their text.

    >>> strict_json({"a": (1, float("inf"), 2j)})
    {'a': [1, 'inf', '2j']}
    """
    if isinstance(value, dict):
        return {str(key): strict_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [strict_json(item) for item in value]
    if isinstance(value, (int, str)) or value is None:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    return str(value)
