"""`make_grid`: targets, files, refusals, reports."""

from __future__ import annotations

import json
import os
import sys

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.control import GroundControlPoint
from rasterio.enums import Resampling
from rasterio.rpc import RPC
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT
from rasterio.warp import calculate_default_transform

import gridr_numba as gn
from gridr_numba.cli import main
from gridr_numba.doors.grid_tag import GRID_TAG
from gridr_numba.georef import coarse_transform

UTM = {"crs": "EPSG:32631", "transform": Affine(10, 0, 5e5, 0, -10, 5e6), "shape": (400, 300)}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "image.tif"
    place = {"crs": "EPSG:4326", "transform": Affine(1e-4, 0, 2.9, 0, -1e-4, 45.2)}
    with rasterio.open(path, "w", driver="GTiff", width=1500, height=1200, count=1, dtype="uint8", **place):
        pass
    return path


@pytest.fixture
def out(tmp_path):
    return tmp_path / "grid.tif"


def bend(rows, cols):
    return rows + 1e-4 * rows**2, cols + 1e-4 * rows * cols


def test_the_file_and_the_report(source, out):
    report = gn.make_grid(source, out, **UTM, check=2000)
    with rasterio.open(out) as grid:
        nodes, tags = grid.read(), json.loads(grid.tags()[GRID_TAG])
        assert grid.descriptions == ("row", "col")
        assert grid.crs == rasterio.CRS.from_epsg(32631)
        assert np.isnan(grid.nodata)
        dense = gn.dense_transform(grid.transform, report.resolution)
    corners = np.array([(0, 0), (0, 299), (399, 0), (399, 299)]).T
    there = gn.map_to_pixel(UTM["transform"], *gn.pixel_to_map(dense, *corners))
    assert np.abs(np.stack(there) - corners).max() <= 1e-6
    assert tags["resolution"] == list(report.resolution)
    assert tags["target_shape"] == [400, 300]
    assert tuple(tags["target_transform"]) == tuple(UTM["transform"])[:6]
    assert tags["node_shape"] == list(report.shape) == list(nodes.shape[1:])
    assert report.target_shape == (400, 300)
    covered = zip((400, 300), report.covered_shape, report.resolution, strict=True)
    assert all(n <= full < n + step for n, full, step in covered)
    assert report.model == "crs"
    assert 0 < report.checked_error <= report.tolerance == 0.01
    assert report.share_that_may_exceed == pytest.approx(3 / 2000, rel=0.01)
    assert report.source_rows == (nodes[0].min(), nodes[0].max())
    assert report.verified
    assert report.to_dict()["resolution"] == list(report.resolution)


def test_it_says_how_it_was_made(source, out):
    gn.make_grid(source, out, **UTM, tolerance=0.1, check=500, verify=False, max_evaluations=20_000_000)
    with rasterio.open(out) as grid:
        tags = grid.tags()
    said = json.loads(tags["GRIDR_NUMBA_OPTIONS"])
    assert (said.pop("source"), tags["GRIDR_NUMBA_INPUTS"]) == ("image.tif", "image.tif")
    assert {name: said[name] for name in ("tolerance", "check", "crs")} == {
        "tolerance": 0.1,
        "check": 500,
        "crs": "EPSG:32631",
    }
    assert not {"verify", "max_evaluations", "out", "height"} & set(said)


def test_gdals_warp_of_a_ramp_looks_where_the_grid_does(tmp_path, out):
    """An image whose bands are their own rows and columns, in pixels coarser than the target's."""
    ramp = tmp_path / "ramp.tif"
    place = {"crs": "EPSG:4326", "transform": Affine(4e-4, 0, 2.9, 0, -4e-4, 45.2)}
    with rasterio.open(ramp, "w", driver="GTiff", width=400, height=300, count=2, dtype="float64", **place) as image:
        image.write(np.mgrid[:300, :400].astype(np.float64))
    gn.make_grid(ramp, out, **UTM)
    gn.densify(out, tmp_path / "dense.tif")
    height, width = UTM["shape"]
    target = {"crs": UTM["crs"], "transform": UTM["transform"], "height": height, "width": width}
    with (
        rasterio.open(ramp) as image,
        WarpedVRT(image, **target, resampling=Resampling.bilinear, tolerance=1e-9) as warped,
        rasterio.open(tmp_path / "dense.tif") as dense,
    ):
        assert np.hypot(*(dense.read() - warped.read())).max() <= 0.01 + 1e-6


