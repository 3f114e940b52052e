"""Quick-looks: pictures of grids and masks, painted from every so manieth pixel and written as PNG.

A grid is shown by its displacement, which is what is left of its mapping when the straight-line part, the best affine
one, is taken away; thin lines follow every so manieth source row and column. So folds and jumps show.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile

from .. import checks
from ..files.gdal import named_errors
from ..files.inputs import open_raster
from ..files.outputs import destination
from ..files.whole_file import whole_file
from ..types import AnyArray, Cause, Colour
from ..window import Window

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: From no displacement to the largest: dark blue, blue, teal, green, yellow.
_RAMP: tuple[Colour, ...] = ((38, 70, 140), (40, 120, 175), (45, 160, 155), (130, 195, 105), (250, 225, 70))
LINE: Colour = (16, 24, 48)
VALID: Colour = (45, 160, 155)
LOST: Colour = Cause.RASTER_MASK.colour
OUTSIDE: Colour = Cause.OUTSIDE_VALID.colour
CLOUD: Colour = Cause.INSIDE_INVALID.colour

#: The picture's longer side, in pixels, where the caller does not say.
DEFAULT_SIZE = 1000
# A picture has at most so many steps of colour, and so many lines a direction, or neither can be told apart.
_STEPS_AT_MOST, _LINES_AT_MOST = 30, 16
# Of displacement, in source pixels: below lies what the affine function was rounded by.
_STEP_AT_LEAST = 1e-4
_PIXELS_A_READ = 1 << 22


# -- paint --------------------------------------------------------------------------------------------------------


def displacement(rows: Floats, cols: Floats) -> Floats:
    """Return how far coordinates are from the best affine function of the pixel; NaN where they are not finite."""
    i, j = np.meshgrid(np.linspace(-1.0, 1.0, rows.shape[0]), np.linspace(-1.0, 1.0, rows.shape[1]), indexing="ij")
    finite = np.isfinite(rows) & np.isfinite(cols)
    design = np.column_stack((np.ones(int(finite.sum())), i[finite], j[finite]))
    left = [band[finite] - design @ np.linalg.lstsq(design, band[finite], rcond=None)[0] for band in (rows, cols)]
    away = np.full(rows.shape, np.nan)
    away[finite] = np.hypot(left[0], left[1])
    return away


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


def blend(picture: Floats, where: Bools, colour: Colour, weight: float) -> None:
    """Paint a colour over some pixels, so that it hides `weight` of what was there."""
    picture[where] += weight * (np.array(colour, dtype=np.float64) - picture[where])


def every(dataset: Any, bands: list[int], step: int) -> AnyArray:
    """Read every so manieth row and column of some bands, block by block; shape (bands, rows, columns).

    Displacements need rows and columns at one distance, which is why they are chosen here.
    """
    height, width = dataset.shape
    block_rows, block_cols = dataset.block_shapes[bands[0] - 1]
    cols_a_read = max(1, _PIXELS_A_READ // (block_rows * block_cols)) * block_cols
    chosen: AnyArray = np.empty(
        (len(bands), -(-height // step), -(-width // step)),
        np.result_type(*(dataset.dtypes[band - 1] for band in bands)),
    )
    for row_start, row_stop in _stretches(height, block_rows, step):
        for col_start, col_stop in _stretches(width, cols_a_read, step):
            window = Window(row_start, row_stop, col_start, col_stop).to_rasterio()
            with named_errors(dataset, "read", "file"):
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


def write_png(path: Path, picture: Floats, name: str = "picture", *, overwrite: bool = True) -> None:
    """Write a picture of shape (rows, columns, 3); the file appears whole or not at all."""
    height, width, _ = picture.shape
    with warnings.catch_warnings(), whole_file(path, name, overwrite=overwrite) as file, MemoryFile() as memory:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # a picture has no place on the map
        with memory.open(driver="PNG", height=height, width=width, count=3, dtype="uint8") as dataset:
            dataset.write(np.moveaxis(np.rint(picture).astype(np.uint8), -1, 0))
        memory.seek(0)
        file.write(memory.read())


# -- a file's quick-look ------------------------------------------------------------------------------------------


def preview(
    source: Any,
    out: object,
    *,
    row_band: int = 1,
    col_band: int = 2,
    mask_valid_value: int = 1,
    size: int = DEFAULT_SIZE,
    overwrite: bool = False,
    allow_vrt: bool = False,
) -> str:
    """Draw a grid, coarse or dense, or a mask, and return the picture's legend.

    A file of one band is a mask, any other a grid. It is read block by block, whatever its size.

    Parameters
    ----------
    source : path
        A GeoTIFF or ENVI file.
    out : path
        The PNG.
    row_band, col_band : int
        Bands of a grid.
    mask_valid_value : int
        Of a mask. One that holds causes says so in its band description, and is shown by cause.
    size : int
        The picture's longer side in pixels, at most. A raster that is smaller is enlarged by a whole factor.
    overwrite, allow_vrt : bool
        As in `densify`.

    Returns
    -------
    str

    Raises
    ------
    GridrValueError, GridrTypeError
        For a wrong argument, before a file is created.
    DatasetError
        For a file that cannot be read or written.
    """
    longest = checks.integer(size, "size", minimum=16)
    with open_raster(source, "file", allow_vrt=allow_vrt) as dataset:
        path = destination(out, "out", [Path(name) for name in dataset.files], overwrite=overwrite)
        step = -(-max(dataset.shape) // longest)
        zoom = max(1, longest // max(dataset.shape))
        if len(dataset.dtypes) == 1:
            picture, legend = _mask_picture(every(dataset, [1], step)[0], dataset.descriptions, mask_valid_value)
        else:
            bands = [
                checks.band(value, dataset, name, "file", kinds="biuf")[0]
                for value, name in ((row_band, "row_band"), (col_band, "col_band"))
            ]
            rows, cols = _coordinates(dataset, bands, step)
            picture, legend = _grid_picture(rows, cols, with_lines=zoom == 1)
    if step > 1:
        legend += f" Drawn: each {_ordinal(step)} row and column."
    elif zoom > 1:
        legend += f" Each pixel is drawn as {zoom} x {zoom}."
    write_png(path, picture.repeat(zoom, axis=0).repeat(zoom, axis=1), "out", overwrite=overwrite)
    return legend


def _coordinates(dataset: Any, bands: list[int], step: int) -> Floats:
    """Read both coordinates; NaN where a band's nodata tag says that there are none."""
    coordinates = every(dataset, bands, step).astype(np.float64)
    for band, values in zip(bands, coordinates, strict=True):
        tag = dataset.nodatavals[band - 1]
        if tag is not None:
            values[values == tag] = np.nan
    return coordinates


