"""Lazy arrays: the bits of the whole, whatever the chunks, the scheduler and what happens to its workers (law 10)."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time

import grids
import numpy as np
import pytest
import rasterio
from grids import NODES, RESOLUTION, SHAPE, TRANSFORM, clouds, write
from hypothesis import given
from hypothesis import strategies as st
from strategies import fewer

import gridr_numba as gn

dask = pytest.importorskip("dask", reason="gridr_numba.lazy needs the extra dask")
da = pytest.importorskip("dask.array")
xr = pytest.importorskip("xarray")

from gridr_numba.lazy import densify_arrays, densify_lazy  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return grids.make(tmp_path_factory.mktemp("lazy"))


def options_of(folder, **more):
    everything = {"mask": folder / "mask.tif", "invalid": clouds(), "geometry_origin": (0.25, -0.5)}
    return {"resolution": RESOLUTION, **everything, **more}


@pytest.fixture(scope="module")
def whole(folder):
    with gn.open_densifier(folder / "grid.tif", **options_of(folder)) as densifier:
        return densifier.read((slice(None), slice(None)))


def check(dataset, whole):
    """Compare a Dataset with coordinates and mask, to the bit."""
    coords, mask = whole
    made = dataset.compute()  # all three at once: a chunk is one task
    for name, expected in (("row", coords[0]), ("col", coords[1]), ("mask", mask)):
        got = np.asarray(made[name].values)
        assert got.dtype == expected.dtype == dataset[name].dtype
        assert got.shape == expected.shape
        assert got.tobytes() == expected.tobytes(), name


sizes = st.one_of(st.integers(4, 80), st.just(-1))


@pytest.mark.parametrize("scheduler", ["threads", "sync"])
@given(rows=sizes, cols=sizes)
def test_chunks_and_schedulers_change_nothing(folder, whole, scheduler, rows, cols):
    dataset = densify_lazy(folder / "grid.tif", chunks=(rows, cols), **options_of(folder))
    with dask.config.set(scheduler=scheduler):
        check(dataset.compute(), whole)


@given(data=st.data())
def test_chunks_of_any_sizes(folder, whole, data):
    chunks = []
    for size in SHAPE:
        cuts = data.draw(st.lists(st.integers(1, size - 1), max_size=4, unique=True).map(sorted))
        chunks.append(tuple(np.diff([0, *cuts, size]).tolist()))
    dataset = densify_lazy(folder / "grid.tif", chunks=tuple(chunks), **options_of(folder))
    assert dataset.chunks == {"y": chunks[0], "x": chunks[1]}
    check(dataset.compute(scheduler="threads"), whole)


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [(2048, ((41,), (71,))), ("auto", ((41,), (71,))), ({"x": 40}, ((41,), (40, 31))), ((30, -1), ((30, 11), (71,)))],
)
def test_forms_of_chunks(folder, chunks, expected):
    dataset = densify_lazy(folder / "grid.tif", resolution=RESOLUTION, chunks=chunks)
    assert dataset["row"].data.chunks == dataset["mask"].data.chunks == expected


@pytest.mark.parametrize("chunks", [0, (3, 4, 5), "some", {"rows": 3}, ((40, 2), (71,)), 2.5, None, True])
def test_chunks_that_are_none(folder, chunks):
    with pytest.raises(gn.GridrValueError, match="chunks must be") as caught:
        densify_lazy(folder / "grid.tif", resolution=RESOLUTION, chunks=chunks)
    assert caught.value.argument == "chunks"


@pytest.mark.parametrize("name", ["threads", "mask_out", "nonsense"])
def test_options_that_are_none(folder, name):
    with pytest.raises(gn.GridrTypeError, match=f"^{name} is no argument of densify_lazy") as caught:
        densify_lazy(folder / "grid.tif", resolution=RESOLUTION, **{name: 1})
    assert caught.value.argument == name


def test_a_part_and_gdals_polygons(folder, tmp_path):
    burned = {"alg": gn.GridRasterizeAlg.RASTERIO_RASTERIZE}
    options = options_of(folder, window=((3, 33), (10, 64)), rasterize_kwargs=burned, geometry_origin=(0.013, 0.017))
    gn.densify(folder / "grid.tif", tmp_path / "a.tif", mask_out=tmp_path / "b.tif", **options)
    dataset = densify_lazy(folder / "grid.tif", chunks=13, **options)
    with rasterio.open(tmp_path / "a.tif") as grid, rasterio.open(tmp_path / "b.tif") as mask:
        check(dataset, (grid.read(), mask.read(1)))


def test_only_a_mask_and_other_types(folder, whole):
    options = options_of(folder)
    dataset = densify_lazy(None, chunks=20, **options)
    assert list(dataset) == ["mask"]
    with gn.open_densifier(None, **options) as densifier:
        assert dataset["mask"].values.tobytes() == densifier.read((slice(None), slice(None)))[1].tobytes()
    narrow = densify_lazy(folder / "grid.tif", chunks=20, dtype="float32", mask_out_values=(7, -300), **options)
    assert [narrow[name].dtype for name in narrow] == [np.float32, np.float32, np.int16]
    assert narrow["row"].values.tobytes() == whole[0][0].astype(np.float32).tobytes()
    np.testing.assert_array_equal(narrow["mask"].values == 7, whole[1] == 1)


def test_one_chunk_is_made_once_for_all_three(folder, monkeypatch):
    reads = []
    read = gn.Densifier.read
    monkeypatch.setattr(gn.Densifier, "read", lambda self, window: reads.append(window) or read(self, window))
    dataset = densify_lazy(folder / "grid.tif", resolution=RESOLUTION, chunks=20)
    dask.compute(dataset["row"].data, dataset["col"].data, dataset["mask"].data, scheduler="sync")
    assert len(reads) == 3 * 4
    reads.clear()
    dataset["row"][5:6, 30:31].compute(scheduler="sync")
    assert [str(window) for window in reads] == ["rows 0 to 19, columns 20 to 39"]


def test_what_all_chunks_have_in_common_is_one_task(folder):
    options = {"resolution": (100, 100), "invalid": clouds(3000, (801, 1001))}
    (mask,) = dask.optimize(densify_lazy(folder / "grid.tif", chunks=200, **options)["mask"].data)
    tasks = dict(mask.__dask_graph__())
    large = [key for key, task in tasks.items() if len(pickle.dumps(task)) > 10_000]
    assert len(large) == 1
    assert len(tasks) <= 1 + 2 * 5 * 6


def test_a_graph_of_many_chunks_is_built_at_once(tmp_path):
    path = write(tmp_path / "grid.tif", np.zeros((2, 3, 3)))
    densify_lazy(path, resolution=1000, chunks=100)
    start = time.perf_counter()
    dataset = densify_lazy(path, resolution=316 * 50, chunks=100)
    assert dataset["row"].data.npartitions > 99_000
    assert time.perf_counter() - start < 1.0  # a tenth of it on a machine that is idle: see the bench


def test_the_same_has_the_same_names_and_another_has_others(folder):
    names = [
        densify_lazy(folder / "grid.tif", **options)["row"].data.name
        for options in (
            options_of(folder),
            options_of(folder),
            options_of(folder, chunks=20),
            options_of(folder, invalid=clouds()[:-1]),
            options_of(folder, threshold=0.5),
        )
    ]
    assert names[0] == names[1]
    assert len(set(names)) == 4


def test_dasks_multiprocessing_scheduler_gives_the_same(folder, whole):
    dataset = densify_lazy(folder / "grid.tif", chunks=30, **options_of(folder))
    check(dataset.compute(scheduler="processes", num_workers=2), whole)


def test_a_changed_input_is_refused_when_a_chunk_is_made(folder, tmp_path):
    path = tmp_path / "grid.tif"
    path.write_bytes((folder / "grid.tif").read_bytes())
    dataset = densify_lazy(path, resolution=RESOLUTION)
    os.utime(path, ns=(0, 0))
    with pytest.raises(gn.DatasetError, match=r"grid: .* has changed since"):
        dataset.compute()


# -- clusters ---------------------------------------------------------------------------------------------------------

CLUSTER = """
import os, signal, sys, time
import numpy as np, shapely
import gridr_numba as gn
from gridr_numba.lazy import densify_lazy


