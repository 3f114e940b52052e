"""Output files of `densify`: a destination is absent (or what it was), or complete and verified.

Everything is written to ``.<name>.<pid>.partial`` beside the destination, closed, read back, compared, flushed to the
disk, and only then renamed over the destination, which is atomic.
"""

from __future__ import annotations

import os
import shutil
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.enums import Interleaving

from .atomic import partial_path
from .errors import DatasetError, GridrTypeError, GridrValueError
from .io import block_cache, gdal_errors, reason_of
from .sources import local_path
from .window import Window

#: What outputs are made with where the caller does not say.
DEFAULT_CREATION_OPTIONS = {"TILED": "YES", "BLOCKXSIZE": "512", "BLOCKYSIZE": "512", "BIGTIFF": "IF_SAFER"}

_NO = ("NO", "FALSE", "OFF", "0")


@dataclass(eq=False)
class OutputFile:
    """One file to be made. Strips are written to it as to a dataset, and the first of them creates it.

    What planning asks of a dataset, it answers before it is there: whatever can fail before a file exists, does.

    Attributes
    ----------
    argument : str
        The argument that names it, for errors.
    path : Path
        The destination.
    profile : dict
        What rasterio creates it with.
    descriptions : tuple of str
        Of the bands.
    tags : dict
        Metadata of the dataset.
    """

    argument: str
    path: Path
    profile: dict[str, Any]
    descriptions: tuple[str, ...]
    tags: dict[str, str]
    _dataset: Any = None

    @property
    def name(self) -> str:
        """The destination, as a dataset's name."""
        return str(self.path)

    @property
    def partial(self) -> Path:
        """Where it is written before it is complete."""
        return partial_path(self.path)

    @property
    def row_size(self) -> int:
        """Bytes of a row of pixels of all bands, uncompressed."""
        return int(self.profile["width"] * self.profile["count"] * np.dtype(self.profile["dtype"]).itemsize)

    @property
    def size(self) -> int:
        """Bytes of its blocks, uncompressed. Those on the edges are whole blocks, but for strips."""
        height, width = self.profile["height"], self.profile["width"]
        block_height, block_width = self.block_shapes[0]
        if block_width == width:
            return int(height * self.row_size)
        blocks = -(-height // block_height) * -(-width // block_width)
        return int(blocks * block_height * block_width * self.row_size // width)

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Of the bands."""
        return (str(self.profile["dtype"]),) * int(self.profile["count"])

    @cached_property
    def block_shapes(self) -> list[tuple[int, int]]:
        """Rows and columns of the blocks, as GDAL makes them of the creation options; they are tried in memory.

        Raises
        ------
        GridrValueError
            If GDAL refuses the options.
        """
        # Only a striped file's height bears on its blocks: they are no taller.
        height = min(self.profile["height"], max(8192, int(self.profile.get("BLOCKYSIZE", 0))))
        profile = {key: value for key, value in self.profile.items() if key not in ("crs", "transform")}
        path = f"/vsimem/gridr_numba/{os.getpid()}/{id(self)}/{self.path.name}"
        try:
            rasterio.open(path, "w", driver="GTiff", **{**profile, "height": height, "SPARSE_OK": "YES"}).close()
            with rasterio.open(path, driver="GTiff") as trial:
                wanted = str(self.profile.get("COMPRESS", "NONE"))
                if trial.compression is None and wanted.upper() != "NONE":
                    raise GridrValueError(f"creation_options: GDAL does not know, and would ignore, COMPRESS={wanted}")
                return list(trial.block_shapes)
        except gdal_errors() as error:
            raise GridrValueError(f"creation_options: GDAL refuses them: {reason_of(error)}") from error
        finally:
            with suppress(*gdal_errors()):
                rasterio.shutil.delete(path)

    def write(self, values: NDArray[Any], indexes: list[int], window: Any) -> None:
        """Write some bands of a window; the first time, create the partial file."""
        if self._dataset is None:
            self._dataset = self._created()
        self._dataset.write(values, indexes, window=window)

    def _created(self) -> Any:
        # GDAL looks into a file that it replaces, and fails where a process of the same number was killed while it
        # wrote it.
        self.remove_partial()
        try:
            dataset = rasterio.open(self.partial, "w", driver="GTiff", **self.profile)
        except gdal_errors() as error:
            reason = reason_of(error)
            raise DatasetError(f"{self.argument}: {self.name!r} cannot be created: {reason}") from error
        for index, text in enumerate(self.descriptions, start=1):
            dataset.set_band_description(index, text)
        dataset.update_tags(**self.tags)
        return dataset

    def close(self) -> None:
        """Write what GDAL still holds."""
        try:
            self._dataset.close()
        except gdal_errors() as error:
            raise DatasetError(f"{self.argument}: cannot write {self.name!r}: {reason_of(error)}") from error

    def discard(self) -> None:
        """Close and remove what a job that failed has written."""
        if self._dataset is not None and not self._dataset.closed:
            discard_dataset(self._dataset)
        self.remove_partial()

    def remove_partial(self) -> None:
        """Remove the partial file, if it is there."""
        self.partial.unlink(missing_ok=True)
        self.partial.with_name(self.partial.name + ".aux.xml").unlink(missing_ok=True)


def discard_dataset(dataset: Any) -> None:
    """Close a dataset whose file nobody wants.

    Closing, GDAL fills the blocks that were never written with nodata: seconds a gigabyte, perhaps on a disk that is
    full. Zeros it leaves to the file system, in no time.
    """
    with suppress(*gdal_errors()):
        dataset.nodata = None
    with suppress(*gdal_errors()):
        dataset.close()


def destination(value: Any, name: str, inputs: Sequence[Path], *, overwrite: bool) -> Path:
    """Take the path of a file to be made: local, in a folder that exists, not an input, not there unless allowed."""
    path = local_path(value, name)
    if path.is_symlink():
        path = path.resolve()  # renamed over, a link would be a file, and what it names as it was
    if not path.parent.is_dir():
        raise DatasetError(f"{name}: there is no folder {str(path.parent)!r}")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise DatasetError(f"{name}: the folder {str(path.parent)!r} cannot be written to")
    for source in inputs:
        if path.resolve() == source.resolve() or (path.exists() and source.exists() and path.samefile(source)):
            raise GridrValueError(f"{name}: {str(path)!r} is an input, and is not overwritten")
    if path.is_dir():
        raise GridrValueError(f"{name}: {str(path)!r} is a folder")
    if path.exists() and not path.is_file():
        raise GridrValueError(f"{name}: {str(path)!r} is not a regular file")
    if path.exists() and not overwrite:
        raise GridrValueError(f"{name}: {str(path)!r} exists; overwrite=True replaces it")
    return path


def gtiff_options(value: Any, dtype: np.dtype[Any]) -> dict[str, str]:
    """Take GTiff creation options over the defaults, for a file of this type; refuse those that would lose digits."""
    if value is not None and not isinstance(value, dict):
        raise GridrTypeError(f"creation_options must be a dict or None, not {value!r}")
    options = {**DEFAULT_CREATION_OPTIONS, **{str(key).upper(): str(item) for key, item in (value or {}).items()}}
    if options["TILED"].upper() in _NO:
        options.pop("BLOCKXSIZE", None)
        if value is None or "BLOCKYSIZE" not in {str(key).upper() for key in value}:
            options.pop("BLOCKYSIZE", None)
    for key in ("BLOCKXSIZE", "BLOCKYSIZE"):
        if not options.get(key, "1").isdecimal():
            raise GridrValueError(f"creation_options[{key!r}] must be a positive integer, not {options[key]!r}")
    for key in ("TFW", "WORLDFILE"):
        if options.get(key, "NO").upper() not in _NO:
            raise GridrValueError(f"creation_options: {key} is of a second file; the outputs hold their own transform")
    if options.get("PROFILE", "GDALGeoTIFF").upper() != "GDALGEOTIFF":
        raise GridrValueError(f"creation_options: PROFILE={options['PROFILE']} would lose names of bands and tags")
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
                raise GridrValueError(f"creation_options[{key!r}] must be a number, not {options[key]!r}") from None
            if lost:
                raise GridrValueError(f"creation_options: {key}={options[key]} would lose digits")
    return options


def check_space(files: Sequence[OutputFile]) -> None:
    """Refuse files that the disk has no room for, as far as that can be foretold: compressed ones may be smaller."""
    needs: dict[int, tuple[Path, int]] = {}
    for file in files:
        if "COMPRESS" in file.profile:
            continue
        device = file.path.parent.stat().st_dev
        needs[device] = (file.path.parent, needs.get(device, (file.path.parent, 0))[1] + file.size)
    for folder, size in needs.values():
        free = shutil.disk_usage(folder).free
        if size > free:
            raise DatasetError(
                f"the outputs need {size / 1e6:.0f} MB in {str(folder)!r}, and {free / 1e6:.0f} MB are free"
            )


_Strip = tuple[list[int], Window, list[int]]  # numbers of bands, where, and the checksum of each band


class Checksums:
    """A CRC32 for each strip of each band, of the values as the file's type has them, to compare the file with."""

    def __init__(self) -> None:
        self._strips: dict[OutputFile, list[_Strip]] = {}
        self._piece = np.empty(_BYTES_AT_A_TIME, np.uint8)

    def watch(self, file: OutputFile, indexes: list[int], window: Window, values: NDArray[Any]) -> None:
        """Keep the checksums of a strip that is about to be written."""
        checksums = [self._checksum(band.reshape(-1).view(np.uint8)) for band in values]
        self._strips.setdefault(file, []).append((indexes, window, checksums))

    def _checksum(self, values: NDArray[np.uint8]) -> int:
        checksum = 0
        for start in range(0, len(values), len(self._piece)):
            piece = self._piece[: len(values) - start]
            np.copyto(piece, values[start : start + len(piece)])
            checksum = zlib.crc32(piece.data, checksum)
        return checksum

    def verify(self, files: Sequence[OutputFile], threads: int, memory: int) -> None:
        """Read partial files back and compare, in threads that each have a row of blocks in so much of GDAL's cache."""
        blocks = max(file.block_shapes[0][0] * file.row_size for file in files)
        threads = max(1, min(threads, memory // (2 * blocks)))
        # Each part opens its file. Two a thread, so that one that is held up leaves work to the others.
        parts = [(file, self._strips[file][part :: 2 * threads]) for file in files for part in range(2 * threads)]
        pool = ThreadPoolExecutor(threads, "gridr-numba-verify")
        # No more, since blocks that are kept in vain push others out of the processor's cache: 174 ms instead of 136.
        with block_cache.at_most(2 * blocks * threads):
            try:
                for compared in [pool.submit(_compare, *part) for part in parts]:
                    compared.result()
            finally:
                pool.shutdown(cancel_futures=True)


# Checksums are computed of so much at a time: what is in the processor's cache has them about twice as fast (4.6 GB/s
# against 2.3, the copy included).
_BYTES_AT_A_TIME = 2 << 20


def _compare(file: OutputFile, strips: Sequence[_Strip]) -> None:
    """Compare some strips, with a dataset of its own: two threads must not share one."""
    height = max(1, _BYTES_AT_A_TIME // file.row_size)
    buffer = np.empty((len(file.dtypes), height, file.profile["width"]), file.dtypes[0])
    with _reread(file) as dataset:
        for indexes, window, expected in strips:
            checksums = [0] * len(indexes)
            for start in range(window.row_start, window.row_stop, height):
                part = replace(window, row_start=start, row_stop=min(start + height, window.row_stop))
                values = buffer[:, : part.shape[0]]
                dataset.read(indexes, window=part.to_rasterio(), out=values)
                checksums = [zlib.crc32(band.data, before) for band, before in zip(values, checksums, strict=True)]
            for index, checksum, wanted in zip(indexes, checksums, expected, strict=True):
                if checksum != wanted:
                    raise DatasetError(
                        f"{file.argument}: rows {window.row_start} to {window.row_stop - 1} of band {index} of "
                        f"{file.name!r} were not read back as written; nothing was replaced"
                    )


def check_blocks(file: OutputFile) -> None:
    """Refuse a closed partial file whose blocks are not all within it: rasterio is silent where closing a file fails.

    It is what can be known without reading them: compressed by threads, a file may be closed and cut short on a disk
    that is full, and nothing was raised.
    """
    sparse = str(file.profile.get("SPARSE_OK", "NO")).upper() in ("YES", "TRUE", "ON", "1")
    size = file.partial.stat().st_size
    with _reread(file) as dataset:

        def place_of(index: int, row: int, col: int) -> tuple[int, int] | None:
            place = [dataset.get_tag_item(f"BLOCK_{key}_{col}_{row}", "TIFF", bidx=index) for key in ("OFFSET", "SIZE")]
            return None if None in place else (int(place[0]), int(place[1]))

        first = place_of(1, 0, 0)
        if dataset.compression is None and first is not None and size >= first[0] + file.size:
            return  # To ask for each block takes a tenth of the time to write them.
        bands = 1 if dataset.interleaving is Interleaving.pixel else dataset.count
        for index in range(1, bands + 1):
            for (row, col), _ in dataset.block_windows(index):
                place = place_of(index, row, col)
                if not sparse if place is None else sum(place) > size:
                    raise DatasetError(
                        f"{file.argument}: block ({row}, {col}) of band {index} of {file.name!r} was not written "
                        "whole; nothing was replaced"
                    )


@contextmanager
def _reread(file: OutputFile) -> Iterator[Any]:
    try:
        with rasterio.open(file.partial, driver="GTiff") as dataset:
            yield dataset
    except DatasetError:
        raise
    except gdal_errors() as error:
        raise DatasetError(f"{file.argument}: {file.name!r} cannot be read back: {reason_of(error)}") from error


_LOCK = threading.Lock()
_in_work: set[Path] = set()


@contextmanager
def partial_files(files: Sequence[OutputFile]) -> Iterator[None]:
    """Remove the partial files where anything goes wrong, KeyboardInterrupt included.

    Raises
    ------
    GridrValueError
        If another job of this process is making one of them: both would write to one partial file.
    """
    partials = {file.partial.resolve() for file in files}
    with _LOCK:
        for file in files:
            if file.partial.resolve() in _in_work:
                raise GridrValueError(f"{file.argument}: {file.name!r} is being made by another job of this process")
        _in_work.update(partials)
    try:
        yield
    except BaseException:  # Ctrl-C too: what is not complete goes, whatever ends the block
        for file in files:
            file.discard()
        raise
    finally:
        with _LOCK:
            _in_work.difference_update(partials)


def publish(files: Sequence[OutputFile]) -> None:
    """Flush complete files to the disk and rename them over their destinations, in their order."""
    for file in files:
        descriptor = os.open(file.partial, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    replaced: list[str] = []
    for file in files:
        try:
            os.replace(file.partial, file.path)
        except OSError as error:
            already = f"; {', '.join(replaced)} was already replaced" if replaced else "; nothing was replaced"
            raise DatasetError(f"{file.argument}: {str(file.path)!r} cannot be replaced: {error}{already}") from error
        replaced.append(repr(str(file.path)))
        # What GDAL would read beside the new file, and take for its own: statistics, nodata, overviews of the old one.
        for suffix in (".aux.xml", ".ovr", ".msk"):
            file.path.with_name(file.path.name + suffix).unlink(missing_ok=True)
