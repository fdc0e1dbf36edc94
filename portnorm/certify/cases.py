"""Random cases: arrays in random layouts, and arguments. Seed and number say all of a case."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from portnorm.certify.encodings import FORMATS, Array, Format, draw_words

Ints = tuple[int, ...]
Dims = int | Ints | list[int] | None


@dataclass(frozen=True, eq=False)
class View:
    """A strided array, as torch and NumPy both can have it.

    Attributes:
        buffer: the words in memory.
        shape: of the array.
        strides: counted in elements.
        offset: of the first element, likewise.
        form: of the elements.
    """

    buffer: Array
    shape: Ints
    strides: Ints
    offset: int
    form: Format

    @property
    def array(self) -> Array:
        """The array, of the dtype that `portnorm.exact` takes.

        Raises:
            ValueError, TypeError: it does not lie within the buffer.
        """
        size = self.form.word.itemsize
        return np.ndarray(
            self.shape,
            self.form.numpy,
            self.buffer,
            self.offset * size,
            tuple(stride * size for stride in self.strides),
        )

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True, eq=False)
class Case:
    """Arguments of one call.

    Attributes:
        name: what to draw or look it up by.
        dtype: of x and of the cotangent.
        values: the kind of values that x has.
        x: the input.
        g: the cotangent, None if only the forward is compared.
        p: of torch's normalize; 2 for L2Normalize.
        dim: its dim, or the axis of L2Normalize.
        eps: or the epsilon of L2Normalize.
        threads: of torch.
    """

    name: str
    dtype: str
    values: str
    x: View
    g: View | None
    p: float
    dim: Dims
    eps: float
    threads: int = 1

    @property
    def has_usual_p(self) -> bool:
        """Whether p is one that takes no powers: those take the C library."""
        return self.p in (0, 1, 2, math.inf, -math.inf)


def case_of(framework: str, seed: int, number: int) -> Case:
    """Return a case of a framework; see `torch_case` and `mindspore_case`."""
    return (torch_case if framework == "torch" else mindspore_case)(seed, number)


def torch_case(seed: int, number: int) -> Case:
    """Return a random case of torch's normalize.

    >>> case = torch_case(0, 5)
    >>> case.dtype, case.x.shape, case.dim, case.threads
    ('float16', (31, 7, 9, 9), 1, 8)
    """
    rng = np.random.default_rng((seed, number))
    form = FORMATS[_pick(rng, _DTYPES)]
    p = _pick(rng, _P)
    shape = _shape(rng, _pick(rng, (0, 1, 2, 2, 3, 3, 4, 5)), 2 if p in _OTHER_P else 3)
    kind = _pick(rng, _KINDS)
    x = _view(rng, shape, form, kind)
    g = None
    if p not in _OTHER_P:
        kind_of_g = "unit" if rng.random() < 0.8 else _pick(rng, _KINDS)
        g = _view(rng, shape, form, kind_of_g)
    return Case(
        name=f"torch_case({seed}, {number})",
        dtype=form.dtype,
        values=kind,
        x=x,
        g=g,
        p=p,
        dim=_dims(rng, len(shape)),
        eps=_pick(rng, _EPS),
        threads=_pick(rng, _THREADS),
    )


def mindspore_case(seed: int, number: int) -> Case:
    """Return a random case of MindSpore's L2Normalize, and only where its result is defined.

    What happens to be so or otherwise is not drawn. In float32 and float64 an
    intermediate result that is subnormal is flushed to zero by some of MindSpore's threads. Very
    small epsilons are taken for each other by its cache of kernels. After a vector of zeros under
    a negative epsilon, what the same thread computes in the same call is NaN. Vectors without
    elements end the process.

    >>> mindspore_case(0, 1).p
    2.0
    """
    rng = np.random.default_rng((seed, number))
    form = FORMATS[_pick(rng, ("float16", "float32", "float32", "float64"))]
    shape = _shape(rng, _pick(rng, (1, 2, 2, 3, 4, 5)), 3)
    axis = int(rng.integers(-len(shape), len(shape)))
    if shape[axis] == 0:
        shape = (2, *shape)
        axis = 0
    kind = _pick(rng, _KINDS if form.dtype == "float16" else _MINDSPORE_KINDS)
    x = _view(rng, shape, form, kind, dense=True)
    steps = x.size * shape[axis]  # the native gradient visits the whole vector for each element
    has_gradient = 0 < steps <= _GRADIENT_STEPS
    return Case(
        name=f"mindspore_case({seed}, {number})",
        dtype=form.dtype,
        values=kind,
        x=x,
        g=_view(rng, shape, form, "wide", dense=True) if has_gradient else None,
        p=2.0,
        dim=_pick(rng, (axis, axis, [axis], (axis,))),
        eps=_epsilon(rng, form, kind),
    )


_DTYPES = ("float32", "float32", "float64", "float16", "bfloat16")
_OTHER_P = (3.0, 0.5, 2.2, -1.0)
_P = (*[2.0] * 8, 2, 0.0, 1.0, 1.0, math.inf, math.inf, -math.inf, -math.inf, *_OTHER_P)
_KINDS = ("unit",) * 6 + ("wide", "wide", "wide", "tiny", "huge", "any", "few", "zeros", "special")
_EPS = (*[1e-12] * 5, 0.0, 1e-3, 0.5, 1.0, 2.0, 1e5, 1e-45, -1.0, math.inf, math.nan)
_THREADS = (1, 1, 1, 1, 2, 2, 2, 3, 4, 8)

_MINDSPORE_KINDS = (
    ("unit",) * 4 + ("wide", "wide", "small", "large", "few", "zeros") + ("special_but_subnormal",)
)
_EPSILON = (1e-4, 1e-4, 1e-6, 0.5, 1.0, 4.0, 1e4)
_GRADIENT_STEPS = 60_000


def _pick(rng: np.random.Generator, choices: Any) -> Any:
    return choices[int(rng.integers(len(choices)))]


def _dims(rng: np.random.Generator, ndim: int) -> Dims:
    """Return a dim, several, or None; a 0-d array tells them apart, too."""
    chance = rng.random()
    if ndim == 0:
        return _pick(rng, (0, -1, None, (), (0,)))  # type: ignore[no-any-return]
    if chance < 0.7:
        return int(rng.integers(-ndim, ndim))
    if chance > 0.95:
        return None
    dims = [int(d) for d in rng.permutation(ndim)[: rng.integers(0, ndim + 1)]]
    return dims if chance < 0.75 else tuple(dims)


def _epsilon(rng: np.random.Generator, form: Format, kind: str) -> float:
    choices = list(_EPSILON)
    if form.dtype != "float16":  # where it would round to 0
        choices.append(1e-10)
    if kind in ("unit", "wide"):  # which have no vectors of zeros
        choices.append(-1.0)
    return float(_pick(rng, choices))


# --- shapes and layouts ---------------------------------------------------------------------------

_SIZES = (1, 1, 2, 3, 4, 5, 7, 8, 9, 13, 16, 17, 31, 32, 33, 40, 64, 65, 100, 129, 255, 257)
_SMALL = 20_000
_MEDIUM = (30_000, 100_000)
_LARGE = (100_000, 4_000_000)
"""Elements. From 32768 on torch shares sums out among its threads."""


def _shape(rng: np.random.Generator, ndim: int, sizes: int) -> Ints:
    """Return a small shape, or seldom, if `sizes` is 2 a medium one, and if 3 a large one."""
    chance = rng.random()
    if not ndim or chance < 0.90 or sizes < 2:
        return _small_shape(rng, ndim)
    low, high = map(math.log, _LARGE if chance > 0.95 and sizes > 2 else _MEDIUM)
    elements = rng.uniform(low, high)
    shares = rng.dirichlet(np.ones(ndim))
    return tuple(max(1, round(math.exp(elements * share))) for share in shares)


def _small_shape(rng: np.random.Generator, ndim: int) -> Ints:
    while True:
        shape = [_pick(rng, _SIZES) for _ in range(ndim)]
        if ndim and rng.random() < 0.25:
            shape[_pick(rng, range(ndim))] = int(rng.integers(0, 5 if rng.random() < 0.1 else 5000))
        if math.prod(shape) <= _SMALL:
            return tuple(shape)


def _view(
    rng: np.random.Generator, shape: Ints, form: Format, kind: str, *, dense: bool = False
) -> View:
    """Return an array in a random layout; a dense one may only be permuted."""
    layout = _pick(rng, ("contiguous", "contiguous", "permuted", "channels_last", *_SPARSE))
    order = _order(rng, len(shape), layout)
    sparse = layout in _SPARSE and not dense
    strides, offset = _strides(rng, shape, order, layout if sparse else "dense")
    last = sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    elements = offset + (last + 1 if math.prod(shape) else 0)
    return View(draw_words(rng, elements, form, kind), shape, strides, offset, form)


_SPARSE = ("sliced", "expanded", "permuted_slice", "permuted_expansion")


def _order(rng: np.random.Generator, ndim: int, layout: str) -> list[int]:
    """Return the dims, innermost first."""
    order = list(range(ndim))[::-1]
    if layout.startswith("permuted"):
        return [int(d) for d in rng.permutation(ndim)]
    if layout == "channels_last" and ndim > 2:
        order.remove(1)
        return [1, *order]
    return order


def _strides(
    rng: np.random.Generator, shape: Ints, order: list[int], layout: str
) -> tuple[Ints, int]:
    """Return strides and offset of an array whose dims lie in this order."""
    sliced = layout in ("sliced", "permuted_slice")
    expanded = layout in ("expanded", "permuted_expansion")
    # Steps in every dim of a large array would take much memory.
    stepped = order if math.prod(shape) <= _SMALL else order[:1]
    strides, unit = [0] * len(shape), 1
    for d in order:
        if expanded and rng.random() < 0.4:
            continue
        if shape[d] == 1 and rng.random() < 0.4:  # any stride will do
            strides[d] = int(rng.integers(0, 9))
            continue
        step, gap = 1, 0
        if sliced and d in stepped:
            step, gap = _pick(rng, _STEPS), int(rng.integers(0, 3))
        strides[d] = unit * step
        unit *= max(1, shape[d]) * step + gap
    return tuple(strides), int(rng.integers(0, 4)) if sliced else 0


_STEPS = (1, 1, 1, 2, 3)
