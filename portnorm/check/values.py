"""What can be told of the value of an expression without running it.

A rule reports what is certain only, so whatever may have several values is `UNKNOWN` here.
"""

from __future__ import annotations

import ast
import math
from bisect import bisect_left
from collections.abc import Callable

from portnorm.source.names import Argument, Module, Variable, arguments, last_name


class Unknown:
    """The type of `UNKNOWN`, since None is a value of its own."""


UNKNOWN = Unknown()

_DEEPEST = 20
"""How many names that are bound to other names are followed; a circle of them has no end."""

_INFINITE = {"math.inf", "torch.inf", "numpy.inf", "mindspore.numpy.inf", "mindspore.ops.inf"}

_CONVERSIONS = frozenset({"to", "type", "astype", "cast", "type_as"})
"""Methods and functions that take the dtype of their result by position."""

_FRAMEWORKS = ("torch.", "mindspore.", "numpy.")
_TENSOR_MAKERS = frozenset({"mindspore.Tensor", "mindspore.Parameter", "mindspore.tensor"})
_TENSOR_MODULES = ("mindspore.ops.", "mindspore.mint.", "mindspore.numpy.")
_TENSOR_METHODS = frozenset(
    {"abs", "astype", "expand_as", "flatten", "float", "half", "mean", "permute", "reshape"}
    | {"squeeze", "sum", "swapaxes", "to", "transpose", "unsqueeze", "view"}
)
_TENSOR_ATTRIBUTES = _TENSOR_METHODS | {"dtype", "ndim", "shape", "T", "asnumpy", "size"}
_RUN = frozenset({"construct", "forward", "__call__"})
"""Methods of layers that take tensors."""
_AXIS_NAMES = frozenset({"axis", "axes", "dim", "dims"})


