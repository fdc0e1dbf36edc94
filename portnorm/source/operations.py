"""Calls of torch's and MindSpore's operators, by what they compute and to what.

Functions, methods of tensors, and objects of MindSpore's operator classes are brought to one form:
`torch.sum(x, 1)`, `x.sum(1)` and `ops.ReduceSum()(x, 1)` are all "sum", of x along a dim.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from portnorm.source.names import Argument, arguments
from portnorm.source.values import Values

_PARAMETERS: dict[str, tuple[str, ...]] = {
    "norm": ("x", "p", "dim", "keepdim"),
    "sum": ("x", "dim", "keepdim"),
    "mean": ("x", "dim", "keepdim"),
    "sqrt": ("x",),
    "rsqrt": ("x",),
    "square": ("x",),
    "reciprocal": ("x",),
    "pow": ("x", "exponent"),
    "clamp": ("x", "min"),
    "maximum": ("x", "other"),
    "div": ("x", "other"),
    "mul": ("x", "other"),
    "add": ("x", "other"),
    "unsqueeze": ("x", "dim"),
    "expand_as": ("x", "other"),
    "reshape": ("x", "rows", "columns"),
    "full": ("x", "value"),
}
"""What the operators compute, and what they take."""

_FUNCTIONS = {
    **{name: name for name in _PARAMETERS if name != "full"},
    **dict.fromkeys(("vector_norm", "LpNorm", "Norm"), "norm"),
    **dict.fromkeys(("reduce_sum", "ReduceSum"), "sum"),
    **dict.fromkeys(("reduce_mean", "ReduceMean"), "mean"),
    **dict.fromkeys(("clip", "clamp_min", "clip_by_value"), "clamp"),
    **dict.fromkeys(("max", "Maximum"), "maximum"),
    **dict.fromkeys(("div_", "divide", "true_divide", "Div", "RealDiv"), "div"),
    **dict.fromkeys(("mul_", "multiply", "Mul"), "mul"),
    **dict.fromkeys(("expand_dims", "ExpandDims"), "unsqueeze"),
    "view": "reshape",
    **{"Sqrt": "sqrt", "Rsqrt": "rsqrt", "Square": "square", "Reciprocal": "reciprocal"},
    **{"Pow": "pow", "Add": "add", "full_like": "full"},
}
"""The names of functions and of operator classes, each with what it computes."""

_CONSTRUCTORS: dict[str, tuple[str, ...]] = {
    "ReduceSum": ("keepdim",),
    "ReduceMean": ("keepdim",),
    "LpNorm": ("dim", "p", "keepdim"),
    "Norm": ("dim", "keepdim"),
}
"""What the constructors of operator classes take, where they take anything."""

_SYNONYMS = {
    **dict.fromkeys(("input", "A", "self", "tensor"), "x"),
    **dict.fromkeys(("axis",), "dim"),
    **dict.fromkeys(("keepdims", "keep_dims"), "keepdim"),
    **dict.fromkeys(("ord",), "p"),
    **dict.fromkeys(("clip_value_min",), "min"),
    **dict.fromkeys(("fill_value",), "value"),
}
_MODULES = frozenset(
    {"torch", "torch.functional", "torch.linalg", "torch.Tensor"}
    | {f"mindspore.{name}" for name in ("ops", "ops.function", "ops.functional", "mint", "numpy")}
    | {f"mindspore.{name}" for name in ("ops.operations", "nn", "mint.linalg")}
)
_OF_TENSORS_ONLY = frozenset(
    {"norm", "sqrt", "rsqrt", "pow", "square", "clamp", "clamp_min", "unsqueeze", "expand_as"}
    | {"reciprocal", "div", "div_", "mul", "mul_"}
)
"""Methods that tensors have, and arrays of NumPy do not."""


@dataclass(frozen=True)
class Operation:
    """A call of an operator.

    Attributes:
        name: what it computes, a key of `_PARAMETERS`.
        given: what it is given, by parameter; what the object was constructed with, too.
        origin: the function in full, such as "torch.norm"; "" for a method.
        is_tensor: whether it takes no array of NumPy, as far as its name tells.
    """

    name: str
    given: dict[str, ast.expr]
    origin: str
    is_tensor: bool

    @property
    def framework(self) -> str:
        """The framework whose function it is, "" for a method."""
        return self.origin.partition(".")[0]


def operation(values: Values, call: ast.Call) -> Operation | None:
    """Return what a call computes; None for anything that is not listed here."""
    made = _constructed(values, call.func)
    if made is not None:
        origin, last = _origin(values, made.func)
        with_object = _bound(arguments(made), _CONSTRUCTORS.get(last, ()))
        with_tensor = _bound(arguments(call), _PARAMETERS[_FUNCTIONS[last]] if origin else ())
        if not origin or with_object is None or with_tensor is None:
            return None
        return Operation(_FUNCTIONS[last], with_object | with_tensor, origin, True)
    origin, last = _origin(values, call.func)
    if origin and not last[0].isupper():
        given = _bound(arguments(call), _PARAMETERS[_FUNCTIONS[last]])
        return None if given is None else Operation(_FUNCTIONS[last], given, origin, True)
    return _method(values, call)


def _method(values: Values, call: ast.Call) -> Operation | None:
    function = call.func
    if not isinstance(function, ast.Attribute) or function.attr[:1].isupper():
        return None
    name = _FUNCTIONS.get(function.attr)
    if name in (None, "maximum") or any(
        not full.startswith(".") for full in _qualified(values, function)
    ):
        return None
    receiver = Argument(function.value, function.value)
    given = _bound([receiver, *arguments(call)], _PARAMETERS[name])
    if given is None:
        return None
    certain = function.attr in _OF_TENSORS_ONLY and function.attr not in values.methods
    named = {argument.keyword for argument in arguments(call)}
    return Operation(name, given, "", certain or "keepdim" in named)


def _qualified(values: Values, node: ast.expr) -> set[str]:
    return values.module.qualified(node)


def _constructed(values: Values, function: ast.expr) -> ast.Call | None:
    """Return the call that constructs the object which is called."""
    if isinstance(function, ast.Call):
        return function
    made = values.bound_to(function)
    return made if isinstance(made, ast.Call) else None


def _origin(values: Values, function: ast.expr) -> tuple[str, str]:
    """Return an operator's function or class by its name in full, and the last part of it."""
    names = _qualified(values, function)
    if len(names) != 1:
        return "", ""
    (origin,) = names
    module, _, last = origin.rpartition(".")
    known = last in _FUNCTIONS and module in _MODULES
    return (origin, last) if known else ("", "")


def _bound(listed: list[Argument], parameters: tuple[str, ...]) -> dict[str, ast.expr] | None:
    """Give arguments the names of parameters; None if there is one that has no meaning here."""
    bound: dict[str, ast.expr] = {}
    for position, argument in enumerate(listed):
        if argument.star or (argument.keyword is None and position >= len(parameters)):
            return None
        name = argument.keyword or parameters[position]
        name = _SYNONYMS.get(name, name)
        if name not in parameters or name in bound:
            return None
        bound[name] = argument.value
    return bound
