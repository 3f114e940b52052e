"""Dense grids as Zarr stores: what is in them, who reads them, and what happens to them on the way."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from strategies import fewer

import gridr_numba as gn
from gridr_numba.files import partial
from gridr_numba.files import zarr as format_zarr
from gridr_numba.files.zarr import ZarrOptions

zarr = pytest.importorskip("zarr", minversion="3.0.8", reason="Zarr stores need zarr 3")

NODES, RESOLUTION = (12, 15), (10, 12)
SHAPE = (111, 169)
TRANSFORM = Affine(20.0, 0.0, 500_000.0, 0.0, -20.0, 5_000_000.0)
SMALL = {"shard": 64, "chunk": 32}


def make_inputs(folder, transform=TRANSFORM, crs="EPSG:32631"):
    rng = np.random.default_rng(5)
    nodes = np.mgrid[: NODES[0], : NODES[1]] * 10.0 + rng.random((2, *NODES))
    nodes[0, :, :7] = np.nan  # whole chunks without a coordinate
    profile = {"driver": "GTiff", "height": NODES[0], "width": NODES[1]}
    profile |= {} if transform is None else {"transform": transform, "crs": crs}
    with rasterio.open(folder / "in-grid.tif", "w", count=2, dtype="float64", **profile) as dataset:
        dataset.write(nodes)
    with rasterio.open(folder / "in-mask.tif", "w", count=1, dtype="uint8", **profile) as dataset:
        dataset.write((rng.random((1, *NODES)) > 0.2).astype(np.uint8))
    return folder


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "out").mkdir()
    return make_inputs(tmp_path)


def call(folder, **options):
    defaults = {"mask": folder / "in-mask.tif", "resolution": RESOLUTION, "zarr_options": SMALL}
    options = {**defaults, **options}
    return gn.densify(folder / "in-grid.tif", options.pop("out", folder / "out/dense.zarr"), **options)


def files_of(folder, **options):
    """Make the same as GeoTIFFs: coordinates and mask."""
    options.pop("zarr_options", None)
    call(folder, out=folder / "grid.tif", mask_out=folder / "mask.tif", zarr_options=None, overwrite=True, **options)
    with rasterio.open(folder / "grid.tif") as grid, rasterio.open(folder / "mask.tif") as mask:
        return grid.read(), mask.read(1)


def ways_of(folder):
    """Return options by whether the mask holds causes, and what a folder's inputs are with them as GeoTIFFs."""
    cloud = {"invalid": shapely.box(20.5, 30.5, 90, 80)}
    ways = {False: cloud, True: {**cloud, "mask_out_values": "causes", "fill": 7.5}}
    return {causes: (how, files_of(folder, **how)) for causes, how in ways.items()}


@pytest.fixture(scope="module")
def ways(tmp_path_factory):
    return ways_of(make_inputs(tmp_path_factory.mktemp("ways")))


def opened(path):
    return zarr.open_group(path, mode="r", use_consolidated=False)


def content(path):
    group = opened(path)
    return np.stack([group["row"][:], group["col"][:]]), group["mask"][:]


def same(path, expected):
    return all(mine.tobytes() == theirs.tobytes() for mine, theirs in zip(content(path), expected, strict=True))


def left(folder):
    return sorted(os.listdir(folder / "out"))


# -- what is in it ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_store_holds_the_bits_of_the_files(folder, verify, threads):
    report = call(folder, verify=verify, threads=threads)
    path = folder / "out/dense.zarr"
    assert same(path, files_of(folder))
    assert left(folder) == ["dense.zarr"]
    assert report.grid == report.mask == str(path)
    assert report.shape == SHAPE
    group = opened(path)
    assert set(group) == {"row", "col", "mask", "x", "y", "spatial_ref"}
    assert group.attrs["GRIDR_NUMBA_RESOLUTION"] == "10 12"
    assert json.loads(group.attrs["GRIDR_NUMBA_OPTIONS"])["zarr_options"] == SMALL
    assert group.metadata.consolidated_metadata is None
    assert "grid  " in report.to_text()


