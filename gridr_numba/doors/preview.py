"""Quick-looks: a grid, a mask or both, and polygons, as one PNG with its title and its legend.

A grid is shown by its displacement, which is what is left of its mapping when the straight-line part, the best affine
one, is taken away; thin lines follow every so manieth source row and column. So folds and jumps show. What is wrong
with the mapping as a whole, the survey of nodes says (`engine.survey`), with a red line around the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from .. import checks
from ..engine.job import refuse_scaling
from ..engine.survey import Doubt, Trouble
from ..files.inputs import open_raster
from ..files.outputs import check_suffix, destination
from ..polygons.files import Polygons, pixel_polygons, polygon_files
from ..polygons.mask import Lattice, write_inside
from ..polygons.sets import PolygonSet
from ..types import VALID_COLOUR, Colour, FilePath, GeometryCrs, Pair, RasterizeOptions
from ..window import Window
from .legend import Bar, Key, framed
from .paint import (
    LINE,
    LOST,
    Bools,
    Floats,
    blend,
    coloured,
    edges,
    lines,
    png_of,
    round_step,
    straight_part,
    write_png,
)
from .placement import resolution_for
from .view import (
    DEFAULT_SIZE,
    Part,
    View,
    ViewBands,
    coordinates_of,
    image_values,
    invalid_parts,
    shown,
    size_of,
    step_of,
    stretch,
)

# A picture has at most so many steps of colour, and so many lines a direction, or neither can be told apart.
_STEPS_AT_MOST, _LINES_AT_MOST = 30, 16
# Of displacement, in source pixels.
_STEP_AT_LEAST = 1e-4
# How much of a grid a mask hides.
_MASK_WEIGHT = 0.85
# Of the edges of polygons.
_VALID_EDGE: Colour = (255, 255, 255)
_INVALID_EDGE: Colour = (225, 40, 200)
_ALARM: Colour = (225, 0, 0)


def preview(
    source: FilePath | Sequence[FilePath],
    out: FilePath,
    *,
    mask: FilePath | None = None,
    valid: Polygons | None = None,
    invalid: Polygons | None = None,
    grid_order: Literal["row_col", "xy"] = "row_col",
    row_band: int | None = None,
    col_band: int | None = None,
    displacement: bool = False,
    mask_band: int = 1,
    mask_valid_value: int = 1,
    resolution: int | tuple[int, int] | None = None,
    geometry_origin: tuple[float, float] = (0.0, 0.0),
    geometry_crs: GeometryCrs = None,
    geometry_layer: str | tuple[str | None, str | None] | None = None,
    size: int = DEFAULT_SIZE,
    overwrite: bool = False,
    allow_vrt: bool = False,
) -> str:
    """Draw a grid, coarse or dense, a mask, or both, with polygons, and return the picture's legend.

    A file of one band is a mask, any other a grid. They are read block by block, whatever their size. Title, scale of
    colours and legend are in the picture, too.

    Parameters
    ----------
    source : path or pair of paths
        GeoTIFF or ENVI files; a pair is (row file, column file) of a grid.
    out : path
        The PNG.
    mask : path, optional
        Drawn over the grid, whose rows and columns it must have.
    valid, invalid : path, GeometryType, or sequence of both, optional
        Polygons, of which the edges are drawn. In pixels, or in a CRS, as in `densify`.
    grid_order, row_band, col_band, displacement
        As in `densify`.
    mask_band : int
        Of a mask.
    mask_valid_value : int
        Of a mask. One that holds causes says so in its band description, and is shown by cause.
    resolution : int or tuple of int, optional
        Dense pixels a pixel of `source`: that of the nodes, where it is a coarse grid and polygons are in dense pixels.
        None is 1, and not enough with `displacement`.
    geometry_origin, geometry_crs, geometry_layer
        As in `densify`.
    size : int
        The longer side of what is drawn, in pixels, at most: 16 to 10000. A raster that is smaller is enlarged by a
        whole factor.
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
    longest = size_of(size)
    known = resolution_for(displacement, resolution)
    rr_rc = known or (1, 1)
    with ExitStack() as stack:
        bands = ViewBands(grid_order, row_band, col_band, displacement, mask_band, mask_valid_value)
        view = View.opened(stack, source, mask, bands, allow_vrt=allow_vrt)
        inputs = [*view.paths, *polygon_files(valid, invalid)]
        path = destination(out, "out", inputs, overwrite=overwrite)
        check_suffix(path, "out", "PNG")
        frame = view.frame(rr_rc, checks.real_pair(geometry_origin, "geometry_origin"))
        sets = pixel_polygons(valid, invalid, frame, crs=geometry_crs, layer=geometry_layer)
        step, zoom = _scale(view.shape, longest)
        drawing = _drawn(view, step, known, mask_valid_value, with_lines=zoom == 1)
    drawing.enlarge(zoom)
    _paint_polygons(drawing, sets, frame.origin_row_col, rr_rc, step, zoom)
    drawing.say_scale(step, zoom)
    write_png(path, drawing.framed(view.title), "out", overwrite=overwrite)
    return drawing.legend


