"""A source image at dense coordinates: a piece of a window at a time, tile by tile, row by row.

Of each tile `bilinear.densify_tile` makes the coordinates, as it does for a file, and the causes so far. A row of them
is split into the whole part, which says where the taps are, and the fraction, which weighs them. The taps of a pixel
are first summed down each column, for all pixels of the row: that leaves as many numbers a pixel as the kernel has
columns, side by side, in a scratch that stays in the cache. Then these are summed across. Both loops have constant
strides and no branches. Sums are made in one order, whatever the processor.

*The source* is a table of float32 or float64 in which invalid pixels are NaN, and the image's edge is repeated `PAD`
pixels deep. So no tap is checked: one that is invalid makes the sum NaN, as the weights do, whatever they are.

*Which taps count.* Where the fraction along an axis is exactly 0, one tap does, and the others have a weight of exactly
0. NaN under such a weight does not count: what is NaN in a row with such a fraction is computed again, in float64, from
the taps that count. So is what overflows on the way. Whole parts and fractions are those of the coordinate in the
image, in float64, before the table's origin is subtracted. A fraction keeps away from 0 and 1 when it is rounded.

*Result.* A piece's numbers are in the table's type. `finish_piece` makes pixels of them, in the type of the output.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..types import Cause
from .bilinear import (
    MASKED,
    OUTSIDE,
    Nodes,
    Rules,
    Weights,
    blend_row,
    blended,
    causes_in,
    column_weights,
    mark_masked,
    mark_outside,
    mark_void,
    set_bytes,
    spread_nodes,
)
from .jit import helper, kernel
from .vectors import KEYS, PLACE_BASE, PLACE_BITS, four_cubic, four_lanczos, four_linear, prefetch

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Reals = NDArray[Any]  # float32 or float64
Integers = NDArray[np.int64]
Integers32 = NDArray[np.int32]
Bytes = NDArray[np.uint8]
Pair = tuple[int, int]

OUTSIDE_SOURCE = np.uint8(Cause.OUTSIDE_SOURCE)
SOURCE_INVALID = np.uint8(Cause.SOURCE_INVALID)
VALID = np.uint8(0)

#: Pixels around the table: the edge, repeated. Lanczos' taps reach 3 pixels beyond it.
PAD = 4

#: How the taps are weighed, as the kernels are told.
NEAREST, LINEAR, CUBIC, LANCZOS3 = range(4)

#: What is counted of a window.
CLIPPED, EQUAL_TO_NODATA, OVERFLOWN, STRAY = range(4)
COUNTS = 4

# Rows and columns of a tile: a row's scratch stays in the first cache, and what a row takes of the table is near when
# the next one takes most of it again.
TILE_ROWS, TILE_COLS = 64, 256

# What a row so many rows below takes is fetched, every so manieth pixel.
AHEAD = 2
_FETCHED_EVERY = 8
_FAR = 1e6

PLACE_BITS_UNSIGNED = np.uint64(PLACE_BITS)
_LESS = 2.0**-8


class Source(NamedTuple):
    """The table, and which positions it answers.

    Attributes
    ----------
    pixels : float32 or float64, flat
        Bands of rows.
    band_stride, row_stride : int
        Pixels from one band to the next, and from one row to the next.
    origin : (float, float)
        Row and column in the image of the table's first pixel.
    reach : float64 (2, 2)
        The least and the largest position along each axis whose taps are in the table.
    answered : float64 (2, 2)
        The same of those that need no look: before the interpolation's shift, in the image and within `reach` and,
        where the edge is strict, with all taps in the image. From 1 on where there are fractions, which then are
        multiples of 2**-52.
    image_shape : (int, int)
    may_overflow : bool
        Whether a sum of pixels may be beyond the table's type: not where they are integers.
    largest : float
        Number of that type.
    raw : int
        Bytes of a pixel where `pixels` holds those of the image as they are, of a type that is the output's; else 0.
    voids : int
        Where in the bytes of `pixels` there is one for each raw pixel, which is not 0 for invalid ones; these are 0
        themselves. -1 where all are valid.
    """

    pixels: Reals
    band_stride: int
    row_stride: int
    origin: tuple[float, float]
    reach: Floats
    answered: Floats
    image_shape: Pair
    may_overflow: bool
    largest: float
    raw: int
    voids: int


class Taps(NamedTuple):
    """The interpolation.

    Attributes
    ----------
    kind : int
        `NEAREST`, `LINEAR`, `CUBIC` or `LANCZOS3`.
    support : int
        Taps on each side.
    shift : float
        Added to a position before its whole part is taken.
    strict : bool
        Whether a pixel with a tap beyond the image is outside.
    least, most : float
        Of a fraction that is not 0, as the table's type holds it.
    lanczos : float32 or float64 (parts, powers, LANES)
        Of the six taps of Lanczos' kernel, the powers of what a fraction is beyond its part of a pixel.
    """

    kind: int
    support: int
    shift: float
    strict: bool
    least: float
    most: float
    lanczos: Reals


class Lines(NamedTuple):
    """Scratch for a row of a tile. From `places` on there are whole fours of columns.

    Attributes
    ----------
    spread : float64 (2, 2, columns)
        The node rows above and below, by parity of the node row; rows and columns of the source.
    valid_sums : float64 (2, columns)
        The same of the coarse mask.
    blended : float64 (2, columns)
        Positions, where they are looked at one by one.
    places : float64 (columns,)
        Where in the table the first taps are, `PLACE_BASE` added.
    row_fractions, col_fractions : float32 or float64 (columns,)
    values : float32 or float64 (bands, columns)
        What is made. Of invalid pixels, anything.
    """

    spread: Floats
    valid_sums: Floats
    blended: Floats
    places: Floats
    row_fractions: Reals
    col_fractions: Reals
    values: Reals


class Finish(NamedTuple):
    """What becomes of numbers.

    Attributes
    ----------
    kind : int
        `INTEGERS_1` and so on.
    size : int
        Bytes of a pixel.
    limit : float
        The largest magnitude that it holds; infinity where what is beyond is clipped.
    low, high : float
        Of its integers.
    fill : float
        Of invalid pixels; of integers, that without a sign which has the same bits.
    nodata : float
        What a valid pixel should not be, in the same way.
    has_nodata : bool
        Whether there is one.
    """

    kind: int
    size: int
    limit: float
    low: float
    high: float
    fill: float
    nodata: float
    has_nodata: bool


@kernel
def resample_piece(
    nodes: Nodes,
    rules: Rules,
    marked: bool,
    source: Source,
    taps: Taps,
    finish: Finish,
    piece: tuple[int, int, int, int],
    mask: Bytes,
    out: Bytes,
    counts: Integers,
) -> None:
    """Compute a piece of a window.

    Parameters
    ----------
    nodes : Nodes
        Around the window.
    rules : Rules
        Of coordinates: `source` says what is inside the image.
    marked : bool
        Whether the first band of the mask holds causes already.
    source : Source
    taps : Taps
    finish : Finish
    piece : (int, int, int, int)
        First row, last row + 1, first column, last column + 1 in the window.
    mask : uint8 (1 or bands, rows, columns)
        Of the whole window; the piece is written. With one, a pixel is valid if it is in all bands.
    out : uint8 (bands, rows, bytes of the columns)
        Pixels of the whole window, looked at as bytes; the piece is written.
    counts : int64 (COUNTS,)
        Added to.
    """
    row_start, row_stop, col_start, col_stop = piece
    rc = nodes.resolution[1]
    tile_cols = min(TILE_COLS, col_stop - col_start)
    lines = new_lines(tile_cols, out.shape[0], source.pixels)
    for col in range(col_start, col_stop, TILE_COLS):
        n = min(TILE_COLS, col_stop - col)
        if n < tile_cols:
            lines = new_lines(n, out.shape[0], source.pixels)
        first_col = nodes.first[1] + col
        base = first_col % rc if rc > n else 0
        weights = Weights(base, column_weights(base, min(rc, n), rc))
        for row in range(row_start, row_stop, TILE_ROWS):
            tile_nodes = Nodes(nodes.values, nodes.valid, (nodes.first[0] + row, first_col), nodes.resolution)
            tile = row, min(TILE_ROWS, row_stop - row), col, n
            resample_tile(tile_nodes, rules, marked, weights, source, taps, finish, lines, tile, mask, out, counts)


@helper
def new_lines(n: int, bands: int, like: Reals) -> Lines:
    """Make room for a row of so many pixels, in the type of these."""
    fours = (n + 3) // 4 * 4
    return Lines(
        np.empty((2, 2, n)),
        np.empty((2, n)),
        np.empty((2, n)),
        np.full(fours, PLACE_BASE),
        np.zeros(fours, like.dtype),
        np.zeros(fours, like.dtype),
        np.empty((bands, fours), like.dtype),
    )


@helper
def copy_bytes(values: Bytes, out: Bytes) -> None:
    """Copy them."""
    for j in range(out.shape[0]):
        out[j] = values[j]


class Axis(NamedTuple):
    """What positions along an axis are split by: of `Source` and `Taps`, what is for this axis."""

    shift: float
    low: float
    high: float
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
        source.reach[axis, 0],
        source.reach[axis, 1],
        source.answered[axis, 0],
        source.answered[axis, 1],
        source.origin[axis] + (taps.support - 1),
        taps.least,
        taps.most,
    )


# Helpers that are called for each row take arrays, not tuples of them: numba counts references to each array of a
# tuple, which for a row takes as long as its arithmetic. So this one takes all tuples apart.
@helper
def resample_tile(
    nodes: Nodes,
    rules: Rules,
    marked: bool,
    weights: Weights,
    source: Source,
    taps: Taps,
    finish: Finish,
    lines: Lines,
    tile: tuple[int, int, int, int],
    mask: Bytes,
    out: Bytes,
    counts: Integers,
) -> None:
    """Compute a tile, every band, and its part of the mask: spread node rows down it, and go from row to row.

    The tile: its first row, how many there are, its first column, and how many there are.
    """
    row, m, col, n = tile
    rr = nodes.resolution[0]
    row_axis, col_axis = axis_of(source, taps, 0), axis_of(source, taps, 1)
    stride, row_stride, band_stride = float(source.row_stride), np.uint64(source.row_stride), source.band_stride
    kind, lanczos, pixels, raw, voids, size = (
        taps.kind,
        taps.lanczos,
        source.pixels,
        source.raw,
        source.voids,
        finish.size,
    )
    values, bands = lines.values, out.shape[0]
    bound = values.dtype.type(min(finish.limit, source.largest))
    spread, valid_sums, ys, xs = lines.spread, lines.valid_sums, lines.blended[0], lines.blended[1]
    places, row_fractions, col_fractions = lines.places, lines.row_fractions, lines.col_fractions
    # A spread row is `OUTSIDE` where not all of its positions are answered, and so are those between two that are.
    answered = Rules(rules.threshold_sum, rules.limits, source.answered, True, rules.fill, False)
    states = 0  # of each of the two spread rows, in four bits
    spread_rows = 0  # node rows before this one are spread, or not needed
    ahead = 0
    for i in range(row, row + m):
        r = (nodes.first[0] + i - row) // rr
        a = (nodes.first[0] + i - row) % rr
        spread_rows = max(spread_rows, r)
        while spread_rows <= (r + 1 if a > 0 else r):
            slot = spread_rows % 2
            state = spread_nodes(nodes, answered, weights, spread_rows, 0, spread[slot], valid_sums[slot])
            states = (states & ~(15 << 4 * slot)) | (state << 4 * slot)
            spread_rows += 1
        upper = r % 2
        lower = (r + 1) % 2 if a > 0 else upper
        state = (states >> 4 * upper | states >> 4 * lower) & 15
        causes = mask[0, i, col : col + n]
        if not marked:
            set_bytes(VALID, causes)
        if state & MASKED:
            mark_masked(valid_sums[upper], valid_sums[lower], a, rr, rules.threshold_sum, causes)
        above, below = spread[upper], spread[lower]
        if state & OUTSIDE:
            for axis in range(2):
                mark_outside(above[axis], below[axis], a, rr, rules.source[axis], causes)
                blend_row(above[axis], below[axis], a, rr, lines.blended[axis])
            mark_void(ys, rules.limits[0], causes)
            mark_void(xs, rules.limits[1], causes)
            if split_row(ys, xs, row_axis, col_axis, stride, places, row_fractions, col_fractions) > 0:
                mark_beyond(ys, xs, source, taps, causes, counts)
        elif kind == NEAREST:
            place_blended(above[0], below[0], above[1], below[1], a, rr, row_axis, col_axis, stride, places)
        else:
            split_blended(
                above[0],
                below[0],
                above[1],
                below[1],
                a,
                rr,
                row_axis,
                col_axis,
                stride,
                places,
                row_fractions,
                col_fractions,
            )
        for band in range(1, mask.shape[0]):
            copy_bytes(causes, mask[band, i, col : col + n])
        if a > 0:
            down = (below[0, n // 2] - above[0, n // 2]) / rr
            right = (below[1, n // 2] - above[1, n // 2]) / rr
            ahead = pixels_ahead(down, right, source.row_stride, taps.support)
        for band in range(bands):
            line, line_causes = values[band, :n], mask[band if mask.shape[0] > 1 else 0, i, col : col + n]
            shift = band * band_stride
            if raw > 0:
                row_out = out[band, i, col * size : (col + n) * size]
                take_raw(pixels, raw, shift, voids, ahead, places[:n], line_causes, row_out)
                continue
            fetch_ahead(pixels, shift + ahead, places)
            sum_taps(
                kind, pixels, np.uint64(shift), row_stride, places, row_fractions, col_fractions, lanczos, values[band]
            )
            if count_lost(line, bound) > 0:
                settle_row(source, band, taps, finish.limit, lines, line_causes, line, counts)
        # When it is known which are valid in all bands.
        for band in range(bands):
            line, line_causes = values[band, :n], mask[band if mask.shape[0] > 1 else 0, i, col : col + n]
            row_out = out[band, i, col * size : (col + n) * size]
            if raw == 0:
                finish_row(line, line_causes, finish, row_out, counts)
            fill_invalid(line_causes, finish, row_out, counts)


@helper
def take_raw(
    pixels: Reals, raw: int, shift: int, voids: int, ahead: int, places: Floats, causes: Bytes, out: Bytes
) -> None:
    """Copy the one tap of each pixel, whose bytes are looked at as an integer without a sign; mark the invalid ones."""
    if raw == 1:
        zeros = take_some(pixels.view(np.uint8), shift, ahead, places, causes, out)
    elif raw == 2:
        zeros = take_some(pixels.view(np.uint16), shift, ahead, places, causes, out.view(np.uint16))
    else:
        zeros = take_some(pixels.view(np.uint32), shift, ahead, places, causes, out.view(np.uint32))
    if voids >= 0 and zeros > 0:
        mark_voids(pixels.view(np.uint8), np.uint64(shift + voids), places, causes)


@helper
def take_some(pixels: Any, shift: int, ahead: int, places: Floats, causes: Bytes, out: Any) -> int:
    """Copy the one tap, and return how many are 0, as invalid ones are."""
    fetch_ahead(pixels, shift + ahead, places)
    take_nearest(pixels, np.uint64(shift), places, out)
    return count_equal(out, causes, out.dtype.type(0))


@helper
def mark_voids(voids: Bytes, base: np.uint64, places: Floats, causes: Bytes) -> None:
    """Mark the pixels whose tap is invalid."""
    whole = places.view(np.uint64)
    for j in range(causes.shape[0]):
        void = (voids[base + (whole[j] & PLACE_BITS_UNSIGNED)] != 0) & (causes[j] == 0)
        causes[j] |= SOURCE_INVALID if void else VALID


# -- where the taps are ---------------------------------------------------------------------------------------------


@helper
def place_blended(
    upper_rows: Floats,
    lower_rows: Floats,
    upper_cols: Floats,
    lower_cols: Floats,
    a: int,
    rr: int,
    row_axis: Axis,
    col_axis: Axis,
    stride: float,
    out: Floats,
) -> None:
    """Interpolate positions between two spread rows, `a` rows of `rr` below the upper one: where the one tap is."""
    weight_upper = (rr - a) / rr
    weight_lower = a / rr
    shift, first_row, first_col = row_axis.shift, row_axis.first, PLACE_BASE - col_axis.first
    n = upper_rows.shape[0]
    out = out[:n]
    for j in range(n):
        y = np.floor(blended(upper_rows[j], lower_rows[j], weight_upper, weight_lower) + shift)
        x = np.floor(blended(upper_cols[j], lower_cols[j], weight_upper, weight_lower) + shift)
        out[j] = (y - first_row) * stride + (x + first_col)


@helper
def split_blended(
    upper_rows: Floats,
    lower_rows: Floats,
    upper_cols: Floats,
    lower_cols: Floats,
    a: int,
    rr: int,
    row_axis: Axis,
    col_axis: Axis,
    stride: float,
    out: Floats,
    out_row_fractions: Reals,
    out_col_fractions: Reals,
) -> None:
    """Interpolate positions between two spread rows, and split them: where the first taps are, and the fractions.

    All positions are answered: no fraction is so small that its type does not hold it.
    """
    weight_upper = (rr - a) / rr
    weight_lower = a / rr
    first_row, first_col = row_axis.first, PLACE_BASE - col_axis.first
    most = out_row_fractions.dtype.type(row_axis.most)
    n = upper_rows.shape[0]
    out, out_row_fractions, out_col_fractions = out[:n], out_row_fractions[:n], out_col_fractions[:n]
    for j in range(n):
        y = blended(upper_rows[j], lower_rows[j], weight_upper, weight_lower)
        x = blended(upper_cols[j], lower_cols[j], weight_upper, weight_lower)
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
        row = np.floor(y)
        col = np.floor(x)
        out[j] = ((row - row_axis.first) * stride + (col - col_axis.first)) + PLACE_BASE
        out_row_fractions[j] = kept(y - row, row_axis.least, row_axis.most)
        out_col_fractions[j] = kept(x - col, row_axis.least, row_axis.most)
    return beyond


@helper
def kept(fraction: float, least: float, most: float) -> float:
    """Return a fraction that keeps away from 0 and 1 when it is rounded, unless it is 0."""
    away = fraction if fraction > least else least
    away = away if away < most else most
    return 0.0 if fraction == 0.0 else away


@helper
def pixels_ahead(down: float, right: float, stride: int, support: int) -> int:
    """Return how far from a row's first taps those lie which a row `AHEAD` rows below takes as the first to do so."""
    if not (abs(down) < _FAR and abs(right) < _FAR):
        return 0
    rows = int(np.rint(down * AHEAD)) + (2 * support - 1 if down > 0 else 0)
    return rows * stride + int(np.rint(right * AHEAD))


