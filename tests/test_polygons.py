"""Every form in which polygons may come, and the ways in which they may be wrong."""

from __future__ import annotations

from itertools import product

import numpy as np
import oracles
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from rasterio.features import rasterize
from rasterio.transform import Affine
from shapely.geometry import mapping

import gridr_numba as gn

SQUARE = shapely.box(1, 1, 4, 3)
OTHER = shapely.box(5, 0, 7, 7)
BOWTIE = shapely.Polygon([(0, 0), (6, 6), (6, 0), (0, 6)])
SHAPE = (9, 10)


def mask(valid=None, invalid=None, **kwargs):
    return gn.build_mask(SHAPE, (1, 1), None, (0.0, 0.0), (valid, invalid), **kwargs)


def nested(geometry, depth):
    return [nested(geometry, depth - 1)] if depth else geometry


def unchecked(*vertices):
    with np.errstate(invalid="ignore"):  # shapely looks at each vertex
        return shapely.Polygon(vertices)


class WithInterface:
    def __init__(self, mapping):
        self.__geo_interface__ = mapping


COLLECTION = {
    "type": "FeatureCollection",
    "features": [
        {"type": "Feature", "properties": {}, "geometry": mapping(SQUARE)},
        {"type": "Feature", "properties": {}, "geometry": None},
        {"type": "Feature", "properties": {}, "geometry": mapping(shapely.GeometryCollection([OTHER]))},
    ],
}


@pytest.mark.parametrize(
    "form",
    [
        [SQUARE, OTHER],
        (OTHER, SQUARE),
        np.array([SQUARE, OTHER], dtype=object),
        [[SQUARE], [[OTHER], []], None],
        shapely.MultiPolygon([SQUARE, OTHER]),
        shapely.GeometryCollection([SQUARE, shapely.MultiPolygon([OTHER])]),
        [shapely.MultiPolygon([OTHER]), mapping(SQUARE)],
        mapping(shapely.MultiPolygon([SQUARE, OTHER])),
        COLLECTION,
        WithInterface(COLLECTION),
        [WithInterface(mapping(SQUARE)), COLLECTION["features"][2]],
        [shapely.Polygon([(x, y, 7.0) for x, y in SQUARE.exterior.coords]), OTHER],
        [SQUARE, OTHER, shapely.Polygon()],
        [SQUARE, SQUARE, OTHER],
        [np.array(SQUARE), OTHER],
    ],
    ids=range(15),
)
def test_forms(form):
    expected = oracles.inside_shapely([SQUARE, OTHER], SHAPE, gn.ShapelyPredicate.COVERS)
    assert np.array_equal(mask(valid=form), expected)
    assert np.array_equal(mask(invalid=form), ~expected)


@pytest.mark.parametrize(
    "empty", [None, [], (), [[], [None]], shapely.Polygon(), shapely.MultiPolygon(), shapely.GeometryCollection(),
              {"type": "FeatureCollection", "features": []}, np.array([], dtype=object)]
)  # fmt: skip
def test_empty_means_none(empty):
    assert mask(valid=empty, invalid=empty).all()
    assert np.array_equal(mask(valid=SQUARE, invalid=empty), mask(valid=SQUARE))
    assert gn.build_mask(SHAPE, (1, 1), None, None, (empty, empty)).all()  # no origin needed either


def test_what_is_given_and_holds_no_polygon_is_warned_of(rasters, caplog):
    """GRIDR's meaning of empty is kept where GRIDR's names are."""
    chain = ((9, 10), (1, 1), None, np.uint8, None, None, None, np.float64, (0.0, 0.0))

    def of_chain(pair):
        out = rasters.writer(SHAPE, np.uint8)
        gn.build_mask_chain(*chain[:2], out, *chain[3:], pair)
        return rasters.content(out)[0] == 1

    def of_build_mask(pair):
        return gn.build_mask(SHAPE, (1, 1), None, (0.0, 0.0), pair) == 1

    for door, (pair, names) in product(
        (of_chain, of_build_mask),
        [
            ((None, None), []),
            (([], None), ["geometry_pair[0] (valid)"]),
            ((shapely.Polygon(), [[]]), ["geometry_pair[0] (valid)", "geometry_pair[1] (invalid)"]),
        ],
    ):
        caplog.clear()
        assert door(pair).all()
        expected = [f"{name} holds no polygon: as if it were not given" for name in names]
        assert [record.getMessage() for record in caplog.records] == expected
        assert all(record.name.startswith("gridr_numba") for record in caplog.records)
    caplog.clear()
    for geometry in (None, shapely.MultiPolygon()):
        rows = gn.grid_rasterize(None, (2, 3), (0, 0), (1, 1), None, 1, 0, 7, geometry, dtype=np.uint8)
        assert (rows == 7).all()
    assert [record.getMessage() for record in caplog.records] == ["geometry holds no polygon: as if it were not given"]


