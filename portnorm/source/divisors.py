"""What expressions are on the way from a tensor to what it is divided by.

From `(x * x).sum(1)` to its root, to a bound of that, to one over it: each step is read from the
tree, and a step that is not known ends the way.
"""

from __future__ import annotations

import ast
import math
import re
from dataclasses import dataclass, replace

from portnorm.source.names import last_name
from portnorm.source.operations import Operation, operation
from portnorm.source.values import Values


@dataclass(frozen=True)
class Divisor:
    """A part of a divisor, on the way from x to its norm.

    Attributes:
        step: "square", "sum", "mean", "norm", "root mean".
        x: the tensor.
        dim: the dim that is gone; None if none is, or all are.
        keeps: whether the result is broadcast along that dim: True, False, or None for not yet.
        eps: its epsilon, if it has one.
        number: its value where that is known.
        form: the form so far, "" without an epsilon.
        inverse: whether it is one over the norm.
        is_root: whether the norm is the root of a sum.
        origins: the functions in it by their names in full.
        is_tensor: whether it is certainly no array of NumPy.
        assigned: the statements that names were followed to.
        epsilon_is_hidden: whether MindSpore's operator has an epsilon of its own.
    """

    step: str
    x: ast.expr
    dim: ast.expr | None = None
    keeps: bool | None = True
    eps: ast.expr | None = None
    number: float | None = None
    form: str = ""
    inverse: bool = False
    is_root: bool = False
    origins: tuple[str, ...] = ()
    is_tensor: bool = False
    assigned: tuple[ast.stmt, ...] = ()
    epsilon_is_hidden: bool = False


def same(a: ast.expr, b: ast.expr) -> bool:
    """Return whether two expressions are written alike."""
    try:
        return ast.unparse(a) == ast.unparse(b)
    except RecursionError:  # a sum of thousands of terms
        return False


