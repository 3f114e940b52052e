"""Input files of `densify`: which are opened, and why others are not. Nothing is asked of the network.

Only plain local rasters are read: GeoTIFF (COG too) and ENVI, by an allow-list of GDAL's drivers, so that a file whose
name says .tif and whose content is XML is not followed anywhere. A VRT is read where the caller allows it, and only as
a mosaic of such rasters (`vrt`).
"""

from __future__ import annotations

import errno
import gzip
import os
import re
import reprlib
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Protocol
from xml.etree import ElementTree

import numpy as np
import rasterio
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile

from ..errors import DatasetError, GridrTypeError, GridrValueError
from .bands import BandSource
from .gdal import OPENED_BESIDE, check_name
from .vrt import hold_source, read_mosaic, sources_by_path

DRIVERS = ("GTiff", "ENVI")

#: GDAL reads blocks whole, so a raster of one huge block cannot be read window by window.
BLOCK_BYTES_AT_MOST = 256_000_000


def local_path(value: object, name: str) -> Path:
    """Take the path of a local file: not a URL, and nothing that GDAL would take for one of its file systems."""
    if not isinstance(value, str | PathLike) or isinstance(value, bytes):
        raise GridrTypeError(f"{name} must be a path, not {value!r}", argument=name)
    text = fspath(value)
    if not isinstance(text, str):
        raise GridrTypeError(f"{name} must be a path, and {text!r} is bytes: see os.fsdecode", argument=name)
    if not text:
        raise GridrValueError(f"{name} must be a path, not an empty string", argument=name)
    if "\0" in text:
        raise GridrValueError(f"{name} must be a path, and {_quoted(text)} holds a NUL", argument=name)
    if re.match(r"^[A-Za-z][\w+.-]*:", text) or text.startswith(("/vsi", "\\\\")) or text.lstrip().startswith("<"):
        raise GridrValueError(
            f"{name} must be the path of a local file, not {_quoted(text)}: only local files are read", argument=name
        )
    try:
        os.stat(text)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENAMETOOLONG):  # what is not there is said by those who need it
            raise DatasetError(f"{name}: {_quoted(text)} is no path: {error.strerror}", argument=name) from error
    return Path(text)


# Longer than paths are: what came in the place of one, such as WKT.
_QUOTED_AT_MOST = 1024


