"""Jobs on small files for tests of what goes wrong: in this process, or in one of their own, with a timeout."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import rasterio

import gridr_numba as gn

TIMEOUT = 120

PREAMBLE = """
import json, os, random, resource, signal, sys, time, warnings
import numpy as np, rasterio
import gridr_numba as gn
warnings.simplefilter('ignore')

folder = sys.argv[1]
grid, mask = folder + '/in-grid.tif', folder + '/in-mask.tif'
out, mask_out = folder + '/out/grid.tif', folder + '/out/mask.tif'

def job(**options):
    return gn.densify(grid, out, mask=mask, mask_out=mask_out,
                      **{'resolution': (5, 5), 'overwrite': True, **options})

def left():
    return sorted(os.listdir(folder + '/out'))

def clear():
    for name in left():
        os.unlink(folder + '/out/' + name)

def content(path):
    with rasterio.open(path) as dataset:
        return dataset.read()
"""


def run(code, folder, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-c", PREAMBLE + code, str(folder), *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )


def fine(done):
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip().endswith("fine"), done.stderr[-3000:]


def make_inputs(folder, nodes, **profile):
    rng = np.random.default_rng(3)
    (folder / "out").mkdir()
    profile = {"driver": "GTiff", "height": nodes, "width": nodes, **profile}
    with rasterio.open(folder / "in-grid.tif", "w", count=2, dtype="float64", **profile) as dataset:
        # Positions in a source, which are not warned of.
        dataset.write(20 * np.mgrid[:nodes, :nodes] + rng.random((2, nodes, nodes)))
    with rasterio.open(folder / "in-mask.tif", "w", count=1, dtype="uint8", **profile) as dataset:
        dataset.write((rng.random((1, nodes, nodes)) > 0.1).astype(np.uint8))
    return folder


def call(folder, **options):
    """Make a job in this process, to an empty folder."""
    for path in (folder / "out").iterdir():
        path.unlink()
    defaults = {"mask": folder / "in-mask.tif", "mask_out": folder / "out/mask.tif", "resolution": (5, 5)}
    return gn.densify(folder / "in-grid.tif", folder / "out/grid.tif", **{**defaults, **options})


def left(folder):
    return sorted(os.listdir(folder / "out"))