class Reader:
    """Reads divisors in the expressions of a module."""

    def __init__(self, values: Values, imported: set[str]) -> None:
        self.values = values
        self._imported = imported
        self._operations: dict[ast.Call, Operation | None] = {}
        self._depth = 0

    def operation(self, call: ast.Call) -> Operation | None:
        """Return what a call computes."""
        if call not in self._operations:
            self._operations[call] = operation(self.values, call)
        return self._operations[call]

    def divisor(self, node: ast.expr) -> Divisor | None:
        """Return what an expression is on the way from a tensor to its norm, or None."""
        if self._depth > _DEEPEST:
            return None
        self._depth += 1
        try:
            if isinstance(node, ast.Name):
                return self._of_name(node)
            if isinstance(node, ast.BinOp):
                return self._of_operator(node)
            if isinstance(node, ast.Subscript):
                inner = self.divisor(node.value)
                return inner and _unsqueezed(inner, _new_axis(node.slice))
            done = self.operation(node) if isinstance(node, ast.Call) else None
            return None if done is None else self._of_operation(done)
        finally:
            self._depth -= 1

    def _of_name(self, name: ast.Name) -> Divisor | None:
        """Follow a name to what was assigned in the same block, if nothing came between."""
        module, value = self.values.module, self.values.value_of(name)
        variable, syntax = module.variable(name), module.syntax
        divisor = None if value is None else self.divisor(value)
        if value is None or divisor is None or variable is None:
            return None
        if module.scopes.scope_of[name] is not variable.scope:
            return (
                None  # another function, where the vectors may be others, or change before it runs
            )
        here, there = syntax.statement(name), syntax.statement(value)
        if here is None or there is None:
            return None
        meant = {name.id}.union(*(_names(one) for one in (divisor.x, divisor.dim, divisor.eps)))
        if _may_change(syntax.block(here), there, here, meant):
            return None
        return replace(divisor, assigned=(*divisor.assigned, there))

    def _of_operator(self, node: ast.BinOp) -> Divisor | None:
        left, right = node.left, node.right
        if isinstance(node.op, ast.Pow):
            return self._power(left, self.values.number(right))
        if isinstance(node.op, ast.Mult) and is_plain(left) and same(left, right):
            return Divisor("square", left)
        if isinstance(node.op, ast.Add):
            return self._plus(left, right) or self._plus(right, left)
        if isinstance(node.op, ast.Div) and self.values.number(left) == 1:
            return _inverse(self.divisor(right))
        return None

    def _of_operation(self, done: Operation) -> Divisor | None:
        given = done.given
        x = given.get("x")
        result: Divisor | None = None
        if x is None:
            return None
        if done.name == "norm":
            result = self._norm(done, x)
        elif done.name == "square":
            result = Divisor("square", x)
        elif done.name == "pow":
            result = self._power(x, self.values.number(given.get("exponent")))
        elif done.name == "mul" and "other" in given and same(x, given["other"]):
            result = Divisor("square", x)
        elif done.name == "add" and "other" in given:
            result = self._plus(x, given["other"])
        else:
            inner = self.divisor(x)
            result = inner and self._step(done, inner)
        if result is None:
            return None
        origins = (*result.origins, done.origin) if done.origin else result.origins
        return replace(result, origins=origins, is_tensor=result.is_tensor or done.is_tensor)

    def _step(self, done: Operation, inner: Divisor) -> Divisor | None:
        """Take one step further towards the norm."""
        given = done.given
        if done.name in ("sum", "mean") and inner.step == "square":
            return self._reduced(replace(inner, step=done.name), given)
        if done.name == "sqrt":
            return _root(inner)
        if done.name == "rsqrt":
            return _inverse(_root(inner))
        if done.name == "reciprocal":
            return _inverse(inner)
        if done.name == "clamp" and given.keys() == {"x", "min"}:
            return self._bounded(inner, given["min"])
        if done.name == "maximum" and "other" in given:
            return self._bounded(inner, self._number_in_tensor(done, given["other"]))
        if done.name == "unsqueeze":
            place = self.values.number(given.get("dim"))
            return _unsqueezed(inner, None if place is None else int(place))
        if done.name == "reshape" and len(given) == 3:
            shape = [self.values.number(given[name]) for name in ("rows", "columns")]
            column = _unsqueezed(inner, 1) if shape == [-1, 1] else None
            return column and replace(column, keeps=None)
        if done.name == "expand_as" and inner.keeps and same(inner.x, given.get("other", inner.x)):
            return inner
        return None

    def _power(self, base: ast.expr, exponent: float | None) -> Divisor | None:
        if exponent == 2:
            return Divisor("square", base)
        if exponent == -1:
            return _inverse(self.divisor(base))
        if exponent not in (0.5, -0.5):
            return None
        root = _root(self.divisor(base))
        return root if exponent > 0 else _inverse(root)

    # --- norms and sums --------------------------------------------------------------------------

    def _norm(self, done: Operation, x: ast.expr) -> Divisor | None:
        """Return the 2-norm of a tensor; None for other norms, and for those of matrices."""
        given = done.given
        dim, p = given.get("dim"), given.get("p")
        order = self.values.constant(p)
        several = isinstance(dim, (ast.Tuple, ast.List))
        is_flat = done.origin in ("torch.norm", "torch.functional.norm") or (
            done.origin.endswith((".vector_norm", ".LpNorm"))
            or (not done.origin and self._imported == {"torch"})
        )
        if p is not None and order not in (2, "fro"):
            return None
        if p is not None and not done.origin and len(self._imported) > 1:
            return None  # 2 does not mean the same in both frameworks
        if order == "fro" and not (is_flat or several):
            return None
        if order == 2 and not is_flat and (dim is None or several):
            return None  # `torch.linalg.norm` and MindSpore's take it for that of a matrix
        result = self._reduced(Divisor("norm", x), given)
        if result is not None and self._hides_epsilon(done, order):
            return replace(
                result,
                form="max_norm",
                eps=ast.Constant(HIDDEN_EPSILON),
                number=HIDDEN_EPSILON,
                epsilon_is_hidden=True,
            )
        return result

    def _hides_epsilon(self, done: Operation, order: object) -> bool:
        """Return whether it is MindSpore's LpNorm, as its `norm` is where 2 is given as an int."""
        if done.origin.endswith(".LpNorm"):
            return True
        is_norm = done.origin.endswith("ops.norm") or not done.origin
        return is_norm and "p" in done.given and type(order) is int and self._is_mindspore(done)

    def _is_mindspore(self, done: Operation) -> bool:
        return "mindspore" in (done.framework, *(() if done.origin else self._imported))

    def _reduced(self, result: Divisor, given: dict[str, ast.expr]) -> Divisor | None:
        """Set the dim that is gone, and whether it is kept as one of size 1."""
        dim = given.get("dim")
        if isinstance(dim, ast.Constant) and dim.value is None:
            dim = None
        keeps = self.values.constant(given.get("keepdim", ast.Constant(False)))
        if keeps not in (True, False):
            return None
        kept = bool(keeps) or dim is None or self.values.number(dim) == 0
        return replace(result, dim=dim, keeps=kept)

    # --- epsilon ---------------------------------------------------------------------------------

    def _plus(self, left: ast.expr, right: ast.expr) -> Divisor | None:
        """Add an epsilon, which is a small number, or is called so."""
        number = self.values.number(right)
        if number is None and not is_called_epsilon(right):
            return None
        if number is not None and number > _LARGEST_ADDED:
            return None
        inner = self.divisor(left)
        if inner is None or inner.form or inner.inverse:
            return None
        forms = {"norm": "norm_plus", "sum": "sum_plus", "mean": "rms"}
        return self._with_epsilon(inner, forms, right, number)

    def _bounded(self, inner: Divisor, bound: ast.expr | None) -> Divisor | None:
        if bound is None or inner.form or inner.inverse:
            return None
        number = self.values.number(bound)
        if number == 0:
            return inner
        return self._with_epsilon(inner, {"norm": "max_norm", "sum": "max_sum"}, bound, number)

    def _with_epsilon(
        self, inner: Divisor, forms: dict[str, str], eps: ast.expr, number: float | None
    ) -> Divisor | None:
        if inner.step not in forms or (number is not None and not 0 < number < math.inf):
            return None
        known = None if number is None else float(number)
        return replace(inner, form=forms[inner.step], eps=eps, number=known)

    def _number_in_tensor(self, done: Operation, bound: ast.expr) -> ast.expr | None:
        """Return the number that a tensor of one holds; MindSpore takes the number itself, too."""
        if isinstance(bound, ast.Call):
            made = self.values.module.qualified(bound.func)
            if made & {"torch.tensor", "mindspore.Tensor", "mindspore.tensor"} and bound.args:
                return bound.args[0]
            full = self.operation(bound)
            return None if full is None else full.given.get("value")
        takes_numbers = done.framework == "mindspore" and not done.origin.endswith(".max")
        return bound if takes_numbers else None


