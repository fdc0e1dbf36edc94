"""The two functions by their names in full, and a quick test for files that may name one."""

from __future__ import annotations

import re
from typing import Literal

Function = Literal["normalize", "l2_normalize"]

ORIGINS: dict[str, Function] = {
    "torch.nn.functional.normalize": "normalize",
    "mindspore.ops.L2Normalize": "l2_normalize",
    "mindspore.ops.operations.L2Normalize": "l2_normalize",
    "mindspore.ops.operations.nn_ops.L2Normalize": "l2_normalize",
}
"""The names of the two functions in full."""

MODULES = frozenset(origin.rpartition(".")[0] for origin in ORIGINS)
"""The modules that have one of the two functions."""

NAMES = frozenset(origin.rpartition(".")[2] for origin in ORIGINS)
"""The last parts of their names."""

PARAMETERS: dict[Function, tuple[str, ...]] = {
    "normalize": ("input", "p", "dim", "eps", "out"),
    "l2_normalize": ("axis", "epsilon"),
}
"""What the functions take; for L2Normalize, what its constructor takes."""

FRAMEWORKS: dict[Function, str] = {"normalize": "torch", "l2_normalize": "mindspore"}

STAR_NAMES = frozenset({"F", "P", "functional", "mindspore", "ms", "nn", "ops", "torch"})
"""Names that star imports are known to give to the modules of the two functions."""

_WORDS = re.compile(rb"\b(?:normalize|L2Normalize)\b")
_FRAMEWORK = re.compile(rb"torch|mindspore")


def might_contain(source: bytes) -> bool:
    """Return whether the words for one of the two functions occur in the bytes of a file.

    Most files have no such word, and reading their syntax would take a hundred times as long.

    >>> might_contain(b"from torch import nn"), might_contain(b"torch.nn.functional.normalize(x)")
    (False, True)
    """
    return bool(_WORDS.search(source)) and bool(_FRAMEWORK.search(source))
