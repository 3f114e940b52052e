"""`densify`: paths in, verified files out."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import DTypeLike

from .. import checks
from ..engine.counts import Tally
from ..engine.job import GridIn, GridOut, Job, MaskOut, Outputs, Services, Warnings, job_of
from ..engine.loop import run_windows
from ..engine.step import DenseStep
from ..errors import GridrValueError
from ..files.bands import SinkBand
from ..files.outputs import OutputFormat
from ..files.zarr import ZarrOptions
from ..polygons.files import Polygons
from ..types import DEFAULT_MEMORY_BUDGET, AnyDtype, FilePath, GeometryCrs, Pair, Progress, WindowPairs
from .dense_inputs import DenseArguments, DenseInputs, coordinate_type
from .options_tag import files_given, options_given
from .output_files import FileMaker, Kind, mask_values
from .placement import file_limits
from .production import Production
from .reports import DenseReport, of_dense, span
from .stages import Stages

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, repr=False)
class DensifyReport(DenseReport):
    """What `densify` made.

    Attributes
    ----------
    grid, mask : str or None
        The files.
    shape : tuple of int
        Rows and columns of each.
    valid_pixels : int
    invalid_pixels : dict
        By the `key` of each `Cause`, such as ``raster_mask``. A pixel counts once, under its first cause.
    source_rows, source_cols : tuple of float or None
        The range of the valid coordinates: what to read of the source image. None where there is no grid, or no valid
        pixel.
    coordinate_spacing : float or None
        Between neighbouring numbers of the grid's data type at the largest valid coordinate.
    seconds : dict
        By stage.
    mpx_per_second : float
        Of the whole call.
    threads : int
    versions : dict
        Of the package and of what it computes with.
    verified : bool
        Whether the files were read back and compared before they replaced anything.
    warnings : tuple of str
        What looked wrong and was no error; it was logged too.
    applied : dict
        To the stored values of the grid, in this order and as far as it changed them: ``scale`` and ``offset`` (row,
        column), ``displacement``, ``source_offset`` (row, column).
    resolution : tuple of int
        Dense pixels a node, along rows and columns.
    window : tuple
        The part of the dense raster that was made, ``((row_start, row_stop), (col_start, col_stop))``.
    inputs : dict
        The paths that were given, by the argument's name; each a list.
    options : dict
        The other arguments that were not as by default.

    Examples
    --------
    >>> from gridr_numba import densify
    >>> report = densify(None, None, shape=(3, 4), resolution=10, mask_out="mask.tif")
    >>> report
    <DensifyReport: mask mask.tif, verified; pixels 21 x 31, 651 valid (100.0 %)>
    >>> sum(report.invalid_pixels.values()), sorted(report.to_dict())[:3]
    (0, ['applied', 'coordinate_spacing', 'grid'])
    """

    grid: str | None
    source_rows: tuple[float, float] | None
    source_cols: tuple[float, float] | None
    coordinate_spacing: float | None

    _brief: ClassVar = ("grid", "mask", "pixels")

    def _lines(self) -> Iterator[tuple[str, str]]:
        """Yield what each line is about, and what it says."""
        yield from self._made_lines("grid", self.grid)
        yield self._pixels_line(self.shape[0] * self.shape[1])
        yield from self._invalid_lines()
        if self.source_rows is not None and self.source_cols is not None:
            yield "source", f"rows {span(self.source_rows)}, columns {span(self.source_cols)}"
        yield self._time_line()


# Longer than a screen, and half of it parameters: each is checked once, in the order in which the checks need them.
def densify(
    grid: FilePath | Sequence[FilePath] | None,
    out: FilePath | None,
    *,
    resolution: int | tuple[int, int] | None = None,
    shape: tuple[int, int] | None = None,
    like: FilePath | None = None,
    window: WindowPairs | None = None,
    mask: FilePath | None = None,
    mask_out: FilePath | None = None,
    valid: Polygons | None = None,
    invalid: Polygons | None = None,
    geometry_origin: tuple[float, float] = (0.0, 0.0),
    grid_order: Literal["row_col", "xy"] = "row_col",
    row_band: int | None = None,
    col_band: int | None = None,
    displacement: bool = False,
    source_offset: tuple[float, float] = (0.0, 0.0),
    source: object = None,
    mask_band: int = 1,
    mask_valid_value: int = 1,
    mask_out_values: tuple[int, int] | str = (1, 0),
    fill: float | None = None,
    threshold: float = 1.0,
    rasterize_kwargs: dict[str, Any] | None = None,
    repair_geometry: bool = False,
    grid_nodata: float | tuple[float, ...] | None = None,
    dtype: DTypeLike | None = None,
    driver: str | None = None,
    creation_options: dict[str, Any] | None = None,
    zarr_options: dict[str, Any] | None = None,
    overviews: bool = False,
    threads: int | None = None,
    memory_budget: int = DEFAULT_MEMORY_BUDGET,
    progress: Progress | bool | None = None,
    overwrite: bool = False,
    verify: bool = True,
    allow_vrt: bool = False,
    geometry_crs: GeometryCrs = None,
    geometry_layer: str | tuple[str | None, str | None] | None = None,
    strict: bool = False,
) -> DensifyReport:
    """Make a coarse grid and its mask dense, from files to files.

    Not in GRIDR. Laws 1 to 10.

    A destination is absent (or what it was), or complete and, unless `verify` is False, verified: each output is
    written beside its destination, closed, read back, compared with a checksum a window, flushed, and put in its place.
    With two outputs both are verified before either is; the mask goes first and the grid last, so that a new grid
    implies its mask. On any exception, KeyboardInterrupt included, what was written is removed. Without `overwrite`,
    nothing that another program has made meanwhile is replaced, and both files appear or none. Jobs that publish to the
    same folder wait for one another: both files are one job's.

    Nothing is created before all arguments are checked, the room on the disk and in memory is found to suffice, and the
    first window is computed. What a process that is killed leaves behind, ``.<name>.<pid>.partial`` beside the
    destination, disturbs no later run and may be deleted once no job writes there; a later run does not, since another
    process may be writing it.

    Parameters
    ----------
    grid : path, pair of paths or None
        The coarse grid; a pair is (row file, column file). None makes only the mask. Where the bands' tags say a scale
        and an offset, they are applied. In float64 and in this order: stored values are compared with nodata; then
        scale and offset, `displacement` and `source_offset` make coordinates of them, which are the nodes of law 1.
    out : path or None
        The dense grid: a GeoTIFF with bands 'row' and 'col' and NaN as nodata. None only with ``grid=None``. A name
        that ends in .zarr makes a Zarr store, a folder (extra ``zarr``): a group with the arrays 'row', 'col' and
        'mask', and where they lie by CF's `spatial_ref` and by the conventions `proj:` and `spatial:`. It appears
        whole, verified, at once, as files do. Only a store that holds nothing else is ever replaced; where the file
        system cannot exchange two names, nothing is there for the moment between the old store and the new.
    resolution : int or tuple of int, optional
        Dense pixels a node along rows and columns; one integer is for both. A grid of `make_grid` says it in its tag,
        and of which target it is: None takes it from there, and the dense raster then is that target, with its
        transform to the bit. What differs from the tag is refused, but for a `window` of the target.
    shape : tuple of int, optional
        Rows and columns of nodes, where there is no grid. None takes them from `mask`, or else as many as it takes to
        cover `like`.
    like : path, optional
        An image whose CRS, transform and shape the outputs get; the dense raster is cropped to it. It is refused if it
        says that it lies elsewhere than the grid does, by its CRS or by more than half a node, and so are a mask or a
        second grid file that do not lie where the grid does. A WARNING says how far it is off, in dense pixels, where
        that is more than a hundredth of one. A CRS is the same however it is written and whatever it
        says of heights.
    window : pairs ``((row_start, row_stop), (col_start, col_stop))``, optional
        The part of the dense raster to make, half-open.
    mask : path, optional
        The coarse mask, one pixel a node; `mask_valid_value` in band `mask_band` is valid, all else is not.
    mask_out : path, optional
        The dense mask, without a nodata tag: a tag of 0 would make GDAL hide the invalid pixels. Where it is uint8, it
        has a colour table; its band's tags say what its values mean. None where `out` is a Zarr store, which holds it;
        with ``grid=None`` a name that ends in .zarr makes a store of the mask alone.
    valid, invalid : path, GeometryType, or sequence of both, optional
        Polygons in dense pixels, (x = column, y = row), integers being centres; pixel (0, 0) of the whole dense raster
        is at `geometry_origin`, whatever the window. Files may be GeoJSON, WKT or WKB by their suffix, and, with the
        extra ``vector``, GeoPackage, Shapefile or FlatGeobuf. A file with a CRS is brought to dense pixels through the
        outputs' CRS and transform, its long edges halved until they are straight within 0.01 pixels. What comes out
        must hold the pixel centres that the polygons hold in their own CRS: a sample of the whole dense raster is
        asked. Polygons of which it is not so, as around a pole or the Earth or across the antimeridian, are cut to the
        raster first. A longitude and the one a full circle away are one place. GeoJSON without a `crs` member is WGS
        84, longitude first, where the outputs have a CRS and a transform, else in pixels.

        A `valid` that is given must hold a polygon; an `invalid` without one is as if it were not given, and a WARNING
        says so. Another names files (and geometries) of which no polygon touches the whole dense raster.
    grid_order : 'row_col' or 'xy'
        The order of the grid's bands: source rows in band 1 and source columns in band 2, or columns (x) in band 1 and
        rows (y) in band 2, as in the grids of OTB and shareloc.
    row_band, col_band : int, optional
        Bands of the grid, in place of those that `grid_order` says; of a pair of files each is 1.
    displacement : bool
        The grid holds displacements, as OTB's and shareloc's do: a node's coordinates are what it holds plus its own
        place in the dense raster, ``(i*rr, j*rc)``.
    source_offset : pair of float
        Subtracted from source coordinates, (row, column): the pixel of an image at which the source, a chip of it,
        begins. (0.5, 0.5) where a grid takes 0.5 to be the centre of the first pixel, as OTB and shareloc do.
    source : path, optional
        The source image, of which only the shape is looked at. Pixels whose coordinates lie outside the area of its
        pixels, ``-0.5 <= row <= rows - 0.5`` and the same of columns, are invalid (`Cause.OUTSIDE_SOURCE`) and keep
        their coordinates, as masked ones do. That is decided in float64, whatever `dtype` is.
    mask_out_values : pair of int, or 'causes'
        For valid and invalid pixels (uint8, or the smallest type that holds both); 'causes' writes the bit of every
        `Cause` that applies; 0 is valid.
    fill : float, optional
        For both coordinates of invalid pixels. None leaves masked coordinates as computed, NaN only where law 5 says
        that there are none.
    threshold : float
        The least weight of valid nodes; 1 means every contributing node.
    rasterize_kwargs, repair_geometry, grid_nodata
        As in `build_grid_mask_chain`; but a predicate, which RASTERIO_RASTERIZE does not have, is refused with it.
    dtype : data type, optional
        Of the dense grid; None is the input's floating type, float64 for integers and where coordinates are not what
        is stored.
    driver : 'GTiff' or 'COG', optional
        Of GDAL, for both outputs; None is 'GTiff', and must be for a Zarr store. A COG is a copy of an uncompressed
        GeoTIFF, and what is verified is the copy; there must be room for both.
    creation_options : dict, optional
        For that driver, over the defaults: tiles of 512, uncompressed, BIGTIFF if safer. Those that would lose digits,
        or that GDAL does not know, are refused. ``PREDICTOR=3``, floating point's, is 2 in the mask.
    zarr_options : dict, optional
        For a Zarr store: ``shard``, the rows and columns of a file (2048, or a pair), ``chunk``, of what is read at a
        time (512), ``zarr_format``, 3 or 2, which has no shards, and ``compressor``, None or 'zstd', 'gzip' or 'blosc',
        or a dict of its ``name`` and ``configuration``.
    overviews : bool
        Add overviews, each half as large as the one before: averages of the grid, the most frequent values of the mask.
    threads : int, optional
        None is all that the process may use.
    memory_budget : int
        Bytes for the windows' buffers and GDAL's block cache, which is the process's and is as before afterwards. A
        window is always whole blocks of the outputs: as wide as they are where a row of blocks fits in the budget.
    progress : callable or bool, optional
        Called with (pixels done, pixels in all) after each window; what it raises cancels the job. True shows tqdm's
        bar, in notebooks as a widget.
    overwrite : bool
        Allow outputs that exist to be replaced. An output that is also an input is refused always.
    verify : bool
        Read the outputs back before they replace anything. Without it, that all blocks are within their files is
        checked all the same: GDAL may close a file that a full disk cut short, and rasterio says nothing.
    allow_vrt : bool
        Read local VRTs too, as mosaics: bands put together from rectangles of local GeoTIFF and ENVI files, as
        ``gdalbuildvrt`` writes them. All else that a VRT may hold is refused.
    geometry_crs : str, int, dict or rasterio.crs.CRS, 'pixels', or pair of these or None, optional
        Of all polygons, given as paths or not, instead of what the files say; or (that of `valid`, that of `invalid`).
        Coordinates are (x, y), east or longitude first, whatever the CRS says of its axes. 'pixels' are dense ones.
    geometry_layer : str or pair of (str or None), optional
        The layer to read of polygon files that have layers, or (that of `valid`, that of `invalid`). Needed where a
        file has more than one.
    strict : bool
        Refuse to publish where there is anything to warn of: what was made is removed, and no destination is touched.

    Returns
    -------
    DensifyReport

    Raises
    ------
    GridrValueError, GridrTypeError
        For a wrong argument, before a file is created.
    DatasetError
        For a file that cannot be read, written or verified, a raw (ENVI) file that is smaller than its header says, or
        a disk that is full.
    StrictError
        With `strict`, for what would be a warning.
    MemoryError
        Before a file is created, if `memory_budget` is too small for one of the outputs' blocks (a row of pixels, where
        they are striped), or there is not enough memory; the message says what would be needed.

    Examples
    --------
    >>> import numpy as np
    >>> import rasterio
    >>> from gridr_numba import densify
    >>> with rasterio.open("grid.tif", "w", driver="GTiff", count=2, height=3, width=4, dtype="float64") as grid:
    ...     grid.write(np.mgrid[:3, :4] * 10.0)
    >>> cloud = {"type": "Polygon", "coordinates": [[(2, 3), (9, 3), (9, 8), (2, 8), (2, 3)]]}  # x, y in dense pixels
    >>> report = densify("grid.tif", "dense.tif", resolution=10, mask_out="valid.tif", invalid=cloud)
    >>> report.shape, report.valid_pixels, report.invalid_pixels["inside_invalid"]
    ((21, 31), 603, 48)
    >>> rasterio.open("dense.tif").read()[:, 7, 12].tolist()
    [7.0, 12.0]
    """
    given, stages = locals(), Stages()
    with ExitStack() as stack:
        with stages("check"):
            warn = Warnings(logger)
            checks.switches(given)
            arguments, options = DenseArguments.of(given), options_given(densify, given)
            dense = DenseInputs.opened(stack, arguments, warn)
            values, named = mask_values(mask_out_values), mask_out if out is None else out
            kind = Kind.by_name(named, driver, creation_options, overviews, zarr_options)
            maker = FileMaker.of(kind, dense.place, dense.paths, overwrite, options)
            files = _Files.of(dense.inputs.grid, out, mask_out, dtype, values, maker)
            outputs, limits = Outputs(files.grid_out, files.mask_out), file_limits(threads, memory_budget)
            job = job_of("densify", dense.place.extent, dense.inputs, dense.rules(files.grid_out), outputs, limits)
            counts, told = Tally(0 if grid is None else 2), checks.progress(progress)
            how = {"overwrite": overwrite, "verify": verify, "strict": strict}
            production = Production.of(files.all, dense.paths, limits, warn, **how)
            services = Services(warn, counts, dense.survey(), production.watch, told)
        production.run(partial(run_windows, DenseStep(job, counts, services.survey), limits, services), stages, warn)
    about = {"verified": verify, "inputs": files_given(given), "options": options}
    return _report(job, counts, warn, files, stages, **about)


@dataclass(frozen=True)
class _Files:
    """The outputs as files, and as what a job writes."""

    mask: OutputFormat | None
    grid: OutputFormat | None
    mask_out: MaskOut | None
    grid_out: GridOut | None

    @property
    def all(self) -> list[OutputFormat]:
        """The mask first: a new grid is to imply its mask. A store is both."""
        return list(dict.fromkeys(file for file in (self.mask, self.grid) if file is not None))

    @classmethod
    def of(
        cls,
        grid_in: GridIn | None,
        out: object,
        mask_out: object,
        dtype: DTypeLike | None,
        values: Pair | None,
        maker: FileMaker,
    ) -> _Files:
        """Check the arguments that say what to write, and where."""
        if (grid_in is None) != (out is None):
            raise GridrValueError("out must be given with a grid, and only with one", argument="out")
        if out is None and mask_out is None:
            raise GridrValueError(
                "mask_out must be given where grid is None, or there is nothing to make", argument="mask_out"
            )
        grid_dtype = None if grid_in is None else coordinate_type(dtype, grid_in)
        if maker.kind.zarr is not None:
            return cls._of_store(out, mask_out, maker.kind.zarr, grid_dtype, values, maker)
        mask_file, mask_target = maker.mask(mask_out, values)
        grid_file, grid_target = None, None
        if grid_dtype is not None:
            how = {"nodata": np.nan, "overviews": maker.kind.of_grids}
            grid_file = maker.file(out, "out", grid_dtype, ("row", "col"), **how)
            grid_bands = SinkBand(grid_file, 1, "out"), SinkBand(grid_file, 2, "out")
            grid_target = GridOut(grid_bands, (grid_dtype, grid_dtype))
        if mask_file is not None and grid_file is not None and mask_file.path.resolve() == grid_file.path.resolve():
            raise GridrValueError(f"out and mask_out must differ, and both are {grid_file.name!r}", argument="out")
        return cls(mask_file, grid_file, mask_target, grid_target)

    @classmethod
    def _of_store(
        cls,
        out: object,
        mask_out: object,
        options: ZarrOptions,
        grid_dtype: AnyDtype | None,
        values: Pair | None,
        maker: FileMaker,
    ) -> _Files:
        if out is not None and mask_out is not None:
            raise GridrValueError(
                f"mask_out must be None where out is a Zarr store, which holds the mask too, not {mask_out!r}",
                argument="mask_out",
            )
        path, name = (mask_out, "mask_out") if out is None else (out, "out")
        store, mask_target, grid_target = maker.store(path, name, options, values, grid_dtype)
        return cls(store, None if out is None else store, mask_target, grid_target)


def _report(job: Job, counts: Tally, warn: Warnings, files: _Files, stages: Stages, **about: Any) -> DensifyReport:
    ranges = counts.ranges
    spacing = None
    if ranges is not None and job.outputs.grid is not None:
        largest = max(abs(value) for pair in ranges for value in pair)
        spacing = float(np.spacing(np.array(largest, job.outputs.grid.dtype)))
    return DensifyReport(
        grid=None if files.grid is None else files.grid.name,
        mask=None if files.mask is None else files.mask.name,
        source_rows=None if ranges is None else ranges[0],
        source_cols=None if ranges is None else ranges[1],
        coordinate_spacing=spacing,
        applied={} if job.inputs.grid is None else job.inputs.grid.applied,
        **of_dense(job.extent, counts, job.limits, warn, stages),
        **about,
    )
