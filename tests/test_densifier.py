"""Any window, and scattered places, of a dense raster: as the whole has them (laws 2, 4, 6 and 10)."""

from __future__ import annotations

import gc
import math
import os
import pickle
import subprocess
import sys
import threading
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
import rasterio
import shapely
from hypothesis import given
from hypothesis import strategies as st
from oracles import contributing, ulp
from rasterio.windows import Window as RasterioWindow
from strategies import windows_in

import gridr_numba as gn

NODES, RESOLUTION, SHAPE = (9, 11), (5, 7), (41, 71)
TRANSFORM = rasterio.Affine(50.0, 0.0, 4e5, 0.0, -50.0, 5e6)
RASTERIZE = {"alg": gn.GridRasterizeAlg.RASTERIO_RASTERIZE}


def write(path, bands, **profile):
    count, height, width = bands.shape
    profile = {"driver": "GTiff", "dtype": bands.dtype, "crs": "EPSG:32631", "transform": TRANSFORM, **profile}
    with rasterio.open(path, "w", count=count, height=height, width=width, **profile) as dataset:
        dataset.write(bands)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("densifier")
    random = np.random.default_rng(11)
    nodes = random.normal(500.0, 200.0, (2, *NODES))
    nodes[0, 1, 2] = -9999.0
    nodes[1, 6, 7] = np.nan
    write(folder / "grid.tif", nodes, nodata=-9999.0)
    write(folder / "narrow.tif", nodes.astype(np.float32), nodata=-9999.0)
    write(folder / "rows.tif", nodes[:1])
    write(folder / "cols.tif", nodes[1:])
    write(folder / "mask.tif", (random.random((1, *NODES)) < 0.8).astype(np.uint8))
    write(folder / "image.tif", np.zeros((1, 600, 500), np.uint8), transform=rasterio.Affine.identity(), crs=None)
    return folder


def clouds():
    random = np.random.default_rng(5)
    places = random.uniform((0, 0), SHAPE[::-1], (12, 2))
    return [shapely.Point(x, y).buffer(r) for (x, y), r in zip(places, random.uniform(1, 6, 12), strict=True)]


def options_of(folder, **more):
    """Name what the cases below are asked for: every way in which a pixel can be invalid."""
    everything = {
        "resolution": RESOLUTION,
        "mask": folder / "mask.tif",
        "valid": shapely.box(2, 2.5, 66, 38),
        "invalid": clouds(),
        "geometry_origin": (0.25, -0.5),
    }
    return {**everything, **more}


CASES = {
    "everything": {},
    "float32": {"dtype": "float32"},
    "causes": {"mask_out_values": "causes"},
    "wide codes": {"mask_out_values": (7, -300)},
    "filled": {"fill": -1.0},
    "contains": {"rasterize_kwargs": {"kwargs_alg": {"shapely_predicate": 2}}},
    "half": {"threshold": 0.5},
    "displacement": {"displacement": True, "source_offset": (0.5, 0.25)},
    "a part": {"window": ((3, 33), (10, 64))},
}


def made(folder, tmp_path, grid="grid.tif", **options):
    """Return what `densify` makes of it: coordinates and mask."""
    path = None if grid is None else folder / grid
    out = None if grid is None else tmp_path / "dense.tif"
    gn.densify(path, out, mask_out=tmp_path / "dense_mask.tif", overwrite=True, **options)
    with rasterio.open(tmp_path / "dense_mask.tif") as dataset:
        mask = dataset.read(1)
    if grid is None:
        return None, mask
    with rasterio.open(tmp_path / "dense.tif") as dataset:
        return dataset.read(), mask


def same(one, other):
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


# -- windows ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=CASES)
def case(request, folder, tmp_path_factory):
    options = options_of(folder, **CASES[request.param])
    coords, mask = made(folder, tmp_path_factory.mktemp("whole"), **options)
    with gn.open_densifier(folder / "grid.tif", **options) as densifier:
        yield densifier, coords, mask


@given(st.data())
def test_any_window_is_that_slice_of_the_whole(case, data):
    densifier, coords, mask = case
    row_start, row_stop, col_start, col_stop = data.draw(windows_in(densifier.shape))
    slices = slice(row_start, row_stop), slice(col_start, col_stop)
    form = data.draw(st.sampled_from(["slices", "pairs", "rasterio"]))
    window = {
        "slices": slices,
        "pairs": ((row_start, row_stop), (col_start, col_stop)),
        "rasterio": RasterioWindow(col_start, row_start, col_stop - col_start, row_stop - row_start),
    }[form]
    some_coords, some_mask = densifier.read(window)
    assert same(some_coords, coords[:, slices[0], slices[1]])
    assert same(some_mask, mask[slices])


