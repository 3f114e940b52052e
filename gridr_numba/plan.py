"""Pure planning: which windows of the dense raster are made one after another, and which nodes each needs.

Integers only: no arrays, no files.

``R x C`` nodes at resolution ``(rr, rc)`` make a dense raster of ``((R-1)*rr + 1, (C-1)*rc + 1)`` pixels; pixel
``(i, j)`` lies at node coordinate ``(i/rr, j/rc)``. All arithmetic is in Python's integers, so a raster may be of any
size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import lcm

import numpy as np
from numpy.typing import NDArray

from .checks import integer_pair
from .types import GridRIOMode, Pair, WindowPairs
from .window import Window


def grid_full_resolution_shape(shape: tuple[int, int], resolution: tuple[int, int]) -> tuple[int, int]:
    """Return the shape of the dense raster.

    ``((R-1)*rr + 1, (C-1)*rc + 1)``: the first and the last node are pixels. GRIDR's name and
    convention; the definition that all laws stand on.

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

    Examples
    --------
    >>> from gridr_numba import grid_full_resolution_shape
    >>> grid_full_resolution_shape((3, 5), (10, 4))
    (21, 17)
    """
    node_rows, node_cols = integer_pair(shape, "shape", minimum=1)
    rr, rc = integer_pair(resolution, "resolution", minimum=1)
    return (node_rows - 1) * rr + 1, (node_cols - 1) * rc + 1


def grid_resolution_window(
    resolution: tuple[int, int], win: WindowPairs
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the nodes that a dense window needs, and the window as seen from the first of them.

    Laws 3 and 10. GRIDR's name and convention: windows are inclusive pairs
    ``((first_row, last_row), (first_col, last_col))``.

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

    Examples
    --------
    >>> from gridr_numba import grid_resolution_window
    >>> nodes, relative = grid_resolution_window((10, 10), ((12, 19), (20, 35)))
    >>> nodes.tolist(), relative.tolist()
    ([[1, 2], [2, 4]], [[2, 9], [0, 15]])
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


#: What a window's buffers take: (its rows and columns, sets of output buffers) -> bytes. Grows with each of the three.
MemoryOf = Callable[[Pair, int], int]

# Of a memory budget, one part in so many is left to GDAL's block cache at least; it has all that the buffers leave.
_CACHE_SHARE = 8


@dataclass(frozen=True)
class Piece:
    """One window of a plan.

    Attributes
    ----------
    index : tuple of int
        Row and column among the plan's windows.
    dense : Window
        Its pixels, in the whole dense raster.
    nodes : Window
        The fewest nodes that hold every node that contributes to them.
    relative : Window
        Its pixels in the dense raster that these nodes alone would make.
    target : Window
        Its pixels in the output.
    shared_nodes_row_col : tuple of int
        How many of its first rows of nodes the windows above read too, and of its first columns the window to the left.
    """

    index: Pair
    dense: Window
    nodes: Window
    relative: Window
    target: Window
    shared_nodes_row_col: Pair


@dataclass(frozen=True)
class WindowPlan:
    """The windows of a job, row by row of windows. They are made when asked for, not before.

    Attributes
    ----------
    window : Window
        The part of the dense raster that is made; the output's first pixel is the window's.
    resolution_row_col : tuple of int
        Dense pixels a node.
    piece_shape : tuple of int
        Rows and columns of all windows but perhaps the last of a row or a column of them.
    buffer_sets : int
        For how many windows' pixels there is memory at a time: with 2, one is written while the next is computed.
    serpentine : bool
        Whether every other row of windows goes from right to left, so that each window is beside the one before; else
        all go from left to right.
    """

    window: Window
    resolution_row_col: Pair
    piece_shape: Pair
    buffer_sets: int = 1
    serpentine: bool = False

    @property
    def grid_shape(self) -> Pair:
        """Rows and columns of windows."""
        (height, width), (rows, cols) = self.window.shape, self.piece_shape
        return -(-height // rows), -(-width // cols)

    @property
    def node_shape(self) -> Pair:
        """A bound on the rows and columns of nodes that any window reads."""
        nodes, _ = node_window(self.window, self.resolution_row_col)
        (rows, cols), (rr, rc) = self.piece_shape, self.resolution_row_col
        return min(nodes.shape[0], nodes_of(rows, rr)), min(nodes.shape[1], nodes_of(cols, rc))

    def __len__(self) -> int:
        rows, cols = self.grid_shape
        return rows * cols

    def __iter__(self) -> Iterator[Piece]:
        rows, cols = self.grid_shape
        return (
            self.piece(i, cols - 1 - j if self.serpentine and i % 2 else j) for i in range(rows) for j in range(cols)
        )

    def piece(self, i: int, j: int) -> Piece:
        """Return the window in row `i` and column `j` of windows, counted from 0."""
        (height, width), (rows, cols) = self.window.shape, self.piece_shape
        target = Window(i * rows, min((i + 1) * rows, height), j * cols, min((j + 1) * cols, width))
        first_row, first_col = self.window.row_start, self.window.col_start
        dense = Window(
            first_row + target.row_start,
            first_row + target.row_stop,
            first_col + target.col_start,
            first_col + target.col_stop,
        )
        nodes, relative = node_window(dense, self.resolution_row_col)
        # The nodes of a pixel before this window's first end here, where there is such a pixel.
        rr, rc = self.resolution_row_col
        shared_rows = -(-(dense.row_start - 1) // rr) + 1 - nodes.row_start if i else 0
        shared_cols = -(-(dense.col_start - 1) // rc) + 1 - nodes.col_start if j else 0
        return Piece((i, j), dense, nodes, relative, target, (shared_rows, shared_cols))


def nodes_of(pixels: int, resolution: int) -> int:
    """Return how many nodes so many pixels of an axis need at most, wherever they start."""
    return -(-(pixels + resolution - 2) // resolution) + 1


def by_rectangle(places: NDArray[np.int64], shape_row_col: Pair) -> Iterator[NDArray[np.int64]]:
    """Yield which of some pixels, int64 (2, n), lie in the same rectangle of this shape: their indices."""
    rectangles = places // np.array(shape_row_col)[:, np.newaxis]
    order = np.lexsort(rectangles)
    changes = (np.diff(rectangles[:, order]) != 0).any(axis=0)
    yield from np.split(order, np.flatnonzero(changes) + 1)


@dataclass(frozen=True)
class WindowMemory:
    """What the buffers of a window take, where that is so much a pixel and so much a node: a `MemoryOf`.

    Attributes
    ----------
    bytes_per_pixel_of_a_set : int
        Of the output buffers, of which there may be several sets.
    bytes_per_pixel, bytes_per_node : int
        Of what is there once.
    window : Window
        The whole of what is made.
    resolution_row_col : tuple of int
    """

    bytes_per_pixel_of_a_set: int
    bytes_per_pixel: int
    bytes_per_node: int
    window: Window
    resolution_row_col: Pair

    def __call__(self, shape_row_col: Pair, buffer_sets: int) -> int:
        """Return the bytes for a window of this shape, with so many sets of output buffers."""
        rows, cols = shape_row_col
        rr, rc = self.resolution_row_col
        node_cols = min(nodes_of(cols, rc), node_window(self.window, self.resolution_row_col)[0].shape[1])
        a_pixel = self.bytes_per_pixel_of_a_set * buffer_sets + self.bytes_per_pixel
        return rows * cols * a_pixel + nodes_of(rows, rr) * node_cols * self.bytes_per_node


@dataclass(frozen=True)
class Bounds:
    """What windows must keep to.

    Attributes
    ----------
    memory_budget : int
        Bytes for the buffers of the windows and for GDAL's block cache.
    buffer_sets : int
        At most so many sets of output buffers.
    window_bytes : int
        The most that a window's buffers take, unless one row of blocks takes more.
    strip_size : int
        At most so many rows, of dense pixels or of nodes as `strip_target` says; 0 for no bound. GRIDR's
        `io_strip_size`.
    strip_target : GridRIOMode
        INPUT: a window has at most ``strip_size * rr`` dense rows. OUTPUT: at most `strip_size`.
    whole_blocks : bool
        Refuse rather than write less than whole blocks.
    """

    memory_budget: int
    buffer_sets: int = 1
    window_bytes: int = 24 << 20
    strip_size: int = 0
    strip_target: GridRIOMode = GridRIOMode.OUTPUT
    whole_blocks: bool = False

    @property
    def buffer_bytes(self) -> int:
        """Of the budget, what the buffers may take."""
        return self.memory_budget - -(-self.memory_budget // _CACHE_SHARE)

    def budget_for(self, size: int) -> int:
        """Return the least memory budget with which buffers may take so much."""
        return -(-size * _CACHE_SHARE // (_CACHE_SHARE - 1))

    def rows_at_most(self, rr: int, height: int) -> int:
        """Return the caller's own bound on the rows of a window."""
        if not self.strip_size:
            return height
        return min(height, self.strip_size * (rr if self.strip_target is GridRIOMode.INPUT else 1))


