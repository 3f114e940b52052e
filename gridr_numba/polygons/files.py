"""Polygons from files, and polygons in a coordinate reference system, brought to dense pixels.

GeoJSON, WKT and WKB are read by json and shapely. GeoPackage, Shapefile and FlatGeobuf are read by pyogrio, the extra
`vector`; they are told by their first bytes, since GDAL goes by a file's content and other vector formats may name
files anywhere. Only local files are read.

Coordinates are (x, y) in this order, whatever the CRS says of its axes: east or longitude first, as GIS files have
them. Without a CRS they are pixels: x is the column, y the row, integers are centres. A GeoJSON file says its CRS in
the `crs` member of the 2008 specification, as GDAL writes it; null is none. Without that member it is WGS 84, as
RFC 7946 has it, where the outputs have a CRS and a transform, and in pixels where they have not.
"""

from __future__ import annotations

import json
import logging
import re
import reprlib
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import shapely
from rasterio.crs import CRS

from .. import checks
from ..errors import DatasetError, GridrError, GridrTypeError, GridrValueError
from ..files.crs import crs_from
from ..files.inputs import local_path
from ..types import FilePath, GeometryCrs, GeometryType, Warn
from .forms import NESTED_AT_MOST, polygon_set
from .projected import projected
from .projection import PixelFrame
from .sets import PolygonSet, warn_of_a_miss
from .wellknown import check_curves, from_wkb, from_wkt

logger = logging.getLogger(__name__)

#: What `densify` takes for polygons: what the chains take, paths, and sequences of both.
Polygons = GeometryType | FilePath | Sequence[GeometryType | FilePath]

#: `geometry_crs` for polygons that are in dense pixels, whatever their file says.
PIXELS = "pixels"

# The CRS of a GeoJSON file that does not say one.
_RFC_7946 = object()

# PostGIS has them in four bytes.
_SRID_DIGITS = 10

# The formats that pyogrio is asked to read: what GDAL calls them, and how their files start.
_LAYERED_FORMATS = {
    "GeoPackage": b"SQLite format 3\0",
    "Shapefile": b"\x00\x00\x27\x0a",
    "FlatGeobuf": b"fgb\x03",
}


def pixel_polygons(
    valid: Any,
    invalid: Any,
    frame: PixelFrame,
    *,
    crs: GeometryCrs = None,
    layer: Any = None,
    repair: bool = False,
    warn: Warn = logger.warning,
) -> tuple[PolygonSet | None, PolygonSet | None]:
    """Read polygons that are paths, check all, and bring those with a CRS to dense pixels.

    Parameters
    ----------
    valid, invalid : path, GeometryType, sequence of both, or None
    frame : PixelFrame
        Of the outputs.
    crs : str, int, dict, rasterio.crs.CRS, pair of these or None, or None
        Of all polygons, or (of `valid`, of `invalid`), whatever a file says: a CRS, or `PIXELS`. None leaves files
        their own, and all else in pixels.
    layer : str, pair of (str or None), or None
        The layer to read of files that have layers: of both kinds, or (of `valid`, of `invalid`).
    repair : bool
        Mend invalid polygons instead of refusing them.
    warn : Warn
        Told of files without a polygon, and of polygons that do not touch the raster.

    Returns
    -------
    valid, invalid : PolygonSet or None
        In pixels; None for what was not given, and for invalid ground without a polygon.

    Raises
    ------
    GridrValueError, GridrTypeError
        For a wrong argument, or one that speaks of polygons that are not given; a file of a format that is not read, a
        layer that is not there or not clear, polygons that are not valid, a CRS that cannot be understood or brought
        to the output's; and for valid ground that is given and holds no polygon.
    DatasetError
        For a file that is missing or damaged, or where pyogrio is needed and not installed.
    """
    each_crs, each_layer = _crs_pair(crs), _layers(layer)
    _refuse_idle(valid, invalid, (each_crs, each_layer), (crs, layer))
    if valid is None and invalid is None:
        checks.left_out(frame.origin_row_col, (0.0, 0.0), "geometry_origin", "valid or invalid")
        checks.left_out(repair, False, "repair_geometry", "valid or invalid")
    valid_set, invalid_set = (
        _in_pixels(value, name, frame, its_crs, its_layer, repair=repair, warn=warn)
        for value, name, its_crs, its_layer in zip(
            (valid, invalid), ("valid", "invalid"), each_crs, each_layer, strict=True
        )
    )
    return valid_set, invalid_set


def _refuse_idle(valid: object, invalid: object, pairs: Sequence[tuple[Any, Any]], given: Sequence[object]) -> None:
    """Refuse what speaks of polygons that are not given; `pairs` is what was given, of valid and of invalid ones."""
    there = valid is not None, invalid is not None
    for name, pair, value in zip(("geometry_crs", "geometry_layer"), pairs, given, strict=True):
        if not any(there) and any(each is not None for each in pair):
            checks.left_out(value, None, name, "valid or invalid")
        if isinstance(value, list | tuple):
            for index, kind in enumerate(("valid", "invalid")):
                if not there[index]:
                    checks.left_out(value[index], None, f"{name}[{index}]", kind)


