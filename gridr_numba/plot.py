"""Figures: grids, masks by cause, polygons, images before and after, and all of a call's files at a glance.

Needs the extra ``plot``, which is matplotlib. Figures are made without a display and without pyplot: nothing that is
global changes. Notebooks show what is returned; `save` writes it as PNG, SVG or PDF, by the suffix. Rasters of any size
are read block by block, every so manieth row and column of them.

Colours are told apart with any colour vision: coordinates have one map from dark to light (viridis), and causes differ
in lightness, too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from inspect import signature
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np

try:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
except ImportError as error:
    raise ImportError(
        f"gridr_numba.plot needs matplotlib, which cannot be imported ({error}): pip install 'gridr_numba[plot]'"
    ) from error

from . import checks
from .doors.densify import DensifyReport
from .doors.inspection import inspect_grid
from .doors.make_grid import GridReport
from .doors.paint import Floats
from .doors.placement import resolution_for
from .doors.reports import DenseReport
from .doors.resample import ResampleReport
from .doors.view import DEFAULT_SIZE, View, ViewBands, coordinates_of, image_values, shown, size_of, step_of, stretch
from .drawing import (
    draw_grid,
    draw_mask,
    draw_outline,
    draw_polygons,
    edge_of,
    extent_of,
    new_figure,
    write_below,
    write_title,
)
from .errors import GridrTypeError, GridrValueError
from .files.bands import SourceBand
from .files.inputs import OpenRaster, open_raster
from .files.outputs import destination
from .files.whole_file import whole_file
from .files.zarr import is_store_name
from .georef import edge_before, shifted_transform
from .polygons.files import Polygons, pixel_polygons
from .polygons.projection import PixelFrame
from .polygons.sets import PolygonSet
from .types import FilePath, GeometryCrs, Pair


def plot_grid(
    grid: FilePath | Sequence[FilePath],
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
    source: FilePath | None = None,
    findings: bool = True,
    largest: float | None = None,
    size: int = DEFAULT_SIZE,
    allow_vrt: bool = False,
) -> Figure:
    """Draw a grid, coarse or dense: how far its mapping is from a straight-line one, and what looks wrong with it.

    Not in GRIDR. Law 9: what looks wrong is said, here below the picture.

    Colours are the distance from the best affine function, in source pixels; lines follow source rows (solid) and
    source columns (dashed). Cells that are folded, which have the orientation that most have not, are outlined; nodes
    without coordinates are left white. Arrows in the middle point to where source rows and columns grow.

    Parameters
    ----------
    grid : path or pair of paths
        GeoTIFF or ENVI files; a pair is (row file, column file).
    mask : path, optional
        Drawn over the grid, whose rows and columns it must have; by cause where it holds causes.
    valid, invalid, geometry_origin, geometry_crs, geometry_layer
        Polygons, of which the edges are drawn, as in `densify`.
    grid_order, row_band, col_band, displacement, mask_band, mask_valid_value
        As in `densify`.
    resolution : int or tuple of int, optional
        Dense pixels a node, (rows, columns), for the axes and for polygons in dense pixels. None is 1, as of a dense
        grid, and not enough with `displacement`.
    source : path, optional
        The image that coordinates look up, for the findings. Its pixels are not read.
    findings : bool
        Whether to read all of the grid, and write below the picture what ``gridr-numba info`` warns of.
    largest : float, optional
        Source pixels at the light end of the colours, so that pictures of several grids can be compared. None is the
        grid's own largest.
    size : int
        How many pixels to draw along the longer side, at most.
    allow_vrt : bool
        As in `densify`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    GridrValueError, GridrTypeError
        For a wrong argument.
    DatasetError
        For a file that cannot be read.

    Examples
    --------
    >>> import numpy as np
    >>> import rasterio
    >>> from gridr_numba import plot
    >>> with rasterio.open("grid.tif", "w", driver="GTiff", count=2, height=3, width=4, dtype="float64") as grid:
    ...     grid.write(np.mgrid[:3, :4] * 10.0)
    >>> figure = plot.plot_grid("grid.tif", resolution=10)
    >>> figure.axes[0].get_title()
    'Grid grid.tif: 3 x 4 pixels'
    >>> plot.save(figure, "grid.svg")
    """
    longest, known = size_of(size), resolution_for(displacement, resolution)
    rr_rc = known or (1, 1)
    top = None if largest is None else checks.number(largest, "largest")
    if top is not None and not 0 < top < np.inf:
        raise GridrValueError(f"largest must be positive and finite, not {largest!r}", argument="largest")
    figure, axes = new_figure(1)
    with ExitStack() as stack:
        bands = ViewBands(grid_order, row_band, col_band, displacement, mask_band, mask_valid_value)
        view = View.opened(stack, grid, mask, bands, allow_vrt=allow_vrt)
        if view.grid is None:
            raise GridrValueError(f"grid must have two bands, and {view.files[0].name!r} has one", argument="grid")
        frame = view.frame(rr_rc, checks.real_pair(geometry_origin, "geometry_origin"))
        sets = pixel_polygons(valid, invalid, frame, crs=geometry_crs, layer=geometry_layer)
        step = step_of(view.shape, longest)
        keys: list[Artist] = []
        hidden = None
        if view.mask is not None:
            keys, hidden = draw_mask(axes[0], view.mask, step, rr_rc, mask_valid_value, over=True)
        keys += draw_grid(axes[0], view.grid, step, rr_rc, top, hidden=hidden)
    keys += draw_polygons(axes[0], sets, frame.origin_row_col)
    write_title(axes[0], view.title)
    doubts: Sequence[str] = ()
    if findings:
        how: dict[str, Any] = {"grid_order": grid_order, "row_band": row_band, "col_band": col_band}
        how |= {"displacement": displacement, "allow_vrt": allow_vrt}
        doubts = inspect_grid(grid, resolution=known, source=source, **how).warnings
    write_below(figure, keys, doubts)
    return figure


def plot_mask(
    mask: FilePath,
    *,
    mask_band: int = 1,
    mask_valid_value: int = 1,
    valid: Polygons | None = None,
    invalid: Polygons | None = None,
    resolution: int | tuple[int, int] = 1,
    geometry_origin: tuple[float, float] = (0.0, 0.0),
    geometry_crs: GeometryCrs = None,
    geometry_layer: str | tuple[str | None, str | None] | None = None,
    size: int = DEFAULT_SIZE,
    allow_vrt: bool = False,
) -> Figure:
    """Draw a mask, by cause where it holds causes, with a legend that says how much of the picture each takes.

    Not in GRIDR. Law 8: what is valid is the value that is named.

    Parameters
    ----------
    mask : path
        A GeoTIFF or ENVI file of one band.
    mask_band, mask_valid_value
        As in `densify`. Of a mask that holds causes, 0 is valid whatever `mask_valid_value` says.
    valid, invalid, resolution, geometry_origin, geometry_crs, geometry_layer, size, allow_vrt
        As in `plot_grid`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    GridrValueError, GridrTypeError
        For a wrong argument.
    DatasetError
        For a file that cannot be read.

    Examples
    --------
    >>> from gridr_numba import densify, plot
    >>> cloud = {"type": "Polygon", "coordinates": [[(2, 3), (9, 3), (9, 8), (2, 8), (2, 3)]]}
    >>> report = densify(None, None, shape=(3, 4), resolution=10, mask_out="valid.tif", invalid=cloud)
    >>> figure = plot.plot_mask("valid.tif")
    >>> [text.get_text() for text in figure.legends[0].get_texts()]
    ['valid, 92.6 %', 'invalid, 7.37 %']
    """
    rr_rc, longest = checks.one_or_two_resolutions(resolution, "resolution"), size_of(size)
    figure, axes = new_figure(1)
    with ExitStack() as stack:
        view = View.opened(stack, mask, None, ViewBands(mask_band=mask_band), allow_vrt=allow_vrt)
        if view.mask is None:
            raise GridrValueError(f"mask must have one band, and {view.files[0].name!r} has more", argument="mask")
        frame = view.frame(rr_rc, checks.real_pair(geometry_origin, "geometry_origin"))
        sets = pixel_polygons(valid, invalid, frame, crs=geometry_crs, layer=geometry_layer)
        keys, _ = draw_mask(axes[0], view.mask, step_of(view.shape, longest), rr_rc, mask_valid_value, over=False)
    keys += draw_polygons(axes[0], sets, frame.origin_row_col)
    write_title(axes[0], view.title)
    write_below(figure, keys)
    return figure


def plot_file(source: FilePath | Sequence[FilePath], *, allow_vrt: bool = False, **options: Any) -> Figure:
    """Draw a mask where a file has one band, else a grid: what ``gridr-numba preview`` does for SVG and PDF.

    Not in GRIDR. The laws are those of `plot_grid` and `plot_mask`.

    Parameters
    ----------
    source : path or pair of paths
    allow_vrt : bool
        As in `densify`.
    **options
        Of `plot_grid`; of a mask, those that `plot_mask` has.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    GridrValueError, GridrTypeError
        For a wrong argument.
    DatasetError
        For a file that cannot be read.

    Examples
    --------
    >>> import numpy as np
    >>> import rasterio
    >>> from gridr_numba import plot
    >>> with rasterio.open("grid.tif", "w", driver="GTiff", count=2, height=3, width=4, dtype="float64") as grid:
    ...     grid.write(np.mgrid[:3, :4] * 10.0)
    >>> plot.plot_file("grid.tif", largest=2.0).axes[0].get_title()
    'Grid grid.tif: 3 x 4 pixels'
    """
    if isinstance(source, str | PathLike):
        with open_raster(source, "file", allow_vrt=allow_vrt) as file:
            alone = len(file.dtypes) == 1
        if alone:
            parameters = list(signature(plot_mask).parameters)[1:]
            of_a_grid = signature(plot_grid).parameters
            for name, value in options.items():
                if name not in parameters:
                    checks.left_out(value, of_a_grid[name].default, name, "a grid")
            taken = {name: value for name, value in options.items() if name in parameters}
            return plot_mask(source, allow_vrt=allow_vrt, **taken | {"resolution": options.get("resolution") or 1})
    return plot_grid(source, allow_vrt=allow_vrt, **options)


def plot_images(
    before: FilePath,
    after: FilePath,
    *,
    bands: int | Sequence[int] | None = None,
    mask: FilePath | None = None,
    mask_valid_value: int = 1,
    stacked: bool = False,
    size: int = DEFAULT_SIZE,
    allow_vrt: bool = False,
) -> Figure:
    """Draw an image and what became of it side by side, in the same grey or colours.

    Not in GRIDR; no law is of pictures.

    Each band's values from the 2nd to the 98th percentile of `before` are from black to white, in both pictures. Pixels
    that are nodata by their tag or not finite, and those that `mask` makes invalid, are left out: paper shows.

    Parameters
    ----------
    before, after : path
        GeoTIFF or ENVI files.
    bands : int or sequence of int, optional
        One band for grey, three for red, green and blue. None takes the first three where there are three, else the
        first.
    mask : path, optional
        Of `after`, as `resample` or `densify` writes it with `mask_out`.
    mask_valid_value : int
        Of a mask that does not hold causes.
    stacked : bool
        One below the other, which a narrow page or screen shows with letters that are read.
    size, allow_vrt
        As in `plot_grid`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    GridrValueError, GridrTypeError
        For a wrong argument.
    DatasetError
        For a file that cannot be read.

    Examples
    --------
    >>> import numpy as np
    >>> import rasterio
    >>> from gridr_numba import plot, warp
    >>> place = {"crs": "EPSG:32631", "transform": rasterio.transform.from_origin(5e5, 5e6, 10, 10)}
    >>> place |= {"driver": "GTiff", "count": 1, "height": 50, "width": 70, "dtype": "uint8"}
    >>> with rasterio.open("image.tif", "w", **place) as image:
    ...     image.write(np.arange(3500).reshape(50, 70).astype("uint8"), 1)
    >>> report = warp("image.tif", "map.tif", crs="EPSG:32631", pixel_size=20, nodata=0)
    >>> [axes.get_title() for axes in plot.plot_images("image.tif", "map.tif").axes]
    ['before: image.tif, 50 x 70', 'after: map.tif, 25 x 35']
    """
    longest = size_of(size)
    figure, axes = new_figure(2, stacked=checks.boolean(stacked, "stacked"))
    with ExitStack() as stack:
        images = [
            stack.enter_context(open_raster(path, name, allow_vrt=allow_vrt))
            for path, name in ((before, "before"), (after, "after"))
        ]
        chosen = _bands(bands, images[0], images[1])
        steps = _draw_images(axes, images, (chosen, chosen), longest)
        for ax, image, word in zip(axes, images, ("before", "after"), strict=True):
            write_title(ax, f"{word}: {_said_of(image)}")
        keys: list[Artist] = []
        if mask is not None:
            view = View.opened(stack, mask, None, ViewBands(), allow_vrt=allow_vrt)
            if view.mask is None:
                raise GridrValueError(f"mask must have one band, and {mask!r} has more", argument="mask")
            checks.dataset_shape(view.files[0], "mask", images[1].shape, "as after has")
            keys, _ = draw_mask(axes[1], view.mask, steps[1], (1, 1), mask_valid_value, over=True)
    write_below(figure, keys)
    return figure


def overview(
    report: DensifyReport | ResampleReport | GridReport, *, stacked: bool = False, size: int = DEFAULT_SIZE
) -> Figure:
    """Draw what went into a call that wrote files and what came out, side by side, from its report.

    Not in GRIDR; no law is of pictures.

    Of `densify`: left the coarse grid in blocks, one a node, with the coarse mask and the edges of polygons; right the
    dense grid with its mask. Both have the axes of the dense raster.

    Of `resample` and `warp`: left the image, with the part of it that was read; right what was made of it, in the same
    grey or colours, with its mask and the edges of polygons, on the axes of the dense raster. Of a mask with a band for
    each of the image, the first is drawn.

    Of `make_grid`: left the image, with the edge of the grid in it, unless the mapping was a callable; right the grid,
    as `plot_grid` draws it, on the target's axes.

    The files must be where they were; polygons that were not given as files are not drawn.

    Parameters
    ----------
    report : DensifyReport, ResampleReport or GridReport
    stacked : bool
        As in `plot_images`.
    size : int
        How many pixels to draw along the longer side of each, at most.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    GridrValueError, GridrTypeError
        For what is no report, or one of a Zarr store.
    DatasetError
        For a file that cannot be read.

    Examples
    --------
    >>> import numpy as np
    >>> import rasterio
    >>> from gridr_numba import densify, plot
    >>> with rasterio.open("grid.tif", "w", driver="GTiff", count=2, height=3, width=4, dtype="float64") as grid:
    ...     grid.write(np.mgrid[:3, :4] * 10.0)
    >>> report = densify("grid.tif", "dense.tif", resolution=10, mask_out="valid.tif")
    >>> [axes.get_title() for axes in plot.overview(report).axes[:2]]
    ['In: Grid grid.tif: 3 x 4 nodes', 'Out: Grid and mask dense.tif, valid.tif: 21 x 31 pixels']
    """
    longest, below = size_of(size), checks.boolean(stacked, "stacked")
    if isinstance(report, DensifyReport):
        return _of_densify(report, longest, stacked=below)
    if isinstance(report, ResampleReport):
        return _of_resample(report, longest, stacked=below)
    if isinstance(report, GridReport):
        return _of_make_grid(report, longest, stacked=below)
    raise GridrTypeError(
        f"report must be a DensifyReport, a ResampleReport or a GridReport, not {type(report).__name__}",
        argument="report",
    )


def save(figure: Figure, out: FilePath, *, overwrite: bool = False, dpi: int = 200) -> None:
    """Write a figure as PNG, SVG or PDF, by the suffix of `out`; the file appears whole or not at all.

    Not in GRIDR. Law 9: nothing is replaced that a caller did not name.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    out : path
    overwrite : bool
        Allow a file that is there to be replaced.
    dpi : int
        Pixels an inch, of a PNG and of the pictures within the others.

    Raises
    ------
    GridrValueError
        For another suffix, or where `out` is there and may not be replaced.
    DatasetError
        If the file cannot be written.

    Examples
    --------
    >>> import os
    >>> from gridr_numba import densify, plot
    >>> report = densify(None, None, shape=(3, 4), resolution=10, mask_out="valid.tif")
    >>> plot.save(plot.plot_mask("valid.tif"), "valid.png", dpi=100)
    >>> os.path.getsize("valid.png") > 1000
    True
    """
    path = destination(out, "out", [], overwrite=overwrite)
    kind = path.suffix.lower().lstrip(".")
    if kind not in ("png", "svg", "pdf"):
        raise GridrValueError(f"out must end with .png, .svg or .pdf, not {path.name!r}", argument="out")
    # Without the time of its making, the same figure is the same file.
    no_date = {"png": None, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
    with whole_file(path, "out", overwrite=overwrite) as file:
        figure.savefig(file, format=kind, dpi=checks.integer(dpi, "dpi", minimum=10), metadata=no_date)


# -- what went in and what came out -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Side:
    """A grid, a mask or both, and where their pixels lie in the dense raster."""

    grid: Sequence[str] | None
    mask: Sequence[str] | None
    bands: ViewBands
    valid_value: int
    resolution: Pair
    first: Pair

    def draw(self, stack: ExitStack, ax: Axes, longest: int, whose: str) -> tuple[str, list[Artist]]:
        """Draw it; return what it is, and its legend, which says whose the mask is."""
        if self.grid is None and self.mask is None:
            return "polygons alone", []
        mask = None if self.mask is None else self.mask[0]
        grid = None if self.grid is None else self.grid[0] if len(self.grid) == 1 else self.grid
        source, over_it = (mask, None) if grid is None else (grid, mask)
        view = View.opened(stack, source, over_it, self.bands, allow_vrt=True)
        step = step_of(view.shape, longest)
        keys: list[Artist] = []
        hidden = None
        if view.mask is not None:
            how: dict[str, Any] = {"over": view.grid is not None, "first": self.first}
            keys, hidden = draw_mask(ax, view.mask, step, self.resolution, self.valid_value, **how)
            for key in keys:
                key.set_label(f"{whose}{key.get_label()}")
        if view.grid is not None:
            keys += draw_grid(ax, view.grid, step, self.resolution, None, self.first, hidden=hidden)
        return view.title, keys


def _of_densify(report: DensifyReport, longest: int, *, stacked: bool) -> Figure:
    made = report.grid or report.mask
    if is_store_name(made):
        raise GridrValueError(
            f"report must be of rasters, and {made!r} is a Zarr store, which is not drawn", argument="report"
        )
    given, options = report.inputs, report.options
    (row_start, _), (col_start, _) = report.window
    came_in = _Side(
        given.get("grid"),
        given.get("mask"),
        _bands_of(options),
        options.get("mask_valid_value", 1),
        report.resolution,
        (0, 0),
    )
    came_out = _Side(
        [report.grid] if report.grid else None,
        [report.mask] if report.mask else None,
        ViewBands(),
        _valid_value(report),
        (1, 1),
        (row_start, col_start),
    )
    figure, axes = new_figure(2, stacked=stacked)
    keys: dict[str, Artist] = {}
    for ax, side, word in zip(axes, (came_in, came_out), ("In", "Out"), strict=True):
        with ExitStack() as stack:
            title, drawn = side.draw(stack, ax, longest, "coarse mask: " if side is came_in else "")
        if side is came_in:
            title = re.sub("pixels$", "nodes", title)
        write_title(ax, f"{word}: {title}")
        _show(ax, *report.window)
        keys.update({str(key.get_label()): key for key in drawn})
    sets, origin = _polygons_of(report, made)
    edges = draw_polygons(axes[0], sets, origin)
    write_below(figure, [*keys.values(), *edges], report.warnings)
    return figure


def _of_resample(report: ResampleReport, longest: int, *, stacked: bool) -> Figure:
    (row_start, _), (col_start, _) = report.window
    first = row_start, col_start
    numbers = [0, 1, 2] if len(report.bands) >= 3 else [0]
    figure, axes = new_figure(2, stacked=stacked)
    with ExitStack() as stack:
        names = (*report.inputs["image"], report.image)
        images = [stack.enter_context(open_raster(name, "report", allow_vrt=True)) for name in names]
        bands = [report.bands[number] for number in numbers], [number + 1 for number in numbers]
        steps = _draw_images(axes, images, bands, longest, first)
        title = f"Out: {_said_of(images[1])}"
        keys: list[Artist] = []
        if report.mask is not None:
            mask = stack.enter_context(open_raster(report.mask, "report", allow_vrt=False))
            band = SourceBand(mask, 1, "report")
            keys, _ = draw_mask(axes[1], band, steps[1], (1, 1), _valid_value(report), over=True, first=first)
            title += f", and mask {Path(mask.name).name}" + (", band 1" if len(mask.dtypes) > 1 else "")
    write_title(axes[0], f"In: {_said_of(images[0])}")
    write_title(axes[1], title)
    if report.source_rows is not None and report.source_cols is not None:
        (top, bottom), (left, right) = (edge_before(0.0, each) for each in (report.source_rows, report.source_cols))
        box = [top, top, bottom, bottom, top], [left, right, right, left, left]
        keys.append(draw_outline(axes[0], *box, "what was read of the image"))
    _show(axes[1], *report.window)
    sets, origin = _polygons_of(report, report.image)
    write_below(figure, [*keys, *draw_polygons(axes[1], sets, origin)], report.warnings)
    return figure


def _of_make_grid(report: GridReport, longest: int, *, stacked: bool) -> Figure:
    keys: list[Artist] = []
    void = f"void, {report.void_nodes:,} nodes"
    with ExitStack() as stack:
        image = _image_of(report, stack)
        figure, axes = new_figure(1 if image is None else 2, stacked=stacked)
        view = View.opened(stack, report.grid, None, ViewBands(), allow_vrt=False)
        step = step_of(view.shape, longest)
        if view.grid is not None:
            keys += draw_grid(axes[-1], view.grid, step, report.resolution, None, void=void)
            if image is not None:
                _draw_images(axes[:1], [image], [[1, 2, 3] if len(image.dtypes) >= 3 else [1]], longest)
                write_title(axes[0], f"In: {_said_of(image)}")
                rows, cols = (edge_of(band) for band in coordinates_of(view.grid, step, None))
                keys.append(draw_outline(axes[0], rows, cols, "edge of the grid in the image"))
    (rr, rc), (height, width) = report.resolution, report.target_shape
    _show(axes[-1], (0, height), (0, width))
    nodes = f"{report.shape[0]} x {report.shape[1]} nodes, one every {rr} x {rc} pixels of {height} x {width}"
    write_title(axes[-1], f"Out: {Path(report.grid).name}, {nodes}")
    write_below(figure, keys, report.warnings)
    return figure


def _image_of(report: GridReport, stack: ExitStack) -> OpenRaster | None:
    """Open the image that a grid leads to; None where there is none, or its pixels are complex numbers."""
    for path in report.inputs.get("source", ()):
        image = stack.enter_context(open_raster(path, "report", allow_vrt=True))
        if not any(str(dtype).startswith("complex") for dtype in image.dtypes):
            return image
    return None


def _show(ax: Axes, rows: Pair, cols: Pair) -> None:
    """Show some rows and columns, from the first to before the last."""
    (top, bottom), (left, right) = edge_before(0.0, rows), edge_before(0.0, cols)
    ax.set(xlim=(left, right), ylim=(bottom, top))


def _valid_value(report: DenseReport) -> int:
    """Return what is valid in the mask that was made, unless it holds causes."""
    values = report.options.get("mask_out_values")
    return int(values[0]) if isinstance(values, list) else 1


def _bands_of(options: Mapping[str, Any]) -> ViewBands:
    """Return what a call of `densify` said of its files' bands."""
    return ViewBands(**{name: options[name] for name in ViewBands._fields if name in options})


