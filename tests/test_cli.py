"""The command line: the same results as the functions, errors of one line, help at once."""

from __future__ import annotations

import inspect
import json
import logging
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
import tomllib
import warnings
from pathlib import Path

import click
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from click.testing import CliRunner
from command_line import run
from numba.core.caching import NullCache

import gridr_numba as gn
from gridr_numba import types
from gridr_numba.cli import main
from gridr_numba.cli.messages import in_options
from gridr_numba.doors import densify as product
from gridr_numba.doors import inspection as info
from gridr_numba.doors import preview as quicklook
from gridr_numba.doors import warmup
from gridr_numba.doors.warmup import warm_up
from gridr_numba.kernels import jit

RESOLUTION = (3, 4)
NODE_SHAPE = (6, 7)
FULL = gn.grid_full_resolution_shape(NODE_SHAPE, RESOLUTION)
CLOUD = shapely.box(2.5, 2.5, 7.5, 6.5)
GROUND = shapely.box(-1, -1, 20, 13.5)
#: Of `densify`, before a test puts something else in its place.
SIGNATURE = inspect.signature(gn.densify).parameters
#: The command as a process of its own.
COMMAND = (
    sys.executable,
    "-c",
    "import sys; from gridr_numba.cli import main; sys.argv[0] = 'gridr-numba'; main()",
)


@pytest.fixture(scope="module", autouse=True)
def _kernels():
    """Compile first, since that is said on stderr."""
    warm_up()


