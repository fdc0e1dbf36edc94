"""The errors and warnings of portnorm, and which line a warning points at."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from portnorm import (
    NativeParityError,
    PortnormError,
    PortnormWarning,
    StrictParityError,
    UnsupportedPError,
    UnsupportedPWarning,
)
from portnorm.errors import warn_at_user_line

Call = Callable[[], object]


def warn_through(*modules: str) -> Call:
    """Return a function that warns through one frame of each module, the outermost first."""
    call: Call = functools.partial(warn_at_user_line, "a message", UnsupportedPWarning)
    for module in reversed(modules):
        namespace: dict[str, Any] = {"__name__": module, "call": call}
        exec("def frame():\n    call()\n", namespace)
        call = namespace["frame"]
    return call


def user(call: Call) -> None:
    call()


USER_LINE = user.__code__.co_firstlineno + 1


@pytest.mark.parametrize(
    "modules",
    [
        [],
        ["portnorm.mindspore"],
        ["portnorm", "portnorm.mindspore"],
        ["torch.nn.modules.module", "portnorm.torch"],
        ["mindspore.nn.cell", "mindspore.common.api", "portnorm.mindspore", "mindspore"],
        ["mindspore.ops"] * 50,
    ],
    ids=len,
)
def test_a_warning_points_at_the_line_of_the_user(modules: list[str]) -> None:
    with pytest.warns(UnsupportedPWarning, match="a message") as caught:
        user(warn_through(*modules))
    assert [(w.filename, w.lineno) for w in caught] == [(__file__, USER_LINE)]


@pytest.mark.parametrize("name", ["torchvision.ops", "mindspore_gl", "portnorms", "__main__"])
def test_a_module_whose_name_only_resembles_a_library_is_the_users(name: str) -> None:
    with pytest.warns(UnsupportedPWarning) as caught:
        user(warn_through("torch.nn", name, "mindspore.nn"))
    assert [(w.filename, w.lineno) for w in caught] == [("<string>", 2)]


def test_a_line_is_warned_of_once_and_every_line_is() -> None:
    call = warn_through("mindspore.nn")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            call()
            call()
    lines = [w.lineno for w in caught]
    assert len(lines) == 2
    assert lines[0] + 1 == lines[1]


def test_a_filter_on_the_users_module_applies() -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=__name__)
        user(warn_through("mindspore.nn"))


@pytest.mark.parametrize(
    ("kind", "bases"),
    [
        (StrictParityError, [PortnormError]),
        (NativeParityError, [PortnormError]),
        (UnsupportedPError, [PortnormError, ValueError]),
        (UnsupportedPWarning, [PortnormWarning, UserWarning]),
    ],
)
def test_one_except_clause_catches_what_is_portnorms(kind: type, bases: list[type]) -> None:
    assert all(issubclass(kind, base) for base in bases)
