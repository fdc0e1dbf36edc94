"""Compares every vector of a kind with the installed frameworks; prints progress and a result.

    python -m tests.exact.exhaustive PART [--first A] [--last B]

PART is one of

    float32-torch       every float32 vector of length 1: forward and gradient at p = 0, 1, 2, inf
                        and -inf
    float32-mindspore   the same: the forward of L2Normalize
    float16-torch       every pair of float16 values as a vector of length 2: forward at the same
                        p, gradient at p = 2
    float16-mindspore   the same: the forward of L2Normalize

Blocks of 2**22 vectors are counted from A to B, so that a run can be split. Exit status 0 means
that all bits were the same. It is not part of the tests; RECORDS.md has the results.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from portnorm.exact import mindspore_cpu, torch_cpu
from portnorm.reference import MindSporeReference, TorchReference
from tests.exact.live_torch import forward, gradient
from tests.exact.random_cases import EXACT_ORDERS, Case, Layout
from tests.exact.same_encoding import Array, mismatch

BLOCK = 1 << 22
BLOCKS = (1 << 32) // BLOCK
EPSILON = 1e-4
SMALLEST = float(np.finfo(np.float32).tiny)

Compared = Iterator[tuple[str, Array, Array]]
"""What was compared, what was found and what was expected."""


def singles(block: int) -> Array:
    """Return float32 vectors of length 1: those whose bits are counted by the block."""
    bits = np.arange(block * BLOCK, (block + 1) * BLOCK, dtype=np.uint64).astype(np.uint32)
    return bits.view(np.float32).reshape(-1, 1)


def pairs(block: int) -> Array:
    """Return float16 vectors of length 2, whose bits make up one number of 32 bits."""
    return singles(block).reshape(-1).view(np.float16).reshape(-1, 2)


def with_torch(x: Array, block: int) -> Compared:
    import torch

    torch.set_num_threads(1)
    reference = TorchReference.current()
    layout = Layout(x.shape, (x.shape[1], 1))
    random = np.random.default_rng(block)
    g = random.integers(0, 1 << 16, 2 * BLOCK).astype(np.uint16)
    g = g.view(x.dtype)[: x.size] if x.dtype == np.float16 else g.view(np.float32)
    dtype = "float16" if x.dtype == np.float16 else "float32"
    for p in EXACT_ORDERS:
        case = Case(dtype, layout, layout, x.reshape(-1), g, p, 1, 1e-12)
        found = torch_cpu.normalize(x, p, 1, 1e-12, reference)
        yield f"forward p={p:g}", found, forward(torch, case)
        if p == 2 or x.shape[1] == 1:
            dx = torch_cpu.normalize_vjp(x, case.g, p, 1, 1e-12, reference)
            yield f"gradient p={p:g}", dx, gradient(torch, case)


def with_mindspore(x: Array, block: int) -> Compared:
    from mindspore import Tensor, ops

    native = ops.L2Normalize(1, EPSILON)(Tensor(x)).asnumpy()
    found = mindspore_cpu.l2_normalize(x, 1, EPSILON, MindSporeReference.current())
    if x.dtype == np.float32:
        # Subnormals are flushed or not, by the thread of MindSpore that does the work. Squares may
        # be subnormal: epsilon takes their place.
        defined = ~(subnormal(x) | subnormal(found))
        yield "forward, nothing subnormal", found[defined], native[defined]
    else:
        yield "forward", found, native


def subnormal(x: Array) -> Array:
    return np.asarray((np.abs(x) < SMALLEST) & (x != 0))


PARTS: dict[str, tuple[Callable[[int], Array], Callable[[Array, int], Compared]]] = {
    "float32-torch": (singles, with_torch),
    "float32-mindspore": (singles, with_mindspore),
    "float16-torch": (pairs, with_torch),
    "float16-mindspore": (pairs, with_mindspore),
}


def compare(part: str, first: int, last: int, out: Any) -> bool:
    vectors, compared = PARTS[part]
    counts: dict[str, int] = {}
    wrong = 0
    start = time.monotonic()
    for block in range(first, last):
        for name, found, expected in compared(vectors(block), block):
            counts[name] = counts.get(name, 0) + found.size
            if text := mismatch(found, expected):
                wrong += 1
                print(f"block {block}, {name}: {text}", file=out)
        if (block + 1) % 32 == 0 or block + 1 == last:
            minutes = (time.monotonic() - start) / 60
            done, every = block + 1 - first, last - first
            print(f"{part}: {done} of {every} blocks, {minutes:.1f} min", file=out, flush=True)
    for name, elements in counts.items():
        print(f"{name}: {elements} elements", file=out)
    total = sum(counts.values())
    verdict = f"{wrong} differing blocks" if wrong else "0 mismatches"
    print(f"{part}, blocks {first} to {last} of {BLOCKS}: {total} elements, {verdict}", file=out)
    return not wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--last", type=int, default=BLOCKS)
    options = parser.parse_args()
    return 0 if compare(options.part, options.first, options.last, sys.stdout) else 1


if __name__ == "__main__":
    sys.exit(main())