def test_densify_accepts_it(source, out, tmp_path):
    like = tmp_path / "like.tif"
    place = {"crs": UTM["crs"], "transform": UTM["transform"]}
    with rasterio.open(like, "w", driver="GTiff", width=300, height=400, count=1, dtype="uint8", **place):
        pass
    report = gn.make_grid(source, out, like=like)
    dense = tmp_path / "dense.tif"
    gn.densify(out, dense, resolution=report.resolution, like=like)
    with rasterio.open(dense) as made, rasterio.open(source) as image:
        rows, cols = made.read()
        xs, ys = gn.pixel_to_map(UTM["transform"], *np.mgrid[:400, :300])
        lons, lats = rasterio.warp.transform(UTM["crs"], image.crs, xs.ravel(), ys.ravel())
        true = gn.map_to_pixel(image.transform, np.reshape(lons, xs.shape), np.reshape(lats, xs.shape))
    assert np.hypot(rows - true[0], cols - true[1]).max() <= 0.01


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(-3, 3), st.floats(0.1, 30), st.floats(-0.5, 0.5), st.integers(2, 500), st.integers(2, 500))
def test_transforms_of_turned_and_sheared_targets_come_back(angle, size, shear, rr, rc):
    across, down = size * np.exp(1j * angle), size * np.exp(1j * (angle - np.pi / 2 + shear))
    transform = Affine(across.real, down.real, 5e5, across.imag, down.imag, 5e6)
    back = gn.dense_transform(coarse_transform(transform, (rr, rc)), (rr, rc))
    corners = np.array([(0, 0), (0, 9999), (9999, 0), (9999, 9999)]).T
    there = gn.map_to_pixel(transform, *gn.pixel_to_map(back, *corners))
    assert np.abs(np.stack(there) - corners).max() <= 1e-6


def test_what_is_not_said_of_the_target_is_gdals_proposal(source, out):
    report = gn.make_grid(source, out, crs="EPSG:3035")
    with rasterio.open(source) as image:
        size = image.width, image.height
        transform, width, height = calculate_default_transform(image.crs, "EPSG:3035", *size, *image.bounds)
    assert report.target_shape == (height, width)
    with rasterio.open(out) as grid:
        assert tuple(json.loads(grid.tags()[GRID_TAG])["target_transform"]) == tuple(transform)[:6]


def test_pixel_size_and_bounds(source, out):
    report = gn.make_grid(source, out, crs=32631, pixel_size=(20, 10), bounds=(5e5, 4999000, 502010, 5e6))
    assert report.target_shape == (100, 101)
    with rasterio.open(out) as grid:
        assert json.loads(grid.tags()[GRID_TAG])["target_transform"] == [20.0, 0.0, 5e5, 0.0, -10.0, 5e6]


def test_a_callable(out):
    report = gn.make_grid(bend, out, shape=(500, 700), check="all")
    assert (report.model, report.checked_pixels, report.share_that_may_exceed) == ("callable", 350_000, 0.0)
    with rasterio.open(out) as grid:
        dense = gn.build_grid((1, 1), grid.read(), None, report.resolution, None)[:, :500, :700]
        assert grid.crs is None
    assert np.hypot(*(dense - np.stack(bend(*np.mgrid[:500, :700].astype(float))))).max() <= 0.01


