"""Polygon edges -> row spans -> mask rows, each centre as exact arithmetic would decide it, or left to be asked.

`collect_edges` runs once a job. It keeps the edges that cross a row of the raster, in ring order, each with the rows
that it crosses; an edge beyond the last column goes too, since a span that finds no end runs to the row's end. Edges
keep their own coordinates: nothing is clipped, so nothing loses digits. Blocks of 64 consecutive edges know the rows
between which they lie. A ring winds through its raster, so that is what sorting into bands of rows would give, without
a sort, and without a copy of each long edge in each band: memory is bounded whatever the polygons.

`scan` writes a window. Each iteration of the ``prange`` owns a band of 64 rows, small enough to stay in the cache while
polygon after polygon is added to it. The edges of a polygon put one integer key a row into a scratch buffer, row by
row (in slices of the band where a comb has more crossings than that holds); the keys of a row are sorted, and one walk
along them fills the spans.

*A key* is a position and two bits. Centre ``j`` of the window has position ``2j + 1``, the gap before it ``2j``. A
crossing between two centres has the position of the gap, and a crossing exactly on a centre that of the centre. The
bits say whether the edge is there just above the row, just below it, or both: an edge that ends on the row is there on
one side only, and a horizontal edge on neither, so it has no keys. The walk keeps the parity of both sides. Where both
are odd the row is inside; where one of them is, the row runs along a horizontal edge, which belongs to the polygon if
its boundary does; and a position that is a centre is a point of the boundary itself. With this, vertices on rows,
horizontal edges, and holes that touch need no case of their own.

*Certainty.* With u = 2**-53, ``slope = (x1 - x0) / (y1 - y0)`` and ``x = x0 + (y - y0) * slope`` take five operations
that each err by at most u of ``|x1 - x0|``, since ``y`` lies between the ends, and a sum that errs by u of the larger
of ``|x0|`` and ``|x1|``: with second-order terms, x errs by less than ``6.1 u (|x0| + |x1|)``. The bound that is used
is ``8 u (|x0| + |x1|) + 1e-150`` (underflow is less: edges that rise less than `LEAST_RISE` are not here), within the
edge's own range; where an edge ends on the row, or is vertical, its x is exact. A centre further away than the bound,
and than 1e-150 in any case, is decided, and GEOS decides likewise: its orientation test, in double-doubles, errs by
less than 2**-99 of ``|x1 - x0|``, and its products do not underflow, since the edge rises `LEAST_RISE`. One centre that
is nearer is on the edge if it is at an exact x, or is decided by `crossing_side` if the differences of the coordinates
are exact (on integers, say): then GEOS's test is exact too. If they are not, the polygon leaves that centre alone and
it goes to `doubts`; where several centres are nearer, the polygon's whole row does.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .jit import helper, kernel

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Bytes = NDArray[np.uint8]
Bools = NDArray[np.bool_]
#: Centre of index 0, step (positive), first index, and the one after the last. Centre ``i`` is ``origin + step*i``.
Axis = tuple[float, float, int, int]


class EdgeTable(NamedTuple):
    """The edges of polygons that cross a row of a raster, in blocks, polygon after polygon.

    Attributes
    ----------
    ends : float64 (edges, 4)
        x and y of each edge's lower end, then of its higher one, "low" being the smaller y.
    edge_rows : int64 (edges, 2)
        The rows of the raster that it crosses or touches, half-open.
    block_edges : int64 (blocks + 1,)
        Where each block's edges start.
    block_rows : int64 (blocks, 2)
        The rows between which a block's edges lie, half-open.
    polygon_blocks : int64 (polygons + 1,)
        Where each polygon's blocks start.
    keep, add : uint8 (polygons,)
        What each polygon does to the byte of a pixel inside it: ``(byte & keep) | add``.
    """

    ends: Floats
    edge_rows: Integers
    block_edges: Integers
    block_rows: Integers
    polygon_blocks: Integers
    keep: Bytes
    add: Bytes


#: Edges that cross a row and rise by less are not for these kernels.
LEAST_RISE = 1e-130

BAND_ROWS = 64
BLOCK_EDGES = 64
_SCRATCH_KEYS = 1 << 14
_ULPS = 8.0 * 2.0**-53
_LEAST_BOUND = 1e-150

# A key is position << 3, and these.
_ABOVE = 1
_BELOW = 2
_BOTH_SIDES = 3
_DOUBT = 4
_SEVERAL = -1  # sorts first

# What `crossing_side` says where it cannot tell, and below which product it cannot.
_UNKNOWN = 2
_LEAST_PRODUCT = 1e-250


# -- once a job ---------------------------------------------------------------------------------------------------


@kernel()
def collect_edges(
    vertices: Floats,
    ring_starts: Integers,
    polygon_rings: Integers,
    row_axis: Axis,
    last_x: float,
    table: EdgeTable,
    refused: Bools,
) -> None:
    """Write the edges that cross a row of the raster at or before its last column.

    Parameters
    ----------
    vertices : float64 (vertices, 2)
        x, y of the closed rings, one after another.
    ring_starts : int64 (rings + 1,)
        Where each ring starts in `vertices`.
    polygon_rings : int64 (polygons + 1,)
        Where each polygon's rings start in `ring_starts`.
    row_axis : Axis
        Of the raster.
    last_x : float
        Centre of the last column.
    table : EdgeTable
        With room for an edge a vertex, and a block for each polygon and each 64 edges. All but `keep` and `add` are
        written.
    refused : bool (polygons,)
        Whether a polygon has an edge that rises too little (see `LEAST_RISE`). It has no edges in the table then.
    """
    edges = 0
    blocks = 0
    for polygon in range(len(polygon_rings) - 1):
        table.polygon_blocks[polygon] = blocks
        first_edge = edges
        refused[polygon] = False
        for ring in range(polygon_rings[polygon], polygon_rings[polygon + 1]):
            ring_vertices = vertices[ring_starts[ring] : ring_starts[ring + 1]]
            edges = collect_ring(ring_vertices, row_axis, last_x, table, edges)
        for edge in range(first_edge, edges):
            refused[polygon] |= table.ends[edge, 3] - table.ends[edge, 1] < LEAST_RISE
        if refused[polygon]:
            edges = first_edge
        for start in range(first_edge, edges, BLOCK_EDGES):
            row_start, row_stop = table.edge_rows[start]
            for edge in range(start + 1, min(start + BLOCK_EDGES, edges)):
                row_start = min(row_start, table.edge_rows[edge, 0])
                row_stop = max(row_stop, table.edge_rows[edge, 1])
            table.block_edges[blocks] = start
            table.block_rows[blocks, 0] = row_start
            table.block_rows[blocks, 1] = row_stop
            blocks += 1
    table.block_edges[blocks] = edges
    table.polygon_blocks[len(polygon_rings) - 1] = blocks


@helper
def collect_ring(ring: Floats, row_axis: Axis, last_x: float, table: EdgeTable, edges: int) -> int:
    """Append the edges of one ring; return how many there are by now."""
    origin, step, start, stop = row_axis
    from_0 = first_centre(ring[0, 1], False, origin, step, start, stop)
    after_0 = first_centre(ring[0, 1], True, origin, step, start, stop)
    for v in range(1, len(ring)):
        from_1 = first_centre(ring[v, 1], False, origin, step, start, stop)
        after_1 = first_centre(ring[v, 1], True, origin, step, start, stop)
        row_start, row_stop = min(from_0, from_1), max(after_0, after_1)
        low, high = (v - 1, v) if ring[v - 1, 1] < ring[v, 1] else (v, v - 1)
        from_0, after_0 = from_1, after_1
        beyond = min(ring[low, 0], ring[high, 0]) > last_x + _LEAST_BOUND
        if row_start == row_stop or beyond or ring[low, 1] == ring[high, 1]:
            continue
        table.ends[edges, 0] = ring[low, 0]
        table.ends[edges, 1] = ring[low, 1]
        table.ends[edges, 2] = ring[high, 0]
        table.ends[edges, 3] = ring[high, 1]
        table.edge_rows[edges, 0] = row_start
        table.edge_rows[edges, 1] = row_stop
        edges += 1
    return edges


@helper
def first_centre(value: float, beyond: bool, origin: float, step: float, start: int, stop: int) -> int:
    """Return the first centre of an axis at or after a value (only after it, with `beyond`), `stop` if none is."""
    guess = (value - origin) / step
    index = stop if guess >= stop else int(np.ceil(guess)) if guess > start else start
    if beyond and index < stop and origin + step * index == value:
        index += 1
    # Rounding may have put the guess off by one; where centres coincide, it may be off by thousands.
    low, high = start, stop
    if index < stop and not reached(value, beyond, origin + step * index):
        low = index + 1
    elif index > start and reached(value, beyond, origin + step * (index - 1)):
        high = index - 1
    else:
        return index
    while low < high:
        middle = (low + high) // 2
        if reached(value, beyond, origin + step * middle):
            high = middle
        else:
            low = middle + 1
    return low


@helper
def reached(value: float, beyond: bool, centre: float) -> bool:
    """Say whether a centre is at or after a value (after it, with `beyond`)."""
    return centre > value or (centre == value and not beyond)


# -- once a strip -------------------------------------------------------------------------------------------------


@kernel(parallel=True)
def scan(
    table: EdgeTable,
    base: np.uint8,
    closed: bool,
    row_axis: Axis,
    col_axis: Axis,
    band_rows: int,
    doubt_starts: Integers,
    doubts: Integers,
    out: Bytes,
) -> None:
    """Write a window: `base`, changed by each polygon that a centre is in.

    Parameters
    ----------
    table : EdgeTable
        As `collect_edges` wrote it.
    base : uint8
        What is outside all polygons.
    closed : bool
        Whether a polygon's boundary belongs to it.
    row_axis, col_axis : Axis
        Of the window: its rows and columns of the raster.
    band_rows : int
        How many rows an iteration owns, at most `BAND_ROWS`. The result does not depend on it.
    doubt_starts : int64 (bands + 1,)
        Where in `doubts` each band's part starts.
    doubts : int64 (any, 3)
        Polygon, row and column in the window of the centres that are left to be asked; a column of -1 means all. The
        first entry of each band is their number. Those that its part does not hold are lost: call again with more.
    out : uint8 (rows, columns)
        Written whole.
    """
    for band in prange(len(doubt_starts) - 1):
        start = band * band_rows
        stop = min(start + band_rows, out.shape[0])
        scan_band(
            table,
            base,
            closed,
            (row_axis[0], row_axis[1], row_axis[2] + start, row_axis[2] + stop),
            col_axis,
            start,
            doubts[doubt_starts[band] : doubt_starts[band + 1]],
            out[start:stop],
        )


@helper
def scan_band(
    table: EdgeTable,
    base: np.uint8,
    closed: bool,
    row_axis: Axis,
    col_axis: Axis,
    first_row: int,
    doubts: Integers,
    out: Bytes,
) -> None:
    """Write a band of rows, polygon by polygon."""
    for row in range(len(out)):
        fill(out[row], base)
    doubts[0, 0] = 0
    ends = np.empty(BAND_ROWS + 1, np.int64)
    keys = np.empty(_SCRATCH_KEYS, np.int64)
    active = np.empty(len(table.ends), np.int64)  # pages that are not written to are not memory
    for polygon in range(len(table.keep)):
        n_active = find_active(table, polygon, row_axis[2], row_axis[3], active)
        if n_active == 0:
            continue
        count_keys(table, active[:n_active], row_axis, ends)
        row = 0
        while row < len(out):
            start = ends[row]
            stop_row = row + 1
            while stop_row < len(out) and ends[stop_row + 1] - start <= len(keys):
                stop_row += 1
            if ends[stop_row] - start > len(keys):
                keys = np.empty(ends[stop_row] - start, np.int64)
            write_keys(table, active[:n_active], row_axis, col_axis, row, stop_row, ends, keys)
            low = 0
            for i in range(row, stop_row):
                high = ends[i] - start
                if low < high:
                    sort(keys[low:high])
                    fill_row(keys[low:high], closed, table, polygon, first_row + i, doubts, out[i])
                low = high
            row = stop_row


@helper
def find_active(table: EdgeTable, polygon: int, row_start: int, row_stop: int, active: Integers) -> int:
    """Write which edges of a polygon cross any of some rows; return how many."""
    n = 0
    for block in range(table.polygon_blocks[polygon], table.polygon_blocks[polygon + 1]):
        if table.block_rows[block, 0] < row_stop and table.block_rows[block, 1] > row_start:
            for edge in range(table.block_edges[block], table.block_edges[block + 1]):
                active[n] = edge
                n += table.edge_rows[edge, 0] < row_stop and table.edge_rows[edge, 1] > row_start
    return n


@helper
def count_keys(table: EdgeTable, active: Integers, row_axis: Axis, ends: Integers) -> None:
    """Write where in the scratch buffer each row's keys start, and where the last row's end."""
    n_rows = row_axis[3] - row_axis[2]
    for i in range(n_rows + 1):
        ends[i] = 0
    for edge in active:
        ends[max(table.edge_rows[edge, 0] - row_axis[2], 0)] += 1
        ends[min(table.edge_rows[edge, 1] - row_axis[2], n_rows)] -= 1
    crossings = 0
    total = 0
    for i in range(n_rows):
        crossings += ends[i]
        ends[i] = total
        total += crossings
    ends[n_rows] = total


@helper
def write_keys(
    table: EdgeTable,
    active: Integers,
    row_axis: Axis,
    col_axis: Axis,
    row_start: int,
    row_stop: int,
    ends: Integers,
    keys: Integers,
) -> None:
    """Write the keys of some rows of a band. What says where a row's keys start then says where they end."""
    start_key = ends[row_start]
    origin, step, first, _ = row_axis
    for edge in active:
        start = max(table.edge_rows[edge, 0] - first, row_start)
        stop = min(table.edge_rows[edge, 1] - first, row_stop)
        x0, y0, x1, y1 = table.ends[edge, 0], table.ends[edge, 1], table.ends[edge, 2], table.ends[edge, 3]
        slope = (x1 - x0) / (y1 - y0)
        bound = _ULPS * (abs(x0) + abs(x1)) + _LEAST_BOUND
        for i in range(start, stop):
            y = origin + step * (first + i)
            keys[ends[i] - start_key] = crossing_key(x0, y0, x1, y1, slope, bound, y, col_axis)
            ends[i] += 1


