"""What a coarse grid holds, found window by window: statistics, void nodes, folds, and what looks like a mistake."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..engine.job import GridIn, Inputs
from ..engine.survey import NodeSurvey
from ..files.bands import WindowReader
from ..files.inputs import open_grid, open_raster
from ..kernels.bilinear import void_nodes
from ..types import FilePath, Pair
from ..window import Window
from .placement import Sources, resolution_doubts, resolution_for

Floats = NDArray[np.float64]

# Nodes read at a time. What is computed from them takes a few times their memory.
_NODES_A_WINDOW = 1 << 20
# Rows read again with the next window: a second difference takes three.
_LEAD = 2


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
        What looks like a mistake, as `densify` warns of it: what was seen, and what to try.
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
    grid: FilePath | Sequence[FilePath],
    *,
    resolution: int | tuple[int, int] | None = None,
    source: object = None,
    grid_order: Literal["row_col", "xy"] = "row_col",
    row_band: int | None = None,
    col_band: int | None = None,
    displacement: bool = False,
    grid_nodata: float | tuple[float, ...] | None = None,
    allow_vrt: bool = False,
) -> GridInfo:
    """Read a coarse grid of any size, window by window, and say what is in it.

    Parameters
    ----------
    grid : path or pair of paths
        A pair is (row file, column file).
    resolution : int or tuple of int, optional
        Dense pixels a node, as in `densify`: where it is known, large displacements are recognised too. Needed with
        `displacement`.
    source : path, optional
        The image that the coordinates look up: its shape says which of them lie in it. Its pixels are not read.
    grid_order, row_band, col_band, displacement, grid_nodata, allow_vrt
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
        image = None if source is None else stack.enter_context(open_raster(source, "source", allow_vrt=allow_vrt))
        sources = Sources(rows, cols, None, image=image)
        as_given = grid_order, row_band, col_band, grid_nodata, displacement, (0.0, 0.0)
        grid_in = Inputs(sources.grid_in(*as_given)).given_grid
        step = resolution_for(displacement, resolution)
        survey = sources.survey(step)
        scan = _Scan(grid_in, survey, step or (1, 1))
        for nodes, first_row, lead in _windows(grid_in):
            scan.add(nodes, first_row, lead)
        row, col = (_band_info(scan, grid_in, index) for index in (0, 1))
        of_place = () if step is None else resolution_doubts(rows.transform, step)
        crs = rows.crs
        return GridInfo(
            shape=grid_in.shape,
            crs=None if crs is None else crs.to_string(),
            row=row,
            col=col,
            void_nodes=grid_in.shape[0] * grid_in.shape[1] - survey.usable,
            cells=survey.cells,
            folded_cells=survey.folded_cells,
            warnings=(*of_place, *(doubt.text for doubt in survey.doubts())),
        )


def _windows(grid_in: GridIn) -> Iterator[tuple[Floats, int, int]]:
    """Yield nodes (2, rows, columns), which row of the grid is their first, and how many of the rows came before."""
    height, width = grid_in.shape
    rows = max(1, _NODES_A_WINDOW // width)
    reader = WindowReader(grid_in.bands, np.float64)
    for start in range(0, height, rows):
        lead = min(_LEAD, start)
        yield reader.read(Window(start - lead, min(start + rows, height), 0, width)), start - lead, lead


@dataclass
class _Scan:
    """What is gathered from window to window beside the survey; arrays have one item a band, then one an axis."""

    grid_in: GridIn
    survey: NodeSurvey
    resolution: Pair
    nodata_nodes: NDArray[np.int64] = field(default_factory=lambda: np.zeros(2, np.int64))
    not_finite_nodes: NDArray[np.int64] = field(default_factory=lambda: np.zeros(2, np.int64))
    bends: Floats = field(default_factory=lambda: np.full((2, 2), -np.inf))

    def add(self, nodes: Floats, first_row: int, lead: int) -> None:
        """Count a window, and make its void nodes NaN; its first `lead` rows were counted before."""
        new = nodes[:, lead:]
        self.not_finite_nodes += np.count_nonzero(~np.isfinite(new), axis=(1, 2))
        for index, values in enumerate(self.grid_in.nodata):
            self.nodata_nodes[index] += np.isin(new[index], values).sum()
        void_nodes(nodes, self.grid_in.nodata, (0, 0), np.empty(1, np.int64))
        window = Window(first_row, first_row + nodes.shape[1], 0, nodes.shape[2])
        self.grid_in.write_coordinates(nodes, window, self.resolution)
        self.survey.add(nodes, (first_row, 0), (lead, 0))
        for axis, bent in ((0, nodes), (1, new)):
            with np.errstate(over="ignore", invalid="ignore"):  # of coordinates near the largest that there are
                second = np.abs(np.diff(bent, 2, axis + 1))
            largest = np.fmax.reduce(second, axis=(1, 2), initial=-np.inf)
            self.bends[:, axis] = np.maximum(self.bends[:, axis], largest)


def _band_info(scan: _Scan, grid_in: GridIn, index: int) -> BandInfo:
    dataset, band, _ = grid_in.bands[index]
    survey = scan.survey
    known = survey.usable > 0
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
        minimum=float(survey.ranges[index, 0]) if known else None,
        maximum=float(survey.ranges[index, 1]) if known else None,
        mean=float(survey.means[index]) if known else None,
        standard_deviation=float(survey.deviations[index]) if known else None,
        bilinear_error=float(bends.sum()) / 8.0 if bends.size else None,
    )
