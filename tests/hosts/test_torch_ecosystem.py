"""The adapters in code that does things with tensors: modes, subclasses, views, checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest

pytest.importorskip("torch", reason="tests the torch host")
pytest.importorskip("numba", reason="strict parity needs Numba")

import torch
import torch.nn.functional as F
from torch._subclasses import FakeTensorMode
from torch.utils.checkpoint import checkpoint

import portnorm.torch as adapted
from portnorm import TorchReference, set_options
from portnorm.torch import _semantic
from tests.hosts.torch_host import in_layout, normal, same_bits

CALLS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    f"{function.__name__}, {parity}": lambda x, f=function, p=parity: f(x, parity=p)  # type: ignore[misc]
    for function in (adapted.normalize, adapted.l2_normalize)
    for parity in ("native", "semantic", "strict")
}
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
TORCH_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@pytest.fixture(autouse=True)
def reference() -> Iterator[None]:
    with set_options(reference=TorchReference.current()):
        yield


def with_gradient(call: Any, x: torch.Tensor, g: torch.Tensor) -> tuple[torch.Tensor, ...]:
    y = call(x)
    return y, torch.autograd.grad(y, x, g)[0]


@each_call
def test_a_checkpoint_computes_the_same_again(rng: Any, call: Any) -> None:
    x, g = normal(rng, 3, 4).requires_grad_(), normal(rng, 3, 4)
    again = with_gradient(lambda x: checkpoint(call, x, use_reentrant=False), x, g)
    assert all(map(same_bits, again, with_gradient(call, x, g)))


@pytest.mark.parametrize("cast", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("dtype", TORCH_DTYPES)
def test_autocast_leaves_strict_as_it_leaves_torch(
    rng: Any, dtype: torch.dtype, cast: torch.dtype
) -> None:
    x, g = normal(rng, 5, 33, dtype=dtype).requires_grad_(), normal(rng, 5, 33, dtype=dtype)
    with torch.autocast("cpu", dtype=cast):
        found = with_gradient(CALLS["normalize, strict"], x, g)
        expected = with_gradient(F.normalize, x, g)
    assert all(map(same_bits, found, expected))


def test_strict_compiles_under_autocast(rng: Any) -> None:
    x = normal(rng, 5, 33, dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        compiled = torch.compile(CALLS["normalize, strict"], fullgraph=True, backend="eager")
        assert same_bits(compiled(x), F.normalize(x))


@pytest.fixture
def cuda_autocast() -> Iterator[None]:
    """Autocast on tensors that say that they are on a GPU, which need none: they have no memory."""
    before = torch.is_autocast_enabled("cuda")
    with FakeTensorMode():
        torch.set_autocast_enabled("cuda", True)
        yield
        torch.set_autocast_enabled("cuda", before)


@pytest.mark.usefixtures("cuda_autocast")
@each_call
@pytest.mark.parametrize("dtype", TORCH_DTYPES)
def test_levels_agree_in_dtype_under_autocast_on_cuda(call: Any, dtype: torch.dtype) -> None:
    """torch computes norms in float32 there; L2Normalize keeps the dtype of its input."""
    x = torch.empty(3, 4, device="cuda", dtype=dtype)
    if call in [CALLS[name] for name in CALLS if name.startswith("l2")]:
        if dtype == torch.bfloat16:
            return
        expected = dtype
    else:
        expected = torch.float64 if dtype == torch.float64 else torch.float32
        assert F.normalize(x).dtype == expected
    assert call(x).dtype == expected


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("parity", ["native", "semantic", "strict"])
def test_l2_normalize_says_what_to_do_with_the_bfloat16_of_autocast(
    parity: Any, graph: bool
) -> None:
    if graph and torch.__version__ < "2.7":
        pytest.skip("torch 2.6 keeps the text of an error in a whole graph to itself")
    call = CALLS[f"l2_normalize, {parity}"]
    call = torch.compile(call, fullgraph=True, backend="eager") if graph else call
    layer = torch.nn.Linear(4, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = layer(torch.ones(2, 4)).detach()
        with pytest.raises(
            Exception, match=r"For primitive\[L2Normalize\](.|\n)*Give it x\.float\(\)"
        ):
            call(hidden)
        assert call(hidden.float()).dtype == torch.float32


@each_call
@pytest.mark.parametrize("cast", [torch.bfloat16, torch.float16])
def test_a_layer_amid_others_works_under_autocast(rng: Any, call: Any, cast: torch.dtype) -> None:
    x, weight = normal(rng, 3, 4), normal(rng, 5, 4).requires_grad_()
    with torch.autocast("cpu", dtype=cast):
        hidden = F.linear(x, weight)
        y = call(hidden.float()) @ weight
    assert y.dtype == cast
    y.float().pow(2).sum().backward()
    assert weight.grad is not None
    assert weight.grad.isfinite().all()


@each_call
def test_inference_mode_gives_the_same_numbers(rng: Any, call: Any) -> None:
    x = normal(rng, 3, 4)
    with torch.inference_mode():
        y = call(x)
    assert y.is_inference()
    after = call(x)
    assert not after.is_inference()
    assert torch.equal(y, after)
    assert call(x.requires_grad_()).requires_grad


def test_a_gradient_after_a_call_in_inference_mode(rng: Any) -> None:
    """What is kept of the first call, the root of epsilon, serves the second one."""
    x = normal(rng, 3, 4)
    _semantic._constant.cache_clear()
    with torch.inference_mode():
        adapted.l2_normalize(x, 1, 0.25)
    leaf = x.clone().requires_grad_()
    y = adapted.l2_normalize(leaf, 1, 0.5)
    (first,) = torch.autograd.grad(y.square().sum(), leaf, create_graph=True)
    assert torch.autograd.grad(first.sum(), leaf)[0].isfinite().all()


@each_call
def test_meta_and_fake_tensors_have_the_layout_of_the_result(rng: Any, call: Any) -> None:
    for layout in ("contiguous", "transposed", "sliced", "expanded", "channels_last"):
        x = in_layout(normal(rng, 2, 3, 4, 5), layout, "float32")
        expected = call(x)
        meta = torch.empty_strided(x.shape, x.stride(), device="meta")
        with FakeTensorMode() as mode:
            fake = call(mode.from_tensor(x))
        for found in (fake, call(meta)):
            assert (found.shape, found.dtype) == (x.shape, x.dtype)
            assert found.stride() == expected.stride(), layout


@each_call
def test_fake_tensors_have_gradients(rng: Any, call: Any) -> None:
    with FakeTensorMode():
        x = torch.ones(3, 4, requires_grad=True)
        call(x).sum().backward()
        assert x.grad is not None
        assert x.grad.shape == x.shape


class Logged(torch.Tensor):
    """A tensor that writes down what is called with it."""

    calls: ClassVar[list[str]] = []

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        cls.calls.append(getattr(function, "__name__", str(function)))
        return super().__torch_function__(function, types, args, kwargs or {})


@each_call
def test_a_subclass_sees_the_call_and_gets_its_own_kind_back(rng: Any, call: Any) -> None:
    x = normal(rng, 3, 4)
    Logged.calls.clear()
    y = call(x.as_subclass(Logged))
    assert type(y) is Logged
    assert torch.equal(y.as_subclass(torch.Tensor), call(x))
    assert Logged.calls


@pytest.mark.parametrize("name", ["normalize", "l2_normalize"])
def test_a_subclass_sees_strict_as_one_operator(name: str) -> None:
    Logged.calls.clear()
    CALLS[f"{name}, strict"](torch.ones(3, 4).as_subclass(Logged))
    assert [call for call in Logged.calls if call != "__get__"] == [f"{name}.default"]


@each_call
def test_a_function_mode_sees_the_call(call: Any) -> None:
    class Seen(torch.overrides.TorchFunctionMode):
        names: ClassVar[list[str]] = []

        def __torch_function__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            self.names.append(str(function))
            return function(*args, **(kwargs or {}))

    with Seen():
        call(torch.ones(3, 4))
    assert any("norm" in name or "sqrt" in name for name in Seen.names)


@each_call
def test_channels_last_in_gives_channels_last_out(rng: Any, call: Any) -> None:
    x = in_layout(normal(rng, 2, 3, 4, 5), "channels_last", "float32").requires_grad_()
    y = call(x)
    (gradient,) = torch.autograd.grad(y, x, torch.randn_like(y))
    for found in (y, gradient):
        assert found.is_contiguous(memory_format=torch.channels_last)


@each_call
def test_gradients_reach_what_a_view_was_taken_of(rng: Any, call: Any) -> None:
    whole = normal(rng, 6, 8).requires_grad_()
    view = whole[::2, 2:7]
    g = normal(rng, 3, 5)
    call(view).backward(g)
    leaf = view.detach().clone().requires_grad_()
    call(leaf).backward(g)
    assert whole.grad is not None
    torch.testing.assert_close(whole.grad[::2, 2:7], leaf.grad)
    assert torch.count_nonzero(whole.grad) <= view.numel()


@each_call
def test_the_result_is_new_memory(rng: Any, call: Any) -> None:
    x = normal(rng, 3, 4)
    before = x.clone()
    call(x).zero_()
    assert torch.equal(x, before)


@each_call
def test_a_change_in_place_after_the_forward_is_found(rng: Any, call: Any) -> None:
    leaf = normal(rng, 3, 4).requires_grad_()
    x = leaf * 1
    y = call(x)
    x.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@each_call
def test_a_graph_that_is_kept_gives_the_gradient_twice(rng: Any, call: Any) -> None:
    x, g = normal(rng, 3, 4).requires_grad_(), normal(rng, 3, 4)
    y = call(x)
    first, second = (torch.autograd.grad(y, x, g, retain_graph=True)[0] for _ in range(2))
    assert same_bits(first, second)
