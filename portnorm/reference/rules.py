"""What may differ between two builds of a framework: the fields of a rule set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Tail = Literal["plain", "fused", "mod4"]


@dataclass(frozen=True, eq=False)
class TorchRules:
    """How a build of torch adds, and where its versions differ.

    Two builds with the same rules share one instance, so instances compare by identity.

    Attributes:
        lanes: partial sums that the fast path keeps in float32; float64 has half as many, and
            bfloat16 reads two elements for each in a step.
        lanes_fused: these partial sums use fused multiply-add.
        tail: what the fast path does with the elements that do not fill a step, for float32,
            float64 and bfloat16. ``"plain"`` rounds each square, ``"fused"`` does not, ``"mod4"``
            rounds those of the first ``4 * (t // 4)`` of t elements.
        slow_fused: every other path uses fused multiply-add at p = 2.
        gradient_passes_at_floor: where the norm equals eps, the gradient is that of the norm.
        sum_lanes: float32 lanes of the sum in the gradient; float64 has half as many, and the
            16-bit dtypes read two elements for each in a step.
        float16: float16 is supported.
        bfloat16_sum_in_bfloat16: except on the fast path, squares and sums of bfloat16 are
            rounded to bfloat16 one by one.
        rounds_inner_sums: gradients of the 16-bit dtypes over dims that do not merge round each
            inner sum.
        single_element_squared: the norm of a single element is the root of its square, not its
            absolute value.
        half_name: how float16 is called in the texts of errors.
        integer_error: the type of error that tensors of integers raise.
    """

    lanes: int
    lanes_fused: bool
    tail: Mapping[str, Tail]
    slow_fused: bool
    gradient_passes_at_floor: bool
    sum_lanes: int
    float16: bool
    bfloat16_sum_in_bfloat16: bool
    rounds_inner_sums: bool
    single_element_squared: bool
    half_name: str
    integer_error: str


@dataclass(frozen=True)
class MindSporeRules:
    """How a build of MindSpore adds. float16 is the same everywhere.

    Attributes:
        fused: the sum of squares uses fused multiply-add, for float32 and float64.
        flushes_subnormals: subnormals of float32 and float64 count as 0.
        gradient_fused: the gradient takes ``dy - y * S1`` with one rounding.
    """

    fused: bool
    flushes_subnormals: bool
    gradient_fused: bool
