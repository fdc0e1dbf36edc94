"""The order of a sum on a CUDA device: one thread, a block, several blocks.

A thread keeps four partial sums, or one for each element of its vector. The sums of the threads of
a block are added by halving, along x and along y. Where several blocks share an output, the last
one adds up what they left. `cuda_launch` says how many threads and blocks there are.

What the threads of a block do side by side is done here row by row: a row has a number for each
of them (`sum_rows`), or, where they have neighbouring outputs, for each output (`sum_columns`).
Tables, columns and units of work are those of `blocks`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from portnorm.exact.blocks import DIM, count, division, offset, place, row
from portnorm.exact.cuda_launch import PARTIAL, WARP, Launch
from portnorm.exact.machine.compilation import kernel, part
from portnorm.exact.machine.ieee import (
    after_entering,
    computed,
    enter_default_environment,
    leave_default_environment,
    rounded,
    square_root,
)
from portnorm.exact.machine.pointers import elements, shifted, smaller
from portnorm.exact.machine.threads import take, take_next
from portnorm.exact.reduction import FUSED_SQUARES, LARGEST, SMALLEST, SQUARES, VALUES, accumulator
from portnorm.exact.torch_kernels import at_least


class SumWay(NamedTuple):
    """What of a sum has code of its own.

    Attributes:
        kind: what is summed; see `reduction`.
        along_x: whether threads along x share an output.
        vector: elements that a thread reads at once, or 0.
        several: whether dims are reduced that do not merge.
    """

    kind: int
    along_x: bool
    vector: int
    several: bool


@functools.cache
def pair_combiner(kind: int) -> Callable[..., Any]:
    """Return what adds one sum to another."""
    combine = accumulator(kind if kind in (LARGEST, SMALLEST) else VALUES, False)

    def combine_pair(total, added):
        return combine(total, added, total, total)

    return part(combine_pair, kind)


@functools.cache
def combiner(kind: int) -> Callable[..., None]:
    """Return what adds one row of sums to another."""
    combine = pair_combiner(kind)

    def combine_rows(totals, added, size):
        for j in range(size):
            totals[j] = combine(totals[j], added[j])

    return part(combine_rows, kind)


@functools.cache
def element_adder(kind: int) -> Callable[..., None]:
    """Return what adds a row of elements to a row of sums."""
    accumulate = accumulator(kind, False)

    def add_elements(totals, x, start, stride, size, rows):
        added = row(x, start, stride, size, rows)
        for j in range(size):
            totals[j] = accumulate(totals[j], added[j], totals[j], x)

    return part(add_elements, kind)


@part
def clear(totals, size, kind):
    """Start sums: of nothing, the smallest is infinite."""
    for j in range(size):
        totals[j] = np.inf if kind == SMALLEST else 0


# --- a block -------------------------------------------------------------------------------------


@functools.cache
def block_adder(kind: int) -> tuple[Callable[..., None], Callable[..., None]]:
    """Return what adds up the sums of the threads of a block along x, and what does so along y.

    `values` has a row for each y. The total is left in the first place of each row, or in the first
    row.
    """
    combine_rows = combiner(kind)

    def along_x(values, width, height, shuffles_fall):
        for y in range(height):
            sums, apart = shifted(values, y * width), width // 2
            while apart > 0 and (shuffles_fall or apart >= WARP):
                combine_rows(sums, shifted(sums, apart), apart)
                apart //= 2
            warp, apart = smaller(width, WARP), 1
            while apart < warp and not shuffles_fall:
                for x in range(0, warp, 2 * apart):
                    combine_rows(shifted(sums, x), shifted(sums, x + apart), 1)
                apart *= 2

    def along_y(values, width, height, columns):
        apart = height // 2
        while apart > 0:
            for y in range(apart):
                upper = shifted(values, (y + apart) * width)
                combine_rows(shifted(values, y * width), upper, columns)
            apart //= 2

    return part(along_x, kind), part(along_y, kind)


# --- rows: threads along x share an output -------------------------------------------------------


@functools.cache
def chunk_adder(kind: int, several: bool) -> Callable[..., None]:
    """Return what adds elements of a row to sums, an element to each.

    `several` says that dims are reduced which do not merge, so that the elements may lie in pieces.
    """
    add_elements = element_adder(kind)

    def add_pieces(totals, x, start, reduced, first, taken, rows):
        size, stride, outside, done = reduced[0], reduced[1], shifted(reduced, DIM), 0
        while done < taken:
            inner = (first + done) % size
            piece = smaller(size - inner, taken - done)
            at = start + offset((first + done) // size, outside, 1) + inner * stride
            add_elements(shifted(totals, done), x, at, stride, piece, rows)
            done += piece

    def add_chunk(totals, x, start, reduced, first, taken, rows):
        add_elements(totals, x, start + first * reduced[1], reduced[1], taken, rows)

    return part(add_pieces if several else add_chunk, kind)


@functools.cache
def threads_of_row(kind: int, vector: int, several: bool) -> Callable[..., None]:
    """Return what fills `values` with the sums of the threads of one block.

    The blocks take chunks of elements in turn: one element, or one vector, for each thread.
    `partial` has room for the partial sums of all threads.
    """
    per_thread, partials = max(vector, 1), 1 if vector else PARTIAL
    add_chunk, add_elements = chunk_adder(kind, several), element_adder(kind)
    combine, combine_rows = pair_combiner(kind), combiner(kind)

    def fold_vectors(values, partial, threads):
        for j in range(threads):
            total = partial[j * per_thread]
            for lane in range(1, per_thread):
                total = combine(total, partial[j * per_thread + lane])
            values[j] = total

    fold_vectors = part(fold_vectors, kind, vector)

    def sum_threads(
        values, partial, x, start, reduced, size, address, threads, block, blocks, rows
    ):
        chunk, ends = threads * per_thread, vector > 0 and block == 0
        # To add partial sums that no element goes to would change nothing.
        used = smaller(partials, (size - 1) // (chunk * blocks) + 1)
        clear(partial, used * chunk, kind)
        # What stands before the first aligned vector goes to threads of their own, and so does what
        # is left over behind the last one.
        shift = (address + start) % per_thread
        before = (per_thread - shift) % per_thread
        for j in range(before if ends else 0):
            add_elements(shifted(partial, (shift + j) * per_thread), x, start + j, 1, 1, rows)
        behind = (size - before) % per_thread
        end = size - behind
        for nth in range(block, (end - before + chunk - 1) // chunk, blocks):
            into = shifted(partial, nth // blocks % partials * chunk)
            first = before + nth * chunk
            add_chunk(into, x, start, reduced, first, smaller(chunk, end - first), rows)
        for j in range(behind if ends else 0):
            add_elements(shifted(partial, j * per_thread), x, start + end + j, 1, 1, rows)
        if vector:
            fold_vectors(values, partial, threads)
        else:
            for j in range(threads):
                values[j] = partial[j]
            for nth in range(1, used):
                combine_rows(values, shifted(partial, nth * chunk), threads)

    return part(sum_threads, kind, vector, several)


@functools.cache
def sum_rows(way: SumWay) -> Callable[..., None]:
    """Return what fills `totals` with the sums of rows, each by threads along x."""
    kind, vector = way.kind, way.vector
    sum_threads, combine_rows = threads_of_row(kind, vector, way.several), combiner(kind)
    along_x, along_y = block_adder(kind)
    partials = 1 if vector else PARTIAL

    def sum_all(totals, x, start, further, rows, reduced, address, launch, order, buffer, length):
        values = shifted(buffer, partials * length)
        final, widened = shifted(values, length), shifted(values, 2 * length)
        _, width, height, blocks, _ = launch
        shuffles_fall, x_before_y = order
        threads, size = width * height, count(reduced)
        for j in range(rows):
            at = start + j * further
            clear(final, threads if blocks > 1 else 1, kind)
            for block in range(blocks):
                given = buffer, x, at, reduced, size, address
                sum_threads(values, *given, threads, block, blocks, widened)
                if x_before_y:
                    along_x(values, width, height, shuffles_fall)
                    along_y(values, width, height, 1)
                else:
                    along_y(values, width, height, width)
                    along_x(values, width, 1, shuffles_fall)
                combine_rows(shifted(final, block % threads), values, 1)
            if blocks > 1:
                along_y(final, width, height, width)
                along_x(final, width, 1, shuffles_fall)
            totals[j] = final[0]

    return part(sum_all, kind, vector, way.several)


def buffer_of_rows(launch: Launch) -> tuple[int, int]:
    """Return how many numbers a row of the buffer of `sum_rows` has, and how many rows there are.

    They are for partial sums, the sums of threads, those of blocks, and elements that are widened.
    """
    per_thread, partials = (launch.vector, 1) if launch.vector else (1, PARTIAL)
    return launch.width * launch.height * per_thread, partials + 2 + 1


# --- columns: threads along x have neighbouring outputs ------------------------------------------


@functools.cache
def sum_columns(way: SumWay) -> Callable[..., None]:
    """Return what fills `totals` with the sums of columns that lie side by side."""
    kind = way.kind
    add_elements, combine_rows = element_adder(kind), combiner(kind)
    _, along_y = block_adder(kind)

    def sum_thread(partial, x, start, further, reduced, first, step, columns, rows):
        clear(partial, PARTIAL * columns, kind)
        nth = 0
        for element in range(first, count(reduced), step):
            at = start + offset(element, reduced, 1)
            add_elements(shifted(partial, nth * columns), x, at, further, columns, rows)
            nth = (nth + 1) % PARTIAL
        for nth in range(1, PARTIAL):
            combine_rows(partial, shifted(partial, nth * columns), columns)

    sum_thread = part(sum_thread, kind)

    def sum_all(
        totals, x, start, further, columns, reduced, address, launch, order, buffer, length
    ):
        _, _, height, blocks, _ = launch
        rows = shifted(buffer, PARTIAL * length)
        values = shifted(rows, length)
        final = shifted(values, height * length)
        clear(final, height * columns, kind)
        for block in range(blocks):
            for y in range(height):
                first, step = block * height + y, height * blocks
                sum_thread(buffer, x, start, further, reduced, first, step, columns, rows)
                into = shifted(values, y * columns)
                for j in range(columns):
                    into[j] = buffer[j]
            along_y(values, columns, height, columns)
            combine_rows(shifted(final, block % height * columns), values, columns)
        if blocks > 1:
            along_y(final, columns, height, columns)
        for j in range(columns):
            totals[j] = final[j]

    return part(sum_all, kind)


def buffer_of_columns(launch: Launch, columns: int) -> tuple[int, int]:
    """Return likewise for `sum_columns`: partial sums, a row that is widened, sums of threads."""
    return columns, PARTIAL + 1 + 2 * launch.height


# --- kernels -------------------------------------------------------------------------------------


@functools.cache
def divide_by_norms(way: SumWay, visit: int) -> Callable[..., None]:
    """Return what normalizes blocks of columns, each while it is in the cache.

    Where nothing is divided it writes the sums, or adds them to those that are there. Operands of
    tables: x, the sums, y. `visit` is that of `division`, or `NO_DIVISION`.
    """
    sum_some = (sum_rows if way.along_x else sum_columns)(way)
    combine, divides_at_all = pair_combiner(way.kind), visit != NO_DIVISION
    divide = division(visit)

    def divide_by_norms(
        queue, buffer, block, length, y, sums, divides, x, reduced, kept, eps, address, launch,
        order, adds,
    ):  # fmt: skip
        previous = enter_default_environment()
        y, sums, x, totals = elements(y), elements(sums), elements(x), elements(buffer)
        reduced, kept, rest = elements(reduced), elements(kept), shifted(totals, block)
        floor = computed(after_entering(eps), x)
        blocks = (kept[0] + block - 1) // block
        unit = take(queue)
        while unit >= 0:
            index, column = unit // blocks, unit % blocks * block
            taken = smaller(block, kept[0] - column)
            start = place(index, column, kept, 1)
            given = reduced, address, launch, order, rest, length
            sum_some(totals, x, start, kept[1], taken, *given)
            if divides and divides_at_all:
                for j in range(taken):
                    totals[j] = at_least(norm_of(totals[j], way.kind, x), floor)
                divide(y, place(index, column, kept, 3), x, start, totals, taken, reduced, kept)
            else:
                to = place(index, column, kept, 2)
                for j in range(taken):
                    at = to + j * kept[2]
                    sums[at] = combine(sums[at], totals[j]) if adds else totals[j]
            unit = take_next(queue)
        leave_default_environment(previous)

    return kernel(divide_by_norms, *way, visit)


NO_DIVISION = -1


@part
def norm_of(total, kind, stored):
    """Return the norm that a sum gives, rounded to the dtype."""
    is_root = kind == FUSED_SQUARES or kind == SQUARES
    return rounded(square_root(total) if is_root else total, stored)


@kernel
def finish(sums, size, kind, stored):
    """Turn sums into norms."""
    previous = enter_default_environment()
    sums, stored = elements(sums), elements(stored)
    for j in range(size):
        sums[j] = norm_of(sums[j], kind, stored)
    leave_default_environment(previous)
