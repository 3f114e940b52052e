"""How files are put in their places, beside those of others and of other jobs; and which names they may have."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import rasterio
from jobs import call, fine, left, make_inputs, run

import gridr_numba as gn
from gridr_numba.engine.step import DenseStep
from gridr_numba.files import geotiff, locks
from gridr_numba.files.outputs import destination


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Inputs of 60 x 60 nodes: 296 x 296 pixels, 1.5 MB."""
    return make_inputs(tmp_path_factory.mktemp("faults"), 60)


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


@pytest.mark.parametrize("argument", ["grid", "mask", "like", "out", "mask_out", "valid", "invalid"])
@pytest.mark.parametrize("text", ["POLYGON ((" * 100_000, "<VRT" * 100_000, "m\0" * 100_000])
def test_a_text_in_place_of_a_path_is_not_repeated_whole(folder, argument, text):
    arguments = {"grid": folder / "in-grid.tif", "out": folder / "out/grid.tif", "resolution": (5, 5)}
    with pytest.raises((gn.GridrValueError, gn.DatasetError)) as caught:
        gn.densify(**{**arguments, argument: text})
    assert caught.value.argument == argument
    assert len(str(caught.value)) < 200


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
