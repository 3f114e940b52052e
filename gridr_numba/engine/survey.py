"""Whether a grid's nodes look like what this package takes them for, gathered window by window.

One accumulator for all doors; its memory does not grow. What is doubted is how the coordinates that are *used* follow
the nodes' positions: the sign of the Jacobian tells a mirrored source, for which exchanged bands are the usual cause;
the slope and the remainder of a least-squares fit tell positions from displacements and from longitudes and latitudes;
a Jacobian whose sign changes everywhere is no mapping at all; and where a source image is known, its shape says which
coordinates lie in it; where the grid's CRS is known, its area says which are a map's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..georef import pixel_area
from ..kernels.survey import no_sums, survey
from ..types import Pair, Range

Floats = NDArray[np.float64]

# Fewer cells than this say too little of order and scale, and fewer than the other of noise.
_CELLS_TO_JUDGE = 16
_CELLS_TO_SEE_NOISE = 100
# Source pixels a node. Positions change by a node's step, of the target's pixels; by less than the first only where a
# source pixel is as wide as several nodes, by less than the second never.
_SMALL_SLOPE = 0.5
_NO_SLOPE = 0.05
# Of the corners of cells: of the rarer sign, in a grid of positions with folds, and with so many that it is none.
_FEW_FOLDS = 0.1
_TOO_MANY_FOLDS = 0.25
# Of the variance of each band, what a linear mapping leaves in a grid of positions: relief, a map projection.
_SMALL_REMAINDER = 0.01
# The condition number of the covariance of nodes' places where all lie in one row, or nearly.
_IN_A_LINE = 1e10
# How near to a rotation of the raster positions are that were displacements of it.
_NEARLY_RIGID = 0.05
# Of the nodes, how many fewer would lie in the source with exchanged bands where that acquits them.
_MANY_FEWER = 0.1
# Of the nodes, so few lie in the source that it is hardly meant.
_FEW_INSIDE = 0.05
# Pixels from its first one that images do not have, and the coordinates of most maps are.
_BEYOND_IMAGES = 300_000


class Trouble(StrEnum):
    """What is wrong with nodes as a whole, in a word or two."""

    MAP = "map coordinates"
    GEOGRAPHIC = "longitudes and latitudes"
    DISPLACEMENTS = "displacements"
    FLAT = "flat"
    FOLDED = "folded"
    MIRRORED = "mirrored"
    EXCHANGED = "exchanged"
    ELSEWHERE = "elsewhere"


class Doubt(NamedTuple):
    """What looks like a mistake: in a word, and what was seen and what to try."""

    trouble: Trouble
    text: str


class Fit(NamedTuple):
    """The linear mapping from nodes to coordinates with the least squared errors.

    Attributes
    ----------
    slope : ndarray (2, 2)
        Source rows a node down and a node to the right; source columns likewise.
    remainder : ndarray (2,)
        Of the variance of source rows and of source columns, the part that it leaves.
    """

    slope: Floats
    remainder: Floats

    @property
    def steps(self) -> tuple[float, float]:
        """The largest and the smallest change a node in any direction."""
        largest, smallest = np.linalg.svd(self.slope, compute_uv=False)
        return float(largest), float(smallest)


class NodeSurvey:
    """Gathers what nodes hold, each node once.

    Parameters
    ----------
    resolution : tuple of int, optional
        Dense pixels a node, where it is known: how displacements of a turned raster are told from positions.
    source_shape : tuple of int, optional
        Rows and columns of the image that the coordinates look up, where it is known.
    map_area : callable, optional
        Returns the least and the largest x, and y, of the map that the grid lies on, or None; called if it matters.
    """

    def __init__(
        self,
        resolution: Pair | None = None,
        source_shape: Pair | None = None,
        map_area: Callable[[], tuple[Range, Range] | None] | None = None,
    ) -> None:
        self._resolution, self._source_shape, self._map_area = resolution, source_shape, map_area
        sizes = (np.inf, np.inf) if source_shape is None else source_shape
        self._source = np.array([pixel_area(size) for size in sizes])
        self._sums = no_sums()

    def add(self, nodes: Floats, first: Pair, counted_from: Pair) -> None:
        """Count a window of nodes.

        Parameters
        ----------
        nodes : ndarray of float64 (2, rows, columns)
            Source rows, source columns; void nodes are NaN in both.
        first : tuple of int
            Row and column of the window's first node.
        counted_from : tuple of int
            Its first row and its first column that were not counted with another window.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # uncompiled, the kernel would warn of huge coordinates
            survey(nodes, first, counted_from, self._source, self._sums)

    @property
    def usable(self) -> int:
        """Nodes that are not void."""
        return int(self._sums.products[0, 0])

    @property
    def ranges(self) -> Floats:
        """Of source rows and of source columns the least and the largest; infinities where there is none."""
        return self._sums.ranges

    @property
    def means(self) -> Floats:
        """Of source rows and of source columns."""
        means: Floats = self._sums.reference[2:] + self._sums.products[0, 3:] / self.usable
        return means

    @property
    def deviations(self) -> Floats:
        """Of source rows and of source columns the standard deviations."""
        deviations: Floats = np.sqrt(np.maximum(np.diag(self._covariance)[2:], 0.0))
        return deviations

    @property
    def cells(self) -> int:
        """Cells of four nodes of which none is void."""
        return int(self._sums.cells[0])

    @property
    def folded_cells(self) -> int:
        """Cells with a corner where the Jacobian's determinant has the sign that is rarer in the grid."""
        corners, cells = self._sums.signs.T
        return int(cells[np.argmin(corners)]) if corners.all() else 0

    @property
    def fit(self) -> Fit | None:
        """None where the nodes do not tell: too few, all in a line, or of a magnitude that breaks the arithmetic."""
        covariance = self._covariance
        places, across, values = covariance[:2, :2], covariance[:2, 2:], covariance[2:, 2:]
        if not np.isfinite(covariance).all() or np.linalg.cond(places) > _IN_A_LINE:
            return None
        slope: Floats = np.linalg.solve(places, across).T.astype(np.float64)
        left, whole = np.diag(values - slope @ across), np.diag(values)
        remainder: Floats = np.divide(left, whole, out=np.ones(2), where=whole > 0.0)
        return Fit(slope, np.clip(remainder, 0.0, 1.0))

    @property
    def _covariance(self) -> Floats:
        """Of (row, column, source row, source column)."""
        upper = self._sums.products
        products = np.triu(upper) + np.triu(upper, 1).T
        if not upper[0, 0]:
            return np.full((4, 4), np.nan)
        with np.errstate(over="ignore", invalid="ignore"):
            means = products[0, 1:] / products[0, 0]
            covariance: Floats = products[1:, 1:] / products[0, 0] - np.outer(means, means)
        return covariance

    # -- what looks wrong ---------------------------------------------------------------------------------------------

    def doubts(self) -> Iterator[Doubt]:
        """Say what looks like a mistake: what was seen, and what to try."""
        fit = self.fit
        if fit is None or self.cells < _CELLS_TO_JUDGE:
            return
        if self._on_the_map(fit):
            yield Doubt(
                Trouble.MAP,
                f"{self._where}, beyond any image and within the area of the grid's CRS: they look like map "
                "coordinates, not like pixels of a source; bring them to the source's rows and columns first "
                "(map_to_pixel does, with its transform)",
            )
        elif self._not_positions(fit):
            yield self._not_positions_but(fit)
        elif self._sums.signs[:, 0].sum() < 2 * self.cells:
            yield Doubt(
                Trouble.FLAT,
                f"most cells of the grid have no area in the source: {self._where}, and one does not change, or both "
                "change alike; look whether row_band and col_band are the rows and columns of a grid, and not an "
                "image's bands",
            )
        elif self._folds <= _TOO_MANY_FOLDS:
            yield from self._misplaced(fit)
        elif self.cells >= _CELLS_TO_SEE_NOISE:
            yield Doubt(
                Trouble.FOLDED,
                f"the grid turns back on itself at {100 * self._folds:.0f} % of its cells' corners, which source "
                "positions do not: the bands look like those of an image, which is no grid, or like displacements; for "
                "these pass displacement=True",
            )

    def _on_the_map(self, fit: Fit) -> bool:
        """Say whether these are x and y on the grid's own map, in either order, where no image has pixels."""
        if self._map_area is None or (self._source_shape is not None and self._inside[0] >= _FEW_INSIDE):
            return False
        from_first_pixel = np.maximum(np.maximum(self.ranges[:, 0], -self.ranges[:, 1]), 0.0)
        if from_first_pixel.max() < _BEYOND_IMAGES or self._folds >= _FEW_FOLDS:
            return False
        area = self._map_area()
        if area is None:
            return False
        low, high = np.transpose(area)
        within = [bool(((low <= place) & (place <= high)).all()) for place in (self.means, self.means[::-1])]
        return any(within) and bool(fit.remainder.max() < _SMALL_REMAINDER)

    @property
    def _folds(self) -> float:
        """Of the corners of cells that have a sign, those of the rarer one."""
        corners = self._sums.signs[:, 0]
        return float(corners.min() / max(corners.sum(), 1))

    @property
    def _inside(self) -> tuple[float, float]:
        """Of the nodes, those that look into the source: as they are, and with the bands exchanged."""
        as_it_is, exchanged = self._sums.inside / max(self.usable, 1)
        return float(as_it_is), float(exchanged)

    def _not_positions(self, fit: Fit) -> bool:
        """Say whether the coordinates are too small a change from node to node, or one that a turned raster makes."""
        largest, smallest = fit.steps
        if largest < _SMALL_SLOPE:
            linear = fit.remainder.max() < _SMALL_REMAINDER and self._folds < _FEW_FOLDS
            return not (linear and _upright(fit.slope) and smallest >= _NO_SLOPE and self._inside[0] >= 0.5)
        if self._resolution is None:
            return False
        slope = fit.slope / np.array(self._resolution)
        moved = slope + np.eye(2)
        of_moved, of_slope = (np.linalg.svd(each, compute_uv=False) for each in (moved, slope))
        rigid, rigid_already = (bool(np.all(np.abs(each - 1.0) < _NEARLY_RIGID)) for each in (of_moved, of_slope))
        return rigid and not rigid_already and _upright(moved) and not _upright(slope)

    def _not_positions_but(self, fit: Fit) -> Doubt:
        largest, _ = fit.steps
        if self._looks_geographic(fit):
            return Doubt(
                Trouble.GEOGRAPHIC,
                f"{self._where}, and they change by at most {largest:.2g} a node: they look like longitudes and "
                "latitudes, not like pixels of a source; bring them to the source's rows and columns first "
                "(map_to_pixel does, with its transform)",
            )
        return Doubt(
            Trouble.DISPLACEMENTS,
            f"on the whole the coordinates change by at most {largest:.2g} source pixels a node: they look like "
            "displacements, as OTB's grids hold them, to which each node's own position must be added; pass "
            "displacement=True, unless these bands are an image's and no grid's at all",
        )

    def _looks_geographic(self, fit: Fit) -> bool:
        """Say whether these are longitudes and latitudes: nearly linear in the nodes, within range, and far from 0."""
        furthest = np.abs(self.ranges).max(axis=1)
        spread = self.ranges[:, 1] - self.ranges[:, 0]
        return bool(
            fit.remainder.max() < _SMALL_REMAINDER
            and self._folds < _FEW_FOLDS
            and furthest.min() <= 90.0
            and furthest.max() <= 360.0
            and (furthest > 2.0 * spread).any()
        )

    def _misplaced(self, fit: Fit) -> Iterator[Doubt]:
        """Doubt the order of the bands, and where they look.

        Grids may reach far past an image, and windows of them more so: that alone is nothing to warn of.
        """
        inside, exchanged = self._inside
        over, under = self._sums.signs[:, 0]
        source = "an image" if self._source_shape is None else f"the source of {self._source_shape} rows and columns"
        seen = f"{self._where}: {100 * inside:.0f} % of the nodes lie in {source}"
        if under > over and self._folds < _FEW_FOLDS and exchanged > inside - _MANY_FEWER:
            (row_down, row_right), (col_down, col_right) = fit.slope
            yield Doubt(
                Trouble.MIRRORED,
                f"the grid mirrors the source (a node down is {row_down:+.3g} rows and {col_down:+.3g} columns of it, "
                f"a node to the right {row_right:+.3g} rows and {col_right:+.3g} columns): they look like (x, y); "
                "exchange row_band and col_band (see grid_order), unless the source or the raster is a mirrored one, "
                "as with rows from south to north",
            )
        elif inside < _FEW_INSIDE < exchanged:
            yield Doubt(
                Trouble.EXCHANGED,
                f"{seen}, and {100 * exchanged:.0f} % would with rows and columns exchanged: they look like (x, y); "
                "exchange row_band and col_band (see grid_order)",
            )
        elif inside < _FEW_INSIDE:
            yield Doubt(
                Trouble.ELSEWHERE,
                f"{seen}; if they are displacements pass displacement=True, and if they count from the corner of a "
                "larger image source_offset",
            )

    @property
    def _where(self) -> str:
        (row_low, row_high), (col_low, col_high) = self.ranges
        return f"source rows are {row_low:.6g} to {row_high:.6g}, columns {col_low:.6g} to {col_high:.6g}"


def _upright(slope: Floats) -> bool:
    """Say whether down is down and right is right, within 45 degrees."""
    return bool(slope[0, 0] > abs(slope[0, 1]) and slope[1, 1] > abs(slope[1, 0]))