@fewer
@given(
    chunk=st.tuples(st.integers(17, 60), st.integers(17, 200)),
    chunks=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    zarr_format=st.sampled_from([2, 3]),
    compressor=st.sampled_from([None, "zstd", "gzip", "blosc", {"name": "zstd", "configuration": {"level": 1}}]),
    causes=st.booleans(),
)
def test_bits_do_not_depend_on_shards_chunks_and_compressors(
    tmp_path_factory, ways, chunk, chunks, zarr_format, compressor, causes
):
    folder = make_inputs(tmp_path_factory.mktemp("chunks"))
    (folder / "out").mkdir()
    how, wanted = ways[causes]
    options = {"zarr_format": zarr_format, "chunk": chunk, "compressor": compressor}
    if zarr_format == 3:
        options["shard"] = chunk[0] * chunks[0], chunk[1] * chunks[1]
    call(folder, zarr_options=options, **how)
    assert same(folder / "out/dense.zarr", wanted)
    array = opened(folder / "out/dense.zarr")["row"]
    assert array.chunks == chunk
    assert array.shards == options.get("shard")


def test_a_mask_alone(folder):
    path = folder / "out/mask.zarr"
    options = {"resolution": RESOLUTION, "mask": folder / "in-mask.tif", "zarr_options": SMALL}
    report = gn.densify(None, None, mask_out=path, **options)
    assert set(opened(path)) == {"mask", "x", "y", "spatial_ref"}
    gn.densify(None, None, mask_out=folder / "mask.tif", resolution=RESOLUTION, mask=folder / "in-mask.tif")
    with rasterio.open(folder / "mask.tif") as dataset:
        assert np.array_equal(opened(path)["mask"][:], dataset.read(1))
    assert (report.grid, report.mask) == (None, str(path))


def test_defaults_are_shards_of_2048_and_chunks_of_512_uncompressed(folder):
    call(folder, zarr_options=None)
    group = opened(folder / "out/dense.zarr")
    for name, dtype in (("row", "float64"), ("col", "float64"), ("mask", "uint8")):
        array = group[name]
        assert (array.metadata.zarr_format, array.shards, array.chunks) == (3, (2048, 2048), (512, 512))
        assert array.dtype == dtype
        assert array.compressors == ()
        assert array.metadata.dimension_names == ("y", "x")


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_nan_fills_coordinates_and_no_pixel_of_the_mask_is_hidden(folder, zarr_format):
    options = {"chunk": 32, "zarr_format": zarr_format}
    for values, valid in (((1, 0), 1), ((255, 0), 255), ((255, 254), 255), ((0, 255), 0)):
        call(folder, mask_out_values=values, zarr_options=options, overwrite=True)
        group = opened(folder / "out/dense.zarr")
        assert np.isnan(group["row"].fill_value)
        assert np.isnan(group["col"].fill_value)
        assert group["mask"].fill_value not in values
        assert (group["mask"].fill_value is None) == (zarr_format == 2)
        assert "_FillValue" not in group["mask"].attrs
        assert group["mask"].attrs[f"VALUE_{valid}"] == "valid"


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_chunks_in_which_nothing_is_valid_are_written(folder, zarr_format):
    call(
        folder,
        zarr_options={"chunk": 16, "zarr_format": zarr_format, "compressor": "zstd"}
        | ({} if zarr_format == 2 else {"shard": 16}),
    )
    path = folder / "out/dense.zarr"
    assert not np.isfinite(opened(path)["row"][:16, :16]).any()
    for name in ("row", "col", "mask"):
        kept = [each for each in (path / name).rglob("*") if each.is_file() and each.name[0].isdigit()]
        assert len(kept) == 7 * 11


# -- who reads it -------------------------------------------------------------------------------------------------

PLACES = {
    "utm": ("EPSG:32631", TRANSFORM),
    "degrees": ("EPSG:4326", Affine(0.01, 0.0, -3.0, 0.0, -0.01, 50.0)),
    "turned": ("EPSG:32631", Affine(20.0, 3.0, 500_000.0, 4.0, -20.0, 5_000_000.0)),
    "own": ("+proj=laea +lat_0=12.5 +lon_0=3 +ellps=bessel +units=m", TRANSFORM),
}


