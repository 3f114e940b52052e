"""One strip loop, and GRIDR's two doors to it."""

from __future__ import annotations

import logging
import time
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from . import checks
from .dense import NO_BYTES, NO_GRID, DenseOptions, densify_window
from .io import StripBuffer, StripReader, StripWriter, Written, block_height
from .job import GridIn, GridOut, Job, MaskIn, MaskOut
from .kernels.bilinear import void_nodes
from .kernels.jit import usable_threads
from .rasterize import PolygonMask
from .strips import Strip, StripPlan, grid_full_resolution_shape, plan_strips
from .types import (
    DEFAULT_CPU_TILE_SHAPE,
    DEFAULT_IO_STRIP_SIZE,
    DEFAULT_NCPU,
    MASK_BINARY_THRESHOLD,
    GeometryType,
    GridRIOMode,
    Progress,
    Validity,
)
from .window import Window

# What a strip's output buffers hold at most where nothing asks for more. On two cores, below 16 MB the launches
# of kernels were seen to count, and above 48 MB there was nothing to gain, and memory to lose.
_STRIP_BYTES = 32 << 20
# Tall blocks are not cut in two to stay below that, unless a row of them takes more than this.
_STRIP_BYTES_AT_MOST = 256 << 20


def build_mask_chain(
    shape: tuple[int, int],
    resolution: tuple[int, int],
    mask_out_ds: Any,
    mask_out_dtype: DTypeLike,
    mask_in_ds: Any | None,
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
    progress: Progress | None = None,
) -> int:
    """Merge a coarse raster mask and polygons into a dense mask, strip by strip. GRIDR's name and signature.

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
        Polygons in dense pixels, x along columns and y along rows, integers being pixel centres.
    rasterize_kwargs : dict, optional
        ``{'alg': A, 'kwargs_alg': {'shapely_predicate': P}}``; SHAPELY and COVERS where left out.
    mask_out_values : pair of int or None
        What to write for valid and invalid pixels; None is (1, 0).
    io_strip_size : int or None
        An upper bound on the rows of a strip: of nodes or of pixels, as `io_strip_size_target` says; 0 or None is
        none. The result does not depend on it.
    io_strip_size_target : GridRIOMode
        INPUT: a strip makes at most ``io_strip_size * resolution[0]`` rows. OUTPUT: at most `io_strip_size`.
    ncpu : int or None
        Threads; None is all that the process may use.
    cpu_tile_shape : tuple of int or None
        The largest tile that a thread works on at a time; None means one thread, as in GRIDR.
    logger : logging.Logger, optional
        Gets an INFO line a call and a DEBUG line a strip.
    mask_in_binary_threshold : float
        In [0, 1], the decimal that was written: the least weight of valid nodes; 1 is the strict mode in which every
        contributing node must be valid. GRIDR's constant is 0.999.
    repair_geometry : bool
        Mend invalid polygons with `shapely.make_valid` instead of refusing them.
    progress : callable, optional
        Called with (rows done, rows in all) after each strip; what it raises ends the job.

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
    """
    node_shape = checks.integer_pair(shape, "shape", minimum=1)
    node_resolution = checks.input_resolution(resolution, "resolution")
    full_shape = grid_full_resolution_shape(node_shape, node_resolution)
    checks.floating_dtype(computation_dtype, "computation_dtype")
    run_strips(
        Job(
            name="build_mask_chain",
            resolution=node_resolution,
            window=Window.whole(full_shape),
            strip_size=checks.strip_size(io_strip_size),
            strip_target=checks.member(GridRIOMode, io_strip_size_target, "io_strip_size_target"),
            threads=checks.thread_count(ncpu, cpu_tile_shape),
            tile_shape=checks.tile_shape(cpu_tile_shape),
            logger=checks.logger(logger, __name__),
            threshold=checks.binary_threshold(mask_in_binary_threshold),
            polygons=PolygonMask.of(
                geometry_pair, geometry_origin, rasterize_kwargs, full_shape, repair=repair_geometry
            ),
            mask_in=MaskIn.of(mask_in_ds, mask_in_unmasked_value, mask_in_band, node_shape, "as shape says"),
            mask_out=MaskOut.of(mask_out_ds, mask_out_dtype, mask_out_values, full_shape),
            progress=checks.progress(progress),
        )
    )
    return 1


