"""`watch`: every call is counted as it was, and nothing about the calls changes."""

from __future__ import annotations

import json
import math
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from portnorm import observe
from portnorm.compare import watch
from portnorm.vectors import CLASSES
from portnorm.watch import NothingToWatchError, log, records
from portnorm.watch.advice import port
from portnorm.watch.records import Call, Norms, Record
from tests.imports.blocked import run_python

torch = pytest.importorskip("torch", reason="watches torch")

import torch.nn.functional as F  # noqa: E402

import portnorm.torch as adapted  # noqa: E402
from portnorm.watch import on_torch  # noqa: E402

NAME = "torch.nn.functional.normalize"
SPECIAL = np.float32(
    [[3, 4, 0], [0, 0, 0], [1e-3, 0, 0], [1e-13, 0, 0], [1e-30, 1e-30, 0], [np.nan, 1, 0]]
)
CLASSES_OF_SPECIAL = {"zero": 1, "below_both": 2, "between": 1, "above_both": 1, "not_finite": 1}


def here() -> int:
    """Return the number of the line that calls."""
    return sys._getframe(1).f_lineno


@pytest.fixture(autouse=True)
def _nobody_is_left() -> Any:
    yield
    assert observe.observers == ()
    assert torch._C._len_torch_function_stack() == 0


def only(found: Any) -> Record:
    (record,) = found.records
    return record


# --- what is recorded -----------------------------------------------------------------------------


def test_a_call_is_recorded_as_it_was() -> None:
    x = torch.from_numpy(SPECIAL)
    with watch() as found:
        F.normalize(x, dim=-1, eps=1e-11)
        line = here() - 1
    record = only(found)
    assert record.call == Call(__file__, line, NAME, "float32", 2, 2.0, -1, 1e-11)
    assert record.floors == (np.float32(1e-11), math.sqrt(np.float32(1e-4)))
    assert (record.calls, record.shapes, record.vectors) == (1, {(6, 3): 1}, 6)
    assert record.counts == CLASSES_OF_SPECIAL
    assert (record.minimum, record.maximum) == (0.0, 5.0)


def test_the_amplification_is_that_of_a_small_difference_of_the_shortest_vector() -> None:
    x = torch.tensor([[3.0, 4.0], [0.0, 1e-3]], dtype=torch.float64)
    difference = torch.tensor([[0.0, 0.0], [1e-9, 0.0]], dtype=torch.float64)
    for eps in (1e-12, 1e-2):
        with watch() as found:
            y = F.normalize(x, eps=eps)
            z = adapted.normalize(x + difference, eps=eps)
        grown = float((z - y).abs().max() / difference.abs().max())
        assert [record.amplification for record in found.records] == [
            pytest.approx(grown, rel=1e-3)
        ] * 2
        assert (
            ("comes out" in found.summary()) == ("1 / max(norm" in found.summary()) == (grown > 999)
        )


def test_calls_of_a_line_are_counted_together_and_other_arguments_apart() -> None:
    with watch() as found:
        for rows in (2, 3, 3):
            F.normalize(torch.ones(rows, 4))
        for eps in (1e-6, 1e-5):
            F.normalize(torch.ones(2, 4), eps=eps)
    first, *others = found.records
    assert (first.calls, first.shapes, first.vectors) == (3, {(2, 4): 1, (3, 4): 2}, 8)
    assert [(other.calls, other.call.eps) for other in others] == [(1, 1e-6), (1, 1e-5)]


