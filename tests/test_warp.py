"""`warp`: an image brought to a target on the map, against GDAL's own warper."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
from images import read
from rasterio.enums import Resampling
from rasterio.transform import Affine, from_gcps
from rasterio.vrt import WarpedVRT

import gridr_numba as gn
from gridr_numba.demo.checks import WARPED_VRT_TOLERANCE
from gridr_numba.errors import DatasetError, GridrValueError

IMAGE = Path(__file__).with_name("data") / "RGB.byte.cut.tif"  # beside it, where it is from and whose it is
TARGET = {"crs": "EPSG:5070", "transform": Affine(310.0, 0.0, 1.7545e6, 0.0, -310.0, 4.4537e5), "shape": (200, 240)}
IN_SOME = "nodata in some of the bands [1, 2, 3] only, and are invalid; see band_validity"


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """A satellite image, in a folder of its own."""
    return Path(shutil.copy(IMAGE, tmp_path_factory.mktemp("image") / "image.tif"))


@pytest.fixture(scope="module")
def like(tmp_path_factory):
    path = tmp_path_factory.mktemp("like") / "like.tif"
    height, width = TARGET["shape"]
    place = {"crs": TARGET["crs"], "transform": TARGET["transform"]}
    with rasterio.open(path, "w", driver="GTiff", count=1, height=height, width=width, dtype="uint8", **place):
        pass
    return path


def by_gdal(path, interpolation):
    """Warp with GDAL: the exact transformer, and kernels of the size that they have without a change of scale."""
    (height, width), place = TARGET["shape"], {"crs": TARGET["crs"], "transform": TARGET["transform"]}
    how = {"tolerance": WARPED_VRT_TOLERANCE, "XSCALE": "1", "YSCALE": "1", "resampling": Resampling[interpolation]}
    with (
        rasterio.open(path) as dataset,
        WarpedVRT(dataset, height=height, width=width, src_nodata=0, nodata=0, **place, **how) as warped,
    ):
        return warped.read()


@pytest.mark.parametrize(
    ("interpolation", "of_gdal"), [("nearest", "nearest"), ("linear", "bilinear"), ("cubic", "cubic")]
)
def test_it_is_what_gdal_makes(image, like, tmp_path, interpolation, of_gdal):
    out, mask_out = tmp_path / "out.tif", tmp_path / "mask.tif"
    # At its edge GDAL weighs what is left of the taps, too: only pixels with all of them are compared.
    how = {"interpolation": interpolation, "tolerance": 1e-3, "mask_out": mask_out, "edge": "strict"}
    report = gn.warp(image, out, like=like, **how)
    with rasterio.open(out) as made, rasterio.open(mask_out) as mask:
        values, valid = made.read(), mask.read(1) == 1
        assert made.crs == rasterio.CRS.from_user_input(TARGET["crs"])
        assert made.transform == TARGET["transform"]
        assert made.shape == TARGET["shape"]
    wanted = by_gdal(image, of_gdal)
    # GDAL makes pixels of what is left of their taps where some are nodata; here such pixels are invalid.
    assert ((wanted != 0).all(axis=0) | ~valid).all()
    assert valid.mean() > 0.5
    differences = np.abs(values[:, valid].astype(int) - wanted[:, valid])
    if interpolation == "nearest":  # where a position is within the tolerance of the middle between two pixels
        assert (differences != 0).mean() < 0.01
    else:
        assert differences.max() <= 1
        assert (differences != 0).mean() < 0.02
    assert report.valid_pixels == valid.sum()


def test_pixels_that_are_nodata_in_some_bands(image, like, tmp_path):
    """As GDAL has it, each band for itself: the whole target, what is nodata and beyond the image too."""
    how = {"interpolation": "nearest", "tolerance": 1e-3, "band_validity": "each"}
    gn.warp(image, tmp_path / "out.tif", like=like, **how)
    values, wanted = read(tmp_path / "out.tif"), by_gdal(image, "nearest")
    some = (wanted == 0).any(axis=0) & (wanted != 0).any(axis=0)
    assert some.sum() > 50
    assert (values == wanted)[:, some].mean() > 0.95
    assert (values == wanted).mean() > 0.995


def test_it_is_make_grid_and_resample(image, like, tmp_path):
    grid, kept = tmp_path / "grid.tif", tmp_path / "kept.tif"
    gn.make_grid(image, grid, like=like, unreachable="void")
    gn.resample(image, grid, tmp_path / "two.tif")
    report = gn.warp(image, tmp_path / "one.tif", like=like, grid_out=kept)
    for first, second in ((grid, kept), (tmp_path / "one.tif", tmp_path / "two.tif")):
        with rasterio.open(first) as one, rasterio.open(second) as two:
            assert one.read().tobytes() == two.read().tobytes()
            assert (one.crs, one.transform, one.nodata) == (two.crs, two.transform, two.nodata) or np.isnan(one.nodata)
            if first is grid:
                of_each = [{**each.tags(), "GRIDR_NUMBA_OPTIONS": ""} for each in (one, two)]
                assert of_each[0] == of_each[1]
    with rasterio.open(tmp_path / "one.tif") as made:
        tags = made.tags()
    assert tags["GRIDR_NUMBA_INPUTS"].split() == ["image.tif", "like.tif"]
    assert json.loads(tags["GRIDR_NUMBA_OPTIONS"]) == {"like": "like.tif"}
    assert [each.split(" hold ")[1] for each in report.warnings] == [IN_SOME]


def test_the_grid_is_not_on_the_disk_unless_asked(image, like, tmp_path):
    gn.warp(image, tmp_path / "out.tif", like=like)
    assert os.listdir(tmp_path) == ["out.tif"]
    assert set(os.listdir(image.parent)) == {"image.tif"}


def test_three_ways_to_say_the_target(image, like, tmp_path):
    with_transform = {name: TARGET[name] for name in ("crs", "transform", "shape")}
    left, top = TARGET["transform"].c, TARGET["transform"].f
    bounds = (left, top - 310.0 * 200, left + 310.0 * 240, top)
    made = []
    for target in (
        {"like": like},
        with_transform,
        {"crs": 5070, "pixel_size": 310.0, "bounds": bounds},
    ):
        gn.warp(image, tmp_path / "out.tif", **target, overwrite=True)
        with rasterio.open(tmp_path / "out.tif") as dataset:
            made.append((dataset.read().tobytes(), dataset.transform, dataset.crs))
    assert made[0] == made[1] == made[2]
    report = gn.warp(image, tmp_path / "out.tif", crs="EPSG:4326", overwrite=True)
    assert report.valid_pixels > 0


def test_a_target_beyond_the_projection_is_void_unless_refused(tmp_path):
    path = tmp_path / "world.tif"
    profile = {"driver": "GTiff", "count": 1, "height": 90, "width": 180, "dtype": "uint8", "nodata": 255}
    with rasterio.open(path, "w", crs="EPSG:4326", transform=Affine(2, 0, -180, 0, -2, 90), **profile) as dataset:
        dataset.write(np.full((1, 90, 180), 7, np.uint8))
    globe = {"crs": "+proj=ortho +lat_0=45", "pixel_size": 5e4, "bounds": (-7e6, -7e6, 7e6, 7e6), "tolerance": 0.05}
    report = gn.warp(path, tmp_path / "out.tif", **globe)
    assert report.invalid_pixels["node"] > 0
    assert report.valid_pixels > 0
    with pytest.raises(GridrValueError):
        gn.warp(path, tmp_path / "none.tif", **globe, unreachable="error")
    assert not (tmp_path / "none.tif").exists()


def test_what_is_void_and_has_a_mapping_is_warned_of(image, tmp_path):
    """As `make_grid` warns of it; a part of the target of which it is so comes out invalid."""
    how = {"crs": 5070, "tolerance": 1e-7, "max_evaluations": 6000}
    (said,) = (each for each in gn.warp(image, tmp_path / "a.tif", **how).warnings if "no node;" in each)
    assert said.startswith("100.0% of the target's pixels have a mapping and no node; a larger max_evaluations")
    with pytest.raises(gn.StrictError):
        gn.warp(image, tmp_path / "b.tif", **how, strict=True)
    (said,) = gn.warp(image, tmp_path / "c.tif", crs=5070).warnings
    assert said.endswith(IN_SOME)


def test_images_placed_by_control_points(tmp_path):
    path, target = tmp_path / "image.tif", {"crs": "EPSG:32631", "transform": Affine(10, 0, 5e5, 0, -10, 5e6)}
    points = [
        rasterio.control.GroundControlPoint(row, col, 5e5 + 10 * col, 5e6 - 10 * row)
        for row in (0, 50, 99)
        for col in (0, 60, 119)
    ]
    values = read(IMAGE)[:1, :100, :120]
    profile = {"driver": "GTiff", "count": 1, "height": 100, "width": 120, "dtype": "uint8", "nodata": 0}
    with rasterio.open(path, "w", gcps=points, crs="EPSG:32631", **profile) as dataset:
        dataset.write(values)
    assert from_gcps(points).a == pytest.approx(10)
    gn.warp(path, tmp_path / "out.tif", **target, shape=(100, 120), interpolation="nearest")
    with rasterio.open(tmp_path / "out.tif") as made:
        assert (made.read() == values).all()
        assert made.gcps[0] == []


@pytest.mark.parametrize(
    ("options", "error", "argument", "text"),
    [
        ({}, GridrValueError, "like", "one way"),
        ({"crs": 5070, "tolerance": 0}, GridrValueError, "tolerance", "positive"),
        ({"crs": 5070, "model": "rpc"}, GridrValueError, None, "image"),
        ({"crs": 5070, "interpolation": "best"}, GridrValueError, "interpolation", "one of"),
        ({"crs": 5070, "unreachable": "skip"}, GridrValueError, "unreachable", "skip"),
        ({"crs": 5070, "grid_out": "missing/grid.tif"}, DatasetError, "grid_out", "no folder"),
    ],
)
def test_wrong_arguments(image, tmp_path, options, error, argument, text):
    with pytest.raises(error, match=text) as info:
        gn.warp(image, tmp_path / "out.tif", **options)
    assert argument is None or info.value.argument == argument
    assert "source" not in str(info.value)
    assert os.listdir(tmp_path) == []


def test_an_image_that_says_nothing_of_its_place_is_named(tmp_path):
    path = tmp_path / "plain.tif"
    with pytest.raises(DatasetError, match=r"^image: there is no file") as info:
        gn.warp(path, tmp_path / "out.tif", crs=5070)
    assert info.value.argument == "image"


def test_one_file_for_grid_and_image_is_refused(image, tmp_path):
    with pytest.raises(GridrValueError, match="out and grid_out must differ"):
        gn.warp(image, tmp_path / "out.tif", crs=5070, grid_out=tmp_path / "out.tif")
    with pytest.raises(GridrValueError, match="is an input"):
        gn.warp(image, image, crs=5070, overwrite=True)