def build_grid_mask_chain(
    resolution: tuple[int, int],
    grid_in_ds: Any,
    grid_in_col_ds: Any | None,
    grid_in_row_coords_band: int,
    grid_in_col_coords_band: int,
    grid_out_ds: Any,
    grid_out_col_ds: Any | None,
    grid_out_row_coords_band: int,
    grid_out_col_coords_band: int,
    mask_out_ds: Any | None,
    mask_out_dtype: DTypeLike,
    mask_in_ds: Any | None,
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
    progress: Progress | None = None,
) -> int:
    """Make a coarse grid and its mask dense, strip by strip. GRIDR's name and signature.

    Laws 1 to 8. The parameters that `build_mask_chain` has too mean the same here. Everything is checked before the
    first pixel is written.

    Parameters
    ----------
    resolution : tuple of int
        Dense pixels a node along rows and columns.
    grid_in_ds : rasterio dataset
        The coarse grid, or its rows where `grid_in_col_ds` is given.
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
    """
    node_resolution = checks.input_resolution(resolution, "resolution")
    grid_in = GridIn.of(grid_in_ds, grid_in_col_ds, grid_in_row_coords_band, grid_in_col_coords_band, grid_nodata)
    full_shape = grid_full_resolution_shape(grid_in.shape, node_resolution)
    grid_out = GridOut.of(grid_out_ds, grid_out_col_ds, grid_out_row_coords_band, grid_out_col_coords_band, full_shape)
    checks.floating_dtype(computation_dtype, "computation_dtype")
    run_strips(
        Job(
            name="build_grid_mask_chain",
            resolution=node_resolution,
            window=Window.whole(full_shape),
            strip_size=checks.strip_size(io_strip_size),
            strip_target=checks.member(GridRIOMode, io_strip_size_target, "io_strip_size_target"),
            threads=checks.thread_count(ncpu, cpu_tile_shape),
            tile_shape=checks.tile_shape(cpu_tile_shape),
            logger=checks.logger(logger, __name__),
            threshold=checks.binary_threshold(mask_in_binary_threshold),
            polygons=PolygonMask.of(
                geometry_pair, geometry_origin, rasterize_kwargs, full_shape, repair=repair_geometry
            ),
            mask_in=MaskIn.of(mask_in_ds, mask_in_unmasked_value, mask_in_band, grid_in.shape, "as grid_in_ds has"),
            mask_out=None
            if mask_out_ds is None
            else MaskOut.of(mask_out_ds, mask_out_dtype, mask_out_values, full_shape),
            grid_in=grid_in.in_order_of(grid_out),
            grid_out=grid_out,
            fill=grid_out.checked_fill(merge_mask_grid),
            progress=checks.progress(progress),
        )
    )
    return 1


def run_strips(job: Job) -> None:
    """Read, compute and write strip after strip: the package's only such loop."""
    start = time.perf_counter()
    plan = _plan(job)
    grid_nodes = None if job.grid_in is None else _GridNodes(job.grid_in, plan)
    mask_nodes = _MaskNodes(job.mask_in, plan) if job.mask_in is not None and job.wants_mask else None
    grid = None if job.grid_out is None else _grid_writer(job.grid_out, plan, job.written)
    mask = _MaskBytes(job.mask_out, plan, job.written) if job.wants_mask else None
    options = DenseOptions(
        job.resolution,
        job.threshold,
        limits=() if job.grid_out is None else job.grid_out.limits,
        fill=np.nan if job.fill is None else job.fill,
        fill_masked=job.fill is not None,
        codes=None if job.tally is not None else (1, 0) if job.mask_out is None else job.mask_out.codes,
        threads=job.threads,
        tile_shape=job.tile_shape,
    )
    for strip in plan:
        out_mask = NO_BYTES if mask is None else mask.of_strip(strip)
        causes = NO_BYTES
        if job.polygons is not None and mask is not None:
            causes = out_mask
            job.polygons.write_causes(strip.dense, causes, job.threads)
        out_grid = NO_GRID if grid is None else grid.buffer(strip.dense.shape)
        densify_window(
            options,
            strip.relative,
            nodes=NO_GRID if grid_nodes is None else grid_nodes.read(strip),
            valid_nodes=NO_BYTES if mask_nodes is None else mask_nodes.read(strip),
            causes=causes,
            out_grid=out_grid,
            out_mask=out_mask,
        )
        if job.tally is not None:
            job.tally.add(out_grid, out_mask)
        if grid is not None:
            grid.write(strip.target)
        if mask is not None:
            mask.write(strip)
        job.logger.debug("%s: rows %d to %d written", job.name, strip.dense.row_start, strip.dense.row_stop - 1)
        if job.progress is not None:
            job.progress(strip.target.row_stop, plan.window.shape[0])
    if grid_nodes is not None:
        grid_nodes.warn_of_tags(job.logger)
    job.logger.info(
        "%s: %d x %d pixels in %d strips, %d threads, %.1f Mpx/s",
        job.name,
        *job.window.shape,
        len(plan),
        usable_threads(job.threads),
        job.window.shape[0] * job.window.shape[1] / 1e6 / (time.perf_counter() - start),
    )


