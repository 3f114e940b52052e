"""Polygon edges -> row spans -> mask rows, each centre as exact arithmetic would decide it, or left to be asked.

`collect_edges` runs once a job. It keeps the edges that cross a row of the raster, in ring order, each with the rows
that it crosses; an edge beyond the last column goes too, since a span that finds no end runs to the row's end. Edges
keep their own coordinates: nothing is clipped, so nothing loses digits. Blocks of up to 64 consecutive edges, groups of
64 polygons that lie close, and polygons know their boxes. A ring winds through its raster, so that is what sorting into
tiles would give, without a sort, and without a copy of each long edge in each tile: memory is bounded whatever the
polygons.

`scan` writes bands of a window. A band has 64 rows or less, small enough to stay in the cache while polygon after
polygon is added to it: those whose boxes meet the band's. The edges of a polygon put one integer key a row into a
scratch buffer, row by row (in slices of the band where a comb has more crossings than that holds); the keys of a row
are sorted, and one walk along them fills the spans.

*What lies beside the window* has no keys. Edges on its right say nothing that a row of it needs. Of edges on its left
only the parity counts, just above each row and just below it, with which the row enters the window: it turns at the
rows where an edge begins or ends. A block on the left is a chain, but for edges that cross no row, and has the parity
of one edge from its first vertex to its last: four integers, whatever its length. So a ring's edges are broken into
blocks where one beyond the last column was left out.

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

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .jit import helper, kernel

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Bytes = NDArray[np.uint8]
Bools = NDArray[np.bool_]
#: Centre of index 0, step (positive), first index, and the one after the last. Centre ``i`` is ``origin + step*i``.
Axis = tuple[float, float, int, int]
Box = tuple[float, float, float, float]
#: First row of a band in `out`, and where its part of `doubts` starts and stops.
Place = tuple[int, int, int]
#: Index of a polygon, and its `keep` and `add`.
Polygon = tuple[int, np.uint8, np.uint8]


class EdgeTable(NamedTuple):
    """The edges of polygons that cross a row of a raster, in blocks, polygon after polygon.

    A box is min x, min y, max x, max y.

    Attributes
    ----------
    ends : float64 (edges, 4)
        x and y of each edge's lower end, then of its higher one, "low" being the smaller y.
    edge_turns : int64 (edges, 4)
        For the lower end, then for the higher one: the first row of the raster at or after it, and the first one after
        it. An edge crosses or touches the rows from the first of these to before the last.
    block_edges : int64 (blocks + 1,)
        Where each block's edges start.
    block_boxes : float64 (blocks, 4)
        The box of each block's edges.
    block_turns : int64 (blocks, 4)
        As `edge_turns`, of the first vertex of a block and of its last: but for edges that cross no row, a block is a
        chain.
    polygon_blocks : int64 (polygons + 1,)
        Where each polygon's blocks start.
    polygon_boxes : float64 (polygons, 4)
        The box of each polygon.
    group_boxes : float64 (groups, 4)
        The box of each `GROUP_POLYGONS` polygons, and of those that are left.
    keep, add : uint8 (polygons,)
        What each polygon does to the byte of a pixel inside it: ``(byte & keep) | add``.
    """

    ends: Floats
    edge_turns: Integers
    block_edges: Integers
    block_boxes: Floats
    block_turns: Integers
    polygon_blocks: Integers
    polygon_boxes: Floats
    group_boxes: Floats
    keep: Bytes
    add: Bytes


#: Edges that cross a row and rise by less are not for these kernels.
LEAST_RISE = 1e-130

BAND_ROWS = 64
BLOCK_EDGES = 64
GROUP_POLYGONS = 64
_SCRATCH_KEYS = 1 << 13
_SCRATCH_EDGES = 1 << 10
_ULPS = 8.0 * 2.0**-53
_LEAST_BOUND = 1e-150

# A key is position << 3, and these.
_ABOVE = 1
_BELOW = 2
_BOTH_SIDES = 3
_DOUBT = 4
_KIND = 15  # these, and whether the position is a centre
_SEVERAL = -1  # sorts first

# What `crossing_side` says where it cannot tell, and below which product it cannot.
_UNKNOWN = 2
_LEAST_PRODUCT = 1e-250


# -- once a job ---------------------------------------------------------------------------------------------------


@kernel
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
        With room for an edge and a block a vertex. What is of edges and of blocks is written, and `polygon_blocks`.
    refused : bool (polygons,)
        Whether a polygon has an edge that rises too little (see `LEAST_RISE`). It has no edges in the table then.
    """
    counts = np.zeros(2, np.int64)  # edges and blocks so far
    for polygon in range(len(polygon_rings) - 1):
        first_edge, first_block = counts
        table.polygon_blocks[polygon] = first_block
        refused[polygon] = False
        for ring in range(polygon_rings[polygon], polygon_rings[polygon + 1]):
            collect_ring(vertices, ring_starts[ring], ring_starts[ring + 1], row_axis, last_x, table, counts)
        for edge in range(first_edge, counts[0]):
            refused[polygon] |= table.ends[edge, 3] - table.ends[edge, 1] < LEAST_RISE
        if refused[polygon]:
            counts[0], counts[1] = first_edge, first_block
    table.block_edges[counts[1]] = counts[0]
    table.polygon_blocks[len(polygon_rings) - 1] = counts[1]