@pytest.fixture(params=PLACES)
def placed(request, folder):
    crs, transform = PLACES[request.param]
    make_inputs(folder, transform, crs)
    files_of(folder)
    with rasterio.open(folder / "grid.tif") as dataset:
        return folder, dataset.crs, dataset.transform, dataset.bounds


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_rioxarray_reads_crs_transform_and_bounds(placed, zarr_format):
    xarray = pytest.importorskip("xarray", minversion="2025.1", reason="older ones do not read with zarr 3")
    pytest.importorskip("rioxarray")
    folder, crs, transform, bounds = placed
    call(folder, zarr_options={"zarr_format": zarr_format})
    for decode in (True, "all"):
        with xarray.open_zarr(folder / "out/dense.zarr", consolidated=False, decode_coords=decode) as dataset:
            for name in ("row", "col", "mask"):
                assert dataset[name].rio.crs == crs
                assert dataset[name].rio.transform(recalc=False) == transform
                if transform.b == 0:
                    assert dataset[name].rio.bounds() == pytest.approx(bounds, rel=1e-12)
            assert np.isnan(dataset["row"].rio.nodata) or np.isnan(dataset["row"].rio.encoded_nodata)
            assert dataset["mask"].rio.nodata is None
            assert dataset["mask"].rio.encoded_nodata is None
            assert dataset["mask"].dtype == np.uint8


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_odc_geo_reads_crs_transform_and_shape(placed, zarr_format):
    xarray = pytest.importorskip("xarray", minversion="2025.1", reason="older ones do not read with zarr 3")
    pytest.importorskip("odc.geo.xr")
    folder, crs, transform, _ = placed
    call(folder, zarr_options={"zarr_format": zarr_format})
    with xarray.open_zarr(folder / "out/dense.zarr", consolidated=False, decode_coords="all") as dataset:
        box = dataset["row"].odc.geobox
    assert box.shape == SHAPE
    assert rasterio.crs.CRS.from_wkt(box.crs.to_wkt()) == crs
    assert np.allclose(tuple(box.transform), tuple(transform), rtol=1e-12, atol=0)


def test_the_conventions_proj_and_spatial_say_the_same(placed):
    folder, crs, transform, bounds = placed
    call(folder)
    attributes = dict(opened(folder / "out/dense.zarr").attrs)
    assert [each["name"] for each in attributes["zarr_conventions"]] == ["proj:", "spatial:"]
    assert rasterio.crs.CRS.from_wkt(attributes["proj:wkt2"]) == crs
    assert attributes.get("proj:code") == (None if crs.to_epsg() is None else f"EPSG:{crs.to_epsg()}")
    assert attributes["spatial:dimensions"] == ["y", "x"]
    assert attributes["spatial:shape"] == list(SHAPE)
    assert Affine(*attributes["spatial:transform"]) == transform
    if transform.b == 0:
        assert attributes["spatial:bbox"] == list(bounds)


def test_a_store_that_lies_nowhere_counts_pixels(folder):
    make_inputs(folder, None)
    call(folder)
    group = opened(folder / "out/dense.zarr")
    assert "zarr_conventions" not in group.attrs
    assert dict(group["spatial_ref"].attrs) == {}
    assert np.array_equal(group["y"][:], np.arange(SHAPE[0]))
    assert np.array_equal(group["x"][:], np.arange(SHAPE[1]))


def test_gdal_reads_format_2_where_it_lies(folder):
    if "Zarr" not in {driver for driver, *_ in _gdal_drivers()}:
        pytest.skip("this GDAL has no driver for Zarr")
    call(folder, zarr_options={"zarr_format": 2, "chunk": 64})
    grid, mask = files_of(folder)
    with rasterio.open(folder / "grid.tif") as files:
        for name, expected in (("row", grid[0]), ("col", grid[1]), ("mask", mask)):
            with rasterio.open(f'ZARR:"{folder}/out/dense.zarr":/{name}') as dataset:
                assert np.array_equal(dataset.read(1), expected, equal_nan=name != "mask")
                assert dataset.crs == files.crs
                assert np.allclose(dataset.transform, files.transform, rtol=1e-12, atol=0)
                assert dataset.nodata is None if name == "mask" else np.isnan(dataset.nodata)


def _gdal_drivers():
    from rasterio.env import Env

    with Env() as env:
        return [(name,) for name in env.drivers()]


