"""What says what to compute of a dense grid and mask, checked once for all doors that take it from files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike

from .. import checks
from ..engine.job import GridIn, GridOut, Inputs, MaskRules
from ..engine.survey import NodeSurvey
from ..polygons.files import Polygons, pixel_polygons, polygon_files
from ..polygons.mask import Lattice, PolygonMask
from ..polygons.projection import PixelFrame
from ..types import AnyDtype, FilePath, GeometryCrs, Pair, Warn, WindowPairs
from .grid_tag import GridTag, resolution_of
from .placement import Placement, Sources, placement_of


@dataclass(frozen=True, kw_only=True)
class DenseArguments:
    """The arguments of `densify` that say what to compute, as they were given: none is checked."""

    grid: FilePath | Sequence[FilePath] | None
    resolution: int | tuple[int, int] | None = None
    shape: tuple[int, int] | None = None
    like: FilePath | None = None
    window: WindowPairs | None = None
    mask: FilePath | None = None
    valid: Polygons | None = None
    invalid: Polygons | None = None
    geometry_origin: tuple[float, float] = (0.0, 0.0)
    grid_order: Literal["row_col", "xy"] = "row_col"
    row_band: int | None = None
    col_band: int | None = None
    displacement: bool = False
    source_offset: tuple[float, float] = (0.0, 0.0)
    source: object = None
    mask_band: int = 1
    mask_valid_value: int = 1
    fill: float | None = None
    threshold: float = 1.0
    rasterize_kwargs: dict[str, Any] | None = None
    repair_geometry: bool = False
    grid_nodata: float | tuple[float, ...] | None = None
    allow_vrt: bool = False
    geometry_crs: GeometryCrs = None
    geometry_layer: str | tuple[str | None, str | None] | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> DenseArguments:
        """Take them from the arguments of a call, by their names; what a door does not have is as by default."""
        return cls(**{field.name: given[field.name] for field in fields(cls) if field.name in given})


@dataclass(frozen=True)
class DenseInputs:
    """What is read, which part of which dense raster it makes, and what makes a pixel invalid.

    Attributes
    ----------
    sources : Sources
        The inputs, open.
    place : Placement
    inputs : Inputs
    paths : list of Path
        All files that are read, which outputs must not replace.
    threshold, fill
        As given; `rules` checks them.
    """

    sources: Sources
    place: Placement
    inputs: Inputs
    paths: list[Path]
    threshold: object
    fill: float | None

    @classmethod
    def opened(cls, stack: ExitStack, given: DenseArguments, warn: Warn) -> DenseInputs:
        """Open the inputs, to be closed by the stack, and check the arguments that say what to compute of them."""
        inputs_given = given.grid, given.mask, given.like, given.source
        return cls.of(Sources.opened(stack, *inputs_given, allow_vrt=given.allow_vrt), given, warn)

    @classmethod
    def of(cls, sources: Sources, given: DenseArguments, warn: Warn) -> DenseInputs:
        """Check the arguments that say what to compute of open inputs."""
        tag = GridTag.of(sources.rows, warn)
        resolution = resolution_of(given.resolution, tag)
        place = placement_of(sources, resolution, given.shape, given.window, tag, warn)
        rasters = rasters_of(sources, given, place.extent.node_shape)
        if tag is not None:
            tag.check(given.grid_order, given.displacement, rasters.grid)
        if rasters.mask is None:
            for name, default in (("mask_band", 1), ("mask_valid_value", 1), ("threshold", 1.0)):
                checks.left_out(getattr(given, name), default, name, "mask")
        polygons = _polygons(given, place, warn)
        fill = None if given.fill is None else checks.finite_or_nan(given.fill, "fill")
        paths = [*sources.paths, *polygon_files(given.valid, given.invalid)]
        return cls(sources, place, replace(rasters, polygons=polygons), paths, given.threshold, fill)

    def rules(self, grid_out: GridOut | None) -> MaskRules:
        """Check what makes a pixel invalid, and what its coordinates are then."""
        return MaskRules.of(self.threshold, self.fill, grid_out, self.sources.names, self.sources.source_area)

    def survey(self) -> NodeSurvey | None:
        """Return what doubts the nodes; None where there are none."""
        if self.inputs.grid is None:
            return None
        return self.sources.survey(self.place.extent.resolution)


def rasters_of(sources: Sources, given: DenseArguments, node_shape: Pair) -> Inputs:
    """Check what says where the coarse grid's and the coarse mask's nodes are in open files."""
    bands = given.row_band, given.col_band
    grid = sources.grid_in(given.grid_order, *bands, given.grid_nodata, given.displacement, given.source_offset)
    return Inputs(grid, sources.mask_in(given.mask_valid_value, given.mask_band, node_shape))


def _polygons(given: DenseArguments, place: Placement, warn: Warn) -> PolygonMask | None:
    """Check and read polygons, bring those with a CRS to pixels, and prepare them for the whole dense raster."""
    there = given.valid is not None or given.invalid is not None
    options = checks.used_rasterize_options(given.rasterize_kwargs, "rasterize_kwargs", polygons=there)
    lattice = Lattice(place.extent.full_shape, checks.real_pair(given.geometry_origin, "geometry_origin"))
    frame = PixelFrame(place.crs, place.whole_transform, lattice.origin_row_col, lattice.shape_row_col)
    where = {"crs": given.geometry_crs, "layer": given.geometry_layer}
    sets = pixel_polygons(given.valid, given.invalid, frame, **where, repair=given.repair_geometry, warn=warn)
    return PolygonMask.of_sets(*sets, lattice, options)


def coordinate_type(dtype: DTypeLike | None, grid_in: GridIn) -> AnyDtype:
    """Take `dtype`, of dense coordinates; None is what the grid's stored values or what they mean are in."""
    if dtype is None:
        types = [np.dtype(band.dataset.dtypes[band.number - 1]) for band in grid_in.bands]
        floating = not grid_in.applied and all(each.kind == "f" for each in types)
        dtype = np.result_type(*types) if floating else np.dtype(np.float64)
    return checks.file_dtype(dtype, "dtype")