def _grid_picture(rows: Floats, cols: Floats, *, with_lines: bool) -> tuple[Floats, str]:
    away = displacement(rows, cols)
    lost = np.isnan(away)
    away[lost] = 0.0
    largest = float(away.max())
    step = max(round_step(largest, _STEPS_AT_MOST), _STEP_AT_LEAST)
    picture = coloured(away, step)
    legend = (
        f"Blue to yellow: 0 to {largest:.3g} source pixels from a straight-line mapping, a step of colour each"
        f" {step:g}."
    )
    if with_lines and not lost.all():
        ranges = [float(np.ptp(band[~lost])) for band in (rows, cols)]
        spacing = round_step(max(ranges), _LINES_AT_MOST)
        blend(picture, (lines(rows, spacing) | lines(cols, spacing)) & ~lost, LINE, 0.6)
        legend += f" Thin lines: each {spacing:g} source rows and columns."
    if lost.any():
        blend(picture, lost, LOST, 1.0)
        legend += f" Red: no coordinates, {100 * lost.mean():.3g} % of the picture."
    return picture, legend


def _mask_picture(values: AnyArray, descriptions: Sequence[str | None], valid_value: int) -> tuple[Floats, str]:
    picture = np.empty((*values.shape, 3))
    picture[:] = VALID
    shows = "Teal: valid, {:.4g} % of the picture"
    if descriptions[0] == "causes" and values.dtype.kind in "iu":
        for cause in reversed(Cause):  # the first cause is painted last, and hides the others
            picture[values & cause != 0] = cause.colour
        texts = "; ".join(f"{cause.colour_name}: {cause.label}" for cause in Cause)
        return picture, f"{shows.format(100 * (values == 0).mean())}. Invalid by its first cause: {texts}."
    valid = values == valid_value
    picture[~valid] = OUTSIDE
    return picture, f"{shows.format(100 * valid.mean())}; dark: not."


def round_step(span: float, at_most: int) -> float:
    """Return the least 1, 2 or 5 times a power of ten that divides a span into no more than so many parts."""
    if not (math.isfinite(span) and span > 0):
        return 1.0
    power = 10.0 ** math.floor(math.log10(span / at_most))
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if span <= at_most * factor * power)


def _ordinal(number: int) -> str:
    endings = {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{'th' if number % 100 in (11, 12, 13) else endings.get(number % 10, 'th')}"