def plan_windows(
    name: str,
    window: Window,
    resolution_row_col: Pair,
    memory: MemoryOf,
    blocks_row_col: Sequence[Pair],
    bounds: Bounds,
    *,
    aspect_row_col: Pair | None = None,
) -> WindowPlan:
    """Cut a part of the dense raster into windows: the largest that every bound allows, in whole output blocks.

    Windows are as wide as the raster where rows of whole output blocks fit in the budget, without `Bounds.whole_blocks`
    also where a single row of pixels does; and always where an output is striped, that is, where a block is as wide as
    the raster: part of a striped file's row costs as much as all of it. Else, or where an aspect is wanted, windows are
    whole blocks of all outputs along both axes, or, without `Bounds.whole_blocks`, a block wide and lower than that.

    Parameters
    ----------
    name : str
        Of the job, for the error.
    window : Window
        The part of the dense raster to make.
    resolution_row_col : tuple of int
        Dense pixels a node.
    memory : MemoryOf
    blocks_row_col : sequence of tuple of int
        The shapes of the outputs' blocks. A block that two windows share is written twice.
    bounds : Bounds
    aspect_row_col : tuple of int, optional
        The wanted shape, such as (1, 1) for squares, as far as blocks and bounds allow. None is as wide as can be.

    Raises
    ------
    MemoryError
        If no window fits in the budget; the message says what would.
    """
    planner = _Planner(window, resolution_row_col, memory, tuple(blocks_row_col), bounds)
    plan = planner.windows(aspect_row_col) if aspect_row_col is not None else None
    plan = plan or planner.strips() or planner.windows(None) or planner.low_windows()
    if plan is None:
        what, shape = planner.least()
        raise MemoryError(
            f"{name}: {what}, {shape[0]} x {shape[1]} pixels, needs a memory_budget of "
            f"{bounds.budget_for(memory(shape, 1))} bytes, and it is {bounds.memory_budget}"
        )
    return plan


