"""Sets of polygons, and what shapely says of points in them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from ..types import Pair, ShapelyPredicate, Warn
from .exact import GEOS_LIMIT, mark_inside_exactly

# Centres asked of shapely in one call: enough to make a call's own cost vanish, few enough to stay small in memory.
_CENTRES_A_CALL = 1 << 20

#: GEOS was seen to lose polygons of 8e8 when it grows them by 1e-6, and GDAL to burn nothing of those from 2.2e9 on.
BUFFER_LIMIT = 1e8

Box = tuple[float, float, float, float]  # min x, min y, max x, max y

# A geometry that is asked is prepared, that is, written to, and GEOS crashes where two threads share one.
GEOS_LOCK = threading.Lock()


@dataclass(frozen=True, eq=False)
class PolygonSet:
    """Polygons of one kind, checked and flattened; a pixel is in the set if it is in any of them.

    The geometries are copies of the caller's, and are asked under a lock: threads may share a set.

    Attributes
    ----------
    polygons : ndarray of shapely.Polygon (n,)
    bounds : ndarray of float64 (n, 4)
        ``(min x, min y, max x, max y)`` of each.
    """

    polygons: NDArray[np.object_]
    bounds: NDArray[np.float64]

    @classmethod
    def of(cls, polygons: Any) -> PolygonSet:
        """Take polygons that are known to be valid."""
        array = np.array(polygons, dtype=np.object_).reshape(-1)
        return cls(array, shapely.bounds(array).reshape(-1, 4))

    @classmethod
    def joined(cls, sets: Sequence[PolygonSet]) -> PolygonSet:
        """Return the polygons of several sets as one."""
        return cls(np.concatenate([each.polygons for each in sets]), np.concatenate([each.bounds for each in sets]))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle all polygons as one piece of WKB."""
        each = shapely.to_wkb(self.polygons)
        return _set_of_wkb, (b"".join(each), np.cumsum([len(wkb) for wkb in each], dtype=np.int64))

    def where(self, chosen: NDArray[np.bool_]) -> PolygonSet:
        """Return some of the polygons."""
        return PolygonSet(self.polygons[chosen], self.bounds[chosen])

    def dilated(self, distance: float) -> PolygonSet:
        """Grow each polygon (shrink it where negative) as GRIDR does, corners cut with one segment a quadrant.

        Beyond `BUFFER_LIMIT` GEOS returns nothing for a small distance: such polygons stay as they are.
        """
        near, far = self.split_by_reach(BUFFER_LIMIT)
        grown = shapely.buffer(
            near.polygons, distance, quad_segs=1, cap_style="round", join_style="round", single_sided=False
        )
        parts = shapely.get_parts(grown)
        return PolygonSet.of([*parts[~shapely.is_empty(parts)], *far.polygons])

    def split_by_reach(self, limit: float) -> tuple[PolygonSet, PolygonSet]:
        """Return the polygons with no coordinate beyond a limit, and the others."""
        far = np.abs(self.bounds).max(axis=1, initial=0.0) > limit
        return self.where(~far), self.where(far)

    def touches(self, box: Box) -> NDArray[np.bool_]:
        """Say of each polygon whether its bounds meet a box."""
        min_x, min_y, max_x, max_y = self.bounds.T
        meets: NDArray[np.bool_] = (min_x <= box[2]) & (max_x >= box[0]) & (min_y <= box[3]) & (max_y >= box[1])
        return meets

    def meets(self, box: Box) -> bool:
        """Say whether any polygon has a point in a box; of those beyond `GEOS_LIMIT`, whether its bounds do."""
        near, far = self.where(self.touches(box)).split_by_reach(GEOS_LIMIT)
        with GEOS_LOCK:
            return bool(len(far.polygons)) or bool(shapely.intersects(near.polygons, shapely.box(*box)).any())

    def clipped(self, box: Box) -> PolygonSet:
        """Return what lies in a box of the polygons that touch it. Those beyond `BUFFER_LIMIT` stay whole."""
        touching, far = self.where(self.touches(box)).split_by_reach(BUFFER_LIMIT)
        low, high = touching.bounds[:, :2], touching.bounds[:, 2:]
        within = (low >= box[:2]).all(axis=1) & (high <= box[2:]).all(axis=1)
        with GEOS_LOCK:
            parts = shapely.get_parts(shapely.clip_by_rect(touching.polygons[~within], *box))
            parts = shapely.get_parts(parts)  # of collections
        areas = parts[(shapely.get_type_id(parts) == shapely.GeometryType.POLYGON) & ~shapely.is_empty(parts)]
        return PolygonSet.of([*touching.polygons[within], *areas, *far.polygons])

    def outline(self, tolerance: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return x and y of all rings, within a tolerance, one after the other with a NaN between."""
        rings = shapely.get_rings(shapely.simplify(self.polygons, tolerance))
        points, ring = shapely.get_coordinates(rings, return_index=True)
        ends = np.flatnonzero(np.diff(ring)) + 1
        x, y = np.insert(points, ends, np.nan, axis=0).T
        return x, y

    def mark_inside(
        self, xs: NDArray[np.float64], ys: NDArray[np.float64], predicate: ShapelyPredicate, out: NDArray[np.bool_]
    ) -> None:
        """Set the centres that are in the set to True, those of any columns and rows, asking about each.

        Law 6: what the installed shapely answers for each centre and each polygon as given; beyond `GEOS_LIMIT`, where
        GEOS overflows, the exact answer.

        Parameters
        ----------
        xs, ys : ndarray of float64
            Centres of columns and of rows, each ascending or descending.
        predicate : ShapelyPredicate
        out : ndarray of bool (rows, columns)
            Not cleared.
        """
        if xs[0] > xs[-1]:
            xs, out = xs[::-1], out[:, ::-1]
        if ys[0] > ys[-1]:
            ys, out = ys[::-1], out[::-1]
        for polygon, (min_x, min_y, max_x, max_y) in zip(self.polygons, self.bounds, strict=True):
            cols = slice(np.searchsorted(xs, min_x, "left"), np.searchsorted(xs, max_x, "right"))
            rows = slice(np.searchsorted(ys, min_y, "left"), np.searchsorted(ys, max_y, "right"))
            if cols.start == cols.stop or rows.start == rows.stop:
                continue
            if max(abs(min_x), abs(min_y), abs(max_x), abs(max_y)) > GEOS_LIMIT:
                _mark_huge(polygon, xs[cols], ys[rows], predicate, out[rows, cols])
            else:
                _mark_asked(polygon, xs[cols], ys[rows], predicate, out[rows, cols])


def any_hull_meets(points: NDArray[np.float64], box: Box) -> bool:
    """Say whether the convex hull of any group of points, (groups, points, 2) as x and y, meets a box."""
    return bool(shapely.intersects(shapely.convex_hull(shapely.multipoints(points)), shapely.box(*box)).any())


def _set_of_wkb(wkb: bytes, ends: NDArray[np.int64]) -> PolygonSet:
    """Take the WKB of polygons that are known to be valid, one after another, and where each ends."""
    stops = ends.tolist()
    return PolygonSet.of(shapely.from_wkb([wkb[start:stop] for start, stop in pairwise([0, *stops])]))


def warn_of_a_miss(
    polygons: PolygonSet, name: str, origin_row_col: tuple[float, float], shape_row_col: Pair, check: str, warn: Warn
) -> None:
    """Warn of polygons of which none touches the centres of a raster; `check` names the arguments that may be wrong."""
    (row, col), (rows, cols) = origin_row_col, shape_row_col
    if polygons.meets((col, row, col + cols - 1, row + rows - 1)):
        return
    where = "nothing is left of them"  # repaired, or cut to the raster
    if len(polygons.polygons):
        (left, top), (right, bottom) = polygons.bounds[:, :2].min(axis=0), polygons.bounds[:, 2:].max(axis=0)
        where = (
            f"they lie in rows {top - row:.6g} to {bottom - row:.6g} and columns {left - col:.6g} to {right - col:.6g}"
        )
    warn(
        f"{name} has no polygon that touches the raster of {rows} rows and {cols} columns: {where}; "
        f"check that they are (x, y), and {check}"
    )


def inside_points(
    polygons: PolygonSet, xs: NDArray[np.float64], ys: NDArray[np.float64], predicate: ShapelyPredicate
) -> NDArray[np.bool_]:
    """Say of each point of any arrangement whether it is in the set."""
    inside = np.zeros(xs.shape, dtype=np.bool_)
    near, far = polygons.split_by_reach(GEOS_LIMIT)
    by_y = np.argsort(ys, axis=None)
    all_xs, all_ys = xs.ravel()[by_y], ys.ravel()[by_y]
    min_x, min_y, max_x, max_y = near.bounds.T
    starts, stops = np.searchsorted(all_ys, min_y, "left"), np.searchsorted(all_ys, max_y, "right")
    for each in np.flatnonzero(starts < stops):
        part = slice(starts[each], stops[each])
        within = (all_xs[part] >= min_x[each]) & (all_xs[part] <= max_x[each])
        if not within.any():
            continue
        points = by_y[part][within]
        inside.flat[points] |= ask(near.polygons[each], all_xs[part][within], all_ys[part][within], predicate)
    for index in np.ndindex(xs.shape) if len(far.polygons) else ():
        cell = tuple(slice(axis, axis + 1) for axis in index)
        far.mark_inside(xs[index].reshape(1), ys[index].reshape(1), predicate, inside[cell])
    return inside


def ask(polygon: Any, xs: Any, ys: Any, predicate: ShapelyPredicate) -> NDArray[np.bool_]:
    """Let shapely say of each point whether it is in a polygon."""
    # For a point and a polygon, 'covers' and 'intersects' are the same question.
    ask = shapely.contains_xy if predicate is ShapelyPredicate.CONTAINS else shapely.intersects_xy
    with GEOS_LOCK:
        shapely.prepare(polygon)
        answer: NDArray[np.bool_] = ask(polygon, xs, ys)
    return answer


def _mark_asked(
    polygon: Any, xs: NDArray[np.float64], ys: NDArray[np.float64], predicate: ShapelyPredicate, out: NDArray[np.bool_]
) -> None:
    rows_a_call = max(1, _CENTRES_A_CALL // len(xs))
    for start in range(0, len(ys), rows_a_call):
        rows = slice(start, start + rows_a_call)
        out[rows] |= ask(polygon, xs[np.newaxis, :], ys[rows, np.newaxis], predicate)


def _mark_huge(
    polygon: Any, xs: NDArray[np.float64], ys: NDArray[np.float64], predicate: ShapelyPredicate, out: NDArray[np.bool_]
) -> None:
    rings = [shapely.get_coordinates(ring) for ring in (polygon.exterior, *polygon.interiors)]
    mark_inside_exactly(rings, xs, ys, predicate is not ShapelyPredicate.CONTAINS, out)