def test_the_chains_warn_of_polygons_that_miss_the_raster(rasters, caplog):
    """`build_mask` and `grid_rasterize` do not: they may be asked for any part."""
    away = shapely.box(20, 30, 25, 40)
    arguments = ((9, 10), (1, 1), np.uint8, None, None, None, np.float64, (1.0, 2.0), ([SQUARE, away], away))
    gn.build_mask_chain(*arguments[:2], rasters.writer(SHAPE, np.uint8), *arguments[2:])
    nodes = rasters.reader(np.zeros((2, *SHAPE)))
    gn.build_grid_mask_chain(
        (1, 1), nodes, None, 1, 2, rasters.writer(SHAPE, np.float64, bands=2), None, 1, 2, None, None, *arguments[3:]
    )
    assert [record.getMessage() for record in caplog.records] == [
        "geometry_pair[1] (invalid) has no polygon that touches the raster of 9 rows and 10 columns: they lie in rows "
        "29 to 39 and columns 18 to 23; check that they are (x, y), and geometry_origin"
    ] * 2
    caplog.clear()
    assert mask(invalid=away).all()
    assert not gn.grid_rasterize(None, SHAPE, (0, 0), (1, 1), None, 1, 0, 7, away, dtype=np.uint8).any()
    assert not caplog.records


def test_a_valid_geometry_of_which_nothing_is_left_makes_all_invalid():
    assert not mask(valid=shapely.box(100, 100, 110, 110)).any()
    assert not mask(valid=shapely.box(0.2, 0.2, 0.8, 0.8)).any()
    for alg in gn.GridRasterizeAlg:
        assert not mask(valid=shapely.box(100, 100, 110, 110), rasterize_kwargs={"alg": alg}).any()


@pytest.mark.parametrize(
    ("wrong", "kind", "message"),
    [
        (shapely.Point(1, 1), TypeError, r"geometry_pair\[0\] \(valid\) must be polygons, not a Point"),
        (shapely.Point(), TypeError, "not a Point"),
        ([SQUARE, shapely.LinearRing([(0, 0), (1, 0), (1, 1)])], TypeError, r"\(valid\)\[1\] must .* LinearRing"),
        ("POLYGON EMPTY", TypeError, "must be polygons, not 'POLYGON EMPTY'"),
        (7, TypeError, "must be polygons, not 7"),
        ({"type": "Point", "coordinates": (0, 0)}, TypeError, "not a GeoJSON-like 'Point'"),
        (nested(SQUARE, 65), ValueError, r"geometry_pair\[0\] \(valid\)\[0\]\[0\].* is nested more than 64 deep"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1]]]}, ValueError, "not a well-formed GeoJSON Polygon"),
        ({"type": "Polygon"}, ValueError, "not a well-formed GeoJSON Polygon"),
        ({}, TypeError, "not a GeoJSON-like None"),
        ({"type": "FeatureCollection", "features": None}, TypeError, r"\['features'\] must be a list, not None"),
        (WithInterface("polygon"), TypeError, "its __geo_interface__ is 'polygon'"),
        ([SQUARE, {"type": "FeatureCollection", "features": [COLLECTION["features"][0], {"type": "Feature",
          "geometry": mapping(shapely.Point(0, 0))}]}], TypeError, r"\[1\]\['features'\]\[1\]\['geometry'\] must be"),
        (unchecked((0, 0), (1, np.nan), (1, 1)), ValueError, r"vertex that is not finite: \(x, y\) = \(1.0, nan"),
        ([SQUARE, unchecked((0, 0), (np.inf, 0), (1, 1))], ValueError, r"\[1\] has a vertex that is not finite"),
        ([OTHER, BOWTIE], ValueError, r"\[1\] is not a valid polygon: Self-intersection.*repair_geometry=True"),
        (shapely.Polygon([(0, 0), (1e300, 1e300), (1e300, 0), (0, 1e300)]), ValueError, "not a valid polygon: Self"),
    ],
    ids=range(17),
)  # fmt: skip
def test_wrong_geometry(wrong, kind, message):
    with pytest.raises(kind, match=message) as caught:
        mask(valid=wrong)
    assert isinstance(caught.value, gn.GridrError)


