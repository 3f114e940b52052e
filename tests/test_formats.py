"""What every format of outputs must do. A new one is a line in `FORMATS`, with all that follows for it to pass."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

import gridr_numba as gn
from gridr_numba.files import partial
from gridr_numba.files.cog import Cog, cog_options
from gridr_numba.files.geotiff import GeoTiff, gtiff_options
from gridr_numba.files.outputs import Checksums, OutputFormat, RasterLayout, check_space, partial_files, publish
from gridr_numba.files.zarr import ZarrOptions, ZarrStore
from gridr_numba.window import Window

SHAPE = (150, 270)


def geotiff(**options):
    def make(path, layout):
        return GeoTiff("out", path, layout, gtiff_options(options, layout.dtype))

    return make


def with_overviews(make, how):
    return lambda path, layout: make(path, replace(layout, overviews=how))


def cog(**options):
    def make(path, layout):
        return Cog("out", path, layout, cog_options(options, layout.dtype))

    return make


def store(**options):
    def make(path, layout):
        pytest.importorskip("zarr", minversion="3.0.8")
        return ZarrStore("out", path, [layout], ZarrOptions.of(options))

    return make


FORMATS = {
    "geotiff": geotiff(),
    "geotiff-tiled": geotiff(BLOCKXSIZE=32, BLOCKYSIZE=16),
    "geotiff-striped": geotiff(TILED="NO"),
    "geotiff-bands": geotiff(BLOCKXSIZE=32, BLOCKYSIZE=16, INTERLEAVE="BAND"),
    "geotiff-zstd": geotiff(BLOCKXSIZE=32, BLOCKYSIZE=16, COMPRESS="ZSTD"),
    "geotiff-overviews": with_overviews(geotiff(BLOCKXSIZE=64, BLOCKYSIZE=64), "mode"),
    "cog": cog(),
    "cog-zstd": cog(BLOCKSIZE=128, COMPRESS="ZSTD"),
    "cog-overviews": with_overviews(cog(BLOCKSIZE=128), "average"),
    "zarr": store(),
    "zarr-shards": store(shard=(64, 96), chunk=32),
    "zarr-zstd": store(shard=128, chunk=(64, 32), compressor="zstd"),
    "zarr-2": store(zarr_format=2, chunk=(32, 64)),
}
LAYOUTS = {
    "grid": RasterLayout(
        SHAPE,
        np.dtype("float64"),
        ("row", "col"),
        np.nan,
        CRS.from_epsg(32631),
        Affine(2.0, 0.0, 500_000.0, 0.0, -2.0, 5_000_000.0),
        {"GRIDR_NUMBA_VERSION": "0"},
    ),
    "mask": RasterLayout(
        SHAPE,
        np.dtype("uint8"),
        ("validity",),
        None,
        None,
        None,
        {},
        band_tags={"VALUE_0": "invalid"},
        colours={0: (30, 30, 38), 1: (45, 160, 155), 255: (255, 255, 255)},
        unwritten=254,
    ),
}


class Files:
    """What differs where an output is one file: how it is read, and harmed."""

    modes = (0o600, 0o444, 0o640)
    rights = 0o600

    opened = staticmethod(rasterio.open)

    @staticmethod
    def size(path):
        return path.stat().st_size

    @staticmethod
    def put_old(path):
        path.write_bytes(b"old")

    @staticmethod
    def is_old(path):
        return path.read_bytes() == b"old"

    remove = staticmethod(os.unlink)

    @staticmethod
    def cut_short(path, missing):
        os.truncate(path, path.stat().st_size - missing)

    @staticmethod
    def change(path, values, index, window):
        with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
            dataset.write(values, [index], window=window.to_rasterio())


class Stores:
    """The same where it is a folder."""

    modes = (0o700, 0o555, 0o750)
    rights = 0o700

    @staticmethod
    def size(path):
        return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())

    @staticmethod
    def put_old(path):
        path.mkdir()
        (path / "zarr.json").write_bytes(b"old")
        (path / "row").mkdir()
        (path / "row" / "old").write_bytes(b"old")

    @staticmethod
    def is_old(path):
        return (path / "row" / "old").exists() and (path / "zarr.json").read_bytes() == b"old"

    remove = staticmethod(shutil.rmtree)

    @staticmethod
    def cut_short(path, missing):
        """Cut one of its files, or remove it where there is less."""
        pixels = [path / name for name in os.listdir(path) if name in ("row", "validity")]
        last = max(each for each in pixels[0].rglob("*") if each.name[0].isdigit() and each.is_file())
        size = last.stat().st_size
        os.truncate(last, size - missing) if missing < size else last.unlink()

    @classmethod
    def change(cls, path, values, index, window):
        with cls.opened(path, "r+") as dataset:
            dataset.arrays[index - 1][window.to_slices()] = values[0]

    class opened:  # noqa: N801
        """As rasterio would open it."""

        def __init__(self, path, mode="r"):
            import zarr

            self.group = zarr.open_group(path, mode=mode, use_consolidated=False)
            names = sorted(set(self.group.array_keys()) - {"x", "y", "spatial_ref"}, reverse=True)
            self.descriptions = tuple(names)
            self.arrays = [self.group[name] for name in names]
            self.dtypes = [array.dtype.name for array in self.arrays]
            self.shape = self.arrays[0].shape
            self.block_shapes = [array.shards or array.chunks for array in self.arrays]
            fills = {array.fill_value for array in self.arrays}
            self.nodata = None if fills in ({254}, {None}, {0}) else fills.pop()
            place = dict(self.group["spatial_ref"].attrs)
            self.crs = CRS.from_wkt(place["crs_wkt"]) if "crs_wkt" in place else None
            numbers = place.get("GeoTransform", "0 1 0 0 0 1").split()
            self.transform = Affine.from_gdal(*map(float, numbers))

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def read(self):
            return np.stack([array[:] for array in self.arrays])

        def tags(self, index=None):
            return dict((self.group if index is None else self.arrays[index - 1]).attrs)

        def colormap(self, index):
            return {value: (*colour, 255) for value, colour in LAYOUTS["mask"].colours.items()}


def kit_of(output):
    return Stores if isinstance(output, ZarrStore) else Files


@pytest.fixture(params=FORMATS)
def make(request):
    return FORMATS[request.param]


@pytest.fixture(params=LAYOUTS)
def output(request, make, tmp_path):
    return make(tmp_path / "out", LAYOUTS[request.param])


@pytest.fixture
def kit(output):
    return kit_of(output)


def pixels_of(output):
    shape = (len(output.layout.descriptions), *output.shape)
    return (np.random.default_rng(1).random(shape) * 200).astype(output.layout.dtype)


def blocks(output):
    """Windows of 2 x 2 blocks, and what is left at the edges, in an order of no kind."""
    (height, width), (rows, cols) = output.shape, output.planned.block_shape
    windows = [
        Window(i, min(i + 2 * rows, height), j, min(j + 2 * cols, width))
        for i in range(0, height, 2 * rows)
        for j in range(0, width, 2 * cols)
    ]
    np.random.default_rng(2).shuffle(windows)
    return windows


def written(output, watch=None):
    """Write all of it and close."""
    pixels = pixels_of(output)
    indexes = list(range(1, len(pixels) + 1))
    for window in blocks(output):
        values = np.ascontiguousarray(pixels[(slice(None), *window.to_slices())])
        if watch is not None:
            watch(output, indexes, window, values)
        output.write(values, indexes, window=window.to_rasterio())
    output.close()
    return pixels


def test_it_is_a_format(output):
    assert isinstance(output, OutputFormat)
    assert output.argument == "out"
    assert output.shape == SHAPE
    assert output.dtypes == (output.layout.dtype.name,) * len(output.layout.descriptions)
    assert output.name == str(output.path)


def test_planning_makes_no_file_and_tells_blocks_and_size(output, tmp_path, kit):
    block_shape, size = output.planned
    assert output.block_shapes == [block_shape] * len(output.layout.descriptions)
    assert all(isinstance(side, int) and side >= 1 for side in block_shape)
    least = SHAPE[0] * SHAPE[1] * output.bytes_per_pixel
    assert size is None or least <= size
    check_space([output])
    assert os.listdir(tmp_path) == []
    written(output)
    if size is not None:
        assert size <= kit.size(output.partial) <= size + 20_000


def test_the_first_write_creates_the_partial_file_and_nothing_else(output, tmp_path):
    window = blocks(output)[0]
    values = np.zeros((len(output.dtypes), *window.shape), output.layout.dtype)
    output.write(values, list(range(1, len(values) + 1)), window=window.to_rasterio())
    assert os.listdir(tmp_path) == [output.partial.name]
    assert output.partial.name.startswith(".")
    assert output.partial.name.endswith(".partial")
    output.discard()
    assert os.listdir(tmp_path) == []
    output.discard()  # once more is no error


def test_pixels_names_and_place_come_back(output, kit):
    pixels = written(output)
    output.check()
    publish([output], [], overwrite=True)
    with kit.opened(output.path) as dataset:
        assert dataset.read().tobytes() == pixels.tobytes()
        assert dataset.descriptions == output.layout.descriptions
        assert set(dataset.dtypes) == {output.layout.dtype.name}
        assert dataset.crs == output.layout.crs
        assert dataset.transform == (output.layout.transform or Affine.identity())
        assert dataset.nodata is None if output.layout.nodata is None else np.isnan(dataset.nodata)
        assert dataset.tags().items() >= output.layout.tags.items()
        assert dataset.tags(1).items() >= output.layout.band_tags.items()
        for value, colour in output.layout.colours.items():
            assert dataset.colormap(1)[value] == (*colour, 255)
        assert dataset.block_shapes == output.block_shapes


def test_what_is_left_of_a_killed_run_is_replaced(output, tmp_path, kit):
    output.partial.write_bytes(b"II*\0 cut short")
    pixels = written(output)
    output.check()
    publish([output], [], overwrite=True)
    with kit.opened(output.path) as dataset:
        assert dataset.read().tobytes() == pixels.tobytes()
    assert os.listdir(tmp_path) == ["out"]


def test_verified_by_several_threads_with_a_reader_each(output):
    checksums = Checksums()
    written(output, checksums.watch)
    checksums.verify([output], 4, 1 << 30)
    checksums.verify([output], 1, 1)
    with output.rereading() as first, output.rereading() as second:
        assert first is not second
        with ThreadPoolExecutor(2) as pool:
            out = [np.empty((1, *SHAPE), output.layout.dtype) for _ in range(2)]
            window = Window.whole(SHAPE).to_rasterio()
            list(pool.map(lambda d, to: d.read([1], window=window, out=to), (first, second), out))
    assert out[0].tobytes() == out[1].tobytes()


def test_a_pixel_that_is_not_as_written_is_found(output, kit):
    checksums = Checksums()
    pixels = written(output, checksums.watch)
    kit.change(output.partial, pixels[-1:, 100:101, 100:101] + 1, len(pixels), Window(100, 101, 100, 101))
    with pytest.raises(gn.DatasetError, match=r"^out: rows \d+ to \d+, .* of band \d of '.*' were not read back as"):
        checksums.verify([output], 2, 1 << 30)


@pytest.mark.parametrize("missing", [1, 3000])
def test_a_file_that_was_cut_short_is_refused(output, missing, kit):
    checksums = Checksums()
    written(output, checksums.watch)
    kit.cut_short(output.partial, missing)
    with pytest.raises(gn.DatasetError, match=r"^out: "):
        output.check()
    with pytest.raises(gn.DatasetError, match=r"^out: "):
        checksums.verify([output], 2, 1 << 30)


def test_published_it_replaces_the_destination_and_what_spoke_of_it(output, tmp_path, kit):
    kit.put_old(output.path)
    for sidecar in output.sidecars:
        sidecar.write_bytes(b"old")
    pixels = written(output)
    assert kit.is_old(output.path)
    publish([output], [], overwrite=True)
    with kit.opened(output.path) as dataset:
        assert dataset.read().tobytes() == pixels.tobytes()
    assert os.listdir(tmp_path) == ["out"]


def test_sidecars_stay_where_nothing_was_replaced(output, tmp_path):
    sidecars = output.sidecars
    for sidecar in sidecars:
        sidecar.write_bytes(b"mine")
    written(output)
    publish([output], [], overwrite=True)
    assert not output.replaced
    assert sorted(tmp_path.iterdir()) == sorted([output.path, *sidecars])


def test_sidecars_that_are_inputs_or_outputs_stay(make, output, tmp_path, kit):
    if not output.sidecars:
        pytest.skip("nothing beside it speaks of it")
    *named, other = output.sidecars
    beside = make(named[0], output.layout)
    link = tmp_path / "link"
    for path in output.sidecars:
        path.write_bytes(b"old")
    kit.put_old(output.path)
    link.symlink_to(named[1])
    for each in (beside, output):
        written(each)
    publish([beside, output], [link], overwrite=True)
    with kit.opened(named[0]) as dataset:
        assert dataset.shape == SHAPE
    assert named[1].read_bytes() == b"old"
    assert not other.exists()


@pytest.mark.parametrize("way", ["_by_link", "_by_rename", "_by_reservation"])
def test_what_is_made_meanwhile_is_not_replaced(make, output, tmp_path, way, monkeypatch, kit):
    """Whatever ways the file system has: without hard links, and without renaming that leaves alone what is there."""

    def no(path, destination):
        raise OSError(errno.EOPNOTSUPP, "no such way")

    if kit is Stores and way == "_by_link":
        pytest.skip("folders have no hard links")
    for other in {"_by_link", "_by_rename", "_by_reservation"} - {way}:
        monkeypatch.setattr(partial, other, no)
    first = make(tmp_path / "first", output.layout)
    for each in (first, output):
        written(each)
    kit.put_old(output.path)
    made = r"out: '.*/out' was made by another program meanwhile; overwrite=True replaces it; nothing was replaced"
    with pytest.raises(gn.DatasetError, match=made) as caught:
        publish([first, output], [], overwrite=False)
    assert caught.value.argument == "out"
    assert kit.is_old(output.path)
    assert not first.path.exists()
    kit.remove(output.path)
    first.discard()
    written(again := make(first.path, first.layout))
    publish([again, output], [], overwrite=False)
    assert not any(each.replaced for each in (again, output))
    assert sorted(os.listdir(tmp_path)) == ["first", "out"]


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_interrupted_while_they_are_published_both_are_there_or_none(
    make, output, tmp_path, moment, overwrite, monkeypatch, kit
):
    """But for a mask that replaced one: then it stays, and the grid is what it was, or there."""
    first = make(tmp_path / "first", output.layout)
    for each in (first, output):
        written(each)
    put = type(output).publish

    def interrupted(self, **options):
        if self is output and moment == "before":
            raise KeyboardInterrupt
        put(self, **options)
        if self is output:
            raise KeyboardInterrupt

    monkeypatch.setattr(type(output), "publish", interrupted)
    if overwrite:
        kit.put_old(output.path)
    with pytest.raises(KeyboardInterrupt):
        publish([first, output], [], overwrite=overwrite)
    for each in (first, output):
        each.discard()
    left = sorted(os.listdir(tmp_path))
    if not overwrite:
        assert left == []
    elif moment == "before":
        assert left == ["out"]
        assert kit.is_old(output.path)
    else:
        assert left == ["first", "out"]
        assert not kit.is_old(output.path)


def test_withdrawn_it_leaves_what_another_program_has_put_there_since(output, tmp_path, kit):
    written(output)
    output.publish(overwrite=False)
    kit.remove(output.path)
    kit.put_old(output.path)
    output.withdraw()
    assert kit.is_old(output.path)


@pytest.mark.parametrize("number", range(3))
def test_the_mode_of_what_is_replaced_is_kept(output, number, kit):
    mode = kit.modes[number]
    kit.put_old(output.path)
    output.path.chmod(mode)
    written(output)
    assert stat.S_IMODE(output.partial.stat().st_mode) == mode | kit.rights
    publish([output], [], overwrite=True)
    assert stat.S_IMODE(output.path.stat().st_mode) == mode
    assert not kit.is_old(output.path)


def test_a_process_of_the_same_number_makes_its_own(make, output, tmp_path):
    """In containers many processes have one number, and a folder may be shared."""
    other = make(output.path, output.layout)
    written(output)
    written(other)
    with pytest.raises(gn.DatasetError, match=r"^out: '.*/out' cannot be replaced: '.*' is not there, or is another"):
        publish([output], [], overwrite=True)
    output.discard()
    publish([other], [], overwrite=True)
    assert os.listdir(tmp_path) == ["out"]


def test_where_the_folder_is_renamed_nothing_is_left(make, output, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    moved = make(folder / "out", output.layout)

    def make_it():
        with partial_files([moved]):
            written(moved)
            folder.rename(tmp_path / "elsewhere")
            moved.check()

    with pytest.raises(gn.DatasetError, match=r"^out: .* cannot be read back"):
        make_it()
    assert os.listdir(tmp_path / "elsewhere") == []


def test_a_job_that_fails_leaves_the_destination_as_it_was(output, tmp_path, kit):
    kit.put_old(output.path)

    def fail():
        with partial_files([output]):
            written(output)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert os.listdir(tmp_path) == ["out"]
    assert kit.is_old(output.path)


def test_interrupted_again_while_it_is_discarded_it_leaves_nothing(output, tmp_path, monkeypatch):
    interrupted, discard = [], type(output).discard

    def once(self):
        if not interrupted:
            interrupted.append(self)
            raise KeyboardInterrupt
        discard(self)

    monkeypatch.setattr(type(output), "discard", once)

    def fail():
        with partial_files([output]):
            written(output)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert os.listdir(tmp_path) == []


def test_one_job_at_a_time_makes_an_output(make, output):
    again = make(output.path, output.layout)
    refused = pytest.raises(gn.GridrValueError, match="being made by another job")
    with partial_files([output]), refused, partial_files([again]):
        pass
    with partial_files([again]):
        pass


def test_windows_may_come_from_another_thread(output):
    done = []
    thread = threading.Thread(target=lambda: done.append(written(output)))
    thread.start()
    thread.join()
    output.check()
    with output.rereading() as dataset:
        out = np.empty_like(done[0])
        dataset.read(list(range(1, len(out) + 1)), window=Window.whole(SHAPE).to_rasterio(), out=out)
    assert out.tobytes() == done[0].tobytes()
