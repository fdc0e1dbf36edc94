"""What becomes of the object that a constructor of L2Normalize makes: its calls, its attributes."""

from __future__ import annotations

import ast

from portnorm.source.names.scopes import Scopes
from portnorm.source.names.syntax import Syntax


class Objects:
    """Follows objects through a module, as far as they can be seen.

    They can: the object itself, the name that it is assigned to, if nothing else is assigned to it,
    and the attribute of self likewise.

    Args:
        syntax: of the module.
        scopes: of the module.
    """

    def __init__(self, syntax: Syntax, scopes: Scopes) -> None:
        self._syntax = syntax
        self._scopes = scopes
        self._attributes: dict[ast.ClassDef, dict[str, list[ast.Attribute]]] = {}

    def calls(self, made: ast.Call | None) -> list[ast.Call]:
        """Return the calls of the object that a call constructs, also behind its attributes."""
        calls = [call for node in self._seen(made) if (call := self._syntax.called(node))]
        return sorted(calls, key=lambda call: (call.lineno, call.col_offset))

    def attributes(self, made: ast.Call | None) -> list[ast.Attribute]:
        """Return where attributes of the object are used, such as `.shard`."""
        parents = [self._syntax.parent(node) for node in self._seen(made)]
        return [one for one in parents if isinstance(one, ast.Attribute)]

    def _seen(self, made: ast.Call | None) -> list[ast.expr]:
        """Return the expressions that are the object."""
        if made is None:
            return []
        seen: list[ast.expr] = [made]
        chained = self._syntax.parent(made)
        while isinstance(chained, ast.Attribute) and (call := self._syntax.called(chained)):
            seen.append(call)  # methods such as `.shard` return the object
            chained = self._syntax.parent(call)
        parent = self._syntax.parent(seen[-1])
        if isinstance(parent, ast.Assign) and len(parent.targets) == 1:
            seen += self._named(parent.targets[0])
        elif isinstance(parent, ast.AnnAssign):
            seen += self._named(parent.target)
        return seen

    def _named(self, target: ast.expr) -> list[ast.expr]:
        """Return where the object is read that is assigned to a target."""
        if isinstance(target, ast.Name):
            variable = self._scopes.scope_of[target].variables.get(target.id)
            if variable is not None and len(variable.bindings) == 1:
                return [read.node for read in self._scopes.reads_of(variable)]
        elif isinstance(target, ast.Attribute):
            return self._same_attributes(target)
        return []

    def _same_attributes(self, target: ast.Attribute) -> list[ast.expr]:
        """Return an attribute of self wherever its class names it, if it is assigned once."""
        around = self._syntax.ancestors(target)
        owner = next((node for node in around if isinstance(node, ast.ClassDef)), None)
        if owner is None or not _is_of_self(target):
            return []
        same = self._attributes_of_self(owner).get(target.attr, [])
        assigned = [node for node in same if isinstance(node.ctx, ast.Store)]
        return [*same] if len(assigned) == 1 else []

    def _attributes_of_self(self, owner: ast.ClassDef) -> dict[str, list[ast.Attribute]]:
        if owner not in self._attributes:
            self._attributes[owner] = {}
            for node in ast.walk(owner):
                if isinstance(node, ast.Attribute) and _is_of_self(node):
                    self._attributes[owner].setdefault(node.attr, []).append(node)
        return self._attributes[owner]


def _is_of_self(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id == "self"
