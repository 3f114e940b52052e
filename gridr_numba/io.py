"""Windows in and out of datasets, through buffers that are allocated once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import groupby
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .errors import DatasetError
from .types import Pair
from .window import Window


class Dataset(Protocol):
    """What any dataset says of itself: rasterio's, an output that is not created yet, a double in a test."""

    @property
    def name(self) -> str:
        """What to call it in errors."""

    @property
    def shape(self) -> Pair:
        """Rows and columns."""

    @property
    def dtypes(self) -> Sequence[str]:
        """The data type of each band."""

    @property
    def block_shapes(self) -> Sequence[Pair]:
        """Rows and columns of each band's blocks."""


class BandSource(Dataset, Protocol):
    """A dataset that windows are read from. Its shape is that of the nodes, or of an image."""

    @property
    def nodatavals(self) -> Sequence[float | None]:
        """The nodata tag of each band."""

    @property
    def descriptions(self) -> Sequence[str | None]:
        """The name of each band."""

    def read(self, indexes: list[int], *, window: Any, out: NDArray[Any]) -> object:
        """Read some bands, numbered from 1, of a `rasterio.windows.Window`, converted to the type of `out`."""


class BandSink(Dataset, Protocol):
    """A dataset that windows are written to."""

    def write(self, values: NDArray[Any], indexes: list[int], *, window: Any) -> object:
        """Write some bands, numbered from 1, of a `rasterio.windows.Window`."""


class SourceBand(NamedTuple):
    """A band to read: the dataset, and the band's number from 1."""

    dataset: BandSource
    number: int


class SinkBand(NamedTuple):
    """A band to write: the dataset, and the band's number from 1."""

    dataset: BandSink
    number: int


#: Told of what is about to be written: the dataset, the bands' numbers, where, and the values in the file's type.
Watch = Callable[[BandSink, list[int], Window, NDArray[Any]], object]

Done = TypeVar("Done")
DatasetT = TypeVar("DatasetT", bound=Dataset)


class WindowBuffer:
    """Memory for the largest window of some bands, of which any smaller window takes a contiguous part."""

    def __init__(self, bands: int, dtype: DTypeLike) -> None:
        self._bands = bands
        self._memory: NDArray[Any] = np.empty(0, dtype)

    def reserve(self, shape_row_col: Pair) -> None:
        """Make room for windows up to this shape."""
        size = self._bands * shape_row_col[0] * shape_row_col[1]
        if size > len(self._memory):
            self._memory = np.empty(size, self._memory.dtype)
            self._memory.fill(0)  # touches it: memory that there is not fails here, before anything is written

    def part(self, shape_row_col: Pair) -> NDArray[Any]:
        """Return memory of shape (bands, rows, columns)."""
        self.reserve(shape_row_col)
        rows, cols = shape_row_col
        return self._memory[: self._bands * rows * cols].reshape(self._bands, rows, cols)


class WindowReader:
    """Reads the same bands window by window, each dataset in one call, GDAL converting to the buffer's type."""

    def __init__(self, bands: Sequence[SourceBand], dtype: DTypeLike) -> None:
        self._groups = list(_by_dataset(bands))
        self._buffer = WindowBuffer(len(bands), dtype)

    def reserve(self, shape_row_col: Pair) -> None:
        """Make room for windows up to this shape."""
        self._buffer.reserve(shape_row_col)

    def read(self, window: Window) -> NDArray[Any]:
        """Return an array (bands, rows, columns), valid until the next read."""
        out = self._buffer.part(window.shape)
        for dataset, indexes, bands in self._groups:
            with named_errors(dataset, "read"):
                dataset.read(indexes, window=window.to_rasterio(), out=out[bands])
        return out


class WindowWriter:
    """Writes the same bands window by window, each dataset in one call.

    One call takes half the time of a call a band where the file interleaves its bands by pixel.
    """

    def __init__(self, bands: Sequence[SinkBand], watch: Watch | None = None) -> None:
        self._groups = list(_by_dataset(bands))
        self._watch = watch
        self._values: list[NDArray[Any]] = []

    def finish(self, window: Window, values: NDArray[Any]) -> None:
        """Bring the values of a window to the files' types. What is left to do then waits for files alone."""
        self._values = []
        for dataset, indexes, bands in self._groups:
            its_values = values[bands].astype(np.dtype(dataset.dtypes[indexes[0] - 1]), copy=False)
            self._values.append(its_values)
            if self._watch is not None:
                self._watch(dataset, indexes, window, its_values)

    def write(self, window: Window) -> None:
        """Write what is finished."""
        for (dataset, indexes, _), values in zip(self._groups, self._values, strict=True):
            with named_errors(dataset, "write"):
                dataset.write(values, indexes, window=window.to_rasterio())


def _by_dataset(bands: Sequence[tuple[DatasetT, int]]) -> Iterator[tuple[DatasetT, list[int], slice]]:
    """Group neighbouring bands of one dataset: the dataset, its band numbers, and their place in the buffer."""
    start = 0
    for _, group in groupby(bands, key=lambda band: id(band[0])):
        members = list(group)
        yield members[0][0], [index for _, index in members], slice(start, start + len(members))
        start += len(members)


def in_background(calls: Iterable[Callable[[], Done]]) -> Generator[Done, None, None]:
    """Make calls in order on one thread of their own, each while the next one is being prepared.

    Yields what they return, as soon as the next call is prepared. Two calls are never prepared ahead of the one that
    runs, so two sets of buffers are enough. What a call raises is raised here, with its own traceback, before another
    call is made; once it is at its end, or closed, no thread and no call that runs is left behind.
    """
    from rasterio.env import getenv, hasenv

    with ThreadPoolExecutor(1, thread_name_prefix="gridr_numba-writer") as thread:
        running: Future[Done] | None = None
        for call in calls:
            if running is not None:
                yield running.result()
            running = thread.submit(_in_environment, call, dict(getenv()) if hasenv() else {})
        if running is not None:
            yield running.result()


def _in_environment(call: Callable[[], Done], options: dict[str, Any]) -> Done:
    """Make a call with the caller's rasterio environment, which belongs to a thread."""
    from rasterio.env import Env

    with Env(**options):
        return call()


@contextmanager
def named_errors(dataset: Any, verb: str) -> Iterator[None]:
    """Say which file failed: GDAL's own messages often do not."""
    try:
        yield
    except DatasetError:  # says it already
        raise
    except gdal_errors() as error:
        raise DatasetError(f"cannot {verb} {dataset.name!r}: {reason_of(error)}") from error


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


class _BlockCache:
    """GDAL's block cache is the process's: jobs that run at the same time bound it together.

    `rasterio.Env` does not do: left inside of another one, it does not restore the size, and two threads that enter
    and leave in turn would leave behind what the other one set.
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