def _polygons_of(report: DenseReport, made: str | None) -> tuple[Sequence[PolygonSet | None], tuple[float, float]]:
    """Read the polygons that were given as files; what was made says where they lie."""
    options, valid, invalid = report.options, report.inputs.get("valid"), report.inputs.get("invalid")
    row, col = options.get("geometry_origin", (0.0, 0.0))
    if made is None or not (valid or invalid):
        return (None, None), (row, col)
    with open_raster(made, "report", allow_vrt=False) as dense:
        (row_start, row_stop), (col_start, col_stop) = report.window
        whole = None if dense.transform.is_identity else shifted_transform(dense.transform, -row_start, -col_start)
        frame = PixelFrame(dense.crs, whole, (row, col), (row_stop, col_stop))
    crs, layer = (_of_files(options.get(name), (valid, invalid)) for name in ("geometry_crs", "geometry_layer"))
    sets = pixel_polygons(valid, invalid, frame, crs=crs, layer=layer, repair="repair_geometry" in options)
    return sets, (row, col)


def _of_files(pair: Any, files: Sequence[object]) -> Any:
    """Return a CRS or a layer; of a pair, of valid and of invalid polygons, that of no files is None."""
    if isinstance(pair, list):
        return [value if given else None for value, given in zip(pair, files, strict=True)]
    return pair


