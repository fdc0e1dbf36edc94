"""The forms in which people divide vectors by their norm: where each puts epsilon, as data.

A counterpart is a call of `torch.nn.functional.normalize` or `mindspore.ops.L2Normalize` with the
same numbers and gradients, up to rounding, as long as no square over- or underflows; vectors of
zeros, and those with NaN, are included. Most forms that people write have none: they add epsilon
where the two functions compare with it. `portnorm.vectors.normalized` computes each form on arrays.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

Divisor = Literal["norm", "root of sum", "root of mean"]
Kind = Literal["none", "bound", "added", "threshold"]


@dataclass(frozen=True)
class Form:
    """One way to divide a vector by its norm.

    Attributes:
        name: its key in `FORMS`.
        formula: with e for epsilon; the sum and the mean are those of the squares.
        found_in: where it is written.
        divisor: what x is divided by, without epsilon.
        epsilon: "none", a lower "bound", "added", or the "threshold" up to which a norm is
            replaced by 1.
        counterpart: the function with the same numbers: "normalize", "l2_normalize", or "" if
            neither has them.

    >>> FORMS["max_norm"].smallest(1e-12), FORMS["max_sum"].smallest(1e-12)
    (1e-12, 1e-06)
    """

    name: str
    formula: str
    found_in: str
    divisor: Divisor
    epsilon: Kind
    counterpart: str

    def smallest(self, e: float) -> float:
        """Return what a vector of zeros is divided by."""
        if self.epsilon in _WITHOUT_FLOOR:
            return _WITHOUT_FLOOR[self.epsilon]
        return e if self.divisor == "norm" else math.sqrt(e)

    @property
    def value_at_zero(self) -> str:
        """What becomes of a vector of zeros."""
        return "NaN" if self.epsilon == "none" else "0"

    @property
    def gradient_at_zero(self) -> str:
        """The gradient for a vector of zeros, by a cotangent of 1.

        It is NaN, too, where a norm that epsilon bounds, is added to or replaces is the root of a
        sum, whose derivative at 0 is infinite. MindSpore computes all norms so; that of torch's is
        0.
        """
        if self.epsilon in _WITHOUT_FLOOR:
            return "NaN" if self.epsilon == "none" else "1"
        return "1/e" if self.divisor == "norm" else "1/sqrt(e)"


_WITHOUT_FLOOR = {"none": 0.0, "threshold": 1.0}
"""What a vector of zeros is divided by where that does not depend on epsilon."""

FORMS: dict[str, Form] = {
    form.name: form
    for form in (
        Form("norm", "x / norm", "by hand, mostly", "norm", "none", "normalize"),
        Form(
            "max_norm",
            "x / max(norm, e)",
            "`torch.nn.functional.normalize`, `mindspore.mint.nn.functional.normalize`, "
            "`paddle.nn.functional.normalize`, `keras.ops.normalize`; "
            "`torch.nn.functional.cosine_similarity`, for each of its two vectors; by hand with "
            "`clamp(norm, min=e)`",
            "norm",
            "bound",
            "normalize",
        ),
        Form(
            "max_sum",
            "x / sqrt(max(sum, e))",
            "`mindspore.ops.L2Normalize`, `tf.math.l2_normalize`, OpenVINO's `NormalizeL2` where "
            "its `eps_mode` is max",
            "root of sum",
            "bound",
            "l2_normalize",
        ),
        Form(
            "sum_plus",
            "x / sqrt(sum + e)",
            "`paddle.fluid.layers.l2_normalize`, OpenVINO's `NormalizeL2` where its `eps_mode` is "
            "add, linear attention",
            "root of sum",
            "added",
            "",
        ),
        Form(
            "norm_plus",
            "x / (norm + e)",
            "the layer `L2Norm` of SSD detectors; by hand",
            "norm",
            "added",
            "",
        ),
        Form(
            "rms",
            "x / sqrt(mean + e)",
            "`torch.nn.RMSNorm`, `mindspore.ops.rms_norm`",
            "root of mean",
            "added",
            "",
        ),
        Form(
            "replaced",
            "x / (norm if norm > e else 1)",
            "`sklearn.preprocessing.normalize`, whose e is 10 times the `eps` of the dtype; "
            "`keras.utils.normalize`, whose e is 0",
            "norm",
            "threshold",
            "",
        ),
    )
}
"""All forms by their names."""


@dataclass(frozen=True)
class Convention:
    """A form with its epsilon.

    Attributes:
        form: which one.
        e: its epsilon, as a number, or as it is written where that is not known.
    """

    form: Form
    e: float | str = 0.0

    def __str__(self) -> str:
        """Return the formula with the epsilon in it."""
        e = f"{self.e:g}" if isinstance(self.e, float) else self.e
        return re.sub(r"\be\b", lambda _: e, self.form.formula)

    def differs_from(self, other: Convention) -> bool:
        """Return whether two forms certainly have different numbers, more than rounding makes.

        A bound of the norm and the same bound, squared, of the sum do not.

        >>> a, b = Convention(FORMS["max_norm"], 1e-6), Convention(FORMS["max_sum"], 1e-12)
        >>> a.differs_from(b), a.differs_from(Convention(FORMS["norm"]))
        (False, True)
        """
        kinds = {self.form.epsilon, other.form.epsilon}
        if kinds & {"added", "threshold"} and self.form != other.form:
            return True
        if kinds == {"threshold"}:
            return self.e != other.e and isinstance(self.e, float) and isinstance(other.e, float)
        if isinstance(self.e, float) and isinstance(other.e, float):
            a, b = self.form.smallest(self.e), other.form.smallest(other.e)
            return not math.isclose(a, b, rel_tol=1e-6)
        return "none" in kinds

    def where_it_differs_from(self, other: Convention) -> str:
        """Return, in a few words, for which vectors the numbers of two forms differ.

        >>> Convention(FORMS["norm"]).where_it_differs_from(Convention(FORMS["max_sum"], 1e-4))
        'where the norm is below 0.01; a vector of zeros gives NaN here and 0 there'
        """
        where = self._where_it_differs_from(other)
        here, there = self.form.value_at_zero, other.form.value_at_zero
        at_zero = f"; a vector of zeros gives {here} here and {there} there"
        return where if here == there else where + at_zero

    def _where_it_differs_from(self, other: Convention) -> str:
        if "added" in (self.form.epsilon, other.form.epsilon):
            return "at every norm, and most where it is small"
        known = [
            c.e if c.form.epsilon == "threshold" else c.form.smallest(c.e)
            for c in (self, other)
            if isinstance(c.e, float)
        ]
        return (
            f"where the norm is below {max(known):g}" if max(known) else "where the norm is small"
        )
