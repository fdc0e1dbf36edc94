"""The two functions as data, held against NumPy's rounding and the live functions."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import math
import struct
from collections.abc import Callable
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from portnorm.semantics import L2NORMALIZE, NORMALIZE, Function, normalize_dims, round_to
from tests.conftest import needs_mindspore, needs_torch

# --- rounding -------------------------------------------------------------------------------------


def as_float(bits: int) -> float:
    return float(struct.unpack("d", struct.pack("Q", bits))[0])


any_float = st.integers(0, 2**64 - 1).map(as_float)
"""Every exponent as likely as any other; NaN and infinities now and then."""

# Halfway between two neighbours of a type that keeps the upper bits of float32 or float64, and the
# next numbers below and above.
near_tie = st.builds(
    lambda bits, dropped, step: as_float((bits | 1 << dropped - 1) + step),
    st.integers(0, 2**63 - 1),
    st.sampled_from([29, 42, 45]),
    st.sampled_from([-1, 0, 1]),
).filter(math.isfinite)
some_value = st.one_of(any_float, near_tie, st.floats(-7e4, 7e4), st.floats(width=16))
several = hypothesis.settings(max_examples=400)


def same(one: float, two: float) -> bool:
    """Whether the encodings are equal; any NaN equals any NaN."""
    if math.isnan(one) or math.isnan(two):
        return math.isnan(one) and math.isnan(two)
    return struct.pack("d", one) == struct.pack("d", two)


def rounded_by_numpy(value: float, dtype: str) -> float:
    with np.errstate(over="ignore"):
        single = np.float32(value)
        return float(np.dtype(dtype).type(value if dtype == "float64" else single))


def rounded_by_torch(value: float, dtype: str) -> float:
    import torch

    return float(torch.tensor(value, dtype=getattr(torch, dtype)))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@several
@hypothesis.given(value=some_value)
def test_rounding_agrees_with_numpy(value: float, dtype: str) -> None:
    assert same(round_to(value, dtype), rounded_by_numpy(value, dtype))


@needs_torch
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@several
@hypothesis.given(value=some_value)
def test_rounding_agrees_with_torch(value: float, dtype: str) -> None:
    assert same(round_to(value, dtype), rounded_by_torch(value, dtype))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_every_16_bit_number_is_kept_and_every_tie_goes_to_even(dtype: str) -> None:
    last_finite = {"float16": 0x7BFF, "bfloat16": 0x7F7F}[dtype]
    values = [value_of(bits, dtype) for bits in range(last_finite + 1)]
    assert all(same(round_to(value, dtype), value) for value in values)
    for even in range(0, last_finite - 1, 2):
        lower, odd, upper = values[even : even + 3]
        assert round_to((lower + odd) / 2, dtype) == lower
        assert round_to((odd + upper) / 2, dtype) == upper


def value_of(bits: int, dtype: str) -> float:
    if dtype == "float16":
        return float(np.uint16(bits).view(np.float16))
    return float(np.uint32(bits << 16).view(np.float32))


def test_cutting_the_lower_bits_off_would_be_noticed() -> None:
    def cut(value: float) -> float:
        (bits,) = struct.unpack("I", struct.pack("f", value))
        return float(struct.unpack("f", struct.pack("I", bits & 0xFFFF0000))[0])

    above_a_tie = 1 + 0.75 * 2**-7
    assert cut(above_a_tie) == 1
    assert round_to(above_a_tie, "bfloat16") == 1 + 2**-7


# --- dims -----------------------------------------------------------------------------------------

dims = st.one_of(
    st.none(),
    st.integers(-6, 5),
    st.lists(st.integers(-6, 5), max_size=4),
    st.lists(st.integers(-6, 5), max_size=4).map(tuple),
    st.sampled_from([1.0, "0", True, (True,), [1.0, 0], (None,), np.int64(0), [np.int64(-1)], {}]),
)


def outcome(function: Callable[[], Any]) -> Any:
    """Return the result, or the type and the first line of the error."""
    try:
        return function()
    except Exception as error:
        return type(error), str(error).splitlines()[0]


def dims_that_torch_reduces(dim: Any, ndim: int) -> tuple[int, ...]:
    import torch

    shape = torch.ones((2,) * ndim).norm(2.0, dim, keepdim=True).shape
    return tuple(d for d in range(ndim) if shape[d] == 1)


@needs_torch
@several
@hypothesis.given(dim=dims, ndim=st.integers(0, 5))
def test_dims_are_read_and_refused_as_torch_does(dim: Any, ndim: int) -> None:
    expected = outcome(lambda: dims_that_torch_reduces(dim, ndim))
    hypothesis.assume(expected[:1] != (RuntimeError,))  # twice the same dim: the next test
    assert outcome(lambda: normalize_dims(dim, ndim)) == expected


@needs_torch
@pytest.mark.parametrize(
    "dim",
    [
        [0, 0],
        (1, -1),
        [1, 0, 1],
        [0, 0, 5],
        [5, 0, 0],
        [1, 0, 0, 1],
        (0, True),
        (True, 0),
        [0, 1.0],
        [0, None],
    ],
    ids=str,
)
def test_several_dims_are_read_and_refused_as_torch_does(dim: Any) -> None:
    expected = outcome(lambda: dims_that_torch_reduces(dim, 2))
    assert outcome(lambda: normalize_dims(dim, 2)) == expected


# --- the records ----------------------------------------------------------------------------------

HOSTS = [pytest.param("torch", marks=needs_torch), pytest.param("mindspore", marks=needs_mindspore)]


def parameters(signature: str) -> list[tuple[str, Any]]:
    """Return names and defaults from a signature in a documentation."""
    (definition,) = ast.parse(f"def {signature.removesuffix('(x)')}: pass").body
    assert isinstance(definition, ast.FunctionDef)
    arguments = definition.args
    defaults = [ast.literal_eval(default) for default in arguments.defaults]
    required = [inspect.Parameter.empty] * (len(arguments.args) - len(defaults))
    return list(zip([a.arg for a in arguments.args], required + defaults, strict=True))


def positional(function: Callable[..., Any]) -> list[tuple[str, Any]]:
    """Return names and defaults of a live function; self is left out."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    found = [p for p in inspect.signature(function).parameters.values() if p.kind == kind]
    return [(p.name, p.default) for p in found if p.name != "self"]