# -- images -------------------------------------------------------------------------------------------------------


def _bands(value: object, before: OpenRaster, after: OpenRaster) -> list[int]:
    if value is None:
        both = min(len(before.dtypes), len(after.dtypes))
        return [1, 2, 3] if both >= 3 else [1]
    numbers: list[Any] = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    if len(numbers) not in (1, 3):
        raise GridrValueError(f"bands must be one band or three, not {value!r}", argument="bands")
    for name, image in (("before", before), ("after", after)):
        for number in numbers:
            checks.band(number, image, "bands", name, kinds="biuf")
    return [int(number) for number in numbers]


def _said_of(image: OpenRaster) -> str:
    return f"{Path(image.name).name}, {image.shape[0]} x {image.shape[1]}"


def _draw_images(
    axes: Sequence[Axes], images: Sequence[OpenRaster], bands: Sequence[list[int]], longest: int, first: Pair = (0, 0)
) -> list[int]:
    """Draw some bands of images in the same grey or colours, and return each how manieth pixel is drawn.

    Black and white are those of the first image. `first` is the place of the last one's first pixel.
    """
    steps = [step_of(image.shape, longest) for image in images]
    values = [image_values(*each) for each in zip(images, bands, steps, strict=True)]
    limits = [stretch(band) for band in values[0]]
    firsts = [*[(0, 0)] * (len(images) - 1), first]
    for ax, pixels, step, place in zip(axes, values, steps, firsts, strict=True):
        extent = extent_of(pixels.shape[1:], step, (1, 1), place)
        ax.imshow(_picture(pixels, limits), extent=extent, interpolation="nearest")
    return steps


def _picture(values: Floats, limits: Sequence[tuple[float, float]]) -> Floats:
    """Return a picture (rows, columns, 4) of one band or three; invisible where a band has no value."""
    levels = [shown(band, limit) for band, limit in zip(values, limits, strict=True)]
    known = np.isfinite(values).all(axis=0)
    return np.dstack([*(levels * (3 if len(levels) == 1 else 1)), known.astype(np.float64)])
