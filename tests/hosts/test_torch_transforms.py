"""torch.compile, vmap and functional derivatives give what a plain call gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("torch", reason="tests the torch host")

import torch

import portnorm.torch as adapted
from portnorm import TorchReference, set_options
from tests.hosts.torch_host import DTYPES, normal

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
def test_a_compiled_call_gives_the_same_bits_and_gradients(rng: Any, call: Any, dtype: Any) -> None:
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
        torch.testing.assert_close(call(x), adapted.l2_normalize(x))
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
def test_forward_and_reverse_derivatives_agree(rng: Any, call: Any) -> None:
    x = normal(rng, 3, 4, dtype=torch.float64) + 2
    reverse = torch.func.jacrev(call)(x)
    torch.testing.assert_close(torch.func.jacfwd(call)(x), reverse)
    torch.testing.assert_close(torch.autograd.functional.jacobian(call, x), reverse)


# --- strict ---------------------------------------------------------------------------------------

STRICT: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "normalize": (
        lambda x: adapted.normalize(x, dim=-1, parity="strict"),
        lambda x: adapted.normalize(x, dim=-1),
    ),
    "normalize, other arguments": (
        lambda x: adapted.normalize(x, 1, (0, -1), 0.5, parity="strict"),
        lambda x: adapted.normalize(x, 1, (0, -1), 0.5),
    ),
    "normalize, all dims": (
        lambda x: adapted.normalize(x, dim=None, parity="strict"),
        lambda x: adapted.normalize(x, dim=None),
    ),
    "l2_normalize": (
        lambda x: adapted.l2_normalize(x, -1, parity="strict"),
        lambda x: adapted.l2_normalize(x, -1),
    ),
    "L2Normalize": (
        adapted.L2Normalize(0, 0.5, parity="strict"),
        adapted.L2Normalize(0, 0.5),
    ),
}
each_strict = pytest.mark.parametrize(("strict", "semantic"), STRICT.values(), ids=STRICT)


@pytest.fixture
def live_reference() -> Iterator[None]:
    with set_options(reference=TorchReference.current()):
        yield


@each_strict
@pytest.mark.parametrize("in_dim", [0, 1, 2])
def test_vmap_of_strict_has_the_bits_of_one_call_on_the_batch(
    rng: Any, live_reference: None, strict: Any, semantic: Any, in_dim: int
) -> None:
    x = normal(rng, 3, 4, 5)
    found = torch.func.vmap(strict, in_dim)(x)
    parts = [strict(part) for part in x.unbind(in_dim)]
    torch.testing.assert_close(found, torch.stack(parts))
    if strict is STRICT["l2_normalize"][0]:
        assert torch.equal(found, torch.stack(parts))
    elif strict is not STRICT["L2Normalize"][0]:
        assert torch.equal(found, torch.func.vmap(semantic, in_dim)(x))


@each_strict
def test_functional_gradients_of_strict_have_its_bits(
    rng: Any, live_reference: None, strict: Any, semantic: Any
) -> None:
    x, g = normal(rng, 4, 5), normal(rng, 4, 5)
    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(strict(leaf), leaf, g)
    assert torch.equal(torch.func.vjp(strict, x)[1](g)[0], expected)
    assert torch.equal(torch.func.grad(lambda x: (strict(x) * g).sum())(x), expected)
    assert torch.equal(torch.func.vjp(strict, x)[0], strict(x))


@each_strict
def test_derivatives_of_strict_are_those_of_the_formula(
    rng: Any, strict: Any, semantic: Any
) -> None:
    x = normal(rng, 3, 4, dtype=torch.float64) + 2
    jacrev, vmap, grad = torch.func.jacrev, torch.func.vmap, torch.func.grad
    torch.testing.assert_close(jacrev(strict)(x), jacrev(semantic)(x))
    torch.testing.assert_close(jacrev(jacrev(strict))(x), jacrev(jacrev(semantic))(x))
    x = torch.stack([x, 3 * x])  # above the floor, where L2Normalize's own gradient is right
    per_sample = [
        vmap(grad(lambda x, call=call: call(x).pow(3).sum()))(x) for call in (strict, semantic)
    ]
    torch.testing.assert_close(*per_sample)


@each_strict
def test_the_gradient_of_the_gradient_of_strict_is_that_of_the_formula(
    rng: Any, strict: Any, semantic: Any
) -> None:
    # Above the floor: below it the gradient of L2Normalize is not the derivative of its values.
    x = (normal(rng, 3, 4, dtype=torch.float64) / 4 + 2).requires_grad_()
    assert torch.autograd.gradgradcheck(strict, (x,))
    second = []
    for call in (strict, semantic):
        (first,) = torch.autograd.grad(call(x).pow(3).sum(), x, create_graph=True)
        second += torch.autograd.grad(first.pow(2).sum(), x)
    torch.testing.assert_close(*second)


@each_strict
def test_gradients_of_strict_may_come_in_a_batch(
    rng: Any, live_reference: None, strict: Any, semantic: Any
) -> None:
    x, gs = normal(rng, 4, 5).requires_grad_(), normal(rng, 3, 4, 5)
    (found,) = torch.autograd.grad(strict(x), x, gs, is_grads_batched=True)
    one_by_one = [torch.autograd.grad(strict(x), x, g)[0] for g in gs]
    torch.testing.assert_close(found, torch.stack(one_by_one))


@pytest.mark.skipif(
    torch.__version__ < "2.13", reason="torch 2.12 compiles vmap of no operator but its own"
)
def test_vmap_of_strict_compiles(rng: Any) -> None:
    x = normal(rng, 3, 4, 5)
    call = torch.func.vmap(STRICT["normalize"][0])
    assert torch.equal(compiled(call)(x), call(x))