def test_what_it_says_of_itself_is_what_the_files_say(folder, tmp_path):
    options = options_of(folder, window=((3, 33), (10, 64)))
    made(folder, tmp_path, **options)
    with gn.open_densifier(folder / "grid.tif", **options) as densifier, rasterio.open(tmp_path / "dense.tif") as dense:
        assert densifier.shape == dense.shape
        assert densifier.crs == dense.crs
        assert densifier.transform == dense.transform
        assert densifier.dtype == dense.dtypes[0]
        assert densifier.mask_dtype == np.uint8
        assert "30 x 54" in repr(densifier)


def test_without_a_place_there_is_no_transform(tmp_path):
    write(tmp_path / "grid.tif", np.zeros((2, 3, 3)), transform=rasterio.Affine.identity(), crs=None)
    with gn.open_densifier(tmp_path / "grid.tif", resolution=2) as densifier:
        assert densifier.transform is None
        assert densifier.crs is None


def test_open_ends_of_slices(folder):
    with gn.open_densifier(folder / "grid.tif", resolution=RESOLUTION) as densifier:
        coords, mask = densifier.read((slice(None), slice(60, None)))
        assert coords.shape == (2, 41, 11)
        assert mask.shape == (41, 11)


def test_only_a_mask(folder, tmp_path):
    options = options_of(folder)
    _, mask = made(folder, tmp_path, grid=None, **options)
    with gn.open_densifier(None, **options) as densifier:
        coords, some = densifier.read((slice(5, 20), slice(6, 61)))
        out = np.empty((15, 55), np.uint8)
        assert densifier.read((slice(5, 20), slice(6, 61)), out=(None, out))[1] is out
        places = densifier.at([5, 19.5], [6, 60])
        assert densifier.dtype is None
        with pytest.raises(gn.GridrValueError, match=r"out\[0\] must be None where only the mask is made"):
            densifier.read((slice(5, 20), slice(6, 61)), out=(np.empty((2, 15, 55)), out))
    assert coords is None
    assert places[0] is None
    assert same(some, mask[5:20, 6:61])
    assert same(out, mask[5:20, 6:61])
    assert places[1][0] == mask[5, 6]


def test_two_files_and_a_source(folder, tmp_path):
    options = {"resolution": RESOLUTION, "source": folder / "image.tif", "mask_out_values": "causes"}
    gn.densify((folder / "rows.tif", folder / "cols.tif"), tmp_path / "a.tif", mask_out=tmp_path / "b.tif", **options)
    with gn.open_densifier((folder / "rows.tif", folder / "cols.tif"), **options) as densifier:
        coords, mask = densifier.read((slice(3, 40), slice(1, 70)))
    with rasterio.open(tmp_path / "a.tif") as grid, rasterio.open(tmp_path / "b.tif") as causes:
        assert same(coords, grid.read()[:, 3:40, 1:70])
        whole = causes.read(1)
    assert same(mask, whole[3:40, 1:70])
    assert (whole & gn.Cause.OUTSIDE_SOURCE).any()


def test_like_chooses_the_part(folder, tmp_path):
    like = write(tmp_path / "like.tif", np.zeros((1, 20, 30), np.uint8), transform=TRANSFORM @ _dense())
    with gn.open_densifier(folder / "grid.tif", resolution=RESOLUTION, like=like) as densifier:
        assert densifier.shape == (20, 30)
        part = densifier.read((slice(None), slice(None)))[0]
    with gn.open_densifier(folder / "grid.tif", resolution=RESOLUTION) as densifier:
        assert same(part, densifier.read((slice(20), slice(30)))[0])


def _dense():
    rr, rc = RESOLUTION
    return (
        rasterio.Affine.translation(0.5, 0.5)
        @ rasterio.Affine.scale(1 / rc, 1 / rr)
        @ rasterio.Affine.translation(-0.5, -0.5)
    )


def test_out_is_written_and_returned_whatever_its_strides(folder):
    with gn.open_densifier(folder / "grid.tif", **options_of(folder)) as densifier:
        window = slice(5, 20), slice(6, 61)
        coords, mask = densifier.read(window)
        plain = np.empty((2, 15, 55)), np.empty((15, 55), np.uint8)
        strided = np.zeros((55, 15, 2)).T, np.zeros((20, 60), np.uint8)[2:17, 3:58]
        for out in (plain, strided):
            got = densifier.read(window, out=out)
            assert got[0] is out[0]
            assert got[1] is out[1]
            np.testing.assert_array_equal(out[0], coords)
            np.testing.assert_array_equal(out[1], mask)


