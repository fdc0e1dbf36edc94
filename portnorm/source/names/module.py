"""Where a module names one of the two functions.

Names are resolved through imports and scopes, so that torchvision's `normalize` is not taken for
torch's, whatever it is called. What may be one of the two, but cannot be told for sure, is listed
as unresolved, and never passed over.
"""

from __future__ import annotations

import ast
import builtins
import functools
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from portnorm.source.names.functions import MODULES, NAMES, ORIGINS, STAR_NAMES, Function
from portnorm.source.names.scopes import Binding, Scopes, Variable
from portnorm.source.names.syntax import Syntax, dotted, first_name, last_name

_CACHED = "_get_cache_prim"
"""MindSpore's function that takes a class of operators, and returns what constructs one."""


@dataclass(frozen=True)
class Use:
    """One place where a function is named.

    Attributes:
        function: which one.
        node: the expression that names it.
        call: the call of it; of L2Normalize, the call that constructs it; None where it is named
            and not called.
        origin: its name in full.
        line: of the expression, from 1.
        column: likewise.
        cached: whether the class is handed to `_get_cache_prim`, and the result is called.
    """

    function: Function
    node: ast.expr
    call: ast.Call | None
    origin: str
    line: int
    column: int
    cached: bool = False


@dataclass(frozen=True)
class Unresolved:
    """One place that may mean one of the two functions.

    Attributes:
        code: from the registry in `portnorm.source.codes`.
        message: one sentence.
        function: which of the two it may mean.
        line: from 1.
        column: likewise.
    """

    code: str
    message: str
    function: Function
    line: int
    column: int


