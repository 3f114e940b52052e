"""The command line, run in this process or in one of its own, and files for it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import images
import numpy as np
import shapely
from affine import Affine
from click.testing import CliRunner

from gridr_numba.cli import main

NODE_SHAPE = (6, 7)
CLOUD = shapely.box(2.5, 2.5, 7.5, 6.5)
GROUND = shapely.box(-1, -1, 20, 13.5)
JOB = ("densify", "grid.tif", "out.tif", "-r", "3", "4")
MASKED = ("--mask", "coarse.tif", "--valid", "ground.wkt", "--invalid", "cloud.geojson", "--geometry-crs", "pixels")
#: The command as a process of its own.
COMMAND = (
    sys.executable,
    "-c",
    "import sys; from gridr_numba.cli import main; sys.argv[0] = 'gridr-numba'; main()",
)


def run(*arguments):
    """Run the command line as a user does; stdout and stderr are kept apart."""
    try:
        runner = CliRunner(mix_stderr=False)  # before click 8.2
    except TypeError:
        runner = CliRunner()
    return runner.invoke(main, [str(argument) for argument in arguments], prog_name="gridr-numba")


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


def process(*arguments, **options):
    return subprocess.Popen([*COMMAND, *map(str, arguments)], text=True, **options)


def make_files(folder):
    """Make inputs in a folder."""
    rng = np.random.default_rng(3)
    i, j = np.meshgrid(np.arange(6) * 30.0, np.arange(7) * 40.0, indexing="ij")
    nodes = np.stack([i, j]) + rng.random((2, *NODE_SHAPE))
    nodes[1, 4, 2] = np.nan
    place = {"crs": "EPSG:32631", "transform": Affine(40, 5, 1000, 3, -30, 9000)}
    images.write(folder / "grid.tif", nodes, **place)
    images.write(folder / "rows.tif", nodes[0], **place)
    images.write(folder / "cols.tif", nodes[1], **place)
    images.write(folder / "coarse.tif", (rng.random(NODE_SHAPE) > 0.15).astype(np.uint8), **place)
    Path(folder / "cloud.geojson").write_text(json.dumps(shapely.geometry.mapping(CLOUD)))
    Path(folder / "ground.wkt").write_text(shapely.to_wkt(GROUND))
