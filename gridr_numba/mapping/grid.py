"""A mapping and a tolerance -> nodes that were checked, and what was found out about them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import GridrValueError
from ..kernels.bilinear import densify_at
from ..types import AnyDtype, Pair, Progress
from .search import MARGIN, Bools, Counted, Mapping, Measured, OutOfEvaluationsError, choose, measure, tight

# Steps are refined so often where a checked pixel is off by more than the tolerance.
_REFINEMENTS = 5
_REFINED = 0.8
_SEED = 20_001
# Pixels that are checked at a time.
_AT_A_TIME = 1 << 20


@dataclass(frozen=True)
class Wanted:
    """What a grid must be.

    Attributes
    ----------
    shape : tuple of int
        Rows and columns of the target.
    tolerance : float
        Source pixels, as a Euclidean distance.
    step : tuple of int or None
        None has it chosen.
    check : int or None
        How many random pixels are checked; None is every pixel.
    void : bool
        Whether what cannot be reached gets no nodes; else it is refused.
    dtype : numpy.dtype
        Of the nodes as written.
    """

    shape: Pair
    tolerance: float
    step: Pair | None
    check: int | None
    void: bool
    dtype: AnyDtype

    @property
    def pixels(self) -> int:
        """How many are checked."""
        return self.shape[0] * self.shape[1] if self.check is None else self.check


@dataclass(frozen=True)
class Checked:
    """Pixels of the dense raster against the mapping itself.

    Attributes
    ----------
    pixels, exceeding, unmapped : int
        How many were looked at; how many are off by more than the tolerance; how many have a value and no mapping.
    voided, lacking : int
        How many have a mapping and no value; how many have no mapping.
    largest : float
    cells : ndarray of bool
        Where one exceeds, or lacks a mapping.
    """

    pixels: int
    exceeding: int
    unmapped: int
    voided: int
    lacking: int
    largest: float
    cells: Bools

    @property
    def fails(self) -> bool:
        """Whether any pixel is not what was promised."""
        return self.exceeding > 0 or self.unmapped > 0


@dataclass(frozen=True)
class Grid:
    """Nodes that keep the tolerance at all pixels that were checked, but for the void ones.

    Attributes
    ----------
    step : tuple of int
    nodes : ndarray (2, rows, columns)
        In the type in which they are written.
    measured : float
        The largest error at the quarters of the cells that are kept.
    unreachable : ndarray of bool (cells)
    check : Checked
    evaluations, check_evaluations : int
    short : bool
        Whether a finer grid was wanted than the evaluations allowed.
    """

    step: Pair
    nodes: NDArray[np.floating]
    measured: float
    unreachable: Bools
    check: Checked
    evaluations: int
    check_evaluations: int
    short: bool


#: What to try where evaluations ran out.
MORE_EVALUATIONS = "a larger max_evaluations allows a finer grid"


def make(mapping: Mapping, wanted: Wanted, max_evaluations: int, progress: Progress | None = None) -> Grid:
    """Choose, check, and refine where the check fails.

    `progress` is called with the pixels that were checked and those that are to be, whatever is checked again.

    Raises
    ------
    GridrValueError
        Where a part of the target cannot be reached, unless it is to be void, and where the type of the nodes is too
        coarse for the tolerance.
    """
    tell = _teller(wanted, progress)
    counted, checking = Counted(mapping, max_evaluations), Counted(mapping, np.iinfo(np.int64).max)
    if wanted.step is None:
        found, limit = choose(counted, wanted.shape, wanted.tolerance), wanted.tolerance / MARGIN
    else:
        found, limit = measure(counted, wanted.shape, wanted.step), wanted.tolerance
    failed = np.zeros(found.errors.shape, np.bool_)
    for attempt in range(_REFINEMENTS + 1):
        unreachable = (found.errors > limit) | found.void | failed
        nodes = _nodes(found, unreachable, wanted)
        checked = _check(checking, nodes, found, wanted, attempt, tell)
        if not checked.fails:
            break
        finer = None if wanted.step is not None or attempt == _REFINEMENTS else _refined(counted, found, wanted.shape)
        if finer is None:
            failed |= checked.cells
            unreachable |= failed
            if wanted.void:  # looked at again, now without them
                nodes = _nodes(found, unreachable, wanted)
                checked = _check(checking, nodes, found, wanted, attempt, tell)
            break
        found, failed = finer, np.zeros(finer.errors.shape, np.bool_)
    if unreachable.any() and not wanted.void:
        raise _refusal(found, unreachable, checked, wanted, short=counted.short)
    if progress is not None:
        progress(wanted.pixels, wanted.pixels)
    kept = float(np.where(unreachable, 0.0, found.errors).max(initial=0.0))
    return Grid(found.step, nodes, kept, unreachable, checked, counted.evaluations, checking.evaluations, counted.short)


def _teller(wanted: Wanted, progress: Progress | None) -> Callable[[int], None]:
    """Return what says how many pixels are checked: no number twice, and not yet the last."""
    told = [0]

    def tell(pixels: int) -> None:
        if progress is not None and told[0] < pixels < wanted.pixels:
            told[0] = pixels
            progress(pixels, wanted.pixels)

    return tell


def _refined(counted: Counted, found: Measured, shape: Pair) -> Measured | None:
    """Measure a finer grid; None where there is none, or no more evaluations."""
    rows, cols = (tight(n, max(1, int(_REFINED * each))) for n, each in zip(shape, found.step, strict=True))
    if (rows, cols) == found.step:
        return None
    try:
        return measure(counted, shape, (rows, cols))
    except OutOfEvaluationsError:
        counted.short = True
        return None


def _nodes(found: Measured, unreachable: Bools, wanted: Wanted) -> NDArray[np.floating]:
    """Return the nodes as written: NaN where there is no mapping, and around cells that are not reached."""
    nodes = found.nodes.copy()
    nodes[:, ~np.isfinite(nodes).all(axis=0)] = np.nan
    rows, cols = np.nonzero(unreachable)
    last_row, last_col = nodes.shape[1] - 1, nodes.shape[2] - 1
    for row, col in ((rows, cols), (rows + 1, cols), (rows, cols + 1), (rows + 1, cols + 1)):
        nodes[:, np.minimum(row, last_row), np.minimum(col, last_col)] = np.nan
    written = nodes.astype(wanted.dtype)
    finite = np.abs(written[np.isfinite(written)])
    if wanted.dtype == np.float32 and finite.size and np.spacing(finite.max()) > wanted.tolerance / 10:
        raise GridrValueError(
            f"dtype must be float64: float32 holds {finite.max():g} to {np.spacing(finite.max()):g}, more than a tenth "
            f"of the tolerance, {wanted.tolerance:g}",
            argument="dtype",
        )
    return written


def _check(
    mapping: Counted,
    nodes: NDArray[np.floating],
    found: Measured,
    wanted: Wanted,
    attempt: int,
    tell: Callable[[int], None],
) -> Checked:
    """Compare pixels with the mapping: random ones that do not depend on anything but the attempt, or all."""
    cells = np.zeros(found.errors.shape, np.bool_)
    ends: Pair = (len(cells) - 1, cells[0].size - 1)
    dense_nodes = nodes.astype(np.float64)
    result = Checked(0, 0, 0, 0, 0, 0.0, cells)
    for rows, cols in _pixels(wanted, attempt):
        true = mapping.at(rows, cols)
        densify_at(dense_nodes, found.step, rows, cols, value := np.empty(true.shape))
        value = value.astype(wanted.dtype, copy=False).astype(np.float64, copy=False)
        has, given = np.isfinite(true).all(axis=0), np.isfinite(value).all(axis=0)
        with np.errstate(invalid="ignore"):
            error = np.hypot(*(value - true))
        exceeding = has & given & (error > wanted.tolerance)
        unmapped = given & ~has
        wrong = exceeding | unmapped
        places = [
            np.minimum(each[wrong] // step, last)
            for each, step, last in zip((rows, cols), found.step, ends, strict=True)
        ]
        cells[tuple(places)] = True
        result = replace(
            result,
            pixels=result.pixels + len(rows),
            exceeding=result.exceeding + int(exceeding.sum()),
            unmapped=result.unmapped + int(unmapped.sum()),
            voided=result.voided + int((has & ~given).sum()),
            lacking=result.lacking + int((~has).sum()),
            largest=max(result.largest, float(np.max(error, where=has & given, initial=0.0))),
        )
        tell(result.pixels)
    return result


def _pixels(wanted: Wanted, attempt: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    height, width = wanted.shape
    if wanted.check is None:
        at_a_time = max(1, _AT_A_TIME // width)
        for start in range(0, height, at_a_time):
            rows, cols = np.mgrid[start : min(start + at_a_time, height), 0:width]
            yield rows.ravel(), cols.ravel()
        return
    random = np.random.default_rng((_SEED, attempt))
    left = wanted.check
    while left > 0:
        n = min(left, _AT_A_TIME)
        yield random.integers(0, height, n), random.integers(0, width, n)
        left -= n


def _refusal(found: Measured, unreachable: Bools, checked: Checked, wanted: Wanted, *, short: bool) -> GridrValueError:
    """Say where the tolerance is not kept, and by how much it is missed."""
    first_row, stop_row, first_col, stop_col = pixels_of(unreachable, found.step, wanted.shape)
    off = max(float(found.errors[unreachable].max()), checked.largest)
    void = found.void[unreachable]
    if void.all():
        how = "nothing there has a mapping"
    elif void.any() or np.isinf(off):
        how = "a part of it has no mapping"
    else:
        how = f"the error is up to {off:g} pixels"
    return GridrValueError(
        f"tolerance of {wanted.tolerance:g} source pixels cannot be kept in {unreachable.sum()} of {unreachable.size} "
        f"cells, within rows {first_row} to {stop_row - 1} and columns {first_col} to {stop_col - 1} of the target: "
        f"{how}; unreachable='void' leaves such cells without nodes{', ' + MORE_EVALUATIONS if short else ''}",
        argument="tolerance",
    )


def pixels_of(cells: Bools, step: Pair, shape: Pair) -> tuple[int, int, int, int]:
    """Return the first row, the row after the last, and the same of columns, of the target's pixels in some cells."""
    (first_row, stop_row), (first_col, stop_col) = (
        (int(each.min()) * length, min((int(each.max()) + 1) * length + 1, n))
        for each, length, n in zip(np.nonzero(cells), step, shape, strict=True)
    )
    return first_row, stop_row, first_col, stop_col