def main(grid, mask):
    from distributed import Client, LocalCluster

    rng = np.random.default_rng(5)
    clouds = [shapely.Point(*place).buffer(20) for place in rng.uniform((0, 0), (1100, 801), (40, 2))]
    options = dict(resolution=(100, 110), mask=mask, invalid=clouds)
    with gn.open_densifier(grid, **options) as densifier:
        coords, valid = densifier.read((slice(None), slice(None)))
    with LocalCluster(n_workers=2, threads_per_worker=2, processes=True, dashboard_address=":0",
                      host="127.0.0.1") as cluster, Client(cluster) as client:
        dataset = densify_lazy(grid, chunks=50, **options)
        first = client.run(os.getpid)
        slow = dataset["row"].data.map_blocks(slowly, dtype=float)
        futures = client.compute([slow, dataset["col"].data, dataset["mask"].data])
        for pid in first.values():
            time.sleep(1.0)
            os.kill(pid, signal.SIGKILL)
        results = client.gather(futures)
        assert not set(client.run(os.getpid).values()) & set(first.values())
    for got, wanted in zip(results, (coords[0], coords[1], valid)):
        assert got.dtype == wanted.dtype and got.tobytes() == wanted.tobytes()
    print("fine")


def slowly(block):
    time.sleep(0.02)
    return block


