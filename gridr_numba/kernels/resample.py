"""A source image at dense coordinates: a tile of a window at a time, row by row.

Down a tile, each node row is spread along the columns once, as `bilinear.densify_tile` does it, with the same functions
and so to the same bits. A row between two of them is interpolated and split into where its taps are and what weighs
them (`taps`), in one loop where both node rows are within the image and the table; else position by position. Then its
pixels are summed, some at a time (`vectors`), what is no number is looked at (`lost`), and pixels of the output's type
are made (`pixels`), while all is in the cache that is next to the processor. Sums are made in one order, whatever the
processor.

*The source* is a table of float32 or float64 in which invalid pixels are NaN, and the image's edge is repeated `PAD`
pixels deep (`source_table`). So no tap is checked: one that is invalid makes the sum NaN, as the weights do, whatever
they are. Pixels that are only copied are taken from the image itself, and `validity` says which are invalid.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bilinear import (
    MASKED,
    OUTSIDE,
    Nodes,
    Rules,
    Weights,
    blend_row,
    column_weights,
    mark_masked,
    mark_outside,
    mark_void,
    set_bytes,
    spread_nodes,
)
from .jit import borrowed, helper, hold, inlined, kernel, seen_as
from .lost import count_lost, settle_row
from .pixels import fill_invalid, finish_row, sum_raw, take_raw
from .source_table import NEAREST, VALID, Finish, Lines, Source, Taps, Tile
from .taps import (
    are_apart,
    axis_of,
    fetch_ahead,
    fetch_below,
    mark_beyond,
    pixels_ahead,
    place_row,
    split_row,
    sum_taps,
)
from .validity import MIXED, NONE_VALID, SQUARE, look_around, mark_all_taps, mark_taps
from .vectors import MOST_AT_A_TIME, PLACE_BASE

Floats = NDArray[np.float64]
Reals = NDArray[Any]  # float32 or float64
Integers = NDArray[np.int64]
Bytes = NDArray[np.uint8]

# Rows and columns of a tile, at most: a row's scratch stays in the first cache, and what a row takes of the table is
# near when the next one takes most of it again. Low tiles would begin too often: where rows are steep, nothing of what
# a tile takes first is near.
TILE_ROWS, TILE_COLS = 256, 512


@helper
def new_lines(n: int, bands: int, like: Reals) -> Lines:
    """Make room for a row of so many pixels, in the type of these."""
    size = (n + MOST_AT_A_TIME - 1) // MOST_AT_A_TIME * MOST_AT_A_TIME
    return Lines(
        np.empty((2, 2, n)),
        np.empty((2, n)),
        np.empty((2, n)),
        np.full(size, PLACE_BASE),
        np.ones(size, np.uint8),
        np.zeros(size, like.dtype),
        np.zeros(size, like.dtype),
        np.empty((bands, size), like.dtype),
    )


@inlined
def none_valid(causes: Bytes) -> bool:
    """Say whether all pixels are invalid."""
    some = np.uint8(0)
    for j in range(causes.shape[0]):
        some = np.uint8(some | np.uint8(causes[j] == 0))
    return bool(some == 0)


@inlined
def copy_bytes(values: Bytes, out: Bytes) -> None:
    """Copy them."""
    for j in range(out.shape[0]):
        out[j] = values[j]


@helper
def mark_positions(
    above: Floats, below: Floats, a: int, rr: int, rules: Rules, positions: Floats, causes: Bytes
) -> None:
    """Interpolate the positions of a row, and mark those that are outside of the image or nowhere."""
    for axis in range(2):
        mark_outside(above[axis], below[axis], a, rr, rules.source[axis], causes)
        blend_row(above[axis], below[axis], a, rr, positions[axis])
    for axis in range(2):
        mark_void(positions[axis], rules.limits[axis], causes)


# Helpers that are called for each row take arrays, not tuples of them, and arrays of which no references are counted:
# for a row, counting takes as long as its arithmetic. So this one takes all tuples apart, and is long: a helper of its
# size would be compiled twice over.
@kernel
def resample_tile(
    nodes: Nodes,
    rules: Rules,
    marked: bool,
    source: Source,
    taps: Taps,
    finish: Finish,
    tile: Tile,
    mask: Bytes,
    out: Bytes,
    counts: Integers,
) -> None:
    """Compute a tile of a window: spread node rows down it, and go from row to row.

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
    tile : Tile
    mask : uint8 (1 or bands, rows, columns)
        Of the whole window; the tile is written. With one, a pixel is valid if it is in all bands.
    out : uint8 (bands, rows, bytes of the columns)
        Pixels of the whole window, looked at as bytes; the tile is written.
    counts : int64 (COUNTS,)
        Added to.
    """
    (rr, rc), col, n = nodes.resolution, tile.col_start, tile.col_stop - tile.col_start
    lines = new_lines(n, out.shape[0], source.pixels)
    first_row, first_col = nodes.first[0], nodes.first[1] + col
    its_weights = column_weights(first_col, n, rc)
    weights = Weights(its_weights.base, borrowed(its_weights.table))
    row_axis, col_axis = axis_of(source, taps, 0), axis_of(source, taps, 1)
    stride, row_stride, band_stride = float(source.row_stride), np.uint64(source.row_stride), source.band_stride
    kind, raw, size, bands = taps.kind, source.raw, finish.size, out.shape[0]
    copied = raw != 0 and kind == NEAREST
    # Of how many bands of the source it is looked up which pixels are valid.
    looked_up = 0 if source.valid.shape[0] == 0 else bands if source.valid_stride > 0 else mask.shape[0]
    raw_pixels, valid = borrowed(source.image_bytes), borrowed(source.valid)
    mask, out, pixels, lanczos = borrowed(mask), borrowed(out), borrowed(source.pixels), borrowed(taps.lanczos)
    source_bytes, source_size = (raw_pixels, abs(raw)) if raw != 0 else (seen_as(pixels, np.uint8), pixels.itemsize)
    nodes = Nodes(borrowed(nodes.values), borrowed(nodes.valid), nodes.first, nodes.resolution)
    spread, valid_sums, positions = borrowed(lines.spread), borrowed(lines.valid_sums), borrowed(lines.blended)
    places, values, valid_taps = borrowed(lines.places), borrowed(lines.values), borrowed(lines.valid)
    whole = seen_as(places, np.int64)
    row_fractions, col_fractions = borrowed(lines.row_fractions), borrowed(lines.col_fractions)
    ys, xs = positions[0], positions[1]
    bound = values.dtype.type(min(finish.limit, source.largest))
    # A spread row is `OUTSIDE` where not all of its positions are answered, and so are those between two that are. Nor
    # are they beyond the box of which it is known what its pixels are: the whole tile's, or else that of some rows.
    box = np.empty((2, 2))
    answered = Rules(rules.threshold_sum, rules.limits, box, True, rules.fill, False)
    around = look_around(nodes, tile, taps, source, box)
    part_stop = tile.row_start if around == MIXED else tile.row_stop
    states = 0  # of each of the two spread rows, in four bits
    spread_rows = 0  # node rows before this one are spread, or not needed
    ahead = 0
    pair, apart = -1, False  # of two spread rows
    for i in range(tile.row_start, tile.row_stop):
        if i == part_stop:
            part_stop = min(i + SQUARE, tile.row_stop)
            part = Tile(i, part_stop, tile.col_start, tile.col_stop)
            around = look_around(nodes, part, taps, source, box)
            spread_rows = 0
        r = (first_row + i) // rr
        a = (first_row + i) % rr
        spread_rows = max(spread_rows, r)
        while spread_rows <= (r + 1 if a > 0 else r):
            slot = spread_rows % 2
            state = spread_nodes(nodes, answered, weights, spread_rows, col, spread[slot], valid_sums[slot])
            states = (states & ~(15 << 4 * slot)) | (state << 4 * slot)
            spread_rows += 1
        upper = r % 2
        lower = (r + 1) % 2 if a > 0 else upper
        state = (states >> 4 * upper | states >> 4 * lower) & 15
        causes = mask[0, i, col : col + n]
        for band in range(mask.shape[0]):
            fetch_below(mask[band, i], mask.shape[2], col, col + n)
        for band in range(bands):
            fetch_below(out[band, i], out.shape[2], col * size, (col + n) * size)
        if not marked:
            set_bytes(VALID, causes)
        if state & MASKED:
            mark_masked(valid_sums[upper], valid_sums[lower], a, rr, rules.threshold_sum, causes)
        above, below = spread[upper], spread[lower]
        if a > 0 and r != pair:
            pair, apart = r, are_apart(above, below, rr, row_axis, col_axis)
            ahead = pixels_ahead(above, below, rr, source.row_stride, taps.support)
        if state & OUTSIDE:
            mark_positions(above, below, a, rr, rules, positions, causes)
            if split_row(ys, xs, row_axis, col_axis, stride, places, row_fractions, col_fractions) > 0:
                mark_beyond(ys, xs, source, taps, causes, counts)
        elif around == NONE_VALID:
            mark_all_taps(causes)
        else:
            place_row(
                kind,
                apart,
                above,
                below,
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
        if (state != 0 or marked or around == NONE_VALID) and none_valid(causes):
            for band in range(bands):
                fill_invalid(causes, finish, out[band, i, col * size : (col + n) * size], counts)
            continue
        for band in range(looked_up if around == MIXED or state & OUTSIDE else 0):
            line_causes = mask[band if mask.shape[0] > 1 else 0, i, col : col + n]
            shift = band * source.valid_stride
            fetch_ahead(valid, 1, shift + ahead, i, whole)
            mark_taps(
                kind,
                valid,
                shift,
                row_stride,
                whole[:n],
                row_fractions[:n],
                col_fractions[:n],
                valid_taps[:n],
                line_causes,
            )
        for band in range(bands):
            line, line_causes = values[band, :n], mask[band if mask.shape[0] > 1 else 0, i, col : col + n]
            shift = band * band_stride
            fetch_ahead(source_bytes, source_size, shift + ahead, i, whole)
            if copied:
                row_out = out[band, i, col * size : (col + n) * size]
                take_raw(raw, raw_pixels, shift, whole[:n], row_out)
            elif raw != 0:
                sum_raw(raw, raw_pixels, shift, row_stride, whole, row_fractions, col_fractions, values[band])
            else:
                sum_taps(kind, pixels, shift, row_stride, whole, row_fractions, col_fractions, lanczos, values[band])
                if count_lost(line, bound) > 0:
                    settle_row(source, band, taps, finish.limit, lines, line_causes, line, counts)
        # When it is known which are valid in all bands.
        for band in range(bands):
            line, line_causes = values[band, :n], mask[band if mask.shape[0] > 1 else 0, i, col : col + n]
            row_out = out[band, i, col * size : (col + n) * size]
            if not copied:
                finish_row(line, line_causes, finish, row_out, counts)
            fill_invalid(line_causes, finish, row_out, counts)
    hold(lines)
    hold(its_weights)
