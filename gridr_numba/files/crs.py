"""Coordinate reference systems: when two are the same, and points from one to another.

For a raster, a system is its horizontal part. Points are (x, y), x being east or longitude, whatever the system says.
"""

from __future__ import annotations

import math
import re
import reprlib
from contextlib import suppress
from functools import lru_cache
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.warp import transform as warp

from ..errors import GridrValueError
from ..types import Range

Points = NDArray[np.float64]  # (n, 2): x, y
Values = NDArray[np.float64]  # (n,)


# PROJJSON, PROJ strings, WKT, and names such as EPSG:4326. All else GDAL would take for an address to ask or a file.
_TEXT = re.compile(r"\{|\+|\w+=|\w+\s*[\[(]|[\w:.+,-]+$")

# A code is a number, or two of a compound.
_BAD_CODE = re.compile(r"\s*EPSG:(?!\d+(\+\d+)?\s*$)", re.IGNORECASE)


def crs_from(value: object, name: str) -> Any:
    """Take a CRS as rasterio does, but none that GDAL would look for at an address or in a file."""
    if isinstance(value, str) and not _TEXT.match(value.strip()):
        raise GridrValueError(
            f"{name} must be a coordinate reference system, not an address or a path: {value!r}", argument=name
        )
    try:
        if isinstance(value, str) and _BAD_CODE.match(value):  # of which GDAL 3.9 reads the first number
            raise CRSError("it is no code of EPSG's")
        with rasterio.Env():  # else GDAL prints what it also raises
            return CRS.from_user_input(value)
    except (CRSError, ValueError, OverflowError) as error:  # numbers and characters that rasterio stumbles on
        raise GridrValueError(
            f"{name} must be a coordinate reference system, not {reprlib.repr(value)}: {error}", argument=name
        ) from error


def grid_mapping_of(crs: Any, transform: Any) -> dict[str, str]:
    """Return the attributes of a ``spatial_ref`` variable, as CF, GDAL, rioxarray and odc-geo read them.

    Empty where neither is known. The transform is from pixel corners, in GDAL's order; numbers come back to the bit.
    """
    attributes = {}
    if crs is not None:
        wkt = crs.to_wkt(version="WKT2_2019")
        attributes = {"crs_wkt": wkt, "spatial_ref": wkt}
    if transform is not None:
        attributes["GeoTransform"] = " ".join(repr(float(value)) for value in transform.to_gdal())
    return attributes


def axis_attributes(crs: Any, transform: Any) -> tuple[dict[str, str], dict[str, str]]:
    """Return what CF says of the coordinates y and x of pixel centres; without a transform, they are numbers."""
    attributes = {"axis": "Y"}, {"axis": "X"}
    if transform is None:
        return attributes
    if crs and crs.is_geographic:
        attributes[0].update(standard_name="latitude", units="degrees_north")
        attributes[1].update(standard_name="longitude", units="degrees_east")
    elif crs and crs.is_projected:
        for name, each in zip(("y", "x"), attributes, strict=True):
            each.update(standard_name=f"projection_{name}_coordinate", units=crs.linear_units)
    return attributes


def same_crs(crs: Any, other: Any) -> bool:
    """Say whether two `rasterio.crs.CRS` are one to PROJ: however they are written, and whatever they say of heights.

    The order of axes does not count either: a raster's are (x, y). A datum that differs does.
    """
    if crs == other:
        return True
    with rasterio.Env():  # else GDAL prints what it also raises
        crs, other = _horizontal(crs), _horizontal(other)
        return bool(crs == other) or (crs.to_authority() is not None and crs.to_authority() == other.to_authority())


def area_of(crs: Any) -> tuple[Range, Range] | None:
    """Return the least and the largest x, and y, of the area that a projected CRS is for; None where it does not say.

    Of the area's bounds in longitude and latitude, those on the map.
    """
    if crs is None or not crs.is_projected:
        return None
    with rasterio.Env(), suppress(CRSError, KeyError):  # else GDAL prints what it also raises
        authority = crs.to_authority()  # a file says a code, of which the area is known, and no area
        known = crs if authority is None else CRS.from_authority(*authority)
        box = known.to_dict(projjson=True)["bbox"]
        south, north = box["south_latitude"], box["north_latitude"]
        west, east = box["west_longitude"], box["east_longitude"]
        lines = np.linspace(0.0, 1.0, 21)
        across, along = np.meshgrid(west + lines * ((east - west) % 360.0 or 360.0), south + lines * (north - south))
        try:
            places = warped(CRS.from_epsg(4326), crs, np.column_stack([across.ravel(), along.ravel()]))
        except Exception as error:
            if type(error).__name__ == "CPLE_NotSupportedError":  # the area is another body's
                return None
            raise
        places = places[all_finite(places)]
        if len(places):
            (left, bottom), (right, top) = places.min(axis=0).tolist(), places.max(axis=0).tolist()
            return (left, right), (bottom, top)
    return None


