"""Densifiers in threads, in other processes, and after their files have changed."""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys
import threading

import grids
import numpy as np
import pytest
import shapely
from densifiers import CASES, opened, options_of, same
from grids import RESOLUTION, clouds

import gridr_numba as gn


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return grids.make(tmp_path_factory.mktemp("densifier"))


@pytest.fixture(scope="module", params=CASES)
def case(request, folder, tmp_path_factory):
    with opened(folder, tmp_path_factory.mktemp("whole"), **CASES[request.param]) as case:
        yield case


@pytest.mark.large  # without compilation threads take turns
def test_threads_share_one(case):
    densifier, coords, mask = case
    height, width = densifier.shape
    failed = []

    def work(seed):
        random = np.random.default_rng(seed)
        for _ in range(40):
            i, j = int(random.integers(height)), int(random.integers(width))
            some, codes = densifier.read((slice(i, height), slice(j, width)))
            if not (same(some, coords[:, i:, j:]) and same(codes, mask[i:, j:])):
                failed.append((i, j))
            if densifier.at([i], [j])[1][0] != mask[i, j]:
                failed.append((i, j))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def open_files(folder):
    """Return how many files of a folder this process has open."""
    links = [f"/proc/self/fd/{each}" for each in os.listdir("/proc/self/fd")]
    return sum(os.path.realpath(link).startswith(str(folder)) for link in links if os.path.lexists(link))


def test_threads_that_end_leave_nothing_unraisable_and_close_closes_all(folder, monkeypatch):
    unraisable = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    monkeypatch.setattr(threading, "excepthook", unraisable.append)
    before = open_files(folder)
    densifier = gn.open_densifier(folder / "grid.tif", **options_of(folder))
    barrier = threading.Barrier(3)

    def work():
        barrier.wait()
        densifier.read((slice(None), slice(None)))

    for _ in range(5):
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        gc.collect()
    assert before + 2 <= open_files(folder) <= before + 2 * 3
    densifier.close()
    assert open_files(folder) == before
    densifier.close()
    for call in (lambda: densifier.read((slice(1), slice(1))), lambda: densifier.at([0], [0])):
        with pytest.raises(gn.GridrValueError, match="the densifier is closed"):
            call()
    densifier = None
    gc.collect()
    assert not unraisable


def test_one_that_is_forgotten_closes_its_files(folder):
    before = open_files(folder)
    densifier = gn.open_densifier(folder / "grid.tif", **options_of(folder))
    thread = threading.Thread(target=lambda: densifier.read((slice(1), slice(1))))
    thread.start()
    thread.join()
    assert open_files(folder) > before
    densifier, thread = None, None
    gc.collect()
    assert open_files(folder) == before


def test_it_travels(case, monkeypatch, tmp_path):
    densifier, coords, mask = case
    monkeypatch.chdir(tmp_path)
    with pickle.loads(pickle.dumps(densifier)) as other:
        some, codes = other.read((slice(None), slice(None)))
        assert (other.shape, other.crs, other.transform) == (densifier.shape, densifier.crs, densifier.transform)
    assert same(some, coords)
    assert same(codes, mask)


def test_paths_may_be_relative(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(folder)
    densifier = gn.open_densifier(("rows.tif", "cols.tif"), resolution=RESOLUTION, mask="mask.tif")
    expected = densifier.read((slice(None), slice(None)))
    travelled = pickle.dumps(densifier)
    densifier.close()
    monkeypatch.chdir(tmp_path)
    with pickle.loads(travelled) as other:
        assert same(other.read((slice(None), slice(None)))[0], expected[0])


def test_polygon_files_are_read_once(folder, tmp_path):
    path = tmp_path / "clouds.wkt"
    path.write_text(shapely.MultiPolygon(shapely.union_all(clouds()).geoms).wkt)
    densifier = gn.open_densifier(folder / "grid.tif", resolution=RESOLUTION, invalid=path)
    expected = densifier.read((slice(None), slice(None)))[1]
    path.unlink()
    with pickle.loads(pickle.dumps(densifier)) as other:
        assert same(other.read((slice(None), slice(None)))[1], expected)
    densifier.close()


@pytest.mark.parametrize("name", ["grid.tif", "mask.tif"])
@pytest.mark.parametrize("change", ["touched", "longer", "gone"])
def test_a_file_that_changed_is_refused(folder, tmp_path, name, change):
    for each in ("grid.tif", "mask.tif"):
        (tmp_path / each).write_bytes((folder / each).read_bytes())
    path = tmp_path / name
    densifier = gn.open_densifier(tmp_path / "grid.tif", resolution=RESOLUTION, mask=tmp_path / "mask.tif")
    travelled = pickle.dumps(densifier)
    densifier.read((slice(1), slice(1)))
    status = path.stat()
    if change == "touched":
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    elif change == "longer":
        path.write_bytes(path.read_bytes() + b"0")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    else:
        path.unlink()
    reason = "cannot be read: No such file" if change == "gone" else "has changed since it was first opened"
    for each in (densifier, pickle.loads(travelled)):
        with pytest.raises(gn.DatasetError, match=f"{path.stem}: .*{name}.* {reason}") as caught:
            each.read((slice(1), slice(1)))
        assert caught.value.argument == path.stem
        each.close()


FORK = """
import os, sys, threading, numpy as np, shapely
import gridr_numba as gn
clouds = [shapely.Point(*place).buffer(3) for place in np.random.default_rng(1).uniform(0, 40, (20, 2))]
d = gn.open_densifier(sys.argv[1], resolution=(5, 7), mask=sys.argv[2], invalid=clouds)
whole = slice(None), slice(None)
expected = d.read(whole)
thread = threading.Thread(target=d.read, args=(whole,)); thread.start(); thread.join()
child = os.fork()
if child == 0:
    import gc
    got = d.read(whole)
    fine = all(a.tobytes() == b.tobytes() for a, b in zip(got, expected))
    d.close(); gc.collect()
    sys.exit(0 if fine else 1)
_, status = os.waitpid(child, 0)
again = d.read(whole)
assert all(a.tobytes() == b.tobytes() for a, b in zip(again, expected))
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_a_fork_after_use_reads_on(folder):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK, str(folder / "grid.tif"), str(folder / "mask.tif")],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


@pytest.mark.large  # without compilation there is none
def test_reads_start_no_threading_layer(folder):
    code = (
        "import sys, numba, gridr_numba as gn\n"
        "d = gn.open_densifier(sys.argv[1], resolution=(300, 300))\n"
        "d.read((slice(None), slice(None)))\n"
        "try: print(numba.threading_layer())\n"
        "except ValueError: print('none')\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(folder / "grid.tif")],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.strip() == "none", done.stderr


@pytest.mark.large
def test_more_threads_change_nothing(folder):
    window = slice(100, 1300), slice(50, 1200)
    options = {"resolution": (173, 150), "invalid": shapely.Point(700, 700).buffer(300)}
    with (
        gn.open_densifier(folder / "grid.tif", **options) as one,
        gn.open_densifier(folder / "grid.tif", threads=None, **options) as all_of_them,
    ):
        for a, b in zip(one.read(window), all_of_them.read(window), strict=True):
            assert same(a, b)
