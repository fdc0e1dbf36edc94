"""Names that portnorm does not have: the error says so, and where the framework has them."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle
from typing import Any

import pytest

import portnorm
from tests.conftest import needs_mindspore, needs_torch

HOSTS = [
    pytest.param("torch", marks=needs_torch),
    pytest.param("mindspore", marks=needs_mindspore),
]


def module(host: str) -> Any:
    return importlib.import_module(f"portnorm.{host}")


@pytest.mark.parametrize(
    ("host", "name", "place"),
    [
        pytest.param("torch", "relu", "torch.nn.functional", marks=needs_torch),
        pytest.param("torch", "Linear", "torch.nn", marks=needs_torch),
        pytest.param("torch", "matmul", "torch", marks=needs_torch),
        pytest.param("torch", "nowhere", "", marks=needs_torch),
        pytest.param("mindspore", "relu", "mindspore.ops", marks=needs_mindspore),
        pytest.param("mindspore", "Cell", "mindspore.nn", marks=needs_mindspore),
        pytest.param("mindspore", "nowhere", "", marks=needs_mindspore),
    ],
)
def test_the_error_names_what_there_is_and_where_to_look(host: str, name: str, place: str) -> None:
    with pytest.raises(AttributeError) as caught:
        getattr(module(host), name)
    more = f"; {name} is in {place}" if place else ""
    assert str(caught.value) == (
        f"module 'portnorm.{host}' has no attribute {name!r}: it has normalize, l2_normalize and "
        f"their layers only{more}"
    )
    assert not hasattr(module(host), name)
    assert getattr(module(host), name, None) is None
    with pytest.raises(ImportError, match="cannot import name"):
        exec(f"from portnorm.{host} import {name}")


@pytest.mark.parametrize("host", HOSTS)
def test_what_looks_for_names_in_passing_works(host: str) -> None:
    found = module(host)
    for name in ("__path_of_nothing__", "__wrapped__", "_private"):
        with pytest.raises(AttributeError, match=rf"^module 'portnorm\.{host}' has no attribute"):
            getattr(found, name)
    names: dict[str, Any] = {}
    exec(f"from portnorm.{host} import *", names)
    assert {*found.__all__} == {*names} - {"__builtins__"}
    assert pickle.loads(pickle.dumps(found.normalize)) is found.normalize
    assert repr(copy.deepcopy(found.Normalize(dim=-1))) == repr(found.Normalize(dim=-1))
    assert inspect.getmodule(found.normalize) is found
    assert inspect.unwrap(found.normalize) is found.normalize
    assert dict(inspect.getmembers(found))["L2Normalize"] is found.L2Normalize
    assert portnorm.__name__ == "portnorm"


@needs_torch
def test_compilers_of_torch_find_the_functions_in_the_module() -> None:
    import torch

    ours = module("torch")
    x = torch.tensor([[3.0, 4.0]])

    def function(x: Any) -> Any:
        return ours.normalize(x)

    compiled = torch.compile(function, backend="eager", fullgraph=True)
    assert torch.equal(compiled(x), ours.normalize(x))
    scripted = torch.jit.script(ours.Normalize(parity="semantic"))
    assert torch.allclose(scripted(x), ours.normalize(x))


@needs_mindspore
def test_the_compiler_of_mindspore_finds_the_functions_in_the_module() -> None:
    import mindspore

    ours = module("mindspore")

    @mindspore.jit
    def function(x: Any) -> Any:
        return ours.normalize(x, dim=-1)

    x = mindspore.Tensor([[3.0, 4.0]])
    assert function(x).asnumpy().tolist() == ours.normalize(x, dim=-1).asnumpy().tolist()
