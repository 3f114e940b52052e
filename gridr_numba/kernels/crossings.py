"""Where edges cross a row: an integer key each, as exact arithmetic would place it, or one that says that it cannot.

*A key* is a position and two bits. Centre ``j`` of the window has position ``2j + 1``, the gap before it ``2j``. A
crossing between two centres has the position of the gap, and a crossing exactly on a centre that of the centre. The
bits say whether the edge is there just above the row, just below it, or both: an edge that ends on the row is there on
one side only, and a horizontal edge on neither, so it has no keys. The walk keeps the parity of both sides. Where both
are odd the row is inside; where one of them is, the row runs along a horizontal edge, which belongs to the polygon if
its boundary does; and a position that is a centre is a point of the boundary itself. With this, vertices on rows,
horizontal edges, and holes that touch need no case of their own.

*Certainty.* With u = 2**-53, ``slope = (x1 - x0) / (y1 - y0)`` and ``x = x0 + (y - y0) * slope`` take five operations
that each err by at most u of ``|x1 - x0|``, since ``y`` lies between the ends, and a sum that errs by u of the larger
of ``|x0|`` and ``|x1|``: with second-order terms, x errs by less than ``6.1 u (|x0| + |x1|)``. The bound that is used
is ``8 u (|x0| + |x1|) + 1e-150`` (underflow is less: edges that rise less than `LEAST_RISE` are not here), within the
edge's own range; where an edge ends on the row, or is vertical, its x is exact. A centre further away than the bound,
and than 1e-150 in any case, is decided, and GEOS decides likewise: its orientation test, in double-doubles, errs by
less than 2**-99 of ``|x1 - x0|``, and its products do not underflow, since the edge rises `LEAST_RISE`. One centre that
is nearer is on the edge if it is at an exact x, or is decided by `crossing_side` if the differences of the coordinates
are exact (on integers, say): then GEOS's test is exact too. If they are not, the polygon leaves that centre alone and
it goes to `doubts`; where several centres are nearer, the polygon's whole row does.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .jit import helper

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
#: Centre of index 0, step (positive), first index, and the one after the last. Centre ``i`` is ``origin + step*i``.
Axis = tuple[float, float, int, int]

_ULPS = 8.0 * 2.0**-53
LEAST_BOUND = 1e-150

# A key is position << 3, and these.
ABOVE = 1
BELOW = 2
BOTH_SIDES = 3
DOUBT = 4
SEVERAL = -1  # sorts first

# What `crossing_side` says where it cannot tell, and below which product it cannot.
_UNKNOWN = 2
_LEAST_PRODUCT = 1e-250


@helper
def write_keys(
    ends: Floats,
    turns: Integers,
    active: Integers,
    n_active: int,
    row_axis: Axis,
    col_axis: Axis,
    row_start: int,
    row_stop: int,
    key_ends: Integers,
    keys: Integers,
) -> None:
    """Write the keys of some rows of a band. What says where a row's keys start then says where they end."""
    start_key = key_ends[row_start]
    origin, step, first, _ = row_axis
    col_origin, col_step, col_start, col_stop = col_axis
    cols_a_unit = 1.0 / max(col_step, LEAST_BOUND)  # finite; no more than a guess comes of it
    for k in range(n_active):
        edge = active[k]
        x0, y0, x1, y1 = ends[edge, 0], ends[edge, 1], ends[edge, 2], ends[edge, 3]
        slope = (x1 - x0) / (y1 - y0)
        bound = _ULPS * (abs(x0) + abs(x1)) + LEAST_BOUND
        for i in range(max(turns[edge, 0] - first, row_start), min(turns[edge, 3] - first, row_stop)):
            y = origin + step * (first + i)
            # Nearly all crossings are far from any centre: a guess of the first centre after one is seen to be right.
            x = x0 + (y - y0) * slope
            guess = (x - col_origin) * cols_a_unit
            col = col_stop if guess >= col_stop else int(np.ceil(guess)) if guess > col_start else col_start
            is_after = col == col_stop or col_origin + col_step * col > x + bound + LEAST_BOUND
            is_first = col == col_start or col_origin + col_step * (col - 1) < x - bound - LEAST_BOUND
            if is_after and is_first and y0 < y < y1:
                key = (2 * (col - col_start)) << 3 | BOTH_SIDES
            else:
                key = crossing_key(x0, y0, x1, y1, slope, bound, y, col_axis)
            keys[key_ends[i] - start_key] = key
            key_ends[i] += 1


