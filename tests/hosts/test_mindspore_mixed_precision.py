"""Mixed precision: PyNative gives what a graph gives, in values, dtypes and gradients."""

from __future__ import annotations

import contextlib
import math
import threading
import time

import numpy as np
import pytest

pytest.importorskip("mindspore", reason="tests the MindSpore host")

import mindspore
from mindspore import Parameter, Tensor, amp, nn, ops
from mindspore.nn.cell import MixedPrecisionType
from mindspore_host import array, tensor

import portnorm.mindspore as adapted
from portnorm import PortnormError, observe
from portnorm.mindspore import _precision
from portnorm.mindspore._arguments import pynative_executor

pytestmark = pytest.mark.usefixtures("synchronous", "allow_every_p")

X = np.array([[3.0, -4.0, 12.0, 0.5], [1.0, 300.0, -2.0, 7.0]])
G = np.array([[1.0, 2.0, -1.0, 0.5], [0.25, 1.0, 1.0, -2.0]])
BELOW_FLOOR = X * 1e-5


class Calls(nn.Cell):
    """A cell that calls a function or a layer and has no precision of its own."""

    def __init__(self, called, *arguments) -> None:
        super().__init__()
        self.called = called
        self.arguments = arguments

    def construct(self, x: Tensor) -> Tensor:
        return self.called(x, *self.arguments)


