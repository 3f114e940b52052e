"""Coarse nodes -> sums of what they hold, from which a grid is judged: how its coordinates follow its nodes.

*Nodes.* Sums of the products of (1, row of the node, column of the node, source row, source column), each counted from
one node's, so that large offsets cost no digits. A least-squares fit, means and deviations follow from them.

*Cells.* The Jacobian's determinant is linear within a cell of four nodes, so those at its corners are its extremes:
positive where the source is seen as it is, negative where it is seen mirrored.

Void nodes are NaN in both bands, as `bilinear.void_nodes` leaves them. In one thread: there are few nodes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .jit import helper, kernel, summing_helper

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Pair = tuple[int, int]


class Sums(NamedTuple):
    """What is gathered; all of it is added to.

    Attributes
    ----------
    reference : float64 (4,)
        Of the first node that is not void: its row, its column, and what it holds; what `products` count from.
    products : float64 (5, 5)
        Sums of the products of (1, row, column, source row, source column); the upper triangle.
    ranges : float64 (2, 2)
        Of each band the least and the largest value.
    inside : int64 (2,)
        Nodes that look into the source, and that would with the bands exchanged.
    cells : int64 (1,)
        Those with no void node.
    signs : int64 (2, 2)
        Of positive determinants, then of negative ones: the corners that have one, and the cells that have such a
        corner.
    """

    reference: Floats
    products: Floats
    ranges: Floats
    inside: Integers
    cells: Integers
    signs: Integers


def no_sums() -> Sums:
    """Return the sums of no nodes."""
    ranges = np.array([[np.inf, -np.inf], [np.inf, -np.inf]])
    counts = np.zeros(2, np.int64), np.zeros(1, np.int64), np.zeros((2, 2), np.int64)
    return Sums(np.zeros(4), np.zeros((5, 5)), ranges, *counts)


@kernel
def survey(nodes: Floats, first: Pair, counted_from: Pair, source: Floats, sums: Sums) -> None:
    """Add a window of nodes.

    Parameters
    ----------
    nodes : float64 (2, rows, columns)
        Source rows, source columns; void nodes are NaN in both.
    first : (int, int)
        Row and column of the window's first node in the grid.
    counted_from : (int, int)
        The window's first row and first column that were not counted with another. The ones before serve for cells.
    source : float64 (2, 2)
        The least and the largest row, and column, that lie in the source.
    sums : Sums
    """
    if sums.products[0, 0] == 0.0:
        set_reference(nodes, first, sums.reference)
    for r in range(counted_from[0], nodes.shape[1]):
        row = first[0] + r - sums.reference[0]
        start = counted_from[1]
        col = first[1] + start - sums.reference[1]
        add_nodes(nodes[0, r][start:], nodes[1, r][start:], row, col, source, sums)
    start = max(counted_from[1] - 1, 0)
    for r in range(max(counted_from[0] - 1, 0), nodes.shape[1] - 1):
        above, below = (nodes[0, r][start:], nodes[1, r][start:]), (nodes[0, r + 1][start:], nodes[1, r + 1][start:])
        add_cells(above, below, sums)


@helper
def set_reference(nodes: Floats, first: Pair, out: Floats) -> None:
    """Write the place and the values of the first node that is not void."""
    for r in range(nodes.shape[1]):
        for k in range(nodes.shape[2]):
            if not np.isnan(nodes[0, r, k]):
                out[0] = first[0] + r
                out[1] = first[1] + k
                out[2] = nodes[0, r, k]
                out[3] = nodes[1, r, k]
                return


@helper
def add_nodes(rows: Floats, cols: Floats, row: float, col: float, source: Floats, sums: Sums) -> None:
    """Add a row of nodes; `row` and `col` are the first one's place, from the reference.

    Three passes, each of which vectorises.
    """
    add_range(rows, sums.ranges[0])
    add_range(cols, sums.ranges[1])
    add_inside(rows, cols, source, sums.inside)
    n, j, jj, y, yy, jy, x, xx, jx, xy = products_of(rows, cols, sums.reference[2], sums.reference[3], col)
    products = sums.products
    products[0, 0] += n
    products[0, 1] += n * row
    products[0, 2] += j
    products[0, 3] += y
    products[0, 4] += x
    products[1, 1] += n * row * row
    products[1, 2] += row * j
    products[1, 3] += row * y
    products[1, 4] += row * x
    products[2, 2] += jj
    products[2, 3] += jy
    products[2, 4] += jx
    products[3, 3] += yy
    products[3, 4] += xy
    products[4, 4] += xx


@summing_helper
def add_range(values: Floats, out: Floats) -> None:
    """Widen a range to hold a row of values; no comparison with NaN holds."""
    low, high = out[0], out[1]
    for k in range(values.shape[0]):
        value = values[k]
        low = value if value < low else low
        high = value if value > high else high
    out[0] = low
    out[1] = high


@helper
def add_inside(rows: Floats, cols: Floats, source: Floats, out: Integers) -> None:
    """Count the nodes of a row that look into the source, and that would with the bands exchanged."""
    top, bottom, left, right = source[0, 0], source[0, 1], source[1, 0], source[1, 1]
    inside = exchanged = np.int64(0)
    for k in range(rows.shape[0]):
        a = rows[k]
        b = cols[k]
        inside += np.int64((top <= a) & (a <= bottom) & (left <= b) & (b <= right))
        exchanged += np.int64((top <= b) & (b <= bottom) & (left <= a) & (a <= right))
    out[0] += inside
    out[1] += exchanged


@summing_helper
def products_of(rows: Floats, cols: Floats, row_0: float, col_0: float, col: float) -> tuple[float, ...]:
    """Return sums over a row of nodes of 1, j, jj, y, yy, jy, x, xx, jx and xy.

    j is the place along the row from `col` on, y and x are what a node holds from `row_0` and `col_0` on.
    """
    n = j = jj = y = yy = jy = x = xx = jx = xy = 0.0
    for k in range(rows.shape[0]):
        known = rows[k] == rows[k]
        place = col + k if known else 0.0
        a = rows[k] - row_0 if known else 0.0
        b = cols[k] - col_0 if known else 0.0
        n += 1.0 if known else 0.0
        j += place
        jj += place * place
        y += a
        yy += a * a
        jy += place * a
        x += b
        xx += b * b
        jx += place * b
        xy += a * b
    return n, j, jj, y, yy, jy, x, xx, jx, xy


@helper
def add_cells(above: tuple[Floats, Floats], below: tuple[Floats, Floats], sums: Sums) -> None:
    """Add the cells between two rows of nodes, each (source rows, source columns).

    Without branches, so that it vectorises.
    """
    (rows_0, cols_0), (rows_1, cols_1) = above, below
    cells = positive = negative = cells_positive = cells_negative = np.int64(0)
    for k in range(rows_0.shape[0] - 1):
        # The edges of a cell, each (source rows, source columns).
        left_y, left_x = rows_1[k] - rows_0[k], cols_1[k] - cols_0[k]
        right_y, right_x = rows_1[k + 1] - rows_0[k + 1], cols_1[k + 1] - cols_0[k + 1]
        upper_y, upper_x = rows_0[k + 1] - rows_0[k], cols_0[k + 1] - cols_0[k]
        lower_y, lower_x = rows_1[k + 1] - rows_1[k], cols_1[k + 1] - cols_1[k]
        a = left_y * upper_x - left_x * upper_y
        b = left_y * lower_x - left_x * lower_y
        c = right_y * upper_x - right_x * upper_y
        d = right_y * lower_x - right_x * lower_y
        known = np.int64((a == a) & (b == b) & (c == c) & (d == d))
        over = known * (np.int64(a > 0.0) + np.int64(b > 0.0) + np.int64(c > 0.0) + np.int64(d > 0.0))
        under = known * (np.int64(a < 0.0) + np.int64(b < 0.0) + np.int64(c < 0.0) + np.int64(d < 0.0))
        cells += known
        positive += over
        negative += under
        cells_positive += np.int64(over > 0)
        cells_negative += np.int64(under > 0)
    sums.cells[0] += cells
    sums.signs[0, 0] += positive
    sums.signs[0, 1] += cells_positive
    sums.signs[1, 0] += negative
    sums.signs[1, 1] += cells_negative