# -- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "argument", "message"),
    [
        ({"mask_out": "m.tif"}, "mask_out", "must be None where out is a Zarr store, which holds the mask too, not 'm"),
        ({"driver": "GTiff"}, "driver", "must not be given for a Zarr store"),
        ({"driver": "COG"}, "driver", "must not be given for a Zarr store"),
        ({"creation_options": {"COMPRESS": "ZSTD"}}, "creation_options", "must not be given for a Zarr store"),
        ({"overviews": True}, "overviews", "must not be given for a Zarr store"),
        ({"zarr_options": "zstd"}, "zarr_options", "must be a dict or None, not 'zstd'"),
        ({"zarr_options": {"shards": 1}}, "zarr_options", "'shards' is none of them: shard, chunk, zarr_format and"),
        ({"zarr_options": {"chunk": 0}}, "zarr_options", r"\['chunk'\]\[0\] must be at least 1, not 0"),
        ({"zarr_options": {"chunk": "a"}}, "zarr_options", "must be a pair of integers"),
        ({"zarr_options": {"shard": 700}}, "zarr_options", "shard must be a multiple of chunk, 512 x 512, not 700 x"),
        ({"zarr_options": {"zarr_format": 1}}, "zarr_options", "zarr_format must be 2 or 3, not 1"),
        ({"zarr_options": {"zarr_format": 2, "shard": 512}}, "zarr_options", "shard must not be given with zarr_form"),
        ({"zarr_options": {"compressor": "zfpy"}}, "zarr_options", "compressor must be one of zstd, gzip, blosc, not"),
        ({"zarr_options": {"compressor": 3}}, "zarr_options", "compressor must be None, a name, or a dict"),
        (
            {"zarr_options": {"compressor": {"name": "zstd", "configuration": {"lev": 1}}}},
            "zarr_options",
            "compressor: zarr refuses",
        ),
        ({"out": "a.tif"}, "zarr_options", "are for an output whose name ends in .zarr, not 'a.tif'"),
        ({"out": "nowhere/a.zarr"}, "out", "there is no folder 'nowhere'"),
        ({"out": "s3://bucket/a.zarr"}, "out", "must be the path of a local file"),
    ],
)  # fmt: skip
def test_wrong_arguments(folder, options, argument, message):
    with pytest.raises(gn.GridrError, match=message) as caught:
        call(folder, **options)
    assert caught.value.argument == argument
    assert left(folder) == []


def test_a_store_beside_a_file_is_refused(folder):
    with pytest.raises(gn.GridrValueError, match=r"^mask_out: .* the suffix .zarr says another format"):
        call(folder, out=folder / "out/grid.tif", mask_out=folder / "out/mask.zarr", zarr_options=None)
    assert left(folder) == []


def test_a_chunk_larger_than_the_default_shard_is_one(folder):
    assert ZarrOptions.of({"chunk": (3000, 300)}).shard == (3000, 2100)
    assert ZarrOptions.of({"chunk": (3000, 300), "zarr_format": 2}).shard == (3000, 300)


def test_codecs_of_zarrs_own_are_taken(folder):
    call(folder, zarr_options={**SMALL, "compressor": zarr.codecs.GzipCodec(level=3)})
    assert same(folder / "out/dense.zarr", files_of(folder))


def test_a_budget_below_one_shard_says_what_would_be_needed(folder):
    with pytest.raises(
        MemoryError, match=r"densify: one .*of the outputs' blocks, \d+ x \d+ pixels, needs a memory_bu"
    ):
        call(folder, memory_budget=40_000, zarr_options={"shard": 64, "chunk": 32})
    assert left(folder) == []
    call(folder, memory_budget=200_000, zarr_options={"shard": 64, "chunk": 32}, threads=1)
    assert left(folder) == ["dense.zarr"]


def test_without_zarr_it_is_said_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(gn.DatasetError, match=r"^out needs zarr 3 .* pip install 'gridr_numba\[zarr\]'") as caught:
        call(folder)
    assert caught.value.argument == "out"
    assert left(folder) == []


# -- what is there already ----------------------------------------------------------------------------------------


def test_what_exists_is_replaced_only_where_that_is_allowed(folder):
    call(folder)
    before = content(folder / "out/dense.zarr")
    with pytest.raises(gn.GridrValueError, match=r"^out: '.*dense.zarr' exists; overwrite=True replaces it"):
        call(folder, fill=3)
    assert same(folder / "out/dense.zarr", before)
    call(folder, fill=3, overwrite=True)
    assert not same(folder / "out/dense.zarr", before)
    assert left(folder) == ["dense.zarr"]


def put_photos(path):
    path.mkdir()
    (path / "photo.jpg").write_bytes(b"mine")


def put_cube(path):
    group = zarr.create_group(path)
    group.create_array("row", shape=(2,), dtype="u1")
    group.create_array("temperature", shape=(2,), dtype="u1")


