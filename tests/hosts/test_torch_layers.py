"""The layers are ordinary torch modules."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import pytest

pytest.importorskip("torch", reason="tests the torch host")

import torch
from torch import nn

from portnorm import set_options
from portnorm.torch import L2Normalize, Normalize, l2_normalize, normalize
from tests.hosts.torch_host import normal

LAYERS = {
    "L2Normalize(axis=0, epsilon=0.0001)": (L2Normalize, [], {}),
    "L2Normalize(axis=-1, epsilon=1e-12)": (L2Normalize, [(-1,), 1e-12], {}),
    "L2Normalize(axis=1, epsilon=0.0001, parity='native')": (
        L2Normalize,
        [1],
        {"parity": "native"},
    ),
    "Normalize(p=2.0, dim=1, eps=1e-12)": (Normalize, [], {}),
    "Normalize(p=inf, dim=(0, 1), eps=0.5)": (Normalize, [math.inf, (0, 1), 0.5], {}),
    "Normalize(p=3, dim=-1, eps=1e-12, parity='semantic')": (
        Normalize,
        [3, -1],
        {"parity": "semantic"},
    ),
}
each_layer = pytest.mark.parametrize(
    ("shown", "kind", "args", "level"), [(s, *rest) for s, rest in LAYERS.items()], ids=LAYERS
)
both_kinds = pytest.mark.parametrize("kind", [L2Normalize, Normalize])


@each_layer
def test_the_repr_shows_how_to_make_the_layer_again(
    shown: str, kind: Any, args: list[Any], level: Any
) -> None:
    layer = kind(*args, **level)
    assert repr(layer) == shown
    assert (
        repr(eval(shown, {"L2Normalize": L2Normalize, "Normalize": Normalize, "inf": math.inf}))
        == shown
    )


@each_layer
def test_a_layer_computes_what_the_function_does(
    rng: Any, shown: str, kind: Any, args: list[Any], level: Any
) -> None:
    function = l2_normalize if kind is L2Normalize else normalize
    x = normal(rng, 3, 4) * torch.tensor([1e-3, 1.0, 1e3, 0.0])
    assert torch.equal(kind(*args, **level)(x), function(x, *args, **level))


@each_layer
def test_a_layer_has_no_state(shown: str, kind: Any, args: list[Any], level: Any) -> None:
    layer = kind(*args, **level)
    assert not layer.state_dict()
    assert not list(layer.parameters())
    layer.load_state_dict({})


@each_layer
def test_copies_are_the_same_layer(
    rng: Any, shown: str, kind: Any, args: list[Any], level: Any
) -> None:
    layer = kind(*args, **level)
    x = normal(rng, 3, 4)
    for again in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert repr(again) == shown
        assert torch.equal(again(x), layer(x))


@pytest.mark.parametrize("layer", [L2Normalize(axis=-1), Normalize(), Normalize(p=3)], ids=repr)
def test_a_model_with_the_layer_trains(layer: nn.Module) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3), layer)
    x, target = torch.randn(32, 4), layer(torch.randn(32, 3).abs())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_without_a_level_of_its_own_a_layer_follows_the_option_at_each_call() -> None:
    x = torch.tensor([math.nan, 1.0])
    follows, stays = L2Normalize(), L2Normalize(parity="semantic")
    with set_options(parity="native"):
        native = L2Normalize()
        assert follows(x).isnan().all()
        assert stays(x)[1] == 100
    assert follows(x)[1] == 100
    assert native(x)[1] == 100


@both_kinds
@pytest.mark.parametrize("level", ["exact", "Native", "", 1])
def test_an_unknown_level_is_refused_when_the_layer_is_made(kind: Any, level: Any) -> None:
    with pytest.raises(ValueError, match="parity must be one of 'native', 'semantic', 'strict'"):
        kind(parity=level)


@both_kinds
def test_the_level_is_given_by_name(kind: Any) -> None:
    with pytest.raises(TypeError, match="positional argument"):
        kind(0, 1e-4, 1e-4, "native")
