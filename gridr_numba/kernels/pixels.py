"""Numbers of a row -> pixels of the output's type; and pixels that are copied as they are.

Outputs are handed over as bytes and looked at by their size: what is done is compiled once for each size.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bilinear import causes_in
from .jit import helper, kernel
from .source_table import (
    CLIPPED,
    EQUAL_TO_NODATA,
    INTEGERS_1,
    INTEGERS_2,
    INTEGERS_4,
    PLACE_BITS_UNSIGNED,
    REALS_4,
    SOURCE_INVALID,
    VALID,
    Finish,
)
from .taps import fetch_ahead, take_nearest

Floats = NDArray[np.float64]
Reals = NDArray[Any]  # float32 or float64
Integers = NDArray[np.int64]
Bytes = NDArray[np.uint8]


@helper
def take_raw(
    pixels: Reals, raw: int, shift: int, voids: int, ahead: int, places: Floats, causes: Bytes, out: Bytes
) -> None:
    """Copy the one tap of each pixel, whose bytes are looked at as an integer without a sign; mark the invalid ones."""
    if raw == 1:
        zeros = take_some(pixels.view(np.uint8), shift, ahead, places, causes, out)
    elif raw == 2:
        zeros = take_some(pixels.view(np.uint16), shift, ahead, places, causes, out.view(np.uint16))
    else:
        zeros = take_some(pixels.view(np.uint32), shift, ahead, places, causes, out.view(np.uint32))
    if voids >= 0 and zeros > 0:
        mark_voids(pixels.view(np.uint8), np.uint64(shift + voids), places, causes)


@helper
def take_some(pixels: Any, shift: int, ahead: int, places: Floats, causes: Bytes, out: Any) -> int:
    """Copy the one tap, and return how many are 0, as invalid ones are."""
    fetch_ahead(pixels, shift + ahead, places)
    take_nearest(pixels, np.uint64(shift), places, out)
    return count_equal(out, causes, out.dtype.type(0))


@helper
def mark_voids(voids: Bytes, base: np.uint64, places: Floats, causes: Bytes) -> None:
    """Mark the pixels whose tap is invalid."""
    whole = places.view(np.uint64)
    for j in range(causes.shape[0]):
        void = (voids[base + (whole[j] & PLACE_BITS_UNSIGNED)] != 0) & (causes[j] == 0)
        causes[j] |= SOURCE_INVALID if void else VALID


@helper
def finish_row(values: Reals, causes: Bytes, finish: Finish, out: Bytes, counts: Integers) -> None:
    """Write a row of a band in the output's type: rounded half to even and clipped, and filled where it is invalid.

    Integers are written as those without a sign that have the same bits; so are `fill` and `nodata`.
    """
    clipped = 0
    if finish.kind == INTEGERS_1:
        low, high = values.dtype.type(finish.low), values.dtype.type(finish.high)
        clipped = round_row(values, low, high, out)
    elif finish.kind == INTEGERS_2:
        low, high = values.dtype.type(finish.low), values.dtype.type(finish.high)
        clipped = round_row(values, low, high, out.view(np.uint16))
    elif finish.kind == INTEGERS_4:  # of which float32 may not hold the limits
        clipped = round_wide_row(values, finish.low, finish.high, out.view(np.uint32))
    elif finish.kind == REALS_4:
        copy_row(values, out.view(np.float32))
    else:
        copy_row(values, out.view(np.float64))
    if clipped > 0:
        counts[CLIPPED] += count_clipped(values, causes, finish.low, finish.high)


@helper
def fill_invalid(causes: Bytes, finish: Finish, out: Bytes, counts: Integers) -> None:
    """Fill the invalid pixels of a row, and count the valid ones that equal nodata."""
    if finish.has_nodata:
        if finish.kind == INTEGERS_1:
            counts[EQUAL_TO_NODATA] += count_equal(out, causes, np.uint8(finish.nodata))
        elif finish.kind == INTEGERS_2:
            counts[EQUAL_TO_NODATA] += count_equal(out.view(np.uint16), causes, np.uint16(finish.nodata))
        elif finish.kind == INTEGERS_4:
            counts[EQUAL_TO_NODATA] += count_equal(out.view(np.uint32), causes, np.uint32(finish.nodata))
        elif finish.kind == REALS_4:
            counts[EQUAL_TO_NODATA] += count_equal(out.view(np.float32), causes, np.float32(finish.nodata))
        else:
            counts[EQUAL_TO_NODATA] += count_equal(out.view(np.float64), causes, finish.nodata)
    if causes_in(causes):
        if finish.kind == INTEGERS_1:
            fill_row(causes, np.uint8(finish.fill), out)
        elif finish.kind == INTEGERS_2:
            fill_row(causes, np.uint16(finish.fill), out.view(np.uint16))
        elif finish.kind == INTEGERS_4:
            fill_row(causes, np.uint32(finish.fill), out.view(np.uint32))
        elif finish.kind == REALS_4:
            fill_row(causes, np.float32(finish.fill), out.view(np.float32))
        else:
            fill_row(causes, finish.fill, out.view(np.float64))


@helper
def copy_row(values: Reals, out: Any) -> None:
    """Write reals."""
    for j in range(out.shape[0]):
        out[j] = values[j]


@helper
def round_row(values: Reals, low: Any, high: Any, out: Any) -> int:
    """Write integers; return how many are clipped. Of invalid pixels, anything."""
    clipped = 0
    for j in range(out.shape[0]):
        value = np.rint(values[j])
        within = value if value > low else low  # NaN too
        within = within if within < high else high
        out[j] = out.dtype.type(np.int32(within))
        clipped += within != value
    return clipped


@helper
def round_wide_row(values: Reals, low: float, high: float, out: Any) -> int:
    """Write integers as `round_row` does, by way of float64."""
    clipped = 0
    for j in range(out.shape[0]):
        value = np.float64(np.rint(values[j]))
        within = value if value > low else low  # NaN too
        within = within if within < high else high
        out[j] = out.dtype.type(np.int64(within))
        clipped += within != value
    return clipped


@helper
def count_clipped(values: Reals, causes: Bytes, low: float, high: float) -> int:
    """Count the valid pixels of a row that are clipped."""
    clipped = 0
    for j in range(causes.shape[0]):
        value = np.float64(np.rint(values[j]))
        clipped += ((value < low) | (value > high)) & (causes[j] == 0)
    return clipped


@helper
def count_equal(values: Any, causes: Bytes, nodata: Any) -> int:
    """Count the valid pixels of a row that equal nodata."""
    equal = 0
    for j in range(causes.shape[0]):
        equal += (values[j] == nodata) & (causes[j] == 0)
    return equal


@helper
def fill_row(causes: Bytes, fill: Any, out: Any) -> None:
    """Fill the invalid pixels of a row."""
    for j in range(out.shape[0]):
        out[j] = out[j] if causes[j] == 0 else fill


@kernel
def void_pixels(valid: Bytes, row: int, col: int, value: Any, out: Any) -> None:
    """Write a value where pixels are invalid.

    Parameters
    ----------
    valid : uint8 (rows, columns)
        0 where they are.
    row, col : int
        Of `out`, where these begin.
    value : number
    out : array
        A band; written.
    """
    for i in range(valid.shape[0]):
        write_where(valid[i], value, out[row + i, col : col + valid.shape[1]])


@helper
def write_where(valid: Bytes, value: Any, out: Any) -> None:
    """Write a value where bytes are 0."""
    for j in range(out.shape[0]):
        out[j] = out[j] if valid[j] != 0 else value
