"""Files that the frameworks have saved: names, dtypes, layouts, and what is refused."""

from __future__ import annotations

import sys
import tracemalloc
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from portnorm.readers import UnreadableError, chosen, open_array, open_arrays, whole

ARRAY = np.arange(12, dtype=np.float32).reshape(3, 4)


def everything(path: Path, name: str = "", dtype: str | None = None) -> np.ndarray:
    with open_arrays(str(path)).open(name) as source:
        return source.read(whole(source), dtype or source.dtype)


def refusal(path: Path, key: str | None = None) -> str:
    with pytest.raises(UnreadableError) as caught, open_array(str(path), key):
        pass
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- torch ----------------------------------------------------------------------------------------


@pytest.fixture
def torch() -> object:
    return pytest.importorskip("torch")


def test_names_in_dicts_and_lists_are_joined(torch, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    tensor = torch.from_numpy(ARRAY)
    state = OrderedDict(weight=torch.nn.Parameter(tensor), steps=torch.tensor(3))
    torch.save({"model": state, "epoch": 3, "outputs": [tensor, {"z": tensor}]}, tmp_path / "a.pt")
    arrays = open_arrays(str(tmp_path / "a.pt"))
    assert arrays.names == ("model.weight", "model.steps", "outputs.0", "outputs.1.z")
    assert [arrays.describe(name).dtype for name in arrays.names] == [
        "float32", "int64", "float32", "float32",
    ]  # fmt: skip
    assert np.array_equal(everything(tmp_path / "a.pt", "outputs.1.z"), ARRAY)
    assert chosen(arrays, ["outputs.*", "model.weight"]) == [
        "outputs.0", "outputs.1.z", "model.weight",
    ]  # fmt: skip
    with open_array(str(tmp_path / "a.pt"), "*.weight") as source:
        assert source.name == f"{tmp_path / 'a.pt'}[model.weight]"
    assert "fits 2 arrays" in refusal(tmp_path / "a.pt", "outputs*")


LAYOUTS = {
    "whole": lambda t: t,
    "transposed": lambda t: t.T,
    "part of rows": lambda t: t[1:],
    "part of columns": lambda t: t[:, 1:3],
    "every second": lambda t: t[::2],
    "expanded": lambda t: t[:1].expand(5, 4),
    "one vector": lambda t: t[1],
    "one number": lambda t: t[1, 2],
    "empty": lambda t: t[:0],
    "reversed sign": lambda t: t,
}


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bfloat16", "int64", "bool"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("way", ["zip", "legacy", "compressed"])
def test_a_tensor_of_any_layout_is_read(  # type: ignore[no-untyped-def]
    torch, tmp_path: Path, dtype: str, layout: str, way: str
) -> None:
    tensor = LAYOUTS[layout](torch.from_numpy(ARRAY).to(getattr(torch, dtype)))
    path = tmp_path / "a.pth"
    torch.save(tensor, path, _use_new_zipfile_serialization=way != "legacy")
    if way == "compressed":
        members = {}
        with zipfile.ZipFile(path) as archive:
            members = {one.filename: archive.read(one) for one in archive.infolist()}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
    arrays = open_arrays(str(path))
    assert arrays.names == ("",)
    found = arrays.describe("")
    assert (found.shape, found.dtype, found.name) == (tuple(tensor.shape), dtype, str(path))
    assert np.array_equal(everything(path, dtype="float64"), tensor.double().numpy())


def test_a_large_file_is_not_loaded(torch, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "a.pt"
    torch.save({"a": torch.ones(2000, 2000), "b": torch.zeros(4)}, path)
    tracemalloc.start()
    try:
        with open_array(str(path), "a") as source:
            part = source.read((slice(1990, 2000), slice(0, 2000)), "float32")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert part.shape == (10, 2000)
    assert (part == 1).all()
    assert peak < 2_000_000


def test_a_file_is_loaded_once_for_all_that_cannot_be_read_in_parts(  # type: ignore[no-untyped-def]
    torch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = {str(n): torch.from_numpy(ARRAY)[:, n : n + 2] for n in range(3)}
    torch.save(tensors, tmp_path / "a.pt")
    load, loads = torch.load, []

    def counted(*given: object, **named: object) -> object:
        loads.append(named["map_location"])
        return load(*given, **named)

    monkeypatch.setattr(torch, "load", counted)
    arrays = open_arrays(str(tmp_path / "a.pt"))
    for name, tensor in tensors.items():
        assert arrays.describe(name).shape == (3, 2)
        with arrays.open(name) as source:
            assert np.array_equal(source.read(whole(source), "float32"), tensor.numpy())
    assert loads == ["meta", "cpu"]


class Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return pytest.fail, ("a pickle was loaded",)


def test_code_in_a_file_is_not_run(torch, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    for name, content in {"bomb": Bomb(), "module": torch.nn.Linear(2, 2)}.items():
        torch.save({"x": torch.ones(2), "y": content}, tmp_path / f"{name}.pt")
        assert "expected a file of tensors alone" in refusal(tmp_path / f"{name}.pt")


def test_what_is_no_dense_tensor_of_real_numbers_is_refused(torch, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    strange = {
        "complex": torch.ones(2, dtype=torch.complex64),
        "sparse": torch.eye(3).to_sparse(),
        "good": torch.ones(2),
    }
    torch.save(strange, tmp_path / "a.pt")
    for name in ("complex", "sparse"):
        assert "expected a dense tensor of real numbers" in refusal(tmp_path / "a.pt", name)
    assert everything(tmp_path / "a.pt", "good").tolist() == [1, 1]


def test_odd_structures_are_refused(torch, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    endless: list[object] = [torch.ones(2)]
    endless.append(endless)
    torch.save(endless, tmp_path / "endless.pt")
    torch.save({"a.b": torch.ones(1), "a": {"b": torch.ones(2)}}, tmp_path / "twice.pt")
    torch.save({"epoch": 3}, tmp_path / "none.pt")
    torch.save(torch.ones([1] * 70), tmp_path / "dims.pt")
    assert "expected an array: shape" in refusal(tmp_path / "dims.pt")
    assert "at most 100 levels" in refusal(tmp_path / "endless.pt")
    assert "two of one name" in refusal(tmp_path / "twice.pt")
    assert "expected an array, found none" in refusal(tmp_path / "none.pt")


def test_a_missing_framework_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.pt").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "pip install 'portnorm[torch]'" in refusal(tmp_path / "a.pt")


def test_a_checkpoint_of_lightning_is_a_file_of_torch(torch, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    torch.save({"state_dict": {"w": torch.from_numpy(ARRAY)}}, tmp_path / "a.ckpt")
    assert np.array_equal(everything(tmp_path / "a.ckpt", "state_dict.w"), ARRAY)


# --- MindSpore ------------------------------------------------------------------------------------


def test_a_checkpoint_of_mindspore_is_read(tmp_path: Path) -> None:
    mindspore = pytest.importorskip("mindspore")
    tensors = {"w": mindspore.Tensor(ARRAY), "b": mindspore.Tensor(ARRAY[0], mindspore.bfloat16)}
    saved = [{"name": k, "data": mindspore.Parameter(v, name=k)} for k, v in tensors.items()]
    mindspore.save_checkpoint(saved, str(tmp_path / "a.ckpt"))
    arrays = open_arrays(str(tmp_path / "a.ckpt"))
    assert arrays.names == ("w", "b")
    assert np.array_equal(everything(tmp_path / "a.ckpt", "w"), ARRAY)
    assert np.array_equal(everything(tmp_path / "a.ckpt", "b", "float32"), ARRAY[0])
    assert arrays.describe("b").dtype == "bfloat16"
    mindspore.save_checkpoint(saved, str(tmp_path / "a.ckpt"), crc_check=True)
    assert np.array_equal(everything(tmp_path / "a.ckpt", "w"), ARRAY)
    mindspore.save_checkpoint(saved, str(tmp_path / "a.ckpt"), enc_key=b"0123456789abcdef")
    assert "that is not encrypted" in refusal(tmp_path / "a.ckpt", "w")


def field(number: int, data: bytes) -> bytes:
    return bytes([number << 3 | 2]) + varint(len(data)) + data


def varint(value: int) -> bytes:
    low, rest = value & 127, value >> 7
    return bytes([low | 128]) + varint(rest) if rest else bytes([low])


def checkpoint(name: str, dims: list[int], kind: str, content: bytes, *, packed: bool) -> bytes:
    if packed:
        stored = field(1, b"".join(map(varint, dims)))
    else:
        stored = b"".join(b"\x08" + varint(dim) for dim in dims)
    tensor = stored + field(2, kind.encode()) + field(3, content)
    return field(1, field(1, name.encode()) + field(2, tensor))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("sizes", [(48,), (20, 28), (4, 4, 40), (0, 48)])
def test_a_large_parameter_lies_in_slices(
    tmp_path: Path, packed: bool, sizes: tuple[int, ...]
) -> None:
    data, message = ARRAY.tobytes(), b""
    for size in sizes:
        part, data = data[:size], data[size:]
        message += checkpoint("w", [3, 4], "Float32", part, packed=packed)
    message += checkpoint("n", [0], "Int32", b"\x07\0\0\0", packed=packed)
    path = tmp_path / "a.ckpt"
    path.write_bytes(message)
    assert np.array_equal(everything(path, "w"), ARRAY)
    assert everything(path, "n") == 7
    with open_array(str(path), "w") as source:
        assert np.array_equal(source.read(np.s_[1:3, 2:4], "float64"), ARRAY[1:3, 2:4])


def test_a_checkpoint_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    good = checkpoint("w", [3, 4], "Float32", ARRAY.tobytes(), packed=False)
    for bad in (b"\x07", b"\xff" * 20, good[:-1], b"\x0a\x7f", field(1, field(1, b"\xff"))):
        path.write_bytes(bad + good if bad[:1] == b"\x07" else bad)
        found = refusal(path)
        assert "expected a checkpoint of MindSpore" in found or "found none in it" in found
    for dims, kind in ([3, 5], "Float32"), ([3, 4], "str"), ([3, 4], "Int4"), ([3, 2**60], "Int8"):
        path.write_bytes(checkpoint("w", dims, kind, ARRAY.tobytes(), packed=True))
        assert refusal(path).startswith(f"{path}[w]: expected ")
