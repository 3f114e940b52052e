"""Paint: coordinates as colours and lines, from every so manieth pixel of a file, and pictures as PNG."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.io import MemoryFile

from ..files.gdal import block_cache, named_errors, nowhere_on_purpose
from ..files.whole_file import whole_file
from ..types import INVALID_COLOUR, VALID_COLOUR, AnyArray, Cause, Colour
from ..window import Window

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: From no displacement to the largest: dark blue, blue, teal, green, yellow.
_RAMP: tuple[Colour, ...] = ((38, 70, 140), (40, 120, 175), (45, 160, 155), (130, 195, 105), (250, 225, 70))
LINE: Colour = (16, 24, 48)
VALID: Colour = VALID_COLOUR
LOST: Colour = Cause.RASTER_MASK.colour
OUTSIDE: Colour = INVALID_COLOUR
CLOUD: Colour = Cause.INSIDE_INVALID.colour

_PIXELS_A_READ = 1 << 22


def displacement(rows: Floats, cols: Floats) -> Floats:
    """Return how far coordinates are from the best affine function of the pixel; NaN where they are not finite."""
    return straight_part(rows, cols)[1]


def straight_part(rows: Floats, cols: Floats) -> tuple[Floats, Floats]:
    """Return the best affine function of the pixel, and how far coordinates are from it; NaN where not finite.

    The function is an array (2, 3) of rows and columns: in the middle, and from there to the lower and to the right
    edge.
    """
    i, j = np.meshgrid(np.linspace(-1.0, 1.0, rows.shape[0]), np.linspace(-1.0, 1.0, rows.shape[1]), indexing="ij")
    finite = np.isfinite(rows) & np.isfinite(cols)
    design = np.column_stack((np.ones(int(finite.sum())), i[finite], j[finite]))
    fitted = np.stack([np.linalg.lstsq(design, band[finite], rcond=None)[0] for band in (rows, cols)])
    left = [band[finite] - design @ function for band, function in zip((rows, cols), fitted, strict=True)]
    away = np.full(rows.shape, np.nan)
    away[finite] = np.hypot(left[0], left[1])
    return fitted, away


def coloured(displacements: Floats, step: float) -> Floats:
    """Give each `step` of displacement a colour of the ramp, which makes contours visible; shape (rows, columns, 3)."""
    steps = np.floor(displacements / step)
    # Closer together at the low end, where most pixels are.
    stops = max(float(steps.max()), 1.0) * np.linspace(0.0, 1.0, len(_RAMP)) ** 1.8
    return np.stack([np.interp(steps, stops, levels) for levels in zip(*_RAMP, strict=True)], axis=-1)


def lines(band: Floats, spacing: float) -> Bools:
    """Find the pixels at which a coordinate passes a multiple of the spacing."""
    number = np.floor(band / spacing)
    found = np.zeros(band.shape, dtype=bool)
    found[1:] |= number[1:] != number[:-1]
    found[:, 1:] |= number[:, 1:] != number[:, :-1]
    return found


def edges(inside: AnyArray) -> Bools:
    """Find the pixels on both sides of where something begins or ends."""
    found = np.zeros(inside.shape, dtype=bool)
    down, right = inside[1:] != inside[:-1], inside[:, 1:] != inside[:, :-1]
    found[1:] |= down
    found[:-1] |= down
    found[:, 1:] |= right
    found[:, :-1] |= right
    return found


def blend(picture: Floats, where: Bools, colour: Colour, weight: float) -> None:
    """Paint a colour over some pixels, so that it hides `weight` of what was there."""
    picture[where] += weight * (np.array(colour, dtype=np.float64) - picture[where])


def every(dataset: Any, bands: list[int], step: int, argument: str | None = None) -> AnyArray:
    """Read every so manieth row and column of some bands, block by block; shape (bands, rows, columns).

    Displacements need rows and columns at one distance, which is why they are chosen here. Errors name the argument.
    Blocks are read once, so GDAL need not keep more of them than a read has, with the bands that lie in the same ones.
    """
    height, width = dataset.shape
    block_rows, block_cols = dataset.block_shapes[bands[0] - 1]
    cols_a_read = max(1, _PIXELS_A_READ // (block_rows * block_cols)) * block_cols
    chosen: AnyArray = np.empty(
        (len(bands), -(-height // step), -(-width // step)),
        np.result_type(*(dataset.dtypes[band - 1] for band in bands)),
    )
    kept = 2 * block_rows * cols_a_read * sum(np.dtype(dtype).itemsize for dtype in dataset.dtypes)
    with block_cache.at_most(kept):
        for row_start, row_stop in _stretches(height, block_rows, step):
            for col_start, col_stop in _stretches(width, cols_a_read, step):
                window = Window(row_start, row_stop, col_start, col_stop).to_rasterio()
                with named_errors(dataset, "read", argument):
                    part = dataset.read(bands, window=window)[:, ::step, ::step]
                row, col = row_start // step, col_start // step
                chosen[:, row : row + part.shape[1], col : col + part.shape[2]] = part
    return chosen


def _stretches(length: int, size: int, step: int) -> Iterator[tuple[int, int]]:
    """Yield, for each so long piece of an axis, the half-open part that starts with a multiple of the step."""
    for start in range(0, length, size):
        first, stop = start + -start % step, min(start + size, length)
        if first < stop:
            yield first, stop


def png_of(picture: Floats) -> bytes:
    """Return a picture of shape (rows, columns, 3) as PNG."""
    height, width, _ = picture.shape
    profile = {"driver": "PNG", "height": height, "width": width, "count": 3, "dtype": "uint8"}
    with MemoryFile() as memory:
        with nowhere_on_purpose(), memory.open(**profile) as dataset:
            dataset.write(np.moveaxis(np.rint(picture).astype(np.uint8), -1, 0))
        memory.seek(0)
        return bytes(memory.read())


def write_png(path: Path, picture: Floats, name: str = "picture", *, overwrite: bool = True) -> None:
    """Write a picture of shape (rows, columns, 3); the file appears whole or not at all."""
    with whole_file(path, name, overwrite=overwrite) as file:
        file.write(png_of(picture))


def round_step(span: float, at_most: int) -> float:
    """Return the least 1, 2 or 5 times a power of ten that divides a span into no more than so many parts."""
    if not (math.isfinite(span) and span > 0):
        return 1.0
    power = 10.0 ** math.floor(math.log10(span / at_most))
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if span <= at_most * factor * power)
