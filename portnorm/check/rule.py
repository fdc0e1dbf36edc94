"""What a rule is."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from portnorm.check.view import View
from portnorm.source.codes import CODES
from portnorm.source.edits import Fix


class Problem(NamedTuple):
    """One place that a rule reports: the node, one sentence, and the edits that mend it."""

    node: ast.expr | ast.stmt
    message: str
    fix: Fix | None = None


@dataclass(frozen=True)
class Rule:
    """A rule of `portnorm check`.

    Attributes:
        code: from the registry in `portnorm.source.codes`.
        why: what goes wrong where it reports something.
        has_fix: whether it mends some of what it reports: only code that raises an error as it is,
            and that can be meant in one way.
        find: yields what is wrong in a module.
    """

    code: str
    why: str
    has_fix: bool
    find: Callable[[View], Iterator[Problem]]

    @property
    def title(self) -> str:
        """The title of the code."""
        return CODES[self.code].title
