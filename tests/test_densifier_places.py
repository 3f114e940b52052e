"""Scattered places of a dense raster: at pixels and between them (laws 2, 4, 6 and 10)."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import product

import grids
import numpy as np
import pytest
import rasterio
import shapely
from densifiers import CASES, made, opened, options_of, same
from grids import RESOLUTION, SHAPE, clouds
from hypothesis import given
from hypothesis import strategies as st
from oracles import contributing, ulp

import gridr_numba as gn

RASTERIZE = {"alg": gn.GridRasterizeAlg.RASTERIO_RASTERIZE}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return grids.make(tmp_path_factory.mktemp("densifier"))


@pytest.fixture(scope="module", params=CASES)
def case(request, folder, tmp_path_factory):
    with opened(folder, tmp_path_factory.mktemp("whole"), **CASES[request.param]) as case:
        yield case


def test_at_pixels_it_is_what_is_read(case):
    densifier, coords, mask = case
    rows, cols = (each.ravel() for each in np.indices(densifier.shape))
    order = np.random.default_rng(2).permutation(len(rows))
    for kind in (np.int64, np.float64):
        some, codes = densifier.at(rows[order].astype(kind), cols[order].astype(kind))
        assert same(some, coords[:, rows[order], cols[order]])
        assert same(codes, mask[rows[order], cols[order]])


def exact_at(nodes, valid, row, col, resolution):
    """Return the exact bilinear values (None where a contributing node is void) and the exact weight of valid nodes."""
    where = [position / step for position, step in zip((row, col), resolution, strict=True)]
    weights = {}
    for r in {math.floor(where[0]), math.ceil(where[0])}:
        for c in {math.floor(where[1]), math.ceil(where[1])}:
            weight = (1 - abs(where[0] - r)) * (1 - abs(where[1] - c))
            if weight:
                weights[r, c] = weight
    void = any(not np.isfinite(nodes[:, r, c]).all() or nodes[0, r, c] == -9999 for r, c in weights)
    values = None if void else [sum(Fraction(float(band[node])) * w for node, w in weights.items()) for band in nodes]
    return values, sum(w for node, w in weights.items() if valid[node]), [nodes[:, r, c] for r, c in weights]


def test_the_oracle_is_that_of_pixels():
    nodes = np.zeros((2, 3, 3))
    for i, j in np.ndindex(5, 7):
        valid = np.random.default_rng(i + 7 * j).random((3, 3)) < 0.5
        weight = exact_at(nodes, valid, Fraction(i), Fraction(j), (2, 3))[1]
        assert weight == sum(w for node, w in contributing(i, j, (2, 3)).items() if valid[node])


@pytest.fixture(scope="module")
def coarse(folder):
    """Return the nodes, and which of them the mask says are valid."""
    with rasterio.open(folder / "grid.tif") as grid, rasterio.open(folder / "mask.tif") as mask:
        return grid.read(), mask.read(1) == 1


WINDOWS, THRESHOLDS = (None, ((3, 33), (10, 64))), (0.0, 0.25, 0.3, 0.5, 0.999, 1.0)


@pytest.fixture(scope="module", params=product(WINDOWS, THRESHOLDS), ids=str)
def masked(request, folder):
    """A densifier with a mask, its threshold, and where in the whole its first pixel is."""
    window, threshold = request.param
    options = {"mask": folder / "mask.tif", "threshold": threshold, "window": window, "mask_out_values": "causes"}
    with gn.open_densifier(folder / "grid.tif", resolution=RESOLUTION, **options) as densifier:
        yield densifier, threshold, (0, 0) if window is None else (3, 10)


@given(data=st.data())
def test_between_pixels_it_is_exact(coarse, masked, data):
    nodes, valid = coarse
    densifier, threshold, first = masked
    positions = [
        data.draw(
            st.lists(
                st.one_of(
                    st.floats(0, size - 1),
                    st.integers(0, 4 * (size - 1)).map(lambda n: n / 4),
                    st.sampled_from([5e-324, 1e-17, float(np.nextafter(5.0, 0)), float(np.nextafter(7.0, 9)), 3.5]),
                ),
                min_size=6,
                max_size=6,
            )
        )
        for size in densifier.shape
    ]
    coords, causes = densifier.at(*positions)
    for index, (row, col) in enumerate(zip(*positions, strict=True)):
        place = Fraction(row) + first[0], Fraction(col) + first[1]
        values, weight, corners = exact_at(nodes, valid, *place, RESOLUTION)
        assert bool(causes[index] & gn.Cause.RASTER_MASK) == (weight < Fraction(str(threshold)))
        assert bool(causes[index] & gn.Cause.NODE) == (values is None)
        if values is None:
            assert np.isnan(coords[:, index]).all()
            continue
        for band, value in enumerate(values):
            most = max(abs(corner[band]) for corner in corners)
            assert abs(Fraction(float(coords[band, index])) - value) <= 4 * ulp(most)


ORIGIN = (0.25, -3.5)
POLYGONS = [shapely.box(1, 2, 9.5, 11), shapely.Polygon([(0, 0), (33, 4), (7, 30)]), *clouds()]


@pytest.fixture(scope="module", params=gn.ShapelyPredicate)
def clouded(request, folder):
    """A densifier of a part, with invalid polygons, and what is asked of them."""
    options = {
        "invalid": POLYGONS,
        "geometry_origin": ORIGIN,
        "rasterize_kwargs": {"kwargs_alg": {"shapely_predicate": request.param}},
        "window": ((2, 40), (5, 70)),
        "mask_out_values": "causes",
    }
    with gn.open_densifier(folder / "grid.tif", resolution=RESOLUTION, **options) as densifier:
        yield densifier, {1: shapely.covers, 2: shapely.contains, 3: shapely.intersects}[int(request.param)]


@given(data=st.data())
def test_between_pixels_polygons_are_asked_about_the_point(clouded, data):
    densifier, ask = clouded
    rows, cols = (
        data.draw(st.lists(st.integers(0, 8 * (size - 1)).map(lambda n: n / 8), min_size=9, max_size=9))
        for size in densifier.shape
    )
    _, causes = densifier.at(rows, cols)
    for row, col, cause in zip(rows, cols, causes, strict=True):
        point = shapely.Point(col + 5 + ORIGIN[1], row + 2 + ORIGIN[0])
        assert bool(cause & gn.Cause.INSIDE_INVALID) == any(ask(polygon, point) for polygon in POLYGONS)


def test_gdal_burns_pixels_alone(folder, tmp_path):
    options = options_of(folder, rasterize_kwargs=RASTERIZE, geometry_origin=(0.013, 0.017))
    _, mask = made(folder, tmp_path, **options)
    with gn.open_densifier(folder / "grid.tif", **options) as densifier:
        assert same(densifier.read((slice(7, 33), slice(3, 70)))[1], mask[7:33, 3:70])
        rows, cols = (each.ravel() for each in np.indices(SHAPE))
        assert same(densifier.at(rows, cols)[1], mask.ravel())
        with pytest.raises(gn.GridrValueError, match="cols must hold integers with RASTERIO_RASTERIZE") as caught:
            densifier.at([1.0], [0.5])
    assert caught.value.argument == "cols"
    with gn.open_densifier(
        folder / "grid.tif", resolution=RESOLUTION, invalid=[], rasterize_kwargs=RASTERIZE
    ) as densifier:
        densifier.at([1.0], [0.5])  # there is nothing to burn


def test_the_last_node_may_be_asked_of_and_nothing_beyond(folder):
    with gn.open_densifier(folder / "grid.tif", resolution=RESOLUTION) as densifier:
        coords, _ = densifier.at([0, 40], [0, 70])
        assert np.isfinite(coords).all()
        assert densifier.at([], [])[0].shape == (2, 0)
        assert densifier.at(3, 4.5)[1].shape == (1,)
        for rows, cols, argument in (
            ([0, 40.001], [0, 0], "rows"),
            ([-0.1], [0], "rows"),
            ([0], [71], "cols"),
            ([0], [math.nan], "cols"),
            ([0], [math.inf], "cols"),
            ([0, 1], [0], "cols"),
        ):
            with pytest.raises(gn.GridrValueError) as caught:
                densifier.at(rows, cols)
            assert caught.value.argument == argument
        for wrong in ("a", None, [[1, 2]], [1, [2]], [True], np.ma.masked_less([-1], 0)):
            with pytest.raises(gn.GridrTypeError, match="rows must be numbers, in one dimension") as caught:
                densifier.at(wrong, [0])
            assert caught.value.argument == "rows"