@helper
def crossing_key(
    x0: float, y0: float, x1: float, y1: float, slope: float, bound: float, y: float, col_axis: Axis
) -> int:
    """Return the key of where an edge crosses a row; `_SEVERAL` where that could be on either side of two centres."""
    sides = _BOTH_SIDES
    if y == y0:
        low = high = x0
        sides = _ABOVE
    elif y == y1:
        low = high = x1
        sides = _BELOW
    else:
        x = x0 + (y - y0) * slope
        low = max(x - bound, min(x0, x1))
        high = min(x + bound, max(x0, x1))
    origin, step, start, stop = col_axis
    col = first_centre(low - _LEAST_BOUND, False, origin, step, start, stop)
    centre = origin + step * col
    position = 2 * (col - start)
    if col < stop and centre <= high + _LEAST_BOUND:
        if col + 1 < stop and origin + step * (col + 1) <= high + _LEAST_BOUND:
            return _SEVERAL
        side = 0 if low == centre == high else crossing_side(x0, y0, x1, y1, centre, y)
        position += 1 + (side if side != _UNKNOWN else 0)
        if side == _UNKNOWN:
            sides |= _DOUBT
    return position << 3 | sides


@helper
def crossing_side(x0: float, y0: float, x1: float, y1: float, x: float, y: float) -> int:
    """Say whether an edge passes a centre at smaller x (-1), through it (0), at larger x (1), or `_UNKNOWN`.

    The sign of ``(y - y0) * (x1 - x0) - (x - x0) * (y1 - y0)``, from differences that are exact, or `_UNKNOWN`.
    """
    exact = (
        exact_difference(x1, x0)
        and exact_difference(y1, y0)
        and exact_difference(x, x0)
        and exact_difference(y, y0)
        and exact_difference(x, x1)
        and exact_difference(y, y1)
    )
    left, left_rest = product(y - y0, x1 - x0)
    right, right_rest = product(x - x0, y1 - y0)
    left_underflows = abs(left) < _LEAST_PRODUCT and y != y0 and x1 != x0
    right_underflows = abs(right) < _LEAST_PRODUCT and x != x0
    if not exact or left_underflows or right_underflows:
        return _UNKNOWN
    if left == right:
        return int(left_rest > right_rest) - int(left_rest < right_rest)
    if abs(left - right) > 2.0 * (abs(left_rest) + abs(right_rest)):
        return 1 if left > right else -1
    return _UNKNOWN


