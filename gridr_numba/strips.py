"""Pure planning: which dense rows make a strip, and which nodes it needs. No arrays, no files.

``R x C`` nodes at resolution ``(rr, rc)`` make a dense raster of ``((R-1)*rr + 1, (C-1)*rc + 1)`` pixels; pixel
``(i, j)`` lies at node coordinate ``(i/rr, j/rc)``. All arithmetic is in Python's integers, so a raster may be of any
size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .checks import integer_pair
from .types import GridRIOMode
from .window import Window


def grid_full_resolution_shape(shape: tuple[int, int], resolution: tuple[int, int]) -> tuple[int, int]:
    """Return the shape of the dense raster.

    ``((R-1)*rr + 1, (C-1)*rc + 1)``: the first and the last node are pixels. GRIDR's name and convention.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of nodes, ``(R, C)``, each at least 1.
    resolution : tuple of int
        Dense pixels a node along rows and columns, ``(rr, rc)``, each at least 1.

    Returns
    -------
    tuple of int
        Rows and columns.

    Raises
    ------
    GridrTypeError
        If either is not a pair of integers.
    GridrValueError
        If a number is below 1 or fractional.
    """
    node_rows, node_cols = integer_pair(shape, "shape", minimum=1)
    rr, rc = integer_pair(resolution, "resolution", minimum=1)
    return (node_rows - 1) * rr + 1, (node_cols - 1) * rc + 1


def grid_resolution_window(resolution: tuple[int, int], win: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the nodes that a dense window needs, and the window as seen from the first of them.

    GRIDR's name and convention: windows are inclusive pairs ``((first_row, last_row), (first_col, last_col))``.

    Parameters
    ----------
    resolution : tuple of int
        Dense pixels a node along rows and columns, each at least 1.
    win : array_like
        The dense window, inclusive pairs.

    Returns
    -------
    node_win : ndarray of int64, shape (2, 2)
        The fewest nodes that hold every contributing node of the window; inclusive pairs.
    relative_win : ndarray of int64, shape (2, 2)
        The window in the dense raster that these nodes alone would make; inclusive pairs.

    Raises
    ------
    GridrTypeError, GridrValueError
        If an argument is not as described.
    """
    nodes, relative = node_window(Window.from_inclusive(win, "win"), integer_pair(resolution, "resolution", minimum=1))
    return nodes.to_inclusive(), relative.to_inclusive()


def node_window(dense: Window, resolution_row_col: tuple[int, int]) -> tuple[Window, Window]:
    """Return the nodes that a dense window needs, and the window relative to the first of them, both half-open."""
    rr, rc = resolution_row_col
    nodes = Window(
        dense.row_start // rr,
        -(-(dense.row_stop - 1) // rr) + 1,
        dense.col_start // rc,
        -(-(dense.col_stop - 1) // rc) + 1,
    )
    row_first, col_first = dense.row_start % rr, dense.col_start % rc
    height, width = dense.shape
    return nodes, Window(row_first, row_first + height, col_first, col_first + width)


@dataclass(frozen=True)
class Strip:
    """One strip: its dense rows, the nodes that it reads, and where it lies in them."""

    dense: Window
    nodes: Window
    relative: Window


@dataclass(frozen=True)
class StripPlan:
    """The strips of a job, in the order of their rows. They are made when iterated over, not before."""

    shape_row_col: tuple[int, int]
    resolution_row_col: tuple[int, int]
    rows_per_strip: int

    def __len__(self) -> int:
        return -(-self.shape_row_col[0] // self.rows_per_strip)

    def __iter__(self) -> Iterator[Strip]:
        height, width = self.shape_row_col
        for row_start in range(0, height, self.rows_per_strip):
            dense = Window(row_start, min(row_start + self.rows_per_strip, height), 0, width)
            yield Strip(dense, *node_window(dense, self.resolution_row_col))

    @property
    def node_rows_at_most(self) -> int:
        """A bound on the node rows that any strip reads."""
        rr = self.resolution_row_col[0]
        all_rows = (self.shape_row_col[0] - 1) // rr + 1
        return min(all_rows, -(-(self.rows_per_strip + rr - 2) // rr) + 1)


def plan_strips(
    shape_row_col: tuple[int, int],
    resolution_row_col: tuple[int, int],
    *,
    strip_size: int,
    strip_target: GridRIOMode,
    rows_in_budget: int,
    block_height: int,
) -> StripPlan:
    """Choose the strips' height: the largest that every bound allows, in whole output blocks where that fits.

    Parameters
    ----------
    shape_row_col : tuple of int
        Of the dense raster.
    resolution_row_col : tuple of int
        Dense pixels a node.
    strip_size : int
        At most so many rows, of dense pixels or of nodes as `strip_target` says; 0 for no bound.
    strip_target : GridRIOMode
        INPUT: a strip has at most ``strip_size * rr`` dense rows. OUTPUT: at most `strip_size`.
    rows_in_budget : int
        At most so many dense rows fit in memory.
    block_height : int
        Of the output's blocks. A block that two strips share is written twice (measured: up to 1.5 times slower), so
        a strip that can hold a block holds whole ones.
    """
    rows = shape_row_col[0]
    if strip_size:
        rows = min(rows, strip_size * (resolution_row_col[0] if strip_target is GridRIOMode.INPUT else 1))
    rows = max(1, min(rows, rows_in_budget))
    if block_height < rows < shape_row_col[0]:
        rows -= rows % block_height
    return StripPlan(shape_row_col, resolution_row_col, rows)
