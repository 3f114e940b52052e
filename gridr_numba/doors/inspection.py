"""What a coarse grid holds, found window by window: statistics, void nodes, folds, and what looks like a mistake."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.job import GridIn
from ..files.bands import WindowReader
from ..files.inputs import open_grid
from ..window import Window
from .placement import NAMES

Floats = NDArray[np.float64]

# Nodes read at a time. What is computed from them takes a few times their memory.
_NODES_A_WINDOW = 1 << 20
# Rows read again with the next window: a second difference takes three.
_LEAD = 2

_DISPLACEMENTS = (
    "the coordinates range over less than half a source pixel a node, along rows and along columns: they look like "
    "displacements, as OTB's grids hold them, to which each node's own position must be added"
)
_X_Y = (
    "the row band changes mostly along columns and the column band along rows: they look like (x, y); exchange "
    "row_band and col_band, unless the source image is turned by about 90 degrees"
)


@dataclass(frozen=True)
class BandInfo:
    """One coordinate of a grid.

    Attributes
    ----------
    file : str
    band : int
    description : str or None
    dtype : str
    nodata : float, 'nan' or None
        The band's tag.
    nodata_nodes, not_finite_nodes : int
        Nodes that equal the tag (or a value given beside it), and that are NaN or infinite.
    minimum, maximum, mean, standard_deviation : float or None
        Over the nodes that are void in neither band, as the scale and offset tags say; None where there is none.
    bilinear_error : float or None
        The largest, estimated: the largest second differences of the nodes along rows and along columns, over 8.
    """

    file: str
    band: int
    description: str | None
    dtype: str
    nodata: float | str | None
    nodata_nodes: int
    not_finite_nodes: int
    minimum: float | None
    maximum: float | None
    mean: float | None
    standard_deviation: float | None
    bilinear_error: float | None


@dataclass(frozen=True)
class GridInfo:
    """What `inspect_grid` found.

    Attributes
    ----------
    shape : tuple of int
        Rows and columns of nodes.
    crs : str or None
    row, col : BandInfo
        Source rows and source columns. The minimum and maximum of the two are the source's bounds.
    void_nodes : int
        Nodes that are not finite or nodata in either band.
    cells, folded_cells : int
        Cells of four nodes of which none is void; those in which the mapping's Jacobian determinant has, somewhere,
        the sign that it has not in most of the grid.
    warnings : tuple of str
    """

    shape: tuple[int, int]
    crs: str | None
    row: BandInfo
    col: BandInfo
    void_nodes: int
    cells: int
    folded_cells: int
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    def to_text(self) -> str:
        """Return lines for people."""
        nodes = self.shape[0] * self.shape[1]
        lines = [
            f"nodes           {self.shape[0]} x {self.shape[1]}, {self.crs or 'no CRS'}",
            *_band_lines("row", self.row),
            *_band_lines("column", self.col),
            f"void nodes      {self.void_nodes:,} of {nodes:,}",
            f"source bounds   rows {_range(self.row)}, columns {_range(self.col)}",
            f"bilinear error  at most about {_figure(self.row.bilinear_error, 3)} rows and"
            f" {_figure(self.col.bilinear_error, 3)} columns",
            f"folds           {self.folded_cells:,} of {self.cells:,} cells",
            *(f"warning: {warning}" for warning in self.warnings),
        ]
        return "\n".join(lines)


def _band_lines(name: str, band: BandInfo) -> Iterator[str]:
    named = "" if band.description is None else f" {band.description!r}"
    yield f"{name:15} band {band.band}{named} of {band.file}, {band.dtype}"
    yield (
        f"                {_range(band)}, mean {_figure(band.mean)}, standard deviation"
        f" {_figure(band.standard_deviation)}"
    )
    tag = "no nodata tag" if band.nodata is None else f"nodata tag {band.nodata}"
    yield f"                {tag}; {band.nodata_nodes:,} nodes are nodata, {band.not_finite_nodes:,} not finite"


def _figure(value: float | None, digits: int = 8) -> str:
    return "unknown" if value is None else f"{value:.{digits}g}"


def _range(band: BandInfo) -> str:
    return "unknown" if band.minimum is None else f"{_figure(band.minimum)} to {_figure(band.maximum)}"


def inspect_grid(
    grid: object,
    *,
    row_band: int = 1,
    col_band: int = 2,
    grid_nodata: float | tuple[float, ...] | None = None,
    allow_vrt: bool = False,
) -> GridInfo:
    """Read a coarse grid of any size, window by window, and say what is in it.

    Parameters
    ----------
    grid : path or pair of paths
        A pair is (row file, column file).
    row_band, col_band, grid_nodata, allow_vrt
        As in `densify`.

    Returns
    -------
    GridInfo

    Raises
    ------
    GridrValueError, GridrTypeError
        For a wrong argument.
    DatasetError
        For a file that cannot be read.
    """
    with ExitStack() as stack:
        rows, cols = open_grid(stack, grid, allow_vrt=allow_vrt)
        grid_in = GridIn.of(rows, cols, row_band, col_band, grid_nodata, NAMES).with_meaning()
        scan = _Scan(grid_in)
        for nodes, lead in _windows(grid_in):
            with np.errstate(over="ignore", invalid="ignore"):  # of coordinates near the largest that there are
                scan.add(nodes, lead)
        row, col = (_band_info(scan, grid_in, index) for index in (0, 1))
        crs = rows.crs
        return GridInfo(
            shape=grid_in.shape,
            crs=None if crs is None else crs.to_string(),
            row=row,
            col=col,
            void_nodes=scan.void,
            cells=scan.cells,
            folded_cells=scan.folded,
            warnings=tuple(_warnings(scan, grid_in.shape)),
        )


def _windows(grid_in: GridIn) -> Iterator[tuple[Floats, int]]:
    """Yield nodes (2, rows, columns) and how many of the rows came before."""
    height, width = grid_in.shape
    rows = max(1, _NODES_A_WINDOW // width)
    reader = WindowReader(grid_in.bands, np.float64)
    for start in range(0, height, rows):
        lead = min(_LEAD, start)
        yield reader.read(Window(start - lead, min(start + rows, height), 0, width)), lead


@dataclass
class _Moments:
    """Count, mean and sum of squared distances from it, merged piece by piece (Chan, Golub and LeVeque)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, values: Floats) -> None:
        if not values.size:
            return
        mean = float(values.mean())
        total = self.count + values.size
        away = mean - self.mean
        self.squares += float(((values - mean) ** 2).sum()) + away**2 * self.count * values.size / total
        self.mean += away * values.size / total
        self.count = total


