"""`warp`: an image brought to a target on the map: `make_grid` and `resample` in one, the grid in memory."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Literal

from numpy.typing import DTypeLike

from ..engine.job import Warnings
from ..files.geotiff import GeoTiff, gtiff_options, held_geotiff
from ..files.outputs import destination
from ..polygons.files import Polygons
from ..types import DEFAULT_MEMORY_BUDGET, CrsLike, FilePath, GeometryCrs, Pair, Progress, WindowPairs
from .make_grid import SoughtGrid, write_grid
from .options_tag import options_given
from .resample import ResampleReport, Resampling
from .stages import Stages

logger = logging.getLogger(__name__)


# Longer than a screen: it is parameters, which `make_grid` and `resample` check.
def warp(
    image: FilePath,
    out: FilePath,
    *,
    like: FilePath | None = None,
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
    unreachable: str = "void",
    max_evaluations: int = 20_000_000,
    grid_out: FilePath | None = None,
    window: WindowPairs | None = None,
    bands: int | Sequence[int] | None = None,
    interpolation: str = "cubic",
    nodata: float | None = None,
    source_mask: FilePath | None = None,
    source_mask_band: int = 1,
    source_mask_valid_value: int = 1,
    band_validity: Literal["any", "all", "each"] = "any",
    edge: Literal["clamp", "strict"] = "clamp",
    mask: FilePath | None = None,
    mask_out: FilePath | None = None,
    mask_out_values: tuple[int, int] | str = (1, 0),
    mask_band: int = 1,
    mask_valid_value: int = 1,
    threshold: float = 1.0,
    valid: Polygons | None = None,
    invalid: Polygons | None = None,
    geometry_origin: tuple[float, float] = (0.0, 0.0),
    geometry_crs: GeometryCrs = None,
    geometry_layer: str | tuple[str | None, str | None] | None = None,
    rasterize_kwargs: dict[str, Any] | None = None,
    repair_geometry: bool = False,
    dtype: DTypeLike | None = None,
    driver: str | None = None,
    creation_options: dict[str, Any] | None = None,
    overviews: bool = False,
    threads: int | None = None,
    memory_budget: int = DEFAULT_MEMORY_BUDGET,
    progress: Progress | bool | None = None,
    overwrite: bool = False,
    verify: bool = True,
    allow_vrt: bool = False,
    strict: bool = False,
) -> ResampleReport:
    """Bring an image to a target: `make_grid` and `resample` in one, without the coarse grid on the disk.

    Not in GRIDR. The laws are those of these two.

    Parameters
    ----------
    image : path
        It says where its pixels lie by its CRS and transform, its RPCs or its ground control points.
    out : path
        The image on the target's pixels.
    like, crs, transform, shape, pixel_size, bounds
        The target, said in one of three ways as in `make_grid`: an image, or a CRS with a transform and a shape, or
        with a pixel size and bounds, each of which may be left out.
    tolerance, model, height, step, check, max_evaluations
        As in `make_grid`.
    unreachable : {'void', 'error'}
        What becomes of parts of the target that the image's mapping does not reach within the tolerance: they are
        invalid, or refused.
    grid_out : path, optional
        Keep the coarse grid, as `make_grid` writes it, in float64.
    mask : path, optional
        A coarse mask, one pixel a node: where `step` is given.
    dtype
        Of the image.
    window, bands, interpolation, nodata, source_mask, source_mask_band, source_mask_valid_value, band_validity, edge
        As in `resample`.
    mask_out, mask_out_values, mask_band, mask_valid_value, threshold, valid, invalid, geometry_origin, geometry_crs
        As in `resample`.
    geometry_layer, rasterize_kwargs, repair_geometry, driver, creation_options, overviews, threads, memory_budget
        As in `resample`.
    progress, overwrite, verify, allow_vrt, strict
        As in `resample`.

    Returns
    -------
    ResampleReport

    Raises
    ------
    GridrValueError, GridrTypeError, DatasetError, StrictError, MemoryError
        As `make_grid` and `resample` do.

    Examples
    --------
    >>> import numpy as np
    >>> import rasterio
    >>> from gridr_numba import warp
    >>> place = {"crs": "EPSG:32631", "transform": rasterio.transform.from_origin(5e5, 5e6, 10, 10)}
    >>> pixels = np.arange(35, dtype="uint8").reshape(5, 7)
    >>> place |= {"driver": "GTiff", "count": 1, "height": 5, "width": 7, "dtype": "uint8"}
    >>> with rasterio.open("image.tif", "w", **place) as image:
    ...     image.write(pixels, 1)
    >>> report = warp("image.tif", "out.tif", crs="EPSG:32631", pixel_size=10, nodata=255)
    >>> report.shape
    (5, 7)
    """
    given, stages, warn = locals(), Stages(), Warnings(logger)
    with ExitStack() as stack:
        with stages("check"):
            sought = SoughtGrid.of(stack, {**given, "source": image, "dtype": "float64"}, called="image")
        with stages("search and check"):
            grid = sought.found(warn)
        with stages("check"):
            layout = sought.layout(grid, options_given(warp, given))
            kept = []
            if grid_out is not None:
                path = destination(grid_out, "grid_out", sought.inputs, overwrite=overwrite)
                kept.append(GeoTiff("grid_out", path, layout, gtiff_options(None, sought.wanted.dtype)))
            held = held_geotiff(stack, f"the grid of {str(image)!r}", layout, grid.nodes)
            made = Resampling.checked(stack, given, warp, warn, grid=held, grid_files=kept, read=sought.inputs)

        def write_kept() -> None:
            for file in kept:
                write_grid(file, grid, made.production.checksums)

        made.run(stages, first=write_kept)
    return made.report(stages)
