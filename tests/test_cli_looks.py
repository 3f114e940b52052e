"""The commands that look or prepare: `info`, `preview` and `warmup`."""

from __future__ import annotations

import inspect
import json
import logging
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from command_line import CLOUD, GROUND, MASKED, bad, good, run
from images import read
from numba.core.caching import NullCache

from gridr_numba.doors import inspection as info
from gridr_numba.doors import preview as quicklook
from gridr_numba.doors import warmup
from gridr_numba.kernels import jit

pytestmark = pytest.mark.usefixtures("compiled_kernels")


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
    good("preview", "grid.tif", "a.png", "--valid", "a.wkt", "--valid-crs", "pixels")
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


def test_warmup_says_nothing_of_the_job_that_it_runs():
    assert good("warmup") == "The kernels are in numba's cache.\n"


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
choices = [(None, "mask.tif"), (None, cloud), ((1, 0), (-300, 5), "causes"), ("float32", "float64")]
for number, (mask, invalid, values, dtype) in enumerate(itertools.product(*choices)):
    fill, verify = (None, -1.0)[number % 2 ^ number // 2 % 2], number // 4 % 2 == 0
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
