"""GRIDR's two chains, on datasets that the caller opened."""

from __future__ import annotations

import logging
from typing import Any

from numpy.typing import DTypeLike

from .. import checks
from ..engine.job import (
    Extent,
    GridIn,
    GridOut,
    Inputs,
    Job,
    Limits,
    MaskIn,
    MaskOut,
    MaskRules,
    Names,
    Outputs,
    Services,
    Warnings,
    job_of,
    warn_of_scaling,
)
from ..engine.loop import run_windows
from ..engine.step import DenseStep
from ..files.bands import BandSink, BandSource
from ..plan import Bounds
from ..polygons.mask import PolygonMask
from ..types import (
    DEFAULT_CPU_TILE_SHAPE,
    DEFAULT_IO_STRIP_SIZE,
    DEFAULT_MEMORY_BUDGET,
    DEFAULT_NCPU,
    MASK_BINARY_THRESHOLD,
    GeometryType,
    GridRIOMode,
    Progress,
    Validity,
)

_NAMES = Names()


def build_mask_chain(
    shape: tuple[int, int],
    resolution: tuple[int, int],
    mask_out_ds: BandSink,
    mask_out_dtype: DTypeLike,
    mask_in_ds: BandSource | None,
    mask_in_unmasked_value: int | None,
    mask_in_band: int | None,
    computation_dtype: DTypeLike,
    geometry_origin: tuple[float, float] | None,
    geometry_pair: tuple[GeometryType | None, GeometryType | None] | None,
    rasterize_kwargs: dict[str, Any] | None = None,
    mask_out_values: tuple[int, int] | None = (Validity.VALID, Validity.INVALID),
    io_strip_size: int | None = DEFAULT_IO_STRIP_SIZE,
    io_strip_size_target: GridRIOMode = GridRIOMode.INPUT,
    ncpu: int | None = DEFAULT_NCPU,
    cpu_tile_shape: tuple[int, int] | None = DEFAULT_CPU_TILE_SHAPE,
    logger: logging.Logger | None = None,
    *,
    mask_in_binary_threshold: float | None = MASK_BINARY_THRESHOLD,
    repair_geometry: bool = False,
    progress: Progress | bool | None = None,
    memory_budget: int = DEFAULT_MEMORY_BUDGET,
) -> int:
    """Merge a coarse raster mask and polygons into a dense mask, window by window. GRIDR's name and signature.

    Laws 4, 6, 7 and 8. A pixel is valid if it is raster-valid, inside a valid polygon where any is given, and inside
    no invalid one. Everything is checked before the first pixel is written.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of nodes.
    resolution : tuple of int
        Dense pixels a node along rows and columns.
    mask_out_ds : rasterio dataset open for writing
        Band 1 is written; its shape is ``grid_full_resolution_shape(shape, resolution)``.
    mask_out_dtype : data type
        An integer type that holds `mask_out_values`, as the dataset's own must.
    mask_in_ds : rasterio dataset or None
        The coarse mask, one pixel a node.
    mask_in_unmasked_value : int or None
        What is valid in it; all else is invalid. None is 1.
    mask_in_band : int or None
        Its band; needed with `mask_in_ds`.
    computation_dtype : data type
        Must be floating; otherwise ignored.
    geometry_origin : tuple of float or None
        The (row, column) of pixel (0, 0) in the polygons' frame; needed with polygons.
    geometry_pair : pair (valid, invalid) of GeometryType or None, or None
        Polygons in dense pixels, x along columns and y along rows, integers being pixel centres. What holds no polygon
        means None, as in GRIDR, and a WARNING says so; another says where polygons do not touch the raster.
    rasterize_kwargs : dict, optional
        ``{'alg': A, 'kwargs_alg': {'shapely_predicate': P}}``; SHAPELY and COVERS where left out.
    mask_out_values : pair of int or None
        What to write for valid and invalid pixels; None is (1, 0).
    io_strip_size : int or None
        An upper bound on the rows of a window: of nodes or of pixels, as `io_strip_size_target` says; 0 or None is
        none. The result does not depend on it. Windows are as wide as the raster, unless a row of whole output blocks
        breaks the budget.
    io_strip_size_target : GridRIOMode
        INPUT: a window makes at most ``io_strip_size * resolution[0]`` rows. OUTPUT: at most `io_strip_size`.
    ncpu : int or None
        Threads; None is all that the process may use.
    cpu_tile_shape : tuple of int or None
        The largest tile that a thread works on at a time; None means one thread, as in GRIDR.
    logger : logging.Logger, optional
        Gets an INFO line a call and a DEBUG line a window.
    mask_in_binary_threshold : float
        In [0, 1], the decimal that was written: the least weight of valid nodes; 1 is the strict mode in which every
        contributing node must be valid. GRIDR's constant is 0.999.
    repair_geometry : bool
        Mend invalid polygons with `shapely.make_valid` instead of refusing them.
    progress : callable or bool, optional
        Called with (pixels done, pixels in all) after each window; what it raises ends the job. True shows tqdm's bar.
    memory_budget : int
        Bytes for the windows' buffers and GDAL's block cache, which is the process's and is as before afterwards.
        Makes windows smaller, never larger than `io_strip_size` says.

    Returns
    -------
    int
        1

    Raises
    ------
    GridrValueError, GridrTypeError
        For a wrong argument, before anything is written; the message says which, what was expected and what came.
    DatasetError
        If a dataset cannot be read or written; what was written before stays.
    MemoryError
        Before anything is written, if the least window breaks the budget, or there is not enough memory for the
        windows that fit in it; the message says what would be needed.

    Examples
    --------
    >>> import rasterio
    >>> import shapely
    >>> from gridr_numba import build_mask_chain
    >>> with rasterio.open("mask.tif", "w", driver="GTiff", count=1, height=21, width=31, dtype="uint8") as mask:
    ...     pair = (shapely.box(5, 5, 24, 14), None)  # valid inside; nothing is invalid
    ...     done = build_mask_chain((3, 4), (10, 10), mask, "uint8", None, None, None, "float64", (0.0, 0.0), pair)
    >>> done, int(rasterio.open("mask.tif").read(1).sum())
    (1, 200)
    """
    warn = Warnings(checks.logger(logger, "logger", __name__))
    extent = Extent.whole(
        checks.integer_pair(shape, "shape", minimum=1), checks.input_resolution(resolution, "resolution")
    )
    checks.floating_dtype(computation_dtype, "computation_dtype")
    checks.writable(mask_out_ds, "mask_out_ds")  # which may not be None here
    job = job_of(
        "build_mask_chain",
        extent,
        Inputs(
            None,
            MaskIn.of(mask_in_ds, mask_in_unmasked_value, mask_in_band, extent.node_shape, "as shape says", _NAMES),
            _polygons(geometry_pair, geometry_origin, rasterize_kwargs, extent, repair_geometry, warn),
        ),
        MaskRules.of(mask_in_binary_threshold, None, None, _NAMES),
        Outputs(None, MaskOut.of(mask_out_ds, mask_out_dtype, mask_out_values, extent.full_shape, _NAMES)),
        _limits(ncpu, cpu_tile_shape, io_strip_size, io_strip_size_target, memory_budget),
    )
    return _run(job, warn, progress)


