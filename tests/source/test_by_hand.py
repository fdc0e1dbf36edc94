"""Normalization that is written by hand is recognized by its tree, and nothing else is."""

from __future__ import annotations

import textwrap

import pytest

from portnorm.source.by_hand import ByHand, by_hand, might_contain
from portnorm.source.names import Module
from portnorm.source.values import Values
from tests.source.hand_written import (
    MINDSPORE,
    MINDSPORE_HEAD,
    NONE_ON_TORCH,
    TORCH,
    TORCH_HEAD,
)


def found_in(head: str, body: str) -> tuple[Module, list[ByHand]]:
    function = textwrap.indent(body, "    ")
    module = Module(f"{head}import numpy as np\ndef f(x, y=None, self=None):\n{function}\n")
    return module, [*by_hand(Values(module))]


@pytest.mark.parametrize(
    ("head", "body", "form", "call"),
    [(TORCH_HEAD, body, *expected) for body, expected in TORCH.items()]
    + [(MINDSPORE_HEAD, body, *expected) for body, expected in MINDSPORE.items()],
)
def test_a_form_and_its_exact_call_are_told(
    head: str, body: str, form: str, call: str | None
) -> None:
    module, (found,) = found_in(head, body)
    told = found.counterpart(module)
    assert found.form.name == form
    assert (told and "{}({})".format(*told)) == call
    assert found.framework == ("torch" if head is TORCH_HEAD else "mindspore")


@pytest.mark.parametrize("body", NONE_ON_TORCH)
def test_what_is_no_normalization_is_left_alone(body: str) -> None:
    assert found_in(TORCH_HEAD, body)[1] == []


def test_there_are_as_many_cases_to_leave_alone_as_to_recognize() -> None:
    assert len(NONE_ON_TORCH) >= len(TORCH)


MINDSPORE_LAYER = """\
from mindspore import nn, ops
class L2Norm(nn.Cell):
    def __init__(self):
        self.square = ops.Square()
        self.reduce_sum = ops.ReduceSum(keep_dims=True)
        self.sqrt = ops.Sqrt()
    def construct(self, x):
        return x / self.sqrt(self.reduce_sum(self.square(x), 1))
"""


def test_operators_that_a_layer_holds_are_followed() -> None:
    (found,) = by_hand(Values(Module(MINDSPORE_LAYER)))
    assert found.form.name == "norm"


@pytest.mark.parametrize(
    "change",
    [
        ("self.sqrt = ops.Sqrt()", "self.sqrt = ops.Sqrt()\n        self.sqrt = other"),
        ("self.sqrt = ops.Sqrt()", "self.sqrt, self.a = ops.Sqrt(), 1"),
        ("self.sqrt = ops.Sqrt()", "self.sqrt = ops.Exp()"),
        ("keep_dims=True", "keep_dims=False"),
    ],
)
def test_operators_that_are_not_certain_are_not_followed(change: tuple[str, str]) -> None:
    assert [*by_hand(Values(Module(MINDSPORE_LAYER.replace(*change))))] == []


@pytest.mark.parametrize(
    "text",
    [
        "import numpy as np\ny = x / x.norm(dim=1, keepdim=True)\n",
        "import torch\nclass V:\n    def norm(self):\n        pass\ny = x / x.norm()\n",
        "import torch\nimport mindspore.ops as ops\ny = x / ops.sqrt(torch.sum(x * x))\n",
    ],
)
def test_methods_that_may_be_of_something_else_are_left_alone(text: str) -> None:
    assert [*by_hand(Values(Module(text)))] == []


def test_a_method_in_a_module_with_both_frameworks_belongs_to_neither() -> None:
    text = "import torch\nimport mindspore\ny = x / x.norm(dim=1, keepdim=True)\n"
    (found,) = by_hand(Values(Module(text)))
    assert found.framework == ""


def test_an_order_whose_meaning_depends_on_the_framework_is_left_alone() -> None:
    text = "import torch\nimport mindspore\ny = x / x.norm(2, 1, True)\n"
    assert [*by_hand(Values(Module(text)))] == []


def test_a_kernel_that_could_not_be_measured_has_no_counterpart() -> None:
    module = Module("from mindspore import mint\ny = x / mint.norm(x, 2, 1, True)\n")
    (found,) = by_hand(Values(module))
    assert (found.form.name, found.counterpart(module)) == ("norm", None)


def test_hundreds_of_terms_are_read_in_no_time() -> None:
    terms = "import torch\ny = " + " + ".join(f"x{i} * 2" for i in range(500))
    assert [*by_hand(Values(Module(f"{terms} / (x.norm() + 1e-8)\n")))] == []
    long, other = (" + ".join([name] * 1000) for name in "xy")
    assert [*by_hand(Values(Module(f"import torch\ny = ({long}) / ({other}).norm()\n")))] == []
    product = terms.replace("y = ", "y = torch.mul(") + ", x.norm())\n"
    assert [*by_hand(Values(Module(product)))] == []


def test_each_of_many_is_found() -> None:
    text = "import torch\n" + "y = x / x.norm(dim=1, keepdim=True)\n" * 50
    assert len([*by_hand(Values(Module(text)))]) == 50


@pytest.mark.parametrize(
    ("text", "does"),
    [
        (b"import torch\nx.norm()", True),
        (b"import mindspore\nops.sqrt(x)", True),
        (b"import torch\nx.mean()", False),
        (b"import jax\nx.norm()", False),
    ],
)
def test_files_without_the_words_are_ruled_out(text: bytes, does: bool) -> None:
    assert might_contain(text) == does
