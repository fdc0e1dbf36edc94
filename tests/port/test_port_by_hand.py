"""Normalization that is written by hand goes to a call where one has the same numbers."""

from __future__ import annotations

import pytest

from portnorm.port import Ported, port_source
from tests.source.hand_written import NONE_ON_TORCH, TORCH, TORCH_HEAD

HEAD = "import torch\n"


def ported(text: str, to: str = "mindspore", style: str = "adapter") -> Ported:
    return port_source(text, to=to, style=style, hand_written=True)


def test_it_is_left_alone_unless_it_is_asked_for() -> None:
    text = HEAD + "y = x / x.norm(dim=1, keepdim=True)\nz = x / (x.norm() + 1e-8)\n"
    assert port_source(text, to="mindspore") == Ported(text)


@pytest.mark.parametrize(
    ("text", "new"),
    [
        (
            HEAD + "y = a @ (x[:, 0] / x[:, 0].norm(dim=1, keepdim=True)).t()\n",
            "import portnorm.mindspore\nimport torch\n"
            "y = a @ (portnorm.mindspore.normalize(x[:, 0], dim=1, eps=0.0)).t()\n",
        ),
        (
            HEAD + "def f(x, d):\n    # its length\n    n = torch.norm(x, dim=d, keepdim=True)\n\n"
            "    n = n.clamp(\n        min=1e-6\n    )\n    return x / n  # unit\n",
            "import portnorm.mindspore\ndef f(x, d):\n    # its length\n\n"
            "    return portnorm.mindspore.normalize(x, dim=d, eps=1e-6)  # unit\n",
        ),
        (
            HEAD + "def f(x):\n    n = torch.norm(x, dim=1, keepdim=True)\n    return x / n, n\n",
            "import portnorm.mindspore\nimport torch\ndef f(x):\n"
            "    n = torch.norm(x, dim=1, keepdim=True)\n"
            "    return portnorm.mindspore.normalize(x, dim=1, eps=0.0), n\n",
        ),
        (
            HEAD + "n = torch.norm(x, dim=1, keepdim=True)  # its length\ny = x / n\n",
            "import portnorm.mindspore\nimport torch\n"
            "n = torch.norm(x, dim=1, keepdim=True)  # its length\n"
            "y = portnorm.mindspore.normalize(x, dim=1, eps=0.0)\n",
        ),
        (
            HEAD + "def f(x):\n    n = torch.norm(x, dim=1, keepdim=True); return x / n\n",
            "import portnorm.mindspore\nimport torch\ndef f(x):\n"
            "    n = torch.norm(x, dim=1, keepdim=True); "
            "return portnorm.mindspore.normalize(x, dim=1, eps=0.0)\n",
        ),
        (
            HEAD + "n = 1\ndef f(x):\n    n = x.norm(dim=1, keepdim=True)\n    y = x / n\n"
            "    n = x.norm(dim=1, keepdim=True)\n    return n\n",
            "import portnorm.mindspore\nimport torch\nn = 1\ndef f(x):\n"
            "    n = x.norm(dim=1, keepdim=True)\n"
            "    y = portnorm.mindspore.normalize(x, dim=1, eps=0.0)\n"
            "    n = x.norm(dim=1, keepdim=True)\n    return n\n",
        ),
    ],
    ids=["operand", "unused", "used", "comment", "one line", "bound again"],
)
def test_only_what_nothing_else_needs_goes(text: str, new: str) -> None:
    assert ported(text).text == new


@pytest.mark.parametrize("body", [body for body, (_, call) in TORCH.items() if not call])
def test_what_has_no_exact_call_is_reported_with_the_reason(body: str) -> None:
    lines = body.replace("\n", "\n    ")
    text = f"{TORCH_HEAD}def f(x):\n    {lines}\n"
    done = ported(text)
    assert done.text == text
    assert [one.code for one in done.reported] == ["PN210"]
    assert "has no call with the same numbers: " in done.reported[0].message


@pytest.mark.parametrize("body", NONE_ON_TORCH)
def test_what_is_no_normalization_is_neither_changed_nor_reported(body: str) -> None:
    lines = body.replace("\n", "\n    ").replace("F.normalize", "F.relu")
    text = f"{TORCH_HEAD}def f(x, y, self):\n    {lines}\n"
    assert ported(text) == Ported(text)


@pytest.mark.parametrize(
    ("text", "code", "reason"),
    [
        (HEAD + "import mindspore\ny = x / x.norm(dim=1, keepdim=True)\n", "PN210", "either"),
        (HEAD + "portnorm = 1\ny = x / x.norm()\n", "PN203", "something else"),
        (HEAD + "y = x / x.norm(  # length\n)\n", "PN210", "comment"),
        (HEAD + "y = x / x.norm().clamp(min=f())\n", "PN210", "something else than a number"),
        (
            HEAD + "y = x / x.norm().clamp(min=torch.finfo(x.dtype).eps)\n",
            "PN210",
            "something else than a number",
        ),
        (HEAD + "y = f(x) / f(x).norm()\n", "PN210", "twice"),
        (HEAD + "y = x[f()] / x[f()].norm()\n", "PN210", "twice"),
    ],
)
def test_what_a_call_cannot_stand_for_is_reported(text: str, code: str, reason: str) -> None:
    done = ported(text)
    assert done.text == text
    assert [one.code for one in done.reported] == [code]
    assert reason in done.reported[0].message


def test_a_comment_leaves_it_alone() -> None:
    text = (
        HEAD + "y = x / x.norm()  # portnorm: ignore\nz = x / (x.norm() + 1)  # portnorm: ignore\n"
    )
    assert ported(text) == Ported(text, ignored=2)


def test_a_second_run_changes_nothing() -> None:
    text = HEAD + "y = x / x.norm()\nz = x / (x.norm() + 1e-8)\n"
    once = ported(text)
    assert once.rewritten == 1
    assert ported(once.text).text == once.text


def test_inline_it_goes_to_torchs_own_function_or_is_reported() -> None:
    text = "from mindspore import ops\ny = x / ops.norm(x, dim=1, keepdim=True)\n"
    new = "import torch.nn.functional\ny = torch.nn.functional.normalize(x, dim=1, eps=0.0)\n"
    assert ported(text, "torch", "inline").text == new
    other = "from mindspore import ops\ny = x / ops.sqrt(ops.clamp((x * x).sum(0), min=1e-4))\n"
    for source, to in ((other, "torch"), (HEAD + "y = x / x.norm()\n", "mindspore")):
        done = ported(source, to, "inline")
        assert done.text == source
        assert "no inline form" in done.reported[0].message


def test_what_is_of_the_framework_moved_to_stays() -> None:
    text = HEAD + "y = x / x.norm()\n"
    assert ported(text, "torch") == Ported(text)
