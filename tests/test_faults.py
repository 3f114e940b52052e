"""What disks, signals and other programs do to a job: it ends with an error that says why, or with right files.

What may hang or die runs in a process of its own, with a timeout.
"""

from __future__ import annotations

import os
import time
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
import rasterio
from affine import Affine
from jobs import call, fine, left, make_inputs, run

import gridr_numba as gn
from gridr_numba.engine import job as jobs
from gridr_numba.engine import loop
from gridr_numba.engine.step import DenseStep
from gridr_numba.files import geotiff, outputs
from gridr_numba.plan import Bounds


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Inputs of 60 x 60 nodes: 296 x 296 pixels, 1.5 MB."""
    return make_inputs(tmp_path_factory.mktemp("faults"), 60)


# -- disk full ----------------------------------------------------------------------------------------------------


@pytest.mark.large
def test_a_disk_that_is_full(folder):
    """Every layout, compression and number of threads, with read-back and without; from the start to the last block."""
    code = """
from itertools import product
layouts = ({'TILED': 'NO'}, {'BLOCKXSIZE': 128, 'BLOCKYSIZE': 128})
compressions = ({}, {'COMPRESS': 'DEFLATE'}, {'COMPRESS': 'ZSTD'})
threads = ({}, {'NUM_THREADS': 2})
for number, parts in enumerate(product(layouts, compressions, threads)):
    options = {**parts[0], **parts[1], **parts[2]}
    clear()
    job(creation_options=options)
    size = os.path.getsize(out)
    for turn, limit in enumerate((100, size // 3, size - 3000, size - 10)):
        verify = (number + turn) % 2 == 0
        clear()
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            job(creation_options=options, verify=verify)
        except gn.DatasetError as error:
            assert 'grid.tif' in str(error) or 'mask.tif' in str(error), error
            assert error.argument in ('out', 'mask_out'), error
        else:
            raise SystemExit(f'no error: {options}, {limit} of {size}, {verify}')
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert left() == [], (left(), options, limit, verify)
print('fine')
"""
    fine(run(code, folder))


@pytest.mark.large
def test_a_disk_that_is_full_under_copies_and_overviews(folder):
    """What a COG is copied from is there, the copy is not; or the pixels are, and their overviews are not."""
    code = """
tiles, size = {'BLOCKXSIZE': 128, 'BLOCKYSIZE': 128}, {'BLOCKSIZE': 128}
kinds = [{'driver': 'COG', 'creation_options': size}, {'driver': 'COG', 'creation_options': size, 'overviews': True},
         {'creation_options': tiles, 'overviews': True},
         {'creation_options': {**tiles, 'COMPRESS': 'ZSTD'}, 'overviews': True}]
for number, kind in enumerate(kinds):
    clear()
    job(**kind)
    whole = os.path.getsize(out)
    for turn, limit in enumerate((whole // 2, whole - 200_000, whole - 150, whole - 4)):
        verify = (number + turn) % 2 == 0
        clear()
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            job(**kind, verify=verify)
        except gn.DatasetError as error:
            assert 'grid.tif' in str(error) or 'mask.tif' in str(error), error
        else:
            raise SystemExit(f'no error: {kind}, {limit} of {whole}, {verify}')
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert left() == [], (left(), kind, limit, verify)
print('fine')
"""
    fine(run(code, folder))


@pytest.mark.parametrize("layout", [{}, {"tiled": True, "blockxsize": 128, "blockysize": 128}])
@pytest.mark.parametrize("compression", [{}, {"compress": "deflate"}, {"compress": "zstd"}])
def test_a_disk_that_is_full_under_a_callers_dataset(folder, layout, compression):
    path = "/vsimem/||maxlength=100000||/full.tif"
    shape = {"height": 296, "width": 296, "count": 2, "dtype": "float64"}
    with rasterio.open(folder / "in-grid.tif") as grid:
        out = rasterio.open(path, "w", driver="GTiff", **shape, **layout, **compression)
        try:
            with pytest.raises(gn.DatasetError, match=r"^grid_out_ds: cannot write '/vsimem/.*full.tif'") as caught:
                gn.build_grid_mask_chain(
                    (5, 5), grid, None, 1, 2, out, None, 1, 2, None, None, None, None, None, "float64", None, None,
                    ncpu=None, memory_budget=400_000,
                )  # fmt: skip
            assert caught.value.argument == "grid_out_ds"
        finally:
            geotiff.discard_dataset(out)


def test_room_is_asked_for_before_a_file_is_made(folder, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 2_000_000})())
    made = []
    monkeypatch.setattr(geotiff.GeoTiff, "create", lambda self: made.append(self))
    with pytest.raises(OSError, match=r"the outputs need 4 MB in '.*out', and 2 MB are free"):
        call(folder)
    assert made == []


def test_a_folder_that_cannot_be_written_to(folder, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(gn.DatasetError, match=r"mask_out: the folder '.*out' cannot be written to"):
        call(folder)
    assert left(folder) == []


# -- killed, interrupted ------------------------------------------------------------------------------------------

# The children are forked from a process that has loaded the kernels and run them in one thread: OpenMP starts in the
# children alone. Each makes a small job, says so, and begins the one in which the signal comes.
SIGNALS = """
number, times = int(sys.argv[2]), int(sys.argv[3])
random.seed(number)
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a shell starts in the background
gn.densify(grid, folder + '/warm.tif', resolution=(5, 5), mask=mask, threads=1)

def start():
    readable, writable = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            gn.densify(grid, folder + '/warm.tif', resolution=(5, 5), mask=mask, overwrite=True)
            os.write(writable, b'x')
            begin = time.perf_counter()
            job(**OPTIONS)
            os.write(writable, json.dumps(time.perf_counter() - begin).encode())
            os._exit(0)
        except KeyboardInterrupt:
            os._exit(130)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
    os.close(writable)
    assert os.read(readable, 1) == b'x'
    return pid, readable

pid, readable = start()
_, status = os.waitpid(pid, 0)
assert status == 0
seconds = json.loads(os.read(readable, 100))
expected = content(out), content(mask_out)
os.unlink(out), os.unlink(mask_out)
ends, left_behind = [], 0
moment = -1
while moment + 1 < times or not (any(ends) or moment > 20 * times):  # small jobs are not easily hit
    moment += 1
    pid, readable = start()
    time.sleep(random.uniform(0, 1.2 * seconds))
    begin = time.perf_counter()
    os.kill(pid, number)
    _, status = os.waitpid(pid, 0)
    assert time.perf_counter() - begin < 2, 'too late'
    if status == 0:  # it ended first: the next signal comes within the time that it took, on a machine as busy as now
        seconds = json.loads(os.read(readable, 100))
    os.close(readable)
    ends.append(status)
    partials = [name for name in left() if name.endswith('.partial')]
    left_behind += len(partials)
    if number == signal.SIGINT:
        assert not partials, partials
    if os.path.exists(out):
        assert os.path.exists(mask_out)
        assert np.array_equal(content(out), expected[0], equal_nan=True)
    if os.path.exists(mask_out):
        assert np.array_equal(content(mask_out), expected[1])
    if moment % 2:
        for path in (out, mask_out):
            if os.path.exists(path):
                os.unlink(path)
assert any(ends), 'no child was hit'
job(**OPTIONS)
assert np.array_equal(content(out), expected[0], equal_nan=True)
assert np.array_equal(content(mask_out), expected[1])
clear()
print(left_behind, 'fine')
"""


@pytest.mark.large
@pytest.mark.parametrize(("signal", "times"), [("SIGKILL", 30), ("SIGINT", 8), ("SIGTERM", 3)])
def test_signals_at_random_moments(tmp_path, signal, times):
    """The destination is absent, what it was, or complete and equal; a later run works, whatever partials there are."""
    import signal as signals

    options = "OPTIONS = {'resolution': (20, 20), 'memory_budget': 60_000_000}\n"
    folder = make_inputs(tmp_path, 60)
    done = run(options + SIGNALS, folder, str(int(getattr(signals, signal))), str(times))
    fine(done)
    if signal == "SIGKILL":
        assert int(done.stdout.split()[0]) > 0, "no kill came while files were written"


def test_partial_files_of_killed_runs_do_not_disturb(folder):
    call(folder)
    expected = {name: (folder / "out" / name).read_bytes() for name in left(folder)}
    # One is of a process that had this process's number (in containers, most have the same), cut short.
    own = folder / "out" / f".grid.tif.{os.getpid()}.partial"
    other = folder / "out" / ".grid.tif.99999999.partial"
    for path in (own, other):
        path.write_bytes(b"II*\0" + (10**6).to_bytes(4, "little") + b"\0" * 5000)
    gn.densify(
        folder / "in-grid.tif", folder / "out/grid.tif", mask=folder / "in-mask.tif",
        mask_out=folder / "out/mask.tif", resolution=(5, 5), overwrite=True,
    )  # fmt: skip
    assert left(folder) == [other.name, "grid.tif", "mask.tif"]
    assert {name: (folder / "out" / name).read_bytes() for name in expected} == expected


@pytest.mark.skipif(not os.path.exists("/proc/self/io"), reason="the system does not count what is written")
@pytest.mark.parametrize("options", [{}, {"TILED": "NO"}])
def test_a_cancelled_job_does_not_fill_the_file(folder, options, monkeypatch):
    """GDAL fills what was never written when it closes a file: seconds a gigabyte, after Ctrl-C."""
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10**12})())
    written = []

    def count():
        with open("/proc/self/io") as file:
            written.append(int(next(line for line in file if line.startswith("wchar")).split()[1]))

    def cancel(done, total):
        assert [name[:5] for name in left(folder)] == [".grid", ".mask"]
        count()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        call(
            folder, resolution=(600, 1), mask=None, progress=cancel, creation_options=options, memory_budget=8_000_000
        )  # fmt: skip
    count()
    # The whole grid has 35401 x 60 pixels: 34 MB, and 290 MB in tiles.
    assert written[1] - written[0] < 5_000_000
    assert left(folder) == []


# -- inputs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
@pytest.mark.parametrize("name", ["in-grid.tif", "in-mask.tif"])
@pytest.mark.parametrize("profile", [{}, {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"}])
def test_truncated_input(tmp_path, name, share, profile):
    folder = make_inputs(tmp_path, 60, **profile)
    os.truncate(folder / name, int(os.path.getsize(folder / name) * share))
    with pytest.raises(gn.DatasetError, match=name) as caught:
        call(folder)
    assert caught.value.argument == name[3:7]
    assert left(folder) == []


@pytest.mark.parametrize("name", ["in-grid.tif", "in-mask.tif"])
def test_flipped_bytes_in_a_compressed_block(tmp_path, name):
    folder = make_inputs(tmp_path, 60, tiled=True, blockxsize=16, blockysize=16, compress="deflate")
    with rasterio.open(folder / name) as dataset:
        offset = int(dataset.get_tag_item("BLOCK_OFFSET_2_2", "TIFF", bidx=1))
    content = bytearray((folder / name).read_bytes())
    for byte in range(offset + 20, offset + 28):
        content[byte] ^= 0xFF
    (folder / name).write_bytes(content)
    with pytest.raises(gn.DatasetError, match=f"^{name[3:7]}: cannot read '.*{name}'") as caught:
        call(folder)
    assert caught.value.argument == name[3:7]
    assert left(folder) == []


PLACE = {"crs": "EPSG:32631", "transform": Affine(50, 0, 1000, 0, -50, 9000)}


@pytest.mark.parametrize(
    ("argument", "place", "message"),
    [
        ("mask", {"crs": "EPSG:32632"}, "mask must have the CRS of '.*grid.tif', EPSG:32631, and .* has EPSG:32632"),
        ("mask", {"transform": Affine(50, 0, 1050, 0, -50, 9000)}, r"mask must lie where .*1000.0.* has .*1050.0"),
        ("mask", {"transform": Affine(50, 0, 1000, 0, -50.1, 9000)}, "mask must lie where"),
        ("grid", {"crs": "EPSG:4326"}, r"grid\[1\] must have the CRS of .*, EPSG:32631, and .* has EPSG:4326"),
        ("like", {"crs": "EPSG:4326"}, "like must have the CRS of .*, EPSG:32631, and .* has EPSG:4326"),
        ("like", {"transform": Affine(10, 0, 1070, 0, -10, 9000)}, r"like must lie where .*its pixel \(0, 0\) lies at"),
        ("like", {"transform": Affine(11, 0, 1000, 0, -11, 9000)}, "like must lie where"),
        ("like", {"transform": Affine(0, 0, 1000, 0, 0, 9000)}, "like must lie where"),
    ],
)
def test_inputs_that_lie_elsewhere(tmp_path, argument, place, message):
    folder = make_inputs(tmp_path, 60, **PLACE)
    other = make_inputs(tmp_path / "other" if (tmp_path / "other").mkdir() is None else None, 60, **{**PLACE, **place})
    options = {"mask": other / "in-mask.tif"} if argument == "mask" else {argument: other / "in-mask.tif"}
    grid = folder / "in-grid.tif"
    if argument == "grid":
        grid = (grid, other / "in-grid.tif")
        options = {}
    with pytest.raises(gn.GridrValueError, match=message):
        gn.densify(grid, folder / "out/grid.tif", resolution=(5, 5), **options)
    assert left(folder) == []


def test_like_may_lie_half_a_node_away_along_each_axis_and_no_more(tmp_path):
    """Nodes of 2 x 10 pixels: five pixels are half a node along a row, and two and a half nodes down a column."""
    folder = make_inputs(tmp_path, 60, **PLACE)
    image = {"driver": "GTiff", "width": 20, "height": 20, "count": 1, "dtype": "uint8", "crs": PLACE["crs"]}
    first = (1000 + 25 - 2.5, 9000 - 25 + 12.5)  # the corner of the dense pixel on the first node
    for dx, dy, right in ((4.9, 0, True), (5.1, 0, False), (0, 0.9, True), (0, 1.1, False), (0, 4.9, False)):
        transform = Affine(5, 0, first[0] + 5 * dx, 0, -25, first[1] + 25 * dy)
        with rasterio.open(folder / "like.tif", "w", **image, transform=transform):
            pass
        options = {"resolution": (2, 10), "like": folder / "like.tif", "overwrite": True}
        if right:
            gn.densify(folder / "in-grid.tif", folder / "out/grid.tif", **options)
        else:
            with pytest.raises(gn.GridrValueError, match="like must lie where"):
                gn.densify(folder / "in-grid.tif", folder / "out/grid.tif", **options)


def test_inputs_that_do_not_say_where_they_lie(tmp_path):
    folder = make_inputs(tmp_path, 60, **PLACE)
    (tmp_path / "other").mkdir()
    other = make_inputs(tmp_path / "other", 60)
    call(folder, mask=other / "in-mask.tif", like=other / "in-mask.tif")
    assert left(folder) == ["grid.tif", "mask.tif"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask_out": "in-grid.tif"}, "mask_out: '.*in-grid.tif' is an input"),
        ({"mask_out": "in-mask.tif"}, "mask_out: '.*in-mask.tif' is an input"),
        ({"row_band": 3}, "row_band must be a band of grid, 1 to 2, not 3"),
        ({"col_band": 1}, "must differ in one dataset; both are 1"),
        ({"mask_band": 2}, "mask_band must be a band of mask, 1 to 1, not 2"),
        ({"mask": "small.tif"}, r"mask must have \(60, 60\) rows and columns, one a node, and it has \(4, 3\)"),
        ({"creation_options": {"BLOCKXSIZE": 17}}, "creation_options: GDAL refuses them"),
        ({"creation_options": {"COMPRESS": "ZSDT"}}, "'ZSDT' is an unexpected value for COMPRESS"),
        ({"memory_budget": 0}, "memory_budget must be at least 1"),
        (
            {"resolution": (2**26, 2**26)},
            r"would have \(3959422977, 3959422977\) rows and columns, and a GeoTIFF has at",
        ),
    ],
)
def test_wrong_arguments(folder, change, message, monkeypatch):
    with rasterio.open(folder / "small.tif", "w", driver="GTiff", width=3, height=4, count=1, dtype="uint8"):
        pass
    monkeypatch.setattr(geotiff.GeoTiff, "create", lambda self: pytest.fail("a file was made"))
    change = {key: folder / value if isinstance(value, str) else value for key, value in change.items()}
    with pytest.raises(gn.GridrValueError, match=message):
        call(folder, overwrite=True, **change)
    assert left(folder) == []


# -- size ---------------------------------------------------------------------------------------------------------


def test_a_raster_of_a_million_rows_and_columns_is_planned_at_once(tmp_path):
    start = time.perf_counter()
    side = 1_000_001
    dtype = np.dtype("float64")
    tiled = {"TILED": "YES", "BLOCKXSIZE": "512", "BLOCKYSIZE": "512"}
    plans = {}
    for layout, budget in product(("tiled", "striped"), (16 << 30, 256 << 20)):
        described = outputs.RasterLayout((side, side), dtype, ("row", "col"), np.nan, None, None, {})
        options = {"BIGTIFF": "IF_SAFER", **(tiled if layout == "tiled" else {})}
        out = geotiff.GeoTiff("out", tmp_path / "large.tif", described, options)
        made = jobs.job_of(
            "densify",
            jobs.Extent.whole((100_001, 100_001), (10, 10)),
            jobs.Inputs(),
            jobs.MaskRules(Fraction(1)),
            jobs.Outputs(jobs.GridOut((jobs.SinkBand(out, 1), jobs.SinkBand(out, 2)), (dtype, dtype))),
            jobs.Limits(None, None, Bounds(budget, whole_blocks=True)),
        )
        plan = plans[layout, budget] = loop.plan_of(DenseStep(made), made.limits)
        assert sum(1 for _ in zip(plan, range(10), strict=False)) == 10
    assert plans["tiled", 16 << 30].piece_shape == (512, side)
    assert plans["striped", 16 << 30].piece_shape == plans["striped", 256 << 20].piece_shape == (1, side)
    rows, cols = plans["tiled", 256 << 20].piece_shape
    assert rows % 512 == cols % 512 == 0
    assert 512 <= cols < side
    assert time.perf_counter() - start < 1
    assert list(tmp_path.iterdir()) == []
