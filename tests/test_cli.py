"""The command line: the same results as the functions, whose options it has; as a plugin of rio."""

from __future__ import annotations

import inspect
import json
import os
import tomllib
from pathlib import Path

import click
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from click.testing import CliRunner
from command_line import CLOUD, GROUND, JOB, MASKED, NODE_SHAPE, good
from images import read

import gridr_numba as gn
from gridr_numba import types
from gridr_numba.cli import main
from gridr_numba.doors import densify as product

#: Of `densify`, before a test puts something else in its place.
SIGNATURE = inspect.signature(gn.densify).parameters


pytestmark = pytest.mark.usefixtures("compiled_kernels")


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
        said = {
            "grid": out,
            "mask": None,
            "shape": (1, 1),
            "valid_pixels": 1,
            "invalid_pixels": {},
            "source_rows": None,
        }
        said |= {"source_cols": None, "coordinate_spacing": None, "seconds": {"check": 1.0}, "mpx_per_second": 1.0}
        return gn.DensifyReport(**said, threads=1, versions={}, verified=False)

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
    given = ("--valid", "a.wkt", "--invalid", "b.wkt", *given)
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
