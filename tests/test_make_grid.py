"""The coarsest grid within a tolerance: laws of the search, and models against GDAL's and PROJ's own."""

from __future__ import annotations

import inspect
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.rpc import RPC
from rasterio.transform import Affine, GCPTransformer, RPCTransformer
from rasterio.warp import transform as transform_points
from scipy import ndimage

import gridr_numba as gn
from gridr_numba.kernels import bilinear
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
@given(st.floats(0.5, 5), st.floats(0.5, 5), st.sampled_from([0.001, 0.0003]), st.sampled_from([0, 3, -20]))
def test_it_is_not_wasteful(down, across, tolerance, odd):
    shape = 900, 1100

    def mapping(rows, cols):
        y, x = rows / 900, cols / 1100
        return rows + down * y**2 + odd * (x - 0.4) ** 3, cols + across * x**2 + odd * (y - 0.6) ** 3

    made = make(mapping, shape, tolerance, check=1000)
    longer = tuple(min(n - 1, int(1.5 * step) + 1) for n, step in zip(shape, made.step, strict=True))
    assert search.measure(search.Counted(mapping, 10**8), shape, longer).errors.max() > tolerance


@pytest.mark.parametrize(
    "shape", [pytest.param((1000, 777), marks=pytest.mark.large), (50, 39), (1, 500), (500, 1), (1, 1), (2, 2)]
)
def test_affine_mappings_need_the_corners_alone(shape):
    def mapping(rows, cols):
        return 3 * rows + 2 * cols + 1, 1.5 * cols - rows + 1e-3 * rows * cols

    made = make(mapping, shape)
    assert made.nodes.shape == (2, *(min(n, 2) for n in shape))
    assert errors(made, mapping, shape).max() <= 1e-9