def _plan(job: Job) -> StripPlan:
    """Choose strips that fit the caller's bound, the cache and the outputs' blocks, in this order."""
    width = job.window.shape[1]
    bytes_per_row = width * ((2 * job.grid_out.dtype.itemsize if job.grid_out else 0) + job.wants_mask)
    tallest_block = block_height([dataset for dataset, _ in job.targets])
    rows = max(_STRIP_BYTES // bytes_per_row, min(tallest_block, _STRIP_BYTES_AT_MOST // bytes_per_row))
    if job.bytes_at_most is not None:
        needed = bytes_per_row * min(tallest_block, job.window.shape[0])
        if needed > job.bytes_at_most:
            raise MemoryError(
                f"a row of the outputs' blocks needs {needed} bytes, and the memory budget is {job.bytes_at_most}"
            )
        rows = min(rows, job.bytes_at_most // bytes_per_row)
    return plan_strips(
        job.window,
        job.resolution,
        strip_size=job.strip_size,
        strip_target=job.strip_target,
        rows_in_budget=rows,
        block_height=tallest_block,
    )


class _GridNodes:
    """The strip's nodes in float64, void ones NaN in both bands; counts those that a nodata tag made void."""

    def __init__(self, grid_in: GridIn, plan: StripPlan) -> None:
        self._nodata = grid_in.nodata
        shape = plan.node_shape
        self._reader = StripReader(grid_in.bands, shape, np.float64)
        self._tagged = 0
        self._rows_counted = 0

    def read(self, strip: Strip) -> NDArray[np.float64]:
        nodes = self._reader.read(strip.nodes)
        hits = np.empty(nodes.shape[1], np.int64)
        void_nodes(nodes, self._nodata, hits)
        # Neighbouring strips share a row of nodes.
        self._tagged += int(hits[max(0, self._rows_counted - strip.nodes.row_start) :].sum())
        self._rows_counted = strip.nodes.row_stop
        return nodes

    def warn_of_tags(self, logger: logging.Logger) -> None:
        if self._tagged:
            logger.warning(
                "%d nodes are finite numbers and invalid because they equal the nodata tag of their band; "
                "if they are coordinates, pass grid_nodata=()",
                self._tagged,
            )


class _MaskNodes:
    """The strip's coarse mask as bytes, 1 where it is valid. It is compared in its own type: no value is rounded."""

    def __init__(self, mask_in: MaskIn, plan: StripPlan) -> None:
        shape = plan.node_shape
        self._valid_value = mask_in.valid_value
        self._reader = StripReader([mask_in.band], shape, mask_in.dtype)
        self._bytes = StripBuffer(1, shape, np.uint8)

    def read(self, strip: Strip) -> NDArray[np.uint8]:
        valid_nodes: NDArray[np.uint8] = self._bytes.part(strip.nodes.shape)[0]
        np.equal(self._reader.read(strip.nodes)[0], self._valid_value, out=valid_nodes.view(np.bool_))
        return valid_nodes


def _grid_writer(grid_out: GridOut, plan: StripPlan, written: Written | None) -> StripWriter:
    return StripWriter(grid_out.bands, StripBuffer(2, plan.strip_shape, grid_out.dtype), written)


class _MaskBytes:
    """The strip's mask as the kernel writes it: the output's own bytes, or 0 and 1 to look wider values up with."""

    def __init__(self, mask_out: MaskOut | None, plan: StripPlan, written: Written | None) -> None:
        shape = plan.strip_shape
        self._bytes = StripBuffer(1, shape, np.uint8)
        self._wide_values = None
        self._writer = None
        if mask_out is None:
            return
        band = (mask_out.dataset, 1)
        if mask_out.one_byte:
            self._writer = StripWriter([band], self._bytes.viewed(mask_out.dtype), written)
        else:
            self._writer = StripWriter([band], StripBuffer(1, shape, mask_out.dtype), written)
            self._wide_values = np.array(mask_out.values[::-1], mask_out.dtype)

    def of_strip(self, strip: Strip) -> NDArray[np.uint8]:
        mask: NDArray[np.uint8] = self._bytes.part(strip.dense.shape)[0]
        return mask

    def write(self, strip: Strip) -> None:
        if self._writer is None:
            return
        if self._wide_values is not None:
            wide = self._writer.buffer(strip.dense.shape)[0]
            np.take(self._wide_values, self.of_strip(strip), out=wide, mode="clip")
        self._writer.write(strip.target)
