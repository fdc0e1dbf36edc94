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
    "class TripletLoss(nn.Cell):\n    def construct(self, x):\n"
    "        return «ops.L2Normalize(1)(x)",
    "class InfoNCELoss(nn.Cell):\n    def __init__(self):\n        self.n = «ops.L2Normalize(1)\n"
    "    def construct(self, x):\n        return self.n(x)",
    "from mindspore.nn.loss.loss import _Loss\nclass Center(_Loss):\n    def construct(self, x):\n"
    "        return «P.L2Normalize(1)(x)",
    "class Center(BaseLoss):\n    def construct(self, x):\n        return «P.L2Normalize(1)(x)",
    "class Net(nn.Cell):\n    def construct(self, x):\n        return «ops.L2Normalize(1)(x)\n"
    "m = ms.Model(Net())",
    "class Net(nn.Cell):\n    def __init__(self, eps=1e-6):\n"
    "        self.n = «ops.L2Normalize(1, eps)\nm = ms.Model(Net())",
    "class Net(nn.Cell):\n    def __init__(self):\n        self.n = «ops.L2Normalize(1)\n"
    "        self.queue = self.n(ops.ones(3))\n    def construct(self, x):\n"
    "        return self.n(x)\nm = ms.Model(Net())",
    "def latest(x):\n    return «ops.L2Normalize(1)(x)\ng = ms.grad(latest)",
    "def train(data):\n    def forward(x):\n        return «ops.L2Normalize(1)(x)\n"
    "    return ms.grad(forward)(data)",
    "g = ms.grad(lambda x: «ops.L2Normalize(1)(x))",
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
    "def evaluate(x):\n    return ops.L2Normalize(1)(x)\ng = ms.grad(f)",
    "def run_eval(x):\n    n = ops.L2Normalize(1)\n    return n(x)\ng = ms.grad(f)",
    "def validation_step(x):\n    n = ops.L2Normalize(1)\n    return [n(y) for y in x]\n"
    "g = ms.grad(f)",
    "class EvalNet(nn.Cell):\n    def __init__(self):\n        self.n = ops.L2Normalize(1)\n"
    "    def construct(self, x):\n        return self.n(x)\ng = ms.grad(f)",
    "class MoCo(nn.Cell):\n    def __init__(self):\n"
    "        self.queue = ops.L2Normalize(0)(ops.standard_normal((8, 9)))\ng = ms.grad(f)",
    "class MoCo(nn.Cell):\n    def init_queue(self):\n        n = ops.L2Normalize(0)\n"
    "        self.queue = n(ops.standard_normal((8, 9)))\ng = ms.grad(f)",
    "class MoCo(nn.Cell):\n    def construct(self, x):\n"
    "        return ops.stop_gradient(ops.L2Normalize(0)(x))\ng = ms.grad(f)",
    "def features(x):\n    return ops.L2Normalize(1)(x).asnumpy()\ng = ms.grad(f)",
    "def main():\n    queue = ops.StandardNormal()((8, 9))\n"
    "    queue = ops.L2Normalize(0)(queue)\ng = ms.grad(f)",
    "def main(net, data):\n    step = nn.TrainOneStepCell(net, o)\n    n = ops.L2Normalize(1)\n"
    "    for x in data:\n        net.table = n(net.table)\n        step(x)",
    "y = ops.L2Normalize(1)(x)\ng = ms.grad(f)",
    "class Net(nn.Cell):\n    def construct(self, x):\n        return ops.L2Normalize(1)(x)",
    "class Loss(dict):\n    def get(self, x):\n        return ops.L2Normalize(1)(x)",
    "class TripletLoss(nn.Cell):\n    def eval(self, x):\n        return ops.L2Normalize(1)(x)",
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
