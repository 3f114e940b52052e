"""The coarsest grid whose bilinear interpolation stays within a tolerance of a mapping.

Where a mapping is smooth, the error in a cell of ``r x c`` pixels is at most ``r^2/8 |f_rr| + c^2/8 |f_cc|``: it grows
with the square of the step, along rows and columns apart. So a look at a few cells says which steps to try: of those
with which every cell is expected within the tolerance, the pair with the fewest nodes. What is chosen was measured:
each of its cells at its quarters, edges included, since midpoints alone miss saddles and odd cubics.

A cell whose error does not fall as it is halved is *torn*: by a dateline, by a jump, at the edge of a projection's
domain. Neither it nor the cells that touch it, which share its nodes, drive the step of the whole grid; whoever asks
decides what becomes of them.

A mapping is any callable ``f(rows, cols) -> (source_rows, source_cols)`` on float64 arrays of one shape, integers being
pixel centres; what is not finite has no mapping. Its values must not depend on what else is in the arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import GridrValueError
from ..types import Pair

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Bools = NDArray[np.bool_]
Mapping = Callable[[Floats, Floats], tuple[Floats, Floats]]

# The largest error of a cubic in a cell is at most so many times the largest at the cell's quarters.
MARGIN = 1.15
# Points of a cell along an axis, its first node included; of steps whose quarters are far from whole pixels, some more.
_PARTS = 4
_PARTS_OF_STEPS = {5: 5, 6: 6, 9: 5, 10: 5}
# Cells along an axis of the first try, at most; and at least, of a try in which something is torn: all around a tear is
# lost, and what is torn is told by small cells from what merely bends.
_FIRST_CELLS = 16
_CELLS_WHERE_TORN = 64
# Pixels that are evaluated at a time.
_AT_A_TIME = 1 << 18
# A smooth cell's error falls to a quarter as it is halved, that of a torn one stays.
_FALLS_TO = 0.6
# A try aims a little below the goal, so that the first is good enough.
_AIMS_AT = 0.97
# A grid is good enough if the next try would not have so many times fewer nodes.
_GAIN = 1.12
_TRIES = 12
# A try's steps are at least one part in so many of those before.
_SHRINKS_TO = 8
# Where something is torn, a try is given no more than such a share of all evaluations: the mapping bends ever more
# towards a pole or the edge of a disc, and no step would do.
_SHARE_WHERE_TORN = 0.125
# Steps along rows among which a try's is chosen.
_CHOICES = 200


class OutOfEvaluationsError(GridrValueError):
    """The mapping would be asked for more pixels than it may be."""


class Counted:
    """A mapping that counts the pixels that it was asked for, and is asked for no more than so many.

    Attributes
    ----------
    evaluations, at_most : int
    short : bool
        Whether a finer grid was wanted than could be afforded.
    """

    def __init__(self, mapping: Mapping, at_most: int) -> None:
        self.evaluations, self.at_most, self.short = 0, at_most, False
        self._mapping = mapping

    def on_lattice(self, rows: Integers, cols: Integers) -> Floats:
        """Return source rows and columns of all pairs, (2, rows, columns)."""
        self._count(len(rows) * len(cols))
        out = np.empty((2, len(rows), len(cols)))
        step = max(1, _AT_A_TIME // len(cols))
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            grid = np.meshgrid(rows[part].astype(np.float64), cols.astype(np.float64), indexing="ij")
            out[0, part], out[1, part] = self._mapping(*grid)
        return out

    def at(self, rows: Integers, cols: Integers) -> Floats:
        """Return source rows and columns of some pixels, (2, n)."""
        self._count(len(rows))
        out = np.empty((2, len(rows)))
        for start in range(0, len(rows), _AT_A_TIME):
            part = slice(start, start + _AT_A_TIME)
            out[0, part], out[1, part] = self._mapping(rows[part].astype(np.float64), cols[part].astype(np.float64))
        return out

    def _count(self, pixels: int) -> None:
        if self.evaluations + pixels > self.at_most:
            raise OutOfEvaluationsError(
                f"max_evaluations must be larger: the mapping would be asked for more than {self.at_most} pixels",
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
    along_rows, along_cols : ndarray of float64, of the same shape
        The same on the edges along which only the row, or only the column, is between nodes.
    void : ndarray of bool, of the same shape
        Where no pixel that was looked at has a mapping.
    torn : ndarray of bool, of the same shape
        Where the error is too large, and does not fall as the cell is halved; nowhere, where it is so in most cells.
    """

    step: Pair
    nodes: Floats
    errors: Floats
    along_rows: Floats
    along_cols: Floats
    void: Bools
    torn: Bools

    @cached_property
    def driving(self) -> Bools:
        """Which cells the step is for: none that is torn or shares a node with one that is."""
        driving = np.ones(self.torn.shape, np.bool_)
        for row, col in np.argwhere(self.torn):
            driving[max(0, row - 1) : row + 2, max(0, col - 1) : col + 2] = False
        return driving

    @property
    def worst(self) -> float:
        """The largest error of these cells."""
        return float(self.errors[self.driving].max(initial=0.0))


