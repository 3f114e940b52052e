"""Coarse nodes -> dense tiles: coordinates, mask, fill and recode in one pass.

A dense pixel ``(i, j)`` lies in the cell of nodes ``(i // rr, j // rc)``, a fraction ``(i % rr) / rr`` down and
``(j % rc) / rc`` across. Each iteration of the ``prange`` owns one tile of the output. Down a tile, each node row is
spread along the columns once, and the dense rows between two node rows are interpolated from the two spread rows: a
loop over contiguous columns with constant weights, which vectorises whatever the resolution (interpolating each dense
row between its nodes instead took 3 to 5 times longer at resolution 4 and 10). A row or column that lies on nodes is
copied, so nodes survive to the bit and a node that does not contribute is never read.

*Accuracy.* One interpolation ``v0*w0 + v1*w1`` with weights ``(r - a)/r`` and ``a/r``, each rounded once, errs by at
most 2 ulp of the largest node (weights 0.75, products 0.75, sum 0.5), so the two by at most 4. The result is clamped
between its two ends. That costs two vector instructions, and means that a dense value is never outside the range of its
nodes, that a constant stays constant to the bit, that nothing overflows on the way, and that where the ends are within
a limit, so are all rows between them.

*Void nodes* are NaN in every band (`void_nodes` sees to it), so that the arithmetic itself carries them to exactly the
pixels that they contribute to.

*Raster mask.* The summed weight of the valid contributing nodes, in units of ``1 / (rr*rc)``, is an integer: float64
holds it exactly as long as ``rr*rc < 2**53`` (`checks` refuses more), and it is compared with an integer.

*Causes.* While a row is worked on, its mask bytes hold the bits of `types.Cause`; they are recoded last.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .jit import helper, kernel

Floats = NDArray[np.float64]
Coordinates = NDArray[Any]  # float32 or float64
Bytes = NDArray[np.uint8]
Pair = tuple[int, int]

# The bits of types.Cause that are set here; numba takes module constants as literals.
RASTER_MASK = np.uint8(1)
NODE = np.uint8(2)
NONE = np.uint8(0)


@kernel(parallel=True)
def densify(
    nodes: Floats,
    valid_nodes: Bytes,
    causes: Bytes,
    first: Pair,
    resolution: Pair,
    threshold_sum: float,
    limits: Floats,
    fill: float,
    fill_masked: bool,
    recoded: bool,
    valid_code: np.uint8,
    invalid_code: np.uint8,
    tile_shape: Pair,
    out_grid: Coordinates,
    out_mask: Bytes,
) -> None:
    """Write a dense window: its bands, its mask, or both.

    What is absent is empty: `nodes` and `out_grid` have no band where only the mask is wanted; `valid_nodes`, `causes`
    and `out_mask` have no row where there is no raster mask, no polygon, or only the grid is wanted.

    Parameters
    ----------
    nodes : float64 (bands, node rows, node columns)
        Void nodes are NaN in every band.
    valid_nodes : uint8 (node rows, node columns)
        1 where the coarse raster mask is valid, else 0.
    causes : uint8, the window's shape
        What polygons say of each pixel, in bits of `types.Cause`. May be `out_mask` itself.
    first : (int, int)
        Row and column of the window's first pixel, counted from the first node.
    resolution : (int, int)
        Dense pixels a node along rows and columns.
    threshold_sum : float
        A pixel is raster-valid if the integer weights of its valid nodes sum to at least this.
    limits : float64 (bands,)
        The largest magnitude that each band's file can hold; a pixel beyond it is void.
    fill : float
        Written to every band of void pixels and, with `fill_masked`, of all invalid ones.
    fill_masked : bool
        See `fill`.
    recoded : bool
        Whether the mask is to hold codes; else it holds the causes themselves.
    valid_code, invalid_code : uint8
        What the mask says of a pixel, where it is recoded.
    tile_shape : (int, int)
        Rows and columns of a tile. The result does not depend on it.
    out_grid : float32 or float64 (bands, rows, columns)
        Written whole.
    out_mask : uint8 (rows, columns)
        Written whole.
    """
    height, width = max(out_grid.shape[1], out_mask.shape[0]), max(out_grid.shape[2], out_mask.shape[1])
    tile_rows = (height + tile_shape[0] - 1) // tile_shape[0]
    tile_cols = (width + tile_shape[1] - 1) // tile_shape[1]
    # Tiles of one height: with a low last row of tiles, one thread would wait for the others.
    tile_height = (height + tile_rows - 1) // tile_rows
    # A table of weights from the first column's offset on, where a cell is wider than the window.
    base = first[1] % resolution[1] if resolution[1] > width else 0
    weights = column_weights(base, min(resolution[1], width), resolution[1])
    for tile in prange(tile_rows * tile_cols):
        row_start = min((tile // tile_cols) * tile_height, height)
        col_start = (tile % tile_cols) * tile_shape[1]
        densify_tile(
            nodes,
            valid_nodes,
            causes,
            first,
            resolution,
            weights,
            base,
            threshold_sum,
            limits,
            fill,
            fill_masked,
            recoded,
            valid_code,
            invalid_code,
            (row_start, min(row_start + tile_height, height)),
            (col_start, min(col_start + tile_shape[1], width)),
            out_grid,
            out_mask,
        )


@helper
def densify_tile(
    nodes: Floats,
    valid_nodes: Bytes,
    causes: Bytes,
    first: Pair,
    resolution: Pair,
    weights: Floats,
    base: int,
    threshold_sum: float,
    limits: Floats,
    fill: float,
    fill_masked: bool,
    recoded: bool,
    valid_code: np.uint8,
    invalid_code: np.uint8,
    rows: Pair,
    cols: Pair,
    out_grid: Coordinates,
    out_mask: Bytes,
) -> None:
    """Write one tile: spread node rows down it, and write the dense rows between them."""
    rr, rc = resolution
    start, stop = cols
    n = stop - start
    bands = nodes.shape[0]
    has_raster_mask = valid_nodes.shape[0] > 0
    has_polygons = causes.shape[0] > 0
    scratch = np.empty(n, np.uint8)
    spread = np.empty((2, bands, n))  # the node rows above and below, by parity of the node row
    valid_sums = np.empty((2, n))
    void_slots = 0  # bit by slot: some pixel of that spread row is void
    masked_slots = 0  # bit by slot: some pixel of it is masked
    spread_rows = 0  # node rows before this one are spread, or not needed
    for i in range(rows[0], rows[1]):
        r = (first[0] + i) // rr
        a = (first[0] + i) % rr
        spread_rows = max(spread_rows, r)
        while spread_rows <= (r + 1 if a > 0 else r):
            slot = spread_rows % 2
            void_slots &= ~(1 << slot)
            masked_slots &= ~(1 << slot)
            for band in range(bands):
                values = spread[slot, band]
                spread_row(nodes[band, spread_rows], first[1] + start, rc, weights, base, values)
                if not within(values, limits[band]):
                    void_slots |= 1 << slot
            if has_raster_mask:
                all_valid = spread_valid_row(valid_nodes[spread_rows], first[1] + start, rc, valid_sums[slot])
                if not all_valid:
                    masked_slots |= 1 << slot
            spread_rows += 1
        upper = r % 2
        lower = (r + 1) % 2 if a > 0 else upper
        for band in range(bands):
            blend_row(spread[upper, band], spread[lower, band], a, rr, out_grid[band, i, start:stop])

        mask = out_mask[i, start:stop] if out_mask.shape[0] > 0 else scratch
        if has_polygons:
            copy_bytes(causes[i, start:stop], mask)
        else:
            set_bytes(NONE, mask)
        slots = (1 << upper) | (1 << lower)
        some_void = (void_slots & slots) != 0
        some_masked = (masked_slots & slots) != 0
        if some_masked:
            mark_masked(valid_sums[upper], valid_sums[lower], a, rr, threshold_sum, mask)
        if some_void:
            for band in range(bands):
                mark_void(out_grid[band, i, start:stop], limits[band], mask)
        if some_void or (fill_masked and (some_masked or has_polygons)):
            for band in range(bands):
                fill_invalid(mask, fill, fill_masked, out_grid[band, i, start:stop])
        if recoded:
            recode(mask, valid_code, invalid_code)


# These two are loops in functions of their own, since numba takes seconds to compile assignments to slices; LLVM makes
# memset and memcpy of them.


@helper
def set_bytes(value: np.uint8, out: Bytes) -> None:
    """Set every byte."""
    for j in range(out.shape[0]):
        out[j] = value


@helper
def copy_bytes(values: Bytes, out: Bytes) -> None:
    """Copy bytes, perhaps onto themselves."""
    for j in range(out.shape[0]):
        out[j] = values[j]


@helper
def column_weights(base: int, size: int, rc: int) -> Floats:
    """Return (rc - b)/rc and b/rc for so many column offsets b, from `base` on and round to 0 after rc - 1."""
    weights = np.empty((2, size))
    for index in range(size):
        b = (base + index) % rc
        weights[0, index] = (rc - b) / rc
        weights[1, index] = b / rc
    return weights


@helper
def spread_row(nodes: Floats, first_col: int, rc: int, weights: Floats, base: int, out: Floats) -> None:
    """Interpolate one node row of one band along its columns."""
    n = out.shape[0]
    k = first_col // rc
    b = first_col % rc
    j = 0
    while j < n:
        left = nodes[k]
        if b == 0:
            out[j] = left
            j += 1
            b = 1
        inside = min(rc - b, n - j)
        if inside > 0:
            right = nodes[k + 1]
            low = left if left < right else right
            high = right if left < right else left
            # Slices, since an index that numba cannot see to be positive keeps the loop from being vectorised.
            cell = out[j : j + inside]
            at = b - base if b >= base else b - base + rc
            weight_left = weights[0, at : at + inside]
            weight_right = weights[1, at : at + inside]
            for t in range(inside):
                value = left * weight_left[t] + right * weight_right[t]
                value = low if value < low else value
                cell[t] = high if value > high else value
            j += inside
        k += 1
        b = 0


@helper
def blend_row(upper: Floats, lower: Floats, a: int, rr: int, out: Coordinates) -> None:
    """Interpolate one dense row between two spread rows, `a` rows of `rr` below the upper one."""
    if a == 0:
        for j in range(out.shape[0]):
            out[j] = upper[j]
        return
    weight_upper = (rr - a) / rr
    weight_lower = a / rr
    for j in range(out.shape[0]):
        above = upper[j]
        below = lower[j]
        low = above if above < below else below
        high = below if above < below else above
        value = above * weight_upper + below * weight_lower
        value = low if value < low else value
        out[j] = high if value > high else value


@helper
def within(values: Coordinates, limit: float) -> bool:
    """Say whether all values are numbers of at most this magnitude."""
    beyond = 0
    for j in range(values.shape[0]):
        beyond += not abs(values[j]) <= limit
    return beyond == 0


@helper
def spread_valid_row(valid_nodes: Bytes, first_col: int, rc: int, out: Floats) -> bool:
    """Write the sums of the column weights, in units of 1/rc, of one row's valid nodes; say whether all are valid."""
    n = out.shape[0]
    k = first_col // rc
    b = first_col % rc
    j = 0
    masked = 0
    while j < n:
        left = float(valid_nodes[k])
        masked += left == 0
        if b == 0:
            out[j] = left * rc
            j += 1
            b = 1
        inside = min(rc - b, n - j)
        if inside > 0:
            right = float(valid_nodes[k + 1])
            masked += right == 0
            for t in range(inside):
                out[j + t] = left * (rc - b - t) + right * (b + t)
            j += inside
        k += 1
        b = 0
    return masked == 0


