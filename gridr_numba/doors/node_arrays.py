"""Coarse grids in arrays: what is made of them, all at once or block by block."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import rasterio

from .. import checks
from ..engine.job import Inputs, MaskRules, Names, Warnings
from ..errors import GridrValueError
from ..files.arrays import ArrayRaster
from ..files.bands import SourceBand
from ..files.crs import crs_from
from ..files.inputs import open_raster
from ..georef import lattice_transform, pixel_to_map
from ..types import AnyArray, AnyDtype, Pair
from ..window import Window
from .dense_inputs import DenseArguments, DenseInputs, coordinate_type
from .in_arrays import ArraysOut, job_in_arrays, make_window
from .placement import Placement, Sources

logger = logging.getLogger(__name__)

_NAMES = Names(
    grid="row",
    grid_col="col",
    row_band="row",
    col_band="col",
    mask="mask",
    mask_band="mask",
    mask_valid_value="mask_valid_value",
    threshold="threshold",
    fill="fill",
)

# How far, in pixels, a coordinate may lie from where even spacing puts it.
_EVEN = 0.01


@dataclass(frozen=True)
class NodeArrays:
    """What to make of coarse arrays, checked; of what is to be computed only types are known.

    `dtype` is that of coordinates.
    """

    place: Placement
    inputs: Inputs
    rules: MaskRules
    outputs: ArraysOut
    dtype: AnyDtype

    @classmethod
    def of(
        cls,
        row: ArrayRaster,
        col: ArrayRaster,
        mask: ArrayRaster | None,
        resolution: int | tuple[int, int],
        given: Mapping[str, Any],
    ) -> NodeArrays:
        """Check what is given of the options of `open_densifier`."""
        checks.switches(given)
        options = {**given, "grid": None, "source": None, "resolution": resolution}
        with ExitStack() as stack:
            source = given.get("source")
            image = None if source is None else stack.enter_context(open_raster(source, "source"))
            sources = Sources(row, col, mask, image=image, names=_NAMES)
            dense = DenseInputs.of(sources, DenseArguments.of(options), Warnings(logger))
            grid = dense.inputs.given_grid
            dtype = coordinate_type(given.get("dtype"), grid)
            outputs = ArraysOut.of(grid, dtype, given.get("mask_out_values", (1, 0)))
            return cls(dense.place, dense.inputs, dense.rules(outputs.grid), outputs, dtype)

    def make(
        self,
        window: Window,
        row: AnyArray,
        col: AnyArray,
        mask: AnyArray | None,
        first_row_col: Pair = (0, 0),
        threads: int | None = 1,
    ) -> tuple[AnyArray, AnyArray]:
        """Make a window of the whole dense raster of arrays that hold its nodes, the first of them this one."""
        grid, mask_in = self.inputs.grid, self.inputs.mask
        if grid is not None:
            held = zip(grid.bands, (row, col), strict=True)
            rows, cols = (_holding(band, values, first_row_col) for band, values in held)
            grid = replace(grid, bands=(rows, cols))
        if mask_in is not None and mask is not None:
            mask_in = replace(mask_in, band=_holding(mask_in.band, mask, first_row_col))
        inputs = replace(self.inputs, grid=grid, mask=mask_in)
        coords = np.empty((2, *window.shape), self.dtype)
        codes = np.empty(window.shape, self.outputs.mask.dtype)
        job = job_in_arrays(self.place.extent, inputs, self.rules, self.outputs)
        make_window(job, window, coords, codes, threads)
        return coords, codes


def _holding(band: SourceBand, values: AnyArray, first_row_col: Pair) -> SourceBand:
    raster: Any = band.dataset
    return band._replace(dataset=raster.holding(values, first_row_col))


def array_raster(
    name: str, shape: Pair, dtype: Any, attributes: Mapping[str, Any], spatial_ref: Mapping[str, Any], axes_yx: Any
) -> ArrayRaster:
    """Describe an array by what xarray, rioxarray and odc-geo know of it.

    Parameters
    ----------
    name : str
        Of the argument.
    shape, dtype
        Of the array.
    attributes : mapping
        CF's and GDAL's: ``_FillValue``, ``scale_factor``, ``add_offset``.
    spatial_ref : mapping
        The attributes of the grid mapping: ``crs_wkt`` or ``spatial_ref``, ``GeoTransform``.
    axes_yx : pair of ndarray or None
        Coordinates of rows and of columns, where it has them.
    """
    wkt = spatial_ref.get("crs_wkt") or spatial_ref.get("spatial_ref")
    crs = None if wkt is None else crs_from(wkt, name)
    transform = _transform(name, shape, spatial_ref.get("GeoTransform"), axes_yx, placed=crs is not None)

    def number(key: str, default: float) -> float:
        return checks.number(attributes[key], f"{name}: {key}") if attributes.get(key) is not None else default

    scale, offset = number("scale_factor", 1.0), number("add_offset", 0.0)
    return ArrayRaster(name, shape, np.dtype(dtype), crs, transform, number("_FillValue", np.nan), scale, offset)


def _transform(name: str, shape: Pair, written: object, axes_yx: Any, *, placed: bool) -> Any:
    """Return where an array lies: where its coordinates say, which slicing keeps right, to the bit as it is written.

    Pixel numbers, and what there is nothing of, are the identity.
    """
    said = None if written is None else rasterio.Affine.from_gdal(*map(float, str(written).split()))
    if axes_yx is None or min(shape) < 2:
        return rasterio.Affine.identity() if said is None else said
    steps = []
    for axis, size in zip(axes_yx, shape, strict=True):
        step = (axis[-1] - axis[0]) / (size - 1)
        if not (
            np.isfinite(step) and step and np.abs(axis - (axis[0] + step * np.arange(size))).max() <= abs(step) * _EVEN
        ):
            raise GridrValueError(
                f"{name} must have evenly spaced coordinates along each axis, or none, not {axis!r}", argument=name
            )
        steps.append(float(step))
    rows, cols = axes_yx
    if said is None and not placed and all(np.array_equal(axis, np.arange(len(axis))) for axis in axes_yx):
        return rasterio.Affine.identity()
    if said is not None:
        xs, ys = pixel_to_map(said, [0, shape[0] - 1], [0, shape[1] - 1])
        off = np.abs(xs - cols[[0, -1]]) / abs(steps[1]), np.abs(ys - rows[[0, -1]]) / abs(steps[0])
        if np.max(off) <= _EVEN:
            return said
    return rasterio.Affine(*lattice_transform((float(rows[0]), float(cols[0])), (steps[0], steps[1])))
