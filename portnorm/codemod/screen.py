"""Which texts are worth a closer look: two tests that are quick, and never wrongly say no.

The first one looks for words, the second one at the syntax tree of Python's own parser, which is
some hundred times as fast as the one that keeps comments and spaces.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import gc
import re
import warnings
from collections.abc import Iterator
from typing import Any, TypeVar

Node = TypeVar("Node", bound=ast.AST)

NAMES = frozenset({"normalize", "L2Normalize"})
"""The last names of the two functions."""

UNBOUND = frozenset({"F", "P", "functional", "mindspore", "ms", "nn", "ops", "torch"})
"""Names that star imports are known to give to the modules of the two functions."""

_WORDS = re.compile(rb"\b(?:normalize|L2Normalize)\b")
_FRAMEWORK = re.compile(rb"torch|mindspore")
_ROOTS = frozenset({"torch", "mindspore", "torchvision"})


def might_contain(source: bytes) -> bool:
    """Return whether the words for one of the two functions occur.

    >>> might_contain(b"from torch import nn"), might_contain(b"torch.nn.functional.normalize(x)")
    (False, True)
    """
    return bool(_WORDS.search(source)) and bool(_FRAMEWORK.search(source))


def might_use(text: str) -> bool:
    """Return whether one of the two functions may be named by a module.

    >>> might_use("import torch; tokenizer.normalize(torch)")
    False
    >>> might_use("import torch; torch.nn.functional.normalize(x)")
    True
    """
    return Syntax(text).screen.might_use


@contextlib.contextmanager
def without_collection() -> Iterator[None]:
    """Millions of objects are made and kept; to look for garbage among them takes half the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class Syntax:
    """What Python's own parser makes of a text.

    Attributes:
        text: the source.
        tree: None where the parser does not take it.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.tree: ast.Module | None = None
        self._nodes: dict[type[ast.AST], list[Any]] = {}
        with warnings.catch_warnings(), without_collection():
            warnings.simplefilter("ignore")  # of escapes in strings, say
            with contextlib.suppress(SyntaxError, ValueError, RecursionError, MemoryError):
                self.tree = ast.parse(text)
                self._sort(self.tree)

    def all_of(self, kind: type[Node]) -> list[Node]:
        """Return all nodes of a type."""
        return self._nodes.get(kind, [])

    @functools.cached_property
    def screen(self) -> Screen:
        """What a look at its nodes tells."""
        return Screen(self)

    @property
    def imports(self) -> list[ast.Import | ast.ImportFrom]:
        """All import statements."""
        return [*self.all_of(ast.Import), *self.all_of(ast.ImportFrom)]

    def count_of_name(self, name: str) -> int:
        """Count where a name is read, also in annotations that are strings."""
        annotations = [node.annotation for node in self.all_of(ast.arg)]
        annotations += [node.annotation for node in self.all_of(ast.AnnAssign)]
        annotations += [node.returns for node in self.all_of(ast.FunctionDef)]
        annotations += [node.returns for node in self.all_of(ast.AsyncFunctionDef)]
        texts = [
            node.value
            for annotation in annotations
            if annotation is not None
            for node in ast.walk(annotation)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        word = re.compile(rf"\b{re.escape(name)}\b")
        names = [node for node in self.all_of(ast.Name) if node.id == name]
        loads = [node for node in names if isinstance(node.ctx, ast.Load)]
        return len(loads) + sum(len(word.findall(text)) for text in texts)

    def _sort(self, tree: ast.Module) -> None:
        stack: list[ast.AST] = [tree]
        while stack:
            node = stack.pop()
            self._nodes.setdefault(node.__class__, []).append(node)
            for value in node.__dict__.values():
                if value.__class__ is list:
                    stack.extend([one for one in value if isinstance(one, ast.AST)])
                elif isinstance(value, ast.AST) and value._fields:
                    stack.append(value)


class Screen:
    """Looks at the nodes of a module without regard to scopes, so that it finds too much.

    Attributes:
        might_use: whether one of the two functions may be named.
        modules: names that may stand for a module of a framework, or something of it.
        calls: how many calls there are of what has the last name of one of them.
    """

    def __init__(self, syntax: Syntax) -> None:
        self.modules: set[str] = set()
        self._functions = set(NAMES)
        """Names that may stand for a function."""
        self._star = False
        for node in syntax.imports:
            self._take_import(node)
        self._take_assignments(syntax)
        self.calls = sum(_last(call.func) in NAMES for call in syntax.all_of(ast.Call))
        self.might_use = syntax.tree is None or self._names_one(syntax)

    def _take_import(self, node: ast.Import | ast.ImportFrom) -> None:
        module = node.module if isinstance(node, ast.ImportFrom) and not node.level else ""
        for alias in node.names:
            self._star |= alias.name == "*"
            full = f"{module}.{alias.name}" if isinstance(node, ast.ImportFrom) else alias.name
            if full.partition(".")[0] not in _ROOTS:
                continue
            bound = alias.name if module else full.partition(".")[0]
            self.modules.add(alias.asname or bound)
            if alias.name in NAMES and alias.asname:
                self._functions.add(alias.asname)

    def _take_assignments(self, syntax: Syntax) -> None:
        """What is assigned from a name of a framework may stand for a module, too."""
        assigned = [(t, node.value) for node in syntax.all_of(ast.Assign) for t in node.targets]
        assigned += [(n.target, n.value) for n in syntax.all_of(ast.AnnAssign) if n.value]
        for target, value in sorted(assigned, key=lambda one: one[0].lineno):
            if isinstance(target, ast.Name) and _first(value) in self.modules:
                self.modules.add(target.id)

    def _names_one(self, syntax: Syntax) -> bool:
        if not self.modules and not self._star:
            return False
        firsts = self.modules | (UNBOUND if self._star else frozenset())
        bare = self._functions if self._star else self._functions & self.modules
        return (
            any(n.attr in NAMES and _first(n) in firsts for n in syntax.all_of(ast.Attribute))
            or any(n.id in bare for n in syntax.all_of(ast.Name))
            or any(map(_is_getattr, syntax.all_of(ast.Call)))
        )


def _is_getattr(call: ast.Call) -> bool:
    """Return whether a call looks one of the functions up by its name."""
    if _last(call.func) != "getattr" or len(call.args) < 2:
        return False
    name = call.args[1]
    return isinstance(name, ast.Constant) and name.value in NAMES


def _last(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _first(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""
