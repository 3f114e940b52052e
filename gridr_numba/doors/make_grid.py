"""`make_grid`: the coarsest grid whose bilinear interpolation is within a tolerance of the true mapping."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Mapping as TypingMapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import rasterio
from numpy.typing import DTypeLike

from .. import checks
from ..engine.job import Warnings
from ..engine.progress import progress_of
from ..errors import GridrTypeError, GridrValueError
from ..files.geotiff import GeoTiff, gtiff_options
from ..files.inputs import OpenRaster, open_raster
from ..files.outputs import (
    Checksums,
    OutputFormat,
    RasterLayout,
    check_suffix,
    destination,
)
from ..georef import coarse_transform, pixel_area
from ..mapping.grid import MORE_EVALUATIONS, Grid, Wanted, make, pixels_of
from ..mapping.models import MODELS, TargetRaster, model_of
from ..mapping.search import Mapping
from ..plan import grid_full_resolution_shape
from ..polygons.sets import any_hull_meets
from ..types import DEFAULT_MEMORY_BUDGET, CrsLike, Pair, Progress
from ..window import Window
from .grid_tag import GRID_TAG, GridTag
from .options_tag import files_given, options_given, tags_of_making
from .placement import file_limits
from .production import Production
from .reports import Report, span, versions
from .stages import Stages
from .target import target_of

logger = logging.getLogger(__name__)

# Of the pixels that were checked, such a share may be void although they have a mapping before there is a warning.
_VOIDED_AT_MOST = 0.01
_CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True, repr=False)
class GridReport(Report):
    """What `make_grid` made.

    Attributes
    ----------
    grid : str
        The file.
    model : str
        What the mapping is of: 'crs', 'rpc', 'gcps', 'tps' or 'callable'.
    shape : tuple of int
        Rows and columns of nodes.
    resolution : tuple of int
        Target pixels a node along rows and columns.
    target_shape, covered_shape : tuple of int
        Rows and columns of the target, and of the dense raster that the nodes make.
    tolerance : float
        Source pixels.
    measured_error : float
        The largest at the quarters of all cells that are kept.
    checked_pixels : int
    checked_error : float
        The largest among them.
    share_that_may_exceed : float
        Of all pixels, with a confidence of 95 %: 0 where every pixel was checked.
    unreachable_cells : int
        Cells without nodes, or without a mapping.
    unreachable_bounds : tuple of int or None
        Of these: first row, row after the last, first column, column after the last of the target.
    void_nodes : int
    voided_pixels, unmapped_pixels : int
        Of those that were checked: how many have a mapping and no value, and how many have no mapping.
    source_rows, source_cols : tuple of float or None
        The range of the nodes: what to read of the source image.
    evaluations, check_evaluations : int
        How many pixels the mapping was asked for, by the search and by the check.
    seconds : dict
        By stage.
    versions : dict
        Of the package, GDAL, PROJ, numpy and rasterio.
    verified : bool
    warnings : tuple of str
    inputs : dict
        The paths that were given, by the argument's name; each a list.
    options : dict
        The other arguments that were not as by default.

    Examples
    --------
    >>> from gridr_numba import make_grid
    >>> report = make_grid(lambda rows, cols: (2.0 * rows, cols), "grid.tif", shape=(100, 100), step=10)
    >>> report.shape, report.source_rows, report.model
    ((11, 11), (0.0, 200.0), 'callable')
    """

    grid: str
    model: str
    shape: Pair
    resolution: Pair
    target_shape: Pair
    covered_shape: Pair
    tolerance: float
    measured_error: float
    checked_pixels: int
    checked_error: float
    share_that_may_exceed: float
    unreachable_cells: int
    unreachable_bounds: tuple[int, int, int, int] | None
    void_nodes: int
    voided_pixels: int
    unmapped_pixels: int
    source_rows: tuple[float, float] | None
    source_cols: tuple[float, float] | None
    evaluations: int
    check_evaluations: int

    _brief: ClassVar = ("grid", "nodes", "error")

    def _lines(self) -> Iterator[tuple[str, str]]:
        (rows, cols), (rr, rc), (height, width) = self.shape, self.resolution, self.target_shape
        yield "grid", f"{self.grid}, {'verified' if self.verified else 'not verified'}"
        yield "nodes", f"{rows} x {cols}, one every {rr} x {rc} pixels of {height} x {width} ({self.model})"
        checked = f"up to {self.checked_error:.4g}" if self.checked_pixels else "none seen"
        yield "error", f"{checked} of {self.tolerance:g} source pixels, {self.checked_pixels:,} pixels checked"
        if self.unreachable_cells:
            yield "void", f"{self.void_nodes:,} nodes, {self.unreachable_cells:,} cells"
        if self.source_rows is not None and self.source_cols is not None:
            yield "source", f"rows {span(self.source_rows)}, columns {span(self.source_cols)}"
        asked = self.evaluations + self.check_evaluations
        yield "time", f"{sum(self.seconds.values()):.2f} s, {asked:,} evaluations"


def make_grid(
    source: str | PathLike[str] | Mapping,
    out: str | PathLike[str],
    *,
    like: str | PathLike[str] | None = None,
    crs: CrsLike | None = None,
    transform: Sequence[float] | None = None,
    shape: Pair | None = None,
    pixel_size: float | tuple[float, float] | None = None,
    bounds: tuple[float, float, float, float] | None = None,
    tolerance: float = 0.01,
    model: str = "auto",
    height: float | str | None = None,
    step: int | Pair | None = None,
    check: int | str = 100_000,
    unreachable: str = "error",
    max_evaluations: int = 20_000_000,
    dtype: DTypeLike = "float64",
    creation_options: dict[str, Any] | None = None,
    threads: int | None = None,
    progress: Progress | bool | None = None,
    overwrite: bool = False,
    verify: bool = True,
    allow_vrt: bool = False,
    strict: bool = False,
) -> GridReport:
    """Make the coarsest grid of nodes between which the mapping is bilinear within a tolerance.

    Not in GRIDR. Law 2 is what becomes of the nodes in `densify`, law 9 what is doubted and refused.

    Nodes are the mapping's own values, to the bit (rounded once for float32). Steps along rows and columns are chosen
    apart, from how the mapping bends; each cell is checked at its quarters, and random pixels of the target, or all,
    against the nodes as written, interpolated as `densify` does. The error is the Euclidean distance in source pixels.

    Parameters
    ----------
    source : path or callable
        An image that says where its pixels lie, of which no pixel is read; or a vectorised mapping
        ``f(rows, cols) -> (source_rows, source_cols)`` of the target's pixels, in float64, integers being centres. What
        is not finite has no mapping. It is asked for a pixel in any company, and must answer the same.
    out : path
        The grid: a GeoTIFF with bands 'row' and 'col', NaN as nodata, and the CRS and transform that put its
        nodes where they are on the map.
    like : path, optional
        An image that is the target: its CRS, transform and shape.
    crs : str, int, dict or rasterio.crs.CRS, optional
        Of the target, with either `transform` and `shape`, or `pixel_size` and `bounds`.
    transform, shape : affine.Affine and tuple of int, optional
        Of the target. With a callable, `shape` alone will do.
    pixel_size : float or pair of float, optional
        Along x and along y, in units of `crs`. None takes what keeps the source's resolution.
    bounds : tuple of float, optional
        Left, bottom, right, top, in units of `crs`. None takes what the source covers. The last row and column may
        reach beyond.
    tolerance : float
        Source pixels.
    model : {'auto', 'crs', 'rpc', 'gcps', 'tps'}
        What says where the source's pixels lie. 'auto' takes its CRS and transform, else its RPCs, else its ground
        control points, with GDAL's polynomial; 'tps' is GDAL's thin plate spline through these.
    height : float or 'rpc'
        For RPCs: of the ground, in metres above the ellipsoid; 'rpc' is their own height offset.
    step : int or pair of int, optional
        Target pixels a node along rows and columns. None has it chosen.
    check : int or 'all'
        How many random pixels to check, always the same; only 'all' is a proof.
    unreachable : {'error', 'void'}
        What becomes of cells in which the tolerance cannot be kept, such as at a dateline, and of those without a
        mapping: refuse, or leave them without nodes, so that `densify` makes their pixels invalid.
    max_evaluations : int
        How many pixels the search may ask the mapping for.
    dtype : data type
        float64 or float32. The latter is refused where its spacing is above a tenth of the tolerance.
    creation_options, overwrite, verify, allow_vrt, strict
        As in `densify`.
    threads : int, optional
        To read back with.
    progress : callable or bool, optional
        Called with (pixels checked, pixels to check); True shows tqdm's bar.

    Returns
    -------
    GridReport

    Raises
    ------
    GridrValueError, GridrTypeError
        For a wrong argument, a source that does not say where it lies, a tolerance that cannot be kept.
    DatasetError
        For a file that cannot be read, written or verified.
    StrictError
        With `strict`, for what would be a warning.

    Examples
    --------
    >>> import numpy as np
    >>> from gridr_numba import make_grid
    >>> def bent(rows, cols):
    ...     return rows + 5 * np.sin(cols / 100), cols
    >>> report = make_grid(bent, "grid.tif", shape=(300, 400), tolerance=0.01, check="all")
    >>> report.shape[0], report.checked_error <= 0.01
    (2, True)
    """
    given, stages, warn = locals(), Stages(), Warnings(logger)
    with ExitStack() as stack:
        with stages("check"):
            sought = SoughtGrid.of(stack, given)
            limits = file_limits(threads, DEFAULT_MEMORY_BUDGET)
            path = destination(out, "out", sought.inputs, overwrite=overwrite)
            check_suffix(path, "out", "GTiff")
            options = gtiff_options(creation_options, sought.wanted.dtype)
            told = checks.progress(progress, "progress")
        with stages("search and check"), progress_of(told, sought.wanted.pixels) as tell:
            grid = sought.found(warn, tell)
        about = {"inputs": files_given(given), "options": options_given(make_grid, given)}
        file = GeoTiff("out", path, sought.layout(grid, about["options"]), options)
        how = {"overwrite": overwrite, "verify": verify, "strict": strict}
        production = Production.of([file], sought.inputs, limits, warn, **how)
        production.run(partial(write_grid, file, grid, production.checksums), stages, warn)
    return _report(grid, sought.wanted, file, sought.model, stages, warn, verified=verify, **about)


@dataclass(frozen=True)
class SoughtGrid:
    """What a grid is to be of, checked.

    Attributes
    ----------
    mapping : Mapping
    model : str
        What the mapping is of.
    image : OpenRaster or None
        Where it is of an image.
    target : TargetRaster
    wanted : Wanted
    most : int
        Evaluations of the mapping.
    inputs : list of Path
        The files that are read.
    """

    mapping: Mapping
    model: str
    image: OpenRaster | None
    target: TargetRaster
    wanted: Wanted
    most: int
    inputs: list[Path]

    @classmethod
    def of(cls, stack: ExitStack, given: TypingMapping[str, Any], called: str = "source") -> SoughtGrid:
        """Check the arguments of a call, by their names in `make_grid`, that say what to search.

        `called` is what the caller's own argument for the source is called.
        """
        checks.switches(given)
        opened = _opened(stack, given["source"], given["like"], given["allow_vrt"], called)
        places = (given[name] for name in ("crs", "transform", "shape", "pixel_size", "bounds"))
        target = target_of(*opened, *places, called=called)
        mapping, model = _mapping(given["source"], opened[0], target, given["model"], given["height"], stack, called)
        rules = (given[name] for name in ("tolerance", "step", "check", "unreachable", "dtype"))
        wanted = _wanted(target.shape, *rules)
        most = checks.integer(given["max_evaluations"], "max_evaluations", minimum=1)
        inputs = [Path(each) for dataset in opened if dataset is not None for each in dataset.files]
        return cls(mapping, model, opened[0], target, wanted, most, inputs)

    def found(self, warn: Warnings, progress: Progress | None = None) -> Grid:
        """Search; warn of what is void, and of a target that the image does not cover anywhere."""
        grid = make(self.mapping, self.wanted, self.most, progress)
        _warn_of_void(grid, warn)
        if self.image is not None:
            _warn_of_a_miss(grid, self.image, warn)
        return grid

    def layout(self, grid: Grid, options: TypingMapping[str, Any]) -> RasterLayout:
        """Return what a file of the grid holds, that was made with some options."""
        return _layout(grid, self.target, self.model, tags_of_making(self.inputs, options))


def _opened(
    stack: ExitStack, source: object, like: object, allow_vrt: bool, called: str
) -> tuple[OpenRaster | None, OpenRaster | None]:
    def opened(value: object, name: str) -> OpenRaster | None:
        if value is None or callable(value):
            return None
        return stack.enter_context(open_raster(value, name, allow_vrt=allow_vrt))

    if source is None:
        raise GridrTypeError(f"{called} must be a path or a callable, not None", argument=called)
    return opened(source, called), opened(like, "like")


def _mapping(
    source: Any, opened: Any, target: TargetRaster, model: object, height: object, stack: ExitStack, called: str
) -> tuple[Mapping, str]:
    if model not in MODELS:
        raise GridrValueError(f"model must be one of {', '.join(MODELS)}, not {model!r}", argument="model")
    if opened is None:
        if height is not None:
            raise GridrValueError(
                f"height must be given for an image with RPCs alone, not with a callable; not {height!r}",
                argument="height",
            )
        if model != "auto":
            raise GridrValueError(f"model must be 'auto' with a callable source, not {model!r}", argument="model")
        return _Called(source), "callable"
    return model_of(opened, target, str(model), height, stack, called)


@dataclass(frozen=True)
class _Called:
    """The caller's mapping; what it returns is checked."""

    function: Callable[..., Any]

    def __call__(self, rows: Any, cols: Any) -> Any:
        found = self.function(rows, cols)
        if any(isinstance(each, np.ma.MaskedArray) or np.iscomplexobj(each) for each in found):
            raise GridrTypeError(
                "source must return plain real arrays, NaN where there is no mapping, and returned masked or complex "
                "ones",
                argument="source",
            )
        try:
            first, second = (np.broadcast_to(np.asarray(each, np.float64), rows.shape) for each in found)
        except (TypeError, ValueError) as error:
            raise GridrTypeError(
                f"source must return (source_rows, source_cols), two arrays of the shape of its arguments: {error}",
                argument="source",
            ) from error
        return first, second