@helper
def fetch_ahead(pixels: Any, ahead: int, places: Floats) -> None:
    """Have what a row further down needs brought near."""
    whole = places.view(np.int64)
    for j in range(0, whole.shape[0], _FETCHED_EVERY):
        prefetch(pixels, ahead + (whole[j] & PLACE_BITS))


@helper
def mark_beyond(ys: Floats, xs: Floats, source: Source, taps: Taps, causes: Bytes, counts: Integers) -> None:
    """Mark the pixels of a row that have a tap beyond the image, where the edge is strict, or beyond the table."""
    for j in range(causes.shape[0]):
        if causes[j] != 0:
            continue
        y = ys[j] + taps.shift
        x = xs[j] + taps.shift
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


# -- their sum ------------------------------------------------------------------------------------------------------


@helper
def sum_taps(
    kind: int,
    pixels: Reals,
    base: np.uint64,
    stride: np.uint64,
    places: Floats,
    row_fractions: Reals,
    col_fractions: Reals,
    lanczos: Reals,
    out: Reals,
) -> None:
    """Sum the taps of a row of a band."""
    if kind == NEAREST:
        take_nearest(pixels, base, places, out)
    elif kind == LINEAR:
        sum_linear(pixels, base, stride, places, row_fractions, col_fractions, out)
    elif kind == CUBIC:
        sum_cubic(pixels, base, stride, places, row_fractions, col_fractions, out)
    else:
        sum_lanczos(pixels, base, stride, places, row_fractions, col_fractions, out, lanczos)


