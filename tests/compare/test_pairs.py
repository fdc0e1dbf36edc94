"""Pairs of implementations."""

from __future__ import annotations

import numpy as np
import pytest

from portnorm.compare import Comparison, compare
from portnorm.compare.pairs import Pair, reasons
from tests.compare.made import comparison
from tests.conftest import needs_mindspore, needs_torch
from tests.imports.blocked import run_python


def pair(found: Comparison, a: str, b: str) -> Pair:
    """Return the one pair of implementations whose names hold these words."""
    (one,) = [one for one in found.pairs if a in one.a and b in one.b]
    return one


# --- made functions -------------------------------------------------------------------------------


def test_each_pair_is_compared_once_and_refusals_are_explained() -> None:
    x = np.float32([[3, 4], [0, 1e-3]])
    found = comparison(x, pairs=True)
    assert len(found.pairs) == 6
    first = found.pairs[0]
    assert (first.a, first.b) == ("F.normalize", "ops.L2Normalize")
    measurement = found.measurement
    assert (first.values.ulp, first.values.changed) == (measurement.ulp, 1)
    assert first.values.relative == measurement.relative
    assert first.gradients.ulp == measurement.gradient_ulp
    assert first.gradients.relative == measurement.gradient_relative
    assert first.gradients.changed == measurement.gradients_changed
    assert first.values.measured == first.gradients.measured == 2
    assert pair(found, "F.normalize", "third").values.why_not == "third: not <here>"
    assert reasons(found.pairs) == ["third: not <here>", "fourth: it is not installed"]


def test_pairs_are_in_text_and_json() -> None:
    found = comparison(np.float32([[3, 4], [0, 1e-3]]), pairs=True)
    text = found.summary(1000)
    assert "\npairs         F.normalize and ops.L2Normalize:\n" in text
    assert text.count("third: not <here>") == 1
    one = found.to_dict()["pairs"][0]
    assert one["a"] == "F.normalize"
    assert one["values"]["changed"] == 1
    assert found.to_dict()["pairs"][1]["values"]["why_not"] == "third: not <here>"


# --- the frameworks -------------------------------------------------------------------------------


@needs_torch
@needs_mindspore
def test_strict_has_the_bits_and_semantic_is_near(rng: np.random.Generator) -> None:
    x = rng.standard_normal((40, 33)).astype(np.float32)
    x[3] *= 1e-9
    found = compare(x, pairs=True)
    assert len(found.pairs) == 19
    for original, adapted in [
        ("F.normalize", "mindspore.normalize(parity='strict')"),
        ("ops.L2Normalize", "torch.L2Normalize(parity='strict')"),
    ]:
        one = pair(found, original, adapted)
        assert (one.values.ulp, one.gradients.ulp) == (0, 0)
        assert one.values.measured == one.gradients.measured == 40
        assert "with the bits of " in one.by[1]
    near = pair(found, "F.normalize", "mindspore.normalize(parity='semantic')")
    assert 0 < near.values.ulp <= 9
    assert (near.values.changed, near.gradients.changed) == (0, 0)
    themselves = pair(found, "F.normalize", "ops.L2Normalize")
    assert themselves.values.ulp == found.measurement.ulp
    assert themselves.values.changed == 1
    native = pair(found, "F.normalize", "mindspore.normalize(parity='native')")
    assert "MindSpore confuses" in native.values.why_not


@needs_torch
@needs_mindspore
def test_another_p_has_values_and_says_why_it_has_no_strict_gradient() -> None:
    found = compare(np.float32([[1, 2, 3]]), p=3, pairs=True)
    strict = pair(found, "F.normalize", "mindspore.normalize(parity='strict')")
    assert strict.values.measured == 1
    assert "cannot promise the bits of the gradient" in strict.gradients.why_not
    native = pair(found, "F.normalize", "mindspore.normalize(parity='native')")
    assert "p=3 is not supported" in native.values.why_not


@pytest.mark.parametrize(
    ("blocked", "missing", "host"),
    [
        pytest.param("mindspore", "ops.L2Normalize", "torch", marks=needs_torch),
        pytest.param("torch", "F.normalize", "mindspore", marks=needs_mindspore),
    ],
)
def test_with_one_framework_the_other_function_is_named_as_missing(
    blocked: str, missing: str, host: str
) -> None:
    code = """
from portnorm.compare import functions
found = functions.frameworks()
own = functions.normalize(found, 2, 1e-12), functions.l2_normalize(found, 1e-4)
for group in functions.implementations(found, 2, 1e-12, 1e-4, own):
    for one in group:
        print(one.name, one.why_not or one.computation.by)
"""
    lines = run_python(code, blocked=[blocked]).splitlines()
    assert len(lines) == 10
    assert sum(line.startswith(f"{missing} ") and "not installed" in line for line in lines) == 2
    for name in ("normalize", "L2Normalize"):
        for level in ("native", "semantic", "strict"):
            start = f"portnorm.{host}.{name}(parity='{level}') portnorm on "
            assert sum(line.startswith(start) for line in lines) == 1
