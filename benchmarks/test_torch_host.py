"""What a small call of the torch host costs, against F.normalize."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional as F  # noqa: E402

import portnorm.torch as adapted  # noqa: E402

SHAPES = [(8,), (32, 128)]
CALLS: dict[str, Callable[..., Any]] = {
    "normalize": lambda x, parity: adapted.normalize(x, dim=-1, parity=parity),
    "l2_normalize": lambda x, parity: adapted.l2_normalize(x, -1, parity=parity),
}


@pytest.mark.parametrize("gradient", [False, True], ids=["forward", "with gradient"])
@pytest.mark.parametrize("parity", ["semantic", "strict"])
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("shape", SHAPES)
def test_small_calls(
    against: Any,
    rng: np.random.Generator,
    shape: tuple[int, ...],
    name: str,
    parity: str,
    gradient: bool,
) -> None:
    x, g = (torch.from_numpy(rng.standard_normal(shape)).float() for _ in "xg")
    call = CALLS[name]

    def ours() -> Any:
        return call(x, parity)

    def theirs() -> Any:
        return F.normalize(x, dim=-1)

    if gradient:
        x.requires_grad_()
        forward = ours, theirs
        ours, theirs = (lambda f=f: torch.autograd.grad(f(), x, g) for f in forward)
    what = "with gradient" if gradient else "forward"
    against(f"torch host {name} {parity} {shape} {what}", 1.5, ours, theirs)
