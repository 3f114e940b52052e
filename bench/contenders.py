"""Who competes: the package, its kernels in a pool of forked processes, GRIDR, and the reads and writes alone.

Each contender is made once in a process of its own (`bench.worker`) and then run again and again on open datasets, or,
for `densify`, on paths.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from mmap import mmap
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .cases import GRID_IN, MASK_IN, TILE, Case, OpenFiles, Shape, make_polygons, output_paths

Run = Callable[[OpenFiles], None]

#: Name -> what the table calls it.
LABELS = {
    "package-1": "1 thread",
    "package-2": "2 threads",
    "densify-2": "densify, 2 threads",
    "unverified-2": "densify, 2 threads, verify=False",
    "pool-2": "fork pool, 2 processes",
    "gridr-1": "GRIDR, 1 process",
    "gridr-2": "GRIDR, 2 processes",
    "null": "reads and writes alone",
}


def contenders_of(case: Case) -> list[str]:
    """Name those who can do a case."""
    kinds = {kind for kind in case.contenders if kind != "gridr" or find_spec("gridr") is not None}
    return [name for name in LABELS if name.partition("-")[0] in kinds]


def reference_of(case: Case) -> str:
    """Name the one whose outputs the others' are compared with."""
    names = contenders_of(case)
    return "package-2" if "package-2" in names else names[0]


def make_contender(name: str, case: Case) -> Run | Densify:
    """Make a contender for a case, `NAME-COUNT` with a count of threads or processes."""
    kind, _, count = name.partition("-")
    if kind == "package":
        return partial(_run_package, case, int(count))
    if kind in ("densify", "unverified"):
        return Densify(case, int(count), verify=kind == "densify")
    if kind == "gridr":
        return partial(_run_gridr, case, int(count))
    return ForkPool(case, int(count)) if kind == "pool" else NullChain(case)


def _arguments(case: Case, files: OpenFiles, count: int, enums: dict[str, Any]) -> dict[str, Any]:
    """Return what both packages' build_grid_mask_chain take; the enumerations are each package's own."""
    alg = enums["GridRasterizeAlg"][case.polygons or "SHAPELY"]
    predicate = {"shapely_predicate": enums["ShapelyPredicate"].COVERS} if alg.name == "SHAPELY" else {}
    return {
        "resolution": case.resolution_row_col,
        "grid_in_ds": files.grid_in,
        "grid_in_col_ds": None,
        "grid_in_row_coords_band": 1,
        "grid_in_col_coords_band": 2,
        "grid_out_ds": files.grid_out,
        "grid_out_col_ds": None,
        "grid_out_row_coords_band": 1,
        "grid_out_col_coords_band": 2,
        "mask_out_ds": files.mask_out,
        "mask_out_dtype": np.uint8,
        "mask_in_ds": files.mask_in,
        "mask_in_unmasked_value": 1,
        "mask_in_band": 1,
        "computation_dtype": np.float64,
        # GRIDR adds to it even where there is no polygon.
        "geometry_origin": (0.0, 0.0),
        "geometry_pair": make_polygons(case),
        "rasterize_kwargs": {"alg": alg, "kwargs_alg": predicate},
        "io_strip_size": case.strip_size,
        "io_strip_size_target": enums["GridRIOMode"][case.strip_target],
        "ncpu": count,
    }


def _run_package(case: Case, count: int, files: OpenFiles) -> None:
    from gridr_numba.doors import chains as chain

    chain.build_grid_mask_chain(**_arguments(case, files, count, vars(import_module("gridr_numba.types"))))


def _run_gridr(case: Case, count: int, files: OpenFiles) -> None:
    chain = import_module("gridr.chain.grid_mask_chain")
    enums = {
        **vars(import_module("gridr.core.grid.grid_rasterize")),
        "GridRIOMode": import_module("gridr.io.common").GridRIOMode,
    }
    chain.build_grid_mask_chain(**_arguments(case, files, count, enums))


class Densify:
    """The package from paths to files, which it makes, verifies and puts in place itself."""

    def __init__(self, case: Case, count: int, *, verify: bool) -> None:
        self._case = case
        self._count = count
        self._verify = verify

    def run_in(self, folder: Path, prefix: str) -> None:
        """Make the same files as the others do."""
        from gridr_numba import densify

        enums = vars(import_module("gridr_numba.types"))
        arguments = _arguments(self._case, OpenFiles(None, None, None, None), self._count, enums)
        tiles = {"BLOCKXSIZE": TILE, "BLOCKYSIZE": TILE} if self._case.tiled else {"TILED": "NO"}
        compression = {} if self._case.compress is None else {"COMPRESS": self._case.compress, "ZSTD_LEVEL": 1}
        grid, mask = output_paths(folder, prefix)
        valid, invalid = arguments["geometry_pair"] or (None, None)
        densify(
            folder / GRID_IN,
            grid,
            resolution=self._case.resolution_row_col,
            mask=folder / MASK_IN,
            mask_out=mask,
            valid=valid,
            invalid=invalid,
            threshold=0.999,
            rasterize_kwargs=arguments["rasterize_kwargs"],
            dtype=self._case.dtype,
            creation_options={"INTERLEAVE": self._case.interleave.upper(), **tiles, **compression},
            threads=self._count,
            verify=self._verify,
        )


