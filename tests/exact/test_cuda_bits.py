"""The bits of a CUDA device: those that are stored of an H100, and what belongs to the rules.

tests/golden/cuda has digests of its outputs, also of those that it gave when torch was told that
it had fewer or more multiprocessors. Each run takes a sample of them, `--full` takes all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from portnorm.certify.cuda_golden import StoredDigests, cuda_case, digests_of, read_digests
from portnorm.certify.implementations import AsRead, as_read
from portnorm.errors import StrictParityError
from portnorm.exact import cuda_plans, torch_cpu, torch_cuda
from portnorm.exact.cuda_launch import launch, parts
from portnorm.exact.reduction import SQUARES
from portnorm.exact.torch_walks import Walk
from portnorm.reference import CUDA_AS_READ, CudaDevice, TorchReference
from tests.sampling import SEED_OF_SAMPLES, dtypes_of_run

GOLDEN = list(read_digests(Path(__file__).parents[1] / "golden" / "cuda"))
H100 = TorchReference("2.11.0", "cuda")
OF_H100 = {
    number: digests
    for stored in GOLDEN
    if stored.reference == H100
    for number, digests in zip(stored.numbers, stored.digests, strict=True)
}
SAMPLE = 18
"""Cases of the H100 in a run, of its dtypes, and a sixth of that of each other device."""


@pytest.mark.parametrize("stored", GOLDEN, ids=lambda stored: repr(stored.reference.device))
def test_stored_digests(stored: StoredDigests, request: Any, rng: np.random.Generator) -> None:
    pairs = list(zip(stored.numbers, stored.digests, strict=True))
    cases = ((cuda_case(pairs[k][0]), pairs[k]) for k in rng.permutation(len(pairs)))
    if not request.config.getoption("--full"):
        count = SAMPLE if stored.reference == H100 else SAMPLE // 6
        dtypes = dtypes_of_run(os.environ[SEED_OF_SAMPLES])
        cases = islice((found for found in cases if found[0].dtype in dtypes), count)
    build = as_read(stored.reference)
    wrong = [number for case, (number, want) in cases if digests_of(case, build) != want]
    assert wrong == []


def test_there_are_as_many_as_there_were() -> None:
    assert len(OF_H100) == 13_241
    assert sorted(len(stored.numbers) for stored in GOLDEN)[0] >= 250
    assert len(GOLDEN) == 8


# --- planted faults ------------------------------------------------------------------------------


@pytest.fixture
def no_plans_left() -> Iterator[None]:
    """Plans that were made under a fault must not outlive it."""
    caches = cuda_plans._plan_for, cuda_plans._sum_plan
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


def found(numbers: tuple[int, ...], reference: Any) -> bool:
    return any(digests_of(cuda_case(n), reference) != OF_H100[n] for n in numbers)


FAULTS = {
    "shuffles that rise": ({"shuffles_fall": False}, (2, 7, 18)),
    "y before x": ({"x_before_y": False}, (29, 184)),
    "vectors only of longer rows": ({"vector_from": 129}, (1976, 4693, 5364)),
    "no gradient at the floor": ({"gradient_passes_at_floor": False}, (125,)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_rules_of_another_release_are_found(fault: str) -> None:
    changes, numbers = FAULTS[fault]
    rules = replace(CUDA_AS_READ["2.11.0"], **changes)
    assert not found(numbers, H100)
    assert found(numbers, AsRead(rules, H100.device))


def test_the_vectors_of_16_bit_sums_matter() -> None:
    """float32 adds most float16 without rounding, unless two large ones cancel among small ones."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((50, 256)).astype(np.float16)
    g = (rng.standard_normal((50, 256)) / 256).astype(np.float16)
    x[:, 0] = x[:, 1] = 1
    g[:, 0], g[:, 1] = 60_000, -60_000
    rules = CUDA_AS_READ["2.11.0"]
    one, other = (
        torch_cuda.normalize_vjp(x, g, reference=AsRead(found, H100.device))  # type: ignore[arg-type]
        for found in (rules, replace(rules, half_sum_vector=4))
    )
    assert not np.array_equal(one, other)


def test_another_device_is_found_where_blocks_share_an_output() -> None:
    t4 = TorchReference("2.11.0", "cuda", device=CudaDevice.named("T4"))
    assert not found((322, 3811), H100)
    assert found((322, 3811), t4)


@pytest.mark.usefixtures("no_plans_left")
def test_squares_that_are_rounded_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_plans, "FUSED_SQUARES", SQUARES)
    assert found((22, 94), H100)


def test_an_offset_that_is_ignored_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_plans, "_offset_of", lambda x: 0)
    assert found((109, 152), H100)


