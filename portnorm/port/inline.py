"""The call goes to operators of the framework itself, in a form that is known to be right.

On torch, `F.normalize` with eps = sqrt(epsilon) is. On MindSpore, a small function is put into the
module that keeps NaN and the gradient: `ops.L2Normalize` and `ops.maximum` would not. MindSpore's
mint has torch's function, by its name and with its arguments.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Mapping

from portnorm.port.rewrite import Refused, Rewrite, Target
from portnorm.semantics import L2NORMALIZE, NORMALIZE
from portnorm.source.edits import Edit
from portnorm.source.names import PARAMETERS, Argument, Module, Use, argument_span, arguments, bind

HELPER = "_normalize"
_SMALLEST_EPS = 1e-18
"""Its square is a normal number of float32."""

DEFINITION = f"""\
def {HELPER}(x, dim={NORMALIZE.axis}, eps={NORMALIZE.eps}):
    \"\"\"Divide by the 2-norm as torch.nn.functional.normalize does; for float32 and float64.\"\"\"
    square = (x * x).sum(dim, keepdims=True)
    unknown = mindspore.ops.isnan(square)
    above = square >= eps * eps
    norm = mindspore.ops.sqrt(mindspore.ops.select(above, square, mindspore.ops.ones_like(square)))
    norm = mindspore.ops.select(above, norm, mindspore.ops.full_like(norm, eps))
    return x / mindspore.ops.select(unknown, square, norm)
