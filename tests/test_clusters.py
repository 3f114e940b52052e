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


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A coarse grid of 61 x 71 nodes, a coarse mask and clouds."""
    folder, rng = tmp_path_factory.mktemp("examples") / "scene", np.random.default_rng(4)
    folder.mkdir()
    profile = {"driver": "GTiff", "height": 61, "width": 71, **PLACE}
    with rasterio.open(folder / "grid.tif", "w", count=2, dtype="float64", **profile) as dataset:
        dataset.write(20 * np.mgrid[:61, :71] + rng.random((2, 61, 71)))
    with rasterio.open(folder / "mask.tif", "w", count=1, dtype="uint8", **profile) as dataset:
        dataset.write((rng.random((1, 61, 71)) > 0.1).astype(np.uint8))
    (folder / "clouds.geojson").write_text(json.dumps(CLOUDS))
    return folder


@pytest.fixture(scope="module")
def printed(scene):
    """Run the examples one after another in a process of its own, as in a notebook; return what they print."""
    pytest.importorskip("zarr", minversion="3.0.8")
    pytest.importorskip("distributed")
    pytest.importorskip("xarray", minversion="2025.1", reason="older ones do not read with zarr 3")
    pytest.importorskip("tifffile")
    pytest.importorskip("odc.geo.xr")
    code = "\n".join(EXAMPLES) + "\nclient.close()\ncluster.close()\n"
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, cwd=scene.parent, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def files(scene, **options):
    report = gn.densify(
        scene / "grid.tif", scene / "grid-out.tif", resolution=20, mask=scene / "mask.tif",
        mask_out=scene / "mask-out.tif", overwrite=True, **options,
    )  # fmt: skip
    with rasterio.open(scene / "grid-out.tif") as grid, rasterio.open(scene / "mask-out.tif") as mask:
        return grid.read(), mask.read(1), report


def test_from_a_folder_to_a_store_on_a_cluster(scene, printed):
    zarr = pytest.importorskip("zarr")
    grid, mask, report = files(scene, invalid=scene / "clouds.geojson", geometry_crs="pixels")
    group = zarr.open_group(scene / "dense.zarr", mode="r")
    for name, expected in (("row", grid[0]), ("col", grid[1]), ("mask", mask)):
        assert group[name][:].tobytes() == expected.tobytes()
    assert tuple(map(float, printed.split())) == report.source_rows


def test_a_cloud_optimised_geotiff_on_a_cluster(scene, printed):
    grid, mask, _ = files(scene)
    for name, expected in (("row", grid[0]), ("mask", mask)):
        with rasterio.open(scene / f"dense-{name}.tif") as dataset, rasterio.open(scene / "grid-out.tif") as ours:
            assert dataset.read(1, window=((0, ours.height), (0, ours.width))).tobytes() == expected.tobytes()
            assert dataset.block_shapes == [(256, 256)]
            assert dataset.overviews(1)
            assert dataset.crs == ours.crs
            assert dataset.transform == ours.transform


def test_the_figures_of_scale_follow_from_one_another():
    """Those that are arithmetic: tasks, files, bytes, and the scheduler's time."""
    text = (DOCS / "scale.md").read_text()
    rate = 438
    for side, column in ((4096, 1), (2048, 2)):
        across = -(-1_000_000 // side)
        said = {
            row[0]: row[column]
            for row in (line.strip("| ").split(" | ") for line in text.splitlines())
            if len(row) == 3
        }
        assert said["Tasks"] == f"{across} x {across} = {across**2:,}"
        assert said["Files"] == f"{3 * across**2:,}"
        assert said["A task's pixels"] == f"{17 * side**2 / 1e6:.0f} MB"
        assert said[f"The scheduler's time at {rate} tasks a second"] == f"{across**2 / rate:.0f} s"
    assert "17 TB" in text


def test_the_graph_of_the_largest_raster_is_built_at_once():
    from time import perf_counter

    pytest.importorskip("dask.array")
    from gridr_numba.doors.window_tasks import flag_tasks
    from gridr_numba.doors.write_zarr import write_shard

    start = perf_counter()
    tasks = flag_tasks(write_shard, (1_000_000, 1_000_000), (4096, 4096), None)
    assert perf_counter() - start < 1
    assert tasks.npartitions == 60_025


def test_a_task_takes_less_than_six_chunks_of_memory(scene):
    """In a process of its own, since peaks are a process's; after a first task, which loads what all need."""
    pytest.importorskip("zarr", minversion="3.0.8")
    code = """
import resource, sys, pathlib
import dask
import gridr_numba as gn
dask.config.set(num_workers=1)
folder = pathlib.Path(sys.argv[1])
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
def write(name, rows):
    options = {'shard': 1024, 'chunk': 512}
    grid, mask, window = folder / 'grid.tif', folder / 'mask.tif', (rows, (0, 1023))
    with gn.open_densifier(grid, mask=mask, resolution=40, window=window) as made:
        gn.write_zarr(made, folder / name, zarr_options=options)
write('first.zarr', (0, 63))
before = peak()
write('second.zarr', (0, 2047))
print((peak() - before) / (1024 * 1024 * 17))
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code, str(scene)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert float(done.stdout) <= 6
