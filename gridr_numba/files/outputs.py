"""Output files of `densify`: a destination is absent (or what it was), or complete and verified.

Everything is written to ``.<name>.<pid>.partial`` beside the destination, closed, read back, compared, flushed to the
disk, and only then put in the destination's place, which is atomic. What differs from format to format is an
`OutputFormat`.
"""

from __future__ import annotations

import os
import shutil
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import gcd, prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rasterio.drivers import raster_driver_extensions

from ..errors import DatasetError, GridrValueError
from ..kernels.checksum import LANES, fold
from ..types import AnyArray, AnyDtype, Colour, Pair, Warn
from ..window import Window
from .bands import BandSink, BandSource, BandTraits
from .gdal import PARTS, block_cache, gdal_errors, reason_of
from .inputs import local_path
from .locks import locked
from .partial import partial_path, remove


@dataclass(frozen=True)
class RasterLayout:
    """What an output holds, whatever its format.

    Attributes
    ----------
    shape : tuple of int
        Rows and columns.
    dtype : numpy.dtype
        Of all bands.
    descriptions : tuple of str
        One a band.
    nodata : float or None
    crs, transform
        Where it lies, as rasterio has them; None where that is unknown.
    tags : dict
        Metadata of the dataset.
    band_tags : dict
        Metadata of each band.
    colours : dict
        The colour of each value of a uint8 band; none where it is empty.
    band_traits : tuple of BandTraits
        What each band says of its values; empty where there is nothing to say.
    overviews : str or None
        How smaller copies for display are made, by the name of a `rasterio.enums.Resampling`; None makes none.
    unwritten : int or None
        A value that no pixel has, where there is no nodata, for formats that must say what was never written.
    """

    shape: Pair
    dtype: AnyDtype
    descriptions: tuple[str, ...]
    nodata: float | None
    crs: Any
    transform: Any
    tags: dict[str, str]
    band_tags: dict[str, str] = field(default_factory=dict)
    colours: dict[int, Colour] = field(default_factory=dict)
    band_traits: tuple[BandTraits, ...] = ()
    overviews: str | None = None
    unwritten: int | None = None


class OutputPlan(NamedTuple):
    """What is known of a file before it is there: its blocks, and its bytes, None where they depend on the pixels."""

    block_shape: Pair
    size: int | None


class WindowChecksums(NamedTuple):
    """The checksums of some bands of a window that was written."""

    indexes: list[int]
    window: Window
    checksums: list[bytes]


