"""torch.fx, torch.jit.script and torch.jit.trace, and tensors of unusual kinds."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("torch", reason="tests the torch host")
pytest.importorskip("numba", reason="strict parity needs Numba")

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch_host import error_of, normal, same_bits

import portnorm.torch as adapted
from portnorm import StrictParityError, TorchReference, set_options
from portnorm.compare import watch

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
each_level = pytest.mark.parametrize("parity", ["native", "semantic", "strict"])
each_scriptable = pytest.mark.parametrize("parity", ["native", "semantic"])


def calls(parity: Any) -> list[Callable[..., Any]]:
    return [
        lambda x: adapted.normalize(x * 2, 1.0, -1, 1e-3, parity=parity) + 1,
        lambda x: adapted.l2_normalize(x * 2, -1, parity=parity) + 1,
        torch.nn.Sequential(adapted.Normalize(parity=parity), torch.nn.ReLU()),
        torch.nn.Sequential(adapted.L2Normalize(1, parity=parity), torch.nn.ReLU()),
    ]


@each_level
def test_fx_traces_what_it_traces_of_torchs_own(rng: Any, parity: Any) -> None:
    x = normal(rng, 3, 4)
    with set_options(reference=TorchReference.current()):
        for call in calls(parity):
            graph = torch.fx.symbolic_trace(call)
            assert same_bits(graph(x), call(x))
            assert any(node.kwargs.get("parity") == parity for node in graph.graph.nodes)


def test_a_graph_of_fx_keeps_the_options(rng: Any) -> None:
    x = normal(rng, 64, 257)
    with set_options(parity="strict"):
        graph = torch.fx.symbolic_trace(adapted.L2Normalize(1))
    assert same_bits(graph(x), adapted.l2_normalize(x, 1, parity="strict"))


@pytest.mark.filterwarnings("ignore:Please use quant_min")
def test_a_layer_among_those_that_fx_quantises(rng: Any) -> None:
    quantize_fx = pytest.importorskip("torch.ao.quantization.quantize_fx")
    from torch.ao.quantization import get_default_qconfig_mapping

    model = torch.nn.Sequential(torch.nn.Linear(4, 4), adapted.L2Normalize(1)).eval()
    x = normal(rng, 3, 4)
    prepared = quantize_fx.prepare_fx(model, get_default_qconfig_mapping(), (x,))
    torch.testing.assert_close(prepared(x), model(x))


@each_scriptable
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_layers_can_be_scripted_and_saved(rng: Any, parity: Any, dtype: torch.dtype) -> None:
    layers = [
        adapted.Normalize(parity=parity),
        adapted.Normalize(1, (0, 1), 0.5, parity=parity),
        adapted.Normalize(3.0, None, parity=parity),
        adapted.L2Normalize(parity=parity),
        adapted.L2Normalize((-1,), 0.5, parity=parity),
    ]
    for layer in layers:
        model = torch.nn.Sequential(layer)
        file = io.BytesIO()
        torch.jit.save(torch.jit.script(model), file)
        file.seek(0)
        loaded = torch.jit.load(file)
        for scale in (1e-4, 1.0, 100.0):
            x = (normal(rng, 3, 4) * scale).to(dtype)
            torch.testing.assert_close(loaded(x), model(x))


def test_strict_says_what_to_use_in_place_of_a_script() -> None:
    for layer in (adapted.Normalize(parity="strict"), adapted.L2Normalize(parity="strict")):
        with pytest.raises(StrictParityError, match=r"use torch\.jit.trace, torch.compile or"):
            torch.jit.script(torch.nn.Sequential(layer))
    with set_options(parity="strict"), pytest.raises(StrictParityError, match="scripted"):
        torch.jit.script(adapted.L2Normalize())


@each_scriptable
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_functions_can_be_scripted_and_saved(rng: Any, parity: Any, dtype: torch.dtype) -> None:
    def torch_default(x: Tensor) -> Tensor:
        return adapted.normalize(x)

    def torch_other(x: Tensor) -> Tensor:
        return adapted.normalize(x, 1.0, dim=0, eps=0.5)

    def mindspore_default(x: Tensor) -> Tensor:
        return adapted.l2_normalize(x)

    def mindspore_other(x: Tensor) -> Tensor:
        return adapted.l2_normalize(x, -1, epsilon=0.5)

    special = torch.tensor([[torch.nan, 1.0, 2.0, 0.0], [0, 0, 0, 0]])
    for function in (torch_default, torch_other, mindspore_default, mindspore_other):
        file = io.BytesIO()
        with set_options(parity=parity):
            torch.jit.save(torch.jit.script(function), file)
            file.seek(0)
            loaded = torch.jit.load(file)
            for x in (normal(rng, 3, 4) * 1e-4, normal(rng, 3, 4), special):
                x = x.to(dtype)
                torch.testing.assert_close(loaded(x), function(x), equal_nan=True)


def test_functions_script_alone_and_at_the_level_that_they_are_given(rng: Any) -> None:
    x = torch.tensor([torch.nan, 1.0])

    def given(x: Tensor) -> tuple[Tensor, Tensor]:
        return (
            adapted.l2_normalize(x, parity="native"),
            adapted.l2_normalize(x, parity="semantic"),
        )

    with set_options(parity="strict"):  # which no call here is at
        both = torch.jit.script(given)
    assert [y.isnan().tolist() for y in both(x)] == [[True, True], [True, False]]
    alone, y = torch.jit.script(adapted.normalize), normal(rng, 3, 4)
    assert same_bits(alone(y, 2.0, 0), F.normalize(y, 2.0, 0))


def test_a_script_of_functions_at_strict_says_what_to_use() -> None:
    def given(x: Tensor) -> Tensor:
        return adapted.normalize(x, parity="strict")

    def of_option(x: Tensor) -> Tensor:
        return adapted.l2_normalize(x)

    with set_options(parity="strict"):
        scripts = [torch.jit.script(given), torch.jit.script(of_option)]
    for script in scripts:
        with pytest.raises(Exception, match=r"use torch\.jit.trace, torch.compile or"):
            script(torch.ones(2, 2))


def kinds(traced: Any) -> list[str]:
    return [node.kind() for node in traced.inlined_graph.nodes()]


@each_level
def test_a_trace_is_watched_with_sizes_that_are_numbers(rng: Any, parity: Any) -> None:
    x = normal(rng, 3, 4)
    for call in [*calls(parity), F.normalize]:
        plain = torch.jit.trace(call, x)
        with watch(hosts=["torch"]) as log:
            traced = torch.jit.trace(call, x, check_trace=False)
        assert kinds(traced) == kinds(plain)
        assert '"shape": [\n            3,\n            4' in log.to_json()
        torch.testing.assert_close(traced(x), call(x))


def test_a_record_that_cannot_be_written_leaves_the_others(
    monkeypatch: pytest.MonkeyPatch, rng: Any
) -> None:
    import portnorm.watch as watching

    x = normal(rng, 3, 4)
    with watch(hosts=["torch"]) as log:
        F.normalize(x)
        F.normalize(x, dim=0)
    port, asked = watching.port, []

    def failing(record: Any) -> Any:
        asked.append(record)
        if len(asked) == 1:
            raise ValueError("no advice")
        return port(record)

    monkeypatch.setattr(watching, "port", failing)
    first, second = log.to_dict()["records"]
    assert first["error"] == "ValueError: no advice"
    assert second["calls"] == 1


# --- strict in place of another level -------------------------------------------------------------


@pytest.mark.parametrize("name", ["normalize", "l2_normalize"])
@pytest.mark.parametrize("form", ["hessian", "jacfwd"])
def test_forward_mode_is_refused_in_one_way(rng: Any, name: str, form: str) -> None:
    def call(x: torch.Tensor) -> torch.Tensor:
        return getattr(adapted, name)(x, parity="strict").sum()

    with pytest.raises(StrictParityError, match="in forward mode"):
        getattr(torch.func, form)(call)(normal(rng, 3, 4))


@each_level
@pytest.mark.parametrize("transposed", [False, True])
def test_a_result_may_be_changed_in_place(rng: Any, parity: Any, transposed: bool) -> None:
    values = normal(rng, 3, 4)
    for function in (adapted.normalize, lambda x, **k: adapted.l2_normalize(x, 1, **k)):
        gradients = []
        for in_place in (False, True):
            x = values.clone().requires_grad_()
            y = function(x.t() if transposed else x, parity=parity)
            (y.mul_(2) if in_place else y * 2).square().sum().backward()
            gradients.append(x.grad)
        assert torch.equal(*gradients)


# --- unusual arguments ----------------------------------------------------------------------------


def same_error_as_torch(x: torch.Tensor, *arguments: Any, **keywords: Any) -> None:
    expected = error_of(lambda: F.normalize(x, *arguments, **keywords))
    found = error_of(lambda: adapted.normalize(x, *arguments, **keywords, parity="strict"))
    assert (type(found), str(found)) == (type(expected), str(expected))


@pytest.mark.parametrize("value", [2**64, 2**70, 10**400, -(2**63) - 1])
def test_numbers_beyond_64_bits(value: int) -> None:
    for x in (torch.ones(2, 3), torch.ones(2, 3, dtype=torch.float64)):
        same_error_as_torch(x, value)
        same_error_as_torch(x, eps=value)


def test_a_dim_of_numpy_with_a_norm_by_name() -> None:
    same_error_as_torch(torch.ones(2, 3), "fro", np.int64(1))


def test_an_out_that_overlaps_the_input() -> None:
    for read, written in [(slice(0, 4), slice(1, 5)), (slice(1, 5), slice(0, 4))]:
        memory = torch.arange(1.0, 6.0)
        x, out = memory[read].view(2, 2), memory[written].view(2, 2)
        same_error_as_torch(x, out=out)
    x = torch.ones(2, 2)
    same_error_as_torch(x, out=x.t())
    assert adapted.normalize(x, out=x, parity="strict") is x


def test_a_floor_that_would_change_the_dtype() -> None:
    eps = torch.tensor(1e-3, dtype=torch.float64)
    x = torch.tensor(2.0, dtype=torch.float16)
    assert adapted.normalize(x, dim=0, eps=eps).dtype == torch.float64
    with pytest.raises(StrictParityError, match="keeps the dtype"):
        adapted.normalize(x, dim=0, eps=eps, parity="strict")
    assert adapted.normalize(x[None], dim=0, eps=eps, parity="strict").dtype == torch.float16


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize("kind", ["strided", "jagged", "quantized", "float8"])
def test_tensors_of_unusual_kinds(kind: str) -> None:
    if kind == "float8":
        x = torch.ones(2, 3).to(torch.float8_e4m3fn)
    elif kind == "quantized":
        x = torch.quantize_per_tensor(torch.ones(2, 3), 0.1, 0, torch.quint8)
    else:
        parts = [torch.ones(2), torch.ones(3)]
        x = torch.nested.nested_tensor(parts, layout=getattr(torch, kind))
    for function in (adapted.normalize, adapted.l2_normalize):
        with pytest.raises(StrictParityError, match=r"Normalize (x|each of x)\."):
            function(x, parity="strict")


@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")
def test_complex32_is_refused_by_its_name() -> None:
    with pytest.raises(StrictParityError, match="the bits of complex32"):
        adapted.normalize(torch.ones(2, 2, dtype=torch.complex32), parity="strict")


@each_level
def test_traces_of_layers_are_saved_loaded_and_differentiated(rng: Any, parity: Any) -> None:
    x, g = normal(rng, 3, 4), normal(rng, 3, 4)
    for layer in (adapted.Normalize(parity=parity), adapted.L2Normalize(1, parity=parity)):
        file = io.BytesIO()
        torch.jit.save(torch.jit.trace(layer, x), file)
        file.seek(0)
        loaded = torch.jit.load(file)
        other = normal(rng, 3, 4).requires_grad_()
        results = [call(other) for call in (loaded, layer)]
        gradients = [torch.autograd.grad(y, other, g)[0] for y in results]
        same = same_bits if parity == "strict" else torch.allclose
        assert same(*results)
        assert same(*gradients)
