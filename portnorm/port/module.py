"""Rewrite the calls of one framework's function for the other framework, in the text of a module.

The text is changed in place, by small edits; what is not edited stays as it is, byte for byte. A
call is rewritten where the result is known to be right, and reported where it is not.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from portnorm.port import adapter, by_hand, inline
from portnorm.port.imports import imports_to_add, imports_to_remove
from portnorm.port.rewrite import Refused, Rewrite, Style, Target
from portnorm.source.edits import Edit, apply
from portnorm.source.findings import Ignores
from portnorm.source.names import FRAMEWORKS, PARAMETERS, Argument, Module, Use, arguments, bind

_STYLES = {"adapter": adapter.rewrite, "inline": inline.rewrite}
_FROM: dict[Target, str] = {"mindspore": "torch", "torch": "mindspore"}


class Reported(NamedTuple):
    """A call that is left to people.

    Attributes:
        line: from 1.
        column: likewise.
        end_line: the last line of the call.
        code: why, by its code.
        message: why, in a sentence.
    """

    line: int
    column: int
    end_line: int
    code: str
    message: str


@dataclass(frozen=True)
class Ported:
    """A text after the port.

    Attributes:
        text: the new text; the old one where nothing was rewritten.
        rewritten: how many places name the adapter now.
        reported: what was left to people.
        ignored: how many places a comment silenced.
        untouched: how many other calls there are of these names, such as torchvision's normalize.
    """

    text: str
    rewritten: int = 0
    reported: tuple[Reported, ...] = ()
    ignored: int = 0
    untouched: int = 0


def port_source(
    text: str,
    *,
    to: Target,
    style: Style = "adapter",
    unsafe: bool = False,
    hand_written: bool = False,
) -> Ported:
    r"""Return the text with its calls of the other framework's function rewritten.

    Args:
        text: of a module.
        to: the framework that the module moves to.
        style: "adapter": calls go to portnorm; "inline": to operators of the framework.
        unsafe: whether to make edits that rest on a guess, too.
        hand_written: whether to rewrite normalization, too, that is written by hand.

    Raises:
        NotPythonError: the running Python does not take the text.

    >>> text = "import torch.nn.functional as F\ny = F.normalize(x)\n"
    >>> ported = port_source(text, to="mindspore")
    >>> print(ported.text, end="")
    import portnorm.mindspore
    y = portnorm.mindspore.normalize(x)
    """
    module = Module(text)
    ignores = Ignores(text)
    outcomes: list[tuple[ast.AST, Rewrite | Refused]] = []
    untouched = module.others
    for use in module.uses:
        if FRAMEWORKS[use.function] == _FROM[to]:
            outcomes.append((use.call or use.node, _outcome(module, use, to, style, unsafe)))
        else:
            untouched += use.call is not None
    if hand_written:
        outcomes += by_hand.outcomes(module, to, style)
    rewrites: list[Rewrite] = []
    reported: list[Reported] = []
    ignored = 0
    for node, outcome in outcomes:
        (line, column), (end_line, _) = module.syntax.span(node)
        if ignores.silence(outcome.code if isinstance(outcome, Refused) else "PN2", line, end_line):
            ignored += 1
        elif isinstance(outcome, Refused):
            reported.append(Reported(line, column, end_line, outcome.code, outcome.message))
        else:
            rewrites.append(outcome)
    for report in _unresolved(module, to):
        if ignores.silence(report.code, report.line):
            ignored += 1
        else:
            reported.append(report)
    new = apply(text, _edits(module, rewrites))
    return Ported(new, len(rewrites), tuple(sorted(reported)), ignored, untouched)


def _outcome(module: Module, use: Use, to: Target, style: Style, unsafe: bool) -> Rewrite | Refused:
    refused = _wrong_call(module, use, unsafe)
    return refused or _STYLES[style](module, use, to, unsafe)


def _wrong_call(module: Module, use: Use, unsafe: bool) -> Refused | None:
    """Refuse a call that the function itself would refuse, or whose arguments are not known."""
    if use.call is None:
        return None
    bound = bind(use.call, PARAMETERS[use.function])
    if bound.unknown and not unsafe:
        return Refused("PN204", f"{bound.problem} (rewritten with --unsafe)")
    if bound.problem and not bound.unknown:
        return Refused("PN206", f"{use.origin} does not take this call: {bound.problem}")
    if use.function == "normalize":
        return None
    if module.is_sharded(use):
        return Refused("PN208", "`.shard(...)` has no counterpart on torch; see DTensor")
    applications = module.applications(use)
    axis = bound.arguments.get("axis")
    if not applications and axis is not None and _may_be_a_tensor(module, use.call, axis):
        return Refused("PN206", "the constructor seems to be given a tensor")
    for call in applications:
        given = arguments(call)
        if len(given) != 1 or given[0].keyword or given[0].star:
            why = f"the operator takes one tensor, and line {call.lineno} gives it more"
            return Refused("PN206", why)
    return None


def _unresolved(module: Module, to: Target) -> Iterator[Reported]:
    for one in module.unresolved:
        if FRAMEWORKS[one.function] == _FROM[to]:
            yield Reported(one.line, one.column, one.line, one.code, one.message)


def _edits(module: Module, rewrites: list[Rewrite]) -> Iterator[Edit]:
    for rewrite in rewrites:
        yield from rewrite.edits
    if rewrites:
        removed = [*imports_to_remove(module, rewrites)]
        yield from imports_to_add(module, rewrites, removed)


def _may_be_a_tensor(module: Module, call: ast.Call, axis: Argument) -> bool:
    """Return whether a first argument may be a tensor given to the constructor by mistake.

    It may unless it is a number, or the object is kept where others may call it.
    """
    if axis.keyword is not None or isinstance(axis.value, (ast.UnaryOp, ast.Tuple, ast.List)):
        return False
    if isinstance(axis.value, ast.Constant) and type(axis.value.value) is int:
        return False
    parent = module.syntax.parent(call)
    if isinstance(parent, ast.Assign):
        return not isinstance(parent.targets[0], ast.Attribute)
    return not isinstance(parent, (ast.Call, ast.keyword, ast.List, ast.Tuple, ast.Set))
