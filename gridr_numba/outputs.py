"""Output files of `densify`: a destination is absent (or what it was), or complete and verified.

Everything is written to ``.<name>.<pid>.partial`` beside the destination, closed, read back, compared, flushed to the
disk, and only then renamed over the destination, which is atomic.
"""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError

from .errors import DatasetError, GridrTypeError, GridrValueError
from .sources import local_path
from .window import Window

#: What outputs are made with where the caller does not say.
DEFAULT_CREATION_OPTIONS = {"TILED": "YES", "BLOCKXSIZE": "512", "BLOCKYSIZE": "512", "BIGTIFF": "IF_SAFER"}


@dataclass(frozen=True)
class OutputFile:
    """One file to be made.

    Attributes
    ----------
    name : str
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

    name: str
    path: Path
    profile: dict[str, Any]
    descriptions: tuple[str, ...]
    tags: dict[str, str]

    @property
    def partial(self) -> Path:
        """Where it is written before it is complete."""
        return self.path.with_name(f".{self.path.name}.{os.getpid()}.partial")

    @property
    def size(self) -> int:
        """Bytes of its pixels, uncompressed."""
        pixels = int(self.profile["height"]) * int(self.profile["width"]) * int(self.profile["count"])
        return pixels * int(np.dtype(self.profile["dtype"]).itemsize)

    def create(self) -> Any:
        """Create the partial file and open it for writing."""
        try:
            dataset = rasterio.open(self.partial, "w", driver="GTiff", **self.profile)
        except (RasterioError, OSError) as error:
            raise DatasetError(f"{self.name}: {str(self.path)!r} cannot be created: {error}") from error
        for index, text in enumerate(self.descriptions, start=1):
            dataset.set_band_description(index, text)
        dataset.update_tags(**self.tags)
        return dataset

    def remove_partial(self) -> None:
        """Remove what a job that failed left."""
        self.partial.unlink(missing_ok=True)
        self.partial.with_name(self.partial.name + ".aux.xml").unlink(missing_ok=True)


def destination(value: Any, name: str, inputs: Sequence[Path], *, overwrite: bool) -> Path:
    """Take the path of a file to be made: local, in a folder that exists, not an input, not there unless allowed."""
    path = local_path(value, name)
    if not path.parent.is_dir():
        raise DatasetError(f"{name}: there is no folder {str(path.parent)!r}")
    for source in inputs:
        if path.resolve() == source.resolve() or (path.exists() and source.exists() and path.samefile(source)):
            raise GridrValueError(f"{name}: {str(path)!r} is an input, and is not overwritten")
    if path.is_dir():
        raise GridrValueError(f"{name}: {str(path)!r} is a folder")
    if path.exists() and not overwrite:
        raise GridrValueError(f"{name}: {str(path)!r} exists; overwrite=True replaces it")
    return path


def gtiff_options(value: Any, dtypes: Sequence[np.dtype[Any]]) -> dict[str, str]:
    """Take GTiff creation options over the defaults; refuse those that would lose digits."""
    if value is not None and not isinstance(value, dict):
        raise GridrTypeError(f"creation_options must be a dict or None, not {value!r}")
    options = {**DEFAULT_CREATION_OPTIONS, **{str(key).upper(): str(item) for key, item in (value or {}).items()}}
    if options["TILED"].upper() in ("NO", "FALSE", "OFF", "0"):
        options.pop("BLOCKXSIZE", None)
        if value is None or "BLOCKYSIZE" not in {str(key).upper() for key in value}:
            options.pop("BLOCKYSIZE", None)
    lossy: list[tuple[str, Callable[[str], bool]]] = [
        ("NBITS", lambda text: any(int(text) < dtype.itemsize * 8 for dtype in dtypes)),
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


@dataclass
class Checksums:
    """A CRC32 for each strip of each band, of the values as the file's type has them, to compare the file with."""

    strips: dict[str, list[tuple[int, Window, int]]] = field(default_factory=dict)

    def add(self, dataset: Any, index: int, window: Window, values: NDArray[Any]) -> None:
        """Keep the checksum of a band of a strip as it is written."""
        self.strips.setdefault(dataset.name, []).append((index, window, zlib.crc32(np.ascontiguousarray(values).data)))

    def verify(self, file: OutputFile) -> None:
        """Read a partial file back and compare."""
        try:
            with rasterio.open(file.partial) as dataset:
                for index, window, expected in self.strips[dataset.name]:
                    if zlib.crc32(dataset.read(index, window=window.to_rasterio())) != expected:
                        raise DatasetError(
                            f"{file.name}: rows {window.row_start} to {window.row_stop - 1} of band {index} of "
                            f"{str(file.path)!r} were not read back as written; nothing was replaced"
                        )
        except RasterioError as error:
            raise DatasetError(f"{file.name}: {str(file.path)!r} cannot be read back: {error}") from error


@contextmanager
def partial_files(files: Sequence[OutputFile]) -> Iterator[None]:
    """Remove the partial files where anything goes wrong, KeyboardInterrupt included."""
    try:
        yield
    except BaseException:
        for file in files:
            file.remove_partial()
        raise


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
            raise DatasetError(f"{file.name}: {str(file.path)!r} cannot be replaced: {error}{already}") from error
        replaced.append(repr(str(file.path)))
