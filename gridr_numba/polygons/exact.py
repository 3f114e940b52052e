"""Point in polygon in exact rational arithmetic, for coordinates that GEOS cannot multiply without overflow.

Slow and plain on purpose: it answers for polygons with vertices beyond `GEOS_LIMIT`, which nobody draws by hand but
which "everywhere" is sometimes written as.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

#: GEOS multiplies up to four coordinates; beyond this the package answers exactly instead of asking it.
GEOS_LIMIT = 1e30

Edge = tuple[Fraction, Fraction, Fraction, Fraction]


def mark_inside_exactly(
    rings: list[NDArray[np.float64]],
    xs: NDArray[np.float64],
    ys: NDArray[np.float64],
    boundary_belongs: bool,
    out: NDArray[np.bool_],
) -> None:
    """Set the pixels inside a polygon to True; the others are left alone.

    Parameters
    ----------
    rings : list of ndarray (vertices, 2)
        Closed rings, in any order: even-odd decides.
    xs, ys : ndarray
        Centres of columns and of rows, ascending.
    boundary_belongs : bool
        Whether a centre on the boundary is inside.
    out : ndarray of bool (rows, columns)
    """
    edges = [
        (Fraction(x0), Fraction(y0), Fraction(x1), Fraction(y1))
        for ring in rings
        for (x0, y0), (x1, y1) in pairwise(ring.tolist())
    ]
    columns = xs.tolist()
    for i, y in enumerate(ys.tolist()):
        inside, boundary = _row_spans(edges, Fraction(y))
        row = np.zeros(len(columns), dtype=np.bool_)
        for spans, value in ((inside, True), (boundary, boundary_belongs)):
            for low, high in spans:
                row[bisect_left(columns, low) : bisect_right(columns, high)] = value
        out[i] |= row


def _row_spans(edges: list[Edge], y: Fraction) -> tuple[list[tuple[Fraction, Fraction]], ...]:
    """Return the closed spans of a row that are inside by even-odd, and those that lie on an edge."""
    crossings: list[Fraction] = []
    boundary: list[tuple[Fraction, Fraction]] = []
    for x0, y0, x1, y1 in edges:
        if not min(y0, y1) <= y <= max(y0, y1):
            continue
        if y0 == y1:
            boundary.append((min(x0, x1), max(x0, x1)))
            continue
        x = x0 + (y - y0) * (x1 - x0) / (y1 - y0)
        boundary.append((x, x))
        if y < max(y0, y1):  # half-open, so that a vertex on the row counts once where the ring passes through
            crossings.append(x)
    crossings.sort()
    return list(zip(crossings[::2], crossings[1::2], strict=True)), boundary
