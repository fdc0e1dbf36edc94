"""Rules see a part of a module, and find in it what they find in the whole."""

from __future__ import annotations

import random

import numpy as np
import pytest

from portnorm.codemod import check as check_module
from portnorm.codemod import resolve
from portnorm.codemod.port import BOUND, Style, port_source
from portnorm.codemod.screen import Syntax
from portnorm.codemod.skeleton import skeleton
from tests.codemod.port_cases import REPORTED
from tests.codemod.test_port import TARGETS
from tests.codemod.test_rules import HITS, MINDSPORE, MISSES, TORCH, checked, marked

FILLERS = [
    "def filler(given):\n    own = given\n    return own.gradient\n",
    "class Filler(object):\n    def filler(self, axis):\n        self.own = axis\n",
    "async def other_filler():\n    return '''\n'''\n",
]


@pytest.mark.parametrize("code", HITS)
def test_rules_find_the_same_in_the_part_that_matters(
    code: str, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    head = TORCH if code in ("PN121", "PN122") else MINDSPORE
    draw = random.Random(int(rng.integers(2**32)))
    for case in [*HITS[code], *MISSES[code]]:
        text = f"{head}{draw.choice(FILLERS)}{marked(case)[0]}\n{draw.choice(FILLERS)}"
        assert "gradient" not in skeleton(Syntax(text))
        in_part = checked(text, code, fix=True)
        with monkeypatch.context() as patch:
            patch.setattr(resolve, "skeleton", lambda syntax, keep, bound: syntax.text)
            assert checked(text, code, fix=True) == in_part


# --- ports ----------------------------------------------------------------------------------------

STATEMENTS = [
    "a = b.relu(c)",
    "if a:\n    b = 1\nelif c:\n    b = 2\nelse:\n    pass",
    "for a in b:\n    c = a; d = 2",
    "with a as b: c = 3",
    "try:\n    a\nexcept E as e:\n    b = 2\nfinally:\n    c",
    "a = (1,\n     2)  # c",
    '"""text\n"""',
    "def inner(a):\n    return a",
    "class Inner:\n    b = 1",
    "a = lambda x: x",
]
BINDINGS = [
    "F = None",
    "for ops in x:\n    pass",
    "with x as torch:\n    pass",
    "try:\n    pass\nexcept E as F:\n    pass",
    "def F(): pass",
    "class ops: pass",
    "import other as F",
    "(mindspore := 1)",
    "_normalize = 1",
    "portnorm = 1",
    "match a:\n    case [F]:\n        pass",
    "match a:\n    case {**torch}:\n        pass",
]


def indented(text: str) -> str:
    return "".join(f"    {line}" for line in text.splitlines(True))


def some(draw: random.Random, binding: str) -> str:
    """A few statements, one of them a binding."""
    few = draw.sample(STATEMENTS, draw.randrange(4))
    few.insert(draw.randrange(len(few) + 1), binding)
    return "\n".join(few) + "\n"


@pytest.mark.parametrize("binding", ["pass", *BINDINGS])
@pytest.mark.parametrize("style", ["adapter", "inline"])
def test_ports_are_the_same_from_the_part_that_matters(
    style: Style, binding: str, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    draw = random.Random(int(rng.integers(2**32)))
    cases = [(to, text) for to, cases in TARGETS.items() for text in cases]
    cases += [(to, text) for text, (to, _) in REPORTED.items() if "import *" not in text]
    cases = draw.sample(cases, 12)
    smaller = 0
    for to, text in cases:
        function = f"def f(x):\n{indented(some(draw, 'pass') + text + some(draw, binding))}"
        module = text + function if draw.random() < 0.5 else function
        if "import" in module:
            lead = draw.choice(["", '"""Doc."""\n', "__all__ = ['F', 'ops']\n"])
            module = lead + some(draw, "pass") + module + some(draw, binding)
        cut = skeleton(Syntax(module), (), BOUND)
        assert cut.count("\n") == module.count("\n")
        smaller += len(cut) < len(module)
        in_part = port_source(module, to=to, style=style)
        with monkeypatch.context() as patch:
            patch.setattr(resolve, "skeleton", lambda syntax, keep, bound: syntax.text)
            assert port_source(module, to=to, style=style) == in_part, module
    assert smaller > len(cases) / 4


def test_a_part_that_leaves_out_too_much_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"{MINDSPORE}def f(g):\n    return ms.grad(g)\nn = ops.L2Normalize(1)\n"
    assert len(checked(text, "PN104").findings) == 1
    monkeypatch.setattr(check_module, "WORDS", ())
    assert len(checked(text, "PN104").findings) == 0
