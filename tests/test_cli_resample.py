"""The commands `resample` and `warp`: what the functions do, with the functions' defaults."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys

import numpy as np
import pytest
import rasterio
from command_line import run
from rasterio.transform import Affine

import gridr_numba as gn
from gridr_numba import types
from gridr_numba.doors import resample as of_a_grid
from gridr_numba.doors import warp as of_a_target

PARAMETERS = {name: inspect.signature(getattr(gn, name)).parameters for name in ("resample", "warp")}

# Options that both commands have, and the parameters that they become.
SHARED = (
    *("--window", 1, 2, 3, 4, "-b", 3, "--bands", 1, "--interpolation", "lanczos3", "--nodata", -5),
    *("--source-mask", "s.tif", "--source-mask-band", 2, "--source-mask-valid-value", 255, "--band-validity", "each"),
    *("--edge", "strict", "--dtype", "int32", "--mask", "m.tif", "--mask-out", "mo.tif", "--mask-band", 2),
    *("--mask-valid-value", 7, "--threshold", 0.5, "--mask-values", 0, 255, "--valid", "a.wkt", "--invalid", "b.wkt"),
    *("--layer", "x", "--geometry-crs", "4326", "--origin", 0.5, -2, "--predicate", "contains"),
    *("--repair-geometry", "--co", "COMPRESS=ZSTD", "--driver", "cog", "--overviews", "--threads", 3),
    *("--memory", "1.5G", "--no-verify", "--overwrite", "--allow-vrt", "--strict"),
)
AS_PARAMETERS = {
    "window": ((1, 2), (3, 4)),
    "bands": [3, 1],
    "interpolation": "lanczos3",
    "nodata": -5,
    "source_mask": "s.tif",
    "source_mask_band": 2,
    "source_mask_valid_value": 255,
    "band_validity": "each",
    "edge": "strict",
    "dtype": "int32",
    "mask": "m.tif",
    "mask_out": "mo.tif",
    "mask_band": 2,
    "mask_valid_value": 7,
    "threshold": 0.5,
    "mask_out_values": (0, 255),
    "valid": "a.wkt",
    "invalid": "b.wkt",
    "geometry_layer": "x",
    "geometry_crs": 4326,
    "geometry_origin": (0.5, -2.0),
    "rasterize_kwargs": {
        "alg": types.GridRasterizeAlg.SHAPELY,
        "kwargs_alg": {"shapely_predicate": types.ShapelyPredicate.CONTAINS},
    },
    "repair_geometry": True,
    "creation_options": {"COMPRESS": "ZSTD"},
    "driver": "COG",
    "overviews": True,
    "threads": 3,
    "memory_budget": 3 * 2**29,
    "verify": False,
    "overwrite": True,
    "allow_vrt": True,
    "strict": True,
}


@pytest.fixture
def calls(monkeypatch):
    """What the doors are called with, instead of running them."""
    seen = []

    class Done:
        def to_text(self):
            return "done"

    for module, name in ((of_a_grid, "resample"), (of_a_target, "warp")):
        monkeypatch.setattr(module, name, lambda *paths, **options: seen.append((paths, options)) or Done())
    return seen


def test_every_option_of_resample_reaches_the_function(calls):
    of_the_grid = (
        *("-r", 3, 4, "--like", "l.tif", "--xy", "--displacement", "--source-offset", 0.5, -3, "--row-band", 2),
        *("--col-band", 3, "--grid-nodata", "none", "--grid-nodata", -9999),
    )
    done = run("resample", "image.tif", "rows.tif", "cols.tif", "out.tif", *of_the_grid, *SHARED)
    assert done.exit_code == 0, done.stderr
    ((paths, options),) = calls
    assert paths == ("image.tif", ("rows.tif", "cols.tif"), "out.tif")
    assert callable(options.pop("progress"))
    assert options == {
        **AS_PARAMETERS,
        "resolution": (3, 4),
        "like": "l.tif",
        "grid_order": "xy",
        "displacement": True,
        "source_offset": (0.5, -3.0),
        "row_band": 2,
        "col_band": 3,
        "grid_nodata": (-9999,),
    }
    assert set(PARAMETERS["resample"]) == {*options, "image", "grid", "out", "progress"}


def test_every_option_of_warp_reaches_the_function(calls):
    of_the_target = (
        *("--crs", "EPSG:32631", "--pixel-size", 10, "--pixel-size", 20, "--bounds", 0, 1, 2, 3, "--tolerance", 0.5),
        *("--model", "rpc", "--height", "rpc", "--step", 9, "--check", "all", "--unreachable", "error"),
        *("--max-evaluations", 1000),
        *("--grid-out", "g.tif", "--like", "l.tif"),
    )
    done = run("warp", "image.tif", "out.tif", *of_the_target, *SHARED)
    assert done.exit_code == 0, done.stderr
    ((paths, options),) = calls
    assert paths == ("image.tif", "out.tif")
    assert callable(options.pop("progress"))
    assert options == {
        **AS_PARAMETERS,
        "crs": "EPSG:32631",
        "pixel_size": (10.0, 20.0),
        "bounds": (0.0, 1.0, 2.0, 3.0),
        "tolerance": 0.5,
        "model": "rpc",
        "height": "rpc",
        "step": 9,
        "check": "all",
        "max_evaluations": 1000,
        "unreachable": "error",
        "grid_out": "g.tif",
        "like": "l.tif",
    }
    missing = {"image", "out", "progress", "transform", "shape"}  # as make-grid has it
    assert set(PARAMETERS["warp"]) == {*options} | missing


def test_what_is_left_out_is_the_functions_default(calls):
    run("resample", "image.tif", "grid.tif", "out.tif")
    run("warp", "image.tif", "out.tif", "--crs", "5070")
    for (_, options), name in zip(calls, ("resample", "warp"), strict=True):
        for key, value in options.items():
            if key not in ("progress", "rasterize_kwargs", "creation_options", "crs"):
                assert value == PARAMETERS[name][key].default, key
        assert options["creation_options"] == {}
        assert options["rasterize_kwargs"]["kwargs_alg"]["shapely_predicate"] is types.ShapelyPredicate.COVERS


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("resample", "image.tif", "out.tif"), "IMAGE GRID [COLGRID] OUT are three or four files, not 2."),
        (("resample", "i", "g", "o", "--interpolation", "best"), "'nearest', 'linear', 'cubic', 'lanczos3'"),
        (("resample", "i", "g", "o", "--causes", "--mask-values", 1, 0), "exclude one another"),
        (("resample", "i", "g", "o", "--source-mask-band", 1), "must not be given without --source-mask"),
        (("warp", "i", "o", "--source-mask-valid-value", 1), "must not be given without --source-mask"),
        (("warp", "i", "o", "--threshold", 1), "must not be given without --mask"),
        (("warp", "i"), "Missing argument 'OUT'"),
    ],
)
def test_usage(calls, arguments, text):
    done = run(*arguments)
    assert done.exit_code == 2
    assert text in done.stderr
    assert calls == []


@pytest.fixture
def files(tmp_path, monkeypatch):
    """An image on the map, and a grid that looks at it."""
    monkeypatch.chdir(tmp_path)
    values = np.random.default_rng(1).integers(1, 255, (2, 60, 80), np.uint8)
    place = {"crs": "EPSG:32631", "transform": Affine(10, 0, 5e5, 0, -10, 5e6)}
    profile = {"driver": "GTiff", "count": 2, "height": 60, "width": 80, "dtype": "uint8", "nodata": 0}
    with rasterio.open("image.tif", "w", **profile, **place) as dataset:
        dataset.write(values)
    gn.make_grid("image.tif", "grid.tif", crs="EPSG:32631", pixel_size=9.0)


def content(path):
    with rasterio.open(path) as dataset:
        return dataset.read().tobytes(), dataset.crs, dataset.transform, dataset.nodata, dataset.descriptions


def test_they_do_what_the_functions_do(files):
    gn.resample("image.tif", "grid.tif", "b.tif", interpolation="linear")  # first: that kernels compile is said
    done = run("resample", "image.tif", "grid.tif", "a.tif", "--interpolation", "linear", "--report", "a.json")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("image    a.tif, verified\npixels   ")
    assert content("a.tif") == content("b.tif")
    with open("a.json") as file:
        assert json.load(file)["interpolation"] == "linear"
    done = run("warp", "image.tif", "c.tif", "--crs", "EPSG:32631", "--pixel-size", 9, "--interpolation", "linear")
    assert done.exit_code == 0, done.stderr
    assert content("c.tif")[0] == content("a.tif")[0]


def test_a_report_replaces_no_file_of_the_job(files):
    for path in ("image.tif", "grid.tif", "a.tif"):
        done = run("resample", "image.tif", "grid.tif", "a.tif", "--report", path, "--overwrite")
        assert done.exit_code == 2
        assert "report" in done.stderr


def test_rio_has_them():
    code = "from rasterio.rio.main import main_group as rio; rio(['grid-densify', 'warp', '--help'])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert said.returncode == 0, said.stderr
    assert "--interpolation" in said.stdout