def test_the_line_is_the_users_and_not_that_of_a_layer() -> None:
    class Layer(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return F.normalize(x)

    inside = Layer.forward.__code__.co_firstlineno + 1
    with watch() as found:
        torch.nn.Sequential(Layer(), adapted.L2Normalize(1), adapted.Normalize())(torch.ones(2, 2))
        outside = here() - 1
    assert [(r.call.function, r.call.line) for r in found.records] == [
        (NAME, inside),
        ("portnorm.torch.l2_normalize", outside),
        ("portnorm.torch.normalize", outside),
    ]


@pytest.mark.parametrize("parity", ["native", "semantic", "strict"])
def test_a_call_of_an_adapter_is_one_call(parity: Any) -> None:
    x = torch.from_numpy(SPECIAL)
    with watch() as found:
        adapted.normalize(x, parity=parity)
        adapted.l2_normalize(x, 1, parity=parity)
    assert [(r.call.function, r.calls) for r in found.records] == [
        ("portnorm.torch.normalize", 1),
        ("portnorm.torch.l2_normalize", 1),
    ]
    assert all(record.counts == CLASSES_OF_SPECIAL for record in found.records)


def test_calls_that_are_refused_are_not_recorded() -> None:
    with watch() as found:
        with pytest.raises(IndexError):
            F.normalize(torch.ones(3))
        with pytest.raises(RuntimeError):
            F.normalize(torch.ones(3, dtype=torch.int64), dim=0)
        with pytest.raises(TypeError):
            adapted.l2_normalize(torch.ones(3), 0, "0")
        with pytest.raises(TypeError):
            adapted.l2_normalize([1.0])  # type: ignore[arg-type]
    assert found.records == []


def test_what_is_overwritten_is_seen_as_it_was_before() -> None:
    x = torch.full((1, 4), 3.0)
    with watch() as found:
        F.normalize(x, out=x)
        adapted.normalize(x, out=x)
    assert [record.minimum for record in found.records] == [6.0, pytest.approx(1.0)]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "complex64"])
@pytest.mark.parametrize(
    ("shape", "dim"),
    [((7, 5), 1), ((7, 5), 0), ((2, 3, 4), (0, 2)), ((2, 3), None), ((), 0), ((0, 3), 1)],
)
@pytest.mark.parametrize("p", [2.0, 1, 3.0, math.inf, 0, None])
def test_norms_are_those_of_the_vectors(
    rng: np.random.Generator, shape: Any, dim: Any, dtype: str, p: Any
) -> None:
    x = torch.tensor(rng.standard_normal(shape) * 10.0 ** rng.integers(-4, 3, shape))
    x = x.to(getattr(torch, dtype))
    with watch() as found:
        F.normalize(x, p, dim)
    record, order = only(found), 2.0 if p is None else p
    wide = x.to(torch.complex128) if x.is_complex() else x.double()
    two, other = (torch.linalg.vector_norm(wide, o, dim).numpy().ravel() for o in (2.0, order))
    assert record.counts == records.classify(Norms(two, other), record.floors or (0, 0))
    assert record.vectors == two.size
    if two.size:
        assert record.minimum == pytest.approx(two.min(), rel=1e-5)
        assert record.maximum == pytest.approx(two.max(), rel=1e-5)
        assert record.least == pytest.approx(other.min(), rel=1e-5)
        floor = (record.floors or (0,))[0]
        largest = max(other.min(), floor)
        assert record.amplification == pytest.approx(1 / largest if largest else math.inf, rel=1e-5)


@pytest.mark.parametrize(("shape", "dim"), [((300, 64), 1), ((64, 300), 0), ((3, 64, 100), 1)])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_norms_of_large_tensors_hold_where_squares_do_not(
    rng: np.random.Generator, shape: Any, dim: int, dtype: str
) -> None:
    limits = np.finfo(dtype)
    rows = np.abs(rng.standard_normal((300, 64))) + 0.5
    rows[0], rows[1], rows[2] = 0, 3 * limits.tiny, limits.max / 64
    rows[3, 5], rows[4, 6] = math.inf, math.nan
    x = np.moveaxis(rows.reshape(*(n for d, n in enumerate(shape) if d != dim), 64), -1, dim)
    with watch() as found:
        F.normalize(torch.from_numpy(np.ascontiguousarray(x)).to(getattr(torch, dtype)), dim=dim)
    record = only(found)
    below = "between" if dtype == "float16" else "below_both"
    assert record.counts[below] == 1
    assert (record.counts["zero"], record.counts["not_finite"], record.vectors) == (1, 2, 300)
    assert record.maximum == pytest.approx(float(limits.max) / 8, rel=1e-3)


def test_classes_are_those_of_the_comparison(rng: np.random.Generator) -> None:
    from portnorm.compare import compare

    x = (rng.standard_normal((400, 3)) * 10.0 ** rng.integers(-14, 3, (400, 1))).astype("float32")
    x[::50] = 0
    with watch() as found:
        F.normalize(torch.from_numpy(x))
    assert only(found).counts == compare(x).measurement.counts


def test_the_log_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "MOST_RECORDS", 3)
    with watch() as found:
        for n in range(1, 31):
            F.normalize(torch.ones(n, 2))
            F.normalize(torch.ones(2, 2), eps=n / 100)
    first, *others = found.records
    assert len(others) == 2
    assert len(first.shapes) == records.MOST_SHAPES
    assert sum(first.shapes.values()) + first.other_shapes == first.calls == 30
    assert found.dropped == 28
    assert "28 calls from further lines were left out" in found.summary()


