"""The demo passes on true data, and each of its checks fails on data that is wrong in the way it is there to find."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
import shapely.geometry
from click.testing import CliRunner
from rasterio.warp import transform

from gridr_numba import GridrValueError, __version__, densify
from gridr_numba.cli import main
from gridr_numba.demo import checks as demo_checks
from gridr_numba.demo import job as demo_job
from gridr_numba.demo import run as demo
from gridr_numba.window import Window

NODES = (20, 26)
SHAPE = (19 * 32 + 1, 25 * 24 + 1)


pytestmark = pytest.mark.large


@pytest.fixture(scope="module")
def true_job():
    return demo_job.make_job(node_shape_row_col=NODES)


@pytest.fixture(scope="module")
def true_demo(tmp_path_factory):
    """Run the demo once on a small raster: its directory, its lines, its verdict."""
    directory = tmp_path_factory.mktemp("demo") / "made" / "by the demo"
    lines = []
    passed = demo.run_demo(directory, echo=lines.append, node_shape_row_col=NODES, samples=300)
    return directory, lines, passed


@pytest.fixture
def copied(true_demo, tmp_path):
    """A copy of the demo's files to spoil."""
    return Path(shutil.copytree(true_demo[0], tmp_path / "copy"))


def small_check_grid(job, directory):
    return demo_checks.check_grid(job, directory, samples=100)


def small_check_image(job, directory):
    return demo_checks.check_image(job, directory, window_shape_row_col=(130, 170))


def change(path, function):
    """Rewrite a raster's bands."""
    with rasterio.open(path, "r+") as dataset:
        dataset.write(function(dataset.read()))


def image_of(directory, name):
    with rasterio.open(directory / name) as dataset:
        return dataset.read()


# -- the true demo ------------------------------------------------------------------------------------------------


def test_the_demo_passes_and_says_so(true_demo):
    _, lines, passed = true_demo
    text = "\n".join(lines)
    assert passed
    assert "FAILED" not in text
    assert "All checks passed" in lines[-1]
    assert "Mpx/s" in text
    assert text.count("found ") == text.count(", at most ") >= 3


def test_outputs_are_georeferenced_where_the_job_says(true_demo, true_job):
    for name, count, dtype in ((demo_job.DENSE_GRID_FILE, 2, "float64"), (demo_job.DENSE_MASK_FILE, 1, "uint8")):
        with rasterio.open(true_demo[0] / name) as dataset:
            assert dataset.driver == "GTiff"
            assert dataset.crs == rasterio.crs.CRS.from_epsg(32631)
            assert tuple(dataset.transform)[:6] == (10.0, 0.0, 700_000.0, 0.0, -10.0, 5_040_000.0)
            assert dataset.shape == SHAPE == true_job.shape_row_col
            assert dataset.dtypes == (dtype,) * count
            assert dataset.block_shapes == [(512, 512)] * count
            if count == 2:
                assert dataset.descriptions == ("row", "col")


def test_the_first_node_and_the_first_pixel_have_one_centre(true_demo):
    centres = []
    for name in (demo_job.GRID_FILE, demo_job.DENSE_GRID_FILE):
        with rasterio.open(true_demo[0] / name) as dataset:
            centres.append(dataset.xy(0, 0))
    assert centres[0] == pytest.approx(centres[1], abs=1e-6)


def test_nodes_are_where_gdal_puts_the_projection(true_demo, true_job):
    """The convention, without the package's georef: GDAL's own centre of a pixel, GDAL's own row and column."""
    with rasterio.open(true_demo[0] / demo_job.GRID_FILE) as dataset:
        x, y = dataset.xy(3, 5)
        row, col = dataset.read()[:, 3, 5]
    (lon,), (lat,) = transform("EPSG:32631", "EPSG:4326", [x], [y])
    corner = true_job.source_transform
    assert row == pytest.approx((corner.f - lat) / demo_job.SOURCE_PIXEL - 0.5, abs=1e-6)
    assert col == pytest.approx((lon - corner.c) / demo_job.SOURCE_PIXEL - 0.5, abs=1e-6)


def test_polygons_are_kept_as_geojson(true_demo, true_job):
    for name, polygons in ((demo_job.VALID_FILE, [true_job.footprint]), (demo_job.INVALID_FILE, true_job.clouds)):
        features = json.loads((true_demo[0] / name).read_text())["features"]
        kept = [shapely.geometry.shape(feature["geometry"]) for feature in features]
        assert all(shapely.equals_exact(one, other, 1e-9) for one, other in zip(kept, polygons, strict=True))
    assert len(true_job.clouds) >= 24