@lru_cache(maxsize=64)
def _horizontal(crs: Any) -> Any:
    """Return the horizontal part of a CRS; what PROJ cannot describe comes as it went.

    PROJ takes 10 to 20 ms for it, and a job asks of the same few again and again.
    """
    with suppress(CRSError):
        return CRS.from_dict(_flat(crs.to_dict(projjson=True)))
    return crs


def _flat(described: Any) -> Any:
    """Take heights, bounds to another datum, codes and the order of axes from a CRS in PROJJSON."""
    kind = described.get("type")
    if kind == "CompoundCRS":
        return _flat(described["components"][0])
    if kind == "BoundCRS":
        return _flat(described["source_crs"])
    if kind not in ("GeographicCRS", "ProjectedCRS"):
        return described
    flat = {key: value for key, value in described.items() if key != "id"}
    system = described["coordinate_system"]
    if kind == "GeographicCRS":
        axes = [axis for axis in system["axis"] if axis["direction"] not in ("up", "down")]
        flat["coordinate_system"] = {**system, "axis": sorted(axes, key=lambda axis: axis["direction"] != "north")}
    else:
        flat["base_crs"] = _flat(described["base_crs"])
        flat["coordinate_system"] = {**system, "axis": system["axis"][:2]}
    return flat


def all_finite(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say of which points, of any arrangement (..., 2), both coordinates are finite."""
    finite: NDArray[np.bool_] = np.logical_and(*np.isfinite(np.moveaxis(points, -1, 0)))
    return finite


def warped(source: Any, target: Any, points: Points) -> Points:
    """Bring points from one CRS to another; what is NaN, and what PROJ cannot bring, becomes NaN."""
    warped = np.empty(points.shape)
    xs, ys = np.ascontiguousarray(points.T)
    warped[:, 0], warped[:, 1] = warped_xy(source, target, xs, ys)
    return warped


def warped_xy(source: Any, target: Any, xs: Values, ys: Values) -> tuple[Values, Values]:
    """Bring points, given as two contiguous arrays of one axis; as `warped` otherwise."""
    there = np.isfinite(xs) & np.isfinite(ys)
    if source.is_geographic:  # PROJ complains of each latitude that is none
        there &= np.abs(ys) < full_circle(source) / 4 * (1 + 1e-9)
    into = np.full((2, len(xs)), np.nan)
    if there.all():
        _warp(source, target, xs, ys, into)
    else:
        _warp(source, target, xs[there], ys[there], brought := np.empty((2, np.count_nonzero(there))))
        into[:, there] = brought
    if not np.isfinite(into).all():
        into[:, ~np.isfinite(into).all(axis=0)] = np.nan
    return into[0], into[1]


def _warp(source: Any, target: Any, xs: Values, ys: Values, out: Values) -> None:
    """Let PROJ bring points. rasterio raises for all of a call if PROJ complains of one: then halves are brought."""
    try:
        # Of a view rasterio gets Python's numbers, of an array numpy's, one by one, which take longer.
        for axis, values in enumerate(warp(source, target, xs.data, ys.data)):  # lists
            out[axis] = np.fromiter(values, np.float64, len(xs))
    except Exception as error:  # GDAL's errors, in a class of rasterio's own, which it does not show
        if type(error).__name__ == "CPLE_NotSupportedError":  # no way from one CRS to the other
            raise
        if len(xs) == 1:
            out[:] = np.nan
            return
        middle = len(xs) // 2
        _warp(source, target, xs[:middle], ys[:middle], out[:, :middle])
        _warp(source, target, xs[middle:], ys[middle:], out[:, middle:])


def full_circle(crs: Any) -> float:
    """Return a whole turn in the unit of a CRS's longitudes."""
    return round(math.tau / float(crs.units_factor[1]), 6)