HIDDEN_EPSILON = 1e-12
"""The epsilon of LpNorm, below which it holds norms to be no shorter."""

_LARGEST_ADDED = 0.1
"""What is larger is added to squash vectors, and not to keep from dividing by 0."""

_DEEPEST = 20
"""How deep names and calls are followed; a circle of names has no end."""


def _root(inner: Divisor | None) -> Divisor | None:
    if inner is None or inner.step not in ("sum", "mean") or inner.inverse:
        return None
    step = "norm" if inner.step == "sum" else "root mean"
    return replace(inner, step=step, is_root=True)


def _inverse(inner: Divisor | None) -> Divisor | None:
    if inner is None or inner.inverse or inner.step not in ("norm", "root mean"):
        return None
    return replace(inner, inverse=True)


def _unsqueezed(inner: Divisor, place: int | None) -> Divisor | None:
    """Put the dim back: where it was, or, with two dims, at the end instead of at 1."""
    if inner.keeps is not False or place is None or inner.dim is None:
        return None
    try:
        dim = ast.literal_eval(inner.dim)
    except ValueError:
        return replace(inner, keeps=None)
    if dim == place:
        return replace(inner, keeps=True)
    ends = (1, -1)
    return replace(inner, keeps=None) if dim in ends and place in ends else None


def _new_axis(index: ast.expr) -> int | None:
    """Return where `[:, None]` or `[..., None]` puts a dim."""
    parts = index.elts if isinstance(index, ast.Tuple) else [index]
    shown = [ast.unparse(part) for part in parts]
    shown = ["None" if part.endswith("newaxis") else part for part in shown]
    if shown.count("None") != 1 or set(shown) - {"None", ":", "..."}:
        return None
    place = shown.index("None")
    if "..." not in shown:
        return place
    return place - len(shown) if shown[0] == "..." else None


def is_called_epsilon(node: ast.expr) -> bool:
    """Return whether the name of something says that it is an epsilon; `finfo(...).tiny` is one."""
    name = last_name(node)
    return bool(re.search(r"(?:^|_)eps|E(?:ps|PS)", name)) or name == "tiny"


def is_plain(node: ast.expr) -> bool:
    """Return whether reading an expression once is as good as reading it twice."""
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        if isinstance(node, ast.Subscript) and any(
            isinstance(one, (ast.Call, ast.NamedExpr, ast.Await)) for one in ast.walk(node.slice)
        ):
            return False
        node = node.value
    return isinstance(node, ast.Name)


def _names(node: ast.expr | None) -> set[str]:
    parts = ast.walk(node) if node is not None else ()
    return {one.id for one in parts if isinstance(one, ast.Name)}


def _may_change(block: list[ast.stmt], first: ast.stmt, last: ast.stmt, names: set[str]) -> bool:
    """Return whether one of the names may mean something else in a statement than in another.

    It may if a statement between the two as much as mentions it.
    """
    if first not in block or block.index(first) >= block.index(last):
        return True
    between = block[block.index(first) + 1 : block.index(last)]
    return any(
        isinstance(node, ast.Name) and node.id in names
        for statement in between
        for node in ast.walk(statement)
    )
