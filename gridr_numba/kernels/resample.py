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
from .bilinear import DensePart, Nodes, Rules, Tiling, Weights, causes_in, column_weights, densify_tile
from .jit import helper, kernel
from .vectors import sum_rows_2, sum_rows_4, sum_rows_8

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

#: Numbers of a pixel in scratch and in tables that are for Lanczos' six taps. The last two are not looked at.
LANES = 8

#: How the taps are weighed, as the kernels are told.
NEAREST, LINEAR, CUBIC, LANCZOS3 = range(4)

#: What is counted of a window.
CLIPPED, EQUAL_TO_NODATA, OVERFLOWN, STRAY = range(4)
COUNTS = 4

# Rows and columns of a tile: its coordinates stay in the cache that is next to the first.
TILE_ROWS, TILE_COLS = 32, 256

_LANES = np.uint64(LANES)
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
        The same of those that need no look at their taps: within `reach` and, where the edge is strict, with all taps
        in the image.
    image_shape : (int, int)
    may_overflow : bool
        Whether a sum of pixels may be beyond the table's type: not where they are integers.
    largest : float
        Number of that type.
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
    coefficients : float32 or float64 (4, 4)
        Of Keys' kernel: for each tap, of the powers of the fraction.
    lanczos : float32 or float64 (bins, powers, LANES)
        Of the six taps of Lanczos' kernel, the powers of what a fraction is beyond its bin.
    """

    kind: int
    support: int
    shift: float
    strict: bool
    least: float
    most: float
    coefficients: Reals
    lanczos: Reals


class Lines(NamedTuple):
    """Scratch for a row of a tile: first taps, fractions, weights and sums of columns. All but the taps are Reals."""

    rows: Integers32
    cols: Integers32
    row_fractions: Reals
    col_fractions: Reals
    row_weights: Reals
    col_weights: Reals
    sums: Reals


@kernel
def resample_piece(
    nodes: Nodes,
    rules: Rules,
    marked: bool,
    source: Source,
    taps: Taps,
    limit: float,
    piece: tuple[int, int, int, int],
    mask: Bytes,
    values: Reals,
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
    limit : float
        The largest magnitude that the output holds; infinity where what is beyond is clipped.
    piece : (int, int, int, int)
        First row, last row + 1, first column, last column + 1 in the window.
    mask : uint8 (1 or bands, rows, columns)
        Of the whole window; the piece is written. With one, a pixel is valid if it is in all bands.
    values : float32 or float64 (bands, rows of the piece, columns of the piece)
        Written; of invalid pixels, anything.
    counts : int64 (COUNTS,)
        Added to.
    """
    row_start, row_stop, col_start, col_stop = piece
    rc = nodes.resolution[1]
    tile_cols = min(TILE_COLS, col_stop - col_start)
    tile_rows = min(TILE_ROWS, row_stop - row_start)
    coordinates = np.empty(2 * tile_rows * tile_cols)
    causes = np.empty(tile_rows * tile_cols, np.uint8)
    lines = new_lines(tile_cols, values)
    no_bands = np.empty((0, 0, 0), np.float32)
    for col in range(col_start, col_stop, TILE_COLS):
        n = min(TILE_COLS, col_stop - col)
        first_col = nodes.first[1] + col
        base = first_col % rc if rc > n else 0
        weights = Weights(base, column_weights(base, min(rc, n), rc))
        for row in range(row_start, row_stop, TILE_ROWS):
            m = min(TILE_ROWS, row_stop - row)
            grid = coordinates[: 2 * m * n].reshape((2, m, n))
            tile_mask = causes[: m * n].reshape((m, n))
            if marked:
                for i in range(m):
                    copy_bytes(mask[0, row + i, col : col + n], tile_mask[i])
            tile_nodes = Nodes(nodes.values, nodes.valid, (nodes.first[0] + row, first_col), nodes.resolution)
            tiling = Tiling(m, n, m, n, 1)
            densify_tile((tile_nodes, rules, marked, weights, tiling, DensePart(grid, no_bands, tile_mask)), 0)
            places = (row, col), (row - row_start, col - col_start)
            resample_tile(grid, tile_mask, source, taps, limit, lines, places, mask, values, counts)


