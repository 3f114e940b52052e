"""A dense window resampled from a source image: the one place that launches its kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ..georef import pixel_area
from ..kernels.bilinear import Nodes
from ..kernels.jit import share, usable_threads
from ..kernels.resample import TILE_COLS, TILE_ROWS, resample_tile
from ..kernels.source_table import (
    CLIPPED,
    COUNTS,
    CUBIC,
    EQUAL_TO_NODATA,
    INTEGERS_1,
    INTEGERS_2,
    INTEGERS_4,
    LANCZOS3,
    LINEAR,
    NEAREST,
    OVERFLOWN,
    REALS_4,
    REALS_8,
    STRAY,
    Finish,
    Taps,
    Tile,
)
from ..kernels.vectors import LANCZOS_PARTS, LANCZOS_POWERS, LANES
from ..types import AnyArray, AnyDtype, Interpolation, Pair
from ..window import Window
from .dense import NO_BYTES, DenseOptions, largest_float64_in, rules_of
from .tables import SourceWindow, stays_raw

# So many tiles a thread, or more, and no tile that is lower than this for their sake.
_TILES = 2
_LEAST_ROWS = 64

_KINDS = {
    Interpolation.NEAREST: NEAREST,
    Interpolation.LINEAR: LINEAR,
    Interpolation.CUBIC: CUBIC,
    Interpolation.LANCZOS3: LANCZOS3,
}


# -- the interpolation ------------------------------------------------------------------------------------------------


@cache
def _lanczos_table(dtype: AnyDtype) -> AnyArray:
    """Return the weights of Lanczos' six taps, normalised: a polynomial for each part of a pixel and each tap."""
    parts, powers = LANCZOS_PARTS[dtype.itemsize], LANCZOS_POWERS[dtype.itemsize]
    # Through Chebyshev's points of each part.
    points = (1 - np.cos(np.pi * (2 * np.arange(powers) + 1) / (2 * powers))) / 2
    place = (np.arange(parts)[:, np.newaxis] + points)[..., np.newaxis] / parts - np.arange(-2, 4)
    weights = np.sinc(place) * np.sinc(place / 3)
    weights /= weights.sum(axis=-1, keepdims=True)
    table = np.zeros((parts, powers, LANES), dtype)
    table[..., :6] = np.linalg.solve(np.vander(points, increasing=True), weights)
    table[0, 0, :6] = [0, 0, 1, 0, 0, 0]
    return table


def taps_of(interpolation: Interpolation, dtype: AnyDtype, *, strict: bool = False) -> Taps:
    """Return an interpolation as the kernels take it, for a table of this type."""
    return Taps(
        _KINDS[interpolation],
        interpolation.support,
        -pixel_area(0)[0] if interpolation is Interpolation.NEAREST else 0.0,
        strict,
        float(np.finfo(dtype).tiny),
        float(np.nextafter(dtype.type(1), dtype.type(0))),
        _lanczos_table(dtype),
    )


# -- a window -----------------------------------------------------------------------------------------------------


@dataclass
class ResampleCounts:
    """What is counted of valid pixels, band by band, and added to from window to window.

    Attributes
    ----------
    clipped : int
        Beyond what the output's integers hold.
    equal_to_nodata : int
    overflown : int
        Beyond what the output's reals hold: these are invalid.
    """

    clipped: int = 0
    equal_to_nodata: int = 0
    overflown: int = 0


