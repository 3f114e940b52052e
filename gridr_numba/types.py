"""Enumerations, constants and small value types that every layer shares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag, StrEnum
from os import PathLike
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, Union

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Red, green and blue, 0 to 255 each.
Colour = tuple[int, int, int]

#: Of valid pixels, and of invalid ones where nothing says why.
VALID_COLOUR: Colour = (45, 160, 155)
INVALID_COLOUR: Colour = (30, 30, 38)


class Validity(IntEnum):
    """GRIDR's convention for the validity of a pixel.

    Examples
    --------
    >>> from gridr_numba import Validity
    >>> int(Validity.VALID), int(Validity.INVALID)
    (1, 0)
    """

    INVALID = 0
    VALID = 1


class GridRIOMode(IntEnum):
    """Which raster `io_strip_size` counts the rows of.

    Examples
    --------
    >>> from gridr_numba import GridRIOMode
    >>> [mode.name for mode in GridRIOMode]
    ['INPUT', 'OUTPUT']
    """

    INPUT = 1
    OUTPUT = 2


class GridRasterizeAlg(IntEnum):
    """How polygons become pixels.

    Examples
    --------
    >>> from gridr_numba import GridRasterizeAlg
    >>> GridRasterizeAlg(2).name
    'SHAPELY'
    """

    RASTERIO_RASTERIZE = 1
    SHAPELY = 2


class ShapelyPredicate(IntEnum):
    """Which pixel centres belong to a polygon: COVERS and INTERSECTS take the boundary, CONTAINS does not.

    Examples
    --------
    >>> from gridr_numba import GridRasterizeAlg, ShapelyPredicate
    >>> open_sets = {"alg": GridRasterizeAlg.SHAPELY, "kwargs_alg": {"shapely_predicate": ShapelyPredicate.CONTAINS}}
    """

    COVERS = 1
    CONTAINS = 2
    INTERSECTS = 3


class Interpolation(StrEnum):
    """How a pixel is made of those of a source image.

    Attributes
    ----------
    support : int
        The most pixels on each side, along rows and along columns, that it is made of: its taps.

    Examples
    --------
    >>> from gridr_numba import Interpolation
    >>> [(each.value, each.support) for each in Interpolation]
    [('nearest', 1), ('linear', 1), ('cubic', 2), ('lanczos3', 3)]
    """

    support: int

    def __new__(cls, name: str, support: int) -> Interpolation:
        """Make a member that is its name."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.support = support
        return member

    NEAREST = "nearest", 1
    LINEAR = "linear", 1
    CUBIC = "cubic", 2
    LANCZOS3 = "lanczos3", 3


class Cause(IntFlag):
    """Why a pixel is invalid; the kernels work in these bits and recode them last. No bit set is valid.

    A pixel with several causes counts under the first, which is the lowest bit. The numbers are in files that users
    have. Whatever is said of causes elsewhere (reports, legends, help, the types that hold them) is taken from here.

    Attributes
    ----------
    label : str
        A few words for legends.
    help : str
        What is wrong with such a pixel.
    advice : str
        What to look at where it is wrong with all pixels.
    colour_name : str
    colour : tuple of int
        In pictures.

    Examples
    --------
    >>> from gridr_numba import Cause
    >>> Cause(9).name, Cause.NODE.label, Cause.NODE.key
    ('RASTER_MASK|INSIDE_INVALID', 'node', 'node')
    """

    label: str
    help: str
    advice: str
    colour_name: str
    colour: Colour

    def __new__(cls, bit: int, label: str, help: str, advice: str, colour_name: str, colour: Colour) -> Cause:
        """Make a member that is its bit."""
        member = int.__new__(cls, bit)
        member._value_ = bit
        member.label, member.help, member.advice = label, help, advice
        member.colour_name, member.colour = colour_name, colour
        return member

    RASTER_MASK = (
        *(1, "raster mask", "too few of its nodes are valid in the coarse mask"),
        "look at mask_valid_value, mask_band and threshold",
        *("red", (205, 40, 45)),
    )
    NODE = (
        *(2, "node", "it has no coordinates: one of its nodes has none, or they overflow"),
        "look at the grid's nodata tag, and at grid_nodata",
        *("orange", (235, 140, 30)),
    )
    OUTSIDE_VALID = (
        *(4, "outside valid", "it is in no valid polygon"),
        "look at valid, geometry_crs and geometry_origin",
        *("dark", INVALID_COLOUR),
    )
    INSIDE_INVALID = (
        *(8, "inside invalid", "it is in an invalid polygon"),
        "look at invalid, geometry_crs and geometry_origin",
        *("white", (255, 255, 255)),
    )
    OUTSIDE_SOURCE = (
        *(16, "outside source", "its coordinates lie outside the source image"),
        "look at source, source_offset, and the order of the bands (see grid_order)",
        *("purple", (130, 60, 160)),
    )
    SOURCE_INVALID = (
        *(32, "source invalid", "it would be made of invalid pixels of the source image, or is too large for its type"),
        "look at the image's nodata tag and masks, at nodata and at source_mask",
        *("blue", (50, 110, 220)),
    )

    @property
    def key(self) -> str:
        """What reports call it."""
        return str(self.name).lower()


#: Of a data type that is checked, or that the caller chose. numpy is named, not imported, here: the command line's help
#: lists causes, and does not wait for numpy.
AnyArray: TypeAlias = "NDArray[Any]"
AnyDtype: TypeAlias = "np.dtype[Any]"

#: A pair along rows and along columns, in this order.
Pair = tuple[int, int]

#: The least and the largest.
Range = tuple[float, float]

#: A file's name.
FilePath = str | PathLike[str]

#: Two pairs of integers, of rows and of columns; what they mean, half-open or inclusive, the door says.
WindowPairs: TypeAlias = "Sequence[Sequence[int]] | NDArray[np.integer[Any]]"

#: Called with (pixels done, pixels in all).
Progress = Callable[[int, int], object]

#: Told of what is no error and yet looks wrong, in a sentence.
Warn = Callable[[str], None]

#: What an image may hold that is resampled: float32 and float64 hold all of it.
IMAGE_DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")

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


class SupportsWkt(Protocol):
    """A coordinate reference system of rasterio or pyproj: anything that can say itself as WKT."""

    def to_wkt(self) -> str:
        """Return WKT."""


#: A coordinate reference system: an object, an EPSG code, WKT, PROJ text, or PROJJSON as a dict.
CrsLike: TypeAlias = SupportsWkt | str | int | dict[str, Any]

#: Of polygons: one CRS for all, or that of the valid and that of the invalid ones; 'pixels' is none.
GeometryCrs: TypeAlias = CrsLike | tuple[CrsLike | None, CrsLike | None] | list[CrsLike | None] | None


@dataclass(frozen=True)
class RasterizeOptions:
    """What `rasterize_kwargs` says, checked: the algorithm, and the predicate where the algorithm is SHAPELY."""

    alg: GridRasterizeAlg = GridRasterizeAlg.SHAPELY
    predicate: ShapelyPredicate = ShapelyPredicate.COVERS
