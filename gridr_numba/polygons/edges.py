"""Sets of polygons on one raster, as edges -> the mask of a window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from ..georef import centres
from ..kernels.crossings import Axis
from ..kernels.edge_table import GROUP_POLYGONS, EdgeTable, collect_edges
from ..kernels.jit import share, usable_threads
from ..kernels.scanline import BAND_ROWS, scan
from ..types import ShapelyPredicate
from .exact import GEOS_LIMIT
from .sets import GEOS_LOCK, Box, PolygonSet, ask

# Room for so many doubtful centres in each band of rows; where there are more, the window is scanned again with enough.
_DOUBTS_A_BAND = 64

# Waking a thread takes longer than so few pixels: 10 microseconds on one machine, 300 on another.
_PIXELS_A_THREAD = 1 << 17

# Threads take bands one by one, but so many times at most: each time costs some microseconds.
_TIMES_A_THREAD = 16


class Layer(NamedTuple):
    """A set, and what is done to the byte of a pixel in it: ``(byte & keep) | add``."""

    polygons: PolygonSet
    keep: int
    add: int


@dataclass(frozen=True, eq=False)
class PolygonEdges:
    """The polygons of all layers on one raster, as edges: built once a job, used by each window.

    Attributes
    ----------
    polygons : PolygonSet
        The polygons that touch the raster and that the kernel scans; they are asked about the centres that it leaves in
        doubt.
    table : EdgeTable
        Their edges that cross a row, and what each does to the byte of a pixel in it.
    asked : tuple of Layer
        The polygons that the kernel cannot scan: those beyond `GEOS_LIMIT`, and those with edges that cross a row while
        rising less than `LEAST_RISE`.
    """

    polygons: PolygonSet
    table: EdgeTable
    asked: tuple[Layer, ...]

    @classmethod
    def of(cls, layers: Sequence[Layer], row_axis: Axis, col_axis: Axis) -> PolygonEdges:
        """Cut the polygons to a raster: to those that touch it, and of these to the edges that cross a row."""
        box = _box(row_axis, col_axis)
        scanned, asked = [], []
        for layer in layers:
            near, huge = layer.polygons.where(layer.polygons.touches(box)).split_by_reach(GEOS_LIMIT)
            scanned.append(layer._replace(polygons=_neighbours_together(near)))
            asked.append(layer._replace(polygons=huge))
        polygons = PolygonSet(
            np.concatenate([layer.polygons.polygons for layer in scanned]),
            np.concatenate([layer.polygons.bounds for layer in scanned]),
        )
        table, refused = _edge_table(scanned, polygons, row_axis, box[2])
        for index in np.flatnonzero(refused):
            alone = polygons.where(np.arange(len(refused)) == index)
            asked.append(Layer(alone, int(table.keep[index]), int(table.add[index])))
        return cls(polygons, table, tuple(layer for layer in asked if len(layer.polygons.polygons)))

    def write(
        self,
        row_axis: Axis,
        col_axis: Axis,
        predicate: ShapelyPredicate,
        base: int,
        out: NDArray[np.uint8],
        threads: int | None = None,
    ) -> None:
        """Write a window of the raster: `base`, changed by each polygon that a centre is in. Any thread may call.

        Parameters
        ----------
        row_axis, col_axis : Axis
            The window's part of the raster's axes.
        predicate : ShapelyPredicate
        base : int
            The byte of a pixel in no polygon.
        out : ndarray of uint8 (rows, columns)
            Written whole. C-contiguous.
        threads : int or None
            None is all that the process may use.
        """
        closed = predicate is not ShapelyPredicate.CONTAINS
        threads = min(usable_threads(threads), max(1, out.size // _PIXELS_A_THREAD))
        band_rows = min(BAND_ROWS, -(-len(out) // threads))
        n_bands = -(-len(out) // band_rows)
        starts = _DOUBTS_A_BAND * np.arange(n_bands + 1)
        while True:
            doubts = np.empty((starts[-1], 3), np.int64)
            how = (np.uint8(base), closed, row_axis, col_axis, band_rows)
            share(partial(_scan_parts, _parts(n_bands, threads), self.table, how, (starts, doubts, out)), threads)
            needed = 1 + doubts[starts[:-1], 0]
            if (needed <= np.diff(starts)).all():
                break
            starts = np.concatenate([[0], np.cumsum(needed)])
        if not self.asked and needed.max() == 1:
            return
        noted = [doubts[start + 1 : start + count] for start, count in zip(starts, needed, strict=False)]
        xs, ys = centres(*col_axis), centres(*row_axis)
        self._settle(np.concatenate(noted), xs, ys, predicate, out)
        for polygons, keep, add in self.asked:
            inside = np.zeros(out.shape, np.bool_)
            polygons.mark_inside(xs, ys, predicate, inside)
            change(out, inside, keep, add)

    def _settle(
        self,
        doubts: NDArray[np.int64],
        xs: NDArray[np.float64],
        ys: NDArray[np.float64],
        predicate: ShapelyPredicate,
        out: NDArray[np.uint8],
    ) -> None:
        """Ask shapely about the centres that the kernel left in doubt, polygon by polygon."""
        doubts = doubts[np.argsort(doubts[:, 0], kind="stable")]
        for group in np.split(doubts, np.flatnonzero(np.diff(doubts[:, 0])) + 1) if len(doubts) else ():
            polygon = group[0, 0]
            single = group[:, 2] >= 0
            rows, cols = group[single, 1], group[single, 2]
            inside = ask(self.polygons.polygons[polygon], xs[cols], ys[rows], predicate)
            out[rows[inside], cols[inside]] &= self.table.keep[polygon]
            out[rows[inside], cols[inside]] |= self.table.add[polygon]
            for row in group[~single, 1]:
                inside = ask(self.polygons.polygons[polygon], xs, ys[row], predicate)
                change(out[row], inside, int(self.table.keep[polygon]), int(self.table.add[polygon]))


def change(out: NDArray[np.uint8], chosen: NDArray[np.bool_], keep: int, add: int) -> None:
    """Keep some bits of the chosen bytes and add others."""
    np.bitwise_and(out, np.uint8(keep), out=out, where=chosen)
    np.bitwise_or(out, np.uint8(add), out=out, where=chosen)


def _parts(n_bands: int, threads: int) -> Iterator[tuple[int, int]]:
    """Return one iterator for all threads to take parts of some bands from: the first, and the one after the last."""
    step = n_bands if threads == 1 else -(-n_bands // (threads * _TIMES_A_THREAD))
    return iter([(first, min(first + step, n_bands)) for first in range(0, n_bands, step)])


def _scan_parts(parts: Iterator[tuple[int, int]], table: EdgeTable, how: Any, into: Any) -> None:
    """Scan part after part, until there is none left."""
    for bands in parts:
        scan(table, *how, bands, *into)


def _box(row_axis: Axis, col_axis: Axis) -> Box:
    """Return the bounds of the centres of a window."""
    (min_x, max_x), (min_y, max_y) = (
        (origin + step * start, origin + step * (stop - 1)) for origin, step, start, stop in (col_axis, row_axis)
    )
    return min_x, min_y, max_x, max_y


def _neighbours_together(polygons: PolygonSet) -> PolygonSet:
    """Order polygons so that each `GROUP_POLYGONS` of them lie close: slices by y, and by x within them."""
    count = len(polygons.polygons)
    if count <= GROUP_POLYGONS:
        return polygons
    min_x, min_y, max_x, max_y = polygons.bounds.T
    slices = int(np.ceil(np.sqrt(count / GROUP_POLYGONS)))
    slice_of = np.empty(count, np.int64)
    slice_of[np.argsort(min_y + max_y, kind="stable")] = np.arange(count) * slices // count
    order = np.lexsort((min_x + max_x, slice_of))
    return PolygonSet(polygons.polygons[order], polygons.bounds[order])


def _group_boxes(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the box of each `GROUP_POLYGONS` boxes, and of those that are left."""
    starts = np.arange(0, len(boxes), GROUP_POLYGONS)
    if not len(starts):
        return np.empty((0, 4))
    low, high = (reduce.reduceat(boxes, starts, axis=0) for reduce in (np.minimum, np.maximum))
    return np.concatenate([low[:, :2], high[:, 2:]], axis=1)


