"""NaN, infinities, signed zeros and peculiar epsilons behave as in the emulated function."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np
import pytest

pytest.importorskip("mindspore", reason="tests the MindSpore host")

from mindspore import Tensor, ops

import portnorm.mindspore as adapted
from tests.hosts.mindspore_host import ORDERS, Call, array, tensor, torch_array, torch_tensor

pytestmark = pytest.mark.usefixtures("synchronous", "allow_every_p")

SPECIAL = [math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -2.0]
VECTORS = {n: np.array(list(itertools.product(SPECIAL, repeat=n))) for n in (1, 2, 3)}
COMPLEX = [complex(real, imag) for real in SPECIAL for imag in SPECIAL]
EPSILONS = [1e-12, 0.0, -0.0, 1e-3, 1.5, -1.0, math.inf, -math.inf, math.nan]


def different(got: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return which rows differ in NaN, infinity, sign (of zeros, too) or by more than rounding.

    A complex number is NaN or infinite as a whole: what becomes of its other part is a matter of
    how the framework divides complex numbers.
    """
    both = ~np.isnan(got) & ~np.isnan(expected)
    wrong = np.isnan(got) != np.isnan(expected)
    wrong |= both & (np.isinf(got) != np.isinf(expected))
    if got.dtype.kind != "c":
        wrong |= both & (np.signbit(got) != np.signbit(expected))
    finite = both & np.isfinite(got) & np.isfinite(expected)
    with np.errstate(invalid="ignore"):
        wrong |= finite & (np.abs(got - expected) > 1e-2 * np.abs(expected))
    return wrong.any(axis=1)


@pytest.mark.parametrize(
    ("got", "expected"),
    [(math.nan, 1.0), (1.0, math.nan), (math.inf, 1.0), (math.inf, -math.inf), (0.0, -0.0)],
)
def test_the_comparison_sees_a_difference(got, expected):
    row = np.array([[1.0, got]])
    assert different(row, np.array([[1.0, expected]])).all()
    assert not different(row, row).any()


def torch_normalize(torch, x, dtype, p, eps):
    with warnings.catch_warnings():
        # torch warns of its own cast from complex to real.
        warnings.filterwarnings("ignore", "Casting complex values to real", UserWarning)
        result = torch.nn.functional.normalize(torch_tensor(x, dtype), p, 1, eps)
    return torch_array(result)


@pytest.mark.parametrize("p", ORDERS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_normalize_treats_special_values_as_torch_does(torch, dtype, p):
    for (n, x), eps in itertools.product(VECTORS.items(), EPSILONS):
        got = array(adapted.normalize(tensor(x, dtype), p, 1, eps))
        wrong = different(got, torch_normalize(torch, x, dtype, p, eps))
        assert not wrong.any(), (n, eps, x[wrong])


@pytest.mark.parametrize("p", ORDERS)
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("eps", [1e-12, 1.5, math.inf, math.nan])
def test_normalize_treats_special_complex_values_as_torch_does(torch, dtype, p, eps):
    x = np.array(list(itertools.product(COMPLEX, repeat=2)))
    if p <= 0:
        # Where the norm is finite torch's complex division makes NaN of an infinity.
        x = x[~np.isinf(x).any(axis=1)]
    got = array(adapted.normalize(tensor(x, dtype), p, 1, eps))
    wrong = different(got, torch_normalize(torch, x, dtype, p, eps))
    assert not wrong.any(), x[wrong]


@pytest.mark.parametrize("eps", [1e-12, 0.0])
def test_normalize_gives_nan_for_a_zero_float16_vector(eps):
    """eps = 1e-12 is 0 in float16."""
    assert np.isnan(array(adapted.normalize(tensor([[0.0, 0.0]], "float16"), eps=eps))).all()


@pytest.mark.parametrize("p", [2.0, 3.0])
def test_infinite_values_survive_compilation(run, p):
    x = VECTORS[2].astype(np.float32)
    expected = array(adapted.normalize(Tensor(x), p))
    assert not different(
        array(run(Call(adapted.normalize, p, 1, 1e-12), Tensor(x))), expected
    ).any()


@pytest.mark.parametrize("epsilon", [1e-4, 1e-3, 1.5, math.inf, math.nan])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_l2_normalize_treats_special_values_as_mindspore_does(dtype, epsilon):
    for n, vectors in VECTORS.items():
        x = tensor(vectors, dtype)
        expected = array(ops.L2Normalize(1, epsilon)(x))
        wrong = different(array(adapted.l2_normalize(x, 1, epsilon)), expected)
        assert not wrong.any(), (n, vectors[wrong])


@pytest.mark.parametrize("epsilon", [-1.0, -math.inf])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_a_negative_epsilon_is_no_floor(dtype, epsilon):
    """MindSpore itself gives NaN for every vector that follows a zero vector in the tensor."""
    vectors = VECTORS[2][~(VECTORS[2] == 0).all(axis=1)]
    x = tensor(vectors, dtype)
    expected = array(ops.L2Normalize(1, epsilon)(x))
    assert not different(array(adapted.l2_normalize(x, 1, epsilon)), expected).any()
    assert np.isnan(array(adapted.l2_normalize(tensor([0.0, 0.0], dtype), 0, epsilon))).all()


def test_a_nan_sum_selects_epsilon():
    got = array(adapted.l2_normalize(tensor([math.nan, 1.0, -2.0]), epsilon=0.25))
    assert np.isnan(got[0])
    assert got[1:].tolist() == [2.0, -4.0]


def test_a_nan_norm_stays_nan():
    assert np.isnan(array(adapted.normalize(tensor([math.nan, 1.0, -2.0]), dim=0))).all()