class OfNormalize(nn.Cell):
    """Torch's function at each level, and as a layer; called by name, for the rewriter of O1."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = adapted.Normalize(3.0)

    def construct(self, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> tuple[Tensor, ...]:
        return (
            adapted.normalize(a),
            adapted.normalize(b, 1.0, 1, 1e-3, None, parity="strict"),
            self.layer(c),
            adapted.normalize(d, 1.0),
        )


class OfL2Normalize(nn.Cell):
    """MindSpore's function at each level, which torch's is at the level native, and as a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = adapted.L2Normalize(1, 1e-3)

    def construct(self, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> tuple[Tensor, ...]:
        return (
            adapted.normalize(a, 2.0, 1, 0.1, None, parity="native"),
            adapted.l2_normalize(b, 1, 1e-3, parity="native"),
            self.layer(c),
            adapted.l2_normalize(d, 1, 1e-3, parity="strict"),
        )


class Gradients(nn.Cell):
    """The gradients of a cell to all its inputs, each of which has its own result."""

    def __init__(self, cell: nn.Cell) -> None:
        super().__init__()
        self.cell = cell
        self.gradient = ops.GradOperation(get_all=True, sens_param=True)

    def construct(
        self, a: Tensor, b: Tensor, c: Tensor, d: Tensor, ga: Tensor, gb: Tensor, gc: Tensor,
        gd: Tensor,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        return self.gradient(self.cell)(a, b, c, d, (ga, gb, gc, gd))


def same(got: Tensor, expected: Tensor) -> bool:
    return got.dtype == expected.dtype and np.array_equal(
        array(got), array(expected), equal_nan=True
    )


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch) -> None:
    """MindSpore writes what it rewrites into the current folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def nothing_left(synchronous):
    """An exception in a cell leaves its type on MindSpore's stack; take it from there."""
    yield
    while ops.abs(tensor(X)).dtype != mindspore.float32:
        pynative_executor.set_mixed_precision_type(MixedPrecisionType.NOTSET, False)


def in_graph_mode(cell, *inputs):
    mindspore.set_context(mode=mindspore.GRAPH_MODE)
    try:
        return cell(*inputs)
    finally:
        mindspore.set_context(mode=mindspore.PYNATIVE_MODE)


# --- wrong before ---------------------------------------------------------------------------------

WAS_WRONG = {
    "p=1": (lambda: adapted.Normalize(p=1), "float16", 60000.0, "float32", 0.25),
    "p=3": (lambda: adapted.Normalize(p=3), "float16", 60000.0, "float32", 0.63),
    "p=-1": (lambda: adapted.Normalize(p=-1), "float16", 60000.0, "float32", 4.0),
    "p=inf": (lambda: adapted.Normalize(p=math.inf), "float16", 60000.0, "float32", 1.0),
    "strict": (lambda: adapted.L2Normalize(1, parity="strict"), "float16", 300.0, "float32", 0.0),
    "semantic": (lambda: adapted.L2Normalize(1), "float16", 300.0, "float32", 0.5),
    "native": (lambda: adapted.L2Normalize(1, parity="native"), "float16", 300.0, "float32", 0.0),
    "widened": (lambda: adapted.Normalize(), "float32", 0.0, "float16", 0.0),
    "widened, l2": (lambda: adapted.L2Normalize(1, 1e-12), "float32", 0.0, "float16", 0.0),
}


@pytest.mark.parametrize(
    ("make", "to", "value", "dtype", "right"), WAS_WRONG.values(), ids=WAS_WRONG.keys()
)
def test_the_input_is_cast_once_to_the_type_of_the_cell(make, to, value, dtype, right):
    x = tensor(np.full((1, 4), value), dtype)
    cell = Calls(make()).to_float(getattr(mindspore, to))
    got, gradient = cell(x), mindspore.grad(cell)(x)
    assert same(got, make().to_float(getattr(mindspore, to))(x))
    assert str(got.dtype).lower() == to
    assert array(got) == pytest.approx(np.full((1, 4), right), abs=1e-3)
    assert same(got, in_graph_mode(cell, x))
    assert gradient.dtype == x.dtype


# --- every way of asking --------------------------------------------------------------------------

WAYS = {
    "none": lambda cell: cell,
    "to_float(float16)": lambda cell: cell.to_float(mindspore.float16),
    "to_float(float32)": lambda cell: cell.to_float(mindspore.float32),
    "to_float(bfloat16)": lambda cell: cell.to_float(mindspore.bfloat16),
    "O1": lambda cell: amp.auto_mixed_precision(cell, "O1"),
    "O2": lambda cell: amp.auto_mixed_precision(cell, "O2"),
    "O3": lambda cell: amp.auto_mixed_precision(cell, "O3"),
    "auto": lambda cell: amp.auto_mixed_precision(cell, "auto"),
    "black list": lambda cell: amp.custom_mixed_precision(cell, black_list=[nn.LayerNorm]),
    "white list": lambda cell: amp.custom_mixed_precision(cell, white_list=[nn.Dense]),
}


def check_that_modes_agree(run, cell, dtype):
    inputs = tuple(tensor(X * scale, dtype) for scale in (1, 1e-3, 1, 1e-5))
    results = cell(*inputs)
    cotangents = tuple(tensor(G).astype(result.dtype) for result in results)
    gradients = Gradients(cell)(*inputs, *cotangents)
    in_graph = (*run(cell, *inputs), *run(Gradients(cell), *inputs, *cotangents))
    for got, expected in zip((*results, *gradients), in_graph, strict=True):
        assert same(got, expected)
    assert all(gradient.dtype == inputs[0].dtype for gradient in gradients)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("of", [OfNormalize, OfL2Normalize])
def test_pynative_gives_what_a_graph_gives(way, of):
    if "bfloat16" in way and of is OfL2Normalize:
        pytest.skip("L2Normalize has no bfloat16")
    check_that_modes_agree(in_graph_mode, WAYS[way](of()), "float32")


@pytest.mark.parametrize("way", ["to_float(float16)", "auto"])
def test_pynative_gives_what_a_compiled_function_gives(way):
    cell = WAYS[way](OfNormalize())
    check_that_modes_agree(lambda cell, *inputs: mindspore.jit(cell)(*inputs), cell, "float32")


@pytest.mark.parametrize("way", ["to_float(float32)", "O3"])
@pytest.mark.parametrize("of", [OfNormalize, OfL2Normalize])
def test_pynative_gives_what_a_graph_gives_for_float16(way, of):
    check_that_modes_agree(in_graph_mode, WAYS[way](of()), "float16")


@pytest.mark.parametrize("parity", ["native", "semantic", "strict"])
def test_l2_normalize_refuses_bfloat16_as_the_operator_does(parity):
    class Refused(nn.Cell):
        def construct(self, x: Tensor) -> Tensor:
            with pytest.raises(TypeError, match=r"Float64\]}, but got Tensor\[BFloat16\]"):
                adapted.l2_normalize(x, 1, parity=parity)
            return x

    Refused().to_float(mindspore.bfloat16)(tensor(X))


@pytest.mark.parametrize(("p", "right"), [(2.0, 0.5), (3.0, 4 ** (-1 / 3)), (-1.0, 4.0)])
def test_auto_leaves_float64_alone(run, p, right):
    cell = amp.auto_mixed_precision(Calls(adapted.normalize, p), "auto")
    got = array(run(cell, tensor(np.full((1, 4), 1e300), "float64")))
    assert got == pytest.approx(np.full((1, 4), right), rel=1e-14)


@pytest.mark.parametrize("p", [2.0, 3.0, 1.0])
def test_second_gradients_are_shielded(p):
    x = tensor(X[:1])
    plain = Calls(adapted.normalize, p, 1, 1e-3)
    half = Calls(adapted.normalize, p, 1, 1e-3).to_float(mindspore.float16)

    def second(cell):
        first = mindspore.grad(lambda a: (cell(a).astype(mindspore.float32) * tensor(G[:1])).sum())
        return array(mindspore.grad(lambda a: (first(a) * tensor(G[:1])).sum())(x))

    # Cotangents are rounded to float16 in between.
    assert second(half) == pytest.approx(second(plain), abs=2e-3)


# --- nested cells ---------------------------------------------------------------------------------


class Nested(nn.Cell):
    def __init__(self, inner, outer) -> None:
        super().__init__()
        self.dense = nn.Dense(4, 4)
        self.layer = adapted.Normalize(3.0)
        if outer is not None:
            self.to_float(outer)
        if inner is not None:
            self.layer.to_float(inner)

    def construct(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return self.layer(x), adapted.normalize(y, 1.0)


@pytest.mark.parametrize(
    ("inner", "outer"),
    [("float16", None), (None, "bfloat16"), ("float32", "float16"), ("float16", "bfloat16")],
)
def test_the_innermost_cell_with_a_type_counts(inner, outer):
    types = [name and getattr(mindspore, name) for name in (inner, outer)]
    cell, x = Nested(*types), tensor(X)
    results = cell(x, x)
    for got, expected in zip(results, in_graph_mode(cell, x, x), strict=True):
        assert same(got, expected)
    innermost, around = (name or "float32" for name in (inner or outer, outer))
    assert [str(result.dtype).lower() for result in results] == [innermost, around]


def test_integers_and_complex_numbers_are_not_cast():
    cell = Calls(adapted.normalize).to_float(mindspore.float16)
    assert cell(tensor(X, "complex64")).dtype == mindspore.complex64
    with pytest.raises(RuntimeError, match="Got Int"):
        cell(tensor(X, "int32"))


def test_a_parameter_is_cast_and_its_gradient_is_not():
    class Weight(nn.Cell):
        def __init__(self) -> None:
            super().__init__()
            self.w = Parameter(tensor(X), name="w")

        def construct(self) -> Tensor:
            return adapted.normalize(self.w, 1.0).sum()

    cell = Weight().to_float(mindspore.float16)
    value, gradient = mindspore.value_and_grad(cell, None, cell.trainable_params())()
    assert value.dtype == mindspore.float16
    assert gradient[0].dtype == mindspore.float32


class Filled(nn.Cell):
    def construct(self, x: Tensor, out: Tensor) -> Tensor:
        return adapted.normalize(x, 1.0, out=out)


def test_out_is_filled_in_a_half_cell():
    out = tensor(np.zeros((2, 4)))
    cell = Filled().to_float(mindspore.float16)
    assert cell(tensor(X), out) is out
    expected = adapted.normalize(tensor(X).astype(mindspore.float16), 1.0)
    assert (array(out) == array(expected)).all()


def test_who_observes_sees_the_tensor_that_is_normalized():
    seen = []

    def observer(function, x, p, dim, eps):
        seen.append(x.dtype)

    observe.add(observer)
    try:
        Calls(adapted.normalize).to_float(mindspore.float16)(tensor(X))
        Calls(adapted.l2_normalize, 1).to_float(mindspore.float16)(tensor(X))
    finally:
        observe.remove(observer)
    assert seen == [mindspore.float16] * 2


def trained(mode_of, level):
    class Net(nn.Cell):
        def __init__(self) -> None:
            super().__init__()
            self.dense = nn.Dense(4, 3, weight_init="ones", bias_init="ones")
            self.normalize = adapted.Normalize(3.0)

        def construct(self, x: Tensor) -> Tensor:
            return self.normalize(self.dense(x)) * adapted.normalize(x)[:, :3]

    net = Net()
    step = amp.build_train_network(
        net,
        nn.SGD(net.trainable_params(), 0.5),
        nn.MSELoss(),
        level=level,
        loss_scale_manager=mindspore.amp.FixedLossScaleManager(1024.0, drop_overflow_update=False),
    )
    step.set_train()
    losses = [float(mode_of(step, tensor(X), tensor(G[:, :3]))) for _ in range(3)]
    return losses, array(net.dense.weight)


@pytest.mark.parametrize("level", ["O0", "O2", "O3"])
def test_a_step_of_training_with_loss_scaling_is_that_of_a_graph(level):
    losses, weight = trained(lambda step, *inputs: step(*inputs), level)
    expected, expected_weight = trained(in_graph_mode, level)
    assert losses == pytest.approx(expected, rel=2e-3)
    assert weight == pytest.approx(expected_weight, rel=2e-3)


# --- O1 and white lists ---------------------------------------------------------------------------


def test_rewritten_networks_keep_our_layers():
    cell = nn.SequentialCell(nn.Dense(4, 4), adapted.Normalize(), adapted.L2Normalize(1))
    rewritten = amp.auto_mixed_precision(cell, "O1")
    kinds = {type(layer) for layer in rewritten.cells()}
    assert {adapted.Normalize, adapted.L2Normalize} < kinds
    assert rewritten(tensor(X)).dtype == mindspore.float32


# --- exceptions and threads -----------------------------------------------------------------------


class Fails(nn.Cell):
    def construct(self, x: Tensor) -> Tensor:
        raise ValueError("of the user")


@pytest.fixture
def left_in_float16():
    with pytest.raises(ValueError, match="of the user"):
        Fails().to_float(mindspore.float16)(tensor(X))
    assert ops.abs(tensor(X)).dtype == mindspore.float16


@pytest.mark.usefixtures("left_in_float16")
@pytest.mark.parametrize("parity", ["native", "semantic", "strict"])
@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
def test_results_are_right_after_an_exception_in_a_cell(p, parity):
    if parity == "native" and p != 2:
        pytest.skip("native has p=2 only")
    x = tensor(np.full((1, 4), 60000.0))
    got = adapted.normalize(x, p, eps=1e-3, parity=parity)
    assert got.dtype == mindspore.float32
    assert array(got) == pytest.approx(np.full((1, 4), 4 ** (-1 / p)), rel=1e-6)


def test_arguments_that_are_refused_leave_the_type_as_it_was():
    class Tries(nn.Cell):
        def construct(self, x: Tensor) -> Tensor:
            for arguments in ((3.0, 7), (2.0, 7), ("no", 1)):
                try:
                    adapted.normalize(x, *arguments)
                except (IndexError, RuntimeError):
                    pass
                else:
                    raise AssertionError
            return ops.abs(x)

    assert Tries().to_float(mindspore.float16)(tensor(X)).dtype == mindspore.float16
    assert ops.abs(tensor(X)).dtype == mindspore.float32


class Waits(nn.Cell):
    def __init__(self) -> None:
        super().__init__()
        self.inside, self.leave = threading.Event(), threading.Event()

    def construct(self, x: Tensor) -> Tensor:
        self.inside.set()
        self.leave.wait(60)
        return x


def test_a_half_cell_of_another_thread_is_seen():
    cell = Waits().to_float(mindspore.float16)
    thread = threading.Thread(target=cell, args=(tensor(X),))
    thread.start()
    try:
        assert cell.inside.wait(60)
        x = tensor(np.full((1, 4), 60000.0))
        with pytest.raises(PortnormError, match="runs cells in mixed precision"):
            adapted.normalize(x, 3.0)
        for parity in ("semantic", "strict"):
            got = adapted.normalize(x, parity=parity)
            assert array(got) == pytest.approx(np.full((1, 4), 0.5))
    finally:
        cell.leave.set()
        thread.join()
    assert array(adapted.normalize(x, 3.0)) == pytest.approx(np.full((1, 4), 4 ** (-1 / 3)))


class Half(nn.Cell):
    """It runs no operator: MindSpore loses results of two threads that do, and waits for them."""

    def construct(self) -> None:
        time.sleep(0.001)


@pytest.mark.usefixtures("synchronous")
def test_a_result_that_comes_out_otherwise_the_second_time_is_refused():
    results = iter([tensor([1.0]), tensor([2.0])])
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    try:
        with pytest.raises(PortnormError, match="make the call again"):
            _precision.shielded(lambda: next(results))
        # Which thread it was is not known; one that lives on, and casts nothing, hinders no call.
        assert array(_precision.shielded(lambda: tensor([1.0]))).tolist() == [1.0]
    finally:
        over.set()
        thread.join()


def test_no_result_is_wrong_while_another_thread_enters_and_leaves_half_cells():
    over = threading.Event()

    def enter_and_leave():
        cell = Half().to_float(mindspore.float16)
        while not over.wait(0.001):
            with contextlib.suppress(TypeError):  # MindSpore's own, of two threads at one stack
                cell()

    thread = threading.Thread(target=enter_and_leave)
    thread.start()
    x, refused = tensor(np.full((1, 4), 60000.0)), 0
    try:
        for _ in range(200):
            try:
                got = adapted.normalize(x, 3.0)
            except PortnormError:
                refused += 1
                continue
            assert got.dtype == mindspore.float32
            assert array(got) == pytest.approx(np.full((1, 4), 4 ** (-1 / 3)), rel=1e-6)
    finally:
        over.set()
        thread.join()
    assert refused
