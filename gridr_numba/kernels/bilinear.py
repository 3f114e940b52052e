"""Coarse nodes -> dense tiles: coordinates, and the causes of each pixel, in one pass.

A dense pixel ``(i, j)`` lies in the cell of nodes ``(i // rr, j // rc)``, a fraction ``(i % rr) / rr`` down and
``(j % rc) / rc`` across. Each piece of the work owns one tile of the output. Down a tile, each node row is spread along
the columns once, and the dense rows between two node rows are interpolated from the two spread rows: a loop over
contiguous columns with constant weights, which vectorises whatever the resolution. A row or column that lies on nodes
is copied, so nodes survive to the bit and a node that does not contribute is never read.

*Accuracy.* One interpolation ``v0*w0 + v1*w1`` with weights ``(r - a)/r`` and ``a/r``, each rounded once, errs by at
most 2 ulp of the largest node (weights 0.75, products 0.75, sum 0.5), so the two by at most 4. The result is clamped
between its two ends. That costs two vector instructions, and means that a dense value is never outside the range of its
nodes, that a constant stays constant to the bit, that nothing overflows on the way, and that where the ends are within
a limit, so are all rows between them. Both types of output are in one kernel, which is compiled once.

*Void nodes* are NaN in every band (`void_nodes` sees to it), so that the arithmetic itself carries them to exactly the
pixels that they contribute to.

*Raster mask.* The summed weight of the valid contributing nodes, in units of ``1 / (rr*rc)``, is an integer: float64
holds it exactly as long as ``rr*rc < 2**53`` (`checks` refuses more), and it is compared with an integer.

*The source image.* Whether a pixel lies outside of it is decided on its coordinates in float64, before they are rounded
to the type of the output. Where the two spread rows are inside, so are all rows between them.

*Causes.* The mask's bytes hold the bits of `types.Cause`. What a file is to say instead is written elsewhere.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..types import Cause
from .jit import helper, kernel, run_pieces

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Coordinates = NDArray[Any]  # float32 or float64
Integers = NDArray[np.int64]
Bytes = NDArray[np.uint8]
Pair = tuple[int, int]

# Numba takes module constants as literals.
RASTER_MASK = np.uint8(Cause.RASTER_MASK)
NODE = np.uint8(Cause.NODE)
OUTSIDE_SOURCE = np.uint8(Cause.OUTSIDE_SOURCE)
NONE = np.uint8(0)


class Nodes(NamedTuple):
    """The nodes around a window.

    Attributes
    ----------
    values : float64 (bands, node rows, node columns)
        Void nodes are NaN in every band. No band where only the mask is wanted.
    valid : uint8 (node rows, node columns)
        1 where the coarse raster mask is valid, else 0. No row where there is none.
    first : (int, int)
        Row and column of the window's first pixel, counted from the first node.
    resolution : (int, int)
        Dense pixels a node along rows and columns.
    """

    values: Floats
    valid: Bytes
    first: Pair
    resolution: Pair


class Rules(NamedTuple):
    """What is void, what is masked, and what is then filled.

    Attributes
    ----------
    threshold_sum : float
        A pixel is raster-valid if the integer weights of its valid nodes sum to at least this.
    limits : float64 (bands,)
        The largest magnitude that each band's file can hold; a pixel beyond it is void.
    source : float64 (bands, 2)
        The least and the largest coordinate of each band that are inside the source image, none of them beyond
        `limits`. Where there is no such image, the limits themselves.
    has_source : bool
        Whether there is one.
    fill : float
        Written to every band of void pixels and, with `fill_masked`, of all invalid ones.
    fill_masked : bool
        See `fill`.
    """

    threshold_sum: float
    limits: Floats
    source: Floats
    has_source: bool
    fill: float
    fill_masked: bool


class DensePart(NamedTuple):
    """A dense window: its bands in one of two types, its mask, or both. What is absent is empty.

    Attributes
    ----------
    grid : float64 (bands, rows, columns)
    grid32 : float32 (bands, rows, columns)
    mask : uint8 (rows, columns)
        Causes of each pixel.
    """

    grid: Floats
    grid32: Floats32
    mask: Bytes


def dense_part(grid: NDArray[Any], mask: Bytes) -> DensePart:
    """Return a window as the kernels take it, from bands of float32 or float64."""
    if grid.dtype == np.float32:
        return DensePart(_NO_BANDS, grid, mask)
    return DensePart(grid, _NO_BANDS32, mask)


_NO_BANDS: Floats = np.empty((0, 0, 0), np.float64)
_NO_BANDS32: Floats32 = np.empty((0, 0, 0), np.float32)


@kernel
def densify(nodes: Nodes, rules: Rules, marked: bool, tile_shape: Pair, loop: int, out: DensePart) -> None:
    """Write a dense window whole.

    Parameters
    ----------
    nodes : Nodes
    rules : Rules
    marked : bool
        Whether the mask holds causes already, to which others are added: what polygons say.
    tile_shape : (int, int)
        Rows and columns of a tile. The result does not depend on it.
    loop : int
        As `jit.team` yields it.
    out : DensePart
        Written.
    """
    height = max(out.grid.shape[1], out.grid32.shape[1], out.mask.shape[0])
    width = max(out.grid.shape[2], out.grid32.shape[2], out.mask.shape[1])
    tile_rows = (height + tile_shape[0] - 1) // tile_shape[0]
    tile_cols = (width + tile_shape[1] - 1) // tile_shape[1]
    # Tiles of one height: with a low last row of tiles, one thread would wait for the others.
    tile_height = (height + tile_rows - 1) // tile_rows
    weights = column_weights(nodes.first[1], width, nodes.resolution[1])
    tiling = Tiling(height, width, tile_height, tile_shape[1], tile_cols)
    run_pieces(densify_tile, (nodes, rules, marked, weights, tiling, out), tile_rows * tile_cols, loop)


class Weights(NamedTuple):
    """(rc - b)/rc and b/rc for the column offsets b, from `base` on and round to 0 after rc - 1."""

    base: int
    table: Floats


class Tiling(NamedTuple):
    """How a window is cut into tiles, row by row of them."""

    height: int
    width: int
    tile_height: int
    tile_width: int
    tile_cols: int


@helper
def densify_tile(job: tuple[Nodes, Rules, bool, Weights, Tiling, DensePart], tile: int) -> None:
    """Write one tile: spread node rows down it, and write the dense rows between them."""
    nodes, rules, marked, weights, tiling, out = job
    rr = nodes.resolution[0]
    row_start = min((tile // tiling.tile_cols) * tiling.tile_height, tiling.height)
    row_stop = min(row_start + tiling.tile_height, tiling.height)
    start = (tile % tiling.tile_cols) * tiling.tile_width
    n = min(tiling.tile_width, tiling.width - start)
    bands = nodes.values.shape[0]
    has_mask = out.mask.shape[0] > 0
    scratch = np.empty(n, np.uint8)
    spread = np.empty((2, bands, n))  # the node rows above and below, by parity of the node row
    valid_sums = np.empty((2, n))
    states = 0  # of each of the two, in four bits: what `spread_nodes` returned
    spread_rows = 0  # node rows before this one are spread, or not needed
    for i in range(row_start, row_stop):
        r = (nodes.first[0] + i) // rr
        a = (nodes.first[0] + i) % rr
        spread_rows = max(spread_rows, r)
        while spread_rows <= (r + 1 if a > 0 else r):
            slot = spread_rows % 2
            state = spread_nodes(nodes, rules, weights, spread_rows, start, spread[slot], valid_sums[slot])
            states = (states & ~(15 << 4 * slot)) | (state << 4 * slot)
            spread_rows += 1
        upper = r % 2
        lower = (r + 1) % 2 if a > 0 else upper
        state = (states >> 4 * upper | states >> 4 * lower) & 15
        mask = out.mask[i, start : start + n] if has_mask else scratch
        if not (marked and has_mask):
            set_bytes(NONE, mask)
        if state & MASKED:
            mark_masked(valid_sums[upper], valid_sums[lower], a, rr, rules.threshold_sum, mask)
        if rules.has_source and state & OUTSIDE:
            for band in range(bands):
                mark_outside(spread[upper, band], spread[lower, band], a, rr, rules.source[band], mask)
        write_bands(spread, upper, lower, a, rr, rules, state, marked, mask, i, start, out.grid)
        write_bands(spread, upper, lower, a, rr, rules, state, marked, mask, i, start, out.grid32)


@helper
def write_bands(
    spread: Floats,
    upper: int,
    lower: int,
    a: int,
    rr: int,
    rules: Rules,
    state: int,
    marked: bool,
    mask: Bytes,
    i: int,
    start: int,
    out: Coordinates,
) -> None:
    """Write a row of a tile, every band that there is of this type, and mark and fill what is void."""
    n = mask.shape[0]
    for band in range(out.shape[0]):
        blend_row(spread[upper, band], spread[lower, band], a, rr, out[band, i, start : start + n])
    if state & OUTSIDE:
        for band in range(out.shape[0]):
            mark_void(out[band, i, start : start + n], rules.limits[band], mask)
    if state & OUTSIDE or (rules.fill_masked and (state != 0 or marked)):
        for band in range(out.shape[0]):
            fill_invalid(mask, rules.fill, rules.fill_masked, out[band, i, start : start + n])


# What some pixel of a spread row is. Void ones are outside too.
OUTSIDE = 1
MASKED = 2


@helper
def spread_nodes(
    nodes: Nodes, rules: Rules, weights: Weights, node_row: int, start: int, out: Floats, out_sums: Floats
) -> int:
    """Spread one row of nodes, every band and the mask; say whether a pixel of it is outside or masked."""
    state = 0
    rc = nodes.resolution[1]
    first_col = nodes.first[1] + start
    for band in range(out.shape[0]):
        spread_row(nodes.values[band, node_row], first_col, rc, weights, out[band])
        if not within(out[band], rules.source[band, 0], rules.source[band, 1]):
            state |= OUTSIDE
    if nodes.valid.shape[0] > 0 and not spread_valid_row(nodes.valid[node_row], first_col, rc, out_sums):
        state |= MASKED
    return state


@helper
def set_bytes(value: np.uint8, out: Bytes) -> None:
    """Set every byte: LLVM calls memset. Numba takes long to compile assignments to slices."""
    for j in range(out.shape[0]):
        out[j] = value


@helper
def column_weights(first_col: int, width: int, rc: int) -> Weights:
    """Return those of so many columns, the first of which is so many from the first node, with one every `rc`."""
    base = first_col % rc if rc > width else 0  # where a cell is wider than all of them
    table = np.empty((2, min(rc, width)))
    for index in range(table.shape[1]):
        b = (base + index) % rc
        table[0, index] = (rc - b) / rc
        table[1, index] = b / rc
    return Weights(base, table)


@helper
def spread_row(nodes: Floats, first_col: int, rc: int, weights: Weights, out: Floats) -> None:
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
            at = b - weights.base if b >= weights.base else b - weights.base + rc
            weight_left = weights.table[0, at : at + inside]
            weight_right = weights.table[1, at : at + inside]
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
        out[j] = blended(upper[j], lower[j], weight_upper, weight_lower)


@helper
def blended(above: float, below: float, weight_above: float, weight_below: float) -> float:
    """Interpolate between two values; the result is between them."""
    low = above if above < below else below
    high = below if above < below else above
    value = above * weight_above + below * weight_below
    value = low if value < low else value
    return high if value > high else value


@helper
def within(values: Floats, low: float, high: float) -> bool:
    """Say whether all values are numbers from `low` to `high`."""
    beyond = 0
    for j in range(values.shape[0]):
        beyond += not (values[j] >= low) & (values[j] <= high)
    return beyond == 0


@helper
def spread_valid_row(valid_nodes: Bytes, first_col: int, rc: int, out: Floats) -> bool:
    """Write the sums of the column weights, in units of 1/rc, of one row's valid nodes; say whether all are valid."""
    n = out.shape[0]
    k = first_col // rc
    b = first_col % rc
    invalid = 0
    for node in range(k, (first_col + n - 1 + rc - 1) // rc + 1):
        invalid += valid_nodes[node] == 0
    if invalid == 0:
        for j in range(n):
            out[j] = rc
        return True
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
def mark_outside(upper: Floats, lower: Floats, a: int, rr: int, source: Floats, mask: Bytes) -> None:
    """Mark the pixels of a dense row that lie outside the source image along one of its axes."""
    weight_upper = (rr - a) / rr
    weight_lower = a / rr
    for j in range(mask.shape[0]):
        value = blended(upper[j], lower[j], weight_upper, weight_lower)
        if (value < source[0]) | (value > source[1]):
            mask[j] |= OUTSIDE_SOURCE


@helper
def mark_void(values: Coordinates, limit: float, mask: Bytes) -> None:
    """Mark the pixels of a dense row that are not numbers, or too large for their file: they lie nowhere."""
    for j in range(values.shape[0]):
        if not abs(values[j]) <= limit:
            mask[j] = (mask[j] & ~OUTSIDE_SOURCE) | NODE


@helper
def fill_invalid(mask: Bytes, fill: float, fill_masked: bool, out: Coordinates) -> None:
    """Fill the void pixels of a dense row or, with `fill_masked`, all of its invalid ones."""
    filled = np.uint8(0xFF) if fill_masked else NODE
    for j in range(out.shape[0]):
        if mask[j] & filled:
            out[j] = fill


@kernel
def densify_at(nodes: Floats, resolution: Pair, rows: Integers, cols: Integers, out: Floats) -> None:
    """Write the dense raster's values at scattered pixels: the bits that `densify` writes there.

    Parameters
    ----------
    nodes : float64 (bands, node rows, node columns)
        Void ones are NaN in every band.
    resolution : (int, int)
    rows, cols : int64 (n,)
        Pixels of the raster, counted from the first node.
    out : float64 (bands, n)
        Written.
    """
    rr, rc = resolution
    for i in range(len(rows)):
        k, a = rows[i] // rr, rows[i] % rr
        m, b = cols[i] // rc, cols[i] % rc
        for band in range(out.shape[0]):
            above = along_row(nodes[band, k], m, b, rc)
            below = along_row(nodes[band, k + 1], m, b, rc) if a > 0 else above
            out[band, i] = above if a == 0 else blended(above, below, (rr - a) / rr, a / rr)


@helper
def along_row(nodes: Floats, m: int, b: int, rc: int) -> float:
    """Interpolate a row of nodes, `b` columns of `rc` after node `m`."""
    left: float = nodes[m]
    return blended(left, nodes[m + 1], (rc - b) / rc, b / rc) if b > 0 else left


@kernel
def mark_below(values: Floats, threshold: float, marked: bool, causes: Bytes) -> None:
    """Mark as masked what is not a number of at least this magnitude.

    Parameters
    ----------
    values : float64 (rows, columns)
    threshold : float
    marked : bool
        Whether the bytes hold causes already, to which this one is added.
    causes : uint8 (rows, columns)
        Written.
    """
    kept = np.uint8(0xFF) if marked else NONE
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            reached = abs(values[i, j]) >= threshold
            causes[i, j] = (causes[i, j] & kept) | (NONE if reached else RASTER_MASK)


@kernel
def summarise(dense: DensePart, counts: Integers, boxes: Floats) -> None:
    """Count the causes of a window's pixels, and find the range of its valid coordinates.

    All loops are over contiguous columns, without branches, so that they vectorise. In one thread: the speed is
    memory's.

    Parameters
    ----------
    dense : DensePart
        No band where only the mask is made.
    counts : int64 (rows, 1 + causes)
        Written: valid pixels, and invalid ones by their first cause in the order of its bits.
    boxes : float64 (rows, bands, 2)
        Written: the least and the largest value of each band among the row's valid pixels; infinities where none is.
    """
    narrow = dense.grid32.shape[0] > 0
    wide = np.empty((1, 1, dense.mask.shape[1])) if narrow else dense.grid
    for i in range(dense.mask.shape[0]):
        causes = dense.mask[i]
        counts[i, 0] = causes.shape[0]
        some = bits_in(causes)
        for kind in range(counts.shape[1] - 1):
            counts[i, kind + 1] = count_first(causes, np.uint8(1 << kind)) if some & (1 << kind) else 0
            counts[i, 0] -= counts[i, kind + 1]
        for band in range(boxes.shape[1]):
            if narrow:
                widen_row(dense.grid32[band, i], wide[0, 0])
                find_range(wide[0, 0], causes, boxes[i, band])
            else:
                find_range(wide[band, i], causes, boxes[i, band])


@helper
def widen_row(values: Floats32, out: Floats) -> None:
    """Copy a row of float32 to float64."""
    for j in range(out.shape[0]):
        out[j] = values[j]


@helper
def bits_in(values: Bytes) -> int:
    """Return the bits of all bytes together: of causes, those of a row's pixels."""
    some = np.uint8(0)
    for j in range(values.shape[0]):
        some = np.uint8(some | values[j])
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
def find_range(values: Floats, mask: Bytes, out: Floats) -> None:
    """Write the least and the largest of a row's valid values."""
    lows = np.full(LANES, np.inf)
    highs = np.full(LANES, -np.inf)
    n = values.shape[0]
    for start in range(0, n, LANES):
        inside = min(LANES, n - start)
        part = values[start : start + inside]
        valid = mask[start : start + inside]
        for t in range(inside):
            value = part[t]
            low = value if valid[t] == 0 else np.inf
            high = value if valid[t] == 0 else -np.inf
            lows[t] = low if low < lows[t] else lows[t]
            highs[t] = high if high > highs[t] else highs[t]
    out[0] = lows.min()
    out[1] = highs.max()


@kernel
def void_nodes(nodes: Floats, nodata: Floats, counted_from: Pair, tagged_nodes: Integers) -> None:
    """Make each node NaN in every band where a band is not finite or is nodata.

    In one thread: there are few nodes.

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
