"""Orders that L2Normalize does not have are flagged at the user's line, as the option says."""

from __future__ import annotations

import math
import sys
import warnings

import numpy as np
import pytest

pytest.importorskip("mindspore", reason="tests the MindSpore host")

import mindspore
from mindspore import Tensor, nn

import portnorm
import portnorm.mindspore as adapted
from portnorm import UnsupportedPError, UnsupportedPWarning
from tests.hosts.mindspore_host import Call, array, tensor

pytestmark = pytest.mark.usefixtures("synchronous")

X = np.array([[3.0, 4.0]])


@pytest.fixture
def shown():
    """The warnings that Python's default filter shows."""
    with warnings.catch_warnings(record=True) as records:
        warnings.simplefilter("default")
        yield records


def here() -> int:
    """Return the line of the caller."""
    return sys._getframe(1).f_lineno


def places(records) -> list[tuple[str, int]]:
    assert all(record.category is UnsupportedPWarning for record in records)
    return [(record.filename, record.lineno) for record in records]


class UserCell(nn.Cell):
    def construct(self, x: Tensor) -> Tensor:
        return adapted.normalize(x, 3.0)


LINE_IN_CONSTRUCT = UserCell.construct.__code__.co_firstlineno + 1


def test_a_function_warns_at_the_line_that_calls_it(shown):
    adapted.normalize(tensor(X), 3.0)
    assert places(shown) == [(__file__, here() - 1)]


def test_a_layer_warns_at_the_line_that_calls_it(shown):
    layer = adapted.Normalize(3.0)
    assert not shown
    layer(tensor(X))
    assert places(shown) == [(__file__, here() - 1)]


def test_a_cell_of_the_user_warns_at_its_own_line(shown):
    UserCell()(tensor(X))
    assert places(shown) == [(__file__, LINE_IN_CONSTRUCT)]


def test_a_compiled_function_warns_at_the_line_that_calls_it(shown):
    @mindspore.jit
    def user_function(x):
        return adapted.normalize(x, 3.0)

    user_function(tensor(X))
    assert places(shown) == [(__file__, here() - 1)]


def test_a_compiled_layer_warns_at_the_line_that_calls_it(shown):
    layer = mindspore.jit(adapted.Normalize(3.0))
    layer(tensor(X))
    assert places(shown) == [(__file__, here() - 1)]


@pytest.mark.parametrize("cell", [UserCell, lambda: adapted.Normalize(3.0)])
def test_graph_mode_warns_at_the_line_that_calls_the_cell(shown, graph_mode, cell):
    made = cell()
    made(tensor(X))
    assert places(shown) == [(__file__, here() - 1)]


def test_a_gradient_warns_at_the_users_line(shown):
    cell = UserCell()
    mindspore.grad(cell)(tensor(X))
    assert places(shown) == [(__file__, LINE_IN_CONSTRUCT)]


def test_each_line_warns_once(shown):
    for _ in range(3):
        adapted.normalize(tensor(X), 3.0)
        adapted.normalize(tensor(X), 3.0)
    last = here() - 1
    assert places(shown) == [(__file__, last - 1), (__file__, last)]


def test_a_compiled_line_warns_once_for_all_shapes(shown):
    layer = mindspore.jit(adapted.Normalize(3.0))
    for columns in (1, 2, 3):
        layer(tensor(np.ones((2, columns))))
    assert len(shown) == 1


@pytest.mark.parametrize("p", [2, 2.0, None, "fro"])
def test_the_order_that_l2_normalize_has_is_silent(shown, p):
    adapted.normalize(tensor(X), p)
    assert not shown


@pytest.mark.parametrize("p", [0, 1, 3.0, 0.5, -1, math.inf, -math.inf, 2 + 1e-9])
def test_every_other_order_is_flagged(shown, p):
    adapted.normalize(tensor(X), p)
    (record,) = shown
    text = str(record.message)
    assert f"p={float(p):g}" in text
    assert "p=2 only" in text
    assert "unsupported_p='allow'" in text


def test_l2_normalize_is_silent(shown):
    adapted.l2_normalize(tensor(X), 1)
    adapted.L2Normalize(1)(tensor(X))
    assert not shown


# --- the option -----------------------------------------------------------------------------------

CELLS = {
    "function": lambda **options: Call(adapted.normalize, 3.0, **options),
    "layer": lambda **options: adapted.Normalize(3.0, **options),
}


@pytest.fixture(params=CELLS.values(), ids=CELLS)
def make(request):
    return request.param


def test_allow_is_silent_and_right(run, shown, make):
    with portnorm.set_options(unsupported_p="allow"):
        got = array(run(make(), tensor(X)))
    assert not shown
    assert got == pytest.approx(X / 91 ** (1 / 3))


def test_warn_computes_the_right_value(run, shown, make):
    assert array(run(make(), tensor(X))) == pytest.approx(X / 91 ** (1 / 3))
    assert len(shown) == 1


def test_raise_raises_with_the_way_out(run, make):
    with (
        portnorm.set_options(unsupported_p="raise"),
        pytest.raises(UnsupportedPError, match=r"p=3 .*p=2 only.*unsupported_p='warn'"),
    ):
        run(make(), tensor(X))


def test_the_error_is_a_value_error(run, make):
    with portnorm.set_options(unsupported_p="raise"), pytest.raises(ValueError, match="p=3"):
        run(make(), tensor(X))


@pytest.mark.parametrize("unsupported_p", ["allow", "warn", "raise"])
def test_native_always_raises(run, shown, make, unsupported_p):
    with (
        portnorm.set_options(unsupported_p=unsupported_p),
        pytest.raises(UnsupportedPError, match="parity='semantic'"),
    ):
        run(make(parity="native"), tensor(X))
    assert not shown


def test_a_compiled_graph_follows_the_option():
    layer = mindspore.jit(adapted.Normalize(3.0))
    with portnorm.set_options(unsupported_p="allow"):
        first = array(layer(tensor(X)))
    with portnorm.set_options(unsupported_p="raise"), pytest.raises(UnsupportedPError):
        layer(tensor(X))
    with portnorm.set_options(unsupported_p="allow"):
        assert (array(layer(tensor(X))) == first).all()
