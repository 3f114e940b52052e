"""Numbers of a row -> pixels of the output's type; and pixels that are copied as they are.

Outputs are handed over as bytes and looked at by their size: what is done is compiled once for each size.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bilinear import causes_in
from .jit import borrowed, helper, kernel
from .source_table import (
    CLIPPED,
    EQUAL_TO_NODATA,
    INTEGERS_1,
    INTEGERS_2,
    INTEGERS_4,
    REALS_4,
    SOURCE_INVALID,
    VALID,
    Finish,
)
from .taps import fetch_ahead, take_nearest
from .vectors import BASE_BITS

# So many pixels are passed over at a time where all of them are valid.
_RUN = 256

Floats = NDArray[np.float64]
Reals = NDArray[Any]  # float32 or float64
Integers = NDArray[np.int64]
Bytes = NDArray[np.uint8]


@helper
def take_raw(pixels: Reals, raw: int, shift: int, ahead: int, row: int, places: Floats, out: Bytes) -> None:
    """Copy the one tap of each pixel, whose bytes are looked at as an integer without a sign."""
    if raw == 1:
        take_some(pixels.view(np.uint8), shift, ahead, row, places, out)
    elif raw == 2:
        take_some(pixels.view(np.uint16), shift, ahead, row, places, out.view(np.uint16))
    else:
        take_some(pixels.view(np.uint32), shift, ahead, row, places, out.view(np.uint32))


@helper
def take_flagged(
    pixels: Reals, raw: int, shift: int, ahead: int, row: int, places: Floats, causes: Bytes, out: Bytes
) -> None:
    """Copy the one tap of each pixel out of an integer twice as wide, and mark the invalid ones."""
    if raw == 1:
        split_some(pixels.view(np.uint16), shift, ahead, row, places, causes, out)
    elif raw == 2:
        split_some(pixels.view(np.uint32), shift, ahead, row, places, causes, out.view(np.uint16))
    else:
        split_some(pixels.view(np.uint64), shift, ahead, row, places, causes, out.view(np.uint32))


@helper
def take_some(pixels: Any, shift: int, ahead: int, row: int, places: Floats, out: Any) -> None:
    """Copy the one tap."""
    fetch_ahead(pixels, shift + ahead, row, places)
    take_nearest(pixels, shift, places, out)


@helper
def split_some(pixels: Any, shift: int, ahead: int, row: int, places: Floats, causes: Bytes, out: Any) -> None:
    """Copy the lower half of the one tap, and mark the pixels of which the upper half is not 0."""
    fetch_ahead(pixels, shift + ahead, row, places)
    whole, start = places.view(np.int64), shift - BASE_BITS
    bits = pixels.dtype.type(8 * out.itemsize)
    some = pixels.dtype.type(0)
    for j in range(out.shape[0]):
        pixel = pixels[np.uint64(start + whole[j])]
        out[j] = out.dtype.type(pixel)
        some = pixels.dtype.type(some | pixel)
    if some >> bits == 0:  # as it is of most rows
        return
    for j in range(out.shape[0]):
        void = (pixels[np.uint64(start + whole[j])] >> bits != 0) & (causes[j] == 0)
        causes[j] |= SOURCE_INVALID if void else VALID


@helper
def finish_row(values: Reals, causes: Bytes, finish: Finish, out: Bytes, counts: Integers) -> None:
    """Write a row of a band in the output's type: rounded half to even and clipped, and filled where it is invalid.

    Integers are written as those without a sign that have the same bits; so are `fill` and `nodata`.
    """
    if finish.kind == INTEGERS_1:
        low, high = values.dtype.type(finish.low), values.dtype.type(finish.high)
        counts[CLIPPED] += round_row(values, causes, low, high, out)
    elif finish.kind == INTEGERS_2:
        low, high = values.dtype.type(finish.low), values.dtype.type(finish.high)
        counts[CLIPPED] += round_row(values, causes, low, high, out.view(np.uint16))
    elif finish.kind == INTEGERS_4:  # of which float32 may not hold the limits
        counts[CLIPPED] += round_wide_row(values, causes, finish.low, finish.high, out.view(np.uint32))
    elif finish.kind == REALS_4:
        copy_row(values, out.view(np.float32))
    else:
        copy_row(values, out.view(np.float64))


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
def round_row(values: Reals, causes: Bytes, low: Any, high: Any, out: Any) -> int:
    """Write integers; return how many valid ones are clipped. Of invalid pixels, anything."""
    clipped = np.uint32(0)
    for j in range(out.shape[0]):
        value = np.rint(values[j])
        within = value if value > low else low  # NaN too
        within = within if within < high else high
        out[j] = out.dtype.type(np.int32(within))
        clipped = np.uint32(clipped + np.uint32((within != value) & (causes[j] == 0)))
    return int(clipped)


@helper
def round_wide_row(values: Reals, causes: Bytes, low: float, high: float, out: Any) -> int:
    """Write integers as `round_row` does, by way of float64."""
    clipped = 0
    for j in range(out.shape[0]):
        value = np.float64(np.rint(values[j]))
        within = value if value > low else low  # NaN too
        within = within if within < high else high
        out[j] = out.dtype.type(np.int64(within))
        clipped += (within != value) & (causes[j] == 0)
    return clipped


@helper
def count_equal(values: Any, causes: Bytes, nodata: Any) -> int:
    """Count the valid pixels of a row that equal nodata."""
    some = np.uint8(0)
    for j in range(causes.shape[0]):
        some = np.uint8(some | np.uint8((values[j] == nodata) & (causes[j] == 0)))
    if some == 0:  # as it is in most rows
        return 0
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
        0 where they are, else 1.
    row, col : int
        Of `out`, where these begin.
    value : number
    out : array
        A band; written.
    """
    valid, out = borrowed(valid), borrowed(out)
    for i in range(valid.shape[0]):
        line = out[row + i, col : col + valid.shape[1]]
        for start in range(0, valid.shape[1], _RUN):
            some = valid[i, start : start + _RUN]
            if not all_set(some):  # as they are not in most places
                write_where(some, value, line[start : start + _RUN])


@helper
def all_set(valid: Bytes) -> bool:
    """Say whether all bytes are 1."""
    every = np.uint8(1)
    for j in range(valid.shape[0]):
        every = np.uint8(every & valid[j])
    return bool(every == 1)


@helper
def write_where(valid: Bytes, value: Any, out: Any) -> None:
    """Write a value where bytes are 0."""
    for j in range(out.shape[0]):
        out[j] = out[j] if valid[j] != 0 else value
