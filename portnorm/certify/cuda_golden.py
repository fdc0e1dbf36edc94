"""Outputs of torch on a CUDA device, stored as digests: tests/golden/cuda/README.md says how.

A case is made from its number alone, with the same numbers on every machine. What is drawn, and in
which order, must stay as it was when the digests were made.
"""

from __future__ import annotations

import hashlib
import math
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from portnorm.certify.cases import Case, Dims, Ints, View
from portnorm.certify.check import Count, Tally
from portnorm.certify.encodings import FORMATS, Array, Format
from portnorm.certify.implementations import as_read
from portnorm.exact import torch_cuda
from portnorm.exact.torch_walks import (
    broadcast_strides,
    contiguous_strides,
    elementwise_strides,
    keepdim_shape,
)
from portnorm.reference import CudaDevice, TorchReference
from portnorm.semantics import normalize_dims

FUNCTIONS = ("norm", "forward", "gradient")
"""What a row of digests is of."""


class StoredDigests(NamedTuple):
    """The digests of one device.

    Attributes:
        reference: the build and the device.
        numbers: of the cases.
        digests: of each, a row as `FUNCTIONS`.
    """

    reference: TorchReference
    numbers: list[int]
    digests: list[list[int]]


def read_digests(folder: Path) -> Iterator[StoredDigests]:
    """Read the files of a folder; there may be none.

    Raises:
        OSError, KeyError, ValueError, zipfile.BadZipFile: a file holds something else.
    """
    for path in sorted(folder.glob("*.npz")):
        version = path.stem.rpartition("-")[2]
        with np.load(path, allow_pickle=False) as file:
            for name in sorted(file.files):
                if name.startswith("seeds"):
                    device = _device(name.removeprefix("seeds"))
                    numbers = file[name].tolist()
                    digests = file[name.replace("seeds", "digests", 1)].tolist()
                    yield StoredDigests(
                        TorchReference(version, "cuda", device=device), numbers, digests
                    )


def _device(suffix: str) -> CudaDevice | None:
    """Return the device that the name of an array ends with, None for the H100."""
    if not suffix:
        return None
    found = re.fullmatch(r"_(\d+)x(\d+)", suffix, re.ASCII)
    if found is None:
        raise ValueError(f"{suffix!r} is not the name of a device such as _108x2048")
    multiprocessors, threads = map(int, found.groups())
    return CudaDevice(multiprocessors, threads)


def check_digests(stored: StoredDigests) -> Tally:
    """Compare stored digests with those of `portnorm.exact.torch_cuda`."""
    tally, started, build = Tally(), time.monotonic(), as_read(stored.reference)
    for number, expected in zip(stored.numbers, stored.digests, strict=True):
        case = cuda_case(number)
        found = digests_of(case, build)
        for function, want, got in zip(FUNCTIONS, expected, found, strict=True):
            details = {} if want == got else {"expected": f"{want:016x}", "found": f"{got:016x}"}
            tally.add(function, case, Count(1, case.x.size, int(want != got)), details)
        tally.cases += 1
    tally.seconds = time.monotonic() - started
    return tally


def digests_of(case: Case, build: Any) -> list[int]:
    """Return the digests of the norm, the result and the gradient of a case.

    Args:
        case: any one.
        build: a reference, or what `as_read` returns for one.
    """
    assert case.g is not None
    x, arguments = case.x.array, (case.p, case.dim, case.eps, build)
    return [
        digest(torch_cuda.norms(x, case.p, case.dim, build)),
        digest(torch_cuda.normalize(x, *arguments)),
        digest(torch_cuda.normalize_vjp(x, case.g.array, *arguments)),
    ]


def digest(array: Array) -> int:
    """Return a digest of the bits, the 16-bit types widened to float32, and every NaN alike."""
    if array.dtype == np.uint16:
        array = (array.astype(np.uint32) << np.uint32(16)).view(np.float32)
    numbers = np.array(array, np.float64 if array.itemsize == 8 else np.float32, order="C")
    words = numbers.view(np.uint64 if array.itemsize == 8 else np.uint32)
    words[np.isnan(numbers)] = 0x7FF8000000000000 if array.itemsize == 8 else 0x7FC00000
    words = words.astype(words.dtype.newbyteorder("<"))
    return int(hashlib.blake2b(words.tobytes(), digest_size=8).hexdigest(), 16)


# --- cases ---------------------------------------------------------------------------------------

