"""Summation orders, described on fractions: `r` rounds the result of an operation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

Round = Callable[[Fraction], Fraction]
Terms = Sequence[Fraction]
ZERO = Fraction(0)


def add_all(terms: Terms, r: Round, total: Fraction = ZERO) -> Fraction:
    """From left to right."""
    for term in terms:
        total = r(total + term)
    return total


def squares(x: Terms, r: Round) -> list[Fraction]:
    return [r(value * value) for value in x]


def squares_left_to_right(x: Terms, r: Round, fused: bool, total: Fraction = ZERO) -> Fraction:
    for value in x:
        total = r(total + (value * value if fused else r(value * value)))
    return total


def squares_in_lanes(
    x: Terms, r: Round, lanes: int, step: int, fused: bool, plain_tail: int
) -> Fraction:
    """The lanes take the elements in turn; the tail of what fills no step comes after them."""
    whole = len(x) - len(x) % step
    sums = [squares_left_to_right(x[j:whole:lanes], r, fused) for j in range(lanes)]
    total = add_all(sums[1:], r, sums[0])
    tail = x[whole:]
    total = squares_left_to_right(tail[:plain_tail], r, False, total)
    return squares_left_to_right(tail[plain_tail:], r, True, total)


def cascade(terms: Terms, r: Round) -> Fraction:
    """Four levels; a level is emptied into the next one when its number of steps is full.

    A level is full where the count of elements is a multiple of 2**(power * level).
    """
    bits = max(len(terms) - 1, 0).bit_length()
    power = max(4, bits // 4)
    levels = [ZERO] * 4
    for number, term in enumerate(terms, 1):
        levels[0] = r(levels[0] + term)
        for level in (1, 2, 3):
            if number % 2 ** (power * level):
                break
            levels[level] = r(levels[level] + levels[level - 1])
            levels[level - 1] = ZERO
    return add_all(levels[1:], r, levels[0])


def interleaved(terms: Terms, r: Round) -> Fraction:
    """Four cascades of every fourth element; what is left over is added to the first."""
    whole = len(terms) - len(terms) % 4
    parts = [cascade(terms[part:whole:4], r) for part in range(4)]
    return add_all(parts[1:], r, add_all(terms[whole:], r, parts[0]))


def in_registers(terms: Terms, r: Round, lanes: int, paired: bool) -> Fraction:
    """Each lane is interleaved; then the tail is added up, and the lanes are added to it.

    Half types fill two registers at once, which are added up first.
    """
    step = 2 * lanes if paired else lanes
    whole = len(terms) - len(terms) % step
    sums = []
    for j in range(lanes):
        mine = list(terms[j:whole:step])
        if paired:
            others = terms[j + lanes : whole : step]
            mine = [r(a + b) for a, b in zip(mine, others, strict=True)]
        sums.append(interleaved(mine, r))
    return add_all([*terms[whole:], *sums], r)


def column(
    terms: Terms, r: Round, number: int, columns: int, layout: str, lanes: int, paired: bool
) -> Fraction:
    """One of some columns that lie side by side.

    Args:
        layout: whether the elements of a column are neighbours ("inner"), or those of a row
            ("outer"), or none but the closer ones are those of a column ("near") or not ("far").
    """
    vector = 2 * lanes if paired else lanes
    if layout == "inner" and len(terms) >= vector:
        return in_registers(terms, r, lanes, paired)
    if layout == "outer" and columns >= vector:
        groups = columns - columns % (4 * lanes)
    else:
        groups = 0 if layout in ("inner", "near") else columns - columns % 4
    return cascade(terms, r) if number < groups else interleaved(terms, r)


def halved(terms: Terms, r: Round) -> Fraction:
    """The upper half is added to the lower one; an odd one out is added to the first."""
    t = list(terms)
    if len(t) % 2:
        t[0] = r(t[0] + t[-1])
    half = len(t) // 2
    while half:
        t[:half] = [r(a + b) for a, b in zip(t[:half], t[half : 2 * half], strict=True)]
        if half > 2 and half % 2:
            t[0] = r(t[0] + t[half - 1])
        half //= 2
    return t[0]


def in_block(terms: Terms, r: Round, threads: int) -> Fraction:
    """On a CUDA device: four sums a thread, of every fourth of its elements; then by halving."""
    values = []
    for thread in range(threads):
        sums = [add_all(terms[thread + nth * threads :: 4 * threads], r) for nth in range(4)]
        values.append(add_all(sums[1:], r, sums[0]))
    return halved(values, r)
