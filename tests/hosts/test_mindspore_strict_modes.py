"""parity="strict" inside graphs, transformations, models, threads and several processes."""

from __future__ import annotations

import contextvars
import math
import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mindspore", reason="tests the MindSpore host")

import mindspore
from mindspore import Parameter, Tensor, nn, ops

import portnorm
import portnorm.mindspore as adapted
from portnorm import StrictParityError, TorchReference
from portnorm.exact import mindspore_cpu, torch_cpu
from tests.hosts.mindspore_host import Call, array
from tests.hosts.strict_cases import of_one_scale, same_bits

pytestmark = pytest.mark.usefixtures("synchronous", "allow_every_p")


@pytest.fixture
def values(rng):
    return of_one_scale(rng, (20, 37), "float32")


# --- ways of compiling, and of asking for gradients -----------------------------------------------

WEIGHTS = np.random.default_rng(0).normal(size=(20, 37)).astype(np.float32)


def torchs(x):
    return adapted.normalize(x, parity="strict")


def mindspores(x):
    return adapted.l2_normalize(x, 1, parity="strict")


def torchs_loss(x):
    return (torchs(x) * Tensor(WEIGHTS)).sum()


def mindspores_loss(x):
    return (mindspores(x) * Tensor(WEIGHTS)).sum()


def torchs_gradient(x):
    return mindspore.grad(torchs_loss)(x)


def mindspores_gradient(x):
    return mindspore.grad(mindspores_loss)(x)


def expected(function, values):
    if function is torchs:
        return torch_cpu.normalize(values), torch_cpu.normalize_vjp(values, WEIGHTS)
    y = mindspore_cpu.l2_normalize(values, 1)
    return y, mindspore_cpu.l2_normalize_vjp(values, y, WEIGHTS, 1)


PAIRS = {
    "torch's": (torchs, torchs_loss, torchs_gradient),
    "MindSpore's": (mindspores, mindspores_loss, mindspores_gradient),
}
WAYS = [{}, {"fullgraph": True}, {"capture_mode": "bytecode"}, {"backend": "ms_backend"}]


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_every_way_of_compiling_keeps_the_bits(values, pair, way):
    function, loss, gradient = pair
    value, slope = expected(function, values)
    x = Tensor(values)
    assert same_bits(mindspore.jit(function, **way)(x), value)
    assert same_bits(mindspore.jit(gradient, **way)(x), slope)
    assert same_bits(mindspore.grad(mindspore.jit(loss, **way))(x), slope)
    assert same_bits(mindspore.value_and_grad(mindspore.jit(loss, **way))(x)[1], slope)


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_pynative_gradients_keep_the_bits(values, pair):
    function, loss, gradient = pair
    _, slope = expected(function, values)
    assert same_bits(gradient(Tensor(values)), slope)
    assert same_bits(mindspore.value_and_grad(loss)(Tensor(values))[1], slope)


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_vmap_keeps_the_bits(rng, pair, axis):
    function, _, _ = pair
    values = of_one_scale(rng, (3, 20, 37), "float32")
    got = mindspore.vmap(function, in_axes=axis)(Tensor(np.moveaxis(values, 0, axis)))
    assert same_bits(got, np.stack([expected(function, part)[0] for part in values]))


def scaled(x):
    return torchs(x * 2.0) + mindspores(x)


def test_one_graph_holds_several_calls(values):
    total = expected(torchs, values * 2)[0] + expected(mindspores, values)[0]
    assert same_bits(mindspore.jit(scaled)(Tensor(values)), total)


def test_a_jitted_function_takes_other_shapes_and_dtypes(rng):
    compiled = mindspore.jit(torchs)
    for shape, dtype in [((20, 37), "float32"), ((3, 5), "float32"), ((3, 5), "float64")]:
        values = of_one_scale(rng, shape, dtype)
        for _ in range(2):
            assert same_bits(compiled(Tensor(values)), torch_cpu.normalize(values))


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_a_function_of_shapes_that_become_unknown_is_refused(rng, pair):
    """With dynamic=1 the third shape is compiled for all that follow."""
    compiled = mindspore.jit(pair[0], dynamic=1)
    for rows in (2, 3):
        values = of_one_scale(rng, (rows, 37), "float32")
        assert same_bits(compiled(Tensor(values)), array(pair[0](Tensor(values))))
    with pytest.raises(StrictParityError, match="without dynamic=1"):
        compiled(Tensor(of_one_scale(rng, (4, 37), "float32")))


