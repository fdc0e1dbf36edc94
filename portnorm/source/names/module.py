"""Where a module names one of the two functions.

Names are resolved through imports, scopes and assignments, so that torchvision's `normalize` is not
taken for torch's, whatever it is called. What may be one of the two, but cannot be told for sure,
is listed as unresolved, and other functions are listed, too: no call of these names is passed over.
"""

from __future__ import annotations

import ast
import builtins
import functools
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeGuard

from portnorm.source.edits import Place
from portnorm.source.names.functions import (
    NAMES,
    ORIGINS,
    STAR_NAMES,
    Function,
    called,
    framework_of,
)
from portnorm.source.names.indirect import Indirect
from portnorm.source.names.meaning import Elsewhere, Meaning, nowhere
from portnorm.source.names.meanings import Meanings
from portnorm.source.names.objects import Objects
from portnorm.source.names.scopes import Scopes, Variable
from portnorm.source.names.syntax import Syntax, dotted, first_name, last_name, member

_MADE = frozenset(f"{origin}()" for origin in ORIGINS if origin.endswith("L2Normalize"))
"""What a call of a constructor means."""

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

    @property
    def framework(self) -> str:
        """Whose function it is."""
        return framework_of(self.origin)


class Other(NamedTuple):
    """One call of another function of these names.

    Attributes:
        line: from 1.
        column: likewise.
        reason: what it is, or why that is not known.
    """

    line: int
    column: int
    reason: str


@dataclass(frozen=True)
class Unresolved:
    """One place that may mean one of the two functions.

    Attributes:
        code: from the registry in `portnorm.source.codes`.
        message: one sentence.
        origins: what it may mean, in full.
        span: where it begins and ends.
    """

    code: str
    message: str
    origins: frozenset[str]
    span: tuple[Place, Place]

    @property
    def line(self) -> int:
        """The line that it begins in."""
        return self.span[0][0]

    @property
    def frameworks(self) -> frozenset[str]:
        """Whose function it may be."""
        return frozenset(map(framework_of, self.origins))


