"""Windows: frozen, integer, half-open. The only file that converts them.

Axis order is always (row, column). GRIDR's windows are inclusive pairs ``((first_row, last_row), (first_col,
last_col))``; they are converted at the door and never travel further.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import GridrTypeError, GridrValueError


@dataclass(frozen=True)
class Window:
    """Rows ``row_start <= row < row_stop`` and columns ``col_start <= col < col_stop`` of a raster."""

    row_start: int
    row_stop: int
    col_start: int
    col_stop: int

    @classmethod
    def whole(cls, shape_row_col: tuple[int, int]) -> Window:
        """Cover a raster of this shape."""
        return cls(0, shape_row_col[0], 0, shape_row_col[1])

    @classmethod
    def from_inclusive(cls, pairs: object, name: str) -> Window:
        """Convert GRIDR's inclusive pairs, given as tuples, lists or an array.

        Raises
        ------
        GridrTypeError
            If `pairs` is not two pairs of integers.
        GridrValueError
            If a pair is negative or its last is before its first.
        """
        expected = f"{name} must be inclusive pairs of integers ((first_row, last_row), (first_col, last_col))"
        (row_first, row_last), (col_first, col_last) = _integer_pairs(pairs, expected)
        if row_first < 0 or col_first < 0:
            raise GridrValueError(f"{name} must not start before 0, and {pairs!r} does", argument=name)
        if row_last < row_first or col_last < col_first:
            raise GridrValueError(f"{expected}, each last >= its first, not {pairs!r}", argument=expected)
        return cls(row_first, row_last + 1, col_first, col_last + 1)

    @classmethod
    def from_half_open(cls, pairs: object, name: str) -> Window:
        """Convert half-open pairs ``((row_start, row_stop), (col_start, col_stop))``, as rasterio's windows are.

        Raises
        ------
        GridrTypeError
            If `pairs` is not two pairs of integers.
        GridrValueError
            If a pair is negative or empty.
        """
        expected = f"{name} must be half-open pairs of integers ((row_start, row_stop), (col_start, col_stop))"
        (row_start, row_stop), (col_start, col_stop) = _integer_pairs(pairs, expected)
        if not (0 <= row_start < row_stop and 0 <= col_start < col_stop):
            raise GridrValueError(f"{expected}, each 0 <= start < stop, not {pairs!r}", argument=expected)
        return cls(row_start, row_stop, col_start, col_stop)

    @classmethod
    def of_raster(cls, value: object, shape_row_col: tuple[int, int], name: str) -> Window:
        """Convert a window of a raster of this shape, in any form: rasterio's, slices, half-open pairs, or this one.

        Raises
        ------
        GridrTypeError
            If `value` is none of these, or does not hold integers.
        GridrValueError
            If it is empty, or not within the raster.
        """
        pairs: object = value
        if all(hasattr(value, side) for side in ("row_off", "col_off", "height", "width")):
            given: Any = value
            offsets = (given.row_off, given.height), (given.col_off, given.width)
            pairs = [(start, start + size) for start, size in offsets]
        elif isinstance(value, tuple | list) and len(value) == 2 and any(isinstance(each, slice) for each in value):
            pairs = [_of_slice(each, size) for each, size in zip(value, shape_row_col, strict=True)]
        window = value if isinstance(value, cls) else cls.from_half_open(pairs, name)
        if not window.within(shape_row_col):
            raise GridrValueError(
                f"{name} must lie within the raster's {shape_row_col} rows and columns, not {value!r}", argument=name
            )
        return window

    def __str__(self) -> str:
        return f"rows {self.row_start} to {self.row_stop - 1}, columns {self.col_start} to {self.col_stop - 1}"

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.row_stop - self.row_start, self.col_stop - self.col_start

    def within(self, shape_row_col: tuple[int, int]) -> bool:
        """Say whether a raster of this shape holds the window."""
        return (
            0 <= self.row_start < self.row_stop <= shape_row_col[0]
            and 0 <= self.col_start < self.col_stop <= shape_row_col[1]
        )

    def moved(self, rows: int, cols: int) -> Window:
        """Return the window so many rows and columns further on."""
        return Window(self.row_start + rows, self.row_stop + rows, self.col_start + cols, self.col_stop + cols)

    def to_inclusive(self) -> NDArray[np.int64]:
        """Convert to GRIDR's inclusive pairs, an array of shape (2, 2)."""
        return np.array(
            [[self.row_start, self.row_stop - 1], [self.col_start, self.col_stop - 1]],
            dtype=np.int64,
        )

    def to_slices(self) -> tuple[slice, slice]:
        """Convert to the slices that cut the window out of an array."""
        return slice(self.row_start, self.row_stop), slice(self.col_start, self.col_stop)

    def to_rasterio(self) -> Any:
        """Convert to a `rasterio.windows.Window`."""
        from rasterio.windows import Window as RasterioWindow

        height, width = self.shape
        return RasterioWindow(self.col_start, self.row_start, width, height)


def _of_slice(value: Any, size: int) -> Any:
    """Return where a slice of an axis starts and stops; what is no slice, and one with a step, is returned as it is."""
    if not isinstance(value, slice) or value.step not in (None, 1):
        return value
    return 0 if value.start is None else value.start, size if value.stop is None else value.stop


def _integer_pairs(pairs: object, expected: str) -> list[list[int]]:
    try:
        array = np.asarray(pairs)
    except ValueError as error:  # ragged sequences
        raise GridrValueError(f"{expected}, not {pairs!r}", argument=expected) from error
    if array.dtype.kind == "O" and array.shape == (2, 2) and all(isinstance(item, int) for item in array.flat):
        raise GridrValueError(f"{expected} within 64 bits, not {pairs!r}", argument=expected)
    if array.dtype.kind not in "iuf":
        raise GridrTypeError(f"{expected}, not {pairs!r}", argument=expected)
    if array.shape != (2, 2):
        raise GridrValueError(f"{expected}, not something of shape {array.shape}", argument=expected)
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and (array == np.floor(array)).all()):
        raise GridrValueError(f"{expected}, not {pairs!r}", argument=expected)
    return [[int(start), int(stop)] for start, stop in array]
