"""The scopes of a module, the names that they bind, and where these are read.

Python's `symtable` says in which scope a name is local, but neither where it is bound nor where it
is read, which is what a rewrite has to know. So the tree is walked once, by the rules of symtable,
and a test compares the two. The walk keeps its own stack: generated code may be nested so deeply
that a recursive one would fail.
"""

from __future__ import annotations

import ast
import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from portnorm.source.names.syntax import Syntax, dotted, member

Kind = Literal["module", "function", "class", "comprehension"]

_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_STATEMENTS = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.withitem)
"""Nodes whose targets are bound once all of them has run."""

_NAMED_BY_STRING = (
    *(ast.ExceptHandler, ast.MatchAs, ast.MatchStar, ast.MatchMapping),
    *(
        getattr(ast, kind)
        for kind in ("TypeVar", "TypeVarTuple", "ParamSpec")
        if hasattr(ast, kind)
    ),
)


Step = tuple[ast.AST | None, "Scope"]
"""A node to walk in its scope; None for the end of a statement that binds something."""


@dataclass(eq=False)
class Binding:
    """One place that binds a name.

    Attributes:
        variable: what it binds.
        node: the name, the import alias, the definition or the parameter that binds it.
        order: counts the statements of the scope that came before.
        origin: for an import, what the name stands for in full; otherwise the name in full, with
            a dot before it.
        path: for an import, what it makes known under the name: "torch.nn" for `import torch.nn`,
            which binds "torch".
        statement: the import statement; None for all other bindings.
    """

    variable: Variable
    node: ast.AST
    order: int
    origin: str
    path: str
    statement: ast.Import | ast.ImportFrom | None = None


@dataclass(eq=False)
class Variable:
    """A name in the scope that it belongs to.

    Attributes:
        name: as it is written.
        scope: the scope that binds it.
        bindings: all places that bind it, in the order in which they run.
    """

    name: str
    scope: Scope
    bindings: list[Binding] = field(default_factory=list)

    @functools.cached_property
    def has_import(self) -> bool:
        """Whether an import binds it, maybe among other things."""
        return any(binding.statement is not None for binding in self.bindings)

    @functools.cached_property
    def _distinct(self) -> list[Binding]:
        """The first binding of each meaning: loops over thousands of others would take long."""
        first: dict[tuple[str, str], Binding] = {}
        for binding in self.bindings:
            first.setdefault((binding.origin, binding.path), binding)
        return list(first.values())

    def origins(self, full: str, before: int | None = None) -> set[str]:
        """Return what a dotted name that begins with the variable may mean in full.

        Args:
            full: the dotted name.
            before: the order of the statement in the scope that reads it; None if bindings count
                that come later, too.
        """
        rest = full[len(self.name) :]
        return {binding.origin + rest for binding in self.meant(full, before)}

    def meant(self, full: str, before: int | None = None) -> list[Binding]:
        """Return the bindings that a dotted name may go back to; arguments as of `origins`."""
        earlier = [b for b in self._distinct if before is None or b.order < before]
        known = self._known(full, earlier)
        return [b for b in earlier if common_parts(b.path, full) == known]

    def is_meant(self, binding: Binding, full: str) -> bool:
        """Return whether no other binding says more about a dotted name.

        `import torch.nn` says more about torch.nn.functional than `import torch` does.
        """
        return common_parts(binding.path, full) == self._known(full, self._distinct)

    def _known(self, full: str, bindings: list[Binding]) -> int:
        return max((common_parts(binding.path, full) for binding in bindings), default=0)