def _wanted(shape: Pair, tolerance: Any, step: Any, check: Any, unreachable: Any, dtype: Any) -> Wanted:
    allowed = float(checks.number(tolerance, "tolerance"))
    if not 0 < allowed < np.inf:
        raise GridrValueError(f"tolerance must be positive and finite, not {tolerance!r}", argument="tolerance")
    steps = None if step is None else checks.one_or_two_resolutions(step, "step")
    if unreachable not in ("error", "void"):
        raise GridrValueError(f"unreachable must be 'error' or 'void', not {unreachable!r}", argument="unreachable")
    pixels = None if isinstance(check, str) and check == "all" else checks.integer(check, "check", minimum=0)
    return Wanted(shape, allowed, steps, pixels, unreachable == "void", checks.file_dtype(dtype, "dtype"))


def _layout(grid: Grid, target: TargetRaster, model: str, how_made: dict[str, str]) -> RasterLayout:
    """Return what the file holds: the nodes' place, and of which target they are."""
    place = None if target.transform is None else coarse_transform(target.transform, grid.step)
    node_shape: Pair = grid.nodes.shape[1], grid.nodes.shape[2]
    coefficients = None if target.transform is None else tuple(target.transform)[:6]
    node_coefficients = None if place is None else tuple(place)[:6]
    tag = GridTag(grid.step, target.shape, coefficients, node_shape, node_coefficients, model)
    tags = {**how_made, GRID_TAG: tag.text()}
    return RasterLayout(node_shape, grid.nodes.dtype, ("row", "col"), np.nan, target.crs, place, tags)