def build_grid_mask_chain(
    resolution: tuple[int, int],
    grid_in_ds: BandSource,
    grid_in_col_ds: BandSource | None,
    grid_in_row_coords_band: int,
    grid_in_col_coords_band: int,
    grid_out_ds: BandSink,
    grid_out_col_ds: BandSink | None,
    grid_out_row_coords_band: int,
    grid_out_col_coords_band: int,
    mask_out_ds: BandSink | None,
    mask_out_dtype: DTypeLike,
    mask_in_ds: BandSource | None,
    mask_in_unmasked_value: int | None,
    mask_in_band: int | None,
    computation_dtype: DTypeLike,
    geometry_origin: tuple[float, float] | None,
    geometry_pair: tuple[GeometryType | None, GeometryType | None] | None,
    rasterize_kwargs: dict[str, Any] | None = None,
    mask_out_values: tuple[int, int] | None = (Validity.VALID, Validity.INVALID),
    merge_mask_grid: float | None = None,
    io_strip_size: int | None = DEFAULT_IO_STRIP_SIZE,
    io_strip_size_target: GridRIOMode = GridRIOMode.INPUT,
    ncpu: int | None = DEFAULT_NCPU,
    cpu_tile_shape: tuple[int, int] | None = DEFAULT_CPU_TILE_SHAPE,
    logger: logging.Logger | None = None,
    *,
    mask_in_binary_threshold: float | None = MASK_BINARY_THRESHOLD,
    repair_geometry: bool = False,
    grid_nodata: float | tuple[float, ...] | None = None,
    progress: Progress | bool | None = None,
    memory_budget: int = DEFAULT_MEMORY_BUDGET,
) -> int:
    """Make a coarse grid and its mask dense, window by window. GRIDR's name and signature.

    Laws 1 to 8. The parameters that `build_mask_chain` has too mean the same here. Everything is checked before the
    first pixel is written.

    Parameters
    ----------
    resolution : tuple of int
        Dense pixels a node along rows and columns.
    grid_in_ds : rasterio dataset
        The coarse grid, or its rows where `grid_in_col_ds` is given. What its tags say of scales and offsets is not
        applied; a WARNING says so.
    grid_in_col_ds : rasterio dataset or None
        The coarse columns, where they are in a dataset of their own. It may have another data type.
    grid_in_row_coords_band, grid_in_col_coords_band : int
        Bands of source rows and source columns, any two.
    grid_out_ds, grid_out_col_ds, grid_out_row_coords_band, grid_out_col_coords_band
        The same for the dense grid, open for writing and floating. Bands of one dataset are written in one call.
    mask_out_ds : rasterio dataset open for writing, or None
        The dense mask, where it is wanted.
    mask_out_dtype : data type
        As in `build_mask_chain`; ignored without `mask_out_ds`.
    merge_mask_grid : float or None
        Written to both bands of every invalid pixel. None leaves masked pixels their coordinates and writes NaN where
        law 5 says that there are none: where a contributing node is not finite or is nodata in either band, or a
        value overflows the output's data type.
    grid_nodata : float, sequence of float or None
        The nodata tags of the grid's bands always mean invalid nodes. A number is one more such value; a sequence
        replaces the tags, so that ``()`` turns them off. A WARNING counts the nodes that are finite numbers and
        invalid because of a tag, since copied profiles often carry a nodata of 0 and identity grids have a row 0.

    Returns
    -------
    int
        1

    Raises
    ------
    GridrValueError, GridrTypeError
        For a wrong argument, before anything is written; the message says which, what was expected and what came.
    DatasetError
        If a dataset cannot be read or written; what was written before stays.
    MemoryError
        Before anything is written, if the least window breaks the budget, or there is not enough memory for the
        windows that fit in it; the message says what would be needed.

    Examples
    --------
    >>> import numpy as np
    >>> import rasterio
    >>> from gridr_numba import build_grid_mask_chain
    >>> def create(name, count, dtype, height, width):
    ...     return rasterio.open(name, "w", driver="GTiff", count=count, height=height, width=width, dtype=dtype)
    >>> with create("grid.tif", 2, "float64", 3, 4) as grid:
    ...     grid.write(np.mgrid[:3, :4] * 10.0)
    >>> with rasterio.open("grid.tif") as grid, create("dense.tif", 2, "float64", 21, 31) as dense:
    ...     build_grid_mask_chain(
    ...         (10, 10), grid, None, 1, 2, dense, None, 1, 2, None, None, None, None, None, "float64", None, None
    ...     )
    1
    >>> rasterio.open("dense.tif").read()[:, 7, 12].tolist()
    [7.0, 12.0]
    """
    warn = Warnings(checks.logger(logger, "logger", __name__))
    node_resolution = checks.input_resolution(resolution, "resolution")
    grid_in = GridIn.of(
        grid_in_ds, grid_in_col_ds, grid_in_row_coords_band, grid_in_col_coords_band, grid_nodata, _NAMES
    )
    extent = Extent.whole(grid_in.shape, node_resolution)
    grid_out = GridOut.of(
        grid_out_ds, grid_out_col_ds, grid_out_row_coords_band, grid_out_col_coords_band, extent.full_shape, _NAMES
    )
    checks.floating_dtype(computation_dtype, "computation_dtype")
    job = job_of(
        "build_grid_mask_chain",
        extent,
        Inputs(
            grid_in,
            MaskIn.of(mask_in_ds, mask_in_unmasked_value, mask_in_band, grid_in.shape, "as grid_in_ds has", _NAMES),
            _polygons(geometry_pair, geometry_origin, rasterize_kwargs, extent, repair_geometry, warn),
        ),
        MaskRules.of(mask_in_binary_threshold, merge_mask_grid, grid_out, _NAMES),
        Outputs(grid_out, MaskOut.of(mask_out_ds, mask_out_dtype, mask_out_values, extent.full_shape, _NAMES)),
        _limits(ncpu, cpu_tile_shape, io_strip_size, io_strip_size_target, memory_budget),
    )
    return _run(job, warn, progress)


