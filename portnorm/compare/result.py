"""What a comparison of one array comes to: the data, and what they say in a sentence."""

from __future__ import annotations

import json
import math
import operator
from dataclasses import dataclass
from typing import Any

import numpy as np

from portnorm.compare.measurement import Head, Measurement, Row, Worst
from portnorm.compare.settings import Settings
from portnorm.compare.tolerances import gradient_tolerance, values_tolerance
from portnorm.semantics import L2NORMALIZE, NORMALIZE
from portnorm.text import literal, strict_json


@dataclass(frozen=True)
class Result:
    """What `Comparison` holds, which describes the fields, without the ways to show it."""

    name: str
    shape: tuple[int, ...]
    settings: Settings
    measurement: Measurement
    computed_by: dict[str, str]
    own_gradient: bool
    versions: dict[str, str]

    @property
    def vectors(self) -> int:
        """The number of vectors."""
        return math.prod(self._kept_shape)

    @property
    def length(self) -> int:
        """The number of elements of a vector."""
        return self.shape[self.settings.dim]

    @property
    def agrees(self) -> bool:
        """Whether no vector changes."""
        return self.measurement.changed == 0

    @property
    def calls(self) -> dict[str, str]:
        """The call that returns the other framework's numbers, on "mindspore" and on "torch"."""
        given = self.settings
        normalize = [f"dim={given.dim}"]
        if given.p != 2:
            normalize.insert(0, f"p={literal(given.p)}")
        if given.eps != NORMALIZE.eps:
            normalize.append(f"eps={literal(given.eps)}")
        l2_normalize = [f"axis={given.dim}"]
        if given.epsilon != L2NORMALIZE.eps:
            l2_normalize.append(f"epsilon={literal(given.epsilon)}")
        return {
            "mindspore": f"portnorm.mindspore.normalize(x, {', '.join(normalize)})",
            "torch": f"portnorm.torch.L2Normalize({', '.join(l2_normalize)})(x)",
        }

    @property
    def verdict(self) -> str:
        """One sentence."""
        finding = self.finding
        if self.agrees:
            return f"{finding}."
        calls = self.calls
        return f"{finding}; use {calls['mindspore']} on MindSpore or {calls['torch']} on torch."

    @property
    def finding(self) -> str:
        """The verdict without the calls to use."""
        found = self.measurement
        if found.worst is None:
            return f"On this data the two functions agree to {found.ulp} ULP"
        at_least = "at least " if found.gradients_measured < self.vectors else ""
        return (
            f"{at_least}{found.changed} of {self.vectors} vectors change; worst vector "
            f"{self.position(found.worst.vector)} (norm {found.worst.norm:.4g})"
        )

    @property
    def headline(self) -> str:
        """The finding as a sentence of its own, and what is odd about the data."""
        finding = self.finding
        unit, note = self.measurement.of_unit_norm, ""
        if unit > self.vectors / 2:
            which = "All" if unit == self.vectors else f"{unit} of {self.vectors}"
            note = (
                f" {which} vectors are of unit norm already, as the output of a normalization is: "
                "give its input, for on its output agreement means nothing."
            )
        return f"{finding[0].upper()}{finding[1:]}.{note}"

    @property
    def covered(self) -> dict[str, str]:
        """What of the other framework's numbers the calls return, by the framework they run on."""
        strict = "values; for gradients too, parity='strict'"
        eps, epsilon = self.settings.floors
        below = ("zero", "below_both", *(["between"] if epsilon > eps else []))
        own = any(self.measurement.counts[name] for name in below)  # MindSpore's own gradient
        both = "values and gradients"
        return {"mindspore": both, "torch": strict if own else both}

    @property
    def _kept_shape(self) -> tuple[int, ...]:
        return self.shape[: self.settings.dim] + self.shape[self.settings.dim + 1 :]

    def index(self, vector: int) -> tuple[int, ...]:
        """Return the index of a vector in the array, without the dim along which it lies."""
        return tuple(int(i) for i in np.unravel_index(vector, self._kept_shape))

    def position(self, vector: int) -> str:
        """Return the index of a vector as text; its number where one number says it."""
        return str(self.index(vector) if len(self.shape) > 2 else vector)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as what JSON has; numbers that are not finite as "inf", "nan"."""
        given, found = self.settings, self.measurement
        plain: dict[str, Any] = strict_json(
            {
                "name": self.name,
                "shape": self.shape,
                "vectors": self.vectors,
                "length": self.length,
                "settings": {
                    "dim": given.dim,
                    "p": given.p,
                    "eps": given.eps,
                    "epsilon": given.epsilon,
                    "dtype": given.dtype,
                    "seed": given.seed,
                },
                "versions": self.versions,
                "computed_by": self.computed_by,
                "floors": dict(zip(("normalize", "l2_normalize"), given.floors, strict=True)),
                "counts": found.counts,
                "norms": found.norms,
                "values": {
                    "ulp": found.ulp,
                    "relative": found.relative,
                    "changed": found.values_changed,
                    "tolerance_ulp": values_tolerance(self.length),
                    "histogram": found.ulps,
                },
                "gradients": {
                    "measured": found.gradients_measured,
                    "relative": found.gradient_relative,
                    "changed": found.gradients_changed,
                    "tolerance_relative": gradient_tolerance(self.length, given.dtype),
                    "own_kernel": self.own_gradient,
                    "histogram": found.gradients,
                },
                "changed": found.changed,
                "of_unit_norm": found.of_unit_norm,
                "first": found.first and self._head_as_dict(found.first),
                "worst": found.worst and self._worst_as_dict(found.worst),
                "rows": [self._row_as_dict(row) for row in found.rows],
                "agrees": self.agrees,
                "verdict": self.verdict,
                "use": self.calls,
                "covered": self.covered,
            }
        )
        return plain

    def to_json(self) -> str:
        """Return `to_dict` as strict JSON."""
        return json.dumps(self.to_dict(), allow_nan=False)

    def worst(self, n: int = 10) -> tuple[Row, ...]:
        """Return the n vectors that differ most, worst first; changed or not.

        Those with changed values come first, by ULP; then those with changed gradients; then
        what rounding explains. At most `portnorm.compare.largest.KEPT`, which is 100, are known.

        >>> from portnorm.compare import compare
        >>> found = compare(np.float32([[1, 2], [0, 4e-9], [3e-5, 4e-5]]))
        >>> [(row.vector, row.kind, row.changed) for row in found.worst(2)]
        [(1, 'between', True), (2, 'between', True)]
        """
        return self.measurement.rows[: max(0, operator.index(n))]

    def _row_as_dict(self, row: Row) -> dict[str, Any]:
        return {
            "index": self.index(row.vector),
            "norm": row.norm,
            "class": row.kind,
            "changed": row.changed,
            "values": {"ulp": row.ulp, "relative": row.relative},
            "gradients": {"relative": row.gradient_relative},
        }

    def _head_as_dict(self, head: Head) -> dict[str, Any]:
        return {
            "index": self.index(head.vector),
            "of": "gradients" if head.gradient else "values",
            "normalize": head.normalize,
            "l2_normalize": head.l2_normalize,
        }

    def _worst_as_dict(self, worst: Worst) -> dict[str, Any]:
        return {
            **self._head_as_dict(worst.head),
            "norm": worst.norm,
            "difference": worst.difference,
        }
