"""Layouts that random ones hardly ever hit."""

from __future__ import annotations

import numpy as np

from portnorm import TorchReference
from portnorm.exact import torch_cpu
from tests.conftest import needs_torch
from tests.exact.same_encoding import check_bits


@needs_torch
def test_a_dense_cotangent_keeps_an_odd_stride_on_a_dim_of_one_element() -> None:
    import torch

    rng = np.random.default_rng(0)
    shape, strides = (2, 64, 7, 1, 1), (1, 2, 128, 0, 896)
    x, memory = rng.random(shape, np.float32), rng.random(896, np.float32)
    g = np.ndarray(shape, np.float32, memory, 0, tuple(4 * stride for stride in strides))
    leaf = torch.from_numpy(x).requires_grad_()
    y = torch.nn.functional.normalize(leaf, 2.0, 2)
    (expected,) = torch.autograd.grad(y, leaf, torch.from_numpy(memory).as_strided(shape, strides))
    found = torch_cpu.normalize_vjp(x, g, 2.0, 2, 1e-12, TorchReference.current())
    check_bits(found, expected.numpy())
