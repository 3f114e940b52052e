"""Hypothesis strategies for the jobs of this package."""

from __future__ import annotations

import math

import numpy as np
import shapely
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

resolutions = st.tuples(st.integers(1, 7), st.integers(1, 7))
node_shapes = st.tuples(st.integers(1, 5), st.integers(1, 5))

# Coordinates of every size that a float64 can hold: sums of two neighbours may overflow, a blend of them may not.
coordinates = st.one_of(
    st.floats(-1e5, 1e5),
    st.integers(-50, 50).map(float),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, -0.0, 5e-324, -1.5e308, 1.7976931348623157e308, -1.7976931348623157e308]),
)
broken = st.sampled_from([math.nan, math.inf, -math.inf])


@st.composite
def node_arrays(draw, bands=2, shape=None, elements=coordinates, voids=True):
    """Coordinates of nodes, some of them void."""
    shape = draw(node_shapes) if shape is None else shape
    values = st.one_of(elements, elements, elements, broken) if voids else elements
    return draw(hnp.arrays(np.float64, (bands, *shape), elements=values, fill=st.nothing()))


@st.composite
def masks_of_nodes(draw, shape=None):
    """Coarse masks of 0 and 1."""
    shape = draw(node_shapes) if shape is None else shape
    return draw(hnp.arrays(np.uint8, shape, elements=st.integers(0, 1), fill=st.nothing()))


thresholds = st.one_of(st.sampled_from([0.999, 1.0, 0.0, 0.5, 0.25, 0.75, 0.3]), st.floats(0, 1))


@st.composite
def windows_in(draw, shape):
    """A half-open window within a raster of a shape, as (row_start, row_stop, col_start, col_stop)."""
    row_start = draw(st.integers(0, shape[0] - 1))
    col_start = draw(st.integers(0, shape[1] - 1))
    return (
        row_start,
        draw(st.integers(row_start + 1, shape[0])),
        col_start,
        draw(st.integers(col_start + 1, shape[1])),
    )


def inclusive(window):
    """GRIDR's inclusive pairs."""
    return ((window[0], window[1] - 1), (window[2], window[3] - 1))


vertices = st.one_of(st.integers(-4, 24).map(float), st.integers(-8, 48).map(lambda n: n / 2), st.floats(-4, 24))


@st.composite
def star_polygons(draw, holes=True):
    """Valid polygons around a centre, on and off the lattice, some with a hole."""
    col, row = draw(vertices), draw(vertices)
    radii = draw(st.lists(st.floats(0.3, 15), min_size=3, max_size=9))
    angles = [2 * math.pi * k / len(radii) for k in range(len(radii))]
    on_lattice = draw(st.booleans())

    def place(scale):
        ring = [
            (col + scale * r * math.cos(a), row + scale * r * math.sin(a)) for r, a in zip(radii, angles, strict=True)
        ]
        return [(float(round(x)), float(round(y))) for x, y in ring] if on_lattice else ring

    polygon = shapely.Polygon(place(1.0), [place(0.5)] if holes and draw(st.booleans()) else [])
    return polygon if polygon.is_valid and polygon.area > 0 else shapely.box(col, row, col + 3, row + 2)


boxes = st.builds(
    lambda x, y, w, h: shapely.box(x, y, x + w, y + h), vertices, vertices, st.integers(1, 9), st.integers(1, 9)
)
polygon_lists = st.lists(st.one_of(star_polygons(), boxes), min_size=1, max_size=4)
