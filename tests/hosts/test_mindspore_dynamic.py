"""Options and shapes that are not the same each time a compiled graph runs."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("mindspore", reason="tests the MindSpore host")

import mindspore
from mindspore import Tensor, nn
from mindspore_host import array

import portnorm
import portnorm.mindspore as adapted
from portnorm import PortnormError

pytestmark = pytest.mark.usefixtures("synchronous")

LEVELS = ("semantic", "strict", "semantic")


# --- options --------------------------------------------------------------------------------------


@pytest.fixture
def values(rng):
    """Many enough for the levels to differ somewhere."""
    return rng.normal(size=(200, 37)).astype(np.float32)


def left_open(x):
    return adapted.normalize(x)


def given(x, parity):
    return adapted.normalize(x, parity=parity)


def level_followed(call, values):
    """Return at which of the levels, set one after the other, a call gives its bits."""
    x = Tensor(values)
    expected = {level: array(adapted.normalize(x, parity=level)) for level in LEVELS}
    assert (expected["semantic"] != expected["strict"]).any()
    followed = []
    for level in LEVELS:
        with portnorm.set_options(parity=level):
            followed.append(bool((array(call(x)) == expected[level]).all()))
    return followed


def test_a_jitted_function_keeps_the_level_it_was_compiled_with(values):
    """MindSpore has no key of a graph to which an option could be added."""
    assert level_followed(mindspore.jit(left_open), values) == [True, False, True]


@pytest.mark.usefixtures("graph_mode")
def test_a_cell_in_graph_mode_keeps_the_level_it_was_compiled_with(values):
    assert level_followed(adapted.Normalize(), values) == [True, False, True]


def test_a_function_jitted_from_bytecode_follows_the_option(values):
    compiled = mindspore.jit(left_open, capture_mode="bytecode")
    assert level_followed(compiled, values) == [True, True, True]


@pytest.mark.parametrize("way", [{}, {"capture_mode": "bytecode"}], ids=str)
def test_a_level_that_is_an_argument_of_the_jitted_function_recompiles_it(values, way):
    compiled = mindspore.jit(given, **way)
    followed = level_followed(lambda x: compiled(x, portnorm.get_options().parity), values)
    assert followed == [True, True, True]


def test_a_function_that_is_jitted_anew_follows_the_option(values):
    assert level_followed(lambda x: mindspore.jit(left_open)(x), values) == [True, True, True]


# --- shapes ---------------------------------------------------------------------------------------


class Dynamic(nn.Cell):
    """A call whose input has sizes that are known when it runs."""

    def __init__(self, call, shape):
        super().__init__()
        self.function, *self.given = call
        self.set_inputs(Tensor(shape=shape, dtype=mindspore.float32))

    def construct(self, x):
        return self.function(x, *self.given)


CALLS = [
    (adapted.normalize,),
    (adapted.normalize, 2.0, (0, 1)),
    (adapted.l2_normalize, 1),
    (adapted.l2_normalize, 0),
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("shape", [[None, 3], [4, None], [None, None]])
def test_a_graph_takes_any_sizes_of_known_dims(rng, request, call, shape):
    values = [rng.normal(size=size).astype(np.float32) for size in ((4, 3), (4, 3))]
    if shape == [None, None]:
        values.append(rng.normal(size=(7, 5)).astype(np.float32))
    function, *given = call
    expected = [array(function(Tensor(v), *given)) for v in values]
    request.getfixturevalue("graph_mode")
    cell = Dynamic(call, shape)
    for v, e in zip(values, expected, strict=True):
        assert (array(cell(Tensor(v))) == e).all()


@pytest.mark.usefixtures("graph_mode")
@pytest.mark.parametrize("call", CALLS)
def test_a_graph_for_any_number_of_dims_is_refused(call):
    with pytest.raises(PortnormError, match=r"number of dims .*Give the number of dims.*PyNative"):
        Dynamic(call, None)(Tensor(np.ones((4, 3), np.float32)))


def loss(x):
    return (adapted.normalize(x) * x).sum()


def gradient(x):
    return mindspore.grad(loss)(x)


@pytest.mark.parametrize("function", [left_open, gradient])
def test_a_function_whose_sizes_become_unknown_goes_on(rng, function):
    """With dynamic=1 the third shape is compiled for all that follow."""
    compiled = mindspore.jit(function, dynamic=1)
    for rows in (2, 3, 4, 5):
        x = Tensor(rng.normal(size=(rows, 7)).astype(np.float32))
        assert (array(compiled(x)) == array(function(x))).all()
