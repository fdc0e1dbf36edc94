"""Which names in a module mean one of the two functions.

Names are resolved through imports and scopes, so that torchvision's `normalize` is not taken for
torch's, whatever it is called. What may be one of the two, but cannot be told for sure, is listed
as unresolved, and never passed over.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import libcst as cst
from libcst import matchers as m
from libcst.metadata import (
    Assignment,
    BaseAssignment,
    CodeRange,
    ExpressionContext,
    ExpressionContextProvider,
    ImportAssignment,
    MetadataWrapper,
    PositionProvider,
    Scope,
    ScopeProvider,
)

from portnorm.codemod.screen import NAMES, UNBOUND, Syntax, without_collection
from portnorm.codemod.skeleton import skeleton

Function = Literal["normalize", "l2_normalize"]

ORIGINS: dict[str, Function] = {
    "torch.nn.functional.normalize": "normalize",
    "mindspore.ops.L2Normalize": "l2_normalize",
    "mindspore.ops.operations.L2Normalize": "l2_normalize",
    "mindspore.ops.operations.nn_ops.L2Normalize": "l2_normalize",
}
"""The names of the two functions in full."""

PARAMETERS: dict[Function, tuple[str, ...]] = {
    "normalize": ("input", "p", "dim", "eps", "out"),
    "l2_normalize": ("axis", "epsilon"),
}
"""What the functions take; for L2Normalize, what its constructor does."""

FRAMEWORKS: dict[Function, str] = {"normalize": "torch", "l2_normalize": "mindspore"}

_MODULES = frozenset(origin.rpartition(".")[0] for origin in ORIGINS)
_PROVIDERS = (ScopeProvider, PositionProvider, ExpressionContextProvider)
_CACHED = "_get_cache_prim"


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
        cached: whether the class is handed to `_get_cache_prim`, and that is called.
    """

    function: Function
    node: cst.BaseExpression
    call: cst.Call | None
    origin: str
    line: int
    column: int
    cached: bool = False


