"""The inputs of the file doors, and what they say of outputs: which part of which dense raster, and where it lies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from math import hypot
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from .. import checks
from ..engine.job import Extent, GridIn, Limits, MaskIn, Names, refuse_scaling
from ..engine.survey import NodeSurvey
from ..errors import GridrTypeError, GridrValueError
from ..files.crs import area_of, same_crs
from ..files.inputs import OpenRaster, open_grid, open_raster
from ..georef import dense_transform, map_to_pixel, pixel_area, pixel_to_map, shifted_transform
from ..plan import Bounds, grid_full_resolution_shape
from ..types import Pair, Range, Warn
from ..window import Window
from .grid_tag import GridTag, target_of_tag

#: What the file doors call their arguments.
NAMES = Names(
    grid="grid",
    grid_col="grid[1]",
    row_band="row_band",
    col_band="col_band",
    mask="mask",
    mask_band="mask_band",
    mask_valid_value="mask_valid_value",
    threshold="threshold",
    fill="fill",
)


@dataclass(frozen=True)
class Sources:
    """The inputs, open."""

    rows: OpenRaster | None
    cols: OpenRaster | None
    mask: OpenRaster | None
    like: OpenRaster | None = None
    image: OpenRaster | None = None
    names: Names = NAMES

    @classmethod
    def opened(
        cls, stack: ExitStack, grid: object, mask: object, like: object, source: object, *, allow_vrt: bool
    ) -> Sources:
        """Open what is given, to be closed by the stack."""

        def opened(value: object, name: str) -> OpenRaster | None:
            return None if value is None else stack.enter_context(open_raster(value, name, allow_vrt=allow_vrt))

        rows, cols = (None, None) if grid is None else open_grid(stack, grid, allow_vrt=allow_vrt)
        return cls(rows, cols, opened(mask, "mask"), opened(like, "like"), opened(source, "source"))

    @property
    def paths(self) -> list[Path]:
        """The files that must not be overwritten."""
        datasets = (self.rows, self.cols, self.mask, self.like, self.image)
        return [Path(name) for dataset in datasets if dataset is not None for name in dataset.files]

    @property
    def source_shape(self) -> Pair | None:
        """Rows and columns of the source image; None where none is given."""
        return None if self.image is None else self.image.shape

    def map_area(self) -> tuple[Range, Range] | None:
        """Return the x and the y of the map that the grid lies on: of its CRS's area, or else of its own."""
        if self.rows is None or self.rows.crs is None or not self.rows.crs.is_projected:
            return None
        area = area_of(self.rows.crs)
        if area is None and not self.rows.transform.is_identity:
            ends = (0, self.rows.shape[0] - 1), (0, self.rows.shape[1] - 1)
            xs, ys = pixel_to_map(self.rows.transform, *np.meshgrid(*ends))
            return (float(xs.min()), float(xs.max())), (float(ys.min()), float(ys.max()))
        return area

    def survey(self, resolution: Pair | None) -> NodeSurvey:
        """Return what doubts the grid's nodes."""
        return NodeSurvey(resolution, self.source_shape, self.map_area)

    @property
    def source_area(self) -> tuple[Range, Range] | None:
        """The rows and the columns that the source image's pixels cover; None where no image is given."""
        if self.image is None:
            return None
        height, width = self.image.shape
        return pixel_area(height), pixel_area(width)

    def grid_in(
        self,
        grid_order: object,
        row_band: object,
        col_band: object,
        grid_nodata: object,
        displacement: object,
        source_offset: object,
    ) -> GridIn | None:
        """Check what says where a grid's coordinates are, and what they are; None where there is no grid."""
        if not isinstance(displacement, bool | np.bool_):
            raise GridrTypeError(f"displacement must be True or False, not {displacement!r}", argument="displacement")
        offset_row_col = checks.real_pair(source_offset, "source_offset")
        if grid_order not in ("row_col", "xy"):
            raise GridrValueError(f"grid_order must be 'row_col' or 'xy', not {grid_order!r}", argument="grid_order")
        if self.rows is None:
            of_a_grid = {
                "source": self.image is not None,
                "displacement": displacement,
                "source_offset": offset_row_col != (0.0, 0.0),
                "grid_order": grid_order != "row_col",
            }
            for name in (name for name, given in of_a_grid.items() if given):
                raise GridrValueError(f"{name} must not be given where grid is None", argument=name)
            return None
        bands = self._grid_bands(grid_order, row_band, col_band)
        return GridIn.of(self.rows, self.cols, *bands, grid_nodata, self.names).with_meaning(
            displacement=bool(displacement), source_offset_row_col=offset_row_col
        )

    def _grid_bands(self, order: object, row_band: object, col_band: object) -> tuple[object, object]:
        """Return the bands of source rows and source columns: those that are given, else as `grid_order` says."""
        if order == "xy":
            if self.cols is not None:
                raise GridrValueError(
                    "grid_order must be 'row_col' where grid is a pair, which is (row file, column file), not 'xy'",
                    argument="grid_order",
                )
            for given, name in ((row_band, "row_band"), (col_band, "col_band")):
                if given is not None:
                    raise GridrValueError(f"{name} must not be given with grid_order='xy'", argument=name)
            return 2, 1
        return 1 if row_band is None else row_band, (2 if self.cols is None else 1) if col_band is None else col_band

    def mask_in(self, valid_value: object, band: object, node_shape: Pair) -> MaskIn | None:
        """Check the coarse mask; None where there is none."""
        mask = MaskIn.of(self.mask, valid_value, band, node_shape, "one a node", self.names)
        if mask is not None:
            refuse_scaling(mask.band)
        return mask


