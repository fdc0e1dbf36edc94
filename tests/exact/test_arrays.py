"""Arrays in and out: layouts, refusals, memory that cannot be written, and what stays as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from portnorm.errors import StrictParityError
from portnorm.exact import mindspore_cpu, torch_cpu
from portnorm.exact.machine import threads
from portnorm.exact.machine.arrays import extent
from tests.exact.random_cases import STORAGE, random_case, random_values
from tests.exact.same_encoding import Array, check_bits

DTYPES = pytest.mark.parametrize("dtype", STORAGE)


def l2_gradient(x: Array, dy: Array) -> Array:
    return mindspore_cpu.l2_normalize_vjp(x, mindspore_cpu.l2_normalize(x), dy)


def every_result(x: Array, g: Array) -> dict[str, Array]:
    """Return the results of all public functions."""
    found = {
        "normalize": torch_cpu.normalize(x),
        "normalize_vjp": torch_cpu.normalize_vjp(x, g),
    }
    if x.dtype != np.uint16:
        found["l2_normalize"] = mindspore_cpu.l2_normalize(x)
        found["l2_normalize_vjp"] = l2_gradient(x, g)
    return found


# --- results -------------------------------------------------------------------------------------


@DTYPES
def test_a_result_is_dense_new_and_the_input_stays(rng: np.random.Generator, dtype: str) -> None:
    results = 0
    for _ in range(300):
        case = random_case(rng, dtype, elements=400)
        before = case.buffer.tobytes(), case.g_buffer.tobytes()
        try:
            y = torch_cpu.normalize(case.x, *case.arguments)
            dx = torch_cpu.normalize_vjp(case.x, case.g, *case.arguments)
        except RuntimeError:  # eps is too large for the dtype, or a norm has nothing to be of
            continue
        for result in (y, dx):
            assert (result.shape, result.dtype) == (case.x.shape, case.x.dtype)
            strides = [stride // result.itemsize for stride in result.strides]
            assert result.size == 0 or extent(result.shape, strides) == result.size
            assert result.flags.writeable
            assert not np.shares_memory(result, case.buffer)
        assert (case.buffer.tobytes(), case.g_buffer.tobytes()) == before
        results += 1
    assert results > 200


def test_a_result_lies_as_the_input_does() -> None:
    x = np.ones((2, 4, 3, 3), np.float32).transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2)
    assert not x.flags.c_contiguous
    assert torch_cpu.normalize(x).strides == x.strides
    assert torch_cpu.normalize_vjp(x, x).strides == x.strides
    assert torch_cpu.normalize(x[:, ::2]).flags.c_contiguous is False
    assert mindspore_cpu.l2_normalize(x).flags.c_contiguous


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 4), (2, 0, 3)])
@pytest.mark.parametrize("dim", [0, -1, None])
def test_an_empty_array_has_an_empty_result(shape: tuple[int, ...], dim: Any) -> None:
    x = np.ones(shape, np.float32)
    assert torch_cpu.normalize(x, 2.0, dim).shape == shape
    assert torch_cpu.normalize_vjp(x, x, 2.0, dim).shape == shape


# --- memory --------------------------------------------------------------------------------------


@DTYPES
def test_arrays_that_cannot_be_written(rng: np.random.Generator, dtype: str) -> None:
    x, g = (random_values(rng, 60, dtype).reshape(6, 10) for _ in range(2))
    expected = every_result(x, g)
    for array in (x, g):
        array.flags.writeable = False
    for name, result in every_result(x, g).items():
        check_bits(result, expected[name], name)
        assert result.flags.writeable


@DTYPES
def test_arrays_in_files(rng: np.random.Generator, dtype: str, tmp_path: Path) -> None:
    x, g = (random_values(rng, 60, dtype).reshape(6, 10) for _ in range(2))
    expected = every_result(x, g)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert isinstance(mapped, np.memmap)
    for name, result in every_result(mapped, g).items():
        check_bits(np.asarray(result), expected[name], name)


# --- refusals ------------------------------------------------------------------------------------

MATRIX = np.ones((3, 4), np.float32)


def unaligned() -> Array:
    raw = np.zeros(MATRIX.nbytes + 1, np.uint8)
    return raw[1:].view(np.float32).reshape(3, 4)


def of_a_record() -> Array:
    return np.zeros((3, 4), [("value", "f4"), ("flag", "u2")])["value"]


NO_TENSORS = {
    "backwards": lambda: MATRIX[::-1],
    "backwards in a row": lambda: MATRIX[:, ::-1],
    "other byte order": lambda: MATRIX.astype(MATRIX.dtype.newbyteorder()),
    "not aligned": unaligned,
    "a field of records": of_a_record,
}


@pytest.mark.parametrize("name", NO_TENSORS)
def test_what_is_no_tensor_is_refused(name: str) -> None:
    x = NO_TENSORS[name]()
    with pytest.raises(ValueError, match="expected"):
        torch_cpu.normalize(x)
    with pytest.raises(ValueError, match="expected"):
        torch_cpu.normalize_vjp(x, x)
    with pytest.raises(ValueError, match="expected"):
        torch_cpu.normalize_vjp(MATRIX, x)


def test_mindspore_takes_any_strides_but_not_another_byte_order() -> None:
    expected = mindspore_cpu.l2_normalize(MATRIX[::-1].copy())
    check_bits(mindspore_cpu.l2_normalize(MATRIX[::-1]), expected)
    swapped = MATRIX.astype(MATRIX.dtype.newbyteorder())
    with pytest.raises(ValueError, match="byte order"):
        mindspore_cpu.l2_normalize(swapped)
    check_bits(mindspore_cpu.l2_normalize(unaligned()), np.zeros_like(MATRIX))


@pytest.mark.parametrize("dtype", ["int32", "int64", "bool", "int8"])
def test_arrays_of_other_types_are_refused_as_by_the_frameworks(dtype: str) -> None:
    x = np.ones((2, 2), dtype)
    with pytest.raises(RuntimeError, match="Expected a floating point or complex tensor"):
        torch_cpu.normalize(x)
    with pytest.raises(RuntimeError, match="Expected a floating point or complex tensor"):
        torch_cpu.normalize_vjp(x, x)
    with pytest.raises(TypeError):
        mindspore_cpu.l2_normalize(x)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_numbers_are_not_promised(dtype: str) -> None:
    x = np.ones((2, 2), dtype)
    with pytest.raises(StrictParityError, match=dtype):
        torch_cpu.normalize(x)
    with pytest.raises(StrictParityError, match=dtype):
        torch_cpu.normalize_vjp(x, x)
    with pytest.raises(TypeError):
        mindspore_cpu.l2_normalize(x)


@pytest.mark.parametrize(
    "g", [np.ones((4, 3), np.float32), np.ones((3, 4)), np.ones((1, 4), np.float32)], ids=str
)
def test_a_cotangent_of_another_kind_is_refused(g: Array) -> None:
    with pytest.raises(ValueError, match=r"expected a cotangent of shape \(3, 4\) and dtype float"):
        torch_cpu.normalize_vjp(MATRIX, g)
    with pytest.raises(ValueError, match=r"expected y of shape \(3, 4\) and dtype float32"):
        mindspore_cpu.l2_normalize_vjp(MATRIX, g, MATRIX)
    with pytest.raises(ValueError, match=r"expected dy of shape \(3, 4\) and dtype float32"):
        mindspore_cpu.l2_normalize_vjp(MATRIX, MATRIX, g)


REFUSED: dict[str, Callable[[], Array]] = {
    "backwards": lambda: torch_cpu.normalize(MATRIX[::-1]),
    "another cotangent": lambda: torch_cpu.normalize_vjp(MATRIX, MATRIX[:1]),
    "a backwards cotangent": lambda: torch_cpu.normalize_vjp(MATRIX, MATRIX[::-1]),
    "a gradient of another order": lambda: torch_cpu.normalize_vjp(MATRIX, MATRIX, 3.0),
    "another dy": lambda: mindspore_cpu.l2_normalize_vjp(MATRIX, MATRIX, MATRIX[:1]),
    "an axis out of range": lambda: mindspore_cpu.l2_normalize(MATRIX, 2),
}


@pytest.mark.parametrize("call", REFUSED)
def test_what_is_refused_is_refused_before_any_work(
    monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    started: list[object] = []
    monkeypatch.setattr(threads, "run", lambda *arguments: started.append(arguments))
    with pytest.raises((ValueError, StrictParityError)):
        REFUSED[call]()
    assert started == []
    torch_cpu.normalize(MATRIX)
    assert len(started) == 1