@dataclass
class _Scan:
    """What is gathered from window to window; arrays have one item a band, then one an axis (rows, columns)."""

    grid_in: GridIn
    void: int = 0
    cells: int = 0
    nodata_nodes: NDArray[np.int64] = field(default_factory=lambda: np.zeros(2, np.int64))
    not_finite_nodes: NDArray[np.int64] = field(default_factory=lambda: np.zeros(2, np.int64))
    moments: tuple[_Moments, _Moments] = field(default_factory=lambda: (_Moments(), _Moments()))
    low: Floats = field(default_factory=lambda: np.full(2, np.inf))
    high: Floats = field(default_factory=lambda: np.full(2, -np.inf))
    steps: Floats = field(default_factory=lambda: np.zeros((2, 2)))
    step_counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros((2, 2), np.int64))
    bends: Floats = field(default_factory=lambda: np.full((2, 2), -np.inf))
    corners: NDArray[np.int64] = field(default_factory=lambda: np.zeros(2, np.int64))
    cells_with: NDArray[np.int64] = field(default_factory=lambda: np.zeros(2, np.int64))

    def add(self, nodes: Floats, lead: int) -> None:
        """Count a window; the first `lead` rows were counted before, and are there for differences."""
        not_finite = np.logical_not(np.isfinite(nodes))
        tagged = np.stack([np.isin(band, values) for band, values in zip(nodes, self.grid_in.nodata, strict=True)])
        void = np.asarray(np.any(not_finite | tagged, axis=0))
        self.void += int(void[lead:].sum())
        self.nodata_nodes += tagged[:, lead:].sum(axis=(1, 2))
        self.not_finite_nodes += not_finite[:, lead:].sum(axis=(1, 2))
        usable = np.where(void, np.nan, nodes)
        self.grid_in.write_coordinates(usable, Window.whole(void.shape), (1, 1))
        new = usable[:, lead:]
        for index in (0, 1):
            values = new[index][np.logical_not(void[lead:])]
            self.moments[index].add(values)
            self.low[index] = min(self.low[index], values.min(initial=np.inf))
            self.high[index] = max(self.high[index], values.max(initial=-np.inf))
        self._add_differences(usable[:, max(lead - 1, 0) :], usable, axis=1)
        self._add_differences(new, new, axis=2)
        self._add_cells(usable[:, max(lead - 1, 0) :])

    def _add_differences(self, for_first: Floats, for_second: Floats, *, axis: int) -> None:
        for index in (0, 1):
            first = np.abs(np.diff(for_first[index], 1, axis - 1))
            second = np.abs(np.diff(for_second[index], 2, axis - 1))
            self.steps[index, axis - 1] += np.nansum(first)
            self.step_counts[index, axis - 1] += np.count_nonzero(~np.isnan(first))
            bend = np.fmax.reduce(second, axis=None, initial=-np.inf)
            self.bends[index, axis - 1] = max(self.bends[index, axis - 1], bend)

    def _add_cells(self, nodes: Floats) -> None:
        """Take the Jacobian's determinant at each cell's corners: it is linear within a cell, so they are extremes."""
        down, right = np.diff(nodes, 1, 1), np.diff(nodes, 1, 2)
        determinants = np.stack(
            [
                down[0][:, cols] * right[1][rows] - down[1][:, cols] * right[0][rows]
                for cols in (slice(None, -1), slice(1, None))
                for rows in (slice(None, -1), slice(1, None))
            ]
        )
        self.cells += int((~np.isnan(determinants).any(axis=0)).sum())
        for index, of_sign in enumerate((determinants > 0, determinants < 0)):
            self.corners[index] += of_sign.sum()
            self.cells_with[index] += of_sign.any(axis=0).sum()

    @property
    def folded(self) -> int:
        """Cells with a corner of the rarer sign."""
        return int(self.cells_with[int(np.argmin(self.corners))]) if self.corners.all() else 0