def refused(function: Callable[[], Any]) -> bool:
    try:
        function()
    except (TypeError, RuntimeError, NotImplementedError):
        return True
    return False


@needs_torch
def test_the_record_of_normalize_has_torchs_signature_and_dtypes() -> None:
    import torch
    import torch.nn.functional as F

    assert parameters(NORMALIZE.signature) == positional(F.normalize)
    assert (NORMALIZE.axis, NORMALIZE.eps) == F.normalize.__defaults__[1:3]
    names = ["bool", "uint8", "int8", "int16", "int32", "int64", *NORMALIZE.dtypes]
    taken = {n for n in names if not refused(lambda n=n: F.normalize(ones(torch, n)))}
    assert taken == NORMALIZE.dtypes


@needs_mindspore
def test_the_record_of_l2_normalize_has_mindspores_signature_and_dtypes() -> None:
    import mindspore

    op = mindspore.ops.L2Normalize
    assert parameters(L2NORMALIZE.signature) == positional(op.__init__)
    assert dict(positional(op.__init__)) == {"axis": L2NORMALIZE.axis, "epsilon": L2NORMALIZE.eps}
    names = ["bool", "uint8", "int8", "int16", "int32", "int64", *NORMALIZE.dtypes]
    taken = {n for n in names if not refused(lambda n=n: op()(ones(mindspore.ops, n, mindspore)))}
    assert taken == L2NORMALIZE.dtypes


def ones(operators: Any, dtype: str, types: Any = None) -> Any:
    return operators.ones((2, 3), dtype=getattr(types or operators, dtype))


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize(
    ("name", "record", "given_at_call"),
    [
        ("normalize", NORMALIZE, []),
        ("Normalize", NORMALIZE, ["input", "out"]),
        ("l2_normalize", L2NORMALIZE, ["x"]),
        ("L2Normalize", L2NORMALIZE, ["x"]),
    ],
)
def test_the_adapters_have_the_parameters_of_the_functions(
    host: str, name: str, record: Function, given_at_call: list[str]
) -> None:
    adapter = getattr(importlib.import_module(f"portnorm.{host}"), name)
    expected = [(n, d) for n, d in parameters(record.signature) if n not in given_at_call]
    assert [(n, d) for n, d in positional(adapter) if n not in given_at_call] == expected
    parity = inspect.signature(adapter).parameters["parity"]
    assert (parity.kind, parity.default) == (inspect.Parameter.KEYWORD_ONLY, None)


def test_the_floor_of_the_norm_is_eps_in_torch_and_its_root_in_mindspore() -> None:
    assert (NORMALIZE.floor(), NORMALIZE.floor(0.25)) == (1e-12, 0.25)
    assert (L2NORMALIZE.floor(), L2NORMALIZE.floor(0.25)) == (1e-2, 0.5)


def test_a_later_default_of_eps_belongs_to_its_release() -> None:
    changed = dataclasses.replace(
        NORMALIZE, later_eps=(("2.17", {"float16": 6.1e-5}), ("3.0", {"float64": 1e-20}))
    )
    for version, dtype, eps in [
        ("2.16.1+cpu", "float16", 1e-12),
        ("2.9.0", "float16", 1e-12),
        ("2.17.0", "float16", 6.1e-5),
        ("2.17.0+cu130", "float32", 1e-12),
        ("3.0.1", "float16", 6.1e-5),
        ("3.0", "float64", 1e-20),
    ]:
        assert changed.default_eps(version, dtype) == eps
        assert NORMALIZE.default_eps(version, dtype) == NORMALIZE.eps
