"""What of a source image the pixels of a window look up, from their nodes alone: the source box.

A bilinear function on a rectangle has its extremes at the corners. So the coordinates of a window are within those of
the corner pixels of the pieces into which the cells of nodes cut it. A corner that is NaN is left out: in a cell with a
void node, only the edges between valid nodes are valid, and their ends are corners.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from ..georef import pixel_area
from ..types import Pair, Range
from ..window import Window

Floats = NDArray[np.float64]

# By which coordinates at corners may be off for rounding, and more.
_MARGIN = 1


def corner_coordinates(nodes: Floats, relative: Window, resolution: Pair) -> Floats:
    """Return the coordinates at the corner pixels of the pieces into which cells cut a window.

    Parameters
    ----------
    nodes : float64 (2, node rows, node columns)
        Around the window, void ones NaN.
    relative : Window
        The window in the dense raster that these nodes alone would make.
    resolution : tuple of int

    Returns
    -------
    float64 (2, rows, columns)
        Of the first and the last pixel of the window and those on nodes between them, along both axes.
    """
    rows, cols = corner_pixels(relative, resolution)
    return _along(_along(nodes, rows, resolution[0], 1), cols, resolution[1], 2)


def outer_coordinates(nodes: Floats, relative: Window, resolution: Pair) -> Floats:
    """Return, in any order, those of `corner_coordinates`, with fewer of them computed: most are nodes.

    Returns
    -------
    float64 (2, n)
    """
    rows, cols = corner_pixels(relative, resolution)
    ends = [rows[0], rows[-1]], [cols[0], cols[-1]]
    inside = (
        slice(-(-side[0] // step), side[-1] // step + 1) for side, step in zip((rows, cols), resolution, strict=True)
    )
    found = (
        nodes[(slice(None), *inside)],
        _along(_along(nodes, ends[0], resolution[0], 1), cols, resolution[1], 2),
        _along(_along(nodes, ends[1], resolution[1], 2), rows, resolution[0], 1),
    )
    return np.concatenate([each.reshape(2, -1) for each in found], axis=1)


def corner_pixels(relative: Window, resolution: Pair) -> tuple[list[int], list[int]]:
    """Return the rows and the columns of these pixels."""

    def of_axis(start: int, stop: int, step: int) -> list[int]:
        return sorted({start, stop - 1, *range(-(-start // step) * step, stop, step)})

    return (
        of_axis(relative.row_start, relative.row_stop, resolution[0]),
        of_axis(relative.col_start, relative.col_stop, resolution[1]),
    )


def _along(nodes: Floats, pixels: list[int], step: int, axis: int) -> Floats:
    """Interpolate along an axis; a pixel on a node is that node, whatever lies beside it."""
    first, offset = np.divmod(np.array(pixels, np.int64), step)
    last = nodes.shape[axis] - 1
    weight = np.expand_dims(offset / step, tuple(range(1, nodes.ndim - axis)))
    before, after = np.take(nodes, first, axis), np.take(nodes, np.minimum(first + 1, last), axis)
    with np.errstate(over="ignore", invalid="ignore"):  # of huge coordinates, which lie nowhere
        between: Floats = before * (1.0 - weight) + after * weight
    return np.where(weight == 0.0, before, between)


def source_box(corners: Floats, image_shape: Pair, support: int) -> Window | None:
    """Return the pixels of an image that positions within those of some corners look up.

    Parameters
    ----------
    corners : float64 (2, ...)
        Source rows and columns.
    image_shape : tuple of int
    support : int
        Pixels on each side of a position that an interpolation reads.

    Returns
    -------
    Window or None
        Within the image; None where nothing is looked up.
    """
    rows, cols = (_side(values, size, support) for values, size in zip(corners, image_shape, strict=True))
    return None if rows is None or cols is None else Window(*rows, *cols)


def _side(values: Floats, size: int, support: int) -> Pair | None:
    """Return the first pixel along an axis, and the one after the last."""
    if not np.isfinite(values.min()) or not np.isfinite(values.max()):
        values = values[np.isfinite(values)]
        if not len(values):
            return None
    low, high = float(values.min()) - _MARGIN, float(values.max()) + _MARGIN
    first, last = pixel_area(size)
    if high < first or low > last:
        return None
    return max(0, floor(max(low, first)) - support), min(size, ceil(min(high, last)) + support + 1)


def united(boxes: Iterator[Window | None]) -> Window | None:
    """Return the least window that holds all of some; None where there is none."""
    whole: Window | None = None
    for box in boxes:
        if box is not None and whole is not None:
            whole = Window(
                min(whole.row_start, box.row_start),
                max(whole.row_stop, box.row_stop),
                min(whole.col_start, box.col_start),
                max(whole.col_stop, box.col_stop),
            )
        whole = whole or box
    return whole


def widest_cell(corners: Floats) -> tuple[Pair, tuple[Range, Range]]:
    """Return which piece of a window looks up the largest box, counted from its first, and that box's coordinates."""
    low, high = corners, corners
    for axis in (1, 2):
        if corners.shape[axis] > 1:
            low, high = (
                pick(np.take(each, range(low.shape[axis] - 1), axis), np.take(each, range(1, low.shape[axis]), axis))
                for pick, each in ((np.fmin, low), (np.fmax, high))
            )
    area = np.nan_to_num((high[0] - low[0] + 1.0) * (high[1] - low[1] + 1.0), nan=-1.0)
    row, col = (int(each) for each in np.unravel_index(np.argmax(area), area.shape))
    (row_low, col_low), (row_high, col_high) = low[:, row, col].tolist(), high[:, row, col].tolist()
    return (row, col), ((row_low, row_high), (col_low, col_high))


def blocks_in(box: Window, block_shape: Pair) -> Window:
    """Return the blocks of an image that a box touches."""
    (height, width) = block_shape
    return Window(
        box.row_start // height, -(-box.row_stop // height), box.col_start // width, -(-box.col_stop // width)
    )