def test_void(out):
    def disc(rows, cols):
        return np.where(np.hypot(rows - 250, cols - 250) < 200, rows, np.nan), cols + 1e-4 * rows * rows

    report = gn.make_grid(disc, out, shape=(500, 500), unreachable="void", check="all")
    assert report.void_nodes > 0
    assert report.unreachable_cells > 0
    first_row, stop_row, first_col, stop_col = report.unreachable_bounds
    assert first_row == first_col == 0
    assert stop_row == stop_col == 500
    assert report.unmapped_pixels == np.isnan(disc(*np.mgrid[:500, :500].astype(float))[0]).sum()
    assert 0 < report.voided_pixels < 250_000 - report.unmapped_pixels
    (warning,) = report.warnings
    assert "of the target's pixels have a mapping and no node" in warning


def test_where_evaluations_run_out_it_is_said(out):
    """What is void then is not torn: more evaluations would do. At the first look it is an error of that argument."""
    how = {"shape": (500, 700), "tolerance": 1e-4, "max_evaluations": 6000}
    with pytest.raises(
        gn.GridrValueError, match=r"without nodes, a larger max_evaluations allows a finer grid"
    ) as caught:
        gn.make_grid(bend, out, **how)
    assert caught.value.argument == "tolerance"
    first, second = gn.make_grid(bend, out, **how, unreachable="void").warnings
    assert (
        first
        == "100.0% of the target's pixels have a mapping and no node; a larger max_evaluations allows a finer grid"
    )
    assert second == "no node of the grid has a mapping"
    with pytest.raises(gn.GridrValueError, match=r"max_evaluations must be larger") as caught:
        gn.make_grid(bend, out, **{**how, "max_evaluations": 100}, unreachable="void", overwrite=True)
    assert caught.value.argument == "max_evaluations"
    assert gn.make_grid(bend, out, **{**how, "max_evaluations": 10**6}, overwrite=True).warnings == ()


def test_progress_is_of_checked_pixels(out):
    said = []
    gn.make_grid(bend, out, shape=(500, 700), check=3_000_000, progress=lambda done, of: said.append((done, of)))
    assert said == sorted(set(said))
    assert said[-1] == (3_000_000, 3_000_000)
    assert len(said) == 3


def test_progress_true_shows_tqdms_bar(out, capfd):
    gn.make_grid(bend, out, shape=(50, 70), check=1234, progress=True)
    assert "1.23k/1.23k" in capfd.readouterr().err
    with pytest.raises(gn.GridrTypeError, match=r"progress must be a callable .*, True for a bar, or None") as caught:
        gn.make_grid(bend, out, shape=(50, 70), progress=3, overwrite=True)
    assert caught.value.argument == "progress"


