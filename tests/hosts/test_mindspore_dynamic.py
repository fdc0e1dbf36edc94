"""Options and shapes that are not the same each time a compiled graph runs."""

from __future__ import annotations

import functools
import gc
import threading
import weakref

import numpy as np
import pytest

pytest.importorskip("mindspore", reason="tests the MindSpore host")

import mindspore
from mindspore import Tensor, nn

import portnorm
import portnorm.mindspore as adapted
from portnorm import PortnormError
from portnorm.mindspore import _graphs as graphs
from portnorm.options import options_of_thread
from tests.hosts.mindspore_host import array

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


WAYS = {
    "jit": mindspore.jit,
    "bytecode": functools.partial(mindspore.jit, capture_mode="bytecode"),
    "cell": lambda function: mindspore.jit(Called(function)),
}


class Called(nn.Cell):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def construct(self, x):
        return self.function(x)


@pytest.mark.parametrize("way", WAYS)
def test_a_changed_option_recompiles_a_jitted_function(values, way):
    assert level_followed(WAYS[way](left_open), values) == [True, True, True]


@pytest.mark.usefixtures("graph_mode")
def test_a_changed_option_recompiles_a_cell_in_graph_mode(values):
    assert level_followed(adapted.Normalize(), values) == [True, True, True]
    assert level_followed(Called(adapted.Normalize()), values) == [True, True, True]


def branches(x):
    """The compiler looks at branches in threads of its own."""
    if x[0, 0] > x[1, 1]:
        return adapted.normalize(x)
    return adapted.normalize(x)


def loop(x):
    i = Tensor(0)
    while i < 1:
        x = adapted.normalize(x)
        i = i + 1
    return x


@pytest.mark.parametrize("function", [branches, loop])
def test_options_reach_what_the_compiler_looks_at_in_its_own_threads(values, function):
    with portnorm.set_options(parity="strict"):
        result = array(mindspore.jit(function)(Tensor(values)))
    assert (result == array(adapted.normalize(Tensor(values), parity="strict"))).all()
    assert level_followed(mindspore.jit(function), values) == [True, True, True]


def one_element(x):
    return adapted.l2_normalize(x, 1)


def gradients_of(way):
    """Return the gradient of a compiled function, or a compiled gradient."""
    if way == "gradient of jit":
        return mindspore.grad(mindspore.jit(one_element))
    if way == "jit of gradient":
        return mindspore.jit(mindspore.grad(one_element))
    return mindspore.grad(Called(one_element))


@pytest.mark.parametrize("way", ["gradient of jit", "jit of gradient", "graph mode"])
def test_a_changed_option_changes_the_gradient(request, way):
    x, expected = Tensor(np.float32([[2]])), {}
    for level in LEVELS:
        with portnorm.set_options(parity=level):
            expected[level] = array(mindspore.grad(one_element)(x))
    assert expected["semantic"] != expected["strict"]  # MindSpore's own is not 0
    if way == "graph mode":
        request.getfixturevalue("graph_mode")
    call = gradients_of(way)
    for level in LEVELS:
        with portnorm.set_options(parity=level):
            assert array(call(x)) == expected[level]


def test_graphs_of_options_that_come_back_are_found_again(values):
    calls = []

    @mindspore.ops.constexpr(reuse_result=False)
    def compiled_again():
        calls.append(portnorm.get_options().parity)
        return 0

    def function(x):
        return adapted.normalize(x) + compiled_again()

    assert level_followed(mindspore.jit(function), values) == [True, True, True]
    assert len(calls) == 2


def test_a_function_that_is_gone_is_forgotten(values):
    compiled = mindspore.jit(left_open)
    compiled(Tensor(values))
    remembered = weakref.ref(compiled)
    assert compiled in graphs._functions
    del compiled
    gc.collect()
    assert remembered() is None


def test_options_of_a_thread_that_has_ended_are_nobodys():
    def set_and_end():
        portnorm.set_options(parity="strict")
        idents.append(threading.get_ident())
        assert options_of_thread(idents[0]).parity == "strict"

    idents = []
    thread = threading.Thread(target=set_and_end)
    thread.start()
    thread.join()
    assert options_of_thread(idents[0]) == portnorm.Options()


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
