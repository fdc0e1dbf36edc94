"""What two processes check of DTensor and of fully_shard: ``torchrun`` starts it, see below.

    python -m torch.distributed.run --standalone --nproc-per-node 2 distributed_torch.py SEED

The first process prints a line for each check that passed.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Partial, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.debug import CommDebugMode

import portnorm.torch as adapted
from portnorm import TorchReference, set_options
from tests.hosts.torch_host import same_bits

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
ORDERS = (0.0, 1.0, 2.0, 2.0, math.inf, -math.inf)
SIZES = (1, 2, 3, 5, 8, 17, 33, 64, 100)


class Case:
    """A random call on one tensor, and on the same tensor shared by two processes."""

    def __init__(self, rng: np.random.Generator, mesh: Any, *, l2: bool) -> None:
        self.l2 = l2
        self.dtype = DTYPES[rng.integers(0, 4)] if not l2 else DTYPES[rng.choice([0, 2, 3])]
        self.shape = tuple(int(n) for n in rng.choice(SIZES, rng.integers(1, 4)))
        ndim = len(self.shape)
        dims = tuple(int(d) for d in rng.permutation(ndim)[: rng.integers(1, ndim + 1)])
        self.p = float(rng.choice(ORDERS))
        self.dim = dims[0] - ndim * int(rng.integers(2))
        if not l2 and rng.random() < 0.3:
            self.dim = dims if rng.random() < 0.5 else None
        self.shard = int(rng.integers(ndim))
        values = (torch.from_numpy(rng.normal(size=self.shape)).to(self.dtype) for _ in "xg")
        self.x, self.g = values
        self.shared_x = distribute_tensor(self.x, mesh, [Shard(self.shard)])
        self.shared_g = distribute_tensor(self.g, mesh, [Shard(self.shard)])
        if ndim > 1 and rng.random() < 0.3:
            tensors = self.x, self.g, self.shared_x, self.shared_g
            self.x, self.g, self.shared_x, self.shared_g = (t.transpose(0, -1) for t in tensors)
        self.threads = int(rng.integers(1, 3))

    def __repr__(self) -> str:
        call = f"axis={self.dim}" if self.l2 else f"p={self.p} dim={self.dim}"
        return f"{self.dtype}{self.shape} {self.x.stride()} {call} shard={self.shared_x.placements}"

    @property
    def is_cut(self) -> bool:
        """Whether a vector lies in two processes."""
        ndim, shard = len(self.shape), self.shared_x.placements[0].dim
        dims = range(ndim) if self.dim is None else np.atleast_1d(self.dim)
        return any(d % ndim == shard for d in dims)

    def call(self, x: Tensor, parity: Any) -> Tensor:
        if self.l2:
            return adapted.l2_normalize(x, self.dim, parity=parity)
        if parity == "torch":
            return F.normalize(x, self.p, self.dim)
        return adapted.normalize(x, self.p, self.dim, parity=parity)

    def run(self, x: Tensor, g: Tensor, parity: Any) -> tuple[list[Tensor], list[dict[str, int]]]:
        """Return the result, the gradient, and what was sent for each of them."""
        x = x.detach().requires_grad_()
        with CommDebugMode() as forward:
            y = self.call(x, parity)
        with CommDebugMode() as backward:
            (gradient,) = torch.autograd.grad(y, x, g)
        return [y.detach(), gradient], [sent(forward), sent(backward)]


def sent(mode: CommDebugMode) -> dict[str, int]:
    return {str(kind).split(".")[-1]: count for kind, count in mode.get_comm_counts().items()}


def cases(rng: np.random.Generator, mesh: Any, count: int) -> Iterator[Case]:
    for k in range(count):
        yield Case(rng, mesh, l2=bool(k % 2))


# --- the checks -----------------------------------------------------------------------------------


def strict_keeps_its_bits(rng: np.random.Generator, mesh: Any) -> None:
    for case in cases(rng, mesh, 80):
        with set_options(reference=TorchReference(threads=case.threads)):
            expected, _ = case.run(case.x, case.g, "strict")
            found, messages = case.run(case.shared_x, case.shared_g, "strict")
        for one, other in zip(found, expected, strict=True):
            assert one.placements == case.shared_x.placements, case
            assert same_bits(one.full_tensor().contiguous(), other.contiguous()), case
        if not case.is_cut:
            assert messages == [{}, {}], (case, messages)
        else:
            assert messages[0] == {"all_gather_into_tensor": 1}, (case, messages)


def the_comparison_finds_vectors_that_are_cut(rng: np.random.Generator, mesh: Any) -> None:
    """Shards of the reduced dim that nobody gathers have other bits."""
    for case in cases(rng, mesh, 40):
        if case.is_cut and case.p == 2 and min(case.shape) > 1:
            alone = case.call(case.shared_x.to_local(), "strict")
            expected = distribute_tensor(
                case.call(case.x, "strict"), mesh, case.shared_x.placements
            )
            assert not same_bits(alone, expected.to_local()), case
            return
    raise AssertionError("no such case was drawn")


def summands_are_added_up_first(rng: np.random.Generator, mesh: Any) -> None:
    from torch.distributed.tensor import DTensor

    local = torch.from_numpy(rng.normal(size=(4, 6)) + dist.get_rank()).float()
    partial = DTensor.from_local(local, mesh, [Partial()])
    whole = partial.redistribute(placements=[Replicate()]).to_local()
    for call in (adapted.normalize, adapted.l2_normalize):
        found = call(partial, parity="strict").full_tensor()
        assert same_bits(found, call(whole, parity="strict")), call


def layers_are_the_functions(rng: np.random.Generator, mesh: Any) -> None:
    x = torch.from_numpy(rng.normal(size=(5, 8))).float()
    for layer in (adapted.Normalize(parity="strict"), adapted.L2Normalize(-1, parity="strict")):
        for shard in (0, 1):
            found = layer(distribute_tensor(x, mesh, [Shard(shard)])).full_tensor()
            assert same_bits(found, layer(x)), (layer, shard)


def semantic_is_right_and_sends_sums_once(rng: np.random.Generator, mesh: Any) -> None:
    tolerance = {torch.float32: 1e-5, torch.float64: 1e-13}
    for case in cases(rng, mesh, 120):
        if case.dtype not in tolerance or case.p != 2 or case.shape[case.shard] == 1:
            continue
        if torch.__version__ < "2.7" and not case.l2:
            continue  # whose F.normalize takes no DTensor
        found, messages = case.run(case.shared_x, case.shared_g, "semantic")
        expected, _ = case.run(case.x, case.g, "semantic")
        dims = tuple(range(case.x.ndim)) if case.dim is None else case.dim
        largest = (case.g / torch.linalg.vector_norm(case.x, 2, dims, keepdim=True)).abs().max()
        for one, other, size in zip(found, expected, (1, largest), strict=True):
            bound = tolerance[case.dtype] * float(size)
            torch.testing.assert_close(
                one.full_tensor(), other, rtol=0, atol=bound, msg=lambda text, c=case: f"{c} {text}"
            )
        if not case.is_cut:
            assert messages[0] == {}, (case, messages)
        elif case.l2:
            assert messages == [{"all_reduce": 1}, {"all_reduce": 1}], (case, messages)
        else:  # F.normalize itself: torch 2.15 sends norms twice where a gradient is needed
            _, torchs = case.run(case.shared_x, case.shared_g, "torch")
            assert messages == torchs, (case, messages, torchs)


class Model(nn.Module):
    """Layers whose parameters, features and weights are normalized."""

    def __init__(self, parity: Any) -> None:
        super().__init__()
        self.first = nn.Linear(6, 8)
        self.norm = adapted.Normalize(dim=-1, parity=parity)
        self.second = nn.Linear(8, 4)
        self.axis = adapted.L2Normalize(-1, parity=parity)
        self.weight = nn.Parameter(torch.ones(4, 4) + torch.eye(4))
        self.parity = parity

    def forward(self, x: Tensor) -> Tensor:
        x = self.axis(self.second(self.norm(self.first(x).relu())))
        return x @ adapted.normalize(self.weight, dim=0, parity=self.parity)


def trained(model: nn.Module, x: Tensor, steps: int) -> list[float]:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (model(x) - 1).pow(2).mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    return losses


def a_model_that_is_fully_sharded_trains(rng: np.random.Generator, mesh: Any) -> None:
    """Both processes see the same batch, so that the losses are those of one process."""
    if torch.__version__ < "2.6":
        return  # its fully_shard needs a GPU, and the test is skipped
    from torch.distributed.fsdp import fully_shard

    x = torch.from_numpy(rng.normal(size=(16, 6))).float()
    for parity in ("native", "semantic", "strict"):
        torch.manual_seed(0)
        whole, sharded = Model(parity), Model(parity)
        sharded.load_state_dict(whole.state_dict())
        for layer in (sharded.first, sharded.second):
            fully_shard(layer, mesh=mesh)
        fully_shard(sharded, mesh=mesh)
        expected, found = trained(whole, x, 8), trained(sharded, x, 8)
        assert expected[-1] < 0.9 * expected[0], expected
        np.testing.assert_allclose(found, expected, rtol=1e-5, err_msg=parity)


CHECKS: tuple[Callable[[np.random.Generator, Any], None], ...] = (
    strict_keeps_its_bits,
    the_comparison_finds_vectors_that_are_cut,
    summands_are_added_up_first,
    layers_are_the_functions,
    semantic_is_right_and_sends_sums_once,
    a_model_that_is_fully_sharded_trains,
)


def main() -> None:
    mesh = init_device_mesh("cpu", (2,))
    for check in CHECKS:
        check(np.random.default_rng(int(sys.argv[1])), mesh)
        if dist.get_rank() == 0:
            print("passed", check.__name__, flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
