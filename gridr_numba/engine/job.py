"""What is to be done, complete and checked before anything is read: frozen parts, each built by its own check."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import combinations, product
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .. import checks
from ..errors import GridrTypeError, GridrValueError
from ..files.bands import BandSink, BandSource, Dataset, SinkBand, SourceBand, Watch, scaling_of
from ..kernels.bilinear import void_nodes
from ..plan import Bounds, grid_full_resolution_shape
from ..polygons.mask import PolygonMask
from ..types import AnyDtype, Pair, Progress, Range, Validity, Warn
from ..window import Window
from .coordinates import AS_STORED, Meaning
from .counts import Tally
from .dense import compiled_for, largest_float64_in
from .survey import NodeSurvey


@dataclass(frozen=True)
class Names:
    """What a door calls its arguments, so that errors name them as the caller wrote them. By default GRIDR's names."""

    grid: str = "grid_in_ds"
    grid_col: str = "grid_in_col_ds"
    row_band: str = "grid_in_row_coords_band"
    col_band: str = "grid_in_col_coords_band"
    grid_nodata: str = "grid_nodata"
    grid_out: str = "grid_out_ds"
    grid_out_col: str = "grid_out_col_ds"
    row_band_out: str = "grid_out_row_coords_band"
    col_band_out: str = "grid_out_col_coords_band"
    mask: str = "mask_in_ds"
    mask_band: str = "mask_in_band"
    mask_valid_value: str = "mask_in_unmasked_value"
    mask_out: str = "mask_out_ds"
    mask_out_dtype: str = "mask_out_dtype"
    mask_out_values: str = "mask_out_values"
    threshold: str = "mask_in_binary_threshold"
    fill: str = "merge_mask_grid"


@dataclass(frozen=True)
class Extent:
    """Which part of which dense raster is made.

    Attributes
    ----------
    node_shape : tuple of int
        Rows and columns of nodes.
    resolution : tuple of int
        Dense pixels a node along rows and columns.
    window : Window
        The part; the outputs' first pixel is the window's.
    """

    node_shape: Pair
    resolution: Pair
    window: Window

    @classmethod
    def whole(cls, node_shape: Pair, resolution: Pair) -> Extent:
        """Return all of the dense raster that these nodes make."""
        return cls(node_shape, resolution, Window.whole(grid_full_resolution_shape(node_shape, resolution)))

    @property
    def full_shape(self) -> Pair:
        """Rows and columns of the whole dense raster."""
        return grid_full_resolution_shape(self.node_shape, self.resolution)


# -- inputs -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MaskIn:
    """The coarse mask: a band, its data type, and the value in it that is valid."""

    band: SourceBand
    dtype: AnyDtype
    valid_value: np.generic

    @classmethod
    def of(
        cls, dataset: Any, valid_value: object, band: object, node_shape: Pair, why_shape: str, names: Names
    ) -> MaskIn | None:
        """Check the arguments for a coarse mask; None where there is none."""
        if dataset is None:
            return None
        source: BandSource = checks.readable(dataset, names.mask)
        checks.dataset_shape(source, names.mask, node_shape, why_shape)
        index, dtype = checks.band(band, source, names.mask_band, names.mask, kinds="biuf")
        name = names.mask_valid_value
        if valid_value != valid_value:  # NaN
            raise GridrValueError(f"{name} must be a number, and nothing equals nan", argument=name)
        value = checks.fits(Validity.VALID if valid_value is None else valid_value, dtype, name)
        # In the mask's own type, or numpy would compare in float64 and round large integers.
        return cls(SourceBand(source, index, names.mask), dtype, dtype.type(value if dtype.kind == "f" else int(value)))


