"""parity="strict" gives the bits of the emulated function, forward and backward, in every mode."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("mindspore", reason="tests the MindSpore host")

import mindspore
from mindspore import Parameter, Tensor, ops

import portnorm
import portnorm.mindspore as adapted
from portnorm import MindSporeReference, TorchReference
from portnorm.exact import mindspore_cpu, torch_cpu
from tests.hosts.mindspore_host import Call, Gradient, array, rounded, tensor
from tests.hosts.strict_cases import (
    DTYPES,
    ORDERS,
    StrictCase,
    any_bits,
    of_mindspore,
    of_one_scale,
    same_bits,
    strict_case,
    torchs_own,
)

pytestmark = pytest.mark.usefixtures("synchronous", "allow_every_p")

L2_DTYPES = ["float16", "float32", "float64"]


@pytest.fixture
def as_torch_is_now(torch):
    """Emulate the live torch."""
    with portnorm.set_options(reference=TorchReference.current()):
        yield


@pytest.fixture
def as_mindspore_is_now():
    with portnorm.set_options(reference=MindSporeReference.current()):
        yield


def is_pynative(run) -> bool:
    return run.__name__ == "_in_pynative"


# --- torch's bits ---------------------------------------------------------------------------------


def assert_torchs_bits(torch, run, case):
    """In a graph tensors count as contiguous."""
    layout = case.layout if is_pynative(run) else "contiguous"
    value, gradient = torchs_own(torch, case, layout)
    cell = Call(adapted.normalize, *case.arguments, parity="strict")
    x, g = (
        of_mindspore(case.values, case.dtype, case.layout),
        of_mindspore(case.cotangent, case.dtype),
    )
    assert same_bits(run(cell, x), value), case
    assert same_bits(run(Gradient(cell), x, g), gradient), case


@pytest.mark.usefixtures("as_torch_is_now")
@pytest.mark.parametrize("dtype", DTYPES)
def test_normalize_has_torchs_bits(rng, torch, run, dtype):
    for _ in range(60 if is_pynative(run) else 4):
        assert_torchs_bits(torch, run, strict_case(rng, dtype))


@pytest.mark.usefixtures("as_torch_is_now")
@pytest.mark.parametrize("p", ORDERS)
@pytest.mark.parametrize(("shape", "dim"), [((40_000,), 0), ((300, 201), 1), ((300, 201), (0, 1))])
def test_large_tensors_have_torchs_bits_which_threads_decide(rng, torch, run, p, shape, dim):
    values = of_one_scale(rng, shape, "float32")
    cotangent = of_one_scale(rng, shape, "float32")
    assert_torchs_bits(
        torch, run, StrictCase(values, cotangent, "float32", p, dim, 1e-12, "contiguous")
    )


@pytest.mark.usefixtures("as_torch_is_now")
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("p", [1, 2])
def test_every_number_of_16_bits_has_torchs_bits(torch, run, dtype, p):
    words = np.arange(1 << 16, dtype=np.uint16)
    if dtype == "float16":
        values = words.view(np.float16)
    else:
        values = (words.astype(np.uint32) << 16).view(np.float32)
    values = values.reshape(-1, 2)
    ones = np.ones_like(values)
    assert_torchs_bits(torch, run, StrictCase(values, ones, dtype, p, 1, 1e-3, "contiguous"))
    values = values.reshape(-1, 1)
    ones = np.ones_like(values)
    assert_torchs_bits(torch, run, StrictCase(values, ones, dtype, p, 1, 1e-3, "contiguous"))


@pytest.mark.usefixtures("as_torch_is_now")
def test_wrong_bits_are_found(rng, torch):
    """Those of another build."""
    values = of_one_scale(rng, (200, 37), "float32")
    case = StrictCase(values, values, "float32", 2, 1, 1e-12, "contiguous")
    own, _ = torchs_own(torch, case, "contiguous")
    other = TorchReference("2.4.1")
    if other.rules.tail == TorchReference.current().rules.tail:
        other = TorchReference("2.13.0")
    with portnorm.set_options(reference=other):
        assert not same_bits(adapted.normalize(Tensor(values), parity="strict"), own)


@pytest.mark.usefixtures("as_torch_is_now")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(4,), (3, 4)])
def test_an_expanded_view_has_torchs_bits(rng, torch, dtype, shape):
    values = of_one_scale(rng, (shape[0], *shape[1:-1], 1), dtype)
    x = ops.broadcast_to(tensor(values, dtype), (*values.shape[:-1], 9))
    own = torch.from_numpy(values).to(getattr(torch, dtype)).expand(*values.shape[:-1], 9)
    for dim in range(-x.ndim, x.ndim):
        expected = torch.nn.functional.normalize(own, 2, dim)
        expected = expected.float() if dtype == "bfloat16" else expected
        got = adapted.normalize(x, 2, dim, parity="strict")
        assert same_bits(got, expected.numpy()), dim


@pytest.mark.parametrize("p", [3, 0.5, -1.5])
@pytest.mark.parametrize("dtype", L2_DTYPES)
def test_other_orders_have_the_bits_of_the_exact_arithmetic(rng, run, p, dtype):
    values = of_one_scale(rng, (5, 7), dtype)
    expected = torch_cpu.normalize(values, p)
    assert same_bits(run(Call(adapted.normalize, p, parity="strict"), Tensor(values)), expected)


# --- MindSpore's bits -----------------------------------------------------------------------------


def l2_values(rng, shape, dtype):
    """In float32 and float64 no intermediate is subnormal, which threads of MindSpore flush."""
    if dtype == "float16" and rng.random() < 0.5:
        return any_bits(rng, shape, dtype)
    values = of_one_scale(rng, shape, dtype)
    if rng.random() < 0.2:
        chosen = rng.choice([math.inf, -math.inf, math.nan], shape)
        values = np.where(rng.random(shape) < 0.1, chosen, values).astype(dtype)
    return values


@pytest.mark.usefixtures("as_mindspore_is_now")
@pytest.mark.parametrize("dtype", L2_DTYPES)
def test_l2_normalize_has_mindspores_bits(rng, run, dtype):
    for _ in range(60 if is_pynative(run) else 4):
        shape = tuple(int(size) for size in rng.choice([1, 2, 3, 7, 16], rng.integers(1, 5)))
        axis = int(rng.integers(-len(shape), len(shape)))
        epsilon = float(rng.choice([1e-4, 1e-6, 1.0, 100.0]))
        values, cotangent = l2_values(rng, shape, dtype), of_one_scale(rng, shape, dtype)
        layout = str(rng.choice(["contiguous", "transposed", "sliced"]))
        x, g = of_mindspore(values, dtype, layout), Tensor(cotangent)
        native = Native(axis, epsilon)
        cell = Call(adapted.l2_normalize, axis, epsilon, parity="strict")
        case = f"{dtype}{shape} {layout} {axis=} {epsilon=}"
        assert same_bits(run(cell, x), array(native(x))), case
        assert same_bits(run(Gradient(cell), x, g), array(Gradient(native)(x, g))), case


class Native(mindspore.nn.Cell):
    def __init__(self, axis, epsilon):
        super().__init__()
        self.operator = ops.L2Normalize(axis, epsilon)

    def construct(self, x):
        return self.operator(x)


def test_l2_normalize_has_the_gradient_of_mindspores_kernel_at_zero(run):
    cell = Call(adapted.l2_normalize, parity="strict")
    x, g = tensor(np.zeros(3)), tensor(np.ones(3))
    assert same_bits(run(Gradient(cell), x, g), np.full(3, 10_000, np.float32))


def test_l2_normalize_tells_tiny_epsilons_apart(run):
    """MindSpore runs both with the first one's."""
    x = np.array([3e-12, 4e-12])
    for epsilon in (1e-22, 4e-22):
        cell = Call(adapted.l2_normalize, 0, epsilon, parity="strict")
        expected = mindspore_cpu.l2_normalize(x, 0, epsilon)
        assert same_bits(run(cell, Tensor(x)), expected)


