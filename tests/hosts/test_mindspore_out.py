"""out= is filled in place under torch's rules, and refused where it cannot be."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("mindspore", reason="tests the MindSpore host")

import mindspore
from mindspore import Parameter, Tensor, nn

import portnorm.mindspore as adapted
from portnorm import PortnormError, PortnormWarning
from tests.hosts.mindspore_host import array, refusal, tensor, torch_tensor

pytestmark = pytest.mark.usefixtures("synchronous", "allow_every_p")

X = np.array([[3.0, 4.0], [5.0, 12.0]])
DTYPES = ["float16", "bfloat16", "float32", "float64", "complex64", "complex128"]


@pytest.mark.parametrize(("p", "parity"), [(2.0, "native"), (2.0, "semantic"), (3.0, "semantic")])
def test_out_is_filled_and_returned(p, parity):
    x, out = tensor(X), tensor(np.zeros((2, 2)))
    result = adapted.normalize(x, p, 1, 1e-3, out, parity=parity)
    assert result is out
    assert (array(out) == array(adapted.normalize(x, p, 1, 1e-3, parity=parity))).all()


def test_out_may_be_the_input():
    x = tensor(X)
    expected = array(adapted.normalize(x))
    assert (array(adapted.normalize(x, out=x)) == expected).all()
    assert (array(x) == expected).all()


@pytest.mark.parametrize("held", [dtype for dtype in DTYPES if dtype != "bfloat16"])
def test_out_may_be_a_view(held):
    """MindSpore itself cannot write to a strided view of bfloat16, and raises."""
    base = tensor(np.zeros((2, 4)), held)
    adapted.normalize(tensor(X, "float16"), out=base[:, ::2])
    expected = array(adapted.normalize(tensor(X, "float16")).astype(base.dtype))
    assert (array(base)[:, ::2] == expected).all()
    assert (array(base)[:, 1::2] == 0).all()


def test_out_may_have_no_dim():
    out = tensor(0.0)
    assert adapted.normalize(tensor(-3.0), dim=0, out=out) is out
    assert array(out) == -1


def test_out_may_be_a_parameter():
    out = Parameter(tensor(np.zeros((2, 2))), name="out", requires_grad=False)
    assert adapted.normalize(tensor(X), out=out) is out
    assert (array(out) == array(adapted.normalize(tensor(X)))).all()


# --- dtypes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("result", DTYPES)
@pytest.mark.parametrize("held", [*DTYPES, "int64", "int32", "uint8", "bool"])
def test_out_casts_or_refuses_as_torch_does(torch, result, held):
    own, out = torch_tensor(np.zeros((2, 2)), held), tensor(np.zeros((2, 2)), held)
    expected = refusal(torch.nn.functional.normalize, torch_tensor(X, result), out=own)
    assert refusal(adapted.normalize, tensor(X, result), out=out) == expected
    if expected is not None:
        return
    assert str(out.dtype).lower() == held
    expected = array(adapted.normalize(tensor(X, result)).astype(out.dtype))
    assert (array(out) == expected).all()


# --- shapes ---------------------------------------------------------------------------------------


def test_an_empty_out_is_resized_silently():
    out = tensor(np.zeros(0))
    assert adapted.normalize(tensor(X), out=out) is out
    assert (array(out) == array(adapted.normalize(tensor(X)))).all()


@pytest.mark.parametrize("shape", [(4,), (2, 1), (3, 3), ()])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_out_of_the_wrong_shape_is_resized_with_a_warning(torch, shape, dtype):
    own = torch_tensor(np.zeros(shape), dtype).clone()
    with pytest.warns(UserWarning, match="resized"):
        torch.nn.functional.normalize(torch_tensor(X), out=own)
    out = tensor(np.zeros(shape), dtype)
    with pytest.warns(PortnormWarning, match="resized") as warned:
        assert adapted.normalize(tensor(X), out=out) is out
    assert warned[0].filename == __file__
    assert (out.shape, str(out.dtype).lower()) == ((2, 2), dtype)
    assert (array(out) == array(adapted.normalize(tensor(X))).astype(dtype)).all()


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "out", [[1.0], (), "a", object(), np.zeros((2, 2))], ids=lambda out: type(out).__name__
)
def test_out_that_is_no_tensor_is_refused_as_by_torch(torch, out):
    """torch goes on to list the signatures of div()."""
    with pytest.raises(TypeError) as own:
        torch.nn.functional.normalize(torch_tensor(X), out=out)
    with pytest.raises(TypeError) as refused:
        adapted.normalize(tensor(X), out=out)
    assert str(own.value).startswith(f"{refused.value}, but expected one of:\n")


@pytest.mark.parametrize("arguments", [(2.0, 5), (2.0, 1.5), (1j,), (2.0, (0, 0))])
def test_other_bad_arguments_are_reported_before_out(torch, arguments):
    expected = refusal(torch.nn.functional.normalize, torch_tensor(X), *arguments, out=[])
    assert expected is not None
    assert "div()" not in expected[1]
    assert refusal(adapted.normalize, tensor(X), *arguments, out=[]) == expected


def test_out_is_refused_while_a_gradient_is_recorded(torch):
    x = torch_tensor(X).requires_grad_()
    expected = refusal(torch.nn.functional.normalize, x, out=torch_tensor(X))
    out = tensor(np.zeros((2, 2)))

    def loss(x):
        return adapted.normalize(x, out=out).sum()

    assert refusal(mindspore.grad(loss), tensor(X)) == expected
    assert (array(out) == 0).all()


def test_a_recorded_out_is_refused():
    fixed = tensor(X)
    with pytest.raises(RuntimeError, match="automatic differentiation"):
        mindspore.grad(lambda out: adapted.normalize(fixed, out=out).sum())(tensor(X))


def test_out_works_again_after_a_gradient():
    mindspore.grad(lambda x: adapted.normalize(x).sum())(tensor(X))
    out = tensor(np.zeros((2, 2)))
    assert adapted.normalize(tensor(X), out=out) is out


class FillsOut(nn.Cell):
    def construct(self, x: Tensor, out: Tensor) -> Tensor:
        return adapted.normalize(x, out=out)


def test_out_in_a_graph_is_refused(compiled):
    out = tensor(np.zeros((2, 2)))
    with pytest.raises(PortnormError, match=r"out= .* compiled graph"):
        compiled(FillsOut(), tensor(X), out)
    assert (array(out) == 0).all()


# --- p and eps as tensors -------------------------------------------------------------------------


class Tensors(nn.Cell):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def construct(self, x: Tensor, value: Tensor) -> Tensor:
        if self.name == "p":
            return adapted.normalize(x, p=value)
        return adapted.normalize(x, eps=value)


@pytest.mark.parametrize(("name", "value"), [("p", 3.0), ("p", 2), ("eps", 10.0), ("eps", 1e-3)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_p_and_eps_may_be_tensors_of_no_dim(torch, name, value, dtype):
    got = array(adapted.normalize(tensor(X, dtype), **{name: tensor(value, dtype)}))
    assert (got == array(adapted.normalize(tensor(X, dtype), **{name: value}))).all()
    own = torch.nn.functional.normalize(
        torch_tensor(X, dtype), **{name: torch_tensor(value, dtype)}
    )
    assert got == pytest.approx(own.numpy(), rel=1e-6)


@pytest.mark.parametrize("name", ["p", "eps"])
def test_p_and_eps_as_tensors_are_refused_in_a_graph(compiled, name):
    with pytest.raises(PortnormError, match=f"{name} must be a Python number"):
        compiled(Tensors(name), tensor(X), tensor(2.0))
