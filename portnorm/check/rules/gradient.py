"""PN104: MindSpore's gradient of L2Normalize below the floor."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from portnorm.check.rule import Problem, Rule
from portnorm.check.view import Site, View
from portnorm.semantics import L2NORMALIZE
from portnorm.source.names import last_name

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


_LOSSES = frozenset({"Cell", "LossBase", "_Loss"})
_WITHOUT_GRADIENT = frozenset(
    {"accuracy", "eval", "evaluate", "evaluation", "evaluator", "infer", "inference", "metric"}
    | {"metrics", "predict", "prediction", "predictor", "queue", "recall", "test", "tester"}
    | {"val", "valid", "validate", "validation"}
)
"""Words in the names of functions, classes and results that no gradient flows through."""
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def _find(view: View) -> Iterator[Problem]:
    if not view.working_constructors:
        return
    takes_gradients = _takes_gradients(view)
    for site in view.working_constructors:
        if not takes_gradients and not _is_in_a_loss(view, site):
            continue
        left_out = L2NORMALIZE.eps if site.leaves_out("epsilon") else None
        epsilon = view.values.usual_number(site.given("epsilon")) or left_out
        if epsilon is not None and 0 < epsilon < 1 and not _is_out_of_reach(view, site):
            yield Problem(
                site.call,
                f"a gradient may reach this: below the floor MindSpore's divides by "
                f"{epsilon:g}, where its root {L2NORMALIZE.floor(epsilon):g} is right",
            )


def _takes_gradients(view: View) -> bool:
    """Return whether the module itself calls, or derives from, what takes gradients."""
    derives = any(view.module.qualified(base) & _NAMES for base in view.bases)
    return derives or any(view.calls_of(_NAMES))


def _is_in_a_loss(view: View, site: Site) -> bool:
    """Return whether a call is in a layer that is a loss: by its name, or by its bases."""
    around = view.module.syntax.ancestors(site.call)
    return any(
        "loss" in f"{one.name} {last_name(base)}".lower()
        for one in around
        if isinstance(one, ast.ClassDef)
        for base in one.bases
        if last_name(base) in _LOSSES or "loss" in last_name(base).lower()
    )


def _is_out_of_reach(view: View, site: Site) -> bool:
    """Return whether no gradient flows through a call, as far as can be told from around it.

    MindSpore takes gradients of functions and layers. So it reaches nothing that a module, a
    constructor, or the function that takes the gradient computes itself, nor evaluation.
    """
    applied = view.module.applications(site.use)
    if not applied:
        return _is_without_gradient(view, site.call)
    takes_gradients = {_function(view, call) for call, _ in view.calls_of(_NAMES)}
    return all(
        _function(view, call) in {None, *takes_gradients}
        or "init" in _words(getattr(_function(view, call), "name", ""))
        or _is_without_gradient(view, call)
        for call in applied
    )


def _function(view: View, call: ast.Call) -> ast.AST | None:
    """Return the innermost function that a call runs in; None for the module itself."""
    around = view.module.syntax.ancestors(call)
    return next((one for one in around if isinstance(one, _FUNCTIONS)), None)


def _is_without_gradient(view: View, call: ast.Call) -> bool:
    """Return whether a call is within what stops gradients, or what is named for evaluation."""
    syntax = view.module.syntax
    for one in syntax.ancestors(call):
        name = ""
        if isinstance(one, (*_FUNCTIONS, ast.ClassDef)):
            name = getattr(one, "name", "")
        elif isinstance(one, ast.Assign):
            name = last_name(one.targets[0])
        stops = isinstance(one, ast.Call) and last_name(one.func) == "stop_gradient"
        if stops or last_name(one) == "asnumpy" or _words(name) & _WITHOUT_GRADIENT:
            return True
    return False


def _words(name: str) -> set[str]:
    """Return the words of a name that is written with capitals or underscores between them."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


RULE = Rule(
    code="PN104",
    why="Gradients of short vectors are too long by 1/sqrt(epsilon), a hundredfold by default.",
    has_fix=False,
    find=_find,
)
