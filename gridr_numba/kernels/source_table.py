"""What the kernels of images are told: the source as a table, the interpolation, the output; and their scratch."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..types import Cause

Floats = NDArray[np.float64]
Reals = NDArray[Any]  # float32 or float64
Bytes = NDArray[np.uint8]
Pair = tuple[int, int]

OUTSIDE_SOURCE = np.uint8(Cause.OUTSIDE_SOURCE)
SOURCE_INVALID = np.uint8(Cause.SOURCE_INVALID)
VALID = np.uint8(0)

#: Pixels around the table: the edge, repeated. Lanczos' taps reach 3 pixels beyond it.
PAD = 4

#: How the taps are weighed, as the kernels are told.
NEAREST, LINEAR, CUBIC, LANCZOS3 = range(4)

#: What is counted of a window.
CLIPPED, EQUAL_TO_NODATA, OVERFLOWN, STRAY = range(4)
COUNTS = 4

#: Outputs, as the kernels are told: integers of 1, 2 and 4 bytes, with a sign or without, and reals of 4 and 8.
INTEGERS_1, INTEGERS_2, INTEGERS_4, REALS_4, REALS_8 = range(5)


class Source(NamedTuple):
    """The table, and which positions it answers.

    Attributes
    ----------
    pixels : float32 or float64, flat
        Bands of rows.
    band_stride, row_stride : int
        Pixels from one band to the next, and from one row to the next.
    origin : (float, float)
        Row and column in the image of the table's first pixel.
    reach : float64 (2, 2)
        The least and the largest position along each axis whose taps are in the table; the nearest interpolation's
        after its shift, and at the image's end those less than it.
    answered : float64 (2, 2)
        The same of those that need no look: before the interpolation's shift, in the image and within `reach` and,
        where the edge is strict, with all taps in the image. From 1 on where there are fractions, which then are
        multiples of 2**-52.
    clamp : float64 (2, 2)
        The least and the largest position along each axis that is split; what is beyond is moved there.
    last : (float, float)
        The largest whole part along each axis: the next one is split into this, and a fraction of 1.
    image_shape : (int, int)
    may_overflow : bool
        Whether a sum of pixels may be beyond the table's type: not where they are integers.
    largest : float
        Number of that type.
    raw : int
        Bytes of a pixel where there is no table, but integers as the image holds them, less than 0 where they have a
        sign; else 0.
    image_bytes : uint8, flat
        Those pixels; `band_stride`, `row_stride` and `origin` are theirs.
    valid : uint8, flat
        0 where one is invalid, else 1. Empty where all are valid.
    valid_stride : int
        From one band of `valid` to the next; 0 where it is of all bands.
    squares : uint8 (rows, columns)
        See `validity.look_at_squares`; of the window, without what is around it in a table. Empty where all are valid,
        but for NaN and infinities.
    around : int
        Rows and columns of the table before the window's.
    """

    pixels: Reals
    band_stride: int
    row_stride: int
    origin: tuple[float, float]
    reach: Floats
    answered: Floats
    clamp: Floats
    last: tuple[float, float]
    image_shape: Pair
    may_overflow: bool
    largest: float
    raw: int
    image_bytes: Bytes
    valid: Bytes
    valid_stride: int
    squares: Bytes
    around: int


class Tile(NamedTuple):
    """Where in a window a tile lies."""

    row_start: int
    row_stop: int
    col_start: int
    col_stop: int


class Taps(NamedTuple):
    """The interpolation.

    Attributes
    ----------
    kind : int
        `NEAREST`, `LINEAR`, `CUBIC` or `LANCZOS3`.
    support : int
        Taps on each side.
    shift : float
        Added to a position before its whole part is taken.
    strict : bool
        Whether a pixel with a tap beyond the image is outside.
    least, most : float
        Of a fraction that is not 0, as the table's type holds it.
    lanczos : float32 or float64 (parts, powers, LANES)
        Of the six taps of Lanczos' kernel, the powers of what a fraction is beyond its part of a pixel.
    """

    kind: int
    support: int
    shift: float
    strict: bool
    least: float
    most: float
    lanczos: Reals


class Lines(NamedTuple):
    """Scratch for a row of a tile. From `places` on there are whole eights of columns.

    Attributes
    ----------
    spread : float64 (2, 2, columns)
        The node rows above and below, by parity of the node row; rows and columns of the source.
    valid_sums : float64 (2, columns)
        The same of the coarse mask.
    blended : float64 (2, columns)
        Positions, where they are looked at one by one.
    places : float64 (columns,)
        Where in the table the first taps are, `PLACE_BASE` added.
    valid : uint8 (columns,)
        1 where the taps are valid, else 0.
    row_fractions, col_fractions : float32 or float64 (columns,)
    values : float32 or float64 (bands, columns)
        What is made. Of invalid pixels, anything.
    """

    spread: Floats
    valid_sums: Floats
    blended: Floats
    places: Floats
    valid: Bytes
    row_fractions: Reals
    col_fractions: Reals
    values: Reals


class Finish(NamedTuple):
    """What becomes of numbers.

    Attributes
    ----------
    kind : int
        `INTEGERS_1` and so on.
    size : int
        Bytes of a pixel.
    limit : float
        The largest magnitude that it holds; infinity where what is beyond is clipped.
    low, high : float
        Of its integers.
    fill : float
        Of invalid pixels; of integers, that without a sign which has the same bits.
    nodata : float
        What a valid pixel should not be, in the same way.
    has_nodata : bool
        Whether there is one.
    """

    kind: int
    size: int
    limit: float
    low: float
    high: float
    fill: float
    nodata: float
    has_nodata: bool
