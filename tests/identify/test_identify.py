"""`identify`: the right normalization first, or among those that the data cannot tell apart."""

from __future__ import annotations

import itertools
import json
import math
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from portnorm import TorchReference, cli
from portnorm.conventions import FORMS, Form
from portnorm.exact import torch_cpu, torch_cuda
from portnorm.identify import Identification, identify
from portnorm.identify import data as identified
from portnorm.identify.candidates import TRIED, Candidate
from portnorm.identify.layouts import Layout, vectors
from portnorm.readers import open_array
from portnorm.vectors import normalized
from tests.conftest import needs_mindspore, needs_torch

SHAPES = ((40, 16), (6, 5, 7))
EPSILONS = (1e-12, 1e-6, 1e-4, 1e-2, 0.003)


def data(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    axes: tuple[int, ...],
    floor: float,
    dtype: Any,
) -> np.ndarray:
    """Return vectors of many lengths, the first and a fifth of the others about a floor."""
    kept = [1 if axis in axes else size for axis, size in enumerate(shape)]
    scale = 10.0 ** rng.uniform(-2, 1.5, kept)
    scale = np.where(rng.random(kept) < 0.2, scale * floor, scale)
    scale.flat[0] = floor
    return np.asarray((rng.standard_normal(shape) * scale).astype(dtype))


def is_named(found: Identification, form: str, axes: tuple[int, ...], e: float) -> bool:
    """Return whether a form with its axes and its epsilon is among the explanations."""
    for one in (explanation.candidate for explanation in found.explanations):
        if (one.form.name, one.layout.axes) == (form, axes):
            undecided = one.limit > one.e or one.is_fitted
            if (
                form == "norm"
                or abs(one.e - e) <= 0.05 * e
                or (undecided and e <= 1.05 * one.limit)
            ):
                return True
    return False


GRID = [
    (form, shape, axes, e, dtype)
    for form, shape, e, dtype in itertools.product(
        TRIED, SHAPES, EPSILONS, (np.float32, np.float64)
    )
    for axes in [*((axis,) for axis in range(len(shape))), *([(0, 1)] if len(shape) > 2 else [])]
]


@pytest.mark.parametrize("number", range(8))
def test_every_form_axis_and_epsilon_is_named(number: int, rng: np.random.Generator) -> None:
    for form, shape, axes, e, dtype in GRID[number::8]:
        floor = form.smallest(e) or 1.0
        x = data(rng, shape, axes, floor, dtype)
        y = normalized(x, form, axes, e)
        found = identify(x, y)
        assert is_named(found, form.name, axes, e), (form.name, shape, axes, e, dtype, str(found))
        assert found.fits


@pytest.mark.parametrize("p", [1.0, 3.0, 0.5, math.inf, -math.inf, 4.0, -1.0])
def test_the_order_of_the_norm_is_named(p: float, rng: np.random.Generator) -> None:
    x = rng.standard_normal((30, 9)).astype(np.float32)
    y = x / np.linalg.norm(x, ord=p, axis=1, keepdims=True)
    found = identify(x, y)
    assert found.best.candidate.p == p
    assert f"p={'-' if p < 0 else ''}float('inf')" in str(found) or f"p={p:g}" in str(found)


def test_one_vector_below_another_floor_is_found(rng: np.random.Generator) -> None:
    x = rng.standard_normal((200, 16)).astype(np.float32)
    x[17] *= 1e-4
    right, wrong = (
        normalized(x, FORMS[form], 1, e) for form, e in (("max_norm", 1e-12), ("max_sum", 1e-4))
    )
    assert str(identify(x, right).best) == "F.normalize(x, dim=1)"
    found = identify(x, wrong)
    assert str(found.best) == "L2Normalize(axis=1)(x)"
    mixed = np.where(np.arange(200)[:, None] == 17, wrong[:, ::-1], right)
    found = identify(x, mixed)
    assert not found.explanations
    assert "1 of 200 vectors differ by more than rounding, vector [17, :] the most" in str(found)


def test_what_cannot_be_told_apart_is_listed_with_what_would_tell(
    rng: np.random.Generator,
) -> None:
    x = rng.standard_normal((50, 8)).astype(np.float32)
    found = identify(x, normalized(x, FORMS["norm"], 1))
    assert str(found.best) == "F.normalize(x, dim=1)"
    listed = {str(one) for one in found.same}
    assert {"L2Normalize(axis=1)(x)", "x / norm along 1"} <= listed
    assert "they differ where the norm is below 0.01" in str(found)
    assert "a vector of zeros gives 0 here and NaN there" in str(found)


