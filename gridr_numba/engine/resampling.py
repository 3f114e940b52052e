"""A source image's window as a table, and a dense window resampled from it: the one place that launches the kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ..georef import pixel_area
from ..kernels.bilinear import Nodes
from ..kernels.jit import share, usable_threads
from ..kernels.pixels import void_pixels
from ..kernels.resample import TILE_COLS, TILE_ROWS, Tile, resample_tile
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
    PAD,
    REALS_4,
    REALS_8,
    STRAY,
    Finish,
    Source,
    Taps,
)
from ..kernels.vectors import LANCZOS_PARTS, LANCZOS_POWERS, LANES
from ..types import AnyArray, AnyDtype, Interpolation, Pair
from ..window import Window
from .codes import parts_of
from .dense import NO_BYTES, DenseOptions, largest_float64_in, rules_of

# So many tiles a thread, or more, and no tile that is lower than this for their sake.
_TILES = 2
_LEAST_ROWS = 64

_KINDS = {
    Interpolation.NEAREST: NEAREST,
    Interpolation.LINEAR: LINEAR,
    Interpolation.CUBIC: CUBIC,
    Interpolation.LANCZOS3: LANCZOS3,
}


def table_dtype(dtype: AnyDtype) -> AnyDtype:
    """Return the type in which pixels of this one are summed: one that holds them."""
    return np.dtype(np.float32 if dtype.itemsize <= 2 or dtype == np.float32 else np.float64)


def table_size(bands: int, shape_row_col: Pair) -> int:
    """Return how many numbers the table of a source window has: its pixels, and what vectors may read after them."""
    return bands * (shape_row_col[0] + 2 * PAD) * (shape_row_col[1] + 2 * PAD) + LANES


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
    raw : dtype or None
        Of integers that are in the bytes of `numbers` as the image holds them, for the nearest interpolation. None:
        there are numbers.
    flagged : bool
        Whether raw pixels are the lower halves of integers twice as wide, of which the upper half is not 0 where it is
        invalid.
    """

    numbers: AnyArray
    shape: tuple[int, int, int]
    origin_row_col: Pair
    image_shape: Pair
    of_reals: bool
    raw: AnyDtype | None = None
    flagged: bool = False

    @classmethod
    def of(
        cls,
        values: AnyArray,
        valid: NDArray[np.bool_] | None,
        origin_row_col: Pair,
        image_shape: Pair,
        out: AnyArray | None = None,
        threads: int | None = None,
        *,
        raw: bool = False,
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
        raw : bool
            It is for the nearest interpolation, and for pixels of the image's type: integers are kept as they are,
            which takes less memory and time. The result is the same.
        """
        bands, rows, cols = values.shape
        dtype = table_dtype(values.dtype)
        size = table_size(bands, (rows, cols))
        numbers = np.empty(size, dtype) if out is None else out[:size]
        numbers[-LANES:] = 0
        shape = bands, rows + 2 * PAD, cols + 2 * PAD
        raw = raw and values.dtype.kind != "f"
        table = cls(
            numbers,
            shape,
            origin_row_col,
            image_shape,
            values.dtype.kind == "f",
            values.dtype if raw else None,
            raw and valid is not None,
        )
        pixels = table.pixels
        parts = parts_of((rows, cols))
        remaining = iter(parts)  # shared: each part is taken once

        def work() -> None:
            for part in remaining:
                row = PAD + part.start
                for band in range(bands):
                    mask = None if valid is None else valid[part] if valid.ndim == 2 else valid[band, part]
                    _fill(values[band, part], mask, pixels[band], row)

        share(work, min(usable_threads(threads), len(parts)))
        pixels[:, :PAD] = pixels[:, PAD : PAD + 1]
        pixels[:, PAD + rows :] = pixels[:, PAD + rows - 1 : PAD + rows]
        return table

    @property
    def pixels(self) -> AnyArray:
        """The table as bands of rows."""
        if self.raw is None:
            return self.numbers[:-LANES].reshape(self.shape)
        size = self.shape[0] * self.shape[1] * self.shape[2]
        unsigned = f"u{self.raw.itemsize * (2 if self.flagged else 1)}"
        return self.numbers.view(unsigned)[:size].reshape(self.shape)

    def source(self, taps: Taps) -> Source:
        """Return it as the kernels take it."""
        reach, answered = np.empty((2, 2)), np.empty((2, 2))
        support = taps.support
        for axis, (start, length, size) in enumerate(
            zip(self.origin_row_col, self.shape[1:], self.image_shape, strict=True)
        ):
            stop = start + length - 2 * PAD
            first = start - (PAD if start == 0 else 0)
            # One less: at the largest position, a whole one, all taps are read, and those that do not count weigh 0.
            last = stop + (PAD - 1 if stop == size else 0)
            reach[axis] = first + support - 1, last - support
            low, high = pixel_area(size)
            answered[axis] = max(reach[axis, 0] - taps.shift, low), min(reach[axis, 1] - taps.shift, high)
            if taps.kind != NEAREST:
                answered[axis, 0] = max(answered[axis, 0], 1.0)
                if taps.strict:
                    answered[axis] = max(answered[axis, 0], support - 1), min(answered[axis, 1], size - support)
        origin = float(self.origin_row_col[0] - PAD), float(self.origin_row_col[1] - PAD)
        _, rows, cols = self.shape
        largest = float(np.finfo(self.numbers.dtype).max)
        whole = self.image_shape
        raw = 0 if self.raw is None else self.raw.itemsize
        return Source(
            self.numbers,
            rows * cols,
            cols,
            origin,
            reach,
            answered,
            whole,
            self.of_reals,
            largest,
            raw,
            self.flagged,
        )


def _fill(values: AnyArray, valid: NDArray[np.bool_] | None, out: AnyArray, row: int) -> None:
    """Write some rows of a band into a table's, from a row on, and what is left and right of them."""
    rows, cols = values.shape
    body = out[row : row + rows, PAD : PAD + cols]
    raw = out.dtype.kind != "f"
    np.copyto(body, values.view(f"u{values.itemsize}") if raw else values)
    void = out.dtype.type(1 << 4 * out.itemsize if raw else np.nan)  # of raw ones, a bit of the upper half
    if values.dtype.kind == "f":
        void_pixels(np.isfinite(body).view(np.uint8), row, PAD, void, out)
    if valid is not None:
        void_pixels(np.ascontiguousarray(valid).view(np.uint8), row, PAD, void, out)
    _repeat_sides(out[row : row + rows])


def _repeat_sides(rows: AnyArray) -> None:
    """Write what is left and right of some rows of a table."""
    rows[:, :PAD] = rows[:, PAD : PAD + 1]
    rows[:, -PAD:] = rows[:, -PAD - 1 : -PAD]


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
    table: SourceTable,
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
    table : SourceTable
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
    taps = taps_of(interpolation, table.numbers.dtype, strict=strict)
    source = table.source(taps)
    area = pixel_area(table.image_shape[0]), pixel_area(table.image_shape[1])
    largest = float(np.finfo(np.float64).max)
    rules = rules_of(replace(options, limits=(largest, largest), source=area, fill=np.nan, fill_masked=False))
    around = Nodes(nodes, valid_nodes, (relative.row_start, relative.col_start), options.resolution_row_col)
    if table.raw is not None and (interpolation is not Interpolation.NEAREST or out.dtype != table.raw):
        raise ValueError(f"a raw table of {table.raw} is for pixels of its type, and for the nearest interpolation")
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
            resample_tile(around, rules, marked, source, taps, finish, tile, mask, pixels, own)

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