def _band_info(scan: _Scan, grid_in: GridIn, index: int) -> BandInfo:
    dataset, band, _ = grid_in.bands[index]
    moments = scan.moments[index]
    known = moments.count > 0
    bends = scan.bends[index][np.isfinite(scan.bends[index])]
    tag = dataset.nodatavals[band - 1]
    return BandInfo(
        file=str(dataset.name),
        band=band,
        description=dataset.descriptions[band - 1],
        dtype=str(dataset.dtypes[band - 1]),
        nodata=tag if tag is None or math.isfinite(tag) else str(tag),
        nodata_nodes=int(scan.nodata_nodes[index]),
        not_finite_nodes=int(scan.not_finite_nodes[index]),
        minimum=float(scan.low[index]) if known else None,
        maximum=float(scan.high[index]) if known else None,
        mean=moments.mean if known else None,
        standard_deviation=math.sqrt(moments.squares / moments.count) if known else None,
        bilinear_error=float(bends.sum()) / 8.0 if bends.size else None,
    )


def _warnings(scan: _Scan, shape: tuple[int, int]) -> Iterator[str]:
    """Judge what the bands look like; displacements first, which may change along either axis."""
    if not scan.step_counts.all():
        return  # no two nodes side by side
    if all(scan.high[axis] - scan.low[axis] < 0.5 * (shape[axis] - 1) for axis in (0, 1)):
        yield _DISPLACEMENTS
        return
    (row_down, row_right), (col_down, col_right) = scan.steps / scan.step_counts
    if row_right > row_down and col_down > col_right:
        yield _X_Y
