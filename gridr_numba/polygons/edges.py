"""Geometries in any accepted form -> one immutable set of polygons. shapely lives here."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from ..errors import GridrTypeError, GridrValueError, InvalidGeometryError
from ..georef import centres
from ..kernels.jit import share, usable_threads
from ..kernels.scanline import BAND_ROWS, GROUP_POLYGONS, Axis, EdgeTable, collect_edges, scan
from ..types import ShapelyPredicate
from .exact import GEOS_LIMIT, mark_inside_exactly

# Centres asked of shapely in one call: enough to make a call's own cost vanish, few enough to stay small in memory.
_CENTRES_A_CALL = 1 << 20

#: GEOS was seen to lose polygons of 8e8 when it grows them by 1e-6, and GDAL to burn nothing of those from 2.2e9 on.
BUFFER_LIMIT = 1e8

# Room for so many doubtful centres in each band of rows; where there are more, the window is scanned again with enough.
_DOUBTS_A_BAND = 64

# Waking a thread takes longer than so few pixels.
_PIXELS_A_THREAD = 1 << 16

# Threads take bands one by one, but so many times at most: each time costs some microseconds.
_TIMES_A_THREAD = 16

Box = tuple[float, float, float, float]  # min x, min y, max x, max y


# A geometry that is asked is prepared, that is, written to, and GEOS crashes where two threads share one.
_GEOS_LOCK = threading.Lock()


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

    def clipped(self, box: Box) -> PolygonSet:
        """Return what lies in a box of the polygons that touch it. Those beyond `BUFFER_LIMIT` stay whole."""
        touching, far = self.where(self.touches(box)).split_by_reach(BUFFER_LIMIT)
        low, high = touching.bounds[:, :2], touching.bounds[:, 2:]
        within = (low >= box[:2]).all(axis=1) & (high <= box[2:]).all(axis=1)
        with _GEOS_LOCK:
            parts = shapely.get_parts(shapely.clip_by_rect(touching.polygons[~within], *box))
            parts = shapely.get_parts(parts)  # of collections
        areas = parts[(shapely.get_type_id(parts) == shapely.GeometryType.POLYGON) & ~shapely.is_empty(parts)]
        return PolygonSet.of([*touching.polygons[within], *areas, *far.polygons])

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


def inside_points(
    polygons: PolygonSet, xs: NDArray[np.float64], ys: NDArray[np.float64], predicate: ShapelyPredicate
) -> NDArray[np.bool_]:
    """Say of each point of any arrangement whether it is in the set."""
    inside = np.zeros(xs.shape, dtype=np.bool_)
    near, far = polygons.split_by_reach(GEOS_LIMIT)
    for polygon in near.polygons:
        inside |= _asked(polygon, xs, ys, predicate)
    for index in np.ndindex(xs.shape) if len(far.polygons) else ():
        cell = tuple(slice(axis, axis + 1) for axis in index)
        far.mark_inside(xs[index].reshape(1), ys[index].reshape(1), predicate, inside[cell])
    return inside


def _asked(polygon: Any, xs: Any, ys: Any, predicate: ShapelyPredicate) -> NDArray[np.bool_]:
    # For a point and a polygon, 'covers' and 'intersects' are the same question.
    ask = shapely.contains_xy if predicate is ShapelyPredicate.CONTAINS else shapely.intersects_xy
    with _GEOS_LOCK:
        shapely.prepare(polygon)
        answer: NDArray[np.bool_] = ask(polygon, xs, ys)
    return answer


def _mark_asked(
    polygon: Any, xs: NDArray[np.float64], ys: NDArray[np.float64], predicate: ShapelyPredicate, out: NDArray[np.bool_]
) -> None:
    rows_a_call = max(1, _CENTRES_A_CALL // len(xs))
    for start in range(0, len(ys), rows_a_call):
        rows = slice(start, start + rows_a_call)
        out[rows] |= _asked(polygon, xs[np.newaxis, :], ys[rows, np.newaxis], predicate)


def _mark_huge(
    polygon: Any, xs: NDArray[np.float64], ys: NDArray[np.float64], predicate: ShapelyPredicate, out: NDArray[np.bool_]
) -> None:
    rings = [shapely.get_coordinates(ring) for ring in (polygon.exterior, *polygon.interiors)]
    mark_inside_exactly(rings, xs, ys, predicate is not ShapelyPredicate.CONTAINS, out)


# -- on a raster --------------------------------------------------------------------------------------------------


class Layer(NamedTuple):
    """A set, and what is done to the byte of a pixel in it: ``(byte & keep) | add``."""

    polygons: PolygonSet
    keep: int
    add: int


@dataclass(frozen=True, eq=False)
class PolygonEdges:
    """The polygons of all layers on the rows and columns of one raster, as edges: built once a job, used by each strip.

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
            inside = _asked(self.polygons.polygons[polygon], xs[cols], ys[rows], predicate)
            out[rows[inside], cols[inside]] &= self.table.keep[polygon]
            out[rows[inside], cols[inside]] |= self.table.add[polygon]
            for row in group[~single, 1]:
                inside = _asked(self.polygons.polygons[polygon], xs, ys[row], predicate)
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
    with _GEOS_LOCK:
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