def _warn_of_a_miss(grid: Grid, image: OpenRaster, warn: Warnings) -> None:
    """Warn where no cell of the grid looks at any pixel of the image."""
    nodes = grid.nodes.astype(np.float64)
    if not np.isfinite(nodes).any():
        return  # which is warned of too
    (top, bottom), (left, right) = (pixel_area(size) for size in image.shape)
    rows, cols = (_corners(band) for band in nodes)
    # A cell with its corners on one side of the image misses it; what the corners of the others span is looked at.
    near = (rows.min(0) <= bottom) & (rows.max(0) >= top) & (cols.min(0) <= right) & (cols.max(0) >= left)
    if near.any():
        corners = np.stack([cols[:, near], rows[:, near]], axis=-1).swapaxes(0, 1)
        if any_hull_meets(corners, (left, top, right, bottom)):
            return
    (row_low, row_high), (col_low, col_high) = ((np.nanmin(band), np.nanmax(band)) for band in nodes)
    warn(
        f"the target does not touch the source {image.name!r}, of {image.shape[0]} rows and {image.shape[1]} columns: "
        f"its pixels look at rows {row_low:.6g} to {row_high:.6g} and columns {col_low:.6g} to {col_high:.6g}; look at "
        "crs and bounds, or at the place of like"
    )


