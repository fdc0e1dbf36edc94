"""Rewrite the calls of one framework's function for the other framework, in the text of a module.

The text is changed in place, by small edits; what is not edited stays as it is, byte for byte. A
call is rewritten where the result is known to be right, and reported where it is not.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from portnorm.port import adapter, by_hand, inline
from portnorm.port.imports import Kept, imports_to_add, imports_to_remove
from portnorm.port.rewrite import Refused, Rewrite, Style, Target
from portnorm.source.edits import Edit, Place, apply
from portnorm.source.findings import Ignores
from portnorm.source.names import PARAMETERS, Argument, Module, Use, arguments, bind, nowhere
from portnorm.source.project import ALONE, Project

_STYLES = {"adapter": adapter.rewrite, "inline": inline.rewrite, "mint": inline.on_mint}
_FROM: dict[Target, str] = {"mindspore": "torch", "torch": "mindspore"}


Outcome = Literal["rewritten", "untouched"]


class Noted(NamedTuple):
    """A place that is not left to people.

    Attributes:
        line: in the old text, from 1.
        column: likewise.
        outcome: what became of it.
        reason: the function that was rewritten, in full, or why the place is untouched.
        cell: of a notebook, in which lines are counted then; 0 elsewhere.
    """

    line: int
    column: int
    outcome: Outcome
    reason: str
    cell: int = 0


class Told:
    """What has `places`, counted by their outcomes."""

    places: tuple[Noted, ...]

    @property
    def rewritten(self) -> int:
        """How many places name the adapter now."""
        return self._count("rewritten")

    @property
    def untouched(self) -> int:
        """How many other calls of these names there are."""
        return self._count("untouched")

    def _count(self, outcome: Outcome) -> int:
        return sum(place.outcome == outcome for place in self.places)


class Reported(NamedTuple):
    """A call that is left to people.

    Attributes:
        line: from 1.
        column: likewise.
        code: why, by its code.
        message: why, in a sentence.
        end: the place after the end of the call.
    """

    line: int
    column: int
    code: str
    message: str
    end: Place


@dataclass(frozen=True)
class Ported(Told):
    """A text after the port.

    Attributes:
        text: the new text; the old one where nothing was rewritten.
        places: those that name the adapter now, and other calls of these names, such as
            torchvision's normalize, with the reason why they are untouched.
        reported: what was left to people.
        ignored: how many places a comment silenced.
    """

    text: str
    places: tuple[Noted, ...] = ()
    reported: tuple[Reported, ...] = ()
    ignored: int = 0


def port_source(
    text: str,
    *,
    to: Target,
    style: Style = "adapter",
    unsafe: bool = False,
    path: str = "",
    project: Project = ALONE,
    hand_written: bool = False,
) -> Ported:
    r"""Return the text with its calls of the other framework's function rewritten.

    Args:
        text: of a module.
        to: the framework that the module moves to.
        style: "adapter": calls go to portnorm; "inline": to operators of the framework; "mint": to
            `mindspore.mint.nn.functional.normalize`.
        unsafe: whether to make edits that rest on a guess, too.
        path: of the file; what it imports from others is looked up from there.
        project: the files that it belongs to.
        hand_written: whether to rewrite normalization, too, that is written by hand.

    Raises:
        NotPythonError: the running Python does not take the text.

    >>> text = "import torch.nn.functional as F\ny = F.normalize(x)\n"
    >>> ported = port_source(text, to="mindspore")
    >>> print(ported.text, end="")
    import portnorm.mindspore
    y = portnorm.mindspore.normalize(x)
    """
    module = Module(text, project.elsewhere(path) if path else nowhere, project.words)
    ignores = Ignores(text)
    rewrites: list[Rewrite] = []
    places = [Noted(one.line, one.column, "untouched", one.reason) for one in module.others]
    outcomes: list[tuple[ast.AST, str, Rewrite | Refused]] = []
    for use in module.uses:
        if use.framework == _FROM[to]:
            outcome = _outcome(module, use, to, style, unsafe)
            outcomes.append((use.call or use.node, use.origin, outcome))
        elif use.call is not None:
            reason = f"it is {use.origin} already"
            places.append(Noted(use.line, use.column, "untouched", reason))
    if hand_written:
        found = by_hand.outcomes(module, to, style)
        outcomes += [(node, "normalization by hand", outcome) for node, outcome in found]
    reported: list[Reported] = []
    ignored = 0
    for node, what, outcome in outcomes:
        (line, column), end = module.syntax.span(node)
        if ignores.silence(outcome.code if isinstance(outcome, Refused) else "PN2", line, end[0]):
            ignored += 1
        elif isinstance(outcome, Refused):
            reported.append(Reported(line, column, outcome.code, outcome.message, end))
        else:
            rewrites.append(outcome)
            places.append(Noted(line, column, "rewritten", what))
    for report in _unresolved(module, to):
        if ignores.silence(report.code, report.line):
            ignored += 1
        else:
            reported.append(report)
    kept = functools.partial(project.is_taken, path) if path else None
    new = apply(text, _edits(module, rewrites, kept))
    return Ported(new, tuple(sorted(places)), tuple(sorted(reported)), ignored)


def _outcome(module: Module, use: Use, to: Target, style: Style, unsafe: bool) -> Rewrite | Refused:
    refused = _replaced(module, use) or _wrong_call(module, use, unsafe)
    return refused or _STYLES[style](module, use, to, unsafe)


def _replaced(module: Module, use: Use) -> Refused | None:
    """Refuse what may mean another function, which the module puts in its place."""
    line = module.replaced.get(use.origin)
    if line is None:
        return None
    return Refused("PN203", f"line {line} may put another function in the place of {use.origin}")


def _wrong_call(module: Module, use: Use, unsafe: bool) -> Refused | None:
    """Refuse a call that the function itself would refuse, or whose arguments are not known."""
    if use.function == "l2_normalize" and (refused := _more_than_calls(module, use)):
        return refused
    if use.call is None:
        return None
    bound = bind(use.call, PARAMETERS[use.function])
    if bound.unknown and not unsafe:
        return Refused("PN204", f"{bound.problem} (rewritten with --unsafe)")
    if bound.problem and not bound.unknown:
        return Refused("PN206", f"{use.origin} does not take this call: {bound.problem}")
    if use.function == "normalize":
        has_out = use.framework == "mindspore" and "out" in bound.arguments
        return Refused("PN206", f"{use.origin} takes no out=") if has_out else None
    applications = module.applications(use)
    axis = bound.arguments.get("axis")
    if not applications and axis is not None and _may_be_a_tensor(module, use.call, axis):
        return Refused("PN206", "the constructor seems to be given a tensor")
    for call in applications:
        if (problem := _wrong_application(call)) is not None:
            return Refused("PN206", problem)
    return None


def _more_than_calls(module: Module, use: Use) -> Refused | None:
    """Refuse an operator that is used as a `Primitive`, which its counterpart on torch is not."""
    attribute = module.attribute(use)
    parent = module.syntax.parent(use.node)
    if use.call is None and isinstance(parent, ast.Attribute):
        attribute = parent
    if attribute is not None:
        more = "; see DTensor" if attribute.attr == "shard" else ""
        why = (
            f"`.{attribute.attr}` in line {attribute.end_lineno} has no counterpart on torch{more}"
        )
        return Refused("PN208", why)
    if isinstance(parent, ast.ClassDef):
        return Refused("PN208", f"the class {parent.name} derives from the operator")
    return None


def _wrong_application(call: ast.Call) -> str | None:
    """Return why the operator does not take a call, None if it does."""
    given = arguments(call)
    if len(given) == 1 and not given[0].keyword and not given[0].star:
        return None
    taken = f"the operator takes one tensor by position, and line {call.lineno} gives"
    if not given:
        return f"{taken} none"
    if any(one.star for one in given):
        return f"{taken} what a star hides"
    if any(one.keyword for one in given):
        return f"{taken} {', '.join(one.keyword for one in given if one.keyword)} by keyword"
    return f"{taken} {len(given)}"


def _unresolved(module: Module, to: Target) -> Iterator[Reported]:
    for one in module.unresolved:
        if _FROM[to] in one.frameworks:
            start, end = one.span
            yield Reported(*start, one.code, one.message, end)


def _edits(module: Module, rewrites: list[Rewrite], kept: Kept | None) -> Iterator[Edit]:
    for rewrite in rewrites:
        yield from rewrite.edits
    if rewrites:
        removed = [*imports_to_remove(module, rewrites, kept)]
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