# -- what is accepted ---------------------------------------------------------------------------------------------


def polygon_set(geometry: Any, name: str, *, repair: bool = False) -> PolygonSet | None:
    """Flatten and check polygons in any accepted form.

    Parameters
    ----------
    geometry : GeometryType or None
        See `types.GeometryType`. A missing geometry (None) inside a sequence or a feature counts as empty.
    name : str
        What to call it in errors.
    repair : bool
        Mend invalid polygons with `shapely.make_valid` instead of refusing them.

    Returns
    -------
    PolygonSet or None
        None where nothing was given: None, an empty sequence, an empty geometry.

    Raises
    ------
    GridrTypeError
        For a line, a point or anything that is not a geometry, naming its position.
    InvalidGeometryError
        For a vertex that is not finite, or a polygon that is not valid, naming its position and shapely's reason.
    """
    found, position_of = _found(geometry, name)
    if not len(found):
        return None
    polygons = shapely.force_2d(found)
    _check_finite(polygons, position_of)
    exponents = _exponents_into_reach(polygons)
    within_reach = _scaled(polygons, -exponents)
    valid = shapely.is_valid(within_reach)
    if valid.all():
        return PolygonSet.of(polygons)
    if repair:
        mended = _mended(within_reach[~valid], exponents[~valid])
        return PolygonSet.of([*polygons[valid], *mended])
    first = int(np.flatnonzero(~valid)[0])
    raise InvalidGeometryError(
        f"{position_of(first)} is not a valid polygon: {shapely.is_valid_reason(within_reach[first])}. "
        "shapely.make_valid mends it, and so do the chains with repair_geometry=True",
        argument=position_of(first),
    )


def _found(geometry: Any, name: str) -> tuple[NDArray[np.object_], Callable[[int], str]]:
    """Return the polygons that are not empty, and what says where each was found."""
    if isinstance(geometry, list | tuple) and all(type(member) is shapely.Polygon for member in geometry):
        # What nearly all callers have. One by one, it would take as long as the check for validity.
        polygons = np.array(geometry, dtype=np.object_)
        indices = np.flatnonzero(~shapely.is_empty(polygons))
        return polygons[indices], lambda index: f"{name}[{indices[index]}]"
    members = list(_flatten(geometry, name))
    return np.array([polygon for _, polygon in members], dtype=np.object_), lambda index: members[index][0]


def _flatten(geometry: Any, position: str) -> Iterator[tuple[str, Any]]:
    """Yield each polygon that is not empty, and where it was found."""
    if geometry is None:
        return
    if isinstance(geometry, BaseGeometry):
        yield from _flatten_shapely(geometry, position)
    elif isinstance(geometry, Mapping) or hasattr(geometry, "__geo_interface__"):
        yield from _flatten_geojson(geometry, position)
    elif isinstance(geometry, np.ndarray) and geometry.ndim == 0:
        yield from _flatten(geometry.item(), position)
    elif isinstance(geometry, np.ndarray | Sequence) and not isinstance(geometry, str | bytes):
        for index, member in enumerate(geometry):
            yield from _flatten(member, f"{position}[{index}]")
    else:
        raise GridrTypeError(f"{position} must be polygons, not {geometry!r}", argument=position)


