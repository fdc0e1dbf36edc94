"""The two functions by their names in full, and a quick test for files that may name one."""

from __future__ import annotations

import re
from typing import Literal

Function = Literal["normalize", "l2_normalize"]

ORIGINS: dict[str, Function] = {
    "torch.nn.functional.normalize": "normalize",
    "mindspore.mint.nn.functional.normalize": "normalize",
    "mindspore.ops.L2Normalize": "l2_normalize",
    "mindspore.ops.operations.L2Normalize": "l2_normalize",
    "mindspore.ops.operations.nn_ops.L2Normalize": "l2_normalize",
}
"""The names of the two functions in full. MindSpore's mint has torch's function, by its name and
with its arguments."""

MODULES = frozenset(origin.rpartition(".")[0] for origin in ORIGINS)
"""The modules that have one of the two functions."""

HOLDERS = frozenset(
    ".".join(parts[:length])
    for parts in (origin.split(".") for origin in ORIGINS)
    for length in range(1, len(parts))
)
"""These modules, and those by which they are reached, such as torch and torch.nn."""

NAMES = frozenset(origin.rpartition(".")[2] for origin in ORIGINS)
"""The last parts of their names."""

PARAMETERS: dict[Function, tuple[str, ...]] = {
    "normalize": ("input", "p", "dim", "eps", "out"),
    "l2_normalize": ("axis", "epsilon"),
}
"""What the functions take; for L2Normalize, what its constructor takes."""

STAR_NAMES = frozenset({"F", "P", "functional", "mindspore", "mint", "ms", "nn", "ops", "torch"})
"""Names that star imports are known to give to the modules of the two functions."""

OWNER_NAMES = frozenset({"F", "functional", "nnf", "nnF", "operations", "nn_ops", "P"})
"""Names that people give to the modules of the two functions, and to little else."""

_WORDS = re.compile(rb"\b(?:normalize|L2Normalize)\b")
_SOURCE = re.compile(rb"torch|mindspore|import")


def framework_of(origin: str) -> str:
    """Return the framework that a name in full begins with.

    >>> framework_of("mindspore.ops.L2Normalize")
    'mindspore'
    """
    return origin.partition(".")[0]


def called(name: str, text: str) -> frozenset[str]:
    """Return the functions of a name, in full, that are likely in a text: few know of mint.

    >>> called("L2Normalize", "")
    frozenset({'mindspore.ops.L2Normalize'})
    """
    likely = [one for one in ORIGINS if one.endswith(f".{name}") and ".operations." not in one]
    return frozenset(one for one in likely if ".mint." not in one or "mint" in text)


def might_contain(source: bytes) -> bool:
    """Return whether the words for one of the two functions occur in the bytes of a file.

    Most files have no such word, and reading their syntax would take a hundred times as long. A
    file need not name the framework: it may import the function from another file.

    >>> might_contain(b"from torch import nn"), might_contain(b"torch.nn.functional.normalize(x)")
    (False, True)
    """
    return bool(_WORDS.search(source)) and bool(_SOURCE.search(source))