"""


def rewrite(module: Module, use: Use, to: Target, unsafe: bool) -> Rewrite | Refused:
    """Rewrite the call, or say why there is no form that is right."""
    if use.call is None:
        return Refused("PN207", "no inline form for a function that is named and not called")
    if "#" in module.syntax.source(use.call):
        return Refused("PN207", "no inline form that keeps the comment within the call")
    if to == "mindspore":
        return _on_mindspore(module, use, use.call, unsafe)
    if use.function == "normalize":
        return renamed(module, use, "torch.nn.functional")  # mint's is torch's, with its arguments
    return _on_torch(module, use, use.call, unsafe)


def on_mint(module: Module, use: Use, to: Target, unsafe: bool) -> Rewrite | Refused:
    """Put MindSpore's own copy of torch's function there, which has no kernel on CPUs."""
    given = bind(use.call, PARAMETERS[use.function]).arguments if use.call is not None else {}
    if "out" in given:
        return Refused("PN205", "mint's normalize takes no out=")
    return renamed(module, use, "mindspore.mint.nn.functional")


def renamed(module: Module, use: Use, owner: str) -> Rewrite:
    """Put the function of another module there; arguments stay as they are."""
    edit = Edit(*module.syntax.span(use.node), f"{owner}.normalize")
    return Rewrite((edit,), (owner,), gone=(use.node,))


# --- torch ----------------------------------------------------------------------------------------


def _on_torch(module: Module, use: Use, call: ast.Call, unsafe: bool) -> Rewrite | Refused:
    given = bind(call, PARAMETERS["l2_normalize"]).arguments
    epsilon = _number(given.get("epsilon"), L2NORMALIZE.eps)
    if epsilon is None:
        return _not_a_number("epsilon")
    if isinstance(epsilon, int) or not 0 < epsilon < math.inf:
        return Refused("PN207", "no inline form for an epsilon that is no positive float")
    axis = _axis(module, call, given.get("axis"), unsafe)
    if axis is None:
        return Refused(
            "PN207", "the axis is not known: it may be a tuple (rewritten with --unsafe)"
        )
    more = f"dim={axis}, eps={math.sqrt(epsilon)!r}"
    applied = module.syntax.called(call)
    if applied is not None:
        edits = _call(module, call, applied, more)
        return Rewrite(edits, ("torch.nn.functional",), gone=(call.func,))
    text = f"functools.partial(torch.nn.functional.normalize, {more})"
    edit = Edit(*module.syntax.span(call), text)
    return Rewrite((edit,), ("functools", "torch.nn.functional"), gone=(call.func,))


def _axis(module: Module, call: ast.Call, given: Argument | None, unsafe: bool) -> str | None:
    """Return the axis as the text of an int; None if it may be something else."""
    if given is None:
        return str(L2NORMALIZE.axis)
    value = _literal(given)
    if isinstance(value, (tuple, list)) and len(value) == 1:
        (value,) = value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not unsafe or value is not None:
        return None
    start, end = argument_span(module.syntax, call, arguments(call).index(given))
    text = module.syntax.text[start:end]
    return text.partition("=")[2].lstrip() if given.keyword else text


def _call(module: Module, made: ast.Call, applied: ast.Call, more: str) -> tuple[Edit, ...]:
    """Turn `made(x)` into a call with x and more arguments; what stands within x stays."""
    (start, _), (_, end) = module.syntax.span(made), module.syntax.span(applied)
    x_start, x_end = module.syntax.span(arguments(applied)[0].value)
    before = Edit(start, x_start, "torch.nn.functional.normalize(")
    return before, Edit(x_end, end, f", {more})")


# --- MindSpore ------------------------------------------------------------------------------------


def _on_mindspore(module: Module, use: Use, call: ast.Call, unsafe: bool) -> Rewrite | Refused:
    bound = bind(call, PARAMETERS["normalize"])
    given = bound.arguments
    if bound.unknown or "out" in given or "input" not in given:
        return Refused("PN207", "no inline form for arguments that are not known, or for out=")
    p, eps = _number(given.get("p"), 2.0), _number(given.get("eps"), NORMALIZE.eps)
    for parameter, number in (("p", p), ("eps", eps)):
        if number is None:
            return _not_a_number(parameter)
    if p != 2:
        return Refused("PN207", "no inline form for p other than 2")
    if eps is None or not _SMALLEST_EPS <= eps < 1:
        return Refused("PN207", f"no inline form for an eps that is not from {_SMALLEST_EPS} to 1")
    dim = given.get("dim")
    known = dim is None or _literal(dim) is not None
    if not known and not unsafe:
        return Refused("PN207", "the dim is not known (rewritten with --unsafe)")
    if HELPER in module.scopes.bindings and DEFINITION not in module.text.replace("\r\n", "\n"):
        return Refused("PN203", f"the name {HELPER} means something else in this module")
    name = Edit(*module.syntax.span(call.func), HELPER)
    edits = (name, *_input_by_name(module, given["input"]), *_without_p(module, call, given))
    return Rewrite(edits, ("mindspore",), DEFINITION, (call.func,))


def _input_by_name(module: Module, given: Argument) -> Iterator[Edit]:
    """The first parameter of the helper has another name than that of the function."""
    if given.keyword is not None:
        start = module.syntax.start(given.node)
        end = module.syntax.place(start + len(given.keyword))
        yield Edit(module.syntax.place(start), end, "x")


def _without_p(module: Module, call: ast.Call, given: Mapping[str, Argument]) -> Iterator[Edit]:
    """Take p out of the arguments, and name those that came after it."""
    p = given.get("p")
    if p is None:
        return
    listed, syntax = arguments(call), module.syntax
    position = listed.index(p)
    start, end = argument_span(syntax, call, position)
    if position + 1 < len(listed):
        end = argument_span(syntax, call, position + 1)[0]
    else:
        start = argument_span(syntax, call, position - 1)[1]
    yield Edit(syntax.place(start), syntax.place(end), "")
    for name in ("dim", "eps"):
        if name in given and given[name].keyword is None:
            place = syntax.place(argument_span(syntax, call, listed.index(given[name]))[0])
            yield Edit(place, place, f"{name}=")


# --- literals -------------------------------------------------------------------------------------


def _not_a_number(parameter: str) -> Refused:
    why = f"no inline form for a value of {parameter} that is not written as a number in the call"
    return Refused("PN207", why)


def _literal(given: Argument) -> object:
    """Return the value of a literal; None for anything else."""
    try:
        return ast.literal_eval(given.value)
    except (ValueError, TypeError, RecursionError):
        return None


def _number(given: Argument | None, default: float) -> float | None:
    """Return a number that is given as a literal; None for anything else."""
    if given is None:
        return default
    value = _literal(given)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    return None
