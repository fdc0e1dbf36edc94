"""torch.compile, vmap and functional derivatives give what a plain call gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("torch", reason="tests the torch host")

import torch
from torch_host import DTYPES, normal

import portnorm.torch as adapted
from portnorm import set_options

CALLS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "l2_normalize": adapted.l2_normalize,
    "l2_normalize, arguments": lambda x: adapted.l2_normalize(x, [-1], 1e-3),
    "l2_normalize, native": lambda x: adapted.l2_normalize(x, parity="native"),
    "normalize": lambda x: adapted.normalize(x, 3, 0),
    "L2Normalize": adapted.L2Normalize((-1,), 0.5),
    "Normalize": adapted.Normalize(dim=-1),
}
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
each_dtype = pytest.mark.parametrize("dtype", [getattr(torch, name) for name in DTYPES])


def compiled(call: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """Compile without code generation; a part that cannot be compiled is an error."""
    torch.compiler.reset()
    return torch.compile(call, backend="aot_eager", fullgraph=True, **options)


def with_gradient(call: Callable[..., Any], x: torch.Tensor) -> tuple[torch.Tensor, Any]:
    x = x.clone().requires_grad_()
    y = call(x)
    return y, torch.autograd.grad(y.sum(), x)[0]


@each_call
@each_dtype
def test_a_compiled_call_gives_the_same_values_and_gradients(
    rng: Any, call: Any, dtype: Any
) -> None:
    x = normal(rng, 4, 5, dtype=dtype)
    for got, expected in zip(with_gradient(compiled(call), x), with_gradient(call, x), strict=True):
        torch.testing.assert_close(got, expected)


def test_one_compilation_serves_all_sizes(rng: Any) -> None:
    graphs = []

    def backend(graph: Any, _: Any) -> Any:
        graphs.append(graph)
        return graph

    torch.compiler.reset()
    call = torch.compile(adapted.l2_normalize, backend=backend, fullgraph=True)
    for size in (3, 5, 7, 9):
        x = normal(rng, size, 4)
        assert torch.equal(call(x), adapted.l2_normalize(x))
    assert len(graphs) == 2  # one for the first size, one for all others


def test_a_compiled_call_refuses_what_a_plain_call_refuses() -> None:
    torch.compiler.reset()
    call = torch.compile(adapted.l2_normalize, backend="eager")
    with pytest.raises(ValueError, match="axis value must be in"):
        call(torch.ones(3), 7)


def test_a_compiled_graph_keeps_the_options_of_its_compilation() -> None:
    x = torch.tensor([float("nan"), 1.0])
    call = compiled(adapted.L2Normalize())
    before = call(x)
    with set_options(parity="native"):
        torch.testing.assert_close(call(x), before, equal_nan=True)
        assert adapted.L2Normalize()(x).isnan().all()
        assert compiled(adapted.L2Normalize())(x).isnan().all()


@each_call
@each_dtype
def test_vmap_gives_what_a_loop_gives(rng: Any, call: Any, dtype: Any) -> None:
    x = normal(rng, 3, 4, 5, dtype=dtype)
    expected = torch.stack([call(part) for part in x])
    torch.testing.assert_close(torch.func.vmap(call)(x), expected)


@each_call
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
def test_forward_and_reverse_derivatives_agree(rng: Any, call: Any) -> None:
    x = normal(rng, 3, 4, dtype=torch.float64) + 2
    reverse = torch.func.jacrev(call)(x)
    torch.testing.assert_close(torch.func.jacfwd(call)(x), reverse)
    torch.testing.assert_close(torch.autograd.functional.jacobian(call, x), reverse)
