"""What a chain is to do, checked: frozen descriptions of its inputs and outputs, made before anything is read."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import checks
from .dense import compiled_for, largest_float64_in
from .errors import GridrValueError
from .io import Band, Watch
from .rasterize import PolygonMask
from .strips import StripMemory, node_window
from .tally import Tally
from .types import DEFAULT_MEMORY_BUDGET, GridRIOMode, Progress, Validity
from .window import Window


@dataclass(frozen=True)
class MaskIn:
    """The coarse mask: a band, its data type, and the value in it that is valid."""

    band: Band
    dtype: np.dtype[Any]
    valid_value: Any

    @classmethod
    def of(
        cls, dataset: Any, valid_value: Any, band: Any, node_shape: tuple[int, int], why_shape: str
    ) -> MaskIn | None:
        """Check GRIDR's arguments for a coarse mask; None where there is none."""
        if dataset is None:
            return None
        checks.readable(dataset, "mask_in_ds")
        checks.dataset_shape(dataset, "mask_in_ds", node_shape, why_shape)
        index, dtype = checks.band(band, dataset, "mask_in_band", "mask_in_ds", kinds="biuf")
        value = int(Validity.VALID) if valid_value is None else valid_value
        if value != value:  # NaN
            raise GridrValueError("mask_in_unmasked_value must be a number, and nothing equals nan")
        checks.fits(value, dtype, "mask_in_unmasked_value")
        # In the mask's own type, or numpy would compare in float64 and round large integers.
        return cls((dataset, index), dtype, dtype.type(value if dtype.kind == "f" else int(value)))


@dataclass(frozen=True)
class MaskOut:
    """The mask: a dataset whose band 1 is written, its type, and the values for valid and invalid; None is causes."""

    dataset: Any
    dtype: np.dtype[Any]
    values: tuple[int, int] | None

    @classmethod
    def of(cls, dataset: Any, dtype: Any, values: Any, full_shape: tuple[int, int]) -> MaskOut:
        """Check GRIDR's arguments for a dense mask."""
        checks.writable(dataset, "mask_out_ds")
        checks.dataset_shape(dataset, "mask_out_ds", full_shape, "the full resolution shape")
        _, own = checks.band(1, dataset, "band 1", "mask_out_ds", kinds="biu")
        return cls(dataset, own, checks.mask_out_values(values, (own, checks.integer_dtype(dtype, "mask_out_dtype"))))

    @property
    def one_byte(self) -> bool:
        """Whether the causes can stand where the values come."""
        return self.dtype.itemsize == 1


@dataclass(frozen=True)
class GridIn:
    """The coarse grid: its two bands in the order of the output's, and for each the values that mean no data.

    Attributes
    ----------
    bands : tuple of Band
    shape : tuple of int
        Rows and columns of nodes.
    nodata : ndarray of float64 (2, values)
        As the band's own data type holds them; the first is the dataset's tag, NaN where there is none.
    """

    bands: tuple[Band, Band]
    shape: tuple[int, int]
    nodata: NDArray[np.float64]

    @classmethod
    def of(cls, row_ds: Any, col_ds: Any, row_band: Any, col_band: Any, grid_nodata: Any) -> GridIn:
        """Check GRIDR's arguments for a coarse grid."""
        bands, dtypes = _coordinate_bands("grid_in", checks.readable, row_ds, col_ds, row_band, col_band, "biuf")
        shape = (int(row_ds.shape[0]), int(row_ds.shape[1]))
        checks.dataset_shape(bands[1][0], "grid_in_col_ds", shape, "as grid_in_ds has")
        nodata = [
            [_as_held(value, dtype) for value in _nodata_values(dataset.nodatavals[index - 1], grid_nodata)]
            for (dataset, index), dtype in zip(bands, dtypes, strict=True)
        ]
        return cls(bands, shape, np.array(nodata, dtype=np.float64))

    def in_order_of(self, grid_out: GridOut) -> GridIn:
        """Return the bands swapped where the output's are, so that one buffer serves both."""
        return GridIn(self.bands[::-1], self.shape, self.nodata[::-1].copy()) if grid_out.swapped else self