# --- arguments -----------------------------------------------------------------------------------


def test_a_view_has_its_offset(rng: np.random.Generator) -> None:
    memory = rng.standard_normal(60 * 1030 + 3).astype(np.float32)
    x = memory[3:].reshape(60, 1030)
    by_itself, stated = torch_cuda.normalize(x), torch_cuda.normalize(x.copy(), offset=3)
    assert np.array_equal(by_itself, stated)
    assert not np.array_equal(by_itself, torch_cuda.normalize(x.copy()))


def test_float16_has_a_floor_that_it_cannot_hold() -> None:
    x = np.ones((1, 2), np.float16)
    assert torch_cuda.normalize(x, eps=1e5).tolist() == [[0, 0]]
    with pytest.raises(RuntimeError, match="type float without overflow"):
        torch_cuda.normalize(x, eps=1e39)


@pytest.mark.parametrize("dtype", [np.float16, np.uint16, np.float32, np.float64])
def test_nothing_is_normalized_to_nothing(dtype: Any) -> None:
    x = np.zeros((0, 3), dtype)
    assert torch_cuda.normalize(x).shape == torch_cuda.normalize_vjp(x, x).shape == (0, 3)
    assert torch_cuda.norms(x).shape == (0, 1)
    assert torch_cuda.norms(x, dim=0).tolist() == [[0, 0, 0]]


def test_what_is_not_known_is_refused() -> None:
    x = np.ones((2, 2), np.float32)
    with pytest.raises(StrictParityError, match="p=3 on a CUDA device"):
        torch_cuda.normalize(x, 3.0)
    with pytest.raises(StrictParityError, match="complex64"):
        torch_cuda.normalize(x.astype(np.complex64))
    with pytest.raises(StrictParityError, match="certify --device cuda"):
        torch_cuda.normalize(x, reference=TorchReference("2.13.0", "cuda"))


def test_a_reference_of_the_other_kind_is_refused() -> None:
    x = np.ones((2, 2), np.float32)
    with pytest.raises(ValueError, match="torch_cpu"):
        torch_cuda.normalize(x, reference=TorchReference())
    with pytest.raises(ValueError, match="torch_cuda"):
        torch_cpu.normalize(x, reference=H100)


# --- launches ------------------------------------------------------------------------------------


def test_the_device_counts_only_where_blocks_share_an_output() -> None:
    names = ("H100 SXM", "T4", "RTX 4090")
    rows = {launch((1024, 99), (1, 1024), 1, 0, 4, CudaDevice.named(name)) for name in names}
    single = {launch((1 << 22,), (1,), 1, 0, 4, CudaDevice.named(name)) for name in names}
    assert len(rows) == 1
    assert {found.blocks for found in rows} == {1}
    assert len({found.blocks for found in single}) == len(names)


def test_too_large_an_operand_is_halved() -> None:
    """A row of 2**30 float32 has 2**32 bytes: the sums of its two halves are added in order."""
    walk = Walk((1 << 30, 2), ((1, 1 << 30), (0, 1)), 1)
    found = list(parts(walk, 4, 2**31 - 1))
    assert [part.sizes for part in found] == [(1 << 29, 1)] * 4
    assert [part.start for part in found] == [0, 1 << 29, 2 << 29, 3 << 29]
    assert [(part.to, part.adds) for part in found] == [
        (0, False),
        (0, True),
        (1, False),
        (1, True),
    ]


@pytest.mark.usefixtures("no_plans_left")
@pytest.mark.parametrize("dim", [0, 1, (0, 2), None])
def test_parts_add_up_to_the_whole(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator, dim: Any
) -> None:
    """Small integers have exact sums, in whatever order."""
    x = rng.integers(-8, 9, (7, 33, 12)).astype(np.float64)
    expected = torch_cuda.norms(x, 1.0, dim)
    gradient = torch_cuda.normalize_vjp(x, x, 1.0, dim)
    cuda_plans._plan_for.cache_clear()
    cuda_plans._sum_plan.cache_clear()
    monkeypatch.setattr(cuda_plans, "LARGEST_PART", 999)
    assert np.array_equal(torch_cuda.norms(x, 1.0, dim), expected)
    assert np.array_equal(torch_cuda.normalize(x, 1.0, dim), x / expected)
    assert len(cuda_plans.plan_of(x, 1.0, dim, 0.0, H100, 0).norms.steps) > 4
    in_parts = torch_cuda.normalize_vjp(x, x, 1.0, dim)
    assert np.allclose(in_parts, gradient, rtol=1e-12, atol=1e-12)
