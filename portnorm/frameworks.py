"""Which of the two frameworks can be imported, and if not, why not."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from portnorm.errors import PortnormError

NAMES = {"torch": "torch", "mindspore": "MindSpore"}
"""The frameworks, as their makers write them."""


class NoFrameworkError(PortnormError):
    """Neither framework can be imported."""


@dataclass(frozen=True)
class Frameworks:
    """The frameworks that can be imported.

    Attributes:
        versions: of "torch" and "mindspore", as far as they are there.
        why_not: for each of the two that is not, a few words on why.
    """

    versions: dict[str, str]
    why_not: dict[str, str]


_MINDSPORE_PYTHONS = (3, 9), (3, 12)
"""The first and the last Python for which MindSpore 2.10 has wheels."""


def why_no_mindspore(python: tuple[int, ...] = sys.version_info[:2]) -> str:
    """Return why MindSpore is missing, as far as the version of Python tells; else "".

    >>> print(why_no_mindspore((3, 13)).partition(": ")[0])
    MindSpore cannot be installed for Python 3.13
    >>> why_no_mindspore((3, 12))
    ''
    """
    first, last = _MINDSPORE_PYTHONS
    if first <= python[:2] <= last:
        return ""
    here, low, high = (".".join(map(str, version[:2])) for version in (python, first, last))
    return (
        f"MindSpore cannot be installed for Python {here}: MindSpore 2.10 has wheels for Python "
        f"{low} to {high}"
    )


def frameworks(modules: Sequence[str] = tuple(NAMES)) -> Frameworks:
    """Import these frameworks, as far as they are installed.

    Args:
        modules: "torch", "mindspore".

    Raises:
        NoFrameworkError: none of them is.
    """
    versions: dict[str, str] = {}
    why_not: dict[str, str] = {}
    for module in modules:
        name = NAMES[module]
        try:
            versions[module] = str(importlib.import_module(module).__version__)
        except ModuleNotFoundError as error:
            absent = error.name == module
            reason = why_no_mindspore() if module == "mindspore" else ""
            missing = reason or f"{name} is not installed"
            why_not[module] = missing if absent else f"{name}: {error}"
        except (ImportError, OSError) as error:
            why_not[module] = f"{name} cannot be imported: {error}"
    if not versions:
        needed = "; one of them is needed" if len(modules) > 1 else ""
        install = " or ".join(f"pip install 'portnorm[{module}]'" for module in modules)
        raise NoFrameworkError(f"{' and '.join(why_not.values())}{needed}: {install}")
    return Frameworks(versions, why_not)
