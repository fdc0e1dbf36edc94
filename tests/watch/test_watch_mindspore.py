"""`watch` on MindSpore: what is counted, and that nothing about the calls changes."""

from __future__ import annotations

import contextlib
import sys
import threading
from typing import Any

import numpy as np
import pytest

from portnorm import observe
from portnorm.compare import watch
from portnorm.watch.advice import port
from portnorm.watch.records import Call

mindspore = pytest.importorskip("mindspore", reason="watches MindSpore")

from mindspore import Tensor, nn, ops  # noqa: E402

import portnorm.mindspore as adapted  # noqa: E402
from portnorm.watch import on_mindspore  # noqa: E402

NAME = "mindspore.ops.L2Normalize"
SPECIAL = np.float32(
    [[3, 4, 0], [0, 0, 0], [1e-3, 0, 0], [1e-13, 0, 0], [1e-30, 1e-30, 0], [np.nan, 1, 0]]
)
CLASSES_OF_SPECIAL = {"zero": 1, "below_both": 2, "between": 1, "above_both": 1, "not_finite": 1}

needs_hook = pytest.mark.skipif(
    not on_mindspore.SEES_OPERATORS, reason="this MindSpore has no public hook for operators"
)


def here() -> int:
    """Return the number of the line that calls."""
    return sys._getframe(1).f_lineno


def watched() -> Any:
    return watch(["mindspore"])


# --- what is recorded -----------------------------------------------------------------------------


@needs_hook
def test_a_call_of_the_operator_is_recorded_as_it_was() -> None:
    operator = ops.L2Normalize(-1, 1e-3)
    with watched() as found:
        operator(Tensor(SPECIAL))
        line = here() - 1
    (record,) = found.records
    assert record.call == Call(__file__, line, NAME, "float32", 2, 2.0, (-1,), 1e-3)
    assert (record.calls, record.shapes, record.counts) == (1, {(6, 3): 1}, CLASSES_OF_SPECIAL)
    assert (record.minimum, record.maximum) == (0.0, 5.0)
    found_port = port(record)
    assert found_port.status == "at risk"
    assert found_port.use == "portnorm.torch.L2Normalize(axis=-1, epsilon=0.001)(x)"
    assert float(found_port.argument.removeprefix("eps=")) == pytest.approx(1e-3**0.5, rel=1e-5)


@needs_hook
def test_a_call_of_mint_is_recorded_with_torchs_arguments() -> None:
    from mindspore import mint

    with watched() as found:
        with contextlib.suppress(Exception):  # it has no kernel on CPUs
            mint.nn.functional.normalize(Tensor(SPECIAL), dim=-1, eps=1e-6)
        line = here() - 1
    (record,) = found.records
    name = "mindspore.mint.nn.functional.normalize"
    assert record.call == Call(__file__, line, name, "float32", 2, 2.0, -1, 1e-6)
    assert port(record).use == "portnorm.torch.normalize(x, dim=-1, eps=1e-06)"


@needs_hook
def test_a_norm_that_mint_did_not_ask_for_is_not_recorded() -> None:
    from mindspore import mint

    def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
        return mint.linalg.vector_norm(input, p, dim)

    with watched() as found, contextlib.suppress(Exception):
        normalize(Tensor(SPECIAL))
    assert found.records == []


@needs_hook
def test_the_operator_is_seen_in_a_cell_and_where_gradients_are_recorded() -> None:
    class Layer(nn.Cell):
        def __init__(self) -> None:
            super().__init__()
            self.normalize = ops.L2Normalize(1)

        def construct(self, x: Tensor) -> Tensor:
            return self.normalize(x)

    layer, line = Layer(), Layer.construct.__code__.co_firstlineno + 1
    x = Tensor(SPECIAL)
    with watched() as found:
        layer(x)
        mindspore.grad(lambda x: layer(x).sum())(x)
    (record,) = found.records
    assert (record.call.line, record.calls, record.vectors) == (line, 2, 12)


@pytest.mark.parametrize("parity", ["native", "semantic", "strict"])
def test_a_call_of_an_adapter_is_one_call(parity: Any) -> None:
    x = Tensor(SPECIAL)
    with watched() as found:
        adapted.normalize(x, eps=1e-4, parity=parity)
        adapted.L2Normalize(1, parity=parity)(x)
        line = here() - 1
    first, second = found.records
    assert (first.call.function, first.call.eps) == ("portnorm.mindspore.normalize", 1e-4)
    assert (second.call.function, second.call.line) == ("portnorm.mindspore.l2_normalize", line)
    assert [record.calls for record in (first, second)] == [1, 1]
    assert second.counts == CLASSES_OF_SPECIAL
    assert found.at_risk == []


