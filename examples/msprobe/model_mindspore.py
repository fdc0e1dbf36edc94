"""The same model, ported by name in one tower: `python model_mindspore.py FOLDER`."""

import json
import sys
from pathlib import Path

import mindspore
import numpy as np
from mindspore import Tensor, mint, nn, ops
from msprobe.mindspore import PrecisionDebugger

import portnorm.mindspore

# On a CPU: msprobe 26.2 asks for the norm of every tensor, and mint.norm has no kernel for a CPU.
mint.norm = ops.norm


class Towers(nn.Cell):
    """The same towers."""

    def __init__(self, weight: np.ndarray) -> None:
        super().__init__()
        self.project = nn.Dense(8, 4, has_bias=False, weight_init=Tensor(weight))
        self.norm = ops.L2Normalize(axis=1)

    def construct(self, image: Tensor, text: Tensor) -> Tensor:
        image = self.norm(self.project(image))
        text = portnorm.mindspore.normalize(text, dim=-1, parity="strict")
        return (image * text).sum()


def main(folder: str) -> None:
    """Run a step, and dump it."""
    config = Path(folder, "config.json")
    tensors = {"scope": [], "list": ["ormalize"], "data_mode": ["all"]}
    whole = {"task": "tensor", "dump_path": folder, "rank": [], "step": [], "level": "L1"}
    config.write_text(json.dumps({**whole, "tensor": tensors}))
    rng = np.random.default_rng(0)
    model = Towers(rng.standard_normal((4, 8)).astype(np.float32))
    image, text = rng.standard_normal((6, 8)), rng.standard_normal((6, 4))
    image[3] *= 1e-4
    image[5] = 0
    debugger = PrecisionDebugger(config_path=str(config))
    debugger.register_custom_api(portnorm.mindspore, "normalize")
    debugger.start(model)
    inputs = [Tensor(one.astype(np.float32)) for one in (image, text)]
    mindspore.value_and_grad(model, None, model.trainable_params())(*inputs)
    debugger.stop()
    debugger.step()


main(sys.argv[1])
