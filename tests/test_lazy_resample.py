"""Lazy images: the bits of `resample`'s files, whatever the chunks and the scheduler (law 10)."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import rasterio
import shapely
from hypothesis import given
from hypothesis import strategies as st
from images import FULL, NODES, PLACE, STEP, invalid_places, picture, read, turned, write
from strategies import fewer

import gridr_numba as gn
from gridr_numba.doors import resampler
from gridr_numba.files.source import SourceImage

dask = pytest.importorskip("dask", reason="gridr_numba.lazy needs the extra dask")
xr = pytest.importorskip("xarray")

from gridr_numba.lazy import resample_lazy  # noqa: E402

CLOUD = shapely.Point(50, 40).buffer(12)
TILED = {"TILED": "YES", "BLOCKXSIZE": 16, "BLOCKYSIZE": 16}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lazy")
    bad = np.stack([invalid_places(seed) for seed in (5, 6)])
    write(folder / "image.tif", np.where(bad, 0, np.maximum(picture(bands=2), 1)), nodata=0, **TILED)
    write(folder / "reals.tif", picture("float32", bands=2))
    write(folder / "source_mask.tif", np.where(invalid_places(8), 9, 4).astype(np.uint8))
    where = {"crs": "EPSG:32631", "transform": PLACE}
    write(folder / "grid.tif", turned(), **where)
    coarse = np.random.default_rng(3).random((1, *NODES)) < 0.9
    write(folder / "mask.tif", coarse.astype(np.uint8), **where)
    return folder


def everything(folder, **more):
    options = {"resolution": STEP, "mask": folder / "mask.tif", "invalid": CLOUD, "mask_out_values": "causes"}
    return {**options, **more}


def in_files(folder, out, image="image.tif", **options):
    """Return the image and the mask that `resample` writes."""
    files = {"mask_out": out / "mask.tif", "overwrite": True}
    gn.resample(folder / image, folder / "grid.tif", out / "image.tif", **files, **options)
    mask = read(out / "mask.tif")
    return read(out / "image.tif"), mask if len(mask) > 1 else mask[0]


def check(dataset, wanted):
    for name, expected in zip(("image", "mask"), wanted, strict=True):
        got = np.asarray(dataset[name].values)
        assert got.dtype == expected.dtype == dataset[name].dtype
        assert got.shape == expected.shape
        assert got.tobytes() == expected.tobytes(), name


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
    made = in_files(folder, tmp_path_factory.mktemp("whole"), **everything(folder))
    assert {1 << bit for bit in range(8) if (made[1] & (1 << bit)).any()} == {1, 2, 8, 16, 32}
    return made


# -- the bits ---------------------------------------------------------------------------------------------------------

sizes = st.one_of(st.integers(5, 100), st.just(-1))


@pytest.mark.parametrize("scheduler", ["threads", "sync"])
@given(rows=sizes, cols=sizes)
def test_chunks_and_schedulers_change_nothing(folder, whole, scheduler, rows, cols):
    dataset = resample_lazy(folder / "image.tif", folder / "grid.tif", chunks=(rows, cols), **everything(folder))
    assert dataset["image"].dims == ("band", "y", "x")
    assert dataset["mask"].dims == ("y", "x")
    check(dataset.compute(scheduler=scheduler), whole)


@fewer
@given(data=st.data())
def test_chunks_of_any_sizes_and_kernels(folder, tmp_path_factory, data):
    chunks = []
    for size in FULL:
        cuts = data.draw(st.lists(st.integers(1, size - 1), max_size=3, unique=True).map(sorted))
        chunks.append(tuple(np.diff([0, *cuts, size]).tolist()))
    options = everything(
        folder,
        interpolation=data.draw(st.sampled_from(["nearest", "linear", "cubic", "lanczos3"])),
        edge=data.draw(st.sampled_from(["clamp", "strict"])),
        band_validity=data.draw(st.sampled_from(["any", "all", "each"])),
    )
    image = data.draw(st.sampled_from(["image.tif", "reals.tif"]))
    dataset = resample_lazy(folder / image, folder / "grid.tif", chunks=tuple(chunks), **options)
    assert (dataset.chunks["y"], dataset.chunks["x"]) == tuple(chunks)
    options["nodata"] = 0 if image == "image.tif" else np.nan
    check(dataset.compute(scheduler="threads"), in_files(folder, tmp_path_factory.mktemp("out"), image, **options))


@pytest.mark.parametrize(
    "options",
    [
        {"bands": 2, "nodata": 7, "window": ((20, 61), (33, 90))},
        {"bands": [2, 1, 2], "dtype": "float64", "band_validity": "each", "mask_out_values": (3, -300)},
        {"source_mask": "source_mask.tif", "source_mask_valid_value": 4, "interpolation": "nearest"},
        {"grid_order": "xy", "source_offset": (3.25, -4.0), "threshold": 0.5},
        {"displacement": True, "geometry_origin": (0.25, -0.5), "mask_valid_value": 0, "like": None},
    ],
)
def test_options_mean_what_they_mean_to_files(folder, tmp_path, options):
    options = everything(folder, **options)
    if "source_mask" in options:
        options["source_mask"] = folder / options["source_mask"]
    dataset = resample_lazy(folder / "image.tif", folder / "grid.tif", chunks=(30, 41), **options)
    check(dataset, in_files(folder, tmp_path, **options))


def test_a_chunk_that_looks_up_more_than_fits_is_made_in_pieces(folder, whole, monkeypatch):
    boxes = []
    read = SourceImage.read
    monkeypatch.setattr(
        SourceImage, "read", lambda self, window, *out: boxes.append(window) or read(self, window, *out)
    )
    dataset = resample_lazy(
        folder / "image.tif", folder / "grid.tif", chunks=-1, memory_budget=60_000, **everything(folder)
    )
    check(dataset.compute(scheduler="sync"), whole)
    assert len(boxes) > 4
    small = resample_lazy(folder / "image.tif", folder / "grid.tif", resolution=STEP, memory_budget=2000)
    with pytest.raises(MemoryError, match=r"resample_lazy: the grid's cell at node \(\d+, \d+\) looks up .*budget"):
        small.compute(scheduler="sync")


# -- what tasks do ----------------------------------------------------------------------------------------------------


def test_a_task_reads_the_part_of_the_image_that_its_chunk_looks_up(tmp_path, monkeypatch):
    values = picture(shape=(200, 300))
    write(tmp_path / "image.tif", values)
    write(tmp_path / "grid.tif", np.mgrid[:20, :30] * 10.0)
    boxes = []
    read = SourceImage.read
    monkeypatch.setattr(
        SourceImage, "read", lambda self, window, *out: boxes.append(window) or read(self, window, *out)
    )
    dataset = resample_lazy(tmp_path / "image.tif", tmp_path / "grid.tif", resolution=10, chunks=50)
    assert not boxes
    part = dataset["image"][0, 100:150, 150:200].compute(scheduler="sync")
    assert (part.values == values[0, 100:150, 150:200]).all()
    (box,) = boxes
    # Of cubic's taps and a pixel for rounding on each side.
    assert (box.row_start, box.row_stop, box.col_start, box.col_stop) == (97, 153, 147, 203)


def test_image_and_mask_of_a_chunk_are_one_task(folder, monkeypatch):
    reads = []
    read = resampler.Resampler.read
    monkeypatch.setattr(resampler.Resampler, "read", lambda self, window: reads.append(window) or read(self, window))
    dataset = resample_lazy(folder / "image.tif", folder / "grid.tif", resolution=STEP, chunks=50)
    dask.compute(dataset["image"].data, dataset["mask"].data, scheduler="sync")
    assert len(reads) == 2 * 2


def test_what_all_chunks_have_in_common_is_one_task(folder):
    clouds = [shapely.Point(*place).buffer(3) for place in np.random.default_rng(1).uniform(0, 90, (500, 2))]
    dataset = resample_lazy(folder / "image.tif", folder / "grid.tif", resolution=STEP, chunks=20, invalid=clouds)
    tasks = dict(dask.optimize(dataset["image"].data)[0].__dask_graph__())
    assert len([key for key, task in tasks.items() if len(pickle.dumps(task)) > 10_000]) == 1
    assert len(tasks) <= 1 + 2 * 5 * 5


def test_a_task_starts_no_threads(folder):
    code = f"""