if __name__ == "__main__":
    main(*sys.argv[1:])
"""


@pytest.mark.large
def test_a_cluster_whose_workers_all_die_gives_the_same(folder, tmp_path):
    pytest.importorskip("distributed")
    script = tmp_path / "cluster.py"
    script.write_text(CLUSTER)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), str(folder / "grid.tif"), str(folder / "mask.tif")],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
    )
    assert done.stdout.strip() == "fine", done.stderr[-3000:]


# -- where it lies ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [None, ((3, 33), (10, 64))])
@pytest.mark.parametrize(
    ("crs", "transform", "straight"),
    [
        ("EPSG:32631", TRANSFORM, True),
        ("EPSG:4326", rasterio.Affine(0.1, 0.0, 2.0, 0.0, -0.1, 48.0), True),
        ("EPSG:32631", TRANSFORM @ rasterio.Affine.rotation(20.0), False),
        ("EPSG:32631", TRANSFORM @ rasterio.Affine.shear(10.0, 0.0), False),
    ],
)
def test_rioxarray_and_odc_geo_read_where_it_lies(tmp_path, crs, transform, straight, window):
    rioxarray = pytest.importorskip("rioxarray")
    odc = pytest.importorskip("odc.geo.xr")
    assert rioxarray
    assert odc
    path = write(tmp_path / "grid.tif", np.zeros((2, *NODES)), crs=crs, transform=transform)
    gn.densify(path, tmp_path / "dense.tif", resolution=RESOLUTION, window=window)
    dataset = densify_lazy(path, resolution=RESOLUTION, window=window, chunks=20)
    assert ("x" in dataset.coords, "y" in dataset.coords) == (straight, straight)
    with rasterio.open(tmp_path / "dense.tif") as dense:
        for name in ("row", "col", "mask"):
            array = dataset[name]
            assert array.encoding["grid_mapping"] == "spatial_ref"
            assert array.rio.crs == dense.crs
            assert array.odc.crs.to_wkt() == odc.CRS(crs).to_wkt() if hasattr(odc, "CRS") else array.odc.crs == crs
            np.testing.assert_allclose(tuple(array.rio.transform())[:6], tuple(dense.transform)[:6], rtol=1e-13)
            np.testing.assert_allclose(tuple(array.odc.geobox.affine)[:6], tuple(dense.transform)[:6], rtol=1e-13)
            assert array.odc.geobox.shape == dense.shape
            if straight:
                np.testing.assert_allclose(array.rio.bounds(), dense.bounds, rtol=1e-13)
                np.testing.assert_allclose(array.odc.geobox.boundingbox.bbox, dense.bounds, rtol=1e-13)
                assert array["x"].values[3] == dense.xy(0, 3)[0]
                assert array["y"].values[4] == dense.xy(4, 0)[1]
        written = [float(value) for value in dataset["spatial_ref"].attrs["GeoTransform"].split()]
        assert rasterio.Affine.from_gdal(*written) == dense.transform


def test_without_a_place_coordinates_are_pixel_numbers(tmp_path):
    path = write(tmp_path / "grid.tif", np.zeros((2, 3, 3)), transform=rasterio.Affine.identity(), crs=None)
    dataset = densify_lazy(path, resolution=2)
    assert "spatial_ref" not in dataset.coords
    np.testing.assert_array_equal(dataset["x"], np.arange(5))
    np.testing.assert_array_equal(dataset["y"], np.arange(5))
    assert "grid_mapping" not in dataset["row"].encoding


# -- arrays -----------------------------------------------------------------------------------------------------------


def coarse(folder, chunks=None):
    rioxarray = pytest.importorskip("rioxarray")
    grid = rioxarray.open_rasterio(folder / "grid.tif", chunks=chunks)
    mask = rioxarray.open_rasterio(folder / "mask.tif", chunks=chunks)
    return grid[0], grid[1], mask[0]


def array_options(folder, **more):
    return {name: value for name, value in options_of(folder, **more).items() if name not in ("mask", "resolution")}


@pytest.mark.parametrize("window", [None, ((3, 33), (10, 64)), ((0, 1), (0, 1)), ((7, 9), (20, 23)), ((5, 6), (7, 71))])
@pytest.mark.parametrize("chunks", [None, 3])
def test_arrays_are_as_files(folder, window, chunks):
    row, col, mask = coarse(folder, chunks)
    made = densify_arrays(row, col, RESOLUTION, mask=mask, chunks=20, **array_options(folder, window=window))
    lazy = densify_lazy(folder / "grid.tif", chunks=20, **options_of(folder, window=window))
    assert dask.is_dask_collection(made) == (chunks is not None)
    xr.testing.assert_identical(made.compute(), lazy.compute())
    assert made["row"].encoding == lazy["row"].encoding
    check(made, (np.stack([lazy["row"].values, lazy["col"].values]), lazy["mask"].values))


@fewer
@given(data=st.data())
def test_blocks_of_nodes_change_nothing(folder, whole, data):
    row, col, mask = coarse(folder)
    blocks = tuple(data.draw(st.integers(1, size)) for size in NODES)
    row, mask = row.chunk(dict(zip("yx", blocks, strict=True))), mask.chunk({"y": 2, "x": 5})
    chunks = data.draw(st.integers(1, 80)), data.draw(st.integers(10, 80))
    made = densify_arrays(row, col, RESOLUTION, mask=mask, chunks=chunks, **array_options(folder))
    assert all(
        size % step == 0 for sizes, step in zip(made["row"].data.chunks, RESOLUTION, strict=True) for size in sizes[:-1]
    )
    check(made, whole)


def test_attributes_of_arrays_that_are_not_decoded(folder):
    values = np.arange(18).reshape(2, 3, 3).astype(np.int16)
    attributes = {"_FillValue": 4, "scale_factor": 0.5, "add_offset": 100.0}
    row, col = (xr.DataArray(each, dims=("y", "x"), attrs=attributes) for each in values)
    made = densify_arrays(row, col, 2)
    assert made["row"].dtype == np.float64
    assert np.isnan(made["row"].values[1:4, 1:4]).all()
    assert made["row"].values[0, 0] == 100.0
    assert made["col"].values[0, 1] == 104.75
    assert "spatial_ref" not in made.coords
    np.testing.assert_array_equal(made["x"], np.arange(5))


def test_coordinates_say_where_a_slice_lies(folder):
    row, col, _ = coarse(folder)
    part = densify_arrays(row[2:6, 3:9], col[2:6, 3:9], RESOLUTION)
    whole = densify_arrays(row, col, RESOLUTION)
    expected = whole.isel(y=slice(10, 26), x=slice(21, 57))
    for name in ("row", "col", "mask"):
        assert part[name].values.tobytes() == expected[name].values.tobytes()
    np.testing.assert_allclose(part["x"], expected["x"], rtol=1e-13)
    np.testing.assert_allclose(part["y"], expected["y"], rtol=1e-13)


@pytest.mark.parametrize(
    ("change", "error", "argument"),
    [
        ({"row": np.zeros((3, 3))}, gn.GridrTypeError, "row"),
        ({"row": "3d"}, gn.GridrValueError, "row"),
        ({"col": "short"}, gn.GridrValueError, "col"),
        ({"col": "elsewhere"}, gn.GridrValueError, "col"),
        ({"mask": "short"}, gn.GridrValueError, "mask"),
        ({"row": "uneven"}, gn.GridrValueError, "row"),
        ({"resolution": 0}, gn.GridrValueError, "resolution"),
        ({"nonsense": 1}, gn.GridrTypeError, "nonsense"),
        ({"threads": 1}, gn.GridrTypeError, "threads"),
        ({"dtype": "float16"}, gn.DtypeError, "dtype"),
        ({"window": ((0, 100), (0, 1))}, gn.GridrValueError, "window"),
        ({"invalid": 3}, gn.GridrTypeError, "invalid"),
        ({"displacement": "no"}, gn.GridrTypeError, "displacement"),
        ({"repair_geometry": None}, gn.GridrTypeError, "repair_geometry"),
    ],
)
def test_wrong_arrays_and_options(folder, change, error, argument):
    row, col, mask = coarse(folder)
    uneven = row.assign_coords(x=np.arange(NODES[1]) ** 2.0)
    changed = {
        "3d": row.expand_dims("band"),
        "short": col[1:],
        "elsewhere": col.assign_coords(x=col["x"].values + 100.0),
        "uneven": uneven,
    }
    given = {"row": row, "col": col, "mask": mask, "resolution": RESOLUTION}
    given |= {name: changed.get(value, value) if isinstance(value, str) else value for name, value in change.items()}
    with pytest.raises(error) as caught:
        densify_arrays(**given)
    assert caught.value.argument == argument


def test_arrays_in_memory_need_no_dask(tmp_path):
    code = """
import sys
for name in ("dask", "distributed"): sys.modules[name] = None
import numpy as np, xarray as xr
from gridr_numba.lazy import densify_arrays, densify_lazy
row, col = (xr.DataArray(np.arange(9.0).reshape(3, 3), dims=("y", "x")) for _ in range(2))
assert densify_arrays(row, col, 2)["row"].shape == (5, 5)
try: densify_lazy("grid.tif", resolution=2)
except ImportError as error: print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert "pip install 'gridr_numba[dask]'" in done.stdout, done.stderr
