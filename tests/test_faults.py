"""What disks, memory, signals and other programs do to a job: it ends with an error that says why, or with right files.

What may hang or die runs in a process of its own, with a timeout.
"""

from __future__ import annotations

import errno
import fcntl
import gc
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.env import get_gdal_config

import gridr_numba as gn
from gridr_numba.engine import job as jobs
from gridr_numba.engine import loop
from gridr_numba.engine.step import DenseStep
from gridr_numba.files import geotiff, locks, outputs
from gridr_numba.files.outputs import destination
from gridr_numba.plan import Bounds

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


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Inputs of 60 x 60 nodes: 296 x 296 pixels, 1.5 MB."""
    return make_inputs(tmp_path_factory.mktemp("faults"), 60)


def call(folder, **options):
    """Make a job in this process, to an empty folder."""
    for path in (folder / "out").iterdir():
        path.unlink()
    defaults = {"mask": folder / "in-mask.tif", "mask_out": folder / "out/mask.tif", "resolution": (5, 5)}
    return gn.densify(folder / "in-grid.tif", folder / "out/grid.tif", **{**defaults, **options})


def left(folder):
    return sorted(os.listdir(folder / "out"))


# -- disk full ----------------------------------------------------------------------------------------------------


@pytest.mark.large
def test_a_disk_that_is_full(folder):
    """Every layout, compression and number of threads, with read-back and without; from the start to the last block."""
    code = """