@helper
def take_nearest(pixels: Any, base: np.uint64, places: Floats, out: Any) -> None:
    """Copy the one tap."""
    whole = places.view(np.uint64)
    for j in range(out.shape[0]):
        out[j] = pixels[base + (whole[j] & PLACE_BITS_UNSIGNED)]


@helper
def sum_linear(
    pixels: Reals,
    base: np.uint64,
    stride: np.uint64,
    places: Floats,
    row_fractions: Reals,
    col_fractions: Reals,
    out: Reals,
) -> None:
    """Sum 2 x 2 taps, down and then across."""
    whole = places.view(np.uint64)
    for j in range(0, out.shape[0], 4):
        four_linear(pixels, base, stride, whole, row_fractions, col_fractions, np.uint64(j), out)


@helper
def sum_cubic(
    pixels: Reals,
    base: np.uint64,
    stride: np.uint64,
    places: Floats,
    row_fractions: Reals,
    col_fractions: Reals,
    out: Reals,
) -> None:
    """Sum 4 x 4 taps."""
    whole = places.view(np.uint64)
    for j in range(0, out.shape[0], 4):
        four_cubic(pixels, base, stride, whole, row_fractions, col_fractions, np.uint64(j), out)


@helper
def sum_lanczos(
    pixels: Reals,
    base: np.uint64,
    stride: np.uint64,
    places: Floats,
    row_fractions: Reals,
    col_fractions: Reals,
    out: Reals,
    table: Reals,
) -> None:
    """Sum 6 x 6 taps."""
    whole = places.view(np.uint64)
    for j in range(0, out.shape[0], 4):
        four_lanczos(pixels, base, stride, whole, row_fractions, col_fractions, np.uint64(j), out, table)


