"""The two functions themselves, compared on data."""

from __future__ import annotations

import functools
import json
import math
from typing import Any

import numpy as np
import pytest

from portnorm.compare import Comparison, compare, run
from portnorm.compare import measure as measuring
from portnorm.compare.samples import DOCUMENTED, samples
from portnorm.readers import ArraySource
from tests.conftest import needs_mindspore, needs_torch

pytestmark = [needs_torch, needs_mindspore]

ORDINARY, TINY = (np.array(vector, np.float32) for vector in DOCUMENTED)


def strict_json(text: str) -> Any:
    def refuse(literal: str) -> None:
        raise ValueError(f"{literal} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture
def few_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep MindSpore's gradient, which takes n * n steps a vector, from taking seconds."""
    monkeypatch.setattr(measuring, "GRADIENT_STEPS", 3 * 10**5)


# --- the documented examples ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vector", "p", "normalize", "l2_normalize"),
    [
        (ORDINARY, 2.0, "[0.2673 0.5345 0.8018]", "[0.2673 0.5345 0.8018]"),
        (TINY, 2.0, "[0.2673 0.5345 0.8018]", "[1e-08 2e-08 3e-08]"),
        (ORDINARY, 3.0, "[0.3029 0.6057 0.9086]", "[0.2673 0.5345 0.8018]"),
        (TINY, 3.0, "[0.3029 0.6057 0.9086]", "[1e-08 2e-08 3e-08]"),
    ],
)
def test_documented_examples_show_the_documented_numbers(
    vector: np.ndarray, p: float, normalize: str, l2_normalize: str
) -> None:
    summary = compare(vector, p=p).summary()
    assert f"\n  normalize   {normalize}\n" in summary
    assert f"\n  L2Normalize {l2_normalize}\n" in summary


def test_the_ordinary_example_agrees_and_the_tiny_one_does_not() -> None:
    agreeing = compare(ORDINARY)
    assert agreeing.agrees
    assert agreeing.verdict == "On this data the two functions agree to 0 ULP."
    assert agreeing.measurement.counts["above_both"] == 1
    differing = compare(TINY)
    assert not differing.agrees
    assert differing.measurement.counts["between"] == 1
    assert differing.verdict == (
        "1 of 1 vectors change; worst vector 0 (norm 3.742e-10); use "
        "portnorm.mindspore.normalize(x, dim=0) on MindSpore or "
        "portnorm.torch.L2Normalize(axis=0)(x) on torch."
    )


def test_samples_are_the_examples_and_embeddings() -> None:
    first, second, embeddings = samples()
    assert (first.name, second.name) == ("[1, 2, 3]", "[1e-10, 2e-10, 3e-10]")
    assert (embeddings.shape, embeddings.dtype) == ((200, 384), "float32")


# --- verdicts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("dim", [0, 1, 2])
def test_vectors_above_both_floors_agree(dtype: str, dim: int, rng: np.random.Generator) -> None:
    x = rng.standard_normal((7, 9, 8)).astype(dtype)
    found = compare(x, dim=dim)
    assert found.agrees, found.summary()
    assert found.measurement.gradients_measured == found.vectors
    assert found.measurement.gradient_relative > 0


def test_vectors_below_a_floor_change_and_the_worst_is_named(rng: np.random.Generator) -> None:
    x = rng.uniform(1, 2, (3, 4, 5)).astype(np.float32)
    x[2, :, 3] *= 1e-9
    x[0, :, 1] *= 1e-4
    found = compare(x)
    assert found.measurement.values_changed == found.measurement.changed == 2
    assert found.measurement.worst is not None
    assert found.index(found.measurement.worst.vector) == (2, 3)
    assert found.verdict.startswith("2 of 15 vectors change; worst vector (2, 3) (norm ")
    assert found.measurement.ulp > 10**6
    assert 0.99 < found.measurement.relative <= 1


def test_zero_vectors_have_equal_values_and_unequal_gradients() -> None:
    x = np.eye(3, dtype=np.float32) - np.diag([0, 0, 1]).astype(np.float32)
    found = compare(x).measurement
    assert found.counts["zero"] == 1
    assert (found.ulp, found.values_changed, found.gradients_changed) == (0, 0, 1)
    assert found.worst is not None
    assert (found.worst.vector, found.worst.norm, found.worst.head.gradient) == (2, 0, True)


def test_other_p_changes_ordinary_vectors() -> None:
    assert not compare(ORDINARY, p=3).agrees


def test_the_calls_to_use_have_the_arguments_given() -> None:
    found = compare(TINY[None], p=math.inf, eps=1e-6, epsilon=1e-3, dim=-1)
    assert found.calls == {
        "mindspore": "portnorm.mindspore.normalize(x, p=float('inf'), dim=1, eps=1e-06)",
        "torch": "portnorm.torch.L2Normalize(axis=1, epsilon=0.001)(x)",
    }