def put_inputs(path):
    group = zarr.create_group(path)
    group.create_array("row", shape=(2,), dtype="u1")
    (path / "row/in.tif").write_bytes((path.parent.parent / "in-grid.tif").read_bytes())


@pytest.mark.parametrize(
    ("put", "why"),
    [
        (lambda path: path.write_bytes(b"mine"), "is no folder, and is not replaced"),
        (put_photos, "is no Zarr group, and is not replaced"),
        (lambda path: path.mkdir(), "is no Zarr group, and is not replaced"),
        (put_cube, "holds 'temperature' too, which is not made here, and is not replaced"),
    ],
)
@pytest.mark.parametrize("overwrite", [True, False])
def test_what_is_no_such_store_is_never_replaced(folder, put, why, overwrite):
    path = folder / "out/dense.zarr"
    put(path)
    before = sorted(path.rglob("*"))
    with pytest.raises(gn.GridrValueError, match=f"^out: .*{why}"):
        call(folder, overwrite=overwrite)
    assert path.exists()
    assert sorted(path.rglob("*")) == before


def test_a_store_that_holds_an_input_is_not_replaced(folder):
    put_inputs(path := folder / "out/dense.zarr")
    with pytest.raises(gn.GridrValueError, match=r"^out: the input '.*in.tif' lies in '.*dense.zarr'"):
        gn.densify(path / "row/in.tif", path, resolution=RESOLUTION, overwrite=True)


def test_a_folder_of_another_kind_that_appears_meanwhile_is_not_replaced(folder):
    path = folder / "out/dense.zarr"
    with pytest.raises(gn.DatasetError, match=r"^out: '.*' was made by another program meanwhile"):
        call(folder, overwrite=True, progress=lambda done, total: path.exists() or put_photos(path))
    assert left(folder) == ["dense.zarr"]
    assert (path / "photo.jpg").read_bytes() == b"mine"


def test_where_names_cannot_be_exchanged_the_old_store_is_moved_aside(folder, monkeypatch):
    def no(path, destination, how):
        raise OSError(errno.EINVAL, "no such way")

    call(folder)
    monkeypatch.setattr(partial, "_renameat2", no)
    call(folder, fill=3, overwrite=True)
    assert same(folder / "out/dense.zarr", files_of(folder, fill=3))
    assert left(folder) == ["dense.zarr"]
    # And back, where the new one cannot be put there.
    rename = os.rename

    def fails(source, destination):
        if str(source).endswith(".partial"):
            raise OSError(errno.EIO, "broken")
        rename(source, destination)

    monkeypatch.setattr(os, "rename", fails)
    with pytest.raises(gn.DatasetError, match=r"^out: '.*dense.zarr' cannot be replaced: .*broken.*nothing was repl"):
        call(folder, overwrite=True)
    monkeypatch.undo()
    assert same(folder / "out/dense.zarr", files_of(folder, fill=3))
    assert left(folder) == ["dense.zarr"]


def test_an_old_store_that_cannot_be_removed_is_said_and_the_new_one_is_there(folder, monkeypatch, caplog):
    call(folder)

    def no(path, *, dir_fd=None):
        os.stat(path, dir_fd=dir_fd)
        raise PermissionError(errno.EACCES, "not yours", path)

    monkeypatch.setattr("shutil.rmtree", no)
    call(folder, fill=3, overwrite=True)
    monkeypatch.undo()
    assert same(folder / "out/dense.zarr", files_of(folder, fill=3))
    assert [record.getMessage() for record in caplog.records if "which was replaced, cannot be" in record.getMessage()]


def test_a_link_to_a_store_stays_one(folder):
    call(folder, out=folder / "real.zarr")
    (folder / "out/dense.zarr").symlink_to(folder / "real.zarr")
    call(folder, fill=3, overwrite=True)
    assert (folder / "out/dense.zarr").is_symlink()
    assert same(folder / "real.zarr", files_of(folder, fill=3))


# -- interrupted, killed, full ------------------------------------------------------------------------------------


def test_flushed_are_all_files_and_folders(folder, monkeypatch):
    synced = []
    fsync = os.fsync

    def watch(descriptor):
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watch)
    call(folder)
    there = [folder / "out/dense.zarr", *(folder / "out/dense.zarr").rglob("*")]
    named = {name.partition(".partial")[2] for name in synced if ".partial" in name}
    assert named >= {str(each).partition("dense.zarr")[2] for each in there}
    assert not (folder / "out/dense.zarr").stat().st_mode & stat.S_IWOTH


