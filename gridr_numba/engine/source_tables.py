"""Windows of a source image, read in memory that is allocated once; and what was read is counted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..files.bands import WindowBuffer
from ..files.source import SourceImage
from ..types import Pair
from ..window import Window
from .source_box import blocks_in, united
from .tables import SourceWindow, source_validity, source_window, table_dtype, table_size

# Windows that were read are looked up by squares of so many pixels a side.
_SQUARE = 2048, 2048


class SourceUse:
    """What was read of a source image, and what was seen in it.

    Attributes
    ----------
    box : Window or None
        All that was looked up lies in it.
    pixels : int
        As they were read, again where windows share them.
    torn : int
        Pixels of which some of the bands hold nodata and others do not; each counts once.
    """

    def __init__(self) -> None:
        self.box: Window | None = None
        self.pixels = self.torn = 0
        # Of windows with torn pixels, those in each square: few of them share pixels, and they may be many.
        self._torn_in: defaultdict[Pair, list[Window]] = defaultdict(list)

    def add(self, box: Window, torn: NDArray[np.bool_] | None) -> None:
        """Count a window that was read."""
        self.box = united(iter([self.box, box]))
        self.pixels += box.shape[0] * box.shape[1]
        if torn is None or not torn.any():
            return
        for other in {each for square in _squares(box) for each in self._torn_in[square]}:
            rows = slice(max(other.row_start - box.row_start, 0), max(other.row_stop - box.row_start, 0))
            cols = slice(max(other.col_start - box.col_start, 0), max(other.col_stop - box.col_start, 0))
            torn[rows, cols] = False
        found = int(np.count_nonzero(torn))
        self.torn += found
        for square in _squares(box) if found else ():
            self._torn_in[square].append(box)


def _squares(box: Window) -> Iterator[Pair]:
    rows, cols = blocks_in(box, _SQUARE).to_slices()
    return ((row, col) for row in range(rows.start, rows.stop) for col in range(cols.start, cols.stop))


class SourceTables:
    """Reads windows of a source image as the kernels take them, of which so many are in use at a time, by turns.

    Parameters
    ----------
    image : SourceImage
    tables : int
    threads : int or None
        To fill them with.
    raw : bool
        As `tables.stays_raw` says: no table is made.

    Attributes
    ----------
    use : SourceUse
    """

    def __init__(self, image: SourceImage, tables: int, threads: int | None, *, raw: bool = False) -> None:
        self.use = SourceUse()
        self._image, self._threads, self._raw = image, threads, raw
        read = tables if raw else 1
        self._values = [WindowBuffer(len(image.indexes), image.dtype) for _ in range(read)]
        self._valid = [WindowBuffer(len(image.indexes), np.bool_) for _ in range(read)]
        self._tables = [WindowBuffer(1, table_dtype(image.dtype)) for _ in range(0 if raw else tables)]

    @staticmethod
    def bytes_per_pixel(image: SourceImage, tables: int, *, raw: bool) -> int:
        """Return what a pixel takes in all that is in use at a time, and on its way there."""
        bands, tagged = len(image.indexes), any(tag is not None for tag in image.nodata)
        read = image.buffer_bytes_per_pixel + (0 if not tagged else bands + (2 if bands > 1 else 0))
        return tables * read if raw else tables * bands * table_dtype(image.dtype).itemsize + read

    def reserve(self, pixels: int) -> None:
        """Make room for windows of so many pixels, with those around each of its bands in a table."""
        bands = len(self._image.indexes)
        for values in self._values:
            values.reserve((1, pixels), touched=False)
        for table in self._tables:
            table.reserve((1, table_size(bands, (1, pixels))), touched=False)

    def read(self, box: Window | None) -> SourceWindow:
        """Read a window as the next one: valid until as many more are read as are in use at a time."""
        image = self._image
        if box is None:  # no pixel has a position in the image, and none takes anything of this
            nothing = np.zeros((len(image.indexes), 2, 2), image.dtype)
            return source_window(nothing, None, (0, 0), image.shape, raw=self._raw, threads=1)
        for buffers in (self._values, self._valid, self._tables):
            buffers[:] = buffers[1:] + buffers[:1]
        values, mask = image.read(box, self._values[0].part(box.shape))
        room = self._valid[0].part(box.shape, touched=False)
        valid, differing = source_validity(values, image.nodata, mask, all_bands=image.validity == "all", out=room)
        self.use.add(box, differing)
        origin = box.row_start, box.col_start
        numbers = None
        if not self._raw:
            numbers = self._tables[0].part((1, table_size(len(values), box.shape)), touched=False)[0, 0]
        return source_window(values, valid, origin, image.shape, raw=self._raw, out=numbers, threads=self._threads)

    def only(self, box: Window) -> SourceWindow:
        """Read the one window that there is, and leave no more memory in use than it takes."""
        source = self.read(box)
        self._values, self._valid, self._tables = [], [], []
        return source
