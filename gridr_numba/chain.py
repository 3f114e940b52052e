"""One strip loop, and GRIDR's two doors to it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import cycle
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from . import checks
from .codes import write_codes
from .dense import NO_BYTES, NO_GRID, DenseOptions, densify_window
from .io import StripBuffer, StripReader, StripWriter, block_cache, block_height, in_background
from .job import GridIn, GridOut, Job, MaskIn, MaskOut
from .kernels.bilinear import void_nodes
from .kernels.jit import usable_threads
from .memory import memory_beside
from .rasterize import PolygonMask
from .strips import Strip, StripPlan, grid_full_resolution_shape, plan_strips
from .types import (
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
from .window import Window

# What the strips' buffers hold at most unless a row of the outputs' blocks takes more. With two cores and files in
# memory, 16 to 32 MB were equally fast; with less, each strip's own costs were seen to count (8 MB: 1.2 times slower),
# and more falls out of the processor's cache before it is written.
_STRIP_BYTES = 24 << 20
# Of the memory budget, one part in so many is GDAL's block cache at least; it has all that the buffers leave. Strips of
# whole blocks need next to none: from 64 bytes to 1.2 GB, nothing was seen to change. Others share blocks.
_CACHE_SHARE = 8


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
    memory_budget: int = DEFAULT_MEMORY_BUDGET,
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
    memory_budget : int
        Bytes for the strips' buffers and GDAL's block cache, which is the process's and is as before afterwards.
        Makes strips smaller, never larger than `io_strip_size` says.

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
        Before anything is written, if a strip of one row breaks the budget, or there is not enough memory for the
        strips that fit in it; the message says what would be needed.
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
            memory_budget=checks.integer(memory_budget, "memory_budget", minimum=1),
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
    memory_budget: int = DEFAULT_MEMORY_BUDGET,
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
    MemoryError
        Before anything is written, if a strip of one row breaks the budget, or there is not enough memory for the
        strips that fit in it; the message says what would be needed.
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
            memory_budget=checks.integer(memory_budget, "memory_budget", minimum=1),
        )
    )
    return 1


def run_strips(job: Job) -> None:
    """Read, compute and write strip after strip: the package's only such loop.

    The first strip is the largest. Before anything is written, it has been computed: all buffers are allocated and
    touched by then, and all kernels compiled.

    With two threads or more, one of them writes while the others read and compute the next strip. Measured with two
    cores, one of them computing, and files in memory: 1.01 to 1.08 times the reads and writes alone, against 1.22 where
    both compute and then one writes; where both compute while one writes, they wait for one another (1.5). There is no
    thread that reads ahead: reads are beside the writes already, and even with as many nodes as pixels (resolution 1)
    it was 1.08.
    """
    start = time.perf_counter()
    plan = plan_job(job)
    buffers = job.strip_memory(plan.buffer_sets).of(plan.rows_per_strip)
    spare = memory_beside(buffers, f"{job.name}: strips of {plan.rows_per_strip} rows")
    behind = plan.buffer_sets > 1
    threads = usable_threads(job.threads)
    inputs, outputs = _Inputs(job, plan), [_Outputs(job, plan) for _ in range(plan.buffer_sets)]
    options = _dense_options(job, threads - behind)
    places = zip(plan, cycle(outputs), strict=False)
    computed = (_computed(job, options, strip, inputs, to) for strip, to in places)
    written = in_background(computed) if behind else (write() for write in computed)
    with block_cache.at_most(min(job.memory_budget - buffers, spare)), closing(written):
        for strip in written:
            job.logger.debug("%s: rows %d to %d written", job.name, strip.dense.row_start, strip.dense.row_stop - 1)
            if job.progress is not None:
                job.progress(strip.target.row_stop, plan.window.shape[0])
    inputs.warn_of_tags(job.logger)
    job.logger.info(
        "%s: %d x %d pixels in %d strips, %d threads, %.1f Mpx/s",
        job.name,
        *job.window.shape,
        len(plan),
        threads,
        job.window.shape[0] * job.window.shape[1] / 1e6 / (time.perf_counter() - start),
    )


def _computed(job: Job, options: DenseOptions, strip: Strip, inputs: _Inputs, outputs: _Outputs) -> Callable[[], Strip]:
    """Read and compute a strip, and return the call that writes it."""
    grid, mask = outputs.grid(strip), outputs.mask(strip)
    marked = job.polygons is not None and job.wants_mask
    if job.polygons is not None and marked:
        job.polygons.write_causes(strip.dense, mask, options.threads)
    densify_window(
        options,
        strip.relative,
        nodes=inputs.nodes(strip),
        valid_nodes=inputs.valid_nodes(strip),
        marked=marked,
        out_grid=grid,
        out_mask=mask,
    )
    if job.tally is not None:
        job.tally.add(grid, mask)
    outputs.finish(strip)
    return partial(outputs.write, strip)


def _dense_options(job: Job, threads: int) -> DenseOptions:
    return DenseOptions(
        job.resolution,
        job.threshold,
        limits=() if job.grid_out is None else job.grid_out.limits,
        fill=np.nan if job.fill is None else job.fill,
        fill_masked=job.fill is not None,
        threads=threads,
        tile_shape=job.tile_shape,
    )


def plan_job(job: Job) -> StripPlan:
    """Choose strips that fit the caller's bound, the budget, the cache and the outputs' blocks, in this order.

    Where two strips of whole blocks fit in the budget and there are threads for it, there are buffers for two.
    """
    tallest_block = block_height([dataset for dataset, _ in job.targets])
    block_row = min(tallest_block, job.window.shape[0])
    budget = job.memory_budget - -(-job.memory_budget // _CACHE_SHARE)
    buffer_sets = 2 if usable_threads(job.threads) > 1 and job.strip_memory(2).rows_within(budget) >= block_row else 1
    memory = job.strip_memory(buffer_sets)
    rows = memory.rows_within(budget)
    least = block_row if job.whole_blocks else 1
    if rows < least:
        needed = -(-memory.of(least) * _CACHE_SHARE // (_CACHE_SHARE - 1)) + 1
        what = "one row of the outputs' blocks" if job.whole_blocks else "the least strip"
        raise MemoryError(
            f"{job.name}: {what}, {least} x {job.window.shape[1]} pixels, needs a memory_budget of {needed} bytes, and "
            f"it is {job.memory_budget}"
        )
    plan = plan_strips(
        job.window,
        job.resolution,
        strip_size=job.strip_size,
        strip_target=job.strip_target,
        rows_in_budget=min(rows, max(memory.rows_within(_STRIP_BYTES), tallest_block)),
        block_height=tallest_block,
    )
    return replace(plan, buffer_sets=buffer_sets)


class _Inputs:
    """The strip's nodes: coordinates in float64, void ones NaN in both bands, and the coarse mask as bytes.

    Counts the nodes that a nodata tag made void.
    """

    def __init__(self, job: Job, plan: StripPlan) -> None:
        shape = plan.node_shape
        self._grid_in, self._mask_in = job.grid_in, job.mask_in if job.wants_mask else None
        if self._grid_in is not None:
            self._grid_reader = StripReader(self._grid_in.bands, shape, np.float64)
        if self._mask_in is not None:
            self._mask_reader = StripReader([self._mask_in.band], shape, self._mask_in.dtype)
            self._valid_nodes = StripBuffer(1, shape, np.uint8)
        self._tagged = 0
        self._rows_counted = 0

    def nodes(self, strip: Strip) -> NDArray[np.float64]:
        if self._grid_in is None:
            return NO_GRID
        nodes = self._grid_reader.read(strip.nodes)
        hits = np.empty(nodes.shape[1], np.int64)
        void_nodes(nodes, self._grid_in.nodata, hits)
        # Neighbouring strips share a row of nodes.
        self._tagged += int(hits[max(0, self._rows_counted - strip.nodes.row_start) :].sum())
        self._rows_counted = strip.nodes.row_stop
        return nodes

    def valid_nodes(self, strip: Strip) -> NDArray[np.uint8]:
        """Return 1 where the coarse mask is valid. It is compared in its own type: no value is rounded."""
        if self._mask_in is None:
            return NO_BYTES
        valid_nodes: NDArray[np.uint8] = self._valid_nodes.part(strip.nodes.shape)[0]
        np.equal(self._mask_reader.read(strip.nodes)[0], self._mask_in.valid_value, out=valid_nodes.view(np.bool_))
        return valid_nodes

    def warn_of_tags(self, logger: logging.Logger) -> None:
        if self._tagged:
            logger.warning(
                "%d nodes are finite numbers and invalid because they equal the nodata tag of their band; "
                "if they are coordinates, pass grid_nodata=()",
                self._tagged,
            )


class _Outputs:
    """Buffers for one strip's pixels, and the way to their files.

    The mask holds causes until the strip is finished: in the output's own bytes, or beside its wider values.
    """

    def __init__(self, job: Job, plan: StripPlan) -> None:
        shape = plan.strip_shape
        self._grid_writer, self._mask_bytes, self._mask_writer = None, None, None
        if job.grid_out is not None:
            self._grid_writer = StripWriter(job.grid_out.bands, StripBuffer(2, shape, job.grid_out.dtype), job.watch)
        if job.wants_mask:
            self._mask_bytes = StripBuffer(1, shape, np.uint8)
        if job.mask_out is None or self._mask_bytes is None:
            return
        self._codes = job.mask_out.values
        band = (job.mask_out.dataset, 1)
        if job.mask_out.one_byte:
            self._mask_writer = StripWriter([band], self._mask_bytes.viewed(job.mask_out.dtype), job.watch)
        else:
            self._mask_writer = StripWriter([band], StripBuffer(1, shape, job.mask_out.dtype), job.watch)

    def grid(self, strip: Strip) -> NDArray[Any]:
        return NO_GRID if self._grid_writer is None else self._grid_writer.buffer(strip.dense.shape)

    def mask(self, strip: Strip) -> NDArray[np.uint8]:
        return NO_BYTES if self._mask_bytes is None else self._mask_bytes.part(strip.dense.shape)[0]

    def finish(self, strip: Strip) -> None:
        if self._mask_writer is not None:
            write_codes(self.mask(strip), self._codes, self._mask_writer.buffer(strip.dense.shape)[0])
            self._mask_writer.finish(strip.target)
        if self._grid_writer is not None:
            self._grid_writer.finish(strip.target)

    def write(self, strip: Strip) -> Strip:
        for writer in (self._mask_writer, self._grid_writer):
            if writer is not None:
                writer.write(strip.target)
        return strip