def test_without_tqdm_a_bar_is_our_error(out, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(gn.GridrValueError, match=r"progress=True .* tqdm, which is not installed"):
        gn.make_grid(bend, out, shape=(50, 70), progress=True)
    assert os.listdir(out.parent) == []


def test_strict_publishes_nothing_where_there_is_a_warning(out):
    def disc(rows, cols):
        return np.where(np.hypot(rows - 250, cols - 250) < 200, rows, np.nan), cols + 1e-4 * rows * rows

    for mapping, said in (
        (disc, "have a mapping and no node"),
        (lambda r, c: (r * np.nan, c), "no node of the grid has a mapping"),
    ):
        with pytest.raises(gn.StrictError, match=said):
            gn.make_grid(mapping, out, shape=(500, 500), unreachable="void", strict=True)
        assert os.listdir(out.parent) == []
    assert gn.make_grid(bend, out, shape=(500, 500), strict=True).warnings == ()


@pytest.mark.parametrize(
    ("changed", "message", "argument"),
    [
        ({"pixel_size": 3}, "the target must be said in one way", "like"),
        ({"shape": None}, "the target must be said in one way", "like"),
        ({"tolerance": 0}, "tolerance must be positive and finite, not 0", "tolerance"),
        ({"tolerance": np.nan}, "tolerance must be", "tolerance"),
        ({"check": "most"}, "check must be an integer", "check"),
        ({"unreachable": "skip"}, "unreachable must be 'error' or 'void', not 'skip'", "unreachable"),
        ({"model": "rpc"}, "model must be 'auto' with a callable source", "model"),
        ({"model": "affine"}, "model must be one of auto, crs, rpc, gcps, tps", "model"),
        ({"step": (0, 3)}, r"step\[0\] must be at least 1", "step"),
        ({"dtype": "int32"}, "dtype must be a floating", "dtype"),
        ({"dtype": "float16"}, "dtype must be float32 or float64", "dtype"),
        ({"max_evaluations": 0}, "max_evaluations must be at least 1", "max_evaluations"),
    ],
)
def test_what_is_refused_before_anything_is_written(out, changed, message, argument):
    with pytest.raises(gn.GridrError, match=message) as caught:
        gn.make_grid(bend, out, **{"shape": (30, 40), **changed})
    assert caught.value.argument == argument
    assert os.listdir(out.parent) == []


def test_a_source_is_not_overwritten_and_a_file_that_exists_only_if_asked(source, out):
    with pytest.raises(gn.GridrValueError, match="is an input, and is not overwritten"):
        gn.make_grid(source, source, **UTM, overwrite=True)
    gn.make_grid(bend, out, shape=(30, 40))
    with pytest.raises(gn.GridrValueError, match="exists; overwrite=True replaces it"):
        gn.make_grid(bend, out, shape=(30, 40))
    gn.make_grid(bend, out, shape=(30, 40), overwrite=True)


def test_what_a_callable_returns_is_checked(out):
    with pytest.raises(gn.GridrTypeError, match=r"source must return \(source_rows, source_cols\)"):
        gn.make_grid(lambda rows, cols: rows, out, shape=(30, 40))
    with pytest.raises(gn.GridrTypeError, match="source must be a path or a callable, not None"):
        gn.make_grid(None, out, shape=(30, 40))


def test_a_tolerance_that_cannot_be_kept_leaves_nothing(out):
    with pytest.raises(gn.GridrValueError, match=r"tolerance of 0\.01 source pixels cannot be kept"):
        gn.make_grid(lambda rows, cols: (np.where(3 * cols > rows, rows, rows + 9.0), cols), out, shape=(300, 400))
    assert os.listdir(out.parent) == []


@pytest.mark.parametrize(
    ("found", "argument"),
    [(lambda r, c: (np.ma.masked_less(r, 5), c), "source"), (lambda r, c: (r + 1j, c), "source")],
)
def test_masked_and_complex_mappings_are_refused(out, found, argument):
    with pytest.raises(gn.GridrTypeError, match="source must return plain real arrays") as caught:
        gn.make_grid(found, out, shape=(30, 40))
    assert caught.value.argument == argument


def test_what_does_not_bear_on_the_mapping_is_refused(source, out):
    for arguments in ((bend, {"shape": (30, 40)}), (source, UTM)):
        with pytest.raises(gn.GridrValueError, match="height must be given for an image with RPCs alone"):
            gn.make_grid(arguments[0], out, **arguments[1], height=5)
    with pytest.raises(gn.GridrValueError, match="threads must be at least 1"):
        gn.make_grid(bend, out, shape=(30, 40), threads=0)
    for crs in ("EPSG:5773", "EPSG:4978"):
        with pytest.raises(gn.GridrValueError, match="crs must be of a map") as caught:
            gn.make_grid(source, out, crs=crs)
        assert caught.value.argument == "crs"


def test_a_crs_is_no_address(source, out):
    with pytest.raises(gn.GridrValueError, match=r"crs must be .*, not an address or a path") as caught:
        gn.make_grid(source, out, crs="http://127.0.0.1:9/crs")
    assert caught.value.argument == "crs"


def test_a_grid_without_a_node_is_warned_of(out):
    report = gn.make_grid(lambda rows, cols: (rows * np.nan, cols), out, shape=(30, 40), unreachable="void")
    assert "no node of the grid has a mapping" in report.warnings[0]


# -- what densify takes from the tag ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tagged(source, tmp_path_factory):
    path = tmp_path_factory.mktemp("tagged") / "grid.tif"
    return path, gn.make_grid(source, path, **UTM)


def test_resolution_shape_and_transform_come_from_the_tag(tagged, tmp_path):
    path, made = tagged
    report = gn.densify(path, tmp_path / "dense.tif")
    assert report.shape == (400, 300)
    assert report.warnings == ()
    with rasterio.open(tmp_path / "dense.tif") as dense:
        assert tuple(dense.transform) == tuple(UTM["transform"])  # to the bit
        whole = dense.read()
    gn.densify(path, tmp_path / "part.tif", window=((10, 40), (20, 90)), resolution=made.resolution)
    with rasterio.open(tmp_path / "part.tif") as part:
        assert np.array_equal(part.read(), whole[:, 10:40, 20:90])


@pytest.mark.parametrize(
    ("changed", "argument", "message"),
    [
        ({"resolution": 7}, "resolution", "resolution must be .*, as the grid says in its tag, or not given; not 7"),
        ({"grid_order": "xy"}, "grid_order", "the grid's tag says that its bands are source rows"),
        ({"displacement": True}, "displacement", "the grid's tag says"),
        ({"row_band": 2, "col_band": 1}, "row_band", "the grid's tag says"),
        ({"window": ((0, 401), (0, 300))}, "window", r"must lie within the dense raster's \(400, 300\)"),
    ],
)
def test_what_differs_from_the_tag_is_refused(tagged, tmp_path, changed, argument, message):
    with pytest.raises(gn.GridrValueError, match=message) as caught:
        gn.densify(tagged[0], tmp_path / "dense.tif", **changed)
    assert caught.value.argument == argument
    assert os.listdir(tmp_path) == []


def test_like_must_have_the_tagged_shape(tagged, tmp_path):
    like = tmp_path / "like.tif"
    place = {"crs": UTM["crs"], "transform": UTM["transform"]}
    with rasterio.open(like, "w", driver="GTiff", width=299, height=400, count=1, dtype="uint8", **place):
        pass
    with pytest.raises(gn.GridrValueError, match="like must have the shape of the grid's target"):
        gn.densify(tagged[0], tmp_path / "dense.tif", like=like)


@pytest.mark.parametrize("change", ["cut", "moved", "spoilt"])
def test_the_tag_of_a_grid_that_was_changed_is_ignored(tagged, tmp_path, change):
    path, made = tagged
    changed = tmp_path / "changed.tif"
    with rasterio.open(path) as grid:
        profile, nodes, tags = grid.profile, grid.read(), grid.tags()
    if change == "cut":
        nodes = nodes[:, :-1]
        profile["height"] -= 1
    if change == "moved":
        a, b, c, *rest = tuple(profile["transform"])[:6]
        profile["transform"] = Affine(a, b, c + 1, *rest)
    if change == "spoilt":
        tags[GRID_TAG] = "[1, 2"
    with rasterio.open(changed, "w", **profile) as grid:
        grid.write(nodes)
        grid.update_tags(**tags)
    with pytest.raises(gn.GridrValueError, match="resolution must be given"):
        gn.densify(changed, tmp_path / "dense.tif")
    report = gn.densify(changed, tmp_path / "dense.tif", resolution=made.resolution)
    assert f"the tag {GRID_TAG} of " in report.warnings[0]
    assert report.shape == gn.grid_full_resolution_shape(nodes.shape[1:], made.resolution)


# -- the command line ---------------------------------------------------------------------------------------------


def command(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="gridr-numba")


def test_the_command(source, out, tmp_path):
    report = tmp_path / "report.json"
    done = command(
        *("make-grid", source, out, "--crs", 32631, "--pixel-size", 20, "--pixel-size", 10, "--tolerance", 0.1),
        *("--bounds", 5e5, 4999000, 502010, 5e6, "--check", 500, "--report", report, "--no-verify"),
    )
    assert done.exit_code == 0, done.output
    made = json.loads(report.read_text())
    assert made["target_shape"] == [100, 101]
    assert made["checked_pixels"] == 500
    assert not made["verified"]
    rows, cols = made["resolution"]
    assert f", one every {rows} x {cols} pixels of 100 x 101 (crs)" in done.output
    assert f"next     gridr-numba densify {out} OUT.tif\n" in done.output
    dense = command("densify", out, tmp_path / "dense.tif")
    assert dense.exit_code == 0, dense.output
    assert "pixels   100 x 101" in dense.output


def test_the_command_of_rio(source, out, monkeypatch):
    rio = pytest.importorskip("rasterio.rio.main").main_group
    monkeypatch.setattr(rio, "commands", {**rio.commands, main.name: main})
    job = ["grid-densify", "make-grid", str(source), str(out), "--crs", "EPSG:3035"]
    done = CliRunner().invoke(rio, job)
    assert (done.exit_code, done.output.splitlines()[0]) == (0, f"grid     {out}, verified"), done.output
    again = CliRunner().invoke(rio, job)
    assert again.exit_code == 2
    assert "exists; --overwrite replaces it" in again.output


def test_strict_on_the_command_line(source, out):
    torn = ("--crs", 3857, "--bounds", -2e7, -1e6, -1.94e7, 1e6)  # opposite of the image, its longitudes jump
    far = (*torn, "--pixel-size", 1000, "--tolerance", 100, "--unreachable", "void")
    done = command("make-grid", source, out, *far, "--strict")
    assert done.exit_code == 1
    assert "--strict, and there is what to warn of" in done.output
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--height", "high"], "'high' is neither metres nor 'rpc'"),
        (["--check", "some"], "'some' is neither a number of pixels nor 'all'"),
        (["--step", 1, "--step", 2, "--step", 3], "at most twice"),
        (["--crs", "nowhere"], "crs must be a coordinate reference system, not 'nowhere'"),
        (["--crs", 32631, "--model", "rpc"], "source must have RPCs"),
    ],
)
def test_what_the_command_refuses(source, out, options, message):
    done = command("make-grid", source, out, *options)
    assert done.exit_code == 2
    assert message in " ".join(done.output.split())
    assert not out.exists()


