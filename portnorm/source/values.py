"""What can be told of the value of an expression without running it.

A rule reports what is certain only, so whatever may have several values is `UNKNOWN` here.
"""

from __future__ import annotations

import ast
import functools
import math
from bisect import bisect_left
from collections.abc import Callable

from portnorm.source.names import Module, Variable, arguments, default_of, dotted, last_name


class Unknown:
    """The type of `UNKNOWN`, since None is a value of its own."""


UNKNOWN = Unknown()

_DEEPEST = 20
"""How many names that are bound to other names are followed; a circle of them has no end."""

_INFINITE = {"math.inf", "torch.inf", "numpy.inf", "mindspore.numpy.inf", "mindspore.ops.inf"}


class Values:
    """What can be told of the values of expressions in a module.

    Args:
        module: with its names resolved.
    """

    def __init__(self, module: Module) -> None:
        self.module = module
        self._depth = 0
        self._bound: dict[Variable, list[tuple[int, ast.AST]]] = {}
        self._attributes: dict[ast.ClassDef, dict[str, list[ast.expr | None]]] = {}

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

    def usual_number(self, node: ast.expr | None) -> int | float | None:
        """Return the number that an expression stands for unless somebody gives another one.

        So it may be a parameter with a default, or an attribute that its class assigns once.
        """
        value = self.number(node)
        if value is not None or node is None or self._depth >= _DEEPEST:
            return value
        given = self._default(node) if isinstance(node, ast.Name) else None
        given = given or self.bound_to(node)
        self._depth += 1
        try:
            return None if given is None else self.usual_number(given)
        finally:
            self._depth -= 1

    def _default(self, name: ast.Name) -> ast.expr | None:
        """Return the default of a parameter that nothing else binds."""
        variable = self.module.variable(name)
        if variable is None or len(variable.bindings) != 1:
            return None
        (parameter,) = (binding.node for binding in variable.bindings)
        return default_of(parameter, self.module.syntax.parent(parameter))

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

    def bound_to(self, node: ast.expr) -> ast.expr | None:
        """Return what a name is bound to, or an attribute by its class; None if it is not known.

        Unlike a name, an attribute can be assigned from elsewhere, too.
        """
        if not isinstance(node, ast.Attribute):
            return self.value_of(node)
        owner = self._owner(node)
        values = [] if owner is None else self._attributes_of(owner).get(node.attr, [])
        return values[0] if len(values) == 1 else None

    def _owner(self, node: ast.Attribute) -> ast.ClassDef | None:
        """Return the class of this module that an attribute belongs to: of self, or of its name."""
        if not isinstance(node.value, ast.Name):
            return None
        if node.value.id in ("self", "cls"):
            around = self.module.syntax.ancestors(node)
            return next((one for one in around if isinstance(one, ast.ClassDef)), None)
        variable = self.module.variable(node)
        bound = [binding.node for binding in variable.bindings] if variable is not None else []
        return bound[0] if len(bound) == 1 and isinstance(bound[0], ast.ClassDef) else None

    def _attributes_of(self, owner: ast.ClassDef) -> dict[str, list[ast.expr | None]]:
        """Return what a class assigns: to attributes of self, and to names in its own body."""
        if owner not in self._attributes:
            found = self._attributes[owner] = {}
            for node in ast.walk(owner):
                if isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Store):
                    by = self.module.syntax.parent(node)
                    in_body = isinstance(node, ast.Name) and by in owner.body
                    if in_body or (
                        isinstance(node, ast.Attribute) and dotted(node.value) == "self"
                    ):
                        value = by.value if isinstance(by, (ast.Assign, ast.AnnAssign)) else None
                        found.setdefault(last_name(node), []).append(value)
        return self._attributes[owner]

    @functools.cached_property
    def methods(self) -> frozenset[str]:
        """The names of all methods that the classes of the module define."""
        classes = self.module.syntax.all_of(ast.ClassDef)
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
        return frozenset(one.name for c in classes for one in c.body if isinstance(one, kinds))

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
