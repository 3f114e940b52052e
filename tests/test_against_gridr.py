"""The same calls to this package and to GRIDR 0.7.0, on cases where GRIDR's answer is well defined.

Also, one test for each row of docs/reference/differences.md that can be shown on GRIDR itself: it records what
GRIDR does, so that a row that is no longer true is noticed.
"""

from __future__ import annotations

import numpy as np
import oracles
import pytest
import rasterio
import shapely
import strategies as own
from hypothesis import given, settings
from hypothesis import strategies as st

import gridr_numba as gn

chain = pytest.importorskip("gridr.chain.grid_mask_chain")
from gridr.core.grid.grid_mask import build_mask as gridr_build_mask  # noqa: E402
from gridr.core.grid.grid_rasterize import GridRasterizeAlg, ShapelyPredicate  # noqa: E402
from gridr.core.grid.grid_rasterize import grid_rasterize as gridr_rasterize  # noqa: E402
from gridr.core.grid.grid_utils import build_grid as gridr_build_grid  # noqa: E402
from gridr.io.common import GridRIOMode  # noqa: E402

COVERS = {"alg": GridRasterizeAlg.SHAPELY, "kwargs_alg": {"shapely_predicate": ShapelyPredicate.COVERS}}
FULL = (1, 1)
# GRIDR dilates polygons by 1e-6: centres nearer than that to an edge are its own.
off_lattice = st.integers(-3, 12).map(lambda n: n + 0.37)
shifted_boxes = st.builds(
    lambda x, y, w, h: shapely.box(x, y, x + w, y + h), off_lattice, off_lattice, st.integers(1, 9), st.integers(1, 9)
)
# Two nodes or more: GRIDR's interpolator wants a cell.
gridr_shapes = st.tuples(st.integers(2, 5), st.integers(2, 5))


@settings(max_examples=25)
@given(st.data(), own.resolutions)
def test_build_grid(data, resolution):
    shape = data.draw(gridr_shapes)
    nodes = data.draw(own.node_arrays(shape=shape, elements=st.floats(-1e6, 1e6), voids=False))
    window = np.array(own.inclusive(data.draw(own.windows_in(oracles.full_shape(shape, resolution)))))
    arguments = (FULL, nodes, window, resolution, None, np.float64)
    # GRIDR interpolates near zero with the error of its largest neighbours.
    np.testing.assert_allclose(gn.build_grid(*arguments), gridr_build_grid(*arguments), rtol=1e-12, atol=1e-8)


@settings(max_examples=25)
@given(st.data(), st.sampled_from([(2, 2), (4, 1), (2, 8), (1, 1)]))
def test_build_mask(data, resolution):
    """At powers of two GRIDR's weights are exact, and so is its threshold."""
    boxes = st.lists(shifted_boxes, min_size=1)
    shape = data.draw(gridr_shapes)
    mask = data.draw(own.masks_of_nodes(shape=shape))
    full = oracles.full_shape(shape, resolution)
    pair = (data.draw(st.one_of(st.none(), shifted_boxes)), data.draw(st.one_of(st.none(), boxes)))
    arguments = (full, FULL, None, (0.5, -1.5), pair, mask, None, resolution, np.float64, 0.999, COVERS)
    assert np.array_equal(gn.build_mask(*arguments), gridr_build_mask(*arguments))


@settings(max_examples=25)
@given(st.lists(shifted_boxes, min_size=1, max_size=3), st.sampled_from(list(GridRasterizeAlg)), st.integers(1, 3))
def test_grid_rasterize(polygons, alg, predicate):
    win = np.array([[2, 8], [1, 7]]) if alg is GridRasterizeAlg.SHAPELY else None
    arguments = (None, (10, 9), (-1.0, 2.0), (1, 2), win, 1, 0, 0, polygons, None, alg, None, np.uint8)
    options = {"shapely_predicate": ShapelyPredicate(predicate)} if alg is GridRasterizeAlg.SHAPELY else {}
    assert np.array_equal(gn.grid_rasterize(*arguments, **options), gridr_rasterize(*arguments, **options))


@pytest.mark.parametrize("ncpu", [1, 2])
@pytest.mark.parametrize(("strip", "target"), [(0, 1), (2, 1), (7, 2)])
def test_a_program_for_gridr_runs_with_only_its_import_changed(rasters, ncpu, strip, target):
    rng = np.random.default_rng(3)
    shape, resolution = (6, 7), (4, 8)
    grid_in = rasters.reader(rng.random((2, *shape)) * 1000)
    mask_in = rasters.reader(rng.choice([7, 9], shape, p=[0.2, 0.8]).astype(np.uint8))
    full = oracles.full_shape(shape, resolution)
    pair = (shapely.box(1.3, 0.7, 50.2, 19.4), [shapely.box(4.4, 3.3, 9.1, 8.8), shapely.box(20.5, 9.5, 30.5, 12.6)])
    results = []
    for build in (gn.build_grid_mask_chain, chain.build_grid_mask_chain):
        grid_out, mask_out = rasters.writer(full, np.float64, bands=2), rasters.writer(full, np.uint8)
        build(
            resolution, grid_in, None, 1, 2, grid_out, None, 1, 2, mask_out, np.uint8, mask_in, 9, 1, np.float64,
            (0.0, 0.0), pair, COVERS, (3, 4), -9999.0, strip, GridRIOMode(target), ncpu, (5, 20),
        )  # fmt: skip
        results.append((rasters.content(grid_out), rasters.content(mask_out)))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-12)
    assert np.array_equal(results[0][1], results[1][1])


