"""Memory and threads: a job keeps to its budget or says what it needs, and many jobs may run at a time."""

from __future__ import annotations

import gc
import os
import threading
from contextlib import nullcontext

import numpy as np
import pytest
import rasterio
import shapely
from jobs import call, fine, left, make_inputs, run
from rasterio.env import get_gdal_config

import gridr_numba as gn
from gridr_numba.plan import Bounds


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Inputs of 60 x 60 nodes: 296 x 296 pixels, 1.5 MB."""
    return make_inputs(tmp_path_factory.mktemp("faults"), 60)


# -- memory -------------------------------------------------------------------------------------------------------


@pytest.mark.large
def test_too_little_memory(tmp_path):
    """From far too little to plenty: a MemoryError that says so, before a file is made, or right files."""
    code = """
from gridr_numba.files.geotiff import GeoTiff
made, create = [], GeoTiff.create
def counted(self):
    made.append(self.argument)
    return create(self)
GeoTiff.create = counted

options = {'resolution': (20, 20), 'threads': 2}
job(**options)
expected = content(out), content(mask_out)
failed = worked = 0
for megabytes in (0, 5, 20, 40, 50, 60, 70, 80, 100, 150, 300, 600):
    clear()
    made.clear()
    held = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + (megabytes << 20), resource.RLIM_INFINITY))
    try:
        job(**options)
        worked += 1
    except MemoryError as error:
        failed += 1
        assert not made, made
        assert 'MB of memory, and' in str(error), error
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    if left():
        assert left() == ['grid.tif', 'mask.tif']
        assert np.array_equal(content(out), expected[0]) and np.array_equal(content(mask_out), expected[1])
assert failed > 2 and worked > 2, (failed, worked)
clear()
print('fine')
"""
    fine(run(code, make_inputs(tmp_path, 60)))


def test_a_budget_below_one_row_of_blocks_says_what_would_be_needed(folder):
    with pytest.raises(MemoryError, match=r"one row of the outputs' blocks, 296 x 296 pixels, needs a") as caught:
        call(folder, memory_budget=1_000_000)
    needed = int(str(caught.value).split("memory_budget of ")[1].split()[0])
    assert left(folder) == []
    call(folder, memory_budget=needed)
    with pytest.raises(MemoryError):
        call(folder, memory_budget=needed - 1)


@pytest.mark.parametrize("budget", [1 << 28, 300_000, 100_000, 20_000, 2_000])
def test_a_chain_shrinks_its_strips_to_the_budget(folder, rasters, budget):
    """To the largest that leave an eighth of it to the block cache; whole blocks of 32 rows where one fits."""

    def buffers(rows):
        pixel, node = 1 + 2, 1 + 1  # bytes: the kernel's mask and the file's, the mask as read and as compared
        return rows * 296 * pixel + (-(-(rows + 3) // 5) + 1) * 60 * node

    seen = []
    out = rasters.writer((296, 296), np.uint16, tiled=True, blockxsize=32, blockysize=32)
    with rasterio.open(folder / "in-mask.tif") as mask:
        gn.build_mask_chain(
            (60, 60), (5, 5), out, np.uint16, mask, 1, 1, "float64", None, None, io_strip_size=0, ncpu=1,
            cpu_tile_shape=(99, 99), memory_budget=budget, progress=lambda done, total: seen.append(done),
        )  # fmt: skip
    fitting = max(rows for rows in range(1, 297) if buffers(rows) <= Bounds(budget).buffer_bytes)
    assert seen[0] == 296 * (fitting if fitting < 32 or fitting == 296 else fitting // 32 * 32)


def test_a_chain_without_room_for_a_row(folder, rasters):
    out = rasters.writer((296, 296), np.uint8)
    with pytest.raises(MemoryError, match=r"build_mask_chain: the least strip, 1 x 296 pixels, needs a memory_budget"):
        gn.build_mask_chain(
            (60, 60), (5, 5), out, np.uint8, None, None, None, "float64", None, None, memory_budget=300
        )  # fmt: skip
    with pytest.raises(TypeError, match="memory_budget must be an integer"):
        gn.build_mask_chain(
            (60, 60), (5, 5), out, np.uint8, None, None, None, "float64", None, None, memory_budget="1 GB"
        )  # fmt: skip


def test_gdals_block_cache_is_bounded_and_as_before_afterwards(folder):
    before, seen = get_gdal_config("GDAL_CACHEMAX"), []
    with rasterio.Env():
        call(folder, memory_budget=20 << 20, progress=lambda *_: seen.append(get_gdal_config("GDAL_CACHEMAX")))
        assert get_gdal_config("GDAL_CACHEMAX") == before
    assert 0 < seen[0] < 20 << 20

    def cancel(done, total):
        raise RuntimeError

    with pytest.raises(RuntimeError):
        call(folder, progress=cancel)
    assert get_gdal_config("GDAL_CACHEMAX") == before


# -- threads ------------------------------------------------------------------------------------------------------


@pytest.mark.large
@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_jobs_in_threads_and_in_threads_of_threads(folder, layer):
    code = """
