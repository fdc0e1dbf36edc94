"""The layers hold their arguments and nothing else."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

pytest.importorskip("mindspore", reason="tests the MindSpore host")

import mindspore
from mindspore import Tensor, nn

import portnorm
import portnorm.mindspore as adapted
from portnorm import MindSporeReference, NativeParityError, StrictParityError, TorchReference
from tests.hosts.mindspore_host import array, refusal, tensor

pytestmark = pytest.mark.usefixtures("synchronous", "allow_every_p")

X = np.array([[3.0, 4.0], [1e-3, 0.0]])

LAYERS = {
    "Normalize(p=2.0, dim=1, eps=1e-12)": lambda: adapted.Normalize(),
    "Normalize(p=3, dim=(0, 1), eps=0.5)": lambda: adapted.Normalize(3, (0, 1), 0.5),
    "Normalize(p=2.0, dim=-1, eps=0.001, parity='native')": lambda: adapted.Normalize(
        dim=-1, eps=1e-3, parity="native"
    ),
    "L2Normalize(axis=0, epsilon=0.0001)": lambda: adapted.L2Normalize(),
    "L2Normalize(axis=1, epsilon=0.5)": lambda: adapted.L2Normalize([1], 0.5),
    "L2Normalize(axis=-1, epsilon=0.001, parity='native')": lambda: adapted.L2Normalize(
        axis=-1, epsilon=1e-3, parity="native"
    ),
}


@pytest.fixture(params=LAYERS.items(), ids=LAYERS)
def shown_and_layer(request):
    shown, make = request.param
    return shown, make()


@pytest.fixture
def layer(shown_and_layer):
    return shown_and_layer[1]


def test_repr_shows_the_arguments(shown_and_layer):
    shown, layer = shown_and_layer
    assert repr(layer) == shown


def test_repr_in_a_model_shows_the_arguments(shown_and_layer):
    shown, layer = shown_and_layer
    assert shown in repr(nn.SequentialCell(nn.Identity(), layer))


def test_layer_and_function_agree():
    x = tensor(X)
    for got, expected in [
        (adapted.Normalize()(x), adapted.normalize(x)),
        (adapted.Normalize(3, None, 0.1)(x), adapted.normalize(x, 3, None, 0.1)),
        (adapted.L2Normalize()(x), adapted.l2_normalize(x)),
        (adapted.L2Normalize(1, 0.1)(x), adapted.l2_normalize(x, 1, 0.1)),
    ]:
        assert (array(got) == array(expected)).all()


def test_a_layer_adds_nothing_to_a_checkpoint(layer):
    assert not layer.parameters_dict()
    dense = nn.Dense(2, 2)
    with_layer = nn.SequentialCell(dense, layer)
    assert set(with_layer.parameters_dict()) == set(nn.SequentialCell(dense).parameters_dict())


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))]
)
def test_a_copy_does_the_same(layer, copied):
    x = tensor(X)
    twin = copied(layer)
    assert repr(twin) == repr(layer)
    assert (array(twin(x)) == array(layer(x))).all()


def test_a_used_layer_can_be_copied(layer):
    x = tensor(X)
    expected = array(layer(x))
    mindspore.grad(layer)(x)
    assert (array(copy.deepcopy(layer)(x)) == expected).all()
    assert (array(pickle.loads(pickle.dumps(layer))(x)) == expected).all()


def test_an_argument_may_be_changed():
    layer = adapted.Normalize()
    layer.dim = 0
    assert (array(layer(tensor(X))) == array(adapted.normalize(tensor(X), dim=0))).all()


# --- parity ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [adapted.Normalize, adapted.L2Normalize])
@pytest.mark.parametrize("parity", ["exact", "", 1, "NATIVE"])
def test_an_unknown_parity_is_refused_at_construction(kind, parity):
    with pytest.raises(ValueError, match="parity must be one of 'native', 'semantic', 'strict'"):
        kind(parity=parity)


@pytest.mark.parametrize("function", [adapted.normalize, adapted.l2_normalize])
def test_an_unknown_parity_is_refused_by_a_function(run, function):
    with pytest.raises(ValueError, match="parity must be one of"):
        run(Unknown(function), tensor(X))


class Unknown(nn.Cell):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def construct(self, x: Tensor) -> Tensor:
        return self.function(x, parity="exact")


@pytest.mark.parametrize("kind", [adapted.Normalize, adapted.L2Normalize])
def test_a_level_left_open_follows_the_option_at_the_call(kind):
    layer = kind()
    layer(tensor(X))
    unknown = [TorchReference("1.13.0"), MindSporeReference("1.10.0")]
    with portnorm.set_options(parity="strict", reference=unknown), pytest.raises(StrictParityError):
        layer(tensor(X))
    layer(tensor(X))


def test_the_option_native_reaches_the_layer():
    x = np.full((2, 3), 300.0, np.float16)
    layer = adapted.L2Normalize(1)
    assert array(layer(Tensor(x))) == pytest.approx(3**-0.5, rel=1e-3)
    with portnorm.set_options(parity="native"):
        # The operator's sum overflows in float16.
        assert (array(layer(Tensor(x))) == 0).all()
        with pytest.raises(NativeParityError):
            adapted.Normalize()(Tensor(x))


@pytest.mark.parametrize("kind", [adapted.Normalize, adapted.L2Normalize])
def test_a_level_of_its_own_wins_over_the_option(kind):
    unknown = [TorchReference("1.13.0"), MindSporeReference("1.10.0")]
    with portnorm.set_options(parity="strict", reference=unknown):
        kind(parity="semantic")(tensor(X))
    with portnorm.set_options(reference=unknown), pytest.raises(StrictParityError):
        kind(parity="strict")(tensor(X))


# --- signatures -----------------------------------------------------------------------------------


@pytest.mark.parametrize("call", [adapted.Normalize, adapted.L2Normalize])
def test_parity_is_keyword_only(call):
    assert refusal(call, 0, 1e-3, 0.5, "semantic")[0] is TypeError


@pytest.mark.parametrize(
    ("arguments", "options"),
    [((3, 0), {}), ((), {"p": 3, "dim": 0}), ((3,), {"dim": 0, "eps": 1e-12, "out": None})],
)
def test_normalize_binds_its_arguments_as_torch_does(torch, arguments, options):
    got = array(adapted.normalize(tensor(X), *arguments, **options))
    own = torch.nn.functional.normalize(torch.tensor(X), *arguments, **options)
    assert got == pytest.approx(own.numpy(), rel=1e-6)
    named = array(adapted.normalize(input=tensor(X), p=3, dim=0))
    assert (named == got).all()