@helper
def new_lines(n: int, like: Reals) -> Lines:
    """Make room for a row of so many pixels, in the type of these."""
    return Lines(
        np.empty(n, np.int32),
        np.empty(n, np.int32),
        np.empty(n, like.dtype),
        np.empty(n, like.dtype),
        np.empty(LANES * n, like.dtype),
        np.empty(LANES * n, like.dtype),
        np.empty(LANES * n, like.dtype),
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
    grid: Floats,
    causes: Bytes,
    source: Source,
    taps: Taps,
    limit: float,
    lines: Lines,
    places: tuple[Pair, Pair],
    mask: Bytes,
    out: Reals,
    counts: Integers,
) -> None:
    """Compute a tile, every band, and its part of the mask: where in the mask and in `out` it begins, `places` says."""
    _, m, n = grid.shape
    (mask_row, mask_col), (row, col) = places
    row_axis, col_axis = axis_of(source, taps, 0), axis_of(source, taps, 1)
    kind, pixels, stride = taps.kind, source.pixels, np.uint64(source.row_stride)
    rows, cols, sums = lines.rows[:n], lines.cols[:n], lines.sums
    row_fractions, col_fractions = lines.row_fractions[:n], lines.col_fractions[:n]
    row_weights, col_weights = lines.row_weights, lines.col_weights
    coefficients, lanczos = taps.coefficients, taps.lanczos
    bound = out.dtype.type(min(limit, source.largest))
    for i in range(m):
        some = split_row(grid[0, i], row_axis, rows, row_fractions)
        some += split_row(grid[1, i], col_axis, cols, col_fractions)
        if some > 0:
            mark_beyond(grid[0, i], grid[1, i], source, taps, causes[i], counts)
        for band in range(mask.shape[0]):
            copy_bytes(causes[i], mask[band, mask_row + i, mask_col : mask_col + n])
        if kind == LINEAR:
            write_linear(row_fractions, coefficients[1, 0], row_weights)
            write_linear(col_fractions, coefficients[1, 0], col_weights)
        elif kind == CUBIC:
            write_cubic(row_fractions, coefficients, row_weights)
            write_cubic(col_fractions, coefficients, col_weights)
        elif kind == LANCZOS3:
            write_lanczos(row_fractions, lanczos, row_weights)
            write_lanczos(col_fractions, lanczos, col_weights)
        for band in range(out.shape[0]):
            base = np.uint64(band * source.band_stride)
            line = out[band, row + i, col : col + n]
            if kind == NEAREST:
                take_nearest(pixels, base, stride, rows, cols, line)
            elif kind == LINEAR:
                sum_down_2(pixels, base, stride, rows, cols, row_weights, sums)
                sum_across_2(sums, col_weights, line)
            elif kind == CUBIC:
                sum_down_4(pixels, base, stride, rows, cols, row_weights, sums)
                sum_across_4(sums, col_weights, line)
            else:
                sum_down_6(pixels, base, stride, rows, cols, row_weights, sums)
                sum_across_6(sums, col_weights, line)
            if count_lost(line, bound) > 0:
                line_mask = mask[band if mask.shape[0] > 1 else 0, mask_row + i, mask_col : mask_col + n]
                settle_row(source, band, taps, limit, lines, line_mask, line, counts)


# -- where the taps are ---------------------------------------------------------------------------------------------


@helper
def split_row(places: Floats, axis: Axis, out: Integers32, out_fractions: Reals) -> int:
    """Split positions along an axis into the first tap, counted from the table's first pixel, and the fraction.

    Return whether some are not `answered`. Those that are not numbers, or beyond the table, are moved into it.
    """
    beyond = 0
    for j in range(places.shape[0]):
        place = places[j] + axis.shift
        beyond += not (place >= axis.sure_low) & (place <= axis.sure_high)
        place = place if place > axis.low else axis.low
        place = place if place < axis.high else axis.high
        whole = np.floor(place)
        fraction = place - whole
        kept = fraction if fraction > axis.least else axis.least
        kept = kept if kept < axis.most else axis.most
        out[j] = np.int32(whole - axis.first)
        out_fractions[j] = 0.0 if fraction == 0.0 else kept
    return beyond


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


# -- what they weigh: tap by tap, but those of Lanczos' kernel pixel by pixel ---------------------------------------


@helper
def write_linear(fractions: Reals, one: Any, out: Reals) -> None:
    """Write 1 - f, then f."""
    n = fractions.shape[0]
    left = out[:n]
    right = out[n : 2 * n]
    for j in range(n):
        left[j] = one - fractions[j]
        right[j] = fractions[j]


