"""Rules see a part of a module, and find in it what they find in the whole."""

from __future__ import annotations

import random

import numpy as np
import pytest

from portnorm.codemod import check as check_module
from portnorm.codemod import resolve
from portnorm.codemod.screen import Syntax
from portnorm.codemod.skeleton import skeleton
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
            patch.setattr(resolve, "skeleton", lambda syntax, keep, values: syntax.text)
            assert checked(text, code, fix=True) == in_part


def test_a_part_that_leaves_out_too_much_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"{MINDSPORE}def f(g):\n    return ms.grad(g)\nn = ops.L2Normalize(1)\n"
    assert len(checked(text, "PN104").findings) == 1
    monkeypatch.setattr(check_module, "WORDS", ())
    assert len(checked(text, "PN104").findings) == 0