def cells_along(length: int, step: int) -> int:
    """Return how many cells cover so many pixels; one pixel has none."""
    return -(-(length - 1) // step)


def tight(length: int, step: int) -> int:
    """Return the least step with as many cells: fewer pixels are covered beyond the last one, and the error is less."""
    step = max(1, min(step, length - 1))
    return max(1, -(-(length - 1) // max(1, cells_along(length, step))))


def _parts(step: int) -> int:
    """Return into how many parts a cell is cut to be looked at."""
    return min(step, _PARTS_OF_STEPS.get(step, _PARTS))


def nodes_of(mapping: Counted, shape: Pair, step: Pair) -> Floats:
    """Return the mapping at the nodes of a grid that covers the target."""
    rows, cols = (
        np.arange(cells_along(length, each) + 1, dtype=np.int64) * each
        for length, each in zip(shape, step, strict=True)
    )
    return mapping.on_lattice(rows, cols)


# -- measuring ----------------------------------------------------------------------------------------------------


class Between(NamedTuple):
    """Places on an axis between two of some others: which, and how far from the first to the second, from 0 to 1."""

    first: Integers
    second: Integers
    part: Floats

    def of(self, places: slice, offset: int = 0) -> Between:
        """Return those of some places; what they lie between is counted from `offset`."""
        return Between(self.first[places] - offset, self.second[places] - offset, self.part[places])


class Axis(NamedTuple):
    """Where cells are looked at along an axis: at their quarters, and at the last pixel of the target.

    Attributes
    ----------
    places : ndarray of int64 (n,)
    starts : ndarray of int64
        The number of each cell's first place.
    nodes, halves : Between
        Of the places: nodes; and the places that are nodes of a grid of half the step.
    """

    places: Integers
    starts: Integers
    nodes: Between
    halves: Between

    @classmethod
    def of(cls, length: int, step: int) -> Axis:
        """Find the places."""
        cells = max(1, cells_along(length, step))
        parts = _parts(step)
        inside = np.unique((np.arange(parts) * step + parts // 2) // parts)
        places = (np.arange(cells, dtype=np.int64)[:, None] * step + inside).ravel()
        places = np.append(places[places < length - 1], length - 1)
        cell = np.minimum(places // step, cells - 1)
        offset = places - cell * step
        nodes = Between(cell, np.minimum(cell + 1, cells_along(length, step)), offset / step)
        half = np.isin(offset, (0, inside[len(inside) // 2]))
        half[-1] = True
        these = np.flatnonzero(half)
        before = np.cumsum(half) - 1
        first, second = these[before], these[np.minimum(before + 1, len(these) - 1)]
        part = (places - places[first]) / np.maximum(places[second] - places[first], 1)
        return cls(places, np.flatnonzero(np.diff(cell, prepend=-1)), nodes, Between(first, second, part))

    def strips(self, places_at_a_time: int) -> Iterator[tuple[slice, slice]]:
        """Cut into whole cells: yield which cells, and which places."""
        cells, last = max(1, places_at_a_time // _PARTS), len(self.starts)
        for start in range(0, last, cells):
            stop = min(start + cells, last)
            end = len(self.places) if stop == last else int(self.starts[stop])
            yield slice(start, stop), slice(int(self.starts[start]), end)


def measure(mapping: Counted, shape: Pair, step: Pair, goal: float = np.inf) -> Measured:
    """Measure a grid's error at the quarters of each cell, the target's last row and column included.

    An edge between two cells is measured as the first of the lower or right one. Only cells whose error is above the
    goal are torn.
    """
    nodes = nodes_of(mapping, shape, step)
    down, across = (Axis.of(length, each) for length, each in zip(shape, step, strict=True))
    errors, halved, along_rows, along_cols = np.zeros((4, len(down.starts), len(across.starts)))
    void = np.zeros(errors.shape, np.bool_)
    for cells, places in down.strips(_AT_A_TIME // len(across.places)):
        beside = slice(places.start, places.stop + 1)  # the next cell's first row is this one's last
        true = mapping.on_lattice(down.places[beside], across.places)
        here = true[:, : places.stop - places.start]
        error = _error(nodes, down.nodes.of(places), across.nodes, here)
        row_starts = down.starts[cells] - places.start
        errors[cells], void[cells] = _errors_of_cells(error, row_starts, across.starts)
        along_rows[cells] = np.fmax.reduceat(error[:, across.starts], row_starts, axis=0)
        along_cols[cells] = np.fmax.reduceat(error[row_starts], across.starts, axis=1)
        if (errors[cells] > goal).any():
            error = _error(true, down.halves.of(places, places.start), across.halves, here)
            halved[cells], _ = _errors_of_cells(error, row_starts, across.starts)
    torn = (errors > goal) & (np.isinf(errors) | ~(halved < _FALLS_TO * errors))
    if torn.sum() >= 0.5 * (~void).sum():
        torn[:] = False
    along_rows, along_cols = (np.nan_to_num(each, posinf=np.inf) for each in (along_rows, along_cols))
    return Measured(step, nodes, errors, along_rows, along_cols, void, torn)


def _error(values: Floats, down: Between, across: Between, true: Floats) -> Floats:
    """Return how far values that are interpolated are off: NaN where nothing is true, infinity where there is none."""
    with np.errstate(invalid="ignore"):  # infinities and NaN have no mapping
        spread = values[:, :, across.first] * (1 - across.part) + values[:, :, across.second] * across.part
        part = down.part[:, np.newaxis]
        off = spread[:, down.first] * (1 - part) + spread[:, down.second] * part
        error: Floats = np.hypot(*np.subtract(off, true, out=off))
    if np.isfinite(error).all():
        return error
    return np.where(np.isfinite(true).all(axis=0), np.where(np.isfinite(error), error, np.inf), np.nan)


def _errors_of_cells(error: Floats, row_starts: Integers, col_starts: Integers) -> tuple[Floats, Bools]:
    """Return each cell's largest error, infinity where a part of it has no mapping; and which have none at all."""
    largest = _by_cell(np.fmax, error, row_starts, col_starts)
    lacks = np.isnan(error)
    if not lacks.any():
        return largest, np.zeros(largest.shape, np.bool_)
    some, void = (_by_cell(how, lacks, row_starts, col_starts) for how in (np.logical_or, np.logical_and))
    return np.where(void, 0.0, np.where(some, np.inf, largest)), void


def _by_cell(how: np.ufunc, values: Any, row_starts: Integers, col_starts: Integers) -> Any:
    """Reduce values on a lattice, cell by cell."""
    return how.reduceat(how.reduceat(values, row_starts, axis=0), col_starts, axis=1)


# -- choosing -----------------------------------------------------------------------------------------------------


def choose(mapping: Counted, shape: Pair, tolerance: float) -> Measured:
    """Choose steps with which the error is within the tolerance wherever the mapping is smooth, and little below it.

    Cells where it is not, `Measured.errors` tells. Where evaluations run out, or steps, these are the finest grid's.
    """
    goal = tolerance / MARGIN
    best: Measured | None = None
    found = finest = measure(mapping, shape, _steps_for(shape, _FIRST_CELLS), goal)
    for _ in range(_TRIES):
        longest = _steps_for(shape, _CELLS_WHERE_TORN if found.torn.any() else 1)
        fits = found.worst <= goal and all(step <= most for step, most in zip(found.step, longest, strict=True))
        if fits and (best is None or found.nodes.size < best.nodes.size):
            best = found
        wanted = _next_step(shape, found, goal, longest)
        if best is None and wanted == found.step:
            wanted = _shorter(shape, wanted)
        step = _affordable(mapping, shape, found, wanted)
        mapping.short |= best is None and step != wanted
        if step == found.step or (best is not None and not _worth_a_try(shape, step, best)):
            break
        try:
            found = measure(mapping, shape, step, goal)
        except OutOfEvaluationsError:
            mapping.short |= best is None
            break
        finest = max(finest, found, key=lambda each: each.nodes.size)
        if step != wanted:  # nor can more be afforded
            break
    return best or finest


def _steps_for(shape: Pair, cells: int) -> Pair:
    """Return the longest steps of so many cells along an axis, or as many as there are."""
    rows, cols = (tight(n, -(-(n - 1) // cells)) for n in shape)
    return rows, cols


def _next_step(shape: Pair, found: Measured, goal: float, longest: Pair) -> Pair:
    """Return the steps of the fewest nodes with which each driving cell is expected to be just within the goal."""
    if not np.isfinite(found.worst):
        return _shorter(shape, found.step, 0.5)
    wanted = _fewest_nodes(shape, found, _AIMS_AT * goal, longest)
    if found.worst > goal and all(step >= before for step, before in zip(wanted, found.step, strict=True)):
        return _shorter(shape, found.step)  # the estimate says more, and what was measured says less
    # Where the mapping is wild, not all evaluations at once.
    rows, cols = (
        tight(n, max(step, before // _SHRINKS_TO)) for n, step, before in zip(shape, wanted, found.step, strict=True)
    )
    return rows, cols


def _fewest_nodes(shape: Pair, found: Measured, goal: float, longest: Pair) -> Pair:
    """Return the steps of the fewest nodes, where errors along rows and columns grow with the squares of the steps."""
    down, across, whole = (each[found.driving] for each in (found.along_rows, found.along_cols, found.errors))
    least = 1e-4 * max(found.worst, 1e-4 * goal)
    down, across = np.maximum(down, least), np.maximum(across, least)
    # The two have not one direction, so their sum is too much; of a saddle it is too little.
    scale = np.maximum(0.5, whole / (down + across))
    by_row, by_col = (scale * each / step**2 for each, step in zip((down, across), found.step, strict=True))
    rows = np.unique([tight(shape[0], int(each)) for each in np.geomspace(1, longest[0], _CHOICES)])
    rows = rows[rows <= longest[0]]
    left = goal - np.square(rows)[:, np.newaxis] * by_row
    with np.errstate(divide="ignore"):
        cols = np.sqrt(np.maximum(left, 0.0) / by_col).min(axis=1, initial=longest[1])
    choices = [(int(row), tight(shape[1], int(col))) for row, col in zip(rows, cols, strict=True) if col >= 1]
    return min(choices, key=lambda step: (_nodes(shape, step), step), default=(1, 1))


def _nodes(shape: Pair, step: Pair) -> int:
    rows, cols = (cells_along(n, each) + 1 for n, each in zip(shape, step, strict=True))
    return rows * cols


def _shorter(shape: Pair, step: Pair, factor: float = 0.9) -> Pair:
    """Return shorter steps, where they are not 1 already."""
    rows, cols = (tight(n, max(1, min(each - 1, int(factor * each)))) for n, each in zip(shape, step, strict=True))
    return rows, cols


def _worth_a_try(shape: Pair, step: Pair, best: Measured) -> bool:
    """Say whether a step would need fewer nodes than the best so far, by so much that it pays to measure."""
    return 2 * _nodes(shape, step) * _GAIN <= best.nodes.size


def _affordable(mapping: Counted, shape: Pair, found: Measured, step: Pair) -> Pair:
    """Return steps that can be measured with the evaluations that are left: those before, where no shorter ones can.

    Where something is torn, and where what is wanted cannot be had, a part of all must do.
    """
    left, part = mapping.at_most - mapping.evaluations, int(_SHARE_WHERE_TORN * mapping.at_most)
    if _evaluations(shape, step) <= (min(left, part) if found.torn.any() else left):
        return step
    affordable = step
    while _evaluations(shape, affordable) > min(left, part):
        if _nodes(shape, affordable) <= _nodes(shape, found.step):
            return found.step
        rows, cols = (max(each + 1, int(1.05 * each)) for each in affordable)
        affordable = rows, cols
    rows, cols = (tight(n, each) for n, each in zip(shape, affordable, strict=True))
    return (rows, cols) if _nodes(shape, (rows, cols)) > _nodes(shape, found.step) else found.step


def _evaluations(shape: Pair, step: Pair) -> int:
    """Return about how many pixels a grid's measure asks for."""
    places = [_parts(each) * cells_along(n, each) + 1 for n, each in zip(shape, step, strict=True)]
    return places[0] * places[1] + _nodes(shape, step)
