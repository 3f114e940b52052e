"""Geometries in any accepted form -> one checked set of polygons."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from ..errors import GridrTypeError, GridrValueError, InvalidGeometryError
from .exact import GEOS_LIMIT
from .sets import PolygonSet

#: Sequences and collections in one another. GEOS and Python recurse, and neither far.
NESTED_AT_MOST = 64


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
        For a line, a point, a curve or anything that is not a geometry, naming its position.
    GridrValueError
        For what is nested deeper than `NESTED_AT_MOST`, and GeoJSON that is not well-formed.
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
    members = list(_flatten(geometry, name, 0))
    return np.array([polygon for _, polygon in members], dtype=np.object_), lambda index: members[index][0]


def check_nesting(depth: int, name: str) -> None:
    """Refuse what is nested too deep."""
    if depth > NESTED_AT_MOST:
        # A position at this depth is long.
        raise GridrValueError(f"{name[:150]} is nested more than {NESTED_AT_MOST} deep", argument=name)


def _flatten(geometry: Any, position: str, depth: int) -> Iterator[tuple[str, Any]]:
    """Yield each polygon that is not empty, and where it was found."""
    check_nesting(depth, position)
    if geometry is None:
        return
    if isinstance(geometry, BaseGeometry):
        yield from _flatten_shapely(geometry, position, depth)
    elif isinstance(geometry, Mapping) or hasattr(geometry, "__geo_interface__"):
        yield from _flatten_geojson(geometry, position, depth)
    elif isinstance(geometry, np.ndarray) and geometry.ndim == 0:
        yield from _flatten(geometry.item(), position, depth + 1)
    elif isinstance(geometry, np.ndarray | Sequence) and not isinstance(geometry, str | bytes):
        for index, member in enumerate(geometry):
            yield from _flatten(member, f"{position}[{index}]", depth + 1)
    else:
        raise GridrTypeError(f"{position} must be polygons, not {geometry!r}", argument=position)


def _flatten_shapely(geometry: Any, position: str, depth: int) -> Iterator[tuple[str, Any]]:
    check_nesting(depth, position)
    kind = geometry.geom_type
    if kind == "Polygon":
        if not geometry.is_empty:
            yield position, geometry
    elif kind in ("MultiPolygon", "GeometryCollection"):
        try:
            members = list(geometry.geoms)
        except NotImplementedError as error:
            raise GridrTypeError(
                f"{position} must be polygons of straight edges, and holds curves", argument=position
            ) from error
        for index, member in enumerate(members):
            yield from _flatten_shapely(member, f"{position}.geoms[{index}]", depth + 1)
    else:
        raise GridrTypeError(f"{position} must be polygons, not a {kind}", argument=position)


def _flatten_geojson(geometry: Any, position: str, depth: int) -> Iterator[tuple[str, Any]]:
    mapping = geometry if isinstance(geometry, Mapping) else geometry.__geo_interface__
    if not isinstance(mapping, Mapping):
        raise GridrTypeError(
            f"{position} must be polygons, and its __geo_interface__ is {mapping!r}", argument=position
        )
    kind = mapping.get("type")
    if kind == "FeatureCollection":
        for index, feature in enumerate(_members(mapping, "features", position)):
            yield from _flatten(feature, f"{position}['features'][{index}]", depth + 1)
    elif kind == "Feature":
        yield from _flatten(mapping.get("geometry"), f"{position}['geometry']", depth + 1)
    elif kind == "GeometryCollection":
        for index, member in enumerate(_members(mapping, "geometries", position)):
            yield from _flatten(member, f"{position}['geometries'][{index}]", depth + 1)
    elif kind in ("Polygon", "MultiPolygon"):
        try:
            shape = shapely.geometry.shape(mapping)
        except Exception as error:  # shapely raises whatever its parsing happens to stumble on
            raise GridrValueError(
                f"{position} is not a well-formed GeoJSON {kind}: {error}", argument=position
            ) from error
        yield from _flatten_shapely(shape, position, depth)
    else:
        raise GridrTypeError(f"{position} must be polygons, not a GeoJSON-like {kind!r}", argument=position)


def _members(mapping: Mapping[str, Any], key: str, position: str) -> Sequence[Any]:
    members = mapping.get(key)
    if not isinstance(members, Sequence) or isinstance(members, str | bytes):
        raise GridrTypeError(f"{position}[{key!r}] must be a list, not {reprlib.repr(members)}", argument=position)
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