# -- what looks wrong, or cannot be right -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bounds", "misses"),
    [
        ((5e5, 4999000, 502010, 5e6), False),
        ((5e5, 3999000, 502010, 4e6), True),  # far to the south
        ((5.12e5, 4999000, 5.2e5, 5e6), True),  # to the east
        ((4.89e5, 4.9e6, 6e5, 5.1e6), False),  # around it, no node being in it
    ],
)
def test_a_target_that_does_not_touch_the_image_is_warned_of(source, out, bounds, misses):
    report = gn.make_grid(source, out, crs=32631, pixel_size=10, bounds=bounds, step=200, tolerance=5, check=1000)
    assert len(report.warnings) == misses
    if misses:
        assert "the target does not touch the source" in report.warnings[0]
        assert "crs and bounds" in report.warnings[0]


@pytest.mark.parametrize(
    ("x", "y", "misses"),
    [
        (0, 500, False),
        (1009.4, 500, False),
        (1010.6, 500, True),
        (-9.9, 500, False),
        (-10.1, 500, True),
        (1004, 1004, False),
        (1006, 1006, True),
        (-6, -6, True),
        (-4, -4, False),
    ],
)
def test_a_target_of_one_cell_misses_an_image_by_its_corners(tmp_path, out, x, y, misses):
    """A turned target's bounding box reaches further than it does: a corner is what touches, or does not."""
    place = {"crs": "EPSG:32631", "transform": Affine(1, 0, 0, 0, -1, 0)}
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", width=1000, height=1000, count=1, dtype="uint8", **place
    ):
        pass
    # A square on its corner, which are 10 pixels from its middle: its centres |x| + |y| <= 10.
    turned = (
        Affine.translation(x, -y) @ Affine.rotation(45) @ Affine.scale(1 / 2**0.5) @ Affine.translation(-10.5, -10.5)
    )
    report = gn.make_grid(tmp_path / "a.tif", out, crs=32631, transform=turned, shape=(21, 21))
    assert report.resolution == (20, 20)
    assert bool(report.warnings) == misses


