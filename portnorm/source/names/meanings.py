"""What an expression may mean in full, where a function comes by other ways than its name.

`self.F = F` makes `self.F.normalize` torch's function; so does a name that is assigned, a function
that returns the module, `importlib.import_module`, and an import from another file of one's own.
Each of them is followed here. What can be told for sure is `plain`, and may be rewritten; what may
mean other things besides is reported.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

from portnorm.source.names.functions import HOLDERS, NAMES, ORIGINS, OWNER_NAMES, called
from portnorm.source.names.kept import (
    Kept,
    class_of_self,
    default_of,
    elements,
    has_star,
    imported_by,
    is_handed_on,
)
from portnorm.source.names.meaning import UNKNOWN, Elsewhere, Meaning, either, nowhere
from portnorm.source.names.scopes import Binding, Scopes, Variable
from portnorm.source.names.syntax import Syntax, dotted, first_name, last_name, member

_LOCAL = "/"
"""Stands before what the module itself defines, where imports of one's own begin with a dot."""

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_BUILTIN = ".builtins."
_IMPORTERS = frozenset({"importlib.import_module", "pytest.importorskip", f"{_BUILTIN}__import__"})
_ANYTHING = frozenset({"getattr", "globals", "locals", "next", "vars"})
"""Functions of Python that may return anything."""
_PROPERTIES = frozenset({"property", "cached_property"})


class _Bound(NamedTuple):
    """What is put into an attribute: by class, None for objects of others, and all names of it."""

    by_class: dict[ast.ClassDef | None, list[Meaning]]
    names: set[frozenset[str]]


