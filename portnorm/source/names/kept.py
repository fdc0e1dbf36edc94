"""Values that a module keeps under a name: as an attribute, a key, or an argument by keyword."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable, Iterator

from portnorm.source.names.syntax import Syntax, last_name


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


def imported_by(call: ast.Call) -> Iterator[str]:
    """Yield the module that `import_module` and the like import, where a string names it."""
    name, *more = [one.value if isinstance(one, ast.Constant) else None for one in call.args] or [
        ""
    ]
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


def is_static(method: ast.AST | None) -> bool:
    """Return whether a method is given no object."""
    decorators = getattr(method, "decorator_list", [])
    return any(last_name(one) == "staticmethod" for one in decorators)