def test_exchanged_axes_are_named(rng: np.random.Generator) -> None:
    x = rng.standard_normal((12, 7)).astype(np.float32)
    found = identify(x, normalized(x, FORMS["norm"], 1).T.copy())
    assert "F.normalize(x.T, dim=0)" in map(str, found.explanations)
    square = rng.standard_normal((9, 9)).astype(np.float32)
    found = identify(square, normalized(square, FORMS["norm"], 1).T.copy())
    assert "F.normalize(x.T, dim=0)" in map(str, found.explanations)


def test_what_is_no_normalization_is_called_so(rng: np.random.Generator) -> None:
    x = rng.standard_normal((20, 6)).astype(np.float32)
    scaled = identify(x, x * np.float32(0.37))
    assert "The output is the input times 0.37: no norm is in it." in str(scaled)
    assert "The output is the input." in identify(x, x).notes
    other = identify(x, np.tanh(x))
    assert not other.fits
    assert str(other).startswith("No normalization that is known explains the output.")


def test_an_input_of_unit_norm_is_called_so(rng: np.random.Generator) -> None:
    x = normalized(rng.standard_normal((20, 6)).astype(np.float32), FORMS["norm"], 1)
    assert any("of unit norm already" in note for note in identify(x, x).notes)


@needs_torch
def test_the_build_of_torch_is_named_by_its_bits(rng: np.random.Generator) -> None:
    import torch

    x = rng.standard_normal((64, 37)).astype(np.float32)
    y = torch.nn.functional.normalize(torch.tensor(x), p=3.0, dim=0).numpy()
    found = identify(x, y)
    assert str(found.best) == "F.normalize(x, p=3, dim=0)"
    assert any(build.startswith("torch 2.13.0 on a CPU") for build in found.builds)
    y[0, 0] = np.nextafter(y[0, 0], np.float32(2))
    assert identify(x, y).builds == ()


@pytest.mark.parametrize(
    ("version", "capability"), [("2.3.1", "avx512"), ("2.9.1", "neon"), ("2.0.1", "default")]
)
def test_an_old_build_of_torch_is_named_by_its_bits(
    version: str, capability: str, rng: np.random.Generator
) -> None:
    x = rng.standard_normal((2000, 61)).astype(np.float32)
    reference = TorchReference(version, capability)
    found = identify(x, torch_cpu.normalize(x, reference=reference))
    assert any(_names(build, version, capability) for build in found.builds)
    others = torch_cpu.normalize(x, reference=TorchReference("2.14.1"))
    assert not any(_names(build, version, capability) for build in identify(x, others).builds)


def _names(build: str, version: str, capability: str) -> bool:
    """Return whether a group of builds holds one: all capabilities of a span of releases."""
    for span in build.removeprefix("torch ").split(" or "):
        first, _, last = span.partition(" on ")[0].partition(" to ")
        numbers = [tuple(map(int, one.split("."))) for one in (first, version, last or first)]
        if capability in span and numbers == sorted(numbers):
            return True
    return False


def test_blocks_do_not_matter(rng: np.random.Generator) -> None:
    x = rng.standard_normal((30, 7, 6)).astype(np.float32)
    x[3] *= 1e-5
    for axis, eps in ((0, 1e-12), (2, 1e-2)):
        y = normalized(x, FORMS["max_norm"], axis, eps).astype(np.float32)
        for before, after in ((x, y), (np.swapaxes(x, 1, 2), y)):
            whole, parts = identify(before, after), identify(before, after, block_bytes=400)
            assert str(whole.best) == str(parts.best)
            assert whole.best.vectors == parts.best.vectors == x.size // x.shape[axis]
            assert (whole.fits, whole.notes) == (parts.fits, parts.notes)
    g = rng.standard_normal(x.shape)
    exact = Candidate(FORMS["max_sum"], Layout((2,)), e=1e-4)
    gradient = exact.gradients(*(vectors(one, Layout((2,))).astype(float) for one in (x, g)))
    found = identify(x, gradient.reshape(x.shape), cotangent=g, block_bytes=400)
    assert "L2Normalize(axis=2)(x)" in map(str, found.explanations)


