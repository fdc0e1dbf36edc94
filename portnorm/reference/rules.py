"""What may differ between two builds of a framework: the fields of a rule set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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
        float16: float16 is supported; otherwise it raises, but for an eps that is NaN.
        order_in_float32: the norm is taken at p rounded to float32, for every dtype.
        bfloat16_sum_in_bfloat16: except on the fast path, squares and sums of bfloat16 are
            rounded to bfloat16 one by one.
        rounds_inner_sums: gradients of the 16-bit dtypes over dims that do not merge round each
            inner sum.
        float16_adds_neighbours: in gradients, sums of contiguous float16 add each element and the
            next one first; the 16-bit dtypes otherwise those of two registers, lane by lane.
        rounds_single_count: gradients of bfloat16 at the infinities round the number of ties to
            bfloat16 where there is one norm, as they do where there are several.
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
    order_in_float32: bool
    bfloat16_sum_in_bfloat16: bool
    rounds_inner_sums: bool
    float16_adds_neighbours: bool
    rounds_single_count: bool
    single_element_squared: bool
    half_name: str
    integer_error: str


@dataclass(frozen=True, eq=False)
class CudaRules:
    """How a build of torch adds on a CUDA device, and where its versions differ.

    Two builds with the same rules share one instance, so instances compare by identity.

    Attributes:
        shuffles_fall: inside a warp the sums of threads 16 apart are added first, then those 8, 4,
            2 and 1 apart; otherwise 1, 2, 4, 8, 16.
        x_before_y: a block adds along x first, then along y; otherwise the other way round.
        vector_from: elements from which a contiguous row is read in vectors.
        half_sum_vector: elements of such a vector in the sum of the gradient, of the 16-bit dtypes;
            elsewhere a vector has 4.
        gradient_passes_at_floor: where the norm equals eps, the gradient is that of the norm.
    """

    shuffles_fall: bool
    x_before_y: bool
    vector_from: int
    half_sum_vector: int
    gradient_passes_at_floor: bool


@dataclass(frozen=True)
class CudaDevice:
    """What of a CUDA device has a say in the bits.

    Args:
        multiprocessors: how many it has.
        threads_per_multiprocessor: how many threads each can hold.
        name: what it is called; it does not count when devices are compared.

    Raises:
        TypeError: a number is no int, or the name is no str.
        ValueError: a number is less than 1.

    >>> CudaDevice.named("A100") == CudaDevice(108, 2048)
    True
    """

    multiprocessors: int
    threads_per_multiprocessor: int
    name: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        for name in ("multiprocessors", "threads_per_multiprocessor"):
            number = getattr(self, name)
            if not isinstance(number, int) or isinstance(number, bool):
                raise TypeError(f"{name} must be an int, not {type(number).__name__}")
            if number < 1:
                raise ValueError(f"{name} must be 1 or more")
        if not isinstance(self.name, str):
            raise TypeError(f"name must be a str, not {type(self.name).__name__}")

    @staticmethod
    def named(name: str) -> CudaDevice:
        """Return a common device, as its vendor describes it.

        Raises:
            ValueError: none of this name is known.

        >>> CudaDevice.named("RTX 4090").multiprocessors
        128
        """
        from portnorm.reference.builds import CUDA_DEVICES

        if name not in CUDA_DEVICES:
            known = ", ".join(map(repr, CUDA_DEVICES))
            raise ValueError(f"name must be one of {known}, not {name!r}")
        return CUDA_DEVICES[name]


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
