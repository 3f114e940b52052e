"""Strips in and out of datasets, through buffers that are allocated once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .errors import DatasetError
from .window import Window

#: A band of a dataset: the dataset, and the band's number from 1.
Band = tuple[Any, int]
#: Told of what was written: the dataset, the band's number, where, and the values as the file's type has them.
Written = Callable[[Any, int, Window, NDArray[Any]], object]


class StripBuffer:
    """Memory for the largest strip of some bands, of which any smaller strip takes a contiguous part."""

    def __init__(self, bands: int, shape_row_col: tuple[int, int], dtype: DTypeLike) -> None:
        self._bands = bands
        self._memory: NDArray[Any] = np.empty(bands * shape_row_col[0] * shape_row_col[1], dtype)

    def part(self, shape_row_col: tuple[int, int]) -> NDArray[Any]:
        """Return memory of shape (bands, rows, columns)."""
        rows, cols = shape_row_col
        return self._memory[: self._bands * rows * cols].reshape(self._bands, rows, cols)

    def viewed(self, dtype: DTypeLike) -> StripBuffer:
        """Return the same memory as another type of the same size."""
        other = StripBuffer(0, (0, 0), dtype)
        other._bands, other._memory = self._bands, self._memory.view(dtype)
        return other


class StripReader:
    """Reads the same bands strip by strip, each dataset in one call, GDAL converting to the buffer's type."""

    def __init__(self, bands: Sequence[Band], shape_row_col: tuple[int, int], dtype: DTypeLike) -> None:
        self._groups = list(_by_dataset(bands))
        self._buffer = StripBuffer(len(bands), shape_row_col, dtype)

    def read(self, window: Window) -> NDArray[Any]:
        """Return an array (bands, rows, columns), valid until the next read."""
        out = self._buffer.part(window.shape)
        for dataset, indexes, bands in self._groups:
            with _named_errors(dataset, "read"):
                dataset.read(indexes, window=window.to_rasterio(), out=out[bands])
        return out


class StripWriter:
    """Writes the same bands strip by strip, each dataset in one call.

    One call takes half the time of a call a band where the file interleaves its bands by pixel.
    """

    def __init__(self, bands: Sequence[Band], buffer: StripBuffer, written: Written | None = None) -> None:
        self._groups = list(_by_dataset(bands))
        self._buffer = buffer
        self._written = written

    def buffer(self, shape_row_col: tuple[int, int]) -> NDArray[Any]:
        """Return an array (bands, rows, columns) to fill for the next write."""
        return self._buffer.part(shape_row_col)

    def write(self, window: Window) -> None:
        """Write what was filled in."""
        filled = self._buffer.part(window.shape)
        for dataset, indexes, bands in self._groups:
            dtype = np.dtype(dataset.dtypes[indexes[0] - 1])
            values = filled[bands].astype(dtype, copy=False)
            with _named_errors(dataset, "write"):
                dataset.write(values, indexes, window=window.to_rasterio())
            if self._written is not None:
                for index, band in zip(indexes, values, strict=True):
                    self._written(dataset, index, window, band)


def _by_dataset(bands: Sequence[Band]) -> Iterator[tuple[Any, list[int], slice]]:
    """Group neighbouring bands of one dataset: the dataset, its band numbers, and their place in the buffer."""
    start = 0
    for _, group in groupby(bands, key=lambda band: id(band[0])):
        members = list(group)
        yield members[0][0], [index for _, index in members], slice(start, start + len(members))
        start += len(members)


@contextmanager
def _named_errors(dataset: Any, verb: str) -> Iterator[None]:
    """Say which file failed: GDAL's own messages often do not."""
    from rasterio.errors import RasterioError

    try:
        yield
    except (RasterioError, OSError) as error:  # before rasterio 1.4, its I/O errors are no RasterioError
        raise DatasetError(f"cannot {verb} {dataset.name!r}: {error}") from error


def block_height(datasets: Sequence[Any]) -> int:
    """Return the height of the tallest block of some datasets."""
    return max((height for dataset in datasets for height, _ in dataset.block_shapes), default=1)
