"""A dense raster at scattered pixels: bit for bit what the kernel writes there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..types import Pair

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def dense_at(nodes: Floats, resolution: Pair, rows: Integers, cols: Integers) -> Floats:
    """Interpolate nodes at some pixels, in the order of operations of `kernels.bilinear`.

    Parameters
    ----------
    nodes : ndarray of float64 (bands, node rows, node columns)
    resolution : (int, int)
        Dense pixels a node along rows and columns.
    rows, cols : ndarray of int64 (n,)
        Pixels of the dense raster.

    Returns
    -------
    ndarray of float64 (bands, n)
    """
    (k, a), (m, b) = (np.divmod(places, step) for places, step in zip((rows, cols), resolution, strict=True))
    lower, right = np.minimum(k + 1, nodes.shape[1] - 1), np.minimum(m + 1, nodes.shape[2] - 1)
    above = _mixed(nodes[:, k, m], nodes[:, k, right], b, resolution[1])
    below = _mixed(nodes[:, lower, m], nodes[:, lower, right], b, resolution[1])
    return _mixed(above, below, a, resolution[0])


def _mixed(first: Floats, second: Floats, offset: Integers, step: int) -> Floats:
    """Interpolate between two values, `offset` of `step` from the first, within their range; a node is copied."""
    with np.errstate(invalid="ignore", over="ignore"):  # what is no number stays none
        value = first * ((step - offset) / step) + second * (offset / step)
        low, high = np.where(first < second, first, second), np.where(first < second, second, first)
        value = np.where(value < low, low, value)
        value = np.where(value > high, high, value)
    return np.where(offset == 0, first, value)
