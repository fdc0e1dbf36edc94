"""Arrays in files: what is read, and what is refused in one line."""

from __future__ import annotations

import errno
import importlib.util
import io
import os
import pickle
import random
import tempfile
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from portnorm.readers import Source, UnreadableError, open_array
from portnorm.readers import source as readers
from tests.readers.damage import ARRAY, MAGIC, WRITERS, damaged, read_or_refuse, whole
from tests.sampling import seed_of_test


def everything(source: Source) -> np.ndarray:
    return source.read(tuple(slice(0, size) for size in source.shape), source.dtype)


def save_npy(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


def save_npz(path: Path, array: np.ndarray) -> Path:
    np.savez(path, only=array)
    return path


def save_npz_compressed(path: Path, array: np.ndarray) -> Path:
    np.savez_compressed(path, only=array)
    return path


def save_safetensors(path: Path, array: np.ndarray) -> Path:
    save_file({"only": np.ascontiguousarray(array)}, path)
    return path


def save_torch(path: Path, array: np.ndarray) -> Path:
    import torch

    contiguous = torch.from_numpy(np.ascontiguousarray(array))
    tensor = contiguous if array.flags.c_contiguous else contiguous.mT.contiguous().mT
    torch.save({"only": tensor}, path)
    return path


TORCH = importlib.util.find_spec("torch") is not None

SAVERS: dict[str, Callable[[Path, np.ndarray], Path]] = {
    "a.npy": save_npy,
    "a.npz": save_npz,
    "b.NPZ": lambda path, array: save_npz_compressed(path.with_suffix(".npz"), array).rename(path),
    "a.safetensors": save_safetensors,
    **({"a.pt": save_torch, "b.PTH": save_torch} if TORCH else {}),
}


@pytest.fixture(autouse=True)
def _nothing_left_behind(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Put temporary files where the test can see that they are gone."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    assert list(folder.iterdir()) == []


# --- what is read ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAVERS)
@pytest.mark.parametrize("array", [ARRAY, np.asfortranarray(ARRAY), ARRAY[0, 0]], ids=str)
def test_what_was_saved_is_read(tmp_path: Path, name: str, array: np.ndarray) -> None:
    path = SAVERS[name](tmp_path / name, array)
    with open_array(str(path)) as source:
        assert (source.shape, source.dtype) == (array.shape, "float32")
        found = everything(source)
    assert np.array_equal(found, array)
    assert found.flags.c_contiguous
    assert found.flags.writeable


@pytest.mark.parametrize("name", SAVERS)
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(("at_once", "gap"), [(1, 0), (100, 0), (300, 30), (2**20, 2**16)])
def test_parts_are_the_same_however_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, order: str, at_once: int, gap: int
) -> None:
    monkeypatch.setattr(readers, "READ_BYTES", at_once)
    monkeypatch.setattr(readers, "_GAP_BYTES", gap)
    array = np.asarray(np.arange(210, dtype=np.float64).reshape(5, 6, 7), order=order)
    path = SAVERS[name](tmp_path / name, array)
    with open_array(str(path)) as source:
        for index in [np.s_[0:5, 0:6, 0:7], np.s_[1:2, 0:6, 3:5], np.s_[4:5, 2:3, 1:2]]:
            assert np.array_equal(source.read(index, "float16"), array[index].astype("float16"))


def test_bfloat16_is_read_as_what_it_is(tmp_path: Path) -> None:
    path = save_safetensors(tmp_path / "a.safetensors", ARRAY.astype(ml_dtypes.bfloat16))
    with open_array(str(path)) as source:
        assert source.dtype == "bfloat16"
        index = tuple(slice(0, size) for size in source.shape)
        assert np.array_equal(source.read(index, "float32"), ARRAY)


def test_a_key_picks_one_of_several_arrays(tmp_path: Path) -> None:
    arrays = {"first": ARRAY, "second": ARRAY[0]}
    np.savez(tmp_path / "a.npz", **arrays)
    save_file(arrays, tmp_path / "a.safetensors")
    for name in ("a.npz", "a.safetensors"):
        path = str(tmp_path / name)
        with open_array(path, "second") as source:
            assert source.name == f"{path}[second]"
            assert np.array_equal(everything(source), ARRAY[0])


def test_what_a_member_is_unpacked_to_is_gone_after_an_error(tmp_path: Path) -> None:
    path = save_npz(tmp_path / "a.npz", ARRAY)
    opened = open_array(str(path))
    opened.__enter__()
    assert list(Path(tempfile.gettempdir()).iterdir())
    assert not opened.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert not list(Path(tempfile.gettempdir()).iterdir())


# --- what is refused ------------------------------------------------------------------------------


def refusal(path: Path, key: str | None = None) -> str:
    with pytest.raises(UnreadableError) as caught, open_array(str(path), key):
        pass
    message = str(caught.value)
    assert message.startswith(str(path))
    return message.removeprefix(str(path))


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors"])
def test_what_is_no_file_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    assert refusal(path) == ": expected a file that can be read: No such file or directory"
    path.mkdir()
    assert refusal(path) == ": expected a file, found a directory"


@pytest.mark.parametrize("name", ["a.txt", "a.onnx", "npy", "a.npy.gz"])
def test_other_suffixes_are_refused(tmp_path: Path, name: str) -> None:
    path = save_npy(tmp_path / "a.npy", ARRAY).rename(tmp_path / name)
    found = refusal(path)
    assert ", .pt, .pth, .bin or .ckpt; convert it, as by numpy.save(" in found
    assert (f"numpy.loadtxt('{path.stem}.txt')" in found) == (path.suffix == ".txt")


@pytest.mark.parametrize("name", SAVERS)
def test_a_file_under_another_suffix_is_refused(tmp_path: Path, name: str) -> None:
    path = SAVERS[name](tmp_path / name, ARRAY)
    same = {".pt", ".pth"} if path.suffix.lower() in (".pt", ".pth") else {path.suffix.lower()}
    for suffix in {".npy", ".npz", ".safetensors", *([".pt"] if TORCH else [])} - same:
        moved = path.rename(path.with_name(f"moved{suffix}"))
        assert refusal(moved).startswith((": expected a ", ": expected an array, found none"))
        path = moved


class Bomb:
    """Its pickle runs code when it is loaded."""

    def __reduce__(self) -> tuple[object, ...]:
        return pytest.fail, ("a pickle was loaded",)


def test_pickles_are_not_loaded(tmp_path: Path) -> None:
    objects = np.array([Bomb()], dtype=object)
    with pytest.raises(pytest.fail.Exception):
        pickle.loads(pickle.dumps(objects))
    pickled = "pickled data is not read"
    assert pickled in refusal(save_npy(tmp_path / "a.npy", objects))
    with (
        pytest.raises(UnreadableError, match=pickled),
        open_array(str(save_npz(tmp_path / "a.npz", objects))),
    ):
        pass
    bare = tmp_path / "bare.npy"
    bare.write_bytes(pickle.dumps(objects))
    assert refusal(bare).startswith(": expected a .npy header")


def test_several_arrays_are_listed(tmp_path: Path) -> None:
    names = [f"layer.{i}" for i in range(12)]
    arrays = dict.fromkeys(names, ARRAY)
    np.savez(tmp_path / "a.npz", **arrays)
    save_file(arrays, tmp_path / "a.safetensors")
    for name in ("a.npz", "a.safetensors"):
        message = refusal(tmp_path / name)
        assert message.startswith(": holds 12 arrays; give --key, one of 'layer.0', ")
        assert message.endswith(" and 4 more")
        assert "expected an array named 'none'; it has" in refusal(tmp_path / name, "none")


def test_a_key_for_a_file_without_names_is_refused(tmp_path: Path) -> None:
    path = save_npy(tmp_path / "a.npy", ARRAY)
    assert refusal(path, "only").endswith("drop --key")


def test_files_without_arrays_are_refused(tmp_path: Path) -> None:
    save_file({}, tmp_path / "a.safetensors")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("readme.txt", "no arrays here")
    for name in ("a.npz", "a.safetensors"):
        assert refusal(tmp_path / name) == ": expected an array, found none in it"


def test_missing_libraries_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_safetensors(tmp_path / "a.safetensors", ARRAY.astype(ml_dtypes.bfloat16))
    monkeypatch.setitem(__import__("sys").modules, "ml_dtypes", None)
    assert "needs ml_dtypes: pip install 'portnorm[tools]'" in refusal(path)
    monkeypatch.setitem(__import__("sys").modules, "safetensors", None)
    assert "needs safetensors: pip install 'portnorm[tools]'" in refusal(path)


def test_what_would_not_fit_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    with path.open("wb") as stream:
        header = {"descr": "<f4", "fortran_order": False, "shape": (10**9, 10**9)}
        np.lib.format.write_array_header_1_0(stream, header)
    assert "4000000000000000000 bytes" in refusal(path)


def write_npy_header(path: Path, shape: str) -> None:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    size = len(header).to_bytes(2, "little")
    path.write_bytes(b"\x93NUMPY\x01\x00" + size + header + bytes(64))


SHAPES = {
    str((1,) * 65): "maximum supported dimension",
    "(True,)": "shape (True,)",
    "(4, False)": "shape (4, False)",
    "(-1,)": "shape (-1,)",
    "(2, -3)": "shape (2, -3)",
    f"(0, {10**21})": "Maximum allowed dimension exceeded",
    f"({2**63 - 1}, {2**63 - 1}, 0)": "shape (9223372036854775807, 9223372036854775807, 0)",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_that_no_array_has_are_refused(tmp_path: Path, shape: str) -> None:
    path = tmp_path / "a.npy"
    write_npy_header(path, shape)
    message = refusal(path)
    assert message.startswith(": expected a .npy header: ")
    assert SHAPES[shape] in message
    write_npy_header(path, "(4,)")
    with open_array(str(path)) as source:
        assert source.shape == (4,)


def write_safetensors(path: Path, *entries: str, size: int = 32) -> None:
    header = f"{{{', '.join(entries)}}}".encode()
    header += b" " * (-len(header) % 8)
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(size))


def entry(dtype: str, *shape: int, size: int = 32) -> str:
    return f'"a": {{"dtype": "{dtype}", "shape": {[*shape]}, "data_offsets": [0, {size}]}}'


@pytest.mark.parametrize(
    "dtype", ["F8_E4M3", "F8_E5M2", "F8_E8M0", "F4", "C64", "F6_E2M3", "F6_E3M2"]
)
def test_safetensors_of_other_dtypes_are_refused(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "a.safetensors"
    size = {"F8": 8, "F4": 4, "C6": 64, "F6": 6}[dtype[:2]]  # in bits, which is in bytes for 8
    write_safetensors(path, entry(dtype, 8, size=size), size=size)
    message = refusal(path)
    assert message.startswith("[a]: expected one of BOOL, ")
    assert message.endswith(f", found {dtype}")


def test_safetensors_of_too_many_dims_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_safetensors(path, entry("F32", 8, *(1,) * 64))
    assert "maximum supported dimension" in refusal(path)


def test_two_arrays_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    data = save_npy(tmp_path / "a.npy", ARRAY).read_bytes()
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
        warnings.simplefilter("ignore")
        for name in ("a.npy", "a.npy", "b.npy"):
            archive.writestr(name, data)
    assert refusal(path, "a") == ": expected one array named 'a', found several"
    with open_array(str(path), "b") as source:
        assert np.array_equal(everything(source), ARRAY)
    path = tmp_path / "a.safetensors"
    write_safetensors(path, entry("F32", 4, size=16), entry("F32", 8))
    assert "a key occurs twice" in refusal(path)


def test_a_full_disk_is_not_taken_for_a_damaged_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = save_npz(tmp_path / "a.npz", ARRAY)
    monkeypatch.setattr("shutil.copyfileobj", full)
    message = refusal(path)
    assert message.startswith(f": expected room for an array of it in {tempfile.gettempdir()}: ")
    assert "No space left" in message


# --- damaged files --------------------------------------------------------------------------------


def saved(name: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return SAVERS[name](Path(folder, name), ARRAY).read_bytes()


@pytest.mark.parametrize("name", SAVERS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_truncated_files_are_refused(tmp_path: Path, name: str, data: st.DataObject) -> None:
    whole = saved(name)
    assert read_or_refuse(tmp_path / name, whole) is not None
    length = data.draw(st.integers(0, len(whole) - 1))
    assert read_or_refuse(tmp_path / name, whole[:length]) is None


@pytest.mark.parametrize("name", SAVERS)
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_are_read_or_refused(tmp_path: Path, name: str, data: st.DataObject) -> None:
    changed = bytearray(saved(name))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(changed) - 1))
        changed[place] = data.draw(st.integers(0, 255))
    read_or_refuse(tmp_path / name, bytes(changed))


@pytest.mark.parametrize("suffix", MAGIC)
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_random_bytes_are_refused(tmp_path: Path, suffix: str, data: st.DataObject) -> None:
    start = data.draw(st.sampled_from([b"", MAGIC[suffix]]))
    assert read_or_refuse(tmp_path / f"a{suffix}", start + data.draw(st.binary())) is None


@pytest.mark.parametrize("name", WRITERS)
def test_many_damaged_files_are_read_or_refused(tmp_path: Path, name: str) -> None:
    """RECORDS.md has a long run of this."""
    rng, undamaged, path = random.Random(seed_of_test()), whole(name), tmp_path / name
    assert np.array_equal(read_or_refuse(path, undamaged), ARRAY)
    found = [read_or_refuse(path, damaged(rng, undamaged, path.suffix)) for _ in range(300)]
    assert {type(array) for array in found} == {type(None), np.ndarray}


@pytest.mark.parametrize("error", [KeyError("x"), RuntimeWarning("a second line")])
def test_another_error_of_a_reader_would_be_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(readers.FileArray, "_fill", broken)
    with pytest.raises(type(error)):
        read_or_refuse(tmp_path / "a.npy", saved("a.npy"))


def test_a_huge_header_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(b"\x93NUMPY\x02\x00" + (2**31).to_bytes(4, "little"))
    os.truncate(path, 2**31 + 12)  # a hole: it takes no space
    tracemalloc.start()
    try:
        assert "2147483648 bytes long, and 10000 is the most" in refusal(path)
        assert tracemalloc.get_traced_memory()[1] < 10**6
    finally:
        tracemalloc.stop()
    path = tmp_path / "a.safetensors"
    path.write_bytes((2**40).to_bytes(8, "little") + b"{}")
    assert refusal(path).startswith(": expected a .safetensors file: ")


# --- files that change ----------------------------------------------------------------------------


def grow(path: Path) -> None:
    with path.open("ab") as stream:
        stream.write(b"more")


def shrink(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def rewrite(path: Path) -> None:
    path.write_bytes(path.read_bytes())
    os.utime(path, ns=(1, 1))


def replace(path: Path) -> None:
    path.with_suffix(".new").write_bytes(path.read_bytes())
    path.with_suffix(".new").replace(path)


CHANGES: dict[Callable[[Path], None], str] = {
    grow: "has grown",
    shrink: "has been cut short",
    rewrite: "was changed",
    replace: "was changed",
    Path.unlink: "has vanished",
}


@pytest.mark.parametrize("name", ["a.npy", "a.safetensors"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changes_is_refused(
    tmp_path: Path, name: str, change: Callable[[Path], None]
) -> None:
    path = SAVERS[name](tmp_path / name, ARRAY)
    with open_array(str(path)) as source:
        everything(source)
        change(path)
        with pytest.raises(UnreadableError) as caught:
            everything(source)
    expected = f"{source.name}: expected a file that stays as it is while it is read; it "
    assert str(caught.value) == expected + CHANGES[change]


@pytest.mark.parametrize("change", [grow, shrink, rewrite])
def test_a_change_during_a_read_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    path = SAVERS["a.npy"](tmp_path / "a.npy", ARRAY)
    original = readers.FileArray._fill

    def changing(self: readers.FileArray, *arguments: object) -> None:
        change(path)
        original(self, *arguments)  # type: ignore[arg-type]

    with open_array(str(path)) as source:
        monkeypatch.setattr(readers.FileArray, "_fill", changing)
        with pytest.raises(UnreadableError, match="stays as it is while it is read"):
            everything(source)


def test_an_npz_is_read_to_the_end_whatever_becomes_of_it(tmp_path: Path) -> None:
    path = SAVERS["a.npz"](tmp_path / "a.npz", ARRAY)
    with open_array(str(path)) as source:
        path.unlink()
        assert np.array_equal(everything(source), ARRAY)


def test_an_npz_within_an_npz_member_is_no_array(tmp_path: Path) -> None:
    inner = io.BytesIO()
    np.savez(inner, only=ARRAY)
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("only.npy", inner.getvalue())
    assert "expected a .npy header" in refusal(path)