from itertools import product
layouts = ({'TILED': 'NO'}, {'BLOCKXSIZE': 128, 'BLOCKYSIZE': 128})
compressions = ({}, {'COMPRESS': 'DEFLATE'}, {'COMPRESS': 'ZSTD'})
threads = ({}, {'NUM_THREADS': 2})
for parts in product(layouts, compressions, threads):
    options = {**parts[0], **parts[1], **parts[2]}
    clear()
    job(creation_options=options)
    size = os.path.getsize(out)
    for limit, verify in product((100, size // 3, size - 3000, size - 10), (True, False)):
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
from itertools import product
tiles, size = {'BLOCKXSIZE': 128, 'BLOCKYSIZE': 128}, {'BLOCKSIZE': 128}
kinds = [{'driver': 'COG', 'creation_options': size}, {'driver': 'COG', 'creation_options': size, 'overviews': True},
         {'creation_options': tiles, 'overviews': True},
         {'creation_options': {**tiles, 'COMPRESS': 'ZSTD'}, 'overviews': True}]
for kind in kinds:
    clear()
    job(**kind)
    whole = os.path.getsize(out)
    for limit, verify in product((whole // 2, whole - 200_000, whole - 150, whole - 4), (True, False)):
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


# -- published ----------------------------------------------------------------------------------------------------


def test_a_mask_that_is_named_as_a_sidecar_is_not_deleted(folder):
    """Nor is an input; each is warned of, since GDAL will read it with the grid."""
    call(folder)
    out, sidecar = folder / "out/grid.tif", folder / "out/grid.tif.msk"
    arguments = {"resolution": (5, 5), "overwrite": True}
    report = gn.densify(folder / "in-grid.tif", out, mask=folder / "in-mask.tif", mask_out=sidecar, **arguments)
    with rasterio.open(sidecar) as dataset:
        assert dataset.shape == (296, 296)
    (taken,) = report.warnings
    assert taken == f"out: GDAL takes {str(sidecar)!r}, which is not removed, for a part of {str(out)!r}"
    content = (folder / "in-mask.tif").read_bytes()
    sidecar.write_bytes(content)
    report = gn.densify(folder / "in-grid.tif", out, mask=sidecar, **arguments)
    assert sidecar.read_bytes() == content
    assert report.warnings == (taken,)


@pytest.mark.parametrize("part", ["ground.shx", "ground.dbf", "in-grid.tif.aux.xml", "in-mask.tfw"])
def test_a_part_of_an_input_is_not_replaced(folder, part):
    call(folder)
    (folder / "ground.shp").write_bytes(b"polygons, of which this is one file of several")
    (folder / part).write_bytes(b"a part")
    inputs = [folder / "ground.shp", folder / "in-grid.tif", folder / "in-mask.tif"]
    for _ in range(2):
        with pytest.raises(gn.GridrValueError, match=r"would be read as a part of the input .*, and is not made"):
            destination(folder / part, "report", inputs, overwrite=True)
        (folder / part).unlink(missing_ok=True)
    (folder / "ground.shp").unlink()
    destination(folder / "ground.json", "report", inputs, overwrite=True)
    for name in (".", "/"):
        with pytest.raises(gn.GridrValueError, match="is a folder"):
            destination(name, "out", [], overwrite=True)


def test_a_partial_file_that_is_an_input_is_not_deleted(folder):
    grid = folder / f".recovered.tif.{os.getpid()}.partial"
    grid.write_bytes((folder / "in-grid.tif").read_bytes())
    with pytest.raises(gn.GridrValueError, match=r"out: '.*partial' is an input"):
        gn.densify(grid, folder / "recovered.tif", resolution=(5, 5), overwrite=True)
    grid.unlink()


def test_sidecars_of_no_file_stay_and_are_warned_of(folder):
    for path in (folder / "out").iterdir():
        path.unlink()
    overviews = folder / "out/grid.tif.ovr"
    overviews.write_bytes(b"mine")
    report = gn.densify(folder / "in-grid.tif", folder / "out/grid.tif", resolution=(5, 5))
    assert "grid.tif.ovr', which is not removed, for a part of" in report.warnings[0]
    assert overviews.read_bytes() == b"mine"


@pytest.mark.parametrize("name", ["grid", "mask"])
def test_a_file_that_is_made_meanwhile_is_not_replaced_and_both_appear_or_none(folder, name):
    path = folder / f"out/{name}.tif"
    argument = {"grid": "out", "mask": "mask_out"}[name]
    message = rf"{argument}: '.*{name}.tif' was made by another program meanwhile; overwrite=True replaces it; nothing"
    with pytest.raises(gn.DatasetError, match=message) as caught:
        call(folder, progress=lambda done, total: path.write_bytes(b"theirs"))
    assert caught.value.argument == argument
    assert path.read_bytes() == b"theirs"
    assert left(folder) == [path.name]


TWO_JOBS = """
number, overwrite = sys.argv[2], sys.argv[3] == 'overwrite'

def slowly(function):
    def call(*arguments, **options):
        time.sleep(random.uniform(0, 0.1))
        return function(*arguments, **options)
    return call
for name in ('replace', 'link', 'rename'):
    setattr(os, name, slowly(getattr(os, name)))

def meet(where):
    open(f'{folder}/{where}-{number}', 'w').close()
    while not all(os.path.exists(f'{folder}/{where}-{each}') for each in '12'):
        time.sleep(0.001)

too_late = 0
for turn in range(5):
    try:
        job(fill=-float(number), mask_out_values=(10 + int(number), int(number)), overwrite=overwrite,
            progress=lambda done, total: done == total and meet(f'made{turn}'))
    except gn.DatasetError as error:
        assert 'by another program meanwhile' in str(error), error
        too_late += 1
    meet(f'published{turn}')
    assert left() == ['grid.tif', 'mask.tif']
    assert -content(out).min() == content(mask_out).min()
    meet(f'seen{turn}')
    if number == '1':
        clear()
    meet(f'cleared{turn}')
print(too_late, 'fine')
"""


@pytest.mark.parametrize("overwrite", ["overwrite", "no"])
def test_both_files_are_one_jobs(tmp_path, overwrite):
    """Two processes come to their ends at the same moments, and publish slowly."""
    folder = make_inputs(tmp_path, 60)
    with ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(lambda number: run(TWO_JOBS, folder, number, overwrite), "12"))
    for end in ends:
        fine(end)
    assert sum(int(end.stdout.split()[0]) for end in ends) == (0 if overwrite == "overwrite" else 5)


def test_folders_are_locked_while_files_are_published_and_only_then(folder, monkeypatch):
    """In threads too; the folder's own lock, so that no file of it remains."""
    seen = []

    def is_locked():
        descriptor = os.open(folder / "out", os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    publish = geotiff.GeoTiff.publish

    def watched(self, **options):
        seen.append(is_locked())
        publish(self, **options)

    monkeypatch.setattr(geotiff.GeoTiff, "publish", watched)
    call(folder, progress=lambda done, total: seen.append(is_locked()))
    assert seen == [False, True, True]
    assert not is_locked()
    assert left(folder) == ["grid.tif", "mask.tif"]


def test_who_waits_long_for_a_folder_says_so(folder, monkeypatch, caplog):
    monkeypatch.setattr(locks, "PATIENCE", 0.05)
    descriptor = os.open(folder / "out", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)

    def let_go():  # once it is said, however long the job takes to come there
        ends = time.monotonic() + 60
        while not caplog.messages and time.monotonic() < ends:
            time.sleep(0.01)
        os.close(descriptor)

    threading.Thread(target=let_go).start()
    assert call(folder).warnings == ()
    assert caplog.messages == [f"waits for a program that holds a lock on {str(folder / 'out')!r}"]


def test_without_locks_it_is_warned_of_and_made_all_the_same(folder, monkeypatch):
    def no(descriptor, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no)
    (warning,) = call(folder).warnings
    assert warning.startswith(f"{str(folder / 'out')!r} cannot be locked (No locks available): two jobs that publish")
    assert left(folder) == ["grid.tif", "mask.tif"]
    with pytest.raises(gn.StrictError, match="cannot be locked"):
        call(folder, strict=True)
    assert left(folder) == []


def test_a_private_file_stays_private(folder):
    call(folder)
    grid = folder / "out/grid.tif"
    grid.chmod(0o600)
    modes = []

    def look(done, total):
        (partial,) = (folder / "out").glob(".grid.tif.*.partial")
        modes.append(partial.stat().st_mode & 0o777)

    gn.densify(folder / "in-grid.tif", grid, resolution=(5, 5), overwrite=True, progress=look)
    assert [*modes, grid.stat().st_mode & 0o777] == [0o600, 0o600]


def test_a_replaced_file_keeps_its_owner_and_group_where_the_process_may(folder, monkeypatch):
    """Where it may not, nothing is said, and the mode is kept all the same."""
    call(folder)
    grid = folder / "out/grid.tif"
    os.chmod(grid, 0o640)
    before = grid.stat()
    asked, theirs = [], {"grid.tif": (before.st_uid + 7, before.st_gid + 9)}
    real = os.stat

    def stat(path, *arguments, **options):
        found = real(path, *arguments, **options)
        uid, gid = theirs.get(os.path.basename(path), (found.st_uid, found.st_gid)) if path else (0, 0)
        return os.stat_result((*found[:4], uid, gid, *found[6:]))

    def chown(path, uid, gid):
        asked.append((os.path.basename(path).endswith(".partial"), uid, gid))
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("gridr_numba.files.partial.os.stat", stat)
    monkeypatch.setattr("gridr_numba.files.partial.os.chown", chown)
    gn.densify(folder / "in-grid.tif", grid, resolution=(5, 5), overwrite=True)
    assert asked == [(True, -1, before.st_gid + 9), (True, before.st_uid + 7, -1)]
    assert real(grid).st_mode & 0o777 == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_replaced_file_of_another_user_stays_theirs(folder):
    call(folder)
    grid = folder / "out/grid.tif"
    os.chown(grid, 12345, 23456)
    os.chmod(grid, 0o2644)
    gn.densify(folder / "in-grid.tif", grid, resolution=(5, 5), overwrite=True)
    there = grid.stat()
    assert (there.st_uid, there.st_gid, there.st_mode & 0o7777) == (12345, 23456, 0o2644)


@pytest.mark.parametrize("verify", [True, False])
def test_a_folder_that_is_renamed_in_mid_job(tmp_path, verify):
    folder = make_inputs(tmp_path, 60)
    with pytest.raises(gn.DatasetError, match=r"^(out|mask_out): '.*' cannot be read back"):
        call(folder, verify=verify, progress=lambda *_: (folder / "out").rename(folder / "elsewhere"))
    assert os.listdir(folder / "elsewhere") == []
    assert not (folder / "out").exists()


def test_a_disk_that_fails_when_all_is_written(folder, monkeypatch):
    def fail(descriptor):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(gn.DatasetError, match=r"mask_out: '.*mask.tif' cannot be brought to the disk: .*Input/output"):
        call(folder)
    assert left(folder) == []


# -- names --------------------------------------------------------------------------------------------------------


def test_a_name_is_as_long_as_its_partial_file_allows(folder, monkeypatch):
    longest = os.pathconf(folder / "out", "PC_NAME_MAX") - len(f"..{os.getpid()}.partial")
    call(folder, mask=None, mask_out=folder / "out" / ("m" * longest))
    assert left(folder) == ["grid.tif", "m" * longest]
    monkeypatch.setattr(DenseStep, "run", lambda *_: pytest.fail("the job was started"))
    message = rf"mask_out: the name 'é.*' has {longest + 1} bytes; at most {longest} leave room for the file that is"
    with pytest.raises(gn.GridrValueError, match=message) as caught:
        call(folder, mask_out=folder / "out" / ("é" + "m" * (longest - 1)))
    assert caught.value.argument == "mask_out"
    with pytest.raises(gn.DatasetError, match=r"mask_out: '.*' is no path: File name too long"):
        call(folder, mask_out=folder / "out" / ("m" * 300))
    assert left(folder) == []


@pytest.mark.parametrize("argument", ["grid", "mask", "like", "out", "mask_out"])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        (b"\xff.tif", r"{} must be a path in UTF-8, which b'.*\\xff.tif' is not"),
        (b"nul\0.tif", r"{} must be a path, and '.*nul\\x00.tif' holds a NUL"),
        (b"loop", r"{}: '.*loop' is no path: Too many levels of symbolic links"),
        (b"loop/a.tif", r"{}: '.*loop/a.tif' is no path: Too many levels of symbolic links"),
        (b"m" * 300, r"{}: '.*' is no path: File name too long"),
    ],
)
def test_names_that_are_none(folder, argument, name, message, monkeypatch):
    monkeypatch.setattr(DenseStep, "run", lambda *_: pytest.fail("the job was started"))
    loop = folder / "loop"
    if not loop.is_symlink():
        loop.symlink_to("loop")
    arguments = {"grid": folder / "in-grid.tif", "out": folder / "out/grid.tif", "resolution": (5, 5)}
    with pytest.raises((gn.GridrValueError, gn.DatasetError), match="^" + message.format(argument)) as caught:
        gn.densify(**{**arguments, argument: folder / os.fsdecode(name)})
    assert caught.value.argument == argument


def test_a_path_of_bytes(folder):
    class Bytes:
        def __fspath__(self):
            return b"grid.tif"

    with pytest.raises(gn.GridrTypeError, match=r"grid must be a path, and b'grid.tif' is bytes: see os.fsdecode"):
        gn.densify(Bytes(), folder / "out/grid.tif", resolution=(5, 5))


def test_polygon_files_may_have_any_name(folder):
    """They are not read by GDAL; and the outputs name them, in UTF-8."""
    clouds = folder / os.fsdecode(b"cl\xffouds.wkt")
    clouds.write_text("POLYGON ((0 0, 9 0, 9 9, 0 0))")
    call(folder, invalid=clouds)
    with rasterio.open(folder / "out/mask.tif") as dataset:
        assert dataset.tags()["GRIDR_NUMBA_INPUTS"] == "in-grid.tif in-mask.tif cl?ouds.wkt"


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