@helper
def mark_masked(
    upper: Floats,
    lower: Floats,
    a: int,
    rr: int,
    threshold_sum: float,
    mask: Bytes,
) -> None:
    """Mark the pixels of a dense row whose valid nodes weigh less than the threshold."""
    weight_upper = float(rr - a)
    weight_lower = float(a)
    for j in range(mask.shape[0]):
        if upper[j] * weight_upper + lower[j] * weight_lower < threshold_sum:
            mask[j] |= RASTER_MASK


@helper
def mark_void(values: Coordinates, limit: float, mask: Bytes) -> None:
    """Mark the pixels of a dense row that are not numbers, or too large for their file."""
    for j in range(values.shape[0]):
        if not abs(values[j]) <= limit:
            mask[j] |= NODE


@helper
def fill_invalid(mask: Bytes, fill: float, fill_masked: bool, out: Coordinates) -> None:
    """Fill the void pixels of a dense row or, with `fill_masked`, all of its invalid ones."""
    filled = np.uint8(0xFF) if fill_masked else NODE
    for j in range(out.shape[0]):
        if mask[j] & filled:
            out[j] = fill


@helper
def recode(mask: Bytes, valid_code: np.uint8, invalid_code: np.uint8) -> None:
    """Turn causes into what the mask says: one code where there is none, the other where there is any."""
    for j in range(mask.shape[0]):
        mask[j] = valid_code if mask[j] == 0 else invalid_code