class Module:
    r"""A module of Python source: where it names the two functions.

    Attributes:
        text: its source.
        syntax: its syntax tree, and where its nodes stand.
        uses: where it names one of the two.
        unresolved: where it may name one.
        others: the calls of other functions of these names.
        replaced: of the functions that the module puts another one in the place of, the names in
            full, each with the line that does so.

    Args:
        text: of the module.
        elsewhere: what it imports from other files of one's own.
        words: what other files call the two functions.

    Raises:
        NotPythonError: the running Python does not take the text.

    >>> module = Module("import torch.nn.functional as F\ny = F.normalize(x, dim=-1)\n")
    >>> [(use.origin, use.line, use.column) for use in module.uses]
    [('torch.nn.functional.normalize', 2, 5)]
    """

    def __init__(
        self, text: str, elsewhere: Elsewhere = nowhere, words: frozenset[str] = frozenset()
    ) -> None:
        self.text = text
        self.syntax = Syntax(text)
        self.uses: list[Use] = []
        self.unresolved: list[Unresolved] = []
        self.others: list[Other] = []
        self._elsewhere = elsewhere
        names = NAMES | words
        names |= {*self._aliases(names)}
        nodes: list[ast.Name | ast.Attribute] = [*self.syntax.all_of(ast.Name)]
        for node in [*nodes, *self.syntax.all_of(ast.Attribute)]:
            if last_name(node) in names and isinstance(node.ctx, ast.Load):
                self._look_at(node)
        indirect = Indirect(self.syntax, self.meaning, elsewhere)
        self.replaced: dict[str, int] = {}
        for one in indirect.places():
            self._add_unresolved(one.code, one.node, one.origins, one.message)
            if one.replaces:
                line = self.unresolved[-1].line
                self.replaced.update((origin, line) for origin in one.origins)
        self.uses.sort(key=lambda use: (use.line, use.column))
        self.unresolved.sort(key=lambda one: one.span)
        self.others.sort()

    @functools.cached_property
    def scopes(self) -> Scopes:
        """What the names are bound to; most modules name other functions only, and need none."""
        return Scopes(self.syntax)

    @functools.cached_property
    def objects(self) -> Objects:
        """What becomes of the objects that L2Normalize constructs."""
        return Objects(self.syntax, self.scopes)

    @functools.cached_property
    def _meanings(self) -> Meanings:
        return Meanings(self.syntax, self.scopes, self._elsewhere)

    def meaning(self, node: ast.AST) -> Meaning:
        """Return what an expression may mean in full, also where it is assigned or imported."""
        return self._meanings.of(node)

    # --- names -----------------------------------------------------------------------------------

    def _aliases(self, names: frozenset[str]) -> Iterator[str]:
        """Yield what imports call a function of one of the names."""
        statements: list[ast.Import | ast.ImportFrom] = self.syntax.all_of(ast.ImportFrom)
        for statement in [*statements, *self.syntax.all_of(ast.Import)]:
            for alias in statement.names:
                if alias.asname and alias.name.rpartition(".")[2] in names:
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

    def _look_at(self, node: ast.Name | ast.Attribute) -> None:
        """Take note of a name that is, or may be, one of the two, and of calls of others."""
        names, plain = self.meaning(node)
        origins = names & ORIGINS.keys()
        if origins:
            others = sorted(name.lstrip("./") for name in names - {min(origins)})
            if others:
                why = f"it may also mean {', '.join(others)} here"
            elif not plain:
                why = (
                    f"it may be {' or '.join(origins)}, or what else is assigned, given or returned"
                )
            elif self._is_misplaced(node):
                why = "where it stands in an f-string is known from Python 3.12 on only"
            else:
                self._add_use(node, *origins)
                return
            self._add_unresolved("PN203", node, origins, why)
        elif stars := self._may_come_from_a_star(node):
            origins, modules = stars
            why = f"nothing binds {dotted(node)} but, maybe, the star import of {modules}"
            self._add_unresolved("PN202", node, origins, why)
        elif self._is_unknown(node, names) and (origins := self._meanings.may_mean(node)):
            shown = " or ".join(sorted(origins))
            why = f"it may be {shown}: nothing here says what {self._owner(node)} is"
            self._add_unresolved("PN203", node, origins, why)
        elif self.syntax.called(node) is not None and last_name(node) in NAMES:
            (line, column), _ = self.syntax.span(node)
            self.others.append(Other(line, column, self._why_other(node, names)))

    def _is_unknown(self, node: ast.AST, names: frozenset[str]) -> TypeGuard[ast.Attribute]:
        """Return whether an attribute belongs to something that nothing is known of.

        A method of the same name, called on self, is known.
        """
        if names or not isinstance(node, ast.Attribute):
            return False
        return not self._meanings.of(node.value).names or last_name(node) == "L2Normalize"

    def _owner(self, node: ast.Attribute) -> str:
        return " ".join(self.syntax.source(node.value).split())

    def _why_other(self, node: ast.expr, names: frozenset[str]) -> str:
        if names:
            return f"it is {' or '.join(sorted(name.lstrip('./') for name in names))}"
        if isinstance(node, ast.Attribute):
            return f"it is a method of {self._owner(node)}, as far as this file tells"
        bound = "this file binds it to something else"
        return bound if self.variable(node) is not None else "nothing in this file binds the name"

    def _may_come_from_a_star(self, node: ast.expr) -> tuple[frozenset[str], str] | None:
        """Return which functions a name may be that star imports bind, and of which modules."""
        first = first_name(node)
        if first is None or self.variable(node) is not None:
            return None
        origins: set[str] = set()
        modules: set[str] = set()
        full = dotted(node)
        for star in sorted(self.scopes.stars):
            there = self._elsewhere(member(star, full))
            own = {*there.names} & ORIGINS.keys()
            if not there.names and self._fits(node, first):
                own = {*called(last_name(node), self.text)}
            if own:
                origins |= own
                modules.add(star)
        return (frozenset(origins), ", ".join(sorted(modules))) if origins else None

    @staticmethod
    def _fits(node: ast.expr, first: ast.Name) -> bool:
        return isinstance(node, ast.Name) or first.id in STAR_NAMES

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

    def attribute(self, use: Use) -> ast.Attribute | None:
        """Return an attribute of the object that a constructor makes, such as `.shard`, if used.

        Where it cannot be told which of the objects it belongs to, it may be any.
        """
        used = self.objects.attributes(use.call) or self._attributes_of_some_operator
        return min(used, key=lambda one: (one.lineno, one.col_offset), default=None)

    @functools.cached_property
    def _attributes_of_some_operator(self) -> list[ast.Attribute]:
        told = {one for use in self.uses for one in self.objects.attributes(use.call)}
        nodes = self.syntax.all_of(ast.Attribute)
        return [one for one in nodes if one not in told and self.meaning(one.value).names & _MADE]

    def applications(self, use: Use) -> list[ast.Call]:
        """Return the calls of the object that a constructor makes, as far as they can be seen."""
        return self.objects.calls(use.call)

    def _add_unresolved(
        self, code: str, node: ast.expr, origins: frozenset[str], message: str
    ) -> None:
        self.unresolved.append(Unresolved(code, message, origins, self.syntax.span(node)))
