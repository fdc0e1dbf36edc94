"""The kernels of `accurate`.

Vectors lie in memory as (outer, size, inner), of which `size` is reduced. With a factor, a power
of two by which a vector is multiplied twice before it is squared, with a divisor that is
multiplied by it, and with a norm, which is the same or, if that is the floor, infinite:

    y = x * factor / divisor,    z = x * factor / norm,
    dx = (dy - z * <z, dy>) * factor / divisor

Lanes take a tensor in runs: where they start, how many steps there are, how far it is to the next
one, how many elements are left in the first one, and how many fewer in the next one. If inner is
1 they lie side by side in one vector; else each is of another vector. A bound is the floor, and
whether it takes ties.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from portnorm.exact.machine.compilation import kernel, part, subroutine
from portnorm.exact.machine.ieee import (
    after_entering,
    enter_default_environment,
    leave_default_environment,
    square_root,
)
from portnorm.exact.machine.lanes import divide_for, load_part, spread, store_part, sum_of_lanes
from portnorm.exact.machine.pointers import elements, smaller
from portnorm.exact.machine.threads import take, take_next

WIDTH = (0,) * 8
LANES = len(WIDTH)
BLOCK = 16
"""Steps whose terms are added up as they are; the sums of blocks are added up without loss."""

COLUMNS = 512
UNIT = 8192
"""Elements of a unit of work, at least."""

LARGEST_TOTAL, SMALLEST_TOTAL = 2.0**1000, 2.0**-900
DOWN, UP = 2.0**-300, 2.0**300
SMALLEST_FLOOR = 2.0**-400
"""A floor that no vector whose sum of squares is below `SMALLEST_TOTAL` can reach."""


@part
def squares(x, factor, run):
    """Return sums of squares of what is scaled, in lanes."""
    at, steps, stride, left, fewer = run
    total, factor = spread(0.0, WIDTH), factor * factor
    for _ in range(steps):
        scaled = load_part(x, at, left, total) * factor
        total = total + scaled * scaled
        at += stride
        left -= fewer
    return total


@part
def products(x, dy, factor, norm, run):
    """Return sums of z * dy, in lanes."""
    at, steps, stride, left, fewer = run
    total = spread(0.0, WIDTH)
    for _ in range(steps):
        z = load_part(x, at, left, total) * factor / norm
        total = total + z * load_part(dy, at, left, total)
        at += stride
        left -= fewer
    return total


@part
def write_quotients(y, x, factor, divisor, run):
    """Write y."""
    at, steps, stride, left, fewer = run
    inverse = spread(1.0, WIDTH) / divisor
    for _ in range(steps):
        scaled = load_part(x, at, left, factor) * factor
        store_part(y, at, left, divide_for(y, scaled, divisor, inverse))
        at += stride
        left -= fewer


@part
def write_gradient(dx, x, dy, factor, divisor, norm, along, run):
    """Write dx, where `along` is <z, dy>."""
    at, steps, stride, left, fewer = run
    for _ in range(steps):
        z = load_part(x, at, left, factor) * factor / norm
        across = load_part(dy, at, left, factor) - z * along
        store_part(dx, at, left, across * factor / divisor)
        at += stride
        left -= fewer


@part
def add_block(high, low, block):
    """Return sums with one more term, and what has been lost in rounding them."""
    total = high + block
    added = total - high
    return total, low + ((high - (total - added)) + (block - added))


@part
def settled(high, low):
    """Return a sum with what was lost; that is no number where the sum is not finite."""
    return high + low if low == low else high


@part
def factor_for(total, bound):
    """Return a factor with which squares of a vector neither over- nor underflow."""
    if total > LARGEST_TOTAL:
        return DOWN
    return UP if not total >= SMALLEST_TOTAL and bound[0] < SMALLEST_FLOOR else 1.0


@part
def divisor_for(total, factor, bound):
    """Return divisor and norm."""
    floor, floor_takes_ties = bound
    norm, least = square_root(total) / factor, floor * factor
    above = norm > least if floor_takes_ties else not norm < least
    return norm if above else least, norm if above else np.inf


# --- one vector, if inner is 1 --------------------------------------------------------------------


@part
def run_of_row(at, size, first, most):
    """Return the run of a vector from its element `first` on."""
    left = size - first
    return at + first, (smaller(left, most) + LANES - 1) // LANES, LANES, left, LANES


@subroutine
def squares_of_row(x, at, size, factor):
    """Return the sum of squares of a scaled vector."""
    factors, high, low = spread(factor, WIDTH), spread(0.0, WIDTH), spread(0.0, WIDTH)
    for first in range(0, size, BLOCK * LANES):
        block = squares(x, factors, run_of_row(at, size, first, BLOCK * LANES))
        high, low = add_block(high, low, block)
    return settled(sum_of_lanes(high), sum_of_lanes(low))


@part
def scale_row(x, at, size, bound):
    """Return factor, divisor and norm."""
    total = squares_of_row(x, at, size, 1.0)
    factor = factor_for(total, bound)
    if factor != 1:
        total = squares_of_row(x, at, size, factor)
    divisor, norm = divisor_for(total, factor, bound)
    return factor, divisor, norm


@part
def divide_short_row(y, x, at, size, bound):
    """Write y of a vector that lanes hold, unless it needs a factor; return whether it is done."""
    whole = load_part(x, at, size, spread(0.0, WIDTH))
    total = sum_of_lanes(whole * whole)
    if factor_for(total, bound) != 1:
        return False
    divisor, _ = divisor_for(total, 1.0, bound)
    divisors = spread(divisor, WIDTH)
    store_part(y, at, size, divide_for(y, whole, divisors, spread(1.0, WIDTH) / divisors))
    return True


@part
def divide_row(y, x, at, size, bound):
    """Write y of one vector."""
    if size <= LANES and divide_short_row(y, x, at, size, bound):
        return
    factor, divisor, _ = scale_row(x, at, size, bound)
    run = run_of_row(at, size, 0, size)
    write_quotients(y, x, spread(factor, WIDTH), spread(divisor, WIDTH), run)


@part
def differentiate_row(dx, x, dy, at, size, bound):
    """Write dx of one vector."""
    scales = scale_row(x, at, size, bound)
    is_norm = scales[1] == scales[2]
    factor, divisor = spread(scales[0], WIDTH), spread(scales[1], WIDTH)
    norm = spread(scales[2], WIDTH)
    high, low = spread(0.0, WIDTH), spread(0.0, WIDTH)
    for first in range(0, size, BLOCK * LANES):
        run = run_of_row(at, size, first, BLOCK * LANES)
        high, low = add_block(high, low, products(x, dy, factor, norm, run))
    total = settled(sum_of_lanes(high), sum_of_lanes(low))
    along = spread(total if is_norm else 0.0, WIDTH)
    run = run_of_row(at, size, 0, size)
    write_gradient(dx, x, dy, factor, divisor, norm, along, run)


# --- neighbours, if inner is more -----------------------------------------------------------------
# `results` has a column for each of them, and five rows:

ROWS = 5
FACTOR, DIVISOR, NORM, SUM, LOST = range(0, ROWS * COLUMNS, COLUMNS)


@part
def fill(results, row, columns, value):
    """Set the lanes of a row of `results`."""
    for column in range(0, columns, LANES):
        store_part(results, row + column, LANES, spread(value, WIDTH))


@part
def tile_of_columns(index, size, inner):
    """Return where a tile starts, size and inner, and how many neighbours it has."""
    blocks = (inner + COLUMNS - 1) // COLUMNS
    column = index % blocks * COLUMNS
    return index // blocks * size * inner + column, size, inner, smaller(COLUMNS, inner - column)


@part
def run_of_columns(tile, first, column):
    """Return the run of a block of rows, from row `first` and from `column` on."""
    at, size, inner, columns = tile
    return at + first * inner + column, smaller(BLOCK, size - first), inner, columns - column, 0


@part
def lanes_of(results, row, column):
    """Return lanes of a row of `results`."""
    return load_part(results, row + column, LANES, spread(0.0, WIDTH))


@part
def add_to_results(results, column, block):
    """Add the sums of a block to those so far."""
    high, low = add_block(lanes_of(results, SUM, column), lanes_of(results, LOST, column), block)
    store_part(results, SUM + column, LANES, high)
    store_part(results, LOST + column, LANES, low)


@subroutine
def sum_squares(results, x, tile):
    """Fill in the sums of squares of the scaled vectors."""
    _, size, _, columns = tile
    fill(results, SUM, columns, 0.0)
    fill(results, LOST, columns, 0.0)
    for first in range(0, size, BLOCK):
        for column in range(0, columns, LANES):
            run = run_of_columns(tile, first, column)
            add_to_results(results, column, squares(x, lanes_of(results, FACTOR, column), run))
    for column in range(columns):
        results[SUM + column] = settled(results[SUM + column], results[LOST + column])


@part
def sum_products(results, x, dy, tile):
    """Fill in <z, dy>, which is 0 where the divisor is the floor."""
    _, size, _, columns = tile
    fill(results, SUM, columns, 0.0)
    fill(results, LOST, columns, 0.0)
    for first in range(0, size, BLOCK):
        for column in range(0, columns, LANES):
            factor, norm = lanes_of(results, FACTOR, column), lanes_of(results, NORM, column)
            run = run_of_columns(tile, first, column)
            add_to_results(results, column, products(x, dy, factor, norm, run))
    for column in range(columns):
        total = settled(results[SUM + column], results[LOST + column])
        results[SUM + column] = total if results[NORM + column] == results[DIVISOR + column] else 0


@part
def scale_columns(results, x, tile, bound):
    """Fill in factors, divisors and norms."""
    columns = tile[3]
    fill(results, FACTOR, columns, 1.0)
    sum_squares(results, x, tile)
    scaled = False
    for column in range(columns):
        factor = factor_for(results[SUM + column], bound)
        results[FACTOR + column] = factor
        scaled |= factor != 1
    if scaled:
        sum_squares(results, x, tile)
    for column in range(columns):
        total, factor = results[SUM + column], results[FACTOR + column]
        results[DIVISOR + column], results[NORM + column] = divisor_for(total, factor, bound)


@part
def divide_columns(results, y, x, tile, bound):
    """Write y of neighbours."""
    scale_columns(results, x, tile, bound)
    for first in range(0, tile[1], BLOCK):
        for column in range(0, tile[3], LANES):
            factor, divisor = lanes_of(results, FACTOR, column), lanes_of(results, DIVISOR, column)
            write_quotients(y, x, factor, divisor, run_of_columns(tile, first, column))


@part
def differentiate_columns(results, dx, x, dy, tile, bound):
    """Write dx of neighbours."""
    scale_columns(results, x, tile, bound)
    sum_products(results, x, dy, tile)
    for first in range(0, tile[1], BLOCK):
        for column in range(0, tile[3], LANES):
            factor, divisor = lanes_of(results, FACTOR, column), lanes_of(results, DIVISOR, column)
            norm, along = lanes_of(results, NORM, column), lanes_of(results, SUM, column)
            run = run_of_columns(tile, first, column)
            write_gradient(dx, x, dy, factor, divisor, norm, along, run)


# --- all of a tensor ------------------------------------------------------------------------------
# A tile is one vector if inner is 1, else up to `COLUMNS` neighbours. One kernel is for the former
# and one for the latter, so that a call compiles what it runs and nothing else.


@functools.cache
def fill_quotients(single: bool) -> Callable[..., None]:
    """Return what writes y for units of tiles."""

    def fill_quotients(
        queue, buffer, tiles, unit_tiles, y, x, size, inner, floor, floor_takes_ties
    ):
        previous = enter_default_environment()
        bound = after_entering(floor), floor_takes_ties
        y, x, results = elements(y), elements(x), elements(buffer)
        unit = take(queue)
        while unit >= 0:
            for index in range(unit * unit_tiles, smaller((unit + 1) * unit_tiles, tiles)):
                if single:
                    divide_row(y, x, index * size, size, bound)
                else:
                    divide_columns(results, y, x, tile_of_columns(index, size, inner), bound)
            unit = take_next(queue)
        leave_default_environment(previous)

    return kernel(fill_quotients, single)


@functools.cache
def fill_gradient(single: bool) -> Callable[..., None]:
    """Return what writes dx for units of tiles."""

    def fill_gradient(
        queue, buffer, tiles, unit_tiles, dx, x, dy, size, inner, floor, floor_takes_ties
    ):
        previous = enter_default_environment()
        bound = after_entering(floor), floor_takes_ties
        dx, x, dy, results = elements(dx), elements(x), elements(dy), elements(buffer)
        unit = take(queue)
        while unit >= 0:
            for index in range(unit * unit_tiles, smaller((unit + 1) * unit_tiles, tiles)):
                if single:
                    differentiate_row(dx, x, dy, index * size, size, bound)
                else:
                    tile = tile_of_columns(index, size, inner)
                    differentiate_columns(results, dx, x, dy, tile, bound)
            unit = take_next(queue)
        leave_default_environment(previous)

    return kernel(fill_gradient, single)