def test_cancelled_it_leaves_nothing(folder):
    def cancel(done, total):
        assert left(folder)[0].endswith(".partial")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        call(folder, progress=cancel)
    assert left(folder) == []


def test_a_disk_that_is_full_names_the_store(folder, monkeypatch):
    from zarr.storage import LocalStore

    put = LocalStore.set

    async def full(self, key, value, *arguments, **options):
        if key.endswith("/1/1"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return await put(self, key, value, *arguments, **options)

    monkeypatch.setattr(LocalStore, "set", full)
    with pytest.raises(gn.DatasetError, match=r"^out: cannot write '.*dense.zarr': .*No space left") as caught:
        call(folder)
    assert caught.value.argument == "out"
    assert left(folder) == []


def test_what_writers_that_were_killed_left_in_it_is_not_published(folder):
    def leave(done, total):
        (store,) = (folder / "out").iterdir()
        (store / "row" / "c" / "0" / "0.0123.partial").write_bytes(b"half")

    call(folder, progress=leave)
    assert not list((folder / "out/dense.zarr").rglob("*.partial"))


# Children are forked from a process that has loaded the kernels and zarr, and has used neither threads nor zarr.
KILLED = """
import os, shutil, signal, sys
from pathlib import Path
import zarr
import gridr_numba as gn
from gridr_numba.files import partial
from gridr_numba.files.zarr import ZarrStore

folder, exchange = Path(sys.argv[1]), sys.argv[2] == 'exchange'
path, publish = folder / 'out/dense.zarr', ZarrStore.publish
arguments = {'mask': folder / 'in-mask.tif', 'resolution': (10, 12), 'threads': 1, 'overwrite': True}
gn.densify(folder / 'in-grid.tif', folder / 'warm.tif', **arguments)

def tree(path):
    return {str(each.relative_to(path)): each.is_file() and each.read_bytes() for each in path.rglob('*')}

def make(fill, kill_at=None):
    pid = os.fork()
    if pid == 0:
        ZarrStore.publish = publish if kill_at is None else killing(kill_at)
        gn.densify(folder / 'in-grid.tif', path, fill=fill, zarr_options={'shard': 64, 'chunk': 32}, **arguments)
        os._exit(0)
    return os.waitpid(pid, 0)[1]

def killing(moment):
    steps = 0
    def step():
        nonlocal steps
        if steps == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        steps += 1
    def watched(function):
        def call(*arguments, **options):
            step()
            result = function(*arguments, **options)
            step()
            return result
        return call
    def no(*arguments):
        raise OSError(22, 'no such way')
    def killed(self, **options):
        os.rename, os.unlink, os.rmdir = watched(os.rename), watched(os.unlink), watched(os.rmdir)
        partial._renameat2 = watched(partial._renameat2) if exchange else no
        publish(self, **options)
    return killed

def clear():
    for each in path.parent.iterdir():
        partial.remove_tree(each)

assert make(3) == 0
new = tree(path)
assert make(None) == 0
old, saved = tree(path), folder / 'old'
shutil.copytree(path, saved)
assert old != new
seen, moment, status = set(), 0, 1
while status:
    status = make(3, moment)
    assert status in (0, signal.SIGKILL), status
    if not exchange and not path.exists():
        (aside,) = path.parent.glob('.dense.zarr.*.replaced')
        aside.rename(path)
        seen.add('gap')
    assert tree(path) in (old, new)
    seen.add('old' if tree(path) == old else 'new')
    moment += 1 if moment < 6 else 20  # most are files of the old store, which go one by one
    clear()
    shutil.copytree(saved, path)
assert seen == ({'old', 'new'} if exchange else {'old', 'new', 'gap'}), seen
print(moment, 'fine')
"""


@pytest.mark.parametrize("way", ["exchange", "aside"])
def test_killed_in_publish_the_old_store_is_there_or_the_new_one(folder, way):
    """Where names cannot be exchanged, the old one may be found aside for a moment, as is documented."""
    command = [sys.executable, "-W", "ignore", "-c", KILLED, str(folder), way]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip().endswith("fine")


def test_the_format_of_names(folder):
    for name, is_one in (("a.zarr", True), ("a.ZARR/", True), ("a.zarr.tif", False), ("zarr", False), (None, False)):
        assert format_zarr.is_store_name(name) == is_one