def test_only_the_nodes_of_the_window_are_read(folder, monkeypatch):
    from gridr_numba.files import bands

    read, asked = bands.WindowReader.read, []
    monkeypatch.setattr(bands.WindowReader, "read", lambda self, window: asked.append(window) or read(self, window))
    with gn.open_densifier(folder / "grid.tif", **options_of(folder)) as densifier:
        densifier.read((slice(5, 6), slice(8, 14)))
        densifier.at([5], [8.5])
    assert {(w.row_start, w.row_stop, w.col_start, w.col_stop) for w in asked} == {(1, 2, 1, 3)}


def test_memory_is_for_the_window_only(tmp_path):
    path = tmp_path / "grid.tif"
    with rasterio.open(
        path, "w", driver="GTiff", count=2, height=20_000, width=20_000, dtype="float64", sparse_ok=True, tiled=True,
        compress="deflate",
    ):  # fmt: skip
        pass
    cloud = shapely.Point(9.9e5, 9.9e5).buffer(100)
    with gn.open_densifier(path, resolution=100, invalid=cloud) as densifier:
        window = (slice(990_000, 990_256), slice(990_000, 990_256))
        densifier.read(window)  # compiled, and open
        gc.collect()
        tracemalloc.start()
        densifier.read(window)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 1.2 * 256 * 256 * 17


@pytest.mark.parametrize(
    ("window", "error", "message"),
    [
        (((0, 42), (0, 1)), gn.GridrValueError, r"window must lie within the raster's \(41, 71\) rows and columns"),
        (((3, 3), (0, 1)), gn.GridrValueError, "each 0 <= start < stop"),
        ((slice(-3, 5), slice(0, 1)), gn.GridrValueError, "each 0 <= start < stop"),
        ((slice(0, 5, 2), slice(0, 1)), gn.GridrValueError, "window must be half-open pairs"),
        (RasterioWindow(0.5, 0, 3, 3), gn.GridrValueError, "window must be half-open pairs of integers"),
        ("all", gn.GridrTypeError, "window must be half-open pairs"),
        (None, gn.GridrTypeError, "window must be half-open pairs"),
    ],
)
def test_windows_that_are_none(folder, window, error, message):
    with (
        gn.open_densifier(folder / "grid.tif", resolution=RESOLUTION) as densifier,
        pytest.raises(error, match=message) as caught,
    ):
        densifier.read(window)
    assert caught.value.argument == "window"


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        (np.empty((2, 3, 4)), gn.GridrTypeError, "out must be a pair of arrays"),
        (
            (np.empty((2, 3, 5)), np.empty((3, 4), np.uint8)),
            gn.GridrValueError,
            r"out\[0\] must have shape \(2, 3, 4\)",
        ),
        ((np.empty((2, 3, 4), "f4"), np.empty((3, 4), np.uint8)), gn.GridrTypeError, r"out\[0\] must be of float64"),
        ((np.empty((2, 3, 4)), np.empty((3, 4), np.int16)), gn.GridrTypeError, r"out\[1\] must be of uint8"),
        ((None, np.empty((3, 4), np.uint8)), gn.GridrTypeError, r"out\[0\] must be a numpy array"),
    ],
)
def test_arrays_that_do_not_fit(folder, out, error, message):
    with (
        gn.open_densifier(folder / "grid.tif", resolution=RESOLUTION) as densifier,
        pytest.raises(error, match=message) as caught,
    ):
        densifier.read((slice(0, 3), slice(0, 4)), out=out)
    assert caught.value.argument == "out"


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"resolution": 0}, "resolution"),
        ({"resolution": 2, "threads": 0}, "threads"),
        ({"resolution": 2, "threshold": 2}, "threshold"),
        ({"resolution": 2, "mask_out_values": "codes"}, "mask_out_values"),
        ({"resolution": 2, "window": ((0, 1000), (0, 1))}, "window"),
        ({"resolution": 2, "invalid": shapely.LineString([(0, 0), (1, 1)])}, "invalid"),
        ({"resolution": 2, "fill": 1e300, "dtype": "float32"}, "fill"),
    ],
)
def test_wrong_options_are_refused_when_it_is_opened(folder, options, argument):
    with pytest.raises(gn.GridrError) as caught:
        gn.open_densifier(folder / "grid.tif", **options)
    assert caught.value.argument == argument


