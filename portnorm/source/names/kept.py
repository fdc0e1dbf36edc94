"""Values that a module keeps under a name, as an attribute, a key or an argument, and hands on."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable, Iterator

from portnorm.source.names.scopes import Variable
from portnorm.source.names.syntax import Syntax, dotted, last_name

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_ONLY_LOOK = frozenset(
    {"delattr", "dir", "getattr", "hasattr", "id", "isinstance", "object", "print", "reload"}
    | {"setattr", "spy", "type", "vars"}
)
"""Functions, by their last names, that do not hand on the module that they are given."""


class Kept:
    """Finds the values by these names, whatever the object is.

    Args:
        syntax: of the module.
    """

    def __init__(self, syntax: Syntax) -> None:
        self._syntax = syntax

    @functools.cached_property
    def attributes(self) -> dict[str, list[ast.Attribute]]:
        """The attributes that are assigned to, by their names."""
        found: dict[str, list[ast.Attribute]] = {}
        for node in self._syntax.all_of(ast.Attribute):
            if isinstance(node.ctx, ast.Store):
                found.setdefault(node.attr, []).append(node)
        return found

    @functools.cached_property
    def dotted_attributes(self) -> dict[str, list[ast.Attribute]]:
        """The same by all of what is written, where that is a dotted name."""
        found: dict[str, list[ast.Attribute]] = {}
        for targets in self.attributes.values():
            for target in targets:
                if name := dotted(target):
                    found.setdefault(name, []).append(target)
        return found

    @functools.cached_property
    def values(self) -> dict[str, list[ast.expr]]:
        """What is assigned to attributes and items, stands in dicts, and is given by keyword."""
        found: dict[str, list[ast.expr]] = {}
        for name, value in self._named():
            if name is not None:
                found.setdefault(name, []).append(value)
        return found

    def _named(self) -> Iterator[tuple[str | None, ast.expr]]:
        for statement in self._syntax.all_of(ast.Assign):
            for target in statement.targets:
                yield _key(target), statement.value
        for annotated in self._syntax.all_of(ast.AnnAssign):
            if annotated.value is not None:
                yield _key(annotated.target), annotated.value
        for keyword in self._syntax.all_of(ast.keyword):
            yield keyword.arg, keyword.value
        for mapping in self._syntax.all_of(ast.Dict):
            for key, value in zip(mapping.keys, mapping.values, strict=True):
                yield _text(key), value


def _key(target: ast.expr) -> str | None:
    if isinstance(target, ast.Subscript):
        return _text(target.slice)
    return target.attr if isinstance(target, ast.Attribute) else None


def _text(node: ast.expr | None) -> str | None:
    """Return the value of a string."""
    value = node.value if isinstance(node, ast.Constant) else None
    return value if isinstance(value, str) else None


def elements(node: ast.expr) -> list[ast.expr]:
    """Return the elements of a tuple, list or set that stands there."""
    return list(node.elts) if isinstance(node, (ast.Tuple, ast.List, ast.Set)) else []


def default_of(parameter: ast.AST, takes: ast.AST | None) -> ast.expr | None:
    """Return the default of a parameter among those that a function takes, if it has one."""
    if not isinstance(takes, ast.arguments):
        return None
    positional = [*takes.posonlyargs, *takes.args]
    pairs = [
        *zip(reversed(positional), reversed(takes.defaults), strict=False),
        *zip(takes.kwonlyargs, takes.kw_defaults, strict=True),
    ]
    return next((default for one, default in pairs if one is parameter), None)


def imported_by(call: ast.Call) -> Iterator[str]:
    """Yield the module that `import_module` and the like import, where a string names it."""
    given = [one.value if isinstance(one, ast.Constant) else None for one in call.args]
    name, *more = given or [None]
    package = next((k.value for k in call.keywords if k.arg == "package"), None)
    if isinstance(package, ast.Constant):
        more = [package.value]
    if not isinstance(name, str) or not name:
        return
    if last_name(call.func) == "__import__":
        yield name if len(call.args) > 3 or call.keywords else name.partition(".")[0]
    elif name.startswith("."):
        parts = str(more[0]).split(".") if more else []
        dots = len(name) - len(name.lstrip("."))
        yield ".".join([*parts[: len(parts) - dots + 1], name.lstrip(".")])
    else:
        yield name


def has_star(nodes: Iterable[ast.expr]) -> bool:
    """Return whether a star stands among expressions."""
    return any(isinstance(node, ast.Starred) for node in nodes)


def class_of_self(syntax: Syntax, variable: Variable) -> ast.ClassDef | None:
    """Return the class of a method whose first parameter a variable is, and nothing else."""
    if len(variable.bindings) != 1:
        return None
    parameter = variable.bindings[0].node
    takes = syntax.parent(parameter)
    if not isinstance(takes, ast.arguments):
        return None
    method = syntax.parent(takes)
    if not isinstance(method, _FUNCTIONS):
        return None
    is_first = [*takes.posonlyargs, *takes.args][:1] == [parameter]
    is_static = any(last_name(one) == "staticmethod" for one in method.decorator_list)
    owner = syntax.parent(method)
    return owner if is_first and not is_static and isinstance(owner, ast.ClassDef) else None


def is_handed_on(syntax: Syntax, node: ast.expr) -> bool:
    """Return whether an expression is given to a function, put into a container, or returned."""
    parent = syntax.parent(node)
    if isinstance(parent, ast.Call):
        return parent.func is not node and last_name(parent.func) not in _ONLY_LOOK
    kinds = (ast.List, ast.Tuple, ast.Set, ast.Dict, ast.Yield, ast.Lambda, ast.Return)
    return isinstance(parent, kinds) and isinstance(getattr(node, "ctx", None), ast.Load)
