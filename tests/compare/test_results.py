"""Two results against each other: kinds of differences, what is said of them, and bad input."""

from __future__ import annotations

import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from portnorm import cli
from portnorm.compare import compare_results
from portnorm.compare.difference import KINDS

RNG_SEED = 20261127


def vectors(rows: int = 40, n: int = 8, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(RNG_SEED).standard_normal((rows, n)).astype(dtype)


# --- kinds ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_each_kind_is_told(dtype: str) -> None:
    a = vectors(dtype=dtype)
    b = a.copy()
    b[1, 2] = np.nextafter(b[1, 2], np.inf, dtype=b.dtype)
    b[2] *= 3
    b[3] = -b[3]
    b[4, 5] += 1
    b[5, 0] = np.nan
    b[6] = 0
    a[7, 1], b[7, 1] = 0.0, -0.0
    a[8, 3] = b[8, 3] = np.nan
    found = compare_results(a, b)
    kinds = {row.vector[0]: row.kind for row in found.rows}
    assert kinds == {
        1: "rounding",
        2: "length",
        3: "direction",
        4: "direction",
        5: "not_finite",
        6: "direction",
        7: "rounding",
    }
    assert found.counts == dict(zip(KINDS, (33, 2, 1, 3, 1), strict=True))
    assert found.differing == 5
    assert not found.agrees
    assert found.factors == pytest.approx((3, 3), rel=1e-2)
    assert found.ulp == np.inf
    assert "1 differs in length alone, by factors of " in found.verdict
    assert "3 differ in direction" in found.verdict
    assert "1 differs by a NaN or an infinity" in found.verdict
    assert "In 1 vector both hold a NaN or an infinity." in found.verdict


def test_a_difference_of_rounding_agrees() -> None:
    a = vectors()
    b = a * np.float32(1 + 2**-22)
    found = compare_results(a, b)
    assert found.agrees
    assert found.counts["rounding"] + found.counts["same"] == 40
    assert "by rounding only" in found.verdict


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_smallest_numbers_differ_by_rounding(dtype: str) -> None:
    tiny = np.finfo(dtype).smallest_subnormal
    a = np.array([[5, 3, 0], [5, 3, 0], [0, 0, 0]], dtype) * tiny
    b = np.array([[4, 3, 1], [500, -900, 0], [1, 0, 0]], dtype) * tiny
    assert compare_results(a, b).counts == dict(zip(KINDS, (0, 2, 0, 1, 0), strict=True))


def test_both_epsilons_differ_in_length_alone() -> None:
    x = vectors()
    x[:5] *= np.float32(1e-3)
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    a, b = x / np.maximum(norms, 1e-12), x / np.maximum(norms, 1e-2)
    found = compare_results(a, b)
    assert found.counts["length"] == 5
    assert found.counts["direction"] == 0
    assert found.of_unit_norm == (40, 35)
    assert found.cosine == pytest.approx(1)


def test_vectors_along_another_dim_are_recognized() -> None:
    x = vectors()
    along_rows = x / np.linalg.norm(x, axis=1, keepdims=True)
    along_columns = x / np.linalg.norm(x, axis=0, keepdims=True)
    assert compare_results(x, along_rows).counts["length"] == 40
    found = compare_results(x, along_columns)
    assert found.counts["direction"] == 40
    assert found.other_dims == (0,)
    assert "Along dim 0 all vectors keep their direction." in found.verdict
    assert compare_results(along_rows, along_columns).other_dims == ()


def test_bfloat16_is_judged_by_its_own_rounding(tmp_path: Path) -> None:
    a = vectors().astype(ml_dtypes.bfloat16)
    b = a.copy()
    b.view(np.uint16)[0, 0] += 1
    found = compare_results(a, b)
    assert (found.dtype, found.ulp, found.counts["rounding"]) == ("bfloat16", 1, 1)
    wide = compare_results(a, b, dtype="float32")
    assert (wide.dtype, wide.ulp, wide.differing) == ("float32", 2**16, 1)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_blocks_do_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 6, rng.integers(1, 4)))
    bits = rng.integers(0, 2**32, shape, np.uint32)
    a = bits.view(np.float32)
    b = np.where(rng.random(shape) < 0.3, rng.permutation(a.ravel()).reshape(shape), a)
    with np.errstate(over="ignore", invalid="ignore"):
        b = b * rng.choice(np.float32([1, 1, 2]))
    dim = int(rng.integers(len(shape)))
    whole = compare_results(a, b, dim=dim)
    parts = compare_results(a, b, dim=dim, block_bytes=1)
    assert (whole.counts, whole.ulp, whole.relative) == (parts.counts, parts.ulp, parts.relative)
    assert whole.of_unit_norm == parts.of_unit_norm
    for one, same in zip(whole.rows, parts.rows, strict=True):
        assert one._replace(norms=(), cosine=0) == same._replace(norms=(), cosine=0)
        np.testing.assert_allclose([*one.norms, one.cosine], [*same.norms, same.cosine], atol=1e-12)
    assert whole.vectors == a.size // shape[dim]
    assert compare_results(a, a, dim=dim).counts["same"] == whole.vectors
    same = (a.view(np.uint32) == b.view(np.uint32)) | (np.isnan(a) & np.isnan(b))
    assert whole.counts["same"] == int(same.all(axis=dim).sum())


