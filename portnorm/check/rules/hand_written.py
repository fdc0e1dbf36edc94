"""PN131: normalization that is written by hand."""

from __future__ import annotations

from collections.abc import Iterator

from portnorm.check.rule import Problem, Rule
from portnorm.check.view import View
from portnorm.source.by_hand import ByHand

_OWNERS = {"torch": "torch.nn.functional.", "mindspore": "portnorm.mindspore.", "": ""}


def _find(view: View) -> Iterator[Problem]:
    for found in view.by_hand:
        called = found.counterpart(view.module)
        if called is not None:
            exact = "{}{}({}) has the same numbers".format(_OWNERS[found.framework], *called)
        else:
            exact = "no call has the same numbers" + (found.caveat and f": {found.caveat}")
        yield Problem(
            found.node,
            f"{found.convention} is written by hand: a vector of zeros gives "
            f"{found.form.value_at_zero}, and {_gradient(found)}; {exact}",
        )


def _gradient(found: ByHand) -> str:
    if found.gradient_at_zero == "NaN":
        return "its gradient is NaN"
    if found.number is None:
        gradient = found.gradient_at_zero.replace("e", str(found.convention.e))
        return f"its gradient is {gradient} times what arrives"
    return f"its gradient is {1 / found.form.smallest(found.number):g} times what arrives"


RULE = Rule(
    code="PN131",
    why="Each form puts epsilon elsewhere, and most have none: zeros become NaN.",
    has_fix=False,
    find=_find,
)
