"""`densify`: paths in, verified files out."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import DTypeLike

from . import __version__, checks
from .chain import run_strips
from .errors import DtypeError, GridrError, GridrValueError
from .job import GridIn, GridOut, Job, MaskIn, MaskOut
from .kernels.jit import usable_threads
from .outputs import (
    Checksums,
    OutputFile,
    check_blocks,
    check_space,
    destination,
    gtiff_options,
    partial_files,
    publish,
)
from .rasterize import PolygonMask
from .tally import Tally
from .target import Sources, Target, target_of
from .types import DEFAULT_MEMORY_BUDGET, GridRIOMode, Progress
from .vector import PixelFrame, Polygons, pixel_polygons, polygon_files

logger = logging.getLogger(__name__)

#: `mask_out_values` for a mask that holds a bit for every cause that applies.
CAUSES = "causes"


@dataclass(frozen=True)
class DensifyReport:
    """What `densify` made.

    Attributes
    ----------
    grid, mask : str or None
        The files.
    shape : tuple of int
        Rows and columns of each.
    valid_pixels : int
    invalid_pixels : dict
        By cause: ``raster_mask``, ``node``, ``outside_valid``, ``inside_invalid``. A pixel counts once, in this order.
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
    """

    grid: str | None
    mask: str | None
    shape: tuple[int, int]
    valid_pixels: int
    invalid_pixels: dict[str, int]
    source_rows: tuple[float, float] | None
    source_cols: tuple[float, float] | None
    coordinate_spacing: float | None
    seconds: dict[str, float]
    mpx_per_second: float
    threads: int
    versions: dict[str, str]
    verified: bool

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain


def densify(
    grid: Any,
    out: Any,
    *,
    resolution: tuple[int, int],
    shape: tuple[int, int] | None = None,
    like: Any = None,
    window: Any = None,
    mask: Any = None,
    mask_out: Any = None,
    valid: Polygons | None = None,
    invalid: Polygons | None = None,
    geometry_origin: tuple[float, float] = (0.0, 0.0),
    row_band: int = 1,
    col_band: int = 2,
    mask_band: int = 1,
    mask_valid_value: int = 1,
    mask_out_values: tuple[int, int] | str = (1, 0),
    fill: float | None = None,
    threshold: float = 1.0,
    rasterize_kwargs: dict[str, Any] | None = None,
    repair_geometry: bool = False,
    grid_nodata: float | tuple[float, ...] | None = None,
    dtype: DTypeLike | None = None,
    creation_options: dict[str, Any] | None = None,
    threads: int | None = None,
    memory_budget: int = DEFAULT_MEMORY_BUDGET,
    progress: Progress | None = None,
    overwrite: bool = False,
    verify: bool = True,
    allow_vrt: bool = False,
    geometry_crs: Any = None,
    geometry_layer: str | tuple[str | None, str | None] | None = None,
) -> DensifyReport:
    """Make a coarse grid and its mask dense, from files to files.

    The laws are those of `build_grid_mask_chain`. A destination is absent (or what it was), or complete and, unless
    `verify` is False, verified: each output is written beside its destination, closed, read back, compared with a
    checksum a strip, flushed, and renamed. With two outputs both are verified before either is renamed; the mask is
    renamed first and the grid last, so that a new grid implies its mask. On any exception, KeyboardInterrupt included,
    what was written is removed.

    Nothing is created before all arguments are checked, the room on the disk and in memory is found to suffice, and the
    first strip is computed. What a process that is killed leaves behind, ``.<name>.<pid>.partial`` beside the
    destination, disturbs no later run and may be deleted once no job writes there; a later run does not, since another
    process may be writing it.

    Parameters
    ----------
    grid : path, pair of paths or None
        The coarse grid; a pair is (row file, column file). None, with `shape`, makes only the mask.
    out : path or None
        The dense grid: a GeoTIFF with bands 'row' and 'col' and NaN as nodata. None only with ``grid=None``.
    resolution : tuple of int
        Dense pixels a node along rows and columns.
    shape : tuple of int, optional
        Rows and columns of nodes, where there is no grid.
    like : path, optional
        An image whose CRS, transform and shape the outputs get; the dense raster is cropped to it. It is refused if it
        says that it lies elsewhere than the grid does, by its CRS or by more than half a node, and so are a mask or a
        second grid file that do not lie where the grid does.
    window : pairs ``((row_start, row_stop), (col_start, col_stop))``, optional
        The part of the dense raster to make, half-open.
    mask : path, optional
        The coarse mask, one pixel a node; `mask_valid_value` in band `mask_band` is valid, all else is not.
    mask_out : path, optional
        The dense mask, without a nodata tag: a tag of 0 would make GDAL hide the invalid pixels.
    valid, invalid : path, GeometryType, or sequence of both, optional
        Polygons in dense pixels, (x = column, y = row), integers being centres; pixel (0, 0) of the whole dense raster
        is at `geometry_origin`, whatever the window. Files may be GeoJSON, WKT or WKB by their suffix, and, with the
        extra ``vector``, GeoPackage, Shapefile or FlatGeobuf. A file with a CRS is brought to dense pixels through the
        outputs' CRS and transform, its long edges halved until they are straight within 0.01 pixels. GeoJSON has a CRS
        only if it has a `crs` member or `geometry_crs` is given: without, its coordinates are pixels here, not the
        WGS 84 of RFC 7946. A file without a polygon is as if it were not given, and a WARNING says so.
    row_band, col_band : int
        Bands of the grid.
    mask_out_values : pair of int, or 'causes'
        For valid and invalid pixels (uint8, or the smallest type that holds both); 'causes' writes a bit for every
        cause that applies: 1 raster mask, 2 node, 4 outside valid, 8 inside invalid; 0 is valid.
    fill : float, optional
        For both coordinates of invalid pixels. None leaves masked coordinates as computed, NaN only where law 5 says
        that there are none.
    threshold : float
        The least weight of valid nodes; 1 means every contributing node.
    rasterize_kwargs, repair_geometry, grid_nodata
        As in `build_grid_mask_chain`.
    dtype : data type, optional
        Of the dense grid; None is the input's floating type, float64 for integers.
    creation_options : dict, optional
        For GDAL's GTiff driver, over the defaults: tiles of 512, uncompressed, BIGTIFF if safer. Lossy ones are
        refused. ``PREDICTOR=3``, floating point's, is 2 in the mask.
    threads : int, optional
        None is all that the process may use.
    memory_budget : int
        Bytes for the strips' buffers and GDAL's block cache, which is the process's and is as before afterwards. A
        strip is always whole rows of the outputs' blocks.
    progress : callable, optional
        Called with (rows done, rows in all) after each strip; what it raises cancels the job.
    overwrite : bool
        Allow outputs that exist to be replaced. An output that is also an input is refused always.
    verify : bool
        Read the outputs back before they replace anything. Without it, that all blocks are within their files is
        checked all the same: GDAL may close a file that a full disk cut short, and rasterio says nothing.
    allow_vrt : bool
        Read local VRTs whose sources all are plain local rasters.
    geometry_crs : str, int, dict or rasterio.crs.CRS, optional
        Of all polygons, given as paths or not, instead of what the files say. Coordinates are (x, y), east or longitude
        first, whatever the CRS says of its axes.
    geometry_layer : str or pair of (str or None), optional
        The layer to read of polygon files that have layers, or (that of `valid`, that of `invalid`). Needed where a
        file has more than one.

    Returns
    -------
    DensifyReport

    Raises
    ------
    GridrValueError, GridrTypeError
        For a wrong argument, before a file is created.
    DatasetError
        For a file that cannot be read, written or verified, or a disk that is full.
    MemoryError
        Before a file is created, if `memory_budget` is too small for one row of the outputs' blocks, or there is not
        enough memory; the message says what would be needed.
    """
    given = locals()
    stages = _Stages()
    with ExitStack() as stack:
        with stages("check"), _named_here():
            sources = Sources.opened(stack, grid, mask, like, allow_vrt=allow_vrt)
            target = target_of(sources, checks.input_resolution(resolution, "resolution"), shape, window)
            grid_in = sources.grid_in(row_band, col_band, grid_nodata)
            values = _mask_values(mask_out_values)
            frame = PixelFrame(target.crs, target.whole_transform, checks.real_pair(geometry_origin, "geometry_origin"))
            polygons = pixel_polygons(
                valid, invalid, frame, crs=geometry_crs, layer=geometry_layer, repair=repair_geometry
            )
            inputs = [*sources.paths, *polygon_files(valid, invalid)]
            files = _files(target, grid_in, out, mask_out, dtype, values, creation_options, inputs, overwrite)
            for file in files:
                file.tags["GRIDR_NUMBA_OPTIONS"] = _described_options(given)
            checksums = Checksums() if verify else None
            job = _with_outputs(
                Job(
                    name="densify",
                    resolution=target.resolution,
                    window=target.window,
                    strip_size=0,
                    strip_target=GridRIOMode.OUTPUT,
                    threads=None if threads is None else checks.integer(threads, "threads", minimum=1),
                    tile_shape=None,
                    logger=logger,
                    threshold=checks.binary_threshold(threshold),
                    polygons=PolygonMask.of(
                        polygons, frame.origin_row_col, rasterize_kwargs, target.full_shape, repair=repair_geometry
                    ),
                    mask_in=MaskIn.of(sources.mask, mask_valid_value, mask_band, target.node_shape, "one a node"),
                    fill=None if fill is None else checks.finite_or_nan(fill, "fill"),
                    progress=checks.progress(progress),
                    memory_budget=checks.integer(memory_budget, "memory_budget", minimum=1),
                    whole_blocks=True,
                ),
                grid_in,
                files,
                values,
                checksums,
            )
            check_space(files)
        with partial_files(files):
            with stages("compute and write"):
                run_strips(job)
                for file in files:
                    file.close()
            with stages("verify" if verify else "check blocks"):
                if checksums is None:
                    for file in files:
                        check_blocks(file)
                else:
                    checksums.verify(files, usable_threads(job.threads), job.memory_budget)
            with stages("publish"):
                publish(files)
    return _report(job, files, stages, verified=verify)


# What the checks that `densify` shares with the chains call by GRIDR's names.
_NAMES = {
    "mask_in_binary_threshold": "threshold",
    "merge_mask_grid": "fill",
    "mask_in_unmasked_value": "mask_valid_value",
    "mask_in_band": "mask_band",
    "mask_in_ds": "mask",
    "grid_in_row_coords_band": "row_band",
    "grid_in_col_coords_band": "col_band",
    "grid_in_col_ds": "grid[1]",
    "grid_in_ds": "grid",
    "geometry_pair[0] (valid)": "valid",
    "geometry_pair[1] (invalid)": "invalid",
}


@contextmanager
def _named_here() -> Iterator[None]:
    """Let errors name the arguments of `densify`."""
    try:
        yield
    except GridrError as error:
        message = str(error)
        for theirs, ours in _NAMES.items():
            message = message.replace(theirs, ours)
        if message == str(error):
            raise
        raise type(error)(message) from error


# What is said elsewhere in the files, or does not bear on their pixels.
_NOT_OPTIONS = frozenset(
    ["grid", "out", "mask", "mask_out", "threads", "memory_budget", "progress", "overwrite", "verify", "allow_vrt"]
)


def _described_options(given: dict[str, Any]) -> str:
    """Return the options that are not as by default, in JSON. Of files the names alone: paths tell of their maker."""

    def described(value: Any) -> Any:
        if isinstance(value, Path) or (isinstance(value, str) and Path(value).is_file()):
            return Path(value).name
        if isinstance(value, dict):
            return {str(key): described(item) for key, item in value.items()}
        if isinstance(value, np.generic):
            return value.item()
        return value if isinstance(value, str | int | float) or value is None else described_object(value)

    def described_object(value: Any) -> Any:
        if isinstance(value, tuple | list | np.ndarray) and len(value) <= _DESCRIBED_ITEMS:
            return [described(item) for item in value]
        return getattr(value, "__name__", type(value).__name__)

    defaults = {name: parameter.default for name, parameter in signature(densify).parameters.items()}
    options = {
        name: described(value)
        for name, value in given.items()
        if name not in _NOT_OPTIONS and value is not defaults[name] and value is not None
    }
    return json.dumps(options)


# Longer sequences are polygons: their type is said.
_DESCRIBED_ITEMS = 8


class _Stages:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] = round(time.perf_counter() - start, 6)


def _mask_values(value: Any) -> tuple[int, int] | None:
    """Take `mask_out_values`; None is 'causes'."""
    if isinstance(value, str):
        if value != CAUSES:
            raise GridrValueError(f"mask_out_values must be a pair (valid, invalid) or {CAUSES!r}, not {value!r}")
        return None
    return checks.mask_out_values(value, (np.dtype(np.int64),))


def _files(
    target: Target,
    grid_in: GridIn | None,
    out: Any,
    mask_out: Any,
    dtype: Any,
    values: tuple[int, int] | None,
    options: Any,
    inputs: list[Path],
    overwrite: bool,
) -> list[OutputFile]:
    """Describe the outputs, the mask first: a new grid is to imply its mask."""
    if (grid_in is None) != (out is None):
        raise GridrValueError("out must be given with a grid, and only with one")
    if out is None and mask_out is None:
        raise GridrValueError("mask_out must be given where grid is None, or there is nothing to make")
    height, width = target.window.shape
    place = {"height": height, "width": width, "crs": target.crs, "transform": target.transform}
    place = {key: value for key, value in place.items() if value is not None}
    tags = {
        "GRIDR_NUMBA_VERSION": __version__,
        "GRIDR_NUMBA_RESOLUTION": f"{target.resolution[0]} {target.resolution[1]}",
        "GRIDR_NUMBA_INPUTS": " ".join(path.name for path in inputs),
    }
    files = []
    if mask_out is not None:
        mask_type = _smallest_type((0, 15) if values is None else values)
        profile = {**place, "count": 1, "dtype": mask_type.name, **gtiff_options(options, mask_type)}
        path = destination(mask_out, "mask_out", inputs, overwrite=overwrite)
        files.append(OutputFile("mask_out", path, profile, ("validity" if values else "causes",), tags))
    if grid_in is not None:
        grid_type = _grid_type(dtype, grid_in)
        profile = {
            **place, "count": 2, "dtype": grid_type.name, "nodata": np.nan, **gtiff_options(options, grid_type)
        }  # fmt: skip
        path = destination(out, "out", inputs, overwrite=overwrite)
        if files and path.resolve() == files[0].path.resolve():
            raise GridrValueError(f"out and mask_out must differ, and both are {str(path)!r}")
        files.append(OutputFile("out", path, profile, ("row", "col"), tags))
    return files


def _smallest_type(values: tuple[int, int]) -> np.dtype[Any]:
    """Return the smallest integer type that holds two values, unsigned where it can be."""
    types = (np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.int64)
    held = (each for each in types if np.iinfo(each).min <= min(values) and max(values) <= np.iinfo(each).max)
    return np.dtype(next(held))


def _grid_type(dtype: Any, grid_in: GridIn) -> np.dtype[Any]:
    given = checks.floating_dtype(dtype, "dtype", optional=True)
    if given is None:
        types = [np.dtype(dataset.dtypes[index - 1]) for dataset, index in grid_in.bands]
        given = np.result_type(*types) if all(each.kind == "f" for each in types) else np.dtype(np.float64)
    if given not in (np.float32, np.float64):
        raise DtypeError(f"dtype must be float32 or float64, which GeoTIFFs hold everywhere, not {given}")
    return given


def _with_outputs(
    job: Job,
    grid_in: GridIn | None,
    files: Sequence[OutputFile],
    values: tuple[int, int] | None,
    checksums: Checksums | None,
) -> Job:
    """Say in the job which files are its outputs, and count what is reported."""
    grid_out, mask_out = None, None
    for file in files:
        dtype = np.dtype(file.profile["dtype"])
        if file.argument == "out":
            grid_out = GridOut(((file, 1), (file, 2)), swapped=False, dtype=dtype, dtypes=(dtype, dtype))
        else:
            mask_out = MaskOut(file, dtype, values)
    return replace(
        job,
        grid_in=grid_in,
        grid_out=grid_out,
        mask_out=mask_out,
        fill=None if grid_out is None else grid_out.checked_fill(job.fill),
        tally=Tally(0 if grid_out is None else 2),
        watch=None if checksums is None else checksums.watch,
    )


def _report(job: Job, files: Sequence[OutputFile], stages: _Stages, *, verified: bool) -> DensifyReport:
    paths = {file.argument: file.name for file in files}
    height, width = job.window.shape
    if job.tally is None:
        raise GridrValueError("the job was not counted")
    ranges = job.tally.ranges
    spacing = None
    if ranges is not None and job.grid_out is not None:
        largest = max(abs(value) for pair in ranges for value in pair)
        spacing = float(np.spacing(np.array(largest, job.grid_out.dtype)))
    return DensifyReport(
        grid=paths.get("out"),
        mask=paths.get("mask_out"),
        shape=(height, width),
        valid_pixels=job.tally.valid,
        invalid_pixels={str(cause.name).lower(): count for cause, count in job.tally.invalid.items()},
        source_rows=None if ranges is None else ranges[0],
        source_cols=None if ranges is None else ranges[1],
        coordinate_spacing=spacing,
        seconds=stages.seconds,
        mpx_per_second=height * width / 1e6 / sum(stages.seconds.values()),
        threads=usable_threads(job.threads),
        versions={
            "gridr_numba": __version__,
            "gdal": rasterio.__gdal_version__,
            **{module.__name__: module.__version__ for module in (np, rasterio)},
        },
        verified=verified,
    )