@helper
def crossing_key(
    x0: float, y0: float, x1: float, y1: float, slope: float, bound: float, y: float, col_axis: Axis
) -> int:
    """Return the key of where an edge crosses a row; `SEVERAL` where that could be on either side of two centres."""
    sides = BOTH_SIDES
    if y == y0:
        low = high = x0
        sides = ABOVE
    elif y == y1:
        low = high = x1
        sides = BELOW
    else:
        x = x0 + (y - y0) * slope
        low = max(x - bound, min(x0, x1))
        high = min(x + bound, max(x0, x1))
    origin, step, start, stop = col_axis
    col = first_centre(low - LEAST_BOUND, origin, step, start, stop)
    centre = origin + step * col
    position = 2 * (col - start)
    if col < stop and centre <= high + LEAST_BOUND:
        if col + 1 < stop and origin + step * (col + 1) <= high + LEAST_BOUND:
            return SEVERAL
        side = 0 if low == centre == high else crossing_side(x0, y0, x1, y1, centre, y)
        position += 1 + (side if side != _UNKNOWN else 0)
        if side == _UNKNOWN:
            sides |= DOUBT
    return position << 3 | sides


@helper
def first_centre(value: float, origin: float, step: float, start: int, stop: int) -> int:
    """Return the first centre of an axis at or after a value, `stop` if none is."""
    guess = (value - origin) / step
    index = stop if guess >= stop else int(np.ceil(guess)) if guess > start else start
    # Rounding may have put the guess off by one; where centres coincide, it may be off by thousands.
    low, high = start, stop
    if index < stop and origin + step * index < value:
        low = index + 1
    elif index > start and origin + step * (index - 1) >= value:
        high = index - 1
    else:
        return index
    while low < high:
        middle = (low + high) // 2
        if origin + step * middle >= value:
            high = middle
        else:
            low = middle + 1
    return low


@helper
def crossing_side(x0: float, y0: float, x1: float, y1: float, x: float, y: float) -> int:
    """Say whether an edge passes a centre at smaller x (-1), through it (0), at larger x (1), or `_UNKNOWN`.

    The sign of ``(y - y0) * (x1 - x0) - (x - x0) * (y1 - y0)``, from differences that are exact, or `_UNKNOWN`.
    """
    exact = (
        exact_difference(x1, x0)
        and exact_difference(y1, y0)
        and exact_difference(x, x0)
        and exact_difference(y, y0)
        and exact_difference(x, x1)
        and exact_difference(y, y1)
    )
    left, left_rest = product(y - y0, x1 - x0)
    right, right_rest = product(x - x0, y1 - y0)
    left_underflows = abs(left) < _LEAST_PRODUCT and y != y0 and x1 != x0
    right_underflows = abs(right) < _LEAST_PRODUCT and x != x0
    if not exact or left_underflows or right_underflows:
        return _UNKNOWN
    if left == right:
        return int(left_rest > right_rest) - int(left_rest < right_rest)
    if abs(left - right) > 2.0 * (abs(left_rest) + abs(right_rest)):
        return 1 if left > right else -1
    return _UNKNOWN


@helper
def exact_difference(a: float, b: float) -> bool:
    """Say whether ``a - b`` is a float64 (Knuth's sum without error)."""
    difference = a - b
    rounded = difference - a
    return (a - (difference - rounded)) - (b + rounded) == 0.0


@helper
def product(a: float, b: float) -> tuple[float, float]:
    """Return a product and what rounding took from it (Dekker's)."""
    scaled_a, scaled_b = 134217729.0 * a, 134217729.0 * b
    high_a, high_b = scaled_a - (scaled_a - a), scaled_b - (scaled_b - b)
    low_a, low_b = a - high_a, b - high_b
    rounded = a * b
    return rounded, ((high_a * high_b - rounded) + high_a * low_b + low_a * high_b) + low_a * low_b