@dataclass(frozen=True)
class GridIn:
    """The coarse grid: its two bands, rows first, and for each the values that mean no data.

    Attributes
    ----------
    bands : tuple of SourceBand
    shape : tuple of int
        Rows and columns of nodes.
    nodata : ndarray of float64 (2, values)
        As the band's own data type holds them, which are stored values; the first is the dataset's tag, NaN where
        there is none.
    meanings : tuple of Meaning
        How stored values become coordinates; by default they are.
    """

    bands: tuple[SourceBand, SourceBand]
    shape: Pair
    nodata: NDArray[np.float64]
    meanings: tuple[Meaning, Meaning] = AS_STORED

    @classmethod
    def of(
        cls, row_ds: object, col_ds: object, row_band: object, col_band: object, grid_nodata: object, names: Names
    ) -> GridIn:
        """Check the arguments for a coarse grid."""
        band_names = (names.row_band, names.col_band)
        ds_names = (names.grid, names.grid_col)
        found = _coordinate_bands(checks.readable, (row_ds, col_ds), (row_band, col_band), ds_names, band_names, "biuf")
        (row_dataset, row_index, row_dtype), (col_dataset, col_index, col_dtype) = found
        bands = (
            SourceBand(row_dataset, row_index, names.grid),
            SourceBand(col_dataset, col_index, names.grid if col_dataset is row_dataset else names.grid_col),
        )
        shape = (int(row_dataset.shape[0]), int(row_dataset.shape[1]))
        checks.dataset_shape(col_dataset, names.grid_col, shape, f"as {names.grid} has")
        nodata = []
        for (dataset, index, _), dtype in zip(bands, (row_dtype, col_dtype), strict=True):
            values = _nodata_values(dataset.nodatavals[index - 1], grid_nodata, names.grid_nodata)
            nodata.append([_as_held(value, dtype, names.grid_nodata) for value in values])
        return cls(bands, shape, np.array(nodata, dtype=np.float64))

    def swapped(self) -> GridIn:
        """Return the same with columns first."""
        rows, cols = self.bands
        return GridIn((cols, rows), self.shape, self.nodata[::-1].copy(), self.meanings[::-1])

    def with_meaning(
        self, *, displacement: bool = False, source_offset_row_col: tuple[float, float] = (0.0, 0.0)
    ) -> GridIn:
        """Return the same, with stored values to be read as the bands' scale and offset tags and the caller say."""
        meanings = []
        for axis, band in enumerate(self.bands):
            scale, offset = scaling_of(band)
            if not (np.isfinite((scale, offset)).all() and scale):
                raise GridrValueError(
                    f"{band.argument}: {_scaling_text(band)}; both must be finite, and the scale not 0",
                    argument=band.argument,
                )
            meanings.append(Meaning(axis, scale, offset, displacement, source_offset_row_col[axis]))
        return replace(self, meanings=(meanings[0], meanings[1]))

    @property
    def applied(self) -> dict[str, Any]:
        """What makes coordinates of stored values, pairs as (row, column); empty where they are coordinates already."""
        rows, cols = sorted(self.meanings, key=lambda meaning: meaning.axis)
        steps = {
            "scale": ((rows.scale, cols.scale), (1.0, 1.0)),
            "offset": ((rows.offset, cols.offset), (0.0, 0.0)),
            "displacement": (rows.displacement, False),
            "source_offset": ((rows.source_offset, cols.source_offset), (0.0, 0.0)),
        }
        return {name: value for name, (value, nothing) in steps.items() if value != nothing}

    def write_coordinates(self, nodes: NDArray[np.float64], window: Window, resolution: Pair) -> None:
        """Turn the stored values of some nodes, void ones NaN, into coordinates, in place."""
        if not self.applied:
            return
        for values, meaning in zip(nodes, self.meanings, strict=True):
            meaning.write_coordinates(values, window, resolution)
        void_nodes(nodes, np.full((2, 1), np.nan), (0, 0), np.empty(1, np.int64))  # of what overflowed


@dataclass(frozen=True)
class Inputs:
    """What is read: all of it may be absent."""

    grid: GridIn | None = None
    mask: MaskIn | None = None
    polygons: PolygonMask | None = None

    @property
    def given_grid(self) -> GridIn:
        """The grid, where there must be one."""
        if self.grid is None:
            raise GridrTypeError("grid must be given, and is None", argument="grid")
        return self.grid

    @property
    def bands(self) -> tuple[SourceBand, ...]:
        """All bands that are read."""
        return (*(self.grid.bands if self.grid else ()), *((self.mask.band,) if self.mask else ()))


# -- outputs ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MaskOut:
    """The dense mask: a band, its data type, and the values for valid and invalid; None for the causes themselves."""

    band: SinkBand
    dtype: AnyDtype
    values: Pair | None

    @classmethod
    def of(
        cls, dataset: BandSink | None, dtype: DTypeLike, values: object, full_shape: Pair, names: Names
    ) -> MaskOut | None:
        """Check the arguments for a dense mask; None where there is none."""
        if dataset is None:
            return None
        name = names.mask_out
        sink: BandSink = checks.writable(dataset, name)
        checks.dataset_shape(sink, name, full_shape, "the full resolution shape")
        _, own = checks.band(1, sink, f"{name}: band 1", name, kinds="biu")
        asked = checks.integer_dtype(dtype, names.mask_out_dtype)
        return cls(SinkBand(sink, 1, name), own, checks.mask_out_values(values, (own, asked), names.mask_out_values))