def polygon_files(*values: object) -> list[Path]:
    """Return the paths among polygons, as `pixel_polygons` takes them."""
    return [Path(member) for value in values for member in _members(value) if _is_path(member)]


def _is_path(value: object) -> bool:
    return isinstance(value, str | PathLike)


def _members(value: object) -> Sequence[Any]:
    """Return what stands side by side; a single thing stands alone."""
    return value if isinstance(value, list | tuple) else [value]


def _layers(value: object) -> tuple[str | None, str | None]:
    pair = (value, value) if value is None or isinstance(value, str) else value
    if (
        not isinstance(pair, list | tuple)
        or len(pair) != 2
        or not all(each is None or isinstance(each, str) for each in pair)
    ):
        raise GridrTypeError(
            f"geometry_layer must be a name, a pair (of valid, of invalid) or None, not {value!r}",
            argument="geometry_layer",
        )
    return pair[0], pair[1]


def _crs_pair(value: object) -> tuple[Any, Any]:
    """Take `geometry_crs`: None, `PIXELS` or a CRS, for the valid and for the invalid polygons."""
    if not isinstance(value, list | tuple):
        crs = _crs_or_pixels(value, "geometry_crs")
        return crs, crs
    if len(value) != 2:
        raise GridrValueError(
            f"geometry_crs must be one or a pair (of valid, of invalid), not {len(value)} of them",
            argument="geometry_crs",
        )
    return _crs_or_pixels(value[0], "geometry_crs[0]"), _crs_or_pixels(value[1], "geometry_crs[1]")


def _crs_or_pixels(value: object, name: str) -> Any:
    if isinstance(value, str) and value == PIXELS:
        return PIXELS
    return None if value is None else crs_from(value, name)


def _in_pixels(
    value: object, name: str, frame: PixelFrame, crs: Any, layer: str | None, *, repair: bool, warn: Warn
) -> PolygonSet | None:
    """Bring the polygons of one kind to pixels, and warn of those that change no pixel."""
    if value is None:
        return None
    # Of each file, and of all that came as geometries.
    sets_by_source: dict[str, list[PolygonSet]] = {}
    for position, member in _side_by_side(value, name):
        source, found = _read_in_pixels(member, position, frame, crs, layer, repair=repair)
        sets_by_source.setdefault(source if _is_path(member) else name, []).extend(found)
    sets = [each for sets in sets_by_source.values() for each in sets]
    if not sets and name == "valid":
        raise GridrValueError(
            f"{' and '.join(sets_by_source)} must hold a polygon, and holds none: leave {name} out where all is valid",
            argument=name,
        )
    for source, its_sets in sets_by_source.items():
        if its_sets:
            where = frame.origin_row_col, frame.shape_row_col
            warn_of_a_miss(PolygonSet.joined(its_sets), source, *where, "geometry_crs and geometry_origin", warn)
        else:
            warn(f"{source} holds no polygon: as if it were not given")
    return PolygonSet.joined(sets) if sets else None


def _side_by_side(value: object, name: str) -> list[tuple[str, Any]]:
    """Return what is given and where it stands: one by one where there are files among it, else all at once."""
    if isinstance(value, list | tuple) and polygon_files(value):
        return [(f"{name}[{index}]", member) for index, member in enumerate(value)]
    return [(name, value)]


def _read_in_pixels(
    member: object, position: str, frame: PixelFrame, crs: Any, layer: str | None, *, repair: bool
) -> tuple[str, list[PolygonSet]]:
    """Return what to call a file or geometries, and their polygons in pixels: a set, or none without polygons."""
    geometry, its_crs = member, None if crs is PIXELS else crs
    if _is_path(member):
        path = local_path(member, position)
        position = f"{position}: {str(path)!r}"
        geometry, own_crs = _read(path, position, layer)
        its_crs = own_crs() if crs is None else its_crs
    found = polygon_set(geometry, position, repair=repair)
    if found is None or not len(found.polygons):
        return position, []
    if its_crs is _RFC_7946 and frame.crs and frame.transform is not None:
        position = f'{position} (no crs member: WGS 84, unless geometry_crs="pixels")'
        its_crs = _wgs_84(found, position)
    elif its_crs is _RFC_7946:
        its_crs = None
    if its_crs is not None:
        found = PolygonSet.of(projected(found.polygons, position, its_crs, frame))
    return position, [found]


def _wgs_84(polygons: PolygonSet, name: str) -> Any:
    """Return the CRS of polygons that RFC 7946 says are in degrees; refuse them where they cannot be."""
    low, high = polygons.bounds[:, :2].min(axis=0), polygons.bounds[:, 2:].max(axis=0)
    if (low < (-180, -90)).any() or (high > (180, 90)).any():
        raise GridrValueError(
            f"{name} must lie in longitudes -180 to 180 and latitudes -90 to 90, and reaches from (x, y) = "
            f"{tuple(low.tolist())} to {tuple(high.tolist())}",
            argument=name,
        )
    return CRS.from_epsg(4326)


# -- files --------------------------------------------------------------------------------------------------------