@helper
def collect_ring(
    vertices: Floats, start: int, stop: int, row_axis: Axis, last_x: float, table: EdgeTable, counts: Integers
) -> None:
    """Append the edges of one ring, and count them and their blocks."""
    origin, step, first_row, stop_row = row_axis
    edge, block = counts[0], counts[1]
    room = 0  # in the block before
    from_0 = after_0 = first_row
    for v in range(start, stop):
        y = vertices[v, 1]
        from_1 = first_centre(y, origin, step, first_row, stop_row)
        after_1 = from_1
        if from_1 < stop_row and origin + step * from_1 == y:
            after_1 = first_centre(np.nextafter(y, np.inf), origin, step, first_row, stop_row)
        crosses = v > start and min(from_0, from_1) < max(after_0, after_1) and vertices[v - 1, 1] != y
        if crosses and min(vertices[v - 1, 0], vertices[v, 0]) > last_x + _LEAST_BOUND:
            crosses = False
            room = 0  # the chain is broken
        if crosses:
            low, high = (v - 1, v) if vertices[v - 1, 1] < y else (v, v - 1)
            table.ends[edge, 0] = vertices[low, 0]
            table.ends[edge, 1] = vertices[low, 1]
            table.ends[edge, 2] = vertices[high, 0]
            table.ends[edge, 3] = vertices[high, 1]
            table.edge_turns[edge, 0] = min(from_0, from_1)
            table.edge_turns[edge, 1] = min(after_0, after_1)
            table.edge_turns[edge, 2] = max(from_0, from_1)
            table.edge_turns[edge, 3] = max(after_0, after_1)
            if room == 0:
                room = BLOCK_EDGES
                table.block_edges[block] = edge
                table.block_boxes[block, 0] = table.block_boxes[block, 1] = np.inf
                table.block_boxes[block, 2] = table.block_boxes[block, 3] = -np.inf
                table.block_turns[block, 0] = from_0
                table.block_turns[block, 1] = after_0
                block += 1
            box = table.block_boxes[block - 1]
            box[0] = min(box[0], vertices[v - 1, 0], vertices[v, 0])
            box[1] = min(box[1], vertices[low, 1])
            box[2] = max(box[2], vertices[v - 1, 0], vertices[v, 0])
            box[3] = max(box[3], vertices[high, 1])
            table.block_turns[block - 1, 2] = from_1
            table.block_turns[block - 1, 3] = after_1
            edge += 1
            room -= 1
        from_0, after_0 = from_1, after_1
    counts[0], counts[1] = edge, block


@helper
def first_centre(value: float, origin: float, step: float, start: int, stop: int) -> int:
    """Return the first centre of an axis at or after a value, `stop` if none is."""
    guess = (value - origin) / step
    index = stop if guess >= stop else int(np.ceil(guess)) if guess > start else start
    # Rounding may have put the guess off by one; where centres coincide, it may be off by thousands.
    low, high = start, stop
    if index < stop and origin + step * index < value:
        low = index + 1
    elif index > start and origin + step * (index - 1) >= value:
        high = index - 1
    else:
        return index
    while low < high:
        middle = (low + high) // 2
        if origin + step * middle >= value:
            high = middle
        else:
            low = middle + 1
    return low


# -- once a window ------------------------------------------------------------------------------------------------


