"""parity="strict" promises bits or raises, in every mode; it never falls back to other ones."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("mindspore", reason="tests the MindSpore host")

import mindspore
from mindspore import Tensor, nn

import portnorm
import portnorm.mindspore as adapted
from portnorm import (
    MindSporeReference,
    StrictParityError,
    TorchReference,
    UnsupportedPError,
    UnsupportedPWarning,
)
from tests.hosts.mindspore_host import Call, Gradient, array, refusal, tensor

pytestmark = pytest.mark.usefixtures("synchronous")

X = np.array([[3.0, -4.0, 12.0], [1e-6, 2e-6, 0.0]])


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_tensors_are_refused(run, dtype):
    cell = Call(adapted.normalize, parity="strict")
    with pytest.raises(StrictParityError, match=f"bits of {dtype}.*Use parity='semantic'"):
        run(cell, tensor(X, dtype))


@pytest.mark.usefixtures("allow_every_p")
@pytest.mark.parametrize("p", [3, 0.5, -1])
def test_a_gradient_at_another_order_is_refused(run, p):
    cell = Gradient(Call(adapted.normalize, p, parity="strict"))
    with pytest.raises(StrictParityError, match=f"gradient at p={p:g}: .*parity='semantic'"):
        array(run(cell, tensor(X), tensor(X)))


def test_an_uncertified_torch_is_refused(run):
    with (
        portnorm.set_options(reference=TorchReference("1.13.0")),
        pytest.raises(StrictParityError, match=r"torch 1.13.0.*portnorm certify"),
    ):
        run(Call(adapted.normalize, parity="strict"), tensor(X))


def test_an_uncertified_mindspore_is_refused(run):
    with (
        portnorm.set_options(reference=MindSporeReference("1.10.0")),
        pytest.raises(StrictParityError, match=r"MindSpore 1.10.0.*portnorm certify"),
    ):
        run(Call(adapted.l2_normalize, parity="strict"), tensor(X))


@pytest.mark.parametrize("function", [adapted.normalize, adapted.l2_normalize])
def test_a_second_gradient_is_refused(run, function):
    cell = Gradient(Gradient(Call(function, parity="strict")))
    with pytest.raises(StrictParityError, match=r"second gradient.*parity='semantic'"):
        run(Second(cell), tensor(X), tensor(X), tensor(X))


class Second(nn.Cell):
    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def construct(self, x, cotangent, second):
        return self.cell.gradient(self.cell.cell)(x, cotangent, second)


class Dynamic(nn.Cell):
    def __init__(self, function, shape):
        super().__init__()
        self.function = function
        self.set_inputs(Tensor(shape=shape, dtype=mindspore.float32))

    def construct(self, x):
        return self.function(x, parity="strict")


@pytest.mark.usefixtures("graph_mode")
@pytest.mark.parametrize("function", [adapted.normalize, adapted.l2_normalize])
@pytest.mark.parametrize("shape", [[None, 3], [None, None], None])
def test_shapes_unknown_to_the_compiler_are_refused(function, shape):
    with pytest.raises(StrictParityError, match=r"shapes are not known.*PyNative"):
        Dynamic(function, shape)(tensor(X))


# --- errors of arguments and of builds ------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["int32", "bool"])
def test_arguments_are_checked_as_at_the_other_levels(run, dtype):
    for function in (adapted.normalize, adapted.l2_normalize):
        x = tensor(X, dtype)
        expected = refusal(Call(function), x)
        assert refusal(run, Call(function, parity="strict"), x) == expected


@pytest.mark.parametrize(
    "call",
    [
        (adapted.normalize, 2.0, 2),
        (adapted.normalize, 2.0, (0, 0)),
        (adapted.normalize, "nuc"),
        (adapted.normalize, 2.0, 1, "1"),
        (adapted.normalize, 2.0, 1.0),
        (adapted.l2_normalize, 2),
        (adapted.l2_normalize, (0, 1)),
        (adapted.l2_normalize, 0, 1),
        (adapted.l2_normalize, 0, 0.0),
    ],
)
def test_bad_arguments_raise_the_errors_of_the_other_levels(run, call):
    expected = refusal(Call(*call), tensor(X))
    assert expected is not None
    assert refusal(run, Call(*call, parity="strict"), tensor(X)) == expected


@pytest.mark.parametrize(("level", "raises"), [("raise", UnsupportedPError), ("allow", None)])
def test_other_orders_are_flagged_as_the_option_says(run, level, raises):
    cell = Call(adapted.normalize, math.inf, parity="strict")
    with portnorm.set_options(unsupported_p=level):
        found = refusal(run, cell, tensor(X))
    assert (found and found[0]) is raises


def test_other_orders_are_warned_of(run):
    with pytest.warns(UnsupportedPWarning, match=r"p=1 is not supported"):
        run(Call(adapted.normalize, 1, parity="strict"), tensor(X))


def test_an_error_of_the_emulated_build_reaches_the_caller(run):
    """It is found while the operator runs: torch 2.0 cannot clamp float16."""
    cell = Call(adapted.normalize, parity="strict")
    with (
        portnorm.set_options(reference=TorchReference("2.0.1")),
        pytest.raises(RuntimeError, match=r"not implemented for 'Half'"),
    ):
        array(run(cell, tensor(X, "float16")))
    assert np.isfinite(array(run(Call(adapted.normalize, parity="strict"), tensor(X)))).all()