@dataclass(frozen=True)
class GridOut:
    """The dense grid: its two bands, in the order of the file where they share one.

    Attributes
    ----------
    bands : tuple of SinkBand
    dtypes : tuple of numpy.dtype
        The bands' own.
    swapped : bool
        Whether columns come before rows.
    """

    bands: tuple[SinkBand, SinkBand]
    dtypes: tuple[AnyDtype, AnyDtype]
    swapped: bool = False

    @classmethod
    def of(
        cls, row_ds: object, col_ds: object, row_band: object, col_band: object, full_shape: Pair, names: Names
    ) -> GridOut:
        """Check the arguments for a dense grid."""
        band_names = (names.row_band_out, names.col_band_out)
        ds_names = (names.grid_out, names.grid_out_col)
        found = _coordinate_bands(checks.writable, (row_ds, col_ds), (row_band, col_band), ds_names, band_names, "f")
        for name, (dataset, _, _) in zip(ds_names, found, strict=True):
            checks.dataset_shape(dataset, name, full_shape, "the full resolution shape")
        (row_dataset, row_index, row_dtype), (col_dataset, col_index, col_dtype) = found
        bands = (
            SinkBand(row_dataset, row_index, names.grid_out),
            SinkBand(col_dataset, col_index, names.grid_out if col_dataset is row_dataset else names.grid_out_col),
        )
        if row_dataset is col_dataset and row_index > col_index:
            return cls(bands[::-1], (col_dtype, row_dtype), swapped=True)
        return cls(bands, (row_dtype, col_dtype))

    @property
    def dtype(self) -> AnyDtype:
        """In which both bands are computed; a band of another type is cast."""
        return compiled_for(set(self.dtypes))

    @property
    def limits(self) -> tuple[float, float]:
        """The largest magnitude that each band can hold."""
        return largest_float64_in(self.dtypes[0]), largest_float64_in(self.dtypes[1])


@dataclass(frozen=True)
class Outputs:
    """What is written. At least one is there."""

    grid: GridOut | None = None
    mask: MaskOut | None = None

    @property
    def bands(self) -> tuple[SinkBand, ...]:
        """All bands that are written."""
        return (*(self.grid.bands if self.grid else ()), *((self.mask.band,) if self.mask else ()))


# -- how ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MaskRules:
    """What makes a pixel invalid, and what its coordinates are then.

    Attributes
    ----------
    threshold : Fraction
        A pixel is raster-valid if its valid nodes weigh at least this.
    fill : float or None
        For both coordinates of all invalid pixels; None is NaN where law 5 says that there are no coordinates.
    source_area : pair of pairs of float, or None
        The least and the largest row, and the same of columns, that are inside the source image; None where it does
        not matter.
    """

    threshold: Fraction
    fill: float | None = None
    source_area: tuple[Range, Range] | None = None

    @classmethod
    def of(
        cls,
        threshold: object,
        fill: object,
        grid_out: GridOut | None,
        names: Names,
        source_area: tuple[Range, Range] | None = None,
    ) -> MaskRules:
        """Check the arguments; a fill value must fit in what is written."""
        for dtype in () if grid_out is None or fill is None else grid_out.dtypes:
            checks.fits(fill, dtype, names.fill)
        number = None if fill is None else checks.number(fill, names.fill)
        return cls(checks.binary_threshold(threshold, names.threshold), number, source_area)


@dataclass(frozen=True)
class Limits:
    """What a job may take.

    Attributes
    ----------
    threads : int or None
        None is all that the process may use.
    tile_shape : tuple of int or None
        The largest tile that a thread works on at a time; None leaves it to the package.
    bounds : Bounds
        Of the windows; `plan` lowers its sets of buffers where there are no threads for them.
    """

    threads: int | None
    tile_shape: Pair | None
    bounds: Bounds


@dataclass(frozen=True)
class Job:
    """All that is to be done, put together by `job_of`."""

    name: str
    extent: Extent
    inputs: Inputs
    rules: MaskRules
    outputs: Outputs
    limits: Limits


def job_of(name: str, extent: Extent, inputs: Inputs, rules: MaskRules, outputs: Outputs, limits: Limits) -> Job:
    """Put a job together from its checked parts; refuse outputs that would overwrite an input or one another.

    The grid's bands are read in the order in which they are written, so that one buffer serves both.
    """
    for (dataset, _, argument), band in product(outputs.bands, inputs.bands):
        if _same_file(dataset, band.dataset):
            raise GridrValueError(
                f"an output must not be an input, and {dataset.name!r} is both, {argument} and {band.argument}",
                argument=argument,
            )
    for (dataset, index, argument), (other, other_index, other_argument) in combinations(outputs.bands, 2):
        both = f"{argument} and {other_argument}"
        if dataset is other and index == other_index:
            raise GridrValueError(
                f"two outputs must not share band {index} of {dataset.name!r}, which {both} are", argument=argument
            )
        if dataset is not other and _same_file(dataset, other):
            raise GridrValueError(
                f"two open datasets must not write to one file, and {both} are {dataset.name!r}", argument=argument
            )
    if inputs.grid is not None and outputs.grid is not None and outputs.grid.swapped:
        inputs = Inputs(inputs.grid.swapped(), inputs.mask, inputs.polygons)
    return Job(name, extent, inputs, rules, outputs, limits)