# Longer than a screen on purpose: a helper that took its loop over polygons would be optimised once more.
@kernel
def scan(
    table: EdgeTable,
    base: np.uint8,
    closed: bool,
    row_axis: Axis,
    col_axis: Axis,
    band_rows: int,
    bands: tuple[int, int],
    doubt_starts: Integers,
    doubts: Integers,
    out: Bytes,
) -> None:
    """Write some bands of a window: `base`, changed by each polygon that a centre is in.

    Any thread may write any band.

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
        How many rows a band has, at most `BAND_ROWS`. The result does not depend on it.
    bands : (int, int)
        The first band to write, and the one after the last.
    doubt_starts : int64 (bands of the window + 1,)
        Where in `doubts` each band's part starts.
    doubts : int64 (any, 3)
        Polygon, row and column in the window of the centres that are left to be asked; a column of -1 means all. The
        first entry of each band is their number. Those that its part does not hold are lost: call again with more.
    out : uint8 (rows, columns)
        Of these bands written whole.
    """
    # Arrays are taken out of the table once, and rows are not sliced: each time counts a reference, atomically, in a
    # place that all threads share. A band is no function of its own: each level is optimised and emitted once more.
    ends, turns, keep, add = table.ends, table.edge_turns, table.keep, table.add
    block_edges, block_boxes, block_turns = table.block_edges, table.block_boxes, table.block_turns
    polygon_blocks, polygon_boxes, group_boxes = table.polygon_blocks, table.polygon_boxes, table.group_boxes
    left = np.empty(BAND_ROWS + 1, np.int64)
    key_ends = np.empty(BAND_ROWS + 1, np.int64)
    keys = np.empty(_SCRATCH_KEYS, np.int64)
    active = np.empty(_SCRATCH_EDGES, np.int64)
    first_col: Any = np.int64(0)  # a plain 0 is of another type: what is called with it would be compiled twice
    for band in range(bands[0], bands[1]):
        first = band * band_rows
        stop = min(first + band_rows, out.shape[0])
        band_axis = (row_axis[0], row_axis[1], row_axis[2] + first, row_axis[2] + stop)
        place = (first, doubt_starts[band], doubt_starts[band + 1])
        box = (
            col_axis[0] + col_axis[1] * col_axis[2] - _LEAST_BOUND,
            band_axis[0] + band_axis[1] * band_axis[2],
            col_axis[0] + col_axis[1] * (col_axis[3] - 1) + _LEAST_BOUND,
            band_axis[0] + band_axis[1] * (band_axis[3] - 1),
        )
        doubts[place[1], 0] = 0
        for row in range(first, stop):
            change(out, row, first_col, out.shape[1], np.uint8(0), base)
        for group in range(len(group_boxes)):
            if not meets(group_boxes, group, box):
                continue
            for polygon in range(group * GROUP_POLYGONS, min((group + 1) * GROUP_POLYGONS, len(polygon_boxes))):
                if not meets(polygon_boxes, polygon, box):
                    continue
                blocks = (polygon_blocks[polygon], polygon_blocks[polygon + 1])
                n_active, active = find_active(
                    ends, turns, block_edges, block_boxes, block_turns, blocks, band_axis, box, left, active
                )
                if n_active < 0:
                    continue
                count_keys(turns, active, n_active, band_axis, key_ends)
                what = (polygon, keep[polygon], add[polygon])
                keys = scan_polygon(
                    ends,
                    turns,
                    active,
                    n_active,
                    band_axis,
                    col_axis,
                    left,
                    key_ends,
                    keys,
                    closed,
                    what,
                    place,
                    doubts,
                    out,
                )


@helper
def meets(boxes: Floats, index: int, box: Box) -> bool:
    """Say whether a box of many meets another."""
    across = boxes[index, 0] <= box[2] and boxes[index, 2] >= box[0]
    return bool(across and boxes[index, 1] <= box[3] and boxes[index, 3] >= box[1])


