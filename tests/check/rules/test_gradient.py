"""PN104: MindSpore's gradient of L2Normalize below the floor. « marks where a finding begins."""

from __future__ import annotations

import pytest

from tests.check.rules.cases import MINDSPORE, assert_marked, message

HITS = [
    "n = «ops.L2Normalize(1)\ng = ms.grad(f)",
    "n = «ops.L2Normalize(1, 1e-6)\ng = ms.value_and_grad(f, None, weights)",
    "n = «ops.L2Normalize(1)\ng = ops.GradOperation(get_all=True)",
    "n = «ops.L2Normalize(1)\nclass Loss(nn.LossBase):\n    pass",
    "n = «ops.L2Normalize(1)\nstep = nn.TrainOneStepCell(net, optimizer)",
    "from mindspore import Model\nn = «ops.L2Normalize(1)\nmodel = Model(net, loss)",
    "from mindspore.ops.composite import GradOperation as G\nn = «P.L2Normalize(1)\ng = G()",
]
MISSES = [
    "n = ops.L2Normalize(1)",
    "n = pm.L2Normalize(1)\ng = ms.grad(f)",
    "y = pm.normalize(x)\ng = ms.grad(f)",
    "n = ops.L2Normalize(1)\ng = np.grad(f)",
    "n = ops.L2Normalize(1)\ng = grad(f)",
    "n = ops.L2Normalize(1)\nclass Model:\n    pass\nm = Model()",
    "n = ops.L2Normalize(1, epsilon)\ng = ms.grad(f)",
    "n = ops.L2Normalize(1, 1.0)\ng = ms.grad(f)",
    "n = ops.L2Normalize(1)\nx = 'ms.grad(f)'",
]


@pytest.mark.parametrize("case", [*HITS, *MISSES])
def test_it_reports_what_is_wrong_and_nothing_else(case: str) -> None:
    assert_marked("PN104", MINDSPORE, case)


def test_there_are_as_many_cases_to_leave_alone_as_to_report() -> None:
    assert len(MISSES) >= len(HITS)


def test_the_message_has_the_numbers() -> None:
    assert "its root 0.001 is right" in message(
        "PN104", MINDSPORE, "n = ops.L2Normalize(1, 1e-6)\nms.grad(f)"
    )
