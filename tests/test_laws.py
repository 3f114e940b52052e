"""The laws of grid and mask, each a property test against an exact or an outside oracle."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import oracles
import pytest
import shapely
import strategies as own
from hypothesis import example, given
from hypothesis import strategies as st

import gridr_numba as gn

FULL = (1, 1)


def dense(nodes, resolution, out_dtype=np.float64, window=None):
    shape = oracles.full_shape(nodes.shape[1:], resolution)
    window = (0, shape[0], 0, shape[1]) if window is None else window
    out = np.empty((len(nodes), window[1] - window[0], window[3] - window[2]), out_dtype)
    assert gn.build_grid(FULL, nodes, own.inclusive(window), resolution, out) is None
    return out


def bits(array):
    return array.view({4: np.uint32, 8: np.uint64}[array.dtype.itemsize])


# -- laws 1, 2, 3, 5: the grid ------------------------------------------------------------------------------------


@given(own.node_arrays(), own.resolutions)
def test_nodes_survive_to_the_bit(nodes, resolution):
    rr, rc = resolution
    on_nodes = np.ascontiguousarray(dense(nodes, resolution)[:, ::rr, ::rc])
    whole = np.isfinite(nodes).all(axis=0)
    assert np.array_equal(bits(on_nodes)[:, whole], bits(nodes)[:, whole])
    assert np.isnan(on_nodes[:, ~whole]).all()


@given(own.node_arrays(), own.resolutions, st.sampled_from([np.float64, np.float32]))
@example(np.full((2, 2, 2), 1.7976931348623157e308), (3, 3), np.float64)
@example(np.array([[[1e39, 0.0]], [[0.0, 0.0]]]), (1, 4), np.float32)  # overflows float32 near one node only
@example(np.array([[[3.4028235677973366e38, 0.0]], [[0.0, 0.0]]]), (1, 1), np.float32)  # rounds to infinity: a tie
@example(np.array([[[3.4028235677973362e38, 0.0]], [[0.0, 0.0]]]), (1, 1), np.float32)  # rounds to the largest float32
def test_accuracy_contagion_and_overflow(nodes, resolution, dtype):
    """Law 2 where all contributing nodes are numbers and the value fits; NaN in both bands exactly elsewhere."""
    out = dense(nodes, resolution, dtype)
    exact = oracles.dense_grid(nodes, resolution)
    largest = np.finfo(dtype).max
    limit = Fraction(float(largest))
    half_step = (limit - Fraction(float(np.nextafter(largest, dtype(0))))) / 2
    for i, j in np.ndindex(exact.shape):
        values = exact[i, j]
        got = out[:, i, j]
        if values is None:
            assert np.isnan(got).all()
            continue
        weights = oracles.contributing(i, j, resolution)
        tolerances = [4 * oracles.ulp(max(abs(band[node]) for node in weights)) for band in nodes]
        if np.isnan(got).any():
            assert np.isnan(got).all()
            # Some band is too large for the type, or within the rounding error of being so.
            assert any(abs(v) + t >= limit + half_step for v, t in zip(values, tolerances, strict=True))
        else:
            for value, tolerance, number in zip(values, tolerances, got, strict=True):
                if dtype is np.float32:
                    tolerance += oracles.half_ulp_float32(number)
                assert abs(Fraction(float(number)) - value) <= tolerance


@given(own.node_arrays(voids=False), own.resolutions)
def test_a_dense_value_is_never_outside_the_range_of_its_nodes(nodes, resolution):
    out = dense(nodes, resolution)
    for i, j in np.ndindex(out.shape[1:]):
        for band, values in zip(nodes, out, strict=True):
            contributing = [band[node] for node in oracles.contributing(i, j, resolution)]
            assert min(contributing) <= values[i, j] <= max(contributing)


@given(st.data())
def test_a_window_is_a_part_of_the_whole_to_the_bit(data):
    nodes = data.draw(own.node_arrays(bands=3))
    resolution = data.draw(own.resolutions)
    whole = dense(nodes, resolution)
    window = data.draw(own.windows_in(whole.shape[1:]))
    part = dense(nodes, resolution, window=window)
    expected = np.ascontiguousarray(whole[:, window[0] : window[1], window[2] : window[3]])
    assert np.array_equal(bits(part), bits(expected))


def test_a_pixel_in_the_middle_of_a_huge_cell():
    """Row and column arithmetic is in 64 bits, and nothing is allocated for the pixels before the window."""
    nodes = np.array([[[0.0, 1.0], [2.0, 3.0]]] * 2)
    for far in (2**27, 2**31, 2**51):
        for resolution, window in (((1, 2 * far), (0, 1, far - 1, far + 2)), ((2 * far, 1), (far - 1, far + 2, 0, 1))):
            out = np.empty((2, window[1] - window[0], window[3] - window[2]))
            gn.build_grid(FULL, nodes, own.inclusive(window), resolution, out)
            slope = 1 if resolution[0] == 1 else 2
            expected = [slope * (far + offset) / (2 * far) for offset in (-1, 0, 1)]
            assert np.allclose(out.ravel(), expected * 2, rtol=1e-15)
            mask = np.array([[1, 1], [1, 0]], np.uint8)
            valid = gn.build_mask(
                None, FULL, None, None, None, mask, own.inclusive(window), resolution, None, 0.5
            )  # the masked node has no weight in the first row and column
            assert valid.all()


def test_a_window_across_the_edge_of_a_cell_wider_than_it():
    nodes = np.array([[[0.0, 7.0, 2.0]]] * 2)
    whole = dense(nodes, (1, 50))
    for window in ((0, 1, 40, 60), (0, 1, 50, 70), (0, 1, 31, 51), (0, 1, 49, 51), (0, 1, 99, 101)):
        assert np.array_equal(dense(nodes, (1, 50), window=window), whole[:, :, window[2] : window[3]])


# -- law 4: the raster mask ---------------------------------------------------------------------------------------


@given(own.masks_of_nodes(), own.resolutions, own.thresholds)
@example(np.array([[1, 0]], np.uint8), (1, 1000), 0.999)
@example(np.array([[1, 0], [1, 1]], np.uint8), (10, 100), 0.999)
def test_the_threshold_is_exact(mask, resolution, threshold):
    shape = oracles.full_shape(mask.shape, resolution)
    got = gn.build_mask(
        shape, FULL, None, mask_in=mask, mask_in_resolution=resolution, mask_in_binary_threshold=threshold
    )
    assert np.array_equal(got, oracles.raster_valid(mask, resolution, threshold))


def test_the_threshold_is_the_decimal_that_was_written():
    """0.999 * 1000 is 999 although the double 0.999 is less, and 0.3 * 10 is 3 although the double 0.3 is less."""
    for threshold, step in ((0.999, 1000), (0.3, 10), (0.7, 10), (np.float32(0.1), 10)):
        mask = np.array([[1, 0]], np.uint8)
        kwargs = {"mask_in": mask, "mask_in_resolution": (1, step), "mask_in_binary_threshold": threshold}
        valid = gn.build_mask((1, step + 1), FULL, None, **kwargs)
        expected = [Fraction(step - j, step) >= Fraction(str(threshold)) for j in range(step + 1)]
        assert valid[0].tolist() == expected


@given(own.masks_of_nodes(), st.tuples(st.integers(1, 2000), st.integers(1, 2000)))
def test_the_strict_threshold_means_every_contributing_node(mask, resolution):
    """At any resolution: 0.999 forgives a masked node whose weight is below a thousandth, 1 does not."""
    shape = oracles.full_shape(mask.shape, resolution)
    corners = (min(shape[0], 3), min(shape[1], 3))
    got = gn.build_mask(corners, FULL, None, mask_in=mask, mask_in_resolution=resolution, mask_in_binary_threshold=1)
    for i, j in np.ndindex(corners):
        assert got[i, j] == all(mask[node] for node in oracles.contributing(i, j, resolution))


@given(st.data())
def test_fractional_validity_is_compared_in_float64(data):
    shape = data.draw(own.node_shapes)
    resolution = data.draw(own.resolutions)
    elements = st.one_of(st.floats(-2, 2, width=32), st.just(math.nan))
    mask = data.draw(own.node_arrays(bands=1, shape=shape, elements=elements, voids=False))[0].astype(np.float32)
    threshold = data.draw(own.thresholds)
    full = oracles.full_shape(shape, resolution)
    got = gn.build_mask(
        full, FULL, None, mask_in=mask, mask_in_resolution=resolution, mask_in_binary_threshold=threshold
    )
    for i, j in np.ndindex(full):
        weights = oracles.contributing(i, j, resolution)
        if any(math.isnan(mask[node]) for node in weights):
            assert got[i, j] == 0
            continue
        value = abs(sum(Fraction(float(mask[node])) * w for node, w in weights.items()))
        if len(weights) == 1 or abs(value - Fraction(float(threshold))) > Fraction(1, 10**14):
            assert got[i, j] == (value >= Fraction(float(threshold)))


# -- law 6: polygons ----------------------------------------------------------------------------------------------


predicates = st.sampled_from(list(gn.ShapelyPredicate))
origins = st.one_of(
    st.sampled_from([(0.0, 0.0), (-3.0, 2.5), (0.1, 0.7), (2.0**31, 2.0**31)]),
    st.tuples(st.floats(-50, 50), st.floats(-50, 50)),
)


@given(own.polygon_lists, predicates, origins, st.tuples(st.integers(1, 24), st.integers(1, 24)))
def test_polygons_are_what_shapely_says_of_each_centre(polygons, predicate, origin, shape):
    moved = [shapely.transform(p, lambda v, by=origin: v + np.array([by[1], by[0]])) for p in polygons]
    moved = [p for p in moved if p.is_valid and not p.is_empty]
    kwargs = {"alg": gn.GridRasterizeAlg.SHAPELY, "dtype": np.uint8, "shapely_predicate": predicate}
    got = gn.grid_rasterize(None, shape, origin, (1.0, 1.0), None, 1, 0, 0, moved, **kwargs)
    assert np.array_equal(got, oracles.inside_shapely(moved, shape, predicate, origin))


@given(own.polygon_lists, own.polygon_lists, predicates)
def test_valid_pixels_are_inside_a_valid_polygon_and_no_invalid_one(valid, invalid, predicate):
    kwargs = {"alg": gn.GridRasterizeAlg.SHAPELY, "kwargs_alg": {"shapely_predicate": predicate}}
    got = gn.build_mask((20, 18), FULL, None, (0.0, 0.0), (valid, invalid), rasterize_kwargs=kwargs)
    inside = oracles.inside_shapely(valid, (20, 18), predicate)
    outside = ~oracles.inside_shapely(invalid, (20, 18), predicate)
    assert np.array_equal(got, inside & outside)


huge = st.sampled_from([1e31, 1e76, 1e160, 1e300, -1e31, -1e300])


@given(st.lists(st.tuples(huge, huge), min_size=1, max_size=2), own.vertices, own.vertices, predicates)
@example([(1e300, 1e300)], 3.0, 3.0, gn.ShapelyPredicate.CONTAINS)
@example([(1e300, -1e300), (-1e300, -1e300)], 3.0, 3.0, gn.ShapelyPredicate.COVERS)
def test_beyond_the_reach_of_geos_the_answer_is_exact(far, x, y, predicate):
    polygon = shapely.Polygon([(x, y), (x + 5, y + 1), *far, (x, y)])
    shape = (9, 8)
    if len(set(polygon.exterior.coords)) < 3:
        return
    try:
        got = gn.build_mask(
            shape,
            FULL,
            None,
            (0.0, 0.0),
            (polygon, None),
            rasterize_kwargs={"kwargs_alg": {"shapely_predicate": predicate}},
        )
    except gn.InvalidGeometryError:
        return  # a bowtie, or no area
    ring = list(polygon.exterior.coords)
    boundary = predicate is not gn.ShapelyPredicate.CONTAINS
    for i, j in np.ndindex(shape):
        assert got[i, j] == oracles.inside_exact([ring], float(j), float(i), boundary)


def test_everywhere_may_be_written_with_huge_coordinates():
    for size in (1e8, 1e9, 3e9, 1e10, 1e20, 1e30, 1e31):
        everywhere = shapely.box(-size, -size, size, size)
        for alg in gn.GridRasterizeAlg:
            kwargs = {"rasterize_kwargs": {"alg": alg}}
            assert gn.build_mask((5, 5), FULL, None, (0.0, 0.0), (everywhere, None), **kwargs).all()
            assert not gn.build_mask((5, 5), FULL, None, (0.0, 0.0), (None, everywhere), **kwargs).any()
    everywhere = shapely.box(-1e300, -1e300, 1e300, 1e300)
    hole = shapely.Polygon(everywhere.exterior, [shapely.box(1, 1, 3, 3).exterior])
    for alg in gn.GridRasterizeAlg:
        kwargs = {"rasterize_kwargs": {"alg": alg}}
        assert gn.build_mask((5, 5), FULL, None, (0.0, 0.0), (everywhere, None), **kwargs).all()
        assert not gn.build_mask((5, 5), FULL, None, (0.0, 0.0), (None, everywhere), **kwargs).any()
        assert not gn.build_mask((5, 5), FULL, None, (0.0, 0.0), (hole, None), **kwargs)[2, 2]


# -- laws 5, 7 and 8: the chains ----------------------------------------------------------------------------------


def run_chain(rasters, nodes, resolution, *, mask=None, out_dtype=np.float64, layout=None, nodata=None, **kwargs):
    """Run the grid and mask chain on arrays; return its grid and mask."""
    full = oracles.full_shape(nodes.shape[1:], resolution)
    grid_in = rasters.reader(nodes, nodata=nodata)
    mask_in = None if mask is None else rasters.reader(mask)
    grid_out = rasters.writer(full, out_dtype, bands=2, **(layout or {}))
    mask_out = rasters.writer(full, kwargs.get("mask_out_dtype", np.uint8), **(layout or {}))
    call = {
        "mask_out_dtype": np.uint8,
        "mask_in_unmasked_value": 1,
        "mask_in_band": None if mask is None else 1,
        "computation_dtype": np.float64,
        "geometry_origin": (0.0, 0.0),
        "geometry_pair": None,
        **kwargs,
    }
    done = gn.build_grid_mask_chain(
        resolution, grid_in, None, 1, 2, grid_out, None, 1, 2, mask_out_ds=mask_out, mask_in_ds=mask_in, **call
    )
    assert done == 1
    return rasters.content(grid_out), rasters.content(mask_out)[0]


@given(st.data())
def test_the_validity_contract(shared_rasters, data):
    nodes = data.draw(own.node_arrays(elements=st.one_of(st.integers(-3, 3).map(float), st.floats(-1e39, 1e39))))
    resolution = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    mask = data.draw(own.masks_of_nodes(shape=nodes.shape[1:]))
    out_dtype = data.draw(st.sampled_from([np.float64, np.float32]))
    tag = data.draw(st.sampled_from([None, 0.0, 2.0]))
    merge = data.draw(st.sampled_from([None, -9999.0, math.nan]))
    polygon = shapely.box(0.5, 0.5, 6, 6)
    grid, valid = run_chain(
        shared_rasters,
        nodes,
        resolution,
        mask=mask,
        out_dtype=out_dtype,
        nodata=tag,
        merge_mask_grid=merge,
        geometry_pair=(None, polygon),
        mask_in_binary_threshold=1,
    )
    exact = oracles.dense_grid(nodes, resolution, nodata=[(tag,), (tag,)])
    limit = float(np.finfo(out_dtype).max)
    with np.errstate(over="ignore"):
        void = np.array(
            [[v is None or any(not abs(out_dtype(float(x))) <= limit for x in v) for v in row] for row in exact]
        )
    masked = ~oracles.raster_valid(mask, resolution, 1) | oracles.inside_shapely([polygon], void.shape, 1)
    assert np.array_equal(valid == 1, ~(void | masked))
    assert np.isfinite(grid[:, valid == 1]).all()
    fill = math.nan if merge is None else merge
    filled = void if merge is None else void | masked
    assert np.array_equal(grid[:, filled], np.full((2, int(filled.sum())), fill, out_dtype), equal_nan=True)
    for i, j in np.argwhere(~filled):
        for number, value in zip(grid[:, i, j], exact[i, j], strict=True):
            scale = max(abs(float(value)), float(np.abs(nodes[np.isfinite(nodes)]).max()))
            assert abs(float(number) - float(value)) <= 1e-6 * scale + 1e-12


layouts = st.sampled_from(
    [
        {},
        {"interleave": "pixel"},
        {"interleave": "band"},
        {"tiled": True, "blockxsize": 16, "blockysize": 16},
        {"blockysize": 5},
        {"compress": "deflate"},
    ]
)


@given(st.data())
def test_indifference(shared_rasters, data):
    """Strips, target, tiles, threads, layout and the order of polygons change no bit."""
    nodes = data.draw(own.node_arrays(elements=st.floats(-1e5, 1e5)))
    resolution = data.draw(own.resolutions)
    mask = data.draw(own.masks_of_nodes(shape=nodes.shape[1:]))
    polygons = data.draw(own.polygon_lists)
    origin = data.draw(origins)
    common = {"mask": mask, "merge_mask_grid": data.draw(st.sampled_from([None, -1.0])), "geometry_origin": origin}
    whole = run_chain(
        shared_rasters, nodes, resolution, geometry_pair=(polygons, polygons[:1]), io_strip_size=0, ncpu=1, **common
    )
    cut = run_chain(
        shared_rasters,
        nodes,
        resolution,
        geometry_pair=(data.draw(st.permutations(polygons)), polygons[:1]),
        io_strip_size=data.draw(st.one_of(st.none(), st.integers(0, 9))),
        io_strip_size_target=data.draw(st.sampled_from(list(gn.GridRIOMode))),
        ncpu=data.draw(st.sampled_from([1, 2, 7, None])),
        cpu_tile_shape=data.draw(st.sampled_from([None, (1, 1), (2, 3), (1000, 1000)])),
        layout=data.draw(layouts),
        **common,
    )
    assert np.array_equal(bits(whole[0]), bits(cut[0]))
    assert np.array_equal(whole[1], cut[1])


@given(st.data())
def test_the_other_algorithm_is_rasterio_whatever_the_strips(shared_rasters, data):
    """RASTERIO_RASTERIZE: what rasterio burns of the dilated polygons, for centres off their boundary."""
    from rasterio.features import rasterize
    from rasterio.transform import Affine

    polygons = data.draw(own.polygon_lists)
    shape, resolution = (4, 5), (6, 4)
    full = oracles.full_shape(shape, resolution)
    out = shared_rasters.writer(full, np.uint8)
    gn.build_mask_chain(
        shape, resolution, out, np.uint8, None, None, None, np.float64, (0.0, 0.0), (polygons, None),
        {"alg": gn.GridRasterizeAlg.RASTERIO_RASTERIZE}, io_strip_size=data.draw(st.integers(0, 3)),
    )  # fmt: skip
    dilated = [p.buffer(1e-6, quad_segs=1) for p in polygons]
    burned = rasterize(dilated, full, transform=Affine(1, 0, -0.5, 0, 1, -0.5), default_value=1)
    xs, ys = oracles.centres(full)
    points = shapely.points(xs, ys)
    near = np.min([shapely.distance(p.boundary, points) for p in dilated], axis=0) <= 1e-7
    assert np.array_equal(shared_rasters.content(out)[0][~near], burned[~near])


integer_types = st.sampled_from([np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32])


@given(st.data())
def test_any_value_of_any_integer_type_may_be_valid_and_any_two_may_be_written(shared_rasters, data):
    in_type, out_type = data.draw(integer_types), data.draw(integer_types)

    def any_of(dtype):
        info = np.iinfo(dtype)
        return st.integers(int(info.min), int(info.max))

    unmasked = data.draw(any_of(in_type))
    values = data.draw(st.tuples(any_of(out_type), any_of(out_type)).filter(lambda pair: pair[0] != pair[1]))
    others = [data.draw(any_of(in_type)) for _ in range(6)]
    mask = np.array([[unmasked, *others[:2]], [others[2], unmasked, unmasked], others[3:]], in_type)
    before = mask.copy()
    mask_in = shared_rasters.reader(mask)
    out = shared_rasters.writer(oracles.full_shape((3, 3), (2, 3)), out_type)
    gn.build_mask_chain(
        (3, 3), (2, 3), out, out_type, mask_in, unmasked, 1, np.float64, None, None, mask_out_values=values
    )
    valid = oracles.raster_valid(mask == unmasked, (2, 3), 0.999)
    assert np.array_equal(shared_rasters.content(out)[0], np.where(valid, *values))
    assert np.array_equal(mask, before)


@pytest.mark.parametrize("value", [2**53, float(2**53), np.float64(2**53), np.uint64(2**53)])
def test_large_values_of_the_mask_are_not_rounded(rasters, value):
    mask_in = rasters.reader(np.array([[2**53, 2**53 + 1], [2**53 + 2, 0]], np.uint64))
    out = rasters.writer((2, 2), np.uint8)
    gn.build_mask_chain((2, 2), (1, 1), out, np.uint8, mask_in, value, 1, np.float64, None, None)
    assert rasters.content(out)[0].tolist() == [[1, 0], [0, 0]]


def test_inputs_are_never_modified(rasters):
    nodes = np.array([[[0.0, np.nan], [2.0, 3.0]], [[1.0, 0.0], [np.inf, 3.0]]])
    mask = np.array([[1, 0], [1, 1]], np.uint8)
    polygon = shapely.box(0, 0, 2, 2)
    kept = nodes.copy(), mask.copy()
    gn.build_grid(FULL, nodes, None, (2, 2), None)
    gn.build_mask((3, 3), FULL, None, (0.0, 0.0), ([polygon], None), mask, None, (2, 2))
    assert np.array_equal(nodes, kept[0], equal_nan=True)
    assert np.array_equal(mask, kept[1])
    assert not shapely.is_prepared(polygon)


@pytest.mark.parametrize("layout", [{}, {"interleave": "pixel"}])
def test_bands_may_be_any_two_of_any_files(rasters, layout):
    """Rows and columns from bands in any order, one file or two, of types that differ."""
    resolution, shape = (3, 2), (4, 5)
    rows = np.arange(20, dtype=np.int32).reshape(shape) * 7 + 2**30 + 1  # more digits than float32 has
    cols = np.linspace(0, 1, 20).reshape(shape)
    expected = gn.build_grid(FULL, np.stack([rows.astype(np.float64), cols]), None, resolution, None)
    full = expected.shape[1:]
    two_files = rasters.reader(rows, **layout), rasters.reader(np.stack([cols * 0, cols]))
    one_file = rasters.reader(np.stack([cols, cols * 0, rows.astype(np.float64)]), **layout)
    for grid_in, grid_in_col, row_band, col_band in ((*two_files, 1, 2), (one_file, None, 3, 1)):
        for out_bands in ((1, 2), (2, 1), (3, 1)):
            out = rasters.writer(full, np.float64, bands=3, **layout)
            gn.build_grid_mask_chain(
                resolution, grid_in, grid_in_col, row_band, col_band, out, None, *out_bands, None, None, None, None,
                None, np.float64, None, None, io_strip_size=1,
            )  # fmt: skip
            content = rasters.content(out)
            assert np.array_equal(content[[band - 1 for band in out_bands]], expected)
        row_out, col_out = rasters.writer(full, np.float32), rasters.writer(full, np.float64, bands=2)
        gn.build_grid_mask_chain(
            resolution, grid_in, grid_in_col, row_band, col_band, row_out, col_out, 1, 2, None, None, None, None, None,
            np.float64, None, None, io_strip_size=2,
        )  # fmt: skip
        assert np.array_equal(rasters.content(row_out)[0], expected[0].astype(np.float32))
        assert np.array_equal(rasters.content(col_out)[1], expected[1])