@helper
def find_active(
    ends: Floats,
    turns: Integers,
    block_edges: Integers,
    block_boxes: Floats,
    block_turns: Integers,
    blocks: tuple[int, int],
    row_axis: Axis,
    box: Box,
    left: Integers,
    active: Integers,
) -> tuple[int, Integers]:
    """Write which edges of a polygon are in a band's rows and columns, and at which rows those left of it turn.

    Returns
    -------
    int
        How many edges there are; -1 where there are none on the left either.
    ndarray
        `active`, or a longer one.
    """
    for i in range(len(left)):
        left[i] = 0
    n = 0
    some_left = False
    for block in range(blocks[0], blocks[1]):
        if block_boxes[block, 0] > box[2] or block_boxes[block, 1] > box[3] or block_boxes[block, 3] < box[1]:
            continue
        if block_boxes[block, 2] < box[0]:
            some_left = True
            turn(block_turns, block, row_axis, left)
            continue
        if n + BLOCK_EDGES > len(active):
            longer = np.empty(2 * len(active), np.int64)
            for i in range(n):
                longer[i] = active[i]
            active = longer
        for edge in range(block_edges[block], block_edges[block + 1]):
            if turns[edge, 0] >= row_axis[3] or turns[edge, 3] <= row_axis[2]:
                continue
            if max(ends[edge, 0], ends[edge, 2]) < box[0]:
                some_left = True
                turn(turns, edge, row_axis, left)
            elif min(ends[edge, 0], ends[edge, 2]) <= box[2]:
                active[n] = edge
                n += 1
    return (n if n > 0 or some_left else -1), active


@helper
def turn(turns: Integers, index: int, row_axis: Axis, left: Integers) -> None:
    """Note the rows of a band from which on an edge or chain left of it is there, just above or below, or is not."""
    for k in range(4):
        row = min(max(turns[index, k], row_axis[2]), row_axis[3]) - row_axis[2]
        left[row] ^= _BELOW if k & 1 else _ABOVE


@helper
def count_keys(turns: Integers, active: Integers, n_active: int, row_axis: Axis, key_ends: Integers) -> None:
    """Write where in the scratch buffer each row's keys start, and where the last row's end."""
    n_rows = row_axis[3] - row_axis[2]
    for i in range(n_rows + 1):
        key_ends[i] = 0
    for k in range(n_active):
        key_ends[max(turns[active[k], 0] - row_axis[2], 0)] += 1
        key_ends[min(turns[active[k], 3] - row_axis[2], n_rows)] -= 1
    crossings = 0
    total = 0
    for i in range(n_rows):
        crossings += key_ends[i]
        key_ends[i] = total
        total += crossings
    key_ends[n_rows] = total


@helper
def scan_polygon(
    ends: Floats,
    turns: Integers,
    active: Integers,
    n_active: int,
    row_axis: Axis,
    col_axis: Axis,
    left: Integers,
    key_ends: Integers,
    keys: Integers,
    closed: bool,
    what: Polygon,
    place: Place,
    doubts: Integers,
    out: Bytes,
) -> Integers:
    """Change the pixels of a band that are in a polygon; return the scratch buffer of keys, or a longer one."""
    n_rows = row_axis[3] - row_axis[2]
    row: Any = np.int64(0)  # as `first_col`
    odd: Any = np.int64(0)
    while row < n_rows:
        stop_row = row + 1
        while stop_row < n_rows and key_ends[stop_row + 1] - key_ends[row] <= len(keys):
            stop_row += 1
        start_key = key_ends[row]
        if key_ends[stop_row] - start_key > len(keys):
            keys = np.empty(key_ends[stop_row] - start_key, np.int64)
        write_keys(ends, turns, active, n_active, row_axis, col_axis, row, stop_row, key_ends, keys)
        odd = fill_rows(keys, key_ends, start_key, left, odd, row, stop_row, closed, what, place, doubts, out)
        row = stop_row
    return keys


