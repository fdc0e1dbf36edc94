"""What expressions are plain to be: numbers, tensors, float16. Where it is not plain, nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import libcst as cst
from libcst import matchers as m
from libcst.metadata import Assignment

from portnorm.codemod.resolve import Module, last_name


class Unknown:
    """What stands for a value that is not plain."""


UNKNOWN = Unknown()

_DEEPEST = 20
"""Names that are bound to names, and so on."""

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
    """What expressions of a module are plain to be."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self._depth = 0

    # --- numbers ---------------------------------------------------------------------------------

    def constant(self, node: cst.BaseExpression | None) -> object:
        """Return the value of an expression of constants, or `UNKNOWN`."""
        if isinstance(node, (cst.Integer, cst.Float, cst.SimpleString)):
            return node.evaluated_value
        if isinstance(node, (cst.Tuple, cst.List)):
            return tuple(self.constant(element.value) for element in node.elements)
        if isinstance(node, (cst.UnaryOperation, cst.BinaryOperation)):
            return self._computed(node)
        if isinstance(node, cst.Call):
            return self._converted(node)
        if isinstance(node, (cst.Name, cst.Attribute)):
            return self._named(node)
        return UNKNOWN

    def number(self, node: cst.BaseExpression | None) -> int | float | None:
        """Return the value of an expression of constants if it is a number, otherwise None."""
        value = self.constant(node)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return value
        return None

    def _computed(self, node: cst.UnaryOperation | cst.BinaryOperation) -> object:
        if isinstance(node, cst.UnaryOperation):
            value = self.number(node.expression)
            return UNKNOWN if value is None else _signed(node.operator, value)
        a, b = self.number(node.left), self.number(node.right)
        return UNKNOWN if a is None or b is None else _operated(node.operator, a, b)

    def _converted(self, node: cst.Call) -> object:
        if self.module.qualified(node.func) != {".builtins.float"} or len(node.args) != 1:
            return UNKNOWN
        value = self.constant(node.args[0].value)
        try:
            return float(value) if isinstance(value, (str, int, float)) else UNKNOWN
        except (ValueError, OverflowError):
            return UNKNOWN

    def _named(self, node: cst.Name | cst.Attribute) -> object:
        if isinstance(node, cst.Name) and node.value in ("None", "True", "False"):
            return {"None": None, "True": True, "False": False}[node.value]
        if self.module.qualified(node) & _INFINITE:
            return math.inf
        return self._of_name(node, self.constant, UNKNOWN)

    # --- names -----------------------------------------------------------------------------------

    def _of_name(
        self,
        node: cst.BaseExpression,
        question: Callable[[cst.BaseExpression], object],
        otherwise: object,
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

    def value_of(self, node: cst.BaseExpression) -> cst.BaseExpression | None:
        """Return what a name is bound to where nothing else can be: None if that is not plain.

        That is what the last statement before it in the same block binds it to, or else the only
        one in the module that does.
        """
        if not isinstance(node, cst.Name):
            return None
        bound = self.module.assignments(node)
        if any(type(one) is not Assignment for one in bound):
            return None
        nodes = [one.node for one in bound if isinstance(one, Assignment)]
        before = self._last_before(node, nodes)
        if before is None and len(nodes) == 1:
            before = self._statement(nodes[0])
            if self._is_in(node, before):
                return None
        return None if before is None else _assigned(before)

    def _last_before(self, node: cst.CSTNode, bound: Sequence[cst.CSTNode]) -> cst.CSTNode | None:
        here = node
        for around in self.module.ancestors(node):
            if isinstance(around, (cst.IndentedBlock, cst.Module)):
                body = list(around.body)
                for statement in reversed(body[: body.index(here)]):  # type: ignore[arg-type]
                    if any(self._is_in(one, statement) for one in bound):
                        return statement
                return None
            here = around
        return None

    def _statement(self, node: cst.CSTNode) -> cst.CSTNode:
        around = self.module.ancestors(node)
        return next((n for n in around if isinstance(n, cst.BaseStatement)), node)

    def _is_in(self, node: cst.CSTNode, statement: cst.CSTNode) -> bool:
        (start, end), (first, last) = self.module.span(node), self.module.span(statement)
        return first <= start and end <= last

    # --- dtypes ----------------------------------------------------------------------------------

    def is_float16(self, node: cst.BaseExpression | None) -> bool:
        """Return whether an expression is plain to be a float16 tensor."""
        if isinstance(node, cst.Call):
            if m.matches(node, m.Call(func=m.Attribute(attr=m.Name("half")), args=[])):
                return True
            given = [arg.value for arg in node.args if self._gives_dtype(node, arg)]
            return any(self._names_float16(value) for value in given)
        if isinstance(node, cst.Name):
            return bool(self._of_name(node, self.is_float16, False))
        return False

    def _gives_dtype(self, call: cst.Call, arg: cst.Arg) -> bool:
        if arg.keyword is not None:
            return arg.keyword.value == "dtype"
        name = last_name(call.func)
        makes_tensor = bool(self.module.qualified(call.func) & _TENSOR_MAKERS)
        return name in _CONVERSIONS or makes_tensor

    def _names_float16(self, node: cst.BaseExpression) -> bool:
        if isinstance(node, cst.SimpleString):
            return node.evaluated_value in ("float16", "half")
        names = self.module.qualified(node)
        return any(
            name.startswith(_FRAMEWORKS) and name.endswith((".float16", ".half")) for name in names
        )

    # --- tensors ---------------------------------------------------------------------------------

    def is_tensor(self, node: cst.BaseExpression) -> bool:
        """Return whether an expression is plain to be a tensor: by how it is made, or used."""
        if isinstance(node, cst.Call):
            return self._makes_tensor(node)
        if isinstance(node, cst.BinaryOperation):
            if isinstance(node.operator, cst.MatrixMultiply):
                return True
            return self.is_tensor(node.left) or self.is_tensor(node.right)
        if isinstance(node, cst.Subscript):
            return self.is_tensor(node.value) or _has_slice(node)
        if isinstance(node, cst.Name):
            return self._name_is_tensor(node)
        return False

    def _makes_tensor(self, call: cst.Call) -> bool:
        last = last_name(call.func)
        for name in self.module.qualified(call.func):
            # Names of operator classes are capitalized, and calling one makes no tensor yet.
            if name in _TENSOR_MAKERS or (name.startswith(_TENSOR_MODULES) and last.islower()):
                return True
        return isinstance(call.func, cst.Attribute) and last in _TENSOR_METHODS

    def _name_is_tensor(self, name: cst.Name) -> bool:
        if name.value in _AXIS_NAMES:
            return False
        if self._of_name(name, self.is_tensor, False) or self._is_used_as_tensor(name):
            return True
        function = self._function(name)
        return function is not None and function.name.value in _RUN and _takes(function, name)

    def _is_used_as_tensor(self, name: cst.Name) -> bool:
        for one in self.module.assignments(name):
            for access in getattr(one, "references", ()):
                parent = self.module.parent(access.node)
                is_left = isinstance(parent, cst.Attribute) and parent.value is access.node
                if is_left and parent.attr.value in _TENSOR_ATTRIBUTES:  # type: ignore[attr-defined]
                    return True
        return False

    def _function(self, node: cst.CSTNode) -> cst.FunctionDef | None:
        around = self.module.ancestors(node)
        return next((n for n in around if isinstance(n, cst.FunctionDef)), None)


def _signed(operator: cst.BaseUnaryOp, value: float) -> object:
    if isinstance(operator, cst.Minus):
        return -value
    return value if isinstance(operator, cst.Plus) else UNKNOWN


def _operated(operator: cst.BaseBinaryOp, a: float, b: float) -> object:
    try:
        if isinstance(operator, cst.Power):
            return float(a) ** float(b)
        if isinstance(operator, cst.Multiply):
            return a * b
        if isinstance(operator, cst.Divide):
            return a / b
    except ArithmeticError:
        pass
    return UNKNOWN


def _assigned(statement: cst.CSTNode) -> cst.BaseExpression | None:
    """Return the value of `name = value`."""
    if not isinstance(statement, cst.SimpleStatementLine) or len(statement.body) != 1:
        return None
    (only,) = statement.body
    if isinstance(only, cst.Assign) and len(only.targets) == 1:
        return only.value if isinstance(only.targets[0].target, cst.Name) else None
    if isinstance(only, cst.AnnAssign) and isinstance(only.target, cst.Name):
        return only.value
    return None


def _has_slice(node: cst.Subscript) -> bool:
    return len(node.slice) > 1 or any(isinstance(one.slice, cst.Slice) for one in node.slice)


def _takes(function: cst.FunctionDef, name: cst.Name) -> bool:
    parameters = [*function.params.posonly_params, *function.params.params]
    return any(parameter.name.value == name.value for parameter in parameters[1:])