def resample_window(
    source: SourceWindow,
    options: DenseOptions,
    relative: Window,
    interpolation: Interpolation,
    out: AnyArray,
    mask: NDArray[np.uint8],
    *,
    nodes: NDArray[np.float64],
    valid_nodes: NDArray[np.uint8] = NO_BYTES,
    marked: bool = False,
    strict: bool = False,
    nodata: float | None = None,
    counts: ResampleCounts | None = None,
) -> None:
    """Compute a window of an image.

    Parameters
    ----------
    source : SourceWindow
        With all pixels of the image that the window's taps are: the range of its coordinates, widened by the
        interpolation's `support` and by one pixel, and cut to the image.
    options, relative, nodes, valid_nodes, marked
        As `dense.densify_window` takes them, nodes being (row, column); the limits and the source are the image's.
        The coordinates are those of `densify_window`, to the bit.
    interpolation : Interpolation
    out : ndarray (bands, rows, columns)
        One of `types.IMAGE_DTYPES`, C-contiguous. Written.
    mask : uint8 (1, rows, columns) or (bands, rows, columns)
        Causes; written. One band is valid where all bands of the image are. With `marked` its first band holds causes,
        which are all bands'.
    strict : bool
        A pixel with a tap beyond the image is outside of it. False repeats the image's edge.
    nodata : float, optional
        Of invalid pixels; None is NaN, or 0 where there is none.
    counts : ResampleCounts, optional
        Added to.
    """
    taps = taps_of(interpolation, source.dtype, strict=strict)
    its_source = source.source(taps)
    area = pixel_area(source.image_shape[0]), pixel_area(source.image_shape[1])
    largest = float(np.finfo(np.float64).max)
    rules = rules_of(replace(options, limits=(largest, largest), source=area, fill=np.nan, fill_masked=False))
    around = Nodes(nodes, valid_nodes, (relative.row_start, relative.col_start), options.resolution_row_col)
    if source.raw is not None and not stays_raw(interpolation, source.raw, out.dtype, source.image_shape):
        raise ValueError(f"pixels of {source.raw} as they are make none of {out.dtype}, {interpolation.value}")
    finish = _finish(out.dtype, nodata)
    pixels = out.view(np.uint8)
    threads = usable_threads(options.threads) if options.parallel else 1
    tiles = _tiles(relative.shape, threads)
    remaining = iter(tiles)  # shared: each tile is taken once
    all_counts: list[NDArray[np.int64]] = []

    def work() -> None:
        own = np.zeros(COUNTS, np.int64)
        all_counts.append(own)
        for tile in remaining:
            resample_tile(around, rules, marked, its_source, taps, finish, tile, mask, pixels, own)

    share(work, min(threads, len(tiles)))
    total = np.sum(all_counts, axis=0)
    if total[STRAY]:
        raise RuntimeError(f"{total[STRAY]} pixels lie beyond the window of the source that was read for them")
    if counts is not None:
        counts.clipped += int(total[CLIPPED])
        counts.equal_to_nodata += int(total[EQUAL_TO_NODATA])
        counts.overflown += int(total[OVERFLOWN])


def _tiles(shape: Pair, threads: int) -> Sequence[Tile]:
    """Cut a window into tiles, each of which one thread makes."""
    rows = TILE_ROWS
    across = -(-shape[1] // TILE_COLS)
    while rows > _LEAST_ROWS and -(-shape[0] // rows) * across < _TILES * threads:
        rows //= 2
    return [
        Tile(row, min(row + rows, shape[0]), col, min(col + TILE_COLS, shape[1]))
        for row in range(0, shape[0], rows)
        for col in range(0, shape[1], TILE_COLS)
    ]


# Outputs as the kernels are told, by what a type is of.
_OUTPUTS = {"i1": INTEGERS_1, "i2": INTEGERS_2, "i4": INTEGERS_4, "f4": REALS_4, "f8": REALS_8}


def _finish(dtype: AnyDtype, nodata: float | None) -> Finish:
    """Return what the kernels are told of pixels of a type."""
    wanted = (np.nan if dtype.kind == "f" else 0) if nodata is None else nodata
    fill = np.array([wanted, 0 if nodata is None else nodata]).astype(dtype)
    low, high, limit = 0.0, 0.0, np.inf
    if dtype.kind == "f":
        limit = largest_float64_in(dtype)
    else:
        low, high = float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)
        fill = fill.view(f"u{dtype.itemsize}")
    kind = _OUTPUTS[f"{dtype.kind.replace('u', 'i')}{dtype.itemsize}"]
    return Finish(kind, dtype.itemsize, limit, low, high, float(fill[0]), float(fill[1]), nodata is not None)