def resolution_for(displacement: object, resolution: object) -> Pair | None:
    """Take the resolution of nodes that are looked at; it may be left out, but not where they are displacements."""
    if resolution is None and displacement:
        raise GridrValueError(
            "resolution must be given with displacement=True: it says where a node's own place is",
            argument="resolution",
        )
    return None if resolution is None else checks.one_or_two_resolutions(resolution, "resolution")


def file_limits(threads: object, memory_budget: object) -> Limits:
    """Check what a job may take that makes files of its own, in whole blocks."""
    return Limits(
        None if threads is None else checks.integer(threads, "threads", minimum=1),
        None,
        Bounds(checks.integer(memory_budget, "memory_budget", minimum=1), whole_blocks=True),
    )


@dataclass(frozen=True)
class Placement:
    """What is made: which part of which dense raster, and where the whole of that lies on the map."""

    extent: Extent
    crs: Any
    whole_transform: Any

    @property
    def transform(self) -> Any:
        """Of the part that is made."""
        if self.whole_transform is None:
            return None
        window = self.extent.window
        return shifted_transform(self.whole_transform, window.row_start, window.col_start)


def placement_of(
    sources: Sources, resolution: Pair, shape: object, window: object, tag: GridTag | None, warn: Warn
) -> Placement:
    """Take the arguments that say what to make; refuse inputs that do not lie where they must."""
    node_shape = _node_shape(sources, resolution, shape)
    full_shape = grid_full_resolution_shape(node_shape, resolution)
    target = full_shape if tag is None else target_of_tag(tag, sources.like)
    part = Window.whole(target)
    if window is not None:
        if sources.like is not None:
            raise GridrValueError(
                "like and window must not both be given: each says which part to make", argument="like"
            )
        part = Window.from_half_open(window, "window")
    elif sources.like is not None:
        part = Window.whole(sources.like.shape)
    if not part.within(target):
        name = "like" if window is None else "window"
        raise GridrValueError(
            f"{name} must lie within the dense raster's {target} rows and columns, and asks for rows "
            f"{part.row_start} to {part.row_stop} and columns {part.col_start} to {part.col_stop}",
            argument=name,
        )
    return Placement(Extent(node_shape, resolution, part), *_place(sources, resolution, tag, warn))


