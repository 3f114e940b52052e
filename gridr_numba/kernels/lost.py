"""Pixels of which the sum is no number, or too large: why, and what of them is computed again.

Where the fraction along an axis is exactly 0, one tap counts, and the others have a weight of exactly 0. NaN under such
a weight does not count: what is NaN in a row with such a fraction is computed again, in float64, from the taps that
count. So is what overflows on the way.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .jit import helper, inlined, seen_as
from .source_table import CUBIC, LINEAR, NEAREST, OVERFLOWN, SOURCE_INVALID, VALID, Lines, Source, Taps
from .vectors import KEYS, PLACE_BITS

Floats = NDArray[np.float64]
Reals = NDArray[Any]  # float32 or float64
Integers = NDArray[np.int64]
Bytes = NDArray[np.uint8]

_LESS = 2.0**-8


@helper
def settle_row(
    source: Source, band: int, taps: Taps, limit: float, lines: Lines, mask: Bytes, out: Reals, counts: Integers
) -> None:
    """Mark the pixels of a row and band that have no value; compute again those of which NaN does not say so."""
    n = out.shape[0]
    # Whether NaN may be of a tap that does not count, or of none.
    if source.may_overflow:
        again = n
    else:
        again = mark_lost(out, lines.row_fractions[:n], lines.col_fractions[:n], taps.kind == NEAREST, mask)
    if again > 0:
        settle_again(source, band, taps, limit, lines, mask, out, counts)


@inlined
def count_lost(values: Reals, bound: Any) -> int:
    """Count what is no number, or beyond a magnitude."""
    lost = np.uint32(0)
    for j in range(values.shape[0]):
        lost = np.uint32(lost + np.uint32(not abs(values[j]) <= bound))
    return int(lost)


@helper
def mark_lost(values: Reals, row_fractions: Reals, col_fractions: Reals, sure: bool, mask: Bytes) -> int:
    """Mark the pixels that are NaN and of which all taps count; return how many others are NaN."""
    others = 0
    for j in range(values.shape[0]):
        lost = values[j] != values[j]
        all_count = sure | ((row_fractions[j] != 0) & (col_fractions[j] != 0))
        # What is invalid already is not looked at.
        lost = lost & (mask[j] == 0)
        mask[j] |= SOURCE_INVALID if lost & all_count else VALID
        others += lost & (not all_count)
    return others


@helper
def settle_again(
    source: Source, band: int, taps: Taps, limit: float, lines: Lines, mask: Bytes, out: Reals, counts: Integers
) -> None:
    """Decide one by one, in float64, what is NaN or too large: from the taps that count."""
    bound = out.dtype.type(min(limit, source.largest))
    row_weights = np.empty(6)
    col_weights = np.empty(6)
    whole = seen_as(lines.places, np.int64)
    for j in range(out.shape[0]):
        if abs(out[j]) <= bound or mask[j] != 0:
            continue
        row_first, row_count = weights_of(lines.row_fractions[j], taps, row_weights)
        col_first, col_count = weights_of(lines.col_fractions[j], taps, col_weights)
        o = band * source.band_stride + (whole[j] & PLACE_BITS) + row_first * source.row_stride + col_first
        rows = row_weights[:row_count]
        cols = col_weights[:col_count]
        value = sum_some(source.pixels, o, source.row_stride, rows, cols, 1.0)
        too_large = abs(value) > limit
        if source.may_overflow and not abs(value) < np.inf:
            # Sums that overflow on the way, unless they are made of less.
            value = sum_some(source.pixels, o, source.row_stride, rows, cols, _LESS)
            too_large = abs(value) > limit * _LESS
            value /= _LESS
        if value != value:
            mask[j] |= SOURCE_INVALID
        elif too_large:
            mask[j] |= SOURCE_INVALID
            counts[OVERFLOWN] += 1
        else:
            out[j] = value


@helper
def sum_some(pixels: Reals, o: int, stride: int, row_weights: Floats, col_weights: Floats, scale: float) -> float:
    """Sum the taps that count, from one on, each times `scale`."""
    value = 0.0
    for k in range(row_weights.shape[0]):
        for m in range(col_weights.shape[0]):
            value += float(pixels[o + k * stride + m]) * scale * row_weights[k] * col_weights[m]
    return value


@helper
def weights_of(fraction: Any, taps: Taps, out: Floats) -> tuple[int, int]:
    """Write the weights of the taps that count along an axis; return which tap is the first, and how many they are."""
    if taps.kind == NEAREST or fraction == 0:
        out[0] = 1.0
        return taps.support - 1, 1
    f = np.float64(fraction)
    if taps.kind == LINEAR:
        out[0] = 1.0 - f
        out[1] = f
        return 0, 2
    if taps.kind == CUBIC:
        for tap in range(4):
            c = KEYS[tap]
            out[tap] = ((c[3] * f + c[2]) * f + c[1]) * f + c[0]
        return 0, 4
    place = f * taps.lanczos.shape[0]
    bin_ = int(place)
    for tap in range(6):
        value = np.float64(0.0)
        for power in range(taps.lanczos.shape[1] - 1, -1, -1):
            value = value * (place - bin_) + taps.lanczos[bin_, power, tap]
        out[tap] = value
    return 0, 6