@dataclass(frozen=True)
class _Planner:
    """The ways to cut a raster into windows, each of which returns None where it does not fit."""

    window: Window
    resolution: Pair
    memory: MemoryOf
    blocks: tuple[Pair, ...]
    bounds: Bounds

    @property
    def striped(self) -> bool:
        """Whether a block of some output is as wide as the raster."""
        return any(width >= self.window.shape[1] for _, width in self.blocks)

    @property
    def largest_block(self) -> Pair:
        """The greatest height and the greatest width of the outputs' blocks."""
        return max((rows for rows, _ in self.blocks), default=1), max((cols for _, cols in self.blocks), default=1)

    def strips(self) -> WindowPlan | None:
        """Cut the whole width, in rows of whole blocks, or of less where that is allowed and must be."""
        (height, width), tallest = self.window.shape, self.largest_block[0]
        block_row = min(tallest, height)
        sets = self._sets_for((block_row, width)) or 1
        fitting = self._most_rows(width, sets, self.bounds.buffer_bytes)
        if fitting < (block_row if self.bounds.whole_blocks else 1):
            return None
        rows = min(fitting, max(self._most_rows(width, sets, self.bounds.window_bytes), tallest))
        return WindowPlan(self.window, self.resolution, (self._height(rows, tallest), width), sets)

    def windows(self, aspect_row_col: Pair | None) -> WindowPlan | None:
        """Cut both axes, in whole blocks of all outputs, or at least of the largest."""
        if self.striped:
            return None
        height, width = self.window.shape
        heights, widths = zip(*(self.blocks or [(1, 1)]), strict=True)
        for block in ((lcm(*heights), lcm(*widths)), self.largest_block):
            rows, cols = min(block[0], height), min(block[1], width)
            sets = self._sets_for((rows, cols))
            if sets:
                room = min(self.bounds.buffer_bytes, max(self.bounds.window_bytes, self.memory((rows, cols), sets)))
                shape = self._whole_blocks((rows, cols), sets, room, aspect_row_col)
                return WindowPlan(self.window, self.resolution, shape, sets)
        return None

    def _whole_blocks(self, block: Pair, sets: int, room: int, aspect_row_col: Pair | None) -> Pair:
        """Return the shape of the largest window of whole blocks, as wide as can be or of about this aspect."""
        height, width = self.window.shape

        def shape_of(blocks_across: int) -> Pair:
            cols, rows = min(blocks_across * block[1], width), block[0]
            if aspect_row_col is not None:
                tall, wide = aspect_row_col
                rows *= max(1, cols * tall // (wide * block[0]))
            return min(rows, height), cols

        across = _most(lambda k: self.memory(shape_of(k), sets) <= room, -(-width // block[1]))
        rows, cols = shape_of(max(1, across))
        fitting = self._most_rows(cols, sets, room)
        rows = fitting if cols == width else min(rows, fitting)
        return self._height(rows, block[0]), cols

    def low_windows(self) -> WindowPlan | None:
        """Cut windows as wide as a block, in fewer rows than it has."""
        tallest, cols = self.largest_block
        if self.striped or self.bounds.whole_blocks or not self._fits((1, cols), 1):
            return None
        rows = self._most_rows(cols, 1, self.bounds.buffer_bytes)
        return WindowPlan(self.window, self.resolution, (self._height(rows, tallest), cols), 1)

    def least(self) -> tuple[str, Pair]:
        """Return in words, and in rows and columns, the least window that would do."""
        (height, width), (tallest, widest) = self.window.shape, self.largest_block
        if self.bounds.whole_blocks and self.striped:
            return "one row of the outputs' blocks", (min(tallest, height), width)
        if self.bounds.whole_blocks:
            return "one of the outputs' blocks", (min(tallest, height), widest)
        return ("the least strip", (1, width)) if self.striped else ("the least window", (1, widest))

    def _sets_for(self, shape: Pair) -> int:
        """Return how many sets of buffers of this shape fit in the budget, at most as many as are asked for."""
        return next((sets for sets in range(self.bounds.buffer_sets, 0, -1) if self._fits(shape, sets)), 0)

    def _fits(self, shape: Pair, sets: int) -> bool:
        return self.memory(shape, sets) <= self.bounds.buffer_bytes

    def _most_rows(self, cols: int, sets: int, room: int) -> int:
        return _most(lambda rows: self.memory((rows, cols), sets) <= room, self.window.shape[0])

    def _height(self, rows_in_budget: int, block_height: int) -> int:
        """Return the rows of a window that fit in memory and that the caller allows, of whole blocks where they can be.

        In INPUT mode windows start on nodes, or are so low that they read no more than one row of nodes above their
        size: they are whole blocks only where that stays true.
        """
        height, rr = self.window.shape[0], self.resolution[0]
        rows = max(1, min(self.bounds.rows_at_most(rr, height), rows_in_budget))
        if not block_height < rows < height:
            return rows
        whole_blocks = rows - rows % block_height
        counts_nodes = bool(self.bounds.strip_size) and self.bounds.strip_target is GridRIOMode.INPUT
        stays_low = whole_blocks % rr == 0 or whole_blocks <= (self.bounds.strip_size - 1) * rr + 1
        return whole_blocks if stays_low or not counts_nodes else rows


def _most(fits: Callable[[int], bool], most: int) -> int:
    """Return the largest number up to `most` that fits, 0 where none does; whatever is less than one that fits does."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low