def test_the_mask_chain_too(rasters):
    rng = np.random.default_rng(4)
    shape, resolution = (6, 7), (4, 8)
    mask_in = rasters.reader(rng.integers(0, 2, shape).astype(np.uint8))
    full = oracles.full_shape(shape, resolution)
    pair = (None, shapely.box(3.3, 3.3, 9.9, 9.9))
    results = []
    for build in (gn.build_mask_chain, chain.build_mask_chain):
        out = rasters.writer(full, np.uint8)
        done = build(
            shape, resolution, out, np.uint8, mask_in, 1, 1, np.float64, (0.0, 0.0), pair, COVERS, io_strip_size=2,
        )  # fmt: skip
        assert done == 1
        results.append(rasters.content(out))
    assert np.array_equal(*results)


def test_the_constants_are_gridrs():
    for name in ("MASK_BINARY_THRESHOLD", "DEFAULT_IO_STRIP_SIZE", "DEFAULT_CPU_TILE_SHAPE", "DEFAULT_NCPU"):
        assert getattr(gn, name) == getattr(chain, name)
    for ours, theirs in ((gn.Validity, chain.Validity), (gn.GridRIOMode, GridRIOMode),
                         (gn.GridRasterizeAlg, GridRasterizeAlg), (gn.ShapelyPredicate, ShapelyPredicate)):  # fmt: skip
        assert {m.name: m.value for m in ours} == {m.name: m.value for m in theirs}


# -- what GRIDR does differently (rows of docs/reference/differences.md) ------------------------------------------


def both_grids(nodes, resolution, dtype=np.float64):
    arguments = (FULL, nodes, None, resolution, None, dtype)
    return gn.build_grid(*arguments), gridr_build_grid(*arguments)


def test_difference_a_node_spreads_no_further_than_it_contributes():
    nodes = np.zeros((2, 3, 3))
    nodes[:, 1, 1] = np.nan
    ours, theirs = both_grids(nodes, (2, 2))
    assert np.isnan(ours[0]).sum() == 9
    assert np.isnan(theirs[0]).sum() == 25


def test_difference_the_threshold_is_decided_in_integers():
    mask = np.array([[1, 1], [1, 0]], np.uint8)
    arguments = ((51, 61), FULL, None, None, None, mask, None, (50, 60), np.float64)
    ours, theirs = gn.build_mask(*arguments), gridr_build_mask(*arguments)
    assert np.array_equal(ours, oracles.raster_valid(mask, (50, 60), 0.999))
    assert (ours != theirs).sum() == 1  # 2997 of 3000 are 0.999


def test_difference_a_threshold_of_one_means_every_contributing_node():
    mask = np.ones((3, 4), np.uint8)
    arguments = ((15, 22), FULL, None, None, None, mask, None, (7, 7), np.float64, 1.0)
    assert gn.build_mask(*arguments).all()
    assert not gridr_build_mask(*arguments).all()


def test_difference_without_a_mask_and_polygons_all_is_valid(rasters):
    grid_in = rasters.reader(np.ones((2, 2, 2)))
    valid = []
    for build in (gn.build_grid_mask_chain, chain.build_grid_mask_chain):
        grid_out, mask_out = rasters.writer((3, 3), np.float64, bands=2), rasters.writer((3, 3), np.uint8)
        build(
            (2, 2), grid_in, None, 1, 2, grid_out, None, 1, 2, mask_out, np.uint8, None, None, None, np.float64,
            (0.0, 0.0), None,
        )  # fmt: skip
        valid.append(int(rasters.content(mask_out)[0].sum()))
    assert valid == [9, 0]


def test_difference_no_unmasked_value_means_one(rasters):
    full = (3, 3)
    mask_in = rasters.reader(np.ones((2, 2), np.uint8))
    out, other = rasters.writer(full, np.uint8), rasters.writer(full, np.uint8)
    rest = (np.uint8, mask_in, None, 1, np.float64, (0.0, 0.0), None)
    gn.build_mask_chain((2, 2), (2, 2), out, *rest)
    assert rasters.content(out).all()
    with pytest.raises(TypeError):
        chain.build_mask_chain((2, 2), (2, 2), other, *rest)


