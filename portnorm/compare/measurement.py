"""What is found in one array."""

from __future__ import annotations

from dataclasses import dataclass

from portnorm.compare.histograms import Bin, NormBin


@dataclass(frozen=True)
class Head:
    """The first values that the two functions return for one vector.

    Attributes:
        vector: its number, counted in C order.
        gradient: whether these are values of the gradient.
        changed: whether they belong to what changed.
        normalize: from torch's function.
        l2_normalize: from MindSpore's.
        length: of the vector.
    """

    vector: int
    gradient: bool
    changed: bool
    normalize: tuple[float, ...]
    l2_normalize: tuple[float, ...]
    length: int


@dataclass(frozen=True)
class Worst:
    """The changed vector with the largest difference: of values, or if none, of gradients.

    Attributes:
        vector: its number, counted in C order.
        norm: its 2-norm.
        difference: of its values in ULP, or of its gradients as in `Measurement`.
        head: what the functions return for it.
    """

    vector: int
    norm: float
    difference: float
    head: Head


@dataclass(frozen=True)
class Row:
    """How one vector differs.

    Attributes:
        vector: its number, counted in C order.
        norm: its 2-norm.
        kind: its class, one of `CLASSES`.
        ulp: largest difference of its values, in ULP; infinite for NaN in one of the two only.
        relative: largest difference of its values, relative to the larger of the two.
        gradient_relative: largest difference of elements of its gradients, relative to
            ``||g|| / d`` as in `Measurement`; None where they were not measured.
        changed: whether its values or its gradients changed.
    """

    vector: int
    norm: float
    kind: str
    ulp: float
    relative: float
    gradient_relative: float | None
    changed: bool


@dataclass(frozen=True)
class Measurement:
    """What was found in one array.

    Attributes:
        counts: number of vectors in each of `CLASSES`.
        ulp: largest difference of values, in ULP; infinite for NaN in one of the two only.
        relative: largest difference of values, relative to the larger of the two.
        gradient_relative: largest difference of elements of gradients, relative to
            ``||g|| / d``, with g the cotangent and d torch's divisor.
        values_changed: number of vectors whose values changed.
        gradients_changed: number of vectors whose gradients changed.
        gradients_measured: number of vectors whose gradients were compared.
        changed: number of vectors of which either changed.
        of_unit_norm: number of vectors whose norm is 1 to rounding.
        first: the first vector; None where there is none.
        worst: None where nothing changed.
        rows: the vectors with the largest differences, changed or not, worst first: changed
            values by ULP, then changed gradients, then what rounding explains. `KEPT` at most.
        norms: histogram of the norms.
        ulps: histogram of the differences of values, in ULP.
        gradients: histogram of the differences of gradients, relative as above.
    """

    counts: dict[str, int]
    ulp: float = 0
    relative: float = 0.0
    gradient_relative: float = 0.0
    values_changed: int = 0
    gradients_changed: int = 0
    gradients_measured: int = 0
    changed: int = 0
    of_unit_norm: int = 0
    first: Head | None = None
    worst: Worst | None = None
    rows: tuple[Row, ...] = ()
    norms: tuple[NormBin, ...] = ()
    ulps: tuple[Bin, ...] = ()
    gradients: tuple[Bin, ...] = ()
