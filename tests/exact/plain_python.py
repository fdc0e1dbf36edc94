"""Results of the public functions on seeded cases, in whichever way this process runs kernels."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import numpy as np

from portnorm.certify.implementations import AsRead
from portnorm.exact import mindspore_cpu, torch_cpu, torch_cuda
from portnorm.exact.accurate import Definition, divide, divide_vjp
from portnorm.reference import CUDA_AS_READ, CudaDevice, MindSporeReference, TorchReference
from tests.exact.random_cases import random_case, random_values
from tests.exact.same_encoding import Array, words

TORCH = (
    TorchReference("2.13.0"),
    TorchReference("2.7.1"),
    TorchReference("2.0.1", "avx512"),
    TorchReference("2.2.2", "default"),
    TorchReference("2.10.0", "neon"),
    TorchReference("2.9.1", "sve256"),
    TorchReference("2.14.1"),
)
MINDSPORE = (MindSporeReference("2.10.0"), MindSporeReference("2.9.0", "aarch64"))
PER_DTYPE = 6
"""Random cases for each dtype and reference."""


def torch_results(rng: np.random.Generator, dtypes: list[str]) -> Iterator[tuple[str, Array]]:
    for reference in TORCH:
        for dtype in dtypes:
            if dtype == "float16" and not reference.rules.float16:
                continue
            for _ in range(PER_DTYPE):
                case = random_case(rng, dtype, elements=150)
                name = f"{reference} {case}"
                try:
                    y = torch_cpu.normalize(case.x, *case.arguments, reference)
                    yield f"forward {name}", y
                    grad = torch_cpu.normalize_vjp(case.x, case.g, *case.arguments, reference)
                    yield f"gradient {name}", grad
                except RuntimeError as error:  # of cases that torch refuses
                    yield f"{error!r} {name}", np.zeros(0, np.float32)


CUDA = (
    TorchReference("2.11.0", "cuda"),
    AsRead(CUDA_AS_READ["2.5.1"], CudaDevice.named("T4")),
)


def cuda_results(rng: np.random.Generator, dtypes: list[str]) -> Iterator[tuple[str, Array]]:
    for reference in CUDA:
        for dtype in dtypes:
            for _ in range(3):
                case = random_case(rng, dtype, elements=150)
                arguments = *case.arguments[:3], reference
                name = f"cuda {reference} {case}"
                try:
                    yield f"forward {name}", torch_cuda.normalize(case.x, *arguments)
                    yield f"gradient {name}", torch_cuda.normalize_vjp(case.x, case.g, *arguments)
                except RuntimeError as error:  # of cases that torch refuses
                    yield f"{error!r} {name}", np.zeros(0, np.float32)
            # Rows that are read in vectors, of which the first is not aligned.
            x = random_values(rng, 3 * 263, dtype)[1:-2].reshape(3, 262)
            yield f"forward cuda rows {dtype}", torch_cuda.normalize(x, 2.0, 1, 1e-12, reference)
            found = torch_cuda.normalize_vjp(x, x, 2.0, 1, 1e-12, reference)
            yield f"gradient cuda rows {dtype}", found
        # Blocks that share an output.
        for shape, dim in (((66_000, 2), 0), ((1, 132_000), 1)):
            x = random_values(rng, shape[0] * shape[1], "float32").reshape(shape)
            yield f"forward cuda {shape}", torch_cuda.normalize(x, 1.0, dim, 1e-12, reference)


def shared_out(rng: np.random.Generator, dtypes: list[str]) -> Iterator[tuple[str, Array]]:
    """Sums that torch's threads share out, of one output and of several."""
    reference = TorchReference(threads=2)
    for dim in (None, 0):
        x, g = (random_values(rng, 33_000, "float32").reshape(3, -1) for _ in range(2))
        yield f"forward {dim}", torch_cpu.normalize(x, 2.0, dim, 1e-12, reference)
        yield f"gradient {dim}", torch_cpu.normalize_vjp(x, g, 2.0, dim, 1e-12, reference)


def powers(rng: np.random.Generator, dtypes: list[str]) -> Iterator[tuple[str, Array]]:
    for dtype in dtypes:
        for p in (3.0, 0.5, -1.5):
            case = random_case(rng, dtype, orders=(p,), elements=150)
            try:
                yield f"power {case}", torch_cpu.normalize(case.x, *case.arguments)
            except RuntimeError as error:
                yield f"{error!r} {case}", np.zeros(0, np.float32)


def without_bfloat16(dtypes: list[str]) -> list[str]:
    """Return those that MindSpore's L2Normalize has."""
    return [dtype for dtype in dtypes if dtype != "bfloat16"]


def mindspore_results(rng: np.random.Generator, dtypes: list[str]) -> Iterator[tuple[str, Array]]:
    for reference in MINDSPORE:
        for dtype in without_bfloat16(dtypes):
            short = [rng.integers(1, 8, rng.integers(1, 4)).tolist() for _ in range(PER_DTYPE)]
            for shape in map(tuple, (*short, [300], [2, 70])):
                x, dy = (random_values(rng, int(np.prod(shape)), dtype) for _ in range(2))
                x, dy = x.reshape(shape), dy.reshape(shape)
                axis, epsilon = int(rng.integers(len(shape))), float(rng.choice([1e-4, 0.1]))
                name = f"{reference} {dtype}{shape} axis={axis} epsilon={epsilon}"
                y = mindspore_cpu.l2_normalize(x, axis, epsilon, reference)
                yield f"forward {name}", y
                grad = mindspore_cpu.l2_normalize_vjp(x, y, dy, axis, epsilon, reference)
                yield f"gradient {name}", grad


def definitions(rng: np.random.Generator, dtypes: list[str]) -> Iterator[tuple[str, Array]]:
    for dtype in without_bfloat16(dtypes):
        for shape, dims in (((2, 530), (1,)), ((3, 70, 9), (1,)), ((2, 3, 2), (0, 2))):
            x, dy = (random_values(rng, int(np.prod(shape)), dtype) for _ in range(2))
            x, dy = x.reshape(shape), dy.reshape(shape)
            for takes_ties in (False, True):
                definition = Definition(dims, float(rng.choice([0.0, 1e-12, 0.5])), takes_ties)
                yield f"forward {dtype}{shape} {definition}", divide(x, definition)
                yield f"gradient {dtype}{shape} {definition}", divide_vjp(x, dy, definition)


def results(seed: int, dtypes: int) -> list[tuple[str, str]]:
    """Return the name and the encoding of each result, for as many dtypes."""
    rng = np.random.default_rng(seed)
    # A product of two halves is exact in float32: those alone do not tell whether it is fused.
    pairs = rng.permuted([["float32", "float64"], ["float16", "bfloat16"]], axis=1)
    drawn = pairs.T.ravel().tolist()[:dtypes]
    parts = (torch_results, cuda_results, shared_out, powers, mindspore_results, definitions)
    with np.errstate(all="ignore"):
        return [
            (f"{number}: {name}", f"{array.dtype}{array.shape} {words(array).tobytes().hex()}")
            for part in parts
            for number, (name, array) in enumerate(part(rng, drawn))
        ]


if __name__ == "__main__":
    json.dump(results(*map(int, sys.argv[1:])), sys.stdout)
