"""A window of a source image as the kernels take it, and which of its pixels are valid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..georef import pixel_area
from ..kernels.jit import share, usable_threads
from ..kernels.source_table import NEAREST, PAD, Source, Taps
from ..kernels.validity import SQUARE, look_at_squares, void_pixels
from ..kernels.vectors import LANES
from ..types import AnyArray, AnyDtype, Interpolation, Pair, Range
from .codes import parts_of
from .dense import NO_BYTES, largest_float64_in


def table_dtype(dtype: AnyDtype) -> AnyDtype:
    """Return the type in which pixels of this one are summed: one that holds them."""
    return np.dtype(np.float32 if dtype.itemsize <= 2 or dtype == np.float32 else np.float64)


def stays_raw(interpolation: Interpolation, dtype: AnyDtype, out_dtype: AnyDtype, image_shape: Pair) -> bool:
    """Say whether `RawPixels` are enough, which take less memory and time than a table.

    Integers that are copied are; and small ones of which two by two are summed, in an image that has as many.
    """
    if interpolation is Interpolation.LINEAR:
        return dtype.kind != "f" and dtype.itemsize <= 2 and min(image_shape) >= 2
    return interpolation is Interpolation.NEAREST and dtype == out_dtype and dtype.kind != "f"


def table_size(bands: int, shape_row_col: Pair) -> int:
    """Return how many numbers the table of a source window has: its pixels, and what vectors may read after them."""
    return bands * (shape_row_col[0] + 2 * PAD) * (shape_row_col[1] + 2 * PAD) + LANES


def bytes_of(valid: NDArray[np.bool_] | None) -> NDArray[np.uint8]:
    """Return which pixels are valid, band by band, for the kernels: not a copy, as a rule. None is nothing at all."""
    if valid is None:
        return NO_BYTES[np.newaxis]
    pixels = np.require(valid, requirements=("C", "W"))  # kernels are compiled for arrays that may be written
    return pixels.view(np.uint8).reshape(-1, *valid.shape[-2:])


def squares_of(valid: NDArray[np.uint8], threads: int | None = None) -> NDArray[np.uint8]:
    """Return what squares of pixels are: see `validity.look_at_squares`. Nothing where all are valid."""
    squares = np.empty([-(-side // SQUARE) for side in valid.shape[1:]], np.uint8)
    remaining = iter(range(len(squares)))  # shared: each row of squares is taken once

    def work() -> None:
        for row in remaining:
            look_at_squares(valid, row, squares)

    share(work, min(usable_threads(threads), len(squares)))
    return squares


def source_validity(
    values: AnyArray,
    nodata: Sequence[float | None],
    mask: NDArray[np.bool_] | None = None,
    *,
    all_bands: bool = False,
    out: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.bool_] | None, NDArray[np.bool_] | None]:
    """Say which pixels of a window of an image are valid, as far as nodata and a mask do.

    Parameters
    ----------
    values : ndarray (bands, rows, columns)
    nodata : sequence of float or None
        Of each band; None, NaN and what its type does not hold are no pixel's.
    mask : bool (rows, columns) or (bands, rows, columns), optional
        Of valid pixels.
    all_bands : bool
        Only pixels that are nodata in all bands are invalid, as GDAL has it. False: each band for itself.
    out : bool (bands, rows, columns), optional
        Room for what is found out. None is new memory.

    Returns
    -------
    valid : bool (rows, columns) or (bands, rows, columns), or None
        None where all are valid. NaN and infinities are the table's business.
    differing : bool (rows, columns), or None
        Pixels that are nodata in some bands and not in others; None where there are none.
    """
    held = [number is not None and _holds(values.dtype, number) for number in nodata]
    differing, valid = None, mask
    if any(held):
        said: NDArray[np.bool_] = np.empty(values.shape, bool) if out is None else out
        for band, number in enumerate(nodata):
            if held[band]:
                np.not_equal(values[band], values.dtype.type(number), out=said[band])
            else:
                said[band] = True
        if not said.all():
            if len(values) > 1:
                differing = np.logical_or.reduce(said) & ~np.logical_and.reduce(said)
            valid = said if mask is None else np.logical_and(said, mask, out=said)
    if all_bands and valid is not None and valid.ndim > 2:
        valid = np.logical_or.reduce(valid)
    return valid, differing


def _holds(dtype: AnyDtype, number: float) -> bool:
    if dtype.kind == "f":
        return bool(np.isinf(number)) or abs(number) <= largest_float64_in(dtype)  # and no NaN
    limits = np.iinfo(dtype)
    return bool(limits.min <= number <= limits.max and number == np.floor(number))


@dataclass(frozen=True)
class SourceTable:
    """A window of a source image, as taps are taken from it.

    Attributes
    ----------
    numbers : float32 or float64, flat
        `table_size` of them.
    shape : tuple of int
        Bands, rows + 2 PAD and columns + 2 PAD: of `pixels`. Invalid ones are NaN. The window's edge is repeated `PAD`
        pixels deep, which is the image's where they meet; elsewhere no tap is taken there.
    origin_row_col : tuple of int
        Where in the image the window begins.
    image_shape : tuple of int
        Rows and columns of the whole image.
    of_reals : bool
        Whether the image holds floating-point numbers.
    squares : uint8 (rows, columns)
        See `squares_of`.
    """

    numbers: AnyArray
    shape: tuple[int, int, int]
    origin_row_col: Pair
    image_shape: Pair
    of_reals: bool
    squares: NDArray[np.uint8]

    @classmethod
    def of(
        cls,
        values: AnyArray,
        valid: NDArray[np.bool_] | None,
        origin_row_col: Pair,
        image_shape: Pair,
        out: AnyArray | None = None,
        threads: int | None = None,
    ) -> SourceTable:
        """Make the table of a window.

        Parameters
        ----------
        values : ndarray (bands, rows, columns)
            One of `types.IMAGE_DTYPES`. NaN and infinities are invalid.
        valid : bool (rows, columns) or (bands, rows, columns), optional
            See `source_validity`.
        origin_row_col, image_shape : tuple of int
        out : ndarray, optional
            Flat, of `table_dtype` and at least `table_size`: the table is made there. None is a new one.
        threads : int, optional
            None is all that the process may use. Nothing depends on it.
        """
        bands, rows, cols = values.shape
        dtype = table_dtype(values.dtype)
        size = table_size(bands, (rows, cols))
        numbers = np.empty(size, dtype) if out is None else out[:size]
        numbers[-LANES:] = 0
        shape = bands, rows + 2 * PAD, cols + 2 * PAD
        its_valid = bytes_of(valid)
        squares = squares_of(its_valid, threads)
        table = cls(numbers, shape, origin_row_col, image_shape, values.dtype.kind == "f", squares)
        pixels = table.pixels
        parts = parts_of((rows, cols))
        remaining = iter(parts)  # shared: each part is taken once

        def work() -> None:
            for part in remaining:
                row = PAD + part.start
                for band in range(bands):
                    mask = None if valid is None else its_valid[band if len(its_valid) > 1 else 0, part]
                    _fill(values[band, part], mask, pixels[band], row)

        share(work, min(usable_threads(threads), len(parts)))
        pixels[:, :PAD] = pixels[:, PAD : PAD + 1]
        pixels[:, PAD + rows :] = pixels[:, PAD + rows - 1 : PAD + rows]
        return table

    @property
    def pixels(self) -> AnyArray:
        """The table as bands of rows."""
        return self.numbers[:-LANES].reshape(self.shape)

    @property
    def raw(self) -> None:
        """These are numbers."""

    @property
    def dtype(self) -> AnyDtype:
        """Of the numbers."""
        return self.numbers.dtype

    def source(self, taps: Taps) -> Source:
        """Return it as the kernels take it."""
        reach = np.empty((2, 2))
        for axis, (start, length, size) in enumerate(
            zip(self.origin_row_col, self.shape[1:], self.image_shape, strict=True)
        ):
            stop = start + length - 2 * PAD
            first = start - (PAD if start == 0 else 0)
            # One less: at the largest position, a whole one, all taps are read, and those that do not count weigh 0.
            last = stop + (PAD - 1 if stop == size else 0)
            reach[axis] = first + taps.support - 1, last - taps.support
        _, rows, cols = self.shape
        return Source(
            self.numbers,
            rows * cols,
            cols,
            (float(self.origin_row_col[0] - PAD), float(self.origin_row_col[1] - PAD)),
            reach,
            _answered(reach, taps, self.image_shape),
            reach,
            (np.inf, np.inf),
            self.image_shape,
            self.of_reals,
            float(np.finfo(self.numbers.dtype).max),
            0,
            NO_BYTES.reshape(-1),
            NO_BYTES.reshape(-1),
            0,
            self.squares,
            PAD,
        )


@dataclass(frozen=True)
class RawPixels:
    """A window of a source image as it is, of which pixels are copied, or two by two are summed.

    The image's edge is not repeated: a position beyond the middle of its last pixels has the value that is there.

    Attributes
    ----------
    values : ndarray (bands, rows, columns)
        Integers, C-contiguous.
    valid : uint8 (1 or bands, rows, columns)
        0 where they are invalid, else 1. Empty where all are valid.
    squares : uint8 (rows, columns)
        See `squares_of`.
    origin_row_col, image_shape
        As `SourceTable` has them.
    """

    values: AnyArray
    valid: NDArray[np.uint8]
    squares: NDArray[np.uint8]
    origin_row_col: Pair
    image_shape: Pair

    @classmethod
    def of(
        cls,
        values: AnyArray,
        valid: NDArray[np.bool_] | None,
        origin_row_col: Pair,
        image_shape: Pair,
        threads: int | None = None,
    ) -> RawPixels:
        """Look at a window: the arguments are those of `SourceTable.of`. Neither array is copied, as a rule."""
        values = np.require(values, requirements=("C", "W"))
        pixels = bytes_of(valid)
        return cls(values, pixels, squares_of(pixels, threads), origin_row_col, image_shape)

    @property
    def raw(self) -> AnyDtype:
        """Of the pixels."""
        return self.values.dtype

    @property
    def dtype(self) -> AnyDtype:
        """Of a table that there is not: the kernels are those of one of these."""
        return _NO_NUMBERS.dtype

    def source(self, taps: Taps) -> Source:
        """Return it as the kernels take it."""
        _, rows, cols = self.values.shape
        starts = self.origin_row_col
        axes = [
            _raw_axis(taps, start, start + side, size)
            for start, side, size in zip(starts, (rows, cols), self.image_shape, strict=True)
        ]
        reach, sure, clamp, last = (np.array(each, np.float64) for each in zip(*axes, strict=True))
        return Source(
            _NO_NUMBERS,
            rows * cols,
            cols,
            (float(starts[0]), float(starts[1])),
            reach,
            _answered(sure, taps, self.image_shape),
            clamp,
            (float(last[0]), float(last[1])),
            self.image_shape,
            False,
            float(np.finfo(_NO_NUMBERS.dtype).max),
            -self.raw.itemsize if self.raw.kind == "i" else self.raw.itemsize,
            self.values.reshape(-1).view(np.uint8),
            self.valid.reshape(-1),
            rows * cols if len(self.valid) > 1 else 0,
            self.squares,
            0,
        )


#: Either.
SourceWindow = SourceTable | RawPixels


def source_window(
    values: AnyArray,
    valid: NDArray[np.bool_] | None,
    origin_row_col: Pair,
    image_shape: Pair,
    *,
    raw: bool,
    out: AnyArray | None = None,
    threads: int | None = None,
) -> SourceWindow:
    """Return a window as `RawPixels` where it `stays_raw`, else as a `SourceTable`, whose arguments these are."""
    if raw:
        return RawPixels.of(values, valid, origin_row_col, image_shape, threads)
    return SourceTable.of(values, valid, origin_row_col, image_shape, out, threads)


_NO_NUMBERS: NDArray[np.float32] = np.zeros(LANES, np.float32)


def _raw_axis(taps: Taps, start: int, stop: int, size: int) -> tuple[Range, Range, Range, float]:
    """Return `reach`, what of it needs no look, `clamp` and `last` of `Source`, of some pixels of an image's axis."""
    if taps.kind == NEAREST:
        whole = start, float(np.nextafter(stop, 0))
        return whole, whole, whole, np.inf
    if stop - start < 2:
        raise ValueError(f"two by two pixels are summed, not {stop - start} along an axis")
    low, high = pixel_area(size)
    reach = low if start == 0 else start, high if stop == size else stop - 1
    return reach, (start, float(np.nextafter(stop - 1, 0))), (start, stop - 1), stop - 2


