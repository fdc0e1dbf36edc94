"""What was identified, for people and for programs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from portnorm.conventions import Convention
from portnorm.identify.candidates import Candidate
from portnorm.identify.layouts import index_of
from portnorm.semantics import L2NORMALIZE, NORMALIZE
from portnorm.text import counted, strict_json


@dataclass(frozen=True)
class Explanation:
    """One normalization, and how far it is from the output.

    Attributes:
        candidate: the normalization.
        error: the largest distance of an element, in ULP of the largest element of its vector.
        mean_error: the root of the mean square of these distances.
        vectors: how many there are.
        differing: how many are further away than rounding explains.
        worst: the number of the vector that is furthest away.
        shape: of the output.
        scales_all: whether it does no more than to scale all vectors alike.
        builds: the builds of frameworks that give the very bits of the output.
    """

    candidate: Candidate
    error: float
    mean_error: float
    vectors: int
    differing: int
    worst: int
    shape: tuple[int, ...]
    scales_all: bool = False
    builds: tuple[str, ...] = ()

    @property
    def kind(self) -> tuple[object, ...]:
        """What it is but for its epsilon."""
        one = self.candidate
        return one.form.name, one.layout, one.p, one.own_gradient

    @property
    def share(self) -> float:
        """The share of vectors that differ."""
        return self.differing / self.vectors

    @property
    def fits(self) -> bool:
        """Whether all vectors are as near as rounding leaves them."""
        return not self.differing

    @property
    def rank(self) -> int:
        """How likely it is among those that fit alike: the functions of the frameworks first."""
        form, e = self.candidate.form, self.candidate.e
        if form.name == "max_norm":
            return 0 if e == NORMALIZE.eps else 2
        if form.name == "max_sum":
            return 1 if e == L2NORMALIZE.eps else 3
        return 4 + (form.epsilon == "added") + (self.candidate.p != 2)

    def __str__(self) -> str:
        """Return it as a call or, where no function is so, as a formula."""
        one, operand = self.candidate, "x"
        if one.layout.transposed:
            operand = "x.T" if len(self.shape) == 2 else "x.transpose(-1, -2)"
        axes = one.layout.dim
        if one.form.name == "max_norm":
            more = "" if one.p == 2 else f", p={_number(one.p)}"
            eps = "" if one.e == NORMALIZE.eps else f", eps={one.e:.4g}"
            return f"F.normalize({operand}{more}, dim={axes}{eps})"
        if one.form.name == "max_sum" and len(one.layout.axes) == 1:
            epsilon = "" if one.e == L2NORMALIZE.eps else f", epsilon={one.e:.4g}"
            own = ", as MindSpore's operator computes it" if one.own_gradient else ""
            return f"L2Normalize(axis={axes}{epsilon})({operand}){own}"
        order = "" if one.p == 2 else f" with p={_number(one.p)}"
        formula = str(Convention(one.form, float(one.e))).replace("x /", f"{operand} /")
        return f"{formula}{order} along {axes}"

    def to_dict(self) -> dict[str, Any]:
        """Return it in terms of JSON."""
        found: dict[str, Any] = {
            "explanation": str(self),
            "form": self.candidate.form.name,
            "axes": list(self.candidate.layout.axes),
            "transposed": self.candidate.layout.transposed,
            "p": self.candidate.p,
            "epsilon": self.candidate.e,
            "epsilon_up_to": self.candidate.limit,
            "error_ulp": self.error,
            "vectors": self.vectors,
            "differing": self.differing,
            "builds": list(self.builds),
            "worst": list(index_of(self.worst, self.shape, self.candidate.layout)),
        }
        return dict(strict_json(found))


@dataclass(frozen=True)
class Identification:
    """The normalizations that explain an output.

    Attributes:
        best: the best of them.
        same: others that cannot be told apart from it on these data.
        others: what is further away, the nearest first.
        notes: what else is plain, in sentences.
        of_gradient: whether the output is a gradient.
        factor: what the normalized input was multiplied by.
        dtype: to what the arrays were rounded, where they are stored in a wider dtype; or "".
    """

    best: Explanation
    same: tuple[Explanation, ...] = ()
    others: tuple[Explanation, ...] = ()
    notes: tuple[str, ...] = ()
    of_gradient: bool = False
    factor: float = 1.0
    dtype: str = ""

    @property
    def fits(self) -> bool:
        """Whether a normalization explains the output; a mere scale is none."""
        return self.best.fits and not self.best.scales_all

    @property
    def builds(self) -> tuple[str, ...]:
        """The builds of frameworks that give the very bits of the output, by the best."""
        return self.best.builds

    @property
    def explanations(self) -> tuple[Explanation, ...]:
        """Those that fit, the likeliest first."""
        return (self.best, *self.same) if self.fits else ()

    def __str__(self) -> str:
        """Return what was found in sentences."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        what = "gradient" if self.of_gradient else "output"
        of = f"the gradient of {self.best}" if self.of_gradient else f"{self._times}{self.best}"
        if not self.fits:
            yield f"No normalization that is known explains the {what}."
            if not self.best.scales_all:
                yield f"The nearest is {of}: {_how_far(self.best)}."
            yield from self.notes
            return
        if self.dtype:
            of += f" of x rounded to {self.dtype}"
        bits = f", bit for bit as {self.builds[0]}" if self.builds else ""
        yield f"The {what} is {of}{bits}; the largest error is {self.best.error:.3g} ULP."
        if more := self.builds[1:]:
            others = f", and {len(more) - 3} others" if len(more) > 4 else ""
            yield f"The same bits have {', '.join(more[: 3 if others else 4])}{others}."
        if self.best.candidate.limit > self.best.candidate.e:
            yield f"Any epsilon up to {self.best.candidate.limit:.3g} gives the same here."
        for one in self.same:
            has = f", with the bits of {one.builds[0]}," if one.builds else ""
            yield f"{one}{has} cannot be told apart on these data: {self._what_would_tell(one)}."
        for one in [one for one in self.others if not one.fits][:1]:
            yield f"The next, {one}, differs: {_how_far(one)}."
        yield from self.notes
        other = self._on_the_other_framework()
        if other:
            yield f"The same on the other framework: {self._times}{other}."

    @property
    def _times(self) -> str:
        return "" if self.factor == 1 else f"{self.factor:.6g} * "

    def _what_would_tell(self, other: Explanation) -> str:
        a, b = self.best.candidate, other.candidate
        if a.p != b.p:
            return "vectors of more than one element that is not zero would tell"
        if a.layout != b.layout:
            return "vectors of different norms would tell"
        here, there = Convention(a.form, float(a.e)), Convention(b.form, float(b.e))
        if not here.differs_from(there):
            return "their values differ by rounding only, and for vectors with NaN"
        return f"they differ {here.where_it_differs_from(there)}"

    def _on_the_other_framework(self) -> str:
        one = self.best.candidate
        axes = one.layout.dim
        if one.form.name == "max_sum" and len(one.layout.axes) == 1:
            return f"portnorm.torch.L2Normalize(axis={axes}, epsilon={one.e:.4g})(x)"
        if one.form.counterpart == "normalize":
            more = "" if one.p == 2 else f"p={_number(one.p)}, "
            return f"portnorm.mindspore.normalize(x, {more}dim={axes}, eps={one.e:.4g})"
        return ""

    def to_dict(self) -> dict[str, Any]:
        """Return it in terms of JSON."""
        return {
            "fits": self.fits,
            "best": self.best.to_dict(),
            "same": [one.to_dict() for one in self.same],
            "others": [one.to_dict() for one in self.others],
            "notes": list(self.notes),
            "of_gradient": self.of_gradient,
            "factor": self.factor,
            "dtype": self.dtype,
        }


def _how_far(one: Explanation) -> str:
    index = index_of(one.worst, one.shape, one.candidate.layout)
    place = ", ".join(":" if at is None else str(at) for at in index)
    return (
        f"{one.differing} of {counted(one.vectors, 'vector')} differ by more than rounding, "
        f"vector [{place}] the most, by {one.error:.3g} ULP"
    )


def _number(value: float) -> str:
    if math.isinf(value):
        return f"{'-' if value < 0 else ''}float('inf')"
    return f"{value:g}"
