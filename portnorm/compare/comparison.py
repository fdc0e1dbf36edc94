"""The answer of a comparison, which shows itself as text and as a page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from portnorm.compare import render
from portnorm.compare.lines import Line, plain
from portnorm.compare.result import Result


@dataclass(frozen=True)
class Comparison(Result):
    """How the two functions differ on one array.

    Attributes:
        name: of the array.
        shape: of the array.
        settings: what was compared.
        measurement: what was found.
        computed_by: who computed "normalize", "l2_normalize" and "l2_normalize_gradient".
        own_gradient: whether the gradient of L2Normalize is that of MindSpore's own kernel, and
            not the derivative of its formula.
        versions: of portnorm, numpy, and torch and mindspore where they are installed.

    >>> import numpy as np
    >>> from portnorm.compare import compare
    >>> found = compare(np.float32([[1, 2], [0, 4e-9]]))
    >>> found.vectors, found.measurement.changed
    (2, 1)
    >>> found.verdict[:51]
    '1 of 2 vectors change; worst vector 1 (norm 4e-09);'
    """

    def lines(self, width: int) -> Iterator[Line]:
        """Yield the findings in lines of at most width characters, for a terminal."""
        return render.lines(self, width)

    def summary(self, width: int = 80) -> str:
        """Return the findings as plain text, in lines of at most width characters."""
        return plain(self, width)

    def to_html(self) -> str:
        """Return a page of HTML with charts, complete in itself, as `portnorm compare --html`.

        Raises:
            ImportError: jinja2 or matplotlib is not installed.

        >>> from portnorm.compare import compare
        >>> compare([1.0, 2.0, 3.0]).to_html().splitlines()[0]
        '<!DOCTYPE html>'
        """
        from portnorm.compare import report

        return report.page([self])

    def _repr_html_(self) -> str:
        from portnorm.compare import report

        return report.fragment(self)