class Warnings:
    """What a call warns of: each sentence is logged when it is known, and kept for the report.

    Attributes
    ----------
    logger : logging.Logger
        Of the call.
    messages : list of str
    """

    def __init__(self, logger: logging.Logger) -> None:
        self.logger = logger
        self.messages: list[str] = []

    def __call__(self, message: str) -> None:
        """Warn."""
        self.messages.append(message)
        self.logger.warning("%s", message)


@dataclass
class Services:
    """What goes along with a job and is no part of what it makes.

    Attributes
    ----------
    warn : Warnings
    counts : Tally or None
        Counts pixels by cause, and the range of the coordinates.
    survey : NodeSurvey or None
        Doubts the grid's nodes.
    watch : Watch or None
        Told of each window as its file gets it.
    progress : Progress, bool or None
        Called with (pixels done, pixels in all) after each window; what it raises ends the job. True shows a bar.
    """

    warn: Warnings
    counts: Tally | None = None
    survey: NodeSurvey | None = None
    watch: Watch | None = None
    progress: Progress | bool | None = None


def warn_of_scaling(bands: Iterable[SourceBand], warn: Warn) -> None:
    """Warn of bands whose scale and offset tags are not applied."""
    for band in bands:
        if scaling_of(band) != (1.0, 0.0):
            warn(f"{_scaling_text(band)}, which are not applied: densify applies a grid's")


def refuse_scaling(band: SourceBand) -> None:
    """Refuse a mask whose values are scaled."""
    if scaling_of(band) != (1.0, 0.0):
        raise GridrValueError(
            f"{band.argument}: {_scaling_text(band)}; a mask must have 1 and 0", argument=band.argument
        )


def _scaling_text(band: SourceBand) -> str:
    scale, offset = scaling_of(band)
    return f"band {band.number} of {band.dataset.name!r} has the scale {scale:g} and the offset {offset:g} in its tags"


# -- checks that the parts share ----------------------------------------------------------------------------------


def _coordinate_bands(
    check: Any, datasets: tuple[Any, Any], bands: tuple[Any, Any], ds_names: Any, band_names: Any, kinds: str
) -> Any:
    """Take the row and the column band of a grid from one dataset or two: of each the dataset, number and data type."""
    row_ds, col_ds = datasets
    check(row_ds, ds_names[0])
    col_name = ds_names[0] if col_ds is None else ds_names[1]
    col_ds = row_ds if col_ds is None else check(col_ds, col_name)
    row_index, row_dtype = checks.band(bands[0], row_ds, band_names[0], ds_names[0], kinds=kinds)
    col_index, col_dtype = checks.band(bands[1], col_ds, band_names[1], col_name, kinds=kinds)
    if row_ds is col_ds and row_index == col_index:
        raise GridrValueError(
            f"{band_names[0]} and {band_names[1]} must differ in one dataset; both are {row_index}",
            argument=band_names[0],
        )
    return (row_ds, row_index, row_dtype), (col_ds, col_index, col_dtype)


def _nodata_values(tag: float | None, grid_nodata: object, name: str) -> list[int | float]:
    """Return a band's tag and the values beside it: a number adds one, a sequence replaces the tag."""
    tag = np.nan if tag is None else tag
    if grid_nodata is None:
        return [tag]
    if isinstance(grid_nodata, np.ndarray) and grid_nodata.ndim == 0:
        grid_nodata = grid_nodata.item()
    if isinstance(grid_nodata, Sequence | np.ndarray) and not isinstance(grid_nodata, str | bytes):
        return [np.nan, *(_number(value, name) for value in grid_nodata)]
    return [tag, _number(grid_nodata, name)]


def _number(value: object, name: str) -> int | float:
    number = checks.number(value, name)
    return int(value) if isinstance(value, Integral) else number


def _as_held(value: int | float, dtype: AnyDtype, name: str) -> float:
    """Return a nodata value as a band of this type holds it, in float64; NaN where the type cannot hold it."""
    if value != value:
        return float("nan")
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return float(np.array(float(value)).astype(dtype))
    try:
        checks.fits(value, dtype, name)
    except GridrValueError:
        return float("nan")
    return float(value)


def _same_file(dataset: Dataset, other: Dataset) -> bool:
    if dataset is other:
        return True
    if str(dataset.name).startswith("/vsi"):
        return bool(dataset.name == other.name)
    # What has no file is in memory: two such datasets of one name are two.
    return os.path.exists(dataset.name) and os.path.realpath(dataset.name) == os.path.realpath(other.name)
