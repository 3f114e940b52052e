"""When two coordinate reference systems are the same: for a raster, that is their horizontal part."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import rasterio
from rasterio.crs import CRS
from rasterio.errors import CRSError


def same_crs(crs: Any, other: Any) -> bool:
    """Say whether two `rasterio.crs.CRS` are one to PROJ: however they are written, and whatever they say of heights.

    The order of axes does not count either: a raster's are (x, y). A datum that differs does.
    """
    if crs == other:
        return True
    with rasterio.Env():  # else GDAL prints what it also raises
        crs, other = _horizontal(crs), _horizontal(other)
        return bool(crs == other) or (crs.to_authority() is not None and crs.to_authority() == other.to_authority())


def _horizontal(crs: Any) -> Any:
    """Return the horizontal part of a CRS; what PROJ cannot describe comes as it went."""
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