def _node_shape(sources: Sources, resolution: Pair, shape: object) -> Pair:
    """Return the rows and columns of nodes: as given, or the grid's, the mask's, or as many as cover the image."""
    if shape is not None:
        if sources.rows is not None:
            raise GridrValueError("shape must not be given with a grid, which has its own", argument="shape")
        return checks.integer_pair(shape, "shape", minimum=1)
    if nodes := sources.rows or sources.mask:
        return nodes.shape
    if sources.like is None:
        raise GridrValueError(
            "shape must be given, as (rows, columns) of nodes, where there is no grid, no mask and no like to take it "
            "from",
            argument="shape",
        )
    rows, cols = (-(-(size - 1) // step) + 1 for size, step in zip(sources.like.shape, resolution, strict=True))
    return rows, cols


def _place(sources: Sources, resolution: Pair, tag: GridTag | None, warn: Warn) -> tuple[Any, Any]:
    """Return the CRS and the transform of the whole dense raster: the image's, or the coarse grid's made dense.

    An image's first pixel is the dense raster's. The transform is None where a file has none, which GDAL shows as the
    identity.

    Inputs that say that they lie elsewhere are refused. What says nothing (no CRS, or the identity for a transform)
    agrees with everything.
    """
    nodes = sources.rows if sources.rows is not None else sources.mask
    if nodes is not None:
        for other, name in ((sources.cols, sources.names.grid_col), (sources.mask, sources.names.mask)):
            if other is not None:
                _check_same_place(other, name, nodes, nodes.transform, (_SAME_NODE, _SAME_NODE))
        for doubt in resolution_doubts(nodes.transform, resolution):
            warn(doubt)
        if nodes.gcps[0]:
            warn(f"{nodes.name!r} is placed by ground control points, which the outputs do not get")
    dense = None
    if nodes is not None and not nodes.transform.is_identity:
        dense = dense_transform(nodes.transform, resolution)
    if tag is not None and tag.target_transform is not None:
        dense = rasterio.Affine(*tag.target_transform)
    if sources.like is None:
        return (None if nodes is None else nodes.crs), dense
    if nodes is not None:
        # Many grids say where their nodes' corners are where this package takes them to say it of the nodes' pixels:
        # half a node is let pass, and the image's word is taken.
        away = _check_same_place(sources.like, "like", nodes, dense, (resolution[0] / 2, resolution[1] / 2))
        if max(map(abs, away)) > _SAME_PIXEL:
            warn(
                f"like: {sources.like.name!r} lies {away[0]:+.4g} rows and {away[1]:+.4g} columns of dense pixels from "
                f"where {nodes.name!r} says that it lies, and its word is taken: pixel (0, 0) is the first node; look "
                "which of the two transforms is right, the grid's is that of its nodes as pixels"
            )
    return sources.like.crs, None if sources.like.transform.is_identity else sources.like.transform


# How much longer than wide, or wider than long, pixels may be and still be called square.
_SQUARE = 1.05


def resolution_doubts(transform: Any, resolution: Pair) -> Iterator[str]:
    """Doubt a resolution that makes long pixels of nodes with this transform, and exchanged would make square ones.

    The identity is no transform.
    """
    if transform.is_identity:
        return
    a, b, _, d, e, _ = tuple(transform)[:6]
    node = hypot(b, e), hypot(a, d)

    def pixel(down: int, across: int) -> tuple[float, float, float]:
        height, width = node[0] / down, node[1] / across
        return height, width, max(height, width) / min(height, width)

    (rr, rc), given, exchanged = resolution, pixel(*resolution), pixel(*resolution[::-1])
    if given[2] > _SQUARE >= exchanged[2]:
        yield (
            f"resolution {rr}, {rc} (along rows, along columns) makes pixels of {given[0]:.6g} down by {given[1]:.6g} "
            f"across, and {rc}, {rr} would make square ones of {exchanged[0]:.6g}: look whether the two are exchanged"
        )


# In pixels of the raster that is compared.
_SAME_NODE = 0.01
_SAME_PIXEL = 0.01


def _check_same_place(
    dataset: OpenRaster, name: str, grid: OpenRaster, transform: Any, tolerance_row_col: tuple[float, float]
) -> tuple[float, float]:
    """Refuse a dataset that lies elsewhere than the grid does, whose pixels of the same size this transform places.

    Return how many rows and columns off it lies, at the corner where that is most.
    """
    if dataset.crs and grid.crs and not same_crs(dataset.crs, grid.crs):
        raise GridrValueError(
            f"{name} must have the CRS of {grid.name!r}, {grid.crs.to_string()}, and {dataset.name!r} has "
            f"{dataset.crs.to_string()}",
            argument=name,
        )
    if transform is None or transform.is_identity or dataset.transform.is_identity:
        return 0.0, 0.0
    corners = np.array([(0, 0), (0, dataset.shape[1] - 1), (dataset.shape[0] - 1, 0)])
    offsets = []
    xs, ys = pixel_to_map(dataset.transform, *corners.T)
    places = np.stack(map_to_pixel(transform, xs, ys), axis=1).tolist()
    for corner, place in zip(corners.tolist(), places, strict=True):
        # Written so that what is not a number is refused too.
        if not (np.abs(np.subtract(place, corner)) <= tolerance_row_col).all():
            raise GridrValueError(
                f"{name} must lie where {grid.name!r} does, with the transform {tuple(transform)[:6]}, and "
                f"{dataset.name!r} has {tuple(dataset.transform)[:6]}: its pixel ({corner[0]}, {corner[1]}) lies at "
                f"({place[0]:.6g}, {place[1]:.6g})",
                argument=name,
            )
        offsets.append((round(place[0] - corner[0], 6) + 0.0, round(place[1] - corner[1], 6) + 0.0))  # -0 is 0
    return max(offsets, key=lambda offset: max(map(abs, offset)))