# -- what is no number ----------------------------------------------------------------------------------------------


@helper
def settle_row(
    source: Source, band: int, taps: Taps, limit: float, lines: Lines, mask: Bytes, out: Reals, counts: Integers
) -> None:
    """Mark the pixels of a row and band that have no value; compute again those of which NaN does not say so."""
    n = out.shape[0]
    # Whether NaN may be of a tap that does not count, or of none.
    if source.may_overflow:
        again = n
    else:
        again = mark_lost(out, lines.row_fractions[:n], lines.col_fractions[:n], taps.kind == NEAREST, mask)
    if again > 0:
        settle_again(source, band, taps, limit, lines, mask, out, counts)


@helper
def count_lost(values: Reals, bound: Any) -> int:
    """Count what is no number, or beyond a magnitude."""
    lost = 0
    for j in range(values.shape[0]):
        lost += not abs(values[j]) <= bound
    return lost


@helper
def mark_lost(values: Reals, row_fractions: Reals, col_fractions: Reals, sure: bool, mask: Bytes) -> int:
    """Mark the pixels that are NaN and of which all taps count; return how many others are NaN."""
    others = 0
    for j in range(values.shape[0]):
        lost = values[j] != values[j]
        all_count = sure | ((row_fractions[j] != 0) & (col_fractions[j] != 0))
        # What is invalid already is not looked at.
        lost = lost & (mask[j] == 0)
        mask[j] |= SOURCE_INVALID if lost & all_count else VALID
        others += lost & (not all_count)
    return others


