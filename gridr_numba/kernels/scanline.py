"""Polygon edges -> row spans -> mask rows, each centre as exact arithmetic would decide it, or left to be asked.

`scan` writes bands of a window. A band has 64 rows or less, small enough to stay in the cache while polygon after
polygon is added to it: those whose boxes meet the band's. The edges of a polygon put one integer key a row into a
scratch buffer, row by row (in slices of the band where a comb has more crossings than that holds); the keys of a row
are sorted, and one walk along them fills the spans.

*What lies beside the window* has no keys. Edges on its right say nothing that a row of it needs. Of edges on its left
only the parity counts, just above each row and just below it, with which the row enters the window: it turns at the
rows where an edge begins or ends. A block on the left is a chain, but for edges that cross no row, and has the parity
of one edge from its first vertex to its last: four integers, whatever its length. So a ring's edges are broken into
blocks where one beyond the last column was left out.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .crossings import ABOVE, BELOW, BOTH_SIDES, DOUBT, LEAST_BOUND, SEVERAL, Axis, Floats, Integers, write_keys
from .edge_table import BLOCK_EDGES, GROUP_POLYGONS, Bytes, EdgeTable
from .jit import helper, kernel

Box = tuple[float, float, float, float]
#: First row of a band in `out`, and where its part of `doubts` starts and stops.
Place = tuple[int, int, int]
#: Index of a polygon, and its `keep` and `add`.
Polygon = tuple[int, np.uint8, np.uint8]

BAND_ROWS = 64
_SCRATCH_KEYS = 1 << 13
_SCRATCH_EDGES = 1 << 10
_KIND = 15  # a key's bits, and whether its position is a centre


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
            col_axis[0] + col_axis[1] * col_axis[2] - LEAST_BOUND,
            band_axis[0] + band_axis[1] * band_axis[2],
            col_axis[0] + col_axis[1] * (col_axis[3] - 1) + LEAST_BOUND,
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
        left[row] ^= BELOW if k & 1 else ABOVE


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
        if stop - i == 2 and odd == 0 and keys[i] & _KIND == keys[i + 1] & _KIND == BOTH_SIDES:
            # Nearly all rows of most polygons: one span, between two crossings that no centre is on.
            start_col, stop_col = min(keys[i], keys[i + 1]) >> 4, max(keys[i], keys[i + 1]) >> 4
            change(out, place[0] + row, start_col, stop_col, what[1], what[2])
            i = stop
            continue
        sort(keys, i, stop)
        col: Any = np.int64(0)
        if i < stop and keys[i] == SEVERAL:
            note_doubt(doubts, what, place, row, keys[i])
            i = stop
            continue
        while True:
            if odd == BOTH_SIDES or (closed and odd != 0):
                change(out, place[0] + row, col, keys[i] >> 4 if i < stop else out.shape[1], what[1], what[2])
            if i == stop:
                break
            position = keys[i] >> 3
            doubt = 0
            while i < stop and keys[i] >> 3 == position:
                odd ^= keys[i] & BOTH_SIDES
                doubt |= keys[i] & DOUBT
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