@pytest.mark.parametrize("model", ["auto", "gcps", "tps"])
@pytest.mark.parametrize("target", [{}, {"pixel_size": 10, "bounds": (340000, 4980000, 341000, 4981000)}])
@pytest.mark.parametrize("in_image", [False, True])
def test_ground_control_points_in_a_line_are_refused(tmp_path, out, model, target, in_image):
    line = [(0, 0), (50, 50), (99, 99), (20, 20)]
    spread = [(0, 0), (50, 0), (99, 99), (20, 70)]
    pixels, ground = (line, spread) if in_image else (spread, line)
    points = [GroundControlPoint(*at, 7 + x / 100, 45 - y / 100) for at, (x, y) in zip(pixels, ground, strict=True)]
    image = {"driver": "GTiff", "width": 100, "height": 100, "count": 1, "dtype": "uint8", "gcps": points}
    with rasterio.open(tmp_path / "a.tif", "w", **image, crs="EPSG:4326"):
        pass
    where = "image" if in_image else "ground"
    message = rf"source: the 4 ground control points of .*a.tif' lie in one line, or one point, of the {where}"
    with pytest.raises(gn.DatasetError, match=message) as caught:
        gn.make_grid(tmp_path / "a.tif", out, crs="EPSG:32632", model=model, **target)
    assert caught.value.argument == "source"
    assert not out.exists()