import sys, threading
from gridr_numba.kernels import jit
from gridr_numba.lazy import resample_lazy
def refuse(*_, **__): raise AssertionError("a task must compute in its own thread")
jit._helpers = jit.parallel_loop = refuse
resample_lazy(sys.argv[1], sys.argv[2], resolution={STEP}, chunks=40).compute(scheduler="sync")
print(threading.active_count())
"""
    files = [str(folder / name) for name in ("image.tif", "grid.tif")]
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code, *files], capture_output=True, text=True)
    assert done.stdout.strip() == "1", done.stderr[-3000:]


def test_the_same_has_the_same_names_and_another_has_others(folder):
    changes = [{}, {}, {"chunks": 20}, {"interpolation": "linear"}, {"nodata": 3}, {"bands": 1}, {"invalid": None}]
    names = [
        resample_lazy(folder / "image.tif", folder / "grid.tif", **everything(folder, **each))["image"].data.name
        for each in changes
    ]
    assert names[0] == names[1]
    assert len(set(names)) == len(changes) - 1


def test_it_is_pickled_by_paths_that_hold_anywhere(folder, whole, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    lazy = resample_lazy("image.tif", "grid.tif", chunks=50, **everything(folder, mask="mask.tif"))
    again = pickle.loads(pickle.dumps(lazy))
    monkeypatch.chdir(tmp_path)
    check(again, whole)


@pytest.mark.parametrize(("name", "argument"), [("image.tif", "image"), ("grid.tif", "grid"), ("mask.tif", "mask")])
def test_a_changed_input_is_refused_when_a_chunk_is_made(folder, tmp_path, name, argument):
    for each in ("image.tif", "grid.tif", "mask.tif"):
        (tmp_path / each).write_bytes((folder / each).read_bytes())
    files = tmp_path / "image.tif", tmp_path / "grid.tif"
    dataset = resample_lazy(*files, chunks=50, **everything(tmp_path))
    dataset["mask"][0, 0].compute()
    os.utime(tmp_path / name, ns=(0, 0))
    with pytest.raises(gn.DatasetError, match=rf"{argument}: .*{name}' has changed since") as caught:
        dataset.compute(scheduler="sync")
    assert caught.value.argument == argument


def test_a_changed_source_mask_is_refused(folder, tmp_path):
    path = tmp_path / "source_mask.tif"
    path.write_bytes((folder / "source_mask.tif").read_bytes())
    options = {"resolution": STEP, "source_mask": path, "source_mask_valid_value": 4}
    dataset = resample_lazy(folder / "image.tif", folder / "grid.tif", **options)
    os.utime(path, ns=(0, 0))
    with pytest.raises(gn.DatasetError, match=r"source_mask: .* has changed since"):
        dataset.compute()


# -- clusters ---------------------------------------------------------------------------------------------------------

CLUSTER = """
import sys
import numpy as np, rasterio
from gridr_numba.lazy import resample_lazy


