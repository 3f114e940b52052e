"""Threads and processes, in processes of their own: what goes wrong here hangs or aborts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numba
import numpy as np
import pytest
import shapely
from numba.core import event
from numba.core.caching import NullCache

import gridr_numba as gn
from gridr_numba.engine.dense import DenseOptions, densify_window
from gridr_numba.kernels import bilinear, jit
from gridr_numba.kernels.scanline import scan
from gridr_numba.polygons.edges import Layer, PolygonEdges
from gridr_numba.polygons.sets import PolygonSet
from gridr_numba.window import Window

PREAMBLE = """
import sys, threading
import numpy as np, shapely
import gridr_numba as gn

def job(seed):
    rng = np.random.default_rng(seed)
    nodes = rng.random((2, 30, 40))
    grid = gn.build_grid((1, 1), nodes, None, (7, 5), None)
    clouds = [shapely.Point(*rng.random(2) * 100).buffer(20) for _ in range(5)]
    mask = gn.build_mask((204, 196), (1, 1), None, (0.0, 0.0), (None, clouds),
                         rng.integers(0, 2, (30, 40)).astype(np.uint8), None, (7, 5))
    return grid, mask

expected = [job(seed) for seed in range(4)] if 'warm' in sys.argv else None
"""

FOUR_THREADS = (
    PREAMBLE
    + """
results = {}
def work(seed):
    for _ in range(3):
        results[seed] = job(seed)
threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
expected = expected or [job(seed) for seed in range(4)]
for seed in range(4):
    for got, wanted in zip(results[seed], expected[seed]):
        assert np.array_equal(got, wanted), seed
print('fine')
"""
)


def run(code, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.mark.large  # without compilation there is no threading layer
@pytest.mark.parametrize("layer", ["omp", "workqueue"])
@pytest.mark.parametrize("start", ["cold", "warm"])
def test_four_threads_each_with_its_own_job(layer, start):
    done = run(FOUR_THREADS, start, NUMBA_THREADING_LAYER=layer)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "fine"


def test_no_process_is_started_and_no_shared_memory_used():
    code = (
        PREAMBLE
        + """
import os
def forbidden(*_, **__): raise SystemExit('a process was started')
os.fork = os.posix_spawn = forbidden
before = set(os.listdir('/dev/shm')) if os.path.isdir('/dev/shm') else set()
job(0)
after = set(os.listdir('/dev/shm')) if before else set()
assert not {name for name in after - before if name.startswith('psm_')}
assert 'multiprocessing.shared_memory' not in sys.modules
print('fine')
"""
    )
    done = run(code)
    assert done.stdout.strip() == "fine", done.stderr


def test_the_callers_thread_count_is_as_before(rasters):
    full = gn.grid_full_resolution_shape((3, 3), (4, 4))
    before = numba.get_num_threads()
    for ncpu in (1, 2, None):
        out = rasters.writer(full, np.uint8)
        gn.build_mask_chain(
            (3, 3), (4, 4), out, np.uint8, None, None, None, np.float64, None, None, ncpu=ncpu, cpu_tile_shape=(4, 4)
        )
        assert numba.get_num_threads() == before


SERIAL = """
import os, signal, threading
import numba, numpy as np, shapely
from gridr_numba.engine.dense import DenseOptions, densify_window
from gridr_numba.polygons.edges import Layer, PolygonEdges
from gridr_numba.polygons.sets import PolygonSet
from gridr_numba.types import ShapelyPredicate
from gridr_numba.window import Window

nodes = np.random.default_rng(1).random((2, 40, 50))
rows, cols = (0.0, 1.0, 0, 274), (0.0, 1.0, 0, 246)
disc = PolygonSet.of([shapely.Point(100, 100).buffer(80)])
edges = PolygonEdges.of([Layer(disc, 0, 1)], rows, cols)

def job():
    grid, mask = np.empty((2, 274, 246)), np.empty((274, 246), np.uint8)
    densify_window(DenseOptions((7, 5), limits=(1e9, 1e9), parallel=False), Window.whole((274, 246)),
                   nodes=nodes, out_grid=grid)
    edges.write(rows, cols, ShapelyPredicate.COVERS, 0, mask, threads=1)
    return grid, mask

grid, mask = job()
assert 20000 < mask.sum() < 20200
try: numba.threading_layer()
except ValueError: pass
else: raise SystemExit("a threading layer was started")
assert threading.active_count() == 1
child = os.fork()
if child == 0:
    signal.alarm(60)
    os._exit(0 if all(np.array_equal(*pair) for pair in zip(job(), (grid, mask))) else 1)