@pytest.mark.parametrize("target", [{}, {"pixel_size": 10, "bounds": (340000, 4980000, 341000, 4981000)}])
@pytest.mark.parametrize("which", ["line", "samp"])
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_rpcs_with_a_zero_denominator_are_refused(tmp_path, out, target, which):
    one, zero = [1.0] + [0.0] * 19, [0.0] * 20
    denominators = {f"{name}_den_coeff": zero if name == which else one for name in ("line", "samp")}
    rpcs = RPC(
        height_off=100,
        height_scale=500,
        lat_off=45,
        lat_scale=0.1,
        long_off=7,
        long_scale=0.1,
        line_off=50,
        line_scale=50,
        samp_off=50,
        samp_scale=50,
        err_bias=None,
        err_rand=None,
        line_num_coeff=[0, 0, 1] + [0] * 17,
        samp_num_coeff=[0, 1] + [0] * 18,
        **denominators,
    )
    image = {"driver": "GTiff", "width": 100, "height": 100, "count": 1, "dtype": "uint8"}
    with rasterio.open(tmp_path / "a.tif", "w", **image) as dataset:
        dataset.rpcs = rpcs
    name = {"line": "line", "samp": "sample"}[which]
    with pytest.raises(gn.DatasetError, match=rf"the denominator of the {name} is zero") as caught:
        gn.make_grid(tmp_path / "a.tif", out, crs="EPSG:32632", height=100, **target)
    assert caught.value.argument == "source"
    assert not out.exists()


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (lambda rows, cols: (rows * np.nan, cols), "of the target: nothing there has a mapping; unreachable='void'"),
        (lambda rows, cols: (np.where(rows < 50, np.nan, rows), cols), "of the target: a part of it has no mapping;"),
    ],
)
def test_a_refusal_says_what_has_no_mapping(out, mapping, message):
    with pytest.raises(gn.GridrValueError, match=message):
        gn.make_grid(mapping, out, shape=(101, 101), step=40)


def test_too_many_evaluations_and_types_are_errors_of_their_arguments(out):
    with pytest.raises(gn.GridrError, match=r"^max_evaluations must be larger: .* more than 10 pixels") as caught:
        gn.make_grid(bend, out, shape=(500, 700), max_evaluations=10)
    assert caught.value.argument == "max_evaluations"
    for dtype in (np.float16, "int32"):
        with pytest.raises(gn.DtypeError, match=r"^dtype must be") as caught:
            gn.make_grid(bend, out, shape=(500, 700), dtype=dtype)
        assert caught.value.argument == "dtype"
    with pytest.raises(gn.GridrValueError, match=r"^out: .*grid.png' would hold a GTiff, and the suffix .png"):
        gn.make_grid(bend, out.with_suffix(".png"), shape=(500, 700))
