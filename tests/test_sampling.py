"""A sample of a matrix holds every value of each axis, and other combinations in each run."""

from __future__ import annotations

import itertools
import random
from types import SimpleNamespace
from typing import Any

import pytest

from tests.sampling import MATRICES, dtypes_of_run, sample, sampled

CELLS = [
    {"mode": mode, "dtype": dtype, "dim": dim}
    for mode, dtype, dim in itertools.product("pjg", range(5), range(4))
    if (mode, dtype) != ("g", 0)  # a matrix may have holes
]


def test_every_value_of_each_axis_is_in_a_small_sample() -> None:
    for seed in range(50):
        chosen = [CELLS[k] for k in sample(CELLS, random.Random(seed))]
        assert {pair for cell in chosen for pair in cell.items()} == {
            pair for cell in CELLS for pair in cell.items()
        }
        assert 5 <= len(chosen) <= 8


def test_all_combinations_come_up_in_many_runs() -> None:
    seen = {k for seed in range(300) for k in sample(CELLS, random.Random(seed))}
    assert seen == set(range(len(CELLS)))


def test_a_matrix_has_a_few_cells_in_a_run_and_all_in_many() -> None:
    matrix = [item(min(MATRICES), a, b) for a in "abc" for b in "uvwxyz"]
    runs = [sampled(matrix, str(seed)) for seed in range(100)]
    assert {len(found) for found in runs} == {3}
    assert {one.nodeid for found in runs for one in found} == {one.nodeid for one in matrix}


def item(path: str, *axes: str) -> Any:
    name = f"{path}::test_a[{'-'.join(axes)}]"
    return SimpleNamespace(nodeid=name, callspec=SimpleNamespace(_idlist=list(axes)))


@pytest.mark.parametrize("path", ["tests/test_options.py", min(MATRICES)])
def test_only_matrices_of_the_listed_files_are_sampled(path: str) -> None:
    matrix = [item(path, a, b) for a in "abc" for b in "xyz"]
    line = [item(path.replace(".py", ".py::of_one_axis"), a) for a in "abc"]
    alone = SimpleNamespace(nodeid=f"{path}::test_b")
    found = sampled([*matrix, *line, alone], "1")
    assert found == sampled([*matrix, *line, alone], "1")
    assert found[-1] is alone
    assert all(one in found for one in line)
    assert len(found) == (7 if path in MATRICES else 13)


@pytest.mark.parametrize("path", ["tests/test_options.py", min(MATRICES)])
def test_matrices_of_the_listed_files_take_the_dtypes_of_the_run(path: str) -> None:
    dtypes = ["float16", "bfloat16", "float32", "float64", "complex64"]
    matrix = [item(path, dtype, mode) for dtype in dtypes for mode in "pg"]
    only = [item(path.replace(".py", ".py::of_one_dtype"), "float16", mode) for mode in "pg"]
    seen = set()
    for seed in map(str, range(30)):
        found = sampled([*matrix, *only], seed)
        assert all(one in found for one in only)
        taken = {one.callspec._idlist[0] for one in found if one in matrix}
        seen |= taken
        if path in MATRICES:
            assert taken <= dtypes_of_run(seed) | {"complex64"}
    assert seen == set(dtypes)