def test_norms_do_not_pile_up() -> None:
    held = []
    with watch() as found:
        for _ in range(500):
            F.normalize(torch.ones(100, 2))
            held += [record.waiting_vectors for record in found._log._records.values() if record]
    assert max(held) < 4096
    assert only(found).counts["above_both"] == 50_000


def test_a_log_can_be_read_while_it_is_written() -> None:
    with watch() as found:
        for calls in (1, 2):
            F.normalize(torch.ones(2, 2))
            assert only(found).vectors == 2 * calls


# --- what a porting would change ------------------------------------------------------------------


def ported(x: Any, *arguments: Any, **named: Any) -> Any:
    with watch() as found:
        F.normalize(x, *arguments, **named)
    return port(only(found))


def changes(x: Any, eps: float, epsilon: float) -> bool:
    """Return whether L2Normalize has other values than normalize, by more than rounding."""
    y, z = F.normalize(x, eps=eps), adapted.l2_normalize(x, 1, epsilon)
    return not torch.allclose(y, z, rtol=1e-5, atol=0, equal_nan=True)


@pytest.mark.parametrize("norm", [1.0, 0.02, 0.0101, 0.0099, 1e-3, 1e-9])
@pytest.mark.parametrize("eps", [1e-12, 1e-6, 1e-2, 0.5])
def test_a_call_is_at_risk_if_its_values_change(norm: float, eps: float) -> None:
    x = torch.full((3, 4), norm / 2)
    found = ported(x, eps=eps)
    assert any("values" in reason for reason in found.reasons) == changes(x, eps, 1e-4)


@pytest.mark.parametrize("eps", [1e-12, 1e-6, 1e-3, 0.5])
def test_the_argument_puts_the_floor_in_the_same_place(eps: float) -> None:
    x = torch.tensor([[0.3, 0.4], [3e-3, 4e-3], [3e-5, 4e-5], [3e-9, 4e-9]])
    found = ported(x, eps=eps)
    name, _, epsilon = found.argument.partition("=")
    assert (found.status, name) == ("at risk", "epsilon")
    assert changes(x, eps, 1e-4)
    assert not changes(x, eps, float(epsilon))


@pytest.mark.parametrize(
    ("x", "arguments", "status", "reason"),
    [
        (torch.ones(2, 3), {}, "agrees", ""),
        (torch.zeros(1, 3), {}, "at risk", "1 vector zero: gradients differ"),
        (torch.zeros(2, 3).half(), {}, "at risk", "2 vectors zero: values (NaN in torch) differ"),
        (torch.full((2, 3), 300.0).half(), {}, "at risk", "sum of squares overflows"),
        (torch.ones(2, 3), {"p": 3}, "at risk", "L2Normalize has p=2 only, not 3"),
        (torch.ones(2, 3), {"dim": (0, 1)}, "at risk", "L2Normalize takes one axis, not 2"),
        (torch.ones(2, 3).bfloat16(), {}, "at risk", "L2Normalize does not take bfloat16"),
        (torch.full((2, 3), math.nan), {}, "at risk", "2 vectors not finite"),
        (torch.full((2, 3), 1e-3), {"eps": 0.01}, "at risk", "below both floors: gradients"),
        (torch.ones(2, 3, device="meta"), {}, "unknown", ""),
    ],
)
def test_each_difference_is_a_reason(x: Any, arguments: Any, status: str, reason: str) -> None:
    found = ported(x, **arguments)
    assert found.status == status
    assert any(reason in one for one in found.reasons) == bool(reason)


def test_the_call_to_use_is_given_as_source() -> None:
    assert ported(torch.zeros(2, 3)).use == "portnorm.mindspore.normalize(x, dim=1)"
    used = ported(torch.zeros(2, 3), 3.0, [0], 1e-6).use
    assert used == "portnorm.mindspore.normalize(x, p=3.0, dim=0, eps=1e-06)"
    found = Record(
        Call("a.py", 1, "mindspore.ops.L2Normalize", "float32", 2, 2.0, (1,), 1e-2), None
    )
    assert port(found).use == "portnorm.torch.L2Normalize(axis=1, epsilon=0.01)(x)"