@helper
def settle_again(
    source: Source, band: int, taps: Taps, limit: float, lines: Lines, mask: Bytes, out: Reals, counts: Integers
) -> None:
    """Decide one by one, in float64, what is NaN or too large: from the taps that count."""
    bound = out.dtype.type(min(limit, source.largest))
    row_weights = np.empty(6)
    col_weights = np.empty(6)
    whole = lines.places.view(np.int64)
    for j in range(out.shape[0]):
        if abs(out[j]) <= bound or mask[j] != 0:
            continue
        row_first, row_count = weights_of(lines.row_fractions[j], taps, row_weights)
        col_first, col_count = weights_of(lines.col_fractions[j], taps, col_weights)
        o = band * source.band_stride + (whole[j] & PLACE_BITS) + row_first * source.row_stride + col_first
        rows = row_weights[:row_count]
        cols = col_weights[:col_count]
        value = sum_some(source.pixels, o, source.row_stride, rows, cols, 1.0)
        too_large = abs(value) > limit
        if source.may_overflow and not abs(value) < np.inf:
            # Sums that overflow on the way, unless they are made of less.
            value = sum_some(source.pixels, o, source.row_stride, rows, cols, _LESS)
            too_large = abs(value) > limit * _LESS
            value /= _LESS
        if value != value:
            mask[j] |= SOURCE_INVALID
        elif too_large:
            mask[j] |= SOURCE_INVALID
            counts[OVERFLOWN] += 1
        else:
            out[j] = value