@helper
def write_cubic(fractions: Reals, coefficients: Reals, out: Reals) -> None:
    """Write the four polynomials."""
    n = fractions.shape[0]
    for tap in range(4):
        write_polynomial(
            fractions,
            coefficients[tap, 0],
            coefficients[tap, 1],
            coefficients[tap, 2],
            coefficients[tap, 3],
            out[tap * n : (tap + 1) * n],
        )


@helper
def write_polynomial(fractions: Reals, c0: Any, c1: Any, c2: Any, c3: Any, out: Reals) -> None:
    """Write a polynomial of each fraction."""
    for j in range(fractions.shape[0]):
        f = fractions[j]
        out[j] = ((c3 * f + c2) * f + c1) * f + c0


@helper
def write_lanczos(fractions: Reals, table: Reals, out: Reals) -> None:
    """Write for each fraction the polynomials of its bin."""
    flat = table.reshape(-1)
    size = np.uint64(table.shape[1] * LANES)
    scale = table.dtype.type(table.shape[0])
    one = table.dtype.type(1)
    for j in range(fractions.shape[0]):
        place = fractions[j] * scale
        bin_ = np.int32(place)
        r = place - table.dtype.type(bin_)
        powers = (one, r, r * r, r * r * r, (r * r) * (r * r))
        sum_rows_8(flat, np.uint64(bin_) * size, _LANES, powers, out, np.uint64(LANES * j))


# -- their sum ------------------------------------------------------------------------------------------------------


@helper
def take_nearest(
    pixels: Reals, base: np.uint64, stride: np.uint64, rows: Integers32, cols: Integers32, out: Reals
) -> None:
    """Copy the one tap."""
    for j in range(out.shape[0]):
        out[j] = pixels[base + np.uint64(rows[j]) * stride + np.uint64(cols[j])]


@helper
def sum_down_2(
    pixels: Reals,
    base: np.uint64,
    stride: np.uint64,
    rows: Integers32,
    cols: Integers32,
    weights: Reals,
    out: Reals,
) -> None:
    """Sum two columns of two taps."""
    n = rows.shape[0]
    w0, w1 = weights[:n], weights[n : 2 * n]
    for j in range(n):
        o = base + np.uint64(rows[j]) * stride + np.uint64(cols[j])
        sum_rows_2(pixels, o, stride, (w0[j], w1[j]), out, np.uint64(2 * j))


@helper
def sum_down_4(
    pixels: Reals,
    base: np.uint64,
    stride: np.uint64,
    rows: Integers32,
    cols: Integers32,
    weights: Reals,
    out: Reals,
) -> None:
    """Sum four columns of four taps."""
    n = rows.shape[0]
    w0, w1, w2, w3 = weights[:n], weights[n : 2 * n], weights[2 * n : 3 * n], weights[3 * n : 4 * n]
    for j in range(n):
        o = base + np.uint64(rows[j]) * stride + np.uint64(cols[j])
        sum_rows_4(pixels, o, stride, (w0[j], w1[j], w2[j], w3[j]), out, np.uint64(4 * j))


@helper
def sum_down_6(
    pixels: Reals,
    base: np.uint64,
    stride: np.uint64,
    rows: Integers32,
    cols: Integers32,
    weights: Reals,
    out: Reals,
) -> None:
    """Sum six columns of six taps."""
    for j in range(rows.shape[0]):
        o = base + np.uint64(rows[j]) * stride + np.uint64(cols[j])
        at = np.uint64(LANES * j)
        w = weights[LANES * j : LANES * j + 6]
        sum_rows_8(pixels, o, stride, (w[0], w[1], w[2], w[3], w[4], w[5]), out, at)


@helper
def sum_across_2(sums: Reals, weights: Reals, out: Reals) -> None:
    """Sum the two columns."""
    n = out.shape[0]
    left = weights[:n]
    right = weights[n : 2 * n]
    for j in range(n):
        out[j] = sums[2 * j] * left[j] + sums[2 * j + 1] * right[j]