@pytest.mark.parametrize("predicate", gn.ShapelyPredicate)
def test_repair_is_make_valid(rasters, predicate):
    out = rasters.writer((9, 9), np.uint8)
    collapsed = shapely.Polygon([(0, 0), (5, 0), (0, 0)])  # make_valid leaves a line, which has no inside
    gn.build_mask_chain(
        (9, 9), (1, 1), out, np.uint8, None, None, None, np.float64, (0.0, 0.0), ([BOWTIE, collapsed], None),
        {"kwargs_alg": {"shapely_predicate": predicate}}, repair_geometry=True,
    )  # fmt: skip
    mended = list(shapely.make_valid(BOWTIE).geoms)
    assert np.array_equal(rasters.content(out)[0], oracles.inside_shapely(mended, (9, 9), predicate))


def test_repair_leaves_nothing_of_a_collapsed_polygon_and_that_is_not_none(rasters):
    out = rasters.writer((3, 3), np.uint8)
    collapsed = shapely.Polygon([(0, 0), (5, 0), (0, 0)])
    gn.build_mask_chain(
        (3, 3), (1, 1), out, np.uint8, None, None, None, np.float64, (0.0, 0.0), (collapsed, None), repair_geometry=True
    )
    assert not rasters.content(out).any()


def test_repair_beyond_the_reach_of_geos(rasters):
    out = rasters.writer((4, 4), np.uint8)
    bowtie = shapely.Polygon([(-1e200, -1e200), (1e200, 1e200), (1e200, -1e200), (-1e200, 1e200)])
    gn.build_mask_chain(
        (4, 4), (1, 1), out, np.uint8, None, None, None, np.float64, (1.0, 2.0), (bowtie, None), repair_geometry=True
    )
    xs, ys = oracles.centres((4, 4), (1.0, 2.0))
    assert np.array_equal(rasters.content(out)[0], np.abs(xs) >= np.abs(ys))


# -- the predicates on edges --------------------------------------------------------------------------------------


@pytest.mark.parametrize("predicate", gn.ShapelyPredicate)
def test_edges_along_the_lattice_and_edges_that_polygons_share(predicate):
    """CONTAINS is asked polygon by polygon: a centre on an edge that two polygons share is in neither."""
    polygons = [shapely.box(1, 1, 4, 4), shapely.box(4, 1, 7, 4), shapely.Polygon([(1, 4), (7, 4), (4, 8)])]
    got = mask(valid=polygons, rasterize_kwargs={"kwargs_alg": {"shapely_predicate": predicate}})
    assert np.array_equal(got, oracles.inside_shapely(polygons, SHAPE, predicate))
    assert got[2, 4] == (predicate is not gn.ShapelyPredicate.CONTAINS)


@given(st.integers(0, 2), st.sampled_from([1, 2, 3]))
def test_enumerations_of_gridr_are_taken_by_value(alg_index, predicate_value):
    theirs = pytest.importorskip("gridr.core.grid.grid_rasterize")
    alg = [theirs.GridRasterizeAlg.SHAPELY, 2, np.int64(2)][alg_index]
    predicate = theirs.ShapelyPredicate(predicate_value)
    got = mask(valid=SQUARE, rasterize_kwargs={"alg": alg, "kwargs_alg": {"shapely_predicate": predicate}})
    assert np.array_equal(got, oracles.inside_shapely([SQUARE], SHAPE, predicate_value))


# -- grid_rasterize -----------------------------------------------------------------------------------------------

LATTICE = {"shape": SHAPE, "origin": (0.0, 0.0), "resolution": (1, 1), "grid_coords": None, "win": None}
VALUES = {"inner_value": 5, "outer_value": 2, "default_value": 9}


