"""Wrong arguments of l2_normalize on torch raise what `mindspore.ops.L2Normalize` raises.

Every row is one call, made with both: the type of the error and the first line of its text agree.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("torch", reason="tests the torch host")

import numpy as np
import torch

from portnorm import set_options
from portnorm.torch import L2Normalize, l2_normalize
from tests.conftest import needs_mindspore
from tests.hosts.torch_host import error_of, mindspore, without_advice

X = "float32", (2, 3)
HALF = "float16", (2, 3)


class Axis(enum.IntEnum):
    LAST = 1


WRONG_TYPES_AND_LENGTHS: list[tuple[dict[str, Any], Any, type[Exception]]] = [
    *(
        ({"axis": axis}, X, TypeError)
        for axis in (
            *(1.5, None, "0", b"0", 1j, {0}, range(1), np.int64(0), np.array([0]), torch.tensor(0)),
            *((0, 1), [0, 1], (), []),
        )
    ),
    *(
        ({"epsilon": epsilon}, X, TypeError)
        for epsilon in ("1e-4", None, True, False, 1j, [1e-4], np.float32(1e-4), np.int64(1))
    ),
    ({"axis": None, "epsilon": None}, X, TypeError),
]
"""Refused when the operator is made."""

WRONG_ELEMENTS: list[tuple[dict[str, Any], Any, type[Exception]]] = [
    ({"axis": axis}, X, TypeError)
    for axis in (True, False, [True], (False,), [1.5], (1.5,), ["a"], [None], [[0]])
]
"""Refused by MindSpore when the operator is called, here when it is made."""

WRONG_AT_THE_CALL: list[tuple[dict[str, Any], Any, type[Exception]]] = [
    *(({"axis": axis}, X, ValueError) for axis in (2, -3, 7, (2,), [-3], 2**40)),
    ({"axis": 1}, ("float32", (3,)), ValueError),
    *(({"epsilon": epsilon}, X, RuntimeError) for epsilon in (0.0, -0.0, 1e-60, 7e-46)),
    *(({"epsilon": epsilon}, X, RuntimeError) for epsilon in (0, 1, -1, Axis.LAST)),
    *(({"epsilon": epsilon}, HALF, RuntimeError) for epsilon in (1e-12, 2.9e-8, -1e-12)),
    ({"epsilon": 1e-60}, ("float64", (2, 3)), RuntimeError),
    *(
        ({}, (dtype, (2, 3)), TypeError)
        for dtype in (
            *("bool", "uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64"),
            *("bfloat16", "complex64", "complex128"),
        )
    ),
    *(({}, (dtype, ()), TypeError) for dtype in ("float16", "float32", "float64", "int32")),
    *(({}, x, TypeError) for x in (None, True, 1, 1.5, "x", 1j, np.ones(3), object())),
    # Two faults: which is named first.
    ({"axis": 7, "epsilon": 0.0}, X, ValueError),
    ({"axis": 7, "epsilon": 1}, X, ValueError),
    ({"axis": 7}, ("int32", (2, 3)), TypeError),
    ({"axis": 7}, ("float32", ()), TypeError),
    ({"epsilon": 0.0}, ("int32", (2, 3)), TypeError),
    ({"epsilon": 0.0}, ("float32", (0, 3)), RuntimeError),
    ({"axis": 7}, ("float32", (0, 3)), ValueError),
    ({"axis": (0, 1)}, None, TypeError),
    ({"epsilon": 0.0}, None, TypeError),
]

WRONG = [*WRONG_TYPES_AND_LENGTHS, *WRONG_ELEMENTS, *WRONG_AT_THE_CALL]

DIFFERENT: list[tuple[dict[str, Any], Any, str]] = [
    ({"axis": (1j,)}, X, "MindSpore shows the object as its C++ code sees it"),
    ({"axis": (0.0,)}, X, "MindSpore shows 0.0 as 0"),
    ({"axis": 2**70}, X, "the text is that of the C++ binding"),
    ({"epsilon": 10**30}, X, "the text is that of the C++ binding"),
    ({}, [1.0], "MindSpore shows the type of the elements"),
    ({}, {}, "MindSpore shows the types of the items"),
    ({"axis": (1.5,), "epsilon": None}, X, "MindSpore looks at the elements when called"),
    (
        {"axis": (0, 1), "epsilon": None},
        X,
        "MindSpore checks the type of epsilon before the length",
    ),
]
"""Calls that both refuse, with another type or text."""

TAKEN: list[dict[str, Any]] = [
    *({"axis": axis} for axis in (0, 1, -1, -2, (1,), [1], (-1,), [-2], Axis.LAST, (Axis.LAST,))),
    *({"epsilon": epsilon} for epsilon in (np.float64(1e-4), -1.0, math.inf, 1e300, 6e-8)),
    {"axis": [-1], "epsilon": 10.0},
]


def shown(value: Any) -> str | None:
    return repr(value)[:60] if isinstance(value, dict | str | tuple) else None


wrong = pytest.mark.parametrize(("arguments", "x", "kind"), WRONG, ids=shown)


def array(x: Any) -> Any:
    """Return an array of ones for a pair of dtype and shape, and anything else as it is."""
    if not isinstance(x, tuple):
        return x
    dtype, shape = x
    return np.ones(shape, "float32" if dtype == "bfloat16" else dtype)


def on_torch(arguments: dict[str, Any], x: Any) -> Any:
    value = (
        torch.from_numpy(np.asarray(array(x))).to(getattr(torch, x[0]))
        if isinstance(x, tuple)
        else x
    )
    return lambda: l2_normalize(value, **arguments)


def on_mindspore(arguments: dict[str, Any], x: Any) -> Callable[[], Any]:
    ms = mindspore()
    value = ms.Tensor(array(x)).astype(getattr(ms, x[0])) if isinstance(x, tuple) else x
    return lambda: ms.ops.L2Normalize(**arguments)(value).asnumpy()


@wrong
@pytest.mark.parametrize("level", ["native", "semantic", "strict"])
def test_wrong_arguments_are_refused_at_every_level(
    arguments: dict[str, Any], x: Any, kind: type[Exception], level: Any
) -> None:
    with set_options(parity=level):
        error, text = error_of(on_torch(arguments, x)) or (None, "")
    assert error is kind
    assert "L2Normalize" in text or "Cast failed" in text


@needs_mindspore
@wrong
def test_the_error_is_that_of_mindspore(arguments: dict[str, Any], x: Any, kind: Any) -> None:
    expected = error_of(on_mindspore(arguments, x))
    assert expected is not None
    assert without_advice(error_of(on_torch(arguments, x))) == expected


@pytest.mark.parametrize(
    ("arguments", "x", "kind"), [*WRONG_TYPES_AND_LENGTHS, *WRONG_ELEMENTS], ids=shown
)
def test_a_layer_that_cannot_work_is_refused_when_it_is_made(
    arguments: dict[str, Any], x: Any, kind: Any
) -> None:
    assert error_of(lambda: L2Normalize(**arguments)) == error_of(on_torch(arguments, x))


@needs_mindspore
@pytest.mark.parametrize(
    ("arguments", "x", "kind"), [*WRONG_TYPES_AND_LENGTHS, *WRONG_AT_THE_CALL], ids=shown
)
def test_making_the_layer_refuses_what_making_the_operator_refuses(
    arguments: dict[str, Any], x: Any, kind: Any
) -> None:
    operator = mindspore().ops.L2Normalize
    expected = error_of(lambda: operator(**arguments))
    assert error_of(lambda: L2Normalize(**arguments)) == expected


@needs_mindspore
@pytest.mark.parametrize(("arguments", "x", "reason"), DIFFERENT, ids=shown)
def test_calls_that_are_refused_in_other_words_are_listed(
    arguments: dict[str, Any], x: Any, reason: str
) -> None:
    expected = error_of(on_mindspore(arguments, x))
    got = error_of(on_torch(arguments, x))
    assert expected is not None
    assert got is not None
    assert got != expected, f"they agree now: {reason}"


@needs_mindspore
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("arguments", TAKEN, ids=shown)
def test_what_mindspore_takes_is_taken(arguments: dict[str, Any], dtype: str) -> None:
    got = on_torch(arguments, (dtype, (2, 3)))().numpy()
    expected = on_mindspore(arguments, (dtype, (2, 3)))()
    assert got.dtype == expected.dtype
    np.testing.assert_allclose(got, expected, rtol=4 * np.finfo(dtype).eps)


@needs_mindspore
@pytest.mark.parametrize("axis", [(np.int64(0),), [np.int64(-1)]], ids=repr)
def test_an_axis_in_a_numpy_int64_is_taken(axis: Any) -> None:
    assert error_of(on_mindspore({"axis": axis}, X)) is None
    assert error_of(on_torch({"axis": axis}, X)) is None