@pytest.mark.parametrize("function", [adapted.normalize, adapted.l2_normalize])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_subnormals_are_kept_in_threads_of_mindspore_too(run, function, dtype):
    smallest = float(np.finfo(dtype).smallest_subnormal)
    values = np.array([[3.0, 4.0, 1.0]], dtype) * np.asarray(smallest, dtype)
    g = np.array([[1e-3, 2.0, 1.0]], dtype)
    one = (2.0, 1, 1.0) if function is adapted.normalize else (1, 1.0)
    cell = Call(function, *one, parity="strict")
    assert same_bits(run(cell, Tensor(values)), values)
    assert np.isfinite(array(run(Gradient(cell), Tensor(values), Tensor(g)))).all()


# --- shapes ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("as_torch_is_now")
@pytest.mark.parametrize("dim", [None, 0, -1, ()])
@pytest.mark.parametrize("dtype", DTYPES)
def test_scalars_have_torchs_bits(rng, torch, run, dtype, dim):
    some = [-3.0, 0.0, 1e-25, math.nan]
    for value in some if is_pynative(run) else rng.choice(some, 1):
        values = rounded(np.array(value), dtype)
        case = StrictCase(values, np.ones_like(values), dtype, 2, dim, 1e-3, "contiguous")
        assert_torchs_bits(torch, run, case)


