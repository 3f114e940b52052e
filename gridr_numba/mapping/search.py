"""The coarsest grid whose bilinear interpolation stays within a tolerance of a mapping.

Where a mapping is smooth, the error in a cell of ``r x c`` pixels is at most ``r^2/8 |f_rr| + c^2/8 |f_cc|``: it grows
with the square of the step, along rows and columns apart. So a first look at some cells says which steps to try, and
the tolerance is shared between the two axes. What is chosen was measured: each of its cells at its quarters, edges
included, since midpoints alone miss saddles and odd cubics.

A cell whose error does not fall as it is halved is *torn*: by a dateline, by a jump, at the edge of a projection's
domain. It does not drive the step of the whole grid; whoever asks decides what becomes of it.

A mapping is any callable ``f(rows, cols) -> (source_rows, source_cols)`` on float64 arrays of one shape, integers being
pixel centres; what is not finite has no mapping. Its values must not depend on what else is in the arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import GridrError
from ..types import Pair

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Mapping = Callable[[Floats, Floats], tuple[Floats, Floats]]

# The largest error of a cubic in a cell is at most so many times the largest at the cell's quarters.
MARGIN = 1.15
# Points of a cell along an axis, its first node included.
_PARTS = 4
# Cells along an axis of the first try, at most.
_FIRST_CELLS = 64
# Pixels that are evaluated at a time.
_AT_A_TIME = 1 << 18
# A smooth cell's error falls to a quarter as it is halved, that of a torn one stays.
_FALLS_TO = 0.6
# A grid is good enough if the next try would not have so many times fewer nodes.
_GAIN = 1.12
_TRIES = 12
# A try's steps are at least one part in so many of those before.
_SHRINKS_TO = 4


class OutOfEvaluationsError(GridrError):
    """The mapping would be asked for more pixels than it may be."""


class Counted:
    """A mapping that counts the pixels that it was asked for, and is asked for no more than so many.

    Attributes
    ----------
    evaluations : int
    """

    def __init__(self, mapping: Mapping, at_most: int) -> None:
        self.evaluations = 0
        self._mapping, self._at_most = mapping, at_most

    def on_lattice(self, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> Floats:
        """Return source rows and columns of all pairs, (2, rows, columns)."""
        self._count(len(rows) * len(cols))
        out = np.empty((2, len(rows), len(cols)))
        step = max(1, _AT_A_TIME // len(cols))
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            grid = np.meshgrid(rows[part].astype(np.float64), cols.astype(np.float64), indexing="ij")
            out[0, part], out[1, part] = self._mapping(*grid)
        return out

    def at(self, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> Floats:
        """Return source rows and columns of some pixels, (2, n)."""
        self._count(len(rows))
        out = np.empty((2, len(rows)))
        for start in range(0, len(rows), _AT_A_TIME):
            part = slice(start, start + _AT_A_TIME)
            out[0, part], out[1, part] = self._mapping(rows[part].astype(np.float64), cols[part].astype(np.float64))
        return out

    def _count(self, pixels: int) -> None:
        if self.evaluations + pixels > self._at_most:
            raise OutOfEvaluationsError(
                f"max_evaluations must be larger: the mapping would be asked for more than {self._at_most} pixels",
                argument="max_evaluations",
            )
        self.evaluations += pixels


@dataclass(frozen=True)
class Measured:
    """A grid, and how far it is off at the quarters of its cells.

    Attributes
    ----------
    step : tuple of int
        Dense pixels a node along rows and columns.
    nodes : ndarray of float64 (2, rows, columns)
    errors : ndarray of float64 (cells along rows, cells along columns)
        The largest Euclidean distance in each cell; infinity where there is a mapping in a part of the cell only.
    void : ndarray of bool, of the same shape
        Where no pixel that was looked at has a mapping.
    worst : float
        The largest error outside of torn cells.
    along_rows, along_cols : float
        The same on lines along which only the row, or only the column, is between nodes.
    """

    step: Pair
    nodes: Floats
    errors: Floats
    void: Bools
    worst: float
    along_rows: float
    along_cols: float


def cells_along(length: int, step: int) -> int:
    """Return how many cells cover so many pixels; one pixel has none."""
    return -(-(length - 1) // step)


def tight(length: int, step: int) -> int:
    """Return the least step with as many cells: fewer pixels are covered beyond the last one, and the error is less."""
    step = max(1, min(step, length - 1))
    return max(1, -(-(length - 1) // max(1, cells_along(length, step))))


def nodes_of(mapping: Counted, shape: Pair, step: Pair) -> Floats:
    """Return the mapping at the nodes of a grid that covers the target."""
    rows, cols = (
        np.arange(cells_along(length, each) + 1, dtype=np.int64) * each
        for length, each in zip(shape, step, strict=True)
    )
    return mapping.on_lattice(rows, cols)


class Torn(NamedTuple):
    """Cells of a coarse grid that do not drive the choice of a step."""

    step: Pair
    cells: Bools

    def at(self, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> Bools:
        """Say for each pair of a row and a column whether it lies in one of these cells."""
        row_cells, col_cells = (
            np.minimum(places // step, n - 1)
            for places, step, n in zip((rows, cols), self.step, self.cells.shape, strict=True)
        )
        return self.cells[np.ix_(row_cells, col_cells)]


def measure(mapping: Counted, shape: Pair, step: Pair, torn: Torn | None = None) -> Measured:
    """Measure a grid's error at the quarters of each cell, the target's last row and column included.

    An edge between two cells is measured as the first of the lower or right one.
    """
    nodes = nodes_of(mapping, shape, step)
    (rows, row_cells, down), (cols, col_cells, across) = (
        _quarters(length, each) for length, each in zip(shape, step, strict=True)
    )
    row_starts, col_starts = (np.flatnonzero(np.diff(cells, prepend=-1)) for cells in (row_cells, col_cells))
    errors = np.empty((len(row_starts), len(col_starts)))
    void = np.empty(errors.shape, np.bool_)
    worst = along_rows = along_cols = 0.0
    at_a_time = max(1, _AT_A_TIME // (_PARTS * len(cols)))  # rows of cells
    for first in range(0, len(row_starts), at_a_time):
        starts = row_starts[first : first + at_a_time]
        stop = row_starts[first + at_a_time] if first + at_a_time < len(row_starts) else len(rows)
        part = slice(starts[0], stop)
        true = mapping.on_lattice(rows[part], cols)
        has = np.isfinite(true).all(axis=0)
        with np.errstate(invalid="ignore"):
            error = np.hypot(*(between(nodes, row_cells[part], down[part], col_cells, across) - true))
        error = np.where(has, np.where(np.isfinite(error), error, np.inf), np.nan)
        smooth = error if torn is None else np.where(torn.at(rows[part], cols), 0.0, error)
        worst = max(worst, _largest(smooth))
        along_rows = max(along_rows, _largest(smooth[:, across == 0]))
        along_cols = max(along_cols, _largest(smooth[down[part] == 0]))
        lacks = np.isnan(error)
        some, all_ = (by_cell(how, lacks, starts - starts[0], col_starts) for how in (np.logical_or, np.logical_and))
        of_cell = by_cell(np.fmax, error, starts - starts[0], col_starts)
        errors[first : first + at_a_time] = np.where(some & ~all_, np.inf, np.where(all_, 0.0, of_cell))
        void[first : first + at_a_time] = all_
    return Measured(step, nodes, errors, void, worst, along_rows, along_cols)


def by_cell(how: np.ufunc, values: Any, row_starts: Any, col_starts: Any) -> Any:
    """Reduce values on a lattice, cell by cell."""
    return how.reduceat(how.reduceat(values, col_starts, axis=1), row_starts, axis=0)


def _largest(errors: Floats) -> float:
    return float(np.nanmax(errors, initial=0.0))


def between(
    nodes: Floats, row_cells: NDArray[np.int64], down: Floats, col_cells: NDArray[np.int64], across: Floats
) -> Floats:
    """Interpolate on a lattice: rows and columns of cells, and where in them, from 0 to 1."""
    below = np.minimum(row_cells + 1, nodes.shape[1] - 1)
    right = np.minimum(col_cells + 1, nodes.shape[2] - 1)
    with np.errstate(invalid="ignore"):  # infinities and NaN have no mapping
        spread = nodes[:, :, col_cells] * (1 - across) + nodes[:, :, right] * across
        return spread[:, row_cells] * (1 - down)[:, None] + spread[:, below] * down[:, None]


def _quarters(length: int, step: int) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Return pixels at the quarters of each cell, the last one included: where, in which cell, and where in it."""
    cells = max(1, cells_along(length, step))
    parts = min(_PARTS, step)
    inside = np.unique((np.arange(parts) * step + parts // 2) // parts)
    places = (np.arange(cells, dtype=np.int64)[:, None] * step + inside).ravel()
    places = np.append(places[places < length - 1], length - 1)
    cell = np.minimum(places // step, cells - 1)
    return places, cell, (places - cell * step) / step


def choose(mapping: Counted, shape: Pair, tolerance: float) -> Measured:
    """Choose steps with which the error is within the tolerance wherever the mapping is smooth, and little below it.

    Cells where it is not, `Measured.errors` tells. Where evaluations run out, or steps, these are the finest grid's.
    """
    goal = tolerance / MARGIN
    best: Measured | None = None
    torn: Torn | None = None
    found = finest = measure(mapping, shape, _first_step(shape))
    try:
        if found.worst > goal:
            torn = _torn(mapping, shape, found, goal)
            if torn is not None:
                found = measure(mapping, shape, found.step, torn)
        for tried in range(1, _TRIES + 1):
            if found.nodes.size > finest.nodes.size:
                finest = found
            if found.worst <= goal and (best is None or found.nodes.size < best.nodes.size):
                best = found
            step = _next_step(shape, found, goal)
            if best is None and step == found.step:
                step = _shorter(shape, step)
            if tried == _TRIES or step == found.step or (best is not None and not _worth_a_try(shape, step, best)):
                break
            found = measure(mapping, shape, step, torn)
    except OutOfEvaluationsError:  # the finest so far is the answer
        pass
    return best or finest


def _first_step(shape: Pair) -> Pair:
    """Return steps that can be halved, but for those of one pixel."""
    rows, cols = (tight(n, -(-(n - 1) // _FIRST_CELLS)) for n in shape)
    return rows + (rows > 1) * (rows % 2), cols + (cols > 1) * (cols % 2)


def _next_step(shape: Pair, found: Measured, goal: float) -> Pair:
    """Return the steps at which the error is expected to be just within the goal, each axis having its half of it."""
    longest = [max(1, n - 1) for n in shape]
    if not np.isfinite(found.worst):
        return _shorter(shape, found.step, 0.5)
    if found.worst == 0.0:
        return longest[0], longest[1]
    by_axis = [max(each, 1e-4 * found.worst) for each in (found.along_rows, found.along_cols)]
    # The two are not of one place and direction, so their sum is too much; of a saddle it is too little.
    scale = max(0.5, found.worst / sum(by_axis))
    rates = [scale * error / step**2 for error, step in zip(by_axis, found.step, strict=True)]
    steps = [sqrt(goal / 2 / rate) for rate in rates]
    for axis in (0, 1):  # an axis of one cell leaves its share to the other
        if steps[axis] >= longest[axis]:
            left = goal - rates[axis] * longest[axis] ** 2
            steps[1 - axis] = sqrt(max(left, goal / 2) / rates[1 - axis])
            break
    if found.worst > goal and all(step >= before for step, before in zip(steps, found.step, strict=True)):
        return _shorter(shape, found.step)  # the estimate says more, and what was measured says less
    # Where the mapping is wild, not all evaluations at once.
    rows, cols = (
        tight(n, max(1, int(max(step, before / _SHRINKS_TO))))
        for n, step, before in zip(shape, steps, found.step, strict=True)
    )
    return rows, cols


def _shorter(shape: Pair, step: Pair, factor: float = 0.9) -> Pair:
    """Return shorter steps, where they are not 1 already."""
    rows, cols = (tight(n, max(1, min(each - 1, int(factor * each)))) for n, each in zip(shape, step, strict=True))
    return rows, cols


def _worth_a_try(shape: Pair, step: Pair, best: Measured) -> bool:
    """Say whether a step would need fewer nodes than the best so far, by so much that it pays to measure."""
    nodes = [cells_along(n, each) + 1 for n, each in zip(shape, step, strict=True)]
    return 2 * nodes[0] * nodes[1] * _GAIN <= best.nodes.size


def _torn(mapping: Counted, shape: Pair, coarse: Measured, goal: float) -> Torn | None:
    """Say in which cells of the first try halving the step does not help; None where that is in none, or in most."""
    parts = [2 if each > 1 else 1 for each in coarse.step]
    fine = measure(mapping, shape, (coarse.step[0] // parts[0], coarse.step[1] // parts[1]))
    starts = (np.arange(0, n, part) for n, part in zip(fine.errors.shape, parts, strict=True))
    within = by_cell(np.maximum, fine.errors, *starts)
    torn = (within > goal) & ~(within < _FALLS_TO * coarse.errors)
    return Torn(coarse.step, torn) if torn.any() and torn.mean() < 0.5 else None