def _corners(band: Any) -> Any:
    """Return the corners of each cell, (4, cells down, cells across); a single row or column of nodes has cells too."""
    down, right = (np.arange(max(1, size - 1)) for size in band.shape)
    below, beside = (np.minimum(each + 1, size - 1) for each, size in zip((down, right), band.shape, strict=True))
    return np.stack([band[np.ix_(row, col)] for row in (down, below) for col in (right, beside)])


def write_grid(file: OutputFormat, grid: Grid, checksums: Checksums | None) -> None:
    """Write in rows of blocks."""
    rows = file.planned.block_shape[0]
    height, width = file.shape
    for start in range(0, height, rows):
        window = Window(start, min(start + rows, height), 0, width)
        values = np.ascontiguousarray(grid.nodes[:, window.row_start : window.row_stop])
        if checksums is not None:
            checksums.watch(file, [1, 2], window, values)
        file.write(values, [1, 2], window=window.to_rasterio())


def _warn_of_void(grid: Grid, warn: Warnings) -> None:
    """Say where a user would not expect that so much is void."""
    check = grid.check
    if check.voided > _VOIDED_AT_MOST * max(1, check.pixels):
        more = f"; {MORE_EVALUATIONS}" if grid.short else ""
        warn(f"{check.voided / check.pixels:.1%} of the target's pixels have a mapping and no node{more}")
    if not np.isfinite(grid.nodes).any():
        warn("no node of the grid has a mapping")


