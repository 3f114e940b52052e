"""Where the taps of a row of pixels are in the table, and their sum.

Positions along a row and a column are split into the whole part, which says where the first tap is, and the fraction,
which weighs the taps: in the loop that interpolates them between two spread rows, where all are known to be answered.
Whole parts and fractions are those of the coordinate in the image, in float64, before the table's origin is subtracted.
A fraction keeps away from 0 and 1 when it is rounded.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .bilinear import blended
from .jit import helper, inlined
from .source_table import (
    CUBIC,
    LINEAR,
    NEAREST,
    OUTSIDE_SOURCE,
    SOURCE_INVALID,
    STRAY,
    Source,
    Taps,
)
from .vectors import BASE_BITS, PLACE_BASE, eight_cubic, eight_linear, four_lanczos, prefetch

Floats = NDArray[np.float64]
Reals = NDArray[Any]  # float32 or float64
Integers = NDArray[np.int64]
Bytes = NDArray[np.uint8]

# What a row so many rows below takes is fetched: one pixel of so many, in turns. Along a steep row each pixel has a
# cache line of its own, which serves the next rows: it is fetched in time if it is fetched in one turn of all.
_AHEAD = 2
_AHEAD_STEEP = 24
_STEEP = 0.25  # source rows a pixel
FETCHED_EVERY = 8
_FAR = 1e6
_CACHE_LINE = 64  # bytes
# Twice what an interpolation between two positions errs by, of the largest.
_ERROR = 2.0**-50


class Axis(NamedTuple):
    """What positions along an axis are split by: of `Source` and `Taps`, what is for this axis."""

    shift: float
    low: float
    high: float
    last: float
    sure_low: float
    sure_high: float
    first: float
    least: float
    most: float


@helper
def axis_of(source: Source, taps: Taps, axis: int) -> Axis:
    """Return what is for an axis."""
    return Axis(
        taps.shift,
        source.clamp[axis, 0],
        source.clamp[axis, 1],
        source.last[axis],
        source.answered[axis, 0],
        source.answered[axis, 1],
        source.origin[axis] + (taps.support - 1),
        taps.least,
        taps.most,
    )


@helper
def are_apart(above: Floats, below: Floats, rr: int, row_axis: Axis, col_axis: Axis) -> bool:
    """Say whether two spread rows, `rr` dense rows apart, differ so much that what is between them needs no clamp.

    An interpolation errs by less than 2**-51 of the largest position, and is at least a part in `rr` of the difference
    away from both ends: where that is more, it is between them as it is, to the same bits.
    """
    close = 0
    for axis in range(2):
        high = row_axis.sure_high if axis == 0 else col_axis.sure_high
        least = rr * _ERROR * max(high, 1.0)
        upper, lower = above[axis], below[axis]
        for j in range(upper.shape[0]):
            close += not abs(lower[j] - upper[j]) > least
    return close == 0


@inlined
def between(apart: bool, above: float, below: float, weight_above: float, weight_below: float) -> float:
    """Interpolate as `blended` does, between two values that are apart, or not."""
    if apart:
        return above * weight_above + below * weight_below
    return blended(above, below, weight_above, weight_below)


@inlined
def place_row(
    kind: int,
    apart: bool,
    above: Floats,
    below: Floats,
    a: int,
    rr: int,
    row_axis: Axis,
    col_axis: Axis,
    stride: float,
    out: Floats,
    out_row_fractions: Reals,
    out_col_fractions: Reals,
) -> None:
    """Interpolate positions between two spread rows, `a` rows of `rr` below the upper one: where the first taps are.

    And the fractions, which nearest ones have not. All positions are answered: no fraction is so small that its type
    does not hold it. `apart`: see `are_apart`.
    """
    weight_above, weight_below = (rr - a) / rr, a / rr
    upper_rows, upper_cols, lower_rows, lower_cols = above[0], above[1], below[0], below[1]
    shift, first_row, first_col = row_axis.shift, row_axis.first, PLACE_BASE - col_axis.first
    most = out_row_fractions.dtype.type(row_axis.most)
    n = upper_rows.shape[0]
    out, out_row_fractions, out_col_fractions = out[:n], out_row_fractions[:n], out_col_fractions[:n]
    if kind == NEAREST:
        for j in range(n):
            y = np.floor(between(apart, upper_rows[j], lower_rows[j], weight_above, weight_below) + shift)
            x = np.floor(between(apart, upper_cols[j], lower_cols[j], weight_above, weight_below) + shift)
            out[j] = (y - first_row) * stride + (x + first_col)
        return
    for j in range(n):
        y = between(apart, upper_rows[j], lower_rows[j], weight_above, weight_below)
        x = between(apart, upper_cols[j], lower_cols[j], weight_above, weight_below)
        row = np.floor(y)
        col = np.floor(x)
        out[j] = (row - first_row) * stride + (col + first_col)
        down = out_row_fractions.dtype.type(y - row)
        right = out_row_fractions.dtype.type(x - col)
        out_row_fractions[j] = down if down < most else most
        out_col_fractions[j] = right if right < most else most


@helper
def split_row(
    ys: Floats,
    xs: Floats,
    row_axis: Axis,
    col_axis: Axis,
    stride: float,
    out: Floats,
    out_row_fractions: Reals,
    out_col_fractions: Reals,
) -> int:
    """Split positions, and return how many are not answered: those that are beyond the table are moved into it."""
    beyond = 0
    for j in range(ys.shape[0]):
        beyond += not (
            (ys[j] >= row_axis.sure_low)
            & (ys[j] <= row_axis.sure_high)
            & (xs[j] >= col_axis.sure_low)
            & (xs[j] <= col_axis.sure_high)
        )
        y = ys[j] + row_axis.shift
        x = xs[j] + col_axis.shift
        y = y if y > row_axis.low else row_axis.low
        y = y if y < row_axis.high else row_axis.high
        x = x if x > col_axis.low else col_axis.low
        x = x if x < col_axis.high else col_axis.high
        whole_row = np.floor(y)
        whole_col = np.floor(x)
        row = whole_row if whole_row < row_axis.last else row_axis.last
        col = whole_col if whole_col < col_axis.last else col_axis.last
        out[j] = ((row - row_axis.first) * stride + (col - col_axis.first)) + PLACE_BASE
        out_row_fractions[j] = 1.0 if row < whole_row else kept(y - row, row_axis.least, row_axis.most)
        out_col_fractions[j] = 1.0 if col < whole_col else kept(x - col, row_axis.least, row_axis.most)
    return beyond


@helper
def kept(fraction: float, least: float, most: float) -> float:
    """Return a fraction that keeps away from 0 and 1 when it is rounded, unless it is 0."""
    away = fraction if fraction > least else least
    away = away if away < most else most
    return 0.0 if fraction == 0.0 else away


@helper
def pixels_ahead(above: Floats, below: Floats, rr: int, stride: int, support: int) -> int:
    """Return how far from a row's first taps those lie that a row further down is the first to take.

    The rows are two spread rows of positions, `rr` dense rows apart.
    """
    last = above.shape[1] - 1
    down = (below[0, last // 2] - above[0, last // 2]) / rr
    right = (below[1, last // 2] - above[1, last // 2]) / rr
    if not (abs(down) < _FAR and abs(right) < _FAR):
        return 0
    rows = _AHEAD_STEEP if abs(above[0, last] - above[0, 0]) > _STEEP * last else _AHEAD
    taps = 2 * support - 1
    ahead_rows = int(np.rint(down * rows)) + (taps if down > 0 else 0)
    return ahead_rows * stride + int(np.rint(right * rows)) + (taps if right > 0 else 0)


@inlined
def fetched_first(row: int) -> int:
    """Return the first of the pixels of a row whose turn it is: each has one in `FETCHED_EVERY` rows, a power of 2.

    Turns go neither from left to right nor back: along a row at 45 degrees, what a pixel takes is next to what the one
    beside it took a row before, and some places would never have their turn.
    """
    return row * (row + 1) // 2 % FETCHED_EVERY


@inlined
def fetch_ahead(pixels: Bytes, size: int, ahead: int, row: int, places: Integers) -> None:
    """Have what a row further down needs brought near: of each row, other pixels, which are of so many bytes."""
    for j in range(fetched_first(row), places.shape[0], FETCHED_EVERY):
        prefetch(pixels, (ahead - BASE_BITS + places[j]) * size)


@inlined
def fetch_below(line: Bytes, below: int, start: int, stop: int) -> None:
    """Have a part of the next row of an array, which lies so many bytes below this one, brought near to be written."""
    for k in range(below + start, below + stop, _CACHE_LINE):
        prefetch(line, k)


@helper
def mark_beyond(ys: Floats, xs: Floats, source: Source, taps: Taps, causes: Bytes, counts: Integers) -> None:
    """Mark the pixels of a row that have a tap beyond the image, where the edge is strict, or beyond the table."""
    # A position at the image's end takes its last pixel.
    last_row, last_col = np.inf, np.inf
    if taps.kind == NEAREST:
        last_row = np.nextafter(float(source.image_shape[0]), 0.0)
        last_col = np.nextafter(float(source.image_shape[1]), 0.0)
    for j in range(causes.shape[0]):
        if causes[j] != 0:
            continue
        y = min(ys[j] + taps.shift, last_row)
        x = min(xs[j] + taps.shift, last_col)
        if taps.strict and not (
            taps_within(y, taps, source.image_shape[0]) and taps_within(x, taps, source.image_shape[1])
        ):
            causes[j] |= OUTSIDE_SOURCE
        elif not (source.reach[0, 0] <= y <= source.reach[0, 1] and source.reach[1, 0] <= x <= source.reach[1, 1]):
            causes[j] |= SOURCE_INVALID
            counts[STRAY] += 1


@helper
def taps_within(place: Any, taps: Taps, size: int) -> bool:
    """Say whether all taps that count lie within so many pixels."""
    if taps.kind == NEAREST:
        return True
    whole = np.floor(place)
    if place == whole:
        return bool(0 <= whole <= size - 1)
    return bool(whole - (taps.support - 1) >= 0 and whole + taps.support <= size - 1)


@inlined
def sum_taps(
    kind: int,
    pixels: Reals,
    base: int,
    stride: np.uint64,
    places: Integers,
    row_fractions: Reals,
    col_fractions: Reals,
    lanczos: Reals,
    out: Reals,
) -> None:
    """Sum the taps of a row of a band, some pixels at a time."""
    start = np.uint64(base)
    if kind == NEAREST:
        take_nearest(pixels, base, places, out)
    elif kind == LINEAR:
        sum_linear(pixels, start, stride, places, row_fractions, col_fractions, out)
    elif kind == CUBIC:
        for j in range(0, out.shape[0], 8):
            eight_cubic(pixels, start, stride, places, row_fractions, col_fractions, np.uint64(j), out)
    else:
        for j in range(0, out.shape[0], 4):
            four_lanczos(pixels, start, stride, places, row_fractions, col_fractions, np.uint64(j), out, lanczos)


@inlined
def sum_linear(
    pixels: Any,
    start: np.uint64,
    stride: np.uint64,
    places: Integers,
    row_fractions: Reals,
    col_fractions: Reals,
    out: Reals,
) -> None:
    """Sum two by two taps."""
    for j in range(0, out.shape[0], 8):
        eight_linear(pixels, start, stride, places, row_fractions, col_fractions, np.uint64(j), out)


@inlined
def take_nearest(pixels: Any, base: int, places: Integers, out: Any) -> None:
    """Copy the one tap."""
    start = base - BASE_BITS
    for j in range(out.shape[0]):
        out[j] = pixels[np.uint64(start + places[j])]