#: Geometries in a form that `polygon_set` takes; and what finds out the file's CRS, if it is wanted: None for pixels.
_Content = tuple[Any, Callable[[], Any]]


def _read(path: Path, name: str, layer: str | None) -> _Content:
    try:
        with open(path, "rb") as file:
            start = file.read(16)
    except OSError as error:
        raise DatasetError(f"{name} cannot be read: {error.strerror}", argument=name) from error
    if not start:
        raise DatasetError(f"{name} is empty", argument=name)
    reader = {".geojson": _read_geojson, ".json": _read_geojson, ".wkt": _read_wkt, ".wkb": _read_wkb}.get(
        path.suffix.lower()
    )
    if reader is None:
        if not start.startswith(tuple(_LAYERED_FORMATS.values())):
            known = ", ".join(["GeoJSON (.geojson, .json)", "WKT (.wkt)", "WKB (.wkb)", *_LAYERED_FORMATS])
            raise GridrValueError(f"{name} must be one of {known}", argument=name)
        return _read_layer(path, name, layer)
    if layer is not None:
        raise GridrValueError(f"{name} has no layers, and geometry_layer asks for {layer!r}", argument=name)
    return reader(path, name)


def _read_geojson(path: Path, name: str) -> _Content:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise DatasetError(f"{name} is not JSON: {error}", argument=name) from error
    except RecursionError as error:
        raise DatasetError(
            f"{name} is not JSON that is read: it is nested more than {NESTED_AT_MOST} deep", argument=name
        ) from error
    if not isinstance(content, dict) or "type" not in content:
        raise GridrValueError(f"{name} must hold a GeoJSON object with a type", argument=name)
    return content, partial(_geojson_crs, content, name)


def _geojson_crs(content: dict[str, Any], name: str) -> Any:
    """Take the `crs` member of a GeoJSON file; a link is not followed."""
    member = content.get("crs", _RFC_7946)
    if member is _RFC_7946 or member is None:
        return member
    properties = member.get("properties") if isinstance(member, dict) and member.get("type") == "name" else None
    crs_name = properties.get("name") if isinstance(properties, dict) else None
    if not isinstance(crs_name, str):
        raise GridrValueError(
            f"{name}['crs'] must name a coordinate reference system, not be {reprlib.repr(member)}", argument=name
        )
    return crs_from(crs_name, f"{name}['crs']")


def _read_wkt(path: Path, name: str) -> _Content:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{name} does not hold the WKT of one geometry: {error}", argument=name) from error
    geometry, srid = from_wkt(text, name)
    return geometry, partial(_srid_crs, srid, name)


def _read_wkb(path: Path, name: str) -> _Content:
    geometry, srid = from_wkb(path.read_bytes(), name)
    return geometry, partial(_srid_crs, srid, name)


def _srid_crs(digits: str, name: str) -> Any:
    """Take the number that PostGIS adds to WKT and WKB, an EPSG code; 0 is none."""
    digits = digits.lstrip("0")
    if len(digits) > _SRID_DIGITS:
        raise GridrValueError(f"{name}: the SRID must be an EPSG code, not {reprlib.repr(digits)}", argument=name)
    return crs_from(int(digits), f"{name}: the SRID") if digits else None


def _read_layer(path: Path, name: str, layer: str | None) -> _Content:
    try:
        import pyogrio
    except ImportError as error:
        raise DatasetError(
            f"{name} needs pyogrio to be read, which is not installed: pip install 'gridr_numba[vector]'", argument=name
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of GDAL's, about what is of no concern here or raised all the same
            layers = [str(each) for each, kind in pyogrio.list_layers(path) if kind is not None]
            chosen = _chosen_layer(layers, layer, name)
            meta, _, wkb, _ = pyogrio.raw.read(path, layer=chosen, columns=[], force_2d=True)
        geometries = shapely.from_wkb(wkb)
    except (GridrError, MemoryError):
        raise
    except Exception as error:  # pyogrio's errors have no common root
        check_curves(error, name)
        raise DatasetError(f"{name} cannot be read: {error}", argument=name) from error
    return geometries, partial(_layer_crs, meta["crs"], name)


def _chosen_layer(layers: list[str], layer: str | None, name: str) -> str:
    if not layers:
        raise DatasetError(f"{name} holds no layer of geometries", argument=name)
    listed = ", ".join(repr(each) for each in layers)
    if layer is None and len(layers) == 1:
        return layers[0]
    if layer is None:
        raise GridrValueError(
            f"geometry_layer must say which layer of {name} to read; it has {listed}", argument="geometry_layer"
        )
    if layer not in layers:
        raise GridrValueError(
            f"geometry_layer must be a layer of {name}, not {layer!r}; it has {listed}", argument="geometry_layer"
        )
    return layer


def _layer_crs(value: object, name: str) -> Any:
    """Take a layer's CRS; GeoPackages have an undefined one where none was given, and that is none: pixels."""
    if not value or re.match(r'\w+\["Undefined ', str(value)):
        return None
    crs = crs_from(value, f"{name}: the CRS")
    return crs if crs.is_geographic or crs.is_projected else None