def picture_of(grid: FilePath | None, mask: FilePath | None, mask_valid_value: int) -> tuple[bytes, str]:
    """Draw a grid, a mask or both, as `preview` does; return the PNG and its legend."""
    with ExitStack() as stack:
        source, over_it = (mask, None) if grid is None else (grid, mask)
        view = View.opened(stack, source, over_it, ViewBands(), allow_vrt=False)
        step, zoom = _scale(view.shape, DEFAULT_SIZE)
        drawing = _drawn(view, step, None, mask_valid_value, with_lines=zoom == 1)
    drawing.enlarge(zoom)
    drawing.say_scale(step, zoom)
    return png_of(drawing.framed(view.title)), drawing.legend


def picture_of_image(file: FilePath) -> tuple[bytes, str]:
    """Draw an image, its first three bands in colours or its first in grey; return the PNG and its legend."""
    with open_raster(file, "image", allow_vrt=False) as image:
        bands = [1, 2, 3] if len(image.dtypes) >= 3 else [1]
        step, zoom = _scale(image.shape, DEFAULT_SIZE)
        values = image_values(image, bands, step)
        title = f"Image {Path(image.name).name}: {image.shape[0]} x {image.shape[1]} pixels"
    limits = [stretch(band) for band in values]
    levels = [shown(band, limit) for band, limit in zip(values, limits, strict=True)]
    picture = 255 * np.dstack(levels * (3 // len(bands)))
    lost = ~np.isfinite(values).all(axis=0)
    picture[lost] = LOST
    said = ", ".join(f"{low:g} to {high:g}" for low, high in limits)
    drawing = _Drawing(picture, keys=[Key(None, "Black to white", f"band {', '.join(map(str, bands))}: {said}")])
    if lost.any():
        drawing.keys.append(Key(LOST, "Red", f"no value, {100 * lost.mean():.3g} % of the picture"))
    drawing.enlarge(zoom)
    drawing.say_scale(step, zoom)
    return png_of(drawing.framed(title)), drawing.legend


def _scale(shape: Pair, longest: int) -> tuple[int, int]:
    """Return each how manieth pixel is drawn, and as how many along both sides."""
    return step_of(shape, longest), max(1, longest // max(shape))


@dataclass
class _Drawing:
    """A picture, and what is said of it."""

    picture: Floats
    bar: Bar | None = None
    keys: list[Key] = field(default_factory=list)
    edge: Colour | None = None

    @property
    def legend(self) -> str:
        """All that is said, in sentences."""
        return " ".join([*([] if self.bar is None else [str(self.bar)]), *(str(key) for key in self.keys)])

    def framed(self, title: str) -> Floats:
        """Return the picture with its title, its scale of colours and its legend."""
        return framed(self.picture, title, self.bar, self.keys, self.edge)

    def say_scale(self, step: int, zoom: int) -> None:
        """Say which pixels are drawn, and how large."""
        if step > 1:
            self.keys.append(Key(None, "Drawn", f"each {_ordinal(step)} row and column"))
        elif zoom > 1:
            self.keys.append(Key(None, "", f"Each pixel is drawn as {zoom} x {zoom}"))

    def enlarge(self, zoom: int) -> None:
        """Draw each pixel as a square of so many."""
        self.picture = self.picture.repeat(zoom, axis=0).repeat(zoom, axis=1)


def _drawn(view: View, step: int, resolution: Pair | None, valid_value: int, *, with_lines: bool) -> _Drawing:
    """Draw every so manieth pixel."""
    parts: list[Part] = []
    share = 0.0
    if view.mask is not None:
        refuse_scaling(view.mask)
        parts, share = invalid_parts(view.mask, step, valid_value)
    if view.grid is None:
        drawing = _Drawing(np.empty((*(-(-size // step) for size in view.shape), 3)))
        drawing.picture[:] = VALID_COLOUR
    else:
        drawn = None if resolution is None else (resolution[0] * step, resolution[1] * step)
        nodes = coordinates_of(view.grid, step, drawn)
        survey = view.sources.survey(drawn)
        survey.add(nodes, (0, 0), (0, 0))
        hidden = np.logical_or.reduce([np.zeros(nodes.shape[1:], dtype=bool), *(where for where, *_ in parts)])
        drawing = _draw_grid(nodes[0], nodes[1], step, next(survey.doubts(), None), hidden, with_lines=with_lines)
    if view.mask is not None:
        of_all = f"{share:.4g} % of the picture"
        alone = view.grid is None
        drawing.keys.append(Key(VALID_COLOUR, "Teal", f"valid, {of_all}") if alone else Key(None, "Valid", of_all))
        for where, colour, name, label in parts:
            blend(drawing.picture, where, colour, 1.0 if alone else _MASK_WEIGHT)
            drawing.keys.append(Key(colour, name, f"{label}, {100 * where.mean():.3g} %"))
    return drawing


# -- a grid -------------------------------------------------------------------------------------------------------


def _draw_grid(
    rows: Floats, cols: Floats, step: int, doubt: Doubt | None, hidden: Bools, *, with_lines: bool
) -> _Drawing:
    """Draw coordinates; where there are none is said of what a mask will not hide."""
    straight, away = straight_part(rows, cols)
    lost = np.isnan(away)
    what = "from a straight-line mapping"
    displaced = doubt is not None and doubt.trouble is Trouble.DISPLACEMENTS
    if displaced:
        away, what = np.hypot(rows, cols), "of displacement"
    away[lost] = 0.0
    largest = float(away.max())
    if largest < _STEP_AT_LEAST:
        largest = 0.0  # what the affine function was rounded by
    colour_step = max(round_step(largest, _STEPS_AT_MOST), _STEP_AT_LEAST)
    drawing = _Drawing(coloured(away, colour_step))
    drawing.bar = Bar(coloured(np.linspace(0.0, largest, 512)[np.newaxis], colour_step)[0], largest, what, colour_step)
    if doubt is not None:
        drawing.edge = _ALARM
        drawing.keys.append(Key(_ALARM, doubt.trouble.upper(), doubt.text))
    if not lost.all():
        drawing.keys.append(Key(None, "Source", _looked_at(rows[~lost], cols[~lost], straight, rows.shape, step)))
    if not lost.all() and with_lines and not displaced:
        ranges = [float(np.ptp(band[~lost])) for band in (rows, cols)]
        spacing = round_step(max(ranges), _LINES_AT_MOST)
        blend(drawing.picture, (lines(rows, spacing) | lines(cols, spacing)) & ~lost, LINE, 0.6)
        drawing.keys.append(Key(LINE, "Thin lines", f"each {spacing:g} source rows and columns"))
    blend(drawing.picture, lost, LOST, 1.0)
    if (seen := lost & ~hidden).any():
        drawing.keys.append(Key(LOST, "Red", f"no coordinates, {100 * seen.mean():.3g} % of the picture"))
    return drawing


def _steps(straight: Floats, shape: Pair, step: int) -> Floats:
    """Return how rows and columns change a pixel down and a pixel to the right, (2, 2); 0 where there is but one."""
    steps: Floats = np.empty((2, 2))
    for axis, size in enumerate(shape):
        steps[:, axis] = straight[:, 1 + axis] / (max(size - 1, 1) * step / 2)
    return steps


def _looked_at(rows: Floats, cols: Floats, straight: Floats, shape: Pair, step: int) -> str:
    (row_down, row_right), (col_down, col_right) = np.round(_steps(straight, shape, step), 9) + 0.0  # -0 is 0
    return (
        f"rows {rows.min():.7g} to {rows.max():.7g}, columns {cols.min():.7g} to {cols.max():.7g}; a pixel down is"
        f" {row_down:+.3g} rows and {col_down:+.3g} columns, a pixel to the right {row_right:+.3g} and {col_right:+.3g}"
    )


# -- polygons -----------------------------------------------------------------------------------------------------


def _paint_polygons(
    drawing: _Drawing,
    sets: tuple[PolygonSet | None, ...],
    origin: tuple[float, float],
    resolution: Pair,
    step: int,
    zoom: int,
) -> None:
    """Draw the edges of both sets: where the centres of the picture's own pixels cease to be inside."""
    shape = drawing.picture.shape[:2]
    per_pixel = [dense * step / zoom for dense in resolution]
    # A pixel that is drawn as several starts before its centre.
    first = [start + dense * (1 - zoom) / (2 * zoom) for start, dense in zip(origin, resolution, strict=True)]
    lattice = Lattice((shape[0], shape[1]), (first[0], first[1]), (per_pixel[0], per_pixel[1]))
    named = (("valid", _VALID_EDGE, "White line"), ("invalid", _INVALID_EDGE, "Magenta line"))
    for polygons, (name, colour, colour_name) in zip(sets, named, strict=True):
        if polygons is not None:
            inside = np.empty(lattice.shape_row_col, np.uint8)
            write_inside(polygons, lattice, Window.whole(lattice.shape_row_col), RasterizeOptions(), (0, 1), inside)
            blend(drawing.picture, edges(inside), colour, 1.0)
            share = 100 * float(inside.mean())
            drawing.keys.append(
                Key(colour, colour_name, f"edge of {name} polygons, {share:.3g} % of the picture inside")
            )


def _ordinal(number: int) -> str:
    endings = {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{'th' if number % 100 in (11, 12, 13) else endings.get(number % 10, 'th')}"
