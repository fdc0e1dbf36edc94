"""What each rule finds, and what it must leave alone. « marks where a finding begins."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from portnorm.check import DEFAULT, Checked, check, selected
from portnorm.check.rules import RULES, Problem, Rule
from portnorm.check.view import View
from portnorm.semantics import round_to
from portnorm.source.codes import CODES
from portnorm.source.edits import Edit, Fix
from portnorm.source.files import SourceFile
from portnorm.source.names import NotPythonError
from tests.conftest import needs_mindspore, needs_torch

MINDSPORE = """\
import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops
from mindspore.ops import operations as P
import portnorm.mindspore as pm
import portnorm.torch as pt
"""
TORCH = """\
import math
import torch
import torch.nn as nn
import torch.nn.functional as F
import torchvision.transforms.functional as TF
import portnorm.mindspore as pm
"""

HITS: dict[str, list[str]] = {
    "PN101": [
        "y = «ops.L2Normalize(axis=1)(x)",
        "y = «ops.L2Normalize()(x)",
        "y = «P.L2Normalize(-1)(x)",
        "y = «ms.ops.L2Normalize(axis=(1,))(x)",
        "from mindspore.ops import L2Normalize as N\nn = «N(axis)",
        "from mindspore.ops._primitive_cache import _get_cache_prim\n"
        "y = «_get_cache_prim(ops.L2Normalize)(1)(x)",
        "class A(nn.Cell):\n    def __init__(self, axis):\n        self.n = «ops.L2Normalize(axis)",
        "n = «ops.L2Normalize(axis=1).shard(((1, 1),))",
        "def f(x):\n    from mindspore.ops import L2Normalize\n    return «L2Normalize(axis=1)(x)",
        "n = «(ops.L2Normalize)(\n    axis=1,\n)",
    ],
    "PN102": [
        "n = «ops.L2Normalize(axis=1, epsilon=1e-12)",
        "n = «P.L2Normalize(1, 1e-12)",
        "n = «ops.L2Normalize(1, epsilon=0.000000000001)",
        "n = «ops.L2Normalize(1, 10 ** -12)",
        "EPS = 1e-12\ndef f(axis):\n    return «ops.L2Normalize(axis, EPS)",
        "EPS: float = 1e-12\nn = «ops.L2Normalize(1, EPS)",
        "OTHER = 1e-12\nEPS = OTHER\nn = «ops.L2Normalize(1, EPS)",
        "eps = 1e-4\neps = 1e-12\nn = «ops.L2Normalize(1, eps)",
    ],
    "PN103": [
        "a = ops.L2Normalize(1, 1e-24)\nb = «ops.L2Normalize(1, 1e-20)",
        "a = ops.L2Normalize(1, 1e-16)\nb = «ops.L2Normalize(0, 2e-16)",
        "a = ops.L2Normalize(1, 1e-24)\nb = «ops.L2Normalize(1, 1e-20)\n"
        "c = «ops.L2Normalize(1, 3e-18)",
        "E = 1e-12\na = ops.L2Normalize(1, E ** 2)\nb = «ops.L2Normalize(1, E ** 2 * 4)",
        "class A:\n    def __init__(self):\n        self.n = ops.L2Normalize(1, 1e-24)\n"
        "class B:\n    def __init__(self):\n        self.n = «P.L2Normalize(1, 1e-30)",
    ],
    "PN104": [
        "n = «ops.L2Normalize(1)\ng = ms.grad(f)",
        "n = «ops.L2Normalize(1, 1e-6)\ng = ms.value_and_grad(f, None, weights)",
        "n = «ops.L2Normalize(1)\ng = ops.GradOperation(get_all=True)",
        "n = «ops.L2Normalize(1)\nclass Loss(nn.LossBase):\n    pass",
        "n = «ops.L2Normalize(1)\nstep = nn.TrainOneStepCell(net, optimizer)",
        "from mindspore import Model\nn = «ops.L2Normalize(1)\nmodel = Model(net, loss)",
        "from mindspore.ops.composite import GradOperation as G\nn = «P.L2Normalize(1)\ng = G()",
    ],
    "PN105": [
        "y = «pm.normalize(x.half(), dim=1)",
        "y = «pm.normalize(x.astype(ms.float16))",
        "y = «pm.normalize(x.astype('float16'), eps=1e-8)",
        "y = «pm.normalize(ops.cast(x, ms.float16))",
        "y = «pm.normalize(Tensor([0.0], dtype=ms.float16))",
        "y = «pm.normalize(Tensor(a, ms.float16), 2.0, 1, 1e-12)",
        "y = «ops.L2Normalize(1, 1e-12)(x.half())",
        "n = ops.L2Normalize(1, 1e-8)\ny = «n(x.astype(ms.float16))\nz = n(w)",
        "x = x.half()\ny = «pm.normalize(x)",
        "def f(x):\n    h = x.to(ms.float16)\n    z = 1\n    return «pm.normalize(h)",
        "y = «pt.L2Normalize(1, 1e-12)(x.half())",
        "y = «pm.normalize(ops.zeros((2, 3), dtype=ms.float16))",
    ],
    "PN111": [
        "y = «ops.L2Normalize()(x)",
        "y = «ops.L2Normalize(epsilon=1e-6)(x)",
        "class A(nn.Cell):\n    def __init__(self):\n        self.n = «P.L2Normalize()",
        "from mindspore.ops._primitive_cache import _get_cache_prim\n"
        "y = «_get_cache_prim(ops.L2Normalize)()(x)",
    ],
    "PN112": [
        "class A(nn.Cell):\n    def construct(self, x):\n        return «ops.L2Normalize(x)",
        "y = «ops.L2Normalize(Tensor([1.0]))",
        "y = «ops.L2Normalize(ops.ones((2, 3)))",
        "y = «ops.L2Normalize(x, axis=1)",
        "y = «ops.L2Normalize(x, axis=1, epsilon=1e-6)",
        "y = «ops.L2Normalize(x.reshape(2, 3))",
        "y = «ops.L2Normalize(a @ b)",
        "y = «ops.L2Normalize(x[:, 0])",
        "def f(x):\n    y = «ops.L2Normalize(x)\n    return y, x.shape",
        "x = Tensor([1.0])\ny = «ops.L2Normalize(2 * x, epsilon=1e-6)",
        "y = «pt.L2Normalize(x, axis=-1)",
    ],
    "PN113": [
        "y = «ops.L2Normalize(x, p=2, dim=1)",
        "n = «ops.L2Normalize(axis=1, eps=1e-12)",
        "n = «ops.L2Normalize(dim=1)",
        "n = «P.L2Normalize(1, p=2)",
        "n = ops.L2Normalize(1)\ny = «n(x, dim=-1)",
        "y = «ops.L2Normalize()(x, axis=1)",
        "class A(nn.Cell):\n    def __init__(self):\n        self.n = ops.L2Normalize()\n"
        "    def construct(self, x):\n        return «self.n(x, dim=-1)",
        "y = «pm.normalize(x, axis=1)",
        "y = «pm.normalize(x, epsilon=1e-4)",
        "n = «pt.L2Normalize(dim=1)",
        "y = «ops.L2Normalize(input=x, dim=1)",
    ],
    "PN121": [
        "y = «F.normalize(x, p=1, dim=1)",
        "y = «F.normalize(x, 1)",
        "y = «F.normalize(x, p=float('inf'))",
        "y = «F.normalize(x, p=-math.inf)",
        "y = «torch.nn.functional.normalize(x, p=0.5)",
        "y = «F.normalize(x, dim=(1, 2))",
        "y = «nn.functional.normalize(x, dim=[-2, -1])",
        "y = «F.normalize(x, dim=None)",
        "y = «F.normalize(x, 2, ())",
        "«F.normalize(x, dim=1, out=x)",
        "P = 3\ny = «F.normalize(x, P)",
    ],
    "PN122": [
        "y = «TF.normalize(x, dim=1)",
        "y = «TF.normalize(x, p=2)",
        "y = «TF.normalize(x, 2, 1)",
        "y = «F.normalize(img, mean=[0.5], std=[0.5])",
        "y = «F.normalize(img, [0.485, 0.456], [0.229, 0.224])",
        "MEAN = (0.5, 0.5)\ny = «F.normalize(img, MEAN, MEAN)",
        "from torchvision.transforms.v2.functional import normalize as n\ny = «n(x, eps=1e-6)",
        "y = «pm.normalize(img, mean=m, std=s)",
        "y = «F.normalize(img, m, s, inplace=True)",
    ],
}

MISSES: dict[str, list[str]] = {
    "PN101": [
        "y = ops.L2Normalize(axis=1, epsilon=1e-4)(x)",
        "y = ops.L2Normalize(1, epsilon)(x)",
        "y = pm.L2Normalize(axis=1)(x)",
        "y = pt.L2Normalize()(x)",
        "y = pm.l2_normalize(x)",
        "n = ops.L2Normalize(*arguments)",
        "n = ops.L2Normalize(**options)",
        "n = other.L2Normalize(axis=1)",
        "class L2Normalize:\n    pass\nn = L2Normalize()",
        "n = nn.L2Normalize()",
        "# ops.L2Normalize()\ns = 'ops.L2Normalize()'",
        "from mindspore.ops import L2Normalize",
    ],
    "PN102": [
        "n = ops.L2Normalize(1, 1e-4)",
        "n = ops.L2Normalize(1, 1e-24)",
        "n = ops.L2Normalize(1, EPS)",
        "def f(eps=1e-12):\n    return ops.L2Normalize(1, eps)",
        "EPS = 1e-12\nif x:\n    EPS = 1e-4\nn = ops.L2Normalize(1, EPS)",
        "for EPS in (1e-12,):\n    n = ops.L2Normalize(1, EPS)",
        "n = pm.L2Normalize(1, 1e-12)",
        "y = pm.normalize(x, eps=1e-12)",
        "n = ops.L2Normalize(1e-12)",
        "n = ops.L2Normalize(1, '1e-12')",
    ],
    "PN103": [
        "a = ops.L2Normalize(1, 1e-24)\nb = ops.L2Normalize(0, 1e-24)",
        "a = ops.L2Normalize(1, 1e-12)\nb = ops.L2Normalize(1, 2e-12)",
        "a = ops.L2Normalize(1, 1e-4)\nb = ops.L2Normalize(1, 1e-24)",
        "a = ops.L2Normalize(1)\nb = ops.L2Normalize(1)",
        "a = pm.L2Normalize(1, 1e-24)\nb = ops.L2Normalize(1, 1e-20)",
        "a = pm.L2Normalize(1, 1e-24)\nb = pm.L2Normalize(1, 1e-20)",
        "a = ops.L2Normalize(1, e)\nb = ops.L2Normalize(1, f)",
    ],
    "PN104": [
        "n = ops.L2Normalize(1)",
        "n = pm.L2Normalize(1)\ng = ms.grad(f)",
        "y = pm.normalize(x)\ng = ms.grad(f)",
        "n = ops.L2Normalize(1)\ng = np.grad(f)",
        "n = ops.L2Normalize(1)\ng = grad(f)",
        "n = ops.L2Normalize(1)\nclass Model:\n    pass\nm = Model()",
        "n = ops.L2Normalize(1, epsilon)\ng = ms.grad(f)",
        "n = ops.L2Normalize(1, 1.0)\ng = ms.grad(f)",
        "n = ops.L2Normalize(1)\nx = 'ms.grad(f)'",
    ],
    "PN105": [
        "y = pm.normalize(x)",
        "y = pm.normalize(x.half(), eps=1e-7)",
        "y = pm.normalize(x.half(), eps=eps)",
        "y = pm.normalize(x.astype(ms.float32))",
        "y = pm.normalize(x.astype(dtype))",
        "y = pm.normalize(half(x))",
        "y = pm.normalize(x.half().float())",
        "y = pm.normalize(x.half(), **options)",
        "x = x.half()\nx = x.float()\ny = pm.normalize(x)",
        "x = x.half()\nif a:\n    x = x.float()\ny = pm.normalize(x)",
        "n = ops.L2Normalize(1, 1e-12)\ny = n(x)",
        "n = ops.L2Normalize(1)\ny = n(x.half())",
        "y = pm.normalize(x.half(n))",
        "n = ops.L2Normalize(1, 0.0)\ny = n(x.half())",
    ],
    "PN111": [
        "y = ops.L2Normalize(axis=0)(x)",
        "y = ops.L2Normalize(0)(x)",
        "y = ops.L2Normalize(axis)(x)",
        "y = pm.L2Normalize()(x)",
        "y = ops.L2Normalize(**options)(x)",
        "n = ops.L2Normalize",
    ],
    "PN112": [
        "n = ops.L2Normalize(axis)",
        "n = ops.L2Normalize(self.axis)",
        "def f(axis):\n    return ops.L2Normalize(axis)",
        "def f(d):\n    return ops.L2Normalize(d)",
        "def f(x):\n    return ops.L2Normalize(x)(y), x.shape",
        "n = ops.L2Normalize(x.ndim - 1)",
        "n = ops.L2Normalize(len(x.shape) - 1)",
        "n = ops.L2Normalize((1,))",
        "n = ops.L2Normalize(axes[0])",
        "class A(nn.Cell):\n    def construct(self, x, axis):\n        n = ops.L2Normalize(axis)",
        "class A(nn.Cell):\n    def construct(self, x):\n        n = ops.L2Normalize(-1)",
        "class A(nn.Cell):\n    def construct(self, x, k):\n        return ops.L2Normalize(k)(x)",
        "y = pm.normalize(x, 2)",
        "y = pm.l2_normalize(x, axis=1)",
    ],
    "PN113": [
        "y = ops.L2Normalize(axis=1, epsilon=1e-4)(x)",
        "y = pm.normalize(x, p=2, dim=1, eps=1e-12, out=None, parity='native')",
        "n = pt.L2Normalize(axis=1, epsilon=1e-4, parity='strict')",
        "n = ops.L2Normalize(**{'dim': 1})",
        "y = other.normalize(x, axis=1)",
        "n = ops.L2Normalize(1)\ny = m(x, dim=1)",
        "n = ops.L2Normalize(1)\nn = other\ny = n(x, dim=1)",
        "y = pm.l2_normalize(x, axis=1, epsilon=1e-4)",
        "y = np.linalg.norm(x, axis=1)",
        "n = nn.Norm(axis=1)\ny = n(x)",
        "y = ops.L2Normalize(1)(ops.mean(x, axis=1))",
    ],
    "PN121": [
        "y = F.normalize(x)",
        "y = F.normalize(x, p=2, dim=1)",
        "y = F.normalize(x, p=2.0, dim=-1, eps=1e-6)",
        "y = F.normalize(x, p=p)",
        "y = F.normalize(x, dim=dims)",
        "y = F.normalize(x, dim=(1,))",
        "y = F.normalize(x, dim=1, out=None)",
        "y = pm.normalize(x, p=1, dim=(1, 2))",
        "y = TF.normalize(x, 1, 2)",
        "y = torch.norm(x, p=1)",
        "y = F.normalize(x, **options)",
        "def f(p=1):\n    return F.normalize(x, p)",
    ],
    "PN122": [
        "y = TF.normalize(img, [0.5], [0.5])",
        "y = TF.normalize(img, mean=m, std=s, inplace=True)",
        "y = TF.normalize(img, m, s)",
        "y = F.normalize(x, 2, 1)",
        "y = F.normalize(x, p, dim=(1, 2))",
        "y = F.normalize(x, dim=[1, 2])",
        "y = other.normalize(img, mean=m, std=s)",
        "t = transforms.Normalize([0.5], [0.5])",
        "y = normalize(x, dim=1)",
    ],
}

CASES = [
    pytest.param(code, case, id=f"{code} {kind} {number}")
    for kind, cases in (("hit", HITS), ("miss", MISSES))
    for code, listed in cases.items()
    for number, case in enumerate(listed, 1)
]


def checked(text: str, *codes: str, fix: bool = False, path: str = "a.py") -> Checked:
    source = SourceFile.parse(path, text.encode())
    return check(source, frozenset(codes) or selected(DEFAULT, ()), fix)


def marked(text: str) -> tuple[str, list[tuple[int, int]]]:
    """Take the marks out of a text and return where they were."""
    places = []
    while (at := text.find("«")) >= 0:
        before = text[:at]
        places.append((before.count("\n") + 1, at - before.rfind("\n")))  # both from 1
        text = before + text[at + 1 :]
    return text, places


@pytest.mark.parametrize(("code", "case"), CASES)
def test_a_rule_finds_what_is_wrong_and_nothing_else(code: str, case: str) -> None:
    head = TORCH if code in ("PN121", "PN122") else MINDSPORE
    text, places = marked(f"{head}{case}\n")
    found = checked(text, code)
    assert [(one.line, one.column) for one in found.findings] == places
    assert {one.code for one in found.findings} <= {code}


def test_every_rule_has_as_many_cases_to_leave_alone_as_to_find() -> None:
    codes = [rule.code for rule in RULES]
    assert codes == [code for code in CODES if code.startswith("PN1")] == sorted(codes)
    assert codes == list(HITS) == list(MISSES)
    assert all(len(MISSES[code]) >= len(HITS[code]) for code in codes)


def test_a_case_without_its_mark_would_fail() -> None:
    text, places = marked("a\n b«c")
    assert (text, places) == ("a\n bc", [(2, 3)])
    assert marked(MISSES["PN101"][0])[1] == []


def test_rules_say_what_they_are() -> None:
    for rule in RULES:
        assert rule.title == CODES[rule.code].title
        assert rule.why.endswith(".")


def test_eps_that_float16_holds_is_not_reported() -> None:
    edge = 2.0**-25
    assert round_to(edge, "float16") == 0 < round_to(edge * 1.001, "float16")
    for eps, count in [(edge, 1), (edge * 1.001, 0)]:
        text = f"{MINDSPORE}pm.normalize(x.half(), eps={eps!r})\n"
        assert len(checked(text, "PN105").findings) == count


# --- messages -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "case", "words"),
    [
        ("PN101", "n = ops.L2Normalize(1)", "norm below 0.01 are divided by 0.01"),
        ("PN102", "n = ops.L2Normalize(1, 1e-12)", "a floor of 1e-06 on the norm"),
        ("PN103", HITS["PN103"][0].replace("«", ""), "epsilon=1e-24 from line 7"),
        ("PN104", "n = ops.L2Normalize(1, 1e-6)\nms.grad(f)", "its root 0.001 is right"),
        ("PN105", "pm.normalize(x.half())", "float16 rounds eps=1e-12 to 0"),
        ("PN113", "ops.L2Normalize(x, p=2, dim=1)", "p= and dim=: L2Normalize takes axis"),
        ("PN121", "import torch\ntorch.nn.functional.normalize(x, 1, (0, 1), out=x)", "p=1: it"),
    ],
)
def test_messages_have_the_numbers(code: str, case: str, words: str) -> None:
    (found,) = checked(f"{MINDSPORE}{case}\n", code).findings
    assert words in found.message


# --- fixes ----------------------------------------------------------------------------------------

FIXED = [
    ("n = ops.L2Normalize(dim=1)", "n = ops.L2Normalize(axis=1)"),
    (
        "n = ops.L2Normalize( dim = -1 , epsilon=1e-6)  # d",
        "n = ops.L2Normalize( axis = -1 , epsilon=1e-6)  # d",
    ),
    ("y = pm.normalize(x, axis=1)", "y = pm.normalize(x, dim=1)"),
    ("y = pm.normalize(x, axis=1, eps=1e-6)", "y = pm.normalize(x, dim=1, eps=1e-6)"),
    ("y = ops.L2Normalize(x, axis=1)", "y = ops.L2Normalize(axis=1)(x)"),
    (
        "y = ops.L2Normalize(x + 1, axis=1, epsilon=1e-6)",
        "y = ops.L2Normalize(axis=1, epsilon=1e-6)(x + 1)",
    ),
    (
        "y = ops.L2Normalize(\n    x,\n    axis=1,  # rows\n)",
        "y = ops.L2Normalize(\n    axis=1,  # rows\n)(x)",
    ),
    (
        "y = ops.L2Normalize(ops.L2Normalize(x, axis=1), axis=0)",
        "y = ops.L2Normalize(axis=0)(ops.L2Normalize(axis=1)(x))",
    ),
]
NOT_FIXED = [
    "y = ops.L2Normalize(x, p=2, dim=1)",
    "n = ops.L2Normalize(axis=1, eps=1e-12)",
    "n = ops.L2Normalize(dim=1, eps=1e-12)",
    "n = ops.L2Normalize(1, dim=1)",
    "n = ops.L2Normalize(axis=1, dim=1)",
    "y = pm.normalize(x, axis=1, epsilon=1e-4)",
    "y = pm.normalize(x, 2, 1, axis=1)",
    "y = pm.normalize(x, axis=1, **options)",
    "n = ops.L2Normalize(1)\ny = n(x, dim=-1)",
    "class A(nn.Cell):\n    def construct(self, x):\n        return ops.L2Normalize(x)",
    "y = ops.L2Normalize(x, 1e-4, axis=1)",
    "y = ops.L2Normalize(  # which\n    x, axis=1 + 0 * len('#'), dim=1)",
    "y = ops.L2Normalize((\n    x  # the input\n), axis=1)",
    "y = ops.L2Normalize(\n    x,  # the input\n    axis=1,\n)",
    "n = ops.L2Normalize(1)",
    "n = ops.L2Normalize(1, 1e-12)",
]


@pytest.mark.parametrize(("before", "after"), FIXED)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_can_mean_one_thing_only_is_mended(before: str, after: str, end: str) -> None:
    head = f"# é \t\n\x0c{MINDSPORE}".replace("\n", end)
    text = head + before.replace("\n", end)
    mended = checked(text, "PN112", "PN113", fix=True)
    assert mended.content is not None
    assert mended.content.decode() == head + after.replace("\n", end)
    assert (mended.findings, mended.fixed) == ((), before.count("L2N") if "ops.L2N" in after else 1)
    again = checked(mended.content.decode(), "PN112", "PN113", fix=True)
    assert (again.content, again.fixed) == (None, 0)


@needs_mindspore
@needs_torch
@pytest.mark.parametrize(("before", "after"), FIXED)
def test_what_is_mended_raised_an_error_and_runs_now(before: str, after: str) -> None:
    names: dict[str, object] = {}
    exec(f"{MINDSPORE}x = Tensor([[3.0, 4.0]])\n", names)
    with pytest.raises(TypeError):
        exec(before, names)
    exec(after, names)


@pytest.mark.parametrize("case", NOT_FIXED)
def test_what_may_mean_something_else_is_reported_only(case: str) -> None:
    text = f"{MINDSPORE}{case}\n"
    found = checked(text, fix=True)
    assert (found.content, found.fixed) == (None, 0)
    assert found.findings
    assert all(one.fix is None for one in found.findings)


def test_without_fix_nothing_is_mended() -> None:
    found = checked(f"{MINDSPORE}n = ops.L2Normalize(dim=1)\n", "PN113")
    assert found.content is None
    assert found.findings[0].fix is not None


def test_there_are_as_many_cases_to_leave_alone_as_to_mend() -> None:
    assert len(NOT_FIXED) >= len(FIXED)
    assert {rule.code for rule in RULES if rule.has_fix} == {"PN112", "PN113"}


# --- one file -------------------------------------------------------------------------------------


def test_a_comment_silences_a_finding_and_its_fix() -> None:
    line = "n = ops.L2Normalize(dim=1)  # portnorm: ignore[PN113]\n"
    assert checked(MINDSPORE + line, fix=True) == Checked((), calls=1)
    assert checked(MINDSPORE + line.replace("PN113", "PN101"), fix=True).fixed == 1


def test_a_comment_on_any_line_of_a_call_silences_it() -> None:
    call = "n = ops.L2Normalize(\n    axis=1,\n)  # portnorm: ignore\n"
    assert checked(MINDSPORE + call).findings == ()
    assert (
        len(checked(MINDSPORE + "# portnorm: ignore\n" + call.replace("#", "# no")).findings) == 1
    )


def test_code_that_is_no_python_is_reported_where_it_breaks() -> None:
    (found,) = checked(f"{MINDSPORE}ops.L2Normalize()\nprint 'x'\n").findings
    assert (found.code, found.line) == ("PN001", 8)
    assert checked(f"{MINDSPORE}ops.L2Normalize()\nprint 'x'\n", "PN101").findings == ()


def test_names_that_cannot_be_told_are_counted_and_shown_on_demand() -> None:
    text = "from mindspore.ops import *\nn = L2Normalize()\n"
    found = checked(text)
    assert (found.findings, found.calls, found.unresolved) == ((), 0, 1)
    unresolved = [code for code in CODES if code.startswith("PN2")]
    if unresolved:
        assert len(checked(text, *unresolved).findings) == 1


def test_a_fix_that_never_ends_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import portnorm.check.file as module

    def find(view: View) -> Iterator[Problem]:
        yield Problem(
            view.constructors[0].call, "planted", Fix("grow", (Edit((1, 1), (1, 1), "#\n"),))
        )

    monkeypatch.setattr(module, "RULES", (Rule("PN101", "Planted.", True, find),))
    with pytest.raises(RuntimeError, match="do not come to an end"):
        checked(MINDSPORE + "ops.L2Normalize()", "PN101", fix=True)


def test_a_fix_that_breaks_the_code_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import portnorm.check.file as module

    def find(view: View) -> Iterator[Problem]:
        yield Problem(
            view.constructors[0].call, "planted", Fix("break", (Edit((1, 1), (1, 1), "("),))
        )

    monkeypatch.setattr(module, "RULES", (Rule("PN101", "Planted.", True, find),))
    with pytest.raises(NotPythonError):
        checked(MINDSPORE + "ops.L2Normalize()", "PN101", fix=True)