@helper
def sum_some(pixels: Reals, o: int, stride: int, row_weights: Floats, col_weights: Floats, scale: float) -> float:
    """Sum the taps that count, from one on, each times `scale`."""
    value = 0.0
    for k in range(row_weights.shape[0]):
        for m in range(col_weights.shape[0]):
            value += float(pixels[o + k * stride + m]) * scale * row_weights[k] * col_weights[m]
    return value


@helper
def weights_of(fraction: Any, taps: Taps, out: Floats) -> tuple[int, int]:
    """Write the weights of the taps that count along an axis; return which tap is the first, and how many they are."""
    if taps.kind == NEAREST or fraction == 0:
        out[0] = 1.0
        return taps.support - 1, 1
    f = np.float64(fraction)
    if taps.kind == LINEAR:
        out[0] = 1.0 - f
        out[1] = f
        return 0, 2
    if taps.kind == CUBIC:
        for tap in range(4):
            c = KEYS[tap]
            out[tap] = ((c[3] * f + c[2]) * f + c[1]) * f + c[0]
        return 0, 4
    place = f * taps.lanczos.shape[0]
    bin_ = int(place)
    for tap in range(6):
        value = np.float64(0.0)
        for power in range(taps.lanczos.shape[1] - 1, -1, -1):
            value = value * (place - bin_) + taps.lanczos[bin_, power, tap]
        out[tap] = value
    return 0, 6