def _report(
    grid: Grid, wanted: Wanted, file: OutputFormat, model: str, stages: Stages, warn: Warnings, **about: Any
) -> GridReport:
    check, shape = grid.check, file.shape
    ranges = None
    if np.isfinite(grid.nodes).any():
        ranges = [(float(np.nanmin(band)), float(np.nanmax(band))) for band in grid.nodes]
    return GridReport(
        grid=file.name,
        model=model,
        shape=shape,
        resolution=grid.step,
        target_shape=wanted.shape,
        covered_shape=grid_full_resolution_shape(shape, grid.step),
        tolerance=wanted.tolerance,
        measured_error=grid.measured,
        checked_pixels=check.pixels,
        checked_error=check.largest,
        share_that_may_exceed=_share_that_may_exceed(wanted),
        unreachable_cells=int(grid.unreachable.sum()),
        unreachable_bounds=pixels_of(grid.unreachable, grid.step, wanted.shape) if grid.unreachable.any() else None,
        void_nodes=int(np.isnan(grid.nodes[0]).sum()),
        voided_pixels=check.voided,
        unmapped_pixels=check.lacking,
        source_rows=None if ranges is None else ranges[0],
        source_cols=None if ranges is None else ranges[1],
        evaluations=grid.evaluations,
        check_evaluations=grid.check_evaluations,
        seconds=stages.seconds,
        versions={**versions(), "proj": rasterio.__proj_version__},
        warnings=tuple(warn.messages),
        **about,
    )


def _share_that_may_exceed(wanted: Wanted) -> float:
    """Return Clopper and Pearson's upper bound where none of the pixels that were checked exceeds."""
    if wanted.check is None:
        return 0.0
    return 1 - (1 - _CONFIDENCE) ** (1 / wanted.check) if wanted.check else 1.0
