"""What portnorm does not have: a name of one of the modules that it stands in for."""

from __future__ import annotations

import sys


def no_such_name(module: str, name: str, places: tuple[str, ...]) -> AttributeError:
    """Return the error for a name that a module of portnorm does not have.

    Args:
        module: its name, such as "portnorm.torch".
        name: what was looked for.
        places: modules of the framework, which are looked at if they are imported.
    """
    text = f"module {module!r} has no attribute {name!r}"
    if name.startswith("_"):  # looked for by pickle, inspect and others, in passing
        return AttributeError(text, name=name, obj=sys.modules.get(module))
    found = [place for place in places if hasattr(sys.modules.get(place), name)]
    more = f"; {name} is in {found[0]}" if found else ""
    return AttributeError(
        f"{text}: it has normalize, l2_normalize and their layers only{more}",
        name=name,
        obj=sys.modules.get(module),
    )