import threading
from concurrent.futures import ThreadPoolExecutor
from rasterio.env import get_gdal_config

def files(name):
    return folder + f'/out/{name}-grid.tif', folder + f'/out/{name}-mask.tif'

def make(name):
    grid_file, mask_file = files(name)
    gn.densify(grid, grid_file, mask=mask, mask_out=mask_file, resolution=(5, 5), overwrite=True,
               invalid={'type': 'Polygon', 'coordinates': [[[10, 10], [200, 30], [90, 250], [10, 10]]]},
               memory_budget=30_000_000)
    return [content(path) for path in (grid_file, mask_file)]

cache = get_gdal_config('GDAL_CACHEMAX')
results = {}
def work(name):
    for _ in range(3):
        results[name] = make(name)
threads = [threading.Thread(target=work, args=(f'thread{n}',)) for n in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()

def outer(number):
    with ThreadPoolExecutor(2) as pool:
        names = [f'nested{number}{n}' for n in range(2)]
        return dict(zip(names, pool.map(make, names)))
with ThreadPoolExecutor(2) as pool:
    for made in pool.map(outer, range(2)):
        results.update(made)

expected = make('alone')
assert len(results) == 8
for name, made in results.items():
    for got, wanted in zip(made, expected):
        assert np.array_equal(got, wanted), name
assert get_gdal_config('GDAL_CACHEMAX') == cache
assert not [name for name in left() if 'partial' in name]
clear()
print('fine')
"""
    fine(run(code, folder, NUMBA_THREADING_LAYER=layer))


def test_two_jobs_of_a_process_do_not_write_to_one_file(folder):
    def again(done, total):
        with pytest.raises(gn.GridrValueError, match=r"mask_out: '.*mask.tif' is being made by another job"):
            call_again()

    def call_again():
        gn.densify(
            folder / "in-grid.tif", folder / "out/other.tif", mask=folder / "in-mask.tif",
            mask_out=folder / "out/../out/mask.tif", resolution=(5, 5), overwrite=True,
        )  # fmt: skip

    call(folder, progress=again)
    assert left(folder) == ["grid.tif", "mask.tif"]
    call_again()
    assert left(folder) == ["grid.tif", "mask.tif", "other.tif"]


@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_no_thread_and_no_open_file_is_left_behind(folder, error):
    def end(done, total):
        if error is not None:
            raise error

    def held():
        gc.collect()  # errors that were caught hold frames, and these files
        return threading.active_count(), len(os.listdir("/proc/self/fd"))

    call(folder)
    before = held()
    with pytest.raises(error) if error is not None else nullcontext():
        call(folder, progress=end)
    assert held() == before


def test_the_tag_of_the_options_names_files_and_no_folders(folder):
    import json

    call(folder, like=folder / "in-mask.tif", fill=-1.0, invalid=shapely.box(0, 0, 3, 3), threads=1)
    for name in left(folder):
        with rasterio.open(folder / "out" / name) as dataset:
            tags = dataset.tags()
        assert tags["GRIDR_NUMBA_VERSION"] == gn.__version__
        assert tags["GRIDR_NUMBA_INPUTS"] == "in-grid.tif in-mask.tif in-mask.tif"
        assert json.loads(tags["GRIDR_NUMBA_OPTIONS"]) == {
            "resolution": [5, 5],
            "like": "in-mask.tif",
            "invalid": "Polygon",
            "fill": -1.0,
        }
        assert not any(str(folder) in value for value in tags.values())
