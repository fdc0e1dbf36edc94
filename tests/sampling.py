"""Matrices of graphs and kernels, of which each run takes a sample; `--full` runs them whole.

A matrix is a test with several axes, such as the mode, the dtype and the layout. A sample has the
dtypes of the run, and as many values of the other axes as fit into a few cells, in combinations
that the seed draws, so that many runs see all of them.
"""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

SEED_OF_SAMPLES = "PORTNORM_SAMPLE_SEED"
"""The variable that holds the seed, which all workers of a run share."""


def drawn_seed() -> int:
    """Return PORTNORM_TEST_SEED, or a fresh seed that nothing in this process has an influence on.

    Hypothesis seeds the generator of `random`, which would draw the same one in every run.
    """
    return int(os.environ.get("PORTNORM_TEST_SEED") or random.SystemRandom().getrandbits(32))


def seed_of_test() -> int:
    """Return the seed of a random test, and print what repeats it."""
    seed = drawn_seed()
    print(f"PORTNORM_TEST_SEED={seed}")
    return seed


DTYPES = ("float32", "float64"), ("float16", "bfloat16")
"""Those of which each run takes one wide and one half type, for each has kernels of its own."""


def dtypes_of_run(seed: str) -> set[str]:
    """Return the dtypes of a run.

    >>> sorted(dtypes_of_run("1"))
    ['bfloat16', 'float32']
    """
    rng = random.Random(f"{seed} dtypes")
    return {rng.choice(kinds) for kinds in DTYPES}


Axes = Mapping[Any, Any]
"""The value of each axis."""


def sample(cells: Sequence[Axes], rng: random.Random) -> list[int]:
    """Return the numbers of as few cells as hold every value of each axis, in their order.

    >>> cells = [{"mode": mode, "dtype": dtype} for mode in "pg" for dtype in (16, 32, 64)]
    >>> chosen = [cells[k] for k in sample(cells, random.Random(0))]
    >>> len(chosen), sorted({cell["dtype"] for cell in chosen})
    (3, [16, 32, 64])
    """
    missing = {pair for cell in cells for pair in cell.items()}
    left = list(range(len(cells)))
    rng.shuffle(left)
    chosen = []
    while missing:
        best = max(left, key=lambda k: len(missing & cells[k].items()))
        left.remove(best)
        missing -= cells[best].items()
        chosen.append(best)
    return sorted(chosen)


MATRICES = {
    f"tests/{name}.py"
    for name in (
        "certify/test_certify",
        "certify/test_certify_cuda",
        "examples/test_examples",
        "exact/test_bit_patterns",
        "exact/test_golden_outputs",
        "exact/test_ieee",
        "exact/test_live_layouts",
        "exact/test_live_torch",
        "exact/test_processes",
        "exact/test_summation_orders",
        "hosts/test_mindspore_definition",
        "hosts/test_mindspore_dynamic",
        "hosts/test_mindspore_forward",
        "hosts/test_mindspore_gradients",
        "hosts/test_mindspore_mixed_precision",
        "hosts/test_mindspore_modes",
        "hosts/test_mindspore_native",
        "hosts/test_mindspore_special_values",
        "hosts/test_mindspore_strict",
        "hosts/test_mindspore_strict_modes",
        "hosts/test_mindspore_strict_refusals",
        "hosts/test_mindspore_unsupported_p",
        "hosts/test_torch_distributed",
        "hosts/test_torch_graphs",
        "hosts/test_torch_l2_normalize",
        "hosts/test_torch_strict",
        "identify/test_identify",
    )
}
"""Files whose matrices take long, for graphs or kernels are compiled in them. Others run whole."""

MOST_CELLS = {"tests/exact/test_golden_outputs.py": 12}
"""Of a matrix in a run; 3 in other files."""


def sampled(items: Sequence[Any], seed: str) -> list[Any]:
    """Return the tests to run: a sample of each matrix in those files, and all else."""
    chosen, others = [], set().union(*DTYPES) - dtypes_of_run(seed)
    for name, group in groupby(items, key=lambda item: item.nodeid.partition("[")[0]):
        tests = list(group)
        file = name.partition("::")[0]
        if file in MATRICES and hasattr(tests[0], "callspec"):
            tests = [item for item in tests if others.isdisjoint(item.callspec._idlist)] or tests
            cells = [dict(enumerate(item.callspec._idlist)) for item in tests]
            rng = random.Random(f"{seed} {name}")
            drawn = sample(cells, rng)
            most = min(MOST_CELLS.get(file, 3), len(drawn))
            tests = [tests[k] for k in sorted(rng.sample(drawn, most))]
        chosen += tests
    return chosen