class Values:
    """What can be told of the values of expressions in a module.

    Args:
        module: with its names resolved.
    """

    def __init__(self, module: Module) -> None:
        self.module = module
        self._depth = 0
        self._bound: dict[Variable, list[tuple[int, ast.AST]]] = {}
        self._used_as_tensor: dict[Variable, bool] = {}

    # --- numbers ---------------------------------------------------------------------------------

    def constant(self, node: ast.expr | None) -> object:
        """Return the value of an expression of constants, or `UNKNOWN`."""
        try:
            return self._constant(node)
        except RecursionError:  # a sum of thousands of terms
            return UNKNOWN

    def number(self, node: ast.expr | None) -> int | float | None:
        """Return the value of an expression of constants if it is a number, otherwise None."""
        value = self.constant(node)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return value
        return None

    def _constant(self, node: ast.expr | None) -> object:
        if isinstance(node, ast.Constant):
            is_known = node.value is None or isinstance(node.value, (int, float, str, bytes))
            return node.value if is_known else UNKNOWN
        if isinstance(node, (ast.Tuple, ast.List)):
            return tuple(self.constant(element) for element in node.elts)
        if isinstance(node, ast.UnaryOp):
            value = self.number(node.operand)
            return UNKNOWN if value is None else _signed(node.op, value)
        if isinstance(node, ast.BinOp):
            a, b = self.number(node.left), self.number(node.right)
            return UNKNOWN if a is None or b is None else _computed(node.op, a, b)
        if isinstance(node, ast.Call):
            return self._converted(node)
        if isinstance(node, (ast.Name, ast.Attribute)):
            if self.module.qualified(node) & _INFINITE:
                return math.inf
            return self._of_name(node, self.constant, UNKNOWN)
        return UNKNOWN

    def _converted(self, node: ast.Call) -> object:
        """Return the value of `float(...)`."""
        given = arguments(node)
        if self.module.qualified(node.func) != {".builtins.float"} or len(given) != 1:
            return UNKNOWN
        value = self.constant(given[0].value)
        try:
            return float(value) if isinstance(value, (str, int, float)) else UNKNOWN
        except (ValueError, OverflowError):
            return UNKNOWN

    # --- names -----------------------------------------------------------------------------------

    def _of_name(
        self, node: ast.expr, question: Callable[[ast.expr], object], otherwise: object
    ) -> object:
        """Ask a question of what a name is bound to."""
        value = self.value_of(node)
        if value is None or self._depth >= _DEEPEST:
            return otherwise
        self._depth += 1
        try:
            return question(value)
        finally:
            self._depth -= 1

    def value_of(self, node: ast.expr) -> ast.expr | None:
        """Return what a name is certainly bound to, or None.

        That is what the last statement before it in the same block binds it to, or else the only
        statement in the module that does.
        """
        variable = self.module.variable(node) if isinstance(node, ast.Name) else None
        if variable is None or variable.has_import:
            return None
        bound = self._last_before(node, variable)
        if bound is None and len(variable.bindings) == 1:
            bound = self.module.syntax.statement(variable.bindings[0].node)
            if any(around is bound for around in self.module.syntax.ancestors(node)):
                return None
        return None if bound is None else _assigned(bound)

    def _last_before(self, node: ast.expr, variable: Variable) -> ast.stmt | None:
        """Return the statement of the node's block that was the last to bind a variable."""
        syntax = self.module.syntax
        here = syntax.statement(node)
        while isinstance(here, ast.If) and (whole := _if_of_elif(here, syntax.parent(here))):
            here = whole
        if here is None:
            return None
        if variable not in self._bound:
            bound = [(syntax.start(binding.node), binding.node) for binding in variable.bindings]
            self._bound[variable] = sorted(bound, key=lambda one: one[0])
        bound = self._bound[variable]
        position = bisect_left(bound, syntax.start(here), key=lambda one: one[0])
        if not position or bound[position - 1][0] < syntax.start(syntax.block(here)[0]):
            return None
        last = bound[position - 1][1]
        return next(
            one
            for one in (last, *syntax.ancestors(last))
            if isinstance(one, ast.stmt) and syntax.parent(one) is syntax.parent(here)
        )

    # --- dtypes ----------------------------------------------------------------------------------

    def is_float16(self, node: ast.expr | None) -> bool:
        """Return whether an expression is certainly a float16 tensor."""
        if isinstance(node, ast.Call):
            given = arguments(node)
            if isinstance(node.func, ast.Attribute) and node.func.attr == "half" and not given:
                return True
            return any(self._names_float16(a.value) for a in given if self._gives_dtype(node, a))
        if isinstance(node, ast.Name):
            return bool(self._of_name(node, self.is_float16, False))
        return False

    def _gives_dtype(self, call: ast.Call, argument: Argument) -> bool:
        if argument.keyword is not None:
            return argument.keyword == "dtype"
        makes_tensor = bool(self.module.qualified(call.func) & _TENSOR_MAKERS)
        return last_name(call.func) in _CONVERSIONS or makes_tensor

    def _names_float16(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Constant):
            return node.value in ("float16", "half")
        return any(
            name.startswith(_FRAMEWORKS) and name.endswith((".float16", ".half"))
            for name in self.module.qualified(node)
        )

    # --- tensors ---------------------------------------------------------------------------------

    def is_tensor(self, node: ast.expr) -> bool:
        """Return whether an expression is certainly a tensor: by how it is made, or used."""
        try:
            return self._is_tensor(node)
        except RecursionError:  # a sum of thousands of terms
            return False

    def _is_tensor(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Call):
            return self._makes_tensor(node)
        if isinstance(node, ast.BinOp):
            if isinstance(node.op, ast.MatMult):
                return True
            return self.is_tensor(node.left) or self.is_tensor(node.right)
        if isinstance(node, ast.Subscript):
            return self.is_tensor(node.value) or _has_slice(node)
        return isinstance(node, ast.Name) and self._name_is_tensor(node)

    def _makes_tensor(self, call: ast.Call) -> bool:
        last = last_name(call.func)
        for name in self.module.qualified(call.func):
            # Names of operator classes are capitalized, and calling one makes no tensor yet.
            if name in _TENSOR_MAKERS or (name.startswith(_TENSOR_MODULES) and last.islower()):
                return True
        return isinstance(call.func, ast.Attribute) and last in _TENSOR_METHODS

    def _name_is_tensor(self, name: ast.Name) -> bool:
        if name.id in _AXIS_NAMES:
            return False
        if self._of_name(name, self.is_tensor, False) or self._is_used_as_tensor(name):
            return True
        around = self.module.syntax.ancestors(name)
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
        function = next((node for node in around if isinstance(node, kinds)), None)
        return function is not None and function.name in _RUN and _takes(function, name)

    def _is_used_as_tensor(self, name: ast.Name) -> bool:
        variable = self.module.variable(name)
        if variable is None:
            return False
        if variable not in self._used_as_tensor:
            reads = self.module.scopes.reads_of(variable)
            users = [self.module.syntax.parent(read.node) for read in reads]
            self._used_as_tensor[variable] = any(
                isinstance(user, ast.Attribute) and user.attr in _TENSOR_ATTRIBUTES
                for user in users
            )
        return self._used_as_tensor[variable]


def _signed(operator: ast.unaryop, value: float) -> object:
    if isinstance(operator, ast.USub):
        return -value
    return value if isinstance(operator, ast.UAdd) else UNKNOWN


def _computed(operator: ast.operator, a: float, b: float) -> object:
    try:
        if isinstance(operator, ast.Pow):
            return float(a) ** float(b)
        if isinstance(operator, ast.Mult):
            return a * b
        if isinstance(operator, ast.Div):
            return a / b
    except ArithmeticError:
        pass
    return UNKNOWN


def _assigned(statement: ast.stmt) -> ast.expr | None:
    """Return the value of `name = value`."""
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        return statement.value if isinstance(statement.targets[0], ast.Name) else None
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        return statement.value
    return None


def _if_of_elif(statement: ast.If, parent: ast.AST | None) -> ast.If | None:
    """Return the `if` of an `elif`, which the tree holds as a statement of its own."""
    if isinstance(parent, ast.If) and parent.orelse == [statement]:
        return parent if statement.col_offset == parent.col_offset else None
    return None


def _has_slice(node: ast.Subscript) -> bool:
    if isinstance(node.slice, ast.Tuple):
        return len(node.slice.elts) > 1
    return isinstance(node.slice, ast.Slice)


def _takes(function: ast.FunctionDef | ast.AsyncFunctionDef, name: ast.Name) -> bool:
    """Return whether a name is a parameter of a method, other than self."""
    parameters = [*function.args.posonlyargs, *function.args.args]
    return any(parameter.arg == name.id for parameter in parameters[1:])
