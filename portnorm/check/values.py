"""What can be told of tensors without running code: their dtype, and whether something is one.

A rule reports what is certain only.
"""

from __future__ import annotations

import ast

from portnorm.source import values
from portnorm.source.names import Argument, Module, Variable, arguments, last_name

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


class Values(values.Values):
    """What can be told of the values of expressions in a module, and of its tensors.

    Args:
        module: with its names resolved.
    """

    def __init__(self, module: Module) -> None:
        super().__init__(module)
        self._used_as_tensor: dict[Variable, bool] = {}

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


def _has_slice(node: ast.Subscript) -> bool:
    if isinstance(node.slice, ast.Tuple):
        return len(node.slice.elts) > 1
    return isinstance(node.slice, ast.Slice)


def _takes(function: ast.FunctionDef | ast.AsyncFunctionDef, name: ast.Name) -> bool:
    """Return whether a name is a parameter of a method, other than self."""
    parameters = [*function.args.posonlyargs, *function.args.args]
    return any(parameter.arg == name.id for parameter in parameters[1:])