# -- pixels ---------------------------------------------------------------------------------------------------------

#: Outputs, as the kernels are told: integers of 1, 2 and 4 bytes, with a sign or without, and reals of 4 and 8.
INTEGERS_1, INTEGERS_2, INTEGERS_4, REALS_4, REALS_8 = range(5)


@helper
def finish_row(values: Reals, causes: Bytes, finish: Finish, out: Bytes, counts: Integers) -> None:
    """Write a row of a band in the output's type: rounded half to even and clipped, and filled where it is invalid.

    Integers are written as those without a sign that have the same bits; so are `fill` and `nodata`.
    """
    clipped = 0
    if finish.kind == INTEGERS_1:
        low, high = values.dtype.type(finish.low), values.dtype.type(finish.high)
        clipped = round_row(values, low, high, out)
    elif finish.kind == INTEGERS_2:
        low, high = values.dtype.type(finish.low), values.dtype.type(finish.high)
        clipped = round_row(values, low, high, out.view(np.uint16))
    elif finish.kind == INTEGERS_4:  # of which float32 may not hold the limits
        clipped = round_wide_row(values, finish.low, finish.high, out.view(np.uint32))
    elif finish.kind == REALS_4:
        copy_row(values, out.view(np.float32))
    else:
        copy_row(values, out.view(np.float64))
    if clipped > 0:
        counts[CLIPPED] += count_clipped(values, causes, finish.low, finish.high)


