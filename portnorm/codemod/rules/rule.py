"""What a rule is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import libcst as cst

from portnorm.codemod.codes import CODES
from portnorm.codemod.edits import Fix
from portnorm.codemod.rules.view import View


class Found(NamedTuple):
    """One place that a rule finds: the node, one sentence, and the edits that mend it."""

    node: cst.CSTNode
    message: str
    fix: Fix | None = None


@dataclass(frozen=True)
class Rule:
    """A rule of `portnorm check`.

    Attributes:
        code: from the registry in `portnorm.codemod.codes`.
        why: what goes wrong where it finds something.
        has_fix: whether it mends some of what it finds: only code that raises an error as it is,
            and that can be meant in one way.
        find: what it finds in a module.
    """

    code: str
    why: str
    has_fix: bool
    find: Callable[[View], Iterator[Found]]

    @property
    def title(self) -> str:
        """A few words."""
        return CODES[self.code].title