# --- options --------------------------------------------------------------------------------------


def left_open(x):
    return adapted.normalize(x)


def test_a_graph_follows_the_reference(rng):
    values = of_one_scale(rng, (200, 37), "float32")
    references = TorchReference("2.4.1"), TorchReference()
    expected = [torch_cpu.normalize(values, reference=reference) for reference in references]
    assert (expected[0] != expected[1]).any()
    compiled = mindspore.jit(left_open)
    for number in (0, 1, 0):
        with portnorm.set_options(parity="strict", reference=references[number]):
            assert same_bits(compiled(Tensor(values)), expected[number])


@pytest.mark.parametrize("eps", [math.nan, 1e-3, 1])
def test_equal_arguments_share_one_operator(compiled, values, eps):
    from portnorm.mindspore import _arrays

    before = _arrays._operator.cache_info().misses
    for _ in range(3):
        compiled(Call(adapted.normalize, 2.0, 1, float(eps), parity="strict"), Tensor(values))
    assert _arrays._operator.cache_info().misses <= before + 1


# --- in a model -----------------------------------------------------------------------------------


class Network(nn.Cell):
    """Scores normalised inputs against normalised weights, as face recognition does."""

    def __init__(self):
        super().__init__()
        weight = np.random.default_rng(1).normal(size=(5, 37)).astype(np.float32)
        self.weight = Parameter(Tensor(weight), name="weight")
        self.torchs = adapted.Normalize(parity="strict")
        self.mindspores = adapted.L2Normalize(axis=1, parity="strict")

    def construct(self, x):
        return ops.matmul(self.mindspores(x), self.torchs(self.weight).T) * 8.0


class WithLoss(nn.Cell):
    def __init__(self, network):
        super().__init__()
        self.network = network
        self.loss = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")

    def construct(self, x, label):
        return self.loss(self.network(x), label)


LABELS = Tensor(np.arange(20) % 5, mindspore.int32)


def losses(values, steps=8):
    network = WithLoss(Network())
    step = nn.TrainOneStepCell(network, nn.SGD(network.trainable_params(), learning_rate=0.5))
    step.set_train()
    return [float(array(step(Tensor(values), LABELS))) for _ in range(steps)]


def test_a_network_trains_through_strict_layers(values, request):
    eager = losses(values)
    assert eager == sorted(eager, reverse=True)
    assert eager[-1] < 0.95 * eager[0]
    request.getfixturevalue("graph_mode")
    assert losses(values) == pytest.approx(eager, rel=1e-5)


@pytest.mark.parametrize("mode", [mindspore.PYNATIVE_MODE, mindspore.GRAPH_MODE])
def test_model_train_runs_strict_layers(values, mode):
    before = mindspore.get_context("mode")
    mindspore.set_context(mode=mode)
    try:
        network = Network()
        start = array(network.weight).copy()
        data = mindspore.dataset.NumpySlicesDataset(
            (values, LABELS.asnumpy()), column_names=["x", "label"], shuffle=False
        ).batch(10)
        loss = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")
        optimizer = nn.SGD(network.trainable_params(), learning_rate=0.5)
        model = mindspore.Model(network, loss_fn=loss, optimizer=optimizer)
        model.train(2, data, dataset_sink_mode=False)
        assert (array(network.weight) != start).all()
    finally:
        mindspore.set_context(mode=before)


# --- export ---------------------------------------------------------------------------------------

LAYERS = {
    "Normalize": lambda: adapted.Normalize(),
    "Normalize, p=3": lambda: adapted.Normalize(3.0),
    "L2Normalize": lambda: adapted.L2Normalize(1),
}

RELOAD = """
import sys, numpy as np, mindspore
graph = mindspore.nn.GraphCell(mindspore.load(sys.argv[1]))
np.save(sys.argv[3], graph(mindspore.Tensor(np.load(sys.argv[2]))).asnumpy())
"""


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_a_semantic_layer_is_exported_and_runs_where_portnorm_is_not(
    values, make, tmp_path, run_python
):
    layer, x = make(), Tensor(values)
    name = str(tmp_path / "layer")
    mindspore.export(layer, x, file_name=name, file_format="MINDIR")
    np.save(tmp_path / "x.npy", values)
    run_python(RELOAD, f"{name}.mindir", tmp_path / "x.npy", tmp_path / "y.npy")
    assert (np.load(tmp_path / "y.npy") == array(layer(x))).all()


