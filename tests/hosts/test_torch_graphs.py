"""torch.compile, torch.export, ONNX: strict keeps its bits, the other levels keep their values."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("torch", reason="tests the torch host")
pytest.importorskip("numba", reason="strict parity needs Numba")

import torch
from torch.fx.experimental.proxy_tensor import make_fx

import portnorm.torch as adapted
from portnorm import StrictParityError, TorchReference, set_options
from portnorm.torch import _semantic
from tests.hosts.torch_host import error_of, in_layout, normal, same_bits
from tests.hosts.wide_formula import gradient_error_in_ulp

Call = Callable[..., torch.Tensor]

STRICT: dict[str, Call] = {
    "normalize": lambda x: adapted.normalize(x, parity="strict"),
    "normalize, arguments": lambda x: adapted.normalize(x, 1, (0, -1), 0.5, parity="strict"),
    "normalize, all dims": lambda x: adapted.normalize(x, dim=None, parity="strict"),
    "l2_normalize": lambda x: adapted.l2_normalize(x, 1, parity="strict"),
    "Normalize": adapted.Normalize(dim=-1, parity="strict"),
    "L2Normalize": adapted.L2Normalize((-1,), 0.5, parity="strict"),
}
SEMANTIC: dict[str, Call] = {
    "normalize": adapted.normalize,
    "l2_normalize": lambda x: adapted.l2_normalize(x, 1),
    "Normalize": adapted.Normalize(1.0, (0, 1)),
    "L2Normalize": adapted.L2Normalize(-1, 1e-3),
    "L2Normalize, native": adapted.L2Normalize(0, parity="native"),
}
each_strict = pytest.mark.parametrize("call", STRICT.values(), ids=STRICT)
each_semantic = pytest.mark.parametrize("call", SEMANTIC.values(), ids=SEMANTIC)
each_backend = pytest.mark.parametrize("backend", ["aot_eager", "inductor"])

# torch's own, from inside its exporter, the second of torch 2.10 to 2.12.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:The given buffer is not writable:UserWarning"),
]


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    torch.compiler.reset()
    with set_options(reference=TorchReference.current()):
        yield


def amid_others(call: Call) -> Call:
    """Return a function in which a compiler would like to fuse the call with what is around it."""
    return lambda x: call(x * 3 + 1) * 2 - 1


def with_gradient(call: Call, x: torch.Tensor, g: torch.Tensor) -> list[torch.Tensor]:
    x = x.detach().requires_grad_()
    y = call(x)
    return [y, *torch.autograd.grad(y, x, g)]


# --- torch.compile --------------------------------------------------------------------------------


@each_backend
@pytest.mark.parametrize("dynamic", [False, True])
@each_strict
def test_strict_keeps_its_bits_in_a_compiled_graph(
    rng: Any, call: Call, backend: str, dynamic: bool
) -> None:
    compiled = torch.compile(call, fullgraph=True, backend=backend, dynamic=dynamic)
    for shape in [(4, 33), (5, 40)]:
        x, g = normal(rng, *shape), normal(rng, *shape)
        expected = with_gradient(call, x, g)
        found = with_gradient(compiled, x, g)
        assert all(map(same_bits, found, expected)), shape


@each_backend
@each_strict
def test_strict_is_not_fused_with_what_is_around_it(rng: Any, call: Call, backend: str) -> None:
    def spied(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        before = x * 3 + 1
        y = call(before)
        return before, y, y * 2 - 1

    before, y, _ = torch.compile(spied, fullgraph=True, backend=backend)(normal(rng, 6, 50))
    assert same_bits(y, call(before))


def test_inductor_changes_the_bits_of_torchs_own_function(rng: Any) -> None:
    """Or the tests above would see nothing."""
    x = normal(rng, 64, 257)

    def call(x: Any) -> Any:  # torch 2.5 does not compile F.normalize alone
        return torch.nn.functional.normalize(x)

    assert not same_bits(torch.compile(call, fullgraph=True)(x), call(x))


@each_backend
@pytest.mark.parametrize("layout", ["contiguous", "transposed", "sliced", "channels_last"])
def test_strict_keeps_layouts_in_a_compiled_graph(rng: Any, layout: str, backend: str) -> None:
    x = in_layout(normal(rng, 2, 3, 4, 5), layout, "float32")
    call = STRICT["normalize"]
    assert same_bits(torch.compile(call, fullgraph=True, backend=backend)(x), call(x))


@each_backend
@pytest.mark.parametrize("dynamic", [False, True])
@each_semantic
def test_semantic_compiles_without_a_break(
    rng: Any, call: Call, backend: str, dynamic: bool
) -> None:
    compiled = torch.compile(amid_others(call), fullgraph=True, backend=backend, dynamic=dynamic)
    for shape in [(4, 33), (5, 40)]:
        x, g = normal(rng, *shape), normal(rng, *shape)
        expected = with_gradient(amid_others(call), x, g)
        torch.testing.assert_close(with_gradient(compiled, x, g), expected)


@each_backend
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_a_compiled_gradient_loses_no_digit_of_an_element_whose_cotangent_is_small(
    rng: Any, dtype: torch.dtype, backend: str
) -> None:
    def call(x: torch.Tensor) -> torch.Tensor:
        return adapted.l2_normalize(x * 2, 1)

    x, g = normal(rng, 60, 300, dtype=dtype), normal(rng, 60, 300, dtype=dtype)
    if torch.compile(lambda x: (x + 1, _semantic._is_exporting()), backend="eager")(x)[1]:
        pytest.skip("this torch takes graphs that are compiled for exported ones")
    compiled = torch.compile(call, fullgraph=True, backend=backend)
    y, got = with_gradient(compiled, x, g)
    assert backend == "inductor" or same_bits(y, with_gradient(call, x, g)[0])
    assert gradient_error_in_ulp(got, 2 * x, 2 * g, 1) < 4


def test_what_transforms_make_of_a_call_compiles(rng: Any) -> None:
    grad, vmap = torch.func.grad, torch.func.vmap

    def total(x: torch.Tensor) -> torch.Tensor:
        return adapted.l2_normalize(x, -1).pow(3).sum()

    x = normal(rng, 3, 4, 5)
    for call in (grad(total), vmap(grad(total)), grad(lambda x: vmap(total)(x).sum())):
        for leaf in (x, x.clone().requires_grad_()):
            compiled = torch.compile(call, fullgraph=True, backend="aot_eager")
            torch.testing.assert_close(compiled(leaf), call(leaf))


@pytest.mark.parametrize("parity", ["native", "semantic", "strict"])
def test_numbers_may_change_from_call_to_call(rng: Any, parity: Any) -> None:
    def call(x: torch.Tensor, axis: int, floor: float) -> torch.Tensor:
        y = adapted.normalize(x, 2.0, axis, floor, parity=parity)
        return y + adapted.l2_normalize(x, axis, floor, parity=parity)

    compiled = torch.compile(call, fullgraph=True, backend="aot_eager")
    x = normal(rng, 4, 5)
    for axis, floor in [(0, 0.5), (1, 0.5), (1, 20.0), (-1, 3.0)]:
        found, expected = compiled(x, axis, floor), call(x, axis, floor)
        torch.testing.assert_close(found, expected)
        if parity == "strict":
            assert same_bits(found, expected), (axis, floor)


REFUSED: dict[str, Call] = {
    "axis": lambda x: adapted.l2_normalize(x, 7),
    "epsilon": lambda x: adapted.l2_normalize(x, 0, 0.0),
    "strict axis": lambda x: adapted.l2_normalize(x, 7, parity="strict"),
    "strict epsilon": lambda x: adapted.l2_normalize(x, 0, 0.0, parity="strict"),
    "strict dim": lambda x: adapted.normalize(x, dim=3, parity="strict"),
    "strict dtype": lambda x: adapted.normalize(x.int(), dim=0, parity="strict"),
}


@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED)
def test_a_compiled_call_raises_what_a_plain_one_does(call: Call) -> None:
    x = torch.ones(3)
    kind, text = error_of(lambda: call(x)) or (None, "")
    assert kind is not None
    with pytest.raises(kind, match=re.escape(text)):
        torch.compile(call, backend="eager")(x)


# --- graphs that are traced, exported and saved ---------------------------------------------------


@each_strict
def test_a_traced_graph_holds_one_operator_for_a_call(rng: Any, call: Call) -> None:
    x = normal(rng, 4, 6)
    graph = make_fx(call, tracing_mode="symbolic")(x)
    names = [str(node.target) for node in graph.graph.nodes if node.op == "call_function"]
    assert [name for name in names if name.startswith("portnorm.")] == names
    assert len(names) == 1
    x = normal(rng, 7, 9)
    assert same_bits(graph(x), call(x))


class Model(torch.nn.Module):
    """Layers around a call."""

    def __init__(self, call: Call) -> None:
        super().__init__()
        self.first = torch.nn.Linear(6, 5)
        self.call = call

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.call(self.first(x))


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize(
    "call",
    [*STRICT.values(), *SEMANTIC.values()],
    ids=[*STRICT, *(f"{n}, plain" for n in SEMANTIC)],
)
def test_an_exported_program_is_saved_loaded_and_run(rng: Any, call: Call, dynamic: bool) -> None:
    model = Model(call).eval()
    x = normal(rng, 4, 6)
    sizes = ({0: torch.export.Dim("rows", min=2)},) if dynamic else None
    program = torch.export.export(model, (x,), dynamic_shapes=sizes)
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    for rows in (4, 7) if dynamic else (4,):
        x = normal(rng, rows, 6)
        assert same_bits(loaded(x), model(x))


@pytest.mark.parametrize("strict", [False, True])
def test_an_exported_program_of_trained_weights_holds_operators_of_torch_alone(
    rng: Any, strict: bool
) -> None:
    program = torch.export.export(
        Model(SEMANTIC["l2_normalize"]), (normal(rng, 4, 6),), strict=strict
    )
    calls = [node.target for node in program.graph.nodes if node.op == "call_function"]
    assert calls
    assert all(str(call).startswith("aten.") for call in calls), calls


# --- ONNX -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("opset", [18, 20])
@each_semantic
def test_semantic_gives_equal_results_in_onnxruntime(
    rng: Any, call: Call, opset: int, tmp_path: Any
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="runs exported models")
    pytest.importorskip("onnxscript", reason="torch exports ONNX with it")
    x = normal(rng, 4, 6)
    model = Model(call).eval()
    file = str(tmp_path / "model.onnx")
    torch.onnx.export(model, (x,), dynamo=True, opset_version=opset, verbose=False).save(file)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), model(x).detach(), rtol=1e-6, atol=1e-7)


def test_strict_is_no_operator_of_onnx(rng: Any) -> None:
    pytest.importorskip("onnxscript", reason="torch exports ONNX with it")
    model = Model(STRICT["normalize"]).eval()
    with pytest.raises(torch.onnx.errors.OnnxExporterError, match="portnorm"):
        torch.onnx.export(model, (normal(rng, 4, 6),), dynamo=True, verbose=False)


# --- opcheck --------------------------------------------------------------------------------------

INPUTS: dict[str, Callable[[Any], torch.Tensor]] = {
    "contiguous": lambda rng: normal(rng, 3, 4),
    "transposed": lambda rng: normal(rng, 4, 3).t(),
    "channels_last": lambda rng: in_layout(normal(rng, 2, 3, 4, 5), "channels_last", "float32"),
    "empty": lambda rng: torch.empty(0, 4),
    "0-d": lambda rng: torch.tensor(3.0),
    "float16": lambda rng: normal(rng, 3, 4, dtype=torch.float16),
    "bfloat16": lambda rng: normal(rng, 3, 4, dtype=torch.bfloat16),
    "float64": lambda rng: normal(rng, 3, 4, dtype=torch.float64),
}


# From inside opcheck, where torch 2.15 describes its copies of the inputs.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("make", INPUTS.values(), ids=INPUTS)
def test_torch_finds_nothing_wrong_with_the_operators(
    rng: Any, make: Any, requires_grad: bool
) -> None:
    operators = torch.ops.portnorm
    x = make(rng).requires_grad_(requires_grad)
    g = torch.randn_like(x)
    reference = TorchReference.current().to_json()
    dims = [1] if x.ndim > 1 else []
    torch.library.opcheck(operators.normalize.default, (x, 2.0, dims, 1e-12, reference))
    torch.library.opcheck(operators.normalize_backward.default, (g, x, 2.0, dims, 1e-12, reference))
    if x.ndim == 0 or x.dtype == torch.bfloat16:  # which L2Normalize does not take
        return
    from portnorm import MindSporeReference

    reference = MindSporeReference().to_json()
    torch.library.opcheck(operators.l2_normalize.default, (x, 1, 1e-4, reference))
    y = adapted.l2_normalize(x.detach(), 1, parity="strict")
    torch.library.opcheck(
        operators.l2_normalize_backward.default, (g, x.detach(), y, 1, 1e-4, reference)
    )


def test_a_gradient_that_is_not_promised_is_refused_in_a_graph() -> None:
    def call(x: torch.Tensor) -> torch.Tensor:
        return adapted.normalize(x, 3, 0, parity="strict")

    compiled = torch.compile(call, backend="aot_eager")
    x = torch.ones(3)
    assert same_bits(compiled(x), call(x))
    with pytest.raises(StrictParityError, match="p=3"):
        compiled(x.requires_grad_())