def test_arguments_of_every_kind_are_recorded() -> None:
    x = Tensor(np.ones((2, 3, 4), np.float32))
    with watched() as found:
        adapted.normalize(x, Tensor(2.0), [0, -1], Tensor(0.5))
        adapted.normalize(x.astype(mindspore.bfloat16), dim=None)
        adapted.normalize(x.astype(mindspore.complex64))
        adapted.normalize(Tensor(np.zeros((0, 3), np.float32)))
    first, *others = found.records
    assert (first.call.p, first.call.dim, first.call.eps) == (2.0, (0, -1), 0.5)
    assert (first.vectors, first.minimum) == (3, pytest.approx(8**0.5))
    assert [record.vectors for record in others] == [1, 8, 0]
    assert [record.unread for record in others] == [0, 0, 0]


def test_calls_that_are_refused_are_not_recorded() -> None:
    with watched() as found:
        with pytest.raises(IndexError):
            adapted.normalize(Tensor([1.0]))
        with pytest.raises(TypeError):
            adapted.l2_normalize(Tensor([1]))
        with pytest.raises(TypeError):
            ops.L2Normalize()(Tensor(1.0))
    assert found.records == []


# --- what is not seen -----------------------------------------------------------------------------


def both(x: Tensor) -> Tensor:
    return ops.L2Normalize(1)(x) + adapted.normalize(x) + adapted.l2_normalize(x, 1)


def test_graphs_compile_and_are_not_seen() -> None:
    x = Tensor(SPECIAL[:1])
    with watched() as found:
        compiled = mindspore.jit(both)
        inside = compiled(x).asnumpy(), mindspore.grad(compiled)(x).asnumpy()
    assert found.records == []
    np.testing.assert_array_equal(compiled(x).asnumpy(), inside[0])
    np.testing.assert_array_equal(mindspore.grad(compiled)(x).asnumpy(), inside[1])
    assert any("mindspore.jit" in words for words in found.not_seen)


@needs_hook
def test_operators_are_seen_in_threads_that_enter_the_watch() -> None:
    x = Tensor(SPECIAL)

    def enters() -> None:
        with watch(into=found):
            ops.L2Normalize(1)(x)

    with watched() as found:
        for target in (enters, lambda: ops.L2Normalize(0)(x)):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()
    assert [record.call.dim for record in found.records] == [(1,)]


def test_a_mindspore_without_a_hook_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_mindspore, "SEES_OPERATORS", False)
    with watched() as found:
        ops.L2Normalize(1)(Tensor(SPECIAL))
        adapted.normalize(Tensor(SPECIAL))
    assert [record.call.function for record in found.records] == ["portnorm.mindspore.normalize"]
    assert "has no public hook" in found.not_seen[0]
    assert f"MindSpore {mindspore.__version__}" in found.summary(200)


# --- nothing changes ------------------------------------------------------------------------------


def trained(parity: Any) -> list[bytes]:
    """Return losses and weights of a model that normalizes in every way."""
    rng = np.random.default_rng(5)
    x = Tensor(rng.standard_normal((8, 6)).astype(np.float32))
    weight = Tensor(rng.standard_normal((6, 4)).astype(np.float32))
    native = ops.L2Normalize(1, 1e-2)

    def loss(weight: Tensor) -> Tensor:
        features = adapted.normalize(native(x @ weight), eps=1e-3, parity=parity)
        return (features * adapted.l2_normalize(features, 0, parity=parity)).sin().sum()

    step, found = mindspore.value_and_grad(loss), []
    for _ in range(3):
        value, gradient = step(weight)
        weight = weight - 0.1 * gradient
        found += [value.asnumpy().tobytes(), weight.asnumpy().tobytes()]
    return found


@pytest.mark.parametrize("parity", ["native", "semantic", "strict"])
def test_training_has_the_same_bits(parity: Any) -> None:
    alone = trained(parity)
    with watched() as found:
        assert trained(parity) == alone
    operators = 3 if on_mindspore.SEES_OPERATORS else 0
    assert sum(record.calls for record in found.records) == 6 + operators
    assert observe.observers == ()


def test_norms_are_those_of_the_vectors(rng: np.random.Generator) -> None:
    x = (rng.standard_normal((5, 6, 7)) * 10.0 ** rng.integers(-30, 15, (5, 6, 7))).astype("f4")
    for dim, p in [(0, 2.0), (1, 2.0), (-1, 1.0), ((0, 2), 2.0)]:
        call = Call("", 0, "portnorm.mindspore.normalize", "float32", 3, p, dim, 1e-12)
        norms = on_mindspore.norms(Tensor(x), call)
        axes = tuple(d % 3 for d in np.atleast_1d(dim))
        wide = np.abs(x.astype(float))
        two = np.sqrt((wide**2).sum(axis=axes)).ravel()
        order = two if p == 2 else wide.sum(axis=axes).ravel()
        np.testing.assert_allclose(norms.two.ravel(), two, rtol=1e-5)
        np.testing.assert_allclose(norms.order.ravel(), order, rtol=1e-5)