# -- places -----------------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("threshold", [0.0, 0.25, 0.3, 0.5, 0.999, 1.0])
@pytest.mark.parametrize("window", [None, ((3, 33), (10, 64))])
@given(data=st.data())
def test_between_pixels_it_is_exact(folder, threshold, window, data):
    with rasterio.open(folder / "grid.tif") as dataset:
        nodes = dataset.read()
    with rasterio.open(folder / "mask.tif") as dataset:
        valid = dataset.read(1) == 1
    first = (0, 0) if window is None else (3, 10)
    options = {"mask": folder / "mask.tif", "threshold": threshold, "window": window, "mask_out_values": "causes"}
    with gn.open_densifier(folder / "grid.tif", resolution=RESOLUTION, **options) as densifier:
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


@pytest.mark.parametrize("predicate", gn.ShapelyPredicate)
@given(data=st.data())
def test_between_pixels_polygons_are_asked_about_the_point(folder, predicate, data):
    origin = (0.25, -3.5)
    polygons = [shapely.box(1, 2, 9.5, 11), shapely.Polygon([(0, 0), (33, 4), (7, 30)]), *clouds()]
    rasterize = {"kwargs_alg": {"shapely_predicate": predicate}}
    ask = {1: shapely.covers, 2: shapely.contains, 3: shapely.intersects}[int(predicate)]
    options = {
        "invalid": polygons,
        "geometry_origin": origin,
        "rasterize_kwargs": rasterize,
        "window": ((2, 40), (5, 70)),
    }
    with gn.open_densifier(
        folder / "grid.tif", resolution=RESOLUTION, **options, mask_out_values="causes"
    ) as densifier:
        rows, cols = (
            data.draw(st.lists(st.integers(0, 8 * (size - 1)).map(lambda n: n / 8), min_size=9, max_size=9))
            for size in densifier.shape
        )
        _, causes = densifier.at(rows, cols)
    for row, col, cause in zip(rows, cols, causes, strict=True):
        point = shapely.Point(col + 5 + origin[1], row + 2 + origin[0])
        assert bool(cause & gn.Cause.INSIDE_INVALID) == any(ask(polygon, point) for polygon in polygons)


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
    with gn.open_densifier(folder / "grid.tif", resolution=RESOLUTION, rasterize_kwargs=RASTERIZE) as densifier:
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
        for wrong in ("a", None, [[1, 2]], [1, [2]], [True]):
            with pytest.raises(gn.GridrTypeError, match="rows must be numbers, in one dimension") as caught:
                densifier.at(wrong, [0])
            assert caught.value.argument == "rows"


# -- threads, processes, files ----------------------------------------------------------------------------------------


def test_threads_share_one(case):
    densifier, coords, mask = case
    height, width = densifier.shape
    failed = []

    def work(seed):
        random = np.random.default_rng(seed)
        for _ in range(40):
            i, j = int(random.integers(height)), int(random.integers(width))
            some, codes = densifier.read((slice(i, height), slice(j, width)))
            if not (same(some, coords[:, i:, j:]) and same(codes, mask[i:, j:])):
                failed.append((i, j))
            if densifier.at([i], [j])[1][0] != mask[i, j]:
                failed.append((i, j))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def open_files(folder):
    """Return how many files of a folder this process has open."""
    links = [f"/proc/self/fd/{each}" for each in os.listdir("/proc/self/fd")]
    return sum(os.path.realpath(link).startswith(str(folder)) for link in links if os.path.lexists(link))


def test_threads_that_end_leave_nothing_unraisable_and_close_closes_all(folder, monkeypatch):
    unraisable = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    monkeypatch.setattr(threading, "excepthook", unraisable.append)
    before = open_files(folder)
    densifier = gn.open_densifier(folder / "grid.tif", **options_of(folder))
    barrier = threading.Barrier(3)

    def work():
        barrier.wait()
        densifier.read((slice(None), slice(None)))

    for _ in range(5):
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        gc.collect()
    assert before + 2 <= open_files(folder) <= before + 2 * 3
    densifier.close()
    assert open_files(folder) == before
    densifier.close()
    for call in (lambda: densifier.read((slice(1), slice(1))), lambda: densifier.at([0], [0])):
        with pytest.raises(gn.GridrValueError, match="the densifier is closed"):
            call()
    densifier = None
    gc.collect()
    assert not unraisable


def test_one_that_is_forgotten_closes_its_files(folder):
    before = open_files(folder)
    densifier = gn.open_densifier(folder / "grid.tif", **options_of(folder))
    thread = threading.Thread(target=lambda: densifier.read((slice(1), slice(1))))
    thread.start()
    thread.join()
    assert open_files(folder) > before
    densifier, thread = None, None
    gc.collect()
    assert open_files(folder) == before


