"""Normalization that is written by hand: x divided by a norm of x, in one of the known forms.

What is divided, and by what, is told from the tree: operators, methods, functions, objects of
MindSpore's operator classes, and names that are assigned just before. A division by the norm of
another tensor, along another dim than the one that is broadcast, or with another p, is none.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from portnorm.conventions import FORMS, Convention, Form
from portnorm.source.divisors import Divisor, Reader, is_called_epsilon, is_plain, same
from portnorm.source.names import Module, last_name
from portnorm.source.values import Values

_FRAMEWORKS = frozenset({"torch", "mindspore"})
_WORDS = re.compile(rb"norm\s*\(|Norm\b|[sS]qrt|\.5\b")
_BLOCKS_GRADIENT = "NaN is the gradient of a zero vector as it is written, and not of the call"


@dataclass(frozen=True)
class ByHand:
    """A normalization that is written by hand.

    Attributes:
        node: the division, or the multiplication by an inverse.
        form: which form it is.
        x: the vectors.
        dim: along which; None for all of x as one vector.
        eps: the epsilon as it is written, None if there is none.
        number: its value where that is known.
        framework: whose tensors they are, "torch" or "mindspore"; "" if both are imported.
        caveat: why the counterpart of the form is not exactly what is written; "" if it is.
        gradient_at_zero: as in `Form`, for what is written here.
        assigned: the statements before it that compute what is divided by.
    """

    node: ast.expr | ast.AugAssign
    form: Form
    x: ast.expr
    dim: ast.expr | None
    eps: ast.expr | None
    number: float | None
    framework: str
    caveat: str
    gradient_at_zero: str
    assigned: tuple[ast.stmt, ...] = ()

    @property
    def convention(self) -> Convention:
        """The form with its epsilon."""
        if self.eps is None:
            return Convention(self.form)
        return Convention(self.form, ast.unparse(self.eps) if self.number is None else self.number)

    def counterpart(self, source: Module) -> tuple[str, str] | None:
        """Return the function with the same numbers, and what to give it; None if there is none."""
        if not self.form.counterpart or self.caveat:
            return None
        text = source.syntax.source
        dim = "None" if self.dim is None else text(self.dim)
        eps = "0.0" if self.eps is None else text(self.eps)
        if self.form.name == "max_sum" and self.framework == "mindspore":
            return "l2_normalize", f"{text(self.x)}, axis={dim}, epsilon={eps}"
        if self.form.name == "max_sum":  # torch keeps NaN, as normalize does and L2Normalize not
            eps = f"({eps}) ** 0.5" if self.number is None else repr(math.sqrt(self.number))
        return "normalize", f"{text(self.x)}, dim={dim}, eps={eps}"


def might_contain(source: bytes) -> bool:
    """Return whether the bytes of a file have the words of a norm, or of a root.

    >>> might_contain(b"import torch; y = x / x.norm()"), might_contain(b"import torch")
    (True, False)
    """
    return bool(_WORDS.search(source)) and any(name.encode() in source for name in _FRAMEWORKS)


def by_hand(values: Values) -> Iterator[ByHand]:
    r"""Yield the normalizations that a module has by hand, in the order of the text.

    >>> module = Module("import torch\ny = x / x.norm(dim=1, keepdim=True)\n")
    >>> (found,) = by_hand(Values(module))
    >>> found.form.formula, found.counterpart(module)
    ('x / norm', ('normalize', 'x, dim=1, eps=0.0'))
    """
    module, syntax = values.module, values.module.syntax
    imported = {b.origin.partition(".")[0] for b in module.scopes.imports} & _FRAMEWORKS
    if not imported:
        return
    found = [*_divisions(values, imported)]
    for node, x, divisor in sorted(found, key=lambda one: syntax.start(one[0])):
        named = {origin.partition(".")[0] for origin in divisor.origins}
        if len(named) <= 1 and divisor.is_tensor:
            framework = (named or imported) if len(named or imported) == 1 else {""}
            yield _found(node, x, divisor, *framework)


def _found(node: ast.expr | ast.AugAssign, x: ast.expr, divisor: Divisor, framework: str) -> ByHand:
    form = FORMS[divisor.form or "norm"]
    caveat = _caveat_of_call(node, divisor) or _caveat(divisor, form, framework)
    return ByHand(
        node,
        form,
        x,
        divisor.dim,
        divisor.eps,
        divisor.number,
        framework,
        caveat,
        "NaN" if _is_nan_at_zero(divisor, form, framework) else form.gradient_at_zero,
        divisor.assigned,
    )


def _is_nan_at_zero(divisor: Divisor, form: Form, framework: str) -> bool:
    """Return whether the infinite derivative of a root at 0 makes the gradient of zeros NaN."""
    is_root = divisor.is_root or framework == "mindspore"
    return form.divisor == "norm" and is_root and not divisor.epsilon_is_hidden


def _caveat_of_call(node: ast.expr | ast.AugAssign, divisor: Divisor) -> str:
    """Say why a call cannot stand where the division stands."""
    if isinstance(node, ast.AugAssign) or (
        isinstance(node, ast.Call) and last_name(node.func).endswith("_")
    ):
        return "it changes the tensor in place"
    if not is_plain(divisor.x):
        return "what is divided is computed twice"
    eps = divisor.eps
    if eps is None or divisor.number is not None or (is_called_epsilon(eps) and is_plain(eps)):
        return ""
    return "its bound may be something else than a number"


def _caveat(divisor: Divisor, form: Form, framework: str) -> str:
    """Say what is not exactly as in the counterpart, as measured on CPU builds of both."""
    last = {origin.rpartition(".")[2] for origin in divisor.origins}
    if divisor.keeps is None:
        return "it is the same for two dims only, or for a dim that is not known here"
    if divisor.epsilon_is_hidden:
        return (
            "MindSpore's LpNorm, which computes this norm, has another gradient below its epsilon"
        )
    if any(origin.startswith("mindspore.mint") and "norm" in origin for origin in divisor.origins):
        return "it was not measured: MindSpore has no kernel of it on a CPU"
    if form.name == "max_norm" and (not framework or _is_nan_at_zero(divisor, form, framework)):
        return _BLOCKS_GRADIENT
    if form.name == "max_sum" and framework != "torch":
        if last & {"maximum", "Maximum", "clip_by_value"} or not framework:
            return "MindSpore's maximum makes the whole gradient NaN where one element is NaN"
        if divisor.dim is None or isinstance(divisor.dim, (ast.Tuple, ast.List)):
            return "L2Normalize takes one axis"
    return ""


# --- divisions ------------------------------------------------------------------------------------


def _divisions(
    values: Values, imported: set[str]
) -> Iterator[tuple[ast.expr | ast.AugAssign, ast.expr, Divisor]]:
    """Yield what is divided by a norm of itself, or multiplied by its inverse."""
    reader = Reader(values, imported)
    pairs: list[tuple[ast.expr | ast.AugAssign, ast.expr, ast.expr, bool]] = []
    syntax = values.module.syntax
    for binary in syntax.all_of(ast.BinOp):
        if isinstance(binary.op, ast.Div):
            pairs.append((binary, binary.left, binary.right, False))
        elif isinstance(binary.op, ast.Mult):
            pairs.append((binary, binary.left, binary.right, True))
            pairs.append((binary, binary.right, binary.left, True))
    for assigned in syntax.all_of(ast.AugAssign):
        if isinstance(assigned.op, (ast.Div, ast.Mult)):
            inverse = isinstance(assigned.op, ast.Mult)
            pairs.append((assigned, assigned.target, assigned.value, inverse))
    for call in syntax.all_of(ast.Call):
        done = reader.operation(call)
        if done is not None and done.name in ("div", "mul") and {"x", "other"} <= done.given.keys():
            x, other = done.given["x"], done.given["other"]
            pairs.append((call, x, other, done.name == "mul"))
    for node, x, other, inverse in pairs:
        divisor = reader.divisor(other)
        if divisor is None or divisor.inverse != inverse or divisor.keeps is False:
            continue
        if isinstance(x, ast.BinOp) and isinstance(x.op, ast.Mult) and values.number(x.left) == 1:
            x = x.right  # `1. * x / norm`
        # What is computed from x and its mean would be layer normalization.
        is_rms = divisor.form == "rms" and divisor.step == "root mean" and is_plain(x)
        is_form = divisor.step == "norm" or is_rms
        if is_form and same(x, divisor.x):
            yield node, x, divisor
