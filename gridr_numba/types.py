"""Enumerations, constants and small value types that every layer shares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Any, Protocol, Union

import numpy as np
from numpy.typing import NDArray


class Validity(IntEnum):
    """GRIDR's convention for the validity of a pixel."""

    INVALID = 0
    VALID = 1


class GridRIOMode(IntEnum):
    """Which raster `io_strip_size` counts the rows of."""

    INPUT = 1
    OUTPUT = 2


class GridRasterizeAlg(IntEnum):
    """How polygons become pixels."""

    RASTERIO_RASTERIZE = 1
    SHAPELY = 2


class ShapelyPredicate(IntEnum):
    """Which pixel centres belong to a polygon: COVERS and INTERSECTS take the boundary, CONTAINS does not."""

    COVERS = 1
    CONTAINS = 2
    INTERSECTS = 3


class Cause(IntFlag):
    """Why a pixel is invalid; the kernels work in these bits and recode them last. No bit set is valid."""

    RASTER_MASK = 1
    NODE = 2
    OUTSIDE_VALID = 4
    INSIDE_INVALID = 8


#: Of a data type that is checked, or that the caller chose.
AnyArray = NDArray[Any]
AnyDtype = np.dtype[Any]

#: A pair along rows and along columns, in this order.
Pair = tuple[int, int]

#: Called with (pixels done, pixels in all).
Progress = Callable[[int, int], object]

#: Told of what is no error and yet looks wrong, in a sentence.
Warn = Callable[[str], None]

MASK_BINARY_THRESHOLD = 0.999
DEFAULT_IO_STRIP_SIZE = 1000
DEFAULT_CPU_TILE_SHAPE = (1000, 1000)
DEFAULT_NCPU = 1
DEFAULT_MEMORY_BUDGET = 256 << 20


class SupportsGeoInterface(Protocol):
    """Anything that can show itself as GeoJSON."""

    @property
    def __geo_interface__(self) -> dict[str, Any]: ...


#: What counts as polygons: shapely polygons, multipolygons and collections of these, GeoJSON-like mappings and objects,
#: and (nested) sequences and arrays of all of them. shapely is named, not imported: see the package's `__init__`.
GeometryType = Union[
    "shapely.Polygon",  # type: ignore[name-defined]  # noqa: F821
    "shapely.MultiPolygon",  # type: ignore[name-defined]  # noqa: F821
    "shapely.GeometryCollection",  # type: ignore[name-defined]  # noqa: F821
    SupportsGeoInterface,
    dict[str, Any],
    Sequence["GeometryType"],
]


@dataclass(frozen=True)
class RasterizeOptions:
    """What `rasterize_kwargs` says, checked: the algorithm, and the predicate where the algorithm is SHAPELY."""

    alg: GridRasterizeAlg = GridRasterizeAlg.SHAPELY
    predicate: ShapelyPredicate = ShapelyPredicate.COVERS