# fmt: off
_SIZES = [*range(1, 41), 48, 63, 64, 65, 96, 100, 127, 128, 129, 130, 131, 132, 133, 135, 137, 160,
          192, 200, 255, 256, 257, 260, 300, 384, 400, 500, 511, 512, 513, 516, 600, 768, 1000,
          1023, 1024, 1025, 1028, 1100, 1536, 2000, 2047, 2048, 2049, 3000, 4095, 4096, 4097, 5000,
          6000, 8191, 8192, 8193, 10000, 12345, 16384, 20000, 32768, 40000, 65536, 65537, 65539,
          100003, 131072, 200000, 262145, 524288, 1000000, 1048577, 2000003, 4194304]
_COUNTS = [1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 100, 127,
           128, 129, 200, 255, 256, 257, 384, 511, 512, 513, 528, 529, 600, 1000, 1023, 1024, 1025,
           1056, 1057, 2000, 2048, 2112, 2113, 4096, 4224, 5000, 8448, 8449, 10000, 16896, 33000,
           67585, 100000, 300000]
# fmt: on
_CLASSES = ("rows", "columns", "middle", "nd", "few", "few", "two", "small", "channels", "special")
_CHANNELS = (1, 2, 3, 4, 5, 7, 8, 16, 17, 28, 32, 56, 64, 128, 130)
_P = (*[2.0] * 12, 1.0, 1.0, 1.0, math.inf, math.inf, -math.inf, 0.0)
_EPS = (*[1e-12] * 6, 0.0, 1e-3, 0.3, 1.0, 5.0, 20.0, 1e-40, -1.0)
_OFFSETS = (0, 0, 0, 1, 2, 3, 4, 5, 7, 8)


def cuda_case(number: int) -> Case:
    """Return the case of this number.

    >>> case = cuda_case(7)
    >>> case.dtype, case.x.shape, case.dim, case.p
    ('float32', (8, 1024), 1, 1.0)
    """
    # Numbers from a million on are mostly small cases.
    largest = 1 << 19 if number < 1_000_000 or number % 4 == 0 else 1 << 17
    draw = random.Random(number)
    kind = draw.choice(_CLASSES)
    form = FORMATS[draw.choice(["float32", "float32", "float64", "float16", "bfloat16"])]
    p, eps = draw.choice(_P), draw.choice(_EPS)
    values = draw.choice(["spread"] * 4 + ["flat", "integers"])
    while True:
        shape, dim = _shape(draw, kind)
        if math.prod(shape) <= largest * (8 if kind in ("few", "two") else 1):
            break
    if kind == "special":
        values = draw.choice(["special", "tiny", "huge", "zeros", "special"])
    strides, offset = _layout(draw, kind, shape)
    in_result_order = draw.choice(["C", "y"]) == "y"

    words = _words(number, offset + _extent(shape, strides), form, values)
    x = View(words, shape, strides, offset, form)
    values_of_g = "special" if values == "special" else "spread"
    g_words = _words(number + (1 << 40), math.prod(shape), form, values_of_g)
    of_result = _strides_of_result(shape, strides, dim)
    g_strides = of_result if in_result_order else contiguous_strides(shape)
    g = View(g_words, shape, g_strides, 0, form)
    return Case(f"cuda_case({number})", form.dtype, values, x, g, p, dim, eps)


def _shape(draw: random.Random, kind: str) -> tuple[Ints, Dims]:
    pick = draw.choice
    if kind in ("rows", "columns"):
        n, m = pick(_SIZES), pick(_COUNTS)
        return ((m, n), 1) if kind == "rows" else ((n, m), 0)
    if kind == "middle":
        return (pick(_COUNTS), pick(_SIZES), pick(_COUNTS)), 1
    if kind == "few":
        n, m = pick(_SIZES[-40:]), pick([1, 1, 1, 2, 3, 4, 5, 7, 8, 16, 33])
        return pick([((m, n), 1), ((n, m), 0), ((n,), 0)])
    if kind == "small":
        n, m = draw.randint(1, 40), pick(_COUNTS)
        return pick([((m, n), 1), ((n, m), 0), ((2, n, m), 1), ((m, n, 2), 1)])
    if kind == "two":
        a, b, m = pick(_SIZES[:-20]), pick(_SIZES[:-20]), pick(_COUNTS[:-25])
        several: list[tuple[Ints, Dims]] = [((m, a, b), (1, 2)), ((a, m, b), (0, 2))]
        several += [((a, b, m), (0, 1)), ((a, b), None), ((a, m, b, 3), (0, 2))]
        return pick(several)
    if kind == "channels":
        shape = tuple(pick(_CHANNELS) for _ in range(pick([4, 4, 5])))
        return shape, pick([1, (2, 3), (0, 2, 3), (1, 2, 3), 0, 3, None])
    ndim = draw.randint(0 if kind == "special" else 1, 5)
    top = (40, 4000, 300, 60, 30, 12)[ndim]
    shape = tuple(
        pick([1, 2, 3, 4, draw.randint(1, top), draw.randint(1, top)]) for _ in range(ndim)
    )
    dims = draw.sample(range(ndim), draw.randint(0, ndim))
    return shape, pick([tuple(dims), None, draw.randrange(ndim) if ndim else 0])