def _quoted(text: str) -> str:
    """Return a path as errors show it."""
    return repr(text) if len(text) <= _QUOTED_AT_MOST else reprlib.repr(text)


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

    def tags(self) -> dict[str, str]:
        """Metadata of the dataset."""

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
        For a file that is missing, cannot be opened, or is raw and smaller than its header says.
    """
    path = local_path(value, name)
    check_name(path, name)
    if not path.is_file():
        raise DatasetError(f"{name}: there is no file {str(path)!r}", argument=name)
    with ExitStack() as stack:
        if path.suffix.lower() != ".vrt":
            dataset = stack.enter_context(_opened_by_one(path, name, DRIVERS))
            _check_raw_size(dataset, path, name)
            _check_companions(dataset, path, name)
        elif allow_vrt:
            dataset = stack.enter_context(_opened_mosaic(path, name))
        else:
            raise GridrValueError(
                f"{name}: {str(path)!r} is a VRT, which may name any other file; see allow_vrt", argument=name
            )
        _check_blocks(dataset, name)
        yield dataset


def open_grid(stack: ExitStack, grid: object, *, allow_vrt: bool) -> tuple[OpenRaster, OpenRaster | None]:
    """Open a grid in one file or a pair of files, to be closed by the stack; without a second, its place holds None.

    One that is held in memory is open.
    """
    if isinstance(grid, HeldRaster):
        return grid, None
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


def _check_companions(dataset: Any, path: Path, name: str) -> None:
    """Refuse overviews and masks in other files that are no GeoTIFFs: GDAL opens them with any of its drivers.

    It does so when asked for a dataset's files, and not before.
    """
    if "OVERVIEW_FILE" in (key.upper() for key in dataset.tags(ns="OVERVIEWS")):
        raise GridrValueError(
            f"{name}: {str(path)!r} names another file for its overviews, in its tags or those beside it (.aux.xml), "
            "and only files that are asked for are opened",
            argument=name,
        )
    names = [path.name.lower() + suffix for suffix in OPENED_BESIDE]
    try:
        companions = [path.with_name(each) for each in os.listdir(path.parent) if each.lower() in names]
    except OSError as error:
        raise DatasetError(
            f"{name}: what lies beside {str(path)!r} cannot be listed: {error.strerror}", argument=name
        ) from error
    for companion in companions:
        with _opened_by_one(companion, f"{name}: beside {str(path)!r}", ("GTiff",)) as beside:
            _check_companions(beside, companion, name)


def _check_raw_size(dataset: Any, path: Path, name: str) -> None:
    """Refuse a raw file that ends before its last pixel: GDAL would read zeros there."""
    if dataset.driver != "ENVI":
        return
    header = {key.lower(): value for key, value in dataset.tags(ns="ENVI").items()}
    height, width = dataset.shape
    expected = _leading_integer(header.get("header_offset", "0"))
    expected += height * width * sum(_bytes_of(dtype) for dtype in dataset.dtypes)
    compressed = _leading_integer(header.get("file_compression", "0")) != 0
    size = _unpacked_size(path, name, expected) if compressed else path.stat().st_size
    if size < expected:
        raise DatasetError(
            f"{name}: {str(path)!r} must have {expected:,} bytes by its header ({height} x {width} pixels, bands of "
            f"{', '.join(dataset.dtypes)}), and has {size:,}: it was cut short, or the header is another file's",
            argument=name,
        )


def _leading_integer(text: str) -> int:
    """Read a number as GDAL does, up to what is none."""
    digits = re.match(r"\s*(\d+)", text)
    return 0 if digits is None else int(digits[1])


def _unpacked_size(path: Path, name: str, enough: int) -> int:
    """Return what a gzip file holds, counted no further than is enough."""
    size = 0
    try:
        with gzip.open(path) as file:
            while size < enough and (part := file.read(1 << 20)):
                size += len(part)
    except EOFError:  # cut short
        return size
    except (OSError, zlib.error) as error:
        raise DatasetError(f"{name}: {str(path)!r} cannot be unpacked: {error}", argument=name) from error
    return size


def _check_blocks(dataset: Any, name: str) -> None:
    for (height, width), dtype in zip(dataset.block_shapes, dataset.dtypes, strict=True):
        size = height * width * _bytes_of(dtype)
        if size > BLOCK_BYTES_AT_MOST:
            raise GridrValueError(
                f"{name}: {dataset.name!r} has blocks of {height} x {width} pixels, {size / 1e6:.0f} MB each; at most "
                f"{BLOCK_BYTES_AT_MOST / 1e6:.0f} MB can be read window by window",
                argument=name,
            )


def _bytes_of(dtype: str) -> int:
    """Return the bytes of a number of a type, of which rasterio has one that numpy has not."""
    return 4 if dtype == "complex_int16" else np.dtype(dtype).itemsize


@contextmanager
def _opened_mosaic(path: Path, name: str) -> Iterator[Any]:
    """Open what was read of a VRT, with its sources held to what they were checked as."""
    mosaic, files, where = read_mosaic(path, name), [str(path)], f"{name}: a source of {str(path)!r}"
    for text, sources in sources_by_path(mosaic, path.resolve().parent).items():  # GDAL follows links too
        inner = local_path(text, where)
        with open_raster(inner, where) as dataset:
            files += dataset.files
            try:
                for source in sources:
                    hold_source(source, inner, dataset)
            except ValueError as error:
                raise GridrValueError(f"{name}: {str(path)!r} names {error}", argument=name) from None
    with MemoryFile(ElementTree.tostring(mosaic), ext=".vrt") as memory:
        try:
            dataset = memory.open(driver="VRT")
        except (RasterioError, OSError) as error:
            raise DatasetError(f"{name}: {str(path)!r} cannot be opened as VRT: {error}", argument=name) from error
        with dataset:
            yield HeldRaster(dataset, files[0], files)


class HeldRaster:
    """A dataset in memory that goes by a name, such as of the file that it was made of, with all files behind it."""

    def __init__(self, dataset: Any, name: str, files: Sequence[str] = ()) -> None:
        self._dataset = dataset
        self.name, self.files = name, files

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dataset, name)
