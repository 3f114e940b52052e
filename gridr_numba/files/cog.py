"""Cloud optimised GeoTIFF, a format of outputs."""

from __future__ import annotations

import os
import shutil
import stat
from dataclasses import replace
from pathlib import Path

import rasterio.shutil

from ..errors import DatasetError
from ..types import AnyArray, AnyDtype
from .gdal import gdal_errors, reason_of
from .geotiff import GeoTiff, blocks_of, check_block_size, lossless, option_texts, refused
from .outputs import OutputPlan, RasterLayout

#: What outputs are made with where the caller does not say.
DEFAULT_CREATION_OPTIONS = {"COMPRESS": "NONE", "BLOCKSIZE": "512", "BIGTIFF": "IF_SAFER"}

# Rows and columns, at most, of the file that creation options are tried on.
_TRIAL = 16


class Cog(GeoTiff):
    """A cloud optimised GeoTIFF, made by GDAL's COG driver as a copy of an uncompressed tiled GeoTIFF.

    Both are at the partial path, one after the other: the copy takes it over when the file is closed.

    Parameters
    ----------
    argument, path, layout
        As in `OutputFormat`.
    options : dict
        Creation options, as `cog_options` returns them.
    """

    # A block's size before it, its last bytes once more behind it.
    _around_a_block = (4, 4)

    def __init__(self, argument: str, path: Path, layout: RasterLayout, options: dict[str, str]) -> None:
        given = {"OVERVIEWS": "NONE"}
        if layout.overviews:
            given = {"OVERVIEWS": "AUTO", "OVERVIEW_RESAMPLING": layout.overviews.upper()}
        super().__init__(argument, path, layout, {**given, **options})
        tiles = {"TILED": "YES", "BLOCKXSIZE": options["BLOCKSIZE"], "BLOCKYSIZE": options["BLOCKSIZE"]}
        plain = replace(layout, overviews=None)
        self._source = GeoTiff(argument, path, plain, {**tiles, "BIGTIFF": "IF_SAFER"})
        self._file = self._source._file

    @property
    def _workshop(self) -> Path:
        """The folder where the copy is made, with what the driver makes beside it; nobody else can read there."""
        return self.partial.with_suffix(".copying")

    @property
    def _smallest_overview(self) -> int:
        return int(self._options["BLOCKSIZE"])

    @property
    def room(self) -> int:
        """The bytes of both files, and of the overviews, which the driver makes in a third."""
        overviews = self._size(self.planned.block_shape, self._overview_factors)
        return self._source.room + super().room + overviews

    def plan(self) -> OutputPlan:
        """Try the creation options on a file in memory."""
        small = {key: value for key, value in self._source.profile.items() if key not in ("crs", "transform")}
        small |= {"height": min(self.shape[0], _TRIAL), "width": min(self.shape[1], _TRIAL)}
        with self._trial() as path, self._trial() as source:
            self._opened(source, small).close()
            rasterio.shutil.copy(source, path, driver="COG", **self._options)
            block_shape, compressed = blocks_of(path)
        return OutputPlan(block_shape, None if compressed else self._size(block_shape, (1, *self._overview_factors)))

    def create(self) -> None:
        """Make the file that is then copied."""
        self._source.create()

    def write_bands(self, values: AnyArray, indexes: list[int], window: object) -> None:
        """Write to the file that is then copied."""
        self._source.write_bands(values, indexes, window)

    def close(self) -> None:
        """Close what was written, and have it copied."""
        self._source.close()
        self._source.check()  # GDAL would copy a block that is not there as one of nodata
        copy = self._workshop / "copy"
        try:
            shutil.rmtree(self._workshop, ignore_errors=True)  # of a killed run
            self._workshop.mkdir(0o700)
            rasterio.shutil.copy(self.partial, copy, driver="COG", **self._options)
            copy.chmod(stat.S_IMODE(self.partial.stat().st_mode))
            os.replace(copy, self.partial)
            self._file.created()
            self._workshop.rmdir()
        except gdal_errors() as error:
            raise DatasetError(
                f"{self.argument}: cannot write {self.name!r}: {reason_of(error)}", argument=self.argument
            ) from error

    def check_beside_pixels(self) -> None:
        """Refuse a file whose overviews are not all within it, or whose end is not that of its last block."""
        super().check_beside_pixels()
        row, col = ((size - 1) // block for size, block in zip(self.shape, self.planned.block_shape, strict=True))
        with self.rereading() as dataset:
            self._check_block(dataset, None, 1, row, col)

    def discard(self) -> None:
        """Close and remove what is there of both files."""
        self._source.discard()
        shutil.rmtree(self._workshop, ignore_errors=True)


def cog_options(value: object, dtype: AnyDtype) -> dict[str, str]:
    """Take COG creation options over the defaults, for a file of this type; refuse those that would lose digits."""
    options = {**DEFAULT_CREATION_OPTIONS, **option_texts(value)}
    check_block_size(options, "BLOCKSIZE")
    for key in ("OVERVIEWS", "OVERVIEW_COUNT"):
        if key in options:
            raise refused(f"{key} is not taken; overviews=True makes overviews")
    for key in ("TARGET_SRS", "RES", "EXTENT", "TILING_SCHEME"):
        if options.get(key, "CUSTOM").upper() != "CUSTOM":
            raise refused(f"{key}={options[key]} would bring the pixels elsewhere")
    return lossless(options, dtype)
