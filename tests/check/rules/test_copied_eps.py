"""PN102: torch's default eps given as epsilon of L2Normalize. « marks where a finding begins."""

from __future__ import annotations

import pytest

from tests.check.rules.cases import MINDSPORE, assert_marked, message

HITS = [
    "n = «ops.L2Normalize(1, +1e-12)",
    "n = «ops.L2Normalize(1, float('1e-12'))",
    "n = «ops.L2Normalize(1, 1e-6 * 1e-6)",
    "n = «ops.L2Normalize(1, 1e-6 / 1e6)",
    "if x:\n    pass\nelif y:\n    pass\nelse:\n    EPS = 1e-12\n    n = «ops.L2Normalize(1, EPS)",
    "EPS = 1\nEPS = 1e-12\nif x:\n    pass\nelif «ops.L2Normalize(1, EPS)(x):\n    pass",
    "EPS = 1e-12; n = «ops.L2Normalize(1, EPS)",
    "n = «ops.L2Normalize(axis=1, epsilon=1e-12)",
    "n = «P.L2Normalize(1, 1e-12)",
    "n = «ops.L2Normalize(1, epsilon=0.000000000001)",
    "n = «ops.L2Normalize(1, 10 ** -12)",
    "EPS = 1e-12\ndef f(axis):\n    return «ops.L2Normalize(axis, EPS)",
    "EPS: float = 1e-12\nn = «ops.L2Normalize(1, EPS)",
    "OTHER = 1e-12\nEPS = OTHER\nn = «ops.L2Normalize(1, EPS)",
    "eps = 1e-4\neps = 1e-12\nn = «ops.L2Normalize(1, eps)",
    "def f(eps=1e-12):\n    return «ops.L2Normalize(1, eps)",
    "def f(x, /, axis, eps=1e-12):\n    return «ops.L2Normalize(axis, eps)(x)",
    "def f(x, *, axis=1, eps=1e-12):\n    return «ops.L2Normalize(axis, epsilon=eps)(x)",
    "EPS = 1e-12\ndef f(eps=EPS):\n    return «ops.L2Normalize(1, eps)",
    "class L(nn.Cell):\n    def __init__(self, axis, eps=1e-12):\n"
    "        self.n = «ops.L2Normalize(axis, eps)",
    "class L(nn.Cell):\n    def __init__(self):\n        self.eps = 1e-12\n"
    "    def construct(self, x):\n        return «ops.L2Normalize(1, self.eps)(x)",
    "class L(nn.Cell):\n    def __init__(self, eps=1e-12):\n        self.eps = eps\n"
    "        self.n = «ops.L2Normalize(1, self.eps)",
    "class L(nn.Cell):\n    eps: float = 1e-12\n    def construct(self, x):\n"
    "        return «ops.L2Normalize(1, self.eps)(x)",
    "class Config:\n    EPS = 1e-12\nn = «ops.L2Normalize(1, Config.EPS)",
]
MISSES = [
    "def f(eps=1e-12):\n    return ops.L2Normalize(1, eps.of)",
    "def f(eps=1e-12):\n    eps = g()\n    return ops.L2Normalize(1, eps)",
    "EPS = 1\nif x:\n    EPS = 1e-12\nelse:\n    n = ops.L2Normalize(1, EPS)",
    "if x:\n    EPS = 1e-12\nn = ops.L2Normalize(1, EPS)",
    "n = ops.L2Normalize(1, -1e-12)",
    "n = ops.L2Normalize(1, ~1)",
    "n = ops.L2Normalize(1, other('1e-12'))",
    "n = ops.L2Normalize(1, float('1e-12', 1))",
    "n = ops.L2Normalize(1, float('wrong'))",
    "n = ops.L2Normalize(1, 1e-12 / 0)",
    "n = ops.L2Normalize(1, 1e-12 + 0)",
    "EPS = EPS = 1e-12\nn = ops.L2Normalize(1, EPS)",
    "EPS, B = 1e-12, 2\nn = ops.L2Normalize(1, EPS)",
    "EPS = 1e-12\nEPS += 1\nn = ops.L2Normalize(1, EPS)",
    "from other import EPS\nEPS = 1e-12\nn = ops.L2Normalize(1, EPS)",
    "A = B\nB = A\nn = ops.L2Normalize(1, A)",
    "EPS = ops.L2Normalize(1, EPS)",
    "n = ops.L2Normalize(1, 1e-4)",
    "n = ops.L2Normalize(1, 1e-24)",
    "n = ops.L2Normalize(1, EPS)",
    "def f(eps=1e-4):\n    return ops.L2Normalize(1, eps)",
    "def f(eps):\n    return ops.L2Normalize(1, eps)",
    "def f(other=1e-12, *, eps=1e-4):\n    return ops.L2Normalize(1, eps)",
    "def f(eps=1e-12):\n    eps = g(eps)\n    return ops.L2Normalize(1, eps)",
    "def f(*eps):\n    return ops.L2Normalize(1, eps)",
    "class L(nn.Cell):\n    def __init__(self):\n        self.eps = 1e-12\n"
    "        self.eps = 1e-4\n        self.n = ops.L2Normalize(1, self.eps)",
    "class L(nn.Cell):\n    def __init__(self):\n        self.eps, self.a = 1e-4, 1e-12\n"
    "        self.n = ops.L2Normalize(1, self.eps)",
    "class L(nn.Cell):\n    eps = 1e-12\n    def __init__(self):\n        self.eps *= 2\n"
    "        self.n = ops.L2Normalize(1, self.eps)",
    "class A:\n    eps = 1e-12\nclass L(nn.Cell):\n    def __init__(self):\n"
    "        self.n = ops.L2Normalize(1, self.eps)",
    "class A:\n    eps = 1e-12\nn = ops.L2Normalize(1, B.eps)",
    "class L(nn.Cell):\n    def __init__(self):\n        self.eps = self.eps\n"
    "        self.n = ops.L2Normalize(1, self.eps)",
    "EPS = 1e-12\nif x:\n    EPS = 1e-4\nn = ops.L2Normalize(1, EPS)",
    "for EPS in (1e-12,):\n    n = ops.L2Normalize(1, EPS)",
    "n = pm.L2Normalize(1, 1e-12)",
    "y = pm.normalize(x, eps=1e-12)",
    "n = ops.L2Normalize(1e-12)",
    "n = ops.L2Normalize(1, '1e-12')",
]


@pytest.mark.parametrize("case", [*HITS, *MISSES])
def test_it_reports_what_is_wrong_and_nothing_else(case: str) -> None:
    assert_marked("PN102", MINDSPORE, case)


def test_there_are_as_many_cases_to_leave_alone_as_to_report() -> None:
    assert len(MISSES) >= len(HITS)


def test_the_message_has_the_numbers() -> None:
    assert "a floor of 1e-06 on the norm" in message(
        "PN102", MINDSPORE, "n = ops.L2Normalize(1, 1e-12)"
    )


def test_an_epsilon_that_somebody_may_replace_is_said_to_be_one() -> None:
    case = "def f(eps=1e-12):\n    return ops.L2Normalize(1, eps)"
    said = "so this is, unless another one is given, a floor of 1e-06"
    assert said in message("PN102", MINDSPORE, case)
