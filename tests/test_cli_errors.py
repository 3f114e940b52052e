"""What the command line says: errors of one line, warnings, logs."""

from __future__ import annotations

import json
import logging
import os
import warnings
from functools import wraps
from pathlib import Path

import pytest
import rasterio
import shapely
from command_line import JOB, bad, good, run
from images import read

import gridr_numba as gn
from gridr_numba.cli.messages import in_options
from gridr_numba.doors import densify as product

GIVEN = ("--valid", "ground.wkt")


pytestmark = pytest.mark.usefixtures("compiled_kernels")


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
        (2, (*JOB, *GIVEN, "--geometry-crs", "x"), "--geometry-crs must be a coordinate reference system"),
        (2, (*JOB, *GIVEN, "--geometry-crs", "9" * 5000), "--geometry-crs must be a coordinate reference system"),
        (2, (*JOB, *GIVEN, "--valid-crs", "x"), "--valid-crs must be a coordinate reference system"),
        (
            2,
            (*JOB, "--invalid", "ground.wkt", "--invalid-crs", "y"),
            "--invalid-crs must be a coordinate reference system",
        ),
        (
            2,
            (*JOB, "--invalid", "a", "--geometry-crs", "4326", "--invalid-crs", "4326"),
            "--valid-crs or --invalid-crs exclude one anot",
        ),
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


def test_warnings_of_what_libraries_will_change_are_not_for_users(files, monkeypatch):
    densify = product.densify

    @wraps(densify)
    def warn(*arguments, **options):
        warnings.warn("use @", PendingDeprecationWarning, stacklevel=1)
        warnings.warn("look here", UserWarning, stacklevel=1)
        return densify(*arguments, **options)

    monkeypatch.setattr(product, "densify", warn)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert run(*JOB).stderr == "WARNING: look here\n"