@helper
def sum_across_4(sums: Reals, weights: Reals, out: Reals) -> None:
    """Sum the four columns."""
    n = out.shape[0]
    w0 = weights[:n]
    w1 = weights[n : 2 * n]
    w2 = weights[2 * n : 3 * n]
    w3 = weights[3 * n : 4 * n]
    for j in range(n):
        outer = sums[4 * j] * w0[j] + sums[4 * j + 3] * w3[j]
        out[j] = outer + (sums[4 * j + 1] * w1[j] + sums[4 * j + 2] * w2[j])


@helper
def sum_across_6(sums: Reals, weights: Reals, out: Reals) -> None:
    """Sum the six columns."""
    n = out.shape[0]
    for j in range(LANES * n):
        sums[j] = sums[j] * weights[j]
    for j in range(n):
        first = sums[LANES * j] + sums[LANES * j + 1]
        middle = sums[LANES * j + 2] + sums[LANES * j + 3]
        last = sums[LANES * j + 4] + sums[LANES * j + 5]
        out[j] = (first + last) + middle


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
    for j in range(out.shape[0]):
        if abs(out[j]) <= bound or mask[j] != 0:
            continue
        row_first, row_count = weights_of(lines.row_fractions[j], taps, row_weights)
        col_first, col_count = weights_of(lines.col_fractions[j], taps, col_weights)
        o = band * source.band_stride + (lines.rows[j] + row_first) * source.row_stride + lines.cols[j] + col_first
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
            c = taps.coefficients[tap]
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


class Finish(NamedTuple):
    """What becomes of a piece's numbers.

    Attributes
    ----------
    low, high : float
        Of the output's integers, in float32 where it holds them.
    fill : number
        Of invalid pixels, in the output's type.
    nodata : number
        What a valid pixel should not be, in the output's type.
    has_nodata : bool
        Whether there is one.
    """

    low: Any
    high: Any
    fill: Any
    nodata: Any
    has_nodata: bool


@kernel
def finish_integers(values: Reals, mask: Bytes, finish: Finish, place: Pair, out: Any, counts: Integers) -> None:
    """Round a piece half to even, clip it, and fill what is invalid.

    Parameters
    ----------
    values : float32 or float64 (bands, rows, columns)
        Of the piece.
    mask : uint8 (1 or bands, rows, columns)
        Of the whole window.
    finish : Finish
    place : (int, int)
        Of the piece's first pixel in the window.
    out : integers (bands, rows, columns)
        The whole window; the piece is written.
    counts : int64 (COUNTS,)
        Added to.
    """
    bands, rows, n = values.shape
    col = place[1]
    for band in range(bands):
        for i in range(rows):
            causes = mask[band if mask.shape[0] > 1 else 0, place[0] + i, col : col + n]
            line = out[band, place[0] + i, col : col + n]
            if round_row(values[band, i], finish.low, finish.high, line) > 0:
                counts[CLIPPED] += count_clipped(values[band, i], causes, finish.low, finish.high)
            if finish.has_nodata:
                counts[EQUAL_TO_NODATA] += count_equal(line, causes, finish.nodata)
            if causes_in(causes):
                fill_row(causes, finish.fill, line)


@kernel
def finish_reals(values: Reals, mask: Bytes, finish: Finish, place: Pair, out: Any, counts: Integers) -> None:
    """Copy a piece, and fill what is invalid. Parameters as in `finish_integers`, but that `out` holds reals."""
    bands, rows, n = values.shape
    col = place[1]
    for band in range(bands):
        for i in range(rows):
            causes = mask[band if mask.shape[0] > 1 else 0, place[0] + i, col : col + n]
            line = out[band, place[0] + i, col : col + n]
            for j in range(n):
                line[j] = values[band, i, j]
            if finish.has_nodata:
                counts[EQUAL_TO_NODATA] += count_equal(line, causes, finish.nodata)
            if causes_in(causes):
                fill_row(causes, finish.fill, line)


@helper
def round_row(values: Reals, low: Any, high: Any, out: Any) -> int:
    """Write integers; return how many are clipped. Of invalid pixels, anything."""
    clipped = 0
    for j in range(out.shape[0]):
        value = np.rint(values[j])
        within = value if value > low else low  # NaN too
        within = within if within < high else high
        out[j] = within
        clipped += within != value
    return clipped


@helper
def count_clipped(values: Reals, causes: Bytes, low: Any, high: Any) -> int:
    """Count the valid pixels of a row that are clipped."""
    clipped = 0
    for j in range(causes.shape[0]):
        value = np.rint(values[j])
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