@helper
def fill_invalid(causes: Bytes, finish: Finish, out: Bytes, counts: Integers) -> None:
    """Fill the invalid pixels of a row, and count the valid ones that equal nodata."""
    if finish.has_nodata:
        if finish.kind == INTEGERS_1:
            counts[EQUAL_TO_NODATA] += count_equal(out, causes, np.uint8(finish.nodata))
        elif finish.kind == INTEGERS_2:
            counts[EQUAL_TO_NODATA] += count_equal(out.view(np.uint16), causes, np.uint16(finish.nodata))
        elif finish.kind == INTEGERS_4:
            counts[EQUAL_TO_NODATA] += count_equal(out.view(np.uint32), causes, np.uint32(finish.nodata))
        elif finish.kind == REALS_4:
            counts[EQUAL_TO_NODATA] += count_equal(out.view(np.float32), causes, np.float32(finish.nodata))
        else:
            counts[EQUAL_TO_NODATA] += count_equal(out.view(np.float64), causes, finish.nodata)
    if causes_in(causes):
        if finish.kind == INTEGERS_1:
            fill_row(causes, np.uint8(finish.fill), out)
        elif finish.kind == INTEGERS_2:
            fill_row(causes, np.uint16(finish.fill), out.view(np.uint16))
        elif finish.kind == INTEGERS_4:
            fill_row(causes, np.uint32(finish.fill), out.view(np.uint32))
        elif finish.kind == REALS_4:
            fill_row(causes, np.float32(finish.fill), out.view(np.float32))
        else:
            fill_row(causes, finish.fill, out.view(np.float64))


@helper
def copy_row(values: Reals, out: Any) -> None:
    """Write reals."""
    for j in range(out.shape[0]):
        out[j] = values[j]


@helper
def round_row(values: Reals, low: Any, high: Any, out: Any) -> int:
    """Write integers; return how many are clipped. Of invalid pixels, anything."""
    clipped = 0
    for j in range(out.shape[0]):
        value = np.rint(values[j])
        within = value if value > low else low  # NaN too
        within = within if within < high else high
        out[j] = out.dtype.type(np.int32(within))
        clipped += within != value
    return clipped


@helper
def round_wide_row(values: Reals, low: float, high: float, out: Any) -> int:
    """Write integers as `round_row` does, by way of float64."""
    clipped = 0
    for j in range(out.shape[0]):
        value = np.float64(np.rint(values[j]))
        within = value if value > low else low  # NaN too
        within = within if within < high else high
        out[j] = out.dtype.type(np.int64(within))
        clipped += within != value
    return clipped


@helper
def count_clipped(values: Reals, causes: Bytes, low: float, high: float) -> int:
    """Count the valid pixels of a row that are clipped."""
    clipped = 0
    for j in range(causes.shape[0]):
        value = np.float64(np.rint(values[j]))
        clipped += ((value < low) | (value > high)) & (causes[j] == 0)
    return clipped


@helper
def count_equal(values: Any, causes: Bytes, nodata: Any) -> int:
    """Count the valid pixels of a row that equal nodata."""
    equal = 0
    for j in range(causes.shape[0]):
        equal += (values[j] == nodata) & (causes[j] == 0)
    return equal


@helper
def fill_row(causes: Bytes, fill: Any, out: Any) -> None:
    """Fill the invalid pixels of a row."""
    for j in range(out.shape[0]):
        out[j] = out[j] if causes[j] == 0 else fill


@kernel
def void_pixels(valid: Bytes, row: int, col: int, value: Any, out: Any) -> None:
    """Write a value where pixels are invalid.

    Parameters
    ----------
    valid : uint8 (rows, columns)
        0 where they are.
    row, col : int
        Of `out`, where these begin.
    value : number
    out : array
        A band; written.
    """
    for i in range(valid.shape[0]):
        write_where(valid[i], value, out[row + i, col : col + valid.shape[1]])


@helper
def write_where(valid: Bytes, value: Any, out: Any) -> None:
    """Write a value where bytes are 0."""
    for j in range(out.shape[0]):
        out[j] = out[j] if valid[j] != 0 else value