@kernel()
def summarise(
    out_grid: Coordinates,
    recoded: bool,
    valid_code: np.uint8,
    invalid_code: np.uint8,
    counts: NDArray[np.int64],
    boxes: Floats,
    mask: Bytes,
) -> None:
    """Count the causes of a window's pixels, find the range of its valid coordinates, and recode its mask.

    All loops are over contiguous columns, without branches, so that they vectorise: counting and looking codes up
    pixel by pixel took as long as writing the files. Not parallel: this takes 0.8 ns a pixel, memory's speed, and on a
    busy machine a second launch a strip was seen to cost ten times that.

    Parameters
    ----------
    out_grid : float32 or float64 (bands, rows, columns)
        No band where only the mask is made.
    recoded : bool
        Whether the mask is to hold codes; else it keeps the causes.
    valid_code, invalid_code : uint8
        What the mask says of a pixel, where it is recoded.
    counts : int64 (rows, 5)
        Written: valid pixels, and invalid ones by their first cause in the order of its bits.
    boxes : float64 (rows, bands, 2)
        Written: the least and the largest value of each band among the row's valid pixels; infinities where none is.
    mask : uint8 (rows, columns)
        Causes in, codes out.
    """
    for i in range(mask.shape[0]):
        causes = mask[i]
        counts[i, 0] = causes.shape[0]
        some = causes_in(causes)
        for kind in range(4):
            counts[i, kind + 1] = count_first(causes, np.uint8(1 << kind)) if some & (1 << kind) else 0
            counts[i, 0] -= counts[i, kind + 1]
        for band in range(out_grid.shape[0]):
            find_range(out_grid[band, i], causes, boxes[i, band])
        if recoded:
            recode(causes, valid_code, invalid_code)


