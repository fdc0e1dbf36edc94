"""Every vector is in exactly one block."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from portnorm.compare.blocks import blocks, fold


@st.composite
def cases(draw: st.DrawFn) -> tuple[tuple[int, ...], int, int]:
    shape = tuple(draw(st.lists(st.integers(1, 6), min_size=1, max_size=4)))
    return shape, draw(st.integers(0, len(shape) - 1)), draw(st.integers(0, 40))


@given(cases())
def test_blocks_hold_all_vectors_in_order(case: tuple[tuple[int, ...], int, int]) -> None:
    shape, dim, vectors = case
    array = np.arange(math.prod(shape)).reshape(shape)
    expected = np.moveaxis(array, dim, -1).reshape(-1, shape[dim])
    found = []
    for first, index in blocks(shape, dim, vectors):
        assert first == sum(map(len, found))
        folded = fold(np.ascontiguousarray(array[index]), dim)
        found.append(folded.swapaxes(1, 2).reshape(-1, shape[dim]))
    assert np.array_equal(np.concatenate(found), expected)


@given(cases())
def test_blocks_hold_two_vectors_and_about_as_many_as_asked_for(
    case: tuple[tuple[int, ...], int, int],
) -> None:
    shape, dim, vectors = case
    total = math.prod(shape) // shape[dim]
    for _, index in blocks(shape, dim, vectors):
        held = math.prod(part.stop - part.start for part in index) // shape[dim]
        assert min(2, total) <= held <= max(2, vectors) + 1
