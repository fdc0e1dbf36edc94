"""Fixtures of the tests that run a framework; importing this file imports none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import portnorm


@pytest.fixture
def torch() -> Any:
    """The live torch, as what is emulated."""
    return pytest.importorskip("torch", reason="compares with the live torch")


@pytest.fixture(scope="session")
def synchronous() -> Iterator[None]:
    """Run MindSpore's operators one by one: on few cores small ones are a hundred times faster."""
    import mindspore

    before = mindspore.get_context("pynative_synchronize")
    mindspore.set_context(pynative_synchronize=True)
    yield
    mindspore.set_context(pynative_synchronize=before)


@pytest.fixture
def graph_mode() -> Iterator[None]:
    """MindSpore's GRAPH_MODE, in which the `construct` of a Cell is compiled."""
    import mindspore

    before = mindspore.get_context("mode")
    mindspore.set_context(mode=mindspore.GRAPH_MODE)
    yield
    mindspore.set_context(mode=before)


def _in_pynative(cell: Any, *inputs: Any) -> Any:
    return cell(*inputs)


def _in_jit(cell: Any, *inputs: Any) -> Any:
    import mindspore

    return mindspore.jit(cell)(*inputs)


def _in_graph_mode(cell: Any, *inputs: Any) -> Any:
    """The mode lasts for the call, so that what it is compared with runs in PyNative."""
    import mindspore

    before = mindspore.get_context("mode")
    mindspore.set_context(mode=mindspore.GRAPH_MODE)
    try:
        return cell(*inputs)
    finally:
        mindspore.set_context(mode=before)


@pytest.fixture(params=[_in_pynative, _in_jit, _in_graph_mode], ids=["pynative", "jit", "graph"])
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Call a Cell in PyNative, inside `mindspore.jit`, or in GRAPH_MODE."""
    return request.param


@pytest.fixture(params=[_in_jit, _in_graph_mode], ids=["jit", "graph"])
def compiled(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Call a Cell inside `mindspore.jit`, or in GRAPH_MODE."""
    return request.param


@pytest.fixture
def allow_every_p() -> Iterator[None]:
    """No warnings of orders that L2Normalize does not have."""
    with portnorm.set_options(unsupported_p="allow"):
        yield
