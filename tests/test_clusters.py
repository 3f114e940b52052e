"""The examples of docs/clusters.md, as they are printed, and the figures of docs/scale.md."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

import gridr_numba as gn

DOCS = Path(__file__).parents[1] / "docs"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", (DOCS / "clusters.md").read_text(), flags=re.M | re.S)

PLACE = {"crs": "EPSG:32631", "transform": Affine(200.0, 0.0, 500_000.0, 0.0, -200.0, 5_000_000.0)}
CLOUDS = {"type": "Polygon", "coordinates": [[[100, 120], [700, 140], [650, 600], [100, 120]]]}


@pytest.fixture
def scene(tmp_path):
    """A coarse grid of 61 x 71 nodes, a coarse mask and clouds."""
    folder, rng = tmp_path / "scene", np.random.default_rng(4)
    folder.mkdir()
    profile = {"driver": "GTiff", "height": 61, "width": 71, **PLACE}
    with rasterio.open(folder / "grid.tif", "w", count=2, dtype="float64", **profile) as dataset:
        dataset.write(20 * np.mgrid[:61, :71] + rng.random((2, 61, 71)))
    with rasterio.open(folder / "mask.tif", "w", count=1, dtype="uint8", **profile) as dataset:
        dataset.write((rng.random((1, 61, 71)) > 0.1).astype(np.uint8))
    (folder / "clouds.geojson").write_text(json.dumps(CLOUDS))
    return folder


def run(folder, *examples):
    """Run examples in a process of their own, as in a notebook."""
    code = "\n".join(examples) + "\nclient.close()\ncluster.close()\n"
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, cwd=folder.parent, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def files(scene, **options):
    report = gn.densify(
        scene / "grid.tif", scene / "grid-out.tif", resolution=20, mask=scene / "mask.tif",
        mask_out=scene / "mask-out.tif", **options,
    )  # fmt: skip
    with rasterio.open(scene / "grid-out.tif") as grid, rasterio.open(scene / "mask-out.tif") as mask:
        return grid.read(), mask.read(1), report


def test_from_a_folder_to_a_store_on_a_cluster(scene):
    zarr = pytest.importorskip("zarr", minversion="3")
    pytest.importorskip("distributed")
    pytest.importorskip("xarray")
    printed = run(scene, *EXAMPLES[:2])
    grid, mask, report = files(scene, invalid=scene / "clouds.geojson", geometry_crs="pixels")
    group = zarr.open_group(scene / "dense.zarr", mode="r")
    for name, expected in (("row", grid[0]), ("col", grid[1]), ("mask", mask)):
        assert group[name][:].tobytes() == expected.tobytes()
    assert tuple(map(float, printed.split())) == report.source_rows


def test_a_cloud_optimised_geotiff_on_a_cluster(scene):
    pytest.importorskip("tifffile")
    pytest.importorskip("odc.geo.xr")
    pytest.importorskip("distributed")
    cluster = EXAMPLES[0].split("densifier =")[0].replace(", write_zarr", "")
    run(scene, cluster, EXAMPLES[2])
    grid, mask, _ = files(scene)
    for name, expected in (("row", grid[0]), ("mask", mask)):
        with rasterio.open(scene / f"dense-{name}.tif") as dataset, rasterio.open(scene / "grid-out.tif") as ours:
            assert dataset.read(1, window=((0, ours.height), (0, ours.width))).tobytes() == expected.tobytes()
            assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            assert dataset.crs == ours.crs
            assert dataset.transform == ours.transform
