"""The forms of normalization are what they are said to be, on arrays and on both frameworks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from form_tables import CONVERSIONS, WRITTEN, check_conversion, slope, torch_operators

from portnorm.conventions import FORMS, Convention
from portnorm.vectors import normalized
from tests.conftest import needs_mindspore, needs_torch

E = 1e-4
ROWS = np.random.default_rng(3).standard_normal((4, 3)) * np.logspace(-3, 3, 4)[:, None]
ROWS[1] = 0


def at_zero(said: str) -> float:
    """Return the number that a text such as "1/sqrt(e)" means."""
    return float(eval(said, {"e": E, "sqrt": np.sqrt, "NaN": np.nan}))


def test_every_form_is_tested() -> None:
    assert WRITTEN.keys() == CONVERSIONS.keys() == FORMS.keys()


@needs_torch
@pytest.mark.parametrize("name", FORMS)
def test_a_form_has_the_values_and_the_gradient_at_zero_that_are_said(name: str) -> None:
    import torch

    form, leaf = FORMS[name], torch.tensor(ROWS, requires_grad=True)
    y = WRITTEN[name](torch_operators(), leaf, E)
    y.sum().backward()
    np.testing.assert_allclose(normalized(ROWS, form, 1, E), y.detach().numpy(), rtol=1e-14)
    assert leaf.grad is not None
    np.testing.assert_array_equal(y.detach().numpy()[1], at_zero(form.value_at_zero))
    np.testing.assert_allclose(leaf.grad.numpy()[1], at_zero(form.gradient_at_zero), rtol=1e-14)


@needs_mindspore
@pytest.mark.parametrize("name", FORMS)
def test_mindspores_gradient_at_zero_is_nan_where_a_form_has_a_norm(name: str) -> None:
    assert math.isnan(slope(name, 0.0, "mindspore")) == (FORMS[name].divisor == "norm")


@needs_torch
def test_a_conversion_that_is_wrong_is_found() -> None:
    with pytest.raises(AssertionError, match="normalize"):
        check_conversion("max_sum", "normalize(x, dim=-1, eps=e)")


@needs_torch
@needs_mindspore
def test_functions_of_the_frameworks_have_the_forms_that_are_said() -> None:
    import mindspore
    import torch

    x = ROWS.astype("float32")
    layer = torch.nn.RMSNorm(3, eps=E)
    for name, found in {
        "max_norm": torch.nn.functional.normalize(torch.tensor(x), dim=1, eps=E).numpy(),
        "max_sum": mindspore.ops.L2Normalize(1, E)(mindspore.Tensor(x)).asnumpy(),
        "rms": layer(torch.tensor(x)).detach().numpy(),
    }.items():
        np.testing.assert_allclose(found, normalized(x, FORMS[name], 1, E), rtol=1e-6)


@pytest.mark.parametrize("name", FORMS)
def test_the_smallest_divisor_is_that_of_zeros(name: str) -> None:
    tiny = np.full((1, 3), 1e-300)
    divisor = float((tiny / normalized(tiny, FORMS[name], 1, E))[0, 0])
    if FORMS[name].epsilon not in ("none", "threshold"):
        assert divisor == pytest.approx(FORMS[name].smallest(E), rel=1e-12)


ALL = [Convention(form, e) for form in FORMS.values() for e in (1e-4, 1e-2) if form.name != "rms"]


@pytest.mark.parametrize("a", ALL, ids=str)
@pytest.mark.parametrize("b", ALL, ids=str)
def test_two_forms_differ_where_their_numbers_do(a: Convention, b: Convention) -> None:
    x = np.array([[0.0], [1e-5], [1e-3], [0.03], [1.0]])
    numbers = [normalized(x, one.form, 1, float(one.e)) for one in (a, b)]
    same = np.allclose(*numbers, rtol=1e-12, equal_nan=True)
    assert a.differs_from(b) == b.differs_from(a) == (not same)


def test_an_epsilon_that_is_not_known_differs_from_no_other_of_its_form() -> None:
    bound = Convention(FORMS["max_norm"], "eps")
    assert not bound.differs_from(Convention(FORMS["max_norm"], 1e-6))
    assert not bound.differs_from(Convention(FORMS["max_sum"], 1e-6))
    assert bound.differs_from(Convention(FORMS["norm"]))
    assert bound.differs_from(Convention(FORMS["norm_plus"], "eps"))
