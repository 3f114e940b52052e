"""Geometries in any accepted form -> one immutable set of polygons. shapely lives here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from .errors import GridrTypeError, GridrValueError, InvalidGeometryError
from .exact import GEOS_LIMIT, mark_inside_exactly
from .types import ShapelyPredicate

# Centres asked of shapely in one call: enough to make a call's own cost vanish, few enough to stay small in memory.
_CENTRES_A_CALL = 1 << 20

#: GEOS was seen to lose polygons of 8e8 when it grows them by 1e-6, and GDAL to burn nothing of those from 2.2e9 on.
BUFFER_LIMIT = 1e8


@dataclass(frozen=True, eq=False)
class PolygonSet:
    """Polygons of one kind, checked and flattened; a pixel is in the set if it is in any of them.

    The geometries are copies of the caller's: asking shapely prepares them, which writes to them, and prepared
    geometries crash GEOS when two threads share them. A set therefore belongs to the thread that asks it.

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
        return PolygonSet(self.polygons[~far], self.bounds[~far]), PolygonSet(self.polygons[far], self.bounds[far])

    def touching(self, low_x: float, low_y: float, high_x: float, high_y: float) -> PolygonSet:
        """Return the polygons whose bounds meet a box."""
        min_x, min_y, max_x, max_y = self.bounds.T
        near = (min_x <= high_x) & (max_x >= low_x) & (min_y <= high_y) & (max_y >= low_y)
        return PolygonSet(self.polygons[near], self.bounds[near])

    def mark_inside(
        self, xs: NDArray[np.float64], ys: NDArray[np.float64], predicate: ShapelyPredicate, out: NDArray[np.bool_]
    ) -> None:
        """Set the centres that are in the set to True, those of a lattice of columns and rows.

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
        shapely.prepare(polygon)
        inside |= _asked(polygon, xs, ys, predicate)
    for index in np.ndindex(xs.shape) if len(far.polygons) else ():
        cell = tuple(slice(axis, axis + 1) for axis in index)
        far.mark_inside(xs[index].reshape(1), ys[index].reshape(1), predicate, inside[cell])
    return inside


def _asked(polygon: Any, xs: Any, ys: Any, predicate: ShapelyPredicate) -> NDArray[np.bool_]:
    # For a point and a polygon, 'covers' and 'intersects' are the same question.
    ask = shapely.contains_xy if predicate is ShapelyPredicate.CONTAINS else shapely.intersects_xy
    answer: NDArray[np.bool_] = ask(polygon, xs, ys)
    return answer


def _mark_asked(
    polygon: Any, xs: NDArray[np.float64], ys: NDArray[np.float64], predicate: ShapelyPredicate, out: NDArray[np.bool_]
) -> None:
    shapely.prepare(polygon)
    rows_a_call = max(1, _CENTRES_A_CALL // len(xs))
    for start in range(0, len(ys), rows_a_call):
        rows = slice(start, start + rows_a_call)
        out[rows] |= _asked(polygon, xs[np.newaxis, :], ys[rows, np.newaxis], predicate)


def _mark_huge(
    polygon: Any, xs: NDArray[np.float64], ys: NDArray[np.float64], predicate: ShapelyPredicate, out: NDArray[np.bool_]
) -> None:
    rings = [shapely.get_coordinates(ring) for ring in (polygon.exterior, *polygon.interiors)]
    mark_inside_exactly(rings, xs, ys, predicate is not ShapelyPredicate.CONTAINS, out)


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
    members = list(_flatten(geometry, name))
    if not members:
        return None
    positions = [position for position, _ in members]
    polygons = shapely.force_2d(np.array([polygon for _, polygon in members], dtype=np.object_))
    _check_finite(polygons, positions)
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
        f"{positions[first]} is not a valid polygon: {shapely.is_valid_reason(within_reach[first])}. "
        "shapely.make_valid mends it, and so do the chains with repair_geometry=True"
    )


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
        raise GridrTypeError(f"{position} must be polygons, not {geometry!r}")


def _flatten_shapely(geometry: Any, position: str) -> Iterator[tuple[str, Any]]:
    kind = geometry.geom_type
    if kind == "Polygon":
        if not geometry.is_empty:
            yield position, geometry
    elif kind in ("MultiPolygon", "GeometryCollection"):
        for index, member in enumerate(geometry.geoms):
            yield from _flatten_shapely(member, f"{position}.geoms[{index}]")
    else:
        raise GridrTypeError(f"{position} must be polygons, not a {kind}")


def _flatten_geojson(geometry: Any, position: str) -> Iterator[tuple[str, Any]]:
    mapping = geometry if isinstance(geometry, Mapping) else geometry.__geo_interface__
    if not isinstance(mapping, Mapping):
        raise GridrTypeError(f"{position} must be polygons, and its __geo_interface__ is {mapping!r}")
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
            raise GridrValueError(f"{position} is not a well-formed GeoJSON {kind}: {error}") from error
        yield from _flatten_shapely(shape, position)
    else:
        raise GridrTypeError(f"{position} must be polygons, not a GeoJSON-like {kind!r}")


def _members(mapping: Mapping[str, Any], key: str, position: str) -> Sequence[Any]:
    members = mapping.get(key)
    if not isinstance(members, Sequence) or isinstance(members, str | bytes):
        raise GridrTypeError(f"{position}[{key!r}] must be a list, not {members!r}")
    return members


def _check_finite(polygons: NDArray[np.object_], positions: list[str]) -> None:
    vertices, owner = shapely.get_coordinates(polygons, return_index=True)
    wrong = np.flatnonzero(~np.isfinite(vertices).all(axis=1))
    if wrong.size:
        vertex = tuple(vertices[wrong[0]].tolist())
        raise InvalidGeometryError(f"{positions[owner[wrong[0]]]} has a vertex that is not finite: (x, y) = {vertex}")


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
