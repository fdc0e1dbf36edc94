"""What a value is that is no tensor of the host. Imports no framework: it looks at names."""

from __future__ import annotations

_MAKE = {"torch": "torch.as_tensor", "mindspore": "mindspore.Tensor"}


def other_kind(value: object, host: str) -> str:
    """Return what a value is, and which module takes it or what makes a tensor of it.

    Args:
        value: what was given instead of a tensor of the host.
        host: "torch" or "mindspore"; with any other one nothing is returned.

    >>> other_kind([3.0, 4.0], "torch")
    'it is a list: torch.as_tensor makes a tensor of it'
    >>> other_kind("3", "torch")
    ''
    """
    if host not in _MAKE:
        return ""
    for kind in type(value).__mro__:
        package = kind.__module__.partition(".")[0]
        if kind.__name__ == "Tensor" and package in _MAKE:
            if package == host:
                return ""
            return f"it is a {package}.Tensor, which portnorm.{package} takes"
        if package == "numpy" and kind.__name__ in ("ndarray", "generic"):
            return f"it is a numpy.{kind.__name__}: {_MAKE[host]} makes a tensor of it"
    if type(value) in (float, int, complex, list, tuple):
        return f"it is a {type(value).__name__}: {_MAKE[host]} makes a tensor of it"
    return ""