@dataclass(frozen=True)
class Unresolved:
    """One place that may mean one of the two functions.

    Attributes:
        code: from the registry in `portnorm.codemod.codes`.
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


class Bound(NamedTuple):
    """The arguments of a call by the names of the parameters.

    Attributes:
        arguments: what was given.
        problem: why they are not all known, in a few words; "" where they are.
        unknown: whether `*` or `**` hides some; otherwise a problem is an error of the call.
    """

    arguments: Mapping[str, cst.Arg]
    problem: str = ""
    unknown: bool = False


def bind(call: cst.Call, parameters: Sequence[str]) -> Bound:
    """Give the arguments of a call the names of parameters.

    >>> call = cst.parse_expression("f(x, 2, dim=1)")
    >>> list(bind(call, ("input", "p", "dim")).arguments)
    ['input', 'p', 'dim']
    """
    found: dict[str, cst.Arg] = {}
    for position, arg in enumerate(call.args):
        if arg.star:
            return Bound(found, f"{arg.star} hides arguments", True)
        if arg.keyword is None and position >= len(parameters):
            return Bound(found, f"{position + 1} positional arguments")
        name = arg.keyword.value if arg.keyword else parameters[position]
        if name not in parameters:
            return Bound(found, f"no parameter is called {name!r}")
        if name in found:
            return Bound(found, f"{name!r} is given twice")
        found[name] = arg
    return Bound(found)


class Module:
    r"""A module of Python source: where it names the two functions.

    Attributes:
        text: its source.
        syntax: all of it, without comments and spaces.
        tree: its syntax tree with them; what does not matter is cut.
        uses: where it names one of the two.
        unresolved: where it may name one.
        others: how many calls there are of other functions of these names.

    Args:
        text: of the module.
        keep: words whose functions are kept in the tree, too.
        syntax: of the text, if it is known already.
        bound: names that matter where they are bound; None for all names.

    Raises:
        libcst.ParserSyntaxError: the text is not Python.

    >>> module = Module("import torch.nn.functional as F\ny = F.normalize(x, dim=-1)\n")
    >>> [(use.origin, use.line, use.column) for use in module.uses]
    [('torch.nn.functional.normalize', 2, 5)]
    """

    def __init__(
        self,
        text: str,
        keep: Collection[str] = (),
        syntax: Syntax | None = None,
        bound: Collection[str] | None = None,
    ) -> None:
        self.text = text
        self.syntax = syntax or Syntax(text)
        with without_collection():
            # The tree is new and this wrapper's alone.
            tree = cst.parse_module(skeleton(self.syntax, keep, bound))
            self.wrapper = MetadataWrapper(tree, unsafe_skip_copy=True)
            found: Mapping[Any, Any] = self.wrapper.resolve_many(_PROVIDERS)
            nodes = _Nodes(tree)
        self._parents: Mapping[cst.CSTNode, cst.CSTNode] = nodes.parents
        self.tree = self.wrapper.module
        self._scopes: Mapping[cst.CSTNode, Scope | None] = found[ScopeProvider]
        self._positions: Mapping[cst.CSTNode, CodeRange] = found[PositionProvider]
        self.uses: list[Use] = []
        self.unresolved: list[Unresolved] = []
        self.others = 0
        names = NAMES | {a.name for a in self.imports() if _imported(a) in NAMES}
        self._stars = nodes.stars
        contexts = found[ExpressionContextProvider]
        for node in nodes.names:
            if last_name(node) in names and contexts.get(node) is ExpressionContext.LOAD:
                before = len(self.uses) + len(self.unresolved)
                self._look_at(node)
                if before == len(self.uses) + len(self.unresolved):
                    self.others += self._called(node) is not None
        for call in nodes.getattrs:
            self._look_at_getattr(call)
        self.uses.sort(key=lambda use: (use.line, use.column))
        self.unresolved.sort(key=lambda one: (one.line, one.column))

    # --- positions -------------------------------------------------------------------------------

    def span(self, node: cst.CSTNode) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return where a node begins and ends; lines and columns from 1."""
        at = self._positions[node]
        return (at.start.line, at.start.column + 1), (at.end.line, at.end.column + 1)

    def source(self, node: cst.CSTNode) -> str:
        """Return the text of a node."""
        return self.tree.code_for_node(node)

    def parent(self, node: cst.CSTNode) -> cst.CSTNode:
        """Return the node that holds another."""
        return self._parents[node]

    def ancestors(self, node: cst.CSTNode) -> Iterator[cst.CSTNode]:
        """Yield the nodes around a node, the nearest first."""
        while not isinstance(node, cst.Module):
            node = self._parents[node]
            yield node

    # --- names -----------------------------------------------------------------------------------

    def qualified(self, node: cst.BaseExpression) -> set[str]:
        """Return what a name may mean in full; names of this module begin with a dot."""
        scope = self._scope(node)
        if scope is None:
            return set()
        found = set()
        for name in scope.get_qualified_names_for(node):
            imported = name.source.name == "IMPORT"
            found.add(name.name if imported else f".{name.name}")
        return found

    def assignments(self, node: cst.BaseExpression) -> list[BaseAssignment]:
        """Return what binds the first name of an expression."""
        first = _first_name(node)
        scope = self._scope(node)
        return list(scope[first.value]) if scope is not None and first is not None else []

    def imports(self) -> set[ImportAssignment]:
        """Return all that imports bind, anywhere in the module."""
        scopes = {scope for scope in self._scopes.values() if scope is not None}
        return {a for s in scopes for a in s.assignments if isinstance(a, ImportAssignment)}

    def binds(self, name: str) -> list[BaseAssignment]:
        """Return what binds a name in any scope of the module."""
        scopes = {scope for scope in self._scopes.values() if scope is not None}
        return [a for scope in scopes for a in scope.assignments if a.name == name]

    def means_something_else(self, package: str) -> bool:
        """Return whether anything but an import of a package binds its name."""
        for assignment in self.binds(package):
            names = assignment.get_qualified_names_for(package)
            imported = isinstance(assignment, ImportAssignment)
            if not imported or {name.name for name in names} != {package}:
                return True
        return False

    def _scope(self, node: cst.CSTNode) -> Scope | None:
        while node not in self._scopes and not isinstance(node, cst.Module):
            node = self._parents[node]
        return self._scopes.get(node)

    # --- uses ------------------------------------------------------------------------------------

    def _look_at(self, node: cst.BaseExpression) -> None:
        names = self.qualified(node)
        origins = names & ORIGINS.keys()
        if not origins:
            self._look_at_the_rest(node, names)
        elif len(names) == 1:
            (origin,) = origins
            self._add_use(node, origin)
        else:
            function = ORIGINS[min(origins)]
            others = sorted(name.lstrip(".") for name in names - origins)
            self._add_unresolved(
                "PN203", node, function, f"it may also mean {', '.join(others)} here"
            )

    def _look_at_the_rest(self, node: cst.BaseExpression, names: set[str]) -> None:
        last = last_name(node)
        for origin in ORIGINS:
            module, _, name = origin.rpartition(".")
            if name != last:
                continue
            function = ORIGINS[origin]
            if self._may_come_from_a_star(node):
                stars = ", ".join(sorted(self._stars))
                why = f"nothing binds {dotted(node)} but, maybe, the star import of {stars}"
                self._add_unresolved("PN202", node, function, why)
                return
            if isinstance(node, cst.Attribute) and module in self._modules_of(node.value):
                why = f"it may be {origin}, by way of a name that is assigned"
                self._add_unresolved("PN203", node, function, why)
                return

    def _may_come_from_a_star(self, node: cst.BaseExpression) -> bool:
        first = _first_name(node)
        if not self._stars or first is None or self.assignments(node):
            return False
        return isinstance(node, cst.Name) or first.value in UNBOUND

    def _modules_of(self, node: cst.BaseExpression) -> set[str]:
        """Return the modules that a name may stand for that is assigned in this module."""
        found: set[str] = set()
        for assignment in self.assignments(node):
            if type(assignment) is Assignment and isinstance(node, cst.Name):
                value = self._value_of(assignment)
                if value is not None:
                    found |= self.qualified(value) & _MODULES
        return found

    def _value_of(self, assignment: Assignment) -> cst.BaseExpression | None:
        for node in self.ancestors(assignment.node):
            if isinstance(node, (cst.Assign, cst.AnnAssign)):
                return node.value
            if isinstance(node, cst.BaseStatement):
                return None
        return None

    def _look_at_getattr(self, call: cst.Call) -> None:
        if len(call.args) < 2 or not isinstance(call.args[1].value, cst.SimpleString):
            return
        name = str(call.args[1].value.evaluated_value)
        modules = self.qualified(call.args[0].value) | self._modules_of(call.args[0].value)
        for origin in (f"{module}.{name}" for module in sorted(modules)):
            if origin in ORIGINS:
                why = f"getattr finds {origin}"
                self._add_unresolved("PN201", call, ORIGINS[origin], why)

    def _add_use(self, node: cst.BaseExpression, origin: str) -> None:
        call, cached = self._call_of(node)
        (line, column), _ = self.span(node)
        self.uses.append(Use(ORIGINS[origin], node, call, origin, line, column, cached))

    def _call_of(self, node: cst.BaseExpression) -> tuple[cst.Call | None, bool]:
        parent = self._parents[node]
        if isinstance(parent, cst.Call) and parent.func is node:
            return parent, False
        if not isinstance(parent, cst.Arg):
            return None, False
        outer = self._parents[parent]
        if isinstance(outer, cst.Call) and last_name(outer.func) == _CACHED:
            around = self._parents[outer]
            if isinstance(around, cst.Call) and around.func is outer:
                return around, True
        return None, False

    def _add_unresolved(
        self, code: str, node: cst.CSTNode, function: Function, message: str
    ) -> None:
        (line, column), _ = self.span(node)
        self.unresolved.append(Unresolved(code, message, function, line, column))

    # --- L2Normalize: where the object is called -------------------------------------------------

    def applications(self, use: Use) -> list[cst.Call]:
        """Return the calls of the object that a constructor makes, as far as they can be seen.

        They are: of the object itself, of the name that it is assigned to, if nothing else is
        assigned to it, and of the attribute of self likewise.
        """
        if use.call is None:
            return []
        made: cst.BaseExpression = use.call
        while (sharded := self._sharded(made)) is not None:
            made = sharded
        parent = self._parents[made]
        if isinstance(parent, cst.Call) and parent.func is made:
            return [parent]
        target = self._only_target(made)
        if isinstance(target, cst.Name):
            return self._calls_of_name(target)
        if target is not None:
            return self._calls_of_attribute(target)
        return []

    def is_sharded(self, use: Use) -> bool:
        """Return whether `.shard(...)` is called on the object itself."""
        return use.call is not None and self._sharded(use.call) is not None

    def _sharded(self, made: cst.BaseExpression) -> cst.Call | None:
        attribute = self._parents[made]
        if isinstance(attribute, cst.Attribute) and attribute.attr.value == "shard":
            call = self._parents[attribute]
            if isinstance(call, cst.Call) and call.func is attribute:
                return call
        return None

    def _only_target(self, value: cst.BaseExpression) -> cst.Name | cst.Attribute | None:
        parent = self._parents[value]
        if isinstance(parent, cst.Assign) and len(parent.targets) == 1:
            target = parent.targets[0].target
            if isinstance(target, (cst.Name, cst.Attribute)):
                return target
        return None

    def _calls_of_name(self, target: cst.Name) -> list[cst.Call]:
        scope = self._scope(target)
        if scope is None:
            return []
        assignments = [a for a in scope.assignments if a.name == target.value]
        if len(assignments) != 1:
            return []
        accesses = [access.node for access in assignments[0].references]
        return [call for node in accesses if (call := self._called(node)) is not None]

    def _calls_of_attribute(self, target: cst.Attribute) -> list[cst.Call]:
        if not m.matches(target.value, m.Name("self")):
            return []
        around = next((n for n in self.ancestors(target) if isinstance(n, cst.ClassDef)), None)
        if around is None:
            return []
        same = m.findall(around, m.Attribute(m.Name("self"), m.Name(target.attr.value)))
        assigned = [n for n in same if isinstance(self._parents[n], cst.AssignTarget)]
        if len(assigned) != 1:
            return []
        return [call for node in same if (call := self._called(node)) is not None]

    def _called(self, node: cst.CSTNode) -> cst.Call | None:
        parent = self._parents[node]
        return parent if isinstance(parent, cst.Call) and parent.func is node else None