# --- the command ----------------------------------------------------------------------------------


def run(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, str, str]:
    code = cli.main(["compare", *map(str, argv)])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def saved(tmp_path: Path) -> dict[str, Path]:
    a = vectors()
    nan = np.full((4, 3), np.nan)
    files = {
        "nan": nan,
        "inf": -nan * np.inf,
        "a": a,
        "twice": 2 * a,
        "short": a[:3],
        "half": a.astype("float16"),
        "empty": a[:0],
    }
    for name, array in files.items():
        np.save(tmp_path / f"{name}.npy", array)
    save_file({"x": a, "y": a, "steps": np.arange(3)}, tmp_path / "one.safetensors")
    save_file({"x": a, "y": 2 * a, "z": a}, tmp_path / "other.safetensors")
    (tmp_path / "cut.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-9])
    return {path.stem: path for path in tmp_path.iterdir()}


def test_the_command_says_it_first(
    saved: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, saved["a"], "--against", saved["twice"])
    assert (code, err) == (1, "")
    assert out.splitlines()[0] == f"{saved['a']} against {saved['twice']}"
    assert "40 of 40 vectors differ by more than rounding." in " ".join(out.split())
    code, out, _ = run(capsys, saved["a"], "--against", saved["a"])
    assert code == 0
    assert "All 40 vectors are the same, bit for bit." in out


def test_arrays_of_one_name_are_compared(
    saved: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, saved["one"], "--against", saved["other"], "--json")
    assert code == 1
    found = {one["names"][0]: one["agrees"] for one in json.loads(out)["differences"]}
    assert found == {f"{saved['one']}[x]": True, f"{saved['one']}[y]": False}
    assert f"left out of {saved['one']}: 1 array, the first as {saved['one']}[steps]" in err
    assert f"left out of {saved['other']}: 1 array that the other has not" in err
    one_key = "--key", "y", "--against", saved["other"], "--against-key", "z"
    assert run(capsys, saved["one"], *one_key)[0] == 0
    assert run(capsys, saved["one"], "--key", "x", "--against", saved["a"])[0] == 0
    assert run(capsys, saved["one"], "--key", "[xy]", "--against", saved["other"])[0] == 1


BAD = {
    "a --against short": "expected two arrays of one shape, found (40, 8) and (3, 8)",
    "a --against half": "found float32 and float16; convert with --dtype float32",
    "a --against empty": "expected vectors, found arrays of shape (0, 8)",
    "a --against cut": "the file is cut short",
    "nan --against inf": "expected a vector of finite numbers, found a NaN or an infinity in each",
    "a --against none": "expected a file that can be read",
    "a --against a --dim 2": "Dimension out of range",
    "a --against a --p 1": "--p is of the two functions",
    "a --against a --html x.html": "--html is of the two functions",
    "a twice --against a": "--against compares one FILE with another, found 2",
    "--against a": "found 0",
    "a --against-key x": "--against-key needs --against",
    "one --key q --against other": "expected an array named 'q'; it has 'steps', 'x', 'y'",
    "one --key steps --against other": "found int64",
    "one --against other --key z": "expected an array named 'z'",
    "a --against other": "expected arrays of the same name",
}


@pytest.mark.parametrize("line", BAD)
def test_bad_input_is_refused_in_one_line(
    saved: dict[str, Path], capsys: pytest.CaptureFixture[str], line: str
) -> None:
    before = {path: path.read_bytes() for path in saved["a"].parent.iterdir()}
    known = {**saved, "none": Path("none.npy")}
    argv = []
    for place, word in enumerate(line.split()):
        is_value = place and line.split()[place - 1] in ("--key", "--against-key")
        argv.append(word if is_value else known.get(word, word))
    code, out, err = run(capsys, *argv)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert BAD[line] in err
    assert {path: path.read_bytes() for path in saved["a"].parent.iterdir()} == before


def test_one_by_one_is_said(saved: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    note = f"{saved['a']} and {saved['twice']} are looked at one by one"
    _, out, _ = run(capsys, saved["a"], saved["twice"])
    assert out.startswith(note)
    assert "--against" in out.splitlines()[0]
    _, out, _ = run(capsys, saved["a"], saved["twice"], "--json")
    assert json.loads(out)["note"].startswith(note)
    _, out, _ = run(capsys, saved["a"], saved["short"], "--json")
    assert "note" not in json.loads(out)


def test_input_of_unit_norm_is_called_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = vectors()
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    x[0] = 0
    np.save(tmp_path / "y.npy", x)
    _, out, _ = run(capsys, tmp_path / "y.npy")
    assert "39 of 40 vectors are of unit norm already" in " ".join(out.split())
    np.save(tmp_path / "x.npy", 2 * x)
    assert "unit norm" not in run(capsys, tmp_path / "x.npy")[1]
