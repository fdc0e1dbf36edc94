"""A small model whose calls msprobe dumps: `python model_torch.py FOLDER` makes torch/."""

import json
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from msprobe.pytorch import PrecisionDebugger
from torch import nn


class Towers(nn.Module):
    """Two towers whose outputs are normalized."""

    def __init__(self, weight: np.ndarray) -> None:
        super().__init__()
        self.project = nn.Linear(8, 4, bias=False)
        self.project.weight.data = torch.from_numpy(weight)

    def forward(self, image: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        image = F.normalize(self.project(image), dim=1)
        text = F.normalize(text, dim=-1)
        return (image * text).sum()


def main(folder: str) -> None:
    """Run a step, and dump it."""
    config = Path(folder, "config.json")
    tensors = {"scope": [], "list": ["normalize"], "data_mode": ["all"]}
    whole = {"task": "tensor", "dump_path": folder, "rank": [], "step": [], "level": "L1"}
    config.write_text(json.dumps({**whole, "tensor": tensors}))
    rng = np.random.default_rng(0)
    model = Towers(rng.standard_normal((4, 8)).astype(np.float32))
    image, text = rng.standard_normal((6, 8)), rng.standard_normal((6, 4))
    image[3] *= 1e-4  # a row between the floors of the two functions
    image[5] = 0
    debugger = PrecisionDebugger(config_path=str(config))
    debugger.start(model)
    inputs = (torch.from_numpy(one.astype(np.float32)) for one in (image, text))
    model(*inputs).backward()
    debugger.stop()
    debugger.step()


main(sys.argv[1])
