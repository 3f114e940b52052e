"""Any window of a dense raster, as the whole has it (laws 4, 6 and 10)."""

from __future__ import annotations

import gc
import tracemalloc

import grids
import images
import numpy as np
import pytest
import rasterio
import shapely
from densifiers import CASES, made, opened, options_of, same
from grids import RESOLUTION, TRANSFORM, write
from hypothesis import given
from hypothesis import strategies as st
from rasterio.windows import Window as RasterioWindow
from strategies import windows_in

import gridr_numba as gn


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return grids.make(tmp_path_factory.mktemp("densifier"))


@pytest.fixture(scope="module", params=CASES)
def case(request, folder, tmp_path_factory):
    with opened(folder, tmp_path_factory.mktemp("whole"), **CASES[request.param]) as case:
        yield case


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
    source = images.write(tmp_path / "image.tif", np.zeros((600, 500), np.uint8))
    options = {"resolution": RESOLUTION, "source": source, "mask_out_values": "causes"}
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
        ({"resolution": 2, "displacement": "no"}, "displacement"),
        ({"resolution": 2, "repair_geometry": None}, "repair_geometry"),
        ({"resolution": 2, "allow_vrt": 1}, "allow_vrt"),
    ],
)
def test_wrong_options_are_refused_when_it_is_opened(folder, options, argument):
    with pytest.raises(gn.GridrError) as caught:
        gn.open_densifier(folder / "grid.tif", **options)
    assert caught.value.argument == argument
