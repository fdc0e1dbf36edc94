"""PN122: torchvision's normalize, by mean and deviation, taken for torch's, by norm."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from portnorm.check.rule import Problem, Rule
from portnorm.check.view import View, keywords
from portnorm.source.names import arguments

_TORCHVISION = frozenset(
    f"torchvision.transforms.{module}.normalize"
    for module in ("functional", "v2.functional", "functional_tensor", "_functional_tensor")
)
_OF_TORCH, _OF_TORCHVISION = ("p", "dim", "eps", "out"), ("mean", "std", "inplace")


def _find(view: View) -> Iterator[Problem]:
    for call, _ in view.calls_of(_TORCHVISION):
        if _is_called_with(call, _OF_TORCH) or view.values.number(_second(call)) is not None:
            yield Problem(
                call,
                "this is torchvision's normalize, which takes mean and std, called as torch's, "
                "which divides by the norm",
            )
    for site in view.normalizes:
        second = view.values.constant(_second(site.call))
        if _is_called_with(site.call, _OF_TORCHVISION) or isinstance(second, tuple):
            yield Problem(
                site.call,
                f"this is {site.use.origin}, which divides by the norm, called as torchvision's "
                "normalize, which takes mean and std",
            )


def _is_called_with(call: ast.Call, names: tuple[str, ...]) -> bool:
    return not keywords(call).keys().isdisjoint(names)


def _second(call: ast.Call) -> ast.expr | None:
    by_position = [one for one in arguments(call) if one.keyword is None and not one.star]
    return by_position[1].value if len(by_position) > 1 else None


RULE = Rule(
    code="PN122",
    why="The two share a name and nothing else; a call of the wrong one raises a TypeError.",
    has_fix=False,
    find=_find,
)