@helper
def exact_difference(a: float, b: float) -> bool:
    """Say whether ``a - b`` is a float64 (Knuth's sum without error)."""
    difference = a - b
    rounded = difference - a
    return (a - (difference - rounded)) - (b + rounded) == 0.0


@helper
def product(a: float, b: float) -> tuple[float, float]:
    """Return a product and what rounding took from it (Dekker's)."""
    scaled_a, scaled_b = 134217729.0 * a, 134217729.0 * b
    high_a, high_b = scaled_a - (scaled_a - a), scaled_b - (scaled_b - b)
    low_a, low_b = a - high_a, b - high_b
    rounded = a * b
    return rounded, ((high_a * high_b - rounded) + high_a * low_b + low_a * high_b) + low_a * low_b


@helper
def sort(keys: Integers) -> None:
    """Sort in place (Shell's way: for the few keys of most rows this is an insertion sort)."""
    gap = 1
    while gap * 9 < 4 * len(keys):
        gap = gap * 9 // 4 + 1
    while gap > 0:
        for i in range(gap, len(keys)):
            key = keys[i]
            j = i
            while j >= gap and keys[j - gap] > key:
                keys[j] = keys[j - gap]
                j -= gap
            keys[j] = key
        gap = gap * 4 // 9


@helper
def fill_row(
    keys: Integers, closed: bool, table: EdgeTable, polygon: int, row: int, doubts: Integers, pixels: Bytes
) -> None:
    """Change the pixels of a row that are inside a polygon, and note those in doubt."""
    if keys[0] == _SEVERAL:
        note_doubt(doubts, polygon, row, -1)
        return
    keep, add = table.keep[polygon], table.add[polygon]
    odd = 0
    i = 0
    while i < len(keys):
        position = keys[i] >> 3
        doubt = 0
        while i < len(keys) and keys[i] >> 3 == position:
            odd ^= keys[i] & _BOTH_SIDES
            doubt |= keys[i] & _DOUBT
            i += 1
        col = position >> 1
        if position & 1:
            if doubt != 0:
                note_doubt(doubts, polygon, row, col)
            elif closed:
                pixels[col] = (pixels[col] & keep) | add
            col += 1
        if odd == _BOTH_SIDES or (closed and odd != 0):
            stop = keys[i] >> 4 if i < len(keys) else len(pixels)
            change(pixels[col:stop], keep, add)


@helper
def note_doubt(doubts: Integers, polygon: int, row: int, col: int) -> None:
    """Note that a centre is in doubt, if there is room."""
    doubts[0, 0] += 1
    if doubts[0, 0] < len(doubts):
        doubts[doubts[0, 0], 0] = polygon
        doubts[doubts[0, 0], 1] = row
        doubts[doubts[0, 0], 2] = col


@helper
def change(pixels: Bytes, keep: np.uint8, add: np.uint8) -> None:
    """Keep some bits of bytes and add others. They come as a slice, so that LLVM sees no negative index: vectorised."""
    if keep == 0:
        fill(pixels, add)
        return
    for j in range(len(pixels)):
        pixels[j] = (pixels[j] & keep) | add


@helper
def fill(pixels: Bytes, value: np.uint8) -> None:
    """Set bytes: LLVM calls memset."""
    for j in range(len(pixels)):
        pixels[j] = value