def good(*arguments):
    result = run(*arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def bad(code, *arguments):
    """Return the one line that an error is."""
    result = run(*arguments)
    assert result.exit_code == code, result.stderr
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.fixture
def files(rasters, tmp_path, monkeypatch):
    """Inputs in a folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(3)
    i, j = np.meshgrid(np.arange(6) * 30.0, np.arange(7) * 40.0, indexing="ij")
    nodes = np.stack([i, j]) + rng.random((2, *NODE_SHAPE))
    nodes[1, 4, 2] = np.nan
    place = {"crs": "EPSG:32631", "transform": Affine(40, 5, 1000, 3, -30, 9000)}
    for name, array in (
        ("grid.tif", nodes),
        ("rows.tif", nodes[0]),
        ("cols.tif", nodes[1]),
        ("coarse.tif", (rng.random(NODE_SHAPE) > 0.15).astype(np.uint8)),
    ):
        dataset = rasters.reader(array, **place)
        dataset.close()
        os.rename(dataset.name, name)
    Path("cloud.geojson").write_text(json.dumps(shapely.geometry.mapping(CLOUD)))
    Path("ground.wkt").write_text(shapely.to_wkt(GROUND))
    return tmp_path


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read()


MASKED = ("--mask", "coarse.tif", "--valid", "ground.wkt", "--invalid", "cloud.geojson", "--geometry-crs", "pixels")


# -- densify and mask ---------------------------------------------------------------------------------------------


def test_densify_makes_what_the_function_makes(files):
    said = good("densify", "grid.tif", "a.tif", "-r", 3, 4, "--mask-out", "am.tif", *MASKED, "--report", "a.json")
    report = gn.densify(
        "grid.tif", "b.tif", resolution=(3, 4), mask="coarse.tif", mask_out="bm.tif", valid=GROUND, invalid=CLOUD
    )
    assert np.array_equal(read("a.tif"), read("b.tif"), equal_nan=True)
    assert np.array_equal(read("am.tif"), read("bm.tif"))
    written = json.loads(Path("a.json").read_text())
    expected = {**report.to_dict(), "grid": "a.tif", "mask": "am.tif"}
    for key in ("seconds", "mpx_per_second"):  # differ from run to run
        assert written.pop(key)
        expected.pop(key)
    assert written.pop("options").items() >= {"resolution": [3, 4], "geometry_crs": "pixels"}.items()
    given = {"grid": ["grid.tif"], "mask": ["coarse.tif"]}
    of_polygons = {"valid": ["ground.wkt"], "invalid": ["cloud.geojson"]}
    assert (written.pop("inputs"), expected.pop("inputs")) == (given | of_polygons, given)
    del expected["options"]  # which the command gives in its own way
    assert written == expected
    inputs = {"grid.tif", "rows.tif", "cols.tif", "coarse.tif", "cloud.geojson", "ground.wkt"}
    assert set(os.listdir()) == inputs | {"a.tif", "am.tif", "b.tif", "bm.tif", "a.json"}
    grid, mask, pixels, invalid, source, time_ = said.splitlines()
    assert (grid, mask) == ("grid     a.tif, verified", "mask     am.tif, verified")
    assert pixels == f"pixels   16 x 25, {report.valid_pixels} valid ({report.valid_pixels / 4:.1f} %)"
    named = {f"{name.replace('_', ' ')} {count}" for name, count in report.invalid_pixels.items() if count}
    assert set(invalid.removeprefix("invalid  ").split(", ")) == named
    assert source.startswith(f"source   rows {report.source_rows[0]:.10g} to ")
    assert time_.startswith("time     ")
    assert time_.endswith("threads")


def test_two_files(files):
    good("densify", "rows.tif", "cols.tif", "a.tif", "-r", 3, 4)
    good("densify", "grid.tif", "b.tif", "-r", 3, 4)
    assert np.array_equal(read("a.tif"), read("b.tif"), equal_nan=True)


def test_mask(files):
    good("mask", "a.tif", "--shape", 6, 7, "-r", 3, 4, *MASKED, "--causes")
    gn.densify(
        *(None, None),
        shape=NODE_SHAPE,
        resolution=(3, 4),
        mask="coarse.tif",
        mask_out="b.tif",
        valid=GROUND,
        invalid=CLOUD,
        mask_out_values="causes",
    )
    assert np.array_equal(read("a.tif"), read("b.tif"))


def test_a_mask_takes_its_shape_from_the_coarse_mask_or_an_image(files, rasters):
    cloud = ("--invalid", "cloud.geojson", "--geometry-crs", "pixels")
    good("mask", "a.tif", "--shape", 6, 7, "-r", 3, 4, "--mask", "coarse.tif", *cloud)
    good("mask", "b.tif", "-r", 3, 4, "--mask", "coarse.tif", *cloud)
    assert np.array_equal(read("a.tif"), read("b.tif"))
    image = rasters.reader(np.zeros((14, 22), np.uint8), crs="EPSG:32631", transform=Affine(9, 0, 1000, 0, -9, 9000))
    good("mask", "c.tif", "-r", 3, 4, "--like", image.name, *cloud)
    with rasterio.open("c.tif") as made:
        assert (made.shape, made.crs, made.transform) == (image.shape, image.crs, image.transform)
        assert np.array_equal(made.read(1) == 0, shapely.intersects_xy(CLOUD, *np.indices((14, 22))[::-1]))
    good("mask", "d.tif", "-r", 100, "--like", image.name)
    assert read("d.tif").all()
    assert read("d.tif").shape == (1, 14, 22)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("-r", 32), 32),
        (("-r", 32, 24), (32, 24)),
        (("-r32", 24), (32, 24)),
        (("-r32",), 32),
        (("-vr", 32, 24), (32, 24)),
        (("--resolution=32",), 32),
        (("--resolution", 32, 24), (32, 24)),
        (("--resolution=32", 24), (32, 24)),
    ],
)
def test_one_resolution_or_two(files, calls, given, expected):
    for before, after in (((), ("grid.tif", "out.tif")), (("grid.tif",), ("out.tif",)), (("grid.tif", "out.tif"), ())):
        good("densify", *before, *given, *after)
        assert calls[-1][:2] == ("grid.tif", "out.tif")
    good("mask", *given, "out.tif")
    assert [options["resolution"] for _, _, options in calls] == [expected] * 4


def test_one_resolution_is_for_both_directions(files):
    good("densify", "grid.tif", "a.tif", "-r", 3)
    gn.densify("grid.tif", "b.tif", resolution=3)
    gn.densify("grid.tif", "c.tif", resolution=(3, 3))
    assert read("a.tif").tobytes() == read("b.tif").tobytes() == read("c.tif").tobytes()


@pytest.fixture
def calls(monkeypatch):
    """What `densify` is called with, instead of running it."""
    seen = []

    def record(grid, out, **options):
        seen.append((grid, out, options))
        return gn.DensifyReport(out, None, (1, 1), 1, {}, None, None, None, {"check": 1.0}, 1.0, 1, {}, False)

    monkeypatch.setattr(product, "densify", record)
    return seen


def test_every_option_reaches_the_function(files, calls):
    good(
        *("densify", "rows.tif", "cols.tif", "out.tif", "--resolution", 3, 4, "--like", "image.tif"),
        *("--window", 1, 2, 3, 4, "--mask", "m.tif", "--mask-out", "mo.tif", "--mask-band", 2),
        *("--mask-valid-value", 9007199254740993, "--threshold", 0.999, "--mask-values", 0, 255),
        *("--valid", "a.gpkg", "--invalid", "b.gpkg", "--invalid", "c.gpkg", "--layer", "x", "--layer", "y"),
        *("--geometry-crs", "4326", "--origin", 0.5, -2, "--predicate", "contains", "--alg", "rasterio"),
        *("--repair-geometry", "--fill", "nan", "--dtype", "float32", "--row-band", 2, "--col-band", 3),
        *("--grid-nodata", "none", "--grid-nodata", "-9999", "--co", "COMPRESS=DEFLATE", "--co", "predictor=3"),
        *("--xy", "--displacement", "--source-offset", 0.5, -3, "--source", "s.tif"),
        *("--threads", 3, "--memory", "1.5G", "--no-verify", "--overwrite", "--allow-vrt", "--strict"),
        *("--driver", "cog", "--overviews", "--zarr-option", "shard=1024", "--zarr-option", "chunk=512,256"),
        *("--zarr-option", "compressor=zstd"),
    )
    ((grid, out, options),) = calls
    assert callable(options.pop("progress"))
    assert np.isnan(options.pop("fill"))
    assert (grid, out) == (("rows.tif", "cols.tif"), "out.tif")
    assert options == {
        "resolution": (3, 4),
        "like": "image.tif",
        "window": ((1, 2), (3, 4)),
        "mask": "m.tif",
        "mask_out": "mo.tif",
        "mask_band": 2,
        "mask_valid_value": 9007199254740993,
        "threshold": 0.999,
        "mask_out_values": (0, 255),
        "valid": "a.gpkg",
        "invalid": ["b.gpkg", "c.gpkg"],
        "geometry_layer": ("x", "y"),
        "geometry_crs": 4326,
        "geometry_origin": (0.5, -2.0),
        "rasterize_kwargs": {
            "alg": types.GridRasterizeAlg.RASTERIO_RASTERIZE,
            "kwargs_alg": {"shapely_predicate": types.ShapelyPredicate.CONTAINS},
        },
        "repair_geometry": True,
        "dtype": "float32",
        "row_band": 2,
        "col_band": 3,
        "grid_order": "xy",
        "displacement": True,
        "source_offset": (0.5, -3.0),
        "source": "s.tif",
        "grid_nodata": (-9999,),
        "creation_options": {"COMPRESS": "DEFLATE", "predictor": "3"},
        "threads": 3,
        "memory_budget": 3 * 2**29,
        "verify": False,
        "overwrite": True,
        "allow_vrt": True,
        "strict": True,
        "driver": "COG",
        "overviews": True,
        "zarr_options": {"shard": 1024, "chunk": (512, 256), "compressor": "zstd"},
    }
    assert set(SIGNATURE) - {*options, "grid", "out", "progress", "fill"} == {"shape"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("--geometry-crs", "pixels"), "pixels"),
        (("--valid-crs", "4326"), (4326, None)),
        (("--invalid-crs", "pixels"), (None, "pixels")),
        (("--invalid-crs", "EPSG:2154", "--valid-crs", "pixels"), ("pixels", "EPSG:2154")),
    ],
)
def test_the_crs_of_both_kinds_of_polygons_or_of_each(files, calls, given, expected):
    good("densify", "grid.tif", "out.tif", "-r", 3, 4, *given)
    good("mask", "out.tif", "--shape", 6, 7, "-r", 3, 4, *given)
    assert [options["geometry_crs"] for _, _, options in calls] == [expected] * 2


def test_what_is_left_out_is_the_functions_default(files, calls):
    good("densify", "grid.tif", "out.tif", "-r", 3, 4)
    good("mask", "out.tif", "--shape", 6, 7, "-r", 3, 4)
    parameters = SIGNATURE
    (_, _, options), (grid, out, for_mask) = calls
    assert (grid, out, for_mask["shape"], for_mask["mask_out"]) == (None, None, (6, 7), "out.tif")
    for given in (options, {**for_mask, "shape": None, "mask_out": None}):
        for name, value in given.items():
            if name not in ("resolution", "progress", "rasterize_kwargs", "creation_options"):
                assert value == parameters[name].default, name
        assert given["creation_options"] == {}
        assert given["rasterize_kwargs"]["kwargs_alg"]["shapely_predicate"] is types.ShapelyPredicate.COVERS


@pytest.mark.parametrize(
    ("text", "size"),
    [("1024", 1024), ("256M", 2**28), ("1k", 1024), ("1.5GiB", 3 * 2**29), ("2 TB", 2**41), ("7B", 7)],
)
def test_sizes(files, calls, text, size):
    good("densify", "grid.tif", "out.tif", "-r", 3, 4, "--memory", text)
    assert calls[0][2]["memory_budget"] == size


@pytest.mark.parametrize(
    ("given", "expected"),
    [((), None), (("-1",), -1), (("none",), ()), (("2.5", "NONE", "nan"), (2.5, pytest.approx(np.nan, nan_ok=True)))],
)
def test_nodata(files, calls, given, expected):
    good("densify", "grid.tif", "out.tif", "-r", 3, 4, *(part for value in given for part in ("--grid-nodata", value)))
    assert calls[0][2]["grid_nodata"] == expected


# -- errors -------------------------------------------------------------------------------------------------------

JOB = ("densify", "grid.tif", "out.tif", "-r", "3", "4")


@pytest.mark.parametrize(
    ("code", "arguments", "message"),
    [
        (2, ("densify", "grid.tif", "-r", 3, 4), "GRID [COLGRID] OUT are two or three files, not 1."),
        (2, ("densify", "a", "b", "c", "d", "-r", 3, 4), "two or three files, not 4. See 'gridr-numba densify --help'"),
        (2, ("densify", "grid.tif", "out.tif"), "resolution must be given"),
        (2, (*JOB, "--window", 1, 2), "--window"),
        (2, (*JOB, "--resolution", 0, 4), "resolution[0] must be at least 1, not 0"),
        (2, (*JOB, "--window", 0, 17, 0, 3), "window must lie within the dense raster's (16, 25)"),
        (2, (*JOB, "--predicate", "near"), "'covers', 'contains', 'intersects'"),
        (2, (*JOB, "--memory", "much"), "'much' is not a number of bytes such as 256M."),
        (2, (*JOB, "--mask-valid-value", "yes"), "'yes' is not a number."),
        (2, (*JOB, "--co", "TILED"), "'TILED' is not KEY=VAL."),
        (2, (*JOB, "--co", "DISCARD_LSB=3"), "DISCARD_LSB=3 would lose digits"),
        (2, (*JOB, "--grid-nodata", 1, "--grid-nodata", 2), "give 'none' too"),
        (2, (*JOB, *("--layer", "a") * 3), "at most two"),
        (2, (*JOB, "--causes", "--mask-values", 1, 0), "--causes and --mask-values exclude one another."),
        (2, (*JOB, "--valid", "s3://bucket/a.gpkg"), "valid must be the path of a local file"),
        (2, (*JOB, "--geometry-crs", "x"), "--geometry-crs must be a coordinate reference system"),
        (2, (*JOB, "--geometry-crs", "9" * 5000), "--geometry-crs must be a coordinate reference system"),
        (2, (*JOB, "--valid-crs", "x"), "--valid-crs must be a coordinate reference system"),
        (2, (*JOB, "--invalid-crs", "y"), "--invalid-crs must be a coordinate reference system"),
        (2, (*JOB, "--geometry-crs", "4326", "--invalid-crs", "4326"), "--valid-crs or --invalid-crs exclude one anot"),
        (2, (*JOB, "--valid", "far.geojson"), 'far.geojson\' (no crs member: WGS 84, unless --geometry-crs="pixels")'),
        (2, (*JOB, "--valid", "none.geojson"), "valid: 'none.geojson' must hold a polygon, and holds none"),
        (
            2,
            ("mask", "out.tif", "--shape", 6, 7, "-r", 3, 4, "--valid", "none.geojson"),
            "must hold a polygon, and hol",
        ),
        (2, ("densify", "grid.tif", "rows.tif", "-r", 3, 4), "'rows.tif' exists; --overwrite replaces it"),
        (2, (*JOB, "--overwrite", "--mask-out", "grid.tif"), "is an input, and is not overwritten"),
        (2, ("densify", "http://x.org/a.tif", "out.tif", "-r", 3, 4), "grid must be the path of a local file"),
        (2, (*JOB, "--report", "rows.tif"), "report: 'rows.tif' exists; --overwrite replaces it"),
        (2, (*JOB, "--overwrite", "--report", "ground.wkt", "--valid", "ground.wkt"), "report: 'ground.wkt' is an inp"),
        (2, (*JOB, "--overwrite", "--report", "out.tif"), "report: 'out.tif' is another output"),
        (2, (*JOB, "--mask-out", "m.tif", "--report", "m.tif"), "report: 'm.tif' is another output, and is not over"),
        (2, (*JOB, "--report", "a.tif"), "report: 'a.tif' would hold a JSON, and the suffix .tif says another format"),
        (2, (*JOB, "--report", "a.png"), "report: 'a.png' would hold a JSON, and the suffix .png says another format"),
        (1, (*JOB, "--report", "nowhere/a.json"), "report: there is no folder 'nowhere'"),
        (1, ("densify", "missing.tif", "out.tif", "-r", 3, 4), "grid: there is no file 'missing.tif'"),
        (1, (*JOB, "--invalid", "missing.wkt"), "invalid: 'missing.wkt' cannot be read: No such file"),
        (1, (*JOB, "--memory", "1K"), " 1024"),
        (1, ("densify", "cloud.geojson", "out.tif", "-r", 3, 4), "cannot be opened as GTiff or ENVI"),
        (2, ("mask", "out.tif", "-r", 3, 4), "shape must be given, as (rows, columns) of nodes"),
        (2, (*JOB[:3], "-r", 3, 1.5), "'3 1.5' is not one integer or two."),
        (2, (*JOB[:3], "-r", "x"), "'x' is not one integer or two."),
        (2, (*JOB[:3], "-r"), "Option '-r' requires an argument."),
        (2, (*JOB[:3], "-r", 3, -4), "resolution[1] must be at least 1, not -4"),
        (2, (*JOB[:3], "-r", 0), "resolution[0] must be at least 1, not 0"),
        (2, ("mask", "out.tif", "--shape", 5, 7, "-r", 3, 4, "--mask", "coarse.tif"), "must have (5, 7) rows"),
        (1, ("info", "missing.tif"), "there is no file"),
        (2, ("info", "rows.tif"), "must be a band of"),
        (2, ("preview", "grid.tif", "rows.tif"), "out: 'rows.tif' exists; --overwrite replaces it"),
        (2, ("preview", "grid.tif"), "FILE [COLFILE] OUT are two or three files, not 1."),
        (2, ("preview", "grid.tif", "out.jpg"), "out: 'out.jpg' would hold a PNG, and the suffix .jpg says another"),
        (2, (*JOB, "--co", "COMPRES=LZW"), "does not support creation option COMPRES"),
        (2, (*JOB, "--driver", "COG", "--co", "OVERVIEWS=AUTO"), "OVERVIEWS is not taken; --overviews makes overviews"),
        (2, (*JOB, "--driver", "PNG"), "Invalid value for '--driver': 'PNG' is not one of"),
        (2, ("densify", "grid.tif", "out.png", "-r", 3), "out: 'out.png' would hold a GTiff"),
        (2, ("preview", "grid.tif", "out.png", "--size", 3), "size must be at least 16"),
        (2, ("preview", "grid.tif", "out.png", "--size", 100_000), "size must be at most 10000, not 100000"),
        (1, ("preview", "missing.tif", "out.png"), "file: there is no file 'missing.tif'"),
        (2, ("nonsense",), "No such command 'nonsense'."),
        (2, ("--nonsense",), "No such option"),
    ],
)
def test_errors_are_one_line(files, code, arguments, message):
    Path("far.geojson").write_text(json.dumps(shapely.geometry.mapping(shapely.box(0, 0, 400, 400))))
    Path("none.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    before = sorted(os.listdir())
    assert message in bad(code, *arguments)
    assert sorted(os.listdir()) == before


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (RuntimeError("one\ntwo"), 1, "unexpected RuntimeError: one two (--debug shows where)"),
        (MemoryError(), 1, "MemoryError"),
        (gn.DatasetError("disk full"), 1, "disk full"),
        (gn.InvalidGeometryError("mended with repair_geometry=True"), 2, "mended with --repair-geometry"),
        (gn.DtypeError("dtype"), 2, "dtype"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_exit_codes(files, monkeypatch, error, code, message):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(product, "densify", fail)
    assert bad(code, *JOB, "--report", "a.json") == f"Error: {message}\n"
    assert not [name for name in os.listdir() if "json" in name and name != "cloud.geojson"]
    for debug in (("--debug", *JOB), (*JOB, "--debug")):
        result = run(*debug)
        assert result.exit_code == code
        assert result.stderr.startswith("Traceback (most recent call last):")
        assert result.stderr.endswith(f"\nError: {message}\n")


def test_a_report_that_cannot_be_written_is_found_out_before_the_job(files, monkeypatch):
    def refuse(path, content):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    assert "report: 'a.json' cannot be written: Permission denied" in bad(1, *JOB, "--report", "a.json")
    assert not os.path.exists("out.tif")


def test_polygons_that_miss_the_raster(files):
    Path("away.wkt").write_text(shapely.to_wkt(shapely.box(70, 80, 75, 90)))
    line = (
        "invalid: 'away.wkt' has no polygon that touches the raster of 16 rows and 25 columns: they lie in rows 80 to "
        "90 and columns 70 to 75; check that they are (x, y), and --geometry-crs and --origin"
    )
    result = run(*JOB, "--invalid", "away.wkt", "--report", "a.json")
    assert result.exit_code == 0
    assert result.stderr == f"WARNING: {line}\n"
    assert [in_options(each) for each in json.loads(Path("a.json").read_text())["warnings"]] == [line]
    os.remove("out.tif")
    assert run(*JOB, "--invalid", "away.wkt", "--strict").exit_code == 1
    assert not os.path.exists("out.tif")


def test_what_the_package_logs_is_a_line_on_stderr(files, rasters):
    tagged = rasters.reader(read("grid.tif"), nodata=0.0)  # a copied profile
    with rasterio.open(tagged.name, "r+") as dataset:
        values = dataset.read()
        values[:, 0, 0] = 0.0
        dataset.write(values)
    result = run("densify", tagged.name, "out.tif", "-r", 3, 4)
    assert result.exit_code == 0
    assert result.stderr.startswith("WARNING: 1 nodes are finite numbers and invalid")
    assert result.stderr.endswith("give --grid-nodata none\n")
    quiet = run("-q", "densify", tagged.name, "out.tif", "-r", 3, 4, "--overwrite")
    assert (quiet.exit_code, quiet.output) == (0, "")
    assert run("densify", tagged.name, "out.tif", "-r", 3, 4, "--overwrite", "--grid-nodata", "none").stderr == ""


@pytest.mark.parametrize("name", ["memory_budget.tif", "overwrite=True.tif", "geometry_crs.tif", "mask_in_ds.tif"])
def test_a_file_keeps_its_name_in_messages(files, name):
    Path(name).write_bytes(b"not a raster")
    assert f"'{name}'" in run("densify", name, "out.tif", "-r", 3, 4).stderr
    assert f"'{name}' exists; --overwrite replaces it" in run("densify", "grid.tif", name, "-r", 3, 4).stderr


@pytest.mark.parametrize("arguments", [("-v", *JOB), (*JOB, "-v"), ("-v", *JOB, "-v"), (*JOB, "-vv")])
def test_verbose(files, arguments):
    level = logging.getLogger("gridr_numba").level
    result = run(*arguments)
    assert "INFO: densify: 16 x 25 pixels in 1 windows" in result.stderr
    assert ("DEBUG: densify: rows 0 to 15, columns 0 to 24 written" in result.stderr) is ("-vv" in arguments)
    assert logging.getLogger("gridr_numba").level == level
    assert logging.getLogger("gridr_numba").propagate


def test_a_file_without_a_place_on_the_map_is_no_matter_for_stderr(files, rasters):
    plain = rasters.reader(read("grid.tif"))
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        for arguments in (("densify", plain.name, "out.tif", "-r", 3, 4), ("info", plain.name)):
            good(*arguments)
        good("preview", plain.name, "out.png")


# -- info, preview, warmup ----------------------------------------------------------------------------------------


def test_info(files):
    said = good("info", "grid.tif")
    assert "nodes           6 x 7, EPSG:32631" in said
    assert "void nodes      1 of 42" in said
    assert "warning" not in said
    assert "exchange --row-band and --col-band" in good("info", "grid.tif", "--row-band", 2, "--col-band", 1)
    found = json.loads(good("info", "rows.tif", "cols.tif", "--json"))
    assert found == info.inspect_grid(("rows.tif", "cols.tif"), col_band=1).to_dict()
    assert json.loads(good("info", "grid.tif", "--json", "--grid-nodata", "none"))["void_nodes"] == 1
    with_more = json.loads(good("info", "grid.tif", "--json", "-r", 3, 4, "--source", "grid.tif"))
    assert with_more == info.inspect_grid("grid.tif", resolution=(3, 4), source="grid.tif").to_dict()
    meant = json.loads(good("info", "grid.tif", "--json", "-r", 3, 4, "--xy", "--displacement"))
    options = {"resolution": (3, 4), "grid_order": "xy", "displacement": True}
    assert meant == info.inspect_grid("grid.tif", **options).to_dict()
    assert "resolution must be given with --displacement" in bad(2, "info", "grid.tif", "--displacement")


def test_what_looks_wrong_in_a_grid_is_said_in_options(files, rasters, tmp_path):
    grid = rasters.reader(np.zeros((2, 20, 30), np.float32)).name
    assert "pass --displacement" in good("info", grid)
    made = run("densify", grid, "moved.tif", "-r", 3, 4)
    assert (made.exit_code, "WARNING: on the whole" in made.stderr, "pass --displacement" in made.stderr) == (0, 1, 1)
    refused = run("densify", grid, "strict.tif", "-r", 3, 4, "--strict")
    assert (refused.exit_code, os.path.exists("strict.tif")) == (1, False)


def test_preview(files):
    said = good("preview", "grid.tif", "a.png", "--size", 50)
    assert "Each pixel is drawn as 7 x 7." in said
    bands, height, width = read("a.png").shape
    assert (bands, height > 42, width > 49) == (3, True, True)  # with words around
    assert quicklook.preview("grid.tif", "b.png", size=50) == said.strip()
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()
    assert good("preview", "coarse.tif", "a.png", "--overwrite", "-q", "--mask-valid-value", 0) == ""


def test_every_option_of_preview_reaches_the_function(files, monkeypatch):
    seen, signature = [], inspect.signature(quicklook.preview).parameters
    monkeypatch.setattr(quicklook, "preview", lambda *files, **options: seen.append((files, options)) or "drawn")
    good(
        *("preview", "rows.tif", "cols.tif", "a.png", "--mask", "m.tif", "--mask-band", 3, "--mask-valid-value", 7),
        *(
            "--xy",
            "--displacement",
            "--row-band",
            2,
            "--col-band",
            4,
            "--valid",
            "a.wkt",
            "--invalid",
            "b.wkt",
            "--invalid",
            "c.wkt",
        ),
        *("--layer", "x", "--geometry-crs", "4326", "--origin", 1, 2, "-r", 32, 24, "--size", 50),
        *("--overwrite", "--allow-vrt"),
    )
    assert seen.pop() == (
        (("rows.tif", "cols.tif"), "a.png"),
        {
            "mask": "m.tif",
            "mask_band": 3,
            "mask_valid_value": 7,
            "grid_order": "xy",
            "displacement": True,
            "row_band": 2,
            "col_band": 4,
            "valid": "a.wkt",
            "invalid": ["b.wkt", "c.wkt"],
            "geometry_layer": "x",
            "geometry_crs": 4326,
            "geometry_origin": (1.0, 2.0),
            "resolution": (32, 24),
            "size": 50,
            "overwrite": True,
            "allow_vrt": True,
        },
    )
    good("preview", "grid.tif", "a.png", "--valid-crs", "pixels")
    assert seen.pop()[1]["geometry_crs"] == ("pixels", None)
    good("preview", "grid.tif", "a.png")
    paths, options = seen.pop()
    assert paths == ("grid.tif", "a.png")
    assert options == {name: parameter.default for name, parameter in signature.items() if name in options}
    assert set(signature) - set(options) == {"source", "out"}


def test_preview_of_two_files_a_mask_and_polygons(files):
    said = good("preview", "rows.tif", "cols.tif", "a.png", *MASKED, "-r", 3, 4)
    options = {"mask": "coarse.tif", "valid": GROUND, "invalid": CLOUD, "resolution": (3, 4), "col_band": 1}
    assert quicklook.preview(("rows.tif", "cols.tif"), "b.png", **options) == said.strip()
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()
    assert "Magenta line: edge of invalid polygons" in said


def test_warmup_fails_where_nothing_can_be_kept(monkeypatch):
    def warn():
        warnings.warn("numba's cache cannot be used (here)", RuntimeWarning, stacklevel=1)

    monkeypatch.setattr("gridr_numba.doors.warmup.warm_up", warn)
    assert "numba's cache cannot be used (here)" in bad(1, "warmup")


SIGNATURES = """
import importlib, itertools, os, pkgutil, sys
import numpy as np, rasterio, shapely
from rasterio.transform import Affine
import gridr_numba as gn
from gridr_numba.cli import main
from gridr_numba.cli.messages import in_options
from gridr_numba import kernels

def signatures():
    names = [f"{kernels.__name__}.{each.name}" for each in pkgutil.iter_modules(kernels.__path__)]
    modules = [importlib.import_module(name) for name in names]
    compiled = {kernel for module in modules for kernel in vars(module).values() if hasattr(kernel, "dispatcher")}
    return {kernel.__name__: set(kernel.dispatcher.signatures) for kernel in compiled}

try:
    main(["warmup"])
except SystemExit as exit:
    assert not exit.code
warm = signatures()
assert "densify" in warm and all(warm.values()), warm
os.chdir(sys.argv[1])
place = dict(driver="GTiff", height=4, width=5, transform=Affine.scale(3))
for name, dtype, count in (("grid", "int16", 2), ("mask", "float32", 1)):
    with rasterio.open(name + ".tif", "w", dtype=dtype, count=count, **place) as dataset:
        dataset.write(np.ones((count, 4, 5), dtype))
cloud = shapely.box(1, 1, 3, 3)
choices = [(None, "mask.tif"), (None, cloud), ((1, 0), (-300, 5), "causes"), ("float32", "float64"), (None, -1.0)]
for mask, invalid, values, dtype, fill, verify in itertools.product(*choices, (True, False)):
    gn.densify("grid.tif", "o.tif", resolution=(3, 2), mask=mask, mask_out="m.tif", invalid=invalid, valid=invalid,
               mask_out_values=values, dtype=dtype, fill=fill, verify=verify, overwrite=True, threads=1)
gn.densify("grid.tif", "o.tif", resolution=(3, 2), window=((1, 4), (2, 5)), overwrite=True)
gn.densify(None, None, shape=(4, 5), resolution=(3, 2), mask_out="m.tif", overwrite=True)
assert signatures() == warm, "a signature that the warm-up misses"
"""


@pytest.mark.large
@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled")
def test_warmup_compiles_every_signature_that_densify_uses(tmp_path):
    done = subprocess.run([sys.executable, "-c", SIGNATURES, tmp_path], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "The kernels are in numba's cache.\n"


def test_that_kernels_are_compiled_is_said_once_but_not_quietly(monkeypatch, caplog):
    # What numba does before it compiles a kernel that it finds in no cache.
    monkeypatch.setattr(
        "gridr_numba.doors.warmup.warm_up", lambda: jit._ForgivingCache(NullCache()).load_overload("", "")
    )
    said = r"INFO: compiling kernels: about \d+ s\n"
    for options, expected in {(): said, ("-v",): said, ("-q",): ""}.items():
        for arguments in (("warmup", *options), (*options, "warmup")):
            monkeypatch.setattr(jit, "_said", set())
            assert re.fullmatch(expected, run(*arguments).stderr)
            assert run(*arguments).stderr == ""
    monkeypatch.setattr(jit, "_said", set())
    with caplog.at_level(logging.INFO, "gridr_numba"):
        warmup.warm_up()
    assert [(record.name, record.levelname) for record in caplog.records] == [("gridr_numba.kernels.jit", "INFO")]


# -- as a process -------------------------------------------------------------------------------------------------


def process(*arguments, **options):
    return subprocess.Popen([*COMMAND, *map(str, arguments)], text=True, **options)


def test_a_process_says_nothing_in_a_pipe_but_the_summary(files):
    with process(*JOB, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as job:
        said, complaints = job.communicate(timeout=120)
    assert (job.returncode, complaints) == (0, "")
    assert said.startswith("grid     out.tif, verified\n")
    with process("densify", "missing.tif", "x.tif", "-r", 3, 4, stderr=subprocess.PIPE) as job:
        assert job.communicate(timeout=120)[1] == "Error: grid: there is no file 'missing.tif'\n"
    assert job.returncode == 1


@pytest.mark.parametrize("arguments", [JOB, (*JOB, "--quiet")])
def test_a_bar_on_a_terminal(files, arguments):
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (24, 80))
    with process(*arguments, stdout=subprocess.PIPE, stderr=its) as job:
        job.communicate(timeout=120)
    os.close(its)
    shown = b""
    try:
        while piece := os.read(ours, 4096):
            shown += piece
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(ours)
    assert job.returncode == 0
    assert (b"px/s" in shown) is ("--quiet" not in arguments)


@pytest.mark.parametrize("closed", [(2, 3), (0, 3)])
def test_a_closed_stderr_is_no_failure(files, closed):
    with process("-v", *JOB, stdout=subprocess.PIPE, preexec_fn=lambda: os.closerange(*closed)) as job:
        said = job.communicate(timeout=120)[0]
    assert job.returncode == 0
    assert ("verified" in said) is (closed == (2, 3))
    with process(*JOB, preexec_fn=lambda: os.closerange(*closed)) as again:
        again.communicate(timeout=120)
    assert again.returncode == 2  # it exists


@pytest.mark.parametrize("how", ["full", "unread", "hung up"])
def test_a_stderr_that_cannot_be_written_to_is_no_failure(files, how):
    """Nor does the process end with Python's own error, when it flushes what it could not write."""
    reading, writing = pty.openpty() if how == "hung up" else os.pipe()
    if how == "full":
        os.close(writing)
        writing = os.open("/dev/full", os.O_WRONLY)
    if how == "hung up":
        termios.tcsetwinsize(writing, (24, 80))
    else:
        os.close(reading)
    with process("-v", *JOB, stdout=subprocess.PIPE, stderr=writing) as job:
        os.close(writing)
        if how == "hung up":
            assert b"px/s" in os.read(reading, 4096)  # the bar is there, and goes on
            os.close(reading)
        said = job.communicate(timeout=120)[0]
    assert job.returncode == 0
    assert said.startswith("grid     out.tif, verified\n")


def large_job(rasters):
    """A grid whose 64 million pixels take seconds to compress."""
    nodes = np.random.default_rng(0).random((2, 401, 401))
    return (
        "densify",
        rasters.reader(nodes).name,
        "big.tif",
        "-r",
        20,
        20,
        "--co",
        "COMPRESS=DEFLATE",
        "--mask-out",
        "m.tif",
    )


@pytest.mark.large
@pytest.mark.parametrize(
    ("number", "code", "complaint"),
    [(signal.SIGINT, 130, "Error: interrupted\n"), (signal.SIGTERM, 143, ""), (signal.SIGHUP, 129, "")],
)
def test_ctrl_c_and_termination_leave_nothing(files, rasters, number, code, complaint):
    arguments = (*large_job(rasters), "--report", "a.json")
    before = sorted(os.listdir())
    # Whoever runs the tests may ignore a signal (nohup does), and children inherit that.
    ignored = signal.getsignal(number) is signal.SIG_IGN
    if ignored:
        signal.signal(number, signal.SIG_DFL)
    with process(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as job:
        if ignored:
            signal.signal(number, signal.SIG_IGN)
        deadline = time.monotonic() + 120
        while not list(Path().glob(".big.tif.*.partial")) and time.monotonic() < deadline:
            time.sleep(0.01)
        job.send_signal(number)
        said, complaints = job.communicate(timeout=120)
    assert (job.returncode, said, complaints) == (code, "", complaint)
    assert sorted(os.listdir()) == before


# -- as a plugin --------------------------------------------------------------------------------------------------


def test_rio(files, monkeypatch):
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["rasterio.rio_plugins"] == {"grid-densify": "gridr_numba.cli:main"}
    assert project["scripts"] == {"gridr-numba": "gridr_numba.cli:main"}
    assert main.name == "grid-densify"  # rio names a plugin by its command, not by its entry point
    rio = pytest.importorskip("rasterio.rio.main").main_group
    monkeypatch.setattr(rio, "commands", {**rio.commands, main.name: main})
    result = CliRunner().invoke(rio, ["grid-densify", *JOB])
    assert (result.exit_code, result.output[:29]) == (0, "grid     out.tif, verified\npi")
    failed = CliRunner().invoke(rio, ["grid-densify", *JOB])
    assert failed.exit_code == 2
    assert "Error: out: 'out.tif' exists; --overwrite replaces it\n" in failed.output


def test_every_command_has_its_messages_options_and_help():
    assert sorted(main.commands) == [
        "demo",
        "densify",
        "info",
        "make-grid",
        "mask",
        "preview",
        "resample",
        "warmup",
        "warp",
    ]
    for command in (main, *main.commands.values()):
        names = {name for option in command.params for name in option.opts}
        assert {"-v", "-q", "--debug"} <= names
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.help, (command.name, option.name)