def test_the_calls_to_use_do_what_is_promised() -> None:
    import mindspore
    import torch

    import portnorm.mindspore
    import portnorm.torch

    found = compare(TINY)
    head = found.measurement.first
    assert head is not None
    names = {"portnorm": portnorm, "x": mindspore.Tensor(TINY)}
    assert eval(found.calls["mindspore"], names).asnumpy().tolist() == pytest.approx(head.normalize)
    names["x"] = torch.from_numpy(TINY)
    assert eval(found.calls["torch"], names).tolist() == pytest.approx(head.l2_normalize)


@pytest.mark.usefixtures("few_gradients")
def test_changes_found_on_part_of_the_gradients_are_a_lower_bound() -> None:
    x = np.zeros((50, 100), np.float32)
    found = compare(x)
    assert found.measurement.gradients_measured == 30
    assert found.verdict.startswith("at least 30 of 50 vectors change; ")
    assert "gradient on 30 of 50 vectors" in found.summary(200)


# --- who computes what ----------------------------------------------------------------------------


def test_both_functions_are_the_frameworks_own() -> None:
    import mindspore
    import torch

    found = compare(ORDINARY)
    assert found.computed_by == {
        "normalize": f"torch {torch.__version__}",
        "l2_normalize": f"MindSpore {mindspore.__version__}",
        "l2_normalize_gradient": f"MindSpore {mindspore.__version__}",
    }
    assert found.own_gradient


def test_the_own_gradient_of_mindspore_is_measured() -> None:
    """For vectors of one element it is about -1/sqrt(2) of g / d, where the derivative is 0."""
    found = compare(np.full((4, 1), 3, np.float32)).measurement
    assert (found.values_changed, found.gradients_changed) == (0, 4)
    assert found.gradient_relative == pytest.approx(math.sqrt(0.5), rel=1e-6)


def test_an_epsilon_that_mindspore_confuses_is_left_to_portnorm() -> None:
    found = compare(TINY, epsilon=1e-24)
    assert found.agrees
    assert found.computed_by["l2_normalize"].startswith("portnorm on MindSpore ")
    assert "the derivative of its formula" in " ".join(found.summary().split())


def test_the_gradient_of_long_vectors_is_that_of_the_formula(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (measuring, run):
        monkeypatch.setattr(module, "GRADIENT_STEPS", 99)
    short, long = (compare(np.ones((2, n), np.float32)) for n in (9, 10))
    assert short.own_gradient
    assert not long.own_gradient
    assert long.computed_by["l2_normalize"].startswith("MindSpore ")
    assert long.computed_by["l2_normalize_gradient"].startswith("portnorm on MindSpore ")


# --- a given cotangent ----------------------------------------------------------------------------


def test_a_given_cotangent_decides_what_gradients_show() -> None:
    """Along x the gradient of normalize is 0, and below the floor that of L2Normalize is not."""
    x = np.float32([[3e-5, 4e-5]])
    along, across = (compare(x, cotangent=g) for g in ([[3, 4]], np.float64([[4, -3]])))
    assert along.settings.seed is across.settings.seed is None
    assert "given cotangent" in " ".join(along.summary().split())
    assert along.to_dict()["settings"]["seed"] is None
    for found in (along, across):
        assert found.measurement.gradients_changed == 1
    assert along.measurement.gradient_relative != across.measurement.gradient_relative


def test_a_cotangent_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"cotangent of shape \(3,\), found one of \(1, 3\)"):
        compare(ORDINARY, cotangent=ORDINARY[None])
    with pytest.raises(TypeError, match="cotangent of numbers, found str"):
        compare(ORDINARY, cotangent=np.array(["a", "b", "c"]))


# --- the worst vectors ----------------------------------------------------------------------------


def test_the_worst_vectors_come_first(rng: np.random.Generator) -> None:
    x = rng.uniform(1, 2, (300, 5)).astype(np.float32)
    x[7] *= 1e-5
    x[9] *= 1e-9
    x[20] = 0
    found = compare(x)
    assert [row.vector for row in found.worst(3)] == [9, 7, 20]
    assert [row.kind for row in found.worst(3)] == ["between", "between", "zero"]
    assert found.worst(1)[0].ulp == found.measurement.ulp
    assert len(found.worst()) == 10
    assert len(found.worst(10**6)) <= 100
    assert found.worst(0) == found.worst(-1) == ()
    assert found.to_dict()["rows"][0]["index"] == [9]


# --- blocks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "dim", "epsilon"),
    [
        ("float16", 0, 1e-4),
        ("float32", 1, 1e-4),
        ("float64", 2, 1e-4),
        ("float16", 2, 1e-7),  # from here on by portnorm
        ("float32", 0, 1e-24),
        ("float64", 1, 1e-24),
    ],
)
def test_small_blocks_and_one_block_give_identical_results(
    dtype: str, dim: int, epsilon: float, rng: np.random.Generator
) -> None:
    x = rng.standard_normal((3, 7, 5)) * 10.0 ** rng.integers(-4, 2, (3, 7, 5))
    x[np.abs(x) < 1e-3] = 0  # the results for subnormals depend on the thread in MindSpore
    x[:, :3, :3] = 0
    run = functools.partial(compare, x, dim=dim, epsilon=epsilon, dtype=dtype)
    whole = run().to_json()  # in which NaN equals NaN
    for block_bytes in (1, 1000):
        assert run(block_bytes=block_bytes).to_json() == whole


