"""Normalization that is written by hand goes to a call with the same numbers, if there is one."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from portnorm.port.rewrite import Refused, Rewrite, Style, Target
from portnorm.source.by_hand import ByHand, by_hand
from portnorm.source.edits import Edit
from portnorm.source.names import Module
from portnorm.source.values import Values


def outcomes(
    module: Module, to: Target, style: Style
) -> Iterator[tuple[ast.AST, Rewrite | Refused]]:
    """Yield what becomes of each place in a module that normalizes by hand."""
    for found in by_hand(Values(module)):
        if found.framework != to:
            yield found.node, _outcome(module, found, to, style)


def _outcome(module: Module, found: ByHand, to: Target, style: Style) -> Rewrite | Refused:
    called = found.counterpart(module)
    what = f"{found.convention}, which is written by hand, "
    if not found.framework:
        return Refused("PN210", f"{what}may be of either framework: both are imported")
    if called is None:
        why = found.caveat or "neither function adds epsilon"
        return Refused("PN210", f"{what}has no call with the same numbers: {why}")
    function, given = called
    if style != "adapter" and (to == "mindspore" or function != "normalize"):
        return Refused("PN210", f"{what}has no inline form")
    if "#" in module.syntax.source(found.node):
        return Refused("PN210", f"{what}holds a comment, which a call would not keep")
    if isinstance(found.node, ast.expr) and not module.syntax.is_where_it_says(found.node):
        return Refused("PN210", f"{what}stands in an f-string: where is known from Python 3.12 on")
    owner = f"portnorm.{to}" if style == "adapter" else "torch.nn.functional"
    if style == "adapter" and module.means_something_else("portnorm"):
        return Refused("PN203", "the name portnorm means something else in this module")
    unused = _unused(module, found)
    edits = [Edit(*module.syntax.span(found.node), f"{owner}.{function}({given})")]
    edits += [_without(module, one) for one in unused]
    kept = {name.id for part in (found.x, found.dim, found.eps) for name in _names(part)}
    gone = [name for part in (found.node, *unused) for name in _names(part)]
    gone = [name for name in gone if name.id not in kept]
    return Rewrite(tuple(edits), (owner,), gone=tuple(gone))


def _unused(module: Module, found: ByHand) -> list[ast.stmt]:
    """Return the statements that nothing but the division needed, and that stand alone."""
    parts = [found.node, *found.assigned]
    gone = {name for part in parts for name in _names(part)}
    return [one for one in found.assigned if _is_alone(module, one, gone)]


def _is_alone(module: Module, statement: ast.stmt, gone: set[ast.Name]) -> bool:
    """Return whether what it binds is named in parts that go only, and its lines hold no more."""
    (start, _), (end, _) = module.syntax.span(statement)
    lines = "".join(module.syntax.line(number) for number in range(start, end + 1))
    if lines.strip() != module.syntax.source(statement):
        return False
    targets = [name for name in _names(statement) if isinstance(name.ctx, ast.Store)]
    variables = [variable for name in targets if (variable := module.variable(name))]
    reads = [read.node for v in variables for read in module.scopes.reads_of(v)]
    return gone.issuperset([*reads, *(b.node for v in variables for b in v.bindings)])


def _without(module: Module, statement: ast.stmt) -> Edit:
    (start, _), (end, _) = module.syntax.span(statement)
    return Edit((start, 1), (end + 1, 1), "")


def _names(node: ast.AST | None) -> list[ast.Name]:
    parts = ast.walk(node) if node is not None else ()
    return [one for one in parts if isinstance(one, ast.Name)]