@helper
def write_keys(
    ends: Floats,
    turns: Integers,
    active: Integers,
    n_active: int,
    row_axis: Axis,
    col_axis: Axis,
    row_start: int,
    row_stop: int,
    key_ends: Integers,
    keys: Integers,
) -> None:
    """Write the keys of some rows of a band. What says where a row's keys start then says where they end."""
    start_key = key_ends[row_start]
    origin, step, first, _ = row_axis
    col_origin, col_step, col_start, col_stop = col_axis
    cols_a_unit = 1.0 / max(col_step, _LEAST_BOUND)  # finite; no more than a guess comes of it
    for k in range(n_active):
        edge = active[k]
        x0, y0, x1, y1 = ends[edge, 0], ends[edge, 1], ends[edge, 2], ends[edge, 3]
        slope = (x1 - x0) / (y1 - y0)
        bound = _ULPS * (abs(x0) + abs(x1)) + _LEAST_BOUND
        for i in range(max(turns[edge, 0] - first, row_start), min(turns[edge, 3] - first, row_stop)):
            y = origin + step * (first + i)
            # Nearly all crossings are far from any centre: a guess of the first centre after one is seen to be right.
            x = x0 + (y - y0) * slope
            guess = (x - col_origin) * cols_a_unit
            col = col_stop if guess >= col_stop else int(np.ceil(guess)) if guess > col_start else col_start
            is_after = col == col_stop or col_origin + col_step * col > x + bound + _LEAST_BOUND
            is_first = col == col_start or col_origin + col_step * (col - 1) < x - bound - _LEAST_BOUND
            if is_after and is_first and y0 < y < y1:
                key = (2 * (col - col_start)) << 3 | _BOTH_SIDES
            else:
                key = crossing_key(x0, y0, x1, y1, slope, bound, y, col_axis)
            keys[key_ends[i] - start_key] = key
            key_ends[i] += 1


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
    col = first_centre(low - _LEAST_BOUND, origin, step, start, stop)
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
def sort(keys: Integers, start: int, stop: int) -> None:
    """Sort a part in place (Shell's way: for the few keys of most rows this is an insertion sort)."""
    gap = 1
    while gap * 9 < 4 * (stop - start):
        gap = gap * 9 // 4 + 1
    while gap > 0:
        for i in range(start + gap, stop):
            key = keys[i]
            j = i
            while j >= start + gap and keys[j - gap] > key:
                keys[j] = keys[j - gap]
                j -= gap
            keys[j] = key
        gap = gap * 4 // 9


@helper
def fill_rows(
    keys: Integers,
    key_ends: Integers,
    start_key: int,
    left: Integers,
    odd_before: int,
    row_start: int,
    row_stop: int,
    closed: bool,
    what: Polygon,
    place: Place,
    doubts: Integers,
    out: Bytes,
) -> int:
    """Change the pixels of some rows that are inside a polygon, and note those in doubt.

    `odd_before` says on which sides of the row before these the parity was odd where it entered the window. Returned is
    that of the last one.
    """
    i: Any = np.int64(0)
    for row in range(row_start, row_stop):
        odd_before ^= left[row]
        odd = odd_before
        stop = key_ends[row] - start_key
        if stop - i == 2 and odd == 0 and keys[i] & _KIND == keys[i + 1] & _KIND == _BOTH_SIDES:
            # Nearly all rows of most polygons: one span, between two crossings that no centre is on.
            start_col, stop_col = min(keys[i], keys[i + 1]) >> 4, max(keys[i], keys[i + 1]) >> 4
            change(out, place[0] + row, start_col, stop_col, what[1], what[2])
            i = stop
            continue
        sort(keys, i, stop)
        col: Any = np.int64(0)
        if i < stop and keys[i] == _SEVERAL:
            note_doubt(doubts, what, place, row, keys[i])
            i = stop
            continue
        while True:
            if odd == _BOTH_SIDES or (closed and odd != 0):
                change(out, place[0] + row, col, keys[i] >> 4 if i < stop else out.shape[1], what[1], what[2])
            if i == stop:
                break
            position = keys[i] >> 3
            doubt = 0
            while i < stop and keys[i] >> 3 == position:
                odd ^= keys[i] & _BOTH_SIDES
                doubt |= keys[i] & _DOUBT
                i += 1
            col = position >> 1
            if position & 1:
                if doubt != 0:
                    note_doubt(doubts, what, place, row, col)
                elif closed:
                    change(out, place[0] + row, col, col + 1, what[1], what[2])
                col += 1
    return odd_before


@helper
def note_doubt(doubts: Integers, what: Polygon, place: Place, row: int, col: int) -> None:
    """Note that a centre is in doubt, if there is room."""
    first_row, start, stop = place
    doubts[start, 0] += 1
    entry = start + doubts[start, 0]
    if entry < stop:
        doubts[entry, 0] = what[0]
        doubts[entry, 1] = first_row + row
        doubts[entry, 2] = col


@helper
def change(out: Bytes, row: int, start: int, stop: int, keep: np.uint8, add: np.uint8) -> None:
    """Keep some bits of a row's bytes and add others. No negative index for LLVM: memset, or vectorised."""
    if keep == 0:
        for col in range(np.uint64(start), np.uint64(stop)):
            out[row, col] = add
    else:
        for col in range(np.uint64(start), np.uint64(stop)):
            out[row, col] = (out[row, col] & keep) | add
