"""Windows in and out of datasets, through buffers that are allocated once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from ..types import AnyArray, Colour, Pair
from ..window import Window
from .gdal import named_errors


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
    """A dataset that windows are read from. Its shape is that of the nodes, or of an image.

    It may have `scales` and `offsets` too, a number a band, as rasterio's datasets do; see `scaling_of`.
    """

    @property
    def nodatavals(self) -> Sequence[float | None]:
        """The nodata tag of each band."""

    @property
    def descriptions(self) -> Sequence[str | None]:
        """The name of each band."""

    def read(self, indexes: list[int], *, window: Any, out: AnyArray) -> object:
        """Read some bands, numbered from 1, of a `rasterio.windows.Window`, converted to the type of `out`."""


class BandSink(Dataset, Protocol):
    """A dataset that windows are written to."""

    def write(self, values: AnyArray, indexes: list[int], *, window: Any) -> object:
        """Write some bands, numbered from 1, of a `rasterio.windows.Window`."""


class Nowhere:
    """A sink for arrays that the caller keeps: a step fills them, and nothing writes them anywhere."""

    name = ""
    shape = (0, 0)
    dtypes = ()
    block_shapes = ()

    def write(self, values: AnyArray, indexes: list[int], *, window: Any) -> object:
        """Refuse: there is no file."""
        raise NotImplementedError


class SourceBand(NamedTuple):
    """A band to read: the dataset, the band's number from 1, and the argument that named the dataset, for errors."""

    dataset: BandSource
    number: int
    argument: str | None = None


class SinkBand(NamedTuple):
    """A band to write: the dataset, the band's number from 1, and the argument that named the dataset, for errors."""

    dataset: BandSink
    number: int
    argument: str | None = None


def scaling_of(band: SourceBand) -> tuple[float, float]:
    """Return the scale and the offset that a band's tags say; 1 and 0 where they say none."""
    tags = ((getattr(band.dataset, name, None), default) for name, default in (("scales", 1.0), ("offsets", 0.0)))
    scale, offset = (float(values[band.number - 1]) if values else default for values, default in tags)
    return scale, offset


@dataclass(frozen=True)
class BandTraits:
    """What a band says of its values: it goes with them to the output.

    Attributes
    ----------
    description, units : str or None
    scale, offset : float
    colour : rasterio.enums.ColorInterp
    colours : dict
        Its colour table; empty where it has none.
    """

    description: str | None
    units: str | None
    scale: float
    offset: float
    colour: Any
    colours: dict[int, Colour] = field(default_factory=dict)


#: Told of what is about to be written: the dataset, the bands' numbers, where, and the values in the file's type.
Watch = Callable[[BandSink, list[int], Window, AnyArray], object]

BandT = TypeVar("BandT", SourceBand, SinkBand)


class WindowBuffer:
    """Memory for the largest window of some bands, of which any smaller window takes a contiguous part."""

    def __init__(self, bands: int, dtype: DTypeLike) -> None:
        self._bands = bands
        self._memory: AnyArray = np.empty(0, dtype)

    def reserve(self, shape_row_col: Pair, *, touched: bool = True) -> None:
        """Make room for windows up to this shape.

        Memory that there is not then fails here, before anything is written. Where it is not `touched`, it fails when
        it is used: for room of which most is not used as a rule, since new pages cost more than the arithmetic.
        """
        size = self._bands * shape_row_col[0] * shape_row_col[1]
        if size > len(self._memory):
            self._memory = np.empty(size, self._memory.dtype)
            if touched:
                self._memory.fill(0)

    def part(self, shape_row_col: Pair, *, touched: bool = True) -> AnyArray:
        """Return memory of shape (bands, rows, columns)."""
        self.reserve(shape_row_col, touched=touched)
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

    def read(self, window: Window) -> AnyArray:
        """Return an array (bands, rows, columns), valid until the next read."""
        out = self._buffer.part(window.shape)
        for (dataset, _, argument), indexes, bands in self._groups:
            with named_errors(dataset, "read", argument):
                dataset.read(indexes, window=window.to_rasterio(), out=out[bands])
        return out


class WindowWriter:
    """Writes the same bands window by window, each dataset in one call: bands may share its blocks."""

    def __init__(self, bands: Sequence[SinkBand], watch: Watch | None = None) -> None:
        self._groups = list(_by_dataset(bands))
        self._watch = watch
        self._values: list[AnyArray] = []

    def finish(self, window: Window, values: AnyArray) -> None:
        """Bring the values of a window to the files' types. What is left to do then waits for files alone."""
        self._values = []
        for (dataset, _, _), indexes, bands in self._groups:
            its_values = values[bands].astype(np.dtype(dataset.dtypes[indexes[0] - 1]), copy=False)
            self._values.append(its_values)
            if self._watch is not None:
                self._watch(dataset, indexes, window, its_values)

    def write(self, window: Window) -> None:
        """Write what is finished."""
        for ((dataset, _, argument), indexes, _), values in zip(self._groups, self._values, strict=True):
            with named_errors(dataset, "write", argument):
                dataset.write(values, indexes, window=window.to_rasterio())


def _by_dataset(bands: Sequence[BandT]) -> Iterator[tuple[BandT, list[int], slice]]:
    """Group neighbouring bands of one dataset and type: the first, the bands' numbers, their place in the buffer."""
    start = 0
    for _, group in groupby(bands, key=lambda band: (id(band.dataset), band.dataset.dtypes[band.number - 1])):
        members = list(group)
        yield members[0], [band.number for band in members], slice(start, start + len(members))
        start += len(members)