def common_parts(a: str, b: str) -> int:
    """Return how many parts two dotted names have in common at their beginning.

    >>> common_parts("torch.nn.functional", "torch.nn.init")
    2
    """
    pairs = zip(a.split("."), b.split("."), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


class Scope:
    """A part of a module that has names of its own.

    Attributes:
        kind: what it is the scope of.
        outer: the scope that names are looked up in next; None for the module.
        prefix: what stands before its names in full, as in `__qualname__`.
        variables: the names that it binds.
        declared: the scopes of the names that it calls global or nonlocal.
        count: how many statements that bind something have been walked.
    """

    def __init__(self, kind: Kind, around: Scope | None = None, name: str = "") -> None:
        self.kind = kind
        self.outer = around
        while self.outer is not None and self.outer.kind == "class":
            self.outer = self.outer.outer  # methods do not see the names of their class
        around_prefix: str = around.prefix if around else ""
        parts = [around_prefix, name, "<locals>" if kind == "function" else ""]
        self.prefix: str = ".".join(filter(None, parts))
        self.variables: dict[str, Variable] = {}
        self.declared: dict[str, Scope] = {}
        self.count = 0

    def find(self, name: str) -> Variable | None:
        """Return the variable that a name means here; None if no scope binds it."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.declared:
                scope = scope.declared[name]
            elif name in scope.variables:
                return scope.variables[name]
            else:
                scope = scope.outer
        return None

    @property
    def module(self) -> Scope:
        """The scope of the module."""
        return self if self.outer is None else self.outer.module


@dataclass(frozen=True)
class Read:
    """One place that reads a name.

    Attributes:
        node: the name.
        scope: the scope in which it stands.
        order: counts the statements of the scope that came before.
    """

    node: ast.Name
    scope: Scope
    order: int

    def variable(self) -> Variable | None:
        """Return the variable that is read, which may be bound only later in an outer scope.

        A name that its own scope binds after the place is taken for the name of an outer scope.
        """
        found = self.scope.find(self.node.id)
        if found is None or found.scope is not self.scope or found.bindings[0].order < self.order:
            return found
        return self.scope.outer.find(self.node.id) if self.scope.outer else None


class Scopes:
    """All scopes of a module.

    Attributes:
        syntax: of the module.
        scope_of: the scope in which each name stands.
        reads: the places that read names, by the name.
        bindings: the places that bind names, by the name.
        stars: the modules that star imports take names from.
    """

    def __init__(self, syntax: Syntax) -> None:
        self.syntax = syntax
        self.scope_of: dict[ast.Name, Scope] = {}
        self.reads: dict[ast.Name, Read] = {}
        self.bindings: dict[str, list[Binding]] = {}
        self.stars: set[str] = set()
        stack: list[Step] = [(syntax.tree, Scope("module"))]
        while stack:
            node, scope = stack.pop()
            if node is None:  # a statement that binds something ends here
                scope.count += 1
            else:
                stack += reversed([*self._walk(node, scope)])

    @functools.cached_property
    def imports(self) -> list[Binding]:
        """All bindings that imports make, anywhere in the module."""
        return [b for same in self.bindings.values() for b in same if b.statement is not None]

    def reads_of(self, variable: Variable) -> list[Read]:
        """Return the places that read a variable, in no particular order."""
        return self._reads_by_variable.get(variable, [])

    def reads_of_import(self, binding: Binding) -> list[ast.Name]:
        """Return the places that read what an import binds, in no particular order."""
        variable = binding.variable
        return [
            read.node
            for read in self.reads_of(variable)
            if read.scope is not variable.scope or binding.order < read.order
            if variable.is_meant(binding, self._full(read.node))
        ]

    def _full(self, node: ast.expr) -> str:
        """Return the longest dotted name that begins with a name."""
        parent = self.syntax.parent(node)
        while isinstance(parent, ast.Attribute):
            node, parent = parent, self.syntax.parent(parent)
        return dotted(node)

    @functools.cached_property
    def _reads_by_variable(self) -> dict[Variable, list[Read]]:
        reads: dict[Variable, list[Read]] = {}
        for read in self.reads.values():
            variable = read.variable()
            if variable is not None:
                reads.setdefault(variable, []).append(read)
        return reads

    # --- the walk --------------------------------------------------------------------------------

    def _walk(self, node: ast.AST, scope: Scope) -> Iterator[Step]:
        """Take note of a node, and yield what to walk next."""
        if isinstance(node, ast.Name):
            self._note_name(node, scope)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield from self._walk_function(node, scope)
        elif isinstance(node, ast.ClassDef):
            yield from self._walk_class(node, scope)
        elif isinstance(node, _COMPREHENSIONS):
            yield from self._walk_comprehension(node, scope)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            self._note_import(node, scope)
            yield None, scope
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            outer = scope.module if isinstance(node, ast.Global) else scope.outer or scope
            if outer is not scope:
                scope.declared.update(dict.fromkeys(node.names, outer))
        elif isinstance(node, ast.NamedExpr):
            yield from self._walk_named(node, scope)
        else:
            yield from self._walk_other(node, scope)

    def _note_name(self, node: ast.Name, scope: Scope) -> None:
        self.scope_of[node] = scope
        if isinstance(node.ctx, ast.Store):
            self._bind(node.id, node, scope)
        else:
            self.reads[node] = Read(node, scope, scope.count)

    def _bind(self, name: str, node: ast.AST, scope: Scope) -> None:
        scope = scope.declared.get(name, scope)
        origin = f".{scope.prefix}.{name}" if scope.prefix else f".{name}"
        self._add(name, scope, node, origin, name)

    def _add(
        self,
        name: str,
        scope: Scope,
        node: ast.AST,
        origin: str,
        path: str,
        statement: ast.Import | ast.ImportFrom | None = None,
    ) -> None:
        variable = scope.variables.setdefault(name, Variable(name, scope))
        binding = Binding(variable, node, scope.count, origin, path, statement)
        variable.bindings.append(binding)
        self.bindings.setdefault(name, []).append(binding)

    def _note_import(self, node: ast.Import | ast.ImportFrom, scope: Scope) -> None:
        module = ""
        if isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            if node.names[0].name == "*":
                self.stars.add(module)
                return
        for alias in node.names:
            path = alias.asname or alias.name
            name = path.partition(".")[0]
            origin = alias.name if alias.asname else name
            origin = member(module, alias.name) if module else origin
            self._add(name, scope.declared.get(name, scope), alias, origin, path, node)

    def _walk_function(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, scope: Scope
    ) -> Iterator[Step]:
        """Defaults, annotations and decorators belong to the scope around the function."""
        name = "" if isinstance(node, ast.Lambda) else node.name
        if name:
            self._bind(name, node, scope)
        inner = Scope("function", scope, name)
        yield from ((one, inner) for one in getattr(node, "type_params", []))
        for child in self.syntax.children(node.args):
            if isinstance(child, ast.arg):
                self._bind(child.arg, child, inner)
            yield child, scope
        yield None, inner
        if isinstance(node, ast.Lambda):
            yield node.body, inner
            return
        yield from ((one, inner) for one in node.body)
        yield from ((one, scope) for one in node.decorator_list)
        if node.returns is not None:
            yield node.returns, scope
        yield None, scope

    def _walk_class(self, node: ast.ClassDef, scope: Scope) -> Iterator[Step]:
        self._bind(node.name, node, scope)
        yield from ((one, scope) for one in [*node.decorator_list, *node.bases, *node.keywords])
        inner = Scope("class", scope, node.name)
        yield from ((one, inner) for one in getattr(node, "type_params", []))
        yield from ((one, inner) for one in node.body)
        yield None, scope

    def _walk_comprehension(
        self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp, scope: Scope
    ) -> Iterator[Step]:
        """The first iterable belongs to the scope around the comprehension."""
        inner = Scope("comprehension", scope, "<comprehension>")
        yield node.generators[0].iter, scope
        for position, generator in enumerate(node.generators):
            yield generator.target, inner
            yield None, inner
            if position:
                yield generator.iter, inner
            yield from ((one, inner) for one in generator.ifs)
        if isinstance(node, ast.DictComp):
            yield node.key, inner
            yield node.value, inner
        else:
            yield node.elt, inner

    def _walk_named(self, node: ast.NamedExpr, scope: Scope) -> Iterator[Step]:
        """`:=` binds in the function or module around comprehensions."""
        target = scope
        while target.kind == "comprehension" and target.outer is not None:
            target = target.outer
        yield node.target, target
        yield node.value, scope
        yield None, target

    def _walk_other(self, node: ast.AST, scope: Scope) -> Iterator[Step]:
        """A name that is a mere string, of `except` and in patterns, is bound before the rest."""
        if isinstance(node, (ast.For, ast.AsyncFor)):
            yield node.target, scope
            yield None, scope
            yield from ((one, scope) for one in [node.iter, *node.body, *node.orelse])
            return
        name = getattr(node, "rest" if isinstance(node, ast.MatchMapping) else "name", None)
        if isinstance(node, _NAMED_BY_STRING) and isinstance(name, str):
            self._bind(name, node, scope)
            yield None, scope
        yield from ((child, scope) for child in self.syntax.children(node))
        if isinstance(node, _STATEMENTS):
            yield None, scope