def test_a_call_of_portnorm_moves_as_it_is() -> None:
    with watch() as found:
        adapted.normalize(torch.zeros(2, 3), dim=0)
    assert found.at_risk == []
    assert port(only(found)).use == "portnorm.mindspore.normalize(x, dim=0)"


def test_the_table_names_lines_risks_and_calls() -> None:
    with watch() as found:
        F.normalize(torch.from_numpy(SPECIAL))
        line = here() - 1
        F.normalize(torch.ones(2, 2), dim=0)
    text = " ".join(found.summary(140).split())
    assert "2 calls from 2 lines; 1 at risk when ported" in text
    for part in (
        f"test_watch.py:{line}",
        "1 vector between the floors 1e-12 and 0.01: values differ",
        "-> portnorm.mindspore.normalize(x, dim=1)",
        "same floor: epsilon=1e-24",
        "agrees",
        "Not seen: calls in compiled graphs",
    ):
        assert part in text, part
    assert max(map(len, found.summary(80).splitlines())) <= 80


def test_json_has_every_record_and_no_literal_that_json_has_not() -> None:
    with watch() as found:
        F.normalize(torch.from_numpy(SPECIAL), p=math.inf, eps=math.inf)
        F.normalize(torch.from_numpy(SPECIAL), dim=[0, -1])
    report = json.loads(found.to_json(), parse_constant=lambda name: 1 / 0)
    first, second = report["records"]
    assert (first["p"], first["eps"], second["dim"]) == ("inf", "inf", [0, -1])
    assert first["counts"] == {**CLASSES_OF_SPECIAL, "below_both": 3, "between": 1, "above_both": 0}
    assert second["when_ported"]["status"] == "at risk"
    assert report["hosts"] == list(found.hosts)


def test_nothing_seen_is_said() -> None:
    with watch() as found:
        torch.ones(3).norm()
    assert found.summary().startswith("portnorm watch: no call was seen.")


# --- nothing changes ------------------------------------------------------------------------------


def bits(tensors: Any) -> list[bytes]:
    return [tensor.detach().numpy().tobytes() for tensor in tensors]