def test_a_fortran_array_gives_the_results_of_its_copy(rng: np.random.Generator) -> None:
    x = rng.standard_normal((6, 5, 4))
    assert compare(np.asfortranarray(x), block_bytes=200) == compare(x)


# --- arguments ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("array", "arguments", "error", "message"),
    [
        (ORDINARY, {"dim": 1}, IndexError, "Dimension out of range"),
        (ORDINARY, {"dim": "0"}, TypeError, "str"),
        (ORDINARY, {"epsilon": 0.0}, RuntimeError, "can not be zero"),
        (ORDINARY, {"epsilon": 1}, RuntimeError, "Cast failed"),
        (ORDINARY, {"eps": "small"}, TypeError, "clamp_min"),
        (ORDINARY, {"eps": 1e5, "dtype": "float16"}, RuntimeError, "without overflow"),
        (ORDINARY, {"dtype": "bfloat16"}, ValueError, "dtype must be"),
        (np.float32(1), {}, ValueError, "one dim or more"),
        (np.arange(3), {}, TypeError, "found int64; convert with --dtype float32"),
        (np.ones(3, complex), {"dtype": "float32"}, TypeError, "found complex128"),
        (np.array(["a"]), {"dtype": "float32"}, TypeError, "found str"),
        (np.array([None]), {"dtype": "float32"}, TypeError, "found object"),
    ],
)
def test_bad_arguments_raise(
    array: Any, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        compare(array, **arguments)


@pytest.mark.parametrize("stored", ["int8", "uint64", "bool", "float16", "float64", ">f4"])
def test_data_is_converted_first(stored: str) -> None:
    found = compare(np.array([[0, 1, 1]]).astype(stored), dtype="float32")
    assert found.settings.dtype == "float32"
    assert found.measurement.first is not None
    assert found.measurement.first.normalize == pytest.approx([0, 0.5**0.5, 0.5**0.5], rel=1e-6)


def test_what_overflows_in_the_conversion_is_not_finite() -> None:
    found = compare([[1e5, 0.0], [1.0, 0.0]], dtype="float16")
    assert found.measurement.counts["not_finite"] == 1


# --- text and JSON --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def awkward() -> Comparison:
    """A comparison in which hardly a number is finite."""
    x = np.array([[math.nan, 1, 0], [math.inf, 1, 0], [1e-20, 0, 0], [1, 2, 3]], np.float32)
    return compare(ArraySource(x, "odd\x1b[31m\nname"), p=math.inf)


def test_json_is_strict_and_complete(awkward: Comparison) -> None:
    found = strict_json(awkward.to_json())
    assert found == awkward.to_dict()
    assert found["settings"] == {
        "dim": 1,
        "p": "inf",
        "eps": 1e-12,
        "epsilon": 1e-4,
        "dtype": "float32",
        "seed": 0,
    }
    assert set(found["versions"]) == {"portnorm", "numpy", "torch", "mindspore"}
    assert set(found["computed_by"]) == {"normalize", "l2_normalize", "l2_normalize_gradient"}
    assert found["values"]["ulp"] == found["worst"]["difference"] == "inf"
    assert found["worst"]["index"] == [0]
    assert found["worst"]["norm"] == found["worst"]["normalize"][0] == "nan"
    assert found["counts"]["not_finite"] == 2
    assert found["changed"] == 3
    assert found["verdict"] == awkward.verdict


def test_the_strict_reader_of_these_tests_refuses_literals() -> None:
    with pytest.raises(ValueError, match="NaN is not JSON"):
        strict_json("[NaN]")


def test_json_of_an_array_without_vectors_is_strict() -> None:
    found = strict_json(compare(np.ones((0, 3))).to_json())
    assert (found["first"], found["worst"], found["vectors"], found["agrees"]) == (
        None,
        None,
        0,
        True,
    )


def test_numbers_of_ulp_are_exact_integers() -> None:
    found = strict_json(compare(TINY.astype(np.float64)).to_json())
    assert isinstance(found["values"]["ulp"], int)
    assert found["values"]["ulp"] > 2**53


@pytest.mark.parametrize("width", [80, 60, 120])
def test_lines_keep_to_the_width(awkward: Comparison, width: int) -> None:
    for comparison in (awkward, compare(TINY), compare(np.ones((2, 3, 4)), epsilon=1e-24)):
        lines = comparison.summary(width).splitlines()
        assert max(len(line) for line in lines if not line.startswith("on ")) <= width
        assert not any(line.endswith(" ") for line in lines)


def test_names_cannot_steer_the_terminal(awkward: Comparison) -> None:
    assert awkward.summary().splitlines()[0] == r"odd\x1b[31m\nname"


def test_heads_have_the_digits_that_show_a_change() -> None:
    x = np.array([[1.0, 1.0]], np.float32)
    found = compare(x, eps=float(np.sqrt(2)) * (1 + 3e-6))
    assert found.measurement.values_changed == 1
    _, normalize, l2_normalize = found.summary().splitlines()[9:12]
    assert normalize.split()[1:] != l2_normalize.split()[1:]