def test_its_polygons_are_in_pixels_to_the_bit(true_demo, tmp_path):
    """As `--geometry-crs pixels` takes them; taken for degrees, which the file does not deny, they are refused."""
    folder, mask = true_demo[0], tmp_path / "mask.tif"
    polygons = {"valid": folder / demo_job.VALID_FILE, "invalid": folder / demo_job.INVALID_FILE}
    call = {"mask": folder / demo_job.MASK_FILE, "mask_out": mask, "resolution": (32, 24), "threshold": 0.999}
    densify(folder / demo_job.GRID_FILE, tmp_path / "grid.tif", **call, **polygons, geometry_crs="pixels")
    with rasterio.open(mask) as dataset:
        assert np.array_equal(dataset.read(), image_of(folder, demo_job.DENSE_MASK_FILE))
    with pytest.raises(GridrValueError, match=r'^valid: .*unless geometry_crs="pixels"'):
        densify(folder / demo_job.GRID_FILE, tmp_path / "grid.tif", **call, **polygons, overwrite=True)


def test_the_job_has_something_of_everything(true_demo, true_job):
    mask = image_of(true_demo[0], demo_job.DENSE_MASK_FILE)[0]
    coarse = image_of(true_demo[0], demo_job.MASK_FILE)[0]
    assert 0.2 < mask.mean() < 0.8
    assert 0 < np.count_nonzero(coarse == 0) < coarse.size / 2
    assert shapely.is_valid([true_job.footprint, *true_job.clouds]).all()
    raster = shapely.box(0, 0, SHAPE[1] - 1, SHAPE[0] - 1)
    assert raster.contains(true_job.footprint)
    assert len(set(shapely.get_coordinates(true_job.footprint)[:-1, 0])) == 4  # tilted: no upright edge
    assert sum(cloud.intersects(true_job.footprint) for cloud in true_job.clouds) > 10
    assert any(cloud.interiors for cloud in true_job.clouds)


def test_the_default_job_is_of_the_size_that_it_promises():
    job = demo_job.make_job()
    assert job.shape_row_col == (4993, 4009)
    assert job.resolution_row_col == (32, 24)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_seed_makes_valid_clouds_and_the_same_ones_again(seed):
    job, again = (demo_job.make_job(seed=seed, node_shape_row_col=NODES) for _ in range(2))
    assert shapely.is_valid(job.clouds).all()
    assert all(shapely.equals_exact(one, other) for one, other in zip(job.clouds, again.clouds, strict=True))


def test_the_demo_may_be_run_again_in_its_directory(true_demo, true_job):
    before = {path.name: path.read_bytes() for path in true_demo[0].iterdir()}
    assert demo.run_demo(true_demo[0], echo=lambda line: None, node_shape_row_col=NODES, samples=50)
    assert {path.name: path.read_bytes() for path in true_demo[0].iterdir()} == before


# -- each check finds what it is there to find ---------------------------------------------------------------------


def test_the_checks_pass_on_true_data(true_demo, true_job):
    for check in (demo_checks.check_grid, demo_checks.check_image, demo_checks.check_mask):
        found = check(true_job, true_demo[0])
        assert found.passed is True, found
        assert found.figure <= found.bound


@pytest.mark.parametrize("offset", [(0.5, 0.0), (0.0, 0.5), (-0.5, -0.5), (0.0, 0.01)])
def test_a_shift_of_the_grid_fails_against_proj_and_against_gdal(copied, true_job, offset):
    change(copied / demo_job.DENSE_GRID_FILE, lambda bands: bands + np.array(offset)[:, None, None])
    for check in (small_check_grid, small_check_image):
        found = check(true_job, copied)
        assert found.passed is False
        assert found.figure > 50 * found.bound


@pytest.mark.parametrize(
    "swap", [lambda bands: bands[::-1], lambda bands: bands[:, ::-1], lambda bands: bands[..., ::-1]]
)
def test_swapped_bands_and_turned_rasters_fail_against_proj_and_against_gdal(copied, true_job, swap):
    change(copied / demo_job.DENSE_GRID_FILE, lambda bands: np.ascontiguousarray(swap(bands)))
    for check in (small_check_grid, small_check_image):
        found = check(true_job, copied)
        assert found.passed is False
        assert found.figure > 1000 * found.bound


@pytest.mark.parametrize("wrong", ["half a pixel", "swapped"])
def test_gdal_finds_a_convention_that_is_wrong_all_through(monkeypatch, tmp_path, wrong):
    """The grid and the projection that it is compared with share the mistake; only GDAL does not."""
    right = demo_job.map_to_pixel

    def mistaken(*arguments):
        rows, cols = right(*arguments)
        return (rows + 0.5, cols + 0.5) if wrong == "half a pixel" else (cols, rows)

    monkeypatch.setattr(demo_job, "map_to_pixel", mistaken)
    job = demo_job.make_job(node_shape_row_col=NODES)
    demo_job.write_inputs(job, tmp_path)
    demo_job.run_chain(job, tmp_path)
    assert small_check_grid(job, tmp_path).passed is True
    found = small_check_image(job, tmp_path)
    assert found.passed is False
    assert found.figure > 1000 * found.bound


