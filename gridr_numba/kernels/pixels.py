"""Numbers of a row -> pixels of the output's type; and pixels that are copied as they are.

Outputs are handed over as bytes and looked at by their size: what is done is compiled once for each size.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bilinear import bits_in
from .jit import helper, inlined, seen_as
from .source_table import (
    CLIPPED,
    EQUAL_TO_NODATA,
    INTEGERS_1,
    INTEGERS_2,
    INTEGERS_4,
    REALS_4,
    Finish,
)
from .taps import sum_linear, take_nearest

Floats = NDArray[np.float64]
Reals = NDArray[Any]  # float32 or float64
Integers = NDArray[np.int64]
Bytes = NDArray[np.uint8]


@inlined
def take_raw(raw: int, pixels: Bytes, base: int, places: Integers, out: Bytes) -> None:
    """Copy the one tap of each pixel, of so many bytes, which are looked at as an integer without a sign."""
    if abs(raw) == 1:
        take_nearest(pixels, base, places, out)
    elif abs(raw) == 2:
        take_nearest(seen_as(pixels, np.uint16), base, places, seen_as(out, np.uint16))
    else:
        take_nearest(seen_as(pixels, np.uint32), base, places, seen_as(out, np.uint32))


@inlined
def sum_raw(
    raw: int,
    pixels: Bytes,
    base: int,
    stride: np.uint64,
    places: Integers,
    row_fractions: Reals,
    col_fractions: Reals,
    out: Reals,
) -> None:
    """Sum two by two taps of integers of so many bytes, less than 0 where they have a sign."""
    start = np.uint64(base)
    if raw == 1:
        sum_linear(pixels, start, stride, places, row_fractions, col_fractions, out)
    elif raw == -1:
        sum_linear(seen_as(pixels, np.int8), start, stride, places, row_fractions, col_fractions, out)
    elif raw == 2:
        sum_linear(seen_as(pixels, np.uint16), start, stride, places, row_fractions, col_fractions, out)
    else:
        sum_linear(seen_as(pixels, np.int16), start, stride, places, row_fractions, col_fractions, out)


@inlined
def finish_row(values: Reals, causes: Bytes, finish: Finish, out: Bytes, counts: Integers) -> None:
    """Write a row of a band in the output's type: rounded half to even and clipped, and filled where it is invalid.

    Integers are written as those without a sign that have the same bits; so are `fill` and `nodata`.
    """
    if finish.kind == INTEGERS_1:
        low, high = values.dtype.type(finish.low), values.dtype.type(finish.high)
        counts[CLIPPED] += round_row(values, causes, low, high, out)
    elif finish.kind == INTEGERS_2:
        low, high = values.dtype.type(finish.low), values.dtype.type(finish.high)
        counts[CLIPPED] += round_row(values, causes, low, high, seen_as(out, np.uint16))
    elif finish.kind == INTEGERS_4:  # of which float32 may not hold the limits
        counts[CLIPPED] += round_wide_row(values, causes, finish.low, finish.high, seen_as(out, np.uint32))
    elif finish.kind == REALS_4:
        copy_row(values, seen_as(out, np.float32))
    else:
        copy_row(values, seen_as(out, np.float64))


@inlined
def fill_invalid(causes: Bytes, finish: Finish, out: Bytes, counts: Integers) -> None:
    """Fill the invalid pixels of a row, and count the valid ones that equal nodata."""
    if finish.has_nodata:
        if finish.kind == INTEGERS_1:
            counts[EQUAL_TO_NODATA] += count_equal(out, causes, np.uint8(finish.nodata))
        elif finish.kind == INTEGERS_2:
            counts[EQUAL_TO_NODATA] += count_equal(seen_as(out, np.uint16), causes, np.uint16(finish.nodata))
        elif finish.kind == INTEGERS_4:
            counts[EQUAL_TO_NODATA] += count_equal(seen_as(out, np.uint32), causes, np.uint32(finish.nodata))
        elif finish.kind == REALS_4:
            counts[EQUAL_TO_NODATA] += count_equal(seen_as(out, np.float32), causes, np.float32(finish.nodata))
        else:
            counts[EQUAL_TO_NODATA] += count_equal(seen_as(out, np.float64), causes, finish.nodata)
    if bits_in(causes):
        if finish.kind == INTEGERS_1:
            fill_row(causes, np.uint8(finish.fill), out)
        elif finish.kind == INTEGERS_2:
            fill_row(causes, np.uint16(finish.fill), seen_as(out, np.uint16))
        elif finish.kind == INTEGERS_4:
            fill_row(causes, np.uint32(finish.fill), seen_as(out, np.uint32))
        elif finish.kind == REALS_4:
            fill_row(causes, np.float32(finish.fill), seen_as(out, np.float32))
        else:
            fill_row(causes, finish.fill, seen_as(out, np.float64))


@inlined
def copy_row(values: Reals, out: Any) -> None:
    """Write reals."""
    for j in range(out.shape[0]):
        out[j] = values[j]


@inlined
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
        value = out[j]
        out[j] = value if causes[j] == 0 else fill