def test_difference_what_is_not_the_unmasked_value_is_invalid(rasters):
    """Where 1 is valid, GRIDR takes other values of the mask for weights: 255 is 255 valid nodes."""
    values = np.array([[1, 255], [1, 7]], np.uint8)
    valid = []
    for build in (gn.build_mask_chain, chain.build_mask_chain):
        out = rasters.writer((3, 3), np.uint8)
        build((2, 2), (2, 2), out, np.uint8, rasters.reader(values), 1, 1, np.float64, (0.0, 0.0), None, COVERS)
        valid.append(rasters.content(out)[0].sum(axis=0).tolist())
    assert valid == [[3, 0, 0], [3, 3, 3]]


def test_difference_the_predicate_is_honoured():
    """GRIDR's build_mask drops kwargs_alg, and dilates: CONTAINS takes the boundary there."""
    contains = {"alg": GridRasterizeAlg.SHAPELY, "kwargs_alg": {"shapely_predicate": ShapelyPredicate.CONTAINS}}
    arguments = ((5, 5), FULL, None, (0.0, 0.0), (shapely.box(1, 1, 3, 3), None))
    assert gn.build_mask(*arguments, rasterize_kwargs=contains).sum() == 1
    assert gridr_build_mask(*arguments, rasterize_kwargs=contains).sum() == 9


def test_difference_no_rasterize_kwargs_means_shapely():
    arguments = ((5, 5), FULL, None, (0.0, 0.0), (shapely.box(1, 1, 3, 3), None))
    assert gn.build_mask(*arguments).sum() == 9
    with pytest.raises(ValueError, match="alg"):
        gridr_build_mask(*arguments)


def test_difference_a_masked_node_value_is_not_a_coordinate(rasters):
    """GRIDR interpolates nodata values and infinities; here they make pixels invalid."""
    nodes = np.ones((2, 2, 2))
    nodes[0, 0, 0] = -32768.0
    grid_in = rasters.reader(nodes, nodata=-32768.0)
    valid = []
    for build in (gn.build_grid_mask_chain, chain.build_grid_mask_chain):
        grid_out, mask_out = rasters.writer((3, 3), np.float64, bands=2), rasters.writer((3, 3), np.uint8)
        mask_in = rasters.reader(np.ones((2, 2), np.uint8))
        build(
            (2, 2), grid_in, None, 1, 2, grid_out, None, 1, 2, mask_out, np.uint8, mask_in, 1, 1, np.float64,
            (0.0, 0.0), None,
        )  # fmt: skip
        valid.append(rasters.content(mask_out)[0].sum())
    assert valid == [5, 9]


def test_difference_rows_and_columns_keep_their_own_types(rasters):
    rows = rasters.reader(np.zeros((2, 2), np.int32))
    cols = rasters.reader(np.full((2, 2), 0.75))
    kept = []
    for build in (gn.build_grid_mask_chain, chain.build_grid_mask_chain):
        out = rasters.writer((3, 3), np.float64, bands=2)
        build((2, 2), rows, cols, 1, 1, out, None, 1, 2, None, None, None, None, None, np.float64, (0.0, 0.0), None)
        kept.append(float(rasters.content(out)[1, 0, 0]))
    assert kept[0] == 0.75
    assert kept[1] != 0.75


def test_difference_the_arithmetic_is_in_float64_whatever_the_computation_dtype():
    nodes = np.random.default_rng(0).uniform(1e6, 1e6 + 1e3, (2, 4, 5))
    exact = gn.build_grid(FULL, nodes, None, (3, 3), None)
    ours, theirs = both_grids(nodes, (3, 3), np.float32)
    assert np.array_equal(ours, exact)
    assert np.abs(theirs - exact).max() > 1e-3


def test_difference_polygons_are_not_dilated():
    box = shapely.box(0.5, 0.5, 3.0 - 5e-7, 3.0)  # the centres of column 3 lie just outside
    arguments = (None, (5, 5), (0.0, 0.0), (1, 1), None, 1, 0, 0, box)
    options = {"alg": GridRasterizeAlg.SHAPELY, "dtype": np.uint8, "shapely_predicate": ShapelyPredicate.COVERS}
    ours, theirs = gn.grid_rasterize(*arguments, **options), gridr_rasterize(*arguments, **options)
    assert not ours[:, 3].any()
    assert theirs[1:4, 3].all()


def test_gridr_reads_what_this_package_writes(rasters):
    """The dense grid and mask are ordinary files: rasterio, and so GRIDR, opens them."""
    out = rasters.writer((3, 3), np.uint8)
    gn.build_mask_chain((2, 2), (2, 2), out, np.uint8, None, None, None, np.float64, None, None)
    out.close()
    with rasterio.open(out.name) as dataset:
        assert dataset.read(1).all()