def _job(case: Case, files: OpenFiles, *, windows: int = 24 << 20, budget: int = 256 << 20) -> Any:
    """Describe the job of a chain with one thread, or of `densify` where a case says so, without running it."""
    from gridr_numba import plan
    from gridr_numba.engine import job
    from gridr_numba.polygons import mask as rasterize

    enums = vars(import_module("gridr_numba.types"))
    arguments = _arguments(case, files, 1, enums)
    names, extent = job.Names(), job.Extent.whole(case.node_shape_row_col, case.resolution_row_col)
    bounds = plan.Bounds(budget, 1, windows, case.strip_size, enums["GridRIOMode"][case.strip_target])
    if case.whole_blocks:
        bounds = plan.Bounds(budget, 2, windows, whole_blocks=True)
    return job.job_of(
        case.name,
        extent,
        job.Inputs(
            job.GridIn.of(files.grid_in, None, 1, 2, None, names),
            job.MaskIn.of(files.mask_in, 1, 1, extent.node_shape, "one a node", names),
            rasterize.PolygonMask.of(
                arguments["geometry_pair"], (0.0, 0.0), arguments["rasterize_kwargs"], extent.full_shape
            ),
        ),
        job.MaskRules.of(0.999, None, None, names),
        job.Outputs(
            job.GridOut.of(files.grid_out, None, 1, 2, extent.full_shape, names),
            job.MaskOut.of(files.mask_out, np.uint8, (1, 0), extent.full_shape, names),
        ),
        job.Limits(2 if case.whole_blocks else 1, None, bounds),
    )


# -- the reads and writes alone -----------------------------------------------------------------------------------


class NullChain:
    """The package's reads and writes with no computation: what no chain in one thread can be faster than.

    The buffers that are written are made once and hold real values: pages that were never touched are all one page
    of zeros, which is cheaper to write than anything that was computed.
    """

    def __init__(self, case: Case) -> None:
        self._case = case
        self._buffers: tuple[Any, Any] | None = None

    def __call__(self, files: OpenFiles) -> None:
        from gridr_numba.engine.loop import plan_of
        from gridr_numba.engine.step import DenseStep
        from gridr_numba.files.bands import WindowReader, WindowWriter

        job = _job(self._case, files)
        step = DenseStep(job)
        plan = plan_of(step, job.limits)
        readers = (
            WindowReader(job.inputs.grid.bands, np.float64),
            WindowReader([job.inputs.mask.band], job.inputs.mask.dtype),
        )
        if self._buffers is None:
            self._buffers = _filled_buffers(plan.piece_shape, job.outputs.grid.dtype)
        mask, grid = self._buffers
        writers = [
            (WindowWriter(target.bands), values) for target, values in zip(step.targets, (mask, grid), strict=True)
        ]
        for piece in plan:
            for reader in readers:
                reader.read(piece.nodes)
            for writer, values in writers:
                writer.finish(piece.target, values.part(piece.target.shape))
                writer.write(piece.target)


def _filled_buffers(shape: Shape, dtype: DTypeLike) -> tuple[Any, Any]:
    """Make output buffers for a window, of a mask of one and zero and of ascending coordinates."""
    from gridr_numba.files.bands import WindowBuffer

    grid, mask = WindowBuffer(2, dtype), WindowBuffer(1, np.uint8)
    coordinates = grid.part(shape)
    coordinates[:] = np.linspace(0.5, 5000.5, coordinates.size).reshape(coordinates.shape)
    mask.part(shape)[:] = np.arange(shape[0] * shape[1]).reshape(shape) % 7 != 0
    return mask, grid


# -- the pool of processes ----------------------------------------------------------------------------------------

Rows = tuple[int, int]