class Module:
    r"""A module of Python source: where it names the two functions.

    Attributes:
        text: its source.
        syntax: its syntax tree, and where its nodes stand.
        uses: where it names one of the two.
        unresolved: where it may name one.
        others: how many calls there are of other functions of these names.

    Args:
        text: of the module.

    Raises:
        NotPythonError: the running Python does not take the text.

    >>> module = Module("import torch.nn.functional as F\ny = F.normalize(x, dim=-1)\n")
    >>> [(use.origin, use.line, use.column) for use in module.uses]
    [('torch.nn.functional.normalize', 2, 5)]
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.syntax = Syntax(text)
        self.uses: list[Use] = []
        self.unresolved: list[Unresolved] = []
        self.others = 0
        self._modules: dict[Variable, set[str]] = {}
        self._attributes: dict[ast.ClassDef, dict[str, list[ast.Attribute]]] = {}
        names = NAMES | {*self._aliases()}
        nodes: list[ast.Name | ast.Attribute] = self.syntax.all_of(ast.Name)
        for node in [*nodes, *self.syntax.all_of(ast.Attribute)]:
            if last_name(node) in names and isinstance(node.ctx, ast.Load):
                known = _may_be_imported(node) and self._look_at(node)
                self.others += not known and self.syntax.called(node) is not None
        for call in self.syntax.all_of(ast.Call):
            if isinstance(call.func, ast.Name) and call.func.id == "getattr":
                self._look_at_getattr(call)
        self.uses.sort(key=lambda use: (use.line, use.column))
        self.unresolved.sort(key=lambda one: (one.line, one.column))

    @functools.cached_property
    def scopes(self) -> Scopes:
        """What the names are bound to; most modules name other functions only, and need none."""
        return Scopes(self.syntax)

    # --- names -----------------------------------------------------------------------------------

    def _aliases(self) -> Iterator[str]:
        """Yield what imports call a function of the name of one of the two."""
        statements: list[ast.Import | ast.ImportFrom] = self.syntax.all_of(ast.ImportFrom)
        for statement in [*statements, *self.syntax.all_of(ast.Import)]:
            for alias in statement.names:
                if alias.asname and alias.name.rpartition(".")[2] in NAMES:
                    yield alias.asname

    def qualified(self, node: ast.AST) -> set[str]:
        """Return what a dotted name may mean in full; names of this module begin with a dot."""
        name, full = first_name(node), dotted(node)
        if name is None:
            return set()
        read = self.scopes.reads.get(name)
        scope = self.scopes.scope_of[name]
        if node is not name or read is None:
            variable = scope.find(name.id)
            return variable.origins(full) if variable is not None else set()
        variable = read.variable()
        if variable is None:
            return {f".builtins.{full}"} if hasattr(builtins, full) else set()
        return variable.origins(full, read.order if variable.scope is scope else None)

    def variable(self, node: ast.AST) -> Variable | None:
        """Return the variable that the first name of an expression means."""
        name = first_name(node)
        return self.scopes.scope_of[name].find(name.id) if name is not None else None

    def means_something_else(self, package: str) -> bool:
        """Return whether anything but an import of a package binds its name."""
        return any(
            binding.statement is None or binding.origin != package
            for binding in self.scopes.bindings.get(package, ())
        )

    # --- uses ------------------------------------------------------------------------------------

    def _look_at(self, node: ast.expr) -> bool:
        """Take note of a name, and return whether it is, or may be, one of the two."""
        names = self.qualified(node)
        origins = names & ORIGINS.keys()
        if not origins:
            return self._look_at_the_rest(node)
        function = ORIGINS[min(origins)]
        if len(names) > 1:
            others = sorted(name.lstrip(".") for name in names - {min(origins)})
            why = f"it may also mean {', '.join(others)} here"
        elif self._is_misplaced(node):
            why = "where it stands in an f-string is known from Python 3.12 on only"
        else:
            self._add_use(node, *origins)
            return True
        self._add_unresolved("PN203", node, function, why)
        return True

    def _look_at_the_rest(self, node: ast.expr) -> bool:
        last = last_name(node)
        for origin, function in ORIGINS.items():
            module, _, name = origin.rpartition(".")
            if name != last:
                continue
            if self._may_come_from_a_star(node):
                stars = ", ".join(sorted(self.scopes.stars))
                why = f"nothing binds {dotted(node)} but, maybe, the star import of {stars}"
                self._add_unresolved("PN202", node, function, why)
                return True
            if isinstance(node, ast.Attribute) and module in self._modules_of(node.value):
                why = f"it may be {origin}, by way of a name that is assigned"
                self._add_unresolved("PN203", node, function, why)
                return True
        return False

    def _may_come_from_a_star(self, node: ast.expr) -> bool:
        first = first_name(node)
        if not self.scopes.stars or first is None or self.variable(node) is not None:
            return False
        return isinstance(node, ast.Name) or first.id in STAR_NAMES

    def _modules_of(self, node: ast.expr) -> set[str]:
        """Return the modules that a name may stand for that is assigned in this module."""
        variable = self.variable(node) if isinstance(node, ast.Name) else None
        if variable is None:
            return set()
        if variable not in self._modules:
            values = [self._assigned(b) for b in variable.bindings if b.statement is None]
            known = [self.qualified(value) & MODULES for value in values if value is not None]
            self._modules[variable] = set().union(*known)
        return self._modules[variable]

    def _assigned(self, binding: Binding) -> ast.expr | None:
        """Return the value of the assignment that makes a binding."""
        statement = self.syntax.statement(binding.node)
        return statement.value if isinstance(statement, (ast.Assign, ast.AnnAssign)) else None

    def _look_at_getattr(self, call: ast.Call) -> None:
        if len(call.args) < 2 or not isinstance(call.args[1], ast.Constant):
            return
        owner, name = call.args[0], call.args[1].value
        if name not in NAMES:
            return
        for module in sorted(self.qualified(owner) | self._modules_of(owner)):
            origin = f"{module}.{name}"
            if origin in ORIGINS:
                self._add_unresolved("PN201", call, ORIGINS[origin], f"getattr finds {origin}")

    @functools.cached_property
    def _in_f_strings(self) -> set[ast.AST]:
        """All that stands within f-strings, where Python before 3.12 may misplace it."""
        if sys.version_info >= (3, 12):
            return set()
        return {node for text in self.syntax.all_of(ast.JoinedStr) for node in ast.walk(text)}

    def _is_misplaced(self, node: ast.expr) -> bool:
        whole = self.syntax.called(node) or node
        return node in self._in_f_strings and not (
            self.syntax.is_where_it_says(node) and self.syntax.is_where_it_says(whole)
        )

    def _add_use(self, node: ast.expr, origin: str) -> None:
        call, cached = self._call_of(node)
        (line, column), _ = self.syntax.span(node)
        self.uses.append(Use(ORIGINS[origin], node, call, origin, line, column, cached))

    def _call_of(self, node: ast.expr) -> tuple[ast.Call | None, bool]:
        """Return the call of a function, and whether `_get_cache_prim` is between the two."""
        call = self.syntax.called(node)
        outer = self.syntax.parent(node)
        if isinstance(outer, ast.keyword):
            outer = self.syntax.parent(outer)
        if call is None and isinstance(outer, ast.Call) and last_name(outer.func) == _CACHED:
            call = self.syntax.called(outer)
            return call, call is not None
        return call, False

    def _add_unresolved(self, code: str, node: ast.expr, function: Function, message: str) -> None:
        (line, column), _ = self.syntax.span(node)
        self.unresolved.append(Unresolved(code, message, function, line, column))

    # --- L2Normalize: where the object is called -------------------------------------------------

    def applications(self, use: Use) -> list[ast.Call]:
        """Return the calls of the object that a constructor makes, as far as they can be seen.

        They are: of the object itself, of the name that it is assigned to, if nothing else is
        assigned to it, and of the attribute of self likewise.
        """
        if use.call is None:
            return []
        made: ast.expr = use.call
        while (sharded := self._sharded(made)) is not None:
            made = sharded
        call = self.syntax.called(made)
        if call is not None:
            return [call]
        parent = self.syntax.parent(made)
        if not isinstance(parent, ast.Assign) or len(parent.targets) > 1:
            return []
        (target,) = parent.targets
        named: list[ast.expr] = []
        if isinstance(target, ast.Name):
            variable = self.scopes.scope_of[target].variables.get(target.id)
            if variable is not None and len(variable.bindings) == 1:
                named = [read.node for read in self.scopes.reads_of(variable)]
        elif isinstance(target, ast.Attribute):
            named = self._same_attributes(target)
        calls = [call for node in named if (call := self.syntax.called(node)) is not None]
        return sorted(calls, key=lambda call: (call.lineno, call.col_offset))

    def is_sharded(self, use: Use) -> bool:
        """Return whether `.shard(...)` is called on the object itself."""
        return use.call is not None and self._sharded(use.call) is not None

    def _sharded(self, made: ast.expr) -> ast.Call | None:
        attribute = self.syntax.parent(made)
        if isinstance(attribute, ast.Attribute) and attribute.attr == "shard":
            return self.syntax.called(attribute)
        return None

    def _same_attributes(self, target: ast.Attribute) -> list[ast.expr]:
        """Return an attribute of self wherever its class names it, if it is assigned once."""
        around = self.syntax.ancestors(target)
        owner = next((node for node in around if isinstance(node, ast.ClassDef)), None)
        if owner is None or not _is_of_self(target):
            return []
        same = self._attributes_of_self(owner).get(target.attr, [])
        assigned = [node for node in same if isinstance(self.syntax.parent(node), ast.Assign)]
        assigned = [node for node in assigned if isinstance(node.ctx, ast.Store)]
        return [*same] if len(assigned) == 1 else []

    def _attributes_of_self(self, owner: ast.ClassDef) -> dict[str, list[ast.Attribute]]:
        if owner not in self._attributes:
            self._attributes[owner] = {}
            for node in ast.walk(owner):
                if isinstance(node, ast.Attribute) and _is_of_self(node):
                    self._attributes[owner].setdefault(node.attr, []).append(node)
        return self._attributes[owner]


def _may_be_imported(node: ast.expr) -> bool:
    """Return whether a name can stand for something of a module at all."""
    first = first_name(node)
    return first is not None and first.id != "self"


def _is_of_self(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id == "self"
