"""The coarsest grid within a tolerance: laws of the search, and models against GDAL's and PROJ's own."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.rpc import RPC
from rasterio.transform import Affine, GCPTransformer, RPCTransformer
from rasterio.warp import transform as transform_points

import gridr_numba as gn
from gridr_numba.mapping import grid, models, search

EVERY_PIXEL = None


def wanted(shape, tolerance=0.01, **changed):
    given_ = {"step": None, "check": EVERY_PIXEL, "void": False, "dtype": np.dtype(np.float64)}
    return grid.Wanted(shape, tolerance, **{**given_, **changed})


def make(mapping, shape, tolerance=0.01, most=20_000_000, **changed):
    return grid.make(mapping, wanted(shape, tolerance, **changed), most)


def errors(made, mapping, shape):
    """Of every pixel, with the package's own dense grid: NaN where it has none."""
    dense = gn.build_grid((1, 1), made.nodes, None, made.step, None)[:, : shape[0], : shape[1]]
    rows, cols = np.mgrid[: shape[0], : shape[1]].astype(np.float64)
    return np.hypot(*(dense - np.stack(mapping(rows, cols))))


@st.composite
def cubics(draw):
    """Smooth mappings: cubic polynomials, saddles and odd ones among them, that bend by some pixels."""
    numbers = st.floats(-1, 1, allow_subnormal=False)
    size = draw(st.integers(20, 120)), draw(st.integers(20, 120))
    bend = [[draw(numbers) * draw(st.sampled_from([0, 0.1, 1, 5])) for _ in range(7)] for _ in range(2)]

    def mapping(rows, cols):
        y, x = rows / size[0], cols / size[1]
        terms = (y * y, x * x, x * y, y**3, x**3, y * y * x, y * x * x)
        first, second = (sum(factor * term for factor, term in zip(each, terms, strict=True)) for each in bend)
        return 2 * rows + 0.5 * cols + first, cols - 0.25 * rows + second

    return size, mapping


@settings(deadline=None)
@given(cubics(), st.sampled_from([0.5, 0.05, 0.01]))
def test_every_pixel_is_within_the_tolerance_and_nodes_are_the_mappings_own(case, tolerance):
    shape, mapping = case
    made = make(mapping, shape, tolerance)
    assert np.nanmax(errors(made, mapping, shape)) <= tolerance
    assert not np.isnan(errors(made, mapping, shape)).any()
    rows, cols = (np.arange(n) * step for n, step in zip(made.nodes.shape[1:], made.step, strict=True))
    expected = np.stack(mapping(*np.meshgrid(rows.astype(float), cols.astype(float), indexing="ij")))
    assert np.array_equal(made.nodes, expected)
    covered = gn.grid_full_resolution_shape(made.nodes.shape[1:], made.step)
    assert all(n <= full < n + step for n, full, step in zip(shape, covered, made.step, strict=True))


@settings(deadline=None)
@given(st.floats(0.5, 5), st.floats(0.5, 5), st.sampled_from([0.001, 0.0003]))
def test_it_is_not_wasteful(down, across, tolerance):
    shape = 900, 1100

    def mapping(rows, cols):
        return rows + down * (rows / 900) ** 2, cols + across * (cols / 1100) ** 2

    made = make(mapping, shape, tolerance, check=1000)
    longer = tuple(min(n - 1, int(1.5 * step) + 1) for n, step in zip(shape, made.step, strict=True))
    assert search.measure(search.Counted(mapping, 10**8), shape, longer).errors.max() > tolerance


@pytest.mark.parametrize("shape", [(1000, 777), (1, 500), (500, 1), (1, 1), (2, 2)])
def test_affine_mappings_need_the_corners_alone(shape):
    def mapping(rows, cols):
        return 3 * rows + 2 * cols + 1, 1.5 * cols - rows + 1e-3 * rows * cols

    made = make(mapping, shape)
    assert made.nodes.shape == (2, *(min(n, 2) for n in shape))
    assert errors(made, mapping, shape).max() <= 1e-9


def test_nothing_depends_on_batches(monkeypatch):
    def mapping(rows, cols):
        return rows + 1e-4 * rows**2, cols + 1e-4 * rows * cols + 1e-9 * cols**3

    whole = make(mapping, (300, 400), check=5000)
    monkeypatch.setattr(search, "_AT_A_TIME", 1000)
    assert np.array_equal(make(mapping, (300, 400), check=5000).nodes, whole.nodes)