def _answered(reach: NDArray[np.float64], taps: Taps, image_shape: Pair) -> NDArray[np.float64]:
    """Return which positions need no look, of those within reach."""
    answered = np.empty((2, 2))
    for axis, size in enumerate(image_shape):
        low, high = pixel_area(size)
        answered[axis] = max(reach[axis, 0] - taps.shift, low), min(reach[axis, 1] - taps.shift, high)
        if taps.kind != NEAREST:
            answered[axis, 0] = max(answered[axis, 0], 1.0)
            if taps.strict:
                answered[axis] = max(answered[axis, 0], taps.support - 1), min(answered[axis, 1], size - taps.support)
    return answered


def _fill(values: AnyArray, valid: NDArray[np.uint8] | None, out: AnyArray, row: int) -> None:
    """Write some rows of a band into a table's, from a row on, and what is left and right of them."""
    rows, cols = values.shape
    body = out[row : row + rows, PAD : PAD + cols]
    np.copyto(body, values)
    void = out.dtype.type(np.nan)
    if values.dtype.kind == "f":
        void_pixels(np.isfinite(body).view(np.uint8), row, PAD, void, out)
    if valid is not None:
        void_pixels(valid, row, PAD, void, out)
    _repeat_sides(out[row : row + rows])


def _repeat_sides(rows: AnyArray) -> None:
    """Write what is left and right of some rows of a table."""
    rows[:, :PAD] = rows[:, PAD : PAD + 1]
    rows[:, -PAD:] = rows[:, -PAD - 1 : -PAD]