assert os.waitpid(child, 0)[1] == 0
print("fine")
"""


def test_serial_kernels_start_no_threads_and_live_with_fork():
    done = run(SERIAL)
    assert done.stdout.strip() == "fine", done.stderr


@pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="there is no parallel loop without compilation")
def test_a_window_of_one_tile_wakes_no_threads(monkeypatch):
    launched, real = [], jit.parallel_loop
    monkeypatch.setattr(jit, "parallel_loop", lambda: launched.append(1) or real())
    monkeypatch.setattr(jit, "usable_threads", lambda threads: 2)
    monkeypatch.setattr(numba, "set_num_threads", lambda threads: None)
    for shape, tile_shape, expected in (
        ((64, 1024), None, 0), ((65, 9), None, 1), ((9, 1025), None, 2), ((16, 16), (1000, 1000), 2),
        ((16, 16), (8, 16), 3), ((16, 16), (16, 8), 4),
    ):  # fmt: skip
        mask = np.empty(shape, np.uint8)
        densify_window(DenseOptions((2000, 2000), tile_shape=tile_shape), Window.whole(shape),
                       valid_nodes=np.ones((2, 2), np.uint8), out_mask=mask)  # fmt: skip
        assert len(launched) == expected
        assert not mask.any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_serial_and_parallel_kernels_write_the_same_bits(dtype):
    rng = np.random.default_rng(3)
    nodes = rng.random((2, 40, 50)) * 1000
    nodes[0, 5:8, 7] = np.nan
    valid_nodes = (rng.random((40, 50)) > 0.3).astype(np.uint8)
    written = []
    for parallel in (True, False):
        grid, mask = np.empty((2, 274, 246), dtype), np.empty((274, 246), np.uint8)
        options = DenseOptions((7, 5), limits=(999.0, 999.0), fill=-1.0, tile_shape=(16, 32), parallel=parallel)
        densify_window(
            options, Window.whole(mask.shape), nodes=nodes, valid_nodes=valid_nodes, out_grid=grid, out_mask=mask
        )
        written.append((grid.tobytes(), mask.tobytes()))
    assert written[0] == written[1]
    assert {0, 1, 2, 3} == set(written[0][1])


def test_serial_and_parallel_scans_write_the_same_bits():
    rows, cols = (0.25, 0.5, 0, 700), (0.0, 0.5, 0, 900)
    rng = np.random.default_rng(4)
    clouds = [shapely.Point(*rng.integers(0, 400, 2)).buffer(rng.integers(1, 40)) for _ in range(60)]
    table = PolygonEdges.of([Layer(PolygonSet.of(clouds), 0xFF, 4)], rows, cols).table
    starts = np.arange(0, 12 * 512, 512)
    written = []
    for threads, step in ((1, 11), (4, 1)):
        out, doubts = np.empty((700, 900), np.uint8), np.zeros((starts[-1], 3), np.int64)
        remaining = iter(range(0, 11, step))

        def work(step=step, remaining=remaining, out=out, doubts=doubts):
            for band in remaining:
                scan(table, np.uint8(1), True, rows, cols, 64, (band, band + step), starts, doubts, out)

        jit.share(work, threads)
        written.append((out.tobytes(), doubts.tobytes()))
    assert written[0] == written[1]
    assert {1, 5} == set(written[0][0])


SHARED = """
import os, signal, time
import numpy as np, shapely
from gridr_numba.polygons.edges import Layer, PolygonEdges
from gridr_numba.polygons.sets import PolygonSet
from gridr_numba.types import ShapelyPredicate

axis = (0.0, 1.0, 0, 1000)
edges = PolygonEdges.of([Layer(PolygonSet.of([shapely.Point(500, 500).buffer(400)]), 0, 1)], axis, axis)

def job():
    mask = np.empty((1000, 1000), np.uint8)
    edges.write(axis, axis, ShapelyPredicate.COVERS, 0, mask, threads=2)
    return mask

mask = job()
assert 500_000 < mask.sum() < 505_000
child = os.fork()
if child == 0:
    signal.alarm(60)
    os._exit(0 if np.array_equal(job(), mask) else 1)