def _flatten_shapely(geometry: Any, position: str) -> Iterator[tuple[str, Any]]:
    kind = geometry.geom_type
    if kind == "Polygon":
        if not geometry.is_empty:
            yield position, geometry
    elif kind in ("MultiPolygon", "GeometryCollection"):
        for index, member in enumerate(geometry.geoms):
            yield from _flatten_shapely(member, f"{position}.geoms[{index}]")
    else:
        raise GridrTypeError(f"{position} must be polygons, not a {kind}", argument=position)


def _flatten_geojson(geometry: Any, position: str) -> Iterator[tuple[str, Any]]:
    mapping = geometry if isinstance(geometry, Mapping) else geometry.__geo_interface__
    if not isinstance(mapping, Mapping):
        raise GridrTypeError(
            f"{position} must be polygons, and its __geo_interface__ is {mapping!r}", argument=position
        )
    kind = mapping.get("type")
    if kind == "FeatureCollection":
        for index, feature in enumerate(_members(mapping, "features", position)):
            yield from _flatten(feature, f"{position}['features'][{index}]")
    elif kind == "Feature":
        yield from _flatten(mapping.get("geometry"), f"{position}['geometry']")
    elif kind == "GeometryCollection":
        for index, member in enumerate(_members(mapping, "geometries", position)):
            yield from _flatten(member, f"{position}['geometries'][{index}]")
    elif kind in ("Polygon", "MultiPolygon"):
        try:
            shape = shapely.geometry.shape(mapping)
        except Exception as error:  # shapely raises whatever its parsing happens to stumble on
            raise GridrValueError(
                f"{position} is not a well-formed GeoJSON {kind}: {error}", argument=position
            ) from error
        yield from _flatten_shapely(shape, position)
    else:
        raise GridrTypeError(f"{position} must be polygons, not a GeoJSON-like {kind!r}", argument=position)


def _members(mapping: Mapping[str, Any], key: str, position: str) -> Sequence[Any]:
    members = mapping.get(key)
    if not isinstance(members, Sequence) or isinstance(members, str | bytes):
        raise GridrTypeError(f"{position}[{key!r}] must be a list, not {members!r}", argument=position)
    return members


def _check_finite(polygons: NDArray[np.object_], position_of: Callable[[int], str]) -> None:
    vertices, owner = shapely.get_coordinates(polygons, return_index=True)
    finite = np.isfinite(vertices)
    if not finite.all():
        wrong = np.flatnonzero(~finite.all(axis=1))
        vertex = tuple(vertices[wrong[0]].tolist())
        raise InvalidGeometryError(
            f"{position_of(owner[wrong[0]])} has a vertex that is not finite: (x, y) = {vertex}",
            argument=position_of(owner[wrong[0]]),
        )


def _exponents_into_reach(polygons: NDArray[np.object_]) -> NDArray[np.int64]:
    """Return the powers of two by which polygons are to be divided for GEOS to judge them: 0 for nearly all."""
    largest = np.abs(shapely.bounds(polygons)).max(axis=1)
    exponents: NDArray[np.int64] = np.where(largest > GEOS_LIMIT, np.frexp(largest)[1], 0).astype(np.int64)
    return exponents


def _scaled(polygons: NDArray[np.object_], exponents: NDArray[np.int64]) -> NDArray[np.object_]:
    """Multiply polygons by powers of two, which changes no digit of a vertex."""
    scaled = polygons.copy()
    for index in np.flatnonzero(exponents):
        vertices = shapely.get_coordinates(polygons[index])
        scaled[index] = shapely.set_coordinates(
            shapely.transform(polygons[index], np.copy), np.ldexp(vertices, exponents[index])
        )
    return scaled


def _mended(polygons: NDArray[np.object_], exponents: NDArray[np.int64]) -> NDArray[np.object_]:
    """Mend invalid polygons; what make_valid leaves of them that is not a polygon has no inside, and goes."""
    members, owner = shapely.get_parts(shapely.make_valid(polygons), return_index=True)
    parts, member = shapely.get_parts(members, return_index=True)
    kept = (shapely.get_type_id(parts) == shapely.GeometryType.POLYGON) & ~shapely.is_empty(parts)
    return _scaled(parts[kept], exponents[owner[member[kept]]])
