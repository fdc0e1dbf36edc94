"""What becomes of one place that names a function."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Literal, NamedTuple

from portnorm.source.edits import Edit

Target = Literal["mindspore", "torch"]
Style = Literal["adapter", "inline", "mint"]


@dataclass(frozen=True)
class Rewrite:
    """How one place is rewritten.

    Attributes:
        edits: of the place, not of the imports.
        imports: the modules that the new text needs.
        helper: the definition that it needs, if any.
        gone: the expressions whose names are not in the new text any more.
    """

    edits: tuple[Edit, ...]
    imports: tuple[str, ...]
    helper: str = ""
    gone: tuple[ast.expr, ...] = ()


class Refused(NamedTuple):
    """Why a place is left to people: a code, and a sentence."""

    code: str
    message: str