@pytest.mark.parametrize("call", [(adapted.normalize, 2.0, -1), (adapted.l2_normalize,)])
@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 3)])
def test_empty_tensors_give_empty_tensors(run, call, shape):
    x = tensor(np.zeros(shape))
    cell = Call(*call, parity="strict")
    assert run(cell, x).shape == shape
    assert run(Gradient(cell), x, x).shape == shape


# --- what tensors may be --------------------------------------------------------------------------


def test_a_parameter_has_torchs_bits(rng):
    values = of_one_scale(rng, (5, 7), "float32")
    parameter = Parameter(Tensor(values), name="parameter")
    got = adapted.normalize(parameter, parity="strict")
    assert same_bits(got, torch_cpu.normalize(values))


def test_the_result_is_not_the_input(rng):
    values = of_one_scale(rng, (5, 7), "float32")
    x = Tensor(values)
    y = adapted.normalize(x, parity="strict")
    before = array(y).copy()
    x[...] = 0
    assert same_bits(y, before)
    y[...] = 1
    assert (array(x) == 0).all()


@pytest.mark.parametrize("held", ["float32", "float64", "float16"])
def test_out_is_filled_with_torchs_bits(rng, held):
    values = of_one_scale(rng, (5, 7), "float32")
    out = tensor(np.zeros((5, 7)), held)
    assert adapted.normalize(Tensor(values), out=out, parity="strict") is out
    assert same_bits(out, torch_cpu.normalize(values).astype(held))


def test_out_may_be_the_input(rng):
    values = of_one_scale(rng, (5, 7), "float32")
    x = Tensor(values)
    expected = torch_cpu.normalize(values)
    assert adapted.normalize(x, out=x, parity="strict") is x
    assert same_bits(x, expected)


def test_layers_have_the_bits_of_the_functions(rng, run):
    values = of_one_scale(rng, (5, 7), "float32")
    x = Tensor(values)
    assert same_bits(run(adapted.Normalize(parity="strict"), x), torch_cpu.normalize(values))
    layer = adapted.L2Normalize(axis=1, parity="strict")
    assert same_bits(run(layer, x), mindspore_cpu.l2_normalize(values, 1))


# --- the reference --------------------------------------------------------------------------------


def test_the_option_decides_whose_bits_torchs_are(rng, run):
    values = of_one_scale(rng, (200, 37), "float32")
    results = []
    for reference in (TorchReference("2.4.1"), TorchReference("2.13.0"), TorchReference()):
        with portnorm.set_options(reference=reference, parity="strict"):
            got = run(Call(adapted.normalize), Tensor(values))
        assert same_bits(got, torch_cpu.normalize(values, reference=reference))
        results.append(array(got))
    assert (results[0] != results[1]).any()
    assert (results[1] == results[2]).all()


def test_the_option_decides_whose_bits_mindspores_are(rng, run):
    values = of_one_scale(rng, (200, 37), "float32")
    results = []
    for machine in ("x86_64", "aarch64"):
        reference = MindSporeReference("2.9.0", machine)
        with portnorm.set_options(reference=reference, parity="strict"):
            got = run(Call(adapted.l2_normalize, 1, 1e-12), Tensor(values))
        assert same_bits(got, mindspore_cpu.l2_normalize(values, 1, 1e-12, reference))
        results.append(array(got))
    assert (results[0] != results[1]).any()


def test_a_gradient_has_the_reference_of_its_forward(rng):
    values = of_one_scale(rng, (200, 37), "float32")
    cotangent = of_one_scale(rng, (200, 37), "float32")
    arm = TorchReference("2.13.0", "neon")
    with portnorm.set_options(reference=arm):
        cell = Gradient(Call(adapted.normalize, parity="strict"))
        got = cell(Tensor(values), Tensor(cotangent))
    expected = torch_cpu.normalize_vjp(values, cotangent, reference=arm)
    assert same_bits(got, expected)
    assert not same_bits(got, torch_cpu.normalize_vjp(values, cotangent))
