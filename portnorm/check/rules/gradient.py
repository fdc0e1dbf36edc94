"""PN104: MindSpore's gradient of L2Normalize below the floor."""

from __future__ import annotations

from collections.abc import Iterator

from portnorm.check.rule import Problem, Rule
from portnorm.check.view import View
from portnorm.semantics import L2NORMALIZE

_TAKES_GRADIENTS = {
    "mindspore": "Model grad jacrev value_and_grad vjp",
    "mindspore.nn": "ForwardValueAndGrad LossBase TrainOneStepCell TrainOneStepWithLossScaleCell "
    "WithGradCell WithLossCell",
    "mindspore.nn.loss": "LossBase",
    "mindspore.nn.loss.loss": "LossBase",
    "mindspore.nn.wrap": "TrainOneStepCell WithLossCell",
    "mindspore.ops": "GradOperation grad value_and_grad",
    "mindspore.ops.composite": "GradOperation",
    "mindspore.train": "Model",
    "mindspore.train.model": "Model",
}
_NAMES = {
    f"{module}.{name}" for module, names in _TAKES_GRADIENTS.items() for name in names.split()
}


def _find(view: View) -> Iterator[Problem]:
    if not view.working_constructors or not _takes_gradients(view):
        return
    for site in view.working_constructors:
        left_out = L2NORMALIZE.eps if site.leaves_out("epsilon") else None
        epsilon = view.values.number(site.given("epsilon")) or left_out
        if epsilon is not None and 0 < epsilon < 1:
            yield Problem(
                site.call,
                f"this module takes gradients: below the floor MindSpore's divides by "
                f"{epsilon:g}, where its root {L2NORMALIZE.floor(epsilon):g} is right",
            )


def _takes_gradients(view: View) -> bool:
    """Return whether the module itself calls, or derives from, what takes gradients."""
    derives = any(view.module.qualified(base) & _NAMES for base in view.bases)
    return derives or any(view.calls_of(_NAMES))


RULE = Rule(
    code="PN104",
    why="Gradients of short vectors are too long by 1/sqrt(epsilon), a hundredfold by default.",
    has_fix=False,
    find=_find,
)
