"""GeoTIFF, a format of outputs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import rasterio
import rasterio.shutil
from rasterio.enums import Interleaving, Resampling
from rasterio.io import MemoryFile

from ..errors import DatasetError, GridrTypeError, GridrValueError
from ..types import AnyArray, AnyDtype, Pair
from .bands import BandSource
from .gdal import READ_BESIDE, check_name, gdal_errors, gdal_warnings, open_own, reason_of
from .inputs import HeldRaster
from .outputs import OutputFormat, OutputPlan, RasterLayout
from .partial import PartialFile, sync

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

    # Bytes that the driver writes before and after each block.
    _around_a_block = (0, 0)

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
        return [self.path.with_name(self.path.name + suffix) for suffix in READ_BESIDE]

    @property
    def profile(self) -> dict[str, Any]:
        """What rasterio creates it with."""
        return {**_profile_of(self.layout), **self._options}

    def plan(self) -> OutputPlan:
        """Try the creation options on a file in memory."""
        (height, width), options = self.layout.shape, self._options
        # Only a striped file's height bears on its blocks, which are no taller, and only its width is theirs.
        height = min(height, max(8192, int(options.get("BLOCKYSIZE", 0))))
        if options.get("TILED", "NO").upper() in _YES:
            width = min(width, max(8192, int(options.get("BLOCKXSIZE", 0))))
        profile = {key: value for key, value in self.profile.items() if key not in ("crs", "transform")}
        with self._trial() as path:
            self._opened(path, profile | {"height": height, "width": width, "SPARSE_OK": "YES"}).close()
            block_shape, compressed = blocks_of(path)
        return OutputPlan(block_shape, None if compressed else self._size(block_shape, (1, *self._overview_factors)))

    @contextmanager
    def _trial(self) -> Iterator[str]:
        """Give a path in memory to try creation options at; refuse what GDAL refuses, and what it warns of."""
        path = f"/vsimem/gridr_numba/{os.getpid()}/{uuid4().hex}/{self.path.name}"
        try:
            with gdal_warnings() as warned:
                yield path
        except gdal_errors() as error:
            raise refused(f"GDAL refuses them: {reason_of(error)}") from error
        finally:
            with suppress(*gdal_errors()):
                rasterio.shutil.delete(path)
        if warned:
            raise refused(f"GDAL would not do what they say: {'; '.join(dict.fromkeys(warned))}")

    def _opened(self, path: object, profile: dict[str, Any]) -> Any:
        return _created(path, profile, self.layout)

    @property
    def _overview_factors(self) -> list[int]:
        """By which overviews are smaller than the file: each half of the one before."""
        return overview_factors(self.layout.shape, self._smallest_overview) if self.layout.overviews else []

    @property
    def _smallest_overview(self) -> int:
        """The longest side that the smallest overview may have: gdaladdo's."""
        return 256

    def _size(self, block_shape: Pair, factors: Iterable[int]) -> int:
        """Return the bytes of all blocks of overviews, uncompressed; the factor 1 is the file's own pixels.

        Blocks on the edges are whole, but not a striped file's last.
        """
        (height, width), (block_height, block_width) = self.layout.shape, block_shape
        if block_width == width:
            pixels = sum(-(-height // factor) * -(-width // factor) for factor in factors)
            return pixels * self.bytes_per_pixel
        blocks = sum(-(-height // (factor * block_height)) * -(-width // (factor * block_width)) for factor in factors)
        return blocks * (block_height * block_width * self.bytes_per_pixel + sum(self._around_a_block))

    def create(self) -> None:
        """Make the partial file."""
        # GDAL looks into a file that it replaces, and fails where a process of the same number was killed while it
        # wrote it.
        self._file.remove()
        try:
            self._dataset = self._opened(self.partial, self.profile)
        except gdal_errors() as error:
            raise DatasetError(
                f"{self.argument}: {self.name!r} cannot be created: {reason_of(error)}", argument=self.argument
            ) from error
        self._file.created()

    def write_bands(self, values: AnyArray, indexes: list[int], window: object) -> None:
        """Write to the partial file."""
        self._dataset.write(values, indexes, window=window)

    def close(self) -> None:
        """Write what GDAL still holds, and the overviews."""
        try:
            self._dataset.close()
            if self._overview_factors:
                self._add_overviews()
        except gdal_errors() as error:
            raise DatasetError(
                f"{self.argument}: cannot write {self.name!r}: {reason_of(error)}", argument=self.argument
            ) from error

    def _add_overviews(self) -> None:
        with open_own(self.partial, "r+", driver="GTiff") as dataset:
            dataset.build_overviews(self._overview_factors, Resampling[self.layout.overviews])

    def reopened(self) -> AbstractContextManager[BandSource]:
        """Open the closed partial file."""
        dataset: AbstractContextManager[BandSource] = open_own(self.partial, driver="GTiff")
        return dataset

    def check(self) -> None:
        """Refuse a file whose blocks are not all within it, since rasterio is silent where closing a file fails.

        That is what can be known without reading them.
        """
        with self.rereading() as dataset:
            self._check_blocks(dataset, None)
        self.check_beside_pixels()

    def check_beside_pixels(self) -> None:
        """Refuse a file whose overviews are not all within it."""
        with self.rereading() as dataset:
            for level in range(len(self._overview_factors)):
                self._check_blocks(dataset, level)

    def _check_blocks(self, dataset: Any, level: int | None) -> None:
        for index, row, col in self._blocks(dataset, level):
            self._check_block(dataset, level, index, row, col)

    def _check_block(self, dataset: Any, level: int | None, index: int, row: int, col: int) -> None:
        place = _place_of_block(dataset, index, row, col, level)
        sparse = self._options.get("SPARSE_OK", "NO").upper() in _YES
        end = None if place is None else sum(place) + self._around_a_block[1]
        if not sparse if end is None else end > self.partial.stat().st_size:
            what = "" if level is None else f" of overview {level}"
            raise DatasetError(
                f"{self.argument}: block ({row}, {col}) of band {index}{what} of {self.name!r} was not written whole; "
                "nothing was replaced",
                argument=self.argument,
            )

    def _blocks(self, dataset: Any, level: int | None) -> Iterator[tuple[int, int, int]]:
        """Yield band, row and column of the blocks of an overview, or of the file itself, that need to be asked for."""
        with ExitStack() as stack:
            if level is not None:
                dataset = stack.enter_context(open_own(self.partial, driver="GTiff", OVERVIEW_LEVEL=level))
            elif self._in_one_piece(dataset):
                return
            bands = 1 if dataset.interleaving is Interleaving.pixel else dataset.count
            for index in range(1, bands + 1):
                for (row, col), _ in dataset.block_windows(index):
                    yield index, row, col

    def _in_one_piece(self, dataset: Any) -> bool:
        """Whether blocks of one size, one after another, are all within the file: no need to ask for each."""
        first, size = _place_of_block(dataset, 1, 0, 0, None), self.partial.stat().st_size
        whole = self._size(self.planned.block_shape, (1,)) - self._around_a_block[0]
        return dataset.compression is None and first is not None and size >= first[0] + whole

    def discard(self) -> None:
        """Close and remove what is there of the partial file."""
        if self._dataset is not None and not self._dataset.closed:
            discard_dataset(self._dataset)
        self._file.remove()

    def flush(self) -> None:
        """Wait for the disk."""
        sync(self.partial)

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


def _profile_of(layout: RasterLayout) -> dict[str, Any]:
    """Return what rasterio creates a file with, but for the driver's own options."""
    (height, width), count = layout.shape, len(layout.descriptions)
    place = {"nodata": layout.nodata, "crs": layout.crs, "transform": layout.transform}
    given = {key: value for key, value in place.items() if value is not None}
    return {"height": height, "width": width, "count": count, "dtype": layout.dtype.name, **given}


def _created(path: object, profile: dict[str, Any], layout: RasterLayout) -> Any:
    """Create a file, and write what is said of its pixels before them."""
    dataset = open_own(path, "w", driver="GTiff", **profile)
    for index, text in enumerate(layout.descriptions, start=1):
        dataset.set_band_description(index, text)
        dataset.update_tags(index, **layout.band_tags)
        if layout.colours and layout.dtype == "uint8":
            dataset.write_colormap(index, layout.colours)
    if traits := layout.band_traits:
        dataset.colorinterp = [each.colour for each in traits]
        if any((each.scale, each.offset) != (1.0, 0.0) for each in traits):
            dataset.scales, dataset.offsets = [each.scale for each in traits], [each.offset for each in traits]
        if any(each.units for each in traits):
            dataset.units = [each.units or "" for each in traits]
    tags = {key: text.encode(errors="replace").decode() for key, text in layout.tags.items()}
    dataset.update_tags(**tags)  # with names of files, which need not be UTF-8
    return dataset


def held_geotiff(stack: ExitStack, name: str, layout: RasterLayout, values: AnyArray) -> HeldRaster:
    """Return a GeoTIFF in memory that goes by a name, to be closed by the stack."""
    memory = stack.enter_context(MemoryFile())
    with _created(memory.name, _profile_of(layout), layout) as dataset:
        dataset.write(values)
    return HeldRaster(stack.enter_context(open_own(memory.name, driver="GTiff")), name)


def blocks_of(path: str) -> tuple[Pair, bool]:
    """Return the shape of a file's blocks, and whether they are compressed."""
    with open_own(path, driver="GTiff") as dataset:
        return dataset.block_shapes[0], dataset.compression is not None


def overview_factors(shape: Pair, smallest: int) -> list[int]:
    """Return 2, 4 and so on, until no side is longer than the smallest overview's may be."""
    factors = [1]
    while max(shape) > factors[-1] * smallest:
        factors.append(2 * factors[-1])
    return factors[1:]


def _place_of_block(dataset: Any, index: int, row: int, col: int, level: int | None) -> tuple[int, int] | None:
    """Return where a block of an overview starts in its file and its bytes; None where it was never written."""
    place = [
        dataset.get_tag_item(f"BLOCK_{key}_{col}_{row}", "TIFF", bidx=index, ovr=level) for key in ("OFFSET", "SIZE")
    ]
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
    given = option_texts(value)
    options = {**DEFAULT_CREATION_OPTIONS, **given}
    if options["TILED"].upper() in _NO:
        options.pop("BLOCKXSIZE", None)
        if "BLOCKYSIZE" not in given:
            options.pop("BLOCKYSIZE", None)
    for key in ("BLOCKXSIZE", "BLOCKYSIZE"):
        check_block_size(options, key)
    for key in ("TFW", "WORLDFILE"):
        if options.get(key, "NO").upper() not in _NO:
            raise refused(f"{key} is of a second file; the outputs hold their own transform")
    if options.get("PROFILE", "GDALGeoTIFF").upper() != "GDALGEOTIFF":
        raise refused(f"PROFILE={options['PROFILE']} would lose names of bands and tags")
    return lossless(options, dtype)


def option_texts(value: object) -> dict[str, str]:
    """Take creation options as a dict of texts, keys in upper case."""
    if value is not None and not isinstance(value, dict):
        raise GridrTypeError(f"creation_options must be a dict or None, not {value!r}", argument="creation_options")
    return {str(key).upper(): str(item) for key, item in (value or {}).items()}


def check_block_size(options: dict[str, str], key: str) -> None:
    """Refuse what is not a positive integer."""
    if not options.get(key, "1").isdecimal():
        raise GridrValueError(
            f"creation_options[{key!r}] must be a positive integer, not {options[key]!r}", argument="creation_options"
        )


def lossless(options: dict[str, str], dtype: AnyDtype) -> dict[str, str]:
    """Return options of either driver as they are for a file of this type; refuse those that would lose digits."""
    _check_bands_stay(options)
    options = dict(options)
    if options.get("PREDICTOR", "").upper() in ("3", "FLOATING_POINT") and dtype.kind != "f":
        options["PREDICTOR"] = "2"  # 3 is floating point's alone, and one set of options is for the grid and its mask
    lossy_compressions = ("JPEG", "WEBP", "JXL")
    lossy: list[tuple[str, Callable[[str], bool]]] = [
        ("NBITS", lambda text: int(text) < dtype.itemsize * 8),
        ("DISCARD_LSB", lambda text: any(int(part) for part in text.split(","))),
        ("MAX_Z_ERROR", lambda text: float(text) != 0),
        ("COMPRESS", lambda text: text.upper() in lossy_compressions),
        ("OVERVIEW_COMPRESS", lambda text: text.upper() in lossy_compressions),
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
                raise refused(f"{key}={options[key]} would lose digits")
    return options


# What says that a band is something else than coordinates or codes of its own type, and what says that it is not.
_OTHER_BANDS = {
    "ALPHA": _NO,
    "ADD_ALPHA": _NO,
    "PHOTOMETRIC": ("MINISBLACK",),
    "PIXELTYPE": ("DEFAULT",),
}


def _check_bands_stay(options: dict[str, str]) -> None:
    """Refuse options of either driver that change what bands are, or that blocks come in the order of the file."""
    for key, harmless in _OTHER_BANDS.items():
        if key in options and options[key].upper() not in harmless:
            raise refused(f"{key}={options[key]} would change what the bands are")
    if options.get("STREAMABLE_OUTPUT", "NO").upper() not in _NO:
        raise refused(
            f"STREAMABLE_OUTPUT={options['STREAMABLE_OUTPUT']} is of files that are written once and in order, as to a "
            "pipe; the outputs are files"
        )


def refused(why: str) -> GridrValueError:
    """Return the error for creation options."""
    return GridrValueError(f"creation_options: {why}", argument="creation_options")
