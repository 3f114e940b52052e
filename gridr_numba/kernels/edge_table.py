"""Polygons -> the edges that cross a row of a raster, in blocks with boxes: once a job.

`collect_edges` runs once a job. It keeps the edges that cross a row of the raster, in ring order, each with the rows
that it crosses; an edge beyond the last column goes too, since a span that finds no end runs to the row's end. Edges
keep their own coordinates: nothing is clipped, so nothing loses digits. Blocks of up to 64 consecutive edges, groups of
64 polygons that lie close, and polygons know their boxes. A ring winds through its raster, so that is what sorting into
tiles would give, without a sort, and without a copy of each long edge in each tile: memory is bounded whatever the
polygons.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .crossings import LEAST_BOUND, Axis, Floats, Integers, first_centre
from .jit import helper, kernel

Bytes = NDArray[np.uint8]
Bools = NDArray[np.bool_]


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

BLOCK_EDGES = 64
GROUP_POLYGONS = 64


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
        if crosses and min(vertices[v - 1, 0], vertices[v, 0]) > last_x + LEAST_BOUND:
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
