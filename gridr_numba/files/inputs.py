"""Input files of `densify`: which are opened, and why others are not. Nothing is asked of the network.

Only plain local rasters are read: GeoTIFF (COG too) and ENVI, by an allow-list of GDAL's drivers, so that a file whose
name says .tif and whose content is XML is not followed anywhere. A VRT is read where the caller allows it, and only if
every source that it names is itself a plain local raster.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Protocol
from xml.etree import ElementTree

import numpy as np
import rasterio
from rasterio.errors import RasterioError

from ..errors import DatasetError, GridrTypeError, GridrValueError
from .bands import BandSource

DRIVERS = ("GTiff", "ENVI")

#: GDAL reads blocks whole, so a raster of one huge block cannot be read window by window.
BLOCK_BYTES_AT_MOST = 256_000_000

# What a VRT may consist of: bands that are put together from rectangles of files.
_VRT_ELEMENTS = frozenset(
    [
        "VRTDataset",
        "VRTRasterBand",
        "SRS",
        "GeoTransform",
        "Metadata",
        "MDI",
        "ColorInterp",
        "Description",
        "NoDataValue",
        "NODATA",
        "Offset",
        "Scale",
        "UnitType",
        "SimpleSource",
        "ComplexSource",
        "SourceFilename",
        "SourceBand",
        "SourceProperties",
        "SrcRect",
        "DstRect",
        "ScaleOffset",
        "ScaleRatio",
        "BlockXSize",
        "BlockYSize",
    ]
)


def local_path(value: object, name: str) -> Path:
    """Take the path of a local file: not a URL, and nothing that GDAL would take for one of its file systems."""
    if not isinstance(value, str | PathLike) or isinstance(value, bytes):
        raise GridrTypeError(f"{name} must be a path, not {value!r}", argument=name)
    text = str(fspath(value))
    if not text:
        raise GridrValueError(f"{name} must be a path, not an empty string", argument=name)
    if re.match(r"^[A-Za-z][\w+.-]*:", text) or text.startswith(("/vsi", "\\\\")) or text.lstrip().startswith("<"):
        raise GridrValueError(
            f"{name} must be the path of a local file, not {text!r}: only local files are read", argument=name
        )
    return Path(text)


class OpenRaster(BandSource, Protocol):
    """What the doors ask of a file beyond its bands: where it lies, and of which files it is made."""

    @property
    def crs(self) -> Any:
        """As rasterio has it; None where it says nothing."""

    @property
    def transform(self) -> Any:
        """From pixel corners to the map; the identity where the file says nothing."""

    @property
    def gcps(self) -> tuple[Sequence[object], object]:
        """Ground control points, and their CRS."""

    @property
    def files(self) -> Sequence[str]:
        """The paths of all files that it is made of."""


@contextmanager
def open_raster(value: object, name: str, *, allow_vrt: bool = False) -> Iterator[OpenRaster]:
    """Open a plain local raster for reading.

    Raises
    ------
    GridrValueError
        For a URL, a GDAL file system, a driver that is not allowed, a VRT that is not, a block that is too large.
    DatasetError
        For a file that is missing or cannot be opened.
    """
    path = local_path(value, name)
    if not path.is_file():
        raise DatasetError(f"{name}: there is no file {str(path)!r}", argument=name)
    drivers: tuple[str, ...] = DRIVERS
    if path.suffix.lower() == ".vrt":
        if not allow_vrt:
            raise GridrValueError(
                f"{name}: {str(path)!r} is a VRT, which may name any other file; see allow_vrt", argument=name
            )
        _check_vrt(path, name)
        drivers = ("VRT",)
    with _opened_by_one(path, name, drivers) as dataset:
        _check_blocks(dataset, name)
        yield dataset


def open_grid(stack: ExitStack, grid: object, *, allow_vrt: bool) -> tuple[OpenRaster, OpenRaster | None]:
    """Open a grid in one file or a pair of files, to be closed by the stack; without a second, its place holds None."""
    if not isinstance(grid, Sequence) or isinstance(grid, str | bytes):
        return stack.enter_context(open_raster(grid, "grid", allow_vrt=allow_vrt)), None
    if len(grid) != 2:
        raise GridrValueError(
            f"grid must be a path or a pair (row file, column file), not {len(grid)} of them", argument="grid"
        )
    rows, cols = (
        stack.enter_context(open_raster(path, f"grid[{index}]", allow_vrt=allow_vrt)) for index, path in enumerate(grid)
    )
    return rows, cols


def _opened_by_one(path: Path, name: str, drivers: tuple[str, ...]) -> Any:
    reasons = []
    for driver in drivers:
        try:
            return rasterio.open(path, driver=driver)
        except (RasterioError, OSError) as error:
            reasons.append(str(error))
    raise DatasetError(
        f"{name}: {str(path)!r} cannot be opened as {' or '.join(drivers)}: {'; '.join(reasons)}", argument=name
    )


def _check_blocks(dataset: Any, name: str) -> None:
    for (height, width), dtype in zip(dataset.block_shapes, dataset.dtypes, strict=True):
        size = height * width * np.dtype(dtype).itemsize
        if size > BLOCK_BYTES_AT_MOST:
            raise GridrValueError(
                f"{name}: {dataset.name!r} has blocks of {height} x {width} pixels, {size / 1e6:.0f} MB each; at most "
                f"{BLOCK_BYTES_AT_MOST / 1e6:.0f} MB can be read window by window",
                argument=name,
            )


def _check_vrt(path: Path, name: str) -> None:
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise GridrValueError(f"{name}: {str(path)!r} is not XML: {error}", argument=name) from error
    for element in root.iter():
        if element.tag not in _VRT_ELEMENTS or "subClass" in element.attrib:
            kind = element.attrib.get("subClass", element.tag)
            raise GridrValueError(
                f"{name}: {str(path)!r} holds a {kind}, and only mosaics of local rasters are read", argument=name
            )
    for source in root.iter("SourceFilename"):
        inner = local_path((source.text or "").strip(), f"{name}: a source of {str(path)!r}")
        if source.attrib.get("relativeToVRT", "0") == "1":
            inner = path.parent / inner
        with open_raster(inner, f"{name}: a source of {str(path)!r}"):
            pass
