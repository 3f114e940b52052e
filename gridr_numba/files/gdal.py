"""GDAL's habits: its errors, and its block cache."""

from __future__ import annotations

import logging
import os
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import DatasetError, GridrValueError

#: What GDAL opens beside a raster, under its whole name and one of these, whatever it is.
OPENED_BESIDE = (".ovr", ".msk")
#: What it takes for a part of a raster, under its whole name: overviews and masks, and statistics and other metadata.
READ_BESIDE = (*OPENED_BESIDE, ".aux.xml")
#: The last suffixes of files that it reads with another one of the same name: of rasters, then of polygon files.
PARTS = frozenset(
    [
        *(".hdr", ".imd", ".rpb", ".tfw", ".wld", ".aux", ".xml", *OPENED_BESIDE),
        *(".shp", ".shx", ".dbf", ".prj", ".cpg", ".qix", ".sbn", ".sbx"),
    ]
)


def check_name(path: Path, argument: str) -> None:
    """Refuse a path that GDAL cannot be given, whose names are UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise GridrValueError(
            f"{argument} must be a path in UTF-8, which {os.fsencode(path)!r} is not", argument=argument
        ) from None


@contextmanager
def named_errors(dataset: Any, verb: str, argument: str | None) -> Iterator[None]:
    """Say which file failed, and which argument named it: GDAL's own messages often do not."""
    try:
        yield
    except DatasetError:  # says it already
        raise
    except gdal_errors() as error:
        whose = "" if argument is None else f"{argument}: "
        raise DatasetError(f"{whose}cannot {verb} {dataset.name!r}: {reason_of(error)}", argument=argument) from error


def gdal_errors() -> tuple[type[Exception], ...]:
    """Return what rasterio raises where GDAL fails. Not all of it is a RasterioError: some is GDAL's error as it is."""
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    return RasterioError, CPLE_BaseError, OSError  # before rasterio 1.4, its I/O errors are no RasterioError


def reason_of(error: BaseException) -> str:
    """Return GDAL's own words where rasterio only says to see the exception before."""
    words = [str(error)]
    while error.__cause__ is not None:
        error = error.__cause__
        words.append(str(error))
    return "; ".join(dict.fromkeys(words))


_WARNINGS_LOCK = threading.RLock()


@contextmanager
def gdal_warnings() -> Iterator[list[str]]:
    """Gather what GDAL warns of in this thread, instead of having rasterio log it."""
    found: list[str] = []
    thread = threading.get_ident()

    def gather(record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING or record.thread != thread:
            return True
        found.append(re.sub(r"^CPLE_\w+ in ", "", record.getMessage()))
        return False

    logger = logging.getLogger("rasterio._env")
    with _WARNINGS_LOCK:  # levels are the process's
        level, disabled = logger.level, logging.root.manager.disable
        logging.disable(logging.NOTSET)
        logger.setLevel(logging.WARNING)
        logger.addFilter(gather)
        try:
            yield found
        finally:
            logger.removeFilter(gather)
            logger.setLevel(level)
            logging.disable(disabled)


_FILTERS = threading.Lock()


@contextmanager
def nowhere_on_purpose() -> Iterator[None]:
    """Have rasterio not warn of a file of our own that has no place on the map.

    For moments: the filters are the process's, and are changed and restored by one thread at a time.
    """
    from rasterio.errors import NotGeoreferencedWarning

    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def open_own(path: Any, mode: str = "r", **options: Any) -> Any:
    """Open a file of our own with rasterio, which is not to warn of one that has no place on the map."""
    import rasterio

    with nowhere_on_purpose():
        return rasterio.open(path, mode, **options)


class _BlockCache:
    """GDAL's block cache is the process's: jobs that run at the same time bound it together.

    The first to come in notes the size, the last to leave restores it, in whatever order and threads they do.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sizes: list[int] = []
        self._before = 0

    @contextmanager
    def at_most(self, size: int) -> Iterator[None]:
        """Bound the cache inside to so many bytes, or to what it is, if that is less."""
        from rasterio.env import get_gdal_config, set_gdal_config

        def update() -> None:
            set_gdal_config("GDAL_CACHEMAX", min(self._before, sum(self._sizes)) if self._sizes else self._before)

        with self._lock:
            if not self._sizes:
                self._before = int(get_gdal_config("GDAL_CACHEMAX"))
            self._sizes.append(size)
            update()
        try:
            yield
        finally:
            with self._lock:
                self._sizes.remove(size)
                update()


block_cache = _BlockCache()