def test_files_larger_than_memory_are_read_in_blocks(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = rng.standard_normal((60_000, 64)).astype(np.float32)
    x[12_345] *= 1e-4
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", normalized(x, FORMS["max_sum"], 1, 1e-4))
    del x
    monkeypatch.setattr(identified, "WHOLE", 10**5)
    monkeypatch.setattr(identified, "LONGEST", 10**4)
    told: list[str] = []
    tracemalloc.start()
    try:
        with (
            open_array(str(tmp_path / "x.npy")) as before,
            open_array(str(tmp_path / "y.npy")) as after,
        ):
            found = identify(
                before, after, progress=lambda what, done, of: told.append(what), block_bytes=2**18
            )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert str(found.best) == "L2Normalize(axis=1)(x)"
    assert any("too many elements" in note for note in found.notes)
    assert len(told) > 100
    assert peak < 60_000 * 64 * 8 / 3  # a third of one of the arrays


def test_a_cuda_device_is_named_by_its_bits(rng: np.random.Generator) -> None:
    x = rng.standard_normal((50, 300)).astype(np.float32)
    found = identify(x, torch_cuda.normalize(x))
    assert str(found.best) == "F.normalize(x, dim=1)"
    assert [build[:28] for build in found.builds] == ["torch 2.11.0 on a CUDA devic"]


@needs_torch
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_numbers_of_few_bits_are_identified(dtype: str, rng: np.random.Generator) -> None:
    import torch

    x = torch.tensor(rng.standard_normal((64, 32))).to(getattr(torch, dtype))
    y = torch.nn.functional.normalize(x, dim=1)
    wide = torch.float32 if dtype == "bfloat16" else torch.float16
    found = identify(x.to(wide).numpy(), y.to(wide).numpy())
    assert str(found.best) == "F.normalize(x, dim=1)"
    assert found.best.error <= 2
    assert any(build.startswith("torch 2.13.0 on a CPU") for build in found.builds)


@needs_mindspore
def test_the_build_of_mindspore_is_named_by_its_bits(rng: np.random.Generator) -> None:
    import mindspore

    x = rng.standard_normal((200, 16)).astype(np.float32)
    x[3] *= 1e-4
    y = mindspore.ops.L2Normalize(axis=1)(mindspore.Tensor(x)).asnumpy()
    found = identify(x, y)
    assert str(found.best) == "L2Normalize(axis=1)(x)"
    assert found.builds == ("MindSpore 2.10.0 on a CPU",)
    assert "portnorm.torch.L2Normalize(axis=1, epsilon=0.0001)(x)" in str(found)


@needs_mindspore
def test_the_gradient_of_mindspores_operator_is_named(rng: np.random.Generator) -> None:
    import mindspore
    from mindspore import Tensor, ops

    x = rng.standard_normal((40, 16)).astype(np.float32)
    x[:8] *= 1e-3
    g = rng.standard_normal((40, 16)).astype(np.float32)
    gradient = mindspore.grad(lambda t: (ops.L2Normalize(axis=1)(t) * Tensor(g)).sum())(Tensor(x))
    found = identify(x, gradient.asnumpy(), cotangent=g)
    assert str(found.best) == "L2Normalize(axis=1)(x), as MindSpore's operator computes it"
    assert found.fits


def test_an_output_that_was_normalized_twice_is_called_so(rng: np.random.Generator) -> None:
    x = rng.standard_normal((20, 6, 5)).astype(np.float32)
    y = normalized(normalized(x, FORMS["norm"], 2), FORMS["norm"], 0)
    found = identify(x, y)
    assert not found.fits
    assert "The output is F.normalize(F.normalize(x, dim=2), dim=0)." in found.notes


@pytest.mark.parametrize("factor", [-1.0, 1 / 0.07, 3e-5])
@pytest.mark.parametrize(
    ("name", "e"), [("max_norm", 1e-3), ("max_sum", 1e-4), ("norm_plus", 1e-8)]
)
def test_a_normalization_that_was_multiplied_is_named_with_its_factor(
    name: str, e: float, factor: float, rng: np.random.Generator
) -> None:
    x = rng.standard_normal((60, 8)).astype(np.float32)
    x[0] *= e / 10
    y = (factor * normalized(x.astype(np.float64), FORMS[name], 1, e)).astype(np.float32)
    found = identify(x, y)
    assert found.factor == pytest.approx(factor, rel=1e-4)
    assert is_named(found, name, (1,), e), str(found)
    assert str(found).startswith(f"The output is {found.factor:.6g} * ")
    assert not found.builds or factor == -1


def test_no_factor_is_found_in_what_is_no_normalization(rng: np.random.Generator) -> None:
    x = rng.standard_normal((60, 8)).astype(np.float32)
    centred = x - x.mean(axis=1, keepdims=True)
    for y in (centred / x.std(axis=1, keepdims=True), np.exp(x), rng.permuted(x, axis=1), -x):
        found = identify(x, y)
        assert not found.fits
        assert found.factor == 1


@needs_torch
@pytest.mark.parametrize("stored", [np.float16, np.float32])
def test_float16_is_identified_in_whatever_dtype_it_is_stored(
    stored: Any, rng: np.random.Generator
) -> None:
    import torch

    x = rng.standard_normal((50, 8)).astype(np.float32)
    x[0] *= 1e-7  # In float16 it has few digits,
    x[1] = 0  # and the default epsilon is 0.
    y = torch.nn.functional.normalize(torch.from_numpy(x).half(), dim=1)
    for given in (x, x.astype(np.float16).astype(stored)):
        found = identify(given, y.numpy().astype(stored))
        assert str(found.best) == "F.normalize(x, dim=1)", str(found)
        assert found.builds
        assert found.dtype == ("" if given.dtype == np.float16 else "float16")


def test_zeros_replaced_by_one_are_named_as_a_bound_below_all_norms(
    rng: np.random.Generator,
) -> None:
    x = rng.standard_normal((20, 6))
    x[3] = 0
    found = identify(x, normalized(x, FORMS["replaced"], 1, 0.0))
    assert found.fits
    assert is_named(found, "max_norm", (1,), 1e-12)


@needs_torch
@pytest.mark.parametrize("name", [form.name for form in TRIED])
def test_gradients_are_named(name: str, rng: np.random.Generator) -> None:
    import torch

    e = 0.0 if name == "norm" else 1e-3
    form: Form = FORMS[name]
    x = torch.tensor(data(rng, (40, 16), (1,), form.smallest(e) or 1.0, np.float64))
    x.requires_grad_()
    square = (x * x).sum(1, keepdim=True)
    y = {
        "norm": lambda: x / square.sqrt(),
        "max_norm": lambda: torch.nn.functional.normalize(x, dim=1, eps=e),
        "max_sum": lambda: x / square.clamp(min=e).sqrt(),
        "sum_plus": lambda: x / (square + e).sqrt(),
        "norm_plus": lambda: x / (square.sqrt() + e),
        "rms": lambda: x / (square / 16 + e).sqrt(),
    }[name]()
    g = torch.tensor(rng.standard_normal((40, 16)))
    y.backward(g)
    assert x.grad is not None
    found = identify(x.detach().numpy(), x.grad.numpy(), cotangent=g.numpy())
    assert is_named(found, name, (1,), e), str(found)
    assert str(found).startswith("The gradient is the gradient of ")


@pytest.mark.parametrize(
    ("x", "y", "error", "text"),
    [
        (np.ones((2, 3)), np.ones((3, 4)), ValueError, "expected two arrays of one shape"),
        (np.ones((0, 3)), np.ones((0, 3)), ValueError, "of one element or more"),
        (
            np.ones((2, 3)),
            np.ones((2, 3), int),
            TypeError,
            "y: expected float16, bfloat16, float32 or float64",
        ),
        (np.full((2, 3), np.nan), np.ones((2, 3)), ValueError, "a vector of finite numbers"),
        (np.zeros((2, 3)), np.zeros((2, 3)), ValueError, "not all zero"),
    ],
)
def test_bad_arrays_are_refused(x: Any, y: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        identify(x, y)


def test_the_command_prints_what_was_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rng: np.random.Generator
) -> None:
    x = rng.standard_normal((30, 8)).astype(np.float32)
    before, after, other = (str(tmp_path / f"{name}.npy") for name in ("x", "y", "z"))
    np.save(before, x)
    np.save(after, normalized(x, FORMS["max_norm"], 1, 1e-12))
    np.save(other, np.tanh(x))
    assert cli.main(["identify", before, after]) == 0
    assert "The output is F.normalize(x, dim=1)" in capsys.readouterr().out
    assert cli.main(["identify", before, other, "--json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)["identifications"]
    assert (found["fits"], found["best"]["differing"] > 0) == (False, True)
    np.savez(tmp_path / "both.npz", x=x, y=np.load(after))
    both = str(tmp_path / "both.npz")
    assert cli.main(["identify", both, both, "--key", "x", "--output-key", "y"]) == 0
    assert "The output is F.normalize(x, dim=1)" in capsys.readouterr().out
    np.save(other, x[:3])
    assert cli.main(["identify", before, other]) == 2
    assert cli.main(["identify", before, str(tmp_path / "gone.npy")]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2
    assert "expected two arrays of one shape" in errors[0]