@settings(deadline=None)
@given(cubics(), st.integers(1, 40), st.integers(1, 40))
def test_no_pixel_of_a_cell_is_further_off_than_the_margin_says(case, rr, rc):
    shape, mapping = case
    step = search.tight(shape[0], rr), search.tight(shape[1], rc)
    found = search.measure(search.Counted(mapping, 10**8), shape, step)
    every = errors(SimpleNamespace(nodes=found.nodes, step=step), mapping, shape)
    cells = [
        np.minimum(np.arange(n) // each, last - 1)
        for n, each, last in zip(shape, step, found.errors.shape, strict=True)
    ]
    most = np.zeros(found.errors.shape)
    np.maximum.at(most, np.ix_(*cells), every)
    with_far_edges = ndimage.maximum_filter(found.errors, size=2, origin=-1)  # of the next cells down and across
    assert (most <= search.MARGIN * with_far_edges + 1e-9).all()


@settings(deadline=None)
@given(st.integers(2, 6), st.integers(2, 6), st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_pixels_apart_are_the_dense_rasters_to_the_bit(height, width, rr, rc, seed):
    rng = np.random.default_rng(seed)
    nodes = rng.normal(0, 1e3, (2, height, width))
    nodes[:, rng.random((height, width)) < 0.2] = np.nan
    dense = gn.build_grid((1, 1), nodes, None, (rr, rc), None)
    rows, cols = (each.ravel() for each in np.mgrid[: dense.shape[1], : dense.shape[2]])
    bilinear.densify_at(nodes, (rr, rc), rows, cols, out := np.empty((2, rows.size)))
    assert np.array_equal(out.reshape(dense.shape).view(np.int64), dense.view(np.int64))


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


def test_a_tear_does_not_drive_the_step():
    def smooth(rows, cols):
        return rows + 1e-5 * cols**2, cols + 2e-5 * rows**2

    def torn(rows, cols):
        return smooth(rows, cols)[0] + np.where(3 * cols > rows + 500.3, 9.0, 0.0), smooth(rows, cols)[1]

    made, without = make(torn, (3000, 4000), void=True, check=50_000), make(smooth, (3000, 4000), check=1000)
    assert all(0.9 * one <= step for one, step in zip(without.step, made.step, strict=True))
    assert made.check.voided < 0.1 * made.check.pixels


def test_an_affine_mapping_with_a_tear_keeps_what_is_not_at_it():
    made = make(
        lambda rows, cols: (rows, np.where(cols < 2100.5, cols, cols - 5.0)), (3000, 4000), void=True, check=50_000
    )
    assert 0 < made.check.voided < 0.05 * made.check.pixels


def pole(rows, cols):
    """Longitude and distance about a pole, an image of the whole world beside it."""
    return np.hypot(rows - 2000.3, cols - 1990.7), np.arctan2(rows - 2000.3, cols - 1990.7) * 36000 / (2 * np.pi)


def limb(rows, cols):
    """A sphere seen from afar: infinitely steep at its edge."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return 5000 * np.arcsin((rows - 2000) / 1900), 5000 * np.arcsin(
            (cols - 2000) / np.sqrt(1900**2 - (rows - 2000) ** 2)
        )


@pytest.mark.parametrize("mapping", [pole, limb])
def test_what_bends_ever_more_ends_early(mapping):
    most = 1_000_000
    counted = search.Counted(mapping, most)
    found = search.choose(counted, (4000, 4000), 0.01)
    assert counted.evaluations < 0.5 * most
    assert (found.errors > 0.01).any()
    with pytest.raises(gn.GridrValueError, match=r"cannot be kept in .* cells"):
        make(mapping, (4000, 4000), most=most, check=1000)
    made = make(mapping, (4000, 4000), most=most, check=20_000, void=True)
    assert made.check.largest <= 0.01
    assert made.check.unmapped == 0


def test_too_few_evaluations_are_refused_by_their_name():
    for how in ({}, {"step": (3, 3)}):
        with pytest.raises(gn.GridrValueError, match="max_evaluations must be larger") as caught:
            make(lambda rows, cols: (rows, cols), (900, 900), most=100, **how)
        assert caught.value.argument == "max_evaluations"


def test_where_evaluations_run_out_the_tolerance_is_not_kept():
    def mapping(rows, cols):
        return rows + 3e-5 * rows**2, cols + 3e-5 * cols**2

    with pytest.raises(gn.GridrValueError, match=r"cannot be kept in .* cells"):
        make(mapping, (900, 900), 1e-4, most=100_000, check=1000)
    assert make(mapping, (900, 900), 1e-4, most=3_000_000, check=1000).check.largest <= 1e-4


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


def model_of(image, target, model, height):
    return models.model_of(image, target, model, height, ExitStack())


PIXELS = np.random.default_rng(1).uniform(0, 500, (2, 1000))
UTM = models.TargetRaster(CRS.from_epsg(32631), Affine(8, 5, 5e5, 4, -9, 5e6), (500, 500))


def test_another_crs_is_projs():
    image = Image(crs=CRS.from_epsg(4326), transform=Affine(1e-4, 0, 2.9, 0, -1e-4, 45.2))
    mapping, name = model_of(image, UTM, "auto", None)
    xs, ys = transform_points(UTM.crs, image.crs, *gn.pixel_to_map(UTM.transform, *PIXELS))
    assert name == "crs"
    assert np.array_equal(np.stack(mapping(*PIXELS)), np.stack(gn.map_to_pixel(image.transform, xs, ys)))


def in_fractions(image, row, col):
    """A target's pixel in an image of the same CRS, without rounding."""
    half = Fraction(1, 2)
    (a, b, c, d, e, f), (m, n, o, p, q, r) = (map(Fraction, tuple(each.transform)[:6]) for each in (UTM, image))
    x, y = Fraction(col) + half, Fraction(row) + half
    dx, dy = a * x + b * y + c - o, d * x + e * y + f - r
    determinant = m * q - n * p
    return (m * dy - p * dx) / determinant - half, (q * dx - n * dy) / determinant - half


# A tile of Sentinel-2's size in a target's CRS, and an image's place.
DEGREES = {"crs": CRS.from_epsg(4326), "transform": Affine(1e-4, 0, 0, 0, -1e-4, 50), "shape": (40_000, 40_000)}
METRES = {"crs": CRS.from_epsg(32631), "transform": Affine(10, 0, 4e5, 0, -10, 5.2e6), "shape": (40_000, 40_000)}
POLAR = {**DEGREES, "transform": Affine(1e-4, 0, -50, 0, -1e-4, 80)}


@pytest.mark.large
@pytest.mark.parametrize(
    ("epsg", "corner", "turn", "image", "tolerance"),
    [
        (3413, (0, -1740e3), 0, POLAR, 0.1),
        (32631, (55e4, 5e6), 20, DEGREES, 0.01),
        (3035, (38e5, 24e5), 0, METRES, 0.001),
    ],
)
def test_a_million_pixels_are_within_the_tolerance_of_gdals_projection(epsg, corner, turn, image, tolerance):
    """The interpolation is scipy's, the projection rasterio's. All pairs and tolerances: the bench."""
    place = Affine.translation(*corner) * Affine.rotation(turn) * Affine.scale(10, -10)
    target, image = models.TargetRaster(CRS.from_epsg(epsg), place, (10980, 10980)), Image(**image)
    made = make(model_of(image, target, "auto", None)[0], target.shape, tolerance, check=1000)
    rows, cols = np.random.default_rng(8).integers(0, 10980, (2, 10**6)).astype(np.float64)
    xs, ys = transform_points(target.crs, image.crs, *gn.pixel_to_map(place, rows, cols))
    true = np.stack(gn.map_to_pixel(image.transform, xs, ys))
    places = np.stack([rows / made.step[0], cols / made.step[1]])
    found = np.stack([ndimage.map_coordinates(band, places, order=1) for band in made.nodes])
    assert 0 < np.hypot(*(found - true)).max() <= tolerance


def test_the_same_crs_is_one_affine_map():
    image = Image(crs=UTM.crs, transform=Affine(20, 1, 5e5, 2, -20, 5e6))
    rows, cols = model_of(image, UTM, "crs", None)[0](*PIXELS)
    for row, col, *found in zip(*(each[:200].tolist() for each in (*PIXELS, rows, cols)), strict=True):
        assert (
            max(abs(Fraction(one) - exact) for one, exact in zip(found, in_fractions(image, row, col), strict=True))
            < 1e-9
        )
    same, _ = model_of(Image(crs=UTM.crs, transform=UTM.transform), UTM, "crs", None)
    assert np.array_equal(np.stack(same(*np.floor(PIXELS))), np.floor(PIXELS))


def test_longitudes_are_wrapped_about_the_sources_middle():
    image = Image(crs=CRS.from_epsg(4326), transform=Affine(0.01, 0, 178, 0, -0.01, 10), shape=(500, 600))
    target = models.TargetRaster(image.crs, Affine(0.01, 0, -181, 0, -0.01, 9), (100, 200))
    wide = models.TargetRaster(CRS.from_epsg(3832), Affine(1000, 0, 3.2e6, 0, -1000, 1e6), (100, 600))
    for each in (target, wide):
        _, cols = model_of(image, each, "crs", None)[0](*np.mgrid[:100, :200].astype(float))
        if each is wide:
            assert np.diff(cols, axis=1).min() > 0
            assert 0 < cols.min() < cols.max() < 600


def test_points_beyond_the_domain_do_not_take_others_with_them():
    image = Image(crs=CRS.from_proj4("+proj=ortho +lat_0=0 +lon_0=0"), transform=Affine(1000, 0, -3e5, 0, -1000, 3e5))
    target = models.TargetRaster(CRS.from_epsg(4326), Affine(1, 0, -180.5, 0, -1, 90.5), (181, 361))
    mapping, _ = model_of(image, target, "crs", None)
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
    mapping, name = model_of(image, UTM, "auto", 120)
    found = np.stack(mapping(*PIXELS))
    lons, lats = transform_points(UTM.crs, "EPSG:4326", *gn.pixel_to_map(UTM.transform, *PIXELS))
    with RPCTransformer(image.rpcs) as transformer:
        expected = transformer.rowcol(lons, lats, np.full(len(lons), 120.0), op=lambda value: value)
    assert name == "rpc"
    assert np.isfinite(found).all()
    assert np.abs(found - (np.stack(expected) - 0.5)).max() < 1e-6


def test_rpcs_work_across_the_dateline():
    """As far from LONG_OFF on the one side as on the other: half of the target has longitudes of the other sign."""
    polynomials = rpcs()
    polynomials.long_off = 179.99
    found = []
    for lon in (179.95, -180.05):
        place = Affine(1e-3, 0, lon, 0, -1e-3, 45.15)
        target = models.TargetRaster(CRS.from_epsg(4326), place, (50, 80))
        found.append(model_of(Image(rpcs=polynomials), target, "rpc", 120)[0](*np.mgrid[:50, :80].astype(float)))
    assert np.isfinite(found).all()
    assert np.abs(np.subtract(*found)).max() < 1e-6
    assert np.diff(found[0][1], axis=1).min() > 0


def test_rpcs_say_nothing_far_away_and_ask_for_a_height():
    image = Image(rpcs=rpcs())
    far = models.TargetRaster(CRS.from_epsg(4326), Affine(0.01, 0, 2.5, 0, -0.01, 45.6), (100, 100))
    rows, cols = np.mgrid[:100, :100].astype(float)
    found = model_of(image, far, "rpc", "rpc")[0](rows, cols)[0]
    lons, lats = gn.pixel_to_map(far.transform, rows, cols)
    near = (np.abs(lons - 3.0) / 0.12 <= 1.2) & (np.abs(lats - 45.1) / 0.1 <= 1.2)
    assert np.array_equal(np.isfinite(found), near)
    with pytest.raises(gn.GridrValueError, match="height must be given for an image with RPCs") as caught:
        model_of(image, far, "rpc", None)
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
            model_of(image, UTM, model, None)
        return
    found = np.stack(model_of(image, UTM, model, None)[0](*PIXELS))
    with GCPTransformer(points, **how) as transformer:
        expected = transformer.rowcol(*gn.pixel_to_map(UTM.transform, *PIXELS), op=lambda value: value)
    assert np.array_equal(found, np.stack(expected) - 0.5)


def test_ground_control_points_are_fitted_once_and_let_go(monkeypatch):
    said = []

    @contextmanager
    def watched(*arguments):
        said.append("made")
        with GCPTransformer(*arguments) as transformer:
            yield transformer
        said.append("closed")

    monkeypatch.setattr(models, "GCPTransformer", watched)
    points = [
        GroundControlPoint(row=r, col=c, x=5e5 + 9 * c, y=5e6 - 9 * r) for r in (0, 250, 499) for c in (0, 300, 599)
    ]
    points[4].x += 3
    with ExitStack() as stack:
        mapping, _ = models.model_of(Image(gcps=(points, UTM.crs)), UTM, "gcps", None, stack)
        whole = np.stack(mapping(*PIXELS))
        with ThreadPoolExecutor(4) as pool:
            parts = pool.map(lambda k: np.stack(mapping(*PIXELS[:, 10 * k : 10 * k + 10])), range(100))
            assert np.array_equal(np.concatenate(list(parts), axis=1), whole)
    assert said == ["made", "closed"]


def test_ground_control_points_that_gdal_cannot_fit_are_our_error():
    points = [GroundControlPoint(row=r, col=c, x=5e5 + 9 * c, y=5e6 - 9 * r) for r in (0, 499) for c in (0, 300, 599)]
    with pytest.raises(gn.DatasetError, match="GDAL finds no mapping through its ground control points") as caught:
        model_of(Image(gcps=(points, UTM.crs)), UTM, "gcps", None)
    assert caught.value.argument == "source"


def test_a_source_must_say_where_it_lies():
    with pytest.raises(
        gn.GridrValueError, match="source must have a CRS and a transform, RPCs or ground control points"
    ):
        model_of(Image(), UTM, "auto", None)
    with pytest.raises(gn.GridrValueError, match="source must have RPCs, and 'image' has none"):
        model_of(Image(), UTM, "rpc", 0)