@helper
def causes_in(mask: Bytes) -> int:
    """Return the causes of a row's pixels, all together."""
    some = np.uint8(0)
    for j in range(mask.shape[0]):
        some |= mask[j]
    return int(some)


@helper
def count_first(mask: Bytes, cause: np.uint8) -> int:
    """Count the pixels of a row whose first cause this is."""
    up_to = np.uint8(2 * cause - 1)
    count = 0
    for j in range(mask.shape[0]):
        count += (mask[j] & up_to) == cause
    return count


# So many running minima and maxima are kept side by side, for columns so many apart: with a single one, each comparison
# would wait for the one before.
LANES = 64


@helper
def find_range(values: Coordinates, mask: Bytes, out: Floats) -> None:
    """Write the least and the largest of a row's valid values."""
    lows = np.full(LANES, np.inf)
    highs = np.full(LANES, -np.inf)
    n = values.shape[0]
    for start in range(0, n, LANES):
        inside = min(LANES, n - start)
        part = values[start : start + inside]
        valid = mask[start : start + inside]
        for t in range(inside):
            value = float(part[t])
            low = value if valid[t] == 0 else np.inf
            high = value if valid[t] == 0 else -np.inf
            lows[t] = low if low < lows[t] else lows[t]
            highs[t] = high if high > highs[t] else highs[t]
    out[0] = lows.min()
    out[1] = highs.max()


@kernel()
def void_nodes(nodes: Floats, nodata: Floats, counted_from: Pair, tagged_nodes: NDArray[np.int64]) -> None:
    """Make each node NaN in every band where a band is not finite or is nodata.

    Not parallel: there are few nodes, and a launch costs more than it gains.

    Parameters
    ----------
    nodes : float64 (bands, rows, columns)
        Changed in place.
    nodata : float64 (bands, values)
        Values of each band that mean no data; NaN means none. The first is the dataset's own tag.
    counted_from : (int, int)
        The first row and the first column that are counted.
    tagged_nodes : int64 (1,)
        Written: how many of these nodes are finite in every band, and equal to the tag in one.
    """
    bands, rows, cols = nodes.shape
    count = 0
    for r in range(rows):
        for k in range(cols):
            finite = True
            tagged = False
            void = False
            for band in range(bands):
                value = nodes[band, r, k]
                finite &= np.isfinite(value)
                tagged |= value == nodata[band, 0]
                for choice in range(nodata.shape[1]):
                    void |= value == nodata[band, choice]
            if void or not finite:
                for band in range(bands):
                    nodes[band, r, k] = np.nan
            count += tagged and finite and r >= counted_from[0] and k >= counted_from[1]
    tagged_nodes[0] = count