class ForkPool:
    """The same kernels, called as GRIDR calls its own: shared buffers, and a new pool of forked processes a strip.

    A strip is cut into one band of rows a process: no process waits for a second piece, and each piece is contiguous.
    OpenMP would end the children of a process that has initialised it, so numba's own threading layer is used here,
    which may be forked.
    """

    def __init__(self, case: Case, processes: int) -> None:
        os.environ["NUMBA_THREADING_LAYER"] = "workqueue"
        self._case = case
        self._processes = processes
        self._compiled = False

    def __call__(self, files: OpenFiles) -> None:
        from gridr_numba.engine.loop import plan_of
        from gridr_numba.engine.step import DenseStep

        # The largest strips that the caller allows, as GRIDR's: cache-sized ones would need more pools.
        job = _job(self._case, files, windows=1 << 50, budget=1 << 50)
        plan = plan_of(DenseStep(job), job.limits)
        buffers = _SharedBuffers(job, plan)
        for strip in plan:
            buffers.read(strip)
            height = strip.dense.shape[0]
            bounds = [height * piece // self._processes for piece in range(self._processes + 1)]
            pieces = [(start, stop) for start, stop in pairwise(bounds) if start < stop]
            self._compute(buffers, pieces)
            for piece in pieces:
                buffers.write(piece)

    def _compute(self, buffers: _SharedBuffers, pieces: list[Rows]) -> None:
        # A forked process inherits the buffers as the pool's argument: only row numbers are pickled.
        with get_context("fork").Pool(self._processes, _inherit, (buffers,)) as pool:
            pool.map(_compute_inherited, pieces, chunksize=1)
            if self._compiled:
                return
            signatures = pool.apply(_compiled_signatures)
        # Now that they are in numba's cache, this process loads them for later children, without launching any.
        for kernel, compiled in zip(_kernels(), signatures, strict=True):
            for signature in compiled:
                kernel.compile(signature)
        self._compiled = True


class _SharedBuffers:
    """The buffers of a strip in memory that forked processes share, and what a process does with its piece."""

    def __init__(self, job: Any, plan: Any) -> None:
        from gridr_numba.engine.dense import DenseOptions

        self._job = job
        self._strip: Any = None
        nodes, pixels = math.prod(plan.node_shape), math.prod(plan.piece_shape)
        self._nodes = _shared(2 * nodes, np.float64)
        self._mask_in = _shared(nodes, job.inputs.mask.dtype)
        self._valid_nodes = _shared(nodes, np.uint8)
        self._grid = _shared(2 * pixels, job.outputs.grid.dtype)
        self._mask = _shared(pixels, np.uint8)
        self._options = DenseOptions(
            job.extent.resolution, job.rules.threshold, limits=job.outputs.grid.limits, threads=1
        )

    def read(self, strip: Any) -> None:
        """Read the nodes of a strip."""
        self._strip = strip
        window = strip.nodes.to_rasterio()
        mask_in = _part(self._mask_in, strip.nodes.shape)
        self._job.inputs.grid.bands[0].dataset.read(
            [1, 2], window=window, out=_part(self._nodes, (2, *strip.nodes.shape))
        )
        self._job.inputs.mask.band.dataset.read(1, window=window, out=mask_in)
        valid = _part(self._valid_nodes, strip.nodes.shape)
        np.equal(mask_in, self._job.inputs.mask.valid_value, out=valid.view(np.bool_))

    def compute(self, rows: Rows) -> None:
        """Compute a piece, in a child. Each child voids all of the nodes: whoever comes second changes nothing."""
        from gridr_numba.engine.codes import write_codes
        from gridr_numba.engine.dense import densify_window
        from gridr_numba.kernels.bilinear import void_nodes

        nodes = _part(self._nodes, (2, *self._strip.nodes.shape))
        void_nodes(nodes, self._job.inputs.grid.nodata, (0, 0), np.empty(1, np.int64))
        grid, mask = self._outputs(rows)
        marked = self._job.inputs.polygons is not None
        if marked:
            self._job.inputs.polygons.write_causes(_rows_of(self._strip.dense, rows), mask, 1)
        densify_window(
            self._options,
            _rows_of(self._strip.relative, rows),
            nodes=nodes,
            valid_nodes=_part(self._valid_nodes, self._strip.nodes.shape),
            marked=marked,
            out_grid=grid,
            out_mask=mask,
        )
        write_codes(mask, (1, 0), mask)

    def write(self, rows: Rows) -> None:
        """Write a piece."""
        grid, mask = self._outputs(rows)
        window = _rows_of(self._strip.target, rows).to_rasterio()
        self._job.outputs.grid.bands[0].dataset.write(grid, [1, 2], window=window)
        self._job.outputs.mask.band.dataset.write(mask, 1, window=window)

    def _outputs(self, rows: Rows) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        width = self._strip.dense.shape[1]
        shape = (rows[1] - rows[0], width)
        start = rows[0] * width
        return _part(self._grid[2 * start :], (2, *shape)), _part(self._mask[start:], shape)


def _shared(size: int, dtype: DTypeLike) -> NDArray[Any]:
    memory = mmap(-1, size * np.dtype(dtype).itemsize)
    return np.frombuffer(memory, dtype)


def _part(memory: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    return memory[: math.prod(shape)].reshape(shape)


def _rows_of(window: Any, rows: Rows) -> Any:
    """Return some rows of a window, counted from its first."""
    return replace(window, row_start=window.row_start + rows[0], row_stop=window.row_start + rows[1])


def _kernels() -> tuple[Any, ...]:
    from gridr_numba.kernels.bilinear import densify, void_nodes

    return tuple(kernel.dispatcher for kernel in (densify, void_nodes))


def _compiled_signatures() -> list[Any]:
    return [kernel.signatures for kernel in _kernels()]


def _inherit(buffers: _SharedBuffers) -> None:
    """Keep what a child inherited where its tasks find it."""
    globals()["_inherited"] = buffers


def _compute_inherited(rows: Rows) -> None:
    globals()["_inherited"].compute(rows)
