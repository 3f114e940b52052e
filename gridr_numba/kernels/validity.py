"""Which pixels of a source image are valid.

In a table NaN says so. Pixels that are as the image holds them have bytes beside them that do, and most of these are
not looked at: it is known of squares of pixels whether all of them are valid, or none. Where none is, nothing is
summed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bilinear import Nodes, bits_in, set_bytes
from .jit import borrowed, helper, kernel
from .source_table import NEAREST, SOURCE_INVALID, VALID, Source, Taps, Tile
from .taps import take_nearest
from .vectors import BASE_BITS

Floats = NDArray[np.float64]
Reals = NDArray[Any]  # float32 or float64
Integers = NDArray[np.int64]
Bytes = NDArray[np.uint8]

#: Rows and columns of a square.
SQUARE = 64
#: What its pixels are.
MIXED, ALL_VALID, NONE_VALID = range(3)

# So many pixels are passed over at a time where all of them are valid.
_RUN = 256
# Positions may lie so far beyond the nodes of a tile that are looked at: a part of their range, and pixels.
_BESIDE = 1 / 64
_PIXELS_BESIDE = 2.0


@kernel
def void_pixels(valid: Bytes, row: int, col: int, value: Any, out: Any) -> None:
    """Write a value where pixels are invalid.

    Parameters
    ----------
    valid : uint8 (rows, columns)
        0 where they are, else 1.
    row, col : int
        Of `out`, where these begin.
    value : number
    out : array
        A band; written.
    """
    valid, out = borrowed(valid), borrowed(out)
    for i in range(valid.shape[0]):
        line = out[row + i, col : col + valid.shape[1]]
        for start in range(0, valid.shape[1], _RUN):
            some = valid[i, start : start + _RUN]
            if not all_set(some):  # as they are not in most places
                write_where(some, value, line[start : start + _RUN])


@helper
def all_set(valid: Bytes) -> bool:
    """Say whether all bytes are 1."""
    every = np.uint8(1)
    for j in range(valid.shape[0]):
        every = np.uint8(every & valid[j])
    return bool(every == 1)


@helper
def write_where(valid: Bytes, value: Any, out: Any) -> None:
    """Write a value where bytes are 0."""
    for j in range(out.shape[0]):
        there = out[j]
        out[j] = there if valid[j] != 0 else value


@kernel
def look_at_squares(valid: Bytes, row: int, squares: Bytes) -> None:
    """Say of each of a row of squares of pixels what they are.

    Parameters
    ----------
    valid : uint8 (bands, rows, columns)
        1 where they are valid, else 0.
    row : int
        Of squares.
    squares : uint8 (rows, columns)
        `ALL_VALID` where all bands are, and so on; its row is written.
    """
    valid, squares = borrowed(valid), borrowed(squares)
    _, rows, cols = valid.shape
    every, some = np.empty(cols, np.uint8), np.empty(cols, np.uint8)
    set_bytes(np.uint8(1), every)
    set_bytes(np.uint8(0), some)
    for band in range(valid.shape[0]):
        for i in range(row * SQUARE, min((row + 1) * SQUARE, rows)):
            combine(valid[band, i], every, some)
    for col in range(squares.shape[1]):
        there = slice(col * SQUARE, min((col + 1) * SQUARE, cols))
        what = ALL_VALID if all_set(every[there]) else MIXED if bits_in(some[there]) else NONE_VALID
        squares[row, col] = what


@helper
def combine(line: Bytes, every: Bytes, some: Bytes) -> None:
    """Take a line into those that say where all bytes are 1, and where any is."""
    for j in range(line.shape[0]):
        every[j] &= line[j]
        some[j] |= line[j]


@helper
def look_around(nodes: Nodes, tile: Tile, taps: Taps, source: Source, box: Floats) -> int:
    """Say what the source's pixels around a tile are, and write within which of the answered positions.

    Some nodes are looked at, which is enough where the mapping is smooth: most of the tile's positions are in the box.
    Of those beyond it nothing is known. It is all that are answered where pixels are mixed.
    """
    set_box(source.answered, box)
    if source.squares.shape[0] == 0:
        return ALL_VALID
    corners = np.empty((2, 3), np.int64)
    for axis in range(2):
        start, stop = (tile.row_start, tile.row_stop) if axis == 0 else (tile.col_start, tile.col_stop)
        step = nodes.resolution[axis]
        corners[axis, 0] = (nodes.first[axis] + start) // step
        corners[axis, 2] = (nodes.first[axis] + stop - 1 + step - 1) // step
        corners[axis, 1] = (corners[axis, 0] + corners[axis, 2]) // 2
    near, first, last = np.empty((2, 2)), np.empty(2, np.int64), np.empty(2, np.int64)
    for axis in range(2):
        low, high = np.inf, -np.inf
        for i in corners[0]:
            for j in corners[1]:
                value = nodes.values[axis, i, j]
                if value != value:
                    return MIXED
                low, high = min(low, value), max(high, value)
        beside = (high - low) * _BESIDE + _PIXELS_BESIDE
        near[axis, 0] = max(low - beside, source.answered[axis, 0])
        near[axis, 1] = min(high + beside, source.answered[axis, 1])
        if not near[axis, 0] <= near[axis, 1]:
            return MIXED
        origin = source.origin[axis] + source.around - taps.shift
        least, most = np.floor(near[axis, 0] - origin), np.floor(near[axis, 1] - origin)
        first[axis] = max(int(least) - (taps.support - 1), 0) // SQUARE
        last[axis] = min((int(most) + taps.support) // SQUARE, source.squares.shape[axis] - 1)
    what = source.squares[first[0], first[1]]
    for row in range(first[0], last[0] + 1):
        for col in range(first[1], last[1] + 1):
            if source.squares[row, col] != what:
                return MIXED
    set_box(near, box)
    return int(what)


@helper
def set_box(values: Floats, out: Floats) -> None:
    """Write the least and the largest value along each axis."""
    for axis in range(2):
        for end in range(2):
            out[axis, end] = values[axis, end]


@helper
def mark_taps(
    kind: int,
    valid: Bytes,
    shift: int,
    stride: np.uint64,
    places: Integers,
    row_fractions: Reals,
    col_fractions: Reals,
    some: Bytes,
    causes: Bytes,
) -> None:
    """Mark the pixels of which a tap that counts is invalid: the one there is, or of two by two. `some` is scratch."""
    if kind == NEAREST:
        take_nearest(valid, shift, places, some)
    else:
        look_at_four(valid, shift, stride, places, some)
    if all_set(some):  # as they are in most rows
        return
    if kind != NEAREST and any_whole(row_fractions, col_fractions):
        look_at_those_that_count(valid, shift, stride, places, row_fractions, col_fractions, some)
    for j in range(causes.shape[0]):
        void = np.uint8((some[j] == 0) & (causes[j] == 0))
        causes[j] |= np.uint8(void * SOURCE_INVALID)


@helper
def look_at_four(valid: Bytes, shift: int, stride: np.uint64, places: Integers, out: Bytes) -> None:
    """Say of each pixel whether two by two taps are valid."""
    start = shift - BASE_BITS
    for j in range(out.shape[0]):
        top = np.uint64(start + places[j])
        bottom = top + stride
        out[j] = valid[top] & valid[top + np.uint64(1)] & valid[bottom] & valid[bottom + np.uint64(1)]


@helper
def any_whole(row_fractions: Reals, col_fractions: Reals) -> bool:
    """Say whether a fraction is 0 or 1, as few are."""
    some = False
    for j in range(row_fractions.shape[0]):
        f, g = row_fractions[j], col_fractions[j]
        some = some | (f == 0) | (f == 1) | (g == 0) | (g == 1)
    return bool(some)


@helper
def look_at_those_that_count(
    valid: Bytes,
    shift: int,
    stride: np.uint64,
    places: Integers,
    row_fractions: Reals,
    col_fractions: Reals,
    out: Bytes,
) -> None:
    """Say of each pixel whether those of two by two taps are valid whose weight is not 0."""
    start = shift - BASE_BITS
    for j in range(out.shape[0]):
        top = np.uint64(start + places[j])
        bottom = top + stride
        no_top, no_bottom = np.uint8(row_fractions[j] == 1), np.uint8(row_fractions[j] == 0)
        no_left, no_right = np.uint8(col_fractions[j] == 1), np.uint8(col_fractions[j] == 0)
        out[j] = (
            (valid[top] | no_top | no_left)
            & (valid[top + np.uint64(1)] | no_top | no_right)
            & (valid[bottom] | no_bottom | no_left)
            & (valid[bottom + np.uint64(1)] | no_bottom | no_right)
        )


@helper
def mark_all_taps(causes: Bytes) -> None:
    """Mark all pixels."""
    for j in range(causes.shape[0]):
        causes[j] |= SOURCE_INVALID if causes[j] == 0 else VALID
