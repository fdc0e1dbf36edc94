"""Which of the two frameworks can be imported, and if not, why not."""

from __future__ import annotations

import importlib
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
            why_not[module] = f"{name} is not installed" if absent else f"{name}: {error}"
        except (ImportError, OSError) as error:
            why_not[module] = f"{name} cannot be imported: {error}"
    if not versions:
        needed = "; one of them is needed" if len(modules) > 1 else ""
        install = " or ".join(f"pip install 'portnorm[{module}]'" for module in modules)
        raise NoFrameworkError(f"{' and '.join(why_not.values())}{needed}: {install}")
    return Frameworks(versions, why_not)
