"""The raster that a grid is made for: three ways to say it."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.warp import calculate_default_transform

from .. import checks
from ..errors import DatasetError, GridrTypeError, GridrValueError
from ..files.crs import crs_from
from ..files.gdal import gdal_errors, reason_of
from ..mapping.models import TargetRaster, check_solvable
from ..types import Pair


def target_of(
    source: Any, like: Any, crs: Any, transform: Any, shape: Any, pixel_size: Any, bounds: Any, *, called: str
) -> TargetRaster:
    """Take the target in one of the three ways in which it may be said; errors name the source as it is called."""
    ways = {
        "like": like is not None,
        "transform and shape": transform is not None or shape is not None,
        "pixel_size and bounds": pixel_size is not None or bounds is not None,
    }
    said = [way for way, given in ways.items() if given] or (["pixel_size and bounds"] if crs is not None else [])
    if len(said) != 1 or (like is not None and crs is not None):
        raise GridrValueError(
            "the target must be said in one way: like, or crs with transform and shape, or crs with pixel_size and "
            "bounds",
            argument="like",
        )
    if like is not None:
        if source is not None and (like.crs is None or like.transform.is_identity):
            raise GridrValueError(
                f"like must have a CRS and a transform, and {like.name!r} has not both", argument="like"
            )
        return TargetRaster(like.crs, None if like.transform.is_identity else like.transform, like.shape)
    if source is None:  # a callable
        if shape is None:
            raise GridrValueError("shape or like must be given with a callable source", argument="shape")
        place = None if transform is None else _affine(transform)
        return TargetRaster(None if crs is None else _crs(crs), place, checks.integer_pair(shape, "shape", minimum=1))
    if crs is None:
        raise GridrValueError("crs must be given with transform and shape, or pixel_size and bounds", argument="crs")
    if transform is not None or shape is not None:
        missing = "transform" if transform is None else "shape" if shape is None else None
        if missing:
            raise GridrValueError(f"{missing} must be given: transform and shape go together", argument=missing)
        return TargetRaster(_crs(crs), _affine(transform), checks.integer_pair(shape, "shape", minimum=1))
    return _default_target(source, _crs(crs), pixel_size, bounds, called)


def _default_target(source: Any, crs: CRS, pixel_size: Any, bounds: Any, called: str) -> TargetRaster:
    """Take what is not said from what GDAL proposes for the source."""
    size = None if pixel_size is None else _sizes(pixel_size)
    edges = None if bounds is None else _bounds(bounds)
    if size is None or edges is None:
        transform, shape = _proposed(source, crs, size, called)
        if edges is None:
            return TargetRaster(crs, transform, shape)
        size = (transform.a, -transform.e)
    (left, bottom, right, top), (x, y) = edges, size
    # What is a whole number but for rounding is that number.
    rows, cols = (max(1, ceil(length / each - 1e-6)) for length, each in ((top - bottom, y), (right - left, x)))
    return TargetRaster(crs, rasterio.Affine(x, 0.0, left, 0.0, -y, top), (rows, cols))


def _proposed(source: Any, crs: CRS, size: tuple[float, float] | None, called: str) -> tuple[rasterio.Affine, Pair]:
    """Return GDAL's transform and shape for a source in another CRS, and pixels of this size, if it is said."""
    height, width = source.shape
    points, points_crs = source.gcps
    place: dict[str, Any]
    if source.crs is not None and not source.transform.is_identity:
        place, its_crs = dict(zip(("left", "bottom", "right", "top"), source.bounds, strict=True)), source.crs
    elif source.rpcs is not None:
        check_solvable(source, "rpc", called)
        place, its_crs = {"rpcs": source.rpcs}, CRS.from_epsg(4326)
    elif points:
        check_solvable(source, "gcps", called)
        place, its_crs = {"gcps": points}, points_crs
    else:
        raise GridrValueError(
            f"{called} must have a CRS and a transform, RPCs or ground control points, and {source.name!r} has none",
            argument=called,
        )
    try:
        transform, its_width, its_height = calculate_default_transform(
            its_crs, crs, width, height, **place, resolution=size
        )
    except gdal_errors() as error:
        raise DatasetError(
            f"{called}: GDAL proposes no target for {source.name!r}: {reason_of(error)}; transform and shape, or "
            "pixel_size and bounds, say one",
            argument=called,
        ) from error
    return transform, (its_height, its_width)


def _sizes(value: Any) -> tuple[float, float]:
    x, y = checks.real_pair(value, "pixel_size") if isinstance(value, Sequence) else (value, value)
    x, y = (checks.number(each, "pixel_size") for each in (x, y))
    if not (x > 0 and y > 0 and np.isfinite([x, y]).all()):
        raise GridrValueError(f"pixel_size must be positive, not {value!r}", argument="pixel_size")
    return float(x), float(y)


def _bounds(value: Any) -> tuple[float, float, float, float]:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 4:
        raise GridrTypeError(f"bounds must be (left, bottom, right, top), not {value!r}", argument="bounds")
    left, bottom, right, top = (float(checks.number(each, "bounds")) for each in value)
    if not (left < right and bottom < top and np.isfinite(value).all()):
        raise GridrValueError(f"bounds must have left < right and bottom < top, not {value!r}", argument="bounds")
    return left, bottom, right, top


def _crs(value: Any) -> CRS:
    crs: CRS = crs_from(value, "crs")
    if not (crs.is_projected or crs.is_geographic) or crs.to_epsg() == 4978:
        raise GridrValueError(f"crs must be of a map, projected or geographic, and {value!r} is not", argument="crs")
    return crs


def _affine(value: Any) -> rasterio.Affine:
    try:
        affine = rasterio.Affine(*(float(checks.number(each, "transform")) for each in tuple(value)[:6]))
    except TypeError as error:
        raise GridrTypeError(
            f"transform must have six coefficients (a, b, c, d, e, f), not {value!r}", argument="transform"
        ) from error
    if affine.determinant == 0 or not np.isfinite(affine.determinant):
        raise GridrValueError(f"transform must be invertible, and {tuple(affine)[:6]} is not", argument="transform")
    return affine
