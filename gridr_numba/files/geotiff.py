"""GeoTIFF, a format of outputs."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import rasterio
import rasterio.shutil
from rasterio.enums import Interleaving

from ..errors import DatasetError, GridrTypeError, GridrValueError
from ..types import AnyArray, AnyDtype
from .bands import BandSource
from .gdal import check_name, gdal_errors, reason_of
from .outputs import OutputFormat, OutputPlan, RasterLayout
from .partial import PartialFile

#: What outputs are made with where the caller does not say.
DEFAULT_CREATION_OPTIONS = {"TILED": "YES", "BLOCKXSIZE": "512", "BLOCKYSIZE": "512", "BIGTIFF": "IF_SAFER"}

#: Of rows and of columns.
LARGEST_SIDE = 2**31 - 1

_NO = ("NO", "FALSE", "OFF", "0")
_YES = ("YES", "TRUE", "ON", "1")


class GeoTiff(OutputFormat):
    """A GeoTIFF, made by GDAL's GTiff driver.

    Parameters
    ----------
    argument, path, layout
        As in `OutputFormat`.
    options : dict
        Creation options, as `gtiff_options` returns them.
    """

    def __init__(self, argument: str, path: Path, layout: RasterLayout, options: dict[str, str]) -> None:
        super().__init__(argument, path, layout)
        check_name(path, argument)
        if max(layout.shape) > LARGEST_SIDE:
            raise GridrValueError(
                f"the outputs would have {layout.shape} rows and columns, and a GeoTIFF has at most {LARGEST_SIDE} of "
                "each"
            )
        self._options = options
        self._file = PartialFile(path)
        self._dataset: Any = None

    @property
    def sidecars(self) -> list[Path]:
        """Statistics, overviews and masks, which GDAL reads beside a GeoTIFF."""
        return [self.path.with_name(self.path.name + suffix) for suffix in (".aux.xml", ".ovr", ".msk")]

    @property
    def _profile(self) -> dict[str, Any]:
        """What rasterio creates it with."""
        layout = self.layout
        (height, width), count = layout.shape, len(layout.descriptions)
        place = {"nodata": layout.nodata, "crs": layout.crs, "transform": layout.transform}
        given = {key: value for key, value in place.items() if value is not None}
        return {"height": height, "width": width, "count": count, "dtype": layout.dtype.name, **given, **self._options}

    def plan(self) -> OutputPlan:
        """Try the creation options on a file in memory."""
        (height, width), options = self.layout.shape, self._options
        # Only a striped file's height bears on its blocks, which are no taller, and only its width is theirs.
        height = min(height, max(8192, int(options.get("BLOCKYSIZE", 0))))
        if options.get("TILED", "NO").upper() in _YES:
            width = min(width, max(8192, int(options.get("BLOCKXSIZE", 0))))
        profile = {key: value for key, value in self._profile.items() if key not in ("crs", "transform")}
        profile |= {"height": height, "width": width, "SPARSE_OK": "YES"}
        path = f"/vsimem/gridr_numba/{os.getpid()}/{id(self)}/{self.path.name}"
        try:
            rasterio.open(path, "w", driver="GTiff", **profile).close()
            with rasterio.open(path, driver="GTiff") as trial:
                wanted = options.get("COMPRESS", "NONE")
                if trial.compression is None and wanted.upper() != "NONE":
                    raise GridrValueError(
                        f"creation_options: GDAL does not know, and would ignore, COMPRESS={wanted}",
                        argument="creation_options",
                    )
                block_shape = trial.block_shapes[0]
        except gdal_errors() as error:
            raise GridrValueError(
                f"creation_options: GDAL refuses them: {reason_of(error)}", argument="creation_options"
            ) from error
        finally:
            with suppress(*gdal_errors()):
                rasterio.shutil.delete(path)
        return OutputPlan(block_shape, None if "COMPRESS" in options else self._size(block_shape))

    def _size(self, block_shape: tuple[int, int]) -> int:
        """Return the bytes of all blocks, uncompressed. Those on the edges are whole, but not a striped file's last."""
        (height, width), (block_height, block_width) = self.layout.shape, block_shape
        if block_width == width:
            return height * width * self.layout.bytes_per_pixel
        blocks = -(-height // block_height) * -(-width // block_width)
        return blocks * block_height * block_width * self.layout.bytes_per_pixel

    def create(self) -> None:
        """Make the partial file."""
        # GDAL looks into a file that it replaces, and fails where a process of the same number was killed while it
        # wrote it.
        self._file.remove()
        try:
            self._dataset = rasterio.open(self.partial, "w", driver="GTiff", **self._profile)
        except gdal_errors() as error:
            reason = reason_of(error)
            raise DatasetError(
                f"{self.argument}: {self.name!r} cannot be created: {reason}", argument=self.argument
            ) from error
        self._file.created()
        for index, text in enumerate(self.layout.descriptions, start=1):
            self._dataset.set_band_description(index, text)
        tags = {key: text.encode(errors="replace").decode() for key, text in self.layout.tags.items()}
        self._dataset.update_tags(**tags)  # with names of files, which need not be UTF-8

    def write_bands(self, values: AnyArray, indexes: list[int], window: object) -> None:
        """Write to the partial file."""
        self._dataset.write(values, indexes, window=window)

    def close(self) -> None:
        """Write what GDAL still holds."""
        try:
            self._dataset.close()
        except gdal_errors() as error:
            raise DatasetError(
                f"{self.argument}: cannot write {self.name!r}: {reason_of(error)}", argument=self.argument
            ) from error

    def reopened(self) -> AbstractContextManager[BandSource]:
        """Open the closed partial file."""
        dataset: AbstractContextManager[BandSource] = rasterio.open(self.partial, driver="GTiff")
        return dataset

    def check(self) -> None:
        """Refuse a file whose blocks are not all within it, since rasterio is silent where closing a file fails.

        That is what can be known without reading them.
        """
        with self.rereading() as reopened:
            size = self.partial.stat().st_size
            dataset: Any = reopened
            first = _place_of_block(dataset, 1, 0, 0)
            whole = self._size(self.planned.block_shape)
            if dataset.compression is None and first is not None and size >= first[0] + whole:
                return  # Blocks of one size, one after another: no need to ask for each.
            sparse = self._options.get("SPARSE_OK", "NO").upper() in _YES
            bands = 1 if dataset.interleaving is Interleaving.pixel else dataset.count
            for index in range(1, bands + 1):
                for (row, col), _ in dataset.block_windows(index):
                    place = _place_of_block(dataset, index, row, col)
                    if not sparse if place is None else sum(place) > size:
                        raise DatasetError(
                            f"{self.argument}: block ({row}, {col}) of band {index} of {self.name!r} was not written "
                            "whole; nothing was replaced",
                            argument=self.argument,
                        )

    def discard(self) -> None:
        """Close and remove what is there of the partial file."""
        if self._dataset is not None and not self._dataset.closed:
            discard_dataset(self._dataset)
        self._file.remove()

    def flush(self) -> None:
        """Wait for the disk."""
        descriptor = os.open(self.partial, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def publish(self, *, overwrite: bool) -> None:
        """Put it in its place."""
        self._file.put(overwrite=overwrite)

    @property
    def replaced(self) -> bool:
        """Whether it is in its place, and something else was there."""
        return self._file.replaced

    def withdraw(self) -> None:
        """Remove it from its place, if nothing was there."""
        self._file.withdraw()


def _place_of_block(dataset: Any, index: int, row: int, col: int) -> tuple[int, int] | None:
    """Return where a block starts in its file and its bytes; None where it was never written."""
    place = [dataset.get_tag_item(f"BLOCK_{key}_{col}_{row}", "TIFF", bidx=index) for key in ("OFFSET", "SIZE")]
    return None if None in place else (int(place[0]), int(place[1]))


def discard_dataset(dataset: Any) -> None:
    """Close a dataset whose file nobody wants."""
    with suppress(*gdal_errors()):
        # Closing, GDAL writes nodata to blocks that never were; without it, they are zeros, left to the file system.
        dataset.nodata = None
    with suppress(*gdal_errors()):
        dataset.close()


def gtiff_options(value: object, dtype: AnyDtype) -> dict[str, str]:
    """Take GTiff creation options over the defaults, for a file of this type; refuse those that would lose digits."""
    if value is not None and not isinstance(value, dict):
        raise GridrTypeError(f"creation_options must be a dict or None, not {value!r}", argument="creation_options")
    options = {**DEFAULT_CREATION_OPTIONS, **{str(key).upper(): str(item) for key, item in (value or {}).items()}}
    if options["TILED"].upper() in _NO:
        options.pop("BLOCKXSIZE", None)
        if value is None or "BLOCKYSIZE" not in {str(key).upper() for key in value}:
            options.pop("BLOCKYSIZE", None)
    for key in ("BLOCKXSIZE", "BLOCKYSIZE"):
        if not options.get(key, "1").isdecimal():
            raise GridrValueError(
                f"creation_options[{key!r}] must be a positive integer, not {options[key]!r}",
                argument="creation_options",
            )
    for key in ("TFW", "WORLDFILE"):
        if options.get(key, "NO").upper() not in _NO:
            raise GridrValueError(
                f"creation_options: {key} is of a second file; the outputs hold their own transform",
                argument="creation_options",
            )
    if options.get("PROFILE", "GDALGeoTIFF").upper() != "GDALGEOTIFF":
        raise GridrValueError(
            f"creation_options: PROFILE={options['PROFILE']} would lose names of bands and tags",
            argument="creation_options",
        )
    if options.get("PREDICTOR") == "3" and dtype.kind != "f":
        options["PREDICTOR"] = "2"  # 3 is floating point's alone, and one set of options is for the grid and its mask
    lossy: list[tuple[str, Callable[[str], bool]]] = [
        ("NBITS", lambda text: int(text) < dtype.itemsize * 8),
        ("DISCARD_LSB", lambda text: any(int(part) for part in text.split(","))),
        ("MAX_Z_ERROR", lambda text: float(text) != 0),
        ("COMPRESS", lambda text: text.upper() in ("JPEG", "WEBP", "JXL")),
    ]
    for key, loses in lossy:
        if key in options:
            try:
                lost = loses(options[key])
            except ValueError:
                raise GridrValueError(
                    f"creation_options[{key!r}] must be a number, not {options[key]!r}", argument="creation_options"
                ) from None
            if lost:
                raise GridrValueError(
                    f"creation_options: {key}={options[key]} would lose digits", argument="creation_options"
                )
    return options