@pytest.mark.parametrize("band", [0, 1])
def test_nan_passes_no_check(copied, true_job, band):
    def spoil(bands):
        bands[band, 100:] = np.nan
        return bands

    change(copied / demo_job.DENSE_GRID_FILE, spoil)
    assert small_check_grid(true_job, copied).passed is False
    assert small_check_image(true_job, copied).passed is False


def test_gdal_is_exact_on_both_ways_to_its_warper(true_job, monkeypatch):
    """The reference against which the image is held: nothing of GDAL's usual eighth of a pixel is in it."""
    window = Window(100, 300, 200, 600)
    rows, cols = true_job.project(*np.mgrid[window.to_slices()])
    for warp in (demo_checks.warp_with_gdal, lambda job, window: warp_as_vrt(job, window, monkeypatch)):
        assert np.abs(warp(true_job, window) - demo_checks.resample(rows, cols)).max() < 1e-8


def warp_as_vrt(job, window, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(demo_checks, "_reproject", demo_checks._read_warped)
        return demo_checks.warp_with_gdal(job, window)


def test_reproject_is_near_even_where_it_takes_no_tolerance(true_job, monkeypatch):
    monkeypatch.setattr(demo_checks, "_read_warped", demo_checks._reproject)
    window = Window(100, 300, 200, 600)
    rows, cols = true_job.project(*np.mgrid[window.to_slices()])
    difference = np.abs(demo_checks.warp_with_gdal(true_job, window) - demo_checks.resample(rows, cols)).max()
    assert difference < 0.125 * sum(demo_checks._SLOPES)


def test_gridr_makes_the_same_image_and_finds_a_grid_that_is_not_the_coarse_one(copied, true_job):
    pytest.importorskip("gridr")
    assert demo_checks.check_gridr(true_job, copied).passed is True
    change(copied / demo_job.DENSE_GRID_FILE, lambda bands: bands + 1e-6)
    assert demo_checks.check_gridr(true_job, copied).passed is False


def test_without_gridr_its_check_is_left_out_and_says_why(true_job, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gridr.core.grid.grid_resampling", None)
    found = demo_checks.check_gridr(true_job, tmp_path)
    assert found.passed is None
    assert "GRIDR cannot be imported" in found.text


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda mask: np.roll(mask, 1, axis=1), id="a row down"),
        pytest.param(lambda mask: np.roll(mask, 1, axis=2), id="a column right"),
        pytest.param(lambda mask: 1 - mask, id="inverted"),
        pytest.param(lambda mask: np.ones_like(mask), id="all valid"),
    ],
)
def test_a_wrong_mask_fails(copied, true_job, spoil):
    change(copied / demo_job.DENSE_MASK_FILE, spoil)
    found = demo_checks.check_mask(true_job, copied)
    assert found.passed is False
    assert found.figure > 0


@pytest.mark.parametrize("spoil", [lambda image: np.roll(image, 1, axis=1), lambda image: -image])
def test_a_wrong_image_fails(copied, true_job, spoil):
    assert demo_checks.check_resampled(true_job, copied).passed
    assert demo_checks.check_fused(true_job, copied).passed
    change(copied / demo_job.RESAMPLED_FILE, spoil)
    assert demo_checks.check_resampled(true_job, copied).passed is False
    assert demo_checks.check_fused(true_job, copied).passed is False


@pytest.mark.parametrize("left_out", ["clouds", "holes", "footprint", "coarse mask"])
def test_a_mask_that_forgets_a_cause_fails(copied, true_job, left_out):
    forgetful = {
        "clouds": dataclasses.replace(true_job, clouds=()),
        "holes": dataclasses.replace(true_job, clouds=tuple(shapely.Polygon(c.exterior) for c in true_job.clouds)),
        "footprint": dataclasses.replace(true_job, footprint=shapely.box(-9, -9, SHAPE[1], SHAPE[0])),
        "coarse mask": true_job,
    }[left_out]
    if left_out == "coarse mask":
        change(copied / demo_job.MASK_FILE, np.ones_like)
    demo_job.run_chain(forgetful, copied)
    demo_job.write_inputs(true_job, copied)
    found = demo_checks.check_mask(true_job, copied)
    assert found.passed is False


def test_the_mask_of_the_whole_raster_is_the_slow_one(true_demo, true_job):
    rows, cols = (axis.ravel() for axis in np.mgrid[0 : SHAPE[0] : 7, 0 : SHAPE[1] : 5])
    expected = demo_checks.expected_mask(true_job, true_demo[0], rows, cols)
    np.testing.assert_array_equal(image_of(true_demo[0], demo_job.DENSE_MASK_FILE)[0, rows, cols], expected)