@pytest.mark.parametrize("alg", gn.GridRasterizeAlg)
def test_windows_outputs_and_reduce(alg):
    call = {**LATTICE, **VALUES, "geometry": [SQUARE, OTHER], "alg": alg}
    whole = gn.grid_rasterize(**call, dtype=np.int16)
    assert whole.dtype == np.int16
    inside = oracles.inside_shapely([SQUARE, OTHER], SHAPE, 1)
    assert np.array_equal(whole, np.where(inside, 5, 2))
    part = gn.grid_rasterize(**{**call, "win": np.array([[1, 5], [2, 8]])}, dtype=np.float32)
    assert np.array_equal(part, whole[1:6, 2:9])
    buffer = np.zeros((10, 14), np.uint8)
    assert gn.grid_rasterize(**{**call, "win": [(1, 5), (2, 8)]}, output=buffer[::2, ::2]) is None
    assert np.array_equal(buffer[::2, ::2], part)
    assert not buffer[1::2].any()
    inner = {**call, "win": ((2, 2), (2, 3))}
    assert gn.grid_rasterize(**inner, dtype=np.uint8, reduce=True) == 5
    assert gn.grid_rasterize(**{**call, "win": ((4, 4), (1, 4))}, dtype=np.uint8, reduce=True) == 2
    assert gn.grid_rasterize(**call, dtype=np.uint8, reduce=True).shape == SHAPE
    assert gn.grid_rasterize(**{**call, "geometry": []}, dtype=np.uint8, reduce=True) == 9
    assert (gn.grid_rasterize(**{**call, "geometry": None}, dtype=np.uint8) == 9).all()


TYPES = [
    "bool",
    "int8",
    "uint8",
    "int16",
    ">u2",
    "uint32",
    "int64",
    "uint64",
    "float16",
    "float32",
    ">f8",
    "longdouble",
]


@pytest.mark.parametrize("alg", gn.GridRasterizeAlg)
@pytest.mark.parametrize("dtype", TYPES)
def test_values_of_any_type_in_arrays_of_any_strides(alg, dtype):
    kind = np.dtype(dtype).kind
    if kind == "b" and alg is gn.GridRasterizeAlg.RASTERIO_RASTERIZE:
        return
    inside = oracles.inside_shapely([SQUARE, OTHER], SHAPE, 1)
    pairs = {
        "b": [(True, False), (False, True)],
        "u": [(5, 2), (0, 200), (1, 0), (7, 7)],
        "i": [(5, 2), (-1, 100), (0, -128), (7, 7)],
        "f": [(0.5, -0.25), (np.nan, 1), (-np.inf, np.nan), (0.0, -0.0)],
    }
    for inner, outer in pairs[kind]:
        call = {**LATTICE, "inner_value": inner, "outer_value": outer, "default_value": 1, "geometry": [SQUARE, OTHER]}
        expected = np.where(inside, np.array(inner, dtype), np.array(outer, dtype)).astype(dtype)
        got = gn.grid_rasterize(**call, alg=alg, dtype=dtype)
        assert got.dtype == dtype
        assert got.tobytes() == expected.tobytes()
        room = np.full((20, 30), 1, dtype)
        for output in (room[2:11, 3:13], room[2:20:2, 1:21:2], room[10:1:-1, 12:2:-1], np.full(SHAPE, 1, dtype, "F")):
            gn.grid_rasterize(**call, alg=alg, output=output)
            assert output.tobytes() == expected.tobytes()
            output[...] = 1
        assert (room == 1).all()


@pytest.mark.parametrize("dtype", ["int8", "uint16", "float32", "float64", "longdouble"])
@pytest.mark.parametrize(("inner", "outer"), [(5, 2), (0.0, -0.0), (3, 3.0), (1, 0)])
@pytest.mark.parametrize("alg", gn.GridRasterizeAlg)
def test_reduce_returns_the_value_that_came(alg, dtype, inner, outer):
    call = {**LATTICE, "inner_value": inner, "outer_value": outer, "default_value": 1, "geometry": SQUARE, "alg": alg}
    for win, value in ((((2, 2), (2, 3)), inner), (((5, 7), (6, 8)), outer)):
        got = gn.grid_rasterize(**{**call, "win": win}, dtype=dtype, reduce=True)
        assert np.ndim(got) == 0
        assert got == value
    whole = gn.grid_rasterize(**call, dtype=dtype, reduce=True)
    assert whole == inner if inner == outer else whole.shape == SHAPE
    if np.dtype(dtype).kind == "f":
        nan = gn.grid_rasterize(**{**call, "inner_value": np.nan, "win": ((2, 2), (2, 3))}, dtype=dtype, reduce=True)
        assert np.isnan(nan)
        assert np.ndim(nan) == 0