def disc(rows, cols):
    """A mapping that ends at a circle."""
    inside = np.hypot(rows - 150, cols - 200) < 120
    return np.where(inside, rows + 1e-4 * cols**2, np.nan), np.where(inside, cols, np.nan)


def jump(rows, cols):
    return rows + 1e-4 * cols**2 + np.where(cols > 200.3, 50.0, 0.0), cols + 0.0


@pytest.mark.parametrize("mapping", [disc, jump])
def test_what_is_torn_is_refused_or_void(mapping):
    shape = 300, 400
    with pytest.raises(
        gn.GridrValueError, match=r"tolerance of 0.01 source pixels cannot be kept in .* cells"
    ) as caught:
        make(mapping, shape)
    assert caught.value.argument == "tolerance"
    made = make(mapping, shape, void=True)
    off = errors(made, mapping, shape)
    assert np.nanmax(off) <= 0.01
    assert made.unreachable.any()
    assert np.isfinite(off).mean() > 0.2
    mapped = np.isfinite(mapping(*np.mgrid[:300, :400].astype(float))[0])
    assert made.check.voided == (mapped & np.isnan(off)).sum()


def test_a_step_that_is_given_is_checked():
    def mapping(rows, cols):
        return rows + 1e-3 * rows**2, cols

    assert make(mapping, (101, 101), 0.2, step=(20, 50)).step == (20, 50)
    with pytest.raises(gn.GridrValueError, match=r"the error is up to 0\.225 pixels"):
        make(mapping, (101, 101), 0.2, step=(30, 50))


def test_float32_must_be_fine_enough():
    def mapping(rows, cols):
        return rows + 1e6, cols

    with pytest.raises(gn.GridrValueError, match="dtype must be float64: float32 holds"):
        make(mapping, (10, 10), dtype=np.dtype(np.float32))


# -- models -------------------------------------------------------------------------------------------------------


class Image:
    """As much of a dataset as models ask for."""

    name, shape, crs, transform, rpcs, gcps = "image", (500, 600), None, Affine.identity(), None, ([], None)

    def __init__(self, **said):
        self.__dict__.update(said)


PIXELS = np.random.default_rng(1).uniform(0, 500, (2, 1000))
UTM = models.TargetRaster(CRS.from_epsg(32631), Affine(8, 5, 5e5, 4, -9, 5e6), (500, 500))


def test_another_crs_is_projs():
    image = Image(crs=CRS.from_epsg(4326), transform=Affine(1e-4, 0, 2.9, 0, -1e-4, 45.2))
    mapping, name = models.model_of(image, UTM, "auto", None)
    xs, ys = transform_points(UTM.crs, image.crs, *gn.pixel_to_map(UTM.transform, *PIXELS))
    assert name == "crs"
    assert np.array_equal(np.stack(mapping(*PIXELS)), np.stack(gn.map_to_pixel(image.transform, xs, ys)))


def test_the_same_crs_is_one_affine_map():
    image = Image(crs=UTM.crs, transform=Affine(20, 1, 5e5, 2, -20, 5e6))
    rows, cols = models.model_of(image, UTM, "crs", None)[0](*PIXELS)
    expected = gn.map_to_pixel(image.transform, *gn.pixel_to_map(UTM.transform, *PIXELS))
    assert np.abs(np.stack([rows, cols]) - np.stack(expected)).max() < 1e-6
    same, _ = models.model_of(Image(crs=UTM.crs, transform=UTM.transform), UTM, "crs", None)
    assert np.array_equal(np.stack(same(*np.floor(PIXELS))), np.floor(PIXELS))


def test_longitudes_are_wrapped_about_the_sources_middle():
    image = Image(crs=CRS.from_epsg(4326), transform=Affine(0.01, 0, 178, 0, -0.01, 10), shape=(500, 600))
    target = models.TargetRaster(image.crs, Affine(0.01, 0, -181, 0, -0.01, 9), (100, 200))
    wide = models.TargetRaster(CRS.from_epsg(3832), Affine(1000, 0, 3.2e6, 0, -1000, 1e6), (100, 600))
    for each in (target, wide):
        _, cols = models.model_of(image, each, "crs", None)[0](*np.mgrid[:100, :200].astype(float))
        if each is wide:
            assert np.diff(cols, axis=1).min() > 0
            assert 0 < cols.min() < cols.max() < 600