class OutputFormat(ABC):
    """One output in some format: a `BandSink` that the first window creates, at its partial path.

    The order of calls is `plan`, `write` (which calls `create`) window by window, `close`, `check` or `verify`,
    `flush`, `publish`, `withdraw`; `discard` at any time. Whatever can fail before a file exists, fails in `plan`.

    Parameters
    ----------
    argument : str
        The argument that names the output, for errors.
    path : Path
        The destination.
    layout : RasterLayout
    """

    def __init__(self, argument: str, path: Path, layout: RasterLayout) -> None:
        self.argument, self.path, self.layout = argument, path, layout
        self._created = False

    @property
    def name(self) -> str:
        """The destination, as a dataset's name."""
        return str(self.path)

    @property
    def partial(self) -> Path:
        """Where it is written before it is complete."""
        return partial_path(self.path)

    @property
    def sidecars(self) -> list[Path]:
        """Files that readers would take for a part of the destination, and that do not come from this job."""
        return []

    @property
    def shape(self) -> Pair:
        """Rows and columns."""
        return self.layout.shape

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Of the bands."""
        return (self.layout.dtype.name,) * len(self.layout.descriptions)

    @property
    def bytes_per_pixel(self) -> int:
        """Of all bands, uncompressed."""
        return sum(np.dtype(name).itemsize for name in self.dtypes)

    @property
    def block_shapes(self) -> list[Pair]:
        """Rows and columns of each band's blocks."""
        return [self.planned.block_shape] * len(self.dtypes)

    @property
    def rows_read_together(self) -> int:
        """Rows, from the first, of which reading some costs as much as reading all; 1 where GDAL keeps its blocks."""
        return 1

    @cached_property
    def planned(self) -> OutputPlan:
        """What `plan` found out."""
        return self.plan()

    @property
    def room(self) -> int:
        """The bytes that it takes on the disk until it is published, as far as they are known."""
        return self.planned.size or 0

    @abstractmethod
    def plan(self) -> OutputPlan:
        """Find out how the file will be made, in memory.

        Raises
        ------
        GridrValueError
            If the format's options are refused.
        """

    @abstractmethod
    def create(self) -> None:
        """Make the partial file, over one that a killed run left."""

    def write(self, values: AnyArray, indexes: list[int], *, window: object) -> None:
        """Write some bands of a `rasterio.windows.Window`; the first time, create the partial file."""
        if not self._created:
            self.create()
            self._created = True
        self.write_bands(values, indexes, window)

    @abstractmethod
    def write_bands(self, values: AnyArray, indexes: list[int], window: object) -> None:
        """Write to the partial file."""

    @abstractmethod
    def close(self) -> None:
        """Write what is still held in memory. Every window was written."""

    @abstractmethod
    def check(self) -> None:
        """Refuse a closed partial file that is not whole, as far as can be told without reading its pixels."""

    def check_beside_pixels(self) -> None:  # noqa: B027  # most formats hold nothing else
        """Refuse a closed partial file of which what is no pixel of its own, such as overviews, is not whole."""

    @abstractmethod
    def reopened(self) -> AbstractContextManager[BandSource]:
        """Open the closed partial file to read, apart from any other reader of it."""

    @abstractmethod
    def discard(self) -> None:
        """Close and remove what a job that failed has written."""

    @abstractmethod
    def flush(self) -> None:
        """Bring the closed partial file to the disk."""

    @abstractmethod
    def publish(self, *, overwrite: bool) -> None:
        """Put the partial file in the destination's place in one step.

        Raises
        ------
        FileExistsError
            If something is there and may not be replaced.
        OSError
            If it cannot be put there; the destination is what it was.
        """

    @property
    @abstractmethod
    def replaced(self) -> bool:
        """Whether it was published, in the place of something else."""

    @abstractmethod
    def withdraw(self) -> None:
        """Remove what was published, unless it replaced something."""

    def verify(self, windows: Sequence[WindowChecksums]) -> None:
        """Read some windows of the closed partial file back and compare. Any thread may call.

        Raises
        ------
        DatasetError
            If a window is not what was written.
        """
        width, together = max(window.shape[1] for _, window, _ in windows), self.rows_read_together
        height = together * max(1, _BYTES_AT_A_TIME // (self.bytes_per_pixel * width * together))
        buffer = np.empty(-(-height * width * self.bytes_per_pixel // 8), np.uint64)
        with self.rereading() as dataset:
            for indexes, window, expected in windows:
                checksums = [Checksum() for _ in indexes]
                held = buffer.view(self.dtypes[indexes[0] - 1])
                for start in range(window.row_start, window.row_stop, height):
                    part = replace(window, row_start=start, row_stop=min(start + height, window.row_stop))
                    values = held[: len(indexes) * part.shape[0] * part.shape[1]].reshape(-1, *part.shape)
                    dataset.read(indexes, window=part.to_rasterio(), out=values)
                    for checksum, band in zip(checksums, values, strict=True):
                        checksum.add(band)
                for index, checksum, wanted in zip(indexes, checksums, expected, strict=True):
                    if checksum.value != wanted:
                        raise DatasetError(
                            f"{self.argument}: {window} of band {index} of {self.name!r} were not read back as "
                            "written; nothing was replaced",
                            argument=self.argument,
                        )

    @contextmanager
    def rereading(self) -> Iterator[BandSource]:
        """Open the closed partial file; what then fails names the output."""
        try:
            with self.reopened() as dataset:
                yield dataset
        except DatasetError:
            raise
        except gdal_errors() as error:
            raise DatasetError(
                f"{self.argument}: {self.name!r} cannot be read back: {reason_of(error)}", argument=self.argument
            ) from error


def destination(
    value: object, name: str, inputs: Sequence[Path], *, overwrite: bool, outputs: Sequence[Path] = ()
) -> Path:
    """Take the path of a file to be made: local, in a folder that exists, not there unless allowed.

    It is no input, and none of the other outputs.
    """
    path = place_of(value, name, inputs, outputs)
    if path.is_dir():
        raise GridrValueError(f"{name}: {str(path)!r} is a folder", argument=name)
    if path.exists() and not path.is_file():
        raise GridrValueError(f"{name}: {str(path)!r} is not a regular file", argument=name)
    if path.exists() and not overwrite:
        raise GridrValueError(f"{name}: {str(path)!r} exists; overwrite=True replaces it", argument=name)
    return path


def place_of(value: object, name: str, inputs: Sequence[Path], outputs: Sequence[Path] = ()) -> Path:
    """Take the path of what is to be made: local, in a folder that exists, not an input nor a part of one."""
    path = local_path(value, name)
    if not path.name:  # '.', or a root
        raise GridrValueError(f"{name}: {str(path)!r} is a folder", argument=name)
    if path.is_symlink():
        path = Path(os.path.realpath(path))  # renamed over, a link would be a file, and what it names as it was
    if not path.parent.is_dir():
        raise DatasetError(f"{name}: there is no folder {str(path.parent)!r}", argument=name)
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise DatasetError(f"{name}: the folder {str(path.parent)!r} cannot be written to", argument=name)
    _check_length(path, name)
    for own in (path, partial_path(path)):
        for what, others in (("an input", inputs), ("another output", outputs)):
            if any(_same_file(own, each) for each in others):
                raise GridrValueError(f"{name}: {str(own)!r} is {what}, and is not overwritten", argument=name)
    for source in (each for each in inputs if _belongs_to(path, each)):
        raise GridrValueError(
            f"{name}: {str(path)!r} would be read as a part of the input {str(source)!r}, and is not made",
            argument=name,
        )
    return path


def _belongs_to(path: Path, source: Path) -> bool:
    """Say whether a file looks like a part of another: beside it, of the same name but for its suffix."""
    beside = path.resolve().parent == source.resolve().parent
    named = path.name.lower().startswith((source.stem.lower() + ".", source.name.lower() + "."))
    return beside and named and path.suffix.lower() in PARTS


def _check_length(path: Path, name: str) -> None:
    """Refuse a name that leaves no room for that of its partial file."""
    longest = os.pathconf(path.parent, "PC_NAME_MAX")
    own, partial = (len(os.fsencode(each.name)) for each in (path, partial_path(path)))
    if partial > longest:
        raise GridrValueError(
            f"{name}: the name {path.name!r} has {own} bytes; at most {longest - partial + own} leave room for the "
            "file that is made beside it",
            argument=name,
        )


def _same_file(path: Path, other: Path) -> bool:
    if os.path.realpath(path) == os.path.realpath(other):
        return True
    return os.path.exists(path) and os.path.exists(other) and os.path.samefile(path, other)


# Suffixes of formats that are no raster's, of which GDAL's drivers do not name the suffix, or that an old rasterio does
# not know.
_OTHER_FORMATS = frozenset(
    [
        *(
            "bip",
            "bsq",
            "ecw",
            "h5",
            "hdf",
            "jxl",
            "npy",
            "npz",
            "sid",
            "zarr",
            "jpe",
            "heic",
            "avif",
            "svg",
            "eps",
            "ps",
        ),
        *("shp", "shx", "dbf", "prj", "cpg", "geojson", "geojsonl", "gpkg", "fgb", "gml", "kml", "kmz", "gpx", "gdb"),
        *("topojson", "wkt", "wkb", "sqlite", "db", "parquet", "geoparquet", "feather", "arrow", "las", "laz"),
        *("zip", "gz", "tgz", "tar", "bz2", "xz", "zst", "7z", "rar"),
        *("csv", "tsv", "txt", "log", "md", "html", "htm", "xml", "yaml", "yml", "toml", "ini", "pdf", "doc", "docx"),
        *("xls", "xlsx", "ods", "py", "ipynb", "pkl", "mat"),
    ]
)
# Formats that are no driver's.
_OWN_FORMATS = {"json": "JSON"}


def check_suffix(path: Path, name: str, format: str) -> None:
    """Refuse a name whose suffix says another format: a driver's, or JSON. One that says none is let pass."""
    suffix = path.suffix.lower().removeprefix(".")
    own = {"COG": "GTiff"}.get(format, format)
    drivers = {**{each: each for each in _OTHER_FORMATS}, **raster_driver_extensions(), **_OWN_FORMATS}
    if drivers.get(suffix, own) != own:
        raise GridrValueError(
            f"{name}: {str(path)!r} would hold a {format}, and the suffix .{suffix} says another format", argument=name
        )


def check_apart(outputs: Sequence[OutputFormat]) -> None:
    """Refuse a file that would be read as a part of another one, as a mask beside an image under its name and .msk."""
    for output in outputs:
        for other in outputs:
            if other is not output and _belongs_to(output.path, other.path):
                raise GridrValueError(
                    f"{output.argument}: {output.name!r} would be read as a part of {other.argument}, {other.name!r}, "
                    "and is not made",
                    argument=output.argument,
                )


def check_space(outputs: Sequence[OutputFormat]) -> None:
    """Refuse files that the disk has no room for, as far as that can be foretold: compressed ones may be smaller."""
    needs: dict[int, tuple[Path, int]] = {}
    for output in outputs:
        folder = output.path.parent
        device = folder.stat().st_dev
        needs[device] = (folder, needs.get(device, (folder, 0))[1] + output.room)
    for folder, size in needs.values():
        free = shutil.disk_usage(folder).free
        if size > free:
            raise DatasetError(
                f"the outputs need {size / 1e6:.0f} MB in {str(folder)!r}, and {free / 1e6:.0f} MB are free"
            )


def warn_of_sidecars(outputs: Sequence[OutputFormat], inputs: Sequence[Path], warn: Warn) -> None:
    """Warn of files that will be read as a part of an output, and are not of this job."""
    kept = [*inputs, *(output.path for output in outputs)]
    for output in outputs:
        for sidecar in output.sidecars:
            ours = any(_same_file(sidecar, each) for each in kept)
            if ours or (os.path.exists(sidecar) and not output.path.exists()):
                warn(
                    f"{output.argument}: GDAL takes {str(sidecar)!r}, which is not removed, for a part of "
                    f"{output.name!r}"
                )


# Pixels are read back so many bytes at a time, which the processor's cache holds.
_BYTES_AT_A_TIME = 2 << 20


class Checksum:
    """Of the rows of a window, added some rows at a time."""

    def __init__(self) -> None:
        self._lanes = np.zeros(LANES, np.uint64)
        self._words = 0

    def add(self, rows: AnyArray) -> None:
        """Add rows, as a C-contiguous array (rows, columns)."""
        # In the longest words of which a row is a whole number: few are faster, and all rows count the same.
        words = rows.view(f"u{gcd(rows.shape[1] * rows.itemsize, 8)}").reshape(-1)
        with np.errstate(over="ignore"):  # of which numpy warns where kernels are not compiled: lanes are modulo 2**64
            fold(words, self._words, self._lanes)
        self._words += len(words)

    @property
    def value(self) -> bytes:
        """Of what was added so far."""
        return self._lanes.tobytes()


class Checksums:
    """A checksum for each window of each band, of the values as the file's type has them, to compare the file with."""

    def __init__(self) -> None:
        self._windows: dict[BandSink, list[WindowChecksums]] = {}

    def watch(self, output: BandSink, indexes: list[int], window: Window, values: AnyArray) -> None:
        """Keep the checksums of a window that is about to be written."""
        checksums = [Checksum() for _ in indexes]
        for checksum, band in zip(checksums, values, strict=True):
            checksum.add(band)
        kept = WindowChecksums(indexes, window, [checksum.value for checksum in checksums])
        self._windows.setdefault(output, []).append(kept)

    def verify(self, outputs: Sequence[OutputFormat], threads: int, memory: int) -> None:
        """Read partial files back and compare, in threads that each have a row of blocks in so much of GDAL's cache."""
        for output in outputs:
            output.check_beside_pixels()
        blocks = max(self._row_of_blocks(output) for output in outputs)
        # Beside its blocks in the cache, an open file has one block as it is stored and one as it is decoded.
        beside = max(2 * prod(output.planned.block_shape) * output.bytes_per_pixel for output in outputs)
        threads = max(1, min(threads, memory // (2 * blocks + beside)))
        # Each part opens its file. Two a thread, so that one that is held up leaves work to the others.
        parts = [
            (output, self._windows[output][part :: 2 * threads]) for output in outputs for part in range(2 * threads)
        ]
        pool = ThreadPoolExecutor(threads, "gridr-numba-verify")
        with block_cache.at_most(min(max(blocks, memory - beside), 2 * blocks * threads)):
            try:
                for compared in [pool.submit(output.verify, windows) for output, windows in parts if windows]:
                    compared.result()
            finally:
                pool.shutdown(cancel_futures=True)

    def _row_of_blocks(self, output: OutputFormat) -> int:
        """Return the bytes of the blocks that a row of pixels of a window lies in."""
        block_height, block_width = output.planned.block_shape
        width = max(window.shape[1] for _, window, _ in self._windows[output])
        across = -(-width // block_width) + (width < output.shape[1])  # windows may start within a block
        return block_height * across * block_width * output.bytes_per_pixel


_LOCK = threading.Lock()
_in_work: set[Path] = set()


@contextmanager
def partial_files(outputs: Sequence[OutputFormat]) -> Iterator[None]:
    """Remove the partial files where anything goes wrong, KeyboardInterrupt included.

    Raises
    ------
    GridrValueError
        If another job of this process is making one of them: both would write to one partial file.
    """
    partials = {output.partial.resolve() for output in outputs}
    with _LOCK:
        for output in outputs:
            if output.partial.resolve() in _in_work:
                raise GridrValueError(
                    f"{output.argument}: {output.name!r} is being made by another job of this process",
                    argument=output.argument,
                )
        _in_work.update(partials)
    try:
        yield
    except BaseException:  # Ctrl-C too: what is not complete goes, whatever ends the block
        with ExitStack() as stack:  # each is discarded whatever another one meets, and once more if interrupted again
            for output in outputs:
                stack.callback(output.discard)
                stack.callback(output.discard)
        raise
    finally:
        with _LOCK:
            _in_work.difference_update(partials)


@contextmanager
def publishing(outputs: Sequence[OutputFormat], warn: Warn) -> Iterator[None]:
    """Flush complete files to the disk, and keep other jobs from publishing to their folders inside."""
    for output in outputs:
        try:
            output.flush()
        except OSError as error:
            raise DatasetError(
                f"{output.argument}: {output.name!r} cannot be brought to the disk: {error}; nothing was replaced",
                argument=output.argument,
            ) from error
    with locked([output.path.parent for output in outputs], warn):
        yield


def publish(outputs: Sequence[OutputFormat], inputs: Sequence[Path], *, overwrite: bool) -> None:
    """Put complete files in their destinations' places, in their order.

    Where one cannot be and nothing was replaced, those before it are removed again. The sidecars of what was replaced
    go: statistics and overviews of the old file. One that is an input or an output stays.
    """
    kept = [*inputs, *(output.path for output in outputs)]
    try:
        for output in outputs:
            with _publishing_errors(output, outputs):
                output.publish(overwrite=overwrite)
                for sidecar in output.sidecars if output.replaced else ():
                    if not any(_same_file(sidecar, each) for each in kept):
                        remove(sidecar)
    except BaseException:  # Ctrl-C too
        if not any(output.replaced for output in outputs):
            for output in reversed(outputs):  # a grid is not to be there without its mask
                output.withdraw()
        raise


@contextmanager
def _publishing_errors(output: OutputFormat, outputs: Sequence[OutputFormat]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        replaced = ", ".join(repr(each.name) for each in outputs if each.replaced)
        already = f"{replaced} was already replaced" if replaced else "nothing was replaced"
        why = f"cannot be replaced: {error}"
        if isinstance(error, FileExistsError):
            why = "was made by another program meanwhile; overwrite=True replaces it"
        raise DatasetError(f"{output.argument}: {output.name!r} {why}; {already}", argument=output.argument) from error
