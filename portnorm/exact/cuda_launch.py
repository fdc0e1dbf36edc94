"""How torch launches a sum on a CUDA device: which threads share an output, and how many blocks.

The device has a say in the bits through this alone. Sizes and strides here are those of merged
dims, innermost first, the reduced ones before the kept ones; strides count elements. Source:
ATen's `setReduceConfig`, compared on an H100 that was also made to look like other devices.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from portnorm.exact.machine.arrays import Ints
from portnorm.exact.torch_walks import Walk
from portnorm.reference import CudaDevice, CudaRules

WARP = 32
"""Threads that exchange numbers without memory."""

_MOST_THREADS = 512
"""Threads of a block at most."""

VECTOR = 4
"""Elements, or outputs, of a vector; 16-bit sums of newer releases have longer ones."""

PARTIAL = 4
"""Partial sums of a thread, where it does not read vectors."""


class Launch(NamedTuple):
    """What of a launch decides on the order of a sum.

    Attributes:
        along_x: whether threads along x share an output; otherwise they have neighbouring outputs.
        width: how many threads along x share an output.
        height: how many along y.
        blocks: how many blocks share an output.
        vector: how many elements a thread reads at once along a row, or 0 where it reads one.
    """

    along_x: bool
    width: int
    height: int
    blocks: int
    vector: int


def launch(
    sizes: Ints, strides: Ints, reduced: int, address: int, vector: int, device: CudaDevice
) -> Launch:
    """Return how a sum is launched.

    Args:
        sizes, strides: of the operand that is summed.
        reduced: how many of the dims are reduced.
        address: of the first element, counted in elements.
        vector: elements of a vector if rows may be read in vectors, otherwise 0.
        device: on which.

    >>> launch((1024, 8192), (1, 1024), 1, 0, 4, CudaDevice.named("A100"))
    Launch(along_x=True, width=32, height=1, blocks=1, vector=4)
    """
    elements, outputs = math.prod(sizes[:reduced]), math.prod(sizes[reduced:])
    along_x = reduced == len(sizes) or strides[0] < strides[reduced]
    contiguous = not sizes or strides[0 if along_x else reduced] == 1
    if not (contiguous and along_x and reduced == 1):
        vector = 0
    output_vector = 1
    if contiguous and not along_x:
        others = [stride for dim, stride in enumerate(strides) if dim != reduced]
        output_vector = math.gcd(VECTOR, address, sizes[reduced], *others)
    along, across = elements // max(vector, 1), outputs // output_vector
    most = _MOST_THREADS // output_vector
    width, height = _block(along, outputs, most) if along_x else _block(across, elements, most)

    step = width if along_x else 1
    shares_y = -(-elements // step) >= min(16 * height, 256)
    step *= height if shares_y else 1
    outputs_of_block = (1 if along_x else width) * (1 if shares_y else height)
    blocks = -(-across // outputs_of_block)
    values = -(-elements // step)
    fitting = device.multiprocessors * (device.threads_per_multiprocessor // (width * height))
    sharing = 1
    if shares_y and values >= 256 and blocks <= fitting:
        sharing = max(min(-(-fitting // blocks), -(-values // 16)), -(-values // 256))
    return Launch(along_x, width if along_x else 1, height if shares_y else 1, sharing, vector)


def _block(x: int, y: int, most: int) -> Ints:
    """Return the threads of a block along x and y: powers of two, a warp along x if there can be.

    What is left of `most` goes to y, and what y does not need to x.
    """
    x, y = (min(1 << max(n, 1).bit_length() - 1, most) for n in (x, y))
    height = min(y, most // min(x, WARP))
    return min(x, most // height), height


class Part(NamedTuple):
    """A part of a sum that is launched by itself.

    Attributes:
        sizes: of the part.
        start: where its first element lies.
        to: where its first output lies.
        adds: whether its sums are added to those that are there.
    """

    sizes: Ints
    start: int
    to: int
    adds: bool


def parts(walk: Walk, width: int, most: int) -> Iterator[Part]:
    """Yield the parts of a sum, in the order in which they are launched.

    A device counts with 32 bits, so an operand that is too large is halved along the dim that
    takes the most memory, until all parts fit.

    Args:
        walk: operands: what is summed, and the outputs.
        width: bytes of an element.
        most: bytes, and elements, of a part.
    """
    waiting = [Part(walk.sizes, 0, 0, False)]
    while waiting:
        part = waiting.pop()
        while not _fits(part.sizes, walk.strides, width, most):
            dim = _largest_dim(part.sizes, walk.strides)
            half = part.sizes[dim] // 2
            source, target = walk.strides[0][dim], walk.strides[1][dim]
            before, after = part.sizes[:dim], part.sizes[dim + 1 :]
            waiting.append(
                Part(
                    (*before, part.sizes[dim] - half, *after),
                    part.start + half * source,
                    part.to + half * target,
                    part.adds or target == 0,
                )
            )
            part = part._replace(sizes=(*before, half, *after))
        yield part


def _fits(sizes: Ints, operands: tuple[Ints, ...], width: int, most: int) -> bool:
    return math.prod(sizes) <= most and all(
        1 + width * sum((n - 1) * stride for n, stride in zip(sizes, strides, strict=True)) <= most
        for strides in operands
    )


def _largest_dim(sizes: Ints, operands: tuple[Ints, ...]) -> int:
    """Return the dim of greatest extent, of several the outermost."""
    extents = [(size - 1) * max(strides) for size, *strides in zip(sizes, *operands, strict=True)]
    return max(range(len(sizes)), key=lambda dim: (extents[dim], dim))


LARGEST_PART = 2**31 - 1
"""Bytes, and elements, that 32 bits can count."""


def vector_of(rules: CudaRules, elements: int, half_sum: bool) -> int:
    """Return how many elements a vector has along a row of so many, 0 where there are no vectors.

    `half_sum` says that it is the sum of a gradient of a 16-bit dtype.
    """
    if elements < rules.vector_from:
        return 0
    return rules.half_sum_vector if half_sum else VECTOR