class Meanings:
    """What the expressions of a module may mean.

    Args:
        syntax: of the module.
        scopes: of the module.
        elsewhere: what imports from other files mean.
    """

    def __init__(
        self, syntax: Syntax, scopes: Scopes | None = None, elsewhere: Elsewhere = nowhere
    ) -> None:
        self._syntax = syntax
        self._scopes = scopes or Scopes(syntax)
        self._elsewhere = elsewhere
        self._kept = Kept(syntax)
        self._known: dict[ast.AST, Meaning] = {}
        self._variables: dict[Variable, Meaning] = {}
        self._assigned: dict[str, Meaning] = {}
        self._bound: dict[str, _Bound] = {}
        self._definitions: dict[str, list[ast.AST]] = {}

    def of(self, node: ast.AST) -> Meaning:
        """Return what an expression may mean; nothing for one that goes round in a circle."""
        if node not in self._known:
            self._known[node] = UNKNOWN
            with contextlib.suppress(RecursionError):  # of deeply nested expressions
                self._known[node] = self._of(node)
        return self._known[node]

    def of_global(self, path: str) -> Meaning:
        """Return what a dotted name means that other files import; `()` behind a part calls it."""
        first, *rest = path.replace("()", ".()").split(".")
        top = self._bound_at_the_top(first)
        if not top:
            return either(map(self._translated, self._in_stars(path)))
        meaning = self._of_bindings(top, first)
        for part in rest:
            is_call = part == "()"
            meaning = self._call_of(meaning) if is_call else self._attribute_of(meaning, part)
        return meaning

    def binds(self, name: str) -> bool:
        """Return whether the top level of the module binds a name, star imports left out."""
        return bool(self._bound_at_the_top(name))

    def _bound_at_the_top(self, name: str) -> list[Binding]:
        bindings = self._scopes.bindings.get(name, [])
        return [binding for binding in bindings if binding.variable.scope.kind == "module"]

    def _in_stars(self, path: str) -> Iterator[str]:
        """Yield what a dotted name may be in full that a star import may bind."""
        for star in sorted(self._scopes.stars):
            origin = member(star, path)
            if star.partition(".")[0] not in HOLDERS or origin in ORIGINS or origin in HOLDERS:
                yield origin

    def may_mean(self, node: ast.Attribute) -> frozenset[str]:
        """Return which of the two functions an attribute of something unknown may be.

        One of the modules may be handed on as a value in a way that is not followed, or named by a
        string. Where a name is given to these modules and little else, it is enough by itself.
        """
        found = {f"{one}.{node.attr}" for one in self._handed_on} & ORIGINS.keys()
        is_named_so = node.attr == "L2Normalize" or last_name(node.value) in OWNER_NAMES
        if is_named_so and not isinstance(node.value, ast.Name):
            found |= called(node.attr, self._syntax.text)
        return frozenset(found)

    # --- expressions -----------------------------------------------------------------------------

    def _of(self, node: ast.AST) -> Meaning:
        if isinstance(node, (ast.Name, ast.Attribute)):
            first = first_name(node)
            variable = self._variable(first)
            if isinstance(node, ast.Attribute) and self._has_assigned_part(node.value):
                return self._attribute_of(self.of(node.value), node.attr)
            if first is not None and (variable is None or variable.has_import):
                if assigned := self._assigned_to(node):
                    return self._of_assigned(dotted(node), assigned)
                return self._of_imported(node, first, variable)
            if isinstance(node, ast.Attribute):
                return self._of_attribute(node)
            return self._of_variable(variable) if variable else UNKNOWN
        if isinstance(node, ast.Call):
            return self._of_call(node)
        if isinstance(node, ast.Subscript):
            return self._of_item(node)
        if isinstance(node, ast.IfExp):
            return either([self.of(node.body), self.of(node.orelse)])
        if isinstance(node, ast.BoolOp):
            return either(map(self.of, node.values))
        if isinstance(node, ast.NamedExpr):
            return self.of(node.value)._replace(plain=False)
        return UNKNOWN

    def _assigned_to(self, node: ast.AST) -> list[ast.Attribute]:
        """Return where an attribute of the same dotted name is assigned to.

        The functions are no such attributes: where another one takes their place, the calls are
        reported in words of their own.
        """
        if not isinstance(node, ast.Attribute) or node.attr in NAMES:
            return []
        return self._kept.dotted_attributes.get(dotted(node), [])

    def _of_assigned(self, name: str, targets: list[ast.Attribute]) -> Meaning:
        if name not in self._assigned:
            self._assigned[name] = UNKNOWN  # for one that is assigned to itself
            found = either(map(self._of_target, targets))
            self._assigned[name] = Meaning(found.names, False)
        return self._assigned[name]

    def _has_assigned_part(self, node: ast.AST) -> bool:
        """Return whether a dotted name, or what it begins with, is assigned as an attribute."""
        while isinstance(node, ast.Attribute):
            if self._assigned_to(node):
                return True
            node = node.value
        return False

    def _variable(self, name: ast.Name | None) -> Variable | None:
        if name is None:
            return None
        read = self._scopes.reads.get(name)
        return read.variable() if read else self._scopes.scope_of[name].find(name.id)

    def _of_variable(self, variable: Variable) -> Meaning:
        if variable not in self._variables:
            self._variables[variable] = UNKNOWN  # for one that is bound to itself
            self._variables[variable] = self._of_bindings(variable.bindings, variable.name)
        return self._variables[variable]

    def _of_imported(self, node: ast.AST, first: ast.Name, variable: Variable | None) -> Meaning:
        """Return the meaning of a dotted name that an import binds, or nothing does."""
        read, full = self._scopes.reads.get(first), dotted(node)
        if variable is None or read is None:
            known = hasattr(builtins, first.id)
            return Meaning(frozenset({f"{_BUILTIN}{full}"})) if known else UNKNOWN
        before = read.order if variable.scope is read.scope else None
        return self._of_bindings(variable.meant(full, before), full)

    def _of_bindings(self, bindings: list[Binding], full: str) -> Meaning:
        if len(bindings) == 1:
            return self._of_binding(bindings[0], full)
        meanings = [(self._of_binding(binding, full), binding) for binding in bindings]
        # What is not known is told by the name that it has here.
        return either(
            meaning if meaning.names else Meaning(frozenset({_local(binding, full)}))
            for meaning, binding in meanings
        )

    def _of_binding(self, binding: Binding, full: str) -> Meaning:
        """Return what a dotted name means if it goes back to one binding."""
        _, *rest = full.split(".")
        if binding.statement is not None:
            return self._translated(".".join([binding.origin, *rest]))
        meaning = self._of_definition(binding)
        for part in rest:
            meaning = self._attribute_of(meaning, part)
        return meaning

    def _translated(self, origin: str) -> Meaning:
        """Return what an imported name means, if need be in the file that it is imported from."""
        if origin in HOLDERS or origin.partition(".")[0] in HOLDERS:
            return Meaning(frozenset({origin}))
        there = self._elsewhere(origin)
        foreign = frozenset(name for name in there.names if name.partition(".")[0] in HOLDERS)
        if not foreign:
            return Meaning(frozenset({origin}))
        more = frozenset({origin}) if len(foreign) < len(there.names) else frozenset[str]()
        return Meaning(foreign | more, there.plain)

    def _of_definition(self, binding: Binding) -> Meaning:
        node = binding.node
        if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            origin = _local(binding)
            definitions = self._definitions.setdefault(origin, [])
            if node not in definitions:
                definitions.append(node)
            return Meaning(frozenset({origin}))
        if isinstance(node, ast.arg):
            return self._of_parameter(node)
        return self._of_target(node)

    def _of_parameter(self, node: ast.arg) -> Meaning:
        """Return what a parameter may be: its default, or what calls of this module give it."""
        values = list(self._kept.values.get(node.arg, ()))
        if (default := default_of(node, self._syntax.parent(node))) is not None:
            values.append(default)
        return Meaning(either(map(self.of, values)).names, False)

    def _of_target(self, node: ast.AST) -> Meaning:
        """Return what an assignment gives to a name or attribute."""
        parent = self._syntax.parent(node)
        if isinstance(parent, ast.Assign):
            return self.of(parent.value)
        if isinstance(parent, (ast.AnnAssign, ast.NamedExpr)) and parent.value is not None:
            return self.of(parent.value)
        if isinstance(parent, (ast.For, ast.comprehension)):
            return Meaning(either(map(self.of, elements(parent.iter))).names, False)
        if isinstance(parent, (ast.Tuple, ast.List)):
            outer = self._syntax.parent(parent)
            values = elements(outer.value) if isinstance(outer, ast.Assign) else []
            if len(values) == len(parent.elts) and not has_star([*values, *parent.elts]):
                return self.of(values[parent.elts.index(node)])  # type: ignore[arg-type]
        return UNKNOWN

    # --- attributes ------------------------------------------------------------------------------

    def _of_attribute(self, node: ast.Attribute) -> Meaning:
        owner = self._class_of_self(node.value)
        if owner is not None:
            meaning = self._of_class(owner, node.attr)
        else:
            meaning = self._attribute_of(self.of(node.value), node.attr)
        if not meaning.names and node.attr in self._kept.values:
            return Meaning(either(map(self.of, self._kept.values[node.attr])).names, False)
        return meaning

    def _attribute_of(self, meaning: Meaning, attribute: str) -> Meaning:
        return self._each(meaning, lambda name: self._attribute_of_name(name, attribute))

    def _each(self, meaning: Meaning, step: Callable[[str], Meaning]) -> Meaning:
        """Take a step from each name that something may mean."""
        if not meaning.names:
            return UNKNOWN
        found = either(map(step, sorted(meaning.names)))
        return Meaning(found.names, found.plain and meaning.plain)

    def _attribute_of_name(self, name: str, attribute: str) -> Meaning:
        if not name.startswith(_LOCAL):
            return self._translated(f"{name}.{attribute}")
        definitions = self._definitions.get(name.removesuffix("()"), [])
        classes = [one for one in definitions if isinstance(one, ast.ClassDef)]
        if not classes:
            return UNKNOWN
        return either(self._of_class(one, attribute) for one in classes)

    def _class_of_self(self, node: ast.AST) -> ast.ClassDef | None:
        variable = self._variable(node) if isinstance(node, ast.Name) else None
        return class_of_self(self._syntax, variable) if variable is not None else None

    def _of_class(self, owner: ast.ClassDef, attribute: str) -> Meaning:
        """Return what an attribute of a class and its instances means."""
        bound = self._bound_to(attribute)
        if owner in bound.by_class:
            own = either(bound.by_class[owner])
            # A subclass, or who has the object, may put something else there.
            return Meaning(own.names, own.plain and bound.names == {own.names})
        return either(
            self._attribute_of(self.of(base), attribute)._replace(plain=False)
            for base in owner.bases
        )

    def _bound_to(self, attribute: str) -> _Bound:
        if attribute not in self._bound:
            bound = _Bound({}, set())
            for owner, meaning in self._bound_in_classes(attribute):
                bound.by_class.setdefault(owner, []).append(meaning)
                bound.names.add(meaning.names)
            self._bound[attribute] = bound
        return self._bound[attribute]

    def _bound_in_classes(self, attribute: str) -> Iterator[tuple[ast.ClassDef | None, Meaning]]:
        """Yield what is put into an attribute, with the class whose methods or body do so."""
        for binding in self._scopes.bindings.get(attribute, ()):
            if binding.variable.scope.kind == "class":
                node, around = binding.node, self._syntax.ancestors(binding.node)
                owner = next(one for one in around if isinstance(one, ast.ClassDef))
                decorators = getattr(node, "decorator_list", [])
                if _PROPERTIES & {last_name(one) for one in decorators}:
                    yield owner, self._returned(node)
                else:
                    yield owner, self._of_binding(binding, attribute)
        for target in self._kept.attributes.get(attribute, ()):
            yield self._class_of_self(target.value), self._of_target(target)

    # --- calls and items -------------------------------------------------------------------------

    def _of_call(self, node: ast.Call) -> Meaning:
        function = self.of(node.func)
        if function.names & _IMPORTERS:
            return Meaning(frozenset(imported_by(node)), len(function.names) == 1)
        return self._call_of(function)

    def _call_of(self, function: Meaning) -> Meaning:
        """Return what a call of a function returns; never plain, for calling it may do more."""
        return self._each(function, self._call_of_name)._replace(plain=False)

    def _call_of_name(self, name: str) -> Meaning:
        if not name.startswith(_LOCAL):
            made = Meaning(frozenset({f"{name}()"}))
            if name.startswith(_BUILTIN):
                return UNKNOWN if name.removeprefix(_BUILTIN) in _ANYTHING else made
            if name.partition(".")[0] in HOLDERS:
                return made
            there = self._elsewhere(f"{name}()")
            return there if there.names & HOLDERS else UNKNOWN
        definitions = self._definitions.get(name, [])
        if any(isinstance(one, ast.ClassDef) for one in definitions):
            return Meaning(frozenset({f"{name}()"}))
        return either(map(self._returned, definitions))

    def _returned(self, function: ast.AST) -> Meaning:
        """Return what a function returns."""
        values = [
            self.of(one.value)
            for one in ast.walk(function)
            if isinstance(one, ast.Return) and one.value and self._function_around(one) is function
        ]
        return Meaning(either(values).names, False)

    def _function_around(self, node: ast.AST) -> ast.AST | None:
        kinds = (*_FUNCTIONS, ast.Lambda)
        return next((one for one in self._syntax.ancestors(node) if isinstance(one, kinds)), None)

    def _of_item(self, node: ast.Subscript) -> Meaning:
        key = node.slice.value if isinstance(node.slice, ast.Constant) else None
        if not isinstance(key, str):
            return UNKNOWN
        if self.of(node.value).names == {"sys.modules"}:
            return Meaning(frozenset({key}))
        return Meaning(either(map(self.of, self._kept.values.get(key, ()))).names, False)

    # --- what is handed on ---------------------------------------------------------------------

    @functools.cached_property
    def _handed_on(self) -> frozenset[str]:
        """The modules that are handed on in ways that are not followed, or that a string names."""
        nodes: list[ast.expr] = [
            *self._syntax.all_of(ast.Name),
            *self._syntax.all_of(ast.Attribute),
        ]
        found: set[str] = set()
        for node in nodes:
            if is_handed_on(self._syntax, node):
                found |= self.of(node).names & HOLDERS
        for constant in self._syntax.all_of(ast.Constant):
            if isinstance(constant.value, str) and constant.value in HOLDERS:
                found.add(constant.value)
        return frozenset(found)


def _local(binding: Binding, full: str = "") -> str:
    """Return the name in full of something that this module binds, or of a part of it."""
    _, _, rest = full.partition(".")
    return ".".join(filter(None, [_LOCAL + binding.origin.lstrip("."), rest]))