def test_it_travels(case, monkeypatch, tmp_path):
    densifier, coords, mask = case
    monkeypatch.chdir(tmp_path)
    with pickle.loads(pickle.dumps(densifier)) as other:
        some, codes = other.read((slice(None), slice(None)))
        assert (other.shape, other.crs, other.transform) == (densifier.shape, densifier.crs, densifier.transform)
    assert same(some, coords)
    assert same(codes, mask)


def test_paths_may_be_relative(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(folder)
    densifier = gn.open_densifier(("rows.tif", "cols.tif"), resolution=RESOLUTION, mask="mask.tif")
    expected = densifier.read((slice(None), slice(None)))
    travelled = pickle.dumps(densifier)
    densifier.close()
    monkeypatch.chdir(tmp_path)
    with pickle.loads(travelled) as other:
        assert same(other.read((slice(None), slice(None)))[0], expected[0])


def test_polygon_files_are_read_once(folder, tmp_path):
    path = tmp_path / "clouds.wkt"
    path.write_text(shapely.MultiPolygon(shapely.union_all(clouds()).geoms).wkt)
    densifier = gn.open_densifier(folder / "grid.tif", resolution=RESOLUTION, invalid=path)
    expected = densifier.read((slice(None), slice(None)))[1]
    path.unlink()
    with pickle.loads(pickle.dumps(densifier)) as other:
        assert same(other.read((slice(None), slice(None)))[1], expected)
    densifier.close()


@pytest.mark.parametrize("name", ["grid.tif", "mask.tif"])
@pytest.mark.parametrize("change", ["touched", "longer", "gone"])
def test_a_file_that_changed_is_refused(folder, tmp_path, name, change):
    for each in ("grid.tif", "mask.tif"):
        (tmp_path / each).write_bytes((folder / each).read_bytes())
    path = tmp_path / name
    densifier = gn.open_densifier(tmp_path / "grid.tif", resolution=RESOLUTION, mask=tmp_path / "mask.tif")
    travelled = pickle.dumps(densifier)
    densifier.read((slice(1), slice(1)))
    status = path.stat()
    if change == "touched":
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    elif change == "longer":
        path.write_bytes(path.read_bytes() + b"0")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    else:
        path.unlink()
    reason = "cannot be read: No such file" if change == "gone" else "has changed since it was first opened"
    for each in (densifier, pickle.loads(travelled)):
        with pytest.raises(gn.DatasetError, match=f"{path.stem}: .*{name}.* {reason}") as caught:
            each.read((slice(1), slice(1)))
        assert caught.value.argument == path.stem
        each.close()


FORK = """
import os, sys, threading, numpy as np, shapely
import gridr_numba as gn
clouds = [shapely.Point(*place).buffer(3) for place in np.random.default_rng(1).uniform(0, 40, (20, 2))]
d = gn.open_densifier(sys.argv[1], resolution=(5, 7), mask=sys.argv[2], invalid=clouds)
whole = slice(None), slice(None)
expected = d.read(whole)
thread = threading.Thread(target=d.read, args=(whole,)); thread.start(); thread.join()
child = os.fork()
if child == 0:
    import gc
    got = d.read(whole)
    fine = all(a.tobytes() == b.tobytes() for a, b in zip(got, expected))
    d.close(); gc.collect()
    sys.exit(0 if fine else 1)
_, status = os.waitpid(child, 0)
again = d.read(whole)
assert all(a.tobytes() == b.tobytes() for a, b in zip(again, expected))
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_a_fork_after_use_reads_on(folder):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK, str(folder / "grid.tif"), str(folder / "mask.tif")],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_reads_start_no_threading_layer(folder):
    code = (
        "import sys, numba, gridr_numba as gn\n"
        "d = gn.open_densifier(sys.argv[1], resolution=(300, 300))\n"
        "d.read((slice(None), slice(None)))\n"
        "try: print(numba.threading_layer())\n"
        "except ValueError: print('none')\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(folder / "grid.tif")],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.strip() == "none", done.stderr


def test_more_threads_change_nothing(folder):
    window = slice(100, 1300), slice(50, 1200)
    options = {"resolution": (173, 150), "invalid": shapely.Point(700, 700).buffer(300)}
    with (
        gn.open_densifier(folder / "grid.tif", **options) as one,
        gn.open_densifier(folder / "grid.tif", threads=None, **options) as all_of_them,
    ):
        for a, b in zip(one.read(window), all_of_them.read(window), strict=True):
            assert same(a, b)
