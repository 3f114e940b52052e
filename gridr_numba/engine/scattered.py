"""A dense grid and its mask at scattered places: at pixels bit for bit what the kernel writes there.

A place is a pixel of the whole dense raster and how far it lies beyond it, so that no sum is rounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from math import ceil
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..plan import WindowPlan, by_rectangle
from ..types import AnyArray, Cause, Pair
from ..window import Window
from .codes import write_codes
from .job import Job
from .step import DenseStep

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]
Beyond = tuple[float | Floats, float | Floats]

# Places in the same square of so many nodes are read together: a few megabytes of nodes.
_SIDE_IN_NODES = 256


@dataclass(frozen=True)
class Places:
    """Places of the whole dense raster, each along rows and columns.

    Attributes
    ----------
    pixels : int64 (2, n)
    beyond : float64 (2, n)
        From 0 to less than 1.
    """

    pixels: Integers
    beyond: Floats

    def where(self, chosen: Integers | Booleans) -> Places:
        """Return some of the places."""
        return Places(self.pixels[:, chosen], self.beyond[:, chosen])

    @property
    def window(self) -> Window:
        """The least window that holds all of them."""
        (row_start, col_start), ends = self.pixels.min(axis=1).tolist(), self.pixels + (self.beyond > 0)
        row_last, col_last = ends.max(axis=1).tolist()
        return Window(row_start, row_last + 1, col_start, col_last + 1)


def write_places(job: Job, places: Places, out_grid: AnyArray | None, out_mask: AnyArray) -> None:
    """Compute what a job that makes a mask says of some places.

    Parameters
    ----------
    job : Job
    places : Places
        At least one, within the raster.
    out_grid : ndarray (2, n) or None
        Written, where the job makes a grid: of its type.
    out_mask : ndarray (n,)
        Written; of the job's type.
    """
    step, (rr, rc) = DenseStep(job), job.extent.resolution
    for group in by_rectangle(places.pixels, (_SIDE_IN_NODES * rr, _SIDE_IN_NODES * rc)):
        coordinates, causes = _dense(step, job, places.where(group))
        if out_grid is not None:
            out_grid[:, group] = coordinates
        codes = np.empty((1, len(group)), out_mask.dtype)
        write_codes(causes[np.newaxis], None if job.outputs.mask is None else job.outputs.mask.values, codes)
        out_mask[group] = codes[0]


def _dense(step: DenseStep, job: Job, places: Places) -> tuple[AnyArray, NDArray[np.uint8]]:
    """Return the coordinates and the causes of places that lie close together."""
    window, resolution = places.window, job.extent.resolution
    piece = WindowPlan(window, resolution, window.shape).piece(0, 0)
    first = np.array([[piece.nodes.row_start * resolution[0]], [piece.nodes.col_start * resolution[1]]])
    near = Places(places.pixels - first, places.beyond)
    causes = np.zeros(near.pixels.shape[1], np.uint8)
    if job.inputs.polygons is not None:
        causes[:] = job.inputs.polygons.causes_at(*places.pixels, *places.beyond)
    if job.inputs.mask is not None:
        reached = _reaching(step.valid_nodes(piece), resolution, near, job.rules.threshold)
        causes[~reached] |= np.uint8(Cause.RASTER_MASK)
    if job.inputs.grid is None or job.outputs.grid is None:
        return np.empty((0, len(causes))), causes
    values = dense_at(step.nodes(piece), resolution, near.pixels[0], near.pixels[1], (near.beyond[0], near.beyond[1]))
    with np.errstate(over="ignore", invalid="ignore"):
        coordinates = values.astype(job.outputs.grid.dtype)
        for value, (low, high) in zip(values, job.rules.source_area or (), strict=False):
            causes[(value < low) | (value > high)] |= np.uint8(Cause.OUTSIDE_SOURCE)
        limits = np.array(job.outputs.grid.limits)[:, np.newaxis]
        void = ~(np.abs(coordinates) <= limits).all(axis=0)
    causes[void] = causes[void] & ~np.uint8(Cause.OUTSIDE_SOURCE) | np.uint8(Cause.NODE)
    fill = job.rules.fill
    coordinates[:, void if fill is None else causes != 0] = np.nan if fill is None else fill
    return coordinates, causes


def _reaching(valid: NDArray[np.uint8], resolution: Pair, places: Places, threshold: Fraction) -> Booleans:
    """Say where the weights of the valid nodes reach the threshold (law 4).

    At pixels, weights are integers and decide by themselves. Between them, a sum that may be off by its rounding is
    taken again in fractions.
    """
    steps = np.array(resolution)[:, np.newaxis]
    (k, m), offsets = np.divmod(places.pixels, steps)
    down, across = offsets + places.beyond
    up, left = steps - offsets - places.beyond
    second = (offsets + (places.beyond > 0)) > 0  # the second node of an axis contributes
    lower, right = k + second[0], m + second[1]
    corners = np.stack([valid[k, m], valid[k, right], valid[lower, m], valid[lower, right]]).astype(np.float64)
    total = up * (left * corners[0] + across * corners[1]) + down * (left * corners[2] + across * corners[3])
    cell = resolution[0] * resolution[1]
    bound, whole = threshold * cell, (places.beyond == 0).all(axis=0)
    reached: Booleans = np.where(whole, total >= float(ceil(bound)), total >= float(bound))
    reached |= corners.all(axis=0)
    in_doubt = ~whole & ~corners.all(axis=0) & (np.abs(total - float(bound)) <= 16 * np.finfo(np.float64).eps * cell)
    for each in np.flatnonzero(in_doubt):
        offset_row_col = zip(offsets[:, each].tolist(), places.beyond[:, each].tolist(), strict=True)
        row, col = (Fraction(offset) + Fraction(beyond) for offset, beyond in offset_row_col)
        weights = (resolution[0] - row, row), (resolution[1] - col, col)
        valid_corners = zip(product(*weights), corners[:, each].tolist(), strict=True)
        reached[each] = sum(a * b for (a, b), is_valid in valid_corners if is_valid) >= bound
    return reached


# -- coordinates --------------------------------------------------------------------------------------------------


def dense_at(nodes: Floats, resolution: Pair, rows: Integers, cols: Integers, beyond: Beyond = (0.0, 0.0)) -> Floats:
    """Interpolate nodes at some pixels, in the order of operations of `kernels.bilinear`, or between pixels.

    Parameters
    ----------
    nodes : ndarray of float64 (bands, node rows, node columns)
    resolution : (int, int)
        Dense pixels a node along rows and columns.
    rows, cols : ndarray of int64 (n,)
        Pixels of the dense raster.
    beyond : pair of float or ndarray of float64 (n,)
        How far, at least 0 and less than 1, places lie beyond these pixels along rows and columns.

    Returns
    -------
    ndarray of float64 (bands, n)
    """
    (k, a), (m, b) = (np.divmod(places, step) for places, step in zip((rows, cols), resolution, strict=True))
    lower, right = np.minimum(k + 1, nodes.shape[1] - 1), np.minimum(m + 1, nodes.shape[2] - 1)
    down, across = (_weights(*each) for each in zip((a, b), beyond, resolution, strict=True))
    above = _mixed(nodes[:, k, m], nodes[:, k, right], across)
    below = _mixed(nodes[:, lower, m], nodes[:, lower, right], across)
    return _mixed(above, below, down)


class Weights(NamedTuple):
    """Of the first and of the second of two values, and where the first is all that there is."""

    first: Floats
    second: Floats
    alone: NDArray[np.bool_]


def _weights(offset: Integers, beyond: float | Floats, step: int) -> Weights:
    """Return the weights of two values at `offset` plus `beyond` of `step` from the first, each rounded once."""
    first, second = (step - offset) / step, offset / step
    fraction = np.broadcast_to(beyond, offset.shape)
    between = fraction != 0
    if between.any():
        # In float64 the offset itself would be rounded, and the difference from the step once more.
        wide = offset[between].astype(np.longdouble) + fraction[between]
        first[between], second[between] = (step - wide) / step, wide / step
    return Weights(first, second, (offset == 0) & ~between)


def _mixed(first: Floats, second: Floats, weights: Weights) -> Floats:
    """Interpolate between two values, within their range; a node is copied."""
    with np.errstate(invalid="ignore", over="ignore"):  # what is no number stays none
        value = first * weights.first + second * weights.second
        low, high = np.where(first < second, first, second), np.where(first < second, second, first)
        value = np.where(value < low, low, value)
        value = np.where(value > high, high, value)
    return np.where(weights.alone, first, value)