def _rings(polygons: NDArray[np.object_]) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Return vertices, where each ring starts in them, and where each polygon's rings start.

    GEOS copies each ring that it is asked for, so it is asked only for those of polygons with holes.
    """
    n_rings = 1 + shapely.get_num_interior_rings(polygons).astype(np.int64)
    holed = n_rings > 1
    with GEOS_LOCK:
        rings = shapely.get_rings(polygons[holed])
        vertices = shapely.get_coordinates(polygons)
    lengths = np.empty(n_rings.sum(), np.int64)
    of_holed = np.repeat(holed, n_rings)
    lengths[~of_holed] = shapely.get_num_coordinates(polygons[~holed])
    lengths[of_holed] = shapely.get_num_points(rings)
    ring_starts, polygon_rings = (
        np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]) for counts in (lengths, n_rings)
    )
    return vertices, ring_starts, polygon_rings


def _edge_table(
    layers: Sequence[Layer], polygons: PolygonSet, row_axis: Axis, last_x: float
) -> tuple[EdgeTable, NDArray[np.bool_]]:
    """Return the edges of the layers' polygons that cross a row, and which polygons the kernel refuses."""
    counts = [len(layer.polygons.polygons) for layer in layers]
    keep, add = (np.repeat(np.array([layer[part] for layer in layers], np.uint8), counts) for part in (1, 2))
    vertices, ring_starts, polygon_rings = _rings(polygons.polygons)
    # Most edges of a fine coastline cross no row: pages that are not written to are not memory.
    most = len(vertices)
    boxes = np.ascontiguousarray(polygons.bounds)
    table = EdgeTable(
        ends=np.empty((most, 4)),
        edge_turns=np.empty((most, 4), np.int64),
        block_edges=np.empty(most + 1, np.int64),
        block_boxes=np.empty((most, 4)),
        block_turns=np.empty((most, 4), np.int64),
        polygon_blocks=np.empty(len(boxes) + 1, np.int64),
        polygon_boxes=boxes,
        group_boxes=_group_boxes(boxes),
        keep=keep,
        add=add,
    )
    refused = np.empty(len(boxes), np.bool_)
    collect_edges(vertices, ring_starts, polygon_rings, row_axis, last_x, table, refused)
    return table, refused