def test_pixels_near_edges_are(true_job):
    rows, cols = demo_checks._pixels_near_edges(true_job, 500, np.random.default_rng(5))
    assert len(rows) == 500
    edges = shapely.union_all([polygon.boundary for polygon in (true_job.footprint, *true_job.clouds)])
    assert shapely.distance(edges, shapely.points(cols, rows)).max() < 1.0


# -- the picture --------------------------------------------------------------------------------------------------


def test_the_picture_shows_the_mask_and_leaves_nothing_beside_it(true_demo):
    directory = true_demo[0]
    names = {
        *(demo_job.GRID_FILE, demo_job.MASK_FILE, demo_job.VALID_FILE, demo_job.INVALID_FILE),
        *(demo_job.DENSE_GRID_FILE, demo_job.DENSE_MASK_FILE, demo.PICTURE_FILE, demo.IMAGES_FILE),
        *(demo_job.IMAGE_FILE, demo_job.RESAMPLED_FILE, demo_job.THROUGH_DENSE_FILE),
    }
    assert {path.name for path in directory.iterdir()} == names
    with rasterio.open(directory / demo.PICTURE_FILE) as dataset:
        assert dataset.driver == "PNG"
        assert dataset.dtypes == ("uint8",) * 3
        assert dataset.shape == SHAPE  # at most 1000 rows: every pixel
        picture = dataset.read().astype(int)
    valid = image_of(directory, demo_job.DENSE_MASK_FILE)[0] == 1
    red, green, blue = picture
    white = picture.min(axis=0) > 235
    alarm = (red > 150) & (green < 80) & (blue < 90)
    dark = picture.max(axis=0) < 110
    assert not (white | alarm)[valid].any()
    assert (white | alarm | dark)[~valid].all()
    assert min(np.count_nonzero(colour & ~valid) for colour in (white, alarm, dark)) > 500


# -- the command --------------------------------------------------------------------------------------------------


def test_the_command_runs_the_demo_where_it_is_told(monkeypatch, tmp_path):
    asked = []

    def run(directory, *, echo):
        asked.append(directory)
        echo("a line")
        return True

    monkeypatch.setattr(demo, "run_demo", run)
    result = CliRunner().invoke(main, ["demo", str(tmp_path / "new")])
    assert (result.exit_code, result.output) == (0, "a line\n")
    assert CliRunner().invoke(main, ["demo"]).exit_code == 0
    assert asked == [tmp_path / "new", Path("demo-out")]


def test_a_check_that_fails_exits_with_1(monkeypatch, tmp_path):
    monkeypatch.setattr(
        demo, "check_image", lambda job, directory: demo_checks.Check("image", 2.0, 1.0, False, "injected")
    )
    small = demo.run_demo
    monkeypatch.setattr(
        demo, "run_demo", lambda directory, echo: small(directory, echo=echo, node_shape_row_col=(6, 7), samples=20)
    )
    result = CliRunner().invoke(main, ["demo", str(tmp_path)])
    assert result.exit_code == 1
    assert "FAILED" in result.output


def test_a_broken_chain_is_reported_and_drawn_not_a_traceback(monkeypatch, tmp_path):
    run_chain = demo_job.run_chain

    def break_chain(job, directory):
        run_chain(job, directory)
        change(
            directory / demo_job.DENSE_GRID_FILE, lambda bands: np.where(np.arange(bands.shape[2]) < 9, np.nan, bands)
        )

    monkeypatch.setattr(demo, "run_chain", break_chain)
    lines = []
    assert demo.run_demo(tmp_path, echo=lines.append, node_shape_row_col=(6, 7), samples=200) is False
    assert lines[-1].startswith("\nFAILED: grid = projection; image = GDAL's")
    assert (tmp_path / demo.PICTURE_FILE).exists()


def test_a_directory_that_cannot_be_made_is_an_error_without_a_traceback(tmp_path):
    (tmp_path / "file").write_text("in the way")
    result = CliRunner().invoke(main, ["demo", str(tmp_path / "file" / "below")])
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")


@pytest.mark.parametrize("arguments", [["demo", "--nonsense"], ["demo", "one", "two"], ["nonsense"]])
def test_bad_arguments_exit_with_2(arguments):
    assert CliRunner().invoke(main, arguments).exit_code == 2


def test_a_file_for_a_directory_exits_with_2(tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert CliRunner().invoke(main, ["demo", str(tmp_path / "file")]).exit_code == 2


def test_the_command_knows_its_version_and_helps():
    assert CliRunner().invoke(main, ["--version"]).output == f"gridr-numba, version {__version__}\n"
    assert "demo" in CliRunner().invoke(main, ["--help"]).output