def test_a_wide_raster_in_strips_of_the_cache_is_the_whole(monkeypatch):
    """One row a strip, and some."""
    call = {**LATTICE, **VALUES, "geometry": [SQUARE, OTHER], "alg": 2, "win": ((1, 8), (2, 9))}
    expected = gn.grid_rasterize(**call, dtype=np.uint8)
    for pixels in (1, 17, 40):
        monkeypatch.setattr("gridr_numba.polygons.mask._PIXELS_IN_CACHE", pixels)
        assert np.array_equal(gn.grid_rasterize(**call, dtype=np.float32), expected)


def test_boolean_output_for_shapely():
    call = {**LATTICE, "inner_value": 0, "outer_value": 1, "default_value": 1, "geometry": SQUARE, "alg": 2}
    got = gn.grid_rasterize(**call, dtype=bool)
    assert got.dtype == bool
    assert np.array_equal(got, ~oracles.inside_shapely([SQUARE], SHAPE, 1))


@pytest.mark.parametrize("alg", gn.GridRasterizeAlg)
def test_lattices_by_coordinates(alg):
    xs, ys = np.arange(10) * 0.5 + 0.25, np.arange(9) * 2.0 - 3
    described = {**LATTICE, "origin": (-3.0, 0.25), "resolution": (2.0, 0.5)}
    call = {**VALUES, "geometry": [SQUARE, OTHER], "alg": alg, "dtype": np.uint8}
    expected = gn.grid_rasterize(**described, **call)
    assert len(np.unique(expected)) == 2
    for coords in ((xs, ys), tuple(np.meshgrid(xs, ys)), np.stack(np.meshgrid(xs, ys)), [xs, ys]):
        got = gn.grid_rasterize(coords, None, None, None, None, **call)
        assert np.array_equal(got, expected)
        part = gn.grid_rasterize(coords, None, None, None, ((1, 4), (3, 7)), **call)
        assert np.array_equal(part, expected[1:5, 3:8])


@pytest.mark.parametrize("alg", gn.GridRasterizeAlg)
def test_lattices_that_run_backwards(alg):
    xs, ys = np.arange(10) * 0.5 + 0.25, np.arange(9) * 2.0 - 3
    far = shapely.Polygon([(1, 1), (4, 1), (4, 1e9), (1, 1e9)])
    call = {**VALUES, "geometry": [SQUARE, far], "alg": alg, "dtype": np.uint8}
    expected = gn.grid_rasterize((xs, ys), None, None, None, None, **call)
    for backwards in (slice(None), slice(None, None, -1)):
        got = gn.grid_rasterize((xs[::-1], ys[backwards]), None, None, None, None, **call)
        assert np.array_equal(got, expected[backwards, ::-1])


@given(st.data(), st.sampled_from(list(gn.ShapelyPredicate)))
def test_irregular_lattices_ask_shapely(data, predicate):
    values = st.one_of(st.integers(0, 8).map(float), st.floats(-1, 9))
    xs = np.array(data.draw(st.lists(values, min_size=12, max_size=12))).reshape(3, 4)
    ys = np.array(data.draw(st.lists(values, min_size=12, max_size=12))).reshape(3, 4)
    huge = shapely.Polygon([(2, 2), (1e250, 2), (2, 1e250)])
    got = gn.grid_rasterize(
        (xs, ys), None, None, None, None, 1, 0, 0, [SQUARE, huge], alg=2, dtype=np.uint8, shapely_predicate=predicate
    )
    boundary = predicate is not gn.ShapelyPredicate.CONTAINS
    rings = [list(polygon.exterior.coords) for polygon in (SQUARE, huge)]
    for index in np.ndindex(xs.shape):
        expected = any(oracles.inside_exact([ring], xs[index], ys[index], boundary) for ring in rings)
        assert got[index] == expected


@pytest.mark.parametrize("distance", [1.0, -0.6, None])
def test_a_buffer_grows_or_shrinks_polygons_first(distance):
    call = {**LATTICE, **VALUES, "geometry": SQUARE, "geometry_buffer_dst": distance, "dtype": np.uint8}
    grown = SQUARE if distance is None else SQUARE.buffer(distance, quad_segs=1)
    got = gn.grid_rasterize(**call, alg=gn.GridRasterizeAlg.SHAPELY) == 5
    assert np.array_equal(got, oracles.inside_shapely([grown], SHAPE, 1))
    burned = rasterize([grown], SHAPE, transform=Affine(1, 0, -0.5, 0, 1, -0.5))
    assert np.array_equal(gn.grid_rasterize(**call) == 5, burned)