@pytest.mark.parametrize(
    "make", [adapted.Normalize, lambda parity: adapted.L2Normalize(1, parity=parity)]
)
def test_the_export_of_a_strict_layer_is_refused(values, make, tmp_path):
    """The file would name a function of this process."""
    with pytest.raises(StrictParityError, match=r"cannot be exported.*parity='semantic'"):
        mindspore.export(
            make(parity="strict"),
            Tensor(values),
            file_name=str(tmp_path / "layer"),
            file_format="MINDIR",
        )


@pytest.fixture
def run_python(tmp_path):
    import subprocess

    def run(code, *arguments):
        script = tmp_path / "script.py"
        script.write_text(code)
        command = [sys.executable, script, *arguments]
        result = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    return run


# --- threads and processes ------------------------------------------------------------------------


def test_threads_get_the_right_bits(rng):
    """Each works with arguments of its own."""
    wrong, done = [], []

    def work(seed):
        own = np.random.default_rng([seed, int(rng_seed)])
        for _ in range(100):
            values = of_one_scale(own, (int(own.integers(1, 40)), 37), "float32")
            p, eps = float(own.choice([1, 2, math.inf])), float(own.choice([1e-12, 1.0]))
            if not same_bits(
                adapted.normalize(Tensor(values), p, 1, eps, parity="strict"),
                torch_cpu.normalize(values, p, 1, eps),
            ):
                wrong.append((values.shape, p, eps))
        done.append(seed)

    rng_seed = rng.integers(1 << 32)
    threads = [
        threading.Thread(target=contextvars.copy_context().run, args=(work, seed))
        for seed in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(done) == 4


DATA_PARALLEL = """
import numpy as np, mindspore
from mindspore import Tensor, communication, nn, ops
import portnorm.mindspore as F
from portnorm.exact import torch_cpu

mindspore.set_context(mode=mindspore.GRAPH_MODE)
communication.init()
rank, size = communication.get_rank(), communication.get_group_size()
values = np.random.default_rng(0).normal(size=(8, 6 * size)).astype(np.float32)
expected = torch_cpu.normalize(values)


class OfRows(nn.Cell):
    def construct(self, x):
        return F.normalize(x, parity="strict")


class OfShardedRows(nn.Cell):
    '''Each process has some of the columns.'''

    def __init__(self):
        super().__init__()
        self.gather = ops.AllGather()

    def construct(self, x):
        whole = self.gather(x.T).T
        return F.normalize(whole, parity="strict")[:, 6 * rank : 6 * rank + 6]


rows = slice(4 * rank, 4 * rank + 4)
assert (OfRows()(Tensor(values[rows])).asnumpy() == expected[rows]).all()
columns = slice(6 * rank, 6 * rank + 6)
got = OfShardedRows()(Tensor(np.ascontiguousarray(values[:, columns]))).asnumpy()
assert (got == expected[:, columns]).all()


class WithLoss(nn.Cell):
    def __init__(self):
        super().__init__()
        self.weight = mindspore.Parameter(Tensor(np.ones((1, 6 * size), np.float32)), name="w")

    def construct(self, x):
        return F.normalize(x * self.weight, parity="strict")[:, 0].sum()


mindspore.set_auto_parallel_context(parallel_mode="data_parallel", gradients_mean=True)
network = WithLoss()
step = nn.TrainOneStepCell(network, nn.SGD(network.trainable_params(), learning_rate=0.1))
step(Tensor(values[rows]))
weight = ops.AllGather()(network.weight.value()).asnumpy()
assert (weight[0] == weight[1]).all() and (weight != 1).any()
print("bits are right", rank, flush=True)
"""


def test_data_parallel_processes_keep_the_bits(tmp_path):
    import subprocess

    (tmp_path / "script.py").write_text(DATA_PARALLEL)
    programs = Path(sys.executable).parent
    command = [
        programs / "msrun",
        "--worker_num=2",
        "--local_worker_num=2",
        "--master_addr=127.0.0.1",
        f"--master_port={free_port()}",
        f"--log_dir={tmp_path / 'logs'}",
        "--join=True",
        "script.py",
    ]
    environment = {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(Path(portnorm.__file__).parents[1]),
    }
    result = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    logs = "".join(path.read_text() for path in (tmp_path / "logs").glob("worker_*.log"))
    assert result.returncode == 0, result.stderr + logs
    assert logs.count("bits are right") == 2, logs


def free_port():
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
