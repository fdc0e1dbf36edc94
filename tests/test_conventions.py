"""The forms of normalization are what they are said to be, on arrays and on both frameworks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from portnorm.conventions import FORMS, Convention
from portnorm.vectors import normalized
from tests.conftest import needs_mindspore, needs_torch

E = 1e-4
ROWS = np.random.default_rng(3).standard_normal((4, 3)) * np.logspace(-3, 3, 4)[:, None]
ROWS[1] = 0

ON_TORCH = {
    "norm": lambda x: x / x.norm(dim=1, keepdim=True),
    "max_norm": lambda x: x / x.norm(dim=1, keepdim=True).clamp(min=E),
    "max_sum": lambda x: x / (x * x).sum(1, keepdim=True).clamp(min=E).sqrt(),
    "sum_plus": lambda x: x / ((x * x).sum(1, keepdim=True) + E).sqrt(),
    "norm_plus": lambda x: x / (x.norm(dim=1, keepdim=True) + E),
    "rms": lambda x: x / ((x * x).mean(1, keepdim=True) + E).sqrt(),
}


def at_zero(said: str) -> float:
    """Return the number that a text such as "1/sqrt(e)" means."""
    return float(eval(said, {"e": E, "sqrt": np.sqrt, "NaN": np.nan}))


def test_every_form_is_tested() -> None:
    assert ON_TORCH.keys() == FORMS.keys()


@needs_torch
@pytest.mark.parametrize("name", FORMS)
def test_a_form_has_the_values_and_the_gradient_at_zero_that_are_said(name: str) -> None:
    import torch

    form, leaf = FORMS[name], torch.tensor(ROWS, requires_grad=True)
    y = ON_TORCH[name](leaf)
    y.sum().backward()
    np.testing.assert_allclose(normalized(ROWS, form, 1, E), y.detach().numpy(), rtol=1e-14)
    assert leaf.grad is not None
    np.testing.assert_array_equal(y.detach().numpy()[1], at_zero(form.value_at_zero))
    np.testing.assert_allclose(leaf.grad.numpy()[1], at_zero(form.gradient_at_zero), rtol=1e-14)


@needs_mindspore
@pytest.mark.parametrize("name", ["max_norm", "norm_plus"])
def test_mindspores_gradient_at_zero_is_nan_where_a_norm_is_bounded_or_added_to(name: str) -> None:
    import mindspore

    def summed(x: Any) -> Any:
        norm = mindspore.ops.norm(x, dim=1, keepdim=True)
        return (x / (norm.clamp(min=E) if name == "max_norm" else norm + E)).sum()

    assert np.isnan(mindspore.grad(summed)(mindspore.Tensor(ROWS)).asnumpy()[1]).all()


@pytest.mark.parametrize("name", FORMS)
def test_the_smallest_divisor_is_that_of_zeros(name: str) -> None:
    tiny = np.full((1, 3), 1e-300)
    divisor = float((tiny / normalized(tiny, FORMS[name], 1, E))[0, 0])
    if name != "norm":  # whose squares are 0
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