assert os.waitpid(child, 0)[1] == 0
print("fine")
"""


def test_polygons_in_several_threads_live_with_fork():
    done = run(SHARED, NUMBA_NUM_THREADS="2")
    assert done.stdout.strip() == "fine", done.stderr


def test_a_shared_job_does_not_wait_for_a_thread_that_has_not_begun():
    busy, finished = threading.Event(), threading.Event()
    helpers = [jit._helpers().submit(busy.wait) for _ in range(jit.usable_threads(None))]
    try:
        remaining, done = iter(range(100)), []
        worker = threading.Thread(target=lambda: (jit.share(lambda: done.extend(remaining), 2), finished.set()))
        worker.start()
        assert finished.wait(60)
        assert sorted(done) == list(range(100))
    finally:
        busy.set()
    assert all(helper.result() for helper in helpers)


def test_an_error_in_a_shared_job_is_raised():
    def fail():
        raise KeyError("here")

    with pytest.raises(KeyError, match="here"):
        jit.share(fail, 3)


@pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="nothing is compiled")
def test_an_error_of_a_kernel_itself_comes_once_and_with_no_word_of_the_cache():
    with event.install_recorder("numba:compile") as recorder, pytest.raises(numba.TypingError):
        bilinear.void_nodes("nodes", "nodata", (0, 0), "tagged")  # pytest makes errors of warnings
    compiled = [each for _, each in recorder.buffer if each.is_start]
    assert [each.data["dispatcher"] for each in compiled].count(bilinear.void_nodes.dispatcher) == 1


@pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="nothing is compiled")
def test_a_cache_that_cannot_be_written_is_given_up_with_one_warning(monkeypatch):
    class FullDisk(NullCache):
        def load_overload(self, signature, target_context):
            raise EOFError("damaged")

        def save_overload(self, signature, data):
            raise OSError("no space left")

    monkeypatch.setattr(jit, "_said", set())
    cache = jit._ForgivingCache(FullDisk())
    with pytest.warns(RuntimeWarning, match="cannot be used .EOFError: damaged"):
        assert cache.load_overload(None, None) is None
    cache.save_overload(None, None)  # pytest makes errors of warnings


# What happens to a cache happens to each kernel alone: the two that are compiled in no time show it.
KERNELS = """
import numpy as np
from gridr_numba.kernels import bilinear

nodes, tagged, causes = np.array([[[1.0, -9.0]], [[2.0, 3.0]]]), np.zeros(2, np.int64), np.zeros((1, 2), np.uint8)
bilinear.void_nodes(nodes, np.array([[-9.0], [np.nan]]), (0, 0), tagged)
bilinear.mark_below(nodes[0], 0.5, False, causes)
assert np.isnan(nodes[0, 0, 1]) and nodes[0, 0, 0] == 1.0, nodes
assert causes.tolist() == [[0, 1]], causes
print('fine')
"""


@pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="there is no cache without compilation")
@pytest.mark.parametrize("damage", ["nbi emptied", "nbc halved"])
def test_with_a_damaged_cache_kernels_are_compiled_with_a_warning(tmp_path, damage):
    done = run(KERNELS, NUMBA_CACHE_DIR=str(tmp_path))
    assert (done.stdout.strip(), done.stderr) == ("fine", "")
    suffix, what = damage.split()
    damaged = list(tmp_path.rglob(f"*.{suffix}"))
    assert len(damaged) == 2
    for file in damaged:
        file.write_bytes(b"" if what == "emptied" else file.read_bytes()[: file.stat().st_size // 2])
    done = run(KERNELS, NUMBA_CACHE_DIR=str(tmp_path))
    assert done.stdout.strip() == "fine", done.stderr
    assert "numba's cache cannot be used" in done.stderr
    assert done.stderr.count("RuntimeWarning") == 1


@pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="there is no cache without compilation")
def test_a_cached_kernel_is_compiled_anew_where_a_helper_in_another_file_was_edited(tmp_path):
    package = tmp_path / "gridr_numba"
    shutil.copytree(Path(gn.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    hits = "print(sum(bilinear.void_nodes.dispatcher.stats.cache_hits.values()))"

    def cached():
        code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n" + KERNELS + hits
        done = run(code, NUMBA_CACHE_DIR=str(tmp_path / "cache"))
        assert done.stderr == ""
        return done.stdout.split()[-1] == "1"

    assert [cached(), cached()] == [False, True]
    with open(package / "kernels" / "crossings.py", "a") as file:
        file.write("# edited\n")
    assert [cached(), cached()] == [False, True]


@pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="there is no cache without compilation")
def test_with_no_place_for_a_cache_kernels_are_compiled_with_a_warning():
    code = (
        "import warnings; warnings.simplefilter('always')\n"
        "from numba.core.caching import CacheImpl\n"
        "CacheImpl._locator_classes = []  # as on a read-only install without a home\n"
    )
    done = run(code + KERNELS)
    assert done.stdout.strip() == "fine", done.stderr
    assert "numba's cache cannot be used" in done.stderr
    assert done.stderr.count("RuntimeWarning") == 1