def _layout(draw: random.Random, kind: str, shape: Ints) -> tuple[Ints, int]:
    """Return strides and offset."""
    pick, ndim = draw.choice, len(shape)
    layout = pick(["C", "C", "C", "permuted", "slice", "expand"])
    if kind == "channels":
        layout = pick(["last", "last", "C"])
    if kind in ("rows", "columns", "few", "small", "two"):
        layout = pick(["C", "C", "C", "C", "permuted", "padded", "slice"])
    offset, strides = pick(_OFFSETS), contiguous_strides(shape)
    if layout == "permuted":
        order = list(range(ndim))
        draw.shuffle(order)
        strides = _permuted(shape, order)
    elif layout == "last":
        strides = _permuted(shape, [0, *range(2, ndim), 1])
    elif layout == "padded" and ndim:  # a gap after each row
        strides = contiguous_strides((*shape[:-1], shape[-1] + pick([1, 2, 3, 4, 8])))
    elif layout == "slice" and ndim:
        steps = [pick([1, 1, 1, 2, 3]) for _ in shape]
        larger = contiguous_strides([n * step for n, step in zip(shape, steps, strict=True)])
        strides = tuple(stride * step for stride, step in zip(larger, steps, strict=True))
    elif layout == "expand" and ndim:
        gone = draw.randrange(ndim)
        narrow = contiguous_strides([1 if d == gone else n for d, n in enumerate(shape)])
        strides = tuple(0 if d == gone else stride for d, stride in enumerate(narrow))
    return strides, offset


def _permuted(shape: Ints, order: list[int]) -> Ints:
    """Return the strides of a dense array whose dims lie in this order, outermost first."""
    strides, step = [0] * len(shape), 1
    for d in reversed(order):
        strides[d] = step
        step *= shape[d]
    return tuple(strides)


def _strides_of_result(shape: Ints, strides: Ints, dim: Any) -> Ints:
    kept = keepdim_shape(shape, normalize_dims(dim, len(shape)))
    return elementwise_strides(shape, (strides, broadcast_strides(shape, kept)))


def _extent(shape: Ints, strides: Ints) -> int:
    return 1 + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))


_SHIFTS = {
    "float16": {"tiny": -20, "huge": 9},
    "float32": {"tiny": -140, "huge": 64},
    "bfloat16": {"tiny": -130, "huge": 64},
    "float64": {"tiny": -1060, "huge": 512},
}


def _words(number: int, count: int, form: Format, values: str) -> Array:
    """Return the words of a buffer. Nothing here takes a function of the platform."""
    raw = np.random.PCG64(number).random_raw(count)
    numbers = ((raw & 0x1FFFFFF).astype(np.int64) - (1 << 24)).astype(np.float64) / (1 << 24)
    if form.dtype == "float64":
        numbers = numbers + ((raw >> 28) & 0xFFFFFF).astype(np.float64) * 2.0**-49
    if values == "integers":
        numbers = np.rint(numbers * 4)
    elif values != "flat":
        numbers = np.ldexp(numbers, ((raw >> 53) & 7).astype(np.int32) - 3)
    if values in ("tiny", "huge"):
        more = ((raw >> 57) & 7).astype(np.int32)
        numbers = np.ldexp(numbers, _SHIFTS[form.dtype][values] + more)
    elif values == "zeros":
        numbers = np.where((raw >> 57) & 3, 0.0, numbers)
        numbers = np.where((raw >> 60) & 1, -numbers, numbers)
    elif values == "special":
        chosen = np.where((raw >> 45) & 7, 63, (raw >> 57) & 63)
        for code, value in enumerate((np.nan, np.inf, -np.inf, -0.0, 0.0)):
            numbers = np.where(chosen == code, value, numbers)
    return _encoded(numbers, form)


def _encoded(numbers: Array, form: Format) -> Array:
    """Return float64 numbers as words; bfloat16 is cut."""
    if form.dtype == "float64":
        return numbers.view(form.word)
    with np.errstate(over="ignore", under="ignore"):
        numbers = numbers.astype(np.float32)
        if form.dtype != "bfloat16":
            return numbers.astype(form.numpy).view(form.word)
    upper = (numbers.view(np.uint32) >> np.uint32(16)).astype(np.uint16)
    return np.where(np.isnan(numbers), np.uint16(0x7FC0), upper)