def _run(job: Job, warn: Warnings, progress: object) -> int:
    """Run a job. What datasets' tags say of scales and offsets is not applied, as in GRIDR, but warned of."""
    services = Services(warn, progress=checks.progress(progress, "progress"))
    warn_of_scaling(job.inputs.bands, warn)
    run_windows(DenseStep(job), job.limits, services)
    return 1


def _polygons(
    pair: object, origin: object, rasterize_kwargs: object, extent: Extent, repair: bool, warn: Warnings
) -> PolygonMask | None:
    """Check GRIDR's arguments for polygons, and prepare them for the dense raster."""
    return PolygonMask.of(pair, origin, rasterize_kwargs, extent.full_shape, repair=repair, whole=True, warn=warn)


def _limits(
    ncpu: object, cpu_tile_shape: object, io_strip_size: object, io_strip_size_target: object, memory_budget: object
) -> Limits:
    """Check GRIDR's arguments for what a chain may take. Without a tile shape one thread works, as in GRIDR."""
    threads = checks.thread_count(ncpu, "ncpu")
    return Limits(
        1 if cpu_tile_shape is None else threads,
        checks.tile_shape(cpu_tile_shape, "cpu_tile_shape"),
        Bounds(
            checks.integer(memory_budget, "memory_budget", minimum=1),
            strip_size=checks.strip_size(io_strip_size, "io_strip_size"),
            strip_target=checks.member(GridRIOMode, io_strip_size_target, "io_strip_size_target"),
        ),
    )
