"""Bad arguments raise the type of error, and the first line, that the emulated function has."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

pytest.importorskip("mindspore", reason="tests the MindSpore host")

from mindspore import Tensor, ops

import portnorm.mindspore as adapted
from tests.hosts.mindspore_host import Call, array, refusal, tensor, torch_tensor

pytestmark = pytest.mark.usefixtures("synchronous", "allow_every_p")

FLOATS = ["float16", "bfloat16", "float32", "float64"]
COMPLEX = ["complex64", "complex128"]
INTEGERS = ["bool", "uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64"]


class Index:
    def __index__(self) -> int:
        return 1


class Float:
    def __float__(self) -> float:
        return 1.0


def row(*arguments, shape=(2, 3), dtype="float32", **options):
    """One call: the shape and dtype of the input, and the other arguments."""
    shown = [*map(repr, arguments), *(f"{name}={value!r}" for name, value in options.items())]
    label = f"{dtype}{shape} {', '.join(shown)}"[:80]
    return pytest.param(shape, dtype, arguments, options, id=label.partition(" object at")[0])


# --- torch's normalize ----------------------------------------------------------------------------

DIM_OUT_OF_RANGE = [
    row(shape=(3,)),
    row(shape=()),
    *(row(dim=dim) for dim in (2, -3, (0, 5), [-9, 0], (0, 1, 5), 2**40)),
    *(row(shape=(), dim=dim) for dim in (1, -2, (1,))),
]
DIM_TWICE = [
    *(row(dim=dim) for dim in ((0, 0), (0, -2), [1, 1], (1, 0, 1))),
    row(shape=(3,), dim=(0, -1)),
    row(shape=(), dim=(0, 0)),
]
DIM_OF_A_WRONG_TYPE = [
    row(dim=dim)
    for dim in (
        *(1.5, 1.0, "a", "", True, False, 1j, {0}, {}, b"a", range(2)),
        *((True,), (1.5, 0), ("a",), (None,), [None], ((0,),), [[0]], (1j,)),
        *(np.float64(1), np.array([0, 1]), np.array([1])),
    )
]
P_OF_A_WRONG_KIND = [
    row(p=p) for p in (1j, 0j, 2 + 0j, "a", "inf", "2", "", b"a", [2], (2,), {}, Index(), Float())
] + [
    row(p="fro", shape=(2, 3, 4), dim=(0, 1, 2)),
    row(p="a", shape=(2, 3, 4), dim=None),
    row(p=np.array(3.0)),
    row(p=np.array([3.0])),
]
NOT_A_FLOATING_TYPE = [
    row(dtype=dtype, **options)
    for dtype in INTEGERS
    for options in ({}, {"dim": 7}, {"eps": "a"}, {"p": math.inf})
]
EMPTY = [
    row(shape=shape, p=p, dim=dim)
    for shape in ((0,), (2, 0), (0, 0), (2, 0, 3))
    for p in (math.inf, -math.inf, -1, -0.5)
    for dim in (None, (), [], -1, 0, 1, (0, 1), [1, 0])
]
EPS_TOO_LARGE = [
    row(dtype="float16", eps=1e5),
    row(dtype="float16", eps=-65505.0),
    row(dtype="float16", eps=100000),
    *(row(dtype=dtype, eps=1e39) for dtype in ("bfloat16", "float32", "complex64")),
    row(dtype="bfloat16", eps=3.39e38),
    row(dtype="float32", eps=-3.4028236e38),
]
SEVERAL = [
    row(dim=7, dtype="float16", eps=1e5),
    row(dim=7, eps="a"),
    row(p=1j, dim=7),
    row(p="a", eps="a"),
    row(p=[], dim="a"),
    row(shape=(0, 3), dtype="float16", p=math.inf, dim=0, eps=1e5),
    row(dtype="int32", p=math.inf, shape=(0, 3), dim=0),
]
ACCEPTED = [
    *(row(dim=dim) for dim in (-2, (), [], None, np.int64(1), (np.int32(0),), (0, True))),
    *(row(shape=(), dim=dim) for dim in (0, -1, (), None, (0,))),
    *(row(p=p) for p in (None, "fro", True, False, 2, np.int64(3), np.float32(3), math.nan)),
    *(row(eps=eps) for eps in (True, 1, np.float64(1), np.int64(1), math.inf, math.nan, 2**62)),
    *(row(dtype=dtype, eps=65504.0) for dtype in FLOATS + COMPLEX),
    *(row(dtype=dtype, eps=math.inf) for dtype in FLOATS + COMPLEX),
    *(row(dtype=dtype, eps=3e38) for dtype in ("bfloat16", "float32", "complex64")),
    *(row(shape=(0, 3), p=p, dim=0) for p in (2, 1, 0, 0.5)),
    *(row(shape=(0, 3), p=p, dim=1) for p in (math.inf, -math.inf, -1)),
]


def refused_by_torch(torch, shape, dtype, arguments, options):
    x = torch_tensor(np.ones(shape), dtype)
    return refusal(torch.nn.functional.normalize, x, *arguments, **options)


@pytest.mark.parametrize(
    ("shape", "dtype", "arguments", "options"),
    [
        *DIM_OUT_OF_RANGE,
        *DIM_TWICE,
        *DIM_OF_A_WRONG_TYPE,
        *P_OF_A_WRONG_KIND,
        *NOT_A_FLOATING_TYPE,
        *EPS_TOO_LARGE,
        *SEVERAL,
    ],
)
def test_normalize_refuses_what_torch_refuses(torch, shape, dtype, arguments, options):
    expected = refused_by_torch(torch, shape, dtype, arguments, options)
    assert expected is not None
    x = tensor(np.ones(shape), dtype)
    assert refusal(adapted.normalize, x, *arguments, **options) == expected
    layer = refusal(lambda: adapted.Normalize(*arguments, **options)(x))
    assert layer == expected


@pytest.mark.parametrize(("shape", "dtype", "arguments", "options"), EMPTY)
def test_normalize_refuses_empty_dims_as_torch_does(torch, shape, dtype, arguments, options):
    expected = refused_by_torch(torch, shape, dtype, arguments, options)
    x = tensor(np.ones(shape), dtype)
    assert refusal(adapted.normalize, x, *arguments, **options) == expected


@pytest.mark.parametrize(("shape", "dtype", "arguments", "options"), ACCEPTED)
def test_normalize_takes_what_torch_takes(torch, shape, dtype, arguments, options):
    own = torch.nn.functional.normalize(torch_tensor(np.ones(shape), dtype), *arguments, **options)
    got = adapted.normalize(tensor(np.ones(shape), dtype), *arguments, **options)
    expected = own.to(torch.complex128 if dtype in COMPLEX else torch.float64).numpy()
    assert array(got) == pytest.approx(expected, rel=1e-2, nan_ok=True)


@pytest.mark.parametrize(
    "eps", ["a", "", None, [1], (1,), b"a", {}, np.array(1.0), np.array([1.0]), Index(), Float()]
)
def test_normalize_refuses_an_eps_of_a_wrong_type(torch, eps):
    """torch goes on to list the signatures of clamp_min()."""
    kind, text = refused_by_torch(torch, (2, 3), "float32", (), {"eps": eps})
    expected = kind, text.removesuffix(", but expected one of:")
    assert refusal(adapted.normalize, tensor(np.ones((2, 3))), eps=eps) == expected


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_normalize_refuses_a_complex_eps(torch, dtype):
    expected = refused_by_torch(torch, (2, 3), dtype, (), {"eps": 1j})
    assert expected is not None
    assert refusal(adapted.normalize, tensor(np.ones((2, 3)), dtype), eps=1j) == expected


def without_advice(found):
    """Return an error without what portnorm adds: what the value is, and what takes it."""
    kind, text = found
    return kind, re.split(r"; it is a | It is a ", text)[0]


@pytest.mark.parametrize("value", [[1.0], (), {}, None, 1, 1.0, "a", np.ones(3), np.float32(1)])
def test_normalize_refuses_an_input_that_is_no_tensor(torch, value):
    expected = refusal(torch.nn.functional.normalize, value)
    assert expected is not None
    assert without_advice(refusal(adapted.normalize, value)) == expected


OF_ITS_OWN = {
    "torch has a nuclear norm of matrices": row(p="nuc", dim=(0, 1)),
    "torch checks the type of dim before the kind of p": row(p=1j, dim="a"),
    "torch checks the type of dim before the dtype": row(dtype="int32", dim="a"),
    "torch checks the dtype before the kind of p": row(dtype="int32", p=1j),
}


@pytest.mark.parametrize(
    ("shape", "dtype", "arguments", "options"),
    [pytest.param(*case.values, id=reason) for reason, case in OF_ITS_OWN.items()],
)
def test_normalize_differs_from_torch(torch, shape, dtype, arguments, options):
    """The rows that do not match. Take one out of here when it does."""
    got = refusal(adapted.normalize, tensor(np.ones(shape), dtype), *arguments, **options)
    assert got is not None
    assert got != refused_by_torch(torch, shape, dtype, arguments, options)


# --- MindSpore's L2Normalize ----------------------------------------------------------------------

AXIS = [
    *(row(axis) for axis in (2, -3, 5, (2,), [-9], 2**40)),
    *(row(axis) for axis in (1.0, 1.5, "a", "", None, 1j, {0}, {}, b"a", range(1), Index())),
    *(row(axis) for axis in ((0, 1), [0, 1], (), [], [1, 2, 3], (0, "a"))),
    *(row(axis) for axis in (True, False, (True,), [False], [1.5], ("a",), [None], [[0]])),
    *(row(axis) for axis in (np.int64(1), np.int32(1), np.array(1), np.array([0]))),
    *(row(axis, shape=(1,)) for axis in (1, -2)),
]
EPSILON = [
    row(0, epsilon, dtype=dtype)
    for dtype in ("float16", "float32", "float64")
    for epsilon in (0, 1, -1, 0.0, -0.0, 1e-50, True, False)
] + [
    row(0, epsilon)
    for epsilon in ("a", None, [1e-4], (1e-4,), 1j, b"a", np.float32(1e-4), np.int64(1), Index())
]
EPSILON += [row(0, epsilon, dtype="float16") for epsilon in (1e-12, -1e-12, 2.9e-8)]
INPUT = [row(shape=shape, dtype=dtype) for dtype in INTEGERS for shape in ((2, 3), ())]
INPUT += [row(dtype=dtype) for dtype in ("bfloat16", *COMPLEX)]
INPUT += [row(axis, shape=()) for axis in (0, -1, 1)]
L2_SEVERAL = [
    row("a", "a"),
    row("a", shape=()),
    row(5, 0.0),
    row(5, 0.0, dtype="int32"),
    row(0, 0.0, shape=()),
    row(0, 1, shape=()),
    row(0, 1, dtype="int32"),
]
L2_ACCEPTED = [
    *(row(axis) for axis in (0, -1, -2, (1,), [-1], [np.int64(1)])),
    *(row(0, epsilon) for epsilon in (1e39, -1e-4, math.inf, math.nan, np.float64(1e-4))),
    row(0, 65520.0, dtype="float16"),
]


def live(x, *arguments):
    return ops.L2Normalize(*arguments)(x).asnumpy()


def layer(x, *arguments):
    return adapted.L2Normalize(*arguments)(x).asnumpy()


def function(x, *arguments):
    return adapted.l2_normalize(x, *arguments).asnumpy()


@pytest.mark.parametrize(
    ("shape", "dtype", "arguments", "options"), [*AXIS, *EPSILON, *INPUT, *L2_SEVERAL]
)
def test_l2_normalize_refuses_what_mindspore_refuses(shape, dtype, arguments, options):
    x = tensor(np.ones(shape), dtype)
    expected = refusal(live, x, *arguments)
    assert expected is not None
    assert refusal(function, x, *arguments) == expected
    assert refusal(layer, x, *arguments) == expected


@pytest.mark.parametrize(("shape", "dtype", "arguments", "options"), L2_ACCEPTED)
def test_l2_normalize_takes_what_mindspore_takes(shape, dtype, arguments, options):
    x = tensor(np.ones(shape), dtype)
    expected = live(x, *arguments)
    assert function(x, *arguments) == pytest.approx(expected, rel=1e-3, nan_ok=True)
    assert layer(x, *arguments) == pytest.approx(expected, rel=1e-3, nan_ok=True)


@pytest.mark.parametrize("value", [None, True, 1, 1.0, "a", np.ones(3), object()])
def test_l2_normalize_refuses_an_input_that_is_no_tensor(value):
    expected = refusal(live, value)
    assert expected is not None
    assert without_advice(refusal(function, value)) == expected
    assert without_advice(refusal(layer, value)) == expected


@pytest.mark.parametrize("value", [[1.0], (), {}, b"a", np.float32(1)])
def test_l2_normalize_names_other_types_external(value):
    """MindSpore has names for more types, and for those of the elements of a list."""
    kind, text = refusal(live, value)
    opening = text.partition("got: ")[0] + "got: External."
    assert without_advice(refusal(function, value)) == (kind, opening)


@pytest.mark.parametrize("arguments", [("a",), (0, "a"), ((0, 1),), ((True,),)])
def test_the_layer_refuses_wrong_types_at_construction(arguments):
    with pytest.raises(TypeError, match="L2Normalize"):
        adapted.L2Normalize(*arguments)


# --- in a graph -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "dtype", "arguments"),
    [
        ((3,), "float32", ()),
        ((2, 3), "float32", (2.0, (0, 0))),
        ((2, 3), "float32", (2.0, 1.5)),
        ((2, 3), "float32", ("a",)),
        ((2, 3), "int32", ()),
        ((2, 3), "float16", (2.0, 1, 1e5)),
        ((2, 3), "float32", (2.0, 1, "a")),
    ],
)
def test_a_graph_refuses_as_torch_does(compiled, torch, shape, dtype, arguments):
    kind, text = refused_by_torch(torch, shape, dtype, arguments, {})
    got = refusal(compiled, Call(adapted.normalize, *arguments), tensor(np.ones(shape), dtype))
    assert got == (kind, text.removesuffix(", but expected one of:"))


@pytest.mark.parametrize(
    ("shape", "dtype", "arguments"),
    [
        ((2, 3), "float32", (5,)),
        ((2, 3), "float32", ((0, 1),)),
        ((2, 3), "float32", (0, 0.0)),
        ((2, 3), "float32", (0, 1)),
        ((2, 3), "int32", ()),
        ((), "float32", ()),
    ],
)
def test_a_graph_refuses_as_mindspore_does(compiled, shape, dtype, arguments):
    x = tensor(np.ones(shape), dtype)
    expected = refusal(live, x, *arguments)
    assert expected is not None
    assert refusal(compiled, Call(adapted.l2_normalize, *arguments), x) == expected


@pytest.mark.parametrize("function", [adapted.normalize, adapted.l2_normalize])
def test_a_graph_refuses_an_input_that_is_no_tensor(compiled, function):
    kind, text = refusal(function, [1.0])
    got = refusal(compiled, Call(function), [Tensor([1.0])])
    assert (got[0], got[1][:20]) == (kind, text[:20])
