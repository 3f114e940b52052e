"""A dense raster at scattered places: at pixels bit for bit what the kernel writes there."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..types import Pair

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Beyond = tuple[float | Floats, float | Floats]


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