def trained(parity: Any, steps: int = 5) -> list[bytes]:
    """Return the weights, and their gradients, of a model that normalizes in every way."""
    torch.manual_seed(5)
    weights = [torch.randn(6, 4, requires_grad=True), torch.randn(4, 3, requires_grad=True)]
    x, optimizer = torch.randn(8, 6), torch.optim.SGD(weights, 0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        features = adapted.l2_normalize(F.normalize(x @ weights[0]), 0, 1e-2, parity=parity)
        loss = (features @ adapted.normalize(weights[1], dim=0, parity=parity)).sin().sum()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        last = adapted.l2_normalize(x, -1, parity=parity)
    return bits([*weights, *(weight.grad for weight in weights), last])


@pytest.mark.parametrize("parity", ["native", "semantic", "strict"])
def test_training_has_the_same_bits(parity: Any) -> None:
    alone = trained(parity)
    with watch() as found:
        watched = trained(parity)
    assert watched == alone
    assert sum(record.calls for record in found.records) == 3 * 5 + 1


class Counting(torch.overrides.TorchFunctionMode):
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.append(func)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("outer", [True, False])
def test_another_mode_sees_the_calls_of_the_program_and_no_others(outer: bool) -> None:
    def run() -> None:
        y = F.normalize(torch.ones(2, 2)) + 1
        adapted.l2_normalize(y, 1)

    with Counting() as alone:
        run()
    modes = [Counting(), watch()] if outer else [watch(), Counting()]
    with modes[0] as first, modes[1] as second:
        run()
    assert (first if outer else second).seen == alone.seen


def test_a_dispatch_mode_sees_no_operator_of_the_watch() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as alone:
        F.normalize(torch.ones(2, 3) @ torch.ones(3, 3))
    with watch() as found, FlopCounterMode(display=False) as counted:
        F.normalize(torch.ones(2, 3) @ torch.ones(3, 3))
    assert counted.get_flop_counts() == alone.get_flop_counts()
    assert only(found).unread == 1


def graph(compiled: Any) -> list[str]:
    return [str(node.target) for node in compiled.graph.nodes]


def test_recorded_graphs_hold_no_operator_of_the_watch() -> None:
    class Model(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return F.normalize(x) + adapted.l2_normalize(x, 1)

    x = torch.ones(2, 3)

    def make() -> list[list[str]]:
        from torch.fx.experimental.proxy_tensor import make_fx

        traced = torch.jit.trace(Model(), (x,)).inlined_graph
        return [
            graph(torch.export.export(Model(), (x,)).module()),
            graph(make_fx(Model())(x)),
            [node.kind() for node in traced.nodes()],
        ]

    alone = make()
    with watch():
        assert make() == alone


@pytest.mark.parametrize("first", ["watched", "alone"])
def test_compiled_functions_work_and_are_not_seen(first: str) -> None:
    def function(x: Any) -> Any:
        y = F.normalize(x) + adapted.normalize(x, dim=0) + adapted.l2_normalize(x, 1)
        return y + adapted.normalize(x, parity="strict")

    torch._dynamo.reset()
    compiled = torch.compile(function, backend="aot_eager", fullgraph=True)
    x = torch.ones(2, 3)
    alone = bits([function(x)])
    if first == "alone":
        assert bits([compiled(x)]) == alone
    with watch() as found:
        assert bits([compiled(x)]) == alone
    assert bits([compiled(x)]) == alone
    assert bool(found.records) == (torch.__version__ < "2.6")  # which compiles nothing in a mode


# --- contexts -------------------------------------------------------------------------------------


def normalize_rows(x: Any) -> Any:
    return F.normalize(x, dim=-1)


TRANSFORMS: dict[str, Callable[[Any], Any]] = {
    "vmap": torch.func.vmap(normalize_rows),
    "vmap of columns": torch.func.vmap(normalize_rows, in_dims=1, out_dims=1),
    "vmap twice": lambda x: torch.func.vmap(torch.func.vmap(normalize_rows))(x[None])[0],
    "grad": torch.func.grad(lambda x: normalize_rows(x).sum()),
    "vmap of grad": torch.func.vmap(torch.func.grad(lambda x: normalize_rows(x).sum())),
    "jvp": lambda x: torch.func.jvp(normalize_rows, (x,), (x,))[1],
    "jacrev": torch.func.jacrev(normalize_rows),
    "hessian": torch.func.hessian(lambda x: normalize_rows(x).sum()),
    "functional_call": lambda x: torch.func.functional_call(torch.nn.Identity(), {}, (x,)),
    "no_grad": torch.no_grad()(normalize_rows),
    "inference_mode": torch.inference_mode()(normalize_rows),
    "autocast": torch.autocast("cpu", torch.bfloat16)(normalize_rows),
    "parameter": lambda x: normalize_rows(torch.nn.Parameter(x)),
}


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("small", [True, False])
def test_transforms_and_contexts_work_and_are_recorded(
    rng: np.random.Generator, name: str, small: bool
) -> None:
    x = torch.tensor(rng.standard_normal((5, 5))).float()
    if small:
        x[2] *= 1e-30
    alone = TRANSFORMS[name](x)
    with watch() as found:
        watched = TRANSFORMS[name](x)
    assert bits([watched.float()]) == bits([alone.float()])
    for record in found.records:
        assert record.unread == 0
        assert record.vectors == 5 * record.calls
    assert bool(found.records) == (name != "functional_call")


class Labelled(torch.Tensor):
    """A subclass that notes what is done to it."""

    done: list[Any] = []  # noqa: RUF012

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        cls.done.append(func)
        return super().__torch_function__(func, types, args, kwargs)


def test_a_subclass_notes_the_same_and_is_recorded() -> None:
    x = torch.ones(2, 3).as_subclass(Labelled)
    Labelled.done = []
    F.normalize(x)
    alone, Labelled.done = Labelled.done, []
    with watch() as found:
        assert type(F.normalize(x)) is Labelled
    assert Labelled.done == alone
    assert only(found).vectors == 2


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.ones(2, 3, device="meta"),
        lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged),
    ],
    ids=["meta", "nested"],
)
def test_tensors_without_values_are_counted(make: Any) -> None:
    x = make()

    def outcome() -> str:
        try:
            return str(F.normalize(x, dim=-1).shape)
        except Exception as error:
            return type(error).__name__

    alone = outcome()
    with watch() as found:
        assert outcome() == alone
    assert [(record.calls, record.unread) for record in found.records] == [(1, 1)]