@dataclass(frozen=True)
class GridOut:
    """The dense grid: its two bands, in the order of the file where they share one.

    Attributes
    ----------
    bands : tuple of Band
    swapped : bool
        Whether columns come before rows.
    dtype : numpy.dtype
        In which the kernel computes them.
    dtypes : tuple of numpy.dtype
        The bands' own.
    """

    bands: tuple[Band, Band]
    swapped: bool
    dtype: np.dtype[Any]
    dtypes: tuple[np.dtype[Any], np.dtype[Any]]

    @classmethod
    def of(cls, row_ds: Any, col_ds: Any, row_band: Any, col_band: Any, full_shape: tuple[int, int]) -> GridOut:
        """Check GRIDR's arguments for a dense grid."""
        bands, dtypes = _coordinate_bands("grid_out", checks.writable, row_ds, col_ds, row_band, col_band, "f")
        for name, (dataset, _) in zip(("grid_out_ds", "grid_out_col_ds"), bands, strict=True):
            checks.dataset_shape(dataset, name, full_shape, "the full resolution shape")
        swapped = bands[0][0] is bands[1][0] and bands[0][1] > bands[1][1]
        if swapped:
            bands, dtypes = (bands[1], bands[0]), (dtypes[1], dtypes[0])
        return cls(bands, swapped, compiled_for(set(dtypes)), dtypes)

    @property
    def limits(self) -> tuple[float, float]:
        """The largest magnitude that each band can hold."""
        return largest_float64_in(self.dtypes[0]), largest_float64_in(self.dtypes[1])

    def checked_fill(self, fill: Any) -> float | None:
        """Take `merge_mask_grid`."""
        if fill is None:
            return None
        for dtype in self.dtypes:
            checks.fits(fill, dtype, "merge_mask_grid")
        return float(fill)


def _coordinate_bands(
    prefix: str, check: Any, row_ds: Any, col_ds: Any, row_band: Any, col_band: Any, kinds: str
) -> tuple[tuple[Band, Band], tuple[np.dtype[Any], np.dtype[Any]]]:
    """Take the row and the column band of a grid, from one dataset or two."""
    check(row_ds, f"{prefix}_ds")
    col_name = f"{prefix}_ds" if col_ds is None else f"{prefix}_col_ds"
    col_ds = row_ds if col_ds is None else check(col_ds, col_name)
    row_index, row_dtype = checks.band(row_band, row_ds, f"{prefix}_row_coords_band", f"{prefix}_ds", kinds=kinds)
    col_index, col_dtype = checks.band(col_band, col_ds, f"{prefix}_col_coords_band", col_name, kinds=kinds)
    if row_ds is col_ds and row_index == col_index:
        raise GridrValueError(
            f"{prefix}_row_coords_band and {prefix}_col_coords_band must differ in one dataset; both are {row_index}"
        )
    return ((row_ds, row_index), (col_ds, col_index)), (row_dtype, col_dtype)


def _nodata_values(tag: Any, grid_nodata: Any) -> list[Any]:
    """Return a band's tag and the values beside it: a number adds one, a sequence replaces the tag."""
    tag = np.nan if tag is None else tag
    if grid_nodata is None:
        return [tag]
    if isinstance(grid_nodata, np.ndarray) and grid_nodata.ndim == 0:
        grid_nodata = grid_nodata.item()
    if isinstance(grid_nodata, Sequence | np.ndarray) and not isinstance(grid_nodata, str | bytes):
        return [np.nan, *(_number(value) for value in grid_nodata)]
    return [tag, _number(grid_nodata)]


def _number(value: Any) -> Any:
    checks.number(value, "grid_nodata")
    return value


def _as_held(value: Any, dtype: np.dtype[Any]) -> float:
    """Return a nodata value as a band of this type holds it, in float64; NaN where the type cannot hold it."""
    if value != value:
        return float("nan")
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return float(np.array(float(value)).astype(dtype))
    try:
        checks.fits(value, dtype, "grid_nodata")
    except GridrValueError:
        return float("nan")
    return float(value)


