"""Which texts are worth a closer look: two tests that are quick, and never wrongly say no.

The first one looks for words, the second one at the syntax tree of Python's own parser, which is
some hundred times as fast as the one that keeps comments and spaces.
"""

from __future__ import annotations

import ast
import re
import warnings

_NAMES = frozenset({"normalize", "L2Normalize"})
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
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in strings, say
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return True
    screen = _Screen(list(ast.walk(tree)))
    return screen.might_use()


class _Screen:
    """Looks at the nodes of a module without regard to scopes, so that it finds too much."""

    def __init__(self, nodes: list[ast.AST]) -> None:
        self.nodes = nodes
        self.modules: set[str] = set()
        """Names that may stand for a module of a framework."""
        self.functions = set(_NAMES)
        """Names that may stand for a function."""
        self.star = False

    def might_use(self) -> bool:
        for node in self.nodes:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                self._take_import(node)
        if not self.modules and not self.star:
            return False
        self._take_assignments()
        return any(map(self._names_one, self.nodes))

    def _take_import(self, node: ast.Import | ast.ImportFrom) -> None:
        module = node.module if isinstance(node, ast.ImportFrom) and not node.level else ""
        for alias in node.names:
            full = f"{module}.{alias.name}" if isinstance(node, ast.ImportFrom) else alias.name
            if full.partition(".")[0] not in _ROOTS:
                continue
            self.star |= alias.name == "*"
            bound = alias.name if module else full.partition(".")[0]
            self.modules.add(alias.asname or bound)
            if alias.name in _NAMES and alias.asname:
                self.functions.add(alias.asname)

    def _take_assignments(self) -> None:
        """What is assigned from a name of a framework may stand for a module, too."""
        assigned = [node for node in self.nodes if isinstance(node, (ast.Assign, ast.AnnAssign))]
        for node in assigned:
            if node.value is not None and _first(node.value) in self.modules:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                self.modules |= {t.id for t in targets if isinstance(t, ast.Name)}

    def _names_one(self, node: ast.AST) -> bool:
        if isinstance(node, ast.Attribute):
            return node.attr in _NAMES and _first(node) in self.modules
        if isinstance(node, ast.Name):
            return node.id in self.functions and (self.star or node.id in self.modules)
        return isinstance(node, ast.Constant) and node.value in _NAMES


def _first(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""