def test_eps_may_be_a_tensor() -> None:
    with watch() as found:
        F.normalize(torch.ones(2, 3), eps=torch.tensor(0.5))
        F.normalize(torch.ones(2, 3), eps=torch.full((2, 1), 0.5))
    number, several = found.records
    assert (number.call.eps, number.vectors) == (0.5, 2)
    assert (several.floors, several.unread) == (None, 1)
    assert "eps is no number" in port(several).reasons[0]


def test_an_error_of_the_program_ends_the_watch() -> None:
    def fail() -> None:
        with watch():
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fail()
    assert torch._C._len_torch_function_stack() == 0


def test_watches_nest() -> None:
    with watch() as outer:
        F.normalize(torch.ones(1, 2))
        with watch() as inner:
            F.normalize(torch.ones(1, 2))
            adapted.normalize(torch.ones(1, 2))
        adapted.normalize(torch.ones(1, 2))
    assert [record.calls for record in inner.records] == [1, 1]
    assert sum(record.calls for record in outer.records) == 4


def test_other_threads_are_seen_where_they_enter_the_watch() -> None:
    def enters() -> None:
        with watch(into=found) as same:
            assert same is found
            F.normalize(torch.ones(3, 2), dim=0)

    def does_not() -> None:
        F.normalize(torch.ones(3, 2), dim=0)
        adapted.normalize(torch.ones(3, 2), dim=0)

    with watch() as found:
        for target in (enters, does_not):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()
    assert [r.call.function for r in found.records] == [NAME, "portnorm.torch.normalize"]


def test_calls_of_many_threads_are_all_counted() -> None:
    def work() -> None:
        for _ in range(500):
            adapted.normalize(torch.ones(2, 2))

    with watch() as found:
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (only(found).calls, only(found).vectors) == (4000, 8000)


def test_accelerators_count_as_the_cpu_does(rng: np.random.Generator) -> None:
    """What runs on the accelerator runs on a CPU, too."""
    x = rng.standard_normal((200, 3)) * 10.0 ** rng.integers(-14, 2, (200, 1))
    x[:4] = [[0, 0, 0], [np.nan, 1, 1], [np.inf, 0, 0], [1, 1, 1]]
    for p in (2.0, 1.0):
        call = Call("", 0, NAME, "float32", 2, p, 1, 1e-12)
        here, there = (Record(call, records.floors_of(call)) for _ in range(2))
        for part in np.split(x, 4):
            tensor = torch.tensor(part).float()
            here.add_norms(on_torch.norms(tensor, call))
            on_torch._on_device(tensor, p, 1).add_to(there)
        for record in (here, there):
            record.settle()
        assert there.counts == here.counts
        assert there.minimum == pytest.approx(here.minimum)
        assert there.maximum == pytest.approx(here.maximum)
        assert there.least == pytest.approx(here.least)


def test_what_is_to_be_watched_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="hosts must be of"), watch(["jax"]):
        pass
    monkeypatch.setattr("portnorm.watch.sys", type("none", (), {"modules": {}}))
    with pytest.raises(NothingToWatchError, match="expected torch or mindspore"), watch():
        pass


def test_classes_of_rules_are_counted() -> None:
    assert tuple(Record(Call("", 0, NAME, "float32", 1, 2.0, 0, 0.0), None).counts) == CLASSES


# --- tensors that processes share -----------------------------------------------------------------

SHARED = """
import torch, torch.nn.functional as F
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor
from portnorm.compare import watch

dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
mesh = init_device_mesh("cpu", (1,))
x = torch.arange(12.0).reshape(4, 3)
for placement in (Replicate(), Shard(0), Shard(1)):
    shared = distribute_tensor(x, mesh, [placement])
    with watch() as found:
        y = F.normalize(shared)
    (record,) = found.records
    same = torch.equal(y.full_tensor(), F.normalize(x))
    print(type(y).__name__, record.shapes, record.vectors, record.unread, same)
dist.destroy_process_group()
"""


@pytest.mark.skipif(
    not (torch.distributed.is_available() and torch.distributed.is_gloo_available()),
    reason="this torch has no gloo",
)
@pytest.mark.skipif(torch.__version__ < "2.7", reason="F.normalize of torch 2.6 takes no DTensor")
def test_of_a_dtensor_the_whole_vectors_of_this_process_are_seen() -> None:
    assert run_python(SHARED).splitlines() == [
        "DTensor {(4, 3): 1} 4 0 True",
        "DTensor {(4, 3): 1} 4 0 True",
        "DTensor {(4, 3): 1} 0 1 True",
    ]