def test_points_beyond_the_domain_do_not_take_others_with_them():
    image = Image(crs=CRS.from_proj4("+proj=ortho +lat_0=0 +lon_0=0"), transform=Affine(1000, 0, -3e5, 0, -1000, 3e5))
    target = models.TargetRaster(CRS.from_epsg(4326), Affine(1, 0, -180.5, 0, -1, 90.5), (181, 361))
    mapping, _ = models.model_of(image, target, "crs", None)
    rows, cols = np.mgrid[:181, :361].astype(float)
    whole = np.stack(mapping(rows, cols))
    assert 0.3 < np.isfinite(whole[0]).mean() < 0.7
    for col in range(0, 361, 7):
        alone = np.ravel(mapping(rows[90, col : col + 1], cols[90, col : col + 1]))
        both = np.isfinite([alone, whole[:, 90, col]]).all(axis=1)
        assert both[0] == both[1]
        assert not both.all() or np.array_equal(alone, whole[:, 90, col])


def rpcs():
    rng = np.random.default_rng(5)
    terms = rng.normal(0, 1e-3, (4, 20))
    terms[[1, 3], 0] = 1.0
    terms[0, 2], terms[2, 1] = -1.0, 1.0
    names = ("line_num_coeff", "line_den_coeff", "samp_num_coeff", "samp_den_coeff")
    offsets = {
        "height": (100.0, 500.0),
        "lat": (45.1, 0.1),
        "long": (3.0, 0.12),
        "line": (1e4, 1e4),
        "samp": (9e3, 9e3),
    }
    values = {f"{name}_{kind}": pair[k] for name, pair in offsets.items() for k, kind in enumerate(("off", "scale"))}
    values |= {"err_bias": None, "err_rand": None}
    return RPC(**values, **dict(zip(names, terms.tolist(), strict=True)))


def test_rpcs_are_gdals_but_for_its_half_pixel():
    image = Image(rpcs=rpcs())
    mapping, name = models.model_of(image, UTM, "auto", 120)
    found = np.stack(mapping(*PIXELS))
    lons, lats = transform_points(UTM.crs, "EPSG:4326", *gn.pixel_to_map(UTM.transform, *PIXELS))
    with RPCTransformer(image.rpcs) as transformer:
        expected = transformer.rowcol(lons, lats, np.full(len(lons), 120.0), op=lambda value: value)
    assert name == "rpc"
    assert np.isfinite(found).all()
    assert np.abs(found - (np.stack(expected) - 0.5)).max() < 1e-6


def test_rpcs_say_nothing_far_away_and_ask_for_a_height():
    image = Image(rpcs=rpcs())
    far = models.TargetRaster(CRS.from_epsg(4326), Affine(0.01, 0, 2.5, 0, -0.01, 45.6), (100, 100))
    rows, cols = np.mgrid[:100, :100].astype(float)
    found = models.model_of(image, far, "rpc", "rpc")[0](rows, cols)[0]
    lons, lats = gn.pixel_to_map(far.transform, rows, cols)
    near = (np.abs(lons - 3.0) / 0.12 <= 1.2) & (np.abs(lats - 45.1) / 0.1 <= 1.2)
    assert np.array_equal(np.isfinite(found), near)
    with pytest.raises(gn.GridrValueError, match="height must be given for an image with RPCs") as caught:
        models.model_of(image, far, "rpc", None)
    assert caught.value.argument == "height"


@pytest.mark.parametrize("model", ["gcps", "tps"])
def test_ground_control_points_are_gdals_but_for_its_half_pixel(model):
    rng = np.random.default_rng(2)
    points = [
        GroundControlPoint(row=r, col=c, x=5e5 + 9 * c + rng.normal(), y=5e6 - 9 * r + rng.normal())
        for r in (0, 250, 499)
        for c in (0, 300, 599)
    ]
    image = Image(gcps=(points, UTM.crs))
    how = {"tps": True} if model == "tps" else {}
    if how and "tps" not in inspect.signature(GCPTransformer).parameters:
        with pytest.raises(gn.GridrValueError, match="whose splines come with"):
            models.model_of(image, UTM, model, None)
        return
    found = np.stack(models.model_of(image, UTM, model, None)[0](*PIXELS))
    with GCPTransformer(points, **how) as transformer:
        expected = transformer.rowcol(*gn.pixel_to_map(UTM.transform, *PIXELS), op=lambda value: value)
    assert np.array_equal(found, np.stack(expected) - 0.5)


def test_a_source_must_say_where_it_lies():
    with pytest.raises(
        gn.GridrValueError, match="source must have a CRS and a transform, RPCs or ground control points"
    ):
        models.model_of(Image(), UTM, "auto", None)
    with pytest.raises(gn.GridrValueError, match="source must have RPCs, and 'image' has none"):
        models.model_of(Image(), UTM, "rpc", 0)
