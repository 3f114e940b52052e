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
    """One strip: its dense rows, the nodes that it reads, where it lies in them, and where it is written."""

    dense: Window
    nodes: Window
    relative: Window
    target: Window


@dataclass(frozen=True)
class StripPlan:
    """The strips of a job, in the order of their rows. They are made when iterated over, not before.

    Attributes
    ----------
    window : Window
        The part of the dense raster that is made; the output's first pixel is the window's.
    resolution_row_col : tuple of int
        Dense pixels a node.
    rows_per_strip : int
        Of all strips but perhaps the last.
    buffer_sets : int
        For how many strips' pixels there is memory at a time: with 2, one is written while the next is computed.
    """

    window: Window
    resolution_row_col: tuple[int, int]
    rows_per_strip: int
    buffer_sets: int = 1

    def __len__(self) -> int:
        return -(-self.window.shape[0] // self.rows_per_strip)

    def __iter__(self) -> Iterator[Strip]:
        window = self.window
        for row_start in range(window.row_start, window.row_stop, self.rows_per_strip):
            row_stop = min(row_start + self.rows_per_strip, window.row_stop)
            dense = Window(row_start, row_stop, window.col_start, window.col_stop)
            target = Window(row_start - window.row_start, row_stop - window.row_start, 0, window.shape[1])
            yield Strip(dense, *node_window(dense, self.resolution_row_col), target)

    @property
    def strip_shape(self) -> tuple[int, int]:
        """Rows and columns of the largest strip."""
        return self.rows_per_strip, self.window.shape[1]

    @property
    def node_shape(self) -> tuple[int, int]:
        """A bound on the rows and columns of nodes that any strip reads."""
        nodes, _ = node_window(self.window, self.resolution_row_col)
        return min(nodes.shape[0], node_rows_of(self.rows_per_strip, self.resolution_row_col[0])), nodes.shape[1]


def node_rows_of(dense_rows: int, rr: int) -> int:
    """Return how many rows of nodes so many dense rows need at most, wherever they start."""
    return -(-(dense_rows + rr - 2) // rr) + 1


@dataclass(frozen=True)
class StripMemory:
    """What the buffers of a strip take.

    Attributes
    ----------
    bytes_per_dense_row, bytes_per_node_row : int
    rr : int
        Dense rows a node row.
    """

    bytes_per_dense_row: int
    bytes_per_node_row: int
    rr: int

    def of(self, dense_rows: int) -> int:
        """Return the bytes for a strip of so many rows."""
        return dense_rows * self.bytes_per_dense_row + node_rows_of(dense_rows, self.rr) * self.bytes_per_node_row

    def rows_within(self, size: int) -> int:
        """Return how many rows at most take no more than so many bytes; 0 where none does."""
        # `of` rounds up to whole rows of nodes, so this division may be two rows of nodes too high.
        rows = size * self.rr // (self.bytes_per_dense_row * self.rr + self.bytes_per_node_row)
        while rows > 0 and self.of(rows) > size:
            excess = self.of(rows) - size
            rows -= max(1, excess // (self.bytes_per_dense_row + self.bytes_per_node_row))
        return max(0, rows)


def plan_strips(
    window: Window,
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
    window : Window
        The part of the dense raster to make.
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
    height = window.shape[0]
    rows = height
    if strip_size:
        rows = min(rows, strip_size * (resolution_row_col[0] if strip_target is GridRIOMode.INPUT else 1))
    rows = max(1, min(rows, rows_in_budget))
    if block_height < rows < height:
        whole_blocks = rows - rows % block_height
        # In INPUT mode strips start on nodes, or are so low that they read no more than one row of nodes above their
        # size: whole blocks go only where that stays true.
        rr = resolution_row_col[0]
        counts_nodes = bool(strip_size) and strip_target is GridRIOMode.INPUT
        if not counts_nodes or whole_blocks % rr == 0 or whole_blocks <= (strip_size - 1) * rr + 1:
            rows = whole_blocks
    return StripPlan(window, resolution_row_col, rows)