@dataclass(frozen=True)
class Job:
    """All that the strip loop needs to know. At least one of `grid_out` and `mask_out` is there.

    `window` is the part of the dense raster that is made. `tally` counts what `densify` reports; `watch` is told of
    each strip as its file gets it. `memory_budget` bounds the strips' buffers and GDAL's block cache; with
    `whole_blocks` a strip is never less than a row of the outputs' blocks.
    """

    name: str
    resolution: tuple[int, int]
    window: Window
    strip_size: int
    strip_target: GridRIOMode
    threads: int | None
    tile_shape: tuple[int, int] | None
    logger: logging.Logger
    threshold: Fraction
    polygons: PolygonMask | None = None
    mask_in: MaskIn | None = None
    mask_out: MaskOut | None = None
    grid_in: GridIn | None = None
    grid_out: GridOut | None = None
    fill: float | None = None
    progress: Progress | None = None
    tally: Tally | None = None
    watch: Watch | None = None
    memory_budget: int = DEFAULT_MEMORY_BUDGET
    whole_blocks: bool = False

    def __post_init__(self) -> None:
        """Refuse outputs that would overwrite an input or one another."""
        for dataset, _ in self.targets:
            if any(_same_file(dataset, source) for source, _ in self._sources):
                raise GridrValueError(f"an output must not be an input, and {dataset.name!r} is both")
        for (dataset, index), (other, other_index) in combinations(self.targets, 2):
            if dataset is other and index == other_index:
                raise GridrValueError(f"two outputs must not share band {index} of {dataset.name!r}")
            if dataset is not other and _same_file(dataset, other):
                raise GridrValueError(f"two open datasets must not write to one file, {dataset.name!r}")

    @property
    def _sources(self) -> tuple[Band, ...]:
        return (*(self.grid_in.bands if self.grid_in else ()), *((self.mask_in.band,) if self.mask_in else ()))

    @property
    def targets(self) -> tuple[Band, ...]:
        """The bands that are written."""
        return (
            *(self.grid_out.bands if self.grid_out else ()),
            *(((self.mask_out.dataset, 1),) if self.mask_out else ()),
        )

    @property
    def node_cols(self) -> int:
        """Columns of nodes that the window needs."""
        return node_window(self.window, self.resolution)[0].shape[1]

    @property
    def wants_mask(self) -> bool:
        """Whether it matters which pixels the masks make invalid."""
        return self.mask_out is not None or self.fill is not None or self.tally is not None

    def strip_memory(self, buffer_sets: int) -> StripMemory:
        """Return what the strip loop allocates, with buffers for the pixels of one strip or of two."""
        dense, nodes = 0, 0
        if self.grid_out is not None:
            dense += 2 * self.grid_out.dtype.itemsize
            # What the file has in another type is cast, strip by strip.
            dense += sum(dtype.itemsize for dtype in self.grid_out.dtypes if dtype != self.grid_out.dtype)
        if self.wants_mask:
            dense += 1
        if self.mask_out is not None and not self.mask_out.one_byte:
            dense += self.mask_out.dtype.itemsize
        if self.grid_in is not None:
            nodes += 2 * np.dtype(np.float64).itemsize
        if self.mask_in is not None and self.wants_mask:
            nodes += self.mask_in.dtype.itemsize + 1
        dense *= buffer_sets
        if self.polygons is not None and self.wants_mask:
            dense += 2  # at most: what is inside of a set where GDAL burns it, and what that changes
        return StripMemory(dense * self.window.shape[1], nodes * self.node_cols, self.resolution[0])


def _same_file(dataset: Any, other: Any) -> bool:
    if dataset is other:
        return True
    if str(dataset.name).startswith("/vsi"):
        return bool(dataset.name == other.name)
    # What has no file is in memory: two such datasets of one name are two.
    return os.path.exists(dataset.name) and os.path.realpath(dataset.name) == os.path.realpath(other.name)
