"""Rules see an excerpt of a module, and find in it what they find in the whole."""

from __future__ import annotations

import random

import libcst as cst
import numpy as np
import pytest

from portnorm.codemod import check as check_module
from portnorm.codemod.edits import line_starts
from portnorm.codemod.excerpt import excerpt
from tests.codemod.test_rules import HITS, MINDSPORE, MISSES, TORCH, checked, marked

NAMES = {"wanted"}

STUBBED = [
    "def f(x):\n    return x\n",
    "async def f(x):\n    return x\n",
    "@a\n@b(\n  1)\nclass A:\n    x = 1\n",
    "class A:\n    def f(self):\n        return 1\n    y = wanted\n",
    "class A:\n  class B:\n    def f(self): return 1\n    x = wanted\n",
    "def f(): pass",
    "def f():\r\n    return '''\r\n'''\r\n",
    "def f():\r    return 1\r",
    "\x0cdef f():\n    return 1\n",
    "class A:\n\tdef f(self):\n\t\treturn 1\n\tx = wanted",
    "def g():\n    x = wanted\ndef f(x):\n    return x\n",
]
KEPT = [
    "def f(x):\n    return wanted(x)\n",
    "def f(x):\n    return a.wanted\n",
    "def f(x):\n    return getattr(a, 'wanted')\n",
    "def f(x):\n    from a import wanted\n",
    "import wanted as w\ndef f(x):\n    return w\n",
    "from a import wanted as w\ndef f(x):\n    return w\n",
    "if x:\n    n = wanted()\ndef f(x):\n    return n(x)\n",
    "n = wanted()\nk = n\ndef f(x):\n    return k(x)\n",
    "class A:\n  def f(self):\n    self.n = wanted()\n  def g(self):\n    return self.n\n",
    "def f():\n    global x\n    x = 1\ny = wanted\n",
    "@wanted\ndef f(x):\n    return x\n",
    "if x:\n    def f():\n        return 1\n",
    "x = 1\n",
    "def f(:\n",
]


@pytest.mark.parametrize("text", STUBBED)
def test_what_names_nothing_of_interest_becomes_a_stub(text: str) -> None:
    short = excerpt(text, NAMES)
    assert "'''" in short
    assert "return" not in short
    assert len(line_starts(short)) == len(line_starts(text))
    cst.parse_module(short)


@pytest.mark.parametrize("text", KEPT)
def test_what_names_something_of_interest_stays(text: str) -> None:
    assert excerpt(text, NAMES) == text


FILLERS = [
    "def filler(x):\n    y = x\n    return y.grad_or_not\n",
    "class Filler(object):\n    def filler(self, axis):\n        self.m = axis\n",
    "async def other_filler():\n    return '''\n'''\n",
]


@pytest.mark.parametrize("code", HITS)
def test_rules_find_the_same_in_an_excerpt(
    code: str, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    head = TORCH if code in ("PN121", "PN122") else MINDSPORE
    draw = random.Random(int(rng.integers(2**32)))
    for case in [*HITS[code], *MISSES[code]]:
        body = marked(case)[0]
        text = f"{head}{draw.choice(FILLERS)}{body}\n{draw.choice(FILLERS)}"
        in_excerpt = checked(text, code, fix=True)
        with monkeypatch.context() as patch:
            patch.setattr(check_module, "excerpt", lambda text, names: text)
            assert checked(text, code, fix=True) == in_excerpt


def test_an_excerpt_that_leaves_out_too_much_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"{MINDSPORE}def f():\n    return ops.L2Normalize(1)\n"
    assert len(checked(text, "PN101").findings) == 1
    monkeypatch.setattr(check_module, "excerpt", lambda text, names: excerpt(text, {"other"}))
    assert len(checked(text, "PN101").findings) == 0