def main(image, grid, mask, *wanted):
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=2, processes=True, dashboard_address=":0",
                      host="127.0.0.1") as cluster, Client(cluster):
        lazy = resample_lazy(image, grid, resolution=(7, 6), mask=mask, chunks=20).compute()
    for name, path in zip(("image", "mask"), wanted):
        with rasterio.open(path) as dataset:
            assert lazy[name].values.tobytes() == dataset.read().tobytes()
    print("fine")


if __name__ == "__main__":
    main(*sys.argv[1:])
"""


@pytest.mark.large
def test_a_cluster_of_two_gives_the_same(folder, tmp_path):
    pytest.importorskip("distributed")
    in_files(folder, tmp_path, resolution=STEP, mask=folder / "mask.tif")
    script = tmp_path / "cluster.py"
    script.write_text(CLUSTER)
    files = [folder / "image.tif", folder / "grid.tif", folder / "mask.tif", tmp_path / "image.tif"]
    command = [sys.executable, "-W", "ignore", str(script), *map(str, files), str(tmp_path / "mask.tif")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.stdout.strip() == "fine", done.stderr[-3000:]


# -- what it says -----------------------------------------------------------------------------------------------------


def test_where_it_lies_and_what_its_bands_say(folder, tmp_path):
    path = write(tmp_path / "image.tif", picture(bands=3), nodata=5)
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = ("red", "green", "blue")
        dataset.scales, dataset.offsets, dataset.units = (0.5,) * 3, (1.0, 1.0, 2.0), ("K",) * 3
    lazy = resample_lazy(path, folder / "grid.tif", resolution=STEP, bands=[3, 1])
    about = {"_FillValue": 5, "scale_factor": 0.5, "units": "K", "offsets": (2.0, 1.0), "long_name": ("blue", "red")}
    assert lazy["image"].attrs == about
    assert lazy["band"].values.tolist() == [3, 1]
    gn.resample(path, folder / "grid.tif", tmp_path / "out.tif", resolution=STEP)
    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert lazy["x"].values[3] == dataset.xy(0, 3)[0]
        assert lazy["y"].values[4] == dataset.xy(4, 0)[1]
        if pytest.importorskip("rioxarray"):
            for name in ("image", "mask"):
                assert lazy[name].rio.crs == dataset.crs
                np.testing.assert_allclose(tuple(lazy[name].rio.transform())[:6], tuple(dataset.transform)[:6])
            assert lazy["image"].rio.nodata == 5


def test_without_nodata_the_mask_says_what_is_invalid(folder):
    lazy = resample_lazy(folder / "reals.tif", folder / "grid.tif", resolution=STEP).compute()
    assert lazy["image"].attrs == {}
    assert (np.isnan(lazy["image"].values) == (lazy["mask"].values == 0)).all()


def test_auto_chunks_count_all_bands(folder):
    with dask.config.set({"array.chunk-size": "4kiB"}):
        lazy = resample_lazy(folder / "image.tif", folder / "grid.tif", resolution=STEP, chunks="auto")
    assert max(lazy.chunks["y"]) * max(lazy.chunks["x"]) * 2 * 2 <= 4096


@pytest.mark.parametrize(
    ("change", "error", "argument"),
    [
        ({"grid": None}, gn.GridrTypeError, "grid"),
        ({"image": "gone.tif"}, gn.DatasetError, "image"),
        ({"image": 3}, gn.GridrTypeError, "image"),
        ({"nonsense": 1}, gn.GridrTypeError, "nonsense"),
        ({"threads": 1}, gn.GridrTypeError, "threads"),
        ({"out": "out.tif"}, gn.GridrTypeError, "out"),
        ({"mask_out": "out.tif"}, gn.GridrTypeError, "mask_out"),
        ({"strict": True}, gn.GridrTypeError, "strict"),
        ({"interpolation": "spline"}, gn.GridrValueError, "interpolation"),
        ({"edge": "wrap"}, gn.GridrValueError, "edge"),
        ({"band_validity": "some"}, gn.GridrValueError, "band_validity"),
        ({"bands": 3}, gn.GridrValueError, "bands"),
        ({"nodata": -1}, gn.GridrValueError, "nodata"),
        ({"dtype": "int64"}, gn.DtypeError, "dtype"),
        ({"resolution": 0}, gn.GridrValueError, "resolution"),
        ({"source_mask_band": 2}, gn.GridrValueError, "source_mask_band"),
        ({"source_mask": "mask.tif"}, gn.GridrValueError, "source_mask"),
        ({"memory_budget": 0}, gn.GridrValueError, "memory_budget"),
        ({"chunks": {"band": 1}}, gn.GridrValueError, "chunks"),
        ({"window": ((0, 1000), (0, 1))}, gn.GridrValueError, "window"),
        ({"displacement": "no"}, gn.GridrTypeError, "displacement"),
        ({"repair_geometry": None}, gn.GridrTypeError, "repair_geometry"),
        ({"allow_vrt": 1}, gn.GridrTypeError, "allow_vrt"),
    ],
)
def test_wrong_arguments(folder, monkeypatch, change, error, argument):
    monkeypatch.chdir(folder)
    given = {"image": "image.tif", "grid": "grid.tif", "resolution": STEP, **change}
    with pytest.raises(error, match=argument) as caught:
        resample_lazy(given.pop("image"), given.pop("grid"), **given)
    assert caught.value.argument == argument


def test_an_image_that_is_one_pixel_and_a_grid_that_misses_it(tmp_path):
    write(tmp_path / "image.tif", np.full((1, 1), 7, np.uint8), nodata=3)
    write(tmp_path / "grid.tif", np.mgrid[:2, :3] * 1.0 + 5.0)
    lazy = resample_lazy(tmp_path / "image.tif", tmp_path / "grid.tif", resolution=1, chunks=1)
    assert lazy["image"].values.tolist() == [[[3] * 3] * 2]
    assert lazy["mask"].values.tolist() == [[0] * 3] * 2