def last_name(node: cst.BaseExpression) -> str:
    """Return the last part of a dotted name, "" for another expression."""
    if isinstance(node, cst.Attribute):
        return node.attr.value
    return node.value if isinstance(node, cst.Name) else ""


def _first_name(node: cst.BaseExpression) -> cst.Name | None:
    while isinstance(node, cst.Attribute):
        node = node.value
    return node if isinstance(node, cst.Name) else None


def _imported(assignment: ImportAssignment) -> str:
    """Return the last name of what an import binds, as it is called where it comes from."""
    for name in assignment.get_qualified_names_for(assignment.name):
        return name.name.rpartition(".")[2]
    return ""


def dotted(node: cst.BaseExpression | None) -> str:
    """Return a dotted name as text; "" for anything else.

    >>> dotted(cst.parse_expression("torch.nn . functional"))
    'torch.nn.functional'
    """
    if isinstance(node, cst.Name):
        return node.value
    if isinstance(node, cst.Attribute) and (before := dotted(node.value)):
        return f"{before}.{node.attr.value}"
    return ""


class _Nodes:
    """What holds each node of a tree, and the nodes in which names may be.

    The visitors of libcst build each node anew; this walk takes a tenth of the time.
    """

    def __init__(self, tree: cst.Module) -> None:
        self.parents: dict[cst.CSTNode, cst.CSTNode] = {}
        self.names: list[cst.Name | cst.Attribute] = []
        self.getattrs: list[cst.Call] = []
        self.stars: set[str] = set()
        stack: list[cst.CSTNode] = [tree]
        while stack:
            node = stack.pop()
            for child in _children(node):
                self.parents[child] = node
                stack.append(child)
            self._take(node)
        self.names = [name for name in self.names if not self._is_in_import(name)]

    def _take(self, node: cst.CSTNode) -> None:
        if isinstance(node, (cst.Name, cst.Attribute)):
            self.names.append(node)
        elif isinstance(node, cst.Call):
            if isinstance(node.func, cst.Name) and node.func.value == "getattr":
                self.getattrs.append(node)
        elif isinstance(node, cst.ImportFrom) and isinstance(node.names, cst.ImportStar):
            self.stars.add("." * len(node.relative) + dotted(node.module))

    def _is_in_import(self, node: cst.CSTNode) -> bool:
        while isinstance(node, (cst.Name, cst.Attribute)):
            node = self.parents[node]
        return isinstance(node, (cst.ImportAlias, cst.AsName, cst.Import, cst.ImportFrom))


def _children(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    for field in _fields(type(node)):
        value = getattr(node, field)
        if isinstance(value, cst.CSTNode):
            yield value
        elif isinstance(value, (tuple, list)):
            yield from (one for one in value if isinstance(one, cst.CSTNode))


@functools.cache
def _fields(kind: type[cst.CSTNode]) -> tuple[str, ...]:
    return tuple(f.name for f in dataclasses.fields(kind) if not _SPACES.search(f.name))


_SPACES = re.compile("whitespace|^lines_|leading_lines|^header$|^footer$|_newline$")
"""Fields that hold spaces, comments and line ends only."""
