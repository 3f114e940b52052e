"""Hypothesis strategies for the jobs of this package."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import shapely
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

#: For properties of which an example writes a store or computes a graph, a second at a time.
fewer = settings(max_examples=max(8, settings.default.max_examples // 3))

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


# -- shapes that are hard on a scanline ---------------------------------------------------------------------------
# Each is drawn in the unit square, by a few numbers and a seeded generator: there may be thousands of vertices.


def _ring(random, size, centre=(0.5, 0.5), radius=0.45):
    angles = np.linspace(0, 2 * np.pi, size, endpoint=False)
    radii = radius * random.uniform(0.5, 1.0, size)
    return np.array(centre) + radii[:, np.newaxis] * np.column_stack([np.cos(angles), np.sin(angles)])


def _star(random, size):
    ring = _ring(random, 3 + size)
    return [shapely.Polygon(ring, [0.5 + 0.4 * (ring - 0.5)] if random.random() < 0.5 else [])]


def _comb(random, size):
    xs = np.repeat(np.sort(random.uniform(0, 1, 2 * size + 2)), 2)
    teeth = np.tile([0.1, 1.0, 1.0, 0.1], size + 1)[: len(xs)] * random.uniform(0.9, 1.1, len(xs))
    return [shapely.Polygon([(xs[0], 0.0), *zip(xs, teeth, strict=True), (xs[-1], 0.0)])]


def _spiral(random, size):
    angles = np.linspace(0, 2 * np.pi * (1 + size / 40), 8 + 4 * size)
    radii = 0.05 + 0.4 * angles / angles[-1]
    width = 0.3 / (2 + size / 40) * random.uniform(0.1, 0.9)
    outer, inner = (np.column_stack([r * np.cos(angles), r * np.sin(angles)]) for r in (radii, radii - width * 0.1))
    return [shapely.Polygon(0.5 + np.concatenate([outer, inner[::-1]]))]


def _nested(random, size):
    ring = _ring(random, 3 + size) - 0.5
    scales = np.linspace(1, 0.1, 2 * (1 + size % 4))
    return [shapely.Polygon(0.5 + ring * a, [0.5 + ring * b]) for a, b in zip(scales[::2], scales[1::2], strict=True)]


def _touching(random, size):
    """A box with diamonds as holes, each touching the next in a point, the first and last touching the box."""
    n = 1 + size % 6
    half = 0.5 / n
    y = random.uniform(0.4, 0.6)
    return [
        shapely.Polygon(
            [(0, 0), (1, 0), (1, y), (1, 1), (0, 1), (0, y)],
            [[(x - half, y), (x, y - 0.3), (x + half, y), (x, y + 0.3)] for x in (2 * np.arange(n) + 1) * half],
        )
    ]


def _slivers(random, size):
    ends = random.uniform(0, 1, (1 + size % 9, 2, 2))
    return [shapely.Polygon([a, b, b + random.uniform(-1e-12, 1e-12, 2)]) for a, b in ends]


def _boxes(random, size):
    """Boxes that share edges, and triangles that share a vertex."""
    xs, ys = (np.sort(random.uniform(0, 1, 2 + size % 4)) for _ in range(2))
    boxes = [shapely.box(xs[i], ys[j], xs[i + 1], ys[j + 1]) for i in range(len(xs) - 1) for j in range(len(ys) - 1)]
    fan = _ring(random, 3 + size % 9)
    return boxes + [shapely.Polygon([(0.5, 0.5), a, b]) for a, b in pairwise(fan)]


def _overlapping(random, size):
    return [
        shapely.Polygon(_ring(random, 3 + size % 30, random.uniform(0.2, 0.8, 2), random.uniform(0.05, 0.6)))
        for _ in range(1 + size % 7)
    ]


SHAPES = (_star, _comb, _spiral, _nested, _touching, _slivers, _boxes, _overlapping)
_SNAPS = st.sampled_from([None, 1.0, 0.5, 0.1, 1 / 3])
_OFFSETS = st.sampled_from([0.0, 0.0, 0.1, -7.25, 1e6, 2.0**31, 2.0**31 + 1 / 3, 1e15])
_STEPS = st.sampled_from([1.0, 1.0, 1.0, 0.5, 0.1, 1 / 3, 7.0])


@st.composite
def scanned(draw, shapes, most=60):
    """Polygons over a lattice: polygons, shape, origin and step, (row, column) each.

    Vertices lie on multiples of a fraction of a step, or anywhere; what snapping made invalid is mended.
    """
    shape = draw(shapes)
    step = draw(st.tuples(_STEPS, _STEPS))
    origin = draw(st.tuples(_OFFSETS, _OFFSETS))
    snap = draw(_SNAPS)
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    extent = np.array([shape[1], shape[0]]) * draw(st.sampled_from([1.0, 0.8, 1.5]))
    offset, scale = np.array(origin[::-1]), np.array(step[::-1])

    def place(unit):
        nodes = unit * extent - 0.5
        return offset + scale * (nodes if snap is None else np.round(nodes / snap) * snap)

    members = [
        draw(st.sampled_from(SHAPES))(random, draw(st.integers(0, most))) for _ in range(draw(st.integers(1, 2)))
    ]
    mended = shapely.make_valid(shapely.transform(np.concatenate(members), place))
    parts = shapely.get_parts(shapely.get_parts(mended))
    polygons = parts[(shapely.get_type_id(parts) == 3) & ~shapely.is_empty(parts)]
    return list(polygons[shapely.is_valid(polygons)]), shape, origin, step
