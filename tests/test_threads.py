"""Threads and processes, in processes of their own: what goes wrong here hangs or aborts."""

from __future__ import annotations

import os
import subprocess
import sys

import numba
import numpy as np
import pytest

import gridr_numba as gn

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
        gn.build_mask_chain((3, 3), (4, 4), out, np.uint8, None, None, None, np.float64, None, None, ncpu=ncpu)
        assert numba.get_num_threads() == before


@pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="there is no cache without compilation")
@pytest.mark.parametrize("damage", ["nbi emptied", "nbc halved"])
def test_with_a_damaged_cache_kernels_are_compiled_with_a_warning(tmp_path, damage):
    code = PREAMBLE + "print(job(0)[1].shape)"
    assert run(code, NUMBA_CACHE_DIR=str(tmp_path)).returncode == 0
    suffix, what = damage.split()
    damaged = list(tmp_path.rglob(f"*.{suffix}"))
    assert damaged
    for file in damaged:
        file.write_bytes(b"" if what == "emptied" else file.read_bytes()[: file.stat().st_size // 2])
    done = run(code, NUMBA_CACHE_DIR=str(tmp_path))
    assert done.stdout.strip() == "(204, 196)", done.stderr
    assert "numba's cache cannot be used" in done.stderr
    assert done.stderr.count("RuntimeWarning") == 1


@pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="there is no cache without compilation")
def test_with_no_place_for_a_cache_kernels_are_compiled_with_a_warning():
    code = (
        "import warnings; warnings.simplefilter('always')\n"
        "from numba.core.caching import CacheImpl\n"
        "CacheImpl._locator_classes = []  # as on a read-only install without a home\n"
    )
    done = run(code + PREAMBLE + "print(job(0)[1].shape)")
    assert done.stdout.strip() == "(204, 196)", done.stderr
    assert "numba's cache cannot be used" in done.stderr
    assert done.stderr.count("RuntimeWarning") == 1
